/* link: a connection with a gateway. The channel is opened at once where the peer is a gateway that is configured. With
 * compatibility.hypertuna it is opened when the peer has opened it, and it stays if the peer says that it is a gateway. Where one of our
 * relays takes members, others get one, too, when they open it: guests, who can ask to join and nothing else, a few at a time. Nobody else
 * gets one.
 *
 * A link ends when its channel does. It is freed in the deferred round, as what ends it may be in the middle of it. */
#include "service/worker/internal.h"

#include <stdlib.h>

#include "base/list.h"
#include "base/log.h"
#include "service/gateway/tokens.h"
#include "service/worker/join_message.h"

static struct hf_log_module log_module = HF_LOG_MODULE("worker");

/* ---- Ending ---- */

static void let_go(struct hf_worker_link *link)
{
	struct hf_worker_gateway *gateway = link->gateway;
	if (gateway && gateway->link == link) {
		gateway->link = NULL;
		gateway->is_registering = gateway->is_registered = false;
		hf_gauge_add(&link->node->stats.gateways, -1);
		hf_log_info(&log_module, "a gateway is gone", "gateway=%02x%02x%02x%02x…", gateway->key[0], gateway->key[1], gateway->key[2],
			gateway->key[3]);
	}
	if (link->is_guest)
		link->node->guest_count--;
	link->is_open = link->is_guest = false;
}

static void bury(struct hf_worker_link *link)
{
	if (link->is_dead)
		return;
	link->is_dead = true;
	let_go(link);
	hf_worker_sessions_end(link);
	hf_worker_reap(link->node);
}

static void free_bee_channel(struct hf_worker_link *link)
{
	hf_replicator_detach(link->bee_stream);
	link->bee_stream = NULL;
	hf_bee_channel_free(link->bee_channel);
	link->bee_channel = NULL;
}

void hf_worker_link_free(struct hf_worker_link *link)
{
	if (!link)
		return;
	link->is_dead = true;
	let_go(link);
	hf_worker_sessions_end(link);
	hf_worker_hypertuna_forget(link);
	hf_worker_join_forget(link);
	hf_worker_whole_files_forget(link);
	free_bee_channel(link);
	if (link->socket) /* where it was asked for */
		hf_protomux_unpair(hf_peer_socket_mux(link->socket), HF_SLICE_LITERAL(HF_RELAY_CHANNEL_PROTOCOL), (struct hf_slice){0});
	hf_relay_streams_free(link->streams);
	hf_relay_channel_free(link->channel);
	HF_LIST_REMOVE(link->node->links, link);
	free(link);
}

/* ---- Streams ---- */

static void on_stream(void *context, struct hf_relay_streams *streams, struct hf_relay_stream *stream,
	const struct hf_relay_stream_open *open)
{
	struct hf_worker_link *link = context;
	if (link->is_dead || link->node->is_ending)
		return;
	if (open->kind == HF_RELAY_STREAM_WEBSOCKET)
		hf_worker_session_open(link, stream, open);
	else
		hf_worker_exchange_open(link, stream, open);
}

static const struct hf_relay_streams_events streams_events = {.stream = on_stream};

static int open_streams(struct hf_worker_link *link)
{
	struct hf_relay_streams_options options = {.is_initiator = hf_peer_socket_is_initiator(link->socket), .events = &streams_events,
		.context = link};
	link->node->env->random(link->node->env, &options.seed, sizeof options.seed);
	int r = hf_relay_streams_new(hf_peer_socket_mux(link->socket), &options, &link->streams);
	if (r == HF_ECANCELED)
		link->streams = NULL; /* they have closed again, and are gone */
	return r;
}

/* ---- The bee, inside of the channel ---- */

static void on_bee_opened(void *context, struct hf_bee_channel *channel, struct hf_protomux *mux,
	const uint8_t handshake_hash[HF_HANDSHAKE_HASH_BYTES])
{
	struct hf_worker_link *link = context;
	struct hf_replicator_stream_options options = {.mux = mux, .is_initiator = hf_peer_socket_is_initiator(link->socket),
		.handshake_hash = handshake_hash};
	if (hf_replicator_attach(hf_core_host_replicator(link->node->options.cores), &options, &link->bee_stream) < 0)
		link->bee_stream = NULL;
}

static void on_bee_closed(void *context, struct hf_bee_channel *channel, int code, const char *why)
{
	struct hf_worker_link *link = context;
	hf_log_debug(&log_module, "the replication of a gateway's bee has ended", "reason=\"%s\"", why);
	link->ends_bee_channel = true;
	hf_worker_reap(link->node);
}

static const struct hf_bee_channel_events bee_events = {.opened = on_bee_opened, .closed = on_bee_closed};

