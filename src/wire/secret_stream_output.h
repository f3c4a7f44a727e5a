/* secret_stream_output: sealed bytes that wait for the pump, in chunks with a reference count. Private to wire/
 *
 * Small frames share a chunk: one is filled from the front, what lies in it may be taken while more is put behind, and it is left to its
 * takers when it is full or when everything was taken. Chunks go back to the pool, since fresh memory costs more (a page fault for each
 * 4 KiB) than sealing what goes into it. They come in sizes that double, for a frame lies in one.
 */
#ifndef HF_WIRE_SECRET_STREAM_OUTPUT_H
#define HF_WIRE_SECRET_STREAM_OUTPUT_H

#include "wire/secret_stream.h"

#define HF_SECRET_STREAM_CHUNK_BYTES ((64u << 10) + 256) /* a block of 64 KiB with what goes around it */
#define HF_SECRET_STREAM_CHUNK_SIZES 9u                  /* the largest holds the largest frame */
#define HF_SECRET_STREAM_KEPT_BYTES_MAX (8u << 20)       /* in unused chunks, for all sessions of a thread */

struct hf_secret_stream_chunk {
	struct hf_secret_stream_pool *pool;
	struct hf_secret_stream_chunk *next_free;
	uint32_t references, size; /* CHUNK_BYTES << size */
	uint8_t data[];
};

struct hf_secret_stream_pool {
	struct hf_secretstream_engine *engine;
	struct hf_secret_stream_chunk *free[HF_SECRET_STREAM_CHUNK_SIZES];
	size_t free_bytes;
};

struct hf_secret_stream_output {
	struct hf_secret_stream_pool *pool;
	struct hf_secret_stream_slice *slices; /* [first, first + count), each with a reference */
	size_t first, count, capacity;
	size_t bytes;
	struct hf_secret_stream_chunk *chunk; /* being filled; one reference more */
	size_t used;                          /* of it */
};

/* Room for length contiguous bytes behind all others; NULL when out of memory. They count once they are committed. */
uint8_t *hf_secret_stream_output_reserve(struct hf_secret_stream_output *output, size_t length);
void hf_secret_stream_output_commit(struct hf_secret_stream_output *output, size_t length);
size_t hf_secret_stream_output_take(struct hf_secret_stream_output *output, struct hf_secret_stream_slice *slices, size_t count_max);
void hf_secret_stream_output_free(struct hf_secret_stream_output *output);

#endif
