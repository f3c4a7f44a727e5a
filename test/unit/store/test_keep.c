/* Keeping a store: backup, compaction, collection, rebuilding, quota, reading only, and damage. */
#include "store_test.h"

#include "store/state.h"
#include "support/quiet.h"

#include <dirent.h>
#include <sys/stat.h>

static struct hf_env env;

static struct hf_store *open_with(const char *directory, void (*adjust)(struct hf_store_options *options))
{
	struct hf_store_options options = test_options(&env, directory);
	struct hf_failure failure;
	struct hf_store *store;

	options.memtable_docs_max = 64;
	options.log_segment_bytes = 64 << 10;
	if (adjust != NULL)
		adjust(&options);
	if (hf_store_open(&store, &options, &failure) != HF_OK)
		fail_msg("%s", failure.text);
	return store;
}

static void print_fault(void *context, const char *sentence)
{
	(void)context;
	print_message("verify: %s\n", sentence);
}

static void fill(struct hf_store *store, uint64_t first, uint64_t count)
{
	for (uint64_t i = 0; i < count; i += 20)
		assert_int_equal(test_put(store, 0, first + i, 20), HF_OK);
}

/* Documents [first, first + count) are as told, over all ways to find them. */
static void check(struct hf_store *store, uint64_t first, uint64_t count, int status, uint64_t total)
{
	struct hf_snapshot *snapshot = hf_store_snapshot(store);

	for (uint64_t i = 0; i < count; i++)
		assert_int_equal(test_get(snapshot, 0, first + i), status);
	assert_int_equal(test_query(snapshot, 0, 0), total);
	hf_snapshot_release(snapshot);
}

static void test_backup_opens_and_holds_what_was_committed(void **state)
{
	char directory[64], copy[80];
	struct hf_store *store, *second;
	struct hf_failure failure;

	(void)state;
	test_directory(directory);
	snprintf(copy, sizeof copy, "%s/copy", directory);
	store = open_with(directory, NULL);
	fill(store, 0, 1000);
	assert_int_equal(test_delete(store, 0, 100, 50), HF_OK);
	assert_int_equal(hf_store_backup(store, copy, &failure), HF_OK);
	assert_int_equal(hf_store_backup(store, copy, &failure), HF_EEXISTS);
	assert_int_equal(test_delete(store, 0, 0, 50), HF_OK);
	second = open_with(copy, NULL);
	check(second, 0, 100, HF_OK, 950);
	check(second, 100, 50, HF_ENOTFOUND, 950);
	assert_int_equal(hf_store_verify(second, print_fault, NULL), HF_OK);
	assert_int_equal(test_put(second, 0, 5000, 1), HF_OK);
	hf_store_close(second);
	hf_store_close(store);
	test_remove(directory);
}

static void test_compaction_gives_space_back(void **state)
{
	char directory[64];
	struct hf_store *store;
	struct hf_store_stats after;
	struct hf_failure failure;

	(void)state;
	test_directory(directory);
	store = open_with(directory, NULL);
	fill(store, 0, 2000);
	for (uint64_t i = 0; i < 1600; i += 40)
		assert_int_equal(test_delete(store, 0, i, 40), HF_OK);
	assert_int_equal(hf_store_compact(store, &failure), HF_OK);
	hf_store_stats(store, &after);
	/* 400 documents of 380 bytes; all 2,000 took 800,000. How many records of deletions are left depends on the background. */
	assert_in_range(after.disk_bytes, 100000, 300000);
	check(store, 1600, 400, HF_OK, 400);
	check(store, 0, 1600, HF_ENOTFOUND, 400);
	assert_int_equal(hf_store_verify(store, print_fault, NULL), HF_OK);
	assert_int_equal(hf_store_rebuild_index(store, 0, NULL, NULL), HF_OK);
	check(store, 1600, 400, HF_OK, 400);
	check(store, 0, 1600, HF_ENOTFOUND, 400);
	hf_store_abandon(store);
	store = open_with(directory, NULL);
	check(store, 1600, 400, HF_OK, 400);
	assert_int_equal(test_put(store, 0, 0, 10), HF_OK);
	assert_int_equal(hf_store_verify(store, print_fault, NULL), HF_OK);
	hf_store_close(store);
	test_remove(directory);
}

static int count_file(void *context, const char *name)
{
	uint64_t *files = context; /* how many, and whether the first segment is among them */

	files[0]++;
	files[1] |= strncmp(name, "00000001-", 9) == 0;
	return 0;
}

