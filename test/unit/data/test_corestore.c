/* The directory of a corestore: what is listed and described without being opened, and what is forgotten. */
#include "core_fixture.h"

#include "data/hypercore/layout.h"

#define ENTRIES_MAX 8
#define STOP 77

/* Outlives a test that fails: its threads go on. */
static struct core_node node;

struct listing {
	struct hf_core_entry entries[ENTRIES_MAX];
	char names[ENTRIES_MAX][32];
	size_t count, stop_at;
};

static int take_entry(void *context, const struct hf_core_entry *entry)
{
	struct listing *listing = context;

	assert_true(listing->count < ENTRIES_MAX && entry->name.length < sizeof listing->names[0]);
	listing->entries[listing->count] = *entry;
	memset(listing->names[listing->count], 0, sizeof listing->names[0]);
	if (entry->name.length > 0)
		memcpy(listing->names[listing->count], entry->name.data, entry->name.length);
	return ++listing->count == listing->stop_at ? STOP : 0;
}

static void list(struct listing *listing)
{
	*listing = (struct listing){.count = 0};
	assert_int_equal(hf_corestore_list(node.cores, take_entry, listing), HF_OK);
}

static void append(struct hf_core *core, unsigned count)
{
	struct hf_slice block = HF_SLICE_LITERAL("ten bytes!");

	for (unsigned i = 0; i < count; i++)
		assert_int_equal(hf_core_append(core, &block, 1, NULL), HF_OK);
}

static struct hf_core *open_named(const char *name, const uint8_t *name_space)
{
	struct hf_core_options options = {.size = sizeof options, .name = hf_slice_text(name), .name_space = name_space};
	struct hf_core *core;

	assert_int_equal(hf_corestore_get(node.cores, &options, &core, NULL), HF_OK);
	return core;
}

static void close_and_open(void)
{
	core_node_close(&node);
	core_node_open(&node);
}

static void close_core(struct hf_core *core)
{
	core_commit(core);
	hf_core_unref(core);
}

static void test_cores_are_listed_in_the_order_of_making_with_what_is_committed(void **state)
{
	static const uint8_t name_space[HF_NAMESPACE_BYTES] = {4, 5}, key[32] = {9, 9};
	struct hf_core *first, *second, *foreign;
	struct listing listing;

	(void)state;
	core_node_make(&node, 1);
	list(&listing);
	assert_int_equal(listing.count, 0);
	first = core_by_name(&node, "zebra");
	second = open_named("ant", name_space);
	foreign = core_by_key(&node, key);
	list(&listing);
	assert_int_equal(listing.count, 0);
	append(first, 7);
	core_commit(first);
	append(second, 3);
	assert_int_equal(hf_core_truncate(second, 2, 5), HF_OK);
	assert_int_equal(hf_core_append(second, &HF_SLICE_LITERAL("x"), 1, NULL), HF_OK);
	core_commit(second);
	assert_int_equal(hf_core_clear(first, 4, 5), HF_OK);
	core_commit(first);
	core_commit(foreign);
	append(first, 1); /* not committed */

	for (int round = 0; round < 2; round++) {
		list(&listing);
		assert_int_equal(listing.count, 3);
		assert_memory_equal(listing.entries[0].key, hf_core_key(first), 32);
		assert_memory_equal(listing.entries[0].discovery_key, hf_core_discovery_key(first), 32);
		assert_string_equal(listing.names[0], "zebra");
		assert_true(listing.entries[0].length == 7 + (uint64_t)round && listing.entries[0].byte_length == 70 + 10 * (uint64_t)round);
		assert_true(listing.entries[0].fork == 0 && listing.entries[0].contiguous_length == 4);
		assert_string_equal(listing.names[1], "ant");
		assert_memory_equal(listing.entries[1].name_space, name_space, sizeof name_space);
		assert_true(listing.entries[1].length == 3 && listing.entries[1].byte_length == 21 && listing.entries[1].fork == 5);
		assert_int_equal(listing.entries[1].contiguous_length, 3);
		assert_memory_equal(listing.entries[2].key, key, 32);
		assert_string_equal(listing.names[2], "");
		if (round == 1)
			break;
		hf_core_unref(first);
		hf_core_unref(second);
		hf_core_unref(foreign);
		close_and_open();
		first = core_by_name(&node, "zebra");
		second = open_named("ant", name_space);
		foreign = core_by_key(&node, key);
	}
	hf_core_unref(first);
	hf_core_unref(second);
	hf_core_unref(foreign);
	core_node_remove(&node);
}

static void test_a_listing_ends_when_it_is_told_to(void **state)
{
	static const char *const names[] = {"one", "two", "three"};
	struct listing listing = {.stop_at = 2};

	(void)state;
	core_node_make(&node, 1);
	for (size_t i = 0; i < 3; i++)
		close_core(core_by_name(&node, names[i]));
	assert_int_equal(hf_corestore_list(node.cores, take_entry, &listing), STOP);
	assert_int_equal(listing.count, 2);
	core_node_remove(&node);
}

