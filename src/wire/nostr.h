/* nostr: the messages of a Nostr relay. (NIP-01, 42, 45) A decoder for what clients send, encoders for what
 * relays answer. No state: who is subscribed and authenticated is the relay's affair.
 *
 * Beside the NIPs, for gateways that take a subscription from one worker to another:
 *
 *     ["RESUME", id, filter, …, seconds, filter, …]
 *
 * is a REQ whose filters behind the number ask, of stored events, for those alone that arrived at the relay within so many seconds,
 * whatever their dates; there may be none before it.
 */
#ifndef HF_WIRE_NOSTR_H
#define HF_WIRE_NOSTR_H

#include "data/event/filter.h"

#define HF_NOSTR_SUBSCRIPTION_ID_CHARACTERS_MAX 64 /* Unicode characters */
#define HF_NOSTR_SUBSCRIPTION_ID_BYTES_MAX (6 * HF_NOSTR_SUBSCRIPTION_ID_CHARACTERS_MAX) /* as JSON text */
#define HF_NOSTR_FILTER_COUNT_MAX 20

enum hf_nostr_type { HF_NOSTR_EVENT, HF_NOSTR_REQ, HF_NOSTR_COUNT, HF_NOSTR_CLOSE, HF_NOSTR_AUTH };

struct hf_nostr_limits {
	size_t event_bytes_max;
	uint32_t filter_count_max;
	uint32_t filter_items_max; /* values of all filters of one message together */
	bool takes_resume;         /* RESUME is one of the messages */
};

struct hf_nostr_message {
	enum hf_nostr_type type;
	struct hf_slice subscription_id;  /* REQ, COUNT, CLOSE: canonical JSON string body: equal ids, equal bytes */
	struct hf_event event;            /* EVENT, AUTH */
	struct hf_filter *filters;        /* REQ, COUNT: in the arena */
	uint32_t filter_count;
};

/* What to answer when decoding fails. */
enum hf_nostr_refusal { HF_NOSTR_REFUSE_NOTICE, HF_NOSTR_REFUSE_OK, HF_NOSTR_REFUSE_CLOSED };
struct hf_nostr_error {
	enum hf_nostr_refusal refusal;
	uint8_t event_id[32];             /* with OK */
	struct hf_slice subscription_id;  /* with CLOSED */
	const char *reason;               /* "invalid: …" */
};

/* One whole text message; white space around it is fine. Event text is appended to *text, filters go to *arena.
 * Everything in *message and *error borrows from text, arena and the message. HF_OK, or a negative code with *error
 * filled: HF_EMALFORMED, HF_ETOOBIG, HF_EINVAL (unsupported), HF_ENOMEM. For EVENT and AUTH the refusal is an OK when
 * the event's id can be read, for REQ and COUNT a CLOSED when the subscription id can, else a NOTICE. */
int hf_nostr_decode(struct hf_slice text_message, const struct hf_nostr_limits *limits, struct hf_buffer *text,
	struct hf_arena *arena, struct hf_nostr_message *message, struct hf_nostr_error *error);

/* Encoders append one JSON message. reason may be NULL or "". */
int hf_nostr_append_ok(struct hf_buffer *out, const uint8_t id[static 32], bool accepted, const char *reason);
int hf_nostr_append_eose(struct hf_buffer *out, struct hf_slice subscription_id);
int hf_nostr_append_closed(struct hf_buffer *out, struct hf_slice subscription_id, const char *reason);
int hf_nostr_append_notice(struct hf_buffer *out, const char *reason);
int hf_nostr_append_count(struct hf_buffer *out, struct hf_slice subscription_id, uint64_t count);
int hf_nostr_append_auth(struct hf_buffer *out, const char *challenge);
/* ["EVENT",<subscription id>, … ]: the caller puts the event's JSON between head and tail. */
int hf_nostr_append_event_head(struct hf_buffer *out, struct hf_slice subscription_id);
#define HF_NOSTR_EVENT_TAIL "]"

/* NIP-42: checks an AUTH event (already parsed; signature checked by the caller): kind 22242, challenge and relay tags,
 * created_at within window_s of now_s. relay_url: the configured public address; hosts are compared without regard
 * to case, ports and paths are not, since a proxy may change them. NULL or "": the tag must be there and name
 * some host. Returns HF_OK or HF_EDENIED with *reason. */
int hf_nostr_check_auth(const struct hf_event *event, const char *challenge, const char *relay_url, uint64_t now_s,
	uint64_t window_s, const char **reason);

#endif
