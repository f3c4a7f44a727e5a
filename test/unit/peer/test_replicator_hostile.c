/* Remotes that claim to have everything and keep an honest peer from being asked: nobody waits for them for ever. */
#include "replicator_puppet.h"

static void answer_with_nothing(struct puppet *puppet, const struct hf_replication_request *request)
{
	struct hf_replication_data data = {.request = request->id, .proof = {.fork = request->fork}};

	hf_replication_write_data(hf_channel_begin(puppet->channel, HF_REPLICATION_DATA), &data);
	hf_channel_end(puppet->channel);
}

static void pass(unsigned seconds)
{
	for (; seconds > 0; seconds--) {
		now_ms += 1000;
		turn(20);
	}
}

/* ---- Forks ---- */

static void test_a_fork_of_who_does_not_upload_keeps_nobody_from_another(void **state)
{
	(void)state;
	begin();
	claim(connect_puppet(reader), 5, 20, 10, false);
	turn(20);
	truncate_writer();
	pass(30);
	assert_int_equal(hf_core_fork(reader->core), 1);
}

static void test_two_that_do_not_prove_their_forks_keep_nobody_from_another(void **state)
{
	(void)state;
	begin();
	claim(connect_puppet(reader), 5, 20, 10, true);
	claim(connect_puppet(reader), 5, 20, 10, true);
	turn(20);
	truncate_writer();
	for (int i = 0; i < 60; i++) {
		/* They go on telling of it. */
		claim(&puppets[0], 5, 20, 10, true);
		claim(&puppets[1], 5, 20, 10, true);
		pass(1);
	}
	assert_int_equal(hf_core_fork(reader->core), 1);
}

static void test_who_is_late_with_a_fork_is_asked_again(void **state)
{
	struct puppet *puppet;
	size_t before;

	(void)state;
	begin();
	puppet = connect_puppet(reader);
	claim(puppet, 5, 20, 10, true);
	turn(20);
	assert_true(puppet->request_count > 0);
	before = puppet->request_count;
	pass(12);
	assert_true(puppet->request_count > before);
	assert_int_equal(puppet->requests[puppet->request_count - 1].fork, 5);
}

/* It was given up, and says nothing of what is asked for now. */
static void test_a_late_answer_of_one_search_is_none_of_the_next(void **state)
{
	struct hf_replicator_stats stats;
	struct puppet *puppet;

	(void)state;
	begin();
	puppet = connect_puppet(reader);
	claim(puppet, 5, 20, 10, true);
	pass(12);
	assert_true(puppet->request_count >= 2);
	answer_with_nothing(puppet, &puppet->requests[0]);
	turn(20);
	hf_replicator_stats(reader->replicator, &stats);
	assert_int_equal(stats.proofs_false, 0);
	answer_with_nothing(puppet, &puppet->requests[puppet->request_count - 1]);
	turn(20);
	hf_replicator_stats(reader->replicator, &stats);
	assert_int_equal(stats.proofs_false, 1);
}

/* ---- Upgrades ---- */

static void test_two_that_do_not_lengthen_the_tree_keep_nobody_from_it(void **state)
{
	(void)state;
	begin();
	claim(connect_puppet(reader), 0, 30, 10, true);
	claim(connect_puppet(reader), 0, 30, 10, true);
	turn(20);
	append_numbers(writer, 10);
	pass(30);
	assert_int_equal(hf_core_length(reader->core), 20);
}

static void expect_lengthened_in_spite_of(void (*on_request)(struct puppet *puppet, const struct hf_replication_request *request))
{
	struct puppet *puppet;

	begin();
	puppet = connect_puppet(reader);
	puppet->on_request = on_request;
	claim(puppet, 0, 30, 10, true);
	turn(20);
	append_numbers(writer, 10);
	pass(10);
	assert_int_equal(hf_core_length(reader->core), 20);
	assert_in_range(puppet->request_count, 1, 100);
}

