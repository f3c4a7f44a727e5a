/* nostr_frame: what stands at the head of a Nostr message, of a client or of a relay, without taking its events and filters apart: for who
 * passes messages on. (NIP-01, 42, 45) What it does not look at is still checked to be well-formed JSON.
 */
#ifndef HF_WIRE_NOSTR_FRAME_H
#define HF_WIRE_NOSTR_FRAME_H

#include "wire/nostr.h"

enum hf_nostr_frame_type {
	HF_NOSTR_FRAME_OTHER,
	HF_NOSTR_FRAME_EVENT, HF_NOSTR_FRAME_REQ, HF_NOSTR_FRAME_COUNT, HF_NOSTR_FRAME_CLOSE, HF_NOSTR_FRAME_AUTH,
	HF_NOSTR_FRAME_OK, HF_NOSTR_FRAME_EOSE, HF_NOSTR_FRAME_CLOSED, HF_NOSTR_FRAME_NOTICE,
	HF_NOSTR_FRAME_AUTH_TOKEN, /* ["AUTH-TOKEN", text] */
	HF_NOSTR_FRAME_TOKEN,      /* ["TOKEN", …], a control frame */
	HF_NOSTR_FRAME_RESUME,     /* what only gateways say */
};

struct hf_nostr_frame {
	enum hf_nostr_frame_type type;
	struct hf_slice subscription_id; /* canonical JSON string body, in id_bytes; empty: none, or longer than is allowed */
	bool has_event;                  /* EVENT or AUTH with a well-formed id, or OK with one */
	uint8_t event_id[32];
	uint64_t created_at_s;           /* of EVENT; 0 when it is not a plain number */
	struct hf_slice event;           /* of EVENT, and of a client's AUTH: the object, out of the message */
	bool is_accepted;                /* of OK */
	struct hf_slice text;            /* AUTH-TOKEN: raw JSON string body, out of the message */
	uint8_t id_bytes[HF_NOSTR_SUBSCRIPTION_ID_BYTES_MAX];
};

/* HF_OK; HF_EMALFORMED or HF_ETOOBIG (depth): not JSON; HF_EINVAL: not an array that begins with a string. */
int hf_nostr_frame_read(struct hf_slice message, struct hf_nostr_frame *frame);

/* Appends a REQ that was read before, for events since a time only: each filter's "since" is that or later, and its "limit" is gone.
 * HF_ENOMEM. */
int hf_nostr_frame_append_since(struct hf_buffer *out, struct hf_slice request, uint64_t since_s);
/* The same as a RESUME (wire/nostr.h): its filters as above, or as they are where since_s is 0, and again without limits for what arrived
 * within so many seconds, which are not 0. */
int hf_nostr_frame_append_resume(struct hf_buffer *out, struct hf_slice request, uint64_t since_s, uint64_t arrived_within_s);

#endif
