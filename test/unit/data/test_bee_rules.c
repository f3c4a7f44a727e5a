/* What a bee refuses, reports and bounds: conditions, batches, watches, histories, and blocks that nobody honest wrote. */
#include "bee_fixture.h"

static struct core_node node;

static struct hf_bee *new_bee(const char *name)
{
	return bee_on(core_by_name(&node, name));
}

static bool accept_below(void *context, const struct hf_bee_entry *now, const struct hf_bee_entry *next)
{
	(void)next;
	return now->value.length < *(size_t *)context;
}

static void test_a_refused_change_leaves_what_is_there(void **state)
{
	size_t limit = 0;
	struct hf_bee_change change = {.check = accept_below, .context = &limit};
	struct hf_slice value = hf_slice_text("new"), key = hf_slice_text("a");
	struct hf_bee *bee = new_bee("check");
	struct hf_bee_entry entry;

	(void)state;
	assert_int_equal(hf_bee_put(bee, key, &value, &change), HF_OK); /* not asked: it is not there */
	assert_int_equal(hf_bee_put(bee, key, &value, &change), HF_ECANCELED);
	assert_int_equal(hf_bee_del(bee, key, &change), HF_ECANCELED);
	bee_flush(bee);
	assert_int_equal(hf_bee_version(bee), 2);
	assert_int_equal(hf_bee_del(bee, hf_slice_text("b"), &change), HF_ENOTFOUND);
	limit = 4;
	assert_int_equal(hf_bee_del(bee, key, &change), HF_OK);
	assert_int_equal(hf_bee_get_pending(bee, key, &entry), HF_ENOTFOUND);
	assert_int_equal(hf_bee_get(hf_bee_latest(bee), key, &entry), HF_OK);
	hf_bee_abandon(bee);
	assert_int_equal(hf_bee_get_pending(bee, key, &entry), HF_OK);
	hf_bee_close(bee);
}

static void test_a_batch_ends_when_another_appends(void **state)
{
	struct hf_slice other = hf_slice_text("other");
	struct hf_bee *bee = new_bee("other");

	(void)state;
	bee_put(bee, "a", "1");
	bee_flush(bee);
	bee_put(bee, "b", "2");
	assert_int_equal(hf_core_append(hf_bee_core(bee), &other, 1, NULL), HF_OK);
	assert_int_equal(hf_bee_flush(bee), HF_ECANCELED);
	assert_int_equal(hf_bee_pending_count(bee), 0);
	hf_bee_close(bee);
}

static void test_a_batch_has_bounds(void **state)
{
	struct hf_bee *bee = new_bee("bounds");
	uint8_t *bytes = calloc(1, 4u << 20);
	struct hf_slice value = hf_slice(bytes, 4u << 20), too_large = hf_slice(bytes, HF_BEE_PENDING_BYTES_MAX + 1);
	char text[8];
	int status = HF_OK;

	(void)state;
	assert_int_equal(hf_bee_put(bee, hf_slice_text("a"), &too_large, NULL), HF_ETOOBIG);
	for (unsigned i = 0; i < 10 && status == HF_OK; i++) {
		snprintf(text, sizeof text, "%u", i);
		status = hf_bee_put(bee, hf_slice_text(text), &value, NULL);
	}
	assert_int_equal(status, HF_EBUSY);
	assert_int_equal(hf_bee_pending_count(bee), 3);
	bee_flush(bee);
	free(bytes);
	hf_bee_close(bee);
}

