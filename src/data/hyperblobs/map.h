/* map: the list of blocks that a blob with a map is made of: `uint version 0 || array(uint block || uint bytes)` in each of its own blocks.
 * (Private to hyperblobs/.) */
#ifndef HF_DATA_HYPERBLOBS_MAP_H
#define HF_DATA_HYPERBLOBS_MAP_H

#include "base/map.h"
#include "data/hyperblobs/blobs.h"

struct hf_blob_map_entry {
	uint64_t block, bytes;
};
struct hf_blob_map {
	struct hf_blob_map_entry *entries;
	size_t count, capacity;
	uint64_t content_bytes;
	uint64_t read_blocks;    /* of the map's own, when it is read */
	bool dedups;
	struct hf_map hashes;    /* of a block's bytes to struct hf_blob_hashed * */
};

void hf_blob_map_free(struct hf_blob_map *map); /* NULL is fine */
int hf_blob_map_add(struct hf_blob_map *map, uint64_t block, uint64_t bytes); /* HF_ETOOBIG, HF_ENOMEM */
/* Adds one block of an encoded map. HF_EMALFORMED, HF_EVERSION, HF_ETOOBIG, HF_ENOMEM. */
int hf_blob_map_decode(struct hf_blob_map *map, struct hf_slice block);
/* Appends the entries from `from` on that one block has. */
int hf_blob_map_encode(const struct hf_blob_map *map, size_t from, struct hf_buffer *out);
/* Reads what is missing of the map of an id. HF_EWAIT, or HF_ENOTFOUND past the core's end, with *needed set; as
 * hf_core_get, and decode. */
int hf_blob_map_read(struct hf_blob_map *map, struct hf_core *core, const struct hf_blob_id *id, uint64_t *needed);

/* Notes all blocks of a blob, for hf_blob_map_find. As hf_core_get, and hf_blob_map_read. */
int hf_blob_map_note_all(struct hf_blob_map *map, struct hf_core *core, const struct hf_blob_id *id);
/* The block that has these bytes already, noted for the next time when it is new: *is_new. HF_ENOMEM. */
int hf_blob_map_find(struct hf_blob_map *map, struct hf_slice bytes, uint64_t new_block, uint64_t *block, bool *is_new);

#endif
