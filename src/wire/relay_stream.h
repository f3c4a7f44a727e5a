/* relay_stream: WebSockets and HTTP exchanges between a gateway and a worker as streams of bytes with credit, on one Protomux channel,
 * without I/O. Ours: protocol holdfast-relay-stream, opened by both sides where both handshakes of hypertuna-relay-v2 have the capability
 * "stream". Nothing is polled, nothing is turned into text.
 *
 * Messages, compact-encoded, by type:
 *
 *     0 open    id, kind (1 WebSocket, 2 HTTP), method, path, count of fields, each a name and a value
 *     1 head    id, status, count of fields, …                       the answer's head; 101 of a WebSocket. Once, from who did not open
 *     2 data    id, flags (1: a message ends here), the rest: bytes  at most HF_RELAY_STREAM_DATA_BYTES_MAX
 *     3 credit  id, bytes                                            so many more may be sent
 *     4 end     id                                                   the sender has sent all; over when both have
 *     5 reset   id, code, reason                                     over at once
 *
 * Ids of the side that initiated the secret stream are even, those of the other odd; each side's grow by 2 from 0 or 1. Each direction of a
 * stream begins with HF_RELAY_STREAM_WINDOW_BYTES of credit; only the bytes in data count. What comes for a stream that is over is dropped;
 * whatever else breaks these rules ends the mux.
 *
 * Codes of a reset from 1000 on are those of WebSocket's close frames, below they are enum hf_relay_stream_code.
 *
 * Callbacks may make any call. A stream lives until `ended` returns, or hf_relay_stream_reset was called for it. A call that sends may
 * end the mux, when the socket is full or there is no memory: then `ended` comes from within it.
 */
#ifndef HF_WIRE_RELAY_STREAM_H
#define HF_WIRE_RELAY_STREAM_H

#include "wire/http.h"
#include "wire/protomux.h"

#define HF_RELAY_STREAM_PROTOCOL "holdfast-relay-stream"
#define HF_RELAY_STREAM_WINDOW_BYTES (256u << 10)
#define HF_RELAY_STREAM_DATA_BYTES_MAX (64u << 10)
#define HF_RELAY_STREAM_SEND_BYTES_MAX (1u << 20)     /* in one hf_relay_stream_send; what is over the credit waits here */
#define HF_RELAY_STREAM_PENDING_BYTES_MAX (32u << 20) /* so waiting in all streams of a channel */
#define HF_RELAY_STREAM_COUNT_MAX 4096u               /* of either side; further ones of the remote's are reset with LIMIT */
#define HF_RELAY_STREAM_FIELDS_MAX 64u
#define HF_RELAY_STREAM_HEAD_BYTES_MAX 16384u         /* an open or a head */
#define HF_RELAY_STREAM_REASON_BYTES_MAX 123u         /* as in a close frame */

struct hf_relay_streams; /* the channel */
struct hf_relay_stream;

enum hf_relay_stream_kind { HF_RELAY_STREAM_WEBSOCKET = 1, HF_RELAY_STREAM_HTTP = 2 };

enum hf_relay_stream_code {
	HF_RELAY_STREAM_CANCELED = 1,   /* nobody wants it any more */
	HF_RELAY_STREAM_REASSIGNED = 2, /* another worker has it now */
	HF_RELAY_STREAM_REFUSED = 3,    /* not served here */
	HF_RELAY_STREAM_LIMIT = 4,      /* too many streams, or too much in one */
	HF_RELAY_STREAM_TIMEOUT = 5,
	HF_RELAY_STREAM_FAILED = 6,     /* an error of ours, memory among them */
	HF_RELAY_STREAM_REVOKED = 7,    /* the token was revoked */
};

/* Borrowed. */
struct hf_relay_stream_open {
	enum hf_relay_stream_kind kind;
	struct hf_slice method, path; /* as in a request line */
	const struct hf_http_field *fields;
	size_t field_count;
};

struct hf_relay_stream_events {
	/* Only at the side that opened. May be NULL. */
	void (*head)(void *context, struct hf_relay_stream *stream, int status, const struct hf_http_field *fields, size_t field_count);
	/* Borrowed; the remote may send as much again once hf_relay_stream_consumed was told. */
	void (*data)(void *context, struct hf_relay_stream *stream, struct hf_slice bytes, bool is_end_of_message);
	/* After HF_EBUSY: all that waited has gone, and there is room. May be NULL. */
	void (*writable)(void *context, struct hf_relay_stream *stream);
	/* The remote has sent all; we may go on sending until hf_relay_stream_end. May be NULL. */
	void (*finished)(void *context, struct hf_relay_stream *stream);
	/* The last. code: HF_OK both sides have ended; HF_ECANCELED the remote has reset it, with reset_code and reason (borrowed);
	 * HF_ECLOSED the channel has closed. */
	void (*ended)(void *context, struct hf_relay_stream *stream, int code, uint32_t reset_code, struct hf_slice reason);
};

