/* bee_text: keys and values as people and programs write them: bytes in hexadecimal, text as it is, JSON as the packages write it, without
 * white space and with as few escapes as there must be. */
#include "base/utf8.h"
#include "cli/bee.h"
#include "codec/hex.h"
#include "codec/json.h"

static const char *const names[] = {[HF_BEE_BINARY] = "binary", [HF_BEE_UTF8] = "utf-8", [HF_BEE_JSON] = "json",
	[HF_BEE_COMPACT_ANY] = "any"};

const char *hf_cli_bee_encoding_name(enum hf_bee_encoding encoding)
{
	return names[encoding];
}

/* ---- To bytes ---- */

static int append_hex_bytes(struct hf_slice text, struct hf_buffer *out)
{
	size_t length = text.length / 2;
	if (text.length % 2)
		return HF_EMALFORMED;
	if (hf_buffer_reserve(out, length + 1) < 0)
		return HF_ENOMEM;
	if (!hf_cli_core_hex(out->data + out->length, (const char *)text.data, length))
		return HF_EMALFORMED;
	out->length += length;
	return HF_OK;
}

static int append_token(const struct hf_json_token *token, struct hf_buffer *out)
{
	switch (token->type) {
	case HF_JSON_OBJECT: return hf_buffer_append(out, "{", 1);
	case HF_JSON_OBJECT_END: return hf_buffer_append(out, "}", 1);
	case HF_JSON_ARRAY: return hf_buffer_append(out, "[", 1);
	case HF_JSON_ARRAY_END: return hf_buffer_append(out, "]", 1);
	case HF_JSON_TRUE: return hf_buffer_append(out, "true", 4);
	case HF_JSON_FALSE: return hf_buffer_append(out, "false", 5);
	case HF_JSON_NULL: return hf_buffer_append(out, "null", 4);
	case HF_JSON_NUMBER: return hf_buffer_append(out, token->raw.data, token->raw.length);
	case HF_JSON_STRING: break;
	case HF_JSON_END: return HF_EMALFORMED;
	}
	if (hf_buffer_reserve(out, token->raw.length + 3) < 0)
		return HF_ENOMEM;
	out->data[out->length++] = '"';
	out->length += hf_json_canonical(token->raw, out->data + out->length);
	out->data[out->length++] = '"';
	return token->is_key ? hf_buffer_append(out, ":", 1) : HF_OK;
}

/* The value without white space. */
static int append_compact(struct hf_slice text, struct hf_buffer *out)
{
	struct hf_json json;
	struct hf_json_token token;
	bool needs_comma = false;
	hf_json_init(&json, text, HF_JSON_DEPTH_MAX);
	int r = hf_json_next(&json, &token);
	while (r == HF_OK && token.type != HF_JSON_END) {
		bool is_end = token.type == HF_JSON_OBJECT_END || token.type == HF_JSON_ARRAY_END;
		if (needs_comma && !is_end)
			r = hf_buffer_append(out, ",", 1);
		if (r == HF_OK)
			r = append_token(&token, out);
		needs_comma = token.type != HF_JSON_OBJECT && token.type != HF_JSON_ARRAY && !token.is_key;
		if (r == HF_OK)
			r = hf_json_next(&json, &token);
	}
	return r == HF_ETOOBIG ? HF_EMALFORMED : r;
}

int hf_cli_bee_parse(enum hf_bee_encoding encoding, struct hf_slice text, struct hf_buffer *out)
{
	if (encoding == HF_BEE_BINARY)
		return append_hex_bytes(text, out);
	if (encoding == HF_BEE_JSON)
		return append_compact(text, out);
	if (encoding == HF_BEE_COMPACT_ANY)
		return hf_cli_bee_parse_any(text, out);
	if (hf_bee_encoding_check(encoding, text) < 0)
		return HF_EMALFORMED;
	return text.length ? hf_buffer_append(out, text.data, text.length) : HF_OK;
}

