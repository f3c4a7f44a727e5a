/* What a peer that asks is answered, and in which order: urgent ones first, cancelled ones never, nothing while the stream is full; and when
 * a peer that asks too much, or one that has nothing, is given up. */
#include "replicator_fixture.h"

#define BLOCKS 100

static struct peer *server;
static struct end *server_end;
static struct hf_channel *asker;
static bool is_full;
static char heard[4096]; /* what the asker was told: "7 " block 7, "+7 " the tree from length 7, "-7 " that request 7 is refused */
static size_t heard_nodes_bytes; /* of the last block's nodes */
static unsigned asked_count;

static bool is_stream_full(void *owner)
{
	return owner == server_end && is_full;
}

static void note(const char *mark, uint64_t number)
{
	size_t length = strlen(heard);

	snprintf(heard + length, sizeof heard - length, "%s%llu ", mark, (unsigned long long)number);
}

static void send_body(uint32_t type, struct hf_buffer *body)
{
	struct iovec part = {body->data, body->length};

	if (asker != NULL)
		assert_int_equal(hf_channel_send(asker, type, &part, 1), HF_OK);
	hf_buffer_free(body);
}

static void refuse(uint64_t request)
{
	struct hf_buffer body = {0};
	struct hf_compact_writer out = hf_compact_writer(&body);

	hf_replication_write_no_data(&out, &(struct hf_replication_no_data){.request = request, .reason = HF_REPLICATION_NOT_AVAILABLE});
	send_body(HF_REPLICATION_NO_DATA, &body);
}

static int on_message(struct hf_channel *channel, void *context, uint32_t type, struct hf_slice body)
{
	struct hf_replication_data data;
	struct hf_replication_no_data refusal;
	struct hf_replication_request request;

	(void)channel;
	(void)context;
	if (type == HF_REPLICATION_DATA && hf_replication_read_data(body, &data) == HF_OK) {
		if (data.proof.has_upgrade)
			note("+", data.proof.upgrade.start);
		if (data.proof.has_block) {
			note("", data.proof.block.index);
			heard_nodes_bytes = data.proof.block.nodes.encoded.length;
		}
	} else if (type == HF_REPLICATION_NO_DATA && hf_replication_read_no_data(body, &refusal) == HF_OK)
		note("-", refusal.request);
	else if (type == HF_REPLICATION_REQUEST && hf_replication_read_request(body, &request) == HF_OK) {
		asked_count++;
		refuse(request.id);
	}
	return HF_OK;
}

static void on_close(struct hf_channel *channel, void *context, enum hf_channel_end how)
{
	(void)channel;
	(void)context;
	(void)how;
	asker = NULL;
}

static void say_sync(uint64_t length, uint64_t acknowledged)
{
	struct hf_buffer body = {0};
	struct hf_compact_writer out = hf_compact_writer(&body);
	struct hf_replication_sync sync = {.length = length, .remote_length = acknowledged, .is_uploading = true, .is_downloading = true,
		.has_manifest = true, .can_upgrade = true, .allows_push = true};

	hf_replication_write_sync(&out, &sync);
	send_body(HF_REPLICATION_SYNC, &body);
}

/* Somebody who knows the key of the core and is of this length. */
static void meet(struct hf_core *core, uint64_t length)
{
	static const struct hf_protomux_events mux_of_ours = {.send = send_letter, .is_congested = is_stream_full, .error = on_error};
	static const struct hf_channel_events events = {.message_types = HF_REPLICATION_TYPES, .message = on_message, .close = on_close};

	server_end = meet_remote(server, &mux_of_ours, core, &events, NULL, &asker);
	say_sync(length, hf_core_length(server->core));
	turn_loop(5);
	heard[0] = 0;
}

static void begin(void)
{
	now_ms = 1000000;
	heard[0] = 0;
	is_full = false;
	asked_count = 0;
	server = add_peer();
}

static void begin_serving(void)
{
	begin();
	join(server, NULL);
	append_numbers(server, BLOCKS);
	meet(server->core, BLOCKS);
}

static void ask_for(const struct hf_replication_request *request)
{
	struct hf_buffer body = {0};
	struct hf_compact_writer out = hf_compact_writer(&body);

	hf_replication_write_request(&out, request);
	send_body(HF_REPLICATION_REQUEST, &body);
}

static void ask(uint64_t id, uint64_t block, uint64_t priority)
{
	ask_for(&(struct hf_replication_request){.id = id, .priority = priority, .proof = {.has_block = true, .block.index = block}});
}

