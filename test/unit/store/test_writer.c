/* The writer under several threads: groups, order, staged state, and readers beside it. */
#include "store_test.h"

#include "store/state.h"
#include "support/quiet.h"

#include <pthread.h>

#define WRITERS 3
#define READERS 2
#define COMMITS 400

static struct hf_env env;

static struct hf_store *open_store(const char *directory, uint32_t memtable_docs)
{
	struct hf_store_options options = test_options(&env, directory);
	struct hf_failure failure;
	struct hf_store *store;

	options.memtable_docs_max = memtable_docs;
	options.log_segment_bytes = 128 << 10;
	options.sync_interval_ms = 2;
	if (hf_store_open(&store, &options, &failure) != HF_OK)
		fail_msg("%s", failure.text);
	return store;
}

/* ---- What a group shows its own commits ---- */

struct chained {
	struct hf_commit commit;
	int (*stage)(struct hf_tx *tx);
	int status;
	bool over;
	pthread_mutex_t *lock;
	pthread_cond_t *wake;
	unsigned *left;
};

static int chained_stage(struct hf_commit *commit, struct hf_tx *tx)
{
	return ((struct chained *)commit)->stage(tx);
}

static void chained_done(struct hf_commit *commit, int status)
{
	struct chained *chained = (struct chained *)commit;

	pthread_mutex_lock(chained->lock);
	chained->status = status;
	if (--*chained->left == 0)
		pthread_cond_signal(chained->wake);
	pthread_mutex_unlock(chained->lock);
}

/* Submits the stages as one chain, so that the writer takes them at once, and gives their outcomes. */
static void run_chain(struct hf_store *store, int (*const *stages)(struct hf_tx *tx), unsigned count,
	void (*done)(struct hf_commit *commit, int status), int *outcomes)
{
	struct chained chain[16];
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
	unsigned left = count;

	for (unsigned i = 0; i < count; i++)
		chain[i] = (struct chained){
			.commit = {.next = i + 1 < count ? &chain[i + 1].commit : NULL, .stage = chained_stage, .done = done,
				.durability = i % 2 == 0 ? HF_DURABLE_DISK : HF_DURABLE_OS},
			.stage = stages[i], .lock = &lock, .wake = &wake, .left = &left,
		};
	hf_store_submit_chain(store, &chain[0].commit, &chain[count - 1].commit);
	pthread_mutex_lock(&lock);
	while (left > 0)
		pthread_cond_wait(&wake, &lock);
	pthread_mutex_unlock(&lock);
	for (unsigned i = 0; i < count; i++)
		outcomes[i] = chain[i].status;
}

static int put_one(struct hf_tx *tx)
{
	assert_int_equal(test_get(hf_tx_snapshot(tx), 0, 1), HF_ENOTFOUND);
	return test_stage(&(struct test_change){0, 1, 1, false}, tx);
}
static int put_again(struct hf_tx *tx)
{
	assert_int_equal(test_get(hf_tx_snapshot(tx), 0, 1), HF_OK);
	assert_int_equal(test_query(hf_tx_snapshot(tx), 0, 10001), 1);
	return test_stage(&(struct test_change){0, 1, 1, false}, tx);
}
static int fail_after_put(struct hf_tx *tx)
{
	assert_int_equal(test_stage(&(struct test_change){0, 2, 1, false}, tx), HF_OK);
	assert_int_equal(hf_tx_table_put(tx, 1, HF_SLICE_LITERAL("a"), HF_SLICE_LITERAL("wrong")), HF_OK);
	return HF_EDENIED;
}
static int put_row(struct hf_tx *tx)
{
	assert_int_equal(test_get(hf_tx_snapshot(tx), 0, 2), HF_ENOTFOUND);
	return hf_tx_table_put(tx, 1, HF_SLICE_LITERAL("a"), HF_SLICE_LITERAL("right"));
}
static int remove_one(struct hf_tx *tx)
{
	struct hf_buffer value = {0};

	assert_int_equal(hf_tx_table_get(tx, 1, HF_SLICE_LITERAL("a"), &value), HF_OK);
	assert_true(hf_slice_equal(hf_buffer_slice(&value), HF_SLICE_LITERAL("right")));
	hf_buffer_free(&value);
	return test_stage(&(struct test_change){0, 1, 1, true}, tx);
}
static int remove_again(struct hf_tx *tx)
{
	assert_int_equal(test_get(hf_tx_snapshot(tx), 0, 1), HF_ENOTFOUND);
	assert_int_equal(test_query(hf_tx_snapshot(tx), 0, 10001), 0);
	return test_stage(&(struct test_change){0, 1, 1, true}, tx);
}
static int put_back(struct hf_tx *tx)
{
	return test_stage(&(struct test_change){0, 1, 1, false}, tx);
}
static int nothing(struct hf_tx *tx)
{
	(void)tx;
	return HF_OK;
}

