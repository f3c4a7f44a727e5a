/* A heap of parts by (rank descending, tie, id). A part starts unloaded: its key is the highest rank it could give, so
 * parts that only hold older documents are not even opened while newer ones fill the caller's limit; and after a hit it
 * is unloaded again, so that nothing is looked up past the last hit asked for. Only at the top of the heap is a part
 * loaded, that is, moved to its next document.
 *
 * Within a part: part_walk.h. HF_EWAIT and HF_ENOMEM leave heap and parts so that the same call can be made again. A
 * part that turns out corrupt is reported once and left out. */
#include <stdlib.h>

#include "base/arena.h"
#include "store/index_private.h"
#include "store/part_walk.h"

#define PREFETCH_CLAUSES_MAX 4

struct part {
	uint64_t rank; /* of the document; unloaded: nothing higher is left */
	uint64_t position;
	uint32_t tie;
	bool loaded, opened, id_loaded;
	struct hf_memtable *memtable; /* or */
	struct hf_segment *segment;
	uint8_t id[HF_STORE_ID_BYTES];
	union {
		struct hf_memtable_walk in_memory;
		struct hf_segment_walk in_file;
	} walk;
};

struct hf_index_iterator {
	struct hf_index_view *view;
	struct hf_part_query query;
	struct hf_arena arena;
	uint32_t heap_count;
	struct part **heap;
	struct part *parts;
};

/* ---- Heap ---- */

/* Unloaded parts come first among equal ranks. */
static inline bool part_before(const struct part *a, const struct part *b)
{
	if (a->rank != b->rank)
		return a->rank > b->rank;
	if (a->loaded != b->loaded)
		return b->loaded;
	return a->loaded && a->tie < b->tie;
}

static void sift_down(struct hf_index_iterator *it, uint32_t at)
{
	struct part **heap = it->heap, *moved = heap[at];
	for (;;) {
		uint32_t child = 2 * at + 1;
		if (child >= it->heap_count)
			break;
		if (child + 1 < it->heap_count && part_before(heap[child + 1], heap[child]))
			child++;
		if (!part_before(heap[child], moved))
			break;
		heap[at] = heap[child];
		at = child;
	}
	heap[at] = moved;
}

static void sift_up(struct hf_index_iterator *it, uint32_t at)
{
	struct part **heap = it->heap, *moved = heap[at];
	for (; at > 0 && part_before(moved, heap[(at - 1) / 2]); at = (at - 1) / 2)
		heap[at] = heap[(at - 1) / 2];
	heap[at] = moved;
}

static void drop_top(struct hf_index_iterator *it)
{
	it->heap[0] = it->heap[--it->heap_count];
	if (it->heap_count)
		sift_down(it, 0);
}

/* ---- Parts ---- */

static int load_from_memory(struct hf_index_iterator *it, struct part *p)
{
	uint32_t doc;
	int r = p->opened ? HF_OK : hf_memtable_walk_open(&p->walk.in_memory, p->memtable, &it->query, &it->arena);
	if (r)
		return r;
	p->opened = true;
	r = hf_memtable_walk_next(&p->walk.in_memory, &it->query, &it->arena, &doc);
	if (r)
		return r;
	p->rank = p->memtable->ranks[doc];
	p->position = p->memtable->positions[doc];
	p->tie = hf_load_be32(p->memtable->ids[doc]);
	memcpy(p->id, p->memtable->ids[doc], HF_STORE_ID_BYTES);
	p->id_loaded = true;
	return HF_OK;
}

static int load_from_file(struct hf_index_iterator *it, struct part *p)
{
	int r = p->opened ? HF_OK : hf_segment_walk_open(&p->walk.in_file, p->segment, &it->query, &it->arena);
	if (r)
		return r;
	p->opened = true;
	p->id_loaded = false;
	return hf_segment_walk_next(&p->walk.in_file, &it->query, &p->rank, &p->tie, &p->position);
}

static int load_top(struct hf_index_iterator *it)
{
	struct part *p = it->heap[0];
	int r = p->memtable ? load_from_memory(it, p) : load_from_file(it, p);
	if (!r) {
		p->loaded = true;
		sift_down(it, 0);
	} else if (r == HF_ENOTFOUND || r == HF_ECORRUPT) {
		drop_top(it);
	}
	return r == HF_ENOTFOUND ? HF_OK : r;
}

/* The id behind a tie. One that cannot be read sorts last among its equals. */
static int load_id(struct hf_index_iterator *it, struct part *p)
{
	if (p->id_loaded)
		return HF_OK;
	if (it->query.mode == HF_READ_RESIDENT)
		return HF_EWAIT;
	int r = it->view->read_id(it->view->context, p->position, p->id);
	if (r == HF_ENOMEM)
		return r;
	if (r)
		memset(p->id, 0xff, sizeof p->id);
	p->id_loaded = true;
	return HF_OK;
}

static inline bool equal_keys(const struct part *a, const struct part *b)
{
	return a->rank == b->rank && a->tie == b->tie && b->loaded;
}

