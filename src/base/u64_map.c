#include "base/u64_map.h"

#include <stdlib.h>
#include <string.h>

#define CAPACITY_MIN 16

static size_t place_of(const struct hf_u64_map *map, uint64_t key)
{
	uint64_t mixed = (key ^ map->seed) * 0x9e3779b97f4a7c15u;

	mixed = (mixed ^ mixed >> 32) * 0xd6e8feb86659fd93u;
	return (size_t)(mixed ^ mixed >> 32) & (map->capacity - 1);
}

/* The slot of key, or the free one where it would go. */
static size_t find(const struct hf_u64_map *map, uint64_t key)
{
	size_t place = place_of(map, key);

	while (map->used[place] && map->slots[place].key != key)
		place = (place + 1) & (map->capacity - 1);
	return place;
}

void hf_u64_map_free(struct hf_u64_map *map)
{
	free(map->slots);
	*map = (struct hf_u64_map){.seed = map->seed};
}

void hf_u64_map_clear(struct hf_u64_map *map)
{
	if (map->count > 0)
		memset(map->used, 0, map->capacity);
	map->count = 0;
}

uint64_t *hf_u64_map_get(const struct hf_u64_map *map, uint64_t key)
{
	if (map->count == 0)
		return NULL;
	size_t place = find(map, key);

	return map->used[place] ? &map->slots[place].value : NULL;
}

static bool grow(struct hf_u64_map *map)
{
	struct hf_u64_map larger = {.seed = map->seed, .count = map->count};
	struct hf_u64_slot *slot;
	size_t cursor = 0;

	larger.capacity = map->capacity == 0 ? CAPACITY_MIN : map->capacity * 2;
	larger.slots = malloc(larger.capacity * (sizeof *larger.slots + 1));
	if (larger.slots == NULL)
		return false;
	larger.used = (uint8_t *)(larger.slots + larger.capacity);
	memset(larger.used, 0, larger.capacity);
	while ((slot = hf_u64_map_next(map, &cursor)) != NULL) {
		size_t place = find(&larger, slot->key);

		larger.slots[place] = *slot;
		larger.used[place] = 1;
	}
	free(map->slots);
	*map = larger;
	return true;
}

uint64_t *hf_u64_map_put(struct hf_u64_map *map, uint64_t key)
{
	uint64_t *value = hf_u64_map_get(map, key);

	if (value != NULL)
		return value;
	if (map->count + 1 > map->capacity / 4 * 3 && !grow(map))
		return NULL;
	size_t place = find(map, key);

	map->slots[place] = (struct hf_u64_slot){.key = key};
	map->used[place] = 1;
	map->count++;
	return &map->slots[place].value;
}

bool hf_u64_map_remove(struct hf_u64_map *map, uint64_t key)
{
	if (map->count == 0)
		return false;
	size_t mask = map->capacity - 1, hole = find(map, key);

	if (!map->used[hole])
		return false;
	/* What follows moves up unless that would put it before its own place. */
	for (size_t next = (hole + 1) & mask; map->used[next]; next = (next + 1) & mask) {
		size_t home = place_of(map, map->slots[next].key);

		if (((next - home) & mask) < ((next - hole) & mask))
			continue;
		map->slots[hole] = map->slots[next];
		hole = next;
	}
	map->used[hole] = 0;
	map->count--;
	return true;
}

struct hf_u64_slot *hf_u64_map_next(const struct hf_u64_map *map, size_t *cursor)
{
	for (; *cursor < map->capacity; ++*cursor)
		if (map->used[*cursor])
			return &map->slots[(*cursor)++];
	return NULL;
}