static void test_an_answer_without_what_was_asked_for_is_none(void **state)
{
	(void)state;
	expect_lengthened_in_spite_of(answer_with_nothing);
}

static void test_an_answer_without_the_manifest_is_none(void **state)
{
	struct puppet *puppet;
	uint8_t key[32] = {7};

	(void)state;
	puppet_count = 0;
	now_ms = 1000000;
	reader = add_peer();
	join(reader, key);
	puppet = connect_puppet(reader);
	puppet->on_request = answer_with_nothing;
	claim(puppet, 0, 0, 0, true);
	pass(20);
	assert_in_range(puppet->request_count, 1, HF_REPLICATOR_REFUSALS_MAX);
}

static void answer_of_another_fork(struct puppet *puppet, const struct hf_replication_request *request)
{
	struct hf_replication_request other = *request;

	other.fork++;
	answer_with_nothing(puppet, &other);
}

static void test_an_answer_to_something_else_is_none(void **state)
{
	(void)state;
	expect_lengthened_in_spite_of(answer_of_another_fork);
}

static void lengthen_by_nothing(struct puppet *puppet, const struct hf_replication_request *request)
{
	struct hf_replication_data data = {.request = request->id, .proof = {.fork = request->fork, .has_upgrade = true,
		.upgrade = {.start = request->proof.upgrade.start, .length = 0}}};

	hf_replication_write_data(hf_channel_begin(puppet->channel, HF_REPLICATION_DATA), &data);
	hf_channel_end(puppet->channel);
}

static void test_a_tree_that_is_no_longer_than_ours_is_no_answer(void **state)
{
	(void)state;
	expect_lengthened_in_spite_of(lengthen_by_nothing);
}

static void test_a_tree_without_the_byte_that_is_sought_is_no_answer(void **state)
{
	struct hf_seek_wait wait = {.bytes = 200, .done = (void (*)(struct hf_seek_wait *))count_heard};
	struct puppet *puppet;

	(void)state;
	begin();
	puppet = connect_puppet(reader);
	puppet->on_request = lengthen_by_nothing;
	hf_seek_wait_start(reader->replication, &wait);
	claim(puppet, 0, 30, 10, true);
	turn(20);
	append_numbers(writer, 10);
	pass(10);
	hf_seek_wait_cancel(&wait);
	assert_int_equal(done_count, 1);
	assert_in_range(puppet->request_count, 1, 100);
}

/* The block that was asked for with the upgrade is cleared while the request is on its way. */
static void test_a_block_that_is_refused_leaves_the_upgrade(void **state)
{
	(void)state;
	begin();
	hf_download_start(reader->replication, new_download((struct hf_download){.from = 0, .to = UINT64_MAX}));
	settle();
	append_numbers(writer, 1);
	while (ends[0].first == NULL) {
		deliver_some();
		hf_replicator_flush(reader->replicator, now_ms);
	}
	assert_int_equal(hf_core_clear(writer->core, 10, 11), HF_OK);
	core_commit(writer->core);
	settle();
	assert_int_equal(hf_core_length(reader->core), 11);
}

/* ---- Blocks ---- */

static void test_two_that_owe_blocks_do_not_hand_them_to_each_other(void **state)
{
	(void)state;
	begin();
	claim(connect_puppet(reader), 0, 10, 10, true);
	claim(connect_puppet(reader), 0, 10, 10, true);
	turn(20);
	hf_download_start(reader->replication, new_download((struct hf_download){.from = 0, .to = 10, .done = count_done}));
	pass(20);
	assert_int_equal(done_count, 1);
}

