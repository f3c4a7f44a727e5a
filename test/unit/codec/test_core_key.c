/* z-base-32 and the texts of core keys, against vectors/hypercore/ids.json. */
#include "support/vectors.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "codec/core_key.h"
#include "codec/zbase32.h"

static int set_up(void **state)
{
	*state = vectors_load("hypercore/ids.json");
	return 0;
}

static int tear_down(void **state)
{
	json_decref(*state);
	return 0;
}

static void test_zbase32_goes_around(void **state)
{
	struct hf_buffer bytes = {0};
	json_t *vector;
	size_t i;

	json_array_foreach(vectors_array(*state, "z32", 5), i, vector) {
		struct hf_slice text = hf_slice_text(vectors_text(vector, "z32"));
		char encoded[64];
		uint8_t decoded[64];
		vectors_hex(&bytes, vector, "bytes");
		assert_int_equal(HF_ZBASE32_ENCODED_BYTES(bytes.length), text.length);
		hf_zbase32_encode(encoded, bytes.data, bytes.length);
		assert_memory_equal(encoded, text.data, text.length);
		assert_true(hf_zbase32_decode(decoded, text.data, text.length));
		assert_int_equal(HF_ZBASE32_DECODED_BYTES(text.length), bytes.length);
		assert_memory_equal(decoded, bytes.data, bytes.length);
	}
	hf_buffer_free(&bytes);
}

static void test_zbase32_accepts_its_alphabet_only(void **state)
{
	const char *alphabet = vectors_text(*state, "alphabet");
	unsigned accepted = 0;

	for (unsigned c = 0; c < 256; c++) {
		uint8_t text[2] = {(uint8_t)c, 'y'}, byte;
		bool is_known = c != 0 && strchr(alphabet, (int)c) != NULL;
		assert_int_equal(hf_zbase32_decode(&byte, text, 2), is_known);
		if (is_known)
			assert_int_equal(byte, (strchr(alphabet, (int)c) - alphabet) << 3);
		accepted += is_known;
	}
	assert_int_equal(accepted, 32);
}

static void test_zbase32_refuses_lengths_that_no_bytes_give(void **state)
{
	uint8_t out[8];

	for (size_t length = 0; length <= 8; length++)
		assert_int_equal(hf_zbase32_decode(out, "yyyyyyyy", length), length != 1 && length != 3 && length != 6);
}

static void test_keys_are_written(void **state)
{
	json_t *vector;
	size_t i;

	json_array_foreach(vectors_array(*state, "encode", 5), i, vector) {
		uint8_t key[32];
		char id[HF_CORE_ID_BYTES];
		vectors_bytes(key, 32, vector, "key");
		hf_core_key_encode(id, key);
		assert_string_equal(id, vectors_text(vector, "id"));
	}
}

static void test_keys_are_read_or_refused_as_in_the_package(void **state)
{
	size_t i, refused = 0;
	json_t *vector;

	json_array_foreach(vectors_array(*state, "decode", 13), i, vector) {
		bool is_refused = json_object_get(vector, "error") != NULL;
		uint8_t key[32];
		char id[HF_CORE_ID_BYTES];
		int status = hf_core_key_decode(key, hf_slice_text(vectors_text(vector, "input")));
		assert_int_equal(status, is_refused ? HF_EMALFORMED : HF_OK);
		refused += is_refused;
		if (is_refused)
			continue;
		vectors_expect(vector, "key", key, 32);
		hf_core_key_encode(id, key);
		assert_string_equal(id, vectors_text(vector, "normalized"));
	}
	assert_int_equal(refused, 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_zbase32_goes_around),
		cmocka_unit_test(test_zbase32_accepts_its_alphabet_only),
		cmocka_unit_test(test_zbase32_refuses_lengths_that_no_bytes_give),
		cmocka_unit_test(test_keys_are_written),
		cmocka_unit_test(test_keys_are_read_or_refused_as_in_the_package),
	};
	return cmocka_run_group_tests_name("core_key", tests, set_up, tear_down);
}
