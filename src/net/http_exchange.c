/* A connection reads one request at a time. While it is being answered, what comes behind it waits in `leftover`, and
 * past a bound the socket is not read. An exchange is freed when its connection is gone and nobody has it in hand:
 * neither a handler that may still answer (is_busy) nor the loop that eats bytes (is_eating).
 *
 * The time for a head runs from its first byte and is not extended by more bytes, so that trickling gains nothing. */
#include <stdlib.h>

#include "net/http_private.h"

#define LEFTOVER_BYTES_MAX 65536
/* A client that asks and does not read gets no further answers above this. */
#define PENDING_BYTES_MAX (1u << 20)

const struct hf_http_message *hf_http_exchange_message(const struct hf_http_exchange *x)
{
	return hf_http_session_message(x->session);
}

/* ---- Life ---- */

static void count_held(struct hf_http_exchange *x)
{
	hf_memory_change(&x->server->options.loop->memory, HF_MEMORY_RECEIVE, &x->held_bytes,
		hf_http_session_bytes(x->session) + x->leftover.length);
}

static void free_if_done(struct hf_http_exchange *x)
{
	if (x->stream || x->is_busy || x->is_eating) {
		count_held(x);
		return;
	}
	hf_memory_release(&x->server->options.loop->memory, HF_MEMORY_RECEIVE, x->held_bytes);
	hf_http_session_free(x->session);
	hf_buffer_free(&x->leftover);
	hf_http_server_unref(x->server);
	free(x->who);
	free(x);
}

static void end_connection(struct hf_http_exchange *x, bool gracefully)
{
	if (x->stream && gracefully)
		hf_stream_finish(x->stream);
	else if (x->stream)
		hf_stream_close(x->stream);
	x->stream = NULL;
}

static void forget_who(struct hf_http_exchange *x)
{
	free(x->who);
	x->who = NULL;
}

static void wait_for_request(struct hf_http_exchange *x)
{
	x->last_pending_bytes = SIZE_MAX;
	hf_stream_set_timeout(x->stream, x->server->options.idle_timeout_ms);
}

/* ---- Routes ---- */

static bool route_has_path(const struct hf_http_route *route, struct hf_slice path)
{
	size_t length = strlen(route->path);
	if (length >= 2 && strcmp(route->path + length - 2, "/*") == 0)
		return path.length >= length - 1 && memcmp(path.data, route->path, length - 1) == 0;
	return path.length == length && memcmp(path.data, route->path, length) == 0;
}

static bool route_has_method(const struct hf_http_route *route, struct hf_slice method)
{
	return hf_http_name_equal(method, route->method) ||
	       (hf_http_name_equal(method, "HEAD") && strcmp(route->method, "GET") == 0);
}

bool hf_http_host_address(struct hf_slice host, struct hf_address *address)
{
	char text[HF_ADDRESS_TEXT_BYTES + 8];
	if (host.length == 0 || host.length + 6 >= sizeof text || memchr(host.data, 0, host.length))
		return false;
	memcpy(text, host.data, host.length);
	text[host.length] = 0;
	const char *bracket = strrchr(text, ']'), *colon = strrchr(text, ':');
	if (!colon || (bracket && colon < bracket))
		memcpy(text + host.length, ":80", 4);
	return text[0] != ':' && hf_address_parse(text, address, NULL) == HF_OK;
}

/* A page elsewhere can make a browser ask 127.0.0.1 under a name of its own (DNS rebinding): what is local answers
 * only to addresses and to "localhost". */
static bool is_local(struct hf_http_exchange *x)
{
	const struct hf_http_message *m = hf_http_exchange_message(x);
	struct hf_address host;
	if (x->is_unix)
		return true;
	return !x->stream->is_proxied && hf_address_class(&x->stream->peer) == HF_ADDRESS_LOOPBACK &&
	       !hf_http_message_field(m, "X-Forwarded-For").data && !hf_http_message_field(m, "Forwarded").data &&
	       hf_http_host_address(hf_http_message_field(m, "Host"), &host);
}

static void answer_text(struct hf_http_exchange *x, int status, const char *text, const char *fields)
{
	hf_http_respond(x, status, "text/plain; charset=utf-8", hf_slice_text(text), fields);
}

