/* filter: what is parsed, what is refused, and 100,000 random filters on random events beside a matcher that
 * knows nothing of JSON, order or packing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "data/event/filter.h"
#include "event_text.h"

static int parse(struct hf_slice text, struct hf_arena *arena, struct hf_filter *filter, const char **reason)
{
	struct hf_json json;
	hf_json_init(&json, text, HF_JSON_DEPTH_MAX);
	uint32_t items_left = HF_FILTER_ITEMS_MAX;
	return hf_filter_parse(&json, arena, filter, &items_left, reason);
}

static void test_members_are_read(void **state)
{
	(void)state;
	struct hf_arena arena = {0};
	struct hf_filter filter;
	const char *reason;
	assert_int_equal(parse(HF_SLICE_LITERAL(" {\"ids\":[\"" TEST_PUBKEY "\",\"" TEST_PUBKEY "\"] , \"kinds\":[7,1,7,0],"
		"\"since\":5,\"until\" : 9,\"limit\":0,\"#t\":[\"b\",\"\\u0061\",\"a\",\"\\/\"],\"#Z\":[\"\"],\"\\u0061uthors\":[]}"),
		&arena, &filter, &reason), HF_OK);
	assert_true(filter.has_ids && filter.has_kinds && filter.has_authors);
	assert_int_equal(filter.id_count, 1);
	assert_int_equal(filter.ids[0][0], 0xaa);
	assert_int_equal(filter.kind_count, 3);
	assert_true(filter.kinds[0] == 0 && filter.kinds[1] == 1 && filter.kinds[2] == 7);
	assert_int_equal(filter.author_count, 0);
	assert_true(filter.matches_nothing);
	assert_true(filter.since == 5 && filter.until == 9 && filter.limit == 0);
	assert_int_equal(filter.tag_count, 2);
	assert_int_equal(filter.tags[0].value_count, 3);
	assert_true(hf_slice_equal(filter.tags[0].values[0], HF_SLICE_LITERAL("/")));
	assert_true(hf_slice_equal(filter.tags[0].values[1], HF_SLICE_LITERAL("a")));
	assert_true(hf_slice_equal(filter.tags[0].values[2], HF_SLICE_LITERAL("b")));
	assert_int_equal(filter.tags[1].value_count, 1);

	assert_int_equal(parse(HF_SLICE_LITERAL("{}"), &arena, &filter, &reason), HF_OK);
	assert_false(filter.matches_nothing);
	assert_true(filter.since == 0 && filter.until == UINT64_MAX && filter.limit == UINT64_MAX);
	assert_int_equal(parse(HF_SLICE_LITERAL("{\"limit\":0}"), &arena, &filter, &reason), HF_OK);
	assert_false(filter.matches_nothing);
	assert_int_equal(parse(HF_SLICE_LITERAL("{\"since\":2,\"until\":1}"), &arena, &filter, &reason), HF_OK);
	assert_true(filter.matches_nothing);
	hf_arena_free(&arena);
}

static void test_wrong_filters_are_refused_with_their_reason(void **state)
{
	(void)state;
	static const struct {
		const char *text, *reason;
	} cases[] = {
		{"[]", "invalid: a filter must be a JSON object"},
		{"", "invalid: the filter is not well-formed JSON"},
		{"{", "invalid: the filter is not well-formed JSON"},
		{"{\"kinds\":[1}", "invalid: the filter is not well-formed JSON"},
		{"{\"ids\":[\"aa\"]}", "invalid: ids and authors must be 64 lower-case hex digits each"},
		{"{\"authors\":[\"AABBCCDDEEFF00112233445566778899aabbccddeeff00112233445566778899\"]}",
			"invalid: ids and authors must be 64 lower-case hex digits each"},
		{"{\"ids\":[1]}", "invalid: ids and authors must be 64 lower-case hex digits each"},
		{"{\"ids\":\"" TEST_PUBKEY "\"}", "invalid: ids and authors must be arrays"},
		{"{\"ids\":null}", "invalid: ids and authors must be arrays"},
		{"{\"kinds\":1}", "invalid: kinds must be an array"},
		{"{\"kinds\":[65536]}", "invalid: kinds must be whole numbers from 0 to 65535"},
		{"{\"kinds\":[-1]}", "invalid: kinds must be whole numbers from 0 to 65535"},
		{"{\"kinds\":[1.0]}", "invalid: kinds must be whole numbers from 0 to 65535"},
		{"{\"kinds\":[\"1\"]}", "invalid: kinds must be whole numbers from 0 to 65535"},
		{"{\"#e\":\"x\"}", "invalid: the values of a tag must be in an array"},
		{"{\"#e\":[1]}", "invalid: the values of a tag must be strings"},
		{"{\"#p\":[\"AABBCCDDEEFF00112233445566778899aabbccddeeff00112233445566778899\"]}",
			"invalid: hex in #e and #p must be lower-case"},
		{"{\"#e\":[],\"#e\":[]}", "invalid: the filter has the same member twice"},
		{"{\"ids\":[],\"ids\":[]}", "invalid: the filter has the same member twice"},
		{"{\"limit\":1,\"l\\u0069mit\":1}", "invalid: the filter has the same member twice"},
		{"{\"since\":1.5}", "invalid: since, until and limit must be whole numbers, not negative"},
		{"{\"until\":-1}", "invalid: since, until and limit must be whole numbers, not negative"},
		{"{\"limit\":\"1\"}", "invalid: since, until and limit must be whole numbers, not negative"},
		{"{\"limit\":null}", "invalid: since, until and limit must be whole numbers, not negative"},
		{"{\"search\":\"x\"}", "unsupported: this relay has no full-text search"},
		{"{\"#ee\":[]}", "unsupported: the filter has a member that this relay does not know"},
		{"{\"#1\":[]}", "unsupported: the filter has a member that this relay does not know"},
		{"{\"#\":[]}", "unsupported: the filter has a member that this relay does not know"},
		{"{\"&t\":[]}", "unsupported: the filter has a member that this relay does not know"},
		{"{\"\":1}", "unsupported: the filter has a member that this relay does not know"},
		{"{\"ids\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", "invalid: ids and authors must be 64 lower-case hex digits each"},
		{"{\"#a\":[],\"#b\":[],\"#c\":[],\"#d\":[],\"#e\":[],\"#f\":[],\"#g\":[],\"#h\":[],\"#i\":[],\"#j\":[],\"#k\":[],"
			"\"#l\":[],\"#m\":[],\"#n\":[],\"#o\":[],\"#p\":[],\"#q\":[]}", "invalid: the filter names too many tags"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct hf_arena arena = {0};
		struct hf_filter filter;
		const char *reason = "";
		assert_true(parse(hf_slice_text(cases[i].text), &arena, &filter, &reason) < 0);
		assert_string_equal(reason, cases[i].reason);
		hf_arena_free(&arena);
	}
}

static void test_values_are_bounded(void **state)
{
	(void)state;
	struct hf_buffer text = {0};
	struct hf_arena arena = {0}, small = {.limit_bytes = 16 << 10};
	struct hf_filter filter;
	const char *reason;
	hf_buffer_append_text(&text, "{\"kinds\":[1]");
	for (int i = 0; i < HF_FILTER_ITEMS_MAX - 1; i++)
		hf_buffer_printf(&text, "%s\"v%05d\"", i == 0 ? ",\"#t\":[" : ",", i * 7919 % 10007);
	hf_buffer_append_text(&text, "]}");
	assert_int_equal(parse(hf_buffer_slice(&text), &arena, &filter, &reason), HF_OK);
	assert_int_equal(filter.tags[0].value_count, HF_FILTER_ITEMS_MAX - 1);
	assert_int_equal(parse(hf_buffer_slice(&text), &small, &filter, &reason), HF_ENOMEM);
	assert_string_equal(reason, "error: the filter needs more memory than a message may take");
	text.length -= 2;
	hf_buffer_append_text(&text, ",\"one more\"]}");
	assert_int_equal(parse(hf_buffer_slice(&text), &arena, &filter, &reason), HF_ETOOBIG);
	assert_string_equal(reason, "invalid: the filters have too many values");
	hf_buffer_free(&text);
	hf_arena_free(&arena);
	hf_arena_free(&small);
}

/* ---- Random filters beside a naive matcher ---- */

