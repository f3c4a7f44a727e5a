/* writer: the one thread at a time that changes the store: stages commits, writes them in groups, makes them visible. (Private to store/.)
 *
 * A group is one buffer of finished records: a GROUP record, then each commit's records, LAST on its final one. Documents
 * are put in the index's memtable as soon as their commit is staged; they are invisible until `committed` passes
 * them. Kills, table changes and block changes take effect after the write (and the sync, when one is due).
 *
 * Order after the write: note the killed documents (kills.h), raise committed, mark those dead that no snapshot is in the way of,
 * apply tables and blocks, raise applied, call done. So a snapshot sees a replaced document or the one that replaces it.
 */
#ifndef HF_STORE_WRITER_H
#define HF_STORE_WRITER_H

#include "store/place_map.h"
#include "store/state.h"

/* A document of the commit being staged; terms are in tx->terms. */
struct hf_tx_doc {
	uint32_t collection, term_count;
	size_t first_term;
	uint64_t position, rank;
	uint8_t id[HF_STORE_ID_BYTES];
};

struct hf_tx_kill {
	uint64_t position;
	uint32_t collection, record_bytes;
	uint8_t id[HF_STORE_ID_BYTES];
};

/* The end of a block's payload that was not copied; it stays where it is until its commit's done. */
struct hf_tx_outside {
	size_t record;          /* in buffer: where the block's record begins */
	struct hf_slice bytes;
};

/* Length of a log as staged, for logs touched by the group. */
struct hf_tx_length {
	uint64_t log, length;
	bool exists;
};

struct hf_tx {
	struct hf_store *store;
	struct hf_buffer buffer; /* records of the group; the first is at position base. What lies outside has its place in it all the same,
	                            but nothing is written there, and so no memory of it used */
	uint64_t base;
	size_t commit_start;     /* in buffer: where the commit being staged begins */
	size_t last_record;      /* in buffer: its last record */
	int error;               /* sticky: out of memory or the like inside an operation */
	bool drops;              /* it drops a collection: no document may follow in it */
	bool ends_group;         /* nothing may be staged after it in the same group */
	size_t mark_bytes;       /* of the GROUP record in front, 0 when there is none */

	struct hf_tx_doc *docs;  /* of this commit */
	size_t doc_count, doc_capacity;
	uint64_t *terms;
	size_t term_count, term_capacity;

	struct hf_tx_outside *outside; /* of the group, in order; those from commit_outside on are this commit's */
	size_t outside_count, outside_capacity, commit_outside;
	struct iovec *pieces;    /* for writing it: room for what lies outside and what is around it */
	size_t piece_capacity;

	struct hf_tx_kill *kills; /* of the group; those from commit_kill on are this commit's */
	size_t kill_count, kill_capacity, commit_kill;
	struct hf_place_map kill_map; /* position to kill */

	struct hf_tables staged;  /* table changes of the group: a byte 1 and the value, or a byte 0 for a deletion */

	struct hf_tx_length *lengths; /* of the group; later entries of the same log hide earlier ones */
	size_t length_count, length_capacity, commit_length;
	struct hf_place_map length_map;

	struct hf_snapshot snapshot;
};

int hf_writer_start(struct hf_store *store);
/* drain: commits what is queued; otherwise it gets HF_ECLOSED. */
void hf_writer_stop(struct hf_store *store, bool drain);
void hf_writer_free(struct hf_store *store);
void hf_writer_wake(struct hf_store *store);
/* Runs a function on the writer thread, between groups, and waits for it. HF_ECLOSED when there is no writer. */
int hf_writer_run(struct hf_store *store, int (*run)(struct hf_store *store, void *context), void *context);
/* On the writer thread, between groups. */
void hf_collection_freeze(struct hf_collection *collection);

/* ---- tx.c ---- */
int hf_tx_init(struct hf_tx *tx, struct hf_store *store);
void hf_tx_free(struct hf_tx *tx);
/* Begins a group at the end of the log. */
int hf_tx_begin_group(struct hf_tx *tx);
void hf_tx_begin_commit(struct hf_tx *tx);
/* The commit's records are complete: sums, LAST, staged tables. Documents are the writer's affair. */
int hf_tx_finish_commit(struct hf_tx *tx);
/* Forgets this commit's operations. */
void hf_tx_drop_commit(struct hf_tx *tx);
/* The first `length` bytes of the group, as pieces to write; good until something is staged. */
const struct iovec *hf_tx_pieces(struct hf_tx *tx, size_t length, int *count);
/* The first `length` bytes, which hold the kills before commit_kill, were written and applied: forgets them. */
void hf_tx_forget_written(struct hf_tx *tx, size_t length);
/* True when an earlier commit of the group killed the document (with own: or this one). */
bool hf_tx_is_killed(const struct hf_tx *tx, uint64_t position, bool own);
/* The staged record at position; not of a block. */
int hf_tx_read_staged(const struct hf_tx *tx, uint64_t position, struct hf_buffer *scratch, struct hf_log_record *record);
struct hf_doc_key hf_tx_doc_key(const struct hf_tx *tx, const struct hf_tx_doc *doc);

#endif
