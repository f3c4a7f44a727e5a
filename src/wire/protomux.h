/* protomux: many channels over one secret stream, without I/O. (spec: Hypercore, section 4; npm protomux 3)
 *
 * Each plaintext message of the stream goes in through hf_protomux_recv; what is to be sent comes out through `send`, one call
 * for one message of the stream. A channel has a protocol name and an id (at most 255 and 255 bytes, the id may be empty), and
 * pairs with the remote's channel of the same two; several of the same pair in the order in which they were opened. Messages may
 * be sent from hf_protomux_open on: the remote keeps them until it has opened its side.
 *
 * Callbacks run inside of the calls below and may make any of them. A channel lives until the outermost call on its mux returns
 * after `close` was called for it, and `close` is the last that it hears. The same goes for the mux after hf_protomux_free.
 *
 * An error (bytes that break the protocol, a limit that the remote passed, a callback that returned one, `send` that failed) ends
 * the mux: all channels close with HF_CHANNEL_DESTROYED, then `error` is told, once. From then on calls return HF_ECLOSED, and
 * the owner is expected to close the stream and to free the mux.
 */
#ifndef HF_WIRE_PROTOMUX_H
#define HF_WIRE_PROTOMUX_H

#include <sys/uio.h>

#include "base/bytes.h"
#include "base/error.h"
#include "codec/compact.h"

#define HF_PROTOMUX_MESSAGE_BYTES_MAX 16777198u   /* plaintext of one secret stream message */
#define HF_PROTOMUX_BATCH_BYTES 32768u            /* a batch that has reached this is sent, and another begun: no more than a cache holds */
#define HF_PROTOMUX_PROTOCOL_BYTES_MAX 255
#define HF_PROTOMUX_ID_BYTES_MAX 255
#define HF_PROTOMUX_ALIASES_MAX 4
#define HF_PROTOMUX_HANDSHAKE_BYTES_MAX 65536u
#define HF_PROTOMUX_PAUSE_BYTES 32768u            /* kept for channels that wait for an answer; above it `pause` is called */
#define HF_PROTOMUX_PENDING_OVERHEAD_BYTES 512u   /* what each kept message counts on top of its body */
#define HF_PROTOMUX_CHANNELS_MAX 65536u           /* defaults of hf_protomux_limits */
#define HF_PROTOMUX_PENDING_OPENS_MAX 4096u
#define HF_PROTOMUX_PENDING_BYTES_MAX (1u << 20)

struct hf_protomux;
struct hf_channel;

struct hf_protomux_events {
	/* One message for the stream, its parts borrowed until return. It must not call into this mux. Anything but HF_OK ends the
	 * mux. */
	int (*send)(void *owner, const struct iovec *parts, int count);
	/* Whether what was sent waits behind a full stream; once it no longer does, the owner calls hf_protomux_drained. */
	bool (*is_congested)(void *owner);
	/* Stop or go on reading the stream: more than HF_PROTOMUX_PAUSE_BYTES are kept for channels that nobody has opened or
	 * rejected yet. Messages that were read already may still be given. May be NULL. */
	void (*pause)(void *owner, bool paused);
	void (*error)(void *owner, const struct hf_failure *failure);
};

/* What one remote may take up. */
struct hf_protomux_limits {
	uint32_t channels_max;      /* ids in each direction; past it a local open gets HF_ETOOBIG, a remote one ends the mux */
	uint32_t pending_opens_max; /* opens that wait for an answer; more are rejected */
	size_t pending_bytes_max;   /* kept for them, handshakes and messages; past it the mux ends */
};

/* limits NULL: the defaults. seed: unpredictable, for hashing. HF_ENOMEM. */
HF_API int hf_protomux_new(const struct hf_protomux_events *events, void *owner, uint64_t seed, const struct hf_protomux_limits *limits,
	struct hf_protomux **mux);
