/* Remotes that ask for too much, send what is wrong, and callbacks and streams that fail: where the mux refuses, and how it ends. */
#include "protomux_fixture.h"

#include "support/fail_alloc.h"

/* ---- Bounds ---- */

static void test_opens_past_the_limit_are_rejected(void **state)
{
	static const struct hf_protomux_limits limits = {.channels_max = 4, .pending_opens_max = 1, .pending_bytes_max = 4000};
	struct side a;

	side_init(&a, NULL, &limits);
	a.answer = HF_EWAIT;
	hf_protomux_pair(a.mux, hf_slice_text("p"), hf_slice(NULL, 0), side_notify, &a);
	assert_int_equal(side_recv(&a, "00010101700131"), HF_OK);
	assert_int_equal(side_recv(&a, "00010201700132"), HF_OK);
	side_expect_sent(&a, "000202\n");
	side_expect(&a, "notify p 1\n");
	hf_protomux_reject(a.mux, hf_slice_text("p"), hf_slice_text("1"));
	assert_int_equal(side_recv(&a, "00010101700133"), HF_OK);
	side_expect(&a, "notify p 3\n");
	/* Ids: no more than channels_max in either direction. */
	for (int i = 0; i < 4; i++)
		assert_non_null(side_open(&a, i == 0 ? "a" : i == 1 ? "b" : i == 2 ? "c" : "d", "", ""));
	assert_null(side_open(&a, "e", "", ""));
	assert_int_equal(a.result, HF_ETOOBIG);
	assert_int_equal(side_recv(&a, "000102016600"), HF_OK);
	assert_int_equal(side_recv(&a, "000103016600"), HF_OK);
	assert_int_equal(side_recv(&a, "000104016600"), HF_OK);
	assert_int_equal(side_recv(&a, "000105016600"), HF_ETOOBIG);
	side_done(&a);
}

static void test_names_past_the_limit_are_refused(void **state)
{
	struct side a;
	struct hf_slice aliases[HF_PROTOMUX_ALIASES_MAX + 1] = {{0}};
	static uint8_t bytes[HF_PROTOMUX_HANDSHAKE_BYTES_MAX + 1];
	struct hf_channel_options options;
	struct hf_buffer frame = {0};

	side_init(&a, NULL, NULL);
	for (int i = 0; i < 5; i++) {
		options = side_options(&a, "p", "", "");
		if (i == 0)
			options.protocol = hf_slice(bytes, 256);
		else if (i == 1)
			options.id = hf_slice(bytes, 256);
		else if (i == 2)
			options.handshake = hf_slice(bytes, sizeof bytes);
		else
			options.aliases = aliases;
		options.alias_count = i == 3 ? HF_PROTOMUX_ALIASES_MAX + 1 : i == 4;
		aliases[0] = hf_slice(bytes, 256);
		assert_int_equal(hf_protomux_open(a.mux, &options, &a.channel), HF_EINVAL);
	}
	assert_int_equal(hf_protomux_pair(a.mux, hf_slice(bytes, 256), hf_slice(NULL, 0), side_notify, &a), HF_EINVAL);
	assert_int_equal(hf_protomux_reject(a.mux, hf_slice(bytes, 256), hf_slice(NULL, 0)), HF_ENOTFOUND);
	/* The remote's get a reject, and the mux goes on. */
	hf_buffer_append(&frame, "\0\1\1\xfd\0\1", 6);
	hf_buffer_append(&frame, bytes, 256);
	hf_buffer_append(&frame, "\0", 1);
	assert_int_equal(hf_protomux_recv(a.mux, hf_buffer_slice(&frame)), HF_OK);
	side_expect_sent(&a, "000201\n");
	hf_buffer_clear(&frame);
	hf_buffer_append(&frame, "\0\1\1\1p\0", 6);
	hf_buffer_append(&frame, bytes, sizeof bytes);
	assert_int_equal(hf_protomux_recv(a.mux, hf_buffer_slice(&frame)), HF_OK);
	side_expect_sent(&a, "000201\n");
	hf_buffer_free(&frame);
	side_done(&a);
}

