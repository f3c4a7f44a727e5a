/* Whom to connect with and when, and what becomes of those who connect with us. */
#include "peer/swarm.h"

#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/options.h"
#include "crypto/secret.h"
#include "peer/swarm_private.h"

#define EXPLICIT_ATTEMPT_COUNT_MAX 5 /* of a peer asked for by its key, between two waits of the longest kind */

uint32_t hf_swarm_random(struct hf_swarm *swarm)
{
	uint32_t random;
	swarm->host->env->random(swarm->host->env, &random, sizeof random);
	return random;
}

static void changed(struct hf_swarm *swarm)
{
	if (swarm->options.changed)
		swarm->options.changed(swarm->options.context);
}

/* ---- The life of a connection ---- */

static struct hf_swarm_connection *add_connection(struct hf_swarm_peer *peer, bool is_server)
{
	struct hf_swarm *swarm = peer->swarm;
	struct hf_swarm_connection *c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	c->swarm = swarm;
	c->peer = peer;
	c->is_server = is_server;
	peer->connection = c;
	peer->connection_count++;
	HF_LIST_PUSH(swarm->connections, c);
	swarm->stats.connections++;
	if (is_server)
		swarm->stats.server_connections++;
	else
		swarm->stats.client_connections++;
	return c;
}

static void retry_later(struct hf_swarm_peer *peer)
{
	struct hf_swarm *swarm = peer->swarm;
	if (swarm->is_suspended || swarm->is_closing || peer->connection || (!peer->is_explicit && !hf_swarm_peer_has_live_topic(peer)))
		return;
	uint64_t delay_ms = hf_swarm_peer_retry_ms(peer, swarm->backoff_ms, hf_swarm_random(swarm));
	peer->is_waiting = delay_ms > 0 && hf_udp_timer_set(swarm->host, &peer->retry, delay_ms) == HF_OK;
}

static void connecting_ended(struct hf_swarm_connection *c)
{
	c->swarm->stats.connecting -= c->is_connecting;
	c->is_connecting = false;
}

static void drop(struct hf_swarm_connection *c)
{
	struct hf_swarm *swarm = c->swarm;
	struct hf_swarm_peer *peer = c->peer;
	connecting_ended(c);
	HF_LIST_REMOVE(swarm->connections, c);
	swarm->stats.connections--;
	peer->connection_count--;
	if (peer->connection == c)
		peer->connection = NULL;
	if (c->is_server) {
		swarm->stats.server_connections--;
		swarm->stats.server_closed++;
	} else {
		swarm->stats.client_connections--;
		swarm->stats.client_closed++;
		hf_swarm_peer_disconnected(peer, hf_udp_now_ms(swarm->host));
		retry_later(peer);
	}
	if (c->is_from_queue && !c->is_open)
		hf_swarm_tried(swarm, peer);
	free(c);
	hf_swarm_peer_settle(peer);
	hf_swarm_attempt(swarm);
	hf_swarm_settle(swarm);
	changed(swarm);
}

static void on_opened(struct hf_peer_socket_observer *observer, struct hf_peer_socket *socket)
{
	struct hf_swarm_connection *c = HF_CONTAINER_OF(observer, struct hf_swarm_connection, observer);
	struct hf_swarm *swarm = c->swarm;
	c->is_open = true;
	connecting_ended(c);
	if (c->is_server) {
		swarm->stats.server_opened++;
	} else {
		swarm->stats.client_opened++;
		c->peer->is_client = true;
		hf_swarm_peer_connected(c->peer, hf_udp_now_ms(swarm->host));
	}
	if (c->is_from_queue)
		hf_swarm_tried(swarm, c->peer);
	hf_swarm_attempt(swarm);
	hf_swarm_settle(swarm);
	changed(swarm);
}

static void on_closed(struct hf_peer_socket_observer *observer, struct hf_peer_socket *socket, int code, const char *why)
{
	drop(HF_CONTAINER_OF(observer, struct hf_swarm_connection, observer));
}

static void adopt(struct hf_swarm_connection *c, struct hf_peer_socket *socket)
{
	c->dial = NULL;
	c->socket = socket;
	c->observer = (struct hf_peer_socket_observer){.opened = on_opened, .closed = on_closed};
	hf_peer_socket_observe(socket, &c->observer);
}

/* Who owns the socket has heard of it once it is open, and hears of its end then. */
static void end_connection(struct hf_swarm_connection *c, int code, const char *why)
{
	if (!c->socket) {
		hf_dht_dial_cancel(c->dial);
		drop(c);
	} else if (c->is_open) {
		hf_peer_socket_fail(c->socket, code, why);
	} else {
		hf_peer_socket_free(c->socket);
	}
}

