/* The face that the front door sees, and behind it the streams of our own workers. What a worker cannot say in time, the sweep says: no
 * event comes from within a call of the owner's.
 */
#include <stdio.h>
#include <stdlib.h>

#include "service/gateway/workers_private.h"

/* ---- Life ---- */

void hf_worker_stream_enter(struct hf_worker_stream *s)
{
	s->uses++;
}

static void unlink_stream(struct hf_worker_stream *s)
{
	struct hf_worker *worker = s->worker;
	if (!worker)
		return;
	HF_LIST_REMOVE(worker->streams, s);
	worker->stream_count--;
	hf_gauge_add(&worker->pool->streams_now, -1);
	s->worker = NULL;
}

void hf_worker_stream_leave(struct hf_worker_stream *s)
{
	if (--s->uses > 0 || !s->is_closed)
		return;
	hf_buffer_free(&s->answer); /* of which a part may be with the owner until now */
	free(s);
}

/* Nothing comes of it any more. */
static void close_stream(struct hf_worker_stream *s)
{
	s->is_closed = true;
	hf_worker_hypertuna_release(s);
	unlink_stream(s);
}

void hf_worker_stream_note_end(struct hf_worker_stream *s, int code, const char *why)
{
	if (s->has_ended || s->is_closed)
		return;
	s->has_ended = true;
	s->end_code = code;
	s->end_why = why;
	hf_workers_settle(s->worker->pool);
}

/* Between enter and leave. */
static void tell_ended(struct hf_worker_stream *s, int code, uint32_t close_code, const char *why)
{
	if (s->is_closed)
		return;
	close_stream(s);
	s->events->ended(s->context, code, close_code, why);
}

void hf_worker_stream_turn(struct hf_worker_stream *s)
{
	s->needs_turn = false;
	s->uses++;
	if (s->worker->is_hypertuna && !s->is_closed)
		hf_worker_hypertuna_turn(s);
	if (s->has_ended)
		tell_ended(s, s->end_code, 0, s->end_why);
	hf_worker_stream_leave(s);
}

void hf_worker_stream_abandon(struct hf_worker_stream *s)
{
	s->uses++;
	if (s->has_ended)
		tell_ended(s, s->end_code, 0, s->end_why);
	else
		tell_ended(s, HF_ECLOSED, 0, "The worker has gone.");
	hf_worker_stream_leave(s);
}

/* ---- Streams of ours ---- */

static void on_head(void *context, struct hf_relay_stream *stream, int status, const struct hf_http_field *fields, size_t field_count)
{
	struct hf_worker_stream *s = context;
	s->events->head(s->context, status, fields, field_count);
}

static void on_data(void *context, struct hf_relay_stream *stream, struct hf_slice bytes, bool is_end_of_message)
{
	struct hf_worker_stream *s = context;
	s->events->data(s->context, bytes, is_end_of_message);
}

static void on_writable(void *context, struct hf_relay_stream *stream)
{
	struct hf_worker_stream *s = context;
	if (s->events->writable)
		s->events->writable(s->context);
}

/* A WebSocket that the worker has ended has nothing more to be told; an HTTP request was ended with its body. */
static void on_finished(void *context, struct hf_relay_stream *stream)
{
	hf_relay_stream_end(stream);
}

static void on_ended(void *context, struct hf_relay_stream *stream, int code, uint32_t reset_code, struct hf_slice reason)
{
	struct hf_worker_stream *s = context;
	char why[HF_RELAY_STREAM_REASON_BYTES_MAX + 1];
	s->stream = NULL;
	if (code == HF_ECLOSED) {
		/* It may come from within a call that sends. */
		hf_worker_stream_note_end(s, HF_ECLOSED, "The worker has gone.");
		return;
	}
	snprintf(why, sizeof why, "%.*s", (int)reason.length, reason.length > 0 ? (const char *)reason.data : "");
	s->uses++;
	tell_ended(s, code, reset_code, why);
	hf_worker_stream_leave(s);
}

static const struct hf_relay_stream_events stream_events = {
	.head = on_head, .data = on_data, .writable = on_writable, .finished = on_finished, .ended = on_ended};

