/* A blind relay of ours on a simulated network: its bounds, what it counts, and what becomes of those who go through it when it dies. */
#include "dht_fixture.h"

#include "peer/relay_server.h"

#define SIDES_MAX 8
#define BLOCK_BYTES 16384u
#define RELAYS 2u

/* A socket, and what came over it. */
struct side {
	struct hf_dht_dial *dial;
	struct hf_peer_socket *socket;
	struct hf_channel *channel;
	unsigned opened, failed, closed;
	int code;
	uint64_t received_bytes;
};

struct scene {
	struct dht_fixture f;
	struct hf_secret_stream_pool *pool;
	struct hf_dht_connector *connectors[NODES_MAX];
	struct hf_relay_server *relays[RELAYS];
	unsigned relay_at[RELAYS], server_at, client_at, accepted_count, dialled_count;
	struct hf_dht_server *server;
	uint8_t server_secret[HF_SIGN_SECRET_BYTES];
	struct side dialled[SIDES_MAX], accepted[SIDES_MAX];
};

static struct scene scene;

/* ---- Sockets ---- */

static int on_message(struct hf_channel *channel, void *context, uint32_t type, struct hf_slice body)
{
	((struct side *)context)->received_bytes += body.length;
	return HF_OK;
}

static void on_channel_close(struct hf_channel *channel, void *context, enum hf_channel_end end)
{
	((struct side *)context)->channel = NULL;
}

static const struct hf_channel_events channel_events = {.message_types = 1, .message = on_message, .close = on_channel_close};

static void on_opened(void *context, struct hf_peer_socket *socket)
{
	struct hf_channel_options options = {.protocol = HF_SLICE_LITERAL("test"), .events = &channel_events, .context = context};
	struct side *side = context;

	side->opened++;
	assert_int_equal(hf_protomux_open(hf_peer_socket_mux(socket), &options, &side->channel), HF_OK);
}

static void on_closed(void *context, struct hf_peer_socket *socket, int code, const char *why)
{
	struct side *side = context;

	side->closed++;
	side->code = code;
	side->socket = NULL;
}

static const struct hf_peer_socket_events socket_events = {.opened = on_opened, .closed = on_closed};

static void on_connected(void *context, struct hf_dht_dial *dial, struct hf_peer_socket *socket)
{
	struct side *side = context;

	side->dial = NULL;
	side->socket = socket;
}

static void on_failed(void *context, struct hf_dht_dial *dial, const struct hf_dht_dial_failure *failure)
{
	struct side *side = context;

	side->dial = NULL;
	side->failed++;
	side->code = failure->code;
}

static const struct hf_dht_dial_events dial_events = {.connected = on_connected, .failed = on_failed};

static void on_connection(void *context, struct hf_dht_server *server, struct hf_peer_socket *socket)
{
	struct side *side = &scene.accepted[scene.accepted_count++];

	assert_true(scene.accepted_count <= SIDES_MAX);
	side->socket = socket;
	hf_peer_socket_set_context(socket, side);
}

static const struct hf_dht_server_events server_events = {.connection = on_connection};

/* ---- The scene: a network, two relays in it, and a server and a client who cannot reach each other ---- */

static unsigned add_peer(bool is_open)
{
	unsigned at = add_node_with(&scene.f, (struct hf_dht_node_options){.role = HF_DHT_EPHEMERAL, .is_open = is_open});

	if (!is_open)
		sim_net_firewall(scene.f.hosts[at]);
	struct hf_dht_connector_options options = {.size = sizeof options, .node = scene.f.nodes[at], .secret_stream_pool = scene.pool,
		.local_addresses = hf_udx_socket_address(hf_dht_node_server_socket(scene.f.nodes[at])), .local_address_count = 1};

	run_for(&scene.f, SECOND);
	assert_int_equal(hf_dht_connector_new(&scene.connectors[at], &options, NULL), HF_OK);
	return at;
}

static void add_relay(unsigned number, struct hf_relay_server_options options)
{
	uint8_t seed[32] = {9, (uint8_t)number}, public_key[32], secret[HF_SIGN_SECRET_BYTES];

	hf_sign_keypair_from_seed(public_key, secret, seed);
	options.size = sizeof options;
	options.secret_key = secret;
	scene.relay_at[number] = add_peer(true);
	assert_int_equal(hf_relay_server_new(&scene.relays[number], scene.connectors[scene.relay_at[number]], &options, NULL), HF_OK);
	run_for(&scene.f, SECOND);
}

