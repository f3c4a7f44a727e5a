/* Round 0 tells the server what NAT we are behind and hears what it is behind, round 1 says: now. Each is a message through a node that the
 * server can be reached at: through one of its own first, which lets it verify where we are, then through ours. (spec: swarm, 4.10) */
#include "crypto/hash.h"
#include "peer/dial_private.h"

#define UNKNOWN_NAT_PAUSE_MS 1000u /* for the server to find out, or for its first probe to come through */

static void on_analysed(void *context, bool is_stable);
static void judge(struct hf_dht_dial *dial);
static void punch_round(struct hf_dht_dial *dial);

/* ---- Messages ---- */

static void on_update(struct hf_dht_request *request, int code, const struct hf_dht_reply *reply);

static bool send_update(struct hf_dht_dial *dial, enum hf_dial_step step, const struct hf_dht_punch *punch,
	const struct hf_address *relay, const struct hf_address *peer)
{
	struct hf_env *env = dial->connector->host->env;
	struct hf_buffer sealed = {0}, value = {0};
	struct hf_dht_peer_holepunch message = {.hop = HF_DHT_FROM_CLIENT, .id = dial->payload.holepunch.id, .has_peer_address = true,
		.peer_address = *peer};
	uint8_t nonce[HF_BOX_NONCE_BYTES];

	env->random(env, nonce, sizeof nonce);
	dial->step = step;
	dial->update_relay = *relay;
	dial->update_peer = *peer;
	dial->update_has_token = punch->has_token;
	dial->update = (struct hf_dht_request){.to = *relay, .command = HF_DHT_PEER_HOLEPUNCH, .target = dial->target, .has_value = true,
		.socket = hf_puncher_socket(dial->puncher)->udx, .done = on_update};
	int error = hf_dht_punch_seal(punch, nonce, dial->punch_secret, &sealed);
	message.payload = hf_buffer_slice(&sealed);
	if (error == HF_OK)
		error = hf_dht_peer_holepunch_encode(&message, &value);
	dial->update.value = hf_buffer_slice(&value);
	if (error == HF_OK)
		error = hf_dht_request_start(dial->connector->node, &dial->update);
	hf_buffer_free(&sealed);
	hf_buffer_free(&value);
	if (error != HF_OK)
		hf_dial_fail(dial, HF_DHT_HOLEPUNCH_ABORTED, 0);
	return error == HF_OK;
}

/* What we are like, as of now. */
static struct hf_dht_punch describe(struct hf_dht_dial *dial)
{
	const struct hf_dht_nat *nat = hf_puncher_nat(dial->puncher);
	struct hf_dht_punch punch = {.firewall = nat->firewall, .round = dial->round++, .has_addresses = nat->has_addresses,
		.addresses = nat->addresses};

	return punch;
}

static void add_tokens(struct hf_dht_dial *dial, struct hf_dht_punch *punch, bool with_token)
{
	punch->has_token = with_token;
	if (with_token)
		hf_dht_punch_token(punch->token, &dial->server, dial->token_secret);
	punch->has_remote_token = dial->has_remote_token;
	memcpy(punch->remote_token, dial->remote_token, sizeof punch->remote_token);
}

static void abort_punching(struct hf_dht_dial *dial, enum hf_dht_connect_error error)
{
	struct hf_dht_punch punch = {.error = HF_DHT_PEER_ABORTED, .round = dial->round++};

	dial->abort_error = error;
	send_update(dial, HF_DIAL_ABORT, &punch, &dial->server_relay.relay, &dial->server_relay.peer);
}

/* ---- Round 0 ---- */

static void probe(struct hf_dht_dial *dial)
{
	struct hf_dht_punch punch = describe(dial);

	hf_puncher_open_session(dial->puncher, &dial->server);
	punch.has_remote_address = true;
	punch.remote_address = dial->server;
	send_update(dial, HF_DIAL_PROBE, &punch, &dial->server_relay.relay, &dial->server_relay.peer);
}

static void analyse(struct hf_dht_dial *dial, enum hf_dial_step step)
{
	dial->step = step;
	int status = hf_puncher_analyse(dial->puncher, step == HF_DIAL_REANALYSIS);

	if (status == HF_EWAIT)
		return;
	on_analysed(dial, status == HF_OK);
}

