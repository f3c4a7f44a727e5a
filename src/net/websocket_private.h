/* websocket_private: how a stream becomes a WebSocket. Private to net/. */
#ifndef HF_NET_WEBSOCKET_PRIVATE_H
#define HF_NET_WEBSOCKET_PRIVATE_H

#include "net/stream.h"
#include "net/websocket.h"
#include "wire/websocket.h"

struct hf_websocket_deflate_terms;

struct hf_websocket_counters {
	struct hf_gauge open;
	struct hf_counter messages_in, messages_out;
	struct hf_counter slow_readers, timeouts;
};

#define HF_WEBSOCKET_KEY_BYTES 25    /* base64 of 16 bytes, and a zero */
#define HF_WEBSOCKET_ACCEPT_BYTES 29 /* base64 of 20 bytes, and a zero */
void hf_websocket_accept_key(struct hf_slice key, char out[static HF_WEBSOCKET_ACCEPT_BYTES]);

/* Takes the stream over; it must be reading. early: bytes read behind the handshake, handed in at the end of the
 * iteration. deflate: NULL: not negotiated. counters may be NULL. HF_ENOMEM leaves the stream with the caller. */
int hf_websocket_new(struct hf_websocket **out, struct hf_stream *stream, enum hf_websocket_role role,
	const struct hf_websocket_deflate_terms *deflate, const struct hf_websocket_limits *limits,
	const struct hf_websocket_handler *handler, void *context, const struct hf_address *client,
	struct hf_slice early, struct hf_websocket_counters *counters);
/* Nothing more is said: the connection ends from the loop, after what is queued, and `closed` comes. */
void hf_websocket_doom(struct hf_websocket *ws);

/* The loop's shared compressor, made now when it is not there yet; NULL when out of memory. */
struct hf_websocket_deflate *hf_websocket_loop_deflate(struct hf_loop *loop);

#endif
