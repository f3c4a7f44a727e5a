/* tokens: those that are known, as the shared state has them; whether a text lets in; and who hears when one has ended. */
#include "service/gateway/tokens_private.h"

#include <stdlib.h>

#include "base/list.h"
#include "base/log.h"
#include "codec/hex.h"
#include "crypto/hash.h"
#include "crypto/secret.h"

static struct hf_log_module log_module = HF_LOG_MODULE("tokens");

/* ---- Reading what is kept ---- */

static const char *take_string(struct hf_token *t, size_t *used, struct hf_slice object, const char *name)
{
	struct hf_slice raw;
	char *text = t->strings + *used;
	size_t length = hf_canonical_raw(object, name, &raw) && raw.length > 0 ? hf_json_unescape(raw, (uint8_t *)text) : 0;
	text[length] = '\0';
	*used += length + 1;
	return text;
}

static bool fill_token(struct hf_token *t, struct hf_slice object)
{
	struct hf_token_claims *c = &t->claims;
	struct hf_slice id;
	size_t used = 0;
	uint64_t revoked_ms;
	if (!hf_canonical_plain(object, "id", &id) || id.length != sizeof t->id || !hf_hex_decode(c->id, id.data, sizeof c->id) ||
		!hf_canonical_hex(object, "hash", t->hash, sizeof t->hash) || !hf_canonical_u64(object, "expiresAt", &c->expires_ms))
		return false;
	memcpy(t->id, id.data, sizeof t->id);
	c->relay_key = take_string(t, &used, object, "relayKey");
	c->relay_auth_token = take_string(t, &used, object, "auth");
	c->scope = take_string(t, &used, object, "scope");
	t->reason = take_string(t, &used, object, "reason");
	c->has_pubkey = hf_canonical_hex(object, "pubkey", c->pubkey, sizeof c->pubkey);
	c->has_peer = hf_canonical_hex(object, "peer", c->peer, sizeof c->peer);
	hf_canonical_u64(object, "sequence", &c->sequence);
	hf_canonical_u64(object, "issuedAt", &c->issued_ms);
	t->has_previous = hf_canonical_hex(object, "previous", t->previous_hash, sizeof t->previous_hash) &&
		hf_canonical_u64(object, "previousUntil", &t->previous_until_ms);
	t->is_revoked = hf_canonical_u64(object, "revokedAt", &revoked_ms);
	return true;
}

static void free_token(struct hf_token *t)
{
	if (t)
		free(t->strings);
	free(t);
}

/* HF_ENOMEM, HF_EMALFORMED. */
static int read_token(struct hf_slice key, struct hf_slice text, struct hf_token **out)
{
	struct hf_token *t = calloc(1, sizeof *t);
	int r = HF_ENOMEM;
	*out = NULL;
	if (t)
		t->strings = malloc(text.length + 8);
	if (t && t->strings)
		r = fill_token(t, text) && hf_slice_equal(hf_slice(t->id, sizeof t->id), key) ? HF_OK : HF_EMALFORMED;
	if (r < 0)
		free_token(t);
	else
		*out = t;
	return r;
}

/* ---- Where they are ---- */

struct hf_token *hf_tokens_at(const struct hf_tokens *g, struct hf_slice id) { return hf_map_get(&g->tokens, id); }
struct hf_relay_tokens *hf_tokens_of_relay(const struct hf_tokens *g, struct hf_slice key) { return hf_map_get(&g->relays, key); }

static struct hf_relay_tokens *ensure_relay(struct hf_tokens *g, struct hf_slice key)
{
	struct hf_relay_tokens *relay = hf_tokens_of_relay(g, key);
	if (relay)
		return relay;
	relay = calloc(1, sizeof *relay + key.length + 1);
	if (!relay)
		return NULL;
	relay->key_length = key.length;
	memcpy(relay->key, key.data, key.length);
	if (hf_map_put(&g->relays, hf_slice(relay->key, key.length), relay, NULL) < 0) {
		free(relay);
		return NULL;
	}
	return relay;
}

static void take_out(struct hf_tokens *g, struct hf_token *t)
{
	struct hf_relay_tokens *relay = t->relay;
	hf_map_remove(&g->tokens, hf_slice(t->id, sizeof t->id));
	hf_ordered_remove(&g->order, &t->order);
	HF_LIST_REMOVE(relay->first, t);
	if (--relay->count == 0) {
		hf_map_remove(&g->relays, hf_slice(relay->key, relay->key_length));
		free(relay);
	}
	hf_gauge_set(&g->tokens_gauge, (int64_t)g->tokens.count);
}

