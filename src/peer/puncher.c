/* Sampling: up to four nodes are pinged from the first socket, at most twice over; the NAT's verdict falls with their answers. Punching
 * runs on one timer; which strategy it is decides what one turn does. */
#include "peer/puncher.h"

#include <stdlib.h>

#define RECENT_MAX 32u
#define RECENT_SKIPPED 5u /* the newest nodes, which all see the same of us, when there are more */
#define RECENT_MANY 8u
#define PORT_FIRST 1000u
#define PORTS 64536u
#define UNVERIFIED_EVERY 4u

enum strategy { NOT_PUNCHING, CONSISTENT, RANDOM_PORTS, BIRTHDAY };

struct sampling {
	struct hf_dht_request request;
	struct hf_puncher *puncher;
};
struct remote_address {
	struct hf_address address;
	bool is_verified;
};

struct hf_puncher {
	struct hf_dht_connector *connector;
	const struct hf_puncher_events *events;
	void *context;
	bool is_initiator, is_connected, is_over;
	/* What NAT this is. */
	struct hf_dht_nat nat;
	struct sampling samplings[HF_DHT_NAT_SAMPLES_ENOUGH];
	struct hf_address asked[RECENT_MAX];
	size_t asked_count;
	bool is_sampled; /* no more is asked */
	bool is_second_sampling, is_waited_for, may_reopen, is_reopening;
	unsigned reopens;
	/* The remote. */
	uint64_t remote_firewall;
	bool remote_is_punching;
	struct remote_address remotes[HF_DHT_ADDRESSES_MAX];
	size_t remote_count;
	/* Punching. */
	enum strategy strategy;
	bool is_counted; /* among the connector's random punches */
	unsigned tries, at, near_rounds;
	struct hf_address target;
	struct hf_timer timer;
	struct hf_timer told; /* for `analysed`, which does not come from inside a call */
	size_t socket_count;
	struct hf_punch_socket *sockets[HF_PUNCHER_BIRTHDAY_SOCKETS];
};

/* ---- Sampling ---- */

static void sample_again(struct hf_puncher *puncher);

static bool is_stable(const struct hf_puncher *puncher)
{
	bool both_random = puncher->remote_firewall >= HF_DHT_FIREWALL_RANDOM && puncher->nat.firewall >= HF_DHT_FIREWALL_RANDOM;

	return !both_random && puncher->nat.firewall != HF_DHT_FIREWALL_UNKNOWN;
}

static void finish_sampling(struct hf_puncher *puncher)
{
	if (puncher->is_sampled)
		return;
	puncher->is_sampled = true;
	for (unsigned i = 0; i < HF_DHT_NAT_SAMPLES_ENOUGH; i++)
		hf_dht_request_cancel(&puncher->samplings[i].request);
	if (puncher->is_waited_for)
		hf_udp_timer_set(puncher->connector->host, &puncher->told, 0);
}

static bool is_sampling(const struct hf_puncher *puncher)
{
	for (unsigned i = 0; i < HF_DHT_NAT_SAMPLES_ENOUGH; i++)
		if (hf_dht_request_is_active(&puncher->samplings[i].request))
			return true;
	return false;
}

static void go_on_sampling(struct hf_puncher *puncher)
{
	if (puncher->is_sampled || is_sampling(puncher))
		return;
	if (hf_dht_nat_is_settled(&puncher->nat) || puncher->is_second_sampling) {
		finish_sampling(puncher);
		return;
	}
	puncher->is_second_sampling = true;
	sample_again(puncher);
}

static void on_pong(struct hf_dht_request *request, int code, const struct hf_dht_reply *reply)
{
	struct hf_puncher *puncher = HF_CONTAINER_OF(request, struct sampling, request)->puncher;

	if (code == HF_OK)
		hf_puncher_sample(puncher, &reply->to, &reply->from);
	go_on_sampling(puncher);
}

static bool was_asked(const struct hf_puncher *puncher, const struct hf_address *node)
{
	for (size_t i = 0; i < puncher->asked_count; i++)
		if (hf_address_equal(&puncher->asked[i], node))
			return true;
	return hf_dht_nat_knows_node(&puncher->nat, node);
}

static void ask(struct hf_puncher *puncher, struct sampling *sampling, const struct hf_address *node)
{
	sampling->puncher = puncher;
	sampling->request = (struct hf_dht_request){.to = *node, .is_internal = true, .command = HF_DHT_PING, .once = true,
		.socket = puncher->sockets[0]->udx, .done = on_pong};
	if (puncher->asked_count < RECENT_MAX)
		puncher->asked[puncher->asked_count++] = *node;
	hf_dht_request_start(puncher->connector->node, &sampling->request); /* not sent is as not answered */
}

