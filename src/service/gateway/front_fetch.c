/* A file is asked of one worker after another until one begins to answer; from then on it is that one's, and a client sees from the length
 * or from the missing last chunk when it was cut short. Nothing is kept but what the client has not taken yet. */
#include "service/gateway/front_private.h"

#include <stdio.h>
#include <stdlib.h>

/* What a worker says about a file that clients may hear. The rest is the gateway's to say. */
#define FIELDS_BYTES_MAX 1024

/* ---- Life ---- */

static void end_fetch(struct hf_front_fetch *f, enum hf_dispatch_outcome outcome)
{
	struct hf_front *front = f->front;
	struct hf_front_job job = f->job;
	if (f->stream) {
		hf_worker_stream_close(f->stream, HF_RELAY_STREAM_CANCELED, "nobody wants it any more");
		hf_dispatcher_session(front->dispatcher, f->peer, -1);
	}
	hf_loop_timer_cancel(front->options.loop, &f->timer);
	HF_LIST_REMOVE(front->fetches, f);
	front->stats.request_count--;
	free(f->key);
	free(f->auth_token);
	free(f->path);
	free(f);
	hf_front_job_over(front, &job, outcome);
}

void hf_front_fetch_free(struct hf_front_fetch *f)
{
	struct hf_http_exchange *exchange = f->exchange;
	bool has_head = f->has_head;
	end_fetch(f, HF_DISPATCH_ABANDONED);
	if (exchange && has_head)
		hf_http_abort(exchange);
	else if (exchange)
		hf_http_respond(exchange, 503, "text/plain", HF_SLICE_LITERAL("going away\n"), NULL);
}

void hf_front_fetch_refuse(struct hf_front_fetch *f, int status, const char *text, enum hf_front_refusal refusal)
{
	struct hf_http_exchange *exchange = f->exchange;
	hf_front_refuse(f->front, refusal);
	end_fetch(f, HF_DISPATCH_ABANDONED);
	hf_http_respond(exchange, status, "text/plain; charset=utf-8", hf_slice_text(text), "Cache-Control: no-store\r\n");
}

/* ---- To the client ---- */

static void give_credit(struct hf_front_fetch *f)
{
	if (!f->stream || f->unconsumed == 0 || hf_http_room(f->exchange) == 0)
		return;
	hf_worker_stream_consumed(f->stream, f->unconsumed);
	f->unconsumed = 0;
	hf_loop_timer_set(f->front->options.loop, &f->timer, f->front->options.request_timeout_ms);
}

static void on_client_writable(void *context, struct hf_http_exchange *exchange)
{
	give_credit(context);
}

static void on_client_gone(void *context, struct hf_http_exchange *exchange)
{
	struct hf_front_fetch *f = context;
	f->exchange = NULL;
	end_fetch(f, HF_DISPATCH_ABANDONED);
}

static const struct hf_http_pieces pieces = {.writable = on_client_writable, .gone = on_client_gone};

static void break_off(struct hf_front_fetch *f)
{
	struct hf_http_exchange *exchange = f->exchange;
	hf_front_refuse(f->front, HF_FRONT_WORKER_FAILED);
	end_fetch(f, HF_DISPATCH_FAILED);
	hf_http_abort(exchange);
}

static void on_timer(struct hf_timer *timer)
{
	struct hf_front_fetch *f = HF_CONTAINER_OF(timer, struct hf_front_fetch, timer);
	if (f->unconsumed > 0)
		return; /* it is the client that is slow, and the server looks after that */
	hf_dispatcher_blame(f->front->dispatcher, hf_front_now_us(f->front), f->peer);
	break_off(f);
}

/* ---- The head of an answer ---- */

struct head {
	const char *content_type;
	char type[128], fields[FIELDS_BYTES_MAX];
	size_t length;
	uint64_t body_bytes;
};

