/* tree: the Merkle tree of a core: what is known of it by its roots, and how it grows. (spec: Hypercore, sections 6.1 to 6.3)
 *
 * A node has a flat in-order number (flat_tree.h). A tree is its roots from left to right; all other nodes are kept by whoever owns
 * the tree and reached through a hf_tree_reader. Nothing here allocates, signs or touches a disk.
 */
#ifndef HF_DATA_HYPERCORE_TREE_H
#define HF_DATA_HYPERCORE_TREE_H

#include "crypto/merkle_hash.h"
#include "data/hypercore/flat_tree.h"
#include "data/hypercore/tree_node.h"

#define HF_TREE_ROOTS_MAX HF_FLAT_ROOTS_MAX
#define HF_TREE_LENGTH_MAX HF_FLAT_LENGTH_MAX       /* blocks */
#define HF_TREE_BYTES_MAX HF_COMPACT_UINT_MAX       /* of all blocks together */
#define HF_TREE_APPEND_NODES_MAX (HF_TREE_ROOTS_MAX + 1)
#define HF_TREE_HASH_BYTES HF_MERKLE_HASH_BYTES

/* Zero-initialised: the empty tree of fork 0. */
struct hf_tree {
	uint64_t length;      /* blocks */
	uint64_t byte_length; /* sum of the roots' sizes */
	uint64_t fork;
	uint32_t root_count;
	struct hf_tree_node roots[HF_TREE_ROOTS_MAX];
};

/* Where other nodes come from. HF_OK, HF_ENOTFOUND (not held), or HF_EWAIT, HF_ECORRUPT, HF_EIO: passed on by whoever asked.
 * It need not hold the roots. */
struct hf_tree_reader {
	void *context;
	int (*node)(void *context, uint64_t index, struct hf_tree_node *out);
};

/* Copies no more roots than there are. */
HF_API void hf_tree_copy(struct hf_tree *to, const struct hf_tree *from);
HF_API void hf_tree_hash(const struct hf_tree *tree, uint8_t out[static HF_TREE_HASH_BYTES]);

/* Adds a leaf and merges roots; nodes gets the leaf and then the parents that it completes, in order: 1 + trailing ones of the
 * block's number. HF_ETOOBIG past HF_TREE_LENGTH_MAX or HF_TREE_BYTES_MAX; then nothing is changed. */
HF_API int hf_tree_append(struct hf_tree *tree, uint64_t block_bytes, const uint8_t leaf_hash[static HF_TREE_HASH_BYTES],
	struct hf_tree_node nodes[static HF_TREE_APPEND_NODES_MAX], uint32_t *node_count);
/* The same with any complete subtree, which must stand at the tree's end (else HF_EINVAL). */
HF_API int hf_tree_push(struct hf_tree *tree, const struct hf_tree_node *node,
	struct hf_tree_node nodes[static HF_TREE_APPEND_NODES_MAX], uint32_t *node_count);
/* Where hf_tree_grow takes its nodes from. */
struct hf_tree_source {
	void *context;
	int (*take)(void *context, uint64_t index, struct hf_tree_node *out); /* HF_EBADSIG: not there, or another one is next */
	int (*made)(void *context, const struct hf_tree_node *nodes, uint32_t node_count); /* taken one and its new parents; or NULL */
};
/* Grows a tree to a length by the nodes of an upgrade, asked for in the order they are sent in. A length that is no larger asks for
 * nothing or fails. HF_ETOOBIG; and the source's. After a failure the tree is of no use. */
HF_API int hf_tree_grow(struct hf_tree *tree, uint64_t length, const struct hf_tree_source *source);
/* The tree at an earlier length, its roots read where ours do not have them; fork is taken over unchanged. HF_EINVAL for a later
 * one; HF_ENOTFOUND when a root is not held; and the reader's. out may not be tree. */
HF_API int hf_tree_at(const struct hf_tree *tree, const struct hf_tree_reader *reader, uint64_t length, struct hf_tree *out);

/* The root that index is, or NULL. */
HF_API const struct hf_tree_node *hf_tree_root(const struct hf_tree *tree, uint64_t index);
/* A root, or what the reader has. */
HF_API int hf_tree_node(const struct hf_tree *tree, const struct hf_tree_reader *reader, uint64_t index, struct hf_tree_node *out);

/* The hash and size of a block in one piece; the parent of two siblings, left and right. HF_ETOOBIG past HF_TREE_BYTES_MAX. */
HF_API void hf_tree_leaf(struct hf_tree_node *out, uint64_t block, struct hf_slice value);
HF_API int hf_tree_parent(struct hf_tree_node *out, const struct hf_tree_node *left, const struct hf_tree_node *right);

#endif
