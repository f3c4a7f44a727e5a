/* bee: a Hyperbee: an append-only B-tree of keys and values in one core, of which every version can be read again.
 *
 * Block 0 is a header; every other block is one put or del with the tree nodes that it changed. A version is the length of the core at
 * that time, so the tree of version v has its root in block v-1, and versions 0 and 1 are empty. Keys are ordered bytewise. The format
 * is npm hyperbee 2's, and the same changes give the same blocks. Specification, Hypercore, section 8.
 *
 * Reads never wait. Where a block is missing, an operation gives HF_EWAIT, and hf_bee_wants tells which blocks it is about: the first
 * is what it stopped at, the others are what it will probably need next (the rest of the node's keys and children), so that a sparse
 * reader takes a round trip for each level of the tree and not one for each key. Run the operation again when the first is there:
 * with hf_bee_wait, or by the caller's own means. Keys and nodes stay in the bee's cache; values do not: an entry is read anew.
 *
 * Entries that come back are borrowed until the next call on the bee, its views and its iterators. One that is an argument of that
 * call must be a copy.
 *
 * Outside bytes make HF_EMALFORMED and nothing worse: blocks that do not parse, references to block 0 or to later blocks, nodes of the
 * wrong shape, trees deeper than HF_BEE_DEPTH_MAX, and keys that come out of order (which is what a cycle looks like).
 *
 * A bee belongs to the thread of its core.
 */
#ifndef HF_DATA_HYPERBEE_BEE_H
#define HF_DATA_HYPERBEE_BEE_H

#include "data/hypercore/core.h"
#include "data/hyperbee/node.h"

#define HF_BEE_CACHE_BYTES (32u << 20)         /* the default of cache_bytes_max */
#define HF_BEE_WANT_COUNT_MAX 48               /* blocks that one operation wants at once */
#define HF_BEE_PENDING_COUNT_MAX 65536         /* changes in one batch; more is HF_EBUSY */
#define HF_BEE_PENDING_BYTES_MAX (16u << 20)   /* keys and values in one batch */
#define HF_BEE_ENTRY_BYTES_MAX (14u << 20)     /* a key and its value; a block has its nodes beside them */
#define HF_BEE_TREE_BYTES_MAX (64u << 20)      /* of the writer's tree in memory that is kept from one batch to the next */

struct hf_bee;
struct hf_bee_range;

/* Who is told what an operation looks for when it begins to wait, so that a peer that has more of the bee can be asked which blocks that
 * will come to. The calls must not call the bee. */
struct hf_bee_hinter {
	void (*get)(struct hf_bee_hinter *hinter, uint64_t version, struct hf_slice key);
	/* checkpoint: where the iterator stands, three numbers for each node from the root down: block, level, and place in it (even ones are
	 * children, odd ones keys). */
	void (*range)(struct hf_bee_hinter *hinter, uint64_t version, const struct hf_bee_range *range, const uint64_t *checkpoint,
		size_t checkpoint_count);
};
#define HF_BEE_HINT_ENTRY_COUNT 2048 /* entries for which an iterator tells once */

struct hf_bee_options {
	size_t size;                          /* sizeof this struct */
	struct hf_core *core;                 /* a reference is taken */
	const struct hf_bee_header *header;   /* for block 0, should we be the first to write; NULL: without metadata. Copied */
	struct hf_bee_hinter *hinter;         /* may be NULL */
	size_t cache_bytes_max;               /* keys and nodes; 0: HF_BEE_CACHE_BYTES. A bound between operations */
};
/* HF_ENOMEM. Reads nothing: that the core holds a bee shows when it is read. */
HF_API int hf_bee_open(struct hf_bee **out, const struct hf_bee_options *options);
/* Gives up what is pending. Views, iterators and watches must be closed before. NULL is fine. */
HF_API void hf_bee_close(struct hf_bee *bee);
HF_API struct hf_core *hf_bee_core(const struct hf_bee *bee);

/* The core's length, at least 1; with what is pending it would be that much more. */
HF_API uint64_t hf_bee_version(const struct hf_bee *bee);
/* Block 0. Slices are borrowed like an entry's. HF_ENOTFOUND: the core is empty; HF_EMALFORMED: it is not a bee; HF_EWAIT, HF_ENOMEM. */
HF_API int hf_bee_get_header(struct hf_bee *bee, struct hf_bee_header *header);

/* ---- Missing blocks ---- */

/* What the last operation that gave HF_EWAIT wants; the first is needed. */
HF_API const uint64_t *hf_bee_wants(const struct hf_bee *bee, size_t *count);

