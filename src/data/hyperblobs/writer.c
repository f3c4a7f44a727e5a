/* Writing a blob: cutting into blocks. Blocks are appended in groups; only what is less than a block is kept here. */
#include "data/hyperblobs/map.h"

#include <stdlib.h>

#define GROUP_COUNT 16 /* blocks of one append, as in the package */

int hf_blob_writer_start(struct hf_blob_writer *writer, struct hf_core *core, const struct hf_blob_write_options *options)
{
	size_t block_bytes = options != NULL && options->block_bytes > 0 ? options->block_bytes : HF_BLOB_BLOCK_BYTES;

	*writer = (struct hf_blob_writer){.core = core, .block_bytes = block_bytes};
	if (!hf_core_is_writable(core))
		return HF_EDENIED;
	if (block_bytes > HF_CORE_BLOCK_BYTES_MAX / 2)
		return HF_EINVAL;
	writer->id.block_offset = hf_core_length(core);
	writer->id.byte_offset = hf_core_byte_length(core);
	if (options == NULL || !(options->has_map || options->dedups))
		return HF_OK;
	writer->map = calloc(1, sizeof *writer->map);
	if (writer->map == NULL)
		return HF_ENOMEM;
	writer->map->dedups = options->dedups;
	hf_map_init(&writer->map->hashes, hf_load_le64(hf_core_discovery_key(core)));
	writer->id.has_map = true;
	int status = options->dedups && options->earlier != NULL ? hf_blob_map_note_all(writer->map, core, options->earlier) : HF_OK;

	if (status != HF_OK)
		hf_blob_writer_free(writer);
	return status;
}

int hf_blob_writer_resume(struct hf_blob_writer *writer, struct hf_core *core, uint64_t block_offset, uint64_t byte_offset)
{
	int status = hf_blob_writer_start(writer, core, NULL);

	if (status != HF_OK)
		return status;
	if (block_offset > writer->id.block_offset || byte_offset > writer->id.byte_offset)
		return HF_EINVAL;
	writer->id.block_count = writer->id.block_offset - block_offset;
	writer->id.byte_length = writer->id.byte_offset - byte_offset;
	writer->id.block_offset = block_offset;
	writer->id.byte_offset = byte_offset;
	return writer->id.byte_length % writer->block_bytes == 0 && writer->id.byte_length / writer->block_bytes == writer->id.block_count
		? HF_OK : HF_EINVAL;
}

static int append(struct hf_blob_writer *writer, const struct hf_slice *blocks, size_t count)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < count; i++)
		bytes += blocks[i].length;
	if (hf_core_length(writer->core) != writer->id.block_offset + writer->id.block_count)
		return HF_ECANCELED;
	int status = hf_core_append(writer->core, blocks, count, NULL);

	if (status == HF_OK) {
		writer->id.block_count += count;
		writer->id.byte_length += bytes;
	}
	return status;
}

/* With a map, blocks go where the core ends, and the id is of the map, which is written last. */
static int append_mapped(struct hf_blob_writer *writer, const struct hf_slice *blocks, size_t count)
{
	int status = HF_OK;

	for (size_t i = 0; i < count && status == HF_OK; i++) {
		uint64_t block;
		bool is_new;

		status = hf_blob_map_find(writer->map, blocks[i], hf_core_length(writer->core), &block, &is_new);
		if (status == HF_OK)
			status = hf_blob_map_add(writer->map, block, blocks[i].length);
		if (status == HF_OK && is_new)
			status = hf_core_append(writer->core, &blocks[i], 1, NULL);
	}
	return status;
}

static int append_blocks(struct hf_blob_writer *writer, const struct hf_slice *blocks, size_t count)
{
	return writer->map != NULL ? append_mapped(writer, blocks, count) : append(writer, blocks, count);
}

/* Fills the block that was begun; *bytes goes on behind what it took. */
static int fill_rest(struct hf_blob_writer *writer, struct hf_slice *bytes)
{
	size_t room = writer->block_bytes - writer->rest.length, taken = bytes->length < room ? bytes->length : room;
	int status = taken > 0 ? hf_buffer_append(&writer->rest, bytes->data, taken) : HF_OK;

	if (status != HF_OK)
		return status;
	*bytes = hf_slice(bytes->data + taken, bytes->length - taken);
	if (writer->rest.length < writer->block_bytes)
		return HF_OK;
	struct hf_slice block = hf_buffer_slice(&writer->rest);

	status = append_blocks(writer, &block, 1);
	hf_buffer_clear(&writer->rest);
	return status;
}

