/* A dial: finds nodes that know the server, has them pass our handshake on, two or three at a time, and takes the first answer. Then it
 * tries the ways that the answer leaves open (dial_way.c). It lives on behind a socket that runs over a relay, to find a better way. */
#include <stdlib.h>

#include "base/options.h"
#include "crypto/hash.h"
#include "crypto/secret.h"
#include "peer/dial_private.h"
#include "wire/dht/record.h"

#define ATTEMPTS_WITHOUT_HINT 2u

static const struct {
	int code;
	const char *why;
} failures[HF_DHT_CONNECT_ERROR_END] = {
	[HF_DHT_PEER_NOT_FOUND] = {HF_ENOTFOUND, "No node knows of this peer: it is not online, or not announced yet."},
	[HF_DHT_PEER_CONNECTION_FAILED] = {HF_ETIMEOUT, "The peer is announced, but does not answer."},
	[HF_DHT_SERVER_INCOMPATIBLE] = {HF_EVERSION, "The peer speaks another version of the protocol."},
	[HF_DHT_SERVER_ERROR] = {HF_EDENIED, "The peer has answered with an error."},
	[HF_DHT_CANNOT_HOLEPUNCH] = {HF_EADDR, "The peer cannot be reached from here and does not punch holes."},
	[HF_DHT_HOLEPUNCH_ABORTED] = {HF_EADDR, "No hole could be punched to the peer in time."},
	[HF_DHT_HOLEPUNCH_INVALID] = {HF_EMALFORMED, "The peer's answer to a hole punch cannot be read."},
	[HF_DHT_HOLEPUNCH_PROBE_TIMEOUT] = {HF_ETIMEOUT, "It could not be found out in time what NATs are in between."},
	[HF_DHT_HOLEPUNCH_DOUBLE_RANDOMIZED_NATS] = {HF_EADDR,
		"Both sides are behind NATs with random ports, through which no hole can be punched."},
	[HF_DHT_REMOTE_ABORTED] = {HF_EADDR, "The peer has given up punching a hole."},
	[HF_DHT_REMOTE_NOT_HOLEPUNCHING] = {HF_EADDR, "The peer does not punch holes."},
	[HF_DHT_REMOTE_NOT_HOLEPUNCHABLE] = {HF_EADDR, "No hole can be punched to where the peer is."},
	[HF_DHT_RELAY_ABORTED] = {HF_EADDR, "The relay between us and the peer cannot be used."},
	[HF_DHT_SUSPENDED] = {HF_ECANCELED, "The node is suspended."},
};

/* ---- The end ---- */

static void stop_looking(struct hf_dht_dial *dial)
{
	hf_dht_query_cancel(&dial->query);
	dial->is_looking = false;
	for (unsigned i = 0; i <= HF_DIAL_KEPT_WAY; i++)
		hf_dht_request_cancel(&dial->attempts[i].request);
}

void hf_dial_settle(struct hf_dht_dial *dial)
{
	dial->is_settled = true;
	stop_looking(dial);
	hf_dial_stop_punching(dial);
	hf_dht_request_cancel(&dial->local_ping);
	dial->is_pinging = false;
	hf_udp_timer_cancel(dial->connector->host, &dial->passive);
}

void hf_dial_destroy(struct hf_dht_dial *dial)
{
	hf_dial_settle(dial);
	hf_path_release(dial->path);
	hf_relay_use_free(dial->relay_use);
	HF_LIST_REMOVE(dial->connector->dials, dial);
	dial->connector->stats.dial_count--;
	hf_buffer_free(&dial->noise_message);
	hf_noise_wipe(&dial->noise);
	hf_wipe(dial, sizeof *dial);
	free(dial);
}

static void tell_failed(struct hf_dht_dial *dial, enum hf_dht_connect_error error, int code)
{
	struct hf_dht_dial_failure failure = {.code = failures[error].code, .error = error, .why = failures[error].why};

	if (error == 0) {
		failure.code = code;
		failure.why = hf_error_text(code);
	}
	hf_dial_settle(dial);
	if (dial->has_user) {
		dial->has_user = false;
		dial->connector->stats.dials_failed++;
		dial->options.events->failed(dial->options.context, dial, &failure);
	}
	hf_dial_destroy(dial);
}

