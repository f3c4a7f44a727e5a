/* What a relay's bee answers, beside looking at every event: random events and filters, whole and sparse bees; and what is told of it as it
 * grows. */
#include "bee_fixture.h"

#include "crypto/hash.h"
#include "data/relay_bee.h"
#include "data/relay_bee_query.h"
#include "event_model.h"

#define FILTER_COUNT_MAX 3
#define LIMIT_MAX 60
#define NOW (MODEL_TIME_BASE + MODEL_TIME_SPAN)

/* A bee and, when it is sparse, where its blocks come from. */
struct world {
	struct model model;
	struct core_node node, reader_node;
	struct hf_core *source, *reader;
	struct hf_bee *writer, *bee;
	size_t fetched;
	bool is_sparse;
};

struct answer {
	uint8_t ids[FILTER_COUNT_MAX * LIMIT_MAX][32];
	uint32_t count;
	struct model_random *random;
};

/* ---- The bee ---- */

/* The model's ids are any; those of a bee are hashes. */
static void set_id(struct model_event *e)
{
	struct hf_buffer text = {0};
	char pubkey[65];
	model_hex(pubkey, e->event.pubkey, 32);
	assert_int_equal(hf_buffer_printf(&text, "[0,\"%s\",%llu,%u,%s,\"%s\"]", pubkey, (unsigned long long)e->event.created_at, e->event.kind,
		e->tags_text, e->content_text), HF_OK);
	hf_sha256(e->event.id, hf_buffer_slice(&text));
	hf_buffer_free(&text);
}

static int put_row(void *context, struct hf_slice key, struct hf_slice value)
{
	return hf_bee_put(context, key, &value, NULL);
}

static int delete_row(void *context, struct hf_slice key, struct hf_slice value)
{
	int r = hf_bee_del(context, key, NULL);
	return r == HF_ENOTFOUND ? HF_OK : r; /* the same tag twice */
}

static void put_event(struct world *w, const struct hf_event *event)
{
	struct hf_buffer json = {0};
	assert_int_equal(hf_event_to_json(event, &json), HF_OK);
	assert_int_equal(hf_relay_bee_rows(event, hf_buffer_slice(&json), put_row, w->writer), HF_OK);
	hf_buffer_free(&json);
}

static void grow(struct world *w, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		struct model_event *e = model_make(&w->model);
		set_id(e);
		if (model_admit(&w->model) == HF_OK)
			put_event(w, &e->event);
		if (model_chance(&w->model.random, 20))
			bee_flush(w->writer);
	}
	/* What the new ones have taken the place of. */
	for (uint32_t i = 0; i < w->model.count; i++) {
		struct model_event *e = &w->model.events[i];
		if (!e->alive && e->content_text[0] != '-') {
			bool has_copy = false;
			for (uint32_t k = 0; k < w->model.count; k++)
				has_copy |= w->model.events[k].alive && memcmp(w->model.events[k].event.id, e->event.id, 32) == 0;
			if (!has_copy)
				assert_int_equal(hf_relay_bee_rows(&e->event, hf_slice(NULL, 0), delete_row, w->writer), HF_OK);
		}
	}
	bee_flush(w->writer);
	core_commit(w->source);
}

static void exchange(struct world *w, const struct hf_proof_request *request)
{
	struct hf_buffer bytes = {0};
	struct hf_proof proof;
	bool grew;
	assert_int_equal(hf_core_prove(w->source, hf_core_fork(w->reader), request, &bytes, &proof), HF_OK);
	assert_int_equal(hf_core_put_proof(w->reader, &proof, &grew, NULL), HF_OK);
	hf_buffer_free(&bytes);
}

static void follow_core(struct world *w)
{
	uint64_t ours = hf_core_length(w->reader), theirs = hf_core_length(w->source);
	struct hf_proof_request request = {.wants_manifest = true, .has_upgrade = true, .upgrade = {ours, theirs - ours}};
	if (theirs > ours)
		exchange(w, &request);
	core_commit(w->reader);
}

/* Brings what the bee waits for: the first block alone. */
static void fetch(struct world *w)
{
	size_t count;
	const uint64_t *wants = hf_bee_wants(w->bee, &count);
	struct hf_proof_request request = {.has_block = true, .block.index = wants[0]};
	assert_true(w->is_sparse && count > 0);
	assert_int_equal(hf_core_missing_nodes(w->reader, wants[0], &request.block.nodes), HF_OK);
	exchange(w, &request);
	w->fetched++;
}

