/* Two channels back to back: requests, bodies in each of their forms, health, telemetry, bounds, and what is over at the end. */
#include "protomux_fixture.h"

#include "support/fail_alloc.h"
#include "wire/relay_channel.h"

struct peer {
	struct side side;
	struct hf_relay_channel *channel;
	uint64_t last_call;
	bool answers, frees_on_reply;
	struct hf_buffer body; /* of the last request or response */
};

static void keep(struct peer *p, struct hf_slice body)
{
	hf_buffer_clear(&p->body);
	assert_int_equal(hf_buffer_append(&p->body, body.data, body.length), HF_OK);
}

static int on_opened(void *context, struct hf_relay_channel *channel, const struct hf_relay_handshake *theirs)
{
	side_log(&((struct peer *)context)->side, "opened %d %u", theirs->role, theirs->capabilities);
	return HF_OK;
}

static void on_request(void *context, struct hf_relay_channel *channel, uint64_t call, const struct hf_relay_request *request)
{
	struct peer *p = context;
	const struct hf_relay_response response = {.status = 201, .fields = request->fields, .field_count = request->field_count,
		.body = request->body};

	side_log(&p->side, "%.*s %.*s %zu fields %zu bytes", (int)request->method.length, (const char *)request->method.data,
		(int)request->path.length, (const char *)request->path.data, request->field_count, request->body.length);
	p->last_call = call;
	keep(p, request->body);
	if (!p->answers)
		return;
	assert_int_equal(hf_relay_channel_answer(channel, call, &response), HF_OK);
	assert_int_equal(hf_relay_channel_answer(channel, call, &response), HF_ENOTFOUND);
}

static void on_telemetry(void *context, struct hf_relay_channel *channel, const struct hf_telemetry *telemetry)
{
	side_log(&((struct peer *)context)->side, "telemetry %u", telemetry->queue_depth);
}

static void on_frame(void *context, struct hf_relay_channel *channel, struct hf_slice json)
{
	side_log(&((struct peer *)context)->side, "frame %.*s", (int)json.length, (const char *)json.data);
}

static void on_closed(void *context, struct hf_relay_channel *channel, enum hf_channel_end end)
{
	assert_false(hf_relay_channel_is_open(channel));
	side_log(&((struct peer *)context)->side, "closed %d", end);
}

static void on_reply(void *context, int result, const struct hf_relay_response *response)
{
	struct peer *p = context;

	if (response == NULL) {
		side_log(&p->side, "reply %s", hf_error_name(result));
	} else {
		side_log(&p->side, "reply %d %zu fields %zu bytes", response->status, response->field_count, response->body.length);
		keep(p, response->body);
	}
	if (p->frees_on_reply) {
		hf_relay_channel_free(p->channel);
		p->channel = NULL;
	}
}

static uint64_t wall_ms(void *context)
{
	return UINT64_C(1769860800123);
}

static const struct hf_relay_channel_events events = {
	.opened = on_opened, .request = on_request, .telemetry = on_telemetry, .frame = on_frame, .closed = on_closed};

static int start(struct peer *p, uint32_t body_bytes_max)
{
	const struct hf_relay_handshake handshake = {.role = HF_RELAY_ROLE_GATEWAY, .capabilities = HF_RELAY_CAPABILITIES};
	const struct hf_relay_channel_options options = {
		.handshake = &handshake, .body_bytes_max = body_bytes_max, .wall_ms = wall_ms, .events = &events, .context = p};

	return hf_relay_channel_new(p->side.mux, &options, &p->channel);
}

static void begin(struct peer *a, struct peer *b, uint32_t body_bytes_max)
{
	*a = *b = (struct peer){0};
	a->answers = b->answers = true;
	side_init(&a->side, &b->side, NULL);
	side_init(&b->side, &a->side, NULL);
	assert_int_equal(start(a, body_bytes_max), HF_OK);
	assert_int_equal(start(b, body_bytes_max), HF_OK);
	side_exchange(&a->side, &b->side);
	side_expect(&a->side, "opened 1 15\n");
	side_expect(&b->side, "opened 1 15\n");
}

