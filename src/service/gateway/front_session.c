/* What a session has asked lies in its items until it is over, so that any worker can be given all of it at any time: the first one, and
 * every other after it. What else a client said (other kinds of messages) is passed on once and forgotten. */
#include "service/gateway/front_private.h"

#include <stdlib.h>

#include "codec/hex.h"

/* ---- The client's side ---- */

void hf_front_session_count(struct hf_front_session *s)
{
	size_t bytes = hf_front_auth_bytes(s) + s->request_bytes + s->publish_bytes + s->outbox.capacity + s->inbox.capacity;
	for (const struct hf_front_item *item = s->items; item; item = item->next)
		bytes += sizeof *item + hf_front_seen_bytes(&item->seen);
	hf_memory_change(hf_loop_memory(s->front->options.loop), HF_MEMORY_REQUESTS, &s->held_bytes, bytes);
}

void hf_front_session_say(struct hf_front_session *s, int status)
{
	if (status == HF_OK && s->ws && s->state != HF_FRONT_CLOSING)
		hf_websocket_send_text(s->ws, hf_buffer_slice(&s->front->scratch));
	hf_buffer_clear(&s->front->scratch);
	if (status < 0)
		hf_front_session_close(s, 1011, "Internal error");
}

void hf_front_session_read_or_pause(struct hf_front_session *s)
{
	bool pauses = s->is_blocked || s->publish_count >= HF_FRONT_PUBLISH_COUNT_MAX || s->publish_bytes >= HF_FRONT_PUBLISH_BYTES_MAX;
	bool resumes = !s->is_blocked && s->publish_count <= HF_FRONT_PUBLISH_COUNT_MAX / 2 && s->publish_bytes <= HF_FRONT_PUBLISH_BYTES_MAX / 2;
	if (!s->ws || s->state == HF_FRONT_CLOSING)
		return;
	if (pauses && !s->is_paused)
		hf_websocket_pause(s->ws);
	else if (resumes && s->is_paused)
		hf_websocket_resume(s->ws);
	else
		return;
	s->is_paused = pauses;
}

static void on_message(void *context, struct hf_websocket *ws, bool is_text, struct hf_slice message)
{
	struct hf_front_session *s = context;
	if (s->state == HF_FRONT_CLOSING)
		return;
	hf_front_take_message(s, message);
	hf_front_session_count(s);
}

static void on_closed(void *context, struct hf_websocket *ws, uint16_t code)
{
	struct hf_front_session *s = context;
	s->ws = NULL;
	hf_front_session_free(s);
}

static void on_client_writable(void *context, struct hf_websocket *ws)
{
	struct hf_front_session *s = context;
	if (s->stream && s->unconsumed > 0)
		hf_worker_stream_consumed(s->stream, s->unconsumed);
	s->unconsumed = 0;
}

static size_t held(const void *context)
{
	return ((const struct hf_front_session *)context)->held_bytes;
}

const struct hf_websocket_handler hf_front_session_handler = {
	.message = on_message, .closed = on_closed, .writable = on_client_writable, .held = held};

/* ---- The worker's side ---- */

static void let_stream_go(struct hf_front_session *s)
{
	s->stream = NULL;
	s->has_head = s->is_blocked = false;
	s->unconsumed = 0;
	hf_buffer_free(&s->outbox);
	hf_buffer_free(&s->inbox);
	hf_dispatcher_session(s->front->dispatcher, s->peer, -1);
}

static void on_head(void *context, int status, const struct hf_http_field *fields, size_t field_count)
{
	struct hf_front_session *s = context;
	if (status != 101) {
		hf_front_session_move(s, true);
		return;
	}
	s->has_head = true;
	s->tries = 0;
	s->lost_us = 0;
	s->has_avoided = false;
	hf_front_job_over(s->front, &s->job, HF_DISPATCH_OK);
}