/* ---- Dialling ---- */

static void ban(struct hf_swarm_peer *peer)
{
	peer->swarm->stats.banned += !peer->is_banned;
	peer->is_banned = true;
	hf_swarm_queue_remove(&peer->swarm->queue, peer);
}

static bool is_refused(struct hf_swarm *swarm, const uint8_t public_key[static 32])
{
	struct hf_swarm_peer *peer = hf_swarm_peer_find(swarm, public_key);
	if (memcmp(public_key, swarm->public_key, sizeof swarm->public_key) == 0 || (peer && peer->is_banned))
		return true;
	if (!swarm->options.refuses || !swarm->options.refuses(swarm->options.context, public_key))
		return false;
	swarm->stats.refused++;
	if (peer || (peer = hf_swarm_peer_take(swarm, public_key)))
		ban(peer);
	return true;
}

static void on_connected(void *context, struct hf_dht_dial *dial, struct hf_peer_socket *socket)
{
	adopt(context, socket);
}

static void on_failed(void *context, struct hf_dht_dial *dial, const struct hf_dht_dial_failure *failure)
{
	struct hf_swarm_connection *c = context;
	bool could_relay = failure->error == HF_DHT_HOLEPUNCH_ABORTED || failure->error == HF_DHT_HOLEPUNCH_DOUBLE_RANDOMIZED_NATS ||
		failure->error == HF_DHT_CANNOT_HOLEPUNCH || failure->error == HF_DHT_REMOTE_NOT_HOLEPUNCHABLE;
	if (could_relay && c->swarm->options.relay_through) {
		c->peer->needs_relay = true;
		c->peer->attempts = 0;
	}
	drop(c);
}

static const uint8_t *relay_for(const struct hf_swarm *swarm, bool forced)
{
	return swarm->options.relay_through ? swarm->options.relay_through(swarm->options.context, forced) : NULL;
}

static void dial(struct hf_swarm_peer *peer, bool is_from_queue)
{
	static const struct hf_dht_dial_events events = {.connected = on_connected, .failed = on_failed};
	struct hf_swarm *swarm = peer->swarm;
	bool is_needless = peer->is_banned || peer->connection || is_refused(swarm, peer->public_key);
	struct hf_swarm_connection *c = is_needless ? NULL : add_connection(peer, false);
	if (!c) {
		if (is_from_queue)
			hf_swarm_tried(swarm, peer);
		hf_swarm_peer_settle(peer);
		return;
	}
	struct hf_dht_dial_options options = {.size = sizeof options, .public_key = peer->public_key, .secret_key = swarm->secret,
		.relays = peer->relays, .relay_count = peer->relay_count, .relay_through = relay_for(swarm, peer->needs_relay),
		.socket = swarm->socket, .events = &events, .context = c};
	c->is_from_queue = is_from_queue;
	c->is_connecting = true;
	swarm->stats.connecting++;
	swarm->stats.client_attempted++;
	if (hf_dht_dial(&c->dial, swarm->options.connector, &options) < 0)
		drop(c);
	else
		changed(swarm);
}

void hf_swarm_attempt(struct hf_swarm *swarm)
{
	if (swarm->is_draining || swarm->is_suspended || swarm->is_closing)
		return;
	swarm->is_draining = true;
	uint64_t now_ms = hf_udp_now_ms(swarm->host);
	for (struct hf_swarm_peer *peer = swarm->explicit_peers, *next; peer; peer = next) {
		next = peer->next;
		if (swarm->stats.connecting >= swarm->options.parallel_count_max)
			break;
		if (!peer->connection && peer->attempts < EXPLICIT_ATTEMPT_COUNT_MAX &&
			(peer->attempts == 0 || now_ms - peer->disconnected_ms >= peer->attempts * 1000u)) {
			hf_swarm_queue_remove(&swarm->queue, peer);
			dial(peer, false);
		}
	}
	while (swarm->queue.count > 0 && swarm->stats.connecting < swarm->options.parallel_count_max && hf_swarm_has_room(swarm))
		dial(hf_swarm_queue_take(&swarm->queue, hf_swarm_random(swarm)), true);
	swarm->is_draining = false;
	hf_swarm_finish_if_full(swarm);
}

static void enqueue(struct hf_swarm_peer *peer)
{
	struct hf_swarm *swarm = peer->swarm;
	if (!hf_swarm_peer_is_due(peer) || hf_swarm_queue_add(&swarm->queue, peer) < 0)
		return;
	peer->flush_tick = swarm->flush_tick;
	hf_swarm_attempt(swarm);
}

