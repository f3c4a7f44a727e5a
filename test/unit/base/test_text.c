/* text, utf8 and error. */
#include "base/text.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/utf8.h"

static void assert_bytes(const char *text, int error, uint64_t expected)
{
	uint64_t value = 0;
	assert_int_equal(hf_text_to_bytes(text, &value), error);
	assert_true(value == expected);
}

static void test_numbers(void **state)
{
	uint64_t value = 0;
	assert_int_equal(hf_text_to_u64("18446744073709551615", &value), HF_OK);
	assert_true(value == UINT64_MAX);
	assert_int_equal(hf_text_to_u64("18446744073709551616", &value), HF_ETOOBIG);
	assert_int_equal(hf_text_to_u64("", &value), HF_EINVAL);
	assert_int_equal(hf_text_to_u64("-1", &value), HF_EINVAL);
	assert_int_equal(hf_text_to_u64(" 1", &value), HF_EINVAL);
	assert_int_equal(hf_text_to_u64("1x", &value), HF_EINVAL);
}

static void test_sizes_and_durations(void **state)
{
	assert_bytes("512", HF_OK, 512);
	assert_bytes("64k", HF_OK, 65536);
	assert_bytes("25 MB", HF_OK, 25u << 20);
	assert_bytes("1GiB", HF_OK, 1u << 30);
	assert_bytes("2T", HF_OK, UINT64_C(2) << 40);
	assert_bytes("20000000000T", HF_ETOOBIG, 0);
	assert_bytes("1 X", HF_EINVAL, 0);
	assert_bytes("MB", HF_EINVAL, 0);
	uint64_t ms;
	assert_int_equal(hf_text_to_ms("250ms", &ms), HF_OK);
	assert_int_equal(ms, 250);
	assert_int_equal(hf_text_to_ms("250", &ms), HF_OK);
	assert_int_equal(ms, 250);
	assert_int_equal(hf_text_to_ms("7d", &ms), HF_OK);
	assert_int_equal(ms, 7 * 86400 * 1000);
	assert_int_equal(hf_text_to_ms("5 minutes", &ms), HF_EINVAL);
	char text[32];
	assert_string_equal(hf_text_from_bytes(text, sizeof text, 1023), "1023 B");
	assert_string_equal(hf_text_from_bytes(text, sizeof text, UINT64_C(25) << 30), "25.0 GiB");
	assert_string_equal(hf_text_from_bytes(text, sizeof text, (1 << 20) - 1), "1.0 MiB");
	assert_string_equal(hf_text_from_bytes(text, sizeof text, UINT64_MAX), "16.0 EiB");
}

static void test_booleans(void **state)
{
	bool value = false;
	assert_true(hf_text_to_bool("Yes", &value) && value);
	assert_true(hf_text_to_bool("off", &value) && !value);
	assert_true(hf_text_to_bool("1", &value) && value);
	assert_false(hf_text_to_bool("maybe", &value));
}

static void test_nearest_name(void **state)
{
	static const char *const names[] = {"listen", "data_dir", "limits", "tls"};
	assert_string_equal(hf_text_nearest("lisen", names, 4), "listen");
	assert_string_equal(hf_text_nearest("datadir", names, 4), "data_dir");
	assert_string_equal(hf_text_nearest("tls", names, 4), "tls");
	assert_null(hf_text_nearest("xyz", names, 4));
	assert_null(hf_text_nearest("completely_other", names, 4));
	assert_null(hf_text_nearest("", names, 4));
}

/* The definition, character by character: decode any form, then look at the ranges. */
static bool naive_utf8(const uint8_t *p, size_t length)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	for (size_t i = 0; i < length;) {
		unsigned size = p[i] < 0x80 ? 1 : p[i] >> 5 == 6 ? 2 : p[i] >> 4 == 14 ? 3 : p[i] >> 3 == 30 ? 4 : 0;
		if (size == 0 || i + size > length)
			return false;
		uint32_t point = size == 1 ? p[i] : p[i] & (0x7fu >> size);
		for (unsigned j = 1; j < size; j++) {
			if (p[i + j] >> 6 != 2)
				return false;
			point = point << 6 | (p[i + j] & 0x3f);
		}
		if (point < least[size] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
			return false;
		i += size;
	}
	return true;
}

static void test_utf8_agrees_with_the_definition(void **state)
{
	static const uint8_t marks[] = {0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf,
					0xe0, 0xe1, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff};
	enum { COUNT = sizeof marks };
	uint8_t text[40];
	memset(text, 'a', sizeof text);
	for (size_t n = 0; n < (size_t)COUNT * COUNT * COUNT * COUNT; n++) {
		size_t rest = n, at = n % 17;
		for (size_t i = 0; i < 4; i++, rest /= COUNT)
			text[at + i] = marks[rest % COUNT];
		bool expected = naive_utf8(text, at + 4);
		if (hf_utf8_valid(text, at + 4) != expected ||
		    hf_utf8_valid(text, sizeof text) != naive_utf8(text, sizeof text))
			fail_msg("%02x %02x %02x %02x", text[at], text[at + 1], text[at + 2], text[at + 3]);
		uint32_t pieces = 0;
		bool possible = hf_utf8_check(&pieces, text, at + 2) && hf_utf8_check(&pieces, text + at + 2, 2);
		if ((possible && pieces == 0) != expected)
			fail_msg("in pieces: %02x %02x %02x %02x", text[at], text[at + 1], text[at + 2], text[at + 3]);
		memset(text + at, 'a', 4);
	}
	assert_true(hf_utf8_valid(NULL, 0));
}

static void test_every_error_has_a_name(void **state)
{
	for (int code = HF_OK; code >= HF_EDUPLICATE; code--) {
		assert_int_equal(strncmp(hf_error_name(code), code ? "HF_E" : "HF_OK", 4), 0);
		assert_string_not_equal(hf_error_name(code), "HF_E?");
	}
	assert_string_equal(hf_error_name(HF_EDUPLICATE - 1), "HF_E?");
	assert_string_equal(hf_error_name(1), "HF_E?");
	assert_string_equal(hf_error_text(HF_ENOSPC), "no space left");
	assert_int_equal(hf_error_from_errno(ENOSPC), HF_ENOSPC);
	assert_int_equal(hf_error_from_errno(EAGAIN), HF_EWAIT);
	struct hf_failure failure;
	assert_int_equal(hf_fail(&failure, HF_EINVAL, "line %d", 3), HF_EINVAL);
	assert_string_equal(failure.text, "line 3");
	assert_int_equal(hf_fail(NULL, HF_EIO, "x"), HF_EIO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_sizes_and_durations),
		cmocka_unit_test(test_booleans),
		cmocka_unit_test(test_nearest_name),
		cmocka_unit_test(test_utf8_agrees_with_the_definition),
		cmocka_unit_test(test_every_error_has_a_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
