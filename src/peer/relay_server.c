/* The relay's two streams of a pair each wait for the first packet of their client, which shows where it is. They are gone with the first
 * of them, or with the pair. */
#include "peer/relay_server.h"

#include <stdlib.h>

#include "base/list.h"
#include "base/options.h"
#include "peer/connector_private.h"

struct link {
	struct hf_relay_server *server;
	struct link *next, *previous;
	struct hf_udx_stream *streams[2];
	uint32_t remote_ids[2];
};
struct visitor {
	struct hf_relay_server *server;
	struct visitor *next, *previous;
	struct hf_peer_socket *socket;
};
struct hf_relay_server {
	struct hf_dht_connector *connector;
	struct hf_relay_server_options options;
	struct hf_dht_server *listener;
	struct hf_blind_relay *relay;
	struct link *links;
	struct visitor *visitors;
	uint64_t relayed_bytes; /* of links that are gone */
};

/* ---- Streams ---- */

static uint64_t bytes_of(const struct link *link)
{
	return hf_udx_stream_relayed_bytes(link->streams[0]) + hf_udx_stream_relayed_bytes(link->streams[1]);
}

static void free_link(struct link *link)
{
	link->server->relayed_bytes += bytes_of(link);
	HF_LIST_REMOVE(link->server->links, link);
	for (int half = 0; half < 2; half++)
		hf_udx_stream_free(link->streams[half]);
	free(link);
}

static bool on_firewall(void *context, struct hf_udx_stream *stream, const struct hf_udx_path *from)
{
	struct link *link = context;

	if (!hf_udx_stream_is_connected(stream))
		return hf_udx_stream_connect(stream, from, link->remote_ids[stream == link->streams[1]]) == HF_OK;
	return true;
}

static void on_stream_closed(void *context, struct hf_udx_stream *stream, int code)
{
	struct link *link = context;

	hf_blind_relay_left(link->server->relay, link);
	free_link(link);
}

static const struct hf_udx_events stream_events = {.firewall = on_firewall, .closed = on_stream_closed};

static int on_join(void *context, const uint32_t remote_ids[static 2], uint32_t ids[static 2], void **out)
{
	struct hf_relay_server *server = context;
	struct hf_udx *udx = hf_udx_net_session(hf_dht_node_net(server->connector->node));
	struct link *link = calloc(1, sizeof *link);
	int error = link != NULL ? HF_OK : HF_ENOMEM;

	for (int half = 0; half < 2 && error == HF_OK; half++) {
		link->remote_ids[half] = remote_ids[half];
		error = hf_udx_stream_new(&link->streams[half], udx, 0, &stream_events, link);
		ids[half] = error == HF_OK ? hf_udx_stream_id(link->streams[half]) : 0;
	}
	if (error == HF_OK)
		error = hf_udx_stream_relay_to(link->streams[0], link->streams[1]);
	if (error == HF_OK)
		error = hf_udx_stream_relay_to(link->streams[1], link->streams[0]);
	if (error != HF_OK) {
		for (int half = 0; link != NULL && half < 2; half++)
			hf_udx_stream_free(link->streams[half]);
		free(link);
		return error;
	}
	for (int half = 0; half < 2; half++)
		hf_udx_stream_set_relay_rate(link->streams[half], server->options.bytes_per_s);
	link->server = server;
	HF_LIST_PUSH(server->links, link);
	*out = link;
	return HF_OK;
}

static void on_leave(void *context, void *link)
{
	free_link(link);
}

static const struct hf_blind_relay_events relay_events = {.join = on_join, .leave = on_leave};

/* ---- Connections ---- */

static void on_opened(void *context, struct hf_peer_socket *socket)
{
	struct visitor *visitor = context;

	if (hf_blind_relay_accept(visitor->server->relay, hf_peer_socket_mux(socket), hf_peer_socket_remote_key(socket)) != HF_OK)
		hf_peer_socket_close(socket);
}

