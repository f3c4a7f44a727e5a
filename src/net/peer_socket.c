/* A socket ends in `conclude`, which is reached from the loop only: at once when the stream or the secret stream says so, at the end of
 * the iteration when it was closed, or its mux failed, inside of somebody's call. The first reason given is the one that is told.
 *
 * One deferred entry serves all: it concludes, or it tells `settled` and comes again in the next round of the same iteration, when
 * everybody has sent what there was to send, and then gives what was sealed to the stream.
 *
 * One timer, too: it looks for what is due when it fires, and is only moved when something is due earlier. */
#include "net/peer_socket.h"

#include <linux/sockios.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "base/list.h"
#include "base/options.h"
#include "base/text.h"
#include "net/connect.h"
#include "net/loop_private.h"
#include "net/peer_socket_private.h"

#define SLICES_PER_TAKE 32

struct hf_peer_socket {
	struct hf_peer_socket_options options;
	struct hf_protomux_limits limits;
	struct hf_peer_listener *listener;      /* NULL: we have dialled, or it is gone */
	struct hf_peer_socket *previous, *next; /* in the listener's list */
	struct hf_connect *connect;
	struct hf_stream *stream;
	struct hf_secret_stream *secret;
	struct hf_protomux *mux;
	struct hf_loop_deferred deferred;
	struct hf_address address;
	uint64_t timer_ms;              /* what the stream's timer is set to */
	uint64_t opened_by_ms;          /* when the handshake has to be finished */
	uint64_t moved_ms;              /* when the remote last took something, or had all */
	size_t left_bytes;              /* not taken by the remote, at the last look */
	size_t sent_held, gathered_held; /* counted in the loop's memory */
	uint32_t depth;                 /* of calls under way that go on to use the socket */
	bool is_initiator, is_congested, is_unsettled;
	bool is_ending;                 /* it ends as `failure` says, and hears nothing more */
	bool is_over;                   /* `closed` is being told */
	bool is_freed;
	struct hf_failure failure;
};

static uint64_t now_ms(const struct hf_peer_socket *socket)
{
	return hf_loop_now_us(socket->options.loop) / 1000;
}

static struct hf_memory *memory_of(struct hf_peer_socket *socket)
{
	return &socket->options.loop->memory;
}

/* ---- The end ---- */

static void enter(struct hf_peer_socket *socket)
{
	socket->depth++;
}

static void leave(struct hf_peer_socket *socket)
{
	if (--socket->depth == 0 && socket->is_freed)
		free(socket);
}

__attribute__((format(printf, 3, 4))) static void fail(struct hf_peer_socket *socket, int code, const char *format, ...)
{
	va_list arguments;
	if (socket->is_ending)
		return;
	socket->is_ending = true;
	socket->failure.code = code;
	va_start(arguments, format);
	vsnprintf(socket->failure.text, sizeof socket->failure.text, format, arguments);
	va_end(arguments);
	if (socket->stream)
		hf_stream_stop_reading(socket->stream);
	hf_loop_defer(socket->options.loop, &socket->deferred);
}

static void unlist(struct hf_peer_socket *socket)
{
	struct hf_peer_listener *listener = socket->listener;
	if (!listener)
		return;
	HF_LIST_REMOVE(listener->sockets, socket);
	listener->socket_count--;
	socket->listener = NULL;
}

void hf_peer_socket_free(struct hf_peer_socket *socket)
{
	if (!socket || socket->is_freed)
		return;
	enter(socket);
	socket->is_freed = socket->is_ending = true;
	unlist(socket);
	hf_protomux_free(socket->mux);
	hf_secret_stream_free(socket->secret);
	if (socket->connect)
		hf_connect_cancel(socket->connect);
	if (socket->stream)
		hf_stream_close(socket->stream);
	hf_memory_change(memory_of(socket), HF_MEMORY_SEND, &socket->sent_held, 0);
	hf_memory_change(memory_of(socket), HF_MEMORY_RECEIVE, &socket->gathered_held, 0);
	hf_loop_cancel_deferred(socket->options.loop, &socket->deferred);
	leave(socket);
}

static void pump(struct hf_peer_socket *socket);

