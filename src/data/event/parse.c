/* parse: a Nostr event out of JSON. (NIP-01)
 *
 * One pass over the object checks every member and remembers where tags and content stand. Then the canonical
 * text [0,"<pubkey>",<created_at>,<kind>,<tags>,"<content>"] is written: two plain copies when the client wrote
 * both canonically already, as nearly all do.
 *
 * The NIP escapes seven characters and hashes all others verbatim; clients built on JSON.stringify hash the remaining
 * control characters as \u00xx. Canonical is the latter, being valid JSON; when the id is not its hash and there are
 * such characters, the verbatim text's hash is accepted too. */
#include "crypto/hash.h"
#include "codec/hex.h"
#include "data/event/tags.h"

enum {
	MEMBER_ID = 1,
	MEMBER_PUBKEY = 2,
	MEMBER_CREATED_AT = 4,
	MEMBER_KIND = 8,
	MEMBER_TAGS = 16,
	MEMBER_CONTENT = 32,
	MEMBER_SIG = 64,
	MEMBER_ALL = 127,
};

static const struct {
	struct hf_slice name;
	unsigned member;
	const char *missing;
} members[] = {
	{HF_SLICE_LITERAL("id"), MEMBER_ID, "invalid: the event has no id"},
	{HF_SLICE_LITERAL("pubkey"), MEMBER_PUBKEY, "invalid: the event has no pubkey"},
	{HF_SLICE_LITERAL("created_at"), MEMBER_CREATED_AT, "invalid: the event has no created_at"},
	{HF_SLICE_LITERAL("kind"), MEMBER_KIND, "invalid: the event has no kind"},
	{HF_SLICE_LITERAL("tags"), MEMBER_TAGS, "invalid: the event has no tags"},
	{HF_SLICE_LITERAL("content"), MEMBER_CONTENT, "invalid: the event has no content"},
	{HF_SLICE_LITERAL("sig"), MEMBER_SIG, "invalid: the event has no sig"},
};
#define MEMBER_COUNT (sizeof members / sizeof *members)
#define MEMBER_NAME_BYTES_MAX 10

struct parse {
	struct hf_json *json;
	struct hf_event *event;
	const char *reason;
	struct hf_slice tags, content; /* as the client wrote them */
	struct hf_tags_scan tags_scan;
	unsigned content_features;
	unsigned seen;
};

static int refuse(struct parse *parse, int status, const char *reason)
{
	parse->reason = reason;
	return status;
}

static int refuse_json(struct parse *parse, int status)
{
	return refuse(parse, status, status == HF_ETOOBIG ? "invalid: the JSON is nested too deeply" :
		"invalid: the event is not well-formed JSON");
}

/* The MEMBER_ constant of a name, 0 when it is another. A name may be written with escapes. */
static unsigned find_member(const struct hf_json_token *name)
{
	struct hf_slice raw = name->raw;
	uint8_t decoded[6 * MEMBER_NAME_BYTES_MAX];
	if (name->features != 0) {
		if (raw.length > sizeof decoded)
			return 0;
		raw = hf_slice(decoded, hf_json_unescape(raw, decoded));
	}
	if (raw.length > MEMBER_NAME_BYTES_MAX)
		return 0;
	for (size_t i = 0; i < MEMBER_COUNT; i++)
		if (hf_slice_equal(raw, members[i].name))
			return members[i].member;
	return 0;
}

static int parse_hex(struct parse *parse, uint8_t *out, size_t length, const char *reason)
{
	struct hf_json_token token;
	int status = hf_json_next(parse->json, &token);
	if (status < 0)
		return refuse_json(parse, status);
	if (token.type != HF_JSON_STRING || token.raw.length != 2 * length ||
		!hf_hex_decode(out, token.raw.data, length))
		return refuse(parse, HF_EMALFORMED, reason);
	return HF_OK;
}

static int parse_number(struct parse *parse, uint64_t *value, uint64_t max, const char *reason)
{
	struct hf_json_token token;
	int status = hf_json_next(parse->json, &token);
	if (status < 0)
		return refuse_json(parse, status);
	if (token.type != HF_JSON_NUMBER || hf_json_u64(token.raw, value) < 0 || *value > max)
		return refuse(parse, HF_EMALFORMED, reason);
	return HF_OK;
}

