/* What goes wrong underneath a core: memory runs out in the middle of a change, the disk is cold, callbacks poll again, commits come in
 * another order than cores were made. The core must then be as it was, or as it should have become. */
#include "core_fixture.h"

#include <semaphore.h>

#include "crypto/sign.h"
#include "data/hypercore/signature.h"
#include "support/fail_alloc.h"

#define WORDS 40

static const char letters[] = "abcdefghijklmnopqrstuvwxyz";

/* Every third block is too large to take its nodes with it. */
static struct hf_slice block_of(uint64_t index, uint64_t fork)
{
	static char bytes[5000];
	size_t length = index % 3 == 2 ? sizeof bytes : 20;

	memset(bytes, letters[(index + 7 * fork) % 26], length);
	return hf_slice(bytes, length);
}

static int append(struct hf_core *core, unsigned count)
{
	int status = HF_OK;

	for (unsigned i = 0; i < count && status == HF_OK; i++) {
		struct hf_slice block = block_of(hf_core_length(core), hf_core_fork(core));

		status = hf_core_append(core, &block, 1, NULL);
	}
	return status;
}

/* Signature, blocks and nodes belong together. */
static void check_core(struct hf_core *core)
{
	struct hf_tree_node leaf, given;
	struct hf_buffer block = {0};

	if (hf_core_length(core) > 0)
		assert_int_equal(hf_signature_verify(hf_core_manifest(core), hf_core_key(core), hf_core_committed_tree(core), hf_core_signature(core)), HF_OK);
	assert_true(hf_bitfield_next_set(hf_core_blocks(core), hf_core_length(core), UINT64_MAX) == UINT64_MAX);
	for (uint64_t i = 0; i < hf_core_length(core); i++) {
		if (!hf_bitfield_get(hf_core_blocks(core), i))
			continue;
		hf_buffer_clear(&block);
		assert_int_equal(hf_core_get_stored(core, i, &block), HF_OK);
		hf_tree_leaf(&leaf, i, hf_buffer_slice(&block));
		assert_int_equal(hf_core_node(core, 2 * i, &given), HF_OK);
		assert_memory_equal(leaf.hash, given.hash, sizeof leaf.hash);
	}
	for (uint64_t i = 1; i < 2 * hf_core_length(core); i += 2) {
		struct hf_tree_node left, right, parent;

		if (hf_core_node(core, i, &given) != HF_OK || hf_core_node(core, hf_flat_left_child(i), &left) != HF_OK ||
			hf_core_node(core, hf_flat_right_child(i), &right) != HF_OK)
			continue;
		assert_int_equal(hf_tree_parent(&parent, &left, &right), HF_OK);
		assert_memory_equal(parent.hash, given.hash, sizeof given.hash);
	}
	hf_buffer_free(&block);
}

struct setting {
	struct core_node node, other;
	struct hf_core *core, *writer;
	struct hf_core_snapshot *snapshot;
	struct hf_buffer bytes;
	struct hf_proof proof;
	struct hf_reorg reorg;
};

/* Outlives a test that fails: its threads go on. */
static struct setting setting;

static void start(void)
{
	setting = (struct setting){.core = NULL};
	core_node_make(&setting.node, 1);
	core_node_make(&setting.other, 2);
	setting.writer = core_by_name(&setting.other, "log");
	setting.core = core_by_name(&setting.node, "log");
	assert_int_equal(append(setting.core, WORDS), HF_OK);
	core_commit(setting.core);
}

static void tear_down(void)
{
	hf_core_snapshot_free(setting.snapshot);
	hf_core_unref(setting.core);
	hf_core_unref(setting.writer);
	core_node_remove(&setting.node);
	core_node_remove(&setting.other);
	hf_buffer_free(&setting.bytes);
	hf_reorg_free(&setting.reorg);
}

