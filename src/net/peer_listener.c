/* The struct lives until libuv has closed both of its handles. Who is one too many, or for whom there is no memory, is accepted into the
 * spare handle and closed at once. */
#include <stdlib.h>

#include "base/log.h"
#include "base/list.h"
#include "net/loop_private.h"
#include "net/peer_socket_private.h"

#define BACKLOG 1024

static struct hf_log_module log_peer = HF_LOG_MODULE("peer");

static void on_connection(uv_stream_t *handle, int status);

static void free_if_closed(struct hf_peer_listener *listener)
{
	if (listener->is_closed && !listener->is_spare_busy)
		free(listener);
}

static void on_spare_closed(uv_handle_t *handle)
{
	struct hf_peer_listener *listener =
		HF_CONTAINER_OF(handle, struct hf_peer_listener, spare);
	bool is_waiting = listener->is_waiting && !uv_is_closing((uv_handle_t *)&listener->tcp);
	listener->is_spare_busy = listener->is_waiting = false;
	if (is_waiting)
		on_connection((uv_stream_t *)&listener->tcp, 0);
	free_if_closed(listener);
}

static void turn_away(struct hf_peer_listener *listener)
{
	if (listener->is_spare_busy) {
		listener->is_waiting = true; /* libuv keeps it until the spare is closed */
		return;
	}
	uv_tcp_init(listener->tcp.loop, &listener->spare); /* opens no socket yet, so it cannot fail */
	listener->is_spare_busy = true;
	uv_accept((uv_stream_t *)&listener->tcp, (uv_stream_t *)&listener->spare);
	uv_close((uv_handle_t *)&listener->spare, on_spare_closed);
}

static void on_connection(uv_stream_t *handle, int status)
{
	struct hf_peer_listener *listener = (struct hf_peer_listener *)(void *)handle;
	struct hf_stream *stream;
	if (status < 0) {
		/* Out of descriptors, mostly: libuv has refused the connection with its spare one. */
		hf_log_debug(&log_peer, "cannot accept", "reason=\"%s\"", uv_strerror(status));
		return;
	}
	if (listener->socket_count >= listener->options.connection_count_max ||
		hf_stream_new(&stream, listener->options.loop, false)) {
		turn_away(listener);
		return;
	}
	if (!hf_stream_accept(stream, handle))
		return;
	if (hf_peer_socket_accept(listener, stream))
		hf_stream_close(stream);
}

static void on_closed(uv_handle_t *handle)
{
	struct hf_peer_listener *listener = (struct hf_peer_listener *)(void *)handle;
	listener->is_closed = true;
	free_if_closed(listener);
}

static void close_listener(uv_handle_t *handle)
{
	hf_peer_sockets_orphan((struct hf_peer_listener *)(void *)handle);
	uv_close(handle, on_closed);
}

void hf_peer_listener_free(struct hf_peer_listener *listener)
{
	if (listener)
		close_listener((uv_handle_t *)&listener->tcp);
}

uint32_t hf_peer_listener_connection_count(const struct hf_peer_listener *listener)
{
	return listener->socket_count;
}

static int start(struct hf_peer_listener *listener, const struct hf_address *address)
{
	struct sockaddr_storage name;
	hf_address_to_sockaddr(address, &name);
	int error = uv_tcp_bind(&listener->tcp, (struct sockaddr *)&name, 0);
	return error ? error : uv_listen((uv_stream_t *)&listener->tcp, BACKLOG, on_connection);
}

int hf_peer_listener_new(struct hf_peer_listener **out, const struct hf_peer_socket_options *options, const char *text,
	struct hf_address *bound, struct hf_failure *failure)
{
	struct hf_address address;
	*out = NULL;
	int error = hf_address_parse(text, &address, failure);
	if (error)
		return error;
	struct hf_peer_listener *listener = calloc(1, sizeof *listener);
	error = listener ? hf_peer_socket_options_take(&listener->options, &listener->limits, options) : HF_ENOMEM;
	if (!error && uv_tcp_init(&listener->options.loop->uv, &listener->tcp))
		error = HF_ENOMEM;
	if (error) {
		free(listener);
		return hf_fail(failure, error, "cannot listen on %s: %s", text, hf_error_text(error));
	}
	listener->tcp.data = (void *)close_listener;
	error = start(listener, &address);
	if (error) {
		hf_peer_listener_free(listener);
		return hf_fail(failure, error == UV_EACCES ? HF_EDENIED : HF_EADDR, "cannot listen on %s: %s; choose another address",
			text, uv_strerror(error));
	}
	if (bound) {
		struct sockaddr_storage name;
		int length = sizeof name;
		uv_tcp_getsockname(&listener->tcp, (struct sockaddr *)&name, &length);
		hf_address_from_sockaddr(bound, (struct sockaddr *)&name);
	}
	*out = listener;
	return HF_OK;
}
