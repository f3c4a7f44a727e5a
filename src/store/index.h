/* index: the derived index of one collection. (Private to store/.)
 *
 * Newest writes live in a memtable; when it is full it is frozen and a background thread seals it into an
 * immutable segment file; segments of one tier are merged eight into one. Documents of a segment are
 * numbered newest first (rank descending, then id ascending), so that a posting list of document numbers
 * is in query order and mostly one byte an entry, and a rank range is a range of numbers.
 *
 * Directory `index/`, one file per segment, named by its number in 8 hex digits with ".idx": the format is told in
 * segment.h.
 *
 * A VIEW is a reference-counted immutable list of parts (memtables and segments). Readers take one under a
 * short lock and keep it for one query; files and memory go when the last view that needs them is released. Visibility
 * inside a memtable is by position: a reader skips documents at or above its snapshot's position, so the writer inserts
 * before the commit is synced and the commit becomes visible by raising one number.
 *
 * Dead marks: one atomic bitmap per part. Only the writer sets marks, and only after the record that kills
 * the document is as durable as it will be acknowledged; merges carry marks over.
 *
 * Threads: insert, abort, kill, freeze: the writer. acquire/find/cursor: any. work: background threads,
 * one seal and one merge of an index at a time.
 */
#ifndef HF_STORE_INDEX_H
#define HF_STORE_INDEX_H

#include "store/store.h"

/* In resident mode a call that looked at so many documents without a hit gives HF_EWAIT: a loop thread has other things
 * to do. */
#define HF_INDEX_RESIDENT_STEPS_MAX 8192

struct hf_index;
struct hf_index_view;

/* One segment as the manifest keeps it. */
struct hf_index_segment_info {
	uint32_t number;
	uint32_t tier;
	uint64_t doc_count, dead_count, file_bytes;
	uint64_t position_max; /* highest position of a document in it */
};

struct hf_index_options {
	struct hf_env *env;
	const char *directory; /* of index files, shared by all collections */
	uint32_t collection;
	uint32_t memtable_docs_max;
	uint64_t seed; /* of the keyed id hash */
	/* A file number that no index of this store has used. Thread-safe. */
	uint32_t (*next_number)(void *context);
	/* There is background work (hf_index_work). Thread-safe, may be called often. */
	void (*work_ready)(void *context);
	/* The set of sealed segments changed, on a background thread: the owner writes a manifest, after which it
	 * calls hf_index_release_old. Not called while the index lock is held. */
	void (*changed)(void *context);
	void *context;
	/* Reads the payload's id for exact ties: fills id for the document at position (blocking). */
	int (*read_id)(void *context, uint64_t position, uint8_t id[static HF_STORE_ID_BYTES]);
};

/* A document found: where it is in the log. */
struct hf_index_hit {
	uint64_t position;
	uint64_t rank;
};

int hf_index_open(struct hf_index **out, const struct hf_index_options *options,
	const struct hf_index_segment_info *segments, size_t segment_count, struct hf_failure *failure);
void hf_index_close(struct hf_index *index); /* no views may be left; unsealed documents are dropped */

/* ---- Writer ---- */
/* Adds a document; invisible to views whose snapshot position is at or below `position`. HF_EBUSY: the
 * memtable is full: freeze first. HF_ENOMEM. */
int hf_index_insert(struct hf_index *index, const struct hf_doc_key *key, uint64_t position);
/* Documents at or above position (staged, never committed) vanish for ever. */
void hf_index_abort(struct hf_index *index, uint64_t position);
/* Marks the document dead. key->id and position name it. HF_ENOTFOUND when it is in no part (already merged away). */
int hf_index_kill(struct hf_index *index, const uint8_t id[static HF_STORE_ID_BYTES], uint64_t position);
/* True when the memtable has room for a document with that many terms. */
bool hf_index_has_room(const struct hf_index *index, uint32_t term_count);
/* Freezes the memtable and starts an empty one; calls work_ready. All its documents must be committed. */
int hf_index_freeze(struct hf_index *index);
/* Frozen memtables that wait to be sealed; the writer slows down when there are many. */
unsigned hf_index_frozen_count(const struct hf_index *index);

/* ---- Background ---- */
enum hf_index_job { HF_INDEX_SEAL, HF_INDEX_MERGE };
/* Does one piece of work of that kind if there is any: 1 done, 0 nothing to do, or a negative error
 * (the inputs stay as they were; HF_ENOSPC may be tried again). Output files are synced, and their directory, before
 * they become part of the index. */
int hf_index_work(struct hf_index *index, enum hf_index_job job);
/* Merges what there is into one segment per size limit, dropping dead documents; segments that are sealed meanwhile may
 * stay apart. Blocking. HF_OK or an error. */
