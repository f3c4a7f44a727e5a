/* bech32: five bits a character, and a checksum that is a remainder over GF(32). The checksum runs over the prefix's
 * high bits, a zero, its low bits and the data, so it needs no buffer. */
#include "codec/bech32.h"

static const char alphabet[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

static uint32_t checksum_step(uint32_t sum, uint8_t value)
{
	static const uint32_t generator[5] = {0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3};
	uint32_t top = sum >> 25;
	sum = (sum & 0x1ffffff) << 5 ^ value;
	for (int i = 0; i < 5; i++)
		if ((top >> i & 1) != 0)
			sum ^= generator[i];
	return sum;
}

static uint32_t checksum_prefix(const char *prefix)
{
	uint32_t sum = 1;
	for (const char *c = prefix; *c != 0; c++)
		sum = checksum_step(sum, (uint8_t)*c >> 5);
	sum = checksum_step(sum, 0);
	for (const char *c = prefix; *c != 0; c++)
		sum = checksum_step(sum, *c & 31);
	return sum;
}

static int check_prefix(const char *prefix, size_t *length)
{
	*length = strlen(prefix);
	if (*length < 1 || *length > HF_BECH32_PREFIX_BYTES_MAX)
		return HF_EINVAL;
	for (size_t i = 0; i < *length; i++)
		if (prefix[i] < 33 || prefix[i] > 126 || (prefix[i] >= 'A' && prefix[i] <= 'Z'))
			return HF_EINVAL;
	return HF_OK;
}

struct writer {
	char *to;
	uint32_t sum;
};

static void write_value(struct writer *writer, uint32_t value)
{
	writer->sum = checksum_step(writer->sum, value & 31);
	*writer->to++ = alphabet[value & 31];
}

int hf_bech32_encode(char *out, size_t *out_length, const char *prefix, struct hf_slice data)
{
	size_t prefix_length;
	if (check_prefix(prefix, &prefix_length) < 0)
		return HF_EINVAL;
	if (data.length > HF_BECH32_TEXT_BYTES_MAX ||
		HF_BECH32_ENCODED_BYTES(prefix_length, data.length) > HF_BECH32_TEXT_BYTES_MAX)
		return HF_ETOOBIG;
	memcpy(out, prefix, prefix_length);
	out[prefix_length] = '1';
	struct writer writer = {.to = out + prefix_length + 1, .sum = checksum_prefix(prefix)};
	uint32_t bits = 0, bit_count = 0;
	for (size_t i = 0; i < data.length; i++) {
		bits = bits << 8 | data.data[i];
		for (bit_count += 8; bit_count >= 5;) {
			bit_count -= 5;
			write_value(&writer, bits >> bit_count);
		}
	}
	if (bit_count > 0)
		write_value(&writer, bits << (5 - bit_count));
	uint32_t sum = writer.sum;
	for (int i = 0; i < 6; i++)
		sum = checksum_step(sum, 0);
	for (int i = 0; i < 6; i++)
		*writer.to++ = alphabet[(sum ^ 1) >> (25 - 5 * i) & 31];
	*out_length = (size_t)(writer.to - out);
	return HF_OK;
}

static inline char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c; }

static bool mixes_case(struct hf_slice text)
{
	bool has_lower = false, has_upper = false;
	for (size_t i = 0; i < text.length; i++) {
		has_lower |= text.data[i] >= 'a' && text.data[i] <= 'z';
		has_upper |= text.data[i] >= 'A' && text.data[i] <= 'Z';
	}
	return has_lower && has_upper;
}

static bool has_prefix(struct hf_slice text, const char *prefix, size_t length)
{
	if (text.length < length + 1 || text.data[length] != '1')
		return false;
	for (size_t i = 0; i < length; i++)
		if (lower((char)text.data[i]) != prefix[i])
			return false;
	return true;
}

int hf_bech32_decode(uint8_t *out, size_t *out_length, const char *prefix, struct hf_slice text)
{
	size_t prefix_length;
	if (check_prefix(prefix, &prefix_length) < 0)
		return HF_EINVAL;
	if (text.length > HF_BECH32_TEXT_BYTES_MAX)
		return HF_ETOOBIG;
	if (!has_prefix(text, prefix, prefix_length))
		return HF_EINVAL;
	if (text.length < prefix_length + 1 + 6 || mixes_case(text))
		return HF_EMALFORMED;
	size_t data_end = text.length - 6, length = 0;
	uint32_t sum = checksum_prefix(prefix), bits = 0, bit_count = 0;
	for (size_t i = prefix_length + 1; i < text.length; i++) {
		const char *found = memchr(alphabet, lower((char)text.data[i]), 32);
		if (found == NULL)
			return HF_EMALFORMED;
		uint8_t value = (uint8_t)(found - alphabet);
		sum = checksum_step(sum, value);
		if (i >= data_end)
			continue;
		bits = bits << 5 | value;
		bit_count += 5;
		if (bit_count >= 8) {
			bit_count -= 8;
			out[length++] = (uint8_t)(bits >> bit_count);
		}
	}
	if (sum != 1)
		return HF_EBADSIG;
	/* What is left over is padding: less than a character, and zero. */
	if (bit_count >= 5 || (bits & ((1u << bit_count) - 1)) != 0)
		return HF_EMALFORMED;
	*out_length = length;
	return HF_OK;
}

static void copy_prefix(char out[static 5], const char prefix[static 4])
{
	memcpy(out, prefix, 4);
	out[4] = 0;
}

void hf_bech32_encode_key(char out[static HF_BECH32_KEY_TEXT_BYTES], const char prefix[static 4],
	const uint8_t key[static 32])
{
	char copy[5];
	size_t length = 0;
	copy_prefix(copy, prefix);
	if (hf_bech32_encode(out, &length, copy, hf_slice(key, 32)) < 0)
		length = 0;
	out[length] = 0;
}

int hf_bech32_decode_key(uint8_t key[static 32], const char prefix[static 4], struct hf_slice text)
{
	char copy[5];
	uint8_t decoded[HF_BECH32_DECODED_BYTES_MAX(HF_BECH32_KEY_TEXT_BYTES)];
	size_t length;
	copy_prefix(copy, prefix);
	if (text.length != HF_BECH32_KEY_TEXT_BYTES - 1)
		return HF_EMALFORMED;
	int status = hf_bech32_decode(decoded, &length, copy, text);
	if (status == HF_OK && length != 32)
		status = HF_EMALFORMED;
	if (status == HF_OK)
		memcpy(key, decoded, 32);
	explicit_bzero(decoded, sizeof decoded);
	return status;
}
