/* Which cores a tick looks at: those in which there is something that time may end, as long as there is, and no other. */
#include "replicator_puppet.h"

static void pass(uint64_t ms)
{
	now_ms += ms;
	turn(3);
}

/* However many ticks look at it. */
static void assert_watched(struct peer *peer)
{
	turn(3);
	assert_ptr_equal(peer->replicator->watched, peer->replication->shared);
}

static void assert_not_watched(struct peer *peer)
{
	turn(3);
	assert_null(peer->replicator->watched);
}

static struct puppet *connect_one_that_claims(uint64_t fork, uint64_t length)
{
	begin_alone();
	struct puppet *puppet = connect_puppet(reader);

	claim(puppet, fork, length, 10, true);
	return puppet;
}

/* The first that was connected since begin_alone. */
static void disconnect_puppet(void)
{
	drop_end(&ends[3]);
	drop_end(&ends[2]);
}

static void download_all(void)
{
	hf_download_start(reader->replication, new_download((struct hf_download){.from = 0, .to = UINT64_MAX}));
}

static void test_who_has_nothing_to_wait_for_is_not_watched(void **state)
{
	struct hf_replication *second;

	(void)state;
	begin();
	assert_not_watched(reader);
	assert_not_watched(writer);
	download_all();
	settle();
	append_numbers(writer, 5);
	settle();
	assert_same_cores(writer->core, reader->core);
	assert_not_watched(reader);
	assert_not_watched(writer);
	assert_int_equal(hf_replicator_join(reader->replicator, reader->core, &second), HF_OK);
	hf_replication_leave(second);
	assert_not_watched(reader);
}

static void count_ready(struct hf_core_waiter *waiter, int status)
{
	(void)waiter;
	assert_int_equal(status, HF_OK);
	done_count++;
}

/* Time brings nobody who has it; who comes is looked at when he says so. */
static void test_a_block_that_nobody_has_is_not_watched(void **state)
{
	struct hf_core_waiter waiter = {.ready = count_ready};

	(void)state;
	begin_alone();
	hf_core_wait(reader->core, &waiter, 3);
	assert_not_watched(reader);
	connect_peers(writer, reader);
	settle();
	assert_int_equal(done_count, 1);
	assert_not_watched(reader);
}

static void test_blocks_that_are_owed_are_watched(void **state)
{
	struct puppet *puppet = connect_one_that_claims(0, 10);

	(void)state;
	assert_not_watched(reader);
	download_all();
	turn(2); /* they are asked for by a flush, after a tick that found nothing */
	assert_int_equal(puppet->request_count, 10);
	assert_watched(reader);
	pass(60000);
	assert_watched(reader);
	disconnect_puppet();
	assert_not_watched(reader);
}

/* It is asked for at once, and not by a flush. */
static void test_an_upgrade_that_is_owed_is_watched(void **state)
{
	struct puppet *puppet = connect_one_that_claims(0, 10);

	(void)state;
	assert_not_watched(reader);
	claim_length(puppet, 0, 30, 10, true);
	deliver_some();
	hf_replicator_tick(reader->replicator, now_ms);
	assert_non_null(reader->replication->shared->upgrade_peer);
	assert_watched(reader);
	disconnect_puppet();
	assert_not_watched(reader);
}

static void test_a_seek_is_watched(void **state)
{
	struct hf_seek_wait wait = {.bytes = 100, .done = (void (*)(struct hf_seek_wait *))count_heard};

	(void)state;
	begin_alone();
	assert_not_watched(reader);
	hf_seek_wait_start(reader->replication, &wait);
	assert_watched(reader);
	hf_seek_wait_cancel(&wait);
	assert_not_watched(reader);
}

static void test_an_update_is_watched_until_it_is_heard(void **state)
{
	(void)state;
	begin_alone();
	connect_puppet(reader); /* which says nothing */
	assert_not_watched(reader);
	assert_int_equal(hf_replication_update(reader->replication, count_heard, NULL), HF_OK);
	assert_watched(reader);
	pass(HF_REPLICATOR_UPDATE_SILENCE_MS - 1);
	assert_int_equal(done_count, 0);
	assert_watched(reader);
	pass(1);
	assert_int_equal(done_count, 1);
	assert_not_watched(reader);
}

static void ask_for_what_cannot_be(struct puppet *puppet, uint64_t id)
{
	struct hf_replication_request request = {.id = id, .proof = {.has_upgrade = true, .upgrade = {10, 10}}};

	hf_replication_write_request(hf_channel_begin(puppet->channel, HF_REPLICATION_REQUEST), &request);
	hf_channel_end(puppet->channel);
}

static void test_a_request_that_is_refused_later_is_watched(void **state)
{
	struct puppet *puppet = connect_one_that_claims(0, 10);

	(void)state;
	assert_not_watched(reader);
	ask_for_what_cannot_be(puppet, 7);
	assert_watched(reader);
	assert_int_equal(puppet->refusal_count, 0);
	pass(5000);
	assert_int_equal(puppet->refusal_count, 1);
	assert_int_equal(puppet->refusals[0].request, 7);
	assert_not_watched(reader);
}

