/* Streams between two channels: heads, data in order and whole, credit, what waits and what is bounded, every way to end. */
#include "protomux_fixture.h"

#include "support/fail_alloc.h"
#include "wire/relay_stream.h"

struct peer {
	struct side side;
	struct hf_relay_streams *streams;
	struct hf_relay_stream *stream; /* the last that the remote opened */
	struct hf_buffer received;
	unsigned messages;
	bool refuses, consumes, resets_on_data, ends_on_finish, is_quiet;
	int head_status;
};

static void on_head(void *context, struct hf_relay_stream *stream, int status, const struct hf_http_field *fields, size_t count)
{
	side_log(&((struct peer *)context)->side, "head %d %zu", status, count);
}

static void on_data(void *context, struct hf_relay_stream *stream, struct hf_slice bytes, bool is_end_of_message)
{
	struct peer *p = context;

	assert_int_equal(hf_buffer_append(&p->received, bytes.data, bytes.length), HF_OK);
	p->messages += is_end_of_message;
	if (p->consumes)
		hf_relay_stream_consumed(stream, bytes.length);
	if (p->resets_on_data)
		hf_relay_stream_reset(stream, 4001, HF_SLICE_LITERAL("enough"));
}

static void on_writable(void *context, struct hf_relay_stream *stream)
{
	assert_true(hf_relay_stream_room(stream) > 0);
	side_log(&((struct peer *)context)->side, "writable");
}

static void on_finished(void *context, struct hf_relay_stream *stream)
{
	struct peer *p = context;

	side_log(&p->side, "finished");
	if (p->ends_on_finish)
		hf_relay_stream_end(stream);
}

static void on_ended(void *context, struct hf_relay_stream *stream, int code, uint32_t reset_code, struct hf_slice reason)
{
	struct peer *p = context;

	if (!p->is_quiet)
		side_log(&p->side, "ended %s %u %.*s", hf_error_name(code), reset_code, (int)reason.length, (const char *)reason.data);
	assert_int_equal(hf_relay_stream_send(stream, HF_SLICE_LITERAL("x"), true), HF_ECLOSED);
	assert_int_equal(hf_relay_stream_room(stream), 0);
}

static const struct hf_relay_stream_events stream_events = {
	.head = on_head, .data = on_data, .writable = on_writable, .finished = on_finished, .ended = on_ended};

static void on_opened(void *context, struct hf_relay_streams *streams)
{
	assert_true(hf_relay_streams_is_open(streams));
}

static void on_stream(void *context, struct hf_relay_streams *streams, struct hf_relay_stream *stream,
	const struct hf_relay_stream_open *open)
{
	struct peer *p = context;

	if (!p->is_quiet)
		side_log(&p->side, "stream %llu %d %.*s %.*s %zu", (unsigned long long)hf_relay_stream_id(stream),
			hf_relay_stream_kind(stream), (int)open->method.length, (const char *)open->method.data,
			(int)open->path.length, (const char *)open->path.data, open->field_count);
	if (p->refuses)
		return;
	p->stream = stream;
	assert_ptr_equal(hf_relay_stream_channel(stream), streams);
	hf_relay_stream_accept(stream, &stream_events, p);
	if (p->head_status != 0)
		assert_int_equal(hf_relay_stream_send_head(stream, p->head_status, open->fields, open->field_count), HF_OK);
}

static void on_closed(void *context, struct hf_relay_streams *streams, enum hf_channel_end end)
{
	side_log(&((struct peer *)context)->side, "closed %d", end);
}

static const struct hf_relay_streams_events events = {.opened = on_opened, .stream = on_stream, .closed = on_closed};

static int start(struct peer *p, bool is_initiator, uint32_t count_max)
{
	const struct hf_relay_streams_options options = {
		.is_initiator = is_initiator, .seed = 1, .stream_count_max = count_max, .events = &events, .context = p};

	return hf_relay_streams_new(p->side.mux, &options, &p->streams);
}

static void begin(struct peer *a, struct peer *b, uint32_t count_max)
{
	*a = (struct peer){.consumes = true};
	*b = (struct peer){.consumes = true, .head_status = 101};
	side_init(&a->side, &b->side, NULL);
	side_init(&b->side, &a->side, NULL);
	assert_int_equal(start(a, true, count_max), HF_OK);
	assert_int_equal(start(b, false, count_max), HF_OK);
	side_exchange(&a->side, &b->side);
}