static bool is_plain(struct hf_slice value, size_t bytes_max)
{
	for (size_t i = 0; i < value.length; i++)
		if (value.data[i] < 0x20 || value.data[i] == 0x7f)
			return false;
	return value.length < bytes_max;
}

static void add_field(struct head *head, const char *name, const char *value, size_t length)
{
	int written = snprintf(head->fields + head->length, sizeof head->fields - head->length, "%s: %.*s\r\n", name, (int)length, value);
	if (written > 0 && (size_t)written < sizeof head->fields - head->length)
		head->length += (size_t)written;
	head->fields[head->length] = '\0';
}

static void take_field(struct head *head, const struct hf_http_field *field)
{
	static const char *const passed[] = {"ETag", "Last-Modified", "Content-Range", "Accept-Ranges"};
	uint64_t bytes;
	if (hf_http_name_equal(field->name, "Content-Length")) {
		if (hf_json_u64(field->value, &bytes) == HF_OK)
			head->body_bytes = bytes;
	} else if (hf_http_name_equal(field->name, "Content-Type") && is_plain(field->value, sizeof head->type)) {
		snprintf(head->type, sizeof head->type, "%.*s", (int)field->value.length, (const char *)field->value.data);
		head->content_type = head->type;
	}
	for (size_t i = 0; i < sizeof passed / sizeof *passed; i++)
		if (hf_http_name_equal(field->name, passed[i]) && is_plain(field->value, 128))
			add_field(head, passed[i], (const char *)field->value.data, field->value.length);
}

static void make_head(struct hf_front_fetch *f, struct head *head, int status, const struct hf_http_field *fields, size_t field_count)
{
	char cache[64];
	*head = (struct head){.content_type = "application/octet-stream", .body_bytes = HF_HTTP_LENGTH_UNKNOWN};
	for (size_t i = 0; i < field_count; i++)
		take_field(head, &fields[i]);
	if (f->is_private || status >= 400)
		snprintf(cache, sizeof cache, "%s", f->is_private ? "private, no-cache" : "no-store");
	else
		snprintf(cache, sizeof cache, "public, max-age=%u", (unsigned)f->front->options.cache_max_age_s);
	add_field(head, "Cache-Control", cache, strlen(cache));
	/* What members put there is shown under the gateway's own name: nothing of it may run. */
	static const char sandbox[] = "sandbox; default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'";
	add_field(head, "Content-Security-Policy", sandbox, strlen(sandbox));
	add_field(head, "Cross-Origin-Resource-Policy", "cross-origin", strlen("cross-origin"));
}

static void on_head(void *context, int status, const struct hf_http_field *fields, size_t field_count)
{
	struct hf_front_fetch *f = context;
	struct hf_front *front = f->front;
	struct head head;
	if (f->has_head)
		return;
	if (status < 200 || status > 599 || status >= 500) {
		hf_front_fetch_fail(f);
		return;
	}
	make_head(f, &head, status, fields, field_count);
	hf_http_allow_origin(f->exchange, "*");
	int error = hf_http_begin(f->exchange, status, head.content_type, head.body_bytes, head.fields, &pieces, f);
	if (error) {
		f->exchange = NULL;
		end_fetch(f, HF_DISPATCH_OK);
		return;
	}
	f->has_head = true;
	hf_loop_timer_set(front->options.loop, &f->timer, front->options.request_timeout_ms);
	hf_front_job_over(front, &f->job, HF_DISPATCH_OK);
}

/* ---- From the worker ---- */

static void on_data(void *context, struct hf_slice bytes, bool is_end_of_message)
{
	struct hf_front_fetch *f = context;
	if (!f->has_head) {
		hf_front_fetch_fail(f);
		return;
	}
	if (hf_http_write(f->exchange, bytes) < 0) {
		break_off(f); /* more than it said, or no memory */
		return;
	}
	f->unconsumed += bytes.length;
	give_credit(f);
}