static void cancel(uint64_t id)
{
	struct hf_buffer body = {0};
	struct hf_compact_writer out = hf_compact_writer(&body);

	hf_replication_write_cancel(&out, &(struct hf_replication_cancel){.request = id});
	send_body(HF_REPLICATION_CANCEL, &body);
}

static void make_room(void)
{
	is_full = false;
	hf_protomux_drained(server_end->mux);
	turn_loop(BLOCKS);
}

static void test_nothing_is_answered_into_a_full_stream(void **state)
{
	(void)state;
	begin_serving();
	is_full = true;
	for (uint64_t i = 1; i <= 5; i++)
		ask(i, i, 0);
	turn_loop(BLOCKS);
	assert_string_equal(heard, "");
	make_room();
	assert_string_equal(heard, "1 2 3 4 5 ");
}

static void test_urgent_requests_are_answered_first(void **state)
{
	(void)state;
	begin_serving();
	is_full = true;
	ask(1, 10, 0);
	ask(2, 11, 0);
	ask(3, 12, 1);
	ask(4, 13, 1);
	ask(5, 14, 0);
	turn_loop(10);
	make_room();
	assert_string_equal(heard, "12 13 10 11 14 ");
}

static void test_what_is_cancelled_is_not_answered(void **state)
{
	(void)state;
	begin_serving();
	is_full = true;
	ask(1, 10, 0);
	ask(2, 11, 0);
	ask(3, 12, 0);
	cancel(2);
	cancel(77); /* none such */
	turn_loop(10);
	make_room();
	assert_string_equal(heard, "10 12 ");
}

static void test_an_id_that_comes_again_replaces_what_had_it(void **state)
{
	(void)state;
	begin_serving();
	is_full = true;
	ask(1, 10, 0);
	ask(2, 11, 0);
	ask(1, 12, 0);
	turn_loop(10);
	make_room();
	assert_string_equal(heard, "11 12 ");
}

static void expect_let_go(const char *reason)
{
	struct hf_replicator_stats stats;

	assert_non_null(strstr(server_end->failure, reason));
	drop_end(server_end);
	hf_replicator_stats(server->replicator, &stats);
	assert_int_equal(stats.peers_failed, 1);
}

static void test_who_has_too_many_requests_open_is_let_go(void **state)
{
	(void)state;
	begin_serving();
	is_full = true;
	for (uint64_t i = 1; i <= HF_REPLICATOR_REQUESTS_MAX; i++)
		ask(i, i % BLOCKS, 0);
	turn_loop(HF_REPLICATOR_REQUESTS_MAX + 10);
	assert_string_equal(server_end->failure, "");
	ask(HF_REPLICATOR_REQUESTS_MAX + 1, 0, 0);
	turn_loop(10);
	expect_let_go("too many requests open");
}

static void test_who_goes_on_asking_for_what_cannot_be_is_let_go(void **state)
{
	(void)state;
	begin_serving();
	for (uint64_t i = 1; i <= HF_REPLICATOR_REFUSALS_MAX + 1; i++) {
		struct hf_buffer body = {0};
		struct hf_compact_writer out = hf_compact_writer(&body);

		hf_replication_write_request(&out, &(struct hf_replication_request){.id = i,
			.proof = {.has_upgrade = true, .upgrade = {BLOCKS, BLOCKS}}});
		assert_string_equal(server_end->failure, "");
		send_body(HF_REPLICATION_REQUEST, &body);
		now_ms += 10000;
		turn_loop(10);
	}
	assert_true(strncmp(heard, "-1 -2 -3 ", 9) == 0);
	expect_let_go("no peer can answer");
}

/* The asker was pushed a block beyond its tree, which is longer by another since. */
static void begin_with_a_push(void)
{
	begin_serving();
	append_numbers(server, 1);
	hf_replication_push(server->replication, BLOCKS);
	turn_loop(5);
	append_numbers(server, 1);
}

/* Who was pushed more of the tree since it asked is beyond what it asked from; and what it was answered need not be pushed again. */
static void test_who_was_pushed_the_tree_is_answered_from_there(void **state)
{
	(void)state;
	begin_with_a_push();
	ask_for(&(struct hf_replication_request){.id = 1, .proof = {.has_upgrade = true, .upgrade = {.start = BLOCKS, .length = 2}}});
	turn_loop(5);
	hf_replication_push(server->replication, BLOCKS + 1);
	turn_loop(5);
	assert_string_equal(heard, "+100 100 +101 101 ");
}

