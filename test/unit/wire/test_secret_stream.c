/* Secret streams: the recorded session from both sides, whole and cut anywhere; every malformed frame; time, bounds and output. */
#include "support/vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/error.h"
#include "crypto/hash.h"
#include "support/fail_alloc.h"
#include "wire/secret_stream.h"

#define FRAME_HEAD_BYTES 3
#define SLICE_COUNT 4

static struct hf_secret_stream_pool *pool;

/* One end of a connection, and what it said and heard. */
struct peer {
	struct hf_env env;
	uint8_t ephemeral_seed[32], header[24], static_secret[64], public_key[32];
	struct hf_secret_stream_options options;
	struct hf_secret_stream *stream;
	struct hf_buffer output, heard; /* heard: each message with its length in four bytes */
	unsigned handshake_count, message_count, free_at_message;
	json_t *session; /* to write its messages as soon as the handshake is done */
	const char *name;
};

static void give_random(struct hf_env *env, void *out, size_t length)
{
	struct peer *peer = env->context;

	assert_true(length == 32 || length == 24);
	memcpy(out, length == 32 ? peer->ephemeral_seed : peer->header, length);
}

static int write_text(struct peer *peer, uint64_t now_ms, struct hf_slice text)
{
	struct iovec piece = {(void *)(uintptr_t)text.data, text.length};

	return hf_secret_stream_write(peer->stream, now_ms, &piece, 1);
}

/* In two pieces and an empty one. */
static void write_recorded(struct peer *peer)
{
	struct hf_buffer text = {0};
	json_t *delivered;
	size_t i;

	json_array_foreach(vectors_get(peer->session, "delivered"), i, delivered) {
		if (i >= 5 || strcmp(vectors_text(delivered, "at"), peer->name) == 0)
			continue;
		vectors_hex(&text, delivered, "hex");
		size_t cut = text.length / 2;
		struct iovec pieces[3] = {{text.data, cut}, {NULL, 0}, {text.data + cut, text.length - cut}};
		assert_int_equal(hf_secret_stream_write(peer->stream, 0, pieces, 3), HF_OK);
	}
	hf_buffer_free(&text);
}

static void on_handshake(void *context, const uint8_t remote_key[static 32], const uint8_t hash[static 64])
{
	struct peer *peer = context;

	peer->handshake_count++;
	assert_true(hf_secret_stream_is_open(peer->stream));
	assert_memory_equal(hf_secret_stream_remote_key(peer->stream), remote_key, 32);
	assert_memory_equal(hf_secret_stream_handshake_hash(peer->stream), hash, 64);
	if (peer->session != NULL)
		write_recorded(peer);
}

static void on_message(void *context, uint8_t *data, size_t length)
{
	struct peer *peer = context;
	uint8_t head[4];

	hf_store_le32(head, (uint32_t)length);
	hf_buffer_append(&peer->heard, head, 4);
	hf_buffer_append(&peer->heard, data, length);
	memset(data, 0, length);
	if (++peer->message_count == peer->free_at_message)
		hf_secret_stream_free(peer->stream);
}

static const struct hf_secret_stream_events events = {.handshake = on_handshake, .message = on_message};

static void set_up_peer(struct peer *peer, bool is_initiator)
{
	uint8_t seed[32];

	*peer = (struct peer){.name = is_initiator ? "initiator" : "responder"};
	memset(seed, is_initiator ? 1 : 2, 32);
	hf_sign_keypair_from_seed(peer->public_key, peer->static_secret, seed);
	memset(peer->ephemeral_seed, is_initiator ? 3 : 4, 32);
	memset(peer->header, is_initiator ? 0xa1 : 0xb2, 24);
	peer->env = (struct hf_env){.context = peer, .random = give_random};
	peer->options = (struct hf_secret_stream_options){.is_initiator = is_initiator, .static_secret = peer->static_secret,
		.env = &peer->env, .pool = pool, .events = &events, .context = peer};
}

static void start(struct peer *peer)
{
	assert_int_equal(hf_secret_stream_new(&peer->stream, &peer->options, 0), HF_OK);
}