static void on_ended(void *context, int code, uint32_t close_code, const char *why)
{
	struct hf_front_fetch *f = context;
	struct hf_http_exchange *exchange = f->exchange;
	f->stream = NULL;
	hf_dispatcher_session(f->front->dispatcher, f->peer, -1);
	if (!f->has_head) {
		if (code == HF_ECLOSED)
			hf_front_job_over(f->front, &f->job, HF_DISPATCH_ABANDONED); /* it has gone: no fault of its answers */
		hf_front_fetch_fail(f);
	} else if (code != HF_OK) {
		break_off(f);
	} else {
		end_fetch(f, HF_DISPATCH_OK);
		hf_http_end(exchange);
	}
}

static const struct hf_worker_stream_events stream_events = {.head = on_head, .data = on_data, .ended = on_ended};

static void seek(struct hf_front_fetch *f)
{
	const struct hf_registration *record = hf_front_record(f->front, f->key);
	uint8_t peer[32];
	int status = record ? hf_front_schedule(f->front, &f->job, record, NULL, f->has_avoided ? f->avoided : NULL, HF_FRONT_REQUEST_WEIGHT,
		f->flow, peer) : HF_ENOTFOUND;
	if (status == HF_OK)
		hf_front_fetch_open(f, peer);
	else if (status == HF_ENOTFOUND)
		hf_front_fetch_refuse(f, 503, "Relay has no available peers\n", HF_FRONT_NO_PEERS);
	else if (status == HF_ENOMEM)
		hf_front_fetch_refuse(f, 503, "out of memory\n", HF_FRONT_FULL);
	else if (status != HF_EWAIT)
		hf_front_fetch_refuse(f, 503, "the relay's workers are busy\n", HF_FRONT_BUSY);
}

void hf_front_fetch_fail(struct hf_front_fetch *f)
{
	struct hf_front *front = f->front;
	struct hf_worker_stream *stream = f->stream;
	const struct hf_registration *record = hf_front_record(front, f->key);
	f->stream = NULL;
	if (stream) {
		hf_worker_stream_close(stream, HF_RELAY_STREAM_CANCELED, "another worker is asked");
		hf_dispatcher_session(front->dispatcher, f->peer, -1);
	}
	memcpy(f->avoided, f->peer, sizeof f->avoided);
	f->has_avoided = true;
	hf_front_job_over(front, &f->job, HF_DISPATCH_FAILED);
	if (record && ++f->tries < HF_FRONT_TRIES_MAX && hf_front_has_worker(front, record, f->avoided))
		seek(f);
	else
		hf_front_fetch_refuse(f, 502, "no worker of the relay could answer\n", HF_FRONT_WORKER_FAILED);
}

/* ---- Asking ---- */

static size_t take_fields(struct hf_http_exchange *exchange, struct hf_http_field fields[static 4])
{
	static const char *const passed[] = {"Range", "If-Range", "If-None-Match", "If-Modified-Since"};
	size_t count = 0;
	for (size_t i = 0; i < sizeof passed / sizeof *passed; i++) {
		struct hf_slice value = hf_http_header(exchange, passed[i]);
		if (value.data)
			fields[count++] = (struct hf_http_field){hf_slice_text(passed[i]), value};
	}
	return count;
}

void hf_front_fetch_open(struct hf_front_fetch *f, const uint8_t peer[static 32])
{
	struct hf_front *front = f->front;
	struct hf_worker *worker = hf_workers_find(front->options.workers, peer);
	struct hf_http_field fields[4];
	struct hf_worker_request request = {.kind = HF_WORKER_HTTP, .method = hf_http_method(f->exchange), .path = hf_slice_text(f->path),
		.relay_key = hf_slice_text(f->key), .auth_token = hf_slice_text(f->auth_token ? f->auth_token : ""), .fields = fields};
	memcpy(f->peer, peer, sizeof f->peer);
	request.field_count = take_fields(f->exchange, fields);
	int status = worker ? hf_worker_open(worker, &request, &stream_events, f, &f->stream) : HF_ECLOSED;
	if (status < 0)
		f->stream = NULL;
	if (status == HF_ENOMEM)
		hf_front_fetch_refuse(f, 503, "out of memory\n", HF_FRONT_FULL);
	else if (status < 0)
		hf_front_fetch_fail(f);
	if (status < 0)
		return;
	hf_dispatcher_session(front->dispatcher, f->peer, 1);
}