/* Hypertuna's gateways give their bee in no other way. */
static int open_bee_channel(struct hf_worker_link *link, const struct hf_relay_handshake *theirs)
{
	struct hf_worker_node *node = link->node;
	struct hf_bee_channel_options options = {.is_initiator = hf_peer_socket_is_initiator(link->socket), .bee_key = theirs->bee.key,
		.env = node->env, .pool = node->pool, .static_secret = node->bee_secret, .events = &bee_events,
		.context = link};
	return hf_bee_channel_new(hf_peer_socket_mux(link->socket), &options, &link->bee_channel);
}

/* ---- The channel ---- */

void hf_worker_gateway_learn_bee(struct hf_worker_node *node, struct hf_worker_gateway *gateway, const uint8_t key[static 32])
{
	int r = HF_OK;
	if (!gateway->replica) {
		r = hf_worker_replica_new(gateway, node, key);
	} else if (memcmp(gateway->replica->key, key, 32) != 0) {
		hf_log_info(&log_module, "a gateway's relay has another bee now", "gateway=%02x%02x%02x%02x… bee=%02x%02x%02x%02x…", gateway->key[0],
			gateway->key[1], gateway->key[2], gateway->key[3], key[0], key[1], key[2], key[3]);
		r = hf_worker_replica_move(gateway->replica, key);
		hf_counter_add(&node->stats.bees_moved, r == HF_OK);
	}
	if (r < 0)
		hf_log_warn(&log_module, "a gateway's bee cannot be opened", "reason=\"%s\"", hf_error_text(r));
}

static void learn_bee(struct hf_worker_link *link, const struct hf_relay_bee_info *bee)
{
	struct hf_worker_gateway *gateway = link->gateway;
	if (!bee->has_key)
		return;
	hf_worker_gateway_learn_bee(link->node, gateway, bee->key);
	if (gateway->replica && bee->length > gateway->replica->remote_length)
		gateway->replica->remote_length = bee->length;
}

void hf_worker_learn_bee(struct hf_worker_link *link, const uint8_t key[static 32])
{
	hf_worker_gateway_learn_bee(link->node, link->gateway, key);
}

static struct hf_worker_gateway *recognize(struct hf_worker_link *link, const struct hf_relay_handshake *theirs)
{
	struct hf_worker_node *node = link->node;
	struct hf_worker_gateway *gateway = hf_worker_find_gateway(node, link->peer);
	bool says_so = theirs->role == HF_RELAY_ROLE_GATEWAY;
	if (!gateway && says_so && node->is_compatible)
		gateway = hf_worker_find_by_bee(node, &theirs->bee);
	if (!gateway && says_so && node->is_compatible)
		gateway = hf_worker_add_gateway(node, link->peer, HF_WORKER_VISITOR);
	return gateway;
}

static bool take_guest(struct hf_worker_link *link)
{
	struct hf_worker_node *node = link->node;
	if (!node->takes_members || node->guest_count >= HF_WORKER_GUEST_COUNT_MAX)
		return false;
	node->guest_count++;
	link->is_guest = link->is_open = true;
	link->guest_until_us = hf_loop_now_us(node->loop) + HF_WORKER_GUEST_IDLE_US;
	return true;
}

static int on_opened(void *context, struct hf_relay_channel *channel, const struct hf_relay_handshake *theirs)
{
	struct hf_worker_link *link = context;
	struct hf_worker_node *node = link->node;
	struct hf_worker_gateway *gateway = recognize(link, theirs);
	bool has_streams = (theirs->capabilities & HF_RELAY_STREAM) != 0;
	if (!gateway && take_guest(link))
		return HF_OK;
	if (!gateway || gateway->link || (!has_streams && !node->is_compatible)) {
		hf_counter_add(&node->stats.foreign, 1);
		bury(link);
		return HF_OK;
	}
	link->gateway = gateway;
	link->is_open = true;
	gateway->link = link;
	gateway->was_connected = true;
	gateway->is_hypertuna = !has_streams;
	gateway->has_signing_key = false; /* it may have been rotated while it was away */
	gateway->register_failures = 0;
	gateway->register_due_us = hf_loop_now_us(node->loop);
	link->telemetry_due_us = gateway->register_due_us;
	hf_gauge_add(&node->stats.gateways, 1);
	hf_log_info(&log_module, "a gateway is here", "gateway=%02x%02x%02x%02x… streams=%s", gateway->key[0], gateway->key[1],
		gateway->key[2], gateway->key[3], has_streams ? "yes" : "no");
	learn_bee(link, &theirs->bee);
	int r = has_streams ? open_streams(link) : HF_OK;
	if (r == HF_OK && gateway->is_hypertuna && theirs->bee.has_key)
		r = open_bee_channel(link, theirs);
	return r == HF_ECANCELED ? HF_OK : r;
}

static void on_request(void *context, struct hf_relay_channel *channel, uint64_t call, const struct hf_relay_request *request)
{
	hf_worker_request(context, call, request);
}

/* ["TOKEN", "REVOKED", {…}], signed by the gateway. */
static void on_frame(void *context, struct hf_relay_channel *channel, struct hf_slice json)
{
	struct hf_worker_link *link = context;
	if (link->is_open && !link->is_guest)
		hf_worker_take_frame(link, json);
}

