/* The reader keeps, for each level that it is in, how many items are still to come. */
#include "codec/compact_any.h"

#include "base/utf8.h"
#include "codec/json.h"

/* ---- Reading ---- */

struct hf_slice hf_compact_read_string(struct hf_compact_reader *in)
{
	struct hf_slice text = hf_compact_read_buffer(in);

	if (in->status == HF_OK && !hf_utf8_valid(text.data, text.length)) {
		hf_compact_fail(in, HF_EMALFORMED);
		return hf_slice(NULL, 0);
	}
	return text;
}

static bool ends(struct hf_compact_any_reader *any, struct hf_compact_any_token *token)
{
	if (any->depth == 0) {
		token->type = HF_COMPACT_ANY_END;
		return any->is_begun;
	}
	if (any->left[any->depth - 1] > 0)
		return false;
	any->depth--;
	token->type = (any->objects >> any->depth & 1) != 0 ? HF_COMPACT_ANY_OBJECT_END : HF_COMPACT_ANY_ARRAY_END;
	return true;
}

static void enter(struct hf_compact_any_reader *any, struct hf_compact_any_token *token, bool is_object)
{
	if (any->depth == HF_COMPACT_ANY_DEPTH_MAX) {
		hf_compact_fail(any->in, HF_ETOOBIG);
		return;
	}
	uint32_t bit = (uint32_t)1 << any->depth;
	token->count = hf_compact_read_count(any->in, HF_COMPACT_ARRAY_COUNT_MAX, is_object ? 2 : 1);
	any->objects = is_object ? any->objects | bit : any->objects & ~bit;
	any->left[any->depth++] = token->count;
}

static void read_value(struct hf_compact_any_reader *any, struct hf_compact_any_token *token)
{
	struct hf_compact_reader *in = any->in;
	uint64_t type = hf_compact_read_uint(in);

	token->type = (enum hf_compact_any_type)type;
	switch (type) {
	case HF_COMPACT_ANY_NULL: break;
	case HF_COMPACT_ANY_BOOL: token->boolean = hf_compact_read_bool(in); break;
	case HF_COMPACT_ANY_STRING: token->bytes = hf_compact_read_string(in); break;
	case HF_COMPACT_ANY_BUFFER: token->bytes = hf_compact_read_buffer(in); break;
	case HF_COMPACT_ANY_UINT: token->uint = hf_compact_read_uint(in); break;
	case HF_COMPACT_ANY_INT:
	case HF_COMPACT_ANY_DATE: token->integer = hf_compact_read_int(in); break;
	case HF_COMPACT_ANY_FLOAT64: token->number = hf_compact_read_float64(in); break;
	case HF_COMPACT_ANY_ARRAY: enter(any, token, false); break;
	case HF_COMPACT_ANY_OBJECT: enter(any, token, true); break;
	default: hf_compact_fail(in, HF_EMALFORMED);
	}
}

int hf_compact_any_next(struct hf_compact_any_reader *any, struct hf_compact_any_token *token)
{
	*token = (struct hf_compact_any_token){.type = HF_COMPACT_ANY_END};
	if (any->in->status != HF_OK || ends(any, token))
		return any->in->status;
	any->is_begun = true;
	if (any->depth > 0) {
		any->left[any->depth - 1]--;
		if ((any->objects >> (any->depth - 1) & 1) != 0)
			token->key = hf_compact_read_string(any->in);
	}
	read_value(any, token);
	if (any->in->status != HF_OK)
		*token = (struct hf_compact_any_token){.type = HF_COMPACT_ANY_END};
	return any->in->status;
}

static struct hf_slice check_json(struct hf_compact_reader *in, struct hf_slice text)
{
	struct hf_json json;
	struct hf_json_token token;
	int error = HF_OK;

	if (in->status != HF_OK)
		return hf_slice(NULL, 0);
	hf_json_init(&json, text, HF_JSON_DEPTH_MAX);
	do
		error = hf_json_next(&json, &token);
	while (error == HF_OK && token.type != HF_JSON_END);
	if (error == HF_OK)
		return text;
	hf_compact_fail(in, error);
	return hf_slice(NULL, 0);
}

struct hf_slice hf_compact_read_json(struct hf_compact_reader *in)
{
	return check_json(in, hf_compact_read_buffer(in));
}

struct hf_slice hf_compact_read_raw_json(struct hf_compact_reader *in)
{
	return check_json(in, hf_compact_read_raw(in));
}

struct hf_compact_pair hf_compact_read_string_pair(struct hf_compact_reader *in)
{
	struct hf_compact_pair pair;

	pair.key = hf_compact_read_string(in);
	pair.value = hf_compact_read_string(in);
	return pair;
}

/* ---- Writing ---- */

static void write_type(struct hf_compact_writer *out, enum hf_compact_any_type type)
{
	hf_compact_write_uint(out, type);
}

void hf_compact_write_any_null(struct hf_compact_writer *out)
{
	write_type(out, HF_COMPACT_ANY_NULL);
}

void hf_compact_write_any_bool(struct hf_compact_writer *out, bool value)
{
	write_type(out, HF_COMPACT_ANY_BOOL);
	hf_compact_write_bool(out, value);
}

static void write_bytes(struct hf_compact_writer *out, enum hf_compact_any_type type, struct hf_slice bytes)
{
	write_type(out, type);
	hf_compact_write_buffer(out, bytes);
}

void hf_compact_write_any_string(struct hf_compact_writer *out, struct hf_slice text)
{
	write_bytes(out, HF_COMPACT_ANY_STRING, text);
}

void hf_compact_write_any_buffer(struct hf_compact_writer *out, struct hf_slice bytes)
{
	write_bytes(out, HF_COMPACT_ANY_BUFFER, bytes);
}

void hf_compact_write_any_integer(struct hf_compact_writer *out, int64_t value)
{
	write_type(out, value < 0 ? HF_COMPACT_ANY_INT : HF_COMPACT_ANY_UINT);
	if (value < 0)
		hf_compact_write_int(out, value);
	else
		hf_compact_write_uint(out, (uint64_t)value);
}

void hf_compact_write_any_float64(struct hf_compact_writer *out, double value)
{
	write_type(out, HF_COMPACT_ANY_FLOAT64);
	hf_compact_write_float64(out, value);
}

void hf_compact_write_any_date(struct hf_compact_writer *out, int64_t unix_ms)
{
	write_type(out, HF_COMPACT_ANY_DATE);
	hf_compact_write_int(out, unix_ms);
}

static void write_count(struct hf_compact_writer *out, enum hf_compact_any_type type, size_t count)
{
	write_type(out, type);
	hf_compact_write_uint(out, count);
}

void hf_compact_write_any_array(struct hf_compact_writer *out, size_t count)
{
	write_count(out, HF_COMPACT_ANY_ARRAY, count);
}

void hf_compact_write_any_object(struct hf_compact_writer *out, size_t count)
{
	write_count(out, HF_COMPACT_ANY_OBJECT, count);
}

void hf_compact_write_any_key(struct hf_compact_writer *out, struct hf_slice key)
{
	hf_compact_write_buffer(out, key);
}

void hf_compact_write_string_record(struct hf_compact_writer *out, const struct hf_compact_pair *pairs, size_t count)
{
	hf_compact_write_uint(out, count);
	for (size_t i = 0; i < count; i++) {
		hf_compact_write_buffer(out, pairs[i].key);
		hf_compact_write_buffer(out, pairs[i].value);
	}
}
