/* map: an open-addressing hash map from short byte keys to pointers, seeded against crafted keys.
 *
 * Keys are borrowed and must stay valid while the entry is in the map (they normally live inside the
 * value). Linear probing with backward-shift deletion; grows at 7/8; no tombstones. Not thread-safe.
 */
#ifndef HF_BASE_MAP_H
#define HF_BASE_MAP_H

#include "base/bytes.h"

struct hf_map_slot {
	uint64_t hash; /* 0: empty */
	struct hf_slice key;
	void *value;
};
struct hf_map {
	struct hf_map_slot *slots;
	size_t capacity; /* a power of two, or 0 */
	size_t count;
	uint64_t seed;
};

void hf_map_init(struct hf_map *map, uint64_t seed);
void hf_map_free(struct hf_map *map); /* not the values */
void *hf_map_get(const struct hf_map *map, struct hf_slice key);
/* Adds or replaces; *previous (may be NULL) gets the old value or NULL. HF_ENOMEM changes nothing. */
int hf_map_put(struct hf_map *map, struct hf_slice key, void *value, void **previous);
/* Room for so many more: that many can be put without an error. HF_ENOMEM changes nothing. */
int hf_map_reserve(struct hf_map *map, size_t more);
void *hf_map_remove(struct hf_map *map, struct hf_slice key); /* the value, or NULL */
/* Iteration in no order: *cursor starts at 0; NULL at the end. Removing while iterating is not allowed. */
void *hf_map_next(const struct hf_map *map, size_t *cursor);

/* The seeded 64-bit hash in use here and in the store: wyhash-like, fast, keyed, not cryptographic but
 * unpredictable without the seed. */
uint64_t hf_hash64(const void *data, size_t length, uint64_t seed);

#endif