static bool refuse_access(struct hf_http_exchange *x)
{
	answer_text(x, 403, "not allowed from here\n", NULL);
	return false;
}

/* False: it has been answered. */
static bool has_access(struct hf_http_exchange *x, const struct hf_http_route *route)
{
	const struct hf_http_server_options *o = &x->server->options;
	switch (route->access) {
	case HF_ACCESS_PUBLIC:
	case HF_ACCESS_SIGNED:
		return true;
	case HF_ACCESS_LOCAL:
		return is_local(x) || refuse_access(x);
	case HF_ACCESS_ADMIN:
		return x->is_unix || (o->authorize ? o->authorize(o->context, x) : refuse_access(x));
	case HF_ACCESS_SOCKET:
		return x->is_unix || refuse_access(x);
	}
	return refuse_access(x);
}

/* The path is there, the method is not. */
static void answer_method(struct hf_http_exchange *x, struct hf_slice path)
{
	char allow[256] = "Allow: ";
	size_t length = strlen(allow);
	const struct hf_http_server_options *o = &x->server->options;
	for (size_t i = 0; i < o->route_count; i++) {
		const char *method = o->routes[i].method;
		if (!route_has_path(&o->routes[i], path) || length + strlen(method) + 16 > sizeof allow)
			continue;
		length += (size_t)snprintf(allow + length, sizeof allow - length, "%s%s%s", length > 7 ? ", " : "",
			method, strcmp(method, "GET") == 0 ? ", HEAD" : "");
	}
	snprintf(allow + length, sizeof allow - length, "\r\n");
	bool is_options = hf_http_name_equal(hf_http_exchange_message(x)->method, "OPTIONS");
	answer_text(x, is_options ? 204 : 405, is_options ? "" : "method not allowed\n", allow);
}

static void dispatch(struct hf_http_exchange *x)
{
	const struct hf_http_server_options *o = &x->server->options;
	const struct hf_http_message *m = hf_http_exchange_message(x);
	bool has_path = false;
	for (size_t i = 0; i < o->route_count; i++) {
		const struct hf_http_route *route = &o->routes[i];
		if (!route_has_path(route, m->path))
			continue;
		has_path = true;
		if (!route_has_method(route, m->method))
			continue;
		if (has_access(x, route))
			route->handle(o->context, x);
		return;
	}
	if (has_path)
		answer_method(x, m->path);
	else
		answer_text(x, 404, "not found\n", NULL);
}

/* ---- Requests ---- */

/* Behind trusted proxies the client is who they say; lines are read last first, as each proxy appends. */
static void find_client(struct hf_http_exchange *x)
{
	const struct hf_http_server_options *o = &x->server->options;
	const struct hf_http_message *m = hf_http_exchange_message(x);
	x->client = x->stream->peer;
	if (!o->trusted_proxy_count)
		return;
	for (size_t i = m->field_count; i-- > 0;)
		if (hf_http_name_equal(m->fields[i].name, "X-Forwarded-For"))
			hf_address_forwarded(
				&x->client, m->fields[i].value, o->trusted_proxies, o->trusted_proxy_count);
}

static void begin_exchange(struct hf_http_exchange *x)
{
	x->is_busy = true;
	x->allow_origin = NULL;
	x->keep_alive = hf_http_exchange_message(x)->keep_alive && !x->server->is_draining;
	hf_stream_clear_timeout(x->stream);
	find_client(x);
	dispatch(x);
}

/* The bytes are not a request that we take: answers and ends the connection. */
static void refuse_request(struct hf_http_exchange *x)
{
	unsigned status = hf_http_session_status(x->session);
	x->is_busy = true;
	x->keep_alive = false;
	x->allow_origin = NULL;
	x->client = x->stream->peer;
	char text[64];
	snprintf(text, sizeof text, "%s\n", hf_http_reason((int)status));
	answer_text(x, (int)status, text, NULL);
}

/* Sets the time left for what the session is in the middle of. */
static void watch_progress(struct hf_http_exchange *x, bool was_in_head, bool was_in_body)
{
	const struct hf_http_server_options *o = &x->server->options;
	if (!was_in_head && hf_http_session_in_head(x->session))
		hf_stream_set_timeout(x->stream, o->header_timeout_ms);
	else if (!was_in_body && hf_http_session_in_body(x->session))
		hf_stream_set_timeout(x->stream, o->body_timeout_ms);
}

