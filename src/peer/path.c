/* The stream is ours until it is connected, then the socket's, which tells us what it hears of it (peer_udx.h). Sockets of punches that a
 * way ran over are held until the stream is gone, for what is still on its way there. */
#include "peer/path.h"

#include <stdlib.h>

#include "crypto/secret.h"

struct hf_path {
	struct hf_dht_connector *connector;
	struct hf_path *next, *previous;
	const struct hf_path_events *events; /* NULL: nobody listens */
	void *context;
	struct hf_udx_stream *stream;
	struct hf_peer_socket_options options;
	bool is_initiator, has_keys, is_connected, is_direct, is_over;
	bool is_kept; /* a direct way is remembered for the next dial */
	struct hf_noise_result keys;
	uint32_t remote_id;
	bool has_heard; /* a packet came before the keys, by this way */
	struct hf_udx_path heard;
	bool is_confirming, heard_relay; /* upgrading: waits for what comes by the direct way */
	struct hf_udx_path relay;
	struct hf_punch_socket *held[HF_PATH_SOCKETS_MAX];
	size_t held_count;
};

/* ---- Life ---- */

static void tell_over(struct hf_path *path, int code)
{
	const struct hf_path_events *events = path->events;

	if (path->is_over)
		return;
	path->is_over = true;
	path->events = NULL;
	if (events != NULL)
		events->over(path->context, code);
}

static void destroy(struct hf_path *path)
{
	HF_LIST_REMOVE(path->connector->paths, path);
	for (size_t i = 0; i < path->held_count; i++)
		hf_punch_socket_unref(path->held[i]);
	hf_wipe(path, sizeof *path);
	free(path);
}

void hf_path_release(struct hf_path *path)
{
	if (path == NULL)
		return;
	path->events = NULL;
	if (path->is_connected)
		return;
	hf_udx_stream_free(path->stream);
	destroy(path);
}

void hf_path_abandon(struct hf_path *path)
{
	path->events = NULL;
	if (path->is_connected)
		hf_peer_udx_destroy(path->stream);
	else
		hf_path_release(path);
}

static void hold_socket(struct hf_path *path, void *udx_socket)
{
	struct hf_punch_socket *socket = hf_punch_socket_of(path->connector, udx_socket);

	for (size_t i = 0; i < path->held_count; i++)
		if (path->held[i] == socket)
			return;
	if (socket != NULL && path->held_count < HF_PATH_SOCKETS_MAX)
		path->held[path->held_count++] = hf_punch_socket_ref(socket);
}

/* ---- What the stream tells ---- */

static bool is_relay(const struct hf_path *path, const struct hf_udx_path *from)
{
	return path->relay.socket == from->socket && hf_address_equal(&path->relay.remote, &from->remote);
}

static bool on_firewall(void *context, struct hf_udx_stream *stream, const struct hf_udx_path *from)
{
	struct hf_path *path = context;

	if (from->remote.port == 0)
		return false;
	if (is_relay(path, from)) {
		path->heard_relay = true;
		return true;
	}
	path->heard_relay = false;
	if (path->has_keys && !path->is_direct) {
		hf_path_found(path, from->socket, &from->remote, HF_WAY_HEARD);
	} else if (!path->has_heard && !path->is_direct) {
		path->has_heard = true;
		path->heard = *from;
		hold_socket(path, from->socket);
	}
	return true;
}

/* Without a socket yet: only its owner has it, who lets go of it. */
static void on_closed(void *context, struct hf_udx_stream *stream, int code)
{
	tell_over(context, code == HF_OK ? HF_ECLOSED : code);
}

static const struct hf_udx_events stream_events = {.firewall = on_firewall, .closed = on_closed};

static void on_remote_changed(void *context, struct hf_udx_stream *stream)
{
	struct hf_path *path = context;

	if (!path->is_direct || path->is_confirming || path->relay.socket == NULL)
		return;
	path->is_confirming = true;
	hf_udx_stream_send_message(stream, hf_slice(NULL, 0)); /* has the remote see the new way; what is lost is made good by data */
}

static void on_heard(void *context, struct hf_udx_stream *stream)
{
	struct hf_path *path = context;

	if (!path->is_confirming)
		return;
	if (path->heard_relay) {
		path->heard_relay = false; /* unless it tells again, the next comes by the direct way */
		return;
	}
	path->is_confirming = false;
	path->relay = (struct hf_udx_path){.socket = NULL};
	if (path->events != NULL)
		path->events->confirmed(path->context);
}

static void on_ended(void *context)
{
	tell_over(context, HF_ECLOSED);
}

static void on_gone(void *context)
{
	destroy(context);
}

static const struct hf_peer_udx_watch watch = {
	.firewall = on_firewall, .remote_changed = on_remote_changed, .heard = on_heard, .ended = on_ended, .gone = on_gone};

