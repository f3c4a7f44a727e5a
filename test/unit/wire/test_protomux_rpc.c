/* Requests over Protomux: the package's session byte for byte, answers at once and late, deadlines, and what is over at the end. */
#include "protomux_fixture.h"

#include "support/fail_alloc.h"
#include "support/vectors.h"
#include "wire/protomux_rpc.h"

struct peer {
	struct side side;
	struct hf_protomux_rpc *rpc;
	uint64_t late_call;
	bool frees_on_reply;
};

static void on_echo(void *context, struct hf_protomux_rpc *rpc, uint64_t call, struct hf_slice value)
{
	struct peer *p = context;
	uint8_t answer[64] = {(uint8_t)(value.data[0] + 3), 'r', 'e', ':'};

	side_log(&p->side, "echo %s%s", call == 0 ? "event " : "", side_hex(value));
	memcpy(answer + 4, value.data + 1, value.length - 1);
	assert_int_equal(hf_protomux_rpc_answer(rpc, call, hf_slice(answer, 3 + value.length)), HF_OK);
	if (call != 0)
		assert_int_equal(hf_protomux_rpc_answer(rpc, call, value), HF_ENOTFOUND);
}

static void on_fail(void *context, struct hf_protomux_rpc *rpc, uint64_t call, struct hf_slice value)
{
	const struct hf_protomux_rpc_error error = {
		.message = hf_slice_text("Request failed"),
		.code = hf_slice_text("REQUEST_ERROR"),
		.has_cause = true,
		.cause_message = hf_slice_text("boom"),
		.cause_code = hf_slice_text("ECODE"),
		.cause_context = value.length > 2 ? hf_slice_text("here") : hf_slice(NULL, 0),
	};

	assert_int_equal(hf_protomux_rpc_answer_error(rpc, call, &error), HF_OK);
}

static void on_late(void *context, struct hf_protomux_rpc *rpc, uint64_t call, struct hf_slice value)
{
	((struct peer *)context)->late_call = call;
}

static void on_free(void *context, struct hf_protomux_rpc *rpc, uint64_t call, struct hf_slice value)
{
	((struct peer *)context)->rpc = NULL;
	hf_protomux_rpc_free(rpc);
}

static void on_reply(void *context, int result, struct hf_slice value, const struct hf_protomux_rpc_error *error)
{
	struct peer *p = context;

	if (error != NULL)
		side_log(&p->side, "reply %.*s / %.*s / %.*s / %.*s / %.*s", (int)error->message.length, (const char *)error->message.data,
			(int)error->code.length, (const char *)error->code.data, (int)error->cause_message.length,
			(const char *)error->cause_message.data, (int)error->cause_code.length, (const char *)error->cause_code.data,
			(int)error->cause_context.length, (const char *)error->cause_context.data);
	else
		side_log(&p->side, "reply %s %s", hf_error_name(result), side_hex(value));
	if (p->frees_on_reply && p->rpc != NULL) {
		struct hf_protomux_rpc *rpc = p->rpc;
		p->rpc = NULL;
		hf_protomux_rpc_free(rpc);
	}
}

static int on_open(void *context, struct hf_protomux_rpc *rpc, struct hf_slice handshake)
{
	side_log(&((struct peer *)context)->side, "open %s", side_hex(handshake));
	return HF_OK;
}

static void on_close(void *context, struct hf_protomux_rpc *rpc)
{
	assert_true(hf_protomux_rpc_is_closed(rpc));
	side_log(&((struct peer *)context)->side, "closed");
}

static const struct hf_protomux_rpc_method methods[] = {
	{HF_SLICE_LITERAL("echo"), on_echo},
	{HF_SLICE_LITERAL("fail"), on_fail},
	{HF_SLICE_LITERAL("late"), on_late},
	{HF_SLICE_LITERAL("free"), on_free},
};

static int start(struct peer *p)
{
	const struct hf_protomux_rpc_options options = {
		.id = hf_slice_text("svc"), .methods = methods, .method_count = 4, .open = on_open, .close = on_close, .context = p};

	return hf_protomux_rpc_new(p->side.mux, &options, &p->rpc);
}

static void begin(struct peer *a, struct peer *b)
{
	*a = *b = (struct peer){0};
	side_init(&a->side, &b->side, NULL);
	side_init(&b->side, &a->side, NULL);
	assert_int_equal(start(a), HF_OK);
	assert_int_equal(start(b), HF_OK);
}

static void begin_quietly(struct peer *a, struct peer *b)
{
	begin(a, b);
	side_exchange(&a->side, &b->side);
	side_expect(&a->side, "open \n");
	side_expect(&b->side, "open \n");
}

static void end(struct peer *a, struct peer *b)
{
	hf_protomux_rpc_free(a->rpc);
	hf_protomux_rpc_free(b->rpc);
	side_done(&a->side);
	side_done(&b->side);
}