void hf_dial_fail(struct hf_dht_dial *dial, enum hf_dht_connect_error error, int code)
{
	hf_dial_stop_punching(dial);
	if (hf_path_is_connected(dial->path) || dial->relay_use != NULL || dial->is_pinging)
		return;
	tell_failed(dial, error, code);
}

void hf_dht_dial_cancel(struct hf_dht_dial *dial)
{
	if (dial != NULL && dial->has_user) {
		dial->has_user = false;
		hf_dial_destroy(dial);
	}
}

/* ---- From the path ---- */

static void remember_relays(struct hf_dht_dial *dial)
{
	struct hf_address asked[HF_DHT_DIAL_RELAYS_MAX] = {dial->relay};
	size_t count = 1;

	if (dial->payload.relay_addresses.count > 0) {
		hf_dht_relays_remember(dial->connector, dial->public_key, dial->payload.relay_addresses.list,
			dial->payload.relay_addresses.count);
		return;
	}
	for (size_t i = 0; i < dial->node_count && count < HF_DHT_DIAL_RELAYS_MAX; i++)
		if (!hf_address_equal(&dial->nodes[i], &dial->relay))
			asked[count++] = dial->nodes[i];
	hf_dht_relays_remember(dial->connector, dial->public_key, asked, count);
}

static void on_connected(void *context, struct hf_peer_socket *socket, bool is_direct)
{
	struct hf_dht_dial *dial = context;
	const struct hf_dht_dial_events *events = dial->options.events;
	void *user = dial->options.context;
	bool is_done = is_direct && dial->relay_use == NULL;

	remember_relays(dial);
	if (is_direct)
		hf_dial_settle(dial);
	if (is_done) {
		hf_path_release(dial->path);
		dial->path = NULL;
	}
	dial->has_user = false;
	dial->connector->stats.dials_connected++;
	events->connected(user, dial, socket); /* a dial that is not done may be gone after it */
	if (is_done)
		hf_dial_destroy(dial);
}

static void on_upgraded(void *context)
{
	hf_dial_settle(context);
}

static void on_confirmed(void *context)
{
	struct hf_dht_dial *dial = context;

	hf_relay_use_close(dial->relay_use);
	dial->relay_use = NULL;
	hf_dial_destroy(dial);
}

static void on_over(void *context, int code)
{
	struct hf_dht_dial *dial = context;

	tell_failed(dial, 0, code);
}

static const struct hf_path_events path_events = {
	.connected = on_connected, .upgraded = on_upgraded, .confirmed = on_confirmed, .over = on_over};

/* ---- A blind relay ---- */

static void on_paired(void *context, const struct hf_udx_path *relay, uint32_t relay_id)
{
	hf_path_relayed(((struct hf_dht_dial *)context)->path, relay, relay_id);
}

static void on_relay_failed(void *context)
{
	struct hf_dht_dial *dial = context;

	hf_relay_use_free(dial->relay_use);
	dial->relay_use = NULL;
	hf_path_relay_lost(dial->path);
	if (hf_path_is_direct(dial->path))
		hf_dial_destroy(dial); /* it had only waited for the relay to be of no use */
	else if (dial->puncher == NULL && !dial->is_pinging && dial->passive.place == 0)
		hf_dial_fail(dial, HF_DHT_RELAY_ABORTED, 0);
}

static const struct hf_relay_use_events relay_events = {.paired = on_paired, .failed = on_relay_failed};

static void use_relay(struct hf_dht_dial *dial)
{
	const struct hf_dht_noise_payload *theirs = &dial->payload;
	bool is_theirs = theirs->has_relay_through;

	if (!is_theirs && dial->options.relay_through == NULL)
		return;
	hf_relay_use_new(&dial->relay_use, dial->connector, is_theirs ? theirs->relay_through.public_key : dial->relay_key,
		dial->secret_key, !is_theirs, is_theirs ? theirs->relay_through.token : dial->relay_token, hf_path_stream_id(dial->path),
		&relay_events, dial);
}

/* ---- The answer ---- */

/* Takes message 2 if it is one. */
static bool read_answer(struct hf_dht_dial *dial, struct hf_slice message, struct hf_noise_result *keys)
{
	struct hf_noise noise = dial->noise;
	uint8_t bytes[HF_DHT_NOISE_BYTES_MAX];
	size_t length;
	bool is_read = message.length <= sizeof bytes && hf_noise_recv(&noise, message, bytes, &length) == HF_OK &&
		hf_dht_noise_decode(hf_slice(bytes, length), &dial->payload) == HF_OK;

	if (is_read)
		hf_noise_split(&noise, keys);
	hf_wipe(&noise, sizeof noise);
	return is_read;
}