static void test_commits_of_a_group_see_those_before_them(void **state)
{
	int (*const stages[])(struct hf_tx *) = {put_one, put_again, fail_after_put, put_row, remove_one, remove_again, put_back, put_again, nothing};
	const int expected[] = {HF_OK, HF_EEXISTS, HF_EDENIED, HF_OK, HF_OK, HF_ENOTFOUND, HF_OK, HF_EEXISTS, HF_OK};
	int outcomes[9];
	char directory[64];
	struct hf_store *store;

	(void)state;
	test_directory(directory);
	store = open_store(directory, 64);
	run_chain(store, stages, 9, chained_done, outcomes);
	for (int i = 0; i < 9; i++)
		assert_int_equal(outcomes[i], expected[i]);
	for (int round = 0; round < 2; round++) {
		struct hf_snapshot *snapshot = hf_store_snapshot(store);

		assert_int_equal(test_get(snapshot, 0, 1), HF_OK);
		assert_int_equal(test_get(snapshot, 0, 2), HF_ENOTFOUND);
		assert_int_equal(test_query(snapshot, 0, 0), 1);
		hf_snapshot_release(snapshot);
		hf_store_abandon(store);
		store = open_store(directory, 64);
	}
	assert_int_equal(hf_store_verify(store, NULL, NULL), HF_OK);
	hf_store_close(store);
	test_remove(directory);
}

/* ---- Beside each other ---- */

struct crowd {
	struct hf_store *store;
	_Atomic uint64_t acknowledged[WRITERS]; /* commits of each writer that are done */
	_Atomic bool over;
};

struct member {
	struct crowd *crowd;
	unsigned number;
	pthread_t thread;
};

static uint64_t first_doc(unsigned writer, uint64_t commit)
{
	return writer * 1000000ull + commit * 2;
}

/* Puts two documents, and takes back one of an earlier commit. */
static int crowd_stage(void *context, struct hf_tx *tx)
{
	const uint64_t *what = context;
	int status = test_stage(&(struct test_change){0, first_doc((unsigned)what[0], what[1]), 2, false}, tx);

	if (status == HF_OK && what[1] >= 10)
		status = test_stage(&(struct test_change){0, first_doc((unsigned)what[0], what[1] - 10), 1, true}, tx);
	return status;
}

static void *crowd_writer(void *argument)
{
	struct member *member = argument;

	for (uint64_t commit = 0; commit < COMMITS; commit++) {
		uint64_t what[2] = {member->number, commit};

		if (hf_store_commit_wait(member->crowd->store, commit % 3 == 0 ? HF_DURABLE_DISK : HF_DURABLE_OS, crowd_stage, what) != HF_OK)
			abort();
		atomic_store(&member->crowd->acknowledged[member->number], commit + 1);
	}
	return NULL;
}