static void end(struct peer *a, struct peer *b)
{
	hf_relay_channel_free(a->channel);
	hf_relay_channel_free(b->channel);
	side_done(&a->side);
	side_done(&b->side);
	hf_buffer_free(&a->body);
	hf_buffer_free(&b->body);
}

static int ask(struct peer *p, const char *path, struct hf_slice body, uint64_t deadline_us, uint64_t *id)
{
	const struct hf_http_field field = {HF_SLICE_LITERAL("x-auth-token"), HF_SLICE_LITERAL("t\"oken")};
	const struct hf_relay_request request = {
		.method = HF_SLICE_LITERAL("POST"), .path = hf_slice_text(path), .fields = &field, .field_count = 1, .body = body};

	return hf_relay_channel_request(p->channel, &request, deadline_us, on_reply, p, id);
}

/* A message of the remote's channel, as if it had sent it: the channel has id 1, the text its length in front. */
static int hear(struct peer *p, uint8_t type, const char *json)
{
	struct hf_buffer message = {0};
	struct hf_compact_writer out = hf_compact_writer(&message);
	const uint8_t head[] = {1, type};

	hf_compact_write_fixed(&out, head, sizeof head);
	hf_compact_write_buffer(&out, hf_slice_text(json));
	int result = hf_protomux_recv(p->side.mux, hf_buffer_slice(&message));
	hf_buffer_free(&message);
	return result;
}

static void test_a_request_comes_back_with_every_byte(void **state)
{
	uint8_t bytes[256];
	struct peer a, b;

	for (unsigned i = 0; i < 256; i++)
		bytes[i] = (uint8_t)i;
	begin(&a, &b, 0);
	assert_int_equal(ask(&a, "/post/relay/x?y=1", hf_slice(bytes, sizeof bytes), HF_RELAY_CHANNEL_NEVER, NULL), HF_OK);
	assert_int_equal(ask(&b, "/z", hf_slice(NULL, 0), HF_RELAY_CHANNEL_NEVER, NULL), HF_OK);
	side_exchange(&a.side, &b.side);
	side_expect(&b.side, "POST /post/relay/x?y=1 1 fields 256 bytes\nreply 201 1 fields 0 bytes\n");
	side_expect(&a.side, "POST /z 1 fields 0 bytes\nreply 201 1 fields 256 bytes\n");
	assert_memory_equal(a.body.data, bytes, sizeof bytes);
	end(&a, &b);
}

static void test_the_text_is_what_hypertuna_reads(void **state)
{
	static const char text[] = "{\"id\":0,\"method\":\"POST\",\"path\":\"/"
				   "p\",\"headers\":{\"x-auth-token\":\"t\\\"oken\"},\"body\":[0,9,10,99,100,255]}";
	static const uint8_t body[] = {0, 9, 10, 99, 100, 255};
	struct peer a, b;

	begin(&a, &b, 0);
	assert_int_equal(ask(&a, "/p", hf_slice(body, sizeof body), HF_RELAY_CHANNEL_NEVER, NULL), HF_OK);
	struct hf_buffer *frame = &a.side.frames[a.side.delivered];
	assert_int_equal(frame->length, 3 + sizeof text - 1);
	assert_memory_equal(frame->data + 3, text, sizeof text - 1);
	end(&a, &b);
}

