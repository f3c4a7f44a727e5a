/* Look-ups of single documents, counts, and scans in order of position. */
#include <stdlib.h>

#include "store/index_private.h"
#include "store/postings.h"

/* ---- Find ---- */

static int confirm_entry(struct hf_segment *s, uint32_t doc, uint64_t before, enum hf_read_mode mode,
	hf_index_confirm confirm, void *context, struct hf_index_hit *hit)
{
	uint64_t position, rank;
	if (hf_segment_is_dead(s, doc))
		return HF_ENOTFOUND;
	int r = hf_segment_value(s, HF_SECTION_POSITION, doc, mode, &position);
	if (!r && position >= before)
		return HF_ENOTFOUND;
	if (!r)
		r = hf_segment_value(s, HF_SECTION_RANK, doc, mode, &rank);
	if (!r)
		r = confirm(context, position);
	if (!r)
		*hit = (struct hf_index_hit){.position = position, .rank = rank};
	return r;
}

static int find_in_segment(struct hf_segment *s, uint64_t hash, uint64_t before, enum hf_read_mode mode,
	hf_index_confirm confirm, void *context, struct hf_index_hit *hit)
{
	uint32_t entry, end;
	int r = hf_segment_find_id(s, hash, mode, &entry, &end);
	if (r)
		return r;
	for (; entry < end; entry++) {
		r = confirm_entry(s, hf_segment_id_doc(s, entry), before, mode, confirm, context, hit);
		if (r != HF_ENOTFOUND)
			return r;
	}
	return HF_ENOTFOUND;
}

int hf_index_find(struct hf_index_view *view, const uint8_t id[static HF_STORE_ID_BYTES], uint64_t before,
	enum hf_read_mode mode, hf_index_confirm confirm, void *context, struct hf_index_hit *hit)
{
	uint64_t hash = hf_segment_id_hash(id, view->seed);
	for (uint32_t i = 0; i < view->segment_count; i++)
		hf_segment_prefetch_directory(
			view->segments[i], HF_SECTION_ID_DIRECTORY, view->segments[i]->id_bits, (uint32_t)(hash >> 32));
	for (uint32_t i = 0; i < view->memtable_count; i++) {
		const struct hf_memtable *table = view->memtables[i];
		uint32_t doc = hf_memtable_find(table, id, hash, 0, before);
		if (doc != HF_MEMTABLE_NONE) {
			*hit = (struct hf_index_hit){.position = table->positions[doc], .rank = table->ranks[doc]};
			return HF_OK;
		}
	}
	for (uint32_t i = 0; i < view->segment_count; i++)
		hf_segment_prefetch_entries(view->segments[i], HF_SECTION_ID_DIRECTORY, view->segments[i]->id_bits,
			(uint32_t)(hash >> 32), HF_SECTION_ID, 8);
	int damaged = HF_OK;
	for (uint32_t i = 0; i < view->segment_count; i++) {
		int r = find_in_segment(view->segments[i], hash, before, mode, confirm, context, hit);
		if (r == HF_ECORRUPT)
			damaged = r; /* it may be in one of the others */
		else if (r != HF_ENOTFOUND)
			return r;
	}
	return damaged ? damaged : HF_ENOTFOUND;
}

/* ---- Counts ---- */

uint64_t hf_index_estimate(struct hf_index_view *view, uint64_t term)
{
	uint64_t sum = 0, term40 = hf_segment_term40(term);
	for (uint32_t i = 0; i < view->memtable_count; i++) {
		uint32_t slot = hf_memtable_slot(view->memtables[i], term);
		if (slot != HF_MEMTABLE_NONE)
			sum += atomic_load_explicit(&view->memtables[i]->slots[slot].count, memory_order_relaxed);
	}
	for (uint32_t i = 0; i < view->segment_count; i++) {
		struct hf_segment *s = view->segments[i];
		uint32_t value, count;
		int r = hf_segment_find_term(s, term40, HF_READ_RESIDENT, &value);
		if (!r)
			r = hf_postings_count(s, value, HF_READ_RESIDENT, &count);
		sum += !r ? count : r == HF_ENOTFOUND ? 0 : s->doc_count;
	}
	return sum;
}

