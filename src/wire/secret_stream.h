/* secret_stream: encrypted messages over an ordered byte stream, without I/O: Noise XX between static Ed25519 keys, then frames of
 * libsodium's secretstream construction in both directions. (npm @hyperswarm/secret-stream 6)
 *
 * On the stream every message, of the handshake too, has its length in three bytes in front. The session eats what was read, decrypts in
 * place and hands over whole messages; what is written is sealed at once from the caller's pieces into chunks of output, which the pump
 * takes and releases. A session that has refused its bytes says so again for all that follow.
 */
#ifndef HF_WIRE_SECRET_STREAM_H
#define HF_WIRE_SECRET_STREAM_H

#include "crypto/noise.h"
#include "crypto/secretstream.h"

#define HF_SECRET_STREAM_FRAME_BYTES_MAX ((1u << 24) - 1)
#define HF_SECRET_STREAM_MESSAGE_BYTES_MAX (HF_SECRET_STREAM_FRAME_BYTES_MAX - HF_SECRETSTREAM_OVERHEAD_BYTES)
#define HF_SECRET_STREAM_OUTPUT_BYTES_MAX (32u << 20) /* where write begins to refuse, unless configured */
#define HF_SECRET_STREAM_KEEP_ALIVE_MS 5000u          /* what hypercore uses */

struct hf_secret_stream;

/* What all sessions of a thread share: the cipher's contexts and memory for output. It outlives them and every slice taken from
 * them. */
struct hf_secret_stream_pool;
HF_API int hf_secret_stream_pool_new(struct hf_secret_stream_pool **out); /* HF_ENOMEM */
HF_API void hf_secret_stream_pool_free(struct hf_secret_stream_pool *pool); /* NULL is fine */

struct hf_secret_stream_events {
	/* Noise is finished and messages may be written; remote_key was proved, the application says whether it is welcome. Not called
	 * when the handshake was handed in. */
	void (*handshake)(void *context, const uint8_t remote_key[static HF_SIGN_PUBLIC_BYTES],
		const uint8_t handshake_hash[static HF_HANDSHAKE_HASH_BYTES]);
	/* The other side's header is here, which comes before its first message: there is somebody who took part in the handshake. May be
	 * NULL. */
	void (*header)(void *context);
	/* One whole message, borrowed until return; the bytes may be written to. */
	void (*message)(void *context, uint8_t *data, size_t length);
};

struct hf_secret_stream_options {
	bool is_initiator;
	const uint8_t *static_secret;            /* 64 bytes, copied; for the handshake */
	const struct hf_noise_result *handshake; /* or one that is finished already (copied); static_secret is then not used */
	struct hf_env *env;                      /* random bytes; outlives the session */
	struct hf_secret_stream_pool *pool;      /* of the thread */
	uint32_t message_bytes_max;              /* to receive; 0: HF_SECRET_STREAM_MESSAGE_BYTES_MAX */
	uint32_t output_bytes_max;               /* 0: HF_SECRET_STREAM_OUTPUT_BYTES_MAX */
	uint32_t keep_alive_ms;                  /* an empty message after so long without a write; 0: never */
	uint32_t idle_timeout_ms;                /* give up after so long without a byte received; 0: never */
	const struct hf_secret_stream_events *events;
	void *context;
};

/* From within events everything but recv and tick may be called; _free, too: it then takes effect when recv returns, which says
 * HF_ECLOSED. HF_ENOMEM. */
HF_API int hf_secret_stream_new(struct hf_secret_stream **out, const struct hf_secret_stream_options *options, uint64_t now_ms);
HF_API void hf_secret_stream_free(struct hf_secret_stream *stream); /* wipes the keys; NULL is fine */

/* How many of `room` bytes to read next so that they end where a frame does, if those that come are like the last one: one that does not
 * come whole is copied. */
HF_API size_t hf_secret_stream_wanted_bytes(const struct hf_secret_stream *stream, size_t room);
/* Eats all bytes; they are written to. HF_OK, or what ended the session, now and before: HF_EMALFORMED (a length, a key or a stream
 * id that cannot be), HF_ETOOBIG (a message above the limit), HF_EBADSIG (not from the other side of the handshake),
 * HF_ETIMEOUT, HF_ENOMEM. */
HF_API int hf_secret_stream_recv(struct hf_secret_stream *stream, uint64_t now_ms, uint8_t *data, size_t length);

/* Seals one message given in count pieces, for the pump to take; it may be empty. HF_EWAIT before the handshake is finished,
 * HF_ETOOBIG past HF_SECRET_STREAM_MESSAGE_BYTES_MAX, HF_EBUSY when output_bytes_max or more are pending, HF_ENOMEM: nothing was
 * sealed then. Or what ended the session. */
HF_API int hf_secret_stream_write(struct hf_secret_stream *stream, uint64_t now_ms, const struct iovec *pieces, size_t count);

/* Bytes for the transport. Each slice taken is one reference to its chunk: hf_secret_stream_release(slice.chunk) once it is written. */
struct hf_secret_stream_slice {
	struct hf_secret_stream_chunk *chunk;
	const uint8_t *data;
	size_t length;
};
HF_API void hf_secret_stream_release(void *chunk);
/* Takes up to count_max slices, in order; returns their count. What was sealed before the session ended still comes. */
HF_API size_t hf_secret_stream_send(struct hf_secret_stream *stream, struct hf_secret_stream_slice *slices, size_t count_max);
/* Sealed and not taken yet. */
HF_API size_t hf_secret_stream_pending_bytes(const struct hf_secret_stream *stream);

/* Of messages, sealed and with their lengths, over the whole session. */
HF_API uint64_t hf_secret_stream_received_bytes(const struct hf_secret_stream *stream);
HF_API uint64_t hf_secret_stream_sent_bytes(const struct hf_secret_stream *stream);
/* Of an unfinished frame: what the session holds for the remote. */
HF_API size_t hf_secret_stream_gathered_bytes(const struct hf_secret_stream *stream);

/* When tick is due; UINT64_MAX: not at all. It moves with every call. */
HF_API uint64_t hf_secret_stream_deadline(const struct hf_secret_stream *stream);
/* HF_OK or what ended the session: HF_ETIMEOUT. Writes the empty message when it is time. */
HF_API int hf_secret_stream_tick(struct hf_secret_stream *stream, uint64_t now_ms);

HF_API bool hf_secret_stream_is_open(const struct hf_secret_stream *stream); /* messages may be written */
/* These hold once the handshake is finished. */
HF_API const uint8_t *hf_secret_stream_remote_key(const struct hf_secret_stream *stream);
HF_API const uint8_t *hf_secret_stream_handshake_hash(const struct hf_secret_stream *stream);

#endif
