/* cores: what peers of the gateway can replicate: the bees of its relays, and nothing else that the store has. One host, on the gateway's
 * own loop; whoever finds peers gives their sockets to it (hf_core_host_socket_events). */
#include "service/gateway/internal.h"

#include <stdio.h>

#include "base/log.h"
#include "service/core_metrics.h"
#include "service/gateway/advertise.h"
#include "service/gateway/workers.h"
#include "service/swarm_node.h"
#include "service/worker/worker.h"

static struct hf_log_module log_module = HF_LOG_MODULE("gateway");

const uint8_t *hf_gateway_next_public_core(const struct hf_gateway *g, size_t *cursor, uint8_t discovery_key[static 32])
{
	struct hf_relay_bee_facts facts;
	while (*cursor < g->relay_count) {
		const struct hf_relay_bee *bee = hf_relay_bee(g->relays[(*cursor)++]);
		if (!bee)
			continue;
		hf_relay_bee_facts(bee, &facts);
		memcpy(discovery_key, facts.discovery_key, sizeof facts.discovery_key);
		return discovery_key;
	}
	return NULL;
}

static bool may_serve(void *context, const uint8_t discovery_key[static 32])
{
	uint8_t public_one[32];
	size_t cursor = 0;
	while (hf_gateway_next_public_core(context, &cursor, public_one))
		if (memcmp(public_one, discovery_key, sizeof public_one) == 0)
			return true;
	return false;
}

static void on_opened(void *context, struct hf_peer_socket *socket)
{
	struct hf_gateway *g = context;
	if (g->workers)
		hf_workers_socket_opened(g->workers, socket);
	hf_worker_node_socket_opened(g->worker, socket);
}

static void on_closed(void *context, struct hf_peer_socket *socket, int code, const char *why)
{
	struct hf_gateway *g = context;
	if (g->workers)
		hf_workers_socket_closed(g->workers, socket);
	hf_worker_node_socket_closed(g->worker, socket);
	char where[HF_ADDRESS_TEXT_BYTES] = "";
	if (hf_peer_socket_address(socket))
		hf_address_text(hf_peer_socket_address(socket), true, where);
	hf_log_debug(&log_module, "a peer is gone", "peer=%s reason=\"%s\"", where, why);
}

int hf_gateway_open_cores(struct hf_gateway *g, struct hf_failure *failure)
{
	bool is_wanted = g->config->cores_listen[0] != '\0' || g->config->swarm;
	for (size_t i = 0; i < g->config->relay_count; i++)
		is_wanted = is_wanted || g->config->relays[i]->bee;
	if (!is_wanted)
		return HF_OK;
	struct hf_core_host_options options = {.size = sizeof options, .loop = g->loop, .store = g->store, .may_serve = may_serve,
		.opened = on_opened, .closed = on_closed, .context = g,
		.primary_key = hf_secret_slice(&hf_keys_active(g->keys, HF_KEY_STORE_PRIMARY)->secret)};
	g->env.executor = g->query; /* reads what is cold */
	int r = hf_core_host_new(&g->cores, &options, failure);
	if (r == HF_OK && hf_core_metrics_new(&g->core_metrics, g->metrics, g->cores) < 0)
		r = hf_fail(failure, HF_ENOMEM, "Out of memory while opening cores.");
	return r;
}

static struct hf_peer_socket_options socket_options(const struct hf_gateway *g)
{
	return (struct hf_peer_socket_options){.size = sizeof(struct hf_peer_socket_options), .loop = g->loop,
		.static_secret = hf_keys_active(g->keys, HF_KEY_SWARM)->secret.data, .events = &hf_core_host_socket_events, .context = g->cores};
}

static int listen_one(void *context, const char *address, struct hf_failure *failure)
{
	struct hf_gateway *g = context;
	struct hf_address bound;
	char where[HF_ADDRESS_TEXT_BYTES];
	struct hf_peer_socket_options options = socket_options(g);
	if (g->core_listener_count == HF_GATEWAY_LISTEN_COUNT_MAX)
		return hf_fail(failure, HF_ETOOBIG, "gateway.cores_listen has more than %d addresses.", HF_GATEWAY_LISTEN_COUNT_MAX);
	int r = hf_peer_listener_new(&g->core_listeners[g->core_listener_count], &options, address, &bound, failure);
	if (r < 0)
		return r;
	g->core_listener_count++;
	hf_address_text(&bound, true, where);
	printf("holdfast: cores at %s\n", where);
	fflush(stdout);
	return HF_OK;
}

int hf_gateway_listen_cores(struct hf_gateway *g, struct hf_failure *failure)
{
	if (!g->config->cores_listen[0])
		return HF_OK;
	int r = hf_keyring_ensure(g->keys, &g->directory, "keys", HF_KEY_SWARM, failure);
	return r == HF_OK ? hf_gateway_each_address(g->config->cores_listen, listen_one, g, failure) : r;
}

int hf_gateway_join_swarm(struct hf_gateway *g, struct hf_failure *failure)
{
	struct hf_swarm_bootstrap bootstrap = {0};
	struct hf_swarm_session *session;
	uint8_t discovery_key[32];
	size_t cursor = 0;
	if (!g->config->swarm)
		return HF_OK;
	int r = hf_swarm_bootstrap_add(&bootstrap, g->config->swarm_bootstrap, failure);
	if (r == HF_OK && bootstrap.count == 0)
		r = hf_fail(failure, HF_EINVAL, "gateway.swarm is on, and swarm.bootstrap names no node of the network.");
	if (r == HF_OK)
		r = hf_keyring_ensure(g->keys, &g->directory, "keys", HF_KEY_SWARM, failure);
	if (r < 0)
		return r;
	struct hf_peer_socket_options socket = socket_options(g);
	struct hf_swarm_node_options options = {.size = sizeof options, .loop = g->loop, .static_secret = socket.static_secret,
		.bootstrap = &bootstrap, .socket = &socket, .metrics = g->metrics};
	r = hf_swarm_node_new(&g->swarm, &options, failure);
	while (r == HF_OK && hf_gateway_next_public_core(g, &cursor, discovery_key))
		r = hf_swarm_join(hf_swarm_node_swarm(g->swarm), discovery_key, HF_SWARM_SERVER, 0, &session);
	return r;
}

void hf_gateway_close_peers(struct hf_gateway *g)
{
	hf_worker_node_end(g->worker);
	hf_advertiser_close(g->advertiser);
	hf_swarm_node_leave(g->swarm);
	hf_advertiser_free(g->advertiser);
	g->advertiser = NULL;
	while (g->core_listener_count > 0)
		hf_peer_listener_free(g->core_listeners[--g->core_listener_count]);
	if (g->cores)
		hf_core_host_close_sockets(g->cores);
	hf_swarm_node_free(g->swarm);
	g->swarm = NULL;
}

void hf_gateway_close_cores(struct hf_gateway *g)
{
	hf_worker_node_free(g->worker);
	g->worker = NULL;
	for (size_t i = 0; i < g->relay_count; i++)
		hf_relay_release_cores(g->relays[i]);
	hf_metric_table_free(g->core_metrics);
	g->core_metrics = NULL;
	hf_core_host_free(g->cores);
	g->cores = NULL;
}
