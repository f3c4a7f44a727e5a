/* collect: two fifths of the documents are deleted at random while a writer goes on at a steady rate and a reader judges
 * what it reads; the store then collects its log by itself, as it always does when less than 70 % of a log segment is
 * live. The writer's latencies show what that costs the others. At the end everything is compacted and every document
 * is judged. */
#include "bench.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"

#define QUIET_US 3e6
#define IDLE_US 10e6 /* no segment collected for that long, a multiple of what one takes: the store is done */
#define DELETE_GROUP 256
#define STEADY_GROUP 32
#define STEADY_US 2000.0
#define SAMPLE_COUNT_MAX (1u << 18)

enum phase { PHASE_QUIET, PHASE_DELETING, PHASE_COLLECTING, PHASE_COMPACTING, PHASE_COUNT };

struct watch {
	struct hf_bench *bench;
	_Atomic int phase;
	_Atomic bool stop;
	uint64_t written; /* the writer's, beyond bench->events */
	double *times[PHASE_COUNT];
	size_t count[PHASE_COUNT];
	uint64_t judged, wrong;
	/* Told by the store's log lines. */
	_Atomic uint64_t rounds, before_bytes, after_bytes;
	_Atomic uint64_t last_us;
};

static bool is_victim(uint64_t number)
{
	return hf_documents_mix(number, 40) % 5 < 2;
}

static uint64_t number_after(const char *line, const char *key)
{
	const char *at = strstr(line, key);

	return at != NULL ? strtoull(at + strlen(key), NULL, 10) : 0;
}

static void on_log_line(void *context, const char *line, unsigned length)
{
	struct watch *watch = context;
	char text[512];

	snprintf(text, sizeof text, "%.*s", (int)length, line);
	if (strstr(text, "log segment collected") == NULL) {
		if (strstr(text, " info ") == NULL && strstr(text, " INFO ") == NULL)
			fputs(text, stderr);
		return;
	}
	watch->rounds++;
	watch->before_bytes += number_after(text, "before_bytes=");
	watch->after_bytes += number_after(text, "after_bytes=");
	watch->last_us = (uint64_t)hf_measure_wall_us();
}

static void *write_steadily(void *argument)
{
	struct watch *watch = argument;
	struct hf_batch *batch = hf_batch_new(0);
	double due = hf_measure_wall_us();

	while (!atomic_load(&watch->stop)) {
		int phase = atomic_load(&watch->phase);
		double start = hf_measure_wall_us();

		for (unsigned i = 0; i < STEADY_GROUP; i++)
			hf_batch_put(batch, watch->bench->events + watch->written++);
		hf_batch_run(batch, watch->bench->store);
		if (watch->count[phase] < SAMPLE_COUNT_MAX)
			watch->times[phase][watch->count[phase]++] = hf_measure_wall_us() - start;
		due = due + STEADY_US > start ? due + STEADY_US : start;
		hf_measure_sleep_until(due);
	}
	hf_batch_free(batch);
	return NULL;
}

/* A victim may be there or not while it is being deleted; never after, and the others always. */
static void *judge(void *argument)
{
	struct watch *watch = argument;
	struct hf_buffer scratch = {0};
	uint8_t id[HF_STORE_ID_BYTES];
	struct hf_doc doc;

	for (uint64_t i = 0; !atomic_load(&watch->stop); i++) {
		uint64_t number = hf_documents_mix(i, 41) % watch->bench->events;
		int before = atomic_load(&watch->phase);
		struct hf_snapshot *snapshot = hf_store_snapshot(watch->bench->store);

		hf_documents_id(number, id);
		int status = hf_snapshot_get(snapshot, 0, id, HF_READ_BLOCKING, &scratch, &doc);
		bool there = status == HF_OK && hf_documents_number(doc.payload) == number, gone = status == HF_ENOTFOUND;
		bool may_be_gone = is_victim(number) && atomic_load(&watch->phase) >= PHASE_DELETING;
		bool must_be_gone = is_victim(number) && before > PHASE_DELETING;

		hf_snapshot_release(snapshot);
		watch->judged++;
		watch->wrong += !((there && !must_be_gone) || (gone && may_be_gone));
		if (i % 64 == 0)
			usleep(500); /* leave the others some of the machine */
	}
	hf_buffer_free(&scratch);
	return NULL;
}

static uint64_t delete_victims(struct hf_bench *bench)
{
	struct hf_batch *batch = hf_batch_new(0);
	uint64_t deleted = 0;

	for (uint64_t n = 0; n < bench->events; n++) {
		if (!is_victim(n))
			continue;
		hf_batch_delete(batch, n);
		deleted++;
		if (batch->count == DELETE_GROUP)
			hf_batch_run(batch, bench->store);
	}
	hf_batch_run(batch, bench->store);
	hf_batch_free(batch);
	return deleted;
}

struct tally {
	uint64_t alive, wrong, events;
};

static int judge_one(void *context, const struct hf_doc *doc)
{
	struct tally *tally = context;
	uint64_t number = hf_documents_number(doc->payload);

	tally->alive++;
	tally->wrong += number == UINT64_MAX || (number < tally->events && is_victim(number));
	return 0;
}

