/* A socket ends in `conclude`, which is reached from the loop only: at once when the transport or the secret stream says so, at the end of
 * the iteration when it was closed, or its mux failed, inside of somebody's call. The first reason given is the one that is told.
 *
 * One deferred entry serves all: it concludes, or it tells `settled` and comes again in the next round of the same iteration, when
 * everybody has sent what there was to send, and then gives what was sealed to the transport.
 *
 * One timer, too: it looks for what is due when it fires, and is only moved when something is due earlier. */
#include "net/peer_socket.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"
#include "crypto/secret.h"
#include "net/peer_socket_private.h"
#include "net/peer_transport.h"

#define SLICES_PER_TAKE 32
#define SHORTAGE_RETRY_MS 100 /* while the loop's memory is short, which no transport hears the end of */

static void hold(struct hf_peer_socket *socket, enum hf_memory_kind kind, size_t *held, size_t bytes)
{
	if (socket->options.loop)
		hf_memory_change(&socket->options.loop->memory, kind, held, bytes);
	else
		*held = bytes;
}

static bool memory_is_short(const struct hf_peer_socket *socket)
{
	return socket->options.loop && hf_memory_lacks(&socket->options.loop->memory, 0);
}

/* ---- The end ---- */

static void enter(struct hf_peer_socket *socket)
{
	socket->depth++;
}

void hf_peer_socket_leave(struct hf_peer_socket *socket)
{
	if (--socket->depth == 0 && socket->is_freed)
		free(socket);
}

void hf_peer_socket_end_as(struct hf_peer_socket *socket, int code, const char *format, ...)
{
	va_list arguments;
	if (socket->is_ending)
		return;
	socket->is_ending = true;
	socket->code = code;
	va_start(arguments, format);
	if (vasprintf(&socket->why, format, arguments) < 0)
		socket->why = NULL;
	va_end(arguments);
	if (socket->secret)
		socket->transport->read(socket->wire, false);
	hf_peer_socket_defer(socket);
}

