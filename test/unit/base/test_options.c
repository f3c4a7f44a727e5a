/* Structs of options between a program and a library that were built at different times. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/options.h"

struct older {
	size_t size;
	uint64_t first;
};
struct ours {
	size_t size;
	uint64_t first, second;
};
struct newer {
	size_t size;
	uint64_t first, second, third;
};

static void test_options_of_our_time_are_taken_as_they_are(void **state)
{
	struct ours given = {.size = sizeof given, .first = 1, .second = 2}, taken;

	(void)state;
	assert_int_equal(hf_options_take(&taken, sizeof taken, &given), HF_OK);
	assert_memory_equal(&taken, &given, sizeof taken);
}

static void test_what_an_older_caller_does_not_know_is_zero(void **state)
{
	struct {
		struct older options;
		uint64_t behind;
	} given = {{.size = sizeof(struct older), .first = 1}, .behind = 99};
	struct ours taken = {.second = 7};

	(void)state;
	assert_int_equal(hf_options_take(&taken, sizeof taken, &given), HF_OK);
	assert_true(taken.size == sizeof taken && taken.first == 1 && taken.second == 0);
}

static void test_a_newer_caller_is_served_as_far_as_it_asks_for_nothing_new(void **state)
{
	struct newer given = {.size = sizeof given, .first = 1, .second = 2};
	struct ours taken;

	(void)state;
	assert_int_equal(hf_options_take(&taken, sizeof taken, &given), HF_OK);
	assert_true(taken.size == sizeof taken && taken.first == 1 && taken.second == 2);
	given.third = 1;
	assert_int_equal(hf_options_take(&taken, sizeof taken, &given), HF_EVERSION);
	assert_true(taken.first == 0 && taken.second == 0);
}

static void test_a_size_that_was_forgotten_is_refused(void **state)
{
	struct ours given = {.first = 1}, taken;

	(void)state;
	assert_int_equal(hf_options_take(&taken, sizeof taken, &given), HF_EINVAL);
	given.size = sizeof(size_t) - 1;
	assert_int_equal(hf_options_take(&taken, sizeof taken, &given), HF_EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options_of_our_time_are_taken_as_they_are),
		cmocka_unit_test(test_what_an_older_caller_does_not_know_is_zero),
		cmocka_unit_test(test_a_newer_caller_is_served_as_far_as_it_asks_for_nothing_new),
		cmocka_unit_test(test_a_size_that_was_forgotten_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