static void test_keys_and_values_at_the_limit(void **state)
{
	struct hf_bee *bee = new_bee("limit");
	uint8_t *bytes = malloc(HF_BEE_ENTRY_BYTES_MAX + 1);
	struct hf_slice none = hf_slice(NULL, 0), value = hf_slice(bytes, HF_BEE_ENTRY_BYTES_MAX - 1), key = hf_slice(bytes, HF_BEE_ENTRY_BYTES_MAX);
	struct hf_slice long_value = hf_slice(bytes, HF_BEE_ENTRY_BYTES_MAX), long_key = hf_slice(bytes, HF_BEE_ENTRY_BYTES_MAX + 1);
	struct hf_bee_entry entry;

	(void)state;
	memset(bytes, 0xff, HF_BEE_ENTRY_BYTES_MAX + 1);
	assert_int_equal(hf_bee_put(bee, hf_slice_text("k"), &long_value, NULL), HF_ETOOBIG);
	assert_int_equal(hf_bee_put(bee, long_key, &none, NULL), HF_ETOOBIG);
	assert_int_equal(hf_bee_del(bee, long_key, NULL), HF_ETOOBIG);
	assert_int_equal(hf_bee_pending_count(bee), 0);
	bee_put(bee, "", "");
	assert_int_equal(hf_bee_put(bee, hf_slice_text("k"), &value, NULL), HF_OK);
	bee_flush(bee);
	assert_int_equal(hf_bee_put(bee, key, NULL, NULL), HF_OK);
	bee_flush(bee);
	core_commit(hf_bee_core(bee));
	assert_int_equal(hf_bee_get(hf_bee_latest(bee), none, &entry), HF_OK);
	assert_true(entry.has_value && entry.value.length == 0 && entry.key.length == 0);
	assert_int_equal(hf_bee_get(hf_bee_latest(bee), hf_slice_text("k"), &entry), HF_OK);
	assert_true(hf_slice_equal(entry.value, value));
	assert_int_equal(hf_bee_get(hf_bee_latest(bee), key, &entry), HF_OK);
	assert_true(hf_slice_equal(entry.key, key) && !entry.has_value);
	assert_int_equal(hf_bee_del(bee, key, NULL), HF_OK);
	bee_flush(bee);
	assert_int_equal(hf_bee_get(hf_bee_latest(bee), key, &entry), HF_ENOTFOUND);
	free(bytes);
	hf_bee_close(bee);
}

static void test_a_core_of_others_is_not_written(void **state)
{
	struct core_node theirs;
	struct hf_slice value = hf_slice_text("1");

	(void)state;
	core_node_make(&theirs, 9);
	struct hf_core *core = core_by_name(&theirs, "theirs");
	struct hf_bee *bee = bee_on(core_by_key(&node, hf_core_key(core)));

	assert_int_equal(hf_bee_put(bee, hf_slice_text("a"), &value, NULL), HF_EDENIED);
	hf_bee_close(bee);
	hf_core_unref(core);
	core_node_remove(&theirs);
}

static unsigned growths;

static void on_growth(void *context)
{
	(void)context;
	growths++;
}

static void test_a_watch_tells_of_its_range_alone(void **state)
{
	struct hf_bee_range range = {.has_gte = true, .gte = hf_slice_text("k"), .has_lte = true, .lte = hf_slice_text("k")};
	struct hf_bee *bee = new_bee("watch");
	struct hf_bee_view *before, *now;
	struct hf_bee_watch *watch;

	(void)state;
	growths = 0;
	bee_put(bee, "a", "1");
	bee_flush(bee);
	assert_int_equal(hf_bee_watch(bee, &range, on_growth, NULL, &watch), HF_OK);
	assert_int_equal(hf_bee_watch_next(watch, &before, &now), HF_ENOTFOUND);
	bee_put(bee, "j", "1");
	bee_flush(bee);
	core_commit(hf_bee_core(bee));
	assert_int_equal(growths, 1);
	assert_int_equal(hf_bee_watch_next(watch, &before, &now), HF_ENOTFOUND);
	bee_put(bee, "k", "1");
	bee_flush(bee);
	core_commit(hf_bee_core(bee));
	assert_int_equal(hf_bee_watch_next(watch, &before, &now), HF_OK);
	assert_int_equal(hf_bee_view_version(before), 3);
	assert_int_equal(hf_bee_view_version(now), 4);
	assert_int_equal(hf_bee_watch_next(watch, &before, &now), HF_ENOTFOUND);
	assert_int_equal(hf_core_truncate(hf_bee_core(bee), 2, HF_CORE_NEXT_FORK), HF_OK);
	core_commit(hf_bee_core(bee));
	assert_int_equal(growths, 3);
	assert_int_equal(hf_bee_watch_next(watch, &before, &now), HF_OK);
	hf_bee_watch_free(watch);
	hf_bee_close(bee);
}

