/* block_cipher: how a hypercore's blocks are encrypted before they enter its tree: XSalsa20 under a nonce of the block's index and
 * an 8-byte padding in front that hides the fork. Nothing here authenticates; the tree does.
 */
#ifndef HF_CRYPTO_BLOCK_CIPHER_H
#define HF_CRYPTO_BLOCK_CIPHER_H

#include "base/bytes.h"

#define HF_BLOCK_PADDING_BYTES 8u
#define HF_ENCRYPTION_KEY_BYTES 32

/* Secret: wipe it, or keep it in an hf_secret. */
struct hf_block_cipher {
	uint8_t block_key[32];
	uint8_t blinding_key[32];
};

enum hf_block_cipher_kind {
	HF_BLOCK_CIPHER_CORE,      /* key of a core, from the encryption key and the core's key */
	HF_BLOCK_CIPHER_COMPAT,    /* the same for cores whose key is the signer's */
	HF_BLOCK_CIPHER_BLOCK_KEY, /* encryption_key is the block key itself; core_key is not used and may be NULL */
};

void hf_block_cipher_init(struct hf_block_cipher *cipher, enum hf_block_cipher_kind kind,
	const uint8_t encryption_key[static HF_ENCRYPTION_KEY_BYTES], const uint8_t *core_key);
/* In place: the block is HF_BLOCK_PADDING_BYTES of room and the plaintext behind it; length counts both and is not below the
 * padding. fork is the core's when the block is appended. */
void hf_block_encrypt(const struct hf_block_cipher *cipher, uint8_t *block, size_t length, uint64_t index, uint64_t fork);
/* In place: the plaintext is then behind the padding. HF_EMALFORMED when the block is shorter than that. */
int hf_block_decrypt(const struct hf_block_cipher *cipher, uint8_t *block, size_t length, uint64_t index);

#endif
