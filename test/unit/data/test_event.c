/* event: what is parsed, what is refused and why, what is hashed, and that the stored form gives back what was put in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "event_text.h"

#define ID "\"id\":\"0000000000000000000000000000000000000000000000000000000000000000\""
#define PUBKEY "\"pubkey\":\"" TEST_PUBKEY "\""
#define SIG "\"sig\":\"" TEST_SIG "\""
#define REST ID "," PUBKEY ",\"content\":\"\"," SIG
#define TIME_KIND "\"created_at\":1,\"kind\":1"

static int parse(const char *text, size_t length, struct hf_buffer *canonical, struct hf_event *event, const char **reason)
{
	struct hf_json json;
	hf_json_init(&json, hf_slice(text, length), HF_JSON_DEPTH_MAX);
	int status = hf_event_parse(&json, canonical, HF_EVENT_BYTES_MAX, event, reason);
	if (status == HF_OK)
		assert_int_equal(json.at - json.start, length);
	return status;
}

static void assert_slice(struct hf_slice slice, const char *expected)
{
	assert_int_equal(slice.length, strlen(expected));
	assert_memory_equal(slice.data, expected, slice.length);
}

/* The event is accepted and its canonical tags and content are these. */
static void assert_accepted(const char *tags, const char *content, const char *canonical_tags,
	const char *canonical_content, const char *hash_content)
{
	struct hf_buffer text = {0}, canonical = {0};
	struct hf_event event;
	const char *reason = NULL;
	test_event_append(&text, TEST_PUBKEY, 1700000000, 1, tags, content, canonical_tags, hash_content);
	int status = parse((const char *)text.data, text.length, &canonical, &event, &reason);
	if (status != HF_OK)
		print_message("%.*s: %s\n", (int)text.length, text.data, reason);
	assert_int_equal(status, HF_OK);
	assert_slice(event.tags, canonical_tags);
	assert_slice(event.content, canonical_content);
	hf_buffer_free(&text);
	hf_buffer_free(&canonical);
}

static void test_canonical_text_and_hash(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{"", ""},
		{"plain \x7f DEL", "plain \x7f DEL"},
		{"\\n\\\"\\\\\\r\\t\\b\\f", "\\n\\\"\\\\\\r\\t\\b\\f"},
		{"\\u000a\\u0022\\u005c\\u000D\\u0009\\u0008\\u000C", "\\n\\\"\\\\\\r\\t\\b\\f"},
		{"a\\/b", "a/b"},
		{"\\u00e9\\u20AC", "\xc3\xa9\xe2\x82\xac"},
		{"\\ud83d\\ude00 \xf0\x9f\x98\x80", "\xf0\x9f\x98\x80 \xf0\x9f\x98\x80"},
		{"\\u007f", "\x7f"},
		{"\\u2028", "\xe2\x80\xa8"},
		{"\\u001F\\u0000\\u001f", "\\u001f\\u0000\\u001f"},
		{"\\\\u0041", "\\\\u0041"},
		{"long enough for a wide step or two, then \\/ and so on", "long enough for a wide step or two, then / and so on"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char tags[256], canonical[256];
		snprintf(tags, sizeof tags, " [ [\"t\" ,\t\"%s\"] , [\"%s\"]\n]", cases[i][0], cases[i][0]);
		snprintf(canonical, sizeof canonical, "[[\"t\",\"%s\"],[\"%s\"]]", cases[i][1], cases[i][1]);
		assert_accepted("[]", cases[i][0], "[]", cases[i][1], cases[i][1]);
		assert_accepted(tags, "", canonical, "", "");
	}
}

static void test_control_characters_may_be_hashed_verbatim(void **state)
{
	(void)state;
	assert_accepted("[]", "bell \\u0007 and \\n", "[]", "bell \\u0007 and \\n", "bell \x07 and \\n");
	assert_accepted("[]", "bell \\u0007 and \\\\u0007", "[]", "bell \\u0007 and \\\\u0007", "bell \x07 and \\\\u0007");
}

