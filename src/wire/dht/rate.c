#include "wire/dht/rate.h"

#include "base/map.h"

bool hf_dht_rate_take(struct hf_dht_rate *rate, const struct hf_address *host, uint64_t now_ms, uint32_t count_max)
{
	uint64_t hash = hf_hash64(host->ip, sizeof host->ip, rate->seed);
	uint16_t *a = &rate->counts[0][hash % HF_DHT_RATE_COUNTERS];
	uint16_t *b = &rate->counts[1][(hash >> 32) % HF_DHT_RATE_COUNTERS];

	if (rate->second != now_ms / 1000) {
		rate->second = now_ms / 1000;
		memset(rate->counts, 0, sizeof rate->counts);
	}
	*a += *a < UINT16_MAX;
	*b += *b < UINT16_MAX;
	return (*a < *b ? *a : *b) <= count_max;
}
