/* A round: a query for ourselves, then an announce to each of the nearest nodes, then unannounces to those that the round before had and
 * this one has not. Between rounds its relays are pinged. */
#include "peer/announcer.h"

#include <stdlib.h>

#include "base/list.h"
#include "crypto/secret.h"
#include "peer/dht_node_lookup.h"

enum stage { IDLE, LOOKING, ANNOUNCING, PINGING };

/* One node, and what is under way with it. */
struct place {
	struct hf_announcer *announcer;
	struct hf_dht_request request;
	struct hf_dht_closest closest;
	bool is_announced, answered;
};
/* One that we are announced at no more, soon. */
struct removal {
	struct hf_announcer *announcer;
	struct removal *next, *previous;
	struct hf_dht_request request;
};
struct generation {
	size_t count;
	struct hf_dht_punch_relay relays[HF_ANNOUNCER_RELAYS];
};

struct hf_announcer {
	struct hf_dht_node *node;
	struct hf_udp_host *host;
	const struct hf_announcer_events *events;
	void *context;
	uint8_t secret_key[HF_SIGN_SECRET_BYTES], target[HF_DHT_ID_BYTES];
	enum stage stage;
	bool is_stopping, wants_refresh;
	unsigned pings, pending;
	struct hf_dht_query query;
	struct hf_dht_contact nearest[HF_DHT_K];
	size_t nearest_count;
	struct place places[HF_ANNOUNCER_RELAYS];
	size_t place_count;
	struct generation generations[HF_ANNOUNCER_GENERATIONS]; /* the newest first */
	struct removal *removals;
	struct hf_timer timer;
};

static void begin_round(struct hf_announcer *announcer);

/* ---- Taking back ---- */

static void finish_removal(struct removal *removal)
{
	struct hf_announcer *announcer = removal->announcer;

	HF_LIST_REMOVE(announcer->removals, removal);
	free(removal);
	if (announcer->removals == NULL && announcer->is_stopping) {
		announcer->is_stopping = false;
		announcer->events->stopped(announcer->context);
	}
}

static void on_unannounced(struct hf_dht_request *request, int code, const struct hf_dht_reply *reply)
{
	finish_removal(HF_CONTAINER_OF(request, struct removal, request));
}

static void on_token(struct hf_dht_request *request, int code, const struct hf_dht_reply *reply)
{
	struct removal *removal = HF_CONTAINER_OF(request, struct removal, request);
	struct hf_announcer *announcer = removal->announcer;
	struct hf_dht_request unannounce = {.to = request->to, .done = on_unannounced};

	if (code == HF_OK && reply->token != NULL && reply->id != NULL && reply->has_value) {
		removal->request = unannounce;
		if (hf_dht_announce_at(announcer->node, &removal->request, true, announcer->target, reply->id, reply->token,
			    announcer->secret_key, NULL, 0) == HF_OK)
			return;
	}
	finish_removal(removal);
}

/* Without memory, or when the node is suspended, its record there dies by itself. */
static void take_back(struct hf_announcer *announcer, const struct hf_address *node)
{
	struct removal *removal = calloc(1, sizeof *removal);

	if (removal == NULL)
		return;
	removal->announcer = announcer;
	removal->request = (struct hf_dht_request){.to = *node, .command = HF_DHT_FIND_PEER, .target = announcer->target, .done = on_token};
	if (hf_dht_request_start(announcer->node, &removal->request) != HF_OK) {
		free(removal);
		return;
	}
	HF_LIST_PUSH(announcer->removals, removal);
}

static bool is_in(const struct generation *generation, const struct hf_address *node)
{
	for (size_t i = 0; i < generation->count; i++)
		if (hf_address_equal(&generation->relays[i].relay, node))
			return true;
	return false;
}

/* ---- Pinging ---- */

static void sleep_until_next_ping(struct hf_announcer *announcer)
{
	announcer->stage = PINGING;
	hf_udp_timer_set(announcer->host, &announcer->timer, HF_ANNOUNCER_PING_MS);
}