static void test_one_entry_is_found_by_its_discovery_key(void **state)
{
	uint8_t discovery_key[32], nobody[32] = {0};
	struct hf_buffer bytes = {0};
	struct hf_core_entry entry;
	struct hf_core *core;

	(void)state;
	core_node_make(&node, 1);
	core = core_by_name(&node, "log");
	memcpy(discovery_key, hf_core_discovery_key(core), 32);
	assert_int_equal(hf_corestore_entry(node.cores, discovery_key, &bytes, &entry), HF_ENOTFOUND);
	append(core, 4);
	core_commit(core);
	for (int is_closed = 0; is_closed < 2; is_closed++) {
		hf_buffer_clear(&bytes);
		assert_int_equal(hf_corestore_entry(node.cores, discovery_key, &bytes, &entry), HF_OK);
		assert_memory_equal(entry.discovery_key, discovery_key, 32);
		assert_true(hf_slice_equal(entry.name, HF_SLICE_LITERAL("log")));
		assert_true(entry.length == 4 && entry.byte_length == 40 && entry.contiguous_length == 4);
		if (is_closed == 0)
			hf_core_unref(core);
		assert_int_equal(hf_corestore_find_open(node.cores, discovery_key) == NULL, 1);
	}
	hf_buffer_clear(&bytes);
	assert_int_equal(hf_corestore_entry(node.cores, nobody, &bytes, &entry), HF_ENOTFOUND);
	hf_buffer_free(&bytes);
	core_node_remove(&node);
}

/* Whether anything is left in the store of the core that was made as number n. */
static bool has_logs(uint64_t number)
{
	bool has_any = false;

	for (unsigned which = 0; which < HF_LAYOUT_LOGS; which++) {
		struct hf_buffer bytes = {0};

		has_any |= hf_store_log_get(node.store, hf_layout_log(number, which), 0, HF_READ_BLOCKING, &bytes) == HF_OK;
		hf_buffer_free(&bytes);
	}
	return has_any;
}

static void test_a_core_that_is_dropped_leaves_nothing(void **state)
{
	struct hf_core_options must_exist = {.size = sizeof must_exist, .must_exist = true};
	struct hf_core *core, *kept;
	struct listing listing;
	uint8_t discovery_key[32], key[32];

	(void)state;
	core_node_make(&node, 1);
	core = core_by_name(&node, "gone");
	kept = core_by_name(&node, "kept");
	memcpy(discovery_key, hf_core_discovery_key(core), 32);
	memcpy(key, hf_core_key(core), 32);
	append(core, 50);
	core_commit(core);
	append(kept, 5);
	core_commit(kept);
	assert_true(has_logs(1));
	assert_int_equal(hf_corestore_drop(node.cores, discovery_key), HF_EBUSY);
	hf_core_unref(core);
	assert_int_equal(hf_corestore_drop(node.cores, discovery_key), HF_OK);
	assert_int_equal(hf_corestore_drop(node.cores, discovery_key), HF_ENOTFOUND);
	must_exist.key = key;
	for (int round = 0; round < 2; round++) {
		assert_false(has_logs(1));
		assert_int_equal(hf_corestore_get(node.cores, &must_exist, &core, NULL), HF_ENOTFOUND);
		list(&listing);
		assert_int_equal(listing.count, 1);
		assert_string_equal(listing.names[0], "kept");
		hf_core_unref(kept);
		close_and_open();
		kept = core_by_name(&node, "kept");
		assert_int_equal(hf_core_length(kept), 5);
	}

	/* Its name makes the same core anew, which has nothing of the old one. */
	core = core_by_name(&node, "gone");
	assert_memory_equal(hf_core_key(core), key, 32);
	assert_int_equal(hf_core_length(core), 0);
	append(core, 1);
	core_commit(core);
	assert_false(has_logs(1));
	assert_true(has_logs(3));
	hf_core_unref(core);
	hf_core_unref(kept);
	core_node_remove(&node);
}

/* A core by key has no name to forget. */
static void test_a_core_without_a_name_is_dropped(void **state)
{
	static const uint8_t key[32] = {8};
	uint8_t discovery_key[32];
	struct listing listing;
	struct hf_core *core;

	(void)state;
	core_node_make(&node, 1);
	core = core_by_key(&node, key);
	memcpy(discovery_key, hf_core_discovery_key(core), 32);
	close_core(core);
	assert_int_equal(hf_corestore_drop(node.cores, discovery_key), HF_OK);
	list(&listing);
	assert_int_equal(listing.count, 0);
	core_node_remove(&node);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cores_are_listed_in_the_order_of_making_with_what_is_committed),
		cmocka_unit_test(test_a_listing_ends_when_it_is_told_to),
		cmocka_unit_test(test_one_entry_is_found_by_its_discovery_key),
		cmocka_unit_test(test_a_core_that_is_dropped_leaves_nothing),
		cmocka_unit_test(test_a_core_without_a_name_is_dropped),
	};

	if (hf_crypto_init() != HF_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
