/* tokens_request: issue, refresh and revocation. Each is a chain of steps that wait: the relay's next number, then the commit; what
 * was judged before is judged again where it may have changed. */
#include "service/gateway/tokens_private.h"

#include <stdlib.h>

#include "codec/hex.h"
#include "crypto/hash.h"

#define PRINCIPAL_BYTES 72

enum request_kind { ISSUE, REFRESH, REVOKE };

struct request {
	struct hf_tokens *tokens;
	enum request_kind kind;
	struct hf_registry_principal by;
	struct hf_buffer payload; /* canonical */
	struct hf_buffer relay_key;
	char id[HF_TOKEN_ID_TEXT_BYTES]; /* of a revocation by token: of that one, or of none */
	uint64_t ttl_ms, revision;
	uint8_t old_hash[32];
	struct hf_buffer text;    /* the new token */
	struct hf_token_answer answer;
	hf_token_done *done;
	void *context;
	size_t waiting;           /* of a revocation: commits under way, and one while they are begun */
	int status;
};

/* ---- Beginning and ending ---- */

static int refuse(const char **refusal, const char *name, int status)
{
	*refusal = name;
	return status;
}

static void free_request(struct request *q)
{
	hf_buffer_free(&q->payload);
	hf_buffer_free(&q->relay_key);
	hf_buffer_free(&q->text);
	free(q);
}

static void finish(struct request *q, int status, const char *refusal)
{
	if (status < 0 && !refusal)
		refusal = "state-unavailable";
	if (q->done)
		q->done(q->context, status, refusal, &q->answer);
	free_request(q);
}

static struct request *new_request(struct hf_tokens *g, enum request_kind kind, const struct hf_registry_principal *by,
	struct hf_slice payload, hf_token_done *done, void *context)
{
	struct request *q = calloc(1, sizeof *q);
	if (!q)
		return NULL;
	q->tokens = g;
	q->kind = kind;
	q->by = *by;
	q->done = done;
	q->context = context;
	if (hf_buffer_append(&q->payload, payload.data, payload.length) == HF_OK)
		return q;
	free_request(q);
	return NULL;
}

/* ---- Who asks, and whether too often in vain ---- */

/* Whom failures are counted against; with the relay, as everybody who knows the secret is one. */
static size_t write_principal(const struct hf_registry_principal *by, char out[static PRINCIPAL_BYTES])
{
	if (!by->has_peer) {
		memcpy(out, "secret|", 7);
		return 7;
	}
	hf_hex_encode(out, by->peer, 32);
	out[64] = '|';
	return 65;
}

static struct hf_slice failure_key(const struct hf_registry_principal *by, const char *relay_key, char out[static HF_STATE_KEY_BYTES_MAX])
{
	size_t length = write_principal(by, out), more = strlen(relay_key);
	more = more < HF_STATE_KEY_BYTES_MAX - length ? more : HF_STATE_KEY_BYTES_MAX - length;
	memcpy(out + length, relay_key, more);
	return hf_slice(out, length + more);
}

static bool is_quarantined(const struct hf_tokens *g, const struct hf_registry_principal *by, const char *relay_key)
{
	char key[HF_STATE_KEY_BYTES_MAX];
	struct hf_state_entry entry;
	uint64_t count;
	return hf_state_get(g->state, HF_STATE_FAILURES, failure_key(by, relay_key, key), &entry) == HF_OK &&
		hf_json_u64(entry.value, &count) == HF_OK && count >= g->refresh_failures_max;
}

static void note_failure(struct hf_tokens *g, const struct hf_registry_principal *by, const char *relay_key)
{
	char key[HF_STATE_KEY_BYTES_MAX];
	uint8_t digits[HF_JSON_U64_BYTES_MAX];
	struct hf_state_entry entry;
	uint64_t count = 0;
	struct hf_slice name = failure_key(by, relay_key, key);
	if (hf_state_get(g->state, HF_STATE_FAILURES, name, &entry) == HF_OK && hf_json_u64(entry.value, &count) < 0)
		count = 0;
	if (++count == g->refresh_failures_max)
		hf_counter_add(&g->quarantined, 1);
	const struct hf_state_op op = {.kind = HF_STATE_PUT, .space = HF_STATE_FAILURES, .key = name,
		.value = hf_slice(digits, hf_json_write_u64(digits, count)), .end_ms = hf_env_wall_ms(g->env) + g->quarantine_ms};
	hf_state_commit(g->state, &op, 1, NULL, NULL);
}

