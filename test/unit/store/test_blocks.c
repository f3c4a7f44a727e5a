/* Logs against a plain model, over closes and crashes; and with many or far blocks. */
#include <stdatomic.h>
#include <time.h>

#include "store/state.h"
#include "store_test.h"

#define LOGS 6
#define LENGTH_MAX 400
#define BLOCK_BYTES_MAX 12000
#define CHANGES_MAX 12

static struct hf_env env;

struct model_log {
	bool exists;
	uint64_t length;
	uint32_t value[LENGTH_MAX]; /* 0: hole */
};

struct model {
	struct hf_store *store;
	struct model_log logs[LOGS], staged[LOGS];
	uint64_t random;
	uint32_t next_value;
	int fail; /* what stage answers */
	uint8_t shared[CHANGES_MAX][BLOCK_BYTES_MAX]; /* blocks that go to the disk from here */
	unsigned shared_count;
};

static uint64_t draw(struct model *m, uint64_t below)
{
	m->random = m->random * 6364136223846793005u + 1442695040888963407u;
	return (m->random >> 33) % below;
}

/* One of eight is long, around where blocks begin to be written from where they lie. */
static size_t block_of(uint32_t value, uint8_t block[BLOCK_BYTES_MAX])
{
	size_t length = value % 8 == 0 ? 4000 + value % 7999 : 4 + value % 300;

	for (size_t i = 0; i < length; i++)
		block[i] = (uint8_t)(value + i);
	hf_store_le32(block, value);
	return length;
}

static void check_log(struct model *m, uint64_t number)
{
	struct hf_buffer block = {0};
	const struct model_log *log = &m->logs[number];
	uint8_t expected[BLOCK_BYTES_MAX];
	uint64_t length;
	int status = hf_store_log_length(m->store, number, &length);

	assert_int_equal(status, log->exists ? HF_OK : HF_ENOTFOUND);
	if (log->exists)
		assert_int_equal(length, log->length);
	for (uint64_t i = 0; i < LENGTH_MAX; i++) {
		bool here = log->exists && i < log->length && log->value[i] != 0;

		status = hf_store_log_get(m->store, number, i, HF_READ_BLOCKING, &block);
		assert_int_equal(status, here ? HF_OK : HF_ENOTFOUND);
		if (!here)
			continue;
		size_t bytes = block_of(log->value[i], expected);

		assert_int_equal(block.length, bytes);
		assert_memory_equal(block.data, expected, bytes);
	}
	hf_buffer_free(&block);
}

struct range_check {
	const struct model_log *log;
	uint64_t from, to; /* [from, to) is still to be told of */
};

static bool is_present(const struct model_log *log, uint64_t index)
{
	return log->exists && index < log->length && log->value[index] != 0;
}

static int check_run(void *context, uint64_t from, uint64_t to)
{
	struct range_check *check = context;

	assert_true(from >= check->from && from < to && to <= check->to);
	for (uint64_t i = check->from; i < from; i++)
		assert_false(is_present(check->log, i));
	for (uint64_t i = from; i < to; i++)
		assert_true(is_present(check->log, i));
	if (to < check->to)
		assert_false(is_present(check->log, to)); /* as long as it is */
	check->from = to;
	return HF_OK;
}

static int check_block(void *context, uint64_t index, struct hf_slice block)
{
	struct range_check *check = context;
	uint8_t expected[BLOCK_BYTES_MAX];

	for (uint64_t i = check->from; i < index; i++)
		assert_false(is_present(check->log, i));
	assert_true(is_present(check->log, index));
	assert_true(hf_slice_equal(block, hf_slice(expected, block_of(check->log->value[index], expected))));
	check->from = index + 1;
	return HF_OK;
}

/* The two ways to see many blocks at once, of a random part. */
static void check_ranges(struct model *m, uint64_t number)
{
	uint64_t from = draw(m, LENGTH_MAX), to = from + draw(m, LENGTH_MAX - from + 1), at = from;
	struct range_check check = {&m->logs[number], from, to};

	assert_int_equal(hf_store_log_runs(m->store, number, from, to, HF_READ_BLOCKING, check_run, &check), HF_OK);
	for (uint64_t i = check.from; i < to; i++)
		assert_false(is_present(check.log, i));
	check.from = from;
	assert_int_equal(hf_store_log_read(m->store, number, &at, to, HF_READ_BLOCKING, check_block, &check), HF_OK);
	assert_int_equal(at, to);
	for (uint64_t i = check.from; i < to; i++)
		assert_false(is_present(check.log, i));
}

