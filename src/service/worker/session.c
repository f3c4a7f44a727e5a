/* session: a client of a gateway. Its messages come by a stream, and what is answered goes out by it; at the other end is one of our
 * relays, or a replica.
 *
 * What the stream does not take at once waits here, each message by its reference where it is shared. `room` is about that queue alone: who
 * is told that there is none has something in it, so the stream's `writable` is sure to come. A session ends in the deferred round, never
 * from inside a call of a relay's. */
#include "service/worker/internal.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"
#include "codec/hex.h"

#define ROOM_BYTES (64u << 10) /* that a sender who can wait may have in the queue */

struct waiting {
	struct waiting *next;
	struct hf_websocket_message *shared; /* NULL: bytes */
	size_t length;
	uint8_t bytes[];
};

struct hf_worker_session {
	struct hf_worker_session *next, *previous; /* of the link, then of the dead */
	struct hf_worker_node *node;
	struct hf_worker_link *link;
	struct hf_relay_stream *stream;  /* NULL: it is over */
	struct hf_worker_client client;
	struct waiting *first, *last;
	size_t queued_bytes;
	struct hf_buffer message;        /* in pieces */
	size_t unconsumed;               /* while it is paused */
	struct hf_loop_deferred settle;  /* all that came at once was handed in */
	uint16_t close_code;             /* 0: it is not closing */
	char close_reason[HF_RELAY_STREAM_REASON_BYTES_MAX + 1];
	bool is_paused, is_dead;
};

/* ---- The client's other end ---- */

void hf_worker_client_message(struct hf_worker_client *client, bool is_text, struct hf_slice message)
{
	if (client->connection)
		hf_relay_connection_message(client->connection, is_text, message);
	else if (client->reader)
		hf_worker_reader_message(client->reader, is_text, message);
}

void hf_worker_client_read_end(struct hf_worker_client *client)
{
	if (client->connection)
		hf_relay_connection_read_end(client->connection);
}

void hf_worker_client_writable(struct hf_worker_client *client)
{
	if (client->connection)
		hf_relay_connection_writable(client->connection);
	else if (client->reader)
		hf_worker_reader_writable(client->reader);
}

void hf_worker_client_closed(struct hf_worker_client *client)
{
	if (client->connection)
		hf_relay_connection_closed(client->connection);
	else if (client->reader)
		hf_worker_reader_closed(client->reader);
	*client = (struct hf_worker_client){0};
}

/* ---- Ending ---- */

static void count_queued(struct hf_worker_session *s, size_t bytes, bool is_more)
{
	s->queued_bytes = is_more ? s->queued_bytes + bytes : s->queued_bytes - bytes;
	s->node->queued_bytes = is_more ? s->node->queued_bytes + bytes : s->node->queued_bytes - bytes;
	hf_gauge_set(&s->node->stats.queued_bytes, (int64_t)s->node->queued_bytes);
}

static void drop_first(struct hf_worker_session *s)
{
	struct waiting *w = s->first;
	s->first = w->next;
	if (!s->first)
		s->last = NULL;
	count_queued(s, w->length, false);
	hf_websocket_message_unref(w->shared);
	free(w);
}

/* Out of the link; freed in the next round. */
static void bury(struct hf_worker_session *s)
{
	if (s->is_dead)
		return;
	s->is_dead = true;
	HF_LIST_REMOVE(s->link->sessions, s);
	s->link = NULL;
	s->next = s->node->dead_sessions;
	s->node->dead_sessions = s;
	hf_worker_reap(s->node);
}

void hf_worker_session_free_dead(struct hf_worker_node *node)
{
	while (node->dead_sessions) {
		struct hf_worker_session *s = node->dead_sessions;
		node->dead_sessions = s->next;
		if (s->stream)
			hf_relay_stream_reset(s->stream, s->close_code, hf_slice_text(s->close_reason));
		hf_worker_client_closed(&s->client);
		while (s->first)
			drop_first(s);
		hf_loop_cancel_deferred(node->loop, &s->settle);
		hf_buffer_free(&s->message);
		node->session_count--;
		hf_gauge_add(&node->stats.sessions, -1);
		free(s);
	}
}

/* ---- Sending ---- */

static void transport_close(void *link, uint16_t code, const char *reason)
{
	struct hf_worker_session *s = link;
	if (s->is_dead)
		return;
	s->close_code = code;
	snprintf(s->close_reason, sizeof s->close_reason, "%s", reason);
	bury(s);
}

