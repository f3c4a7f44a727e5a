/* A process's place in the swarm, on a simulated network: what it tells of itself as metrics, and how it comes back after what may
 * befall a machine. */
#include "../peer/dht_fixture.h"

#include <string.h>

#include "service/swarm_metrics.h"
#include "service/swarm_node.h"

#define NETWORK 5 /* nodes of the DHT that are always there */
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)

static const uint8_t topic[32] = {7, 7, 7};

struct peer {
	struct hf_udp_host *host;
	struct hf_metrics *metrics;
	struct hf_secret_stream_pool *pool;
	struct hf_swarm_node *node;
	struct hf_peer_socket *socket;
	unsigned opened, closed;
};

struct world {
	struct dht_fixture f;
	struct peer peers[2];
};

static void on_opened(void *context, struct hf_peer_socket *socket)
{
	struct peer *p = context;

	p->opened++;
	p->socket = socket;
}

static void on_closed(void *context, struct hf_peer_socket *socket, int code, const char *why)
{
	struct peer *p = context;

	p->closed += p->socket == socket;
	p->socket = p->socket == socket ? NULL : p->socket;
}

/* What peer 0's machine has for addresses. */
static struct hf_address interface_now;

static size_t list_interfaces(struct hf_address *out, size_t count_max)
{
	assert_true(count_max > 0);
	out[0] = interface_now;
	return 1;
}

static size_t list_none(struct hf_address *out, size_t count_max)
{
	return 0;
}

static void begin_peer(struct world *w, unsigned at)
{
	static const struct hf_peer_socket_events events = {.opened = on_opened, .closed = on_closed};
	struct peer *p = &w->peers[at];
	struct hf_swarm_bootstrap bootstrap = {.nodes = {{.address = w->f.bootstrap}}, .count = 1};
	uint8_t seed[32] = {(uint8_t)at, 1}, key[HF_SIGN_PUBLIC_BYTES], secret[HF_SIGN_SECRET_BYTES];
	char ip[32];

	snprintf(ip, sizeof ip, "20.0.1.%u", at + 1);
	p->host = sim_net_host(w->f.net, ip);
	sim_net_set_link(p->host, &(struct sim_link){.delay_us = 5000});
	p->metrics = hf_metrics_new();
	assert_non_null(p->metrics);
	assert_int_equal(hf_secret_stream_pool_new(&p->pool), HF_OK);
	hf_sign_keypair_from_seed(key, secret, seed);
	struct hf_peer_socket_options socket = {.size = sizeof socket, .secret_stream_pool = p->pool, .events = &events, .context = p};
	struct hf_swarm_node_options options = {.size = sizeof options, .host = p->host, .static_secret = secret, .bootstrap = &bootstrap,
		.socket = &socket, .interfaces = at == 0 ? list_interfaces : list_none, .metrics = p->metrics};
	assert_int_equal(hf_swarm_node_new(&p->node, &options, NULL), HF_OK);
}

static void begin(struct world *w)
{
	*w = (struct world){0};
	assert_int_equal(hf_address_parse("20.0.1.1:0", &interface_now, NULL), HF_OK);
	begin_network(&w->f, NETWORK);
	begin_peer(w, 0);
	begin_peer(w, 1);
	run_for(&w->f, 5 * SECOND);
}

static void join(struct peer *p, unsigned roles)
{
	struct hf_swarm_session *session;

	assert_int_equal(hf_swarm_join(hf_swarm_node_swarm(p->node), topic, roles, 0, &session), HF_OK);
}

static void end(struct world *w)
{
	for (unsigned i = 0; i < 2; i++) {
		hf_peer_socket_free(w->peers[i].socket);
		hf_swarm_node_free(w->peers[i].node);
		hf_metrics_free(w->peers[i].metrics);
		hf_secret_stream_pool_free(w->peers[i].pool);
	}
	end_network(&w->f);
}

