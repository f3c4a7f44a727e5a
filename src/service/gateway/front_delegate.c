/* REQs of the gateway's own relay that one of the workers looks up, each by a stream of its own: the client's message goes out as it came,
 * what comes back until EOSE is handed to the relay, which judges it (service/relay/delegate.h). A worker says which version of the bee it
 * looked into, in ["SNAPSHOT", id, {"version", "fork", "limit"}], because it is asked to by the field x-snapshot. */
#include "service/gateway/front_private.h"

#include <jansson.h>
#include <stdlib.h>

#include "codec/hex.h"
#include "service/relay/delegate.h"
#include "service/relay/relay.h"

struct hf_front_question {
	struct hf_front_question *next, *previous;
	struct hf_front *front; /* NULL: it has gone while the relay judges */
	struct hf_front_job job;
	struct hf_relay_question *question;
	struct hf_worker_stream *stream;
	struct hf_buffer inbox;
	struct hf_timer timer;
	uint64_t version, fork, limit;
	bool has_snapshot, is_judged;
};

/* ---- Life ---- */

static void leave_worker(struct hf_front_question *q)
{
	struct hf_worker_stream *stream = q->stream;
	q->stream = NULL;
	hf_loop_timer_cancel(q->front->options.loop, &q->timer);
	hf_buffer_free(&q->inbox);
	if (stream)
		hf_worker_stream_close(stream, HF_RELAY_STREAM_CANCELED, "");
}

static void free_question(struct hf_front_question *q, enum hf_dispatch_outcome outcome)
{
	struct hf_front *front = q->front;
	struct hf_front_job job = q->job;
	leave_worker(q);
	HF_LIST_REMOVE(front->questions, q);
	free(q);
	hf_front_job_over(front, &job, outcome);
}

static void fail(struct hf_front_question *q, enum hf_dispatch_outcome outcome)
{
	struct hf_relay_question *question = q->question;
	free_question(q, outcome);
	hf_relay_delegate_failed(question);
}

void hf_front_question_reassign(struct hf_front_job *job)
{
	struct hf_front_question *q = HF_CONTAINER_OF(job, struct hf_front_question, job);
	if (!q->is_judged)
		fail(q, HF_DISPATCH_ABANDONED);
}

void hf_front_questions_free(struct hf_front *front)
{
	hf_front_delegate(front, NULL, NULL);
	while (front->questions) {
		struct hf_front_question *q = front->questions;
		if (!q->is_judged) {
			fail(q, HF_DISPATCH_ABANDONED);
			continue;
		}
		hf_front_job_over(front, &q->job, HF_DISPATCH_ABANDONED);
		HF_LIST_REMOVE(front->questions, q);
		q->front = NULL;
	}
}

/* ---- From the worker ---- */

static void on_timer(struct hf_timer *timer)
{
	fail(HF_CONTAINER_OF(timer, struct hf_front_question, timer), HF_DISPATCH_FAILED);
}

static bool take_snapshot(struct hf_front_question *q, struct hf_slice message)
{
	json_int_t version, fork, limit;
	json_t *array = json_loadb((const char *)message.data, message.length, 0, NULL);
	bool is_right = json_unpack(json_array_get(array, 2), "{s:I, s:I, s:I}", "version", &version, "fork", &fork, "limit", &limit) == 0 &&
		version >= 0 && fork >= 0 && limit >= 0;
	json_decref(array);
	if (!is_right)
		return false;
	q->version = (uint64_t)version;
	q->fork = (uint64_t)fork;
	q->limit = (uint64_t)limit;
	q->has_snapshot = true;
	return true;
}

static void take_end(struct hf_front_question *q)
{
	leave_worker(q);
	q->is_judged = true;
	hf_relay_delegate_answered(q->question, q->version, q->fork, q->limit);
}

static bool is_snapshot(const struct hf_nostr_frame *frame, struct hf_slice message)
{
	static const char head[] = "[\"SNAPSHOT\"";
	return frame->type == HF_NOSTR_FRAME_OTHER && message.length > sizeof head && memcmp(message.data, head, sizeof head - 1) == 0;
}

static void take_message(struct hf_front_question *q, struct hf_slice message)
{
	struct hf_nostr_frame frame;
	int r = hf_nostr_frame_read(message, &frame);
	if (r < 0) {
		fail(q, HF_DISPATCH_FAILED);
	} else if (frame.type == HF_NOSTR_FRAME_EVENT) {
		r = frame.event.length > 0 ? hf_relay_delegate_event(q->question, frame.event) : HF_EMALFORMED;
		if (r < 0)
			fail(q, r == HF_EMALFORMED ? HF_DISPATCH_FAILED : HF_DISPATCH_ABANDONED);
	} else if (is_snapshot(&frame, message)) {
		if (!take_snapshot(q, message))
			fail(q, HF_DISPATCH_FAILED);
	} else if (frame.type == HF_NOSTR_FRAME_EOSE && q->has_snapshot) {
		take_end(q);
	} else if (frame.type == HF_NOSTR_FRAME_EOSE || frame.type == HF_NOSTR_FRAME_CLOSED) {
		fail(q, HF_DISPATCH_ABANDONED); /* it does not know how, or cannot now */
	}
}

static void on_head(void *context, int status, const struct hf_http_field *fields, size_t field_count)
{
	if (status != 101)
		fail(context, HF_DISPATCH_ABANDONED);
}

