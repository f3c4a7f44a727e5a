/* SHA-256 goes through OpenSSL's low-level calls: they run the same assembly as EVP, but EVP looks its
 * algorithm up and allocates at every call, which for an event of some hundred bytes costs more than the hash. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "crypto/hash.h"

#include <openssl/sha.h>
#include <sodium.h>

#include "base/error.h"

#define SHA256_BLOCK_BYTES 64

_Static_assert(sizeof(struct hf_sha256) == sizeof(SHA256_CTX), "room for OpenSSL's state");

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

bool hf_bytes_equal_secret(const void *a, const void *b, size_t length)
{
	return sodium_memcmp(a, b, length) == 0;
}
