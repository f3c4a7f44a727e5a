/* Blocks that were not asked for: who takes them, what overtakes them, and what the packages make of whom they may be pushed to. */
#include "replicator_puppet.h"

static void test_a_block_is_pushed_to_who_allows_it(void **state)
{
	struct hf_replicator_stats stats;

	(void)state;
	writer = add_peer();
	reader = add_peer();
	start_pair(writer, reader, 40);
	connect_peers(writer, reader);
	settle();
	hf_replication_push(writer->replication, 7);
	settle();
	assert_false(hf_bitfield_get(hf_core_blocks(reader->core), 7));
	hf_replication_allow_push(reader->replication, true);
	settle();
	hf_replication_push(writer->replication, 7);
	settle();
	assert_true(hf_bitfield_get(hf_core_blocks(reader->core), 7));
	append_numbers(writer, 3);
	hf_replication_push(writer->replication, 41);
	settle();
	assert_true(hf_bitfield_get(hf_core_blocks(reader->core), 41));
	assert_int_equal(hf_core_length(reader->core), 43);
	hf_replicator_stats(reader->replicator, &stats);
	assert_int_equal(stats.blocks_received, 2);
	assert_int_equal(stats.proofs_false, 0);
}

static void test_nothing_is_pushed_to_who_has_left(void **state)
{
	(void)state;
	writer = add_peer();
	reader = add_peer();
	start_pair(writer, reader, 40);
	connect_peers(writer, reader);
	hf_replication_allow_push(reader->replication, true);
	settle();
	hf_replication_push(writer->replication, 7);
	settle();
	assert_true(hf_bitfield_get(hf_core_blocks(reader->core), 7));
	hf_replication_leave(reader->replication);
	reader->replication = NULL;
	settle();
	hf_replication_push(writer->replication, 8);
	settle();
	assert_false(hf_bitfield_get(hf_core_blocks(reader->core), 8));
}

/* The tree comes by another peer before what is pushed. */
static void expect_taken_although_overtaken(int known, uint64_t pushed)
{
	struct peer *second = add_peer();
	struct end *to_reader;

	writer = add_peer();
	reader = add_peer();
	start_pair(writer, reader, known);
	join(second, hf_core_key(writer->core));
	connect_peers(writer, second);
	connect_peers(second, reader);
	to_reader = connect_peers(writer, reader)->other;
	hf_replication_allow_push(reader->replication, true);
	settle();
	to_reader->delay_ms = 1000;
	append_numbers(writer, 3);
	hf_replication_push(writer->replication, pushed);
	settle();
	assert_int_equal(hf_core_length(reader->core), known + 3);
	assert_false(hf_bitfield_get(hf_core_blocks(reader->core), pushed));
	now_ms += 1000;
	settle();
	assert_true(hf_bitfield_get(hf_core_blocks(reader->core), pushed));
}

static void test_a_pushed_block_is_taken_when_the_tree_has_overtaken_it(void **state)
{
	(void)state;
	expect_taken_although_overtaken(40, 41);
}

/* It comes with the whole tree, as what tells of two histories does. */
static void test_a_pushed_block_is_taken_also_when_it_was_pushed_to_who_had_nothing(void **state)
{
	(void)state;
	expect_taken_although_overtaken(0, 1);
}

/* ---- By the package ---- */

static uint64_t given; /* the tree that the package thinks that its peer has */

/* As the package does for who allows pushing: from what it has given, unless it is asked for no more than that. */
static void answer_as_the_package(struct puppet *puppet, const struct hf_replication_request *request)
{
	struct hf_replication_request from_there = *request;
	struct hf_proof_request *proof = &from_there.proof;
	uint64_t end = proof->upgrade.start + proof->upgrade.length;

	if (proof->has_upgrade && given < end)
		proof->upgrade.start = given;
	proof->upgrade.length = end - proof->upgrade.start;
	if (proof->has_upgrade)
		given = hf_core_length(writer->core);
	answer_truly(puppet, writer->core, &from_there);
}