static bool may_eat(const struct hf_http_exchange *x)
{
	return x->stream && !x->is_busy && hf_stream_pending_bytes(x->stream) < PENDING_BYTES_MAX;
}

/* Eats requests until one has to wait; returns how many bytes were eaten. */
static size_t eat(struct hf_http_exchange *x, const uint8_t *data, size_t length)
{
	size_t eaten = 0;
	while (may_eat(x) && eaten < length) {
		bool in_head = hf_http_session_in_head(x->session), in_body = hf_http_session_in_body(x->session);
		size_t consumed;
		int result = hf_http_session_recv(x->session, hf_slice(data + eaten, length - eaten), &consumed);
		eaten += consumed;
		if (result < 0)
			refuse_request(x);
		else if (result == HF_HTTP_MESSAGE)
			begin_exchange(x);
		else
			watch_progress(x, in_head, in_body);
		if (result == HF_HTTP_CONTINUE &&
			hf_stream_send_copy(x->stream, HF_SLICE_LITERAL("HTTP/1.1 100 Continue\r\n\r\n")))
			end_connection(x, false);
	}
	return eaten;
}

static void keep_leftover(struct hf_http_exchange *x, const uint8_t *data, size_t length)
{
	if (hf_buffer_append(&x->leftover, data, length)) {
		hf_buffer_free(&x->leftover);
		x->keep_alive = false; /* what is being answered still is */
		if (!x->is_busy)
			end_connection(x, false);
		return;
	}
	if (x->leftover.length > LEFTOVER_BYTES_MAX)
		hf_stream_stop_reading(x->stream);
}

/* What was not eaten waits, or belongs to whom the connection was handed over to. */
static void pass_on(struct hf_http_exchange *x, struct hf_stream *stream, uint8_t *data, size_t length)
{
	if (length == 0)
		return;
	if (x->stream)
		keep_leftover(x, data, length);
	else if (stream->events)
		stream->events->read(stream->owner, data, length);
}

/* Goes on with what waited behind the last request. */
static void eat_leftover(struct hf_http_exchange *x)
{
	x->is_eating = true;
	while (may_eat(x) && x->leftover.length) {
		struct hf_buffer bytes = x->leftover;
		struct hf_stream *stream = x->stream;
		x->leftover = (struct hf_buffer){0};
		size_t eaten = eat(x, bytes.data, bytes.length);
		pass_on(x, stream, bytes.data + eaten, bytes.length - eaten);
		hf_buffer_free(&bytes);
	}
	x->is_eating = false;
	if (x->stream && !x->is_busy && x->has_peer_ended && x->leftover.length == 0)
		end_connection(x, true);
	else if (x->stream && x->leftover.length <= LEFTOVER_BYTES_MAX)
		hf_stream_start_reading(x->stream);
}

static void on_read(void *owner, uint8_t *data, size_t length)
{
	struct hf_http_exchange *x = owner;
	struct hf_stream *stream = x->stream;
	size_t eaten = 0;
	if (!x->is_busy && x->leftover.length == 0) {
		x->is_eating = true;
		eaten = eat(x, data, length);
		x->is_eating = false;
	}
	pass_on(x, stream, data + eaten, length - eaten);
	free_if_done(x);
}

void hf_http_exchange_break(struct hf_http_exchange *x)
{
	end_connection(x, false);
}

/* The connection ends, and with it an answer that is being written. May free the exchange. */
static void lose(struct hf_http_exchange *x, bool gracefully)
{
	end_connection(x, gracefully);
	if (x->pieces)
		hf_http_pieces_gone(x);
	else
		free_if_done(x);
}

static void on_end(void *owner, int error)
{
	struct hf_http_exchange *x = owner;
	if (error == HF_EMALFORMED)
		hf_http_server_note_handshake(x->server, x->stream);
	if (error == HF_ECLOSED && (x->is_busy || x->leftover.length)) {
		x->has_peer_ended = true; /* it may only have stopped asking, and still want the answer */
		return;
	}
	lose(x, error == HF_ECLOSED);
}