struct hf_relay_streams_events {
	void (*opened)(void *context, struct hf_relay_streams *streams); /* both sides have; may be NULL */
	/* The remote has opened a stream: take it with hf_relay_stream_accept in this call, or it is reset with REFUSED. */
	void (*stream)(void *context, struct hf_relay_streams *streams, struct hf_relay_stream *stream,
		const struct hf_relay_stream_open *open);
	/* After `ended` of all streams; not after hf_relay_streams_free. May be NULL. */
	void (*closed)(void *context, struct hf_relay_streams *streams, enum hf_channel_end end);
};

struct hf_relay_streams_options {
	bool is_initiator;      /* of the secret stream; for the ids */
	uint64_t seed;          /* unpredictable, for hashing */
	uint32_t stream_count_max; /* 0: HF_RELAY_STREAM_COUNT_MAX */
	const struct hf_relay_streams_events *events;
	void *context;
};

/* As hf_protomux_open, also in its errors. Stays until it is freed, also when it has closed. *out is set before the first callback. */
int hf_relay_streams_new(struct hf_protomux *mux, const struct hf_relay_streams_options *options, struct hf_relay_streams **out);
/* Ends all streams (HF_ECLOSED) in this call and closes the channel. NULL is fine. */
void hf_relay_streams_free(struct hf_relay_streams *streams);
bool hf_relay_streams_is_open(const struct hf_relay_streams *streams);
uint32_t hf_relay_streams_count(const struct hf_relay_streams *streams);
size_t hf_relay_streams_pending_bytes(const struct hf_relay_streams *streams);

/* Opens a stream; may be used before the remote has opened its side of the channel. HF_EBUSY: stream_count_max; HF_ETOOBIG: more than
 * HEAD_BYTES_MAX or FIELDS_MAX; HF_EINVAL: something that could not stand in an HTTP message; HF_ECLOSED, HF_ENOMEM. */
int hf_relay_stream_new(struct hf_relay_streams *streams, const struct hf_relay_stream_open *open,
	const struct hf_relay_stream_events *events, void *context, struct hf_relay_stream **out);
void hf_relay_stream_accept(struct hf_relay_stream *stream, const struct hf_relay_stream_events *events, void *context);
uint64_t hf_relay_stream_id(const struct hf_relay_stream *stream);
enum hf_relay_stream_kind hf_relay_stream_kind(const struct hf_relay_stream *stream);
struct hf_relay_streams *hf_relay_stream_channel(const struct hf_relay_stream *stream);

/* The answer's head, before any data; once, from the side that accepted. HF_EINVAL: not its turn, or as above; HF_ETOOBIG, HF_ECLOSED,
 * HF_ENOMEM. */
int hf_relay_stream_send_head(struct hf_relay_stream *stream, int status, const struct hf_http_field *fields, size_t field_count);
/* Takes all of bytes (copied as far as it must wait for credit) or nothing: HF_EBUSY while anything of before waits, or the channel is
 * full: `writable` comes; HF_ETOOBIG: SEND_BYTES_MAX; HF_ECLOSED: hf_relay_stream_end was called; HF_ENOMEM. A WebSocket message is one
 * call or several, the last with is_end_of_message. */
int hf_relay_stream_send(struct hf_relay_stream *stream, struct hf_slice bytes, bool is_end_of_message);
/* Bytes that would go out at once; 0 while something waits. */
size_t hf_relay_stream_room(const struct hf_relay_stream *stream);
/* So many bytes of what `data` gave are done with. */
void hf_relay_stream_consumed(struct hf_relay_stream *stream, size_t bytes);
/* All is sent: tells the remote behind what waits. If the remote has ended before, `ended` comes from in here or later. */
void hf_relay_stream_end(struct hf_relay_stream *stream);
/* Over at once, `ended` is not called. */
void hf_relay_stream_reset(struct hf_relay_stream *stream, uint32_t code, struct hf_slice reason);

#endif
