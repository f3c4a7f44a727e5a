/* What a worker's relay is (NIP-11), as one of its workers says it; where none does, as its record has it. What was said is kept for some
 * seconds, and that nobody said anything for fewer, so that however many ask, a worker is asked once. Who asks meanwhile waits with the
 * first. The gateway's own bounds stand in the document where they are the narrower ones. */
#include "service/gateway/front_private.h"

#include <jansson.h>
#include <stdlib.h>

#define KEPT_MS 10000u
#define KEPT_HEADER "Cache-Control: max-age=10\r\n"
#define FAILURE_KEPT_MS 2000u
#define TIMEOUT_MS 3000u
#define TRY_COUNT_MAX 2u
#define WAITING_COUNT_MAX 256u  /* with one document; more get what the record has */
#define DOCUMENT_COUNT_MAX 256u /* that are kept or asked for */
#define DOCUMENT_BYTES_MAX (64u << 10)

struct waiting {
	struct waiting *next;
	struct hf_http_exchange *exchange;
};

struct hf_front_document {
	struct hf_front_document *next, *previous;
	struct hf_front *front;
	char *key;                       /* of the relay's record */
	struct hf_front_job job;
	struct hf_worker_stream *stream; /* NULL: nobody is being asked */
	uint8_t peer[32];
	unsigned tries;
	struct hf_timer timer;
	struct hf_buffer body;           /* as far as it has come */
	struct hf_buffer text;           /* what is kept; empty: the record's */
	uint64_t kept_until_us;
	struct waiting *waiting;
	uint32_t waiting_count;
	bool is_asking, has_head;
};

/* ---- From the record ---- */

static int append_text_member(struct hf_buffer *out, const char *name, const char *text)
{
	int status = *text ? hf_buffer_printf(out, "\"%s\":", name) : HF_OK;
	if (*text && status == HF_OK)
		status = hf_json_append_string(out, hf_slice_text(text));
	return *text && status == HF_OK ? hf_buffer_append_text(out, ",") : status;
}

static int append_record(struct hf_front *front, const struct hf_registration *record, struct hf_buffer *out)
{
	int status = hf_buffer_append_text(out, "{");
	if (status == HF_OK)
		status = append_text_member(out, "name", record->name);
	if (status == HF_OK)
		status = append_text_member(out, "description", record->description);
	if (status == HF_OK)
		status = append_text_member(out, "icon", record->avatar_url);
	if (status == HF_OK)
		status = hf_buffer_printf(out, "\"supported_nips\":[1,11],\"software\":\"holdfast\",\"version\":\"%s\",\"limitation\":"
			"{\"max_message_length\":%u,\"max_subscriptions\":%u,\"auth_required\":false,\"restricted_writes\":%s}}", HF_VERSION,
			(unsigned)front->options.message_bytes_max, (unsigned)front->options.subscriptions_max,
			record->requires_auth ? "true" : "false");
	return status;
}

static void respond(struct hf_front *front, struct hf_http_exchange *exchange, const char *key, struct hf_slice text)
{
	const struct hf_registration *record = hf_front_record(front, key);
	struct hf_buffer made = {0};
	hf_http_allow_origin(exchange, "*");
	if (text.length > 0)
		hf_http_respond(exchange, 200, "application/nostr+json", text, KEPT_HEADER);
	else if (!record)
		hf_http_respond(exchange, 404, "text/plain", HF_SLICE_LITERAL("not found\n"), NULL);
	else if (append_record(front, record, &made) == HF_OK)
		hf_http_respond(exchange, 200, "application/nostr+json", hf_buffer_slice(&made), "Cache-Control: no-cache\r\n");
	else
		hf_http_respond(exchange, 503, "text/plain", HF_SLICE_LITERAL("out of memory\n"), NULL);
	hf_buffer_free(&made);
}

/* ---- From a worker ---- */

static void narrow(json_t *limitation, const char *name, uint32_t bound)
{
	json_t *value = json_object_get(limitation, name);
	if (!json_is_integer(value) || json_integer_value(value) > (json_int_t)bound)
		json_object_set_new(limitation, name, json_integer((json_int_t)bound));
}