/* The last thing that happens to a socket. */
static void conclude(struct hf_peer_socket *socket)
{
	int code = socket->failure.code;
	if (socket->is_over || socket->is_freed)
		return;
	enter(socket);
	socket->is_over = true;
	if (socket->mux)
		hf_protomux_fail(socket->mux, code ? code : HF_ECLOSED, "%s", socket->failure.text);
	if (!socket->is_freed && socket->stream && (code == HF_OK || code == HF_ECLOSED)) {
		pump(socket);
		hf_stream_finish(socket->stream);
		socket->stream = NULL;
	}
	if (!socket->is_freed)
		socket->options.events->closed(socket->options.context, socket, code, socket->failure.text);
	hf_peer_socket_free(socket);
	leave(socket);
}

void hf_peer_socket_close(struct hf_peer_socket *socket)
{
	fail(socket, HF_OK, "The connection was closed on this side.");
}

/* ---- Sending ---- */

size_t hf_peer_socket_pending_bytes(const struct hf_peer_socket *socket)
{
	return (socket->stream ? hf_stream_pending_bytes(socket->stream) : 0) +
	       (socket->secret ? hf_secret_stream_pending_bytes(socket->secret) : 0);
}

/* Notes how much waits. True when it is time to send on. */
static bool look_at_pending(struct hf_peer_socket *socket)
{
	size_t pending = hf_peer_socket_pending_bytes(socket);
	bool is_short = pending > 0 && hf_memory_lacks(memory_of(socket), 0);
	hf_memory_change(memory_of(socket), HF_MEMORY_SEND, &socket->sent_held, pending);
	if (pending > HF_PEER_SOCKET_HIGH_BYTES || is_short)
		socket->is_congested = true;
	if (!socket->is_congested || is_short || pending >= HF_PEER_SOCKET_LOW_BYTES)
		return false;
	socket->is_congested = false;
	return true;
}

static uint64_t next_deadline(const struct hf_peer_socket *socket)
{
	uint64_t deadline = hf_secret_stream_deadline(socket->secret);
	uint64_t stalled = socket->moved_ms + socket->options.stall_timeout_ms;
	if (!socket->mux && socket->opened_by_ms < deadline)
		deadline = socket->opened_by_ms;
	if (hf_stream_pending_bytes(socket->stream) > 0 && stalled < deadline)
		deadline = stalled;
	return deadline;
}

static void set_timer(struct hf_peer_socket *socket)
{
	uint64_t deadline = next_deadline(socket), now = now_ms(socket);
	if (deadline >= socket->timer_ms)
		return;
	socket->timer_ms = deadline;
	hf_stream_set_timeout(socket->stream, deadline > now ? deadline - now : 0);
}

static int give_to_stream(struct hf_peer_socket *socket, const struct hf_secret_stream_slice *slices, size_t count)
{
	int error = HF_OK;
	for (size_t i = 0; i < count; i++) {
		if (!error)
			error = hf_stream_send_shared(socket->stream, hf_slice(slices[i].data, slices[i].length), slices[i].chunk,
				hf_secret_stream_release);
		if (error)
			hf_secret_stream_release(slices[i].chunk);
	}
	return error;
}

/* Everything that was sealed goes to the stream, which writes it later in this iteration. */
static void pump(struct hf_peer_socket *socket)
{
	struct hf_secret_stream_slice slices[SLICES_PER_TAKE];
	size_t count;
	int error = HF_OK;
	if (hf_stream_pending_bytes(socket->stream) == 0) {
		socket->moved_ms = now_ms(socket);
		socket->left_bytes = SIZE_MAX;
	}
	while (!error && (count = hf_secret_stream_send(socket->secret, slices, SLICES_PER_TAKE)) > 0)
		error = give_to_stream(socket, slices, count);
	if (error)
		fail(socket, error, "There is no memory for what is to be sent.");
	else
		set_timer(socket);
}

static void run_deferred(struct hf_loop_deferred *deferred)
{
	struct hf_peer_socket *socket =
		HF_CONTAINER_OF(deferred, struct hf_peer_socket, deferred);
	if (socket->is_ending) {
		conclude(socket);
		return;
	}
	if (!socket->is_unsettled) {
		pump(socket);
		return;
	}
	enter(socket);
	socket->is_unsettled = false;
	hf_loop_defer(socket->options.loop, &socket->deferred);
	if (socket->options.events->settled)
		socket->options.events->settled(socket->options.context, socket);
	leave(socket);
}

void hf_peer_socket_settle(struct hf_peer_socket *socket)
{
	if (!socket->mux || socket->is_ending)
		return;
	socket->is_unsettled = true;
	hf_loop_defer(socket->options.loop, &socket->deferred);
}

/* ---- From the mux ---- */