static void put(struct model *m, struct hf_tx *tx, uint64_t number, uint64_t index, bool append)
{
	struct model_log *log = &m->staged[number];
	uint8_t *block = m->shared[m->shared_count++];
	uint64_t got = 0;
	uint32_t value = ++m->next_value;
	struct iovec slice = {block, block_of(value, block)};

	if (append)
		assert_int_equal(hf_tx_log_append(tx, number, &slice, 1, &got), HF_OK);
	else if (draw(m, 2) == 0)
		assert_int_equal(hf_tx_log_put_shared(tx, number, index, hf_slice(block, slice.iov_len)), HF_OK);
	else
		assert_int_equal(hf_tx_log_put(tx, number, index, &slice, 1), HF_OK);
	if (append)
		assert_int_equal(got, index);
	if (!log->exists)
		memset(log, 0, sizeof *log);
	log->exists = true;
	log->value[index] = value;
	if (log->length <= index)
		log->length = index + 1;
}

static void change(struct model *m, struct hf_tx *tx)
{
	uint64_t number = draw(m, LOGS), kind = draw(m, 40);
	struct model_log *log = &m->staged[number];
	uint64_t length = log->exists ? log->length : 0;

	if (kind < 25 && length < LENGTH_MAX) {
		put(m, tx, number, length, true);
	} else if (kind < 32) {
		put(m, tx, number, draw(m, LENGTH_MAX), false);
	} else if (kind < 35) {
		uint64_t to = draw(m, length + 1);

		assert_int_equal(hf_tx_log_truncate(tx, number, to), log->exists ? HF_OK : HF_ENOTFOUND);
		for (uint64_t i = to; i < length; i++)
			log->value[i] = 0;
		log->length = log->exists ? to : 0;
	} else if (kind < 39) {
		uint64_t from = draw(m, length + 1), to = from + draw(m, 50);

		assert_int_equal(hf_tx_log_clear(tx, number, from, to), log->exists ? HF_OK : HF_ENOTFOUND);
		for (uint64_t i = from; i < to && i < length; i++)
			log->value[i] = 0;
	} else {
		assert_int_equal(hf_tx_log_drop(tx, number), log->exists ? HF_OK : HF_ENOTFOUND);
		memset(log, 0, sizeof *log);
	}
}

static int stage(void *context, struct hf_tx *tx)
{
	struct model *m = context;

	memcpy(m->staged, m->logs, sizeof m->logs);
	m->shared_count = 0;
	for (uint64_t n = 1 + draw(m, CHANGES_MAX); n > 0; n--)
		change(m, tx);
	return m->fail;
}

static void open_model(struct model *m, const char *directory)
{
	struct hf_store_options options = test_options(&env, directory);
	struct hf_failure failure;

	options.log_segment_bytes = 64 << 10;
	if (hf_store_open(&m->store, &options, &failure) != HF_OK)
		fail_msg("%s", failure.text);
}

static void test_logs_follow_the_model_over_closes_and_crashes(void **state)
{
	char directory[64];
	struct model *m = calloc(1, sizeof *m);

	(void)state;
	test_directory(directory);
	m->random = 42;
	for (int round = 0; round < 60; round++) {
		open_model(m, directory);
		for (uint64_t i = 0; i < LOGS; i++)
			check_log(m, i);
		for (int i = 0; i < 20; i++) {
			m->fail = draw(m, 10) == 0 ? HF_EDENIED : HF_OK;
			assert_int_equal(hf_store_commit_wait(m->store, HF_DURABLE_OS, stage, m), m->fail);
			if (m->fail == HF_OK)
				memcpy(m->logs, m->staged, sizeof m->logs);
			check_log(m, draw(m, LOGS));
			for (uint64_t n = 0; n < LOGS; n++)
				check_ranges(m, n);
			if (draw(m, 20) == 0)
				assert_int_equal(hf_store_checkpoint(m->store, true), HF_OK);
			if (draw(m, 100) == 0)
				assert_int_equal(hf_store_compact(m->store, NULL), HF_OK);
		}
		assert_int_equal(hf_store_verify(m->store, NULL, NULL), HF_OK);
		if (draw(m, 3) == 0)
			hf_store_abandon(m->store);
		else
			hf_store_close(m->store);
	}
	free(m);
	test_remove(directory);
}

/* ---- Blocks that are not copied ---- */

#define SHARED_COMMITS 40u

struct shared_commit {
	struct hf_commit commit;
	uint64_t number;
	bool fails;
	atomic_uint *done;
	uint8_t block[BLOCK_BYTES_MAX];
	size_t length;
};

