/* metrics: what a relay counts, under holdfast_relay_…, labelled with its instance. */
#include "service/relay/internal.h"

#include <stdio.h>
#include <stdlib.h>

#define LABEL_BYTES 96
#define LABEL_COUNT_MAX 64

/* Hands out label texts, which metrics borrow. */
struct labels {
	char *memory;
	size_t used;
	const char *instance;
};

static const char *label(struct labels *l, const char *name, const char *value)
{
	char *text = l->memory + l->used++ * LABEL_BYTES;
	if (name)
		snprintf(text, LABEL_BYTES, "relay=\"%s\",%s=\"%s\"", l->instance, name, value);
	else
		snprintf(text, LABEL_BYTES, "relay=\"%s\"", l->instance);
	return text;
}

const char *hf_relay_refusal_name(size_t index)
{
	static const char *const names[HF_RELAY_REFUSAL_COUNT] = {
		"invalid", "blocked", "duplicate", "restricted", "auth-required", "rate-limited", "unsupported", "error"};
	return names[index];
}

static void register_ingest(struct hf_relay_metrics *m, struct labels *l)
{
	static const char *const types[] = {"EVENT", "REQ", "COUNT", "CLOSE", "AUTH"};
	static const char *const stages[] = {"decode", "verify", "commit", "total"};
	static const char messages[] = "holdfast_relay_messages_total", messages_help[] = "Messages from clients";
	static const char events[] = "holdfast_relay_events_total", events_help[] = "Events that were accepted, by what became of them";
	struct hf_metrics *r = m->registry;
	for (size_t i = 0; i < 5; i++)
		hf_counter_register(r, &m->messages[i], messages, label(l, "type", types[i]), messages_help);
	hf_counter_register(r, &m->binary, messages, label(l, "type", "binary"), messages_help);
	hf_counter_register(r, &m->stored, events, label(l, "result", "stored"), events_help);
	hf_counter_register(r, &m->duplicates, events, label(l, "result", "duplicate"), events_help);
	hf_counter_register(r, &m->ephemeral, events, label(l, "result", "ephemeral"), events_help);
	for (size_t i = 0; i < HF_REFUSED_COUNT; i++)
		hf_counter_register(r, &m->refused[i], "holdfast_relay_refused_total", label(l, "reason", hf_relay_refusal_name(i)),
			"Refusals of events, requests and messages, by their prefix");
	for (size_t i = 0; i < HF_STAGE_COUNT; i++)
		hf_histogram_register(r, &m->stages[i], "holdfast_relay_ingest_seconds", label(l, "stage", stages[i]),
			"Time an event spent in each stage on its way to its OK");
	hf_gauge_register(r, &m->in_flight, "holdfast_relay_in_flight", label(l, NULL, NULL), "Events on their way to the disk");
	hf_gauge_register(r, &m->in_flight_bytes, "holdfast_relay_in_flight_bytes", label(l, NULL, NULL),
		"Memory of events on their way to the disk");
	hf_gauge_register(r, &m->stalled, "holdfast_relay_stalled_connections", label(l, NULL, NULL),
		"Publishers that are not read from because the ingest queue is full");
	hf_counter_register(r, &m->swept, "holdfast_relay_expired_total", label(l, NULL, NULL), "Events deleted after their expiration");
}

