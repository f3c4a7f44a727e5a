/* Damaged and hostile segment files, and what resident reads see of files that nobody has read yet. */
#include "index_fixture.h"

#include "base/crc32c.h"
#include "base/log.h"

struct saved {
	struct hf_index_segment_info infos[16];
	size_t count;
	char path[HF_PATH_BYTES_MAX]; /* of the first segment */
	uint8_t *bytes;
	size_t length;
};

static void swallow(void *context, const char *line, unsigned length) {}

/* Fills an index, seals it into segments of at most `docs` documents and closes it. */
static void make_segments(struct fixture *f, struct saved *saved, uint32_t docs, uint32_t segments)
{
	struct hf_index_checkpoint checkpoint[16];
	struct hf_buffer bytes = {0};
	uint64_t position;
	fixture_start(f, docs, (size_t)docs * segments, 5);
	for (uint32_t i = 0; i < docs * segments; i++)
		fixture_insert(f, 5000);
	assert_int_equal(hf_index_freeze(f->index), HF_OK);
	while (hf_index_work(f->index, HF_INDEX_SEAL))
		;
	assert_int_equal(hf_index_checkpoint(f->index, checkpoint, 16, &saved->count, &position), HF_OK);
	assert_true(saved->count >= segments);
	for (size_t i = 0; i < saved->count; i++)
		saved->infos[i] = checkpoint[i].info;
	hf_index_close(f->index);
	assert_int_equal(hf_segment_path(saved->path, f->directory, saved->infos[0].number), HF_OK);
	assert_int_equal(hf_fs_read_all(f->env.fs, saved->path, 64 << 20, &bytes), HF_OK);
	saved->bytes = bytes.data;
	saved->length = bytes.length;
}

static void write_file(const struct saved *saved, const uint8_t *bytes, size_t length)
{
	FILE *file = fopen(saved->path, "wb");
	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, length, file), length);
	fclose(file);
}

static int open_index(struct fixture *f, const struct saved *saved)
{
	struct hf_failure failure = {0};
	int r = hf_index_open(&f->index, &f->options, saved->infos, saved->count, &failure);
	assert_true(!r == !failure.text[0]);
	if (r)
		f->index = NULL;
	return r;
}

static void end(struct fixture *f, struct saved *saved)
{
	free(saved->bytes);
	fixture_stop(f);
}

/* Whatever comes is right and in order; what does not come was reported. Returns true when something was. */
static bool check_honest(struct fixture *f, const struct hf_query *query)
{
	size_t count, at = 0, got = 0;
	struct model_doc **expected = model_query(f, query, UINT64_MAX, &count);
	struct hf_index_view *view = hf_index_acquire(f->index);
	struct hf_index_iterator *it;
	struct hf_index_hit hit;
	bool reported = false;
	int r;
	assert_int_equal(hf_index_iterate(&it, view, query, UINT64_MAX, HF_READ_BLOCKING), HF_OK);
	while ((r = hf_index_next(it, &hit)) != HF_ENOTFOUND) {
		if (r) {
			assert_int_equal(r, HF_ECORRUPT);
			reported = true;
			continue;
		}
		while (at < count && expected[at]->position != hit.position)
			at++;
		assert_true(at < count);
		assert_true(expected[at++]->rank == hit.rank);
		got++;
	}
	assert_true(got == count || reported);
	hf_index_iterator_close(it);
	hf_index_view_release(view);
	free(expected);
	return reported;
}

static bool check_honest_finds(struct fixture *f, unsigned count)
{
	struct hf_index_view *view = hf_index_acquire(f->index);
	bool reported = false;
	for (unsigned i = 0; i < count; i++) {
		struct model_doc *doc = &f->docs[next_random(f) % f->doc_count];
		struct confirm confirm = {f, doc->id};
		struct hf_index_hit hit;
		int r = hf_index_find(view, doc->id, UINT64_MAX, HF_READ_BLOCKING, fixture_confirm, &confirm, &hit);
		assert_true(r == HF_OK || r == HF_ECORRUPT);
		assert_true(r || (hit.position == doc->position && hit.rank == doc->rank));
		reported = reported || r;
	}
	hf_index_view_release(view);
	return reported;
}

