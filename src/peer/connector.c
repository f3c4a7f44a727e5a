#include "peer/connector_private.h"

#include <stdlib.h>

#include "base/options.h"
#include "peer/dial_private.h"

struct hf_dht_relay_memory {
	uint8_t key[HF_SIGN_PUBLIC_BYTES];
	struct hf_dht_relay_memory *next, *previous; /* towards the oldest */
	size_t count;
	struct hf_address relays[HF_DHT_DIAL_RELAYS_MAX];
};

/* ---- Nodes that led to a peer ---- */

static void forget(struct hf_dht_connector *connector, struct hf_dht_relay_memory *memory)
{
	hf_map_remove(&connector->relay_memories, hf_slice(memory->key, sizeof memory->key));
	if (connector->oldest == memory)
		connector->oldest = memory->previous;
	HF_LIST_REMOVE(connector->newest, memory);
	free(memory);
}

void hf_dht_relays_remember(struct hf_dht_connector *connector, const uint8_t key[static HF_SIGN_PUBLIC_BYTES],
	const struct hf_address *relays, size_t count)
{
	struct hf_dht_relay_memory *memory = hf_map_get(&connector->relay_memories, hf_slice(key, HF_SIGN_PUBLIC_BYTES));

	if (memory != NULL)
		forget(connector, memory);
	if (connector->relay_memories.count == HF_DHT_RELAY_CACHE_COUNT)
		forget(connector, connector->oldest);
	memory = count > 0 ? calloc(1, sizeof *memory) : NULL;
	if (memory == NULL)
		return;
	memcpy(memory->key, key, sizeof memory->key);
	memory->count = count < HF_DHT_DIAL_RELAYS_MAX ? count : HF_DHT_DIAL_RELAYS_MAX;
	memcpy(memory->relays, relays, memory->count * sizeof *relays);
	if (hf_map_put(&connector->relay_memories, hf_slice(memory->key, sizeof memory->key), memory, NULL) != HF_OK) {
		free(memory);
		return;
	}
	HF_LIST_PUSH(connector->newest, memory);
	if (connector->oldest == NULL)
		connector->oldest = memory;
}

size_t hf_dht_relays_recall(struct hf_dht_connector *connector, const uint8_t key[static HF_SIGN_PUBLIC_BYTES],
	struct hf_address out[static HF_DHT_DIAL_RELAYS_MAX])
{
	const struct hf_dht_relay_memory *memory = hf_map_get(&connector->relay_memories, hf_slice(key, HF_SIGN_PUBLIC_BYTES));

	if (memory == NULL)
		return 0;
	memcpy(out, memory->relays, memory->count * sizeof *out);
	return memory->count;
}

/* ---- Limits ---- */

uint64_t hf_dht_random(struct hf_dht_connector *connector, uint64_t below)
{
	uint64_t number;

	connector->host->env->random(connector->host->env, &number, sizeof number);
	return number % below;
}

bool hf_dht_may_punch_randomly(const struct hf_dht_connector *connector)
{
	uint64_t gap_ms = connector->options.random_punch_gap_ms;

	return connector->random_punches == 0 && (connector->random_punched_ms == 0 ||
		hf_dht_connector_now_ms(connector) >= connector->random_punched_ms + gap_ms);
}

uint32_t hf_dht_later_ms(struct hf_dht_connector *connector)
{
	return (uint32_t)(10000 + hf_dht_random(connector, 10001));
}

/* ---- Life ---- */

int hf_dht_connector_new(
	struct hf_dht_connector **out, const struct hf_dht_connector_options *options, struct hf_failure *failure)
{
	struct hf_dht_connector *connector = calloc(1, sizeof *connector);
	uint64_t seed;