static void world_new(struct world *w, uint64_t seed, bool is_sparse)
{
	memset(w, 0, sizeof *w);
	hf_crypto_init();
	model_new(&w->model, seed);
	core_node_make(&w->node, 1);
	w->source = bee_core(&w->node, 3);
	w->writer = bee_on(hf_core_ref(w->source));
	w->is_sparse = is_sparse;
	if (is_sparse) {
		core_node_make(&w->reader_node, 2);
		w->reader = core_by_key(&w->reader_node, hf_core_key(w->source));
		w->bee = bee_on(hf_core_ref(w->reader));
	} else {
		w->bee = w->writer;
	}
}

static void world_free(struct world *w)
{
	if (w->is_sparse) {
		hf_bee_close(w->bee);
		hf_core_unref(w->reader);
		core_node_remove(&w->reader_node);
	}
	hf_bee_close(w->writer);
	hf_core_unref(w->source);
	core_node_remove(&w->node);
	model_free(&w->model);
}

/* ---- Queries ---- */

static int take(void *context, const struct hf_event *event)
{
	struct answer *answer = context;
	if (model_chance(answer->random, 10))
		return HF_ECLOSED;
	assert_true(answer->count < MODEL_COUNT(answer->ids));
	memcpy(answer->ids[answer->count++], event->id, 32);
	return HF_OK;
}

static bool is_no_wrap(void *context, const struct hf_event *event)
{
	return event->kind != 1059;
}

static int newest_first(const void *a, const void *b)
{
	const struct model_event *x = *(struct model_event *const *)a, *y = *(struct model_event *const *)b;
	return model_is_newer(x, y) ? -1 : model_is_newer(y, x);
}

static void naive(const struct model *m, const struct hf_relay_bee_query_options *options, struct answer *answer)
{
	static const struct model_event *list[MODEL_EVENT_COUNT_MAX];
	bool given[MODEL_EVENT_COUNT_MAX] = {false};
	uint32_t count = 0;
	for (uint32_t i = 0; i < m->count; i++)
		if (m->events[i].alive)
			list[count++] = &m->events[i];
	qsort(list, count, sizeof *list, newest_first);
	for (uint32_t f = 0; f < options->filter_count; f++) {
		const struct hf_filter *filter = &options->filters[f];
		uint64_t left = filter->limit < options->limit_max ? filter->limit : options->limit_max;
		for (uint32_t i = 0; i < count && left > 0; i++) {
			if (given[i] || list[i]->expiration <= options->now_s || (options->readable && list[i]->event.kind == 1059) ||
				!model_matches(filter, list[i]))
				continue;
			given[i] = true;
			left--;
			memcpy(answer->ids[answer->count++], list[i]->event.id, 32);
		}
	}
}

static int finish(struct world *w, struct hf_relay_bee_query *query, bool is_paged)
{
	int r;
	do {
		r = hf_relay_bee_query_step(query, is_paged ? 1 + model_below(&w->model.random, 20) : UINT32_MAX);
		if (r == HF_EWAIT)
			fetch(w);
	} while (r == HF_EWAIT || r == HF_EBUSY || r == HF_ECLOSED);
	return r;
}

static void one_case(struct world *w)
{
	static struct model_filter made[FILTER_COUNT_MAX];
	static struct answer got, wanted;
	struct model_random *random = &w->model.random;
	struct hf_filter filters[FILTER_COUNT_MAX];
	struct hf_relay_bee_query *query;
	struct hf_bee_view *view;
	got.count = wanted.count = 0;
	got.random = random;
	uint32_t filter_count = model_chance(random, 60) ? 1 : 1 + model_below(random, FILTER_COUNT_MAX);
	for (uint32_t i = 0; i < filter_count; i++) {
		model_random_filter(&w->model, &made[i]);
		filters[i] = made[i].filter;
	}
	assert_int_equal(hf_bee_snapshot(w->bee, &view), HF_OK);
	struct hf_relay_bee_query_options options = {.view = view, .filters = filters, .filter_count = filter_count, .limit_max = LIMIT_MAX,
		.now_s = NOW, .readable = model_chance(random, 20) ? is_no_wrap : NULL, .emit = take, .context = &got};
	assert_int_equal(hf_relay_bee_query_open(&query, &options), HF_OK);
	assert_int_equal(finish(w, query, model_chance(random, 50)), HF_OK);
	naive(&w->model, &options, &wanted);
	assert_int_equal(got.count, wanted.count);
	assert_int_equal(hf_relay_bee_query_count(query), wanted.count);
	for (uint32_t i = 0; i < got.count; i++)
		assert_memory_equal(got.ids[i], wanted.ids[i], 32);
	hf_relay_bee_query_close(query);
	hf_bee_view_free(view);
}