/* Its text, with our bounds; HF_EMALFORMED: it is no document. */
static int take_document(const struct hf_front *front, struct hf_slice body, struct hf_buffer *out)
{
	json_t *document = json_loadb((const char *)body.data, body.length, JSON_ALLOW_NUL, NULL), *limitation;
	if (!json_is_object(document)) {
		json_decref(document);
		return HF_EMALFORMED;
	}
	if (!json_is_object(json_object_get(document, "limitation")))
		json_object_set_new(document, "limitation", json_object());
	limitation = json_object_get(document, "limitation");
	narrow(limitation, "max_message_length", front->options.message_bytes_max);
	narrow(limitation, "max_subscriptions", front->options.subscriptions_max);
	char *text = json_dumps(document, JSON_COMPACT);
	json_decref(document);
	int r = text ? hf_buffer_append_text(out, text) : HF_ENOMEM;
	free(text);
	return r;
}

static void leave_worker(struct hf_front_document *d)
{
	struct hf_worker_stream *stream = d->stream;
	d->stream = NULL;
	hf_loop_timer_cancel(d->front->options.loop, &d->timer);
	hf_buffer_clear(&d->body);
	if (stream)
		hf_worker_stream_close(stream, HF_RELAY_STREAM_CANCELED, "");
}

/* All that wait are answered. */
static void conclude(struct hf_front_document *d, uint64_t kept_ms)
{
	struct waiting *waiting = d->waiting;
	d->waiting = NULL;
	d->waiting_count = 0;
	d->is_asking = false;
	d->kept_until_us = hf_front_now_us(d->front) + kept_ms * 1000;
	while (waiting) {
		struct waiting *next = waiting->next;
		respond(d->front, waiting->exchange, d->key, hf_buffer_slice(&d->text));
		free(waiting);
		waiting = next;
	}
}

static void ask(struct hf_front_document *d);

static void fail(struct hf_front_document *d, enum hf_dispatch_outcome outcome)
{
	leave_worker(d);
	hf_front_job_over(d->front, &d->job, outcome);
	if (++d->tries < TRY_COUNT_MAX)
		ask(d);
	else
		conclude(d, FAILURE_KEPT_MS);
}

static void on_timer(struct hf_timer *timer)
{
	fail(HF_CONTAINER_OF(timer, struct hf_front_document, timer), HF_DISPATCH_FAILED);
}

static void on_head(void *context, int status, const struct hf_http_field *fields, size_t field_count)
{
	struct hf_front_document *d = context;
	if (status != 200)
		fail(d, status >= 500 ? HF_DISPATCH_FAILED : HF_DISPATCH_ABANDONED);
	else
		d->has_head = true;
}

static void on_data(void *context, struct hf_slice bytes, bool is_end_of_message)
{
	struct hf_front_document *d = context;
	hf_worker_stream_consumed(d->stream, bytes.length);
	if (!d->has_head || bytes.length > DOCUMENT_BYTES_MAX - d->body.length || hf_buffer_append(&d->body, bytes.data, bytes.length) < 0)
		fail(d, HF_DISPATCH_FAILED);
}

static void on_ended(void *context, int code, uint32_t close_code, const char *why)
{
	struct hf_front_document *d = context;
	struct hf_buffer text = {0};
	d->stream = NULL;
	int r = code == HF_OK && d->has_head ? take_document(d->front, hf_buffer_slice(&d->body), &text) : HF_ECLOSED;
	if (r < 0) {
		hf_buffer_free(&text);
		fail(d, code == HF_OK || code == HF_ETIMEOUT ? HF_DISPATCH_FAILED : HF_DISPATCH_ABANDONED);
		return;
	}
	hf_buffer_free(&d->text);
	d->text = text;
	leave_worker(d);
	hf_front_job_over(d->front, &d->job, HF_DISPATCH_OK);
	conclude(d, KEPT_MS);
}

static const struct hf_worker_stream_events stream_events = {.head = on_head, .data = on_data, .ended = on_ended};

/* One that speaks streams, and has not failed just now. Nobody is waited for. */
static struct hf_worker *choose(struct hf_front_document *d, const struct hf_registration *record)
{
	struct hf_front *front = d->front;
	uint8_t peers[HF_REGISTRY_PEERS_MAX][32];
	size_t count = 0;
	for (size_t i = 0; i < record->peer_count && count < HF_REGISTRY_PEERS_MAX; i++) {
		const struct hf_worker *worker = hf_workers_find(front->options.workers, record->peers[i].key);
		bool has_failed = d->tries > 0 && memcmp(record->peers[i].key, d->peer, 32) == 0;
		if (worker && !has_failed && !hf_worker_is_hypertuna(worker) && !hf_worker_is_silent(worker))
			memcpy(peers[count++], record->peers[i].key, 32);
	}
	int r = count > 0 ? hf_front_schedule_among(front, &d->job, peers, count, 1, 0, d->peer) : HF_ENOTFOUND;
	struct hf_worker *worker = r == HF_OK ? hf_workers_find(front->options.workers, d->peer) : NULL;
	if (!worker)
		hf_front_job_over(front, &d->job, HF_DISPATCH_ABANDONED);
	return worker;
}

