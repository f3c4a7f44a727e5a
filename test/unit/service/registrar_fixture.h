/* registrar_fixture: the desk with all behind it, peers with keys, and requests that are answered before a function returns. */
#ifndef HF_TEST_REGISTRAR_FIXTURE_H
#define HF_TEST_REGISTRAR_FIXTURE_H

#include "gateway_fixture.h"

#include "codec/hex.h"
#include "service/gateway/registrar.h"

struct peer {
	uint8_t key[32], secret[64];
	char hex[65];
};

struct desk {
	struct ground *ground;
	struct hf_registry *registry;
	struct hf_tokens *tokens;
	struct hf_audit *audit;
	struct hf_registrar *registrar;
	struct hf_registrar_options options;
	uint8_t gateway_key[32], gateway_secret[64];
	int is_answered, status;
	char body[65536];
	unsigned nonce;
	struct { unsigned count; char reason[64], frame[1024]; uint64_t sequence; uint8_t id[16]; } revoked;
};

static inline struct peer peer_of(uint8_t number)
{
	struct peer p = {0};
	uint8_t seed[32] = {number, 77};
	hf_sign_keypair_from_seed(p.key, p.secret, seed);
	hf_hex_encode(p.hex, p.key, 32);
	return p;
}

static inline void note_answer(void *context, int status, struct hf_slice body)
{
	struct desk *d = context;
	assert_false(d->is_answered);
	d->is_answered = 1;
	d->status = status;
	snprintf(d->body, sizeof d->body, "%.*s", (int)body.length, (const char *)body.data);
}

static inline void note_revoked(void *context, const struct hf_token_claims *claims, const char *reason, struct hf_slice frame)
{
	struct desk *d = context;
	d->revoked.count++;
	d->revoked.sequence = claims->sequence;
	memcpy(d->revoked.id, claims->id, sizeof d->revoked.id);
	snprintf(d->revoked.reason, sizeof d->revoked.reason, "%s", reason);
	snprintf(d->revoked.frame, sizeof d->revoked.frame, "%.*s", (int)frame.length, (const char *)frame.data);
}

static inline void desk_begin(struct desk *d)
{
	struct hf_failure failure = {0};
	struct ground *g = d->ground;
	struct hf_registry_options registry = {.size = sizeof registry, .loop = g->loop, .state = g->state};
	assert_int_equal(hf_registry_new(&d->registry, &registry), HF_OK);
	struct hf_tokens_options tokens = {.size = sizeof tokens, .loop = g->loop, .state = g->state, .registry = d->registry,
		.signing_key = d->gateway_secret};
	assert_int_equal(hf_tokens_new(&d->tokens, &tokens, &failure), HF_OK);
	assert_int_equal(hf_tokens_listen(d->tokens, &(struct hf_token_events){.revoked = note_revoked, .context = d}), HF_OK);
	assert_int_equal(hf_audit_open(&d->audit, g->store, &g->env, NULL), HF_OK);
	d->options.size = sizeof d->options;
	d->options.loop = g->loop;
	d->options.state = g->state;
	d->options.registry = d->registry;
	d->options.tokens = d->tokens;
	d->options.audit = d->audit;
	d->options.gateway_key = d->gateway_key;
	if (hf_registrar_new(&d->registrar, &d->options, &failure) < 0)
		fail_msg("%s", failure.text);
}

static inline void desk_end(struct desk *d)
{
	hf_state_close(d->ground->state);
	hf_registry_free(d->registry);
	hf_tokens_free(d->tokens);
	hf_registrar_free(d->registrar);
	hf_audit_close(d->audit);
}

static inline struct desk *desk_new(const char *redis_url, const char *secret, const char *allow, bool is_open, bool is_compatible)
{
	struct desk *d = calloc(1, sizeof *d);
	uint8_t seed[32] = {99};
	d->ground = ground_new(redis_url);
	hf_sign_keypair_from_seed(d->gateway_key, d->gateway_secret, seed);
	d->options.secret = secret;
	d->options.allow = allow;
	d->options.is_open = is_open;
	d->options.is_compatible = is_compatible;
	d->nonce = redis_url ? (unsigned)(size_t)d : 1;
	desk_begin(d);
	return d;
}

static inline void desk_restart(struct desk *d)
{
	desk_end(d);
	hf_store_close(d->ground->store);
	ground_open_store(d->ground);
	ground_open_state(d->ground);
	desk_begin(d);
}