static uint64_t ask(struct peer *p, const char *method, const char *value, uint64_t deadline_us)
{
	uint64_t id = 0;

	assert_int_equal(hf_protomux_rpc_request(p->rpc, hf_slice_text(method), hf_slice_text(value), deadline_us, on_reply, p, &id), HF_OK);
	return id;
}

/* What the package's client makes of an error: the code, then the text that came. */
static const char *error_text(const json_t *error)
{
	const char *code = vectors_text(error, "code"), *message = vectors_text(error, "message");
	size_t length = strlen(code);

	assert_memory_equal(message, code, length);
	assert_memory_equal(message + length, ": ", 2);
	return message + length + 2;
}

static void test_the_session_is_the_packages(void **state)
{
	json_t *vectors = vectors_load("hypercore/protomux-rpc.json"), *frames = vectors_array(vectors, "frames", 9);
	const json_t *errors = vectors_array(vectors, "errors", 2), *fail = json_array_get(errors, 0), *missing = json_array_get(errors, 1);
	char expected[300];
	struct peer a, b;

	begin(&a, &b);
	for (size_t i = 0; i < 9; i++) {
		json_t *frame = json_array_get(frames, i);
		struct side *from = vectors_text(frame, "from")[0] == 'a' ? &a.side : &b.side;

		if (i == 2)
			ask(&a, "echo", "\2hi", HF_PROTOMUX_RPC_NEVER);
		else if (i == 4)
			ask(&a, vectors_text(fail, "method"), "\1x", HF_PROTOMUX_RPC_NEVER);
		else if (i == 6)
			ask(&a, vectors_text(missing, "method"), "\1x", HF_PROTOMUX_RPC_NEVER);
		else if (i == 8)
			assert_int_equal(hf_protomux_rpc_event(a.rpc, hf_slice_text("echo"), hf_slice_text("\2ev")), HF_OK);
		assert_true(from->delivered < from->frame_count);
		vectors_expect(frame, "hex", from->frames[from->delivered].data, from->frames[from->delivered].length);
		assert_int_equal(side_deliver(from), HF_OK);
	}
	side_expect_sent(&b.side, "");
	snprintf(expected, sizeof expected, "open \nreply HF_OK 0572653a6869\nreply %s / %s / boom / ECODE / \nreply %s / %s /  /  / \n",
		error_text(fail), vectors_text(fail, "code"), error_text(missing), vectors_text(missing, "code"));
	side_expect(&a.side, expected);
	side_expect(&b.side, "open \necho 026869\necho event 026576\n");
	end(&a, &b);
	json_decref(vectors);
}

static void test_a_late_answer_and_one_of_another_id(void **state)
{
	struct peer a, b;

	begin_quietly(&a, &b);
	assert_int_equal(hf_protomux_rpc_event(a.rpc, hf_slice_text("nobody"), hf_slice(NULL, 0)), HF_OK);
	ask(&a, "late", "x", HF_PROTOMUX_RPC_NEVER);
	ask(&a, "fail", "context", HF_PROTOMUX_RPC_NEVER);
	side_exchange(&a.side, &b.side);
	side_expect(&a.side, "reply Request failed / REQUEST_ERROR / boom / ECODE / here\n");
	assert_int_equal(hf_protomux_rpc_answer(b.rpc, b.late_call, hf_slice_text("L")), HF_OK);
	side_exchange(&a.side, &b.side);
	side_expect(&a.side, "reply HF_OK 4c\n");
	assert_int_equal(side_recv(&a.side, "01010009"), HF_OK); /* an answer to nothing */
	assert_int_equal(side_recv(&a.side, "01010107"), HF_EMALFORMED);
	side_expect(&a.side, "closed\nerror HF_EMALFORMED A message of the remote's channel protomux-rpc is refused: "
		"malformed input.\n");
	end(&a, &b);
}

static void test_a_request_ends_at_its_deadline_or_when_cancelled(void **state)
{
	struct peer a, b;
	uint64_t id;

	begin_quietly(&a, &b);
	assert_true(hf_protomux_rpc_deadline(a.rpc) == HF_PROTOMUX_RPC_NEVER);
	ask(&a, "late", "", 200);
	id = ask(&a, "late", "", 100);
	ask(&a, "late", "", 150);
	assert_int_equal(hf_protomux_rpc_deadline(a.rpc), 100);
	hf_protomux_rpc_cancel(a.rpc, id);
	hf_protomux_rpc_cancel(a.rpc, id);
	assert_int_equal(hf_protomux_rpc_deadline(a.rpc), 150);
	hf_protomux_rpc_tick(a.rpc, 149);
	side_expect(&a.side, "");
	hf_protomux_rpc_tick(a.rpc, 150);
	side_expect(&a.side, "reply HF_ETIMEOUT \n");
	a.frees_on_reply = true;
	hf_protomux_rpc_tick(a.rpc, 300);
	side_expect(&a.side, "reply HF_ETIMEOUT \n");
	assert_null(a.rpc);
	end(&a, &b);
}