static void random_queries(uint64_t seed, bool is_sparse, uint32_t round_count, uint32_t case_count)
{
	struct world w;
	world_new(&w, seed, is_sparse);
	for (uint32_t round = 0; round < round_count; round++) {
		grow(&w, 100);
		if (is_sparse)
			follow_core(&w);
		for (uint32_t i = 0; i < case_count; i++)
			one_case(&w);
	}
	if (is_sparse)
		assert_true(w.fetched > 100 && w.fetched <= hf_core_length(w.source));
	world_free(&w);
}

static void test_random_filters_are_answered_as_by_looking_at_all(void **state)
{
	for (uint64_t seed = 1; seed <= 6; seed++)
		random_queries(seed, false, 4, 400);
}

static void test_a_sparse_bee_answers_the_same(void **state)
{
	for (uint64_t seed = 20; seed <= 23; seed++)
		random_queries(seed, true, 2, 60);
}

/* One event of everything given. */
static struct model_event *add(struct world *w, uint64_t created_at, uint32_t kind, const char *tag_value)
{
	struct model_event *e = &w->model.events[w->model.count++];
	memset(e, 0, sizeof *e);
	e->event.created_at = created_at;
	e->event.kind = kind;
	e->expiration = UINT64_MAX;
	e->alive = true;
	if (tag_value)
		model_add_tag(e, "t", tag_value);
	snprintf(e->content_text, sizeof e->content_text, "event %u", w->model.count);
	model_finish(e);
	set_id(e);
	put_event(w, &e->event);
	return e;
}

static uint32_t ask(struct world *w, const struct hf_filter *filter, struct answer *answer)
{
	struct model_random random = {1};
	struct hf_relay_bee_query *query;
	struct hf_relay_bee_query_options options = {.view = hf_bee_latest(w->bee), .filters = filter, .filter_count = 1,
		.limit_max = MODEL_COUNT(answer->ids), .now_s = NOW, .emit = take, .context = answer};
	answer->count = 0;
	answer->random = &random;
	assert_int_equal(hf_relay_bee_query_open(&query, &options), HF_OK);
	assert_int_equal(finish(w, query, false), HF_OK);
	hf_relay_bee_query_close(query);
	return answer->count;
}

static void test_until_is_inclusive_and_a_limit_is_of_the_newest(void **state)
{
	struct world w;
	struct answer answer;
	uint32_t kinds[] = {7};
	struct hf_filter filter = {.kinds = kinds, .kind_count = 1, .has_kinds = true, .since = 12, .until = 15, .limit = UINT64_MAX};
	world_new(&w, 1, false);
	for (uint64_t t = 10; t < 20; t++)
		add(&w, t, 7, NULL);
	bee_flush(w.writer);
	assert_int_equal(ask(&w, &filter, &answer), 4);
	assert_memory_equal(answer.ids[0], w.model.events[5].event.id, 32);
	assert_memory_equal(answer.ids[3], w.model.events[2].event.id, 32);
	filter.limit = 1;
	assert_int_equal(ask(&w, &filter, &answer), 1);
	assert_memory_equal(answer.ids[0], w.model.events[5].event.id, 32);
	filter.since = filter.until = 19;
	assert_int_equal(ask(&w, &filter, &answer), 1);
	assert_memory_equal(answer.ids[0], w.model.events[9].event.id, 32);
	world_free(&w);
}

/* "x:created_at:…" is no "x", and eleven digits stand among ten in the order of keys. */
static void test_rows_that_only_look_like_it_are_passed_over(void **state)
{
	struct world w;
	struct answer answer;
	struct hf_slice value = HF_SLICE_LITERAL("x");
	struct hf_filter filter = {.tag_count = 1, .tags = {{'t', 1, &value}}, .until = UINT64_MAX, .limit = UINT64_MAX};
	world_new(&w, 1, false);
	add(&w, 1700000000, 1, "x:created_at:1700000001:id:");
	const struct model_event *right = add(&w, 1700000002, 1, "x");
	add(&w, 17000000030, 1, "x");
	bee_flush(w.writer);
	assert_int_equal(ask(&w, &filter, &answer), 1);
	assert_memory_equal(answer.ids[0], right->event.id, 32);
	world_free(&w);
}

