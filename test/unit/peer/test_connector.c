/* Dials and servers on a simulated network: ways found with and without loss, handshakes that are repeated, forged, replayed or too many,
 * peers that vanish, owners that let go at any moment. */
#include "dht_fixture.h"

#include "peer/connector.h"
#include "wire/dht/handshake.h"

#define SIDES_MAX 256
#define MILLISECOND UINT64_C(1000)

/* A socket, and what came of it. */
struct side {
	struct scene *scene;
	struct hf_dht_dial *dial;
	struct hf_peer_socket *socket;
	struct hf_channel *channel;
	bool frees_when_connected;
	unsigned connected, failed, opened, closed, messages;
	int code;
	enum hf_dht_connect_error error;
};
struct scene {
	struct dht_fixture f;
	struct hf_secret_stream_pool *pool;
	struct hf_dht_connector *connectors[NODES_MAX];
	struct hf_dht_server *server;
	unsigned server_at, listening, server_closed, refused, connections;
	bool keeps_ways, refuses, frees_in_connection, frees_server_in_connection;
	uint8_t server_secret[HF_SIGN_SECRET_BYTES];
	struct side dialled[SIDES_MAX], accepted[SIDES_MAX];
	unsigned dialled_count;
};

static struct scene scene;

/* ---- Sockets ---- */

static int on_message(struct hf_channel *channel, void *context, uint32_t type, struct hf_slice body)
{
	struct side *side = context;
	struct iovec part = {(void *)(uintptr_t)body.data, body.length};

	side->messages++;
	return side->messages == 1 && side >= scene.accepted && side < scene.accepted + SIDES_MAX ? hf_channel_send(channel, 0, &part, 1)
												 : HF_OK;
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
	if (side->dial == NULL && side < scene.accepted) {
		struct iovec part = {(void *)(uintptr_t) "hello", 5};
		assert_int_equal(hf_channel_send(side->channel, 0, &part, 1), HF_OK);
	}
}

static void on_closed(void *context, struct hf_peer_socket *socket, int code, const char *why)
{
	struct side *side = context;

	side->closed++;
	side->code = code;
	side->socket = NULL;
}

static const struct hf_peer_socket_events socket_events = {.opened = on_opened, .closed = on_closed};

/* ---- Dials and the server ---- */

static void on_connected(void *context, struct hf_dht_dial *dial, struct hf_peer_socket *socket)
{
	struct side *side = context;

	side->dial = NULL;
	side->connected++;
	if (side->frees_when_connected) {
		hf_peer_socket_free(socket);
		return;
	}
	side->socket = socket;
}

static void on_failed(void *context, struct hf_dht_dial *dial, const struct hf_dht_dial_failure *failure)
{
	struct side *side = context;

	side->dial = NULL;
	side->failed++;
	side->error = failure->error;
	side->code = failure->code;
	assert_true(failure->why[0] != '\0');
}

static const struct hf_dht_dial_events dial_events = {.connected = on_connected, .failed = on_failed};

static bool on_firewall(void *context, struct hf_dht_server *server, const uint8_t remote_key[static 32], const struct hf_address *from)
{
	scene.refused += scene.refuses;
	return scene.refuses;
}

static void on_connection(void *context, struct hf_dht_server *server, struct hf_peer_socket *socket)
{
	struct side *side = &scene.accepted[scene.connections++];

	assert_true(scene.connections <= SIDES_MAX);
	side->scene = &scene;
	if (scene.frees_server_in_connection) {
		hf_dht_server_free(scene.server);
		scene.server = NULL;
	}
	if (scene.frees_in_connection) {
		hf_peer_socket_free(socket);
		return;
	}
	side->socket = socket;
	hf_peer_socket_set_context(socket, side);
}

static void on_listening(void *context, struct hf_dht_server *server, size_t relay_count)
{
	assert_true(relay_count > 0);
	scene.listening++;
}

static void on_server_closed(void *context, struct hf_dht_server *server)
{
	scene.server = NULL;
	scene.server_closed++;
}

static const struct hf_dht_server_events server_events = {
	.firewall = on_firewall, .connection = on_connection, .listening = on_listening, .closed = on_server_closed};

/* ---- The scene: four nodes, and peers ---- */

