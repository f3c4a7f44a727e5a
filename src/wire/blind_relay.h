/* blind_relay: the protocol with which a relay is asked to join two streams whose owners cannot reach each other; the relay sees what
 * passes only sealed. Both sides, without I/O. (spec: swarm, 6; npm blind-relay 1)
 *
 * On a channel `blind-relay` whose id is the client's key, a client says: my stream N is the first (or second) half of this token. When
 * the relay has both halves it makes a stream for each, joins them, and tells each client its stream's id. A pair ends when either
 * channel closes or unpairs it.
 */
#ifndef HF_WIRE_BLIND_RELAY_H
#define HF_WIRE_BLIND_RELAY_H

#include "wire/protomux.h"

#define HF_BLIND_RELAY_PROTOCOL "blind-relay"
#define HF_BLIND_RELAY_TOKEN_BYTES 32u
#define HF_BLIND_RELAY_KEY_BYTES 32u
#define HF_BLIND_RELAY_SESSION_COUNT_MAX 1024u /* defaults of hf_blind_relay_limits */
#define HF_BLIND_RELAY_PAIR_COUNT_MAX 1024u
#define HF_BLIND_RELAY_SESSION_PAIRS_MAX 16u

/* ---- Messages ---- */

enum hf_blind_relay_message { HF_BLIND_RELAY_PAIR, HF_BLIND_RELAY_UNPAIR };

struct hf_blind_relay_pair {
	bool is_initiator;
	uint8_t token[HF_BLIND_RELAY_TOKEN_BYTES];
	uint32_t id; /* of the sender's stream */
	uint32_t seq;
};
/* Append: HF_ENOMEM. Read: HF_EMALFORMED, HF_ETOOBIG (an id of more than 32 bits). */
HF_API int hf_blind_relay_pair_encode(const struct hf_blind_relay_pair *pair, struct hf_buffer *out);
HF_API int hf_blind_relay_pair_decode(struct hf_slice body, struct hf_blind_relay_pair *pair);
HF_API int hf_blind_relay_unpair_encode(const uint8_t token[static HF_BLIND_RELAY_TOKEN_BYTES], struct hf_buffer *out);
HF_API int hf_blind_relay_unpair_decode(struct hf_slice body, uint8_t token[static HF_BLIND_RELAY_TOKEN_BYTES]);

/* ---- The side that asks ---- */

struct hf_blind_relay_client;

struct hf_blind_relay_client_events {
	/* The relay has joined: its stream for us has this id. */
	void (*paired)(void *context, const struct hf_blind_relay_pair *pair);
	void (*closed)(void *context); /* once and last: the relay has closed the channel, or the mux has ended */
};
/* Opens the channel; key is our own. Errors as of hf_protomux_open; no event comes then. */
HF_API int hf_blind_relay_client_open(struct hf_blind_relay_client **out, struct hf_protomux *mux,
	const uint8_t key[static HF_BLIND_RELAY_KEY_BYTES], const struct hf_blind_relay_client_events *events, void *context);
/* No event comes any more; closes the channel, unless the mux has ended. NULL is fine. */
HF_API void hf_blind_relay_client_free(struct hf_blind_relay_client *client);
HF_API int hf_blind_relay_client_pair(struct hf_blind_relay_client *client, const struct hf_blind_relay_pair *pair);
HF_API int hf_blind_relay_client_unpair(
	struct hf_blind_relay_client *client, const uint8_t token[static HF_BLIND_RELAY_TOKEN_BYTES]);

/* ---- The relay ---- */

struct hf_blind_relay;
struct hf_blind_relay_session;

struct hf_blind_relay_limits {
	uint32_t session_count_max;
	uint32_t pair_count_max;     /* of all: those that wait for their other half, and those joined */
	uint32_t session_pairs_max;  /* of one session */
};
struct hf_blind_relay_events {
	/* Makes two streams that are joined, each for who sends to it first and has the remote id; their ids go to the clients. *link names the
	 * two for leave. An error drops the pair without a word, as a relay that is full does. */
	int (*join)(void *context, const uint32_t remote_ids[static 2], uint32_t ids[static 2], void **link);
	void (*leave)(void *context, void *link); /* the pair is over: its streams are to go */
};
struct hf_blind_relay_options {
	const struct hf_blind_relay_limits *limits; /* NULL or zeroes: the defaults */
	const struct hf_blind_relay_events *events;
	void *context;
	uint64_t seed; /* unpredictable, for hashing */
};
struct hf_blind_relay_stats {
	uint64_t sessions, sessions_refused;      /* so far */
	uint64_t pairs, pairs_joined, pairs_refused, pairs_cancelled;
	size_t session_count, waiting_count, joined_count; /* now */
};

HF_API int hf_blind_relay_new(struct hf_blind_relay **out, const struct hf_blind_relay_options *options);
HF_API void hf_blind_relay_free(struct hf_blind_relay *relay); /* its sessions, too; NULL is fine */
/* Serves one connection; it ends with its channel. HF_EBUSY (session_count_max), HF_ENOMEM, HF_ECLOSED. */
HF_API int hf_blind_relay_accept(
	struct hf_blind_relay *relay, struct hf_protomux *mux, const uint8_t remote_key[static HF_BLIND_RELAY_KEY_BYTES]);
/* The streams of a link have ended by themselves; leave is not called for it. */
HF_API void hf_blind_relay_left(struct hf_blind_relay *relay, void *link);
HF_API void hf_blind_relay_read_stats(const struct hf_blind_relay *relay, struct hf_blind_relay_stats *stats);

#endif
