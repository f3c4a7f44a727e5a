/* Peers that are silent, late, of another mind, or that do not have what is asked of them. */
#include "replicator_fixture.h"

#include "crypto/sign.h"

/* ---- Updates ---- */

/* One end of a stream whose remote says nothing. */
static void connect_silence(struct peer *peer)
{
	static const uint8_t hash[HF_HANDSHAKE_HASH_BYTES] = {7};
	struct end *end = &ends[end_count++], *nobody = &ends[end_count++];
	struct hf_replicator_stream_options options = {.is_initiator = true, .handshake_hash = hash};

	*end = (struct end){.other = nobody, .last = &end->first};
	*nobody = (struct end){.other = end, .last = &nobody->first};
	hf_protomux_new(&mux_events, end, 1, NULL, &end->mux);
	options.mux = end->mux;
	assert_int_equal(hf_replicator_attach(peer->replicator, &options, &end->stream), HF_OK);
}

static void pass(uint64_t ms)
{
	now_ms += ms;
	settle();
}

static void test_an_update_does_not_wait_for_a_peer_that_is_silent(void **state)
{
	struct peer *writer = add_peer(), *reader = add_peer();

	(void)state;
	done_count = 0;
	now_ms = 1000000;
	start_pair(writer, reader, 10);
	connect_silence(reader);
	connect_peers(writer, reader);
	assert_int_equal(hf_replication_update(reader->replication, count_heard, NULL), HF_OK);
	settle();
	assert_int_equal(hf_core_length(reader->core), 10);
	assert_int_equal(done_count, 0);
	pass(HF_REPLICATOR_UPDATE_SILENCE_MS / 2);
	assert_int_equal(done_count, 0);
	pass(HF_REPLICATOR_UPDATE_SILENCE_MS / 2);
	assert_int_equal(done_count, 1);
	/* It is known to be silent now. */
	assert_int_equal(hf_replication_update(reader->replication, count_heard, NULL), HF_OK);
	settle();
	assert_int_equal(done_count, 2);
}

static void test_an_update_ends_although_a_peer_goes_on_telling_of_more(void **state)
{
	struct peer *writer = add_peer(), *reader = add_peer();

	(void)state;
	done_count = 0;
	now_ms = 1000000;
	start_pair(writer, reader, 10);
	connect_peers(writer, reader);
	settle();
	append_numbers(writer, 1);
	deliver_some();
	assert_int_equal(hf_replication_update(reader->replication, count_heard, NULL), HF_OK);
	for (uint64_t ms = 0; ms <= HF_REPLICATOR_UPDATE_MS_MAX; ms += 1000, now_ms += 1000) {
		assert_int_equal(done_count, 0);
		append_numbers(writer, 1);
		deliver_some();
		hf_replicator_tick(reader->replicator, now_ms);
		hf_replicator_flush(reader->replicator, now_ms); /* what comes is never committed: the reader stays behind */
	}
	assert_int_equal(done_count, 1);
}

/* ---- Leaving ---- */

/* What was left lingers among the peers that it has; where there are none any more nothing ticks that would end that. */
static void test_a_core_that_was_left_goes_with_its_last_peer(void **state)
{
	struct peer *writer = add_peer(), *reader = add_peer();

	(void)state;
	start_pair(writer, reader, 1);
	connect_peers(writer, reader);
	settle();
	hf_replication_leave(reader->replication);
	reader->replication = NULL;
	settle();
	assert_non_null(reader->replicator->shared);
	drop_end(&ends[1]);
	drop_end(&ends[0]);
	hf_replicator_flush(reader->replicator, now_ms);
	now_ms += 60000;
	hf_replicator_flush(reader->replicator, now_ms);
	assert_null(reader->replicator->shared);
}

/* ---- Extensions ---- */

struct ear {
	struct hf_extension extension; /* first */
	struct hf_replication *of;
	const char *answer; /* NULL: none */
	bool closes;
	char heard[200];
};

static struct ear ears[6];

static void hear(struct hf_extension *extension, struct hf_core *core, struct hf_channel *from, struct hf_slice message)
{
	struct ear *ear = (struct ear *)extension;

	assert_ptr_equal(extension->replication, ear->of);
	assert_ptr_equal(core, hf_replication_core(ear->of));
	snprintf(ear->heard + strlen(ear->heard), sizeof ear->heard - strlen(ear->heard), "%.*s ", (int)message.length, (const char *)message.data);
	if (ear->answer != NULL)
		assert_int_equal(hf_extension_send(extension, from, hf_slice_text(ear->answer)), HF_OK);
	if (!ear->closes)
		return;
	hf_channel_close(from);
	assert_int_equal(hf_extension_send(extension, from, HF_SLICE_LITERAL("too late")), HF_ECLOSED);
}

