/* udx: reliable, ordered byte streams and unordered messages over datagrams, as libudx speaks them, without I/O.
 *
 * One session holds all streams of a process by their local ids. It eats datagrams (hf_udx_recv), gives datagrams (hf_udx_send) and
 * has one deadline. There is no handshake: both sides learn ids and addresses elsewhere, then connect.
 *
 * Calls on streams only queue; `wake` tells the pump that there is something to send. Events come only from hf_udx_recv, hf_udx_send and
 * hf_udx_tick, and in any of them any stream may be made, used or freed.
 *
 * What is written is not copied, but for short pieces; it is kept until it is acknowledged. What comes in order is handed over where it
 * lies; what comes early, or while the stream is paused or not connected yet, is kept within bounds, and the window that we
 * advertise shrinks by it. All packets that came between two calls of hf_udx_send are acknowledged together.
 *
 * Loss is found by RACK and TLP (RFC 8985), the rate is BBR's (version 1), the size of packets is searched for (RFC 8899).
 */
#ifndef HF_WIRE_UDX_UDX_H
#define HF_WIRE_UDX_UDX_H

#include <sys/uio.h>

#include "base/address.h"
#include "base/bytes.h"
#include "base/env.h"

#define HF_UDX_PACKET_BYTES_MAX 1500u /* the largest IP packet that is ever sent, header included */
#define HF_UDX_RECEIVE_BYTES_MAX (4u << 20) /* to which a stream fills up that is not read */
#define HF_UDX_EARLY_FACTOR 4u              /* so many times more is kept of what came early: what is behind a hole for some round trips */
#define HF_UDX_KEPT_BYTES_MAX (256u << 20)       /* of all streams together */
#define HF_UDX_UNCONNECTED_BYTES_MAX (64u << 10) /* of what came before connect; and of each stream when all together keep too much */
#define HF_UDX_LOW_BYTES (256u << 10)
#define HF_UDX_PENDING_BYTES_MAX (1u << 30) /* with so much waiting, a write more is refused */
#define HF_UDX_MESSAGE_COUNT_MAX 256u       /* that wait to be sent; the oldest is dropped then */
#define HF_UDX_STREAM_COUNT_MAX 65536u
#define HF_UDX_SEND_COUNT_MAX 64u /* packets of one hf_udx_send */

struct hf_udx;
struct hf_udx_stream;

/* The way to a stream's other end: a socket of the caller's, which means nothing here, and an address. */
struct hf_udx_path {
	void *socket;
	struct hf_address remote;
};

struct hf_udx_events {
	/* The next bytes; borrowed, may be written to. */
	void (*data)(void *context, struct hf_udx_stream *stream, uint8_t *data, size_t length);
	/* The remote will write no more; once. The stream closes when our end is acknowledged, too. May be NULL. */
	void (*end)(void *context, struct hf_udx_stream *stream);
	/* Bytes not sent yet have fallen to HF_UDX_LOW_BYTES after there had been more. May be NULL. */
	void (*drained)(void *context, struct hf_udx_stream *stream);
	/* An unordered message, also an empty one; borrowed, may be written to. May be NULL. */
	void (*message)(void *context, struct hf_udx_stream *stream, uint8_t *data, size_t length);
	/* A packet has come on a socket that is not the stream's, or before it is connected. False drops it. It may connect the stream to
	 * *from (or change its remote), and the same packet is then eaten. Accepted and not connected: data is kept until it
	 * is. NULL: all such packets are dropped. */
	bool (*firewall)(void *context, struct hf_udx_stream *stream, const struct hf_udx_path *from);
	/* All that was sent before hf_udx_stream_change_remote is acknowledged. May be NULL. */
	void (*remote_changed)(void *context, struct hf_udx_stream *stream);
	/* Once, and last. HF_OK: both sides have ended and all is acknowledged. HF_ECLOSED: the remote destroyed it, or its socket
	 * is gone. HF_ETIMEOUT: nothing is acknowledged any more. HF_ECANCELED: hf_udx_stream_destroy, or the stream that it relays to
	 * has closed. The stream is still to be freed. */
	void (*closed)(void *context, struct hf_udx_stream *stream, int code);
};