/* Who goes over to another fork needs its whole tree, and so does who compares the trees. */
static void test_who_was_pushed_the_tree_is_shown_all_of_another(void **state)
{
	(void)state;
	begin_with_a_push();
	ask_for(&(struct hf_replication_request){.proof = {.has_upgrade = true, .upgrade = {.length = BLOCKS + 2}}});
	turn_loop(5);
	assert_string_equal(heard, "+100 100 +0 ");
	heard[0] = 0;
	assert_int_equal(hf_core_truncate(server->core, BLOCKS - 10, HF_CORE_NEXT_FORK), HF_OK);
	append_numbers(server, 20);
	turn_loop(5);
	ask_for(&(struct hf_replication_request){.id = 1, .fork = 1, .proof = {.has_upgrade = true, .upgrade = {.length = BLOCKS + 10}}});
	turn_loop(5);
	assert_string_equal(heard, "+0 ");
}

/* It comes with all that leads up from it, as the asker could not know what it would have of the tree. */
static void test_a_block_that_was_asked_for_before_its_tree_was_pushed_can_be_tied(void **state)
{
	(void)state;
	begin_serving();
	append_numbers(server, 4);
	hf_replication_push(server->replication, BLOCKS + 3);
	turn_loop(5);
	append_numbers(server, 1);
	ask_for(&(struct hf_replication_request){.id = 1, .proof = {.has_block = true, .block.index = BLOCKS, .has_upgrade = true,
		.upgrade = {.start = BLOCKS, .length = 5}}});
	turn_loop(5);
	assert_string_equal(heard, "+100 103 +104 100 ");
	assert_in_range(heard_nodes_bytes, 3 * HF_TREE_HASH_BYTES, 4 * HF_TREE_HASH_BYTES);
}

/* It says that it has everything, and has nothing: it is paused, and others are asked. */
static void test_who_refuses_what_it_said_it_had_is_asked_no_more(void **state)
{
	struct peer *writer;
	struct hf_buffer body = {0};
	struct hf_compact_writer out = hf_compact_writer(&body);

	(void)state;
	begin();
	writer = add_peer();
	start_pair(writer, server, BLOCKS);
	struct end *end = connect_peers(writer, server);

	hf_download_start(server->replication, new_download((struct hf_download){.to = 1, .done = count_done}));
	settle();
	drop_end(end);
	drop_end(end->other);
	meet(writer->core, BLOCKS);
	hf_replication_write_range(&out, &(struct hf_replication_range){.length = BLOCKS});
	send_body(HF_REPLICATION_RANGE, &body);
	hf_download_start(server->replication, new_download((struct hf_download){.from = 0, .to = UINT64_MAX}));
	turn_loop(500);
	assert_in_range(asked_count, HF_REPLICATOR_REFUSALS_MAX / 2, BLOCKS);
	unsigned before = asked_count;

	hf_replication_write_range(&out, &(struct hf_replication_range){.length = BLOCKS}); /* it says so again */
	send_body(HF_REPLICATION_RANGE, &body);
	turn_loop(500);
	assert_int_equal(asked_count, before);
	assert_string_equal(server_end->failure, "");
	connect_peers(writer, server);
	settle();
	assert_int_equal(asked_count, before);
	assert_same_cores(writer->core, server->core);
}

int main(void)
{
	hf_crypto_init();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_nothing_is_answered_into_a_full_stream, tear_down),
		cmocka_unit_test_teardown(test_urgent_requests_are_answered_first, tear_down),
		cmocka_unit_test_teardown(test_what_is_cancelled_is_not_answered, tear_down),
		cmocka_unit_test_teardown(test_an_id_that_comes_again_replaces_what_had_it, tear_down),
		cmocka_unit_test_teardown(test_who_has_too_many_requests_open_is_let_go, tear_down),
		cmocka_unit_test_teardown(test_who_goes_on_asking_for_what_cannot_be_is_let_go, tear_down),
		cmocka_unit_test_teardown(test_who_was_pushed_the_tree_is_answered_from_there, tear_down),
		cmocka_unit_test_teardown(test_who_was_pushed_the_tree_is_shown_all_of_another, tear_down),
		cmocka_unit_test_teardown(test_a_block_that_was_asked_for_before_its_tree_was_pushed_can_be_tied, tear_down),
		cmocka_unit_test_teardown(test_who_refuses_what_it_said_it_had_is_asked_no_more, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
