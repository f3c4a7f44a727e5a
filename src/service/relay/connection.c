/* connection: what a client says is decoded with the relay's scratch memory and handed on; nothing is kept of a message
 * but what the part that takes it keeps. An idle connection holds this struct and its Host header. */
#include "service/relay/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "codec/hex.h"

/* ---- Lifetime ---- */

void hf_relay_connection_ref(struct hf_relay_connection *c)
{
	c->references++;
}

void hf_relay_connection_unref(struct hf_relay_connection *c)
{
	if (--c->references > 0)
		return;
	hf_relay_auth_unref(c->auth);
	free(c->host);
	free(c);
}

void hf_relay_auth_unref(struct hf_relay_auth *auth)
{
	if (auth && --auth->references == 0)
		free(auth);
}

void hf_relay_connection_add_key(struct hf_relay_connection *c, const uint8_t key[static 32])
{
	struct hf_relay_auth *new = calloc(1, sizeof *new);
	if (!new)
		return;
	if (c->auth)
		*new = *c->auth;
	new->references = 1;
	bool known = false;
	for (uint32_t i = 0; i < new->key_count; i++)
		known |= memcmp(new->keys[i], key, 32) == 0;
	if (!known) {
		/* At the bound the oldest goes. */
		if (new->key_count == HF_RELAY_AUTH_KEY_COUNT_MAX)
			memmove(new->keys[0], new->keys[1], 32 * (size_t)--new->key_count);
		memcpy(new->keys[new->key_count++], key, 32);
	}
	hf_relay_auth_unref(c->auth);
	c->auth = new;
}

/* ---- Saying something ---- */

static void send_reply(struct hf_relay_connection *c, int status)
{
	struct hf_buffer *reply = &c->relay->reply;
	if (status == HF_OK && c->link)
		c->transport->send_text(c->link, hf_buffer_slice(reply));
	else if (c->link)
		c->transport->close(c->link, 1011, "out of memory"); /* who waits for the answer must not wait for ever */
	hf_buffer_clear(reply);
}

void hf_relay_reply_ok(struct hf_relay_connection *c, const uint8_t id[static 32], bool accepted, const char *reason)
{
	if (c->link)
		send_reply(c, hf_nostr_append_ok(&c->relay->reply, id, accepted, reason));
}

void hf_relay_reply_closed(struct hf_relay_connection *c, struct hf_slice id, const char *reason)
{
	if (c->link)
		send_reply(c, hf_nostr_append_closed(&c->relay->reply, id, reason));
}

static void reply_notice(struct hf_relay_connection *c, const char *reason)
{
	if (c->link)
		send_reply(c, hf_nostr_append_notice(&c->relay->reply, reason));
}

static void send_challenge(struct hf_relay_connection *c)
{
	char hex[2 * HF_RELAY_CHALLENGE_BYTES + 1];
	hf_hex_encode(hex, c->challenge, sizeof c->challenge);
	hex[sizeof hex - 1] = '\0';
	send_reply(c, hf_nostr_append_auth(&c->relay->reply, hex));
}

/* ---- Authentication ---- */

/* Without a configured address, only names that a stranger cannot point at this relay are believed: a relay
 * elsewhere could otherwise pass on an answer that it got under its own name. */
static bool is_local_name(const char *host)
{
	if (strncasecmp(host, "localhost", 9) == 0 && (host[9] == '\0' || host[9] == ':'))
		return true;
	struct hf_address address;
	char with_port[80];
	const char *colon = strrchr(host, ':'), *bracket = strrchr(host, ']');
	snprintf(with_port, sizeof with_port, "%s%s", host, colon && (!bracket || colon > bracket) ? "" : ":80");
	return hf_address_parse(with_port, &address, NULL) == HF_OK && hf_address_class(&address) != HF_ADDRESS_PUBLIC;
}

void hf_relay_connection_url(const struct hf_relay_connection *c, char out[static HF_RELAY_URL_BYTES])
{
	const struct hf_relay *relay = c->relay;
	if (relay->policy.public_url[0])
		snprintf(out, HF_RELAY_URL_BYTES, "%s", relay->policy.public_url);
	else if (c->has_url)
		snprintf(out, HF_RELAY_URL_BYTES, "%s", c->host);
	else if (c->host && is_local_name(c->host))
		snprintf(out, HF_RELAY_URL_BYTES, "ws://%s%s", c->host, relay->path);
	else
		snprintf(out, HF_RELAY_URL_BYTES, "%s%s", relay->listen_url, relay->path);
}

