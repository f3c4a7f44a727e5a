/* The index against a naive model: random documents, kills, aborts, seals, merges and reopenings, and whatever is asked
 * in between must be answered as the model answers it. */
#include "index_fixture.h"

static void check_queries(struct fixture *f, unsigned count, uint32_t rank_spread)
{
	uint64_t terms[128];
	struct hf_query query;
	for (unsigned i = 0; i < count; i++) {
		random_query(f, &query, terms, rank_spread);
		uint64_t before = UINT64_MAX;
		if (f->doc_count && next_random(f) % 3 == 0)
			before = f->docs[next_random(f) % f->doc_count].position + next_random(f) % 2;
		compare_query(f, &query, before);
	}
}

static void check_finds(struct fixture *f, unsigned count)
{
	struct hf_index_view *view = hf_index_acquire(f->index);
	for (unsigned i = 0; i < count && f->doc_count; i++) {
		struct model_doc *doc = &f->docs[next_random(f) % f->doc_count];
		uint8_t id[HF_STORE_ID_BYTES];
		memcpy(id, doc->id, sizeof id);
		bool other = next_random(f) % 4 == 0;
		id[20] ^= other;
		uint64_t before = next_random(f) % 2 ? UINT64_MAX : doc->position + next_random(f) % 2;
		struct confirm confirm = {f, id};
		struct hf_index_hit hit = {0};
		int r = hf_index_find(view, id, before, HF_READ_BLOCKING, fixture_confirm, &confirm, &hit);
		assert_int_equal(r, other || doc->dead || doc->position >= before ? HF_ENOTFOUND : HF_OK);
		if (!r) {
			assert_true(hit.position == doc->position);
			assert_true(hit.rank == doc->rank);
		}
	}
	hf_index_view_release(view);
}

static void check_positions(struct fixture *f)
{
	uint64_t got[37], from = 0;
	size_t count, at = 0;
	uint64_t before = f->doc_count ? f->docs[f->doc_count - 1].position : 0;
	struct hf_index_view *view = hf_index_acquire(f->index);
	do {
		assert_int_equal(hf_index_positions(view, from, before, got, 37, &count), HF_OK);
		for (size_t i = 0; i < count; i++) {
			while (f->docs[at].dead)
				at++;
			assert_true(got[i] == f->docs[at].position);
			at++;
		}
		from = count ? got[count - 1] + 1 : from;
	} while (count);
	while (at < f->doc_count && (f->docs[at].dead || f->docs[at].position >= before))
		at++;
	assert_int_equal(at, f->doc_count);
	hf_index_view_release(view);
}

static void check_counts(struct fixture *f)
{
	struct hf_index_view *view = hf_index_acquire(f->index);
	size_t live = 0;
	for (size_t i = 0; i < f->doc_count; i++)
		live += !f->docs[i].dead;
	assert_int_equal(hf_index_doc_count(view, NULL), live);
	for (uint64_t term = 0; term < 20; term++) {
		size_t with = 0;
		for (size_t i = 0; i < f->doc_count; i++)
			for (uint32_t t = 0; t < f->docs[i].term_count; t++)
				with += !f->docs[i].dead && f->docs[i].terms[t] == term;
		assert_true(hf_index_estimate(view, term) >= with);
	}
	hf_index_view_release(view);
}

static void kill_one(struct fixture *f)
{
	struct model_doc *doc = &f->docs[next_random(f) % f->doc_count];
	if (doc->dead)
		return;
	assert_int_equal(hf_index_kill(f->index, doc->id, doc->position), HF_OK);
	doc->dead = true;
}

/* Stages documents above the last position and takes them back. */
static void abort_some(struct fixture *f)
{
	uint64_t position = f->doc_count ? f->docs[f->doc_count - 1].position + 2000 : 5000;
	for (unsigned i = 0; i < 3; i++) {
		struct model_doc doc;
		model_fill(f, &doc, position + i * 100, 20);
		struct hf_doc_key key = model_key(&doc);
		if (hf_index_has_room(f->index, key.term_count))
			assert_int_equal(hf_index_insert(f->index, &key, doc.position), HF_OK);
	}
	hf_index_abort(f->index, position);
}