/* Whatever was acknowledged before the snapshot is in it. */
static void *crowd_reader(void *argument)
{
	struct member *member = argument;
	struct crowd *crowd = member->crowd;

	while (!atomic_load(&crowd->over)) {
		uint64_t known[WRITERS];

		for (unsigned w = 0; w < WRITERS; w++)
			known[w] = atomic_load(&crowd->acknowledged[w]);
		struct hf_snapshot *snapshot = hf_store_snapshot(crowd->store);

		for (unsigned w = 0; w < WRITERS; w++) {
			uint64_t last = known[w];

			if (last > 0 && test_get(snapshot, 0, first_doc(w, last - 1) + 1) != HF_OK)
				abort();
			if (last > 10 && test_get(snapshot, 0, first_doc(w, last - 11)) != HF_ENOTFOUND)
				abort();
		}
		if (test_query(snapshot, 0, 0) < known[0])
			abort();
		hf_snapshot_release(snapshot);
	}
	return NULL;
}

static void test_readers_see_what_was_acknowledged_before(void **state)
{
	char directory[64];
	struct crowd crowd = {0};
	struct member writers[WRITERS], readers[READERS];
	struct hf_failure failure;

	(void)state;
	test_directory(directory);
	crowd.store = open_store(directory, 128);
	for (unsigned i = 0; i < READERS; i++) {
		readers[i] = (struct member){&crowd, i, 0};
		assert_int_equal(pthread_create(&readers[i].thread, NULL, crowd_reader, &readers[i]), 0);
	}
	for (unsigned i = 0; i < WRITERS; i++) {
		writers[i] = (struct member){&crowd, i, 0};
		assert_int_equal(pthread_create(&writers[i].thread, NULL, crowd_writer, &writers[i]), 0);
	}
	assert_int_equal(hf_store_compact(crowd.store, &failure), HF_OK);
	assert_int_equal(hf_store_rebuild_index(crowd.store, 0, NULL, NULL), HF_OK); /* beside them */
	for (unsigned i = 0; i < WRITERS; i++)
		pthread_join(writers[i].thread, NULL);
	assert_int_equal(hf_store_compact(crowd.store, &failure), HF_OK);
	atomic_store(&crowd.over, true);
	for (unsigned i = 0; i < READERS; i++)
		pthread_join(readers[i].thread, NULL);
	assert_int_equal(hf_store_verify(crowd.store, NULL, NULL), HF_OK);
	hf_store_close(crowd.store);
	crowd.store = open_store(directory, 128);
	struct hf_snapshot *snapshot = hf_store_snapshot(crowd.store);

	assert_int_equal(test_query(snapshot, 0, 0), WRITERS * (COMMITS * 2 - (COMMITS - 10)));
	hf_snapshot_release(snapshot);
	hf_store_close(crowd.store);
	test_remove(directory);
}

/* ---- Snapshots from before a deletion ---- */

static int replace_stage(void *context, struct hf_tx *tx)
{
	const uint64_t *numbers = context; /* goes, comes */
	int status = test_stage(&(struct test_change){0, numbers[0], 1, true}, tx);

	return status == HF_OK ? test_stage(&(struct test_change){0, numbers[1], 1, false}, tx) : status;
}

static void replace(struct hf_store *store, uint64_t old, uint64_t new)
{
	assert_int_equal(hf_store_commit_wait(store, HF_DURABLE_DISK, replace_stage, (uint64_t[]){old, new}), HF_OK);
}

static int count_doc(void *context, const struct hf_doc *doc)
{
	(void)doc;
	++*(uint64_t *)context;
	return HF_OK;
}

/* The snapshot sees one of the two and not the other, in every way to look, and `total` documents. */
static void sees(struct hf_snapshot *snapshot, uint64_t here, uint64_t not_here, uint64_t total)
{
	uint64_t scanned = 0;

	assert_int_equal(test_get(snapshot, 0, here), HF_OK);
	assert_int_equal(test_get(snapshot, 0, not_here), HF_ENOTFOUND);
	assert_int_equal(test_query(snapshot, 0, 10000 + here), 1);
	assert_int_equal(test_query(snapshot, 0, 10000 + not_here), 0);
	assert_int_equal(test_query(snapshot, 0, 0), total);
	assert_int_equal(hf_snapshot_scan(snapshot, 0, 0, count_doc, &scanned), HF_OK);
	assert_int_equal(scanned, total);
}

