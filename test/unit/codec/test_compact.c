/* Compact encoding against vectors/hypercore, both ways, and what must be refused. */
#include "support/vectors.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "codec/compact_any.h"
#include "codec/compact_ip.h"

#define CASE_COUNT 102

/* How a type of the vectors is written and read. check reads a value and compares it unless value is NULL: then the bytes are cut
 * short or foreign, and only the reader's status counts. */
struct codec {
	const char *type;
	void (*write)(struct hf_compact_writer *out, const json_t *value, unsigned bits);
	void (*check)(struct hf_compact_reader *in, const json_t *value, unsigned bits);
	unsigned bits;
};

static struct hf_slice text_of(const json_t *value)
{
	return hf_slice(json_string_value(value), json_string_length(value));
}

static void expect_number(uint64_t read, const json_t *value)
{
	if (value != NULL)
		assert_int_equal(read, json_integer_value(value));
}

static void expect_bytes(struct hf_slice read, const json_t *hex)
{
	struct hf_buffer bytes = {0};

	if (hex != NULL)
		assert_true(hf_slice_equal(read, json_is_null(hex) ? hf_slice(NULL, 0) : vectors_from_hex(&bytes, json_string_value(hex))));
	hf_buffer_free(&bytes);
}

static void expect_text(struct hf_slice read, const json_t *text)
{
	if (text != NULL)
		assert_true(hf_slice_equal(read, text_of(text)));
}

