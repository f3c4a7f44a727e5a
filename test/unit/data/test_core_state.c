/* What a core keeps beside its blocks: what it was (snapshots, checkouts, and the shelf under them), what it cleared, notes, and that it is
 * frozen. Each is looked at with the change staged, committed, failed, and after the store was opened again. */
#include "core_fixture.h"

#include <sys/stat.h>

#include "data/hypercore/layout.h"
#include "support/power_fs.h"
#include "support/quiet.h"

/* Outlive a test that fails: their threads go on. */
static struct core_node node;
static struct power_fs *power;

static void make_node_that_can_fail(void)
{
	core_node_make(&node, 1);
	core_node_remove(&node);
	power = power_fs_new();
	node.env.fs = power_fs_fs(power);
	assert_int_equal(mkdir(node.directory, 0700), 0);
	core_node_open(&node);
}

static void remove_node_that_can_fail(void)
{
	core_node_remove(&node);
	power_fs_free(power);
}

static struct hf_core *start(unsigned block_count)
{
	struct hf_core *core;

	core_node_make(&node, 1);
	core = core_by_name(&node, "log");
	core_fill(core, block_count);
	core_commit(core);
	return core;
}

static void finish(struct hf_core *core)
{
	hf_core_unref(core);
	core_node_remove(&node);
}

/* That its blocks [from, to) are those of that fork. */
static void assert_snapshot(struct hf_core_snapshot *snapshot, uint64_t from, uint64_t to, uint64_t fork)
{
	struct hf_buffer block = {0};

	for (uint64_t i = from; i < to; i++) {
		hf_buffer_clear(&block);
		assert_int_equal(hf_core_snapshot_get(snapshot, i, &block), HF_OK);
		core_assert_text(&block, i, fork);
	}
	assert_int_equal(hf_core_snapshot_get(snapshot, hf_core_snapshot_tree(snapshot)->length, &block), HF_ENOTFOUND);
	hf_buffer_free(&block);
}

/* Whether the first core of the node has something on its shelf in the store. */
static bool has_shelved(void)
{
	struct hf_buffer bytes = {0};
	int status = hf_store_log_get(node.store, hf_layout_log(1, HF_LAYOUT_SHELF), 0, HF_READ_BLOCKING, &bytes);

	hf_buffer_free(&bytes);
	assert_true(status == HF_OK || status == HF_ENOTFOUND);
	return status == HF_OK;
}

/* ---- Snapshots ---- */

static void test_a_snapshot_reads_what_was_truncated_after_it(void **state)
{
	struct hf_core_snapshot *first, *second;
	struct hf_core *core;

	(void)state;
	core = start(20);
	assert_int_equal(hf_core_snapshot(core, &first), HF_OK);
	core_truncate(core, 12);
	core_fill(core, 8);
	assert_snapshot(first, 0, 20, 0); /* staged */
	assert_int_equal(hf_core_commit(core, HF_DURABLE_OS, NULL, NULL), HF_OK);
	assert_snapshot(first, 0, 20, 0); /* on its way */
	hf_corestore_settle(node.cores);
	assert_snapshot(first, 0, 20, 0);
	assert_true(has_shelved());
	core_assert_filled(core, 12, 20, 1);

	/* Of what the next truncation takes each needs its own part. */
	assert_int_equal(hf_core_snapshot(core, &second), HF_OK);
	core_truncate(core, 5);
	core_fill(core, 30);
	core_commit(core);
	assert_snapshot(first, 0, 20, 0);
	assert_snapshot(second, 0, 12, 0);
	assert_snapshot(second, 12, 20, 1);
	core_assert_filled(core, 0, 5, 0);
	core_assert_filled(core, 5, 35, 2);
	assert_int_equal(hf_core_snapshot_tree(first)->fork, 0);
	assert_int_equal(hf_core_snapshot_tree(second)->fork, 1);

	hf_core_snapshot_free(first);
	assert_snapshot(second, 12, 20, 1);
	hf_core_snapshot_free(second);
	core_commit(core);
	assert_false(has_shelved());
	finish(core);
}

