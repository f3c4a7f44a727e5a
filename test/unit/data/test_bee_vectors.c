/* The package's bees, both ways: the same changes give the same blocks, and its blocks read as it reads them. */
#include "bee_fixture.h"

#include "data/hyperbee/sub.h"
#include "support/vectors.h"

static struct core_node node;
static size_t block_count, entry_count;

static void expect_blocks(struct hf_bee *bee, const json_t *scenario, size_t count)
{
	json_t *blocks = vectors_array(scenario, "blocks", count), *item;
	struct hf_buffer ours = {0}, theirs = {0};
	size_t i;

	assert_int_equal(hf_bee_version(bee), count);
	json_array_foreach(blocks, i, item) {
		struct hf_slice expected = vectors_from_hex(&theirs, json_string_value(item));

		hf_buffer_clear(&ours);
		assert_int_equal(hf_core_get(hf_bee_core(bee), i, &ours), HF_OK);
		if (!hf_slice_equal(hf_buffer_slice(&ours), expected))
			fail_msg("%s: block %zu differs", vectors_text(scenario, "label"), i);
		block_count++;
	}
	hf_buffer_free(&ours);
	hf_buffer_free(&theirs);
}

/* A bee on the package's own blocks. */
static struct hf_bee *theirs(const json_t *scenario)
{
	struct hf_core *core = core_by_name(&node, "theirs");
	json_t *item;
	size_t i;

	if (hf_core_length(core) > 0)
		assert_int_equal(hf_core_truncate(core, 0, HF_CORE_NEXT_FORK), HF_OK);
	json_array_foreach(vectors_get(scenario, "blocks"), i, item) {
		struct hf_buffer bytes = {0};
		struct hf_slice block = vectors_from_hex(&bytes, json_string_value(item));

		assert_int_equal(hf_core_append(core, &block, 1, NULL), HF_OK);
		hf_buffer_free(&bytes);
	}
	core_commit(core);
	return bee_on(core);
}

static struct hf_bee *ours(void)
{
	struct hf_core *core = bee_core(&node, 0x2a);

	if (hf_core_length(core) > 0)
		assert_int_equal(hf_core_truncate(core, 0, HF_CORE_NEXT_FORK), HF_OK);
	return bee_on(core);
}

static void apply(struct hf_bee *bee, const json_t *ops, bool as_batch)
{
	json_t *op;
	size_t i;

	json_array_foreach(ops, i, op) {
		const char *key = json_string_value(json_array_get(op, 1));

		if (strcmp(json_string_value(json_array_get(op, 0)), "put") == 0) {
			bee_put(bee, key, json_string_value(json_array_get(op, 2)));
		} else {
			int status = hf_bee_del(bee, hf_slice_text(key), NULL);

			assert_true(status == HF_OK || status == HF_ENOTFOUND);
		}
		if (!as_batch)
			bee_flush(bee);
	}
	bee_flush(bee);
}

static void expect_text(const json_t *text, struct hf_slice bytes)
{
	assert_true(json_is_string(text));
	assert_int_equal(json_string_length(text), bytes.length);
	assert_memory_equal(json_string_value(text), bytes.data, bytes.length);
}

static void expect_entry(const json_t *item, const struct hf_bee_entry *entry)
{
	bool is_list = json_is_array(item);
	const json_t *value = is_list ? json_array_get(item, 2) : json_object_get(item, "value");

	assert_int_equal(entry->seq, json_integer_value(is_list ? json_array_get(item, 0) : json_object_get(item, "seq")));
	expect_text(is_list ? json_array_get(item, 1) : json_object_get(item, "key"), entry->key);
	assert_int_equal(entry->has_value, !json_is_null(value));
	if (entry->has_value)
		expect_text(value, entry->value);
	entry_count++;
}

static bool bound(const json_t *range, const char *name, struct hf_slice *out)
{
	const json_t *value = json_object_get(range, name);

	if (value != NULL)
		*out = hf_slice_text(json_string_value(value));
	return value != NULL;
}

static struct hf_bee_range range_of(const json_t *range)
{
	struct hf_bee_range out = {.reverse = json_is_true(json_object_get(range, "reverse"))};

