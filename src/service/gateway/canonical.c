/* canonical: members are written as they come, each with its value in canonical form, and put in order when their object ends. One
 * walk with a recursion that the scanner's depth bounds. */
#include "service/gateway/canonical.h"

#include <stdlib.h>

#include "base/array.h"
#include "codec/hex.h"
#include "service/gateway/canonical_number.h"

#define PLAIN_DIGITS_MAX 15 /* of a whole number that a double surely holds */
#define NOT_AN_INDEX UINT64_MAX
#define INDEX_MAX UINT64_C(4294967294)

struct member {
	uint64_t index;             /* of an array, or NOT_AN_INDEX */
	uint32_t name, name_length; /* in names: unescaped */
	uint32_t text, text_length; /* in out: "name":value */
	const uint8_t *names;       /* set for sorting */
};

struct walk {
	struct hf_json json;
	struct hf_buffer *out, names, sorted, number;
	struct member *members; /* of all objects that are open, the innermost last */
	size_t count, capacity;
};

static int write_value(struct walk *w, const struct hf_json_token *token);

/* ---- Names ---- */

static uint64_t array_index(const uint8_t *name, size_t length)
{
	uint64_t value = 0;
	if (length == 0 || length > 10 || (name[0] == '0' && length > 1))
		return NOT_AN_INDEX;
	for (size_t i = 0; i < length; i++) {
		if (name[i] < '0' || name[i] > '9')
			return NOT_AN_INDEX;
		value = value * 10 + (uint64_t)(name[i] - '0');
	}
	return value <= INDEX_MAX ? value : NOT_AN_INDEX;
}

/* UTF-8 that is ordered by bytes is in order of code points. In UTF-16 those from U+10000 on (F0 and above) come before U+E000 to U+FFFF
 * (EE and EF), since they begin with a surrogate. */
static int rank(uint8_t byte)
{
	return byte == 0xEE || byte == 0xEF ? byte + 0x10 : byte;
}

static int compare_names(const struct member *a, const struct member *b)
{
	size_t common = a->name_length < b->name_length ? a->name_length : b->name_length;
	for (size_t i = 0; i < common; i++) {
		int difference = rank(a->names[a->name + i]) - rank(b->names[b->name + i]);
		if (difference != 0)
			return difference;
	}
	return (a->name_length > b->name_length) - (a->name_length < b->name_length);
}

/* Of equal names the later one last. */
static int compare_members(const void *left, const void *right)
{
	const struct member *a = left, *b = right;
	if (a->index != b->index)
		return a->index < b->index ? -1 : 1;
	int difference = compare_names(a, b);
	return difference ? difference : (a->text > b->text) - (a->text < b->text);
}

/* ---- Values ---- */

static int write_number(struct walk *w, struct hf_slice raw)
{
	char text[HF_CANONICAL_NUMBER_BYTES];
	size_t digits = 0;
	while (digits < raw.length && raw.data[digits] >= '0' && raw.data[digits] <= '9')
		digits++;
	if (digits == raw.length && digits <= PLAIN_DIGITS_MAX)
		return hf_buffer_append(w->out, raw.data, raw.length);
	hf_buffer_clear(&w->number);
	if (hf_buffer_append(&w->number, raw.data, raw.length) < 0 || hf_buffer_append(&w->number, "", 1) < 0)
		return HF_ENOMEM;
	return hf_buffer_append(w->out, text, hf_canonical_number(strtod((const char *)w->number.data, NULL), text));
}

static int write_string(struct walk *w, const struct hf_json_token *token)
{
	struct hf_slice raw = token->raw;
	if (hf_buffer_reserve(w->out, raw.length + 2) < 0)
		return HF_ENOMEM;
	w->out->data[w->out->length++] = '"';
	if (token->features & HF_JSON_LOOSE)
		w->out->length += hf_json_canonical(raw, w->out->data + w->out->length);
	else if (raw.length > 0)
		w->out->length += (memcpy(w->out->data + w->out->length, raw.data, raw.length), raw.length);
	w->out->data[w->out->length++] = '"';
	return HF_OK;
}

static int write_array(struct walk *w)
{
	struct hf_json_token token;
	int r = hf_buffer_append(w->out, "[", 1);
	for (bool first = true; r == HF_OK; first = false) {
		r = hf_json_next(&w->json, &token);
		if (r == HF_OK && token.type == HF_JSON_ARRAY_END)
			return hf_buffer_append(w->out, "]", 1);
		if (r == HF_OK && !first)
			r = hf_buffer_append(w->out, ",", 1);
		if (r == HF_OK)
			r = write_value(w, &token);
	}
	return r;
}

