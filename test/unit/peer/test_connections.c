/* Connections as programs use them, on a simulated network: one with each peer, with streams of their own beside, and with a say in whether a
 * hole is punched. */
#include "dht_fixture.h"

#include "peer/connection_pool.h"
#include "peer/connector_private.h"

#define SIDES_MAX 8

struct side {
	struct hf_peer_socket *socket;
	unsigned connected, failed, opened, closed;
	int code;
	enum hf_dht_connect_error error;
};
/* Dials, is dialled, and has a pool. */
struct peer {
	struct hf_dht_connector *connector;
	struct hf_dht_server *server;
	struct hf_dht_pool *pool;
	struct side dialled[SIDES_MAX], accepted[SIDES_MAX];
	unsigned at, dialled_count, accepted_count, pooled, asked;
	bool refuses_to_punch;
	struct hf_dht_punch_sides sides;
	uint8_t key[HF_SIGN_PUBLIC_BYTES], secret[HF_SIGN_SECRET_BYTES];
};

static struct dht_fixture f;
static struct hf_secret_stream_pool *secrets;
static struct peer peers[2];

static void on_opened(void *context, struct hf_peer_socket *socket)
{
	((struct side *)context)->opened++;
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

	side->connected++;
	side->socket = socket;
}

static void on_failed(void *context, struct hf_dht_dial *dial, const struct hf_dht_dial_failure *failure)
{
	struct side *side = context;

	side->failed++;
	side->code = failure->code;
	side->error = failure->error;
}

static const struct hf_dht_dial_events dial_events = {.connected = on_connected, .failed = on_failed};

static void on_connection(void *context, struct hf_dht_server *server, struct hf_peer_socket *socket)
{
	struct peer *p = context;

	if (!hf_dht_pool_accept(p->pool, server, socket))
		return;
	assert_true(p->accepted_count < SIDES_MAX);
	struct side *side = &p->accepted[p->accepted_count++];
	side->socket = socket;
	hf_peer_socket_set_context(socket, side);
}

static bool on_holepunch(void *context, struct hf_dht_server *server, const struct hf_dht_punch_sides *sides)
{
	struct peer *p = context;

	p->asked++;
	assert_true(sides->remote->count > 0 && sides->own->count > 0);
	assert_true(sides->remote_firewall == HF_DHT_FIREWALL_CONSISTENT && sides->own_firewall == HF_DHT_FIREWALL_CONSISTENT);
	return !p->refuses_to_punch;
}

static void on_pooled(void *context, struct hf_peer_socket *socket)
{
	((struct peer *)context)->pooled++;
}

static const struct hf_dht_server_events server_events = {.connection = on_connection, .holepunch = on_holepunch};

static void begin_peer(struct peer *p, uint8_t number, bool is_open)
{
	uint8_t seed[32] = {number, 3};

	*p = (struct peer){.at = add_node_with(&f, (struct hf_dht_node_options){.role = HF_DHT_EPHEMERAL, .is_open = is_open})};
	if (!is_open)
		sim_net_firewall(f.hosts[p->at]);
	run_for(&f, SECOND);
	hf_sign_keypair_from_seed(p->key, p->secret, seed);
	struct hf_dht_connector_options connector = {.size = sizeof connector, .node = f.nodes[p->at], .secret_stream_pool = secrets,
		.local_addresses = hf_udx_socket_address(hf_dht_node_server_socket(f.nodes[p->at])), .local_address_count = 1};
	assert_int_equal(hf_dht_connector_new(&p->connector, &connector, NULL), HF_OK);
	assert_int_equal(hf_dht_pool_new(&p->pool, p->connector, on_pooled, p), HF_OK);
	struct hf_dht_server_options server = {.size = sizeof server, .secret_key = p->secret, .no_local = true,
		.socket = {.events = &socket_events}, .events = &server_events, .context = p};
	assert_int_equal(hf_dht_server_listen(&p->server, p->connector, &server, NULL), HF_OK);
}

static void begin(bool is_open)
{
	begin_network(&f, 8);
	assert_int_equal(hf_secret_stream_pool_new(&secrets), HF_OK);
	begin_peer(&peers[0], 1, is_open);
	begin_peer(&peers[1], 2, is_open);
	run_for(&f, 2 * SECOND);
}

