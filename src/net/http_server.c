/* The server owns its listeners; streams own themselves and report when they are gone, so that the number of sockets
 * includes those that linger. The struct lives until the last stream and the last exchange let go of it. */
#include "net/http_server.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/list.h"
#include "base/log.h"
#include "base/options.h"
#include "net/http_private.h"

#define BACKLOG 4096
#define TELL_INTERVAL_US 10000000u

static struct hf_log_module log_http = HF_LOG_MODULE("http");

struct hf_http_listener {
	union {
		uv_handle_t handle;
		uv_stream_t stream;
		uv_tcp_t tcp;
		uv_pipe_t pipe;
	} uv;
	union {
		uv_handle_t handle;
		uv_stream_t stream;
		uv_tcp_t tcp;
		uv_pipe_t pipe;
	} spare; /* takes a connection that there is no memory for: libuv offers no other before */
	struct hf_http_server *server;
	struct hf_tls *tls;
	bool is_unix, is_proxied, is_spare_busy, is_closed;
	struct hf_http_listener *next;
};

struct address_count {
	uint8_t ip[16];
	uint32_t connection_count;
};

/* ---- Options, counters, life ---- */

static int set_options(struct hf_http_server *server, const struct hf_http_server_options *given)
{
	struct hf_http_server_options own, *o = &own;
	int error = hf_options_take(o, sizeof *o, given);
	if (error)
		return error;
	o->connection_count_max = o->connection_count_max ? o->connection_count_max : 50000;
	o->header_bytes_max = o->header_bytes_max ? o->header_bytes_max : 16384;
	o->body_bytes_max = o->body_bytes_max ? o->body_bytes_max : 1u << 20;
	o->header_timeout_ms = o->header_timeout_ms ? o->header_timeout_ms : 10000;
	o->body_timeout_ms = o->body_timeout_ms ? o->body_timeout_ms : 30000;
	o->idle_timeout_ms = o->idle_timeout_ms ? o->idle_timeout_ms : 60000;
	server->options = own;
	return HF_OK;
}

/* Adds every metric to the registry, or takes it out. */
static void register_counters(struct hf_http_server *server, bool add)
{
	static const char *const classes[] = {
		"class=\"1xx\"", "class=\"2xx\"", "class=\"3xx\"", "class=\"4xx\"", "class=\"5xx\""};
	static const char *const reasons[] = {
		"reason=\"full\"", "reason=\"address\"", "reason=\"memory\"", "reason=\"accept\"", "reason=\"untrusted\"",
		"reason=\"proxy\""};
	struct hf_metrics *m = server->options.metrics;
	struct {
		struct hf_counter *counter;
		const char *name, *labels, *help;
	} list[] = {
		{&server->counters.accepted, "holdfast_sockets_accepted_total", "", "Connections accepted"},
		{&server->counters.evicted, "holdfast_memory_disconnects_total", "",
			"Connections closed for holding the most when memory was short"},
		{&server->counters.timeouts, "holdfast_http_timeouts_total", "", "Connections closed for being slow or idle"},
		{&server->stream_counters.writes, "holdfast_socket_writes_total", "", "writev calls"},
		{&server->stream_counters.sent_bytes, "holdfast_socket_sent_bytes_total", "", "Bytes sent to clients"},
		{&server->stream_counters.received_bytes, "holdfast_socket_received_bytes_total", "",
			"Bytes received from clients"},
		{&server->websocket_counters.messages_in, "holdfast_websocket_messages_received_total", "",
			"WebSocket messages received"},
		{&server->websocket_counters.messages_out, "holdfast_websocket_messages_sent_total", "",
			"WebSocket messages queued for sending"},
		{&server->websocket_counters.slow_readers, "holdfast_websocket_slow_readers_total", "",
			"Connections closed because their send queue was full"},
		{&server->websocket_counters.timeouts, "holdfast_websocket_timeouts_total", "",
			"Connections closed because a ping was not answered"},
	};
	for (size_t i = 0; i < 5; i++) {
		struct hf_counter *c = &server->counters.requests[i];
		if (add)
			hf_counter_register(m, c, "holdfast_http_requests_total", classes[i],
				"HTTP requests answered, by class of status");
		else
			hf_metric_unregister(m, &c->link);
	}
	for (size_t i = 0; i < HF_HTTP_REFUSED_COUNT; i++) {
		struct hf_counter *c = &server->counters.refused[i];
		if (add)
			hf_counter_register(
				m, c, "holdfast_sockets_refused_total", reasons[i], "Connections refused at once, by reason");
		else
			hf_metric_unregister(m, &c->link);
	}
	for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
		if (add)
			hf_counter_register(m, list[i].counter, list[i].name, list[i].labels, list[i].help);
		else
			hf_metric_unregister(m, &list[i].counter->link);
	}
	for (size_t i = HF_TLS_NO_CERTIFICATE; i < HF_TLS_REFUSAL_COUNT; i++) {
		static const char *const why[] = {"", "reason=\"none\"", "reason=\"expired\"", "reason=\"revoked\"",
			"reason=\"unknown-authority\"", "reason=\"wrong\""};
		struct hf_counter *c = &server->counters.certificates[i];
		if (add)
			hf_counter_register(m, c, "holdfast_tls_client_certificates_refused_total", why[i],
				"Clients refused for their certificate, by reason");
		else
			hf_metric_unregister(m, &c->link);
	}
	if (add) {
		hf_gauge_register(m, &server->counters.sockets, "holdfast_sockets", "", "Open client sockets");
		hf_gauge_register(
			m, &server->websocket_counters.open, "holdfast_websockets", "", "Open WebSocket connections");
	} else {
		hf_metric_unregister(m, &server->counters.sockets.link);
		hf_metric_unregister(m, &server->websocket_counters.open.link);
	}
}