/* A checkpoint, more changes, a crash, and the replay of what came after. */
static void reopen(struct fixture *f, uint32_t rank_spread)
{
	struct hf_index_checkpoint saved[256];
	struct hf_index_segment_info infos[256];
	struct hf_failure failure = {0};
	size_t count;
	uint64_t position, killed[8];
	uint64_t noted = f->doc_count ? f->docs[f->doc_count - 1].position + 1 : 0;
	unsigned kills = 0;
	assert_int_equal(hf_index_checkpoint(f->index, saved, 256, &count, &position), HF_OK);
	position = position < noted ? position : noted;
	hf_index_release_old(f->index);
	for (unsigned i = 0; i < 8 && f->doc_count + 1 < f->doc_max; i++) {
		fixture_insert(f, rank_spread);
		struct model_doc *doc = &f->docs[next_random(f) % f->doc_count];
		if (!doc->dead) {
			assert_int_equal(hf_index_kill(f->index, doc->id, doc->position), HF_OK);
			doc->dead = true;
			killed[kills++] = doc->position;
		}
	}
	hf_index_close(f->index);
	for (size_t i = 0; i < count; i++)
		infos[i] = saved[i].info;
	assert_int_equal(hf_index_open(&f->index, &f->options, infos, count, &failure), HF_OK);
	for (size_t i = 0; i < count; i++)
		if (saved[i].dead_generation)
			assert_int_equal(
				hf_index_load_dead(f->index, infos[i].number, saved[i].dead_generation, &failure),
				HF_OK);
	for (size_t i = 0; i < f->doc_count; i++) {
		if (f->docs[i].position < position)
			continue;
		struct hf_doc_key key = model_key(&f->docs[i]);
		if (!hf_index_has_room(f->index, key.term_count))
			assert_int_equal(hf_index_freeze(f->index), HF_OK);
		assert_int_equal(hf_index_insert(f->index, &key, f->docs[i].position), HF_OK);
	}
	for (size_t i = 0; i < f->doc_count; i++)
		if (f->docs[i].dead && f->docs[i].position >= position)
			assert_int_equal(hf_index_kill(f->index, f->docs[i].id, f->docs[i].position), HF_OK);
	for (unsigned i = 0; i < kills; i++)
		if (killed[i] < position)
			assert_int_equal(hf_index_kill(f->index, model_at(f, killed[i])->id, killed[i]), HF_OK);
}

static void run_model(uint64_t seed, uint32_t memtable_docs, uint32_t steps, uint32_t rank_spread)
{
	struct fixture f;
	fixture_start(&f, memtable_docs, steps * 4, seed);
	for (uint32_t step = 0; step < steps; step++) {
		uint64_t dice = next_random(&f) % 1000;
		if (dice < 700)
			for (uint64_t n = next_random(&f) % 4; n > 0; n--)
				fixture_insert(&f, rank_spread);
		else if (dice < 800 && f.doc_count)
			kill_one(&f);
		else if (dice < 820)
			abort_some(&f);
		else if (dice < 830)
			assert_int_equal(hf_index_freeze(f.index), HF_OK);
		else if (dice < 880)
			assert_true(hf_index_work(f.index, HF_INDEX_SEAL) >= 0);
		else if (dice < 920)
			assert_true(hf_index_work(f.index, HF_INDEX_MERGE) >= 0);
		else if (dice < 922)
			assert_int_equal(hf_index_merge_all(f.index), HF_OK);
		else if (dice < 930)
			reopen(&f, rank_spread);
		else if (dice < 940)
			check_positions(&f);
		else if (dice < 950)
			check_counts(&f);
		else if (dice < 970)
			check_finds(&f, 20);
		else
			check_queries(&f, 4, rank_spread);
	}
	fixture_work_all(&f);
	check_queries(&f, 50, rank_spread);
	check_finds(&f, 200);
	check_positions(&f);
	assert_int_equal(hf_index_verify(f.index, NULL, NULL), HF_OK);
	assert_int_equal(hf_index_merge_all(f.index), HF_OK);
	check_queries(&f, 50, rank_spread);
	assert_int_equal(hf_index_verify(f.index, NULL, NULL), HF_OK);
	fixture_stop(&f);
}

static void test_answers_as_the_model_with_many_ties(void **state)
{
	for (uint64_t seed = 1; seed <= 6; seed++)
		run_model(seed, 16, 1500, 8);
}

static void test_answers_as_the_model_with_spread_ranks(void **state)
{
	for (uint64_t seed = 11; seed <= 14; seed++)
		run_model(seed, 100, 3000, 1000000);
}

static void test_answers_as_the_model_with_long_lists(void **state)
{
	run_model(21, 1000, 6000, 5000);
}

static void test_staged_documents_are_not_seen_before_their_commit(void **state)
{
	struct fixture f;
	fixture_start(&f, 64, 100, 1);
	struct model_doc *doc = fixture_insert(&f, 10);
	struct hf_query all = {.rank_max = UINT64_MAX};
	compare_query(&f, &all, doc->position);
	compare_query(&f, &all, doc->position + 1);
	fixture_stop(&f);
}

