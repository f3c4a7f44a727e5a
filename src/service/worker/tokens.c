/* tokens: for each user that a relay names, each gateway issues a token; it is refreshed in its last minutes, as the gateway says, and
 * lies in worker-tokens.json for who hands it to the user. One that the gateway has revoked is not asked for again before the worker is
 * restarted: who revoked it meant it. What fails is tried again later, each time later. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "codec/bech32.h"
#include "codec/hex.h"
#include "service/gateway/signature.h"
#include "service/worker/internal.h"
#include "service/json_hex.h"

#define TOKENS_FILE "worker-tokens.json"
#define NONCE_BYTES 12
#define GRANT_COUNT_MAX 256 /* of a relay */
#define REFRESH_MS_MIN 5000u

static struct hf_log_module log_module = HF_LOG_MODULE("worker");

struct hf_worker_grant {
	struct hf_worker_grant *next;
	struct hf_worker_node *node;
	struct hf_worker_gateway *gateway;
	const struct hf_worker_relay *relay;
	uint8_t user[32];
	char token[HF_CLIENT_TOKEN_BYTES_MAX + 1]; /* "": none */
	uint64_t expires_ms, sequence, due_us;
	uint32_t failures;
	bool is_asking, is_revoked;
};

/* ---- Who ---- */

static int read_user(const char *text, uint8_t key[static 32])
{
	if (strlen(text) == 64 && hf_hex_decode(key, text, 32))
		return HF_OK;
	return hf_bech32_decode_key(key, "npub", hf_slice_text(text));
}

static struct hf_worker_grant *find_grant(const struct hf_worker_gateway *gateway, const struct hf_worker_relay *relay,
	const uint8_t user[static 32])
{
	struct hf_worker_grant *grant = gateway->grants;
	while (grant && (grant->relay != relay || memcmp(grant->user, user, sizeof grant->user) != 0))
		grant = grant->next;
	return grant;
}

int hf_worker_grant_add(struct hf_worker_node *node, struct hf_worker_gateway *gateway, const struct hf_worker_relay *relay,
	const uint8_t user[static 32])
{
	struct hf_worker_grant *grant = find_grant(gateway, relay, user);
	if (grant)
		return HF_OK;
	grant = calloc(1, sizeof *grant);
	if (!grant)
		return HF_ENOMEM;
	grant->node = node;
	grant->gateway = gateway;
	grant->relay = relay;
	memcpy(grant->user, user, sizeof grant->user);
	grant->next = gateway->grants;
	gateway->grants = grant;
	return HF_OK;
}

const char *hf_worker_grant_token(const struct hf_worker_gateway *gateway, const struct hf_worker_relay *relay,
	const uint8_t user[static 32], bool *is_coming)
{
	const struct hf_worker_grant *grant = find_grant(gateway, relay, user);
	if (grant && !grant->token[0] && gateway->is_registered && !gateway->is_hypertuna && !grant->is_revoked && grant->failures == 0)
		*is_coming = true;
	return grant && grant->token[0] ? grant->token : NULL;
}

static int add_user(struct hf_worker_node *node, struct hf_worker_gateway *gateway, const struct hf_worker_relay *relay, const char *text,
	struct hf_failure *failure)
{
	uint8_t user[32];
	if (read_user(text, user) < 0)
		return hf_fail(failure, HF_EINVAL, "relay.token_users has \"%.80s\", which is no Nostr key.", text);
	int r = hf_worker_grant_add(node, gateway, relay, user);
	return r < 0 ? hf_fail(failure, r, "Out of memory while starting.") : HF_OK;
}

static int add_grants(struct hf_worker_node *node, struct hf_worker_gateway *gateway, const struct hf_worker_relay *relay,
	struct hf_failure *failure)
{
	size_t count = 0;
	for (const char *list = relay->settings->token_users; *list;) {
		char one[80];
		size_t length = strcspn(list, ", ");
		snprintf(one, sizeof one, "%.*s", (int)length, list);
		int r = length == 0 ? HF_OK : ++count > GRANT_COUNT_MAX
			? hf_fail(failure, HF_ETOOBIG, "relay.token_users has more than %d entries.", GRANT_COUNT_MAX)
			: add_user(node, gateway, relay, one, failure);
		if (r < 0)
			return r;
		list += length + strspn(list + length, ", ");
	}
	int r = HF_OK;
	for (size_t i = 0; r == HF_OK && i < relay->member_count; i++)
		r = hf_worker_grant_add(node, gateway, relay, relay->members[i].pubkey);
	return r < 0 ? hf_fail(failure, r, "Out of memory while starting.") : HF_OK;
}

