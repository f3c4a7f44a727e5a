/* json: tokens, form, depth, strings in their three spellings, and numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/utf8.h"
#include "codec/json.h"

/* Writes the tokens of text as one letter each; the last is '.' for the end, '!' for malformed, '#' for too deep. */
static void spell(const char *text, uint32_t depth_max, char *out)
{
	static const char letters[] = ".{}[]snTFN";
	struct hf_json json;
	struct hf_json_token token;
	hf_json_init(&json, hf_slice_text(text), depth_max);
	for (;;) {
		int status = hf_json_next(&json, &token);
		*out++ = status == HF_OK ? (token.is_key ? 'k' : letters[token.type]) : status == HF_ETOOBIG ? '#' : '!';
		if (status < 0 || token.type == HF_JSON_END)
			break;
	}
	*out = 0;
}

static void test_tokens(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{" {\"a\" : [1, -2.5e+3 ,\"x\"], \"b\":{} , \"c\":[ ]}\n", "{k[nns]k{}k[]}."},
		{"[true,false,null]", "[TFN]."},
		{"0", "n."}, {"-0", "n."}, {"\"\"", "s."}, {"[]", "[]."}, {"[[],{}]", "[[]{}]."},
		{"", "!"}, {" ", "!"}, {"[", "[!"}, {"]", "!"}, {"{]", "{!"}, {"[}", "[!"}, {"[1,]", "[n!"}, {"[,1]", "[!"},
		{"[1 2]", "[n!"}, {"{\"a\"}", "{!"}, {"{\"a\":}", "{k!"}, {"{\"a\":1,}", "{kn!"}, {"{1:1}", "{!"}, {"{,}", "{!"},
		{"1 1", "n!"}, {"[]]", "[]!"}, {"{}{}", "{}!"}, {"[1:2]", "[n!"}, {"{\"a\":1:2}", "{kn!"},
		{"01", "!"}, {"+1", "!"}, {"1.", "!"}, {".5", "!"}, {"1e", "!"}, {"1e+", "!"}, {"-", "!"}, {"0x1", "n!"}, {"1E9", "n."},
		{"tru", "!"}, {"True", "!"}, {"nul", "!"}, {"truex", "T!"}, {"'a'", "!"}, {"\"a", "!"}, {"\"\\\"", "!"},
		{"[[[[1]]]]", "[[[[n]]]]."}, {"[[[[[1]]]]]", "[[[[#"}, {"{\"a\":[{\"a\":{\"a\":{", "{k[{k{k#"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char spelled[64];
		spell(cases[i][0], 4, spelled);
		if (strcmp(spelled, cases[i][1]) != 0)
			fail_msg("%s: %s, not %s", cases[i][0], spelled, cases[i][1]);
	}
}

static void test_skipping_and_leaving(void **state)
{
	(void)state;
	struct hf_json json;
	struct hf_json_token token;
	hf_json_init(&json, HF_SLICE_LITERAL("[{\"a\":[1,{\"b\":2}],\"c\":3}, [4,[5]], 6, \"7\"]"), 8);
	assert_int_equal(hf_json_next(&json, &token), HF_OK);
	assert_int_equal(hf_json_skip(&json), HF_OK);
	assert_int_equal(hf_json_next(&json, &token), HF_OK);
	assert_int_equal(token.type, HF_JSON_ARRAY);
	assert_int_equal(hf_json_next(&json, &token), HF_OK);
	assert_int_equal(hf_json_leave(&json), HF_OK);
	assert_int_equal(hf_json_skip(&json), HF_OK);
	assert_int_equal(hf_json_next(&json, &token), HF_OK);
	assert_int_equal(token.raw.data[0], '7');
	assert_int_equal(hf_json_skip(&json), HF_EMALFORMED);

	hf_json_init(&json, HF_SLICE_LITERAL("[]"), 8);
	assert_int_equal(hf_json_leave(&json), HF_EINVAL);
	assert_int_equal(hf_json_next(&json, &token), HF_OK);
	assert_int_equal(hf_json_skip(&json), HF_EMALFORMED);
	hf_json_init(&json, HF_SLICE_LITERAL("{\"a\":[[[[1]]]]}"), 3);
	assert_int_equal(hf_json_skip(&json), HF_ETOOBIG);
}

static void test_depth_is_bounded_and_costs_no_stack(void **state)
{
	(void)state;
	size_t length = 1 << 20;
	char *text = malloc(length);
	struct hf_json json;
	memset(text, '[', length);
	hf_json_init(&json, hf_slice(text, length), UINT32_MAX);
	assert_int_equal(hf_json_skip(&json), HF_ETOOBIG);
	assert_int_equal(json.at - json.start, HF_JSON_DEPTH_MAX);
	free(text);
}