static void set_up(struct hf_relay_server_options relay)
{
	struct hf_dht_server_options options = {.size = sizeof options, .secret_key = scene.server_secret, .no_local = true,
		.socket = {.events = &socket_events}, .events = &server_events};
	uint8_t seed[32] = {42}, public_key[32];

	memset(&scene, 0, sizeof scene);
	begin_network(&scene.f, 8);
	assert_int_equal(hf_secret_stream_pool_new(&scene.pool), HF_OK);
	for (unsigned i = 0; i < RELAYS; i++)
		add_relay(i, relay);
	hf_sign_keypair_from_seed(public_key, scene.server_secret, seed);
	scene.server_at = add_peer(false);
	assert_int_equal(hf_dht_server_listen(&scene.server, scene.connectors[scene.server_at], &options, NULL), HF_OK);
	scene.client_at = add_peer(false);
	sim_net_part(scene.f.net, scene.f.hosts[scene.client_at], scene.f.hosts[scene.server_at]);
	run_for(&scene.f, SECOND);
}

static void tear_down(void)
{
	for (unsigned i = 0; i < SIDES_MAX; i++) {
		hf_dht_dial_cancel(scene.dialled[i].dial);
		hf_peer_socket_free(scene.dialled[i].socket);
		hf_peer_socket_free(scene.accepted[i].socket);
	}
	for (unsigned i = 0; i < RELAYS; i++)
		hf_relay_server_free(scene.relays[i]);
	for (unsigned i = 0; i < NODES_MAX; i++)
		hf_dht_connector_free(scene.connectors[i]);
	end_network(&scene.f);
	hf_secret_stream_pool_free(scene.pool);
}

static struct side *dial_through(unsigned relay)
{
	struct side *side = &scene.dialled[scene.dialled_count++];
	uint8_t key[32], secret[64], seed[32] = {1, (uint8_t)scene.dialled_count};
	struct hf_dht_dial_options options = {.size = sizeof options, .public_key = hf_sign_public_key(scene.server_secret), .secret_key = secret,
		.no_local = true, .relay_through = hf_relay_server_public_key(scene.relays[relay]),
		.socket = {.events = &socket_events, .context = side}, .events = &dial_events, .context = side};

	hf_sign_keypair_from_seed(key, secret, seed);
	assert_int_equal(hf_dht_dial(&side->dial, scene.connectors[scene.client_at], &options), HF_OK);
	return side;
}

static struct hf_blind_relay_stats figures(unsigned relay)
{
	struct hf_blind_relay_stats stats;

	hf_relay_server_read_stats(scene.relays[relay], &stats);
	return stats;
}

static uint64_t dropped_for_rate(unsigned relay)
{
	struct hf_udx_counters counters;

	hf_udx_read_counters(hf_udx_net_session(scene.f.nets[scene.relay_at[relay]]), &counters);
	return counters.dropped_packets[HF_UDX_DROP_RELAY_RATE];
}

static uint64_t relayed_connections(unsigned at)
{
	struct hf_dht_connector_stats stats;

	hf_dht_connector_read_stats(scene.connectors[at], &stats);
	return stats.ways_relayed;
}

static void say(struct side *side, unsigned blocks)
{
	static const uint8_t block[BLOCK_BYTES];
	struct iovec part = {(void *)(uintptr_t)block, sizeof block};

	for (unsigned i = 0; i < blocks; i++)
		assert_int_equal(hf_channel_send(side->channel, 0, &part, 1), HF_OK);
}

/* ---- Tests ---- */

static void test_what_passes_is_counted(void **state)
{
	set_up((struct hf_relay_server_options){0});
	struct side *side = dial_through(0);

	run_for(&scene.f, 5 * SECOND);
	assert_int_equal(side->opened, 1);
	assert_int_equal(scene.accepted[0].opened, 1);
	assert_int_equal(relayed_connections(scene.client_at), 1);
	assert_int_equal(relayed_connections(scene.server_at), 1);
	uint64_t before = hf_relay_server_relayed_bytes(scene.relays[0]);
	say(side, 64);
	run_for(&scene.f, 5 * SECOND);
	assert_int_equal(scene.accepted[0].received_bytes, 64 * BLOCK_BYTES);
	uint64_t passed = hf_relay_server_relayed_bytes(scene.relays[0]) - before;
	assert_true(passed > 64 * BLOCK_BYTES && passed < 64 * BLOCK_BYTES * 12 / 10);
	assert_int_equal(dropped_for_rate(0), 0);
	struct hf_blind_relay_stats stats = figures(0);
	assert_true(stats.sessions == 2 && stats.session_count == 2 && stats.pairs_joined == 1 && stats.joined_count == 1);
	assert_int_equal(hf_relay_server_relayed_bytes(scene.relays[1]), 0);

	hf_peer_socket_close(side->socket);
	run_for(&scene.f, 30 * SECOND);
	stats = figures(0);
	assert_true(stats.session_count == 0 && stats.joined_count == 0 && stats.waiting_count == 0);
	assert_true(hf_relay_server_relayed_bytes(scene.relays[0]) >= before + passed); /* of links that are gone, too */
	tear_down();
}

