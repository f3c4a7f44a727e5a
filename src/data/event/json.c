/* json: events as the JSON objects that clients get. Both forms hold canonical JSON text, so this is copying, with
 * room made once. */
#include "codec/hex.h"
#include "data/event/packed.h"

/* All but tags and content: names, punctuation, 256 hex digits, two numbers. */
#define FRAME_BYTES_MAX (256 + 80 + 2 * HF_JSON_U64_BYTES_MAX)

#define WRITE_LITERAL(to, text) (memcpy((to), (text), sizeof(text) - 1), (to) + sizeof(text) - 1)

static uint8_t *write_head(uint8_t *to, const uint8_t *id, const uint8_t *pubkey, uint64_t created_at, uint32_t kind)
{
	to = WRITE_LITERAL(to, "{\"id\":\"");
	hf_hex_encode(to, id, 32);
	to = WRITE_LITERAL(to + 64, "\",\"pubkey\":\"");
	hf_hex_encode(to, pubkey, 32);
	to = WRITE_LITERAL(to + 64, "\",\"created_at\":");
	to += hf_json_write_u64(to, created_at);
	to = WRITE_LITERAL(to, ",\"kind\":");
	to += hf_json_write_u64(to, kind);
	return WRITE_LITERAL(to, ",\"tags\":");
}

static uint8_t *write_tail(uint8_t *to, const uint8_t *sig)
{
	to = WRITE_LITERAL(to, "\",\"sig\":\"");
	hf_hex_encode(to, sig, 64);
	return WRITE_LITERAL(to + 128, "\"}");
}

int hf_event_payload_to_json(struct hf_slice payload, struct hf_buffer *out)
{
	struct hf_packed packed;
	struct hf_packed_string content;
	int status = hf_packed_open(payload, &packed);
	if (status < 0)
		return status;
	if (!hf_packed_read_string(&packed.content, &content) || packed.content.length > 0)
		return HF_EMALFORMED;
	status = hf_buffer_reserve(out, FRAME_BYTES_MAX + HF_PACKED_TAGS_TEXT_BYTES_MAX(packed.tags.length) +
		2 * content.bytes.length + 16);
	if (status < 0)
		return status;
	uint8_t *to = write_head(out->data + out->length, packed.id, packed.pubkey, packed.created_at, packed.kind);
	if ((to = hf_packed_write_tags(packed.tags, to)) == NULL)
		return HF_EMALFORMED;
	to = WRITE_LITERAL(to, ",\"content\":\"");
	if ((to = hf_packed_write_text(&content, to)) == NULL)
		return HF_EMALFORMED;
	to = write_tail(to, packed.sig);
	out->length = (size_t)(to - out->data);
	return HF_OK;
}

int hf_event_to_json(const struct hf_event *event, struct hf_buffer *out)
{
	int status = hf_buffer_reserve(out, FRAME_BYTES_MAX + event->tags.length + event->content.length);
	if (status < 0)
		return status;
	uint8_t *to = write_head(out->data + out->length, event->id, event->pubkey, event->created_at, event->kind);
	memcpy(to, event->tags.data, event->tags.length);
	to = WRITE_LITERAL(to + event->tags.length, ",\"content\":\"");
	if (event->content.length > 0)
		memcpy(to, event->content.data, event->content.length);
	to = write_tail(to + event->content.length, event->sig);
	out->length = (size_t)(to - out->data);
	return HF_OK;
}