static void test_without_a_snapshot_nothing_is_put_aside(void **state)
{
	struct hf_core_snapshot *snapshot;
	struct hf_core *core;

	(void)state;
	core = start(10);
	core_truncate(core, 5);
	core_commit(core);
	assert_false(has_shelved());
	/* Nor what none of them reaches. */
	assert_int_equal(hf_core_checkout(core, 3, &snapshot), HF_OK);
	core_truncate(core, 4);
	core_commit(core);
	assert_false(has_shelved());
	assert_snapshot(snapshot, 0, 3, 0);
	hf_core_snapshot_free(snapshot);
	finish(core);
}

static void test_a_checkout_is_the_core_at_an_earlier_length(void **state)
{
	struct hf_core_snapshot *snapshot, *none;
	struct hf_core *core;
	struct hf_tree seventh;
	uint8_t expected[32], hash[32];

	(void)state;
	core_node_make(&node, 1);
	core = core_by_name(&node, "log");
	core_fill(core, 7);
	hf_tree_copy(&seventh, hf_core_tree(core));
	core_fill(core, 13);
	core_commit(core);
	assert_int_equal(hf_core_checkout(core, 21, &none), HF_EINVAL);
	assert_int_equal(hf_core_checkout(core, 7, &snapshot), HF_OK);
	hf_tree_hash(&seventh, expected);
	hf_tree_hash(hf_core_snapshot_tree(snapshot), hash);
	assert_memory_equal(hash, expected, sizeof hash);
	assert_int_equal(hf_core_snapshot_tree(snapshot)->byte_length, seventh.byte_length);
	assert_snapshot(snapshot, 0, 7, 0);
	core_truncate(core, 0);
	core_fill(core, 3);
	core_commit(core);
	assert_snapshot(snapshot, 0, 7, 0);
	hf_core_snapshot_free(snapshot);
	finish(core);
}

static void test_what_is_cleared_is_gone_from_snapshots_too(void **state)
{
	struct hf_core_snapshot *snapshot;
	struct hf_buffer block = {0};
	struct hf_core *core;

	(void)state;
	core = start(10);
	assert_int_equal(hf_core_snapshot(core, &snapshot), HF_OK);
	assert_int_equal(hf_core_clear(core, 6, 8), HF_OK);
	assert_int_equal(hf_core_snapshot_get(snapshot, 6, &block), HF_EWAIT);
	core_truncate(core, 4);
	core_commit(core);
	assert_int_equal(hf_core_snapshot_get(snapshot, 6, &block), HF_ECANCELED);
	assert_snapshot(snapshot, 0, 6, 0);
	assert_snapshot(snapshot, 8, 10, 0);
	hf_core_snapshot_free(snapshot);
	hf_core_unref(core);
	hf_buffer_free(&block);
	core_node_remove(&node);
}

/* The program ended before the last snapshot did. */
static void test_a_shelf_that_was_left_is_void_when_the_store_is_opened(void **state)
{
	struct hf_core_snapshot *snapshot;
	struct hf_core *core;

	(void)state;
	make_node_that_can_fail();
	core = core_by_name(&node, "log");
	core_fill(core, 10);
	core_commit(core);
	assert_int_equal(hf_core_snapshot(core, &snapshot), HF_OK);
	core_truncate(core, 5);
	core_commit(core);
	power_fs_die_now(power);
	hf_core_snapshot_free(snapshot);
	hf_core_unref(core);
	hf_corestore_close(node.cores);
	hf_store_abandon(node.store);
	assert_int_equal(power_fs_cut(power, 1, POWER_FS_KEEP_ALL), HF_OK);
	core_node_open(&node);
	assert_true(has_shelved());
	core = core_by_name(&node, "log");
	core_assert_filled(core, 0, 5, 0);
	core_commit(core);
	assert_false(has_shelved());
	hf_core_unref(core);
	remove_node_that_can_fail();
}

