/* Protomux: the frames of the package byte for byte, pairing in every order, what is kept meanwhile, ids and batches. */
#include "protomux_fixture.h"

#include "support/vectors.h"

/* ---- The package's frames ---- */

static json_t *frame_of(json_t *scenario, size_t index)
{
	json_t *frame = json_array_get(vectors_get(scenario, "frames"), index);

	assert_non_null(frame);
	return frame;
}

static void expect_frame(json_t *scenario, size_t index, struct side *a, struct side *b)
{
	json_t *frame = frame_of(scenario, index);
	struct side *from = vectors_text(frame, "from")[0] == 'a' ? a : b;

	assert_true(from->delivered < from->frame_count);
	vectors_expect(frame, "hex", from->frames[from->delivered].data, from->frames[from->delivered].length);
	assert_int_equal(from->frame_count, from->delivered + 1);
	assert_int_equal(side_deliver(from), HF_OK);
}

static void expect_session(json_t *scenario)
{
	struct side a, b;
	struct hf_channel *from_a, *from_b;

	sides_begin(&a, &b);
	from_a = side_open(&a, "foo", "id!", "*");
	from_b = side_open(&b, "foo", "id!", "+");
	expect_frame(scenario, 0, &a, &b);
	expect_frame(scenario, 1, &a, &b);
	side_say(from_a, 0, "\5hello");
	expect_frame(scenario, 2, &a, &b);
	side_say(from_b, 1, "\xfd\x2c\1");
	expect_frame(scenario, 3, &a, &b);
	hf_protomux_cork(a.mux);
	side_say(from_a, 0, "\3one");
	side_say(from_a, 0, "\3two");
	side_say(from_a, 1, "\3");
	hf_protomux_uncork(a.mux);
	expect_frame(scenario, 4, &a, &b);
	hf_channel_close(from_b);
	expect_frame(scenario, 5, &a, &b);
	side_expect(&a, "open 2b\nmessage 1 fd2c01\nclose remote\n");
	side_expect(&b, "open 2a\nmessage 0 0568656c6c6f\nmessage 0 036f6e65\nmessage 0 0374776f\nmessage 1 03\nclose local\n");
	sides_end(&a, &b);
}

static void expect_rejected(json_t *scenario)
{
	struct side a, b;
	struct hf_channel *channel;

	sides_begin(&a, &b);
	channel = side_open(&a, "unknown", "", "");
	side_say(channel, 0, "\5early");
	vectors_expect(frame_of(scenario, 0), "hex", a.frames[0].data, a.frames[0].length);
	vectors_expect(frame_of(scenario, 1), "hex", a.frames[1].data, a.frames[1].length);
	assert_int_equal(side_deliver(&a), HF_OK);
	expect_frame(scenario, 2, &a, &b);
	side_expect(&a, "close remote\n");
	sides_end(&a, &b);
}

static void expect_switches(json_t *scenario)
{
	struct side a, b;
	struct hf_channel *x, *y;

	sides_begin(&a, &b);
	hf_protomux_cork(a.mux);
	x = side_open(&a, "x", "", "");
	y = side_open(&a, "y", "", "");
	side_say(x, 0, "\0011");
	side_say(y, 0, "\0012");
	side_say(y, 0, "\0013");
	side_say(x, 0, "\0014");
	hf_protomux_uncork(a.mux);
	side_open(&b, "x", "", "");
	side_open(&b, "y", "", "");
	expect_frame(scenario, 0, &a, &b);
	side_expect(&b, "open \nopen \nmessage 0 0131\nmessage 0 0132\nmessage 0 0133\nmessage 0 0134\n");
	sides_end(&a, &b);
}

static void test_frames_are_the_packages(void **state)
{
	json_t *vectors = vectors_load("hypercore/protomux.json"), *scenarios = vectors_array(vectors, "scenarios", 3);

	expect_session(json_array_get(scenarios, 0));
	expect_rejected(json_array_get(scenarios, 1));
	expect_switches(json_array_get(scenarios, 2));
	json_decref(vectors);
}

/* ---- Pairing ---- */

