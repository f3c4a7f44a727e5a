/* cache: what is kept of a bee's blocks, by their number. (Private to data/)
 *
 * A reference in a decoded node remembers in its hint where in the cache its block was; a hint is only believed when the block there has
 * the right number, so blocks may leave at any time. They leave only in hf_bee_cache_trim, between operations, the ones first that were
 * not asked for since the hand passed them.
 */
#ifndef HF_DATA_HYPERBEE_CACHE_H
#define HF_DATA_HYPERBEE_CACHE_H

#include "base/u64_map.h"
#include "data/hyperbee/node.h"

struct hf_bee_cache {
	struct hf_bee_block **blocks; /* NULL: a free place */
	uint32_t *free_places;
	size_t place_count, place_capacity, free_count;
	struct hf_u64_map places; /* block number to place */
	size_t bytes, bytes_max, hand;
};

/* NULL: it is not there. *hint is set. */
static inline struct hf_bee_block *hf_bee_cache_hinted(const struct hf_bee_cache *cache, uint64_t seq, uint32_t hint)
{
	struct hf_bee_block *block = hint < cache->place_count ? cache->blocks[hint] : NULL;

	return block != NULL && block->seq == seq ? block : NULL;
}
struct hf_bee_block *hf_bee_cache_find(const struct hf_bee_cache *cache, uint64_t seq, uint32_t *hint);
int hf_bee_cache_add(struct hf_bee_cache *cache, struct hf_bee_block *block, uint32_t *hint); /* takes it; HF_ENOMEM: not */
void hf_bee_cache_trim(struct hf_bee_cache *cache);
void hf_bee_cache_clear(struct hf_bee_cache *cache);

#endif