static void end(void)
{
	for (struct peer *p = peers; p < peers + 2; p++) {
		hf_dht_pool_free(p->pool);
		for (unsigned i = 0; i < SIDES_MAX; i++) {
			hf_peer_socket_free(p->dialled[i].socket);
			hf_peer_socket_free(p->accepted[i].socket);
		}
	}
	for (struct peer *p = peers; p < peers + 2; p++)
		hf_dht_connector_free(p->connector);
	end_network(&f);
	hf_secret_stream_pool_free(secrets);
}

static int dial(struct peer *from, const struct peer *to)
{
	struct side *side = &from->dialled[from->dialled_count++];
	struct hf_dht_dial_options options = {.size = sizeof options, .public_key = to->key, .secret_key = from->secret, .no_local = true,
		.socket = {.events = &socket_events, .context = side}, .events = &dial_events, .context = side};

	return hf_dht_pool_dial(from->pool, &options);
}

static struct hf_peer_socket *between(const struct peer *one, const struct peer *other)
{
	return hf_dht_pool_find(one->pool, other->key);
}

/* ---- One connection with each peer ---- */

static void test_a_peer_is_dialled_once(void **state)
{
	begin(true);
	assert_int_equal(dial(&peers[0], &peers[1]), HF_OK);
	assert_int_equal(hf_dht_pool_count(peers[0].pool), 1);
	assert_null(between(&peers[0], &peers[1])); /* not so far yet */
	assert_int_equal(dial(&peers[0], &peers[1]), HF_EEXISTS);
	run_for(&f, 5 * SECOND);
	assert_int_equal(peers[0].dialled[0].opened, 1);
	assert_ptr_equal(between(&peers[0], &peers[1]), peers[0].dialled[0].socket);
	assert_ptr_equal(between(&peers[1], &peers[0]), peers[1].accepted[0].socket);
	assert_int_equal(dial(&peers[0], &peers[1]), HF_EEXISTS);
	assert_int_equal(dial(&peers[1], &peers[0]), HF_EEXISTS); /* whoever has begun it */
	assert_true(peers[0].pooled == 1 && peers[1].pooled == 1);

	hf_peer_socket_close(peers[0].dialled[0].socket);
	run_for(&f, 5 * SECOND);
	assert_int_equal(hf_dht_pool_count(peers[0].pool) + hf_dht_pool_count(peers[1].pool), 0);
	assert_int_equal(dial(&peers[1], &peers[0]), HF_OK);
	run_for(&f, 5 * SECOND);
	assert_int_equal(peers[1].dialled[peers[1].dialled_count - 1].opened, 1);
	end();
}

static void test_of_two_that_dial_at_once_the_smaller_key_s_stays(void **state)
{
	begin(true);
	struct peer *smaller = memcmp(peers[0].key, peers[1].key, 32) < 0 ? &peers[0] : &peers[1];
	struct peer *greater = smaller == &peers[0] ? &peers[1] : &peers[0];
	assert_int_equal(dial(greater, smaller), HF_OK);
	assert_int_equal(dial(smaller, greater), HF_OK);
	run_for(&f, 20 * SECOND);
	assert_ptr_equal(between(smaller, greater), smaller->dialled[0].socket);
	assert_int_equal(smaller->dialled[0].opened, 1);
	assert_non_null(between(greater, smaller));
	assert_int_equal(greater->accepted_count, 1);
	assert_ptr_equal(between(greater, smaller), greater->accepted[0].socket);
	assert_int_equal(greater->dialled[0].failed + greater->dialled[0].closed, 1);
	assert_int_equal(greater->dialled[0].code, HF_EEXISTS);
	assert_true(hf_dht_pool_count(smaller->pool) == 1 && hf_dht_pool_count(greater->pool) == 1);
	end();
}

static void test_who_is_not_there_leaves_the_pool(void **state)
{
	struct peer nobody;
	uint8_t seed[32] = {7};

	hf_sign_keypair_from_seed(nobody.key, nobody.secret, seed);
	begin(true);
	assert_int_equal(dial(&peers[0], &nobody), HF_OK);
	run_for(&f, 30 * SECOND);
	assert_int_equal(peers[0].dialled[0].failed, 1);
	assert_int_equal(peers[0].dialled[0].error, HF_DHT_PEER_NOT_FOUND);
	assert_int_equal(hf_dht_pool_count(peers[0].pool), 0);
	assert_int_equal(dial(&peers[0], &nobody), HF_OK); /* and is freed under way */
	end();
}

/* ---- Streams of one's own ---- */

static unsigned received, ended;