static void ask(struct hf_front_document *d)
{
	struct hf_front *front = d->front;
	const struct hf_registration *record = hf_front_record(front, d->key);
	struct hf_worker *worker = record ? choose(d, record) : NULL;
	const struct hf_worker_request request = {.kind = HF_WORKER_HTTP, .method = HF_SLICE_LITERAL("GET"), .path = HF_SLICE_LITERAL("/"),
		.relay_key = hf_slice_text(d->key)};
	d->has_head = false;
	int r = worker ? hf_loop_timer_set(front->options.loop, &d->timer, TIMEOUT_MS) : HF_ENOTFOUND;
	if (r == HF_OK)
		r = hf_worker_open(worker, &request, &stream_events, d, &d->stream);
	if (r == HF_OK)
		return;
	d->stream = NULL;
	leave_worker(d);
	hf_front_job_over(front, &d->job, HF_DISPATCH_ABANDONED);
	hf_buffer_free(&d->text);
	conclude(d, FAILURE_KEPT_MS);
}

void hf_front_document_reassign(struct hf_front_job *job)
{
	fail(HF_CONTAINER_OF(job, struct hf_front_document, job), HF_DISPATCH_ABANDONED);
}

/* ---- Those that are kept ---- */

static void free_document(struct hf_front_document *d)
{
	leave_worker(d);
	hf_front_job_over(d->front, &d->job, HF_DISPATCH_ABANDONED);
	while (d->waiting) {
		struct waiting *next = d->waiting->next;
		hf_http_respond(d->waiting->exchange, 503, "text/plain", HF_SLICE_LITERAL("going away\n"), NULL);
		free(d->waiting);
		d->waiting = next;
	}
	HF_LIST_REMOVE(d->front->documents, d);
	d->front->document_count--;
	hf_buffer_free(&d->body);
	hf_buffer_free(&d->text);
	free(d->key);
	free(d);
}

void hf_front_documents_free(struct hf_front *front)
{
	while (front->documents)
		free_document(front->documents);
}

/* Makes room: what is not good any more goes. */
static void drop_old(struct hf_front *front)
{
	uint64_t now_us = hf_front_now_us(front);
	for (struct hf_front_document *d = front->documents, *next; d; d = next) {
		next = d->next;
		if (!d->is_asking && d->kept_until_us <= now_us)
			free_document(d);
	}
}

static struct hf_front_document *new_document(struct hf_front *front, const char *key)
{
	drop_old(front);
	struct hf_front_document *d = front->document_count < DOCUMENT_COUNT_MAX ? calloc(1, sizeof *d) : NULL;
	if (!d || !(d->key = strdup(key))) {
		free(d);
		return NULL;
	}
	d->front = front;
	d->job.kind = HF_FRONT_INFORM;
	d->timer.fire = on_timer;
	HF_LIST_PUSH(front->documents, d);
	front->document_count++;
	return d;
}

static bool wait_with(struct hf_front_document *d, struct hf_http_exchange *exchange)
{
	struct waiting *w = d->waiting_count < WAITING_COUNT_MAX ? malloc(sizeof *w) : NULL;
	if (!w)
		return false;
	*w = (struct waiting){.next = d->waiting, .exchange = exchange};
	d->waiting = w;
	d->waiting_count++;
	return true;
}

void hf_front_inform(struct hf_front *front, struct hf_http_exchange *exchange, const struct hf_registration *record)
{
	struct hf_front_document *d = front->documents;
	while (d && strcmp(d->key, record->key) != 0)
		d = d->next;
	if (!d)
		d = new_document(front, record->key);
	bool is_kept = d && !d->is_asking && d->kept_until_us > hf_front_now_us(front);
	if (!d || is_kept || !wait_with(d, exchange)) {
		respond(front, exchange, record->key, d ? hf_buffer_slice(&d->text) : hf_slice(NULL, 0));
		return;
	}
	if (d->is_asking)
		return;
	d->is_asking = true;
	d->tries = 0;
	hf_buffer_free(&d->text);
	ask(d);
}