static void on_channel_closed(void *context, struct hf_relay_channel *channel, enum hf_channel_end end)
{
	struct hf_worker_link *link = context;
	/* The socket may be good for cores still; but only a new one brings a new channel. */
	if (end == HF_CHANNEL_REMOTE && link->gateway && (link->gateway->is_configured || link->gateway->is_discovered) && link->socket)
		hf_peer_socket_close(link->socket);
	bury(link);
}

static const struct hf_relay_channel_events channel_events = {.opened = on_opened, .request = on_request, .frame = on_frame,
	.closed = on_channel_closed};

static uint64_t wall_ms(void *context)
{
	const struct hf_worker_link *link = context;
	return hf_env_wall_ms(link->node->env);
}

static int open_channel(struct hf_worker_link *link)
{
	struct hf_worker_node *node = link->node;
	struct hf_worker_gateway *gateway = hf_worker_find_gateway(node, link->peer);
	struct hf_buffer members = {0};
	struct hf_relay_handshake handshake = {.role = HF_RELAY_ROLE_REPLICA, .is_server = true,
		.capabilities = HF_RELAY_CAPABILITIES | HF_RELAY_STREAM | HF_RELAY_RESUME};
	hf_worker_bee_info(gateway, &handshake.bee);
	int r = hf_worker_handshake_members(node, &members);
	handshake.members = hf_buffer_slice(&members);
	struct hf_relay_channel_options options = {.handshake = &handshake, .wall_ms = wall_ms, .events = &channel_events, .context = link,
		.body_bytes_max = gateway || node->is_compatible ? 0 : HF_JOIN_BODY_BYTES_MAX};
	if (r == HF_OK)
		r = hf_relay_channel_new(hf_peer_socket_mux(link->socket), &options, &link->channel);
	if (r == HF_ECANCELED)
		link->channel = NULL; /* it has closed again, and is gone */
	hf_buffer_free(&members);
	return r;
}

/* ---- Coming ---- */

/* Hypertuna's gateways are not known by their keys, nor are guests; they open the channel. */
static int on_foreign_open(void *context, struct hf_protomux *mux, struct hf_slice protocol, struct hf_slice id)
{
	struct hf_worker_link *link = context;
	if (link->is_dead || link->channel || link->node->is_ending)
		return HF_OK;
	int r = open_channel(link);
	return r == HF_ECANCELED || r == HF_EEXISTS ? HF_OK : r;
}

void hf_worker_link_open(struct hf_worker_node *node, struct hf_peer_socket *socket)
{
	const uint8_t *peer = hf_peer_socket_remote_key(socket);
	bool is_known = hf_worker_find_gateway(node, peer) != NULL;
	struct hf_worker_link *link = is_known || node->is_compatible || node->takes_members ? calloc(1, sizeof *link) : NULL;
	if (!link)
		return;
	link->node = node;
	link->socket = socket;
	memcpy(link->peer, peer, sizeof link->peer);
	HF_LIST_PUSH(node->links, link);
	int r = is_known ? open_channel(link) : hf_protomux_pair(hf_peer_socket_mux(socket), HF_SLICE_LITERAL(HF_RELAY_CHANNEL_PROTOCOL),
		(struct hf_slice){0}, on_foreign_open, link);
	if (r < 0 && r != HF_ECANCELED)
		bury(link);
}

void hf_worker_node_socket_closed(struct hf_worker_node *node, struct hf_peer_socket *socket)
{
	for (struct hf_worker_link *link = node ? node->links : NULL, *next; link; link = next) {
		next = link->next;
		if (link->socket != socket)
			continue;
		link->socket = NULL;
		free_bee_channel(link);
		bury(link);
	}
}

void hf_worker_link_tick(struct hf_worker_link *link, uint64_t now_us)
{
	if (link->is_dead || !link->channel)
		return;
	if (hf_relay_channel_deadline(link->channel) <= now_us)
		hf_relay_channel_tick(link->channel, now_us);
	if (link->bee_channel && hf_bee_channel_deadline_ms(link->bee_channel) <= now_us / 1000)
		hf_bee_channel_tick(link->bee_channel);
	if (link->is_guest && link->guest_until_us <= now_us)
		bury(link);
	if (!link->is_open || link->is_dead || link->is_guest)
		return;
	if (!link->gateway->is_registering && link->gateway->register_due_us <= now_us)
		hf_worker_register(link);
	if (link->is_open)
		hf_worker_tokens_tick(link, now_us);
	if (link->is_open && link->telemetry_due_us <= now_us) {
		link->telemetry_due_us = now_us + HF_TELEMETRY_INTERVAL_MS * UINT64_C(1000);
		hf_worker_send_telemetry(link);
	}
}

void hf_worker_link_reap(struct hf_worker_link *link)
{
	if (link->ends_bee_channel)
		free_bee_channel(link);
	link->ends_bee_channel = false;
	if (link->is_dead)
		hf_worker_link_free(link);
}