/* Closes all channels (HF_CHANNEL_DESTROYED) without a word to the remote. */
HF_API void hf_protomux_free(struct hf_protomux *mux);
/* Ends the mux with an error of the owner's or a channel's own. */
HF_API void hf_protomux_fail(struct hf_protomux *mux, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* One plaintext message of the stream; borrowed. Replies to a batch are sent as one batch. HF_OK; or the error that has
 * ended the mux; HF_ECLOSED after that. */
HF_API int hf_protomux_recv(struct hf_protomux *mux, struct hf_slice message);
/* The stream has room again: tells all channels. */
HF_API void hf_protomux_drained(struct hf_protomux *mux);
HF_API bool hf_protomux_is_congested(const struct hf_protomux *mux);
/* Between the two, which nest, messages of all channels are collected and then sent as one batch. */
HF_API void hf_protomux_cork(struct hf_protomux *mux);
HF_API void hf_protomux_uncork(struct hf_protomux *mux);
/* What it has ended with; HF_OK while it has not. */
HF_API int hf_protomux_error(const struct hf_protomux *mux);
/* Channels that are open on this side. */
HF_API uint32_t hf_protomux_channel_count(const struct hf_protomux *mux);

/* ---- Channels that the remote opens ---- */

/* The remote has opened a channel that nobody here had opened before; protocol is the name that the remote used. HF_OK: it was
 * opened with hf_protomux_open in this call, or is not wanted and will be rejected. HF_EWAIT: the answer comes later, by one
 * hf_protomux_open or one hf_protomux_reject for the same protocol and id; meanwhile the remote's messages are kept. Any other
 * error ends the mux. */
typedef int hf_protomux_notify(void *context, struct hf_protomux *mux, struct hf_slice protocol, struct hf_slice id);

/* Registers, or replaces, who is asked about opens of (protocol, id), or with an empty id of all ids of the protocol that have
 * nobody of their own. HF_EINVAL: name or id too long; HF_ETOOBIG: more than channels_max; HF_ENOMEM; HF_ECLOSED. */
HF_API int hf_protomux_pair(struct hf_protomux *mux, struct hf_slice protocol, struct hf_slice id, hf_protomux_notify *notify,
	void *context);
HF_API void hf_protomux_unpair(struct hf_protomux *mux, struct hf_slice protocol, struct hf_slice id);
/* The late answer no. HF_ENOTFOUND when none is due (any more). */
HF_API int hf_protomux_reject(struct hf_protomux *mux, struct hf_slice protocol, struct hf_slice id);

/* ---- Channels ---- */

enum hf_channel_end {
	HF_CHANNEL_LOCAL,     /* hf_channel_close was called */
	HF_CHANNEL_REMOTE,    /* the remote closed it, or rejected it */
	HF_CHANNEL_DESTROYED, /* the mux failed or was freed */
};

struct hf_channel_events {
	uint32_t message_types; /* messages of type 0 … message_types - 1 are delivered, others dropped */
	/* Both sides have opened. handshake: what stood behind the remote's open, borrowed. An error ends the mux. May be NULL. */
	int (*open)(struct hf_channel *channel, void *context, struct hf_slice handshake);
	/* One message, borrowed. An error (of decoding, say) ends the mux. */
	int (*message)(struct hf_channel *channel, void *context, uint32_t type, struct hf_slice body);
	void (*close)(struct hf_channel *channel, void *context, enum hf_channel_end end); /* may be NULL */
	void (*drain)(struct hf_channel *channel, void *context);                          /* may be NULL */
};

struct hf_channel_options {
	struct hf_slice protocol, id, handshake; /* copied as needed */
	const struct hf_slice *aliases;          /* other protocol names under which the remote's open finds this channel */
	uint32_t alias_count;
	bool may_repeat;                         /* several channels of this protocol and id are fine */
	const struct hf_channel_events *events;
	void *context;
};

/* Opens this side. *channel is set before the first callback, and not touched after; when the remote's open waits already, `open`
 * and the messages that were kept are delivered before this returns. HF_ECANCELED: the channel was opened, but one of those
 * callbacks, or the end of the mux, has closed it again, and `close` was called. With any other error no callback was called and
 * *channel is NULL: HF_EEXISTS (one is open here, and may_repeat is false), HF_EINVAL (a name, id or handshake is too long),
 * HF_ETOOBIG (channels_max), HF_ENOMEM, HF_ECLOSED (the mux has ended). */
HF_API int hf_protomux_open(struct hf_protomux *mux, const struct hf_channel_options *options, struct hf_channel **channel);
/* Tells the remote and calls `close`. Closed already: nothing. */
HF_API void hf_channel_close(struct hf_channel *channel);

/* Sends one message. Corked, it is copied into the batch; else its parts are passed on as they are. count is at most 7.
 * HF_ECLOSED; HF_ETOOBIG (HF_PROTOMUX_MESSAGE_BYTES_MAX); HF_ENOMEM; none of these ends the mux. */
#define HF_CHANNEL_PARTS_MAX 7
HF_API int hf_channel_send(struct hf_channel *channel, uint32_t type, const struct iovec *parts, int count);
/* The same for a message that is written in place: what the writer gets between the two calls is the body. Nothing else may
 * be called on the mux between them. end returns what hf_channel_send would, or the writer's status; then nothing was sent. */
HF_API struct hf_compact_writer *hf_channel_begin(struct hf_channel *channel, uint32_t type);
HF_API int hf_channel_end(struct hf_channel *channel);

HF_API bool hf_channel_is_open(const struct hf_channel *channel);   /* both sides have opened, neither has closed */
HF_API bool hf_channel_is_closed(const struct hf_channel *channel);
HF_API struct hf_protomux *hf_channel_mux(const struct hf_channel *channel);
HF_API void *hf_channel_context(const struct hf_channel *channel);

#endif
