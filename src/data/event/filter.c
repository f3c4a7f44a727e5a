/* filter: parsing a filter, and matching it.
 *
 * Lists grow by doubling in the arena, then are sorted and freed of duplicates, so matching looks values up by
 * bisection. Ids and authors compare by their first eight bytes, which nearly always decide. Tag values are in
 * canonical form, the same as in events, so equal strings have equal bytes. */
#include "data/event/filter.h"

#include <stdlib.h>

#include "codec/hex.h"
#include "data/event/packed.h"

static const char out_of_memory[] = "error: the filter needs more memory than a message may take";

/* ---- Parsing ---- */

enum {
	MEMBER_IDS = 1,
	MEMBER_AUTHORS = 2,
	MEMBER_KINDS = 4,
	MEMBER_SINCE = 8,
	MEMBER_UNTIL = 16,
	MEMBER_LIMIT = 32,
};

struct filter_parse {
	struct hf_json *json;
	struct hf_arena *arena;
	struct hf_filter *filter;
	const char *reason;
	unsigned seen;
	uint32_t items_left;
};

static int refuse(struct filter_parse *parse, int status, const char *reason)
{
	parse->reason = reason;
	return status;
}

static int next_token(struct filter_parse *parse, struct hf_json_token *token)
{
	int status = hf_json_next(parse->json, token);
	if (status < 0)
		return refuse(parse, status, status == HF_ETOOBIG ? "invalid: the JSON is nested too deeply" :
			"invalid: the filter is not well-formed JSON");
	return HF_OK;
}

/* A list under construction: items of item_bytes each. */
struct list {
	uint8_t *items;
	uint32_t count, capacity;
	size_t item_bytes;
};

static int list_add(struct filter_parse *parse, struct list *list, const void *item)
{
	if (parse->items_left == 0)
		return refuse(parse, HF_ETOOBIG, "invalid: the filters have too many values");
	parse->items_left--;
	if (list->count == list->capacity) {
		uint32_t capacity = list->capacity > 0 ? 2 * list->capacity : 8;
		uint8_t *items = hf_arena_alloc(parse->arena, capacity * list->item_bytes);
		if (items == NULL)
			return refuse(parse, HF_ENOMEM, out_of_memory);
		if (list->count > 0)
			memcpy(items, list->items, list->count * list->item_bytes);
		list->items = items;
		list->capacity = capacity;
	}
	memcpy(list->items + list->count++ * list->item_bytes, item, list->item_bytes);
	return HF_OK;
}

/* Sorts and removes duplicates. */
static void list_settle(struct list *list, int (*compare)(const void *a, const void *b))
{
	uint32_t kept = 0;
	if (list->count == 0)
		return;
	if (list->count > 1)
		qsort(list->items, list->count, list->item_bytes, compare);
	for (uint32_t i = 1; i < list->count; i++) {
		uint8_t *item = list->items + i * list->item_bytes;
		if (compare(item, list->items + kept * list->item_bytes) != 0)
			memmove(list->items + ++kept * list->item_bytes, item, list->item_bytes);
	}
	list->count = kept + 1;
}

/* Byte order; the first eight bytes nearly always decide. */
static inline int compare_keys(const void *a, const void *b)
{
	uint64_t x = hf_load_be64(a), y = hf_load_be64(b);
	if (x != y)
		return x < y ? -1 : 1;
	return memcmp(a, b, 32);
}

static int compare_kinds(const void *a, const void *b)
{
	uint32_t x, y;
	memcpy(&x, a, sizeof x);
	memcpy(&y, b, sizeof y);
	return x < y ? -1 : x > y;
}

static int compare_slices(const void *a, const void *b)
{
	return hf_slice_compare(*(const struct hf_slice *)a, *(const struct hf_slice *)b);
}

static int parse_list(struct filter_parse *parse, struct list *list, const char *not_a_list,
	int (*add)(struct filter_parse *parse, struct list *list, const struct hf_json_token *token, char letter),
	char letter)
{
	struct hf_json_token token;
	int status = next_token(parse, &token);
	if (status == HF_OK && token.type != HF_JSON_ARRAY)
		return refuse(parse, HF_EMALFORMED, not_a_list);
	while (status == HF_OK && (status = next_token(parse, &token)) == HF_OK && token.type != HF_JSON_ARRAY_END)
		status = add(parse, list, &token, letter);
	if (status == HF_OK && list->count == 0)
		parse->filter->matches_nothing = true;
	return status;
}

