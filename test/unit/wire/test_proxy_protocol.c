/* Headers of the PROXY protocol, by the text of its specification. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codec/hex.h"
#include "wire/proxy_protocol.h"

#define SIGNATURE "0d0a0d0a000d0a515549540a"
#define IPV4 "c0000201c6336402dc0401bb" /* 192.0.2.1:56324 to 198.51.100.2:443 */
#define IPV6 "20010db800000000000000000000000120010db8000000000000000000000002dc0401bb"

static int read_text(const char *text, struct hf_proxy_header *header)
{
	return hf_proxy_header_read(hf_slice_text(text), header);
}

static int read_hex(const char *hex, struct hf_proxy_header *header)
{
	uint8_t bytes[512];
	assert_true(strlen(hex) / 2 <= sizeof bytes);
	assert_true(hf_hex_decode(bytes, hex, strlen(hex) / 2));
	return hf_proxy_header_read(hf_slice(bytes, strlen(hex) / 2), header);
}

static void expect_source(const struct hf_proxy_header *header, const char *text)
{
	char told[HF_ADDRESS_TEXT_BYTES];
	assert_true(header->has_source);
	assert_string_equal(hf_address_text(&header->source, true, told), text);
}

static void test_a_line_tells_the_client(void **state)
{
	struct hf_proxy_header header;
	(void)state;
	assert_int_equal(read_text("PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\nGET / HTTP/1.1\r\n", &header), HF_OK);
	expect_source(&header, "192.168.0.1:56324");
	assert_int_equal(header.length, strlen("PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n"));
	assert_int_equal(header.version, 1);
	assert_int_equal(read_text("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", &header), HF_OK);
	expect_source(&header, "255.255.255.255:65535");
	assert_int_equal(read_text("PROXY TCP6 2001:DB8::1 ::1 1 0\r\n", &header), HF_OK);
	expect_source(&header, "[2001:db8::1]:1");
	assert_int_equal(read_text("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n", &header),
		HF_OK);
}

static void test_an_unknown_client_is_the_proxy(void **state)
{
	struct hf_proxy_header header;
	(void)state;
	assert_int_equal(read_text("PROXY UNKNOWN\r\n", &header), HF_OK);
	assert_false(header.has_source);
	assert_int_equal(header.length, 15);
	assert_int_equal(read_text("PROXY UNKNOWN whatever stands here\r\n", &header), HF_OK);
	assert_false(header.has_source);
}

static void test_lines_that_are_not_exact_are_refused(void **state)
{
	static const char *const lines[] = {
		"GET / HTTP/1.1\r\n", "PROXX", "proxy TCP4 1.2.3.4 1.2.3.4 1 1\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 1\n", "PROXY  TCP4 1.2.3.4 1.2.3.4 1 1\r\n",
		"PROXY TCP4  1.2.3.4 1.2.3.4 1 1\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 1 \r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1 1 1\r\n", "PROXY TCP4 01.2.3.4 1.2.3.4 1 1\r\n", "PROXY TCP4 1.2.3.256 1.2.3.4 1 1\r\n",
		"PROXY TCP4 ::1 ::1 1 1\r\n", "PROXY TCP6 1.2.3.4 1.2.3.4 1 1\r\n", "PROXY TCP6 1::2::3 ::1 1 1\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 65536 1\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 01 1\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 -1 1\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 100000\r\n",
		"PROXY UDP4 1.2.3.4 1.2.3.4 1 1\r\n", "PROXY UNKNOWNS\r\n", "PROXY \r\n", "PROXY TCP4 \r\n", "\n",
	};
	struct hf_proxy_header header;
	(void)state;
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
		assert_int_equal(read_text(lines[i], &header), HF_EMALFORMED);
}

static void test_a_line_ends_within_107_bytes(void **state)
{
	char text[160];
	struct hf_proxy_header header;
	(void)state;
	memset(text, 'x', sizeof text);
	memcpy(text, "PROXY UNKNOWN ", 14);
	assert_int_equal(hf_proxy_header_read(hf_slice(text, 106), &header), HF_EWAIT);
	assert_int_equal(hf_proxy_header_read(hf_slice(text, 107), &header), HF_ETOOBIG);
	memcpy(text + 105, "\r\n", 2);
	assert_int_equal(hf_proxy_header_read(hf_slice(text, sizeof text), &header), HF_OK);
	assert_int_equal(header.length, 107);
	memcpy(text + 105, "x\r\n", 3);
	assert_int_equal(hf_proxy_header_read(hf_slice(text, sizeof text), &header), HF_ETOOBIG);
}

