/* kills: deaths of documents that an open snapshot may not see yet. (Private to store/.)
 *
 * A mark of a dead document carries no position, so whoever reads it takes the document for dead, also a snapshot from before
 * the commit that killed it. So the mark is put off while such a snapshot is open; meanwhile this table says from which position
 * on the document is dead. A death is in the table before its commit becomes visible, and stays until every snapshot that
 * may have missed the mark is released.
 *
 * A snapshot's age is bounded: HF_KILLS_MAX deaths or HF_KILLS_AGE_BYTES of log after a death the mark is made whoever is
 * looking; a snapshot that old may then see neither the document nor what came in its place.
 *
 * Threads: add, settle, mark: the writer; the rest: any.
 */
#ifndef HF_STORE_KILLS_H
#define HF_STORE_KILLS_H

#include <pthread.h>

#include "base/map.h"
#include "store/store.h"

#define HF_KILLS_MAX 65536
#define HF_KILLS_AGE_BYTES (64u << 20)

struct hf_kill {
	struct hf_kill *next;
	uint64_t position; /* of the document */
	uint64_t at;       /* snapshots above this position see it dead: where the group begins that killed it */
	_Atomic uint64_t marked; /* number of the first snapshot that cannot miss the mark; 0: there is no mark yet */
	uint32_t collection, record_bytes;
	uint8_t id[HF_STORE_ID_BYTES];
};

/* An open snapshot. Positions never fall from one to the next. */
struct hf_kills_reader {
	struct hf_kills_reader *next, *previous;
	uint64_t position, number;
};

struct hf_kills {
	_Atomic size_t count;         /* of the table: reading asks it first */
	pthread_rwlock_t lock;        /* table, list */
	struct hf_map table;          /* by the document's position */
	struct hf_kill *first, *last; /* by `at` */
	pthread_mutex_t readers_lock;
	struct hf_kills_reader *oldest, *newest;
	uint64_t next_number;
};

void hf_kills_init(struct hf_kills *kills);
void hf_kills_free(struct hf_kills *kills); /* forgets what is in it: the log still has it */

/* Opens a snapshot at the position below which all is committed, and gives that. */
uint64_t hf_kills_open_reader(struct hf_kills *kills, struct hf_kills_reader *reader, const _Atomic uint64_t *committed);
void hf_kills_close_reader(struct hf_kills *kills, struct hf_kills_reader *reader);

/* Before the group that begins at kill->at becomes visible. The kill is copied. HF_ENOMEM: nothing was added. */
int hf_kills_add(struct hf_kills *kills, const struct hf_kill *kill);
/* True when the document is dead for a snapshot at `before`, though it may have no mark. */
bool hf_kills_hide(struct hf_kills *kills, uint64_t position, uint64_t before);
/* Makes the marks that no snapshot is in the way of, and forgets those that no snapshot can have missed. all: whoever is in the way. */
void hf_kills_settle(struct hf_store *store, bool all);
/* Makes the mark of that document now, if it has to be made. */
void hf_kills_mark(struct hf_store *store, uint64_t position);
void hf_kills_mark_now(struct hf_store *store, struct hf_kill *kill);
/* The position from which on the log has to be read again for the marks not made yet; UINT64_MAX when there are none. */
uint64_t hf_kills_floor(struct hf_kills *kills);

#endif