static void test_what_is_outstanding_ends_with_the_channel(void **state)
{
	struct peer a, b;

	begin_quietly(&a, &b);
	ask(&a, "late", "", 200);
	ask(&a, "free", "", HF_PROTOMUX_RPC_NEVER);
	side_exchange(&a.side, &b.side);
	assert_null(b.rpc);
	side_expect(&b.side, "");
	side_expect(&a.side, "reply HF_ECLOSED \nreply HF_ECLOSED \nclosed\n");
	assert_int_equal(hf_protomux_rpc_event(a.rpc, hf_slice_text("x"), hf_slice(NULL, 0)), HF_ECLOSED);
	assert_int_equal(hf_protomux_rpc_answer(a.rpc, 1, hf_slice(NULL, 0)), HF_ECLOSED);
	end(&a, &b);
}

static void test_the_end_waits_for_what_is_outstanding(void **state)
{
	struct peer a, b;

	begin_quietly(&a, &b);
	ask(&a, "late", "", HF_PROTOMUX_RPC_NEVER);
	side_exchange(&a.side, &b.side);
	hf_protomux_rpc_end(a.rpc);
	hf_protomux_rpc_end(b.rpc);
	assert_false(hf_protomux_rpc_is_closed(a.rpc) || hf_protomux_rpc_is_closed(b.rpc));
	hf_protomux_rpc_answer(b.rpc, b.late_call, hf_slice_text("L"));
	assert_true(hf_protomux_rpc_is_closed(b.rpc));
	side_exchange(&a.side, &b.side);
	side_expect(&a.side, "reply HF_OK 4c\nclosed\n");
	end(&a, &b);
}

static void test_requests_past_the_limits_are_refused(void **state)
{
	static const uint8_t name[HF_PROTOMUX_RPC_METHOD_BYTES_MAX + 1];
	struct peer a, b;

	begin_quietly(&a, &b);
	hf_protomux_cork(a.side.mux);
	for (unsigned i = 0; i < HF_PROTOMUX_RPC_REQUESTS_MAX; i++)
		ask(&a, "late", "", HF_PROTOMUX_RPC_NEVER);
	assert_int_equal(hf_protomux_rpc_request(a.rpc, hf_slice_text("late"), hf_slice(NULL, 0), 1, on_reply, &a, NULL), HF_EBUSY);
	assert_int_equal(hf_protomux_rpc_event(a.rpc, hf_slice(name, sizeof name), hf_slice(NULL, 0)), HF_EINVAL);
	hf_protomux_uncork(a.side.mux);
	side_exchange(&a.side, &b.side);
	side_expect_sent(&b.side, "");
	hf_protomux_rpc_cancel(a.rpc, 1);
	ask(&a, "late", "", HF_PROTOMUX_RPC_NEVER);
	side_exchange(&a.side, &b.side);
	side_expect(&a.side, "reply Request failed / REQUEST_ERROR / Too many requests wait for an answer / EBUSY / \n");
	a.side.log.length = 0;
	end(&a, &b);
}

static void test_running_out_of_memory_is_told(void **state)
{
	for (uint64_t n = 1;; n++) {
		struct peer a = {0};
		int error;

		a.side.keeps_nothing = true;
		fail_alloc_arm(n, false);
		error = hf_protomux_new(&side_events, &a.side, 1, NULL, &a.side.mux);
		if (error == HF_OK)
			error = start(&a);
		if (error == HF_OK)
			error = hf_protomux_rpc_request(a.rpc, hf_slice_text("m"), hf_slice(NULL, 0), 5, on_reply, &a, NULL);
		if (error == HF_OK)
			error = hf_protomux_recv(a.side.mux, HF_SLICE_LITERAL("\0\1\1\x0cprotomux-rpc\3svc"));
		if (error == HF_OK)
			error = hf_protomux_recv(a.side.mux, HF_SLICE_LITERAL("\1\0\1\4late"));
		if (error == HF_OK)
			error = hf_protomux_recv(a.side.mux, HF_SLICE_LITERAL("\1\0\1\4none"));
		bool failed = fail_alloc_disarm();
		hf_protomux_rpc_free(a.rpc);
		side_done(&a.side);
		if (!failed) {
			assert_int_equal(error, HF_OK);
			break;
		}
		assert_true(error == HF_ENOMEM || error == HF_OK);
		assert_true(n < 100);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_session_is_the_packages),
		cmocka_unit_test(test_a_late_answer_and_one_of_another_id),
		cmocka_unit_test(test_a_request_ends_at_its_deadline_or_when_cancelled),
		cmocka_unit_test(test_what_is_outstanding_ends_with_the_channel),
		cmocka_unit_test(test_the_end_waits_for_what_is_outstanding),
		cmocka_unit_test(test_requests_past_the_limits_are_refused),
		cmocka_unit_test(test_running_out_of_memory_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