/* Waits for what the bee wants: puts all of it on the core's want list, or has it thawed when it is held but cold. ready is called once,
 * later, when the first block is there or will not come; the others stay on the list. Arming it again for the next HF_EWAIT keeps
 * what is still wanted. Cancel it when the operation has ended. */
struct hf_bee_waiter {
	void (*ready)(struct hf_bee_waiter *waiter, int status);
	void *context; /* the caller's */
	/* Its own; zero at first. */
	struct hf_bee *bee;
	struct hf_bee_want {
		struct hf_core_waiter core;
		struct hf_bee_waiter *owner;
		bool is_armed;
	} wants[HF_BEE_WANT_COUNT_MAX];
	struct hf_bee_thaw *thaw;
	bool is_waiting;
	uint64_t needed;
};
/* HF_EBUSY: the executor's queue is full; HF_ENOMEM. */
HF_API int hf_bee_wait(struct hf_bee *bee, struct hf_bee_waiter *waiter);
HF_API void hf_bee_wait_cancel(struct hf_bee_waiter *waiter);

/* ---- Views ---- */

/* The bee as it was at a version. A view outlives truncations of the core: its blocks are kept. */
struct hf_bee_view;
HF_API int hf_bee_snapshot(struct hf_bee *bee, struct hf_bee_view **out); /* as it is now, without what is pending. HF_ENOMEM */
/* version 0 is 1. HF_EINVAL above the present version; HF_ENOMEM. */
HF_API int hf_bee_checkout(struct hf_bee *bee, uint64_t version, struct hf_bee_view **out);
HF_API void hf_bee_view_free(struct hf_bee_view *view); /* NULL is fine */
HF_API uint64_t hf_bee_view_version(const struct hf_bee_view *view);

/* Wherever a view is asked for, this is the bee as it is at each call: not a copy, and not to be freed. */
HF_API struct hf_bee_view *hf_bee_latest(struct hf_bee *bee);

/* From now on read is called for each block that is looked at, again and again for the same. NULL: no more. It must not call the bee. */
HF_API void hf_bee_view_trace(struct hf_bee_view *view, void (*read)(void *context, uint64_t seq), void *context);

/* ---- Reading ---- */

struct hf_bee_entry {
	uint64_t seq;        /* its block */
	struct hf_slice key, value;
	bool has_value;      /* false: null was put, or it is a del of the history */
	bool is_deletion;    /* in a history only */
};

/* All of these: HF_EWAIT, HF_EMALFORMED, HF_ENOMEM, and what hf_core_get gives. HF_ENOTFOUND: there is no such key. */
HF_API int hf_bee_get(struct hf_bee_view *view, struct hf_slice key, struct hf_bee_entry *entry);
/* The put or del in one block. HF_ENOTFOUND: seq is 0, or not below the version. */
HF_API int hf_bee_get_seq(struct hf_bee_view *view, uint64_t seq, struct hf_bee_entry *entry);

/* Bounds that are not set are open. gt goes before gte, lt before lte, as in the package. */
struct hf_bee_range {
	bool has_gt, has_gte, has_lt, has_lte;
	struct hf_slice gt, gte, lt, lte;
	bool reverse;
	bool has_limit;
	uint64_t limit; /* entries at most */
};
/* The first entry of a range. HF_ENOTFOUND: it is empty. */
HF_API int hf_bee_peek(struct hf_bee_view *view, const struct hf_bee_range *range, struct hf_bee_entry *entry);

/* Entries of a range in order of their keys. The bounds are copied. The version is that of the call; a view must outlive it. */
struct hf_bee_iterator;
HF_API int hf_bee_iterate(struct hf_bee_view *view, const struct hf_bee_range *range, struct hf_bee_iterator **out); /* HF_ENOMEM */
/* HF_ENOTFOUND at the end. After HF_EWAIT it goes on where it was. HF_EMALFORMED is final. HF_ECANCELED: the latest view was read and
 * the core has been truncated meanwhile. */
HF_API int hf_bee_iterator_next(struct hf_bee_iterator *iterator, struct hf_bee_entry *entry);
/* Has an iterator that has not begun begin where another stood: the checkpoint of a hinter. HF_EMALFORMED: that is no place. */
HF_API int hf_bee_iterator_resume(struct hf_bee_iterator *iterator, const uint64_t *checkpoint, size_t checkpoint_count);
HF_API void hf_bee_iterator_free(struct hf_bee_iterator *iterator); /* NULL is fine */

/* Blocks in their order, as puts and dels. Numbers are blocks; negative ones count back from the version. In the package's way 0 is
 * "not given" for gt and gte. A put of null in the middle of a batch looks like a del. */
