/* vitals: what an operator must be told of that no part counts by itself: health by reason, room on the disk, bounds that other metrics
 * run up to, the certificate's end, steps of the clock, relays that nobody serves. Read when metrics are asked for; the clock also once a
 * minute, so that a step is noticed when nobody asks. */
#include <stdlib.h>
#include <sys/statvfs.h>

#include "base/log.h"
#include "base/metric_table.h"
#include "service/gateway/internal.h"
#include "service/gateway/registry.h"

static struct hf_log_module log_module = HF_LOG_MODULE("gateway");

#define CLOCK_STEP_MS_MIN 1000 /* a clock that is steered gains less within a minute */

/* The names that health gives, and "other" for those that are not here. */
static const char *const reason_names[] = {
	"draining", "store-full", "store-failing", "store-corrupt", "bee-behind", "bee-paused",
	"swarm-joining", "swarm-offline", "swarm-degraded", "registrations-offline", "other"};
#define REASON_COUNT (sizeof reason_names / sizeof *reason_names)

struct snapshot {
	bool is_running, is_ready, reasons[REASON_COUNT], has_reload_failed;
	uint64_t started_s, certificate_end_s, clock_steps, reload_failures;
	uint64_t store_bytes, quota_bytes, disk_bytes, disk_free_bytes;
	uint64_t connections_max, ingest_max, waiting_max;
	uint64_t relays_served, relays_unserved;
};

#define GAUGE(name, labels, help, field) HF_METRIC_GAUGE("holdfast_" name, labels, help, struct snapshot, field)
#define COUNTER(name, help, field) HF_METRIC_COUNTER("holdfast_" name, "", help, struct snapshot, field)
#define REASON(index, name) GAUGE("health_reason", "reason=\"" name "\"", "1 for each reason why not all is well", reasons[index])

static const struct hf_metric_row rows[] = {
	GAUGE("build_info", "version=\"" HF_VERSION "\"", "1, with the version", is_running),
	GAUGE("start_time_seconds", "", "Unix time of the start", started_s),
	GAUGE("ready", "", "1 while clients may be sent here", is_ready),
	REASON(0, "draining"),
	REASON(1, "store-full"),
	REASON(2, "store-failing"),
	REASON(3, "store-corrupt"),
	REASON(4, "bee-behind"),
	REASON(5, "bee-paused"),
	REASON(6, "swarm-joining"),
	REASON(7, "swarm-offline"),
	REASON(8, "swarm-degraded"),
	REASON(9, "registrations-offline"),
	REASON(10, "other"),
	COUNTER("clock_steps_total", "Times that the clock went another way than time did, by a second and more", clock_steps),
	COUNTER("reload_failures_total", "Reloads of the configuration that were refused, in whole or in part", reload_failures),
	GAUGE("reload_failed", "", "1 while the last reload of the configuration was refused", has_reload_failed),
	GAUGE("store_disk_bytes", "", "Bytes that the store takes, which store.quota bounds", store_bytes),
	GAUGE("store_quota_bytes", "", "store.quota; 0: none", quota_bytes),
	GAUGE("disk_bytes", "", "Size of the file system with the data directory", disk_bytes),
	GAUGE("disk_free_bytes", "", "What of it is free for the gateway", disk_free_bytes),
	GAUGE("connections_max", "", "gateway.connections_max", connections_max),
	GAUGE("ingest_queue_max", "", "gateway.ingest_queue_max, the bound of each holdfast_relay_in_flight", ingest_max),
};

static const struct hf_metric_row tls_rows[] = {
	GAUGE("tls_certificate_end_seconds", "", "Unix time at which the certificate expires", certificate_end_s),
};

static const struct hf_metric_row member_rows[] = {
	GAUGE("dispatcher_waiting_max", "", "dispatcher.waiting_max, the bound of the jobs that wait", waiting_max),
	GAUGE("registered_relays", "workers=\"some\"", "Registered relays, by whether a worker of theirs is here and healthy", relays_served),
	GAUGE("registered_relays", "workers=\"none\"", "Registered relays, by whether a worker of theirs is here and healthy", relays_unserved),
};

