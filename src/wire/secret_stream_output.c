#include "wire/secret_stream_output.h"

#include <assert.h>
#include <stdlib.h>

#define SLICE_COUNT_MIN 8u

int hf_secret_stream_pool_new(struct hf_secret_stream_pool **out)
{
	struct hf_secret_stream_pool *pool = calloc(1, sizeof *pool);

	*out = NULL;
	if (pool == NULL)
		return HF_ENOMEM;
	int error = hf_secretstream_engine_new(&pool->engine);
	if (error != HF_OK) {
		free(pool);
		return error;
	}
	*out = pool;
	return HF_OK;
}

void hf_secret_stream_pool_free(struct hf_secret_stream_pool *pool)
{
	if (pool == NULL)
		return;
	for (size_t size = 0; size < HF_SECRET_STREAM_CHUNK_SIZES; size++)
		for (struct hf_secret_stream_chunk *chunk = pool->free[size], *next; chunk != NULL; chunk = next) {
			next = chunk->next_free;
			free(chunk);
		}
	hf_secretstream_engine_free(pool->engine);
	free(pool);
}

static size_t capacity_of(size_t size)
{
	return (size_t)HF_SECRET_STREAM_CHUNK_BYTES << size;
}

static struct hf_secret_stream_chunk *pop_free(struct hf_secret_stream_pool *pool, size_t size)
{
	struct hf_secret_stream_chunk *chunk = pool->free[size];

	if (chunk != NULL) {
		pool->free[size] = chunk->next_free;
		pool->free_bytes -= capacity_of(size);
	}
	return chunk;
}

/* Gives memory of other sizes back until one more chunk of this size may be kept; what was used last is what is wanted next. */
static bool make_room(struct hf_secret_stream_pool *pool, size_t wanted)
{
	for (size_t size = 0; size < HF_SECRET_STREAM_CHUNK_SIZES; size++)
		while (size != wanted && pool->free[size] != NULL &&
			pool->free_bytes + capacity_of(wanted) > HF_SECRET_STREAM_KEPT_BYTES_MAX)
			free(pop_free(pool, size));
	return pool->free_bytes + capacity_of(wanted) <= HF_SECRET_STREAM_KEPT_BYTES_MAX;
}

static struct hf_secret_stream_chunk *chunk_new(struct hf_secret_stream_pool *pool, size_t length)
{
	size_t size = 0;

	while (capacity_of(size) < length)
		size++;
	assert(size < HF_SECRET_STREAM_CHUNK_SIZES);
	struct hf_secret_stream_chunk *chunk = pop_free(pool, size);
	if (chunk == NULL)
		chunk = malloc(sizeof *chunk + capacity_of(size));
	if (chunk == NULL)
		return NULL;
	*chunk = (struct hf_secret_stream_chunk){.pool = pool, .references = 1, .size = (uint32_t)size};
	return chunk;
}

void hf_secret_stream_release(void *released)
{
	struct hf_secret_stream_chunk *chunk = released;

	if (chunk == NULL || --chunk->references > 0)
		return;
	struct hf_secret_stream_pool *pool = chunk->pool;
	if (!make_room(pool, chunk->size)) {
		free(chunk);
		return;
	}
	chunk->next_free = pool->free[chunk->size];
	pool->free[chunk->size] = chunk;
	pool->free_bytes += capacity_of(chunk->size);
}

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
	if (output->chunk == NULL || capacity_of(output->chunk->size) - output->used < length) {
		struct hf_secret_stream_chunk *chunk = chunk_new(output->pool, length);
		if (chunk == NULL)
			return NULL;
		hf_secret_stream_release(output->chunk);
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
	output->chunk->references++;
	output->slices[output->first + output->count++] =
		(struct hf_secret_stream_slice){.chunk = output->chunk, .data = data, .length = length};
}

static void release_chunk(struct hf_secret_stream_output *output)
{
	hf_secret_stream_release(output->chunk);
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
		hf_secret_stream_release(output->slices[output->first + i].chunk);
	free(output->slices);
	release_chunk(output);
	*output = (struct hf_secret_stream_output){.pool = output->pool};
}
