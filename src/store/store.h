/* store: durable bytes, one store for all of Holdfast.
 *
 * Three kinds of things live in it, and one batch may touch all of them:
 *
 *   documents  immutable payloads in a numbered collection, each with a 32-byte id, a rank (newest first
 *              is what queries give) and a set of terms (64-bit keyed hashes; see hf_store_term). Nostr
 *              events are documents; a relay is a collection.
 *   logs       numbered sequences of blocks, appended, read by index, truncated, cleared. Hypercores.
 *   tables     small ordered maps from key to value, wholly in memory. Heads, tokens, configuration.
 *
 * One append log is the only thing that is synced at a commit (log.h). Everything else is derived from it
 * and trails it: memtables, sorted index segments sealed and merged in the background (index.h), table
 * snapshots. The manifest says up to which log position each derived part is true; opening replays the
 * rest of the log.
 *
 * A POSITION is an address in the log's logical address space: monotone, unique, never reused. A record's
 * position is its identity and its sequence number; a snapshot is "all records below position S".
 *
 * Threads: one writer thread owns all changes. Any thread may submit commits, take snapshots and read.
 * Two background threads seal and merge.
 */
#ifndef HF_STORE_STORE_H
#define HF_STORE_STORE_H

#include "base/env.h"
#include "base/metrics.h"

#define HF_STORE_FORMAT_VERSION 2
#define HF_STORE_ID_BYTES 32
#define HF_STORE_DOC_BYTES_MAX (1u << 20)       /* a payload */
#define HF_STORE_BLOCK_BYTES_MAX (16u << 20)    /* a log block with what belongs to it */
#define HF_STORE_TERM_COUNT_MAX 2048            /* terms of one document; more are refused */
#define HF_STORE_TABLE_KEY_BYTES_MAX 512
#define HF_STORE_TABLE_VALUE_BYTES_MAX (256u << 10)
#define HF_STORE_COLLECTION_COUNT_MAX 64

struct hf_store;
struct hf_tx;
struct hf_snapshot;

/* What the index knows of a document. */
struct hf_doc_key {
	uint8_t id[HF_STORE_ID_BYTES];
	uint64_t rank;         /* queries run from high to low; ties by lowest id */
	const uint64_t *terms; /* distinct, any order; borrowed */
	uint32_t term_count;
};

/* How the store asks its user what a payload is: used when the log is replayed or the index rebuilt, so
 * that terms need not be stored. Called on any thread. `terms` has room for HF_STORE_TERM_COUNT_MAX;
 * fill key->terms = terms. A negative return marks the record as one that cannot be read: it is counted,
 * logged and not indexed. identify gives the id alone and must be cheap: every read by id confirms its
 * hit with it; when it is NULL, describe is asked. */
struct hf_store_schema {
	void *context;
	int (*describe)(void *context, struct hf_store *store, uint32_t collection, struct hf_slice payload,
		struct hf_doc_key *key, uint64_t *terms);
	int (*identify)(void *context, struct hf_store *store, uint32_t collection, struct hf_slice payload,
		uint8_t id[static HF_STORE_ID_BYTES]);
};

struct hf_store_options {
	size_t size;                /* sizeof this struct */
	const char *directory;      /* created 0700 when missing; its parent must exist */
	struct hf_env *env;         /* executor is not used; clock, random and files are */
	struct hf_store_schema schema;
	struct hf_metrics *metrics; /* may be NULL */
	uint64_t quota_bytes;       /* 0: none. Commits that would pass it fail with HF_ENOSPC, unless they free more than they take */
	uint32_t sync_interval_ms;  /* HF_DURABLE_OS commits reach the disk within this; 0: 1000 */
	uint32_t log_segment_bytes; /* 0: 256 MiB */
	uint32_t memtable_docs_max; /* 0: 8192; tests use small ones to reach seals and merges */
	bool read_only;             /* replay in memory, write nothing */
	bool no_background;         /* seal and merge inside the writer: deterministic tests */
};

/* Opens or creates. The caller holds the data directory's LOCK. failure gets the sentence.
 * A store of an older format is upgraded. HF_EVERSION for a newer format, or an older one with read_only; HF_ECORRUPT when
 * something needed at open does not match its checksum (the sentence names file and offset), HF_ENOSPC, HF_EIO, HF_ENOMEM. */