/* Instead of old, which may be NULL and is freed. HF_ENOMEM changes nothing. */
static int put_in(struct hf_tokens *g, struct hf_token *t, struct hf_token *old)
{
	struct hf_slice id = hf_slice(t->id, sizeof t->id);
	if (hf_map_reserve(&g->tokens, 1) < 0 || !(t->relay = ensure_relay(g, hf_slice_text(t->claims.relay_key))))
		return HF_ENOMEM;
	HF_LIST_PUSH(t->relay->first, t);
	t->relay->count++;
	if (old)
		take_out(g, old);
	free_token(old);
	hf_ordered_put(&g->order, &t->order, id);
	hf_map_put(&g->tokens, id, t, NULL);
	hf_gauge_set(&g->tokens_gauge, (int64_t)g->tokens.count);
	return HF_OK;
}

/* ---- Following the state ---- */

static void tell_revoked(struct hf_tokens *g, const struct hf_token *t, const char *reason)
{
	struct hf_buffer frame = {0};
	if (hf_token_frame_make(g->signing_key, hf_slice_text(t->claims.relay_key), hf_slice_text(reason), t->claims.sequence,
		hf_env_wall_ms(g->env), &frame) < 0)
		hf_buffer_clear(&frame);
	hf_counter_add(&g->revoked, 1);
	for (size_t i = 0; i < g->listener_count; i++)
		g->listeners[i].revoked(g->listeners[i].context, &t->claims, reason, hf_buffer_slice(&frame));
	hf_buffer_free(&frame);
}

/* There is no memory for what it is now; its end counts all the same. */
static void end_old(struct hf_tokens *g, struct hf_token *old, struct hf_slice value)
{
	uint64_t revoked_ms;
	if (!old || old->is_revoked || !hf_canonical_u64(value, "revokedAt", &revoked_ms))
		return;
	hf_canonical_u64(value, "sequence", &old->claims.sequence);
	old->is_revoked = true;
	tell_revoked(g, old, "revoked");
}

static int take_token(struct hf_tokens *g, struct hf_slice key, struct hf_slice value)
{
	struct hf_token *old = hf_tokens_at(g, key), *t;
	struct hf_state_entry entry;
	bool was_revoked = old && old->is_revoked;
	int r = read_token(key, value, &t);
	if (r == HF_EMALFORMED)
		hf_log_warn(&log_module, "a token cannot be read", "id=\"%.*s\"", (int)key.length, (const char *)key.data);
	if (r == HF_OK) {
		if (hf_state_get(g->state, HF_STATE_TOKENS, key, &entry) == HF_OK)
			t->revision = entry.revision;
		t->is_used = old && old->is_used && memcmp(old->hash, t->hash, sizeof t->hash) == 0;
		r = put_in(g, t, old);
		if (r < 0)
			free_token(t);
	}
	if (r == HF_ENOMEM)
		end_old(g, old, value);
	if (r == HF_OK && t->is_revoked && !was_revoked)
		tell_revoked(g, t, t->reason);
	return r;
}

/* Swept after its end; or lost with a Redis that lost all it had. */
static void forget_token(struct hf_tokens *g, struct hf_slice key)
{
	struct hf_token *t = hf_tokens_at(g, key);
	if (!t)
		return;
	take_out(g, t);
	if (!t->is_revoked && t->claims.expires_ms > hf_env_wall_ms(g->env)) {
		t->relay = NULL;
		tell_revoked(g, t, "forgotten");
	}
	free_token(t);
}

static int state_changed(void *context, enum hf_state_space space, struct hf_slice key, struct hf_slice value)
{
	if (space == HF_STATE_TOKENS && value.data)
		return take_token(context, key, value);
	if (space == HF_STATE_TOKENS)
		forget_token(context, key);
	return HF_OK;
}

/* ---- Letting in ---- */

