#include "crypto/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <sodium.h>

#include "crypto/blake2b_rounds.h"

static void assert_hex(const uint8_t *bytes, size_t length, const char *hex)
{
	char text[2 * 64 + 1];
	for (size_t i = 0; i < length; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	assert_string_equal(text, hex);
}

static void test_sha256_vectors_of_fips_180(void **state)
{
	uint8_t out[HF_SHA256_BYTES];
	hf_sha256(out, HF_SLICE_LITERAL(""));
	assert_hex(out, 32, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	hf_sha256(out, HF_SLICE_LITERAL("abc"));
	assert_hex(out, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	hf_sha256(out, HF_SLICE_LITERAL("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"));
	assert_hex(out, 32, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void test_sha256_in_pieces(void **state)
{
	struct hf_sha256 hash, copy;
	uint8_t out[HF_SHA256_BYTES], block[1000];
	memset(block, 'a', sizeof block);
	hf_sha256_init(&hash);
	for (int i = 0; i < 999; i++)
		hf_sha256_update(&hash, block, sizeof block);
	copy = hash;
	for (size_t i = 0; i < sizeof block; i++)
		hf_sha256_update(&hash, block, 1);
	hf_sha256_final(&hash, out);
	assert_hex(out, 32, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
	hf_sha256_update(&copy, block, sizeof block);
	hf_sha256_final(&copy, out);
	assert_hex(out, 32, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void test_hmac_vectors_of_rfc_4231(void **state)
{
	uint8_t out[HF_SHA256_BYTES], key[131];
	memset(key, 0x0b, 20);
	hf_hmac_sha256(out, hf_slice(key, 20), HF_SLICE_LITERAL("Hi There"));
	assert_hex(out, 32, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
	hf_hmac_sha256(out, HF_SLICE_LITERAL("Jefe"), HF_SLICE_LITERAL("what do ya want for nothing?"));
	assert_hex(out, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	memset(key, 0xaa, sizeof key);
	hf_hmac_sha256(out, hf_slice(key, sizeof key),
		       HF_SLICE_LITERAL("Test Using Larger Than Block-Size Key - Hash Key First"));
	assert_hex(out, 32, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void test_blake2b_vectors(void **state)
{
	uint8_t out[HF_BLAKE2B_BYTES_MAX], again[HF_BLAKE2B_BYTES_MAX];
	struct hf_slice none = {0}, key = HF_SLICE_LITERAL("key");
	/* RFC 7693, appendix A */
	hf_blake2b(out, 64, none, HF_SLICE_LITERAL("abc"));
	assert_hex(out, 64, "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
			    "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923");
	hf_blake2b(out, 32, none, HF_SLICE_LITERAL(""));
	assert_hex(out, 32, "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
	struct hf_blake2b hash;
	hf_blake2b(out, 32, key, HF_SLICE_LITERAL("abcdef"));
	hf_blake2b_init(&hash, 32, key);
	hf_blake2b_update(&hash, "abc", 3);
	hf_blake2b_update(&hash, "def", 3);
	hf_blake2b_final(&hash, again, 32);
	assert_memory_equal(out, again, 32);
	hf_blake2b(again, 32, none, HF_SLICE_LITERAL("abcdef"));
	assert_memory_not_equal(out, again, 32);
}

static void test_secret_comparison(void **state)
{
	assert_true(hf_bytes_equal_secret("abc", "abc", 3));
	assert_false(hf_bytes_equal_secret("abc", "abd", 3));
}

/* Every length over three blocks, in two pieces, with keys and digests of several lengths. */
static void test_blake2b_agrees_with_libsodium(void **state)
{
	static const size_t key_lengths[] = {0, 16, 32, 64}, out_lengths[] = {16, 32, 64};
	uint8_t input[400], expected[64], out[64];
	struct hf_blake2b hash;

	for (size_t i = 0; i < sizeof input; i++)
		input[i] = (uint8_t)(i * 31 + 5);
	for (size_t length = 0; length <= sizeof input; length++)
		for (size_t k = 0; k < 12; k++) {
			struct hf_slice key = hf_slice(input + 3, key_lengths[k % 4]);
			size_t out_length = out_lengths[k / 4], cut = length * k / 12;
			assert_int_equal(crypto_generichash(expected, out_length, input, length, key.length ? key.data : NULL, key.length), 0);
			hf_blake2b_init(&hash, out_length, key);
			hf_blake2b_update(&hash, input, cut);
			hf_blake2b_update(&hash, input + cut, length - cut);
			hf_blake2b_final(&hash, out, out_length);
			assert_memory_equal(out, expected, out_length);
		}
}

/* Only one of the two is what this processor uses. */
static void test_blake2b_in_rows_is_as_in_words(void **state)
{
#ifdef __x86_64__
	uint64_t rows[8], words[8];
	uint8_t block[HF_BLAKE2B_BLOCK_BYTES];

	if (!__builtin_cpu_supports("avx2"))
		return;
	for (size_t i = 0; i < 8; i++)
		rows[i] = words[i] = hf_blake2b_iv[i] * (i + 3);
	for (unsigned round = 0; round < 1000; round++) {
		for (size_t i = 0; i < sizeof block; i++)
			block[i] = (uint8_t)(words[i % 8] >> i % 57 ^ i);
		hf_blake2b_compress_rows(rows, block, words[round % 8], round % 2);
		hf_blake2b_compress_words(words, block, words[round % 8], round % 2);
		assert_memory_equal(rows, words, sizeof rows);
	}
#endif
}

#define MANY 20 /* two rounds of the widest vectors, and some over */

static uint8_t many_input[MANY][2500];

/* As one after another, whatever came before and comes after. */
static void check_many(size_t count, size_t start, size_t length)
{
	struct hf_blake2b hashes[MANY];
	const uint8_t *data[MANY] = {NULL};
	uint8_t out[32], expected[32];

	for (size_t i = 0; i < count; i++) {
		hf_blake2b_init(&hashes[i], 32, hf_slice(NULL, 0));
		hf_blake2b_update(&hashes[i], many_input[i], start);
		data[i] = many_input[i] + start;
	}
	hf_blake2b_update_many(hashes, data, count, length);
	for (size_t i = 0; i < count; i++) {
		hf_blake2b_update(&hashes[i], "end", 3);
		hf_blake2b_final(&hashes[i], out, 32);
		hf_blake2b_init(&hashes[i], 32, hf_slice(NULL, 0));
		hf_blake2b_update(&hashes[i], many_input[i], start + length);
		hf_blake2b_update(&hashes[i], "end", 3);
		hf_blake2b_final(&hashes[i], expected, 32);
		assert_memory_equal(out, expected, 32);
	}
}

static void test_many_blake2b_are_as_each_alone(void **state)
{
	for (size_t i = 0; i < MANY; i++)
		for (size_t j = 0; j < sizeof many_input[i]; j++)
			many_input[i][j] = (uint8_t)(j * j >> (3 + i % 7) ^ j ^ i * 37);
	for (size_t start = 0; start < 300; start += 9)
		for (size_t length = 0; start + length < sizeof many_input[0]; length += length < 1300 ? 13 : 128)
			check_many(1 + (start + length) % MANY, start, length);
	for (size_t count = 0; count <= MANY; count++)
		for (size_t length = 500; length < 1000; length += 7)
			check_many(count, 9, length);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sha256_vectors_of_fips_180),
		cmocka_unit_test(test_sha256_in_pieces),
		cmocka_unit_test(test_hmac_vectors_of_rfc_4231),
		cmocka_unit_test(test_blake2b_vectors),
		cmocka_unit_test(test_blake2b_agrees_with_libsodium),
		cmocka_unit_test(test_blake2b_in_rows_is_as_in_words),
		cmocka_unit_test(test_many_blake2b_are_as_each_alone),
		cmocka_unit_test(test_secret_comparison),
	};
	if (hf_crypto_init() != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
