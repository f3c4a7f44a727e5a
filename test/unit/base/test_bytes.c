#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "support/fail_alloc.h"

static void test_slices_are_ordered_by_bytes_then_length(void **state)
{
	assert_true(hf_slice_compare(HF_SLICE_LITERAL("a"), HF_SLICE_LITERAL("b")) < 0);
	assert_true(hf_slice_compare(HF_SLICE_LITERAL("ab"), HF_SLICE_LITERAL("a")) > 0);
	assert_true(hf_slice_compare(HF_SLICE_LITERAL("\xff"), HF_SLICE_LITERAL("\x01")) > 0);
	assert_int_equal(hf_slice_compare(hf_slice(NULL, 0), HF_SLICE_LITERAL("")), 0);
	assert_true(hf_slice_equal(hf_slice(NULL, 0), HF_SLICE_LITERAL("")));
	assert_false(hf_slice_equal(HF_SLICE_LITERAL("ab"), HF_SLICE_LITERAL("ac")));
}

static void test_buffer_grows_prints_and_consumes(void **state)
{
	struct hf_buffer buffer = {0};
	for (int i = 0; i < 100; i++)
		assert_int_equal(hf_buffer_printf(&buffer, "%d,", i), HF_OK);
	assert_memory_equal(buffer.data, "0,1,2,", 6);
	assert_int_equal(buffer.length, 290);
	hf_buffer_consume(&buffer, 4);
	assert_memory_equal(buffer.data, "2,3,", 4);
	hf_buffer_consume(&buffer, 1000);
	assert_int_equal(buffer.length, 0);
	assert_int_equal(hf_buffer_append(&buffer, NULL, 0), HF_OK);
	assert_int_equal(hf_buffer_append_text(&buffer, "text"), HF_OK);
	assert_true(hf_slice_equal(hf_buffer_slice(&buffer), HF_SLICE_LITERAL("text")));
	assert_int_equal(hf_buffer_reserve(&buffer, SIZE_MAX - 2), HF_ENOMEM);
	hf_buffer_free(&buffer);
}

static void test_failed_growth_leaves_the_buffer(void **state)
{
	struct hf_buffer buffer = {0};
	assert_int_equal(hf_buffer_append_text(&buffer, "kept"), HF_OK);
	fail_alloc_arm(1, false);
	assert_int_equal(hf_buffer_reserve(&buffer, 1000), HF_ENOMEM);
	assert_true(fail_alloc_disarm());
	assert_true(hf_slice_equal(hf_buffer_slice(&buffer), HF_SLICE_LITERAL("kept")));
	fail_alloc_arm(1, false);
	assert_null(hf_shared_copy("x", 1));
	assert_true(fail_alloc_disarm());
	hf_buffer_free(&buffer);
}

static void test_shared_bytes_live_until_the_last_reference(void **state)
{
	struct hf_shared *shared = hf_shared_copy("bytes", 5);
	assert_ptr_equal(hf_shared_ref(shared), shared);
	hf_shared_unref(shared);
	assert_int_equal(shared->length, 5);
	assert_memory_equal(shared->data, "bytes", 5);
	hf_shared_unref(shared);
	hf_shared_unref(NULL);
}

static void test_byte_orders(void **state)
{
	uint8_t out[9];
	hf_store_be32(out + 1, 0x01020304);
	assert_memory_equal(out + 1, "\1\2\3\4", 4);
	assert_int_equal(hf_load_le32(out + 1), 0x04030201);
	hf_store_le64(out + 1, 0x0102030405060708);
	assert_int_equal(hf_load_be64(out + 1), 0x0807060504030201);
	hf_store_be16(out, 0x0102);
	assert_int_equal(hf_load_le16(out), 0x0201);
}

