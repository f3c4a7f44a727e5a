/* Which way to take to a server that has answered through a node: straight to it, when one side can be reached; over a network that both
 * are on; through our NATs (dial_punch.c). */
#include "peer/dial_private.h"

static const struct hf_address *first_public(const struct hf_dht_addresses *addresses, const struct hf_address *otherwise)
{
	for (size_t i = 0; i < addresses->count; i++)
		if (!hf_dht_address_is_bogon(&addresses->list[i]))
			return &addresses->list[i];
	return otherwise;
}

static bool may_punch(const struct hf_dht_dial *dial)
{
	return dial->payload.has_holepunch && dial->payload.holepunch.relay_count > 0;
}

static void on_local_pong(struct hf_dht_request *request, int code, const struct hf_dht_reply *reply)
{
	struct hf_dht_dial *dial = HF_CONTAINER_OF(request, struct hf_dht_dial, local_ping);

	dial->is_pinging = false;
	if (code == HF_OK)
		hf_path_found(dial->path, hf_dht_node_server_socket(dial->connector->node), &dial->local, HF_WAY_LOCAL);
	else if (dial->puncher == NULL)
		hf_dial_fail(dial, HF_DHT_HOLEPUNCH_ABORTED, 0);
}

/* The server seems to be behind the same NAT, if any: asks it at its address there. */
static void try_local(struct hf_dht_dial *dial)
{
	struct hf_dht_addresses ours, theirs = {.count = 0};

	if (dial->options.no_local || !hf_dht_same_host(&dial->client, &dial->server))
		return;
	for (size_t i = 0; i < dial->payload.addresses4.count; i++)
		if (!hf_dht_address_is_reserved(&dial->payload.addresses4.list[i]))
			hf_dht_addresses_add(&theirs, &dial->payload.addresses4.list[i]);
	if (theirs.count == 0)
		return;
	hf_dht_local_addresses(dial->connector, &ours);
	dial->local = theirs.list[0];
	hf_dht_match_address(&ours, &theirs, &dial->local);
	dial->local_ping = (struct hf_dht_request){.to = dial->local, .is_internal = true, .command = HF_DHT_PING, .done = on_local_pong};
	dial->is_pinging = hf_dht_request_start(dial->connector->node, &dial->local_ping) == HF_OK;
}

void hf_dial_choose_way(struct hf_dht_dial *dial)
{
	bool is_behind_relay = !hf_address_equal(&dial->server, &dial->relay);

	if (dial->payload.firewall == HF_DHT_FIREWALL_OPEN || (is_behind_relay && !may_punch(dial))) {
		hf_path_found(dial->path, hf_dht_node_socket(dial->connector->node),
			first_public(&dial->payload.addresses4, &dial->server), HF_WAY_OPEN);
		return;
	}
	if (dial->firewall == HF_DHT_FIREWALL_OPEN) {
		hf_udp_timer_set(dial->connector->host, &dial->passive, HF_DHT_PASSIVE_TIMEOUT_MS);
		return;
	}
	if (is_behind_relay)
		try_local(dial);
	if (may_punch(dial))
		hf_dial_punch(dial);
	else if (!dial->is_pinging)
		hf_dial_fail(dial, HF_DHT_CANNOT_HOLEPUNCH, 0);
}