static int on_mux_send(void *owner, const struct iovec *parts, int count)
{
	struct hf_peer_socket *socket = owner;
	if (hf_peer_socket_pending_bytes(socket) >= HF_PEER_SOCKET_PENDING_BYTES_MAX)
		return HF_EBUSY;
	int error = hf_secret_stream_write(socket->secret, now_ms(socket), parts, (size_t)count);
	if (error)
		return error;
	look_at_pending(socket);
	hf_loop_defer(socket->options.loop, &socket->deferred);
	return HF_OK;
}

static bool on_mux_is_congested(void *owner)
{
	return ((struct hf_peer_socket *)owner)->is_congested;
}

static void on_mux_pause(void *owner, bool paused)
{
	struct hf_peer_socket *socket = owner;
	if (paused)
		hf_stream_stop_reading(socket->stream);
	else if (!socket->is_ending)
		hf_stream_start_reading(socket->stream);
}

static void on_mux_error(void *owner, const struct hf_failure *failure)
{
	fail(owner, failure->code, "%s", failure->text);
}

static const struct hf_protomux_events mux_events = {
	.send = on_mux_send, .is_congested = on_mux_is_congested, .pause = on_mux_pause, .error = on_mux_error};

/* ---- From the secret stream ---- */

static void on_handshake(void *context, const uint8_t remote_key[static HF_SIGN_PUBLIC_BYTES],
	const uint8_t handshake_hash[static HF_HANDSHAKE_HASH_BYTES])
{
	struct hf_peer_socket *socket = context;
	struct hf_env *env = hf_loop_env(socket->options.loop);
	uint64_t seed;
	env->random(env, &seed, sizeof seed);
	if (hf_protomux_new(&mux_events, socket, seed, socket->options.limits, &socket->mux)) {
		fail(socket, HF_ENOMEM, "There is no memory for the channels of the connection.");
		return;
	}
	socket->options.events->opened(socket->options.context, socket);
}

static void on_message(void *context, uint8_t *data, size_t length)
{
	struct hf_peer_socket *socket = context;
	if (!socket->is_ending)
		hf_protomux_recv(socket->mux, hf_slice(data, length));
}

static const struct hf_secret_stream_events secret_events = {.handshake = on_handshake, .message = on_message};

static void secret_failed(struct hf_peer_socket *socket, int error)
{
	switch (error) {
	case HF_EMALFORMED:
		fail(socket, error, socket->mux ? "The remote sent what is no frame of the secret stream."
						: "The remote sent what is no handshake of the secret stream.");
		break;
	case HF_ETOOBIG: fail(socket, error, "The remote sent a message above the limit."); break;
	case HF_EBADSIG: fail(socket, error, "The remote sent what it has not sealed with the keys of the handshake."); break;
	case HF_ETIMEOUT: fail(socket, error, "Nothing came from the remote for %u ms.", socket->options.idle_timeout_ms); break;
	default: fail(socket, error, "The secret stream has ended: %s.", hf_error_text(error)); break;
	}
}

/* ---- From the stream ---- */

static void on_read(void *owner, uint8_t *data, size_t length)
{
	struct hf_peer_socket *socket = owner;
	if (socket->is_ending)
		return;
	enter(socket);
	int error = hf_secret_stream_recv(socket->secret, now_ms(socket), data, length);
	if (!socket->is_freed) {
		socket->is_unsettled = socket->mux != NULL;
		hf_loop_defer(socket->options.loop, &socket->deferred);
		hf_memory_change(memory_of(socket), HF_MEMORY_RECEIVE, &socket->gathered_held,
			hf_secret_stream_gathered_bytes(socket->secret));
		if (error) {
			secret_failed(socket, error);
			conclude(socket);
		}
	}
	leave(socket);
}

static void on_end(void *owner, int error)
{
	struct hf_peer_socket *socket = owner;
	const char *when = !socket->mux ? " before the handshake was finished" : socket->gathered_held > 0 ? " within a message" : "";
	if (error == HF_ECLOSED)
		fail(socket, error, "The remote has closed the connection%s.", when);
	else
		fail(socket, error, "The connection was lost%s: %s.", when, hf_error_text(error));
	conclude(socket);
}

/* With libuv, and with the kernel, which may hold megabytes and tells libuv of room in large steps. */
static size_t not_taken(const struct hf_stream *stream)
{
	uv_os_fd_t fd;
	int unacknowledged = 0;
	if (uv_fileno(&stream->uv.handle, &fd) || ioctl(fd, SIOCOUTQ, &unacknowledged))
		unacknowledged = 0;
	return uv_stream_get_write_queue_size(&stream->uv.stream) + (size_t)unacknowledged;
}