int hf_worker_grants_new(struct hf_worker_node *node, struct hf_worker_gateway *gateway, struct hf_failure *failure)
{
	int r = HF_OK;
	for (size_t i = 0; r == HF_OK && i < node->relay_count; i++)
		if (node->relays[i].settings->token)
			r = add_grants(node, gateway, &node->relays[i], failure);
	return r;
}

void hf_worker_grants_free(struct hf_worker_gateway *gateway)
{
	while (gateway->grants) {
		struct hf_worker_grant *next = gateway->grants->next;
		free(gateway->grants);
		gateway->grants = next;
	}
}

/* ---- The file ---- */

void hf_worker_tokens_save(struct hf_worker_node *node)
{
	if (!node->must_save_tokens)
		return;
	node->must_save_tokens = false;
	char path[HF_PATH_BYTES_MAX];
	json_t *all = json_array();
	for (size_t i = 0; all && i < node->gateway_count; i++)
		for (const struct hf_worker_grant *g = node->gateways[i].grants; g; g = g->next)
			if (g->token[0])
				json_array_append_new(all, json_pack("{s:o, s:o, s:s, s:o, s:s, s:I, s:I}", "gateway", hf_json_hex(node->gateways[i].key, 32), "relay",
					hf_json_hex(g->relay->key, 32), "identifier", g->relay->identifier, "pubkey", hf_json_hex(g->user, 32), "token", g->token, "expiresAt",
					(json_int_t)g->expires_ms, "sequence", (json_int_t)g->sequence));
	char *text = all ? json_dumps(all, JSON_INDENT(1)) : NULL;
	json_decref(all);
	int r = text ? hf_path_join(path, node->options.directory, TOKENS_FILE) : HF_ENOMEM;
	if (r == HF_OK)
		r = hf_fs_replace(node->env->fs, path, text, strlen(text));
	if (r < 0)
		hf_log_error(&log_module, "the file of tokens was not written", "reason=\"%s\"", hf_error_text(r));
	free(text);
}

/* ---- Asking ---- */

static json_t *make_payload(struct hf_worker_grant *g, bool is_refresh)
{
	struct hf_worker_node *node = g->node;
	uint8_t nonce[NONCE_BYTES];
	char nonce_text[2 * NONCE_BYTES + 1] = {0}, relay_token[65];
	node->env->random(node->env, nonce, sizeof nonce);
	hf_hex_encode(nonce_text, nonce, sizeof nonce);
	hf_worker_relay_token(node, g->relay, relay_token);
	json_t *payload = json_pack("{s:s, s:o, s:s, s:I, s:o}", "action", is_refresh ? "refresh" : "issue",
		"relayKey", hf_json_hex(g->relay->key, 32),
		"nonce", nonce_text, "issuedAt", (json_int_t)hf_env_wall_ms(node->env), "peerKey", hf_json_hex(node->public_key, 32));
	if (payload && is_refresh)
		json_object_set_new(payload, "token", json_string(g->token));
	if (payload && !is_refresh) {
		json_object_set_new(payload, "relayAuthToken", json_string(relay_token));
		json_object_set_new(payload, "pubkey", hf_json_hex(g->user, 32));
	}
	return payload;
}

/* {"payload", "signature"}: our key's, over the canonical payload. */
static int make_body(struct hf_worker_grant *g, bool is_refresh, struct hf_buffer *out)
{
	struct hf_buffer canonical = {0};
	char signature[HF_KEY_SIGNATURE_TEXT_BYTES];
	json_t *payload = make_payload(g, is_refresh);
	char *text = payload ? json_dumps(payload, JSON_COMPACT) : NULL;
	json_decref(payload);
	int r = text ? hf_canonical(hf_slice_text(text), &canonical) : HF_ENOMEM;
	if (r == HF_OK)
		r = hf_key_sign(signature, HF_SIGNED_REQUEST, hf_buffer_slice(&canonical), g->node->options.static_secret);
	if (r == HF_OK)
		r = hf_buffer_printf(out, "{\"payload\":%.*s,\"signature\":\"%.*s\"}", (int)canonical.length, (const char *)canonical.data,
			HF_KEY_SIGNATURE_TEXT_BYTES, signature);
	free(text);
	hf_buffer_free(&canonical);
	return r;
}

