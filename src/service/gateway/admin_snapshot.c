/* admin_snapshot: all that a dashboard shows, in one JSON object (docs/administration.md). Numbers that are metrics are read from the
 * registry of metrics, so that there is one place where they are counted. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "service/gateway/front.h"
#include "service/gateway/internal.h"
#include "service/gateway/registry.h"
#include "service/gateway/state.h"
#include "service/json_hex.h"
#include "service/swarm_node.h"

/* ---- Out of the metrics ---- */

/* Where a metric goes; labels NULL: those of all labels, added. */
static const struct metric_row {
	const char *metric, *labels, *part, *name;
} metric_rows[] = {
	{"holdfast_memory_bytes", NULL, "process", "connections_memory_bytes"},
	{"holdfast_memory_max_bytes", "", "process", "connections_memory_max_bytes"},
	{"holdfast_store_quota_bytes", "", "store", "quota_bytes"},
	{"holdfast_disk_free_bytes", "", "store", "free_bytes"},
	{"holdfast_sockets", "", "traffic", "sockets"},
	{"holdfast_websockets", "", "traffic", "websockets"},
	{"holdfast_sockets_accepted_total", "", "traffic", "sockets_accepted"},
	{"holdfast_socket_received_bytes_total", "", "traffic", "bytes_received"},
	{"holdfast_socket_sent_bytes_total", "", "traffic", "bytes_sent"},
	{"holdfast_http_requests_total", NULL, "traffic", "http_requests"},
	{"holdfast_sockets_refused_total", "reason=\"full\"", "sockets_refused", "full"},
	{"holdfast_sockets_refused_total", "reason=\"address\"", "sockets_refused", "address"},
	{"holdfast_sockets_refused_total", "reason=\"memory\"", "sockets_refused", "memory"},
	{"holdfast_sockets_refused_total", "reason=\"accept\"", "sockets_refused", "accept"},
	{"holdfast_registry_merges_total", "", "registrations", "merged"},
	{"holdfast_registry_refused_total", "", "registrations", "refused"},
	{"holdfast_tokens", "", "tokens", "known"},
	{"holdfast_tokens_issued_total", "", "tokens", "issued"},
	{"holdfast_tokens_refreshed_total", "", "tokens", "refreshed"},
	{"holdfast_tokens_revoked_total", "", "tokens", "revoked"},
	{"holdfast_tokens_refused_total", "", "tokens", "refused"},
	{"holdfast_tokens_quarantines_total", "", "tokens", "quarantines"},
	{"holdfast_dht_nodes", "", "swarm", "nodes"},
	{"holdfast_swarm_peers", "", "swarm", "peers"},
	{"holdfast_swarm_connections", NULL, "swarm", "connections"},
	{"holdfast_replication_streams", "", "replication", "streams"},
	{"holdfast_replication_channels", "", "replication", "channels"},
	{"holdfast_replication_blocks_total", "direction=\"sent\"", "replication", "blocks_sent"},
	{"holdfast_replication_blocks_total", "direction=\"received\"", "replication", "blocks_received"},
	{"holdfast_replication_bytes_total", "direction=\"sent\"", "replication", "bytes_sent"},
	{"holdfast_replication_bytes_total", "direction=\"received\"", "replication", "bytes_received"},
	{"holdfast_replication_false_proofs_total", "", "replication", "false_proofs"},
	{"holdfast_replication_peers_failed_total", "", "replication", "peers_failed"},
	{"holdfast_audit_records_total", "", "audit", "records"},
	{"holdfast_audit_lost_total", "", "audit", "lost"},
	{"holdfast_admin_streams", "", "administration", "streams"},
	{"holdfast_admin_refused_total", NULL, "administration", "refused"},
};

/* The part of the snapshot, made when it is first needed: what is off has no metrics, and stays null. */
static json_t *part_of(json_t *snapshot, const char *name)
{
	if (!json_is_object(json_object_get(snapshot, name)))
		json_object_set_new(snapshot, name, json_object());
	return json_object_get(snapshot, name);
}

static void add_number(json_t *object, const char *name, int64_t value)
{
	json_int_t before = json_integer_value(json_object_get(object, name));
	json_object_set_new(object, name, json_integer(before + (json_int_t)value));
}

static void take_metric(void *snapshot, const char *name, const char *labels, int64_t value)
{
	for (size_t i = 0; i < sizeof metric_rows / sizeof *metric_rows; i++) {
		const struct metric_row *row = &metric_rows[i];
		if (strcmp(row->metric, name) == 0 && (!row->labels || strcmp(row->labels, labels) == 0))
			add_number(part_of(snapshot, row->part), row->name, value);
	}
}

/* ---- The process and the store ---- */

/* What the process made itself: not the pages of mapped files. */
static int64_t memory_bytes(void)
{
	char line[128];
	int64_t kib = 0, sum_kib = 0;
	FILE *status = fopen("/proc/self/status", "re");
	while (status && fgets(line, sizeof line, status))
		if (sscanf(line, "RssAnon: %" SCNd64, &kib) == 1 || sscanf(line, "RssShmem: %" SCNd64, &kib) == 1)
			sum_kib += kib;
	if (status)
		fclose(status);
	return sum_kib * 1024;
}

static void add_process(json_t *process)
{
	struct timespec used = {0};
	add_number(process, "memory_bytes", memory_bytes());
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	add_number(process, "cpu_ms", (int64_t)used.tv_sec * 1000 + used.tv_nsec / 1000000);
}