static unsigned add_peer(bool is_open)
{
	unsigned at = add_node_with(&scene.f, (struct hf_dht_node_options){.role = HF_DHT_EPHEMERAL, .is_open = is_open});
	struct hf_dht_connector_options options = {.size = sizeof options, .node = scene.f.nodes[at], .secret_stream_pool = scene.pool,
		.local_addresses = hf_udx_socket_address(hf_dht_node_server_socket(scene.f.nodes[at])), .local_address_count = 1};

	run_for(&scene.f, SECOND);
	assert_int_equal(hf_dht_connector_new(&scene.connectors[at], &options, NULL), HF_OK);
	return at;
}

static void listen_at(unsigned at)
{
	struct hf_dht_server_options options = {.size = sizeof options, .secret_key = scene.server_secret, .no_local = true,
		.reusable_socket = scene.keeps_ways, .socket = {.events = &socket_events}, .events = &server_events, .context = &scene};
	uint8_t public_key[32], seed[32] = {42};

	hf_sign_keypair_from_seed(public_key, scene.server_secret, seed);
	scene.server_at = at;
	assert_int_equal(hf_dht_server_listen(&scene.server, scene.connectors[at], &options, NULL), HF_OK);
	run_for(&scene.f, SECOND);
	assert_int_equal(scene.listening, 1);
}

static void set_up(bool server_is_open)
{
	bool keeps_ways = scene.keeps_ways;

	memset(&scene, 0, sizeof scene);
	scene.keeps_ways = keeps_ways;
	begin_network(&scene.f, 8);
	assert_int_equal(hf_secret_stream_pool_new(&scene.pool), HF_OK);
	listen_at(add_peer(server_is_open));
}

static void tear_down(void)
{
	for (unsigned i = 0; i < SIDES_MAX; i++) {
		hf_dht_dial_cancel(scene.dialled[i].dial);
		hf_peer_socket_free(scene.dialled[i].socket);
		hf_peer_socket_free(scene.accepted[i].socket);
	}
	for (unsigned i = 0; i < NODES_MAX; i++)
		hf_dht_connector_free(scene.connectors[i]);
	end_network(&scene.f);
	hf_secret_stream_pool_free(scene.pool);
}

static struct side *dial_key(unsigned from, const uint8_t *public_key)
{
	struct side *side = &scene.dialled[scene.dialled_count++];
	uint8_t key[32], secret[64], seed[32] = {1, (uint8_t)scene.dialled_count};
	struct hf_dht_dial_options options = {.size = sizeof options, .public_key = public_key, .secret_key = secret, .no_local = true,
		.reusable_socket = scene.keeps_ways, .socket = {.events = &socket_events, .context = side}, .events = &dial_events, .context = side};

	hf_sign_keypair_from_seed(key, secret, seed);
	side->scene = &scene;
	assert_int_equal(hf_dht_dial(&side->dial, scene.connectors[from], &options), HF_OK);
	assert_memory_equal(hf_dht_dial_public_key(side->dial), public_key, 32);
	return side;
}

static struct side *dial(unsigned from)
{
	return dial_key(from, hf_sign_public_key(scene.server_secret));
}

static struct hf_dht_connector_stats figures(unsigned at)
{
	struct hf_dht_connector_stats stats;

	hf_dht_connector_read_stats(scene.connectors[at], &stats);
	return stats;
}

static void expect_conversation(const struct side *side)
{
	assert_int_equal(side->failed, 0);
	assert_true(side->connected == 1 && side->opened == 1 && side->messages == 1);
}

/* ---- Ways ---- */

static void converse(bool server_is_open, bool client_is_open)
{
	set_up(server_is_open);
	unsigned client = add_peer(client_is_open);
	struct side *side = dial(client);

	run_for(&scene.f, 5 * SECOND);
	expect_conversation(side);
	assert_int_equal(scene.connections, 1);
	assert_int_equal(scene.accepted[0].messages, 1);
	assert_memory_equal(hf_peer_socket_remote_key(side->socket), hf_sign_public_key(scene.server_secret), 32);
	assert_int_equal(figures(client).dials_connected, 1);
	assert_int_equal(figures(client).dial_count, 0);
	assert_int_equal(figures(client).ways_open + figures(scene.server_at).ways_open, 2);
	hf_peer_socket_close(side->socket);
	run_for(&scene.f, SECOND);
	assert_true(side->closed == 1 && side->code == HF_OK && scene.accepted[0].closed == 1 && scene.accepted[0].code == HF_ECLOSED);
	run_for(&scene.f, 30 * SECOND);
	assert_int_equal(figures(client).socket_count + figures(scene.server_at).socket_count, 0);
	assert_int_equal(figures(scene.server_at).handshake_count, 0);
	tear_down();
}