static void on_data(void *context, struct hf_slice bytes, bool is_end_of_message)
{
	struct hf_front_session *s = context;
	if (s->state == HF_FRONT_CLOSING)
		return;
	bool is_whole = is_end_of_message && s->inbox.length == 0;
	if (bytes.length > HF_FRONT_ANSWER_BYTES_MAX - s->inbox.length) {
		hf_front_session_move(s, true);
		return;
	}
	if (!is_whole && hf_buffer_append(&s->inbox, bytes.data, bytes.length) < 0) {
		hf_front_session_close(s, 1011, "Internal error");
		return;
	}
	struct hf_worker_stream *stream = s->stream;
	if (is_end_of_message) {
		struct hf_buffer whole = s->inbox;
		s->inbox = (struct hf_buffer){0};
		hf_front_take_answer(s, is_whole ? bytes : hf_buffer_slice(&whole));
		hf_buffer_free(&whole);
	}
	if (s->stream != stream)
		return;
	s->unconsumed += bytes.length;
	if (hf_websocket_send_room(s->ws) > 0)
		on_client_writable(s, s->ws);
	hf_front_session_count(s);
}

static int send_to_worker(struct hf_front_session *s, struct hf_slice message)
{
	int status = hf_worker_stream_send(s->stream, message, true);
	s->is_blocked = status == HF_EBUSY;
	return status;
}

static void on_writable(void *context)
{
	struct hf_front_session *s = context;
	size_t at = 0;
	s->is_blocked = false;
	while (at < s->outbox.length && !s->is_blocked) {
		size_t length = hf_load_le32(s->outbox.data + at);
		int status = send_to_worker(s, hf_slice(s->outbox.data + at + 4, length));
		if (status == HF_ECLOSED)
			return; /* `ended` is to come, and another worker gets all of it */
		if (status < 0 && status != HF_EBUSY) {
			hf_front_session_move(s, true);
			return;
		}
		at += status == HF_OK ? 4 + length : 0;
	}
	hf_buffer_consume(&s->outbox, at);
	if (s->outbox.length == 0)
		hf_buffer_free(&s->outbox);
	hf_front_session_read_or_pause(s);
	hf_front_session_count(s);
}

void hf_front_session_post(struct hf_front_session *s, struct hf_slice message)
{
	int status = s->is_blocked ? HF_EBUSY : send_to_worker(s, message);
	uint8_t length[4];
	hf_store_le32(length, (uint32_t)message.length);
	if (status == HF_EBUSY) {
		status = hf_buffer_reserve(&s->outbox, message.length + 4);
		if (status == HF_OK) {
			hf_buffer_append(&s->outbox, length, sizeof length);
			hf_buffer_append(&s->outbox, message.data, message.length);
		}
		hf_front_session_read_or_pause(s);
	}
	/* Of a stream that is closed `ended` is to come, and another worker gets what lies in items. */
	if (status < 0 && status != HF_ECLOSED)
		hf_front_session_close(s, 1011, "Internal error");
}

/* What a relay itself decides is the client's to hear; where only the worker ends, another can go on. */
static bool is_for_client(uint32_t close_code)
{
	return (close_code >= 4000 && close_code < 5000) || close_code == 1002 || close_code == 1003 ||
	       (close_code >= 1007 && close_code <= 1010);
}

static void on_ended(void *context, int code, uint32_t close_code, const char *why)
{
	struct hf_front_session *s = context;
	bool was_open = s->has_head;
	let_stream_go(s);
	if (s->state == HF_FRONT_CLOSING)
		return;
	if (code == HF_ECANCELED && is_for_client(close_code)) {
		hf_front_session_close(s, (uint16_t)close_code, why);
		return;
	}
	/* A worker that goes away, or says so, is not at fault; one that does not open what it was given is. */
	bool is_going = code == HF_OK || code == HF_ECLOSED || (code == HF_ECANCELED && close_code >= 1000);
	hf_front_session_move(s, !is_going || (!was_open && code != HF_ECLOSED));
}

