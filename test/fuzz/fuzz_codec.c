/* fuzz_codec: hex, base64 and bech32 give back what they read, or refuse it.
 * Covers: src/codec/hex.c src/codec/base64.c src/codec/bech32.c */
#include "fuzz.h"

#include "codec/base64.h"
#include "codec/bech32.h"
#include "codec/hex.h"

static void check_hex(struct hf_slice text, uint8_t *bytes, uint8_t *again)
{
	size_t length = text.length / 2;
	bool decoded = hf_hex_decode(bytes, text.data, length);
	FUZZ_CHECK(decoded == (hf_hex_run(text.data, 2 * length) == 2 * length));
	hf_hex_encode(again, bytes, length);
	if (decoded)
		FUZZ_CHECK(hf_slice_equal(hf_slice(again, 2 * length), hf_slice(text.data, 2 * length)));
	hf_hex_encode(again, text.data, text.length);
	FUZZ_CHECK(hf_hex_decode(bytes, again, text.length));
	FUZZ_CHECK(hf_slice_equal(hf_slice(bytes, text.length), text));
}

static void check_base64(struct hf_slice text, uint8_t *bytes, uint8_t *again)
{
	size_t length;
	if (hf_base64_decode(bytes, text.data, text.length, &length)) {
		FUZZ_CHECK(length <= HF_BASE64_DECODED_BYTES_MAX(text.length));
		FUZZ_CHECK(hf_slice_equal(hf_slice(again, hf_base64_encode(again, bytes, length)), text));
	}
	size_t encoded = hf_base64_encode(again, text.data, text.length);
	FUZZ_CHECK(hf_base64_decode(bytes, again, encoded, &length));
	FUZZ_CHECK(hf_slice_equal(hf_slice(bytes, length), text));
}

static void check_bech32(struct hf_slice text, uint8_t *bytes, uint8_t *again)
{
	size_t length, encoded;
	uint8_t key[32];
	if (hf_bech32_decode(bytes, &length, "npub", text) == HF_OK) {
		FUZZ_CHECK(hf_bech32_encode((char *)again, &encoded, "npub", hf_slice(bytes, length)) == HF_OK);
		FUZZ_CHECK(encoded == text.length);
	}
	if (hf_bech32_decode_key(key, "npub", text) == HF_OK) {
		char back[HF_BECH32_KEY_TEXT_BYTES];
		hf_bech32_encode_key(back, "npub", key);
		FUZZ_CHECK(strlen(back) == text.length);
	}
	hf_bech32_decode(bytes, &length, "", text);
	if (hf_bech32_encode((char *)again, &encoded, "nevent", text) == HF_OK) {
		FUZZ_CHECK(hf_bech32_decode(bytes, &length, "nevent", hf_slice(again, encoded)) == HF_OK);
		FUZZ_CHECK(hf_slice_equal(hf_slice(bytes, length), text));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hf_slice text = hf_slice(data, size);
	uint8_t *bytes = malloc(2 * size + 64), *again = malloc(2 * size + 64);
	FUZZ_CHECK(bytes != NULL && again != NULL);
	check_hex(text, bytes, again);
	check_base64(text, bytes, again);
	check_bech32(text, bytes, again);
	free(bytes);
	free(again);
	return 0;
}
