/* Queries against looking at every event, over random events, filters, pages, pauses and modes. */
#include "data/event/query.h"
#include "event_relay.h"
#include "support/fail_alloc.h"

#define FILTER_COUNT_MAX 3
#define LIMIT_MAX 60
#define ROUND_COUNT 5      /* of growing, each followed by CASES_PER_ROUND queries */
#define GROWTH_COUNT 150
#define NOW (MODEL_TIME_BASE + MODEL_TIME_SPAN)

struct answer {
	uint8_t ids[FILTER_COUNT_MAX * LIMIT_MAX][32];
	uint32_t count;
	struct model_random *random; /* pauses now and then */
};

static int take(void *context, const struct hf_doc *doc)
{
	struct answer *answer = context;
	struct hf_event head;
	if (model_chance(answer->random, 10))
		return HF_ECLOSED;
	assert_true(answer->count < MODEL_COUNT(answer->ids));
	assert_int_equal(hf_event_unpack_head(doc->payload, &head, NULL), HF_OK);
	assert_true(doc->rank == head.created_at);
	memcpy(answer->ids[answer->count++], head.id, 32);
	return HF_OK;
}

/* Stands for a relay that shows kind 1059 only to those involved. */
static bool is_no_wrap(void *context, const struct hf_event *head, struct hf_slice payload)
{
	return head->kind != 1059;
}

static int newest_first(const void *a, const void *b)
{
	const struct model_event *x = *(struct model_event *const *)a, *y = *(struct model_event *const *)b;
	return model_is_newer(x, y) ? -1 : model_is_newer(y, x);
}

/* Live events newest first. */
static uint32_t sorted_events(const struct model *m, const struct model_event **list)
{
	uint32_t count = 0;
	for (uint32_t i = 0; i < m->count; i++)
		if (m->events[i].alive)
			list[count++] = &m->events[i];
	qsort(list, count, sizeof *list, newest_first);
	return count;
}

static uint32_t naive(const struct model_event *const *list, uint32_t count,
	const struct hf_event_query_options *options, struct answer *answer)
{
	bool given[MODEL_EVENT_COUNT_MAX] = {false};
	uint32_t total = 0;
	for (uint32_t f = 0; f < options->filter_count; f++) {
		const struct hf_filter *filter = &options->filters[f];
		uint64_t limit = filter->limit < options->limit_max ? filter->limit : options->limit_max;
		if (options->count_only)
			limit = UINT64_MAX;
		for (uint32_t i = 0; i < count && limit > 0; i++) {
			if (given[i] || list[i]->expiration <= options->now_s || (options->readable && list[i]->event.kind == 1059) ||
				!model_matches(filter, list[i]))
				continue;
			given[i] = true;
			limit--;
			total++;
			if (!options->count_only)
				memcpy(answer->ids[answer->count++], list[i]->event.id, 32);
		}
	}
	return total;
}

static void one_case(struct relay *relay, struct model *m, const struct model_event *const *list, uint32_t count)
{
	static struct model_filter made[FILTER_COUNT_MAX];
	static struct answer got, wanted;
	struct hf_filter filters[FILTER_COUNT_MAX];
	struct model_random *random = &m->random;
	got.count = wanted.count = 0;
	got.random = random;
	uint32_t filter_count = model_chance(random, 60) ? 1 : 1 + model_below(random, FILTER_COUNT_MAX);
	for (uint32_t i = 0; i < filter_count; i++) {
		model_random_filter(m, &made[i]);
		filters[i] = made[i].filter;
	}
	struct hf_event_query_options options = {.collection = RELAY_COLLECTION, .filters = filters,
		.filter_count = filter_count, .limit_max = LIMIT_MAX, .now_s = NOW, .count_only = model_chance(random, 25),
		.readable = model_chance(random, 20) ? is_no_wrap : NULL, .emit = take, .context = &got};
	struct hf_event_query *query;
	assert_int_equal(hf_event_query_open(&query, relay->store, hf_store_snapshot(relay->store), &options), HF_OK);
	int r = HF_EBUSY;
	bool paged = model_chance(random, 50);
	enum hf_read_mode mode = HF_READ_RESIDENT;
	while (r != HF_OK) {
		r = hf_event_query_step(query, mode, paged ? 1 + model_below(random, 20) : UINT32_MAX);
		assert_true(r == HF_OK || r == HF_EBUSY || r == HF_EWAIT || r == HF_ECLOSED);
		mode = r == HF_EWAIT ? HF_READ_BLOCKING : HF_READ_RESIDENT;
	}
	uint32_t total = naive(list, count, &options, &wanted);
	assert_int_equal(hf_event_query_count(query), total);
	assert_int_equal(got.count, wanted.count);
	for (uint32_t i = 0; i < got.count; i++)
		assert_memory_equal(got.ids[i], wanted.ids[i], 32);
	assert_true(hf_event_query_plan(query) < HF_PLAN_COUNT);
	hf_event_query_close(query);
}

