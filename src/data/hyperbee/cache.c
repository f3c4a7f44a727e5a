#include "data/hyperbee/cache.h"

#include <stdlib.h>

#include "base/array.h"

/* Of a block's place, beside the block. */
#define PLACE_BYTES (sizeof(struct hf_bee_block *) + sizeof(uint32_t) + 2 * sizeof(struct hf_u64_slot))

static int make_place(struct hf_bee_cache *cache)
{
	size_t capacity = cache->place_capacity;
	int status;

	if (cache->free_count > 0)
		return HF_OK;
	status = hf_array_reserve(&cache->blocks, &capacity, cache->place_count + 1, sizeof(struct hf_bee_block *));
	if (status == HF_OK)
		status = hf_array_reserve(&cache->free_places, &cache->place_capacity, cache->place_count + 1, sizeof *cache->free_places);
	if (status != HF_OK)
		return status;
	cache->blocks[cache->place_count] = NULL;
	cache->free_places[cache->free_count++] = (uint32_t)cache->place_count++;
	return HF_OK;
}

struct hf_bee_block *hf_bee_cache_find(const struct hf_bee_cache *cache, uint64_t seq, uint32_t *hint)
{
	struct hf_bee_block *block = hf_bee_cache_hinted(cache, seq, *hint);

	if (block == NULL) {
		uint64_t *place = hf_u64_map_get(&cache->places, seq);

		if (place == NULL)
			return NULL;
		*hint = (uint32_t)*place;
		block = cache->blocks[*place];
	}
	if (!block->was_used)
		block->was_used = true;
	return block;
}

int hf_bee_cache_add(struct hf_bee_cache *cache, struct hf_bee_block *block, uint32_t *hint)
{
	uint64_t *place;
	int status = make_place(cache);

	if (status != HF_OK)
		return status;
	place = hf_u64_map_put(&cache->places, block->seq);
	if (place == NULL)
		return HF_ENOMEM;
	*hint = cache->free_places[--cache->free_count];
	*place = *hint;
	block->was_used = true;
	cache->blocks[*hint] = block;
	cache->bytes += block->bytes + PLACE_BYTES;
	return HF_OK;
}

static void drop(struct hf_bee_cache *cache, size_t place)
{
	struct hf_bee_block *block = cache->blocks[place];

	hf_u64_map_remove(&cache->places, block->seq);
	cache->blocks[place] = NULL;
	cache->free_places[cache->free_count++] = (uint32_t)place;
	cache->bytes -= block->bytes + PLACE_BYTES;
	hf_bee_block_free(block);
}

/* Down to seven eighths, so that it is not done for each block anew. */
void hf_bee_cache_trim(struct hf_bee_cache *cache)
{
	if (cache->bytes <= cache->bytes_max)
		return;
	while (cache->bytes > cache->bytes_max / 8 * 7 && cache->places.count > 0) {
		cache->hand = cache->hand + 1 < cache->place_count ? cache->hand + 1 : 0;
		struct hf_bee_block *block = cache->blocks[cache->hand];

		if (block == NULL)
			continue;
		if (block->was_used)
			block->was_used = false;
		else
			drop(cache, cache->hand);
	}
}

void hf_bee_cache_clear(struct hf_bee_cache *cache)
{
	for (size_t i = 0; i < cache->place_count; i++)
		hf_bee_block_free(cache->blocks[i]);
	free(cache->blocks);
	free(cache->free_places);
	hf_u64_map_free(&cache->places);
	*cache = (struct hf_bee_cache){.bytes_max = cache->bytes_max};
}