static void test_a_truncation_that_was_not_committed_leaves_snapshots_what_they_had(void **state)
{
	struct hf_core_snapshot *before, *within;
	struct hf_buffer block = {0};
	struct hf_core *core;

	(void)state;
	make_node_that_can_fail();
	core = core_by_name(&node, "log");
	core_fill(core, 20);
	core_commit(core);
	assert_int_equal(hf_core_snapshot(core, &before), HF_OK);
	core_truncate(core, 12);
	core_fill(core, 8);
	assert_int_equal(hf_core_snapshot(core, &within), HF_OK);
	power_fs_fail_write(power, 1);
	assert_int_equal(hf_core_commit_wait(core, HF_DURABLE_OS), HF_EIO);
	assert_int_equal(hf_core_fork(core), 0);
	assert_snapshot(before, 0, 20, 0);
	assert_int_equal(hf_core_snapshot_get(within, 15, &block), HF_ECANCELED);

	/* What is truncated from now on is theirs again. */
	hf_core_snapshot_free(within);
	assert_int_equal(hf_core_snapshot(core, &within), HF_OK);
	core_truncate(core, 10);
	core_fill(core, 15);
	core_commit(core);
	assert_snapshot(before, 0, 20, 0);
	assert_snapshot(within, 0, 20, 0);
	core_assert_filled(core, 10, 25, 1);
	hf_core_snapshot_free(before);
	hf_core_snapshot_free(within);
	hf_core_unref(core);
	hf_buffer_free(&block);
	remove_node_that_can_fail();
}

/* ---- Clearing ---- */

#define MANY 150000

/* That the tree outlives its blocks. */
static void assert_nodes(struct hf_core *core, const struct hf_tree *tree)
{
	struct hf_tree at;
	struct hf_tree_node leaf;

	for (uint64_t block = 0; block < MANY; block += 997)
		assert_int_equal(hf_core_node(core, 2 * block, &leaf), HF_OK);
	assert_int_equal(hf_core_tree_at(core, MANY - 1, &at), HF_OK);
	assert_int_equal(at.byte_length, tree->byte_length - 4);
}

static void test_a_large_range_is_cleared_in_parts(void **state)
{
	struct hf_slice blocks[1000];
	struct hf_core *core;
	struct hf_tree tree;
	uint64_t held = MANY;
	unsigned parts = 0;
	int status;

	(void)state;
	for (size_t i = 0; i < 1000; i++)
		blocks[i] = HF_SLICE_LITERAL("four");
	core_node_make(&node, 1);
	core = core_by_name(&node, "log");
	for (unsigned i = 0; i < MANY / 1000; i++) {
		assert_int_equal(hf_core_append(core, blocks, 1000, NULL), HF_OK);
		assert_int_equal(hf_core_commit(core, HF_DURABLE_OS, NULL, NULL), HF_OK);
	}
	hf_corestore_settle(node.cores);
	hf_tree_copy(&tree, hf_core_tree(core));
	while ((status = hf_core_clear(core, 10, MANY)) == HF_EBUSY) {
		uint64_t left = hf_bitfield_count(hf_core_blocks(core));

		assert_in_range(held - left, 1, 70000);
		/* No more of it fits before the commit, nor while that is under way. */
		assert_int_equal(hf_core_clear(core, 10, MANY), HF_EBUSY);
		assert_int_equal(hf_bitfield_count(hf_core_blocks(core)), left);
		assert_int_equal(hf_core_commit(core, HF_DURABLE_OS, NULL, NULL), HF_OK);
		assert_int_equal(hf_core_clear(core, 10, MANY), HF_EBUSY);
		assert_int_equal(hf_bitfield_count(hf_core_blocks(core)), left);
		core_commit(core);
		held = left;
		parts++;
	}
	assert_int_equal(status, HF_OK);
	assert_in_range(parts, 2, 5);
	assert_int_equal(hf_bitfield_count(hf_core_blocks(core)), 10);
	assert_nodes(core, &tree);
	core_commit(core);
	core_reopen(&node, &core);
	assert_int_equal(hf_bitfield_count(hf_core_blocks(core)), 10);
	assert_nodes(core, &tree);
	finish(core);
}