uint64_t hf_index_doc_count(struct hf_index_view *view, uint64_t *dead_count)
{
	uint64_t docs = 0, dead = 0;
	for (uint32_t i = 0; i < view->memtable_count; i++) {
		docs += atomic_load_explicit(&view->memtables[i]->doc_count, memory_order_acquire);
		dead += atomic_load_explicit(&view->memtables[i]->dead_count, memory_order_relaxed);
	}
	for (uint32_t i = 0; i < view->segment_count; i++) {
		docs += view->segments[i]->doc_count;
		dead += atomic_load_explicit(&view->segments[i]->dead_count, memory_order_relaxed);
	}
	if (dead_count)
		*dead_count = dead;
	return docs > dead ? docs - dead : 0;
}

/* ---- Positions ---- */

/* The lowest `max` positions seen so far: a heap, highest first. */
struct lowest {
	uint64_t *heap, from, before;
	size_t count, max;
};

static inline bool lowest_wants(const struct lowest *l, uint64_t position)
{
	return position >= l->from && position < l->before && (l->count < l->max || position < l->heap[0]);
}

static void lowest_sift(struct lowest *l, size_t at)
{
	uint64_t moved = l->heap[at];
	for (;;) {
		size_t child = 2 * at + 1;
		if (child >= l->count)
			break;
		if (child + 1 < l->count && l->heap[child + 1] > l->heap[child])
			child++;
		if (l->heap[child] <= moved)
			break;
		l->heap[at] = l->heap[child];
		at = child;
	}
	l->heap[at] = moved;
}

static void lowest_add(struct lowest *l, uint64_t position)
{
	if (l->count == l->max) {
		l->heap[0] = position;
		lowest_sift(l, 0);
		return;
	}
	size_t at = l->count++;
	for (; at > 0 && l->heap[(at - 1) / 2] < position; at = (at - 1) / 2)
		l->heap[at] = l->heap[(at - 1) / 2];
	l->heap[at] = position;
}

/* A group whose base (its least position) is not wanted is passed over. */
static int positions_of_segment(struct hf_segment *s, struct lowest *l)
{
	uint32_t groups = (s->doc_count + HF_SEGMENT_GROUP_DOCS - 1) / HF_SEGMENT_GROUP_DOCS;
	int failed = HF_OK;
	for (uint32_t g = 0; g < groups; g++) {
		uint64_t values[HF_SEGMENT_GROUP_DOCS], head = s->section[HF_SECTION_POSITION_HEAD] + (uint64_t)g * 16;
		int r = hf_segment_touch(s, head, 16, HF_READ_BLOCKING);
		uint64_t base = r ? 0 : hf_load_le64(s->map + head);
		if (!r && (base >= l->before || (l->count == l->max && base > l->heap[0])))
			continue;
		if (!r)
			r = hf_segment_group(s, HF_SECTION_POSITION, g, HF_READ_BLOCKING, values);
		if (r) {
			failed = r;
			continue;
		}
		for (uint32_t i = 0; i < HF_SEGMENT_GROUP_DOCS; i++) {
			uint32_t doc = g * HF_SEGMENT_GROUP_DOCS + i;
			if (doc < s->doc_count && lowest_wants(l, values[i]) && !hf_segment_is_dead(s, doc))
				lowest_add(l, values[i]);
		}
	}
	return failed;
}

static int compare_positions(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

int hf_index_positions(
	struct hf_index_view *view, uint64_t from, uint64_t before, uint64_t *positions, size_t max, size_t *count)
{
	struct lowest l = {.heap = positions, .from = from, .before = before, .max = max};
	int failed = HF_OK;
	*count = 0;
	if (!max)
		return HF_OK;
	/* The oldest segment first, so that the newer ones are passed over by their lowest position. */
	for (uint32_t i = view->segment_count; i-- > 0;) {
		struct hf_segment *s = view->segments[i];
		if (s->position_max < from || s->position_min >= before ||
			(l.count == max && s->position_min > l.heap[0]))
			continue;
		int r = positions_of_segment(s, &l);
		failed = failed ? failed : r;
	}
	for (uint32_t i = view->memtable_count; i-- > 0;) {
		const struct hf_memtable *table = view->memtables[i];
		uint32_t docs = atomic_load_explicit(&table->doc_count, memory_order_acquire);
		for (uint32_t doc = 0; doc < docs; doc++)
			if (lowest_wants(&l, table->positions[doc]) && !hf_memtable_is_dead(table, doc))
				lowest_add(&l, table->positions[doc]);
	}
	qsort(positions, l.count, sizeof *positions, compare_positions);
	*count = l.count;
	return failed;
}
