/* cache: bytes under 32-byte keys, kept for a while and up to a number, in two generations: what is put goes into the new one; every two
 * thirds of its life, and whenever it is full, the old one is dropped and the new one becomes the old. What is read moves to the
 * new one. So an entry that nobody uses lives for 2/3 to 4/3 of the life. (npm xache)
 */
#ifndef HF_WIRE_DHT_CACHE_H
#define HF_WIRE_DHT_CACHE_H

#include "base/map.h"
#include "wire/dht/message.h"

struct hf_dht_cache {
	struct hf_map young, old;
	uint64_t life_ms, turned_ms;
	size_t count_max;     /* of both generations */
	size_t entry_bytes;   /* memory of all entries */
	uint64_t evicted;     /* dropped before their time: it was full */
};

void hf_dht_cache_init(struct hf_dht_cache *cache, size_t count_max, uint64_t life_ms, uint64_t seed, uint64_t now_ms);
void hf_dht_cache_free(struct hf_dht_cache *cache);
static inline size_t hf_dht_cache_count(const struct hf_dht_cache *cache) { return cache->young.count + cache->old.count; }
/* The bytes, valid until the next change; data NULL: not there. */
struct hf_slice hf_dht_cache_get(struct hf_dht_cache *cache, const uint8_t key[static HF_DHT_ID_BYTES]);
/* The same without moving it. */
struct hf_slice hf_dht_cache_peek(const struct hf_dht_cache *cache, const uint8_t key[static HF_DHT_ID_BYTES]);
/* Adds or replaces. HF_ENOMEM changes nothing. */
int hf_dht_cache_put(struct hf_dht_cache *cache, const uint8_t key[static HF_DHT_ID_BYTES], struct hf_slice bytes);
bool hf_dht_cache_remove(struct hf_dht_cache *cache, const uint8_t key[static HF_DHT_ID_BYTES]);
void hf_dht_cache_tick(struct hf_dht_cache *cache, uint64_t now_ms); /* now and then */

#endif