static void test_a_server_that_can_be_reached_is_reached(void **state)
{
	converse(true, false);
}

static void test_a_client_that_can_be_reached_is_reached(void **state)
{
	converse(false, true);
}

static void test_both_that_can_be_reached(void **state)
{
	converse(true, true);
}

static void test_neither_that_knows_whether_it_can_be_reached(void **state)
{
	converse(false, false);
}

static void lose(unsigned permille)
{
	for (unsigned i = 0; i < scene.f.count; i++)
		sim_net_set_link(scene.f.hosts[i], &(struct sim_link){.delay_us = 20000, .jitter_us = 30000, .loss_permille = permille,
			.duplicate_permille = 50, .reorder_permille = 100, .reorder_us = 40000});
}

static void test_a_lossy_network_is_no_hindrance(void **state)
{
	unsigned open = 0;

	set_up(true);
	unsigned client = add_peer(false);
	lose(150);
	for (unsigned i = 0; i < 50; i++)
		dial(client);
	run_for(&scene.f, 60 * SECOND);
	for (unsigned i = 0; i < 50; i++)
		open += scene.dialled[i].messages == 1;
	assert_int_equal(open, 50);
	tear_down();
}

static void test_relays_of_a_peer_are_remembered(void **state)
{
	struct hf_address relays[HF_DHT_SERVER_RELAYS_MAX];

	set_up(true);
	assert_true(hf_dht_server_is_listening(scene.server));
	assert_int_equal(hf_dht_server_relays(scene.server, relays), 3);
	unsigned client = add_peer(false);
	dial(client);
	run_for(&scene.f, 5 * SECOND);
	uint64_t before = sim_net_now_us(scene.f.net);
	struct side *again = dial(client);
	run_for(&scene.f, 100 * MILLISECOND);
	expect_conversation(again);
	assert_true(sim_net_now_us(scene.f.net) - before <= 100 * MILLISECOND);
	tear_down();
}

/* The second dial asks the server itself, without any node. */
static void test_a_way_that_both_keep_is_taken_again(void **state)
{
	scene.keeps_ways = true;
	set_up(true);
	unsigned client = add_peer(false);
	struct side *first = dial(client);
	run_for(&scene.f, 5 * SECOND);
	expect_conversation(first);
	for (unsigned i = 0; i < 8; i++)
		sim_net_set_link(scene.f.hosts[i], &(struct sim_link){.is_cut = true});
	struct side *second = dial(client);
	run_for(&scene.f, SECOND);
	expect_conversation(second);
	scene.keeps_ways = false;
	tear_down();
}

/* ---- Failures ---- */

static void test_who_is_not_there_is_not_found(void **state)
{
	uint8_t key[32], secret[64], seed[32] = {9};

	set_up(true);
	unsigned client = add_peer(false);
	hf_sign_keypair_from_seed(key, secret, seed);
	struct side *nobody = dial_key(client, key);
	run_for(&scene.f, 10 * SECOND);
	assert_true(nobody->failed == 1 && nobody->error == HF_DHT_PEER_NOT_FOUND && nobody->code == HF_ENOTFOUND);
	assert_string_equal(hf_dht_connect_error_name(nobody->error), "PEER_NOT_FOUND");
	sim_net_set_link(scene.f.hosts[scene.server_at], &(struct sim_link){.is_cut = true});
	struct side *gone = dial(client);
	run_for(&scene.f, 60 * SECOND);
	assert_true(gone->failed == 1 && gone->error == HF_DHT_PEER_CONNECTION_FAILED && gone->code == HF_ETIMEOUT);
	tear_down();
}

static void test_who_is_refused_hears_nothing(void **state)
{
	set_up(true);
	unsigned client = add_peer(false);
	scene.refuses = true;
	struct side *side = dial(client);
	run_for(&scene.f, 60 * SECOND);
	assert_true(side->failed == 1 && side->error == HF_DHT_PEER_CONNECTION_FAILED);
	assert_int_equal(scene.refused, 1); /* however often it was asked */
	assert_true(figures(scene.server_at).handshakes_repeated > 0);
	assert_int_equal(scene.connections, 0);
	tear_down();
}

static void test_a_closed_server_is_unannounced(void **state)
{
	set_up(true);
	unsigned client = add_peer(false);
	hf_dht_server_close(scene.server);
	run_for(&scene.f, 5 * SECOND);
	assert_true(scene.server_closed == 1 && scene.server == NULL);
	struct side *side = dial(client);
	run_for(&scene.f, 20 * SECOND);
	assert_true(side->failed == 1 && side->error == HF_DHT_PEER_NOT_FOUND);
	tear_down();
}

