/* core: a Hypercore: an append-only log of blocks under a signed Merkle tree, of which any part may be held.
 *
 * Cores are opened from a corestore (corestore.h) and belong to its thread. A change is made in memory at once and STAGED; what was
 * staged becomes one commit of the store with hf_core_commit or hf_core_commit_wait, and is told to peers only when that is done.
 * One commit holds head, tree, blocks and what is known of blocks held, so none of them is ever seen without the others.
 *
 * Reads never wait. HF_EWAIT says that something is not here: a block that is not held (ask for it with hf_core_wait), or
 * one that is held but cold on the disk (hf_corestore_thaw). Run the operation again then. In a store that was opened as
 * blocking, the disk is waited for and only blocks that are not held give HF_EWAIT.
 *
 * How a core is laid out in the store: layout.h. Formats and rules: specification, Hypercore.
 */
#ifndef HF_DATA_HYPERCORE_CORE_H
#define HF_DATA_HYPERCORE_CORE_H

#include "crypto/namespace.h"
#include "data/hypercore/bitfield.h"
#include "data/hypercore/reorg.h"
#include "data/hypercore/seek.h"
#include "store/store.h"

#define HF_CORE_BLOCK_BYTES_MAX (15u << 20)    /* a frame of the secret stream holds one, with its proof */
#define HF_CORE_USER_DATA_BYTES_MAX (64u << 10) /* all entries of a core together */
#define HF_CORE_STAGED_BYTES_MAX (32u << 20)   /* not committed yet; more is refused with HF_EBUSY */

struct hf_core;
struct hf_corestore;

/* A core is shared by all who opened it. unref by the last commits what is staged and forgets the core. */
HF_API struct hf_core *hf_core_ref(struct hf_core *core);
HF_API void hf_core_unref(struct hf_core *core); /* NULL is fine */

/* ---- What it is ---- */

HF_API const uint8_t *hf_core_key(const struct hf_core *core);           /* HF_CORE_KEY_BYTES */
HF_API const uint8_t *hf_core_discovery_key(const struct hf_core *core); /* 32 bytes */
HF_API struct hf_corestore *hf_core_store(const struct hf_core *core);
HF_API const struct hf_manifest *hf_core_manifest(const struct hf_core *core); /* NULL until it is known */
HF_API bool hf_core_is_compat(const struct hf_core *core);    /* key is the signer's own; its manifest is never sent */
HF_API uint64_t hf_core_prologue_length(const struct hf_core *core); /* 0: none, or none that is known of yet */
HF_API bool hf_core_is_writable(const struct hf_core *core);  /* we hold the one key that signs */
HF_API bool hf_core_is_encrypted(const struct hf_core *core); /* blocks are opened and sealed on their way */
HF_API uint64_t hf_core_padding(const struct hf_core *core);  /* bytes that encryption adds to a block: 0 or 8 */
/* From now on blocks are decrypted and encrypted. HF_EEXISTS when another key was given before. */
HF_API int hf_core_set_encryption_key(struct hf_core *core, const uint8_t key[static 32], bool is_block_key);
/* Set, for good, after a peer has proved that the writer signed two histories; nothing is written or replicated any more. */
HF_API bool hf_core_is_frozen(const struct hf_core *core);

/* The tree with what is staged, and as committed. */
HF_API const struct hf_tree *hf_core_tree(const struct hf_core *core);
HF_API const struct hf_tree *hf_core_committed_tree(const struct hf_core *core);
static inline uint64_t hf_core_length(const struct hf_core *core) { return hf_core_tree(core)->length; }
static inline uint64_t hf_core_fork(const struct hf_core *core) { return hf_core_tree(core)->fork; }
HF_API uint64_t hf_core_byte_length(const struct hf_core *core); /* of the blocks as their reader sees them, without padding */
HF_API struct hf_slice hf_core_signature(const struct hf_core *core); /* over the committed tree; borrowed until the next change */
HF_API const struct hf_bitfield *hf_core_blocks(const struct hf_core *core); /* which are held, with what is staged */

/* ---- Reading ---- */

/* Appends the block, opened, to *block. HF_EWAIT; HF_ENOTFOUND at or past the length; HF_EIO, HF_ECORRUPT, HF_ENOMEM, and
 * HF_EMALFORMED for a block too short for its padding. */