static void test_varints(void **state)
{
	uint8_t out[HF_VARINT_BYTES_MAX];
	for (unsigned bit = 0; bit < 64; bit++) {
		for (int off = -1; off <= 1; off++) {
			uint64_t value = (UINT64_C(1) << bit) + (uint64_t)off, back;
			size_t length = hf_varint_write(out, value);
			assert_int_equal(hf_varint_read(out, sizeof out, &back), length);
			assert_true(back == value);
			assert_int_equal(hf_varint_read(out, length - 1, &back), 0);
		}
	}
	assert_int_equal(hf_varint_write(out, UINT64_MAX), 10);
	uint64_t value;
	out[9] = 2;
	assert_int_equal(hf_varint_read(out, 10, &value), 0);
	memset(out, 0xff, sizeof out);
	assert_int_equal(hf_varint_read(out, sizeof out, &value), 0);
}

static void test_crc32c_vectors_of_rfc_3720(void **state)
{
	uint8_t data[32] = {0};
	assert_int_equal(hf_crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(hf_crc32c(0, data, 32), 0x8a9136aa);
	memset(data, 0xff, sizeof data);
	assert_int_equal(hf_crc32c(0, data, 32), 0x62a8ab43);
	for (uint8_t i = 0; i < 32; i++)
		data[i] = i;
	assert_int_equal(hf_crc32c(0, data, 32), 0x46dd794e);
	for (size_t cut = 0; cut <= 32; cut++)
		assert_int_equal(hf_crc32c(hf_crc32c_portable(0, data, cut), data + cut, 32 - cut), 0x46dd794e);
	for (size_t length = 0; length <= 32; length++)
		assert_int_equal(hf_crc32c(5, data, length), hf_crc32c_portable(5, data, length));
}

static void test_crc32c_of_long_data_is_the_portable_one(void **state)
{
	static uint8_t data[20000];
	uint32_t word = 1;

	for (size_t i = 0; i < sizeof data; i++) {
		word = word * 1664525u + 1013904223u;
		data[i] = (uint8_t)(word >> 24);
	}
	for (size_t length = 1000; length <= sizeof data; length += 509)
		for (size_t start = 0; start < 8 && start + length <= sizeof data; start++)
			assert_int_equal(hf_crc32c(word, data + start, length), hf_crc32c_portable(word, data + start, length));
}

static void test_arena(void **state)
{
	struct hf_arena arena = {.limit_bytes = 200000};
	for (size_t i = 1; i < 300; i++) {
		uint8_t *p = hf_arena_alloc(&arena, i);
		assert_non_null(p);
		assert_int_equal((uintptr_t)p % 16, 0);
		for (size_t j = 0; j < i; j++)
			assert_int_equal(p[j], 0);
		memset(p, 0xff, i);
	}
	assert_non_null(hf_arena_alloc(&arena, 100000));
	assert_null(hf_arena_alloc(&arena, 100000));
	assert_null(hf_arena_alloc(&arena, SIZE_MAX - 4));
	hf_arena_reset(&arena);
	assert_int_equal(arena.used_bytes, 0);
	assert_memory_equal(hf_arena_copy(&arena, "copied", 7), "copied", 7);
	uint8_t *again = hf_arena_alloc(&arena, 64);
	for (size_t j = 0; j < 64; j++)
		assert_int_equal(again[j], 0);
	fail_alloc_arm(1, false);
	assert_null(hf_arena_alloc(&arena, 70000));
	assert_true(fail_alloc_disarm());
	hf_arena_free(&arena);
	hf_arena_free(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slices_are_ordered_by_bytes_then_length),
		cmocka_unit_test(test_buffer_grows_prints_and_consumes),
		cmocka_unit_test(test_failed_growth_leaves_the_buffer),
		cmocka_unit_test(test_shared_bytes_live_until_the_last_reference),
		cmocka_unit_test(test_byte_orders),
		cmocka_unit_test(test_varints),
		cmocka_unit_test(test_crc32c_vectors_of_rfc_3720),
		cmocka_unit_test(test_crc32c_of_long_data_is_the_portable_one),
		cmocka_unit_test(test_arena),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
