/* Items are a window [first, first + count) of an array: taken from the front, added at the end, moved down when the
 * end is reached. A chunk has one reference for each item in it and one while it is the tail. */
#include "net/stream_queue.h"

#include <stdlib.h>

#include "net/stream.h"

#define CHUNK_BYTES 4096
#define POOL_CHUNKS_MAX 256
#define POOL_OUTS_MAX 512

struct hf_stream_pool {
	struct hf_stream_chunk *chunks;
	struct hf_stream_out *outs;
	unsigned chunk_count, out_count;
	struct hf_memory *memory;
};

int hf_stream_pool_new(struct hf_stream_pool **out, struct hf_memory *memory)
{
	*out = calloc(1, sizeof **out);
	if (!*out)
		return HF_ENOMEM;
	(*out)->memory = memory;
	return HF_OK;
}

void hf_stream_pool_free(struct hf_stream_pool *pool)
{
	if (!pool)
		return;
	while (pool->chunks) {
		struct hf_stream_chunk *next = pool->chunks->next_free;
		free(pool->chunks);
		pool->chunks = next;
	}
	while (pool->outs) {
		struct hf_stream_out *next = pool->outs->next_free;
		free(pool->outs);
		pool->outs = next;
	}
	free(pool);
}

static struct hf_stream_chunk *chunk_new(struct hf_stream_pool *pool, size_t length)
{
	size_t capacity = CHUNK_BYTES - sizeof(struct hf_stream_chunk);
	struct hf_stream_chunk *chunk = pool->chunks;
	if (length <= capacity && chunk) {
		pool->chunks = chunk->next_free;
		pool->chunk_count--;
	} else {
		if (length > capacity)
			capacity = length;
		chunk = malloc(sizeof *chunk + capacity);
		if (!chunk)
			return NULL;
		chunk->pool = pool;
		chunk->capacity = (uint32_t)capacity;
	}
	hf_memory_hold(pool->memory, HF_MEMORY_SEND, sizeof *chunk + chunk->capacity);
	chunk->references = 1;
	chunk->used = 0;
	return chunk;
}

static void chunk_unref(void *owner)
{
	struct hf_stream_chunk *chunk = owner;
	struct hf_stream_pool *pool = chunk->pool;
	if (--chunk->references)
		return;
	hf_memory_release(pool->memory, HF_MEMORY_SEND, sizeof *chunk + chunk->capacity);
	if (pool->chunk_count == POOL_CHUNKS_MAX || chunk->capacity + sizeof *chunk != CHUNK_BYTES) {
		free(chunk);
		return;
	}
	chunk->next_free = pool->chunks;
	pool->chunks = chunk;
	pool->chunk_count++;
}

struct hf_stream_out *hf_stream_out_new(struct hf_stream_pool *pool)
{
	struct hf_stream_out *out = pool->outs;
	if (out) {
		pool->outs = out->next_free;
		pool->out_count--;
	} else {
		out = malloc(sizeof *out);
		if (!out)
			return NULL;
	}
	hf_memory_hold(pool->memory, HF_MEMORY_SEND, sizeof *out);
	out->pool = pool;
	out->bytes = out->in_flight_bytes = out->cipher_held = 0;
	out->cipher = (struct hf_buffer){0};
	out->tail = NULL;
	out->items = out->inline_items;
	out->first = out->count = 0;
	out->capacity = HF_STREAM_QUEUE_INLINE;
	return out;
}

static void release_first(struct hf_stream_out *out)
{
	struct hf_stream_item *item = &out->items[out->first++];
	out->count--;
	if (item->release)
		item->release(item->owner);
}

/* The array of items, when it is not the one inside. */
static void drop_items(struct hf_stream_out *out)
{
	if (out->items == out->inline_items)
		return;
	hf_memory_release(out->pool->memory, HF_MEMORY_SEND, out->capacity * sizeof *out->items);
	free(out->items);
}

void hf_stream_out_count_cipher(struct hf_stream_out *out)
{
	hf_memory_change(out->pool->memory, HF_MEMORY_SEND, &out->cipher_held, out->cipher.capacity);
}