static void fire_drain_timer(struct hf_timer *timer);

int hf_http_server_new(struct hf_http_server **out, const struct hf_http_server_options *options)
{
	struct hf_http_server *server = calloc(1, sizeof *server);
	if (!server)
		return HF_ENOMEM;
	server->references = 1;
	server->drain_timer.fire = fire_drain_timer;
	int error = set_options(server, options);
	if (error) {
		free(server);
		return error;
	}
	uint64_t seed;
	struct hf_env *env = hf_loop_env(options->loop);
	env->random(env, &seed, sizeof seed);
	hf_map_init(&server->addresses, seed);
	if (server->options.metrics)
		register_counters(server, true);
	*out = server;
	return HF_OK;
}

void hf_http_server_reconfigure(struct hf_http_server *server, const struct hf_http_server_options *options)
{
	struct hf_loop *loop = server->options.loop;
	struct hf_metrics *metrics = server->options.metrics;
	set_options(server, options);
	server->options.loop = loop;
	server->options.metrics = metrics;
}

void hf_http_server_ref(struct hf_http_server *server)
{
	server->references++;
}

void hf_http_server_unref(struct hf_http_server *server)
{
	if (--server->references)
		return;
	hf_map_free(&server->addresses);
	free(server);
}

void hf_http_count_status(struct hf_http_server *server, int status)
{
	if (status >= 100 && status < 600)
		hf_counter_add(&server->counters.requests[status / 100 - 1], 1);
}

/* ---- Accepting ---- */

/* Who counts as one: an IPv4 address, or the /64 that an IPv6 subscriber has to itself. */
static struct hf_address_range neighbourhood(const struct hf_address *address)
{
	static const struct hf_address_range ipv4 = {{[10] = 0xff, 0xff}, 96};
	struct hf_address_range range = {.prefix_bits = 128};
	memcpy(range.ip, address->ip, sizeof range.ip);
	if (!hf_address_in_range(address, &ipv4))
		memset(range.ip + 8, 0, 8);
	return range;
}

static bool is_trusted(const struct hf_http_server *server, const struct hf_address *address)
{
	const struct hf_http_server_options *o = &server->options;
	for (size_t i = 0; i < o->trusted_proxy_count; i++)
		if (hf_address_in_range(address, &o->trusted_proxies[i]))
			return true;
	return false;
}