static int wait_in_queue(struct hf_worker_session *s, struct hf_websocket_message *shared, struct hf_slice text)
{
	if (s->queued_bytes + text.length > HF_WORKER_QUEUE_BYTES_MAX || s->node->queued_bytes + text.length > HF_WORKER_QUEUES_BYTES_MAX) {
		hf_counter_add(&s->node->stats.sessions_slow, 1);
		transport_close(s, 1008, "slow reader");
		return HF_EBUSY;
	}
	struct waiting *w = malloc(sizeof *w + (shared ? 0 : text.length));
	if (!w) {
		transport_close(s, 1011, "out of memory");
		return HF_ENOMEM;
	}
	*w = (struct waiting){.shared = shared ? hf_websocket_message_ref(shared) : NULL, .length = text.length};
	if (!shared && text.length > 0)
		memcpy(w->bytes, text.data, text.length);
	if (s->last)
		s->last->next = w;
	else
		s->first = w;
	s->last = w;
	count_queued(s, text.length, true);
	return HF_OK;
}

static int send_or_wait(struct hf_worker_session *s, struct hf_websocket_message *shared, struct hf_slice text)
{
	if (s->is_dead || !s->stream)
		return HF_ECLOSED;
	int r = s->first ? HF_EBUSY : hf_relay_stream_send(s->stream, text, true);
	if (r == HF_EBUSY)
		return wait_in_queue(s, shared, text);
	if (r < 0)
		transport_close(s, r == HF_ETOOBIG ? 1009 : 1011, hf_error_text(r));
	return r;
}

static int transport_send_shared(void *link, struct hf_websocket_message *message)
{
	return send_or_wait(link, message, hf_websocket_message_payload(message));
}

static int transport_send_text(void *link, struct hf_slice text)
{
	return send_or_wait(link, NULL, text);
}

static size_t transport_room(void *link)
{
	const struct hf_worker_session *s = link;
	return s->is_dead || s->queued_bytes >= ROOM_BYTES ? 0 : ROOM_BYTES - s->queued_bytes;
}

static void transport_pause(void *link)
{
	((struct hf_worker_session *)link)->is_paused = true;
}

static void transport_resume(void *link)
{
	struct hf_worker_session *s = link;
	s->is_paused = false;
	if (s->unconsumed > 0 && s->stream && !s->is_dead)
		hf_relay_stream_consumed(s->stream, s->unconsumed);
	s->unconsumed = 0;
}

static const struct hf_relay_transport transport = {.send_shared = transport_send_shared, .send_text = transport_send_text,
	.room = transport_room, .pause = transport_pause, .resume = transport_resume, .close = transport_close};

void hf_worker_sessions_end(struct hf_worker_link *link)
{
	while (link->sessions)
		transport_close(link->sessions, 1001, "going away");
}

/* ---- The stream ---- */

static void on_writable(void *context, struct hf_relay_stream *stream)
{
	struct hf_worker_session *s = context;
	int r = HF_OK;
	while (r == HF_OK && s->first && !s->is_dead) {
		struct hf_slice text = s->first->shared ? hf_websocket_message_payload(s->first->shared)
			: hf_slice(s->first->bytes, s->first->length);
		r = hf_relay_stream_send(stream, text, true);
		if (r == HF_OK)
			drop_first(s);
	}
	if (r < 0 && r != HF_EBUSY)
		transport_close(s, 1011, hf_error_text(r));
	else if (!s->is_dead && transport_room(s) > 0)
		hf_worker_client_writable(&s->client);
}

static void settle(struct hf_loop_deferred *deferred)
{
	struct hf_worker_session *s = HF_CONTAINER_OF(deferred, struct hf_worker_session, settle);
	if (!s->is_dead)
		hf_worker_client_read_end(&s->client);
}

static void take_message(struct hf_worker_session *s, struct hf_slice bytes, bool is_whole)
{
	if (s->message.length + bytes.length > s->node->options.config->message_bytes_max) {
		transport_close(s, 1009, "message too large");
		return;
	}
	if (is_whole && s->message.length == 0) {
		hf_worker_client_message(&s->client, true, bytes);
		return;
	}
	if (hf_buffer_append(&s->message, bytes.data, bytes.length) < 0) {
		transport_close(s, 1011, "out of memory");
		return;
	}
	if (is_whole) {
		hf_worker_client_message(&s->client, true, hf_buffer_slice(&s->message));
		hf_buffer_clear(&s->message);
	}
}