static void test_messages_sent_before_the_answer_are_kept_in_order(void **state)
{
	struct side a, b;
	struct hf_channel *channel;

	sides_begin(&a, &b);
	b.answer = HF_EWAIT;
	hf_protomux_pair(b.mux, hf_slice_text("p"), hf_slice_text("id"), side_notify, &b);
	channel = side_open(&a, "p", "id", "h");
	side_say(channel, 0, "1");
	side_say(channel, 1, "2");
	side_say(channel, 7, "3");
	assert_int_equal(side_deliver(&a), HF_OK);
	side_expect(&b, "notify p id\n");
	assert_non_null(side_open(&b, "p", "id", "g"));
	side_expect(&b, "open 68\nmessage 0 31\nmessage 1 32\n");
	assert_true(hf_channel_is_open(b.channel));
	side_exchange(&a, &b);
	side_expect(&a, "open 67\n");
	side_say(channel, 0, "4");
	side_deliver(&a);
	side_expect(&b, "message 0 34\n");
	sides_end(&a, &b);
}

static void test_a_channel_can_be_opened_while_asked(void **state)
{
	struct side a, b;
	struct hf_channel_options options = side_options(&b, "p", "x", "");

	sides_begin(&a, &b);
	b.accepts = &options;
	hf_protomux_pair(b.mux, hf_slice_text("p"), hf_slice(NULL, 0), side_notify, &b);
	side_open(&a, "p", "x", "");
	side_exchange(&a, &b);
	side_expect(&b, "notify p x\nopen \n");
	side_expect(&a, "open \n");
	sides_end(&a, &b);
}

static void test_the_handler_of_an_id_comes_before_that_of_the_protocol(void **state)
{
	struct side a, b, other;

	sides_begin(&a, &b);
	side_init(&other, NULL, NULL);
	hf_protomux_pair(b.mux, hf_slice_text("p"), hf_slice(NULL, 0), side_notify, &other);
	hf_protomux_pair(b.mux, hf_slice_text("p"), hf_slice_text("x"), side_notify, &b);
	side_open(&a, "p", "x", "");
	side_open(&a, "p", "y", "");
	side_open(&a, "q", "x", "");
	side_exchange(&a, &b);
	side_expect(&b, "notify p x\n");
	side_expect(&other, "notify p y\n");
	side_expect(&a, "close remote\nclose remote\nclose remote\n");
	hf_protomux_unpair(b.mux, hf_slice_text("p"), hf_slice_text("x"));
	side_open(&a, "p", "x", "");
	side_exchange(&a, &b);
	side_expect(&b, "");
	side_expect(&other, "notify p x\n");
	side_done(&other);
	sides_end(&a, &b);
}

static void test_a_late_answer_may_be_no(void **state)
{
	struct side a, b;

	sides_begin(&a, &b);
	b.answer = HF_EWAIT;
	hf_protomux_pair(b.mux, hf_slice_text("p"), hf_slice(NULL, 0), side_notify, &b);
	side_say(side_open(&a, "p", "x", ""), 0, "kept");
	side_deliver(&a);
	side_expect_sent(&b, "");
	assert_int_equal(hf_protomux_reject(b.mux, hf_slice_text("p"), hf_slice_text("y")), HF_ENOTFOUND);
	assert_int_equal(hf_protomux_reject(b.mux, hf_slice_text("p"), hf_slice_text("x")), HF_OK);
	assert_int_equal(hf_protomux_reject(b.mux, hf_slice_text("p"), hf_slice_text("x")), HF_ENOTFOUND);
	side_exchange(&a, &b);
	side_expect(&a, "close remote\n");
	sides_end(&a, &b);
}

static void test_what_a_remote_closed_before_the_answer_is_heard_and_then_closed(void **state)
{
	struct side a, b;
	struct hf_channel *channel;

	sides_begin(&a, &b);
	b.answer = HF_EWAIT;
	hf_protomux_pair(b.mux, hf_slice_text("p"), hf_slice(NULL, 0), side_notify, &b);
	channel = side_open(&a, "p", "", "h");
	side_say(channel, 0, "1");
	hf_channel_close(channel);
	side_deliver(&a);
	side_expect(&b, "notify p \n");
	assert_null(side_open(&b, "p", "", ""));
	assert_int_equal(b.result, HF_ECANCELED);
	side_expect(&b, "open 68\nmessage 0 31\nclose remote\n");
	assert_int_equal(hf_protomux_channel_count(b.mux), 0);
	side_exchange(&a, &b);
	side_expect(&a, "close local\n");
	/* Both ids are free again. */
	side_open(&a, "q", "", "");
	side_expect_sent(&a, "000101017100\n");
	sides_end(&a, &b);
}

