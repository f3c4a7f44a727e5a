/* The state between two bytes is what the next byte must be: (bytes still due) << 16 | least << 8 | greatest,
 * or 0 between characters. Text without multi-byte characters is skipped 16 bytes at a time. */
#include "base/utf8.h"

#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define DUE(count, least, greatest) ((uint32_t)(count) << 16 | (least) << 8 | (greatest))

/* The start of the first block that holds a byte above 0x7f, or of the rest that is less than a block. */
static const uint8_t *skip_ascii(const uint8_t *p, const uint8_t *end)
{
#ifdef __SSE2__
	while (end - p >= 16 && _mm_movemask_epi8(_mm_loadu_si128((const __m128i *)(const void *)p)) == 0)
		p += 16;
#else
	uint64_t word;
	while (end - p >= 8 && (memcpy(&word, p, 8), (word & 0x8080808080808080u) == 0))
		p += 8;
#endif
	return p;
}

static uint32_t after_lead(uint8_t byte)
{
	if (byte < 0xc2)
		return 0;
	if (byte < 0xe0)
		return DUE(1, 0x80, 0xbf);
	if (byte < 0xf0) /* E0: not shorter than it must be; ED: no surrogates */
		return DUE(2, byte == 0xe0 ? 0xa0 : 0x80, byte == 0xed ? 0x9f : 0xbf);
	if (byte < 0xf5) /* F0: not shorter than it must be; F4: at most U+10FFFF */
		return DUE(3, byte == 0xf0 ? 0x90 : 0x80, byte == 0xf4 ? 0x8f : 0xbf);
	return 0;
}

bool hf_utf8_check(uint32_t *state_in_out, const uint8_t *data, size_t length)
{
	uint32_t state = *state_in_out;
	const uint8_t *p = data, *end = length ? data + length : data;
	while (p < end) {
		if (state == 0) {
			if (*p < 0x80) {
				const uint8_t *block = skip_ascii(p, end);
				p = block > p ? block : p + 1;
				continue;
			}
			state = after_lead(*p++);
			if (state == 0)
				return false;
			continue;
		}
		uint8_t byte = *p++;
		if (byte < (state >> 8 & 0xff) || byte > (state & 0xff))
			return false;
		uint32_t due = (state >> 16) - 1;
		state = due ? DUE(due, 0x80, 0xbf) : 0;
	}
	*state_in_out = state;
	return true;
}

bool hf_utf8_valid(const uint8_t *data, size_t length)
{
	uint32_t state = 0;
	return hf_utf8_check(&state, data, length) && state == 0;
}