static void test_documents_with_the_most_terms_fit_an_empty_memtable(void **state)
{
	struct fixture f;
	fixture_start(&f, 1, 10, 1);
	uint64_t terms[HF_STORE_TERM_COUNT_MAX];
	for (size_t i = 0; i < HF_STORE_TERM_COUNT_MAX; i++)
		terms[i] = i * 77;
	struct hf_doc_key key = {.rank = 5, .terms = terms, .term_count = HF_STORE_TERM_COUNT_MAX};
	assert_true(hf_index_has_room(f.index, HF_STORE_TERM_COUNT_MAX));
	assert_int_equal(hf_index_insert(f.index, &key, 64), HF_OK);
	assert_int_equal(hf_index_insert(f.index, &key, 65), HF_EBUSY);
	assert_int_equal(hf_index_freeze(f.index), HF_OK);
	assert_int_equal(hf_index_frozen_count(f.index), 1);
	fixture_work_all(&f);
	assert_int_equal(hf_index_frozen_count(f.index), 0);
	struct hf_index_view *view = hf_index_acquire(f.index);
	assert_int_equal(hf_index_estimate(view, 77 * 2047), 1);
	hf_index_view_release(view);
	fixture_stop(&f);
}

static void test_a_segment_without_living_documents_goes(void **state)
{
	struct fixture f;
	fixture_start(&f, 8, 100, 1);
	for (int i = 0; i < 8; i++)
		fixture_insert(&f, 10);
	assert_int_equal(hf_index_freeze(f.index), HF_OK);
	assert_int_equal(hf_index_work(f.index, HF_INDEX_SEAL), 1);
	for (int i = 0; i < 8; i++)
		assert_int_equal(hf_index_kill(f.index, f.docs[i].id, f.docs[i].position), HF_OK);
	assert_int_equal(hf_index_work(f.index, HF_INDEX_MERGE), 1);
	assert_int_equal(hf_index_kill(f.index, f.docs[0].id, f.docs[0].position), HF_ENOTFOUND);
	struct hf_index_checkpoint saved[4];
	size_t count;
	uint64_t position;
	assert_int_equal(hf_index_checkpoint(f.index, saved, 4, &count, &position), HF_OK);
	assert_int_equal(count, 0);
	assert_true(position == UINT64_MAX);
	fixture_stop(&f);
}

static void test_exact_ties_between_segments_are_ordered_by_their_whole_ids(void **state)
{
	struct fixture f;
	struct hf_query all = {.rank_max = UINT64_MAX};
	struct hf_index_hit hit;
	struct hf_index_iterator *it;
	fixture_start(&f, 2, 16, 1);
	for (int i = 0; i < 8; i++) {
		struct model_doc *doc = &f.docs[f.doc_count++];
		*doc = (struct model_doc){.rank = 7, .position = 64 + (uint64_t)i * 4};
		doc->id[10] = (uint8_t)(i * 37 % 8);
		struct hf_doc_key key = model_key(doc);
		if (!hf_index_has_room(f.index, 0))
			assert_int_equal(hf_index_freeze(f.index), HF_OK);
		assert_int_equal(hf_index_insert(f.index, &key, doc->position), HF_OK);
	}
	assert_int_equal(hf_index_freeze(f.index), HF_OK);
	while (hf_index_work(f.index, HF_INDEX_SEAL))
		;
	struct hf_index_view *view = hf_index_acquire(f.index);
	assert_int_equal(hf_index_iterate(&it, view, &all, UINT64_MAX, HF_READ_RESIDENT), HF_OK);
	assert_int_equal(hf_index_next(it, &hit), HF_EWAIT); /* ids are in the log */
	hf_index_iterator_close(it);
	hf_index_view_release(view);
	compare_query(&f, &all, UINT64_MAX);

	/* Ids that cannot be read cost the order among the equal, no document. */
	f.read_id_fails = true;
	unsigned got = 0;
	view = hf_index_acquire(f.index);
	assert_int_equal(hf_index_iterate(&it, view, &all, UINT64_MAX, HF_READ_BLOCKING), HF_OK);
	while (hf_index_next(it, &hit) == HF_OK)
		got++;
	assert_int_equal(got, 8);
	hf_index_iterator_close(it);
	hf_index_view_release(view);
	f.read_id_fails = false;
	assert_int_equal(hf_index_merge_all(f.index), HF_OK);
	compare_query(&f, &all, UINT64_MAX);
	fixture_stop(&f);
}

/* A file system in which a document dies at each sync: in the middle of a seal or merge. */
static struct fixture *dying;

static int kill_then_sync(struct hf_file *file)
{
	if (dying) {
		for (size_t i = 0; i < dying->doc_count; i++) {
			if (dying->docs[i].dead || i % 3)
				continue;
			assert_int_equal(
				hf_index_kill(dying->index, dying->docs[i].id, dying->docs[i].position), HF_OK);
			dying->docs[i].dead = true;
			break;
		}
	}
	return HF_OK;
}

