/* Token buckets: how much at once, how fast again, and whom a full table forgets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "service/gateway/limits.h"

#define SECOND_US UINT64_C(1000000)

static struct hf_limits *open_limits(uint32_t per_minute, uint32_t bucket_count)
{
	struct hf_limits *limits;
	struct hf_limits_options options = {.size = sizeof options, .seed = 3, .bucket_count = bucket_count,
		.per_minute = {[HF_LIMIT_KEY] = {[HF_LIMIT_PUBLISH] = per_minute}, [HF_LIMIT_ADDRESS] = {[HF_LIMIT_SUBSCRIBE] = per_minute}}};
	assert_int_equal(hf_limits_new(&limits, &options), HF_OK);
	return limits;
}

static unsigned take_all(struct hf_limits *limits, uint64_t now_us, const char *who, uint64_t *retry_ms)
{
	unsigned count = 0;
	while (count < 100000 && hf_limits_take(limits, now_us, HF_LIMIT_KEY, HF_LIMIT_PUBLISH, hf_slice_text(who), retry_ms) == HF_OK)
		count++;
	return count;
}

static void test_a_bucket_holds_its_burst_and_fills_again(void **state)
{
	struct hf_limits *limits = open_limits(600, 0); /* ten a second, for ten seconds */
	uint64_t retry_ms = 0;
	assert_int_equal(take_all(limits, 50 * SECOND_US, "a", &retry_ms), 100);
	assert_in_range(retry_ms, 1, 100);
	assert_int_equal(take_all(limits, 50 * SECOND_US + retry_ms * 1000, "a", NULL), 1);
	assert_int_equal(take_all(limits, 53 * SECOND_US + retry_ms * 1000, "a", NULL), 30);
	assert_int_equal(take_all(limits, 500 * SECOND_US, "a", NULL), 100);
	assert_int_equal(take_all(limits, 500 * SECOND_US, "b", NULL), 100); /* another's is another */
	hf_limits_free(limits);
}

static void test_a_slow_rate_still_lets_one_through(void **state)
{
	struct hf_limits *limits = open_limits(1, 0);
	uint64_t retry_ms;
	assert_int_equal(take_all(limits, SECOND_US, "a", &retry_ms), 1);
	assert_int_equal(retry_ms, 60000);
	assert_int_equal(take_all(limits, 60 * SECOND_US, "a", NULL), 0);
	assert_int_equal(take_all(limits, 61 * SECOND_US, "a", NULL), 1);
	hf_limits_free(limits);
}

static void test_no_limit_is_no_limit(void **state)
{
	struct hf_limits *limits = open_limits(0, 0);
	assert_int_equal(take_all(limits, SECOND_US, "a", NULL), 100000);
	hf_limits_free(limits);
}

static void test_scopes_and_acts_have_buckets_of_their_own(void **state)
{
	struct hf_limits *limits = open_limits(6, 0);
	assert_int_equal(take_all(limits, SECOND_US, "a", NULL), 1);
	assert_int_equal(hf_limits_take(limits, SECOND_US, HF_LIMIT_KEY, HF_LIMIT_SUBSCRIBE, HF_SLICE_LITERAL("a"), NULL), HF_OK);
	assert_int_equal(hf_limits_take(limits, SECOND_US, HF_LIMIT_PEER, HF_LIMIT_PUBLISH, HF_SLICE_LITERAL("a"), NULL), HF_OK);
	hf_limits_free(limits);
}

static void test_an_ipv6_subscriber_is_a_64(void **state)
{
	struct hf_limits *limits = open_limits(6, 0);
	const char *const addresses[] = {"[2001:db8:1:2::1]:1", "[2001:db8:1:2:ffff::9]:2", "[2001:db8:1:3::1]:1", "1.2.3.4:5", "1.2.3.5:5",
		"1.2.3.4:6"};
	const int expected[] = {HF_OK, HF_EBUSY, HF_OK, HF_OK, HF_OK, HF_EBUSY};
	for (size_t i = 0; i < 6; i++) {
		struct hf_address address;
		assert_int_equal(hf_address_parse(addresses[i], &address, NULL), HF_OK);
		assert_int_equal(hf_limits_take_address(limits, SECOND_US, HF_LIMIT_SUBSCRIBE, &address, NULL), expected[i]);
	}
	hf_limits_free(limits);
}

static void test_a_full_table_forgets_who_used_least(void **state)
{
	struct hf_limits *limits = open_limits(60, 8); /* one place of eight buckets */
	char who[8] = "x0";
	assert_int_equal(take_all(limits, SECOND_US, "greedy", NULL), 10);
	for (int i = 0; i < 2000; i++) {
		snprintf(who, sizeof who, "x%d", i);
		hf_limits_take(limits, SECOND_US, HF_LIMIT_KEY, HF_LIMIT_PUBLISH, hf_slice_text(who), NULL);
	}
	assert_int_equal(take_all(limits, SECOND_US, "greedy", NULL), 0); /* still known */
	hf_limits_free(limits);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_bucket_holds_its_burst_and_fills_again),
		cmocka_unit_test(test_a_slow_rate_still_lets_one_through),
		cmocka_unit_test(test_no_limit_is_no_limit),
		cmocka_unit_test(test_scopes_and_acts_have_buckets_of_their_own),
		cmocka_unit_test(test_an_ipv6_subscriber_is_a_64),
		cmocka_unit_test(test_a_full_table_forgets_who_used_least),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
