/* The table has the documents in order already. Ids are sorted by hash with a radix sort over the bytes that differ;
 * terms need almost no sorting: the table keeps them at the slot of their high bits, so that reading it from one end to
 * the other gives them nearly in order. Nothing here is quadratic in what an outsider can choose: both hashes are
 * keyed. */
#include <stdlib.h>

#include "store/merge.h"
#include "store/segment_builder.h"

struct entry {
	uint64_t key;
	uint32_t value;
};

struct seal {
	const struct hf_memtable *table;
	struct hf_segment_builder builder;
	uint32_t *map;
	struct entry *entries, *scratch; /* room for all documents, or all terms in use, and one more */
	uint32_t live_count;
	uint32_t *order; /* documents in query order */
};

/* Ascending by key, stable; passes over bytes that are the same everywhere are skipped. The result is in *entries;
 * the two arrays may have changed places. */
static void radix_sort(struct entry **entries, struct entry **scratch, uint32_t count)
{
	uint64_t all = 0, any = 0, first = count ? (*entries)[0].key : 0;
	bool sorted = true;
	for (uint32_t i = 0; i < count; i++) {
		any |= (*entries)[i].key ^ first;
		sorted = sorted && all <= (*entries)[i].key;
		all = (*entries)[i].key;
	}
	for (unsigned shift = 0; shift < 64 && !sorted; shift += 8) {
		if (!(any >> shift & 0xff))
			continue;
		uint32_t starts[256] = {0}, sum = 0;
		struct entry *from = *entries, *to = *scratch;
		for (uint32_t i = 0; i < count; i++)
			starts[from[i].key >> shift & 0xff]++;
		for (unsigned digit = 0; digit < 256; digit++) {
			uint32_t n = starts[digit];
			starts[digit] = sum;
			sum += n;
		}
		for (uint32_t i = 0; i < count; i++)
			to[starts[from[i].key >> shift & 0xff]++] = from[i];
		*entries = to;
		*scratch = from;
	}
}

/* Numbers the documents that live, in query order. */
static void number_docs(struct seal *s, const uint64_t *dead)
{
	const struct hf_memtable *t = s->table;
	memset(s->map, 0xff, atomic_load(&t->doc_count) * sizeof *s->map);
	for (uint32_t doc = hf_memtable_first(t, UINT64_MAX); doc != HF_MEMTABLE_NONE; doc = hf_memtable_next(t, doc)) {
		if (dead[doc / 64] >> (doc % 64) & 1)
			continue;
		s->map[doc] = s->live_count;
		s->order[s->live_count++] = doc;
	}
}

static int write_columns(struct seal *s)
{
	const struct hf_memtable *t = s->table;
	struct hf_segment_builder *b = &s->builder;
	int r = HF_OK;
	for (uint32_t i = 0; i < s->live_count && !r; i++)
		r = hf_segment_builder_value(b, HF_SECTION_RANK, t->ranks[s->order[i]]);
	if (!r)
		r = hf_segment_builder_end_column(b, HF_SECTION_RANK);
	for (uint32_t i = 0; i < s->live_count && !r; i++)
		r = hf_segment_builder_value(b, HF_SECTION_POSITION, t->positions[s->order[i]]);
	if (!r)
		r = hf_segment_builder_end_column(b, HF_SECTION_POSITION);
	for (uint32_t i = 0; i < s->live_count && !r; i++)
		r = hf_segment_builder_tie(b, hf_load_be32(t->ids[s->order[i]]));
	return r;
}

static int write_ids(struct seal *s)
{
	const struct hf_memtable *t = s->table;
	uint32_t n = 0;
	for (uint32_t at = 0; at < (uint32_t)1 << t->id_bits; at++) {
		uint64_t slot = atomic_load_explicit(&t->id_slots[at], memory_order_relaxed);
		if (slot && s->map[(uint32_t)slot - 1] != HF_MERGE_DROPPED)
			s->entries[n++] = (struct entry){slot >> 32, s->map[(uint32_t)slot - 1]};
	}
	radix_sort(&s->entries, &s->scratch, n);
	int r = HF_OK;
	for (uint32_t i = 0; i < n && !r; i++)
		r = hf_segment_builder_id(&s->builder, (uint32_t)s->entries[i].key, s->entries[i].value);
	return r;
}

/* Fills entries with (40-bit term, slot) in ascending order. */
static uint32_t sort_terms(struct seal *s)
{
	const struct hf_memtable *t = s->table;
	uint32_t n = 0, slots = (uint32_t)1 << t->slot_bits;
	/* Without branches on the slots: which of them are in use cannot be guessed. */
	for (uint32_t at = 0; at < slots; at++) {
		uint64_t term = atomic_load_explicit(&t->slots[at].term, memory_order_relaxed);
		s->entries[n] = (struct entry){term >> 24, at};
		n += (term != 0) & (term >> (64 - t->slot_bits) <= at);
	}
	/* What went round the end lies before the first free slot. */
	for (uint32_t at = 0; at < slots; at++) {
		uint64_t term = atomic_load_explicit(&t->slots[at].term, memory_order_relaxed);
		if (!term)
			break;
		if (term >> (64 - t->slot_bits) > at)
			s->entries[n++] = (struct entry){term >> 24, at};
	}
	for (uint32_t i = 1; i < n; i++) {
		struct entry moved = s->entries[i];
		uint32_t at = i;
		for (; at > 0 && s->entries[at - 1].key > moved.key; at--)
			s->entries[at] = s->entries[at - 1];
		s->entries[at] = moved;
	}
	return n;
}

/* Numbers the groups of equal terms (by slot in group_of), with the start of each one's list in starts. Returns their
 * count; starts has one more, the end. */
