/* Documents are merged once by rank; the order is kept as one byte a document (which input it came from) and replayed
 * for each column. Numbers within an input keep their order, so the lists of an input stay ascending under its map and
 * a list of the output is a merge of mapped lists. Dictionaries and ids are merged by hash. Memory: one byte a document
 * out, four a document in, the directories, and buffers of fixed size. */
#include "store/merge.h"

#include <stdlib.h>

#include "store/postings.h"
#include "store/segment_builder.h"
#include "store/tournament.h"

/* The next document of an input; key is the complement of its rank. */
struct head {
	uint64_t key;
	uint32_t tie, input;
};

/* Where a column walk is in one input: live documents only. */
struct walk {
	uint32_t doc, group;
	uint64_t values[HF_SEGMENT_GROUP_DOCS];
};

struct merge {
	const struct hf_merge_target *target;
	struct hf_merge_input *inputs;
	uint32_t count;
	uint32_t live_count;
	struct hf_segment_builder builder;
	uint8_t *order;
	struct walk *walks;
	struct head heap[HF_MERGE_INPUTS_MAX];
	uint32_t heap_count;
	struct hf_postings lists[HF_MERGE_INPUTS_MAX];
	bool out_of_memory; /* while ids were compared: the order cannot be trusted */
};

/* ---- Heap ---- */

/* Full ids decide where rank and first bytes are equal. An id that cannot be read leaves the order of the inputs. */
static bool id_before(struct merge *m, const struct head *a, const struct head *b)
{
	uint64_t at[2];
	uint8_t id[2][HF_STORE_ID_BYTES];
	const struct head *heads[2] = {a, b};
	for (int i = 0; i < 2; i++) {
		struct hf_segment *s = m->inputs[heads[i]->input].segment;
		int r = hf_segment_value(s, HF_SECTION_POSITION, m->walks[heads[i]->input].doc, HF_READ_BLOCKING, &at[i]);
		r = r ? r : m->target->read_id(m->target->context, at[i], id[i]);
		m->out_of_memory |= r == HF_ENOMEM;
		if (r)
			return a->input < b->input;
	}
	return memcmp(id[0], id[1], HF_STORE_ID_BYTES) < 0;
}

static inline bool before(struct merge *m, const struct head *a, const struct head *b)
{
	if (a->key != b->key)
		return a->key < b->key;
	return a->tie != b->tie ? a->tie < b->tie : id_before(m, a, b);
}

static void sift_down(struct merge *m, uint32_t at)
{
	struct head moved = m->heap[at];
	for (;;) {
		uint32_t child = 2 * at + 1;
		if (child >= m->heap_count)
			break;
		if (child + 1 < m->heap_count && before(m, &m->heap[child + 1], &m->heap[child]))
			child++;
		if (!before(m, &m->heap[child], &moved))
			break;
		m->heap[at] = m->heap[child];
		at = child;
	}
	m->heap[at] = moved;
}

/* ---- Documents ---- */

static void skip_dead(const struct hf_merge_input *input, struct walk *w)
{
	while (w->doc < input->segment->doc_count && input->dead[w->doc / 64] >> (w->doc % 64) & 1)
		w->doc++;
}

/* The value of the document where the walk stands. */
static int walk_value(
	const struct hf_merge_input *input, struct walk *w, enum hf_segment_section section, uint64_t *value)
{
	uint32_t group = w->doc / HF_SEGMENT_GROUP_DOCS;
	if (group != w->group) {
		int r = hf_segment_group(input->segment, section, group, HF_READ_BLOCKING, w->values);
		if (r)
			return r;
		w->group = group;
	}
	*value = w->values[w->doc % HF_SEGMENT_GROUP_DOCS];
	return HF_OK;
}

static void walks_start(struct merge *m)
{
	for (uint32_t i = 0; i < m->count; i++) {
		m->walks[i].doc = 0;
		m->walks[i].group = UINT32_MAX;
		skip_dead(&m->inputs[i], &m->walks[i]);
	}
}

static int head_load(struct merge *m, uint32_t input, struct head *head)
{
	uint64_t rank = 0;
	int r = walk_value(&m->inputs[input], &m->walks[input], HF_SECTION_RANK, &rank);
	head->input = input;
	head->key = ~rank;
	return r ? r : hf_segment_tie(m->inputs[input].segment, m->walks[input].doc, HF_READ_BLOCKING, &head->tie);
}

