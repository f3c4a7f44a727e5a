/* tree_node: a node of a core's Merkle tree, and lists of them as they are on the wire. (spec: Hypercore, section 2.2)
 *
 * A list stays encoded: reading walks it, writing appends to a buffer. hf_node_list_read checks all of it once, so that walking
 * cannot fail.
 */
#ifndef HF_DATA_HYPERCORE_TREE_NODE_H
#define HF_DATA_HYPERCORE_TREE_NODE_H

#include "codec/compact.h"

#define HF_TREE_NODE_BYTES_MIN 34
#define HF_NODE_LIST_COUNT_MAX 4096 /* no honest list has more than some hundred */

struct hf_tree_node {
	uint64_t index; /* flat in-order number */
	uint64_t size;  /* bytes of the blocks under it */
	uint8_t hash[32];
};

struct hf_node_list {
	struct hf_slice encoded; /* the nodes without their count; borrowed */
	size_t count;
};

HF_API void hf_tree_node_write(struct hf_compact_writer *out, const struct hf_tree_node *node);
HF_API void hf_tree_node_read(struct hf_compact_reader *in, struct hf_tree_node *node);

/* The package's array(node). Sets the reader's status like any read. */
HF_API struct hf_node_list hf_node_list_read(struct hf_compact_reader *in);
HF_API void hf_node_list_write(struct hf_compact_writer *out, const struct hf_node_list *list);
/* Walks a list: false at its end. at starts as hf_compact_reader(list->encoded). */
HF_API bool hf_node_list_next(struct hf_compact_reader *at, struct hf_tree_node *node);

#endif
