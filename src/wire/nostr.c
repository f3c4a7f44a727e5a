/* nostr: decoding what clients send and encoding what relays answer. The scanner walks the outer array here; events and
 * filters take it over for their object and hand it back behind it. */
#include "wire/nostr.h"

#include <strings.h>

#include "codec/hex.h"

#define KIND_AUTH 22242

struct decode {
	struct hf_json json;
	const struct hf_nostr_limits *limits;
	struct hf_buffer *text;
	struct hf_arena *arena;
	struct hf_nostr_message *message;
	struct hf_nostr_error *error;
	uint32_t items_left;
	bool is_resume; /* its filters are those of a REQ, perhaps twice */
};

static int refuse(struct decode *decode, int status, const char *reason)
{
	decode->error->reason = reason;
	return status;
}

static int refuse_json(struct decode *decode, int status)
{
	return refuse(decode, status, status == HF_ETOOBIG ? "invalid: the JSON is nested too deeply" :
		"invalid: the message is not well-formed JSON");
}

/* After the last element: the array's end, then nothing but white space. */
static int expect_end(struct decode *decode)
{
	struct hf_json_token token;
	int status = hf_json_next(&decode->json, &token);
	if (status == HF_OK && token.type != HF_JSON_ARRAY_END)
		return refuse(decode, HF_EMALFORMED, "invalid: the message has too many elements");
	if (status == HF_OK)
		status = hf_json_next(&decode->json, &token);
	return status < 0 ? refuse_json(decode, status) : HF_OK;
}

static int decode_event(struct decode *decode)
{
	struct hf_event *event = &decode->message->event;
	int status = hf_json_open_value(&decode->json);
	if (status < 0)
		return refuse(decode, status, "invalid: the message has no event");
	struct hf_slice object = hf_slice(decode->json.at, (size_t)(decode->json.end - decode->json.at));
	size_t text_length = decode->text->length;
	status = hf_event_parse(&decode->json, decode->text, decode->limits->event_bytes_max, event,
		&decode->error->reason);
	if (status == HF_OK && (status = expect_end(decode)) < 0)
		decode->text->length = text_length;
	if (status < 0 && hf_event_peek_id(object, decode->error->event_id))
		decode->error->refusal = HF_NOSTR_REFUSE_OK;
	return status;
}

static size_t character_count(struct hf_slice text)
{
	size_t count = 0;
	for (size_t i = 0; i < text.length; i++)
		count += (text.data[i] & 0xc0) != 0x80;
	return count;
}

static int decode_subscription_id(struct decode *decode)
{
	static const char reason[] = "invalid: a subscription id must be a string of 1 to 64 characters";
	struct hf_json_token token;
	uint8_t decoded[12 * HF_NOSTR_SUBSCRIPTION_ID_CHARACTERS_MAX]; /* all surrogate pairs */
	int status = hf_json_next(&decode->json, &token);
	if (status < 0)
		return refuse_json(decode, status);
	struct hf_slice id = token.raw;
	if (token.type != HF_JSON_STRING || id.length == 0 || id.length > sizeof decoded)
		return refuse(decode, HF_EMALFORMED, reason);
	if (character_count(hf_slice(decoded, hf_json_unescape(id, decoded))) > HF_NOSTR_SUBSCRIPTION_ID_CHARACTERS_MAX)
		return refuse(decode, HF_EMALFORMED, reason);
	if ((token.features & HF_JSON_LOOSE) != 0) {
		uint8_t *canonical = hf_arena_alloc(decode->arena, id.length);
		if (canonical == NULL)
			return refuse(decode, HF_ENOMEM, "error: out of memory");
		id = hf_slice(canonical, hf_json_canonical(id, canonical));
	}
	decode->message->subscription_id = id;
	return HF_OK;
}

/* Makes room for one more filter: doubles the list when its length is a power of two. Most requests have one, and the
 * arena is kept as long as the subscription. */