static void set_relays(struct hf_swarm_peer *peer, struct hf_slice relays)
{
	size_t count = hf_dht_closer_count(relays);
	peer->relay_count = 0;
	for (size_t i = 0; i < count && i < HF_DHT_RECORD_RELAYS_MAX; i++)
		peer->relays[peer->relay_count++] = hf_dht_closer_at(relays, i);
}

void hf_swarm_found(struct hf_swarm *swarm, struct hf_swarm_topic *topic, const struct hf_dht_peer *found)
{
	struct hf_swarm_peer *peer = hf_swarm_peer_take(swarm, found->public_key);
	if (!peer)
		return;
	set_relays(peer, found->relays);
	hf_swarm_peer_add_topic(peer, topic);
	if (!peer->connection) {
		if (peer->priority < HF_SWARM_PRIORITY_NORMAL || !peer->is_client)
			hf_swarm_peer_reset(peer);
		enqueue(peer);
	}
	hf_swarm_peer_settle(peer);
}

/* ---- Those who come ---- */

static bool on_firewall(void *context, struct hf_dht_server *server, const uint8_t remote_key[static HF_SIGN_PUBLIC_BYTES],
	const struct hf_address *from)
{
	struct hf_swarm *swarm = context;
	uint32_t count_max = swarm->options.server_connection_count_max;
	return swarm->is_suspended || swarm->is_closing || (count_max && swarm->stats.server_connections >= count_max) ||
		is_refused(swarm, remote_key);
}

/* Both sides must come to the same end: of two that were begun at once the one stays that the greater key began; one that has been in use
 * is given up, for its other end would not dial if it still held it. */
static bool is_newer_kept(const struct hf_swarm *swarm, const struct hf_swarm_connection *existing)
{
	bool is_outdated = existing->socket && hf_peer_socket_received_bytes(existing->socket) > 0 &&
		hf_peer_socket_sent_bytes(existing->socket) > 0;
	return is_outdated || memcmp(swarm->public_key, existing->peer->public_key, sizeof swarm->public_key) < 0;
}

static void on_connection(void *context, struct hf_dht_server *server, struct hf_peer_socket *socket)
{
	struct hf_swarm *swarm = context;
	struct hf_swarm_peer *peer = swarm->is_suspended || swarm->is_closing ? NULL
		: hf_swarm_peer_take(swarm, hf_peer_socket_remote_key(socket));
	struct hf_swarm_connection *existing = peer ? peer->connection : NULL;
	if (existing) {
		swarm->stats.duplicates_closed++;
		if (!is_newer_kept(swarm, existing)) {
			if (existing->socket)
				hf_peer_socket_send_keep_alive(existing->socket);
			hf_peer_socket_free(socket);
			return;
		}
	}
	struct hf_swarm_connection *c = peer ? add_connection(peer, true) : NULL;
	if (!c) {
		hf_peer_socket_free(socket);
		return;
	}
	peer->is_client = false;
	adopt(c, socket);
	if (existing)
		end_connection(existing, HF_EEXISTS, "The peer has made another connection, which stays.");
	changed(swarm);
}

static void on_listening(void *context, struct hf_dht_server *server, size_t relay_count)
{
	struct hf_swarm *swarm = context;
	swarm->is_ready = true;
	hf_swarm_topics_server_ready(swarm);
}

static void on_server_closed(void *context, struct hf_dht_server *server)
{
	struct hf_swarm *swarm = context;
	swarm->server = NULL;
	swarm->is_ready = false;
	hf_swarm_settle(swarm);
}

int hf_swarm_listen(struct hf_swarm *swarm)
{
	static const struct hf_dht_server_events events = {.firewall = on_firewall, .connection = on_connection, .listening = on_listening,
		.closed = on_server_closed};
	struct hf_dht_server_options options = {.size = sizeof options, .secret_key = swarm->secret, .relay_through = relay_for(swarm, false),
		.socket = swarm->socket, .events = &events, .context = swarm};
	int r = swarm->server ? HF_OK : hf_dht_server_listen(&swarm->server, swarm->options.connector, &options, NULL);
	return r < 0 ? r : swarm->is_ready ? HF_OK : HF_EWAIT;
}

/* ---- Peers by their key ---- */

