/* The rows of an event, beside those of the reference; and the notes of what was removed. */
#include "bee_fixture.h"

#include "codec/hex.h"
#include "data/event/removals.h"
#include "data/relay_bee.h"
#include "event_relay.h"
#include "support/vectors.h"

#define VECTOR_BLOCK_COUNT 8
#define VECTOR_KEY_COUNT 7

static json_t *vectors;

static int load(void **state)
{
	vectors = vectors_load("gateway-relay-index.json");
	return 0;
}

static int unload(void **state)
{
	json_decref(vectors);
	return 0;
}

/* ---- Rows ---- */

static void parse(struct hf_event *event, struct hf_buffer *text, struct hf_slice json)
{
	struct hf_json scanner;
	const char *reason = "";
	hf_json_init(&scanner, json, HF_JSON_DEPTH_MAX);
	if (hf_event_parse(&scanner, text, HF_EVENT_BYTES_MAX, event, &reason) != HF_OK)
		fail_msg("%s", reason);
}

static int put(void *bee, struct hf_slice key, struct hf_slice value)
{
	return hf_bee_put(bee, key, &value, NULL);
}

static void test_the_reference_writes_the_same_blocks(void **state)
{
	const json_t *hosted = vectors_get(vectors, "gatewayHostedBee");
	char *text = json_dumps(vectors_get(hosted, "event"), JSON_COMPACT);
	json_t *blocks = vectors_array(hosted, "blocksHex", VECTOR_BLOCK_COUNT), *item;
	struct hf_buffer memory = {0}, ours = {0}, theirs = {0};
	struct hf_event event;
	struct core_node node;
	uint8_t seed[32], public_key[32], secret_key[64];
	struct hf_core_options options = {.size = sizeof options, .secret_key = secret_key, .compat = true};
	struct hf_failure failure = {0};
	struct hf_core *core;
	size_t i, checked = 0;

	core_node_make(&node, 1);
	vectors_from_hex(&ours, vectors_text(hosted, "adminSeedHex"));
	memcpy(seed, ours.data, sizeof seed);
	hf_sign_keypair_from_seed(public_key, secret_key, seed);
	assert_int_equal(hf_corestore_get(node.cores, &options, &core, &failure), HF_OK);
	assert_memory_equal(hf_core_key(core), vectors_from_hex(&theirs, vectors_text(hosted, "coreKeyHex")).data, 32);
	assert_memory_equal(hf_core_discovery_key(core), vectors_from_hex(&theirs, vectors_text(hosted, "discoveryKeyHex")).data, 32);

	struct hf_bee *bee = bee_on(core);
	parse(&event, &memory, hf_slice_text(text));
	assert_int_equal(hf_relay_bee_rows(&event, hf_slice_text(text), put, bee), HF_OK);
	bee_flush(bee);
	assert_int_equal(hf_bee_version(bee), VECTOR_BLOCK_COUNT);
	json_array_foreach(blocks, i, item) {
		struct hf_slice expected = vectors_from_hex(&theirs, json_string_value(item));
		hf_buffer_clear(&ours);
		assert_int_equal(hf_core_get(hf_bee_core(bee), i, &ours), HF_OK);
		if (!hf_slice_equal(hf_buffer_slice(&ours), expected))
			fail_msg("block %zu differs", i);
		checked++;
	}
	assert_int_equal(checked, VECTOR_BLOCK_COUNT);
	hf_bee_close(bee);
	core_node_remove(&node);
	hf_buffer_free(&memory);
	hf_buffer_free(&ours);
	hf_buffer_free(&theirs);
	free(text);
}

