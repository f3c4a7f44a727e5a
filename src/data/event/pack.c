/* pack: an event to its stored form and back. The form is told in packed.h.
 *
 * Packing writes into room made once: strings never grow but for their length, which takes no more than the quotes
 * and comma that JSON has around them. Unpacking checks the text that comes out with the very scanner that checks
 * events from outside, so a payload is no more trusted than a client. */
#include "data/event/packed.h"
#include "data/event/tags.h"

#define TIME_MS_END (UINT64_C(1) << 48)
/* All that is not tags or content: header, keys, four lengths, and the gap that a string's length may leave. */
#define FRAME_BYTES_MAX (HF_PACKED_HEADER_BYTES + 128 + 6 * HF_VARINT_BYTES_MAX)

static bool extensions_are_whole(struct hf_slice rest)
{
	uint64_t type, length;
	struct hf_slice value;
	while (rest.length > 0)
		if (!hf_packed_read_varint(&rest, &type) || !hf_packed_read_varint(&rest, &length) ||
			!hf_packed_read_bytes(&rest, length, &value))
			return false;
	return true;
}

/* The time in the first expiration tag of packed tags, or UINT64_MAX. */
static uint64_t find_expiration(struct hf_slice tags)
{
	struct hf_packed_tag tag;
	while (hf_packed_next_tag(&tags, &tag) > 0) {
		if (tag.name.bytes.length != 10 || hf_packed_compare(&tag.name, HF_SLICE_LITERAL("expiration")) != 0)
			continue;
		uint8_t digits[2 * HF_JSON_U64_BYTES_MAX + 16];
		uint64_t time_s;
		const uint8_t *end = NULL;
		if (tag.value.bytes.length <= HF_JSON_U64_BYTES_MAX)
			end = hf_packed_write_text(&tag.value, digits);
		if (end == NULL || hf_json_u64(hf_slice(digits, (size_t)(end - digits)), &time_s) < 0)
			break;
		return time_s;
	}
	return UINT64_MAX;
}

static uint8_t *write_header(uint8_t *to, const struct hf_event *event, const struct hf_event_meta *meta)
{
	*to++ = HF_PACKED_VERSION;
	*to++ = meta->flags;
	*to++ = meta->source;
	uint8_t time[8];
	hf_store_le64(time, meta->received_ms);
	memcpy(to, time, 6);
	to += 6;
	to += hf_varint_write(to, meta->extensions.length);
	if (meta->extensions.length > 0)
		memcpy(to, meta->extensions.data, meta->extensions.length);
	to += meta->extensions.length;
	memcpy(to, event->id, 32);
	memcpy(to + 32, event->pubkey, 32);
	memcpy(to + 64, event->sig, 64);
	to += 128;
	to += hf_varint_write(to, event->created_at);
	return to + hf_varint_write(to, event->kind);
}

/* Packs one tag of the canonical text from its opening bracket on; *end is behind its closing one. */
static uint8_t *write_tag(uint8_t *to, const uint8_t *at, const uint8_t *limit, const uint8_t **end)
{
	/* The count comes first and is nearly always one byte. */
	uint8_t *count_at = to++;
	uint32_t count = 0;
	unsigned features = 0;
	do {
		const uint8_t *body = at + 2;
		if (limit - at < 2 || (at = hf_json_scan_string(body, limit, &features)) == NULL)
			return NULL;
		to = hf_packed_write_string(to, hf_slice(body, (size_t)(at - body)));
		count++;
		at++;
	} while (at < limit && *at == ',');
	*end = at + 1;
	uint8_t varint[HF_VARINT_BYTES_MAX];
	size_t more = hf_varint_write(varint, count) - 1;
	if (more > 0) {
		memmove(count_at + 1 + more, count_at + 1, (size_t)(to - count_at - 1));
		to += more;
	}
	memcpy(count_at, varint, 1 + more);
	return to;
}

static uint8_t *write_tags(uint8_t *to, struct hf_slice tags, struct hf_slice *packed)
{
	uint8_t *from = to + HF_VARINT_BYTES_MAX, *packed_end = from;
	const uint8_t *at = tags.data, *limit = tags.data + tags.length;
	while (limit - at >= 4)
		if ((packed_end = write_tag(packed_end, at + 1, limit, &at)) == NULL)
			return NULL;
	size_t length = (size_t)(packed_end - from);
	to += hf_varint_write(to, length);
	memmove(to, from, length);
	*packed = hf_slice(to, length);
	return to + length;
}

int hf_event_pack(const struct hf_event *event, const struct hf_event_meta *meta, struct hf_buffer *out)
{
	struct hf_event_meta kept = *meta;
	if (kept.received_ms >= TIME_MS_END || kept.extensions.length > HF_EVENT_EXTENSION_BYTES_MAX ||
		!extensions_are_whole(kept.extensions))
		return HF_EINVAL;
	kept.flags &= (uint8_t)~HF_EVENT_HAS_EXPIRATION;
	int status = hf_buffer_reserve(out, FRAME_BYTES_MAX + kept.extensions.length + event->tags.length +
		event->content.length);
	if (status < 0)
		return status;
	uint8_t *payload = out->data + out->length, *to = write_header(payload, event, &kept);
	struct hf_slice tags;
	if ((to = write_tags(to, event->tags, &tags)) == NULL)
		return HF_EINVAL;
	if (find_expiration(tags) != UINT64_MAX)
		payload[1] |= HF_EVENT_HAS_EXPIRATION;
	to = hf_packed_write_string(to, event->content);
	out->length = (size_t)(to - out->data);
	return HF_OK;
}

/* ---- Reading ---- */