static void take_auth(struct hf_relay_connection *c, const struct hf_event *event, uint64_t received_us)
{
	struct hf_relay *relay = c->relay;
	char url[HF_RELAY_URL_BYTES], challenge[2 * HF_RELAY_CHALLENGE_BYTES + 1];
	const char *reason = "restricted: this relay does not ask for authentication";
	hf_hex_encode(challenge, c->challenge, sizeof c->challenge);
	challenge[sizeof challenge - 1] = '\0';
	hf_relay_connection_url(c, url);
	if (!relay->policy.auth || hf_nostr_check_auth(event, challenge, url, hf_env_wall_s(relay->env),
		relay->policy.auth_window_s, &reason) < 0) {
		hf_relay_refused(relay, reason);
		hf_relay_reply_ok(c, event->id, false, reason);
		return;
	}
	hf_relay_ingest(c, event, hf_buffer_slice(&relay->text), true, received_us);
}

/* ---- Messages ---- */

static void refuse(struct hf_relay_connection *c, const struct hf_nostr_error *error)
{
	hf_relay_refused(c->relay, error->reason);
	if (error->refusal == HF_NOSTR_REFUSE_OK)
		hf_relay_reply_ok(c, error->event_id, false, error->reason);
	else if (error->refusal == HF_NOSTR_REFUSE_CLOSED)
		hf_relay_reply_closed(c, error->subscription_id, error->reason);
	else
		reply_notice(c, error->reason);
}

static void dispatch(struct hf_relay_connection *c, const struct hf_nostr_message *message, struct hf_slice text, uint64_t received_us)
{
	struct hf_relay *relay = c->relay;
	hf_counter_add(&relay->metrics.messages[message->type], 1);
	switch (message->type) {
	case HF_NOSTR_EVENT:
		hf_relay_ingest(c, &message->event, hf_buffer_slice(&relay->text), false, received_us);
		break;
	case HF_NOSTR_AUTH:
		take_auth(c, &message->event, received_us);
		break;
	case HF_NOSTR_REQ:
	case HF_NOSTR_COUNT:
		hf_relay_query(c, message, text);
		break;
	case HF_NOSTR_CLOSE:
		hf_relay_query_close(c, message->subscription_id);
		break;
	}
}

void hf_relay_connection_message(struct hf_relay_connection *c, bool is_text, struct hf_slice text)
{
	struct hf_relay *relay = c->relay;
	if (!is_text) {
		hf_counter_add(&relay->metrics.binary, 1);
		reply_notice(c, "invalid: messages are text, not binary");
		return;
	}
	uint64_t received_us = hf_env_monotonic_us(relay->env);
	struct hf_nostr_message message;
	struct hf_nostr_error error;
	hf_buffer_clear(&relay->text);
	hf_relay_connection_ref(c);
	struct hf_nostr_limits limits = relay->policy.limits;
	limits.takes_resume = c->may_resume;
	int r = hf_nostr_decode(text, &limits, &relay->text, &relay->arena, &message, &error);
	if (r == HF_OK) {
		if (message.type == HF_NOSTR_EVENT)
			hf_histogram_record_us(&relay->metrics.stages[HF_STAGE_DECODE], hf_env_monotonic_us(relay->env) - received_us);
		dispatch(c, &message, text, received_us);
	} else {
		refuse(c, &error);
	}
	if (relay->arena.used_bytes > 0)
		hf_arena_reset(&relay->arena);
	hf_relay_connection_unref(c);
}

void hf_relay_connection_read_end(struct hf_relay_connection *c)
{
	c->read_visits = 0;
}

void hf_relay_connection_writable(struct hf_relay_connection *c)
{
	hf_relay_query_writable(c);
}

size_t hf_relay_connection_held(const struct hf_relay_connection *c)
{
	return c->held_bytes;
}

/* ---- Coming and going ---- */

static void leave(struct hf_relay_connection *c)
{
	struct hf_relay *relay = c->relay;
	hf_relay_query_cancel_all(c);
	for (struct hf_relay_connection **at = &relay->stalled; c->stalled && *at; at = &(*at)->next_stalled)
		if (*at == c) {
			*at = c->next_stalled;
			hf_gauge_add(&relay->metrics.stalled, -1);
			break;
		}
	relay->connection_count--;
	hf_gauge_add(&relay->metrics.connections, -1);
	hf_relay_connection_unref(c);
}

void hf_relay_connection_closed(struct hf_relay_connection *c)
{
	c->link = NULL;
	if (c->relay->is_fanning_out) {
		c->next_closed = c->relay->closed;
		c->relay->closed = c;
	} else {
		leave(c);
	}
}

