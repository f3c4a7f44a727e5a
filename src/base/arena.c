/* A list of chunks, the newest first; only the newest is bumped. Chunks double up to 64 KiB, and a request
 * too big for that gets a chunk of its own size. */
#include "base/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES_MIN 1024
#define CHUNK_BYTES_MAX 65536
#define ALIGNMENT_BYTES 16

struct hf_arena_chunk {
	struct hf_arena_chunk *older;
	size_t used, capacity; /* of data */
	_Alignas(ALIGNMENT_BYTES) uint8_t data[];
};

static struct hf_arena_chunk *add_chunk(struct hf_arena *arena, size_t length)
{
	size_t size = CHUNK_BYTES_MIN;
	if (arena->chunk) {
		size = (arena->chunk->capacity + sizeof *arena->chunk) * 2;
		size = size < CHUNK_BYTES_MAX ? size : CHUNK_BYTES_MAX;
	}
	if (size - sizeof(struct hf_arena_chunk) < length)
		size = length + sizeof(struct hf_arena_chunk);
	struct hf_arena_chunk *chunk = malloc(size);
	if (!chunk)
		return NULL;
	chunk->older = arena->chunk;
	chunk->used = 0;
	chunk->capacity = size - sizeof *chunk;
	arena->chunk = chunk;
	return chunk;
}

void *hf_arena_alloc(struct hf_arena *arena, size_t length)
{
	if (length > PTRDIFF_MAX - CHUNK_BYTES_MAX)
		return NULL;
	length = (length + ALIGNMENT_BYTES - 1) & ~(size_t)(ALIGNMENT_BYTES - 1);
	if (arena->limit_bytes && (arena->used_bytes > arena->limit_bytes ||
				   length > arena->limit_bytes - arena->used_bytes))
		return NULL;
	struct hf_arena_chunk *chunk = arena->chunk;
	if (!chunk || length > chunk->capacity - chunk->used) {
		chunk = add_chunk(arena, length);
		if (!chunk)
			return NULL;
	}
	void *result = chunk->data + chunk->used;
	chunk->used += length;
	arena->used_bytes += length;
	return memset(result, 0, length);
}

void *hf_arena_copy(struct hf_arena *arena, const void *data, size_t length)
{
	void *result = hf_arena_alloc(arena, length);
	if (result && length)
		memcpy(result, data, length);
	return result;
}

static void free_chunks(struct hf_arena_chunk *chunk)
{
	while (chunk) {
		struct hf_arena_chunk *older = chunk->older;
		free(chunk);
		chunk = older;
	}
}

void hf_arena_reset(struct hf_arena *arena)
{
	arena->used_bytes = 0;
	if (!arena->chunk)
		return;
	/* One oversized request must not stay in memory for the arena's whole life. */
	if (arena->chunk->capacity > CHUNK_BYTES_MAX) {
		free_chunks(arena->chunk);
		arena->chunk = NULL;
		return;
	}
	free_chunks(arena->chunk->older);
	arena->chunk->older = NULL;
	arena->chunk->used = 0;
}

void hf_arena_free(struct hf_arena *arena)
{
	free_chunks(arena->chunk);
	arena->chunk = NULL;
	arena->used_bytes = 0;
}