/* Takes all output; returns what is new. */
static struct hf_slice pump(struct peer *peer)
{
	struct hf_secret_stream_slice slices[SLICE_COUNT];
	size_t begin = peer->output.length, pending = hf_secret_stream_pending_bytes(peer->stream), count;

	assert_int_equal(hf_buffer_reserve(&peer->output, pending + 1), HF_OK);
	while ((count = hf_secret_stream_send(peer->stream, slices, SLICE_COUNT)) > 0)
		for (size_t i = 0; i < count; i++) {
			assert_int_equal(hf_buffer_append(&peer->output, slices[i].data, slices[i].length), HF_OK);
			hf_secret_stream_release(slices[i].chunk);
		}
	assert_int_equal(peer->output.length - begin, pending);
	assert_int_equal(hf_secret_stream_pending_bytes(peer->stream), 0);
	return hf_slice(peer->output.data + begin, pending);
}

static int feed(struct peer *peer, struct hf_slice bytes)
{
	uint8_t *copy = malloc(bytes.length + 1);

	memcpy(copy, bytes.data, bytes.length);
	int error = hf_secret_stream_recv(peer->stream, 0, copy, bytes.length);
	free(copy);
	return error;
}

static void tear_down_peer(struct peer *peer)
{
	hf_secret_stream_free(peer->stream);
	hf_buffer_free(&peer->output);
	hf_buffer_free(&peer->heard);
}

static void exchange(struct peer *a, struct peer *b)
{
	struct hf_slice bytes;

	for (bool is_moving = true; is_moving;) {
		is_moving = (bytes = pump(a)).length > 0;
		assert_int_equal(feed(b, bytes), HF_OK);
		is_moving = (bytes = pump(b)).length > 0 || is_moving;
		assert_int_equal(feed(a, bytes), HF_OK);
	}
}

/* Two peers that have shaken hands. */
static void connect_peers(struct peer *a, struct peer *b)
{
	start(a);
	start(b);
	exchange(a, b);
	assert_int_equal(a->handshake_count, 1);
	assert_int_equal(b->handshake_count, 1);
}

static struct hf_slice last_heard(const struct peer *peer, size_t length)
{
	assert_true(peer->heard.length >= 4 + length);
	const uint8_t *at = peer->heard.data + peer->heard.length - length;
	assert_int_equal(hf_load_le32(at - 4), length);
	return hf_slice(at, length);
}

/* ---- The recorded session ---- */

static void recorded(const json_t *session, const char *from, struct hf_buffer *wire)
{
	struct hf_buffer bytes = {0};
	json_t *packet;
	size_t i;

	hf_buffer_clear(wire);
	json_array_foreach(vectors_array(session, "wire", 13), i, packet)
		if (strcmp(vectors_text(packet, "kind"), "stream") == 0 && strcmp(vectors_text(packet, "from"), from) == 0) {
			vectors_hex(&bytes, packet, "hex");
			hf_buffer_append(wire, bytes.data, bytes.length);
		}
	hf_buffer_free(&bytes);
}

static void check_heard(const struct peer *peer, const json_t *session)
{
	struct hf_buffer text = {0};
	size_t at = 0, i, count = 0;
	json_t *delivered;

	json_array_foreach(vectors_array(session, "delivered", 8), i, delivered) {
		if (i >= 5 || strcmp(vectors_text(delivered, "at"), peer->name) != 0)
			continue;
		vectors_hex(&text, delivered, "hex");
		assert_int_equal(hf_load_le32(peer->heard.data + at), text.length);
		assert_memory_equal(peer->heard.data + at + 4, text.data, text.length);
		at += 4 + text.length;
		count++;
	}
	assert_int_equal(at, peer->heard.length);
	assert_int_equal(count, peer->message_count);
	assert_int_equal(count, peer->options.is_initiator ? 3 : 2);
	hf_buffer_free(&text);
}

