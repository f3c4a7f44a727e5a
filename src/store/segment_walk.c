/* The state that counts is `want`: everything else can be found again from it by seeking, so an interrupted call
 * needs no undoing. */
#include "store/part_walk.h"

#define BATCH_TERMS 16

/* Looks the terms of a batch up; values of those that are not here are HF_SEGMENT_EMPTY. Memory is asked for in stages,
 * so that the waits of a batch overlap. */
static int look_up(
	struct hf_segment *s, const uint64_t *terms, uint32_t count, enum hf_read_mode mode, uint32_t *values)
{
	uint64_t term40[BATCH_TERMS];
	for (uint32_t i = 0; i < count; i++) {
		term40[i] = hf_segment_term40(terms[i]);
		hf_segment_prefetch_directory(s, HF_SECTION_TERM_DIRECTORY, s->term_bits, (uint32_t)(term40[i] >> 8));
	}
	for (uint32_t i = 0; i < count; i++)
		hf_segment_prefetch_entries(s, HF_SECTION_TERM_DIRECTORY, s->term_bits, (uint32_t)(term40[i] >> 8),
			HF_SECTION_TERM, HF_SEGMENT_TERM_BYTES);
	for (uint32_t i = 0; i < count; i++) {
		int r = hf_segment_find_term(s, term40[i], mode, &values[i]);
		if (r == HF_ENOTFOUND)
			values[i] = HF_SEGMENT_EMPTY;
		else if (r)
			return r;
		if (!(values[i] & HF_SEGMENT_INLINE))
			__builtin_prefetch(hf_segment_at(s, HF_SECTION_POSTINGS) + (size_t)values[i] * 2);
	}
	return HF_OK;
}

/* Opens the lists of a clause; *estimate: the sum of their counts. HF_ENOTFOUND when none of the terms is here. */
static int open_union(struct hf_segment_walk *w, const struct hf_clause *clause, enum hf_read_mode mode,
	struct hf_arena *arena, struct hf_union *u, uint64_t *estimate)
{
	if (!u->lists) {
		u->heap = hf_arena_alloc(arena, clause->term_count * (sizeof *u->heap + sizeof *u->lists));
		if (!u->heap)
			return HF_ENOMEM;
		u->lists = (struct hf_postings *)(u->heap + clause->term_count);
	}
	u->count = 0;
	*estimate = 0;
	for (uint32_t from = 0; from < clause->term_count; from += BATCH_TERMS) {
		uint32_t values[BATCH_TERMS], left = clause->term_count - from,
					      count = left < BATCH_TERMS ? left : BATCH_TERMS;
		int r = look_up(w->segment, clause->terms + from, count, mode, values);
		for (uint32_t i = 0; i < count && !r; i++) {
			if (values[i] == HF_SEGMENT_EMPTY)
				continue;
			r = hf_postings_open(&u->lists[u->count], w->segment, values[i], mode);
			*estimate += r ? 0 : u->lists[u->count++].count;
		}
		if (r)
			return r;
	}
	if (!u->count)
		return HF_ENOTFOUND;
	hf_union_start(u);
	return HF_OK;
}

static int open_range(struct hf_segment_walk *w, const struct hf_part_query *query)
{
	struct hf_segment *s = w->segment;
	int r = hf_segment_seek_rank(s, query->rank_max, query->mode, &w->want);
	if (r)
		return r;
	w->end = s->doc_count;
	return query->rank_min <= s->rank_min ? HF_OK
					      : hf_segment_seek_rank(s, query->rank_min - 1, query->mode, &w->end);
}

int hf_segment_walk_open(
	struct hf_segment_walk *walk, struct hf_segment *segment, struct hf_part_query *query, struct hf_arena *arena)
{
	struct hf_segment_walk *w = walk;
	uint64_t least = UINT64_MAX;
	uint32_t leader = 0;
	w->segment = segment;
	w->clause_count = query->clause_count;
	w->check_positions = segment->position_max >= query->before;
	int r = open_range(w, query);
	if (r || !query->clause_count)
		return r;
	if (!w->unions && !(w->unions = hf_arena_alloc(arena, query->clause_count * sizeof *w->unions)))
		return HF_ENOMEM;
	for (uint32_t i = 0; i < query->clause_count; i++) {
		uint64_t estimate;
		r = open_union(w, &query->clauses[i], query->mode, arena, &w->unions[i], &estimate);
		if (r)
			return r;
		if (estimate < least) {
			least = estimate;
			leader = i;
		}
	}
	struct hf_union first = w->unions[leader];
	w->unions[leader] = w->unions[0];
	w->unions[0] = first;
	return HF_OK;
}

/* The first document from want on that all clauses have, in w->want; HF_ENOTFOUND when there is none. */
static int find_common(struct hf_segment_walk *w, struct hf_part_query *query)
{
	uint32_t agreed = 0;
	for (uint32_t i = 0; agreed < w->clause_count; i = i + 1 < w->clause_count ? i + 1 : 0) {
		struct hf_union *u = &w->unions[i];
		int r = hf_union_seek(u, w->want, query->mode);
		if (r)
			return r;
		uint32_t doc = hf_union_doc(u);
		if (doc >= w->end)
			return HF_ENOTFOUND;
		agreed = doc == w->want ? agreed + 1 : 1;
		w->want = doc;
		if (++query->steps > HF_INDEX_RESIDENT_STEPS_MAX && query->mode == HF_READ_RESIDENT)
			return HF_EWAIT;
	}
	return HF_OK;
}

int hf_segment_walk_next(
	struct hf_segment_walk *walk, struct hf_part_query *query, uint64_t *rank, uint32_t *tie, uint64_t *position)
{
	struct hf_segment_walk *w = walk;
	for (;; w->want++) {
		if (w->want >= w->end)
			return HF_ENOTFOUND;
		int r = w->clause_count ? find_common(w, query) : HF_OK;
		if (r)
			return r;
		if (hf_segment_is_dead(w->segment, w->want)) {
			if (++query->steps > HF_INDEX_RESIDENT_STEPS_MAX && query->mode == HF_READ_RESIDENT)
				return HF_EWAIT;
			continue;
		}
		uint64_t at, value;
		uint32_t first;
		r = hf_segment_value(w->segment, HF_SECTION_POSITION, w->want, query->mode, &at);
		if (r)
			return r;
		if (w->check_positions && at >= query->before)
			continue;
		r = hf_segment_value(w->segment, HF_SECTION_RANK, w->want, query->mode, &value);
		if (!r)
			r = hf_segment_tie(w->segment, w->want, query->mode, &first);
		if (r)
			return r;
		*position = at;
		*rank = value;
		*tie = first;
		w->want++;
		return HF_OK;
	}
}
