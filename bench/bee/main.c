/* bench/bee: what bees cost beside npm hyperbee: puts one by one and in batches, gets and scans.
 *
 *     bench/bee [--rounds 3] [--scale 1] [--only TEXT] [--directory DIR] [--node FILE] [--script FILE]
 *     bench/bee put --block-bytes 100 --batch 1000 --blocks 100000     blocks are entries, and their bytes those of a value
 *     bench/bee get --block-bytes 100 --blocks 50000                   all keys of a bee that has so many, in another order than they were put
 *     bench/bee scan --block-bytes 100 --blocks 50000
 *
 * As bench/core: the first prints the table; it runs the others, and bench/bee/peer.mjs with the same arguments. CPU, memory and medians are as
 * there. A bee that is read was put by the same process, before the clock, and opened anew. Caches have their default size. */
#include "../core/bench.h"

#include <string.h>
#include <unistd.h>

#include "crypto/hash.h"
#include "data/hyperbee/bee.h"

#define READ_BATCH 1000       /* puts of a bee that is to be read */
#define VALUE_BYTES_MAX 65536u

static const struct hf_bench_row rows[] = {
	{"put, 1,000 a batch", "put", "os", 100, 1000, 50000, 50000, 60},
	{"put, one by one", "put", "os", 100, 1, 10000, 10000, 15},
	{"get", "get", "os", 100, 0, 50000, 50000, 50},
	{"scan", "scan", "os", 100, 0, 50000, 50000, 50},
	{NULL},
};

static const char introduction[] =
	"Ours: defaults; theirs: the packages' defaults. Neither syncs before a put is over (ours within a second).";

struct bench {
	struct hf_bench_node node;
	struct hf_corestore *cores;
	struct hf_core *core;
	struct hf_bee *bee;
};

/* ---- One row ---- */

static void open_bee(struct bench *b)
{
	struct hf_bee_options options = {.size = sizeof options, .core = b->core};

	hf_bee_close(b->bee);
	hf_bench_must(hf_bee_open(&b->bee, &options), "bee");
}

static void open_bench(struct bench *b, const struct hf_bench_job *job)
{
	struct hf_failure failure;

	hf_bench_open(&b->node, job);
	struct hf_corestore_options options = {.size = sizeof options, .store = b->node.store, .env = &b->node.env,
		.primary_key = hf_slice(b->node.primary_key, sizeof b->node.primary_key), .blocking = true};

	hf_bench_must(hf_corestore_open(&b->cores, &options, &failure), "corestore");
	b->core = hf_bench_core(b->cores, NULL);
	open_bee(b);
}

static void close_bench(struct bench *b)
{
	hf_bee_close(b->bee);
	hf_core_unref(b->core);
	hf_corestore_close(b->cores);
	hf_bench_close(&b->node);
}

/* Spread over all keys, so that puts come to every part of the tree. peer.mjs makes the same. */
static struct hf_slice key_of(uint64_t number, char text[static 32])
{
	return hf_slice(text, (size_t)snprintf(text, 32, "user/%08x", (unsigned)(number * 2654435761u)));
}

static void fill(struct bench *b, const struct hf_bench_job *job, uint64_t batch)
{
	static uint8_t pool[2 * VALUE_BYTES_MAX];
	char text[32];

	b->node.env.random(&b->node.env, pool, sizeof pool);
	for (uint64_t i = 0; i < job->blocks; i++) {
		struct hf_slice value = hf_slice(pool + i % VALUE_BYTES_MAX, job->block_bytes);

		hf_bench_must(hf_bee_put(b->bee, key_of(i, text), &value, NULL), "put");
		if ((i + 1) % batch != 0 && i + 1 < job->blocks)
			continue;
		hf_bench_must(hf_bee_flush(b->bee), "flush");
		hf_bench_must(hf_core_commit_wait(b->core, job->durability), "commit");
	}
}

static void get_all(struct bench *b, const struct hf_bench_job *job)
{
	struct hf_bee_entry entry;
	char text[32];

	for (uint64_t i = 0; i < job->blocks; i++)
		hf_bench_must(hf_bee_get(hf_bee_latest(b->bee), key_of(i * 7919 % job->blocks, text), &entry), "get");
}

static void scan_all(struct bench *b, const struct hf_bench_job *job)
{
	static const struct hf_bee_range all;
	struct hf_bee_iterator *iterator;
	struct hf_bee_entry entry;
	uint64_t count = 0;

	hf_bench_must(hf_bee_iterate(hf_bee_latest(b->bee), &all, &iterator), "scan");
	while (hf_bee_iterator_next(iterator, &entry) == HF_OK)
		count++;
	hf_bee_iterator_free(iterator);
	hf_bench_must(count == job->blocks ? HF_OK : HF_ENOTFOUND, "scan");
}

static void put_row(const struct hf_bench_job *job)
{
	struct bench b = {0};

	open_bench(&b, job);
	struct hf_bench_clock clock = hf_bench_clock();

	fill(&b, job, job->batch);
	hf_bench_print(&clock, "put", "writer", job);
	close_bench(&b);
}

static void read_row(const struct hf_bench_job *job, const char *name, void (*read)(struct bench *b, const struct hf_bench_job *job))
{
	struct bench b = {0};

	open_bench(&b, job);
	fill(&b, job, READ_BATCH);
	open_bee(&b);
	struct hf_bench_clock clock = hf_bench_clock();

	read(&b, job);
	hf_bench_print(&clock, name, "reader", job);
	close_bench(&b);
}

int main(int argc, char **argv)
{
	struct hf_bench_settings settings = {
		.job = {.block_bytes = 100, .batch = 1, .blocks = 50000, .directory = "/var/tmp"},
		.comparison = {.rows = rows, .thing = "entry", .introduction = introduction, .self = argv[0], .node = "node_modules/.bin/node",
			.script = "bench/bee/peer.mjs", .directory = "/var/tmp", .rounds = 3, .scale = 1},
	};

	if (!hf_bench_parse(argc, argv, &settings) || settings.job.batch == 0 || settings.job.block_bytes > VALUE_BYTES_MAX) {
		fputs("bench/bee: see the top of bench/bee/main.c\n", stderr);
		return 2;
	}
	hf_bench_must(hf_crypto_init(), "libsodium");
	const char *role = optind < argc ? argv[optind] : "";

	if (strcmp(role, "put") == 0)
		put_row(&settings.job);
	else if (strcmp(role, "get") == 0)
		read_row(&settings.job, "get", get_all);
	else if (strcmp(role, "scan") == 0)
		read_row(&settings.job, "scan", scan_all);
	else
		hf_bench_compare(&settings.comparison);
	return 0;
}