static void note_failure(struct hf_worker_grant *g, const char *why)
{
	struct hf_worker_node *node = g->node;
	if (g->failures == 0)
		hf_log_warn(&log_module, "a gateway did not give a token", "relay=%s reason=\"%s\"", g->relay->settings->instance, why);
	g->due_us = hf_loop_now_us(node->loop) + hf_worker_retry_ms(node, g->failures++) * 1000;
	if (strcmp(why, "token-revoked") == 0) {
		g->is_revoked = true;
		g->token[0] = '\0';
		node->must_save_tokens = true;
	}
	/* What cannot be refreshed is issued anew. */
	if (strncmp(why, "token-", 6) == 0 || strcmp(why, "no-active-token") == 0 || g->expires_ms <= hf_env_wall_ms(node->env))
		g->token[0] = '\0';
}

static void take_token(struct hf_worker_grant *g, const json_t *answer, const char *token)
{
	struct hf_worker_node *node = g->node;
	uint64_t now_ms = hf_env_wall_ms(node->env), refresh_ms = (uint64_t)json_integer_value(json_object_get(answer, "refreshAfter"));
	uint64_t wait_ms = refresh_ms > now_ms + REFRESH_MS_MIN ? refresh_ms - now_ms : REFRESH_MS_MIN;
	snprintf(g->token, sizeof g->token, "%s", token);
	g->expires_ms = (uint64_t)json_integer_value(json_object_get(answer, "expiresAt"));
	g->sequence = (uint64_t)json_integer_value(json_object_get(answer, "sequence"));
	g->due_us = hf_loop_now_us(node->loop) + wait_ms * 1000;
	g->failures = 0;
	node->must_save_tokens = true;
}

static void on_answer(void *context, int result, const struct hf_relay_response *response)
{
	struct hf_worker_grant *g = context;
	json_t *answer = result == HF_OK ? json_loadb((const char *)response->body.data, response->body.length, 0, NULL) : NULL;
	const char *token = json_string_value(json_object_get(answer, "token")), *error = json_string_value(json_object_get(answer, "error"));
	g->is_asking = false;
	if (result == HF_OK && response->status == 200 && token && strlen(token) <= HF_CLIENT_TOKEN_BYTES_MAX)
		take_token(g, answer, token);
	else
		note_failure(g, result < 0 ? hf_error_text(result) : error ? error : "refused");
	json_decref(answer);
}

static void ask(struct hf_worker_link *link, struct hf_worker_grant *g, uint64_t now_us)
{
	struct hf_buffer body = {0};
	bool is_refresh = g->token[0] != '\0';
	int r = make_body(g, is_refresh, &body);
	struct hf_relay_request request = {.method = HF_SLICE_LITERAL("POST"), .body = hf_buffer_slice(&body),
		.path = is_refresh ? HF_SLICE_LITERAL("/gateway/relay-tokens/refresh") : HF_SLICE_LITERAL("/gateway/relay-tokens/issue")};
	g->is_asking = true;
	if (r == HF_OK)
		r = hf_relay_channel_request(
			link->channel, &request, now_us + link->node->options.config->worker_answer_timeout_ms * 1000, on_answer, g, NULL);
	hf_buffer_free(&body);
	if (r < 0) {
		g->is_asking = false;
		note_failure(g, hf_error_text(r));
	}
}

void hf_worker_tokens_tick(struct hf_worker_link *link, uint64_t now_us)
{
	if (!link->gateway->is_registered || link->gateway->is_hypertuna)
		return;
	for (struct hf_worker_grant *g = link->gateway->grants; g; g = g->next)
		if (!g->is_asking && !g->is_revoked && g->due_us <= now_us)
			ask(link, g, now_us);
}

void hf_worker_tokens_revoked(struct hf_worker_node *node, struct hf_worker_gateway *gateway, struct hf_slice relay_key, uint64_t sequence,
	const char *reason)
{
	const struct hf_worker_relay *relay = hf_worker_find_relay(node, relay_key);
	hf_log_info(&log_module, "a gateway has revoked a token", "relay=%.*s sequence=%llu reason=\"%.100s\"", (int)relay_key.length,
		(const char *)relay_key.data, (unsigned long long)sequence, reason);
	/* Whose it was the frame does not say: the gateway does, to who asks. */
	for (struct hf_worker_grant *g = gateway->grants; g; g = g->next)
		if (g->relay == relay && g->token[0])
			g->due_us = 0;
}
