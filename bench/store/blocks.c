/* blocks: what the numbered logs cost: to append one block at a time, many in one commit and big ones, and to read one at a
 * time, in order and at random, many together, and which there are. CPU is of all threads. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>

#define SMALL_BYTES 100
#define BIG_BYTES (64u << 10)
#define SINGLES 200000
#define MANY 1000
#define BLOCKS 1000000
#define BIGS 4096
#define READS 1000000
#define LOGS 100000
#define MEASURED_LOG 1

struct job {
	uint64_t log, first;
	unsigned count, bytes;
	bool log_each; /* block i goes to log first + i */
	uint8_t *block;
};

static int append(void *context, struct hf_tx *tx)
{
	const struct job *job = context;
	int status = HF_OK;

	for (unsigned i = 0; i < job->count && status == HF_OK; i++) {
		hf_store_le64(job->block, job->first + i);
		status = hf_tx_log_append(tx, job->log_each ? job->first + i : job->log, &(struct iovec){job->block, job->bytes}, 1, NULL);
	}
	return status;
}

static void must(int status, const char *what)
{
	if (status != HF_OK) {
		fprintf(stderr, "bench/store: %s: %s\n", what, hf_error_text(status));
		exit(1);
	}
}

static void row(const char *name, uint64_t count, double wall_us, double cpu_us, uint64_t bytes)
{
	printf("%-34s %8llu %11.0f %9.2f %9.2f %9.0f\n", name, (unsigned long long)count, (double)count / wall_us * 1e6,
		wall_us / (double)count, cpu_us / (double)count, bytes == 0 ? 0 : (double)count * (double)bytes / wall_us);
	fflush(stdout);
}

static void put(struct hf_bench *bench, const char *name, struct job job, uint64_t total)
{
	double wall = hf_measure_wall_us(), cpu = hf_measure_cpu_us();

	for (uint64_t done = 0; done < total; done += job.count, job.first += job.count)
		must(hf_store_commit_wait(bench->store, HF_DURABLE_OS, append, &job), "append");
	row(name, total, hf_measure_wall_us() - wall, hf_measure_cpu_us() - cpu, job.bytes);
}

static void fresh(struct hf_bench *bench)
{
	if (bench->store != NULL)
		hf_bench_close(bench);
	hf_measure_remove(bench->directory);
	hf_bench_open(bench);
}

static void get(struct hf_bench *bench, const char *name, bool random)
{
	struct hf_buffer block = {0};
	uint64_t state = 1;
	double wall = 0, cpu = 0;

	for (int round = 0; round < 2; round++) { /* the first makes it resident */
		wall = hf_measure_wall_us();
		cpu = hf_measure_cpu_us();
		for (uint64_t i = 0; i < READS; i++) {
			state = state * 6364136223846793005u + 1442695040888963407u;
			uint64_t index = random ? (state >> 33) % BLOCKS : i;

			must(hf_store_log_get(bench->store, MEASURED_LOG, index, HF_READ_BLOCKING, &block), "get");
			bench->faults += block.length != SMALL_BYTES || hf_load_le64(block.data) != index;
		}
	}
	row(name, READS, hf_measure_wall_us() - wall, hf_measure_cpu_us() - cpu, SMALL_BYTES);
	hf_buffer_free(&block);
}

static int count_block(void *context, uint64_t index, struct hf_slice block)
{
	*(uint64_t *)context += block.length == SMALL_BYTES && hf_load_le64(block.data) == index;
	return HF_OK;
}

static int count_run(void *context, uint64_t from, uint64_t to)
{
	*(uint64_t *)context += to - from;
	return HF_OK;
}

static void read_many(struct hf_bench *bench)
{
	double wall = hf_measure_wall_us(), cpu = hf_measure_cpu_us();
	uint64_t from = 0, seen = 0;

	must(hf_store_log_read(bench->store, MEASURED_LOG, &from, BLOCKS, HF_READ_RESIDENT, count_block, &seen), "read");
	row("read together, resident", BLOCKS, hf_measure_wall_us() - wall, hf_measure_cpu_us() - cpu, SMALL_BYTES);
	bench->faults += seen != BLOCKS;
	wall = hf_measure_wall_us();
	cpu = hf_measure_cpu_us();
	seen = 0;
	must(hf_store_log_runs(bench->store, MEASURED_LOG, 0, UINT64_MAX, HF_READ_BLOCKING, count_run, &seen), "runs");
	row("which there are", BLOCKS, hf_measure_wall_us() - wall, hf_measure_cpu_us() - cpu, 0);
	bench->faults += seen != BLOCKS;
}

static void many_logs(struct hf_bench *bench, uint8_t *block)
{
	double before, made;

	fresh(bench);
	before = hf_measure_memory().made_mb;
	put(bench, "a block to each of 100,000 logs", (struct job){.count = MANY, .bytes = SMALL_BYTES, .log_each = true, .block = block}, LOGS);
	made = hf_measure_memory().made_mb - before;
	printf("memory after it: %.1f MB more, %.0f bytes a log\n", made, made * 1e6 / LOGS);
}

void hf_bench_blocks(struct hf_bench *bench)
{
	uint8_t *block = calloc(1, BIG_BYTES);

	if (block == NULL)
		abort();
	printf("\nblocks; commits reach the operating system before they end\n%-34s %8s %11s %9s %9s %9s\n", "what", "count", "/s", "us", "CPU us", "MB/s");
	fresh(bench);
	put(bench, "append, one a commit", (struct job){.log = 2, .count = 1, .bytes = SMALL_BYTES, .block = block}, SINGLES);
	put(bench, "append, 1,000 a commit", (struct job){.log = MEASURED_LOG, .count = MANY, .bytes = SMALL_BYTES, .block = block}, BLOCKS);
	get(bench, "get, in order, from memory and run", false);
	hf_bench_close(bench);
	hf_bench_open(bench);
	get(bench, "get, in order", false);
	get(bench, "get, at random", true);
	read_many(bench);
	put(bench, "append 64 KiB, one a commit", (struct job){.log = 3, .count = 1, .bytes = BIG_BYTES, .block = block}, BIGS);
	put(bench, "append 64 KiB, 16 a commit", (struct job){.log = 3, .count = 16, .bytes = BIG_BYTES, .block = block}, BIGS);
	many_logs(bench, block);
	hf_bench_close(bench);
	free(block);
}
