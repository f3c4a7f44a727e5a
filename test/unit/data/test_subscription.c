/* Live filters against matching every filter with every event. */
#include "data/event/subscription.h"
#include "event_model.h"
#include "support/fail_alloc.h"

#define SUBSCRIPTION_COUNT 300
#define FILTER_COUNT_MAX 3

struct live {
	struct hf_subscription subscription; /* the first member: each casts */
	struct hf_filter filters[FILTER_COUNT_MAX];
	struct model_filter made[FILTER_COUNT_MAX];
	bool added;
	uint32_t hits;
};

static void hit(void *context, struct hf_subscription *subscription)
{
	struct live *live = (struct live *)(void *)subscription;
	live->hits++;
	++*(uint32_t *)context;
}

static void add(struct model *m, struct hf_subscriptions *set, struct live *live)
{
	uint32_t count = 1 + model_below(&m->random, FILTER_COUNT_MAX);
	for (uint32_t i = 0; i < count; i++) {
		model_random_filter(m, &live->made[i]);
		live->filters[i] = live->made[i].filter;
	}
	live->subscription = (struct hf_subscription){.filters = live->filters, .filter_count = count,
		.from_position = model_chance(&m->random, 20) ? model_below(&m->random, 2000) : 0};
	assert_int_equal(hf_subscriptions_add(set, &live->subscription), HF_OK);
	live->added = true;
}

static bool expected(const struct live *live, const struct model_event *e, uint64_t position)
{
	for (uint32_t i = 0; live->added && i < live->subscription.filter_count; i++)
		if (position >= live->subscription.from_position && !live->filters[i].matches_nothing &&
			model_matches(&live->filters[i], e))
			return true;
	return false;
}

static void test_each_match_once_and_nothing_else(void **state)
{
	for (uint64_t seed = 1; seed <= 4; seed++) {
		struct model m;
		struct hf_subscriptions *set;
		struct live *lives = calloc(SUBSCRIPTION_COUNT, sizeof *lives);
		assert_non_null(lives);
		model_new(&m, seed);
		assert_int_equal(hf_subscriptions_new(&set, seed), HF_OK);
		for (uint32_t round = 0; round < 2000; round++) {
			struct live *live = &lives[model_below(&m.random, SUBSCRIPTION_COUNT)];
			if (live->added) {
				hf_subscriptions_remove(set, &live->subscription);
				live->added = false;
			} else {
				add(&m, set, live);
			}
			const struct model_event *e = model_make(&m);
			m.count++;
			uint32_t hits = 0, wanted = 0;
			hf_subscriptions_match(set, &e->event, round, hit, &hits);
			for (uint32_t i = 0; i < SUBSCRIPTION_COUNT; i++) {
				wanted += expected(&lives[i], e, round);
				assert_int_equal(lives[i].hits, expected(&lives[i], e, round));
				lives[i].hits = 0;
			}
			assert_int_equal(hits, wanted);
		}
		size_t left = 0;
		for (uint32_t i = 0; i < SUBSCRIPTION_COUNT; i++)
			left += lives[i].added;
		assert_int_equal(hf_subscriptions_count(set), left);
		for (uint32_t i = 0; i < SUBSCRIPTION_COUNT; i++)
			if (lives[i].added)
				hf_subscriptions_remove(set, &lives[i].subscription);
		assert_int_equal(hf_subscriptions_count(set), 0);
		assert_int_equal(hf_subscriptions_entry_count(set), 0);
		hf_subscriptions_free(set);
		model_free(&m);
		free(lives);
	}
}

/* Filters of one kind each, as the parser would make them. */
static struct hf_filter filter_of_kind(const uint32_t *kind)
{
	return (struct hf_filter){.kinds = kind, .kind_count = 1, .has_kinds = true, .until = UINT64_MAX, .limit = UINT64_MAX};
}

static void test_a_popular_key_can_be_taken_apart_in_any_order(void **state)
{
	enum { COUNT = 1000 };
	static const uint32_t kind = 1;
	struct hf_filter filter = filter_of_kind(&kind);
	struct live *lives = calloc(COUNT, sizeof *lives);
	struct hf_subscriptions *set;
	struct model m;
	assert_non_null(lives);
	model_new(&m, 9);
	assert_int_equal(hf_subscriptions_new(&set, 1), HF_OK);
	for (uint32_t i = 0; i < COUNT; i++) {
		lives[i].subscription = (struct hf_subscription){.filters = &filter, .filter_count = 1};
		assert_int_equal(hf_subscriptions_add(set, &lives[i].subscription), HF_OK);
	}
	struct model_event *e = model_make(&m);
	e->event.kind = 1;
	for (uint32_t left = COUNT; left > 0; left--) {
		uint32_t hits = 0;
		if (left % 50 == 0) {
			hf_subscriptions_match(set, &e->event, 0, hit, &hits);
			assert_int_equal(hits, left);
		}
		uint32_t i = model_below(&m.random, COUNT);
		while (!lives[i].subscription.entries)
			i = (i + 1) % COUNT;
		hf_subscriptions_remove(set, &lives[i].subscription);
	}
	assert_int_equal(hf_subscriptions_entry_count(set), 0);
	hf_subscriptions_free(set);
	model_free(&m);
	free(lives);
}