	out.has_gt = bound(range, "gt", &out.gt);
	out.has_gte = bound(range, "gte", &out.gte);
	out.has_lt = bound(range, "lt", &out.lt);
	out.has_lte = bound(range, "lte", &out.lte);
	out.has_limit = json_object_get(range, "limit") != NULL;
	out.limit = (uint64_t)json_integer_value(json_object_get(range, "limit"));
	return out;
}

static void expect_listing(struct hf_bee_view *view, const struct hf_bee_range *range, const json_t *expected)
{
	struct hf_bee_iterator *iterator;
	struct hf_bee_entry entry;
	json_t *item;
	size_t i;

	assert_int_equal(hf_bee_iterate(view, range, &iterator), HF_OK);
	json_array_foreach(expected, i, item) {
		assert_int_equal(hf_bee_iterator_next(iterator, &entry), HF_OK);
		expect_entry(item, &entry);
	}
	assert_int_equal(hf_bee_iterator_next(iterator, &entry), HF_ENOTFOUND);
	hf_bee_iterator_free(iterator);
}

static void expect_diff(struct hf_bee *bee, const json_t *item)
{
	static const struct hf_bee_range all;
	struct hf_bee_view *right;
	struct hf_bee_difference found;
	struct hf_bee_diff *diff;
	json_t *difference;
	size_t i;

	assert_int_equal(vectors_uint(item, "left"), hf_bee_version(bee));
	assert_int_equal(hf_bee_checkout(bee, vectors_uint(item, "right"), &right), HF_OK);
	assert_int_equal(hf_bee_diff(hf_bee_latest(bee), right, &all, &diff), HF_OK);
	json_array_foreach(vectors_get(item, "result"), i, difference) {
		const json_t *left_item = json_object_get(difference, "left"), *right_item = json_object_get(difference, "right");

		assert_int_equal(hf_bee_diff_next(diff, &found), HF_OK);
		assert_int_equal(found.has_left, !json_is_null(left_item));
		assert_int_equal(found.has_right, !json_is_null(right_item));
		if (found.has_left)
			expect_entry(left_item, &found.left);
		if (found.has_right)
			expect_entry(right_item, &found.right);
	}
	assert_int_equal(hf_bee_diff_next(diff, &found), HF_ENOTFOUND);
	hf_bee_diff_free(diff);
	hf_bee_view_free(right);
}

static void expect_history(struct hf_bee *bee, const json_t *expected)
{
	static const struct hf_bee_history_range all, backwards = {.reverse = true};
	struct hf_bee_history history;
	struct hf_bee_entry entry;
	size_t count = json_array_size(expected);

	for (unsigned reverse = 0; reverse < 2; reverse++) {
		assert_int_equal(hf_bee_history_start(&history, hf_bee_latest(bee), reverse ? &backwards : &all), HF_OK);
		for (size_t i = 0; i < count; i++) {
			const json_t *item = json_array_get(expected, reverse ? count - 1 - i : i);

			assert_int_equal(hf_bee_history_next(&history, &entry), HF_OK);
			expect_entry(item, &entry);
			assert_int_equal(entry.is_deletion, strcmp(vectors_text(item, "type"), "del") == 0);
		}
		assert_int_equal(hf_bee_history_next(&history, &entry), HF_ENOTFOUND);
	}
}

static void expect_checkout(struct hf_bee *bee, const json_t *item)
{
	static const struct hf_bee_range all;
	struct hf_bee_view *view;

	assert_int_equal(hf_bee_checkout(bee, vectors_uint(item, "version"), &view), HF_OK);
	expect_listing(view, &all, vectors_get(item, "entries"));
	hf_bee_view_free(view);
}

static void expect_get(struct hf_bee *bee, const json_t *item)
{
	struct hf_bee_entry entry;
	const json_t *expected = json_object_get(item, "node");
	int status = hf_bee_get(hf_bee_latest(bee), hf_slice_text(vectors_text(item, "key")), &entry);

	assert_int_equal(status, json_is_null(expected) ? HF_ENOTFOUND : HF_OK);
	if (status == HF_OK)
		expect_entry(expected, &entry);
}

