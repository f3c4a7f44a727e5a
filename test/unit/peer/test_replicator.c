/* Cores exchanged between replicators: downloads, wants, seeks, forks, and who is found out. */
#include "replicator_fixture.h"

#include "crypto/sign.h"

static void test_a_whole_core_is_downloaded_and_followed(void **state)
{
	struct peer *writer = add_peer(), *reader = add_peer();
	struct hf_download *download = new_download((struct hf_download){.from = 0, .to = UINT64_MAX});

	(void)state;
	start_pair(writer, reader, 1000);
	hf_download_start(reader->replication, download);
	connect_peers(writer, reader);
	settle();
	assert_same_cores(writer->core, reader->core);
	for (int i = 0; i < 20; i++) {
		append_numbers(writer, 1 + i);
		settle();
		assert_same_cores(writer->core, reader->core);
	}
	struct hf_replicator_stats stats;

	hf_replicator_stats(writer->replicator, &stats);
	assert_int_equal(stats.blocks_sent, hf_core_length(writer->core));
	assert_int_equal(stats.proofs_false + stats.peers_failed + stats.refused_sent, 0);
}

static void ready(struct hf_core_waiter *waiter, int status)
{
	(void)waiter;
	assert_int_equal(status, HF_OK);
	done_count++;
}

static void test_a_reader_goes_on_after_waiting_for_its_disk(void **state)
{
	struct peer *writer = add_peer(), *reader = add_peer();
	struct hf_download *download = new_download((struct hf_download){.from = 0, .to = UINT64_MAX});
	static const uint8_t large[64 << 10];
	struct hf_slice block = hf_slice(large, sizeof large);
	uint64_t held;

	(void)state;
	join(writer, NULL);
	for (int i = 0; i < 256; i++)
		assert_int_equal(hf_core_append(writer->core, &block, 1, NULL), HF_OK);
	core_commit(writer->core);
	join(reader, hf_core_key(writer->core));
	connect_peers(writer, reader);
	settle();
	hf_download_start(reader->replication, download);
	settle_before_commits();
	held = hf_bitfield_next_clear(hf_core_blocks(reader->core), 0, 256);
	assert_in_range(held, 1, 255);
	settle();
	assert_same_cores(writer->core, reader->core);
}

static void test_only_what_is_wanted_is_fetched(void **state)
{
	struct peer *writer = add_peer(), *reader = add_peer();
	static struct hf_core_waiter waiters[5];
	static const uint64_t wanted[5] = {0, 17, 500, 501, 999};
	struct hf_replicator_stats stats;

	(void)state;
	done_count = 0;
	start_pair(writer, reader, 1000);
	connect_peers(reader, writer);
	hf_replication_update(reader->replication, count_heard, NULL);
	settle();
	assert_int_equal(done_count, 1);
	assert_int_equal(hf_core_length(reader->core), 1000);
	for (int i = 0; i < 5; i++)
		hf_core_wait(reader->core, &waiters[i], wanted[i]);
	waiters[0].ready = waiters[1].ready = waiters[2].ready = waiters[3].ready = waiters[4].ready = ready;
	settle();
	assert_int_equal(done_count, 6);
	assert_int_equal(hf_bitfield_count(hf_core_blocks(reader->core)), 5);
	hf_replicator_stats(reader->replicator, &stats);
	assert_int_equal(stats.blocks_received, 5);
}

static void test_a_fork_is_followed(void **state)
{
	struct peer *writer = add_peer(), *reader = add_peer();
	struct hf_download *download = new_download((struct hf_download){.from = 0, .to = UINT64_MAX});

	(void)state;
	start_pair(writer, reader, 100);
	hf_download_start(reader->replication, download);
	connect_peers(writer, reader);
	settle();
	static const uint64_t lengths[] = {60, 33, 0, 1, 64, 7};

	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		if (lengths[i] <= hf_core_length(writer->core))
			assert_int_equal(hf_core_truncate(writer->core, lengths[i], HF_CORE_NEXT_FORK), HF_OK);
		append_numbers(writer, 50);
		settle();
		assert_same_cores(writer->core, reader->core);
	}
	assert_int_equal(hf_core_truncate(writer->core, 5, 100), HF_OK);
	core_commit(writer->core);
	settle();
	assert_same_cores(writer->core, reader->core);
}

