/* packed: strings and tags of the stored form. Every read is bounded by the slice it takes from; every write by
 * what the reader of the length has made room for. */
#include "data/event/packed.h"

#include "codec/hex.h"

/* Below this many digits a run inside other text is not worth its two lengths. A run of twice a block's digits covers a
 * whole aligned block, so looking at blocks finds all runs of that length. */
#define BLOCK_DIGITS 16
#define RUN_DIGITS_MIN 32

static inline uint8_t *write_varint(uint8_t *out, uint64_t value)
{
	if (value < 128) {
		*out = (uint8_t)value;
		return out + 1;
	}
	return out + hf_varint_write(out, value);
}

static inline uint8_t *write_bytes(uint8_t *out, const uint8_t *data, size_t length)
{
	if (length > 0)
		memcpy(out, data, length);
	return out + length;
}

/* ---- Writing strings ---- */

/* The next run of at least RUN_DIGITS_MIN hex digits at or after `from`, of even length; false when none. */
static bool find_run(struct hf_slice text, size_t from, size_t *start, size_t *length)
{
	for (size_t at = from; text.length - at >= BLOCK_DIGITS; at += BLOCK_DIGITS) {
		if (hf_hex_run(text.data + at, BLOCK_DIGITS) < BLOCK_DIGITS)
			continue;
		size_t first = at;
		while (first > from && hf_hex_run(text.data + first - 1, 1) == 1)
			first--;
		size_t run = (at - first + hf_hex_run(text.data + at, text.length - at)) & ~(size_t)1;
		if (run >= RUN_DIGITS_MIN) {
			*start = first;
			*length = run;
			return true;
		}
	}
	return false;
}

/* Segments of text whose first run is known. The caller's room is that of the text: each run saves 16 bytes or more
 * and costs two lengths of at most 3 bytes. */
static uint8_t *write_segments(uint8_t *out, struct hf_slice text, size_t start, size_t run)
{
	size_t done = 0;
	bool found = true;
	while (found) {
		out = write_varint(out, start - done);
		out = write_bytes(out, text.data + done, start - done);
		out = write_varint(out, run / 2);
		hf_hex_decode(out, text.data + start, run / 2);
		out += run / 2;
		done = start + run;
		found = find_run(text, done, &start, &run);
	}
	if (done < text.length) {
		out = write_varint(out, text.length - done);
		out = write_bytes(out, text.data + done, text.length - done);
	}
	return out;
}

uint8_t *hf_packed_write_string(uint8_t *out, struct hf_slice text)
{
	size_t start, run;
	if (text.length >= 2 && text.length % 2 == 0 && hf_hex_run(text.data, text.length) == text.length) {
		out = write_varint(out, (uint64_t)text.length / 2 << 1 | 1);
		hf_hex_decode(out, text.data, text.length / 2);
		return out + text.length / 2;
	}
	if (text.length <= RUN_DIGITS_MIN || !find_run(text, 0, &start, &run)) {
		out = write_varint(out, (uint64_t)text.length << 2);
		return write_bytes(out, text.data, text.length);
	}
	/* The length goes before the segments but is known after them: leave room, then close the gap. */
	uint8_t *segments = out + HF_VARINT_BYTES_MAX;
	size_t length = (size_t)(write_segments(segments, text, start, run) - segments);
	out = write_varint(out, (uint64_t)length << 2 | 2);
	memmove(out, segments, length);
	return out + length;
}

/* ---- Reading strings ---- */

bool hf_packed_read_string(struct hf_slice *rest, struct hf_packed_string *string)
{
	uint64_t head;
	if (!hf_packed_read_varint(rest, &head))
		return false;
	string->form = HF_PACKED_HEX;
	if ((head & 1) == 0)
		string->form = (head & 2) == 0 ? HF_PACKED_TEXT : HF_PACKED_SEGMENTS;
	return hf_packed_read_bytes(rest, head >> (string->form == HF_PACKED_HEX ? 1 : 2), &string->bytes);
}

/* The next text and hex parts of a string with segments; either may be empty. */
static bool read_segment(struct hf_slice *rest, struct hf_slice *text, struct hf_slice *hex)
{
	uint64_t length;
	*hex = (struct hf_slice){0};
	if (!hf_packed_read_varint(rest, &length) || !hf_packed_read_bytes(rest, length, text))
		return false;
	return rest->length == 0 || (hf_packed_read_varint(rest, &length) && hf_packed_read_bytes(rest, length, hex));
}