#define NAIVE_TAGS_MAX 4
#define NAIVE_VALUES_MAX 6
#define SMALL 5 /* keys, values and letters are drawn from so few that filters and events meet */

struct naive_event {
	unsigned id, author, kind, time, tag_count;
	struct {
		unsigned letter, value;
		bool bare; /* no value at all */
	} tags[NAIVE_TAGS_MAX];
};

struct naive_filter {
	int id_count, author_count, kind_count, since, until; /* -1: absent */
	unsigned ids[NAIVE_VALUES_MAX], authors[NAIVE_VALUES_MAX], kinds[NAIVE_VALUES_MAX];
	unsigned tag_count, letters[NAIVE_TAGS_MAX], value_counts[NAIVE_TAGS_MAX], values[NAIVE_TAGS_MAX][NAIVE_VALUES_MAX];
};

/* Each value as the client of an event writes it, and as the client of a filter may write it. */
static const char *const values[SMALL][2] = {
	{TEST_PUBKEY, TEST_PUBKEY},
	{"a\\/b \\n", "a/b \\u000a"},
	{"", ""},
	{"30023:" TEST_PUBKEY ":\xc3\xa9", "30023:" TEST_PUBKEY ":\\u00E9"},
	{"abc", "\\u0061bc"},
};
static const char letters[SMALL] = {'e', 'p', 't', 'T', 'a'};
static uint64_t random_state = 0x9e3779b97f4a7c15u;