static struct hf_front_fetch *new_fetch(struct hf_front *front, struct hf_http_exchange *exchange, const struct hf_registration *record)
{
	struct hf_front_fetch *f = calloc(1, sizeof *f);
	if (!f || !(f->key = strdup(record->key))) {
		free(f);
		return NULL;
	}
	f->front = front;
	f->exchange = exchange;
	f->job.kind = HF_FRONT_FETCH;
	f->flow = ++front->last_number;
	f->timer.fire = on_timer;
	f->is_private = record->requires_auth || !record->is_public;
	HF_LIST_PUSH(front->fetches, f);
	front->stats.request_count++;
	return f;
}

/* HF_OK, HF_ENOMEM, or HF_EDENIED and the request was answered. */
static int check_token(struct hf_front *front, struct hf_http_exchange *exchange, const struct hf_registration *record, char **auth_token)
{
	uint8_t shown[HF_FRONT_TOKEN_BYTES_MAX];
	struct hf_slice token = hf_front_shown_token(exchange, shown);
	struct hf_token_claims claims;
	const char *refusal = "token-required";
	bool is_private = record->requires_auth || !record->is_public;
	if (!is_private)
		return HF_OK;
	int status = token.length == 0 ? HF_ENOTFOUND : !front->options.tokens ? HF_EDENIED
		: hf_tokens_verify(front->options.tokens, hf_slice_text(record->key), token, &claims, &refusal);
	if (status == HF_OK)
		return (*auth_token = strdup(claims.relay_auth_token)) ? HF_OK : HF_ENOMEM;
	if (status == HF_ENOMEM)
		return status;
	bool is_missing = status == HF_ENOTFOUND;
	hf_front_refuse(front, is_missing ? HF_FRONT_TOKEN_REQUIRED : HF_FRONT_TOKEN_INVALID);
	hf_http_respond(exchange, is_missing ? 401 : 403, "text/plain",
		is_missing ? HF_SLICE_LITERAL("token-required\n") : HF_SLICE_LITERAL("invalid-token\n"),
		is_missing ? "WWW-Authenticate: Bearer realm=\"relay\"\r\nCache-Control: no-store\r\n" : "Cache-Control: no-store\r\n");
	return HF_EDENIED;
}

static bool is_unreserved(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c && strchr("-._~:@", c));
}

static int append_encoded(struct hf_buffer *out, struct hf_slice text, bool keeps_slashes)
{
	int status = HF_OK;
	for (size_t i = 0; i < text.length && status == HF_OK; i++) {
		uint8_t c = text.data[i];
		status = is_unreserved(c) || (keeps_slashes && c == '/') ? hf_buffer_append(out, &c, 1) : hf_buffer_printf(out, "%%%02X", c);
	}
	return status;
}

/* head: "/drive/" or "/pfp"; name: the relay as its worker knows it, may be empty; rest begins with '/'. NULL: out of memory. */
static char *make_path(const char *head, const char *name, struct hf_slice rest)
{
	struct hf_buffer path = {0};
	int status = hf_buffer_append_text(&path, head);
	if (status == HF_OK)
		status = append_encoded(&path, hf_slice_text(name), false);
	if (status == HF_OK)
		status = append_encoded(&path, rest, true);
	if (status == HF_OK)
		status = hf_buffer_append(&path, "", 1);
	if (status == HF_OK)
		return (char *)path.data;
	hf_buffer_free(&path);
	return NULL;
}

