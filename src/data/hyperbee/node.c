/* A block is kept in two allocations: the block with its key, and, when a node of it is wanted, its levels with all of their references
 * behind them. Sizes are counted in a pass of their own, which is also the check of the wire format. */
#include "data/hyperbee/node.h"

#include <stdlib.h>

#include "codec/protobuf.h"

#define NO_HINT UINT32_MAX

enum { HEADER_PROTOCOL = 1, HEADER_METADATA = 2 };
enum { METADATA_CONTENT_FEED = 1, METADATA_USER_DATA = 2 };
enum { NODE_INDEX = 1, NODE_KEY = 2, NODE_VALUE = 3 };
enum { INDEX_LEVEL = 1 };
enum { LEVEL_KEYS = 1, LEVEL_CHILDREN = 2 };

static const struct hf_slice protocol = HF_SLICE_LITERAL("hyperbee");

/* ---- The header ---- */

static int decode_metadata(struct hf_slice bytes, struct hf_bee_header *header)
{
	struct hf_protobuf_reader in = hf_protobuf_reader(bytes);
	struct hf_protobuf_field field;

	while (hf_protobuf_next(&in, &field)) {
		if (hf_protobuf_is_bytes(&field, METADATA_CONTENT_FEED)) {
			header->has_content_feed = true;
			header->content_feed = field.bytes;
		} else if (hf_protobuf_is_bytes(&field, METADATA_USER_DATA)) {
			header->has_user_data = true;
			header->user_data = field.bytes;
		}
	}
	return in.status;
}

int hf_bee_header_decode(struct hf_slice bytes, struct hf_bee_header *header)
{
	struct hf_protobuf_reader in = hf_protobuf_reader(bytes);
	struct hf_protobuf_field field;
	bool is_bee = false;
	int status = HF_OK;

	*header = (struct hf_bee_header){0};
	while (status == HF_OK && hf_protobuf_next(&in, &field)) {
		if (hf_protobuf_is_bytes(&field, HEADER_PROTOCOL)) {
			is_bee = hf_slice_equal(field.bytes, protocol);
		} else if (hf_protobuf_is_bytes(&field, HEADER_METADATA)) {
			header->has_metadata = true;
			status = decode_metadata(field.bytes, header);
		}
	}
	if (status == HF_OK)
		status = in.status;
	return status == HF_OK && !is_bee ? HF_EMALFORMED : status;
}

int hf_bee_header_encode(const struct hf_bee_header *header, struct hf_buffer *out)
{
	struct hf_protobuf_writer writer = hf_protobuf_writer(out);
	struct hf_buffer metadata = {0};
	struct hf_protobuf_writer inner = hf_protobuf_writer(&metadata);

	if (header->has_content_feed)
		hf_protobuf_write_bytes(&inner, METADATA_CONTENT_FEED, header->content_feed);
	if (header->has_user_data)
		hf_protobuf_write_bytes(&inner, METADATA_USER_DATA, header->user_data);
	hf_protobuf_write_bytes(&writer, HEADER_PROTOCOL, protocol);
	if (header->has_metadata)
		hf_protobuf_write_bytes(&writer, HEADER_METADATA, hf_buffer_slice(&metadata));
	hf_buffer_free(&metadata);
	return inner.status != HF_OK ? inner.status : writer.status;
}

/* ---- Blocks ---- */

int hf_bee_content_decode(struct hf_slice bytes, struct hf_bee_content *content)
{
	struct hf_protobuf_reader in = hf_protobuf_reader(bytes);
	struct hf_protobuf_field field;
	bool has_key = false, has_index = false;

	*content = (struct hf_bee_content){0};
	while (hf_protobuf_next(&in, &field)) {
		if (hf_protobuf_is_bytes(&field, NODE_INDEX)) {
			content->index = field.bytes;
			has_index = true;
		} else if (hf_protobuf_is_bytes(&field, NODE_KEY)) {
			content->key = field.bytes;
			has_key = true;
		} else if (hf_protobuf_is_bytes(&field, NODE_VALUE)) {
			content->value = field.bytes;
			content->has_value = true;
		}
	}
	return in.status == HF_OK && has_key && has_index ? HF_OK : HF_EMALFORMED;
}