static struct ear *add_ear(size_t number, struct peer *peer, const char *name)
{
	ears[number] = (struct ear){.extension = {.name = name, .message = hear}, .of = peer->replication};
	hf_replication_add_extension(peer->replication, &ears[number].extension);
	return &ears[number];
}

static void say(struct ear *ear, const char *text)
{
	hf_extension_broadcast(&ear->extension, ear->of, hf_slice_text(text));
}

static void assert_heard(struct ear *ear, const char *expected)
{
	assert_string_equal(ear->heard, expected);
	ear->heard[0] = 0;
}

static void connect_pair(struct peer **one, struct peer **two)
{
	*one = add_peer();
	*two = add_peer();
	start_pair(*one, *two, 1);
	connect_peers(*one, *two);
	settle();
}

static void test_messages_of_extensions_go_by_name(void **state)
{
	struct peer *one, *two;
	struct ear *chat, *chat_there, *game, *game_there, *unknown;
	struct hf_replicator_stats stats;

	(void)state;
	connect_pair(&one, &two);
	chat = add_ear(0, one, "chat");
	game = add_ear(1, one, "game");
	unknown = add_ear(2, one, "nobody has this");
	chat_there = add_ear(3, two, "chat");
	game_there = add_ear(4, two, "game");
	say(chat, "a");
	say(chat, "b"); /* without the name, which has not changed */
	say(game, "c");
	say(unknown, "lost");
	say(unknown, "too");
	say(chat, "d");
	say(chat, "");
	settle();
	assert_heard(chat_there, "a b d  ");
	assert_heard(game_there, "c ");
	chat_there->answer = "answer";
	say(chat, "question");
	settle();
	assert_heard(chat, "answer ");
	assert_heard(game, "");
	hf_replicator_stats(two->replicator, &stats);
	assert_int_equal(stats.peers_failed, 0);
}

static void test_an_extension_that_was_removed_hears_no_more(void **state)
{
	struct peer *one, *two;
	struct hf_replication *second;
	struct ear *chat, *chat_there, *game, *game_there;

	(void)state;
	connect_pair(&one, &two);
	chat = add_ear(0, one, "chat");
	game = add_ear(1, one, "game");
	assert_int_equal(hf_replicator_join(two->replicator, two->core, &second), HF_OK);
	chat_there = add_ear(2, two, "chat");
	ears[3] = (struct ear){.extension = {.name = "game", .message = hear}, .of = second};
	game_there = &ears[3];
	hf_replication_add_extension(second, &game_there->extension);
	say(chat, "a");
	say(game, "b");
	settle();
	assert_heard(chat_there, "a ");
	assert_heard(game_there, "b ");
	hf_replication_remove_extension(two->replication, &chat_there->extension);
	hf_replication_remove_extension(two->replication, &chat_there->extension);
	hf_replication_leave(second); /* and its extension goes with it */
	say(chat, "c");
	say(game, "d");
	settle();
	assert_heard(chat_there, "");
	assert_heard(game_there, "");
}

static void test_an_extension_may_close_its_channel(void **state)
{
	struct peer *one, *two;
	struct ear *chat, *chat_there;

	(void)state;
	connect_pair(&one, &two);
	chat = add_ear(0, one, "chat");
	chat_there = add_ear(1, two, "chat");
	chat_there->closes = true;
	say(chat, "a");
	settle();
	assert_heard(chat_there, "a ");
	/* Both have joined the core, so that the channel is opened again; what goes through the new one has its name again. */
	chat_there->closes = false;
	settle();
	assert_int_equal(hf_replication_peer_count(one->replication), 1);
	say(chat, "b");
	settle();
	assert_heard(chat_there, "b ");
}

/* ---- Refusals ---- */

/* What was asked of a fork that the peer has left is refused in the end, after it has told of the new one: 64 blocks, where half as many
 * refusals are enough to be given up. */
static void test_refusals_of_an_old_fork_are_not_held_against_the_new_one(void **state)
{
	struct peer *writer = add_peer(), *reader = add_peer();
	struct hf_replicator_stats stats;

	(void)state;
	start_pair(writer, reader, 300);
	connect_peers(writer, reader);
	settle();
	hf_download_start(reader->replication, new_download((struct hf_download){.from = 0, .to = UINT64_MAX}));
	hf_replicator_flush(reader->replicator, now_ms); /* asks; nothing has arrived yet */
	assert_int_equal(hf_core_truncate(writer->core, 2, HF_CORE_NEXT_FORK), HF_OK);
	append_numbers(writer, 298);
	settle();
	hf_replicator_stats(reader->replicator, &stats);
	assert_in_range(stats.refused_received, HF_REPLICATOR_REFUSALS_MAX / 2 + 1, UINT64_MAX);
	assert_same_cores(writer->core, reader->core);
}

