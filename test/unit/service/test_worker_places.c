/* Who has one of a worker's places, where whoever can make keys can be any number of gateways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "service/worker/places.h"

#define COUNT 16
#define DAY_MS (86400ull * 1000)

static struct hf_worker_place places[COUNT];
static bool leaver;

static void fill(size_t from, size_t to, struct hf_worker_place with)
{
	for (size_t i = from; i < to; i++)
		places[i] = with;
}

static size_t ask(enum hf_worker_rank rank, size_t owed) { return hf_worker_place_for(places, COUNT, rank, owed, &leaver); }

static const struct hf_worker_place nobody = {.is_free = true};
static const struct hf_worker_place settled = {.rank = HF_WORKER_STRANGER, .was_connected = true, .is_connected = true, .known_ms = DAY_MS,
	.taken_ms = DAY_MS};

static void test_sixteen_strangers_do_not_keep_a_named_one_out(void **state)
{
	/* They come first: what is owed to named ones stays free. */
	fill(0, COUNT, nobody);
	for (size_t i = 0; i < COUNT; i++) {
		size_t place = ask(HF_WORKER_STRANGER, 2);
		assert_int_equal(place, i < COUNT - 2 ? i : COUNT);
		if (place < COUNT)
			places[place] = settled;
	}
	assert_int_equal(ask(HF_WORKER_NAMED, 2), COUNT - 2);
	assert_false(leaver);
	/* They were there before somebody was named, connected and read. */
	fill(0, COUNT, settled);
	places[7].known_ms = 60000;
	for (size_t i = 0; i < COUNT; i++)
		places[i].is_read = true;
	assert_int_equal(ask(HF_WORKER_NAMED, 1), 7);
	assert_true(leaver);
	/* One that is leaving already is not asked twice. */
	places[7].is_leaving = true;
	assert_int_not_equal(ask(HF_WORKER_NAMED, 2), 7);
}

static void test_more_named_ones_than_places_do_not_send_each_other_away(void **state)
{
	fill(0, COUNT, (struct hf_worker_place){.rank = HF_WORKER_NAMED});
	places[3].rank = HF_WORKER_CONFIGURED;
	assert_int_equal(ask(HF_WORKER_NAMED, 1), COUNT);
	assert_int_equal(ask(HF_WORKER_STRANGER, 1), COUNT);
	assert_int_equal(ask(HF_WORKER_VISITOR, 1), COUNT);
}

static void test_who_came_first_stays(void **state)
{
	fill(0, COUNT, settled);
	places[2].is_connected = false; /* away for a while */
	for (int i = 0; i < 1000; i++)
		assert_int_equal(ask(HF_WORKER_STRANGER, 0), COUNT);
	/* One that was never connected has its time, and then another one may try: the one that is known for the shortest. */
	places[5] = places[9] = (struct hf_worker_place){.rank = HF_WORKER_STRANGER, .taken_ms = HF_WORKER_PROBATION_MS - 1, .known_ms = 1000};
	assert_int_equal(ask(HF_WORKER_STRANGER, 0), COUNT);
	places[5].taken_ms = places[9].taken_ms = HF_WORKER_PROBATION_MS;
	places[9].known_ms = 999;
	assert_int_equal(ask(HF_WORKER_STRANGER, 0), 9);
	assert_true(leaver);
}

static void test_visitors_give_way_as_soon_as_they_are_gone(void **state)
{
	fill(0, COUNT, (struct hf_worker_place){.rank = HF_WORKER_VISITOR, .was_connected = true, .is_connected = true});
	assert_int_equal(ask(HF_WORKER_VISITOR, 0), COUNT);
	assert_int_equal(ask(HF_WORKER_STRANGER, 0), COUNT);
	assert_true(ask(HF_WORKER_NAMED, 0) < COUNT);
	places[11].is_connected = false;
	assert_int_equal(ask(HF_WORKER_VISITOR, 0), 11);
	assert_int_equal(ask(HF_WORKER_STRANGER, 0), 11);
	/* And they send nobody away who was heard of. */
	fill(0, COUNT, (struct hf_worker_place){.rank = HF_WORKER_STRANGER, .taken_ms = DAY_MS});
	assert_int_equal(ask(HF_WORKER_VISITOR, 0), COUNT);
}

static void test_who_was_known_for_long_is_kept_for_as_long(void **state)
{
	const uint64_t forget_ms = 600000;
	assert_false(hf_worker_place_is_lost(HF_WORKER_STRANGER, 0, forget_ms - 1, forget_ms));
	assert_true(hf_worker_place_is_lost(HF_WORKER_STRANGER, 0, forget_ms, forget_ms));
	assert_false(hf_worker_place_is_lost(HF_WORKER_STRANGER, DAY_MS, DAY_MS, forget_ms));
	assert_true(hf_worker_place_is_lost(HF_WORKER_STRANGER, DAY_MS, DAY_MS + forget_ms, forget_ms));
	assert_true(hf_worker_place_is_lost(HF_WORKER_STRANGER, 1000 * DAY_MS, 31 * DAY_MS, forget_ms)); /* but not for ever */
	assert_true(hf_worker_place_is_lost(HF_WORKER_VISITOR, DAY_MS, forget_ms, forget_ms));
	assert_false(hf_worker_place_is_lost(HF_WORKER_CONFIGURED, 0, 1000 * DAY_MS, forget_ms));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sixteen_strangers_do_not_keep_a_named_one_out),
		cmocka_unit_test(test_more_named_ones_than_places_do_not_send_each_other_away),
		cmocka_unit_test(test_who_came_first_stays),
		cmocka_unit_test(test_visitors_give_way_as_soon_as_they_are_gone),
		cmocka_unit_test(test_who_was_known_for_long_is_kept_for_as_long),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