static void end(struct peer *a, struct peer *b)
{
	a->is_quiet = b->is_quiet = true;
	hf_relay_streams_free(a->streams);
	hf_relay_streams_free(b->streams);
	side_done(&a->side);
	side_done(&b->side);
	hf_buffer_free(&a->received);
	hf_buffer_free(&b->received);
}

static const struct hf_http_field field = {HF_SLICE_LITERAL("x-a"), HF_SLICE_LITERAL("b")};

static struct hf_relay_stream *open_stream(struct peer *p)
{
	const struct hf_relay_stream_open open = {.kind = HF_RELAY_STREAM_WEBSOCKET, .method = HF_SLICE_LITERAL("GET"),
		.path = HF_SLICE_LITERAL("/r"), .fields = &field, .field_count = 1};
	struct hf_relay_stream *stream;

	assert_int_equal(hf_relay_stream_new(p->streams, &open, &stream_events, p, &stream), HF_OK);
	return stream;
}

/* Frames of the fixture are limited; what was delivered is forgotten. */
static void exchange(struct peer *a, struct peer *b)
{
	side_exchange(&a->side, &b->side);
	a->side.frame_count = a->side.delivered = b->side.frame_count = b->side.delivered = 0;
}

static void test_a_stream_goes_both_ways_and_ends_whole(void **state)
{
	struct hf_relay_stream *stream;
	struct peer a, b;

	begin(&a, &b, 0);
	stream = open_stream(&a);
	assert_int_equal(hf_relay_stream_send(stream, HF_SLICE_LITERAL("hel"), false), HF_OK);
	assert_int_equal(hf_relay_stream_send(stream, HF_SLICE_LITERAL("lo"), true), HF_OK);
	assert_int_equal(hf_relay_stream_send(stream, hf_slice(NULL, 0), true), HF_OK);
	exchange(&a, &b);
	side_expect(&b.side, "stream 0 1 GET /r 1\n");
	side_expect(&a.side, "head 101 1\n");
	assert_int_equal(b.messages, 2);
	assert_int_equal(b.received.length, 5);
	assert_int_equal(hf_relay_stream_send(b.stream, HF_SLICE_LITERAL("yes"), true), HF_OK);
	b.ends_on_finish = true;
	hf_relay_stream_end(stream);
	assert_int_equal(hf_relay_stream_send(stream, HF_SLICE_LITERAL("x"), true), HF_ECLOSED);
	exchange(&a, &b);
	side_expect(&b.side, "finished\nended HF_OK 0 \n");
	side_expect(&a.side, "finished\nended HF_OK 0 \n");
	assert_int_equal(hf_relay_streams_count(a.streams) + hf_relay_streams_count(b.streams), 0);
	end(&a, &b);
}

static void test_ids_are_even_at_the_initiator_and_odd_at_the_other(void **state)
{
	struct peer a, b;

	begin(&a, &b, 0);
	a.head_status = 200;
	assert_int_equal(hf_relay_stream_id(open_stream(&a)), 0);
	assert_int_equal(hf_relay_stream_id(open_stream(&a)), 2);
	assert_int_equal(hf_relay_stream_id(open_stream(&b)), 1);
	assert_int_equal(hf_relay_stream_id(open_stream(&b)), 3);
	exchange(&a, &b);
	assert_int_equal(hf_relay_streams_count(a.streams), 4);
	assert_int_equal(hf_relay_streams_count(b.streams), 4);
	end(&a, &b);
}

static uint8_t pattern(size_t i) { return (uint8_t)(i * 7 + i / 251); }

