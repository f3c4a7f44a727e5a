/* The messages of hypercore/alpha: the package's bytes both ways, alone, framed, and in recorded sessions. */
#include "protomux_fixture.h"

#include "replication_json.h"

/* Reads and writes one message; it must show as `value` and become the same bytes again. */
static void expect_message(uint32_t type, struct hf_slice body, json_t *value)
{
	struct hf_buffer again = {0};
	struct hf_compact_writer out = hf_compact_writer(&again);
	int status;
	json_t *shown = json_message(type, body, &out, &status), *expected = json_copy(value);

	assert_int_equal(status, HF_OK);
	assert_int_equal(out.status, HF_OK);
	assert_true(hf_slice_equal(hf_buffer_slice(&again), body));
	if (type == HF_REPLICATION_DATA) {
		struct hf_replication_data data;
		hf_replication_read_data(body, &data);
		assert_int_equal(data.proof.has_manifest, !json_is_null(vectors_get(value, "manifest")));
		if (json_object_get(value, "manifestHex") != NULL)
			vectors_expect(value, "manifestHex", data.proof.manifest.data, data.proof.manifest.length);
		json_object_del(expected, "manifest");
		json_object_del(expected, "manifestHex");
	}
	assert_true(json_equal(shown, expected));
	json_decref(shown);
	json_decref(expected);
	hf_buffer_free(&again);
}

static void expect_handshake(struct hf_slice body, json_t *value)
{
	struct hf_replication_handshake handshake;
	struct hf_buffer again = {0};
	struct hf_compact_writer out = hf_compact_writer(&again);

	assert_int_equal(hf_replication_read_handshake(body, &handshake), HF_OK);
	assert_int_equal(handshake.seeks, vectors_bool(value, "seeks"));
	vectors_expect(value, "capability", handshake.capability, sizeof handshake.capability);
	hf_replication_write_handshake(&out, &handshake);
	assert_true(hf_slice_equal(hf_buffer_slice(&again), body));
	assert_int_equal(again.length, HF_REPLICATION_HANDSHAKE_BYTES);
	hf_buffer_free(&again);
}

static void test_messages_are_the_packages(void **state)
{
	json_t *vectors = vectors_load("hypercore/wire-messages.json"), *message;
	struct hf_buffer bytes = {0};
	struct side a, b;
	size_t index;

	side_init(&a, &b, NULL);
	side_init(&b, &a, NULL);
	side_open(&a, HF_REPLICATION_PROTOCOL, "", "");
	a.delivered = a.frame_count;
	json_array_foreach(vectors_array(vectors, "messages", 28), index, message) {
		struct hf_slice body = vectors_hex(&bytes, message, "payload");
		json_t *value = vectors_get(message, "value");

		if (json_is_null(vectors_get(message, "type"))) {
			expect_handshake(body, value);
			continue;
		}
		uint32_t type = (uint32_t)vectors_uint(message, "type");

		expect_message(type, body, value);
		struct iovec part = {(void *)body.data, body.length};

		assert_int_equal(hf_channel_send(a.channel, type, &part, 1), HF_OK);
		vectors_expect(message, "framed", a.frames[a.delivered].data, a.frames[a.delivered].length);
		a.delivered++;
	}
	hf_buffer_free(&bytes);
	side_done(&a);
	side_done(&b);
	json_decref(vectors);
}

/* ---- Recorded sessions ---- */

struct replay {
	struct side side;
	json_t *expected;  /* what the frame at hand decodes to */
	size_t next;
	json_t *handshake; /* of the last open that was given */
	size_t message_count, open_count, reject_count;
};

/* The next that is for a channel, or NULL. */
static json_t *next_message(struct replay *r)
{
	json_t *decoded;

	while ((decoded = json_array_get(r->expected, r->next)) != NULL && json_object_get(decoded, "control") != NULL)
		r->next++;
	r->next++;
	return decoded;
}

static int on_open(struct hf_channel *channel, void *context, struct hf_slice handshake)
{
	struct replay *r = context;

	expect_handshake(handshake, r->handshake);
	r->open_count++;
	return HF_OK;
}

static int on_message(struct hf_channel *channel, void *context, uint32_t type, struct hf_slice body)
{
	struct replay *r = context;
	json_t *expected = next_message(r);

	assert_int_equal(type, vectors_uint(expected, "type"));
	expect_message(type, body, vectors_get(expected, "value"));
	r->message_count++;
	return HF_OK;
}

static void on_close(struct hf_channel *channel, void *context, enum hf_channel_end end)
{
	((struct replay *)context)->reject_count += end == HF_CHANNEL_REMOTE;
}

