/* What commits do while a checkpoint is at work. The file system of these tests calls back at chosen steps of the
 * checkpoint, so that what happens by chance elsewhere happens each time here. */
#include "store_test.h"

#include <pthread.h>
#include <sys/resource.h>

#include "store/state.h"
#include "support/quiet.h"

#define MEMTABLE_DOCS 16
#define SEAL_WAIT_MS_MAX 5000

static struct hf_fs hooked_fs;
static struct hf_env env;
static struct hf_store *store;
static char directory[64], image[64];
static pthread_t thread; /* whose calls count */
static bool armed, put, copied;
static bool fail_index_directory;
static unsigned index_directory_opens;

/* More documents than a memtable holds, and a wait until the full one is a segment. */
static void put_and_seal(void)
{
	struct hf_collection *collection = hf_collection_ref(store, 1);

	assert_int_equal(test_put(store, 1, 1000, MEMTABLE_DOCS), HF_OK);
	assert_int_equal(test_put(store, 1, 2000, 1), HF_OK);
	for (int waited = 0; hf_index_frozen_count(collection->index) > 0; waited++) {
		assert_true(waited < SEAL_WAIT_MS_MAX);
		usleep(1000);
	}
	hf_collection_unref(collection);
}

static int hooked_open(struct hf_fs *fs, struct hf_file *file, const char *path, int flags)
{
	if (armed && !put && pthread_equal(pthread_self(), thread) && strstr(path, ".dead-") != NULL && (flags & HF_FILE_CREATE)) {
		put = true;
		put_and_seal();
	}
	if ((flags & HF_FILE_DIRECTORY) && strcmp(strrchr(path, '/'), "/index") == 0) {
		index_directory_opens++;
		if (fail_index_directory)
			return HF_EIO;
	}
	return hf_fs_system()->open(fs, file, path, flags);
}

/* The manifest is in place: what is on the disk now is what a crash would leave. */
static int hooked_rename(struct hf_fs *fs, const char *from, const char *to)
{
	char command[256];
	int status = hf_fs_system()->rename(fs, from, to);

	if (put && !copied && pthread_equal(pthread_self(), thread) && strcmp(strrchr(to, '/'), "/MANIFEST") == 0) {
		copied = true;
		snprintf(command, sizeof command, "cp -r '%s/.' '%s'", directory, image);
		assert_int_equal(system(command), 0);
	}
	return status;
}

static void test_what_is_sealed_during_a_checkpoint_is_not_replayed_too(void **state)
{
	struct hf_failure failure;
	struct hf_store_options options;

	(void)state;
	test_directory(directory);
	test_directory(image);
	options = test_options(&env, directory);
	options.memtable_docs_max = MEMTABLE_DOCS;
	assert_int_equal(hf_store_open(&store, &options, &failure), HF_OK);
	assert_int_equal(test_put(store, 0, 0, MEMTABLE_DOCS), HF_OK);
	assert_int_equal(test_put(store, 1, 500, 1), HF_OK);
	assert_int_equal(hf_store_compact(store, &failure), HF_OK);
	assert_int_equal(test_delete(store, 0, 0, 1), HF_OK);
	thread = pthread_self();
	armed = true;
	assert_int_equal(hf_store_checkpoint(store, false), HF_OK);
	assert_true(put && copied);
	hf_store_abandon(store);

	options.directory = image;
	assert_int_equal(hf_store_open(&store, &options, &failure), HF_OK);
	struct hf_snapshot *snapshot = hf_store_snapshot(store);

	assert_int_equal(test_query(snapshot, 1, 0), MEMTABLE_DOCS + 2);
	hf_snapshot_release(snapshot);
	assert_int_equal(test_delete(store, 1, 1000, 1), HF_OK);
	snapshot = hf_store_snapshot(store);
	assert_int_equal(test_get(snapshot, 1, 1000), HF_ENOTFOUND);
	assert_int_equal(test_query(snapshot, 1, 0), MEMTABLE_DOCS + 1);
	hf_snapshot_release(snapshot);
	hf_store_close(store);
	test_remove(directory);
	test_remove(image);
}

static void test_a_sync_by_a_checkpoint_lets_the_writer_sleep(void **state)
{
	struct hf_failure failure;
	struct hf_store_options options;
	struct rusage before, after;

	(void)state;
	test_directory(directory);
	options = test_options(&env, directory);
	options.sync_interval_ms = 20;
	assert_int_equal(hf_store_open(&store, &options, &failure), HF_OK);
	assert_int_equal(hf_store_commit_wait(store, HF_DURABLE_OS, test_stage, &(struct test_change){0, 0, 1, false}), HF_OK);
	assert_int_equal(hf_store_checkpoint(store, false), HF_OK);
	usleep(40000);
	assert_int_equal(getrusage(RUSAGE_SELF, &before), 0);
	usleep(300000);
	assert_int_equal(getrusage(RUSAGE_SELF, &after), 0);
	assert_true(after.ru_nvcsw - before.ru_nvcsw < 50);
	hf_store_close(store);
	test_remove(directory);
}

