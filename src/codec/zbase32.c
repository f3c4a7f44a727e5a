#include "codec/zbase32.h"

static const char alphabet[32] = "ybndrfg8ejkmcpqxot1uwisza345h769";

#define NONE 0xff

/* For '1' to 'z'. */
static const uint8_t values['z' - '1' + 1] = {
	['1' - '1'] = 18, ['2' - '1'] = NONE, ['3' - '1'] = 25, ['4' - '1'] = 26, ['5' - '1'] = 27, ['6' - '1'] = 30,
	['7' - '1'] = 29, ['8' - '1'] = 7, ['9' - '1'] = 31, [':' - '1' ... '`' - '1'] = NONE,
	['a' - '1'] = 24, ['b' - '1'] = 1, ['c' - '1'] = 12, ['d' - '1'] = 3, ['e' - '1'] = 8, ['f' - '1'] = 5, ['g' - '1'] = 6,
	['h' - '1'] = 28, ['i' - '1'] = 21, ['j' - '1'] = 9, ['k' - '1'] = 10, ['l' - '1'] = NONE, ['m' - '1'] = 11,
	['n' - '1'] = 2, ['o' - '1'] = 16, ['p' - '1'] = 13, ['q' - '1'] = 14, ['r' - '1'] = 4, ['s' - '1'] = 22,
	['t' - '1'] = 17, ['u' - '1'] = 19, ['v' - '1'] = NONE, ['w' - '1'] = 20, ['x' - '1'] = 15, ['y' - '1'] = 0,
	['z' - '1'] = 23,
};

void hf_zbase32_encode(void *out, const void *data, size_t length)
{
	const uint8_t *at = data, *end = at + length;
	uint32_t bits = 0;
	unsigned have = 0;
	char *to = out;

	while (at < end) {
		bits = bits << 8 | *at++;
		for (have += 8; have >= 5; have -= 5)
			*to++ = alphabet[bits >> (have - 5) & 31];
	}
	if (have > 0)
		*to = alphabet[bits << (5 - have) & 31];
}

bool hf_zbase32_decode(void *out, const void *text, size_t length)
{
	const uint8_t *at = text, *end = at + length;
	uint32_t bits = 0;
	unsigned have = 0;
	uint8_t *to = out;

	if (HF_ZBASE32_ENCODED_BYTES(HF_ZBASE32_DECODED_BYTES(length)) != length)
		return false;
	for (; at < end; at++) {
		uint8_t value = *at >= '1' && *at <= 'z' ? values[*at - '1'] : NONE;
		if (value == NONE)
			return false;
		bits = bits << 5 | value;
		have += 5;
		if (have >= 8) {
			have -= 8;
			*to++ = (uint8_t)(bits >> have);
		}
	}
	return true;
}
