/* json_string: bodies of JSON strings: scanned, decoded and rewritten.
 *
 * The scan looks at 16 bytes a turn for the first that needs a look: quote, backslash, control or non-ASCII. As
 * signed bytes the last two are the ones below 0x20, so three comparisons find all. UTF-8 is checked only where
 * there is any. */
#include "codec/json.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* The first byte at or after `at` that is a quote, a backslash, below 0x20 or above 0x7f; or end. */
static inline const uint8_t *find_special(const uint8_t *at, const uint8_t *end)
{
#ifdef __SSE2__
	const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\'), space = _mm_set1_epi8(' ');
	for (; end - at >= 16; at += 16) {
		__m128i text = _mm_loadu_si128((const __m128i *)at);
		__m128i special = _mm_or_si128(_mm_cmplt_epi8(text, space),
			_mm_or_si128(_mm_cmpeq_epi8(text, quote), _mm_cmpeq_epi8(text, backslash)));
		unsigned mask = (unsigned)_mm_movemask_epi8(special);
		if (mask != 0)
			return at + __builtin_ctz(mask);
	}
#endif
	while (at < end && *at != '"' && *at != '\\' && *at >= 0x20 && *at < 0x80)
		at++;
	return at;
}

static inline bool is_continuation(uint8_t c) { return (c & 0xc0) == 0x80; }

/* Length of the well-formed sequence of two to four bytes at `at`, or 0. (RFC 3629, section 4) */
static inline size_t utf8_sequence(const uint8_t *at, size_t left)
{
	uint8_t first = at[0];
	if (first >= 0xe1 && first <= 0xef && first != 0xed)
		return left >= 3 && is_continuation(at[1]) && is_continuation(at[2]) ? 3 : 0;
	if (first >= 0xc2 && first <= 0xdf)
		return left >= 2 && is_continuation(at[1]) ? 2 : 0;
	if (first == 0xe0 || first == 0xed) {
		bool second = first == 0xe0 ? at[left > 1] >= 0xa0 : at[left > 1] <= 0x9f;
		return left >= 3 && second && is_continuation(at[1]) && is_continuation(at[2]) ? 3 : 0;
	}
	if (first < 0xf0 || first > 0xf4 || left < 4)
		return 0;
	if ((first == 0xf0 && at[1] < 0x90) || (first == 0xf4 && at[1] > 0x8f))
		return 0;
	return is_continuation(at[1]) && is_continuation(at[2]) && is_continuation(at[3]) ? 4 : 0;
}

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits of \uXXXX, `at` at the backslash; -1 when they are not all there. */
static int32_t code_unit(const uint8_t *at, const uint8_t *end)
{
	int32_t unit = 0;
	if (end - at < 6 || at[0] != '\\' || at[1] != 'u')
		return -1;
	for (int i = 2; i < 6; i++) {
		int digit = hex_digit(at[i]);
		if (digit < 0)
			return -1;
		unit = unit << 4 | digit;
	}
	return unit;
}

