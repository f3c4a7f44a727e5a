/* One writer, two background threads and three readers on one index. Run under ThreadSanitizer too. */
#include <pthread.h>

#include "index_fixture.h"

#define DOCS 30000
#define READERS 3
#define SAVED_MAX 1024 /* segments, however far merging lags behind */

struct shared {
	struct fixture f;
	_Atomic uint64_t committed; /* a position */
	_Atomic bool done;
	_Atomic unsigned queries;
	bool killed[DOCS]; /* the writer's */
};

/* Document i is at position 64 + 8 i; its rank wanders; terms: all, its remainder by 7, itself. Those with i % 10 == 3
 * may be killed at any time, all others live. */
static void doc_key(uint32_t i, struct hf_doc_key *key, uint64_t terms[static 3])
{
	uint64_t hash = (i + 1) * 0x9e3779b97f4a7c15u;
	for (int k = 0; k < 4; k++)
		hf_store_le64(key->id + 8 * k, hash += (hash << 13) ^ 0x5555);
	key->rank = i / 4 + (i % 5 == 0 ? 100 : 0);
	terms[0] = 1;
	terms[1] = 100 + i % 7;
	terms[2] = 1000 + i;
	key->terms = terms;
	key->term_count = 3;
}

static void *background(void *context)
{
	struct shared *s = context;
	while (!atomic_load(&s->done)) {
		int r = hf_index_work(s->f.index, HF_INDEX_SEAL);
		int m = hf_index_work(s->f.index, HF_INDEX_MERGE);
		assert_true(r >= 0 && m >= 0);
		if (!r && !m)
			sched_yield();
	}
	return NULL;
}

static void read_all(struct shared *s, uint64_t term, uint32_t modulus, uint32_t remainder)
{
	struct hf_index_iterator *it;
	struct hf_index_hit hit;
	uint64_t before = atomic_load_explicit(&s->committed, memory_order_acquire), above = UINT64_MAX;
	uint32_t must = 0, got = 0, docs = (uint32_t)((before - 64) / 8);
	for (uint32_t i = 0; i < docs; i++)
		must += i % modulus == remainder && i % 10 != 3;
	struct hf_query query = {.rank_max = UINT64_MAX, .clause_count = 1, .clauses = {{&term, 1}}};
	struct hf_index_view *view = hf_index_acquire(s->f.index);
	assert_int_equal(hf_index_iterate(&it, view, &query, before, HF_READ_BLOCKING), HF_OK);
	while (hf_index_next(it, &hit) == HF_OK) {
		uint32_t i = (uint32_t)((hit.position - 64) / 8);
		assert_true(hit.position < before && hit.rank <= above && i % modulus == remainder);
		above = hit.rank;
		got += i % 10 != 3;
	}
	assert_int_equal(got, must);
	hf_index_iterator_close(it);
	hf_index_view_release(view);
	atomic_fetch_add(&s->queries, 1);
}

static int confirm_position(void *context, uint64_t position)
{
	return *(uint64_t *)context == position ? HF_OK : HF_ENOTFOUND;
}

static int find_one(struct shared *s, uint32_t i)
{
	struct hf_doc_key key;
	struct hf_index_hit hit;
	uint64_t terms[3], position = 64 + 8ull * i;
	doc_key(i, &key, terms);
	struct hf_index_view *view = hf_index_acquire(s->f.index);
	int r = hf_index_find(view, key.id, UINT64_MAX, HF_READ_BLOCKING, confirm_position, &position, &hit);
	hf_index_view_release(view);
	return r;
}

static void *reader(void *context)
{
	struct shared *s = context;
	uint32_t turn = 0;
	do {
		uint64_t docs = (atomic_load(&s->committed) - 64) / 8;
		read_all(s, 1, 1, 0);
		read_all(s, 100 + turn % 7, 7, turn % 7);
		for (uint32_t n = 0; n < 50 && docs; n++) {
			uint32_t i = (uint32_t)((turn * 131 + n * 977) % docs);
			int r = find_one(s, i);
			assert_true(r == HF_OK || i % 10 == 3);
		}
		turn++;
	} while (!atomic_load(&s->done));
	return NULL;
}

static void write_all(struct shared *s)
{
	struct hf_index_checkpoint saved[SAVED_MAX];
	size_t count;
	for (uint32_t i = 0; i < DOCS; i++) {
		struct hf_doc_key key;
		uint64_t terms[3], position;
		doc_key(i, &key, terms);
		if (!hf_index_has_room(s->f.index, 3)) {
			atomic_store_explicit(&s->committed, 64 + 8ull * i, memory_order_release);
			assert_int_equal(hf_index_freeze(s->f.index), HF_OK);
			while (hf_index_frozen_count(s->f.index) > 8)
				sched_yield();
		}
		assert_int_equal(hf_index_insert(s->f.index, &key, 64 + 8ull * i), HF_OK);
		if (i % 3 == 0)
			atomic_store_explicit(&s->committed, 64 + 8ull * (i + 1), memory_order_release);
		if (i % 5 == 4) {
			uint32_t victim = (i * 7919u) % (i + 1) / 10 * 10 + 3;
			doc_key(victim, &key, terms);
			if (victim <= i) {
				int r = hf_index_kill(s->f.index, key.id, 64 + 8ull * victim);
				assert_true(r == HF_OK || s->killed[victim]);
				assert_int_equal(find_one(s, victim), HF_ENOTFOUND);
				s->killed[victim] = true;
			}
		}
		if (i % 1000 == 999) {
			assert_int_equal(hf_index_checkpoint(s->f.index, saved, SAVED_MAX, &count, &position), HF_OK);
			hf_index_release_old(s->f.index);
		}
	}
	atomic_store_explicit(&s->committed, 64 + 8ull * DOCS, memory_order_release);
}

static void test_readers_see_what_is_committed_while_all_moves(void **state)
{
	static struct shared s;
	pthread_t threads[2 + READERS];
	fixture_start(&s.f, 100, 1, 9);
	atomic_store(&s.committed, 64);
	for (unsigned i = 0; i < 2 + READERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, i < 2 ? background : reader, &s), 0);
	write_all(&s);
	assert_int_equal(hf_index_freeze(s.f.index), HF_OK);
	while (hf_index_frozen_count(s.f.index))
		sched_yield();
	atomic_store(&s.done, true);
	for (unsigned i = 0; i < 2 + READERS; i++)
		pthread_join(threads[i], NULL);
	read_all(&s, 1, 1, 0);
	assert_true(atomic_load(&s.queries) > READERS);
	/* No mark was lost in a seal or a merge. */
	for (uint32_t i = 0; i < DOCS; i++)
		assert_int_equal(find_one(&s, i), s.killed[i] ? HF_ENOTFOUND : HF_OK);
	assert_int_equal(hf_index_verify(s.f.index, NULL, NULL), HF_OK);
	fixture_stop(&s.f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_readers_see_what_is_committed_while_all_moves)};
	return cmocka_run_group_tests_name("store/index_threads", tests, NULL, NULL);
}
