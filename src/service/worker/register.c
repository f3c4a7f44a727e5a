/* register: what a gateway is told of our relays, signed with our key and, relay by relay, with its bee's; what it answers; telemetry; and
 * the control frames that it signs. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "codec/hex.h"
#include "service/gateway/registration.h"
#include "service/gateway/tokens.h"
#include "service/worker/internal.h"
#include "service/json_hex.h"

static struct hf_log_module log_module = HF_LOG_MODULE("worker");

static int append_json(struct hf_buffer *out, json_t *value)
{
	char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;
	int r = text ? hf_buffer_append_text(out, text) : HF_ENOMEM;
	free(text);
	json_decref(value);
	return r;
}

/* ---- What we are ---- */

int hf_worker_handshake_members(struct hf_worker_node *node, struct hf_buffer *out)
{
	struct hf_buffer object = {0};
	json_t *members = json_pack("{s:b, s:o, s:o, s:I, s:b}", "gatewayReplica", true,
		"relayPublicKey", hf_json_hex(node->public_key, 32), "peerId",
		hf_json_hex(node->public_key, 32), "relayCount", (json_int_t)node->relay_count, "delegateReqToPeers", true);
	int r = append_json(&object, members);
	if (r == HF_OK)
		r = hf_buffer_append(out, object.data + 1, object.length - 2);
	hf_buffer_free(&object);
	return r;
}

void hf_worker_bee_info(const struct hf_worker_gateway *gateway, struct hf_relay_bee_info *info)
{
	const struct hf_worker_replica *replica = gateway ? gateway->replica : NULL;
	*info = (struct hf_relay_bee_info){0};
	if (!replica)
		return;
	info->has_key = true;
	memcpy(info->key, replica->key, sizeof info->key);
	memcpy(info->discovery_key, hf_core_discovery_key(replica->core), sizeof info->discovery_key);
	info->length = info->version = hf_core_length(replica->core);
	info->contiguous_length = hf_bitfield_next_clear(hf_core_blocks(replica->core), 0, info->length);
	info->lag = hf_worker_replica_lag(replica);
	info->updated_at_ms = replica->updated_ms;
}

static json_t *describe_bee(const struct hf_relay_bee_info *info)
{
	return json_pack("{s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:b}", "hyperbeeKey", hf_json_hex(info->key, 32), "discoveryKey",
		hf_json_hex(info->discovery_key, 32), "length", (json_int_t)info->length, "contiguousLength", (json_int_t)info->contiguous_length,
		"lag", (json_int_t)info->lag, "version", (json_int_t)info->version, "updatedAt", (json_int_t)info->updated_at_ms,
		"delegateReqToPeers", true);
}

/* ---- Relays ---- */

static json_t *prove(struct hf_worker_node *node, const struct hf_worker_relay *relay)
{
	struct hf_buffer text = {0};
	json_t *proof = NULL;
	if (relay->bee_key->length != HF_SIGN_SECRET_BYTES)
		return NULL;
	if (hf_registration_make_proof(relay->key, hf_slice(NULL, 0), relay->bee_key->data, node->public_key, hf_env_wall_ms(node->env), &text)
		== HF_OK)
		proof = json_loadb((const char *)text.data, text.length, 0, NULL);
	hf_buffer_free(&text);
	return proof;
}

static json_t *describe_relay(struct hf_worker_node *node, const struct hf_worker_relay *relay, bool is_hypertuna)
{
	const struct hf_config_relay *s = relay->settings;
	json_t *entry = json_pack("{s:o, s:s, s:s, s:s, s:b, s:b, s:I}", "relayKey", hf_json_hex(relay->key, 32), "identifier", relay->identifier,
		"name", s->name, "description", s->description, "isPublic", !s->token, "requiresAuth", s->token, "metadataUpdatedAt",
		(json_int_t)(hf_env_wall_ms(node->env) - (hf_env_monotonic_us(node->env) - node->started_us) / 1000));
	if (!entry)
		return NULL;
	if (s->icon[0])
		json_object_set_new(entry, "avatarUrl", json_string(s->icon));
	if (s->gateway_path[0])
		json_object_set_new(entry, "gatewayPath", json_string(s->gateway_path));
	json_t *proof = is_hypertuna ? NULL : prove(node, relay);
	if (proof)
		json_object_set_new(entry, "proof", proof);
	return entry;
}