void hf_stream_out_free(struct hf_stream_out *out)
{
	if (!out)
		return;
	struct hf_stream_pool *pool = out->pool;
	while (out->count)
		release_first(out);
	if (out->tail)
		chunk_unref(out->tail);
	drop_items(out);
	hf_buffer_free(&out->cipher);
	hf_stream_out_count_cipher(out);
	hf_memory_release(pool->memory, HF_MEMORY_SEND, sizeof *out);
	if (pool->out_count == POOL_OUTS_MAX) {
		free(out);
		return;
	}
	out->next_free = pool->outs;
	pool->outs = out;
	pool->out_count++;
}

static int make_room(struct hf_stream_out *out)
{
	if (out->first + out->count < out->capacity)
		return HF_OK;
	if (out->first >= out->capacity / 2) {
		memmove(out->items, out->items + out->first, out->count * sizeof *out->items);
		out->first = 0;
		return HF_OK;
	}
	uint32_t capacity = out->capacity * 4;
	struct hf_stream_item *items = malloc(capacity * sizeof *items);
	if (!items)
		return HF_ENOMEM;
	memcpy(items, out->items + out->first, out->count * sizeof *items);
	hf_memory_hold(out->pool->memory, HF_MEMORY_SEND, capacity * sizeof *items);
	drop_items(out);
	out->items = items;
	out->capacity = capacity;
	out->first = 0;
	return HF_OK;
}

int hf_stream_out_push(struct hf_stream_out *out, struct hf_slice bytes, void *owner, void (*release)(void *owner))
{
	int error = make_room(out);
	if (error)
		return error;
	out->items[out->first + out->count++] = (struct hf_stream_item){bytes.data, bytes.length, owner, release};
	out->bytes += bytes.length;
	return HF_OK;
}

/* Adds bytes to the tail chunk, which has room; one item when the last one ends there. */
static int copy_to_tail(struct hf_stream_out *out, const uint8_t *data, size_t length)
{
	struct hf_stream_chunk *tail = out->tail;
	uint8_t *place = tail->data + tail->used;
	struct hf_stream_item *last = out->count ? &out->items[out->first + out->count - 1] : NULL;
	if (last && last->owner == tail && last->data + last->length == place) {
		last->length += length;
		out->bytes += length;
	} else {
		int error = hf_stream_out_push(out, hf_slice(place, length), tail, chunk_unref);
		if (error)
			return error;
		tail->references++;
	}
	memcpy(place, data, length);
	tail->used += (uint32_t)length;
	return HF_OK;
}

int hf_stream_out_copy(struct hf_stream_out *out, struct hf_slice bytes)
{
	struct hf_stream_chunk *tail = out->tail;
	size_t room = tail ? tail->capacity - tail->used : 0;
	if (bytes.length > room) {
		/* All or nothing: the new chunk takes what the old one has no room for. */
		struct hf_stream_chunk *fresh = chunk_new(out->pool, bytes.length);
		if (!fresh)
			return HF_ENOMEM;
		if (tail)
			chunk_unref(tail);
		out->tail = fresh;
	}
	return bytes.length ? copy_to_tail(out, bytes.data, bytes.length) : HF_OK;
}

unsigned hf_stream_out_slices(const struct hf_stream_out *out, uv_buf_t *buffers, unsigned count_max, size_t *bytes)
{
	unsigned count = out->count < count_max ? out->count : count_max;
	*bytes = 0;
	for (unsigned i = 0; i < count; i++) {
		const struct hf_stream_item *item = &out->items[out->first + i];
		buffers[i].base = (char *)(uintptr_t)item->data;
		buffers[i].len = item->length;
		*bytes += item->length;
	}
	return count;
}

void hf_stream_out_consume(struct hf_stream_out *out, size_t bytes)
{
	out->bytes -= bytes;
	while (out->count && bytes >= out->items[out->first].length) {
		bytes -= out->items[out->first].length;
		release_first(out);
	}
	if (bytes) {
		out->items[out->first].data += bytes;
		out->items[out->first].length -= bytes;
	}
	if (out->count == 0)
		out->first = 0;
}