/* The client's own fields but those that only a gateway may say, and these. */
static int collect_fields(const struct hf_worker_request *request, struct hf_http_field fields[HF_RELAY_STREAM_FIELDS_MAX], size_t *count)
{
	*count = 0;
	for (size_t i = 0; i < request->field_count; i++) {
		struct hf_slice name = request->fields[i].name;
		if (hf_http_name_equal(name, "x-relay-key") || hf_http_name_equal(name, "x-auth-token"))
			continue;
		if (*count + 2 >= HF_RELAY_STREAM_FIELDS_MAX)
			return HF_ETOOBIG;
		fields[(*count)++] = request->fields[i];
	}
	if (request->relay_key.length > 0)
		fields[(*count)++] = (struct hf_http_field){HF_SLICE_LITERAL("x-relay-key"), request->relay_key};
	if (request->auth_token.length > 0)
		fields[(*count)++] = (struct hf_http_field){HF_SLICE_LITERAL("x-auth-token"), request->auth_token};
	return HF_OK;
}

static int open_ours(struct hf_worker_stream *s, const struct hf_worker_request *request)
{
	struct hf_http_field fields[HF_RELAY_STREAM_FIELDS_MAX];
	struct hf_relay_stream_open open = {
		.kind = (enum hf_relay_stream_kind)request->kind, .method = request->method, .path = request->path, .fields = fields};
	int r = collect_fields(request, fields, &open.field_count);
	if (r == HF_OK && request->body.length > HF_RELAY_STREAM_SEND_BYTES_MAX)
		r = HF_ETOOBIG;
	if (r == HF_OK)
		r = hf_relay_stream_new(s->worker->relay_streams, &open, &stream_events, s, &s->stream);
	if (r < 0 || request->kind == HF_WORKER_WEBSOCKET)
		return r;
	if (request->body.length > 0)
		r = hf_relay_stream_send(s->stream, request->body, true);
	if (r == HF_OK) {
		hf_relay_stream_end(s->stream);
	} else if (s->stream) {
		hf_relay_stream_reset(s->stream, HF_RELAY_STREAM_CANCELED, hf_slice(NULL, 0));
		s->stream = NULL;
	}
	return r;
}

/* ---- Both ---- */

int hf_worker_open(struct hf_worker *worker, const struct hf_worker_request *request, const struct hf_worker_stream_events *events,
	void *context, struct hf_worker_stream **out)
{
	*out = NULL;
	if (worker->has_ended)
		return HF_ECLOSED;
	if (worker->stream_count >= worker->pool->options.stream_count_max)
		return HF_EBUSY;
	struct hf_worker_stream *s = calloc(1, sizeof *s);
	if (!s)
		return HF_ENOMEM;
	s->worker = worker;
	s->kind = request->kind;
	s->events = events;
	s->context = context;
	s->uses = 1;
	HF_LIST_PUSH(worker->streams, s);
	worker->stream_count++;
	hf_gauge_add(&worker->pool->streams_now, 1);
	int r = worker->is_hypertuna ? hf_worker_hypertuna_open(s, request) : open_ours(s, request);
	if (r < 0)
		close_stream(s);
	else
		*out = s;
	hf_worker_stream_leave(s);
	hf_workers_pulse(worker->pool);
	return r;
}

int hf_worker_stream_send(struct hf_worker_stream *s, struct hf_slice bytes, bool is_end_of_message)
{
	if (s->has_ended || s->is_closed)
		return HF_ECLOSED;
	if (s->kind != HF_WORKER_WEBSOCKET)
		return HF_EINVAL;
	if (s->worker->is_hypertuna)
		return hf_worker_hypertuna_send(s, bytes, is_end_of_message);
	return hf_relay_stream_send(s->stream, bytes, is_end_of_message);
}

size_t hf_worker_stream_room(const struct hf_worker_stream *s)
{
	if (s->has_ended || s->is_closed || s->kind != HF_WORKER_WEBSOCKET)
		return 0;
	return s->worker->is_hypertuna ? hf_worker_hypertuna_room(s) : hf_relay_stream_room(s->stream);
}

void hf_worker_stream_consumed(struct hf_worker_stream *s, size_t bytes)
{
	if (s->has_ended || s->is_closed)
		return;
	if (!s->worker->is_hypertuna) {
		hf_relay_stream_consumed(s->stream, bytes);
		return;
	}
	s->unacknowledged -= bytes < s->unacknowledged ? bytes : s->unacknowledged;
	if (s->answer.length > s->answer_at) {
		s->needs_turn = true;
		hf_workers_settle(s->worker->pool);
	}
}

void hf_worker_stream_close(struct hf_worker_stream *s, uint32_t code, const char *reason)
{
	if (s->is_closed)
		return;
	s->uses++;
	struct hf_relay_stream *stream = s->stream;
	s->stream = NULL;
	close_stream(s);
	if (stream)
		hf_relay_stream_reset(stream, code, hf_slice_text(reason));
	hf_worker_stream_leave(s);
}

struct hf_worker *hf_worker_stream_worker(const struct hf_worker_stream *s)
{
	return s->worker;
}