struct hf_bee_history_range {
	int64_t gt, gte;
	bool has_lt, has_lte;
	int64_t lt, lte;
	bool reverse;
	bool has_limit;
	uint64_t limit;
	bool live; /* the end moves with the core: HF_ENOTFOUND says nothing more yet. Not with reverse (HF_EINVAL), nor with lt or lte */
};
struct hf_bee_history {
	struct hf_bee_view *view; /* borrowed */
	uint64_t from, to;        /* blocks [from, to) are left */
	uint64_t generation;
	bool reverse, live, has_limit;
	uint64_t limit;
};
HF_API int hf_bee_history_start(struct hf_bee_history *history, struct hf_bee_view *view, const struct hf_bee_history_range *range);
HF_API int hf_bee_history_next(struct hf_bee_history *history, struct hf_bee_entry *entry); /* as hf_bee_iterator_next */

/* What two views of one bee differ in, in ascending order of keys: left and right, of which one may be missing. Parts that both share
 * are not read. reverse is not looked at. Where the core was truncated between the two, they have no blocks to be compared by: both are
 * then versions of the history that has more of them, the left one's when they are the same number; the latest, in another history than
 * its own, is the end of that. So it is in the package. Both views must outlive it. HF_ENOMEM. */
struct hf_bee_difference {
	bool has_left, has_right;
	struct hf_bee_entry left, right;
};
struct hf_bee_diff;
HF_API int hf_bee_diff(struct hf_bee_view *left, struct hf_bee_view *right, const struct hf_bee_range *range, struct hf_bee_diff **out);
HF_API int hf_bee_diff_next(struct hf_bee_diff *diff, struct hf_bee_difference *difference); /* as hf_bee_iterator_next */
HF_API void hf_bee_diff_free(struct hf_bee_diff *diff); /* NULL is fine */

/* ---- Changing ---- */

/* Changes gather as one batch, which hf_bee_flush appends to the core in one go; each takes one block. A put or del on its own is a batch
 * of one. Only the version after the batch can be checked out. What is appended is staged in the core: commit it with
 * hf_core_commit. An empty core gets its header with the first change, in an append of its own.
 *
 * In both: HF_EDENIED: the core is not writable; HF_EWAIT: nothing is changed, run it again; HF_EBUSY: the batch is full, flush it;
 * HF_ECANCELED: check refused, or the core was changed by another since the batch began, which is given up then; HF_ETOOBIG: key and
 * value have more than HF_BEE_ENTRY_BYTES_MAX; HF_ENOMEM, HF_EMALFORMED: the batch may be given up, see hf_bee_pending_count. Key and
 * value are copied. */
struct hf_bee_change {
	/* Compare and swap: asked when the key is there, with what it has now and what it would have (its value missing: a del). false
	 * leaves it. May be NULL. It must not call the bee. */
	bool (*check)(void *context, const struct hf_bee_entry *now, const struct hf_bee_entry *next);
	void *context;
	bool skip_same; /* a put of the value that is there changes nothing: HF_EDUPLICATE */
};
/* value NULL: null. change may be NULL. */
HF_API int hf_bee_put(struct hf_bee *bee, struct hf_slice key, const struct hf_slice *value, const struct hf_bee_change *change);
HF_API int hf_bee_del(struct hf_bee *bee, struct hf_slice key, const struct hf_bee_change *change); /* HF_ENOTFOUND: it is not there */
/* As hf_bee_get, with what is pending. */
HF_API int hf_bee_get_pending(struct hf_bee *bee, struct hf_slice key, struct hf_bee_entry *entry);
HF_API size_t hf_bee_pending_count(const struct hf_bee *bee);
/* HF_OK also when nothing is pending; HF_ECANCELED, and what hf_core_append gives, after which the batch is given up. */
HF_API int hf_bee_flush(struct hf_bee *bee);
HF_API void hf_bee_abandon(struct hf_bee *bee);

/* ---- Watching ---- */

/* Tells when a range has changed. grew is called when the core's committed tree grows or is truncated: there may be a change. Then call
 * hf_bee_watch_next, which compares: HF_OK: something in the range differs between *before and *now, which are borrowed until the next
 * call; HF_ENOTFOUND: nothing does; HF_EWAIT and the rest as in reading. A key alone is the range from gte to lte of it. */
struct hf_bee_watch;
HF_API int hf_bee_watch(struct hf_bee *bee, const struct hf_bee_range *range, void (*grew)(void *context), void *context,
	struct hf_bee_watch **out); /* HF_ENOMEM */
HF_API int hf_bee_watch_next(struct hf_bee_watch *watch, struct hf_bee_view **before, struct hf_bee_view **now);
HF_API void hf_bee_watch_free(struct hf_bee_watch *watch); /* NULL is fine; also from within grew */

#endif
