/* dht_fixture: nodes of the DHT on a simulated network, one a machine: 20.0.0.1 is the bootstrap node, 20.0.0.2 and so on are behind it. */
#ifndef TEST_UNIT_PEER_DHT_FIXTURE_H
#define TEST_UNIT_PEER_DHT_FIXTURE_H

#include "support/sim_net.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/list.h"
#include "crypto/hash.h"
#include "peer/dht_node_lookup.h"
#include "peer/dht_node_value.h"

#define NODES_MAX 48
#define SECOND UINT64_C(1000000)

struct dht_fixture {
	struct sim_net *net;
	struct hf_udp_host *hosts[NODES_MAX];
	struct hf_udx_net *nets[NODES_MAX];
	struct hf_dht_node *nodes[NODES_MAX];
	struct hf_address bootstrap;
	unsigned count, bootstrapped, changed, woke, probes;
	uint64_t now_us;
};

static inline void fixture_bootstrapped(void *context, struct hf_dht_node *node)
{
	(void)node;
	((struct dht_fixture *)context)->bootstrapped++;
}
static inline void fixture_changed(void *context, struct hf_dht_node *node)
{
	(void)node;
	((struct dht_fixture *)context)->changed++;
}
static inline void fixture_woke(void *context, struct hf_dht_node *node)
{
	(void)node;
	((struct dht_fixture *)context)->woke++;
}
static inline void fixture_probe(void *context, struct hf_dht_node *node, struct hf_udx_socket *socket, const struct hf_address *from)
{
	(void)node;
	(void)socket;
	(void)from;
	((struct dht_fixture *)context)->probes++;
}

static inline void run_for(struct dht_fixture *f, uint64_t us)
{
	f->now_us += us;
	sim_net_run(f->net, f->now_us, NULL);
}

static inline struct hf_address address_of(struct dht_fixture *f, unsigned at)
{
	return *hf_udx_socket_address(hf_dht_node_server_socket(f->nodes[at]));
}

/* options: role, is_open and what else is not the default. */
static inline unsigned add_node_with(struct dht_fixture *f, struct hf_dht_node_options options)
{
	static const struct hf_dht_node_events events = {
		.bootstrapped = fixture_bootstrapped, .changed = fixture_changed, .woke = fixture_woke, .probe = fixture_probe};
	unsigned at = f->count++;
	char ip[32];

	snprintf(ip, sizeof ip, "20.0.0.%u", at + 1);
	f->hosts[at] = sim_net_host(f->net, ip);
	sim_net_set_link(f->hosts[at], &(struct sim_link){.delay_us = 5000});
	assert_int_equal(hf_udx_net_new(&f->nets[at], f->hosts[at], NULL), HF_OK);
	options.size = sizeof options;
	options.net = f->nets[at];
	options.events = &events;
	options.context = f;
	if (f->bootstrap.port && !options.bootstrap) {
		options.bootstrap = &f->bootstrap;
		options.bootstrap_count = 1;
	}
	assert_int_equal(hf_dht_node_new(&f->nodes[at], &options, NULL), HF_OK);
	return at;
}

static inline unsigned add_node(struct dht_fixture *f, enum hf_dht_role role)
{
	return add_node_with(f, (struct hf_dht_node_options){.role = role, .is_open = role == HF_DHT_PERSISTENT});
}

static inline void close_node(struct dht_fixture *f, unsigned at)
{
	hf_dht_node_free(f->nodes[at]);
	f->nodes[at] = NULL;
	hf_udx_net_free(f->nets[at]);
	f->nets[at] = NULL;
}

/* A network of `count` persistent nodes that know each other. */
static inline void begin_network(struct dht_fixture *f, unsigned count)
{
	struct hf_dht_node_options first = {.role = HF_DHT_BOOTSTRAPPER};

	*f = (struct dht_fixture){.net = sim_net_new(7)};
	assert_int_equal(hf_address_parse("20.0.0.1:0", &first.address, NULL), HF_OK);
	add_node_with(f, first);
	f->bootstrap = address_of(f, 0);
	run_for(f, SECOND);
	while (f->count < count) {
		add_node(f, HF_DHT_PERSISTENT);
		run_for(f, SECOND / 4);
	}
	run_for(f, 2 * SECOND);
	assert_int_equal(f->bootstrapped, count);
}

static inline void end_network(struct dht_fixture *f)
{
	for (unsigned i = 0; i < f->count; i++)
		close_node(f, i);
	sim_net_free(f->net);
}

static inline struct hf_dht_node_state state_of(struct dht_fixture *f, unsigned at)
{
	struct hf_dht_node_state state;

	hf_dht_node_read_state(f->nodes[at], &state);
	return state;
}

static inline struct hf_dht_node_stats stats_of(struct dht_fixture *f, unsigned at)
{
	struct hf_dht_node_stats stats;

	hf_dht_node_read_stats(f->nodes[at], &stats);
	return stats;
}

#endif
