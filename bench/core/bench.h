/* bench: what the parts of bench/core and bench/bee share. One process measures one row and prints it; another runs such processes, ours and
 * the packages' (peer.mjs beside each, which takes the same arguments and prints the same), and compares. */
#ifndef HF_BENCH_CORE_H
#define HF_BENCH_CORE_H

#include "../measure.h"

#include <stdio.h>

#include "data/corestore.h"

/* ---- A process that measures ---- */

struct hf_bench_job {
	unsigned block_bytes, batch;
	uint64_t blocks;
	enum hf_durability durability;
	const char *directory; /* a folder is made below it, and removed */
	const char *key;       /* to fetch: hexadecimal or z-base-32 */
	unsigned joined;       /* other cores that are joined, all empty; on both sides: that many for which there is a channel */
	unsigned idle_seconds; /* to stay for, once all is fetched */
	unsigned port;
};
void hf_bench_append(const struct hf_bench_job *job);
void hf_bench_serve(const struct hf_bench_job *job); /* prints port and key, and the row once standard input ends */
void hf_bench_fetch(const struct hf_bench_job *job);
void hf_bench_many(const struct hf_bench_job *job); /* so many cores of one block each */

struct hf_bench_node {
	struct hf_env env;
	char directory[512];
	uint8_t primary_key[32];
	struct hf_store *store;
};
/* All of these end the program on failure. */
void hf_bench_must(int status, const char *what);
void hf_bench_name(struct hf_bench_node *node, const struct hf_bench_job *job); /* its directory, which is not made */
void hf_bench_open(struct hf_bench_node *node, const struct hf_bench_job *job);
void hf_bench_close(struct hf_bench_node *node);
struct hf_core *hf_bench_core(struct hf_corestore *cores, const uint8_t *key); /* NULL: by name */
/* Random bytes, so that nobody gains by compressing them; in batches, each a commit that is waited for. */
void hf_bench_fill(struct hf_bench_node *node, struct hf_core *core, const struct hf_bench_job *job, unsigned batch);

struct hf_bench_clock {
	double wall_us, cpu_us;
};
struct hf_bench_clock hf_bench_clock(void);
void hf_bench_print(const struct hf_bench_clock *since, const char *row, const char *side, const struct hf_bench_job *job);

/* ---- Comparing ---- */

/* A process whose standard input and output we hold. */
struct hf_bench_child {
	int pid, input;
	FILE *output;
};
void hf_bench_start(struct hf_bench_child *child, const char *const *command);
void hf_bench_end(struct hf_bench_child *child); /* closes its input and waits */

/* A row of the table: what both sides do in it, how many times, and how many times better ours is to be. */
struct hf_bench_row {
	const char *name, *role, *durability; /* role "serve": with another process that fetches */
	unsigned block_bytes, batch;
	uint64_t ours, theirs;                /* blocks, or entries */
	double target;                        /* 0: none */
};

struct hf_bench_comparison {
	const struct hf_bench_row *rows;      /* a name of NULL at the end */
	const char *thing, *introduction;     /* "block" */
	const char *self, *node, *script, *directory, *only;
	unsigned rounds;
	double scale;
};
/* With so many blocks of 64 KiB hashed at once. (cryptography.c) */
double hf_bench_cryptography_mb_per_s(unsigned together);
void hf_bench_compare(const struct hf_bench_comparison *comparison);

/* ---- The command line ---- */

struct hf_bench_settings {
	struct hf_bench_job job;
	struct hf_bench_comparison comparison;
};
/* Sets what the options say; false when one is not understood. The role, if there is one, is argv[optind]. */
bool hf_bench_parse(int argc, char **argv, struct hf_bench_settings *settings);

#endif