static bool may_use(const struct hf_registration *record, const struct hf_registry_principal *by)
{
	if (by->is_operator || (by->has_peer && hf_registry_is_peer_of(record, by->peer)))
		return true;
	return !record->has_owner_peer && by->knows_secret;
}

static bool is_holder(const struct hf_token *t, const struct hf_registry_principal *by)
{
	return t->claims.has_peer ? by->has_peer && memcmp(by->peer, t->claims.peer, 32) == 0 : by->knows_secret && !by->has_peer;
}

/* relayKey and ttlSeconds; the record. */
static int read_common(struct request *q, const struct hf_registration **record, const char **refusal)
{
	struct hf_slice payload = hf_buffer_slice(&q->payload), key, found;
	uint64_t seconds;
	if (!hf_canonical_is_object(payload) || !hf_canonical_plain(payload, "relayKey", &key) || key.length == 0)
		return refuse(refusal, "malformed", HF_EMALFORMED);
	*record = hf_registry_find(q->tokens->registry, key);
	if (!*record && q->kind != REVOKE)
		return refuse(refusal, "relay-not-registered", HF_ENOTFOUND);
	if (hf_buffer_append(&q->relay_key, *record ? (const void *)(*record)->key : key.data,
		*record ? strlen((*record)->key) : key.length) < 0 ||
		hf_buffer_append(&q->relay_key, "", 1) < 0)
		return HF_ENOMEM;
	q->ttl_ms = q->tokens->ttl_ms;
	if (!hf_canonical_member(payload, "ttlSeconds", &found))
		return HF_OK;
	if (!hf_canonical_u64(payload, "ttlSeconds", &seconds) || seconds * 1000 < HF_TOKEN_TTL_MS_MIN || seconds * 1000 > q->tokens->ttl_ms)
		return refuse(refusal, "ttl-invalid", HF_EINVAL);
	q->ttl_ms = seconds * 1000;
	return HF_OK;
}

static const char *key_of(const struct request *q) { return (const char *)q->relay_key.data; }

/* ---- The token's text and what is kept of it ---- */

static int append_hex_member(struct hf_buffer *out, const char *name, const uint8_t *bytes, size_t length)
{
	char hex[129] = {0};
	hf_hex_encode(hex, bytes, length);
	return hf_buffer_printf(out, ",\"%s\":\"%s\"", name, hex);
}

/* What clients carry: everything but the worker's own token. */
static int write_text(struct request *q, struct hf_slice pubkey, struct hf_slice scope)
{
	struct hf_buffer payload = {0}, canonical = {0};
	int r = hf_buffer_printf(&payload, "{\"id\":\"%.*s\",\"relayKey\":\"%s\",\"scope\":\"%.*s\",\"pubkey\":", (int)sizeof q->id, q->id,
		key_of(q),
		(int)scope.length, (const char *)scope.data);
	if (r == HF_OK && pubkey.length > 0)
		r = hf_buffer_printf(&payload, "\"%.*s\"", (int)pubkey.length, (const char *)pubkey.data);
	else if (r == HF_OK)
		r = hf_buffer_append_text(&payload, "null");
	if (r == HF_OK && q->by.has_peer)
		r = append_hex_member(&payload, "peer", q->by.peer, 32);
	if (r == HF_OK)
		r = hf_buffer_printf(&payload, ",\"expiresAt\":%llu,\"issuedAt\":%llu,\"sequence\":%llu}", (unsigned long long)q->answer.expires_ms,
			(unsigned long long)(q->answer.expires_ms - q->ttl_ms), (unsigned long long)q->answer.sequence);
	if (r == HF_OK)
		r = hf_canonical(hf_buffer_slice(&payload), &canonical);
	if (r == HF_OK)
		r = hf_client_token_make(hf_buffer_slice(&canonical), hf_slice(q->tokens->secret, sizeof q->tokens->secret), &q->text);
	hf_buffer_free(&payload);
	hf_buffer_free(&canonical);
	q->answer.token = hf_buffer_slice(&q->text);
	return r;
}