static void expect_reads(struct hf_bee *bee, const json_t *scenario)
{
	json_t *item;
	size_t i;

	json_array_foreach(json_object_get(scenario, "ranges"), i, item) {
		struct hf_bee_range range = range_of(vectors_get(item, "range"));

		expect_listing(hf_bee_latest(bee), &range, vectors_get(item, "result"));
	}
	json_array_foreach(json_object_get(scenario, "diffs"), i, item)
		expect_diff(bee, item);
	if (json_object_get(scenario, "history") != NULL)
		expect_history(bee, json_object_get(scenario, "history"));
	json_array_foreach(json_object_get(scenario, "checkouts"), i, item)
		expect_checkout(bee, item);
	json_array_foreach(json_object_get(scenario, "gets"), i, item)
		expect_get(bee, item);
	if (json_object_get(scenario, "listing") != NULL)
		expect_listing(hf_bee_latest(bee), &(struct hf_bee_range){.has_limit = false}, json_object_get(scenario, "listing"));
}

/* Puts, dels and batches of the first four scenarios, made by us and read from either. */
static void run_scenario(const json_t *scenario, size_t blocks)
{
	struct hf_bee *bee = ours();

	if (json_object_get(scenario, "ops") != NULL)
		apply(bee, vectors_get(scenario, "ops"), false);
	if (json_object_get(scenario, "batchOps") != NULL) {
		bee_put(bee, "seed", "x");
		bee_flush(bee);
		apply(bee, vectors_get(scenario, "batchOps"), true);
	}
	expect_blocks(bee, scenario, blocks);
	if (json_object_get(scenario, "coreKey") != NULL)
		vectors_expect(scenario, "coreKey", hf_core_key(hf_bee_core(bee)), 32);
	if (json_object_get(scenario, "treeHash") != NULL) {
		uint8_t hash[32];

		hf_tree_hash(hf_core_tree(hf_bee_core(bee)), hash);
		vectors_expect(scenario, "treeHash", hash, 32);
	}
	expect_reads(bee, scenario);
	hf_bee_close(bee);
	bee = theirs(scenario);
	expect_reads(bee, scenario);
	hf_bee_close(bee);
}

static void test_the_same_changes_give_the_package_s_blocks_and_both_read_alike(void **state)
{
	static const size_t blocks[] = {17, 16, 396, 121};
	json_t *file = vectors_load("hypercore/hyperbee.json"), *scenarios = vectors_array(file, "scenarios", 6);

	(void)state;
	block_count = entry_count = 0;
	for (size_t i = 0; i < 4; i++)
		run_scenario(json_array_get(scenarios, i), blocks[i]);
	assert_int_equal(block_count, 17 + 16 + 396 + 121);
	assert_int_equal(entry_count, 2 * 204);
	json_decref(file);
}

static void put_in(struct hf_bee *bee, const struct hf_bee_sub *sub, const char *key, const char *value)
{
	struct hf_buffer bytes = {0};
	struct hf_slice content = hf_slice_text(value);

	assert_int_equal(hf_bee_sub_key(sub, hf_slice_text(key), &bytes), HF_OK);
	assert_int_equal(hf_bee_put(bee, hf_buffer_slice(&bytes), &content, NULL), HF_OK);
	bee_flush(bee);
	hf_buffer_free(&bytes);
}

