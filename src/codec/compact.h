/* compact: the encoding that the hypercore packages speak (npm compact-encoding 3).
 *
 * A reader walks borrowed bytes; the first thing that does not fit sets its status, and from then on every read gives zero, so
 * that a message is read straight through and judged once:
 *
 *     struct hf_compact_reader in = hf_compact_reader(message);
 *     fork = hf_compact_read_uint(&in);
 *     length = hf_compact_read_uint(&in);
 *     if (in.status != HF_OK) ...
 *
 * Status becomes HF_EMALFORMED when the bytes end early or mean nothing, HF_ETOOBIG when a number is above 2^53-1 or a count above
 * its limit. Encodings of integers that are longer than need be are accepted, as in the package. Bytes after the message are the
 * caller's affair; most messages ignore them.
 *
 * A writer appends to a buffer and has such a status too: HF_ENOMEM, or HF_EINVAL for a value that has no encoding.
 */
#ifndef HF_CODEC_COMPACT_H
#define HF_CODEC_COMPACT_H

#include "base/bytes.h"
#include "base/error.h"

#define HF_COMPACT_UINT_MAX (((uint64_t)1 << 53) - 1)
#define HF_COMPACT_UINT_BYTES_MAX 9
#define HF_COMPACT_ARRAY_COUNT_MAX (1u << 20) /* items of an array, as in the package */

struct hf_compact_reader {
	const uint8_t *at, *end;
	int status;
};

static inline struct hf_compact_reader hf_compact_reader(struct hf_slice bytes)
{
	static const uint8_t nothing = 0;
	const uint8_t *data = bytes.data != NULL ? bytes.data : &nothing;

	return (struct hf_compact_reader){.at = data, .end = data + bytes.length, .status = HF_OK};
}
/* Sets the status, unless one is set, and takes the rest away. */
HF_API void hf_compact_fail(struct hf_compact_reader *in, int status);
static inline size_t hf_compact_left(const struct hf_compact_reader *in) { return (size_t)(in->end - in->at); }

HF_API uint64_t hf_compact_read_uint_long(struct hf_compact_reader *in); /* any length; what read_uint falls back to */
static inline uint64_t hf_compact_read_uint(struct hf_compact_reader *in)
{
	if (in->at < in->end && *in->at <= 0xfc)
		return *in->at++;
	return hf_compact_read_uint_long(in);
}
HF_API int64_t hf_compact_read_int(struct hf_compact_reader *in); /* zig-zag; also the package's date, in Unix milliseconds */
/* Fixed width, little-endian; bits is 8, 16, … 64. */
HF_API uint64_t hf_compact_read_uint_bits(struct hf_compact_reader *in, unsigned bits);
HF_API int64_t hf_compact_read_int_bits(struct hf_compact_reader *in, unsigned bits);
HF_API uint64_t hf_compact_read_uint_be_bits(struct hf_compact_reader *in, unsigned bits); /* big-endian: 32 or 64 */
HF_API uint64_t hf_compact_read_lexint(struct hf_compact_reader *in); /* sorts as bytes; up to 2^32-1, which is all that is in use */
HF_API double hf_compact_read_float32(struct hf_compact_reader *in);
HF_API double hf_compact_read_float64(struct hf_compact_reader *in);
HF_API bool hf_compact_read_bool(struct hf_compact_reader *in); /* true for the byte 1 only */
/* length raw bytes, borrowed; data is NULL when they are not there. */
HF_API const uint8_t *hf_compact_read_fixed(struct hf_compact_reader *in, size_t length);
/* Length and bytes, borrowed: the package's buffer, binary, string, utf8, ascii, hex and base64. */
HF_API struct hf_slice hf_compact_read_buffer(struct hf_compact_reader *in);
/* The count of an array of at most count_max items (HF_ETOOBIG) that take at least item_bytes_min each (HF_EMALFORMED when
 * the rest is too short for that), so that a caller may allocate by it. */
HF_API size_t hf_compact_read_count(struct hf_compact_reader *in, size_t count_max, size_t item_bytes_min);
/* As many little-endian 32-bit words as the count says; bit arrays: as many bits. Borrowed, unaligned. */
HF_API struct hf_slice hf_compact_read_uint32_array(struct hf_compact_reader *in, size_t *count);
HF_API struct hf_slice hf_compact_read_bit_array(struct hf_compact_reader *in, uint64_t *bit_count);
/* A reader of its own for a message with its length in front; `in` stands behind it. */
HF_API struct hf_compact_reader hf_compact_read_frame(struct hf_compact_reader *in);
/* All that is left. */
HF_API struct hf_slice hf_compact_read_raw(struct hf_compact_reader *in);

struct hf_compact_writer {
	struct hf_buffer *out; /* borrowed */
	int status;
};

static inline struct hf_compact_writer hf_compact_writer(struct hf_buffer *out)
{
	return (struct hf_compact_writer){.out = out, .status = HF_OK};
}

HF_API size_t hf_compact_uint_bytes(uint64_t value); /* 1, 3, 5 or 9 */
/* Writes a uint at `at`, which has room for HF_COMPACT_UINT_BYTES_MAX; returns its length. */
HF_API size_t hf_compact_put_uint(uint8_t *at, uint64_t value);
HF_API void hf_compact_write_uint(struct hf_compact_writer *out, uint64_t value); /* above 2^53-1: HF_EINVAL */
HF_API void hf_compact_write_int(struct hf_compact_writer *out, int64_t value);
HF_API void hf_compact_write_uint_bits(struct hf_compact_writer *out, uint64_t value, unsigned bits);
HF_API void hf_compact_write_int_bits(struct hf_compact_writer *out, int64_t value, unsigned bits);
HF_API void hf_compact_write_uint_be_bits(struct hf_compact_writer *out, uint64_t value, unsigned bits);
HF_API void hf_compact_write_lexint(struct hf_compact_writer *out, uint64_t value);
HF_API void hf_compact_write_float32(struct hf_compact_writer *out, double value);
HF_API void hf_compact_write_float64(struct hf_compact_writer *out, double value);
HF_API void hf_compact_write_bool(struct hf_compact_writer *out, bool value);
HF_API void hf_compact_write_fixed(struct hf_compact_writer *out, const void *data, size_t length);
HF_API void hf_compact_write_buffer(struct hf_compact_writer *out, struct hf_slice bytes);
HF_API void hf_compact_write_uint32_array(struct hf_compact_writer *out, const uint32_t *words, size_t count);
HF_API void hf_compact_write_bit_array(struct hf_compact_writer *out, const uint8_t *bits, uint64_t bit_count);
/* A message with its length in front: what is written between the two calls. begin returns what end needs. */
HF_API size_t hf_compact_frame_begin(struct hf_compact_writer *out);
HF_API void hf_compact_frame_end(struct hf_compact_writer *out, size_t begun);

#endif
