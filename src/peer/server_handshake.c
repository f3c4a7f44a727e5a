/* What comes of message 1: message 2, always the same for the same; and the way that both sides then take. (spec: swarm, 4.4) */
#include <stdlib.h>

#include "crypto/hash.h"
#include "crypto/secret.h"
#include "peer/server_private.h"

/* ---- Life of a handshake ---- */

static void drop_way(struct hf_server_handshake *handshake)
{
	hf_udp_timer_cancel(handshake->server->connector->host, &handshake->timer);
	hf_puncher_free(handshake->puncher);
	handshake->puncher = NULL;
	handshake->waiting_count = 0;
}

void hf_server_forget(struct hf_server_handshake *handshake)
{
	struct hf_dht_server *server = handshake->server;

	drop_way(handshake);
	hf_path_release(handshake->path);
	hf_relay_use_free(handshake->relay_use);
	hf_map_remove(&server->by_message, hf_buffer_slice(&handshake->key));
	server->by_id[handshake->id] = NULL;
	server->handshake_count--;
	server->connector->stats.handshake_count--;
	HF_LIST_REMOVE(server->handshakes, handshake);
	hf_buffer_free(&handshake->key);
	hf_buffer_free(&handshake->answer);
	hf_wipe(handshake, sizeof *handshake);
	free(handshake);
}

/* Without memory for the timer it goes now. */
void hf_server_clear_later(struct hf_server_handshake *handshake)
{
	if (handshake->is_clearing)
		return;
	handshake->is_clearing = true;
	if (hf_udp_timer_set(handshake->server->connector->host, &handshake->timer, HF_DHT_HANDSHAKE_CLEAR_MS) != HF_OK)
		hf_server_forget(handshake);
}

void hf_server_give_up(struct hf_server_handshake *handshake)
{
	drop_way(handshake);
	if (handshake->relay_use != NULL)
		return;
	hf_path_release(handshake->path);
	handshake->path = NULL;
	hf_server_clear_later(handshake);
}

static void on_timer(struct hf_timer *timer)
{
	struct hf_server_handshake *handshake = HF_CONTAINER_OF(timer, struct hf_server_handshake, timer);

	if (handshake->is_clearing)
		hf_server_forget(handshake);
	else
		hf_server_give_up(handshake);
}

/* Makes room among those that are over, the oldest first. */
static void make_room(struct hf_dht_server *server)
{
	struct hf_server_handshake *oldest = NULL;

	for (struct hf_server_handshake *one = server->handshakes; one != NULL; one = one->next)
		if (one->is_clearing && one->relay_use == NULL)
			oldest = one;
	if (oldest != NULL)
		hf_server_forget(oldest);
}

static bool has_room(struct hf_dht_server *server, const struct hf_address *client)
{
	size_t of_host = 0;

	if (server->handshake_count == HF_DHT_SERVER_HANDSHAKE_COUNT_MAX)
		make_room(server);
	for (struct hf_server_handshake *one = server->handshakes; one != NULL; one = one->next)
		of_host += !one->is_clearing && hf_dht_same_host(&one->client, client);
	return server->handshake_count < HF_DHT_SERVER_HANDSHAKE_COUNT_MAX && of_host < HF_DHT_SERVER_HANDSHAKES_PER_HOST_MAX;
}

static int new_handshake(struct hf_server_handshake **out, struct hf_dht_server *server, struct hf_slice noise,
	const struct hf_address *client)
{
	struct hf_server_handshake *handshake = calloc(1, sizeof *handshake);

	if (handshake == NULL)
		return HF_ENOMEM;
	handshake->server = server;
	handshake->client = *client;
	handshake->timer.fire = on_timer;
	int error = hf_buffer_append(&handshake->key, noise.data, noise.length);
	if (error == HF_OK)
		error = hf_map_put(&server->by_message, hf_buffer_slice(&handshake->key), handshake, NULL);
	if (error != HF_OK) {
		hf_buffer_free(&handshake->key);
		free(handshake);
		return error;
	}
	while (server->by_id[handshake->id] != NULL)
		handshake->id++;
	server->by_id[handshake->id] = handshake;
	server->handshake_count++;
	server->connector->stats.handshake_count++;
	HF_LIST_PUSH(server->handshakes, handshake);
	*out = handshake;
	return HF_OK;
}