/* The character that the escape at `at` stands for; *length is how long the escape is. -1 when malformed. */
static int32_t escaped_character(const uint8_t *at, const uint8_t *end, size_t *length)
{
	static const char names[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
	if (end - at < 2)
		return -1;
	*length = 2;
	if (at[1] != 'u') {
		const char *name = memchr(names, at[1], sizeof names - 1);
		return name != NULL ? meanings[name - names] : -1;
	}
	int32_t unit = code_unit(at, end);
	*length = 6;
	if (unit < 0xd800 || unit > 0xdfff)
		return unit;
	int32_t low = code_unit(at + 6, end);
	if (unit > 0xdbff || low < 0xdc00 || low > 0xdfff)
		return -1;
	*length = 12;
	return 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
}

/* The letter of the short escape of a character, or 0. */
static char short_escape(int32_t character)
{
	switch (character) {
	case '"':
	case '\\':
		return (char)character;
	case '\b':
		return 'b';
	case '\f':
		return 'f';
	case '\n':
		return 'n';
	case '\r':
		return 'r';
	case '\t':
		return 't';
	default:
		return 0;
	}
}

static size_t write_utf8(uint8_t *out, int32_t character)
{
	if (character < 0x80) {
		out[0] = (uint8_t)character;
		return 1;
	}
	if (character < 0x800) {
		out[0] = (uint8_t)(0xc0 | character >> 6);
		out[1] = (uint8_t)(0x80 | (character & 63));
		return 2;
	}
	if (character < 0x10000) {
		out[0] = (uint8_t)(0xe0 | character >> 12);
		out[1] = (uint8_t)(0x80 | (character >> 6 & 63));
		out[2] = (uint8_t)(0x80 | (character & 63));
		return 3;
	}
	out[0] = (uint8_t)(0xf0 | character >> 18);
	out[1] = (uint8_t)(0x80 | (character >> 12 & 63));
	out[2] = (uint8_t)(0x80 | (character >> 6 & 63));
	out[3] = (uint8_t)(0x80 | (character & 63));
	return 4;
}

/* A character as JSON.stringify writes it; at most 6 bytes. */
static size_t write_canonical(uint8_t *out, int32_t character)
{
	static const char digits[] = "0123456789abcdef";
	char letter = short_escape(character);
	if (letter != 0) {
		out[0] = '\\';
		out[1] = (uint8_t)letter;
		return 2;
	}
	if (character >= 0x20)
		return write_utf8(out, character);
	memcpy(out, "\\u00", 4);
	out[4] = (uint8_t)digits[character >> 4];
	out[5] = (uint8_t)digits[character & 15];
	return 6;
}

static const uint8_t *scan_escape(const uint8_t *at, const uint8_t *end, unsigned *features)
{
	size_t length;
	int32_t character = escaped_character(at, end, &length);
	if (character < 0)
		return NULL;
	unsigned found = HF_JSON_ESCAPES;
	if (length == 2 && at[1] == '/')
		found |= HF_JSON_LOOSE;
	if (length > 2) {
		bool control = character < 0x20 && short_escape(character) == 0;
		if (control)
			found |= HF_JSON_CONTROLS;
		if (!control || (at[5] >= 'A' && at[5] <= 'F'))
			found |= HF_JSON_LOOSE;
	}
	*features |= found;
	return at + length;
}

const uint8_t *hf_json_scan_string(const uint8_t *at, const uint8_t *end, unsigned *features)
{
	for (;;) {
		at = find_special(at, end);
		if (at == end)
			return NULL;
		if (*at == '"')
			return at;
		if (*at == '\\') {
			at = scan_escape(at, end, features);
			if (at == NULL)
				return NULL;
			continue;
		}
		/* Non-ASCII text comes in runs. A control character is no sequence either. */
		do {
			size_t length = utf8_sequence(at, (size_t)(end - at));
			if (length == 0)
				return NULL;
			at += length;
		} while (at < end && *at >= 0x80);
	}
}

static size_t rewrite(struct hf_slice raw, uint8_t *out, size_t (*write)(uint8_t *out, int32_t character))
{
	const uint8_t *at = raw.data, *end = raw.data + raw.length;
	uint8_t *to = out;
	while (at < end) {
		const uint8_t *escape = *at == '\\' ? at : memchr(at, '\\', (size_t)(end - at));
		size_t plain = (size_t)((escape != NULL ? escape : end) - at), length;
		if (plain > 0)
			memmove(to, at, plain);
		to += plain;
		at += plain;
		if (escape == NULL)
			break;
		int32_t character = escaped_character(at, end, &length);
		if (character < 0) /* only when the text was not scanned */
			break;
		at += length;
		to += write(to, character);
	}
	return (size_t)(to - out);
}

size_t hf_json_unescape(struct hf_slice raw, uint8_t *out)
{
	return raw.length == 0 ? 0 : rewrite(raw, out, write_utf8);
}

size_t hf_json_canonical(struct hf_slice raw, uint8_t *out)
{
	return raw.length == 0 ? 0 : rewrite(raw, out, write_canonical);
}

static inline bool must_escape(uint8_t c) { return c < 0x20 || c == '"' || c == '\\'; }

int hf_json_append_string(struct hf_buffer *out, struct hf_slice text)
{
	size_t escapes = 0;
	for (size_t i = 0; i < text.length; i++)
		escapes += must_escape(text.data[i]);
	int status = hf_buffer_reserve(out, text.length + 5 * escapes + 2);
	if (status < 0)
		return status;
	uint8_t *to = out->data + out->length;
	*to++ = '"';
	for (size_t i = 0; i < text.length; i++) {
		if (must_escape(text.data[i]))
			to += write_canonical(to, text.data[i]);
		else
			*to++ = text.data[i];
	}
	*to++ = '"';
	out->length = (size_t)(to - out->data);
	return HF_OK;
}