/* Plays the other side: its bytes in a first piece of `cut`, and then in pieces of `step`. */
static void play(json_t *session, bool is_initiator, size_t cut, size_t step)
{
	struct hf_buffer incoming = {0}, expected = {0};
	struct peer peer;

	set_up_peer(&peer, is_initiator);
	peer.session = session;
	recorded(session, is_initiator ? "responder" : "initiator", &incoming);
	recorded(session, peer.name, &expected);
	start(&peer);
	for (size_t at = 0, piece = cut; at < incoming.length; at += piece, piece = step) {
		if (piece > incoming.length - at)
			piece = incoming.length - at;
		assert_int_equal(feed(&peer, hf_slice(incoming.data + at, piece)), HF_OK);
		pump(&peer);
	}
	assert_true(hf_slice_equal(hf_buffer_slice(&peer.output), hf_buffer_slice(&expected)));
	check_heard(&peer, session);
	vectors_expect(session, "handshakeHash", hf_secret_stream_handshake_hash(peer.stream), 64);
	vectors_expect(vectors_get(session, is_initiator ? "responder" : "initiator"), "publicKey",
		hf_secret_stream_remote_key(peer.stream), 32);
	assert_int_equal(peer.handshake_count, 1);
	tear_down_peer(&peer);
	hf_buffer_free(&incoming);
	hf_buffer_free(&expected);
}

static void test_recorded_session_from_both_sides_cut_at_every_byte(void **state)
{
	json_t *root = vectors_load("hypercore/secret-stream.json"), *session = vectors_get(root, "session");
	struct hf_buffer incoming = {0};

	for (int role = 0; role < 2; role++) {
		recorded(session, role == 0 ? "responder" : "initiator", &incoming);
		for (size_t cut = 1; cut <= incoming.length; cut++)
			play(session, role == 0, cut, SIZE_MAX);
		for (size_t step = 1; step < 80; step++)
			play(session, role == 0, step, step);
	}
	hf_buffer_free(&incoming);
	json_decref(root);
}

/* ---- Messages ---- */

static void test_messages_of_all_sizes_arrive(void **state)
{
	static const size_t lengths[] = {0, 1, 100, 895, 16000, 16384, 65536, 300000, HF_SECRET_STREAM_MESSAGE_BYTES_MAX};
	uint8_t *text = malloc(HF_SECRET_STREAM_MESSAGE_BYTES_MAX);
	struct peer a, b;

	set_up_peer(&a, true);
	set_up_peer(&b, false);
	connect_peers(&a, &b);
	for (size_t i = 0; i < HF_SECRET_STREAM_MESSAGE_BYTES_MAX; i++)
		text[i] = (uint8_t)(i * 7 + i / 1000);
	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		assert_int_equal(write_text(&a, 0, hf_slice(text, lengths[i])), HF_OK);
		struct hf_slice bytes = pump(&a);
		for (size_t at = 0; at < bytes.length; at += 65536)
			assert_int_equal(feed(&b, hf_slice(bytes.data + at, bytes.length - at < 65536 ? bytes.length - at : 65536)), HF_OK);
		assert_true(hf_slice_equal(last_heard(&b, lengths[i]), hf_slice(text, lengths[i])));
		hf_buffer_clear(&b.heard);
	}
	assert_int_equal(write_text(&a, 0, hf_slice(text, HF_SECRET_STREAM_MESSAGE_BYTES_MAX + 1)), HF_ETOOBIG);
	free(text);
	tear_down_peer(&a);
	tear_down_peer(&b);
}

