/* bench/store: what the store costs and how it stands load, beside the prototype's figures
 * (docs/decisions/0002-measurements.md). One run prints every figure that the store has to confirm.
 *
 *     bench/store [--events 1000000] [--groups 1,8,32,256,1000] [--only ingest,queries,cold,collect,blocks]
 *         [--directory DIR]
 *
 * A folder of its own is made below DIR (/var/tmp) and removed at the end. CPU is user and system of all threads, the
 * making of the documents included; of queries, of the one thread that asks. Bytes written are what the disk under DIR
 * wrote, with whatever else wrote meanwhile. "made" is RssAnon + RssShmem, "RSS" has the mapped files too. A tmpfs has no
 * disk under it. */
#include "bench.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <unistd.h>

#define EVENTS_DEFAULT 1000000
#define EVENTS_MIN 1000
#define FILL_GROUP 256

double hf_bench_open(struct hf_bench *bench)
{
	struct hf_store_options options = {.size = sizeof options, .directory = bench->directory, .env = &bench->env,
		.schema = hf_documents_schema};
	struct hf_failure failure;
	double start = hf_measure_wall_us();

	if (hf_store_open(&bench->store, &options, &failure) != HF_OK) {
		fprintf(stderr, "bench/store: %s\n", failure.text);
		exit(1);
	}
	return (hf_measure_wall_us() - start) / 1000;
}

void hf_bench_close(struct hf_bench *bench)
{
	hf_store_close(bench->store);
	bench->store = NULL;
}

void hf_bench_fill(struct hf_bench *bench, uint64_t count)
{
	struct hf_batch *batch = hf_batch_new(0);

	hf_measure_remove(bench->directory);
	hf_bench_open(bench);
	for (uint64_t n = 0; n < count; n++) {
		hf_batch_put(batch, n);
		if (batch->count == FILL_GROUP)
			hf_batch_run(batch, bench->store);
	}
	hf_batch_run(batch, bench->store);
	hf_batch_free(batch);
	bench->stored = count;
	hf_measure_settle();
}

static void print_prototype(uint64_t events)
{
	struct utsname system;

	uname(&system);
	printf("%s %s, %ld cores; %llu documents of %d bytes\n", system.sysname, system.release, sysconf(_SC_NPROCESSORS_ONLN),
		(unsigned long long)events, DOCUMENT_BYTES);
	puts("prototype, 1M events of 696 bytes: group 32: 105,649 /s, 6.1 us, 1,249 B written, 766 B kept; 256: 307,100 /s, 3.2 us, 936 B;\n"
	     "1,000: 393,328 /s, 2.9 us, 883 B. 5M, group 256: 230,395 /s, 4.4 us, 967 B. 20k, group 8: 41,978 /s, 10 us; group 1: 7,314 /s, 61 us.\n"
	     "Queries at 1M, 5M, us: by id 1.8, 2.2; author + kind 7.9, 7.9; #e 1.9, 4.7; #p 16.9, 22.9; kind, 100: 36.0, 37.2; newest 500: 20.6, 20.9.\n"
	     "After kill -9, cold: 27 ms, 44 ms. Blocks, group 256: 1 log 1,137,446 /s, 0.42 us, 224 B; 1,000 logs 963,723 /s, 0.56 us, 240 B.");
}

static bool is_wanted(const char *only, const char *section)
{
	return only == NULL || strstr(only, section) != NULL;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"events", required_argument, NULL, 'e'}, {"groups", required_argument, NULL, 'g'},
		{"only", required_argument, NULL, 'o'}, {"directory", required_argument, NULL, 'd'}, {NULL, 0, NULL, 0},
	};
	static struct hf_bench bench = {.events = EVENTS_DEFAULT};
	const char *groups = "1,8,32,256,1000", *only = NULL, *directory = "/var/tmp";
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'e': bench.events = strtoull(optarg, NULL, 10); break;
		case 'g': groups = optarg; break;
		case 'o': only = optarg; break;
		case 'd': directory = optarg; break;
		default: return 2;
		}
	}
	if (bench.events < EVENTS_MIN) {
		fprintf(stderr, "bench/store: --events: at least %d\n", EVENTS_MIN);
		return 2;
	}
	snprintf(bench.directory, sizeof bench.directory, "%s/holdfast-bench-store.%d", directory, (int)getpid());
	hf_env_system(&bench.env);
	print_prototype(bench.events);
	if (is_wanted(only, "ingest"))
		hf_bench_ingest(&bench, groups);
	if (is_wanted(only, "queries"))
		hf_bench_queries(&bench);
	if (is_wanted(only, "cold"))
		hf_bench_cold(&bench);
	if (is_wanted(only, "collect"))
		hf_bench_collect(&bench);
	if (is_wanted(only, "blocks"))
		hf_bench_blocks(&bench);
	hf_measure_remove(bench.directory);
	return bench.faults > 0;
}
