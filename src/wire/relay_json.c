/* Values are read by type, as tables say; numbers through double, as the other side wrote them. */
#include "wire/relay_json.h"

#include <stdlib.h>
#include <strings.h>
#include <time.h>

#include "codec/hex.h"

#define NUMBER_BYTES_MAX 40
#define KEY_BYTES 32

/* ---- Reading ---- */

int hf_relay_json_scalar(struct hf_json *in, struct hf_json_token *token)
{
	int status = hf_json_next(in, token);

	if (status == HF_OK && (token->type == HF_JSON_OBJECT || token->type == HF_JSON_ARRAY))
		status = hf_json_leave(in);
	return status;
}

int hf_relay_json_enter(struct hf_json *in, enum hf_json_type type)
{
	struct hf_json_token token;
	int status = hf_json_next(in, &token);

	if (status != HF_OK || token.type == type)
		return status;
	if (token.type == HF_JSON_OBJECT || token.type == HF_JSON_ARRAY)
		status = hf_json_leave(in);
	return status == HF_OK ? HF_EINVAL : status;
}

static int read_number(struct hf_json *in, double *number, bool *is_there)
{
	char text[NUMBER_BYTES_MAX];
	struct hf_json_token token;
	int status = hf_relay_json_scalar(in, &token);

	*is_there = false;
	if (status != HF_OK || token.type == HF_JSON_NULL)
		return status;
	if (token.type != HF_JSON_NUMBER || token.raw.length >= sizeof text)
		return HF_EINVAL;
	memcpy(text, token.raw.data, token.raw.length);
	text[token.raw.length] = 0;
	*number = strtod(text, NULL);
	*is_there = true;
	return *number >= 0 ? HF_OK : HF_EINVAL;
}

static uint64_t whole(double number, uint64_t max)
{
	return number >= (double)max ? max : (uint64_t)number;
}

int hf_relay_json_u64(struct hf_json *in, const struct hf_relay_json_member *member, void *at)
{
	double number;
	bool is_there;
	int status = read_number(in, &number, &is_there);

	if (status == HF_OK && is_there)
		*(uint64_t *)at = whole(number, member->max);
	return status;
}

int hf_relay_json_u32(struct hf_json *in, const struct hf_relay_json_member *member, void *at)
{
	double number;
	bool is_there;
	int status = read_number(in, &number, &is_there);

	if (status == HF_OK && is_there)
		*(uint32_t *)at = (uint32_t)whole(number, member->max < UINT32_MAX ? member->max : UINT32_MAX);
	return status;
}

int hf_relay_json_rate(struct hf_json *in, const struct hf_relay_json_member *member, void *at)
{
	double number;
	bool is_there;
	int status = read_number(in, &number, &is_there);

	if (status == HF_OK && is_there && number > 1)
		return HF_EINVAL;
	if (status == HF_OK && is_there)
		*(double *)at = number;
	return status;
}

int hf_relay_json_bool(struct hf_json *in, const struct hf_relay_json_member *member, void *at)
{
	struct hf_json_token token;
	int status = hf_relay_json_scalar(in, &token);

	if (status != HF_OK || token.type == HF_JSON_NULL)
		return status;
	if (token.type != HF_JSON_TRUE && token.type != HF_JSON_FALSE)
		return HF_EINVAL;
	*(bool *)at = token.type == HF_JSON_TRUE;
	return HF_OK;
}

int hf_relay_json_key(struct hf_json *in, const struct hf_relay_json_member *member, void *at)
{
	char lower[2 * KEY_BYTES];
	struct hf_json_token token;
	int status = hf_relay_json_scalar(in, &token);

	if (status != HF_OK || token.type == HF_JSON_NULL)
		return status;
	if (token.type != HF_JSON_STRING || token.raw.length != sizeof lower)
		return HF_EINVAL;
	for (size_t i = 0; i < sizeof lower; i++)
		lower[i] = (char)(token.raw.data[i] >= 'A' && token.raw.data[i] <= 'F' ? token.raw.data[i] | 0x20 : token.raw.data[i]);
	uint8_t key[KEY_BYTES];
	if (!hf_hex_decode(key, lower, KEY_BYTES))
		return HF_EINVAL;
	memcpy(at, key, sizeof key);
	return HF_OK;
}

