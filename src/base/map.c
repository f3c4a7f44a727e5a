/* The hash multiplies 64-bit words of input, mixed with the seed, into 128 bits and folds the halves.
 *
 * Each probe starts at hash & (capacity - 1). Every entry sits at its start or after it with no empty slot
 * between: a removal shifts followers back until one is at its start or a hole ends the run.
 */
#include "base/map.h"

#include <stdlib.h>

#include "base/error.h"

#define MAP_CAPACITY_MIN 16

static inline uint64_t fold(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;
	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Odd constants with 32 bits set, from the fractional digits of pi, e and the golden ratio. */
#define K0 0x243f6a8885a308d3u
#define K1 0xb7e151628aed2a6bu
#define K2 0x9e3779b97f4a7c15u

uint64_t hf_hash64(const void *data, size_t length, uint64_t seed)
{
	const uint8_t *p = data;
	uint64_t state = fold(seed ^ K0, K1) ^ seed;
	uint64_t a, b;
	if (length > 16) {
		size_t rest = length;
		for (; rest > 16; rest -= 16, p += 16)
			state = fold(hf_load_le64(p) ^ K1, hf_load_le64(p + 8) ^ state);
		a = hf_load_le64(p + rest - 16);
		b = hf_load_le64(p + rest - 8);
	} else if (length >= 8) {
		a = hf_load_le64(p);
		b = hf_load_le64(p + length - 8);
	} else if (length >= 4) {
		a = hf_load_le32(p);
		b = hf_load_le32(p + length - 4);
	} else if (length > 0) {
		a = (uint64_t)p[0] << 16 | (uint64_t)p[length / 2] << 8 | p[length - 1];
		b = 0;
	} else {
		a = b = 0;
	}
	uint64_t mixed = fold(a ^ K1, b ^ state);
	return fold(mixed ^ K2 ^ length, state ^ K0);
}

void hf_map_init(struct hf_map *map, uint64_t seed)
{
	*map = (struct hf_map){.seed = seed};
}

void hf_map_free(struct hf_map *map)
{
	free(map->slots);
	*map = (struct hf_map){.seed = map->seed};
}

static uint64_t hash_of(const struct hf_map *map, struct hf_slice key)
{
	uint64_t hash = hf_hash64(key.data, key.length, map->seed);
	return hash ? hash : 1;
}

/* The slot that holds the key, or the empty one where it belongs. The map is never full. */
static struct hf_map_slot *find(const struct hf_map *map, struct hf_slice key, uint64_t hash)
{
	size_t mask = map->capacity - 1;
	for (size_t i = hash & mask;; i = (i + 1) & mask) {
		struct hf_map_slot *slot = &map->slots[i];
		if (slot->hash == 0 || (slot->hash == hash && hf_slice_equal(slot->key, key)))
			return slot;
	}
}

void *hf_map_get(const struct hf_map *map, struct hf_slice key)
{
	if (map->count == 0)
		return NULL;
	struct hf_map_slot *slot = find(map, key, hash_of(map, key));
	return slot->hash ? slot->value : NULL;
}

static int grow_to(struct hf_map *map, size_t capacity)
{
	struct hf_map_slot *slots = calloc(capacity, sizeof *slots);
	if (!slots)
		return HF_ENOMEM;
	for (size_t i = 0; i < map->capacity; i++) {
		if (map->slots[i].hash == 0)
			continue;
		size_t at = map->slots[i].hash & (capacity - 1);
		while (slots[at].hash)
			at = (at + 1) & (capacity - 1);
		slots[at] = map->slots[i];
	}
	free(map->slots);
	map->slots = slots;
	map->capacity = capacity;
	return HF_OK;
}

static size_t entries_max(size_t capacity) { return capacity - capacity / 8; }

int hf_map_reserve(struct hf_map *map, size_t more)
{
	size_t capacity = map->capacity ? map->capacity : MAP_CAPACITY_MIN;
	while (map->count + more > entries_max(capacity))
		capacity *= 2;
	return capacity > map->capacity ? grow_to(map, capacity) : HF_OK;
}

int hf_map_put(struct hf_map *map, struct hf_slice key, void *value, void **previous)
{
	uint64_t hash = hash_of(map, key);
	struct hf_map_slot *slot = map->capacity ? find(map, key, hash) : NULL;
	if (slot && slot->hash) {
		if (previous)
			*previous = slot->value;
		slot->key = key;
		slot->value = value;
		return HF_OK;
	}
	if (map->count + 1 > entries_max(map->capacity)) {
		int error = hf_map_reserve(map, 1);
		if (error)
			return error;
		slot = find(map, key, hash);
	}
	if (previous)
		*previous = NULL;
	*slot = (struct hf_map_slot){.hash = hash, .key = key, .value = value};
	map->count++;
	return HF_OK;
}

void *hf_map_remove(struct hf_map *map, struct hf_slice key)
{
	if (map->count == 0)
		return NULL;
	struct hf_map_slot *slot = find(map, key, hash_of(map, key));
	if (slot->hash == 0)
		return NULL;
	void *value = slot->value;
	size_t mask = map->capacity - 1;
	size_t hole = (size_t)(slot - map->slots);
	for (size_t i = (hole + 1) & mask; map->slots[i].hash; i = (i + 1) & mask) {
		size_t distance = (i - map->slots[i].hash) & mask;
		if (distance >= ((i - hole) & mask)) {
			map->slots[hole] = map->slots[i];
			hole = i;
		}
	}
	map->slots[hole] = (struct hf_map_slot){0};
	map->count--;
	return value;
}

void *hf_map_next(const struct hf_map *map, size_t *cursor)
{
	while (*cursor < map->capacity) {
		struct hf_map_slot *slot = &map->slots[(*cursor)++];
		if (slot->hash)
			return slot->value;
	}
	return NULL;
}