static int write_kept(struct request *q, struct hf_slice pubkey, struct hf_slice scope, struct hf_slice auth, struct hf_buffer *out)
{
	struct hf_buffer kept = {0};
	uint8_t hash[32];
	uint64_t now_ms = q->answer.expires_ms - q->ttl_ms;
	hf_sha256(hash, q->answer.token);
	int r = hf_buffer_printf(&kept,
		"{\"auth\":\"%.*s\",\"expiresAt\":%llu,\"id\":\"%.*s\",\"issuedAt\":%llu,\"relayKey\":\"%s\",\"scope\":\"%.*s\","
		"\"sequence\":%llu", (int)auth.length, (const char *)auth.data, (unsigned long long)q->answer.expires_ms, (int)sizeof q->id, q->id,
		(unsigned long long)now_ms, key_of(q), (int)scope.length, (const char *)scope.data, (unsigned long long)q->answer.sequence);
	if (r == HF_OK)
		r = append_hex_member(&kept, "hash", hash, sizeof hash);
	if (r == HF_OK && pubkey.length > 0)
		r = hf_buffer_printf(&kept, ",\"pubkey\":\"%.*s\"", (int)pubkey.length, (const char *)pubkey.data);
	if (r == HF_OK && q->by.has_peer)
		r = append_hex_member(&kept, "peer", q->by.peer, 32);
	if (r == HF_OK && q->kind == REFRESH)
		r = append_hex_member(&kept, "previous", q->old_hash, 32);
	if (r == HF_OK && q->kind == REFRESH)
		r = hf_buffer_printf(&kept, ",\"previousUntil\":%llu", (unsigned long long)(now_ms + q->tokens->refresh_window_ms));
	if (r == HF_OK)
		r = hf_buffer_append_text(&kept, "}");
	if (r == HF_OK)
		r = hf_canonical(hf_buffer_slice(&kept), out);
	hf_buffer_free(&kept);
	return r;
}

static void token_committed(void *context, int status)
{
	struct request *q = context;
	if (status == HF_OK)
		hf_counter_add(q->kind == ISSUE ? &q->tokens->issued : &q->tokens->refreshed, 1);
	finish(q, status, NULL);
}

static void set_times(struct request *q, uint64_t sequence)
{
	uint64_t now_ms = hf_env_wall_ms(q->tokens->env), window_ms = q->tokens->refresh_window_ms;
	q->answer.sequence = sequence;
	q->answer.expires_ms = now_ms + q->ttl_ms;
	q->answer.refresh_after_ms = q->ttl_ms > window_ms ? q->answer.expires_ms - window_ms : now_ms;
	hf_hex_decode(q->answer.id, q->id, sizeof q->answer.id);
}

static int put_token(struct request *q, struct hf_slice pubkey, struct hf_slice scope, struct hf_slice auth)
{
	struct hf_buffer kept = {0};
	int r = write_text(q, pubkey, scope);
	if (r == HF_OK)
		r = write_kept(q, pubkey, scope, auth, &kept);
	if (r == HF_OK) {
		const struct hf_state_op op = {.kind = q->kind == ISSUE ? HF_STATE_PUT_NEW : HF_STATE_PUT_IF, .space = HF_STATE_TOKENS,
			.key = hf_slice(q->id, sizeof q->id), .value = hf_buffer_slice(&kept), .revision = q->revision,
			.end_ms = q->answer.expires_ms + HF_TOKEN_GRACE_MS};
		r = hf_state_commit(q->tokens->state, &op, 1, token_committed, q);
	}
	hf_buffer_free(&kept);
	return r;
}

/* ---- Issue ---- */

/* What the payload says of the user; both may be missing. False: they are no such things. */
static bool read_user(struct hf_slice payload, struct hf_slice *pubkey, struct hf_slice *scope)
{
	struct hf_slice found;
	uint8_t key[32];
	*pubkey = (struct hf_slice){0};
	*scope = HF_SLICE_LITERAL("relay-access");
	if (hf_canonical_member(payload, "pubkey", &found) && !hf_slice_equal(found, HF_SLICE_LITERAL("null"))) {
		if (!hf_canonical_hex(payload, "pubkey", key, sizeof key))
			return false;
		hf_canonical_plain(payload, "pubkey", pubkey);
	}
	if (hf_canonical_member(payload, "scope", &found))
		return hf_canonical_plain(payload, "scope", scope) && scope->length > 0 && scope->length <= HF_TOKEN_SCOPE_BYTES_MAX;
	return true;
}

static void issue_numbered(void *context, int status, uint64_t number)
{
	struct request *q = context;
	struct hf_slice payload = hf_buffer_slice(&q->payload), pubkey, scope, auth;
	read_user(payload, &pubkey, &scope);
	hf_canonical_plain(payload, "relayAuthToken", &auth);
	if (status == HF_OK) {
		set_times(q, number);
		status = put_token(q, pubkey, scope, auth);
	}
	if (status < 0)
		finish(q, status, NULL);
}