static uint8_t *write_segments_text(struct hf_slice rest, uint8_t *out)
{
	while (rest.length > 0) {
		struct hf_slice text, hex;
		if (!read_segment(&rest, &text, &hex))
			return NULL;
		out = write_bytes(out, text.data, text.length);
		hf_hex_encode(out, hex.data, hex.length);
		out += 2 * hex.length;
	}
	return out;
}

uint8_t *hf_packed_write_text(const struct hf_packed_string *string, uint8_t *out)
{
	switch (string->form) {
	case HF_PACKED_TEXT:
		return write_bytes(out, string->bytes.data, string->bytes.length);
	case HF_PACKED_HEX:
		hf_hex_encode(out, string->bytes.data, string->bytes.length);
		return out + 2 * string->bytes.length;
	default:
		return write_segments_text(string->bytes, out);
	}
}

/* Compares bytes with as much of *text and takes that off; a text that ends early is the lower one. */
static int compare_bytes(struct hf_slice bytes, struct hf_slice *text)
{
	size_t length = bytes.length < text->length ? bytes.length : text->length;
	if (length == 0)
		return bytes.length > 0;
	int order = memcmp(bytes.data, text->data, length);
	if (order == 0 && bytes.length > length)
		return 1;
	text->data += length;
	text->length -= length;
	return order;
}

static int compare_hex(struct hf_slice hex, struct hf_slice *text)
{
	uint8_t digits[64];
	int order = 0;
	while (order == 0 && hex.length > 0) {
		size_t length = hex.length < sizeof digits / 2 ? hex.length : sizeof digits / 2;
		hf_hex_encode(digits, hex.data, length);
		order = compare_bytes(hf_slice(digits, 2 * length), text);
		hex.data += length;
		hex.length -= length;
	}
	return order;
}

int hf_packed_compare(const struct hf_packed_string *string, struct hf_slice text)
{
	struct hf_slice rest = string->bytes, part, hex;
	int order = 0;
	if (string->form == HF_PACKED_TEXT)
		order = compare_bytes(rest, &text);
	else if (string->form == HF_PACKED_HEX)
		order = compare_hex(rest, &text);
	else
		while (order == 0 && rest.length > 0 && read_segment(&rest, &part, &hex))
			if ((order = compare_bytes(part, &text)) == 0)
				order = compare_hex(hex, &text);
	if (order == 0 && text.length > 0)
		return -1;
	return order;
}

/* ---- Tags ---- */

int hf_packed_next_tag(struct hf_slice *rest, struct hf_packed_tag *tag)
{
	uint64_t count;
	struct hf_packed_string element;
	if (rest->length == 0)
		return 0;
	/* Every element takes a byte or more, so a count above what is left ends the loop early. */
	if (!hf_packed_read_varint(rest, &count) || count == 0 || count > rest->length)
		return HF_EMALFORMED;
	*tag = (struct hf_packed_tag){.element_count = (uint32_t)count};
	for (uint64_t i = 0; i < count; i++) {
		struct hf_packed_string *to = i == 0 ? &tag->name : i == 1 ? &tag->value : &element;
		if (!hf_packed_read_string(rest, to))
			return HF_EMALFORMED;
	}
	return 1;
}

char hf_packed_tag_letter(const struct hf_packed_tag *tag)
{
	if (tag->name.form != HF_PACKED_TEXT || tag->name.bytes.length != 1)
		return 0;
	uint8_t name = tag->name.bytes.data[0], lower = name | 0x20;
	return lower >= 'a' && lower <= 'z' ? (char)name : 0;
}

static uint8_t *write_tag(struct hf_slice *rest, uint8_t *out)
{
	uint64_t count;
	struct hf_packed_string element;
	if (!hf_packed_read_varint(rest, &count) || count == 0 || count > rest->length)
		return NULL;
	*out++ = '[';
	do {
		*out++ = '"';
		if (!hf_packed_read_string(rest, &element) || (out = hf_packed_write_text(&element, out)) == NULL)
			return NULL;
		*out++ = '"';
		*out++ = ',';
	} while (--count > 0);
	out[-1] = ']';
	return out;
}

uint8_t *hf_packed_write_tags(struct hf_slice tags, uint8_t *out)
{
	*out++ = '[';
	if (tags.length == 0)
		*out++ = ',';
	while (tags.length > 0) {
		if ((out = write_tag(&tags, out)) == NULL)
			return NULL;
		*out++ = ',';
	}
	out[-1] = ']';
	return out;
}