/* ---- Notes ---- */

static void set_note(struct hf_core *core, const char *name, const char *value, int status)
{
	assert_int_equal(hf_core_set_user_data(core, hf_slice_text(name), hf_slice_text(value)), status);
}

static void assert_note(struct hf_core *core, const char *name, const char *value)
{
	struct hf_buffer found = {0};
	int status = hf_core_get_user_data(core, hf_slice_text(name), &found);

	assert_int_equal(status, value == NULL ? HF_ENOTFOUND : HF_OK);
	if (value != NULL)
		assert_true(hf_slice_equal(hf_buffer_slice(&found), hf_slice_text(value)));
	hf_buffer_free(&found);
}

static void test_notes_are_kept_replaced_and_removed(void **state)
{
	static const char *const names[] = {"middle", "a", "z", "mid", "middles"};
	struct hf_core *core;

	(void)state;
	core_node_make(&node, 1);
	core = core_by_name(&node, "log");
	assert_note(core, "a", NULL);
	for (size_t i = 0; i < 5; i++)
		set_note(core, names[i], names[4 - i], HF_OK);
	set_note(core, "mid", "replaced by something longer", HF_OK);
	set_note(core, "z", "", HF_OK);
	set_note(core, "was never there", "", HF_OK);
	core_commit(core);
	for (int round = 0; round < 2; round++) {
		assert_note(core, "middle", "middles");
		assert_note(core, "a", "mid");
		assert_note(core, "z", NULL);
		assert_note(core, "mid", "replaced by something longer");
		assert_note(core, "middles", "middle");
		assert_note(core, "midd", NULL);
		core_reopen(&node, &core);
	}
	assert_int_equal(hf_core_length(core), 0);
	finish(core);
}

static void test_notes_are_bounded_together(void **state)
{
	static char large[HF_CORE_USER_DATA_BYTES_MAX / 2 + 1];
	struct hf_core *core;

	(void)state;
	memset(large, 'x', sizeof large - 1);
	core_node_make(&node, 1);
	core = core_by_name(&node, "log");
	set_note(core, "one", large, HF_OK);
	set_note(core, "two", large, HF_ETOOBIG);
	assert_note(core, "two", NULL);
	assert_note(core, "one", large);
	set_note(core, "one", "small", HF_OK);
	set_note(core, "two", large, HF_OK);
	core_commit(core);
	core_reopen(&node, &core);
	assert_note(core, "one", "small");
	assert_note(core, "two", large);
	finish(core);
}

/* ---- Frozen ---- */

static void assert_frozen(struct hf_core *core)
{
	struct hf_slice block = HF_SLICE_LITERAL("more");

	assert_true(hf_core_is_frozen(core));
	assert_int_equal(hf_core_append(core, &block, 1, NULL), HF_EDENIED);
	assert_int_equal(hf_core_truncate(core, 1, HF_CORE_NEXT_FORK), HF_EDENIED);
	assert_int_equal(hf_core_clear(core, 0, 1), HF_EDENIED);
	assert_int_equal(hf_core_set_user_data(core, HF_SLICE_LITERAL("a"), HF_SLICE_LITERAL("b")), HF_EDENIED);
}

static void test_a_frozen_core_is_frozen_when_it_is_opened_again(void **state)
{
	struct hf_core *core, *sound;

	(void)state;
	core_node_make(&node, 1);
	core = core_by_name(&node, "log");
	sound = core_by_name(&node, "sound");
	core_fill(core, 5);
	core_commit(core);
	core_fill(core, 2); /* goes with it */
	hf_core_freeze(core);
	assert_frozen(core);
	for (int round = 0; round < 3; round++) {
		hf_core_unref(sound);
		core_reopen(&node, &core);
		assert_frozen(core);
		assert_int_equal(hf_core_length(core), 7);
		core_assert_filled(core, 0, 7, 0);
		sound = core_by_name(&node, "sound");
		assert_false(hf_core_is_frozen(sound));
		core_fill(sound, 1);
		core_commit(sound);
	}
	hf_core_unref(core);
	hf_core_unref(sound);
	core_node_remove(&node);
}