static void ask_everything(struct fixture *f)
{
	uint64_t terms[128];
	struct hf_query query;
	for (int i = 0; i < 6; i++) {
		random_query(f, &query, terms, 5000);
		check_honest(f, &query);
	}
	check_honest_finds(f, 10);
}

static void test_a_flipped_byte_is_found_and_nothing_wrong_is_served(void **state)
{
	struct fixture f;
	struct saved saved;
	make_segments(&f, &saved, 6000, 1);
	for (unsigned i = 0; i < 300; i++) {
		size_t at = i < 100 ? saved.length - 1 - next_random(&f) % 600 : next_random(&f) % saved.length;
		saved.bytes[at] ^= 1u << (i % 8);
		write_file(&saved, saved.bytes, saved.length);
		int r = open_index(&f, &saved);
		assert_true(r == HF_OK || r == HF_ECORRUPT || r == HF_EVERSION);
		if (!r) {
			ask_everything(&f);
			if (i % 10 == 0)
				assert_int_equal(hf_index_verify(f.index, NULL, NULL), HF_ECORRUPT);
			hf_index_close(f.index);
			f.index = NULL;
		}
		saved.bytes[at] ^= 1u << (i % 8);
	}
	end(&f, &saved);
}

static void test_a_file_that_was_cut_or_grew_is_refused(void **state)
{
	struct fixture f;
	struct saved saved;
	make_segments(&f, &saved, 500, 1);
	for (size_t length = 0; length < saved.length; length += 1 + saved.length / 50) {
		write_file(&saved, saved.bytes, length);
		assert_int_equal(open_index(&f, &saved), HF_ECORRUPT);
	}
	uint8_t *longer = calloc(1, saved.length + 8);
	assert_non_null(longer);
	memcpy(longer, saved.bytes, saved.length);
	write_file(&saved, longer, saved.length + 8);
	assert_int_equal(open_index(&f, &saved), HF_ECORRUPT);
	free(longer);
	end(&f, &saved);
}

static void test_the_rest_of_a_damaged_index_is_readable(void **state)
{
	struct fixture f;
	struct saved saved;
	struct hf_query all = {.rank_max = UINT64_MAX};
	make_segments(&f, &saved, 200, 4);
	saved.bytes[300] ^= 1;
	write_file(&saved, saved.bytes, saved.length);
	assert_int_equal(open_index(&f, &saved), HF_OK);
	assert_true(check_honest(&f, &all));
	assert_int_equal(hf_index_corrupt_count(f.index), 1);
	assert_true(check_honest(&f, &all));
	assert_int_equal(hf_index_corrupt_count(f.index), 1);

	struct hf_index_view *view = hf_index_acquire(f.index);
	struct hf_index_iterator *it;
	struct hf_index_hit hit;
	unsigned got = 0;
	int r;
	assert_int_equal(hf_index_iterate(&it, view, &all, UINT64_MAX, HF_READ_BLOCKING), HF_OK);
	while ((r = hf_index_next(it, &hit)) != HF_ENOTFOUND)
		got += !r;
	uint64_t damaged_docs = saved.infos[0].doc_count;
	assert_int_equal(got, f.doc_count - damaged_docs);
	hf_index_iterator_close(it);
	hf_index_view_release(view);

	/* It is left out of merges, and the others are merged. */
	assert_int_equal(hf_index_merge_all(f.index), HF_ECORRUPT);
	assert_int_equal(hf_index_merge_all(f.index), HF_OK);
	assert_true(check_honest(&f, &all));
	end(&f, &saved);
}

