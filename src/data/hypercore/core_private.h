/* core_private: what the parts of a core share. (Private to data/)
 *
 * A core in memory is the newest of three layers, each hiding what is below it:
 *   STAGED     one batch that gathers changes
 *   IN FLIGHT  batches that the store's writer has, oldest first
 *   the store  as committed
 * tree, blocks and what reads give include the first two; committed_tree and what is proved to peers do not.
 *
 * Where a batch truncates, `cut` says to what length: nothing at or above it is looked for below that batch.
 */
#ifndef HF_DATA_HYPERCORE_CORE_PRIVATE_H
#define HF_DATA_HYPERCORE_CORE_PRIVATE_H

#include <pthread.h>

#include "base/array.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mailbox.h"
#include "crypto/block_cipher.h"
#include "crypto/secret.h"
#include "crypto/sign.h"
#include "data/corestore.h"
#include "data/hypercore/chunk.h"
#include "data/hypercore/layout.h"
#include "data/hypercore/signature.h"

#define HF_CORE_NO_CUT UINT64_MAX
#define HF_CORE_NODE_CACHE_COUNT 16384 /* of a corestore; a power of two */
#define HF_CORE_PAGE_CACHE_COUNT 256
#define HF_CORE_SPARE_COUNT 32
#define HF_CORE_SPARE_BYTES_MAX (2u << 20)   /* of one */
#define HF_CORE_SPARES_BYTES_MAX (12u << 20) /* of all: what a fast peer has on its way to the disk */

/* ---- Batches ---- */

enum hf_batch_kind { HF_BATCH_PUT, HF_BATCH_TRUNCATE, HF_BATCH_CLEAR, HF_BATCH_DROP, HF_BATCH_DOCUMENT, HF_BATCH_TABLE };

struct hf_batch_op {
	enum hf_batch_kind kind;
	unsigned log;          /* HF_LAYOUT_BLOCKS …; collection of a document */
	uint64_t index, to;    /* PUT, TRUNCATE: index; CLEAR: from and to */
	size_t offset, length; /* bytes in data: PUT; DOCUMENT: its id and then itself; TABLE: the value of "next" */
	const uint8_t *outside; /* where they are instead of in data; NULL: they are there */
};

struct hf_batch_done {
	void (*done)(void *context, int status);
	void *context;
};

/* What comes back to the corestore's thread. */
struct hf_core_mail {
	struct hf_mail mail;
	void (*deliver)(struct hf_core_mail *mail);
};

struct hf_batch {
	struct hf_commit commit;
	struct hf_core_mail mail;
	struct hf_core *core; /* holds a reference */
	struct hf_batch *next;
	struct hf_batch *together; /* of another core, in the same commit; the first of them is submitted */
	struct hf_buffer data;
	struct hf_core_chunk **chunks; /* what lies outside, a reference each */
	size_t chunk_count, chunk_capacity, outside_bytes;
	struct hf_batch_op *ops;
	size_t op_count, op_capacity;
	struct hf_u64_map block_ops; /* block to the number of its op, plus one */
	struct hf_u64_map pages;     /* page number to struct hf_layout_page *, with what this batch changes */
	struct hf_batch_done *dones;
	size_t done_count, done_capacity;
	uint64_t cut;
	bool needs_signature;        /* the writer changed the tree */
	bool head_changed, manifest_changed, user_data_changed;
	bool is_new;                 /* the core is made in it */
	bool is_retry;               /* of saying that the core is frozen */
	struct hf_tree tree;         /* once submitted: what it leads to */
	struct hf_buffer signature;
	uint64_t shelf_next;         /* once submitted: where the shelf ends with it */
	uint64_t old_length;         /* before the cut */
	int status;
	bool is_finished; /* under the corestore's mutex */
};

/* ---- Cores ---- */

struct hf_core {
	uint32_t references;
	struct hf_corestore *store;
	uint64_t number;
	uint64_t cache_tag; /* changes when cached nodes may be wrong */
	uint8_t key[HF_CORE_KEY_BYTES], discovery_key[32];