/* The other way: what the reference wrote is read in the order, and with the values, that it says. */
static void test_the_references_blocks_are_read(void **state)
{
	const json_t *hosted = vectors_get(vectors, "gatewayHostedBee");
	json_t *blocks = vectors_array(hosted, "blocksHex", VECTOR_BLOCK_COUNT), *rows = vectors_array(hosted, "viewKeysInOrder", VECTOR_KEY_COUNT);
	struct hf_buffer bytes = {0};
	struct hf_bee_iterator *iterator;
	struct hf_bee_entry entry;
	struct core_node node;
	json_t *item;
	size_t i;

	core_node_make(&node, 2);
	struct hf_core *core = core_by_name(&node, "theirs");
	json_array_foreach(blocks, i, item) {
		struct hf_slice block = vectors_from_hex(&bytes, json_string_value(item));
		assert_int_equal(hf_core_append(core, &block, 1, NULL), HF_OK);
	}
	struct hf_bee *bee = bee_on(core);
	assert_int_equal(hf_bee_iterate(hf_bee_latest(bee), &(struct hf_bee_range){0}, &iterator), HF_OK);
	json_array_foreach(rows, i, item) {
		const char *key = json_string_value(json_array_get(item, 0)), *value = json_string_value(json_array_get(item, 1));
		assert_int_equal(hf_bee_iterator_next(iterator, &entry), HF_OK);
		struct hf_slice expected = strncmp(key, "hex:", 4) == 0 ? vectors_from_hex(&bytes, key + 4) : hf_slice_text(key);
		assert_true(hf_slice_equal(entry.key, expected));
		assert_true(hf_slice_equal(entry.value, hf_slice_text(value)));
	}
	assert_int_equal(hf_bee_iterator_next(iterator, &entry), HF_ENOTFOUND);
	hf_bee_iterator_free(iterator);
	hf_bee_close(bee);
	core_node_remove(&node);
	hf_buffer_free(&bytes);
}

struct listing {
	char keys[16][600];
	size_t count;
};

static int list(void *context, struct hf_slice key, struct hf_slice value)
{
	struct listing *l = context;
	snprintf(l->keys[l->count++], sizeof l->keys[0], "%.*s", (int)key.length, (const char *)key.data);
	return HF_OK;
}

static void test_tags_give_rows_by_their_first_two_elements(void **state)
{
	static const char tags[] = "[[\"t\",\"a \\\"b\\\"\"],[\"alone\"],[\"client\",\"x\",\"more\"],[\"d\",\"\"],[\"t\",\"a \\\"b\\\"\"],[\"\",\"n\"]]";
	struct hf_event event = {.created_at = 7, .kind = 30023, .tags = HF_SLICE_LITERAL(tags)};
	struct listing listing = {0};
	char id[65] = {0};
	memset(event.id, 0xab, 32);
	hf_hex_encode(id, event.id, 32);
	event.tags.length = sizeof tags - 1;
	assert_int_equal(hf_relay_bee_rows(&event, HF_SLICE_LITERAL("{}"), list, &listing), HF_OK);
	static const char *const fronts[] = {"", "kind:30023:", NULL, "tagKey:t:tagValue:a \"b\":", "tagKey:client:tagValue:x:",
		"tagKey:d:tagValue::", "tagKey:t:tagValue:a \"b\":", "tagKey::tagValue:n:"};
	assert_int_equal(listing.count, 1 + sizeof fronts / sizeof *fronts);
	for (size_t i = 0; i < sizeof fronts / sizeof *fronts; i++) {
		char expected[600];
		snprintf(expected, sizeof expected, "%screated_at:0000000007:id:%s", fronts[i] ? fronts[i] : "", id);
		if (fronts[i])
			assert_string_equal(listing.keys[1 + i], expected);
	}
}

static void test_numbers_longer_than_their_field_are_written_out(void **state)
{
	struct hf_event event = {.created_at = 12345678901, .kind = 1, .tags = HF_SLICE_LITERAL("[]")};
	struct listing listing = {0};
	assert_int_equal(hf_relay_bee_rows(&event, HF_SLICE_LITERAL("{}"), list, &listing), HF_OK);
	assert_int_equal(listing.count, 4);
	assert_memory_equal(listing.keys[1], "created_at:12345678901:id:", 26);
	assert_memory_equal(listing.keys[2], "kind:00001:created_at:12345678901:id:", 37);
}

/* ---- Removals ---- */

struct change {
	int (*run)(struct hf_tx *tx, const struct change *change);
	uint32_t collection;
	struct hf_slice bytes;
};

static int stage(void *context, struct hf_tx *tx)
{
	const struct change *change = context;
	return change->run(tx, change);
}