static uint64_t count_history(struct hf_bee *bee, const struct hf_bee_history_range *range, uint64_t *first)
{
	struct hf_bee_history history;
	struct hf_bee_entry entry;
	uint64_t count = 0;

	assert_int_equal(hf_bee_history_start(&history, hf_bee_latest(bee), range), HF_OK);
	for (*first = 0; hf_bee_history_next(&history, &entry) == HF_OK; count++)
		if (count == 0)
			*first = entry.seq;
	return count;
}

static void test_bounds_of_a_history(void **state)
{
	struct hf_bee *bee = new_bee("history");
	struct hf_bee_history history;
	struct hf_bee_entry entry;
	uint64_t first;

	(void)state;
	for (unsigned i = 0; i < 10; i++)
		bee_put(bee, "k", "v");
	bee_flush(bee);
	assert_int_equal(count_history(bee, &(struct hf_bee_history_range){.gt = 3}, &first), 7);
	assert_int_equal(first, 4);
	assert_int_equal(count_history(bee, &(struct hf_bee_history_range){.gte = -2}, &first), 2);
	assert_int_equal(first, 9);
	assert_int_equal(count_history(bee, &(struct hf_bee_history_range){.has_lt = true, .lt = -2, .reverse = true}, &first), 8);
	assert_int_equal(first, 8);
	assert_int_equal(count_history(bee, &(struct hf_bee_history_range){.has_lte = true, .lte = 0}, &first), 0);
	assert_int_equal(count_history(bee, &(struct hf_bee_history_range){.has_lte = true, .lte = 99, .has_limit = true, .limit = 3}, &first), 3);
	assert_int_equal(hf_bee_history_start(&history, hf_bee_latest(bee), &(struct hf_bee_history_range){.live = true, .reverse = true}),
		HF_EINVAL);
	assert_int_equal(hf_bee_history_start(&history, hf_bee_latest(bee), &(struct hf_bee_history_range){.live = true, .gte = 10}), HF_OK);
	assert_int_equal(hf_bee_history_next(&history, &entry), HF_OK);
	assert_int_equal(hf_bee_history_next(&history, &entry), HF_ENOTFOUND);
	bee_put(bee, "l", "v");
	bee_flush(bee);
	assert_int_equal(hf_bee_history_next(&history, &entry), HF_OK);
	assert_int_equal(entry.seq, 11);
	hf_bee_close(bee);
}

/* ---- Diffs across a truncation ---- */

static void expect_differences(struct hf_bee_view *left, struct hf_bee_view *right, const char *keys)
{
	static const struct hf_bee_range all;
	struct hf_bee_difference found;
	struct hf_bee_diff *diff;

	assert_int_equal(hf_bee_diff(left, right, &all, &diff), HF_OK);
	for (; *keys; keys++) {
		assert_int_equal(hf_bee_diff_next(diff, &found), HF_OK);
		assert_int_equal((found.has_left ? found.left : found.right).key.data[0], *keys);
		assert_int_equal(found.has_left, *keys >= 'a');
	}
	assert_int_equal(hf_bee_diff_next(diff, &found), HF_ENOTFOUND);
	hf_bee_diff_free(diff);
}

