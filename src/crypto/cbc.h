/* cbc: AES-256 in CBC mode with PKCS #7 padding (FIPS 197; SP 800-38A), and what Hypertuna takes for it: its peers read the state by rows
 * where AES reads it by columns. (Gateway specification, section 1.10)
 *
 * It hides, and proves nothing: it has no authentication of its own. It is for the challenge of section 1.9 and for nothing new. There is
 * no decryption, since who knows what must be in a ciphertext can make it and compare. Nothing here depends on secrets in its time or its
 * addresses.
 */
#ifndef HF_CRYPTO_CBC_H
#define HF_CRYPTO_CBC_H

#include "base/bytes.h"

#define HF_CBC_KEY_BYTES 32
#define HF_CBC_BLOCK_BYTES 16
#define HF_CBC_ENCRYPTED_BYTES(length) ((length) / HF_CBC_BLOCK_BYTES * HF_CBC_BLOCK_BYTES + HF_CBC_BLOCK_BYTES)

enum hf_cbc_cipher { HF_CBC_AES_256, HF_CBC_HYPERTUNA };

/* Writes HF_CBC_ENCRYPTED_BYTES(input.length) bytes, which may not overlap the input. */
void hf_cbc_encrypt(uint8_t *out, enum hf_cbc_cipher cipher, const uint8_t key[static HF_CBC_KEY_BYTES],
	const uint8_t iv[static HF_CBC_BLOCK_BYTES], struct hf_slice input);

#endif