void hf_relay_connection_reap(struct hf_relay *relay)
{
	while (relay->closed) {
		struct hf_relay_connection *c = relay->closed;
		relay->closed = c->next_closed;
		leave(c);
	}
}

static struct hf_relay_connection *new_connection(struct hf_relay *relay, enum hf_event_source source)
{
	struct hf_relay_connection *c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	c->relay = relay;
	c->references = 1;
	c->source = source;
	relay->env->random(relay->env, c->challenge, sizeof c->challenge);
	return c;
}

static void begin(struct hf_relay_connection *c)
{
	c->relay->connection_count++;
	hf_gauge_add(&c->relay->metrics.connections, 1);
	if (c->relay->policy.auth)
		send_challenge(c);
}

int hf_relay_connect(struct hf_relay *relay, const struct hf_relay_client *client, struct hf_relay_connection **out)
{
	struct hf_relay_connection *c = new_connection(relay, client->source);
	*out = NULL;
	if (c && client->url && strlen(client->url) < HF_RELAY_URL_BYTES && !relay->policy.public_url[0]) {
		c->host = strdup(client->url);
		c->has_url = c->host != NULL;
	}
	if (!c)
		return HF_ENOMEM;
	c->speaks_for_relay = client->speaks_for_relay;
	c->transport = client->transport;
	c->link = client->link;
	c->may_resume = client->may_resume;
	if (client->challenge)
		memcpy(c->challenge, client->challenge, sizeof c->challenge);
	*out = c;
	begin(c);
	return HF_OK;
}

/* ---- WebSockets ---- */

static int socket_send_shared(void *link, struct hf_websocket_message *message)
{
	return hf_websocket_send_shared(link, message);
}

static int socket_send_text(void *link, struct hf_slice text)
{
	return hf_websocket_send_text(link, text);
}

static size_t socket_room(void *link)
{
	return hf_websocket_send_room(link);
}

static void socket_pause(void *link)
{
	hf_websocket_pause(link);
}

static void socket_resume(void *link)
{
	hf_websocket_resume(link);
}

static void socket_close(void *link, uint16_t code, const char *reason)
{
	hf_websocket_close(link, code, reason);
}

const struct hf_relay_transport hf_relay_websocket_transport = {.send_shared = socket_send_shared, .send_text = socket_send_text,
	.room = socket_room, .pause = socket_pause, .resume = socket_resume, .close = socket_close};

static void on_message(void *context, struct hf_websocket *ws, bool is_text, struct hf_slice text)
{
	hf_relay_connection_message(context, is_text, text);
}

static void on_read_end(void *context, struct hf_websocket *ws)
{
	hf_relay_connection_read_end(context);
}

static void on_writable(void *context, struct hf_websocket *ws)
{
	hf_relay_connection_writable(context);
}

static void on_closed(void *context, struct hf_websocket *ws, uint16_t code)
{
	hf_relay_connection_closed(context);
}

static size_t held(const void *context)
{
	return hf_relay_connection_held(context);
}

static const struct hf_websocket_handler handler = {
	.message = on_message, .closed = on_closed, .read_end = on_read_end, .writable = on_writable, .held = held};

static enum hf_event_source source_of(const struct hf_address *client)
{
	switch (hf_address_class(client)) {
	case HF_ADDRESS_LOOPBACK: return HF_SOURCE_LOOPBACK;
	case HF_ADDRESS_PRIVATE: return HF_SOURCE_PRIVATE;
	default: return HF_SOURCE_PUBLIC;
	}
}

void hf_relay_connection_accept(struct hf_relay *relay, struct hf_http_exchange *exchange)
{
	struct hf_slice host = hf_http_header(exchange, "Host");
	struct hf_relay_connection *c = new_connection(relay, source_of(hf_http_client(exchange)));
	struct hf_websocket *ws;
	if (c && host.length > 0 && host.length < HF_RELAY_URL_BYTES / 2 && !relay->policy.public_url[0])
		c->host = strndup((const char *)host.data, host.length);
	if (!c) {
		hf_http_respond(exchange, 503, "text/plain", HF_SLICE_LITERAL("out of memory\n"), NULL);
		return;
	}
	if (hf_http_upgrade(exchange, &handler, c, &ws) < 0) {
		hf_relay_connection_unref(c);
		return;
	}
	c->transport = &hf_relay_websocket_transport;
	c->link = ws;
	begin(c);
}