int hf_cli_bee_key(const struct hf_cli_bee *bee, struct hf_slice text, struct hf_buffer *out)
{
	int r = bee->has_sub ? hf_bee_sub_key(&bee->sub, (struct hf_slice){0}, out) : HF_OK;
	return r == HF_OK ? hf_cli_bee_parse(bee->key_encoding, text, out) : r;
}

/* ---- From bytes ---- */

static int append_hex_text(struct hf_slice bytes, struct hf_buffer *out)
{
	if (hf_buffer_reserve(out, 2 * bytes.length + 1) < 0)
		return HF_ENOMEM;
	hf_hex_encode((char *)out->data + out->length, bytes.data, bytes.length);
	out->length += 2 * bytes.length;
	return HF_OK;
}

static int append_hex_string(struct hf_slice bytes, struct hf_buffer *out)
{
	int r = hf_buffer_append(out, "\"", 1);
	if (r == HF_OK)
		r = append_hex_text(bytes, out);
	return r == HF_OK ? hf_buffer_append(out, "\"", 1) : r;
}

/* How many bytes at the front are one of the characters U+007F to U+009F, which JSON has as they are and a terminal takes for commands. */
static size_t command_length(const uint8_t *at, size_t left)
{
	return left > 0 && at[0] == 0x7f ? 1 : left > 1 && at[0] == 0xc2 && at[1] < 0xa0 ? 2 : 0;
}

/* They can only be in strings: there they are written \\u00NN. */
static int append_shown(struct hf_slice json, struct hf_buffer *out)
{
	size_t plain = 0, at = 0;
	int r = HF_OK;
	while (r == HF_OK && at < json.length) {
		size_t length = command_length(json.data + at, json.length - at);
		at += length ? length : 1;
		if (length == 0)
			continue;
		r = hf_buffer_printf(out, "%.*s\\u00%02x", (int)(at - length - plain), (const char *)json.data + plain, json.data[at - 1]);
		plain = at;
	}
	return r == HF_OK && plain < at ? hf_buffer_append(out, json.data + plain, at - plain) : r;
}

int hf_cli_bee_write_json(enum hf_bee_encoding encoding, struct hf_slice bytes, struct hf_buffer *out)
{
	struct hf_buffer json = {0};
	if (hf_bee_encoding_check(encoding, bytes) < 0)
		return HF_EMALFORMED;
	if (encoding == HF_BEE_BINARY)
		return append_hex_string(bytes, out);
	int r = encoding == HF_BEE_JSON ? append_compact(bytes, &json) : encoding == HF_BEE_COMPACT_ANY ? hf_cli_bee_write_any(bytes, &json)
		: hf_json_append_string(&json, bytes);
	if (r == HF_OK)
		r = append_shown(hf_buffer_slice(&json), out);
	hf_buffer_free(&json);
	return r;
}

static bool is_plain(struct hf_slice text)
{
	for (size_t i = 0; i < text.length; i++)
		if (text.data[i] < ' ' || command_length(text.data + i, text.length - i))
			return false;
	return true;
}

int hf_cli_bee_write_text(enum hf_bee_encoding encoding, struct hf_slice bytes, struct hf_buffer *out)
{
	if (encoding == HF_BEE_BINARY)
		return append_hex_text(bytes, out);
	if (encoding != HF_BEE_UTF8 || !is_plain(bytes))
		return hf_cli_bee_write_json(encoding, bytes, out);
	if (hf_bee_encoding_check(encoding, bytes) < 0)
		return HF_EMALFORMED;
	return bytes.length ? hf_buffer_append(out, bytes.data, bytes.length) : HF_OK;
}

/* ---- Lines of JSON ---- */