static void register_reading(struct hf_relay_metrics *m, struct labels *l)
{
	static const char *const delegated_ends[HF_DELEGATED_COUNT] = {"true", "unusable", "false", "failed"};
	struct hf_metrics *r = m->registry;
	for (size_t i = 0; i < HF_PLAN_COUNT; i++)
		hf_counter_register(r, &m->plans[i], "holdfast_relay_queries_total", label(l, "plan", hf_plan_name((enum hf_plan)i)),
			"REQ and COUNT, by the plan of their first filter");
	hf_counter_register(r, &m->on_loop, "holdfast_relay_queries_run_total", label(l, "where", "loop"), "Queries by where they ran");
	hf_counter_register(r, &m->on_worker, "holdfast_relay_queries_run_total", label(l, "where", "worker"), "Queries by where they ran");
	for (size_t i = 0; i < HF_DELEGATED_COUNT; i++)
		hf_counter_register(r, &m->delegated[i], "holdfast_relay_queries_delegated_total", label(l, "end", delegated_ends[i]),
			"Queries that others were asked, by what became of their answer; all but true ones were run here in the end");
	hf_counter_register(r, &m->query_events, "holdfast_relay_query_events_total", label(l, NULL, NULL), "Stored events given or counted");
	hf_histogram_register(r, &m->query_time, "holdfast_relay_query_seconds", label(l, NULL, NULL),
		"Time from a request to its EOSE or COUNT, the reader's slowness included");
	hf_gauge_register(r, &m->turns, "holdfast_relay_queries_waiting", label(l, NULL, NULL), "Queries that wait for their turn on a worker");
	hf_counter_register(r, &m->delivered, "holdfast_relay_deliveries_total", label(l, NULL, NULL),
		"Live events sent or held, by subscription");
	hf_counter_register(r, &m->held, "holdfast_relay_held_total", label(l, NULL, NULL), "Live events that waited for an EOSE");
	hf_counter_register(r, &m->held_overflows, "holdfast_relay_held_overflows_total", label(l, NULL, NULL),
		"Subscriptions closed because too many live events came before their EOSE");
	hf_gauge_register(r, &m->connections, "holdfast_relay_connections", label(l, NULL, NULL), "WebSocket connections");
	hf_gauge_register(r, &m->subscriptions, "holdfast_relay_subscriptions", label(l, NULL, NULL), "Live subscriptions");
	hf_gauge_register(r, &m->entries, "holdfast_relay_subscription_entries", label(l, NULL, NULL), "Entries in the index of subscriptions");
}

static int64_t read_in_flight(void *context)
{
	return ((struct hf_relay *)context)->in_flight_count;
}

static int64_t read_in_flight_bytes(void *context)
{
	return (int64_t)((struct hf_relay *)context)->in_flight_bytes;
}

static int64_t read_entries(void *context)
{
	return (int64_t)hf_subscriptions_entry_count(((struct hf_relay *)context)->subscriptions);
}

int hf_relay_metrics_register(struct hf_relay *relay, struct hf_metrics *registry)
{
	struct hf_relay_metrics *m = &relay->metrics;
	struct labels labels = {.memory = calloc(LABEL_COUNT_MAX, LABEL_BYTES), .instance = relay->instance};
	if (!labels.memory)
		return HF_ENOMEM;
	m->registry = registry;
	m->labels = labels.memory;
	m->in_flight.read = read_in_flight;
	m->in_flight_bytes.read = read_in_flight_bytes;
	m->entries.read = read_entries;
	m->in_flight.context = m->in_flight_bytes.context = m->entries.context = relay;
	register_ingest(m, &labels);
	register_reading(m, &labels);
	return HF_OK;
}

static void drop(struct hf_relay_metrics *m, struct hf_metric_link *link)
{
	hf_metric_unregister(m->registry, link);
}

void hf_relay_metrics_unregister(struct hf_relay_metrics *m)
{
	struct hf_counter *counters[] = {&m->binary, &m->stored, &m->duplicates, &m->ephemeral, &m->on_loop, &m->on_worker, &m->query_events,
		&m->delivered, &m->held, &m->held_overflows, &m->swept};
	struct hf_gauge *gauges[] = {&m->connections, &m->subscriptions, &m->entries, &m->in_flight, &m->in_flight_bytes, &m->stalled, &m->turns};
	if (!m->registry)
		return;
	for (size_t i = 0; i < sizeof counters / sizeof *counters; i++)
		drop(m, &counters[i]->link);
	for (size_t i = 0; i < sizeof gauges / sizeof *gauges; i++)
		drop(m, &gauges[i]->link);
	for (size_t i = 0; i < 5; i++)
		drop(m, &m->messages[i].link);
	for (size_t i = 0; i < HF_REFUSED_COUNT; i++)
		drop(m, &m->refused[i].link);
	for (size_t i = 0; i < HF_STAGE_COUNT; i++)
		drop(m, &m->stages[i].link);
	for (size_t i = 0; i < HF_DELEGATED_COUNT; i++)
		drop(m, &m->delegated[i].link);
	for (size_t i = 0; i < HF_PLAN_COUNT; i++)
		drop(m, &m->plans[i].link);
	drop(m, &m->query_time.link);
}