static const struct hf_worker_stream_events stream_events = {
	.head = on_head, .data = on_data, .writable = on_writable, .ended = on_ended};

void hf_front_session_open(struct hf_front_session *s, const uint8_t peer[static 32])
{
	struct hf_front *front = s->front;
	struct hf_worker *worker = hf_workers_find(front->options.workers, peer);
	const struct hf_registration *record = hf_front_record(front, s->key);
	memcpy(s->peer, peer, sizeof s->peer);
	if (!worker || !record) {
		hf_front_session_move(s, false);
		return;
	}
	char challenge[2 * sizeof s->challenge + 1] = "";
	const struct hf_http_field field = {HF_SLICE_LITERAL("x-challenge"), hf_slice(challenge, sizeof challenge - 1)};
	struct hf_worker_request request = {.kind = HF_WORKER_WEBSOCKET, .method = HF_SLICE_LITERAL("GET"),
		.relay_key = hf_slice_text(s->key), .auth_token = hf_slice_text(s->auth_token ? s->auth_token : ""), .fields = &field,
		.field_count = 1};
	hf_hex_encode(challenge, s->challenge, sizeof s->challenge);
	hf_buffer_clear(&front->scratch);
	int status = hf_buffer_printf(&front->scratch, "/%s", record->path);
	request.path = hf_buffer_slice(&front->scratch);
	if (status == HF_OK)
		status = hf_worker_open(worker, &request, &stream_events, s, &s->stream);
	hf_buffer_clear(&front->scratch);
	if (status < 0) {
		s->stream = NULL;
		hf_front_session_move(s, status != HF_ECLOSED && status != HF_EBUSY && status != HF_ENOMEM);
		return;
	}
	s->state = HF_FRONT_OPENED;
	hf_dispatcher_session(front->dispatcher, s->peer, 1);
	hf_front_session_wake(s, 0);
	hf_front_auth_repeat(s);
	hf_front_items_dispatch(s);
}

/* ---- From one worker to another ---- */

void hf_front_session_seek(struct hf_front_session *s)
{
	const struct hf_registration *record = hf_front_record(s->front, s->key);
	uint8_t peer[32];
	if (!record) {
		hf_front_session_close(s, 4404, "Relay not registered");
		return;
	}
	s->state = HF_FRONT_OPENING;
	int status = hf_front_schedule(s->front, &s->job, record, NULL, s->has_avoided ? s->avoided : NULL, 1, s->number, peer);
	if (status == HF_OK)
		hf_front_session_open(s, peer);
	else if (status != HF_EWAIT)
		hf_front_session_lose(s);
}

void hf_front_session_lose(struct hf_front_session *s)
{
	uint64_t now_us = hf_front_now_us(s->front);
	if (s->lost_us == 0)
		s->lost_us = now_us;
	if (now_us - s->lost_us < HF_FRONT_GRACE_US) {
		s->state = HF_FRONT_LOST;
		hf_front_session_wake(s, HF_FRONT_RETRY_MS);
		return;
	}
	s->state = HF_FRONT_IDLE;
	s->lost_us = 0;
	s->tries = 0;
	s->has_avoided = false;
	hf_front_session_wake(s, 0);
	hf_front_items_refuse(s, HF_FRONT_NO_PEERS, "error: no worker of this relay can be reached");
}