int hf_tokens_open(struct hf_tokens *g, struct hf_slice text, struct hf_token **out, uint8_t hash[static 32], const char **refusal)
{
	struct hf_buffer payload = {0};
	struct hf_slice id = {0};
	*refusal = text.length == 0 ? "token-required" : "token-invalid";
	int r = text.length == 0 ? HF_EMALFORMED : hf_client_token_open(text, hf_slice(g->secret, sizeof g->secret), &payload);
	if (r == HF_OK && hf_canonical_plain(hf_buffer_slice(&payload), "id", &id)) {
		hf_sha256(hash, text);
		*refusal = "token-unknown";
	}
	*out = id.data ? hf_tokens_at(g, id) : NULL;
	hf_buffer_free(&payload);
	if (*out || r == HF_ENOMEM)
		*refusal = NULL;
	return *out ? HF_OK : r == HF_ENOMEM ? r : HF_EDENIED;
}

bool hf_token_is_current(const struct hf_token *t, const uint8_t hash[static 32], uint64_t now_ms)
{
	if (memcmp(t->hash, hash, 32) == 0)
		return true;
	return t->has_previous && !t->is_used && t->previous_until_ms > now_ms && memcmp(t->previous_hash, hash, 32) == 0;
}

static const char *judge(const struct hf_token *t, struct hf_slice relay_key, const uint8_t hash[static 32], uint64_t now_ms)
{
	if (!hf_slice_equal(hf_slice_text(t->claims.relay_key), relay_key))
		return "relay-mismatch";
	if (t->claims.expires_ms <= now_ms)
		return "token-expired";
	if (t->is_revoked)
		return "token-revoked";
	return hf_token_is_current(t, hash, now_ms) ? NULL : "token-stale";
}

int hf_tokens_verify(struct hf_tokens *g, struct hf_slice relay_key, struct hf_slice text, struct hf_token_claims *claims,
	const char **refusal)
{
	uint8_t hash[32];
	struct hf_token *t;
	int r = hf_tokens_open(g, text, &t, hash, refusal);
	if (r == HF_ENOMEM)
		return r;
	if (r == HF_OK)
		*refusal = judge(t, relay_key, hash, hf_env_wall_ms(g->env));
	if (*refusal) {
		hf_counter_add(&g->refused, 1);
		return HF_EDENIED;
	}
	t->is_used = t->is_used || memcmp(t->hash, hash, sizeof hash) == 0;
	*claims = t->claims;
	return HF_OK;
}

bool hf_tokens_after(struct hf_tokens *g, struct hf_slice id, struct hf_token_claims *claims, const char **state)
{
	struct hf_ordered_node *node = hf_ordered_after(&g->order, id);
	if (!node)
		return false;
	const struct hf_token *t = HF_CONTAINER_OF(node, struct hf_token, order);
	*claims = t->claims;
	*state = t->is_revoked ? "revoked" : t->claims.expires_ms <= hf_env_wall_ms(g->env) ? "expired" : "active";
	return true;
}

const uint8_t *hf_tokens_signer(const struct hf_tokens *g) { return hf_sign_public_key(g->signing_key); }

int hf_tokens_change_signer(struct hf_tokens *g, const uint8_t signing_key[static HF_SIGN_SECRET_BYTES], struct hf_buffer *frame)
{
	int r = hf_signer_frame_make(g->signing_key, hf_sign_public_key(signing_key), hf_env_wall_ms(g->env), frame);
	if (r == HF_OK)
		memcpy(g->signing_key, signing_key, sizeof g->signing_key);
	return r;
}

/* ---- The whole ---- */

int hf_tokens_listen(struct hf_tokens *g, const struct hf_token_events *events)
{
	if (g->listener_count == HF_TOKENS_LISTENERS_MAX)
		return HF_ENOMEM;
	g->listeners[g->listener_count++] = *events;
	return HF_OK;
}

/* What the operator took away, ends with it. */
static void record_removed(void *context, const char *key)
{
	struct hf_tokens *g = context;
	struct hf_buffer payload = {0};
	const struct hf_registry_principal operator = {.is_operator = true};
	const char *refusal;
	int r = hf_buffer_append_text(&payload, "{\"reason\":\"relay-removed\",\"relayKey\":");
	if (r == HF_OK)
		r = hf_json_append_string(&payload, hf_slice_text(key));
	if (r == HF_OK)
		r = hf_buffer_append_text(&payload, "}");
	if (r == HF_OK && hf_tokens_of_relay(g, hf_slice_text(key)))
		hf_tokens_revoke(g, &operator, hf_buffer_slice(&payload), NULL, NULL, &refusal);
	hf_buffer_free(&payload);
}