/* Whatever came before, two frames later nothing is left over at the end of a read. */
static void test_reads_come_to_end_where_frames_do(void **state)
{
	static const size_t before[] = {0, 1, 2, 3, 4, 30000, 65000};
	enum { ROOM = 200000, BODY = 65536, FRAME = 3 + BODY + 17, FRAMES = 12 };
	uint8_t *text = calloc(1, BODY);
	struct peer a, b;

	set_up_peer(&a, true);
	set_up_peer(&b, false);
	connect_peers(&a, &b);
	assert_int_equal(hf_secret_stream_wanted_bytes(b.stream, ROOM), ROOM);
	for (size_t i = 0; i < sizeof before / sizeof *before; i++) {
		for (int n = 0; n < FRAMES; n++)
			assert_int_equal(write_text(&a, 0, hf_slice(text, BODY)), HF_OK);
		struct hf_slice bytes = pump(&a);
		size_t at = FRAME + before[i];

		assert_int_equal(bytes.length, FRAMES * FRAME);
		assert_int_equal(feed(&b, hf_slice(bytes.data, at)), HF_OK);
		assert_int_equal(hf_secret_stream_gathered_bytes(b.stream) > 0, before[i] > 0);
		while (at < bytes.length) {
			size_t wanted = hf_secret_stream_wanted_bytes(b.stream, ROOM), left = bytes.length - at;

			assert_true(wanted > ROOM - FRAME && wanted <= ROOM);
			assert_int_equal(feed(&b, hf_slice(bytes.data + at, wanted < left ? wanted : left)), HF_OK);
			assert_int_equal(hf_secret_stream_gathered_bytes(b.stream), 0);
			at += wanted;
		}
		/* No more can be had at once than there is room for, and a short message makes room for anything. */
		assert_int_equal(hf_secret_stream_wanted_bytes(b.stream, FRAME - 1), FRAME - 1);
	}
	assert_int_equal(write_text(&a, 0, hf_slice(text, 100)), HF_OK);
	assert_int_equal(feed(&b, pump(&a)), HF_OK);
	assert_int_equal(hf_secret_stream_wanted_bytes(b.stream, ROOM), ROOM);
	free(text);
	tear_down_peer(&a);
	tear_down_peer(&b);
}

static void test_a_finished_handshake_can_be_handed_in(void **state)
{
	struct hf_noise_result result = {.tx = {1}, .rx = {2}, .handshake_hash = {3}, .remote_static = {4}};
	struct hf_noise_result mirrored = {.tx = {2}, .rx = {1}, .handshake_hash = {3}, .remote_static = {5}};
	struct peer a, b;

	set_up_peer(&a, true);
	set_up_peer(&b, false);
	a.options.handshake = &result;
	b.options.handshake = &mirrored;
	start(&a);
	start(&b);
	assert_true(hf_secret_stream_is_open(a.stream));
	assert_memory_equal(hf_secret_stream_remote_key(a.stream), result.remote_static, 32);
	assert_int_equal(write_text(&a, 0, HF_SLICE_LITERAL("at once")), HF_OK);
	exchange(&a, &b);
	assert_true(hf_slice_equal(last_heard(&b, 7), HF_SLICE_LITERAL("at once")));
	assert_int_equal(a.handshake_count + b.handshake_count, 0);
	tear_down_peer(&a);
	tear_down_peer(&b);
}

static void test_output_may_be_taken_in_parts_and_kept(void **state)
{
	struct hf_secret_stream_slice first, rest[SLICE_COUNT];
	static uint8_t big[70000];
	struct peer a, b;

	set_up_peer(&a, true);
	set_up_peer(&b, false);
	connect_peers(&a, &b);
	assert_int_equal(write_text(&a, 0, HF_SLICE_LITERAL("one")), HF_OK);
	assert_int_equal(write_text(&a, 0, hf_slice(big, sizeof big)), HF_OK);
	assert_int_equal(hf_secret_stream_send(a.stream, &first, 1), 1);
	assert_int_equal(write_text(&a, 0, HF_SLICE_LITERAL("two")), HF_OK);
	assert_int_equal(write_text(&a, 0, hf_slice(big, sizeof big)), HF_OK);
	assert_int_equal(write_text(&a, 0, HF_SLICE_LITERAL("three")), HF_OK);
	size_t count = hf_secret_stream_send(a.stream, rest, SLICE_COUNT);
	assert_int_equal(count, 2);
	assert_int_equal(feed(&b, hf_slice(first.data, first.length)), HF_OK);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(feed(&b, hf_slice(rest[i].data, rest[i].length)), HF_OK);
	assert_true(hf_slice_equal(last_heard(&b, 5), HF_SLICE_LITERAL("three")));
	assert_int_equal(b.message_count, 5);
	tear_down_peer(&a);
	hf_secret_stream_release(first.chunk);
	for (size_t i = 0; i < count; i++)
		hf_secret_stream_release(rest[i].chunk);
	tear_down_peer(&b);
}

