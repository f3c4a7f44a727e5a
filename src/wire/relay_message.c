/* A message's texts go into one buffer that is large enough before the first is written, so that slices of it stay. Bodies are read
 * by a scanner of their own, since an array of bytes is by far the largest thing here. */
#include "wire/relay_message.h"

#include "base/utf8.h"
#include "wire/relay_json.h"

#define TEXT_BYTES_MAX (HF_RELAY_CHANNEL_METHOD_BYTES_MAX + HF_RELAY_CHANNEL_PATH_BYTES_MAX + HF_RELAY_CHANNEL_FIELD_BYTES_MAX)
#define BODY_BYTES_KEPT (64u << 10)
#define ID_MAX ((UINT64_C(1) << 53) - 1)

/* ---- Bodies ---- */

static const uint8_t *skip_space(const uint8_t *at, const uint8_t *end)
{
	while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
		at++;
	return at;
}

static void put_byte(struct hf_relay_message *message, unsigned byte)
{
	if (message->body.length < message->body_bytes_max)
		message->body.data[message->body.length++] = (uint8_t)byte;
	else
		message->is_body_too_big = true;
}

static const uint8_t *scan_byte(const uint8_t *at, const uint8_t *end, unsigned *byte)
{
	const uint8_t *begun = at;

	*byte = 0;
	while (at < end && *at >= '0' && *at <= '9' && at - begun < 3)
		*byte = *byte * 10 + (*at++ - '0');
	return at == begun || *byte > 255 ? NULL : at;
}

/* [1,2,3]; the scanner stands on the bracket. */
static int read_bytes(struct hf_json *in, struct hf_relay_message *message)
{
	const uint8_t *at = skip_space(in->at + 1, in->end), *end = in->end;
	size_t count_max = (size_t)(end - at) / 2 + 1; /* a digit and a comma each */
	bool is_empty = at < end && *at == ']';

	if (hf_buffer_reserve(&message->body, count_max < message->body_bytes_max ? count_max : message->body_bytes_max) != HF_OK)
		return HF_ENOMEM;
	while (!is_empty) {
		unsigned byte;

		at = scan_byte(at, end, &byte);
		if (at == NULL)
			return HF_EMALFORMED;
		put_byte(message, byte);
		at = skip_space(at, end);
		if (at == end || (*at != ',' && *at != ']'))
			return HF_EMALFORMED;
		if (*at == ']')
			break;
		at = skip_space(at + 1, end);
	}
	hf_json_close_value(in, at + 1);
	return HF_OK;
}

static int read_body_text(struct hf_json *in, struct hf_relay_message *message)
{
	struct hf_json_token token;
	int status = hf_relay_json_scalar(in, &token);

	if (status != HF_OK || token.type == HF_JSON_NULL)
		return status;
	if (token.type != HF_JSON_STRING)
		return HF_EINVAL;
	if (token.raw.length <= message->body_bytes_max)
		return hf_relay_json_unescape(&token, &message->body);
	message->is_body_too_big = true;
	return HF_OK;
}

/* {"type":"Buffer","data":[…]} */
static int read_body_object(struct hf_json *in, struct hf_relay_message *message)
{
	struct hf_json_token token;
	int status = hf_relay_json_enter(in, HF_JSON_OBJECT);

	while (status == HF_OK && (status = hf_json_next(in, &token)) == HF_OK && token.type != HF_JSON_OBJECT_END) {
		bool is_data = hf_slice_equal(token.raw, HF_SLICE_LITERAL("data"));

		status = hf_json_open_value(in);
		if (status == HF_OK && is_data && message->body.length == 0 && *in->at == '[')
			status = read_bytes(in, message);
		else if (status == HF_OK)
			status = hf_json_skip(in);
	}
	return status;
}

static int read_body(struct hf_json *in, const struct hf_relay_json_member *member, void *at)
{
	struct hf_relay_message *message = at;
	int status = hf_json_open_value(in);

	if (status != HF_OK)
		return status;
	hf_buffer_clear(&message->body);
	message->is_body_too_big = false;
	if (*in->at == '[')
		return read_bytes(in, message);
	return *in->at == '{' ? read_body_object(in, message) : read_body_text(in, message);
}

/* ---- Texts ---- */