static void random_queries(uint64_t seed, uint32_t memtable_docs_max, bool no_background, uint32_t cases_per_round)
{
	static const struct model_event *list[MODEL_EVENT_COUNT_MAX];
	struct relay relay;
	struct model m;
	model_new(&m, seed);
	relay_new(&relay, memtable_docs_max, no_background);
	for (uint32_t round = 0; round < ROUND_COUNT; round++) {
		relay_grow(&relay, &m, GROWTH_COUNT);
		uint32_t count = sorted_events(&m, list);
		for (uint32_t i = 0; i < cases_per_round; i++)
			one_case(&relay, &m, list, count);
		if (round == 1) {
			hf_store_abandon(relay.store);
			relay_open(&relay);
		} else if (round == 3) {
			hf_store_close(relay.store);
			relay_open(&relay);
		}
	}
	relay_free(&relay);
	model_free(&m);
}

static void test_random_filters_over_segments_and_merges(void **state)
{
	for (uint64_t seed = 1; seed <= 14; seed++)
		random_queries(seed, 16 + 8 * (uint32_t)(seed % 3), true, 1250);
}

static void test_random_filters_while_sealing_in_the_background(void **state)
{
	for (uint64_t seed = 21; seed <= 23; seed++)
		random_queries(seed, 16, false, 800);
}

static void test_random_filters_in_memory(void **state)
{
	random_queries(31, 0, true, 800);
}

static struct hf_event_query_options options_for(const struct hf_filter *filters, uint32_t count, struct answer *answer)
{
	return (struct hf_event_query_options){.collection = RELAY_COLLECTION, .filters = filters, .filter_count = count,
		.limit_max = LIMIT_MAX, .now_s = NOW, .emit = take, .context = answer};
}

static void test_plans_follow_the_members_of_a_filter(void **state)
{
	struct relay relay;
	struct model m;
	model_new(&m, 41);
	relay_new(&relay, 64, true);
	relay_grow(&relay, &m, 300);
	static const uint32_t kinds[] = {1};
	struct hf_slice value = HF_SLICE_LITERAL("nobody uses this");
	struct hf_filter any = {.until = UINT64_MAX, .limit = UINT64_MAX}, f;
	struct {
		struct hf_filter filter;
		enum hf_plan plan;
	} cases[6];
	cases[0].filter = any, cases[0].plan = HF_PLAN_TIME;
	f = any, f.has_ids = true, f.id_count = 1, f.ids = (const uint8_t (*)[32])m.events[0].event.id;
	cases[1].filter = f, cases[1].plan = HF_PLAN_IDS;
	f = any, f.has_kinds = true, f.kinds = kinds, f.kind_count = 1;
	cases[2].filter = f, cases[2].plan = HF_PLAN_KIND;
	f.tag_count = 1, f.tags[0] = (struct hf_filter_tag){'t', 1, &value};
	cases[3].filter = f, cases[3].plan = HF_PLAN_TAG;
	f.tag_count = 0, f.has_authors = true, f.author_count = 1, f.authors = (const uint8_t (*)[32])m.events[0].event.pubkey;
	cases[4].filter = f, cases[4].plan = HF_PLAN_AUTHOR_KIND;
	f = any, f.matches_nothing = true;
	cases[5].filter = f, cases[5].plan = HF_PLAN_NOTHING;
	for (size_t i = 0; i < MODEL_COUNT(cases); i++) {
		struct answer answer = {.random = &m.random};
		struct hf_event_query *query;
		struct hf_event_query_options options = options_for(&cases[i].filter, 1, &answer);
		assert_int_equal(hf_event_query_open(&query, relay.store, hf_store_snapshot(relay.store), &options), HF_OK);
		assert_int_equal(hf_event_query_plan(query), cases[i].plan);
		assert_string_not_equal(hf_plan_name(cases[i].plan), "unknown");
		hf_event_query_close(query);
	}
	relay_free(&relay);
	model_free(&m);
}