static void on_analysed(void *context, bool is_stable)
{
	struct hf_dht_dial *dial = context;

	if (dial->step == HF_DIAL_ANALYSIS && !is_stable) {
		analyse(dial, HF_DIAL_REANALYSIS);
	} else if (dial->step == HF_DIAL_REANALYSIS && is_stable) {
		dial->may_probe_again = false;
		probe(dial); /* from the new socket */
	} else if (dial->step == HF_DIAL_ANALYSIS || dial->step == HF_DIAL_REANALYSIS) {
		judge(dial);
	}
}

/* Whether to go on to round 1. */
static void judge(struct hf_dht_dial *dial)
{
	uint64_t theirs = hf_puncher_remote_firewall(dial->puncher);
	enum hf_dht_firewall ours = hf_puncher_nat(dial->puncher)->firewall;

	if ((theirs == HF_DHT_FIREWALL_UNKNOWN || !dial->has_remote_token) && dial->may_probe_again) {
		dial->may_probe_again = false;
		probe(dial);
		return;
	}
	if (theirs == HF_DHT_FIREWALL_UNKNOWN || ours == HF_DHT_FIREWALL_UNKNOWN) {
		abort_punching(dial, HF_DHT_HOLEPUNCH_PROBE_TIMEOUT);
		return;
	}
	if (theirs >= HF_DHT_FIREWALL_RANDOM && ours >= HF_DHT_FIREWALL_RANDOM) {
		abort_punching(dial, HF_DHT_HOLEPUNCH_DOUBLE_RANDOMIZED_NATS);
		return;
	}
	/* Our node is the server's, too: then it sees which socket the server has chosen since. */
	if (hf_address_equal(&dial->server_relay.relay, &dial->relay) && !hf_address_equal(&dial->server, &dial->reply_peer)) {
		dial->server = dial->reply_peer;
		hf_puncher_open_session(dial->puncher, &dial->server);
	}
	punch_round(dial);
}

/* ---- Round 1 ---- */

static void sleep_until_later(struct hf_dht_dial *dial)
{
	dial->step = HF_DIAL_LATER_PAUSE;
	hf_udp_timer_set(dial->connector->host, &dial->pause, hf_dht_later_ms(dial->connector));
}

/* Another punch through random ports is under way, or has just been. */
static void wait_for_turn(struct hf_dht_dial *dial)
{
	if (dial->relay_use == NULL) {
		hf_dial_fail(dial, HF_DHT_HOLEPUNCH_ABORTED, 0);
		return;
	}
	dial->connector->stats.punches_later++;
	if (dial->is_delayed) {
		sleep_until_later(dial);
		return;
	}
	dial->is_delayed = true;
	struct hf_dht_punch punch = describe(dial);
	add_tokens(dial, &punch, true);
	send_update(dial, HF_DIAL_LATER_UPDATE, &punch, &dial->relay, &dial->server);
}

static void punch_round(struct hf_dht_dial *dial)
{
	hf_dht_nat_freeze(hf_puncher_nat(dial->puncher));
	if (hf_puncher_is_random(dial->puncher) && !hf_dht_may_punch_randomly(dial->connector)) {
		wait_for_turn(dial);
		return;
	}
	struct hf_dht_punch punch = describe(dial);
	punch.is_punching = true;
	add_tokens(dial, &punch, !dial->is_delayed);
	send_update(dial, HF_DIAL_PUNCH, &punch, dial->is_delayed ? &dial->server_relay.relay : &dial->relay,
		dial->is_delayed ? &dial->server_relay.peer : &dial->server);
}

static void begin_punching(struct hf_dht_dial *dial)
{
	if (!hf_puncher_remote_is_punching(dial->puncher)) {
		hf_dial_fail(dial, HF_DHT_REMOTE_NOT_HOLEPUNCHING, 0);
		return;
	}
	dial->step = HF_DIAL_PUNCHING;
	if (!hf_puncher_punch(dial->puncher))
		hf_dial_fail(dial, HF_DHT_REMOTE_NOT_HOLEPUNCHABLE, 0);
}

/* ---- Answers ---- */

static void go_on_after(struct hf_dht_dial *dial, const struct hf_dht_punch *punch)
{
	switch (dial->step) {
	case HF_DIAL_PROBE:
		dial->has_remote_token = punch->has_token;
		memcpy(dial->remote_token, punch->token, sizeof dial->remote_token);
		if (punch->firewall == HF_DHT_FIREWALL_UNKNOWN) {
			dial->step = HF_DIAL_PROBE_PAUSE;
			hf_udp_timer_set(dial->connector->host, &dial->pause, UNKNOWN_NAT_PAUSE_MS);
		} else {
			analyse(dial, HF_DIAL_ANALYSIS);
		}
		break;
	case HF_DIAL_LATER_UPDATE: sleep_until_later(dial); break;
	case HF_DIAL_PUNCH: begin_punching(dial); break;
	default: break;
	}
}