static void test_a_remote_that_fills_channels_that_are_not_open_is_paused_and_then_refused(void **state)
{
	static const struct hf_protomux_limits limits = {.channels_max = 4, .pending_opens_max = 2, .pending_bytes_max = 100000};
	static uint8_t message[2 + 30000] = {1, 0};
	struct side a;

	side_init(&a, NULL, &limits);
	a.answer = HF_EWAIT;
	hf_protomux_pair(a.mux, hf_slice_text("p"), hf_slice(NULL, 0), side_notify, &a);
	assert_int_equal(side_recv(&a, "000101017000"), HF_OK);
	assert_int_equal(hf_protomux_recv(a.mux, hf_slice(message, sizeof message)), HF_OK);
	side_expect(&a, "notify p \n");
	assert_int_equal(hf_protomux_recv(a.mux, hf_slice(message, sizeof message)), HF_OK);
	side_expect(&a, "pause\n");
	assert_int_equal(hf_protomux_reject(a.mux, hf_slice_text("p"), hf_slice(NULL, 0)), HF_OK);
	side_expect(&a, "resume\n");
	assert_int_equal(side_recv(&a, "000101017000"), HF_OK);
	for (int i = 0; i < 3; i++)
		assert_int_equal(hf_protomux_recv(a.mux, hf_slice(message, sizeof message)), HF_OK);
	assert_int_equal(hf_protomux_recv(a.mux, hf_slice(message, sizeof message)), HF_ETOOBIG);
	side_expect(&a, "notify p \npause\n"
		"error HF_ETOOBIG The remote sent more than 100000 bytes to channels that were not open yet.\n");
	side_done(&a);
}

/* ---- Callbacks that take away what they were called for ---- */

static void test_a_callback_may_close_its_channel(void **state)
{
	static const char letters[] = "omcd";
	for (size_t i = 0; i < sizeof letters; i++) {
		struct side a, b;
		struct hf_channel_options options = side_options(&b, "p", "", "");

		sides_begin(&a, &b);
		b.accepts = &options;
		b.closes_at = letters[i];
		hf_protomux_pair(b.mux, hf_slice_text("p"), hf_slice(NULL, 0), side_notify, &b);
		side_say(side_open(&a, "p", "", ""), 0, "1");
		side_say(a.channel, 0, "2");
		side_exchange(&a, &b);
		if (b.mux != NULL)
			hf_protomux_drained(b.mux);
		assert_int_equal(hf_protomux_channel_count(b.mux), letters[i] == 0 || letters[i] == 'c');
		sides_end(&a, &b);
	}
}

static void test_any_callback_may_free_the_mux(void **state)
{
	for (unsigned n = 1; n < 12; n++) {
		struct side a, b;
		struct hf_channel_options options = side_options(&b, "p", "", "");

		sides_begin(&a, &b);
		b.accepts = &options;
		b.frees_at = n;
		hf_protomux_pair(b.mux, hf_slice_text("p"), hf_slice(NULL, 0), side_notify, &b);
		side_say(side_open(&a, "p", "", ""), 0, "1");
		hf_protomux_cork(a.mux);
		side_say(a.channel, 1, "2");
		side_say(a.channel, 0, "3");
		hf_protomux_uncork(a.mux);
		side_exchange(&a, &b);
		if (b.mux != NULL)
			hf_protomux_drained(b.mux);
		if (b.mux != NULL)
			side_recv(&b, "0002");
		assert_true((b.mux == NULL) == (n < 9));
		sides_end(&a, &b);
	}
}

static void test_a_channel_that_refuses_a_message_ends_the_mux(void **state)
{
	struct side a, b;

	sides_begin(&a, &b);
	side_open(&a, "p", "", "");
	side_open(&b, "p", "", "");
	side_exchange(&a, &b);
	b.fails_with = HF_EDENIED;
	side_say(a.channel, 0, "x");
	assert_int_equal(side_deliver(&a), HF_EDENIED);
	hf_buffer_append(&b.log, "", 1);
	assert_non_null(strstr((char *)b.log.data, "message 0 78\nclose destroyed\n"
		"error HF_EDENIED A message of the remote's channel p is refused"));
	sides_end(&a, &b);
}

