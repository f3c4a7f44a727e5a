/* Who is let in. A WebSocket is taken before it is looked at, as only then it can be told why it is closed. */
#include "service/gateway/front_private.h"

#include <stdlib.h>

/* ---- Tokens as requests show them ---- */

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static struct hf_slice percent_decode(struct hf_slice raw, uint8_t out[static HF_FRONT_TOKEN_BYTES_MAX])
{
	size_t length = 0;
	for (size_t i = 0; i < raw.length && length < HF_FRONT_TOKEN_BYTES_MAX; i++) {
		int high = raw.data[i] == '%' && i + 2 < raw.length ? hex_digit(raw.data[i + 1]) : -1;
		int low = high >= 0 ? hex_digit(raw.data[i + 2]) : -1;
		out[length++] = low >= 0 ? (uint8_t)(high << 4 | low) : raw.data[i];
		if (low >= 0)
			i += 2;
	}
	return hf_slice(out, length);
}

/* The value of name in a query; empty when it is not there. */
static struct hf_slice query_value(struct hf_slice query, const char *name)
{
	size_t name_length = strlen(name);
	while (query.length > 0) {
		const uint8_t *ampersand = memchr(query.data, '&', query.length);
		size_t length = ampersand ? (size_t)(ampersand - query.data) : query.length;
		if (length > name_length && memcmp(query.data, name, name_length) == 0 && query.data[name_length] == '=')
			return hf_slice(query.data + name_length + 1, length - name_length - 1);
		size_t step = ampersand ? length + 1 : length;
		query = hf_slice(query.data + step, query.length - step);
	}
	return hf_slice(NULL, 0);
}

struct hf_slice hf_front_query(struct hf_http_exchange *exchange, const char *name, uint8_t out[static HF_FRONT_TOKEN_BYTES_MAX])
{
	return percent_decode(query_value(hf_http_query(exchange), name), out);
}

struct hf_slice hf_front_shown_token(struct hf_http_exchange *exchange, uint8_t out[static HF_FRONT_TOKEN_BYTES_MAX])
{
	struct hf_slice field = hf_http_header(exchange, "Authorization");
	if (field.length > 7 && hf_http_name_equal(hf_slice(field.data, 7), "Bearer ")) {
		size_t length = field.length - 7 < HF_FRONT_TOKEN_BYTES_MAX ? field.length - 7 : HF_FRONT_TOKEN_BYTES_MAX;
		memcpy(out, field.data + 7, length);
		return hf_slice(out, length);
	}
	return hf_front_query(exchange, "token", out);
}

/* ---- Sessions ---- */

static void turn_away(struct hf_front_session *s, uint16_t code, const char *reason, enum hf_front_refusal refusal)
{
	hf_front_refuse(s->front, refusal);
	hf_front_session_close(s, code, reason);
}

/* False: it was turned away. */
static bool take_claims(struct hf_front_session *s, const struct hf_registration *record, struct hf_slice token)
{
	struct hf_token_claims claims;
	const char *refusal;
	int status = hf_tokens_verify(s->front->options.tokens, hf_slice_text(record->key), token, &claims, &refusal);
	char *auth_token = status == HF_OK ? strdup(claims.relay_auth_token) : NULL;
	if (!auth_token) {
		if (status == HF_OK || status == HF_ENOMEM)
			turn_away(s, 1011, "Internal error", HF_FRONT_FULL);
		else
			turn_away(s, 4403, "Invalid token", HF_FRONT_TOKEN_INVALID);
		return false;
	}
	free(s->auth_token);
	s->auth_token = auth_token;
	s->has_token = true;
	memcpy(s->token_id, claims.id, sizeof s->token_id);
	s->has_pubkey = claims.has_pubkey;
	memcpy(s->pubkey, claims.pubkey, sizeof s->pubkey);
	s->expires_ms = claims.expires_ms;
	return true;
}