static void test_a_suspended_server_comes_back(void **state)
{
	set_up(true);
	unsigned client = add_peer(false);
	hf_dht_server_suspend(scene.server);
	run_for(&scene.f, 5 * SECOND);
	struct side *early = dial(client);
	run_for(&scene.f, 20 * SECOND);
	assert_int_equal(early->failed, 1);
	hf_dht_server_resume(scene.server);
	run_for(&scene.f, 5 * SECOND);
	assert_int_equal(scene.listening, 2);
	struct side *late = dial(client);
	run_for(&scene.f, 5 * SECOND);
	expect_conversation(late);
	tear_down();
}

static void test_peers_that_vanish_are_noticed(void **state)
{
	set_up(true);
	unsigned client = add_peer(false);
	struct side *side = dial(client);
	run_for(&scene.f, 5 * SECOND);
	expect_conversation(side);
	sim_net_set_link(scene.f.hosts[client], &(struct sim_link){.is_cut = true});
	sim_net_set_link(scene.f.hosts[scene.server_at], &(struct sim_link){.is_cut = true});
	run_for(&scene.f, 40 * SECOND);
	assert_true(side->closed == 1 && side->code == HF_ETIMEOUT);
	assert_true(scene.accepted[0].closed == 1 && scene.accepted[0].code == HF_ETIMEOUT);
	tear_down();
}

static void test_a_server_announces_again_when_its_nodes_are_gone(void **state)
{
	struct hf_address relays[HF_DHT_SERVER_RELAYS_MAX], now[HF_DHT_SERVER_RELAYS_MAX];

	set_up(true);
	assert_int_equal(hf_dht_server_relays(scene.server, relays), 3); /* its own address first */
	for (unsigned i = 0; i < 8; i++) {
		struct hf_address node = address_of(&scene.f, i);
		if (hf_address_equal(&node, &relays[1]))
			sim_net_set_link(scene.f.hosts[i], &(struct sim_link){.is_cut = true});
	}
	run_for(&scene.f, 60 * SECOND);
	assert_int_equal(hf_dht_server_relays(scene.server, now), 3);
	for (unsigned i = 0; i < 3; i++)
		assert_false(hf_address_equal(&now[i], &relays[1]));
	tear_down();
}

/* ---- Handshakes that somebody else made ---- */

struct knock {
	struct hf_dht_request request;
	unsigned answered, silent;
	uint8_t noise[HF_DHT_NOISE_BYTES_MAX];
	size_t length;
};

static void on_knock_done(struct hf_dht_request *request, int code, const struct hf_dht_reply *reply)
{
	struct knock *knock = HF_CONTAINER_OF(request, struct knock, request);
	struct hf_dht_peer_handshake message;

	if (code != HF_OK || !reply->has_value) {
		knock->silent++;
		return;
	}
	assert_int_equal(hf_dht_peer_handshake_decode(reply->value, &message), HF_OK);
	knock->answered++;
	knock->length = message.noise.length;
	memcpy(knock->noise, message.noise.data, message.noise.length);
}

/* Straight to the server, as a client that knows its address. */
static void knock_with(struct knock *knock, unsigned from, struct hf_slice noise)
{
	struct hf_dht_peer_handshake message = {.hop = HF_DHT_FROM_CLIENT, .noise = noise};
	struct hf_buffer value = {0};
	uint8_t target[32];

	hf_blake2b(target, 32, hf_slice(NULL, 0), hf_slice(hf_sign_public_key(scene.server_secret), 32));
	assert_int_equal(hf_dht_peer_handshake_encode(&message, &value), HF_OK);
	*knock = (struct knock){.request = {.to = address_of(&scene.f, scene.server_at), .command = HF_DHT_PEER_HANDSHAKE, .target = target,
		.has_value = true, .value = hf_buffer_slice(&value), .once = true, .done = on_knock_done}};
	assert_int_equal(hf_dht_request_start(scene.f.nodes[from], &knock->request), HF_OK);
	hf_buffer_free(&value);
}

static struct hf_slice make_message(uint8_t out[static HF_DHT_NOISE_BYTES_MAX], unsigned from, uint64_t version, bool has_udx)
{
	struct hf_dht_noise_payload payload = {.has_udx = has_udx, .udx.id = 77, .firewall = HF_DHT_FIREWALL_UNKNOWN};
	struct hf_buffer bytes = {0};
	struct hf_noise noise;
	uint8_t key[32], secret[64];
	size_t length;