#define INTEGER(name, call, call_type) \
	static void write_##name(struct hf_compact_writer *out, const json_t *value, unsigned bits) \
	{ \
		call_type number = (call_type)json_integer_value(value); \
		if (bits != 0) \
			hf_compact_write_##call##_bits(out, number, bits); \
		else \
			hf_compact_write_##name(out, number); \
	} \
	static void check_##name(struct hf_compact_reader *in, const json_t *value, unsigned bits) \
	{ \
		expect_number((uint64_t)(bits != 0 ? hf_compact_read_##call##_bits(in, bits) : hf_compact_read_##name(in)), value); \
	}
INTEGER(uint, uint, uint64_t)
INTEGER(int, int, int64_t)
INTEGER(lexint, uint_be, uint64_t)

static void write_float64(struct hf_compact_writer *out, const json_t *value, unsigned bits)
{
	hf_compact_write_float64(out, json_number_value(value));
}

static void check_float64(struct hf_compact_reader *in, const json_t *value, unsigned bits)
{
	double number = hf_compact_read_float64(in);

	if (value != NULL)
		assert_true(number == json_number_value(value));
}

static void write_bool(struct hf_compact_writer *out, const json_t *value, unsigned bits)
{
	hf_compact_write_bool(out, json_is_true(value));
}

static void check_bool(struct hf_compact_reader *in, const json_t *value, unsigned bits)
{
	bool read = hf_compact_read_bool(in);

	if (value != NULL)
		assert_int_equal(read, json_is_true(value));
}

static void write_buffer(struct hf_compact_writer *out, const json_t *value, unsigned bits)
{
	struct hf_buffer bytes = {0};

	hf_compact_write_buffer(out, json_is_null(value) ? hf_slice(NULL, 0) : vectors_from_hex(&bytes, json_string_value(value)));
	hf_buffer_free(&bytes);
}

static void check_buffer(struct hf_compact_reader *in, const json_t *value, unsigned bits)
{
	expect_bytes(hf_compact_read_buffer(in), value);
}

static void write_string(struct hf_compact_writer *out, const json_t *value, unsigned bits)
{
	hf_compact_write_buffer(out, text_of(value));
}

static void check_string(struct hf_compact_reader *in, const json_t *value, unsigned bits)
{
	expect_text(hf_compact_read_string(in), value);
}

static void write_raw(struct hf_compact_writer *out, const json_t *value, unsigned bits)
{
	struct hf_buffer bytes = {0};

	vectors_from_hex(&bytes, json_string_value(value));
	hf_compact_write_fixed(out, bytes.data, bytes.length);
	hf_buffer_free(&bytes);
}

static void check_fixed(struct hf_compact_reader *in, const json_t *value, unsigned bits)
{
	const uint8_t *bytes = hf_compact_read_fixed(in, bits / 8);

	if (bytes != NULL)
		expect_bytes(hf_slice(bytes, bits / 8), value);
}

static void check_raw(struct hf_compact_reader *in, const json_t *value, unsigned bits)
{
	expect_bytes(hf_compact_read_raw(in), value);
}

static void write_raw_utf8(struct hf_compact_writer *out, const json_t *value, unsigned bits)
{
	hf_compact_write_fixed(out, json_string_value(value), json_string_length(value));
}

static void check_raw_utf8(struct hf_compact_reader *in, const json_t *value, unsigned bits)
{
	expect_text(hf_compact_read_raw(in), value);
}

static void write_uint_array(struct hf_compact_writer *out, const json_t *value, unsigned bits)
{
	hf_compact_write_uint(out, json_array_size(value));
	for (size_t i = 0; i < json_array_size(value); i++)
		hf_compact_write_uint(out, (uint64_t)json_integer_value(json_array_get(value, i)));
}

static void check_uint_array(struct hf_compact_reader *in, const json_t *value, unsigned bits)
{
	size_t count = hf_compact_read_count(in, HF_COMPACT_ARRAY_COUNT_MAX, 1);

	if (value != NULL)
		assert_int_equal(count, json_array_size(value));
	for (size_t i = 0; i < count; i++)
		expect_number(hf_compact_read_uint(in), value == NULL ? NULL : json_array_get(value, i));
}

static void write_string_array(struct hf_compact_writer *out, const json_t *value, unsigned bits)
{
	hf_compact_write_uint(out, json_array_size(value));
	for (size_t i = 0; i < json_array_size(value); i++)
		hf_compact_write_buffer(out, text_of(json_array_get(value, i)));
}

static void check_string_array(struct hf_compact_reader *in, const json_t *value, unsigned bits)
{
	size_t count = hf_compact_read_count(in, HF_COMPACT_ARRAY_COUNT_MAX, 1);

	if (value != NULL)
		assert_int_equal(count, json_array_size(value));
	for (size_t i = 0; i < count; i++)
		expect_text(hf_compact_read_buffer(in), value == NULL ? NULL : json_array_get(value, i));
}

static void write_words(struct hf_compact_writer *out, const json_t *value, unsigned bits)
{
	uint32_t words[8];

	for (size_t i = 0; i < json_array_size(value); i++)
		words[i] = (uint32_t)json_integer_value(json_array_get(value, i));
	hf_compact_write_uint32_array(out, words, json_array_size(value));
}

static void check_words(struct hf_compact_reader *in, const json_t *value, unsigned bits)
{
	size_t count;
	struct hf_slice words = hf_compact_read_uint32_array(in, &count);

	if (value == NULL)
		return;
	assert_int_equal(count, json_array_size(value));
	for (size_t i = 0; i < count; i++)
		expect_number(hf_load_le32(words.data + 4 * i), json_array_get(value, i));
}

static void write_bits(struct hf_compact_writer *out, const json_t *value, unsigned bits)
{
	uint8_t bytes[8] = {0};

	for (size_t i = 0; i < json_array_size(value); i++)
		bytes[i / 8] |= (uint8_t)(json_is_true(json_array_get(value, i)) << i % 8);
	hf_compact_write_bit_array(out, bytes, json_array_size(value));
}

static void check_bits(struct hf_compact_reader *in, const json_t *value, unsigned bits)
{
	uint64_t count;
	struct hf_slice bytes = hf_compact_read_bit_array(in, &count);

	if (value == NULL)
		return;
	assert_int_equal(count, json_array_size(value));
	for (size_t i = 0; i < count; i++)
		assert_int_equal(bytes.data[i / 8] >> i % 8 & 1, json_is_true(json_array_get(value, i)));
}

static struct hf_compact_ip ip_of(const json_t *value)
{
	struct hf_compact_ip ip = {.family = 4};
	const json_t *host = json_is_object(value) ? json_object_get(value, "host") : value;

	if (inet_pton(AF_INET, json_string_value(host), ip.bytes) != 1) {
		ip.family = 6;
		assert_int_equal(inet_pton(AF_INET6, json_string_value(host), ip.bytes), 1);
	}
	if (json_is_object(value))
		ip.port = (uint16_t)vectors_uint(value, "port");
	return ip;
}

static void write_ip(struct hf_compact_writer *out, const json_t *value, unsigned form)
{
	struct hf_compact_ip ip = ip_of(value);

	hf_compact_write_ip(out, (enum hf_compact_ip_form)form, &ip);
}

static void write_address(struct hf_compact_writer *out, const json_t *value, unsigned form)
{
	struct hf_compact_ip ip = ip_of(value);

	hf_compact_write_ip_address(out, (enum hf_compact_ip_form)form, &ip);
}

static void expect_ip(struct hf_compact_ip ip, const json_t *value)
{
	if (value == NULL)
		return;
	struct hf_compact_ip expected = ip_of(value);
	assert_memory_equal(&ip, &expected, sizeof ip);
}

static void check_ip(struct hf_compact_reader *in, const json_t *value, unsigned form)
{
	expect_ip(hf_compact_read_ip(in, (enum hf_compact_ip_form)form), value);
}

static void check_address(struct hf_compact_reader *in, const json_t *value, unsigned form)
{
	expect_ip(hf_compact_read_ip_address(in, (enum hf_compact_ip_form)form), value);
}

static void write_json(struct hf_compact_writer *out, const json_t *value, unsigned is_raw)
{
	char *text = json_dumps(value, JSON_COMPACT);

	if (is_raw != 0)
		hf_compact_write_fixed(out, text, strlen(text));
	else
		hf_compact_write_buffer(out, hf_slice_text(text));
	free(text);
}

static void check_json(struct hf_compact_reader *in, const json_t *value, unsigned is_raw)
{
	struct hf_slice text = is_raw != 0 ? hf_compact_read_raw_json(in) : hf_compact_read_json(in);

	if (value == NULL)
		return;
	json_t *parsed = json_loadb((const char *)text.data, text.length, 0, NULL);
	assert_true(json_equal(parsed, value));
	json_decref(parsed);
}

static void write_frame(struct hf_compact_writer *out, const json_t *value, unsigned bits)
{
	size_t begun = hf_compact_frame_begin(out);

	hf_compact_write_buffer(out, text_of(value));
	hf_compact_frame_end(out, begun);
}

static void check_frame(struct hf_compact_reader *in, const json_t *value, unsigned bits)
{
	struct hf_compact_reader frame = hf_compact_read_frame(in);
	struct hf_slice text = hf_compact_read_buffer(&frame);

	expect_text(text, value);
	assert_true(value == NULL || frame.status == HF_OK);
}

static void write_record(struct hf_compact_writer *out, const json_t *value, unsigned bits)
{
	struct hf_compact_pair pairs[8];
	size_t count = 0;

	for (void *at = json_object_iter((json_t *)(uintptr_t)value); at; at = json_object_iter_next((json_t *)(uintptr_t)value, at))
		pairs[count++] = (struct hf_compact_pair){hf_slice_text(json_object_iter_key(at)), text_of(json_object_iter_value(at))};
	hf_compact_write_string_record(out, pairs, count);
}

static void check_record(struct hf_compact_reader *in, const json_t *value, unsigned bits)
{
	size_t count = hf_compact_read_count(in, HF_COMPACT_ARRAY_COUNT_MAX, 2);

	if (value != NULL)
		assert_int_equal(count, json_object_size(value));
	for (size_t i = 0; i < count; i++) {
		struct hf_compact_pair pair = hf_compact_read_string_pair(in);
		if (value != NULL)
			expect_text(pair.value, json_object_getn(value, (const char *)pair.key.data, pair.key.length));
	}
}

static void write_any(struct hf_compact_writer *out, const json_t *value, unsigned bits)
{
	if (json_is_object(value)) {
		json_t *object = (json_t *)(uintptr_t)value;
		hf_compact_write_any_object(out, json_object_size(value));
		for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at)) {
			hf_compact_write_any_key(out, hf_slice_text(json_object_iter_key(at)));
			write_any(out, json_object_iter_value(at), 0);
		}
	} else if (json_is_array(value)) {
		hf_compact_write_any_array(out, json_array_size(value));
		for (size_t i = 0; i < json_array_size(value); i++)
			write_any(out, json_array_get(value, i), 0);
	} else if (json_is_null(value)) {
		hf_compact_write_any_null(out);
	} else if (json_is_boolean(value)) {
		hf_compact_write_any_bool(out, json_is_true(value));
	} else if (json_is_string(value)) {
		hf_compact_write_any_string(out, text_of(value));
	} else if (json_is_integer(value)) {
		hf_compact_write_any_integer(out, json_integer_value(value));
	} else {
		hf_compact_write_any_float64(out, json_number_value(value));
	}
}