static void test_a_diff_across_a_truncation_is_of_the_history_that_has_more(void **state)
{
	struct hf_bee *bee = new_bee("forked");
	struct hf_bee_view *before, *after;

	(void)state;
	for (const char *key = "a\0b\0c\0X\0Y\0"; *key; key += 2) {
		bee_put(bee, key, "1");
		bee_flush(bee);
	}
	core_commit(hf_bee_core(bee));
	assert_int_equal(hf_bee_snapshot(bee, &before), HF_OK); /* version 6: a b c X Y */
	assert_int_equal(hf_core_truncate(hf_bee_core(bee), 3, HF_CORE_NEXT_FORK), HF_OK);
	bee_put(bee, "d", "1");
	bee_flush(bee);
	core_commit(hf_bee_core(bee));
	assert_int_equal(hf_bee_snapshot(bee, &after), HF_OK); /* version 4: a b d, but a b c in the history before */
	expect_differences(after, before, "XY");
	for (const char *key = "e\0f\0g\0"; *key; key += 2) {
		bee_put(bee, key, "1");
		bee_flush(bee);
	}
	expect_differences(hf_bee_latest(bee), before, "g"); /* version 7: a b d e f g; 6 of it: a b d e f */
	hf_bee_view_free(before);
	hf_bee_view_free(after);
	hf_bee_close(bee);
}

/* ---- Hostile blocks ---- */

static void append_index(struct hf_core *core, const struct hf_buffer *index, const char *key)
{
	struct hf_buffer block = {0};
	struct hf_slice value = hf_slice_text("v"), bytes;

	assert_int_equal(hf_bee_block_encode(hf_buffer_slice(index), hf_slice_text(key), &value, &block), HF_OK);
	bytes = hf_buffer_slice(&block);
	assert_int_equal(hf_core_append(core, &bytes, 1, NULL), HF_OK);
	hf_buffer_free(&block);
}

static void add_level(struct hf_buffer *index, const uint64_t *keys, size_t key_count, const uint64_t *children, size_t child_count)
{
	assert_int_equal(hf_bee_level_encode(keys, key_count, children, child_count, index), HF_OK);
}

static void expect_malformed_walk(struct hf_bee *bee, bool reverse)
{
	struct hf_bee_range all = {.reverse = reverse};
	struct hf_bee_iterator *iterator;
	struct hf_bee_entry entry;
	unsigned count = 0;
	int status;

	assert_int_equal(hf_bee_iterate(hf_bee_latest(bee), &all, &iterator), HF_OK);
	while ((status = hf_bee_iterator_next(iterator, &entry)) == HF_OK)
		assert_true(++count < 100);
	assert_int_equal(status, HF_EMALFORMED);
	assert_int_equal(hf_bee_iterator_next(iterator, &entry), HF_EMALFORMED);
	hf_bee_iterator_free(iterator);
}

/* Every diff ends; what it found on the way is not said to be right. */
static void expect_diff_to_end(struct hf_bee *bee)
{
	static const struct hf_bee_range all;
	struct hf_bee_difference found;
	struct hf_bee_view *before;
	struct hf_bee_diff *diff;
	unsigned count = 0;
	int status;

	assert_int_equal(hf_bee_checkout(bee, 2, &before), HF_OK);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(hf_bee_diff(i ? before : hf_bee_latest(bee), i ? hf_bee_latest(bee) : before, &all, &diff), HF_OK);
		while ((status = hf_bee_diff_next(diff, &found)) == HF_OK)
			assert_true(++count < 1000);
		assert_int_equal(status, HF_EMALFORMED);
		hf_bee_diff_free(diff);
	}
	hf_bee_view_free(before);
}