static void test_strings_in_three_spellings(void **state)
{
	(void)state;
	static const struct {
		const char *raw, *canonical, *decoded;
		unsigned features;
	} cases[] = {
		{"plain", "plain", "plain", 0},
		{"\xc3\xa9\x7f", "\xc3\xa9\x7f", "\xc3\xa9\x7f", 0},
		{"\\n\\r\\t\\b\\f\\\\\\\"", "\\n\\r\\t\\b\\f\\\\\\\"", "\n\r\t\b\f\\\"", HF_JSON_ESCAPES},
		{"\\/", "/", "/", HF_JSON_ESCAPES | HF_JSON_LOOSE},
		{"\\u0041", "A", "A", HF_JSON_ESCAPES | HF_JSON_LOOSE},
		{"\\u000a", "\\n", "\n", HF_JSON_ESCAPES | HF_JSON_LOOSE},
		{"\\u001f", "\\u001f", "\x1f", HF_JSON_ESCAPES | HF_JSON_CONTROLS},
		{"\\u001F", "\\u001f", "\x1f", HF_JSON_ESCAPES | HF_JSON_CONTROLS | HF_JSON_LOOSE},
		{"\\u00e9\\u07FF\\u0800\\uffff", "\xc3\xa9\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf", "\xc3\xa9\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf",
			HF_JSON_ESCAPES | HF_JSON_LOOSE},
		{"\\uD800\\uDC00\\uDBFF\\uDFFF", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf",
			HF_JSON_ESCAPES | HF_JSON_LOOSE},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct hf_buffer text = {0}, again = {0};
		struct hf_slice raw = hf_slice_text(cases[i].raw);
		uint8_t out[64];
		unsigned features = 0;
		hf_buffer_printf(&text, "%s\"", cases[i].raw);
		assert_ptr_equal(hf_json_scan_string(text.data, text.data + text.length, &features), text.data + raw.length);
		assert_int_equal(features, cases[i].features);
		assert_true(hf_slice_equal(hf_slice(out, hf_json_canonical(raw, out)), hf_slice_text(cases[i].canonical)));
		struct hf_slice decoded = hf_slice(out, hf_json_unescape(raw, out));
		assert_true(hf_slice_equal(decoded, hf_slice_text(cases[i].decoded)));
		assert_int_equal(hf_json_append_string(&again, decoded), HF_OK);
		assert_true(hf_slice_equal(hf_slice(again.data + 1, again.length - 2), hf_slice_text(cases[i].canonical)));
		hf_buffer_free(&text);
		hf_buffer_free(&again);
	}
}

/* The wide scan beside one that goes byte by byte, with anything at any place. */
static void test_scan_finds_the_same_end_at_every_alignment(void **state)
{
	(void)state;
	static const char *const pieces[] = {"\"", "\\\"", "\\\\", "\\", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\x80", "\xff",
		"\xc3", "\xe0\x9f\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\x1f",
		"\x7f", "\\u00", "\\ud83d\\ude00", "\\ud83d", "\n"};
	for (size_t p = 0; p < sizeof pieces / sizeof *pieces; p++) {
		for (size_t before = 0; before < 40; before++) {
			char text[96];
			size_t length = strlen(pieces[p]);
			memset(text, 'x', sizeof text);
			memcpy(text + before, pieces[p], length);
			text[70] = '"';
			unsigned features = 0;
			const uint8_t *from = (const uint8_t *)text;
			const uint8_t *end = hf_json_scan_string(from, from + sizeof text, &features);
			bool escape = text[before] == '\\';
			bool good = escape ? length == 2 || length == 12 : (uint8_t)text[before] >= 0x20 &&
				hf_utf8_valid((const uint8_t *)pieces[p], length);
			if (pieces[p][0] == '"')
				assert_ptr_equal(end, from + before);
			else
				assert_ptr_equal(end, good ? from + 70 : NULL);
			assert_int_equal(features != 0, escape && good);
			assert_null(hf_json_scan_string(from + 71, from + 71 + before % 20, &features));
		}
	}
}

static void test_numbers(void **state)
{
	(void)state;
	uint64_t value;
	assert_int_equal(hf_json_u64(HF_SLICE_LITERAL("18446744073709551615"), &value), HF_OK);
	assert_true(value == UINT64_MAX);
	assert_int_equal(hf_json_u64(HF_SLICE_LITERAL("0"), &value), HF_OK);
	assert_int_equal(value, 0);
	assert_int_equal(hf_json_u64(HF_SLICE_LITERAL("18446744073709551616"), &value), HF_ETOOBIG);
	assert_int_equal(hf_json_u64(HF_SLICE_LITERAL("99999999999999999999999"), &value), HF_ETOOBIG);
	static const char *const bad[] = {"", "-1", "1.0", "1e3", "01", " 1", "1 ", "x"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(hf_json_u64(hf_slice_text(bad[i]), &value), HF_EMALFORMED);
	static const uint64_t values[] = {0, 9, 10, 1700000000, UINT64_MAX};
	for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
		uint8_t digits[HF_JSON_U64_BYTES_MAX];
		char expected[24];
		snprintf(expected, sizeof expected, "%llu", (unsigned long long)values[i]);
		assert_true(hf_slice_equal(hf_slice(digits, hf_json_write_u64(digits, values[i])), hf_slice_text(expected)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_skipping_and_leaving),
		cmocka_unit_test(test_depth_is_bounded_and_costs_no_stack),
		cmocka_unit_test(test_strings_in_three_spellings),
		cmocka_unit_test(test_scan_finds_the_same_end_at_every_alignment),
		cmocka_unit_test(test_numbers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