static void test_a_log_segment_in_which_nothing_lives_is_removed(void **state)
{
	char directory[64], path[128];
	struct hf_store *store;
	struct hf_store_stats stats;
	struct hf_failure failure;
	uint64_t files[2] = {0, 0};

	(void)state;
	test_directory(directory);
	snprintf(path, sizeof path, "%s/log", directory);
	store = open_with(directory, NULL);
	fill(store, 0, 2000);
	for (uint64_t i = 0; i < 1900; i += 20)
		assert_int_equal(test_delete(store, 0, i, 20), HF_OK);
	fill(store, 3000, 500);
	for (int round = 0; round < 3; round++) /* victims first, then what deleted them */
		assert_int_equal(hf_store_compact(store, &failure), HF_OK);
	hf_store_stats(store, &stats);
	assert_int_equal(env.fs->list(env.fs, path, count_file, files), 0);
	assert_int_equal(files[0], stats.log_segment_count);
	assert_int_equal(files[1], 0);
	assert_int_equal(hf_store_verify(store, print_fault, NULL), HF_OK);
	hf_store_abandon(store);
	store = open_with(directory, NULL);
	check(store, 0, 1900, HF_ENOTFOUND, 600);
	check(store, 1900, 100, HF_OK, 600);
	assert_int_equal(hf_store_rebuild_index(store, 0, NULL, NULL), HF_OK);
	check(store, 3000, 500, HF_OK, 600);
	hf_store_close(store);
	/* One that is named and not there is lost. */
	snprintf(path, sizeof path, "cd '%s/log' && rm \"$(ls | head -1)\"", directory);
	assert_int_equal(system(path), 0);
	struct hf_store_options options = test_options(&env, directory);

	assert_int_equal(hf_store_open(&store, &options, &failure), HF_ECORRUPT);
	assert_non_null(strstr(failure.text, "backup"));
	test_remove(directory);
}

static void test_rebuilt_index_answers_as_before(void **state)
{
	char directory[64];
	struct hf_store *store;

	(void)state;
	test_directory(directory);
	store = open_with(directory, NULL);
	fill(store, 0, 1000);
	assert_int_equal(test_delete(store, 0, 300, 60), HF_OK);
	assert_int_equal(hf_store_rebuild_index(store, 0, NULL, NULL), HF_OK);
	check(store, 0, 300, HF_OK, 940);
	check(store, 300, 60, HF_ENOTFOUND, 940);
	fill(store, 2000, 100);
	assert_int_equal(hf_store_verify(store, print_fault, NULL), HF_OK);
	hf_store_abandon(store);
	store = open_with(directory, NULL);
	check(store, 2000, 100, HF_OK, 1040);
	assert_int_equal(hf_store_verify(store, print_fault, NULL), HF_OK);
	hf_store_close(store);
	test_remove(directory);
}

static int stage_drop(void *context, struct hf_tx *tx)
{
	return hf_tx_drop_collection(tx, *(uint32_t *)context);
}

static void test_dropped_collection_stays_dropped(void **state)
{
	char directory[64];
	struct hf_store *store;
	uint32_t collection = 0;

	(void)state;
	test_directory(directory);
	store = open_with(directory, NULL);
	fill(store, 0, 500);
	assert_int_equal(test_put(store, 3, 0, 10), HF_OK);
	struct hf_snapshot *old = hf_store_snapshot(store);

	assert_int_equal(test_get(old, 0, 7), HF_OK);
	assert_int_equal(hf_store_commit_wait(store, HF_DURABLE_DISK, stage_drop, &collection), HF_OK);
	assert_int_equal(test_get(old, 0, 7), HF_OK);
	hf_snapshot_release(old);
	check(store, 0, 20, HF_ENOTFOUND, 0);
	fill(store, 1000, 20);
	check(store, 1000, 20, HF_OK, 20);
	hf_store_abandon(store);
	store = open_with(directory, NULL);
	check(store, 1000, 20, HF_OK, 20);
	check(store, 0, 500, HF_ENOTFOUND, 20);
	assert_int_equal(hf_store_rebuild_index(store, 0, NULL, NULL), HF_OK);
	check(store, 0, 500, HF_ENOTFOUND, 20);
	assert_int_equal(hf_store_verify(store, print_fault, NULL), HF_OK);
	hf_store_close(store);
	test_remove(directory);
}

static void small_quota(struct hf_store_options *options)
{
	options->quota_bytes = 200000;
}

static void test_quota_refuses_but_lets_delete(void **state)
{
	char directory[64];
	struct hf_store *store;
	uint64_t count = 0;
	int status;

	(void)state;
	test_directory(directory);
	store = open_with(directory, small_quota);
	while ((status = test_put(store, 0, count, 10)) == HF_OK && count < 5000)
		count += 10;
	assert_int_equal(status, HF_ENOSPC);
	check(store, 0, count, HF_OK, count);
	assert_int_equal(test_delete(store, 0, 0, 10), HF_OK);
	hf_store_close(store);
	test_remove(directory);
}

static void read_only(struct hf_store_options *options)
{
	options->read_only = true;
}

