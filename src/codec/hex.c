/* hex: the wide loops work on 32 characters or 16 bytes a turn; the rest goes through a table. A digit is
 * c - '0' <= 9, a letter c - 'a' <= 5, both unsigned, so one saturating subtraction classifies all lanes. */
#include "codec/hex.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

static const char digits[16] = "0123456789abcdef";

/* 0-15, or 255. */
static unsigned nibble(uint8_t c)
{
	if ((uint8_t)(c - '0') <= 9)
		return c - '0';
	if ((uint8_t)(c - 'a') <= 5)
		return c - 'a' + 10u;
	return 255;
}

#ifdef __SSE2__
static inline __m128i lanes_at_most(__m128i value, int limit)
{
	return _mm_cmpeq_epi8(_mm_subs_epu8(value, _mm_set1_epi8((char)limit)), _mm_setzero_si128());
}

/* The nibbles of 16 characters; lanes of *valid are 0xff where the character is one. */
static inline __m128i nibbles(__m128i text, __m128i *valid)
{
	__m128i digit = _mm_sub_epi8(text, _mm_set1_epi8('0'));
	__m128i letter = _mm_sub_epi8(text, _mm_set1_epi8('a'));
	__m128i is_digit = lanes_at_most(digit, 9), is_letter = lanes_at_most(letter, 5);
	*valid = _mm_or_si128(is_digit, is_letter);
	return _mm_or_si128(_mm_and_si128(is_digit, digit),
		_mm_and_si128(is_letter, _mm_add_epi8(letter, _mm_set1_epi8(10))));
}

/* Pairs of nibbles, the first one high, into the low byte of each 16-bit lane. */
static inline __m128i join_pairs(__m128i pairs)
{
	__m128i joined = _mm_or_si128(_mm_slli_epi16(pairs, 4), _mm_srli_epi16(pairs, 8));
	return _mm_and_si128(joined, _mm_set1_epi16(0xff));
}

static inline __m128i characters(__m128i values)
{
	__m128i letters = _mm_cmpgt_epi8(values, _mm_set1_epi8(9));
	return _mm_add_epi8(_mm_add_epi8(values, _mm_set1_epi8('0')),
		_mm_and_si128(letters, _mm_set1_epi8('a' - '0' - 10)));
}
#endif

void hf_hex_encode(void *out, const void *data, size_t length)
{
	uint8_t *to = out;
	const uint8_t *from = data;
#ifdef __SSE2__
	const __m128i low = _mm_set1_epi8(15);
	for (; length >= 16; length -= 16, from += 16, to += 32) {
		__m128i bytes = _mm_loadu_si128((const __m128i *)from);
		__m128i high = characters(_mm_and_si128(_mm_srli_epi16(bytes, 4), low));
		__m128i lower = characters(_mm_and_si128(bytes, low));
		_mm_storeu_si128((__m128i *)to, _mm_unpacklo_epi8(high, lower));
		_mm_storeu_si128((__m128i *)(to + 16), _mm_unpackhi_epi8(high, lower));
	}
#endif
	for (; length > 0; length--, from++, to += 2) {
		to[0] = (uint8_t)digits[*from >> 4];
		to[1] = (uint8_t)digits[*from & 15];
	}
}

bool hf_hex_decode(void *out, const void *hex, size_t length)
{
	uint8_t *to = out;
	const uint8_t *from = hex;
#ifdef __SSE2__
	__m128i all = _mm_set1_epi8(-1);
	for (; length >= 16; length -= 16, from += 32, to += 16) {
		__m128i valid_a, valid_b;
		__m128i a = nibbles(_mm_loadu_si128((const __m128i *)from), &valid_a);
		__m128i b = nibbles(_mm_loadu_si128((const __m128i *)(from + 16)), &valid_b);
		all = _mm_and_si128(all, _mm_and_si128(valid_a, valid_b));
		_mm_storeu_si128((__m128i *)to, _mm_packus_epi16(join_pairs(a), join_pairs(b)));
	}
	if (_mm_movemask_epi8(all) != 0xffff)
		return false;
#endif
	unsigned seen = 0;
	for (; length > 0; length--, from += 2, to++) {
		unsigned high = nibble(from[0]), low_nibble = nibble(from[1]);
		seen |= high | low_nibble;
		*to = (uint8_t)(high << 4 | low_nibble);
	}
	return seen <= 15;
}

size_t hf_hex_run(const void *text, size_t length)
{
	const uint8_t *from = text;
	size_t at = 0;
#ifdef __SSE2__
	for (; length - at >= 16; at += 16) {
		__m128i valid;
		nibbles(_mm_loadu_si128((const __m128i *)(from + at)), &valid);
		unsigned invalid = ~(unsigned)_mm_movemask_epi8(valid) & 0xffff;
		if (invalid != 0)
			return at + (unsigned)__builtin_ctz(invalid);
	}
#endif
	while (at < length && nibble(from[at]) <= 15)
		at++;
	return at;
}
