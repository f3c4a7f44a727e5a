/* peer_socket: a connection between two peers over TCP or over UDX (peer_udx.h): a secret stream on it, and a Protomux on that.
 *
 * `opened` comes once the handshake is finished, over UDX, where it is finished before, once the remote has spoken: the mux exists from
 * then on, and the owner opens its channels there. `closed` comes exactly once, after it or instead of it, and is the last that is heard:
 * all channels have been closed before, and the socket goes when it returns. Calls only queue; events come from the loop, and in any of
 * them the owner may close or free the socket.
 *
 * What is read is decrypted where it lies and handed to the mux; what channels send is sealed at once and leaves at the end of the loop's
 * iteration, without another copy. A socket is congested (hf_protomux_is_congested) from HIGH_BYTES on that wait to be sent, until they
 * are fewer than LOW_BYTES; senders that do not care are cut off at PENDING_BYTES_MAX.
 */
#ifndef HF_NET_PEER_SOCKET_H
#define HF_NET_PEER_SOCKET_H

#include "base/address.h"
#include "net/loop.h"
#include "wire/protomux.h"
#include "wire/secret_stream.h"

#define HF_PEER_SOCKET_HIGH_BYTES (1u << 20)
#define HF_PEER_SOCKET_LOW_BYTES (256u << 10)
#define HF_PEER_SOCKET_PENDING_BYTES_MAX (32u << 20) /* with so much waiting, a message more ends the mux with HF_EBUSY */
#define HF_PEER_SOCKET_CONNECTION_COUNT_MAX 4096u    /* the rest: where options say 0 */
#define HF_PEER_SOCKET_CONNECT_TIMEOUT_MS 10000u
#define HF_PEER_SOCKET_HANDSHAKE_TIMEOUT_MS 10000u
#define HF_PEER_SOCKET_STALL_TIMEOUT_MS 30000u
#define HF_PEER_SOCKET_DATAGRAM_BYTES_MAX 1400u      /* no connection takes larger ones */

struct hf_peer_socket;
struct hf_peer_listener;

struct hf_peer_socket_events {
	/* The remote has proved its key; whether it is welcome is the owner's to say. */
	void (*opened)(void *context, struct hf_peer_socket *socket);
	/* All that came in an iteration of the loop was handed to the channels, or hf_peer_socket_settle was called: what is sent now
	 * leaves with the replies. Only between opened and closed. May be NULL. */
	void (*settled)(void *context, struct hf_peer_socket *socket);
	/* code: HF_OK after hf_peer_socket_close; HF_ECLOSED when the remote has closed; HF_ETIMEOUT, HF_EADDR (cannot be reached),
	 * HF_EIO, HF_ENOMEM, HF_ECANCELED (the loop was freed), or what ended the secret stream or the mux. why: one sentence. */
	void (*closed)(void *context, struct hf_peer_socket *socket, int code, const char *why);
	/* hf_peer_socket_send_datagram of the remote; borrowed. Nothing keeps one from coming twice. May be NULL. */
	void (*datagram)(void *context, struct hf_peer_socket *socket, struct hf_slice datagram);
	/* Not NULL: the connection is a bare secret stream. What the remote writes comes here, borrowed, and nothing is for a mux. */
	void (*message)(void *context, struct hf_peer_socket *socket, struct hf_slice message);
};

/* Watches a socket that somebody else owns; embedded in what the watcher keeps. Told before the owner. It may free the socket. */
struct hf_peer_socket_observer {
	void (*opened)(struct hf_peer_socket_observer *observer, struct hf_peer_socket *socket); /* may be NULL */
	/* Once and last, also when the owner frees the socket (HF_ECANCELED, from inside of that call). */
	void (*closed)(struct hf_peer_socket_observer *observer, struct hf_peer_socket *socket, int code, const char *why);
};

struct hf_peer_socket_options {
	size_t size; /* sizeof this struct */
	struct hf_loop *loop;
	const uint8_t *static_secret; /* HF_SIGN_SECRET_BYTES; stays until the listener is freed, or the connection opened or closed;
	                                 not for UDX */
	bool listener_initiates;      /* the Noise handshake; usually the dialler does. Both sides need the same. */
	uint32_t message_bytes_max;   /* of the secret stream, to receive; 0: HF_SECRET_STREAM_MESSAGE_BYTES_MAX */
	uint32_t connection_count_max; /* of a listener; more are closed at once */
	uint32_t connect_timeout_ms;   /* looking the name up is part of it */
	uint32_t handshake_timeout_ms;
	uint32_t keep_alive_ms;        /* an empty message after so long without another; 0: HF_SECRET_STREAM_KEEP_ALIVE_MS */
	uint32_t idle_timeout_ms;      /* ends a connection from which nothing came for so long; 0: none */
	uint32_t stall_timeout_ms;     /* ends one whose remote takes nothing of what waits for it */
	const struct hf_protomux_limits *limits; /* copied; NULL: the defaults */
	struct hf_secret_stream_pool *secret_stream_pool; /* NULL: the loop's */
	struct hf_peer_socket_observer *observer; /* see hf_peer_socket_observe; may be NULL */
	const struct hf_peer_socket_events *events;
	void *context; /* a listener's is that of each connection, until hf_peer_socket_set_context */
};

