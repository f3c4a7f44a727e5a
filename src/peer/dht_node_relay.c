/* Handshakes and holepunches of peers on their way: to a server of this process, to one that is announced here, or back to the client. The
 * rows are those of spec: swarm, 4.2 and 4.8. What is passed on keeps its tid and is sent once: the client's repetitions repeat the
 * whole way. */
#include <stdlib.h>

#include "peer/dht_node_private.h"

/* ---- Servers of this process ---- */

static struct hf_dht_local_server *local_server(struct hf_dht_node *node, const uint8_t *target)
{
	return target ? hf_map_get(&node->local_servers, hf_slice(target, HF_DHT_ID_BYTES)) : NULL;
}

int hf_dht_node_listen(
	struct hf_dht_node *node, const uint8_t target[static HF_DHT_ID_BYTES], const struct hf_dht_listener *listener, void *context)
{
	struct hf_dht_local_server *server;
	int r;

	if (local_server(node, target))
		return HF_EEXISTS;
	server = calloc(1, sizeof *server);
	if (!server)
		return HF_ENOMEM;
	memcpy(server->target, target, HF_DHT_ID_BYTES);
	server->listener = *listener;
	server->context = context;
	r = hf_map_put(&node->local_servers, hf_slice(server->target, HF_DHT_ID_BYTES), server, NULL);
	if (r < 0)
		free(server);
	return r;
}

void hf_dht_node_unlisten(struct hf_dht_node *node, const uint8_t target[static HF_DHT_ID_BYTES])
{
	free(hf_map_remove(&node->local_servers, hf_slice(target, HF_DHT_ID_BYTES)));
}

void hf_dht_node_free_servers(struct hf_dht_node *node)
{
	size_t cursor = 0;

	for (struct hf_dht_local_server *server; (server = hf_map_next(&node->local_servers, &cursor));)
		free(server);
	hf_map_free(&node->local_servers);
}

static struct hf_dht_route route_of(const struct hf_dht_served *served, enum hf_dht_hop hop, const struct hf_address *peer)
{
	struct hf_dht_route route = {
		.from = served->from,
		.to = served->message->to,
		.socket = served->socket,
		.hop = hop,
		.tid = served->message->tid,
		.is_relayed = peer != NULL,
		.peer = peer ? *peer : served->from,
	};

	memcpy(route.target, served->message->target, HF_DHT_ID_BYTES);
	return route;
}

/* ---- Passing on ---- */

static const struct hf_address *route_to(struct hf_dht_node *node, const uint8_t *target, struct hf_address *relay)
{
	if (!target || !node->records || !hf_dht_record_store_route(node->records, target, relay).data)
		return NULL;
	return relay;
}

bool hf_dht_node_find_local(const struct hf_dht_node *node, const uint8_t target[static HF_DHT_ID_BYTES], struct hf_address *relay)
{
	return node->records && hf_dht_record_store_route(node->records, target, relay).data;
}

static int send_message(struct hf_dht_node *node, struct hf_udx_socket *socket, const struct hf_dht_message *message)
{
	hf_buffer_clear(&node->datagram);
	int r = hf_dht_message_write(message, &node->datagram);
	if (r == HF_OK && hf_dht_node_may_send(node, &message->to, node->datagram.length))
		hf_dht_node_send(node, socket, &message->to, hf_buffer_slice(&node->datagram), 0);
	return r;
}

/* A request with the tid that it came with; node->value is what it carries. */
static int forward(struct hf_dht_node *node, struct hf_udx_socket *socket, const struct hf_address *to, uint16_t tid,
	enum hf_dht_command command, const uint8_t *target)
{
	return send_message(node, socket, &(struct hf_dht_message){.tid = tid, .to = *to, .id = hf_dht_node_visible_id(node, socket),
		.command = command, .target = target, .has_value = true, .value = hf_buffer_slice(&node->value)});
}

/* A reply that carries node->value. */
static int reply(struct hf_dht_node *node, struct hf_udx_socket *socket, const struct hf_address *to, uint16_t tid)
{
	return send_message(node, socket, &(struct hf_dht_message){.is_reply = true, .tid = tid, .to = *to,
		.id = hf_dht_node_visible_id(node, socket), .has_value = true, .value = hf_buffer_slice(&node->value)});
}

/* ---- Handshakes ---- */

static int write_handshake(struct hf_dht_node *node, enum hf_dht_hop hop, struct hf_slice noise, const struct hf_address *peer,
	const struct hf_address *relay)
{
	struct hf_dht_peer_handshake message = {.hop = hop, .noise = noise, .has_peer_address = peer != NULL,
		.has_relay_address = relay != NULL};

	if (peer)
		message.peer_address = *peer;
	if (relay)
		message.relay_address = *relay;
	hf_buffer_clear(&node->value);
	return hf_dht_peer_handshake_encode(&message, &node->value);
}

static void pass_handshake(struct hf_dht_node *node, const struct hf_dht_served *served, const struct hf_address *to, enum hf_dht_hop hop,
	struct hf_slice noise, const struct hf_address *peer, const struct hf_address *relay)
{
	if (to->port == 0 || write_handshake(node, hop, noise, peer, relay) < 0)
		return;
	forward(node, served->socket, to, served->message->tid, HF_DHT_PEER_HANDSHAKE, served->message->target);
	node->stats.relayed++;
}

