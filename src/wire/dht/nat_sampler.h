/* nat_sampler: our own address, guessed from what other nodes say that they see. (spec: swarm, 2.9; npm nat-sampler)
 *
 * The last 16 samples count. A host and port that (nearly) all name are ours; when they agree on the host alone, the NAT gives each
 * destination another port.
 */
#ifndef HF_WIRE_DHT_NAT_SAMPLER_H
#define HF_WIRE_DHT_NAT_SAMPLER_H

#include "base/address.h"

#define HF_NAT_SAMPLE_COUNT 16u

struct hf_nat_sampled {
	struct hf_address address; /* port 0: any */
	uint8_t hits, references;
};
struct hf_nat_sampler {
	struct hf_address address; /* as guessed; port 0: not known, or another for each destination */
	bool has_host;
	/* Ours: a ring of pairs (host with port, host alone), and what they refer to. */
	struct hf_nat_sampled sampled[2 * HF_NAT_SAMPLE_COUNT + 4];
	uint8_t ring[2 * HF_NAT_SAMPLE_COUNT];
	uint8_t count, top, threshold;
	uint8_t best[2]; /* with port, alone */
};

void hf_nat_sampler_init(struct hf_nat_sampler *sampler);
/* Returns how often the last samples named it. */
unsigned hf_nat_sampler_add(struct hf_nat_sampler *sampler, const struct hf_address *address);

#endif
