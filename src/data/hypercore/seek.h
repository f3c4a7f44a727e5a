/* seek: from a byte of a core to its block and back, as far as the nodes that are held lead. (spec: Hypercore, section 6.6)
 *
 * padding is what each stored block has in front of its data (8 in encrypted cores, else 0); bytes are counted without it.
 */
#ifndef HF_DATA_HYPERCORE_SEEK_H
#define HF_DATA_HYPERCORE_SEEK_H

#include "data/hypercore/tree.h"

/* Bytes of that many blocks without their padding; false when they are too few for it. */
static inline bool hf_seek_unpadded(uint64_t bytes, uint64_t blocks, uint64_t padding, uint64_t *out)
{
	uint64_t padded;

	if (__builtin_mul_overflow(blocks, padding, &padded) || padded > bytes)
		return false;
	*out = bytes - padded;
	return true;
}

struct hf_seek {
	bool needs_network;   /* the byte is in one of the blocks [start, end): ask a peer */
	uint64_t start, end;
	uint64_t block, offset; /* otherwise: that block, and the byte within it */
};

/* HF_OK with *out; HF_ENOTFOUND: past the end, which only an upgrade can change; HF_ECORRUPT: the nodes' sizes cannot be (smaller
 * than their padding, children larger than the parent); and the reader's. The end itself is block tree->length, byte 0. */
HF_API int hf_seek(const struct hf_tree *tree, const struct hf_tree_reader *reader, uint64_t bytes, uint64_t padding, struct hf_seek *out);

/* Where a node's first block begins, in bytes without padding; for block b, node 2b; 2 * length is the end. HF_EINVAL for a node
 * that is not in the tree; HF_ENOTFOUND: a node on the path is not held; HF_ECORRUPT; and the reader's. */
HF_API int hf_seek_offset(const struct hf_tree *tree, const struct hf_tree_reader *reader, uint64_t node, uint64_t padding,
	uint64_t *bytes);

/* How many levels up the nearest node is held, which is what a request for a block (node 2 * block) or a hash says in `nodes`.
 * 0 for nodes past the end, which come with an upgrade. */
HF_API int hf_seek_missing(const struct hf_tree *tree, const struct hf_tree_reader *reader, uint64_t node, uint64_t *count);

#endif