static void take_update(struct hf_dht_dial *dial, const struct hf_dht_punch *punch)
{
	uint8_t token[HF_DHT_SECRET_BYTES];

	if (punch->error == HF_DHT_PEER_TRY_LATER && dial->relay_use != NULL && dial->step == HF_DIAL_PUNCH) {
		dial->is_delayed = true;
		sleep_until_later(dial);
		return;
	}
	if (punch->error != HF_DHT_PEER_OK) {
		hf_dial_fail(dial, HF_DHT_REMOTE_ABORTED, 0);
		return;
	}
	hf_dht_punch_token(token, &dial->server, dial->token_secret);
	bool is_echoed = dial->update_has_token && punch->has_remote_token &&
		hf_bytes_equal_secret(token, punch->remote_token, sizeof token);
	hf_puncher_update_remote(dial->puncher, punch, is_echoed ? &dial->update_peer : NULL);
	go_on_after(dial, punch);
}

static void on_update(struct hf_dht_request *request, int code, const struct hf_dht_reply *reply)
{
	struct hf_dht_dial *dial = HF_CONTAINER_OF(request, struct hf_dht_dial, update);
	struct hf_dht_peer_holepunch message;
	struct hf_dht_punch punch;

	if (dial->step == HF_DIAL_ABORT) {
		hf_dial_fail(dial, dial->abort_error, 0);
		return;
	}
	if (code != HF_OK || !reply->has_value || hf_dht_peer_holepunch_decode(reply->value, &message) != HF_OK ||
		message.hop != HF_DHT_REPLY || !hf_address_equal(&reply->from, &request->to)) {
		hf_dial_fail(dial, HF_DHT_HOLEPUNCH_ABORTED, 0);
		return;
	}
	if (hf_dht_punch_open(message.payload, dial->punch_secret, &punch) != HF_OK) {
		hf_dial_fail(dial, HF_DHT_HOLEPUNCH_INVALID, 0);
		return;
	}
	dial->reply_peer = message.has_peer_address ? message.peer_address : request->to;
	if (dial->step == HF_DIAL_PROBE)
		hf_puncher_sample(dial->puncher, &reply->to, &reply->from);
	take_update(dial, &punch);
}

/* ---- Beginning and end ---- */

static void on_pause_over(struct hf_timer *timer)
{
	struct hf_dht_dial *dial = HF_CONTAINER_OF(timer, struct hf_dht_dial, pause);

	if (dial->step == HF_DIAL_PROBE_PAUSE)
		analyse(dial, HF_DIAL_ANALYSIS);
	else
		punch_round(dial);
}

static void on_punched(void *context, struct hf_punch_socket *socket, const struct hf_address *from)
{
	hf_path_found(((struct hf_dht_dial *)context)->path, socket->udx, from, HF_WAY_PUNCHED);
}

static void on_aborted(void *context)
{
	hf_dial_fail(context, HF_DHT_HOLEPUNCH_ABORTED, 0);
}

static const struct hf_puncher_events puncher_events = {.connected = on_punched, .aborted = on_aborted, .analysed = on_analysed};

void hf_dial_punch(struct hf_dht_dial *dial)
{
	size_t chosen = 0;

	for (size_t i = 0; i < dial->payload.holepunch.relay_count; i++)
		if (hf_address_equal(&dial->payload.holepunch.relays[i].relay, &dial->relay)) {
			chosen = i;
			break;
		}
	dial->server_relay = dial->payload.holepunch.relays[chosen];
	dial->may_probe_again = true;
	dial->pause.fire = on_pause_over;
	int error = hf_puncher_new(&dial->puncher, dial->connector, true, dial->payload.firewall, &puncher_events, dial);
	if (error != HF_OK)
		hf_dial_fail(dial, HF_DHT_HOLEPUNCH_ABORTED, error);
	else
		probe(dial);
}

void hf_dial_stop_punching(struct hf_dht_dial *dial)
{
	hf_dht_request_cancel(&dial->update);
	hf_udp_timer_cancel(dial->connector->host, &dial->pause);
	hf_puncher_free(dial->puncher);
	dial->puncher = NULL;
	dial->step = HF_DIAL_NOT_PUNCHING;
}
