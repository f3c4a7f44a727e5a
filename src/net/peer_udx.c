/* After `finish` the stream lingers without its socket: what waits is sent, what comes is forgotten, until both sides have ended, or
 * nothing was acknowledged for a while. */
#include "net/peer_udx.h"

#include <stdlib.h>

#include "base/list.h"
#include "net/peer_socket_private.h"
#include "net/peer_transport.h"

struct wire {
	struct hf_udx_stream *stream;
	struct hf_udp_host *host;
	struct hf_peer_socket *socket; /* NULL: it lingers */
	const struct hf_peer_udx_watch *watch;
	void *context;
	struct hf_timer timer;
	size_t left_bytes; /* not acknowledged at the last look, while it lingers */
};

/* ---- Life ---- */

static void tell_ended(struct wire *wire)
{
	wire->socket = NULL;
	if (wire->watch != NULL && wire->watch->ended != NULL)
		wire->watch->ended(wire->context);
}

static void destroy(struct wire *wire)
{
	const struct hf_peer_udx_watch *watch = wire->watch;
	void *context = wire->context;

	hf_udp_timer_cancel(wire->host, &wire->timer);
	hf_udx_stream_free(wire->stream);
	free(wire);
	if (watch != NULL && watch->gone != NULL)
		watch->gone(context);
}

static void udx_close(void *wire)
{
	tell_ended(wire);
	destroy(wire);
}

static void udx_set_timeout(void *context, uint64_t delay_ms)
{
	struct wire *wire = context;

	hf_udp_timer_set(wire->host, &wire->timer, delay_ms);
}

static void udx_finish(void *context)
{
	struct wire *wire = context;

	tell_ended(wire);
	hf_udx_stream_resume(wire->stream);
	hf_udx_stream_end(wire->stream);
	wire->left_bytes = hf_udx_stream_pending_bytes(wire->stream);
	udx_set_timeout(wire, HF_PEER_UDX_LINGER_MS);
}

static void fire_timer(struct hf_timer *timer)
{
	struct wire *wire = HF_CONTAINER_OF(timer, struct wire, timer);
	size_t left = hf_udx_stream_pending_bytes(wire->stream);

	if (wire->socket != NULL) {
		hf_peer_socket_on_timeout(wire->socket);
		return;
	}
	if (left == 0 || left >= wire->left_bytes) {
		destroy(wire);
		return;
	}
	wire->left_bytes = left;
	udx_set_timeout(wire, HF_PEER_UDX_LINGER_MS);
}

/* ---- Down ---- */

static int udx_send(void *context, const struct hf_secret_stream_slice *slices, size_t count, size_t *taken)
{
	struct wire *wire = context;

	for (size_t i = 0; i < count; i++) {
		struct hf_udx_piece piece = {.bytes = hf_slice(slices[i].data, slices[i].length), .owner = slices[i].chunk,
			.release = hf_secret_stream_release};
		int error = hf_udx_stream_write(wire->stream, &piece, 1);
		if (error != HF_OK) {
			*taken = i;
			return error;
		}
	}
	return HF_OK;
}

static size_t udx_pending_bytes(const void *context)
{
	return hf_udx_stream_unsent_bytes(((const struct wire *)context)->stream);
}

static size_t udx_untaken_bytes(const void *context)
{
	return hf_udx_stream_pending_bytes(((const struct wire *)context)->stream);
}

static void udx_read(void *context, bool on)
{
	struct wire *wire = context;

	if (on)
		hf_udx_stream_resume(wire->stream);
	else
		hf_udx_stream_pause(wire->stream);
}

static int udx_send_datagram(void *context, struct hf_slice datagram)
{
	return hf_udx_stream_send_message(((struct wire *)context)->stream, datagram);
}

static size_t udx_datagram_bytes_max(const void *context)
{
	return hf_udx_stream_message_bytes_max(((const struct wire *)context)->stream);
}

static const struct hf_peer_transport transport = {
	.send = udx_send,
	.pending_bytes = udx_pending_bytes,
	.untaken_bytes = udx_untaken_bytes,
	.set_timeout = udx_set_timeout,
	.read = udx_read,
	.send_datagram = udx_send_datagram,
	.datagram_bytes_max = udx_datagram_bytes_max,
	.finish = udx_finish,
	.close = udx_close,
};