static void reopen(void)
{
	uint8_t key[32];

	memcpy(key, hf_core_key(setting.core), 32);
	hf_core_snapshot_free(setting.snapshot);
	setting.snapshot = NULL;
	hf_core_unref(setting.core);
	core_node_close(&setting.node);
	core_node_open(&setting.node);
	setting.core = core_by_key(&setting.node, key);
}

/* ---- Operations that run out of memory ---- */

static int do_append(void)
{
	struct hf_slice blocks[9];
	static char bytes[9][6000];

	for (int i = 0; i < 9; i++) {
		memset(bytes[i], 'x', sizeof bytes[i]);
		blocks[i] = hf_slice(bytes[i], i % 2 == 0 ? sizeof bytes[i] : 10);
	}
	return hf_core_append(setting.core, blocks, 9, NULL);
}

static int do_truncate(void)
{
	return hf_core_truncate(setting.core, 13, HF_CORE_NEXT_FORK);
}

static int do_clear(void)
{
	return hf_core_clear(setting.core, 5, 31);
}

static int do_put_proof(void)
{
	bool grew;

	return hf_core_put_proof(setting.core, &setting.proof, &grew, NULL);
}

static int do_adopt(void)
{
	return hf_core_adopt(setting.core, &setting.reorg, setting.proof.upgrade.signature);
}

static int do_snapshot(void)
{
	struct hf_core_snapshot *snapshot;
	int status = hf_core_checkout(setting.core, 9, &snapshot);

	if (status == HF_OK)
		hf_core_snapshot_free(snapshot);
	return status;
}

static void nothing(void)
{
	/* as it is */
}

static void take_snapshot(void)
{
	assert_int_equal(hf_core_snapshot(setting.core, &setting.snapshot), HF_OK);
}

/* The core becomes a reader's, and the proof one that it can take. */
static void prepare_proof(void)
{
	struct hf_proof_request request = {.has_block = true, .block.index = 17, .has_upgrade = true, .upgrade = {0, WORDS}, .wants_manifest = true};

	hf_core_unref(setting.core);
	assert_int_equal(append(setting.writer, WORDS), HF_OK);
	core_commit(setting.writer);
	setting.core = core_by_key(&setting.node, hf_core_key(setting.writer));
	core_commit(setting.core);
	assert_int_equal(hf_core_prove(setting.writer, 0, &request, &setting.bytes, &setting.proof), HF_OK);
}

/* The reader has some of the old fork, and the search of the new one is over. */
static void prepare_reorg(void)
{
	struct hf_proof_request request = {.has_upgrade = true};
	struct hf_proof_check check = {.node_count = 0};
	struct hf_tree_reader nodes;
	struct hf_buffer bytes = {0};
	bool grew;

	prepare_proof();
	assert_int_equal(do_put_proof(), HF_OK);
	for (uint64_t i = 0; i < WORDS; i++) {
		struct hf_proof_request block = {.has_block = true, .block.index = i};

		assert_int_equal(hf_core_missing_nodes(setting.core, i, &block.block.nodes), HF_OK);
		hf_buffer_clear(&bytes);
		assert_int_equal(hf_core_prove(setting.writer, 0, &block, &bytes, &setting.proof), HF_OK);
		assert_int_equal(hf_core_put_proof(setting.core, &setting.proof, &grew, NULL), HF_OK);
	}
	core_commit(setting.core);
	assert_int_equal(hf_core_truncate(setting.writer, 21, HF_CORE_NEXT_FORK), HF_OK);
	assert_int_equal(append(setting.writer, 30), HF_OK);
	core_commit(setting.writer);
	request.upgrade.length = hf_core_length(setting.writer);
	hf_buffer_clear(&setting.bytes);
	assert_int_equal(hf_core_prove(setting.writer, 1, &request, &setting.bytes, &setting.proof), HF_OK);
	assert_int_equal(hf_core_check_fork(setting.core, &setting.proof, &check, NULL), HF_OK);
	assert_int_equal(hf_reorg_start(&setting.reorg, &check, hf_core_length(setting.core)), HF_OK);
	nodes = hf_core_nodes(setting.core);
	while (assert_int_equal(hf_reorg_step(&setting.reorg, &nodes), HF_OK), !setting.reorg.finished) {
		struct hf_proof_request hash;
		struct hf_proof proof;

		hf_reorg_request(&setting.reorg, setting.reorg.want_start, &hash);
		hf_buffer_clear(&bytes);
		assert_int_equal(hf_core_prove(setting.writer, 1, &hash, &bytes, &proof), HF_OK);
		assert_int_equal(hf_reorg_feed(&setting.reorg, &proof), HF_OK);
	}
	assert_int_equal(setting.reorg.ancestors, 21);
	hf_proof_check_free(&check);
	hf_buffer_free(&bytes);
}