HF_API int hf_store_open(struct hf_store **out, const struct hf_store_options *options, struct hf_failure *failure);
/* Commits what was submitted, seals what is in memory so that the next open replays nothing, closes. */
HF_API void hf_store_close(struct hf_store *store);
/* As close, but leaves memory unsealed: what kill -9 leaves. For tests. */
HF_API void hf_store_abandon(struct hf_store *store);

/* The keyed hash that makes a term: kind separates name spaces ("author", "tag e"), seeded per database
 * so that nobody outside can make two values collide. */
HF_API uint64_t hf_store_term(const struct hf_store *store, uint32_t kind, struct hf_slice value);

/* ---- Changing ---------------------------------------------------------------------------------------- */

enum hf_durability {
	HF_DURABLE_OS,   /* written; survives a crash of the process; synced within sync_interval_ms */
	HF_DURABLE_DISK, /* synced before done is called */
};

/* A change. Embedded in what the change is about; the store borrows it from submit until done returns
 * (done may free it).
 *   stage  on the writer thread (hf_store_commit_now: or the caller's), in order of submission: looks things up through tx (which sees
 *          every earlier commit, also those of its own group that are not synced yet, but not the operations
 *          of this very commit) and adds operations. A negative return drops this commit's operations and is
 *          what done gets. Returning 0 without operations is a commit that waits for its group. When an earlier commit was refused
 *          for another reason than its own return, its done has been called before this stage is.
 *   done   on the same thread after the commit is as durable as asked, in order of position, or with
 *          the error: stage's own, HF_ENOSPC, HF_EIO, HF_ECLOSED. After
 *          HF_EIO the outcome is unknown: the records may be there when the store is opened again. Must not block. */
struct hf_commit {
	struct hf_commit *next;
	int (*stage)(struct hf_commit *commit, struct hf_tx *tx);
	void (*done)(struct hf_commit *commit, int status);
	enum hf_durability durability;
	int status; /* the store's own while it holds the commit */
};

/* From any thread. The queue is bounded by the callers' own bounds (each ingest queue has one). */
HF_API void hf_store_submit(struct hf_store *store, struct hf_commit *commit);
/* A chain linked by next, first submitted first. */
HF_API void hf_store_submit_chain(struct hf_store *store, struct hf_commit *first, struct hf_commit *last);
/* For a caller that would wait anyway: submits, and when the writer is idle runs the group on this thread, which saves two
 * changes of thread. True: done was called, on this thread, before it returns. False: it is queued, as by submit. */
HF_API bool hf_store_commit_now(struct hf_store *store, struct hf_commit *commit);
/* Runs stage and waits for the outcome, on this thread when the writer is idle. For tools and tests, not for a loop. */
HF_API int hf_store_commit_wait(struct hf_store *store, enum hf_durability durability,
	int (*stage)(void *context, struct hf_tx *tx), void *context);

/* Operations, only inside stage. All copy what they are given, but hf_tx_log_put_shared. */
HF_API struct hf_store *hf_tx_store(struct hf_tx *tx);
/* *position (may be NULL) is the document's position. HF_EEXISTS when the id is in the collection already. */
HF_API int hf_tx_put(struct hf_tx *tx, uint32_t collection, const struct hf_doc_key *key,
	const struct iovec *payload, int payload_count, uint64_t *position);
/* Deletes one document. HF_ENOTFOUND. */
HF_API int hf_tx_delete(struct hf_tx *tx, uint32_t collection, const uint8_t id[static HF_STORE_ID_BYTES]);
HF_API int hf_tx_drop_collection(struct hf_tx *tx, uint32_t collection);
HF_API int hf_tx_table_put(struct hf_tx *tx, uint32_t table, struct hf_slice key, struct hf_slice value);
HF_API int hf_tx_table_delete(struct hf_tx *tx, uint32_t table, struct hf_slice key);
/* Logs. append gives the block the next index (*index may be NULL). truncate forgets blocks from `length`
 * on, none where there are not so many; clear forgets [from, to) but keeps the length; drop forgets the log and frees its number. */
