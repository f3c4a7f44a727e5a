/* bench: what the parts of bench/store share: one store in one directory, and the sections that measure it. */
#ifndef HF_BENCH_STORE_H
#define HF_BENCH_STORE_H

#include "../measure.h"
#include "documents.h"

struct hf_bench {
	struct hf_env env;
	struct hf_store *store; /* NULL when closed */
	char directory[512];
	uint64_t events;        /* how many the user asked for */
	uint64_t stored;        /* documents 0 to stored - 1 are in the store, unless a section deletes some */
	uint64_t faults;        /* documents lost, or read other than they were written: should be 0 */
};

/* Opens what is in the directory; the milliseconds that took. Ends the program on failure. */
double hf_bench_open(struct hf_bench *bench);
void hf_bench_close(struct hf_bench *bench);
/* A new store with that many documents, committed in groups of 256, open and at rest. */
void hf_bench_fill(struct hf_bench *bench, uint64_t count);

/* Documents going in, by size of the group. */
void hf_bench_ingest(struct hf_bench *bench, const char *groups);
/* Blocks going in and out. */
void hf_bench_blocks(struct hf_bench *bench);

/* What a reader asks. */
enum hf_question { HF_BY_ID, HF_AUTHOR_KIND, HF_E, HF_P, HF_KIND, HF_NEWEST, HF_QUESTION_COUNT };
extern const char *const hf_question_names[HF_QUESTION_COUNT];
/* Asks about something that `random` picks out of the first `count` documents, from a snapshot of its own, and reads
 * all that comes. The number of documents; ends the program on an error. */
unsigned hf_bench_ask(struct hf_bench *bench, enum hf_question question, uint64_t random, uint64_t count,
	struct hf_buffer *scratch);

/* Queries on one thread: alone, beside ingest at a steady rate, and beside ingest as fast as it goes. */
void hf_bench_queries(struct hf_bench *bench);
/* Opening and reading with nothing in the page cache, after a clean stop and after kill -9. */
void hf_bench_cold(struct hf_bench *bench);
/* Deleting 40 % at random and collecting the garbage, with commits and readers beside it. */
void hf_bench_collect(struct hf_bench *bench);

#endif