/* The place in the heap of the first of those whose key equals the top's. */
static int choose(struct hf_index_iterator *it, uint32_t *place)
{
	struct part **heap = it->heap;
	*place = 0;
	if (!(it->heap_count > 1 && equal_keys(heap[0], heap[1])) &&
		!(it->heap_count > 2 && equal_keys(heap[0], heap[2])))
		return HF_OK;
	int r = load_id(it, heap[0]);
	for (uint32_t i = 1; i < it->heap_count && !r; i++) {
		if (!equal_keys(heap[0], heap[i]))
			continue;
		r = load_id(it, heap[i]);
		if (!r && memcmp(heap[i]->id, heap[*place]->id, HF_STORE_ID_BYTES) < 0)
			*place = i;
	}
	return r;
}

/* ---- The iterator ---- */

static void add_part(struct hf_index_iterator *it, struct part *p, uint64_t rank_max)
{
	p->rank = rank_max < it->query.rank_max ? rank_max : it->query.rank_max;
	it->heap[it->heap_count++] = p;
	sift_up(it, it->heap_count - 1);
}

static void add_parts(struct hf_index_iterator *it)
{
	const struct hf_index_view *view = it->view;
	struct part *p = it->parts;
	for (uint32_t i = 0; i < view->memtable_count; i++) {
		struct hf_memtable *table = view->memtables[i];
		uint32_t count = atomic_load_explicit(&table->doc_count, memory_order_acquire);
		if (!count || table->rank_most[count - 1] < it->query.rank_min)
			continue;
		p->memtable = table;
		add_part(it, p++, table->rank_most[count - 1]);
	}
	for (uint32_t i = 0; i < view->segment_count; i++) {
		struct hf_segment *s = view->segments[i];
		if (s->rank_max < it->query.rank_min || s->rank_min > it->query.rank_max ||
			s->position_min >= it->query.before)
			continue;
		p->segment = s;
		add_part(it, p++, s->rank_max);
	}
}

/* For a query of few terms, where the waits for memory are what it costs. */
static void prefetch(const struct hf_index_iterator *it)
{
	for (int stage = 0; stage < 2; stage++) {
		for (uint32_t p = 0; p < it->heap_count; p++) {
			const struct hf_segment *s = it->parts[p].segment;
			for (uint32_t c = 0; s && c < it->query.clause_count && c < PREFETCH_CLAUSES_MAX; c++) {
				uint32_t hash = (uint32_t)(hf_segment_term40(it->query.clauses[c].terms[0]) >> 8);
				if (stage == 0)
					hf_segment_prefetch_directory(s, HF_SECTION_TERM_DIRECTORY, s->term_bits, hash);
				else
					hf_segment_prefetch_entries(s, HF_SECTION_TERM_DIRECTORY, s->term_bits, hash,
						HF_SECTION_TERM, HF_SEGMENT_TERM_BYTES);
			}
		}
	}
}

int hf_index_iterate(struct hf_index_iterator **out, struct hf_index_view *view, const struct hf_query *query,
	uint64_t before, enum hf_read_mode mode)
{
	if (query->clause_count > HF_QUERY_CLAUSES_MAX)
		return HF_EINVAL;
	size_t parts = (size_t)view->memtable_count + view->segment_count;
	struct hf_index_iterator *it = calloc(1, sizeof *it + parts * (sizeof *it->parts + sizeof(struct part *)));
	if (!it)
		return HF_ENOMEM;
	it->view = view;
	it->parts = (struct part *)(it + 1);
	it->heap = (struct part **)(it->parts + parts);
	it->query = (struct hf_part_query){.clause_count = query->clause_count,
		.rank_min = query->rank_min,
		.rank_max = query->rank_max,
		.before = before,
		.mode = mode};
	memcpy(it->query.clauses, query->clauses, query->clause_count * sizeof *query->clauses);
	bool possible = query->rank_min <= query->rank_max;
	for (uint32_t i = 0; i < query->clause_count; i++)
		possible = possible && query->clauses[i].term_count > 0;
	if (possible) {
		add_parts(it);
		prefetch(it);
	}
	*out = it;
	return HF_OK;
}

int hf_index_next(struct hf_index_iterator *iterator, struct hf_index_hit *hit)
{
	struct hf_index_iterator *it = iterator;
	uint32_t place;
	it->query.steps = 0;
	for (;;) {
		if (!it->heap_count)
			return HF_ENOTFOUND;
		if (it->heap[0]->loaded)
			break;
		int r = load_top(it);
		if (r)
			return r;
	}
	int r = choose(it, &place);
	if (r)
		return r;
	struct part *p = it->heap[place];
	*hit = (struct hf_index_hit){.position = p->position, .rank = p->rank};
	p->loaded = false;
	sift_up(it, place);
	return HF_OK;
}

void hf_index_iterator_set_mode(struct hf_index_iterator *iterator, enum hf_read_mode mode)
{
	iterator->query.mode = mode;
}

size_t hf_index_iterator_bytes(const struct hf_index_iterator *iterator)
{
	return sizeof *iterator + iterator->arena.used_bytes;
}

void hf_index_iterator_close(struct hf_index_iterator *iterator)
{
	if (!iterator)
		return;
	hf_arena_free(&iterator->arena);
	free(iterator);
}