/* ---- Up ---- */

static void tell_heard(struct wire *wire)
{
	if (wire->socket != NULL && wire->watch != NULL && wire->watch->heard != NULL)
		wire->watch->heard(wire->context, wire->stream);
}

static void on_data(void *context, struct hf_udx_stream *stream, uint8_t *data, size_t length)
{
	struct wire *wire = context;

	tell_heard(wire);
	if (wire->socket != NULL)
		hf_peer_socket_on_read(wire->socket, data, length);
}

static void on_end(void *context, struct hf_udx_stream *stream)
{
	struct wire *wire = context;

	if (wire->socket != NULL)
		hf_peer_socket_on_end(wire->socket, HF_ECLOSED);
}

static void on_drained(void *context, struct hf_udx_stream *stream)
{
	struct wire *wire = context;

	if (wire->socket != NULL)
		hf_peer_socket_on_progress(wire->socket);
}

static void on_message(void *context, struct hf_udx_stream *stream, uint8_t *data, size_t length)
{
	struct wire *wire = context;

	tell_heard(wire);
	if (wire->socket != NULL && length > 0)
		hf_peer_socket_on_datagram(wire->socket, data, length);
}

static bool on_firewall(void *context, struct hf_udx_stream *stream, const struct hf_udx_path *from)
{
	struct wire *wire = context;

	return wire->socket != NULL && wire->watch != NULL && wire->watch->firewall != NULL && wire->watch->firewall(wire->context, stream, from);
}

static void on_remote_changed(void *context, struct hf_udx_stream *stream)
{
	struct wire *wire = context;

	if (wire->socket == NULL)
		return;
	hf_peer_socket_on_move(wire->socket, &hf_udx_stream_path(stream)->remote);
	if (wire->watch != NULL && wire->watch->remote_changed != NULL)
		wire->watch->remote_changed(wire->context, stream);
}

/* A stream that the remote destroyed is broken: nobody knows how much of what was sent has arrived. */
static void on_closed(void *context, struct hf_udx_stream *stream, int code)
{
	struct wire *wire = context;

	if (wire->socket == NULL)
		destroy(wire);
	else
		hf_peer_socket_on_end(wire->socket, code == HF_ETIMEOUT || code == HF_ENOMEM ? code : HF_EIO);
}

static const struct hf_udx_events events = {
	.data = on_data,
	.end = on_end,
	.drained = on_drained,
	.message = on_message,
	.firewall = on_firewall,
	.remote_changed = on_remote_changed,
	.closed = on_closed,
};

/* ---- The beginning ---- */

int hf_peer_socket_over_udx(
	struct hf_peer_socket **out, const struct hf_peer_socket_options *options, const struct hf_peer_udx *udx)
{
	struct wire *wire = calloc(1, sizeof *wire);
	struct hf_peer_socket *socket = NULL;

	*out = NULL;
	int error = wire != NULL ? hf_peer_socket_new(&socket, options, udx->host) : HF_ENOMEM;
	if (error == HF_OK) {
		*wire = (struct wire){.stream = udx->stream, .host = udx->host, .socket = socket, .watch = udx->watch,
			.context = udx->context, .timer.fire = fire_timer};
		error = hf_peer_socket_begin(socket, &(struct hf_peer_begin){.transport = &transport, .wire = wire,
			.address = &hf_udx_stream_path(udx->stream)->remote, .is_initiator = udx->is_initiator,
			.handshake = udx->handshake});
	}
	if (error != HF_OK) {
		hf_peer_socket_free(socket);
		free(wire);
		return error;
	}
	hf_udx_stream_set_events(udx->stream, &events, wire);
	hf_peer_socket_start(socket);
	*out = socket;
	return HF_OK;
}

void hf_peer_udx_destroy(struct hf_udx_stream *stream)
{
	struct wire *wire = hf_udx_stream_context(stream);

	if (wire->socket != NULL)
		hf_peer_socket_free(wire->socket);
	else
		destroy(wire);
}

struct hf_udx_stream *hf_peer_socket_udx_stream(const struct hf_peer_socket *socket)
{
	return socket->transport == &transport ? ((struct wire *)socket->wire)->stream : NULL;
}