/* The number that a metric has; `name` with its labels, as it is printed. */
static long long metric(struct peer *p, const char *name)
{
	struct hf_buffer text = {0};
	char line[160];
	long long value = -1;

	assert_int_equal(hf_metrics_print(p->metrics, &text), HF_OK);
	assert_int_equal(hf_buffer_append(&text, "", 1), HF_OK);
	snprintf(line, sizeof line, "\n%s ", name);
	const char *at = strstr((const char *)text.data, line);
	if (at)
		value = strtoll(at + strlen(line), NULL, 10);
	hf_buffer_free(&text);
	return value;
}

/* ---- Metrics ---- */

static void test_metrics_tell_of_the_dht_of_streams_and_of_the_swarm(void **state)
{
	struct world w;
	struct peer *a = &w.peers[0], *b = &w.peers[1];

	begin(&w);
	assert_int_equal(metric(a, "holdfast_swarm_topics"), 0);
	join(a, HF_SWARM_SERVER);
	run_for(&w.f, 10 * SECOND);
	join(b, HF_SWARM_CLIENT);
	run_for(&w.f, 30 * SECOND);
	assert_int_equal(a->opened, 1);
	assert_int_equal(b->opened, 1);

	assert_true(metric(a, "holdfast_dht_nodes") >= 3);
	assert_true(metric(a, "holdfast_dht_requests_total{command=\"find_node\",outcome=\"answered\"}") > 0);
	assert_true(metric(a, "holdfast_dht_requests_total{command=\"announce\",outcome=\"answered\"}") > 0);
	assert_int_equal(metric(b, "holdfast_dht_requests_total{command=\"announce\",outcome=\"answered\"}"), 0);
	assert_int_equal(metric(a, "holdfast_dht_requests_total{command=\"find_node\",outcome=\"timeout\"}"), 0);
	assert_true(metric(a, "holdfast_dht_served_total{command=\"peer_handshake\"}") > 0);
	assert_int_equal(metric(a, "holdfast_dht_dropped_total{reason=\"malformed\"}"), 0);
	assert_int_equal(metric(a, "holdfast_dht_online"), 1);

	assert_true(metric(a, "holdfast_udx_bytes_total{direction=\"sent\"}") > 0);
	assert_true(metric(a, "holdfast_udx_packets_total{direction=\"received\"}") > 0);
	assert_int_equal(metric(a, "holdfast_udx_streams"), 1);

	assert_int_equal(metric(a, "holdfast_swarm_connections{direction=\"accepted\"}"), 1);
	assert_int_equal(metric(a, "holdfast_swarm_connections{direction=\"dialled\"}"), 0);
	assert_int_equal(metric(b, "holdfast_swarm_connections{direction=\"dialled\"}"), 1);
	assert_int_equal(metric(b, "holdfast_swarm_attempts_total"), 1);
	assert_int_equal(metric(b, "holdfast_peer_dials_total"), 1);
	assert_int_equal(metric(b, "holdfast_peer_attempts_total{outcome=\"failed\"}"), 0);
	assert_int_equal(metric(b, "holdfast_peer_attempts_total{outcome=\"direct\"}") + metric(b,
		"holdfast_peer_attempts_total{outcome=\"punched\"}"), 1);
	assert_int_equal(metric(b, "holdfast_swarm_topics"), 1);
	assert_int_equal(metric(b, "holdfast_swarm_peers"), 1);
	assert_int_equal(metric(b, "holdfast_blind_relay_sessions"), -1); /* it is none */
	end(&w);
}

static void test_what_is_dropped_is_counted_by_its_reason(void **state)
{
	struct world w;
	struct peer *a = &w.peers[0];
	struct hf_udx_socket *stranger;
	struct hf_address any = {{0}};
	uint8_t junk[40] = {0x77}, reply[60] = {0x13};

	begin(&w);
	struct hf_address to = *hf_udx_socket_address(hf_dht_node_server_socket(hf_swarm_node_dht(a->node)));
	assert_int_equal(hf_address_parse("20.0.0.1:0", &any, NULL), HF_OK);
	assert_int_equal(hf_udx_socket_open(&stranger, w.f.nets[0], &any, NULL, NULL, NULL), HF_OK);
	for (unsigned i = 0; i < 3; i++)
		hf_udx_socket_send_one(stranger, &to, hf_slice(junk, sizeof junk), 0);
	hf_udx_socket_send_one(stranger, &to, hf_slice(reply, sizeof reply), 0);
	run_for(&w.f, SECOND);
	assert_int_equal(metric(a, "holdfast_dht_dropped_total{reason=\"malformed\"}"), 3);
	assert_int_equal(metric(a, "holdfast_dht_dropped_total{reason=\"stale_reply\"}"), 1);
	hf_udx_socket_close(stranger);
	end(&w);
}