static void test_read_only_store_changes_nothing(void **state)
{
	char directory[64], command[256];
	struct hf_store *store;

	(void)state;
	test_directory(directory);
	store = open_with(directory, NULL);
	fill(store, 0, 300);
	hf_store_abandon(store);
	snprintf(command, sizeof command, "cd %s && find . -type f | sort | xargs sha256sum > /tmp/hf-keep-%d", directory, (int)getpid());
	assert_int_equal(system(command), 0);
	store = open_with(directory, read_only);
	check(store, 0, 300, HF_OK, 300);
	assert_int_equal(test_put(store, 0, 900, 1), HF_EDENIED);
	assert_int_equal(hf_store_verify(store, print_fault, NULL), HF_OK);
	hf_store_close(store);
	snprintf(command, sizeof command, "cd %s && sha256sum --quiet -c /tmp/hf-keep-%d && rm /tmp/hf-keep-%d", directory, (int)getpid(),
		(int)getpid());
	assert_int_equal(system(command), 0);
	test_remove(directory);
}

/* ---- Damage ---- */

static bool name_seen;

static void look_for_name(void *context, const char *sentence)
{
	name_seen |= strstr(sentence, context) != NULL;
}

static void flip(const char *path, uint64_t offset, unsigned bit)
{
	FILE *file = fopen(path, "r+");
	int byte;

	assert_non_null(file);
	fseek(file, (long)offset, SEEK_SET);
	byte = fgetc(file);
	fseek(file, (long)offset, SEEK_SET);
	fputc(byte ^ (1 << bit), file);
	fclose(file);
}

/* With one bit wrong, the file is named, at open or by verify, and whatever is answered is right. */
static void damage(const char *directory, const char *folder, const char *file, uint64_t offset, unsigned bit)
{
	char path[512], name[320];
	struct hf_store_options options = test_options(&env, directory);
	struct hf_failure failure;
	struct hf_store *store;
	uint64_t served = 0;

	snprintf(name, sizeof name, "%s%s%s", folder, folder[0] != '\0' ? "/" : "", file);
	snprintf(path, sizeof path, "%s/%s", directory, name);
	flip(path, offset, bit);
	options.read_only = true;
	if (hf_store_open(&store, &options, &failure) != HF_OK) {
		if (strstr(failure.text, file) == NULL)
			fail_msg("%s offset %llu: %s", name, (unsigned long long)offset, failure.text);
	} else {
		struct hf_snapshot *snapshot = hf_store_snapshot(store);

		for (uint64_t i = 0; i < 600; i++)
			served += test_get(snapshot, 0, i) == HF_OK;
		hf_snapshot_release(snapshot);
		name_seen = false;
		int status = hf_store_verify(store, look_for_name, (void *)file);
		struct hf_store_stats stats;

		hf_store_stats(store, &stats);
		if (status != HF_ECORRUPT && stats.corrupt_count == 0)
			fail_msg("%s offset %llu bit %u: not found", name, (unsigned long long)offset, bit);
		if (strcmp(folder, "log") == 0 && served < 500)
			fail_msg("%s offset %llu: only %llu documents are left", name, (unsigned long long)offset, (unsigned long long)served);
		hf_store_close(store);
	}
	flip(path, offset, bit);
}

static void test_damage_anywhere_is_found_and_never_served(void **state)
{
	static const char *const folders[] = {"", "log", "index", "table", "block"};
	char directory[64], path[256];
	struct hf_store *store;
	uint64_t seed = 5;

	(void)state;
	test_directory(directory);
	store = open_with(directory, NULL);
	fill(store, 0, 600);
	assert_int_equal(test_delete(store, 0, 590, 5), HF_OK);
	hf_store_close(store);
	for (size_t f = 0; f < sizeof folders / sizeof folders[0]; f++) {
		snprintf(path, sizeof path, "%s/%s", directory, folders[f]);
		DIR *dir = opendir(path);
		struct dirent *entry;

		while ((entry = readdir(dir)) != NULL) {
			char file[640];

			if (entry->d_type != DT_REG)
				continue;
			snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
			FILE *handle = fopen(file, "r");

			fseek(handle, 0, SEEK_END);
			uint64_t size = (uint64_t)ftell(handle);

			fclose(handle);
			for (int i = 0; i < 12 && size > 0; i++) {
				seed = seed * 6364136223846793005u + 1442695040888963407u;
				damage(directory, folders[f], entry->d_name, i == 0 ? 0 : i == 1 ? size - 1 : (seed >> 20) % size, (unsigned)(seed >> 60) % 8);
			}
		}
		closedir(dir);
	}
	test_remove(directory);
}

