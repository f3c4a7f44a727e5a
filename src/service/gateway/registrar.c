/* registrar: admission, and the ways of a request through checks that wait. A request is answered once, whatever part of it failed. */
#include "service/gateway/registrar_private.h"

#include <stdlib.h>

#include "base/log.h"
#include "codec/bech32.h"
#include "codec/hex.h"
#include "crypto/hash.h"
#include "crypto/secret.h"

/* ---- Answers ---- */

static const struct { const char *refusal; int status; } statuses[] = {
	{"malformed", 400}, {"too-large", 413}, {"unsupported-version", 400}, {"ttl-invalid", 400}, {"action-mismatch", 400},
	{"signature-missing", 401}, {"signature-invalid", 401}, {"stale", 401}, {"freshness-required", 401}, {"replayed", 401}, {"unsigned", 401},
	{"gateway-mismatch", 401}, {"peer-mismatch", 401}, {"owner-invalid", 401}, {"proof-invalid", 401}, {"consent-invalid", 401},
	{"not-admitted", 403}, {"not-owner", 403}, {"consent-required", 403}, {"not-allowed", 403}, {"quarantined", 403},
	{"relay-not-registered", 404}, {"identifier-taken", 409}, {"too-many-relays", 429}, {"too-many-peers", 429}, {"too-many-tokens", 429},
	{"record-too-large", 413}, {"no-active-token", 400}, {"token-mismatch", 400}, {"token-required", 400}, {"token-invalid", 400},
	{"token-expired", 400}, {"token-revoked", 400}, {"token-stale", 400}, {"token-unknown", 400}, {"relay-mismatch", 400},
	{"token-service-disabled", 503}, {"registration-disabled", 503}, {"state-unavailable", 503}, {"busy", 503}, {"out-of-memory", 503},
};

static int status_of(const char *refusal)
{
	for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
		if (strcmp(statuses[i].refusal, refusal) == 0)
			return statuses[i].status;
	return 500;
}

void hf_registrar_refuse(struct hf_registrar *g, hf_registrar_answer *answer, void *context, const char *refusal)
{
	struct hf_buffer body = {0};
	refusal = refusal ? refusal : "out-of-memory";
	hf_counter_add(&g->refused, 1);
	hf_buffer_printf(&body, "{\"error\":\"%s\"}", refusal);
	answer(context, status_of(refusal), hf_buffer_slice(&body));
	hf_buffer_free(&body);
}

/* ---- What a nonce is for ---- */

/* Taken once, until the request that has it would be too old anyway. The principal's name is part of it. */
int hf_registrar_take_nonce(struct hf_registrar *g, const char *principal, const char *nonce, void (*done)(void *context, int status),
	void *context)
{
	uint8_t digest[32], value[16];
	char key[64];
	struct hf_sha256 hash;
	hf_sha256_init(&hash);
	hf_sha256_update(&hash, principal, strlen(principal) + 1);
	hf_sha256_update(&hash, nonce, strlen(nonce));
	hf_sha256_final(&hash, digest);
	hf_hex_encode(key, digest, sizeof digest);
	g->env->random(g->env, value, sizeof value);
	const struct hf_state_op op = {.kind = HF_STATE_PUT_NEW, .space = HF_STATE_NONCES, .key = hf_slice(key, sizeof key),
		.value = hf_slice(value, sizeof value), .end_ms = hf_env_wall_ms(g->env) + 2 * HF_REGISTRATION_AGE_MS_MAX + 1000};
	return hf_state_commit(g->state, &op, 1, done, context);
}

void hf_registrar_name(const struct hf_registry_principal *by, char out[static HF_REGISTRAR_NAME_BYTES])
{
	strcpy(out, by->is_operator ? "operator" : by->knows_secret ? "secret" : "unknown");
	if (by->has_peer) {
		memcpy(out, "peer:", 5);
		hf_hex_encode(out + 5, by->peer, 32);
		out[69] = '\0';
	}
}

/* ---- Registration ---- */

