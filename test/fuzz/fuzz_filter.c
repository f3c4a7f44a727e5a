/* fuzz_filter: any text as a filter; what parses matches an event and its stored form alike.
 * Covers: src/data/event/filter.c */
#include "fuzz.h"

#include "data/event/filter.h"

#define KEY_A "aabbccddeeff00112233445566778899aabbccddeeff00112233445566778899"

static const char *const tag_texts[] = {
	"[]",
	"[[\"e\",\"" KEY_A "\",\"x\"],[\"p\",\"" KEY_A "\"],[\"t\",\"a\"],[\"t\",\"b\"],[\"t\"]]",
	"[[\"a\",\"30023:" KEY_A ":\xc3\xa9\"],[\"d\",\"\"],[\"t\",\"line\\nend\"],[\"T\",\"c\"]]",
};

static void check_sorted(const struct hf_filter *filter)
{
	for (uint32_t i = 1; i < filter->id_count; i++)
		FUZZ_CHECK(memcmp(filter->ids[i - 1], filter->ids[i], 32) < 0);
	for (uint32_t i = 1; i < filter->author_count; i++)
		FUZZ_CHECK(memcmp(filter->authors[i - 1], filter->authors[i], 32) < 0);
	for (uint32_t i = 1; i < filter->kind_count; i++)
		FUZZ_CHECK(filter->kinds[i - 1] < filter->kinds[i]);
	for (uint32_t t = 0; t < filter->tag_count; t++)
		for (uint32_t i = 1; i < filter->tags[t].value_count; i++)
			FUZZ_CHECK(hf_slice_compare(filter->tags[t].values[i - 1], filter->tags[t].values[i]) < 0);
}

/* Every value of a filter is found in an event that carries it. */
static void check_found(const struct hf_filter *filter)
{
	struct hf_event event = {.created_at = filter->since, .tags = HF_SLICE_LITERAL("[]")};
	if (filter->matches_nothing || filter->tag_count > 0)
		return;
	if (filter->id_count > 0)
		memcpy(event.id, filter->ids[filter->id_count / 2], 32);
	if (filter->author_count > 0)
		memcpy(event.pubkey, filter->authors[filter->author_count - 1], 32);
	if (filter->kind_count > 0)
		event.kind = filter->kinds[0];
	FUZZ_CHECK(hf_filter_matches(filter, &event));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hf_arena arena = {.limit_bytes = 4 << 20};
	struct hf_json json;
	struct hf_filter filter;
	const char *reason = NULL;
	hf_json_init(&json, hf_slice(data, size), 8);
	uint32_t items_left = HF_FILTER_ITEMS_MAX;
	if (hf_filter_parse(&json, &arena, &filter, &items_left, &reason) < 0) {
		FUZZ_CHECK(reason != NULL && reason[0] != 0);
		hf_arena_free(&arena);
		return 0;
	}
	check_sorted(&filter);
	check_found(&filter);
	for (size_t i = 0; i < sizeof tag_texts / sizeof *tag_texts; i++) {
		struct hf_event event = {.created_at = 100 * i, .kind = (uint32_t)i,
			.tags = hf_slice_text(tag_texts[i])};
		struct hf_event_meta meta = {.received_ms = 1};
		struct hf_buffer payload = {0};
		memset(event.pubkey, 0xaa, 32);
		FUZZ_CHECK(hf_event_pack(&event, &meta, &payload) == HF_OK);
		bool matches = hf_filter_matches(&filter, &event);
		FUZZ_CHECK(matches == hf_filter_matches_payload(&filter, hf_buffer_slice(&payload)));
		hf_buffer_free(&payload);
	}
	hf_arena_free(&arena);
	return 0;
}