static void test_a_handler_that_fails_ends_the_mux(void **state)
{
	struct side a;

	side_init(&a, NULL, NULL);
	a.answer = HF_EIO;
	hf_protomux_pair(a.mux, hf_slice_text("p"), hf_slice(NULL, 0), side_notify, &a);
	assert_int_equal(side_recv(&a, "000101017000"), HF_EIO);
	side_done(&a);
}

static void test_a_stream_that_fails_ends_the_mux(void **state)
{
	for (int i = 0; i < 5; i++) {
		struct side a;
		struct hf_channel *channel;
		static uint8_t body[HF_PROTOMUX_BATCH_BYTES - 1];
		struct iovec part = {body, sizeof body};

		side_init(&a, NULL, NULL);
		channel = side_open(&a, "p", "", "");
		hf_protomux_cork(a.mux);
		hf_channel_send(channel, 0, &part, 1);
		if (i < 3)
			hf_protomux_uncork(a.mux);
		a.send_error = HF_EIO;
		if (i == 0)
			assert_int_equal(side_say(channel, 0, "x"), HF_ECLOSED);
		else if (i == 1)
			assert_null(side_open(&a, "q", "", ""));
		else if (i == 2)
			hf_channel_close(channel);
		else if (i == 3)
			assert_int_equal(side_say(channel, 0, "x"), HF_ECLOSED); /* sends the batch, which is full */
		else {
			hf_channel_begin(channel, 0);
			assert_int_equal(hf_channel_end(channel), HF_ECLOSED);
		}
		hf_buffer_append(&a.log, "", 1);
		assert_non_null(strstr((char *)a.log.data, "error HF_EIO A message could not be sent"));
		if (i >= 3)
			hf_protomux_uncork(a.mux);
		side_done(&a);
	}
}

/* Who hears that nothing can be sent any more may free the mux, whatever was being sent. */
static void test_a_stream_that_fails_may_take_the_mux_along(void **state)
{
	for (int i = 0; i < 4; i++) {
		struct side a;
		struct hf_channel *channel;
		static uint8_t body[HF_PROTOMUX_BATCH_BYTES - 1];
		struct iovec part = {body, sizeof body};

		side_init(&a, NULL, NULL);
		channel = side_open(&a, "p", "", "");
		if (i >= 2)
			hf_protomux_cork(a.mux);
		if (i == 2)
			hf_channel_send(channel, 0, &part, 1);
		if (i == 3)
			side_say(channel, 0, "x");
		a.send_error = HF_EIO;
		a.frees_at = i == 1 ? 1 : 2; /* the line of the error; the channel's end comes before it, but when it was closed itself */
		if (i == 1)
			hf_channel_close(channel);
		else if (i == 3)
			hf_protomux_uncork(a.mux);
		else
			assert_int_equal(side_say(channel, 0, "x"), HF_ECLOSED); /* in a batch, that sends what was there before */
		assert_null(a.mux);
		side_done(&a);
	}
}

static void test_an_error_ends_the_mux_once(void **state)
{
	static const struct { const char *hex; const char *text; } cases[] = {
		{"000100017000", "error HF_EMALFORMED The remote opened channel 0, which is not free."},
		{"000103017000", "error HF_EMALFORMED The remote opened channel 3, which is not free."},
		{"000101017000", "error HF_EMALFORMED The remote opened channel 1, which is not free."},
		{"000102", "error HF_EMALFORMED The remote sent an open message that cannot be read: malformed."},
		{"00010202", "error HF_EMALFORMED The remote sent an open message that cannot be read: malformed."},
		{"000200", "error HF_EMALFORMED The remote rejected channel 0, whose opening it was not asked about."},
		{"000201", "error HF_EMALFORMED The remote rejected channel 1, whose opening it was not asked about."},
		{"000202", "error HF_EMALFORMED The remote rejected channel 2, whose opening it was not asked about."},
		{"0002", "error HF_EMALFORMED The remote sent a reject message that cannot be read: malformed."},
		{"0003", "error HF_EMALFORMED The remote sent a close message that cannot be read: malformed."},
		{"00", "error HF_EMALFORMED The remote sent a message that cannot be read: malformed."},
		{"0000", "error HF_EMALFORMED The remote sent a batch that cannot be read: malformed."},
		{"000000fd", "error HF_EMALFORMED The remote sent a batch that cannot be read: malformed."},
		{"00000100", "error HF_EMALFORMED The remote sent a batch that cannot be read: malformed."},
		{"00000004000100010000", "error HF_EMALFORMED The remote sent a batch inside a batch."},
		{"ffffffffffffffffff", "error HF_ETOOBIG The remote sent a message that cannot be read: too big."},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct side a, b;
		char line[300], start[300];

		sides_begin(&a, &b);
		side_open(&a, "p", "", "");
		assert_int_equal(side_recv(&a, "000101017000"), HF_OK);
		side_expect(&a, "open \n");
		assert_int_not_equal(side_recv(&a, cases[i].hex), HF_OK);
		hf_buffer_append(&a.log, "", 1);
		/* The words behind the colon are hf_error_text's. */
		snprintf(line, sizeof line, "%s", (const char *)a.log.data);
		snprintf(start, sizeof start, "close destroyed\n%.*s", (int)strcspn(cases[i].text, ":"), cases[i].text);
		assert_memory_equal(line, start, strlen(start));
		hf_buffer_clear(&a.log);
		assert_int_equal(side_recv(&a, "000102017000"), HF_ECLOSED);
		assert_null(side_open(&a, "q", "", ""));
		assert_int_equal(a.result, HF_ECLOSED);
		hf_protomux_fail(a.mux, HF_EIO, "again");
		side_expect(&a, "");
		side_expect_sent(&a, "000101017000\n");
		sides_end(&a, &b);
	}
}