/* Who waits for a block and gives up takes back the request for it, and with it what else the request was for. */
static void test_what_somebody_waits_for_no_more_is_asked_for_again_for_a_download(void **state)
{
	struct hf_core_waiter waiter = {.ready = NULL};
	struct puppet *puppet;

	(void)state;
	begin_alone();
	puppet = connect_puppet(reader);
	claim(puppet, 0, 10, 10, true);
	turn(20);
	hf_download_start(reader->replication, new_download((struct hf_download){.from = 3, .to = 4, .done = count_done}));
	hf_core_wait(reader->core, &waiter, 3);
	turn(20);
	assert_int_equal(puppet->request_count, 1);
	hf_core_wait_cancel(reader->core, &waiter);
	turn(20);
	assert_int_equal(puppet->request_count, 2);
	answer_truly(puppet, writer->core, &puppet->requests[1]);
	turn(20);
	assert_int_equal(done_count, 1);
}

static void test_a_tree_is_asked_for_again_when_nobody_waits_for_the_block_in_it(void **state)
{
	struct hf_core_waiter waiter = {.ready = NULL};
	struct puppet *puppet;

	(void)state;
	begin_alone();
	puppet = connect_puppet(reader);
	append_numbers(writer, 2);
	hf_core_wait(reader->core, &waiter, 11);
	claim(puppet, 0, 12, 10, true);
	turn(20);
	assert_int_equal(puppet->request_count, 1);
	assert_true(puppet->requests[0].proof.has_block && puppet->requests[0].proof.has_upgrade);
	hf_core_wait_cancel(reader->core, &waiter);
	turn(20);
	assert_int_equal(puppet->request_count, 2);
	answer_truly(puppet, writer->core, &puppet->requests[1]);
	turn(20);
	assert_int_equal(hf_core_length(reader->core), 12);
}

static void test_a_seek_is_asked_of_another_than_who_owes_it(void **state)
{
	struct hf_seek_wait wait = {.bytes = 100, .done = (void (*)(struct hf_seek_wait *))count_heard};

	(void)state;
	begin();
	claim(connect_puppet(reader), 0, 10, 10, true);
	turn(20);
	hf_seek_wait_start(reader->replication, &wait);
	pass(20);
	hf_seek_wait_cancel(&wait);
	assert_int_equal(done_count, 1);
}

static void test_who_answers_just_enough_does_not_keep_the_rest(void **state)
{
	struct puppet *puppet;
	size_t answered = 0;
	int seconds = 0;

	(void)state;
	begin();
	append_numbers(writer, 50);
	settle();
	puppet = connect_puppet(reader);
	claim(puppet, 0, 60, 60, true);
	turn(20);
	hf_download_start(reader->replication, new_download((struct hf_download){.from = 0, .to = 60, .done = count_done}));
	turn(20);
	for (; done_count == 0 && seconds < 120; seconds += 2) {
		if (answered < puppet->request_count)
			answer_truly(puppet, writer->core, &puppet->requests[answered++]);
		pass(2);
	}
	assert_in_range(seconds, 0, 30);
}

/* Two honest peers with all blocks, whose answers take longer than others are waited for. */
static void slow_down(uint64_t delay_ms)
{
	struct peer *second = add_peer();

	join(second, hf_core_key(writer->core));
	connect_peers(writer, second);
	hf_download_start(second->replication, new_download((struct hf_download){.from = 0, .to = 10, .done = count_done}));
	settle();
	connect_peers(second, reader);
	settle();
	assert_int_equal(done_count, 1);
	done_count = 0;
	ends[1].delay_ms = ends[5].delay_ms = delay_ms; /* before the reader */
}

static void expect_blocks_in_spite_of(uint64_t delay_ms)
{
	begin();
	slow_down(delay_ms);
	hf_download_start(reader->replication, new_download((struct hf_download){.from = 0, .to = 10, .done = count_done}));
	pass(30);
	assert_int_equal(done_count, 1);
}

static void expect_a_seek_in_spite_of(uint64_t delay_ms)
{
	struct hf_seek_wait wait = {.bytes = 100, .done = (void (*)(struct hf_seek_wait *))count_heard};

	begin();
	slow_down(delay_ms);
	hf_seek_wait_start(reader->replication, &wait);
	pass(60);
	hf_seek_wait_cancel(&wait);
	assert_int_equal(done_count, 1);
}