/* A document besides, so that memtables are full in the middle of groups, which are written in parts then. */
static int stage_shared(struct hf_commit *commit, struct hf_tx *tx)
{
	struct shared_commit *c = (struct shared_commit *)commit;
	struct test_doc doc;

	test_doc_make(&doc, c->number);
	assert_int_equal(hf_tx_log_put_shared(tx, 1, c->number, hf_slice(c->block, c->length)), HF_OK);
	assert_int_equal(hf_tx_put(tx, 0, &doc.key, &(struct iovec){doc.payload, doc.length}, 1, NULL), HF_OK);
	assert_int_equal(hf_tx_log_put_shared(tx, 2, c->number, hf_slice(c->block, c->length)), HF_OK);
	return c->fails ? HF_EDENIED : HF_OK;
}

static void shared_done(struct hf_commit *commit, int status)
{
	struct shared_commit *c = (struct shared_commit *)commit;

	assert_int_equal(status, c->fails ? HF_EDENIED : HF_OK);
	memset(c->block, 0xee, sizeof c->block); /* from here on they are the caller's again */
	atomic_fetch_add(c->done, 1);
}

static void test_shared_blocks_outlive_groups_that_are_split_and_commits_that_fail(void **state)
{
	struct shared_commit *commits = calloc(SHARED_COMMITS, sizeof *commits);
	struct hf_store_options options;
	struct hf_store_stats stats;
	struct hf_buffer block = {0};
	struct hf_failure failure;
	struct hf_store *store;
	atomic_uint done = 0;
	char directory[64];
	uint8_t expected[BLOCK_BYTES_MAX];

	(void)state;
	test_directory(directory);
	options = test_options(&env, directory);
	options.memtable_docs_max = 8;
	assert_int_equal(hf_store_open(&store, &options, &failure), HF_OK);
	for (unsigned i = 0; i < SHARED_COMMITS; i++) {
		commits[i] = (struct shared_commit){.commit = {.stage = stage_shared, .done = shared_done}, .number = i, .fails = i % 5 == 3, .done = &done};
		commits[i].length = block_of(8 * (i + 1), commits[i].block);
		commits[i].commit.next = i + 1 < SHARED_COMMITS ? &commits[i + 1].commit : NULL;
	}
	hf_store_submit_chain(store, &commits[0].commit, &commits[SHARED_COMMITS - 1].commit);
	while (atomic_load(&done) < SHARED_COMMITS)
		usleep(1000);
	hf_store_stats(store, &stats);
	assert_true(stats.group_count > 2);
	hf_store_abandon(store);
	assert_int_equal(hf_store_open(&store, &options, &failure), HF_OK);
	for (unsigned i = 0; i < SHARED_COMMITS; i++)
		for (uint64_t log = 1; log <= 2; log++) {
			assert_int_equal(hf_store_log_get(store, log, i, HF_READ_BLOCKING, &block), commits[i].fails ? HF_ENOTFOUND : HF_OK);
			if (!commits[i].fails)
				assert_true(hf_slice_equal(hf_buffer_slice(&block), hf_slice(expected, block_of(8 * (i + 1), expected))));
		}
	assert_int_equal(hf_store_verify(store, NULL, NULL), HF_OK);
	hf_store_close(store);
	hf_buffer_free(&block);
	free(commits);
	test_remove(directory);
}

/* ---- Many and far blocks ---- */

#define FAR (((uint64_t)1 << 62) - 1)

struct puts {
	uint64_t log, first, count, step; /* block i goes to first + i * step */
	uint64_t clear_from, clear_to;
	uint64_t truncate; /* UINT64_MAX: no */
};

static int stage_puts(void *context, struct hf_tx *tx)
{
	const struct puts *p = context;
	int status = HF_OK;

	for (uint64_t i = 0; i < p->count && status == HF_OK; i++) {
		uint64_t index = p->first + i * p->step;
		uint8_t block[100];

		memset(block, 7, sizeof block);
		hf_store_le64(block, index);
		status = hf_tx_log_put(tx, p->log, index, &(struct iovec){block, sizeof block}, 1);
	}
	if (status == HF_OK && p->clear_from < p->clear_to)
		status = hf_tx_log_clear(tx, p->log, p->clear_from, p->clear_to);
	if (status == HF_OK && p->truncate != UINT64_MAX)
		status = hf_tx_log_truncate(tx, p->log, p->truncate);
	return status;
}

