/* Tables against a sorted array, their snapshot file, and the manifest's text. */
#include "store_test.h"

#include "store/manifest.h"
#include "store/table.h"

#define KEYS 300

static const uint8_t uuid[16] = "0123456789abcdef";
static uint64_t state_random = 3;

static uint64_t draw(uint64_t below)
{
	state_random = state_random * 6364136223846793005u + 1442695040888963407u;
	return (state_random >> 33) % below;
}

static struct hf_slice key_of(unsigned number, char text[16])
{
	snprintf(text, 16, "k%05u", number);
	return hf_slice_text(text);
}

struct walk {
	const unsigned *values;
	unsigned next;
	int rows;
};

static int check_row(void *context, struct hf_slice key, struct hf_slice value)
{
	struct walk *walk = context;
	char text[16];

	while (walk->next < KEYS && walk->values[walk->next] == 0)
		walk->next++;
	assert_true(walk->next < KEYS);
	assert_true(hf_slice_equal(key, key_of(walk->next, text)));
	assert_int_equal(value.length, walk->values[walk->next] % 100);
	walk->next++;
	walk->rows++;
	return 0;
}

static void check_tables(struct hf_tables *tables, const unsigned values[KEYS], uint32_t table)
{
	struct walk walk = {values, 0, 0};
	int rows = 0;

	for (unsigned i = 0; i < KEYS; i++)
		rows += values[i] != 0;
	assert_int_equal(hf_tables_scan(tables, table, hf_slice(NULL, 0), check_row, &walk), 0);
	assert_int_equal(walk.rows, rows);
}

static void test_table_follows_the_model_and_its_file(void **state)
{
	static const uint8_t filler[100];
	unsigned values[2][KEYS] = {{0}};
	struct hf_tables tables, copy;
	struct hf_buffer file = {0};
	uint64_t position;
	char text[16];

	(void)state;
	assert_int_equal(hf_tables_init(&tables), HF_OK);
	for (int i = 0; i < 20000; i++) {
		uint32_t table = (uint32_t)draw(2);
		unsigned key = (unsigned)draw(KEYS);

		values[table][key] = draw(3) == 0 ? 0 : 1 + (unsigned)draw(1000);
		if (values[table][key] == 0)
			hf_tables_delete(&tables, table, key_of(key, text));
		else
			assert_int_equal(hf_tables_put(&tables, table, key_of(key, text), hf_slice(filler, values[table][key] % 100)), HF_OK);
	}
	check_tables(&tables, values[0], 0);
	check_tables(&tables, values[1], 1);
	tables.position = 77;
	assert_int_equal(hf_tables_encode(&tables, uuid, &position, &file), HF_OK);
	assert_int_equal(position, 77);
	assert_int_equal(hf_tables_init(&copy), HF_OK);
	assert_int_equal(hf_tables_decode(&copy, uuid, hf_buffer_slice(&file)), HF_OK);
	check_tables(&copy, values[0], 0);
	check_tables(&copy, values[1], 1);
	assert_int_equal(copy.bytes, tables.bytes);
	hf_tables_free(&copy);
	for (size_t at = 0; at < file.length; at += 1 + file.length / 500) {
		file.data[at] ^= 4;
		assert_int_equal(hf_tables_init(&copy), HF_OK);
		assert_int_equal(hf_tables_decode(&copy, uuid, hf_buffer_slice(&file)), HF_ECORRUPT);
		hf_tables_free(&copy);
		file.data[at] ^= 4;
	}
	hf_buffer_free(&file);
	hf_tables_free(&tables);
}

static void test_manifest_is_read_as_written_and_damage_is_refused(void **state)
{
	struct hf_manifest m = {.format = HF_STORE_FORMAT_VERSION, .seed = 0x123456789abcdef0u, .next_file = 9, .synced = 5000,
		.replay = 4000, .counted = 4500, .table_file = 3, .table_position = 4100, .block_position = 4200}, back;
	struct hf_buffer text = {0};
	struct hf_failure failure;

	(void)state;
	memcpy(m.uuid, uuid, sizeof uuid);
	for (uint32_t i = 0; i < 3; i++)
		*hf_manifest_add_log(&m) = (struct hf_log_segment_info){.number = i + 1, .generation = i, .base = 64 + 1000 * i, .length = 1000, .dead_bytes = i};
	m.collection_present[2] = m.collection_present[5] = true;
	m.collection_position[5] = 4000;
	for (uint32_t i = 0; i < 4; i++)
		*hf_manifest_add_segment(&m) = (struct hf_manifest_segment){.collection = i % 2 ? 5 : 2, .dead_generation = i,
			.info = {.number = 10 + i, .tier = i, .doc_count = 100, .dead_count = i, .file_bytes = 4096, .position_max = 3000}};
	*hf_manifest_add_log(&m) = (struct hf_log_segment_info){.number = 90, .base = 900000}; /* those between are gone */
	*hf_manifest_add_run(&m) = 7;
	assert_int_equal(hf_manifest_print(&m, &text), HF_OK);
	assert_int_equal(hf_manifest_parse(&back, hf_buffer_slice(&text), &failure), HF_OK);
	assert_int_equal(back.log_count, 4);
	assert_int_equal(back.segment_count, 4);
	assert_int_equal(back.run_count, 1);
	assert_int_equal(back.seed, m.seed);
	assert_memory_equal(back.uuid, uuid, sizeof uuid);
	assert_int_equal(back.collection_position[5], 4000);
	assert_int_equal(back.segments[1].info.position_max, 3000);
	hf_manifest_free(&back);
	for (size_t i = 0; i < text.length; i++) {
		text.data[i] ^= 1;
		assert_int_not_equal(hf_manifest_parse(&back, hf_buffer_slice(&text), &failure), HF_OK);
		assert_non_null(strstr(failure.text, "MANIFEST"));
		text.data[i] ^= 1;
		assert_int_not_equal(hf_manifest_parse(&back, hf_slice(text.data, i), &failure), HF_OK);
	}
	hf_buffer_free(&text);
	hf_manifest_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table_follows_the_model_and_its_file),
		cmocka_unit_test(test_manifest_is_read_as_written_and_damage_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