static json_t *describe_relays(struct hf_worker_node *node, bool is_hypertuna)
{
	json_t *list = json_array();
	for (size_t i = 0; list && i < node->relay_count; i++)
		json_array_append_new(list, describe_relay(node, &node->relays[i], is_hypertuna));
	return list;
}

/* ---- Bodies ---- */

static json_t *describe_rest(struct hf_worker_link *link)
{
	struct hf_worker_node *node = link->node;
	struct hf_relay_bee_info bee;
	json_t *more = json_pack("{s:s}", "mode", "hyperswarm");
	if (more && node->avatars)
		json_object_set_new(more, "pfpDriveKey", hf_json_hex(hf_core_key(hf_drive_core(node->avatars)), 32));
	hf_worker_bee_info(link->gateway, &bee);
	if (more && bee.has_key)
		json_object_set_new(more, "gatewayReplica", describe_bee(&bee));
	return more;
}

/* What Hypertuna's gateways take: who we are they see on the channel. */
static int make_unsigned(struct hf_worker_link *link, struct hf_buffer *out)
{
	struct hf_worker_node *node = link->node;
	json_t *body = describe_rest(link);
	if (!body)
		return HF_ENOMEM;
	json_object_set_new(body, "publicKey", hf_json_hex(node->public_key, 32));
	json_object_set_new(body, "relays", describe_relays(node, true));
	json_object_set_new(body, "timestamp", json_integer((json_int_t)hf_env_wall_ms(node->env)));
	if (node->relay_count > 0)
		json_object_set_new(body, "nostrPubkeyHex", hf_json_hex(hf_relay_identity(node->relays[0].relay), 32));
	return append_json(out, body);
}

static int make_signed(struct hf_worker_link *link, struct hf_buffer *out)
{
	struct hf_worker_node *node = link->node;
	struct hf_buffer relays = {0}, more = {0};
	int r = append_json(&relays, describe_relays(node, false));
	if (r == HF_OK)
		r = append_json(&more, describe_rest(link));
	struct hf_registration_draft draft = {.relays = hf_buffer_slice(&relays), .more = hf_buffer_slice(&more),
		.peer_secret_key = node->options.static_secret, .gateway_key = link->gateway->key,
		.secret = hf_slice_text(node->options.config->worker_secret), .now_ms = hf_env_wall_ms(node->env)};
	node->env->random(node->env, draft.nonce, sizeof draft.nonce);
	if (r == HF_OK)
		r = hf_registration_make(&draft, out);
	hf_buffer_free(&relays);
	hf_buffer_free(&more);
	return r;
}

/* ---- Answers ---- */

static void learn_aliases(struct hf_worker_gateway *gateway, const json_t *hyperbee)
{
	const char *path = json_string_value(json_object_get(hyperbee, "gatewayPath"));
	json_t *aliases = json_object_get(hyperbee, "pathAliases"), *alias;
	size_t i;
	gateway->alias_count = 0;
	if (path && strlen(path) < HF_WORKER_IDENTIFIER_BYTES_MAX)
		snprintf(gateway->aliases[gateway->alias_count++], HF_WORKER_IDENTIFIER_BYTES_MAX, "%s", path);
	json_array_foreach(aliases, i, alias) {
		const char *text = json_string_value(alias);
		if (text && strlen(text) < HF_WORKER_IDENTIFIER_BYTES_MAX && gateway->alias_count < HF_WORKER_ALIAS_COUNT_MAX)
			snprintf(gateway->aliases[gateway->alias_count++], HF_WORKER_IDENTIFIER_BYTES_MAX, "%s", text);
	}
}

