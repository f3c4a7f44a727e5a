/* Scheme A, signatures of keys and client tokens, against what Hypertuna's gateway makes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>

#include "crypto/hash.h"
#include "service/gateway/signature.h"
#include "support/vectors.h"

static json_t *vectors;

/* An object's payload as jansson writes it, in no particular order. */
static void canonical_of(const json_t *object, const char *key, struct hf_buffer *out)
{
	char *text = json_dumps(vectors_get(object, key), JSON_INDENT(2));
	hf_buffer_clear(out);
	assert_int_equal(hf_canonical(hf_slice_text(text), out), HF_OK);
	free(text);
}

static void check_one(const json_t *entry, const char *secret)
{
	struct hf_buffer canonical = {0};
	char signature[HF_SCHEME_A_BYTES];
	canonical_of(entry, "payload", &canonical);
	assert_true(hf_slice_equal(hf_buffer_slice(&canonical), hf_slice_text(vectors_text(entry, "canonical"))));
	hf_scheme_a_sign(signature, hf_slice_text(secret), hf_buffer_slice(&canonical));
	assert_memory_equal(signature, vectors_text(entry, "hmacSha256Hex"), sizeof signature);
	assert_true(hf_scheme_a_verify(hf_slice(signature, sizeof signature), hf_slice_text(secret), hf_buffer_slice(&canonical)));
	assert_false(hf_scheme_a_verify(hf_slice(signature, sizeof signature - 1), hf_slice_text(secret), hf_buffer_slice(&canonical)));
	assert_false(hf_scheme_a_verify(hf_slice(signature, sizeof signature), hf_slice_text("other"), hf_buffer_slice(&canonical)));
	assert_false(hf_scheme_a_verify(hf_slice(signature, sizeof signature), (struct hf_slice){0}, hf_buffer_slice(&canonical)));
	signature[63] ^= 1;
	assert_false(hf_scheme_a_verify(hf_slice(signature, sizeof signature), hf_slice_text(secret), hf_buffer_slice(&canonical)));
	hf_buffer_free(&canonical);
}

static void test_scheme_a_gives_the_signatures_of_the_vectors(void **state)
{
	const json_t *signature = vectors_get(vectors, "signature");
	const char *secret = vectors_text(signature, "secret");
	assert_int_equal(json_object_size(vectors), 6);
	assert_int_equal(json_object_size(signature), 6);
	check_one(signature, secret);
	check_one(vectors_get(signature, "deleteRelay"), secret);
	check_one(vectors_get(signature, "resyncComplete"), secret);
}

static void test_client_tokens_are_those_of_the_vectors(void **state)
{
	const json_t *entry = vectors_get(vectors, "clientToken");
	struct hf_slice secret = hf_slice_text(vectors_text(entry, "secret")), token = hf_slice_text(vectors_text(entry, "token"));
	struct hf_buffer canonical = {0}, out = {0};
	canonical_of(entry, "payload", &canonical);
	assert_int_equal(hf_client_token_make(hf_buffer_slice(&canonical), secret, &out), HF_OK);
	assert_true(hf_slice_equal(hf_buffer_slice(&out), token));
	hf_buffer_clear(&out);
	assert_int_equal(hf_client_token_open(token, secret, &out), HF_OK);
	canonical_of(entry, "decoded", &canonical);
	assert_true(hf_slice_equal(hf_buffer_slice(&out), hf_buffer_slice(&canonical)));
	hf_buffer_free(&canonical);
	hf_buffer_free(&out);
}

static void refuse_token(const char *text, size_t length, int status)
{
	struct hf_buffer out = {0};
	assert_int_equal(hf_client_token_open(hf_slice(text, length), HF_SLICE_LITERAL("test-secret"), &out), status);
	assert_int_equal(out.length, 0);
	hf_buffer_free(&out);
}

static void test_tokens_that_were_touched_are_refused(void **state)
{
	const char *token = vectors_text(vectors_get(vectors, "clientToken"), "token");
	size_t length = strlen(token);
	char *copy = malloc(HF_CLIENT_TOKEN_BYTES_MAX + 1);
	for (size_t i = 0; i < length; i++) {
		memcpy(copy, token, length + 1);
		copy[i] = copy[i] == 'A' ? 'B' : 'A';
		struct hf_buffer out = {0};
		int r = hf_client_token_open(hf_slice(copy, length), HF_SLICE_LITERAL("test-secret"), &out);
		assert_true(r == HF_EBADSIG || r == HF_EMALFORMED);
		hf_buffer_free(&out);
	}
	refuse_token(token, length - 1, HF_EMALFORMED);
	refuse_token("", 0, HF_EMALFORMED);
	memcpy(copy, token, length + 1);
	copy[3] = '+';
	refuse_token(copy, length, HF_EMALFORMED);
	memset(copy, 'A', HF_CLIENT_TOKEN_BYTES_MAX + 1);
	refuse_token(copy, HF_CLIENT_TOKEN_BYTES_MAX + 1, HF_ETOOBIG);
	struct hf_buffer out = {0};
	assert_int_equal(hf_client_token_open(hf_slice_text(token), HF_SLICE_LITERAL("wrong"), &out), HF_EBADSIG);
	assert_int_equal(hf_client_token_make(hf_slice(copy, HF_CLIENT_TOKEN_BYTES_MAX), HF_SLICE_LITERAL("x"), &out), HF_ETOOBIG);
	/* Signed, but no JSON. */
	assert_int_equal(hf_client_token_make(HF_SLICE_LITERAL("{"), HF_SLICE_LITERAL("test-secret"), &out), HF_OK);
	memcpy(copy, out.data, out.length);
	refuse_token(copy, out.length, HF_EMALFORMED);
	hf_buffer_free(&out);
	free(copy);
}

static void test_a_keys_signature_is_good_for_its_purpose_only(void **state)
{
	uint8_t public_key[32], secret_key[64], seed[32] = {7};
	char signature[HF_KEY_SIGNATURE_TEXT_BYTES];
	struct hf_slice message = HF_SLICE_LITERAL("{\"a\":1}");
	hf_sign_keypair_from_seed(public_key, secret_key, seed);
	assert_int_equal(hf_key_sign(signature, HF_SIGNED_CONSENT, message, secret_key), HF_OK);
	struct hf_slice text = hf_slice(signature, sizeof signature);
	assert_int_equal(hf_key_verify(text, HF_SIGNED_CONSENT, message, public_key), HF_OK);
	assert_int_equal(hf_key_verify(text, HF_SIGNED_REQUEST, message, public_key), HF_EBADSIG);
	assert_int_equal(hf_key_verify(text, HF_SIGNED_CONSENT, HF_SLICE_LITERAL("{\"a\":2}"), public_key), HF_EBADSIG);
	text.length--;
	assert_int_equal(hf_key_verify(text, HF_SIGNED_CONSENT, message, public_key), HF_EBADSIG);
	signature[0] = 'G';
	assert_int_equal(hf_key_verify(hf_slice(signature, sizeof signature), HF_SIGNED_CONSENT, message, public_key), HF_EBADSIG);
}

static int load(void **state)
{
	vectors = vectors_load("gateway-auth.json");
	return hf_crypto_init();
}

static int drop(void **state)
{
	json_decref(vectors);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scheme_a_gives_the_signatures_of_the_vectors),
		cmocka_unit_test(test_client_tokens_are_those_of_the_vectors),
		cmocka_unit_test(test_tokens_that_were_touched_are_refused),
		cmocka_unit_test(test_a_keys_signature_is_good_for_its_purpose_only),
	};
	return cmocka_run_group_tests(tests, load, drop);
}