static void test_what_is_over_the_credit_waits_for_it(void **state)
{
	static uint8_t bytes[HF_RELAY_STREAM_SEND_BYTES_MAX + 1];
	struct hf_relay_stream *stream;
	struct peer a, b;

	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = pattern(i);
	begin(&a, &b, 0);
	b.consumes = false;
	stream = open_stream(&a);
	assert_int_equal(hf_relay_stream_send(stream, hf_slice(bytes, sizeof bytes), true), HF_ETOOBIG);
	assert_int_equal(hf_relay_stream_room(stream), HF_RELAY_STREAM_WINDOW_BYTES);
	assert_int_equal(hf_relay_stream_send(stream, hf_slice(bytes, sizeof bytes - 1), true), HF_OK);
	assert_int_equal(hf_relay_stream_room(stream), 0);
	assert_int_equal(hf_relay_streams_pending_bytes(a.streams), sizeof bytes - 1 - HF_RELAY_STREAM_WINDOW_BYTES);
	assert_int_equal(hf_relay_stream_send(stream, HF_SLICE_LITERAL("x"), true), HF_EBUSY);
	exchange(&a, &b);
	assert_int_equal(b.received.length, HF_RELAY_STREAM_WINDOW_BYTES);
	assert_int_equal(b.messages, 0);
	hf_buffer_clear(&a.side.log);
	while (b.received.length < sizeof bytes - 1) {
		size_t before = b.received.length;

		hf_relay_stream_consumed(b.stream, HF_RELAY_STREAM_WINDOW_BYTES);
		exchange(&a, &b);
		assert_true(b.received.length > before && b.received.length - before <= HF_RELAY_STREAM_WINDOW_BYTES);
	}
	assert_memory_equal(b.received.data, bytes, sizeof bytes - 1);
	assert_int_equal(b.messages, 1);
	assert_int_equal(hf_relay_streams_pending_bytes(a.streams), 0);
	assert_int_equal(hf_relay_stream_send(stream, HF_SLICE_LITERAL("x"), true), HF_EBUSY);
	hf_relay_stream_consumed(b.stream, sizeof bytes); /* no more than was given */
	exchange(&a, &b);
	side_expect(&a.side, "writable\n");
	assert_int_equal(hf_relay_stream_room(stream), HF_RELAY_STREAM_WINDOW_BYTES);
	end(&a, &b);
}

static void test_a_congested_mux_holds_everything_back(void **state)
{
	static uint8_t bytes[100000];
	struct hf_relay_stream *stream;
	struct peer a, b;

	begin(&a, &b, 0);
	stream = open_stream(&a);
	a.side.is_congested = true;
	assert_int_equal(hf_relay_stream_room(stream), 0);
	assert_int_equal(hf_relay_stream_send(stream, hf_slice(bytes, sizeof bytes), true), HF_EBUSY);
	a.side.is_congested = false;
	hf_protomux_drained(a.side.mux);
	assert_int_equal(hf_relay_stream_send(stream, hf_slice(bytes, sizeof bytes), true), HF_OK);
	hf_relay_stream_end(stream);
	exchange(&a, &b);
	side_expect(&a.side, "writable\nhead 101 1\n");
	side_expect(&b.side, "stream 0 1 GET /r 1\nfinished\n");
	assert_int_equal(b.received.length, sizeof bytes);
	end(&a, &b);
}

static void test_an_end_goes_out_behind_what_waits(void **state)
{
	static uint8_t bytes[HF_RELAY_STREAM_WINDOW_BYTES + 1000];
	struct hf_relay_stream *stream;
	struct peer a, b;

	begin(&a, &b, 0);
	b.consumes = false;
	stream = open_stream(&a);
	assert_int_equal(hf_relay_stream_send(stream, hf_slice(bytes, sizeof bytes), true), HF_OK);
	hf_relay_stream_end(stream);
	exchange(&a, &b);
	side_expect(&b.side, "stream 0 1 GET /r 1\n");
	hf_relay_stream_end(b.stream);
	exchange(&a, &b);
	side_expect(&a.side, "head 101 1\nfinished\n");
	hf_relay_stream_consumed(b.stream, HF_RELAY_STREAM_WINDOW_BYTES);
	exchange(&a, &b);
	side_expect(&a.side, "ended HF_OK 0 \n");
	side_expect(&b.side, "finished\nended HF_OK 0 \n");
	assert_int_equal(b.received.length, sizeof bytes);
	end(&a, &b);
}

