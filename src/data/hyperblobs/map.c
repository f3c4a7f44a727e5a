/* Maps of blocks. */
#include "data/hyperblobs/map.h"

#include <stdlib.h>

#include "base/array.h"
#include "codec/compact.h"
#include "crypto/hash.h"

#define ENTRY_COUNT_MAX (HF_BLOB_MAP_BLOCK_COUNT_MAX * HF_BLOB_MAP_ENTRY_COUNT_MAX)

struct hf_blob_hashed {
	uint8_t hash[32];
	uint64_t block;
};

void hf_blob_map_free(struct hf_blob_map *map)
{
	struct hf_blob_hashed *hashed;
	size_t cursor = 0;

	if (map == NULL)
		return;
	while ((hashed = hf_map_next(&map->hashes, &cursor)) != NULL)
		free(hashed);
	hf_map_free(&map->hashes);
	free(map->entries);
	free(map);
}

int hf_blob_map_add(struct hf_blob_map *map, uint64_t block, uint64_t bytes)
{
	if (map->count >= ENTRY_COUNT_MAX)
		return HF_ETOOBIG;
	int status = hf_array_reserve(&map->entries, &map->capacity, map->count + 1, sizeof *map->entries);

	if (status != HF_OK)
		return status;
	map->entries[map->count++] = (struct hf_blob_map_entry){block, bytes};
	map->content_bytes += bytes;
	return HF_OK;
}

int hf_blob_map_decode(struct hf_blob_map *map, struct hf_slice block)
{
	struct hf_compact_reader in = hf_compact_reader(block);
	uint64_t version = hf_compact_read_uint(&in);
	size_t count = hf_compact_read_count(&in, HF_BLOB_MAP_ENTRY_COUNT_MAX, 2);

	if (in.status == HF_OK && version > 0)
		return HF_EVERSION;
	for (size_t i = 0; i < count && in.status == HF_OK; i++) {
		uint64_t index = hf_compact_read_uint(&in), bytes = hf_compact_read_uint(&in);

		if (in.status == HF_OK && bytes > HF_CORE_BLOCK_BYTES_MAX)
			return HF_EMALFORMED;
		if (in.status == HF_OK)
			in.status = hf_blob_map_add(map, index, bytes);
	}
	return in.status;
}

int hf_blob_map_encode(const struct hf_blob_map *map, size_t from, struct hf_buffer *out)
{
	struct hf_compact_writer writer = hf_compact_writer(out);
	size_t count = map->count - from < HF_BLOB_MAP_ENTRY_COUNT_MAX ? map->count - from : HF_BLOB_MAP_ENTRY_COUNT_MAX;

	hf_compact_write_uint(&writer, 0);
	hf_compact_write_uint(&writer, count);
	for (size_t i = 0; i < count; i++) {
		hf_compact_write_uint(&writer, map->entries[from + i].block);
		hf_compact_write_uint(&writer, map->entries[from + i].bytes);
	}
	return writer.status;
}

int hf_blob_map_read(struct hf_blob_map *map, struct hf_core *core, const struct hf_blob_id *id, uint64_t *needed)
{
	struct hf_buffer block = {0};
	int status = id->block_count > HF_BLOB_MAP_BLOCK_COUNT_MAX ? HF_EMALFORMED : HF_OK;

	while (status == HF_OK && map->read_blocks < id->block_count) {
		*needed = id->block_offset + map->read_blocks;
		hf_buffer_clear(&block);
		status = hf_core_get(core, *needed, &block);
		if (status == HF_OK)
			status = hf_blob_map_decode(map, hf_buffer_slice(&block));
		if (status == HF_OK)
			map->read_blocks++;
	}
	hf_buffer_free(&block);
	return status;
}

/* Notes which block has these bytes. *found: the one that had been noted, NULL without. */
static int note(struct hf_blob_map *map, struct hf_slice bytes, uint64_t block, struct hf_blob_hashed **found)
{
	uint8_t hash[32];

	hf_blake2b(hash, sizeof hash, hf_slice(NULL, 0), bytes);
	*found = hf_map_get(&map->hashes, hf_slice(hash, sizeof hash));
	if (*found != NULL)
		return HF_OK;
	struct hf_blob_hashed *hashed = malloc(sizeof *hashed);

	if (hashed == NULL)
		return HF_ENOMEM;
	memcpy(hashed->hash, hash, sizeof hash);
	hashed->block = block;
	int status = hf_map_put(&map->hashes, hf_slice(hashed->hash, sizeof hashed->hash), hashed, NULL);

	if (status != HF_OK)
		free(hashed);
	return status;
}

int hf_blob_map_find(struct hf_blob_map *map, struct hf_slice bytes, uint64_t new_block, uint64_t *block, bool *is_new)
{
	struct hf_blob_hashed *found = NULL;
	int status = map->dedups ? note(map, bytes, new_block, &found) : HF_OK;

	*block = found != NULL ? found->block : new_block;
	*is_new = found == NULL;
	return status;
}

static int note_block(struct hf_blob_map *map, struct hf_core *core, uint64_t block, struct hf_buffer *bytes)
{
	struct hf_blob_hashed *found;

	hf_buffer_clear(bytes);
	int status = hf_core_get(core, block, bytes);

	if (status == HF_OK)
		status = note(map, hf_buffer_slice(bytes), block, &found);
	/* Of blocks that are alike the last is taken, as in the package. */
	if (status == HF_OK && found != NULL)
		found->block = block;
	return status;
}

int hf_blob_map_note_all(struct hf_blob_map *map, struct hf_core *core, const struct hf_blob_id *id)
{
	struct hf_blob_map blocks = {.count = 0};
	struct hf_buffer bytes = {0};
	uint64_t needed, count = id->block_count;
	int status = HF_OK;

	if (id->has_map) {
		status = hf_blob_map_read(&blocks, core, id, &needed);
		count = blocks.count;
	}
	for (uint64_t i = 0; i < count && status == HF_OK; i++)
		status = note_block(map, core, id->has_map ? blocks.entries[i].block : id->block_offset + i, &bytes);
	hf_buffer_free(&bytes);
	free(blocks.entries);
	return status;
}