/* The dial may be gone after it. */
static void take_answer(struct hf_dht_dial *dial, const struct hf_noise_result *keys)
{
	dial->is_answered = true;
	stop_looking(dial);
	if (dial->payload.version != HF_DHT_NOISE_VERSION) {
		hf_dial_fail(dial, HF_DHT_SERVER_INCOMPATIBLE, 0);
		return;
	}
	if (dial->payload.error != HF_DHT_PEER_OK || !dial->payload.has_udx) {
		hf_dial_fail(dial, HF_DHT_SERVER_ERROR, 0);
		return;
	}
	hf_dht_holepunch_secret(dial->punch_secret, keys->handshake_hash);
	hf_path_set_keys(dial->path, keys, dial->payload.udx.id, dial->options.reusable_socket && dial->payload.udx.reusable_socket);
	use_relay(dial);
	if (hf_path_take_heard(dial->path))
		return;
	if (dial->is_relayed)
		hf_dial_choose_way(dial);
	else
		hf_path_found(dial->path, dial->answer_socket, &dial->server, HF_WAY_OPEN);
}

/* ---- Asking nodes to pass it on ---- */

static void go_on(struct hf_dht_dial *dial);

static bool is_answer(struct hf_dht_dial *dial, const struct hf_dht_request *request, const struct hf_dht_reply *reply,
	struct hf_noise_result *keys)
{
	struct hf_dht_peer_handshake message;

	if (!reply->has_value || hf_dht_peer_handshake_decode(reply->value, &message) != HF_OK || message.hop != HF_DHT_REPLY ||
		!hf_address_equal(&reply->from, &request->to) || !read_answer(dial, message.noise, keys))
		return false;
	dial->is_relayed = message.has_peer_address;
	dial->relay = request->to;
	dial->server = message.has_peer_address ? message.peer_address : request->to;
	dial->client = reply->to;
	dial->answer_socket = request->socket != NULL ? request->socket : hf_dht_node_socket(dial->connector->node);
	return true;
}

static void on_reply(struct hf_dht_request *request, int code, const struct hf_dht_reply *reply)
{
	struct hf_dht_dial *dial = HF_CONTAINER_OF(request, struct hf_dial_attempt, request)->dial;
	struct hf_noise_result keys;

	if (code == HF_OK && is_answer(dial, request, reply, &keys)) {
		take_answer(dial, &keys);
		hf_wipe(&keys, sizeof keys);
		return;
	}
	if (request == &dial->attempts[HF_DIAL_KEPT_WAY].request)
		hf_dht_way_forget(dial->connector, dial->public_key);
	go_on(dial);
}

static bool attempt(
	struct hf_dht_dial *dial, struct hf_dial_attempt *attempt, const struct hf_address *node, struct hf_udx_socket *socket)
{
	struct hf_dht_peer_handshake message = {.hop = HF_DHT_FROM_CLIENT, .noise = hf_buffer_slice(&dial->noise_message)};
	struct hf_buffer value = {0};
	int error = hf_dht_peer_handshake_encode(&message, &value);

	attempt->dial = dial;
	attempt->request = (struct hf_dht_request){.to = *node, .command = HF_DHT_PEER_HANDSHAKE, .target = dial->target, .has_value = true,
		.value = hf_buffer_slice(&value), .socket = socket, .retries = socket != NULL ? 1 : 0, .done = on_reply};
	if (error == HF_OK)
		error = hf_dht_request_start(dial->connector->node, &attempt->request);
	hf_buffer_free(&value);
	return error == HF_OK;
}

static bool is_hint(const struct hf_dht_dial *dial, const struct hf_address *node)
{
	for (size_t i = 0; i < dial->hint_count; i++)
		if (hf_address_equal(&dial->hints[i], node))
			return true;
	return false;
}

static void on_found(struct hf_dht_query *query, const struct hf_dht_reply *reply)
{
	struct hf_dht_dial *dial = HF_CONTAINER_OF(query, struct hf_dht_dial, query);
	struct hf_dht_peer peer;

	if (!reply->has_value || hf_dht_peer_read(reply->value, &peer) != HF_OK || is_hint(dial, &reply->from) ||
		dial->node_count == HF_DIAL_NODES_MAX)
		return;
	dial->nodes[dial->node_count++] = reply->from;
	go_on(dial);
}

