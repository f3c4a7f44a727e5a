/* swarm_config: what the configuration says of the network of peers. */
#ifndef HF_SERVICE_SWARM_CONFIG_H
#define HF_SERVICE_SWARM_CONFIG_H

#include "base/address.h"

#define HF_SWARM_BOOTSTRAP_COUNT_MAX 32u

/* The nodes that a node begins with. None at all: it contacts nobody. */
struct hf_swarm_bootstrap {
	struct hf_address nodes[HF_SWARM_BOOTSTRAP_COUNT_MAX];
	size_t count;
};

/* Adds what a text names: entries with commas between, each HOST:PORT, IP@HOST:PORT (the IP is taken), or the word "public", which is the
 * three nodes of the public network. Names are looked up, and that waits; nothing else is contacted. HF_EINVAL, HF_EADDR (a name is not
 * known), HF_ETOOBIG, each with a sentence. */
int hf_swarm_bootstrap_add(struct hf_swarm_bootstrap *bootstrap, const char *text, struct hf_failure *failure);

#endif
