/* registrar_request: requests on what is registered: removal, and tokens. Whose they are is the same question for all: a peer's key or the
 * secret, over a text that is new. */
#include "service/gateway/registrar_private.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "codec/hex.h"

#define NONCE_TEXT_BYTES_MIN (2 * HF_REGISTRATION_NONCE_BYTES)

struct asking {
	struct hf_registrar *registrar;
	struct hf_registry_principal by;
	enum hf_registrar_token_request request; /* 0: removal */
	struct hf_buffer text;                   /* the canonical payload; of a removal: what was signed */
	hf_registrar_answer *answer;
	void *context;
};

static const char *const actions[] = {"delete", "issue", "refresh", "revoke"};
static const char *const audit_kinds[] = {"registration.removed", "token.issued", "token.refreshed", "token.revoked"};
static const char *const audit_refusals[] = {"removal.refused", "issue.refused", "refresh.refused", "revocation.refused"};

static void free_asking(struct asking *q)
{
	q->registrar->pending_count--;
	hf_buffer_free(&q->text);
	free(q);
}

/* Who asked for what, and what became of it. Those who did not prove who they are fill no log. */
static void audit(const struct asking *q, const char *refusal, const struct hf_token_answer *answer)
{
	if (!q->by.has_peer && !q->by.knows_secret)
		return;
	struct hf_buffer fields = {0};
	struct hf_slice relay, reason;
	char name[HF_REGISTRAR_NAME_BYTES], id[2 * HF_TOKEN_ID_BYTES + 1] = {0};
	hf_registrar_name(&q->by, name);
	hf_canonical_plain(hf_buffer_slice(&q->text), "relayKey", &relay);
	hf_canonical_raw(hf_buffer_slice(&q->text), "reason", &reason);
	int r = hf_buffer_printf(&fields, "{\"by\":\"%s\",\"relay\":\"%.*s\"", name, (int)relay.length, (const char *)relay.data);
	if (r == HF_OK && refusal)
		r = hf_buffer_printf(&fields, ",\"refusal\":\"%s\"", refusal);
	if (r == HF_OK && reason.length > 0 && reason.length <= HF_TOKEN_REASON_BYTES_MAX)
		r = hf_buffer_printf(&fields, ",\"reason\":\"%.*s\"", (int)reason.length, (const char *)reason.data);
	if (r == HF_OK && answer && q->request == HF_REGISTRAR_REVOKE)
		r = hf_buffer_printf(&fields, ",\"count\":%llu,\"sequence\":%llu", (unsigned long long)answer->count,
			(unsigned long long)answer->sequence);
	if (r == HF_OK && answer && q->request != HF_REGISTRAR_REVOKE) {
		hf_hex_encode(id, answer->id, sizeof answer->id);
		r = hf_buffer_printf(&fields, ",\"token\":\"%s\",\"sequence\":%llu", id, (unsigned long long)answer->sequence);
	}
	if (r == HF_OK && hf_buffer_append_text(&fields, "}") == HF_OK)
		hf_audit_write(q->registrar->audit, refusal ? audit_refusals[q->request] : audit_kinds[q->request], hf_buffer_slice(&fields));
	hf_buffer_free(&fields);
}

static void refuse(struct asking *q, const char *refusal)
{
	audit(q, refusal ? refusal : "out-of-memory", NULL);
	hf_registrar_refuse(q->registrar, q->answer, q->context, refusal);
	free_asking(q);
}

/* ---- What is done when all is right ---- */

static void removed(void *context, int status, const char *refusal)
{
	struct asking *q = context;
	if (status < 0) {
		refuse(q, refusal);
		return;
	}
	audit(q, NULL, NULL);
	q->answer(q->context, 200, HF_SLICE_LITERAL("{\"status\":\"ok\"}"));
	free_asking(q);
}

static void token_done(void *context, int status, const char *refusal, const struct hf_token_answer *a)
{
	struct asking *q = context;
	struct hf_buffer out = {0};
	if (status < 0) {
		refuse(q, refusal);
		return;
	}
	int r;
	if (q->request == HF_REGISTRAR_REVOKE)
		r = hf_buffer_printf(&out, "{\"status\":\"revoked\",\"disconnected\":%llu,\"sequence\":%llu}", (unsigned long long)a->count,
			(unsigned long long)a->sequence);
	else
		r = hf_buffer_printf(&out, "{\"token\":\"%.*s\",\"expiresAt\":%llu,\"refreshAfter\":%llu,\"sequence\":%llu}", (int)a->token.length,
			(const char *)a->token.data, (unsigned long long)a->expires_ms, (unsigned long long)a->refresh_after_ms,
			(unsigned long long)a->sequence);
	if (r < 0) { /* it is done, but who asked does not know of it, and asks again */
		refuse(q, NULL);
		return;
	}
	audit(q, NULL, a);
	q->answer(q->context, 200, hf_buffer_slice(&out));
	hf_buffer_free(&out);
	free_asking(q);
}

