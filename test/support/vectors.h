/* vectors: test vectors in JSON below test/vectors, read with jansson. Whatever is missing or of the wrong type fails the test. */
#ifndef TEST_SUPPORT_VECTORS_H
#define TEST_SUPPORT_VECTORS_H

#include <jansson.h>

#include "base/bytes.h"

/* The parsed file, for example "hypercore/noise.json"; json_decref at the end. */
json_t *vectors_load(const char *name);
/* Members of an object. */
json_t *vectors_get(const json_t *object, const char *key);
json_t *vectors_array(const json_t *object, const char *key, size_t count_expected);
const char *vectors_text(const json_t *object, const char *key);
uint64_t vectors_uint(const json_t *object, const char *key);
bool vectors_bool(const json_t *object, const char *key);
/* Appends the bytes that hex text stands for, after emptying the buffer; returns them, never with data NULL. */
struct hf_slice vectors_from_hex(struct hf_buffer *out, const char *hex);
struct hf_slice vectors_hex(struct hf_buffer *out, const json_t *object, const char *key);
/* The same of a known length. */
void vectors_bytes(uint8_t *out, size_t length, const json_t *object, const char *key);
/* Fails unless the member is these bytes in hex. */
void vectors_expect(const json_t *object, const char *key, const void *data, size_t length);

#endif
