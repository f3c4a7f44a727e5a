/* bee_private: what the parts of a bee share. (Private to data/) */
#ifndef HF_DATA_HYPERBEE_BEE_PRIVATE_H
#define HF_DATA_HYPERBEE_BEE_PRIVATE_H

#include "data/hyperbee/bee.h"
#include "data/hyperbee/cache.h"

struct hf_bee_tree;

/* Blocks come from the core and the bee's cache as long as the core has not been truncated, nor lost a commit, since the view was made;
 * from the core's snapshot and a cache of the view's own after that. */
struct hf_bee_view {
	struct hf_bee *bee;
	struct hf_core_snapshot *snapshot; /* NULL: the latest */
	uint64_t version, generation;
	struct hf_bee_cache cache;
	void (*traced)(void *context, uint64_t seq); /* may be NULL */
	void *trace_context;
};

struct hf_bee {
	struct hf_core *core;
	struct hf_core_listener listener;
	struct hf_buffer header;       /* encoded: what an empty core gets */
	struct hf_buffer scratch;      /* a block as the core gives it: the one that was read last */
	uint64_t read_seq, read_generation; /* which; 0: none */
	struct hf_bee_hinter *hinter;
	struct hf_buffer hinted_key;   /* of the get that it was told of last, at that version */
	uint64_t hinted_version;
	struct hf_bee_cache cache;
	struct hf_bee_view latest;
	uint64_t fork, generation;     /* generation changes when cached blocks may be wrong */
	uint64_t wants[HF_BEE_WANT_COUNT_MAX];
	size_t want_count;
	struct hf_bee_tree *tree;      /* the writer's; NULL: none is loaded */
	struct hf_bee_watch *watches;
	struct hf_bee_watch *next_watch; /* to be told, while they are being told */
};

/* A place in a node: even numbers are children, odd ones keys. */
struct hf_bee_frame {
	uint64_t seq;
	uint32_t level, hint;
	int place;
	uint64_t bound; /* diff.c: block of the key that bounds the node from above; 0: none */
};

/* bee.c: every operation begins with one of these. */
void hf_bee_refresh(struct hf_bee *bee);
void hf_bee_view_begin(struct hf_bee_view *view);
/* What is kept of a block: valid until the next operation begins. HF_EWAIT is noted. */
int hf_bee_block_at(struct hf_bee_view *view, uint64_t seq, uint32_t *hint, struct hf_bee_block **out);
/* A node, and the block that it is in. */
int hf_bee_node_at(struct hf_bee_view *view, uint64_t seq, uint32_t level, uint32_t *hint, struct hf_bee_block **block,
	const struct hf_bee_node **node);
int hf_bee_key_at(struct hf_bee_view *view, const struct hf_bee_block *own, struct hf_bee_reference *key, struct hf_slice *out);
/* A whole block, valid until the next is read, by whichever of these functions. Nothing of it is kept. */
int hf_bee_entry_at(struct hf_bee_view *view, uint64_t seq, struct hf_bee_entry *entry);
/* The same, and whether it is a del. */
int hf_bee_change_at(struct hf_bee_view *view, uint64_t seq, struct hf_bee_entry *entry);
/* What a block says of its own key, when it has a node on the way to that: it is then the last that changed it. HF_ENOTFOUND: a del. */
int hf_bee_target_at(struct hf_bee_view *view, uint64_t seq, struct hf_bee_entry *entry);
/* Where key is, or would be, in a node: *order is 0 when it is there. HF_EWAIT: wants the whole node. */
int hf_bee_search(struct hf_bee_view *view, const struct hf_bee_block *block, const struct hf_bee_node *node, struct hf_slice key,
	unsigned *index, bool *is_there);
/* Adds to what is wanted, unless it is here. */
void hf_bee_want(struct hf_bee_view *view, uint64_t seq);
/* The keys and children of a node from a place on, in the direction of reading. */
void hf_bee_want_node(struct hf_bee_view *view, const struct hf_bee_node *node, int from, bool reverse);

/* tree.c */
void hf_bee_tree_drop(struct hf_bee *bee);

/* watch.c */
void hf_bee_tell_watches(struct hf_bee *bee);

#endif
