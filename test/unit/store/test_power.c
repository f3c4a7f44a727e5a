/* The plug is pulled at every sync in turn, and what was acknowledged must be there, whole batches only and nothing twice.
 *
 * Commit number c puts documents 3c to 3c+2, deletes some of commit c-7, writes a row of a table and appends to a log: what
 * a store holds follows from the number of its last commit, which is itself a row. SCALE multiplies the cuts. */
#include "store_test.h"

#include "support/power_fs.h"
#include "support/quiet.h"

#define DOCS_EACH 3
#define DELETE_AFTER 7
#define LOGS 4

static struct hf_env env;

struct run {
	struct power_fs *power;
	struct hf_env env;
	char directory[64];
	struct hf_store *store;
	bool no_background;
	uint64_t last;          /* the last commit that was tried */
	uint64_t acknowledged;  /* the last that is on the disk for certain */
	uint64_t random;
};

static uint64_t scale(void)
{
	const char *text = getenv("SCALE");

	return text != NULL && strtoull(text, NULL, 10) > 0 ? strtoull(text, NULL, 10) : 1;
}

static uint64_t draw(struct run *run, uint64_t below)
{
	run->random = run->random * 6364136223846793005u + 1442695040888963407u;
	return (run->random >> 33) % below;
}

/* Document d was deleted by commit d / 3 + 7, when that came. */
static bool is_deleted(uint64_t document, uint64_t last)
{
	return document % 5 == 0 && document / DOCS_EACH + DELETE_AFTER <= last;
}

static size_t block_of(uint64_t commit, uint8_t block[200])
{
	size_t length = 20 + commit % 150;

	memset(block, (int)(commit % 251), length);
	hf_store_le64(block, commit);
	return length;
}

static int stage(void *context, struct hf_tx *tx)
{
	uint64_t commit = *(uint64_t *)context;
	struct test_doc doc;
	uint8_t block[200];
	struct iovec slice = {block, block_of(commit, block)};
	int status = HF_OK;

	for (uint64_t d = commit * DOCS_EACH; d < (commit + 1) * DOCS_EACH && status == HF_OK; d++) {
		test_doc_make(&doc, d);
		status = hf_tx_put(tx, 0, &doc.key, &(struct iovec){doc.payload, doc.length}, 1, NULL);
	}
	if (commit > DELETE_AFTER)
		for (uint64_t d = (commit - DELETE_AFTER) * DOCS_EACH; d < (commit - DELETE_AFTER + 1) * DOCS_EACH && status == HF_OK; d++)
			if (d % 5 == 0) {
				test_doc_make(&doc, d);
				status = hf_tx_delete(tx, 0, doc.key.id);
			}
	if (status == HF_OK)
		status = hf_tx_table_put(tx, 1, HF_SLICE_LITERAL("last"), hf_slice(&commit, sizeof commit));
	if (status == HF_OK)
		status = hf_tx_log_append(tx, commit % LOGS, &slice, 1, NULL);
	return status;
}

static int open_run(struct run *run)
{
	struct hf_store_options options = test_options(&run->env, run->directory);
	struct hf_failure failure;

	options.memtable_docs_max = 64;
	options.log_segment_bytes = 48 << 10;
	options.no_background = run->no_background;
	options.sync_interval_ms = 5;
	run->store = NULL;
	return hf_store_open(&run->store, &options, &failure);
}

static void check_docs(struct run *run, uint64_t last)
{
	struct hf_snapshot *snapshot = hf_store_snapshot(run->store);
	uint64_t alive = 0;

	for (uint64_t d = DOCS_EACH; d < (last + 20) * DOCS_EACH; d++) {
		bool here = d / DOCS_EACH <= last && !is_deleted(d, last);

		assert_int_equal(test_get(snapshot, 0, d), here ? HF_OK : HF_ENOTFOUND);
		alive += here;
	}
	assert_int_equal(test_query(snapshot, 0, 0), alive);
	hf_snapshot_release(snapshot);
}

static void check_logs(struct run *run, uint64_t last)
{
	struct hf_buffer block = {0};
	uint8_t expected[200];
	uint64_t lengths[LOGS] = {0}, length;

	for (uint64_t c = 1; c <= last; c++) {
		size_t bytes = block_of(c, expected);

		assert_int_equal(hf_store_log_get(run->store, c % LOGS, lengths[c % LOGS]++, HF_READ_BLOCKING, &block), HF_OK);
		assert_int_equal(block.length, bytes);
		assert_memory_equal(block.data, expected, bytes);
	}
	for (uint64_t log = 0; log < LOGS; log++) {
		assert_int_equal(hf_store_log_length(run->store, log, &length), lengths[log] == 0 ? HF_ENOTFOUND : HF_OK);
		if (lengths[log] > 0)
			assert_int_equal(length, lengths[log]);
	}
	hf_buffer_free(&block);
}

static void print_fault(void *context, const char *sentence)
{
	(void)context;
	print_message("verify: %s\n", sentence);
}

/* The store must stand exactly at some commit between the acknowledged and the tried. */
static void check_run(struct run *run)
{
	struct hf_buffer row = {0};
	uint64_t last = 0;
	int status = hf_store_table_get(run->store, 1, HF_SLICE_LITERAL("last"), &row);

	if (status == HF_OK)
		last = hf_load_le64(row.data);
	hf_buffer_free(&row);
	assert_in_range(last, run->acknowledged, run->last);
	check_docs(run, last);
	check_logs(run, last);
	assert_int_equal(hf_store_verify(run->store, print_fault, NULL), HF_OK);
	run->last = run->acknowledged = last;
}