/* The name's own bytes go to names, the member's text to out. */
static int take_member(struct walk *w, const struct hf_json_token *name, struct member *m)
{
	struct hf_json_token token;
	if (hf_buffer_reserve(&w->names, name->raw.length) < 0)
		return HF_ENOMEM;
	*m = (struct member){.name = (uint32_t)w->names.length, .text = (uint32_t)w->out->length};
	if (name->raw.length > 0)
		m->name_length = (uint32_t)hf_json_unescape(name->raw, w->names.data + w->names.length);
	w->names.length += m->name_length;
	m->index = m->name_length > 0 ? array_index(w->names.data + m->name, m->name_length) : NOT_AN_INDEX;
	int r = write_string(w, name);
	if (r == HF_OK)
		r = hf_buffer_append(w->out, ":", 1);
	if (r == HF_OK)
		r = hf_json_next(&w->json, &token);
	if (r == HF_OK)
		r = write_value(w, &token);
	m->text_length = (uint32_t)w->out->length - m->text;
	return r;
}

/* Members from `first` on, whose texts begin at `from` in out, in order and each once. */
static int sort_members(struct walk *w, size_t first, size_t from)
{
	size_t count = w->count - first;
	if (count == 0)
		return HF_OK;
	struct member *members = w->members + first;
	for (size_t i = 0; i < count; i++)
		members[i].names = w->names.data;
	if (count > 1)
		qsort(members, count, sizeof *members, compare_members);
	hf_buffer_clear(&w->sorted);
	for (size_t i = 0; i < count; i++) {
		if (i + 1 < count && members[i].index == members[i + 1].index && compare_names(&members[i], &members[i + 1]) == 0)
			continue;
		if (w->sorted.length > 0 && hf_buffer_append(&w->sorted, ",", 1) < 0)
			return HF_ENOMEM;
		if (hf_buffer_append(&w->sorted, w->out->data + members[i].text, members[i].text_length) < 0)
			return HF_ENOMEM;
	}
	w->out->length = from;
	return hf_buffer_append(w->out, w->sorted.data, w->sorted.length);
}

static int write_object(struct walk *w)
{
	size_t first = w->count, names = w->names.length, from;
	struct hf_json_token token;
	int r = hf_buffer_append(w->out, "{", 1);
	from = w->out->length;
	while (r == HF_OK && (r = hf_json_next(&w->json, &token)) == HF_OK && token.type != HF_JSON_OBJECT_END) {
		struct member m;
		if (w->count - first == HF_CANONICAL_MEMBERS_MAX)
			return HF_ETOOBIG;
		r = take_member(w, &token, &m);
		if (r == HF_OK)
			r = hf_array_reserve(&w->members, &w->capacity, w->count + 1, sizeof *w->members);
		if (r == HF_OK)
			w->members[w->count++] = m;
	}
	if (r == HF_OK)
		r = sort_members(w, first, from);
	w->count = first;
	w->names.length = names;
	return r == HF_OK ? hf_buffer_append(w->out, "}", 1) : r;
}

static int write_value(struct walk *w, const struct hf_json_token *token)
{
	switch (token->type) {
	case HF_JSON_OBJECT:
		return write_object(w);
	case HF_JSON_ARRAY:
		return write_array(w);
	case HF_JSON_STRING:
		return write_string(w, token);
	case HF_JSON_NUMBER:
		return write_number(w, token->raw);
	case HF_JSON_TRUE:
		return hf_buffer_append_text(w->out, "true");
	case HF_JSON_FALSE:
		return hf_buffer_append_text(w->out, "false");
	case HF_JSON_NULL:
		return hf_buffer_append_text(w->out, "null");
	default:
		return HF_EMALFORMED;
	}
}

int hf_canonical(struct hf_slice text, struct hf_buffer *out)
{
	struct walk w = {.out = out};
	struct hf_json_token token;
	size_t before = out->length;
	if (text.length > HF_CANONICAL_BYTES_MAX)
		return HF_ETOOBIG;
	hf_json_init(&w.json, text, HF_JSON_DEPTH_MAX);
	int r = hf_json_next(&w.json, &token);
	if (r == HF_OK)
		r = write_value(&w, &token);
	if (r == HF_OK && (r = hf_json_next(&w.json, &token)) == HF_OK && token.type != HF_JSON_END)
		r = HF_EMALFORMED;
	hf_buffer_free(&w.names);
	hf_buffer_free(&w.sorted);
	hf_buffer_free(&w.number);
	free(w.members);
	if (r < 0)
		out->length = before;
	return r;
}

/* ---- Reading ---- */

/* The place behind the value that begins at `at`. */
static size_t value_end(struct hf_slice text, size_t at)
{
	unsigned depth = 0;
	bool in_string = false;
	for (; at < text.length; at++) {
		uint8_t c = text.data[at];
		if (in_string) {
			if (c == '\\')
				at++;
			else if (c == '"')
				in_string = false;
			continue;
		}
		if (depth == 0 && (c == ',' || c == '}' || c == ']'))
			return at;
		in_string = c == '"';
		depth += c == '{' || c == '[';
		depth -= c == '}' || c == ']';
	}
	return text.length;
}

