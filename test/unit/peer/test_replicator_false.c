/* Peers that say what is false, or what was not asked: each is let go for a reason that names it, and counted, and nothing of what it said
 * is kept. */
#include "replicator_fixture.h"

#define BLOCKS 20
#define ANSWERS_MAX 200 /* then the liar falls silent, whatever it is asked */

/* Knows the core and shakes hands as it should; what it answers goes through twist. */
struct liar {
	struct hf_core *core;
	struct hf_channel *channel;
	void (*turn)(struct hf_replication_request *asked); /* before it is answered; may be NULL */
	void (*twist)(struct hf_replication_data *answer);  /* before it is sent; may be NULL */
	unsigned answers;
};

static struct liar liar;
static struct peer *writer, *reader;
static struct end *reader_end;
static uint8_t twisted[1024];

static void send_body(uint32_t type, const struct hf_buffer *body)
{
	struct iovec part = {body->data, body->length};

	if (liar.channel != NULL)
		assert_int_equal(hf_channel_send(liar.channel, type, &part, 1), HF_OK);
}

static void answer(struct hf_replication_request *request)
{
	struct hf_buffer nodes = {0}, body = {0};
	struct hf_compact_writer out = hf_compact_writer(&body);
	struct hf_replication_data data = {.request = request->id};

	if (liar.turn != NULL)
		liar.turn(request);
	assert_int_equal(hf_core_prove(liar.core, hf_core_fork(liar.core), &request->proof, &nodes, &data.proof), HF_OK);
	if (liar.twist != NULL)
		liar.twist(&data);
	hf_replication_write_data(&out, &data);
	send_body(HF_REPLICATION_DATA, &body);
	hf_buffer_free(&nodes);
	hf_buffer_free(&body);
}

static int on_message(struct hf_channel *channel, void *context, uint32_t type, struct hf_slice body)
{
	struct hf_replication_request request;

	(void)channel;
	(void)context;
	if (type != HF_REPLICATION_REQUEST || liar.answers == ANSWERS_MAX)
		return HF_OK;
	assert_int_equal(hf_replication_read_request(body, &request), HF_OK);
	if (request.id == 0) /* which of two histories it has signed: it does not say */
		return HF_OK;
	liar.answers++;
	answer(&request);
	return HF_OK;
}

static void on_close(struct hf_channel *channel, void *context, enum hf_channel_end how)
{
	(void)channel;
	(void)context;
	(void)how;
	liar.channel = NULL;
}

static void say_sync(uint64_t fork, uint64_t length)
{
	struct hf_buffer body = {0};
	struct hf_compact_writer out = hf_compact_writer(&body);
	struct hf_replication_sync sync = {.fork = fork, .length = length, .remote_length = hf_core_length(reader->core), .can_upgrade = true,
		.is_uploading = true, .is_downloading = true, .has_manifest = true};

	hf_replication_write_sync(&out, &sync);
	send_body(HF_REPLICATION_SYNC, &body);
	hf_buffer_clear(&body);
	hf_replication_write_range(&out, &(struct hf_replication_range){.length = length});
	send_body(HF_REPLICATION_RANGE, &body);
	hf_buffer_free(&body);
}

static void meet_liar(void)
{
	static const struct hf_channel_events events = {.message_types = HF_REPLICATION_TYPES, .message = on_message, .close = on_close};

	reader_end = meet_remote(reader, &mux_events, liar.core, &events, NULL, &liar.channel);
	say_sync(hf_core_fork(liar.core), hf_core_length(liar.core));
}

/* The reader has the first `held` blocks of a core of BLOCKS and knows its length, if it has any of it. */
static void begin(uint64_t held)
{
	now_ms = 1000000;
	liar = (struct liar){0};
	writer = add_peer();
	reader = add_peer();
	start_pair(writer, reader, BLOCKS);
	liar.core = writer->core;
	if (held == 0)
		return;
	struct end *end = connect_peers(writer, reader);

	hf_download_start(reader->replication, new_download((struct hf_download){.to = held, .done = count_done}));
	settle();
	assert_int_equal(hf_core_length(reader->core), BLOCKS);
	drop_end(end);
	drop_end(end->other);
}

static void want_all(void)
{
	hf_download_start(reader->replication, new_download((struct hf_download){.to = UINT64_MAX}));
}

/* Whoever lied was let go, for a reason that has `reason` in it, after few answers; the reader has what it had. */
static void expect_let_go(const char *reason, uint64_t length, uint64_t held)
{
	struct hf_replicator_stats stats;

	turn_loop(2 * ANSWERS_MAX);
	now_ms += 60000; /* it is asked for another signature before */
	turn_loop(2);
	if (strstr(reader_end->failure, reason) == NULL)
		fail_msg("let go because \"%s\", after %u answers, rather than because %s", reader_end->failure, liar.answers, reason);
	assert_in_range(liar.answers, 0, BLOCKS + 1);
	drop_end(reader_end);
	hf_replicator_stats(reader->replicator, &stats);
	assert_int_equal(stats.peers_failed, 1);
	turn_loop(2);
	assert_int_equal(hf_core_length(reader->core), length);
	assert_int_equal(hf_bitfield_count(hf_core_blocks(reader->core)), held);
	assert_int_equal(hf_core_fork(reader->core), 0);
}

