/* admin_members: what administration is told of workers, their relays, and who does what. */
#include <jansson.h>
#include <stdlib.h>

#include "codec/hex.h"
#include "service/action_http.h"
#include "service/gateway/front.h"
#include "service/gateway/internal.h"
#include "service/gateway/registry.h"
#include "service/gateway/workers.h"
#include "service/json_hex.h"

#define WORKER_RELAYS_MAX 64 /* that are named of one worker */

/* Answers when there are no workers here. */
static bool has_members(const struct hf_gateway *g, struct hf_http_exchange *exchange)
{
	if (g->front)
		return true;
	struct hf_failure failure = {0};
	hf_fail(&failure, HF_ENOTFOUND, "The gateway has no workers; they are let in with workers.enabled = yes.");
	hf_action_http_fail(exchange, &failure);
	return false;
}

/* ---- Workers ---- */

static void key_text(const uint8_t key[static 32], char text[static 65])
{
	hf_hex_encode(text, key, 32);
	text[64] = '\0';
}

static json_t *relays_of(struct hf_gateway *g, const uint8_t *key)
{
	json_t *paths = json_array();
	const struct hf_registration *record;
	struct hf_slice after = {0};
	while (json_array_size(paths) < WORKER_RELAYS_MAX && (record = hf_registry_after_of_peer(g->registry, key, after)) != NULL) {
		if (json_array_append_new(paths, json_string(record->path)) < 0)
			break;
		after = hf_slice_text(record->key);
	}
	return paths;
}

static json_t *telemetry_of(const struct hf_worker *worker)
{
	const struct hf_telemetry *t = hf_worker_telemetry(worker);
	return t ? json_pack("{s:I, s:I, s:I, s:f, s:I, s:I, s:I, s:I, s:I}", "latency_ms", (json_int_t)t->latency_ms,
		"in_flight", (json_int_t)t->in_flight_jobs, "queue", (json_int_t)t->queue_depth, "failure_rate", t->failure_rate,
		"lag_blocks", (json_int_t)t->bee_lag, "hits", (json_int_t)t->bee_served, "misses", (json_int_t)t->bee_fallbacks,
		"errors", (json_int_t)t->bee_errors, "reported_at", (json_int_t)t->reported_at_ms) : json_null();
}

static json_t *worker_facts(struct hf_gateway *g, const struct hf_worker *worker, const char *key)
{
	return json_pack("{s:s, s:b, s:b, s:I, s:I, s:o, s:o}", "peer", key, "hypertuna", hf_worker_is_hypertuna(worker),
		"healthy", hf_worker_is_healthy(worker), "connected_at", (json_int_t)hf_worker_connected_at_ms(worker),
		"streams", (json_int_t)hf_worker_stream_count(worker), "relays", relays_of(g, hf_worker_key(worker)),
		"telemetry", telemetry_of(worker));
}

/* Workers by their keys, with the relays that they have. */
static json_t *workers_by_key(struct hf_gateway *g, size_t count_max)
{
	struct hf_worker *worker;
	size_t cursor = 0;
	char text[65];
	json_t *by_key = json_object();
	while (json_object_size(by_key) < count_max && (worker = hf_workers_next(g->workers, &cursor))) {
		key_text(hf_worker_key(worker), text);
		if (json_object_set_new(by_key, text, worker_facts(g, worker, text)) < 0)
			break;
	}
	return by_key;
}

static json_t *values_of(json_t *by_key)
{
	const char *key;
	json_t *value, *list = json_array();
	json_object_foreach(by_key, key, value)
		json_array_append(list, value);
	json_decref(by_key);
	return list;
}

void hf_gateway_handle_workers(void *context, struct hf_http_exchange *exchange)
{
	struct hf_gateway *g = context;
	if (has_members(g, exchange))
		hf_gateway_respond_json(exchange, json_pack("{s:o}", "workers", values_of(workers_by_key(g, SIZE_MAX))));
}

/* ---- The dispatcher ---- */

