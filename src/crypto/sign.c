/* libsodium's: it signs in half of OpenSSL's time and checks in little more than half. */
#include "crypto/sign.h"

#include <sodium.h>

#include "base/error.h"
#include "crypto/secret.h"

void hf_sign_keypair_from_seed(uint8_t public_key[static HF_SIGN_PUBLIC_BYTES], uint8_t secret_key[static HF_SIGN_SECRET_BYTES],
	const uint8_t seed[static HF_SIGN_SEED_BYTES])
{
	crypto_sign_ed25519_seed_keypair(public_key, secret_key, seed);
}

void hf_sign_keypair_generate(uint8_t public_key[static HF_SIGN_PUBLIC_BYTES], uint8_t secret_key[static HF_SIGN_SECRET_BYTES],
	struct hf_env *env)
{
	uint8_t seed[HF_SIGN_SEED_BYTES];

	env->random(env, seed, sizeof seed);
	hf_sign_keypair_from_seed(public_key, secret_key, seed);
	hf_wipe(seed, sizeof seed);
}

void hf_sign(uint8_t signature[static HF_SIGN_SIGNATURE_BYTES], struct hf_slice message,
	const uint8_t secret_key[static HF_SIGN_SECRET_BYTES])
{
	crypto_sign_ed25519_detached(signature, NULL, message.data, message.length, secret_key);
}

int hf_verify(const uint8_t signature[static HF_SIGN_SIGNATURE_BYTES], struct hf_slice message,
	const uint8_t public_key[static HF_SIGN_PUBLIC_BYTES])
{
	return crypto_sign_ed25519_verify_detached(signature, message.data, message.length, public_key) == 0 ? HF_OK : HF_EBADSIG;
}
