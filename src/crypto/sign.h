/* sign: Ed25519 key pairs and signatures. (RFC 8032)
 *
 * A secret key is the seed and the public key behind it, 64 bytes, so that signing derives nothing anew; it belongs into an
 * hf_secret or is wiped with hf_wipe. hf_crypto_init comes first.
 */
#ifndef HF_CRYPTO_SIGN_H
#define HF_CRYPTO_SIGN_H

#include "base/env.h"

#define HF_SIGN_SEED_BYTES 32
#define HF_SIGN_PUBLIC_BYTES 32
#define HF_SIGN_SECRET_BYTES 64
#define HF_SIGN_SIGNATURE_BYTES 64

HF_API void hf_sign_keypair_from_seed(uint8_t public_key[static HF_SIGN_PUBLIC_BYTES], uint8_t secret_key[static HF_SIGN_SECRET_BYTES],
	const uint8_t seed[static HF_SIGN_SEED_BYTES]);
/* A fresh one; the seed is drawn from env. */
HF_API void hf_sign_keypair_generate(uint8_t public_key[static HF_SIGN_PUBLIC_BYTES], uint8_t secret_key[static HF_SIGN_SECRET_BYTES],
	struct hf_env *env);
static inline const uint8_t *hf_sign_public_key(const uint8_t secret_key[static HF_SIGN_SECRET_BYTES])
{
	return secret_key + HF_SIGN_SEED_BYTES;
}

HF_API void hf_sign(uint8_t signature[static HF_SIGN_SIGNATURE_BYTES], struct hf_slice message,
	const uint8_t secret_key[static HF_SIGN_SECRET_BYTES]);
/* HF_OK, or HF_EBADSIG: also for a public key that is no point or one of small order. */
HF_API int hf_verify(const uint8_t signature[static HF_SIGN_SIGNATURE_BYTES], struct hf_slice message,
	const uint8_t public_key[static HF_SIGN_PUBLIC_BYTES]);

#endif
