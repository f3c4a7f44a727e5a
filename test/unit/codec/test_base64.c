/* base64: the vectors of RFC 4648, section 10, round trips, and texts that a strict decoder refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "codec/base64.h"

static void test_vectors_of_the_rfc(void **state)
{
	(void)state;
	static const char *const vectors[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"},
		{"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}};
	for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
		char text[16], back[16];
		size_t length = strlen(vectors[i][0]), encoded = strlen(vectors[i][1]), decoded;
		assert_int_equal(hf_base64_encode(text, vectors[i][0], length), encoded);
		assert_int_equal(encoded, HF_BASE64_ENCODED_BYTES(length));
		assert_memory_equal(text, vectors[i][1], encoded);
		assert_true(hf_base64_decode(back, text, encoded, &decoded));
		assert_int_equal(decoded, length);
		assert_memory_equal(back, vectors[i][0], length);
	}
}

static void test_every_byte_comes_back(void **state)
{
	(void)state;
	uint8_t data[256], back[258];
	char text[HF_BASE64_ENCODED_BYTES(256)];
	for (int i = 0; i < 256; i++)
		data[i] = (uint8_t)(i * 29);
	for (size_t length = 0; length <= sizeof data; length++) {
		size_t decoded, encoded = hf_base64_encode(text, data, length);
		assert_true(hf_base64_decode(back, text, encoded, &decoded));
		assert_int_equal(decoded, length);
		assert_memory_equal(back, data, length);
	}
}

static void test_loose_texts_are_refused(void **state)
{
	(void)state;
	static const char *const bad[] = {"Z", "Zg", "Zg=", "Zg==Zg==", "Zh==", "Zm9=", "====", "Z===", "Zm 9", "Zm9v\n",
		"Zm-_", "=m9v", "Zm=v"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		uint8_t back[16];
		size_t decoded;
		assert_false(hf_base64_decode(back, bad[i], strlen(bad[i]), &decoded));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors_of_the_rfc),
		cmocka_unit_test(test_every_byte_comes_back),
		cmocka_unit_test(test_loose_texts_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