static const char *why(const struct hf_peer_socket *socket)
{
	return socket->why ? socket->why : hf_error_text(socket->code);
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

static void tell_observer(struct hf_peer_socket *socket, int code, const char *text)
{
	struct hf_peer_socket_observer *observer = socket->options.observer;
	socket->options.observer = NULL;
	if (observer)
		observer->closed(observer, socket, code, text);
}

void hf_peer_socket_free(struct hf_peer_socket *socket)
{
	if (!socket || socket->is_freed)
		return;
	enter(socket);
	socket->is_freed = socket->is_ending = true;
	tell_observer(socket, HF_ECANCELED, "The connection was given up on this side.");
	unlist(socket);
	hf_protomux_free(socket->mux);
	hf_secret_stream_free(socket->secret);
	if (socket->transport)
		socket->transport->close(socket->wire);
	socket->transport = NULL;
	if (socket->cipher)
		hf_wipe(socket->cipher, sizeof *socket->cipher);
	free(socket->cipher);
	free(socket->why);
	hold(socket, HF_MEMORY_SEND, &socket->sent_held, 0);
	hold(socket, HF_MEMORY_RECEIVE, &socket->gathered_held, 0);
	if (socket->host)
		hf_udp_cancel_deferred(socket->host, &socket->deferred);
	else
		hf_loop_cancel_deferred(socket->options.loop, &socket->deferred);
	hf_peer_socket_leave(socket);
}

static void pump(struct hf_peer_socket *socket);

/* What waits is sent, or dropped. */
static void let_transport_go(struct hf_peer_socket *socket)
{
	if (socket->secret && !socket->is_dropped && (socket->code == HF_OK || socket->code == HF_ECLOSED)) {
		pump(socket);
		socket->transport->finish(socket->wire);
	} else if (socket->transport) {
		socket->transport->close(socket->wire);
	}
	socket->transport = NULL;
}

/* The last thing that happens to a socket. */
static void conclude(struct hf_peer_socket *socket)
{
	if (socket->is_over || socket->is_freed)
		return;
	enter(socket);
	socket->is_over = true;
	if (socket->mux)
		hf_protomux_fail(socket->mux, socket->code ? socket->code : HF_ECLOSED, "%s", why(socket));
	if (!socket->is_freed)
		let_transport_go(socket);
	if (!socket->is_freed)
		tell_observer(socket, socket->code, why(socket));
	if (!socket->is_freed)
		socket->options.events->closed(socket->options.context, socket, socket->code, why(socket));
	hf_peer_socket_free(socket);
	hf_peer_socket_leave(socket);
}

void hf_peer_socket_close(struct hf_peer_socket *socket)
{
	hf_peer_socket_end_as(socket, HF_OK, "The connection was closed on this side.");
}

void hf_peer_socket_fail(struct hf_peer_socket *socket, int code, const char *text)
{
	if (!socket->is_ending)
		socket->is_dropped = true;
	hf_peer_socket_end_as(socket, code, "%s", text);
}

void hf_peer_socket_refuse(struct hf_peer_socket *socket, int error, const char *text)
{
	socket->transport = NULL;
	hf_peer_socket_end_as(socket, error, "%s", text);
	conclude(socket);
}

/* ---- Sending ---- */

static size_t transport_bytes(const struct hf_peer_socket *socket)
{
	return socket->transport ? socket->transport->pending_bytes(socket->wire) : 0;
}

size_t hf_peer_socket_pending_bytes(const struct hf_peer_socket *socket)
{
	return socket->secret ? transport_bytes(socket) + hf_secret_stream_pending_bytes(socket->secret) : 0;
}

/* Notes how much waits. True when it is time to send on. */
static bool look_at_pending(struct hf_peer_socket *socket)
{
	size_t pending = hf_peer_socket_pending_bytes(socket);
	bool is_short = pending > 0 && memory_is_short(socket);
	hold(socket, HF_MEMORY_SEND, &socket->sent_held, pending);
	if (pending > HF_PEER_SOCKET_HIGH_BYTES || is_short)
		socket->is_congested = true;
	if (!socket->is_congested || is_short || pending > HF_PEER_SOCKET_LOW_BYTES)
		return false;
	socket->is_congested = false;
	return true;
}

static uint64_t next_deadline(const struct hf_peer_socket *socket)
{
	uint64_t deadline = hf_secret_stream_deadline(socket->secret);
	uint64_t stalled = socket->moved_ms + socket->options.stall_timeout_ms;
	size_t waiting = transport_bytes(socket);
	if (!socket->mux && socket->opened_by_ms < deadline)
		deadline = socket->opened_by_ms;
	if (waiting > 0 && stalled < deadline)
		deadline = stalled;
	if (socket->is_congested && waiting <= HF_PEER_SOCKET_LOW_BYTES && hf_peer_socket_now_ms(socket) + SHORTAGE_RETRY_MS < deadline)
		deadline = hf_peer_socket_now_ms(socket) + SHORTAGE_RETRY_MS;
	return deadline;
}

void hf_peer_socket_set_timer(struct hf_peer_socket *socket)
{
	uint64_t deadline = next_deadline(socket), now = hf_peer_socket_now_ms(socket);
	if (deadline >= socket->timer_ms)
		return;
	socket->timer_ms = deadline;
	socket->transport->set_timeout(socket->wire, deadline > now ? deadline - now : 0);
}

static int give_to_transport(struct hf_peer_socket *socket, const struct hf_secret_stream_slice *slices, size_t count)
{
	size_t taken = count;
	int error = socket->transport->send(socket->wire, slices, count, &taken);
	while (error && taken < count)
		hf_secret_stream_release(slices[taken++].chunk);
	return error;
}

/* Everything that was sealed goes to the transport, which sends it later in this iteration. */
static void pump(struct hf_peer_socket *socket)
{
	struct hf_secret_stream_slice slices[SLICES_PER_TAKE];
	size_t count;
	int error = HF_OK;
	if (transport_bytes(socket) == 0) {
		socket->moved_ms = hf_peer_socket_now_ms(socket);
		socket->left_bytes = SIZE_MAX;
	}
	while (!error && (count = hf_secret_stream_send(socket->secret, slices, SLICES_PER_TAKE)) > 0)
		error = give_to_transport(socket, slices, count);
	if (error)
		hf_peer_socket_end_as(socket, error, "There is no memory for what is to be sent.");
	else
		hf_peer_socket_set_timer(socket);
}

void hf_peer_socket_run_deferred(struct hf_loop_deferred *deferred)
{
	struct hf_peer_socket *socket = HF_CONTAINER_OF(deferred, struct hf_peer_socket, deferred);
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
	hf_peer_socket_defer(socket);
	if (socket->options.events->settled)
		socket->options.events->settled(socket->options.context, socket);
	hf_peer_socket_leave(socket);
}

void hf_peer_socket_settle(struct hf_peer_socket *socket)
{
	if (!socket->mux || socket->is_ending)
		return;
	socket->is_unsettled = true;
	hf_peer_socket_defer(socket);
}

void hf_peer_socket_send_keep_alive(struct hf_peer_socket *socket)
{
	if (!socket->secret || socket->is_ending)
		return;
	if (hf_secret_stream_write(socket->secret, hf_peer_socket_now_ms(socket), NULL, 0) == HF_OK) /* else there is enough to acknowledge */
		hf_peer_socket_defer(socket);
}

/* ---- From the mux ---- */

static int on_mux_send(void *owner, const struct iovec *parts, int count)
{
	struct hf_peer_socket *socket = owner;
	if (hf_peer_socket_pending_bytes(socket) >= HF_PEER_SOCKET_PENDING_BYTES_MAX)
		return HF_EBUSY;
	int error = hf_secret_stream_write(socket->secret, hf_peer_socket_now_ms(socket), parts, (size_t)count);
	if (error)
		return error;
	look_at_pending(socket);
	hf_peer_socket_defer(socket);
	return HF_OK;
}

int hf_peer_socket_write(struct hf_peer_socket *socket, struct hf_slice message)
{
	struct iovec part = {(void *)(uintptr_t)message.data, message.length};
	if (!socket->mux)
		return HF_EWAIT;
	return socket->is_ending ? HF_ECLOSED : on_mux_send(socket, &part, 1);
}

static bool on_mux_is_congested(void *owner)
{
	return ((struct hf_peer_socket *)owner)->is_congested;
}

static void on_mux_pause(void *owner, bool paused)
{
	struct hf_peer_socket *socket = owner;
	if (socket->transport && !(socket->is_ending && !paused))
		socket->transport->read(socket->wire, !paused);
}

static void on_mux_error(void *owner, const struct hf_failure *failure)
{
	hf_peer_socket_end_as(owner, failure->code, "%s", failure->text);
}

static const struct hf_protomux_events mux_events = {
	.send = on_mux_send, .is_congested = on_mux_is_congested, .pause = on_mux_pause, .error = on_mux_error};

/* ---- From the secret stream ---- */

static void open_mux(struct hf_peer_socket *socket)
{
	struct hf_peer_socket_observer *observer = socket->options.observer;
	uint64_t seed;
	hf_peer_socket_env(socket)->random(hf_peer_socket_env(socket), &seed, sizeof seed);
	if (hf_protomux_new(&mux_events, socket, seed, socket->options.limits, &socket->mux)) {
		hf_peer_socket_end_as(socket, HF_ENOMEM, "There is no memory for the channels of the connection.");
		return;
	}
	if (observer && observer->opened)
		observer->opened(observer, socket);
	if (!socket->is_ending)
		socket->options.events->opened(socket->options.context, socket);
}

static void on_handshake(void *context, const uint8_t remote_key[static HF_SIGN_PUBLIC_BYTES],
	const uint8_t handshake_hash[static HF_HANDSHAKE_HASH_BYTES])
{
	open_mux(context);
}

static void on_header(void *context)
{
	struct hf_peer_socket *socket = context;
	if (!socket->mux && !socket->is_ending)
		open_mux(socket);
}

static void on_message(void *context, uint8_t *data, size_t length)
{
	struct hf_peer_socket *socket = context;
	if (socket->is_ending)
		return;
	if (socket->options.events->message)
		socket->options.events->message(socket->options.context, socket, hf_slice(data, length));
	else
		hf_protomux_recv(socket->mux, hf_slice(data, length));
}

const struct hf_secret_stream_events hf_peer_socket_secret_events = {
	.handshake = on_handshake, .header = on_header, .message = on_message};

static void secret_failed(struct hf_peer_socket *socket, int error)
{
	switch (error) {
	case HF_EMALFORMED:
		hf_peer_socket_end_as(socket, error, socket->mux ? "The remote sent what is no frame of the secret stream."
						: "The remote sent what is no handshake of the secret stream.");
		break;
	case HF_ETOOBIG: hf_peer_socket_end_as(socket, error, "The remote sent a message above the limit."); break;
	case HF_EBADSIG: hf_peer_socket_end_as(socket, error, "The remote sent what it has not sealed with the keys of the handshake."); break;
	case HF_ETIMEOUT: hf_peer_socket_end_as(socket, error, "Nothing came from the remote for %u ms.", socket->options.idle_timeout_ms); break;
	default: hf_peer_socket_end_as(socket, error, "The secret stream has ended: %s.", hf_error_text(error)); break;
	}
}

/* ---- From the transport ---- */

void hf_peer_socket_on_read(void *owner, uint8_t *data, size_t length)
{
	struct hf_peer_socket *socket = owner;
	if (socket->is_ending)
		return;
	enter(socket);
	int error = hf_secret_stream_recv(socket->secret, hf_peer_socket_now_ms(socket), data, length);
	if (!socket->is_freed) {
		socket->is_unsettled = socket->mux != NULL;
		hf_peer_socket_defer(socket);
		hold(socket, HF_MEMORY_RECEIVE, &socket->gathered_held, hf_secret_stream_gathered_bytes(socket->secret));
		if (error) {
			secret_failed(socket, error);
			conclude(socket);
		}
	}
	hf_peer_socket_leave(socket);
}

void hf_peer_socket_on_end(void *owner, int error)
{
	struct hf_peer_socket *socket = owner;
	const char *when = !socket->mux ? " before the handshake was finished" : socket->gathered_held > 0 ? " within a message" : "";
	if (error == HF_ECLOSED)
		hf_peer_socket_end_as(socket, error, "The remote has closed the connection%s.", when);
	else if (error == HF_EIO)
		hf_peer_socket_end_as(socket, error, "The connection was broken off%s.", when);
	else
		hf_peer_socket_end_as(socket, error, "The connection was lost%s: %s.", when, hf_error_text(error));
	conclude(socket);
}

/* Whether the remote has taken nothing for too long. */
static bool is_stalled(struct hf_peer_socket *socket)
{
	size_t left = socket->transport->untaken_bytes(socket->wire);
	if (transport_bytes(socket) == 0)
		return false;
	if (left < socket->left_bytes) {
		socket->left_bytes = left;
		socket->moved_ms = hf_peer_socket_now_ms(socket);
	}
	return hf_peer_socket_now_ms(socket) >= socket->moved_ms + socket->options.stall_timeout_ms;
}

static void drain(struct hf_peer_socket *socket)
{
	if (!look_at_pending(socket) || !socket->mux || socket->is_ending)
		return;
	enter(socket);
	hf_protomux_drained(socket->mux);
	hf_peer_socket_leave(socket);
}

void hf_peer_socket_on_timeout(void *owner)
{
	struct hf_peer_socket *socket = owner;
	int error = hf_secret_stream_tick(socket->secret, hf_peer_socket_now_ms(socket));
	socket->timer_ms = UINT64_MAX;
	if (error)
		secret_failed(socket, error);
	else if (!socket->mux && hf_peer_socket_now_ms(socket) >= socket->opened_by_ms)
		hf_peer_socket_end_as(socket, HF_ETIMEOUT, "The remote has not finished the handshake within %u ms.",
			socket->options.handshake_timeout_ms);
	else if (is_stalled(socket))
		hf_peer_socket_end_as(socket, HF_ETIMEOUT, "The remote has taken nothing for %u ms of what was sent.", socket->options.stall_timeout_ms);
	enter(socket);
	if (!socket->is_ending && socket->is_congested)
		drain(socket);
	if (socket->is_freed) {
		hf_peer_socket_leave(socket);
		return;
	}
	if (socket->is_ending)
		conclude(socket);
	else
		pump(socket);
	hf_peer_socket_leave(socket);
}

void hf_peer_socket_on_progress(void *owner)
{
	struct hf_peer_socket *socket = owner;
	socket->moved_ms = hf_peer_socket_now_ms(socket);
	socket->left_bytes = SIZE_MAX;
	drain(socket);
}

void hf_peer_socket_on_move(void *owner, const struct hf_address *remote)
{
	((struct hf_peer_socket *)owner)->address = *remote;
}

/* ---- In a listener's list ---- */

void hf_peer_socket_list(struct hf_peer_socket *socket, struct hf_peer_listener *listener)
{
	socket->listener = listener;
	HF_LIST_PUSH(listener->sockets, socket);
	listener->socket_count++;
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
