/* The routing table and the sampler of addresses: rows, order and guesses are those of the packages. And whom one doubts. */
#include "dht_json.h"

#include "crypto/hash.h"
#include "wire/dht/doubt.h"
#include "wire/dht/nat_sampler.h"
#include "wire/dht/routing.h"

#define INSERTED_COUNT 60
#define CLOSEST_COUNT 4
#define SAMPLER_COUNT 4

static void fill(struct hf_dht_table *table, const json_t *file)
{
	uint8_t self[HF_DHT_ID_BYTES];
	json_t *item;
	size_t i, added = 0;

	vectors_bytes(self, sizeof self, file, "self");
	hf_dht_table_init(table, self);
	json_array_foreach(vectors_array(file, "inserted", INSERTED_COUNT), i, item) {
		struct hf_dht_contact contact = {.address = json_address(item)};
		hf_dht_id(contact.id, &contact.address);
		vectors_expect(item, "id", contact.id, sizeof contact.id);
		assert_int_equal(hf_dht_table_row_of(table, contact.id), vectors_uint(item, "row"));
		assert_int_equal(hf_dht_table_add(table, &contact, (uint32_t)i, NULL), vectors_bool(item, "added") ? HF_OK : HF_EBUSY);
		added += vectors_bool(item, "added");
	}
	assert_int_equal(table->count, added);
}

static void test_rows_and_their_order_are_the_package_s(void **state)
{
	json_t *file = vectors_load("swarm/routing.json"), *item, *node;
	struct hf_dht_table table;
	const struct hf_dht_entry *closest[HF_DHT_K];
	uint8_t target[HF_DHT_ID_BYTES];
	char text[HF_ADDRESS_TEXT_BYTES];
	size_t i, k;

	(void)state;
	fill(&table, file);
	json_array_foreach(vectors_array(file, "closest", CLOSEST_COUNT), i, item) {
		json_t *nodes = vectors_get(item, "nodes");
		vectors_bytes(target, sizeof target, item, "target");
		assert_int_equal(hf_dht_table_closest(&table, target, closest, HF_DHT_K), json_array_size(nodes));
		json_array_foreach(nodes, k, node)
			assert_string_equal(hf_address_text(&closest[k]->contact.address, true, text), json_string_value(node));
	}
	hf_dht_table_free(&table);
	json_decref(file);
}

static void test_nodes_come_go_and_are_heard(void **state)
{
	json_t *file = vectors_load("swarm/routing.json");
	struct hf_dht_table table;
	struct hf_dht_contact own = {0};
	size_t count;

	(void)state;
	fill(&table, file);
	memcpy(own.id, table.id, sizeof own.id);
	assert_int_equal(hf_dht_table_add(&table, &own, 0, NULL), HF_EEXISTS);
	assert_int_equal(hf_dht_table_add(&table, &table.oldest->contact, 0, NULL), HF_EEXISTS);
	struct hf_dht_entry *first = table.oldest;
	hf_dht_table_heard(&table, first);
	assert_ptr_equal(table.latest, first);
	assert_ptr_equal(hf_dht_table_get(&table, first->contact.id), first);
	count = table.count;
	for (uint64_t i = 0; i < count; i++)
		assert_non_null(hf_dht_table_pick(&table, i));
	assert_ptr_not_equal(hf_dht_table_pick(&table, 0), hf_dht_table_pick(&table, 1));
	while (table.oldest) {
		struct hf_dht_contact contact = table.oldest->contact;
		hf_dht_table_remove(&table, table.oldest);
		assert_null(hf_dht_table_get(&table, contact.id));
		assert_int_equal(table.count, --count);
	}
	assert_null(hf_dht_table_pick(&table, 3));
	assert_null(table.latest);
	hf_dht_table_free(&table);
	json_decref(file);
}

static void test_another_id_keeps_what_fits(void **state)
{
	json_t *file = vectors_load("swarm/routing.json");
	struct hf_dht_table table;
	uint8_t id[HF_DHT_ID_BYTES];
	size_t count, rows = 0;

	(void)state;
	fill(&table, file);
	count = table.count;
	memcpy(id, table.oldest->contact.id, sizeof id);
	assert_int_equal(hf_dht_table_rekey(&table, id), HF_OK);
	assert_memory_equal(table.id, id, sizeof id);
	assert_true(table.count < count); /* itself at least */
	assert_null(hf_dht_table_get(&table, id));
	for (struct hf_dht_entry *entry = table.oldest; entry; entry = entry->newer) {
		assert_ptr_equal(hf_dht_table_get(&table, entry->contact.id), entry);
		rows++;
	}
	assert_int_equal(rows, table.count);
	hf_dht_table_free(&table);
	json_decref(file);
}