int hf_bee_block_new(struct hf_slice key, uint64_t seq, struct hf_bee_block **out)
{
	size_t bytes = sizeof(struct hf_bee_block) + key.length;
	struct hf_bee_block *block = malloc(bytes);

	if (block == NULL)
		return HF_ENOMEM;
	*block = (struct hf_bee_block){.seq = seq, .bytes = (uint32_t)bytes, .key_length = (uint32_t)key.length};
	if (key.length > 0)
		memcpy(block->key, key.data, key.length);
	*out = block;
	return HF_OK;
}

void hf_bee_block_free(struct hf_bee_block *block)
{
	if (block == NULL)
		return;
	free(block->levels);
	free(block);
}

/* ---- Levels ---- */

/* Numbers in a packed list: each ends with the one byte that has no high bit. */
static size_t count_numbers(struct hf_slice list)
{
	size_t count = 0;

	for (size_t i = 0; i < list.length; i++)
		count += list.data[i] < 0x80;
	return count;
}

struct level {
	struct hf_slice keys, children;
	size_t key_count, child_count;
	bool is_sound;
};

/* Lists that are given in several parts are not written by anybody; the last part counts. */
static int read_level(struct hf_slice bytes, struct level *level)
{
	struct hf_protobuf_reader in = hf_protobuf_reader(bytes);
	struct hf_protobuf_field field;

	*level = (struct level){0};
	while (hf_protobuf_next(&in, &field)) {
		if (field.number == LEVEL_KEYS)
			level->keys = field.bytes;
		else if (field.number == LEVEL_CHILDREN)
			level->children = field.bytes;
		if (field.number <= LEVEL_CHILDREN && field.type != HF_PROTOBUF_BYTES)
			return HF_EMALFORMED;
	}
	level->key_count = count_numbers(level->keys);
	level->child_count = count_numbers(level->children) / 2;
	level->is_sound = level->key_count <= HF_BEE_NODE_KEY_COUNT_MAX && count_numbers(level->children) % 2 == 0
		&& (level->child_count == 0 || (level->key_count > 0 && level->child_count == level->key_count + 1));
	return in.status;
}

/* Whether all are to blocks there may be. */
static bool read_references(struct hf_slice list, uint64_t newest, bool has_levels, struct hf_bee_reference *at)
{
	struct hf_protobuf_reader in = hf_protobuf_reader(list);
	bool is_sound = true;

	while (in.at < in.end) {
		uint64_t seq = hf_protobuf_read_varint(&in), level = has_levels ? hf_protobuf_read_varint(&in) : 0;

		if (in.status != HF_OK)
			return false;
		is_sound &= seq > 0 && seq <= newest && level < HF_BEE_LEVEL_COUNT_MAX;
		*at++ = (struct hf_bee_reference){.seq = seq, .level = (uint32_t)level, .hint = NO_HINT};
	}
	return is_sound;
}

static int count_levels(struct hf_slice index, size_t *levels, size_t *references)
{
	struct hf_protobuf_reader in = hf_protobuf_reader(index);
	struct hf_protobuf_field field;
	struct level level;
	int status = HF_OK;

	*levels = *references = 0;
	while (status == HF_OK && hf_protobuf_next(&in, &field)) {
		if (!hf_protobuf_is_bytes(&field, INDEX_LEVEL))
			continue;
		status = read_level(field.bytes, &level);
		if (level.is_sound)
			*references += level.key_count + level.child_count;
		if (++*levels > HF_BEE_LEVEL_COUNT_MAX)
			status = HF_EMALFORMED;
	}
	return status == HF_OK ? in.status : status;
}