/* Recomputes all checksums over changed bytes. */
static void sign_again(uint8_t *bytes, size_t length)
{
	uint8_t *footer = bytes + length - HF_SEGMENT_FOOTER_BYTES;
	uint32_t blocks = hf_load_le32(footer + HF_FOOTER_BLOCK_COUNT);
	uint8_t *table = footer - (size_t)blocks * 4;
	size_t data = (size_t)(table - bytes);
	for (uint32_t b = 0; b < blocks; b++) {
		size_t left = data - (size_t)b * HF_SEGMENT_BLOCK_BYTES;
		hf_store_le32(table + b * 4, hf_crc32c(0, bytes + (size_t)b * HF_SEGMENT_BLOCK_BYTES,
						     left < HF_SEGMENT_BLOCK_BYTES ? left : HF_SEGMENT_BLOCK_BYTES));
	}
	hf_store_le32(footer + HF_FOOTER_TABLE_CRC, hf_crc32c(0, table, (size_t)blocks * 4));
	hf_store_le32(footer + HF_FOOTER_CRC, hf_crc32c(0, footer, HF_FOOTER_CRC));
}

/* Answers may be wrong then; memory and time may not. */
static void ask_carelessly(struct fixture *f)
{
	uint64_t terms[128];
	struct hf_query query;
	struct hf_index_hit hit;
	struct hf_index_view *view = hf_index_acquire(f->index);
	for (int i = 0; i < 8; i++) {
		struct hf_index_iterator *it;
		random_query(f, &query, terms, 5000);
		assert_int_equal(hf_index_iterate(&it, view, &query, UINT64_MAX, HF_READ_BLOCKING), HF_OK);
		unsigned count = 0;
		while (hf_index_next(it, &hit) != HF_ENOTFOUND)
			assert_true(count++ <= 2 * f->doc_count);
		hf_index_iterator_close(it);
		struct model_doc *doc = &f->docs[next_random(f) % f->doc_count];
		struct confirm confirm = {f, doc->id};
		hf_index_find(view, doc->id, UINT64_MAX, HF_READ_BLOCKING, fixture_confirm, &confirm, &hit);
		hf_index_kill(f->index, doc->id, doc->position);
	}
	hf_index_view_release(view);
}

static void test_wrong_bytes_with_good_checksums_do_no_harm(void **state)
{
	struct fixture f;
	struct saved saved;
	make_segments(&f, &saved, 1500, 1);
	uint8_t *bytes = malloc(saved.length);
	assert_non_null(bytes);
	size_t data = saved.length - HF_SEGMENT_FOOTER_BYTES;
	for (unsigned i = 0; i < 400; i++) {
		memcpy(bytes, saved.bytes, saved.length);
		for (unsigned n = 0; n < 1 + i % 20; n++)
			bytes[next_random(&f) % data] = (uint8_t)(next_random(&f) % 3 ? next_random(&f) : 0xff);
		if (i % 4 == 0)
			bytes[data + 8 + next_random(&f) % (HF_FOOTER_SECTIONS + 16 * HF_SECTION_COUNT - 8)] =
				(uint8_t)next_random(&f);
		uint32_t blocks = hf_load_le32(bytes + data + HF_FOOTER_BLOCK_COUNT);
		if (blocks != hf_load_le32(saved.bytes + data + HF_FOOTER_BLOCK_COUNT))
			continue;
		sign_again(bytes, saved.length);
		write_file(&saved, bytes, saved.length);
		if (open_index(&f, &saved))
			continue;
		ask_carelessly(&f);
		hf_index_verify(f.index, NULL, NULL);
		hf_index_merge_all(f.index);
		ask_carelessly(&f);
		hf_index_close(f.index);
		f.index = NULL;
	}
	free(bytes);
	end(&f, &saved);
}

static void test_segments_of_another_store_are_refused(void **state)
{
	struct fixture f;
	struct saved saved;
	make_segments(&f, &saved, 50, 1);
	f.options.seed++;
	assert_int_equal(open_index(&f, &saved), HF_ECORRUPT);
	f.options.seed--;
	f.options.collection++;
	assert_int_equal(open_index(&f, &saved), HF_ECORRUPT);
	f.options.collection--;
	assert_int_equal(open_index(&f, &saved), HF_OK);
	end(&f, &saved);
}

