#include "wire/secret_stream_output.h"

#include <stdlib.h>

#define CHUNK_BYTES (16u << 10)
#define SLICE_COUNT_MIN 8u

static bool reserve_slice(struct hf_secret_stream_output *output)
{
	if (output->first + output->count < output->capacity)
		return true;
	if (output->first > 0) {
		memmove(output->slices, output->slices + output->first, output->count * sizeof *output->slices);
		output->first = 0;
		return true;
	}
	size_t capacity = output->capacity > 0 ? 2 * output->capacity : SLICE_COUNT_MIN;
	struct hf_secret_stream_slice *slices = realloc(output->slices, capacity * sizeof *slices);
	if (slices == NULL)
		return false;
	output->slices = slices;
	output->capacity = capacity;
	return true;
}

uint8_t *hf_secret_stream_output_reserve(struct hf_secret_stream_output *output, size_t length)
{
	if (!reserve_slice(output))
		return NULL;
	if (output->chunk == NULL || output->chunk->length - output->used < length) {
		struct hf_shared *chunk = hf_shared_new(length > CHUNK_BYTES ? length : CHUNK_BYTES);
		if (chunk == NULL)
			return NULL;
		hf_shared_unref(output->chunk);
		output->chunk = chunk;
		output->used = 0;
	}
	return output->chunk->data + output->used;
}

void hf_secret_stream_output_commit(struct hf_secret_stream_output *output, size_t length)
{
	struct hf_secret_stream_slice *last = output->count > 0 ? &output->slices[output->first + output->count - 1] : NULL;
	const uint8_t *data = output->chunk->data + output->used;

	output->used += length;
	output->bytes += length;
	if (last != NULL && last->chunk == output->chunk && last->data + last->length == data) {
		last->length += length;
		return;
	}
	output->slices[output->first + output->count++] =
		(struct hf_secret_stream_slice){.chunk = hf_shared_ref(output->chunk), .data = data, .length = length};
}

static void release_chunk(struct hf_secret_stream_output *output)
{
	hf_shared_unref(output->chunk);
	output->chunk = NULL;
	output->used = 0;
}

size_t hf_secret_stream_output_take(struct hf_secret_stream_output *output, struct hf_secret_stream_slice *slices, size_t count_max)
{
	size_t count = output->count < count_max ? output->count : count_max;

	for (size_t i = 0; i < count; i++) {
		slices[i] = output->slices[output->first + i];
		output->bytes -= slices[i].length;
	}
	output->first += count;
	output->count -= count;
	if (output->count == 0) {
		output->first = 0;
		release_chunk(output);
	}
	return count;
}

void hf_secret_stream_output_free(struct hf_secret_stream_output *output)
{
	for (size_t i = 0; i < output->count; i++)
		hf_shared_unref(output->slices[output->first + i].chunk);
	free(output->slices);
	release_chunk(output);
	*output = (struct hf_secret_stream_output){0};
}