static void test_marks_set_during_a_seal_or_merge_are_carried_over(void **state)
{
	struct fixture f;
	struct hf_query all = {.rank_max = UINT64_MAX};
	fixture_start(&f, 8, 200, 1);
	f.fs.sync = kill_then_sync;
	for (int i = 0; i < 64; i++)
		fixture_insert(&f, 10);
	assert_int_equal(hf_index_freeze(f.index), HF_OK);
	dying = &f;
	while (hf_index_work(f.index, HF_INDEX_SEAL) > 0)
		compare_query(&f, &all, UINT64_MAX);
	assert_int_equal(hf_index_work(f.index, HF_INDEX_MERGE), 1);
	compare_query(&f, &all, UINT64_MAX);
	assert_int_equal(hf_index_merge_all(f.index), HF_OK);
	dying = NULL;
	compare_query(&f, &all, UINT64_MAX);
	unsigned dead = 0;
	for (size_t i = 0; i < f.doc_count; i++)
		dead += f.docs[i].dead;
	assert_true(dead > 10);
	fixture_stop(&f);
}

static int count_file(void *context, const char *name)
{
	uint32_t number, generation;
	assert_true(hf_index_file_name(name, &number, &generation));
	++*(unsigned *)context;
	return 0;
}

static void test_files_go_only_after_a_manifest_without_them(void **state)
{
	struct fixture f;
	struct hf_index_checkpoint saved[32];
	size_t count;
	uint64_t position;
	unsigned files = 0;
	fixture_start(&f, 4, 200, 1);
	for (int i = 0; i < 32; i++)
		fixture_insert(&f, 10);
	assert_int_equal(hf_index_freeze(f.index), HF_OK);
	while (hf_index_work(f.index, HF_INDEX_SEAL))
		;
	hf_index_kill(f.index, f.docs[3].id, f.docs[3].position);
	assert_int_equal(hf_index_checkpoint(f.index, saved, 32, &count, &position), HF_OK);
	assert_int_equal(count, 8);
	assert_int_equal(hf_index_checkpoint(f.index, saved, 7, &count, &position), HF_ETOOBIG);
	assert_int_equal(hf_index_work(f.index, HF_INDEX_MERGE), 1);
	hf_index_release_old(f.index);
	f.env.fs->list(f.env.fs, f.directory, count_file, &files);
	assert_int_equal(files, 10); /* eight, a dead file and the merged one */
	assert_int_equal(hf_index_checkpoint(f.index, saved, 32, &count, &position), HF_OK);
	hf_index_release_old(f.index);
	files = 0;
	f.env.fs->list(f.env.fs, f.directory, count_file, &files);
	assert_int_equal(files, 1);
	fixture_stop(&f);
}

/* As a forged log may hold it. */
static void test_of_two_documents_with_one_id_the_named_one_is_killed(void **state)
{
	struct fixture f;
	struct hf_index_hit hit;
	fixture_start(&f, 8, 16, 1);
	for (int i = 0; i < 2; i++) {
		struct model_doc *doc = &f.docs[f.doc_count++];
		*doc = (struct model_doc){.rank = 7, .position = 64 + (uint64_t)i * 4};
		struct hf_doc_key key = model_key(doc);
		assert_int_equal(hf_index_insert(f.index, &key, doc->position), HF_OK);
	}
	assert_int_equal(hf_index_kill(f.index, f.docs[1].id, f.docs[1].position), HF_OK);
	assert_int_equal(hf_index_kill(f.index, f.docs[1].id, f.docs[1].position), HF_ENOTFOUND);
	f.docs[1].dead = true;
	check_counts(&f);
	struct hf_index_view *view = hf_index_acquire(f.index);
	assert_int_equal(hf_index_find(view, f.docs[0].id, UINT64_MAX, HF_READ_RESIDENT, NULL, NULL, &hit), HF_OK);
	assert_true(hit.position == f.docs[0].position);
	hf_index_view_release(view);
	fixture_stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers_as_the_model_with_many_ties),
		cmocka_unit_test(test_answers_as_the_model_with_spread_ranks),
		cmocka_unit_test(test_answers_as_the_model_with_long_lists),
		cmocka_unit_test(test_staged_documents_are_not_seen_before_their_commit),
		cmocka_unit_test(test_documents_with_the_most_terms_fit_an_empty_memtable),
		cmocka_unit_test(test_a_segment_without_living_documents_goes),
		cmocka_unit_test(test_of_two_documents_with_one_id_the_named_one_is_killed),
		cmocka_unit_test(test_exact_ties_between_segments_are_ordered_by_their_whole_ids),
		cmocka_unit_test(test_marks_set_during_a_seal_or_merge_are_carried_over),
		cmocka_unit_test(test_files_go_only_after_a_manifest_without_them),
	};
	return cmocka_run_group_tests_name("store/index", tests, NULL, NULL);
}
