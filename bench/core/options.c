/* options: the command line that both programs take. */
#include "bench.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

static bool take(struct hf_bench_settings *settings, int option, const char *text)
{
	switch (option) {
	case 'B': settings->job.block_bytes = (unsigned)strtoul(text, NULL, 10); return settings->job.block_bytes > 0;
	case 'b': settings->job.batch = (unsigned)strtoul(text, NULL, 10); return true;
	case 'c': settings->job.blocks = strtoull(text, NULL, 10); return settings->job.blocks > 0;
	case 'D': settings->job.durability = strcmp(text, "disk") == 0 ? HF_DURABLE_DISK : HF_DURABLE_OS; return true;
	case 'p': settings->job.port = (unsigned)strtoul(text, NULL, 10); return true;
	case 'k': settings->job.key = text; return true;
	case 'j': settings->job.joined = (unsigned)strtoul(text, NULL, 10); return true;
	case 'i': settings->job.idle_seconds = (unsigned)strtoul(text, NULL, 10); return true;
	case 'd': settings->job.directory = settings->comparison.directory = text; return true;
	case 'r': settings->comparison.rounds = (unsigned)strtoul(text, NULL, 10); return settings->comparison.rounds > 0;
	case 's': settings->comparison.scale = strtod(text, NULL); return settings->comparison.scale > 0;
	case 'o': settings->comparison.only = text; return true;
	case 'n': settings->comparison.node = text; return true;
	case 'S': settings->comparison.script = text; return true;
	default: return false;
	}
}

bool hf_bench_parse(int argc, char **argv, struct hf_bench_settings *settings)
{
	static const struct option options[] = {
		{"block-bytes", 1, NULL, 'B'}, {"batch", 1, NULL, 'b'}, {"blocks", 1, NULL, 'c'}, {"durability", 1, NULL, 'D'},
		{"port", 1, NULL, 'p'}, {"key", 1, NULL, 'k'}, {"joined", 1, NULL, 'j'}, {"idle", 1, NULL, 'i'}, {"directory", 1, NULL, 'd'},
		{"rounds", 1, NULL, 'r'}, {"scale", 1, NULL, 's'}, {"only", 1, NULL, 'o'}, {"node", 1, NULL, 'n'}, {"script", 1, NULL, 'S'}, {0},
	};

	for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;)
		if (!take(settings, option, optarg))
			return false;
	return true;
}