static void relay_handshake(struct hf_dht_node *node, const struct hf_dht_served *served, const struct hf_dht_peer_handshake *hs)
{
	struct hf_address place;
	const struct hf_address *peer = hs->has_peer_address ? &hs->peer_address : NULL;
	const struct hf_address *known = route_to(node, served->message->target, &place);
	const struct hf_address *to = hs->has_relay_address ? &hs->relay_address : known;

	if (hs->hop == HF_DHT_FROM_CLIENT && !to) {
		hf_dht_node_reply(node, served, HF_DHT_OK, NULL, HF_DHT_WITH_CLOSER);
	} else if (hs->hop == HF_DHT_FROM_CLIENT) {
		pass_handshake(node, served, to, HF_DHT_FROM_RELAY, hs->noise, &served->from, NULL);
	} else if (hs->hop == HF_DHT_FROM_RELAY && known) {
		pass_handshake(node, served, known, HF_DHT_FROM_SECOND_RELAY, hs->noise, peer, &served->from);
	} else if (hs->hop == HF_DHT_FROM_SERVER && peer && peer->port != 0 &&
		write_handshake(node, HF_DHT_REPLY, hs->noise, &served->from, NULL) == HF_OK) {
		reply(node, served->socket, peer, served->message->tid);
		node->stats.relayed++;
	}
}

void hf_dht_node_serve_handshake(struct hf_dht_node *node, const struct hf_dht_served *served)
{
	const struct hf_dht_message *m = served->message;
	struct hf_dht_local_server *server = local_server(node, m->target);
	struct hf_dht_peer_handshake hs;

	if (!m->has_value || hf_dht_peer_handshake_decode(m->value, &hs) < 0 || !hs.noise.data)
		return;
	if (!server) {
		relay_handshake(node, served, &hs);
		return;
	}
	bool is_for_us = hs.hop == HF_DHT_FROM_CLIENT || hs.hop == HF_DHT_FROM_RELAY ||
		(hs.hop == HF_DHT_FROM_SECOND_RELAY && hs.has_relay_address);
	if (!is_for_us || !server->listener.handshake)
		return;
	struct hf_dht_route route = route_of(served, hs.hop, hs.has_peer_address ? &hs.peer_address : NULL);
	route.has_relay = hs.hop == HF_DHT_FROM_SECOND_RELAY;
	route.relay = hs.relay_address;
	server->listener.handshake(server->context, &route, hs.noise);
}

int hf_dht_answer_handshake(
	struct hf_dht_node *node, const struct hf_dht_route *route, struct hf_slice noise, struct hf_udx_socket *socket)
{
	bool is_direct = route->hop == HF_DHT_FROM_CLIENT;
	int r = write_handshake(node, is_direct ? HF_DHT_REPLY : HF_DHT_FROM_SERVER, noise,
		!is_direct && route->is_relayed ? &route->peer : NULL, NULL);

	if (r < 0 || node->is_suspended)
		return r;
	socket = socket ? socket : route->socket;
	if (is_direct)
		return reply(node, socket, &route->from, route->tid);
	return forward(node, socket, route->has_relay ? &route->relay : &route->from, route->tid, HF_DHT_PEER_HANDSHAKE, route->target);
}

/* ---- Holepunches ---- */

static int write_holepunch(
	struct hf_dht_node *node, enum hf_dht_hop hop, uint64_t id, struct hf_slice payload, const struct hf_address *peer)
{
	struct hf_dht_peer_holepunch message = {.hop = hop, .id = id, .payload = payload, .has_peer_address = true, .peer_address = *peer};

	hf_buffer_clear(&node->value);
	return hf_dht_peer_holepunch_encode(&message, &node->value);
}

static void relay_holepunch(struct hf_dht_node *node, const struct hf_dht_served *served, const struct hf_dht_peer_holepunch *hp)
{
	struct hf_address place;
	const struct hf_address *to = hp->has_peer_address ? &hp->peer_address : route_to(node, served->message->target, &place);

	if (!to || to->port == 0)
		return;
	if (hp->hop == HF_DHT_FROM_CLIENT && write_holepunch(node, HF_DHT_FROM_RELAY, hp->id, hp->payload, &served->from) == HF_OK) {
		forward(node, served->socket, to, served->message->tid, HF_DHT_PEER_HOLEPUNCH, served->message->target);
		node->stats.relayed++;
	} else if (hp->hop == HF_DHT_FROM_SERVER && hp->has_peer_address &&
		write_holepunch(node, HF_DHT_REPLY, hp->id, hp->payload, &served->from) == HF_OK) {
		reply(node, served->socket, to, served->message->tid);
		node->stats.relayed++;
	}
}

void hf_dht_node_serve_holepunch(struct hf_dht_node *node, const struct hf_dht_served *served)
{
	const struct hf_dht_message *m = served->message;
	struct hf_dht_local_server *server = local_server(node, m->target);
	struct hf_dht_peer_holepunch hp;

	if (!m->has_value || hf_dht_peer_holepunch_decode(m->value, &hp) < 0)
		return;
	if (hp.hop != HF_DHT_FROM_RELAY) {
		relay_holepunch(node, served, &hp);
	} else if (server && server->listener.holepunch && hp.has_peer_address) {
		struct hf_dht_route route = route_of(served, hp.hop, &hp.peer_address);
		server->listener.holepunch(server->context, &route, hp.id, hp.payload);
	}
}

int hf_dht_answer_holepunch(
	struct hf_dht_node *node, const struct hf_dht_route *route, struct hf_slice payload, struct hf_udx_socket *socket)
{
	int r = write_holepunch(node, HF_DHT_FROM_SERVER, 0, payload, &route->peer);

	if (r < 0 || node->is_suspended)
		return r;
	return forward(node, socket ? socket : route->socket, &route->from, route->tid, HF_DHT_PEER_HOLEPUNCH, route->target);
}