static void test_blocks_that_take_long_arrive(void **state)
{
	(void)state;
	expect_blocks_in_spite_of(5000);
}

static void test_seeks_that_take_long_arrive(void **state)
{
	(void)state;
	expect_a_seek_in_spite_of(5000);
}

/* So long that each is asked of the other. */
static void test_blocks_that_take_too_long_arrive(void **state)
{
	(void)state;
	expect_blocks_in_spite_of(HF_PEER_PATIENCE_MS_MAX + 3000);
}

static void test_seeks_that_take_too_long_arrive(void **state)
{
	(void)state;
	expect_a_seek_in_spite_of(HF_PEER_PATIENCE_MS_MAX + 3000);
}

/* It comes after the seek was taken from who owed it, and before the seek is asked of another. */
static void test_a_seek_ends_by_what_comes_when_it_is_asked_of_nobody(void **state)
{
	struct hf_seek_wait wait = {.bytes = 100, .done = (void (*)(struct hf_seek_wait *))count_heard};
	struct puppet *late;

	(void)state;
	begin();
	late = connect_puppet(reader);
	claim(late, 0, 10, 10, true);
	turn(20);
	hf_seek_wait_start(reader->replication, &wait);
	turn(20);
	assert_true(late->request_count == 1 && late->requests[0].proof.has_seek);
	while (wait.is_asked) {
		now_ms += 100;
		hf_replicator_tick(reader->replicator, now_ms);
		hf_replicator_flush(reader->replicator, now_ms);
	}
	answer_truly(late, writer->core, &late->requests[0]);
	deliver_some();
	pass(60);
	hf_seek_wait_cancel(&wait);
	assert_int_equal(done_count, 1);
}

/* Blocks that come for somebody else may bring what a seek needs, while nobody can be asked for it. */
static void test_a_seek_ends_by_blocks_that_come_for_somebody_else(void **state)
{
	struct hf_seek_wait wait = {.bytes = 100, .done = (void (*)(struct hf_seek_wait *))count_heard};
	struct hf_core_place place;
	struct puppet *puppet;

	(void)state;
	begin_alone();
	puppet = connect_puppet(reader);
	claim(puppet, 0, 10, 10, true);
	turn(20);
	hf_download_start(reader->replication, new_download((struct hf_download){.from = 0, .to = 10, .done = count_done}));
	turn(20);
	assert_int_equal(puppet->request_count, 10);
	claim(puppet, 0, 10, 10, false);
	turn(20);
	assert_int_equal(hf_core_seek(reader->core, 100, &place), HF_EWAIT);
	hf_seek_wait_start(reader->replication, &wait);
	turn(20);
	for (size_t i = 0; i < 10; i++)
		answer_truly(puppet, writer->core, &puppet->requests[i]);
	pass(60);
	assert_int_equal(hf_core_seek(reader->core, 100, &place), HF_OK);
	hf_seek_wait_cancel(&wait);
	assert_int_equal(done_count, 2);
}

/* Nor does it wait for who was asked for it, and answers everything else. */
static void test_a_seek_that_is_owed_ends_by_blocks_that_come(void **state)
{
	struct hf_seek_wait wait = {.bytes = 100, .done = (void (*)(struct hf_seek_wait *))count_heard};
	struct puppet *puppet;

	(void)state;
	begin_alone();
	puppet = connect_puppet(reader);
	claim(puppet, 0, 10, 10, true);
	turn(20);
	hf_seek_wait_start(reader->replication, &wait);
	turn(20);
	assert_true(puppet->request_count == 1 && puppet->requests[0].proof.has_seek);
	hf_download_start(reader->replication, new_download((struct hf_download){.from = 0, .to = 10, .done = count_done}));
	turn(20);
	assert_int_equal(puppet->request_count, 11);
	for (size_t i = 1; i <= 10; i++)
		answer_truly(puppet, writer->core, &puppet->requests[i]);
	pass(60);
	hf_seek_wait_cancel(&wait);
	assert_int_equal(done_count, 2);
}