static void expect_sub(struct hf_bee *bee, const struct hf_bee_sub *sub, const json_t *expected, bool has_text_values)
{
	static const struct hf_bee_range all;
	struct hf_buffer bytes = {0};
	struct hf_bee_range range;
	struct hf_bee_iterator *iterator;
	struct hf_bee_entry entry;
	json_t *item;
	size_t i;

	assert_int_equal(hf_bee_sub_range(sub, &all, &bytes, &range), HF_OK);
	assert_int_equal(hf_bee_iterate(hf_bee_latest(bee), &range, &iterator), HF_OK);
	json_array_foreach(expected, i, item) {
		struct hf_slice key;

		assert_int_equal(hf_bee_iterator_next(iterator, &entry), HF_OK);
		assert_int_equal(hf_bee_sub_strip(sub, entry.key, &key), HF_OK);
		assert_int_equal(entry.seq, vectors_uint(item, "seq"));
		expect_text(json_object_get(item, "key"), key);
		if (has_text_values)
			expect_text(json_object_get(item, "value"), entry.value);
		entry_count++;
	}
	assert_int_equal(hf_bee_iterator_next(iterator, &entry), HF_ENOTFOUND);
	hf_bee_iterator_free(iterator);
	hf_buffer_free(&bytes);
}

static void test_subs_are_prefixes_and_list_as_the_package_s_do(void **state)
{
	json_t *file = vectors_load("hypercore/hyperbee.json"), *scenario = json_array_get(vectors_array(file, "scenarios", 6), 4);
	struct hf_bee *bee = ours();
	struct hf_bee_sub users, deep;
	struct hf_slice key;

	(void)state;
	entry_count = 0;
	assert_int_equal(hf_bee_sub_init(&users, HF_BEE_SUB, NULL, hf_slice_text("users"), 0), HF_OK);
	assert_int_equal(hf_bee_sub_init(&deep, HF_BEE_SUB, &users, hf_slice_text("x"), 0), HF_OK);
	vectors_expect(vectors_get(scenario, "prefixes"), "users", users.prefix.data, users.prefix.length);
	vectors_expect(vectors_get(scenario, "prefixes"), "users/x", deep.prefix.data, deep.prefix.length);
	put_in(bee, &users, "alice", "1");
	put_in(bee, &deep, "k", "{\"a\":1}");
	bee_put(bee, "users", "plain");
	bee_flush(bee);
	expect_blocks(bee, scenario, 4);
	expect_sub(bee, &users, vectors_array(scenario, "subListing", 2), true);
	expect_sub(bee, &deep, vectors_array(scenario, "deepListing", 1), false);
	assert_int_equal(entry_count, 3);
	assert_int_equal(hf_bee_sub_strip(&deep, hf_slice_text("users"), &key), HF_EINVAL);
	assert_int_equal(hf_bee_encoding_check(HF_BEE_JSON, hf_slice_text("{\"a\":1}")), HF_OK);
	hf_bee_sub_free(&users);
	hf_bee_sub_free(&deep);
	hf_bee_close(bee);
	json_decref(file);
}

static void test_same_values_are_skipped_and_null_is_no_value(void **state)
{
	json_t *file = vectors_load("hypercore/hyperbee.json"), *scenario = json_array_get(vectors_array(file, "scenarios", 6), 5);
	struct hf_bee_change change = {.skip_same = true};
	struct hf_slice value = hf_slice_text("{\"n\":1,\"s\":\"\xc3\xa5\"}"), key = hf_slice("\0\xff", 2);
	struct hf_bee *bee = ours();
	struct hf_bee_entry entry;

	(void)state;
	assert_int_equal(hf_bee_put(bee, key, &value, &change), HF_OK);
	bee_flush(bee);
	assert_int_equal(hf_bee_put(bee, key, &value, &change), HF_EDUPLICATE);
	bee_flush(bee);
	assert_int_equal(hf_bee_put(bee, hf_slice("\1", 1), NULL, &change), HF_OK);
	bee_flush(bee);
	assert_int_equal(hf_bee_put(bee, hf_slice("\1", 1), NULL, &change), HF_EDUPLICATE);
	bee_flush(bee);
	expect_blocks(bee, scenario, 3);
	assert_int_equal(hf_bee_get(hf_bee_latest(bee), hf_slice("\1", 1), &entry), HF_OK);
	assert_false(entry.has_value);
	assert_int_equal(entry.seq, vectors_uint(vectors_get(scenario, "getNull"), "seq"));
	hf_bee_close(bee);
	json_decref(file);
}