static void perform(struct asking *q)
{
	struct hf_registrar *g = q->registrar;
	struct hf_slice payload = hf_buffer_slice(&q->text), key;
	const char *refusal = NULL;
	int r;
	switch (q->request) {
	case HF_REGISTRAR_ISSUE:
		r = hf_tokens_issue(g->tokens, &q->by, payload, token_done, q, &refusal);
		break;
	case HF_REGISTRAR_REFRESH:
		r = hf_tokens_refresh(g->tokens, &q->by, payload, token_done, q, &refusal);
		break;
	case HF_REGISTRAR_REVOKE:
		r = hf_tokens_revoke(g->tokens, &q->by, payload, token_done, q, &refusal);
		break;
	default:
		hf_canonical_plain(payload, "relayKey", &key);
		r = hf_registry_remove(g->registry, key, &q->by, removed, q, &refusal);
	}
	if (r < 0)
		refuse(q, refusal);
}

/* ---- Whose it is ---- */

static void nonce_taken(void *context, int status)
{
	struct asking *q = context;
	if (status == HF_OK)
		perform(q);
	else
		refuse(q, status == HF_EEXISTS ? "replayed" : "state-unavailable");
}

/* A nonce and a time near now, or none where the gateway is compatible. */
static const char *check_freshness(const struct hf_registrar *g, struct hf_slice payload, struct hf_slice *nonce)
{
	struct hf_slice found;
	uint64_t issued_ms, now_ms = hf_env_wall_ms(g->env);
	if (!hf_canonical_member(payload, "nonce", &found) && !hf_canonical_member(payload, "issuedAt", &found))
		return g->door.is_compatible ? NULL : "freshness-required";
	if (!hf_canonical_plain(payload, "nonce", nonce) || nonce->length < NONCE_TEXT_BYTES_MIN ||
		nonce->length > HF_REGISTRATION_NONCE_TEXT_BYTES_MAX || !hf_canonical_u64(payload, "issuedAt", &issued_ms))
		return "malformed";
	return issued_ms + HF_REGISTRATION_AGE_MS_MAX < now_ms || issued_ms > now_ms + HF_REGISTRATION_AGE_MS_MAX ? "stale" : NULL;
}

/* By the key that the payload names, else by the secret. What a payload without "action" is for cannot be told from its signature. */
static const char *check_signature(struct asking *q, struct hf_slice payload, struct hf_slice signature, const uint8_t *channel_peer)
{
	struct hf_registrar *g = q->registrar;
	struct hf_slice action, found;
	bool has_peer = hf_canonical_member(payload, "peerKey", &found);
	if (signature.length == 0)
		return "signature-missing";
	if (has_peer && !hf_canonical_hex(payload, "peerKey", q->by.peer, 32))
		return "malformed";
	int r = has_peer ? hf_key_verify(signature, HF_SIGNED_REQUEST, payload, q->by.peer) : HF_OK;
	if (r < 0)
		return r == HF_ENOMEM ? "out-of-memory" : "signature-invalid";
	if (!has_peer && !hf_scheme_a_verify(signature, g->door.secret, payload))
		return "signature-invalid";
	if (has_peer && channel_peer && memcmp(channel_peer, q->by.peer, 32) != 0)
		return "peer-mismatch";
	q->by.has_peer = has_peer;
	q->by.knows_secret = !has_peer;
	if (!hf_canonical_member(payload, "action", &found))
		return g->door.is_compatible ? NULL : "freshness-required";
	if (!hf_canonical_plain(payload, "action", &action) || !hf_slice_equal(action, hf_slice_text(actions[q->request])))
		return "action-mismatch";
	return NULL;
}

static void check(struct asking *q, struct hf_slice signature, const uint8_t *channel_peer)
{
	struct hf_slice payload = hf_buffer_slice(&q->text), nonce = {0};
	char name[HF_REGISTRAR_NAME_BYTES], text[HF_REGISTRATION_NONCE_TEXT_BYTES_MAX + 1];
	const char *refusal = check_signature(q, payload, signature, channel_peer);
	if (!refusal)
		refusal = check_freshness(q->registrar, payload, &nonce);
	if (refusal) {
		refuse(q, refusal);
		return;
	}
	if (nonce.length == 0) {
		perform(q);
		return;
	}
	hf_registrar_name(&q->by, name);
	snprintf(text, sizeof text, "%.*s", (int)nonce.length, (const char *)nonce.data);
	if (hf_registrar_take_nonce(q->registrar, name, text, nonce_taken, q) < 0)
		refuse(q, "busy");
}