static void test_bodies_are_accepted_in_each_form(void **state)
{
	static const struct {
		const char *json, *body;
	} cases[] = {
		{"{\"id\":1,\"method\":\"GET\",\"path\":\"/\",\"headers\":{},\"body\":[104,105]}", "hi"},
		{"{\"id\":1,\"method\":\"GET\",\"path\":\"/\",\"headers\":{},\"body\": [ 104 , 105 ] }", "hi"},
		{"{\"body\":{\"type\":\"Buffer\",\"data\":[104,105]},\"id\":1,\"method\":\"GET\",\"path\":\"/\"}", "hi"},
		{"{\"id\":1,\"method\":\"GET\",\"path\":\"/\",\"headers\":null,\"body\":\"h\\u0069\"}", "hi"},
		{"{\"id\":1,\"method\":\"GET\",\"path\":\"/\",\"headers\":{\"a\":[1],\"b\":{}},\"body\":null}", ""},
		{"{\"id\":1,\"method\":\"GET\",\"path\":\"/\",\"body\":[]}", ""},
		{"{\"id\":1,\"method\":\"GET\",\"path\":\"/\"}", ""},
	};
	struct peer a, b;

	begin(&a, &b, 0);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_int_equal(hear(&a, 0, cases[i].json), HF_OK);
		assert_int_equal(a.body.length, strlen(cases[i].body));
		assert_memory_equal(a.body.data, cases[i].body, a.body.length);
	}
	end(&a, &b);
}