static void on_data(void *context, struct hf_udx_stream *stream, uint8_t *data, size_t length)
{
	received += (unsigned)length;
}

static void on_stream_closed(void *context, struct hf_udx_stream *stream, int code)
{
	assert_int_equal(code, HF_OK);
	ended++;
}

static void test_streams_of_one_s_own_go_beside_a_connection(void **state)
{
	static const struct hf_udx_events events = {.data = on_data, .closed = on_stream_closed};
	static const uint8_t bytes[100000];
	struct hf_udx_stream *streams[2];

	received = ended = 0;
	begin(false);
	assert_int_equal(dial(&peers[0], &peers[1]), HF_OK);
	run_for(&f, 10 * SECOND);
	assert_non_null(between(&peers[0], &peers[1]));
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(hf_udx_stream_new(&streams[i], hf_udx_net_session(f.nets[peers[i].at]), 0, &events, NULL), HF_OK);
	for (unsigned i = 0; i < 2; i++) {
		struct hf_peer_socket *socket = between(&peers[i], &peers[1 - i]);
		assert_int_equal(hf_udx_stream_connect(streams[i], hf_udx_stream_path(hf_peer_socket_udx_stream(socket)),
			hf_udx_stream_id(streams[1 - i])), HF_OK);
		assert_int_equal(hf_udx_stream_write_copy(streams[i], hf_slice(bytes, sizeof bytes)), HF_OK);
		hf_udx_stream_end(streams[i]);
	}
	run_for(&f, 5 * SECOND);
	assert_int_equal(received, 2 * sizeof bytes);
	assert_int_equal(ended, 2);
	for (unsigned i = 0; i < 2; i++)
		hf_udx_stream_free(streams[i]);
	end();
}

/* ---- Punching ---- */

static void test_a_server_has_a_say_in_whether_a_hole_is_punched(void **state)
{
	for (unsigned refuses = 0; refuses < 2; refuses++) {
		begin(false);
		sim_net_part(f.net, f.hosts[peers[0].at], f.hosts[peers[1].at]); /* a single probe does not do it */
		peers[1].refuses_to_punch = refuses;
		assert_int_equal(dial(&peers[0], &peers[1]), HF_OK);
		run_for(&f, 60 * SECOND);
		assert_true(peers[1].asked >= 1);
		assert_int_equal(peers[0].dialled[0].failed, 1);
		assert_int_equal(peers[0].dialled[0].error, refuses ? HF_DHT_REMOTE_ABORTED : HF_DHT_HOLEPUNCH_ABORTED);
		end();
	}
}

/* ---- Addresses of our own ---- */

static void test_addresses_that_do_not_reach_us_are_kept_to_ourselves(void **state)
{
	struct hf_address own[2] = {{{0}}};
	struct hf_dht_connector *connector;
	struct hf_dht_addresses addresses;

	begin(true);
	unsigned at = add_node(&f, HF_DHT_EPHEMERAL);
	own[0] = address_of(&f, at);
	assert_int_equal(hf_address_parse("20.0.9.9:1", &own[1], NULL), HF_OK); /* nothing comes back from there */
	struct hf_dht_connector_options options = {.size = sizeof options, .node = f.nodes[at], .secret_stream_pool = secrets,
		.local_addresses = own, .local_address_count = 2};
	assert_int_equal(hf_dht_connector_new(&connector, &options, NULL), HF_OK);
	hf_dht_reached_addresses(connector, &addresses);
	assert_int_equal(addresses.count, 0); /* not known yet */
	run_for(&f, SECOND);
	hf_dht_local_addresses(connector, &addresses);
	assert_int_equal(addresses.count, 2);
	hf_dht_reached_addresses(connector, &addresses);
	assert_int_equal(addresses.count, 1);
	assert_true(hf_address_equal(&addresses.list[0], &own[0]));
	hf_dht_connector_free(connector);
	end();
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_peer_is_dialled_once),
		cmocka_unit_test(test_of_two_that_dial_at_once_the_smaller_key_s_stays),
		cmocka_unit_test(test_who_is_not_there_leaves_the_pool),
		cmocka_unit_test(test_streams_of_one_s_own_go_beside_a_connection),
		cmocka_unit_test(test_addresses_that_do_not_reach_us_are_kept_to_ourselves),
		cmocka_unit_test(test_a_server_has_a_say_in_whether_a_hole_is_punched),
	};

	if (hf_crypto_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
