/* map, ordered and timers, each against a naive model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/map.h"
#include "base/ordered.h"
#include "base/timers.h"
#include "support/fail_alloc.h"

#define KEY_COUNT 500
#define STEP_COUNT 20000

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

static void test_map_agrees_with_an_array(void **state)
{
	static char names[KEY_COUNT][16];
	void *model[KEY_COUNT] = {0};
	size_t count = 0;
	uint32_t random = 1;
	struct hf_map map;
	hf_map_init(&map, 42);
	for (int i = 0; i < KEY_COUNT; i++)
		snprintf(names[i], sizeof names[i], "key %d", i);
	for (int step = 0; step < STEP_COUNT; step++) {
		uint32_t at = next_random(&random) % KEY_COUNT;
		struct hf_slice key = hf_slice_text(names[at]);
		void *previous;
		/* Alternately growing and shrinking. */
		if (next_random(&random) % 4 < (step / 2000 % 2 ? 1u : 3u)) {
			void *value = &names[next_random(&random) % KEY_COUNT];
			assert_int_equal(hf_map_put(&map, key, value, &previous), HF_OK);
			assert_ptr_equal(previous, model[at]);
			count += model[at] == NULL;
			model[at] = value;
		} else {
			assert_ptr_equal(hf_map_remove(&map, key), model[at]);
			count -= model[at] != NULL;
			model[at] = NULL;
		}
		assert_int_equal(map.count, count);
		at = next_random(&random) % KEY_COUNT;
		assert_ptr_equal(hf_map_get(&map, hf_slice_text(names[at])), model[at]);
	}
	for (int i = 0; i < KEY_COUNT; i++)
		assert_ptr_equal(hf_map_get(&map, hf_slice_text(names[i])), model[i]);
	size_t cursor = 0, seen = 0;
	while (hf_map_next(&map, &cursor))
		seen++;
	assert_int_equal(seen, count);
	hf_map_free(&map);
}

static void test_what_a_map_has_reserved_needs_no_memory(void **state)
{
	static char names[KEY_COUNT][16];
	struct hf_map map;
	hf_map_init(&map, 42);
	for (int i = 0; i < KEY_COUNT; i++)
		snprintf(names[i], sizeof names[i], "key %d", i);
	for (int i = 0; i < KEY_COUNT; i += 50) {
		fail_alloc_arm(1, false);
		int refused = hf_map_reserve(&map, 50);
		if (fail_alloc_disarm()) {
			assert_int_equal(refused, HF_ENOMEM);
			assert_int_equal(hf_map_reserve(&map, 50), HF_OK);
		}
		fail_alloc_arm(1, false);
		for (int k = i; k < i + 50; k++)
			assert_int_equal(hf_map_put(&map, hf_slice_text(names[k]), names[k], NULL), HF_OK);
		assert_false(fail_alloc_disarm());
	}
	for (int i = 0; i < KEY_COUNT; i++)
		assert_ptr_equal(hf_map_get(&map, hf_slice_text(names[i])), names[i]);
	hf_map_free(&map);
}

/* ---- ordered ---- */

static size_t depth_of(const struct hf_ordered_node *node)
{
	size_t low = node ? depth_of(node->low) : 0, high = node ? depth_of(node->high) : 0;
	return node ? 1 + (low > high ? low : high) : 0;
}

static void test_ordered_agrees_with_an_array(void **state)
{
	static char names[KEY_COUNT][16];
	static struct hf_ordered_node nodes[KEY_COUNT];
	bool is_in[KEY_COUNT] = {false};
	uint32_t random = 1;
	struct hf_ordered set = {.seed = 42};
	for (int i = 0; i < KEY_COUNT; i++)
		snprintf(names[i], sizeof names[i], "key %03d", i);
	assert_null(hf_ordered_after(&set, (struct hf_slice){0}));
	for (int step = 0; step < STEP_COUNT; step++) {
		uint32_t at = next_random(&random) % KEY_COUNT;
		if (is_in[at])
			hf_ordered_remove(&set, &nodes[at]);
		else
			hf_ordered_put(&set, &nodes[at], hf_slice_text(names[at]));
		is_in[at] = !is_in[at];
		assert_ptr_equal(hf_ordered_get(&set, hf_slice_text(names[at])), is_in[at] ? &nodes[at] : NULL);
		at = next_random(&random) % KEY_COUNT;
		uint32_t next = at + 1;
		while (next < KEY_COUNT && !is_in[next])
			next++;
		assert_ptr_equal(hf_ordered_after(&set, hf_slice_text(names[at])), next < KEY_COUNT ? &nodes[next] : NULL);
	}
	size_t count = 0, seen = 0;
	for (int i = 0; i < KEY_COUNT; i++)
		count += is_in[i];
	for (struct hf_ordered_node *node = hf_ordered_after(&set, (struct hf_slice){0}); node; node = hf_ordered_after(&set, node->key))
		seen++;
	assert_int_equal(seen, count);
}

/* Keys that come in order are the worst that there are for a tree without chance in it. */
static void test_ordered_is_not_deep(void **state)
{
	static struct hf_ordered_node nodes[STEP_COUNT];
	static char names[STEP_COUNT][16];
	struct hf_ordered set = {.seed = 7};
	for (int i = 0; i < STEP_COUNT; i++) {
		snprintf(names[i], sizeof names[i], "%08d", i);
		hf_ordered_put(&set, &nodes[i], hf_slice_text(names[i]));
	}
	assert_in_range(depth_of(set.root), 14, 50);
}