/* A proxy brings many. */
static bool is_limited(const struct hf_http_server *server, const struct hf_address *address)
{
	return server->options.connections_per_address_max > 0 && !is_trusted(server, address);
}

/* Counts one more connection of an address; false at the limit. */
static bool enter_address(struct hf_http_server *server, const struct hf_address *address)
{
	struct hf_address_range key = neighbourhood(address);
	struct address_count *entry = hf_map_get(&server->addresses, hf_slice(key.ip, 16));
	if (!entry) {
		entry = calloc(1, sizeof *entry);
		if (!entry)
			return false;
		memcpy(entry->ip, key.ip, 16);
		if (hf_map_put(&server->addresses, hf_slice(entry->ip, 16), entry, NULL)) {
			free(entry);
			return false;
		}
	}
	entry->connection_count++;
	return !is_limited(server, address) || entry->connection_count <= server->options.connections_per_address_max;
}

static void leave_address(struct hf_http_server *server, const struct hf_address *address)
{
	struct hf_address_range key = neighbourhood(address);
	struct address_count *entry = hf_map_get(&server->addresses, hf_slice(key.ip, 16));
	if (!entry || --entry->connection_count)
		return;
	hf_map_remove(&server->addresses, hf_slice(entry->ip, 16));
	free(entry);
}

static void finish_drain(struct hf_http_server *server)
{
	if (!server->drained || server->stream_count)
		return;
	void (*drained)(void *context) = server->drained;
	server->drained = NULL;
	hf_loop_timer_cancel(server->options.loop, &server->drain_timer);
	drained(server->drained_context);
}

static void on_gone(struct hf_stream *stream)
{
	struct hf_http_server *server = stream->server;
	if (stream->previous)
		stream->previous->next = stream->next;
	else
		server->streams = stream->next;
	if (stream->next)
		stream->next->previous = stream->previous;
	server->stream_count--;
	hf_gauge_set(&server->counters.sockets, server->stream_count);
	if (!stream->is_unix)
		leave_address(server, &stream->peer);
	finish_drain(server);
	hf_http_server_unref(server);
}

static void enlist(struct hf_http_server *server, struct hf_stream *stream)
{
	hf_http_server_ref(server);
	stream->server = server;
	stream->gone = on_gone;
	stream->counters = &server->stream_counters;
	stream->next = server->streams;
	if (stream->next)
		stream->next->previous = stream;
	server->streams = stream;
	server->stream_count++;
	hf_gauge_set(&server->counters.sockets, server->stream_count);
}

static void tell(struct hf_http_server *server, const struct hf_stream *stream, const char *why)
{
	uint64_t now_us = hf_loop_now_us(server->options.loop);
	char peer[HF_ADDRESS_TEXT_BYTES];
	if (server->told_us && now_us < server->told_us + TELL_INTERVAL_US)
		return;
	server->told_us = now_us;
	hf_log_warn(&log_http, "a connection was refused; others are only counted for ten seconds", "address=%s reason=\"%s\"",
		hf_address_text(&stream->peer, true, peer), why);
}

void hf_http_server_note_handshake(struct hf_http_server *server, const struct hf_stream *stream)
{
	enum hf_tls_refusal refusal = stream->tls ? hf_tls_session_refusal(stream->tls) : HF_TLS_NOT_REFUSED;
	char why[160];
	if (refusal == HF_TLS_NOT_REFUSED)
		return;
	hf_counter_add(&server->counters.certificates[refusal], 1);
	snprintf(why, sizeof why, "the client's certificate: %s", hf_stream_tls_error(stream));
	tell(server, stream, why);
}