static void test_equal_channels_pair_in_order(void **state)
{
	struct side a, b;
	struct hf_channel_options of_a[2], of_b[2];
	struct hf_channel *channels[4];

	sides_begin(&a, &b);
	for (int i = 0; i < 2; i++) {
		of_a[i] = side_options(&a, "p", "", i == 0 ? "1" : "2");
		of_b[i] = side_options(&b, "p", "", i == 0 ? "3" : "4");
		of_a[i].may_repeat = of_b[i].may_repeat = true;
		assert_int_equal(hf_protomux_open(a.mux, &of_a[i], &channels[i]), HF_OK);
		assert_int_equal(hf_protomux_open(b.mux, &of_b[i], &channels[2 + i]), HF_OK);
	}
	assert_null(side_open(&a, "p", "", ""));
	assert_int_equal(a.result, HF_EEXISTS);
	side_exchange(&a, &b);
	side_expect(&a, "open 33\nopen 34\n");
	side_expect(&b, "open 31\nopen 32\n");
	side_say(channels[1], 0, "x");
	side_deliver(&a);
	side_expect(&b, "message 0 78\n");
	hf_channel_close(channels[2]);
	side_deliver(&b);
	assert_int_equal(hf_protomux_channel_count(a.mux), 1);
	sides_end(&a, &b);
}

/* Two opens of one key wait, for one late answer each. */
static void test_each_late_answer_takes_the_first_that_waits(void **state)
{
	struct side a, b;
	struct hf_channel_options options = side_options(&a, "p", "", "1");
	struct hf_channel *channel;

	sides_begin(&a, &b);
	options.may_repeat = true;
	b.answer = HF_EWAIT;
	hf_protomux_pair(b.mux, hf_slice_text("p"), hf_slice(NULL, 0), side_notify, &b);
	hf_protomux_open(a.mux, &options, &channel);
	options.handshake = hf_slice_text("2");
	hf_protomux_open(a.mux, &options, &channel);
	options.handshake = hf_slice_text("3");
	hf_protomux_open(a.mux, &options, &channel);
	side_deliver(&a);
	options = side_options(&b, "p", "", "");
	options.may_repeat = true;
	assert_int_equal(hf_protomux_open(b.mux, &options, &channel), HF_OK);
	assert_int_equal(hf_protomux_reject(b.mux, options.protocol, options.id), HF_OK);
	side_expect_sent(&b, "000101017000\n");
	assert_int_equal(hf_protomux_open(b.mux, &options, &channel), HF_OK);
	side_expect_sent(&b, "000102017000\n000203\n");
	side_expect(&b, "notify p \nnotify p \nnotify p \nopen 31\nopen 32\n");
	sides_end(&a, &b);
}

static void test_an_alias_finds_a_channel_that_is_there(void **state)
{
	struct side a, b;
	struct hf_slice aliases[] = {hf_slice_text("old"), hf_slice_text("older")};
	struct hf_channel_options options = side_options(&b, "new", "id", "b");

	sides_begin(&a, &b);
	options.aliases = aliases;
	options.alias_count = 2;
	hf_protomux_pair(b.mux, hf_slice_text("new"), hf_slice(NULL, 0), side_notify, &b);
	side_open(&a, "older", "id", "1");
	side_deliver(&a); /* not there yet: rejected without asking for the main name */
	side_expect(&b, "");
	side_expect_sent(&b, "000201\n");
	assert_int_equal(hf_protomux_open(b.mux, &options, &b.channel), HF_OK);
	assert_int_equal(side_recv(&b, "000101056f6c64657202696432"), HF_OK);
	side_expect(&b, "open 32\n");
	side_expect_sent(&b, "000101036e657702696462\n"); /* always under the main name */
	hf_channel_close(b.channel);
	assert_int_equal(side_recv(&b, "000101056f6c64657202696433"), HF_OK); /* the alias went with it */
	side_expect_sent(&b, "000301\n000201\n");
	side_expect(&b, "close local\n");
	sides_end(&a, &b);
}

