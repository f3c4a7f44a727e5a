/* One walk over the message with the scanner; nothing is copied but the subscription id, which is made canonical so that both sides' ways
 * of writing it compare equal. */
#include "wire/nostr_frame.h"

#include "codec/hex.h"

static const struct {
	struct hf_slice name;
	enum hf_nostr_frame_type type;
} types[] = {
	{HF_SLICE_LITERAL("EVENT"), HF_NOSTR_FRAME_EVENT},
	{HF_SLICE_LITERAL("REQ"), HF_NOSTR_FRAME_REQ},
	{HF_SLICE_LITERAL("COUNT"), HF_NOSTR_FRAME_COUNT},
	{HF_SLICE_LITERAL("CLOSE"), HF_NOSTR_FRAME_CLOSE},
	{HF_SLICE_LITERAL("AUTH"), HF_NOSTR_FRAME_AUTH},
	{HF_SLICE_LITERAL("OK"), HF_NOSTR_FRAME_OK},
	{HF_SLICE_LITERAL("EOSE"), HF_NOSTR_FRAME_EOSE},
	{HF_SLICE_LITERAL("CLOSED"), HF_NOSTR_FRAME_CLOSED},
	{HF_SLICE_LITERAL("NOTICE"), HF_NOSTR_FRAME_NOTICE},
	{HF_SLICE_LITERAL("AUTH-TOKEN"), HF_NOSTR_FRAME_AUTH_TOKEN},
	{HF_SLICE_LITERAL("TOKEN"), HF_NOSTR_FRAME_TOKEN},
	{HF_SLICE_LITERAL("RESUME"), HF_NOSTR_FRAME_RESUME},
};

static enum hf_nostr_frame_type type_of(struct hf_slice name)
{
	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (hf_slice_equal(name, types[i].name))
			return types[i].type;
	return HF_NOSTR_FRAME_OTHER;
}

static void take_subscription_id(struct hf_slice raw, struct hf_nostr_frame *frame)
{
	uint8_t canonical[12 * HF_NOSTR_SUBSCRIPTION_ID_CHARACTERS_MAX];
	if (raw.length > sizeof canonical)
		return;
	size_t length = hf_json_canonical(raw, canonical);
	if (length > sizeof frame->id_bytes)
		return;
	memcpy(frame->id_bytes, canonical, length);
	frame->subscription_id = hf_slice(frame->id_bytes, length);
}

static bool take_event_id(struct hf_slice raw, struct hf_nostr_frame *frame)
{
	return raw.length == 64 && hf_hex_decode(frame->event_id, raw.data, 32);
}

/* After the object's token: its members, to behind its end. */
static int read_event(struct hf_json *json, struct hf_nostr_frame *frame)
{
	struct hf_json_token key, value;
	int status;
	while ((status = hf_json_next(json, &key)) == HF_OK && key.type == HF_JSON_STRING) {
		bool is_id = hf_slice_equal(key.raw, HF_SLICE_LITERAL("id"));
		bool is_time = hf_slice_equal(key.raw, HF_SLICE_LITERAL("created_at"));
		if (!is_id && !is_time) {
			if ((status = hf_json_skip(json)) < 0)
				return status;
			continue;
		}
		if ((status = hf_json_next(json, &value)) < 0)
			return status;
		if (value.type == HF_JSON_OBJECT || value.type == HF_JSON_ARRAY)
			status = hf_json_leave(json);
		else if (is_id)
			frame->has_event = value.type == HF_JSON_STRING && take_event_id(value.raw, frame);
		else if (value.type != HF_JSON_NUMBER || hf_json_u64(value.raw, &frame->created_at_s) < 0)
			frame->created_at_s = 0;
		if (status < 0)
			return status;
	}
	return status;
}

static bool names_subscription(enum hf_nostr_frame_type type)
{
	return type == HF_NOSTR_FRAME_EVENT || type == HF_NOSTR_FRAME_REQ || type == HF_NOSTR_FRAME_COUNT || type == HF_NOSTR_FRAME_CLOSE ||
	       type == HF_NOSTR_FRAME_EOSE || type == HF_NOSTR_FRAME_CLOSED;
}

/* One element behind the type; index from 0. */
static int read_element(struct hf_json *json, const struct hf_json_token *token, unsigned index, struct hf_nostr_frame *frame)
{
	if (token->type == HF_JSON_STRING && index == 0) {
		if (names_subscription(frame->type))
			take_subscription_id(token->raw, frame);
		else if (frame->type == HF_NOSTR_FRAME_OK)
			frame->has_event = take_event_id(token->raw, frame);
		else if (frame->type == HF_NOSTR_FRAME_AUTH_TOKEN)
			frame->text = token->raw;
	}
	if (token->type == HF_JSON_TRUE && frame->type == HF_NOSTR_FRAME_OK && index == 1)
		frame->is_accepted = true;
	bool is_event = index < (frame->type == HF_NOSTR_FRAME_EVENT ? 2u : frame->type == HF_NOSTR_FRAME_AUTH ? 1u : 0u);
	if (token->type == HF_JSON_OBJECT && is_event) {
		const uint8_t *from = json->at - 1; /* the brace */
		int status = read_event(json, frame);
		frame->event = hf_slice(from, status == HF_OK ? (size_t)(json->at - from) : 0);
		return status;
	}
	return token->type == HF_JSON_OBJECT || token->type == HF_JSON_ARRAY ? hf_json_leave(json) : HF_OK;
}

/* It is no message; but is it JSON? */
static int finish_other(struct hf_json *json)
{
	struct hf_json_token token;
	int status = HF_OK;
	while (status == HF_OK && json->depth > 0)
		status = hf_json_leave(json);
	if (status == HF_OK)
		status = hf_json_next(json, &token);
	return status == HF_OK ? HF_EINVAL : status;
}