static void test_a_snapshot_sees_what_was_replaced_after_it(void **state)
{
	struct hf_snapshot *early, *late, *untouched;
	struct hf_failure failure;
	struct hf_store *store;
	char directory[64];

	(void)state;
	test_directory(directory);
	store = open_store(directory, 64);
	assert_int_equal(test_put(store, 0, 0, 50), HF_OK);
	early = hf_store_snapshot(store);
	untouched = hf_store_snapshot(store); /* takes its views as late as it can */
	replace(store, 7, 1000);
	late = hf_store_snapshot(store);
	sees(early, 7, 1000, 50);
	sees(late, 1000, 7, 50);
	/* Over seals, merges and collection. */
	for (uint64_t i = 0; i < 300; i += 30)
		assert_int_equal(test_put(store, 0, 2000 + i, 30), HF_OK);
	assert_int_equal(hf_store_compact(store, &failure), HF_OK);
	sees(early, 7, 1000, 50);
	sees(late, 1000, 7, 50);
	sees(untouched, 7, 1000, 50);
	hf_snapshot_release(early);
	hf_snapshot_release(untouched);
	/* Nobody is in the way any more. */
	assert_int_equal(test_put(store, 0, 3000, 1), HF_OK);
	hf_snapshot_release(late);
	assert_int_equal(test_put(store, 0, 3001, 1), HF_OK);
	assert_int_equal(store->kills.count, 0);
	assert_int_equal(hf_store_verify(store, NULL, NULL), HF_OK);
	hf_store_close(store);
	test_remove(directory);
}

/* A new store with documents 0 to 19, and a snapshot of them. */
static struct hf_snapshot *open_under_snapshot(struct hf_store **store, char directory[static 64])
{
	test_directory(directory);
	*store = open_store(directory, 64);
	assert_int_equal(test_put(*store, 0, 0, 20), HF_OK);
	return hf_store_snapshot(*store);
}

static void test_a_deletion_under_a_snapshot_outlives_a_crash(void **state)
{
	struct hf_snapshot *early, *late;
	struct hf_store *store;
	char directory[64];

	(void)state;
	early = open_under_snapshot(&store, directory);
	replace(store, 3, 1000);
	assert_int_equal(store->kills.count, 1);
	for (uint64_t i = 0; i < 300; i += 30)
		assert_int_equal(test_put(store, 0, 2000 + i, 30), HF_OK);
	assert_int_equal(hf_store_checkpoint(store, true), HF_OK);
	sees(early, 3, 1000, 20);
	hf_snapshot_release(early);
	hf_store_abandon(store);
	store = open_store(directory, 64);
	late = hf_store_snapshot(store);
	sees(late, 1000, 3, 320);
	hf_snapshot_release(late);
	hf_store_close(store);
	test_remove(directory);
}

static void test_what_was_deleted_under_a_snapshot_can_be_put_again(void **state)
{
	struct hf_snapshot *early, *late;
	struct hf_store *store;
	char directory[64];

	(void)state;
	early = open_under_snapshot(&store, directory);
	for (int round = 0; round < 3; round++) {
		replace(store, 3, 1000);
		assert_int_equal(test_delete(store, 0, 3, 1), HF_ENOTFOUND);
		replace(store, 1000, 3);
	}
	late = hf_store_snapshot(store);
	sees(late, 3, 1000, 20);
	hf_snapshot_release(late);
	hf_snapshot_release(early);
	hf_store_close(store);
	test_remove(directory);
}

/* ---- On the caller's thread ---- */

#define CALLERS 3
#define CALLS 500
#define SYNC_WAIT_MS_MAX 2000

struct call {
	struct hf_commit commit;
	uint64_t caller, number;
	pthread_t done_on;
	_Atomic bool over;
	int status;
};

static int call_stage(struct hf_commit *commit, struct hf_tx *tx)
{
	const struct call *call = (struct call *)commit;
	uint8_t block[16];

	hf_store_le64(block, call->caller);
	hf_store_le64(block + 8, call->number);
	return hf_tx_log_append(tx, 1, &(struct iovec){block, sizeof block}, 1, NULL);
}