/* ---- Ids ---- */

static void test_an_id_is_used_again_once_the_remote_has_let_go_of_it(void **state)
{
	struct side a, b;
	struct hf_channel *one, *two;

	sides_begin(&a, &b);
	one = side_open(&a, "1", "", "");
	two = side_open(&a, "2", "", "");
	side_expect_sent(&a, "000101013100\n000102013200\n");
	hf_channel_close(one); /* the remote has not answered: 1 stays taken */
	side_open(&a, "3", "", "");
	side_expect_sent(&a, "000301\n000103013300\n");
	assert_int_equal(side_recv(&a, "000101013200"), HF_OK); /* two is open */
	assert_int_equal(side_recv(&a, "000102013100"), HF_OK); /* the answer to one, too late; its 2 is free for them again */
	assert_int_equal(side_recv(&a, "020000"), HF_OK);
	hf_channel_close(two);
	side_expect_sent(&a, "000302\n");
	side_open(&a, "4", "", ""); /* freed last, used first */
	side_open(&a, "5", "", "");
	side_open(&a, "6", "", "");
	side_expect_sent(&a, "000102013400\n000101013500\n000104013600\n");
	assert_int_equal(side_recv(&a, "000204"), HF_OK); /* rejects 6 */
	side_open(&a, "7", "", "");
	side_expect_sent(&a, "000104013700\n");
	sides_end(&a, &b);
}

static void test_a_reject_of_a_channel_that_was_closed_frees_its_id(void **state)
{
	struct side a, b;

	sides_begin(&a, &b);
	hf_channel_close(side_open(&a, "1", "", ""));
	assert_int_equal(side_recv(&a, "000201"), HF_OK);
	side_open(&a, "2", "", "");
	side_expect_sent(&a, "000101013100\n000301\n000101013200\n");
	side_expect(&a, "close local\n");
	sides_end(&a, &b);
}

static void test_messages_to_a_channel_that_is_gone_are_dropped(void **state)
{
	struct side a, b;

	sides_begin(&a, &b);
	side_open(&a, "p", "", "");
	assert_int_equal(side_recv(&a, "000101017000"), HF_OK);
	hf_channel_close(a.channel);
	assert_int_equal(side_recv(&a, "01006c617465"), HF_OK);
	assert_int_equal(side_recv(&a, "000301"), HF_OK); /* both have closed at once */
	assert_int_equal(side_recv(&a, "09006e65766572"), HF_OK);
	assert_int_equal(side_recv(&a, "000309"), HF_OK);
	assert_int_equal(side_recv(&a, "000300"), HF_OK);
	assert_int_equal(side_recv(&a, "000963"), HF_OK); /* a control message not known */
	assert_int_equal(side_recv(&a, ""), HF_OK);       /* keep-alive */
	side_expect(&a, "open \nclose local\n");
	sides_end(&a, &b);
}

/* ---- Batches ---- */

static void test_replies_to_a_batch_are_a_batch(void **state)
{
	struct side a, b;
	struct hf_channel_options options = side_options(&b, "p", "", "");

	sides_begin(&a, &b);
	b.accepts = &options;
	hf_protomux_pair(b.mux, hf_slice_text("p"), hf_slice(NULL, 0), side_notify, &b);
	/* An open, a message, an open of something unknown and a length that is longer than what is left. */
	assert_int_equal(side_recv(&b, "000000" "0501010170000001" "0200" "61" "0000" "0501020171" "00" "0001" "090062"), HF_OK);
	side_expect(&b, "notify p \nopen \nmessage 0 61\nmessage 0 62\n");
	side_expect_sent(&b, "0000000501010170000202" "02\n");
	sides_end(&a, &b);
}