static const struct {
	const char *name;
	void (*prepare)(void);
	int (*run)(void);
} operations[] = {
	{"append", nothing, do_append},
	{"truncate", nothing, do_truncate},
	{"truncate under a snapshot", take_snapshot, do_truncate},
	{"clear", nothing, do_clear},
	{"put_proof", prepare_proof, do_put_proof},
	{"adopt", prepare_reorg, do_adopt},
	{"snapshot", nothing, do_snapshot},
};

static void test_a_change_that_runs_out_of_memory_leaves_the_core_as_it_was(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
		struct hf_tree before;
		uint64_t held, n;

		start();
		operations[i].prepare();
		hf_tree_copy(&before, hf_core_tree(setting.core));
		held = hf_bitfield_count(hf_core_blocks(setting.core));
		for (n = 1;; n++) {
			fail_alloc_arm(n, false);
			int status = operations[i].run();

			bool failed = fail_alloc_disarm();

			/* Some can be done without, such as those of a cache. */
			assert_true(status == HF_OK || (failed && status == HF_ENOMEM));
			if (status == HF_OK)
				break;
			assert_int_equal(hf_core_length(setting.core), before.length);
			assert_int_equal(hf_core_fork(setting.core), before.fork);
			assert_int_equal(hf_bitfield_count(hf_core_blocks(setting.core)), held);
			/* What it left behind in the batch must do no harm, here or on the disk. */
			if (n % 3 == 0) {
				core_commit(setting.core);
				check_core(setting.core);
			}
		}
		print_message("%s: %llu allocations\n", operations[i].name, (unsigned long long)n - 1);
		core_commit(setting.core);
		check_core(setting.core);
		held = hf_bitfield_count(hf_core_blocks(setting.core));
		reopen();
		check_core(setting.core);
		assert_int_equal(hf_bitfield_count(hf_core_blocks(setting.core)), held);
		tear_down();
	}
}

/* After it failed, and a reopening at once. */
static void test_what_a_failed_change_left_is_not_committed(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
		for (uint64_t n = 1;; n++) {
				struct hf_tree before;
			uint64_t held;
			int status;
			bool failed;

			start();
			operations[i].prepare();
			hf_tree_copy(&before, hf_core_tree(setting.core));
			held = hf_bitfield_count(hf_core_blocks(setting.core));
			fail_alloc_arm(n, false);
			status = operations[i].run();
			failed = fail_alloc_disarm();
			core_commit(setting.core);
			reopen();
			check_core(setting.core);
			if (status != HF_OK) {
				assert_int_equal(hf_core_length(setting.core), before.length);
				assert_int_equal(hf_core_fork(setting.core), before.fork);
				assert_int_equal(hf_bitfield_count(hf_core_blocks(setting.core)), held);
			}
			tear_down();
			if (!failed)
				break;
		}
	}
}

static int final_status;

static void note_final(void *context, int status)
{
	(void)context;
	final_status = status;
}

