/* tree: the writer's tree: nodes in memory, loaded as far as changes reach, changed in place. (Private to data/)
 *
 * Each node but the root has one pointer to it, which is a thing of its own: it moves between parents with its node, and the batch's lists
 * of what each change wrote are lists of pointers. Where a root has shrunk into its child, that child's pointer stays behind in its list.
 * What a block keeps of its nodes is decided by the pointers at the end of the batch (flush.c), so all this shows in the bytes.
 */
#ifndef HF_DATA_HYPERBEE_TREE_H
#define HF_DATA_HYPERBEE_TREE_H

#include "base/arena.h"
#include "data/hyperbee/bee_private.h"

struct hf_bee_tree_node;

struct hf_bee_tree_key {
	uint64_t seq;
	const uint8_t *bytes; /* in the arena; NULL: not loaded */
	size_t length;
};
struct hf_bee_pointer {
	uint64_t seq;
	uint32_t level;
	struct hf_bee_tree_node *node; /* NULL: not loaded */
};
/* One more key and child than a node may have: before it is split. */
struct hf_bee_tree_node {
	uint8_t key_count, child_count;
	bool is_changed;
	struct hf_bee_tree_key keys[HF_BEE_NODE_KEY_COUNT_MAX + 1];
	struct hf_bee_pointer *children[HF_BEE_NODE_KEY_COUNT_MAX + 2];
};

struct hf_bee_pending {
	struct hf_slice key, value;
	bool has_value;
	size_t level_start, level_count; /* in levels; the first is the root's, NULL */
};

struct hf_bee_tree {
	struct hf_arena arena;  /* nodes, pointers, keys: as long as the tree */
	struct hf_arena values; /* as long as the batch */
	struct hf_bee_tree_node *root;
	uint64_t length, fork;  /* of the core when the batch began */
	struct hf_bee_pending *pending;
	size_t pending_count, pending_capacity, pending_bytes;
	struct hf_bee_pointer **levels;
	size_t level_count, level_capacity;
	bool has_stray_marks;   /* nodes are marked as changed that no block was written for */
};

/* A way from the root down. */
struct hf_bee_path {
	struct hf_bee_step {
		struct hf_bee_tree_node *node;
		unsigned index; /* of the child that is next; in the last, of the key */
	} steps[HF_BEE_DEPTH_MAX];
	unsigned count;
	bool is_there; /* the key */
};

/* tree.c */
int hf_bee_tree_begin(struct hf_bee *bee, size_t bytes); /* before a change of so many bytes */
int hf_bee_tree_find(struct hf_bee *bee, struct hf_slice key, struct hf_bee_path *path);
int hf_bee_tree_load(struct hf_bee *bee, struct hf_bee_pointer *pointer); /* its node */
int hf_bee_tree_push(struct hf_bee *bee, struct hf_bee_path *path, unsigned index); /* goes down to a child */
int hf_bee_tree_check(struct hf_bee *bee, const struct hf_bee_path *path, const struct hf_bee_change *change,
	const struct hf_bee_entry *next); /* HF_ECANCELED, HF_EDUPLICATE */
/* Notes the change, and what it wrote. HF_ENOMEM: the tree has been dropped. */
int hf_bee_tree_record(struct hf_bee *bee, struct hf_slice key, const struct hf_slice *value);

#endif