int hf_index_merge_all(struct hf_index *index);

/* What a manifest written now must say. segments: up to max entries; *count of all; HF_ETOOBIG when max is less
 * (nothing was done: try again). *position: every document below it is in these segments or dead (the memtables' lowest
 * live position, or UINT64_MAX when memory is empty). The writer may go on meanwhile, so the owner notes BEFORE the
 * call the position below which it has inserted all documents and set all marks, and the manifest says the lesser of
 * the two. Dead marks are written to new files "<number>.dead-<generation>" where they changed since the last call and
 * synced; their generations are given in `dead_generation`. */
struct hf_index_checkpoint {
	struct hf_index_segment_info info;
	uint32_t dead_generation; /* 0: no dead file */
};
int hf_index_checkpoint(
	struct hf_index *index, struct hf_index_checkpoint *segments, size_t max, size_t *count, uint64_t *position);
/* Loads dead marks at open, before any reader. */
int hf_index_load_dead(struct hf_index *index, uint32_t number, uint32_t generation, struct hf_failure *failure);
/* The manifest that names the present segments is durable: unlinks files that only older ones named (open
 * mappings live on with their views). */
void hf_index_release_old(struct hf_index *index);
/* Whether name is that of an index file, and which (generation 0: a segment). Files in the directory that the manifest
 * does not name are left over from a crash: the owner unlinks them at open. */
bool hf_index_file_name(const char *name, uint32_t *number, uint32_t *generation);
/* Reads and checks all blocks that were not checked since open, so that resident reads find them. Blocking, for a
 * background thread; returns the first error but tries all. */
int hf_index_warm(struct hf_index *index);
/* Blocks that did not match their checksum since open. */
uint64_t hf_index_corrupt_count(const struct hf_index *index);

/* ---- Readers ---- */
/* A reader takes its snapshot's position first and the view after it: a view holds all that was inserted before it was
 * taken. */
struct hf_index_view *hf_index_acquire(struct hf_index *index);
void hf_index_view_release(struct hf_index_view *view);

/* The live document with this id below `before` (a position). The keyed hash may collide: the callback confirms by
 * reading the record: return 0 when it is the one, HF_ENOTFOUND when not, or an error that ends the search (HF_EWAIT).
 * Memtable hits are exact and need no confirmation. */
typedef int (*hf_index_confirm)(void *context, uint64_t position);
/* HF_ECORRUPT: not in the readable parts, but some part could not be read. */
int hf_index_find(struct hf_index_view *view, const uint8_t id[static HF_STORE_ID_BYTES], uint64_t before,
	enum hf_read_mode mode, hf_index_confirm confirm, void *context, struct hf_index_hit *hit);

uint64_t hf_index_estimate(struct hf_index_view *view, uint64_t term);
uint64_t hf_index_doc_count(struct hf_index_view *view, uint64_t *dead_count);

/* Newest first over all parts; see hf_query. Collection in the query is ignored; terms and view are borrowed until
 * close. The iterator keeps its place over HF_EWAIT, which in resident mode is also given after
 * HF_INDEX_RESIDENT_STEPS_MAX documents without a hit. HF_ECORRUPT: a segment that cannot be read further is left out
 * from there on; the next call goes on with the others. Exact ties (same rank and same first four bytes of the id)
 * between segments are ordered through options.read_id. */
struct hf_index_iterator;
int hf_index_iterate(struct hf_index_iterator **out, struct hf_index_view *view, const struct hf_query *query,
	uint64_t before, enum hf_read_mode mode);
int hf_index_next(struct hf_index_iterator *iterator, struct hf_index_hit *hit); /* HF_ENOTFOUND at the end */
void hf_index_iterator_set_mode(struct hf_index_iterator *iterator, enum hf_read_mode mode);
size_t hf_index_iterator_bytes(const struct hf_index_iterator *iterator); /* of memory, about */
void hf_index_iterator_close(struct hf_index_iterator *iterator);

/* Live positions of the whole view in ascending order, for scans in order of arrival: fills the array with the lowest
 * (up to max) that are >= from and below `before`; *count of them. Blocking. Costs a pass over the position heads of
 * the view, so take some ten thousand at a time. HF_ECORRUPT: some could not be read, the array holds the others. */
int hf_index_positions(
	struct hf_index_view *view, uint64_t from, uint64_t before, uint64_t *positions, size_t max, size_t *count);

/* Reads every block of every segment file again, against its checksum, and checks the structure against itself. Calls
 * report (may be NULL) for each fault. HF_ECORRUPT when there was one. */
int hf_index_verify(struct hf_index *index, void (*report)(void *context, const char *sentence), void *context);

#endif