static size_t count_of_peer(const struct hf_tokens *g, const char *relay_key, const struct hf_registry_principal *by)
{
	const struct hf_relay_tokens *relay = hf_tokens_of_relay(g, hf_slice_text(relay_key));
	size_t count = 0;
	for (const struct hf_token *t = relay ? relay->first : NULL; t; t = t->next)
		count += is_holder(t, by);
	return count;
}

static int check_issue(struct request *q, const char **refusal)
{
	struct hf_slice payload = hf_buffer_slice(&q->payload), pubkey, scope, auth;
	const struct hf_registration *record;
	uint8_t id[HF_TOKEN_ID_BYTES];
	int r = read_common(q, &record, refusal);
	if (r < 0)
		return r;
	if (!hf_canonical_plain(payload, "relayAuthToken", &auth) || auth.length == 0 || auth.length > HF_TOKEN_AUTH_BYTES_MAX ||
		!read_user(payload, &pubkey, &scope))
		return refuse(refusal, "malformed", HF_EMALFORMED);
	if (!may_use(record, &q->by))
		return refuse(refusal, "not-allowed", HF_EDENIED);
	if (is_quarantined(q->tokens, &q->by, key_of(q)))
		return refuse(refusal, "quarantined", HF_EDENIED);
	if (q->tokens->tokens.count >= HF_TOKEN_COUNT_MAX || count_of_peer(q->tokens, key_of(q), &q->by) >= HF_TOKENS_PER_PEER_MAX)
		return refuse(refusal, "too-many-tokens", HF_ETOOBIG);
	q->tokens->env->random(q->tokens->env, id, sizeof id);
	hf_hex_encode(q->id, id, sizeof id);
	return HF_OK;
}

/* ---- Refresh ---- */

static int check_refresh_token(struct request *q, const char **refusal)
{
	struct hf_slice text;
	uint8_t hash[32];
	uint64_t now_ms = hf_env_wall_ms(q->tokens->env);
	if (!hf_canonical_plain(hf_buffer_slice(&q->payload), "token", &text))
		return refuse(refusal, "malformed", HF_EMALFORMED);
	struct hf_token *t;
	int r = hf_tokens_open(q->tokens, text, &t, hash, refusal);
	if (r == HF_ENOMEM)
		return r;
	if (r < 0)
		return refuse(refusal, strcmp(*refusal, "token-unknown") == 0 ? "no-active-token" : *refusal, HF_EDENIED);
	if (strcmp(t->claims.relay_key, key_of(q)) != 0)
		return refuse(refusal, "relay-mismatch", HF_EDENIED);
	if (!is_holder(t, &q->by))
		return refuse(refusal, "not-allowed", HF_EDENIED);
	if (t->claims.expires_ms <= now_ms)
		return refuse(refusal, "token-expired", HF_EDENIED);
	if (t->is_revoked)
		return refuse(refusal, "token-revoked", HF_EDENIED);
	if (!hf_token_is_current(t, hash, now_ms))
		return refuse(refusal, "token-mismatch", HF_EDENIED);
	memcpy(q->id, t->id, sizeof q->id);
	memcpy(q->old_hash, hash, sizeof q->old_hash);
	q->revision = t->revision;
	return HF_OK;
}

static int check_refresh(struct request *q, const char **refusal)
{
	const struct hf_registration *record;
	int r = read_common(q, &record, refusal);
	if (r < 0)
		return r;
	if (!may_use(record, &q->by))
		return refuse(refusal, "not-allowed", HF_EDENIED);
	if (is_quarantined(q->tokens, &q->by, key_of(q))) {
		hf_counter_add(&q->tokens->refresh_refused, 1);
		return refuse(refusal, "quarantined", HF_EDENIED);
	}
	r = check_refresh_token(q, refusal);
	if (r < 0)
		hf_counter_add(&q->tokens->refresh_refused, 1);
	if (r == HF_EDENIED)
		note_failure(q->tokens, &q->by, key_of(q));
	return r;
}

