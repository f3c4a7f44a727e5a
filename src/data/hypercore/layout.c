#include "data/hypercore/layout.h"

#include "crypto/hash.h"

#define HAS_NAME 1u
#define HAS_SHELF 1u
#define IS_FROZEN 2u

/* ---- Pages ---- */

uint64_t hf_layout_page_of(uint64_t index, unsigned *within)
{
	unsigned depth = hf_flat_depth(index), band = depth / HF_LAYOUT_PAGE_LEVELS, level = depth % HF_LAYOUT_PAGE_LEVELS;
	unsigned up = HF_LAYOUT_PAGE_LEVELS - 1 - level;
	uint64_t offset = hf_flat_offset(index);

	*within = (unsigned)hf_flat_index(level, offset & (((uint64_t)1 << up) - 1));
	return hf_layout_page_number(band, offset >> up);
}

uint64_t hf_layout_page_node(uint64_t number, unsigned within)
{
	unsigned band = (unsigned)(number >> HF_LAYOUT_BAND_SHIFT), level = hf_flat_depth(within);
	uint64_t place = number & (((uint64_t)1 << HF_LAYOUT_BAND_SHIFT) - 1);
	unsigned up = HF_LAYOUT_PAGE_LEVELS - 1 - level;

	return hf_flat_index(band * HF_LAYOUT_PAGE_LEVELS + level, (place << up) + hf_flat_offset(within));
}

size_t hf_layout_page_encode(const struct hf_layout_page *page, uint8_t out[static HF_LAYOUT_PAGE_BYTES_MAX])
{
	size_t length = 8;

	hf_store_le64(out, page->present);
	for (uint64_t left = page->present; left != 0; left &= left - 1) {
		unsigned i = (unsigned)__builtin_ctzll(left);

		length += hf_varint_write(out + length, page->nodes[i].size);
		memcpy(out + length, page->nodes[i].hash, HF_TREE_HASH_BYTES);
		length += HF_TREE_HASH_BYTES;
	}
	return length;
}

/* A size and a hash from *at on. */
static bool read_node(const uint8_t **at, const uint8_t *end, uint64_t *size, uint8_t hash[static HF_TREE_HASH_BYTES])
{
	size_t used = hf_varint_read(*at, (size_t)(end - *at), size);

	if (used == 0 || (size_t)(end - *at) < used + HF_TREE_HASH_BYTES || *size > HF_TREE_BYTES_MAX)
		return false;
	memcpy(hash, *at + used, HF_TREE_HASH_BYTES);
	*at += used + HF_TREE_HASH_BYTES;
	return true;
}

int hf_layout_page_decode(struct hf_layout_page *page, struct hf_slice record)
{
	const uint8_t *at = record.data, *end = at + record.length;

	if (record.length < 8)
		return HF_ECORRUPT;
	page->present = hf_load_le64(at);
	at += 8;
	if (page->present >> HF_LAYOUT_PAGE_NODES != 0)
		return HF_ECORRUPT;
	for (uint64_t left = page->present; left != 0; left &= left - 1) {
		unsigned i = (unsigned)__builtin_ctzll(left);

		if (!read_node(&at, end, &page->nodes[i].size, page->nodes[i].hash))
			return HF_ECORRUPT;
	}
	return at == end ? HF_OK : HF_ECORRUPT;
}

void hf_layout_page_cut(struct hf_layout_page *page, uint64_t length)
{
	for (uint64_t left = page->present; left != 0; left &= left - 1) {
		unsigned i = (unsigned)__builtin_ctzll(left);

		if (hf_flat_right_span(hf_layout_page_node(page->number, i)) / 2 >= length)
			page->present &= ~((uint64_t)1 << i);
	}
}

/* ---- Blocks ---- */

size_t hf_layout_block_encode(const struct hf_tree_node *nodes, unsigned count, uint8_t out[static HF_LAYOUT_BLOCK_HEAD_BYTES_MAX])
{
	size_t length = 1;

	out[0] = (uint8_t)count;
	for (unsigned i = 0; i < count; i++) {
		if (i > 0)
			length += hf_varint_write(out + length, nodes[i].size);
		memcpy(out + length, nodes[i].hash, HF_TREE_HASH_BYTES);
		length += HF_TREE_HASH_BYTES;
	}
	return length;
}

int hf_layout_block_decode(struct hf_slice record, uint64_t block, struct hf_tree_node nodes[HF_TREE_APPEND_NODES_MAX], unsigned *count,
	struct hf_slice *value)
{
	const uint8_t *at = record.data, *end = at + record.length;
	struct hf_tree_node scratch, *node = &scratch;
	unsigned nodes_count;
	uint64_t index = 2 * block;

	if (record.length < 1 || (nodes_count = *at++) > HF_TREE_APPEND_NODES_MAX)
		return HF_ECORRUPT;
	for (unsigned i = 0; i < nodes_count; i++, index = hf_flat_parent(index)) {
		if (nodes != NULL)
			node = &nodes[i];
		node->index = index;
		if (i > 0 && !read_node(&at, end, &node->size, node->hash))
			return HF_ECORRUPT;
		if (i > 0)
			continue;
		if ((size_t)(end - at) < HF_TREE_HASH_BYTES)
			return HF_ECORRUPT;
		memcpy(node->hash, at, HF_TREE_HASH_BYTES);
		at += HF_TREE_HASH_BYTES;
	}
	*value = hf_slice(at, (size_t)(end - at));
	if (nodes != NULL && nodes_count > 0)
		nodes[0].size = value->length;
	if (count != NULL)
		*count = nodes_count;
	return HF_OK;
}