void hf_front_admit(struct hf_front_session *s, struct hf_slice token)
{
	struct hf_front *front = s->front;
	const struct hf_registration *record = hf_front_record(front, s->key);
	bool was_in = s->state != HF_FRONT_AWAITS_TOKEN;
	if (!record) {
		turn_away(s, 4404, "Relay not registered", HF_FRONT_NO_RELAY);
		return;
	}
	if (record->requires_auth && !front->options.tokens) {
		turn_away(s, 1011, "Gateway not configured", HF_FRONT_NOT_CONFIGURED);
		return;
	}
	if (token.length == 0 && record->requires_auth) {
		hf_front_session_wake(s, front->options.token_timeout_ms);
		return;
	}
	if (token.length > 0 && front->options.tokens && !take_claims(s, record, token))
		return;
	if (was_in) {
		hf_front_session_wake(s, 0); /* a later token only says for how long */
		return;
	}
	if (!hf_front_has_worker(front, record, NULL)) {
		turn_away(s, 1013, "No peers available", HF_FRONT_NO_PEERS);
		return;
	}
	hf_front_session_begin(s);
}

static struct hf_front_session *new_session(struct hf_front *front, struct hf_http_exchange *exchange, const char *key)
{
	struct hf_front_session *s = calloc(1, sizeof *s);
	if (!s || !(s->key = strdup(key))) {
		free(s);
		return NULL;
	}
	s->front = front;
	s->number = ++front->last_number;
	s->client = *hf_http_client(exchange);
	s->timer.fire = hf_front_session_timer;
	s->job.kind = HF_FRONT_OPEN;
	front->env->random(front->env, s->challenge, sizeof s->challenge);
	HF_LIST_PUSH(front->sessions, s);
	front->stats.session_count++;
	return s;
}

static bool is_empty(struct hf_slice path)
{
	for (size_t i = 0; i < path.length; i++)
		if (path.data[i] != '/')
			return false;
	return true;
}

static void answer_websocket(struct hf_front *front, struct hf_http_exchange *exchange)
{
	uint8_t token[HF_FRONT_TOKEN_BYTES_MAX];
	struct hf_slice shown = hf_front_shown_token(exchange, token), path = hf_http_path(exchange);
	const struct hf_registration *record = hf_registry_find(front->options.registry, path);
	bool no_path = is_empty(path), is_full = front->stats.session_count >= front->options.session_count_max;
	struct hf_front_session *s = new_session(front, exchange, record ? record->key : "");
	if (!s) {
		hf_http_respond(exchange, 503, "text/plain", HF_SLICE_LITERAL("out of memory\n"), NULL);
		return;
	}
	if (hf_http_upgrade(exchange, &hf_front_session_handler, s, &s->ws) < 0) {
		s->ws = NULL;
		hf_front_session_free(s);
		return;
	}
	if (no_path)
		turn_away(s, 4404, "Invalid relay key", HF_FRONT_NO_RELAY);
	else if (is_full)
		turn_away(s, 1013, "Too many sessions", HF_FRONT_FULL);
	else
		hf_front_admit(s, shown);
}

/* ---- What a relay is, over HTTP (NIP-11) ---- */

static void answer_information(struct hf_front *front, struct hf_http_exchange *exchange)
{
	const struct hf_registration *record = is_empty(hf_http_path(exchange)) ? NULL
		: hf_registry_find(front->options.registry, hf_http_path(exchange));
	if (record) {
		hf_front_inform(front, exchange, record);
		return;
	}
	hf_front_refuse(front, HF_FRONT_NO_RELAY);
	hf_http_allow_origin(exchange, "*");
	hf_http_respond(exchange, 404, "text/plain", HF_SLICE_LITERAL("not found\n"), NULL);
}

void hf_front_answer(struct hf_front *front, struct hf_http_exchange *exchange)
{
	if (hf_http_wants_websocket(exchange))
		answer_websocket(front, exchange);
	else
		answer_information(front, exchange);
}