/* Says why in one write without waiting for it, so that a flood costs nothing. */
void hf_http_server_refuse(struct hf_http_server *server, struct hf_stream *stream, bool is_plain, int reason, const char *why)
{
	static const char answer[] =
		"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 10\r\nContent-Length: 0\r\n\r\n";
	hf_counter_add(&server->counters.refused[reason], 1);
	uv_buf_t buffer = uv_buf_init((char *)(uintptr_t)answer, sizeof answer - 1);
	if (is_plain)
		uv_try_write(&stream->uv.stream, &buffer, 1);
	if (why)
		tell(server, stream, why);
	hf_stream_close(stream);
}

static void on_connection(uv_stream_t *handle, int status);

static void free_listener(struct hf_http_listener *listener)
{
	if (!listener->is_closed || listener->is_spare_busy)
		return;
	hf_http_server_unref(listener->server);
	free(listener);
}

static void on_spare_closed(uv_handle_t *handle)
{
	struct hf_http_listener *listener =
		HF_CONTAINER_OF(handle, struct hf_http_listener, spare);
	listener->is_spare_busy = false;
	if (!listener->is_closed && !uv_is_closing(&listener->uv.handle))
		on_connection(&listener->uv.stream, 0); /* one that came meanwhile is waiting */
	free_listener(listener);
}

/* Takes a connection only to close it. */
static void turn_away(struct hf_http_listener *listener)
{
	uv_loop_t *uv = listener->uv.handle.loop;
	if (listener->is_spare_busy)
		return; /* libuv keeps it until the spare is closed */
	if (listener->is_unix ? uv_pipe_init(uv, &listener->spare.pipe, 0) : uv_tcp_init(uv, &listener->spare.tcp))
		return;
	listener->is_spare_busy = true;
	uv_accept(&listener->uv.stream, &listener->spare.stream);
	uv_close(&listener->spare.handle, on_spare_closed);
}

void hf_http_server_welcome(struct hf_http_server *server, struct hf_stream *stream, struct hf_tls *tls, bool is_welcome)
{
	if (server->stream_count > server->options.connection_count_max && !stream->is_unix)
		hf_http_server_refuse(server, stream, !tls, HF_HTTP_REFUSED_FULL, NULL);
	else if (!is_welcome)
		hf_http_server_refuse(server, stream, !tls, HF_HTTP_REFUSED_ADDRESS, NULL);
	else if ((tls && hf_stream_start_tls(stream, tls, NULL)) || hf_http_exchange_new(server, stream))
		hf_http_server_refuse(server, stream, !tls, HF_HTTP_REFUSED_MEMORY, NULL);
	else
		hf_counter_add(&server->counters.accepted, 1);
}

bool hf_http_server_readdress(struct hf_http_server *server, struct hf_stream *stream, const struct hf_address *address)
{
	leave_address(server, &stream->peer);
	stream->peer = *address;
	return enter_address(server, &stream->peer);
}

static void on_connection(uv_stream_t *handle, int status)
{
	struct hf_http_listener *listener = (struct hf_http_listener *)(void *)handle;
	struct hf_http_server *server = listener->server;
	struct hf_stream *stream;
	if (status < 0) {
		/* Out of descriptors, mostly: libuv has refused the connection with its spare one. */
		hf_counter_add(&server->counters.refused[HF_HTTP_REFUSED_ACCEPT], 1);
		hf_log_debug(&log_http, "cannot accept", "reason=\"%s\"", uv_strerror(status));
		return;
	}
	if (hf_stream_new(&stream, server->options.loop, listener->is_unix)) {
		hf_counter_add(&server->counters.refused[HF_HTTP_REFUSED_MEMORY], 1);
		turn_away(listener);
		return;
	}
	if (!hf_stream_accept(stream, handle))
		return;
	bool is_welcome = stream->is_unix || enter_address(server, &stream->peer);
	enlist(server, stream);
	if (!listener->is_proxied || server->stream_count > server->options.connection_count_max)
		hf_http_server_welcome(server, stream, listener->tls, is_welcome);
	else if (!is_trusted(server, &stream->peer))
		hf_http_server_refuse(server, stream, !listener->tls, HF_HTTP_REFUSED_UNTRUSTED, "only gateway.trusted_proxies may connect here");
	else if (hf_http_proxied_new(server, stream, listener->tls))
		hf_http_server_refuse(server, stream, !listener->tls, HF_HTTP_REFUSED_MEMORY, NULL);
}