static void expect_value_of_any(struct hf_compact_any_reader *any, const json_t *value, const char *key)
{
	struct hf_compact_any_token token;
	const char *member;
	json_t *item;
	size_t i;

	assert_int_equal(hf_compact_any_next(any, &token), HF_OK);
	assert_true(hf_slice_equal(token.key, hf_slice_text(key)));
	switch (token.type) {
	case HF_COMPACT_ANY_NULL: assert_true(json_is_null(value)); break;
	case HF_COMPACT_ANY_BOOL: assert_int_equal(token.boolean, json_is_true(value)); break;
	case HF_COMPACT_ANY_STRING: expect_text(token.bytes, value); break;
	case HF_COMPACT_ANY_UINT: assert_int_equal(token.uint, json_integer_value(value)); break;
	case HF_COMPACT_ANY_INT: assert_int_equal(token.integer, json_integer_value(value)); break;
	case HF_COMPACT_ANY_FLOAT64: assert_true(token.number == json_number_value(value)); break;
	case HF_COMPACT_ANY_ARRAY:
		assert_int_equal(token.count, json_array_size(value));
		json_array_foreach(value, i, item)
			expect_value_of_any(any, item, "");
		assert_int_equal(hf_compact_any_next(any, &token), HF_OK);
		assert_int_equal(token.type, HF_COMPACT_ANY_ARRAY_END);
		break;
	case HF_COMPACT_ANY_OBJECT:
		assert_int_equal(token.count, json_object_size(value));
		json_object_foreach((json_t *)(uintptr_t)value, member, item)
			expect_value_of_any(any, item, member);
		assert_int_equal(hf_compact_any_next(any, &token), HF_OK);
		assert_int_equal(token.type, HF_COMPACT_ANY_OBJECT_END);
		break;
	default: fail();
	}
}

