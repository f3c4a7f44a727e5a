#include "data/hypercore/tree_node.h"

void hf_tree_node_write(struct hf_compact_writer *out, const struct hf_tree_node *node)
{
	uint8_t bytes[2 * HF_COMPACT_UINT_BYTES_MAX + sizeof node->hash];
	size_t length = hf_compact_put_uint(bytes, node->index);

	length += hf_compact_put_uint(bytes + length, node->size);
	memcpy(bytes + length, node->hash, sizeof node->hash);
	hf_compact_write_fixed(out, bytes, length + sizeof node->hash);
}

void hf_tree_node_read(struct hf_compact_reader *in, struct hf_tree_node *node)
{
	node->index = hf_compact_read_uint(in);
	node->size = hf_compact_read_uint(in);
	const uint8_t *hash = hf_compact_read_fixed(in, sizeof node->hash);

	if (hash != NULL)
		memcpy(node->hash, hash, sizeof node->hash);
}

struct hf_node_list hf_node_list_read(struct hf_compact_reader *in)
{
	size_t count = hf_compact_read_count(in, HF_NODE_LIST_COUNT_MAX, HF_TREE_NODE_BYTES_MIN);
	const uint8_t *start = in->at;

	for (size_t i = 0; i < count; i++) {
		hf_compact_read_uint(in);
		hf_compact_read_uint(in);
		hf_compact_read_fixed(in, sizeof ((struct hf_tree_node *)0)->hash);
	}
	if (in->status != HF_OK)
		return (struct hf_node_list){.count = 0};
	return (struct hf_node_list){.encoded = hf_slice(start, (size_t)(in->at - start)), .count = count};
}

void hf_node_list_write(struct hf_compact_writer *out, const struct hf_node_list *list)
{
	hf_compact_write_uint(out, list->count);
	hf_compact_write_fixed(out, list->encoded.data, list->encoded.length);
}

bool hf_node_list_next(struct hf_compact_reader *at, struct hf_tree_node *node)
{
	if (hf_compact_left(at) == 0)
		return false;
	hf_tree_node_read(at, node);
	return true;
}
