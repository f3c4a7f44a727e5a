/* store_index: what the index alone costs, beside design C of the measurements: inserting with seals and merges,
 * look-ups and the usual queries. No log, no payloads: positions stand for them.
 *
 *     store_index [documents] [directory]
 *
 * Documents: 50,000 authors by a skewed draw, kinds as a relay sees them, rising times with some disorder, and
 * about 6.5 terms: author, kind, author + kind, and tags (e, p, t). Times are CPU of the thread, except where it says
 * wall. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "measure.h"
#include "store/index.h"

#define AUTHORS 50000
#define EVENT_BYTES 530

struct bench {
	struct hf_env env;
	struct hf_index *index;
	char directory[256];
	_Atomic uint32_t number;
	_Atomic bool done;
	uint32_t count;
	uint64_t random;
};

static uint64_t draw(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state * 0x9e3779b97f4a7c15u >> 8;
}

static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

static uint64_t term(uint64_t kind, uint64_t value)
{
	return mix(value * 16 + kind);
}

static uint64_t author_of(uint64_t *state)
{
	double u = (double)(draw(state) % 1000003) / 1000003;
	return (uint64_t)(u * u * u * AUTHORS);
}

static const uint64_t kinds[16] = {1, 1, 1, 1, 1, 1, 1, 7, 7, 7, 7, 6, 0, 3, 30023, 1984};

/* Document i, the same at each call. */
static void describe(uint32_t i, struct hf_doc_key *key, uint64_t terms[static 12])
{
	uint64_t state = mix(i + 1) | 1, author = author_of(&state), kind = kinds[draw(&state) % 16];
	uint32_t n = 0;
	for (int k = 0; k < 4; k++)
		hf_store_le64(key->id + 8 * k, mix(i * 4ull + k + 77));
	key->rank = 1700000000ull + i / 5 + draw(&state) % 20;
	terms[n++] = term(1, author);
	terms[n++] = term(2, kind);
	terms[n++] = term(3, author * 65536 + kind);
	if (i > 100 && draw(&state) % 10 < 8)
		terms[n++] =
			term(4, i - 1 - draw(&state) % (draw(&state) % 2 ? 100 : i - 1)); /* e: a recent or any event */
	uint64_t p = author_of(&state);
	terms[n++] = term(5, p);
	if (draw(&state) % 2 == 0)
		terms[n++] = term(5, (p + 1 + draw(&state) % 100) % AUTHORS);
	if (draw(&state) % 2 == 0)
		terms[n++] = term(6, draw(&state) % 2000);
	terms[n++] = term(7, kind * 100000 + draw(&state) % 3000); /* tag and kind */
	key->terms = terms;
	key->term_count = n;
}

static uint32_t next_number(void *context)
{
	return atomic_fetch_add(&((struct bench *)context)->number, 1) + 1;
}

static void nothing(void *context) {}

static int read_id(void *context, uint64_t position, uint8_t id[static HF_STORE_ID_BYTES])
{
	struct hf_doc_key key;
	uint64_t terms[12];
	describe((uint32_t)(position / EVENT_BYTES - 1), &key, terms);
	memcpy(id, key.id, HF_STORE_ID_BYTES);
	return HF_OK;
}

static int confirm(void *context, uint64_t position)
{
	return *(uint64_t *)context == position ? HF_OK : HF_ENOTFOUND;
}

static void *sealer(void *context)
{
	struct bench *b = context;
	while (!atomic_load(&b->done) || hf_index_frozen_count(b->index))
		if (hf_index_work(b->index, HF_INDEX_SEAL) <= 0)
			usleep(200);
	return NULL;
}

static void *merger(void *context)
{
	struct bench *b = context;
	while (!atomic_load(&b->done) || hf_index_frozen_count(b->index))
		if (hf_index_work(b->index, HF_INDEX_MERGE) <= 0)
			usleep(1000);
	while (hf_index_work(b->index, HF_INDEX_MERGE) > 0)
		;
	return NULL;
}