static void call_done(struct hf_commit *commit, int status)
{
	struct call *call = (struct call *)commit;

	call->status = status;
	call->done_on = pthread_self();
	atomic_store(&call->over, true);
}

struct caller {
	struct hf_store *store;
	uint64_t number, own; /* own: commits that ran on this thread */
	pthread_t thread;
	struct call calls[CALLS];
};

static int stage_nothing(struct hf_commit *commit, struct hf_tx *tx)
{
	(void)commit;
	(void)tx;
	return HF_OK;
}

static void *caller_main(void *argument)
{
	struct caller *caller = argument;

	for (uint64_t i = 0; i < CALLS; i++) {
		struct call *call = &caller->calls[i];

		*call = (struct call){.commit = {.stage = call_stage, .done = call_done,
			.durability = i % 50 == 0 ? HF_DURABLE_DISK : HF_DURABLE_OS}, .caller = caller->number, .number = i};
		if (i % 7 == 3) { /* without waiting: the next one must not pass it */
			hf_store_submit(caller->store, &call->commit);
		} else if (hf_store_commit_now(caller->store, &call->commit)) {
			if (!atomic_load(&call->over) || !pthread_equal(call->done_on, pthread_self()))
				abort();
			caller->own++;
		}
	}
	for (uint64_t i = 0; i < CALLS; i++)
		while (!atomic_load(&caller->calls[i].over))
			usleep(100);
	return NULL;
}

static int check_order(void *context, uint64_t index, struct hf_slice block)
{
	uint64_t *next = context, caller = hf_load_le64(block.data);

	(void)index;
	assert_in_range(caller, 0, CALLERS - 1);
	assert_int_equal(hf_load_le64(block.data + 8), next[caller]);
	next[caller]++;
	return HF_OK;
}

static void test_commits_on_the_callers_thread_keep_the_order(void **state)
{
	struct caller *callers = calloc(CALLERS, sizeof *callers);
	uint64_t next[CALLERS] = {0}, from = 0, own = 0;
	struct hf_store *store;
	char directory[64];

	(void)state;
	test_directory(directory);
	store = open_store(directory, 128);
	for (unsigned i = 0; i < CALLERS; i++) {
		callers[i].store = store;
		callers[i].number = i;
		assert_int_equal(pthread_create(&callers[i].thread, NULL, caller_main, &callers[i]), 0);
	}
	for (unsigned i = 0; i < CALLERS; i++) {
		pthread_join(callers[i].thread, NULL);
		own += callers[i].own;
		for (unsigned n = 0; n < CALLS; n++)
			assert_int_equal(callers[i].calls[n].status, HF_OK);
	}
	/* Under load none may have met an idle writer; now that nobody else commits, one does before long. */
	for (unsigned n = 0; own == 0; n++) {
		struct call call = {.commit = {.stage = stage_nothing, .done = call_done}};

		assert_true(n < 1000);
		own += hf_store_commit_now(store, &call.commit);
		while (!atomic_load(&call.over))
			usleep(1000);
	}
	assert_int_equal(hf_store_log_read(store, 1, &from, UINT64_MAX, HF_READ_BLOCKING, check_order, next), HF_OK);
	for (unsigned i = 0; i < CALLERS; i++)
		assert_int_equal(next[i], CALLS);
	hf_store_close(store);
	free(callers);
	test_remove(directory);
}

static int append_one(void *context, struct hf_tx *tx)
{
	return hf_tx_log_append(tx, 1, &(struct iovec){context, 5}, 1, NULL);
}

static void test_commits_on_the_callers_thread_are_synced_in_time(void **state)
{
	struct hf_store *store;
	char directory[64];

	(void)state;
	test_directory(directory);
	store = open_store(directory, 128);
	for (int round = 0; round < 30; round++) {
		int waited = 0;

		for (int i = 0; i <= round; i++)
			assert_int_equal(hf_store_commit_wait(store, HF_DURABLE_OS, append_one, "block"), HF_OK);
		for (; hf_log_synced(store->log) < hf_log_end(store->log) && waited < SYNC_WAIT_MS_MAX; waited++)
			usleep(1000);
		assert_in_range(waited, 0, SYNC_WAIT_MS_MAX - 1);
	}
	hf_store_close(store);
	test_remove(directory);
}