/* ---- Listening ---- */

/* address "HOST:PORT", numeric, port 0: any that is free; *bound (may be NULL) is what it became. HF_EADDR, HF_ENOMEM. */
HF_API int hf_peer_listener_new(struct hf_peer_listener **out, const struct hf_peer_socket_options *options, const char *address,
	struct hf_address *bound, struct hf_failure *failure);
/* Connections whose handshake is not finished go with it, unheard; the others stay. NULL is fine. */
HF_API void hf_peer_listener_free(struct hf_peer_listener *listener);
HF_API uint32_t hf_peer_listener_connection_count(const struct hf_peer_listener *listener);

/* ---- Connections ---- */

/* address "HOST:PORT", a name or numeric, "[::1]:80". HF_EADDR when it cannot be read, HF_ENOMEM: no event comes then. */
HF_API int hf_peer_socket_connect(struct hf_peer_socket **out, const struct hf_peer_socket_options *options, const char *address,
	struct hf_failure *failure);
/* Sends what waits, then closes; `closed` comes at the end of the iteration. Nothing is heard of the remote any more. */
HF_API void hf_peer_socket_close(struct hf_peer_socket *socket);
/* Drops what waits, and over UDX tells the remote so; `closed` comes at the end of the iteration with this code and sentence. */
HF_API void hf_peer_socket_fail(struct hf_peer_socket *socket, int code, const char *why);
/* At once: what waits is dropped, the channels close (HF_CHANNEL_DESTROYED), and no event comes any more. NULL is fine. */
HF_API void hf_peer_socket_free(struct hf_peer_socket *socket);
/* Asks for `settled` at the end of the iteration. */
HF_API void hf_peer_socket_settle(struct hf_peer_socket *socket);
HF_API void hf_peer_socket_set_context(struct hf_peer_socket *socket, void *context);
/* Another owner from now on. */
HF_API void hf_peer_socket_set_events(
	struct hf_peer_socket *socket, const struct hf_peer_socket_events *events, void *context);
HF_API void *hf_peer_socket_context(const struct hf_peer_socket *socket);
/* One at most; NULL: nobody any more. It is told from now on. */
HF_API void hf_peer_socket_observe(struct hf_peer_socket *socket, struct hf_peer_socket_observer *observer);
/* Bytes that wait to be sent. */
HF_API size_t hf_peer_socket_pending_bytes(const struct hf_peer_socket *socket);
HF_API const struct hf_address *hf_peer_socket_address(const struct hf_peer_socket *socket); /* the remote's, once connected */

/* Encrypted messages' bytes that came from the remote and went to it, handshake and header not among them. */
HF_API uint64_t hf_peer_socket_received_bytes(const struct hf_peer_socket *socket);
HF_API uint64_t hf_peer_socket_sent_bytes(const struct hf_peer_socket *socket);
/* Has the remote acknowledge something now, so that one that is gone is found out. */
HF_API void hf_peer_socket_send_keep_alive(struct hf_peer_socket *socket);
/* One that may be lost or overtake others, sealed; only over UDX, once opened. HF_EINVAL: not over this transport; HF_EWAIT: not open;
 * HF_ETOOBIG: more than hf_peer_socket_datagram_bytes_max; HF_ECLOSED, HF_ENOMEM. */
HF_API int hf_peer_socket_send_datagram(struct hf_peer_socket *socket, struct hf_slice datagram);
HF_API size_t hf_peer_socket_datagram_bytes_max(const struct hf_peer_socket *socket); /* 0: none can be sent */

/* A message of a bare secret stream. HF_EWAIT: not open; HF_ECLOSED; HF_EBUSY: HF_PEER_SOCKET_PENDING_BYTES_MAX; HF_ETOOBIG, HF_ENOMEM. */
HF_API int hf_peer_socket_write(struct hf_peer_socket *socket, struct hf_slice message);

/* From opened to the end of closed. The mux belongs to the socket. */
HF_API struct hf_protomux *hf_peer_socket_mux(const struct hf_peer_socket *socket);
HF_API bool hf_peer_socket_is_initiator(const struct hf_peer_socket *socket);
HF_API const uint8_t *hf_peer_socket_remote_key(const struct hf_peer_socket *socket);     /* HF_SIGN_PUBLIC_BYTES */
HF_API const uint8_t *hf_peer_socket_handshake_hash(const struct hf_peer_socket *socket); /* HF_HANDSHAKE_HASH_BYTES */

#endif