static void on_data(void *context, struct hf_relay_stream *stream, struct hf_slice bytes, bool is_end_of_message)
{
	struct hf_worker_session *s = context;
	if (s->is_dead)
		return;
	take_message(s, bytes, is_end_of_message);
	if (s->is_dead)
		return;
	hf_loop_defer(s->node->loop, &s->settle);
	if (s->is_paused)
		s->unconsumed += bytes.length;
	else
		hf_relay_stream_consumed(stream, bytes.length);
}

static void on_finished(void *context, struct hf_relay_stream *stream)
{
	transport_close(context, 1000, "");
}

static void on_ended(void *context, struct hf_relay_stream *stream, int code, uint32_t reset_code, struct hf_slice reason)
{
	struct hf_worker_session *s = context;
	s->stream = NULL;
	bury(s);
}

static const struct hf_relay_stream_events stream_events = {.data = on_data, .writable = on_writable, .finished = on_finished,
	.ended = on_ended};

/* ---- Beginning ---- */

static struct hf_worker_session *new_session(struct hf_worker_link *link, struct hf_relay_stream *stream)
{
	struct hf_worker_node *node = link->node;
	struct hf_worker_session *s = node->session_count < HF_WORKER_SESSION_COUNT_MAX && !node->is_ending ? calloc(1, sizeof *s) : NULL;
	if (!s)
		return NULL;
	s->node = node;
	s->link = link;
	s->stream = stream;
	s->settle.run = settle;
	HF_LIST_PUSH(link->sessions, s);
	node->session_count++;
	hf_gauge_add(&node->stats.sessions, 1);
	hf_counter_add(&node->stats.sessions_opened, 1);
	hf_relay_stream_accept(stream, &stream_events, s);
	return s;
}

static int join_client(struct hf_worker_session *s, struct hf_slice name, const struct hf_relay_stream_open *open)
{
	struct hf_worker_node *node = s->node;
	struct hf_worker_relay *relay = hf_worker_find_relay(node, name);
	if (relay && !hf_worker_relay_admits(node, relay, hf_worker_field(open, "x-auth-token")))
		return HF_EDENIED;
	if (relay) {
		struct hf_slice hex = hf_worker_field(open, "x-challenge");
		uint8_t challenge[HF_RELAY_CHALLENGE_BYTES];
		bool has_challenge = hex.length == 2 * sizeof challenge && hf_hex_decode(challenge, hex.data, sizeof challenge);
		struct hf_relay_client client = {.transport = &transport, .link = s, .url = hf_worker_url(s->link->gateway), .source = HF_SOURCE_PUBLIC,
			.may_resume = true, .challenge = has_challenge ? challenge : NULL};
		return hf_relay_connect(relay->relay, &client, &s->client.connection);
	}
	struct hf_worker_replica *replica = hf_worker_find_replica(node, name);
	struct hf_worker_reader_options reader = {.transport = &transport, .link = s,
		.tells_version = hf_worker_field(open, "x-snapshot").length > 0};
	return replica ? hf_worker_reader_new(replica, &reader, &s->client.reader) : HF_ENOTFOUND;
}

void hf_worker_session_open(struct hf_worker_link *link, struct hf_relay_stream *stream, const struct hf_relay_stream_open *open)
{
	struct hf_slice name = hf_worker_field(open, "x-relay-key");
	struct hf_worker_session *s = new_session(link, stream);
	if (!s) {
		hf_counter_add(&link->node->stats.sessions_refused, 1);
		return;
	}
	int r = hf_relay_stream_send_head(stream, 101, NULL, 0);
	if (s->is_dead) /* the channel has ended meanwhile */
		return;
	if (r == HF_OK)
		r = join_client(s, name.length > 0 ? name : hf_worker_without_query(open->path), open);
	if (r == HF_OK)
		return;
	hf_counter_add(&link->node->stats.sessions_refused, 1);
	if (r == HF_EDENIED)
		transport_close(s, 4403, "Authentication failed");
	else if (r == HF_ENOTFOUND)
		transport_close(s, 4404, "Relay not served here");
	else
		transport_close(s, 1011, hf_error_text(r));
}