static void expect_header(const json_t *item)
{
	const json_t *metadata = vectors_get(vectors_get(item, "header"), "metadata");
	struct hf_buffer feed = {0}, user_data = {0}, out = {0}, bytes = {0};
	struct hf_bee_header header = {.has_metadata = json_is_object(metadata)}, decoded;
	const char *feed_text = json_string_value(json_object_get(metadata, "contentFeed"));
	const char *user_text = json_string_value(json_object_get(metadata, "userData"));

	header.has_content_feed = feed_text != NULL;
	header.has_user_data = user_text != NULL;
	if (feed_text != NULL)
		header.content_feed = vectors_from_hex(&feed, feed_text);
	if (user_text != NULL)
		header.user_data = vectors_from_hex(&user_data, user_text);
	assert_int_equal(hf_bee_header_encode(&header, &out), HF_OK);
	vectors_expect(item, "hex", out.data, out.length);
	assert_int_equal(hf_bee_header_decode(vectors_hex(&bytes, item, "hex"), &decoded), HF_OK);
	assert_int_equal(decoded.has_metadata, header.has_metadata);
	assert_int_equal(decoded.has_content_feed, header.has_content_feed);
	assert_int_equal(decoded.has_user_data, header.has_user_data);
	assert_true(hf_slice_equal(decoded.content_feed, header.content_feed));
	assert_true(hf_slice_equal(decoded.user_data, header.user_data));
	hf_buffer_free(&feed);
	hf_buffer_free(&user_data);
	hf_buffer_free(&out);
	hf_buffer_free(&bytes);
}

static void test_headers_with_and_without_metadata(void **state)
{
	json_t *file = vectors_load("hypercore/hyperbee.json"), *item;
	struct hf_bee_header header;
	size_t i;

	(void)state;
	json_array_foreach(vectors_array(file, "headers", 4), i, item)
		expect_header(item);
	assert_int_equal(hf_bee_header_decode(hf_slice_text("\x0a\x08hyperbat"), &header), HF_EMALFORMED);
	assert_int_equal(hf_bee_header_decode(hf_slice("", 0), &header), HF_EMALFORMED);
	json_decref(file);
}

static void expect_range(const struct hf_bee_sub *sub, const json_t *expected, const struct hf_bee_range *range)
{
	struct hf_buffer bytes = {0};
	struct hf_bee_range out;

	assert_int_equal(hf_bee_sub_range(sub, range, &bytes, &out), HF_OK);
	assert_int_equal(out.has_gt, json_is_string(json_object_get(expected, "gt")));
	assert_int_equal(out.has_gte, json_is_string(json_object_get(expected, "gte")));
	assert_true(out.has_lt);
	if (out.has_gt)
		vectors_expect(expected, "gt", out.gt.data, out.gt.length);
	else
		vectors_expect(expected, "gte", out.gte.data, out.gte.length);
	vectors_expect(expected, "lt", out.lt.data, out.lt.length);
	hf_buffer_free(&bytes);
}

static void test_the_sub_encoder_s_keys_and_ranges(void **state)
{
	json_t *file = vectors_load("hypercore/hyperbee.json"), *items = vectors_array(file, "subEncoder", 2), *item;
	struct hf_bee_range narrow = {.has_gt = true, .gt = hf_slice_text("/"), .has_lt = true, .lt = hf_slice_text("0")}, all = {0};
	struct hf_bee_sub subs[2];
	size_t i;

	(void)state;
	assert_int_equal(hf_bee_sub_init(&subs[0], HF_BEE_SUB_ENCODER, NULL, hf_slice_text("files"), 0), HF_OK);
	assert_int_equal(hf_bee_sub_init(&subs[1], HF_BEE_SUB_ENCODER, &subs[0], hf_slice_text("inner"), 0), HF_OK);
	json_array_foreach(items, i, item) {
		struct hf_buffer key = {0};

		assert_int_equal(hf_bee_sub_key(&subs[i], hf_slice_text(vectors_text(item, "key")), &key), HF_OK);
		vectors_expect(item, "encoded", key.data, key.length);
		expect_range(&subs[i], vectors_get(item, "fullRange"), &all);
		if (json_object_get(item, "range") != NULL)
			expect_range(&subs[i], json_object_get(item, "range"), &narrow);
		hf_buffer_free(&key);
	}
	hf_bee_sub_free(&subs[0]);
	hf_bee_sub_free(&subs[1]);
	json_decref(file);
}

