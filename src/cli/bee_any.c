/* bee_any: values that say their own type, as JSON and back. JSON has neither bytes nor dates: bytes are written as a string in
 * hexadecimal, dates as text, and both are strings when they are read again. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "cli/bee.h"
#include "codec/compact_any.h"
#include "codec/hex.h"
#include "codec/json.h"

#define INTEGER_MAX 9007199254740991.0 /* 2^53 - 1, the last that a JavaScript number has exactly */

/* ---- To bytes ---- */

static int write_value(struct hf_compact_writer *out, const json_t *value, unsigned depth);

/* As the package tells them apart. */
static int write_number(struct hf_compact_writer *out, double number)
{
	if (floor(number) != number)
		hf_compact_write_any_float64(out, number);
	else if (number > INTEGER_MAX || number < -INTEGER_MAX)
		return HF_EMALFORMED;
	else
		hf_compact_write_any_integer(out, (int64_t)number);
	return HF_OK;
}

static int write_items(struct hf_compact_writer *out, const json_t *array, unsigned depth)
{
	const json_t *item;
	size_t i;
	int r = HF_OK;
	hf_compact_write_any_array(out, json_array_size(array));
	json_array_foreach(array, i, item)
		if ((r = write_value(out, item, depth)) < 0)
			break;
	return r;
}

static int write_members(struct hf_compact_writer *out, json_t *object, unsigned depth)
{
	const char *key;
	json_t *value;
	int r = HF_OK;
	hf_compact_write_any_object(out, json_object_size(object));
	json_object_foreach(object, key, value) {
		hf_compact_write_any_key(out, hf_slice_text(key));
		if ((r = write_value(out, value, depth)) < 0)
			break;
	}
	return r;
}

static int write_value(struct hf_compact_writer *out, const json_t *value, unsigned depth)
{
	int r = HF_OK;
	if (depth > HF_COMPACT_ANY_DEPTH_MAX)
		return HF_EMALFORMED;
	switch (json_typeof(value)) {
	case JSON_NULL: hf_compact_write_any_null(out); break;
	case JSON_TRUE: case JSON_FALSE: hf_compact_write_any_bool(out, json_is_true(value)); break;
	case JSON_STRING: hf_compact_write_any_string(out, hf_slice(json_string_value(value), json_string_length(value))); break;
	case JSON_INTEGER: case JSON_REAL: r = write_number(out, json_number_value(value)); break;
	case JSON_ARRAY: r = write_items(out, value, depth + 1); break;
	case JSON_OBJECT: r = write_members(out, (json_t *)(uintptr_t)value, depth + 1); break;
	}
	return r < 0 ? r : out->status == HF_EINVAL ? HF_EMALFORMED : out->status;
}

int hf_cli_bee_parse_any(struct hf_slice text, struct hf_buffer *out)
{
	struct hf_compact_writer writer = hf_compact_writer(out);
	json_error_t error;
	json_t *value = json_loadb((const char *)text.data, text.length, JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &error);
	int r = value ? write_value(&writer, value, 0) : HF_EMALFORMED;
	json_decref(value);
	return r;
}

/* ---- From bytes ---- */

/* In as few digits as say it; what JSON has no number for is null, as in JavaScript. */
static int append_number(struct hf_buffer *out, double number)
{
	char text[40] = "null";
	for (int digits = 15; isfinite(number) && digits <= 17; digits++) {
		snprintf(text, sizeof text, "%.*g", digits, number);
		if (strtod(text, NULL) == number)
			break;
	}
	return hf_buffer_append_text(out, text);
}

static int append_date(struct hf_buffer *out, int64_t unix_ms)
{
	int64_t ms = ((unix_ms % 1000) + 1000) % 1000;
	time_t seconds = (time_t)((unix_ms - ms) / 1000);
	struct tm parts;
	char text[40];
	if (!gmtime_r(&seconds, &parts) || strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts) == 0)
		return hf_buffer_append_text(out, "null");
	return hf_buffer_printf(out, "\"%s.%03dZ\"", text, (int)ms);
}

static int append_bytes(struct hf_buffer *out, struct hf_slice bytes)
{
	if (hf_buffer_reserve(out, 2 * bytes.length + 3) < 0)
		return HF_ENOMEM;
	out->data[out->length++] = '"';
	hf_hex_encode((char *)out->data + out->length, bytes.data, bytes.length);
	out->length += 2 * bytes.length;
	out->data[out->length++] = '"';
	return HF_OK;
}

static int append_token(struct hf_buffer *out, const struct hf_compact_any_token *token)
{
	switch (token->type) {
	case HF_COMPACT_ANY_NULL: return hf_buffer_append_text(out, "null");
	case HF_COMPACT_ANY_BOOL: return hf_buffer_append_text(out, token->boolean ? "true" : "false");
	case HF_COMPACT_ANY_STRING: return hf_json_append_string(out, token->bytes);
	case HF_COMPACT_ANY_BUFFER: return append_bytes(out, token->bytes);
	case HF_COMPACT_ANY_UINT: return hf_buffer_printf(out, "%llu", (unsigned long long)token->uint);
	case HF_COMPACT_ANY_INT: return hf_buffer_printf(out, "%lld", (long long)token->integer);
	case HF_COMPACT_ANY_FLOAT64: return append_number(out, token->number);
	case HF_COMPACT_ANY_DATE: return append_date(out, token->integer);
	case HF_COMPACT_ANY_ARRAY: return hf_buffer_append_text(out, "[");
	case HF_COMPACT_ANY_OBJECT: return hf_buffer_append_text(out, "{");
	case HF_COMPACT_ANY_ARRAY_END: return hf_buffer_append_text(out, "]");
	case HF_COMPACT_ANY_OBJECT_END: return hf_buffer_append_text(out, "}");
	case HF_COMPACT_ANY_END: break;
	}
	return HF_OK;
}

int hf_cli_bee_write_any(struct hf_slice bytes, struct hf_buffer *out)
{
	struct hf_compact_reader in = hf_compact_reader(bytes);
	struct hf_compact_any_reader any = hf_compact_any_reader(&in);
	struct hf_compact_any_token token;
	uint64_t objects = 0; /* bit d: what is open at depth d is an object */
	unsigned depth = 0;
	bool needs_comma = false;
	int r;
	while ((r = hf_compact_any_next(&any, &token)) == HF_OK && token.type != HF_COMPACT_ANY_END) {
		bool is_end = token.type == HF_COMPACT_ANY_ARRAY_END || token.type == HF_COMPACT_ANY_OBJECT_END;
		bool begins = token.type == HF_COMPACT_ANY_ARRAY || token.type == HF_COMPACT_ANY_OBJECT;
		if (needs_comma && !is_end)
			r = hf_buffer_append_text(out, ",");
		if (r == HF_OK && !is_end && depth > 0 && (objects >> depth & 1)) {
			r = hf_json_append_string(out, token.key);
			if (r == HF_OK)
				r = hf_buffer_append_text(out, ":");
		}
		if (r == HF_OK)
			r = append_token(out, &token);
		if (r < 0)
			return r;
		depth += begins;
		depth -= is_end;
		if (begins)
			objects = (objects & ~(1ull << depth)) | ((uint64_t)(token.type == HF_COMPACT_ANY_OBJECT) << depth);
		needs_comma = !begins;
	}
	return r == HF_OK && hf_compact_left(&in) > 0 ? HF_EMALFORMED : r;
}
