/* compact_any: values that say their own type (the package's `any`), and JSON and records of strings.
 *
 * A value is pulled out token by token, without recursion: an array or object is followed by its items and then by its end. How
 * deep they may nest is bounded; their counts are bounded by the bytes there are.
 */
#ifndef HF_CODEC_COMPACT_ANY_H
#define HF_CODEC_COMPACT_ANY_H

#include "codec/compact.h"

#define HF_COMPACT_ANY_DEPTH_MAX 32

enum hf_compact_any_type {
	/* Numbers as on the wire. */
	HF_COMPACT_ANY_NULL = 0,
	HF_COMPACT_ANY_BOOL = 1,
	HF_COMPACT_ANY_STRING = 2,
	HF_COMPACT_ANY_BUFFER = 3,
	HF_COMPACT_ANY_UINT = 4,
	HF_COMPACT_ANY_INT = 5,
	HF_COMPACT_ANY_FLOAT64 = 6,
	HF_COMPACT_ANY_ARRAY = 7,
	HF_COMPACT_ANY_OBJECT = 8,
	HF_COMPACT_ANY_DATE = 9,
	/* Not on the wire. */
	HF_COMPACT_ANY_ARRAY_END,
	HF_COMPACT_ANY_OBJECT_END,
	HF_COMPACT_ANY_END, /* of the whole value */
};

struct hf_compact_any_token {
	enum hf_compact_any_type type;
	struct hf_slice key; /* of a member of an object, borrowed; else empty */
	union {
		bool boolean;
		uint64_t uint;
		int64_t integer;       /* INT, and DATE in Unix milliseconds */
		double number;
		struct hf_slice bytes; /* STRING, which is UTF-8, and BUFFER; borrowed */
		size_t count;          /* of an ARRAY's items or an OBJECT's members */
	};
};

struct hf_compact_any_reader {
	struct hf_compact_reader *in;
	unsigned depth;
	bool is_begun;
	uint32_t objects; /* bit d: level d is an object */
	size_t left[HF_COMPACT_ANY_DEPTH_MAX];
};

/* Reads the one value that stands next in `in`, and leaves `in` behind it. */
static inline struct hf_compact_any_reader hf_compact_any_reader(struct hf_compact_reader *in)
{
	return (struct hf_compact_any_reader){.in = in};
}
/* The status of `in`: HF_OK, HF_EMALFORMED (also an unknown type, or a string that is not UTF-8), HF_ETOOBIG (depth, a number, a
 * count). */
int hf_compact_any_next(struct hf_compact_any_reader *any, struct hf_compact_any_token *token);

/* Write one value, or the beginning of an array or object, which exactly `count` values follow; each value in an object after
 * its key. */
void hf_compact_write_any_null(struct hf_compact_writer *out);
void hf_compact_write_any_bool(struct hf_compact_writer *out, bool value);
void hf_compact_write_any_string(struct hf_compact_writer *out, struct hf_slice text);
void hf_compact_write_any_buffer(struct hf_compact_writer *out, struct hf_slice bytes);
/* As the package writes an integer: one that is not negative as UINT, else as INT. */
void hf_compact_write_any_integer(struct hf_compact_writer *out, int64_t value);
void hf_compact_write_any_float64(struct hf_compact_writer *out, double value);
void hf_compact_write_any_date(struct hf_compact_writer *out, int64_t unix_ms);
void hf_compact_write_any_array(struct hf_compact_writer *out, size_t count);
void hf_compact_write_any_object(struct hf_compact_writer *out, size_t count);
void hf_compact_write_any_key(struct hf_compact_writer *out, struct hf_slice key);

/* A JSON text with its length in front, and one that is all the rest (raw.json); checked, borrowed. hf_compact_write_buffer and
 * hf_compact_write_fixed write them. */
struct hf_slice hf_compact_read_json(struct hf_compact_reader *in);
struct hf_slice hf_compact_read_raw_json(struct hf_compact_reader *in);
/* A string with its length in front that must be UTF-8. */
struct hf_slice hf_compact_read_string(struct hf_compact_reader *in);

/* Pairs of strings (stringRecord): the count by hf_compact_read_count with 2 bytes a pair, then each of the pairs. */
struct hf_compact_pair {
	struct hf_slice key, value;
};
struct hf_compact_pair hf_compact_read_string_pair(struct hf_compact_reader *in);
void hf_compact_write_string_record(struct hf_compact_writer *out, const struct hf_compact_pair *pairs, size_t count);

#endif
