/* Canonical JSON: what JavaScript writes, and what is refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "service/gateway/canonical.h"
#include "support/vectors.h"

static void expect(const char *text, const char *canonical)
{
	struct hf_buffer out = {0};
	int r = hf_canonical(hf_slice_text(text), &out);
	if (r != HF_OK || !hf_slice_equal(hf_buffer_slice(&out), hf_slice_text(canonical)))
		fail_msg("%.60s: %d, %.*s instead of %.60s", text, r, (int)(out.length < 60 ? out.length : 60), (char *)out.data, canonical);
	hf_buffer_free(&out);
}

static void test_texts_become_what_javascript_writes(void **state)
{
	json_t *vectors = vectors_load("gateway-canonical.json"), *entry;
	size_t i;
	json_array_foreach(vectors_array(vectors, "texts", 23), i, entry)
		expect(json_string_value(json_array_get(entry, 0)), json_string_value(json_array_get(entry, 1)));
	json_decref(vectors);
}

static void test_numbers_print_as_javascript_prints_them(void **state)
{
	json_t *vectors = vectors_load("gateway-canonical.json"), *entry;
	size_t i;
	json_array_foreach(vectors_array(vectors, "numbers", 2560), i, entry)
		expect(json_string_value(json_array_get(entry, 0)), json_string_value(json_array_get(entry, 1)));
	json_decref(vectors);
}

static void refuse(struct hf_slice text, int status)
{
	struct hf_buffer out = {0};
	hf_buffer_append_text(&out, "kept");
	assert_int_equal(hf_canonical(text, &out), status);
	assert_true(hf_slice_equal(hf_buffer_slice(&out), HF_SLICE_LITERAL("kept")));
	hf_buffer_free(&out);
}

static void test_what_is_no_json_is_refused_and_leaves_nothing(void **state)
{
	static const char *const texts[] = {"", " ", "{", "[1,", "{\"a\"}", "{\"a\":1,}", "[1 2]", "{}{}", "01", "nul", "\"\\ud800\"", "\"\\udc00x\"",
		"{\"\\ud800\":1}", "\"\x01\"", "+1", "{1:2}", "[1]]", "1e", "\"\xff\""};
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		refuse(hf_slice_text(texts[i]), HF_EMALFORMED);
}

static void test_depth_members_and_bytes_are_bounded(void **state)
{
	char *text = malloc(HF_CANONICAL_BYTES_MAX + 2);
	size_t length = 0;
	memset(text, '[', 40);
	memset(text + 40, ']', 40);
	refuse(hf_slice(text, 80), HF_ETOOBIG);
	text[length++] = '{';
	for (int i = 0; i <= HF_CANONICAL_MEMBERS_MAX; i++)
		length += (size_t)sprintf(text + length, "%s\"k%d\":1", i ? "," : "", i);
	text[length++] = '}';
	refuse(hf_slice(text, length), HF_ETOOBIG);
	memset(text, ' ', HF_CANONICAL_BYTES_MAX + 1);
	text[0] = '1';
	refuse(hf_slice(text, HF_CANONICAL_BYTES_MAX + 1), HF_ETOOBIG);
	free(text);
}

static void test_members_and_items_are_found(void **state)
{
	static const char text[] = "{\"a\":\"x\\\"}\",\"b\":[1,[2,3],{\"c\":4},\"]\"],\"d\":{},\"e\":true,\"f\":12,\"g\":\"0aff\",\"h\":-1,\"i\":\"\"}";
	struct hf_slice object = hf_slice_text(text), value, item, name;
	uint64_t number = 0;
	uint8_t bytes[2];
	size_t cursor = 0, count = 0;
	expect(text, text);
	assert_true(hf_canonical_raw(object, "a", &value));
	assert_true(hf_slice_equal(value, HF_SLICE_LITERAL("x\\\"}")));
	assert_false(hf_canonical_plain(object, "a", &value));
	assert_true(hf_canonical_plain(object, "i", &value) && value.length == 0);
	assert_true(hf_canonical_member(object, "b", &value));
	while (hf_canonical_next_item(value, &cursor, &item))
		count++;
	assert_int_equal(count, 4);
	assert_true(hf_slice_equal(item, HF_SLICE_LITERAL("\"]\"")) || item.length == 0);
	assert_true(hf_canonical_bool(object, "e", false));
	assert_true(hf_canonical_bool(object, "zz", true));
	assert_true(hf_canonical_bool(object, "f", true));
	assert_true(hf_canonical_u64(object, "f", &number) && number == 12);
	assert_false(hf_canonical_u64(object, "h", &number));
	assert_true(hf_canonical_hex(object, "g", bytes, 2) && bytes[1] == 0xff);
	assert_false(hf_canonical_hex(object, "g", bytes, 1));
	assert_false(hf_canonical_member(object, "c", &value));
	assert_false(hf_canonical_member(HF_SLICE_LITERAL("[]"), "a", &value));
	cursor = count = 0;
	while (hf_canonical_next_member(object, &cursor, &name, &value))
		count++;
	assert_int_equal(count, 8);
	cursor = 0;
	assert_false(hf_canonical_next_item(HF_SLICE_LITERAL("[]"), &cursor, &item));
	assert_false(hf_canonical_next_member(HF_SLICE_LITERAL("{}"), &cursor, &name, &value));
}

static void test_merging_keeps_what_only_one_side_knows(void **state)
{
	static const char *const dropped[] = {"a", "q", NULL};
	struct hf_buffer out = {0};
	assert_int_equal(hf_canonical_merge(HF_SLICE_LITERAL("{\"a\":1,\"old\":{\"x\":1}}"), HF_SLICE_LITERAL("{\"a\":2,\"new\":[]}"), &out), HF_OK);
	assert_true(hf_slice_equal(hf_buffer_slice(&out), HF_SLICE_LITERAL("{\"a\":2,\"new\":[],\"old\":{\"x\":1}}")));
	hf_buffer_clear(&out);
	assert_int_equal(hf_canonical_merge(HF_SLICE_LITERAL("{}"), HF_SLICE_LITERAL("{}"), &out), HF_OK);
	assert_true(hf_slice_equal(hf_buffer_slice(&out), HF_SLICE_LITERAL("{}")));
	hf_buffer_clear(&out);
	assert_int_equal(hf_canonical_merge((struct hf_slice){0}, HF_SLICE_LITERAL("{\"a\":2}"), &out), HF_OK);
	assert_true(hf_slice_equal(hf_buffer_slice(&out), HF_SLICE_LITERAL("{\"a\":2}")));
	hf_buffer_clear(&out);
	assert_int_equal(hf_canonical_without(HF_SLICE_LITERAL("{\"a\":1,\"b\":{\"a\":3},\"q\":4,\"r\":5}"), dropped, &out), HF_OK);
	assert_true(hf_slice_equal(hf_buffer_slice(&out), HF_SLICE_LITERAL("{\"b\":{\"a\":3},\"r\":5}")));
	hf_buffer_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts_become_what_javascript_writes),
		cmocka_unit_test(test_numbers_print_as_javascript_prints_them),
		cmocka_unit_test(test_what_is_no_json_is_refused_and_leaves_nothing),
		cmocka_unit_test(test_depth_members_and_bytes_are_bounded),
		cmocka_unit_test(test_members_and_items_are_found),
		cmocka_unit_test(test_merging_keeps_what_only_one_side_knows),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