/* More ids than what is held of their payloads, so that some are read twice. */
static void test_many_ids_are_newest_first_beyond_what_is_held(void **state)
{
	enum { COUNT = 40, CONTENT_BYTES = 16000 };
	struct relay relay;
	struct model m;
	static uint8_t ids[COUNT][32];
	char *content = malloc(CONTENT_BYTES);
	assert_non_null(content);
	memset(content, 'x', CONTENT_BYTES);
	model_new(&m, 51);
	relay_new(&relay, 16, true);
	for (uint32_t i = 0; i < COUNT; i++) {
		struct model_event e = {.event = {.kind = 1, .created_at = 5000 + (i * 7) % COUNT}};
		memset(e.event.id, (int)i, 32);
		memset(e.event.pubkey, 1, 32);
		model_finish(&e);
		e.event.content = hf_slice(content, CONTENT_BYTES);
		memcpy(ids[i], e.event.id, 32);
		assert_int_equal(relay_admit(&relay, &e.event), HF_OK);
	}
	struct hf_filter filter = {.has_ids = true, .id_count = COUNT, .ids = (const uint8_t (*)[32])ids, .until = UINT64_MAX,
		.limit = UINT64_MAX};
	struct answer *answer = calloc(1, sizeof *answer);
	assert_non_null(answer);
	answer->random = &m.random;
	struct hf_event_query_options options = options_for(&filter, 1, answer);
	struct hf_event_query *query;
	assert_int_equal(hf_event_query_open(&query, relay.store, hf_store_snapshot(relay.store), &options), HF_OK);
	int r;
	while ((r = hf_event_query_step(query, HF_READ_BLOCKING, 3)) != HF_OK)
		assert_true(r == HF_EBUSY || r == HF_ECLOSED);
	hf_event_query_close(query);
	assert_int_equal(answer->count, COUNT);
	for (uint32_t i = 0; i < COUNT; i++)
		assert_int_equal((answer->ids[i][0] * 7) % COUNT, COUNT - 1 - i);
	free(answer);
	free(content);
	relay_free(&relay);
	model_free(&m);
}

/* ---- By arrival ---- */

#define ARRIVALS 1200u /* more than are looked at by the index */
#define ARRIVED_MS UINT64_C(1700000000000)

/* One a second, each dated before the one that came before it; kind 2 every hundredth. */
static void relay_receive(struct relay *relay)
{
	struct relay_admission *list = calloc(ARRIVALS, sizeof *list);
	struct model_event *events = calloc(ARRIVALS, sizeof *events);
	assert_true(list && events);
	for (uint32_t i = 0; i < ARRIVALS; i++) {
		struct hf_event *event = &events[i].event;
		*event = (struct hf_event){.kind = i % 100 == 0 ? 2 : 1, .created_at = 100000 - i};
		memset(event->pubkey, 1, 32);
		hf_store_be32(event->id, i);
		model_finish(&events[i]);
		relay_prepare(&list[i], event);
		list[i].admission.meta.received_ms = ARRIVED_MS + i * 1000;
	}
	relay_run(relay, list, ARRIVALS);
	for (uint32_t i = 0; i < ARRIVALS; i++) {
		assert_int_equal(list[i].status, HF_OK);
		hf_admission_clear(&list[i].admission);
	}
	free(list);
	free(events);
}

struct arrivals {
	bool has[ARRIVALS];
	uint32_t count, paused;
};

static int take_arrived(void *context, const struct hf_doc *doc)
{
	struct arrivals *got = context;
	struct hf_event head;
	if (got->count % 7 == 3 && got->paused++ % 2 == 0)
		return HF_ETOOBIG;
	assert_int_equal(hf_event_unpack_head(doc->payload, &head, NULL), HF_OK);
	uint32_t number = hf_load_be32(head.id);
	assert_false(got->has[number]);
	got->has[number] = true;
	got->count++;
	return HF_OK;
}

static void expect_arrivals(struct relay *relay, const struct hf_filter *filter, enum hf_plan plan, uint32_t first, uint32_t step,
	uint32_t count)
{
	static struct arrivals got;
	struct hf_event_query *query;
	struct hf_event_query_options options = {.collection = RELAY_COLLECTION, .filters = filter, .filter_count = 1, .limit_max = LIMIT_MAX,
		.now_s = NOW, .arrival_now_ms = ARRIVED_MS + (ARRIVALS - 1) * 1000, .emit = take_arrived, .context = &got};
	enum hf_read_mode mode = HF_READ_RESIDENT;
	int r;
	got = (struct arrivals){.count = 0};
	assert_int_equal(hf_event_query_open(&query, relay->store, hf_store_snapshot(relay->store), &options), HF_OK);
	assert_int_equal(hf_event_query_plan(query), plan);
	while ((r = hf_event_query_step(query, mode, 5)) != HF_OK) {
		assert_true(r == HF_EBUSY || r == HF_ETOOBIG || (r == HF_EWAIT && mode == HF_READ_RESIDENT));
		mode = HF_READ_BLOCKING;
	}
	assert_int_equal(hf_event_query_count(query), count);
	assert_int_equal(got.count, count);
	for (uint32_t i = 0; i < count; i++)
		assert_true(got.has[first + i * step]);
	hf_event_query_close(query);
}