static void refresh_numbered(void *context, int status, uint64_t number)
{
	struct request *q = context;
	const struct hf_token *t = hf_tokens_at(q->tokens, hf_slice(q->id, sizeof q->id));
	char pubkey[64], key[HF_STATE_KEY_BYTES_MAX];
	struct hf_state_entry entry;
	if (status == HF_OK && !t) {
		finish(q, HF_EDENIED, "no-active-token");
		return;
	}
	if (status == HF_OK) {
		set_times(q, number);
		hf_hex_encode(pubkey, t->claims.pubkey, 32);
		status = put_token(q, hf_slice(pubkey, t->claims.has_pubkey ? sizeof pubkey : 0), hf_slice_text(t->claims.scope),
			hf_slice_text(t->claims.relay_auth_token));
	}
	if (status < 0) {
		finish(q, status, NULL);
		return;
	}
	const struct hf_state_op op = {.kind = HF_STATE_DELETE, .space = HF_STATE_FAILURES, .key = failure_key(&q->by, key_of(q), key)};
	if (hf_state_get(q->tokens->state, HF_STATE_FAILURES, op.key, &entry) == HF_OK)
		hf_state_commit(q->tokens->state, &op, 1, NULL, NULL);
}

/* ---- Revocation ---- */

static void one_revoked(void *context, int status)
{
	struct request *q = context;
	q->status = status < 0 ? status : q->status;
	q->answer.count += status == HF_OK && q->waiting > 0;
	if (--q->waiting == 0)
		finish(q, q->status, NULL);
}

/* What is kept of the token, with its end in it. Whatever happened to it meanwhile, it is revoked. */
static int revoke_one(struct request *q, const struct hf_token *t)
{
	struct hf_buffer more = {0}, kept = {0};
	struct hf_state_entry entry;
	struct hf_slice reason;
	if (!hf_canonical_raw(hf_buffer_slice(&q->payload), "reason", &reason) || reason.length > HF_TOKEN_REASON_BYTES_MAX)
		reason = HF_SLICE_LITERAL("revoked");
	int r = hf_state_get(q->tokens->state, HF_STATE_TOKENS, hf_slice(t->id, sizeof t->id), &entry);
	if (r == HF_OK)
		r = hf_buffer_printf(&more, "{\"reason\":\"%.*s\",\"revokedAt\":%llu,\"sequence\":%llu}", (int)reason.length, (const char *)reason.data,
			(unsigned long long)hf_env_wall_ms(q->tokens->env), (unsigned long long)q->answer.sequence);
	if (r == HF_OK)
		r = hf_canonical_merge(entry.value, hf_buffer_slice(&more), &kept);
	if (r == HF_OK) {
		const struct hf_state_op op = {.kind = HF_STATE_PUT, .space = HF_STATE_TOKENS, .key = entry.key, .value = hf_buffer_slice(&kept),
			.end_ms = entry.end_ms};
		q->waiting++;
		r = hf_state_commit(q->tokens->state, &op, 1, one_revoked, q);
		q->waiting -= r < 0;
	}
	hf_buffer_free(&more);
	hf_buffer_free(&kept);
	return r;
}

/* Which token a revocation names by its text. HF_ENOMEM. */
static int read_meant(struct request *q)
{
	struct hf_slice text;
	uint8_t hash[32];
	const char *refusal;
	if (!hf_canonical_plain(hf_buffer_slice(&q->payload), "token", &text))
		return HF_OK;
	struct hf_token *t;
	int r = hf_tokens_open(q->tokens, text, &t, hash, &refusal);
	if (r == HF_OK)
		memcpy(q->id, t->id, sizeof q->id);
	return r == HF_ENOMEM ? r : HF_OK;
}

/* By token, by its id, by peer, by user, or all of the relay. */
static bool is_meant(const struct request *q, const struct hf_token *t)
{
	struct hf_slice payload = hf_buffer_slice(&q->payload), found;
	uint8_t bytes[32];
	if (hf_canonical_member(payload, "token", &found))
		return memcmp(q->id, t->id, sizeof q->id) == 0;
	if (hf_canonical_member(payload, "tokenId", &found))
		return hf_canonical_plain(payload, "tokenId", &found) && hf_slice_equal(found, hf_slice(t->id, sizeof t->id));
	if (hf_canonical_member(payload, "peer", &found))
		return t->claims.has_peer && hf_canonical_hex(payload, "peer", bytes, 32) && memcmp(bytes, t->claims.peer, 32) == 0;
	if (hf_canonical_member(payload, "pubkey", &found))
		return t->claims.has_pubkey && hf_canonical_hex(payload, "pubkey", bytes, 32) && memcmp(bytes, t->claims.pubkey, 32) == 0;
	return true;
}