/* Without background threads nothing but the checkpoint syncs the directory. */
static void test_names_of_dead_files_are_synced_when_the_first_try_failed(void **state)
{
	struct hf_failure failure;
	struct hf_store_options options;

	(void)state;
	test_directory(directory);
	options = test_options(&env, directory);
	options.no_background = true;
	assert_int_equal(hf_store_open(&store, &options, &failure), HF_OK);
	assert_int_equal(test_put(store, 0, 0, 10), HF_OK);
	hf_store_close(store);
	assert_int_equal(hf_store_open(&store, &options, &failure), HF_OK);
	assert_int_equal(test_delete(store, 0, 0, 1), HF_OK);
	fail_index_directory = true;
	assert_int_equal(hf_store_checkpoint(store, false), HF_EIO);
	fail_index_directory = false;
	index_directory_opens = 0;
	assert_int_equal(hf_store_checkpoint(store, false), HF_OK);
	assert_int_equal(index_directory_opens, 1);
	hf_store_close(store);
	test_remove(directory);
}

static int stage_far_block(void *context, struct hf_tx *tx)
{
	return hf_tx_log_put(tx, 1, *(uint64_t *)context, &(struct iovec){"x", 1}, 1);
}

/* What could not be applied must not be logged. */
static void test_a_block_beyond_the_highest_index_is_refused(void **state)
{
	struct hf_failure failure;
	struct hf_store_options options;
	struct hf_buffer block = {0};
	uint64_t index = ((uint64_t)1 << 62) - 1;

	(void)state;
	test_directory(directory);
	options = test_options(&env, directory);
	assert_int_equal(hf_store_open(&store, &options, &failure), HF_OK);
	assert_int_equal(hf_store_commit_wait(store, HF_DURABLE_DISK, stage_far_block, &index), HF_OK);
	assert_int_equal(hf_store_log_get(store, 1, index, HF_READ_BLOCKING, &block), HF_OK);
	index++;
	assert_int_equal(hf_store_commit_wait(store, HF_DURABLE_DISK, stage_far_block, &index), HF_ETOOBIG);
	hf_buffer_free(&block);
	hf_store_close(store);
	test_remove(directory);
}

struct step {
	struct hf_commit commit;
	int status;
	bool too_big, saw;
};

static int stage_step(struct hf_commit *commit, struct hf_tx *tx)
{
	struct step *step = (struct step *)commit;
	struct hf_buffer value = {0};
	int status = HF_OK;

	if (step->too_big)
		status = hf_tx_table_put(tx, 1, HF_SLICE_LITERAL("key"), HF_SLICE_LITERAL("value"));
	else
		step->saw = hf_tx_table_get(tx, 1, HF_SLICE_LITERAL("key"), &value) == HF_OK;
	hf_buffer_free(&value);
	if (step->too_big && status == HF_OK)
		status = test_stage(&(struct test_change){0, 0, MEMTABLE_DOCS + 1, false}, tx);
	return status;
}

static void end_step(struct hf_commit *commit, int status)
{
	((struct step *)commit)->status = status;
}

/* More documents than a memtable holds: that shows only after the commit's tables were staged. */
static void test_table_changes_of_a_refused_commit_are_seen_by_none(void **state)
{
	struct step refused = {.commit = {.stage = stage_step, .done = end_step, .durability = HF_DURABLE_DISK}, .too_big = true};
	struct step next = {.commit = {.stage = stage_step, .done = end_step, .durability = HF_DURABLE_DISK}};
	struct hf_failure failure;
	struct hf_store_options options;

	(void)state;
	test_directory(directory);
	options = test_options(&env, directory);
	options.memtable_docs_max = MEMTABLE_DOCS;
	assert_int_equal(hf_store_open(&store, &options, &failure), HF_OK);
	refused.commit.next = &next.commit;
	hf_store_submit_chain(store, &refused.commit, &next.commit);
	hf_store_close(store);
	assert_int_equal(refused.status, HF_ETOOBIG);
	assert_int_equal(next.status, HF_OK);
	assert_false(next.saw);
	test_remove(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_sealed_during_a_checkpoint_is_not_replayed_too),
		cmocka_unit_test(test_a_sync_by_a_checkpoint_lets_the_writer_sleep),
		cmocka_unit_test(test_names_of_dead_files_are_synced_when_the_first_try_failed),
		cmocka_unit_test(test_a_block_beyond_the_highest_index_is_refused),
		cmocka_unit_test(test_table_changes_of_a_refused_commit_are_seen_by_none),
	};

	hf_env_system(&env);
	hooked_fs = *env.fs;
	hooked_fs.open = hooked_open;
	hooked_fs.rename = hooked_rename;
	env.fs = &hooked_fs;
	quiet_log();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
