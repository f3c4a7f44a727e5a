/* bytes: borrowed slices, a growable buffer, shared immutable bytes, and little/big-endian access. */
#ifndef HF_BASE_BYTES_H
#define HF_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/api.h"

/* Borrowed bytes; the owner outlives the slice. data may be NULL when length is 0. */
struct hf_slice {
	const uint8_t *data;
	size_t length;
};

static inline struct hf_slice hf_slice(const void *data, size_t length)
{
	return (struct hf_slice){(const uint8_t *)data, length};
}
static inline struct hf_slice hf_slice_text(const char *text)
{
	return (struct hf_slice){(const uint8_t *)text, strlen(text)};
}
#define HF_SLICE_LITERAL(text) ((struct hf_slice){(const uint8_t *)(text), sizeof(text) - 1})
static inline bool hf_slice_equal(struct hf_slice a, struct hf_slice b)
{
	return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}
/* Byte order, a shorter prefix first: <0, 0 or >0. */
HF_API int hf_slice_compare(struct hf_slice a, struct hf_slice b);

/* Owned, growable bytes. Zero-initialise; hf_buffer_free at the end. */
struct hf_buffer {
	uint8_t *data;
	size_t length;
	size_t capacity;
};

HF_API void hf_buffer_free(struct hf_buffer *buffer);
/* Makes room for `more` bytes past length. HF_ENOMEM leaves the buffer as it was. */
HF_API int hf_buffer_reserve(struct hf_buffer *buffer, size_t more);
HF_API int hf_buffer_append(struct hf_buffer *buffer, const void *data, size_t length);
HF_API int hf_buffer_append_text(struct hf_buffer *buffer, const char *text);
HF_API int hf_buffer_printf(struct hf_buffer *buffer, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Forgets the first `count` bytes (memmove of the rest). */
HF_API void hf_buffer_consume(struct hf_buffer *buffer, size_t count);
static inline struct hf_slice hf_buffer_slice(const struct hf_buffer *buffer)
{
	return (struct hf_slice){buffer->data, buffer->length};
}
static inline void hf_buffer_clear(struct hf_buffer *buffer) { buffer->length = 0; }

/* Immutable bytes with an atomic reference count: a message for many is built once and shared. */
struct hf_shared {
	HF_ATOMIC(uint32_t) references;
	uint32_t length;
	uint8_t data[];
};

/* One reference, contents undefined until the caller has written them. NULL when out of memory. */
HF_API struct hf_shared *hf_shared_new(size_t length);
HF_API struct hf_shared *hf_shared_copy(const void *data, size_t length);
HF_API struct hf_shared *hf_shared_ref(struct hf_shared *shared);
HF_API void hf_shared_unref(struct hf_shared *shared); /* NULL is fine */

/* Unaligned access by byte order. */
#define HF_BYTES_ACCESS(bits, order, swap)                                                        \
	static inline uint##bits##_t hf_load_##order##bits(const void *p)                         \
	{                                                                                         \
		uint##bits##_t v;                                                                 \
		memcpy(&v, p, sizeof v);                                                          \
		return swap(v);                                                                   \
	}                                                                                         \
	static inline void hf_store_##order##bits(void *p, uint##bits##_t v)                      \
	{                                                                                         \
		v = swap(v);                                                                      \
		memcpy(p, &v, sizeof v);                                                          \
	}
#define HF_BYTES_SAME(v) (v)
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "written for little-endian machines"
#endif
HF_BYTES_ACCESS(16, le, HF_BYTES_SAME)
HF_BYTES_ACCESS(32, le, HF_BYTES_SAME)
HF_BYTES_ACCESS(64, le, HF_BYTES_SAME)
HF_BYTES_ACCESS(16, be, __builtin_bswap16)
HF_BYTES_ACCESS(32, be, __builtin_bswap32)
HF_BYTES_ACCESS(64, be, __builtin_bswap64)

/* LEB128: 7 bits a byte, low first, at most 10 bytes. write returns the length; read returns the
 * length consumed or 0 when the bytes end early or pass 64 bits. */
#define HF_VARINT_BYTES_MAX 10
HF_API size_t hf_varint_write(uint8_t out[static HF_VARINT_BYTES_MAX], uint64_t value);
HF_API size_t hf_varint_read(const uint8_t *data, size_t length, uint64_t *value);

#endif
