/* AES-256-CBC against OpenSSL; Hypertuna's variant, and the secret that two Nostr keys share, against what its peers make. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "base/env.h"
#include "codec/base64.h"
#include "crypto/cbc.h"
#include "crypto/hash.h"
#include "crypto/schnorr.h"
#include "support/vectors.h"

#define TRY_COUNT 200

static json_t *vectors;
static struct hf_env env;

static void test_it_is_aes_256_in_cbc_mode(void **state)
{
	uint8_t key[32], iv[16], input[100], out[HF_CBC_ENCRYPTED_BYTES(sizeof input)], expected[sizeof out + 16];
	EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
	for (size_t i = 0; i < TRY_COUNT; i++) {
		size_t length = i % sizeof input;
		int first, last;
		env.random(&env, key, sizeof key);
		env.random(&env, iv, sizeof iv);
		env.random(&env, input, sizeof input);
		hf_cbc_encrypt(out, HF_CBC_AES_256, key, iv, hf_slice(input, length));
		assert_true(EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key, iv));
		assert_true(EVP_EncryptUpdate(cipher, expected, &first, input, (int)length));
		assert_true(EVP_EncryptFinal_ex(cipher, expected + first, &last));
		assert_int_equal(first + last, HF_CBC_ENCRYPTED_BYTES(length));
		assert_memory_equal(out, expected, HF_CBC_ENCRYPTED_BYTES(length));
	}
	EVP_CIPHER_CTX_free(cipher);
}

static void test_the_variant_is_that_of_the_vectors(void **state)
{
	const json_t *variant = vectors_get(vectors, "aesVariant");
	uint8_t key[32], block[16], zero[16] = {0}, out[HF_CBC_ENCRYPTED_BYTES(sizeof block)];
	assert_int_equal(json_object_size(vectors), 8);
	assert_int_equal(json_object_size(variant), 6);
	vectors_bytes(key, sizeof key, variant, "keyHex");
	vectors_bytes(block, sizeof block, variant, "blockHex");
	hf_cbc_encrypt(out, HF_CBC_HYPERTUNA, key, zero, hf_slice(block, sizeof block));
	vectors_expect(variant, "variantBlockHex", out, 16);
	vectors_expect(variant, "cbcZeroIvWithPaddingHex", out, sizeof out);
	hf_cbc_encrypt(out, HF_CBC_AES_256, key, zero, hf_slice(block, sizeof block));
	vectors_expect(variant, "standardAesBlockHex", out, 16);
}

static void check_side(struct hf_schnorr *schnorr, const json_t *join, const char *secret_name, const char *public_name, uint8_t shared[static 32])
{
	uint8_t secret[32], public_key[32];
	vectors_bytes(secret, sizeof secret, join, secret_name);
	vectors_bytes(public_key, sizeof public_key, join, public_name);
	assert_int_equal(hf_schnorr_shared_x(schnorr, shared, secret, public_key), HF_OK);
	vectors_expect(join, "sharedSecretX", shared, 32);
}

static void test_both_sides_of_a_challenge_come_to_the_same_ciphertext(void **state)
{
	const json_t *join = vectors_get(vectors, "joinChallenge");
	struct hf_slice challenge = hf_slice_text(vectors_text(join, "challengeHexString")), iv_text = hf_slice_text(vectors_text(join, "ivBase64"));
	uint8_t shared[32], iv[18], out[HF_CBC_ENCRYPTED_BYTES(64)];
	char text[HF_BASE64_ENCODED_BYTES(sizeof out) + 1] = {0};
	struct hf_schnorr *schnorr;
	size_t length;
	assert_int_equal(json_object_size(join), 12);
	assert_int_equal(hf_schnorr_new(&schnorr, &env, 0), HF_OK);
	check_side(schnorr, join, "relayPrivHex", "userPubXonly", shared);
	check_side(schnorr, join, "userPrivHex", "relayPubXonly", shared);
	hf_schnorr_free(schnorr);
	assert_int_equal(challenge.length, 64);
	assert_true(hf_base64_decode(iv, iv_text.data, iv_text.length, &length) && length == 16);
	hf_cbc_encrypt(out, HF_CBC_HYPERTUNA, shared, iv, challenge);
	hf_base64_encode(text, out, sizeof out);
	assert_string_equal(text, vectors_text(join, "ciphertextBase64"));
}

static void test_nothing_is_shared_with_what_is_no_key(void **state)
{
	uint8_t shared[32], secret[32] = {[31] = 1}, zero[32] = {0}, above[32], point[32];
	struct hf_schnorr *schnorr;
	assert_int_equal(hf_schnorr_new(&schnorr, &env, 0), HF_OK);
	assert_int_equal(hf_schnorr_public_key(schnorr, point, secret), HF_OK);
	memset(above, 0xff, sizeof above);
	assert_int_equal(hf_schnorr_shared_x(schnorr, shared, secret, point), HF_OK);
	assert_memory_equal(shared, point, sizeof shared);
	assert_int_equal(hf_schnorr_shared_x(schnorr, shared, zero, point), HF_EINVAL);
	assert_int_equal(hf_schnorr_shared_x(schnorr, shared, above, point), HF_EINVAL);
	assert_int_equal(hf_schnorr_shared_x(schnorr, shared, secret, above), HF_EINVAL);
	hf_schnorr_free(schnorr);
}

static int set_up(void **state)
{
	hf_env_system(&env);
	vectors = vectors_load("gateway-crypto.json");
	return hf_crypto_init();
}

static int tear_down(void **state)
{
	json_decref(vectors);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_it_is_aes_256_in_cbc_mode),
		cmocka_unit_test(test_the_variant_is_that_of_the_vectors),
		cmocka_unit_test(test_both_sides_of_a_challenge_come_to_the_same_ciphertext),
		cmocka_unit_test(test_nothing_is_shared_with_what_is_no_key),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