/* The records before the cut are whole, also the last ones, and those of an only segment that is open for reading. */
static void test_records_before_a_cut_of_the_log_are_served(void **state)
{
	char directory[64], path[128];
	struct hf_store *store;
	struct hf_snapshot *snapshot;
	struct stat status;

	(void)state;
	test_directory(directory);
	store = open_with(directory, NULL);
	assert_int_equal(test_put(store, 0, 0, 3), HF_OK);
	hf_store_close(store);
	snprintf(path, sizeof path, "%s/log/00000001-0.log", directory);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(truncate(path, status.st_size - 8), 0);
	store = open_with(directory, read_only);
	snapshot = hf_store_snapshot(store);
	assert_int_equal(test_get(snapshot, 0, 0), HF_OK);
	assert_int_equal(test_get(snapshot, 0, 1), HF_OK);
	assert_int_equal(test_get(snapshot, 0, 2), HF_ECORRUPT);
	hf_snapshot_release(snapshot);
	hf_store_close(store);
	test_remove(directory);
}

/* ---- Damage near the end of the log ---- */

/* Spoils the payload of that document in the first log file. */
static void spoil(const char *directory, uint64_t number)
{
	struct test_doc doc;
	struct hf_buffer log = {0};
	char path[128];
	uint8_t *found;

	test_doc_make(&doc, number);
	snprintf(path, sizeof path, "%s/log/00000001-0.log", directory);
	assert_int_equal(hf_fs_read_all(env.fs, path, 64 << 20, &log), HF_OK);
	found = memmem(log.data, log.length, doc.payload, doc.length);
	assert_non_null(found);
	found[doc.length / 2] ^= 1;
	assert_int_equal(hf_fs_replace(env.fs, path, log.data, log.length), HF_OK);
	hf_buffer_free(&log);
}

static void expect_after_damage(const char *directory, uint64_t corrupt_count, uint64_t lost, uint64_t kept)
{
	struct hf_store *store = open_with(directory, NULL);
	struct hf_snapshot *snapshot = hf_store_snapshot(store);
	struct hf_store_stats stats;

	hf_store_stats(store, &stats);
	assert_int_equal(stats.corrupt_count, corrupt_count);
	assert_int_equal(test_get(snapshot, 0, lost), HF_ENOTFOUND);
	assert_int_equal(test_get(snapshot, 0, kept), HF_OK);
	hf_snapshot_release(snapshot);
	assert_int_equal(test_put(store, 0, 500, 1), HF_OK); /* it goes on */
	hf_store_close(store);
}

static struct hf_store *two_groups(char directory[64])
{
	test_directory(directory);
	struct hf_store *store = open_with(directory, NULL);

	assert_int_equal(test_put(store, 0, 1, 1), HF_OK);
	assert_int_equal(test_put(store, 0, 2, 1), HF_OK);
	return store;
}

static void test_damage_before_a_later_group_is_told_after_a_crash(void **state)
{
	char directory[64];

	(void)state;
	hf_store_abandon(two_groups(directory));
	spoil(directory, 1);
	expect_after_damage(directory, 1, 1, 2);
	test_remove(directory);
}

static void test_damage_in_the_last_group_is_taken_for_a_torn_one(void **state)
{
	char directory[64];

	(void)state;
	hf_store_abandon(two_groups(directory));
	spoil(directory, 2);
	expect_after_damage(directory, 0, 2, 1);
	test_remove(directory);
}

static void test_damage_in_the_last_group_is_told_when_the_manifest_knows_it(void **state)
{
	char directory[64];
	struct hf_store *store;

	(void)state;
	store = two_groups(directory);
	assert_int_equal(hf_store_checkpoint(store, false), HF_OK); /* memory is not sealed: the group is replayed */
	hf_store_abandon(store);
	spoil(directory, 2);
	expect_after_damage(directory, 1, 2, 1);
	test_remove(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_backup_opens_and_holds_what_was_committed),
		cmocka_unit_test(test_compaction_gives_space_back),
		cmocka_unit_test(test_a_log_segment_in_which_nothing_lives_is_removed),
		cmocka_unit_test(test_rebuilt_index_answers_as_before),
		cmocka_unit_test(test_dropped_collection_stays_dropped),
		cmocka_unit_test(test_quota_refuses_but_lets_delete),
		cmocka_unit_test(test_read_only_store_changes_nothing),
		cmocka_unit_test(test_damage_anywhere_is_found_and_never_served),
		cmocka_unit_test(test_damage_before_a_later_group_is_told_after_a_crash),
		cmocka_unit_test(test_damage_in_the_last_group_is_taken_for_a_torn_one),
		cmocka_unit_test(test_damage_in_the_last_group_is_told_when_the_manifest_knows_it),
		cmocka_unit_test(test_records_before_a_cut_of_the_log_are_served),
	};

	hf_env_system(&env);
	quiet_log();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
