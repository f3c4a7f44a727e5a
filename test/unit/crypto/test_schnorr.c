/* The vectors are those of BIP-340 (test-vectors.csv) with messages of 32 bytes. */
#include "crypto/schnorr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "crypto/secret.h"

struct vector {
	const char *secret, *public_key, *auxiliary, *message, *signature;
	int result;
};

#define ZERO32 "0000000000000000000000000000000000000000000000000000000000000000"
#define ONES32 "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF"
#define KEY1 "DFF1D77F2A671C5F36183726DB2341BE58FEAE1DA2DECED843240F7B502BA659"
#define MESSAGE1 "243F6A8885A308D313198A2E03707344A4093822299F31D0082EFA98EC4E6C89"
#define R5 "6CFF5C3BA86C69EA4B7376F31A9BCB4F74C1976089B2D9963DA2E5543E177769"
#define S5 "69E89B4C5564D00349106B8497785DD7D1D713A8AE82B32FA79D5F7FC407D39B"

static const struct vector vectors[] = {
	{"0000000000000000000000000000000000000000000000000000000000000003",
	 "F9308A019258C31049344F85F89D5229B531C845836F99B08601F113BCE036F9", ZERO32, ZERO32,
	 "E907831F80848D1069A5371B402410364BDF1C5F8307B0084C55F1CE2DCA8215"
	 "25F66A4A85EA8B71E482A74F382D2CE5EBEEE8FDB2172F477DF4900D310536C0", HF_OK},
	{"B7E151628AED2A6ABF7158809CF4F3C762E7160F38B4DA56A784D9045190CFEF", KEY1,
	 "0000000000000000000000000000000000000000000000000000000000000001", MESSAGE1,
	 "6896BD60EEAE296DB48A229FF71DFE071BDE413E6D43F917DC8DCF8C78DE3341"
	 "8906D11AC976ABCCB20B091292BFF4EA897EFCB639EA871CFA95F6DE339E4B0A", HF_OK},
	{"C90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B14E5C9",
	 "DD308AFEC5777E13121FA72B9CC1B7CC0139715309B086C960E18FD969774EB8",
	 "C87AA53824B4D7AE2EB035A2B5BBBCCC080E76CDC6D1692C4B0B62D798E6D906",
	 "7E2D58D8B3BCDF1ABADEC7829054F90DDA9805AAB56C77333024B9D0A508B75C",
	 "5831AAEED7B44BB74E5EAB94BA9D4294C49BCF2A60728D8B4C200F50DD313C1B"
	 "AB745879A5AD954A72C45A91C3A51D3C7ADEA98D82F8481E0E1E03674A6F3FB7", HF_OK},
	{"0B432B2677937381AEF05BB02A66ECD012773062CF3FA2549E44F58ED2401710",
	 "25D1DFF95105F5253C4022F628A996AD3A0D95FBF21D468A1B33F8C160D8F517", ONES32, ONES32,
	 "7EB0509757E246F19449885651611CB965ECC1A187DD51B64FDA1EDC9637D5EC"
	 "97582B9CB13DB3933705B32BA982AF5AF25FD78881EBB32771FC5922EFC66EA3", HF_OK},
	{NULL, "D69C3509BB99E412E68B0FE8544E72837DFA30746D8BE2AA65975F29D22DC7B9", NULL,
	 "4DF3C3F68FCC83B27E9D42C90431A72499F17875C81A599B566C9889B9696703",
	 "00000000000000000000003B78CE563F89A0ED9414F5AA28AD0D96D6795F9C63"
	 "76AFB1548AF603B3EB45C9F8207DEE1060CB71C04E80F593060B07D28308D7F4", HF_OK},
	/* public key not on the curve */
	{NULL, "EEFDEA4CDB677750A420FEE807EACF21EB9898AE79B9768766E4FAA04A2D4A34", NULL, MESSAGE1, R5 S5, HF_EBADSIG},
	/* R with an odd y */
	{NULL, KEY1, NULL, MESSAGE1,
	 "FFF97BD5755EEEA420453A14355235D382F6472F8568A18B2F057A1460297556"
	 "3CC27944640AC607CD107AE10923D9EF7A73C643E166BE5EBEAFA34B1AC553E2", HF_EBADSIG},
	/* negated message, negated s */
	{NULL, KEY1, NULL, MESSAGE1,
	 "1FA62E331EDBC21C394792D2AB1100A7B432B013DF3F6FF4F99FCB33E0E1515F"
	 "28890B3EDB6E7189B630448B515CE4F8622A954CFE545735AAEA5134FCCDB2BD", HF_EBADSIG},
	{NULL, KEY1, NULL, MESSAGE1, R5 "961764B3AA9B2FFCB6EF947B6887A226E8D7C93E00C5ED0C1834FF0D0C2E6DA6", HF_EBADSIG},
	/* sG - eP is infinite */
	{NULL, KEY1, NULL, MESSAGE1, ZERO32 "123DDA8328AF9C23A94C1FEECFD123BA4FB73476F0D594DCB65C6425BD186051",
	 HF_EBADSIG},
	{NULL, KEY1, NULL, MESSAGE1,
	 "0000000000000000000000000000000000000000000000000000000000000001"
	 "7615FBAF5AE28864013C099742DEADB4DBA87F11AC6754F93780D5A1837CF197", HF_EBADSIG},
	/* r not on the curve, r the field's size, s the group's order, public key above the field's size */
	{NULL, KEY1, NULL, MESSAGE1, "4A298DACAE57395A15D0795DDBFD1DCB564DA82B0F269BC70A74F8220429BA1D" S5, HF_EBADSIG},
	{NULL, KEY1, NULL, MESSAGE1, "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFFC2F" S5, HF_EBADSIG},
	{NULL, KEY1, NULL, MESSAGE1, R5 "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141", HF_EBADSIG},
	{NULL, "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFFC30", NULL, MESSAGE1, R5 S5, HF_EBADSIG},
};
#define VECTOR_COUNT (sizeof vectors / sizeof *vectors)