static void ingest(struct bench *b, double *insert_us)
{
	double spent = 0;
	for (uint32_t i = 0; i < b->count;) {
		struct hf_doc_key keys[64];
		uint64_t all[64][12];
		uint32_t n = b->count - i < 64 ? b->count - i : 64;
		for (uint32_t k = 0; k < n; k++)
			describe(i + k, &keys[k], all[k]);
		double start = hf_measure_thread_us();
		for (uint32_t k = 0; k < n; k++) {
			if (!hf_index_has_room(b->index, keys[k].term_count) && hf_index_freeze(b->index))
				abort();
			if (hf_index_insert(b->index, &keys[k], (uint64_t)(i + k + 1) * EVENT_BYTES))
				abort();
		}
		spent += hf_measure_thread_us() - start;
		i += n;
		while (hf_index_frozen_count(b->index) > 16)
			usleep(500);
	}
	hf_index_freeze(b->index);
	*insert_us = spent;
}

static void sizes(struct bench *b)
{
	struct hf_index_checkpoint saved[512];
	size_t count;
	uint64_t position, bytes = 0;
	if (hf_index_checkpoint(b->index, saved, 512, &count, &position))
		abort();
	for (size_t i = 0; i < count; i++)
		bytes += saved[i].info.file_bytes;
	printf("%zu segments, %.1f bytes a document\n", count, (double)bytes / b->count);
}

static void bench_find(struct bench *b, bool hit)
{
	enum { TURNS = 100000 };
	uint64_t terms[12];
	double spent = 0;
	for (uint32_t turn = 0; turn < TURNS / 64; turn++) {
		struct hf_doc_key keys[64];
		uint64_t positions[64];
		for (uint32_t k = 0; k < 64; k++) {
			uint32_t i = (uint32_t)(draw(&b->random) % b->count);
			describe(i, &keys[k], terms);
			positions[k] = (uint64_t)(i + 1) * EVENT_BYTES;
			keys[k].id[31] ^= !hit;
		}
		double start = hf_measure_thread_us();
		for (uint32_t k = 0; k < 64; k++) {
			struct hf_index_hit found;
			struct hf_index_view *view = hf_index_acquire(b->index);
			int r = hf_index_find(
				view, keys[k].id, UINT64_MAX, HF_READ_RESIDENT, confirm, &positions[k], &found);
			hf_index_view_release(view);
			if ((r == HF_OK) != hit)
				abort();
		}
		spent += hf_measure_thread_us() - start;
	}
	printf("find, %s: %.2f us\n", hit ? "hit" : "miss", spent / (TURNS / 64 * 64));
}

static uint32_t ask(struct bench *b, const struct hf_query *query, uint32_t limit)
{
	struct hf_index_iterator *it;
	struct hf_index_hit hit;
	uint32_t got = 0;
	struct hf_index_view *view = hf_index_acquire(b->index);
	if (hf_index_iterate(&it, view, query, UINT64_MAX, HF_READ_BLOCKING))
		abort();
	while (got < limit && hf_index_next(it, &hit) == HF_OK)
		got++;
	hf_index_iterator_close(it);
	hf_index_view_release(view);
	return got;
}

enum { BY_AUTHOR_KIND, BY_E, BY_P, BY_KIND_DAY, NEWEST, BY_THOUSAND_AUTHORS, BY_AUTHOR_AND_KIND, QUERY_KINDS };

static uint32_t query_once(struct bench *b, int what, uint64_t terms[static 1024])
{
	struct hf_query q = {.rank_max = UINT64_MAX, .clause_count = 1, .clauses = {{terms, 1}, {terms + 1, 1}}};
	uint64_t author = author_of(&b->random);
	switch (what) {
	case BY_AUTHOR_KIND:
		terms[0] = term(3, author * 65536 + 1);
		return ask(b, &q, 20);
	case BY_E:
		terms[0] = term(4, draw(&b->random) % b->count);
		return ask(b, &q, 50);
	case BY_P:
		terms[0] = term(5, author);
		return ask(b, &q, 50);
	case BY_KIND_DAY:
		terms[0] = term(2, draw(&b->random) % 2 ? 1 : 7);
		q.rank_min = 1700000000ull + draw(&b->random) % (b->count / 5);
		q.rank_max = q.rank_min + 86400;
		return ask(b, &q, 100);
	case NEWEST:
		q.clause_count = 0;
		return ask(b, &q, 500);
	case BY_THOUSAND_AUTHORS:
		for (int i = 0; i < 1000; i++)
			terms[i] = term(1, draw(&b->random) % AUTHORS);
		q.clauses[0].term_count = 1000;
		return ask(b, &q, 100);
	default:
		q.clause_count = 2;
		terms[0] = term(1, author);
		terms[1] = term(2, 7);
		return ask(b, &q, 20);
	}
}