/* Decides the order, fills the maps and writes the ranks. */
static int merge_docs(struct merge *m)
{
	int r = HF_OK;
	walks_start(m);
	m->heap_count = 0;
	for (uint32_t i = 0; i < m->count && !r; i++)
		if (m->walks[i].doc < m->inputs[i].segment->doc_count)
			r = head_load(m, i, &m->heap[m->heap_count++]);
	if (r)
		return r;
	for (uint32_t i = m->heap_count / 2; i-- > 0;)
		sift_down(m, i);
	for (uint32_t n = 0; n < m->live_count && !r; n++) {
		uint32_t i = m->heap[0].input;
		struct walk *w = &m->walks[i];
		m->order[n] = (uint8_t)i;
		m->inputs[i].map[w->doc++] = n;
		r = hf_segment_builder_value(&m->builder, HF_SECTION_RANK, ~m->heap[0].key);
		skip_dead(&m->inputs[i], w);
		if (w->doc >= m->inputs[i].segment->doc_count)
			m->heap[0] = m->heap[--m->heap_count];
		else if (!r)
			r = head_load(m, i, &m->heap[0]);
		if (!r && m->heap_count > 1)
			sift_down(m, 0);
		if (m->out_of_memory)
			r = HF_ENOMEM;
	}
	return r ? r : hf_segment_builder_end_column(&m->builder, HF_SECTION_RANK);
}

static int write_positions(struct merge *m)
{
	int r = HF_OK;
	walks_start(m);
	for (uint32_t n = 0; n < m->live_count && !r; n++) {
		uint32_t i = m->order[n];
		uint64_t position = 0;
		r = walk_value(&m->inputs[i], &m->walks[i], HF_SECTION_POSITION, &position);
		if (!r)
			r = hf_segment_builder_value(&m->builder, HF_SECTION_POSITION, position);
		m->walks[i].doc++;
		skip_dead(&m->inputs[i], &m->walks[i]);
	}
	return r ? r : hf_segment_builder_end_column(&m->builder, HF_SECTION_POSITION);
}

static int write_ties(struct merge *m)
{
	int r = HF_OK;
	walks_start(m);
	for (uint32_t n = 0; n < m->live_count && !r; n++) {
		uint32_t i = m->order[n], tie = 0;
		r = hf_segment_tie(m->inputs[i].segment, m->walks[i].doc, HF_READ_BLOCKING, &tie);
		if (!r)
			r = hf_segment_builder_tie(&m->builder, tie);
		m->walks[i].doc++;
		skip_dead(&m->inputs[i], &m->walks[i]);
	}
	return r;
}

/* ---- Ids ---- */

/* The key of the next entry that lives, its new number in *doc. */
static inline uint64_t id_load(const struct merge *m, uint32_t i, uint32_t *at, uint32_t *doc)
{
	const struct hf_merge_input *input = &m->inputs[i];
	const uint8_t *ids = hf_segment_at(input->segment, HF_SECTION_ID);
	while (*at < input->segment->doc_count) {
		const uint8_t *entry = ids + (size_t)(*at)++ * 8;
		uint32_t old = hf_load_le32(entry + 4);
		if (old < input->segment->doc_count && input->map[old] != HF_MERGE_DROPPED) {
			*doc = input->map[old];
			return hf_tournament_key(hf_load_le32(entry), i);
		}
	}
	return HF_TOURNAMENT_END;
}

static int write_ids(struct merge *m)
{
	uint32_t at[HF_MERGE_INPUTS_MAX] = {0}, docs[HF_MERGE_INPUTS_MAX], written = 0;
	uint64_t keys[HF_MERGE_INPUTS_MAX];
	struct hf_tournament t;
	int r = HF_OK;
	for (uint32_t i = 0; i < m->count; i++)
		keys[i] = id_load(m, i, &at[i], &docs[i]);
	hf_tournament_start(&t, keys, m->count);
	for (; t.winner != HF_TOURNAMENT_END && !r; written++) {
		uint32_t i = hf_tournament_stream(t.winner);
		r = hf_segment_builder_id(&m->builder, (uint32_t)hf_tournament_value(t.winner), docs[i]);
		hf_tournament_replace(&t, id_load(m, i, &at[i], &docs[i]));
	}
	return r ? r : written == m->live_count ? HF_OK : HF_ECORRUPT;
}