static void learn_from_answer(struct hf_worker_link *link, const json_t *answer)
{
	struct hf_worker_gateway *gateway = link->gateway;
	const json_t *hyperbee = json_object_get(answer, "hyperbee");
	const char *key = json_string_value(json_object_get(hyperbee, "hyperbeeKey"));
	uint8_t bytes[32];
	learn_aliases(gateway, hyperbee);
	hf_worker_discover_aliases(gateway);
	const char *url = json_string_value(json_object_get(answer, "url"));
	if (url && strlen(url) < sizeof gateway->told_url && gateway->is_configured)
		snprintf(gateway->told_url, sizeof gateway->told_url, "%s", url);
	if (key && strlen(key) == 64 && hf_hex_decode(bytes, key, 32))
		hf_worker_learn_bee(link, bytes);
}

static void note_failure(struct hf_worker_link *link, const char *why)
{
	struct hf_worker_node *node = link->node;
	struct hf_worker_gateway *gateway = link->gateway;
	uint64_t wait_ms = hf_worker_retry_ms(node, gateway->register_failures++);
	gateway->is_registered = false;
	gateway->register_due_us = hf_loop_now_us(node->loop) + wait_ms * 1000;
	if (strcmp(gateway->refusal, why) != 0)
		hf_log_warn(&log_module, "a gateway did not take our registration", "gateway=%02x%02x%02x%02x… reason=\"%s\"", gateway->key[0],
			gateway->key[1], gateway->key[2], gateway->key[3], why);
	snprintf(gateway->refusal, sizeof gateway->refusal, "%s", why);
	hf_counter_add(&node->stats.registration_failures, 1);
}

static void note_success(struct hf_worker_link *link)
{
	struct hf_worker_node *node = link->node;
	struct hf_worker_gateway *gateway = link->gateway;
	if (!gateway->is_registered)
		hf_log_info(&log_module, "registered", "gateway=%02x%02x%02x%02x… relays=%zu", gateway->key[0], gateway->key[1], gateway->key[2],
			gateway->key[3], node->relay_count);
	gateway->is_registered = true;
	gateway->registered_ms = hf_env_wall_ms(node->env);
	gateway->register_failures = 0;
	gateway->refusal[0] = '\0';
	gateway->register_due_us = hf_loop_now_us(node->loop) + hf_worker_jitter(node, HF_WORKER_REGISTER_INTERVAL_MS) * 1000;
	hf_counter_add(&node->stats.registrations, 1);
}

static void on_answer(void *context, int result, const struct hf_relay_response *response)
{
	struct hf_worker_link *link = context;
	if (link->is_dead || !link->gateway)
		return;
	link->gateway->is_registering = false;
	json_t *answer = result == HF_OK ? json_loadb((const char *)response->body.data, response->body.length, 0, NULL) : NULL;
	const char *error = json_string_value(json_object_get(answer, "error"));
	if (result < 0) {
		note_failure(link, hf_error_text(result));
	} else if (response->status != 200) {
		note_failure(link, error ? error : "refused");
	} else {
		learn_from_answer(link, answer);
		note_success(link);
	}
	json_decref(answer);
}

void hf_worker_register(struct hf_worker_link *link)
{
	struct hf_worker_node *node = link->node;
	struct hf_buffer body = {0};
	const struct hf_http_field type = {HF_SLICE_LITERAL("content-type"), HF_SLICE_LITERAL("application/json")};
	int r = link->gateway->is_hypertuna ? make_unsigned(link, &body) : make_signed(link, &body);
	struct hf_relay_request request = {.method = HF_SLICE_LITERAL("POST"), .path = HF_SLICE_LITERAL("/gateway/register"), .fields = &type,
		.field_count = 1, .body = hf_buffer_slice(&body)};
	uint64_t deadline_us = hf_loop_now_us(node->loop) + node->options.config->worker_answer_timeout_ms * 1000;
	link->gateway->is_registering = true;
	if (r == HF_OK)
		r = hf_relay_channel_request(link->channel, &request, deadline_us, on_answer, link, NULL);
	hf_buffer_free(&body);
	if (r < 0) {
		link->gateway->is_registering = false;
		note_failure(link, hf_error_text(r));
	}
}

/* ---- Telemetry ---- */