/* ---- Listening ---- */

static void on_listener_closed(uv_handle_t *handle)
{
	struct hf_http_listener *listener = (struct hf_http_listener *)(void *)handle;
	listener->is_closed = true;
	free_listener(listener);
}

static void close_listener(uv_handle_t *handle)
{
	if (!uv_is_closing(handle))
		uv_close(handle, on_listener_closed);
}

static struct hf_http_listener *new_listener(struct hf_http_server *server, struct hf_tls *tls, bool is_unix)
{
	struct hf_http_listener *listener = calloc(1, sizeof *listener);
	if (!listener)
		return NULL;
	uv_loop_t *uv = &server->options.loop->uv;
	if (is_unix ? uv_pipe_init(uv, &listener->uv.pipe, 0) : uv_tcp_init(uv, &listener->uv.tcp)) {
		free(listener);
		return NULL;
	}
	listener->uv.handle.data = (void *)close_listener;
	listener->server = server;
	listener->tls = tls;
	listener->is_unix = is_unix;
	hf_http_server_ref(server);
	return listener;
}

static const char *listen_advice(int uv_error)
{
	switch (uv_error) {
	case UV_EACCES:
		return "ports below 1024 need the capability CAP_NET_BIND_SERVICE; choose a higher port or grant it";
	case UV_EADDRINUSE:
		return "another program, or another holdfast, listens there; stop it or choose another port";
	case UV_EADDRNOTAVAIL:
		return "this machine does not have that address; see \"ip address\"";
	default:
		return "choose another address";
	}
}

static int accept_on(struct hf_http_server *server, struct hf_http_listener *listener, int uv_error, const char *where,
	struct hf_failure *failure)
{
	if (!uv_error)
		uv_error = uv_listen(&listener->uv.stream, BACKLOG, on_connection);
	if (uv_error) {
		close_listener(&listener->uv.handle);
		return hf_fail(failure, uv_error == UV_EACCES ? HF_EDENIED : HF_EADDR, "cannot listen on %s: %s; %s",
			where, uv_strerror(uv_error), listen_advice(uv_error));
	}
	listener->next = server->listeners;
	server->listeners = listener;
	return HF_OK;
}

static int listen_at(struct hf_http_server *server, const struct hf_address *address, struct hf_tls *tls, bool is_proxied,
	struct hf_address *bound, struct hf_failure *failure)
{
	char text[HF_ADDRESS_TEXT_BYTES];
	struct sockaddr_storage name;
	hf_address_text(address, true, text);
	hf_address_to_sockaddr(address, &name);
	struct hf_http_listener *listener = new_listener(server, tls, false);
	if (!listener)
		return hf_fail(failure, HF_ENOMEM, "cannot listen on %s: out of memory", text);
	listener->is_proxied = is_proxied;
	int uv_error = uv_tcp_bind(&listener->uv.tcp, (struct sockaddr *)&name, 0);
	int error = accept_on(server, listener, uv_error, text, failure);
	if (error || !bound)
		return error;
	int length = sizeof name;
	uv_tcp_getsockname(&listener->uv.tcp, (struct sockaddr *)&name, &length);
	hf_address_from_sockaddr(bound, (struct sockaddr *)&name);
	return HF_OK;
}

int hf_http_server_listen(struct hf_http_server *server, const struct hf_address *address, struct hf_tls *tls,
	struct hf_address *bound, struct hf_failure *failure)
{
	return listen_at(server, address, tls, false, bound, failure);
}

int hf_http_server_listen_proxied(struct hf_http_server *server, const struct hf_address *address, struct hf_tls *tls,
	struct hf_address *bound, struct hf_failure *failure)
{
	return listen_at(server, address, tls, true, bound, failure);
}