struct hf_udx_options {
	struct hf_env *env;            /* random ids; needed */
	void (*wake)(void *context);   /* something wants to be sent, or an event to be told; may be NULL */
	void *context;
	uint32_t receive_bytes_max;    /* per stream; 0: HF_UDX_RECEIVE_BYTES_MAX; at most 64 MiB */
	uint64_t kept_bytes_max;       /* of all streams; past it each keeps HF_UDX_UNCONNECTED_BYTES_MAX. 0: HF_UDX_KEPT_BYTES_MAX */
	uint32_t stream_count_max;     /* 0: HF_UDX_STREAM_COUNT_MAX */
	uint16_t packet_bytes_max;     /* at most HF_UDX_PACKET_BYTES_MAX, which is what 0 means; the link's MTU if it is known */
};

struct hf_udx_packet {
	void *socket;
	struct hf_address remote;
	const struct iovec *pieces;
	size_t piece_count;
};

/* ---- Session ---- */

HF_API int hf_udx_new(struct hf_udx **out, const struct hf_udx_options *options);
HF_API void hf_udx_free(struct hf_udx *udx); /* its streams are freed before; NULL is fine */

/* Eats a datagram. False: it is not UDX, or of no stream here, and nothing was done. The bytes may be written to. */
HF_API bool hf_udx_recv(
	struct hf_udx *udx, uint64_t now_us, void *socket, const struct hf_address *from, uint8_t *data, size_t length);
/* The next packets to send, all of one socket, at most HF_UDX_SEND_COUNT_MAX; 0: there are none (a later one may be due at the
 * deadline). What they point to is valid until the next call of anything here. */
HF_API size_t hf_udx_send(struct hf_udx *udx, uint64_t now_us, struct hf_udx_packet *packets, size_t count_max);
/* Right after hf_udx_send: the last `count` of its packets could not be sent now. They will come again by themselves (but for messages,
 * which are lost), and nothing for that socket until hf_udx_writable. */
HF_API void hf_udx_refused(struct hf_udx *udx, size_t count);
HF_API void hf_udx_writable(struct hf_udx *udx, void *socket);
/* When hf_udx_tick is to be called, in monotonic microseconds; UINT64_MAX: never. */
HF_API uint64_t hf_udx_deadline(const struct hf_udx *udx);
HF_API void hf_udx_tick(struct hf_udx *udx, uint64_t now_us);
/* The socket is about to go: streams whose path it is are closed with HF_ECLOSED. */
HF_API void hf_udx_forget_socket(struct hf_udx *udx, void *socket);

/* Why a packet that came for a stream was of no use. */
enum hf_udx_drop {
	HF_UDX_DROP_MALFORMED,
	HF_UDX_DROP_FULL,       /* past a bound of what is kept */
	HF_UDX_DROP_FIREWALL,   /* refused by `firewall`, or there is none */
	HF_UDX_DROP_RELAY_RATE, /* above hf_udx_stream_set_relay_rate */
	HF_UDX_DROP_RELAY_FULL, /* nothing more can wait to be sent on, or the other side is not connected */
	HF_UDX_DROP_COUNT,
};
struct hf_udx_counters {
	uint64_t sent_packets, sent_bytes;         /* UDX packets whole, without UDP and IP headers */
	uint64_t received_packets, received_bytes;
	uint64_t retransmitted_packets, timeouts, lost_packets;
	uint64_t dropped_packets[HF_UDX_DROP_COUNT];
	uint64_t relayed_packets;
	uint64_t stream_count, kept_bytes; /* now */
};
HF_API void hf_udx_read_counters(const struct hf_udx *udx, struct hf_udx_counters *counters);

/* ---- Streams ---- */

/* id 0: a random one. HF_EEXISTS: the id is in use; HF_EBUSY: stream_count_max; HF_ENOMEM. */
HF_API int hf_udx_stream_new(
	struct hf_udx_stream **out, struct hf_udx *udx, uint32_t id, const struct hf_udx_events *events, void *context);
/* At any time, also in its own events; no event comes any more. A connected stream that has not closed is destroyed. NULL is fine. */
HF_API void hf_udx_stream_free(struct hf_udx_stream *stream);
HF_API void hf_udx_stream_set_events(struct hf_udx_stream *stream, const struct hf_udx_events *events, void *context);
HF_API void *hf_udx_stream_context(const struct hf_udx_stream *stream);
HF_API struct hf_udx *hf_udx_stream_session(const struct hf_udx_stream *stream);
HF_API uint32_t hf_udx_stream_id(const struct hf_udx_stream *stream);
HF_API uint32_t hf_udx_stream_remote_id(const struct hf_udx_stream *stream);

/* Only stores where the other end is; what was written or received before is sent or handed over from then on. HF_EEXISTS: it is
 * connected already; HF_ECLOSED. */
