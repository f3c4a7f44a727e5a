/* relay_stream_private: a stream and its channel as the two parts of relay_stream see them. (Private to wire/.)
 *
 * relay_stream.c is what goes out in one stream: credit, what waits for it, heads and ends. relay_streams.c is the channel: which streams
 * there are, what comes for them, and when they are over.
 */
#ifndef HF_WIRE_RELAY_STREAM_PRIVATE_H
#define HF_WIRE_RELAY_STREAM_PRIVATE_H

#include "base/list.h"
#include "base/map.h"
#include "wire/relay_stream.h"

enum {
	HF_RELAY_STREAM_MESSAGE_OPEN, HF_RELAY_STREAM_MESSAGE_HEAD, HF_RELAY_STREAM_MESSAGE_DATA, HF_RELAY_STREAM_MESSAGE_CREDIT,
	HF_RELAY_STREAM_MESSAGE_END, HF_RELAY_STREAM_MESSAGE_RESET, HF_RELAY_STREAM_MESSAGE_TYPES
};
enum { HF_RELAY_STREAM_ENDS_MESSAGE = 1 }; /* a flag of data */

struct hf_relay_stream {
	struct hf_relay_stream *next, *previous;
	struct hf_relay_streams *owner;
	uint64_t id;
	enum hf_relay_stream_kind kind;
	const struct hf_relay_stream_events *events; /* NULL: not accepted yet */
	void *context;
	size_t credit, window; /* that we may send, and that the remote may */
	size_t unacknowledged, consumed; /* of what came: given to the owner, and done with but not told the remote */
	struct hf_buffer pending;
	size_t pending_at;
	bool is_ours, has_head, is_pending, pending_ends_message, wants_writable;
	bool is_ending, has_ended, remote_has_ended, is_over;
};

struct hf_relay_streams {
	struct hf_channel *channel; /* NULL: closed */
	struct hf_relay_streams_options options;
	struct hf_relay_stream *streams;
	struct hf_map by_id;
	uint64_t next_id[2];        /* of the remote, of ours */
	uint32_t count[2];
	size_t pending_bytes;
	uint32_t uses;
	bool has_over, is_full, is_freed;
};

/* ---- relay_streams.c ---- */

/* Around all that may call back: what is over meanwhile is freed by the outermost leave, the channel's own memory too. */
void hf_relay_streams_enter(struct hf_relay_streams *streams);
void hf_relay_streams_leave(struct hf_relay_streams *streams);
/* The stream is over: out of everything but the list. */
void hf_relay_stream_retire(struct hf_relay_stream *stream);
/* The same, and `ended` says so. */
void hf_relay_stream_finish(struct hf_relay_stream *stream, int code, uint32_t reset_code, struct hf_slice reason);

/* ---- relay_stream.c ---- */

/* Could it be sent? HF_OK, HF_ETOOBIG, HF_EINVAL as of hf_relay_stream_new. */
int hf_relay_stream_check_open(const struct hf_relay_stream_open *open);
int hf_relay_stream_send_open(struct hf_relay_stream *stream, const struct hf_relay_stream_open *open); /* as hf_channel_end */
void hf_relay_stream_pump(struct hf_relay_stream *stream); /* sends what waits, as far as credit and mux allow; between enter and leave */
/* Where the channel was full, others have waited for what has gone now: they are told `writable`. */
void hf_relay_streams_relieve(struct hf_relay_streams *streams);

#endif
