/* bech32: the vectors of BIP 173 and NIP-19, round trips at every length, and texts that are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codec/bech32.h"
#include "codec/hex.h"

static void test_keys_of_nip_19(void **state)
{
	(void)state;
	static const char *const vectors[][3] = {
		{"npub", "7e7e9c42a91bfef19fa929e5fda1b72e0ebc1a4c1141673e2794234d86addf4e",
			"npub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8qzvjptg"},
		{"nsec", "67dea2ed018072d675f5415ecfaed7d2597555e202d85b3d65ea4e58d2d92ffa",
			"nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe5"},
		{"npub", "3bf0c63fcb93463407af97a5e5ee64fa883d107ef9e558472c4eb9aaaefa459d",
			"npub180cvv07tjdrrgpa0j7j7tmnyl2yr6yr7l8j4s3evf6u64th6gkwsyjh6w6"},
	};
	for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
		uint8_t key[32], back[32];
		char text[HF_BECH32_KEY_TEXT_BYTES];
		assert_true(hf_hex_decode(key, vectors[i][1], 32));
		hf_bech32_encode_key(text, vectors[i][0], key);
		assert_string_equal(text, vectors[i][2]);
		assert_int_equal(hf_bech32_decode_key(back, vectors[i][0], hf_slice_text(text)), HF_OK);
		assert_memory_equal(back, key, 32);
		assert_int_equal(hf_bech32_decode_key(back, "note", hf_slice_text(text)), HF_EINVAL);
		text[20] = text[20] == 'q' ? 'p' : 'q';
		assert_int_equal(hf_bech32_decode_key(back, vectors[i][0], hf_slice_text(text)), HF_EBADSIG);
		assert_int_equal(hf_bech32_decode_key(back, vectors[i][0], hf_slice(text, 62)), HF_EMALFORMED);
	}
}

static void test_valid_texts_of_bip_173(void **state)
{
	(void)state;
	uint8_t out[64];
	size_t length;
	assert_int_equal(hf_bech32_decode(out, &length, "a", HF_SLICE_LITERAL("A12UEL5L")), HF_OK);
	assert_int_equal(length, 0);
	assert_int_equal(hf_bech32_decode(out, &length, "a", HF_SLICE_LITERAL("a12uel5l")), HF_OK);
	assert_int_equal(hf_bech32_decode(out, &length, "abcdef",
		HF_SLICE_LITERAL("abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw")), HF_OK);
	assert_int_equal(length, 20);
	assert_int_equal(hf_bech32_decode(out, &length, "?", HF_SLICE_LITERAL("?1ezyfcl")), HF_OK);
}

static void test_wrong_texts_are_refused(void **state)
{
	(void)state;
	static const struct {
		const char *prefix, *text;
		int status;
	} cases[] = {
		{"a", "A12uEL5L", HF_EMALFORMED},  /* mixed case */
		{"a", "a12uel5m", HF_EBADSIG},
		{"a", "a12uel5", HF_EMALFORMED},   /* too short for a checksum */
		{"a", "a1b2uel5l", HF_EMALFORMED}, /* b is no character of it */
		{"a", "a1", HF_EMALFORMED},
		{"a", "a1q3g6mn3", HF_EMALFORMED}, /* a character that is all padding */
		{"a", "a1qpamnt9j", HF_EMALFORMED}, /* padding that is not zero */
		{"a", "a1qqqd87cq", HF_OK},
		{"a", "a", HF_EINVAL},
		{"a", "", HF_EINVAL},
		{"b", "a12uel5l", HF_EINVAL},
		{"", "12uel5l", HF_EINVAL},
		{"A", "A12UEL5L", HF_EINVAL},
		{"split", "split1checkupstagehandshakeupstreamerranterredcaperredlc445v", HF_EBADSIG},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		uint8_t out[64];
		size_t length;
		int status = hf_bech32_decode(out, &length, cases[i].prefix, hf_slice_text(cases[i].text));
		if (status != cases[i].status)
			fail_msg("%s: %d", cases[i].text, status);
	}
}

static void test_round_trips_and_bounds(void **state)
{
	(void)state;
	static uint8_t data[4000], back[4000];
	static char text[HF_BECH32_TEXT_BYTES_MAX + 1];
	size_t length, decoded;
	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)(i * 151 + 7);
	for (size_t size = 0; size < 200; size++) {
		assert_int_equal(hf_bech32_encode(text, &length, "nevent", hf_slice(data, size)), HF_OK);
		assert_int_equal(length, HF_BECH32_ENCODED_BYTES(6, size));
		assert_int_equal(hf_bech32_decode(back, &decoded, "nevent", hf_slice(text, length)), HF_OK);
		assert_int_equal(decoded, size);
		assert_memory_equal(back, data, size);
	}
	assert_int_equal(hf_bech32_encode(text, &length, "nevent", hf_slice(data, 3116)), HF_OK);
	assert_int_equal(hf_bech32_decode(back, &decoded, "nevent", hf_slice(text, length)), HF_OK);
	assert_int_equal(hf_bech32_encode(text, &length, "nevent", hf_slice(data, 3117)), HF_ETOOBIG);
	assert_int_equal(hf_bech32_decode(back, &decoded, "nevent", hf_slice(text, sizeof text)), HF_ETOOBIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys_of_nip_19),
		cmocka_unit_test(test_valid_texts_of_bip_173),
		cmocka_unit_test(test_wrong_texts_are_refused),
		cmocka_unit_test(test_round_trips_and_bounds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