static void test_id_must_be_the_hash(void **state)
{
	(void)state;
	struct hf_buffer text = {0}, canonical = {0};
	struct hf_event event;
	const char *reason;
	test_event_append(&text, TEST_PUBKEY, 1, 1, "[]", "a", NULL, "b");
	assert_int_equal(parse((const char *)text.data, text.length, &canonical, &event, &reason), HF_EMALFORMED);
	assert_string_equal(reason, "invalid: id is not the hash of the event");
	assert_int_equal(canonical.length, 0);
	hf_buffer_free(&text);
	hf_buffer_free(&canonical);
}

static void test_order_and_unknown_members_are_free(void **state)
{
	(void)state;
	struct hf_buffer text = {0}, canonical = {0}, shuffled = {0};
	struct hf_event event;
	const char *reason;
	test_event_append(&text, TEST_PUBKEY, 5, 7, "[]", "x", NULL, NULL);
	hf_buffer_printf(&shuffled, " {\"sig\" : \"%s\",\"extra\":[{\"a\":[1.5e3,null,true,false,\"\\ud83d\\ude00\"]},{}] , "
		"\"content\":\"x\",\"tags\" : [ ] ,\"\":0,\"kin\\u0064\":7,\"created_at\":5,\"pubkey\":\"" TEST_PUBKEY "\",%.*s}",
		TEST_SIG, 71, (const char *)text.data + 1);
	assert_int_equal(parse((const char *)shuffled.data, shuffled.length, &canonical, &event, &reason), HF_OK);
	assert_int_equal(event.kind, 7);
	assert_int_equal(event.created_at, 5);
	hf_buffer_free(&text);
	hf_buffer_free(&shuffled);
	hf_buffer_free(&canonical);
}

