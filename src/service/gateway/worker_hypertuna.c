/* A stream to a worker that has only requests: a client's messages are posted one at a time, in order; events are asked for once a second
 * while there are subscriptions, and at once after a REQ. Each poll repeats the EOSE of every subscription: the first is passed on. An
 * HTTP exchange is one request, its answer given as the owner takes it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "codec/hex.h"
#include "codec/json.h"
#include "service/gateway/workers_private.h"

#define QUEUE_HIGH_BYTES (64u << 10)
#define FRAME_DEPTH_MAX 16
#define PIECE_BYTES (64u << 10)

/* ---- Subscriptions, by the hash of their id ---- */

static struct hf_worker_subscription *find_subscription(struct hf_worker_stream *s, struct hf_slice id)
{
	uint64_t hash = hf_hash64(id.data, id.length, s->worker->pool->by_key.seed);
	for (size_t i = 0; i < s->subscription_count; i++)
		if (s->subscriptions[i].hash == hash)
			return &s->subscriptions[i];
	return NULL;
}

static void subscribe(struct hf_worker_stream *s, struct hf_slice id)
{
	struct hf_worker_subscription *known = find_subscription(s, id);
	uint64_t hash = hf_hash64(id.data, id.length, s->worker->pool->by_key.seed);
	if (known)
		known->has_ended = false;
	else if (s->subscription_count < HF_WORKER_SUBSCRIPTIONS_MAX)
		s->subscriptions[s->subscription_count++] = (struct hf_worker_subscription){.hash = hash};
	else
		s->polls_for_ever = true;
}

static void unsubscribe(struct hf_worker_stream *s, struct hf_slice id)
{
	struct hf_worker_subscription *known = find_subscription(s, id);
	if (known)
		*known = s->subscriptions[--s->subscription_count];
}

/* ["REQ","id",… : the first two strings of a frame. */
static bool frame_head(struct hf_slice frame, struct hf_slice *type, struct hf_slice *id)
{
	struct hf_json in;
	struct hf_json_token token;
	hf_json_init(&in, frame, FRAME_DEPTH_MAX);
	if (hf_json_next(&in, &token) < 0 || token.type != HF_JSON_ARRAY || hf_json_next(&in, &token) < 0 || token.type != HF_JSON_STRING)
		return false;
	*type = token.raw;
	*id = hf_slice(NULL, 0);
	if (hf_json_next(&in, &token) == HF_OK && token.type == HF_JSON_STRING)
		*id = token.raw;
	return true;
}

/* What a message of the client's does to the polling. */
static void note_sent(struct hf_worker_stream *s, struct hf_slice message)
{
	struct hf_slice type, id;
	if (!frame_head(message, &type, &id))
		return;
	if (hf_slice_equal(type, HF_SLICE_LITERAL("REQ")))
		subscribe(s, id);
	else if (hf_slice_equal(type, HF_SLICE_LITERAL("CLOSE")))
		unsubscribe(s, id);
}

/* ---- What comes back ---- */

static void give(struct hf_worker_stream *s, struct hf_slice bytes, bool is_end_of_message)
{
	s->unacknowledged += bytes.length;
	s->events->data(s->context, bytes, is_end_of_message);
}

static void give_frame(struct hf_worker_stream *s, struct hf_slice frame)
{
	struct hf_slice type, id;
	if (!frame_head(frame, &type, &id) || hf_slice_equal(type, HF_SLICE_LITERAL("ACK")))
		return;
	struct hf_worker_subscription *subscription = id.length > 0 ? find_subscription(s, id) : NULL;
	if (subscription && hf_slice_equal(type, HF_SLICE_LITERAL("EOSE"))) {
		if (subscription->has_ended)
			return;
		subscription->has_ended = true;
	}
	if (subscription && hf_slice_equal(type, HF_SLICE_LITERAL("CLOSED")))
		unsubscribe(s, id);
	give(s, frame, true);
}