	hf_sign_keypair_generate(key, secret, scene.f.hosts[from]->env);
	hf_dht_handshake_init(&noise, secret, hf_sign_public_key(scene.server_secret), scene.f.hosts[from]->env);
	assert_int_equal(hf_dht_noise_encode(&payload, &bytes), HF_OK);
	bytes.data[0] = (uint8_t)version;
	assert_int_equal(hf_noise_send(&noise, hf_buffer_slice(&bytes), out, &length), HF_OK);
	hf_noise_wipe(&noise);
	hf_buffer_free(&bytes);
	return hf_slice(out, length);
}

static void test_the_same_message_gets_the_same_answer(void **state)
{
	uint8_t bytes[HF_DHT_NOISE_BYTES_MAX];
	struct knock first, second, late;

	set_up(true);
	unsigned client = add_peer(false), other = add_peer(false);
	struct hf_slice message = make_message(bytes, client, 1, true);
	knock_with(&first, client, message);
	run_for(&scene.f, SECOND);
	knock_with(&second, other, message);
	run_for(&scene.f, SECOND);
	assert_true(first.answered == 1 && second.answered == 1 && first.length == second.length);
	assert_memory_equal(first.noise, second.noise, first.length);
	assert_int_equal(scene.connections, 1);
	assert_int_equal(figures(scene.server_at).handshakes_repeated, 1);
	run_for(&scene.f, 15 * SECOND); /* long after, somebody who has heard it says it again */
	knock_with(&late, other, message);
	run_for(&scene.f, SECOND);
	assert_true(late.answered == 1 && memcmp(late.noise, first.noise, first.length) != 0);
	run_for(&scene.f, 20 * SECOND);
	assert_int_equal(scene.accepted[0].opened + scene.accepted[1].opened, 0);
	assert_true(scene.accepted[0].closed == 1 && scene.accepted[1].closed == 1);
	tear_down();
}

static void test_forged_messages_are_dropped(void **state)
{
	uint8_t bytes[HF_DHT_NOISE_BYTES_MAX];
	struct knock knocks[40];

	set_up(true);
	unsigned client = add_peer(false);
	for (unsigned i = 0; i < 40; i++) {
		struct hf_slice message = make_message(bytes, client, 1, true);
		bytes[i * 2] ^= 0x40;
		knock_with(&knocks[i], client, message);
	}
	run_for(&scene.f, 5 * SECOND);
	for (unsigned i = 0; i < 40; i++)
		assert_true(knocks[i].silent == 1);
	assert_int_equal(figures(scene.server_at).handshakes_forged, 40);
	assert_int_equal(figures(scene.server_at).handshake_count, 0);
	tear_down();
}

static void test_other_versions_are_told_so(void **state)
{
	uint8_t bytes[HF_DHT_NOISE_BYTES_MAX];
	struct knock version, nothing;

	set_up(true);
	unsigned client = add_peer(false);
	knock_with(&version, client, make_message(bytes, client, 2, true));
	knock_with(&nothing, client, make_message(bytes, client, 1, false));
	run_for(&scene.f, SECOND);
	assert_true(version.answered == 1 && nothing.answered == 1);
	assert_int_equal(scene.connections, 0);
	run_for(&scene.f, 15 * SECOND);
	assert_int_equal(figures(scene.server_at).handshake_count, 0);
	tear_down();
}

static void test_a_flood_of_handshakes_leaves_room_for_others(void **state)
{
	static struct knock knocks[150];
	uint8_t bytes[HF_DHT_NOISE_BYTES_MAX];
	unsigned answered = 0;

	set_up(false); /* so that it waits for each of them */
	unsigned attacker = add_peer(false), client = add_peer(true);
	for (unsigned i = 0; i < 150; i++) {
		knock_with(&knocks[i], attacker, make_message(bytes, attacker, 1, true));
		run_for(&scene.f, 10 * MILLISECOND);
	}
	struct side *side = dial(client);
	run_for(&scene.f, 5 * SECOND);
	expect_conversation(side);
	for (unsigned i = 0; i < 150; i++)
		answered += knocks[i].answered;
	assert_true(answered >= HF_DHT_SERVER_HANDSHAKES_PER_HOST_MAX);
	assert_true(figures(scene.server_at).handshake_count <= 151);
	run_for(&scene.f, 60 * SECOND);
	assert_int_equal(figures(scene.server_at).handshake_count, 0);
	tear_down();
}

