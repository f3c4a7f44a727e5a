/* base64: three bytes to four characters and back. Handshakes and headers use it, not bulk data. */
#include "codec/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static uint32_t sextet(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26u;
	if (c >= '0' && c <= '9')
		return c - '0' + 52u;
	if (c == '+')
		return 62;
	return c == '/' ? 63 : UINT32_MAX;
}

size_t hf_base64_encode(void *out, const void *data, size_t length)
{
	const uint8_t *from = data;
	char *to = out;
	for (; length > 0; to += 4) {
		size_t taken = length < 3 ? length : 3;
		uint32_t group = (uint32_t)from[0] << 16;
		if (taken > 1)
			group |= (uint32_t)from[1] << 8;
		if (taken > 2)
			group |= from[2];
		to[0] = alphabet[group >> 18];
		to[1] = alphabet[group >> 12 & 63];
		to[2] = taken > 1 ? alphabet[group >> 6 & 63] : '=';
		to[3] = taken > 2 ? alphabet[group & 63] : '=';
		from += taken;
		length -= taken;
	}
	return (size_t)(to - (char *)out);
}

bool hf_base64_decode(void *out, const void *text, size_t length, size_t *decoded_bytes)
{
	const uint8_t *from = text;
	uint8_t *to = out;
	size_t made = 0;
	*decoded_bytes = 0;
	if (length % 4 != 0)
		return false;
	for (; length > 0; length -= 4, from += 4) {
		size_t count = 4;
		if (length == 4 && from[3] == '=')
			count = from[2] == '=' ? 2 : 3;
		uint32_t group = 0;
		for (size_t i = 0; i < count; i++) {
			uint32_t six = sextet(from[i]);
			if (six > 63)
				return false;
			group |= six << (18 - 6 * i);
		}
		if ((count == 2 && (group & 0xffff) != 0) || (count == 3 && (group & 0xff) != 0))
			return false;
		for (size_t i = 0; i + 1 < count; i++)
			to[made++] = (uint8_t)(group >> (16 - 8 * i));
	}
	*decoded_bytes = made;
	return true;
}
