/* Addresses: text both ways, ranges, classes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/address.h"

static void test_addresses_are_read_and_written(void **state)
{
	static const struct {
		const char *text, *written;
	} good[] = {
		{"127.0.0.1:7777", "127.0.0.1:7777"},
		{"[::1]:80", "[::1]:80"},
		{":7777", "[::]:7777"},
		{"0.0.0.0:0", "0.0.0.0:0"},
		{"localhost:1", "127.0.0.1:1"},
		{"[2001:DB8:0:0::5]:65535", "[2001:db8::5]:65535"},
		{"[::ffff:1.2.3.4]:5", "1.2.3.4:5"},
		{"[1.2.3.4]:5", "1.2.3.4:5"},
	};
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		struct hf_address address, back;
		struct hf_failure failure = {0};
		struct sockaddr_storage name;
		char text[HF_ADDRESS_TEXT_BYTES];
		assert_int_equal(hf_address_parse(good[i].text, &address, &failure), HF_OK);
		assert_string_equal(hf_address_text(&address, true, text), good[i].written);
		hf_address_to_sockaddr(&address, &name);
		hf_address_from_sockaddr(&back, (struct sockaddr *)&name);
		assert_memory_equal(&address, &back, sizeof back);
	}
	static const char *const bad[] = {
		"",
		"7777",
		"127.0.0.1",
		"127.0.0.1:",
		"127.0.0.1:x",
		"127.0.0.1:65536",
		"127.0.0.1:-1",
		"::1:80",
		"[::1]",
		"[::1:80",
		"1.2.3:80",
		"1.2.3.4.5:80",
		"host.example:80",
		"[::1]x:80",
		"[]:80x",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:80",
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct hf_address address;
		struct hf_failure failure = {0};
		if (hf_address_parse(bad[i], &address, &failure) != HF_EADDR || !failure.text[0])
			fail_msg("%s", bad[i]);
	}
}

static void test_ranges_hold_their_addresses(void **state)
{
	static const struct {
		const char *range, *address;
		bool is_in;
	} table[] = {
		{"10.0.0.0/8", "10.255.0.1:1", true},
		{"10.0.0.0/8", "11.0.0.1:1", false},
		{"0.0.0.0/0", "9.9.9.9:1", true},
		{"0.0.0.0/0", "[2001::1]:1", false},
		{"::/0", "9.9.9.9:1", true},
		{"192.168.1.7", "192.168.1.7:1", true},
		{"192.168.1.7", "192.168.1.6:1", false},
		{"192.168.1.6/31", "192.168.1.7:1", true},
		{"::1", "[::1]:1", true},
		{"fd00::/9", "[fd7f::1]:1", true},
		{"fd00::/9", "[fd80::1]:1", false},
		{"2001:db8::/33", "[2001:db8:8000::]:1", false},
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct hf_address_range range;
		struct hf_address address;
		assert_int_equal(hf_address_range_parse(table[i].range, &range), HF_OK);
		assert_int_equal(hf_address_parse(table[i].address, &address, NULL), HF_OK);
		if (hf_address_in_range(&address, &range) != table[i].is_in)
			fail_msg("%s in %s", table[i].address, table[i].range);
	}
	static const char *const bad[] = {
		"", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "::/129", "10.0.0/8", "x/8", "10.0.0.0/8/8"};
	struct hf_address_range range;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(hf_address_range_parse(bad[i], &range), HF_EINVAL);
}

static void test_addresses_have_their_class(void **state)
{
	static const struct {
		const char *address;
		enum hf_address_class class;
	} table[] = {
		{"127.9.9.9:1", HF_ADDRESS_LOOPBACK},
		{"[::1]:1", HF_ADDRESS_LOOPBACK},
		{"10.1.2.3:1", HF_ADDRESS_PRIVATE},
		{"172.16.0.1:1", HF_ADDRESS_PRIVATE},
		{"172.32.0.1:1", HF_ADDRESS_PUBLIC},
		{"192.168.0.1:1", HF_ADDRESS_PRIVATE},
		{"169.254.1.1:1", HF_ADDRESS_PRIVATE},
		{"100.64.0.1:1", HF_ADDRESS_PRIVATE},
		{"100.128.0.1:1", HF_ADDRESS_PUBLIC},
		{"[fd00::1]:1", HF_ADDRESS_PRIVATE},
		{"[fe80::1]:1", HF_ADDRESS_PRIVATE},
		{"8.8.8.8:1", HF_ADDRESS_PUBLIC},
		{"[2001:db8::1]:1", HF_ADDRESS_PUBLIC},
		{"[::2]:1", HF_ADDRESS_PUBLIC},
		{"128.0.0.1:1", HF_ADDRESS_PUBLIC},
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct hf_address address;
		assert_int_equal(hf_address_parse(table[i].address, &address, NULL), HF_OK);
		if (hf_address_class(&address) != table[i].class)
			fail_msg("%s", table[i].address);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses_are_read_and_written),
		cmocka_unit_test(test_ranges_hold_their_addresses),
		cmocka_unit_test(test_addresses_have_their_class),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
