/* websocket: a WebSocket connection on a loop. (RFC 6455, 7692) The protocol itself is wire/websocket.h.
 *
 * Idle connections hold no buffers. Outgoing messages are shared frames or copied bytes in a bounded queue; all that is
 * pending for a socket goes out in one writev at the end of the loop's iteration. A connection whose queue passes
 * its limit is closed with 1008 "slow reader". When all connections of the loop together hold too much (net/memory.h), those that
 * hold most are closed with 1008 "out of memory for this connection", which who does not read will not hear.
 */
#ifndef HF_NET_WEBSOCKET_H
#define HF_NET_WEBSOCKET_H

#include "base/address.h"
#include "net/loop.h"
#include "net/tls.h"

struct hf_websocket;

struct hf_websocket_limits {
	uint32_t message_bytes_max;    /* incoming, after inflating; 0: 1 MiB */
	uint32_t send_queue_bytes_max; /* 0: 4 MiB */
	uint32_t ping_interval_ms;     /* 0: 45 s of silence, then a ping; as long again without an answer closes */
	bool deflate;                  /* offer permessage-deflate, */
	bool deflate_takeover;         /* and with context takeover, while memory is not short; of servers */
};

struct hf_websocket_handler {
	/* One whole message. Borrowed until return; the buffer is writable scratch of the loop. */
	void (*message)(void *context, struct hf_websocket *ws, bool is_text, struct hf_slice message);
	/* Last call for this connection; ws is gone after it. code: RFC 6455 close code, 1006 without a close frame. */
	void (*closed)(void *context, struct hf_websocket *ws, uint16_t code);
	/* All that had been read from the socket at once was handed in as messages: time to send on batches. May be
	 * NULL. */
	void (*read_end)(void *context, struct hf_websocket *ws);
	/* The send queue fell under half of its limit after hf_websocket_send_room said 0. May be NULL. */
	void (*writable)(void *context, struct hf_websocket *ws);
	/* Bytes that the owner holds for this connection, for who has to go when memory is short. May be NULL. */
	size_t (*held)(const void *context);
};

/* A message built once for many: raw frame, and compressed frame made at most once when somebody has negotiated it. */
struct hf_websocket_message;
struct hf_websocket_message *hf_websocket_message_new(
	struct hf_loop *loop, const struct hf_slice *parts, size_t part_count); /* text; one reference */
struct hf_websocket_message *hf_websocket_message_ref(struct hf_websocket_message *message);
void hf_websocket_message_unref(struct hf_websocket_message *message);
struct hf_slice hf_websocket_message_payload(const struct hf_websocket_message *message); /* its text */

/* Queue for sending. HF_ECLOSED when closing; HF_EBUSY when the queue was full: the connection is being closed then. */
int hf_websocket_send_shared(
	struct hf_websocket *ws, struct hf_websocket_message *message);    /* takes its own reference */
int hf_websocket_send_text(struct hf_websocket *ws, struct hf_slice text); /* copies */
/* Bytes that may still be queued before the queue is full (soft bound for senders that can wait: half the limit; when the loop's
 * memory is all used, until the queue is empty). */
size_t hf_websocket_send_room(struct hf_websocket *ws);
/* Stops and restarts reading from the socket: back-pressure towards the client. */
void hf_websocket_pause(struct hf_websocket *ws);
void hf_websocket_resume(struct hf_websocket *ws);
void hf_websocket_close(struct hf_websocket *ws, uint16_t code, const char *reason);
const struct hf_address *hf_websocket_client(struct hf_websocket *ws);
void *hf_websocket_context(struct hf_websocket *ws);

/* Client: ws:// or wss://; tls NULL is the system's trust. opened is called once, later: with ws and HF_OK, or with
 * NULL, an error and a sentence. HF_EADDR for a bad URL, which is not reported again. */
int hf_websocket_connect(struct hf_loop *loop, const char *url, struct hf_tls *tls,
	const struct hf_websocket_limits *limits, const struct hf_websocket_handler *handler, void *context,
	void (*opened)(void *context, struct hf_websocket *ws, int status, const char *detail));

#endif