static void ignore_block(struct hf_core_waiter *waiter, int status)
{
	(void)waiter;
	(void)status;
}

/* Who answers urgent requests first, or what its disk has read first, may answer one that we have cancelled after a later one. */
static void test_an_answer_that_a_later_one_has_overtaken_is_for_no_other_request(void **state)
{
	struct hf_core_waiter waiters[5] = {{0}};
	struct puppet *puppet;
	struct end *end;

	(void)state;
	begin_alone();
	end = &ends[end_count];
	puppet = connect_puppet(reader);
	claim(puppet, 0, 10, 10, true);
	turn(20);
	for (int i = 1; i <= 4; i++)
		waiters[i].ready = ignore_block;
	for (int i = 1; i <= 2; i++) {
		hf_core_wait(reader->core, &waiters[i], (uint64_t)i);
		turn(5);
	}
	assert_int_equal(puppet->request_count, 2);
	hf_core_wait_cancel(reader->core, &waiters[1]);
	answer_truly(puppet, writer->core, &puppet->requests[1]);
	turn(5);
	for (int i = 3; i <= 4; i++) {
		hf_core_wait(reader->core, &waiters[i], (uint64_t)i);
		turn(5);
	}
	assert_int_equal(puppet->request_count, 4);
	answer_truly(puppet, writer->core, &puppet->requests[0]);
	turn(5);
	assert_string_equal(end->failure, "");
	for (int i = 1; i <= 4; i++)
		hf_core_wait_cancel(reader->core, &waiters[i]);
}

/* What comes late is looked at as what comes in time is. */
static void answer_once_falsely(struct puppet *puppet, const struct hf_replication_request *request)
{
	puppet->on_request = NULL;
	answer_with(puppet, writer->core, request, HF_SLICE_LITERAL("false"));
}

/* It has yet to say which of two histories is true: nobody waits for that. */
static void test_a_block_that_is_false_is_asked_of_another(void **state)
{
	struct puppet *puppet;

	(void)state;
	begin();
	puppet = connect_puppet(reader);
	puppet->on_request = answer_once_falsely;
	claim(puppet, 0, 10, 10, true);
	turn(20);
	hf_download_start(reader->replication, new_download((struct hf_download){.from = 3, .to = 4, .done = count_done}));
	turn(20);
	assert_int_equal(puppet->request_count, 2); /* the block, and which of two histories it has signed */
	assert_int_equal(done_count, 1);
}

static void test_a_block_that_is_late_and_false_ends_who_sent_it(void **state)
{
	const struct hf_replication_request *asked;
	struct hf_replicator_stats stats;
	struct puppet *late;

	(void)state;
	begin_alone();
	late = connect_puppet(reader);
	claim(late, 0, 10, 10, true);
	turn(20);
	hf_download_start(reader->replication, new_download((struct hf_download){.from = 0, .to = 10, .done = count_done}));
	turn(20);
	asked = &late->requests[0];
	assert_true(late->request_count > 0 && asked->proof.has_block);
	claim(connect_puppet(reader), 0, 10, 10, true);
	pass(15); /* meanwhile the other is asked, and does not answer either */
	answer_with(late, writer->core, asked, HF_SLICE_LITERAL("not what was written"));
	pass(60); /* it is asked whether the writer has signed two histories */
	assert_non_null(strstr(ends[2].failure, "does not hold"));
	hf_replicator_stats(reader->replicator, &stats);
	assert_int_equal(stats.proofs_false, 1);
}

/* ---- Refusing ---- */