static int reserve_filter(struct decode *decode)
{
	struct hf_nostr_message *message = decode->message;
	uint32_t count = message->filter_count;
	if ((count & (count - 1)) != 0)
		return HF_OK;
	struct hf_filter *filters = hf_arena_alloc(decode->arena, (count > 0 ? 2 * count : 1) * sizeof *filters);
	if (filters == NULL)
		return refuse(decode, HF_ENOMEM, "error: out of memory");
	if (count > 0)
		memcpy(filters, message->filters, count * sizeof *filters);
	message->filters = filters;
	return HF_OK;
}

static int decode_filter(struct decode *decode)
{
	struct hf_nostr_message *message = decode->message;
	uint32_t times = decode->is_resume ? 2 : 1;
	if (message->filter_count >= times * decode->limits->filter_count_max || message->filter_count >= times * HF_NOSTR_FILTER_COUNT_MAX)
		return refuse(decode, HF_ETOOBIG, "invalid: too many filters");
	if (reserve_filter(decode) < 0)
		return HF_ENOMEM;
	struct hf_filter *filter = &message->filters[message->filter_count];
	int status = hf_filter_parse(&decode->json, decode->arena, filter, &decode->items_left, &decode->error->reason);
	if (status < 0)
		return status;
	message->filter_count++;
	return HF_OK;
}

/* Is the next token the array's end? Leaves the scanner where it was. */
static bool at_end(const struct decode *decode)
{
	struct hf_json ahead = decode->json;
	struct hf_json_token token;
	return hf_json_next(&ahead, &token) == HF_OK && token.type == HF_JSON_ARRAY_END;
}

static bool at_number(const struct decode *decode)
{
	struct hf_json ahead = decode->json;
	struct hf_json_token token;
	return hf_json_next(&ahead, &token) == HF_OK && token.type == HF_JSON_NUMBER;
}

/* Up to the array's end, or to a number where that ends them. */
static int decode_filters(struct decode *decode, bool ends_at_number, uint64_t arrived_within_s)
{
	struct hf_nostr_message *message = decode->message;
	while (!at_end(decode) && !(ends_at_number && at_number(decode))) {
		int status = decode_filter(decode);
		if (status < 0)
			return status;
		message->filters[message->filter_count - 1].arrived_within_s = arrived_within_s;
	}
	return HF_OK;
}

static int decode_resume(struct decode *decode)
{
	struct hf_json_token token;
	uint64_t seconds = 0;
	int status = decode_filters(decode, true, 0);
	if (status == HF_OK && (status = hf_json_next(&decode->json, &token)) < 0)
		return refuse_json(decode, status);
	if (status < 0)
		return status;
	if (token.type != HF_JSON_NUMBER || hf_json_u64(token.raw, &seconds) < 0 || seconds == 0)
		return refuse(decode, HF_EMALFORMED, "invalid: RESUME needs a number of seconds among its filters");
	return decode_filters(decode, false, seconds);
}

static int decode_request(struct decode *decode)
{
	struct hf_nostr_message *message = decode->message;
	int status = decode_subscription_id(decode);
	if (status < 0)
		return status;
	decode->error->refusal = HF_NOSTR_REFUSE_CLOSED;
	decode->error->subscription_id = message->subscription_id;
	status = decode->is_resume ? decode_resume(decode) : decode_filters(decode, false, 0);
	if (status < 0)
		return status;
	if (message->filter_count == 0)
		return refuse(decode, HF_EMALFORMED, "invalid: at least one filter is needed");
	return expect_end(decode);
}

static int decode_close(struct decode *decode)
{
	int status = decode_subscription_id(decode);
	return status < 0 ? status : expect_end(decode);
}