/* Commits until something fails, or as many. */
static int commit_some(struct run *run, uint64_t count)
{
	int status = HF_OK;

	for (; count > 0 && status == HF_OK; count--) {
		bool disk = draw(run, 4) != 0;
		uint64_t commit = ++run->last;

		status = hf_store_commit_wait(run->store, disk ? HF_DURABLE_DISK : HF_DURABLE_OS, stage, &commit);
		if (status == HF_OK && disk)
			run->acknowledged = commit;
	}
	return status;
}

static void start_run(struct run *run, uint64_t seed)
{
	*run = (struct run){.power = power_fs_new(), .random = seed, .no_background = seed % 2 == 0};
	run->env = env;
	run->env.fs = power_fs_fs(run->power);
	test_directory(run->directory);
	assert_int_equal(open_run(run), HF_OK);
	/* The directory itself must outlive the first cut. */
	assert_int_equal(commit_some(run, 1), HF_OK);
	hf_store_close(run->store);
	run->acknowledged = run->last;
}

static void end_run(struct run *run)
{
	power_fs_free(run->power);
	test_remove(run->directory);
}

static void cut_once(struct run *run, uint64_t sync_number, uint64_t seed)
{
	static const enum power_fs_mode modes[] = {POWER_FS_RANDOM, POWER_FS_GARBAGE, POWER_FS_DROP_ALL, POWER_FS_KEEP_ALL};

	power_fs_die_at_sync(run->power, sync_number);
	if (open_run(run) == HF_OK) {
		commit_some(run, 60);
		if (draw(run, 2) == 0)
			hf_store_abandon(run->store);
		else
			hf_store_close(run->store);
	}
	if (!power_fs_is_dead(run->power))
		power_fs_die_now(run->power);
	assert_int_equal(power_fs_cut(run->power, seed, modes[seed % 5 == 4 ? 0 : seed % 4]), HF_OK);
	assert_int_equal(open_run(run), HF_OK);
	check_run(run);
	hf_store_abandon(run->store);
}

static void test_power_cuts_lose_nothing_acknowledged(void **state)
{
	uint64_t cuts = 120 * scale(), done = 0;
	struct run run;

	(void)state;
	for (uint64_t seed = 1; done < cuts; seed++) {
		start_run(&run, seed);
		for (uint64_t n = 1; n <= 30 && done < cuts; n++, done++) {
			uint64_t sync_number = n < 12 ? n : 1 + draw(&run, 90);

			cut_once(&run, sync_number, seed * 1000 + n);
		}
		end_run(&run);
	}
	print_message("%llu cuts\n", (unsigned long long)done);
}

static void test_full_disk_refuses_writes_and_recovers(void **state)
{
	struct run run;

	(void)state;
	for (uint64_t seed = 1; seed <= 6; seed++) {
		start_run(&run, seed);
		assert_int_equal(open_run(&run), HF_OK);
		assert_int_equal(commit_some(&run, 50), HF_OK);
		power_fs_limit_bytes(run.power, 500 + 3000 * seed);
		int status = commit_some(&run, 100000);

		assert_int_equal(status, HF_ENOSPC);
		run.last--;
		check_docs(&run, run.last);
		uint64_t commit = run.last + 1;

		assert_int_equal(hf_store_commit_wait(run.store, HF_DURABLE_DISK, stage, &commit), HF_ENOSPC);
		check_docs(&run, run.last);
		power_fs_limit_bytes(run.power, UINT64_MAX);
		assert_int_equal(commit_some(&run, 50), HF_OK);
		run.acknowledged = run.last;
		check_run(&run);
		if (seed % 2 == 0)
			hf_store_close(run.store);
		else
			hf_store_abandon(run.store);
		assert_int_equal(open_run(&run), HF_OK);
		check_run(&run);
		hf_store_close(run.store);
		end_run(&run);
	}
}

static void test_failed_write_is_undone_and_failed_sync_is_final(void **state)
{
	struct run run;

	(void)state;
	for (uint64_t seed = 2; seed <= 8; seed += 2) {
		start_run(&run, seed);
		assert_int_equal(open_run(&run), HF_OK);
		assert_int_equal(commit_some(&run, 10 + seed), HF_OK);
		power_fs_fail_write(run.power, 1);
		uint64_t commit = run.last + 1;

		assert_int_equal(hf_store_commit_wait(run.store, HF_DURABLE_DISK, stage, &commit), HF_EIO);
		check_docs(&run, run.last);
		assert_int_equal(commit_some(&run, 10), HF_OK);
		check_docs(&run, run.last);
		assert_int_equal(hf_store_commit_wait(run.store, HF_DURABLE_DISK, stage, &(uint64_t){++run.last}), HF_OK);
		run.acknowledged = run.last;
		power_fs_fail_sync(run.power, 1);
		commit = run.last + 1;
		assert_int_equal(hf_store_commit_wait(run.store, HF_DURABLE_DISK, stage, &commit), HF_EIO);
		assert_int_equal(hf_store_commit_wait(run.store, HF_DURABLE_OS, stage, &commit), HF_EIO);
		check_docs(&run, run.last);
		hf_store_close(run.store);
		run.last++;
		power_fs_die_now(run.power);
		assert_int_equal(power_fs_cut(run.power, seed, POWER_FS_RANDOM), HF_OK);
		assert_int_equal(open_run(&run), HF_OK);
		check_run(&run);
		hf_store_close(run.store);
		end_run(&run);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_power_cuts_lose_nothing_acknowledged),
		cmocka_unit_test(test_full_disk_refuses_writes_and_recovers),
		cmocka_unit_test(test_failed_write_is_undone_and_failed_sync_is_final),
	};

	hf_env_system(&env);
	quiet_log();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
