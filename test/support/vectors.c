#include "support/vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

json_t *vectors_load(const char *name)
{
	char path[4096];
	json_error_t error;

	snprintf(path, sizeof path, "%s/%s", VECTORS_DIRECTORY, name);
	json_t *root = json_load_file(path, JSON_ALLOW_NUL, &error);
	if (root == NULL)
		fail_msg("%s:%d: %s", path, error.line, error.text);
	return root;
}

json_t *vectors_get(const json_t *object, const char *key)
{
	json_t *value = json_object_get(object, key);

	if (value == NULL)
		fail_msg("the vector has no %s", key);
	return value;
}

json_t *vectors_array(const json_t *object, const char *key, size_t count_expected)
{
	json_t *array = vectors_get(object, key);

	assert_true(json_is_array(array));
	assert_int_equal(json_array_size(array), count_expected);
	return array;
}

const char *vectors_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(vectors_get(object, key));

	assert_non_null(text);
	return text;
}

uint64_t vectors_uint(const json_t *object, const char *key)
{
	json_t *value = vectors_get(object, key);

	assert_true(json_is_integer(value));
	return (uint64_t)json_integer_value(value);
}

bool vectors_bool(const json_t *object, const char *key)
{
	json_t *value = vectors_get(object, key);

	assert_true(json_is_boolean(value));
	return json_is_true(value);
}

struct hf_slice vectors_from_hex(struct hf_buffer *out, const char *hex)
{
	hf_buffer_clear(out);
	assert_int_equal(hf_buffer_reserve(out, strlen(hex) / 2 + 1), 0);
	assert_int_equal(strlen(hex) % 2, 0);
	for (; *hex != 0; hex += 2) {
		unsigned byte;
		assert_int_equal(sscanf(hex, "%2x", &byte), 1);
		out->data[out->length++] = (uint8_t)byte;
	}
	return hf_buffer_slice(out);
}

struct hf_slice vectors_hex(struct hf_buffer *out, const json_t *object, const char *key)
{
	return vectors_from_hex(out, vectors_text(object, key));
}

void vectors_bytes(uint8_t *out, size_t length, const json_t *object, const char *key)
{
	struct hf_buffer bytes = {0};

	assert_int_equal(vectors_hex(&bytes, object, key).length, length);
	memcpy(out, bytes.data, length);
	hf_buffer_free(&bytes);
}

void vectors_expect(const json_t *object, const char *key, const void *data, size_t length)
{
	struct hf_buffer bytes = {0};

	assert_int_equal(vectors_hex(&bytes, object, key).length, length);
	assert_memory_equal(bytes.data, data, length);
	hf_buffer_free(&bytes);
}