int hf_swarm_join_peer(struct hf_swarm *swarm, const uint8_t public_key[static 32])
{
	struct hf_swarm_peer *peer = swarm->is_closing ? NULL : hf_swarm_peer_take(swarm, public_key);
	if (!peer)
		return swarm->is_closing ? HF_ECLOSED : memcmp(public_key, swarm->public_key, sizeof swarm->public_key) == 0 ? HF_EINVAL : HF_ENOMEM;
	if (!peer->is_explicit) {
		peer->is_explicit = true;
		HF_LIST_PUSH(swarm->explicit_peers, peer);
		swarm->explicit_count++;
	}
	if (!peer->connection)
		enqueue(peer);
	return HF_OK;
}

void hf_swarm_leave_peer(struct hf_swarm *swarm, const uint8_t public_key[static 32])
{
	struct hf_swarm_peer *peer = hf_swarm_peer_find(swarm, public_key);
	if (!peer || !peer->is_explicit)
		return;
	peer->is_explicit = false;
	HF_LIST_REMOVE(swarm->explicit_peers, peer);
	swarm->explicit_count--;
	hf_swarm_peer_settle(peer);
}

int hf_swarm_ban(struct hf_swarm *swarm, const uint8_t public_key[static 32], bool is_banned)
{
	struct hf_swarm_peer *peer = is_banned ? hf_swarm_peer_take(swarm, public_key) : hf_swarm_peer_find(swarm, public_key);
	if (!peer)
		return is_banned ? HF_ENOMEM : HF_OK;
	if (!is_banned) {
		peer->is_banned = false;
		hf_swarm_peer_settle(peer);
		return HF_OK;
	}
	ban(peer);
	if (peer->connection)
		end_connection(peer->connection, HF_EDENIED, "The peer is banned.");
	return HF_OK;
}

struct hf_peer_socket *hf_swarm_find(struct hf_swarm *swarm, const uint8_t public_key[static 32])
{
	const struct hf_swarm_peer *peer = hf_swarm_peer_find(swarm, public_key);
	return peer && peer->connection && peer->connection->is_open ? peer->connection->socket : NULL;
}

/* ---- Sleep ---- */

static void end_all(struct hf_swarm *swarm, const char *why)
{
	/* Ending one may end others, but never begins any: those left come first again. */
	for (struct hf_swarm_connection *c = swarm->connections; c;) {
		if (c->is_ending) {
			c = c->next;
			continue;
		}
		c->is_ending = true;
		if (c->is_open)
			hf_peer_socket_close(c->socket);
		else
			end_connection(c, HF_ECANCELED, why);
		c = swarm->connections;
	}
}

static void forget_queue(struct hf_swarm *swarm)
{
	struct hf_swarm_peer *peer;
	while ((peer = hf_swarm_queue_take(&swarm->queue, 0)))
		hf_swarm_peer_settle(peer);
}

void hf_swarm_suspend(struct hf_swarm *swarm, void (*done)(void *context), void *context)
{
	size_t cursor = 0;
	struct hf_swarm_topic *topic;
	swarm->is_suspended = true;
	swarm->rested = done;
	swarm->rested_context = context;
	if (swarm->server)
		hf_dht_server_suspend(swarm->server);
	swarm->is_ready = false;
	while ((topic = hf_map_next(&swarm->topics, &cursor)))
		hf_swarm_topic_take_back(topic);
	end_all(swarm, "The swarm is suspended.");
	forget_queue(swarm);
	hf_swarm_settle(swarm);
}

void hf_swarm_resume(struct hf_swarm *swarm)
{
	size_t cursor = 0;
	struct hf_swarm_topic *topic;
	if (!swarm->is_suspended || swarm->is_closing)
		return;
	swarm->is_suspended = false;
	swarm->rested = NULL;
	if (swarm->server)
		hf_dht_server_resume(swarm->server);
	while ((topic = hf_map_next(&swarm->topics, &cursor)))
		hf_swarm_topic_refresh(topic);
	hf_swarm_attempt(swarm);
}

void hf_swarm_network_changed(struct hf_swarm *swarm)
{
	size_t cursor = 0;
	struct hf_swarm_topic *topic;
	if (swarm->is_suspended || swarm->is_closing)
		return;
	for (struct hf_swarm_connection *c = swarm->connections; c; c = c->next)
		if (c->is_open)
			hf_peer_socket_send_keep_alive(c->socket);
	if (swarm->server)
		hf_dht_server_refresh(swarm->server);
	while ((topic = hf_map_next(&swarm->topics, &cursor)))
		hf_swarm_topic_look_again(topic);
	/* What was tried in vain was tried from where nobody could be reached. */
	for (struct hf_swarm_peer *peer = swarm->explicit_peers; peer; peer = peer->next)
		if (!peer->connection)
			peer->attempts = 0;
	hf_swarm_attempt(swarm);
}