static struct asking *begin(struct hf_registrar *g, enum hf_registrar_token_request request, hf_registrar_answer *answer, void *context)
{
	struct asking *q = g->pending_count < HF_REGISTRAR_PENDING_MAX ? calloc(1, sizeof *q) : NULL;
	if (!q) {
		hf_registrar_refuse(g, answer, context, "busy");
		return NULL;
	}
	g->pending_count++;
	hf_counter_add(&g->requests, 1);
	q->registrar = g;
	q->request = request;
	q->answer = answer;
	q->context = context;
	return q;
}

/* ---- Tokens ---- */

void hf_registrar_token(struct hf_registrar *g, enum hf_registrar_token_request request, struct hf_slice body, const uint8_t *channel_peer,
	hf_registrar_answer *answer, void *context)
{
	struct hf_buffer canonical = {0};
	struct hf_slice payload, signature;
	struct asking *q = begin(g, request, answer, context);
	if (!q)
		return;
	int r = hf_canonical(body, &canonical);
	bool is_object = r == HF_OK && hf_canonical_member(hf_buffer_slice(&canonical), "payload", &payload) && hf_canonical_is_object(payload);
	if (is_object)
		r = hf_buffer_append(&q->text, payload.data, payload.length);
	if (!g->tokens)
		refuse(q, "token-service-disabled");
	else if (r < 0 || !is_object)
		refuse(q, r == HF_ENOMEM ? NULL : r == HF_ETOOBIG ? "too-large" : "malformed");
	else {
		hf_canonical_plain(hf_buffer_slice(&canonical), "signature", &signature);
		check(q, signature, channel_peer);
	}
	hf_buffer_free(&canonical);
}

/* ---- Removal ---- */

static bool is_plain(struct hf_slice text, size_t length_max)
{
	for (size_t i = 0; i < text.length; i++)
		if (text.data[i] <= ' ' || text.data[i] == '"' || text.data[i] == '\\' || text.data[i] == 0x7f)
			return false;
	return text.length <= length_max;
}

static bool is_number(struct hf_slice text)
{
	uint64_t value;
	return hf_json_u64(text, &value) == HF_OK;
}

/* The text that is signed. Without nonce and time it is {"relayKey"}, as Hypertuna's workers sign it. */
static int write_removal(const struct hf_registrar_removal *m, struct hf_buffer *out)
{
	struct hf_buffer text = {0};
	int r = hf_buffer_append_text(&text, "{\"relayKey\":");
	if (r == HF_OK)
		r = hf_json_append_string(&text, m->relay_key);
	if (r == HF_OK && m->nonce.length > 0)
		r = hf_buffer_printf(&text, ",\"action\":\"delete\",\"nonce\":\"%.*s\"", (int)m->nonce.length, (const char *)m->nonce.data);
	if (r == HF_OK && m->issued_at.length > 0)
		r = hf_buffer_printf(&text, ",\"issuedAt\":%.*s", (int)m->issued_at.length, (const char *)m->issued_at.data);
	if (r == HF_OK && m->peer.length > 0)
		r = hf_buffer_printf(&text, ",\"peerKey\":\"%.*s\"", (int)m->peer.length, (const char *)m->peer.data);
	if (r == HF_OK)
		r = hf_buffer_append_text(&text, "}");
	if (r == HF_OK)
		r = hf_canonical(hf_buffer_slice(&text), out);
	hf_buffer_free(&text);
	return r;
}

void hf_registrar_remove(struct hf_registrar *g, const struct hf_registrar_removal *m, hf_registrar_answer *answer, void *context)
{
	struct asking *q = begin(g, 0, answer, context);
	if (!q)
		return;
	bool is_right = m->relay_key.length > 0 && is_plain(m->relay_key, HF_REGISTRATION_KEY_BYTES_MAX) &&
		is_plain(m->nonce, HF_REGISTRATION_NONCE_TEXT_BYTES_MAX) && is_plain(m->peer, 64) &&
		(m->issued_at.length == 0 || is_number(m->issued_at));
	int r = is_right ? write_removal(m, &q->text) : HF_EMALFORMED;
	if (r < 0)
		refuse(q, r == HF_ENOMEM ? NULL : "malformed");
	else
		check(q, m->signature, NULL);
}