static int decode_body(struct decode *decode, struct hf_slice name)
{
	static const struct {
		struct hf_slice name;
		enum hf_nostr_type type;
		int (*decode)(struct decode *decode);
	} types[] = {
		{HF_SLICE_LITERAL("EVENT"), HF_NOSTR_EVENT, decode_event},
		{HF_SLICE_LITERAL("REQ"), HF_NOSTR_REQ, decode_request},
		{HF_SLICE_LITERAL("COUNT"), HF_NOSTR_COUNT, decode_request},
		{HF_SLICE_LITERAL("CLOSE"), HF_NOSTR_CLOSE, decode_close},
		{HF_SLICE_LITERAL("AUTH"), HF_NOSTR_AUTH, decode_event},
	};
	if (decode->limits->takes_resume && hf_slice_equal(name, HF_SLICE_LITERAL("RESUME"))) {
		decode->is_resume = true;
		decode->items_left *= 2;
		decode->message->type = HF_NOSTR_REQ;
		return decode_request(decode);
	}
	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		if (hf_slice_equal(name, types[i].name)) {
			decode->message->type = types[i].type;
			return types[i].decode(decode);
		}
	}
	return refuse(decode, HF_EINVAL, "unsupported: this relay knows EVENT, REQ, COUNT, CLOSE and AUTH");
}

int hf_nostr_decode(struct hf_slice text_message, const struct hf_nostr_limits *limits, struct hf_buffer *text,
	struct hf_arena *arena, struct hf_nostr_message *message, struct hf_nostr_error *error)
{
	struct decode decode = {.limits = limits, .text = text, .arena = arena, .message = message, .error = error,
		.items_left = limits->filter_items_max};
	struct hf_json_token token;
	*message = (struct hf_nostr_message){0};
	*error = (struct hf_nostr_error){.refusal = HF_NOSTR_REFUSE_NOTICE};
	hf_json_init(&decode.json, text_message, HF_JSON_DEPTH_MAX);
	int status = hf_json_next(&decode.json, &token);
	if (status < 0)
		return refuse_json(&decode, status);
	if (token.type != HF_JSON_ARRAY)
		return refuse(&decode, HF_EMALFORMED, "invalid: a message must be a JSON array");
	status = hf_json_next(&decode.json, &token);
	if (status < 0)
		return refuse_json(&decode, status);
	if (token.type != HF_JSON_STRING)
		return refuse(&decode, HF_EMALFORMED, "invalid: a message must begin with its type, a string");
	return decode_body(&decode, token.raw);
}

/* ---- Encoding ---- */

/* ["<name>","<subscription id>" with room for more bytes behind it. */
static int append_named(struct hf_buffer *out, const char *name, struct hf_slice subscription_id, size_t more)
{
	size_t name_length = strlen(name);
	int status = hf_buffer_reserve(out, name_length + subscription_id.length + 8 + more);
	if (status < 0)
		return status;
	uint8_t *to = out->data + out->length;
	*to++ = '[';
	*to++ = '"';
	memcpy(to, name, name_length);
	to += name_length;
	memcpy(to, "\",\"", 3);
	to += 3;
	if (subscription_id.length > 0)
		memcpy(to, subscription_id.data, subscription_id.length);
	to += subscription_id.length;
	*to++ = '"';
	out->length = (size_t)(to - out->data);
	return HF_OK;
}

/* Appends the last element, a string, and the closing bracket; on failure takes the message back. */
static int append_last(struct hf_buffer *out, size_t start, int status, const char *last)
{
	if (status == HF_OK)
		status = hf_json_append_string(out, hf_slice_text(last != NULL ? last : ""));
	if (status == HF_OK)
		status = hf_buffer_append(out, "]", 1);
	if (status < 0)
		out->length = start;
	return status;
}

int hf_nostr_append_ok(struct hf_buffer *out, const uint8_t id[static 32], bool accepted, const char *reason)
{
	size_t start = out->length;
	uint8_t digits[64];
	hf_hex_encode(digits, id, 32);
	int status = append_named(out, "OK", hf_slice(digits, 64), 0);
	if (status == HF_OK)
		status = hf_buffer_append_text(out, accepted ? ",true," : ",false,");
	return append_last(out, start, status, reason);
}

int hf_nostr_append_eose(struct hf_buffer *out, struct hf_slice subscription_id)
{
	int status = append_named(out, "EOSE", subscription_id, 1);
	return status < 0 ? status : hf_buffer_append(out, "]", 1);
}