static void sample_again(struct hf_puncher *puncher)
{
	struct hf_dht_contact recent[RECENT_MAX];
	size_t count = hf_dht_node_recent(puncher->connector->node, recent, RECENT_MAX);
	size_t at = count >= RECENT_MANY ? RECENT_SKIPPED : 0;
	unsigned asked = puncher->nat.sample_count;

	for (unsigned i = 0; at < count && asked < HF_DHT_NAT_SAMPLES_ENOUGH; at++) {
		if (was_asked(puncher, &recent[at].address))
			continue;
		ask(puncher, &puncher->samplings[i++], &recent[at].address);
		asked++;
	}
	go_on_sampling(puncher);
}

static void begin_sampling(struct hf_puncher *puncher)
{
	struct hf_dht_node_state state;

	hf_dht_node_read_state(puncher->connector->node, &state);
	hf_dht_nat_init(&puncher->nat, state.is_firewalled);
	puncher->is_sampled = puncher->is_second_sampling = false;
	puncher->asked_count = 0;
	sample_again(puncher);
}

void hf_puncher_sample(struct hf_puncher *puncher, const struct hf_address *seen, const struct hf_address *node)
{
	hf_dht_nat_add(&puncher->nat, seen, node);
	if (hf_dht_nat_is_settled(&puncher->nat))
		finish_sampling(puncher);
}

/* ---- Analysis ---- */

/* Another socket may be luckier. */
static bool reopen(struct hf_puncher *puncher)
{
	struct hf_punch_socket *socket;

	if (puncher->reopens == HF_PUNCHER_REOPENS_MAX || puncher->is_connected || puncher->strategy != NOT_PUNCHING ||
		hf_punch_socket_open(&socket, puncher->connector) != HF_OK)
		return false;
	puncher->reopens++;
	for (unsigned i = 0; i < HF_DHT_NAT_SAMPLES_ENOUGH; i++)
		hf_dht_request_cancel(&puncher->samplings[i].request);
	socket->probed = puncher->sockets[0]->probed;
	socket->context = puncher;
	hf_punch_socket_unref(puncher->sockets[0]);
	puncher->sockets[0] = socket;
	begin_sampling(puncher);
	return true;
}

static int look(struct hf_puncher *puncher)
{
	if (!puncher->is_sampled)
		return HF_EWAIT;
	if (is_stable(puncher))
		return puncher->is_reopening && !hf_dht_firewall_is_consistent(puncher->nat.firewall) ? HF_EADDR : HF_OK;
	if (!puncher->may_reopen)
		return HF_EADDR;
	while (reopen(puncher)) {
		puncher->is_reopening = true;
		if (!puncher->is_sampled)
			return HF_EWAIT;
		if (is_stable(puncher))
			return hf_dht_firewall_is_consistent(puncher->nat.firewall) ? HF_OK : HF_EADDR;
	}
	return HF_EADDR;
}

static void on_told(struct hf_timer *timer)
{
	struct hf_puncher *puncher = HF_CONTAINER_OF(timer, struct hf_puncher, told);

	if (!puncher->is_waited_for)
		return;
	int status = look(puncher);
	if (status == HF_EWAIT)
		return;
	puncher->is_waited_for = puncher->is_reopening = false;
	puncher->events->analysed(puncher->context, status == HF_OK);
}

int hf_puncher_analyse(struct hf_puncher *puncher, bool may_reopen)
{
	puncher->may_reopen = may_reopen;
	int status = look(puncher);
	puncher->is_waited_for = status == HF_EWAIT;
	if (status != HF_EWAIT)
		puncher->is_reopening = false;
	return status;
}

/* ---- The remote ---- */

static bool is_verified(const struct hf_puncher *puncher, const struct hf_address *host)
{
	for (size_t i = 0; i < puncher->remote_count; i++)
		if (puncher->remotes[i].is_verified && hf_dht_same_host(&puncher->remotes[i].address, host))
			return true;
	return false;
}

void hf_puncher_update_remote(struct hf_puncher *puncher, const struct hf_dht_punch *remote, const struct hf_address *verified)
{
	struct remote_address remotes[HF_DHT_ADDRESSES_MAX];

	for (size_t i = 0; i < remote->addresses.count; i++) {
		const struct hf_address *address = &remote->addresses.list[i];
		bool is_now = verified != NULL && hf_dht_same_host(address, verified);
		remotes[i] = (struct remote_address){*address, is_now || is_verified(puncher, address)};
	}
	puncher->remote_count = remote->addresses.count;
	memcpy(puncher->remotes, remotes, puncher->remote_count * sizeof *remotes);
	puncher->remote_firewall = remote->firewall;
	puncher->remote_is_punching = remote->is_punching;
}