static int parse_kind(struct parse *parse)
{
	uint64_t kind = 0;
	int status = parse_number(parse, &kind, UINT64_MAX, "invalid: kind must be a whole number from 0 to 65535");
	if (status == HF_OK && kind > HF_EVENT_KIND_MAX)
		return refuse(parse, HF_EMALFORMED, "invalid: kind is above 65535");
	parse->event->kind = (uint32_t)kind;
	return status;
}

static int parse_tags(struct parse *parse)
{
	int status = hf_json_open_value(parse->json);
	if (status < 0)
		return refuse_json(parse, status);
	const uint8_t *from = parse->json->at;
	status = hf_tags_scan(from, parse->json->end, &parse->tags_scan, &parse->reason);
	if (status < 0)
		return status;
	parse->tags = hf_slice(from, (size_t)(parse->tags_scan.end - from));
	hf_json_close_value(parse->json, parse->tags_scan.end);
	return HF_OK;
}

static int parse_content(struct parse *parse)
{
	struct hf_json_token token;
	int status = hf_json_next(parse->json, &token);
	if (status < 0)
		return refuse(parse, status, "invalid: content is not a well-formed string");
	if (token.type != HF_JSON_STRING)
		return refuse(parse, HF_EMALFORMED, "invalid: content must be a string");
	parse->content = token.raw;
	parse->content_features = token.features;
	return HF_OK;
}

static int parse_member(struct parse *parse, unsigned member)
{
	struct hf_event *event = parse->event;
	switch (member) {
	case MEMBER_ID:
		return parse_hex(parse, event->id, 32, "invalid: id must be 64 lower-case hex digits");
	case MEMBER_PUBKEY:
		return parse_hex(parse, event->pubkey, 32, "invalid: pubkey must be 64 lower-case hex digits");
	case MEMBER_SIG:
		return parse_hex(parse, event->sig, 64, "invalid: sig must be 128 lower-case hex digits");
	case MEMBER_CREATED_AT:
		return parse_number(parse, &event->created_at, HF_EVENT_TIME_S_MAX,
			"invalid: created_at must be a whole number of seconds below 2^53");
	case MEMBER_KIND:
		return parse_kind(parse);
	case MEMBER_TAGS:
		return parse_tags(parse);
	default:
		return parse_content(parse);
	}
}

static int parse_object(struct parse *parse)
{
	struct hf_json_token token;
	int status = hf_json_next(parse->json, &token);
	if (status < 0)
		return refuse_json(parse, status);
	if (token.type != HF_JSON_OBJECT)
		return refuse(parse, HF_EMALFORMED, "invalid: an event must be a JSON object");
	while ((status = hf_json_next(parse->json, &token)) == HF_OK && token.type != HF_JSON_OBJECT_END) {
		unsigned member = find_member(&token);
		if (member == 0) {
			status = hf_json_skip(parse->json);
			if (status < 0)
				return refuse_json(parse, status);
			continue;
		}
		if ((parse->seen & member) != 0)
			return refuse(parse, HF_EMALFORMED, "invalid: the event has the same member twice");
		parse->seen |= member;
		status = parse_member(parse, member);
		if (status < 0)
			return status;
	}
	if (status < 0)
		return refuse_json(parse, status);
	for (size_t i = 0; i < MEMBER_COUNT; i++)
		if ((parse->seen & members[i].member) == 0)
			return refuse(parse, HF_EMALFORMED, members[i].missing);
	return HF_OK;
}

/* Everything of the canonical text but tags and content: [0,"",,,,""] with pubkey and two numbers. */
#define CANONICAL_FRAME_BYTES_MAX (12 + 64 + 2 * HF_JSON_U64_BYTES_MAX)

static uint8_t *write_prefix(uint8_t *to, const struct hf_event *event)
{
	memcpy(to, "[0,\"", 4);
	to += 4;
	hf_hex_encode(to, event->pubkey, 32);
	to += 64;
	*to++ = '"';
	*to++ = ',';
	to += hf_json_write_u64(to, event->created_at);
	*to++ = ',';
	to += hf_json_write_u64(to, event->kind);
	*to++ = ',';
	return to;
}

