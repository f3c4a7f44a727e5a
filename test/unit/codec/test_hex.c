/* hex against a plain loop at every length and alignment, and every wrong character at every place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "codec/hex.h"

static void test_round_trip_at_every_length(void **state)
{
	(void)state;
	uint8_t data[70], back[70];
	char text[141], expected[141];
	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)(i * 37 + 11);
	for (size_t length = 0; length <= sizeof data; length++) {
		for (size_t i = 0; i < length; i++)
			snprintf(expected + 2 * i, 3, "%02x", data[i]);
		hf_hex_encode(text, data, length);
		assert_memory_equal(text, expected, 2 * length);
		assert_true(hf_hex_decode(back, text, length));
		assert_memory_equal(back, data, length);
		assert_int_equal(hf_hex_run(text, 2 * length), 2 * length);
	}
}

static void test_only_lower_case_digits_are_decoded(void **state)
{
	(void)state;
	char text[80];
	uint8_t out[40];
	for (size_t place = 0; place < sizeof text; place++) {
		for (int c = 0; c < 256; c++) {
			memset(text, 'a', sizeof text);
			text[place] = (char)c;
			bool good = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
			assert_int_equal(hf_hex_decode(out, text, sizeof out), good);
			assert_int_equal(hf_hex_run(text, sizeof text), good ? sizeof text : place);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip_at_every_length),
		cmocka_unit_test(test_only_lower_case_digits_are_decoded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