/* A socket file that nobody listens on any more is in the way of ours. */
static void remove_stale_socket(const char *path)
{
	struct stat status;
	if (lstat(path, &status) == 0 && S_ISSOCK(status.st_mode))
		unlink(path);
}

int hf_http_server_listen_unix(
	struct hf_http_server *server, const char *path, unsigned mode, struct hf_failure *failure)
{
	struct hf_http_listener *listener = new_listener(server, NULL, true);
	if (!listener)
		return hf_fail(failure, HF_ENOMEM, "cannot listen on %s: out of memory", path);
	remove_stale_socket(path);
	mode_t before = umask(0777 & ~mode);
	int uv_error = uv_pipe_bind(&listener->uv.pipe, path);
	umask(before);
	return accept_on(server, listener, uv_error, path, failure);
}

/* ---- Short of memory ---- */

#define HELD_CLASS_COUNT 256

/* Sizes by quarters of a power of two. */
static unsigned class_of(size_t bytes)
{
	if (bytes < 4)
		return (unsigned)bytes;
	unsigned exponent = 63 - (unsigned)__builtin_clzll(bytes);
	return exponent << 2 | (bytes >> (exponent - 2) & 3);
}

size_t hf_http_server_relieve(struct hf_http_server *server, size_t bytes)
{
	size_t sums[HELD_CLASS_COUNT] = {0}, going = 0, ended = 0, sum = 0;
	for (struct hf_stream *s = server->streams; s; s = s->next) {
		size_t held = s->events ? s->events->held(s->owner) : hf_stream_pending_bytes(s);
		if (s->events) {
			sums[class_of(held)] += held;
		} else if (held > 0) {
			going += held; /* ended before, and lingers */
			hf_stream_close(s);
		}
	}
	size_t wanted = bytes > going ? bytes - going : 0;
	unsigned least = HELD_CLASS_COUNT;
	while (least > 0 && sum < wanted)
		sum += sums[--least];
	/* Streams leave the list only when libuv has closed them, so it holds still. */
	for (struct hf_stream *s = server->streams; s && wanted > 0; s = s->next) {
		size_t held = s->events ? s->events->held(s->owner) : 0;
		if (held == 0 || class_of(held) < least)
			continue;
		s->events->evict(s->owner);
		hf_counter_add(&server->counters.evicted, 1);
		ended++;
		wanted -= held < wanted ? held : wanted;
	}
	return ended;
}

/* ---- Going away ---- */

static void close_listeners(struct hf_http_server *server)
{
	while (server->listeners) {
		struct hf_http_listener *next = server->listeners->next;
		close_listener(&server->listeners->uv.handle);
		server->listeners = next;
	}
}

/* Streams leave the list only when libuv has closed them, so the list holds still. */
static void break_off(struct hf_http_server *server)
{
	for (struct hf_stream *stream = server->streams; stream; stream = stream->next) {
		if (stream->events)
			stream->events->end(stream->owner, HF_ECANCELED);
		hf_stream_close(stream);
	}
}

static void fire_drain_timer(struct hf_timer *timer)
{
	break_off(HF_CONTAINER_OF(timer, struct hf_http_server, drain_timer));
}

void hf_http_server_drain(
	struct hf_http_server *server, uint32_t timeout_ms, void (*drained)(void *context), void *context)
{
	server->is_draining = true;
	server->drained = drained;
	server->drained_context = context;
	close_listeners(server);
	for (struct hf_stream *stream = server->streams; stream; stream = stream->next)
		if (stream->events)
			stream->events->drain(stream->owner);
	if (server->stream_count)
		hf_loop_timer_set(server->options.loop, &server->drain_timer, timeout_ms);
	else
		finish_drain(server);
}

void hf_http_server_free(struct hf_http_server *server)
{
	if (!server)
		return;
	server->drained = NULL;
	hf_loop_timer_cancel(server->options.loop, &server->drain_timer);
	close_listeners(server);
	break_off(server);
	if (server->options.metrics)
		register_counters(server, false);
	server->options.metrics = NULL;
	hf_http_server_unref(server);
}