/* One frame, or an array of frames. False: neither. */
static bool give_frames(struct hf_worker_stream *s, struct hf_slice text)
{
	struct hf_json in;
	struct hf_json_token token;
	hf_json_init(&in, text, FRAME_DEPTH_MAX);
	if (hf_json_skip(&in) < 0 || hf_json_next(&in, &token) < 0)
		return false;
	hf_json_init(&in, text, FRAME_DEPTH_MAX);
	if (hf_json_next(&in, &token) < 0 || token.type != HF_JSON_ARRAY)
		return false;
	while (!s->is_closed && hf_json_open_value(&in) == HF_OK && *in.at == '[') {
		const uint8_t *begun = in.at;
		if (hf_json_skip(&in) < 0)
			return true;
		give_frame(s, hf_slice(begun, (size_t)(in.at - begun)));
	}
	if (in.at < in.end && *in.at == '"')
		give_frame(s, text);
	return true;
}

static void give_notice(struct hf_worker_stream *s, int status)
{
	char text[96];
	int length = snprintf(text, sizeof text, "[\"NOTICE\",\"error: the worker has answered with status %d\"]", status);
	give(s, hf_slice(text, (size_t)length), true);
}

static void give_lines(struct hf_worker_stream *s, const struct hf_relay_response *response)
{
	const uint8_t *at = response->body.data, *end = at + response->body.length;
	bool has_frames = false;
	while (at < end && !s->is_closed) {
		const uint8_t *line = memchr(at, '\n', (size_t)(end - at));
		size_t length = (size_t)((line ? line : end) - at);
		has_frames = (length > 0 && give_frames(s, hf_slice(at, length))) || has_frames;
		at += length + 1;
	}
	if (!has_frames && response->status != 200 && !s->is_closed)
		give_notice(s, response->status);
}

/* ---- Posting ---- */

static int put_post(struct hf_worker_stream *s, struct hf_slice message, struct hf_buffer *out)
{
	int r = hf_buffer_append_text(out, "{\"message\":");
	if (r == HF_OK)
		r = hf_json_append_string(out, message);
	return r == HF_OK ? hf_buffer_printf(out, ",\"connectionKey\":\"%s\"}", s->connection_key) : r;
}

static int ask(struct hf_worker_stream *s, const char *method, const struct hf_buffer *path, struct hf_slice body,
	hf_relay_channel_reply *reply, uint64_t *id)
{
	const struct hf_http_field fields[] = {
		{HF_SLICE_LITERAL("content-type"), HF_SLICE_LITERAL("application/json")},
		{HF_SLICE_LITERAL("x-auth-token"), hf_buffer_slice(&s->auth_token)},
	};
	const struct hf_relay_request request = {.method = hf_slice_text(method), .path = hf_buffer_slice(path), .fields = fields,
		.field_count = s->auth_token.length > 0 ? 2 : 1, .body = body};
	return hf_worker_ask(s->worker, &request, reply, s, id);
}

static void post_next(struct hf_worker_stream *s);
static void poll_now(struct hf_worker_stream *s);

static void fail_stream(struct hf_worker_stream *s, int code)
{
	hf_worker_stream_note_end(s, code, code == HF_ETIMEOUT ? "The worker did not answer in time." :
		code == HF_ECLOSED ? "The worker has gone." : "The worker's answer could not be taken.");
}

static void on_posted(void *context, int result, const struct hf_relay_response *response)
{
	struct hf_worker_stream *s = context;
	s->is_requesting = false;
	if (result < 0) {
		fail_stream(s, result);
		return;
	}
	hf_worker_stream_enter(s);
	give_lines(s, response);
	if (!s->is_closed && !s->has_ended) {
		poll_now(s);
		post_next(s);
		s->needs_turn = s->wants_writable;
		if (s->needs_turn)
			hf_workers_settle(s->worker->pool);
	}
	hf_worker_stream_leave(s);
}

static void post_next(struct hf_worker_stream *s)
{
	struct hf_worker_message *message = s->first;
	struct hf_buffer body = {0};
	if (!message || s->is_requesting)
		return;
	int r = put_post(s, hf_slice(message->data, message->length), &body);
	if (r == HF_OK)
		r = ask(s, "POST", &s->post_path, hf_buffer_slice(&body), on_posted, &s->request);
	hf_buffer_free(&body);
	if (r == HF_EBUSY)
		return; /* tried again with the next tick */
	if (r < 0) {
		fail_stream(s, r);
		return;
	}
	s->is_requesting = true;
	note_sent(s, hf_slice(message->data, message->length));
	s->first = message->next;
	if (!s->first)
		s->last = &s->first;
	s->queued_bytes -= message->length;
	free(message);
}