/* A refused block leaves a hole in what a peer has: the pages that it takes are of the stream's, and leave with the channel. */
static void test_a_hole_that_a_refusal_leaves_is_counted(void **state)
{
	struct peer *writer = add_peer(), *reader = add_peer();
	struct hf_buffer body = {0};
	struct hf_compact_writer out = hf_compact_writer(&body);
	struct hf_replication_no_data refusal = {.reason = HF_REPLICATION_NOT_AVAILABLE};

	(void)state;
	start_pair(writer, reader, 300);
	connect_peers(writer, reader);
	settle();
	hf_download_start(reader->replication, new_download((struct hf_download){.from = 0, .to = UINT64_MAX}));
	hf_replicator_flush(reader->replicator, now_ms); /* asks; nothing has arrived yet */
	struct hf_core_peer *peer = reader->replication->shared->peers;

	while (!peer->slots[refusal.request].is_used || !peer->slots[refusal.request].proof.has_block)
		refusal.request++;
	refusal.request++;
	hf_replication_write_no_data(&out, &refusal);
	assert_int_equal(hf_core_peer_on_no_data(peer, hf_buffer_slice(&body)), HF_OK);
	assert_int_equal(peer->remote_blocks.pages.count, 1);
	assert_int_equal(peer->stream->remote_page_count, 1);
	hf_buffer_free(&body);
	settle();
	assert_same_cores(writer->core, reader->core);
}

static void test_a_peer_that_does_not_have_a_core_is_counted(void **state)
{
	struct peer *holder = add_peer(), *reader = add_peer();
	static const uint8_t key[32] = {1, 2, 3};
	struct hf_replicator_stats stats;

	(void)state;
	join(holder, NULL);
	join(reader, key);
	connect_peers(holder, reader);
	settle();
	hf_replication_stats(reader->replication, &stats);
	assert_int_equal(stats.channels_rejected, 1);
	assert_int_equal(stats.channels, 0);
	hf_replicator_stats(holder->replicator, &stats);
	assert_int_equal(stats.channels_rejected, 1); /* nor does the reader have the holder's */
	/* A channel that was open and is closed was not rejected. */
	append_numbers(holder, 1);
	hf_replication_leave(reader->replication);
	hf_core_unref(reader->core);
	join(reader, hf_core_key(holder->core));
	settle();
	hf_replication_leave(holder->replication);
	holder->replication = NULL;
	hf_replication_stats(reader->replication, &stats);
	assert_int_equal(stats.channels_rejected, 0);
	assert_int_equal(stats.channels, 1);
}

/* ---- Frozen cores ---- */

static void test_a_frozen_core_is_neither_served_nor_fetched_once_opened_again(void **state)
{
	struct hf_core_options options = {.size = sizeof options, .must_exist = true};
	struct peer *holder = add_peer(), *reader = add_peer();
	uint8_t key[32];

	(void)state;
	join(holder, NULL);
	append_numbers(holder, 5);
	memcpy(key, hf_core_key(holder->core), 32);
	hf_core_freeze(holder->core);
	hf_corestore_settle(holder->node.cores);
	hf_replication_leave(holder->replication);
	hf_core_unref(holder->core);
	holder->replication = NULL;
	holder->core = NULL;
	hf_replicator_flush(holder->replicator, now_ms);
	assert_null(hf_corestore_next_open(holder->node.cores, &(size_t){0}));

	join(reader, key);
	connect_peers(holder, reader);
	settle();
	assert_int_equal(hf_core_length(reader->core), 0);
	assert_int_equal(hf_replication_peer_count(reader->replication), 0);
	options.key = key;
	assert_int_equal(hf_corestore_get(holder->node.cores, &options, &holder->core, NULL), HF_OK);
	assert_true(hf_core_is_frozen(holder->core));
	assert_int_equal(hf_replicator_join(holder->replicator, holder->core, &holder->replication), HF_OK);
	settle();
	assert_int_equal(hf_core_length(reader->core), 0);
	assert_int_equal(hf_replication_peer_count(holder->replication), 0);
}

/* ---- Withheld cores ---- */