static void on_closed(void *context, struct hf_peer_socket *socket, int code, const char *why)
{
	struct visitor *visitor = context;

	HF_LIST_REMOVE(visitor->server->visitors, visitor);
	free(visitor);
}

static const struct hf_peer_socket_events socket_events = {.opened = on_opened, .closed = on_closed};

static void on_connection(void *context, struct hf_dht_server *listener, struct hf_peer_socket *socket)
{
	struct hf_relay_server *server = context;
	struct visitor *visitor = calloc(1, sizeof *visitor);

	if (visitor == NULL) {
		hf_peer_socket_free(socket);
		return;
	}
	visitor->server = server;
	visitor->socket = socket;
	HF_LIST_PUSH(server->visitors, visitor);
	hf_peer_socket_set_context(socket, visitor);
}

static bool on_knock(void *context, struct hf_dht_server *listener, const uint8_t remote_key[static HF_SIGN_PUBLIC_BYTES],
	const struct hf_address *from)
{
	struct hf_relay_server *server = context;

	return server->options.firewall != NULL && server->options.firewall(server->options.context, server, remote_key, from);
}

static void on_listening(void *context, struct hf_dht_server *listener, size_t relay_count)
{
	struct hf_relay_server *server = context;

	if (server->options.listening != NULL)
		server->options.listening(server->options.context, server, relay_count);
}

static const struct hf_dht_server_events listener_events = {
	.firewall = on_knock, .connection = on_connection, .listening = on_listening};

/* ---- Life ---- */

static int begin(struct hf_relay_server *server, struct hf_failure *failure)
{
	struct hf_blind_relay_options relay = {.limits = &server->options.limits, .events = &relay_events, .context = server};
	struct hf_dht_server_options listener = {.size = sizeof listener, .secret_key = server->options.secret_key,
		.socket = {.events = &socket_events}, .events = &listener_events, .context = server};
	struct hf_env *env = server->connector->host->env;

	env->random(env, &relay.seed, sizeof relay.seed);
	if (hf_blind_relay_new(&server->relay, &relay) != HF_OK)
		return hf_fail(failure, HF_ENOMEM, "out of memory");
	return hf_dht_server_listen(&server->listener, server->connector, &listener, failure);
}

int hf_relay_server_new(struct hf_relay_server **out, struct hf_dht_connector *connector,
	const struct hf_relay_server_options *options, struct hf_failure *failure)
{
	struct hf_relay_server *server = calloc(1, sizeof *server);

	*out = NULL;
	int error = server != NULL ? hf_options_take(&server->options, sizeof server->options, options) : HF_ENOMEM;
	if (error != HF_OK) {
		free(server);
		return hf_fail(failure, error, "the options of the relay: %s", hf_error_text(error));
	}
	server->connector = connector;
	server->options.bytes_per_s = server->options.bytes_per_s > 0 ? server->options.bytes_per_s : HF_RELAY_BYTES_PER_S;
	error = begin(server, failure);
	if (error != HF_OK) {
		hf_relay_server_free(server);
		return error;
	}
	*out = server;
	return HF_OK;
}

void hf_relay_server_free(struct hf_relay_server *server)
{
	if (server == NULL)
		return;
	hf_dht_server_free(server->listener);
	while (server->visitors != NULL) {
		struct visitor *visitor = server->visitors;
		HF_LIST_REMOVE(server->visitors, visitor);
		hf_peer_socket_free(visitor->socket);
		free(visitor);
	}
	hf_blind_relay_free(server->relay);
	free(server);
}

const uint8_t *hf_relay_server_public_key(const struct hf_relay_server *server)
{
	return hf_dht_server_public_key(server->listener);
}

void hf_relay_server_read_stats(const struct hf_relay_server *server, struct hf_blind_relay_stats *stats)
{
	hf_blind_relay_read_stats(server->relay, stats);
}

uint64_t hf_relay_server_relayed_bytes(const struct hf_relay_server *server)
{
	uint64_t bytes = server->relayed_bytes;

	for (const struct link *link = server->links; link != NULL; link = link->next)
		bytes += bytes_of(link);
	return bytes;
}