size_t hf_worker_hypertuna_room(const struct hf_worker_stream *s)
{
	return s->queued_bytes < QUEUE_HIGH_BYTES || !s->first ? HF_WORKERS_HYPERTUNA_QUEUE_BYTES_MAX - s->partial.length : 0;
}

static int queue_message(struct hf_worker_stream *s, struct hf_slice bytes)
{
	struct hf_worker_message *message = malloc(sizeof *message + s->partial.length + bytes.length);
	if (!message)
		return HF_ENOMEM;
	message->next = NULL;
	message->length = s->partial.length + bytes.length;
	if (s->partial.length > 0)
		memcpy(message->data, s->partial.data, s->partial.length);
	if (bytes.length > 0)
		memcpy(message->data + s->partial.length, bytes.data, bytes.length);
	hf_buffer_free(&s->partial);
	*s->last = message;
	s->last = &message->next;
	return HF_OK;
}

int hf_worker_hypertuna_send(struct hf_worker_stream *s, struct hf_slice bytes, bool is_end_of_message)
{
	if (bytes.length > HF_WORKERS_HYPERTUNA_QUEUE_BYTES_MAX - s->partial.length)
		return HF_ETOOBIG;
	if (hf_worker_hypertuna_room(s) == 0) {
		s->wants_writable = true;
		return HF_EBUSY;
	}
	int r = is_end_of_message ? queue_message(s, bytes) : hf_buffer_append(&s->partial, bytes.data, bytes.length);
	if (r < 0)
		return r;
	s->queued_bytes += bytes.length;
	/* From the sweep: what goes wrong is then not told from within this call. */
	s->needs_turn = true;
	hf_workers_settle(s->worker->pool);
	return HF_OK;
}

/* ---- Polling ---- */

static void on_polled(void *context, int result, const struct hf_relay_response *response)
{
	struct hf_worker_stream *s = context;
	s->is_polling = false;
	if (result < 0) {
		if (result != HF_ETIMEOUT)
			fail_stream(s, result);
		return;
	}
	hf_worker_stream_enter(s);
	give_frames(s, response->body);
	hf_worker_stream_leave(s);
}

static void poll_now(struct hf_worker_stream *s)
{
	bool has_subscriptions = s->subscription_count > 0 || s->polls_for_ever;
	if (s->kind != HF_WORKER_WEBSOCKET || !has_subscriptions || s->is_polling || s->has_ended ||
		s->unacknowledged > HF_RELAY_STREAM_WINDOW_BYTES)
		return;
	int r = ask(s, "GET", &s->poll_path, hf_slice(NULL, 0), on_polled, &s->poll);
	s->is_polling = r == HF_OK;
	if (r == HF_OK)
		hf_counter_add(&s->worker->pool->polls, 1);
	else if (r != HF_EBUSY)
		fail_stream(s, r);
}

void hf_worker_hypertuna_poll(struct hf_worker_stream *s)
{
	if (s->owes_head || s->has_ended)
		return;
	post_next(s);
	if (!s->has_ended)
		poll_now(s);
}

/* ---- HTTP ---- */

static void on_answered(void *context, int result, const struct hf_relay_response *response)
{
	struct hf_worker_stream *s = context;
	s->is_requesting = false;
	if (result == HF_OK)
		result = hf_buffer_append(&s->answer, response->body.data, response->body.length);
	if (result < 0) {
		fail_stream(s, result);
		return;
	}
	s->has_answer = true;
	s->needs_turn = true;
	hf_workers_settle(s->worker->pool);
	hf_worker_stream_enter(s);
	s->events->head(s->context, response->status, response->fields, response->field_count);
	hf_worker_stream_leave(s);
}

static void give_answer(struct hf_worker_stream *s)
{
	while (!s->is_closed && s->answer_at < s->answer.length && s->unacknowledged < HF_RELAY_STREAM_WINDOW_BYTES) {
		size_t left = s->answer.length - s->answer_at, piece = left < PIECE_BYTES ? left : PIECE_BYTES;
		const uint8_t *bytes = s->answer.data + s->answer_at;
		s->answer_at += piece;
		give(s, hf_slice(bytes, piece), piece == left);
	}
	if (!s->is_closed && s->answer_at == s->answer.length)
		hf_worker_stream_note_end(s, HF_OK, "");
}