static void on_pong(struct hf_dht_request *request, int code, const struct hf_dht_reply *reply)
{
	struct place *place = HF_CONTAINER_OF(request, struct place, request);
	struct hf_announcer *announcer = place->announcer;
	size_t answered = 0;

	place->answered = code == HF_OK;
	if (--announcer->pending > 0)
		return;
	for (size_t i = 0; i < announcer->place_count; i++)
		answered += announcer->places[i].is_announced && announcer->places[i].answered;
	if (answered < announcer->generations[0].count || announcer->wants_refresh || announcer->pings == HF_ANNOUNCER_PINGS)
		begin_round(announcer);
	else
		sleep_until_next_ping(announcer);
}

static void ping_relays(struct hf_announcer *announcer)
{
	announcer->pings++;
	for (size_t i = 0; i < announcer->place_count; i++) {
		struct place *place = &announcer->places[i];
		struct hf_dht_request ping = {.to = place->closest.node.address, .is_internal = true, .command = HF_DHT_PING, .done = on_pong};
		if (!place->is_announced)
			continue;
		place->answered = false;
		place->request = ping;
		announcer->pending += hf_dht_request_start(announcer->node, &place->request) == HF_OK;
	}
	if (announcer->pending == 0)
		begin_round(announcer);
}

static void on_timer(struct hf_timer *timer)
{
	struct hf_announcer *announcer = HF_CONTAINER_OF(timer, struct hf_announcer, timer);

	if (announcer->is_stopping) {
		announcer->is_stopping = false;
		announcer->events->stopped(announcer->context);
		return;
	}
	if (announcer->wants_refresh || announcer->stage == IDLE || announcer->generations[0].count == 0)
		begin_round(announcer);
	else
		ping_relays(announcer);
}

/* ---- Announcing ---- */

static void finish_round(struct hf_announcer *announcer)
{
	struct generation *now = &announcer->generations[0];

	now->count = 0;
	for (size_t i = 0; i < announcer->place_count; i++)
		if (announcer->places[i].is_announced)
			now->relays[now->count++] = (struct hf_dht_punch_relay){
				announcer->places[i].closest.node.address, announcer->places[i].closest.to};
	for (size_t i = 0; i < announcer->generations[1].count; i++)
		if (!is_in(now, &announcer->generations[1].relays[i].relay))
			take_back(announcer, &announcer->generations[1].relays[i].relay);
	announcer->pings = 0;
	sleep_until_next_ping(announcer);
	announcer->events->announced(announcer->context, now->count);
}

static void on_announced(struct hf_dht_request *request, int code, const struct hf_dht_reply *reply)
{
	struct place *place = HF_CONTAINER_OF(request, struct place, request);

	place->is_announced = code == HF_OK && reply->error == HF_DHT_OK;
	if (--place->announcer->pending == 0)
		finish_round(place->announcer);
}

static void announce_at(struct hf_announcer *announcer, const struct hf_dht_closest *closest)
{
	struct place *place = &announcer->places[announcer->place_count++];

	*place = (struct place){.announcer = announcer, .closest = *closest,
		.request = {.to = closest->node.address, .done = on_announced}};
	if (closest->has_token && hf_dht_announce_at(announcer->node, &place->request, false, announcer->target, closest->node.id,
					  closest->token, announcer->secret_key, NULL, 0) == HF_OK)
		announcer->pending++;
}

static void on_found(struct hf_dht_query *query, int code)
{
	struct hf_announcer *announcer = HF_CONTAINER_OF(query, struct hf_announcer, query);
	size_t count;
	const struct hf_dht_closest *closest = hf_dht_query_closest(query, &count);

	announcer->nearest_count = hf_dht_query_contacts(query, announcer->nearest);
	announcer->stage = ANNOUNCING;
	announcer->place_count = 0;
	announcer->pending = 0;
	for (size_t i = 0; i < count && i < HF_ANNOUNCER_RELAYS; i++)
		announce_at(announcer, &closest[i]);
	if (announcer->pending == 0)
		finish_round(announcer);
}

