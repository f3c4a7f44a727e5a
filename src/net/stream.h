/* stream: one connected socket, TCP or Unix, with TLS or without, and all that is pending for it. Private to net/.
 *
 * Nothing is allocated for an idle stream but the struct. What is sent is queued by reference, or copied into a tail
 * that many small pieces share, and goes out in one writev at the end of the loop's iteration.
 *
 * No call here calls back at once: callbacks come from the loop only, so an owner may close or finish its stream and
 * free itself in any of them.
 */
#ifndef HF_NET_STREAM_H
#define HF_NET_STREAM_H

#include <uv.h>

#include "base/metrics.h"
#include "base/address.h"
#include "net/loop.h"
#include "net/memory.h"

struct hf_stream;
struct hf_stream_out;
struct hf_stream_pool;
struct hf_tls;
struct hf_tls_session;

struct hf_stream_events {
	void (*read)(void *owner, uint8_t *data, size_t length); /* bytes may be written to */
	void (*end)(void *owner, int error); /* HF_ECLOSED: no more will come; else the socket is broken */
	void (*timeout)(void *owner);        /* hf_stream_set_timeout */
	void (*progress)(void *owner);       /* some or all of the queue was sent; may be NULL */
	void (*drain)(void *owner);          /* the server is going away; may be NULL */
	size_t (*held)(const void *owner);   /* bytes that go when this stream goes; may be NULL */
	void (*evict)(void *owner);          /* it holds too much: ends it now; when held is there */
};

/* What a server counts over all its streams. */
struct hf_stream_counters {
	struct hf_counter writes; /* writev calls */
	struct hf_counter sent_bytes, received_bytes;
};

struct hf_stream {
	union {
		uv_handle_t handle;
		uv_stream_t stream;
		uv_tcp_t tcp;
		uv_pipe_t pipe;
	} uv;
	struct hf_loop *loop;
	const struct hf_stream_events *events; /* NULL: nobody listens any more */
	void *owner;
	void (*gone)(struct hf_stream *stream); /* once, before the struct is freed; may be NULL */
	void *server;
	struct hf_stream *previous, *next;   /* in the server's list */
	struct hf_stream_counters *counters; /* may be NULL */
	struct hf_tls_session *tls;
	struct hf_stream_out *out; /* NULL: nothing is pending */
	struct hf_loop_deferred flush;
	struct hf_timer timer;
	struct hf_address peer;
	uint32_t read_bytes_max; /* at once; 0: as much as the loop's buffer takes */
	bool is_unix : 1, is_reading : 1, is_finishing : 1, is_shut : 1, has_ended : 1, is_broken : 1;
	bool is_proxied : 1; /* peer is what a proxy told */
};

int hf_stream_pool_new(struct hf_stream_pool **out, struct hf_memory *memory);
void hf_stream_pool_free(struct hf_stream_pool *pool);

/* An unconnected stream without events; it is freed by hf_stream_close. */
int hf_stream_new(struct hf_stream **out, struct hf_loop *loop, bool is_unix);
/* Sets the peer address and TCP_NODELAY of a stream that has just been connected or accepted. */
void hf_stream_connected(struct hf_stream *stream);
/* The connection that waits at a listener; when there is none, or its client has gone again and so has no address, the stream is
 * closed, and this is false. */
bool hf_stream_accept(struct hf_stream *stream, uv_stream_t *listener);
/* Puts TLS between; before the first byte. host is the name to check, for clients. */
int hf_stream_start_tls(struct hf_stream *stream, struct hf_tls *tls, const char *host);
const char *hf_stream_tls_error(const struct hf_stream *stream); /* why it failed, for a person */
/* Bytes that were read already, by an owner before: to the one there is now, through TLS. From within `read` only. */
void hf_stream_give(struct hf_stream *stream, uint8_t *data, size_t length);
void hf_stream_own(struct hf_stream *stream, const struct hf_stream_events *events, void *owner);
void hf_stream_start_reading(struct hf_stream *stream);
void hf_stream_stop_reading(struct hf_stream *stream);
/* Tells the peer now that what was read has come, rather than with our next bytes or in 40 ms: for protocols of small messages, whose
 * senders may hold back the next one until then (Nagle's algorithm, which Node leaves on). */
void hf_stream_acknowledge(struct hf_stream *stream);

/* Queue for the next flush. HF_ENOMEM queues nothing. */
int hf_stream_send_copy(struct hf_stream *stream, struct hf_slice bytes);
/* release(owner) is called when the bytes are sent or dropped; NULL for bytes that live for ever. */
int hf_stream_send_shared(struct hf_stream *stream, struct hf_slice bytes, void *owner, void (*release)(void *owner));
size_t hf_stream_pending_bytes(const struct hf_stream *stream);

void hf_stream_set_timeout(struct hf_stream *stream, uint64_t delay_ms); /* replaces the last one */
void hf_stream_clear_timeout(struct hf_stream *stream);
/* Detaches the owner, sends what is pending, shuts down, and gives the peer a moment to read it. */
void hf_stream_finish(struct hf_stream *stream);
/* Detaches the owner, drops what is pending and closes. */
void hf_stream_close(struct hf_stream *stream);

#endif
