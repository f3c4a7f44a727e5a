/* bitfield against a plain array, through random sets, clears and truncations, and with lengths that only a hostile peer claims. */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "data/hypercore/bitfield.h"

#define BITS 200000

static uint64_t random_state = 42;

static uint64_t draw(uint64_t below)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (random_state >> 33) % below;
}

static void assert_same(const struct hf_bitfield *bits, const uint8_t *model)
{
	uint64_t count = 0, contiguous = 0;

	while (contiguous < BITS && model[contiguous])
		contiguous++;
	for (uint64_t i = 0; i < BITS; i++) {
		assert_int_equal(hf_bitfield_get(bits, i), model[i]);
		count += model[i];
	}
	assert_int_equal(bits->contiguous, contiguous);
	assert_int_equal(hf_bitfield_count(bits), count);
	for (int i = 0; i < 50; i++) {
		uint64_t from = draw(BITS), to = from + draw(BITS - from), at = from;

		while (at < to && !model[at])
			at++;
		assert_int_equal(hf_bitfield_next_set(bits, from, to), at);
		for (at = from; at < to && model[at];)
			at++;
		assert_int_equal(hf_bitfield_next_clear(bits, from, to), at);
		uint64_t word = from & ~(uint64_t)31;
		uint32_t expected = 0;

		for (unsigned bit = 0; bit < 32 && word + bit < BITS; bit++)
			expected |= (uint32_t)model[word + bit] << bit;
		assert_int_equal(hf_bitfield_word(bits, word), expected);
	}
}

static void test_same_as_an_array(void **state)
{
	uint8_t *model = calloc(1, BITS);
	struct hf_bitfield bits = {0};

	(void)state;
	for (int round = 0; round < 300; round++) {
		uint64_t from = draw(3) == 0 ? bits.contiguous : draw(BITS), to = from + draw(draw(4) == 0 ? BITS : 100);

		if (to > BITS)
			to = BITS;
		switch (draw(8)) {
		case 0: case 1:
			assert_int_equal(hf_bitfield_clear(&bits, from, to), HF_OK);
			if (from < to)
				memset(model + from, 0, to - from);
			break;
		case 2:
			if (draw(4) == 0) {
				hf_bitfield_truncate(&bits, from);
				memset(model + from, 0, BITS - from);
			}
			break;
		default:
			assert_int_equal(hf_bitfield_set(&bits, from, to), HF_OK);
			if (from < to)
				memset(model + from, 1, to - from);
		}
		if (round % 10 == 0)
			assert_same(&bits, model);
	}
	hf_bitfield_free(&bits);
	free(model);
}

static void test_a_claim_of_2_to_the_52_blocks_is_cheap(void **state)
{
	struct hf_bitfield bits = {.page_count_max = 8};
	uint64_t far = (uint64_t)1 << 52;

	(void)state;
	assert_int_equal(hf_bitfield_set(&bits, 70000, 70001), HF_OK);
	assert_int_equal(hf_bitfield_set(&bits, far, far + 5), HF_OK);
	assert_int_equal(hf_bitfield_next_set(&bits, 70001, UINT64_MAX), far);
	assert_int_equal(hf_bitfield_set(&bits, 100, far), HF_ETOOBIG);
	assert_true(bits.pages.count <= 8);
	assert_int_equal(hf_bitfield_set(&bits, 0, far), HF_OK);
	assert_int_equal(bits.contiguous, far + 5);
	assert_int_equal(bits.pages.count, 0);
	hf_bitfield_truncate(&bits, 3);
	assert_int_equal(hf_bitfield_count(&bits), 3);
	hf_bitfield_free(&bits);
}

static void test_blocks_cleared_below_a_billion_are_cheap(void **state)
{
	struct hf_bitfield bits = {0};
	uint64_t count = (uint64_t)1 << 30;
	size_t before = mallinfo2().uordblks;

	(void)state;
	assert_int_equal(hf_bitfield_set(&bits, 0, count), HF_OK);
	assert_int_equal(hf_bitfield_clear(&bits, 0, 1), HF_OK);
	assert_int_equal(hf_bitfield_clear(&bits, 70000, 70001), HF_OK);
	assert_true(mallinfo2().uordblks - before < 8u << 20); /* pages with words would have 128 MiB */
	assert_int_equal(hf_bitfield_count(&bits), count - 2);
	assert_int_equal(hf_bitfield_next_clear(&bits, 1, UINT64_MAX), 70000);
	assert_int_equal(hf_bitfield_next_clear(&bits, 70001, UINT64_MAX), count);
	hf_bitfield_truncate(&bits, 1000);
	assert_int_equal(hf_bitfield_count(&bits), 999);
	assert_int_equal(hf_bitfield_set(&bits, 0, 1), HF_OK);
	assert_int_equal(bits.contiguous, 1000);
	assert_int_equal(bits.pages.count, 0);
	hf_bitfield_free(&bits);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_as_an_array),
		cmocka_unit_test(test_blocks_cleared_below_a_billion_are_cheap),
		cmocka_unit_test(test_a_claim_of_2_to_the_52_blocks_is_cheap),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