/* As the packages do: an answer that the reader could not use any more has, for who pushes, given it the tree. */
static void test_a_block_that_is_pushed_before_its_tree_is_asked_for(void **state)
{
	struct hf_replication_request pushed = {.proof = {.has_block = true, .block.index = 11}};
	struct puppet *puppet;

	(void)state;
	begin_alone();
	append_numbers(writer, 2);
	hf_replication_allow_push(reader->replication, true);
	puppet = connect_puppet(reader);
	answer_truly(puppet, writer->core, &pushed);
	turn(20);
	assert_int_equal(hf_core_length(reader->core), 10);
	claim(puppet, 0, 12, 10, true);
	turn(20);
	puppet->on_request = answer_as_the_package;
	given = 10;
	answer_as_the_package(puppet, &puppet->requests[0]);
	turn(20);
	assert_int_equal(puppet->request_count, 2); /* the tree, then the block */
	assert_int_equal(hf_core_length(reader->core), 12);
	assert_true(hf_bitfield_get(hf_core_blocks(reader->core), 11));
	assert_int_equal(hf_bitfield_count(hf_core_blocks(reader->core)), 1);
}

static struct puppet *begin_with_the_package(uint64_t already_given)
{
	begin_alone();
	given = already_given;
	hf_replication_allow_push(reader->replication, true);
	return connect_puppet(reader);
}

/* Each answer comes together with the news that the tree is longer again. */
static void test_a_writer_that_goes_on_writing_is_kept_up_with(void **state)
{
	struct puppet *puppet = begin_with_the_package(0);
	size_t answered = 0;

	(void)state;
	for (int i = 0; i < 2 * HF_REPLICATOR_REFUSALS_MAX; i++) {
		hf_protomux_cork(hf_channel_mux(puppet->channel));
		while (answered < puppet->request_count)
			answer_as_the_package(puppet, &puppet->requests[answered++]);
		append_numbers(writer, 1);
		claim_length(puppet, 0, hf_core_length(writer->core), hf_core_length(reader->core), true);
		hf_protomux_uncork(hf_channel_mux(puppet->channel));
		turn(5);
		claim_length(puppet, 0, hf_core_length(writer->core), hf_core_length(reader->core), true);
		turn(5);
	}
	assert_true(hf_core_length(reader->core) + 4 > hf_core_length(writer->core));
}

static void test_a_writer_that_begins_a_fork_at_what_it_has_given_is_followed(void **state)
{
	struct puppet *puppet = begin_with_the_package(10);

	(void)state;
	append_numbers(writer, 2);
	puppet->on_request = answer_as_the_package;
	claim(puppet, 0, 12, 10, true);
	turn(20);
	assert_int_equal(hf_core_length(reader->core), 12);
	truncate_writer();
	append_numbers(writer, 20);
	claim(puppet, 1, 28, 0, true);
	turn(50);
	assert_string_equal(ends[2].failure, "");
	assert_int_equal(hf_core_fork(reader->core), 1);
}

/* It read the request before it heard that. */
static void test_an_answer_by_who_could_push_until_now(void **state)
{
	struct puppet *puppet = begin_with_the_package(0);

	(void)state;
	append_numbers(writer, 2);
	claim(puppet, 0, 12, 10, true);
	turn(20);
	assert_int_equal(puppet->request_count, 1);
	hf_replication_allow_push(reader->replication, false);
	turn(20);
	puppet->on_request = answer_as_the_package;
	answer_as_the_package(puppet, &puppet->requests[0]);
	turn(20);
	assert_string_equal(ends[2].failure, "");
	assert_int_equal(hf_core_length(reader->core), 12);
}

/* It was asked for as one beyond the tree, and came as one within it. */
static void test_a_block_whose_tree_was_pushed_meanwhile_comes_all_the_same(void **state)
{
	struct hf_replication_request pushed = {.proof = {.has_block = true, .block.index = 14, .has_upgrade = true, .upgrade = {12, 3}}};
	struct puppet *puppet = begin_with_the_package(10);
	struct hf_replication_request *asked = &puppet->requests[1];

	(void)state;
	append_numbers(writer, 2);
	puppet->on_request = answer_as_the_package;
	claim(puppet, 0, 12, 10, true);
	turn(20);
	puppet->on_request = NULL;
	append_numbers(writer, 2);
	claim(puppet, 0, 14, 12, true);
	hf_download_start(reader->replication, new_download((struct hf_download){.from = 12, .to = 14, .done = count_done}));
	turn(20);
	assert_true(puppet->request_count > 1 && asked->proof.has_upgrade && asked->proof.has_block);
	append_numbers(writer, 1);
	answer_truly(puppet, writer->core, &pushed);
	turn(20);
	assert_int_equal(hf_core_length(reader->core), 15);
	append_numbers(writer, 1);
	given = 16;
	puppet->on_request = answer_as_the_package;
	asked->proof.upgrade.start = 15;
	asked->proof.upgrade.length = 1;
	for (size_t i = 1; i < puppet->request_count; i++)
		answer_truly(puppet, writer->core, &puppet->requests[i]);
	claim_length(puppet, 0, 16, 15, true);
	turn(50);
	assert_int_equal(done_count, 1);
}