/* Whether the remote has taken nothing for too long. */
static bool is_stalled(struct hf_peer_socket *socket)
{
	size_t left = not_taken(socket->stream);
	if (hf_stream_pending_bytes(socket->stream) == 0)
		return false;
	if (left < socket->left_bytes) {
		socket->left_bytes = left;
		socket->moved_ms = now_ms(socket);
	}
	return now_ms(socket) >= socket->moved_ms + socket->options.stall_timeout_ms;
}

static void on_timeout(void *owner)
{
	struct hf_peer_socket *socket = owner;
	int error = hf_secret_stream_tick(socket->secret, now_ms(socket));
	socket->timer_ms = UINT64_MAX;
	if (error)
		secret_failed(socket, error);
	else if (!socket->mux && now_ms(socket) >= socket->opened_by_ms)
		fail(socket, HF_ETIMEOUT, "The remote has not finished the handshake within %u ms.", socket->options.handshake_timeout_ms);
	else if (is_stalled(socket))
		fail(socket, HF_ETIMEOUT, "The remote has taken nothing for %u ms of what was sent.", socket->options.stall_timeout_ms);
	if (socket->is_ending)
		conclude(socket);
	else
		pump(socket);
}

static void on_progress(void *owner)
{
	struct hf_peer_socket *socket = owner;
	socket->moved_ms = now_ms(socket);
	socket->left_bytes = SIZE_MAX;
	if (!look_at_pending(socket) || !socket->mux || socket->is_ending)
		return;
	enter(socket);
	hf_protomux_drained(socket->mux);
	leave(socket);
}

static const struct hf_stream_events stream_events = {
	.read = on_read, .end = on_end, .timeout = on_timeout, .progress = on_progress};

/* ---- The beginning ---- */

int hf_peer_socket_options_take(
	struct hf_peer_socket_options *o, struct hf_protomux_limits *limits, const struct hf_peer_socket_options *given)
{
	int error = hf_options_take(o, sizeof *o, given);
	if (error)
		return error;
	o->connection_count_max = o->connection_count_max ? o->connection_count_max : HF_PEER_SOCKET_CONNECTION_COUNT_MAX;
	o->connect_timeout_ms = o->connect_timeout_ms ? o->connect_timeout_ms : HF_PEER_SOCKET_CONNECT_TIMEOUT_MS;
	o->handshake_timeout_ms = o->handshake_timeout_ms ? o->handshake_timeout_ms : HF_PEER_SOCKET_HANDSHAKE_TIMEOUT_MS;
	o->keep_alive_ms = o->keep_alive_ms ? o->keep_alive_ms : HF_SECRET_STREAM_KEEP_ALIVE_MS;
	o->stall_timeout_ms = o->stall_timeout_ms ? o->stall_timeout_ms : HF_PEER_SOCKET_STALL_TIMEOUT_MS;
	if (o->limits) {
		*limits = *o->limits;
		o->limits = limits;
	}
	return HF_OK;
}

static int new_socket(struct hf_peer_socket **out, const struct hf_peer_socket_options *options)
{
	struct hf_peer_socket *socket = *out = calloc(1, sizeof *socket);
	if (!socket)
		return HF_ENOMEM;
	socket->deferred.run = run_deferred;
	socket->timer_ms = UINT64_MAX;
	return hf_peer_socket_options_take(&socket->options, &socket->limits, options);
}

static int loop_pool(struct hf_loop *loop, struct hf_secret_stream_pool **pool)
{
	int error = loop->secret_stream_pool ? HF_OK : hf_secret_stream_pool_new(&loop->secret_stream_pool);
	*pool = loop->secret_stream_pool;
	return error;
}