HF_API int hf_core_get(struct hf_core *core, uint64_t index, struct hf_buffer *block);
HF_API int hf_core_get_stored(struct hf_core *core, uint64_t index, struct hf_buffer *block); /* as it is in the tree */
/* The block that holds byte `bytes` of all, and where in it. HF_EWAIT with *from and *to set: the answer lies among these
 * blocks; get one of them, or extend the tree. HF_ENOTFOUND past the end. */
struct hf_core_place {
	uint64_t block, offset;
	uint64_t from, to;
};
HF_API int hf_core_seek(struct hf_core *core, uint64_t bytes, struct hf_core_place *place);
/* A node of the tree, staged ones included. HF_ENOTFOUND: not held. */
HF_API int hf_core_node(struct hf_core *core, uint64_t index, struct hf_tree_node *node);
HF_API struct hf_tree_reader hf_core_nodes(struct hf_core *core);
/* The tree as it was at an earlier length of this fork. */
HF_API int hf_core_tree_at(struct hf_core *core, uint64_t length, struct hf_tree *tree);

/* A core's own notes, not replicated. Appended to *value. HF_ENOTFOUND. */
HF_API int hf_core_get_user_data(struct hf_core *core, struct hf_slice name, struct hf_buffer *value);

/* ---- Changing: staged ---- */

/* Blocks are copied, and encrypted when the core is. *first may be NULL. HF_EDENIED when not writable, HF_ETOOBIG, HF_EBUSY when
 * too much is staged, HF_ENOMEM, HF_EBADSIG when they complete another prologue than the manifest's; nothing is changed then. */
HF_API int hf_core_append(struct hf_core *core, const struct hf_slice *blocks, size_t count, uint64_t *first);
/* The same for a core whose signature is made elsewhere (several signers): over the tree with these blocks. HF_EBADSIG. */
HF_API int hf_core_append_signed(struct hf_core *core, const struct hf_slice *blocks, size_t count, struct hf_slice signature);
/* fork must be above the present one; HF_CORE_NEXT_FORK: the next. HF_EDENIED: into a prologue that is complete. */
#define HF_CORE_NEXT_FORK 0
HF_API int hf_core_truncate(struct hf_core *core, uint64_t length, uint64_t fork);
/* Forgets blocks, not their place in the tree: what their records hold of it has to be kept elsewhere, and waits in memory for the commit.
 * HF_EBUSY: as much as may wait does; the first of the blocks are cleared. Commit, and call again, for the same range. */
HF_API int hf_core_clear(struct hf_core *core, uint64_t from, uint64_t to);
HF_API int hf_core_set_user_data(struct hf_core *core, struct hf_slice name, struct hf_slice value); /* empty: removes it */

/* Makes one commit of all that is staged. done (may be NULL) is called on the core's thread, from hf_corestore_poll, also when
 * nothing was staged: then after what was committed before. An error is final: memory is set back to what the store has, and
 * commits after the failed one end with HF_ECANCELED. Of large blocks, 1 MiB at a time is cheapest: the memory of smaller batches is used
 * again, and new memory costs more than what goes into it. */
HF_API int hf_core_commit(struct hf_core *core, enum hf_durability durability, void (*done)(void *context, int status), void *context);
/* The same, and waits for it. For tools and for writers with a thread of their own. */
HF_API int hf_core_commit_wait(struct hf_core *core, enum hf_durability durability);
/* One commit of what two cores of one corestore have staged: both or neither. Events and done come first of the first. */
HF_API int hf_core_commit_both(struct hf_core *first, struct hf_core *second, enum hf_durability durability,
	void (*done)(void *context, int status), void *context);
HF_API int hf_core_commit_both_wait(struct hf_core *first, struct hf_core *second, enum hf_durability durability);

/* Of blocks and nodes, not submitted yet; and with what the writer has not finished. */
HF_API size_t hf_core_staged_bytes(const struct hf_core *core);
HF_API size_t hf_core_uncommitted_bytes(const struct hf_core *core);

/* ---- Snapshots ---- */

/* The core as it is now, readable whatever is truncated afterwards (what is cleared is gone). Blocks that a truncation takes are put
 * aside in the store while a snapshot needs them. */
