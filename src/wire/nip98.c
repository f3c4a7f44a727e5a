/* nip98: an event in base64, held against a request. Tags are compared as they stand in the canonical text: what would have to be escaped
 * there is in no URL. */
#include "wire/nip98.h"

#include <strings.h>

#include "codec/base64.h"
#include "codec/hex.h"
#include "crypto/hash.h"

#define EVENT_DEPTH_MAX 8

static const char scheme[] = "Nostr ";

/* ---- Reading ---- */

static int parse_event(struct hf_nip98 *out, struct hf_slice object)
{
	struct hf_json json;
	struct hf_json_token token;
	const char *reason;
	hf_json_init(&json, object, EVENT_DEPTH_MAX);
	int r = hf_event_parse(&json, &out->text, HF_NIP98_FIELD_BYTES_MAX, &out->event, &reason);
	if (r == HF_OK && (hf_json_next(&json, &token) < 0 || token.type != HF_JSON_END))
		r = HF_EMALFORMED;
	return r == HF_OK || r == HF_ENOMEM || r == HF_ETOOBIG ? r : HF_EMALFORMED;
}

int hf_nip98_parse(struct hf_nip98 *out, struct hf_slice field)
{
	uint8_t object[HF_BASE64_DECODED_BYTES_MAX(HF_NIP98_FIELD_BYTES_MAX)];
	size_t prefix = sizeof scheme - 1, length;
	*out = (struct hf_nip98){0};
	if (field.length < prefix || strncasecmp((const char *)field.data, scheme, prefix) != 0)
		return HF_EINVAL;
	if (field.length > HF_NIP98_FIELD_BYTES_MAX)
		return HF_ETOOBIG;
	if (!hf_base64_decode(object, field.data + prefix, field.length - prefix, &length))
		return HF_EMALFORMED;
	int r = parse_event(out, hf_slice(object, length));
	if (r < 0)
		hf_nip98_free(out);
	return r;
}

void hf_nip98_free(struct hf_nip98 *nip98)
{
	hf_buffer_free(&nip98->text);
}

static int deny(const char **reason, const char *sentence)
{
	*reason = sentence;
	return HF_EDENIED;
}

static void hash_text(char out[static 64], struct hf_slice body)
{
	uint8_t hash[HF_SHA256_BYTES];
	hf_sha256(hash, body);
	hf_hex_encode(out, hash, sizeof hash);
}

static bool tag_is(const struct hf_event *event, const char *name, struct hf_slice wanted)
{
	struct hf_slice value;
	return hf_event_find_tag(event, name, &value) && hf_slice_equal(value, wanted);
}

int hf_nip98_check(const struct hf_nip98 *nip98, const struct hf_nip98_request *request, const char **reason)
{
	const struct hf_event *event = &nip98->event;
	struct hf_slice method;
	char payload[64];
	*reason = NULL;
	if (event->kind != HF_NIP98_KIND)
		return deny(reason, "The event is not of kind 27235.");
	if (event->created_at > request->now_s + HF_NIP98_WINDOW_S || event->created_at + HF_NIP98_WINDOW_S < request->now_s)
		return deny(reason, "The event's created_at is too far from now.");
	if (!tag_is(event, "u", request->url))
		return deny(reason, "The event is for another URL.");
	if (!hf_event_find_tag(event, "method", &method) || method.length != request->method.length ||
		strncasecmp((const char *)method.data, (const char *)request->method.data, method.length) != 0)
		return deny(reason, "The event is for another method.");
	hash_text(payload, request->body);
	if (request->body.length > 0 && !tag_is(event, "payload", hf_slice(payload, sizeof payload)))
		return deny(reason, "The event is for another body.");
	return HF_OK;
}

int hf_nip98_verify(const struct hf_nip98 *nip98, struct hf_schnorr *schnorr)
{
	const struct hf_event *event = &nip98->event;
	return hf_schnorr_verify(schnorr, event->sig, event->id, event->pubkey);
}

/* ---- Making ---- */

static bool is_plain(struct hf_slice text)
{
	bool plain = text.length > 0;
	for (size_t i = 0; i < text.length; i++)
		plain = plain && text.data[i] > ' ' && text.data[i] < 127 && text.data[i] != '"' && text.data[i] != '\\';
	return plain;
}

static int append_tags(struct hf_buffer *out, const struct hf_nip98_request *request)
{
	char payload[64];
	int r = hf_buffer_printf(out, "[[\"u\",\"%.*s\"],[\"method\",\"%.*s\"]", (int)request->url.length, (const char *)request->url.data,
		(int)request->method.length, (const char *)request->method.data);
	hash_text(payload, request->body);
	if (r == HF_OK && request->body.length > 0)
		r = hf_buffer_printf(out, ",[\"payload\",\"%.64s\"]", payload);
	return r == HF_OK ? hf_buffer_append(out, "]", 1) : r;
}

static int append_field(struct hf_buffer *out, const struct hf_event *event)
{
	struct hf_buffer object = {0};
	size_t prefix = sizeof scheme - 1;
	int r = hf_event_to_json(event, &object);
	size_t length = HF_BASE64_ENCODED_BYTES(object.length);
	if (r == HF_OK)
		r = hf_buffer_reserve(out, prefix + length);
	if (r == HF_OK) {
		hf_buffer_append(out, scheme, prefix);
		out->length += hf_base64_encode(out->data + out->length, object.data, object.length);
	}
	hf_buffer_free(&object);
	return r;
}

int hf_nip98_make(struct hf_buffer *out, struct hf_schnorr *schnorr, const uint8_t secret[static HF_SCHNORR_SECRET_BYTES],
	const struct hf_nip98_request *request)
{
	struct hf_event event = {.kind = HF_NIP98_KIND, .created_at = request->now_s};
	struct hf_buffer tags = {0}, text = {0};
	char key[64];
	if (!is_plain(request->url) || !is_plain(request->method))
		return HF_EINVAL;
	int r = hf_schnorr_public_key(schnorr, event.pubkey, secret);
	if (r == HF_OK)
		r = append_tags(&tags, request);
	hf_hex_encode(key, event.pubkey, sizeof event.pubkey);
	if (r == HF_OK)
		r = hf_buffer_printf(&text, "[0,\"%.64s\",%llu,%u,%.*s,\"\"]", key, (unsigned long long)event.created_at, event.kind,
			(int)tags.length, (const char *)tags.data);
	event.tags = hf_buffer_slice(&tags);
	hf_sha256(event.id, hf_buffer_slice(&text));
	if (r == HF_OK)
		r = hf_schnorr_sign(schnorr, event.sig, event.id, secret);
	if (r == HF_OK)
		r = append_field(out, &event);
	hf_buffer_free(&tags);
	hf_buffer_free(&text);
	return r;
}
