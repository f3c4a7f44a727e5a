/* json: a scanner over JSON text that neither copies nor recurses. (RFC 8259)
 *
 * hf_json_next walks the tokens of one complete text in memory, with an explicit depth limit; strings are given
 * raw (between the quotes, escapes as written) and decoded only on request. hf_json_skip jumps over one value.
 * Strings are checked to be valid UTF-8 with valid escapes; lone surrogates and unescaped control characters are
 * refused; numbers are checked for form. Duplicate names are the caller's affair.
 *
 * The canonical form of a string is what JSON.stringify writes: \" \\ \b \f \n \r \t, \u00xx in lower case for
 * other characters below U+0020, everything else as itself. Texts in this form are equal when their bytes are.
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

/* What a string's raw text contains. */
#define HF_JSON_ESCAPES 1u  /* a backslash */
#define HF_JSON_LOOSE 2u    /* an escape that is not in canonical form */
#define HF_JSON_CONTROLS 4u /* a \u escape of a character below U+0020 that has no short form */

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
	uint8_t features;      /* of a string: HF_JSON_ESCAPES and the others below */
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

/* For callers that scan a value on their own. open: skips white space and what stands before the value that
 * comes next; json->at is then its first character. HF_EMALFORMED when no value may come. close: the value ended
 * before `at`. */
int hf_json_open_value(struct hf_json *json);
void hf_json_close_value(struct hf_json *json, const uint8_t *at);

/* ---- Strings ---- */

/* Scans a string's body, `at` just after the opening quote. Returns the closing quote, or NULL when the string is
 * not well-formed or does not end before `end`. Adds HF_JSON_ESCAPES and the others to *features. */
const uint8_t *hf_json_scan_string(const uint8_t *at, const uint8_t *end, unsigned *features);

/* These take a raw string that was scanned, so they cannot fail; out needs raw.length bytes; they return the
 * length written. unescape gives the string's own bytes; canonical its canonical form. */
size_t hf_json_unescape(struct hf_slice raw, uint8_t *out);
size_t hf_json_canonical(struct hf_slice raw, uint8_t *out);

/* Appends "…" with quotes in canonical form; text is valid UTF-8. HF_ENOMEM. */
int hf_json_append_string(struct hf_buffer *out, struct hf_slice text);

/* ---- Numbers ---- */

/* Non-negative integers only, no fraction or exponent: else HF_EMALFORMED; above 2^64-1 HF_ETOOBIG. */
int hf_json_u64(struct hf_slice number, uint64_t *value);
/* Decimal digits without a final NUL; returns their number. */
#define HF_JSON_U64_BYTES_MAX 20
size_t hf_json_write_u64(uint8_t out[static HF_JSON_U64_BYTES_MAX], uint64_t value);

#endif