struct registering {
	struct hf_registrar *registrar;
	struct hf_registration_body body;
	hf_registrar_answer *answer;
	void *context;
	size_t waiting;
	struct hf_buffer results; /* of each relay: ,{...} */
	size_t merged;
	const char *refusal;      /* the first one */
};

/* One relay's merge, with its place in the body. */
struct merging {
	struct registering *whole;
	size_t index;
};

static void free_registering(struct registering *q)
{
	q->registrar->pending_count--;
	hf_registration_body_free(&q->body);
	hf_buffer_free(&q->results);
	free(q);
}

static bool is_listed(const struct hf_registrar *g, const uint8_t key[static 32])
{
	for (size_t i = 0; i < g->allow_count; i++)
		if (memcmp(g->allow[i], key, 32) == 0)
			return true;
	return false;
}

static bool is_admitted(const struct hf_registrar *g, const struct hf_registration_body *b)
{
	if (b->form == HF_REGISTRATION_UNSIGNED)
		return g->door.is_compatible;
	return g->is_open || b->knows_secret || (b->has_peer && is_listed(g, b->peer)) || (b->has_owner && is_listed(g, b->owner));
}

bool hf_registrar_knows(const struct hf_registrar *g, const struct hf_registration *record)
{
	if (strcmp(record->principal, "channel") == 0)
		return false;
	if (!g->is_open || strcmp(record->principal, "secret") == 0)
		return true;
	return (record->has_owner_peer && is_listed(g, record->owner_peer)) || (record->has_owner && is_listed(g, record->owner));
}

static void audit_merge(const struct registering *q, const struct hf_registration_relay *relay, const char *refusal)
{
	struct hf_buffer fields = {0};
	struct hf_registry_principal by = {.has_peer = q->body.has_peer, .knows_secret = q->body.knows_secret};
	char name[HF_REGISTRAR_NAME_BYTES];
	memcpy(by.peer, q->body.peer, sizeof by.peer);
	hf_registrar_name(&by, name);
	if (hf_buffer_printf(&fields, "{\"by\":\"%s\",\"relay\":\"%.*s\"%s%s%s}", name, (int)relay->key.length, (const char *)relay->key.data,
		refusal ? ",\"refusal\":\"" : "", refusal ? refusal : "", refusal ? "\"" : "") == HF_OK)
		hf_audit_write(q->registrar->audit, refusal ? "registration.refused" : "registration.merged", hf_buffer_slice(&fields));
	hf_buffer_free(&fields);
}

static void note_result(struct registering *q, size_t index, const char *refusal)
{
	const struct hf_registration_relay *relay = &q->body.relays[index];
	q->merged += refusal == NULL;
	q->refusal = q->refusal ? q->refusal : refusal;
	audit_merge(q, relay, refusal);
	hf_buffer_printf(&q->results, "%s{\"relayKey\":\"%.*s\",\"status\":\"%s\"}", q->results.length ? "," : "", (int)relay->key.length,
		(const char *)relay->key.data, refusal ? refusal : "ok");
}

/* A body of one relay is refused with its relay; of several, each has its own result. */
static void answer_registering(struct registering *q)
{
	struct hf_registrar *g = q->registrar;
	struct hf_buffer out = {0};
	int r = hf_buffer_printf(&out, "{\"status\":\"ok\",\"relays\":[%.*s]", (int)q->results.length, (char *)q->results.data);
	if (r == HF_OK && g->describe)
		r = g->describe(g->describe_context, &out);
	if (r == HF_OK)
		r = hf_buffer_append_text(&out, "}");
	if (r < 0 || (q->merged == 0 && q->refusal))
		hf_registrar_refuse(g, q->answer, q->context, r < 0 ? "out-of-memory" : q->refusal);
	else
		q->answer(q->context, 200, hf_buffer_slice(&out));
	hf_buffer_free(&out);
	free_registering(q);
}

static void one_merged(void *context, int status, const char *refusal)
{
	struct merging *m = context;
	struct registering *q = m->whole;
	note_result(q, m->index, status == HF_OK ? NULL : refusal ? refusal : "out-of-memory");
	free(m);
	if (--q->waiting == 0)
		answer_registering(q);
}