/* ---- From the path ---- */

static void on_connected(void *context, struct hf_peer_socket *socket, bool is_direct)
{
	struct hf_server_handshake *handshake = context;
	struct hf_dht_server *server = handshake->server;

	if (is_direct) {
		drop_way(handshake);
		if (handshake->relay_use == NULL) {
			hf_path_release(handshake->path);
			handshake->path = NULL;
		}
		hf_server_clear_later(handshake);
	} else {
		hf_udp_timer_cancel(server->connector->host, &handshake->timer);
	}
	if (server->options.events->connection != NULL)
		server->options.events->connection(server->options.context, server, socket);
}

static void on_upgraded(void *context)
{
	struct hf_server_handshake *handshake = context;

	drop_way(handshake);
	hf_server_clear_later(handshake);
}

static void on_confirmed(void *context)
{
	struct hf_server_handshake *handshake = context;

	hf_relay_use_close(handshake->relay_use);
	handshake->relay_use = NULL;
	hf_path_release(handshake->path);
	handshake->path = NULL;
	hf_server_clear_later(handshake);
}

static void on_over(void *context, int code)
{
	struct hf_server_handshake *handshake = context;

	drop_way(handshake);
	hf_relay_use_free(handshake->relay_use);
	handshake->relay_use = NULL;
	hf_path_release(handshake->path);
	handshake->path = NULL;
	hf_server_clear_later(handshake);
}

static const struct hf_path_events path_events = {
	.connected = on_connected, .upgraded = on_upgraded, .confirmed = on_confirmed, .over = on_over};

/* ---- A blind relay ---- */

static void on_paired(void *context, const struct hf_udx_path *relay, uint32_t relay_id)
{
	struct hf_server_handshake *handshake = context;

	if (handshake->path != NULL)
		hf_path_relayed(handshake->path, relay, relay_id);
}

static void on_relay_failed(void *context)
{
	struct hf_server_handshake *handshake = context;

	hf_relay_use_free(handshake->relay_use);
	handshake->relay_use = NULL;
	if (handshake->path == NULL)
		return;
	hf_path_relay_lost(handshake->path);
	if (hf_path_is_direct(handshake->path) || hf_path_is_connected(handshake->path))
		return;
	if (handshake->puncher == NULL && handshake->timer.place == 0)
		hf_server_give_up(handshake);
}

static const struct hf_relay_use_events relay_events = {.paired = on_paired, .failed = on_relay_failed};

/* ---- Message 2 ---- */

struct knock {
	struct hf_server_handshake *handshake;
	const struct hf_dht_route *route;
	struct hf_noise noise;
	struct hf_noise_result keys;
	struct hf_dht_noise_payload theirs;
	struct hf_address client, own;
	bool is_open; /* we can be reached at own */
	uint8_t relay_token[HF_DHT_SECRET_BYTES];
};

static int read_message(struct knock *knock, struct hf_dht_server *server, struct hf_slice message)
{
	uint8_t bytes[HF_DHT_NOISE_BYTES_MAX];
	size_t length;

	if (message.length > sizeof bytes)
		return HF_ETOOBIG;
	hf_dht_handshake_init(&knock->noise, server->secret_key, NULL, server->connector->host->env);
	int error = hf_noise_recv(&knock->noise, message, bytes, &length);
	return error == HF_OK ? hf_dht_noise_decode(hf_slice(bytes, length), &knock->theirs) : error;
}

static enum hf_dht_peer_error judge(const struct knock *knock)
{
	if (knock->theirs.version != HF_DHT_NOISE_VERSION)
		return HF_DHT_PEER_VERSION_MISMATCH;
	return knock->theirs.has_udx ? HF_DHT_PEER_OK : HF_DHT_PEER_ABORTED;
}