void hf_front_session_move(struct hf_front_session *s, bool blames)
{
	struct hf_front *front = s->front;
	struct hf_worker_stream *stream = s->stream;
	if (s->state == HF_FRONT_CLOSING)
		return;
	if (stream) {
		let_stream_go(s);
		hf_worker_stream_close(stream, HF_RELAY_STREAM_REASSIGNED, "another worker has it now");
	}
	memcpy(s->avoided, s->peer, sizeof s->avoided);
	s->has_avoided = true;
	s->state = HF_FRONT_OPENING;
	hf_counter_add(&front->moved, 1);
	hf_front_items_moved(s);
	if (s->job.number)
		hf_front_job_over(front, &s->job, blames ? HF_DISPATCH_FAILED : HF_DISPATCH_ABANDONED);
	else if (blames)
		hf_dispatcher_blame(front->dispatcher, hf_front_now_us(front), s->avoided);
	hf_front_arm(front);
	if (s->state != HF_FRONT_OPENING || s->job.number)
		return; /* what was told meanwhile has moved it on */
	const struct hf_registration *record = hf_front_record(front, s->key);
	bool has_other = record && hf_front_has_worker(front, record, s->avoided);
	if (++s->tries <= HF_FRONT_TRIES_MAX && has_other)
		hf_front_session_seek(s);
	else
		hf_front_session_lose(s);
}

/* ---- Life ---- */

void hf_front_session_begin(struct hf_front_session *s)
{
	hf_front_session_wake(s, 0);
	hf_front_session_seek(s);
}

void hf_front_session_wake(struct hf_front_session *s, uint64_t delay_ms)
{
	struct hf_loop *loop = s->front->options.loop;
	uint64_t now_ms = hf_env_wall_ms(s->front->env);
	if (delay_ms > 0)
		hf_loop_timer_set(loop, &s->timer, delay_ms);
	else if (s->has_token)
		hf_loop_timer_set(loop, &s->timer, s->expires_ms > now_ms ? s->expires_ms - now_ms : 0);
	else
		hf_loop_timer_cancel(loop, &s->timer);
}

void hf_front_session_timer(struct hf_timer *timer)
{
	struct hf_front_session *s = HF_CONTAINER_OF(timer, struct hf_front_session, timer);
	if (s->state == HF_FRONT_AWAITS_TOKEN) {
		hf_front_refuse(s->front, HF_FRONT_TOKEN_REQUIRED);
		hf_front_session_close(s, 4403, "Token required");
	} else if (s->has_token && hf_env_wall_ms(s->front->env) >= s->expires_ms) {
		hf_front_refuse(s->front, HF_FRONT_TOKEN_ENDED);
		hf_front_session_close(s, 4403, "Token expired");
	} else if (s->state == HF_FRONT_LOST) {
		hf_front_session_seek(s);
	} else {
		hf_front_session_wake(s, 0);
	}
}

static void leave_worker(struct hf_front_session *s, uint32_t code, const char *reason)
{
	struct hf_worker_stream *stream = s->stream;
	if (!stream)
		return;
	let_stream_go(s);
	hf_worker_stream_close(stream, code, reason);
}

void hf_front_session_close(struct hf_front_session *s, uint16_t code, const char *reason)
{
	if (s->state == HF_FRONT_CLOSING)
		return;
	s->state = HF_FRONT_CLOSING;
	hf_loop_timer_cancel(s->front->options.loop, &s->timer);
	leave_worker(s, code == 4403 ? HF_RELAY_STREAM_REVOKED : HF_RELAY_STREAM_CANCELED, reason);
	hf_front_items_free(s);
	hf_front_job_over(s->front, &s->job, HF_DISPATCH_ABANDONED);
	hf_websocket_close(s->ws, code, reason);
}

void hf_front_session_free(struct hf_front_session *s)
{
	struct hf_front *front = s->front;
	s->state = HF_FRONT_CLOSING;
	hf_loop_timer_cancel(front->options.loop, &s->timer);
	leave_worker(s, HF_RELAY_STREAM_CANCELED, "the client has gone");
	hf_front_items_free(s);
	hf_memory_release(hf_loop_memory(front->options.loop), HF_MEMORY_REQUESTS, s->held_bytes);
	HF_LIST_REMOVE(front->sessions, s);
	front->stats.session_count--;
	hf_front_job_over(front, &s->job, HF_DISPATCH_ABANDONED);
	free(s->key);
	hf_front_auth_free(s);
	free(s->auth_token);
	free(s);
}
