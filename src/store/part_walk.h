/* part_walk: walks the documents of one part that match a query, in query order. (Private to the index.)
 *
 * open and next return HF_OK, HF_ENOTFOUND at the end, HF_EWAIT, HF_ECORRUPT, HF_EIO or HF_ENOMEM; after HF_EWAIT,
 * HF_EIO and HF_ENOMEM the same call may be made again.
 */
#ifndef HF_STORE_PART_WALK_H
#define HF_STORE_PART_WALK_H

#include "base/arena.h"
#include "store/index.h"
#include "store/memtable.h"
#include "store/postings.h"

struct hf_part_query {
	uint64_t rank_min, rank_max, before;
	enum hf_read_mode mode;
	uint32_t steps; /* documents looked at in the present call */
	uint32_t clause_count;
	struct hf_clause clauses[HF_QUERY_CLAUSES_MAX];
};

/* Segments: the clauses are unions of posting lists, which leapfrog; the one with the fewest entries leads. */
struct hf_segment_walk {
	struct hf_segment *segment;
	struct hf_union *unions; /* by clause, the leader first */
	uint32_t clause_count;
	uint32_t want, end;   /* the next document to look at; behind the last */
	bool check_positions; /* some may be newer than the snapshot */
};
int hf_segment_walk_open(
	struct hf_segment_walk *walk, struct hf_segment *segment, struct hf_part_query *query, struct hf_arena *arena);
int hf_segment_walk_next(
	struct hf_segment_walk *walk, struct hf_part_query *query, uint64_t *rank, uint32_t *tie, uint64_t *position);

/* Memtables: when the leading clause has few documents, its chains are merged by order of insertion, backwards; a heap
 * of pending documents puts them into query order, and a document leaves it when nothing inserted earlier can rank as
 * high. When it has many, or there is no clause, the table's own order is walked and every document looked at. */
struct hf_memtable_chain {
	uint32_t doc, node;
};
struct hf_memtable_filter {
	uint32_t *slots; /* ascending */
	uint32_t count;
};
struct hf_memtable_walk {
	struct hf_memtable *table;
	struct hf_memtable_chain *chains; /* heap, highest document first; NULL when the table's order is walked */
	uint32_t chain_count;
	uint32_t ordered; /* the next document in the table's order */
	uint32_t last;
	uint32_t *pending; /* heap, first in query order first */
	uint32_t pending_count, pending_max;
	struct hf_memtable_filter *filters;
	uint32_t filter_count;
};
int hf_memtable_walk_open(
	struct hf_memtable_walk *walk, struct hf_memtable *table, struct hf_part_query *query, struct hf_arena *arena);
int hf_memtable_walk_next(
	struct hf_memtable_walk *walk, struct hf_part_query *query, struct hf_arena *arena, uint32_t *doc);

#endif