static int add_key(struct filter_parse *parse, struct list *list, const struct hf_json_token *token, char letter)
{
	uint8_t key[32];
	(void)letter;
	if (token->type != HF_JSON_STRING || token->raw.length != 64 || !hf_hex_decode(key, token->raw.data, 32))
		return refuse(parse, HF_EMALFORMED, "invalid: ids and authors must be 64 lower-case hex digits each");
	return list_add(parse, list, key);
}

static int add_kind(struct filter_parse *parse, struct list *list, const struct hf_json_token *token, char letter)
{
	uint64_t value;
	(void)letter;
	if (token->type != HF_JSON_NUMBER || hf_json_u64(token->raw, &value) < 0 || value > HF_EVENT_KIND_MAX)
		return refuse(parse, HF_EMALFORMED, "invalid: kinds must be whole numbers from 0 to 65535");
	uint32_t kind = (uint32_t)value;
	return list_add(parse, list, &kind);
}

/* 64 hex digits with an upper-case one: what a client means by it can never match an #e or #p. */
static bool is_upper_case_key(struct hf_slice text)
{
	bool upper = false;
	if (text.length != 64)
		return false;
	for (size_t i = 0; i < text.length; i++) {
		uint8_t c = text.data[i];
		if (c >= 'A' && c <= 'F')
			upper = true;
		else if (hf_hex_run(&c, 1) == 0)
			return false;
	}
	return upper;
}

static int add_tag_value(struct filter_parse *parse, struct list *list, const struct hf_json_token *token, char letter)
{
	struct hf_slice value = token->raw;
	if (token->type != HF_JSON_STRING)
		return refuse(parse, HF_EMALFORMED, "invalid: the values of a tag must be strings");
	if ((letter == 'e' || letter == 'p') && is_upper_case_key(value))
		return refuse(parse, HF_EMALFORMED, "invalid: hex in #e and #p must be lower-case");
	if (value.length > 0) {
		uint8_t *copy = hf_arena_alloc(parse->arena, value.length);
		if (copy == NULL)
			return refuse(parse, HF_ENOMEM, out_of_memory);
		if ((token->features & HF_JSON_LOOSE) != 0)
			value.length = hf_json_canonical(value, copy);
		else
			memcpy(copy, value.data, value.length);
		value.data = copy;
	}
	return list_add(parse, list, &value);
}

static int parse_keys(struct filter_parse *parse, const uint8_t (**keys)[32], uint32_t *count, bool *present)
{
	struct list list = {.item_bytes = 32};
	int status = parse_list(parse, &list, "invalid: ids and authors must be arrays", add_key, 0);
	list_settle(&list, compare_keys);
	*keys = (const uint8_t (*)[32])list.items;
	*count = list.count;
	*present = true;
	return status;
}

static int parse_kinds(struct filter_parse *parse)
{
	struct list list = {.item_bytes = sizeof(uint32_t)};
	int status = parse_list(parse, &list, "invalid: kinds must be an array", add_kind, 0);
	list_settle(&list, compare_kinds);
	parse->filter->kinds = (const uint32_t *)(const void *)list.items;
	parse->filter->kind_count = list.count;
	parse->filter->has_kinds = true;
	return status;
}

static int parse_tag(struct filter_parse *parse, char letter)
{
	struct hf_filter *filter = parse->filter;
	struct list list = {.item_bytes = sizeof(struct hf_slice)};
	for (uint32_t i = 0; i < filter->tag_count; i++)
		if (filter->tags[i].letter == letter)
			return refuse(parse, HF_EMALFORMED, "invalid: the filter has the same member twice");
	if (filter->tag_count == HF_FILTER_TAGS_MAX)
		return refuse(parse, HF_ETOOBIG, "invalid: the filter names too many tags");
	int status = parse_list(parse, &list, "invalid: the values of a tag must be in an array", add_tag_value,
		letter);
	list_settle(&list, compare_slices);
	filter->tags[filter->tag_count++] = (struct hf_filter_tag){
		.letter = letter,
		.value_count = list.count,
		.values = (const struct hf_slice *)(const void *)list.items,
	};
	return status;
}