static void test_a_core_that_froze_under_a_snapshot_opens_again(void **state)
{
	struct hf_core_snapshot *snapshot;
	struct hf_core *core;

	(void)state;
	core = start(5);
	assert_int_equal(hf_core_snapshot(core, &snapshot), HF_OK);
	core_truncate(core, 2);
	core_commit(core);
	hf_core_freeze(core);
	assert_snapshot(snapshot, 0, 5, 0);
	hf_core_snapshot_free(snapshot);
	core_reopen(&node, &core);
	assert_frozen(core);
	core_assert_filled(core, 0, 2, 0);
	finish(core);
}

/* It is tried once more: what failed may have been the other one. */
static void test_a_core_freezes_although_the_commit_before_it_failed(void **state)
{
	struct hf_core *core;

	(void)state;
	make_node_that_can_fail();
	core = core_by_name(&node, "log");
	core_fill(core, 5);
	core_commit(core);
	core_fill(core, 5);
	power_fs_fail_write(power, 1);
	assert_int_equal(hf_core_commit(core, HF_DURABLE_OS, NULL, NULL), HF_OK);
	hf_core_freeze(core);
	hf_corestore_settle(node.cores);
	assert_frozen(core);
	hf_corestore_settle(node.cores);
	core_reopen(&node, &core);
	assert_frozen(core);
	hf_core_unref(core);
	remove_node_that_can_fail();
}

/* As every head was written before there was a flag for it. */
static void test_heads_of_version_1_are_read(void **state)
{
	const uint8_t record[] = {1, 3, 7, 5, 50, 4, 2, 'a', 'b'}, later[] = {3, 0, 0, 0, 0, 0, 0};
	struct hf_layout_head head;
	struct hf_buffer out = {0};

	(void)state;
	assert_int_equal(hf_layout_head_decode(&head, hf_slice(record, sizeof record)), HF_OK);
	assert_true(head.has_shelf && !head.is_frozen);
	assert_true(head.fork == 7 && head.length == 5 && head.byte_length == 50 && head.contiguous == 4 && head.signature.length == 2);
	assert_int_equal(hf_layout_head_encode(&head, &out), HF_OK);
	assert_int_equal(out.data[0], 1);
	assert_int_equal(out.data[1], 1);
	hf_buffer_clear(&out);
	head.is_frozen = true;
	assert_int_equal(hf_layout_head_encode(&head, &out), HF_OK);
	assert_int_equal(out.data[0], 2);
	assert_int_equal(hf_layout_head_decode(&head, hf_slice(later, sizeof later)), HF_EVERSION);
	hf_buffer_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_snapshot_reads_what_was_truncated_after_it),
		cmocka_unit_test(test_without_a_snapshot_nothing_is_put_aside),
		cmocka_unit_test(test_a_checkout_is_the_core_at_an_earlier_length),
		cmocka_unit_test(test_what_is_cleared_is_gone_from_snapshots_too),
		cmocka_unit_test(test_a_shelf_that_was_left_is_void_when_the_store_is_opened),
		cmocka_unit_test(test_a_truncation_that_was_not_committed_leaves_snapshots_what_they_had),
		cmocka_unit_test(test_a_large_range_is_cleared_in_parts),
		cmocka_unit_test(test_notes_are_kept_replaced_and_removed),
		cmocka_unit_test(test_notes_are_bounded_together),
		cmocka_unit_test(test_a_frozen_core_is_frozen_when_it_is_opened_again),
		cmocka_unit_test(test_a_core_that_froze_under_a_snapshot_opens_again),
		cmocka_unit_test(test_a_core_freezes_although_the_commit_before_it_failed),
		cmocka_unit_test(test_heads_of_version_1_are_read),
	};

	if (hf_crypto_init() != HF_OK)
		return 1;
	quiet_log();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