/* ---- Head and documents ---- */

static int append_varint(struct hf_buffer *out, uint64_t value)
{
	uint8_t bytes[HF_VARINT_BYTES_MAX];

	return hf_buffer_append(out, bytes, hf_varint_write(bytes, value));
}

int hf_layout_head_encode(const struct hf_layout_head *head, struct hf_buffer *out)
{
	const uint64_t numbers[] = {head->fork, head->length, head->byte_length, head->contiguous, head->signature.length};
	const uint8_t start[2] = {head->is_frozen ? HF_LAYOUT_HEAD_VERSION : HF_LAYOUT_VERSION,
		(uint8_t)((head->has_shelf ? HAS_SHELF : 0) | (head->is_frozen ? IS_FROZEN : 0))};
	int status = hf_buffer_append(out, start, sizeof start);

	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0] && status == HF_OK; i++)
		status = append_varint(out, numbers[i]);
	if (status == HF_OK)
		status = hf_buffer_append(out, head->signature.data, head->signature.length);
	return status;
}

int hf_layout_head_decode(struct hf_layout_head *head, struct hf_slice record)
{
	uint64_t *const numbers[] = {&head->fork, &head->length, &head->byte_length, &head->contiguous};
	size_t at = 2, used;
	uint64_t signature_bytes;

	if (record.length < 2)
		return HF_ECORRUPT;
	if (record.data[0] < HF_LAYOUT_VERSION || record.data[0] > HF_LAYOUT_HEAD_VERSION)
		return HF_EVERSION;
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++, at += used)
		if ((used = hf_varint_read(record.data + at, record.length - at, numbers[i])) == 0)
			return HF_ECORRUPT;
	used = hf_varint_read(record.data + at, record.length - at, &signature_bytes);
	if (used == 0 || record.length - at - used != signature_bytes || head->length > HF_TREE_LENGTH_MAX || head->contiguous > head->length)
		return HF_ECORRUPT;
	head->has_shelf = record.data[1] & HAS_SHELF;
	head->is_frozen = record.data[0] > HF_LAYOUT_VERSION && record.data[1] & IS_FROZEN;
	head->signature = hf_slice(record.data + at + used, signature_bytes);
	return HF_OK;
}

int hf_layout_core_encode(const struct hf_layout_core *core, struct hf_buffer *out)
{
	const uint8_t start[2] = {HF_LAYOUT_VERSION, core->name_space != NULL ? HAS_NAME : 0};
	int status = hf_buffer_append(out, start, sizeof start);

	if (status == HF_OK)
		status = append_varint(out, core->number);
	if (status == HF_OK)
		status = hf_buffer_append(out, core->key, HF_CORE_KEY_BYTES);
	if (status == HF_OK && core->name_space != NULL)
		status = hf_buffer_append(out, core->name_space, HF_NAMESPACE_BYTES);
	if (status == HF_OK && core->name_space != NULL)
		status = hf_buffer_append(out, core->name.data, core->name.length);
	return status;
}

int hf_layout_core_decode(struct hf_layout_core *core, struct hf_slice document)
{
	if (document.length < 2)
		return HF_ECORRUPT;
	if (document.data[0] != HF_LAYOUT_VERSION)
		return HF_EVERSION;
	bool has_name = document.data[1] & HAS_NAME;
	size_t used = hf_varint_read(document.data + 2, document.length - 2, &core->number), at = 2 + used;

	if (used == 0 || document.length - at < HF_CORE_KEY_BYTES + (has_name ? HF_NAMESPACE_BYTES : 0u))
		return HF_ECORRUPT;
	core->key = document.data + at;
	at += HF_CORE_KEY_BYTES;
	core->name_space = has_name ? document.data + at : NULL;
	at += has_name ? HF_NAMESPACE_BYTES : 0;
	core->name = hf_slice(document.data + at, document.length - at);
	return HF_OK;
}

int hf_layout_name_encode(const struct hf_layout_name *name, struct hf_buffer *out)
{
	const uint8_t version = HF_LAYOUT_VERSION;
	int status = hf_buffer_append(out, &version, 1);

	if (status == HF_OK)
		status = hf_buffer_append(out, name->discovery_key, 32);
	if (status == HF_OK)
		status = hf_buffer_append(out, name->name_space, HF_NAMESPACE_BYTES);
	if (status == HF_OK)
		status = hf_buffer_append(out, name->name.data, name->name.length);
	return status;
}

int hf_layout_name_decode(struct hf_layout_name *name, struct hf_slice document)
{
	if (document.length < 1 + 32 + HF_NAMESPACE_BYTES)
		return HF_ECORRUPT;
	if (document.data[0] != HF_LAYOUT_VERSION)
		return HF_EVERSION;
	name->discovery_key = document.data + 1;
	name->name_space = document.data + 33;
	name->name = hf_slice(document.data + 33 + HF_NAMESPACE_BYTES, document.length - 33 - HF_NAMESPACE_BYTES);
	return HF_OK;
}

void hf_layout_name_id(uint8_t id[static 32], const uint8_t name_space[static HF_NAMESPACE_BYTES], struct hf_slice name)
{
	struct hf_blake2b hash;

	hf_blake2b_init(&hash, 32, hf_slice(NULL, 0));
	hf_blake2b_update(&hash, name_space, HF_NAMESPACE_BYTES);
	hf_blake2b_update(&hash, name.data, name.length);
	hf_blake2b_final(&hash, id, 32);
}