static int keep(struct hf_tx *tx, const struct change *c) { return hf_removals_keep(tx, c->collection, c->bytes); }
static int end(struct hf_tx *tx, const struct change *c) { return hf_removals_end(tx, c->collection); }
static int note(struct hf_tx *tx, const struct change *c) { return hf_removals_note(tx, c->collection, c->bytes); }
static int forget(struct hf_tx *tx, const struct change *c) { return hf_removals_forget(tx, c->collection, c->bytes); }

static void commit(struct relay *relay, int (*run)(struct hf_tx *tx, const struct change *change), uint32_t collection, struct hf_slice bytes)
{
	struct change change = {run, collection, bytes};
	assert_int_equal(hf_store_commit_wait(relay->store, HF_DURABLE_DISK, stage, &change), HF_OK);
}

static size_t count(struct relay *relay, uint32_t collection, uint64_t below, size_t max, struct hf_buffer *positions, bool *more)
{
	struct hf_buffer ids = {0};
	hf_buffer_clear(positions);
	assert_int_equal(hf_removals_read(relay->store, collection, below, max, positions, &ids, more), HF_OK);
	size_t length = ids.length;
	hf_buffer_free(&ids);
	return length / 32;
}

static void test_removals_are_noted_while_they_are_kept_and_until_they_are_forgotten(void **state)
{
	struct relay relay;
	struct hf_buffer positions = {0}, mark = {0};
	uint8_t ids[96] = {1};
	bool more, is_kept;
	relay_new(&relay, 64, true);
	assert_int_equal(hf_removals_mark(relay.store, 3, &is_kept, &mark), HF_ENOTFOUND);
	commit(&relay, note, 3, hf_slice(ids, 32));
	assert_int_equal(count(&relay, 3, UINT64_MAX, 100, &positions, &more), 0);
	commit(&relay, keep, 3, HF_SLICE_LITERAL("who"));
	commit(&relay, note, 3, hf_slice(ids, 32));
	uint64_t between = hf_store_position(relay.store);
	commit(&relay, note, 3, hf_slice(ids, 96));
	commit(&relay, note, 4, hf_slice(ids, 32)); /* nobody follows this one */
	assert_int_equal(count(&relay, 3, between, 100, &positions, &more), 1);
	assert_int_equal(count(&relay, 3, UINT64_MAX, 1, &positions, &more), 1);
	assert_true(more);
	assert_int_equal(count(&relay, 3, UINT64_MAX, 100, &positions, &more), 4);
	assert_false(more);
	assert_int_equal(count(&relay, 4, UINT64_MAX, 100, &mark, &more), 0);
	hf_store_close(relay.store);
	relay_open(&relay);
	assert_int_equal(count(&relay, 3, UINT64_MAX, 100, &positions, &more), 4);
	assert_int_equal(positions.length, 16);
	commit(&relay, forget, 3, hf_slice(positions.data, 8));
	assert_int_equal(count(&relay, 3, UINT64_MAX, 100, &positions, &more), 3);
	commit(&relay, end, 3, (struct hf_slice){0});
	commit(&relay, note, 3, hf_slice(ids, 32));
	assert_int_equal(count(&relay, 3, UINT64_MAX, 100, &positions, &more), 3);
	hf_buffer_clear(&mark);
	assert_int_equal(hf_removals_mark(relay.store, 3, &is_kept, &mark), HF_OK);
	assert_false(is_kept);
	assert_true(hf_slice_equal(hf_buffer_slice(&mark), HF_SLICE_LITERAL("who")));
	hf_buffer_free(&mark);
	hf_buffer_free(&positions);
	relay_free(&relay);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_reference_writes_the_same_blocks),
		cmocka_unit_test(test_the_references_blocks_are_read),
		cmocka_unit_test(test_tags_give_rows_by_their_first_two_elements),
		cmocka_unit_test(test_numbers_longer_than_their_field_are_written_out),
		cmocka_unit_test(test_removals_are_noted_while_they_are_kept_and_until_they_are_forgotten),
	};
	return cmocka_run_group_tests(tests, load, unload);
}
