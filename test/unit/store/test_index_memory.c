/* Every allocation of the index fails once: the call says HF_ENOMEM, nothing leaks, and the same call works afterwards.
 */
#include "index_fixture.h"
#include "support/fail_alloc.h"

/* Runs the statement with the n-th allocation failing, for all n until none fails. */
#define EACH_FAILURE(expression, success)                                                                              \
	for (uint64_t n = 1;; n++) {                                                                                   \
		fail_alloc_arm(n, false);                                                                              \
		int result = (expression);                                                                             \
		if (!fail_alloc_disarm()) {                                                                            \
			assert_int_equal(result, success);                                                             \
			break;                                                                                         \
		}                                                                                                      \
		if (result != HF_ENOMEM && result != (success))                                                        \
			fail_msg("allocation %u gave %d", (unsigned)n, result);                                        \
		if (result == (success))                                                                               \
			break; /* one that could be done without */                                                    \
	}

static int open_again(struct fixture *f, const struct hf_index_segment_info *infos, size_t count)
{
	struct hf_failure failure = {0};
	return hf_index_open(&f->index, &f->options, infos, count, &failure);
}

static int query_all(struct fixture *f, unsigned *got)
{
	struct hf_index_view *view = hf_index_acquire(f->index);
	struct hf_index_iterator *it;
	struct hf_index_hit hit;
	uint64_t terms[3] = {0, 1, 2};
	struct hf_query query = {.rank_max = UINT64_MAX, .clause_count = 2, .clauses = {{terms, 2}, {terms + 1, 2}}};
	*got = 0;
	int r = hf_index_iterate(&it, view, &query, UINT64_MAX, HF_READ_BLOCKING);
	if (!r) {
		while ((r = hf_index_next(it, &hit)) == HF_OK)
			++*got;
		hf_index_iterator_close(it);
	}
	hf_index_view_release(view);
	return r == HF_ENOTFOUND ? HF_OK : r;
}

static void test_failed_allocations_change_nothing(void **state)
{
	struct fixture f;
	struct hf_index_checkpoint saved[16];
	struct hf_index_segment_info infos[16];
	size_t count;
	uint64_t position;
	unsigned expected, got;
	fixture_start(&f, 50, 2000, 3);
	for (int i = 0; i < 450; i++)
		fixture_insert(&f, 50);
	assert_int_equal(query_all(&f, &expected), HF_OK);
	EACH_FAILURE(hf_index_freeze(f.index), HF_OK)
	while (hf_index_frozen_count(f.index))
		EACH_FAILURE(hf_index_work(f.index, HF_INDEX_SEAL), 1)
	assert_int_equal(hf_index_kill(f.index, f.docs[5].id, f.docs[5].position), HF_OK);
	assert_int_equal(query_all(&f, &expected), HF_OK);
	EACH_FAILURE(hf_index_work(f.index, HF_INDEX_MERGE), 1)
	EACH_FAILURE(query_all(&f, &got), HF_OK)
	assert_int_equal(got, expected);
	EACH_FAILURE(hf_index_checkpoint(f.index, saved, 16, &count, &position), HF_OK)
	EACH_FAILURE(hf_index_verify(f.index, NULL, NULL), HF_OK)
	hf_index_close(f.index);
	f.index = NULL;
	for (size_t i = 0; i < count; i++)
		infos[i] = saved[i].info;
	EACH_FAILURE(open_again(&f, infos, count), HF_OK)
	for (size_t i = 0; i < count; i++)
		if (saved[i].dead_generation)
			EACH_FAILURE(
				hf_index_load_dead(f.index, infos[i].number, saved[i].dead_generation, NULL), HF_OK)
	EACH_FAILURE(query_all(&f, &got), HF_OK)
	assert_int_equal(got, expected);
	fixture_stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_failed_allocations_change_nothing)};
	return cmocka_run_group_tests_name("store/index_memory", tests, NULL, NULL);
}