static void test_binary_headers_tell_the_client(void **state)
{
	struct hf_proxy_header header;
	(void)state;
	assert_int_equal(read_hex(SIGNATURE "2111000c" IPV4 "474554", &header), HF_OK);
	expect_source(&header, "192.0.2.1:56324");
	assert_int_equal(header.length, 28);
	assert_int_equal(header.version, 2);
	assert_int_equal(read_hex(SIGNATURE "21210024" IPV6, &header), HF_OK);
	expect_source(&header, "[2001:db8::1]:56324");
	assert_int_equal(read_hex(SIGNATURE "21110012" IPV4 "040003000000", &header), HF_OK);
	expect_source(&header, "192.0.2.1:56324");
	assert_int_equal(header.length, 34);
}

static void test_what_is_not_a_client_s_is_the_proxy_s(void **state)
{
	static const char *const headers[] = {
		SIGNATURE "20000000", SIGNATURE "2011000c" IPV4, SIGNATURE "20000003010203", SIGNATURE "21000000", SIGNATURE "21000003010203",
		SIGNATURE "2112000c" IPV4, SIGNATURE "2110000c" IPV4, SIGNATURE "2101000c" IPV4,
	};
	struct hf_proxy_header header;
	(void)state;
	for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
		assert_int_equal(read_hex(headers[i], &header), HF_OK);
		assert_false(header.has_source);
		assert_int_equal(header.length, strlen(headers[i]) / 2);
	}
}

static void test_binary_headers_that_are_wrong_are_refused(void **state)
{
	static const char *const headers[] = {
		"0d0a0d0a000d0a515549540b", SIGNATURE "1111000c" IPV4, SIGNATURE "2211000c" IPV4, SIGNATURE "2141000c" IPV4, SIGNATURE "2113000c" IPV4,
		SIGNATURE "21110004c0000201", SIGNATURE "2121000c" IPV4, SIGNATURE "2111000e" IPV4 "0100", SIGNATURE "21110010" IPV4 "01000261",
		SIGNATURE "21110010" IPV4 "03000100",
	};
	struct hf_proxy_header header;
	(void)state;
	for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
		assert_int_equal(read_hex(headers[i], &header), HF_EMALFORMED);
	assert_int_equal(read_hex(SIGNATURE "21111000", &header), HF_ETOOBIG);
}

static void test_a_checksum_that_is_there_must_be_right(void **state)
{
	/* Computed apart: CRC-32C of the header with zeroes in its place. */
	static const char right[] = SIGNATURE "2111001a" IPV4 "020004686f7374" "030004e1ed8bd9";
	char wrong[sizeof right];
	struct hf_proxy_header header;
	(void)state;
	assert_int_equal(read_hex(right, &header), HF_OK);
	expect_source(&header, "192.0.2.1:56324");
	memcpy(wrong, right, sizeof right);
	wrong[33] = wrong[33] == '1' ? '2' : '1';
	assert_int_equal(read_hex(wrong, &header), HF_ECORRUPT);
}

static void test_a_header_may_come_byte_by_byte(void **state)
{
	static const char *const headers[] = {SIGNATURE "2111000c" IPV4, "50524f58592054435034203139322e302e322e3120312e312e312e31203120310d0a"};
	uint8_t bytes[64];
	struct hf_proxy_header header;
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		size_t length = strlen(headers[i]) / 2;
		assert_true(hf_hex_decode(bytes, headers[i], length));
		for (size_t seen = 0; seen < length; seen++)
			assert_int_equal(hf_proxy_header_read(hf_slice(bytes, seen), &header), HF_EWAIT);
		assert_int_equal(hf_proxy_header_read(hf_slice(bytes, length), &header), HF_OK);
		assert_true(header.has_source);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_line_tells_the_client),
		cmocka_unit_test(test_an_unknown_client_is_the_proxy),
		cmocka_unit_test(test_lines_that_are_not_exact_are_refused),
		cmocka_unit_test(test_a_line_ends_within_107_bytes),
		cmocka_unit_test(test_binary_headers_tell_the_client),
		cmocka_unit_test(test_what_is_not_a_client_s_is_the_proxy_s),
		cmocka_unit_test(test_binary_headers_that_are_wrong_are_refused),
		cmocka_unit_test(test_a_checksum_that_is_there_must_be_right),
		cmocka_unit_test(test_a_header_may_come_byte_by_byte),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