static int parse_number(struct filter_parse *parse, uint64_t *value)
{
	struct hf_json_token token;
	int status = next_token(parse, &token);
	if (status < 0)
		return status;
	if (token.type != HF_JSON_NUMBER || hf_json_u64(token.raw, value) < 0)
		return refuse(parse, HF_EMALFORMED,
			"invalid: since, until and limit must be whole numbers, not negative");
	return HF_OK;
}

static unsigned find_member(struct hf_slice name)
{
	static const struct {
		struct hf_slice name;
		unsigned member;
	} members[] = {
		{HF_SLICE_LITERAL("ids"), MEMBER_IDS},
		{HF_SLICE_LITERAL("authors"), MEMBER_AUTHORS},
		{HF_SLICE_LITERAL("kinds"), MEMBER_KINDS},
		{HF_SLICE_LITERAL("since"), MEMBER_SINCE},
		{HF_SLICE_LITERAL("until"), MEMBER_UNTIL},
		{HF_SLICE_LITERAL("limit"), MEMBER_LIMIT},
	};
	for (size_t i = 0; i < sizeof members / sizeof *members; i++)
		if (hf_slice_equal(name, members[i].name))
			return members[i].member;
	return 0;
}

static int parse_member(struct filter_parse *parse, struct hf_slice name)
{
	struct hf_filter *filter = parse->filter;
	if (name.length == 2 && name.data[0] == '#' && (uint8_t)((name.data[1] | 0x20) - 'a') < 26)
		return parse_tag(parse, (char)name.data[1]);
	unsigned member = find_member(name);
	if ((parse->seen & member) != 0)
		return refuse(parse, HF_EMALFORMED, "invalid: the filter has the same member twice");
	parse->seen |= member;
	switch (member) {
	case MEMBER_IDS:
		return parse_keys(parse, &filter->ids, &filter->id_count, &filter->has_ids);
	case MEMBER_AUTHORS:
		return parse_keys(parse, &filter->authors, &filter->author_count, &filter->has_authors);
	case MEMBER_KINDS:
		return parse_kinds(parse);
	case MEMBER_SINCE:
		return parse_number(parse, &filter->since);
	case MEMBER_UNTIL:
		return parse_number(parse, &filter->until);
	case MEMBER_LIMIT:
		return parse_number(parse, &filter->limit);
	default:
		if (hf_slice_equal(name, HF_SLICE_LITERAL("search")))
			return refuse(parse, HF_EINVAL, "unsupported: this relay has no full-text search");
		return refuse(parse, HF_EINVAL, "unsupported: the filter has a member that this relay does not know");
	}
}

int hf_filter_parse(struct hf_json *json, struct hf_arena *arena, struct hf_filter *filter, uint32_t *items_left,
	const char **reason)
{
	uint32_t given = *items_left < HF_FILTER_ITEMS_MAX ? *items_left : HF_FILTER_ITEMS_MAX;
	struct filter_parse parse = {.json = json, .arena = arena, .filter = filter, .items_left = given};
	struct hf_json_token token;
	*filter = (struct hf_filter){.until = UINT64_MAX, .limit = UINT64_MAX};
	int status = next_token(&parse, &token);
	if (status == HF_OK && token.type != HF_JSON_OBJECT)
		status = refuse(&parse, HF_EMALFORMED, "invalid: a filter must be a JSON object");
	while (status == HF_OK && (status = next_token(&parse, &token)) == HF_OK && token.type != HF_JSON_OBJECT_END) {
		uint8_t decoded[64];
		struct hf_slice name = token.raw;
		if (token.features != 0 && name.length <= sizeof decoded)
			name = hf_slice(decoded, hf_json_unescape(name, decoded));
		status = parse_member(&parse, name);
	}
	if (filter->since > filter->until)
		filter->matches_nothing = true;
	*items_left -= given - parse.items_left;
	*reason = parse.reason;
	return status;
}