static void test_a_core_that_is_withheld_is_given_to_nobody_until_it_is_given_again(void **state)
{
	struct peer *holder = add_peer(), *reader = add_peer(), *late;

	(void)state;
	start_pair(holder, reader, 5);
	connect_peers(holder, reader);
	settle();
	hf_download_start(reader->replication, new_download((struct hf_download){.from = 0, .to = UINT64_MAX}));
	settle();
	assert_same_cores(holder->core, reader->core);

	hf_replication_withhold(holder->replication, true);
	append_numbers(holder, 5);
	settle();
	assert_int_equal(hf_core_length(reader->core), 5);
	assert_int_equal(hf_replication_peer_count(holder->replication), 0);
	late = add_peer();
	join(late, hf_core_key(holder->core));
	connect_peers(holder, late);
	settle();
	assert_int_equal(hf_core_length(late->core), 0);

	hf_replication_withhold(holder->replication, false);
	settle();
	assert_int_equal(hf_replication_peer_count(holder->replication), 2);
	assert_same_cores(holder->core, reader->core);
	assert_int_equal(hf_core_length(late->core), 10);
}

/* ---- A prologue ---- */

/* A core whose first blocks are to be those of append_numbers. */
static struct hf_core *core_with_prologue(struct peer *peer, int length)
{
	struct hf_manifest manifest = {.version = 1, .signer_count = 1, .quorum = 1, .has_prologue = true, .prologue = {.length = (uint64_t)length}};
	struct hf_core_options options = {.size = sizeof options, .manifest = &manifest};
	uint8_t public_key[32], secret[HF_SIGN_SECRET_BYTES], seed[32] = {5};
	struct hf_buffer signers = {0};
	struct hf_core *core;

	join(peer, NULL);
	append_numbers(peer, length);
	hf_tree_hash(hf_core_tree(peer->core), manifest.prologue.hash);
	hf_replication_leave(peer->replication);
	hf_core_unref(peer->core);
	hf_sign_keypair_from_seed(public_key, secret, seed);
	assert_int_equal(hf_manifest_signer_write(&signers, hf_namespaces[HF_NAMESPACE_DEFAULT], public_key), HF_OK);
	manifest.signers = hf_buffer_slice(&signers);
	options.secret_key = secret;
	assert_int_equal(hf_corestore_get(peer->node.cores, &options, &core, NULL), HF_OK);
	hf_buffer_free(&signers);
	return core;
}

/* Nobody can be given a part of it: who has one does not offer it. */
static void test_a_prologue_is_asked_for_once_it_is_complete(void **state)
{
	struct peer *writer = add_peer(), *reader = add_peer();
	struct hf_replicator_stats stats;

	(void)state;
	now_ms = 1000000;
	done_count = 0;
	writer->core = core_with_prologue(writer, 4);
	append_numbers(writer, 1);
	assert_int_equal(hf_replicator_join(writer->replicator, writer->core, &writer->replication), HF_OK);
	join(reader, hf_core_key(writer->core));
	connect_peers(writer, reader);
	hf_download_start(reader->replication, new_download((struct hf_download){.from = 0, .to = 5, .done = count_done}));
	for (int i = 1; i < 5; i++) {
		settle();
		now_ms += 6000;
		settle();
		if (i < 4)
			assert_int_equal(hf_core_length(reader->core), 0);
		append_numbers(writer, 1);
	}
	settle();
	assert_int_equal(done_count, 1);
	assert_same_cores(writer->core, reader->core);
	hf_replicator_stats(writer->replicator, &stats);
	assert_int_equal(stats.refused_sent, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_an_update_does_not_wait_for_a_peer_that_is_silent, tear_down),
		cmocka_unit_test_teardown(test_an_update_ends_although_a_peer_goes_on_telling_of_more, tear_down),
		cmocka_unit_test_teardown(test_a_core_that_was_left_goes_with_its_last_peer, tear_down),
		cmocka_unit_test_teardown(test_messages_of_extensions_go_by_name, tear_down),
		cmocka_unit_test_teardown(test_an_extension_that_was_removed_hears_no_more, tear_down),
		cmocka_unit_test_teardown(test_an_extension_may_close_its_channel, tear_down),
		cmocka_unit_test_teardown(test_refusals_of_an_old_fork_are_not_held_against_the_new_one, tear_down),
		cmocka_unit_test_teardown(test_a_hole_that_a_refusal_leaves_is_counted, tear_down),
		cmocka_unit_test_teardown(test_a_peer_that_does_not_have_a_core_is_counted, tear_down),
		cmocka_unit_test_teardown(test_a_frozen_core_is_neither_served_nor_fetched_once_opened_again, tear_down),
		cmocka_unit_test_teardown(test_a_prologue_is_asked_for_once_it_is_complete, tear_down),
		cmocka_unit_test_teardown(test_a_core_that_is_withheld_is_given_to_nobody_until_it_is_given_again, tear_down),
	};

	if (hf_crypto_init() != HF_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