static const struct hf_channel_events events = {
	.message_types = HF_REPLICATION_TYPES, .open = on_open, .message = on_message, .close = on_close};

static int on_notify(void *context, struct hf_protomux *mux, struct hf_slice protocol, struct hf_slice id)
{
	return HF_EWAIT;
}

/* Does what made the side that we stand for send this frame: the opens and the rejects. */
static void act(struct replay *r, json_t *frame, struct hf_slice *last_id)
{
	static struct hf_buffer id;
	struct hf_channel *channel;
	json_t *decoded;
	size_t i;

	json_array_foreach(vectors_get(frame, "decoded"), i, decoded) {
		const char *control = json_string_value(json_object_get(decoded, "control"));
		struct hf_channel_options options = {
			.protocol = hf_slice_text(HF_REPLICATION_PROTOCOL), .events = &events, .context = r};

		if (control != NULL && strcmp(control, "open") == 0) {
			options.id = vectors_hex(&id, decoded, "id");
			assert_int_equal(hf_protomux_open(r->side.mux, &options, &channel), HF_OK);
		} else if (control != NULL)
			assert_int_equal(hf_protomux_reject(r->side.mux, options.protocol, *last_id), HF_OK);
	}
	hf_buffer_free(&id);
}

static void give(struct replay *r, json_t *frame, struct hf_buffer *id)
{
	struct hf_buffer bytes = {0};
	json_t *decoded;
	size_t i;

	r->expected = vectors_get(frame, "decoded");
	r->next = 0;
	json_array_foreach(r->expected, i, decoded)
		if (json_object_get(decoded, "handshakeDecoded") != NULL) {
			r->handshake = vectors_get(decoded, "handshakeDecoded");
			vectors_hex(id, decoded, "id");
		}
	assert_int_equal(hf_protomux_recv(r->side.mux, vectors_hex(&bytes, frame, "hex")), HF_OK);
	assert_null(next_message(r));
	hf_buffer_free(&bytes);
}

static struct replay replay_side(json_t *scenario, const char *from)
{
	struct replay r = {0};
	struct hf_buffer id = {0};
	json_t *frame;
	size_t index;

	side_init(&r.side, NULL, NULL);
	hf_protomux_pair(r.side.mux, hf_slice_text(HF_REPLICATION_PROTOCOL), hf_slice(NULL, 0), on_notify, &r);
	json_array_foreach(vectors_get(scenario, "frames"), index, frame) {
		struct hf_slice last_id = hf_buffer_slice(&id);

		if (json_object_get(frame, "mark") != NULL)
			continue;
		if (strcmp(vectors_text(frame, "from"), from) == 0)
			give(&r, frame, &id);
		else
			act(&r, frame, &last_id);
	}
	hf_buffer_free(&id);
	side_done(&r.side);
	return r;
}

static void test_recorded_sessions_are_understood(void **state)
{
	static const size_t counts[3][2] = {{19, 15}, {7, 6}, {6, 7}};
	json_t *vectors = vectors_load("hypercore/replication.json"), *scenario;
	size_t index;

	json_array_foreach(vectors_array(vectors, "scenarios", 3), index, scenario) {
		struct replay initiator = replay_side(scenario, "initiator"), responder = replay_side(scenario, "responder");

		assert_int_equal(initiator.message_count, counts[index][0]);
		assert_int_equal(responder.message_count, counts[index][1]);
		assert_int_equal(initiator.open_count, 1);
		assert_int_equal(responder.open_count, 1);
		assert_int_equal(initiator.reject_count, index == 1); /* what the initiator rejected */
		assert_int_equal(responder.reject_count, 0);
	}
	json_decref(vectors);
}

/* ---- Ours ---- */

static void test_a_block_is_sent_in_parts_without_a_copy(void **state)
{
	json_t *vectors = vectors_load("hypercore/wire-messages.json"), *message;
	struct hf_buffer bytes = {0};
	size_t index, blocks = 0, others = 0;

	json_array_foreach(vectors_get(vectors, "messages"), index, message) {
		struct hf_buffer scratch = {0}, whole = {0};
		struct iovec parts[HF_REPLICATION_DATA_PARTS];
		struct hf_replication_data data;

		if (strcmp(vectors_text(message, "name"), "data") != 0)
			continue;
		assert_int_equal(hf_replication_read_data(vectors_hex(&bytes, message, "payload"), &data), HF_OK);
		hf_buffer_append(&scratch, "before", 6);
		int count = hf_replication_data_parts(&data, &scratch, parts);

		assert_int_equal(count, data.proof.has_block ? 3 : 1);
		if (count == 3)
			assert_ptr_equal(parts[1].iov_base, data.proof.block.value.data);
		for (int i = 0; i < count; i++)
			hf_buffer_append(&whole, parts[i].iov_base, parts[i].iov_len);
		vectors_expect(message, "payload", whole.data, whole.length);
		hf_buffer_free(&scratch);
		hf_buffer_free(&whole);
		blocks += count == 3;
		others += count == 1;
	}
	assert_int_equal(blocks, 1);
	assert_int_equal(others, 3);
	hf_buffer_free(&bytes);
	json_decref(vectors);
}