static void check_any(struct hf_compact_reader *in, const json_t *value, unsigned bits)
{
	struct hf_compact_any_reader any = hf_compact_any_reader(in);
	struct hf_compact_any_token token;

	if (value != NULL)
		expect_value_of_any(&any, value, "");
	do
		hf_compact_any_next(&any, &token);
	while (token.type != HF_COMPACT_ANY_END);
	assert_int_equal(hf_compact_any_next(&any, &token), in->status);
	assert_int_equal(token.type, HF_COMPACT_ANY_END);
}

static const struct codec codecs[] = {
	{"uint", write_uint, check_uint, 0}, {"int", write_int, check_int, 0}, {"uint8", write_uint, check_uint, 8},
	{"uint16", write_uint, check_uint, 16}, {"uint24", write_uint, check_uint, 24}, {"uint32", write_uint, check_uint, 32},
	{"uint40", write_uint, check_uint, 40}, {"uint48", write_uint, check_uint, 48}, {"uint56", write_uint, check_uint, 56},
	{"uint64", write_uint, check_uint, 64}, {"uint32be", write_lexint, check_lexint, 32},
	{"uint64be", write_lexint, check_lexint, 64}, {"lexint", write_lexint, check_lexint, 0},
	{"float64", write_float64, check_float64, 0}, {"bool", write_bool, check_bool, 0},
	{"buffer", write_buffer, check_buffer, 0}, {"optionalBuffer", write_buffer, check_buffer, 0},
	{"string", write_string, check_string, 0}, {"fixed32", write_raw, check_fixed, 256},
	{"array<uint>", write_uint_array, check_uint_array, 0}, {"array<string>", write_string_array, check_string_array, 0},
	{"uint32array", write_words, check_words, 0}, {"bitarray", write_bits, check_bits, 0},
	{"ipv4", write_ip, check_ip, HF_COMPACT_IPV4}, {"ipv6", write_ip, check_ip, HF_COMPACT_IPV6},
	{"ip", write_ip, check_ip, HF_COMPACT_IP}, {"ipv4Address", write_address, check_address, HF_COMPACT_IPV4},
	{"ipv6Address", write_address, check_address, HF_COMPACT_IPV6}, {"ipAddress", write_address, check_address, HF_COMPACT_IP},
	{"json", write_json, check_json, false}, {"raw.json", write_json, check_json, true}, {"raw", write_raw, check_raw, 0},
	{"raw.utf8", write_raw_utf8, check_raw_utf8, 0}, {"frame<string>", write_frame, check_frame, 0},
	{"stringRecord", write_record, check_record, 0}, {"any", write_any, check_any, 0},
};

