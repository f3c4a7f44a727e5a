/* A DHT in which half of all nodes are replaced in an hour, a fifth lie and a twentieth of all packets is lost.
 * Usage: sim_dht [NODES [SEED]]; 1,000 nodes times the environment's SCALE when left out. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "crypto/hash.h"
#include "dht_world.h"

#define FOUND_PERMILLE_MIN 990
#define LOOKUP_COUNT_MIN 500

static struct dht_world_result run(const char *name, const struct dht_world_options *options)
{
	struct dht_world_result r;

	dht_world_run(options, &r);
	double lookups = r.lookups ? (double)r.lookups : 1;
	printf("%s: %u nodes, %llu replaced, %u permille lie, %u permille lost: %llu of %llu lookups found their peer (%.2f %%); "
		"%.2f hops (at most %u), %.1f nodes asked (at most %u), %.0f ms; %llu announces, %llu failed; %llu packets; "
		"records of a node at most %zu bytes; trace %016llx\n",
		name, options->node_count, (unsigned long long)r.nodes_replaced, options->liar_permille, options->loss_permille,
		(unsigned long long)r.found, (unsigned long long)r.lookups, 100 * (double)r.found / lookups, (double)r.hops_sum / lookups, r.hops_max,
		(double)r.asked_sum / lookups, r.asked_max, (double)r.latency_ms_sum / lookups, (unsigned long long)r.announces,
		(unsigned long long)r.announces_failed, (unsigned long long)r.packets, r.record_bytes_max, (unsigned long long)r.trace);
	fflush(stdout);
	return r;
}

static bool finds_enough(struct dht_world_result r)
{
	return r.lookups >= LOOKUP_COUNT_MIN && r.found * 1000 >= r.lookups * FOUND_PERMILLE_MIN;
}

int main(int argc, char **argv)
{
	const char *scale = getenv("SCALE");
	unsigned nodes = argc > 1 ? (unsigned)atoi(argv[1]) : 1000 * (scale && atoi(scale) > 0 ? (unsigned)atoi(scale) : 1);
	struct dht_world_options options = {.seed = argc > 2 ? (uint64_t)atoll(argv[2]) : 1, .node_count = nodes, .topic_count = 100,
		.liar_permille = 200, .liar_waits_ms = 8000, .loss_permille = 50, .replaced_permille_per_hour = 500, .peer_life_s = 3000,
		.announce_every_s = 600, .lookup_every_ms = 1500, .minutes = 60};
	struct dht_world_options small = options, fast = options;
	struct dht_world_result first, again;

	if (hf_crypto_init() < 0)
		return 1;
	small.node_count = 100;
	small.topic_count = 10;
	small.minutes = 10;
	first = run("small", &small);
	again = run("small again", &small);
	small.seed++;
	if (first.trace != again.trace || run("small, another seed", &small).trace == first.trace) {
		printf("the trace does not follow from the seed\n");
		return 1;
	}
	fast.liar_waits_ms = 0;
	fast.node_count = nodes / 2;
	return !finds_enough(run("whole", &options)) || !finds_enough(run("liars that are known first", &fast));
}
