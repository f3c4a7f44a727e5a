/* query: stored events out. Every connection keeps one REQ open; at its EOSE the CLOSE and the next REQ leave in one
 * write. The queries are made before the clock starts, from the same random numbers for every server, so the counts of
 * events returned must agree. */
#include "run.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONN_COUNT 8u
#define DISTINCT_QUERY_COUNT 4096u
#define IDS_PER_QUERY 20u
#define BYID_FACTOR 3u

struct query_set {
	struct hf_bench_run *run;
	char **requests; /* DISTINCT_QUERY_COUNT */
	size_t count;
	size_t sent;
	size_t done;
	size_t event_count;
	size_t refused_count;
	double *latencies_us;
};

struct text {
	char data[2048];
	size_t bytes;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *text, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	int count = vsnprintf(text->data + text->bytes, sizeof(text->data) - text->bytes, format, arguments);
	va_end(arguments);
	text->bytes += count > 0 ? (size_t)count : 0;
}

static uint32_t random_next(uint64_t *state)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(*state >> 33);
}

/* A random stored event that every relay still has. */
static struct hf_bench_event pick(struct hf_bench_run *run, uint64_t *random)
{
	for (;;) {
		struct hf_bench_event event = hf_bench_event_at(run->events, random_next(random) % run->event_count);
		if (hf_bench_event_is_regular(&event))
			return event;
	}
}

static const char *pick_tag(struct hf_bench_run *run, uint64_t *random, char letter)
{
	for (;;) {
		struct hf_bench_event event = pick(run, random);
		const char *value = hf_bench_event_tag(&event, letter);
		if (value)
			return value;
	}
}

static void write_mixed(struct hf_bench_run *run, size_t number, uint64_t *random, struct text *text)
{
	struct hf_bench_event event = pick(run, random);
	switch (number % 5) {
	case 0:
		add(text, "{\"authors\":[\"%.64s\"],\"kinds\":[%u],\"limit\":20}", event.pubkey, event.kind);
		break;
	case 1:
		add(text, "{\"#p\":[\"%.64s\"],\"limit\":50}", pick_tag(run, random, 'p'));
		break;
	case 2:
		add(text, "{\"#e\":[\"%.64s\"]}", pick_tag(run, random, 'e'));
		break;
	case 3:
		add(text, "{\"kinds\":[1,6],\"since\":%" PRId64 ",\"until\":%" PRId64 ",\"limit\":100}",
			event.created_at - 86400, event.created_at);
		break;
	default:
		add(text, "{\"ids\":[");
		for (size_t i = 0; i < IDS_PER_QUERY; i++)
			add(text, "%s\"%.64s\"", i ? "," : "", pick(run, random).id);
		add(text, "]}");
	}
}

static bool make_queries(struct query_set *set, bool mixed)
{
	uint64_t random = 7;
	set->requests = calloc(DISTINCT_QUERY_COUNT, sizeof(*set->requests));
	set->latencies_us = calloc(set->count, sizeof(*set->latencies_us));
	if (!set->requests || !set->latencies_us)
		return false;
	for (size_t i = 0; i < DISTINCT_QUERY_COUNT; i++) {
		struct text text = {.bytes = 0};
		add(&text, "[\"REQ\",\"q\",");
		if (mixed)
			write_mixed(set->run, i, &random, &text);
		else
			add(&text, "{\"ids\":[\"%.64s\"]}", pick(set->run, &random).id);
		add(&text, "]");
		set->requests[i] = strdup(text.data);
		if (!set->requests[i])
			return false;
	}
	return true;
}

static void free_queries(struct query_set *set)
{
	for (size_t i = 0; set->requests && i < DISTINCT_QUERY_COUNT; i++)
		free(set->requests[i]);
	free(set->requests);
	free(set->latencies_us);
}