static void commit_puts(struct hf_store *store, struct puts p)
{
	assert_int_equal(hf_store_commit_wait(store, HF_DURABLE_OS, stage_puts, &p), HF_OK);
}

static void open_plain(struct hf_store **store, const char *directory)
{
	struct hf_store_options options = test_options(&env, directory);
	struct hf_failure failure;

	if (hf_store_open(store, &options, &failure) != HF_OK)
		fail_msg("%s", failure.text);
}

static int sum_run(void *context, uint64_t from, uint64_t to)
{
	uint64_t *sum = context; /* runs, blocks */

	sum[0]++;
	sum[1] += to - from;
	return HF_OK;
}

static int sum_block(void *context, uint64_t index, struct hf_slice block)
{
	uint64_t *sum = context; /* blocks, of them right */

	sum[0]++;
	sum[1] += block.length == 100 && hf_load_le64(block.data) == index;
	return HF_OK;
}

static void expect_runs(struct hf_store *store, uint64_t log, uint64_t from, uint64_t to, uint64_t runs, uint64_t blocks)
{
	uint64_t sum[2] = {0, 0}, read[2] = {0, 0};

	assert_int_equal(hf_store_log_runs(store, log, from, to, HF_READ_BLOCKING, sum_run, sum), HF_OK);
	assert_int_equal(sum[0], runs);
	assert_int_equal(sum[1], blocks);
	assert_int_equal(hf_store_log_read(store, log, &from, to, HF_READ_BLOCKING, sum_block, read), HF_OK);
	assert_int_equal(read[0], blocks);
	assert_int_equal(read[1], blocks);
}

static void test_blocks_lie_anywhere_up_to_the_highest_index(void **state)
{
	struct hf_store *store;
	char directory[64];
	uint64_t length;

	(void)state;
	test_directory(directory);
	for (int round = 0; round < 3; round++) { /* in memory, in a run, in two */
		open_plain(&store, directory);
		if (round != 1) {
			commit_puts(store, (struct puts){1, FAR - 4, 5, 1, 0, 0, UINT64_MAX});
			commit_puts(store, (struct puts){1, 1000, 3, (uint64_t)1 << 40, 0, 0, UINT64_MAX});
			commit_puts(store, (struct puts){1, 0, 0, 0, FAR - 1, FAR + 1, UINT64_MAX}); /* the last two */
		}
		expect_runs(store, 1, 0, FAR + 1, 4, 6);
		expect_runs(store, 1, FAR - 3, FAR, 1, 2);
		assert_int_equal(hf_store_log_length(store, 1, &length), HF_OK);
		assert_int_equal(length, FAR + 1);
		hf_store_close(store);
	}
	open_plain(&store, directory);
	commit_puts(store, (struct puts){1, 0, 0, 0, 0, 0, FAR + 1}); /* to the length it has */
	commit_puts(store, (struct puts){1, FAR, 1, 1, 0, 0, UINT64_MAX});
	expect_runs(store, 1, FAR - 1, FAR + 1, 1, 1);
	commit_puts(store, (struct puts){1, 0, 0, 0, FAR - 5, FAR + 1, UINT64_MAX}); /* a hole over what is in runs */
	hf_store_close(store);
	open_plain(&store, directory);
	expect_runs(store, 1, FAR - 10, FAR + 1, 0, 0);
	assert_int_equal(hf_store_compact(store, NULL), HF_OK);
	expect_runs(store, 1, FAR - 10, FAR + 1, 0, 0);
	commit_puts(store, (struct puts){1, 0, 0, 0, 0, 0, 1001});
	expect_runs(store, 1, 0, FAR + 1, 1, 1);
	hf_store_close(store);
	test_remove(directory);
}

static int put_scattered(void *context, struct hf_tx *tx)
{
	uint64_t *next = context;
	int status = HF_OK;

	for (int i = 0; i < 1000 && status == HF_OK; i++, (*next)++)
		status = hf_tx_log_put(tx, 1, *next * 0x9e3779b1u % 131072, &(struct iovec){"block", 5}, 1);
	return status;
}

static int clear_scattered(void *context, struct hf_tx *tx)
{
	uint64_t *next = context;
	int status = HF_OK;

	for (int i = 0; i < 1000 && status == HF_OK; i++, (*next)++) {
		uint64_t index = *next * 0x9e3779b1u % 65536 * 2; /* every other block */

		status = hf_tx_log_clear(tx, 1, index, index + 1);
	}
	return status;
}

