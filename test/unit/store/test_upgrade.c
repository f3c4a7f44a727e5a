/* A store of format 1, as the program of that time left it (test/vectors/store/format-1), and the machinery of the steps. */
#include "store_test.h"

#include "base/log.h"
#include "store/upgrade.h"

static struct hf_env env;

static void copy_fixture(char directory[64])
{
	char command[512];

	test_directory(directory);
	snprintf(command, sizeof command, "cp -r '%s/format-1/.' '%s' && chmod -R u+w '%s'", STORE_VECTORS, directory, directory);
	assert_int_equal(system(command), 0);
}

static int open_store(struct hf_store **store, const char *directory, bool read_only, struct hf_failure *failure)
{
	struct hf_store_options options = test_options(&env, directory);

	options.read_only = read_only;
	return hf_store_open(store, &options, failure);
}

static uint64_t format_of(const char *directory, const char *name)
{
	char path[128];
	unsigned format = 0;

	snprintf(path, sizeof path, "%s/%s", directory, name);
	FILE *file = fopen(path, "r");

	assert_non_null(file);
	assert_int_equal(fscanf(file, "holdfast-store %u", &format), 1);
	fclose(file);
	return format;
}

static int count_block(void *context, uint64_t index, struct hf_slice block)
{
	uint64_t *seen = context;

	assert_int_equal(block.length, 8 + index % 20);
	assert_int_equal(hf_load_le64(block.data), index);
	++*seen;
	return HF_OK;
}

static void expect_blocks(struct hf_store *store, uint64_t log, uint64_t length, uint64_t count)
{
	struct hf_buffer block = {0};
	uint64_t got, from = 0, seen = 0;

	assert_int_equal(hf_store_log_length(store, log, &got), HF_OK);
	assert_int_equal(got, length);
	assert_int_equal(hf_store_log_read(store, log, &from, length, HF_READ_BLOCKING, count_block, &seen), HF_OK);
	assert_int_equal(seen, count);
	for (uint64_t i = length - 3; i < length; i++)
		assert_int_equal(hf_store_log_get(store, log, i, HF_READ_BLOCKING, &block), HF_OK);
	hf_buffer_free(&block);
}

static void print_fault(void *context, const char *sentence)
{
	(void)context;
	print_message("verify: %s\n", sentence);
}

/* 20 documents less two, three logs with a hole, a truncation and far blocks in two runs, and a row. */
static void expect_all(struct hf_store *store)
{
	struct hf_snapshot *snapshot = hf_store_snapshot(store);
	struct hf_buffer value = {0};

	for (uint64_t i = 0; i < 20; i++)
		assert_int_equal(test_get(snapshot, 1, i), i == 3 || i == 4 ? HF_ENOTFOUND : HF_OK);
	hf_snapshot_release(snapshot);
	expect_blocks(store, 5, 1500, 1410);
	expect_blocks(store, 7, 40, 40);
	expect_blocks(store, 9, 1000003, 3);
	assert_int_equal(hf_store_table_get(store, 3, hf_slice("key", 3), &value), HF_OK);
	assert_true(hf_slice_equal(hf_buffer_slice(&value), hf_slice("value", 5)));
	hf_buffer_free(&value);
	assert_int_equal(hf_store_verify(store, print_fault, NULL), HF_OK);
}

static void test_a_store_of_format_1_is_upgraded_and_whole(void **state)
{
	struct hf_failure failure;
	struct hf_store *store;
	char directory[64], path[128];

	(void)state;
	copy_fixture(directory);
	assert_int_equal(open_store(&store, directory, true, &failure), HF_EVERSION);
	assert_non_null(strstr(failure.text, "format 1"));
	assert_int_equal(format_of(directory, "MANIFEST"), 1);
	for (int round = 0; round < 2; round++) {
		if (open_store(&store, directory, false, &failure) != HF_OK)
			fail_msg("%s", failure.text);
		assert_int_equal(format_of(directory, "MANIFEST"), HF_STORE_FORMAT_VERSION);
		assert_int_equal(format_of(directory, "MANIFEST.copy"), HF_STORE_FORMAT_VERSION);
		expect_all(store);
		snprintf(path, sizeof path, "%s/block/00000002.blk", directory);
		assert_false(hf_fs_exists(env.fs, path)); /* an old run */
		round == 0 ? hf_store_abandon(store) : hf_store_close(store);
	}
	test_remove(directory);
}

