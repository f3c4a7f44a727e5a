/* joiner: the channel's deadlines are looked at by a timer, twice a second; everything else happens as answers come. */
#include "service/worker/joiner.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/options.h"
#include "codec/hex.h"
#include "crypto/hash.h"
#include "crypto/secret.h"
#include "wire/relay_channel.h"

#define TICK_MS 500u

struct hf_joiner {
	struct hf_joiner_options options;
	struct hf_env *env;
	struct hf_relay_channel *channel;
	struct hf_schnorr *schnorr;
	struct hf_timer tick;
	uint8_t pubkey[32];
	char identifier[HF_JOINER_IDENTIFIER_BYTES_MAX + 1];
	bool is_done;
};

static void conclude(struct hf_joiner *j, int code, const struct hf_join_membership *membership, const char *why)
{
	if (j->is_done)
		return;
	j->is_done = true;
	hf_loop_timer_cancel(j->options.loop, &j->tick);
	j->options.events->done(j->options.context, code, membership, why);
}

static void fail(struct hf_joiner *j, int code)
{
	conclude(j, code, NULL, code == HF_EMALFORMED ? "its answer is none" : code == HF_EVERSION ? "its cipher is not one that is used here"
		: hf_error_text(code));
}

/* True: the host has answered, and not with a refusal. */
static bool is_good(struct hf_joiner *j, int result, const struct hf_relay_response *response)
{
	char why[HF_JOIN_TEXT_BYTES_MAX];
	if (result < 0) {
		fail(j, result);
		return false;
	}
	if (response->status == 200)
		return true;
	hf_join_error_parse(why, response->body);
	if (!why[0])
		snprintf(why, sizeof why, "it answers with %d", response->status);
	conclude(j, HF_EDENIED, NULL, why);
	return false;
}

static int post(struct hf_joiner *j, const char *path, struct hf_slice body, hf_relay_channel_reply *reply)
{
	const struct hf_http_field type = {HF_SLICE_LITERAL("content-type"), HF_SLICE_LITERAL("application/json")};
	const struct hf_relay_request request = {.method = HF_SLICE_LITERAL("POST"), .path = hf_slice_text(path), .fields = &type,
		.field_count = 1, .body = body};
	uint64_t deadline_us = hf_loop_now_us(j->options.loop) + HF_JOINER_TIMEOUT_MS * UINT64_C(1000);
	return hf_relay_channel_request(j->channel, &request, deadline_us, reply, j, NULL);
}

/* ---- The challenge ---- */

static void on_verified(void *context, int result, const struct hf_relay_response *response)
{
	struct hf_joiner *j = context;
	struct hf_join_membership membership;
	if (!is_good(j, result, response))
		return;
	int r = hf_join_membership_parse(&membership, response->body);
	uint8_t asked[32];
	if (r == HF_OK && strlen(j->identifier) == 64 && hf_hex_decode(asked, j->identifier, 32) && memcmp(asked, membership.relay_key, 32) != 0)
		r = HF_EMALFORMED; /* another relay than was asked for by its key */
	if (r < 0)
		fail(j, r);
	else
		conclude(j, HF_OK, &membership, "");
}

static int meet(struct hf_joiner *j, const struct hf_join_answer *answer)
{
	struct hf_buffer body = {0};
	uint8_t key[32], iv[HF_CBC_BLOCK_BYTES];
	if (answer->cipher == HF_CBC_HYPERTUNA && !j->options.accepts_variant)
		return HF_EVERSION;
	if (hf_schnorr_shared_x(j->schnorr, key, j->options.secret, answer->relay_pubkey) < 0)
		return HF_EMALFORMED;
	j->env->random(j->env, iv, sizeof iv);
	int r = hf_join_proof_make(answer, j->pubkey, key, iv, hf_peer_socket_remote_key(j->options.socket), &body);
	hf_wipe(key, sizeof key);
	if (r == HF_OK)
		r = post(j, "/verify-ownership", hf_buffer_slice(&body), on_verified);
	hf_buffer_free(&body);
	return r;
}

static void on_answered(void *context, int result, const struct hf_relay_response *response)
{
	struct hf_joiner *j = context;
	struct hf_join_answer answer;
	if (!is_good(j, result, response))
		return;
	int r = hf_join_answer_parse(&answer, response->body);
	if (r == HF_OK && answer.is_pending) {
		conclude(j, HF_EWAIT, NULL, "the request waits for the relay's owner");
		return;
	}
	if (r == HF_OK)
		r = meet(j, &answer);
	if (r < 0)
		fail(j, r);
}

/* ---- The request ---- */

static int append_event(struct hf_joiner *j, struct hf_buffer *out)
{
	struct hf_buffer text = {0};
	uint8_t id[32], signature[HF_SCHNORR_SIGNATURE_BYTES];
	char id_hex[65] = {0}, author[65] = {0}, signature_hex[2 * HF_SCHNORR_SIGNATURE_BYTES + 1] = {0};
	unsigned long long now_s = hf_env_wall_s(j->env);
	hf_hex_encode(author, j->pubkey, 32);
	int r = hf_buffer_printf(&text, "[0,\"%s\",%llu,%d,[[\"h\",\"%s\"]],\"\"]", author, now_s, HF_JOIN_KIND, j->identifier);
	if (r == HF_OK) {
		hf_sha256(id, hf_buffer_slice(&text));
		r = hf_schnorr_sign(j->schnorr, signature, id, j->options.secret);
	}
	hf_buffer_free(&text);
	if (r < 0)
		return r;
	hf_hex_encode(id_hex, id, sizeof id);
	hf_hex_encode(signature_hex, signature, sizeof signature);
	return hf_buffer_printf(out, "{\"id\":\"%s\",\"pubkey\":\"%s\",\"created_at\":%llu,\"kind\":%d,\"tags\":[[\"h\",\"%s\"]],\"content\":\"\","
		"\"sig\":\"%s\"}", id_hex, author, now_s, HF_JOIN_KIND, j->identifier, signature_hex);
}