static void merge_all(struct registering *q)
{
	q->waiting = 1;
	for (size_t i = 0; i < q->body.relay_count; i++) {
		struct merging *m = malloc(sizeof *m);
		const char *refusal = NULL;
		int r = m ? HF_OK : HF_ENOMEM;
		if (m) {
			*m = (struct merging){q, i};
			q->waiting++;
			r = hf_registry_merge(q->registrar->registry, &q->body, i, one_merged, m, &refusal);
			q->waiting -= r < 0;
		}
		if (r < 0) {
			note_result(q, i, refusal ? refusal : "out-of-memory");
			free(m);
		}
	}
	if (--q->waiting == 0)
		answer_registering(q);
}

/* The refusal of a body as a whole, by somebody who proved who they are. */
static void audit_refusal(const struct registering *q, const char *refusal)
{
	struct hf_buffer fields = {0};
	struct hf_registry_principal by = {.has_peer = q->body.has_peer, .knows_secret = q->body.knows_secret};
	char name[HF_REGISTRAR_NAME_BYTES];
	if (!refusal || (!by.has_peer && !by.knows_secret))
		return;
	memcpy(by.peer, q->body.peer, sizeof by.peer);
	hf_registrar_name(&by, name);
	if (hf_buffer_printf(&fields, "{\"by\":\"%s\",\"refusal\":\"%s\"}", name, refusal) == HF_OK)
		hf_audit_write(q->registrar->audit, "registration.refused", hf_buffer_slice(&fields));
	hf_buffer_free(&fields);
}

static void refuse_registering(struct registering *q, const char *refusal)
{
	audit_refusal(q, refusal);
	hf_registrar_refuse(q->registrar, q->answer, q->context, refusal);
	free_registering(q);
}

static void nonce_taken(void *context, int status)
{
	struct registering *q = context;
	if (status == HF_OK)
		merge_all(q);
	else
		refuse_registering(q, status == HF_EEXISTS ? "replayed" : "state-unavailable");
}

/* A body that was read: is it let in, and is it new? */
static void admit(struct registering *q)
{
	struct hf_registrar *g = q->registrar;
	struct hf_registry_principal by = {.has_peer = q->body.has_peer, .knows_secret = q->body.knows_secret};
	char name[HF_REGISTRAR_NAME_BYTES];
	if (!is_admitted(g, &q->body)) {
		refuse_registering(q, "not-admitted");
		return;
	}
	if (!q->body.has_freshness) {
		merge_all(q);
		return;
	}
	memcpy(by.peer, q->body.peer, sizeof by.peer);
	hf_registrar_name(&by, name);
	if (hf_registrar_take_nonce(g, name, q->body.nonce, nonce_taken, q) < 0)
		refuse_registering(q, "busy");
}

void hf_registrar_register(struct hf_registrar *g, struct hf_slice text, const uint8_t *channel_peer, hf_registrar_answer *answer,
	void *context)
{
	const char *refusal;
	struct registering *q = g->pending_count < HF_REGISTRAR_PENDING_MAX ? calloc(1, sizeof *q) : NULL;
	if (!q) {
		hf_registrar_refuse(g, answer, context, "busy");
		return;
	}
	g->pending_count++;
	hf_counter_add(&g->requests, 1);
	q->registrar = g;
	q->answer = answer;
	q->context = context;
	if (hf_registration_open(&q->body, &g->door, text, channel_peer, hf_env_wall_ms(g->env), &refusal) < 0)
		refuse_registering(q, refusal);
	else
		admit(q);
}

int hf_registrar_describe(const struct hf_registrar *g, struct hf_buffer *out)
{
	char key[65] = {0}, signer[65] = {0};
	hf_hex_encode(key, g->gateway_key, 32);
	int r = hf_buffer_printf(out, "{\"gateway\":\"%s\",\"registration\":{\"open\":%s,\"secret\":%s,\"allow\":%s},\"tokens\":%s,", key,
		g->is_open ? "true" : "false", g->door.secret.length > 0 ? "true" : "false", g->allow_count > 0 ? "true" : "false",
		g->tokens ? "true" : "false");
	if (r == HF_OK && g->tokens) {
		hf_hex_encode(signer, hf_tokens_signer(g->tokens), 32);
		r = hf_buffer_printf(out, "\"signingKey\":\"%s\",", signer);
	}
	return r == HF_OK ? hf_buffer_printf(out, "\"compatible\":%s}", g->door.is_compatible ? "true" : "false") : r;
}