void hf_tokens_reconfigure(struct hf_tokens *g, const struct hf_tokens_options *o)
{
	g->ttl_ms = o->ttl_ms ? o->ttl_ms : HF_TOKEN_TTL_MS;
	g->refresh_window_ms = o->refresh_window_ms ? o->refresh_window_ms : HF_TOKEN_REFRESH_WINDOW_MS;
	g->refresh_failures_max = o->refresh_failures_max ? o->refresh_failures_max : HF_TOKEN_REFRESH_FAILURES_MAX;
	g->quarantine_ms = o->quarantine_ms ? o->quarantine_ms : HF_TOKEN_QUARANTINE_MS;
}

static void register_metrics(struct hf_tokens *g)
{
	hf_gauge_register(g->metrics, &g->tokens_gauge, "holdfast_tokens", "", "Client tokens that are known, ended ones for a minute");
	hf_counter_register(g->metrics, &g->issued, "holdfast_tokens_issued_total", "", "Client tokens issued here");
	hf_counter_register(g->metrics, &g->refreshed, "holdfast_tokens_refreshed_total", "", "Client tokens refreshed here");
	hf_counter_register(g->metrics, &g->revoked, "holdfast_tokens_revoked_total", "", "Client tokens that were revoked, here or elsewhere");
	hf_counter_register(g->metrics, &g->refused, "holdfast_tokens_refused_total", "", "Client tokens that did not let in");
	hf_counter_register(g->metrics, &g->refresh_refused, "holdfast_tokens_refresh_failures_total", "",
		"Refreshes that were refused for the token or for who asked");
	hf_counter_register(g->metrics, &g->quarantined, "holdfast_tokens_quarantines_total", "",
		"Quarantines after refreshes that failed again and again");
}

int hf_tokens_new(struct hf_tokens **out, const struct hf_tokens_options *o, struct hf_failure *failure)
{
	struct hf_tokens *g = calloc(1, sizeof *g);
	struct hf_state_entry entry;
	uint64_t seed;
	size_t cursor = 0;
	*out = NULL;
	if (!g)
		return hf_fail(failure, HF_ENOMEM, "Out of memory while starting.");
	g->loop = o->loop;
	g->env = hf_loop_env(o->loop);
	g->state = o->state;
	g->registry = o->registry;
	g->metrics = o->metrics;
	memcpy(g->signing_key, o->signing_key, sizeof g->signing_key);
	hf_tokens_reconfigure(g, o);
	g->env->random(g->env, &seed, sizeof seed);
	hf_map_init(&g->tokens, seed);
	hf_map_init(&g->relays, seed);
	g->order.seed = seed;
	register_metrics(g);
	int r = hf_state_secret(g->state, "client-tokens", g->secret, failure);
	for (int taken = HF_OK; r == HF_OK && hf_state_next_entry(g->state, HF_STATE_TOKENS, &cursor, &entry);) {
		taken = take_token(g, entry.key, entry.value);
		r = taken == HF_ENOMEM ? hf_fail(failure, taken, "Out of memory while starting.") : HF_OK;
	}
	if (r == HF_OK && (hf_state_listen(g->state, &(struct hf_state_events){.changed = state_changed, .context = g}) < 0 ||
		hf_registry_listen(g->registry, &(struct hf_registry_events){.removed = record_removed, .context = g}) < 0))
		r = hf_fail(failure, HF_ENOMEM, "Out of memory while starting.");
	if (r < 0) {
		hf_tokens_free(g);
		return r;
	}
	*out = g;
	return HF_OK;
}

void hf_tokens_free(struct hf_tokens *g)
{
	size_t cursor = 0;
	void *item;
	if (!g)
		return;
	struct hf_metric_link *links[] = {&g->tokens_gauge.link, &g->issued.link, &g->refreshed.link, &g->revoked.link, &g->refused.link,
		&g->refresh_refused.link, &g->quarantined.link};
	for (size_t i = 0; i < sizeof links / sizeof *links; i++)
		hf_metric_unregister(g->metrics, links[i]);
	while ((item = hf_map_next(&g->tokens, &cursor)) != NULL)
		free_token(item);
	for (cursor = 0; (item = hf_map_next(&g->relays, &cursor)) != NULL;)
		free(item);
	hf_map_free(&g->tokens);
	hf_map_free(&g->relays);
	hf_wipe(g, sizeof *g);
	free(g);
}