struct hf_core_snapshot;
HF_API int hf_core_snapshot(struct hf_core *core, struct hf_core_snapshot **out);
/* At an earlier length of the present fork. HF_EINVAL past it. */
HF_API int hf_core_checkout(struct hf_core *core, uint64_t length, struct hf_core_snapshot **out);
HF_API void hf_core_snapshot_free(struct hf_core_snapshot *snapshot);
HF_API const struct hf_tree *hf_core_snapshot_tree(const struct hf_core_snapshot *snapshot);
/* As hf_core_get; HF_ECANCELED: it was not held when it was truncated, or the snapshot is of changes whose commit failed. */
HF_API int hf_core_snapshot_get(struct hf_core_snapshot *snapshot, uint64_t index, struct hf_buffer *block);

/* ---- Waiting and watching ---- */

struct hf_core_waiter {
	struct hf_core_waiter *next, *previous;
	uint64_t index;
	void (*ready)(struct hf_core_waiter *waiter, int status); /* HF_OK: the block is here; HF_ECANCELED, HF_ENOTFOUND */
};
/* Puts a block on the want list; ready is called once, later, and may free the waiter. */
HF_API void hf_core_wait(struct hf_core *core, struct hf_core_waiter *waiter, uint64_t index);
HF_API void hf_core_wait_cancel(struct hf_core *core, struct hf_core_waiter *waiter); /* not waiting any more is fine */

/* The blocks that somebody waits for, in no order. *cursor starts at 0; false at the end. */
HF_API bool hf_core_next_wanted(const struct hf_core *core, size_t *cursor, uint64_t *index);

enum hf_core_event {
	HF_CORE_GREW,      /* the committed tree is longer; from, to: old and new length */
	HF_CORE_TRUNCATED, /* another fork, committed; from: what is common, to: the old length */
	HF_CORE_HELD,      /* blocks [from, to) are held and committed */
	HF_CORE_CLEARED,   /* blocks [from, to) are not held any more */
	HF_CORE_WANTED,    /* somebody waits for block from */
	HF_CORE_UNWANTED,
	HF_CORE_MANIFEST,  /* it is known now */
	HF_CORE_FROZEN,
	HF_CORE_FAILED,    /* a commit failed; what was staged is gone; from: the error, as a number above 0 */
};
struct hf_core_listener {
	struct hf_core_listener *next, *previous;
	void (*event)(struct hf_core_listener *listener, enum hf_core_event event, uint64_t from, uint64_t to);
};
/* A listener may remove itself, and others, in its event. */
HF_API void hf_core_listen(struct hf_core *core, struct hf_core_listener *listener);
HF_API void hf_core_unlisten(struct hf_core *core, struct hf_core_listener *listener);

/* ---- For replication ---- */

/* An answer from the committed tree: proof with block value, signature and manifest; all point into *bytes. HF_ENOTFOUND: a
 * block is asked for that is not held, or the fork is another; HF_EINVAL: no such proof can be; HF_EWAIT. */
HF_API int hf_core_prove(struct hf_core *core, uint64_t fork, const struct hf_proof_request *request, struct hf_buffer *bytes,
	struct hf_proof *proof);
/* Judges a peer's proof of our fork and stages what it brings. *grew: the length did. HF_EBADSIG, HF_EMALFORMED: the peer is wrong, and
 * failure (may be NULL) says how; HF_ENOTFOUND: it does not tie to our tree, or is of another fork; HF_EWAIT; nothing is changed then. */
HF_API int hf_core_put_proof(struct hf_core *core, const struct hf_proof *proof, bool *grew, struct hf_failure *failure);
/* Judges a proof of the whole tree on another fork, from nothing. */
HF_API int hf_core_check_fork(struct hf_core *core, const struct hf_proof *proof, struct hf_proof_check *check, struct hf_failure *failure);
/* Goes over to the tree of a higher fork whose search has finished: our blocks above what both have are gone. */
HF_API int hf_core_adopt(struct hf_core *core, const struct hf_reorg *reorg, struct hf_slice signature);
/* Keeps a manifest that came from outside. HF_EBADSIG when it does not hash to the key. */
HF_API int hf_core_put_manifest(struct hf_core *core, struct hf_slice encoded);
/* Whether we can prove that our committed tree extends one of that length: HF_OK, HF_ENOTFOUND, HF_EWAIT; HF_ECORRUPT, HF_EIO. */
HF_API int hf_core_can_upgrade_from(struct hf_core *core, uint64_t length);
/* How many ancestors of a block are missing: the `nodes` of a request. HF_EWAIT. */
HF_API int hf_core_missing_nodes(struct hf_core *core, uint64_t index, uint64_t *count);
/* Commits what is staged, and that the core is frozen. */
HF_API void hf_core_freeze(struct hf_core *core);

#endif
