/* schnorr: BIP-340 signatures over secp256k1, as Nostr signs its events.
 *
 * A context keeps the parsed form of the public keys that it met lately, since parsing one (a square root) is
 * a seventh of a check and few authors write most events. Its memory is fixed when it is made. It is not
 * thread-safe: every worker has its own.
 */
#ifndef HF_CRYPTO_SCHNORR_H
#define HF_CRYPTO_SCHNORR_H

#include "base/env.h"

#define HF_SCHNORR_SECRET_BYTES 32
#define HF_SCHNORR_PUBLIC_BYTES 32 /* x only */
#define HF_SCHNORR_MESSAGE_BYTES 32
#define HF_SCHNORR_SIGNATURE_BYTES 64
#define HF_SCHNORR_CACHE_KEYS 4096 /* 400 kB */

struct hf_schnorr;

/* cache_key_count is rounded up to a power of two; 0 keeps none. env gives random bytes (cache seed, blinding,
 * keys) and must outlive the context. HF_ENOMEM. */
int hf_schnorr_new(struct hf_schnorr **out, struct hf_env *env, size_t cache_key_count);
void hf_schnorr_free(struct hf_schnorr *schnorr); /* NULL is fine */

/* HF_OK, or HF_EBADSIG: also for a public key that is not on the curve. */
int hf_schnorr_verify(struct hf_schnorr *schnorr, const uint8_t signature[static HF_SCHNORR_SIGNATURE_BYTES],
		      const uint8_t message[static HF_SCHNORR_MESSAGE_BYTES],
		      const uint8_t public_key[static HF_SCHNORR_PUBLIC_BYTES]);

/* Draws the 32 auxiliary random bytes from env. HF_EINVAL when the secret is 0 or not below the group's order. */
int hf_schnorr_sign(struct hf_schnorr *schnorr, uint8_t signature[static HF_SCHNORR_SIGNATURE_BYTES],
		    const uint8_t message[static HF_SCHNORR_MESSAGE_BYTES],
		    const uint8_t secret[static HF_SCHNORR_SECRET_BYTES]);
/* The same with given auxiliary bytes, for the test vectors. */
int hf_schnorr_sign_with(struct hf_schnorr *schnorr, uint8_t signature[static HF_SCHNORR_SIGNATURE_BYTES],
			 const uint8_t message[static HF_SCHNORR_MESSAGE_BYTES],
			 const uint8_t secret[static HF_SCHNORR_SECRET_BYTES], const uint8_t auxiliary[static 32]);

/* HF_EINVAL as above. */
int hf_schnorr_public_key(struct hf_schnorr *schnorr, uint8_t public_key[static HF_SCHNORR_PUBLIC_BYTES],
			  const uint8_t secret[static HF_SCHNORR_SECRET_BYTES]);
/* The x coordinate of secret times the point of public_key whose y is even: what both sides of a Diffie-Hellman over Nostr keys have in
 * common, whatever the parity of theirs. HF_EINVAL: the secret as above, or a public key that is not on the curve. */
int hf_schnorr_shared_x(struct hf_schnorr *schnorr, uint8_t shared[static 32], const uint8_t secret[static HF_SCHNORR_SECRET_BYTES],
	const uint8_t public_key[static HF_SCHNORR_PUBLIC_BYTES]);
/* A fresh key pair; secret should point into an hf_secret. */
void hf_schnorr_generate(struct hf_schnorr *schnorr, uint8_t secret[static HF_SCHNORR_SECRET_BYTES],
			 uint8_t public_key[static HF_SCHNORR_PUBLIC_BYTES]);

#endif