static void test_a_full_output_refuses_and_recovers(void **state)
{
	struct peer a, b;

	set_up_peer(&a, true);
	set_up_peer(&b, false);
	a.options.output_bytes_max = 1000;
	connect_peers(&a, &b);
	unsigned written = 0;
	while (write_text(&a, 0, HF_SLICE_LITERAL("0123456789")) == HF_OK)
		written++;
	assert_int_equal(written, 34); /* of 30 bytes each */
	assert_int_equal(write_text(&a, 0, HF_SLICE_LITERAL("x")), HF_EBUSY);
	exchange(&a, &b);
	assert_int_equal(write_text(&a, 0, HF_SLICE_LITERAL("x")), HF_OK);
	exchange(&a, &b);
	assert_int_equal(b.message_count, written + 1);
	tear_down_peer(&a);
	tear_down_peer(&b);
}

static void test_writes_wait_for_the_handshake(void **state)
{
	struct peer a;

	set_up_peer(&a, true);
	start(&a);
	assert_int_equal(write_text(&a, 0, HF_SLICE_LITERAL("x")), HF_EWAIT);
	tear_down_peer(&a);
}

static void test_freed_from_within_an_event(void **state)
{
	struct peer a, b;

	set_up_peer(&a, true);
	set_up_peer(&b, false);
	b.free_at_message = 2;
	connect_peers(&a, &b);
	for (int i = 0; i < 3; i++)
		assert_int_equal(write_text(&a, 0, HF_SLICE_LITERAL("x")), HF_OK);
	assert_int_equal(feed(&b, pump(&a)), HF_ECLOSED);
	assert_int_equal(b.message_count, 2);
	b.stream = NULL;
	tear_down_peer(&a);
	tear_down_peer(&b);
}

/* ---- What ends a session ---- */

static void expect_end(struct peer *peer, struct hf_slice bytes, int error)
{
	assert_int_equal(feed(peer, bytes), error);
	assert_int_equal(feed(peer, HF_SLICE_LITERAL("")), error);
	assert_int_equal(write_text(peer, 0, HF_SLICE_LITERAL("x")), error);
	assert_int_equal(hf_secret_stream_tick(peer->stream, 1 << 30), error);
	assert_false(hf_secret_stream_is_open(peer->stream));
	assert_true(hf_secret_stream_deadline(peer->stream) == UINT64_MAX);
}

static void test_frames_of_wrong_length_in_the_handshake(void **state)
{
	static const struct hf_slice wrong[] = {HF_SLICE_LITERAL("\x61\0\0"), HF_SLICE_LITERAL("\x20\0\x01"), HF_SLICE_LITERAL("\0\0\0"),
		HF_SLICE_LITERAL("\x01\0\0x")};
	struct peer b;

	for (size_t i = 0; i < 4; i++) {
		set_up_peer(&b, false);
		start(&b);
		expect_end(&b, wrong[i], HF_EMALFORMED);
		tear_down_peer(&b);
	}
}

/* Every byte of what the initiator sends, handshake, header and one message, turned in one bit: the responder must refuse it, but for
 * the bits that only tell lies about length or the header's random bytes, whose refusal comes with the next message. */
static void test_turned_bits_end_the_session(void **state)
{
	static const size_t first_bytes = FRAME_HEAD_BYTES + 32;

	for (size_t flipped = first_bytes;; flipped++) {
		struct peer a, b;
		set_up_peer(&a, true);
		set_up_peer(&b, false);
		start(&a);
		start(&b);
		assert_int_equal(feed(&b, pump(&a)), HF_OK);
		assert_int_equal(feed(&a, pump(&b)), HF_OK);
		assert_int_equal(write_text(&a, 0, HF_SLICE_LITERAL("message")), HF_OK);
		pump(&a);
		bool is_last = flipped + 1 == a.output.length;
		a.output.data[flipped] ^= 1;
		int error = feed(&b, hf_slice(a.output.data + first_bytes, a.output.length - first_bytes));
		if (error != HF_OK)
			expect_end(&b, HF_SLICE_LITERAL(""), error);
		assert_true(error == HF_EBADSIG || error == HF_EMALFORMED || (error == HF_OK && b.message_count == 0));
		tear_down_peer(&a);
		tear_down_peer(&b);
		if (is_last)
			break;
	}
}