static void describe(struct knock *knock, struct hf_dht_noise_payload *ours)
{
	struct hf_server_handshake *handshake = knock->handshake;
	struct hf_dht_server *server = handshake->server;
	struct hf_address relays[HF_DHT_SERVER_RELAYS_MAX];
	struct hf_dht_addresses local;

	*ours = (struct hf_dht_noise_payload){.error = judge(knock), .has_udx = true, .has_secret_stream = true,
		.firewall = knock->is_open ? HF_DHT_FIREWALL_OPEN : HF_DHT_FIREWALL_UNKNOWN, .has_holepunch = !knock->is_open};
	if (knock->is_open)
		hf_dht_addresses_add(&ours->addresses4, &knock->own);
	hf_dht_reached_addresses(server->connector, &local);
	for (size_t i = 0; i < local.count && !server->options.no_local; i++)
		hf_dht_addresses_add(&ours->addresses4, &local.list[i]);
	if (ours->has_holepunch) {
		ours->holepunch.id = handshake->id;
		ours->holepunch.relay_count = hf_announcer_relays(server->announcer, ours->holepunch.relays);
	}
	ours->udx.id = handshake->path != NULL ? hf_path_stream_id(handshake->path) : 0;
	ours->udx.reusable_socket = server->options.reusable_socket;
	size_t count = hf_dht_server_relays(server, relays);
	ours->has_relay_addresses = count > 0;
	for (size_t i = 0; i < count; i++)
		hf_dht_addresses_add(&ours->relay_addresses, &relays[i]);
	if ((ours->has_relay_through = server->options.relay_through != NULL)) {
		memcpy(ours->relay_through.public_key, server->relay_key, sizeof server->relay_key);
		memcpy(ours->relay_through.token, knock->relay_token, sizeof knock->relay_token);
	}
}

static int write_message(struct knock *knock)
{
	struct hf_server_handshake *handshake = knock->handshake;
	struct hf_dht_noise_payload ours;
	struct hf_buffer bytes = {0};
	size_t length = 0;

	describe(knock, &ours);
	int error = hf_dht_noise_encode(&ours, &bytes);
	if (error == HF_OK)
		error = hf_buffer_reserve(&handshake->answer, bytes.length + HF_NOISE_OVERHEAD_BYTES_MAX);
	if (error == HF_OK)
		error = hf_noise_send(&knock->noise, hf_buffer_slice(&bytes), handshake->answer.data, &length);
	handshake->answer.length = length;
	hf_buffer_free(&bytes);
	return error;
}

/* ---- Ways ---- */

static void answer(const struct hf_server_handshake *handshake, const struct hf_dht_route *route)
{
	struct hf_dht_node *node = handshake->server->connector->node;
	struct hf_udx_socket *socket = NULL;

	if (handshake->answer.length == 0)
		return;
	if (handshake->answers_from_puncher && handshake->puncher != NULL)
		socket = hf_puncher_socket(handshake->puncher)->udx;
	hf_dht_answer_handshake(node, route, hf_buffer_slice(&handshake->answer), socket);
}

static void wait_for_way(struct hf_server_handshake *handshake)
{
	hf_udp_timer_set(handshake->server->connector->host, &handshake->timer, HF_DHT_PASSIVE_TIMEOUT_MS);
}

/* The client seems to be behind the same NAT, if any, and on a network that we are on. */
static bool is_near(const struct knock *knock)
{
	struct hf_dht_server *server = knock->handshake->server;
	struct hf_dht_addresses ours, theirs = {.count = 0};
	struct hf_address best;

	if (server->options.no_local || !hf_dht_same_host(&knock->client, &knock->route->to))
		return false;
	for (size_t i = 0; i < knock->theirs.addresses4.count; i++)
		if (hf_dht_address_is_private(&knock->theirs.addresses4.list[i]))
			hf_dht_addresses_add(&theirs, &knock->theirs.addresses4.list[i]);
	hf_dht_reached_addresses(server->connector, &ours);
	return hf_dht_match_address(&ours, &theirs, &best);
}

static void use_relay(struct knock *knock)
{
	struct hf_server_handshake *handshake = knock->handshake;
	struct hf_dht_server *server = handshake->server;
	bool is_ours = server->options.relay_through != NULL;

	if (!is_ours && !knock->theirs.has_relay_through)
		return;
	hf_relay_use_new(&handshake->relay_use, server->connector, is_ours ? server->relay_key : knock->theirs.relay_through.public_key,
		server->secret_key, is_ours, is_ours ? knock->relay_token : knock->theirs.relay_through.token,
		hf_path_stream_id(handshake->path), &relay_events, handshake);
}

