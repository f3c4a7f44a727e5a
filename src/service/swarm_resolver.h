/* swarm_resolver: has a node of the DHT begin with bootstrap nodes that are given by name, without waiting for the name service.
 *
 * Names are looked up when it starts, and those of nodes that do not answer at the address suggested for them; what cannot be found is
 * tried again, later each time. The node's own queries wait for the first round, if it knows nobody without (hf_dht_node_options,
 * bootstrap_is_pending: hf_swarm_resolver_is_needed_first). */
#ifndef HF_SERVICE_SWARM_RESOLVER_H
#define HF_SERVICE_SWARM_RESOLVER_H

#include "net/loop.h"
#include "peer/dht_node.h"
#include "service/swarm_config.h"

#define HF_SWARM_RESOLVE_RETRY_MS_MIN 5000u
#define HF_SWARM_RESOLVE_RETRY_MS_MAX 300000u

struct hf_swarm_resolver;

struct hf_swarm_resolver_events {
	/* A node was found that was not known: the network may be there now. May be NULL. */
	void (*found)(void *context);
	/* No node is known after a round: a sentence for people. May be NULL. */
	void (*failed)(void *context, const char *sentence);
};

/* Whether no node is known before names have been looked up. */
bool hf_swarm_resolver_is_needed_first(const struct hf_swarm_bootstrap *bootstrap);
/* *out is NULL, and that is fine, where there are no names. bootstrap is copied. HF_ENOMEM. */
int hf_swarm_resolver_new(struct hf_swarm_resolver **out, struct hf_loop *loop, struct hf_dht_node *dht,
	const struct hf_swarm_bootstrap *bootstrap, const struct hf_swarm_resolver_events *events, void *context);
void hf_swarm_resolver_free(struct hf_swarm_resolver *resolver); /* before the node; NULL is fine */

#endif