/* What stands in the member "key" or "value": for JSON, and what is made of it, the value as it is written, for the others a string. */
static int append_member(enum hf_bee_encoding encoding, struct hf_json *json, struct hf_buffer *out)
{
	struct hf_json_token token;
	struct hf_buffer text = {0};
	int r;
	if (encoding == HF_BEE_JSON || encoding == HF_BEE_COMPACT_ANY) {
		r = hf_json_open_value(json);
		const uint8_t *start = json->at;
		if (r == HF_OK)
			r = hf_json_skip(json);
		return r == HF_OK ? hf_cli_bee_parse(encoding, hf_slice(start, (size_t)(json->at - start)), out) : r;
	}
	r = hf_json_next(json, &token);
	if (r == HF_OK && token.type != HF_JSON_STRING)
		return HF_EMALFORMED;
	if (r == HF_OK)
		r = hf_buffer_reserve(&text, token.raw.length + 1);
	if (r == HF_OK) {
		text.length = hf_json_unescape(token.raw, text.data);
		r = hf_cli_bee_parse(encoding, hf_buffer_slice(&text), out);
	}
	hf_buffer_free(&text);
	return r;
}

static bool is_null(const struct hf_json *json)
{
	struct hf_json ahead = *json;
	struct hf_json_token token;
	return hf_json_next(&ahead, &token) == HF_OK && token.type == HF_JSON_NULL;
}

/* A line in parts: where the members that are known were put. */
struct parts {
	struct hf_buffer key, value;
	bool has_key, has_value, is_null, is_del;
};

static int parse_member(const struct hf_cli_bee *bee, struct hf_json *json, struct hf_slice name, struct parts *parts)
{
	struct hf_json_token token;
	if (hf_slice_equal(name, HF_SLICE_LITERAL("key"))) {
		parts->has_key = true;
		hf_buffer_clear(&parts->key);
		return append_member(bee->key_encoding, json, &parts->key);
	}
	if (hf_slice_equal(name, HF_SLICE_LITERAL("value"))) {
		parts->has_value = true;
		parts->is_null = is_null(json);
		hf_buffer_clear(&parts->value);
		return parts->is_null ? hf_json_skip(json) : append_member(bee->value_encoding, json, &parts->value);
	}
	if (!hf_slice_equal(name, HF_SLICE_LITERAL("type")))
		return hf_json_skip(json);
	int r = hf_json_next(json, &token);
	parts->is_del = hf_slice_equal(token.raw, HF_SLICE_LITERAL("del"));
	return r == HF_OK && (token.type != HF_JSON_STRING || (!parts->is_del && !hf_slice_equal(token.raw, HF_SLICE_LITERAL("put"))))
		? HF_EMALFORMED : r;
}

int hf_cli_bee_parse_line(const struct hf_cli_bee *bee, struct hf_slice text, bool is_del, struct hf_buffer *out,
	struct hf_cli_bee_line *line)
{
	struct parts parts = {.is_del = is_del};
	struct hf_json json;
	struct hf_json_token token;
	size_t start = out->length;
	hf_json_init(&json, text, HF_JSON_DEPTH_MAX);
	int r = hf_json_next(&json, &token);
	if (r == HF_OK && token.type != HF_JSON_OBJECT)
		r = HF_EMALFORMED;
	while (r == HF_OK && (r = hf_json_next(&json, &token)) == HF_OK && token.type != HF_JSON_OBJECT_END)
		r = parse_member(bee, &json, token.raw, &parts);
	if (r == HF_OK)
		r = hf_json_next(&json, &token);
	if (r == HF_OK && (!parts.has_key || (!parts.is_del && !parts.has_value)))
		r = HF_EMALFORMED;
	if (r == HF_OK && bee->has_sub)
		r = hf_bee_sub_key(&bee->sub, hf_buffer_slice(&parts.key), out);
	else if (r == HF_OK && parts.key.length)
		r = hf_buffer_append(out, parts.key.data, parts.key.length);
	line->key_bytes = out->length - start;
	line->value_bytes = parts.is_del ? HF_ACTION_BEE_NOTHING : parts.is_null ? HF_ACTION_BEE_NULL : (json_int_t)parts.value.length;
	if (r == HF_OK && line->value_bytes > 0)
		r = hf_buffer_append(out, parts.value.data, parts.value.length);
	hf_buffer_free(&parts.key);
	hf_buffer_free(&parts.value);
	return r == HF_ETOOBIG ? HF_EMALFORMED : r;
}
