/* SHA-256 goes through OpenSSL's low-level calls: they run the same assembly as EVP, but EVP looks its
 * algorithm up and allocates at every call, which for an event of some hundred bytes costs more than the hash. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "crypto/hash.h"

#include <assert.h>
#include <openssl/sha.h>
#include <sodium.h>

#include "base/error.h"

#define SHA256_BLOCK_BYTES 64

_Static_assert(sizeof(struct hf_sha256) == sizeof(SHA256_CTX), "room for OpenSSL's state");
_Static_assert(sizeof(struct hf_blake2b) >= sizeof(crypto_generichash_blake2b_state), "room for libsodium's state");
_Static_assert(HF_BLAKE2B_BYTES_MAX == crypto_generichash_blake2b_BYTES_MAX, "RFC 7693");

int hf_crypto_init(void)
{
	return sodium_init() < 0 ? HF_EIO : HF_OK;
}

void hf_sha256(uint8_t out[static HF_SHA256_BYTES], struct hf_slice input)
{
	SHA256_CTX state;
	SHA256_Init(&state);
	SHA256_Update(&state, input.data, input.length);
	SHA256_Final(out, &state);
}

void hf_sha256_init(struct hf_sha256 *hash)
{
	SHA256_Init((SHA256_CTX *)hash);
}

void hf_sha256_update(struct hf_sha256 *hash, const void *data, size_t length)
{
	SHA256_Update((SHA256_CTX *)hash, data, length);
}

void hf_sha256_final(struct hf_sha256 *hash, uint8_t out[static HF_SHA256_BYTES])
{
	SHA256_Final(out, (SHA256_CTX *)hash);
}

void hf_hmac_sha256(uint8_t out[static HF_SHA256_BYTES], struct hf_slice key, struct hf_slice input)
{
	uint8_t block[SHA256_BLOCK_BYTES] = {0}, inner[HF_SHA256_BYTES];
	SHA256_CTX state;
	if (key.length > sizeof block)
		hf_sha256(block, key);
	else if (key.length)
		memcpy(block, key.data, key.length);

	for (size_t i = 0; i < sizeof block; i++)
		block[i] ^= 0x36;
	SHA256_Init(&state);
	SHA256_Update(&state, block, sizeof block);
	SHA256_Update(&state, input.data, input.length);
	SHA256_Final(inner, &state);

	for (size_t i = 0; i < sizeof block; i++)
		block[i] ^= 0x36 ^ 0x5c;
	SHA256_Init(&state);
	SHA256_Update(&state, block, sizeof block);
	SHA256_Update(&state, inner, sizeof inner);
	SHA256_Final(out, &state);
	sodium_memzero(block, sizeof block);
	sodium_memzero(&state, sizeof state);
}

void hf_blake2b(uint8_t *out, size_t out_length, struct hf_slice key, struct hf_slice input)
{
	struct hf_blake2b hash;
	hf_blake2b_init(&hash, out_length, key);
	hf_blake2b_update(&hash, input.data, input.length);
	hf_blake2b_final(&hash, out, out_length);
}

void hf_blake2b_init(struct hf_blake2b *hash, size_t out_length, struct hf_slice key)
{
	assert(out_length >= 1 && out_length <= HF_BLAKE2B_BYTES_MAX && key.length <= HF_BLAKE2B_KEY_BYTES_MAX);
	crypto_generichash_blake2b_init((crypto_generichash_blake2b_state *)hash, key.length ? key.data : NULL,
					key.length, out_length);
}

void hf_blake2b_update(struct hf_blake2b *hash, const void *data, size_t length)
{
	crypto_generichash_blake2b_update((crypto_generichash_blake2b_state *)hash, data, length);
}

void hf_blake2b_final(struct hf_blake2b *hash, uint8_t *out, size_t out_length)
{
	crypto_generichash_blake2b_final((crypto_generichash_blake2b_state *)hash, out, out_length);
}

bool hf_bytes_equal_secret(const void *a, const void *b, size_t length)
{
	return sodium_memcmp(a, b, length) == 0;
}