/* A client that we reach at once is connected at once, and last: what belongs to us may be gone then. */
static void choose_way(struct knock *knock)
{
	struct hf_server_handshake *handshake = knock->handshake;
	struct hf_dht_server *server = handshake->server;
	bool is_direct = !knock->route->is_relayed;

	if (is_direct || knock->theirs.firewall == HF_DHT_FIREWALL_OPEN) {
		answer(handshake, knock->route);
		hf_path_found(handshake->path,
			is_direct ? knock->route->socket : hf_dht_node_socket(server->connector->node), &knock->client, HF_WAY_OPEN);
		return;
	}
	use_relay(knock);
	wait_for_way(handshake);
	bool near = is_near(knock);
	if (near || (!knock->is_open && !server->options.no_punch))
		handshake->answers_from_puncher = hf_server_begin_punching(handshake, knock->theirs.firewall) == HF_OK && !near;
	answer(handshake, knock->route);
}

static int open_path(struct knock *knock)
{
	struct hf_server_handshake *handshake = knock->handshake;
	struct hf_dht_server *server = handshake->server;
	struct hf_env *env = server->connector->host->env;

	knock->is_open = hf_dht_node_remote_address(server->connector->node, &knock->own);
	env->random(env, knock->relay_token, sizeof knock->relay_token);
	env->random(env, handshake->token_secret, sizeof handshake->token_secret);
	if (judge(knock) != HF_DHT_PEER_OK)
		return HF_OK;
	return hf_path_new(&handshake->path, server->connector, false, &server->options.socket, &path_events, handshake);
}

static bool is_refused(struct hf_dht_server *server, const struct knock *knock)
{
	const struct hf_dht_server_events *events = server->options.events;

	return events->firewall != NULL &&
	       events->firewall(server->options.context, server, knock->noise.remote_static, &knock->client);
}

static void take_knock(struct knock *knock)
{
	struct hf_server_handshake *handshake = knock->handshake;
	const struct hf_dht_server *server = handshake->server;

	memcpy(handshake->remote_key, knock->noise.remote_static, sizeof handshake->remote_key);
	int error = open_path(knock);
	if (error == HF_OK)
		error = write_message(knock);
	if (error != HF_OK) {
		hf_server_forget(handshake);
		return;
	}
	hf_noise_split(&knock->noise, &knock->keys);
	if (handshake->path == NULL) {
		answer(handshake, knock->route);
		hf_server_clear_later(handshake);
		return;
	}
	hf_dht_holepunch_secret(handshake->punch_secret, knock->keys.handshake_hash);
	hf_path_set_keys(handshake->path, &knock->keys, knock->theirs.udx.id,
		server->options.reusable_socket && knock->theirs.udx.reusable_socket);
	choose_way(knock);
}

static void begin_handshake(struct hf_dht_server *server, struct knock *knock, struct hf_slice message)
{
	struct hf_dht_connector_stats *stats = &server->connector->stats;

	if (!has_room(server, &knock->client)) {
		stats->handshakes_refused++;
		return;
	}
	if (read_message(knock, server, message) != HF_OK) {
		stats->handshakes_forged++;
		return;
	}
	stats->handshakes++;
	bool refused = is_refused(server, knock);
	if (new_handshake(&knock->handshake, server, message, &knock->client) != HF_OK)
		return;
	if (!refused) {
		take_knock(knock);
		return;
	}
	stats->handshakes_refused++;
	hf_server_clear_later(knock->handshake);
}

void hf_server_on_handshake(void *context, const struct hf_dht_route *route, struct hf_slice noise)
{
	struct hf_dht_server *server = context;
	struct hf_server_handshake *known = hf_map_get(&server->by_message, noise);
	struct knock knock = {.route = route, .client = route->is_relayed ? route->peer : route->from};

	if (server->is_closing || server->is_suspended)
		return;
	if (known != NULL) {
		server->connector->stats.handshakes_repeated++;
		answer(known, route);
		return;
	}
	begin_handshake(server, &knock, noise);
	hf_wipe(&knock.noise, sizeof knock.noise);
	hf_wipe(&knock.keys, sizeof knock.keys);
}
