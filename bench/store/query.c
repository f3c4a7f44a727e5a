/* query: questions on one thread, each from a snapshot of its own as a relay asks them. Latency holds two readings of
 * the clock, some 0.1 us. */
#include "bench.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define SAMPLE_COUNT_MAX (1u << 21)
#define RUN_US 2e6
#define STEADY_PER_SECOND 25000.0
#define STEADY_GROUP 64
#define WARM_COUNT 2000
#define HEAD_ROOM 2048 /* added to random ends for "kind": enough documents below each */

const char *const hf_question_names[HF_QUESTION_COUNT] = {"by id", "author + kind, newest 20", "#e", "#p, newest 50",
	"kind + until, 100", "newest 500"};

static void fail(const char *what, int status)
{
	fprintf(stderr, "bench/store: %s: %s\n", what, hf_error_text(status));
	exit(1);
}

static unsigned read_all(struct hf_snapshot *snapshot, const struct hf_query *query, unsigned limit,
	struct hf_buffer *scratch)
{
	struct hf_cursor *cursor;
	struct hf_doc doc;
	unsigned count = 0;
	int status = hf_cursor_open(&cursor, snapshot, query, HF_READ_BLOCKING);

	if (status != HF_OK)
		fail("a query", status);
	while (count < limit && (status = hf_cursor_next(cursor, scratch, &doc)) == HF_OK)
		count++;
	hf_cursor_close(cursor);
	if (status != HF_OK && status != HF_ENOTFOUND)
		fail("reading what was found", status);
	return count;
}

static unsigned read_id(struct hf_snapshot *snapshot, uint64_t number, struct hf_buffer *scratch)
{
	uint8_t id[HF_STORE_ID_BYTES];
	struct hf_doc doc;

	hf_documents_id(number, id);
	int status = hf_snapshot_get(snapshot, 0, id, HF_READ_BLOCKING, scratch, &doc);

	if (status != HF_OK)
		fail("reading by id", status);
	return 1;
}

unsigned hf_bench_ask(struct hf_bench *bench, enum hf_question question, uint64_t random, uint64_t count,
	struct hf_buffer *scratch)
{
	struct hf_snapshot *snapshot = hf_store_snapshot(bench->store);
	struct hf_query query = {.clause_count = 1, .rank_max = UINT64_MAX};
	uint64_t term = 0;
	unsigned found, limit = 500;

	if (snapshot == NULL)
		fail("a snapshot", HF_ENOMEM);
	query.clauses[0] = (struct hf_clause){&term, 1};
	switch (question) {
	case HF_AUTHOR_KIND: term = hf_documents_author_kind(random % AUTHOR_COUNT); limit = 20; break;
	case HF_E: term = hf_documents_e(random); break;
	case HF_P: term = hf_documents_p(random % AUTHOR_COUNT); limit = 50; break;
	case HF_KIND:
		term = hf_documents_kind();
		query.rank_max = hf_documents_rank(random % count + HEAD_ROOM);
		limit = 100;
		break;
	default: query.clause_count = 0; break;
	}
	found = question == HF_BY_ID ? read_id(snapshot, random % count, scratch) : read_all(snapshot, &query, limit, scratch);
	hf_snapshot_release(snapshot);
	return found;
}

/* ---- Ingest beside it ---- */

struct writer {
	struct hf_bench *bench;
	pthread_t thread;
	double per_second; /* 0: as fast as it goes */
	uint64_t written;
	_Atomic bool stop;
};

static void *write_on(void *argument)
{
	struct writer *writer = argument;
	unsigned group = writer->per_second > 0 ? STEADY_GROUP : 256;
	struct hf_batch *batch = hf_batch_new(0);
	double start = hf_measure_wall_us();

	while (!atomic_load(&writer->stop)) {
		for (unsigned i = 0; i < group; i++)
			hf_batch_put(batch, writer->bench->stored + writer->written++);
		hf_batch_run(batch, writer->bench->store);
		if (writer->per_second > 0)
			hf_measure_sleep_until(start + (double)writer->written / writer->per_second * 1e6);
	}
	hf_batch_free(batch);
	return NULL;
}

/* ---- Rows ---- */

static void measure(struct hf_bench *bench, enum hf_question question, const char *beside, double per_second,
	double *times)
{
	struct writer writer = {.bench = bench, .per_second = per_second};
	struct hf_buffer scratch = {0};
	uint64_t found = 0, turn = 0;
	size_t count = 0;
	double thread = 0, begin;

	for (; turn < WARM_COUNT; turn++)
		hf_bench_ask(bench, question, hf_documents_mix(turn, 98), bench->events, &scratch);
	if (per_second >= 0 && pthread_create(&writer.thread, NULL, write_on, &writer) != 0)
		abort();
	begin = hf_measure_wall_us();
	thread = hf_measure_thread_us();
	while (count < SAMPLE_COUNT_MAX && hf_measure_wall_us() - begin < RUN_US) {
		uint64_t random = hf_documents_mix(turn++, 98);
		double start = hf_measure_wall_us();

		found += hf_bench_ask(bench, question, random, bench->events, &scratch);
		times[count++] = hf_measure_wall_us() - start;
	}
	thread = hf_measure_thread_us() - thread;
	double wall = hf_measure_wall_us() - begin;

	if (per_second >= 0) {
		atomic_store(&writer.stop, true);
		pthread_join(writer.thread, NULL);
		bench->stored += writer.written;
	}
	printf("%-26s %-12s %8.1f %9.2f %9.2f %9.2f %9.2f %9.0f %9.0f\n", hf_question_names[question], beside,
		(double)found / (double)count, thread / (double)count, hf_measure_percentile(times, count, 0.5),
		hf_measure_percentile(times, count, 0.99), hf_measure_percentile(times, count, 0.999),
		hf_measure_percentile(times, count, 1),
		(double)writer.written / wall * 1e6);
	fflush(stdout);
	hf_buffer_free(&scratch);
}

void hf_bench_queries(struct hf_bench *bench)
{
	static const enum hf_question main_questions[] = {HF_BY_ID, HF_AUTHOR_KIND, HF_P};
	double *times = malloc(SAMPLE_COUNT_MAX * sizeof *times);

	if (times == NULL)
		abort();
	hf_bench_fill(bench, bench->events);
	printf("\nqueries on one thread, all in the page cache, %llu documents; us\n%-26s %-12s %8s %9s %9s %9s %9s %9s %9s\n",
		(unsigned long long)bench->events, "query", "ingest", "found", "CPU", "p50", "p99", "p99.9", "max", "ingest/s");
	for (enum hf_question question = 0; question < HF_QUESTION_COUNT; question++)
		measure(bench, question, "none", -1, times);
	for (size_t i = 0; i < sizeof main_questions / sizeof main_questions[0]; i++)
		measure(bench, main_questions[i], "25,000 /s", STEADY_PER_SECOND, times);
	for (size_t i = 0; i < sizeof main_questions / sizeof main_questions[0]; i++)
		measure(bench, main_questions[i], "full speed", 0, times);
	struct hf_measure_memory memory = hf_measure_memory();

	printf("memory after it, with %llu documents: %.1f MB made, %.1f MB resident with mapped files\n", (unsigned long long)bench->stored,
		memory.made_mb, memory.resident_mb);
	hf_bench_close(bench);
	free(times);
}