/* ---- Terms ---- */

/* A walk over the dictionaries of all inputs. */
struct term_walk {
	struct hf_tournament tournament;
	uint32_t at[HF_MERGE_INPUTS_MAX];
	uint32_t values[HF_MERGE_INPUTS_MAX]; /* of the entry that each input stands at */
};

/* The key of the next entry with a list. */
static inline uint64_t term_load(const struct merge *m, struct term_walk *w, uint32_t i)
{
	const struct hf_segment *s = m->inputs[i].segment;
	while (w->at[i] < s->term_count) {
		uint64_t term = hf_segment_term_at(s, w->at[i]++, &w->values[i]);
		if (w->values[i] != HF_SEGMENT_EMPTY)
			return hf_tournament_key(term, i);
	}
	return HF_TOURNAMENT_END;
}

static void terms_start(const struct merge *m, struct term_walk *w)
{
	uint64_t keys[HF_MERGE_INPUTS_MAX];
	for (uint32_t i = 0; i < m->count; i++) {
		w->at[i] = 0;
		keys[i] = term_load(m, w, i);
	}
	hf_tournament_start(&w->tournament, keys, m->count);
}

static inline uint32_t mapped(const struct merge *m, const struct hf_postings *list, uint32_t input)
{
	return list->doc == HF_POSTINGS_END ? HF_POSTINGS_END : m->inputs[input].map[list->doc];
}

/* To the next document that lives; *doc is its new number or HF_POSTINGS_END. A live document's number is never
 * HF_MERGE_DROPPED, which is the same value: hence the look at the list. */
static int next_live(struct merge *m, struct hf_postings *list, uint32_t input, bool move, uint32_t *doc)
{
	for (;; move = true) {
		int r = move ? hf_postings_seek(list, list->doc + 1, HF_READ_BLOCKING) : HF_OK;
		if (r)
			return r;
		*doc = mapped(m, list, input);
		if (*doc != HF_MERGE_DROPPED || list->doc == HF_POSTINGS_END)
			return HF_OK;
	}
}

/* Writes the merge of the lists of one term: of these inputs, with these values. */
static int merge_lists(struct merge *m, const uint32_t *sources, const uint32_t *values, uint32_t count)
{
	uint32_t docs[HF_MERGE_INPUTS_MAX];
	for (uint32_t i = 0; i < count; i++) {
		int r = hf_postings_open(&m->lists[i], m->inputs[sources[i]].segment, values[i], HF_READ_BLOCKING);
		if (!r)
			r = next_live(m, &m->lists[i], sources[i], false, &docs[i]);
		if (r)
			return r;
	}
	for (;;) {
		/* The least, and the least of the others: up to there the list goes without a look at the rest. */
		uint32_t best = 0, limit = HF_POSTINGS_END;
		for (uint32_t i = 1; i < count; i++)
			if (docs[i] < docs[best])
				best = i;
		if (docs[best] == HF_POSTINGS_END)
			return HF_OK;
		for (uint32_t i = 0; i < count; i++)
			if (i != best && docs[i] < limit)
				limit = docs[i];
		if (docs[best] == limit)
			return HF_ECORRUPT; /* one document in two inputs */
		while (docs[best] < limit) {
			int r = hf_segment_builder_list_add(&m->builder, docs[best]);
			if (!r)
				r = next_live(m, &m->lists[best], sources[best], true, &docs[best]);
			if (r)
				return r;
		}
	}
}