static int give_code(void *context, struct hf_tx *tx)
{
	int r = append_one((void *)(uintptr_t)"block", tx);

	return r == HF_OK ? *(const int *)context : r;
}

/* Also those that the writer itself has a use for. */
static void test_a_commit_that_refuses_itself_ends_with_its_own_code(void **state)
{
	static const int codes[] = {HF_EBUSY, HF_EWAIT, HF_ENOSPC, HF_ECANCELED, HF_ETOOBIG};
	struct hf_store *store;
	char directory[64];

	(void)state;
	test_directory(directory);
	store = open_store(directory, 128);
	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
		assert_int_equal(hf_store_commit_wait(store, HF_DURABLE_OS, give_code, (void *)&codes[i]), codes[i]);
		assert_int_equal(hf_store_commit_wait(store, HF_DURABLE_OS, append_one, "block"), HF_OK);
	}
	hf_store_close(store);
	test_remove(directory);
}

/* ---- A commit that is refused after it was staged ---- */

#define REFUSED_BYTES (1u << 20)

static _Atomic int refused_status; /* of the one that is too large, once it is done */

static int put_small(struct hf_tx *tx)
{
	return append_one((void *)(uintptr_t)"block", tx);
}

static int put_large(struct hf_tx *tx)
{
	static const uint8_t bytes[REFUSED_BYTES];

	return hf_tx_log_append(tx, 1, &(struct iovec){(void *)(uintptr_t)bytes, sizeof bytes}, 1, NULL);
}

/* Builds on the one before it, and asks what became of that. */
static int put_after_large(struct hf_tx *tx)
{
	return atomic_load(&refused_status) == HF_OK ? put_small(tx) : HF_ECANCELED;
}

static void refused_done(struct hf_commit *commit, int status)
{
	struct chained *chained = (struct chained *)commit;

	if (chained->stage == put_large)
		atomic_store(&refused_status, status);
	chained_done(commit, status);
}

static void test_a_commit_that_the_quota_refuses_is_done_before_the_next_is_staged(void **state)
{
	int (*const stages[])(struct hf_tx *) = {put_small, put_large, put_after_large, put_small};
	const int expected[] = {HF_OK, HF_ENOSPC, HF_ECANCELED, HF_OK};
	uint64_t length;
	int outcomes[4];
	struct hf_store *store;
	char directory[64];

	(void)state;
	test_directory(directory);
	store = open_store(directory, 64);
	store->quota_bytes = atomic_load(&store->disk_bytes) + REFUSED_BYTES / 2;
	run_chain(store, stages, 4, refused_done, outcomes);
	for (int i = 0; i < 4; i++)
		assert_int_equal(outcomes[i], expected[i]);
	assert_int_equal(hf_store_log_length(store, 1, &length), HF_OK);
	assert_int_equal(length, 2);
	hf_store_close(store);
	test_remove(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_commits_of_a_group_see_those_before_them),
		cmocka_unit_test(test_readers_see_what_was_acknowledged_before),
		cmocka_unit_test(test_a_snapshot_sees_what_was_replaced_after_it),
		cmocka_unit_test(test_a_deletion_under_a_snapshot_outlives_a_crash),
		cmocka_unit_test(test_what_was_deleted_under_a_snapshot_can_be_put_again),
		cmocka_unit_test(test_commits_on_the_callers_thread_keep_the_order),
		cmocka_unit_test(test_commits_on_the_callers_thread_are_synced_in_time),
		cmocka_unit_test(test_a_commit_that_refuses_itself_ends_with_its_own_code),
		cmocka_unit_test(test_a_commit_that_the_quota_refuses_is_done_before_the_next_is_staged),
	};

	hf_env_system(&env);
	quiet_log();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