/* ---- Batches ---- */

static uint64_t drawn;

static unsigned draw(unsigned below)
{
	drawn = (drawn * 1103515245u + 12345u) % 2147483648u;
	return (unsigned)(drawn >> 8) % below;
}

static bool refuse(void *context, const struct hf_bee_entry *now, const struct hf_bee_entry *next)
{
	(void)context;
	assert_true(hf_slice_equal(now->key, next->key));
	return false;
}

static void one_of_a_batch(struct hf_bee *bee, unsigned keys, unsigned counter)
{
	struct hf_bee_change refusing = {.check = refuse};
	char key[16], value[16];
	unsigned kind;
	int status;

	snprintf(key, sizeof key, "k%04u", draw(keys));
	kind = draw(10);
	snprintf(value, sizeof value, "v%u", counter);
	struct hf_slice bytes = hf_slice_text(value), refused = hf_slice_text("refused");

	if (kind < 5)
		status = hf_bee_put(bee, hf_slice_text(key), &bytes, NULL);
	else if (kind < 8)
		status = hf_bee_del(bee, hf_slice_text(key), NULL);
	else if (kind == 8)
		status = hf_bee_put(bee, hf_slice_text(key), NULL, NULL);
	else
		status = hf_bee_put(bee, hf_slice_text(key), &refused, &refusing);
	assert_true(status == HF_OK || (kind >= 5 && kind < 8 && status == HF_ENOTFOUND) || (kind == 9 && status == HF_ECANCELED));
}

static void expect_sum(struct hf_bee *bee, const json_t *item)
{
	static const struct hf_bee_range all;
	struct hf_bee_iterator *iterator;
	struct hf_bee_entry entry;
	uint64_t count = 0, sum = 0;

	assert_int_equal(hf_bee_iterate(hf_bee_latest(bee), &all, &iterator), HF_OK);
	while (hf_bee_iterator_next(iterator, &entry) == HF_OK) {
		count++;
		sum = (sum + entry.seq) % 2147483648u;
	}
	hf_bee_iterator_free(iterator);
	assert_int_equal(count, vectors_uint(item, "entries"));
	assert_int_equal(sum, vectors_uint(item, "seqSum"));
}

static void test_random_batches_give_the_package_s_tree(void **state)
{
	json_t *file = vectors_load("hypercore/hyperbee-batches.json"), *item;
	uint8_t hash[32];
	size_t i;

	(void)state;
	json_array_foreach(vectors_array(file, "cases", 30), i, item) {
		unsigned keys = (unsigned)vectors_uint(item, "keys"), size = (unsigned)vectors_uint(item, "size"), counter = 0;
		struct hf_bee *bee = ours();

		drawn = vectors_uint(item, "seed");
		for (uint64_t batch = 0; batch < vectors_uint(item, "batches"); batch++) {
			for (unsigned left = 1 + draw(size); left > 0; left--)
				one_of_a_batch(bee, keys, ++counter);
			bee_flush(bee);
		}
		assert_int_equal(hf_bee_version(bee), vectors_uint(item, "version"));
		hf_tree_hash(hf_core_tree(hf_bee_core(bee)), hash);
		vectors_expect(item, "treeHash", hash, 32);
		expect_sum(bee, item);
		hf_bee_close(bee);
	}
	json_decref(file);
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
		cmocka_unit_test(test_the_same_changes_give_the_package_s_blocks_and_both_read_alike),
		cmocka_unit_test(test_subs_are_prefixes_and_list_as_the_package_s_do),
		cmocka_unit_test(test_same_values_are_skipped_and_null_is_no_value),
		cmocka_unit_test(test_random_batches_give_the_package_s_tree),
		cmocka_unit_test(test_headers_with_and_without_metadata),
		cmocka_unit_test(test_the_sub_encoder_s_keys_and_ranges),
	};

	return cmocka_run_group_tests(tests, make, end);
}