static void test_an_event_at_or_above_the_position_is_matched(void **state)
{
	static const uint32_t kind = 1;
	struct hf_filter filter = filter_of_kind(&kind);
	struct live live = {.subscription = {.filters = &filter, .filter_count = 1, .from_position = 100}};
	struct hf_subscriptions *set;
	struct model m;
	model_new(&m, 3);
	assert_int_equal(hf_subscriptions_new(&set, 1), HF_OK);
	assert_int_equal(hf_subscriptions_add(set, &live.subscription), HF_OK);
	struct model_event *e = model_make(&m);
	e->event.kind = 1;
	uint32_t hits = 0;
	hf_subscriptions_match(set, &e->event, 99, hit, &hits);
	assert_int_equal(hits, 0);
	hf_subscriptions_match(set, &e->event, 100, hit, &hits);
	assert_int_equal(hits, 1);
	hf_subscriptions_remove(set, &live.subscription);
	hf_subscriptions_remove(set, &live.subscription);
	hf_subscriptions_free(set);
	model_free(&m);
}

/* ["t","a"], count times, then ["t","b<i>"] for each i below `others`. */
static struct hf_event event_of_tags(struct hf_buffer *tags, uint32_t count, uint32_t others)
{
	assert_int_equal(hf_buffer_append_text(tags, "["), HF_OK);
	for (uint32_t i = 0; i < count + others; i++) {
		if (i < count)
			hf_buffer_printf(tags, "%s[\"t\",\"a\"]", i ? "," : "");
		else
			hf_buffer_printf(tags, "%s[\"t\",\"b%u\"]", i ? "," : "", i - count);
	}
	assert_int_equal(hf_buffer_append_text(tags, "]"), HF_OK);
	return (struct hf_event){.kind = 1, .tags = hf_buffer_slice(tags)};
}

static void test_equal_tags_walk_their_subscriptions_once(void **state)
{
	enum { COUNT = 50 };
	static const struct hf_slice a = HF_SLICE_LITERAL("a");
	static const uint32_t tag_counts[][2] = {{1, 0}, {2000, 0}, {1, 1999}, {1000, 1000}, {20, 3}};
	struct hf_filter filter = {.tags = {{'t', 1, &a}}, .tag_count = 1, .until = UINT64_MAX, .limit = UINT64_MAX};
	struct hf_slice values[40];
	char texts[40][8];
	for (size_t i = 0; i < 40; i++) {
		snprintf(texts[i], sizeof texts[i], "b%zu", i);
		values[i] = hf_slice_text(texts[i]);
	}
	struct hf_filter many = {.tags = {{'t', 40, values}}, .tag_count = 1, .until = UINT64_MAX, .limit = UINT64_MAX};
	struct live lives[COUNT + 1] = {0};
	struct hf_subscriptions *set;
	assert_int_equal(hf_subscriptions_new(&set, 1), HF_OK);
	for (uint32_t i = 0; i <= COUNT; i++) {
		lives[i].subscription = (struct hf_subscription){.filters = i < COUNT ? &filter : &many, .filter_count = 1};
		assert_int_equal(hf_subscriptions_add(set, &lives[i].subscription), HF_OK);
	}
	for (size_t i = 0; i < sizeof tag_counts / sizeof *tag_counts; i++) {
		struct hf_buffer tags = {0};
		struct hf_event event = event_of_tags(&tags, tag_counts[i][0], tag_counts[i][1]);
		uint32_t hits = 0, others = tag_counts[i][1] < 40 ? tag_counts[i][1] : 40;
		assert_int_equal(hf_subscriptions_match(set, &event, 0, hit, &hits), COUNT + others);
		assert_int_equal(hits, COUNT + (others > 0));
		hf_buffer_free(&tags);
	}
	for (uint32_t i = 0; i <= COUNT; i++)
		hf_subscriptions_remove(set, &lives[i].subscription);
	hf_subscriptions_free(set);
}

static void test_a_failed_add_leaves_the_set_as_it_was(void **state)
{
	struct model m;
	struct hf_subscriptions *set;
	struct live *lives = calloc(SUBSCRIPTION_COUNT, sizeof *lives);
	assert_non_null(lives);
	model_new(&m, 4);
	assert_int_equal(hf_subscriptions_new(&set, 1), HF_OK);
	for (uint32_t i = 0; i < SUBSCRIPTION_COUNT; i++) {
		model_random_filter(&m, &lives[i].made[0]);
		lives[i].subscription = (struct hf_subscription){.filters = &lives[i].made[0].filter, .filter_count = 1};
		for (uint64_t n = 1;; n++) {
			size_t entries = hf_subscriptions_entry_count(set);
			fail_alloc_arm(n, false);
			int r = hf_subscriptions_add(set, &lives[i].subscription);
			if (!fail_alloc_disarm()) {
				assert_int_equal(r, HF_OK);
				break;
			}
			assert_int_equal(r, HF_ENOMEM);
			assert_int_equal(hf_subscriptions_entry_count(set), entries);
			assert_int_equal(hf_subscriptions_count(set), i);
		}
	}
	for (uint32_t i = 0; i < SUBSCRIPTION_COUNT; i++)
		hf_subscriptions_remove(set, &lives[i].subscription);
	hf_subscriptions_free(set);
	model_free(&m);
	free(lives);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_match_once_and_nothing_else),
		cmocka_unit_test(test_a_popular_key_can_be_taken_apart_in_any_order),
		cmocka_unit_test(test_an_event_at_or_above_the_position_is_matched),
		cmocka_unit_test(test_equal_tags_walk_their_subscriptions_once),
		cmocka_unit_test(test_a_failed_add_leaves_the_set_as_it_was),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
