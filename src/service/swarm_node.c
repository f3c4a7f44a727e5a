#include "service/swarm_node.h"

#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/options.h"
#include "net/interfaces.h"
#include "base/log.h"
#include "service/swarm_metrics.h"
#include "service/swarm_resolver.h"

static struct hf_log_module log_module = HF_LOG_MODULE("swarm");

struct hf_swarm_node {
	struct hf_loop *loop;
	struct hf_udx_net *net;
	struct hf_dht_node *dht;
	struct hf_dht_connector *connector;
	struct hf_swarm *swarm;
	struct hf_swarm_metrics *metrics;
	struct hf_swarm_resolver *resolver;
	struct hf_interfaces_watch interfaces;
	struct hf_timer goodbye;
	uint8_t relay[HF_SIGN_PUBLIC_BYTES];
	struct hf_address seen; /* by others, the last time; all zero: not known */
	bool is_online, has_relay, is_closed;
};

/* Most changes are the node's own: all topics are looked at again only where the way to us is another, or there is one again. */
static void on_changed(void *context, struct hf_dht_node *dht)
{
	struct hf_swarm_node *node = context;
	struct hf_dht_node_state state;
	static const struct hf_address unknown;
	hf_dht_node_read_state(dht, &state);
	bool is_back = state.is_online && !node->is_online;
	bool has_moved = state.has_host && memcmp(node->seen.ip, unknown.ip, sizeof unknown.ip) != 0 &&
		memcmp(node->seen.ip, state.seen.ip, sizeof state.seen.ip) != 0;
	node->is_online = state.is_online;
	if (state.has_host)
		node->seen = state.seen;
	if (node->swarm && (is_back || has_moved))
		hf_swarm_network_changed(node->swarm);
}

static void on_interfaces_changed(struct hf_interfaces_watch *watch)
{
	struct hf_swarm_node *node = HF_CONTAINER_OF(watch, struct hf_swarm_node, interfaces);
	hf_dht_node_network_changed(node->dht);
	hf_swarm_network_changed(node->swarm);
}

static void on_found(void *context)
{
	hf_swarm_network_changed(((struct hf_swarm_node *)context)->swarm);
}

static void on_not_found(void *context, const char *sentence)
{
	hf_log_warn(&log_module, "the swarm knows no node to begin with", "why=\"%s\"", sentence);
}

static const struct hf_swarm_resolver_events resolver_events = {.found = on_found, .failed = on_not_found};

static void on_woke(void *context, struct hf_dht_node *dht)
{
	struct hf_swarm_node *node = context;
	if (node->swarm)
		hf_swarm_network_changed(node->swarm);
}

static const struct hf_dht_node_events dht_events = {.changed = on_changed, .woke = on_woke};

static void on_closed(void *context)
{
	struct hf_swarm_node *node = context;
	node->is_closed = true;
}

static void on_goodbye_timeout(struct hf_timer *timer)
{
	on_closed(HF_CONTAINER_OF(timer, struct hf_swarm_node, goodbye));
}

/* Where each destination sees another port of ours, half of all others cannot reach us directly. */
static const uint8_t *relay_through(void *context, bool is_forced)
{
	const struct hf_swarm_node *node = context;
	struct hf_dht_node_state state;
	hf_dht_node_read_state(node->dht, &state);
	return is_forced || (state.has_host && !state.has_port) ? node->relay : NULL;
}