static void test_a_reset_ends_it_at_the_other_side_alone(void **state)
{
	struct hf_relay_stream *stream;
	struct peer a, b;

	begin(&a, &b, 0);
	stream = open_stream(&a);
	b.resets_on_data = true;
	assert_int_equal(hf_relay_stream_send(stream, HF_SLICE_LITERAL("x"), true), HF_OK);
	assert_int_equal(hf_relay_stream_send(stream, HF_SLICE_LITERAL("y"), true), HF_OK);
	exchange(&a, &b);
	side_expect(&a.side, "head 101 1\nended HF_ECANCELED 4001 enough\n");
	assert_int_equal(b.received.length, 1); /* the second came for a stream that is over */
	stream = open_stream(&a);
	hf_relay_stream_reset(stream, HF_RELAY_STREAM_REASSIGNED,
		hf_slice_text("a reason that is longer than what a close frame takes is cut off "
			      "where that ends, and that is after one hundred and twenty-three bytes"));
	exchange(&a, &b);
	side_expect(&a.side, "");
	assert_non_null(memmem(b.side.log.data, b.side.log.length, "ended HF_ECANCELED 2 a reason", 29));
	assert_int_equal(hf_relay_streams_count(a.streams) + hf_relay_streams_count(b.streams), 0);
	end(&a, &b);
}

static void test_streams_are_refused_and_limited(void **state)
{
	const struct hf_relay_stream_open open = {
		.kind = HF_RELAY_STREAM_HTTP, .method = HF_SLICE_LITERAL("GET"), .path = HF_SLICE_LITERAL("/")};
	struct hf_relay_stream *stream;
	struct peer a, b;

	begin(&a, &b, 2);
	b.refuses = true;
	open_stream(&a);
	exchange(&a, &b);
	side_expect(&a.side, "ended HF_ECANCELED 3 not served here\n");
	b.refuses = false;
	open_stream(&a);
	open_stream(&a);
	assert_int_equal(hf_relay_stream_new(a.streams, &open, &stream_events, &a, &stream), HF_EBUSY);
	assert_null(stream);
	end(&a, &b);
	begin(&a, &b, 2);
	hf_relay_streams_free(a.streams);
	exchange(&a, &b);
	hf_relay_streams_free(b.streams);
	assert_int_equal(start(&a, true, 3), HF_OK);
	assert_int_equal(start(&b, false, 2), HF_OK);
	exchange(&a, &b);
	for (unsigned i = 0; i < 3; i++)
		open_stream(&a);
	exchange(&a, &b);
	assert_non_null(memmem(a.side.log.data, a.side.log.length, "ended HF_ECANCELED 4 too many streams", 37));
	assert_int_equal(hf_relay_streams_count(b.streams), 2);
	end(&a, &b);
}

static void test_what_cannot_be_said_is_refused_before(void **state)
{
	struct hf_http_field fields[HF_RELAY_STREAM_FIELDS_MAX + 1];
	static char value[HF_RELAY_STREAM_HEAD_BYTES_MAX];
	struct hf_relay_stream_open open = {.kind = HF_RELAY_STREAM_HTTP, .method = HF_SLICE_LITERAL("GET"), .path = HF_SLICE_LITERAL("/"),
		.fields = fields, .field_count = 1};
	struct hf_relay_stream *stream;
	struct peer a, b;

	begin(&a, &b, 0);
	b.head_status = 0;
	for (unsigned i = 0; i <= HF_RELAY_STREAM_FIELDS_MAX; i++)
		fields[i] = field;
	fields[0].value = HF_SLICE_LITERAL("a\r\nb: c");
	assert_int_equal(hf_relay_stream_new(a.streams, &open, &stream_events, &a, &stream), HF_EINVAL);
	memset(value, 'a', sizeof value);
	fields[0].value = hf_slice(value, sizeof value);
	assert_int_equal(hf_relay_stream_new(a.streams, &open, &stream_events, &a, &stream), HF_ETOOBIG);
	fields[0] = field;
	open.field_count = HF_RELAY_STREAM_FIELDS_MAX + 1;
	assert_int_equal(hf_relay_stream_new(a.streams, &open, &stream_events, &a, &stream), HF_ETOOBIG);
	open.field_count = 0;
	open.path = HF_SLICE_LITERAL("/a b");
	assert_int_equal(hf_relay_stream_new(a.streams, &open, &stream_events, &a, &stream), HF_EINVAL);
	open.path = HF_SLICE_LITERAL("/");
	assert_int_equal(hf_relay_stream_new(a.streams, &open, &stream_events, &a, &stream), HF_OK);
	exchange(&a, &b);
	assert_int_equal(hf_relay_stream_send_head(stream, 200, NULL, 0), HF_EINVAL); /* it is not the one that answers */
	assert_int_equal(hf_relay_stream_send(b.stream, HF_SLICE_LITERAL("x"), false), HF_EINVAL);
	assert_int_equal(hf_relay_stream_send_head(b.stream, 99, NULL, 0), HF_EINVAL);
	assert_int_equal(hf_relay_stream_send_head(b.stream, 200, fields, HF_RELAY_STREAM_FIELDS_MAX + 1), HF_ETOOBIG);
	assert_int_equal(hf_relay_stream_send_head(b.stream, 200, NULL, 0), HF_OK);
	assert_int_equal(hf_relay_stream_send_head(b.stream, 200, NULL, 0), HF_EINVAL);
	end(&a, &b);
}