/* ---- Matching ---- */

static bool has_key(const uint8_t (*keys)[32], uint32_t count, const uint8_t *key)
{
	uint32_t low = 0;
	while (count > 0) {
		uint32_t half = count / 2;
		int order = compare_keys(keys[low + half], key);
		if (order == 0)
			return true;
		if (order < 0)
			low += half + 1;
		count = order < 0 ? count - half - 1 : half;
	}
	return false;
}

static bool has_kind(const uint32_t *kinds, uint32_t count, uint32_t kind)
{
	uint32_t low = 0;
	while (count > 0) {
		uint32_t half = count / 2, found = kinds[low + half];
		if (found == kind)
			return true;
		if (found < kind)
			low += half + 1;
		count = found < kind ? count - half - 1 : half;
	}
	return false;
}

static bool head_matches(const struct hf_filter *filter, const uint8_t *id, const uint8_t *pubkey, uint64_t created_at,
	uint32_t kind)
{
	return !filter->matches_nothing && created_at >= filter->since && created_at <= filter->until &&
		(!filter->has_kinds || has_kind(filter->kinds, filter->kind_count, kind)) &&
		(!filter->has_authors || has_key(filter->authors, filter->author_count, pubkey)) &&
		(!filter->has_ids || has_key(filter->ids, filter->id_count, id));
}

/* The place of a letter in filter->tags, or -1. */
static int find_letter(const struct hf_filter *filter, char letter)
{
	for (uint32_t i = 0; letter != 0 && i < filter->tag_count; i++)
		if (filter->tags[i].letter == letter)
			return (int)i;
	return -1;
}

static bool has_value(const struct hf_filter_tag *tag, struct hf_slice value)
{
	uint32_t low = 0, count = tag->value_count;
	while (count > 0) {
		uint32_t half = count / 2;
		int order = hf_slice_compare(tag->values[low + half], value);
		if (order == 0)
			return true;
		if (order < 0)
			low += half + 1;
		count = order < 0 ? count - half - 1 : half;
	}
	return false;
}

static bool has_packed_value(const struct hf_filter_tag *tag, const struct hf_packed_string *value)
{
	uint32_t low = 0, count = tag->value_count;
	while (count > 0) {
		uint32_t half = count / 2;
		int order = hf_packed_compare(value, tag->values[low + half]);
		if (order == 0)
			return true;
		if (order > 0)
			low += half + 1;
		count = order > 0 ? count - half - 1 : half;
	}
	return false;
}

bool hf_filter_matches(const struct hf_filter *filter, const struct hf_event *event)
{
	if (!head_matches(filter, event->id, event->pubkey, event->created_at, event->kind))
		return false;
	uint32_t missing = (UINT32_C(1) << filter->tag_count) - 1; /* a bit for each tag member without a match */
	struct hf_tag tag;
	size_t cursor = 0;
	while (missing != 0 && hf_event_next_tag(event, &cursor, &tag)) {
		int place = find_letter(filter, tag.letter);
		if (place >= 0 && (missing >> place & 1) != 0 && tag.element_count > 1 &&
			has_value(&filter->tags[place], tag.value))
			missing &= ~(UINT32_C(1) << place);
	}
	return missing == 0;
}

bool hf_filter_matches_payload(const struct hf_filter *filter, struct hf_slice payload)
{
	struct hf_packed packed;
	if (hf_packed_open(payload, &packed) < 0 ||
		!head_matches(filter, packed.id, packed.pubkey, packed.created_at, packed.kind))
		return false;
	uint32_t missing = (UINT32_C(1) << filter->tag_count) - 1;
	struct hf_packed_tag tag;
	while (missing != 0 && hf_packed_next_tag(&packed.tags, &tag) > 0) {
		int place = find_letter(filter, hf_packed_tag_letter(&tag));
		if (place >= 0 && (missing >> place & 1) != 0 && tag.element_count > 1 &&
			has_packed_value(&filter->tags[place], &tag.value))
			missing &= ~(UINT32_C(1) << place);
	}
	return missing == 0;
}
