/* u64_map: an open-addressing hash map from 64-bit numbers to 64-bit values, for numbers that we chose or that a peer chose: it is
 * seeded. Linear probing, backward-shift deletion, grows at 3/4. Zero-initialise with a seed, or with none where nobody outside
 * picks the numbers. Not thread-safe.
 */
#ifndef HF_BASE_U64_MAP_H
#define HF_BASE_U64_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/api.h"

struct hf_u64_slot {
	uint64_t key, value;
};
struct hf_u64_map {
	struct hf_u64_slot *slots;
	uint8_t *used; /* one byte a slot, behind the slots */
	size_t capacity; /* a power of two, or 0 */
	size_t count;
	uint64_t seed;
};

HF_API void hf_u64_map_free(struct hf_u64_map *map);  /* leaves it empty, with its seed */
HF_API void hf_u64_map_clear(struct hf_u64_map *map); /* keeps the memory */
/* The value's place, valid until the next change of the map; NULL when the key is not there. */
HF_API uint64_t *hf_u64_map_get(const struct hf_u64_map *map, uint64_t key);
/* The value's place, made with value 0 when the key is not there. NULL: out of memory, nothing changed. */
HF_API uint64_t *hf_u64_map_put(struct hf_u64_map *map, uint64_t key);
HF_API bool hf_u64_map_remove(struct hf_u64_map *map, uint64_t key); /* whether it was there */
/* Iteration in no order: *cursor starts at 0; NULL at the end. Do not change the map meanwhile. */
HF_API struct hf_u64_slot *hf_u64_map_next(const struct hf_u64_map *map, size_t *cursor);

#endif
