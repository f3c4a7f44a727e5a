/* swarm_config: what the configuration says of the network of peers. */
#ifndef HF_SERVICE_SWARM_CONFIG_H
#define HF_SERVICE_SWARM_CONFIG_H

#include "base/address.h"

#define HF_SWARM_BOOTSTRAP_COUNT_MAX 32u
#define HF_SWARM_HOST_BYTES_MAX 253u

struct hf_swarm_bootstrap_node {
	struct hf_address address;               /* ip all zero: only its name is known */
	char name[HF_SWARM_HOST_BYTES_MAX + 1]; /* where it is to be found when it is not at the address; "": it has none */
};
/* The nodes that a node begins with. None at all: it contacts nobody. */
struct hf_swarm_bootstrap {
	struct hf_swarm_bootstrap_node nodes[HF_SWARM_BOOTSTRAP_COUNT_MAX];
	size_t count;
};

/* Adds what a text names: entries with commas between, each HOST:PORT, where HOST is an IPv4 address or a name, IP@NAME:PORT (the name
 * counts where nobody answers at the IP), or the word "public", which is the three nodes of the public network. Nothing is looked up or
 * contacted here: service/swarm_resolver.h. HF_EINVAL, HF_ETOOBIG, each with a sentence. */
int hf_swarm_bootstrap_add(struct hf_swarm_bootstrap *bootstrap, const char *text, struct hf_failure *failure);
/* The addresses that are known; returns how many of HF_SWARM_BOOTSTRAP_COUNT_MAX. */
size_t hf_swarm_bootstrap_addresses(
	const struct hf_swarm_bootstrap *bootstrap, struct hf_address out[static HF_SWARM_BOOTSTRAP_COUNT_MAX]);

#endif