static void check_message_frame(struct hf_slice frame, uint32_t message_bytes_max, int error)
{
	struct peer a, b;

	set_up_peer(&a, true);
	set_up_peer(&b, false);
	b.options.message_bytes_max = message_bytes_max;
	connect_peers(&a, &b);
	expect_end(&b, frame, error);
	assert_int_equal(b.message_count, 0);
	tear_down_peer(&a);
	tear_down_peer(&b);
}

static void test_wrong_message_frames(void **state)
{
	check_message_frame(HF_SLICE_LITERAL("\0\0\0"), 0, HF_EMALFORMED);
	check_message_frame(HF_SLICE_LITERAL("\x10\0\0"), 0, HF_EMALFORMED);
	check_message_frame(HF_SLICE_LITERAL("\x11\0\0uuuuuuuuuuuuuuuuu"), 0, HF_EBADSIG);
	check_message_frame(HF_SLICE_LITERAL("\x76\0\0"), 100, HF_ETOOBIG);
	check_message_frame(HF_SLICE_LITERAL("\x75\0\0" "100 bytes and overhead are within the limit, so that this one fails by its "
		"authentication only, when all is here. . . . . . . ."), 100, HF_EBADSIG);
}

static void test_a_peer_that_reflects_us_is_refused(void **state)
{
	struct hf_noise_result result = {.tx = {1}, .rx = {1}};
	struct peer a;

	set_up_peer(&a, true);
	a.options.handshake = &result;
	start(&a);
	expect_end(&a, pump(&a), HF_EMALFORMED);
	tear_down_peer(&a);
}

/* ---- Time ---- */

static void test_keep_alive_after_silence_only(void **state)
{
	struct peer a, b;

	set_up_peer(&a, true);
	set_up_peer(&b, false);
	a.options.keep_alive_ms = HF_SECRET_STREAM_KEEP_ALIVE_MS;
	start(&a);
	start(&b);
	assert_true(hf_secret_stream_deadline(a.stream) == UINT64_MAX);
	exchange(&a, &b);
	assert_int_equal(hf_secret_stream_deadline(a.stream), 5000);
	assert_true(hf_secret_stream_deadline(b.stream) == UINT64_MAX);
	assert_int_equal(write_text(&a, 2000, HF_SLICE_LITERAL("x")), HF_OK);
	assert_int_equal(hf_secret_stream_deadline(a.stream), 7000);
	assert_int_equal(hf_secret_stream_tick(a.stream, 7000), HF_OK);
	assert_int_equal(hf_secret_stream_deadline(a.stream), 12000); /* what is pending says as much */
	exchange(&a, &b);
	assert_int_equal(hf_secret_stream_tick(a.stream, 11999), HF_OK);
	assert_int_equal(hf_secret_stream_pending_bytes(a.stream), 0);
	assert_int_equal(hf_secret_stream_tick(a.stream, 12000), HF_OK);
	assert_int_equal(hf_secret_stream_pending_bytes(a.stream), FRAME_HEAD_BYTES + HF_SECRETSTREAM_OVERHEAD_BYTES);
	exchange(&a, &b);
	last_heard(&b, 0);
	assert_int_equal(b.message_count, 2);
	assert_int_equal(write_text(&b, 0, HF_SLICE_LITERAL("")), HF_OK);
	exchange(&a, &b);
	assert_int_equal(a.message_count, 0); /* one that keeps alive itself drops empty ones */
	tear_down_peer(&a);
	tear_down_peer(&b);
}