int hf_nostr_frame_read(struct hf_slice message, struct hf_nostr_frame *frame)
{
	struct hf_json json;
	struct hf_json_token token;
	*frame = (struct hf_nostr_frame){0};
	hf_json_init(&json, message, HF_JSON_DEPTH_MAX);
	int status = hf_json_next(&json, &token);
	bool is_array = status == HF_OK && token.type == HF_JSON_ARRAY;
	if (is_array)
		status = hf_json_next(&json, &token);
	if (status < 0)
		return status;
	if (!is_array || token.type != HF_JSON_STRING)
		return finish_other(&json);
	frame->type = type_of(token.raw);
	for (unsigned index = 0; (status = hf_json_next(&json, &token)) == HF_OK && token.type != HF_JSON_ARRAY_END; index++)
		if ((status = read_element(&json, &token, index, frame)) < 0)
			return status;
	return status == HF_OK ? hf_json_next(&json, &token) : status; /* nothing may follow */
}

/* ---- Asking again ---- */

static int append_member(struct hf_buffer *out, struct hf_slice key, struct hf_slice value, bool is_first)
{
	int status = hf_buffer_append_text(out, is_first ? "\"" : ",\"");
	if (status == HF_OK)
		status = hf_buffer_append(out, key.data, key.length);
	if (status == HF_OK)
		status = hf_buffer_append_text(out, "\":");
	return status == HF_OK ? hf_buffer_append(out, value.data, value.length) : status;
}

static bool is_member(const struct hf_json_token *key, struct hf_slice name)
{
	uint8_t decoded[32];
	struct hf_slice text = key->raw;
	if (key->features != 0 && text.length <= sizeof decoded)
		text = hf_slice(decoded, hf_json_unescape(text, decoded));
	return hf_slice_equal(text, name);
}

/* What is done to each filter. */
struct change {
	bool keeps_limit;
	uint64_t since_s; /* 0: nothing */
};

/* After the object's token: appends the filter, to behind its end. */
static int append_filter(struct hf_json *json, struct hf_buffer *out, const struct change *change)
{
	struct hf_json_token key;
	uint64_t since_s = change->since_s, asked_s;
	bool is_first = true;
	int status = hf_buffer_append_text(out, ",{");
	while (status == HF_OK && (status = hf_json_next(json, &key)) == HF_OK && key.type == HF_JSON_STRING) {
		if ((status = hf_json_open_value(json)) < 0)
			break;
		const uint8_t *from = json->at;
		if ((status = hf_json_skip(json)) < 0)
			break;
		struct hf_slice value = hf_slice(from, (size_t)(json->at - from));
		if (!change->keeps_limit && is_member(&key, HF_SLICE_LITERAL("limit")))
			continue;
		if (since_s > 0 && is_member(&key, HF_SLICE_LITERAL("since"))) {
			if (hf_json_u64(value, &asked_s) == HF_OK && asked_s > since_s)
				since_s = asked_s;
			continue;
		}
		status = append_member(out, key.raw, value, is_first);
		is_first = false;
	}
	if (status == HF_OK && since_s > 0)
		status = hf_buffer_printf(out, "%s\"since\":%llu", is_first ? "" : ",", (unsigned long long)since_s);
	return status == HF_OK ? hf_buffer_append_text(out, "}") : status;
}

/* Stands before the first filter. */
static int append_filters(struct hf_json json, struct hf_buffer *out, const struct change *change)
{
	struct hf_json_token token;
	int status;
	while ((status = hf_json_next(&json, &token)) == HF_OK && token.type == HF_JSON_OBJECT)
		if ((status = append_filter(&json, out, change)) < 0)
			return status;
	return status;
}

/* The message up to its filters, and *json before the first of them. */
static int append_head(struct hf_buffer *out, struct hf_slice request, const char *head, struct hf_json *json)
{
	struct hf_json_token token;
	hf_json_init(json, request, HF_JSON_DEPTH_MAX);
	int status = hf_json_next(json, &token);
	for (unsigned index = 0; status == HF_OK && index < 2; index++)
		status = hf_json_next(json, &token);
	if (status == HF_OK)
		status = hf_buffer_append_text(out, head);
	if (status == HF_OK)
		status = hf_buffer_append(out, token.raw.data, token.raw.length);
	return status == HF_OK ? hf_buffer_append_text(out, "\"") : status;
}

int hf_nostr_frame_append_since(struct hf_buffer *out, struct hf_slice request, uint64_t since_s)
{
	const struct change change = {.since_s = since_s};
	struct hf_json json;
	int status = append_head(out, request, "[\"REQ\",\"", &json);
	if (status == HF_OK)
		status = append_filters(json, out, &change);
	return status == HF_OK ? hf_buffer_append_text(out, "]") : status;
}

int hf_nostr_frame_append_resume(struct hf_buffer *out, struct hf_slice request, uint64_t since_s, uint64_t arrived_within_s)
{
	const struct change by_date = {.keeps_limit = since_s == 0, .since_s = since_s}, by_arrival = {.since_s = 0};
	struct hf_json json;
	int status = append_head(out, request, "[\"RESUME\",\"", &json);
	if (status == HF_OK)
		status = append_filters(json, out, &by_date);
	if (status == HF_OK)
		status = hf_buffer_printf(out, ",%llu", (unsigned long long)arrived_within_s);
	if (status == HF_OK)
		status = append_filters(json, out, &by_arrival);
	return status == HF_OK ? hf_buffer_append_text(out, "]") : status;
}