static void test_corks_nest_and_an_empty_one_says_nothing(void **state)
{
	struct side a, b;
	struct hf_channel *channel;

	sides_begin(&a, &b);
	channel = side_open(&a, "p", "", "");
	side_expect_sent(&a, "000101017000\n");
	hf_protomux_cork(a.mux);
	hf_protomux_cork(a.mux);
	hf_protomux_uncork(a.mux);
	hf_protomux_uncork(a.mux);
	side_expect_sent(&a, "");
	hf_protomux_cork(a.mux);
	hf_protomux_cork(a.mux);
	side_say(channel, 0, "a");
	hf_protomux_uncork(a.mux);
	side_expect_sent(&a, "");
	hf_channel_close(channel);
	hf_protomux_uncork(a.mux);
	side_expect_sent(&a, "00000102006100000203" "01\n");
	sides_end(&a, &b);
}

static void test_a_message_can_be_written_in_place(void **state)
{
	struct side a, b;
	struct hf_channel *one, *two;
	struct hf_compact_writer *out;
	uint8_t long_text[300] = {0};

	sides_begin(&a, &b);
	one = side_open(&a, "p", "", "");
	two = side_open(&a, "q", "", "");
	a.delivered = a.frame_count;
	out = hf_channel_begin(one, 1);
	hf_compact_write_uint(out, 300);
	assert_int_equal(hf_channel_end(one), HF_OK);
	side_expect_sent(&a, "0101fd2c01\n");
	hf_protomux_cork(a.mux);
	out = hf_channel_begin(one, 0);
	hf_compact_write_uint(out, 5);
	assert_int_equal(hf_channel_end(one), HF_OK);
	out = hf_channel_begin(two, 0); /* has no encoding: as if it had not begun */
	hf_compact_write_uint(out, UINT64_MAX);
	assert_int_equal(hf_channel_end(two), HF_EINVAL);
	out = hf_channel_begin(one, 1);
	hf_compact_write_uint(out, 6);
	assert_int_equal(hf_channel_end(one), HF_OK);
	hf_protomux_uncork(a.mux);
	side_expect_sent(&a, "000001020005020106\n");
	hf_protomux_cork(a.mux);
	out = hf_channel_begin(two, 0);
	hf_compact_write_fixed(out, long_text, sizeof long_text);
	assert_int_equal(hf_channel_end(two), HF_OK);
	hf_protomux_uncork(a.mux);
	assert_int_equal(a.frames[a.delivered].length, 3 + 3 + 1 + 300);
	assert_memory_equal(a.frames[a.delivered].data, "\0\0\2\xfd\x2d\1\0", 7);
	sides_end(&a, &b);
}

static void test_parts_are_passed_on_without_a_copy(void **state)
{
	struct side a, b;
	struct hf_channel *channel;
	static const char block[65536];
	struct iovec parts[] = {{"head", 4}, {(void *)block, sizeof block}};

	sides_begin(&a, &b);
	channel = side_open(&a, "p", "", "");
	assert_int_equal(hf_channel_send(channel, 0, parts, 2), HF_OK);
	assert_ptr_equal(a.last_part, block);
	assert_int_equal(a.last_part_count, 3);
	sides_end(&a, &b);
}

static void test_long_batches_are_split(void **state)
{
	struct side a, b;
	struct hf_channel *channel;
	static uint8_t body[HF_PROTOMUX_BATCH_BYTES / 8];
	struct iovec part = {body, sizeof body};

	for (int in_place = 0; in_place < 2; in_place++) {
		sides_begin(&a, &b);
		channel = side_open(&a, "p", "", "");
		a.delivered = a.frame_count;
		hf_protomux_cork(a.mux);
		for (int i = 0; i < 9; i++)
			if (in_place) {
				hf_compact_write_fixed(hf_channel_begin(channel, 0), body, sizeof body);
				assert_int_equal(hf_channel_end(channel), HF_OK);
			} else
				assert_int_equal(hf_channel_send(channel, 0, &part, 1), HF_OK);
		hf_protomux_uncork(a.mux);
		assert_int_equal(a.frame_count, a.delivered + 2);
		assert_int_equal(a.frames[1].length, 3 + 8 * (3 + 1 + sizeof body));
		assert_int_equal(a.frames[2].length, 3 + 3 + 1 + sizeof body);
		sides_end(&a, &b);
	}
}