static void ask(struct hf_bench_conn *conn)
{
	struct query_set *set = conn->hub->context;
	if (set->sent == set->count)
		return;
	hf_bench_conn_string(conn, set->requests[set->sent++ % DISTINCT_QUERY_COUNT]);
	conn->sent_at_us = hf_bench_now_us();
	hf_bench_conn_flush(conn);
}

static void take_answer(struct hf_bench_conn *conn, const struct hf_bench_message *message)
{
	struct query_set *set = conn->hub->context;
	if (message->kind == HF_BENCH_EVENT) {
		set->event_count++;
		return;
	}
	if (message->kind != HF_BENCH_EOSE && message->kind != HF_BENCH_CLOSED)
		return;
	if (message->kind == HF_BENCH_CLOSED && set->refused_count++ == 0)
		fprintf(stderr, "relay: query refused: %.*s\n", (int)message->head_bytes, message->head);
	set->latencies_us[set->done++] = (double)(hf_bench_now_us() - conn->sent_at_us);
	if (message->kind == HF_BENCH_EOSE)
		hf_bench_conn_string(conn, "[\"CLOSE\",\"q\"]");
	ask(conn);
}

static bool ask_all(struct query_set *set, double *elapsed_us, double *cpu_us)
{
	struct hf_bench_run *run = set->run;
	struct hf_bench_conn *conns[CONN_COUNT];
	struct hf_bench_sample before, after;
	if (!hf_bench_hub_open(&run->hub))
		return false;
	run->hub.context = set;
	run->hub.on_message = take_answer;
	bool done = hf_bench_conns_open(&run->hub, conns, CONN_COUNT, run->server.port, false);
	if (done) {
		hf_bench_server_sample(&run->server, false, &before);
		for (size_t i = 0; i < CONN_COUNT; i++)
			ask(conns[i]);
		done = hf_bench_await(run, &set->done, set->count);
		hf_bench_server_sample(&run->server, false, &after);
		*elapsed_us = (double)(after.at_us - before.at_us);
		*cpu_us = after.cpu_us - before.cpu_us;
		hf_bench_conns_close(conns, CONN_COUNT);
	}
	hf_bench_hub_close(&run->hub);
	return done;
}

static bool measure(struct hf_bench_run *run, bool mixed, struct query_set *set, double *rate, double *cpu_us)
{
	double elapsed_us, total_cpu_us;
	*set = (struct query_set){.run = run, .count = mixed ? run->query_count : run->query_count * BYID_FACTOR};
	if (!hf_bench_run_loaded(run, run->event_count) || !make_queries(set, mixed) ||
		!ask_all(set, &elapsed_us, &total_cpu_us))
		return false;
	*rate = (double)set->count * 1e6 / elapsed_us;
	*cpu_us = total_cpu_us / (double)set->count;
	return true;
}

bool hf_bench_row_queries(struct hf_bench_run *run)
{
	struct query_set set;
	double rate, cpu_us;
	bool measured = measure(run, true, &set, &rate, &cpu_us);
	if (measured) {
		run->values[HF_QUERIES_RATE] = rate;
		run->values[HF_QUERIES_CPU] = cpu_us;
		run->values[HF_QUERIES_P50] = hf_bench_percentile(set.latencies_us, set.done, 0.5) / 1e3;
		run->values[HF_QUERIES_EVENTS] = (double)set.event_count / (double)set.done;
	}
	free_queries(&set);
	return measured;
}

bool hf_bench_row_byid(struct hf_bench_run *run)
{
	struct query_set set;
	double rate, cpu_us;
	bool measured = measure(run, false, &set, &rate, &cpu_us);
	if (measured) {
		run->values[HF_BYID_RATE] = rate;
		run->values[HF_BYID_CPU] = cpu_us;
		run->values[HF_BYID_P50] = hf_bench_percentile(set.latencies_us, set.done, 0.5) / 1e3;
		if (set.event_count != set.done)
			fprintf(stderr, "relay: %zu ids asked for, %zu events returned\n", set.done, set.event_count);
	}
	free_queries(&set);
	return measured;
}