static int take_text(struct hf_relay_message *message, const struct hf_json_token *token, size_t bytes_max, struct hf_slice *text)
{
	struct hf_buffer *out = &message->text;
	size_t begun = out->length;

	if (token->type != HF_JSON_STRING && token->type != HF_JSON_NUMBER)
		return HF_EINVAL;
	if (token->raw.length > bytes_max || out->capacity - out->length < token->raw.length)
		return HF_ETOOBIG;
	if (token->type == HF_JSON_STRING) {
		out->length += hf_json_unescape(token->raw, out->data + begun);
	} else {
		memcpy(out->data + begun, token->raw.data, token->raw.length);
		out->length += token->raw.length;
	}
	*text = hf_slice(out->data + begun, out->length - begun);
	return HF_OK;
}

static int read_text(struct hf_json *in, struct hf_relay_message *message, size_t bytes_max, struct hf_slice *text)
{
	struct hf_json_token token;
	int status = hf_relay_json_scalar(in, &token);

	return status == HF_OK ? take_text(message, &token, bytes_max, text) : status;
}

static int read_method(struct hf_json *in, const struct hf_relay_json_member *member, void *at)
{
	struct hf_relay_message *message = at;

	return read_text(in, message, HF_RELAY_CHANNEL_METHOD_BYTES_MAX, &message->method);
}

static int read_path(struct hf_json *in, const struct hf_relay_json_member *member, void *at)
{
	struct hf_relay_message *message = at;

	return read_text(in, message, HF_RELAY_CHANNEL_PATH_BYTES_MAX, &message->path);
}

/* Fields that could not stand in an HTTP message are left out, and such whose value is neither text nor number. */
static int read_fields(struct hf_json *in, const struct hf_relay_json_member *member, void *at)
{
	struct hf_relay_message *message = at;
	struct hf_json_token name, value;
	int status = hf_relay_json_enter(in, HF_JSON_OBJECT);

	message->field_count = 0;
	while (status == HF_OK && (status = hf_json_next(in, &name)) == HF_OK && name.type != HF_JSON_OBJECT_END) {
		struct hf_http_field field;

		name.type = HF_JSON_STRING;
		status = hf_relay_json_scalar(in, &value);
		if (status != HF_OK || (value.type != HF_JSON_STRING && value.type != HF_JSON_NUMBER))
			continue;
		if (message->field_count == HF_RELAY_CHANNEL_FIELDS_MAX)
			return HF_ETOOBIG;
		status = take_text(message, &name, HF_RELAY_CHANNEL_FIELD_BYTES_MAX, &field.name);
		if (status == HF_OK)
			status = take_text(message, &value, HF_RELAY_CHANNEL_FIELD_BYTES_MAX, &field.value);
		if (status == HF_OK && hf_http_field_is_strict(&field))
			message->fields[message->field_count++] = field;
	}
	return status == HF_EINVAL ? HF_OK : status; /* null */
}

static int read_id(struct hf_json *in, const struct hf_relay_json_member *member, void *at)
{
	struct hf_relay_message *message = at;
	struct hf_json_token token;
	int status = hf_relay_json_scalar(in, &token);

	if (status != HF_OK)
		return status;
	if (token.type != HF_JSON_NUMBER || hf_json_u64(token.raw, &message->id) != HF_OK || message->id > ID_MAX)
		return HF_EINVAL;
	message->has_id = true;
	return HF_OK;
}

/* Of a health check's answer: healthy, or not. */
static int read_health(struct hf_json *in, const struct hf_relay_json_member *member, void *at)
{
	struct hf_relay_message *message = at;
	struct hf_json_token token;
	int status = hf_relay_json_scalar(in, &token);

	message->is_unhealthy = token.type != HF_JSON_STRING || !hf_slice_equal(token.raw, HF_SLICE_LITERAL("healthy"));
	return status;
}

static const struct hf_relay_json_member members[] = {
	{"id", read_id, 0, 0},
	{"method", read_method, 0, 0},
	{"path", read_path, 0, 0},
	{"headers", read_fields, 0, 0},
	{"statusCode", hf_relay_json_u32, offsetof(struct hf_relay_message, status), 1000},
	{"status", read_health, 0, 0},
	{"body", read_body, 0, 0},
};

int hf_relay_message_read(struct hf_slice json, struct hf_relay_message *message)
{
	size_t text_bytes = json.length < TEXT_BYTES_MAX ? json.length : TEXT_BYTES_MAX;

	message->has_id = message->is_body_too_big = message->is_unhealthy = false;
	message->status = 0;
	message->field_count = 0;
	message->method = message->path = hf_slice(NULL, 0);
	hf_buffer_clear(&message->body);
	hf_buffer_clear(&message->text);
	if (hf_buffer_reserve(&message->text, text_bytes) != HF_OK)
		return HF_ENOMEM;
	int status = hf_relay_json_read(json, members, sizeof members / sizeof *members, false, message);
	return status == HF_OK && !message->has_id ? HF_EMALFORMED : status;
}