int hf_swarm_node_new(struct hf_swarm_node **out, const struct hf_swarm_node_options *given, struct hf_failure *failure)
{
	struct hf_swarm_node_options options;
	*out = NULL;
	int r = hf_options_take(&options, sizeof options, given);
	struct hf_swarm_node *node = r == HF_OK ? calloc(1, sizeof *node) : NULL;
	struct hf_udp_host *host = !node || options.host ? options.host : hf_udp_host_of_loop(options.loop);
	if (!node || !host) {
		free(node);
		return hf_fail(failure, r < 0 ? r : HF_ENOMEM, "The swarm cannot start: %s.", hf_error_text(r < 0 ? r : HF_ENOMEM));
	}
	node->loop = options.loop;
	node->is_online = true;
	node->goodbye.fire = on_goodbye_timeout;
	node->has_relay = options.relay != NULL;
	if (options.relay)
		memcpy(node->relay, options.relay, sizeof node->relay);
	r = hf_udx_net_new(&node->net, host, NULL);
	if (r < 0)
		hf_fail(failure, r, "The swarm cannot start: %s.", hf_error_text(r));
	if (r == HF_OK) {
		struct hf_address known[HF_SWARM_BOOTSTRAP_COUNT_MAX];
		struct hf_dht_node_options dht = {.size = sizeof dht, .net = node->net, .bind = options.bind, .bootstrap = known,
			.bootstrap_count = hf_swarm_bootstrap_addresses(options.bootstrap, known),
			.bootstrap_is_pending = hf_swarm_resolver_is_needed_first(options.bootstrap), .events = &dht_events, .context = node};
		r = hf_dht_node_new(&node->dht, &dht, failure);
	}
	if (r == HF_OK) {
		struct hf_dht_connector_options connector = {.size = sizeof connector, .node = node->dht, .loop = options.loop,
			.secret_stream_pool = options.loop ? NULL : options.socket->secret_stream_pool};
		r = hf_dht_connector_new(&node->connector, &connector, failure);
	}
	if (r == HF_OK) {
		struct hf_swarm_options swarm = {.size = sizeof swarm, .connector = node->connector, .static_secret = options.static_secret,
			.socket = options.socket, .relay_through = node->has_relay ? relay_through : NULL, .context = node};
		r = hf_swarm_new(&node->swarm, &swarm, failure);
	}
	if (r == HF_OK) {
		struct hf_swarm_metrics_sources sources = {.dht = node->dht, .connector = node->connector, .swarm = node->swarm};
		r = hf_swarm_metrics_new(&node->metrics, options.metrics, &sources);
	}
	if (r == HF_OK)
		r = hf_swarm_resolver_new(&node->resolver, options.loop, node->dht, options.bootstrap, &resolver_events, node);
	if (r == HF_OK) {
		node->interfaces = (struct hf_interfaces_watch){.list = options.interfaces, .changed = on_interfaces_changed};
		hf_interfaces_watch_start(&node->interfaces, host);
	}
	if (r < 0)
		hf_swarm_node_free(node);
	else
		*out = node;
	return r;
}

void hf_swarm_node_leave(struct hf_swarm_node *node)
{
	if (!node || hf_loop_timer_set(node->loop, &node->goodbye, HF_SWARM_NODE_GOODBYE_MS) < 0)
		return;
	hf_swarm_close(node->swarm, on_closed, node);
	while (!node->is_closed && hf_loop_poll(node->loop, true) == HF_OK)
		;
	hf_loop_timer_cancel(node->loop, &node->goodbye);
}

void hf_swarm_node_free(struct hf_swarm_node *node)
{
	if (!node)
		return;
	hf_swarm_resolver_free(node->resolver);
	hf_interfaces_watch_stop(&node->interfaces);
	hf_swarm_metrics_free(node->metrics);
	hf_swarm_free(node->swarm);
	hf_dht_connector_free(node->connector);
	hf_dht_node_free(node->dht);
	hf_udx_net_free(node->net);
	free(node);
}

struct hf_swarm *hf_swarm_node_swarm(struct hf_swarm_node *node)
{
	return node->swarm;
}

struct hf_dht_node *hf_swarm_node_dht(struct hf_swarm_node *node)
{
	return node->dht;
}

struct hf_dht_connector *hf_swarm_node_connector(struct hf_swarm_node *node)
{
	return node->connector;
}
