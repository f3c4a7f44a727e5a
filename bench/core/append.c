/* append: blocks going into a core of our own, and what every measuring process needs. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define POOL_BYTES 65536u
#define BATCH_MAX 1000

void hf_bench_must(int status, const char *what)
{
	if (status == HF_OK)
		return;
	fprintf(stderr, "bench/core: %s: %s\n", what, hf_error_text(status));
	exit(1);
}

struct hf_bench_clock hf_bench_clock(void)
{
	return (struct hf_bench_clock){hf_measure_wall_us(), hf_measure_cpu_us()};
}

void hf_bench_print(const struct hf_bench_clock *since, const char *row, const char *side, const struct hf_bench_job *job)
{
	struct hf_bench_clock now = hf_bench_clock();
	struct hf_measure_memory memory = hf_measure_memory();
	double wall_us = now.wall_us - since->wall_us, blocks = (double)job->blocks;

	printf("{\"row\":\"%s\",\"side\":\"%s\",\"block_bytes\":%u,\"batch\":%u,\"blocks\":%llu,\"durability\":\"%s\",\"seconds\":%.4g,"
	       "\"blocks_per_second\":%.4g,\"mb_per_second\":%.4g,\"cpu_us_per_block\":%.4g,\"made_mb\":%.4g,\"resident_mb\":%.4g}\n",
		row, side, job->block_bytes, job->batch, (unsigned long long)job->blocks, job->durability == HF_DURABLE_DISK ? "disk" : "os",
		wall_us / 1e6, blocks / wall_us * 1e6, blocks * job->block_bytes / wall_us, (now.cpu_us - since->cpu_us) / blocks, memory.made_mb,
		memory.resident_mb);
	fflush(stdout);
}

void hf_bench_name(struct hf_bench_node *node, const struct hf_bench_job *job)
{
	hf_env_system(&node->env);
	snprintf(node->directory, sizeof node->directory, "%s/holdfast-bench-core.%d", job->directory, (int)getpid());
}

void hf_bench_open(struct hf_bench_node *node, const struct hf_bench_job *job)
{
	struct hf_store_options options = {.size = sizeof options, .directory = node->directory, .env = &node->env,
		.schema = {.describe = hf_corestore_describe}};
	struct hf_failure failure;

	if (node->directory[0] == 0)
		hf_bench_name(node, job);
	node->env.random(&node->env, node->primary_key, sizeof node->primary_key);
	hf_bench_must(hf_store_open(&node->store, &options, &failure), "store");
}

void hf_bench_close(struct hf_bench_node *node)
{
	hf_store_close(node->store);
	hf_measure_remove(node->directory);
}

struct hf_core *hf_bench_core(struct hf_corestore *cores, const uint8_t *key)
{
	struct hf_core_options options = {.size = sizeof options, .key = key, .name = key == NULL ? HF_SLICE_LITERAL("log") : hf_slice(NULL, 0)};
	struct hf_failure failure;
	struct hf_core *core;

	hf_bench_must(hf_corestore_get(cores, &options, &core, &failure), "core");
	hf_bench_must(hf_core_commit_wait(core, HF_DURABLE_OS), "commit");
	return core;
}

void hf_bench_fill(struct hf_bench_node *node, struct hf_core *core, const struct hf_bench_job *job, unsigned batch)
{
	static struct hf_slice blocks[BATCH_MAX];
	uint8_t *pool = malloc(POOL_BYTES + job->block_bytes);

	if (pool == NULL || batch == 0 || batch > BATCH_MAX)
		hf_bench_must(pool == NULL ? HF_ENOMEM : HF_EINVAL, "batch");
	node->env.random(&node->env, pool, POOL_BYTES + job->block_bytes);
	for (uint64_t at = 0; at < job->blocks; at += batch) {
		unsigned count = job->blocks - at < batch ? (unsigned)(job->blocks - at) : batch;

		for (unsigned i = 0; i < count; i++)
			blocks[i] = hf_slice(pool + (at + i) % POOL_BYTES, job->block_bytes);
		hf_bench_must(hf_core_append(core, blocks, count, NULL), "append");
		hf_bench_must(hf_core_commit_wait(core, job->durability), "commit");
	}
	free(pool);
}

void hf_bench_append(const struct hf_bench_job *job)
{
	struct hf_bench_node node = {.directory = ""};
	struct hf_failure failure;
	struct hf_corestore *cores;

	hf_bench_open(&node, job);
	struct hf_corestore_options options = {.size = sizeof options, .store = node.store, .env = &node.env,
		.primary_key = hf_slice(node.primary_key, sizeof node.primary_key), .blocking = true};

	hf_bench_must(hf_corestore_open(&cores, &options, &failure), "corestore");
	struct hf_core *core = hf_bench_core(cores, NULL);
	struct hf_bench_clock clock = hf_bench_clock();

	hf_bench_fill(&node, core, job, job->batch);
	hf_bench_print(&clock, "append", "writer", job);
	hf_core_unref(core);
	hf_corestore_close(cores);
	hf_bench_close(&node);
}