/* Rows of a bee that somebody else writes may lead to nothing, or to an event that is not what its id says. */
static void test_what_is_no_event_is_left_out(void **state)
{
	struct world w;
	struct answer answer;
	struct hf_filter filter = {.until = UINT64_MAX, .limit = UINT64_MAX};
	struct hf_event forged;
	struct hf_slice nothing = HF_SLICE_LITERAL("{}");
	world_new(&w, 1, false);
	const struct model_event *good = add(&w, 100, 1, NULL);
	forged = good->event;
	forged.created_at = 200;
	forged.id[0] ^= 1;
	put_event(&w, &forged);
	forged.id[0] ^= 2;
	assert_int_equal(hf_relay_bee_rows(&forged, nothing, put_row, w.writer), HF_OK);
	forged.id[0] ^= 4;
	assert_int_equal(hf_relay_bee_rows(&forged, nothing, put_row, w.writer), HF_OK);
	assert_int_equal(hf_bee_del(w.writer, hf_slice(forged.id, 32), NULL), HF_OK);
	bee_flush(w.writer);
	assert_int_equal(ask(&w, &filter, &answer), 1);
	assert_memory_equal(answer.ids[0], good->event.id, 32);
	world_free(&w);
}

/* ---- Following ---- */

static int next(struct world *w, struct hf_relay_bee_follower *follower, const struct hf_event **event)
{
	int r;
	while ((r = hf_relay_bee_follower_next(follower, event)) == HF_EWAIT)
		fetch(w);
	return r;
}

static void test_a_follower_is_told_of_every_event_once_and_reads_no_rows(void **state)
{
	struct world w;
	struct hf_relay_bee_follower follower = {0};
	const struct hf_event *event;
	uint32_t told = 0;
	world_new(&w, 5, true);
	for (uint32_t i = 0; i < 20; i++)
		add(&w, 100 + i, 1, i % 3 ? "x" : NULL);
	bee_flush(w.writer);
	core_commit(w.source);
	follow_core(&w);
	hf_relay_bee_follow(&follower, w.bee, hf_bee_version(w.bee));
	assert_int_equal(next(&w, &follower, &event), HF_ENOTFOUND);
	for (uint32_t round = 0; round < 5; round++) {
		for (uint32_t i = 0; i < 20; i++) {
			add(&w, 200 + i, 1, i % 3 ? "x" : NULL);
			if (i % 7 == 0)
				bee_flush(w.writer);
		}
		/* Deletions are no events, and what follows them is found. */
		const struct hf_event *gone = &w.model.events[round].event;
		assert_int_equal(hf_relay_bee_rows(gone, hf_slice(NULL, 0), delete_row, w.writer), HF_OK);
		add(&w, 300, 1, NULL);
		bee_flush(w.writer);
		core_commit(w.source);
		follow_core(&w);
		while (next(&w, &follower, &event) == HF_OK)
			assert_memory_equal(event->id, w.model.events[20 + told++].event.id, 32);
		assert_int_equal(told, 21 * (round + 1));
	}
	assert_in_range(w.fetched, 105, 105 + 5 * 12);
	hf_relay_bee_follow(&follower, w.writer, 10);
	assert_int_equal(hf_core_truncate(w.source, 20, HF_CORE_NEXT_FORK), HF_OK);
	assert_int_equal(hf_relay_bee_follower_next(&follower, &event), HF_ECANCELED);
	hf_relay_bee_follower_free(&follower);
	world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_filters_are_answered_as_by_looking_at_all),
		cmocka_unit_test(test_a_sparse_bee_answers_the_same),
		cmocka_unit_test(test_until_is_inclusive_and_a_limit_is_of_the_newest),
		cmocka_unit_test(test_rows_that_only_look_like_it_are_passed_over),
		cmocka_unit_test(test_what_is_no_event_is_left_out),
		cmocka_unit_test(test_a_follower_is_told_of_every_event_once_and_reads_no_rows),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