static void on_looked(struct hf_dht_query *query, int code)
{
	struct hf_dht_dial *dial = HF_CONTAINER_OF(query, struct hf_dht_dial, query);

	dial->is_looking = false;
	if (code == HF_ECANCELED)
		hf_dial_fail(dial, HF_DHT_SUSPENDED, 0);
	else
		go_on(dial);
}

static int look(struct hf_dht_dial *dial, bool from_hints)
{
	struct hf_dht_contact start[HF_DHT_DIAL_RELAYS_MAX];

	dial->query = (struct hf_dht_query){.command = HF_DHT_FIND_PEER, .retries = HF_DHT_RETRIES, .start = start,
		.start_count = from_hints ? dial->hint_count : 0, .reply = on_found, .done = on_looked};
	memcpy(dial->query.target, dial->target, sizeof dial->target);
	for (size_t i = 0; i < dial->query.start_count; i++) {
		start[i].address = dial->hints[i];
		hf_dht_id(start[i].id, &dial->hints[i]);
	}
	int error = hf_dht_query_start(dial->connector->node, &dial->query);
	dial->is_looking = error == HF_OK;
	return error;
}

/* What is under way beside the hints. */
static bool is_trying(const struct hf_dht_dial *dial, bool with_hints)
{
	for (unsigned i = 0; i <= HF_DIAL_KEPT_WAY; i++)
		if (hf_dht_request_is_active(&dial->attempts[i].request) && (with_hints || !dial->attempts[i].is_of_hint))
			return true;
	return false;
}

/* Asks as many nodes as may be asked at once; ends the dial when there is nobody left. */
static void go_on(struct hf_dht_dial *dial)
{
	unsigned attempts = dial->hint_count > 0 ? HF_DIAL_ATTEMPTS_MAX : ATTEMPTS_WITHOUT_HINT;
	struct hf_dial_attempt *first = &dial->attempts[0];

	while (!hf_dht_request_is_active(&first->request) && dial->hint_at < dial->hint_count)
		first->is_of_hint = attempt(dial, first, &dial->hints[dial->hint_at++], NULL);
	for (unsigned i = 0; i < attempts; i++)
		while (!hf_dht_request_is_active(&dial->attempts[i].request) && dial->node_at < dial->node_count) {
			dial->attempts[i].is_of_hint = false;
			attempt(dial, &dial->attempts[i], &dial->nodes[dial->node_at++], NULL);
		}
	if (dial->is_looking || is_trying(dial, false))
		return;
	if (dial->has_second_query) {
		dial->has_second_query = false;
		if (look(dial, false) == HF_OK)
			return;
	}
	if (!is_trying(dial, true))
		hf_dial_fail(dial, dial->node_count > 0 ? HF_DHT_PEER_CONNECTION_FAILED : HF_DHT_PEER_NOT_FOUND, 0);
}

/* ---- Beginning ---- */

static int make_message(struct hf_dht_dial *dial)
{
	struct hf_dht_noise_payload payload = {.has_udx = true, .has_secret_stream = true};
	struct hf_dht_addresses local;
	struct hf_address own;
	struct hf_buffer bytes = {0};
	size_t length;

	if (hf_dht_node_remote_address(dial->connector->node, &own)) {
		dial->firewall = payload.firewall = HF_DHT_FIREWALL_OPEN;
		hf_dht_addresses_add(&payload.addresses4, &own);
	}
	hf_dht_local_addresses(dial->connector, &local);
	for (size_t i = 0; i < local.count && !dial->options.no_local; i++)
		hf_dht_addresses_add(&payload.addresses4, &local.list[i]);
	payload.udx.id = hf_path_stream_id(dial->path);
	payload.udx.reusable_socket = dial->options.reusable_socket;
	if ((payload.has_relay_through = dial->options.relay_through != NULL)) {
		memcpy(payload.relay_through.public_key, dial->relay_key, sizeof dial->relay_key);
		memcpy(payload.relay_through.token, dial->relay_token, sizeof dial->relay_token);
	}
	int error = hf_dht_noise_encode(&payload, &bytes);
	if (error == HF_OK)
		error = hf_buffer_reserve(&dial->noise_message, bytes.length + HF_NOISE_OVERHEAD_BYTES_MAX);
	if (error == HF_OK)
		error = hf_noise_send(&dial->noise, hf_buffer_slice(&bytes), dial->noise_message.data, &length);
	if (error == HF_OK)
		dial->noise_message.length = length;
	hf_buffer_free(&bytes);
	return error;
}