static bool next_value(struct hf_slice text, size_t *at, struct hf_slice *value)
{
	size_t end = value_end(text, *at);
	*value = hf_slice(text.data + *at, end - *at);
	*at = end;
	return value->length > 0;
}

bool hf_canonical_next_item(struct hf_slice array, size_t *cursor, struct hf_slice *value)
{
	if (!hf_canonical_is_array(array) || *cursor + 1 >= array.length)
		return false;
	++*cursor; /* over [ or , */
	return next_value(array, cursor, value);
}

bool hf_canonical_next_member(struct hf_slice object, size_t *cursor, struct hf_slice *name, struct hf_slice *value)
{
	if (!hf_canonical_is_object(object) || *cursor + 2 >= object.length)
		return false;
	size_t at = *cursor + 2; /* over { or , and the quote */
	unsigned features = 0;
	const uint8_t *from = object.data + at, *quote = hf_json_scan_string(from, object.data + object.length, &features);
	if (!quote)
		return false;
	*name = hf_slice(from, (size_t)(quote - from));
	*cursor = at + name->length + 2; /* over the quote and : */
	return *cursor < object.length && next_value(object, cursor, value);
}

bool hf_canonical_member(struct hf_slice object, const char *name, struct hf_slice *value)
{
	struct hf_slice wanted = hf_slice_text(name), found;
	for (size_t cursor = 0; hf_canonical_next_member(object, &cursor, &found, value);)
		if (hf_slice_equal(found, wanted))
			return true;
	*value = (struct hf_slice){0};
	return false;
}

bool hf_canonical_raw(struct hf_slice object, const char *name, struct hf_slice *raw)
{
	struct hf_slice value;
	*raw = (struct hf_slice){0};
	if (!hf_canonical_member(object, name, &value) || !hf_canonical_is_string(value) || value.length < 2)
		return false;
	*raw = hf_slice(value.data + 1, value.length - 2);
	return true;
}

bool hf_canonical_plain(struct hf_slice object, const char *name, struct hf_slice *text)
{
	if (hf_canonical_raw(object, name, text) && (text->length == 0 || !memchr(text->data, '\\', text->length)))
		return true;
	*text = (struct hf_slice){0};
	return false;
}

bool hf_canonical_u64(struct hf_slice object, const char *name, uint64_t *value)
{
	struct hf_slice text;
	return hf_canonical_member(object, name, &text) && hf_json_u64(text, value) == HF_OK && *value <= UINT64_C(1) << 53;
}

bool hf_canonical_bool(struct hf_slice object, const char *name, bool otherwise)
{
	struct hf_slice value;
	if (!hf_canonical_member(object, name, &value))
		return otherwise;
	return hf_slice_equal(value, HF_SLICE_LITERAL("true")) ? true : hf_slice_equal(value, HF_SLICE_LITERAL("false")) ? false : otherwise;
}

bool hf_canonical_hex(struct hf_slice object, const char *name, void *out, size_t length)
{
	struct hf_slice text;
	return hf_canonical_plain(object, name, &text) && text.length == 2 * length && hf_hex_decode(out, text.data, length);
}

/* ---- Joining ---- */

static int append_members(struct hf_buffer *out, struct hf_slice object)
{
	if (object.length <= 2)
		return HF_OK;
	if (out->length > 1 && hf_buffer_append(out, ",", 1) < 0)
		return HF_ENOMEM;
	return hf_buffer_append(out, object.data + 1, object.length - 2);
}

/* Of two members of a name the last one stays, so the newer ones are simply written behind the older. */
int hf_canonical_merge(struct hf_slice older, struct hf_slice newer, struct hf_buffer *out)
{
	struct hf_buffer both = {0};
	int r = hf_buffer_append(&both, "{", 1);
	if (r == HF_OK)
		r = append_members(&both, older);
	if (r == HF_OK)
		r = append_members(&both, newer);
	if (r == HF_OK)
		r = hf_buffer_append(&both, "}", 1);
	if (r == HF_OK)
		r = hf_canonical(hf_buffer_slice(&both), out);
	hf_buffer_free(&both);
	return r;
}

static bool is_one_of(struct hf_slice name, const char *const *names)
{
	for (; *names; names++)
		if (hf_slice_equal(name, hf_slice_text(*names)))
			return true;
	return false;
}

int hf_canonical_without(struct hf_slice object, const char *const *names, struct hf_buffer *out)
{
	struct hf_slice name, value;
	size_t before = out->length;
	int r = hf_buffer_append(out, "{", 1);
	for (size_t cursor = 0; r == HF_OK && hf_canonical_next_member(object, &cursor, &name, &value);) {
		if (is_one_of(name, names))
			continue;
		if (out->length > before + 1)
			r = hf_buffer_append(out, ",", 1);
		if (r == HF_OK)
			r = hf_buffer_append(out, name.data - 1, (size_t)(value.data + value.length - name.data) + 1);
	}
	if (r == HF_OK)
		r = hf_buffer_append(out, "}", 1);
	if (r < 0)
		out->length = before;
	return r;
}