int hf_nostr_append_closed(struct hf_buffer *out, struct hf_slice subscription_id, const char *reason)
{
	size_t start = out->length;
	int status = append_named(out, "CLOSED", subscription_id, 0);
	if (status == HF_OK)
		status = hf_buffer_append(out, ",", 1);
	return append_last(out, start, status, reason);
}

int hf_nostr_append_notice(struct hf_buffer *out, const char *reason)
{
	size_t start = out->length;
	return append_last(out, start, hf_buffer_append_text(out, "[\"NOTICE\","), reason);
}

int hf_nostr_append_count(struct hf_buffer *out, struct hf_slice subscription_id, uint64_t count)
{
	size_t start = out->length;
	int status = append_named(out, "COUNT", subscription_id, 0);
	if (status == HF_OK)
		status = hf_buffer_printf(out, ",{\"count\":%llu}]", (unsigned long long)count);
	if (status < 0)
		out->length = start;
	return status;
}

int hf_nostr_append_auth(struct hf_buffer *out, const char *challenge)
{
	size_t start = out->length;
	return append_last(out, start, hf_buffer_append_text(out, "[\"AUTH\","), challenge);
}

int hf_nostr_append_event_head(struct hf_buffer *out, struct hf_slice subscription_id)
{
	int status = append_named(out, "EVENT", subscription_id, 1);
	return status < 0 ? status : hf_buffer_append(out, ",", 1);
}

/* ---- Authentication (NIP-42) ---- */

/* The host in scheme://[user@]host[:port][/path]; a canonical JSON string body or a plain URL. Empty when none. */
static struct hf_slice url_host(struct hf_slice url)
{
	const uint8_t *at = url.length > 3 ? memmem(url.data, url.length, "://", 3) : NULL;
	if (at == NULL)
		return (struct hf_slice){0};
	const uint8_t *end = url.data + url.length;
	at += 3;
	for (const uint8_t *c = at; c < end && *c != '/' && *c != '?' && *c != '#'; c++)
		if (*c == '@')
			at = c + 1;
	const uint8_t *stop = at;
	if (stop < end && *stop == '[')
		while (stop < end && *stop != ']' && *stop != '/')
			stop++;
	while (stop < end && *stop != ':' && *stop != '/' && *stop != '?' && *stop != '#')
		stop++;
	if (stop > at && stop[-1] == '.')
		stop--;
	return hf_slice(at, (size_t)(stop - at));
}

static bool same_host(struct hf_slice a, struct hf_slice b)
{
	return a.length == b.length && strncasecmp((const char *)a.data, (const char *)b.data, a.length) == 0;
}

static int deny(const char **reason, const char *why)
{
	*reason = why;
	return HF_EDENIED;
}

int hf_nostr_check_auth(const struct hf_event *event, const char *challenge, const char *relay_url, uint64_t now_s,
	uint64_t window_s, const char **reason)
{
	struct hf_slice value;
	*reason = NULL;
	if (event->kind != KIND_AUTH)
		return deny(reason, "invalid: an AUTH event must be of kind 22242");
	if (event->created_at > now_s + window_s || event->created_at + window_s < now_s)
		return deny(reason, "invalid: the AUTH event's created_at is too far from now");
	if (!hf_event_find_tag(event, "challenge", &value) || !hf_slice_equal(value, hf_slice_text(challenge)))
		return deny(reason, "invalid: the AUTH event does not answer this connection's challenge");
	if (!hf_event_find_tag(event, "relay", &value))
		return deny(reason, "invalid: the AUTH event has no relay tag");
	struct hf_slice host = url_host(value);
	if (host.length == 0)
		return deny(reason, "invalid: the AUTH event's relay tag is not an address");
	if (relay_url != NULL && relay_url[0] != 0 && !same_host(host, url_host(hf_slice_text(relay_url))))
		return deny(reason, "invalid: the AUTH event is for another relay");
	return HF_OK;
}
