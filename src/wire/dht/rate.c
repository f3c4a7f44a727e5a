#include "wire/dht/rate.h"

#include "base/map.h"

static void add(uint32_t *count, uint32_t amount)
{
	*count = *count > UINT32_MAX - amount ? UINT32_MAX : *count + amount;
}

bool hf_dht_rate_take(struct hf_dht_rate *rate, const struct hf_address *host, uint64_t now_ms, uint32_t amount, uint32_t amount_max)
{
	uint64_t hash = hf_hash64(host->ip, sizeof host->ip, rate->seed);
	uint32_t *a = &rate->counts[0][hash % HF_DHT_RATE_COUNTERS];
	uint32_t *b = &rate->counts[1][(hash >> 32) % HF_DHT_RATE_COUNTERS];

	if (rate->second != now_ms / 1000) {
		rate->second = now_ms / 1000;
		memset(rate->counts, 0, sizeof rate->counts);
	}
	add(a, amount);
	add(b, amount);
	return (*a < *b ? *a : *b) <= amount_max;
}

bool hf_dht_rate_take_network(
	struct hf_dht_rate *rate, const struct hf_address *host, uint64_t now_ms, uint32_t amount, uint32_t amount_max)
{
	struct hf_address network = *host;

	network.ip[15] = 0;
	return hf_dht_rate_take(rate, &network, now_ms, amount, amount_max);
}