HF_API int hf_tx_log_append(struct hf_tx *tx, uint64_t log, const struct iovec *block, int block_count, uint64_t *index);
HF_API int hf_tx_log_put(struct hf_tx *tx, uint64_t log, uint64_t index, const struct iovec *block, int block_count);
/* Puts a block that goes to the disk from where it lies; it stays unchanged there until the commit's done. */
HF_API int hf_tx_log_put_shared(struct hf_tx *tx, uint64_t log, uint64_t index, struct hf_slice block);
HF_API int hf_tx_log_truncate(struct hf_tx *tx, uint64_t log, uint64_t length);
HF_API int hf_tx_log_clear(struct hf_tx *tx, uint64_t log, uint64_t from, uint64_t to);
HF_API int hf_tx_log_drop(struct hf_tx *tx, uint64_t log);
/* A snapshot that sees what stage may see. Borrowed; valid until stage returns. May read the disk. */
HF_API struct hf_snapshot *hf_tx_snapshot(struct hf_tx *tx);

/* ---- Reading ----------------------------------------------------------------------------------------- */

/* Everything that is committed now (for HF_DURABLE_DISK commits: synced). NULL when out of memory. Cheap.
 * Pins index segments and log files until released; keep it for a query, not for a connection. What was deleted or replaced
 * after it stays visible to it, until 64 MiB of log or 65,536 deletions have come after; but not a dropped collection, nor a
 * document that was deleted and put again. */
HF_API struct hf_snapshot *hf_store_snapshot(struct hf_store *store);
HF_API void hf_snapshot_release(struct hf_snapshot *snapshot);
/* Records at or above this position are not in the snapshot. */
HF_API uint64_t hf_snapshot_position(const struct hf_snapshot *snapshot);
/* The position below which all is committed, as the next snapshot would see it. */
HF_API uint64_t hf_store_position(const struct hf_store *store);

enum hf_read_mode {
	HF_READ_RESIDENT, /* HF_EWAIT rather than waiting for the disk: for a loop thread */
	HF_READ_BLOCKING,
};

/* A document as read: payload lives in the buffer that the caller lent, until its next use. */
struct hf_doc {
	uint64_t position;
	uint64_t rank;
	struct hf_slice payload;
};

/* HF_ENOTFOUND, HF_EWAIT, HF_ECORRUPT (counted, logged with file and offset), HF_EIO, HF_ENOMEM. */
HF_API int hf_snapshot_get(struct hf_snapshot *snapshot, uint32_t collection,
	const uint8_t id[static HF_STORE_ID_BYTES], enum hf_read_mode mode, struct hf_buffer *scratch, struct hf_doc *doc);

/* An upper bound of how many documents carry the term, from index counts alone. */
HF_API uint64_t hf_snapshot_estimate(struct hf_snapshot *snapshot, uint32_t collection, uint64_t term);
HF_API uint64_t hf_snapshot_doc_count(struct hf_snapshot *snapshot, uint32_t collection); /* alive, about */

/* Documents that carry, for EVERY clause, AT LEAST ONE of its terms; no clause: all documents. Ranks
 * within [rank_min, rank_max]. Newest first, ties by lowest id, each once. Hits may include documents whose terms
 * collide: the caller matches the payload. */
#define HF_QUERY_CLAUSES_MAX 32
struct hf_clause {
	const uint64_t *terms; /* borrowed until the cursor is closed */
	uint32_t term_count;
};
struct hf_query {
	uint32_t collection;
	uint32_t clause_count;
	struct hf_clause clauses[HF_QUERY_CLAUSES_MAX];
	uint64_t rank_min, rank_max;
};
struct hf_cursor;
/* Touches only index memory; HF_EWAIT when that is not resident and mode is HF_READ_RESIDENT. The cursor
 * borrows the snapshot. */
HF_API int hf_cursor_open(struct hf_cursor **out, struct hf_snapshot *snapshot, const struct hf_query *query, enum hf_read_mode mode);
/* The next document; HF_ENOTFOUND at the end. After HF_EWAIT the same call may be made again, also with the
 * other mode (hf_cursor_set_mode) on another thread: nothing is lost. HF_ECORRUPT: this one document cannot
 * be read; it is skipped, and the next call goes on. */
HF_API int hf_cursor_next(struct hf_cursor *cursor, struct hf_buffer *scratch, struct hf_doc *doc);
HF_API void hf_cursor_set_mode(struct hf_cursor *cursor, enum hf_read_mode mode);
HF_API size_t hf_cursor_bytes(const struct hf_cursor *cursor); /* of memory, about */
HF_API void hf_cursor_close(struct hf_cursor *cursor); /* NULL is fine */

