/* bench/core: what cores cost beside the packages on npm: appends, and replication over loopback TCP between two processes.
 *
 *     bench/core [--rounds 3] [--scale 1] [--only TEXT] [--limits FILE] [--directory DIR] [--node FILE] [--script FILE]
 *     bench/core append --block-bytes 100 --batch 1 --blocks 20000 [--durability disk]
 *     bench/core serve --block-bytes 100 --blocks 20000          prints {port, key}; ends when standard input does
 *     bench/core fetch --port PORT --key KEY
 *     bench/core many --blocks 100000                            a store of so many cores of one block, and opening 1,000 of them
 *
 * The first prints the table; it runs the others, and bench/core/peer.mjs (--script, on --node) with the same arguments, so either side
 * can be measured against the other by hand. --only: rows in whose name TEXT is. --limits: what bench/limits --json printed.
 *
 * CPU is of the process, all threads, from the first block (the writer of a replication: from the first connection) to the last that is
 * committed. Memory is that of the end of the row: "made" is RssAnon + RssShmem, "resident" VmRSS, with mapped files. */
#include "bench.h"

#include "crypto/hash.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct settings {
	struct hf_bench_job job;
	struct hf_bench_comparison comparison;
};

static bool take(struct settings *settings, int option, const char *text)
{
	switch (option) {
	case 'B': settings->job.block_bytes = (unsigned)strtoul(text, NULL, 10); return settings->job.block_bytes > 0;
	case 'b': settings->job.batch = (unsigned)strtoul(text, NULL, 10); return true;
	case 'c': settings->job.blocks = strtoull(text, NULL, 10); return settings->job.blocks > 0;
	case 'D': settings->job.durability = strcmp(text, "disk") == 0 ? HF_DURABLE_DISK : HF_DURABLE_OS; return true;
	case 'p': settings->job.port = (unsigned)strtoul(text, NULL, 10); return true;
	case 'k': settings->job.key = text; return true;
	case 'd': settings->job.directory = settings->comparison.directory = text; return true;
	case 'r': settings->comparison.rounds = (unsigned)strtoul(text, NULL, 10); return settings->comparison.rounds > 0;
	case 's': settings->comparison.scale = strtod(text, NULL); return settings->comparison.scale > 0;
	case 'o': settings->comparison.only = text; return true;
	case 'l': settings->comparison.limits = text; return true;
	case 'n': settings->comparison.node = text; return true;
	case 'S': settings->comparison.script = text; return true;
	default: return false;
	}
}

static bool parse(int argc, char **argv, struct settings *settings)
{
	static const struct option options[] = {
		{"block-bytes", 1, NULL, 'B'}, {"batch", 1, NULL, 'b'}, {"blocks", 1, NULL, 'c'}, {"durability", 1, NULL, 'D'},
		{"port", 1, NULL, 'p'}, {"key", 1, NULL, 'k'}, {"directory", 1, NULL, 'd'}, {"rounds", 1, NULL, 'r'}, {"scale", 1, NULL, 's'},
		{"only", 1, NULL, 'o'}, {"limits", 1, NULL, 'l'}, {"node", 1, NULL, 'n'}, {"script", 1, NULL, 'S'}, {0},
	};

	for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;)
		if (!take(settings, option, optarg))
			return false;
	return true;
}

int main(int argc, char **argv)
{
	struct settings settings = {
		.job = {.block_bytes = 100, .batch = 1, .blocks = 20000, .directory = "/var/tmp"},
		.comparison = {.self = argv[0], .node = "node_modules/.bin/node", .script = "bench/core/peer.mjs", .directory = "/var/tmp", .rounds = 3,
			.scale = 1},
	};

	if (!parse(argc, argv, &settings)) {
		fputs("bench/core: see the top of bench/core/main.c\n", stderr);
		return 2;
	}
	hf_bench_must(hf_crypto_init(), "libsodium");
	const char *role = optind < argc ? argv[optind] : "";

	if (strcmp(role, "append") == 0)
		hf_bench_append(&settings.job);
	else if (strcmp(role, "serve") == 0)
		hf_bench_serve(&settings.job);
	else if (strcmp(role, "fetch") == 0)
		hf_bench_fetch(&settings.job);
	else if (strcmp(role, "many") == 0)
		hf_bench_many(&settings.job);
	else
		hf_bench_compare(&settings.comparison);
	return 0;
}
