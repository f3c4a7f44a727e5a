/* ingest: events in. CPU and bytes written are taken once the server has come to rest, so that what it puts off
 * (sealing, merging, write-back) counts too. */
#include "run.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define SETTLE_US (20ll * 1000000)
#define SINGLE_EVENT_COUNT 1000u
#define DUPLICATE_COUNT_MAX 100000u

struct cost {
	struct hf_bench_publish publish;
	double rate;
	double cpu_us;
	double written_bytes;
	double dirtied_bytes;
	double memory_bytes;
};

/* Publishes and tells the cost per event. */
static bool measure(struct hf_bench_run *run, struct cost *cost)
{
	struct hf_bench_sample before, after;
	hf_bench_server_sample(&run->server, true, &before);
	if (!hf_bench_publish(run, &cost->publish))
		return false;
	hf_bench_server_settle(&run->server, SETTLE_US);
	hf_bench_server_sample(&run->server, true, &after);
	double count = (double)cost->publish.count;
	cost->rate = count * 1e6 / (double)cost->publish.elapsed_us;
	cost->cpu_us = (after.cpu_us - before.cpu_us) / count;
	cost->written_bytes = (after.device_written_bytes - before.device_written_bytes) / count;
	cost->dirtied_bytes = (after.process_written_bytes - before.process_written_bytes) / count;
	cost->memory_bytes = after.memory_bytes;
	if (cost->publish.refused_count)
		fprintf(stderr, "relay: %zu of %zu refused\n", cost->publish.refused_count, cost->publish.count);
	return true;
}

bool hf_bench_row_ingest(struct hf_bench_run *run)
{
	struct cost cost = {.publish = {.conn_count = 8, .window = 64, .count = run->event_count}};
	if (!hf_bench_run_fresh(run) || !measure(run, &cost))
		return false;
	run->loaded_count = run->event_count;
	run->values[HF_INGEST_RATE] = cost.rate;
	run->values[HF_INGEST_CPU] = cost.cpu_us;
	run->values[HF_INGEST_WRITTEN] = cost.written_bytes;
	run->values[HF_INGEST_DIRTIED] = cost.dirtied_bytes;
	run->values[HF_INGEST_MEMORY] = cost.memory_bytes / 1e6;
	run->values[HF_INGEST_DISK] = hf_bench_server_disk_bytes(&run->server) / (double)run->event_count;
	return true;
}

bool hf_bench_row_wide(struct hf_bench_run *run)
{
	struct cost cost = {.publish = {.conn_count = 16, .window = 256, .count = run->event_count}};
	if (!hf_bench_run_fresh(run) || !measure(run, &cost))
		return false;
	run->loaded_count = run->event_count;
	run->values[HF_WIDE_RATE] = cost.rate;
	run->values[HF_WIDE_CPU] = cost.cpu_us;
	return true;
}

/* Into a database that is nearly as large as the row's size already: only its last tenth is timed. */
bool hf_bench_row_large(struct hf_bench_run *run)
{
	size_t first = run->large_count - run->large_count / 10;
	struct cost cost = {
		.publish = {.conn_count = 8, .window = 64, .first = first, .count = run->large_count - first}};
	if (!hf_bench_run_loaded(run, first) || !measure(run, &cost))
		return false;
	run->loaded_count = run->large_count;
	run->values[HF_LARGE_RATE] = cost.rate;
	run->values[HF_LARGE_CPU] = cost.cpu_us;
	run->values[HF_LARGE_WRITTEN] = cost.written_bytes;
	hf_bench_server_stop(&run->server, SIGTERM);
	run->values[HF_LARGE_DISK] = hf_bench_server_disk_bytes(&run->server) / (double)run->large_count;
	int64_t ready_us;
	if (!hf_bench_server_start(&run->server, &ready_us))
		return false;
	run->values[HF_LARGE_START] = (double)ready_us / 1e3;
	return true;
}

bool hf_bench_row_duplicates(struct hf_bench_run *run)
{
	size_t *indices = malloc(run->event_count * sizeof(*indices));
	size_t count = 0;
	if (!indices || !hf_bench_run_loaded(run, run->event_count)) {
		free(indices);
		return false;
	}
	/* Replaced events are gone, so sending them again is no duplicate. */
	for (size_t i = 0; i < run->event_count && count < DUPLICATE_COUNT_MAX; i++) {
		struct hf_bench_event event = hf_bench_event_at(run->events, i);
		if (hf_bench_event_is_regular(&event))
			indices[count++] = i;
	}
	struct cost cost = {.publish = {.conn_count = 8, .window = 64, .count = count, .indices = indices}};
	bool measured = measure(run, &cost);
	if (measured) {
		run->values[HF_DUPLICATES_RATE] = cost.rate;
		run->values[HF_DUPLICATES_CPU] = cost.cpu_us;
	}
	free(indices);
	return measured;
}

bool hf_bench_row_single(struct hf_bench_run *run)
{
	size_t indices[SINGLE_EVENT_COUNT];
	double latencies_us[SINGLE_EVENT_COUNT];
	struct hf_bench_publish publish = {.conn_count = 1,
		.window = 1,
		.count = SINGLE_EVENT_COUNT,
		.indices = indices,
		.latencies_us = latencies_us};
	if (!hf_bench_run_loaded(run, run->event_count) || !hf_bench_run_reserve(run, indices, SINGLE_EVENT_COUNT) ||
		!hf_bench_publish(run, &publish))
		return false;
	run->values[HF_SINGLE_P50] = hf_bench_percentile(latencies_us, SINGLE_EVENT_COUNT, 0.5) / 1e3;
	run->values[HF_SINGLE_P99] = hf_bench_percentile(latencies_us, SINGLE_EVENT_COUNT, 0.99) / 1e3;
	return true;
}