static const struct codec *codec_of(const json_t *vector)
{
	for (size_t i = 0; i < sizeof codecs / sizeof *codecs; i++)
		if (strcmp(codecs[i].type, vectors_text(vector, "type")) == 0)
			return &codecs[i];
	fail_msg("no codec for %s", vectors_text(vector, "type"));
	return NULL;
}

static json_t *cases_of(void **state)
{
	return vectors_array(*state, "cases", CASE_COUNT);
}

static int set_up(void **state)
{
	*state = vectors_load("hypercore/compact-encoding.json");
	return 0;
}

static int tear_down(void **state)
{
	json_decref(*state);
	return 0;
}

static void test_vectors_are_written(void **state)
{
	json_t *vector;
	size_t i;

	json_array_foreach(cases_of(state), i, vector) {
		struct hf_buffer bytes = {0};
		struct hf_compact_writer out = hf_compact_writer(&bytes);
		const struct codec *codec = codec_of(vector);
		codec->write(&out, vectors_get(vector, "value"), codec->bits);
		assert_int_equal(out.status, HF_OK);
		vectors_expect(vector, "hex", bytes.data, bytes.length);
		hf_buffer_free(&bytes);
	}
}

static void test_vectors_are_read(void **state)
{
	struct hf_buffer bytes = {0};
	json_t *vector;
	size_t i;

	json_array_foreach(cases_of(state), i, vector) {
		struct hf_compact_reader in = hf_compact_reader(vectors_hex(&bytes, vector, "hex"));
		const struct codec *codec = codec_of(vector);
		codec->check(&in, vectors_get(vector, "value"), codec->bits);
		assert_int_equal(in.status, HF_OK);
		assert_int_equal(hf_compact_left(&in), 0);
	}
	hf_buffer_free(&bytes);
}

/* Every prefix, in memory of its own size. A raw value is the rest, so that its prefix is a value, too. */
static void test_vectors_cut_short_are_refused(void **state)
{
	struct hf_buffer bytes = {0};
	json_t *vector;
	size_t i, refused = 0;

	json_array_foreach(cases_of(state), i, vector) {
		const struct codec *codec = codec_of(vector);
		if (strncmp(codec->type, "raw", 3) == 0 && codec->check != check_json)
			continue;
		vectors_hex(&bytes, vector, "hex");
		for (size_t length = 0; length < bytes.length; length++) {
			uint8_t *copy = malloc(length + 1);
			memcpy(copy + 1, bytes.data, length);
			struct hf_compact_reader in = hf_compact_reader(hf_slice(copy + 1, length));
			codec->check(&in, NULL, codec->bits);
			assert_int_equal(in.status, HF_EMALFORMED);
			assert_int_equal(hf_compact_left(&in), 0);
			free(copy);
			refused++;
		}
	}
	assert_true(refused > 700);
	hf_buffer_free(&bytes);
}

static uint64_t uint_from(const char *hex, int status)
{
	struct hf_buffer bytes = {0};
	struct hf_compact_reader in = hf_compact_reader(vectors_from_hex(&bytes, hex));
	uint64_t value = hf_compact_read_uint(&in);

	assert_int_equal(in.status, status);
	hf_buffer_free(&bytes);
	return value;
}

static void test_longer_forms_than_need_be_are_accepted(void **state)
{
	assert_int_equal(uint_from("fd0500", HF_OK), 5);
	assert_int_equal(uint_from("fe05000000", HF_OK), 5);
	assert_int_equal(uint_from("ff0500000000000000", HF_OK), 5);
	assert_int_equal(uint_from("feffff0000", HF_OK), 65535);
}

