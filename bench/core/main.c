/* bench/core: what cores cost beside the packages on npm: appends, and replication over loopback TCP between two processes.
 *
 *     bench/core [--rounds 3] [--scale 1] [--only TEXT] [--directory DIR] [--node FILE] [--script FILE]
 *     bench/core append --block-bytes 100 --batch 1 --blocks 20000 [--durability disk]
 *     bench/core serve --block-bytes 100 --blocks 20000          prints {port, key}; ends when standard input does
 *     bench/core fetch --port PORT --key KEY [--joined 20000]    with so many other cores joined, for which there are channels where the
 *                                                                other side was given --joined, too; --idle 10: and 10 s of doing nothing
 *     bench/core many --blocks 100000                            a store of so many cores of one block, and opening 1,000 of them
 *
 * The first prints the table; it runs the others, and bench/core/peer.mjs (--script, on --node) with the same arguments, so either side
 * can be measured against the other by hand. --only: rows in whose name TEXT is.
 *
 * CPU is of the process, all threads, from the first block (the writer of a replication: from the first connection) to the last that is
 * committed. Memory is that of the end of the row: "made" is RssAnon + RssShmem, "resident" VmRSS, with mapped files. */
#include "bench.h"

#include "crypto/hash.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* More of small blocks on our side, or the time would be too short to measure. As much of large ones on both: what is written has to
 * find memory, and ours a place on the disk within a second. */
static const struct hf_bench_row rows[] = {
	{"append, 100 B, one by one", "append", "os", 100, 1, 200000, 20000, 8},
	{"append, 100 B, 1,000 a batch", "append", "os", 100, 1000, 400000, 200000, 8},
	{"append, 64 KiB, one by one", "append", "os", 65536, 1, 4096, 4096, 4},
	{"append, 64 KiB, 16 a batch", "append", "os", 65536, 16, 8192, 8192, 2.5},
	{"append, 100 B, one by one", "append", "disk", 100, 1, 1000, 300, 0},
	{"append, 100 B, 1,000 a batch", "append", "disk", 100, 1000, 200000, 50000, 0},
	{"append, 64 KiB, one by one", "append", "disk", 65536, 1, 500, 200, 0},
	{"append, 64 KiB, 16 a batch", "append", "disk", 65536, 16, 3200, 1600, 0},
	{"replicate, 100 B", "serve", "os", 100, 0, 200000, 20000, 25},
	{"replicate, 64 KiB", "serve", "os", 65536, 0, 4096, 4096, 5},
	{NULL},
};

static const char introduction[] =
	"Ours: defaults; theirs: the packages' defaults. \"os\": neither syncs before an append is over (ours within a second). \"disk\": ours\n"
	"syncs the log; theirs has no such option and flushes its table after every append, which is more work (see peer.mjs).";

int main(int argc, char **argv)
{
	struct hf_bench_settings settings = {
		.job = {.block_bytes = 100, .batch = 1, .blocks = 20000, .directory = "/var/tmp"},
		.comparison = {.rows = rows, .thing = "block", .introduction = introduction, .self = argv[0], .node = "node_modules/.bin/node",
			.script = "bench/core/peer.mjs", .directory = "/var/tmp", .rounds = 3, .scale = 1},
	};

	if (!hf_bench_parse(argc, argv, &settings) || (optind < argc && strcmp(argv[optind], "fetch") == 0 && settings.job.key == NULL)) {
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