static void test_metrics_leave_the_registry_with_the_node(void **state)
{
	struct hf_metrics *metrics = hf_metrics_new();
	struct hf_swarm_metrics *of_node;
	struct dht_fixture f;
	struct hf_buffer text = {0};

	begin_network(&f, 1);
	struct hf_swarm_metrics_sources sources = {.dht = f.nodes[0]};
	assert_int_equal(hf_swarm_metrics_new(&of_node, metrics, &sources), HF_OK);
	hf_swarm_metrics_free(of_node);
	end_network(&f);
	assert_int_equal(hf_metrics_print(metrics, &text), HF_OK);
	assert_int_equal(text.length, 0);
	hf_metrics_free(metrics);
}

/* ---- What may befall a machine ---- */

static bool are_connected(struct world *w)
{
	return w->peers[0].socket && w->peers[1].socket;
}

static void meet(struct world *w)
{
	begin(w);
	join(&w->peers[0], HF_SWARM_SERVER);
	run_for(&w->f, 10 * SECOND);
	join(&w->peers[1], HF_SWARM_CLIENT);
	run_for(&w->f, 10 * SECOND);
	assert_true(are_connected(w));
}

/* Seconds until both are connected, with a connection of their own to each other; fails after `most`. */
static unsigned expect_connected_within(struct world *w, unsigned most)
{
	unsigned seconds = 0, opened = w->peers[0].opened;

	for (; seconds < most && !(are_connected(w) && w->peers[0].opened > opened); seconds++)
		run_for(&w->f, SECOND);
	if (seconds == most)
		print_message("not connected: opened %u and %u, closed %u and %u\n", w->peers[0].opened, w->peers[1].opened,
			w->peers[0].closed, w->peers[1].closed);
	assert_true(seconds < most);
	run_for(&w->f, 30 * SECOND);
	assert_true(are_connected(w));
	assert_int_equal(w->peers[0].opened - w->peers[0].closed, 1);
	assert_int_equal(w->peers[1].opened - w->peers[1].closed, 1);
	return seconds;
}

static void cut(struct world *w, bool is_cut)
{
	for (unsigned i = 0; i < 2; i++)
		sim_net_set_link(w->peers[i].host, &(struct sim_link){.delay_us = 5000, .is_cut = is_cut});
}

static void test_other_addresses_of_the_machine_are_told_to_the_network(void **state)
{
	static const char announces[] = "holdfast_dht_requests_total{command=\"announce\",outcome=\"answered\"}";
	struct world w;
	struct peer *a = &w.peers[0];

	meet(&w);
	long long before = metric(a, announces);
	run_for(&w.f, 20 * SECOND);
	assert_int_equal(metric(a, announces), before);
	assert_int_equal(hf_address_parse("20.0.1.77:0", &interface_now, NULL), HF_OK);
	run_for(&w.f, 20 * SECOND);
	assert_true(metric(a, announces) >= before + 6); /* the server's and the topic's */
	assert_true(are_connected(&w)); /* it works still, so it stays */
	assert_int_equal(a->opened, 1);
	end(&w);
}

static void test_a_machine_that_moves_is_found_where_it_is(void **state)
{
	struct world w;

	for (unsigned mover = 0; mover < 2; mover++) {
		meet(&w);
		sim_net_move(w.peers[mover].host, "20.0.1.77");
		if (mover == 0)
			assert_int_equal(hf_address_parse("20.0.1.77:0", &interface_now, NULL), HF_OK);
		print_message("another address, side %u: connected again in %u s\n", mover, expect_connected_within(&w, 90));
		end(&w);
	}
}