static void test_a_peer_in_the_middle_passes_on(void **state)
{
	struct peer *writer = add_peer(), *middle = add_peer(), *reader = add_peer();
	struct hf_download *all = new_download((struct hf_download){.from = 0, .to = UINT64_MAX}), *some = new_download((struct hf_download){.from = 100, .to = 300, .is_random = true, .done = count_done});

	(void)state;
	done_count = 0;
	join(writer, NULL);
	append_numbers(writer, 500);
	join(middle, hf_core_key(writer->core));
	join(reader, hf_core_key(writer->core));
	connect_peers(writer, middle);
	connect_peers(middle, reader);
	hf_download_start(reader->replication, some);
	settle();
	assert_int_equal(hf_core_length(reader->core), 500);
	assert_int_equal(done_count, 0);
	hf_download_start(middle->replication, all);
	settle();
	assert_int_equal(done_count, 1);
	assert_int_equal(hf_bitfield_count(hf_core_blocks(reader->core)), 200);
}

static void test_a_block_is_asked_of_one_peer_at_a_time(void **state)
{
	struct peer *one = add_peer(), *two = add_peer(), *reader = add_peer();
	struct hf_download *all = new_download((struct hf_download){.from = 0, .to = UINT64_MAX}), *copy = new_download((struct hf_download){.from = 0, .to = UINT64_MAX});
	struct hf_replicator_stats a, b;

	(void)state;
	join(one, NULL);
	append_numbers(one, 2000);
	join(two, hf_core_key(one->core));
	connect_peers(one, two);
	hf_download_start(two->replication, copy);
	settle();
	hf_replicator_stats(one->replicator, &a);
	uint64_t before = a.blocks_sent;

	join(reader, hf_core_key(one->core));
	connect_peers(one, reader);
	connect_peers(two, reader);
	hf_download_start(reader->replication, all);
	settle();
	assert_same_cores(one->core, reader->core);
	hf_replicator_stats(one->replicator, &a);
	hf_replicator_stats(two->replicator, &b);
	assert_int_equal(a.blocks_sent - before + b.blocks_sent, 2000);
	assert_true(a.blocks_sent - before > 100 && b.blocks_sent > 100);
}

static void test_a_peer_that_does_not_know_the_key_learns_nothing(void **state)
{
	static const uint8_t hash[HF_HANDSHAKE_HASH_BYTES] = {1}, other[HF_HANDSHAKE_HASH_BYTES] = {2};
	struct peer *writer = add_peer(), *reader = add_peer();
	struct end *end;

	(void)state;
	start_pair(writer, reader, 10);
	end = connect_with(writer, reader, hash, other);
	settle();
	assert_int_equal(hf_core_length(reader->core), 0);
	assert_string_equal(end->failure, "core replication: it does not know the core's key");
}

static void test_a_lost_peer_is_made_up_for(void **state)
{
	struct peer *writer = add_peer(), *reader = add_peer();
	struct hf_download *all = new_download((struct hf_download){.from = 0, .to = UINT64_MAX});

	(void)state;
	start_pair(writer, reader, 3000);
	hf_download_start(reader->replication, all);
	for (int round = 0; round < 12; round++) {
		struct end *end = connect_peers(writer, reader);

		for (int i = 0; i < 3 + round; i++) {
			deliver_some();
			hf_replicator_flush(writer->replicator, now_ms);
			hf_replicator_flush(reader->replicator, now_ms);
			hf_corestore_settle(reader->node.cores);
		}
		drop_end(end);
		drop_end(end->other);
		end_count -= 2;
	}
	connect_peers(writer, reader);
	settle();
	assert_same_cores(writer->core, reader->core);
}

