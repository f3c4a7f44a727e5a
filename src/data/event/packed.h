/* packed: the stored form of an event, read in place.
 *
 *   byte    0        format version, 1
 *   byte    1        flags (HF_EVENT_HAS_…)
 *   byte    2        source (enum hf_event_source)
 *   6 bytes 3        receive time, Unix milliseconds, little-endian
 *   varint           bytes of extension fields, then these: type varint, length varint, bytes
 *   32, 32, 64 bytes id, pubkey, sig
 *   varint, varint   created_at, kind
 *   varint           bytes of tags, then the tags: number of elements, at least 1, then a string each
 *   string           content, to the end of the payload
 *
 * The header of an event without extension fields takes 10 bytes. The relay is the store's collection.
 *
 * A string is the canonical JSON text of its body, escapes as in event.h, and comes in three forms told by the
 * low bits of the varint before it:
 *
 *   n << 1 | 1       n bytes that stand for 2n lower-case hex digits
 *   n << 2           n bytes of text
 *   n << 2 | 2       n bytes of segments: length varint, text, count varint, hex bytes, and again
 *
 * So the text is at most three times as long as the payload plus a constant, and the payload not longer than the
 * text plus a constant. */
#ifndef HF_DATA_EVENT_PACKED_H
#define HF_DATA_EVENT_PACKED_H

#include "data/event/event.h"

#define HF_PACKED_VERSION 1
#define HF_PACKED_HEADER_BYTES 9 /* up to the extension fields' length */

/* A payload taken apart; all pointers borrow from it. */
struct hf_packed {
	struct hf_event_meta meta;
	const uint8_t *id, *pubkey, *sig;
	uint64_t created_at;
	uint32_t kind;
	struct hf_slice tags;    /* as packed */
	struct hf_slice content; /* one packed string */
};

/* Checks all but what is inside tags and content. HF_EMALFORMED, HF_EVERSION. */
int hf_packed_open(struct hf_slice payload, struct hf_packed *packed);

struct hf_packed_string {
	enum { HF_PACKED_TEXT, HF_PACKED_HEX, HF_PACKED_SEGMENTS } form;
	struct hf_slice bytes;
};

/* Takes the next string off *rest. False when the bytes end early. */
bool hf_packed_read_string(struct hf_slice *rest, struct hf_packed_string *string);
/* Writes the text; room for twice the bytes and 16 more is needed. Returns the place behind it, or NULL when the
 * segments are malformed. */
uint8_t *hf_packed_write_text(const struct hf_packed_string *string, uint8_t *out);
/* Byte order of the string's text and of text: <0, 0 or >0. */
int hf_packed_compare(const struct hf_packed_string *string, struct hf_slice text);
/* Packs text behind out; room for HF_PACKED_STRING_BYTES_MAX is needed. Returns the place behind it. */
#define HF_PACKED_STRING_BYTES_MAX(length) ((length) + HF_VARINT_BYTES_MAX)
uint8_t *hf_packed_write_string(uint8_t *out, struct hf_slice text);

struct hf_packed_tag {
	uint32_t element_count;
	struct hf_packed_string name, value; /* value: empty text when there is none */
};

/* Takes the next tag off *rest, which starts as packed.tags. 1, 0 at the end, HF_EMALFORMED. */
int hf_packed_next_tag(struct hf_slice *rest, struct hf_packed_tag *tag);
/* The letter when the tag's name is one, else 0. */
char hf_packed_tag_letter(const struct hf_packed_tag *tag);

/* Writes the JSON text of the tags array; room for HF_PACKED_TAGS_TEXT_BYTES_MAX is needed. NULL when malformed. */
#define HF_PACKED_TAGS_TEXT_BYTES_MAX(length) (3 * (length) + 32)
uint8_t *hf_packed_write_tags(struct hf_slice tags, uint8_t *out);

/* LEB128 at the start of *rest, taken off it. */
static inline bool hf_packed_read_varint(struct hf_slice *rest, uint64_t *value)
{
	size_t length = 1;
	if (rest->length > 0 && rest->data[0] < 128)
		*value = rest->data[0];
	else if ((length = hf_varint_read(rest->data, rest->length, value)) == 0)
		return false;
	rest->data += length;
	rest->length -= length;
	return true;
}

/* The first `length` bytes, taken off *rest. */
static inline bool hf_packed_read_bytes(struct hf_slice *rest, uint64_t length, struct hf_slice *bytes)
{
	if (length > rest->length)
		return false;
	*bytes = hf_slice(rest->data, (size_t)length);
	rest->data += length;
	rest->length -= (size_t)length;
	return true;
}

#endif