static void test_a_commit_that_runs_out_of_memory_gives_the_batch_up(void **state)
{

	(void)state;
	start();
	for (uint64_t n = 1;; n++) {
		uint64_t length = hf_core_length(setting.core);
		int status;

		assert_int_equal(append(setting.core, 3), HF_OK);
		final_status = HF_OK;
		fail_alloc_arm(n, false);
		status = hf_core_commit(setting.core, HF_DURABLE_OS, note_final, NULL);
		bool failed = fail_alloc_disarm();

		hf_corestore_settle(setting.node.cores);
		if (status == HF_OK && final_status == HF_OK)
			assert_int_equal(hf_core_length(setting.core), length + 3);
		else if (status == HF_OK)
			assert_int_equal(hf_core_length(setting.core), length);
		else
			core_commit(setting.core); /* still staged */
		check_core(setting.core);
		assert_false(hf_core_is_frozen(setting.core));
		if (!failed)
			break;
	}
	reopen();
	check_core(setting.core);
	tear_down();
}

static void test_opening_that_runs_out_of_memory_can_be_tried_again(void **state)
{
	struct hf_core *core;
	int round;

	(void)state;
	start();
	for (round = 0; round < 2; round++) {
		struct hf_core_options options = {.size = sizeof options, .name = HF_SLICE_LITERAL("fresh")};

		for (uint64_t n = 1;; n++) {
			fail_alloc_arm(n, false);
			int status = hf_corestore_get(setting.node.cores, &options, &core, NULL);

			if (!fail_alloc_disarm()) {
				assert_int_equal(status, HF_OK);
				break;
			}
			assert_int_equal(status, HF_ENOMEM);
		}
		if (round == 0)
			assert_int_equal(append(core, 5), HF_OK);
		core_commit(core);
		check_core(core);
		assert_int_equal(hf_core_length(core), 5);
		hf_core_unref(core);
		hf_corestore_settle(setting.node.cores);
	}
	tear_down();
}

/* ---- Order ---- */

static void test_cores_committed_in_another_order_keep_their_numbers(void **state)
{
	struct core_node node;
	struct hf_core *first, *second, *third;

	(void)state;
	core_node_make(&node, 3);
	first = core_by_name(&node, "first");
	second = core_by_name(&node, "second");
	assert_int_equal(append(second, 4), HF_OK);
	core_commit(second);
	assert_int_equal(append(first, 3), HF_OK);
	core_commit(first);
	hf_core_unref(first);
	hf_core_unref(second);
	core_node_close(&node);
	core_node_open(&node);
	third = core_by_name(&node, "third");
	assert_int_equal(append(third, 2), HF_OK);
	core_commit(third);
	hf_core_unref(third);
	core_node_close(&node);
	core_node_open(&node);
	second = core_by_name(&node, "second");
	assert_int_equal(hf_core_length(second), 4);
	check_core(second);
	hf_core_unref(second);
	core_node_remove(&node);
}

static struct hf_core *nested;
static int nested_left;

static void commit_inside(void *context, int status)
{
	(void)context;
	assert_int_equal(status, HF_OK);
	if (nested_left-- > 0) {
		assert_int_equal(append(nested, 1), HF_OK);
		core_commit(nested);
	}
}

static void test_a_callback_may_wait_for_another_commit(void **state)
{

	(void)state;
	start();
	nested = setting.core;
	nested_left = 3;
	for (int i = 0; i < 8; i++) {
		assert_int_equal(append(setting.core, 1), HF_OK);
		assert_int_equal(hf_core_commit(setting.core, HF_DURABLE_OS, commit_inside, NULL), HF_OK);
	}
	hf_corestore_settle(setting.node.cores);
	assert_int_equal(hf_core_length(setting.core), WORDS + 8 + 3);
	assert_int_equal(hf_core_committed_tree(setting.core)->length, WORDS + 8 + 3);
	check_core(setting.core);
	tear_down();
}

struct ear {
	struct hf_core_listener listener;
	struct hf_core *core;
	uint64_t held_to, told;
};

static void hear(struct hf_core_listener *listener, enum hf_core_event event, uint64_t from, uint64_t to)
{
	struct ear *ear = (struct ear *)listener;

	if (event != HF_CORE_HELD)
		return;
	ear->told++;
	for (uint64_t block = from; block < to; block++)
		assert_true(hf_bitfield_get(hf_core_blocks(ear->core), block));
}

