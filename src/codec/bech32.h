/* bech32: checksummed text for keys that people copy. (BIP 173; NIP-19 for npub, nsec and note) */
#ifndef HF_CODEC_BECH32_H
#define HF_CODEC_BECH32_H

#include "base/bytes.h"
#include "base/error.h"

/* NIP-19 goes beyond the 90 characters of BIP 173 for what carries relays; 5,000 is its own advice. */
#define HF_BECH32_TEXT_BYTES_MAX 5000
#define HF_BECH32_PREFIX_BYTES_MAX 83
/* Characters of an encoded text, and bytes that a decoded one needs at most. */
#define HF_BECH32_ENCODED_BYTES(prefix_length, length) ((prefix_length) + 1 + ((length) * 8 + 4) / 5 + 6)
#define HF_BECH32_DECODED_BYTES_MAX(length) ((length) * 5 / 8)

/* Writes HF_BECH32_ENCODED_BYTES characters, no final NUL, and sets *out_length. prefix is lower-case text of 1 to
 * HF_BECH32_PREFIX_BYTES_MAX characters 33 to 126. HF_EINVAL for another prefix, HF_ETOOBIG past
 * HF_BECH32_TEXT_BYTES_MAX. */
int hf_bech32_encode(char *out, size_t *out_length, const char *prefix, struct hf_slice data);
/* Reads a text with this prefix, all lower or all upper case; out needs HF_BECH32_DECODED_BYTES_MAX(text.length) bytes.
 * HF_EMALFORMED (character, case, padding), HF_EBADSIG (checksum), HF_EINVAL (another prefix), HF_ETOOBIG. */
int hf_bech32_decode(uint8_t *out, size_t *out_length, const char *prefix, struct hf_slice text);

/* 32-byte keys: "npub", "nsec", "note". With a final NUL. */
#define HF_BECH32_KEY_TEXT_BYTES (4 + 1 + 52 + 6 + 1)
void hf_bech32_encode_key(char out[static HF_BECH32_KEY_TEXT_BYTES], const char prefix[static 4],
	const uint8_t key[static 32]);
int hf_bech32_decode_key(uint8_t key[static 32], const char prefix[static 4], struct hf_slice text);

#endif