void hf_swarm_close(struct hf_swarm *swarm, void (*closed)(void *context), void *context)
{
	swarm->is_closing = true;
	swarm->rested = closed;
	swarm->rested_context = context;
	hf_swarm_topics_leave(swarm);
	end_all(swarm, "The swarm is closed.");
	forget_queue(swarm);
	if (swarm->server)
		hf_dht_server_close(swarm->server);
	hf_swarm_settle(swarm);
}

/* ---- The whole ---- */

int hf_swarm_new(struct hf_swarm **out, const struct hf_swarm_options *given, struct hf_failure *failure)
{
	static const uint32_t base_ms[4] = {1000, 5000, 15000, 600000}, spread_ms[4] = {500, 1000, 2000, 120000};
	struct hf_swarm_options options;
	*out = NULL;
	int r = hf_options_take(&options, sizeof options, given);
	if (r < 0 || !options.connector || !options.static_secret || !options.socket)
		return hf_fail(failure, r < 0 ? r : HF_EINVAL, "The options of the swarm are not complete.");
	struct hf_swarm *swarm = calloc(1, sizeof *swarm);
	if (!swarm)
		return hf_fail(failure, HF_ENOMEM, "Out of memory.");
	swarm->options = options;
	swarm->options.connection_count_max = options.connection_count_max ? options.connection_count_max : HF_SWARM_CONNECTION_COUNT_MAX;
	swarm->options.parallel_count_max = options.parallel_count_max ? options.parallel_count_max : HF_SWARM_PARALLEL_COUNT_MAX;
	swarm->socket = *options.socket;
	if (swarm->socket.limits) {
		swarm->limits = *swarm->socket.limits;
		swarm->socket.limits = &swarm->limits;
	}
	swarm->node = hf_dht_connector_node(options.connector);
	swarm->host = hf_udx_net_host(hf_dht_node_net(swarm->node));
	memcpy(swarm->secret, options.static_secret, sizeof swarm->secret);
	memcpy(swarm->public_key, hf_sign_public_key(swarm->secret), sizeof swarm->public_key);
	swarm->deferred.run = hf_swarm_run_deferred;
	for (int i = 0; i < 4; i++)
		swarm->backoff_ms[i] = base_ms[i] + hf_swarm_random(swarm) % spread_ms[i] + hf_swarm_random(swarm) % 500;
	hf_map_init(&swarm->peers, (uint64_t)hf_swarm_random(swarm) << 32 | hf_swarm_random(swarm));
	hf_map_init(&swarm->topics, (uint64_t)hf_swarm_random(swarm) << 32 | hf_swarm_random(swarm));
	*out = swarm;
	return HF_OK;
}

static void forget_connections(struct hf_swarm *swarm)
{
	while (swarm->connections) {
		struct hf_swarm_connection *c = swarm->connections;
		HF_LIST_REMOVE(swarm->connections, c);
		hf_dht_dial_cancel(c->dial);
		if (c->socket) {
			hf_peer_socket_observe(c->socket, NULL);
			if (!c->is_open)
				hf_peer_socket_free(c->socket);
		}
		free(c);
	}
}

void hf_swarm_free(struct hf_swarm *swarm)
{
	struct hf_swarm_peer *peer;
	size_t cursor = 0;
	if (!swarm)
		return;
	swarm->is_closing = true;
	hf_udp_cancel_deferred(swarm->host, &swarm->deferred);
	hf_dht_server_free(swarm->server);
	forget_connections(swarm);
	while ((peer = hf_map_next(&swarm->peers, &cursor)))
		hf_swarm_peer_free(peer);
	hf_map_free(&swarm->peers);
	hf_swarm_queue_free(&swarm->queue);
	hf_swarm_topics_free(swarm);
	hf_wipe(swarm->secret, sizeof swarm->secret);
	free(swarm);
}

void hf_swarm_stats(const struct hf_swarm *swarm, struct hf_swarm_stats *stats)
{
	*stats = swarm->stats;
	stats->topics = (uint32_t)swarm->topics.count;
	stats->peers = (uint32_t)swarm->peers.count;
	stats->queued = (uint32_t)swarm->queue.count;
}

struct hf_peer_socket *hf_swarm_next(struct hf_swarm *swarm, size_t *cursor)
{
	const struct hf_swarm_peer *peer;
	while ((peer = hf_map_next(&swarm->peers, cursor)))
		if (peer->connection && peer->connection->is_open)
			return peer->connection->socket;
	return NULL;
}