	struct hf_buffer manifest_bytes; /* what manifest borrows */
	struct hf_manifest manifest;
	uint8_t default_manifest[HF_MANIFEST_DEFAULT_BYTES];
	bool has_manifest, is_compat, is_frozen;
	uint8_t *secret_key;             /* HF_SIGN_SECRET_BYTES in the corestore's locked memory; NULL: not writable */
	struct hf_block_cipher *cipher;  /* in the same; NULL: not encrypted */
	uint8_t *encryption_key;         /* in the same, until the manifest tells which cipher it is for; else NULL */

	struct hf_tree tree, committed_tree;
	struct hf_buffer signature, committed_signature;
	struct hf_bitfield blocks;
	struct hf_buffer user_data; /* the record */

	struct hf_batch *staged;                      /* NULL: nothing */
	struct hf_batch *in_flight, *in_flight_last;  /* oldest first, linked by next */
	size_t in_flight_bytes;
	int failed_status;                            /* of the commit that failed, until memory is set back */
	_Atomic bool has_failed;                      /* set by the writer: what follows is given up */

	struct hf_u64_map waiters; /* block to the first struct hf_core_waiter * of its list */
	struct hf_core_waiter *ready;
	struct hf_core_listener *listeners;
	struct hf_core_emission *emission; /* events that are being told, innermost first */
	struct hf_core_snapshot *snapshots;
	struct hf_core_shelf *shelves;
	size_t shelf_count, shelf_capacity;
	uint64_t shelf_next, shelf_committed; /* index in the shelf's log; where it ends as committed */
	bool has_shelf;      /* the log exists */
	struct hf_buffer shelf_scratch;
	struct hf_proof_check check;
};

/* Blocks [from, to) that a truncation took, in the shelf's log from index base on. */
struct hf_core_shelf {
	uint64_t from, to, base;
};

/* A cold read that gave HF_EWAIT: a block of a log, which blocks [index, to) of it there are, or a document of a collection. */
enum hf_cold_kind { HF_COLD_BLOCK, HF_COLD_RUNS, HF_COLD_DOCUMENT };
struct hf_cold {
	enum hf_cold_kind kind;
	uint64_t log, index, to;
	uint8_t id[32];
};

struct hf_node_slot {
	uint64_t tag, index, size;
	uint8_t hash[HF_TREE_HASH_BYTES];
};
struct hf_page_slot {
	uint64_t tag;
	struct hf_layout_page page;
};

struct hf_corestore {
	struct hf_store *store;
	struct hf_env *env;
	struct hf_secret primary_key;
	enum hf_read_mode read_mode;
	void (*wake)(void *context);
	void *context;
	struct hf_map open;      /* by discovery key */
	uint64_t next_number, next_tag;
	struct hf_mailbox mailbox;
	struct hf_mail *arrived, **arrived_end; /* taken from the mailbox, to be delivered in this order */
	pthread_mutex_t mutex;   /* is_finished of batches */
	pthread_cond_t finished;
	size_t in_flight_count;
	struct hf_buffer scratch; /* one for all cores: it grows to the size of the largest block */
	struct hf_node_slot *nodes;
	struct hf_page_slot *pages;
	struct hf_cold *cold;
	size_t cold_count, cold_capacity;
	struct hf_thaw_job *thawing; /* at work */
	struct hf_corestore_thaw *thaw_waiting;
	struct hf_key_chunk *key_chunks;
	bool has_ready; /* some core has waiters to call */
	struct hf_buffer spares[HF_CORE_SPARE_COUNT]; /* for the bytes of batches: memory that is new costs more than what goes into it */
	size_t spare_count, spare_bytes;
};

/* core.c */
int hf_core_new(struct hf_corestore *store, struct hf_core **out);
void hf_core_free(struct hf_core *core);
int hf_core_load(struct hf_core *core, enum hf_read_mode mode); /* everything from the store; HF_ENOTFOUND without a head */
int hf_core_use_manifest(struct hf_core *core, struct hf_slice encoded); /* data NULL: a compat core's */
void hf_core_emit(struct hf_core *core, enum hf_core_event event, uint64_t from, uint64_t to);
void hf_core_deliver_ready(struct hf_core *core);
int hf_core_decrypt(const struct hf_core *core, uint64_t index, struct hf_buffer *block, size_t start); /* core_read.c */