/* Begins the handshake on a connected stream, which stays the caller's on HF_ENOMEM. */
static int begin(struct hf_peer_socket *socket, struct hf_stream *stream, bool is_initiator)
{
	const struct hf_peer_socket_options *o = &socket->options;
	struct hf_secret_stream_options secret = {
		.is_initiator = is_initiator,
		.static_secret = o->static_secret,
		.env = hf_loop_env(o->loop),
		.message_bytes_max = o->message_bytes_max,
		.keep_alive_ms = o->keep_alive_ms,
		.idle_timeout_ms = o->idle_timeout_ms,
		.events = &secret_events,
		.context = socket,
	};
	int error = loop_pool(o->loop, &secret.pool);
	if (!error)
		error = hf_secret_stream_new(&socket->secret, &secret, now_ms(socket));
	if (error)
		return error;
	socket->is_initiator = is_initiator;
	socket->address = stream->peer;
	socket->opened_by_ms = now_ms(socket) + o->handshake_timeout_ms;
	socket->stream = stream;
	hf_stream_own(stream, &stream_events, socket);
	hf_stream_start_reading(stream);
	set_timer(socket);
	hf_loop_defer(o->loop, &socket->deferred);
	return HF_OK;
}

int hf_peer_socket_accept(struct hf_peer_listener *listener, struct hf_stream *stream)
{
	struct hf_peer_socket *socket;
	int error = new_socket(&socket, &listener->options);
	if (error)
		return error; /* there is none: the listener's options are sound */
	error = begin(socket, stream, listener->options.listener_initiates);
	if (error) {
		hf_peer_socket_free(socket);
		return error;
	}
	socket->listener = listener;
	HF_LIST_PUSH(listener->sockets, socket);
	listener->socket_count++;
	return HF_OK;
}

void hf_peer_sockets_orphan(struct hf_peer_listener *listener)
{
	while (listener->sockets) {
		struct hf_peer_socket *socket = listener->sockets;
		unlist(socket);
		if (!socket->mux)
			hf_peer_socket_free(socket);
	}
}

static void on_connected(void *context, struct hf_stream *stream, int error, const char *detail)
{
	struct hf_peer_socket *socket = context;
	socket->connect = NULL;
	if (!error && (error = begin(socket, stream, !socket->options.listener_initiates))) {
		hf_stream_close(stream);
		detail = "out of memory";
	}
	if (!error)
		return;
	fail(socket, error, "%s", detail);
	conclude(socket);
}

static int parse_host_port(struct hf_url *url, const char *text, struct hf_failure *failure)
{
	const char *colon = strrchr(text, ':'), *host = text;
	size_t length = colon ? (size_t)(colon - text) : 0;
	uint64_t port;
	*url = (struct hf_url){0};
	if (length > 2 && host[0] == '[' && host[length - 1] == ']') {
		host++;
		length -= 2;
	} else if (host[0] == '[' || memchr(host, ':', length)) {
		length = 0;
	}
	if (length == 0 || length > HF_URL_HOST_BYTES_MAX || hf_text_to_u64(colon + 1, &port) || port == 0 || port > 65535)
		return hf_fail(failure, HF_EADDR, "\"%.128s\" is no address to connect to: write HOST:PORT, or [IPV6]:PORT", text);
	memcpy(url->host, host, length);
	url->port = (uint16_t)port;
	return HF_OK;
}

int hf_peer_socket_connect(struct hf_peer_socket **out, const struct hf_peer_socket_options *options, const char *address,
	struct hf_failure *failure)
{
	struct hf_url url;
	*out = NULL;
	int error = parse_host_port(&url, address, failure);
	if (error)
		return error;
	struct hf_peer_socket *socket;
	error = new_socket(&socket, options);
	if (!error)
		error = hf_connect_start(&socket->connect, socket->options.loop, &url, NULL, NULL, socket->options.connect_timeout_ms,
			on_connected, socket);
	if (error) {
		free(socket);
		return hf_fail(failure, error, "cannot connect to %s: %s", address, hf_error_text(error));
	}
	*out = socket;
	return HF_OK;
}

/* ---- What there is to know ---- */

void hf_peer_socket_set_context(struct hf_peer_socket *socket, void *context)
{
	socket->options.context = context;
}

void *hf_peer_socket_context(const struct hf_peer_socket *socket)
{
	return socket->options.context;
}

const struct hf_address *hf_peer_socket_address(const struct hf_peer_socket *socket)
{
	return &socket->address;
}

struct hf_protomux *hf_peer_socket_mux(const struct hf_peer_socket *socket)
{
	return socket->mux;
}

bool hf_peer_socket_is_initiator(const struct hf_peer_socket *socket)
{
	return socket->is_initiator;
}

const uint8_t *hf_peer_socket_remote_key(const struct hf_peer_socket *socket)
{
	return hf_secret_stream_remote_key(socket->secret);
}

const uint8_t *hf_peer_socket_handshake_hash(const struct hf_peer_socket *socket)
{
	return hf_secret_stream_handshake_hash(socket->secret);
}