static void test_malformed_events_are_refused_with_their_reason(void **state)
{
	(void)state;
	static const struct {
		const char *text, *reason;
	} cases[] = {
		{"", "not well-formed"},
		{"[]", "must be a JSON object"},
		{"1", "must be a JSON object"},
		{"{}", "has no id"},
		{"{" ID "}", "has no pubkey"},
		{"{" ID "," ID "}", "same member twice"},
		{"{" ID ",\"i\\u0064\":1}", "same member twice"},
		{"{\"kind\":1,\"kind\":1}", "same member twice"},
		{"{\"id\":\"AABBCCDDEEFF00112233445566778899aabbccddeeff00112233445566778899\"}", "id must be 64 lower-case"},
		{"{\"id\":\"aa\"}", "id must be 64"},
		{"{\"id\":null}", "id must be 64"},
		{"{\"pubkey\":\"" TEST_PUBKEY "0\"}", "pubkey must be 64"},
		{"{\"sig\":\"" TEST_PUBKEY "\"}", "sig must be 128"},
		{"{\"created_at\":1.6e9}", "created_at"},
		{"{\"created_at\":1.0}", "created_at"},
		{"{\"created_at\":-1}", "created_at"},
		{"{\"created_at\":-0}", "created_at"},
		{"{\"created_at\":\"1\"}", "created_at"},
		{"{\"created_at\":01}", "not well-formed"},
		{"{\"created_at\":9007199254740992}", "created_at"},
		{"{\"created_at\":99999999999999999999999999}", "created_at"},
		{"{\"kind\":65536}", "kind is above 65535"},
		{"{\"kind\":1e3}", "kind must be"},
		{"{\"kind\":99999999999999999999999999}", "kind must be"},
		{"{\"tags\":{}}", "tags must be an array"},
		{"{\"tags\":null}", "tags must be an array"},
		{"{\"tags\":[[]]}", "at least one string"},
		{"{\"tags\":[[ ]]}", "at least one string"},
		{"{\"tags\":[[\"a\",1]]}", "array of arrays of strings"},
		{"{\"tags\":[[\"a\",null]]}", "array of arrays of strings"},
		{"{\"tags\":[[\"a\",[\"b\"]]]}", "array of arrays of strings"},
		{"{\"tags\":[\"a\"]}", "array of arrays of strings"},
		{"{\"tags\":[[\"a\"],]}", "array of arrays of strings"},
		{"{\"tags\":[[\"a\",]]}", "array of arrays of strings"},
		{"{\"tags\":[[\"a\"]", "array of arrays of strings"},
		{"{\"tags\":[[\"a\"}", "array of arrays of strings"},
		{"{\"tags\":[[\"\x01\"]]}", "string in tags"},
		{"{\"tags\":[[\"\\ud800\"]]}", "string in tags"},
		{"{\"content\":1}", "content must be a string"},
		{"{\"content\":null}", "content must be a string"},
		{"{\"content\":\"\\ud83d\"}", "content is not"},
		{"{\"content\":\"\\ude00\\ud83d\"}", "content is not"},
		{"{\"content\":\"\\x41\"}", "content is not"},
		{"{\"content\":\"\\u12g4\"}", "content is not"},
		{"{\"content\":\"a\nb\"}", "content is not"},
		{"{\"content\":\"\xff\"}", "content is not"},
		{"{\"content\":\"\xc0\x80\"}", "content is not"},
		{"{\"content\":\"\xed\xa0\x80\"}", "content is not"},
		{"{\"content\":\"\xf4\x90\x80\x80\"}", "content is not"},
		{"{\"content\":\"\xe2\x82\"}", "content is not"},
		{"{\"content\":\"", "content is not"},
		{"{\"content\":\"\\", "content is not"},
		{"{\"x\":[1,]," REST "}", "not well-formed"},
		{"{\"x\":tru}", "not well-formed"},
		{"{x:1}", "not well-formed"},
		{"{\"x\" 1}", "not well-formed"},
		{"{\"x\":1,}", "not well-formed"},
		{"{" REST "," TIME_KIND ",\"tags\":[]", "not well-formed"},
		{"{" REST "," TIME_KIND ",\"tags\":[]}", "id is not the hash"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct hf_buffer canonical = {0};
		struct hf_event event;
		const char *reason = NULL;
		/* A copy of exact size, so that a sanitizer sees the first byte read past it. */
		size_t length = strlen(cases[i].text);
		char *copy = malloc(length + 1);
		memcpy(copy + 1, cases[i].text, length);
		assert_true(parse(copy + 1, length, &canonical, &event, &reason) < 0);
		if (strstr(reason, cases[i].reason) == NULL || strncmp(reason, "invalid: ", 9) != 0)
			fail_msg("%s: %s", cases[i].text, reason);
		assert_int_equal(canonical.length, 0);
		free(copy);
		hf_buffer_free(&canonical);
	}
}

static void test_deep_nesting_is_refused_without_recursion(void **state)
{
	(void)state;
	struct hf_buffer text = {0}, canonical = {0};
	struct hf_event event;
	const char *reason = NULL;
	hf_buffer_append_text(&text, "{\"x\":");
	for (int i = 0; i < 100000; i++)
		hf_buffer_append(&text, i % 2 ? "[" : "{\"a\":", i % 2 ? 1 : 5);
	assert_int_equal(parse((const char *)text.data, text.length, &canonical, &event, &reason), HF_ETOOBIG);
	assert_string_equal(reason, "invalid: the JSON is nested too deeply");
	hf_buffer_free(&text);
	hf_buffer_free(&canonical);
}

static void test_limits_hold(void **state)
{
	(void)state;
	struct hf_buffer text = {0}, canonical = {0}, tags = {0};
	struct hf_event event;
	struct hf_json json;
	const char *reason = NULL;
	test_event_append(&text, TEST_PUBKEY, 1, 1, "[]", "0123456789", NULL, NULL);
	hf_json_init(&json, hf_buffer_slice(&text), HF_JSON_DEPTH_MAX);
	assert_int_equal(hf_event_parse(&json, &canonical, 89, &event, &reason), HF_ETOOBIG);
	assert_string_equal(reason, "invalid: the event is larger than this relay takes");
	hf_json_init(&json, hf_buffer_slice(&text), HF_JSON_DEPTH_MAX);
	assert_int_equal(hf_event_parse(&json, &canonical, 90, &event, &reason), HF_OK);

	for (int count = HF_EVENT_TAG_COUNT_MAX; count <= HF_EVENT_TAG_COUNT_MAX + 1; count++) {
		hf_buffer_clear(&tags);
		hf_buffer_clear(&text);
		for (int i = 0; i < count; i++)
			hf_buffer_append_text(&tags, i == 0 ? "[[\"t\"]" : ",[\"t\"]");
		hf_buffer_append(&tags, "]", 2);
		test_event_append(&text, TEST_PUBKEY, 1, 1, (const char *)tags.data, "", NULL, NULL);
		bool fits = count == HF_EVENT_TAG_COUNT_MAX;
		assert_int_equal(parse((const char *)text.data, text.length, &canonical, &event, &reason), fits ? HF_OK : HF_ETOOBIG);
	}
	assert_string_equal(reason, "invalid: too many tags");
	hf_buffer_free(&text);
	hf_buffer_free(&tags);
	hf_buffer_free(&canonical);
}

static void test_id_is_found_in_damaged_objects(void **state)
{
	(void)state;
	uint8_t id[32], expected[32] = {0};
	assert_true(hf_event_peek_id(HF_SLICE_LITERAL("{\"x\":[{}],\"kind\":\"nonsense\"," ID ",\"tags\":[[["), id));
	assert_memory_equal(id, expected, 32);
	assert_false(hf_event_peek_id(HF_SLICE_LITERAL("{\"id\":\"00\"}"), id));
	assert_false(hf_event_peek_id(HF_SLICE_LITERAL("{\"x\":{" ID "}}"), id));
	assert_false(hf_event_peek_id(HF_SLICE_LITERAL("[" ID "]"), id));
	assert_false(hf_event_peek_id(HF_SLICE_LITERAL(""), id));
}

static void test_tags_are_walked(void **state)
{
	(void)state;
	struct hf_event event = {.tags = HF_SLICE_LITERAL(
		"[[\"e\",\"a]\\\"b\",\"x\"],[\"\"],[\"expiration\",\"1700000000\"],[\"-\"],[\"Z\",\"\"],[\"1\",\"v\"],[\"\\\"\",\"q\"]]")};
	static const struct {
		const char *name, *value;
		uint32_t count;
		char letter;
	} expected[] = {{"e", "a]\\\"b", 3, 'e'}, {"", "", 1, 0}, {"expiration", "1700000000", 2, 0}, {"-", "", 1, 0},
		{"Z", "", 2, 'Z'}, {"1", "v", 2, 0}, {"\\\"", "q", 2, 0}};
	struct hf_tag tag;
	size_t cursor = 0;
	for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
		assert_true(hf_event_next_tag(&event, &cursor, &tag));
		assert_slice(tag.name, expected[i].name);
		assert_slice(tag.value, expected[i].value);
		assert_int_equal(tag.element_count, expected[i].count);
		assert_int_equal(tag.letter, expected[i].letter);
		assert_int_equal(tag.raw.data[0], '[');
		assert_int_equal(tag.raw.data[tag.raw.length - 1], ']');
	}
	assert_false(hf_event_next_tag(&event, &cursor, &tag));
	assert_int_equal(hf_event_expiration(&event), 1700000000);
	assert_true(hf_event_is_protected(&event));
	event.tags = HF_SLICE_LITERAL("[]");
	cursor = 0;
	assert_false(hf_event_next_tag(&event, &cursor, &tag));
	assert_true(hf_event_expiration(&event) == UINT64_MAX);
	assert_false(hf_event_is_protected(&event));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_canonical_text_and_hash),
		cmocka_unit_test(test_control_characters_may_be_hashed_verbatim),
		cmocka_unit_test(test_id_must_be_the_hash),
		cmocka_unit_test(test_order_and_unknown_members_are_free),
		cmocka_unit_test(test_malformed_events_are_refused_with_their_reason),
		cmocka_unit_test(test_deep_nesting_is_refused_without_recursion),
		cmocka_unit_test(test_limits_hold),
		cmocka_unit_test(test_id_is_found_in_damaged_objects),
		cmocka_unit_test(test_tags_are_walked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