/* ---- The clock ---- */

void hf_gateway_watch_clock(struct hf_gateway *g)
{
	struct hf_vitals *v = &g->vitals;
	int64_t ahead_ms = (int64_t)hf_env_wall_ms(&g->env) - (int64_t)hf_env_monotonic_ms(&g->env);
	int64_t step_ms = ahead_ms - v->clock_ahead_ms;
	v->clock_ahead_ms = ahead_ms;
	if (llabs(step_ms) < CLOCK_STEP_MS_MIN)
		return;
	v->clock_steps++;
	hf_log_warn(&log_module, "the clock was set, or the machine slept", "step_ms=%lld", (long long)step_ms);
}

/* ---- Reading ---- */

static size_t reason_at(const char *name)
{
	size_t i = 0;
	while (i < REASON_COUNT - 1 && strcmp(reason_names[i], name) != 0)
		i++;
	return i;
}

static void read_health(const struct hf_gateway *g, struct snapshot *s)
{
	struct hf_health health;
	hf_gateway_health(g, &health);
	s->is_ready = health.is_ready;
	for (size_t i = 0; i < health.count; i++)
		s->reasons[reason_at(health.reasons[i].name)] = true;
}

static void read_disk(const struct hf_gateway *g, struct snapshot *s)
{
	struct hf_store_stats stats;
	struct statvfs disk;
	hf_store_stats(g->store, &stats);
	s->store_bytes = stats.disk_bytes;
	s->quota_bytes = g->config->quota_bytes;
	if (statvfs(g->directory.path, &disk) < 0)
		return;
	s->disk_bytes = (uint64_t)disk.f_blocks * disk.f_frsize;
	s->disk_free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
}

static void read_members(const struct hf_gateway *g, struct snapshot *s)
{
	s->waiting_max = g->config->dispatcher_waiting_max;
	if (!g->registry)
		return;
	s->relays_served = hf_registry_served_count(g->registry);
	s->relays_unserved = hf_registry_count(g->registry) - s->relays_served;
}

static void read_vitals(void *context, void *snapshot)
{
	struct hf_gateway *g = context;
	struct snapshot *s = snapshot;
	hf_gateway_watch_clock(g);
	*s = (struct snapshot){.is_running = true, .started_s = g->vitals.started_ms / 1000, .clock_steps = g->vitals.clock_steps,
		.reload_failures = g->vitals.reload_failures, .has_reload_failed = g->vitals.has_reload_failed,
		.connections_max = g->config->connections_max, .ingest_max = g->config->ingest_queue_max,
		.certificate_end_s = g->tls ? hf_tls_certificate_end_s(g->tls) : 0};
	read_health(g, s);
	read_disk(g, s);
	read_members(g, s);
}

void hf_gateway_note_reload(struct hf_gateway *g, int status)
{
	g->vitals.has_reload_failed = status < 0;
	g->vitals.reload_failures += status < 0;
}

int hf_gateway_open_vitals(struct hf_gateway *g)
{
	struct hf_vitals *v = &g->vitals;
	v->started_ms = hf_env_wall_ms(&g->env);
	v->clock_ahead_ms = (int64_t)v->started_ms - (int64_t)hf_env_monotonic_ms(&g->env);
	int r = hf_metric_table_new(&v->table, g->metrics, sizeof(struct snapshot), read_vitals, g);
	if (r == HF_OK)
		r = hf_metric_table_add(v->table, rows, sizeof rows / sizeof *rows);
	if (r == HF_OK && g->tls)
		r = hf_metric_table_add(v->table, tls_rows, sizeof tls_rows / sizeof *tls_rows);
	if (r == HF_OK && g->front)
		r = hf_metric_table_add(v->table, member_rows, sizeof member_rows / sizeof *member_rows);
	return r;
}

void hf_gateway_close_vitals(struct hf_gateway *g)
{
	hf_metric_table_free(g->vitals.table);
	g->vitals.table = NULL;
}