static void test_map_out_of_memory_changes_nothing(void **state)
{
	struct hf_map map;
	int value;
	hf_map_init(&map, 1);
	fail_alloc_arm(1, false);
	assert_int_equal(hf_map_put(&map, HF_SLICE_LITERAL("a"), &value, NULL), HF_ENOMEM);
	assert_true(fail_alloc_disarm());
	assert_null(hf_map_get(&map, HF_SLICE_LITERAL("a")));
	assert_null(hf_map_remove(&map, HF_SLICE_LITERAL("a")));
	assert_int_equal(hf_map_put(&map, HF_SLICE_LITERAL("a"), &value, NULL), HF_OK);
	assert_ptr_equal(hf_map_get(&map, HF_SLICE_LITERAL("a")), &value);
	hf_map_free(&map);
}

/* Every bit of input and seed reaches about half of the output, at every length. */
static void test_hash_spreads(void **state)
{
	uint8_t data[40] = {0};
	unsigned flips = 0, trials = 0;
	for (size_t length = 1; length <= sizeof data; length++) {
		uint64_t plain = hf_hash64(data, length, 7);
		for (size_t bit = 0; bit < 8 * length; bit++) {
			data[bit / 8] ^= (uint8_t)(1u << bit % 8);
			unsigned changed = (unsigned)__builtin_popcountll(plain ^ hf_hash64(data, length, 7));
			data[bit / 8] ^= (uint8_t)(1u << bit % 8);
			assert_in_range(changed, 8, 56);
			flips += changed;
			trials++;
		}
		assert_true(plain != hf_hash64(data, length, 8));
		assert_true(plain != hf_hash64(data, length - 1, 7));
	}
	assert_in_range(flips / trials, 31, 32);
}

static uint64_t fired[STEP_COUNT];
static size_t fired_count;

static void note(struct hf_timer *timer)
{
	assert_int_equal(timer->place, 0);
	fired[fired_count++] = timer->deadline_us;
}

static void test_timers_fire_in_order(void **state)
{
	static struct hf_timer timers[KEY_COUNT];
	struct hf_timers queue = {0};
	uint32_t random = 3;
	fired_count = 0;
	for (int i = 0; i < KEY_COUNT; i++)
		timers[i].fire = note;
	for (int step = 0; step < 5000; step++) {
		struct hf_timer *timer = &timers[next_random(&random) % KEY_COUNT];
		if (next_random(&random) % 4)
			assert_int_equal(hf_timer_set(&queue, timer, next_random(&random) % 1000), HF_OK);
		else
			hf_timer_cancel(&queue, timer);
		uint64_t earliest = UINT64_MAX;
		for (int i = 0; i < KEY_COUNT && step % 50 == 0; i++) {
			if (timers[i].place && timers[i].deadline_us < earliest)
				earliest = timers[i].deadline_us;
		}
		if (step % 50 == 0)
			assert_true(hf_timers_next_us(&queue) == earliest);
	}
	size_t armed = queue.count;
	hf_timers_run(&queue, 499);
	for (size_t i = 0; i < fired_count; i++)
		assert_true(fired[i] <= 499 && (i == 0 || fired[i - 1] <= fired[i]));
	assert_true(hf_timers_next_us(&queue) > 499);
	hf_timers_run(&queue, 1000);
	assert_int_equal(fired_count, armed);
	assert_true(hf_timers_next_us(&queue) == UINT64_MAX);
	hf_timers_free(&queue);
}

struct repeating {
	struct hf_timer timer;
	struct hf_timers *queue;
	int count;
};

static void fire_again(struct hf_timer *timer)
{
	struct repeating *repeating = (struct repeating *)timer;
	repeating->count++;
	assert_int_equal(hf_timer_set(repeating->queue, timer, 0), HF_OK);
}

static void test_timer_set_for_now_does_not_hold_the_loop(void **state)
{
	struct hf_timers queue = {0};
	struct repeating repeating = {.timer.fire = fire_again, .queue = &queue};
	assert_int_equal(hf_timer_set(&queue, &repeating.timer, 5), HF_OK);
	hf_timers_run(&queue, 4);
	assert_int_equal(repeating.count, 0);
	hf_timers_run(&queue, 5);
	assert_int_equal(repeating.count, 1);
	hf_timers_free(&queue);
	assert_int_equal(repeating.timer.place, 0);
	fail_alloc_arm(1, false);
	assert_int_equal(hf_timer_set(&queue, &repeating.timer, 5), HF_ENOMEM);
	assert_true(fail_alloc_disarm());
	assert_int_equal(repeating.timer.place, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_map_agrees_with_an_array),
		cmocka_unit_test(test_what_a_map_has_reserved_needs_no_memory),
		cmocka_unit_test(test_ordered_agrees_with_an_array),
		cmocka_unit_test(test_ordered_is_not_deep),
		cmocka_unit_test(test_map_out_of_memory_changes_nothing),
		cmocka_unit_test(test_hash_spreads),
		cmocka_unit_test(test_timers_fire_in_order),
		cmocka_unit_test(test_timer_set_for_now_does_not_hold_the_loop),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
