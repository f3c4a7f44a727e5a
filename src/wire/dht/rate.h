/* rate: how many requests each host has made in this second, counted in little memory: hosts share counters by two hashes, and the lower
 * of a host's two counts holds. So one that asks too much rarely takes others with it.
 */
#ifndef HF_WIRE_DHT_RATE_H
#define HF_WIRE_DHT_RATE_H

#include "base/address.h"

#define HF_DHT_RATE_COUNTERS 512u

struct hf_dht_rate {
	uint64_t seed, second;
	uint16_t counts[2][HF_DHT_RATE_COUNTERS];
};

/* Counts one request; false: the host has made more than count_max in this second. */
bool hf_dht_rate_take(struct hf_dht_rate *rate, const struct hf_address *host, uint64_t now_ms, uint32_t count_max);

#endif
