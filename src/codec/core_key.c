#include "codec/core_key.h"

#include "codec/hex.h"
#include "codec/zbase32.h"

#define HEX_BYTES 64

void hf_core_key_encode(char out[static HF_CORE_ID_BYTES], const uint8_t key[static 32])
{
	hf_zbase32_encode(out, key, 32);
	out[HF_CORE_ID_BYTES - 1] = 0;
}

/* What is left of a link. */
static struct hf_slice without_link(struct hf_slice text)
{
	static const struct hf_slice scheme = HF_SLICE_LITERAL("pear://");
	const uint8_t *slash;

	if (text.length < scheme.length || memcmp(text.data, scheme.data, scheme.length) != 0)
		return text;
	text = hf_slice(text.data + scheme.length, text.length - scheme.length);
	slash = memchr(text.data, '/', text.length);
	return slash == NULL ? text : hf_slice(text.data, (size_t)(slash - text.data));
}

static bool decode_hex(uint8_t key[static 32], const uint8_t *text)
{
	char lower[HEX_BYTES];

	for (size_t i = 0; i < sizeof lower; i++)
		lower[i] = (char)(text[i] >= 'A' && text[i] <= 'F' ? text[i] | 0x20 : text[i]);
	return hf_hex_decode(key, lower, 32);
}

int hf_core_key_decode(uint8_t key[static 32], struct hf_slice text)
{
	text = without_link(text);
	if (text.length == HF_CORE_ID_BYTES - 1)
		return hf_zbase32_decode(key, text.data, text.length) ? HF_OK : HF_EMALFORMED;
	if (text.length == HEX_BYTES)
		return decode_hex(key, text.data) ? HF_OK : HF_EMALFORMED;
	return HF_EMALFORMED;
}