/* ---- Punching ---- */

static void drop_sockets_but(struct hf_puncher *puncher, struct hf_punch_socket *kept)
{
	for (size_t i = 0; i < puncher->socket_count; i++)
		if (puncher->sockets[i] != kept)
			hf_punch_socket_unref(puncher->sockets[i]);
	puncher->sockets[0] = kept;
	puncher->socket_count = 1;
}

static void uncount(struct hf_puncher *puncher)
{
	if (!puncher->is_counted)
		return;
	puncher->is_counted = false;
	puncher->connector->random_punches--;
	puncher->connector->random_punched_ms = hf_dht_connector_now_ms(puncher->connector);
}

static void stop(struct hf_puncher *puncher)
{
	puncher->strategy = NOT_PUNCHING;
	hf_udp_timer_cancel(puncher->connector->host, &puncher->timer);
	uncount(puncher);
}

static void on_probed(void *context, struct hf_punch_socket *socket, const struct hf_address *from)
{
	struct hf_puncher *puncher = context;

	if (!puncher->is_initiator) {
		hf_punch_socket_probe(socket, from, true);
		return;
	}
	if (puncher->is_connected || puncher->is_over)
		return;
	puncher->is_connected = true;
	stop(puncher);
	drop_sockets_but(puncher, socket);
	puncher->events->connected(puncher->context, socket, from);
}

static void give_up(struct hf_puncher *puncher)
{
	stop(puncher);
	puncher->is_over = true;
	puncher->connector->stats.punches_failed++;
	puncher->events->aborted(puncher->context);
}

static uint32_t try_consistent(struct hf_puncher *puncher)
{
	puncher->tries++;
	for (size_t i = 0; i < puncher->remote_count; i++)
		if (puncher->remotes[i].is_verified || puncher->tries % UNVERIFIED_EVERY == 0)
			hf_punch_socket_probe(puncher->sockets[0], &puncher->remotes[i].address, true);
	return HF_PUNCHER_CONSISTENT_MS;
}

static uint32_t try_random(struct hf_puncher *puncher)
{
	struct hf_address to = puncher->target;

	puncher->tries++;
	to.port = (uint16_t)(PORT_FIRST + hf_dht_random(puncher->connector, PORTS));
	hf_punch_socket_probe(puncher->sockets[0], &to, true);
	return HF_PUNCHER_RANDOM_MS;
}

static uint32_t try_birthday(struct hf_puncher *puncher)
{
	puncher->tries++;
	if (puncher->at == puncher->socket_count) {
		puncher->at = 0;
		puncher->near_rounds = 0;
	}
	hf_punch_socket_probe(puncher->sockets[puncher->at++], &puncher->target, puncher->near_rounds == 0);
	return HF_PUNCHER_BIRTHDAY_MS;
}

static void on_turn(struct hf_timer *timer)
{
	struct hf_puncher *puncher = HF_CONTAINER_OF(timer, struct hf_puncher, timer);
	static const unsigned tries_max[] = {
		[CONSISTENT] = HF_PUNCHER_CONSISTENT_TRIES, [RANDOM_PORTS] = HF_PUNCHER_RANDOM_TRIES, [BIRTHDAY] = HF_PUNCHER_BIRTHDAY_TRIES};
	uint32_t pause_ms = 0;

	if (puncher->tries == tries_max[puncher->strategy]) {
		give_up(puncher);
		return;
	}
	switch (puncher->strategy) {
	case CONSISTENT: pause_ms = try_consistent(puncher); break;
	case RANDOM_PORTS: pause_ms = try_random(puncher); break;
	case BIRTHDAY: pause_ms = try_birthday(puncher); break;
	default: return;
	}
	hf_udp_timer_set(puncher->connector->host, &puncher->timer, pause_ms); /* its place was just left: there is memory */
}

/* As many as can be had: with fewer it takes longer. */
static void open_birthday_sockets(struct hf_puncher *puncher)
{
	while (puncher->socket_count < HF_PUNCHER_BIRTHDAY_SOCKETS) {
		struct hf_punch_socket *socket;
		if (hf_punch_socket_open(&socket, puncher->connector) != HF_OK)
			return;
		socket->probed = on_probed;
		socket->context = puncher;
		puncher->sockets[puncher->socket_count++] = socket;
		hf_punch_socket_probe(socket, &puncher->target, false);
	}
}