static void bench_queries(struct bench *b)
{
	static const char *const names[QUERY_KINDS] = {"author + kind, newest 20", "#e", "#p, newest 50",
		"kind + one day, 100", "newest 500", "1000 authors, newest 100", "author and kind as two clauses, 20"};
	uint64_t terms[1024];
	for (int what = 0; what < QUERY_KINDS; what++) {
		uint32_t turns = what == BY_THOUSAND_AUTHORS ? 200 : what == NEWEST ? 4000 : 20000;
		uint64_t got = 0;
		double start = hf_measure_thread_us();
		for (uint32_t i = 0; i < turns; i++)
			got += query_once(b, what, terms);
		double each = (hf_measure_thread_us() - start) / turns;
		printf("%s (%.1f): %.2f us\n", names[what], (double)got / turns, each);
	}
}

int main(int argc, char **argv)
{
	struct bench b = {.count = argc > 1 ? (uint32_t)atoi(argv[1]) : 1000000, .random = 88172645463325252u};
	struct hf_failure failure = {0};
	pthread_t threads[2];
	double insert_us;
	snprintf(b.directory, sizeof b.directory, "%s/store_index.%d", argc > 2 ? argv[2] : "/tmp", (int)getpid());
	mkdir(b.directory, 0700);
	hf_env_system(&b.env);
	struct hf_index_options options = {.env = &b.env,
		.directory = b.directory,
		.collection = 1,
		.memtable_docs_max = 8192,
		.seed = 0x5eed,
		.next_number = next_number,
		.work_ready = nothing,
		.changed = nothing,
		.context = &b,
		.read_id = read_id};
	if (hf_index_open(&b.index, &options, NULL, 0, &failure)) {
		fprintf(stderr, "%s\n", failure.text);
		return 1;
	}
	double start = hf_measure_wall_us(), cpu = hf_measure_cpu_us();
	struct hf_doc_key key;
	uint64_t terms[12], term_sum = 0;
	for (uint32_t i = 0; i < b.count; i++) {
		describe(i, &key, terms);
		term_sum += key.term_count;
	}
	double describe_us = hf_measure_cpu_us() - cpu;
	start = hf_measure_wall_us();
	cpu = hf_measure_cpu_us();
	pthread_create(&threads[0], NULL, sealer, &b);
	pthread_create(&threads[1], NULL, merger, &b);
	ingest(&b, &insert_us);
	atomic_store(&b.done, true);
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	printf("%u documents, %.2f terms each: %.3f us CPU insert, %.3f us with seals and merges, %.2f s wall\n",
		b.count, (double)term_sum / b.count, insert_us / b.count, (hf_measure_cpu_us() - cpu - describe_us) / b.count,
		(hf_measure_wall_us() - start) / 1e6);
	sizes(&b);
	bench_find(&b, true);
	bench_find(&b, false);
	bench_queries(&b);
	start = hf_measure_wall_us();
	if (hf_index_merge_all(b.index))
		abort();
	printf("merge of all: %.2f s\n", (hf_measure_wall_us() - start) / 1e6);
	sizes(&b);
	bench_find(&b, true);
	bench_find(&b, false);
	bench_queries(&b);
	hf_index_close(b.index);
	char command[300];
	snprintf(command, sizeof command, "rm -r %s", b.directory);
	return system(command) != 0;
}
