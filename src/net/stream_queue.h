/* stream_queue: what is pending for one socket: references to shared bytes, and chunks of copied ones. Private to net/.
 *
 * Queues and chunks come from a pool of the loop and go back when they are empty. Bytes are taken off the front by
 * count, so that pieces may still be added to the last chunk while earlier bytes are on their way.
 */
#ifndef HF_NET_STREAM_QUEUE_H
#define HF_NET_STREAM_QUEUE_H

#include <uv.h>

#include "base/bytes.h"
#include "base/error.h"

#define HF_STREAM_QUEUE_INLINE 12

struct hf_stream_chunk {
	struct hf_stream_pool *pool;
	struct hf_stream_chunk *next_free;
	uint32_t references, used, capacity;
	uint8_t data[];
};

struct hf_stream_item {
	const uint8_t *data;
	size_t length;
	void *owner;
	void (*release)(void *owner);
};

struct hf_stream_out {
	uv_write_t request; /* for what the socket did not take at once */
	size_t bytes;
	size_t in_flight_bytes;       /* given to request */
	struct hf_buffer cipher;      /* TLS: encrypted, not yet sent */
	struct hf_stream_chunk *tail; /* where copies go on; one reference */
	struct hf_stream_item *items;
	uint32_t first, count, capacity;
	struct hf_stream_pool *pool;
	size_t cipher_held; /* counted of the cipher's memory */
	struct hf_stream_out *next_free;
	struct hf_stream_item inline_items[HF_STREAM_QUEUE_INLINE];
};

struct hf_stream_out *hf_stream_out_new(struct hf_stream_pool *pool);            /* NULL when out of memory */
void hf_stream_out_free(struct hf_stream_out *out); /* releases what is queued; NULL is fine */
int hf_stream_out_push(struct hf_stream_out *out, struct hf_slice bytes, void *owner, void (*release)(void *owner));
int hf_stream_out_copy(struct hf_stream_out *out, struct hf_slice bytes);
/* Fills up to count_max buffers from the front; returns their count and total. */
unsigned hf_stream_out_slices(const struct hf_stream_out *out, uv_buf_t *buffers, unsigned count_max, size_t *bytes);
void hf_stream_out_consume(struct hf_stream_out *out, size_t bytes);
/* Counts the cipher's memory anew. */
void hf_stream_out_count_cipher(struct hf_stream_out *out);

#endif