static void test_a_seek_fetches_hashes_not_blocks(void **state)
{
	struct peer *writer = add_peer(), *reader = add_peer();
	struct hf_core_place place, expected;
	struct hf_replicator_stats stats;

	(void)state;
	start_pair(writer, reader, 1000);
	connect_peers(writer, reader);
	settle();
	for (uint64_t bytes = 1; bytes < hf_core_byte_length(writer->core); bytes += 997) {
		int rounds = 0;

		assert_int_equal(hf_core_seek(writer->core, bytes, &expected), HF_OK);
		while (hf_core_seek(reader->core, bytes, &place) == HF_EWAIT) {
			struct hf_seek_wait wait = {.bytes = bytes, .done = (void (*)(struct hf_seek_wait *))count_heard};

			assert_true(rounds++ < 30);
			hf_seek_wait_start(reader->replication, &wait);
			settle();
			hf_seek_wait_cancel(&wait);
		}
		assert_int_equal(place.block, expected.block);
		assert_int_equal(place.offset, expected.offset);
	}
	hf_replicator_stats(reader->replicator, &stats);
	assert_int_equal(stats.blocks_received, 0);
}

static void test_a_writer_with_two_histories_is_found_out(void **state)
{
	struct peer *writer = add_peer(), *twin = add_peer(), *reader = add_peer();
	struct hf_download *all = new_download((struct hf_download){.from = 0, .to = UINT64_MAX});
	struct hf_core_options options = {.size = sizeof options};
	uint8_t secret[HF_SIGN_SECRET_BYTES], public_key[32], seed[32] = {9};
	struct hf_slice block = HF_SLICE_LITERAL("another past");

	(void)state;
	hf_sign_keypair_from_seed(public_key, secret, seed);
	options.secret_key = secret;
	assert_int_equal(hf_corestore_get(writer->node.cores, &options, &writer->core, NULL), HF_OK);
	assert_int_equal(hf_corestore_get(twin->node.cores, &options, &twin->core, NULL), HF_OK);
	hf_replicator_join(writer->replicator, writer->core, &writer->replication);
	hf_replicator_join(twin->replicator, twin->core, &twin->replication);
	append_numbers(writer, 20);
	assert_int_equal(hf_core_append(twin->core, &block, 1, NULL), HF_OK);
	append_numbers(twin, 39);
	join(reader, hf_core_key(writer->core));
	hf_download_start(reader->replication, all);
	connect_peers(writer, reader);
	settle();
	assert_same_cores(writer->core, reader->core);
	connect_peers(twin, reader);
	settle();
	assert_true(hf_core_is_frozen(reader->core));
	assert_same_cores(writer->core, reader->core);
}

int main(void)
{
	hf_crypto_init();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_a_whole_core_is_downloaded_and_followed, tear_down),
		cmocka_unit_test_teardown(test_a_reader_goes_on_after_waiting_for_its_disk, tear_down),
		cmocka_unit_test_teardown(test_only_what_is_wanted_is_fetched, tear_down),
		cmocka_unit_test_teardown(test_a_fork_is_followed, tear_down),
		cmocka_unit_test_teardown(test_a_peer_in_the_middle_passes_on, tear_down),
		cmocka_unit_test_teardown(test_a_block_is_asked_of_one_peer_at_a_time, tear_down),
		cmocka_unit_test_teardown(test_a_peer_that_does_not_know_the_key_learns_nothing, tear_down),
		cmocka_unit_test_teardown(test_a_lost_peer_is_made_up_for, tear_down),
		cmocka_unit_test_teardown(test_a_seek_fetches_hashes_not_blocks, tear_down),
		cmocka_unit_test_teardown(test_a_writer_with_two_histories_is_found_out, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
