/* index_fixture: an index over a pretended log, and a naive model of what it must answer. */
#ifndef HF_TEST_INDEX_FIXTURE_H
#define HF_TEST_INDEX_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/index.h"
#include "store/index_private.h"
#include "support/scratch.h"

#define UNUSED __attribute__((unused))
#define MODEL_TERMS_MAX 12

struct model_doc {
	uint8_t id[HF_STORE_ID_BYTES];
	uint64_t rank, position;
	uint64_t terms[MODEL_TERMS_MAX];
	uint32_t term_count;
	bool dead;
};

struct fixture {
	struct hf_env env;
	struct hf_fs fs; /* the real one, but for syncs: no power fails here */
	char directory[SCRATCH_PATH_BYTES];
	struct hf_index *index;
	struct hf_index_options options;
	_Atomic uint32_t next_number;
	struct model_doc *docs; /* by position */
	size_t doc_count, doc_max;
	uint64_t random;
	bool read_id_fails;
};

UNUSED static uint64_t next_random(struct fixture *f)
{
	f->random ^= f->random << 13;
	f->random ^= f->random >> 7;
	f->random ^= f->random << 17;
	return f->random * 0x9e3779b97f4a7c15u >> 11;
}

static uint32_t fixture_number(void *context)
{
	return atomic_fetch_add(&((struct fixture *)context)->next_number, 1) + 1;
}

static void fixture_nothing(void *context) {}

UNUSED static struct model_doc *model_at(struct fixture *f, uint64_t position)
{
	size_t low = 0, high = f->doc_count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (f->docs[middle].position < position)
			low = middle + 1;
		else
			high = middle;
	}
	return low < f->doc_count && f->docs[low].position == position ? &f->docs[low] : NULL;
}

static int fixture_read_id(void *context, uint64_t position, uint8_t id[static HF_STORE_ID_BYTES])
{
	struct fixture *f = context;
	struct model_doc *doc = model_at(f, position);
	if (!doc || f->read_id_fails)
		return HF_ECORRUPT;
	memcpy(id, doc->id, HF_STORE_ID_BYTES);
	return HF_OK;
}

static int fixture_sync(struct hf_file *file)
{
	return HF_OK;
}

struct confirm {
	struct fixture *f;
	const uint8_t *id;
};

UNUSED static int fixture_confirm(void *context, uint64_t position)
{
	const struct confirm *c = context;
	struct model_doc *doc = model_at(c->f, position);
	return doc && memcmp(doc->id, c->id, HF_STORE_ID_BYTES) == 0 ? HF_OK : HF_ENOTFOUND;
}

UNUSED static void fixture_start(struct fixture *f, uint32_t memtable_docs_max, size_t doc_max, uint64_t seed)
{
	memset(f, 0, sizeof *f);
	hf_env_system(&f->env);
	f->fs = *f->env.fs;
	f->fs.sync = fixture_sync;
	f->env.fs = &f->fs;
	scratch_make(f->directory);
	f->random = seed * 2654435761u + 88172645463325252u;
	f->doc_max = doc_max;
	f->docs = calloc(doc_max, sizeof *f->docs);
	assert_non_null(f->docs);
	f->options = (struct hf_index_options){.env = &f->env,
		.directory = f->directory,
		.collection = 3,
		.memtable_docs_max = memtable_docs_max,
		.seed = 0x1234567890abcdef ^ seed,
		.next_number = fixture_number,
		.work_ready = fixture_nothing,
		.changed = fixture_nothing,
		.context = f,
		.read_id = fixture_read_id};
	struct hf_failure failure = {0};
	assert_int_equal(hf_index_open(&f->index, &f->options, NULL, 0, &failure), HF_OK);
}

UNUSED static void fixture_stop(struct fixture *f)
{
	hf_index_close(f->index);
	scratch_remove(f->directory);
	free(f->docs);
}

UNUSED static struct hf_doc_key model_key(const struct model_doc *doc)
{
	struct hf_doc_key key = {.rank = doc->rank, .terms = doc->terms, .term_count = doc->term_count};
	memcpy(key.id, doc->id, sizeof key.id);
	return key;
}

/* Few ranks, few terms, and now and then ids with the same first four bytes: ties of every kind. */
UNUSED static void model_fill(struct fixture *f, struct model_doc *doc, uint64_t position, uint32_t rank_spread)
{
	memset(doc, 0, sizeof *doc);
	for (int i = 0; i < 4; i++)
		hf_store_le64(doc->id + 8 * i, next_random(f) * 0x9e3779b97f4a7c15u);
	if (next_random(f) % 4 == 0)
		hf_store_be32(doc->id, (uint32_t)(next_random(f) % 3));
	doc->rank = 1000 + next_random(f) % rank_spread;
	if (next_random(f) % 50 == 0)
		doc->rank = next_random(f) % 2 ? UINT64_MAX - next_random(f) % 2 : next_random(f) % 2;
	doc->position = position;
	doc->term_count = (uint32_t)(next_random(f) % MODEL_TERMS_MAX);
	for (uint32_t i = 0; i < doc->term_count; i++) {
		uint64_t pick = next_random(f) % 100;
		uint64_t term = pick < 40   ? next_random(f) % 3
				: pick < 80 ? 10 + next_random(f) % 40
					    : 100 + next_random(f) % 5000;
		bool known = false;
		for (uint32_t k = 0; k < i; k++)
			known = known || doc->terms[k] == term;
		if (known) {
			doc->term_count = i;
			break;
		}
		doc->terms[i] = term;
	}
}

