#include "wire/dht/cache.h"

#include <stdlib.h>

struct entry {
	uint8_t key[HF_DHT_ID_BYTES];
	uint32_t length;
	uint8_t bytes[];
};

void hf_dht_cache_init(struct hf_dht_cache *cache, size_t count_max, uint64_t life_ms, uint64_t seed, uint64_t now_ms)
{
	*cache = (struct hf_dht_cache){.life_ms = life_ms, .turned_ms = now_ms, .count_max = count_max};
	hf_map_init(&cache->young, seed);
	hf_map_init(&cache->old, seed);
}

static size_t bytes_of(const struct entry *entry)
{
	return sizeof *entry + entry->length;
}

static void drop(struct hf_dht_cache *cache, struct hf_map *generation)
{
	size_t cursor = 0;

	for (struct entry *entry; (entry = hf_map_next(generation, &cursor));) {
		cache->entry_bytes -= bytes_of(entry);
		free(entry);
	}
	hf_map_free(generation);
}

void hf_dht_cache_free(struct hf_dht_cache *cache)
{
	drop(cache, &cache->young);
	drop(cache, &cache->old);
}

static void turn(struct hf_dht_cache *cache)
{
	uint64_t seed = cache->young.seed;

	drop(cache, &cache->old);
	cache->old = cache->young;
	hf_map_init(&cache->young, seed);
}

/* Puts an entry into the new generation, and makes room there. */
static int keep(struct hf_dht_cache *cache, struct entry *entry)
{
	void *previous = NULL;
	int r;

	if (cache->young.count >= (cache->count_max + 1) / 2 && !hf_map_get(&cache->young, hf_slice(entry->key, sizeof entry->key))) {
		cache->evicted += cache->old.count;
		turn(cache);
	}
	r = hf_map_put(&cache->young, hf_slice(entry->key, sizeof entry->key), entry, &previous);
	if (r < 0)
		return r;
	if (previous) {
		cache->entry_bytes -= bytes_of(previous);
		free(previous);
	}
	return HF_OK;
}

struct hf_slice hf_dht_cache_peek(const struct hf_dht_cache *cache, const uint8_t key[static HF_DHT_ID_BYTES])
{
	const struct entry *entry = hf_map_get(&cache->young, hf_slice(key, HF_DHT_ID_BYTES));

	if (!entry)
		entry = hf_map_get(&cache->old, hf_slice(key, HF_DHT_ID_BYTES));
	return entry ? hf_slice(entry->bytes, entry->length) : (struct hf_slice){0};
}

struct hf_slice hf_dht_cache_get(struct hf_dht_cache *cache, const uint8_t key[static HF_DHT_ID_BYTES])
{
	struct entry *entry = hf_map_remove(&cache->old, hf_slice(key, HF_DHT_ID_BYTES));

	if (entry && keep(cache, entry) < 0) {
		cache->entry_bytes -= bytes_of(entry);
		free(entry);
	}
	return hf_dht_cache_peek(cache, key);
}

int hf_dht_cache_put(struct hf_dht_cache *cache, const uint8_t key[static HF_DHT_ID_BYTES], struct hf_slice bytes)
{
	struct entry *entry = malloc(sizeof *entry + bytes.length), *old;
	int r;

	if (!entry)
		return HF_ENOMEM;
	memcpy(entry->key, key, sizeof entry->key);
	entry->length = (uint32_t)bytes.length;
	if (bytes.length > 0)
		memcpy(entry->bytes, bytes.data, bytes.length);
	r = keep(cache, entry);
	if (r < 0) {
		free(entry);
		return r;
	}
	cache->entry_bytes += bytes_of(entry);
	old = hf_map_remove(&cache->old, hf_slice(key, HF_DHT_ID_BYTES));
	if (old) {
		cache->entry_bytes -= bytes_of(old);
		free(old);
	}
	return HF_OK;
}

bool hf_dht_cache_remove(struct hf_dht_cache *cache, const uint8_t key[static HF_DHT_ID_BYTES])
{
	struct entry *entry = hf_map_remove(&cache->young, hf_slice(key, HF_DHT_ID_BYTES));

	if (!entry)
		entry = hf_map_remove(&cache->old, hf_slice(key, HF_DHT_ID_BYTES));
	if (!entry)
		return false;
	cache->entry_bytes -= bytes_of(entry);
	free(entry);
	return true;
}

void hf_dht_cache_tick(struct hf_dht_cache *cache, uint64_t now_ms)
{
	if (now_ms - cache->turned_ms < cache->life_ms * 2 / 3)
		return;
	cache->turned_ms = now_ms;
	turn(cache);
}
