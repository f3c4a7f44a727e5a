/* Peer sockets over TCP: dialled, or accepted by a listener. */
#include <linux/sockios.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "base/text.h"
#include "net/connect.h"
#include "net/peer_socket_private.h"
#include "net/peer_transport.h"

#define SMALL_READ_BYTES 16384 /* past it there is a crowd of packets, which the kernel acknowledges by itself */

/* ---- The transport ---- */

static int tcp_send(void *wire, const struct hf_secret_stream_slice *slices, size_t count, size_t *taken)
{
	for (size_t i = 0; i < count; i++) {
		int error = hf_stream_send_shared(
			wire, hf_slice(slices[i].data, slices[i].length), slices[i].chunk, hf_secret_stream_release);
		if (error) {
			*taken = i;
			return error;
		}
	}
	return HF_OK;
}

static size_t tcp_pending_bytes(const void *wire)
{
	return hf_stream_pending_bytes(wire);
}

/* With libuv, and with the kernel, which may hold megabytes and tells libuv of room in large steps. */
static size_t tcp_untaken_bytes(const void *wire)
{
	const struct hf_stream *stream = wire;
	uv_os_fd_t fd;
	int unacknowledged = 0;
	if (uv_fileno(&stream->uv.handle, &fd) || ioctl(fd, SIOCOUTQ, &unacknowledged))
		unacknowledged = 0;
	return uv_stream_get_write_queue_size(&stream->uv.stream) + (size_t)unacknowledged;
}

static void tcp_set_timeout(void *wire, uint64_t delay_ms)
{
	hf_stream_set_timeout(wire, delay_ms);
}

static void tcp_read(void *wire, bool on)
{
	if (on)
		hf_stream_start_reading(wire);
	else
		hf_stream_stop_reading(wire);
}

static void tcp_finish(void *wire)
{
	hf_stream_finish(wire);
}

static void tcp_close(void *wire)
{
	hf_stream_close(wire);
}

static const struct hf_peer_transport tcp = {
	.send = tcp_send,
	.pending_bytes = tcp_pending_bytes,
	.untaken_bytes = tcp_untaken_bytes,
	.set_timeout = tcp_set_timeout,
	.read = tcp_read,
	.finish = tcp_finish,
	.close = tcp_close,
};

static void cancel_connect(void *wire)
{
	hf_connect_cancel(wire);
}

static const struct hf_peer_transport connecting = {.close = cancel_connect};

static void on_read(void *owner, uint8_t *data, size_t length)
{
	struct hf_peer_socket *socket = owner;
	struct hf_stream *stream = socket->wire;
	if (length < SMALL_READ_BYTES)
		hf_stream_acknowledge(stream);
	hf_peer_socket_on_read(socket, data, length);
	if (stream->events)
		stream->read_bytes_max = (uint32_t)hf_secret_stream_wanted_bytes(socket->secret, HF_LOOP_READ_BYTES);
}

static const struct hf_stream_events stream_events = {
	.read = on_read,
	.end = hf_peer_socket_on_end,
	.timeout = hf_peer_socket_on_timeout,
	.progress = hf_peer_socket_on_progress,
};

/* ---- The beginning ---- */

static int begin(struct hf_peer_socket *socket, struct hf_stream *stream, bool is_initiator)
{
	struct hf_peer_begin with = {.transport = &tcp, .wire = stream, .address = &stream->peer, .is_initiator = is_initiator};
	int error = hf_peer_socket_begin(socket, &with);
	if (error)
		return error;
	hf_stream_own(stream, &stream_events, socket);
	hf_peer_socket_start(socket);
	return HF_OK;
}

int hf_peer_socket_accept(struct hf_peer_listener *listener, struct hf_stream *stream)
{
	struct hf_peer_socket *socket;
	int error = hf_peer_socket_new(&socket, &listener->options, NULL);
	if (error)
		return error;
	error = begin(socket, stream, listener->options.listener_initiates);
	if (error) {
		hf_peer_socket_free(socket);
		return error;
	}
	hf_peer_socket_list(socket, listener);
	return HF_OK;
}

static void on_connected(void *context, struct hf_stream *stream, int error, const char *detail)
{
	struct hf_peer_socket *socket = context;
	hf_peer_socket_connecting(socket, NULL, NULL);
	if (!error && (error = begin(socket, stream, !socket->options.listener_initiates))) {
		hf_stream_close(stream);
		detail = "out of memory";
	}
	if (error)
		hf_peer_socket_refuse(socket, error, detail);
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
	struct hf_connect *connect;
	struct hf_peer_socket *socket;
	struct hf_url url;
	*out = NULL;
	int error = parse_host_port(&url, address, failure);
	if (error)
		return error;
	error = hf_peer_socket_new(&socket, options, NULL);
	if (!error) {
		error = hf_connect_start(&connect, socket->options.loop, &url, NULL, NULL, socket->options.connect_timeout_ms, on_connected,
			socket);
		if (error)
			free(socket);
	}
	if (error)
		return hf_fail(failure, error, "cannot connect to %s: %s", address, hf_error_text(error));
	hf_peer_socket_connecting(socket, &connecting, connect);
	*out = socket;
	return HF_OK;
}