HF_API int hf_udx_stream_connect(struct hf_udx_stream *stream, const struct hf_udx_path *path, uint32_t remote_id);
HF_API bool hf_udx_stream_is_connected(const struct hf_udx_stream *stream);
HF_API const struct hf_udx_path *hf_udx_stream_path(const struct hf_udx_stream *stream); /* NULL before connect */
/* Later packets go to the new place; those in flight are sent again, if they must be, to the old one. The remote id may differ.
 * HF_EINVAL: not connected; HF_ECLOSED. */
HF_API int hf_udx_stream_change_remote(struct hf_udx_stream *stream, const struct hf_udx_path *path, uint32_t remote_id);

/* A piece of what is written. release(owner) is called when the bytes are acknowledged or dropped, at once when they were copied (as
 * short ones are), from whatever call that happens in: it must not use the session. NULL: they live as long as the stream. */
struct hf_udx_piece {
	struct hf_slice bytes;
	void *owner;
	void (*release)(void *owner);
};
/* Queues the pieces, in order; also before connect. On an error nothing is queued or released: HF_ECLOSED (ended or closed),
 * HF_EBUSY (HF_UDX_PENDING_BYTES_MAX), HF_ENOMEM. */
HF_API int hf_udx_stream_write(struct hf_udx_stream *stream, const struct hf_udx_piece *pieces, size_t count);
HF_API int hf_udx_stream_write_copy(struct hf_udx_stream *stream, struct hf_slice bytes);
HF_API size_t hf_udx_stream_pending_bytes(const struct hf_udx_stream *stream); /* not acknowledged yet */
HF_API size_t hf_udx_stream_unsent_bytes(const struct hf_udx_stream *stream);  /* never sent yet; what `drained` looks at */
/* No more will be written; what waits is sent before. Again is fine. */
HF_API void hf_udx_stream_end(struct hf_udx_stream *stream);
/* Drops what waits and tells the remote, once; `closed` follows (HF_ECANCELED). */
HF_API void hf_udx_stream_destroy(struct hf_udx_stream *stream);
/* Copies. Sent with the next packets and never again. Also an empty one. HF_EINVAL: not connected; HF_ETOOBIG: more than
 * hf_udx_stream_message_bytes_max; HF_ECLOSED, HF_ENOMEM. */
HF_API int hf_udx_stream_send_message(struct hf_udx_stream *stream, struct hf_slice message);
HF_API size_t hf_udx_stream_message_bytes_max(const struct hf_udx_stream *stream);

/* A paused stream hands nothing over: what comes is kept, and acknowledged, until the window is used up. */
HF_API void hf_udx_stream_pause(struct hf_udx_stream *stream);
HF_API void hf_udx_stream_resume(struct hf_udx_stream *stream);

/* After so long with nothing sent or in flight, a heartbeat is sent. 0: none, as a stream begins. */
HF_API void hf_udx_stream_set_keep_alive(struct hf_udx_stream *stream, uint32_t interval_ms);
/* From now on what comes for `stream` is sent on to the other end of `to`, and is not looked at but for DESTROY, which closes `stream`.
 * When one closes, so do those that relay to it. Both directions are two calls. NULL ends it. HF_EINVAL: to itself; HF_ECLOSED. */
HF_API int hf_udx_stream_relay_to(struct hf_udx_stream *stream, struct hf_udx_stream *to);
/* Bounds what comes for `stream` and is sent on, packets with their headers: what one second may bring at once, and so much each second.
 * More is dropped, and counted. 0: no bound, as a stream begins. */
HF_API void hf_udx_stream_set_relay_rate(struct hf_udx_stream *stream, uint32_t bytes_per_s);
HF_API uint64_t hf_udx_stream_relayed_bytes(const struct hf_udx_stream *stream); /* sent on so far */

struct hf_udx_stats {
	uint64_t sent_bytes, received_bytes; /* of the stream; sent: for the first time */
	uint64_t sent_packets, received_packets, retransmitted_packets, timeouts;
	uint32_t rtt_us, rtt_min_us, rtt_variation_us; /* 0: no sample yet */
	uint32_t window_packets, in_flight_packets;
	uint64_t rate_bytes_per_s; /* of pacing; 0: not known yet */
	uint32_t remote_window_bytes;
	uint32_t kept_bytes; /* received and not handed over */
	uint16_t packet_bytes; /* size of an IP packet, as found by now */
};
HF_API void hf_udx_stream_read_stats(const struct hf_udx_stream *stream, struct hf_udx_stats *stats);

#endif
