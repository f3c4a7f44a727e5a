#include "crypto/block_cipher.h"

#include <assert.h>
#include <sodium.h>

#include "base/error.h"
#include "crypto/hash.h"
#include "crypto/namespace.h"
#include "crypto/secret.h"

static const struct hf_slice no_key;

static void derive_core(uint8_t out[static 32], const uint8_t *core_key, const uint8_t *encryption_key)
{
	uint8_t input[HF_NAMESPACE_BYTES + 32 + 32];

	memcpy(input, hf_namespaces[HF_NAMESPACE_DEFAULT_ENCRYPTION], HF_NAMESPACE_BYTES);
	memcpy(input + HF_NAMESPACE_BYTES, core_key, 32);
	memcpy(input + HF_NAMESPACE_BYTES + 32, encryption_key, 32);
	hf_blake2b(out, 32, no_key, hf_slice(input, sizeof input));
	hf_wipe(input, sizeof input);
}

void hf_block_cipher_init(struct hf_block_cipher *cipher, enum hf_block_cipher_kind kind,
	const uint8_t encryption_key[static HF_ENCRYPTION_KEY_BYTES], const uint8_t *core_key)
{
	switch (kind) {
	case HF_BLOCK_CIPHER_CORE: derive_core(cipher->block_key, core_key, encryption_key); break;
	case HF_BLOCK_CIPHER_COMPAT:
		hf_blake2b(cipher->block_key, 32, hf_slice(core_key, 32), hf_slice(encryption_key, 32));
		break;
	case HF_BLOCK_CIPHER_BLOCK_KEY: memcpy(cipher->block_key, encryption_key, 32); break;
	}
	hf_blake2b(cipher->blinding_key, 32, no_key, hf_slice(cipher->block_key, 32));
}

static void apply(const struct hf_block_cipher *cipher, uint8_t *block, size_t length, uint64_t index)
{
	uint8_t nonce[crypto_stream_xsalsa20_NONCEBYTES] = {0};

	hf_store_le64(nonce, index);
	memcpy(nonce + 8, block, HF_BLOCK_PADDING_BYTES);
	block += HF_BLOCK_PADDING_BYTES;
	crypto_stream_xsalsa20_xor(block, block, length - HF_BLOCK_PADDING_BYTES, nonce, cipher->block_key);
}

void hf_block_encrypt(const struct hf_block_cipher *cipher, uint8_t *block, size_t length, uint64_t index, uint64_t fork)
{
	uint8_t nonce[crypto_stream_xsalsa20_NONCEBYTES] = {0};

	assert(length >= HF_BLOCK_PADDING_BYTES);
	hf_store_le64(nonce, index);
	hf_store_le64(block, fork);
	crypto_stream_xsalsa20_xor(block, block, HF_BLOCK_PADDING_BYTES, nonce, cipher->blinding_key);
	apply(cipher, block, length, index);
}

int hf_block_decrypt(const struct hf_block_cipher *cipher, uint8_t *block, size_t length, uint64_t index)
{
	if (length < HF_BLOCK_PADDING_BYTES)
		return HF_EMALFORMED;
	apply(cipher, block, length, index);
	return HF_OK;
}