static json_t *store_facts(const struct hf_gateway *g)
{
	struct hf_store_stats s;
	hf_store_stats(g->store, &s);
	const char *status = s.write_status == HF_ENOSPC ? "full" : s.write_status < 0 ? "failing" : "ok";
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s}", "disk_bytes", (json_int_t)s.disk_bytes,
		"events", (json_int_t)s.doc_count, "log_bytes", (json_int_t)s.log_bytes, "log_live_bytes", (json_int_t)s.log_live_bytes,
		"index_bytes", (json_int_t)s.index_bytes,
		"commits", (json_int_t)s.commit_count, "syncs", (json_int_t)s.sync_count, "corrupt", (json_int_t)s.corrupt_count, "status", status);
}

/* ---- Relays ---- */

static json_t *bee_facts(const struct hf_relay *relay)
{
	struct hf_relay_bee_facts f;
	if (!hf_relay_bee(relay))
		return json_null();
	hf_relay_bee_facts(hf_relay_bee(relay), &f);
	return json_pack("{s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "key", hf_json_hex(f.key, 32), "version", (json_int_t)f.version,
		"fork", (json_int_t)f.fork, "events", (json_int_t)f.event_count, "bytes", (json_int_t)f.byte_length, "lag_events",
		(json_int_t)f.lag_events, "lag_ms", (json_int_t)f.lag_ms, "peers", (json_int_t)f.peer_count, "paused", f.is_paused);
}

static json_t *relay_facts(const struct hf_gateway *g, size_t index)
{
	const struct hf_relay *relay = g->relays[index];
	const struct hf_config_relay *settings = g->config->relays[index];
	const char *policy = settings->policy[0] ? settings->policy : settings->writers[0] ? "allow" : "open";
	char url[512];
	json_t *facts = hf_gateway_relay_json(relay);
	snprintf(url, sizeof url, "%s%s", g->listen_url, hf_relay_path(relay));
	json_t *names = json_pack("{s:s, s:s, s:o, s:s, s:s, s:s, s:o}", "name", hf_relay_instance(relay), "title", settings->name, "key",
		hf_json_hex(hf_relay_identity(relay), 32), "path", hf_relay_path(relay), "url", settings->public_url[0] ? settings->public_url : url,
		"policy", policy, "bee", bee_facts(relay));
	json_object_update(facts, names);
	json_decref(names);
	return facts;
}

/* Of all relays together. */
static void add_relay(json_t *snapshot, const struct hf_relay *relay)
{
	struct hf_relay_stats s;
	json_t *traffic = part_of(snapshot, "traffic"), *refusals = part_of(snapshot, "refusals");
	hf_relay_stats(relay, &s);
	add_number(traffic, "events_in", (int64_t)(s.stored_count + s.duplicate_count + s.ephemeral_count + s.refused_count));
	add_number(traffic, "events_stored", (int64_t)s.stored_count);
	add_number(traffic, "delivered", (int64_t)s.delivered_count);
	add_number(traffic, "queries", (int64_t)s.query_count);
	for (size_t i = 0; i < HF_RELAY_REFUSAL_COUNT; i++)
		add_number(refusals, hf_relay_refusal_name(i), (int64_t)s.refused[i]);
}

/* ---- The whole ---- */

static void add_swarm(const struct hf_gateway *g, json_t *snapshot)
{
	struct hf_dht_node_state state;
	if (!g->swarm)
		return;
	hf_dht_node_read_state(hf_swarm_node_dht(g->swarm), &state);
	json_t *swarm = part_of(snapshot, "swarm");
	json_object_set_new(swarm, "online", json_boolean(state.is_online));
	json_object_set_new(swarm, "bootstrapped", json_boolean(state.is_bootstrapped));
	json_object_set_new(swarm, "degraded", json_boolean(state.is_degraded));
}

static void add_registrations(const struct hf_gateway *g, json_t *snapshot)
{
	if (!g->registry)
		return;
	json_t *registrations = part_of(snapshot, "registrations");
	add_number(registrations, "count", (int64_t)hf_registry_count(g->registry));
	json_object_set_new(registrations, "shared", json_boolean(g->state && hf_state_is_shared(g->state)));
	json_object_set_new(registrations, "connected", json_boolean(g->state && hf_state_is_connected(g->state)));
}

json_t *hf_gateway_snapshot(struct hf_gateway *g)
{
	json_t *relays = json_array();
	json_t *snapshot = json_pack("{s:I, s:s, s:I, s:b, s:o, s:o, s:o, s:o, s:o, s:n, s:n, s:n, s:n}",
		"at", (json_int_t)hf_env_wall_ms(&g->env), "version", HF_VERSION,
		"up_ms", (json_int_t)((hf_env_monotonic_us(&g->env) - g->started_us) / 1000), "draining", g->is_draining,
		"health", hf_gateway_health_json(g), "store", store_facts(g), "relays", relays, "workers", hf_gateway_workers_json(g),
		"dispatcher", hf_gateway_dispatcher_json(g), "registrations", "tokens", "swarm", "replication");
	if (!snapshot)
		return NULL;
	hf_metrics_each(g->metrics, take_metric, snapshot);
	add_process(part_of(snapshot, "process"));
	for (size_t i = 0; i < g->relay_count; i++) {
		json_array_append_new(relays, relay_facts(g, i));
		add_relay(snapshot, g->relays[i]);
	}
	add_registrations(g, snapshot);
	add_swarm(g, snapshot);
	add_number(part_of(snapshot, "administration"), "refused", 0); /* also before there is a guard */
	return snapshot;
}

void hf_gateway_handle_snapshot(void *context, struct hf_http_exchange *exchange)
{
	hf_gateway_respond_json(exchange, hf_gateway_snapshot(context));
}