static int open_http(struct hf_worker_stream *s, const struct hf_worker_request *request)
{
	struct hf_http_field fields[HF_RELAY_CHANNEL_FIELDS_MAX];
	struct hf_relay_request asked = {.method = request->method, .path = request->path, .fields = fields, .body = request->body};
	for (size_t i = 0; i < request->field_count; i++) {
		if (hf_http_name_equal(request->fields[i].name, "x-auth-token"))
			continue;
		if (asked.field_count + 1 >= HF_RELAY_CHANNEL_FIELDS_MAX)
			return HF_ETOOBIG;
		fields[asked.field_count++] = request->fields[i];
	}
	if (request->auth_token.length > 0)
		fields[asked.field_count++] = (struct hf_http_field){HF_SLICE_LITERAL("x-auth-token"), request->auth_token};
	int r = hf_worker_ask(s->worker, &asked, on_answered, s, &s->request);
	s->is_requesting = r == HF_OK;
	return r;
}

/* ---- What the face calls ---- */

static int put_path(struct hf_buffer *out, const char *before, struct hf_slice relay_key, const char *connection_key)
{
	int r = hf_buffer_append_text(out, before);
	if (r == HF_OK)
		r = hf_buffer_append(out, relay_key.data, relay_key.length);
	if (r == HF_OK && connection_key)
		r = hf_buffer_printf(out, "/%s", connection_key);
	return r == HF_OK && !hf_http_target_is_strict(hf_buffer_slice(out)) ? HF_EINVAL : r;
}

static int open_websocket(struct hf_worker_stream *s, const struct hf_worker_request *request)
{
	struct hf_env *env = hf_loop_env(s->worker->pool->options.loop);
	uint8_t random[16];
	if (request->relay_key.length == 0 || memchr(request->relay_key.data, '/', request->relay_key.length))
		return HF_EINVAL;
	env->random(env, random, sizeof random);
	hf_hex_encode(s->connection_key, random, sizeof random);
	s->last = &s->first;
	int r = put_path(&s->post_path, "/post/relay/", request->relay_key, NULL);
	if (r == HF_OK)
		r = put_path(&s->poll_path, "/get/relay/", request->relay_key, s->connection_key);
	if (r == HF_OK)
		r = hf_buffer_append(&s->auth_token, request->auth_token.data, request->auth_token.length);
	if (r < 0)
		return r;
	s->owes_head = s->needs_turn = true;
	hf_workers_settle(s->worker->pool);
	return HF_OK;
}

int hf_worker_hypertuna_open(struct hf_worker_stream *s, const struct hf_worker_request *request)
{
	return request->kind == HF_WORKER_HTTP ? open_http(s, request) : open_websocket(s, request);
}

void hf_worker_hypertuna_turn(struct hf_worker_stream *s)
{
	if (s->kind == HF_WORKER_HTTP) {
		if (s->has_answer)
			give_answer(s);
		return;
	}
	if (s->owes_head) {
		s->owes_head = false;
		s->events->head(s->context, 101, NULL, 0);
	}
	if (!s->is_closed && !s->has_ended)
		post_next(s);
	if (!s->is_closed && !s->has_ended && s->wants_writable && hf_worker_hypertuna_room(s) > 0) {
		s->wants_writable = false;
		if (s->events->writable)
			s->events->writable(s->context);
	}
}

void hf_worker_hypertuna_release(struct hf_worker_stream *s)
{
	struct hf_worker_message *message;
	if (s->worker && s->is_requesting)
		hf_worker_cancel(s->worker, s->request);
	if (s->worker && s->is_polling)
		hf_worker_cancel(s->worker, s->poll);
	s->is_requesting = s->is_polling = false;
	while ((message = s->first)) {
		s->first = message->next;
		free(message);
	}
	hf_buffer_free(&s->partial);
	hf_buffer_free(&s->post_path);
	hf_buffer_free(&s->poll_path);
	hf_buffer_free(&s->auth_token);
}