static void test_what_arrived_lately_is_found_whatever_its_date(void **state)
{
	static const uint32_t rare[] = {2};
	struct hf_filter filter = {.until = UINT64_MAX, .limit = UINT64_MAX, .arrived_within_s = 200};
	struct relay relay;
	relay_new(&relay, 64, true);
	relay_receive(&relay);
	expect_arrivals(&relay, &filter, HF_PLAN_ARRIVAL, ARRIVALS - 201, 1, 201); /* the relay's own limit is for what is asked by date */
	filter.arrived_within_s = 1;
	expect_arrivals(&relay, &filter, HF_PLAN_ARRIVAL, ARRIVALS - 2, 1, 2);
	filter.limit = 1;
	expect_arrivals(&relay, &filter, HF_PLAN_ARRIVAL, ARRIVALS - 2, 1, 1);
	filter.limit = UINT64_MAX;
	filter.arrived_within_s = UINT64_MAX / 2; /* since ever */
	expect_arrivals(&relay, &filter, HF_PLAN_ARRIVAL, 0, 1, ARRIVALS);
	filter.arrived_within_s = 250; /* few candidates: by the index */
	filter.has_kinds = true;
	filter.kinds = rare;
	filter.kind_count = 1;
	expect_arrivals(&relay, &filter, HF_PLAN_KIND, 1000, 100, 2);
	hf_store_close(relay.store); /* sealed, and read again from the disk */
	relay_open(&relay);
	filter = (struct hf_filter){.until = UINT64_MAX, .limit = UINT64_MAX, .since = 100000 - 1100, .arrived_within_s = 300};
	expect_arrivals(&relay, &filter, HF_PLAN_ARRIVAL, 899, 1, 202); /* the filter's own dates hold */
	relay_free(&relay);
}

/* Every allocation fails in turn; the step that met it is made again and nothing is lost or sent twice. */
static void test_a_query_survives_each_failed_allocation(void **state)
{
	struct relay relay;
	struct model m;
	static struct model_filter made[FILTER_COUNT_MAX];
	static const struct model_event *list[MODEL_EVENT_COUNT_MAX];
	struct hf_filter filters[FILTER_COUNT_MAX];
	model_new(&m, 61);
	relay_new(&relay, 32, true);
	relay_grow(&relay, &m, 200);
	uint32_t count = sorted_events(&m, list);
	for (uint32_t i = 0; i < 40; i++) {
		static struct answer got, wanted;
		for (uint32_t f = 0; f < FILTER_COUNT_MAX; f++) {
			model_random_filter(&m, &made[f]);
			filters[f] = made[f].filter;
		}
		struct hf_event_query_options options = options_for(filters, FILTER_COUNT_MAX, &got);
		wanted.count = 0;
		naive(list, count, &options, &wanted);
		bool failed = true;
		for (uint64_t n = 1; failed; n++) {
			struct hf_event_query *query;
			got.count = 0;
			got.random = &m.random;
			struct hf_snapshot *snapshot = hf_store_snapshot(relay.store);
			fail_alloc_arm(n, false);
			int r = hf_event_query_open(&query, relay.store, snapshot, &options);
			if (r < 0) {
				assert_int_equal(r, HF_ENOMEM);
				assert_null(query);
				assert_true(fail_alloc_disarm());
				continue;
			}
			do {
				r = hf_event_query_step(query, HF_READ_BLOCKING, UINT32_MAX);
				assert_true(r == HF_OK || r == HF_ENOMEM || r == HF_ECLOSED);
			} while (r != HF_OK);
			failed = fail_alloc_disarm();
			assert_int_equal(got.count, wanted.count);
			assert_memory_equal(got.ids, wanted.ids, wanted.count * sizeof wanted.ids[0]);
			hf_event_query_close(query);
		}
	}
	relay_free(&relay);
	model_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plans_follow_the_members_of_a_filter),
		cmocka_unit_test(test_what_arrived_lately_is_found_whatever_its_date),
		cmocka_unit_test(test_many_ids_are_newest_first_beyond_what_is_held),
		cmocka_unit_test(test_a_query_survives_each_failed_allocation),
		cmocka_unit_test(test_random_filters_in_memory),
		cmocka_unit_test(test_random_filters_over_segments_and_merges),
		cmocka_unit_test(test_random_filters_while_sealing_in_the_background),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
