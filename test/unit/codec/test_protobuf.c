#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "codec/protobuf.h"

#define READER(literal) hf_protobuf_reader(HF_SLICE_LITERAL(literal))

static void test_fields_of_every_type_are_read(void **state)
{
	struct hf_protobuf_reader in = READER("\x08\x96\x01" "\x12\x02hi" "\x1d\x01\x02\x03\x04" "\x21\x01\x02\x03\x04\x05\x06\x07\x08");
	struct hf_protobuf_field field;

	(void)state;
	assert_true(hf_protobuf_next(&in, &field) && hf_protobuf_is_varint(&field, 1));
	assert_int_equal(field.value, 150);
	assert_true(hf_protobuf_next(&in, &field) && hf_protobuf_is_bytes(&field, 2));
	assert_true(hf_slice_equal(field.bytes, hf_slice_text("hi")));
	assert_true(hf_protobuf_next(&in, &field) && field.type == HF_PROTOBUF_FIXED32);
	assert_int_equal(field.value, 0x04030201);
	assert_true(hf_protobuf_next(&in, &field) && field.type == HF_PROTOBUF_FIXED64);
	assert_int_equal(field.value, 0x0807060504030201);
	assert_false(hf_protobuf_next(&in, &field));
	assert_int_equal(in.status, HF_OK);
}

static void expect_malformed(struct hf_protobuf_reader in)
{
	struct hf_protobuf_field field;

	while (hf_protobuf_next(&in, &field))
		;
	assert_int_equal(in.status, HF_EMALFORMED);
	assert_ptr_equal(in.at, in.end);
}

static void test_what_ends_early_or_means_nothing_is_malformed(void **state)
{
	(void)state;
	expect_malformed(READER("\x12\x03hi"));
	expect_malformed(READER("\x08"));
	expect_malformed(READER("\x08\x80"));
	expect_malformed(READER("\x1d\x01\x02"));
	expect_malformed(READER("\x21\x01"));
	expect_malformed(READER("\x02\x00"));
	expect_malformed(READER("\x0b"));
	expect_malformed(READER("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"));
	expect_malformed(READER("\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"));
	expect_malformed(READER("\x80\x80\x80\x80\x80\x01"));
}

static void test_what_is_written_is_read(void **state)
{
	static const uint64_t values[] = {0, 127, 128, 300, UINT64_MAX};
	struct hf_buffer bytes = {0};
	struct hf_protobuf_writer out = hf_protobuf_writer(&bytes);
	struct hf_protobuf_reader in, list;
	struct hf_protobuf_field field;

	(void)state;
	hf_protobuf_write_packed(&out, 1, values, 0);
	assert_int_equal(bytes.length, 0);
	hf_protobuf_write_packed(&out, 1, values, 5);
	hf_protobuf_write_uint(&out, 2, 300);
	hf_protobuf_write_bytes(&out, 3, hf_slice(NULL, 0));
	assert_int_equal(out.status, HF_OK);
	in = hf_protobuf_reader(hf_buffer_slice(&bytes));
	assert_true(hf_protobuf_next(&in, &field) && hf_protobuf_is_bytes(&field, 1));
	assert_int_equal(field.bytes.length, 1 + 1 + 2 + 2 + 10);
	list = hf_protobuf_reader(field.bytes);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(hf_protobuf_read_varint(&list), values[i]);
	assert_ptr_equal(list.at, list.end);
	assert_true(hf_protobuf_next(&in, &field) && hf_protobuf_is_varint(&field, 2));
	assert_int_equal(field.value, 300);
	assert_true(hf_protobuf_next(&in, &field) && hf_protobuf_is_bytes(&field, 3));
	assert_int_equal(field.bytes.length, 0);
	assert_false(hf_protobuf_next(&in, &field));
	hf_buffer_free(&bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields_of_every_type_are_read),
		cmocka_unit_test(test_what_ends_early_or_means_nothing_is_malformed),
		cmocka_unit_test(test_what_is_written_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