static void fill_levels(struct hf_slice index, uint64_t seq, struct hf_bee_node *node, struct hf_bee_reference *at)
{
	struct hf_protobuf_reader in = hf_protobuf_reader(index);
	struct hf_protobuf_field field;
	struct level level;

	while (hf_protobuf_next(&in, &field)) {
		if (!hf_protobuf_is_bytes(&field, INDEX_LEVEL))
			continue;
		read_level(field.bytes, &level);
		*node = (struct hf_bee_node){.is_sound = level.is_sound};
		if (level.is_sound) {
			node->key_count = (uint8_t)level.key_count;
			node->child_count = (uint8_t)level.child_count;
			node->keys = at;
			node->children = at + level.key_count;
			at = node->children + level.child_count;
			node->is_sound = read_references(level.keys, seq, false, node->keys);
			if (!read_references(level.children, seq, true, node->children))
				node->is_sound = false;
		}
		node++;
	}
}

int hf_bee_block_inflate(struct hf_bee_block *block, struct hf_slice index)
{
	struct hf_bee_node *levels;
	size_t level_count, reference_count, bytes;
	int status;

	if (block->levels != NULL)
		return HF_OK;
	status = count_levels(index, &level_count, &reference_count);
	if (status != HF_OK)
		return status;
	bytes = (level_count + 1) * sizeof *levels + reference_count * sizeof(struct hf_bee_reference);
	levels = calloc(1, bytes);
	if (levels == NULL)
		return HF_ENOMEM;
	fill_levels(index, block->seq, levels, (struct hf_bee_reference *)(levels + level_count + 1));
	block->levels = levels;
	block->level_count = (uint32_t)level_count;
	block->bytes += (uint32_t)bytes;
	return HF_OK;
}

bool hf_bee_block_has_own_key(const struct hf_bee_block *block)
{
	for (uint32_t i = 0; i < block->level_count; i++)
		for (unsigned j = 0; j < block->levels[i].key_count; j++)
			if (block->levels[i].keys[j].seq == block->seq)
				return true;
	return false;
}

/* ---- Writing ---- */

int hf_bee_block_encode(struct hf_slice index, struct hf_slice key, const struct hf_slice *value, struct hf_buffer *out)
{
	struct hf_protobuf_writer writer = hf_protobuf_writer(out);

	hf_protobuf_write_bytes(&writer, NODE_INDEX, index);
	hf_protobuf_write_bytes(&writer, NODE_KEY, key);
	if (value != NULL)
		hf_protobuf_write_bytes(&writer, NODE_VALUE, *value);
	return writer.status;
}

static size_t put_varint(uint8_t *at, uint64_t value)
{
	size_t length = 0;

	for (; value >= 0x80; value >>= 7)
		at[length++] = (uint8_t)(value | 0x80);
	at[length++] = (uint8_t)value;
	return length;
}

#define LIST_BYTES_MAX (2 * (HF_BEE_NODE_KEY_COUNT_MAX + 1) * HF_VARINT_BYTES_MAX)

static size_t put_list(uint8_t *at, uint32_t number, const uint64_t *values, size_t count)
{
	uint8_t list[LIST_BYTES_MAX];
	size_t length = 0, head;

	if (count == 0)
		return 0;
	for (size_t i = 0; i < count; i++)
		length += put_varint(list + length, values[i]);
	at[0] = (uint8_t)(number << 3 | HF_PROTOBUF_BYTES);
	head = 1 + put_varint(at + 1, length);
	memcpy(at + head, list, length);
	return head + length;
}

int hf_bee_level_encode(const uint64_t *keys, size_t key_count, const uint64_t *children, size_t child_count, struct hf_buffer *index)
{
	uint8_t level[2 * (LIST_BYTES_MAX + 4)];
	size_t length = put_list(level, LEVEL_KEYS, keys, key_count);
	int status;

	length += put_list(level + length, LEVEL_CHILDREN, children, 2 * child_count);
	status = hf_buffer_reserve(index, length + 4);
	if (status != HF_OK)
		return status;
	uint8_t *at = index->data + index->length;

	at[0] = INDEX_LEVEL << 3 | HF_PROTOBUF_BYTES;
	size_t head = 1 + put_varint(at + 1, length);

	memcpy(at + head, level, length);
	index->length += head + length;
	return HF_OK;
}