/* Peers of the package give up who has told them too often that something is not available: not for a truncation on its way to the disk. */
static void test_what_a_truncation_overtakes_is_not_called_unavailable(void **state)
{
	struct hf_replication_request request = {.id = 1, .proof = {.has_block = true, .block = {.index = 2}}};
	struct puppet *puppet;

	(void)state;
	begin();
	puppet = connect_puppet(writer);
	claim(puppet, 0, 0, 10, true);
	turn(20);
	assert_int_equal(hf_core_truncate(writer->core, 4, HF_CORE_NEXT_FORK), HF_OK);
	hf_replication_write_request(hf_channel_begin(puppet->channel, HF_REPLICATION_REQUEST), &request);
	hf_channel_end(puppet->channel);
	while (deliver_some())
		;
	assert_int_equal(puppet->refusal_count, 1);
	assert_int_equal(puppet->refusals[0].reason, HF_REPLICATION_NO_REASON);
	core_commit(writer->core);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_a_fork_of_who_does_not_upload_keeps_nobody_from_another, tear_down),
		cmocka_unit_test_teardown(test_two_that_do_not_prove_their_forks_keep_nobody_from_another, tear_down),
		cmocka_unit_test_teardown(test_who_is_late_with_a_fork_is_asked_again, tear_down),
		cmocka_unit_test_teardown(test_a_late_answer_of_one_search_is_none_of_the_next, tear_down),
		cmocka_unit_test_teardown(test_two_that_do_not_lengthen_the_tree_keep_nobody_from_it, tear_down),
		cmocka_unit_test_teardown(test_an_answer_without_what_was_asked_for_is_none, tear_down),
		cmocka_unit_test_teardown(test_an_answer_without_the_manifest_is_none, tear_down),
		cmocka_unit_test_teardown(test_an_answer_to_something_else_is_none, tear_down),
		cmocka_unit_test_teardown(test_a_tree_that_is_no_longer_than_ours_is_no_answer, tear_down),
		cmocka_unit_test_teardown(test_a_tree_without_the_byte_that_is_sought_is_no_answer, tear_down),
		cmocka_unit_test_teardown(test_a_block_that_is_refused_leaves_the_upgrade, tear_down),
		cmocka_unit_test_teardown(test_two_that_owe_blocks_do_not_hand_them_to_each_other, tear_down),
		cmocka_unit_test_teardown(test_what_somebody_waits_for_no_more_is_asked_for_again_for_a_download, tear_down),
		cmocka_unit_test_teardown(test_a_tree_is_asked_for_again_when_nobody_waits_for_the_block_in_it, tear_down),
		cmocka_unit_test_teardown(test_a_seek_is_asked_of_another_than_who_owes_it, tear_down),
		cmocka_unit_test_teardown(test_who_answers_just_enough_does_not_keep_the_rest, tear_down),
		cmocka_unit_test_teardown(test_blocks_that_take_long_arrive, tear_down),
		cmocka_unit_test_teardown(test_seeks_that_take_long_arrive, tear_down),
		cmocka_unit_test_teardown(test_blocks_that_take_too_long_arrive, tear_down),
		cmocka_unit_test_teardown(test_seeks_that_take_too_long_arrive, tear_down),
		cmocka_unit_test_teardown(test_a_seek_ends_by_what_comes_when_it_is_asked_of_nobody, tear_down),
		cmocka_unit_test_teardown(test_a_seek_ends_by_blocks_that_come_for_somebody_else, tear_down),
		cmocka_unit_test_teardown(test_a_seek_that_is_owed_ends_by_blocks_that_come, tear_down),
		cmocka_unit_test_teardown(test_an_answer_that_a_later_one_has_overtaken_is_for_no_other_request, tear_down),
		cmocka_unit_test_teardown(test_a_block_that_is_false_is_asked_of_another, tear_down),
		cmocka_unit_test_teardown(test_a_block_that_is_late_and_false_ends_who_sent_it, tear_down),
		cmocka_unit_test_teardown(test_what_a_truncation_overtakes_is_not_called_unavailable, tear_down),
	};

	if (hf_crypto_init() != HF_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