int hf_packed_open(struct hf_slice payload, struct hf_packed *packed)
{
	struct hf_slice rest = payload, keys;
	uint64_t length, kind;
	if (payload.length == 0)
		return HF_EMALFORMED;
	if (payload.data[0] != HF_PACKED_VERSION)
		return HF_EVERSION;
	if (payload.length < HF_PACKED_HEADER_BYTES)
		return HF_EMALFORMED;
	packed->meta.flags = payload.data[1];
	packed->meta.source = payload.data[2];
	packed->meta.received_ms = hf_load_le32(payload.data + 3) | (uint64_t)hf_load_le16(payload.data + 7) << 32;
	rest.data += HF_PACKED_HEADER_BYTES;
	rest.length -= HF_PACKED_HEADER_BYTES;
	if (!hf_packed_read_varint(&rest, &length) || length > HF_EVENT_EXTENSION_BYTES_MAX ||
		!hf_packed_read_bytes(&rest, length, &packed->meta.extensions) ||
		!hf_packed_read_bytes(&rest, 128, &keys))
		return HF_EMALFORMED;
	packed->id = keys.data;
	packed->pubkey = keys.data + 32;
	packed->sig = keys.data + 64;
	if (!hf_packed_read_varint(&rest, &packed->created_at) || packed->created_at > HF_EVENT_TIME_S_MAX ||
		!hf_packed_read_varint(&rest, &kind) || kind > HF_EVENT_KIND_MAX ||
		!hf_packed_read_varint(&rest, &length) || !hf_packed_read_bytes(&rest, length, &packed->tags))
		return HF_EMALFORMED;
	packed->kind = (uint32_t)kind;
	packed->content = rest;
	return HF_OK;
}

static void copy_head(const struct hf_packed *packed, struct hf_event *event, struct hf_event_meta *meta)
{
	memcpy(event->id, packed->id, 32);
	memcpy(event->pubkey, packed->pubkey, 32);
	memcpy(event->sig, packed->sig, 64);
	event->created_at = packed->created_at;
	event->kind = packed->kind;
	event->tags = HF_SLICE_LITERAL("[]");
	event->content = (struct hf_slice){0};
	if (meta != NULL)
		*meta = packed->meta;
}

int hf_event_unpack_head(struct hf_slice payload, struct hf_event *event, struct hf_event_meta *meta)
{
	struct hf_packed packed;
	int status = hf_packed_open(payload, &packed);
	if (status == HF_OK)
		copy_head(&packed, event, meta);
	return status;
}

static int unpack_tags(const struct hf_packed *packed, uint8_t *to, struct hf_slice *tags)
{
	struct hf_tags_scan scan;
	const char *reason;
	const uint8_t *end = hf_packed_write_tags(packed->tags, to);
	if (end == NULL)
		return HF_EMALFORMED;
	int status = hf_tags_scan(to, end, &scan, &reason);
	if (status < 0)
		return status;
	if (scan.end != end || scan.has_space || (scan.features & HF_JSON_LOOSE) != 0)
		return HF_EMALFORMED;
	*tags = hf_slice(to, (size_t)(end - to));
	return HF_OK;
}

static int unpack_content(const struct hf_packed *packed, uint8_t *to, struct hf_slice *content)
{
	struct hf_slice rest = packed->content;
	struct hf_packed_string string;
	unsigned features = 0;
	if (!hf_packed_read_string(&rest, &string) || rest.length > 0)
		return HF_EMALFORMED;
	uint8_t *end = hf_packed_write_text(&string, to);
	if (end == NULL)
		return HF_EMALFORMED;
	*end = '"';
	if (hf_json_scan_string(to, end + 1, &features) != end || (features & HF_JSON_LOOSE) != 0)
		return HF_EMALFORMED;
	*content = hf_slice(to, (size_t)(end - to));
	return HF_OK;
}

int hf_event_unpack(struct hf_slice payload, struct hf_buffer *text, struct hf_event *event, struct hf_event_meta *meta)
{
	struct hf_packed packed;
	struct hf_slice tags, content;
	int status = hf_packed_open(payload, &packed);
	if (status < 0)
		return status;
	if (payload.length > HF_EVENT_BYTES_MAX + HF_EVENT_EXTENSION_BYTES_MAX)
		return HF_ETOOBIG;
	if (!extensions_are_whole(packed.meta.extensions))
		return HF_EMALFORMED;
	status = hf_buffer_reserve(text, HF_PACKED_TAGS_TEXT_BYTES_MAX(packed.tags.length) + 2 * packed.content.length +
		32);
	if (status < 0)
		return status;
	uint8_t *to = text->data + text->length;
	if ((status = unpack_tags(&packed, to, &tags)) < 0)
		return status;
	if ((status = unpack_content(&packed, to + tags.length, &content)) < 0)
		return status;
	copy_head(&packed, event, meta);
	event->tags = tags;
	event->content = content;
	text->length += tags.length + content.length;
	return HF_OK;
}

uint64_t hf_event_payload_expiration(struct hf_slice payload)
{
	struct hf_packed packed;
	if (hf_packed_open(payload, &packed) < 0 || (packed.meta.flags & HF_EVENT_HAS_EXPIRATION) == 0)
		return UINT64_MAX;
	return find_expiration(packed.tags);
}

bool hf_event_payload_has_tag(struct hf_slice payload, char letter, struct hf_slice value)
{
	struct hf_packed packed;
	struct hf_packed_tag tag;
	if (hf_packed_open(payload, &packed) < 0)
		return false;
	while (hf_packed_next_tag(&packed.tags, &tag) > 0)
		if (tag.element_count > 1 && hf_packed_tag_letter(&tag) == letter &&
			hf_packed_compare(&tag.value, value) == 0)
			return true;
	return false;
}