static uint64_t false_proofs(void)
{
	struct hf_replicator_stats stats;

	hf_replicator_stats(reader->replicator, &stats);
	return stats.proofs_false;
}

/* ---- Proofs that do not hold ---- */

static struct hf_slice flip(struct hf_slice from, size_t at)
{
	assert_true(from.length <= sizeof twisted);
	memcpy(twisted, from.data, from.length);
	twisted[at] ^= 1;
	return hf_slice(twisted, from.length);
}

static void flip_signature(struct hf_replication_data *data)
{
	if (data->proof.has_upgrade)
		data->proof.upgrade.signature = flip(data->proof.upgrade.signature, 40);
}

static void flip_manifest(struct hf_replication_data *data)
{
	if (data->proof.has_manifest)
		data->proof.manifest = flip(data->proof.manifest, data->proof.manifest.length - 1);
}

static void flip_block(struct hf_replication_data *data)
{
	if (data->proof.has_block)
		data->proof.block.value = flip(data->proof.block.value, 0);
}

static void test_a_wrong_signature(void **state)
{
	(void)state;
	begin(0);
	liar.twist = flip_signature;
	want_all();
	meet_liar();
	expect_let_go("signature", 0, 0);
	assert_int_equal(false_proofs(), 1);
}

static void test_a_manifest_that_is_not_the_keys(void **state)
{
	(void)state;
	begin(0);
	liar.twist = flip_manifest;
	want_all();
	meet_liar();
	expect_let_go("manifest", 0, 0);
	assert_null(hf_core_manifest(reader->core));
	assert_int_equal(false_proofs(), 1);
}

static void test_a_block_that_was_changed(void **state)
{
	(void)state;
	begin(5);
	liar.twist = flip_block;
	want_all();
	meet_liar();
	expect_let_go("does not hold", BLOCKS, 5);
	assert_in_range(false_proofs(), 1, BLOCKS);
}

/* ---- Proofs that hold, of what was not asked ---- */

static void turn_block(struct hf_replication_request *asked)
{
	if (asked->proof.has_block)
		asked->proof.block.index ^= 1;
}

static void turn_hash(struct hf_replication_request *asked)
{
	if (asked->proof.has_hash)
		asked->proof.hash.index ^= 2;
}

static void turn_to_upgrade(struct hf_replication_request *asked)
{
	asked->proof.has_upgrade = true;
	asked->proof.upgrade.start = 0;
	asked->proof.upgrade.length = BLOCKS;
}

static void turn_upgrade(struct hf_replication_request *asked)
{
	if (asked->proof.has_upgrade) {
		asked->proof.upgrade.start = 3;
		asked->proof.upgrade.length = BLOCKS - 3;
	}
}

static void raise_fork(struct hf_replication_data *data)
{
	data->proof.fork++;
}

static void leave_out(struct hf_replication_data *data)
{
	data->proof = (struct hf_proof){.fork = data->proof.fork};
}

static void test_a_proof_of_another_block(void **state)
{
	(void)state;
	begin(5);
	liar.turn = turn_block;
	want_all();
	meet_liar();
	expect_let_go("not asked", BLOCKS, 5);
}

static void test_a_proof_of_another_hash(void **state)
{
	static struct hf_seek_wait wait;

	wait = (struct hf_seek_wait){.bytes = 200, .done = (void (*)(struct hf_seek_wait *))count_heard};
	(void)state;
	begin(1);
	liar.turn = turn_hash;
	hf_seek_wait_start(reader->replication, &wait);
	meet_liar();
	expect_let_go("not asked", BLOCKS, 1);
	hf_seek_wait_cancel(&wait);
}

static void test_an_upgrade_beside_a_block(void **state)
{
	(void)state;
	begin(5);
	liar.turn = turn_to_upgrade;
	want_all();
	meet_liar();
	expect_let_go("not asked", BLOCKS, 5);
}

static void test_an_upgrade_from_another_length(void **state)
{
	(void)state;
	begin(5);
	append_numbers(writer, 5);
	liar.turn = turn_upgrade;
	meet_liar();
	expect_let_go("not asked", BLOCKS, 5);
}

/* Who may push is not let go for it. But it is of no use, so that it is asked no more after a while. */
static void test_an_upgrade_from_another_length_by_who_may_push(void **state)
{
	(void)state;
	begin(5);
	hf_replication_allow_push(reader->replication, true);
	append_numbers(writer, 5);
	liar.turn = turn_upgrade;
	meet_liar();
	turn_loop(2 * ANSWERS_MAX);
	assert_string_equal(reader_end->failure, "");
	assert_in_range(liar.answers, 2, HF_REPLICATOR_REFUSALS_MAX);
	assert_int_equal(hf_core_length(reader->core), BLOCKS);
}