/* ---- The desk ---- */

/* One entry of the list of who may register. */
static bool read_allowed(const char *text, size_t length, uint8_t key[static 32])
{
	if (length == 64)
		return hf_hex_decode(key, text, 32);
	return hf_bech32_decode_key(key, "npub", hf_slice(text, length)) == HF_OK;
}

static int read_allow(struct hf_registrar *g, const char *list, struct hf_failure *failure)
{
	g->allow_count = 0;
	for (const char *at = list ? list : ""; *at;) {
		size_t length = strcspn(at, ", ");
		if (length > 0 && g->allow_count == HF_REGISTRAR_ALLOW_COUNT_MAX)
			return hf_fail(failure, HF_ETOOBIG, "registration.allow has more than %d entries.", HF_REGISTRAR_ALLOW_COUNT_MAX);
		if (length > 0 && !read_allowed(at, length, g->allow[g->allow_count++]))
			return hf_fail(failure, HF_EINVAL, "registration.allow has \"%.*s\"; write peers' keys as 64 hex digits and Nostr keys as npub1….",
				(int)length, at);
		at += length;
		at += strspn(at, ", ");
	}
	return HF_OK;
}

static int set_secret(struct hf_registrar *g, const char *secret, struct hf_failure *failure)
{
	hf_secret_free(&g->secret);
	if (secret && secret[0] && hf_secret_copy(&g->secret, hf_slice_text(secret)) < 0)
		return hf_fail(failure, HF_ENOMEM, "Out of memory while loading the secret of registration.");
	g->door.secret = hf_secret_slice(&g->secret);
	return HF_OK;
}

int hf_registrar_reconfigure(struct hf_registrar *g, const struct hf_registrar_options *o, struct hf_failure *failure)
{
	int r = read_allow(g, o->allow, failure);
	if (r == HF_OK)
		r = set_secret(g, o->secret, failure);
	g->is_open = o->is_open;
	g->door.is_compatible = o->is_compatible;
	return r;
}

int hf_registrar_new(struct hf_registrar **out, const struct hf_registrar_options *o, struct hf_failure *failure)
{
	struct hf_registrar *g = calloc(1, sizeof *g);
	*out = NULL;
	if (!g)
		return hf_fail(failure, HF_ENOMEM, "Out of memory while starting.");
	g->env = hf_loop_env(o->loop);
	g->state = o->state;
	g->registry = o->registry;
	g->tokens = o->tokens;
	g->audit = o->audit;
	g->metrics = o->metrics;
	g->describe = o->describe;
	g->describe_context = o->context;
	memcpy(g->gateway_key, o->gateway_key, sizeof g->gateway_key);
	g->door.gateway_key = g->gateway_key;
	hf_counter_register(g->metrics, &g->requests, "holdfast_registrar_requests_total", "", "Registrations, removals and requests for tokens");
	hf_counter_register(g->metrics, &g->refused, "holdfast_registrar_refused_total", "",
		"Registrations, removals and requests for tokens that were refused");
	int r = hf_registrar_reconfigure(g, o, failure);
	if (r == HF_OK && hf_schnorr_new(&g->schnorr, g->env, 0) < 0)
		r = hf_fail(failure, HF_ENOMEM, "Out of memory while starting.");
	g->door.schnorr = g->schnorr;
	if (r < 0) {
		hf_registrar_free(g);
		return r;
	}
	*out = g;
	return HF_OK;
}

void hf_registrar_free(struct hf_registrar *g)
{
	if (!g)
		return;
	hf_metric_unregister(g->metrics, &g->requests.link);
	hf_metric_unregister(g->metrics, &g->refused.link);
	hf_schnorr_free(g->schnorr);
	hf_secret_free(&g->secret);
	free(g);
}