static void test_addresses_are_guessed_as_in_the_package(void **state)
{
	json_t *file = vectors_load("swarm/routing.json"), *item, *step;
	struct hf_nat_sampler sampler;
	size_t i, k, steps = 0;

	(void)state;
	json_array_foreach(vectors_array(file, "natSampler", SAMPLER_COUNT), i, item) {
		hf_nat_sampler_init(&sampler);
		json_array_foreach(vectors_get(item, "steps"), k, step) {
			struct hf_address sample = json_address(vectors_get(step, "add"));
			hf_nat_sampler_add(&sampler, &sample);
			assert_int_equal(sampler.has_host, json_has(step, "host"));
			assert_int_equal(sampler.address.port, vectors_uint(step, "port"));
			if (sampler.has_host) {
				struct hf_address expected = json_address(step);
				assert_true(hf_address_equal(&sampler.address, &expected));
			}
			steps++;
		}
	}
	assert_int_equal(steps, 25);
	json_decref(file);
}

/* The ring turns: what was said long ago is forgotten. */
static void test_a_new_address_wins_in_the_end(void **state)
{
	struct hf_nat_sampler sampler;
	struct hf_address before, after;

	(void)state;
	assert_int_equal(hf_address_parse("192.0.2.1:1000", &before, NULL), HF_OK);
	assert_int_equal(hf_address_parse("192.0.2.9:2000", &after, NULL), HF_OK);
	hf_nat_sampler_init(&sampler);
	for (unsigned i = 0; i < 100; i++)
		hf_nat_sampler_add(&sampler, &before);
	assert_true(hf_address_equal(&sampler.address, &before));
	for (unsigned i = 0; i < 16; i++)
		hf_nat_sampler_add(&sampler, &after);
	assert_true(sampler.has_host && hf_address_equal(&sampler.address, &after));
	for (unsigned i = 0; i < 1000; i++) { /* every sample another: nothing is left over */
		after.port = (uint16_t)(3000 + i);
		hf_nat_sampler_add(&sampler, &after);
	}
	assert_true(sampler.has_host);
	assert_int_equal(sampler.address.port, 0);
}

/* ---- Doubts ---- */

static void test_whoever_names_what_is_not_there_is_doubted_for_a_while(void **state)
{
	static struct hf_dht_doubt doubt;
	struct hf_address liar, honest, unlucky;

	(void)state;
	assert_int_equal(hf_address_parse("192.0.2.1:1000", &liar, NULL), HF_OK);
	assert_int_equal(hf_address_parse("192.0.2.2:1000", &honest, NULL), HF_OK);
	assert_int_equal(hf_address_parse("192.0.2.1:1001", &unlucky, NULL), HF_OK);
	hf_dht_doubt_add(&doubt, &liar, 0, 2, 5);
	assert_false(hf_dht_doubt_has(&doubt, &liar, 5));
	hf_dht_doubt_add(&doubt, &liar, 1, 1, 6);
	assert_true(hf_dht_doubt_has(&doubt, &liar, 6));
	hf_dht_doubt_add(&doubt, &honest, 6, 3, 6);
	assert_false(hf_dht_doubt_has(&doubt, &honest, 6));
	assert_false(hf_dht_doubt_has(&doubt, &unlucky, 6));
	assert_true(hf_dht_doubt_has(&doubt, &liar, 6 + HF_DHT_DOUBT_TICKS));
	assert_false(hf_dht_doubt_has(&doubt, &liar, 7 + HF_DHT_DOUBT_TICKS));
	hf_dht_doubt_add(&doubt, &liar, 0, 1, 7 + HF_DHT_DOUBT_TICKS); /* what was then does not count any more */
	assert_false(hf_dht_doubt_has(&doubt, &liar, 7 + HF_DHT_DOUBT_TICKS));
}

static void test_a_doubted_node_can_make_good(void **state)
{
	static struct hf_dht_doubt doubt;
	struct hf_address node;

	(void)state;
	assert_int_equal(hf_address_parse("192.0.2.1:1000", &node, NULL), HF_OK);
	hf_dht_doubt_add(&doubt, &node, 0, 4000, 1);
	assert_true(hf_dht_doubt_has(&doubt, &node, 1));
	for (unsigned i = 0; i < 3; i++)
		hf_dht_doubt_add(&doubt, &node, 20, 0, 1);
	assert_false(hf_dht_doubt_has(&doubt, &node, 1));
}

/* More than there is room for: those that come last are remembered. */
static void test_doubts_are_bounded(void **state)
{
	static struct hf_dht_doubt doubt;
	struct hf_address node;

	(void)state;
	assert_int_equal(hf_address_parse("192.0.2.1:1000", &node, NULL), HF_OK);
	for (unsigned i = 0; i < 10000; i++) {
		node.port = (uint16_t)(1 + i);
		hf_dht_doubt_add(&doubt, &node, 0, 9, i);
		assert_true(hf_dht_doubt_has(&doubt, &node, i));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows_and_their_order_are_the_package_s),
		cmocka_unit_test(test_nodes_come_go_and_are_heard),
		cmocka_unit_test(test_another_id_keeps_what_fits),
		cmocka_unit_test(test_addresses_are_guessed_as_in_the_package),
		cmocka_unit_test(test_a_new_address_wins_in_the_end),
		cmocka_unit_test(test_whoever_names_what_is_not_there_is_doubted_for_a_while),
		cmocka_unit_test(test_a_doubted_node_can_make_good),
		cmocka_unit_test(test_doubts_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