static void test_idle_timeout(void **state)
{
	uint8_t nothing[1] = {0x20};
	struct peer b;

	set_up_peer(&b, false);
	b.options.idle_timeout_ms = 1000;
	start(&b);
	assert_int_equal(hf_secret_stream_deadline(b.stream), 1000);
	assert_int_equal(hf_secret_stream_recv(b.stream, 500, nothing, 1), HF_OK);
	assert_int_equal(hf_secret_stream_tick(b.stream, 1499), HF_OK);
	assert_int_equal(hf_secret_stream_tick(b.stream, 1500), HF_ETIMEOUT);
	expect_end(&b, HF_SLICE_LITERAL("x"), HF_ETIMEOUT);
	tear_down_peer(&b);
}

/* ---- Memory ---- */

static int session_once(void)
{
	static uint8_t big[40000];
	struct peer a, b;
	int error;

	set_up_peer(&a, true);
	set_up_peer(&b, false);
	error = hf_secret_stream_new(&a.stream, &a.options, 0);
	if (error == HF_OK)
		error = hf_secret_stream_new(&b.stream, &b.options, 0);
	for (int i = 0; i < 4 && error == HF_OK; i++) {
		struct peer *from = i % 2 == 0 ? &a : &b, *to = i % 2 == 0 ? &b : &a;
		struct hf_secret_stream_slice slices[SLICE_COUNT];
		if (i == 2)
			error = write_text(&a, 0, hf_slice(big, sizeof big));
		size_t count = hf_secret_stream_send(from->stream, slices, SLICE_COUNT);
		for (size_t j = 0; j < count; j++) {
			size_t cut = slices[j].length / 2;
			if (error == HF_OK)
				error = hf_secret_stream_recv(to->stream, 0, (uint8_t *)(uintptr_t)slices[j].data, cut);
			if (error == HF_OK)
				error = hf_secret_stream_recv(to->stream, 0, (uint8_t *)(uintptr_t)slices[j].data + cut, slices[j].length - cut);
			hf_secret_stream_release(slices[j].chunk);
		}
	}
	tear_down_peer(&a);
	tear_down_peer(&b);
	return error;
}

static void test_every_failing_allocation_is_reported(void **state)
{
	for (uint64_t n = 1;; n++) {
		hf_secret_stream_pool_free(pool);
		assert_int_equal(hf_secret_stream_pool_new(&pool), HF_OK);
		fail_alloc_arm(n, false);
		int error = session_once();
		if (!fail_alloc_disarm()) {
			assert_int_equal(error, HF_OK);
			assert_true(n > 8);
			break;
		}
		assert_true(error == HF_ENOMEM || error == HF_OK); /* the recorder's own may be the one that failed */
	}
}

static int set_up(void **state)
{
	return hf_crypto_init() != HF_OK || hf_secret_stream_pool_new(&pool) != HF_OK;
}

static int tear_down(void **state)
{
	hf_secret_stream_pool_free(pool);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recorded_session_from_both_sides_cut_at_every_byte),
		cmocka_unit_test(test_messages_of_all_sizes_arrive),
		cmocka_unit_test(test_reads_come_to_end_where_frames_do),
		cmocka_unit_test(test_a_finished_handshake_can_be_handed_in),
		cmocka_unit_test(test_output_may_be_taken_in_parts_and_kept),
		cmocka_unit_test(test_a_full_output_refuses_and_recovers),
		cmocka_unit_test(test_writes_wait_for_the_handshake),
		cmocka_unit_test(test_freed_from_within_an_event),
		cmocka_unit_test(test_frames_of_wrong_length_in_the_handshake),
		cmocka_unit_test(test_turned_bits_end_the_session),
		cmocka_unit_test(test_wrong_message_frames),
		cmocka_unit_test(test_a_peer_that_reflects_us_is_refused),
		cmocka_unit_test(test_keep_alive_after_silence_only),
		cmocka_unit_test(test_idle_timeout),
		cmocka_unit_test(test_every_failing_allocation_is_reported),
	};
	return cmocka_run_group_tests_name("secret_stream", tests, set_up, tear_down);
}