static void test_what_breaks_the_protocol_ends_the_mux(void **state)
{
	static const struct {
		uint8_t type;
		const char *json;
	} cases[] = {
		{0, ""},
		{0, "[]"},
		{0, "{\"method\":\"GET\",\"path\":\"/\"}"},
		{0, "{\"id\":-1,\"method\":\"GET\",\"path\":\"/\"}"},
		{0, "{\"id\":1,\"method\":\"GET\",\"path\":\"/\",\"body\":[256]}"},
		{0, "{\"id\":1,\"method\":\"GET\",\"path\":\"/\",\"body\":[1"},
		{0, "{\"id\":1,\"method\":\"GET\",\"path\":\"/\",\"body\":[1 2]}"},
		{0, "{\"id\":1,\"method\":\"GET\",\"path\":\"/\",\"body\":[,]}"},
		{0, "{\"id\":1,\"method\":\"GET\",\"path\":\"/\",\"body\":true}"},
		{0, "{\"id\":1,\"method\":\"GET\",\"path\":\"x\"}"},
		{0, "{\"id\":1,\"method\":\"G T\",\"path\":\"/\"}"},
		{0, "{\"id\":1,\"method\":\"GET\",\"path\":\"/a b\"}"},
		{0, "{\"id\":1,\"method\":\"GET\"}"},
		{0, "{\"id\":1,\"method\":\"GET\",\"path\":7.5}"},
		{1, "{\"statusCode\":200}"},
		{1, "{\"id\":0,\"statusCode\":7}"},
		{1, "{\"id\":0,\"statusCode\":\"x\"}"},
		{2, "{"},
		{2, "1 2"},
		{3, "{}"},
		{4, "{\"status\":\"healthy\"}"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct peer a, b;

		begin(&a, &b, 0);
		assert_int_equal(hear(&a, cases[i].type, cases[i].json), HF_EMALFORMED);
		side_expect(&a.side, "closed 2\nerror HF_EMALFORMED A message of the remote's channel hypertuna-relay-v2 is refused: "
			"malformed input.\n");
		end(&a, &b);
	}
}

static void test_fields_that_could_split_a_head_are_left_out(void **state)
{
	struct peer a, b;

	begin(&a, &b, 0);
	assert_int_equal(hear(&a, 0,
				 "{\"id\":1,\"method\":\"GET\",\"path\":\"/\",\"headers\":{\"a\":\"b\\r\\nc: d\",\"e "
				 "f\":\"g\",\"n\":12}}"),
		HF_OK);
	side_expect(&a.side, "GET / 1 fields 0 bytes\n");
	end(&a, &b);
}

static void test_a_body_above_the_limit_is_refused_alone(void **state)
{
	struct hf_relay_channel_stats stats;
	struct peer a, b;

	begin(&a, &b, 4);
	assert_int_equal(ask(&a, "/", hf_slice_text("12345"), HF_RELAY_CHANNEL_NEVER, NULL), HF_OK);
	assert_int_equal(ask(&a, "/", hf_slice_text("1234"), HF_RELAY_CHANNEL_NEVER, NULL), HF_OK);
	side_exchange(&a.side, &b.side);
	side_expect(&b.side, "POST / 1 fields 4 bytes\n");
	side_expect(&a.side, "reply HF_ETOOBIG\nreply 201 1 fields 4 bytes\n"); /* the refusal's own body is above it, too */
	hf_relay_channel_stats(b.channel, &stats);
	assert_int_equal(stats.bodies_refused, 1);
	assert_int_equal(hear(&a, 0, "{\"id\":9,\"method\":\"GET\",\"path\":\"/\",\"body\":\"longer than four\"}"), HF_OK);
	side_expect(&a.side, "");
	static uint8_t large[HF_RELAY_CHANNEL_BODY_BYTES_MAX + 1];
	assert_int_equal(ask(&a, "/", hf_slice(large, sizeof large), HF_RELAY_CHANNEL_NEVER, NULL), HF_ETOOBIG);
	end(&a, &b);
}

static void test_the_largest_body_fits_one_message(void **state)
{
	static uint8_t large[HF_RELAY_CHANNEL_BODY_BYTES_MAX];
	struct peer a, b;

	memset(large, 0xff, sizeof large);
	begin(&a, &b, 0);
	assert_int_equal(ask(&a, "/", hf_slice(large, sizeof large), HF_RELAY_CHANNEL_NEVER, NULL), HF_OK);
	side_exchange(&a.side, &b.side);
	side_expect(&a.side, "reply 201 1 fields 4190000 bytes\n");
	assert_int_equal(a.body.length, sizeof large);
	assert_memory_equal(a.body.data, large, sizeof large);
	end(&a, &b);
}

static void test_requests_end_at_their_deadline_or_when_cancelled(void **state)
{
	struct hf_relay_channel_stats stats;
	struct peer a, b;
	uint64_t id, first;

	begin(&a, &b, 0);
	b.answers = false;
	assert_int_equal(ask(&a, "/", hf_slice(NULL, 0), 200, &first), HF_OK);
	assert_int_equal(ask(&a, "/", hf_slice(NULL, 0), 100, &id), HF_OK);
	assert_int_equal(first, 0);
	assert_int_equal(hf_relay_channel_deadline(a.channel), 100);
	hf_relay_channel_cancel(a.channel, id);
	hf_relay_channel_cancel(a.channel, id);
	assert_int_equal(hf_relay_channel_deadline(a.channel), 200);
	hf_relay_channel_tick(a.channel, 199);
	side_expect(&a.side, "");
	hf_relay_channel_tick(a.channel, 200);
	side_expect(&a.side, "reply HF_ETIMEOUT\n");
	assert_true(hf_relay_channel_deadline(a.channel) == HF_RELAY_CHANNEL_NEVER);
	side_exchange(&a.side, &b.side);
	assert_int_equal(hf_relay_channel_answer(b.channel, b.last_call, &(struct hf_relay_response){.status = 99}), HF_EINVAL);
	assert_int_equal(hf_relay_channel_answer(b.channel, b.last_call, &(struct hf_relay_response){.status = 200}), HF_OK);
	side_exchange(&a.side, &b.side);
	side_expect(&a.side, ""); /* too late */
	hf_relay_channel_stats(a.channel, &stats);
	assert_true(stats.timeouts == 1 && stats.outstanding == 0 && stats.requests_sent == 2);
	end(&a, &b);
}

static void test_more_requests_than_are_taken_get_503(void **state)
{
	struct hf_relay_channel_stats stats;
	struct peer a, b;

	begin(&a, &b, 0);
	b.answers = false;
	for (unsigned i = 0; i < HF_RELAY_CHANNEL_CALLS_MAX + 1; i++)
		assert_int_equal(ask(&a, "/", hf_slice(NULL, 0), HF_RELAY_CHANNEL_NEVER, NULL), HF_OK);
	side_exchange(&a.side, &b.side);
	side_expect(&a.side, "reply 503 1 fields 29 bytes\n");
	hf_relay_channel_stats(b.channel, &stats);
	assert_true(stats.calls_refused == 1 && stats.calls == HF_RELAY_CHANNEL_CALLS_MAX);
	hf_buffer_clear(&b.side.log);
	a.frees_on_reply = true; /* from inside of the reply to the first of all that are still waiting */
	hf_relay_channel_free(b.channel);
	b.channel = NULL;
	side_exchange(&a.side, &b.side);
	side_expect(&b.side, "");
	hf_buffer_append(&a.side.log, "", 1);
	assert_int_equal(strncmp((char *)a.side.log.data, "reply HF_ECLOSED\nreply HF_ECLOSED\n", 34), 0);
	end(&a, &b);
}

static void test_health_is_answered_by_itself(void **state)
{
	struct peer a, b;

	begin(&a, &b, 0);
	assert_int_equal(hf_relay_channel_check_health(a.channel, 50, on_reply, &a), HF_OK);
	side_exchange(&a.side, &b.side);
	side_expect(&a.side, "reply HF_OK\n");
	side_expect(&b.side, "");
	assert_int_equal(hf_relay_channel_check_health(a.channel, 50, on_reply, &a), HF_OK);
	assert_int_equal(hear(&a, 1, "{\"id\":1,\"statusCode\":200}"), HF_OK); /* not an answer to a health check */
	side_expect(&a.side, "");
	assert_int_equal(hear(&a, 4, "{\"id\":1,\"status\":\"degraded\"}"), HF_OK);
	side_expect(&a.side, "reply HF_EDENIED\n");
	assert_int_equal(hf_relay_channel_check_health(a.channel, 50, on_reply, &a), HF_OK);
	hf_relay_channel_tick(a.channel, 50);
	side_expect(&a.side, "reply HF_ETIMEOUT\n");
	end(&a, &b);
}

static void test_telemetry_and_frames_arrive_and_wrong_ones_are_counted(void **state)
{
	static char large[HF_RELAY_CHANNEL_FRAME_BYTES_MAX + 1];
	struct hf_relay_channel_stats stats;
	struct peer a, b;

	begin(&a, &b, 0);
	assert_int_equal(hf_relay_channel_send_telemetry(a.channel, HF_SLICE_LITERAL("{\"queueDepth\":5}")), HF_OK);
	assert_int_equal(hf_relay_channel_send_telemetry(a.channel, HF_SLICE_LITERAL("{\"queueDepth\":-5}")), HF_OK);
	assert_int_equal(hf_relay_channel_send_frame(a.channel, HF_SLICE_LITERAL("[\"a\",{\"b\":[]}]")), HF_OK);
	assert_int_equal(hf_relay_channel_send_frame(a.channel, hf_slice(large, sizeof large)), HF_ETOOBIG);
	side_exchange(&a.side, &b.side);
	side_expect(&b.side, "telemetry 5\nframe [\"a\",{\"b\":[]}]\n");
	hf_relay_channel_stats(b.channel, &stats);
	assert_int_equal(stats.telemetry_refused, 1);
	memset(large, ' ', sizeof large - 1);
	large[0] = '1';
	assert_int_equal(hear(&a, 2, large), HF_OK);
	end(&a, &b);
}

static void test_what_is_outstanding_ends_with_the_channel(void **state)
{
	struct peer a, b;

	begin(&a, &b, 0);
	b.answers = false;
	assert_int_equal(ask(&a, "/", hf_slice(NULL, 0), HF_RELAY_CHANNEL_NEVER, NULL), HF_OK);
	side_exchange(&a.side, &b.side);
	side_expect(&b.side, "POST / 1 fields 0 bytes\n");
	hf_protomux_fail(a.side.mux, HF_EIO, "gone");
	side_expect(&a.side, "reply HF_ECLOSED\nclosed 2\nerror HF_EIO gone\n");
	assert_int_equal(ask(&a, "/", hf_slice(NULL, 0), HF_RELAY_CHANNEL_NEVER, NULL), HF_ECLOSED);
	assert_int_equal(hf_relay_channel_check_health(a.channel, 1, on_reply, &a), HF_ECLOSED);
	assert_int_equal(hf_relay_channel_send_frame(a.channel, HF_SLICE_LITERAL("1")), HF_ECLOSED);
	assert_int_equal(hf_relay_channel_answer(a.channel, 1, &(struct hf_relay_response){.status = 200}), HF_ECLOSED);
	end(&a, &b);
}

static void test_requests_that_cannot_be_said_are_refused(void **state)
{
	const struct hf_http_field fields[HF_RELAY_CHANNEL_FIELDS_MAX + 1] = {{HF_SLICE_LITERAL("a\xff"), HF_SLICE_LITERAL("b")}};
	static char path[HF_RELAY_CHANNEL_PATH_BYTES_MAX + 2];
	struct hf_relay_request request = {
		.method = HF_SLICE_LITERAL("GET"), .path = HF_SLICE_LITERAL("/"), .fields = fields, .field_count = 1};
	struct peer a, b;

	begin(&a, &b, 0);
	assert_int_equal(hf_relay_channel_request(a.channel, &request, 1, on_reply, &a, NULL), HF_EINVAL);
	request.field_count = HF_RELAY_CHANNEL_FIELDS_MAX + 1;
	assert_int_equal(hf_relay_channel_request(a.channel, &request, 1, on_reply, &a, NULL), HF_ETOOBIG);
	request.field_count = 0;
	memset(path, 'a', sizeof path - 1);
	request.path = hf_slice_text(path);
	assert_int_equal(hf_relay_channel_request(a.channel, &request, 1, on_reply, &a, NULL), HF_ETOOBIG);
	for (unsigned i = 0; i < HF_RELAY_CHANNEL_REQUESTS_MAX; i++) {
		a.side.frame_count = a.side.delivered;
		assert_int_equal(ask(&a, "/", hf_slice(NULL, 0), HF_RELAY_CHANNEL_NEVER, NULL), HF_OK);
	}
	assert_int_equal(ask(&a, "/", hf_slice(NULL, 0), HF_RELAY_CHANNEL_NEVER, NULL), HF_EBUSY);
	end(&a, &b);
}

static void test_without_memory_nothing_is_lost(void **state)
{
	for (uint64_t n = 1, failures = 0;; n++) {
		struct peer a, b;

		begin(&a, &b, 0);
		fail_alloc_arm(n, false);
		int status = ask(&a, "/", hf_slice_text("body"), 9, NULL);
		bool failed = fail_alloc_disarm();
		assert_true(status == HF_OK || status == HF_ENOMEM || status == HF_ECLOSED); /* the last: it was sending that failed */
		failures += status == HF_ENOMEM;
		end(&a, &b);
		if (!failed) {
			assert_int_equal(status, HF_OK);
			assert_true(failures > 2);
			break;
		}
	}
	for (uint64_t n = 1;; n++) {
		struct peer a = {0}, b = {0};

		side_init(&a.side, &b.side, NULL);
		fail_alloc_arm(n, false);
		int status = start(&a, 0);
		bool failed = fail_alloc_disarm();
		assert_int_equal(status == HF_OK, !failed);
		if (status == HF_OK)
			hf_relay_channel_free(a.channel);
		side_done(&a.side);
		if (!failed)
			break;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_request_comes_back_with_every_byte),
		cmocka_unit_test(test_the_text_is_what_hypertuna_reads),
		cmocka_unit_test(test_bodies_are_accepted_in_each_form),
		cmocka_unit_test(test_what_breaks_the_protocol_ends_the_mux),
		cmocka_unit_test(test_fields_that_could_split_a_head_are_left_out),
		cmocka_unit_test(test_a_body_above_the_limit_is_refused_alone),
		cmocka_unit_test(test_the_largest_body_fits_one_message),
		cmocka_unit_test(test_requests_end_at_their_deadline_or_when_cancelled),
		cmocka_unit_test(test_more_requests_than_are_taken_get_503),
		cmocka_unit_test(test_health_is_answered_by_itself),
		cmocka_unit_test(test_telemetry_and_frames_arrive_and_wrong_ones_are_counted),
		cmocka_unit_test(test_what_is_outstanding_ends_with_the_channel),
		cmocka_unit_test(test_requests_that_cannot_be_said_are_refused),
		cmocka_unit_test(test_without_memory_nothing_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
