/* rate: how much each host, or each network of 256 hosts, has had in this second, counted in little memory: they share counters by two
 * hashes, and the lower of the two counts holds. So one that takes too much rarely takes others with it.
 */
#ifndef HF_WIRE_DHT_RATE_H
#define HF_WIRE_DHT_RATE_H

#include "base/address.h"

#define HF_DHT_RATE_COUNTERS 256u

struct hf_dht_rate {
	uint64_t seed, second;
	uint32_t counts[2][HF_DHT_RATE_COUNTERS];
};

/* Takes so much for the host; false: that makes more than amount_max in this second. */
bool hf_dht_rate_take(struct hf_dht_rate *rate, const struct hf_address *host, uint64_t now_ms, uint32_t amount, uint32_t amount_max);
/* The same for its IPv4 network, a /24. */
bool hf_dht_rate_take_network(
	struct hf_dht_rate *rate, const struct hf_address *host, uint64_t now_ms, uint32_t amount, uint32_t amount_max);

#endif