static void begin(struct hf_puncher *puncher, enum strategy strategy, uint32_t pause_ms)
{
	puncher->strategy = strategy;
	puncher->tries = puncher->at = 0;
	puncher->near_rounds = 1;
	if (strategy == CONSISTENT) {
		puncher->connector->stats.punches_consistent++;
	} else {
		puncher->connector->stats.punches_random++;
		puncher->connector->random_punches++;
		puncher->is_counted = true;
	}
	if (strategy == BIRTHDAY)
		open_birthday_sockets(puncher);
	if (hf_udp_timer_set(puncher->connector->host, &puncher->timer, pause_ms) != HF_OK)
		stop(puncher);
}

bool hf_puncher_punch(struct hf_puncher *puncher)
{
	bool here = hf_dht_firewall_is_consistent(puncher->nat.firewall);
	bool there = hf_dht_firewall_is_consistent(puncher->remote_firewall);
	size_t verified = 0;

	if (puncher->strategy != NOT_PUNCHING)
		return true;
	if (puncher->is_connected || puncher->is_over || puncher->remote_count == 0)
		return false;
	if (here && there) {
		begin(puncher, CONSISTENT, puncher->is_initiator ? 0 : HF_PUNCHER_CONSISTENT_MS);
		return true;
	}
	while (verified < puncher->remote_count && !puncher->remotes[verified].is_verified)
		verified++;
	if (verified == puncher->remote_count || (!here && !there))
		return false;
	if (here ? puncher->remote_firewall < HF_DHT_FIREWALL_RANDOM : puncher->nat.firewall < HF_DHT_FIREWALL_RANDOM)
		return false;
	puncher->target = puncher->remotes[verified].address;
	begin(puncher, here ? RANDOM_PORTS : BIRTHDAY, here ? 0 : HF_PUNCHER_BIRTHDAY_PAUSE_MS);
	return true;
}

void hf_puncher_probe(struct hf_puncher *puncher, const struct hf_address *to)
{
	hf_punch_socket_probe(puncher->sockets[0], to, true);
}

void hf_puncher_open_session(struct hf_puncher *puncher, const struct hf_address *to)
{
	hf_punch_socket_probe(puncher->sockets[0], to, false);
}

/* ---- Life ---- */

int hf_puncher_new(struct hf_puncher **out, struct hf_dht_connector *connector, bool is_initiator, uint64_t remote_firewall,
	const struct hf_puncher_events *events, void *context)
{
	struct hf_puncher *puncher = calloc(1, sizeof *puncher);

	*out = NULL;
	if (puncher == NULL)
		return HF_ENOMEM;
	*puncher = (struct hf_puncher){.connector = connector, .events = events, .context = context, .is_initiator = is_initiator,
		.remote_firewall = remote_firewall, .timer.fire = on_turn, .told.fire = on_told};
	int error = hf_punch_socket_open(&puncher->sockets[0], connector);
	if (error != HF_OK) {
		free(puncher);
		return error;
	}
	puncher->socket_count = 1;
	puncher->sockets[0]->probed = on_probed;
	puncher->sockets[0]->context = puncher;
	begin_sampling(puncher);
	*out = puncher;
	return HF_OK;
}

void hf_puncher_free(struct hf_puncher *puncher)
{
	if (puncher == NULL)
		return;
	stop(puncher);
	hf_udp_timer_cancel(puncher->connector->host, &puncher->told);
	for (unsigned i = 0; i < HF_DHT_NAT_SAMPLES_ENOUGH; i++)
		hf_dht_request_cancel(&puncher->samplings[i].request);
	for (size_t i = 0; i < puncher->socket_count; i++) {
		puncher->sockets[i]->probed = NULL;
		hf_punch_socket_unref(puncher->sockets[i]);
	}
	free(puncher);
}

/* ---- What there is to know ---- */

struct hf_punch_socket *hf_puncher_socket(const struct hf_puncher *puncher)
{
	return puncher->sockets[0];
}

struct hf_dht_nat *hf_puncher_nat(struct hf_puncher *puncher)
{
	return &puncher->nat;
}

uint64_t hf_puncher_remote_firewall(const struct hf_puncher *puncher)
{
	return puncher->remote_firewall;
}

bool hf_puncher_remote_is_punching(const struct hf_puncher *puncher)
{
	return puncher->remote_is_punching;
}

bool hf_puncher_is_punching(const struct hf_puncher *puncher)
{
	return puncher->strategy != NOT_PUNCHING;
}

bool hf_puncher_is_connected(const struct hf_puncher *puncher)
{
	return puncher->is_connected;
}

bool hf_puncher_is_random(struct hf_puncher *puncher)
{
	return puncher->remote_firewall >= HF_DHT_FIREWALL_RANDOM || puncher->nat.firewall >= HF_DHT_FIREWALL_RANDOM;
}