static json_t *describe_peer(const struct hf_dispatch_facts *f, uint64_t now_us)
{
	uint64_t rest_us = f->breaker == HF_DISPATCH_OPEN && f->retry_us > now_us ? f->retry_us - now_us : 0;
	return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "breaker", hf_dispatch_breaker_name(f->breaker),
		"rests_ms", (json_int_t)(rest_us / 1000), "score", (json_int_t)f->score,
		"p50_us", (json_int_t)f->view.latency_p50_us, "p95_us", (json_int_t)f->view.latency_p95_us,
		"in_flight", (json_int_t)f->view.in_flight, "sessions", (json_int_t)f->view.session_count,
		"failure_permille", (json_int_t)f->view.failure_permille, "lag_blocks", (json_int_t)f->view.lag_blocks,
		"assigned", (json_int_t)f->assigned_count, "failed", (json_int_t)f->failed_count, "drained", f->is_drained);
}

static json_t *describe_queues(struct hf_dispatcher *dispatcher)
{
	struct hf_dispatcher_stats s;
	json_t *refused = json_object(), *reassigned = json_object();
	hf_dispatcher_stats(dispatcher, &s);
	for (int i = 0; i < HF_DISPATCH_REFUSAL_COUNT; i++)
		json_object_set_new(refused, hf_dispatch_refusal_name((enum hf_dispatch_refusal)i), json_integer((json_int_t)s.refusals[i]));
	for (int i = 0; i < HF_DISPATCH_CAUSE_COUNT; i++)
		json_object_set_new(reassigned, hf_dispatch_cause_name((enum hf_dispatch_cause)i), json_integer((json_int_t)s.reassigned[i]));
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "in_flight", (json_int_t)s.in_flight_count,
		"waiting", (json_int_t)s.waiting_count, "assigned", (json_int_t)s.assigned_count,
		"done", (json_int_t)s.outcomes[HF_DISPATCH_OK], "failed", (json_int_t)s.outcomes[HF_DISPATCH_FAILED],
		"abandoned", (json_int_t)s.outcomes[HF_DISPATCH_ABANDONED], "refused", refused, "reassigned", reassigned);
}

static json_t *describe_sessions(const struct hf_front *front)
{
	struct hf_front_stats s;
	hf_front_stats(front, &s);
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "open", (json_int_t)s.session_count,
		"subscriptions", (json_int_t)s.subscription_count, "requests", (json_int_t)s.request_count, "moved", (json_int_t)s.moved_count,
		"repeated", (json_int_t)s.repeated_count, "delivered", (json_int_t)s.delivered_count, "published", (json_int_t)s.published_count);
}

void hf_gateway_handle_dispatcher(void *context, struct hf_http_exchange *exchange)
{
	struct hf_gateway *g = context;
	struct hf_dispatch_facts facts;
	uint64_t now_us = hf_env_monotonic_us(&g->env);
	size_t cursor = 0;
	if (!has_members(g, exchange))
		return;
	struct hf_dispatcher *dispatcher = hf_front_dispatcher(g->front);
	json_t *peers = json_array();
	while (hf_dispatcher_next_peer(dispatcher, now_us, &cursor, &facts)) {
		json_t *peer = describe_peer(&facts, now_us);
		json_object_set_new(peer, "peer", hf_json_hex(facts.peer, 32));
		json_array_append_new(peers, peer);
	}
	hf_gateway_respond_json(exchange, json_pack("{s:o, s:o, s:o}", "jobs", describe_queues(dispatcher),
		"sessions", describe_sessions(g->front), "peers", peers));
}

/* ---- Both together, for a snapshot ---- */

json_t *hf_gateway_workers_json(struct hf_gateway *g)
{
	struct hf_dispatch_facts facts;
	uint64_t now_us = hf_env_monotonic_us(&g->env);
	size_t cursor = 0;
	char text[65];
	const char *key;
	json_t *worker, *by_key;
	if (!g->front)
		return json_array();
	by_key = workers_by_key(g, HF_GATEWAY_SNAPSHOT_WORKERS_MAX);
	json_object_foreach(by_key, key, worker)
		json_object_set_new(worker, "dispatch", json_null());
	while (hf_dispatcher_next_peer(hf_front_dispatcher(g->front), now_us, &cursor, &facts)) {
		key_text(facts.peer, text);
		json_object_set_new(json_object_get(by_key, text), "dispatch", describe_peer(&facts, now_us));
	}
	return values_of(by_key);
}

json_t *hf_gateway_dispatcher_json(struct hf_gateway *g)
{
	if (!g->front)
		return json_null();
	return json_pack("{s:o, s:o}", "jobs", describe_queues(hf_front_dispatcher(g->front)), "sessions", describe_sessions(g->front));
}
