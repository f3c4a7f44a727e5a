/* json: a scanner over JSON text that neither copies nor recurses.
 *
 * Two uses. (1) hf_json_next walks tokens of one text with an explicit depth limit; strings are given raw
 * (between the quotes, escapes as written) and decoded only on request. (2) hf_json_skip jumps over one value.
 * Input is one complete text in memory. Strings are checked to be valid UTF-8 with valid escapes (lone surrogates
 * are refused), control characters below 0x20 inside strings are refused as RFC 8259 asks; numbers are checked for form. RFC 8259.
 */
#ifndef HF_CODEC_JSON_H
#define HF_CODEC_JSON_H

#include "base/bytes.h"
#include "base/error.h"

#define HF_JSON_DEPTH_MAX 32

enum hf_json_type {
	HF_JSON_END, HF_JSON_OBJECT, HF_JSON_OBJECT_END, HF_JSON_ARRAY, HF_JSON_ARRAY_END,
	HF_JSON_STRING, HF_JSON_NUMBER, HF_JSON_TRUE, HF_JSON_FALSE, HF_JSON_NULL,
};

struct hf_json {
	const uint8_t *at, *end, *start;
	uint32_t depth;
	uint32_t depth_max;              /* at most HF_JSON_DEPTH_MAX */
	uint32_t objects;                /* bit d: level d is an object */
	uint8_t expect;                  /* what may come next; the scanner's own */
};

struct hf_json_token {
	enum hf_json_type type;
	bool is_key;           /* a string that names an object's member */
	bool has_escapes;      /* of a string: raw contains a backslash */
	struct hf_slice raw;   /* of strings and numbers */
};

void hf_json_init(struct hf_json *json, struct hf_slice text, uint32_t depth_max);
/* HF_OK; type HF_JSON_END after the one value (white space may follow). HF_EMALFORMED, HF_ETOOBIG (depth).
 * json->at - json->start is the offset of the fault. */
int hf_json_next(struct hf_json *json, struct hf_json_token *token);
/* Skips the value that comes next (with all that is in it). */
int hf_json_skip(struct hf_json *json);
/* After a token OBJECT or ARRAY: skips to after its end. */
int hf_json_leave(struct hf_json *json);

/* Decodes a raw string into out (needs at most raw.length bytes); returns the length. The raw string
 * came from hf_json_next, so it cannot fail. */
size_t hf_json_unescape(struct hf_slice raw, uint8_t *out);
/* Non-negative integers only, no fraction or exponent: HF_EMALFORMED; above 2^64-1 HF_ETOOBIG. */
int hf_json_u64(struct hf_slice number, uint64_t *value);
/* Appends "…" with quotes, escaping as JSON.stringify does. */
int hf_json_append_string(struct hf_buffer *out, struct hf_slice text);

#endif
