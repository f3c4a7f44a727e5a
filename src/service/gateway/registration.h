/* registration: what a peer says of the relays that it serves, made, signed, taken apart and proved. (Gateway specification, sections 3.5,
 * 4.3 and 5; what is ours is told in docs/registration.md)
 *
 * Three forms are read:
 *
 *   ours       {"registration": {"version": 1, "peer", "nonce", "issuedAt", "gateway"?, "relays": [RELAY...], ...}, "signature",
 *              "secretSignature"?, "owner"?}
 *              signature: the peer key's, for HF_SIGNED_REGISTRATION, over the canonical registration. secretSignature: scheme A over
 *              the same, where the gateway asks for its secret. owner: a signed Nostr event whose "payload" tag is the SHA-256 of the
 *              same text.
 *   shared     {"registration": {"relayKey", "nonce", "issuedAt", "peers": [], "metadata": {}, ...}, "signature"}, scheme A, as Hypertuna's
 *              workers send it over HTTP: it proves knowledge of the secret, and no peer's key
 *   unsigned   {"publicKey", "relays": [RELAY or text...], ...} as they send it on the channel: the peer is who the channel says. Only for
 *              a gateway that is told to be compatible.
 *
 * A RELAY is {"relayKey" and/or "identifier", "name", ..., "metadata": {}, "proof"?: {"issuedAt", "signature", "manifest"?},
 * "consent"?: {"owner", "issuedAt", "signature"}}. proof: by the relay's own core, over its key, the peer's and the time. consent: the
 * owner's peer key lets this peer serve the relay, too.
 */
#ifndef HF_SERVICE_GATEWAY_REGISTRATION_H
#define HF_SERVICE_GATEWAY_REGISTRATION_H

#include "base/env.h"
#include "crypto/schnorr.h"
#include "service/gateway/signature.h"

#define HF_REGISTRATION_RELAY_COUNT_MAX 256
#define HF_REGISTRATION_PEER_COUNT_MAX 32       /* named by one shared registration */
#define HF_REGISTRATION_KEY_BYTES_MAX 256       /* of a relay's key or identifier */
#define HF_REGISTRATION_NONCE_BYTES 12          /* of ours; at least so many of others' */
#define HF_REGISTRATION_NONCE_TEXT_BYTES_MAX 128
#define HF_REGISTRATION_AGE_MS_MAX (5u * 60u * 1000u) /* how far issuedAt may be from now, either way */
#define HF_REGISTRATION_PROOF_AGE_MS_MAX (365ull * 86400u * 1000u) /* of proofs and consents, which are made once and used again */
#define HF_REGISTRATION_OWNER_KIND 27235        /* of the owner's event, as for NIP-98 */

/* ---- Making: the peer's side ---- */

struct hf_registration_draft {
	struct hf_slice relays;          /* JSON array of RELAYs; proofs and consents are in it already */
	struct hf_slice more;            /* JSON object of further members, or empty */
	const uint8_t *peer_secret_key;  /* HF_SIGN_SECRET_BYTES */
	const uint8_t *gateway_key;      /* 32 bytes, or NULL: good for any gateway */
	struct hf_slice secret;          /* the gateway's shared secret, or empty */
	struct hf_slice owner_event;     /* JSON of the event, or empty; see hf_registration_digest */
	uint64_t now_ms;
	uint8_t nonce[HF_REGISTRATION_NONCE_BYTES]; /* random */
};
/* Appends the body. HF_EMALFORMED when relays, more or owner_event are no such JSON; HF_ETOOBIG, HF_ENOMEM. */
int hf_registration_make(const struct hf_registration_draft *draft, struct hf_buffer *out);
/* What the owner's event must have as its "payload" tag for the draft (owner_event is not looked at). */
int hf_registration_digest(const struct hf_registration_draft *draft, uint8_t digest[static 32]);

/* The proof by the relay's core: `"proof"`'s value is appended. relay_key: the core's key; manifest: its encoded manifest, or empty for a
 * core whose key is its public key. HF_ENOMEM. */
int hf_registration_make_proof(const uint8_t relay_key[static 32], struct hf_slice manifest, const uint8_t core_secret_key[static 64],
	const uint8_t peer[static 32], uint64_t now_ms, struct hf_buffer *out);
/* `"consent"`'s value: the owner's peer key lets peer serve the relay. relay_key is the record's key as text. HF_ENOMEM. */
int hf_registration_make_consent(struct hf_slice relay_key, const uint8_t owner_secret_key[static 64], const uint8_t peer[static 32],
	uint64_t now_ms, struct hf_buffer *out);

/* ---- Taking apart: the gateway's side ---- */

enum hf_registration_form { HF_REGISTRATION_OURS = 1, HF_REGISTRATION_SHARED, HF_REGISTRATION_UNSIGNED };

/* One relay of a body; slices are parts of the body's canonical text. */
struct hf_registration_relay {
	struct hf_slice key;         /* "relayKey", else "identifier": what the record is kept under; plain text */
	struct hf_slice entry;       /* the whole object; an empty one when only a text was sent */
	bool has_proof;              /* a proof is there, and right */
	bool has_consent;            /* a consent is there, and right */
	uint8_t consent_owner[32];   /* who gave it */
};
struct hf_registration_body {
	enum hf_registration_form form;
	struct hf_slice registration; /* the canonical text that was signed */
	bool has_peer;                /* the peer's key is proved */
	uint8_t peer[32];
	uint8_t claimed_peers[HF_REGISTRATION_PEER_COUNT_MAX][32]; /* of the shared form: not proved */
	size_t claimed_peer_count;
	bool knows_secret;            /* scheme A was right */
	bool has_owner;
	uint8_t owner[32];            /* Nostr key, proved */
	bool has_freshness;           /* nonce and issuedAt are there, and issuedAt is near now */
	char nonce[HF_REGISTRATION_NONCE_TEXT_BYTES_MAX + 1];
	struct hf_registration_relay *relays;
	size_t relay_count;
	struct hf_buffer text;        /* the canonical body */
};

struct hf_registration_door {
	struct hf_slice secret;        /* empty: there is none */
	const uint8_t *gateway_key;    /* 32 bytes; NULL: what names a gateway is refused */
	bool is_compatible;            /* the unsigned form is read, and the shared one without freshness */
	struct hf_schnorr *schnorr;    /* for owners' events; borrowed */
};
/* Reads and checks a body. channel_peer: whom the channel proved it to come from; NULL over HTTP. Whether a nonce was used before and
 * who may register is for the caller to see. On error *refusal is its name for the sender: "malformed", "too-large", "unsupported-version",
 * "signature-missing", "signature-invalid", "stale", "freshness-required", "gateway-mismatch", "peer-mismatch", "owner-invalid",
 * "proof-invalid", "consent-invalid", "unsigned"; NULL with HF_ENOMEM. The body is freed by hf_registration_body_free in any case. */
int hf_registration_open(struct hf_registration_body *body, const struct hf_registration_door *door, struct hf_slice text,
	const uint8_t *channel_peer, uint64_t now_ms, const char **refusal);
void hf_registration_body_free(struct hf_registration_body *body);

#endif
