/* Ranks may arrive in any order, also on purpose: whatever it is, a walk along chains costs a heap operation for each
 * of a small share of the table, and nothing more. When they arrive about in order the heap stays tiny and the walk
 * ends where the caller stops. An allocation is made before anything is taken from a chain, so that a failed call can
 * be made again. */
#include <stdlib.h>

#include "store/part_walk.h"

#define PENDING_FIRST 64
/* A clause that at least one document in so many has is not worth following. */
#define ORDERED_SHARE 16

/* ---- Open ---- */

static int compare_slots(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

static int open_filter(const struct hf_memtable *table, const struct hf_clause *clause, struct hf_arena *arena,
	struct hf_memtable_filter *filter, uint64_t *estimate)
{
	filter->slots = hf_arena_alloc(arena, clause->term_count * sizeof *filter->slots);
	if (!filter->slots)
		return HF_ENOMEM;
	filter->count = 0;
	*estimate = 0;
	for (uint32_t i = 0; i < clause->term_count; i++) {
		uint32_t slot = hf_memtable_slot(table, clause->terms[i]);
		if (slot == HF_MEMTABLE_NONE)
			continue;
		filter->slots[filter->count++] = slot;
		*estimate += atomic_load_explicit(&table->slots[slot].count, memory_order_relaxed);
	}
	if (filter->count > 1)
		qsort(filter->slots, filter->count, sizeof *filter->slots, compare_slots);
	return filter->count ? HF_OK : HF_ENOTFOUND;
}

static void chain_sift(struct hf_memtable_walk *w, uint32_t at)
{
	struct hf_memtable_chain *heap = w->chains, moved = heap[at];
	for (;;) {
		uint32_t child = 2 * at + 1;
		if (child >= w->chain_count)
			break;
		if (child + 1 < w->chain_count && heap[child + 1].doc > heap[child].doc)
			child++;
		if (heap[child].doc <= moved.doc)
			break;
		heap[at] = heap[child];
		at = child;
	}
	heap[at] = moved;
}

static int open_chains(struct hf_memtable_walk *w, const struct hf_memtable_filter *leader, struct hf_arena *arena)
{
	w->chains = hf_arena_alloc(arena, leader->count * sizeof *w->chains);
	if (!w->chains)
		return HF_ENOMEM;
	for (uint32_t i = 0; i < leader->count; i++) {
		uint32_t node = atomic_load_explicit(&w->table->slots[leader->slots[i]].head, memory_order_acquire);
		if (node)
			w->chains[w->chain_count++] = (struct hf_memtable_chain){w->table->nodes[node].doc, node};
	}
	for (uint32_t i = w->chain_count / 2; i-- > 0;)
		chain_sift(w, i);
	return HF_OK;
}

int hf_memtable_walk_open(
	struct hf_memtable_walk *walk, struct hf_memtable *table, struct hf_part_query *query, struct hf_arena *arena)
{
	struct hf_memtable_walk *w = walk;
	*w = (struct hf_memtable_walk){.table = table, .last = HF_MEMTABLE_NONE};
	w->ordered = hf_memtable_first(table, query->rank_max);
	if (!query->clause_count)
		return HF_OK;
	w->filters = hf_arena_alloc(arena, query->clause_count * sizeof *w->filters);
	if (!w->filters)
		return HF_ENOMEM;
	uint64_t least = UINT64_MAX;
	uint32_t leader = 0;
	for (uint32_t i = 0; i < query->clause_count; i++) {
		uint64_t estimate;
		int r = open_filter(table, &query->clauses[i], arena, &w->filters[i], &estimate);
		if (r)
			return r;
		if (estimate < least) {
			least = estimate;
			leader = i;
		}
	}
	if (least >= atomic_load_explicit(&table->doc_count, memory_order_acquire) / ORDERED_SHARE) {
		w->filter_count = query->clause_count;
		return HF_OK;
	}
	int r = open_chains(w, &w->filters[leader], arena);
	w->filter_count = query->clause_count - 1;
	w->filters[leader] = w->filters[w->filter_count];
	return r;
}

/* ---- Next ---- */

static bool filter_has(const struct hf_memtable_filter *filter, uint32_t slot)
{
	uint32_t low = 0, high = filter->count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (filter->slots[middle] == slot)
			return true;
		if (filter->slots[middle] < slot)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

static bool passes(const struct hf_memtable_walk *w, const struct hf_part_query *query, uint32_t doc)
{
	const struct hf_memtable *t = w->table;
	if (t->positions[doc] >= query->before || hf_memtable_is_dead(t, doc) || t->ranks[doc] > query->rank_max ||
		t->ranks[doc] < query->rank_min)
		return false;
	for (uint32_t f = 0; f < w->filter_count; f++) {
		const struct hf_memtable_node *node = &t->nodes[t->first_node[doc]], *end = node + t->term_counts[doc];
		while (node < end && !filter_has(&w->filters[f], node->slot))
			node++;
		if (node == end)
			return false;
	}
	return true;
}

static int reserve(struct hf_memtable_walk *w, struct hf_arena *arena)
{
	if (w->pending_count < w->pending_max)
		return HF_OK;
	uint32_t room = w->pending_max ? w->pending_max * 2 : PENDING_FIRST;
	uint32_t *pending = hf_arena_alloc(arena, room * sizeof *pending);
	if (!pending)
		return HF_ENOMEM;
	if (w->pending_count)
		memcpy(pending, w->pending, w->pending_count * sizeof *pending);
	w->pending = pending;
	w->pending_max = room;
	return HF_OK;
}

static void pending_push(struct hf_memtable_walk *w, uint32_t doc)
{
	uint32_t at = w->pending_count++;
	for (; at > 0 && hf_memtable_compare(w->table, doc, w->pending[(at - 1) / 2]) < 0; at = (at - 1) / 2)
		w->pending[at] = w->pending[(at - 1) / 2];
	w->pending[at] = doc;
}

static uint32_t pending_pop(struct hf_memtable_walk *w)
{
	uint32_t *heap = w->pending, top = heap[0], moved = heap[--w->pending_count], at = 0;
	for (;;) {
		uint32_t child = 2 * at + 1;
		if (child >= w->pending_count)
			break;
		if (child + 1 < w->pending_count && hf_memtable_compare(w->table, heap[child + 1], heap[child]) < 0)
			child++;
		if (hf_memtable_compare(w->table, heap[child], moved) >= 0)
			break;
		heap[at] = heap[child];
		at = child;
	}
	heap[at] = moved;
	return top;
}

static void step(struct hf_memtable_walk *w)
{
	struct hf_memtable_chain *top = &w->chains[0];
	top->node = w->table->nodes[top->node].next;
	if (top->node)
		top->doc = w->table->nodes[top->node].doc;
	else
		*top = w->chains[--w->chain_count];
	if (w->chain_count > 1)
		chain_sift(w, 0);
}

static int next_ordered(struct hf_memtable_walk *w, struct hf_part_query *query, uint32_t *doc)
{
	while (w->ordered != HF_MEMTABLE_NONE && w->table->ranks[w->ordered] >= query->rank_min) {
		if (++query->steps > HF_INDEX_RESIDENT_STEPS_MAX && query->mode == HF_READ_RESIDENT)
			return HF_EWAIT;
		*doc = w->ordered;
		w->ordered = hf_memtable_next(w->table, *doc);
		if (passes(w, query, *doc))
			return HF_OK;
	}
	return HF_ENOTFOUND;
}

static int next_in_chains(
	struct hf_memtable_walk *w, struct hf_part_query *query, struct hf_arena *arena, uint32_t *doc)
{
	for (;;) {
		uint32_t next = w->chain_count ? w->chains[0].doc : HF_MEMTABLE_NONE;
		uint64_t most = next == HF_MEMTABLE_NONE ? 0 : w->table->rank_most[next];
		bool more = next != HF_MEMTABLE_NONE && most >= query->rank_min;
		if (w->pending_count && (!more || most < w->table->ranks[w->pending[0]])) {
			*doc = pending_pop(w);
			return HF_OK;
		}
		if (!more)
			return HF_ENOTFOUND;
		int r = reserve(w, arena);
		if (r)
			return r;
		step(w);
		if (next != w->last && passes(w, query, next))
			pending_push(w, next);
		w->last = next;
	}
}

int hf_memtable_walk_next(
	struct hf_memtable_walk *walk, struct hf_part_query *query, struct hf_arena *arena, uint32_t *doc)
{
	return walk->chains ? next_in_chains(walk, query, arena, doc) : next_ordered(walk, query, doc);
}