static void test_the_copy_is_upgraded_when_the_manifest_is_damaged(void **state)
{
	struct hf_failure failure;
	struct hf_store *store;
	char directory[64], command[256];

	(void)state;
	copy_fixture(directory);
	snprintf(command, sizeof command, "echo damaged > '%s/MANIFEST'", directory);
	assert_int_equal(system(command), 0);
	if (open_store(&store, directory, false, &failure) != HF_OK)
		fail_msg("%s", failure.text);
	assert_int_equal(hf_store_checkpoint(store, false), HF_OK); /* a new MANIFEST */
	expect_all(store);
	hf_store_close(store);
	assert_int_equal(format_of(directory, "MANIFEST"), HF_STORE_FORMAT_VERSION);
	test_remove(directory);
}

static void test_a_newer_format_is_refused(void **state)
{
	struct hf_failure failure;
	struct hf_store *store;
	char directory[64], command[256];

	(void)state;
	copy_fixture(directory);
	snprintf(command, sizeof command, "sed -i '1s/.*/holdfast-store 99/' '%s/MANIFEST'", directory);
	assert_int_equal(system(command), 0);
	assert_int_equal(open_store(&store, directory, false, &failure), HF_EVERSION);
	assert_non_null(strstr(failure.text, "99"));
	test_remove(directory);
}

/* ---- Steps of the test's own ---- */

static int step_calls[2];
static int step_outcome; /* of the second */

static int first_step(struct hf_store *store, struct hf_manifest *m, struct hf_failure *failure)
{
	(void)failure;
	step_calls[0]++;
	m->table_file = atomic_fetch_add(&store->next_file_number, 1);
	return HF_OK;
}

static int second_step(struct hf_store *store, struct hf_manifest *m, struct hf_failure *failure)
{
	(void)store;
	(void)failure;
	step_calls[1]++;
	m->table_position = 77;
	return step_outcome;
}

static int run_steps(const char *directory, struct hf_manifest *m, struct hf_failure *failure)
{
	static const struct hf_upgrade_step steps[] = {{"first", first_step}, {"second", second_step}};
	struct hf_store *store = calloc(1, sizeof *store);
	int status;

	*failure = (struct hf_failure){0};
	store->env = &env;
	snprintf(store->directory, sizeof store->directory, "%s", directory);
	status = hf_store_upgrade(store, "MANIFEST", m, steps, 3, failure);
	free(store);
	return status;
}

static void read_back(const char *directory, const char *name, struct hf_manifest *m, uint32_t format)
{
	char path[HF_PATH_BYTES_MAX];
	struct hf_buffer text = {0};

	assert_int_equal(format_of(directory, name), format);
	assert_int_equal(hf_path_join(path, directory, name), HF_OK);
	assert_int_equal(hf_fs_read_all(env.fs, path, HF_MANIFEST_BYTES_MAX, &text), HF_OK);
	*m = (struct hf_manifest){0};
	if (format <= HF_STORE_FORMAT_VERSION)
		assert_int_equal(hf_manifest_parse(m, hf_buffer_slice(&text), NULL), HF_OK);
	hf_buffer_free(&text);
}

static void test_each_step_is_written_and_a_failed_one_is_taken_again(void **state)
{
	struct hf_manifest m = {.format = 1, .next_file = 5}, read;
	struct hf_failure failure;
	char directory[64];

	(void)state;
	test_directory(directory);
	assert_non_null(hf_manifest_add_log(&m));
	step_outcome = HF_ENOSPC;
	assert_int_equal(run_steps(directory, &m, &failure), HF_ENOSPC);
	hf_manifest_free(&m);
	assert_non_null(strstr(failure.text, "could not be upgraded to format 3"));
	read_back(directory, "MANIFEST", &read, 2);
	assert_int_equal(read.table_file, 5);
	assert_int_equal(read.table_position, 0);
	assert_int_equal(read.next_file, 6);
	step_outcome = HF_OK;
	assert_int_equal(run_steps(directory, &read, &failure), HF_OK);
	assert_int_equal(step_calls[0], 1);
	assert_int_equal(step_calls[1], 2);
	hf_manifest_free(&read);
	read_back(directory, "MANIFEST", &read, 3);
	read_back(directory, "MANIFEST.copy", &read, 3);
	m = (struct hf_manifest){.format = 3};
	assert_int_equal(run_steps(directory, &m, &failure), HF_OK); /* nothing to do */
	assert_int_equal(step_calls[0] + step_calls[1], 3);
	test_remove(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_store_of_format_1_is_upgraded_and_whole),
		cmocka_unit_test(test_the_copy_is_upgraded_when_the_manifest_is_damaged),
		cmocka_unit_test(test_a_newer_format_is_refused),
		cmocka_unit_test(test_each_step_is_written_and_a_failed_one_is_taken_again),
	};

	hf_env_system(&env);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