	*out = NULL;
	int error = connector != NULL ? hf_options_take(&connector->options, sizeof connector->options, options) : HF_ENOMEM;
	if (error == HF_OK && (connector->options.node == NULL ||
		(connector->options.loop == NULL && connector->options.secret_stream_pool == NULL)))
		error = HF_EINVAL;
	if (error != HF_OK) {
		free(connector);
		return hf_fail(failure, error, "the options of the connector: %s", hf_error_text(error));
	}
	struct hf_dht_connector_options *o = &connector->options;
	connector->node = o->node;
	connector->host = hf_udx_net_host(hf_dht_node_net(o->node));
	o->random_punch_gap_ms = o->random_punch_gap_ms > 0 ? o->random_punch_gap_ms : HF_DHT_RANDOM_PUNCH_GAP_MS;
	connector->local_address_count =
		o->local_address_count < HF_DHT_LOCAL_ADDRESSES_MAX ? o->local_address_count : HF_DHT_LOCAL_ADDRESSES_MAX;
	if (connector->local_address_count > 0)
		memcpy(connector->local_addresses, o->local_addresses, connector->local_address_count * sizeof *o->local_addresses);
	connector->host->env->random(connector->host->env, &seed, sizeof seed);
	hf_map_init(&connector->relay_memories, seed);
	hf_dht_local_check(connector);
	*out = connector;
	return HF_OK;
}

void hf_dht_connector_free(struct hf_dht_connector *connector)
{
	if (connector == NULL)
		return;
	while (connector->dials != NULL)
		hf_dial_destroy(connector->dials);
	while (connector->servers != NULL)
		hf_dht_server_free(connector->servers);
	while (connector->paths != NULL)
		hf_path_abandon(connector->paths);
	while (connector->sockets != NULL)
		hf_punch_socket_close(connector->sockets);
	hf_dht_way_forget_socket(connector, NULL);
	hf_dht_local_forget(connector);
	while (connector->newest != NULL)
		forget(connector, connector->newest);
	hf_map_free(&connector->relay_memories);
	free(connector);
}

struct hf_dht_node *hf_dht_connector_node(const struct hf_dht_connector *connector)
{
	return connector->node;
}

void hf_dht_connector_read_stats(const struct hf_dht_connector *connector, struct hf_dht_connector_stats *stats)
{
	*stats = connector->stats;
}

/* ---- Names of errors ---- */

const char *hf_dht_connect_error_name(enum hf_dht_connect_error error)
{
	static const char *const names[HF_DHT_CONNECT_ERROR_END] = {
		[HF_DHT_PEER_NOT_FOUND] = "PEER_NOT_FOUND",
		[HF_DHT_PEER_CONNECTION_FAILED] = "PEER_CONNECTION_FAILED",
		[HF_DHT_SERVER_INCOMPATIBLE] = "SERVER_INCOMPATIBLE",
		[HF_DHT_SERVER_ERROR] = "SERVER_ERROR",
		[HF_DHT_CANNOT_HOLEPUNCH] = "CANNOT_HOLEPUNCH",
		[HF_DHT_HOLEPUNCH_ABORTED] = "HOLEPUNCH_ABORTED",
		[HF_DHT_HOLEPUNCH_INVALID] = "HOLEPUNCH_INVALID",
		[HF_DHT_HOLEPUNCH_PROBE_TIMEOUT] = "HOLEPUNCH_PROBE_TIMEOUT",
		[HF_DHT_HOLEPUNCH_DOUBLE_RANDOMIZED_NATS] = "HOLEPUNCH_DOUBLE_RANDOMIZED_NATS",
		[HF_DHT_REMOTE_ABORTED] = "REMOTE_ABORTED",
		[HF_DHT_REMOTE_NOT_HOLEPUNCHING] = "REMOTE_NOT_HOLEPUNCHING",
		[HF_DHT_REMOTE_NOT_HOLEPUNCHABLE] = "REMOTE_NOT_HOLEPUNCHABLE",
		[HF_DHT_RELAY_ABORTED] = "RELAY_ABORTED",
		[HF_DHT_SUSPENDED] = "SUSPENDED",
	};

	return error > 0 && error < HF_DHT_CONNECT_ERROR_END ? names[error] : "";
}