static void answer_falsely(struct puppet *puppet, const struct hf_replication_request *request)
{
	if (request->id > 0)
		answer_with(puppet, writer->core, request, HF_SLICE_LITERAL("false"));
	puppet->on_request = NULL;
}

static void test_a_conflict_that_is_asked_about_is_watched(void **state)
{
	struct puppet *puppet = connect_one_that_claims(0, 10);

	(void)state;
	puppet->on_request = answer_falsely;
	hf_download_start(reader->replication, new_download((struct hf_download){.from = 0, .to = 1, .done = count_done}));
	turn(5);
	assert_true(reader->replication->shared->peers->conflict_asked);
	assert_int_equal(reader->replication->shared->in_flight.count, 0);
	assert_watched(reader);
	pass(4999);
	assert_string_equal(ends[2].failure, "");
	pass(1);
	assert_non_null(strstr(ends[2].failure, "does not hold"));
	assert_not_watched(reader);
}

static void test_a_search_for_another_fork_is_watched(void **state)
{
	struct puppet *puppet = connect_one_that_claims(5, 20);

	(void)state;
	assert_watched(reader);
	assert_non_null(reader->replication->shared->search);
	claim_length(puppet, 0, 10, 10, true);
	assert_not_watched(reader);
	assert_null(reader->replication->shared->search);
}

/* Until the peers are told that it is not downloaded any more. */
static void test_a_core_that_was_left_is_watched_until_it_is_idle(void **state)
{
	struct hf_shared_core *shared;

	(void)state;
	begin();
	assert_not_watched(reader);
	shared = reader->replication->shared;
	hf_replication_leave(reader->replication);
	reader->replication = NULL;
	pass(19999);
	assert_ptr_equal(reader->replicator->watched, shared);
	assert_true(shared->is_downloading);
	pass(20001);
	assert_false(shared->is_downloading);
	assert_non_null(shared->peers);
	assert_null(reader->replicator->watched);
}

/* Two at once: one goes while the other stays, whichever is looked at first. */
static void test_each_core_is_let_go_by_itself(void **state)
{
	struct hf_seek_wait waits[3] = {{.bytes = 100}, {.bytes = 100}, {.bytes = 100}};
	struct hf_replication *replications[3];
	struct hf_core *cores[3];

	(void)state;
	begin_alone();
	for (int i = 0; i < 3; i++) {
		const uint8_t key[32] = {(uint8_t)(100 + i)};

		cores[i] = core_by_key(&reader->node, key);
		assert_int_equal(hf_replicator_join(reader->replicator, cores[i], &replications[i]), HF_OK);
		hf_seek_wait_start(replications[i], &waits[i]);
	}
	turn(3);
	hf_seek_wait_cancel(&waits[1]);
	turn(3);
	assert_true(replications[0]->shared->is_watched);
	assert_false(replications[1]->shared->is_watched);
	assert_true(replications[2]->shared->is_watched);
	hf_replication_leave(replications[2]);
	hf_replication_leave(replications[1]);
	turn(3);
	assert_ptr_equal(reader->replicator->watched, replications[0]->shared);
	assert_null(replications[0]->shared->next_watched);
	hf_replication_leave(replications[0]);
	assert_not_watched(reader);
	for (int i = 0; i < 3; i++)
		hf_core_unref(cores[i]);
}

/* As when the channel for which it was opened could not be. */
static void test_a_core_that_nobody_has_come_to_need_goes(void **state)
{
	struct hf_shared_core *shared;

	(void)state;
	begin_alone();
	hf_replication_leave(reader->replication);
	reader->replication = NULL;
	turn(3);
	assert_null(reader->replicator->shared);
	assert_int_equal(hf_shared_core_get(reader->replicator, reader->core, &shared), HF_OK);
	assert_ptr_equal(reader->replicator->shared, shared);
	turn(3);
	assert_null(reader->replicator->shared);
	assert_null(reader->replicator->watched);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_who_has_nothing_to_wait_for_is_not_watched, tear_down),
		cmocka_unit_test_teardown(test_a_block_that_nobody_has_is_not_watched, tear_down),
		cmocka_unit_test_teardown(test_blocks_that_are_owed_are_watched, tear_down),
		cmocka_unit_test_teardown(test_an_upgrade_that_is_owed_is_watched, tear_down),
		cmocka_unit_test_teardown(test_a_seek_is_watched, tear_down),
		cmocka_unit_test_teardown(test_an_update_is_watched_until_it_is_heard, tear_down),
		cmocka_unit_test_teardown(test_a_request_that_is_refused_later_is_watched, tear_down),
		cmocka_unit_test_teardown(test_a_conflict_that_is_asked_about_is_watched, tear_down),
		cmocka_unit_test_teardown(test_a_search_for_another_fork_is_watched, tear_down),
		cmocka_unit_test_teardown(test_a_core_that_was_left_is_watched_until_it_is_idle, tear_down),
		cmocka_unit_test_teardown(test_each_core_is_let_go_by_itself, tear_down),
		cmocka_unit_test_teardown(test_a_core_that_nobody_has_come_to_need_goes, tear_down),
	};

	if (hf_crypto_init() != HF_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