/* A batch and a message that fills the stream's do not go into one. What is as large as a batch is in none, when it was not written in
 * place. */
static void test_no_batch_is_longer_than_the_stream_can_take(void **state)
{
	struct side a, b;
	struct hf_channel *channel;
	size_t first = HF_PROTOMUX_BATCH_BYTES - 100, length = HF_PROTOMUX_MESSAGE_BYTES_MAX - 100;
	uint8_t *body = calloc(1, HF_PROTOMUX_MESSAGE_BYTES_MAX);
	struct iovec parts[] = {{body, first}, {body, length}, {body, HF_PROTOMUX_MESSAGE_BYTES_MAX}};

	for (int in_place = 0; in_place < 2; in_place++) {
		sides_begin(&a, &b);
		channel = side_open(&a, "p", "", "");
		a.delivered = a.frame_count;
		hf_protomux_cork(a.mux);
		assert_int_equal(hf_channel_send(channel, 0, &parts[0], 1), HF_OK);
		if (in_place) {
			hf_compact_write_fixed(hf_channel_begin(channel, 0), body, length);
			assert_int_equal(hf_channel_end(channel), HF_OK);
		} else
			assert_int_equal(hf_channel_send(channel, 0, &parts[1], 1), HF_OK);
		assert_int_equal(hf_channel_send(channel, 0, &parts[2], 1), HF_ETOOBIG);
		hf_compact_write_fixed(hf_channel_begin(channel, 0), body, HF_PROTOMUX_MESSAGE_BYTES_MAX);
		assert_int_equal(hf_channel_end(channel), HF_ETOOBIG);
		hf_protomux_uncork(a.mux);
		assert_int_equal(a.frame_count, 3);
		assert_int_equal(a.frames[1].length, 3 + 3 + 1 + first);
		assert_int_equal(a.frames[2].length, (in_place ? 3 + 5 + 1 : 2) + length);
		assert_memory_equal(a.frames[2].data, in_place ? "\0\0\1\xfe" : "\1\0\0\0", 4);
		sides_end(&a, &b);
	}
	free(body);
}

static void test_channels_hear_that_there_is_room_again(void **state)
{
	struct side a, b;

	sides_begin(&a, &b);
	side_open(&a, "p", "", "");
	side_open(&a, "q", "", "");
	a.is_congested = true;
	assert_true(hf_protomux_is_congested(a.mux));
	a.is_congested = false;
	assert_false(hf_protomux_is_congested(a.mux));
	a.closes_at = 'd';
	hf_protomux_drained(a.mux);
	side_expect(&a, "drain\nclose local\ndrain\nclose local\n");
	sides_end(&a, &b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames_are_the_packages),
		cmocka_unit_test(test_messages_sent_before_the_answer_are_kept_in_order),
		cmocka_unit_test(test_a_channel_can_be_opened_while_asked),
		cmocka_unit_test(test_the_handler_of_an_id_comes_before_that_of_the_protocol),
		cmocka_unit_test(test_a_late_answer_may_be_no),
		cmocka_unit_test(test_what_a_remote_closed_before_the_answer_is_heard_and_then_closed),
		cmocka_unit_test(test_equal_channels_pair_in_order),
		cmocka_unit_test(test_each_late_answer_takes_the_first_that_waits),
		cmocka_unit_test(test_an_alias_finds_a_channel_that_is_there),
		cmocka_unit_test(test_an_id_is_used_again_once_the_remote_has_let_go_of_it),
		cmocka_unit_test(test_a_reject_of_a_channel_that_was_closed_frees_its_id),
		cmocka_unit_test(test_messages_to_a_channel_that_is_gone_are_dropped),
		cmocka_unit_test(test_replies_to_a_batch_are_a_batch),
		cmocka_unit_test(test_corks_nest_and_an_empty_one_says_nothing),
		cmocka_unit_test(test_a_message_can_be_written_in_place),
		cmocka_unit_test(test_parts_are_passed_on_without_a_copy),
		cmocka_unit_test(test_long_batches_are_split),
		cmocka_unit_test(test_no_batch_is_longer_than_the_stream_can_take),
		cmocka_unit_test(test_channels_hear_that_there_is_room_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