/* Every message that is cut short says so, apart from what may be left out at its end. */
static void test_cut_messages_are_malformed(void **state)
{
	json_t *vectors = vectors_load("hypercore/wire-messages.json"), *message;
	struct hf_buffer bytes = {0}, again = {0};
	struct hf_replication_handshake handshake;
	size_t index, malformed = 0;

	json_array_foreach(vectors_get(vectors, "messages"), index, message) {
		struct hf_slice body = vectors_hex(&bytes, message, "payload");

		for (size_t length = 0; length < body.length; length++) {
			uint8_t *cut = malloc(length);
			struct hf_compact_writer out = hf_compact_writer(&again);
			int status;

			memcpy(cut, body.data, length);
			if (json_is_null(vectors_get(message, "type")))
				status = hf_replication_read_handshake(hf_slice(cut, length), &handshake);
			else
				json_decref(json_message((uint32_t)vectors_uint(message, "type"), hf_slice(cut, length), &out, &status));
			assert_true(status == HF_OK || status == HF_EMALFORMED);
			if (length == 0)
				assert_int_equal(status, HF_EMALFORMED);
			malformed += status == HF_EMALFORMED;
			free(cut);
		}
	}
	assert_true(malformed > 500);
	hf_buffer_free(&bytes);
	hf_buffer_free(&again);
	json_decref(vectors);
}

static void test_what_old_peers_leave_out_is_nothing(void **state)
{
	struct hf_replication_no_data no_data;
	struct hf_replication_want want;

	assert_int_equal(hf_replication_read_no_data(HF_SLICE_LITERAL("\7"), &no_data), HF_OK);
	assert_int_equal(no_data.request, 7);
	assert_int_equal(no_data.reason, HF_REPLICATION_NO_REASON);
	assert_int_equal(hf_replication_read_want(HF_SLICE_LITERAL("\1\2"), &want), HF_OK);
	assert_false(want.any);
	assert_int_equal(hf_replication_read_want(HF_SLICE_LITERAL("\1\2\1more"), &want), HF_OK);
	assert_true(want.any);
}

static void test_limits_are_kept(void **state)
{
	struct hf_replication_bitfield bitfield;
	struct hf_replication_extension extension;
	struct hf_replication_data data;
	struct hf_replication_sync sync;
	static uint8_t bytes[600] = {0xfd, 0, 1};

	assert_int_equal(hf_replication_read_bitfield(HF_SLICE_LITERAL("\0\xfe\1\0\1\0"), &bitfield), HF_ETOOBIG);
	assert_int_equal(hf_replication_read_bitfield(HF_SLICE_LITERAL("\0\2\0\0\0\0\0\0\0"), &bitfield), HF_EMALFORMED);
	assert_int_equal(hf_replication_read_bitfield(HF_SLICE_LITERAL("\1\1\0\0\0\0"), &bitfield), HF_EMALFORMED);
	assert_int_equal(hf_replication_read_extension(hf_slice(bytes, sizeof bytes), &extension), HF_ETOOBIG);
	assert_int_equal(hf_replication_read_data(HF_SLICE_LITERAL("\2\1\0\0\xfd\1\x10"), &data), HF_ETOOBIG);
	assert_int_equal(hf_replication_read_data(HF_SLICE_LITERAL("\x10\1\0"), &data), HF_EMALFORMED); /* a manifest of nothing */
	assert_int_equal(hf_replication_read_sync(HF_SLICE_LITERAL("\0\0\0\xff\0\0\0\0\0\0\x20\0"), &sync), HF_ETOOBIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages_are_the_packages),
		cmocka_unit_test(test_recorded_sessions_are_understood),
		cmocka_unit_test(test_a_block_is_sent_in_parts_without_a_copy),
		cmocka_unit_test(test_cut_messages_are_malformed),
		cmocka_unit_test(test_what_old_peers_leave_out_is_nothing),
		cmocka_unit_test(test_limits_are_kept),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
