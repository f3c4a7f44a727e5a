/* From the pending changes to blocks. All but the last lose their root, and of their other nodes those that were written again by a later
 * change; the gap is filled with the block's last node, which is how the package does it and what makes the bytes equal. */
#include "data/hyperbee/tree.h"

#include <stdlib.h>

static size_t compact(struct hf_bee_pointer **levels, size_t count, uint64_t seq)
{
	size_t at = 0;

	while (at < count) {
		struct hf_bee_pointer *pointer = levels[at];

		if (pointer != NULL && pointer->seq == seq)
			pointer->level = (uint32_t)at++;
		else
			levels[at] = levels[--count];
	}
	return count;
}

static int encode_node(const struct hf_bee_tree_node *node, struct hf_buffer *index)
{
	uint64_t keys[HF_BEE_NODE_KEY_COUNT_MAX + 1], children[2 * (HF_BEE_NODE_KEY_COUNT_MAX + 2)];

	for (unsigned i = 0; i < node->key_count; i++)
		keys[i] = node->keys[i].seq;
	for (unsigned i = 0; i < node->child_count; i++) {
		children[2 * i] = node->children[i]->seq;
		children[2 * i + 1] = node->children[i]->level;
	}
	return hf_bee_level_encode(keys, node->key_count, children, node->child_count, index);
}

static int encode(const struct hf_bee_tree *tree, const struct hf_bee_pending *pending, size_t level_count, struct hf_buffer *index,
	struct hf_buffer *out)
{
	int status = HF_OK;

	hf_buffer_clear(index);
	for (size_t i = 0; i < level_count && status == HF_OK; i++) {
		const struct hf_bee_pointer *pointer = tree->levels[pending->level_start + i];

		status = encode_node(pointer == NULL ? tree->root : pointer->node, index);
	}
	if (status == HF_OK)
		status = hf_bee_block_encode(hf_buffer_slice(index), pending->key, pending->has_value ? &pending->value : NULL, out);
	return status;
}

/* *lengths: of the blocks, one behind the other in *out. Each is encoded before the next is compacted: remains that nothing points to
 * may have pointers to later blocks, as those are by then. */
static int encode_all(struct hf_bee_tree *tree, size_t *lengths, struct hf_buffer *out)
{
	struct hf_buffer index = {0};
	int status = HF_OK;

	for (size_t i = 0; i < tree->pending_count && status == HF_OK; i++) {
		const struct hf_bee_pending *pending = &tree->pending[i];
		size_t start = out->length, level_count = pending->level_count;

		if (i + 1 < tree->pending_count)
			level_count = compact(tree->levels + pending->level_start, level_count, tree->length + i);
		status = encode(tree, pending, level_count, &index, out);
		lengths[i] = out->length - start;
	}
	hf_buffer_free(&index);
	return status;
}

static int append(struct hf_bee *bee, struct hf_bee_tree *tree)
{
	size_t count = tree->pending_count, *lengths = malloc(count * sizeof *lengths);
	struct hf_slice *blocks = malloc(count * sizeof *blocks);
	struct hf_buffer out = {0};
	int status = lengths == NULL || blocks == NULL ? HF_ENOMEM : encode_all(tree, lengths, &out);

	for (size_t i = 0, at = 0; i < count && status == HF_OK; at += lengths[i++])
		blocks[i] = hf_slice(out.data + at, lengths[i]);
	if (status == HF_OK)
		status = hf_core_append(bee->core, blocks, count, NULL);
	hf_buffer_free(&out);
	free(blocks);
	free(lengths);
	return status;
}

int hf_bee_flush(struct hf_bee *bee)
{
	struct hf_bee_tree *tree = bee->tree;
	int status = HF_OK;

	if (tree == NULL)
		return HF_OK;
	if (tree->pending_count > 0 && hf_core_staged_bytes(bee->core) > HF_CORE_STAGED_BYTES_MAX)
		return HF_EBUSY;
	if (tree->pending_count > 0) {
		bool is_changed = tree->length != hf_core_length(bee->core) || tree->fork != hf_core_fork(bee->core);

		status = is_changed ? HF_ECANCELED : append(bee, tree);
	}
	if (status != HF_OK || tree->has_stray_marks || tree->arena.used_bytes > HF_BEE_TREE_BYTES_MAX) {
		hf_bee_tree_drop(bee);
		return status;
	}
	tree->length += tree->pending_count;
	tree->pending_count = tree->pending_bytes = tree->level_count = 0;
	hf_arena_reset(&tree->values);
	return HF_OK;
}

void hf_bee_abandon(struct hf_bee *bee)
{
	if (bee->tree != NULL && (bee->tree->pending_count > 0 || bee->tree->has_stray_marks))
		hf_bee_tree_drop(bee);
}