/* Block 1 is a bee of the key m; block 2, of the key p, has these nodes. status: of looking for the key a. */
static void expect_malformed_index(const char *name, struct hf_buffer *index, int status)
{
	struct hf_slice header = hf_slice_text("\x0a\x08hyperbee"), value = hf_slice_text("v");
	struct hf_core *core = core_by_name(&node, name);
	struct hf_bee *bee = bee_on(hf_core_ref(core));
	struct hf_buffer first = {0};
	struct hf_bee_entry entry;

	assert_int_equal(hf_core_append(core, &header, 1, NULL), HF_OK);
	add_level(&first, (const uint64_t[]){1}, 1, NULL, 0);
	append_index(core, &first, "m");
	append_index(core, index, "p");
	expect_malformed_walk(bee, false);
	expect_malformed_walk(bee, true);
	expect_diff_to_end(bee);
	assert_int_equal(hf_bee_get(hf_bee_latest(bee), hf_slice_text("a"), &entry), status);
	assert_int_equal(hf_bee_del(bee, hf_slice_text("a"), NULL), status);
	if (status == HF_EMALFORMED)
		assert_int_equal(hf_bee_put(bee, hf_slice_text("a"), &value, NULL), status);
	hf_bee_close(bee);
	hf_core_unref(core);
	hf_buffer_free(&first);
	hf_buffer_free(index);
}

static void expect_malformed(const char *name, const uint64_t *keys, size_t key_count, const uint64_t *children, size_t child_count)
{
	struct hf_buffer index = {0};

	add_level(&index, keys, key_count, children, child_count);
	expect_malformed_index(name, &index, HF_EMALFORMED);
}

/* The package may leave a key on the wrong side of another: here p, of block 3, left of m. Its own block has a node on the way to it. */
static void test_a_block_on_the_way_to_its_key_answers_for_it(void **state)
{
	struct hf_slice header = hf_slice_text("\x0a\x08hyperbee"), key = hf_slice_text("p");
	struct hf_core *core = core_by_name(&node, "out of order");
	struct hf_bee *bee = bee_on(hf_core_ref(core));
	struct hf_buffer index = {0};
	struct hf_bee_entry entry;

	(void)state;
	assert_int_equal(hf_core_append(core, &header, 1, NULL), HF_OK);
	add_level(&index, (const uint64_t[]){1}, 1, NULL, 0);
	append_index(core, &index, "m");
	append_index(core, &index, "t");
	hf_buffer_clear(&index);
	add_level(&index, (const uint64_t[]){1}, 1, (const uint64_t[]){3, 1, 3, 2}, 2);
	add_level(&index, (const uint64_t[]){3}, 1, NULL, 0);
	add_level(&index, (const uint64_t[]){2}, 1, NULL, 0);
	append_index(core, &index, "p");
	assert_int_equal(hf_bee_get(hf_bee_latest(bee), key, &entry), HF_OK);
	bee_put(bee, "a", "1");
	assert_int_equal(hf_bee_get_pending(bee, key, &entry), HF_OK);
	assert_int_equal(entry.seq, 3);
	bee_put(bee, "z", "1"); /* which writes that node again */
	assert_int_equal(hf_bee_get_pending(bee, key, &entry), HF_ENOTFOUND);
	hf_bee_close(bee);
	hf_core_unref(core);
	hf_buffer_free(&index);
}

static void test_hostile_trees_end(void **state)
{
	struct hf_buffer index = {0};

	(void)state;
	/* Two nodes that are each other's children. */
	add_level(&index, (const uint64_t[]){2}, 1, (const uint64_t[]){2, 1, 1, 0}, 2);
	add_level(&index, (const uint64_t[]){1}, 1, (const uint64_t[]){2, 0, 2, 0}, 2);
	expect_malformed_index("cycle of two", &index, HF_EMALFORMED);
	/* A chain that is deeper than any tree, on both sides. */
	for (uint64_t i = 0; i <= HF_BEE_DEPTH_MAX; i++)
		add_level(&index, (const uint64_t[]){2}, 1, (const uint64_t[]){2, i + 1, 2, i + 1}, 2);
	add_level(&index, (const uint64_t[]){1}, 1, NULL, 0);
	expect_malformed_index("chain", &index, HF_EMALFORMED);
	/* 9^20 ways to one leaf. */
	for (uint64_t i = 1; i <= 20; i++)
		add_level(&index, (const uint64_t[]){2, 2, 2, 2, 2, 2, 2, 2}, 8,
			(const uint64_t[]){2, i, 2, i, 2, i, 2, i, 2, i, 2, i, 2, i, 2, i, 2, i}, 9);
	add_level(&index, (const uint64_t[]){1}, 1, NULL, 0);
	expect_malformed_index("many ways", &index, HF_ENOTFOUND);
}

