/* cold: opening a store of which nothing is in the page cache, and the first thousand queries after it. The store's own
 * reading ahead (it checks its index segments in the background) runs meanwhile, as it does in a relay. What lies
 * under the machine, such as a host that caches the disk, is not emptied. */
#include "bench.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define QUERY_COUNT 1000
#define KILL_COUNT 3
#define KILL_AFTER 30000 /* documents answered, and a share of a memtable more each time */
#define KILL_STEP 1777
#define CHILD_GROUP 256

/* Opens with an empty cache; the share of the files that could not be dropped comes out. */
static double open_cold(struct hf_bench *bench, double *resident)
{
	*resident = hf_measure_drop_cache(bench->directory);
	return hf_bench_open(bench);
}

static void first_queries(struct hf_bench *bench, enum hf_question question)
{
	static double times[QUERY_COUNT];
	struct hf_buffer scratch = {0};
	double resident, ms = open_cold(bench, &resident), all = hf_measure_wall_us();

	for (size_t i = 0; i < QUERY_COUNT; i++) {
		double start = hf_measure_wall_us();

		hf_bench_ask(bench, question, hf_documents_mix(i, 97), bench->stored, &scratch);
		times[i] = hf_measure_wall_us() - start;
	}
	all = hf_measure_wall_us() - all;
	double first = times[0];

	printf("%-26s %6.1f %8.1f %10.2f %10.1f %10.2f %10.2f %10.2f\n", hf_question_names[question], resident * 100, ms,
		first / 1000, all / 1000, hf_measure_percentile(times, QUERY_COUNT, 0.5) / 1000,
		hf_measure_percentile(times, QUERY_COUNT, 0.99) / 1000, hf_measure_percentile(times, QUERY_COUNT, 1) / 1000);
	fflush(stdout);
	hf_buffer_free(&scratch);
	hf_bench_close(bench);
}

/* A process that writes until it is killed; *answered is what it was told is on the disk. */
static void write_until_killed(struct hf_bench *bench, _Atomic uint64_t *answered)
{
	struct hf_batch *batch = hf_batch_new(0);

	hf_bench_open(bench);
	for (uint64_t n = bench->stored;; n += CHILD_GROUP) {
		for (unsigned i = 0; i < CHILD_GROUP; i++)
			hf_batch_put(batch, n + i);
		hf_batch_run(batch, bench->store);
		atomic_fetch_add(answered, CHILD_GROUP);
	}
}

static uint64_t kill_a_writer(struct hf_bench *bench, uint64_t enough)
{
	_Atomic uint64_t *answered = mmap(NULL, sizeof *answered, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t child;
	int status;

	if (answered == MAP_FAILED)
		abort();
	fflush(stdout);
	child = fork();
	if (child == 0)
		write_until_killed(bench, answered);
	while (child > 0 && atomic_load(answered) < enough && waitpid(child, &status, WNOHANG) == 0)
		usleep(500);
	if (child > 0 && kill(child, SIGKILL) == 0)
		waitpid(child, &status, 0);
	uint64_t count = atomic_load(answered);

	munmap((void *)answered, sizeof *answered);
	return count;
}

/* Documents from bench->stored on that are whole; stored moves past them. */
static uint64_t count_survivors(struct hf_bench *bench)
{
	struct hf_snapshot *snapshot = hf_store_snapshot(bench->store);
	struct hf_buffer scratch = {0};
	uint8_t id[HF_STORE_ID_BYTES];
	struct hf_doc doc;
	uint64_t from = bench->stored;

	for (;; bench->stored++) {
		hf_documents_id(bench->stored, id);
		if (hf_snapshot_get(snapshot, 0, id, HF_READ_BLOCKING, &scratch, &doc) != HF_OK ||
		    hf_documents_number(doc.payload) != bench->stored)
			break;
	}
	hf_snapshot_release(snapshot);
	hf_buffer_free(&scratch);
	return bench->stored - from;
}

static void after_kill(struct hf_bench *bench, uint64_t enough)
{
	uint64_t answered = kill_a_writer(bench, enough);
	struct hf_store_stats stats;
	double resident, ms = open_cold(bench, &resident);

	hf_store_stats(bench->store, &stats);
	uint64_t survivors = count_survivors(bench), lost = survivors < answered ? answered - survivors : 0;

	printf("after kill -9 in full flow: open %.1f ms (%llu records replayed in %.1f ms), %llu answered, %llu lost\n", ms,
		(unsigned long long)stats.replayed_records, (double)stats.replay_us / 1000, (unsigned long long)answered,
		(unsigned long long)lost);
	bench->faults += lost;
	fflush(stdout);
	hf_bench_close(bench);
}

void hf_bench_cold(struct hf_bench *bench)
{
	hf_bench_fill(bench, bench->events);
	hf_bench_close(bench);
	printf("\ncold cache (POSIX_FADV_DONTNEED on every file; left: %% of their pages still in memory), %llu documents; ms\n"
	       "%-26s %6s %8s %10s %10s %10s %10s %10s\n",
		(unsigned long long)bench->stored, "query", "left", "open", "first", "all 1,000", "p50", "p99", "max");
	for (enum hf_question question = 0; question < HF_QUESTION_COUNT; question++)
		first_queries(bench, question);
	for (unsigned i = 0; i < KILL_COUNT; i++)
		after_kill(bench, KILL_AFTER + i * KILL_STEP);
}