static inline void desk_free(struct desk *d)
{
	desk_end(d);
	hf_store_close(d->ground->store);
	hf_loop_free(d->ground->loop);
	scratch_remove(d->ground->scratch);
	free(d->ground);
	free(d);
}

static inline uint64_t now_of(struct desk *d) { return hf_env_wall_ms(&d->ground->env); }

/* Waits for the answer: its status; the body is in d->body. */
static inline int answer_of(struct desk *d)
{
	turn_until(d->ground, NULL, &d->is_answered);
	d->is_answered = 0;
	return d->status;
}

static inline int post_registration(struct desk *d, const char *body, const uint8_t *channel_peer)
{
	hf_registrar_register(d->registrar, hf_slice_text(body), channel_peer, note_answer, d);
	return answer_of(d);
}

/* The refusal of the last answer, or "". */
static inline const char *refusal_of(struct desk *d)
{
	static char text[64];
	struct hf_slice refusal;
	text[0] = '\0';
	if (hf_canonical_plain(hf_slice_text(d->body), "error", &refusal))
		snprintf(text, sizeof text, "%.*s", (int)refusal.length, (const char *)refusal.data);
	return text;
}

/* A body of ours about relays, JSON of the array. */
static inline char *body_of(struct desk *d, const struct peer *peer, const char *relays, const char *secret)
{
	struct hf_buffer out = {0};
	struct hf_registration_draft draft = {.relays = hf_slice_text(relays), .peer_secret_key = peer->secret, .gateway_key = d->gateway_key,
		.secret = hf_slice_text(secret ? secret : ""), .now_ms = now_of(d)};
	d->nonce++;
	memcpy(draft.nonce, &d->nonce, sizeof d->nonce);
	assert_int_equal(hf_registration_make(&draft, &out), HF_OK);
	assert_int_equal(hf_buffer_append(&out, "", 1), HF_OK);
	return (char *)out.data;
}

static inline int register_relays(struct desk *d, const struct peer *peer, const char *relays)
{
	char *body = body_of(d, peer, relays, NULL);
	int status = post_registration(d, body, NULL);
	free(body);
	return status;
}

/* {"payload": ..., "signature"}: by a peer, or by the secret. fields: members with a comma in front of each, or "". */
static inline char *request_body(struct desk *d, const struct peer *peer, const char *secret, const char *action, const char *fields)
{
	struct hf_buffer text = {0}, payload = {0}, out = {0};
	char signature[HF_KEY_SIGNATURE_TEXT_BYTES + 1] = {0};
	hf_buffer_printf(&text, "{\"action\":\"%s\",\"nonce\":\"%024x\",\"issuedAt\":%llu", action, d->nonce++, (unsigned long long)now_of(d));
	if (peer)
		hf_buffer_printf(&text, ",\"peerKey\":\"%s\"", peer->hex);
	hf_buffer_printf(&text, "%s}", fields);
	assert_int_equal(hf_canonical(hf_buffer_slice(&text), &payload), HF_OK);
	if (peer)
		assert_int_equal(hf_key_sign(signature, HF_SIGNED_REQUEST, hf_buffer_slice(&payload), peer->secret), HF_OK);
	else
		hf_scheme_a_sign(signature, hf_slice_text(secret), hf_buffer_slice(&payload));
	hf_buffer_printf(&out, "{\"payload\":%.*s,\"signature\":\"%s\"}", (int)payload.length, (char *)payload.data, signature);
	hf_buffer_append(&out, "", 1);
	hf_buffer_free(&text);
	hf_buffer_free(&payload);
	return (char *)out.data;
}

static inline int post_token(struct desk *d, enum hf_registrar_token_request request, const char *body)
{
	hf_registrar_token(d->registrar, request, hf_slice_text(body), NULL, note_answer, d);
	return answer_of(d);
}

static inline int token_by(struct desk *d, const struct peer *peer, enum hf_registrar_token_request request, const char *fields)
{
	static const char *const actions[] = {"", "issue", "refresh", "revoke"};
	char *body = request_body(d, peer, "secret", actions[request], fields);
	int status = post_token(d, request, body);
	free(body);
	return status;
}

static inline void copy_token(struct desk *d, char out[static HF_CLIENT_TOKEN_BYTES_MAX])
{
	struct hf_slice token;
	if (!hf_canonical_plain(hf_slice_text(d->body), "token", &token))
		fail_msg("%s", d->body);
	snprintf(out, HF_CLIENT_TOKEN_BYTES_MAX, "%.*s", (int)token.length, (const char *)token.data);
}

#endif
