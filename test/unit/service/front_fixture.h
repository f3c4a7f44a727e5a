/* front_fixture: a front behind an HTTP server on a loopback port, with workers, registry and tokens that the test itself plays. The functions
 * here stand in the place of the real ones. */
#ifndef HF_TEST_FRONT_FIXTURE_H
#define HF_TEST_FRONT_FIXTURE_H

#include "../net/net_fixture.h"

#include <netinet/tcp.h>

#include "codec/hex.h"
#include "service/gateway/front.h"
#include "service/gateway/front_seen.h"
#include "service/gateway/tokens.h"
#include "service/gateway/workers.h"
#include "service/relay/delegate.h"
#include "wire/relay_stream.h"

#define STREAMS_MAX 64
#define WORKERS_MAX 4

struct hf_worker {
	uint8_t key[32];
	bool is_here, is_silent, refuses, has_telemetry, is_hypertuna;
	struct hf_telemetry telemetry;
	size_t opened_count;
};

/* What the front has opened at a worker; its `sent` is what it said there, one message a line. */
struct hf_worker_stream {
	struct hf_worker *worker;
	struct hf_worker_stream_events events;
	void *context;
	enum hf_worker_stream_kind kind;
	char path[256], method[8], relay_key[80], auth_token[80], range[64], challenge[40];
	struct hf_buffer sent;
	size_t consumed, room;
	bool is_closed, is_full, is_going;
	uint32_t close_code;
};

static struct hf_worker workers[WORKERS_MAX];
static struct hf_worker_stream streams[STREAMS_MAX];
static size_t stream_count;
static struct hf_registration record;
static struct hf_registration_peer record_peers[WORKERS_MAX];
static bool has_record;
static struct hf_registry_events registry_events;
static struct hf_token_events token_events;
static uint64_t token_expires_ms;

/* ---- Instead of the pool of workers ---- */

struct hf_worker *hf_workers_find(struct hf_workers *pool, const uint8_t key[static 32])
{
	for (size_t i = 0; i < WORKERS_MAX; i++)
		if (workers[i].is_here && memcmp(workers[i].key, key, 32) == 0)
			return &workers[i];
	return NULL;
}

bool hf_worker_is_silent(const struct hf_worker *worker)
{
	return worker->is_silent;
}

struct hf_worker *hf_workers_next(struct hf_workers *pool, size_t *cursor)
{
	while (*cursor < WORKERS_MAX && !workers[*cursor].is_here)
		(*cursor)++;
	return *cursor < WORKERS_MAX ? &workers[(*cursor)++] : NULL;
}

const uint8_t *hf_worker_key(const struct hf_worker *worker) { return worker->key; }
bool hf_worker_is_hypertuna(const struct hf_worker *worker) { return worker->is_hypertuna; }
bool hf_worker_can_resume(const struct hf_worker *worker) { return !worker->is_hypertuna; }
const struct hf_telemetry *hf_worker_telemetry(const struct hf_worker *worker) { return worker->has_telemetry ? &worker->telemetry : NULL; }

static void copy_text(char *out, size_t bytes, struct hf_slice text)
{
	snprintf(out, bytes, "%.*s", (int)text.length, text.data ? (const char *)text.data : "");
}

int hf_worker_open(struct hf_worker *worker, const struct hf_worker_request *request, const struct hf_worker_stream_events *events,
	void *context, struct hf_worker_stream **out)
{
	if (worker->refuses)
		return HF_EBUSY;
	assert_true(stream_count < STREAMS_MAX);
	struct hf_worker_stream *s = &streams[stream_count++];
	*s = (struct hf_worker_stream){.worker = worker, .events = *events, .context = context, .kind = request->kind};
	copy_text(s->path, sizeof s->path, request->path);
	copy_text(s->method, sizeof s->method, request->method);
	copy_text(s->relay_key, sizeof s->relay_key, request->relay_key);
	copy_text(s->auth_token, sizeof s->auth_token, request->auth_token);
	for (size_t i = 0; i < request->field_count; i++)
		if (hf_http_name_equal(request->fields[i].name, "Range"))
			copy_text(s->range, sizeof s->range, request->fields[i].value);
	for (size_t i = 0; i < request->field_count; i++)
		if (hf_http_name_equal(request->fields[i].name, "x-challenge"))
			copy_text(s->challenge, sizeof s->challenge, request->fields[i].value);
	if (hf_buffer_reserve(&s->sent, 4096) < 0) { /* as the real one does it */
		stream_count--;
		return HF_ENOMEM;
	}
	worker->opened_count++;
	*out = s;
	return HF_OK;
}