void hf_worker_send_telemetry(struct hf_worker_link *link)
{
	struct hf_worker_node *node = link->node;
	const struct hf_worker_replica *replica = link->gateway->replica;
	struct hf_relay_bee_info bee;
	struct hf_telemetry t = {.reported_at_ms = hf_env_wall_ms(node->env), .delegates_requests = true};
	struct hf_buffer json = {0};
	hf_worker_bee_info(link->gateway, &bee);
	t.queue_depth = node->session_count < HF_TELEMETRY_JOBS_MAX ? node->session_count : HF_TELEMETRY_JOBS_MAX;
	if (replica) {
		uint64_t asked = replica->served + replica->errors;
		t.has_bee_key = true;
		memcpy(t.bee_key, bee.key, sizeof t.bee_key);
		memcpy(t.bee_discovery_key, bee.discovery_key, sizeof t.bee_discovery_key);
		t.bee_length = bee.length;
		t.bee_contiguous_length = bee.contiguous_length;
		t.bee_lag = bee.lag;
		t.bee_version = bee.version;
		t.bee_updated_at_ms = bee.updated_at_ms;
		t.in_flight_jobs = t.queue_depth = replica->query_count;
		t.latency_ms = (uint32_t)(replica->latency_us / 1000);
		t.failure_rate = asked ? (double)replica->errors / (double)asked : 0;
		t.bee_served = replica->served;
		t.bee_served_events = replica->served_events;
		t.bee_fallbacks = replica->fallbacks;
		t.bee_errors = replica->errors;
	}
	if (hf_telemetry_write(&t, node->public_key, &json) == HF_OK)
		hf_relay_channel_send_telemetry(link->channel, hf_buffer_slice(&json));
	hf_buffer_free(&json);
}

/* ---- Control frames ---- */

/* It comes on a connection that the gateway has proved to be its own; the first key that it names there is the one from then on. */
static void learn_signing_key(struct hf_worker_gateway *gateway, const char *text)
{
	if (!gateway->has_signing_key && text && strlen(text) == 64)
		gateway->has_signing_key = hf_hex_decode(gateway->signing_key, text, 32);
}

/* ["GATEWAY", "SIGNER", {"next", …}]: by the word of the key that we know, another one signs from now on. */
static void take_signer(struct hf_worker_gateway *gateway, struct hf_slice json)
{
	uint8_t next[32];
	if (!gateway->has_signing_key) /* the first that comes is the one */
		return;
	int r = hf_signer_frame_verify(json, gateway->signing_key, next);
	if (r == HF_OK)
		memcpy(gateway->signing_key, next, sizeof gateway->signing_key);
	else
		hf_log_warn(&log_module, "a gateway's new key for control frames is not signed as it should be", "reason=\"%s\"", hf_error_text(r));
}

/* ["TOKEN", "REVOKED", {"relay", "reason", "sequence", …}]. The gateway ends the sessions itself; what we must not do is believe an older
 * frame after a newer one. */
void hf_worker_take_frame(struct hf_worker_link *link, struct hf_slice json)
{
	struct hf_worker_node *node = link->node;
	struct hf_worker_gateway *gateway = link->gateway;
	uint64_t sequence;
	json_t *frame = json_loadb((const char *)json.data, json.length, 0, NULL);
	const json_t *facts = json_array_get(frame, 2);
	const char *about = json_string_value(json_array_get(frame, 0));
	if (about && strcmp(about, "GATEWAY") == 0) {
		take_signer(gateway, json);
		json_decref(frame);
		return;
	}
	learn_signing_key(gateway, json_string_value(json_object_get(facts, "gateway")));
	const char *relay = json_string_value(json_object_get(facts, "relay"));
	const char *reason = json_string_value(json_object_get(facts, "reason"));
	int r = relay ? hf_token_frame_verify(json, gateway->signing_key, 0, &sequence) : HF_EMALFORMED;
	if (r < 0)
		hf_log_warn(&log_module, "a control frame of a gateway is not signed as it should be", "reason=\"%s\"", hf_error_text(r));
	else if (!hf_worker_take_sequence(node, gateway, hf_slice_text(relay), sequence))
		hf_log_warn(&log_module, "a control frame of a gateway came again, or late", "relay=%.64s sequence=%llu", relay,
			(unsigned long long)sequence);
	else
		hf_worker_tokens_revoked(node, gateway, hf_slice_text(relay), sequence, reason ? reason : "");
	json_decref(frame);
}
