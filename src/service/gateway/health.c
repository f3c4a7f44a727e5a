/* health: whether the gateway serves, and what is not as it should be. Where clients come in only the names of the reasons are told; the
 * sentences are for who operates it. */
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "service/gateway/internal.h"
#include "service/gateway/state.h"
#include "service/swarm_node.h"

#define BEE_BEHIND_MS 10000

static void __attribute__((format(printf, 3, 4))) add(struct hf_health *health, const char *name, const char *format, ...)
{
	va_list arguments;
	if (health->count == HF_HEALTH_REASON_COUNT_MAX)
		return;
	struct hf_health_reason *reason = &health->reasons[health->count++];
	reason->name = name;
	va_start(arguments, format);
	vsnprintf(reason->sentence, sizeof reason->sentence, format, arguments);
	va_end(arguments);
}

static void look_at_store(const struct hf_gateway *g, struct hf_health *health)
{
	struct hf_store_stats stats;
	hf_store_stats(g->store, &stats);
	if (stats.write_status == HF_ENOSPC)
		add(health, "store-full", "The disk or the quota is full: what is published is refused, reading goes on.");
	else if (stats.write_status < 0)
		add(health, "store-failing", "The last write failed: %s.", hf_error_text(stats.write_status));
	if (stats.corrupt_count > 0)
		add(health, "store-corrupt", "%llu records or blocks failed their checksum; see `holdfast store verify`.",
			(unsigned long long)stats.corrupt_count);
}

static void look_at_relays(const struct hf_gateway *g, struct hf_health *health)
{
	for (size_t i = 0; i < g->relay_count; i++) {
		struct hf_relay_bee_facts facts;
		if (!hf_relay_bee(g->relays[i]))
			continue;
		hf_relay_bee_facts(hf_relay_bee(g->relays[i]), &facts);
		if (facts.lag_ms > BEE_BEHIND_MS)
			add(health, "bee-behind", "The bee of relay %s is %llu events and %llu s behind.", hf_relay_instance(g->relays[i]),
				(unsigned long long)facts.lag_events, (unsigned long long)facts.lag_ms / 1000);
		if (facts.is_paused)
			add(health, "bee-paused", "The bee of relay %s is given to no peer, since `holdfast admin pause`.",
				hf_relay_instance(g->relays[i]));
	}
}

static void look_at_swarm(const struct hf_gateway *g, struct hf_health *health)
{
	struct hf_dht_node_state state;
	struct hf_dht_contact one;
	if (!g->swarm)
		return;
	const struct hf_dht_node *dht = hf_swarm_node_dht(g->swarm);
	hf_dht_node_read_state(dht, &state);
	if (!state.is_bootstrapped)
		add(health, "swarm-joining", "The nodes of swarm.bootstrap have not answered yet.");
	else if (!state.is_online || hf_dht_node_recent(dht, &one, 1) == 0)
		add(health, "swarm-offline", "Nothing in the DHT answers: new peers do not find the gateway.");
	else if (state.is_degraded)
		add(health, "swarm-degraded", "More than half of what is asked of the DHT gets no answer.");
}

static void look_at_members(const struct hf_gateway *g, struct hf_health *health)
{
	if (g->state && !hf_state_is_connected(g->state))
		add(health, "registrations-offline", "Redis does not answer: what is known stays in force, and nothing can be registered or revoked.");
}

void hf_gateway_health(const struct hf_gateway *g, struct hf_health *health)
{
	*health = (struct hf_health){.is_ready = !g->is_draining};
	if (g->is_draining)
		add(health, "draining", "The gateway is ending.");
	look_at_store(g, health);
	look_at_relays(g, health);
	look_at_swarm(g, health);
	look_at_members(g, health);
}

static json_t *describe(const struct hf_health *health, bool with_sentences)
{
	json_t *reasons = json_array();
	for (size_t i = 0; i < health->count; i++) {
		const struct hf_health_reason *reason = &health->reasons[i];
		json_array_append_new(reasons, with_sentences ? json_pack("{s:s, s:s}", "name", reason->name, "why", reason->sentence)
			: json_string(reason->name));
	}
	return json_pack("{s:s, s:b, s:b, s:o}", "status", !health->is_ready ? "draining" : health->count > 0 ? "degraded" : "ok",
		"live", true, "ready", health->is_ready, "reasons", reasons);
}

json_t *hf_gateway_health_json(const struct hf_gateway *g)
{
	struct hf_health health;
	hf_gateway_health(g, &health);
	return describe(&health, true);
}

static void answer(const struct hf_gateway *g, struct hf_http_exchange *exchange, bool with_sentences)
{
	struct hf_health health;
	hf_gateway_health(g, &health);
	json_t *body = describe(&health, with_sentences);
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	hf_http_respond(exchange, health.is_ready && text ? 200 : 503, "application/json", hf_slice_text(text ? text : "{}"),
		"Cache-Control: no-store\r\n");
	free(text);
	json_decref(body);
}

void hf_gateway_handle_health(void *context, struct hf_http_exchange *exchange)
{
	answer(context, exchange, false);
}

void hf_gateway_handle_admin_health(void *context, struct hf_http_exchange *exchange)
{
	answer(context, exchange, true);
}