static void test_blocks_that_are_gone_before_the_commit_are_not_told_as_held(void **state)
{
	struct ear ear = {.listener.event = hear};

	(void)state;
	start();
	ear.core = setting.core;
	hf_core_listen(setting.core, &ear.listener);
	assert_int_equal(append(setting.core, 10), HF_OK);
	assert_int_equal(hf_core_clear(setting.core, WORDS + 2, WORDS + 4), HF_OK);
	assert_int_equal(hf_core_truncate(setting.core, WORDS + 5, HF_CORE_NEXT_FORK), HF_OK);
	core_commit(setting.core);
	assert_int_equal(ear.told, 2);
	hf_core_unlisten(setting.core, &ear.listener);
	tear_down();
}

static void test_nothing_of_the_old_fork_is_proved_while_another_is_staged(void **state)
{
	struct hf_proof_request request = {.has_block = true, .block.index = 30, .block.nodes = 2};

	(void)state;
	start();
	assert_int_equal(hf_core_prove(setting.core, 0, &request, &setting.bytes, &setting.proof), HF_OK);
	assert_int_equal(hf_core_truncate(setting.core, 10, HF_CORE_NEXT_FORK), HF_OK);
	assert_int_equal(append(setting.core, WORDS - 10), HF_OK);
	assert_int_equal(hf_core_prove(setting.core, 0, &request, &setting.bytes, &setting.proof), HF_ENOTFOUND);
	core_commit(setting.core);
	assert_int_equal(hf_core_prove(setting.core, 1, &request, &setting.bytes, &setting.proof), HF_OK);
	tear_down();
}

static void test_a_proof_of_another_fork_brings_nothing_but_its_tree(void **state)
{
	struct hf_proof_request request = {.has_upgrade = true, .has_block = true, .block.index = 3};
	struct hf_proof_check check = {.node_count = 0};

	(void)state;
	start();
	prepare_reorg();
	request.upgrade.length = hf_core_length(setting.writer);
	hf_buffer_clear(&setting.bytes);
	assert_int_equal(hf_core_prove(setting.writer, 1, &request, &setting.bytes, &setting.proof), HF_OK);
	assert_int_equal(hf_core_check_fork(setting.core, &setting.proof, &check, NULL), HF_EMALFORMED);
	hf_proof_check_free(&check);
	tear_down();
}

static void test_a_key_pair_that_is_not_the_signers_does_not_write(void **state)
{
	uint8_t public_key[HF_SIGN_PUBLIC_BYTES], secret_key[HF_SIGN_SECRET_BYTES];
	struct hf_core_options options = {.size = sizeof options, .secret_key = secret_key};
	struct hf_core *core;

	(void)state;
	start();
	prepare_proof();
	assert_int_equal(do_put_proof(), HF_OK);
	hf_sign_keypair_from_seed(public_key, secret_key, (const uint8_t[32]){7});
	options.key = hf_core_key(setting.core);
	assert_int_equal(hf_corestore_get(setting.node.cores, &options, &core, NULL), HF_OK);
	assert_int_equal(append(core, 1), HF_EDENIED);
	hf_core_unref(core);
	tear_down();
}

/* ---- A commit that the store refuses ---- */

#define QUOTA_BYTES (8u << 20)
#define REFUSED_BLOCKS 10 /* of 1 MiB each */

/* Keeps the writer busy until it is let go. */
struct blocker {
	struct hf_commit commit;
	sem_t begun, let_go, over;
};

static int blocker_stage(struct hf_commit *commit, struct hf_tx *tx)
{
	struct blocker *blocker = (struct blocker *)commit;

	(void)tx;
	sem_post(&blocker->begun);
	sem_wait(&blocker->let_go);
	return HF_OK;
}

static void blocker_done(struct hf_commit *commit, int status)
{
	(void)status;
	sem_post(&((struct blocker *)commit)->over);
}