static void test_order_of_puts_and_clears_costs_little(void **state)
{
	struct hf_store *store;
	char directory[64];
	uint64_t next = 0, sum[2] = {0, 0};
	clock_t start = clock();

	(void)state;
	test_directory(directory);
	open_plain(&store, directory);
	while (next < 131072)
		assert_int_equal(hf_store_commit_wait(store, HF_DURABLE_OS, put_scattered, &next), HF_OK);
	assert_int_equal(hf_store_log_runs(store, 1, 0, UINT64_MAX, HF_READ_BLOCKING, sum_run, sum), HF_OK);
	assert_int_equal(sum[0], 1);
	assert_int_equal(sum[1], 131072);
	assert_int_equal(hf_store_checkpoint(store, true), HF_OK);
	for (next = 0; next < 65536;)
		assert_int_equal(hf_store_commit_wait(store, HF_DURABLE_OS, clear_scattered, &next), HF_OK);
	sum[0] = sum[1] = 0;
	assert_int_equal(hf_store_log_runs(store, 1, 0, UINT64_MAX, HF_READ_BLOCKING, sum_run, sum), HF_OK);
	assert_int_equal(sum[0], 65536);
	assert_int_equal(sum[1], 65536);
	/* A quadratic way takes many seconds. */
	assert_true((clock() - start) / CLOCKS_PER_SEC < 4);
	hf_store_close(store);
	test_remove(directory);
}

/* Nothing of it is resident before it was read waiting. */
static int never_resident(struct hf_file *file, void *data, size_t length, uint64_t offset, size_t *done)
{
	(void)file;
	(void)data;
	(void)length;
	(void)offset;
	*done = 0;
	return HF_EWAIT;
}

static void test_runs_wait_for_the_disk_only_when_they_are_told_to(void **state)
{
	struct hf_fs *system = hf_fs_system(), cold = *system;
	struct hf_store *store;
	char directory[64];
	uint64_t next = 0, sum[2] = {0, 0};

	(void)state;
	cold.pread_resident = never_resident;
	test_directory(directory);
	env.fs = &cold;
	open_plain(&store, directory);
	while (next < 60000)
		assert_int_equal(hf_store_commit_wait(store, HF_DURABLE_OS, put_scattered, &next), HF_OK);
	assert_int_equal(hf_store_checkpoint(store, true), HF_OK);
	assert_int_equal(hf_store_log_runs(store, 1, 0, UINT64_MAX, HF_READ_RESIDENT, sum_run, sum), HF_EWAIT);
	sum[0] = sum[1] = 0;
	assert_int_equal(hf_store_log_runs(store, 1, 0, UINT64_MAX, HF_READ_BLOCKING, sum_run, sum), HF_OK);
	assert_int_equal(sum[1], 60000);
	sum[0] = sum[1] = 0;
	assert_int_equal(hf_store_log_runs(store, 1, 0, UINT64_MAX, HF_READ_RESIDENT, sum_run, sum), HF_OK);
	assert_int_equal(sum[1], 60000);
	hf_store_close(store);
	env.fs = system;
	test_remove(directory);
}

static void test_many_logs_cost_memory_only_until_they_are_written_out(void **state)
{
	enum { LOG_COUNT = 20000 };
	struct hf_store *store;
	char directory[64];
	uint64_t length;

	(void)state;
	test_directory(directory);
	open_plain(&store, directory);
	for (uint64_t log = 0; log < LOG_COUNT; log++)
		commit_puts(store, (struct puts){log, 0, 2, 1, 0, 0, UINT64_MAX});
	assert_in_range(hf_blocks_memory_bytes(store->blocks), 1, LOG_COUNT * 300);
	assert_int_equal(hf_store_checkpoint(store, true), HF_OK);
	assert_int_equal(hf_blocks_memory_bytes(store->blocks), 0);
	for (uint64_t log = 0; log < LOG_COUNT; log += 997) {
		assert_int_equal(hf_store_log_length(store, log, &length), HF_OK);
		assert_int_equal(length, 2);
	}
	hf_store_close(store);
	test_remove(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_logs_follow_the_model_over_closes_and_crashes),
		cmocka_unit_test(test_shared_blocks_outlive_groups_that_are_split_and_commits_that_fail),
		cmocka_unit_test(test_blocks_lie_anywhere_up_to_the_highest_index),
		cmocka_unit_test(test_order_of_puts_and_clears_costs_little),
		cmocka_unit_test(test_runs_wait_for_the_disk_only_when_they_are_told_to),
		cmocka_unit_test(test_many_logs_cost_memory_only_until_they_are_written_out),
	};

	hf_env_system(&env);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
