/* Buffers grow by half, so that appends cost a constant each and a large buffer does not double. */
#include "base/bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"

#define BUFFER_CAPACITY_BYTES_MIN 64

int hf_slice_compare(struct hf_slice a, struct hf_slice b)
{
	size_t shared = a.length < b.length ? a.length : b.length;
	int order = shared ? memcmp(a.data, b.data, shared) : 0;
	if (order != 0)
		return order;
	return (a.length > b.length) - (a.length < b.length);
}

void hf_buffer_free(struct hf_buffer *buffer)
{
	free(buffer->data);
	*buffer = (struct hf_buffer){0};
}

int hf_buffer_reserve(struct hf_buffer *buffer, size_t more)
{
	if (more <= buffer->capacity - buffer->length)
		return HF_OK;
	if (more > PTRDIFF_MAX - buffer->length)
		return HF_ENOMEM;
	size_t needed = buffer->length + more;
	size_t capacity = buffer->capacity + buffer->capacity / 2;
	if (capacity < needed)
		capacity = needed;
	if (capacity < BUFFER_CAPACITY_BYTES_MIN)
		capacity = BUFFER_CAPACITY_BYTES_MIN;
	uint8_t *data = realloc(buffer->data, capacity);
	if (!data)
		return HF_ENOMEM;
	buffer->data = data;
	buffer->capacity = capacity;
	return HF_OK;
}

int hf_buffer_append(struct hf_buffer *buffer, const void *data, size_t length)
{
	int error = hf_buffer_reserve(buffer, length);
	if (error)
		return error;
	if (length)
		memcpy(buffer->data + buffer->length, data, length);
	buffer->length += length;
	return HF_OK;
}

int hf_buffer_append_text(struct hf_buffer *buffer, const char *text)
{
	return hf_buffer_append(buffer, text, strlen(text));
}

int hf_buffer_printf(struct hf_buffer *buffer, const char *format, ...)
{
	size_t room = buffer->capacity - buffer->length;
	va_list arguments;
	va_start(arguments, format);
	int length = vsnprintf(room ? (char *)buffer->data + buffer->length : NULL, room, format, arguments);
	va_end(arguments);
	if (length < 0)
		return HF_EINVAL;
	if ((size_t)length >= room) {
		int error = hf_buffer_reserve(buffer, (size_t)length + 1);
		if (error)
			return error;
		va_start(arguments, format);
		vsnprintf((char *)buffer->data + buffer->length, (size_t)length + 1, format, arguments);
		va_end(arguments);
	}
	buffer->length += (size_t)length;
	return HF_OK;
}

void hf_buffer_consume(struct hf_buffer *buffer, size_t count)
{
	if (count >= buffer->length) {
		buffer->length = 0;
		return;
	}
	if (count == 0)
		return;
	memmove(buffer->data, buffer->data + count, buffer->length - count);
	buffer->length -= count;
}

struct hf_shared *hf_shared_new(size_t length)
{
	if (length > UINT32_MAX)
		return NULL;
	struct hf_shared *shared = malloc(sizeof *shared + length);
	if (!shared)
		return NULL;
	atomic_init(&shared->references, 1);
	shared->length = (uint32_t)length;
	return shared;
}

struct hf_shared *hf_shared_copy(const void *data, size_t length)
{
	struct hf_shared *shared = hf_shared_new(length);
	if (shared && length)
		memcpy(shared->data, data, length);
	return shared;
}

struct hf_shared *hf_shared_ref(struct hf_shared *shared)
{
	atomic_fetch_add_explicit(&shared->references, 1, memory_order_relaxed);
	return shared;
}

void hf_shared_unref(struct hf_shared *shared)
{
	if (shared && atomic_fetch_sub_explicit(&shared->references, 1, memory_order_acq_rel) == 1)
		free(shared);
}

size_t hf_varint_write(uint8_t out[static HF_VARINT_BYTES_MAX], uint64_t value)
{
	size_t length = 0;
	while (value >= 0x80) {
		out[length++] = (uint8_t)(value | 0x80);
		value >>= 7;
	}
	out[length++] = (uint8_t)value;
	return length;
}

size_t hf_varint_read(const uint8_t *data, size_t length, uint64_t *value)
{
	uint64_t result = 0;
	size_t length_max = length < HF_VARINT_BYTES_MAX ? length : HF_VARINT_BYTES_MAX;
	for (size_t i = 0; i < length_max; i++) {
		uint64_t bits = data[i] & 0x7f;
		if (i == HF_VARINT_BYTES_MAX - 1 && bits > 1)
			return 0;
		result |= bits << (7 * i);
		if (data[i] < 0x80) {
			*value = result;
			return i + 1;
		}
	}
	return 0;
}
