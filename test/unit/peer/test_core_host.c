/* Cores on loops: they pass between two stores over TCP on loopback. */
#include "host_fixture.h"

#define BLOCK_COUNT 2000

static void append_numbers(struct peer *peer, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		char text[32];
		snprintf(text, sizeof text, "block %u", i);
		struct hf_slice block = hf_slice_text(text);

		assert_int_equal(hf_core_append(peer->core, &block, 1, NULL), HF_OK);
	}
	core_commit(peer->core);
}

static bool both_hold_all(struct peer *a, struct peer *b)
{
	struct hf_buffer block = {0};
	bool has_all = hf_core_length(a->core) == hf_core_length(b->core);

	for (uint64_t i = hf_core_length(b->core); has_all && i > 0; i--) {
		hf_buffer_clear(&block);
		has_all = hf_core_get(b->core, i - 1, &block) == HF_OK;
	}
	hf_buffer_free(&block);
	return has_all;
}

static bool both_are_open(struct peer *a, struct peer *b)
{
	return a->opened > 0 && b->opened > 0;
}

static bool both_are_closed(struct peer *a, struct peer *b)
{
	return a->closed > 0 && b->closed > 0;
}

/* One writes so many blocks, the other joins the core; they are not connected yet. */
static void open_pair(struct peer *writer, struct peer *reader, int block_count)
{
	open_peer(writer, 1);
	open_peer(reader, 2);
	join(writer, NULL);
	append_numbers(writer, block_count);
	join(reader, hf_core_key(writer->core));
}

static void test_a_core_passes_over_tcp_and_is_followed(void **state)
{
	static struct peer writer, reader;
	struct hf_download download = {.to = UINT64_MAX};
	struct hf_address address;

	(void)state;
	open_pair(&writer, &reader, BLOCK_COUNT);
	hf_download_start(reader.replication, &download);
	struct hf_peer_listener *listener = listen_on(&writer, &address);
	dial(&reader, &address);
	turn_until(&writer, &reader, both_hold_all);
	append_numbers(&writer, 10);
	turn_until(&writer, &reader, both_hold_all);

	hf_peer_socket_close(reader.socket);
	turn_until(&writer, &reader, both_are_closed);
	assert_int_equal(reader.code, HF_OK);
	assert_int_equal(writer.code, HF_ECLOSED);
	append_numbers(&writer, 10);
	dial(&reader, &address);
	turn_until(&writer, &reader, both_hold_all);
	assert_int_equal(hf_core_length(reader.core), BLOCK_COUNT + 20);
	hf_download_cancel(&download);
	hf_peer_listener_free(listener);
	close_peer(&reader); /* both with a connection */
	close_peer(&writer);
}

static void test_a_peer_may_be_refused_when_it_opens(void **state)
{
	static struct peer writer, reader;
	struct hf_address address;

	(void)state;
	open_pair(&writer, &reader, 1);
	writer.refuses = true;
	struct hf_peer_listener *listener = listen_on(&writer, &address);
	dial(&reader, &address);
	turn_until(&writer, &reader, both_are_closed);
	assert_int_equal(writer.code, HF_OK);
	assert_int_equal(reader.code, HF_ECLOSED);
	hf_peer_listener_free(listener);
	close_peer(&reader);
	close_peer(&writer);
}

/* As a swarm does with whom it has banned, and a gateway with a worker that it dismisses. */
static void test_whom_we_send_away_has_broken_nothing(void **state)
{
	static struct peer writer, reader;
	struct hf_replicator_stats stats;
	struct hf_address address;

	(void)state;
	open_pair(&writer, &reader, 1);
	struct hf_peer_listener *listener = listen_on(&writer, &address);
	dial(&reader, &address);
	turn_until(&writer, &reader, both_are_open);
	hf_peer_socket_fail(writer.socket, HF_EDENIED, "The peer is banned.");
	turn_until(&writer, &reader, both_are_closed);
	assert_int_equal(writer.code, HF_EDENIED);
	hf_replicator_stats(hf_core_host_replicator(writer.host), &stats);
	assert_int_equal(stats.peers_failed, 0);
	hf_peer_listener_free(listener);
	close_peer(&reader);
	close_peer(&writer);
}

int main(void)
{
	hf_crypto_init();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_core_passes_over_tcp_and_is_followed),
		cmocka_unit_test(test_a_peer_may_be_refused_when_it_opens),
		cmocka_unit_test(test_whom_we_send_away_has_broken_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
