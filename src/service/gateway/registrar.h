/* registrar: the desk at which registrations and requests for tokens are taken: what HTTP and the workers' channel hand in goes through the
 * same checks. Who may register: peers and Nostr keys of a list, who knows the secret, or everybody. A nonce is taken once, at one
 * gateway of those that share the state.
 */
#ifndef HF_SERVICE_GATEWAY_REGISTRAR_H
#define HF_SERVICE_GATEWAY_REGISTRAR_H

#include "service/audit.h"
#include "service/gateway/tokens.h"

#define HF_REGISTRAR_ALLOW_COUNT_MAX 1024
#define HF_REGISTRAR_PENDING_MAX 1024 /* requests that wait for a commit; more get 503 */

struct hf_registrar;

struct hf_registrar_options {
	size_t size;
	struct hf_loop *loop;
	struct hf_state *state;
	struct hf_registry *registry;
	struct hf_tokens *tokens;        /* NULL: there are none */
	struct hf_audit *audit;          /* may be NULL */
	struct hf_metrics *metrics;      /* may be NULL */
	const char *secret;              /* "": there is none */
	const char *allow;               /* peer keys (hex) and Nostr keys (npub1…), separated by commas */
	bool is_open, is_compatible;
	const uint8_t *gateway_key;      /* 32 bytes */
	/* Appends JSON members for the answer to a registration (`,"hyperbee":…`), or does nothing; may be NULL. */
	int (*describe)(void *context, struct hf_buffer *out);
	void *context;
};
/* HF_EINVAL with the sentence for a list that is none. */
int hf_registrar_new(struct hf_registrar **out, const struct hf_registrar_options *options, struct hf_failure *failure);
int hf_registrar_reconfigure(struct hf_registrar *registrar, const struct hf_registrar_options *options, struct hf_failure *failure);
void hf_registrar_free(struct hf_registrar *registrar); /* NULL is fine; requests under way are answered first by hf_state_close */

/* The answer to one request, called once, at once or later. body is JSON. */
typedef void hf_registrar_answer(void *context, int status, struct hf_slice body);

/* Is somebody behind the record whom the operator lets in by name or by the secret? Where registration is open, others can have one. */
bool hf_registrar_knows(const struct hf_registrar *registrar, const struct hf_registration *record);

/* Appends who the gateway is and what it takes, as JSON. HF_ENOMEM. */
int hf_registrar_describe(const struct hf_registrar *registrar, struct hf_buffer *out);

/* POST /api/relays, and /gateway/register on the channel (channel_peer: who is at the other end; NULL over HTTP). */
void hf_registrar_register(struct hf_registrar *registrar, struct hf_slice body, const uint8_t *channel_peer, hf_registrar_answer *answer,
	void *context);
/* DELETE /api/relays/<key>. The request is {"action": "delete", "issuedAt", "nonce", "peer"?, "relayKey"}. */
struct hf_registrar_removal {
	struct hf_slice relay_key, signature, nonce, issued_at, peer; /* as they stand in path and headers; empty: missing */
};
void hf_registrar_remove(struct hf_registrar *registrar, const struct hf_registrar_removal *removal, hf_registrar_answer *answer,
	void *context);
enum hf_registrar_token_request { HF_REGISTRAR_ISSUE = 1, HF_REGISTRAR_REFRESH, HF_REGISTRAR_REVOKE };
/* {"payload": {..., "nonce", "issuedAt", "action"}, "signature"}; by a peer when payload has "peerKey", else by scheme A. */
void hf_registrar_token(struct hf_registrar *registrar, enum hf_registrar_token_request request, struct hf_slice body,
	const uint8_t *channel_peer, hf_registrar_answer *answer, void *context);

#endif