UNUSED static struct model_doc *fixture_insert(struct fixture *f, uint32_t rank_spread)
{
	assert_true(f->doc_count < f->doc_max);
	struct model_doc *doc = &f->docs[f->doc_count];
	uint64_t position = f->doc_count ? f->docs[f->doc_count - 1].position + 4 + next_random(f) % 1000 : 64;
	model_fill(f, doc, position, rank_spread);
	struct hf_doc_key key = model_key(doc);
	if (!hf_index_has_room(f->index, key.term_count))
		assert_int_equal(hf_index_freeze(f->index), HF_OK);
	assert_int_equal(hf_index_insert(f->index, &key, position), HF_OK);
	f->doc_count++;
	return doc;
}

UNUSED static bool model_matches(const struct model_doc *doc, const struct hf_query *query, uint64_t before)
{
	if (doc->dead || doc->position >= before || doc->rank < query->rank_min || doc->rank > query->rank_max)
		return false;
	for (uint32_t c = 0; c < query->clause_count; c++) {
		bool any = false;
		for (uint32_t t = 0; t < query->clauses[c].term_count; t++)
			for (uint32_t k = 0; k < doc->term_count; k++)
				any = any || doc->terms[k] == query->clauses[c].terms[t];
		if (!any)
			return false;
	}
	return true;
}

UNUSED static int model_order(const void *a, const void *b)
{
	const struct model_doc *x = *(struct model_doc *const *)a, *y = *(struct model_doc *const *)b;
	if (x->rank != y->rank)
		return x->rank > y->rank ? -1 : 1;
	return memcmp(x->id, y->id, HF_STORE_ID_BYTES);
}

/* The model's answer; to free. */
UNUSED static struct model_doc **model_query(
	struct fixture *f, const struct hf_query *query, uint64_t before, size_t *count)
{
	struct model_doc **found = calloc(f->doc_count + 1, sizeof *found);
	assert_non_null(found);
	*count = 0;
	for (size_t i = 0; i < f->doc_count; i++)
		if (model_matches(&f->docs[i], query, before))
			found[(*count)++] = &f->docs[i];
	qsort(found, *count, sizeof *found, model_order);
	return found;
}

UNUSED static void random_query(
	struct fixture *f, struct hf_query *query, uint64_t terms[static 128], uint32_t rank_spread)
{
	memset(query, 0, sizeof *query);
	query->collection = 3;
	query->rank_max = UINT64_MAX;
	if (next_random(f) % 3 == 0)
		query->rank_min = 1000 + next_random(f) % rank_spread;
	if (next_random(f) % 3 == 0)
		query->rank_max = 1000 + next_random(f) % rank_spread;
	query->clause_count = (uint32_t)(next_random(f) % 4);
	uint32_t used = 0;
	for (uint32_t c = 0; c < query->clause_count; c++) {
		query->clauses[c].terms = terms + used;
		query->clauses[c].term_count = 1 + (uint32_t)(next_random(f) % (next_random(f) % 4 ? 4 : 40));
		for (uint32_t t = 0; t < query->clauses[c].term_count; t++) {
			uint64_t pick = next_random(f) % 100;
			terms[used++] = pick < 40   ? next_random(f) % 3
					: pick < 80 ? 10 + next_random(f) % 40
						    : 100 + next_random(f) % 5000;
		}
	}
}

/* The index must answer as the model does; both modes in turn when `resident`. */
UNUSED static void compare_query(struct fixture *f, const struct hf_query *query, uint64_t before)
{
	size_t count, at = 0;
	struct model_doc **expected = model_query(f, query, before, &count);
	struct hf_index_view *view = hf_index_acquire(f->index);
	struct hf_index_iterator *it;
	struct hf_index_hit hit;
	int r;
	assert_int_equal(hf_index_iterate(&it, view, query, before, HF_READ_RESIDENT), HF_OK);
	for (;;) {
		hf_index_iterator_set_mode(it, HF_READ_RESIDENT);
		r = hf_index_next(it, &hit);
		if (r == HF_EWAIT) {
			hf_index_iterator_set_mode(it, HF_READ_BLOCKING);
			r = hf_index_next(it, &hit);
		}
		if (r)
			break;
		assert_true(at < count);
		assert_true(hit.position == expected[at]->position);
		assert_true(hit.rank == expected[at]->rank);
		at++;
	}
	assert_int_equal(r, HF_ENOTFOUND);
	assert_int_equal(at, count);
	hf_index_iterator_close(it);
	hf_index_view_release(view);
	free(expected);
}

UNUSED static void fixture_work_all(struct fixture *f)
{
	int sealed, merged;
	do {
		sealed = hf_index_work(f->index, HF_INDEX_SEAL);
		merged = hf_index_work(f->index, HF_INDEX_MERGE);
		assert_true(sealed >= 0 && merged >= 0);
	} while (sealed || merged);
}

#endif
