/* Messages of the extension hyperbee: those of the package are read, and written byte for byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "codec/hex.h"
#include "wire/bee_hint.h"

static struct hf_slice from_hex(const char *text, uint8_t out[static 64])
{
	assert_true(hf_hex_decode(out, text, strlen(text) / 2));
	return hf_slice(out, strlen(text) / 2);
}

static void expect_bytes(struct hf_buffer *written, struct hf_slice bytes)
{
	assert_int_equal(written->length, bytes.length);
	assert_memory_equal(written->data, bytes.data, bytes.length);
	hf_buffer_free(written);
}

static void test_a_get_is_the_package_s(void **state)
{
	uint8_t place[64];
	struct hf_slice bytes = from_hex("0a120808ac0212036b6579", place);
	struct hf_buffer written = {0};
	struct hf_bee_hint hint;

	(void)state;
	assert_int_equal(hf_bee_hint_decode(bytes, &hint), HF_OK);
	assert_true(hint.has_get && !hint.has_range && !hint.has_cache);
	assert_int_equal(hint.get.version, 300);
	assert_true(hf_slice_equal(hint.get.key, hf_slice_text("key")));
	assert_int_equal(hf_bee_hint_encode_get(300, hf_slice_text("key"), &written), HF_OK);
	expect_bytes(&written, bytes);
}

static void test_a_range_is_the_package_s(void **state)
{
	static const uint64_t checkpoint[] = {5, 0, 3, 300, 1, 2};
	uint8_t place[64];
	struct hf_slice bytes = from_hex("1a1a1808e80712036b65792a017a300a38014207050003ac020102", place);
	struct hf_bee_range range = {.has_gte = true, .gte = hf_slice_text("key"), .has_lt = true, .lt = hf_slice_text("z"), .has_limit = true,
		.limit = 10, .reverse = true}, none = {.reverse = false};
	struct hf_buffer written = {0};
	struct hf_bee_hint hint;

	(void)state;
	assert_int_equal(hf_bee_hint_decode(bytes, &hint), HF_OK);
	assert_true(hint.has_range && !hint.has_get && !hint.has_cache);
	assert_int_equal(hint.range.version, 1000);
	assert_true(hint.range.range.has_gte && hint.range.range.has_lt && hint.range.range.has_limit && hint.range.range.reverse);
	assert_true(!hint.range.range.has_gt && !hint.range.range.has_lte && hint.range.range.limit == 10);
	assert_true(hf_slice_equal(hint.range.range.gte, range.gte) && hf_slice_equal(hint.range.range.lt, range.lt));
	assert_int_equal(hint.range.checkpoint.length, 7);
	assert_int_equal(hf_bee_hint_encode_range(1000, &range, checkpoint, 6, &written), HF_OK);
	expect_bytes(&written, bytes);
	bytes = from_hex("081a06080730003800", place);
	assert_int_equal(hf_bee_hint_decode(bytes, &hint), HF_OK);
	assert_true(hint.has_range && !hint.range.range.has_limit && hint.range.checkpoint.length == 0);
	assert_int_equal(hf_bee_hint_encode_range(7, &none, NULL, 0, &written), HF_OK);
	expect_bytes(&written, bytes);
}

static void test_an_answer_is_the_package_s(void **state)
{
	static const uint64_t blocks[] = {5, 1, 399, 128};
	uint8_t place[64];
	struct hf_slice bytes = from_hex("0f0a0d08011090031a0605018f038001", place);
	struct hf_buffer written = {0};
	struct hf_bee_hint hint;

	(void)state;
	assert_int_equal(hf_bee_hint_decode(bytes, &hint), HF_OK);
	assert_true(hint.has_cache && !hint.has_get && !hint.has_range);
	assert_int_equal(hint.cache.blocks.length, 6);
	assert_int_equal(hf_bee_hint_encode_cache(blocks, 4, &written), HF_OK);
	expect_bytes(&written, bytes);
}

static void test_what_is_cut_short_is_malformed(void **state)
{
	static const char *const messages[] = {"0a120808ac0212036b6579", "1a1a1808e80712036b65792a017a300a38014207050003ac020102",
		"0f0a0d08011090031a0605018f038001"};
	uint8_t place[64];
	struct hf_bee_hint hint;

	(void)state;
	for (size_t i = 0; i < sizeof messages / sizeof *messages; i++) {
		struct hf_slice whole = from_hex(messages[i], place);

		for (size_t length = 0; length < whole.length; length++)
			assert_int_equal(hf_bee_hint_decode(hf_slice(whole.data, length), &hint), HF_EMALFORMED);
	}
	assert_int_equal(hf_bee_hint_decode(from_hex("050a031a0180", place), &hint), HF_EMALFORMED); /* a list that ends within a number */
	assert_int_equal(hf_bee_hint_decode(from_hex("00", place), &hint), HF_OK);
	assert_true(!hint.has_get && !hint.has_range && !hint.has_cache);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_get_is_the_package_s),
		cmocka_unit_test(test_a_range_is_the_package_s),
		cmocka_unit_test(test_an_answer_is_the_package_s),
		cmocka_unit_test(test_what_is_cut_short_is_malformed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