static void test_hostile_nodes_are_refused(void **state)
{
	static const uint64_t many[] = {2, 2, 2, 2, 2, 2, 2, 2, 2};

	(void)state;
	expect_malformed("cycle", (const uint64_t[]){2}, 1, (const uint64_t[]){2, 0, 2, 0}, 2);
	expect_malformed("future key", (const uint64_t[]){3}, 1, NULL, 0);
	expect_malformed("future child", (const uint64_t[]){2}, 1, (const uint64_t[]){3, 0, 1, 0}, 2);
	expect_malformed("header as key", (const uint64_t[]){0}, 1, NULL, 0);
	expect_malformed("header as child", (const uint64_t[]){2}, 1, (const uint64_t[]){0, 0, 1, 0}, 2);
	expect_malformed("level", (const uint64_t[]){2}, 1, (const uint64_t[]){1, 1, 1, 0}, 2);
	expect_malformed("too many keys", many, 9, NULL, 0);
	expect_malformed("children", (const uint64_t[]){2}, 1, (const uint64_t[]){1, 0}, 1);
}

static void test_a_block_that_is_no_node_is_refused(void **state)
{
	struct hf_slice blocks[] = {hf_slice_text("\x0a\x08hyperbee"), hf_slice_text("\x12\x01k"), hf_slice_text("not a node")};
	struct hf_core *core = core_by_name(&node, "no node");
	struct hf_bee *bee = bee_on(hf_core_ref(core));
	struct hf_bee_header header;
	struct hf_bee_entry entry;

	(void)state;
	assert_int_equal(hf_core_append(core, blocks, 3, NULL), HF_OK);
	assert_int_equal(hf_bee_get_header(bee, &header), HF_OK);
	assert_int_equal(hf_bee_get(hf_bee_latest(bee), hf_slice_text("k"), &entry), HF_EMALFORMED);
	assert_int_equal(hf_bee_get_seq(hf_bee_latest(bee), 1, &entry), HF_EMALFORMED);
	assert_int_equal(hf_bee_get_seq(hf_bee_latest(bee), 0, &entry), HF_ENOTFOUND);
	hf_bee_close(bee);
	hf_core_unref(core);
}

static int make(void **state)
{
	(void)state;
	core_node_make(&node, 7);
	return 0;
}

static int end(void **state)
{
	(void)state;
	core_node_remove(&node);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_refused_change_leaves_what_is_there),
		cmocka_unit_test(test_a_batch_ends_when_another_appends),
		cmocka_unit_test(test_a_batch_has_bounds),
		cmocka_unit_test(test_keys_and_values_at_the_limit),
		cmocka_unit_test(test_a_core_of_others_is_not_written),
		cmocka_unit_test(test_a_diff_across_a_truncation_is_of_the_history_that_has_more),
		cmocka_unit_test(test_a_watch_tells_of_its_range_alone),
		cmocka_unit_test(test_bounds_of_a_history),
		cmocka_unit_test(test_a_block_on_the_way_to_its_key_answers_for_it),
		cmocka_unit_test(test_hostile_nodes_are_refused),
		cmocka_unit_test(test_hostile_trees_end),
		cmocka_unit_test(test_a_block_that_is_no_node_is_refused),
	};

	return cmocka_run_group_tests(tests, make, end);
}
