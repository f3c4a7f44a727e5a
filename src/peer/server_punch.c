/* Messages of a client that punches. Each is answered once it is known what NAT we are behind; the answer is one more step of hole
 * punching, as of now. (spec: swarm, 4.10, server) */
#include "crypto/hash.h"
#include "peer/server_private.h"

/* ---- Answers ---- */

static void answer(struct hf_server_handshake *handshake, const struct hf_dht_route *route, const struct hf_dht_punch *punch)
{
	struct hf_dht_connector *connector = handshake->server->connector;
	struct hf_buffer sealed = {0};
	uint8_t nonce[HF_BOX_NONCE_BYTES];
	struct hf_udx_socket *socket = hf_dht_node_socket(connector->node);

	if (handshake->puncher != NULL)
		socket = hf_puncher_socket(handshake->puncher)->udx;
	connector->host->env->random(connector->host->env, nonce, sizeof nonce);
	if (hf_dht_punch_seal(punch, nonce, handshake->punch_secret, &sealed) == HF_OK)
		hf_dht_answer_holepunch(connector->node, route, hf_buffer_slice(&sealed), socket);
	hf_buffer_free(&sealed);
}

static void abort_with(struct hf_server_handshake *handshake, const struct hf_dht_route *route, enum hf_dht_peer_error error)
{
	struct hf_dht_punch punch = {.error = error, .round = handshake->round};

	hf_puncher_free(handshake->puncher);
	handshake->puncher = NULL;
	answer(handshake, route, &punch);
	hf_server_give_up(handshake);
}

static void reply(struct hf_server_handshake *handshake, const struct hf_server_waiting *asked, enum hf_dht_peer_error error)
{
	const struct hf_dht_nat *nat = hf_puncher_nat(handshake->puncher);
	struct hf_dht_punch punch = {
		.error = error,
		.firewall = nat->firewall,
		.round = handshake->round,
		.is_connected = hf_puncher_is_connected(handshake->puncher),
		.is_punching = hf_puncher_is_punching(handshake->puncher),
		.has_addresses = nat->has_addresses,
		.addresses = nat->addresses,
		.has_token = hf_announcer_is_relay(handshake->server->announcer, &asked->route.from),
		.has_remote_token = asked->punch.has_token,
	};

	if (punch.has_token)
		hf_dht_punch_token(punch.token, &asked->route.peer, handshake->token_secret);
	memcpy(punch.remote_token, asked->punch.token, sizeof punch.remote_token);
	answer(handshake, &asked->route, &punch);
}

/* ---- Steps ---- */

/* The client has opened its NAT for where we are: one probe may do. */
static void probe_at_once(struct hf_server_handshake *handshake, const struct hf_server_waiting *asked)
{
	const struct hf_dht_nat *nat = hf_puncher_nat(handshake->puncher);

	if (hf_dht_firewall_is_consistent(nat->firewall) && asked->punch.has_remote_address && nat->has_addresses &&
		hf_dht_addresses_have(&nat->addresses, &asked->punch.remote_address))
		hf_puncher_probe(handshake->puncher, &asked->route.peer);
}

static bool may_punch(struct hf_server_handshake *handshake, const struct hf_server_waiting *asked)
{
	struct hf_dht_server *server = handshake->server;
	const struct hf_dht_nat *nat = hf_puncher_nat(handshake->puncher);
	struct hf_dht_punch_sides sides = {.remote_firewall = hf_puncher_remote_firewall(handshake->puncher), .own_firewall = nat->firewall,
		.remote = &asked->punch.addresses, .own = &nat->addresses};

	return server->options.events->holepunch == NULL || server->options.events->holepunch(server->options.context, server, &sides);
}

/* False when it was answered here. */
static bool punch(struct hf_server_handshake *handshake, const struct hf_server_waiting *asked)
{
	struct hf_dht_connector *connector = handshake->server->connector;

	hf_udp_timer_cancel(connector->host, &handshake->timer);
	if (!may_punch(handshake, asked)) {
		abort_with(handshake, &asked->route, HF_DHT_PEER_ABORTED);
		return false;
	}
	if (hf_puncher_is_random(handshake->puncher) && !hf_puncher_is_punching(handshake->puncher) &&
		!hf_dht_may_punch_randomly(connector)) {
		connector->stats.punches_later++;
		if (handshake->relay_use != NULL)
			reply(handshake, asked, HF_DHT_PEER_TRY_LATER);
		else
			abort_with(handshake, &asked->route, HF_DHT_PEER_TRY_LATER);
		return false;
	}
	if (hf_puncher_punch(handshake->puncher))
		return true;
	abort_with(handshake, &asked->route, HF_DHT_PEER_ABORTED);
	return false;
}

