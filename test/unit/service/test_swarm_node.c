/* A process's place in the swarm, on a simulated network: what it tells of itself as metrics. */
#include "../peer/dht_fixture.h"

#include <string.h>

#include "service/swarm_metrics.h"
#include "service/swarm_node.h"

#define NETWORK 5 /* nodes of the DHT that are always there */

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

static void begin_peer(struct world *w, unsigned at)
{
	static const struct hf_peer_socket_events events = {.opened = on_opened, .closed = on_closed};
	struct peer *p = &w->peers[at];
	struct hf_swarm_bootstrap bootstrap = {.nodes = {w->f.bootstrap}, .count = 1};
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
		.socket = &socket, .metrics = p->metrics};
	assert_int_equal(hf_swarm_node_new(&p->node, &options, NULL), HF_OK);
}

static void begin(struct world *w)
{
	*w = (struct world){0};
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

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_metrics_tell_of_the_dht_of_streams_and_of_the_swarm),
		cmocka_unit_test(test_what_is_dropped_is_counted_by_its_reason),
		cmocka_unit_test(test_metrics_leave_the_registry_with_the_node),
	};

	if (hf_crypto_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