static void on_data(void *context, struct hf_slice bytes, bool is_end_of_message)
{
	struct hf_front_question *q = context;
	hf_worker_stream_consumed(q->stream, bytes.length);
	if (bytes.length > HF_FRONT_ANSWER_BYTES_MAX - q->inbox.length) {
		fail(q, HF_DISPATCH_FAILED);
		return;
	}
	if (is_end_of_message && q->inbox.length == 0) {
		take_message(q, bytes);
		return;
	}
	if (hf_buffer_append(&q->inbox, bytes.data, bytes.length) < 0) {
		fail(q, HF_DISPATCH_ABANDONED);
	} else if (is_end_of_message) {
		struct hf_buffer whole = q->inbox;
		q->inbox = (struct hf_buffer){0};
		take_message(q, hf_buffer_slice(&whole));
		hf_buffer_free(&whole);
	}
}

/* Who goes away, or has no copy, is not at fault. */
static void on_ended(void *context, int code, uint32_t close_code, const char *why)
{
	struct hf_front_question *q = context;
	q->stream = NULL;
	fail(q, code == HF_ETIMEOUT || code == HF_ETOOBIG ? HF_DISPATCH_FAILED : HF_DISPATCH_ABANDONED);
}

static const struct hf_worker_stream_events stream_events = {.head = on_head, .data = on_data, .ended = on_ended};

/* ---- For the relay ---- */

static bool has_copy(const struct hf_front *front, const struct hf_worker *worker)
{
	const struct hf_telemetry *t = hf_worker_telemetry(worker);
	uint64_t lag_max = front->options.dispatcher.weights.reassign_lag_blocks;
	return t && !hf_worker_is_hypertuna(worker) && t->bee_length > 0 && t->bee_lag <= (lag_max ? lag_max : HF_FRONT_DELEGATE_LAG_MAX);
}

/* One of those whose copy is near. Nobody is waited for: the relay can look it up itself. */
static struct hf_worker *choose(struct hf_front *front, struct hf_front_job *job)
{
	uint8_t peers[HF_REGISTRY_PEERS_MAX][32], peer[32];
	struct hf_worker *worker;
	size_t cursor = 0, count = 0;
	while (count < HF_REGISTRY_PEERS_MAX && (worker = hf_workers_next(front->options.workers, &cursor)))
		if (has_copy(front, worker))
			memcpy(peers[count++], hf_worker_key(worker), 32);
	int r = hf_front_schedule_among(front, job, peers, count, HF_FRONT_REQUEST_WEIGHT, 0, peer);
	worker = r == HF_OK ? hf_workers_find(front->options.workers, peer) : NULL;
	if (!worker)
		hf_front_job_over(front, job, HF_DISPATCH_ABANDONED);
	return worker;
}

static int open_stream(struct hf_front_question *q, struct hf_worker *worker, struct hf_slice message)
{
	static const struct hf_http_field field = {HF_SLICE_LITERAL("x-snapshot"), HF_SLICE_LITERAL("1")};
	struct hf_front *front = q->front;
	const struct hf_worker_request request = {.kind = HF_WORKER_WEBSOCKET, .method = HF_SLICE_LITERAL("GET"), .path = HF_SLICE_LITERAL("/"),
		.relay_key = hf_slice_text(front->bee_key), .fields = &field, .field_count = 1};
	int r = hf_loop_timer_set(front->options.loop, &q->timer, HF_FRONT_DELEGATE_TIMEOUT_MS);
	if (r == HF_OK)
		r = hf_worker_open(worker, &request, &stream_events, q, &q->stream);
	return r == HF_OK ? hf_worker_stream_send(q->stream, message, true) : r;
}

static int ask(void *context, struct hf_relay_question *question, struct hf_slice message, void **handle)
{
	struct hf_front *front = context;
	struct hf_front_question *q = calloc(1, sizeof *q);
	if (!q)
		return HF_ENOMEM;
	q->front = front;
	q->question = question;
	q->job.kind = HF_FRONT_DELEGATE;
	q->timer.fire = on_timer;
	HF_LIST_PUSH(front->questions, q);
	struct hf_worker *worker = choose(front, &q->job);
	int r = worker ? open_stream(q, worker, message) : HF_ENOTFOUND;
	if (r < 0)
		free_question(q, HF_DISPATCH_ABANDONED);
	else
		*handle = q;
	return r;
}

static void cancel(void *context, void *handle)
{
	struct hf_front_question *q = handle;
	if (q->front)
		free_question(q, HF_DISPATCH_ABANDONED);
	else
		free(q);
}

static void judged(void *context, void *handle, enum hf_relay_verdict verdict)
{
	static const enum hf_dispatch_outcome outcomes[] = {[HF_RELAY_ANSWER_TRUE] = HF_DISPATCH_OK,
		[HF_RELAY_ANSWER_UNUSABLE] = HF_DISPATCH_ABANDONED, [HF_RELAY_ANSWER_FALSE] = HF_DISPATCH_FAILED};
	struct hf_front_question *q = handle;
	if (q->front)
		free_question(q, outcomes[verdict]);
	else
		free(q);
}

void hf_front_delegate(struct hf_front *front, struct hf_relay *relay, const struct hf_front_delegation *delegation)
{
	if (front->relay && front->relay != relay)
		hf_relay_set_delegate(front->relay, NULL);
	front->relay = relay;
	if (!relay)
		return;
	hf_hex_encode(front->bee_key, delegation->bee_key, 32);
	const struct hf_relay_delegate delegate = {.queue_min = delegation->queue_min, .ask = ask, .cancel = cancel, .judged = judged,
		.context = front};
	hf_relay_set_delegate(relay, &delegate);
}