static unsigned random_below(unsigned bound)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (unsigned)((random_state >> 32) % bound);
}

static bool naive_has(int count, const unsigned *list, unsigned value)
{
	for (int i = 0; i < count; i++)
		if (list[i] == value)
			return true;
	return count < 0;
}

static bool naive_matches(const struct naive_filter *filter, const struct naive_event *event)
{
	if (!naive_has(filter->id_count, filter->ids, event->id) ||
		!naive_has(filter->author_count, filter->authors, event->author) ||
		!naive_has(filter->kind_count, filter->kinds, event->kind))
		return false;
	if ((filter->since >= 0 && event->time < (unsigned)filter->since) ||
		(filter->until >= 0 && event->time > (unsigned)filter->until))
		return false;
	for (unsigned t = 0; t < filter->tag_count; t++) {
		bool found = false;
		for (unsigned i = 0; i < event->tag_count; i++)
			found |= event->tags[i].letter == filter->letters[t] && !event->tags[i].bare &&
				naive_has((int)filter->value_counts[t], filter->values[t], event->tags[i].value);
		if (!found)
			return false;
	}
	return true;
}

static int random_list(unsigned *list)
{
	if (random_below(2) == 0)
		return -1;
	int count = random_below(20) == 0 ? 0 : (int)(1 + random_below(NAIVE_VALUES_MAX));
	for (int i = 0; i < count; i++)
		list[i] = random_below(SMALL);
	return count;
}

static void draw_filter(struct naive_filter *filter)
{
	*filter = (struct naive_filter){.since = -1, .until = -1};
	filter->id_count = random_below(3) == 0 ? random_list(filter->ids) : -1;
	filter->author_count = random_list(filter->authors);
	filter->kind_count = random_list(filter->kinds);
	if (random_below(3) == 0)
		filter->since = (int)random_below(SMALL);
	if (random_below(3) == 0)
		filter->until = (int)random_below(SMALL);
	filter->tag_count = random_below(3) == 0 ? 1 + random_below(NAIVE_TAGS_MAX) : 0;
	for (unsigned t = 0, first = random_below(SMALL); t < filter->tag_count; t++) {
		filter->letters[t] = (first + t) % SMALL;
		filter->value_counts[t] = random_below(30) == 0 ? 0 : 1 + random_below(NAIVE_VALUES_MAX);
		for (unsigned i = 0; i < filter->value_counts[t]; i++)
			filter->values[t][i] = random_below(SMALL);
	}
}

static void append_keys(struct hf_buffer *out, const char *name, int count, const unsigned *list)
{
	if (count < 0)
		return;
	hf_buffer_printf(out, ",\"%s\":[", name);
	for (int i = 0; i < count; i++)
		hf_buffer_printf(out, "%s\"%064x\"", i > 0 ? "," : "", list[i]);
	hf_buffer_append_text(out, "]");
}

static void append_filter(struct hf_buffer *out, const struct naive_filter *filter)
{
	hf_buffer_append_text(out, "{\"limit\":3");
	append_keys(out, "ids", filter->id_count, filter->ids);
	append_keys(out, "authors", filter->author_count, filter->authors);
	if (filter->kind_count >= 0)
		hf_buffer_append_text(out, ",\"kinds\":[");
	for (int i = 0; i < filter->kind_count; i++)
		hf_buffer_printf(out, "%s%u", i > 0 ? "," : "", filter->kinds[i]);
	hf_buffer_append_text(out, filter->kind_count >= 0 ? "]" : "");
	if (filter->since >= 0)
		hf_buffer_printf(out, ",\"since\":%d", filter->since);
	if (filter->until >= 0)
		hf_buffer_printf(out, ",\"until\":%d", filter->until);
	for (unsigned t = 0; t < filter->tag_count; t++) {
		hf_buffer_printf(out, ",\"#%c\":[", letters[filter->letters[t]]);
		for (unsigned i = 0; i < filter->value_counts[t]; i++)
			hf_buffer_printf(out, "%s\"%s\"", i > 0 ? "," : "", values[filter->values[t][i]][random_below(2)]);
		hf_buffer_append_text(out, "]");
	}
	hf_buffer_append_text(out, "}");
}

