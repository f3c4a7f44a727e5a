/* How a socket comes about, and what there is to know of it. */
#include "net/peer_socket.h"

#include <stdlib.h>

#include "base/options.h"
#include "net/peer_socket_private.h"
#include "net/peer_transport.h"

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

int hf_peer_socket_new(struct hf_peer_socket **out, const struct hf_peer_socket_options *options, struct hf_udp_host *host)
{
	struct hf_peer_socket *socket = calloc(1, sizeof *socket);
	*out = NULL;
	if (!socket)
		return HF_ENOMEM;
	int error = hf_peer_socket_options_take(&socket->options, &socket->limits, options);
	if (error) {
		free(socket);
		return error;
	}
	socket->host = host;
	socket->deferred.run = hf_peer_socket_run_deferred;
	socket->timer_ms = UINT64_MAX;
	*out = socket;
	return HF_OK;
}

void hf_peer_socket_connecting(struct hf_peer_socket *socket, const struct hf_peer_transport *transport, void *wire)
{
	socket->transport = transport;
	socket->wire = wire;
}

static int pool_of(struct hf_peer_socket *socket, struct hf_secret_stream_pool **pool)
{
	struct hf_loop *loop = socket->options.loop;
	*pool = socket->options.secret_stream_pool;
	if (*pool || !loop)
		return *pool ? HF_OK : HF_EINVAL;
	int error = loop->secret_stream_pool ? HF_OK : hf_secret_stream_pool_new(&loop->secret_stream_pool);
	*pool = loop->secret_stream_pool;
	return error;
}

int hf_peer_socket_begin(struct hf_peer_socket *socket, const struct hf_peer_begin *with)
{
	const struct hf_peer_socket_options *o = &socket->options;
	struct hf_secret_stream_options secret = {
		.is_initiator = with->is_initiator,
		.static_secret = o->static_secret,
		.handshake = with->handshake,
		.env = hf_peer_socket_env(socket),
		.message_bytes_max = o->message_bytes_max,
		.keep_alive_ms = o->keep_alive_ms,
		.idle_timeout_ms = o->idle_timeout_ms,
		.events = &hf_peer_socket_secret_events,
		.context = socket,
	};
	int error = pool_of(socket, &secret.pool);
	if (!error)
		error = hf_secret_stream_new(&socket->secret, &secret, hf_peer_socket_now_ms(socket));
	if (error)
		return error;
	socket->is_initiator = with->is_initiator;
	socket->address = *with->address;
	socket->opened_by_ms = hf_peer_socket_now_ms(socket) + o->handshake_timeout_ms;
	socket->transport = with->transport;
	socket->wire = with->wire;
	return HF_OK;
}

void hf_peer_socket_start(struct hf_peer_socket *socket)
{
	socket->transport->read(socket->wire, true);
	hf_peer_socket_set_timer(socket);
	hf_peer_socket_defer(socket);
}

/* ---- What there is to know ---- */

const struct hf_peer_socket_options *hf_peer_socket_get_options(const struct hf_peer_socket *socket)
{
	return &socket->options;
}

void hf_peer_socket_set_context(struct hf_peer_socket *socket, void *context)
{
	socket->options.context = context;
}

void hf_peer_socket_set_events(
	struct hf_peer_socket *socket, const struct hf_peer_socket_events *events, void *context)
{
	socket->options.events = events;
	socket->options.context = context;
}

void *hf_peer_socket_context(const struct hf_peer_socket *socket)
{
	return socket->options.context;
}

void hf_peer_socket_observe(struct hf_peer_socket *socket, struct hf_peer_socket_observer *observer)
{
	socket->options.observer = observer;
}

const struct hf_address *hf_peer_socket_address(const struct hf_peer_socket *socket)
{
	return &socket->address;
}

uint64_t hf_peer_socket_received_bytes(const struct hf_peer_socket *socket)
{
	return socket->secret ? hf_secret_stream_received_bytes(socket->secret) : 0;
}

uint64_t hf_peer_socket_sent_bytes(const struct hf_peer_socket *socket)
{
	return socket->secret ? hf_secret_stream_sent_bytes(socket->secret) : 0;
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
