/* tokens_private: between the parts of tokens. (Private to service/gateway/)
 *
 * A token is kept in HF_STATE_TOKENS under its id in hexadecimal, as the canonical object
 *   {"auth", "expiresAt", "hash", "id", "issuedAt", "peer"?, "previous"?, "previousUntil"?, "pubkey"?, "reason"?, "relayKey", "revokedAt"?,
 *    "scope", "sequence"}
 * hash is the SHA-256 of its text, previous that of the text before the last refresh. */
#ifndef HF_SERVICE_GATEWAY_TOKENS_PRIVATE_H
#define HF_SERVICE_GATEWAY_TOKENS_PRIVATE_H

#include "base/map.h"
#include "base/ordered.h"
#include "service/gateway/tokens.h"

#define HF_TOKENS_LISTENERS_MAX 8
#define HF_TOKEN_ID_TEXT_BYTES (2 * HF_TOKEN_ID_BYTES)
#define HF_TOKEN_SCOPE_BYTES_MAX 64
#define HF_TOKEN_GRACE_MS 60000u /* an ended token is known for so long, to be called by its name */

struct hf_token {
	struct hf_token *next, *previous; /* of its relay's */
	struct hf_relay_tokens *relay;
	struct hf_ordered_node order;
	struct hf_token_claims claims;    /* texts point into strings */
	char id[HF_TOKEN_ID_TEXT_BYTES];
	uint8_t hash[32], previous_hash[32];
	bool has_previous, is_used, is_revoked;
	uint64_t previous_until_ms, revision;
	char *strings;
	const char *reason;
};

struct hf_relay_tokens {
	struct hf_token *first;
	size_t count, key_length;
	char key[];
};

struct hf_tokens {
	struct hf_loop *loop;
	struct hf_env *env;
	struct hf_state *state;
	struct hf_registry *registry;
	struct hf_metrics *metrics;
	uint8_t secret[32], signing_key[HF_SIGN_SECRET_BYTES];
	uint64_t ttl_ms, refresh_window_ms, refresh_failures_max, quarantine_ms;
	struct hf_map tokens, relays;
	struct hf_ordered order;          /* tokens by id */
	struct hf_token_events listeners[HF_TOKENS_LISTENERS_MAX];
	size_t listener_count;
	struct hf_gauge tokens_gauge;
	struct hf_counter issued, refreshed, revoked, refused, refresh_refused, quarantined;
};

struct hf_token *hf_tokens_at(const struct hf_tokens *tokens, struct hf_slice id_text);
struct hf_relay_tokens *hf_tokens_of_relay(const struct hf_tokens *tokens, struct hf_slice relay_key);
/* HF_OK and the token of a text whose HMAC is right; HF_EDENIED and the refusal; HF_ENOMEM, which says nothing of the text. *hash: of the
 * text. The relay and times are not looked at. */
int hf_tokens_open(struct hf_tokens *tokens, struct hf_slice text, struct hf_token **out, uint8_t hash[static 32], const char **refusal);
/* Does the text of that hash still count? */
bool hf_token_is_current(const struct hf_token *token, const uint8_t hash[static 32], uint64_t now_ms);

#endif