int hf_worker_stream_send(struct hf_worker_stream *s, struct hf_slice bytes, bool is_end_of_message)
{
	assert_false(s->is_closed);
	if (s->is_going)
		return HF_ECLOSED;
	if (s->is_full)
		return HF_EBUSY;
	if (hf_buffer_reserve(&s->sent, bytes.length + 1) < 0)
		return HF_ENOMEM;
	hf_buffer_append(&s->sent, bytes.data, bytes.length);
	return hf_buffer_append_text(&s->sent, "\n");
}

void hf_worker_stream_consumed(struct hf_worker_stream *s, size_t bytes)
{
	assert_false(s->is_closed);
	s->consumed += bytes;
}

void hf_worker_stream_close(struct hf_worker_stream *s, uint32_t code, const char *reason)
{
	assert_false(s->is_closed);
	s->is_closed = true;
	s->close_code = code;
}

/* ---- Instead of registry and tokens ---- */

const struct hf_registration *hf_registry_find(struct hf_registry *registry, struct hf_slice name)
{
	while (name.length > 0 && name.data[0] == '/')
		name = hf_slice(name.data + 1, name.length - 1);
	bool matches = hf_slice_equal(name, hf_slice_text(record.key)) || hf_slice_equal(name, hf_slice_text(record.path)) ||
		       hf_slice_equal(name, hf_slice_text(record.identifier));
	return has_record && matches ? &record : NULL;
}

const struct hf_registration *hf_registry_after_open(struct hf_registry *registry, struct hf_slice key)
{
	return has_record && key.length == 0 && record.is_public && !record.requires_auth ? &record : NULL;
}

int hf_registry_listen(struct hf_registry *registry, const struct hf_registry_events *events)
{
	registry_events = *events;
	return HF_OK;
}

int hf_tokens_listen(struct hf_tokens *tokens, const struct hf_token_events *events)
{
	token_events = *events;
	return HF_OK;
}

int hf_tokens_verify(struct hf_tokens *tokens, struct hf_slice relay_key, struct hf_slice text, struct hf_token_claims *claims,
	const char **refusal)
{
	*refusal = "token-invalid";
	if (!hf_slice_equal(text, HF_SLICE_LITERAL("good+token.1")))
		return HF_EDENIED;
	*claims = (struct hf_token_claims){.id = {7}, .relay_key = record.key, .relay_auth_token = "workers-own", .has_pubkey = true, .pubkey = {9},
		.expires_ms = token_expires_ms};
	return HF_OK;
}

/* ---- Instead of the gateway's own relay ---- */

struct hf_relay_question {
	char events[1024];
	size_t event_count, answered_count, failed_count;
	uint64_t version, fork, limit;
};
static struct hf_relay_delegate delegate;

void hf_relay_set_delegate(struct hf_relay *relay, const struct hf_relay_delegate *given)
{
	delegate = given ? *given : (struct hf_relay_delegate){0};
}

int hf_relay_delegate_event(struct hf_relay_question *q, struct hf_slice event)
{
	snprintf(q->events + strlen(q->events), sizeof q->events - strlen(q->events), "%.*s;", (int)event.length, (const char *)event.data);
	q->event_count++;
	return HF_OK;
}

void hf_relay_delegate_answered(struct hf_relay_question *q, uint64_t version, uint64_t fork, uint64_t limit_max)
{
	q->answered_count++;
	q->version = version;
	q->fork = fork;
	q->limit = limit_max;
}

void hf_relay_delegate_failed(struct hf_relay_question *q) { q->failed_count++; }

/* ---- The fixture ---- */

struct door {
	struct fixture net;
	struct hf_front *front;
};

static void answer(void *context, struct hf_http_exchange *exchange)
{
	hf_front_answer(((struct door *)context)->front, exchange);
}
static void answer_drive(void *context, struct hf_http_exchange *exchange)
{
	hf_front_answer_drive(((struct door *)context)->front, exchange);
}
static void answer_avatar(void *context, struct hf_http_exchange *exchange)
{
	hf_front_answer_avatar(((struct door *)context)->front, exchange);
}

static const struct hf_http_route door_routes[] = {
	HF_ROUTE("GET", "/drive/*", HF_ACCESS_PUBLIC, answer_drive),
	HF_ROUTE("GET", "/pfp/*", HF_ACCESS_PUBLIC, answer_avatar),
	HF_ROUTE("GET", "/*", HF_ACCESS_PUBLIC, answer),
};

static inline void come(struct door *d, size_t worker)
{
	workers[worker].is_here = true;
	hf_front_worker_connected(d->front, workers[worker].key);
}