static void test_a_proof_of_another_fork(void **state)
{
	(void)state;
	begin(5);
	liar.twist = raise_fork;
	want_all();
	meet_liar();
	expect_let_go("not asked", BLOCKS, 5);
}

/* Nothing false is said, but it is not asked for ever either. */
static void test_answers_that_hold_nothing_are_refusals(void **state)
{
	struct hf_replicator_stats stats;

	(void)state;
	begin(5);
	append_numbers(writer, 5);
	liar.twist = leave_out;
	want_all();
	meet_liar();
	turn_loop(2 * ANSWERS_MAX);
	hf_replicator_stats(reader->replicator, &stats);
	assert_in_range(liar.answers, 1, HF_REPLICATOR_REFUSALS_MAX);
	assert_int_equal(stats.refused_received, liar.answers);
	assert_int_equal(stats.peers_failed, 0);
	assert_int_equal(hf_core_length(reader->core), BLOCKS);
}

/* ---- Forks ---- */

static void test_a_fork_that_is_not_signed(void **state)
{
	(void)state;
	begin(5);
	assert_int_equal(hf_core_truncate(writer->core, 3, HF_CORE_NEXT_FORK), HF_OK);
	append_numbers(writer, 2);
	liar.twist = flip_signature;
	meet_liar();
	expect_let_go("signature over length 5", BLOCKS, 5);
	assert_int_equal(false_proofs(), 1);
}

/* ---- Messages that are none ---- */

static void test_a_number_without_end(void **state)
{
	uint8_t bytes[12];
	struct hf_buffer body = {.data = bytes, .length = sizeof bytes};

	(void)state;
	for (uint32_t type = 0; type < HF_REPLICATION_EXTENSION; type++) {
		begin(5);
		meet_liar();
		turn_loop(10);
		memset(bytes, 0xff, sizeof bytes);
		send_body(type, &body);
		expect_let_go("malformed", BLOCKS, 5);
		tear_down(NULL);
	}
}

/* What the mux or the stream under it finds out ends the peer as well, and is counted once the stream is let go of. */
static void test_frames_that_break_the_mux(void **state)
{
	static const struct {
		const char *frame, *reason;
		size_t length;
	} cases[] = {
		{"\0\1\115\5hello\0", "channel 77", 10},              /* opens a channel out of turn */
		{"\0\2\1", "rejected channel 1", 3},                 /* rejects one that was accepted long ago */
		{"\0\0\1\xff\xff\xff\xff\xff\xff\xff\xff\xff", "cannot be read", 12}, /* a batch with a part of 2^64 - 1 bytes */
		{"\xff\xff\xff\xff\xff\xff\xff\xff\xff\0", "cannot be read", 10}, /* a channel beyond all numbers */
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		begin(5);
		meet_liar();
		turn_loop(10);
		hf_protomux_recv(reader_end->mux, hf_slice(cases[i].frame, cases[i].length));
		expect_let_go(cases[i].reason, BLOCKS, 5);
		tear_down(NULL);
	}
}

static void test_who_leaves_is_not_counted(void **state)
{
	struct hf_replicator_stats stats;

	(void)state;
	begin(5);
	meet_liar();
	turn_loop(10);
	hf_protomux_fail(reader_end->mux, HF_ECLOSED, "the connection was closed");
	drop_end(reader_end);
	hf_replicator_stats(reader->replicator, &stats);
	assert_int_equal(stats.peers_failed, 0);
}

int main(void)
{
	hf_crypto_init();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_a_wrong_signature, tear_down),
		cmocka_unit_test_teardown(test_a_manifest_that_is_not_the_keys, tear_down),
		cmocka_unit_test_teardown(test_a_block_that_was_changed, tear_down),
		cmocka_unit_test_teardown(test_a_proof_of_another_block, tear_down),
		cmocka_unit_test_teardown(test_a_proof_of_another_hash, tear_down),
		cmocka_unit_test_teardown(test_an_upgrade_beside_a_block, tear_down),
		cmocka_unit_test_teardown(test_an_upgrade_from_another_length, tear_down),
		cmocka_unit_test_teardown(test_an_upgrade_from_another_length_by_who_may_push, tear_down),
		cmocka_unit_test_teardown(test_a_proof_of_another_fork, tear_down),
		cmocka_unit_test_teardown(test_answers_that_hold_nothing_are_refusals, tear_down),
		cmocka_unit_test_teardown(test_a_fork_that_is_not_signed, tear_down),
		cmocka_unit_test_teardown(test_a_number_without_end, tear_down),
		cmocka_unit_test_teardown(test_frames_that_break_the_mux, tear_down),
		cmocka_unit_test_teardown(test_who_leaves_is_not_counted, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