static void test_what_breaks_the_rules_ends_the_mux(void **state)
{
	/* channel 1, type, then the message; stream 0 is the remote's and open, stream 1 is ours and has no head */
	static const struct {
		const char *hex;
		int code;
	} cases[] = {
		{"010002010347455401" "2f" "00", HF_OK},           /* the next id: fine */
		{"010004010347455401" "2f" "00", HF_EMALFORMED},   /* one too far */
		{"010000010347455401" "2f" "00", HF_EMALFORMED},   /* again */
		{"010002030347455401" "2f" "00", HF_EMALFORMED},   /* no such kind */
		{"010002010347455401" "78" "00", HF_EMALFORMED},   /* a path without a slash */
		{"010002010347455401" "2f" "41", HF_ETOOBIG},      /* too many fields */
		{"010002010347455401" "2f" "0101610362" "0d0a", HF_EMALFORMED}, /* a field that splits a head */
		{"0100", HF_EMALFORMED},
		{"010100c800", HF_EMALFORMED},                     /* a head from the side that opened */
		{"010101c800", HF_OK},
		{"0101010a00", HF_EMALFORMED},                     /* no such status */
		{"01020178", HF_EMALFORMED},                       /* data before the head */
		{"01020000" "78", HF_OK},
		{"010263" "00" "78", HF_EMALFORMED},               /* a stream that never was */
		{"010300ffffffffffffff0000", HF_ETOOBIG},          /* credit without bound */
		{"0103", HF_EMALFORMED},
		{"010500ff00000000010000000100", HF_ETOOBIG},      /* a code above 32 bits */
		{"01050001", HF_EMALFORMED},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct peer a, b;

		begin(&a, &b, 0);
		a.is_quiet = true;
		open_stream(&b);
		exchange(&a, &b);
		assert_int_equal(side_recv(&b.side, "010000010347455401" "2f" "00"), HF_OK);
		if (cases[i].code != side_recv(&b.side, cases[i].hex))
			fail_msg("case %zu", i);
		end(&a, &b);
	}
}

static void test_more_than_the_window_ends_the_mux(void **state)
{
	struct hf_buffer message = {0};
	struct peer a, b;

	begin(&a, &b, 0);
	b.consumes = false;
	open_stream(&a);
	exchange(&a, &b);
	hf_buffer_append(&message, "\1\2\0\0", 4);
	hf_buffer_reserve(&message, HF_RELAY_STREAM_DATA_BYTES_MAX + 1);
	message.length += HF_RELAY_STREAM_DATA_BYTES_MAX;
	for (unsigned i = 0; i < HF_RELAY_STREAM_WINDOW_BYTES / HF_RELAY_STREAM_DATA_BYTES_MAX; i++)
		assert_int_equal(hf_protomux_recv(b.side.mux, hf_buffer_slice(&message)), HF_OK);
	assert_int_equal(hf_protomux_recv(b.side.mux, hf_slice("\1\2\0\0x", 5)), HF_ETOOBIG);
	end(&a, &b);
	begin(&a, &b, 0);
	open_stream(&a);
	exchange(&a, &b);
	message.length++;
	assert_int_equal(hf_protomux_recv(b.side.mux, hf_buffer_slice(&message)), HF_ETOOBIG);
	hf_buffer_free(&message);
	end(&a, &b);
}