static uint32_t group_terms(struct seal *s, uint32_t term_count, uint32_t *group_of, uint32_t *starts)
{
	uint32_t groups = 0, at = 0;
	for (uint32_t i = 0; i < term_count; i++) {
		uint32_t slot = s->entries[i].value;
		if (!i || s->entries[i].key != s->entries[i - 1].key)
			starts[groups++] = at;
		group_of[slot] = groups - 1;
		at += atomic_load_explicit(&s->table->slots[slot].count, memory_order_relaxed);
	}
	starts[groups] = at;
	return groups;
}

/* Distributes the documents, in their new order, over the lists: each comes out ascending. A document whose terms share
 * 40 bits is in a list once. ends: where each list ends so far. */
static void fill_lists(
	const struct seal *s, const uint32_t *group_of, const uint32_t *starts, uint32_t *ends, uint32_t *lists)
{
	const struct hf_memtable *t = s->table;
	for (uint32_t i = 0; i < s->live_count; i++) {
		const struct hf_memtable_node *node = &t->nodes[t->first_node[s->order[i]]];
		const struct hf_memtable_node *end = node + t->term_counts[s->order[i]];
		for (; node < end; node++) {
			uint32_t group = group_of[node->slot], at = ends[group];
			if (at == starts[group] || lists[at - 1] != i) {
				lists[at] = i;
				ends[group] = at + 1;
			}
		}
	}
}

static int write_lists(
	struct seal *s, uint32_t groups, const uint32_t *starts, const uint32_t *ends, const uint32_t *lists)
{
	int r = hf_segment_builder_begin_terms(&s->builder, groups);
	uint32_t entry = 0;
	for (uint32_t group = 0; group < groups && !r; group++) {
		uint64_t term = s->entries[entry].key;
		for (uint32_t at = starts[group]; at < ends[group] && !r; at++)
			r = hf_segment_builder_list_add(&s->builder, lists[at]);
		if (!r)
			r = hf_segment_builder_end_list(&s->builder, term);
		while (group + 1 < groups && s->entries[entry].key == term)
			entry++;
	}
	return r;
}

static int write_terms(struct seal *s)
{
	uint32_t n = sort_terms(s);
	uint32_t *group_of = malloc(((size_t)1 << s->table->slot_bits) * sizeof *group_of);
	uint32_t *starts = malloc(((size_t)n + 1) * sizeof *starts), *ends = malloc(((size_t)n + 1) * sizeof *ends);
	uint32_t *lists = malloc((size_t)s->table->node_count * sizeof *lists);
	int r = HF_ENOMEM;
	if (group_of && starts && ends && lists) {
		uint32_t groups = group_terms(s, n, group_of, starts);
		memcpy(ends, starts, (size_t)groups * sizeof *ends);
		fill_lists(s, group_of, starts, ends, lists);
		r = write_lists(s, groups, starts, ends, lists);
	}
	free(group_of);
	free(starts);
	free(ends);
	free(lists);
	return r;
}

static int write_segment(struct seal *s, const struct hf_merge_target *target, struct hf_segment **out)
{
	uint64_t file_bytes;
	int r = hf_segment_builder_open(&s->builder, target->fs, target->directory, target->number, target->collection,
		target->seed, s->live_count);
	if (!r)
		r = write_columns(s);
	if (!r)
		r = write_ids(s);
	if (!r)
		r = write_terms(s);
	if (!r)
		r = hf_segment_builder_finish(&s->builder, &file_bytes);
	if (!r)
		r = hf_segment_open(out, target->fs, target->directory, target->number, target->tier,
			target->collection, file_bytes, target->seed, NULL);
	if (!r)
		hf_segment_trust(*out);
	hf_segment_builder_close(&s->builder, r != 0);
	return r;
}

int hf_seal(
	const struct hf_merge_target *target, const struct hf_memtable *table, struct hf_segment **out, uint32_t **map)
{
	uint32_t count = atomic_load(&table->doc_count), words = (count + 63) / 64;
	size_t room = table->slot_count > count ? table->slot_count : count;
	struct seal *s = calloc(1, sizeof *s);
	uint64_t *dead = malloc((size_t)words * 8 + 8);
	int r = s && dead ? HF_OK : HF_ENOMEM;
	*out = NULL;
	*map = NULL;
	if (!r) {
		s->table = table;
		s->map = malloc(((size_t)count + 1) * sizeof *s->map);
		s->entries = malloc((room + 1) * sizeof *s->entries);
		s->scratch = malloc((room + 1) * sizeof *s->scratch);
		s->order = malloc(((size_t)count + 1) * sizeof *s->order);
		r = s->map && s->entries && s->scratch && s->order ? HF_OK : HF_ENOMEM;
	}
	if (!r) {
		for (uint32_t i = 0; i < words; i++)
			dead[i] = atomic_load_explicit(&table->dead[i], memory_order_relaxed);
		number_docs(s, dead);
		r = s->live_count ? write_segment(s, target, out) : HF_OK;
	}
	free(dead);
	if (s) {
		if (r)
			free(s->map);
		else
			*map = s->map;
		free(s->entries);
		free(s->scratch);
		free(s->order);
		free(s);
	}
	return r;
}

void hf_seal_carry(const struct hf_memtable *table, const uint32_t *map, struct hf_segment *out)
{
	uint32_t count = atomic_load(&table->doc_count);
	for (uint32_t word = 0; word < (count + 63) / 64; word++) {
		uint64_t bits = atomic_load_explicit(&table->dead[word], memory_order_relaxed);
		for (; bits; bits &= bits - 1) {
			uint32_t doc = map[word * 64 + (uint32_t)__builtin_ctzll(bits)];
			if (doc != HF_MERGE_DROPPED)
				hf_segment_mark_dead(out, doc);
		}
	}
}
