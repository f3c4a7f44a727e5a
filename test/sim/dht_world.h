/* dht_world: a DHT on a simulated network: honest nodes, liars, peers that announce themselves, and those who look for them.
 *
 * Liars look like nodes: they have ids, give tokens and say yes to every announce. But they keep nothing, name nodes that are not there, or
 * each other, and invent peers.
 */
#ifndef TEST_SIM_DHT_WORLD_H
#define TEST_SIM_DHT_WORLD_H

#include "peer/dht_node_lookup.h"
#include "support/sim_net.h"

struct dht_world_options {
	uint64_t seed;
	unsigned node_count, topic_count;
	unsigned liar_permille, loss_permille;
	unsigned liar_waits_ms;              /* at most, before it shows itself; honest nodes take 8 s to find out who they are */
	unsigned replaced_permille_per_hour; /* of all nodes, honest or not */
	unsigned peer_life_s;                /* then another peer takes the topic */
	unsigned announce_every_s;
	unsigned lookup_every_ms;
	uint64_t minutes;                    /* of lookups, after the network has come together */
};
struct dht_world_result {
	uint64_t lookups, found;
	uint64_t hops_sum, asked_sum, latency_ms_sum;
	unsigned hops_max, asked_max;
	uint64_t nodes_replaced, announces, announces_failed;
	uint64_t packets, trace;
	size_t record_bytes_max; /* of one node */
};

void dht_world_run(const struct dht_world_options *options, struct dht_world_result *result);

#endif