/* ---- Owners that let go ---- */

static void test_a_dial_may_be_cancelled_at_any_moment(void **state)
{
	set_up(false);
	unsigned client = add_peer(false);
	for (unsigned i = 0; i < 60; i++) {
		struct side *side = dial(client);
		run_for(&scene.f, i * 5 * MILLISECOND);
		if (side->dial != NULL) {
			hf_dht_dial_cancel(side->dial);
			side->dial = NULL;
			run_for(&scene.f, 20 * MILLISECOND);
			assert_int_equal(side->connected + side->failed, 0);
		} else {
			hf_peer_socket_free(side->socket);
			side->socket = NULL;
		}
	}
	run_for(&scene.f, 60 * SECOND);
	assert_int_equal(figures(client).dial_count + figures(client).socket_count + figures(scene.server_at).socket_count, 0);
	tear_down();
}

static void test_sockets_may_be_freed_as_they_come(void **state)
{
	set_up(true);
	unsigned client = add_peer(false);
	struct side *side = dial(client);
	side->frees_when_connected = true;
	run_for(&scene.f, 20 * SECOND);
	assert_true(side->connected == 1 && side->opened == 0);
	scene.frees_in_connection = true;
	dial(client);
	run_for(&scene.f, 20 * SECOND);
	scene.frees_server_in_connection = true;
	dial(client);
	run_for(&scene.f, 20 * SECOND);
	assert_null(scene.server);
	tear_down();
}

static void test_a_server_may_be_freed_at_any_moment(void **state)
{
	for (unsigned step = 1; step <= 12; step++) {
		set_up(step % 2 == 0);
		unsigned client = add_peer(false);
		dial(client);
		run_for(&scene.f, step * 8 * MILLISECOND);
		hf_dht_server_free(scene.server);
		scene.server = NULL;
		run_for(&scene.f, 2 * SECOND);
		tear_down();
	}
}

static void test_wrong_options_are_refused(void **state)
{
	struct hf_dht_dial_options options = {.size = sizeof options};
	struct hf_dht_server_options server = {.size = sizeof server, .secret_key = scene.server_secret, .events = &server_events};
	struct hf_dht_connector_options connector = {.size = sizeof connector};
	struct hf_dht_connector *none;
	struct hf_dht_server *other;
	struct hf_dht_dial *dialled;

	set_up(true);
	assert_int_equal(hf_dht_dial(&dialled, scene.connectors[scene.server_at], &options), HF_EINVAL);
	assert_int_equal(hf_dht_server_listen(&other, scene.connectors[scene.server_at], &server, NULL), HF_EEXISTS);
	assert_int_equal(hf_dht_connector_new(&none, &connector, NULL), HF_EINVAL);
	tear_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_server_that_can_be_reached_is_reached),
		cmocka_unit_test(test_a_client_that_can_be_reached_is_reached),
		cmocka_unit_test(test_both_that_can_be_reached),
		cmocka_unit_test(test_neither_that_knows_whether_it_can_be_reached),
		cmocka_unit_test(test_a_lossy_network_is_no_hindrance),
		cmocka_unit_test(test_relays_of_a_peer_are_remembered),
		cmocka_unit_test(test_a_way_that_both_keep_is_taken_again),
		cmocka_unit_test(test_who_is_not_there_is_not_found),
		cmocka_unit_test(test_who_is_refused_hears_nothing),
		cmocka_unit_test(test_a_closed_server_is_unannounced),
		cmocka_unit_test(test_a_suspended_server_comes_back),
		cmocka_unit_test(test_peers_that_vanish_are_noticed),
		cmocka_unit_test(test_a_server_announces_again_when_its_nodes_are_gone),
		cmocka_unit_test(test_the_same_message_gets_the_same_answer),
		cmocka_unit_test(test_forged_messages_are_dropped),
		cmocka_unit_test(test_other_versions_are_told_so),
		cmocka_unit_test(test_a_flood_of_handshakes_leaves_room_for_others),
		cmocka_unit_test(test_a_dial_may_be_cancelled_at_any_moment),
		cmocka_unit_test(test_sockets_may_be_freed_as_they_come),
		cmocka_unit_test(test_a_server_may_be_freed_at_any_moment),
		cmocka_unit_test(test_wrong_options_are_refused),
	};

	return hf_crypto_init() == HF_OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
