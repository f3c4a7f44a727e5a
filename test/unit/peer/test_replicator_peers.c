/* Peers that are silent, late, of another mind, or that do not have what is asked of them. */
#include "replicator_fixture.h"

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
	join(writer, NULL);
	append_numbers(writer, 10);
	join(reader, hf_core_key(writer->core));
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
	join(writer, NULL);
	append_numbers(writer, 10);
	join(reader, hf_core_key(writer->core));
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_an_update_does_not_wait_for_a_peer_that_is_silent, tear_down),
		cmocka_unit_test_teardown(test_an_update_ends_although_a_peer_goes_on_telling_of_more, tear_down),
	};

	if (hf_crypto_init() != HF_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