/* All documents of a collection in order of arrival (position), for export and rebuild: calls each for
 * every live one; a non-zero return ends it and is returned. Blocking. */
HF_API int hf_snapshot_scan(struct hf_snapshot *snapshot, uint32_t collection, uint64_t from_position,
	int (*each)(void *context, const struct hf_doc *doc), void *context);

/* Tables are read as they are committed now, not as of a snapshot. value is appended to *value. */
HF_API int hf_store_table_get(struct hf_store *store, uint32_t table, struct hf_slice key, struct hf_buffer *value);
/* In key order from `from` on; a non-zero return of each ends it and is returned. Holds the table lock:
 * each must be short and must not call the store. */
HF_API int hf_store_table_scan(struct hf_store *store, uint32_t table, struct hf_slice from,
	int (*each)(void *context, struct hf_slice key, struct hf_slice value), void *context);
HF_API int hf_tx_table_get(struct hf_tx *tx, uint32_t table, struct hf_slice key, struct hf_buffer *value);

/* Blocks as committed now. HF_ENOTFOUND for a hole or past the end. */
HF_API int hf_store_log_get(struct hf_store *store, uint64_t log, uint64_t index, enum hf_read_mode mode, struct hf_buffer *block);
HF_API int hf_store_log_length(struct hf_store *store, uint64_t log, uint64_t *length);
/* Many blocks: calls each for those of [*from, to) that are there, in order; holes are left out. *from goes on with them: after
 * HF_EWAIT the same call may be made again, in either mode; after HF_ECORRUPT it is the block that cannot be read; after
 * another result of each, which ends it and is returned, it is behind that block. Blocks that lie together in the log are read
 * together. As committed when each few hundred of them were looked up. */
HF_API int hf_store_log_read(struct hf_store *store, uint64_t log, uint64_t *from, uint64_t to, enum hf_read_mode mode,
	int (*each)(void *context, uint64_t index, struct hf_slice block), void *context);
/* Which blocks are there: calls each for every range of [from, to) without a hole, as long as it is, ascending; a non-zero
 * return ends it and is returned. As committed at the call. HF_EWAIT: begin anew once the same call in blocking mode has
 * ended elsewhere; HF_ECORRUPT, HF_EIO, HF_ENOMEM; a log that does not exist has none. */
HF_API int hf_store_log_runs(struct hf_store *store, uint64_t log, uint64_t from, uint64_t to, enum hf_read_mode mode,
	int (*each)(void *context, uint64_t from, uint64_t to), void *context);

/* ---- Keeping ----------------------------------------------------------------------------------------- */

struct hf_store_stats {
	uint64_t log_bytes, log_live_bytes, index_bytes, table_bytes, disk_bytes;
	uint64_t position, doc_count, dead_count, segment_count, log_segment_count;
	uint64_t commit_count, group_count, sync_count, written_bytes;
	uint64_t corrupt_count; /* records or blocks that failed their checksum since open */
	uint64_t replayed_records, replay_us; /* at open */
	int write_status;         /* of the last write: HF_OK; HF_ENOSPC: the disk or the quota is full; HF_EIO … */
};
HF_API void hf_store_stats(struct hf_store *store, struct hf_store_stats *stats);

/* Reads every file from end to end: frames, checksums, index against log. Calls report (may be NULL)
 * with one sentence for every fault. Returns HF_OK, or HF_ECORRUPT when there was a fault. */
HF_API int hf_store_verify(struct hf_store *store, void (*report)(void *context, const char *sentence), void *context);
/* A copy that opens as a store, taken while the store is in use: everything committed before the call. */
HF_API int hf_store_backup(struct hf_store *store, const char *directory, struct hf_failure *failure);
/* Seals, merges to few segments and rewrites log files that hold dead records. */
HF_API int hf_store_compact(struct hf_store *store, struct hf_failure *failure);
/* Builds the index of one collection again from the log, beside commits and readers, and throws the old one away. */
HF_API int hf_store_rebuild_index(struct hf_store *store, uint32_t collection,
	void (*progress)(void *context, uint64_t done, uint64_t total), void *context);

#endif