static void begin_round(struct hf_announcer *announcer)
{
	for (size_t i = HF_ANNOUNCER_GENERATIONS - 1; i > 0; i--)
		announcer->generations[i] = announcer->generations[i - 1];
	announcer->stage = LOOKING;
	announcer->wants_refresh = false;
	announcer->pending = 0;
	announcer->query = (struct hf_dht_query){.command = HF_DHT_FIND_PEER, .start = announcer->nearest,
		.start_count = announcer->nearest_count, .done = on_found};
	memcpy(announcer->query.target, announcer->target, sizeof announcer->target);
	if (hf_dht_query_start(announcer->node, &announcer->query) != HF_OK) {
		announcer->wants_refresh = true;
		sleep_until_next_ping(announcer);
	}
}

/* ---- From outside ---- */

static void halt(struct hf_announcer *announcer)
{
	hf_udp_timer_cancel(announcer->host, &announcer->timer);
	hf_dht_query_cancel(&announcer->query);
	for (size_t i = 0; i < HF_ANNOUNCER_RELAYS; i++)
		hf_dht_request_cancel(&announcer->places[i].request);
	announcer->stage = IDLE;
	announcer->pending = 0;
}

void hf_announcer_refresh(struct hf_announcer *announcer)
{
	announcer->is_stopping = false;
	announcer->wants_refresh = true;
	if (announcer->stage == IDLE || (announcer->stage == PINGING && announcer->pending == 0))
		hf_udp_timer_set(announcer->host, &announcer->timer, 0);
}

void hf_announcer_stop(struct hf_announcer *announcer)
{
	struct generation now = announcer->generations[0];

	halt(announcer);
	announcer->wants_refresh = false;
	for (size_t i = 0; i < announcer->place_count; i++)
		if (announcer->places[i].is_announced && !is_in(&now, &announcer->places[i].closest.node.address))
			take_back(announcer, &announcer->places[i].closest.node.address);
	for (size_t i = 0; i < now.count; i++)
		take_back(announcer, &now.relays[i].relay);
	announcer->generations[0].count = announcer->place_count = 0;
	announcer->is_stopping = true;
	if (announcer->removals == NULL)
		hf_udp_timer_set(announcer->host, &announcer->timer, 0);
}

int hf_announcer_new(struct hf_announcer **out, struct hf_dht_node *node, const uint8_t secret_key[static HF_SIGN_SECRET_BYTES],
	const uint8_t target[static HF_DHT_ID_BYTES], const struct hf_announcer_events *events, void *context)
{
	struct hf_announcer *announcer = *out = calloc(1, sizeof *announcer);

	if (announcer == NULL)
		return HF_ENOMEM;
	announcer->node = node;
	announcer->host = hf_udx_net_host(hf_dht_node_net(node));
	announcer->events = events;
	announcer->context = context;
	memcpy(announcer->secret_key, secret_key, sizeof announcer->secret_key);
	memcpy(announcer->target, target, sizeof announcer->target);
	announcer->timer.fire = on_timer;
	hf_announcer_refresh(announcer);
	return HF_OK;
}

void hf_announcer_free(struct hf_announcer *announcer)
{
	if (announcer == NULL)
		return;
	halt(announcer);
	while (announcer->removals != NULL) {
		struct removal *removal = announcer->removals;
		hf_dht_request_cancel(&removal->request);
		HF_LIST_REMOVE(announcer->removals, removal);
		free(removal);
	}
	hf_wipe(announcer, sizeof *announcer);
	free(announcer);
}

size_t hf_announcer_relays(const struct hf_announcer *announcer, struct hf_dht_punch_relay out[static HF_ANNOUNCER_RELAYS])
{
	const struct generation *now = &announcer->generations[0];

	memcpy(out, now->relays, now->count * sizeof *out);
	return now->count;
}

bool hf_announcer_is_relay(const struct hf_announcer *announcer, const struct hf_address *node)
{
	for (size_t i = 0; i < HF_ANNOUNCER_GENERATIONS; i++)
		if (is_in(&announcer->generations[i], node))
			return true;
	return false;
}
