#include "data/hypercore/seek.h"

/* In a subtree that the byte is in: 0 < bytes < size. */
static int seek_below(const struct hf_tree_reader *reader, uint64_t index, uint64_t size, uint64_t bytes, uint64_t padding,
	struct hf_seek *out)
{
	while (hf_flat_depth(index) > 0) {
		uint64_t left = hf_flat_left_child(index), left_size;
		struct hf_tree_node at;
		int status = reader->node(reader->context, left, &at);

		if (status == HF_ENOTFOUND) {
			*out = (struct hf_seek){.needs_network = true, .start = hf_flat_left_span(index) / 2,
				.end = hf_flat_right_span(index) / 2 + 1};
			return HF_OK;
		}
		if (status != HF_OK)
			return status;
		if (!hf_seek_unpadded(at.size, hf_flat_leaf_count(left), padding, &left_size) || left_size > size)
			return HF_ECORRUPT;
		if (left_size == bytes) {
			*out = (struct hf_seek){.block = hf_flat_right_span(left) / 2 + 1};
			return HF_OK;
		}
		index = left_size > bytes ? left : hf_flat_right_child(index);
		size = left_size > bytes ? left_size : size - left_size;
		bytes -= left_size > bytes ? 0 : left_size;
	}
	*out = (struct hf_seek){.block = index / 2, .offset = bytes};
	return HF_OK;
}

int hf_seek(const struct hf_tree *tree, const struct hf_tree_reader *reader, uint64_t bytes, uint64_t padding, struct hf_seek *out)
{
	*out = (struct hf_seek){.block = 0};
	if (bytes == 0)
		return HF_OK;
	for (uint32_t i = 0; i < tree->root_count; i++) {
		const struct hf_tree_node *root = &tree->roots[i];
		uint64_t size;

		if (!hf_seek_unpadded(root->size, hf_flat_leaf_count(root->index), padding, &size))
			return HF_ECORRUPT;
		if (bytes < size)
			return seek_below(reader, root->index, size, bytes, padding, out);
		bytes -= size;
		if (bytes == 0) {
			out->block = hf_flat_right_span(root->index) / 2 + 1;
			return HF_OK;
		}
	}
	return HF_ENOTFOUND;
}

/* Bytes under root that are left of node, which root contains. */
static int offset_below(const struct hf_tree_reader *reader, uint64_t root, uint64_t node, uint64_t *bytes)
{
	while (root != node) {
		struct hf_tree_node left;
		int status;

		if (node < root) {
			root = hf_flat_left_child(root);
			continue;
		}
		status = reader->node(reader->context, hf_flat_left_child(root), &left);
		if (status != HF_OK)
			return status;
		if (left.size > HF_TREE_BYTES_MAX - *bytes)
			return HF_ECORRUPT;
		*bytes += left.size;
		root = hf_flat_right_child(root);
	}
	return HF_OK;
}

int hf_seek_offset(const struct hf_tree *tree, const struct hf_tree_reader *reader, uint64_t node, uint64_t padding, uint64_t *bytes)
{
	uint64_t first = hf_flat_left_span(node), sum = 0;
	bool found = node == 2 * tree->length;

	for (uint32_t i = 0; i < tree->root_count && !found; i++) {
		const struct hf_tree_node *root = &tree->roots[i];

		if (hf_flat_right_span(root->index) < first) {
			sum += root->size;
			continue;
		}
		if (!hf_flat_contains(root->index, node))
			break;
		int status = offset_below(reader, root->index, node, &sum);

		if (status != HF_OK)
			return status;
		found = true;
	}
	if (!found)
		return HF_EINVAL;
	if (node == 2 * tree->length)
		sum = tree->byte_length;
	return hf_seek_unpadded(sum, first / 2, padding, bytes) ? HF_OK : HF_ECORRUPT;
}

int hf_seek_missing(const struct hf_tree *tree, const struct hf_tree_reader *reader, uint64_t node, uint64_t *count)
{
	uint64_t end = 2 * tree->length;

	*count = 0;
	while (hf_flat_right_span(node) < end) {
		struct hf_tree_node held;
		int status = hf_tree_node(tree, reader, node, &held);

		if (status != HF_ENOTFOUND)
			return status;
		node = hf_flat_parent(node);
		++*count;
	}
	return HF_OK;
}