static void test_the_channel_s_end_ends_all_streams(void **state)
{
	struct hf_relay_stream *stream;
	struct peer a, b;

	begin(&a, &b, 0);
	open_stream(&a);
	stream = open_stream(&a);
	exchange(&a, &b);
	hf_buffer_clear(&a.side.log);
	hf_buffer_clear(&b.side.log);
	hf_relay_streams_free(b.streams);
	b.streams = NULL;
	side_expect(&b.side, "ended HF_ECLOSED 0 \nended HF_ECLOSED 0 \n");
	(void)stream;
	exchange(&a, &b);
	side_expect(&a.side, "ended HF_ECLOSED 0 \nended HF_ECLOSED 0 \nclosed 1\n");
	assert_false(hf_relay_streams_is_open(a.streams));
	assert_int_equal(hf_relay_streams_count(a.streams), 0);
	end(&a, &b);
}

static void test_a_full_channel_makes_all_wait_and_tells_all(void **state)
{
	static uint8_t bytes[HF_RELAY_STREAM_SEND_BYTES_MAX];
	struct hf_relay_stream *streams[64];
	struct peer a, b;
	unsigned count = 0;
	int status = HF_OK;

	begin(&a, &b, 0);
	b.is_quiet = true;
	b.consumes = false;
	for (; status == HF_OK && count < 64; count++) {
		streams[count] = open_stream(&a);
		status = hf_relay_stream_send(streams[count], hf_slice(bytes, sizeof bytes), true);
		exchange(&a, &b);
	}
	assert_int_equal(status, HF_EBUSY);
	assert_true(hf_relay_streams_pending_bytes(a.streams) <= HF_RELAY_STREAM_PENDING_BYTES_MAX);
	hf_buffer_clear(&a.side.log);
	for (unsigned i = 0; i < count - 1; i++)
		hf_relay_stream_reset(streams[i], HF_RELAY_STREAM_CANCELED, hf_slice(NULL, 0));
	assert_int_equal(hf_relay_streams_pending_bytes(a.streams), 0);
	side_expect(&a.side, "writable\n");
	assert_int_equal(hf_relay_stream_send(streams[count - 1], hf_slice(bytes, sizeof bytes), true), HF_OK);
	end(&a, &b);
}

static void test_without_memory_nothing_is_lost(void **state)
{
	static uint8_t bytes[300000];
	const struct hf_relay_stream_open open = {
		.kind = HF_RELAY_STREAM_HTTP, .method = HF_SLICE_LITERAL("GET"), .path = HF_SLICE_LITERAL("/")};

	for (uint64_t n = 1, failures = 0;; n++) {
		struct hf_relay_stream *stream = NULL;
		struct peer a, b;

		begin(&a, &b, 0);
		a.is_quiet = true;
		fail_alloc_arm(n, false);
		int status = hf_relay_stream_new(a.streams, &open, &stream_events, &a, &stream);
		if (status == HF_OK)
			status = hf_relay_stream_send(stream, hf_slice(bytes, sizeof bytes), true);
		bool failed = fail_alloc_disarm();
		assert_true(status == HF_OK || status == HF_ENOMEM || status == HF_ECLOSED);
		failures += status != HF_OK;
		end(&a, &b);
		if (!failed) {
			assert_int_equal(status, HF_OK);
			assert_true(failures > 3);
			break;
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_stream_goes_both_ways_and_ends_whole),
		cmocka_unit_test(test_ids_are_even_at_the_initiator_and_odd_at_the_other),
		cmocka_unit_test(test_what_is_over_the_credit_waits_for_it),
		cmocka_unit_test(test_a_congested_mux_holds_everything_back),
		cmocka_unit_test(test_an_end_goes_out_behind_what_waits),
		cmocka_unit_test(test_a_reset_ends_it_at_the_other_side_alone),
		cmocka_unit_test(test_streams_are_refused_and_limited),
		cmocka_unit_test(test_what_cannot_be_said_is_refused_before),
		cmocka_unit_test(test_what_breaks_the_rules_ends_the_mux),
		cmocka_unit_test(test_more_than_the_window_ends_the_mux),
		cmocka_unit_test(test_the_channel_s_end_ends_all_streams),
		cmocka_unit_test(test_a_full_channel_makes_all_wait_and_tells_all),
		cmocka_unit_test(test_without_memory_nothing_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