/* Makes the event that goes with a drawn one; tags in canonical text. */
static void build_event(const struct naive_event *naive, struct hf_buffer *tags, struct hf_event *event)
{
	*event = (struct hf_event){.created_at = naive->time, .kind = naive->kind};
	event->id[31] = (uint8_t)naive->id;
	event->pubkey[31] = (uint8_t)naive->author;
	hf_buffer_clear(tags);
	hf_buffer_append_text(tags, "[");
	for (unsigned i = 0; i < naive->tag_count; i++) {
		uint8_t canonical[128];
		struct hf_slice value = hf_slice_text(values[naive->tags[i].value][0]);
		size_t length = hf_json_canonical(value, canonical);
		hf_buffer_printf(tags, "%s[\"%c\"", i > 0 ? "," : "", letters[naive->tags[i].letter]);
		if (!naive->tags[i].bare)
			hf_buffer_printf(tags, ",\"%.*s\",\"more\"", (int)length, (const char *)canonical);
		hf_buffer_append_text(tags, "]");
	}
	hf_buffer_append_text(tags, "]");
	event->tags = hf_buffer_slice(tags);
}

static void draw_event(struct naive_event *event)
{
	*event = (struct naive_event){.id = random_below(SMALL), .author = random_below(SMALL), .kind = random_below(SMALL),
		.time = random_below(SMALL), .tag_count = random_below(NAIVE_TAGS_MAX + 1)};
	for (unsigned i = 0; i < event->tag_count; i++) {
		event->tags[i].letter = random_below(SMALL);
		event->tags[i].value = random_below(SMALL);
		event->tags[i].bare = random_below(10) == 0;
	}
}

static void test_random_filters_match_what_a_naive_matcher_matches(void **state)
{
	(void)state;
	struct hf_buffer text = {0}, tags = {0}, payload = {0};
	struct hf_arena arena = {0};
	struct hf_event_meta meta = {.received_ms = 1};
	unsigned matched = 0;
	for (int i = 0; i < 100000; i++) {
		struct naive_filter naive;
		struct hf_filter filter;
		const char *reason;
		draw_filter(&naive);
		hf_buffer_clear(&text);
		append_filter(&text, &naive);
		hf_arena_reset(&arena);
		assert_int_equal(parse(hf_buffer_slice(&text), &arena, &filter, &reason), HF_OK);
		for (int j = 0; j < 4; j++) {
			struct naive_event naive_event;
			struct hf_event event;
			draw_event(&naive_event);
			build_event(&naive_event, &tags, &event);
			hf_buffer_clear(&payload);
			assert_int_equal(hf_event_pack(&event, &meta, &payload), HF_OK);
			bool expected = naive_matches(&naive, &naive_event);
			if (hf_filter_matches(&filter, &event) != expected ||
				hf_filter_matches_payload(&filter, hf_buffer_slice(&payload)) != expected)
				fail_msg("case %d: %.*s on %.*s", i, (int)text.length, text.data, (int)tags.length, tags.data);
			matched += expected;
		}
	}
	assert_in_range(matched, 20000, 380000);
	hf_buffer_free(&text);
	hf_buffer_free(&tags);
	hf_buffer_free(&payload);
	hf_arena_free(&arena);
}

static void test_long_lists_are_searched(void **state)
{
	(void)state;
	struct hf_buffer text = {0};
	struct hf_arena arena = {0};
	struct hf_filter filter;
	struct hf_event event = {.tags = HF_SLICE_LITERAL("[]")};
	const char *reason;
	for (unsigned i = 0; i < HF_FILTER_ITEMS_MAX; i++)
		hf_buffer_printf(&text, "%s\"%08x%056x\"", i == 0 ? "{\"authors\":[" : ",", i * 2654435761u % 4 * 2, i * 2);
	hf_buffer_append_text(&text, "]}");
	assert_int_equal(parse(hf_buffer_slice(&text), &arena, &filter, &reason), HF_OK);
	for (unsigned i = 0; i < 2 * HF_FILTER_ITEMS_MAX; i++) {
		hf_store_be32(event.pubkey, i / 2 * 2654435761u % 4 * 2);
		hf_store_be32(event.pubkey + 28, i);
		assert_int_equal(hf_filter_matches(&filter, &event), i % 2 == 0);
	}
	hf_buffer_free(&text);
	hf_arena_free(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_members_are_read),
		cmocka_unit_test(test_wrong_filters_are_refused_with_their_reason),
		cmocka_unit_test(test_values_are_bounded),
		cmocka_unit_test(test_random_filters_match_what_a_naive_matcher_matches),
		cmocka_unit_test(test_long_lists_are_searched),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