static void go_on(struct hf_server_handshake *handshake, const struct hf_server_waiting *asked, bool is_stable)
{
	bool is_punching = hf_puncher_remote_is_punching(handshake->puncher);

	if (!is_stable && !is_punching) {
		abort_with(handshake, &asked->route, HF_DHT_PEER_ABORTED);
		return;
	}
	probe_at_once(handshake, asked);
	if (is_punching && !punch(handshake, asked))
		return;
	if (hf_puncher_nat(handshake->puncher)->firewall != HF_DHT_FIREWALL_UNKNOWN)
		hf_dht_nat_freeze(hf_puncher_nat(handshake->puncher));
	reply(handshake, asked, HF_DHT_PEER_OK);
}

/* ---- Messages ---- */

static int analyse(struct hf_server_handshake *handshake)
{
	int status = hf_puncher_analyse(handshake->puncher, false);

	if (status != HF_OK && status != HF_EWAIT && !hf_puncher_remote_is_punching(handshake->puncher))
		status = hf_puncher_analyse(handshake->puncher, true);
	return status;
}

static void on_analysed(void *context, bool is_stable)
{
	struct hf_server_handshake *handshake = context;
	struct hf_server_waiting waiting[HF_SERVER_WAITING_MAX];
	size_t count = handshake->waiting_count;

	if (!is_stable && analyse(handshake) == HF_EWAIT)
		return;
	memcpy(waiting, handshake->waiting, count * sizeof *waiting);
	handshake->waiting_count = 0;
	is_stable = hf_puncher_analyse(handshake->puncher, false) == HF_OK;
	for (size_t i = 0; i < count && handshake->puncher != NULL; i++)
		go_on(handshake, &waiting[i], is_stable);
}

static void take_punch(struct hf_server_handshake *handshake, struct hf_server_waiting *asked)
{
	uint8_t token[HF_DHT_SECRET_BYTES];

	hf_dht_punch_token(token, &asked->route.peer, handshake->token_secret);
	bool is_verified = hf_announcer_is_relay(handshake->server->announcer, &asked->route.from) && asked->punch.has_remote_token &&
		hf_bytes_equal_secret(token, asked->punch.remote_token, sizeof token);
	if (asked->route.socket == hf_puncher_socket(handshake->puncher)->udx)
		hf_puncher_sample(handshake->puncher, &asked->route.to, &asked->route.from);
	if (asked->punch.round >= handshake->round) {
		handshake->round = asked->punch.round;
		hf_puncher_update_remote(handshake->puncher, &asked->punch, is_verified ? &asked->route.peer : NULL);
	}
	int status = handshake->waiting_count > 0 ? HF_EWAIT : analyse(handshake);
	if (status != HF_EWAIT)
		go_on(handshake, asked, status == HF_OK);
	else if (handshake->waiting_count < HF_SERVER_WAITING_MAX)
		handshake->waiting[handshake->waiting_count++] = *asked;
}

void hf_server_on_holepunch(void *context, const struct hf_dht_route *route, uint64_t id, struct hf_slice payload)
{
	struct hf_dht_server *server = context;
	struct hf_server_handshake *handshake = id < HF_DHT_SERVER_HANDSHAKE_COUNT_MAX ? server->by_id[id] : NULL;
	struct hf_server_waiting asked = {.route = *route};

	if (handshake == NULL || !route->is_relayed || server->is_closing || server->is_suspended ||
		hf_dht_punch_open(payload, handshake->punch_secret, &asked.punch) != HF_OK)
		return;
	if (handshake->puncher == NULL || asked.punch.error != HF_DHT_PEER_OK)
		abort_with(handshake, route, HF_DHT_PEER_ABORTED);
	else
		take_punch(handshake, &asked);
}

/* ---- Beginning ---- */

/* Only who dials hears probes as contact; we hear the client's first packet. */
static void on_punched(void *context, struct hf_punch_socket *socket, const struct hf_address *from)
{
	hf_path_found(((struct hf_server_handshake *)context)->path, socket->udx, from, HF_WAY_PUNCHED);
}

static void on_aborted(void *context)
{
	hf_server_give_up(context);
}

static const struct hf_puncher_events puncher_events = {.connected = on_punched, .aborted = on_aborted, .analysed = on_analysed};

int hf_server_begin_punching(struct hf_server_handshake *handshake, uint64_t remote_firewall)
{
	return hf_puncher_new(
		&handshake->puncher, handshake->server->connector, false, remote_firewall, &puncher_events, handshake);
}