/* core_batch.c */
/* the staged one, made if need be. HF_EBUSY, HF_EDENIED (frozen), HF_ENOMEM */
int hf_core_stage(struct hf_core *core, struct hf_batch **batch);
int hf_batch_add(struct hf_batch *batch, const struct hf_batch_op *op, const struct iovec *parts, int part_count);
/* Bytes that stay where they are, in a chunk. */
int hf_batch_add_outside(struct hf_batch *batch, const struct hf_batch_op *op, struct hf_slice bytes, struct hf_core_chunk *chunk);
struct hf_slice hf_batch_bytes(const struct hf_batch *batch, const struct hf_batch_op *op);
/* What a batch held before a change that failed halfway. The nodes that its pages gained below the core's length are true ones; those
 * above are taken out. */
struct hf_batch_mark {
	size_t op_count, data_length, outside_bytes;
};
struct hf_batch_mark hf_batch_mark(const struct hf_batch *batch);
void hf_batch_take_back(struct hf_core *core, struct hf_batch *batch, struct hf_batch_mark mark);
void hf_batch_free(struct hf_batch *batch);
void hf_core_commit_frozen(struct hf_core *core, bool is_retry); /* so that it is found frozen when it is opened again */

/* core_nodes.c */
int hf_core_cold(struct hf_core *core, int status, unsigned which, uint64_t index); /* notes HF_EWAIT; returns status */
int hf_corestore_cold(struct hf_corestore *store, const struct hf_cold *cold);
/* A block's whole record: in a batch, or read into the store's scratch. HF_ENOTFOUND. */
int hf_core_block_record(struct hf_core *core, uint64_t index, struct hf_slice *record);
/* The page as a batch sees it that is being filled; makes it. NULL and *status on failure. */
struct hf_layout_page *hf_core_page_for_change(struct hf_core *core, struct hf_batch *batch, uint64_t number, int *status);
int hf_core_store_node(struct hf_core *core, struct hf_batch *batch, const struct hf_tree_node *node); /* as a loose one */
void hf_core_cache_node(struct hf_core *core, const struct hf_tree_node *node);
void hf_core_cache_page(struct hf_core *core, const struct hf_layout_page *page);
void hf_core_forget_cached(struct hf_core *core);

/* core_write.c */
/* A value of chunk (NULL: of none) stays where it is when it is a large one; the byte before it is then the core's. */
int hf_core_put_block(struct hf_core *core, struct hf_batch *batch, uint64_t index, const struct hf_tree_node *nodes, unsigned count,
	struct hf_slice value, struct hf_core_chunk *chunk);
int hf_core_cut(struct hf_core *core, struct hf_batch *batch, const struct hf_tree *tree); /* truncates to tree, of another fork */
void hf_core_use_signature(struct hf_core *core, struct hf_slice signature);
int hf_core_keep_nodes(struct hf_core *core, struct hf_batch *batch, uint64_t from, uint64_t to);

/* snapshot.c */
int hf_core_shelve(struct hf_core *core, struct hf_batch *batch, uint64_t from, uint64_t to); /* before blocks are truncated */
int hf_core_drop_shelf(struct hf_core *core);
void hf_core_recover_shelf(struct hf_core *core); /* memory is what the store has again */

/* corestore_directory.c */
/* Reads a document of one of the two collections into *bytes; *document lies there. HF_ENOTFOUND, HF_EWAIT. */
int hf_corestore_document(struct hf_corestore *store, uint32_t collection, const uint8_t id[static 32], struct hf_buffer *bytes,
	struct hf_slice *document);

/* corestore.c */
uint8_t *hf_corestore_key_slot(struct hf_corestore *store); /* 64 bytes of locked memory; NULL */
void hf_corestore_free_key_slot(struct hf_corestore *store, uint8_t *slot);
void hf_corestore_free_key_chunk(struct hf_corestore *store);
void hf_corestore_wake(struct hf_corestore *store);

#endif