void hf_relay_message_rest(struct hf_relay_message *message)
{
	if (message->body.capacity > BODY_BYTES_KEPT)
		hf_buffer_free(&message->body);
}

void hf_relay_message_free(struct hf_relay_message *message)
{
	hf_buffer_free(&message->body);
	hf_buffer_free(&message->text);
}

/* ---- Writing ---- */

static bool is_text(struct hf_slice text)
{
	return hf_utf8_valid(text.data, text.length);
}

int hf_relay_message_check(struct hf_slice method, struct hf_slice path, const struct hf_http_field *fields, size_t count,
	size_t body_bytes)
{
	size_t bytes = 0;

	if (method.length > HF_RELAY_CHANNEL_METHOD_BYTES_MAX || path.length > HF_RELAY_CHANNEL_PATH_BYTES_MAX ||
		count > HF_RELAY_CHANNEL_FIELDS_MAX || body_bytes > HF_RELAY_CHANNEL_BODY_BYTES_MAX)
		return HF_ETOOBIG;
	for (size_t i = 0; i < count; i++) {
		bytes += fields[i].name.length + fields[i].value.length;
		if (bytes > HF_RELAY_CHANNEL_FIELD_BYTES_MAX)
			return HF_ETOOBIG;
		if (!is_text(fields[i].name) || !is_text(fields[i].value))
			return HF_EINVAL;
	}
	return is_text(method) && is_text(path) ? HF_OK : HF_EINVAL;
}

static uint8_t *put_decimal(uint8_t *at, uint8_t value)
{
	if (value >= 100)
		*at++ = (uint8_t)('0' + value / 100);
	if (value >= 10)
		*at++ = (uint8_t)('0' + value / 10 % 10);
	*at++ = (uint8_t)('0' + value % 10);
	return at;
}

static int put_body(struct hf_buffer *out, struct hf_slice body)
{
	int status = hf_relay_json_put_name(out, "body");

	if (status != HF_OK || body.length == 0)
		return status != HF_OK ? status : hf_buffer_append_text(out, "null");
	if (hf_buffer_reserve(out, 4 * body.length + 1) != HF_OK)
		return HF_ENOMEM;
	uint8_t *at = out->data + out->length;
	for (size_t i = 0; i < body.length; i++) {
		*at++ = i == 0 ? '[' : ',';
		at = put_decimal(at, body.data[i]);
	}
	*at++ = ']';
	out->length = (size_t)(at - out->data);
	return HF_OK;
}

static int put_fields(struct hf_buffer *out, const struct hf_http_field *fields, size_t count)
{
	int status = hf_relay_json_put_name(out, "headers");

	if (status == HF_OK)
		status = hf_buffer_append_text(out, "{");
	for (size_t i = 0; i < count && status == HF_OK; i++) {
		status = i > 0 ? hf_buffer_append_text(out, ",") : HF_OK;
		if (status == HF_OK)
			status = hf_json_append_string(out, fields[i].name);
		if (status == HF_OK)
			status = hf_buffer_append_text(out, ":");
		if (status == HF_OK)
			status = hf_json_append_string(out, fields[i].value);
	}
	return status == HF_OK ? hf_buffer_append_text(out, "}") : status;
}

int hf_relay_message_write_request(struct hf_buffer *out, uint64_t id, const struct hf_relay_request *request)
{
	int status = hf_buffer_printf(out, "{\"id\":%llu", (unsigned long long)id);

	if (status == HF_OK)
		status = hf_relay_json_put_text(out, "method", request->method);
	if (status == HF_OK)
		status = hf_relay_json_put_text(out, "path", request->path);
	if (status == HF_OK)
		status = put_fields(out, request->fields, request->field_count);
	if (status == HF_OK)
		status = put_body(out, request->body);
	return status == HF_OK ? hf_buffer_append_text(out, "}") : status;
}

int hf_relay_message_write_response(struct hf_buffer *out, uint64_t id, const struct hf_relay_response *response)
{
	int status = hf_buffer_printf(out, "{\"id\":%llu,\"statusCode\":%d", (unsigned long long)id, response->status);

	if (status == HF_OK)
		status = put_fields(out, response->fields, response->field_count);
	if (status == HF_OK)
		status = put_body(out, response->body);
	return status == HF_OK ? hf_buffer_append_text(out, "}") : status;
}