static void block_writer(struct blocker *blocker)
{
	*blocker = (struct blocker){.commit = {.stage = blocker_stage, .done = blocker_done}};
	sem_init(&blocker->begun, 0, 0);
	sem_init(&blocker->let_go, 0, 0);
	sem_init(&blocker->over, 0, 0);
	hf_store_submit(setting.node.store, &blocker->commit);
	sem_wait(&blocker->begun);
}

static void let_writer_go(struct blocker *blocker)
{
	sem_post(&blocker->let_go);
	sem_wait(&blocker->over);
}

static void append_large(unsigned count)
{
	static uint8_t bytes[1 << 20];
	struct hf_slice block = hf_slice(bytes, sizeof bytes);

	for (unsigned i = 0; i < count; i++)
		assert_int_equal(hf_core_append(setting.core, &block, 1, NULL), HF_OK);
}

static unsigned failed_count;

static void count_failed(struct hf_core_listener *listener, enum hf_core_event event, uint64_t from, uint64_t to)
{
	(void)listener;
	(void)to;
	if (event != HF_CORE_FAILED)
		return;
	assert_int_equal(from, -HF_ENOSPC);
	failed_count++;
}

static void note(void *context, int status)
{
	*(int *)context = status;
}

/* The quota refuses the first for its size, and would let the second one pass; both wait for the writer together. */
static void test_what_follows_a_commit_that_the_quota_refused_is_given_up(void **state)
{
	struct hf_core_listener listener = {.event = count_failed};
	int large = 1, small = 1, committed = 1;
	struct blocker blocker;

	(void)state;
	start();
	setting.node.quota_bytes = QUOTA_BYTES;
	reopen();
	failed_count = 0;
	hf_core_listen(setting.core, &listener);
	block_writer(&blocker);
	assert_int_equal(append(setting.core, 2), HF_OK);
	assert_int_equal(hf_core_commit(setting.core, HF_DURABLE_OS, note, &committed), HF_OK);
	append_large(REFUSED_BLOCKS);
	assert_int_equal(hf_core_commit(setting.core, HF_DURABLE_OS, note, &large), HF_OK);
	assert_int_equal(append(setting.core, 1), HF_OK);
	assert_int_equal(hf_core_commit(setting.core, HF_DURABLE_OS, note, &small), HF_OK);
	let_writer_go(&blocker);
	hf_corestore_settle(setting.node.cores);
	assert_int_equal(committed, HF_OK);
	assert_int_equal(large, HF_ENOSPC);
	assert_int_equal(small, HF_ECANCELED);
	assert_int_equal(failed_count, 1);
	assert_int_equal(hf_core_length(setting.core), WORDS + 2);
	check_core(setting.core);
	/* It goes on, where there is room. */
	assert_int_equal(append(setting.core, 3), HF_OK);
	core_commit(setting.core);
	hf_core_unlisten(setting.core, &listener);
	reopen();
	assert_int_equal(hf_core_length(setting.core), WORDS + 5);
	check_core(setting.core);
	tear_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_change_that_runs_out_of_memory_leaves_the_core_as_it_was),
		cmocka_unit_test(test_what_a_failed_change_left_is_not_committed),
		cmocka_unit_test(test_a_commit_that_runs_out_of_memory_gives_the_batch_up),
		cmocka_unit_test(test_opening_that_runs_out_of_memory_can_be_tried_again),
		cmocka_unit_test(test_cores_committed_in_another_order_keep_their_numbers),
		cmocka_unit_test(test_what_follows_a_commit_that_the_quota_refused_is_given_up),
		cmocka_unit_test(test_a_callback_may_wait_for_another_commit),
		cmocka_unit_test(test_blocks_that_are_gone_before_the_commit_are_not_told_as_held),
		cmocka_unit_test(test_nothing_of_the_old_fork_is_proved_while_another_is_staged),
		cmocka_unit_test(test_a_proof_of_another_fork_brings_nothing_but_its_tree),
		cmocka_unit_test(test_a_key_pair_that_is_not_the_signers_does_not_write),
	};

	if (hf_crypto_init() != HF_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