/* As the pool does it: its streams first, then the worker. */
static inline void go(struct door *d, size_t worker)
{
	workers[worker].is_here = false;
	for (size_t i = 0; i < stream_count; i++)
		if (streams[i].worker == &workers[worker] && !streams[i].is_closed) {
			streams[i].is_closed = true;
			streams[i].events.ended(streams[i].context, HF_ECLOSED, 0, "the worker has gone");
		}
	hf_front_worker_gone(d->front, workers[worker].key, false);
}

static inline void open_door(struct door *d, size_t worker_count, struct hf_front_options options)
{
	*d = (struct door){0};
	stream_count = 0;
	has_record = true;
	memset(workers, 0, sizeof workers);
	record = (struct hf_registration){.key = "aabb", .identifier = "npub1x:myRelay", .path = "npub1x/myRelay", .name = "My \"Relay\"",
		.description = "", .avatar_url = "", .connection_url = "", .principal = "", .is_public = true, .peers = record_peers,
		.peer_count = worker_count};
	d->net.options.routes = door_routes;
	d->net.options.route_count = sizeof door_routes / sizeof *door_routes;
	d->net.options.context = d;
	fixture_open(&d->net);
	token_expires_ms = hf_env_wall_ms(&d->net.env) + 3600000;
	options.size = sizeof options;
	options.loop = d->net.loop;
	options.workers = (struct hf_workers *)(void *)d;
	options.registry = (struct hf_registry *)(void *)d;
	options.tokens = (struct hf_tokens *)(void *)d;
	assert_int_equal(hf_front_new(&d->front, &options), HF_OK);
	for (size_t i = 0; i < worker_count; i++) {
		memset(workers[i].key, (int)i + 1, 32);
		memcpy(record_peers[i].key, workers[i].key, 32);
		come(d, i);
	}
}

static inline void close_door(struct door *d)
{
	hf_http_server_free(d->net.server);
	hf_front_free(d->front);
	hf_loop_free(d->net.loop);
	for (size_t i = 0; i < stream_count; i++)
		hf_buffer_free(&streams[i].sent);
}

/* ---- A client ---- */

static inline void say_message(struct door *d, int fd, const char *text)
{
	int at_once = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof at_once);
	say_frame(&d->net, fd, 0x81, text, strlen(text));
	turn(&d->net, 5);
}

/* Reads for so long and returns what came; the caller frees it. */
static inline char *hear_for(struct door *d, int fd, unsigned ms)
{
	struct hf_buffer out = {0};
	bool closed;
	hear(&d->net, fd, &out, NULL, NULL, ms, &closed);
	for (size_t i = 0; i < out.length; i++)
		if (out.data[i] == 0)
			out.data[i] = '.';
	hf_buffer_append(&out, "", 1);
	return (char *)out.data;
}

static inline size_t count_of(const char *text, const char *what)
{
	size_t count = 0;
	for (const char *at = text; (at = strstr(at, what)); at += strlen(what))
		count++;
	return count;
}

static inline void expect_close(struct door *d, const char *path, const char *more, uint16_t code, const char *reason)
{
	char frame[64] = {(char)0x88, (char)(2 + strlen(reason)), (char)(code >> 8), (char)code};
	snprintf(frame + 4, sizeof frame - 4, "%s", reason);
	char request[512];
	int fd = dial(&d->net);
	snprintf(request, sizeof request, "GET %s HTTP/1.1\r\n" UPGRADE_HEAD "%s\r\n", path, more);
	say_text(&d->net, fd, request);
	struct hf_buffer out = {0};
	bool closed;
	hear(&d->net, fd, &out, NULL, NULL, 60, &closed);
	assert_non_null(memmem(out.data, out.length, frame, 4 + strlen(reason)));
	hf_buffer_free(&out);
	close(fd);
	turn(&d->net, 5);
}

/* ---- A worker ---- */

static inline struct hf_worker_stream *last_stream(void)
{
	assert_true(stream_count > 0);
	return &streams[stream_count - 1];
}

static inline bool was_sent(struct hf_worker_stream *s, const char *text)
{
	return s->sent.length > 0 && memmem(s->sent.data, s->sent.length, text, strlen(text));
}

static inline void begin_stream(struct hf_worker_stream *s)
{
	s->events.head(s->context, 101, NULL, 0);
}

static inline void tell(struct hf_worker_stream *s, const char *text)
{
	s->events.data(s->context, hf_slice_text(text), true);
}

/* An event as a worker sends it; only its id and time matter here. */
static inline void tell_event(struct hf_worker_stream *s, const char *subscription, unsigned number, uint64_t created_at_s)
{
	char text[300];
	snprintf(text, sizeof text, "[\"EVENT\",\"%s\",{\"id\":\"%08x%056d\",\"created_at\":%llu,\"content\":\"e%u.\"}]", subscription, number, 0,
		(unsigned long long)created_at_s, number);
	tell(s, text);
}

#endif