static void test_a_machine_that_only_others_see_move_is_found_where_it_is(void **state)
{
	struct world w;

	meet(&w);
	sim_net_move(w.peers[0].host, "20.0.1.77"); /* the router's address is another, the machine's is not */
	print_message("another address of the router: connected again in %u s\n", expect_connected_within(&w, 180));
	end(&w);
}

static void test_a_link_that_was_down_for_a_minute_or_an_hour_comes_back(void **state)
{
	struct world w;

	for (unsigned minutes = 1; minutes <= 60; minutes *= 60) {
		meet(&w);
		cut(&w, true);
		run_for(&w.f, minutes * MINUTE);
		assert_false(are_connected(&w));
		assert_int_equal(metric(&w.peers[0], "holdfast_dht_online"), 0);
		cut(&w, false);
		print_message("down for %u min: connected again in %u s\n", minutes, expect_connected_within(&w, 60));
		assert_int_equal(metric(&w.peers[0], "holdfast_dht_online"), 1);
		end(&w);
	}
}

static int64_t jumped_ms;

static uint64_t jumping_wall_ms(struct hf_env *env)
{
	return UINT64_C(1700000000000) + env->monotonic_us(env) / 1000 + (uint64_t)jumped_ms;
}

static void test_a_wall_clock_that_is_set_an_hour_either_way_breaks_nothing(void **state)
{
	struct world w;

	meet(&w);
	for (unsigned i = 0; i < 2; i++)
		w.peers[i].host->env->wall_ms = jumping_wall_ms;
	for (int64_t to_ms = -3600 * 1000; to_ms <= 3600 * 1000; to_ms += 3600 * 1000) {
		jumped_ms = to_ms;
		run_for(&w.f, 2 * MINUTE);
		assert_true(are_connected(&w));
	}
	assert_int_equal(w.peers[0].opened, 1);
	jumped_ms = 0;
	end(&w);
}

static void test_an_hour_that_passes_at_once_ends_in_a_connection(void **state)
{
	struct world w;

	for (unsigned hours = 1; hours <= 2; hours++) {
		meet(&w);
		sim_net_jump(w.f.net, hours * HOUR);
		w.f.now_us += hours * HOUR;
		run_for(&w.f, 2 * MINUTE);
		assert_true(are_connected(&w));
		assert_true(metric(&w.peers[0], "holdfast_dht_nodes") > 0);
		end(&w);
	}
}

/* As the others see it, and as it sees itself when it wakes. */
static void test_a_machine_that_sleeps_for_an_hour_comes_back(void **state)
{
	struct world w;

	meet(&w);
	cut(&w, true);
	run_for(&w.f, 20 * SECOND);
	for (unsigned i = 0; i < 2; i++)
		w.peers[i].host->env->wall_ms = jumping_wall_ms; /* its other clock stands still while it sleeps */
	jumped_ms = 3600 * 1000;
	cut(&w, false);
	print_message("slept: connected again in %u s\n", expect_connected_within(&w, 60));
	jumped_ms = 0;
	end(&w);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_metrics_tell_of_the_dht_of_streams_and_of_the_swarm),
		cmocka_unit_test(test_what_is_dropped_is_counted_by_its_reason),
		cmocka_unit_test(test_metrics_leave_the_registry_with_the_node),
		cmocka_unit_test(test_other_addresses_of_the_machine_are_told_to_the_network),
		cmocka_unit_test(test_a_machine_that_moves_is_found_where_it_is),
		cmocka_unit_test(test_a_machine_that_only_others_see_move_is_found_where_it_is),
		cmocka_unit_test(test_a_link_that_was_down_for_a_minute_or_an_hour_comes_back),
		cmocka_unit_test(test_a_wall_clock_that_is_set_an_hour_either_way_breaks_nothing),
		cmocka_unit_test(test_an_hour_that_passes_at_once_ends_in_a_connection),
		cmocka_unit_test(test_a_machine_that_sleeps_for_an_hour_comes_back),
	};

	if (hf_crypto_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
