/* request: how long the largest REQ that is taken keeps a loop: decoding it, filing it, opening its query, and taking all that
 * away again. Usage: request DIRECTORY ITEMS: the store of an earlier `query --directory`, and how many values a REQ may have. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/event/terms.h"
#include "data/event/query.h"
#include "data/event/admission.h"
#include "data/event/subscription.h"
#include "measure.h"
#include "wire/nostr.h"

#define COLLECTION 1
#define MESSAGE_BYTES_MAX (1u << 20)
#define ROUNDS 15

enum shape { AUTHORS, IDS, KINDS, TAGS, LONG_TAGS, LOOSE_TAGS, PRODUCT, SPACES, ESCAPES };
static const char *const names[] = {"authors", "ids", "kinds", "short tag values", "long tag values", "escaped tag values", "authors by kinds",
	"white space", "one escaped value"};

static uint64_t next(void)
{
	static uint64_t state = 1;
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static void append_key(struct hf_buffer *b)
{
	hf_buffer_printf(b, "\"%016llx%016llx%016llx%016llx\"", (unsigned long long)next(), (unsigned long long)next(),
		(unsigned long long)next(), (unsigned long long)next());
}

static void append_value(struct hf_buffer *b, enum shape shape, uint64_t i)
{
	static char long_text[400];
	memset(long_text, 'x', sizeof long_text - 1);
	if (shape == AUTHORS || shape == IDS || shape == PRODUCT)
		append_key(b);
	else if (shape == KINDS)
		hf_buffer_printf(b, "%llu", (unsigned long long)(next() & 65535));
	else if (shape == TAGS)
		hf_buffer_printf(b, "\"%llx\"", (unsigned long long)(next() & 0xfffff));
	else if (shape == LONG_TAGS)
		hf_buffer_printf(b, "\"%s%llx\"", long_text, (unsigned long long)next());
	else
		hf_buffer_printf(b, "\"\\u00e4\\u00e4\\u00e4%llx\"", (unsigned long long)next());
}

static void append_filter(struct hf_buffer *b, enum shape shape, uint64_t items)
{
	static const char *const members[] = {"authors", "ids", "kinds", "#t", "#t", "#t", "authors"};
	if (shape == PRODUCT)
		items = items < 44 ? items : 44; /* with as many kinds: a product that is still looked up */
	hf_buffer_printf(b, ",{\"%s\":[", members[shape]);
	for (uint64_t i = 0; i < items && b->length + 900 < MESSAGE_BYTES_MAX; i++) {
		if (i)
			hf_buffer_append(b, ",", 1);
		append_value(b, shape, i);
	}
	hf_buffer_append_text(b, "]");
	for (uint64_t k = 0; shape == PRODUCT && k < items; k++)
		hf_buffer_printf(b, "%s%llu%s", k ? "," : ",\"kinds\":[", (unsigned long long)(1000 + k), k + 1 == items ? "]" : "");
	hf_buffer_append_text(b, "}");
}

static void make(struct hf_buffer *b, enum shape shape, uint64_t items, uint32_t filters)
{
	hf_buffer_append_text(b, "[\"REQ\",\"x\"");
	if (shape == SPACES || shape == ESCAPES) {
		hf_buffer_append_text(b, shape == SPACES ? ",{" : ",{\"#t\":[\"");
		while (b->length + 20 < MESSAGE_BYTES_MAX)
			hf_buffer_append_text(b, shape == SPACES ? "          " : "\\u00e4\\n\\/");
		hf_buffer_append_text(b, shape == SPACES ? "}" : "\"]}");
	}
	for (uint32_t f = 0; shape < SPACES && f < filters; f++)
		append_filter(b, shape, shape == PRODUCT ? 44 : items / filters);
	hf_buffer_append_text(b, "]");
}

static int emit(void *context, const struct hf_doc *doc)
{
	return HF_OK;
}

static void run(struct hf_store *store, struct hf_slice text, const char *name, uint32_t filters, uint64_t items)
{
	double decode[ROUNDS], file[ROUNDS], open[ROUNDS], end[ROUNDS];
	for (int i = 0; i < ROUNDS; i++) {
		struct hf_nostr_limits limits = {1 << 18, filters, (uint32_t)items};
		struct hf_buffer scratch = {0};
		struct hf_arena arena = {.limit_bytes = 8u << 20};
		struct hf_nostr_message m;
		struct hf_nostr_error error;
		struct hf_subscriptions *set;
		struct hf_event_query *query;
		hf_subscriptions_new(&set, 1);
		double t0 = hf_measure_thread_us();
		int r = hf_nostr_decode(text, &limits, &scratch, &arena, &m, &error);
		double t1 = hf_measure_thread_us();
		decode[i] = t1 - t0;
		if (r < 0) {
			printf("%-20s %2u filters %8zu B: refused after %.0f us: %s\n", name, filters, text.length, t1 - t0, error.reason);
			hf_arena_free(&arena);
			hf_subscriptions_free(set);
			return;
		}
		struct hf_subscription s = {.filters = m.filters, .filter_count = m.filter_count};
		hf_subscriptions_add(set, &s);
		double t2 = hf_measure_thread_us();
		struct hf_event_query_options options = {.collection = COLLECTION, .filters = m.filters, .filter_count = m.filter_count,
			.limit_max = 500, .now_s = 1, .emit = emit};
		if (hf_event_query_open(&query, store, hf_store_snapshot(store), &options) < 0)
			exit(1);
		double t3 = hf_measure_thread_us();
		hf_event_query_close(query);
		hf_subscriptions_remove(set, &s);
		hf_arena_free(&arena);
		double t4 = hf_measure_thread_us();
		hf_subscriptions_free(set);
		file[i] = t2 - t1;
		open[i] = t3 - t2;
		end[i] = t4 - t3;
	}
	printf("%-20s %2u filters %8zu B: decode %6.0f us, file %6.0f us, open %6.0f us, end %6.0f us\n", name, filters, text.length,
		hf_measure_percentile(decode, ROUNDS, 0.5), hf_measure_percentile(file, ROUNDS, 0.5), hf_measure_percentile(open, ROUNDS, 0.5),
		hf_measure_percentile(end, ROUNDS, 0.5));
}

int main(int argc, char **argv)
{
	struct hf_env env;
	struct hf_store *store;
	struct hf_failure failure = {0};
	hf_env_system(&env);
	if (argc != 3) {
		fprintf(stderr, "usage: request DIRECTORY ITEMS\n");
		return 2;
	}
	uint64_t items = strtoull(argv[2], NULL, 10);
	struct hf_store_options options = {.size = sizeof options, .directory = argv[1], .env = &env,
		.schema = {NULL, hf_event_describe, hf_event_identify}};
	if (hf_store_open(&store, &options, &failure) < 0) {
		fprintf(stderr, "request: %s\n", failure.text);
		return 1;
	}
	for (enum shape shape = AUTHORS; shape <= ESCAPES; shape++) {
		for (uint32_t filters = 1; filters <= 20; filters += 19) {
			struct hf_buffer text = {0};
			make(&text, shape, items, filters);
			run(store, hf_buffer_slice(&text), names[shape], filters, items);
			hf_buffer_free(&text);
		}
	}
	hf_store_close(store);
	return 0;
}