/* ---- Memory ---- */

static int work(struct side *a)
{
	struct hf_slice alias = hf_slice_text("old");
	struct hf_channel_options options = side_options(a, "p", "", "");
	int error = hf_protomux_pair(a->mux, hf_slice_text("q"), hf_slice(NULL, 0), side_notify, a);

	options.aliases = &alias;
	options.alias_count = 1;
	a->answer = HF_EWAIT;
	if (error == HF_OK)
		error = hf_protomux_open(a->mux, &options, &a->channel);
	if (error != HF_OK)
		return error;
	hf_protomux_cork(a->mux);
	error = side_say(a->channel, 0, "x");
	hf_compact_write_uint(hf_channel_begin(a->channel, 0), 1);
	if (error == HF_OK)
		error = hf_channel_end(a->channel);
	else
		hf_channel_end(a->channel);
	hf_protomux_uncork(a->mux);
	if (error == HF_OK)
		error = hf_protomux_recv(a->mux, HF_SLICE_LITERAL("\0\1\1\1q\0handshake"));
	if (error == HF_OK)
		error = hf_protomux_recv(a->mux, HF_SLICE_LITERAL("\1\0kept"));
	if (error == HF_OK)
		error = hf_protomux_recv(a->mux, HF_SLICE_LITERAL("\0\1\2\1p\0"));
	return error;
}

static void test_running_out_of_memory_is_told(void **state)
{
	for (uint64_t n = 1;; n++) {
		struct side a;

		fail_alloc_arm(n, false);
		a = (struct side){.keeps_nothing = true};
		int error = hf_protomux_new(&side_events, &a, 1, NULL, &a.mux);
		if (error == HF_OK)
			error = work(&a);
		bool failed = fail_alloc_disarm();
		side_done(&a);
		if (!failed) {
			assert_int_equal(error, HF_OK);
			break;
		}
		assert_true(error == HF_ENOMEM || error == HF_OK); /* OK: it was the log's own */
		assert_true(n < 100);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_opens_past_the_limit_are_rejected),
		cmocka_unit_test(test_names_past_the_limit_are_refused),
		cmocka_unit_test(test_a_remote_that_fills_channels_that_are_not_open_is_paused_and_then_refused),
		cmocka_unit_test(test_a_callback_may_close_its_channel),
		cmocka_unit_test(test_any_callback_may_free_the_mux),
		cmocka_unit_test(test_a_channel_that_refuses_a_message_ends_the_mux),
		cmocka_unit_test(test_a_handler_that_fails_ends_the_mux),
		cmocka_unit_test(test_a_stream_that_fails_ends_the_mux),
		cmocka_unit_test(test_a_stream_that_fails_may_take_the_mux_along),
		cmocka_unit_test(test_an_error_ends_the_mux_once),
		cmocka_unit_test(test_running_out_of_memory_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