static void begin(struct hf_front *front, struct hf_http_exchange *exchange, const struct hf_registration *record, char *path)
{
	char *auth_token = NULL;
	struct hf_front_fetch *f = NULL;
	int status = path ? check_token(front, exchange, record, &auth_token) : HF_ENOMEM;
	if (status == HF_EDENIED) {
		free(path);
		return;
	}
	if (status == HF_OK)
		f = new_fetch(front, exchange, record);
	if (!f) {
		free(path);
		free(auth_token);
		hf_http_respond(exchange, 503, "text/plain", HF_SLICE_LITERAL("out of memory\n"), NULL);
		return;
	}
	f->path = path;
	f->auth_token = auth_token;
	seek(f);
}

static void answer_unknown(struct hf_front *front, struct hf_http_exchange *exchange, const char *text)
{
	hf_front_refuse(front, HF_FRONT_NO_RELAY);
	hf_http_respond(exchange, 404, "text/plain", hf_slice_text(text), "Cache-Control: no-store\r\n");
}

/* An identifier is one segment, or two where its ':' was written as '/'. The rest, behind it, is the file. */
static const struct hf_registration *find_relay(struct hf_front *front, struct hf_slice path, struct hf_slice *rest)
{
	size_t at = 0;
	for (unsigned segments = 0; segments < 2; segments++) {
		const uint8_t *slash = memchr(path.data + at, '/', path.length - at);
		if (!slash || (size_t)(slash - path.data) + 1 == path.length)
			return NULL;
		size_t length = (size_t)(slash - path.data);
		const struct hf_registration *record = length > 0 ? hf_registry_find(front->options.registry, hf_slice(path.data, length)) : NULL;
		*rest = hf_slice(slash, path.length - length);
		if (record)
			return record;
		at = length + 1;
	}
	return NULL;
}

void hf_front_answer_drive(struct hf_front *front, struct hf_http_exchange *exchange)
{
	struct hf_slice path = hf_http_path(exchange), rest;
	const size_t head = strlen("/drive/");
	const struct hf_registration *record = NULL;
	if (path.length > head)
		record = find_relay(front, hf_slice(path.data + head, path.length - head), &rest);
	if (!record) {
		answer_unknown(front, exchange, "Relay not registered with gateway\n");
		return;
	}
	hf_counter_add(&front->fetched[0], 1);
	begin(front, exchange, record, make_path("/drive/", record->identifier[0] ? record->identifier : record->key, rest));
}

/* The relay that the query names; else any whose files everybody may read and that has a worker here. */
static const struct hf_registration *find_avatars_relay(struct hf_front *front, struct hf_http_exchange *exchange)
{
	uint8_t name[HF_FRONT_TOKEN_BYTES_MAX];
	struct hf_slice hint = hf_front_query(exchange, "relay", name);
	if (hint.length == 0)
		hint = hf_front_query(exchange, "identifier", name);
	if (hint.length > 0)
		return hf_registry_find(front->options.registry, hint);
	const struct hf_registration *record = hf_registry_after_open(front->options.registry, (struct hf_slice){0});
	while (record && !hf_front_has_worker(front, record, NULL))
		record = hf_registry_after_open(front->options.registry, hf_slice_text(record->key));
	return record;
}

void hf_front_answer_avatar(struct hf_front *front, struct hf_http_exchange *exchange)
{
	struct hf_slice path = hf_http_path(exchange);
	const size_t head = strlen("/pfp");
	const struct hf_registration *record = path.length > head + 1 ? find_avatars_relay(front, exchange) : NULL;
	if (!record) {
		answer_unknown(front, exchange, "Avatar not found\n");
		return;
	}
	hf_counter_add(&front->fetched[1], 1);
	begin(front, exchange, record, make_path("/pfp", "", hf_slice(path.data + head, path.length - head)));
}
