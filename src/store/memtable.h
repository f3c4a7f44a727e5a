/* memtable: the newest documents of a collection, in memory. (Private to store/.)
 *
 * Fixed arrays in one mapping; untouched pages cost nothing. Each term has a chain of nodes, the last inserted first.
 * One writer inserts; any number of readers walk without a lock: everything a reader can reach was written before the
 * link to it was published. A reader skips documents at or above its snapshot's position and dead ones, so staged
 * documents are in the table before they are committed, and aborted ones are simply marked dead.
 *
 * All documents are also in a skip list in query order, so that the newest are at hand whatever the order of arrival
 * was: one document from the future, or a sender that means ill, costs nobody a sort. Levels come from the keyed hash
 * of the id.
 */
#ifndef HF_STORE_MEMTABLE_H
#define HF_STORE_MEMTABLE_H

#include <pthread.h>

#include "store/store.h"

#define HF_MEMTABLE_DOCS_MAX (1u << 20)
#define HF_MEMTABLE_NODES_PER_DOC 16u
#define HF_MEMTABLE_NONE UINT32_MAX
#define HF_MEMTABLE_LEVELS 8u /* of the skip list, each with a quarter of the one below */

struct hf_memtable_slot {
	_Atomic uint64_t term; /* as hf_segment_mix gives it; 0: free */
	_Atomic uint32_t head; /* node; 0: none */
	_Atomic uint32_t count;
};

struct hf_memtable_node {
	uint32_t next, doc, slot;
};

/* Keeps one table that nobody uses any more for the next one: taking fresh pages from the kernel and giving them back
 * for each table costs more than clearing what must be clear. */
struct hf_memtable_pool {
	pthread_mutex_t lock;
	struct hf_memtable *spare;
};
void hf_memtable_pool_init(struct hf_memtable_pool *pool);
void hf_memtable_pool_free(struct hf_memtable_pool *pool); /* after all its tables */

struct hf_memtable {
	_Atomic uint32_t references;
	struct hf_memtable_pool *pool;
	uint32_t docs_max, nodes_max;
	uint32_t slot_bits, id_bits;
	size_t mapping_bytes;

	/* By document, in order of insertion. */
	uint8_t (*ids)[HF_STORE_ID_BYTES];
	uint64_t *ranks, *positions;
	uint64_t *rank_most; /* the highest rank of this and all earlier documents */
	uint32_t *first_node, *term_counts;
	_Atomic uint64_t *dead;
	_Atomic uint32_t
		*next; /* by level, then document or docs_max for the list's head: next document + 1; 0: none */

	struct hf_memtable_node *nodes; /* a document's nodes are neighbours; 0 is not used */
	struct hf_memtable_slot *slots;
	_Atomic uint64_t *id_slots; /* high half of the id's hash, then document + 1; 0: free */

	_Atomic uint32_t doc_count;
	_Atomic uint32_t dead_count;
	uint32_t node_count, slot_count; /* the writer's */
	bool retired;                    /* sealed; the index's, under its lock */
};

/* One reference; NULL when out of memory. All tables of a pool have the same size. The pool outlives them. */
struct hf_memtable *hf_memtable_new(struct hf_memtable_pool *pool, uint32_t docs_max);
struct hf_memtable *hf_memtable_ref(struct hf_memtable *table);
void hf_memtable_unref(struct hf_memtable *table); /* NULL is fine */

/* ---- The writer ---- */
bool hf_memtable_has_room(const struct hf_memtable *table, uint32_t term_count);
/* HF_EBUSY when there is no room. id_hash: hf_segment_id_hash. */
int hf_memtable_insert(struct hf_memtable *table, const struct hf_doc_key *key, uint64_t position, uint64_t id_hash);
void hf_memtable_abort(struct hf_memtable *table, uint64_t position);
bool hf_memtable_mark_dead(struct hf_memtable *table, uint32_t doc); /* false when it was dead */

/* ---- Readers ---- */
static inline bool hf_memtable_is_dead(const struct hf_memtable *table, uint32_t doc)
{
	return atomic_load_explicit(&table->dead[doc / 64], memory_order_relaxed) >> (doc % 64) & 1;
}
/* A live document with this id at a position in [from, before), or HF_MEMTABLE_NONE. */
uint32_t hf_memtable_find(
	const struct hf_memtable *table, const uint8_t id[static HF_STORE_ID_BYTES], uint64_t id_hash, uint64_t from, uint64_t before);
/* The slot of a term, or HF_MEMTABLE_NONE. */
uint32_t hf_memtable_slot(const struct hf_memtable *table, uint64_t term);
/* Query order: negative when document a comes before b. */
static inline int hf_memtable_compare(const struct hf_memtable *table, uint32_t a, uint32_t b)
{
	if (table->ranks[a] != table->ranks[b])
		return table->ranks[a] > table->ranks[b] ? -1 : 1;
	return memcmp(table->ids[a], table->ids[b], HF_STORE_ID_BYTES);
}
/* The first document in query order with a rank of at most `rank`, and the one behind another; HF_MEMTABLE_NONE at the
 * end. */
uint32_t hf_memtable_first(const struct hf_memtable *table, uint64_t rank);
static inline uint32_t hf_memtable_next(const struct hf_memtable *table, uint32_t doc)
{
	return atomic_load_explicit(&table->next[doc], memory_order_acquire) - 1;
}
/* The lowest position of a live document, UINT64_MAX when there is none. */
uint64_t hf_memtable_position_min(const struct hf_memtable *table);

#endif
