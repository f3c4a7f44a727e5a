/* place_map: from 64-bit numbers to places in an array. (Private to store/.) Open addressing, linear probing, no removal but all
 * at once. Keys are positions or log numbers spread by a multiplication; they are ours, not a stranger's. */
#ifndef HF_STORE_PLACE_MAP_H
#define HF_STORE_PLACE_MAP_H

#include <stdlib.h>

#include "base/bytes.h"
#include "base/error.h"

#define HF_PLACE_NONE UINT32_MAX

struct hf_place_map {
	struct hf_place_slot {
		uint64_t key;
		uint32_t place; /* + 1; 0: empty */
	} *slots;
	size_t capacity, count; /* capacity: a power of two or 0 */
};

static inline struct hf_place_slot *hf_place_slot(const struct hf_place_map *map, uint64_t key)
{
	size_t at = (size_t)((key * 0x9e3779b97f4a7c15u) >> 20) & (map->capacity - 1);

	while (map->slots[at].place != 0 && map->slots[at].key != key)
		at = (at + 1) & (map->capacity - 1);
	return &map->slots[at];
}

static inline uint32_t hf_place_get(const struct hf_place_map *map, uint64_t key)
{
	return map->count == 0 ? HF_PLACE_NONE : hf_place_slot(map, key)->place - 1;
}

/* Adds or replaces. */
static inline int hf_place_put(struct hf_place_map *map, uint64_t key, uint32_t place)
{
	if (map->count * 2 >= map->capacity) {
		struct hf_place_map larger = {.capacity = map->capacity == 0 ? 64 : map->capacity * 2, .count = map->count};

		larger.slots = (struct hf_place_slot *)calloc(larger.capacity, sizeof *larger.slots);
		if (larger.slots == NULL)
			return HF_ENOMEM;
		for (size_t i = 0; i < map->capacity; i++)
			if (map->slots[i].place != 0)
				*hf_place_slot(&larger, map->slots[i].key) = map->slots[i];
		free(map->slots);
		*map = larger;
	}
	struct hf_place_slot *slot = hf_place_slot(map, key);

	map->count += slot->place == 0;
	*slot = (struct hf_place_slot){key, place + 1};
	return HF_OK;
}

static inline void hf_place_clear(struct hf_place_map *map)
{
	if (map->count > 0)
		memset(map->slots, 0, map->capacity * sizeof *map->slots);
	map->count = 0;
}

static inline void hf_place_free(struct hf_place_map *map)
{
	free(map->slots);
	*map = (struct hf_place_map){0};
}

#endif