static int write_terms(struct merge *m)
{
	struct term_walk w;
	struct hf_tournament *t = &w.tournament;
	uint32_t values[HF_MERGE_INPUTS_MAX], sources[HF_MERGE_INPUTS_MAX];
	uint64_t distinct = 0, last = UINT64_MAX;
	for (terms_start(m, &w); t->winner != HF_TOURNAMENT_END;) {
		uint64_t term = hf_tournament_value(t->winner);
		distinct += term != last;
		last = term;
		hf_tournament_replace(t, term_load(m, &w, hf_tournament_stream(t->winner)));
	}
	if (distinct > UINT32_MAX - 1)
		return HF_ETOOBIG;
	int r = hf_segment_builder_begin_terms(&m->builder, (uint32_t)distinct);
	terms_start(m, &w);
	while (t->winner != HF_TOURNAMENT_END && !r) {
		uint64_t term = hf_tournament_value(t->winner);
		uint32_t count = 0;
		while (hf_tournament_value(t->winner) == term && count < m->count) {
			uint32_t i = hf_tournament_stream(t->winner);
			sources[count] = i;
			values[count++] = w.values[i];
			hf_tournament_replace(t, term_load(m, &w, i));
		}
		r = merge_lists(m, sources, values, count);
		if (!r)
			r = hf_segment_builder_end_list(&m->builder, term);
	}
	return r;
}

/* ---- The whole ---- */

static int prepare(struct merge *m)
{
	uint64_t live = 0;
	for (uint32_t i = 0; i < m->count; i++) {
		struct hf_merge_input *input = &m->inputs[i];
		uint32_t docs = input->segment->doc_count, words = (docs + 63) / 64;
		input->dead = malloc((size_t)words * 8);
		input->map = malloc((size_t)docs * sizeof *input->map);
		if (!input->dead || !input->map)
			return HF_ENOMEM;
		memset(input->map, 0xff, (size_t)docs * sizeof *input->map);
		live += docs;
		for (uint32_t w = 0; w < words; w++) {
			input->dead[w] = atomic_load_explicit(&input->segment->dead[w], memory_order_relaxed);
			live -= (uint32_t)__builtin_popcountll(input->dead[w]);
		}
	}
	if (live > HF_SEGMENT_DOCS_MAX)
		return HF_ETOOBIG;
	m->live_count = (uint32_t)live;
	m->order = malloc(live + 1);
	m->walks = malloc(m->count * sizeof *m->walks);
	return m->order && m->walks ? HF_OK : HF_ENOMEM;
}

static int write_segment(struct merge *m, struct hf_segment **out)
{
	const struct hf_merge_target *t = m->target;
	uint64_t file_bytes;
	int r = hf_segment_builder_open(
		&m->builder, t->fs, t->directory, t->number, t->collection, t->seed, m->live_count);
	if (!r)
		r = merge_docs(m);
	if (!r)
		r = write_positions(m);
	if (!r)
		r = write_ties(m);
	if (!r)
		r = write_ids(m);
	if (!r)
		r = write_terms(m);
	if (!r)
		r = hf_segment_builder_finish(&m->builder, &file_bytes);
	if (!r)
		r = hf_segment_open(
			out, t->fs, t->directory, t->number, t->tier, t->collection, file_bytes, t->seed, NULL);
	if (!r)
		hf_segment_trust(*out);
	hf_segment_builder_close(&m->builder, r != 0);
	return r;
}

int hf_merge(
	const struct hf_merge_target *target, struct hf_merge_input *inputs, uint32_t count, struct hf_segment **out)
{
	*out = NULL;
	struct merge *m = calloc(1, sizeof *m);
	if (!m)
		return HF_ENOMEM;
	m->target = target;
	m->inputs = inputs;
	m->count = count;
	int r = prepare(m);
	if (!r && m->live_count)
		r = write_segment(m, out);
	free(m->order);
	free(m->walks);
	free(m);
	return r;
}

void hf_merge_carry(struct hf_merge_input *inputs, uint32_t count, struct hf_segment *out)
{
	for (uint32_t i = 0; i < count; i++) {
		struct hf_segment *s = inputs[i].segment;
		for (uint32_t w = 0; w < (s->doc_count + 63) / 64; w++) {
			uint64_t now = atomic_load_explicit(&s->dead[w], memory_order_relaxed),
				 later = now & ~inputs[i].dead[w];
			inputs[i].dead[w] = now;
			for (; later; later &= later - 1)
				hf_segment_mark_dead(out, inputs[i].map[w * 64 + (uint32_t)__builtin_ctzll(later)]);
		}
	}
}

void hf_merge_release(struct hf_merge_input *inputs, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		free(inputs[i].dead);
		free(inputs[i].map);
		inputs[i].dead = NULL;
		inputs[i].map = NULL;
	}
}