static void test_resident_reads_wait_until_blocks_are_checked(void **state)
{
	struct fixture f;
	struct saved saved;
	struct hf_query all = {.rank_max = UINT64_MAX};
	struct hf_index_hit hit;
	struct hf_index_iterator *it;
	make_segments(&f, &saved, 5000, 1);
	assert_int_equal(open_index(&f, &saved), HF_OK);
	struct hf_index_view *view = hf_index_acquire(f.index);
	struct confirm confirm = {&f, f.docs[7].id};
	assert_int_equal(
		hf_index_find(view, f.docs[7].id, UINT64_MAX, HF_READ_RESIDENT, fixture_confirm, &confirm, &hit),
		HF_EWAIT);
	assert_int_equal(hf_index_iterate(&it, view, &all, UINT64_MAX, HF_READ_RESIDENT), HF_OK);
	assert_int_equal(hf_index_next(it, &hit), HF_EWAIT);
	assert_int_equal(hf_index_next(it, &hit), HF_EWAIT);
	hf_index_iterator_close(it);
	assert_true(hf_index_estimate(view, 1) >= 5000);
	compare_query(&f, &all, UINT64_MAX);
	assert_int_equal(hf_index_warm(f.index), HF_OK);
	assert_true(hf_index_estimate(view, 1) < 5000);
	assert_int_equal(
		hf_index_find(view, f.docs[7].id, UINT64_MAX, HF_READ_RESIDENT, fixture_confirm, &confirm, &hit),
		HF_OK);
	hf_index_view_release(view);
	end(&f, &saved);
}

static void test_long_searches_without_a_hit_leave_the_loop(void **state)
{
	struct fixture f;
	fixture_start(&f, 8192, 1, 1);
	/* Two terms that take turns: each list is long, no document has both. */
	for (uint64_t i = 0; i < 8192 * 3; i++) {
		uint64_t term = i % 2;
		struct hf_doc_key key = {.rank = i, .terms = &term, .term_count = 1};
		hf_store_le64(key.id, i);
		if (!hf_index_has_room(f.index, 1))
			assert_int_equal(hf_index_freeze(f.index), HF_OK);
		assert_int_equal(hf_index_insert(f.index, &key, 64 + i), HF_OK);
	}
	assert_int_equal(hf_index_freeze(f.index), HF_OK);
	while (hf_index_work(f.index, HF_INDEX_SEAL))
		;
	assert_int_equal(hf_index_merge_all(f.index), HF_OK);
	uint64_t terms[2] = {0, 1};
	struct hf_query both = {.rank_max = UINT64_MAX, .clause_count = 2, .clauses = {{&terms[0], 1}, {&terms[1], 1}}};
	struct hf_index_view *view = hf_index_acquire(f.index);
	struct hf_index_iterator *it;
	struct hf_index_hit hit;
	assert_int_equal(hf_index_iterate(&it, view, &both, UINT64_MAX, HF_READ_RESIDENT), HF_OK);
	assert_int_equal(hf_index_next(it, &hit), HF_EWAIT);
	hf_index_iterator_set_mode(it, HF_READ_BLOCKING);
	assert_int_equal(hf_index_next(it, &hit), HF_ENOTFOUND);
	hf_index_iterator_close(it);
	hf_index_view_release(view);
	fixture_stop(&f);
}

int main(void)
{
	hf_log_set_sink(swallow, NULL);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_flipped_byte_is_found_and_nothing_wrong_is_served),
		cmocka_unit_test(test_a_file_that_was_cut_or_grew_is_refused),
		cmocka_unit_test(test_the_rest_of_a_damaged_index_is_readable),
		cmocka_unit_test(test_wrong_bytes_with_good_checksums_do_no_harm),
		cmocka_unit_test(test_segments_of_another_store_are_refused),
		cmocka_unit_test(test_resident_reads_wait_until_blocks_are_checked),
		cmocka_unit_test(test_long_searches_without_a_hit_leave_the_loop),
	};
	return cmocka_run_group_tests_name("store/segment", tests, NULL, NULL);
}
