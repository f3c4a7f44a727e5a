/* box: bytes sealed with a key that both sides have (XSalsa20 and Poly1305, libsodium's crypto_secretbox_easy). */
#ifndef HF_CRYPTO_BOX_H
#define HF_CRYPTO_BOX_H

#include "base/bytes.h"

#define HF_BOX_KEY_BYTES 32
#define HF_BOX_NONCE_BYTES 24
#define HF_BOX_OVERHEAD_BYTES 16u

/* out gets plain.length + HF_BOX_OVERHEAD_BYTES; no two boxes of a key have the same nonce. */
HF_API void hf_box_seal(uint8_t *out, struct hf_slice plain, const uint8_t nonce[static HF_BOX_NONCE_BYTES],
	const uint8_t key[static HF_BOX_KEY_BYTES]);
/* out gets sealed.length - HF_BOX_OVERHEAD_BYTES. HF_EMALFORMED when it is too short, HF_EBADSIG when it was not sealed so. */
HF_API int hf_box_open(uint8_t *out, struct hf_slice sealed, const uint8_t nonce[static HF_BOX_NONCE_BYTES],
	const uint8_t key[static HF_BOX_KEY_BYTES]);

#endif