static void judge_all(struct hf_bench *bench, uint64_t expected)
{
	struct tally tally = {.events = bench->events};
	struct hf_snapshot *snapshot = hf_store_snapshot(bench->store);
	int status = hf_snapshot_scan(snapshot, 0, 0, judge_one, &tally);

	hf_snapshot_release(snapshot);
	bench->faults += tally.wrong + (tally.alive != expected) + (status != HF_OK);
	printf("scan of all: %llu documents, %llu expected, %llu wrong%s\n", (unsigned long long)tally.alive,
		(unsigned long long)expected, (unsigned long long)tally.wrong, status == HF_OK ? "" : "; the scan failed");
}

static void print_space(struct watch *watch, const char *what, double seconds)
{
	struct hf_bench *bench = watch->bench;
	struct hf_measure_memory memory = hf_measure_memory();
	struct hf_store_stats stats;

	hf_store_stats(bench->store, &stats);
	printf("%-28s %8.2f %8.0f %10.1f %8llu %10.1f %10.1f %8.1f %8.1f\n", what, seconds,
		hf_measure_disk_bytes(bench->directory) / 1e6, (double)stats.log_live_bytes / 1e6, (unsigned long long)watch->rounds, (double)watch->before_bytes / 1e6,
		(double)watch->after_bytes / 1e6, memory.made_mb, memory.resident_mb);
	fflush(stdout);
}

static double seconds_since(double start_us)
{
	return (hf_measure_wall_us() - start_us) / 1e6;
}

static void wait_for_collection(struct watch *watch)
{
	watch->last_us = (uint64_t)hf_measure_wall_us();
	while (hf_measure_wall_us() - (double)watch->last_us < IDLE_US)
		usleep(20000);
}

static uint64_t run_phases(struct watch *watch)
{
	struct hf_bench *bench = watch->bench;
	struct hf_failure failure = {0};
	double start = hf_measure_wall_us();

	usleep((useconds_t)QUIET_US);
	print_space(watch, "before, writer and reader on", seconds_since(start));
	watch->phase = PHASE_DELETING;
	start = hf_measure_wall_us();
	uint64_t deleted = delete_victims(bench);

	print_space(watch, "deleted", seconds_since(start));
	watch->phase = PHASE_COLLECTING;
	wait_for_collection(watch);
	print_space(watch, "collected in the background", ((double)watch->last_us - start) / 1e6);
	watch->phase = PHASE_COMPACTING;
	start = hf_measure_wall_us();
	if (hf_store_compact(bench->store, &failure) != HF_OK)
		fprintf(stderr, "bench/store: %s\n", failure.text);
	print_space(watch, "compacted", seconds_since(start));
	return deleted;
}

static void print_latencies(struct watch *watch)
{
	static const char *const names[PHASE_COUNT] = {"before", "while deleting", "while collecting", "while compacting"};

	printf("%-28s %8s %8s %8s %8s %8s\n", "commits of 32, 16,000 /s; ms", "count", "p50", "p99", "p99.9", "max");
	for (int i = 0; i < PHASE_COUNT; i++) {
		size_t count = watch->count[i];
		double *times = watch->times[i];

		printf("%-28s %8zu %8.2f %8.2f %8.2f %8.2f\n", names[i], count,
			hf_measure_percentile(times, count, 0.5) / 1000, hf_measure_percentile(times, count, 0.99) / 1000,
			hf_measure_percentile(times, count, 0.999) / 1000, hf_measure_percentile(times, count, 1) / 1000);
	}
}

void hf_bench_collect(struct hf_bench *bench)
{
	struct watch watch = {.bench = bench};
	pthread_t writer, reader;

	for (int i = 0; i < PHASE_COUNT; i++)
		if ((watch.times[i] = malloc(SAMPLE_COUNT_MAX * sizeof(double))) == NULL)
			abort();
	hf_bench_fill(bench, bench->events);
	hf_log_set_sink(on_log_line, &watch);
	printf("\ncollecting garbage: 40 %% of %llu documents deleted at random, in groups of 256; s, MB\n"
	       "%-28s %8s %8s %10s %8s %10s %10s %8s %8s\n",
		(unsigned long long)bench->events, "phase", "time", "on disk", "log live", "segments", "read", "rewritten", "made", "RSS");
	if (pthread_create(&writer, NULL, write_steadily, &watch) != 0 || pthread_create(&reader, NULL, judge, &watch) != 0)
		abort();
	uint64_t deleted = run_phases(&watch);

	watch.stop = true;
	pthread_join(writer, NULL);
	pthread_join(reader, NULL);
	print_latencies(&watch);
	bench->faults += watch.wrong;
	printf("%llu deleted; reader: %llu reads judged, %llu wrong\n", (unsigned long long)deleted, (unsigned long long)watch.judged,
		(unsigned long long)watch.wrong);
	judge_all(bench, bench->events + watch.written - deleted);
	hf_bench_close(bench);
	hf_log_set_sink(NULL, NULL);
	for (int i = 0; i < PHASE_COUNT; i++)
		free(watch.times[i]);
}