/* Writes the canonical text behind *text without adding it to its length; sets the event's slices. */
static int write_canonical(struct parse *parse, struct hf_buffer *text, struct hf_slice *canonical)
{
	struct hf_event *event = parse->event;
	const struct hf_tags_scan *scan = &parse->tags_scan;
	if (hf_buffer_reserve(text, CANONICAL_FRAME_BYTES_MAX + parse->tags.length + parse->content.length) < 0)
		return refuse(parse, HF_ENOMEM, "error: out of memory");
	uint8_t *from = text->data + text->length, *to = write_prefix(from, event);

	event->tags.data = to;
	event->tags.length = parse->tags.length;
	if (scan->has_space || (scan->features & HF_JSON_LOOSE) != 0)
		event->tags.length = hf_tags_canonical(parse->tags, to);
	else
		memcpy(to, parse->tags.data, parse->tags.length);
	to += event->tags.length;
	*to++ = ',';
	*to++ = '"';

	event->content.data = to;
	event->content.length = parse->content.length;
	if ((parse->content_features & HF_JSON_LOOSE) != 0)
		event->content.length = hf_json_canonical(parse->content, to);
	else
		memcpy(to, parse->content.data, parse->content.length);
	to += event->content.length;
	*to++ = '"';
	*to++ = ']';
	*canonical = hf_slice(from, (size_t)(to - from));
	return HF_OK;
}

/* The canonical text with \u00xx replaced by the character itself. */
static int append_verbatim(struct hf_buffer *out, struct hf_slice canonical)
{
	int status = hf_buffer_reserve(out, canonical.length);
	if (status < 0)
		return status;
	const uint8_t *at = canonical.data, *end = at + canonical.length;
	while (at < end) {
		size_t length = 1;
		if (*at == '\\')
			length = at[1] == 'u' ? 6 : 2;
		if (length == 6)
			out->length += hf_json_unescape(hf_slice(at, 6), out->data + out->length);
		else
			for (size_t i = 0; i < length; i++)
				out->data[out->length++] = at[i];
		at += length;
	}
	return HF_OK;
}

static int check_id(struct parse *parse, struct hf_slice canonical)
{
	uint8_t hash[32];
	hf_sha256(hash, canonical);
	if (memcmp(hash, parse->event->id, 32) == 0)
		return HF_OK;
	if (((parse->tags_scan.features | parse->content_features) & HF_JSON_CONTROLS) != 0) {
		struct hf_buffer verbatim = {0};
		if (append_verbatim(&verbatim, canonical) < 0)
			return refuse(parse, HF_ENOMEM, "error: out of memory");
		hf_sha256(hash, hf_buffer_slice(&verbatim));
		hf_buffer_free(&verbatim);
		if (memcmp(hash, parse->event->id, 32) == 0)
			return HF_OK;
	}
	return refuse(parse, HF_EMALFORMED, "invalid: id is not the hash of the event");
}

int hf_event_parse(struct hf_json *json, struct hf_buffer *text, size_t limit_bytes, struct hf_event *event,
	const char **reason)
{
	struct parse parse = {.json = json, .event = event};
	struct hf_slice canonical = {0};
	if (limit_bytes > HF_EVENT_BYTES_MAX)
		limit_bytes = HF_EVENT_BYTES_MAX;
	int status = parse_object(&parse);
	if (status == HF_OK)
		status = write_canonical(&parse, text, &canonical);
	if (status == HF_OK && canonical.length > limit_bytes)
		status = refuse(&parse, HF_ETOOBIG, "invalid: the event is larger than this relay takes");
	if (status == HF_OK)
		status = check_id(&parse, canonical);
	if (status == HF_OK)
		text->length += canonical.length;
	*reason = parse.reason;
	return status;
}

bool hf_event_peek_id(struct hf_slice object, uint8_t id[static 32])
{
	struct hf_json json;
	struct hf_json_token token;
	hf_json_init(&json, object, HF_JSON_DEPTH_MAX);
	if (hf_json_next(&json, &token) < 0 || token.type != HF_JSON_OBJECT)
		return false;
	while (hf_json_next(&json, &token) == HF_OK && token.is_key) {
		if (find_member(&token) != MEMBER_ID) {
			if (hf_json_skip(&json) < 0)
				return false;
			continue;
		}
		return hf_json_next(&json, &token) == HF_OK && token.type == HF_JSON_STRING && token.raw.length == 64 &&
			hf_hex_decode(id, token.raw.data, 32);
	}
	return false;
}