static void take_hints(struct hf_dht_dial *dial)
{
	const struct hf_dht_dial_options *o = &dial->options;

	dial->hint_count = o->relay_count < HF_DHT_DIAL_RELAYS_MAX ? o->relay_count : HF_DHT_DIAL_RELAYS_MAX;
	if (dial->hint_count > 0)
		memcpy(dial->hints, o->relays, dial->hint_count * sizeof *dial->hints);
	else
		dial->hint_count = hf_dht_relays_recall(dial->connector, dial->public_key, dial->hints);
	if (hf_dht_node_find_local(dial->connector->node, dial->target, &dial->hints[0]))
		dial->hint_count = 1;
	dial->has_second_query = dial->hint_count > 0;
}

static void on_passive_timeout(struct hf_timer *timer)
{
	hf_dial_fail(HF_CONTAINER_OF(timer, struct hf_dht_dial, passive), HF_DHT_HOLEPUNCH_ABORTED, 0);
}

/* Straight to where the peer was last time, while nodes are asked as well. */
static void try_kept_way(struct hf_dht_dial *dial)
{
	struct hf_dial_attempt *kept = &dial->attempts[HF_DIAL_KEPT_WAY];
	struct hf_udx_path way;

	if (dial->options.reusable_socket && hf_dht_way_recall(dial->connector, dial->public_key, &way))
		kept->is_of_hint = attempt(dial, kept, &way.remote, way.socket);
}

/* Lists it: from then on `destroy` is its end. */
static int begin(struct hf_dht_dial *dial)
{
	struct hf_env *env = dial->connector->host->env;
	int error = hf_path_new(&dial->path, dial->connector, true, &dial->options.socket, &path_events, dial);

	hf_blake2b(dial->target, sizeof dial->target, hf_slice(NULL, 0), hf_slice(dial->public_key, sizeof dial->public_key));
	env->random(env, dial->relay_token, sizeof dial->relay_token);
	env->random(env, dial->token_secret, sizeof dial->token_secret);
	hf_dht_handshake_init(&dial->noise, dial->secret_key, dial->public_key, env);
	if (error == HF_OK)
		error = make_message(dial);
	if (error == HF_OK)
		take_hints(dial);
	if (error == HF_OK)
		error = look(dial, true);
	if (error == HF_OK)
		try_kept_way(dial);
	if (error == HF_OK && dial->hint_count > 0)
		go_on(dial);
	return error;
}

int hf_dht_dial(struct hf_dht_dial **out, struct hf_dht_connector *connector, const struct hf_dht_dial_options *options)
{
	struct hf_dht_dial *dial;

	*out = NULL;
	if (connector->stats.dial_count >= HF_DHT_DIAL_COUNT_MAX)
		return HF_EBUSY;
	dial = calloc(1, sizeof *dial);
	int error = dial != NULL ? hf_options_take(&dial->options, sizeof dial->options, options) : HF_ENOMEM;
	if (error == HF_OK && (dial->options.public_key == NULL || dial->options.secret_key == NULL || dial->options.events == NULL))
		error = HF_EINVAL;
	if (error != HF_OK) {
		free(dial);
		return error;
	}
	memcpy(dial->public_key, dial->options.public_key, sizeof dial->public_key);
	memcpy(dial->secret_key, dial->options.secret_key, sizeof dial->secret_key);
	if (dial->options.relay_through != NULL)
		memcpy(dial->relay_key, dial->options.relay_through, sizeof dial->relay_key);
	dial->connector = connector;
	dial->passive.fire = on_passive_timeout;
	HF_LIST_PUSH(connector->dials, dial);
	connector->stats.dial_count++;
	error = begin(dial);
	if (error != HF_OK) {
		hf_dial_destroy(dial);
		return error;
	}
	connector->stats.dials++;
	dial->has_user = true;
	*out = dial;
	return HF_OK;
}

const uint8_t *hf_dht_dial_public_key(const struct hf_dht_dial *dial)
{
	return dial->public_key;
}
