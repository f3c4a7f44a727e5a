/* ingest: what it costs to put documents and blocks in. CPU is of all threads, the making of the documents included. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SMALL_GROUP 32 /* below it a run of full size would only measure syncs, for minutes */
#define SMALL_GROUP_EVENTS 20000

static void run(struct hf_bench *bench, const char *name, unsigned group, uint64_t count, uint64_t log_count)
{
	struct hf_batch *batch = hf_batch_new(log_count);
	double *times = malloc((count / group + 1) * sizeof *times);
	size_t groups = 0;

	if (times == NULL)
		abort();
	hf_measure_remove(bench->directory);
	hf_bench_open(bench);
	sync();
	double device = hf_measure_device_bytes(bench->directory), wall = hf_measure_wall_us(), cpu = hf_measure_cpu_us();

	for (uint64_t n = 0; n < count;) {
		double start = hf_measure_wall_us();

		for (; batch->count < group && n < count; n++)
			log_count > 0 ? hf_batch_append(batch, n) : hf_batch_put(batch, n);
		hf_batch_run(batch, bench->store);
		times[groups++] = hf_measure_wall_us() - start;
	}
	wall = hf_measure_wall_us() - wall;
	cpu = hf_measure_cpu_us() - cpu;
	struct hf_measure_memory memory = hf_measure_memory();
	double events = (double)count;

	hf_bench_close(bench);
	sync();
	device = hf_measure_device_bytes(bench->directory) - device;
	printf("%-10s %8.0f %6u %10.0f %8.2f %10.0f %8.0f %8.2f %8.2f %8.2f %8.1f %8.1f\n", name, events, group,
		events / wall * 1e6, cpu / events, device / events, hf_measure_disk_bytes(bench->directory) / events,
		hf_measure_percentile(times, groups, 0.5) / 1000, hf_measure_percentile(times, groups, 0.99) / 1000,
		hf_measure_percentile(times, groups, 0.999) / 1000, memory.made_mb, memory.resident_mb);
	fflush(stdout);
	free(times);
	hf_batch_free(batch);
}

static void head(const char *title)
{
	printf("\n%s\n%-10s %8s %6s %10s %8s %10s %8s %8s %8s %8s %8s %8s\n", title, "what", "count", "group", "/s", "CPU us", "written B",
		"disk B", "p50 ms", "p99 ms", "p99.9", "made MB", "RSS MB");
}

void hf_bench_ingest(struct hf_bench *bench, const char *groups)
{
	head("ingest; latency is of a whole group, from its making to the last answer");
	for (const char *at = groups; at != NULL && *at != '\0'; at = strchr(at, ',') != NULL ? strchr(at, ',') + 1 : NULL) {
		unsigned group = (unsigned)strtoul(at, NULL, 10);
		bool few = group < SMALL_GROUP && bench->events > SMALL_GROUP_EVENTS;

		if (group >= 1 && group <= BATCH_MAX)
			run(bench, "documents", group, few ? SMALL_GROUP_EVENTS : bench->events, 0);
	}
}