static bool may_revoke(struct request *q, const struct hf_registration *record, const struct hf_token *t)
{
	return q->by.is_operator || (record && hf_registry_may_change(record, &q->by)) || is_holder(t, &q->by);
}

/* How many there are that this principal may end; *others: and may not. */
static size_t count_meant(struct request *q, const struct hf_registration *record, size_t *others)
{
	const struct hf_relay_tokens *relay = hf_tokens_of_relay(q->tokens, hf_slice_text(key_of(q)));
	size_t count = 0;
	*others = 0;
	for (const struct hf_token *t = relay ? relay->first : NULL; t; t = t->next) {
		if (t->is_revoked || !is_meant(q, t))
			continue;
		if (may_revoke(q, record, t))
			count++;
		else
			++*others;
	}
	return count;
}

static int check_revoke(struct request *q, const char **refusal)
{
	const struct hf_registration *record;
	struct hf_slice found, payload;
	size_t others;
	int r = read_common(q, &record, refusal);
	if (r < 0)
		return r;
	if (!record && !q->by.is_operator)
		return refuse(refusal, "relay-not-registered", HF_ENOTFOUND);
	if (read_meant(q) < 0)
		return HF_ENOMEM;
	payload = hf_buffer_slice(&q->payload);
	size_t count = count_meant(q, record, &others);
	bool is_one = hf_canonical_member(payload, "token", &found) || hf_canonical_member(payload, "tokenId", &found);
	if (count == 0 && (others > 0 || (record && !may_use(record, &q->by))))
		return refuse(refusal, "not-allowed", HF_EDENIED);
	return count == 0 && is_one ? refuse(refusal, "no-active-token", HF_ENOTFOUND) : HF_OK;
}

static void revoke_numbered(void *context, int status, uint64_t number)
{
	struct request *q = context;
	const struct hf_registration *record = hf_registry_find(q->tokens->registry, hf_slice_text(key_of(q)));
	const struct hf_relay_tokens *relay = hf_tokens_of_relay(q->tokens, hf_slice_text(key_of(q)));
	q->answer.sequence = number;
	q->waiting = 1;
	for (const struct hf_token *t = status == HF_OK && relay ? relay->first : NULL; t && status == HF_OK; t = t->next) {
		if (!t->is_revoked && is_meant(q, t) && may_revoke(q, record, t))
			status = revoke_one(q, t);
		if (status == HF_ENOTFOUND) /* that one has ended by itself, and is not swept yet */
			status = HF_OK;
	}
	q->status = status < 0 ? status : q->status;
	if (--q->waiting == 0)
		finish(q, q->status, NULL);
}

/* ---- The three ---- */

static int begin(struct hf_tokens *g, enum request_kind kind, const struct hf_registry_principal *by, struct hf_slice payload,
	hf_token_done *done, void *context, const char **refusal)
{
	static int (*const checks[])(struct request *q, const char **refusal) = {check_issue, check_refresh, check_revoke};
	static void (*const numbered[])(void *context, int status, uint64_t number) = {issue_numbered, refresh_numbered, revoke_numbered};
	struct request *q = new_request(g, kind, by, payload, done, context);
	*refusal = NULL;
	if (!q)
		return HF_ENOMEM;
	int r = checks[kind](q, refusal);
	if (r == HF_OK)
		r = hf_state_next(g->state, hf_slice_text(key_of(q)), numbered[kind], q);
	if (r == HF_OK)
		return HF_OK;
	if (!*refusal && r != HF_ENOMEM)
		*refusal = "state-unavailable";
	free_request(q);
	return r;
}

int hf_tokens_issue(struct hf_tokens *g, const struct hf_registry_principal *by, struct hf_slice payload, hf_token_done *done,
	void *context, const char **refusal)
{
	return begin(g, ISSUE, by, payload, done, context, refusal);
}

int hf_tokens_refresh(struct hf_tokens *g, const struct hf_registry_principal *by, struct hf_slice payload, hf_token_done *done,
	void *context, const char **refusal)
{
	return begin(g, REFRESH, by, payload, done, context, refusal);
}

int hf_tokens_revoke(struct hf_tokens *g, const struct hf_registry_principal *by, struct hf_slice payload, hf_token_done *done,
	void *context, const char **refusal)
{
	return begin(g, REVOKE, by, payload, done, context, refusal);
}