static struct hf_env env;

static void from_hex(uint8_t *out, const char *hex)
{
	for (; *hex; hex += 2) {
		unsigned byte;
		assert_int_equal(sscanf(hex, "%2x", &byte), 1);
		*out++ = (uint8_t)byte;
	}
}

static struct hf_schnorr *new_context(size_t cache_key_count)
{
	struct hf_schnorr *schnorr;
	assert_int_equal(hf_schnorr_new(&schnorr, &env, cache_key_count), HF_OK);
	return schnorr;
}

static void check_vectors(struct hf_schnorr *schnorr)
{
	uint8_t public_key[32], message[32], signature[64];
	for (size_t i = 0; i < VECTOR_COUNT; i++) {
		from_hex(public_key, vectors[i].public_key);
		from_hex(message, vectors[i].message);
		from_hex(signature, vectors[i].signature);
		assert_int_equal(hf_schnorr_verify(schnorr, signature, message, public_key), vectors[i].result);
	}
}

static void test_vectors_verify_with_and_without_cache(void **state)
{
	static const size_t cache_key_counts[] = {0, 1, 5, HF_SCHNORR_CACHE_KEYS};
	for (size_t i = 0; i < 4; i++) {
		struct hf_schnorr *schnorr = new_context(cache_key_counts[i]);
		for (int repeat = 0; repeat < 3; repeat++)
			check_vectors(schnorr);
		hf_schnorr_free(schnorr);
	}
}

static void test_vectors_sign(void **state)
{
	struct hf_schnorr *schnorr = new_context(0);
	uint8_t secret[32], auxiliary[32], message[32], expected[64], result[64];
	for (size_t i = 0; i < VECTOR_COUNT && vectors[i].secret; i++) {
		from_hex(secret, vectors[i].secret);
		from_hex(auxiliary, vectors[i].auxiliary);
		from_hex(message, vectors[i].message);
		from_hex(expected, vectors[i].public_key);
		assert_int_equal(hf_schnorr_public_key(schnorr, result, secret), HF_OK);
		assert_memory_equal(result, expected, 32);
		from_hex(expected, vectors[i].signature);
		assert_int_equal(hf_schnorr_sign_with(schnorr, result, message, secret, auxiliary), HF_OK);
		assert_memory_equal(result, expected, 64);
	}
	memset(secret, 0, sizeof secret);
	assert_int_equal(hf_schnorr_public_key(schnorr, result, secret), HF_EINVAL);
	memset(secret, 0xff, sizeof secret);
	assert_int_equal(hf_schnorr_sign(schnorr, result, message, secret), HF_EINVAL);
	hf_schnorr_free(schnorr);
}

/* More keys than the cache holds, each checked good and with a neighbour's key. */
static void test_cache_never_mixes_keys(void **state)
{
	enum { COUNT = 64 };
	static uint8_t public_keys[COUNT][32], signatures[COUNT][64];
	uint8_t secret[32], message[32] = {7};
	struct hf_schnorr *schnorr = new_context(16);
	for (int i = 0; i < COUNT; i++) {
		hf_schnorr_generate(schnorr, secret, public_keys[i]);
		assert_int_equal(hf_schnorr_sign(schnorr, signatures[i], message, secret), HF_OK);
	}
	for (int i = 0; i < 6 * COUNT; i++) {
		int at = i % 3 ? i * 7 % COUNT : i % 8;
		assert_int_equal(hf_schnorr_verify(schnorr, signatures[at], message, public_keys[at]), HF_OK);
		assert_int_equal(hf_schnorr_verify(schnorr, signatures[at], message, public_keys[(at + 1) % COUNT]),
				 HF_EBADSIG);
	}
	hf_schnorr_free(schnorr);
}

static void test_secrets(void **state)
{
	struct hf_secret a, b;
	assert_int_equal(hf_secret_random(&a, &env, 32), HF_OK);
	assert_int_equal(hf_secret_copy(&b, hf_secret_slice(&a)), HF_OK);
	assert_true(hf_secret_equal(&a, &b));
	b.data[31] ^= 1;
	assert_false(hf_secret_equal(&a, &b));
	hf_secret_free(&a);
	hf_secret_free(&a);
	hf_secret_free(&b);
	assert_null(b.data);
	assert_int_equal(hf_secret_new(&a, HF_SECRET_BYTES_MAX + 1), HF_ETOOBIG);
	assert_int_equal(hf_secret_new(&a, 0), HF_OK);
	hf_secret_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors_verify_with_and_without_cache),
		cmocka_unit_test(test_vectors_sign),
		cmocka_unit_test(test_cache_never_mixes_keys),
		cmocka_unit_test(test_secrets),
	};
	hf_env_system(&env);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
