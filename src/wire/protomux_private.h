/* protomux_private: what the files of protomux share.
 *
 * A pairing is what is known of one protocol and id: our opens that the remote has not answered (outgoing, a list through the local
 * slots) and its opens that we have not (incoming). Only one of the two is ever longer than nothing. A pairing goes when it is
 * empty and no channel is open under it. Aliases are further keys of the same pairing.
 *
 * A local id is taken when we open, and free again once the remote cannot speak of it any more: at close if its open has come,
 * else when its open or reject comes. A remote id is taken from the remote's open until the channel closes or is rejected.
 */
#ifndef HF_WIRE_PROTOMUX_PRIVATE_H
#define HF_WIRE_PROTOMUX_PRIVATE_H

#include "base/map.h"
#include "wire/protomux.h"

#define PROTOMUX_KEY_BYTES_MAX (1 + HF_PROTOMUX_PROTOCOL_BYTES_MAX + HF_PROTOMUX_ID_BYTES_MAX)

enum protomux_control { PROTOMUX_BATCH = 0, PROTOMUX_OPEN = 1, PROTOMUX_REJECT = 2, PROTOMUX_CLOSE = 3 };

struct protomux_key {
	struct hf_slice slice; /* of bytes, once it is made; of the pairing's own, once that has it */
	uint8_t bytes[PROTOMUX_KEY_BYTES_MAX];
};

/* A message for a channel that is not open yet. */
struct protomux_kept {
	struct protomux_kept *next;
	uint32_t type;
	size_t length;
	uint8_t body[];
};

struct protomux_pending {
	struct protomux_pending *next, *previous; /* in the pairing */
	struct protomux_kept *first, *last;
	size_t kept_bytes;
	uint32_t remote_id;
	bool is_closed; /* by the remote, before we answered: whoever opens it gets what was said and then the close */
	size_t handshake_length;
	uint8_t handshake[];
};

struct protomux_alias {
	struct protomux_alias *next;
	struct hf_slice key;
	uint8_t bytes[];
};

struct protomux_pairing {
	struct hf_slice key;
	struct protomux_alias *aliases;
	uint32_t opened;                  /* channels */
	uint32_t outgoing, outgoing_last; /* local ids, 0: none */
	struct protomux_pending *incoming, *incoming_last;
	uint32_t asking; /* notify calls under way */
	uint32_t owed;   /* late answers still to come */
	uint32_t uses;   /* calls under way that go on to use it */
	bool is_doomed;  /* when all are freed */
	struct protomux_pairing *next_doomed;
	uint8_t bytes[];
};

struct protomux_local {
	struct hf_channel *channel;       /* NULL: free, or closed before the remote has answered */
	struct protomux_pairing *pairing; /* while in its outgoing list */
	uint32_t next, previous;          /* there; next also links the free ones */
};
struct protomux_remote {
	struct hf_channel *channel;
	struct protomux_pending *pending; /* messages go here while set, also while they are being delivered */
};

struct protomux_handler {
	struct hf_slice key;
	hf_protomux_notify *notify;
	void *context;
	uint8_t bytes[];
};

struct hf_protomux {
	const struct hf_protomux_events *events;
	void *owner;
	struct hf_protomux_limits limits;
	struct hf_map pairings, handlers;
	struct protomux_local *locals; /* of id - 1 */
	struct protomux_remote *remotes;
	uint32_t local_count, local_capacity, local_free; /* local_free: an id */
	uint32_t remote_count, remote_capacity;
	uint32_t channel_count;
	uint32_t pending_count;
	size_t kept_bytes;
	struct hf_channel *dead; /* closed, to be freed when depth is 0 */
	uint32_t depth;
	uint32_t corked;
	uint32_t batch_channel;  /* of the last message in the batch */
	struct hf_buffer out;    /* the batch, or the message that is being written */
	struct hf_compact_writer writer;
	size_t begun_length, begun_frame; /* between begin and end */
	uint32_t begun_channel, begun_id;
	bool is_paused, has_ended, is_freed;
	int error;
};

struct hf_channel {
	struct hf_protomux *mux;
	struct protomux_pairing *pairing; /* until it is closed */
	const struct hf_channel_events *events;
	void *context;
	struct hf_channel *next_dead;
	uint32_t local_id, remote_id; /* remote_id 0: not known yet */
	bool is_open, is_closed;
	size_t protocol_length;
	char protocol[];
};

/* protomux.c */
void hf_protomux_enter(struct hf_protomux *mux);
void hf_protomux_leave(struct hf_protomux *mux);

/* protomux_send.c: one message on channel `id`, corked or not. */
int hf_protomux_put(struct hf_protomux *mux, uint32_t id, uint32_t type, const struct iovec *parts, int count);
/* close and reject; a failure ends the mux. */
void hf_protomux_put_control(struct hf_protomux *mux, enum protomux_control type, uint32_t id);

/* protomux_pairing.c */
bool hf_protomux_key_make(struct protomux_key *key, struct hf_slice protocol, struct hf_slice id); /* false: too long */
int hf_protomux_pairing_get(struct hf_protomux *mux, const struct protomux_key *key, struct protomux_pairing **pairing);
int hf_protomux_pairing_add_alias(struct hf_protomux *mux, struct protomux_pairing *pairing, const struct protomux_key *key);
void hf_protomux_pairing_collect(struct hf_protomux *mux, struct protomux_pairing *pairing); /* frees it when it is empty */
void hf_protomux_pairing_settle(struct hf_protomux *mux, struct protomux_pairing *pairing);  /* rejects when no answer is to come */
void hf_protomux_outgoing_add(struct hf_protomux *mux, struct protomux_pairing *pairing, uint32_t id);
void hf_protomux_outgoing_remove(struct hf_protomux *mux, uint32_t id);
void hf_protomux_incoming_remove(struct hf_protomux *mux, struct protomux_pairing *pairing, struct protomux_pending *pending);
bool hf_protomux_keeps(const struct hf_protomux *mux, size_t bytes); /* whether so many more may be kept */
int hf_protomux_pending_add(struct hf_protomux *mux, struct protomux_pairing *pairing, uint32_t remote_id, struct hf_slice handshake);
int hf_protomux_pending_keep(struct hf_protomux *mux, struct protomux_pending *pending, uint32_t type, struct hf_slice body);
struct protomux_kept *hf_protomux_pending_take(struct hf_protomux *mux, struct protomux_pending *pending); /* NULL: no more */
void hf_protomux_pending_free(struct hf_protomux *mux, struct protomux_pending *pending);
int hf_protomux_ask(struct hf_protomux *mux, struct protomux_pairing *pairing, struct hf_slice protocol, struct hf_slice id);
void hf_protomux_pairings_free(struct hf_protomux *mux);

/* protomux_channel.c; those that return an error have ended the mux. */
int hf_protomux_channel_opened(struct hf_channel *channel, struct hf_slice handshake);
int hf_protomux_channel_deliver(struct hf_channel *channel, uint32_t type, struct hf_slice body);
void hf_protomux_channel_end(struct hf_channel *channel, enum hf_channel_end end);
void hf_protomux_local_free(struct hf_protomux *mux, uint32_t id);

#endif