/* ---- Ways ---- */

static void count_way(struct hf_path *path, enum hf_way way)
{
	struct hf_dht_connector_stats *stats = &path->connector->stats;

	stats->connections++;
	switch (way) {
	case HF_WAY_LOCAL: stats->ways_local++; break;
	case HF_WAY_RELAYED: stats->ways_relayed++; break;
	case HF_WAY_PUNCHED: stats->ways_punched++; break;
	case HF_WAY_HEARD:
		if (path->held_count > 0)
			stats->ways_punched++;
		else
			stats->ways_open++;
		break;
	default: stats->ways_open++; break;
	}
}

static void connect_stream(struct hf_path *path, const struct hf_udx_path *way, uint32_t remote_id, enum hf_way kind)
{
	struct hf_peer_socket_options options = path->options;
	struct hf_peer_socket *socket;
	struct hf_peer_udx udx = {.host = path->connector->host, .stream = path->stream, .is_initiator = path->is_initiator,
		.handshake = &path->keys, .watch = &watch, .context = path};

	int error = hf_udx_stream_connect(path->stream, way, remote_id);
	if (error == HF_OK)
		error = hf_peer_socket_over_udx(&socket, &options, &udx);
	if (error != HF_OK) {
		tell_over(path, error);
		return;
	}
	path->is_connected = true;
	count_way(path, kind);
	if (path->events != NULL)
		path->events->connected(path->context, socket, path->is_direct);
}

static void upgrade(struct hf_path *path, const struct hf_udx_path *way)
{
	if (hf_udx_stream_change_remote(path->stream, way, path->remote_id) != HF_OK)
		return;
	path->connector->stats.upgrades++;
	if (path->events != NULL)
		path->events->upgraded(path->context);
}

void hf_path_found(struct hf_path *path, void *udx_socket, const struct hf_address *remote, enum hf_way kind)
{
	struct hf_udx_path way = {udx_socket, *remote};

	if (path->is_direct || path->is_over || !path->has_keys)
		return;
	path->is_direct = true;
	hold_socket(path, udx_socket);
	if (path->is_kept)
		hf_dht_way_keep(path->connector, path->keys.remote_static, &way);
	if (path->is_connected)
		upgrade(path, &way);
	else
		connect_stream(path, &way, path->remote_id, kind);
}

void hf_path_relayed(struct hf_path *path, const struct hf_udx_path *relay, uint32_t relay_id)
{
	if (path->is_connected || path->is_over || !path->has_keys)
		return;
	path->relay = *relay;
	hold_socket(path, relay->socket);
	connect_stream(path, relay, relay_id, HF_WAY_RELAYED);
}

void hf_path_relay_lost(struct hf_path *path)
{
	if (path->is_connected && !path->is_direct && !path->is_over)
		hf_udx_stream_destroy(path->stream);
}

bool hf_path_take_heard(struct hf_path *path)
{
	if (!path->has_heard)
		return false;
	hf_path_found(path, path->heard.socket, &path->heard.remote, HF_WAY_HEARD);
	return true;
}

void hf_path_set_keys(struct hf_path *path, const struct hf_noise_result *keys, uint32_t remote_id, bool is_kept)
{
	path->keys = *keys;
	path->remote_id = remote_id;
	path->is_kept = is_kept;
	path->has_keys = true;
}

/* ---- Beginning ---- */

int hf_path_new(struct hf_path **out, struct hf_dht_connector *connector, bool is_initiator,
	const struct hf_peer_socket_options *options, const struct hf_path_events *events, void *context)
{
	struct hf_path *path = calloc(1, sizeof *path);

	*out = NULL;
	if (path == NULL)
		return HF_ENOMEM;
	path->connector = connector;
	path->events = events;
	path->context = context;
	path->is_initiator = is_initiator;
	path->options = *options;
	path->options.size = sizeof path->options;
	path->options.loop = connector->options.loop;
	path->options.secret_stream_pool = connector->options.secret_stream_pool;
	int error = hf_udx_stream_new(&path->stream, hf_udx_net_session(hf_dht_node_net(connector->node)), 0, &stream_events, path);
	if (error != HF_OK) {
		free(path);
		return error;
	}
	HF_LIST_PUSH(connector->paths, path);
	*out = path;
	return HF_OK;
}

uint32_t hf_path_stream_id(const struct hf_path *path)
{
	return hf_udx_stream_id(path->stream);
}

struct hf_udx_stream *hf_path_stream(const struct hf_path *path)
{
	return path->stream;
}

bool hf_path_is_connected(const struct hf_path *path)
{
	return path->is_connected;
}

bool hf_path_is_direct(const struct hf_path *path)
{
	return path->is_direct;
}