/* Blocks of no tree: they are asked of nobody else, and are no hindrance to what others push. */
static void test_what_is_pushed_early_is_asked_of_who_pushed_it(void **state)
{
	struct hf_replication_request pushed = {.proof = {.has_block = true, .block.index = 11}};
	struct puppet *liar = begin_with_the_package(10), *puppet = connect_puppet(reader);

	(void)state;
	append_numbers(writer, 200);
	for (uint64_t i = 0; i < 100; i++) {
		struct hf_replication_data data = {.proof = {.has_block = true, .block = {.index = 100 + i, .value = HF_SLICE_LITERAL("false")}}};

		hf_replication_write_data(hf_channel_begin(liar->channel, HF_REPLICATION_DATA), &data);
		hf_channel_end(liar->channel);
	}
	answer_truly(puppet, writer->core, &pushed);
	turn(20);
	puppet->on_request = answer_as_the_package;
	claim(puppet, 0, 210, 10, true);
	turn(50);
	assert_int_equal(hf_core_length(reader->core), 210);
	assert_true(hf_bitfield_get(hf_core_blocks(reader->core), 11));
	assert_int_equal(hf_bitfield_count(hf_core_blocks(reader->core)), 1);
}

/* It was there, and is truncated. */
static void test_what_was_pushed_early_is_not_asked_for_on_another_fork(void **state)
{
	struct hf_replication_request pushed = {.proof = {.has_block = true, .block.index = 11}};
	struct puppet *puppet = begin_with_the_package(0);

	(void)state;
	append_numbers(writer, 2);
	answer_truly(puppet, writer->core, &pushed);
	turn(20);
	puppet->on_request = answer_as_the_package;
	truncate_writer();
	append_numbers(writer, 20);
	claim(puppet, 1, 28, 0, true);
	turn(20);
	claim(puppet, 1, 28, hf_core_length(reader->core), true);
	turn(20);
	assert_int_equal(hf_core_fork(reader->core), 1);
	assert_int_equal(hf_core_length(reader->core), 28);
	assert_int_equal(hf_bitfield_count(hf_core_blocks(reader->core)), 0);
}

int main(void)
{
	hf_crypto_init();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_a_block_is_pushed_to_who_allows_it, tear_down),
		cmocka_unit_test_teardown(test_nothing_is_pushed_to_who_has_left, tear_down),
		cmocka_unit_test_teardown(test_a_pushed_block_is_taken_when_the_tree_has_overtaken_it, tear_down),
		cmocka_unit_test_teardown(test_a_pushed_block_is_taken_also_when_it_was_pushed_to_who_had_nothing, tear_down),
		cmocka_unit_test_teardown(test_a_block_that_is_pushed_before_its_tree_is_asked_for, tear_down),
		cmocka_unit_test_teardown(test_a_writer_that_goes_on_writing_is_kept_up_with, tear_down),
		cmocka_unit_test_teardown(test_a_writer_that_begins_a_fork_at_what_it_has_given_is_followed, tear_down),
		cmocka_unit_test_teardown(test_an_answer_by_who_could_push_until_now, tear_down),
		cmocka_unit_test_teardown(test_a_block_whose_tree_was_pushed_meanwhile_comes_all_the_same, tear_down),
		cmocka_unit_test_teardown(test_what_is_pushed_early_is_asked_of_who_pushed_it, tear_down),
		cmocka_unit_test_teardown(test_what_was_pushed_early_is_not_asked_for_on_another_fork, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