static bool has_room(const struct hf_core *core, size_t more)
{
	size_t staged = hf_core_staged_bytes(core);

	return staged == 0 || staged + more <= HF_CORE_STAGED_BYTES_MAX;
}

int hf_blob_writer_add(struct hf_blob_writer *writer, struct hf_slice bytes)
{
	struct hf_slice blocks[GROUP_COUNT];
	size_t count = 0;
	int status = HF_OK;

	if (!has_room(writer->core, bytes.length))
		return HF_EBUSY;
	if (writer->rest.length > 0)
		status = fill_rest(writer, &bytes);
	while (status == HF_OK && bytes.length >= writer->block_bytes) {
		blocks[count++] = hf_slice(bytes.data, writer->block_bytes);
		bytes = hf_slice(bytes.data + writer->block_bytes, bytes.length - writer->block_bytes);
		if (count == GROUP_COUNT || bytes.length < writer->block_bytes) {
			status = append_blocks(writer, blocks, count);
			count = 0;
		}
	}
	return status == HF_OK && bytes.length > 0 ? hf_buffer_append(&writer->rest, bytes.data, bytes.length) : status;
}

static int end_map(struct hf_blob_writer *writer)
{
	struct hf_buffer bytes = {0};
	int status = HF_OK;

	writer->id.block_offset = hf_core_length(writer->core);
	writer->id.byte_offset = hf_core_byte_length(writer->core);
	for (size_t from = 0; from < writer->map->count && status == HF_OK; from += HF_BLOB_MAP_ENTRY_COUNT_MAX) {
		hf_buffer_clear(&bytes);
		status = hf_blob_map_encode(writer->map, from, &bytes);
		struct hf_slice block = hf_buffer_slice(&bytes);

		if (status == HF_OK)
			status = append(writer, &block, 1);
	}
	hf_buffer_free(&bytes);
	return status;
}

int hf_blob_writer_end(struct hf_blob_writer *writer, struct hf_blob_id *id)
{
	struct hf_slice rest = hf_buffer_slice(&writer->rest);
	int status = has_room(writer->core, rest.length) ? HF_OK : HF_EBUSY;

	if (status == HF_OK && rest.length > 0)
		status = append_blocks(writer, &rest, 1);
	if (status == HF_OK)
		hf_buffer_clear(&writer->rest);
	if (status == HF_OK && writer->map != NULL)
		status = end_map(writer);
	if (status != HF_OK)
		return status;
	*id = writer->id;
	hf_blob_writer_free(writer);
	return HF_OK;
}

void hf_blob_writer_free(struct hf_blob_writer *writer)
{
	hf_buffer_free(&writer->rest);
	hf_blob_map_free(writer->map);
	*writer = (struct hf_blob_writer){.core = NULL};
}

int hf_blob_put(struct hf_core *core, struct hf_slice bytes, struct hf_blob_id *id)
{
	size_t count = (bytes.length + HF_BLOB_BLOCK_BYTES - 1) / HF_BLOB_BLOCK_BYTES;
	struct hf_slice few[GROUP_COUNT], *blocks = few;

	*id = (struct hf_blob_id){.block_offset = hf_core_length(core), .byte_offset = hf_core_byte_length(core), .block_count = count,
		.byte_length = bytes.length};
	if (!has_room(core, bytes.length))
		return HF_EBUSY;
	if (count > GROUP_COUNT && (blocks = calloc(count, sizeof *blocks)) == NULL)
		return HF_ENOMEM;
	for (size_t i = 0; i < count; i++) {
		size_t at = i * HF_BLOB_BLOCK_BYTES, left = bytes.length - at;

		blocks[i] = hf_slice(bytes.data + at, left < HF_BLOB_BLOCK_BYTES ? left : HF_BLOB_BLOCK_BYTES);
	}
	int status = hf_core_append(core, blocks, count, NULL);

	if (blocks != few)
		free(blocks);
	return status;
}