static void on_timeout(void *owner)
{
	struct hf_http_exchange *x = owner;
	size_t pending = hf_stream_pending_bytes(x->stream);
	if (pending && pending < x->last_pending_bytes) {
		/* A slow reader that gets on. */
		x->last_pending_bytes = pending;
		hf_stream_set_timeout(x->stream, x->server->options.idle_timeout_ms);
		return;
	}
	hf_counter_add(&x->server->counters.timeouts, 1);
	bool is_partial = hf_http_session_in_head(x->session) || hf_http_session_in_body(x->session);
	if (is_partial && !x->pieces) {
		x->is_busy = true;
		x->keep_alive = false;
		answer_text(x, 408, "Request Timeout\n", NULL);
		return;
	}
	lose(x, false);
}

static void on_progress(void *owner)
{
	struct hf_http_exchange *x = owner;
	if (x->pieces) {
		hf_http_pieces_progress(x);
		return;
	}
	if (may_eat(x) && x->leftover.length)
		eat_leftover(x);
	free_if_done(x);
}

static void on_drain(void *owner)
{
	struct hf_http_exchange *x = owner;
	x->keep_alive = false;
	if (x->is_busy || hf_http_session_in_head(x->session) || hf_http_session_in_body(x->session))
		return;
	end_connection(x, true);
	free_if_done(x);
}

static size_t held(const void *owner)
{
	const struct hf_http_exchange *x = owner;
	return x->held_bytes + hf_stream_pending_bytes(x->stream);
}

static void evict(void *owner)
{
	lose(owner, false);
}

static const struct hf_stream_events stream_events = {
	.read = on_read,
	.end = on_end,
	.timeout = on_timeout,
	.progress = on_progress,
	.drain = on_drain,
	.held = held,
	.evict = evict,
};

int hf_http_exchange_new(struct hf_http_server *server, struct hf_stream *stream)
{
	struct hf_http_exchange *x = calloc(1, sizeof *x);
	if (!x)
		return HF_ENOMEM;
	struct hf_http_limits limits = {server->options.header_bytes_max, server->options.body_bytes_max};
	int error = hf_http_session_new(&x->session, HF_HTTP_SERVER, &limits);
	if (error) {
		free(x);
		return error;
	}
	x->server = server;
	hf_http_server_ref(server);
	x->stream = stream;
	x->is_unix = stream->is_unix;
	x->last_pending_bytes = SIZE_MAX;
	hf_stream_own(stream, &stream_events, x);
	hf_stream_set_timeout(stream, server->options.header_timeout_ms);
	hf_stream_start_reading(stream);
	return HF_OK;
}

void hf_http_exchange_answered(struct hf_http_exchange *x)
{
	x->is_busy = false;
	x->pieces = NULL;
	forget_who(x);
	if (x->stream && !x->keep_alive)
		end_connection(x, true);
	if (x->stream) {
		hf_http_session_next(x->session);
		wait_for_request(x);
		if (!x->is_eating)
			eat_leftover(x);
	}
	free_if_done(x);
}

void hf_http_exchange_handed_over(struct hf_http_exchange *x)
{
	x->stream = NULL;
	x->is_busy = false;
	free_if_done(x);
}

/* ---- What handlers see ---- */

struct hf_slice hf_http_method(struct hf_http_exchange *x)
{
	return hf_http_exchange_message(x)->method;
}

struct hf_slice hf_http_path(struct hf_http_exchange *x)
{
	return hf_http_exchange_message(x)->path;
}

struct hf_slice hf_http_query(struct hf_http_exchange *x)
{
	return hf_http_exchange_message(x)->query;
}

struct hf_slice hf_http_header(struct hf_http_exchange *x, const char *name)
{
	return hf_http_message_field(hf_http_exchange_message(x), name);
}

struct hf_slice hf_http_body(struct hf_http_exchange *x)
{
	return hf_http_exchange_message(x)->body;
}

int hf_http_set_who(struct hf_http_exchange *x, const char *who)
{
	forget_who(x);
	x->who = strdup(who);
	return x->who ? HF_OK : HF_ENOMEM;
}

const char *hf_http_who(const struct hf_http_exchange *x)
{
	return x->who;
}

const struct hf_address *hf_http_client(struct hf_http_exchange *x)
{
	return &x->client;
}

void hf_http_allow_origin(struct hf_http_exchange *x, const char *origin)
{
	x->allow_origin = origin;
}