static int on_opened(void *context, struct hf_relay_channel *channel, const struct hf_relay_handshake *theirs)
{
	struct hf_joiner *j = context;
	struct hf_buffer event = {0}, body = {0};
	char path[HF_JOINER_IDENTIFIER_BYTES_MAX + 16];
	int r = append_event(j, &event);
	if (r == HF_OK)
		r = hf_join_request_make(hf_buffer_slice(&event), &body);
	snprintf(path, sizeof path, "/post/join/%s", j->identifier);
	if (r == HF_OK)
		r = post(j, path, hf_buffer_slice(&body), on_answered);
	hf_buffer_free(&event);
	hf_buffer_free(&body);
	if (r < 0)
		fail(j, r);
	return HF_OK;
}

/* Nobody has anything to ask here. */
static void on_request(void *context, struct hf_relay_channel *channel, uint64_t call, const struct hf_relay_request *request)
{
	const struct hf_http_field type = {HF_SLICE_LITERAL("content-type"), HF_SLICE_LITERAL("application/json")};
	const struct hf_relay_response response = {.status = 404, .fields = &type, .field_count = 1,
		.body = HF_SLICE_LITERAL("{\"error\":\"not-found\"}")};
	hf_relay_channel_answer(channel, call, &response);
}

static void on_closed(void *context, struct hf_relay_channel *channel, enum hf_channel_end end)
{
	fail(context, HF_ECLOSED);
}

static const struct hf_relay_channel_events channel_events = {.opened = on_opened, .request = on_request, .closed = on_closed};

/* ---- Life ---- */

static void on_tick(struct hf_timer *timer)
{
	struct hf_joiner *j = HF_CONTAINER_OF(timer, struct hf_joiner, tick);
	uint64_t now_us = hf_loop_now_us(j->options.loop);
	hf_loop_timer_set(j->options.loop, timer, TICK_MS);
	if (hf_relay_channel_deadline(j->channel) <= now_us)
		hf_relay_channel_tick(j->channel, now_us);
}

static uint64_t wall_ms(void *context)
{
	const struct hf_joiner *j = context;
	return hf_env_wall_ms(j->env);
}

/* It goes into a path, whose segments Hypertuna's workers do not decode, and into JSON. */
static bool is_identifier(const char *text)
{
	size_t length = strlen(text);
	for (size_t i = 0; i < length; i++)
		if ((uint8_t)text[i] <= ' ' || (uint8_t)text[i] >= 0x7f || strchr("/?#%\"\\", text[i]))
			return false;
	return length > 0 && length <= HF_JOINER_IDENTIFIER_BYTES_MAX;
}

static int open_channel(struct hf_joiner *j)
{
	const struct hf_relay_handshake handshake = {.role = HF_RELAY_ROLE_OTHER, .capabilities = HF_RELAY_CAPABILITIES};
	const struct hf_relay_channel_options channel = {.handshake = &handshake, .body_bytes_max = HF_JOIN_BODY_BYTES_MAX, .wall_ms = wall_ms,
		.events = &channel_events, .context = j};
	int r = hf_loop_timer_set(j->options.loop, &j->tick, TICK_MS);
	if (r == HF_OK)
		r = hf_relay_channel_new(hf_peer_socket_mux(j->options.socket), &channel, &j->channel);
	if (r == HF_ECANCELED)
		j->channel = NULL; /* it has closed again, and is gone */
	return r;
}

int hf_joiner_new(struct hf_joiner **out, const struct hf_joiner_options *given)
{
	struct hf_joiner_options options;
	*out = NULL;
	int r = hf_options_take(&options, sizeof options, given);
	if (r == HF_OK && !is_identifier(options.identifier))
		r = HF_EINVAL;
	struct hf_joiner *j = r == HF_OK ? calloc(1, sizeof *j) : NULL;
	if (!j)
		return r < 0 ? r : HF_ENOMEM;
	j->options = options;
	j->env = hf_loop_env(options.loop);
	j->tick.fire = on_tick;
	snprintf(j->identifier, sizeof j->identifier, "%s", options.identifier);
	r = hf_schnorr_new(&j->schnorr, j->env, 0);
	if (r == HF_OK)
		r = hf_schnorr_public_key(j->schnorr, j->pubkey, options.secret);
	*out = j; /* before the first callback, in which it may be freed */
	if (r == HF_OK)
		r = open_channel(j);
	if (r < 0) {
		*out = NULL;
		hf_joiner_free(j);
	}
	return r;
}

void hf_joiner_free(struct hf_joiner *j)
{
	if (!j)
		return;
	j->is_done = true;
	hf_loop_timer_cancel(j->options.loop, &j->tick);
	hf_relay_channel_free(j->channel);
	hf_schnorr_free(j->schnorr);
	free(j);
}