static void test_a_stream_gets_no_more_than_its_rate(void **state)
{
	const uint32_t rate = 64 * 1024;

	set_up((struct hf_relay_server_options){.bytes_per_s = rate});
	struct side *side = dial_through(0);
	run_for(&scene.f, 5 * SECOND);
	assert_int_equal(side->opened, 1);
	say(side, 64); /* 1 MiB: sixteen seconds' worth */
	uint64_t before = hf_relay_server_relayed_bytes(scene.relays[0]);
	for (unsigned i = 0; i < 8; i++) {
		run_for(&scene.f, SECOND);
		/* What has been saved up in a second, what came since, and acknowledgements the other way. */
		assert_true(hf_relay_server_relayed_bytes(scene.relays[0]) - before <= (uint64_t)rate * (i + 2) * 11 / 10);
	}
	assert_true(scene.accepted[0].received_bytes < 10 * rate);
	assert_true(dropped_for_rate(0) > 0);
	unsigned seconds = 8;
	for (; seconds < 60 && scene.accepted[0].received_bytes < 64 * BLOCK_BYTES; seconds++)
		run_for(&scene.f, SECOND);
	print_message("1 MiB at 64 KiB/s took %u s\n", seconds);
	assert_int_equal(scene.accepted[0].received_bytes, 64 * BLOCK_BYTES);
	assert_true(seconds >= 14 && seconds <= 32);
	tear_down();
}

static void test_a_relay_that_is_full_takes_nobody_until_somebody_goes(void **state)
{
	set_up((struct hf_relay_server_options){.limits = {.session_count_max = 2}});
	struct side *first = dial_through(0);
	run_for(&scene.f, 5 * SECOND);
	assert_int_equal(first->opened, 1);
	struct side *second = dial_through(0);
	run_for(&scene.f, 30 * SECOND);
	assert_int_equal(second->failed, 1);
	assert_int_equal(second->opened, 0);
	assert_true(figures(0).sessions_refused >= 1);
	assert_int_equal(figures(0).session_count, 2);
	assert_true(first->closed == 0 && scene.accepted[0].closed == 0);

	hf_peer_socket_close(first->socket);
	run_for(&scene.f, 30 * SECOND);
	struct side *third = dial_through(0);
	run_for(&scene.f, 10 * SECOND);
	assert_int_equal(third->opened, 1);
	tear_down();
}

/* By a word, or without one. */
static void die_mid_stream(bool is_cut)
{
	unsigned seconds = 0;

	set_up((struct hf_relay_server_options){.bytes_per_s = 64 * 1024});
	struct side *side = dial_through(0);
	run_for(&scene.f, 5 * SECOND);
	assert_int_equal(side->opened, 1);
	say(side, 64);
	run_for(&scene.f, 3 * SECOND);
	assert_true(scene.accepted[0].received_bytes > 0 && scene.accepted[0].received_bytes < 64 * BLOCK_BYTES);
	if (is_cut) {
		sim_net_set_link(scene.f.hosts[scene.relay_at[0]], &(struct sim_link){.is_cut = true});
	} else {
		hf_relay_server_free(scene.relays[0]);
		scene.relays[0] = NULL;
	}
	for (; seconds < 90 && (side->closed == 0 || scene.accepted[0].closed == 0); seconds++)
		run_for(&scene.f, SECOND);
	print_message("%s: both sides know after %u s\n", is_cut ? "cut off" : "ended", seconds);
	assert_true(side->closed == 1 && scene.accepted[0].closed == 1);
	assert_true(side->code < 0);
	assert_true(is_cut || seconds <= 1);

	struct side *again = dial_through(1);
	run_for(&scene.f, 10 * SECOND);
	assert_int_equal(again->opened, 1);
	say(again, 1);
	run_for(&scene.f, 2 * SECOND);
	assert_int_equal(scene.accepted[scene.accepted_count - 1].received_bytes, BLOCK_BYTES);
	tear_down();
}

static void test_both_sides_hear_that_their_relay_has_ended_and_take_another(void **state)
{
	die_mid_stream(false);
}

static void test_both_sides_notice_that_their_relay_is_gone_and_take_another(void **state)
{
	die_mid_stream(true);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_passes_is_counted),
		cmocka_unit_test(test_a_stream_gets_no_more_than_its_rate),
		cmocka_unit_test(test_a_relay_that_is_full_takes_nobody_until_somebody_goes),
		cmocka_unit_test(test_both_sides_hear_that_their_relay_has_ended_and_take_another),
		cmocka_unit_test(test_both_sides_notice_that_their_relay_is_gone_and_take_another),
	};

	if (hf_crypto_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