static void test_numbers_above_2_to_the_53_are_refused(void **state)
{
	struct hf_buffer bytes = {0};
	struct hf_compact_writer out = hf_compact_writer(&bytes);

	assert_int_equal(uint_from("ffffffffffffff1f00", HF_OK), HF_COMPACT_UINT_MAX);
	assert_int_equal(uint_from("ff0000000000002000", HF_ETOOBIG), 0);
	assert_int_equal(uint_from("ffffffffffffffffff", HF_ETOOBIG), 0);
	for (unsigned bits = 56; bits <= 64; bits += 8) {
		struct hf_compact_reader in = hf_compact_reader(vectors_from_hex(&bytes, "0000000000002000"));
		hf_compact_read_uint_bits(&in, bits);
		assert_int_equal(in.status, HF_ETOOBIG);
	}
	hf_buffer_clear(&bytes);
	hf_compact_write_uint(&out, HF_COMPACT_UINT_MAX + 1);
	assert_int_equal(out.status, HF_EINVAL);
	hf_compact_write_uint(&out, 1);
	assert_int_equal(out.status, HF_EINVAL);
	assert_int_equal(bytes.length, 0);
	hf_buffer_free(&bytes);
}

static void test_after_a_failure_everything_reads_as_zero(void **state)
{
	struct hf_buffer bytes = {0};
	struct hf_compact_reader in = hf_compact_reader(vectors_from_hex(&bytes, "fe0102"));

	assert_int_equal(hf_compact_read_uint(&in), 0);
	assert_int_equal(hf_compact_read_uint(&in), 0);
	assert_int_equal(hf_compact_read_buffer(&in).length, 0);
	assert_null(hf_compact_read_fixed(&in, 0));
	assert_int_equal(in.status, HF_EMALFORMED);
	hf_buffer_free(&bytes);
}

static void test_counts_are_bounded_by_limit_and_by_bytes(void **state)
{
	struct hf_buffer bytes = {0};
	struct hf_compact_reader in = hf_compact_reader(vectors_from_hex(&bytes, "fe01001000"));

	assert_int_equal(hf_compact_read_count(&in, HF_COMPACT_ARRAY_COUNT_MAX, 0), 0);
	assert_int_equal(in.status, HF_ETOOBIG);
	in = hf_compact_reader(vectors_from_hex(&bytes, "03010203"));
	assert_int_equal(hf_compact_read_count(&in, 8, 2), 0);
	assert_int_equal(in.status, HF_EMALFORMED);
	hf_buffer_free(&bytes);
}

static void test_long_frames_get_a_long_length(void **state)
{
	static const size_t lengths[] = {0, 252, 253, 65535, 65536};
	static uint8_t zeros[65536];
	struct hf_buffer bytes = {0};

	for (size_t i = 0; i < 5; i++) {
		struct hf_compact_writer out = hf_compact_writer(&bytes);
		hf_buffer_clear(&bytes);
		hf_compact_write_uint(&out, 7);
		size_t begun = hf_compact_frame_begin(&out);
		hf_compact_write_fixed(&out, zeros, lengths[i]);
		hf_compact_frame_end(&out, begun);
		struct hf_compact_reader in = hf_compact_reader(hf_buffer_slice(&bytes));
		assert_int_equal(hf_compact_read_uint(&in), 7);
		struct hf_compact_reader frame = hf_compact_read_frame(&in);
		assert_int_equal(hf_compact_left(&frame), lengths[i]);
		assert_int_equal(hf_compact_left(&in), 0);
	}
	hf_buffer_free(&bytes);
}

static int any_status(struct hf_slice bytes, size_t *token_count)
{
	struct hf_compact_reader in = hf_compact_reader(bytes);
	struct hf_compact_any_reader any = hf_compact_any_reader(&in);
	struct hf_compact_any_token token = {0};

	for (*token_count = 0; token.type != HF_COMPACT_ANY_END; ++*token_count)
		hf_compact_any_next(&any, &token);
	return in.status;
}

