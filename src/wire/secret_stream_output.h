/* secret_stream_output: sealed bytes that wait for the pump, in chunks with a reference count. Private to wire/
 *
 * Small frames share a chunk: one is filled from the front, what lies in it may be taken while more is put behind, and it is left to its
 * takers when it is full or when everything was taken.
 */
#ifndef HF_WIRE_SECRET_STREAM_OUTPUT_H
#define HF_WIRE_SECRET_STREAM_OUTPUT_H

#include "wire/secret_stream.h"

struct hf_secret_stream_output {
	struct hf_secret_stream_slice *slices; /* [first, first + count), each with a reference */
	size_t first, count, capacity;
	size_t bytes;
	struct hf_shared *chunk; /* being filled; one reference more */
	size_t used;             /* of it */
};

/* Room for length contiguous bytes behind all others; NULL when out of memory. They count once they are committed. */
uint8_t *hf_secret_stream_output_reserve(struct hf_secret_stream_output *output, size_t length);
void hf_secret_stream_output_commit(struct hf_secret_stream_output *output, size_t length);
size_t hf_secret_stream_output_take(struct hf_secret_stream_output *output, struct hf_secret_stream_slice *slices, size_t count_max);
void hf_secret_stream_output_free(struct hf_secret_stream_output *output);

#endif
