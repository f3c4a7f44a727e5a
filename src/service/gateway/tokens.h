/* tokens: what lets a client in to a relay that asks for it. (Gateway specification, sections 4.2 and 5.2)
 *
 * A token is one peer's and one user's; others' are not touched by its issue, refresh or end. What is known of it lives as long as the
 * token could, at all gateways that share the state, so that what was revoked stays revoked. Its sequence number is its relay's, given once
 * only, and rises; the worker's own token for the relay is kept here and is not in the text that clients carry.
 *
 * Requests come signed (docs/registration.md); who may ask for what:
 *   issue    a peer of the relay, or, for a record that no peer owns, who knows the secret
 *   refresh  who it was issued to, in the same way, with the token; only its latest text counts
 *   revoke   the relay's owner everything; another peer what it was issued
 */
#ifndef HF_SERVICE_GATEWAY_TOKENS_H
#define HF_SERVICE_GATEWAY_TOKENS_H

#include "service/gateway/registry.h"

#define HF_TOKEN_ID_BYTES 16
#define HF_TOKEN_TTL_MS 3600000u
#define HF_TOKEN_TTL_MS_MIN 10000u
#define HF_TOKEN_REFRESH_WINDOW_MS 300000u
#define HF_TOKEN_COUNT_MAX 100000
#define HF_TOKENS_PER_PEER_MAX 1024          /* of a relay */
#define HF_TOKEN_AUTH_BYTES_MAX 256          /* the worker's own token */
#define HF_TOKEN_REASON_BYTES_MAX 128
#define HF_TOKEN_REFRESH_FAILURES_MAX 5
#define HF_TOKEN_QUARANTINE_MS 600000u

struct hf_tokens;

/* What a token says, as far as it was checked. */
struct hf_token_claims {
	uint8_t id[HF_TOKEN_ID_BYTES];
	const char *relay_key;         /* the record's key; borrowed until the next turn of the loop, as the other texts */
	const char *relay_auth_token;  /* for the worker: x-auth-token */
	const char *scope;
	bool has_pubkey, has_peer;
	uint8_t pubkey[32];            /* the user's Nostr key */
	uint8_t peer[32];              /* who had it issued */
	uint64_t sequence, issued_ms, expires_ms;
};

struct hf_token_events {
	/* It must not be used any more, revoked here or at another gateway. frame: the signed control frame as JSON text. */
	void (*revoked)(void *context, const struct hf_token_claims *claims, const char *reason, struct hf_slice frame);
	void *context;
};

struct hf_tokens_options {
	size_t size;
	struct hf_loop *loop;
	struct hf_state *state;              /* these are borrowed */
	struct hf_registry *registry;
	const uint8_t *signing_key;          /* HF_SIGN_SECRET_BYTES: of control frames */
	struct hf_metrics *metrics;          /* may be NULL */
	uint64_t ttl_ms, refresh_window_ms;  /* 0: as above; the most that is given, and the default */
	uint64_t refresh_failures_max, quarantine_ms;
};
int hf_tokens_new(struct hf_tokens **out, const struct hf_tokens_options *options, struct hf_failure *failure);
/* New times for tokens that are made from now on. */
void hf_tokens_reconfigure(struct hf_tokens *tokens, const struct hf_tokens_options *options);
void hf_tokens_free(struct hf_tokens *tokens); /* NULL is fine */
int hf_tokens_listen(struct hf_tokens *tokens, const struct hf_token_events *events); /* several may; HF_ENOMEM */

/* Looks whether a presented text lets in to the relay of that key. HF_OK and *claims; HF_EDENIED with *refusal: "token-required",
 * "token-invalid", "relay-mismatch", "token-expired", "token-revoked", "token-stale" (refreshed meanwhile; the former text is good for
 * as long as its successor was not used, at most the refresh window), "token-unknown"; HF_ENOMEM, which says nothing of the text. Never
 * waits. */
int hf_tokens_verify(struct hf_tokens *tokens, struct hf_slice relay_key, struct hf_slice text, struct hf_token_claims *claims,
	const char **refusal);

/* By whose secret key control frames are signed. */
const uint8_t *hf_tokens_signer(const struct hf_tokens *tokens);
/* Signs with another key from now on; appends the frame that says so, signed with the one before. HF_ENOMEM changes nothing. */
int hf_tokens_change_signer(struct hf_tokens *tokens, const uint8_t signing_key[static HF_SIGN_SECRET_BYTES], struct hf_buffer *frame);

struct hf_token_answer {
	struct hf_slice token;   /* the text; borrowed for the callback */
	uint64_t expires_ms, refresh_after_ms, sequence;
	uint64_t count;          /* of a revocation: tokens that ended */
	uint8_t id[HF_TOKEN_ID_BYTES];
};
/* status HF_OK and the answer, or an error and its name. */
typedef void hf_token_done(void *context, int status, const char *refusal, const struct hf_token_answer *answer);

/* payload: the canonical object that was signed: relayKey, relayAuthToken, pubkey?, scope?, ttlSeconds? | relayKey, token, ttlSeconds?
 * | relayKey, token? or tokenId? or peer? or pubkey? (else all of the relay), reason?. Refusals at once or later: "malformed",
 * "relay-not-registered", "not-allowed", "too-many-tokens", "quarantined", "ttl-invalid", "no-active-token", "token-mismatch" and
 * those of verify, "state-unavailable". */
int hf_tokens_issue(struct hf_tokens *tokens, const struct hf_registry_principal *by, struct hf_slice payload, hf_token_done *done,
	void *context, const char **refusal);
int hf_tokens_refresh(struct hf_tokens *tokens, const struct hf_registry_principal *by, struct hf_slice payload, hf_token_done *done,
	void *context, const char **refusal);
int hf_tokens_revoke(struct hf_tokens *tokens, const struct hf_registry_principal *by, struct hf_slice payload, hf_token_done *done,
	void *context, const char **refusal);

/* The one whose id, in hexadecimal, comes next behind this one, which need not be there; the empty one: the first. False at the end. As of
 * hf_registry_after, none is left out or told twice. */
bool hf_tokens_after(struct hf_tokens *tokens, struct hf_slice id, struct hf_token_claims *claims, const char **state);

/* Appends ["TOKEN","REVOKED",{gateway, issuedAt, reason, relay, sequence, signature}], signed for HF_SIGNED_CONTROL over the canonical
 * frame without signature. HF_ENOMEM. */
int hf_token_frame_make(const uint8_t signing_key[static HF_SIGN_SECRET_BYTES], struct hf_slice relay_key, struct hf_slice reason,
	uint64_t sequence, uint64_t now_ms, struct hf_buffer *out);
/* The other side: is the frame signed by the gateway that it names, and newer than highest? HF_EMALFORMED, HF_EBADSIG, HF_EDUPLICATE. */
int hf_token_frame_verify(struct hf_slice frame, const uint8_t gateway_key[static 32], uint64_t highest, uint64_t *sequence);
/* Appends ["GATEWAY","SIGNER",{gateway, issuedAt, next, signature}], signed in the same way: control frames are signed with `next` from now
 * on. HF_ENOMEM. */
int hf_signer_frame_make(const uint8_t signing_key[static HF_SIGN_SECRET_BYTES], const uint8_t next_key[static 32], uint64_t now_ms,
	struct hf_buffer *out);
/* HF_EMALFORMED, HF_EBADSIG. */
int hf_signer_frame_verify(struct hf_slice frame, const uint8_t gateway_key[static 32], uint8_t next_key[static 32]);

#endif
