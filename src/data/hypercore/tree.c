/* Roots are the full roots of the length at all times: a node can only be pushed where it begins at the tree's end, which makes it
 * no larger than the last root; one of the same size merges at once. */
#include "data/hypercore/tree.h"

#include <assert.h>

static struct hf_merkle_node merkle_node(const struct hf_tree_node *node)
{
	struct hf_merkle_node out = {.size = node->size};

	memcpy(out.hash, node->hash, sizeof out.hash);
	return out;
}

void hf_tree_copy(struct hf_tree *to, const struct hf_tree *from)
{
	to->length = from->length;
	to->byte_length = from->byte_length;
	to->fork = from->fork;
	to->root_count = from->root_count;
	memcpy(to->roots, from->roots, from->root_count * sizeof from->roots[0]);
}

void hf_tree_hash(const struct hf_tree *tree, uint8_t out[static HF_TREE_HASH_BYTES])
{
	struct hf_tree_hash hash;

	hf_tree_hash_init(&hash);
	for (uint32_t i = 0; i < tree->root_count; i++) {
		struct hf_merkle_node root = merkle_node(&tree->roots[i]);

		hf_tree_hash_add(&hash, tree->roots[i].index, &root);
	}
	hf_tree_hash_final(&hash, out);
}

void hf_tree_leaf(struct hf_tree_node *out, uint64_t block, struct hf_slice value)
{
	struct iovec piece = {.iov_base = (void *)value.data, .iov_len = value.length};

	out->index = 2 * block;
	out->size = value.length;
	hf_leaf_hash(out->hash, &piece, 1);
}

int hf_tree_parent(struct hf_tree_node *out, const struct hf_tree_node *left, const struct hf_tree_node *right)
{
	struct hf_merkle_node a = merkle_node(left), b = merkle_node(right);

	if (a.size > HF_TREE_BYTES_MAX || b.size > HF_TREE_BYTES_MAX - a.size)
		return HF_ETOOBIG;
	out->index = hf_flat_parent(left->index);
	out->size = a.size + b.size;
	hf_parent_hash(out->hash, &a, &b);
	return HF_OK;
}

int hf_tree_push(struct hf_tree *tree, const struct hf_tree_node *node,
	struct hf_tree_node nodes[static HF_TREE_APPEND_NODES_MAX], uint32_t *node_count)
{
	struct hf_tree_node top = *node;
	uint64_t blocks = hf_flat_leaf_count(top.index);
	uint32_t count = 0;

	if (hf_flat_left_span(top.index) != 2 * tree->length)
		return HF_EINVAL;
	if (blocks > HF_TREE_LENGTH_MAX - tree->length || top.size > HF_TREE_BYTES_MAX - tree->byte_length)
		return HF_ETOOBIG;
	tree->length += blocks;
	tree->byte_length += top.size;
	nodes[count++] = top;
	while (tree->root_count > 0 && tree->roots[tree->root_count - 1].index == hf_flat_sibling(top.index)) {
		int status = hf_tree_parent(&nodes[count], &tree->roots[tree->root_count - 1], &top);

		assert(status == HF_OK); /* no larger than byte_length */
		(void)status;
		top = nodes[count++];
		tree->root_count--;
	}
	assert(tree->root_count < HF_TREE_ROOTS_MAX);
	tree->roots[tree->root_count++] = top;
	*node_count = count;
	return HF_OK;
}

int hf_tree_append(struct hf_tree *tree, uint64_t block_bytes, const uint8_t leaf_hash[static HF_TREE_HASH_BYTES],
	struct hf_tree_node nodes[static HF_TREE_APPEND_NODES_MAX], uint32_t *node_count)
{
	struct hf_tree_node leaf = {.index = 2 * tree->length, .size = block_bytes};

	memcpy(leaf.hash, leaf_hash, sizeof leaf.hash);
	return hf_tree_push(tree, &leaf, nodes, node_count);
}

static int grow_by(struct hf_tree *tree, uint64_t index, const struct hf_tree_source *source)
{
	struct hf_tree_node node, nodes[HF_TREE_APPEND_NODES_MAX];
	uint32_t count;
	int status = source->take(source->context, index, &node);

	if (status == HF_OK)
		status = hf_tree_push(tree, &node, nodes, &count);
	if (status == HF_OK && source->made != NULL)
		status = source->made(source->context, nodes, count);
	return status == HF_EINVAL ? HF_EBADSIG : status;
}

/* Up to the root that our last roots will be part of, by the siblings to the right of the last one. */
static int grow_last_to(struct hf_tree *tree, uint64_t root, const struct hf_tree_source *source)
{
	int status = HF_OK;

	while (status == HF_OK && tree->roots[tree->root_count - 1].index != root)
		status = grow_by(tree, hf_flat_sibling(tree->roots[tree->root_count - 1].index), source);
	return status;
}

int hf_tree_grow(struct hf_tree *tree, uint64_t length, const struct hf_tree_source *source)
{
	struct hf_flat_roots at = {.end = 2 * length};
	uint32_t shared = 0, old_count = tree->root_count;
	uint64_t root;
	int status = HF_OK;

	if (length > HF_TREE_LENGTH_MAX)
		return HF_ETOOBIG;
	while (status == HF_OK && hf_flat_roots_next(&at, &root)) {
		if (shared < old_count && tree->roots[shared].index == root) {
			shared++;
		} else if (shared < old_count) {
			status = grow_last_to(tree, root, source);
			shared = old_count = 0;
		} else {
			status = grow_by(tree, root, source);
		}
	}
	return status;
}

const struct hf_tree_node *hf_tree_root(const struct hf_tree *tree, uint64_t index)
{
	for (uint32_t i = 0; i < tree->root_count && tree->roots[i].index <= index; i++)
		if (tree->roots[i].index == index)
			return &tree->roots[i];
	return NULL;
}

int hf_tree_node(const struct hf_tree *tree, const struct hf_tree_reader *reader, uint64_t index, struct hf_tree_node *out)
{
	const struct hf_tree_node *root = hf_tree_root(tree, index);

	if (root == NULL)
		return reader->node(reader->context, index, out);
	*out = *root;
	return HF_OK;
}

int hf_tree_at(const struct hf_tree *tree, const struct hf_tree_reader *reader, uint64_t length, struct hf_tree *out)
{
	struct hf_flat_roots at = {.end = 2 * length};
	uint64_t root;

	if (length > tree->length)
		return HF_EINVAL;
	out->length = length;
	out->byte_length = 0;
	out->fork = tree->fork;
	out->root_count = 0;
	while (hf_flat_roots_next(&at, &root)) {
		struct hf_tree_node *node = &out->roots[out->root_count];
		int status = hf_tree_node(tree, reader, root, node);

		if (status != HF_OK)
			return status;
		if (node->size > HF_TREE_BYTES_MAX - out->byte_length)
			return HF_ECORRUPT;
		out->byte_length += node->size;
		out->root_count++;
	}
	return HF_OK;
}
