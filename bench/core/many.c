/* many: a store with very many cores of one block each: what making them costs, opening the store again, and opening some of them by key.
 * Making is another process's, so that its memory does not count with the rest. */
#include "bench.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define OPENED 1000       /* cores that are opened by key, at random, and stay open */
#define MADE_AT_ONCE 1000 /* commits under way */

struct many {
	struct hf_bench_node node;
	struct hf_corestore *cores;
	uint8_t keys[OPENED][HF_CORE_KEY_BYTES];
};

static void print_row(const struct hf_bench_clock *since, const char *row, uint64_t cores, const char *directory)
{
	struct hf_bench_clock now = hf_bench_clock();
	struct hf_measure_memory memory = hf_measure_memory();

	printf("{\"row\":\"%s\",\"cores\":%llu,\"seconds\":%.4g,\"cpu_us_per_core\":%.4g,\"made_mb\":%.4g,\"resident_mb\":%.4g,\"disk_mb\":%.4g}\n", row,
		(unsigned long long)cores, (now.wall_us - since->wall_us) / 1e6, (now.cpu_us - since->cpu_us) / (double)cores, memory.made_mb,
		memory.resident_mb, hf_measure_disk_bytes(directory) / 1e6);
	fflush(stdout);
}

static void open_cores(struct many *many)
{
	struct hf_corestore_options options = {.size = sizeof options, .store = many->node.store, .env = &many->node.env,
		.primary_key = hf_slice(many->node.primary_key, sizeof many->node.primary_key), .blocking = true};
	struct hf_failure failure;

	hf_bench_must(hf_corestore_open(&many->cores, &options, &failure), "corestore");
}

static void close_all(struct many *many)
{
	hf_corestore_close(many->cores);
	hf_store_close(many->node.store);
}

/* Names one, writes a block, and lets go of it: that commits. */
static void make_core(struct many *many, uint64_t number, uint8_t key[static HF_CORE_KEY_BYTES])
{
	char name[32], block[100] = {0};
	struct hf_slice value = hf_slice(block, sizeof block);
	struct hf_core_options options = {.size = sizeof options};
	struct hf_failure failure;
	struct hf_core *core;

	snprintf(name, sizeof name, "core %llu", (unsigned long long)number);
	memcpy(block, name, sizeof name);
	options.name = hf_slice_text(name);
	hf_bench_must(hf_corestore_get(many->cores, &options, &core, &failure), "core");
	hf_bench_must(hf_core_append(core, &value, 1, NULL), "append");
	memcpy(key, hf_core_key(core), HF_CORE_KEY_BYTES);
	hf_core_unref(core);
}

static void make_all(struct many *many, uint64_t count, FILE *keys)
{
	struct hf_bench_clock clock = hf_bench_clock();
	uint8_t key[HF_CORE_KEY_BYTES];

	for (uint64_t i = 0; i < count; i++) {
		make_core(many, i, key);
		if (fwrite(key, sizeof key, 1, keys) != 1)
			hf_bench_must(HF_EIO, "keys");
		if (i % MADE_AT_ONCE == MADE_AT_ONCE - 1)
			hf_corestore_settle(many->cores);
	}
	hf_corestore_settle(many->cores);
	print_row(&clock, "make", count, many->node.directory);
	clock = hf_bench_clock();
	close_all(many);
	print_row(&clock, "close", count, many->node.directory);
}

static void make_in_child(struct many *many, const struct hf_bench_job *job, const char *keys_path)
{
	int status = 1, pid = fork();

	if (pid == 0) {
		FILE *keys = fopen(keys_path, "w");

		hf_bench_must(keys == NULL ? HF_EIO : HF_OK, keys_path);
		hf_bench_open(&many->node, job);
		open_cores(many);
		make_all(many, job->blocks, keys);
		hf_bench_must(fclose(keys) == 0 ? HF_OK : HF_EIO, keys_path);
		exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || status != 0)
		hf_bench_must(HF_EIO, "making");
}

static void choose_keys(struct many *many, uint64_t count, const char *keys_path)
{
	FILE *keys = fopen(keys_path, "r");

	hf_bench_must(keys == NULL ? HF_EIO : HF_OK, keys_path);
	for (unsigned i = 0; i < OPENED; i++) {
		uint64_t random;

		many->node.env.random(&many->node.env, &random, sizeof random);
		if (fseek(keys, (long)(random % count) * HF_CORE_KEY_BYTES, SEEK_SET) != 0 || fread(many->keys[i], HF_CORE_KEY_BYTES, 1, keys) != 1)
			hf_bench_must(HF_EIO, keys_path);
	}
	fclose(keys);
}

static void open_some(struct many *many)
{
	static struct hf_core *opened[OPENED];
	struct hf_bench_clock clock = hf_bench_clock();
	struct hf_buffer block = {0};
	struct hf_failure failure;

	for (unsigned i = 0; i < OPENED; i++) {
		struct hf_core_options options = {.size = sizeof options, .key = many->keys[i], .must_exist = true};

		hf_bench_must(hf_corestore_get(many->cores, &options, &opened[i], &failure), "core");
		hf_buffer_clear(&block);
		hf_bench_must(hf_core_get(opened[i], 0, &block), "block");
	}
	print_row(&clock, "open by key", OPENED, many->node.directory);
	for (unsigned i = 0; i < OPENED; i++)
		hf_core_unref(opened[i]);
	hf_buffer_free(&block);
}

static int count_entry(void *context, const struct hf_core_entry *entry)
{
	*(uint64_t *)context += entry->length == 1;
	return 0;
}

void hf_bench_many(const struct hf_bench_job *job)
{
	static struct many many;
	struct hf_bench_clock clock;
	char keys_path[600];
	uint64_t listed = 0;

	hf_bench_name(&many.node, job);
	snprintf(keys_path, sizeof keys_path, "%s.keys", many.node.directory);
	make_in_child(&many, job, keys_path);
	clock = hf_bench_clock();
	hf_bench_open(&many.node, job);
	open_cores(&many);
	print_row(&clock, "open store", job->blocks, many.node.directory);
	choose_keys(&many, job->blocks, keys_path);
	open_some(&many);
	clock = hf_bench_clock();
	hf_bench_must(hf_corestore_list(many.cores, count_entry, &listed), "list");
	hf_bench_must(listed == job->blocks ? HF_OK : HF_ECORRUPT, "list");
	print_row(&clock, "list", job->blocks, many.node.directory);
	close_all(&many);
	unlink(keys_path);
	hf_measure_remove(many.node.directory);
}
