#include "store_test.h"

static struct hf_env env;

static struct hf_store *open_store(const char *directory, uint32_t memtable_docs, bool no_background)
{
	struct hf_store_options options = test_options(&env, directory);
	struct hf_failure failure;
	struct hf_store *store;

	options.memtable_docs_max = memtable_docs;
	options.no_background = no_background;
	options.log_segment_bytes = 256 << 10;
	if (hf_store_open(&store, &options, &failure) != HF_OK)
		fail_msg("%s", failure.text);
	return store;
}

static void check_range(struct hf_store *store, uint64_t first, uint64_t count, int status)
{
	struct hf_snapshot *snapshot = hf_store_snapshot(store);

	for (uint64_t i = 0; i < count; i++)
		assert_int_equal(test_get(snapshot, 0, first + i), status);
	hf_snapshot_release(snapshot);
}

static uint64_t count_docs(struct hf_store *store, uint64_t term)
{
	struct hf_snapshot *snapshot = hf_store_snapshot(store);
	uint64_t count = test_query(snapshot, 0, term);

	hf_snapshot_release(snapshot);
	return count;
}

static void test_document_is_found_after_commit_close_and_crash(void **state)
{
	char directory[64];
	struct hf_store *store;

	(void)state;
	test_directory(directory);
	store = open_store(directory, 0, false);
	assert_int_equal(test_put(store, 0, 1, 1), HF_OK);
	assert_int_equal(test_put(store, 0, 2, 50), HF_OK);
	assert_int_equal(test_put(store, 0, 7, 1), HF_EEXISTS);
	check_range(store, 1, 51, HF_OK);
	check_range(store, 52, 10, HF_ENOTFOUND);
	assert_int_equal(count_docs(store, 0), 51);
	assert_int_equal(count_docs(store, 10005), 1);
	hf_store_abandon(store);
	store = open_store(directory, 0, false);
	check_range(store, 1, 51, HF_OK);
	assert_int_equal(count_docs(store, 0), 51);
	hf_store_close(store);
	store = open_store(directory, 0, false);
	check_range(store, 1, 51, HF_OK);
	assert_int_equal(count_docs(store, 0), 51);
	struct hf_store_stats stats;

	hf_store_stats(store, &stats);
	assert_int_equal(stats.replayed_records, 0);
	assert_int_equal(test_put(store, 0, 7, 1), HF_EEXISTS);
	hf_store_close(store);
	test_remove(directory);
}

static void test_deleted_document_is_gone_and_may_come_back(void **state)
{
	char directory[64];
	struct hf_store *store;

	(void)state;
	test_directory(directory);
	store = open_store(directory, 64, true);
	assert_int_equal(test_put(store, 0, 0, 40), HF_OK);
	assert_int_equal(test_put(store, 0, 40, 60), HF_OK);
	assert_int_equal(test_delete(store, 0, 10, 5), HF_OK);
	assert_int_equal(test_delete(store, 0, 10, 1), HF_ENOTFOUND);
	check_range(store, 10, 5, HF_ENOTFOUND);
	assert_int_equal(count_docs(store, 0), 95);
	hf_store_abandon(store);
	store = open_store(directory, 64, true);
	check_range(store, 10, 5, HF_ENOTFOUND);
	assert_int_equal(count_docs(store, 0), 95);
	assert_int_equal(test_put(store, 0, 12, 1), HF_OK);
	assert_int_equal(test_delete(store, 0, 70, 20), HF_OK);
	hf_store_close(store);
	store = open_store(directory, 64, true);
	assert_int_equal(count_docs(store, 0), 76);
	check_range(store, 12, 1, HF_OK);
	check_range(store, 70, 20, HF_ENOTFOUND);
	hf_store_close(store);
	test_remove(directory);
}

static void test_many_documents_pass_through_seals_merges_and_segments(void **state)
{
	char directory[64];
	struct hf_store *store;

	(void)state;
	test_directory(directory);
	for (int background = 0; background < 2; background++) {
		store = open_store(directory, 64, background == 0);
		for (uint64_t i = 0; i < 100; i++)
			assert_int_equal(test_put(store, 0, (uint64_t)background * 3000 + i * 30, 30), HF_OK);
		assert_int_equal(count_docs(store, 0), 3000 + 3000 * background);
		hf_store_abandon(store);
	}
	store = open_store(directory, 64, false);
	assert_int_equal(count_docs(store, 0), 6000);
	check_range(store, 0, 6000, HF_OK);
	hf_store_close(store);
	store = open_store(directory, 0, false);
	assert_int_equal(count_docs(store, 0), 6000);
	check_range(store, 0, 6000, HF_OK);
	hf_store_close(store);
	test_remove(directory);
}

static int stage_tables(void *context, struct hf_tx *tx)
{
	int number = *(int *)context;
	char key[16];
	struct hf_buffer value = {0};
	int status = HF_OK;

	for (int i = 0; i < 100 && status == HF_OK; i++) {
		snprintf(key, sizeof key, "key %03d", i);
		if (number == 3 && i % 2 == 0)
			status = hf_tx_table_delete(tx, 5, hf_slice_text(key));
		else
			status = hf_tx_table_put(tx, 5, hf_slice_text(key), hf_slice(&number, sizeof number));
	}
	if (number > 1)
		assert_int_equal(hf_tx_table_get(tx, 5, HF_SLICE_LITERAL("key 001"), &value), HF_OK);
	hf_buffer_free(&value);
	return number == 2 ? HF_EDENIED : status;
}

static int count_row(void *context, struct hf_slice key, struct hf_slice value)
{
	(void)key;
	(void)value;
	++*(int *)context;
	return 0;
}

static void check_tables(struct hf_store *store, int number, int rows)
{
	struct hf_buffer value = {0};
	int count = 0;

	assert_int_equal(hf_store_table_get(store, 5, HF_SLICE_LITERAL("key 001"), &value), HF_OK);
	assert_int_equal(value.length, sizeof number);
	assert_memory_equal(value.data, &number, sizeof number);
	hf_buffer_free(&value);
	assert_int_equal(hf_store_table_scan(store, 5, hf_slice(NULL, 0), count_row, &count), 0);
	assert_int_equal(count, rows);
}

static void test_tables_are_as_last_committed(void **state)
{
	char directory[64];
	struct hf_store *store;

	(void)state;
	test_directory(directory);
	store = open_store(directory, 0, false);
	assert_int_equal(hf_store_commit_wait(store, HF_DURABLE_DISK, stage_tables, &(int){1}), HF_OK);
	check_tables(store, 1, 100);
	assert_int_equal(hf_store_commit_wait(store, HF_DURABLE_DISK, stage_tables, &(int){2}), HF_EDENIED);
	check_tables(store, 1, 100);
	hf_store_close(store);
	store = open_store(directory, 0, false);
	check_tables(store, 1, 100);
	assert_int_equal(hf_store_commit_wait(store, HF_DURABLE_OS, stage_tables, &(int){3}), HF_OK);
	check_tables(store, 3, 50);
	hf_store_abandon(store);
	store = open_store(directory, 0, false);
	check_tables(store, 3, 50);
	hf_store_close(store);
	store = open_store(directory, 0, false);
	check_tables(store, 3, 50);
	hf_store_close(store);
	test_remove(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_document_is_found_after_commit_close_and_crash),
		cmocka_unit_test(test_deleted_document_is_gone_and_may_come_back),
		cmocka_unit_test(test_many_documents_pass_through_seals_merges_and_segments),
		cmocka_unit_test(test_tables_are_as_last_committed),
	};

	hf_env_system(&env);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