int hf_relay_json_unescape(const struct hf_json_token *token, struct hf_buffer *out)
{
	if (hf_buffer_reserve(out, token->raw.length + 1) != HF_OK)
		return HF_ENOMEM;
	out->length += hf_json_unescape(token->raw, out->data + out->length);
	return HF_OK;
}

static const struct hf_relay_json_member *find(const struct hf_relay_json_member *members, size_t count, struct hf_slice name)
{
	for (size_t i = 0; i < count; i++)
		if (hf_slice_equal(hf_slice_text(members[i].name), name))
			return &members[i];
	return NULL;
}

int hf_relay_json_read(struct hf_slice text, const struct hf_relay_json_member *members, size_t count, bool is_lenient, void *out)
{
	struct hf_json in;
	struct hf_json_token token;

	hf_json_init(&in, text, HF_RELAY_JSON_DEPTH_MAX);
	int status = hf_relay_json_enter(&in, HF_JSON_OBJECT);
	while (status == HF_OK && (status = hf_json_next(&in, &token)) == HF_OK && token.type != HF_JSON_OBJECT_END) {
		const struct hf_relay_json_member *member = find(members, count, token.raw);

		if (member == NULL)
			status = hf_json_skip(&in);
		else
			status = member->read(&in, member, (char *)out + member->offset);
		if (status == HF_EINVAL && is_lenient)
			status = HF_OK;
	}
	if (status == HF_OK)
		status = hf_json_next(&in, &token);
	return status == HF_EINVAL ? HF_EMALFORMED : status;
}

/* ---- Writing ---- */

int hf_relay_json_put_name(struct hf_buffer *out, const char *name)
{
	uint8_t last = out->length > 0 ? out->data[out->length - 1] : '{';

	return hf_buffer_printf(out, "%s\"%s\":", last == '{' ? "" : ",", name);
}

int hf_relay_json_put_u64(struct hf_buffer *out, const char *name, uint64_t value)
{
	int status = hf_relay_json_put_name(out, name);

	return status == HF_OK ? hf_buffer_printf(out, "%llu", (unsigned long long)value) : status;
}

int hf_relay_json_put_bool(struct hf_buffer *out, const char *name, bool value)
{
	int status = hf_relay_json_put_name(out, name);

	return status == HF_OK ? hf_buffer_append_text(out, value ? "true" : "false") : status;
}

int hf_relay_json_put_hex(struct hf_buffer *out, const char *name, const void *bytes, size_t length)
{
	int status = hf_relay_json_put_name(out, name);

	if (status == HF_OK)
		status = hf_buffer_reserve(out, 2 * length + 2);
	if (status != HF_OK)
		return status;
	out->data[out->length] = '"';
	hf_hex_encode(out->data + out->length + 1, bytes, length);
	out->data[out->length + 1 + 2 * length] = '"';
	out->length += 2 * length + 2;
	return HF_OK;
}

int hf_relay_json_put_text(struct hf_buffer *out, const char *name, struct hf_slice text)
{
	int status = hf_relay_json_put_name(out, name);

	return status == HF_OK ? hf_json_append_string(out, text) : status;
}

int hf_relay_json_put_time(struct hf_buffer *out, const char *name, uint64_t unix_ms)
{
	time_t seconds = (time_t)(unix_ms / 1000);
	struct tm tm;
	int status = hf_relay_json_put_name(out, name);

	if (status != HF_OK || gmtime_r(&seconds, &tm) == NULL)
		return status != HF_OK ? status : HF_EINVAL;
	return hf_buffer_printf(out, "\"%04d-%02d-%02dT%02d:%02d:%02d.%03uZ\"", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
		tm.tm_min, tm.tm_sec, (unsigned)(unix_ms % 1000));
}