static void test_any_is_bounded_in_depth_and_count(void **state)
{
	uint8_t nested[2 * (HF_COMPACT_ANY_DEPTH_MAX + 1) + 1];
	struct hf_buffer bytes = {0};
	size_t count;

	for (size_t i = 0; i < sizeof nested; i++)
		nested[i] = i % 2 == 0 ? HF_COMPACT_ANY_ARRAY : 1;
	nested[2 * HF_COMPACT_ANY_DEPTH_MAX] = HF_COMPACT_ANY_NULL;
	assert_int_equal(any_status(hf_slice(nested, sizeof nested), &count), HF_OK);
	assert_int_equal(count, 2 * HF_COMPACT_ANY_DEPTH_MAX + 2);
	nested[2 * HF_COMPACT_ANY_DEPTH_MAX] = HF_COMPACT_ANY_ARRAY;
	assert_int_equal(any_status(hf_slice(nested, sizeof nested), &count), HF_ETOOBIG);
	assert_int_equal(any_status(vectors_from_hex(&bytes, "07fe01001000"), &count), HF_ETOOBIG);
	assert_int_equal(any_status(vectors_from_hex(&bytes, "070300"), &count), HF_EMALFORMED);
	assert_int_equal(any_status(vectors_from_hex(&bytes, "0a"), &count), HF_EMALFORMED);
	assert_int_equal(any_status(vectors_from_hex(&bytes, "0201ff"), &count), HF_EMALFORMED);
	hf_buffer_free(&bytes);
}

static void test_any_gives_buffers_and_dates(void **state)
{
	struct hf_buffer bytes = {0};
	struct hf_compact_writer out = hf_compact_writer(&bytes);
	struct hf_compact_any_token token;

	hf_compact_write_any_array(&out, 2);
	hf_compact_write_any_buffer(&out, HF_SLICE_LITERAL("\xff\x00"));
	hf_compact_write_any_date(&out, -86400000);
	struct hf_compact_reader in = hf_compact_reader(hf_buffer_slice(&bytes));
	struct hf_compact_any_reader any = hf_compact_any_reader(&in);
	assert_int_equal(hf_compact_any_next(&any, &token), HF_OK);
	assert_int_equal(hf_compact_any_next(&any, &token), HF_OK);
	assert_int_equal(token.type, HF_COMPACT_ANY_BUFFER);
	assert_true(hf_slice_equal(token.bytes, HF_SLICE_LITERAL("\xff\x00")));
	assert_int_equal(hf_compact_any_next(&any, &token), HF_OK);
	assert_int_equal(token.type, HF_COMPACT_ANY_DATE);
	assert_int_equal(token.integer, -86400000);
	hf_buffer_free(&bytes);
}

static void test_addresses_of_another_family_are_refused(void **state)
{
	struct hf_buffer bytes = {0};
	struct hf_compact_writer out = hf_compact_writer(&bytes);
	struct hf_compact_ip ip = {.family = 6};
	struct hf_compact_reader in = hf_compact_reader(vectors_from_hex(&bytes, "050a000001"));

	ip = hf_compact_read_ip(&in, HF_COMPACT_IP);
	assert_int_equal(in.status, HF_EMALFORMED);
	assert_int_equal(ip.family, 0);
	ip.family = 6;
	hf_compact_write_ip(&out, HF_COMPACT_IPV4, &ip);
	assert_int_equal(out.status, HF_EINVAL);
	out = hf_compact_writer(&bytes);
	ip.family = 5;
	hf_compact_write_ip(&out, HF_COMPACT_IP, &ip);
	assert_int_equal(out.status, HF_EINVAL);
	hf_buffer_free(&bytes);
}

static void test_json_is_checked(void **state)
{
	struct hf_buffer bytes = {0};
	struct hf_compact_reader in = hf_compact_reader(vectors_from_hex(&bytes, "027b7b"));

	assert_int_equal(hf_compact_read_json(&in).length, 0);
	assert_int_equal(in.status, HF_EMALFORMED);
	hf_buffer_free(&bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors_are_written),
		cmocka_unit_test(test_vectors_are_read),
		cmocka_unit_test(test_vectors_cut_short_are_refused),
		cmocka_unit_test(test_longer_forms_than_need_be_are_accepted),
		cmocka_unit_test(test_numbers_above_2_to_the_53_are_refused),
		cmocka_unit_test(test_after_a_failure_everything_reads_as_zero),
		cmocka_unit_test(test_counts_are_bounded_by_limit_and_by_bytes),
		cmocka_unit_test(test_long_frames_get_a_long_length),
		cmocka_unit_test(test_any_is_bounded_in_depth_and_count),
		cmocka_unit_test(test_any_gives_buffers_and_dates),
		cmocka_unit_test(test_addresses_of_another_family_are_refused),
		cmocka_unit_test(test_json_is_checked),
	};
	return cmocka_run_group_tests_name("compact", tests, set_up, tear_down);
}
