/* bee_channel: replication of the gateway's bee inside of a channel, without I/O. (spec: gateway, section 3.8: Protomux protocol
 * hypertuna-hyperbee-replication)
 *
 * Its messages carry the bytes of a complete replication stream: a handshake, a secret stream and a Protomux of its own. The gateway
 * uploads, the worker downloads. What the nested mux is used for is the owner's: it attaches a replicator once `opened` comes.
 */
#ifndef HF_WIRE_BEE_CHANNEL_H
#define HF_WIRE_BEE_CHANNEL_H

#include "wire/protomux.h"
#include "wire/secret_stream.h"

#define HF_BEE_CHANNEL_PROTOCOL "hypertuna-hyperbee-replication"
#define HF_BEE_CHANNEL_CHUNK_BYTES_MAX (64u << 10)   /* of the nested stream, in one message that we send */
#define HF_BEE_CHANNEL_MESSAGE_BYTES_MAX (1u << 20)  /* to receive, of the nested secret stream */
#define HF_BEE_CHANNEL_PENDING_BYTES_MAX (4u << 20)  /* waiting while the outer stream is congested; past it the channel ends */

struct hf_bee_channel;

struct hf_bee_channel_events {
	/* The nested mux is there: attach to it. */
	void (*opened)(void *context, struct hf_bee_channel *channel, struct hf_protomux *mux,
		const uint8_t handshake_hash[static HF_HANDSHAKE_HASH_BYTES]);
	/* Once and last. The nested mux has failed, and exists until hf_bee_channel_free; see hf_replicator_detach for when that may be.
	 * code: HF_ECLOSED, HF_EDENIED (the remote has another bee), or what ended the nested stream. */
	void (*closed)(void *context, struct hf_bee_channel *channel, int code, const char *why);
};

struct hf_bee_channel_options {
	bool is_initiator;        /* of the outer stream, and so of the nested one */
	bool is_upload;           /* the gateway's side */
	const uint8_t *bee_key;   /* 32 bytes; NULL: not known here yet, the remote's is taken */
	struct hf_env *env;       /* random, and the wall clock for the handshake */
	struct hf_secret_stream_pool *pool;
	const uint8_t *static_secret; /* of the nested handshake, HF_SIGN_SECRET_BYTES: any key pair, the packages draw one */
	const struct hf_bee_channel_events *events;
	void *context;
};

/* As hf_protomux_open, also in its errors, but HF_OK where `closed` was called already. *out is set before the first callback. */
int hf_bee_channel_new(struct hf_protomux *mux, const struct hf_bee_channel_options *options, struct hf_bee_channel **out);
/* What was attached is detached before. Not from within the events. NULL is fine. */
void hf_bee_channel_free(struct hf_bee_channel *channel);
/* The remote's bee, once both sides have opened, or NULL. */
const uint8_t *hf_bee_channel_remote_key(const struct hf_bee_channel *channel);
uint64_t hf_bee_channel_deadline_ms(const struct hf_bee_channel *channel); /* monotonic; UINT64_MAX: none */
void hf_bee_channel_tick(struct hf_bee_channel *channel);

#endif
