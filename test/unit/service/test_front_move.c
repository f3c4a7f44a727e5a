/* What becomes of subscriptions when their worker goes: nothing is missed, and nothing comes twice, whatever its date, however much was
 * delivered before, and whatever the gateway takes for the time. */
#include "front_fixture.h"

#define RELAY "/npub1x/myRelay"
#define EVENT "[\"EVENT\",{\"id\":\"00000001%056d\",\"pubkey\":\"x\",\"created_at\":5,\"content\":\"published\"}]"

static uint64_t (*real_wall_ms)(struct hf_env *env), (*real_monotonic_us)(struct hf_env *env);
static uint64_t wall_ahead_ms, later_us;
static uint64_t moved_wall_ms(struct hf_env *env) { return real_wall_ms(env) + wall_ahead_ms; }
static uint64_t moved_monotonic_us(struct hf_env *env) { return real_monotonic_us(env) + later_us; }

/* What the world's clocks say, whatever the gateway's does. */
static uint64_t now_s(struct door *d)
{
	return real_wall_ms(&d->net.env) / 1000;
}

static void open_movable(struct door *d, size_t worker_count, struct hf_front_options options)
{
	wall_ahead_ms = later_us = 0;
	open_door(d, worker_count, options);
	real_wall_ms = d->net.env.wall_ms;
	real_monotonic_us = d->net.env.monotonic_us;
	d->net.env.wall_ms = moved_wall_ms;
	d->net.env.monotonic_us = moved_monotonic_us;
}

/* The worker goes; the next one's stream. */
static struct hf_worker_stream *move(struct door *d, struct hf_worker_stream *from)
{
	go(d, (size_t)(from->worker - workers));
	struct hf_worker_stream *to = last_stream();
	assert_ptr_not_equal(from->worker, to->worker);
	begin_stream(to);
	return to;
}

/* It was asked to resume so: `before`, a number of seconds (a slow machine takes some of its own), `after`. */
static void assert_resumed(struct hf_worker_stream *s, const char *before, unsigned long seconds, const char *after)
{
	hf_buffer_append(&s->sent, "", 1);
	const char *at = s->sent.length > 1 ? strstr((const char *)s->sent.data, before) : NULL;
	char *end = NULL;
	if (!at)
		fail_msg("%s is not in %s", before, (const char *)s->sent.data);
	assert_in_range(strtoul(at + strlen(before), &end, 10), seconds, seconds + 15);
	if (strncmp(end, after, strlen(after)) != 0)
		fail_msg("%s does not go on with %s", end, after);
	s->sent.length--;
}

static void assert_counts(struct door *d, int fd, const char *const *once, const char *const *never)
{
	char *heard = hear_for(d, fd, 50);
	for (; *once; once++)
		if (count_of(heard, *once) != 1)
			fail_msg("%s came %zu times", *once, count_of(heard, *once));
	for (; *never; never++)
		if (count_of(heard, *never) != 0)
			fail_msg("%s came", *never);
	free(heard);
}
#define LIST(...) (const char *const[]){__VA_ARGS__, NULL}

static void test_a_subscription_moves_without_a_miss_or_a_repeat(void **state)
{
	struct door d;
	open_movable(&d, 2, (struct hf_front_options){.overlap_s = 100});
	int fd = dial_websocket(&d.net, RELAY, "");
	struct hf_worker_stream *first = last_stream();
	uint64_t now = now_s(&d);
	char asked[200], event[200];
	begin_stream(first);
	say_message(&d, fd, "[\"REQ\",\"live\",{\"kinds\":[1],\"limit\":10,\"since\":7},{\"limit\":3}]");
	tell_event(first, "live", 1, now - 1000); /* long ago */
	tell_event(first, "live", 2, now - 10);
	tell(first, "[\"EOSE\",\"live\"]");
	tell_event(first, "live", 3, now);
	say_message(&d, fd, "[\"REQ\",\"half\",{\"limit\":50}]");
	tell_event(first, "half", 4, 400);
	snprintf(event, sizeof event, EVENT, 0);
	say_message(&d, fd, event);
	go(&d, first->worker == &workers[0] ? 0 : 1);
	struct hf_worker_stream *second = last_stream();
	assert_ptr_not_equal(first->worker, second->worker);
	begin_stream(second);
	/* Asked again: the live one for what is dated a while ago or later, and for what has just arrived; the other one as it was; the event. */
	snprintf(asked, sizeof asked, "[\"RESUME\",\"live\",{\"kinds\":[1],\"since\":%llu},{\"since\":%llu},", (unsigned long long)(now - 100),
		(unsigned long long)(now - 100));
	assert_resumed(second, asked, 1, ",{\"kinds\":[1],\"since\":7},{}]");
	assert_true(was_sent(second, "[\"REQ\",\"half\",{\"limit\":50}]"));
	assert_true(was_sent(second, "published"));
	tell_event(second, "live", 2, now - 10);
	tell_event(second, "live", 3, now);
	tell_event(second, "live", 5, now); /* came meanwhile */
	tell_event(second, "live", 8, 9);   /* the same, with an old date */
	tell(second, "[\"EOSE\",\"live\"]");
	tell_event(second, "live", 3, now); /* only now copied to it */
	tell_event(second, "half", 4, 400);
	tell_event(second, "half", 6, 300);
	tell(second, "[\"EOSE\",\"half\"]");
	tell_event(second, "half", 7, now);
	snprintf(event, sizeof event, "[\"OK\",\"00000001%056d\",true,\"duplicate:\"]", 0);
	tell(second, event);
	char *heard = hear_for(&d, fd, 50);
	for (unsigned i = 1; i <= 8; i++) {
		char what[8];
		snprintf(what, sizeof what, "e%u.", i);
		assert_int_equal(count_of(heard, what), 1);
	}
	assert_int_equal(count_of(heard, "[\"EOSE\",\"live\"]"), 1);
	assert_int_equal(count_of(heard, "[\"EOSE\",\"half\"]"), 1);
	assert_int_equal(count_of(heard, "\"OK\""), 1);
	free(heard);
	struct hf_front_stats stats;
	hf_front_stats(d.front, &stats);
	assert_int_equal(stats.moved_count, 1);
	assert_int_equal(stats.repeated_count, 4);
	close(fd);
	close_door(&d);
}

/* An event that is dated long before the overlap comes to the other worker while the subscription is at none. */
static void test_what_is_dated_far_back_is_not_missed_in_a_move(void **state)
{
	struct door d;
	open_movable(&d, 2, (struct hf_front_options){.overlap_s = 100});
	int fd = dial_websocket(&d.net, RELAY, "");
	struct hf_worker_stream *first = last_stream();
	uint64_t now = now_s(&d);
	char asked[120];
	begin_stream(first);
	say_message(&d, fd, "[\"REQ\",\"all\",{\"kinds\":[1]}]");
	say_message(&d, fd, "[\"REQ\",\"few\",{\"kinds\":[2],\"limit\":2}]");
	say_message(&d, fd, "[\"REQ\",\"none\",{\"kinds\":[3],\"limit\":2}]");
	tell_event(first, "all", 1, now - 9000);
	tell(first, "[\"EOSE\",\"all\"]");
	tell_event(first, "all", 2, now - 8000);
	tell_event(first, "few", 3, now - 10);
	tell_event(first, "few", 4, now - 20); /* as many as it wants */
	tell(first, "[\"EOSE\",\"few\"]");
	tell(first, "[\"EOSE\",\"none\"]");
	free(hear_for(&d, fd, 50));
	struct hf_worker_stream *second = move(&d, first);
	assert_resumed(second, "[\"RESUME\",\"all\",{\"kinds\":[1]},", 1, ",{\"kinds\":[1]}]");
	snprintf(asked, sizeof asked, "[\"RESUME\",\"few\",{\"kinds\":[2],\"since\":%llu},", (unsigned long long)(now - 110));
	assert_resumed(second, asked, 1, ",{\"kinds\":[2]}]");
	assert_resumed(second, "[\"RESUME\",\"none\",{\"kinds\":[3],\"limit\":2},", 1, ",{\"kinds\":[3]}]");
	tell_event(second, "all", 5, now - 8500);
	tell_event(second, "all", 2, now - 8000);
	tell_event(second, "all", 1, now - 9000);
	tell_event(second, "few", 3, now - 10);
	tell_event(second, "few", 6, now - 8500);
	tell_event(second, "none", 7, now - 8500);
	for (size_t i = 0; i < 3; i++)
		tell(second, (const char *const[]){"[\"EOSE\",\"all\"]", "[\"EOSE\",\"few\"]", "[\"EOSE\",\"none\"]"}[i]);
	assert_counts(&d, fd, LIST("e5.", "e6.", "e7."), LIST("e1.", "e2.", "e3.", "EOSE"));
	close(fd);
	close_door(&d);
}

/* Past the bound what is old may come again, but nothing is missed, and what came of late does not come again. */
static void test_a_subscription_that_got_more_than_is_kept_misses_nothing(void **state)
{
	struct door d;
	open_movable(&d, 2, (struct hf_front_options){.overlap_s = 100});
	int fd = dial_websocket(&d.net, RELAY, "");
	struct hf_worker_stream *first = last_stream();
	uint64_t now = now_s(&d);
	begin_stream(first);
	say_message(&d, fd, "[\"REQ\",\"many\",{\"kinds\":[2]}]");
	tell(first, "[\"EOSE\",\"many\"]");
	for (unsigned i = 1; i <= HF_FRONT_SEEN_MAX + 1000; i++) {
		tell_event(first, "many", i, now - 9000);
		if (i % 500 == 0)
			free(hear_for(&d, fd, 2));
	}
	free(hear_for(&d, fd, 300));
	later_us += 30000000;
	struct hf_worker_stream *second = move(&d, first);
	char asked[80];
	snprintf(asked, sizeof asked, "[\"RESUME\",\"many\",{\"kinds\":[2],\"since\":%llu},", (unsigned long long)(now - 9100));
	assert_resumed(second, asked, 31, ",{\"kinds\":[2]}]");
	tell_event(second, "many", 1, now - 9000);
	tell_event(second, "many", HF_FRONT_SEEN_MAX + 999, now - 9000);
	tell_event(second, "many", HF_FRONT_SEEN_MAX + 2000, now - 8500);
	tell(second, "[\"EOSE\",\"many\"]");
	assert_counts(&d, fd, LIST("e1.", "e18384."), LIST("e17383.", "EOSE"));
	close(fd);
	close_door(&d);
}

/* How long ago what it asks for may have arrived: as long as it was without a worker, and then some; but not before the client asked. */
static void test_the_gap_is_as_long_as_a_subscription_was_without_a_worker(void **state)
{
	struct door d;
	open_movable(&d, 3, (struct hf_front_options){.overlap_s = 100});
	int fd = dial_websocket(&d.net, RELAY, "");
	struct hf_worker_stream *first = last_stream();
	begin_stream(first);
	say_message(&d, fd, "[\"REQ\",\"s\",{\"limit\":1}]");
	uint64_t now = now_s(&d);
	char asked[80];
	tell_event(first, "s", 1, now);
	tell(first, "[\"EOSE\",\"s\"]");
	later_us += 3600000000u;
	turn(&d.net, 5);
	struct hf_worker_stream *second = move(&d, first);
	snprintf(asked, sizeof asked, "[\"RESUME\",\"s\",{\"since\":%llu},", (unsigned long long)(now - 100));
	assert_resumed(second, asked, 60, ",{}]");
	later_us += 40000000; /* it does not answer that */
	turn(&d.net, 5);
	struct hf_worker_stream *third = second->is_closed ? last_stream() : move(&d, second);
	assert_resumed(third, asked, 100, ",{}]");
	tell(third, "[\"EOSE\",\"s\"]");
	close(fd);
	close_door(&d);
}

/* The gateway's clock is an hour ahead: no subscription is asked for from the future on. */
static void test_a_clock_that_is_ahead_makes_nothing_be_missed(void **state)
{
	for (int is_hypertuna = 0; is_hypertuna < 2; is_hypertuna++) {
		struct door d;
		open_movable(&d, 2, (struct hf_front_options){.overlap_s = 100});
		wall_ahead_ms = 3600000;
		workers[0].is_hypertuna = workers[1].is_hypertuna = is_hypertuna;
		int fd = dial_websocket(&d.net, RELAY, "");
		struct hf_worker_stream *first = last_stream();
		uint64_t now = now_s(&d);
		char asked[120];
		begin_stream(first);
		say_message(&d, fd, "[\"REQ\",\"few\",{\"limit\":1}]");
		say_message(&d, fd, "[\"REQ\",\"none\",{\"limit\":2}]");
		tell_event(first, "few", 1, now - 20);
		tell(first, "[\"EOSE\",\"few\"]");
		tell(first, "[\"EOSE\",\"none\"]");
		tell_event(first, "few", 2, now - 10);
		struct hf_worker_stream *second = move(&d, first);
		snprintf(asked, sizeof asked, "[\"%s\",\"few\",{\"since\":%llu}", is_hypertuna ? "REQ" : "RESUME", (unsigned long long)(now - 110));
		assert_true(was_sent(second, asked));
		assert_true(was_sent(second, is_hypertuna ? "[\"REQ\",\"none\",{\"limit\":2}]" : "[\"RESUME\",\"none\",{\"limit\":2},"));
		tell_event(second, "few", 2, now - 10);
		tell_event(second, "few", 3, now - 5);
		tell_event(second, "none", 4, now - 5);
		tell(second, "[\"EOSE\",\"few\"]");
		tell(second, "[\"EOSE\",\"none\"]");
		tell_event(second, "few", 5, now);
		assert_counts(&d, fd, LIST("e1.", "e2.", "e3.", "e4.", "e5."), LIST("e6."));
		close(fd);
		close_door(&d);
	}
}

/* Hypertuna's workers cannot tell what came when: by date, without limits, and what is dated before that was delivered. */
static void test_who_cannot_tell_what_came_when_is_asked_by_date(void **state)
{
	struct door d;
	open_movable(&d, 2, (struct hf_front_options){.overlap_s = 100});
	workers[0].is_hypertuna = workers[1].is_hypertuna = true;
	int fd = dial_websocket(&d.net, RELAY, "");
	struct hf_worker_stream *first = last_stream();
	uint64_t now = now_s(&d);
	begin_stream(first);
	say_message(&d, fd, "[\"REQ\",\"all\",{\"kinds\":[1]}]");
	say_message(&d, fd, "[\"REQ\",\"few\",{\"kinds\":[2],\"limit\":1}]");
	tell_event(first, "all", 1, now - 9000);
	tell_event(first, "few", 2, now);
	tell(first, "[\"EOSE\",\"all\"]");
	tell(first, "[\"EOSE\",\"few\"]");
	struct hf_worker_stream *second = move(&d, first);
	assert_true(was_sent(second, "[\"REQ\",\"all\",{\"kinds\":[1]}]"));
	assert_true(was_sent(second, "[\"REQ\",\"few\",{\"kinds\":[2],\"since\":"));
	tell_event(second, "all", 3, now - 9500);
	tell_event(second, "few", 4, now - 9500); /* who gives what was not asked for */
	tell(second, "[\"EOSE\",\"all\"]");
	tell(second, "[\"EOSE\",\"few\"]");
	assert_counts(&d, fd, LIST("e1.", "e2.", "e3."), LIST("e4."));
	close(fd);
	close_door(&d);
}

static void test_only_gateways_resume(void **state)
{
	struct door d;
	open_movable(&d, 1, (struct hf_front_options){0});
	int fd = dial_websocket(&d.net, RELAY, "");
	say_message(&d, fd, "[\"RESUME\",\"s\",100000,{}]");
	expect(&d.net, fd, "Malformed Nostr frame");
	assert_int_equal(last_stream()->sent.length, 0);
	close(fd);
	close_door(&d);
}

/* ---- What was seen ---- */

#define SECOND_US UINT64_C(1000000)

static void note(struct hf_front_seen *seen, uint32_t number, uint64_t created_at_s, uint64_t now_us, uint64_t since_s)
{
	uint8_t id[32] = {0};
	hf_store_be32(id, number);
	assert_int_equal(hf_front_seen_note(seen, id, created_at_s, now_us, since_s), HF_OK);
}

static bool knows(const struct hf_front_seen *seen, uint32_t number)
{
	uint8_t id[32] = {0};
	hf_store_be32(id, number);
	return hf_front_seen_knows(seen, id);
}

static void test_what_was_seen_is_bounded_and_the_newest_stay(void **state)
{
	struct hf_front_seen seen = {0};
	for (uint32_t i = 0; i < 40000; i++)
		note(&seen, i, i, SECOND_US, 0);
	assert_true(seen.count <= HF_FRONT_SEEN_MAX && seen.has_forgotten);
	assert_false(knows(&seen, 39999));
	hf_front_seen_check(&seen);
	assert_true(knows(&seen, 39999) && knows(&seen, 39999 - HF_FRONT_SEEN_MAX / 2 + 1));
	assert_false(knows(&seen, 5));
	assert_true(hf_front_seen_bytes(&seen) <= HF_FRONT_SEEN_MAX * 24);
	for (uint32_t i = 40000; i < 60000; i++) { /* the other worker's answer */
		assert_false(knows(&seen, i));
		note(&seen, i, i, SECOND_US, 0);
		assert_true(knows(&seen, i) || seen.known_count == HF_FRONT_SEEN_MAX);
	}
	assert_true(hf_front_seen_bytes(&seen) <= HF_FRONT_SEEN_MAX * 24);
	hf_front_seen_end_check(&seen);
	hf_front_seen_trim(&seen, 1000 * SECOND_US, 59999);
	assert_int_equal(seen.count, HF_FRONT_SEEN_ALL_MAX);
	assert_true(knows(&seen, 39999)); /* another worker may still be given it */
	hf_front_seen_check(&seen);
	assert_true(knows(&seen, 59999) && knows(&seen, 60000 - HF_FRONT_SEEN_ALL_MAX));
	assert_false(knows(&seen, 59999 - HF_FRONT_SEEN_ALL_MAX));
	hf_front_seen_free(&seen);
	assert_int_equal(hf_front_seen_bytes(&seen), 0);
}

static void test_what_came_of_late_or_is_dated_so_is_kept(void **state)
{
	struct hf_front_seen seen = {0};
	for (uint32_t i = 0; i < 3000; i++) /* one a second; the first thousand are dated late */
		note(&seen, i, i < 1000 ? 100000 : 5, i * SECOND_US, 0);
	hf_front_seen_trim(&seen, 3000 * SECOND_US, 90000);
	hf_front_seen_check(&seen);
	assert_true(seen.has_forgotten);
	assert_int_equal(seen.count, 1000 + HF_FRONT_SEEN_ALL_MAX);
	assert_true(knows(&seen, 0) && knows(&seen, 999) && knows(&seen, 2999) && knows(&seen, 2700));
	assert_false(knows(&seen, 1000) || knows(&seen, 2000));
	for (uint32_t i = 3000; i < 4000; i++)
		note(&seen, i, 5, 3000 * SECOND_US, 90000);
	hf_front_seen_trim(&seen, (3000 + HF_FRONT_SEEN_KEPT_S) * SECOND_US, 90000);
	assert_int_equal(seen.count, 2000);
	hf_front_seen_trim(&seen, (3001 + HF_FRONT_SEEN_KEPT_S) * SECOND_US, 200000);
	assert_int_equal(seen.count, HF_FRONT_SEEN_ALL_MAX);
	hf_front_seen_free(&seen);
}

static void test_the_latest_date_is_neither_a_wrong_clocks_nor_one_from_the_future(void **state)
{
	struct hf_front_seen seen = {0};
	assert_int_equal(hf_front_seen_latest_s(&seen, 700), 700);
	note(&seen, 1, 600, SECOND_US, 0);
	note(&seen, 2, 500, SECOND_US, 0);
	assert_int_equal(hf_front_seen_latest_s(&seen, 4300), 600);
	note(&seen, 3, 900, SECOND_US, 0);
	assert_int_equal(hf_front_seen_latest_s(&seen, 700), 700);
	hf_front_seen_free(&seen);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_subscription_moves_without_a_miss_or_a_repeat),
		cmocka_unit_test(test_what_is_dated_far_back_is_not_missed_in_a_move),
		cmocka_unit_test(test_a_subscription_that_got_more_than_is_kept_misses_nothing),
		cmocka_unit_test(test_the_gap_is_as_long_as_a_subscription_was_without_a_worker),
		cmocka_unit_test(test_a_clock_that_is_ahead_makes_nothing_be_missed),
		cmocka_unit_test(test_who_cannot_tell_what_came_when_is_asked_by_date),
		cmocka_unit_test(test_only_gateways_resume),
		cmocka_unit_test(test_what_was_seen_is_bounded_and_the_newest_stay),
		cmocka_unit_test(test_what_came_of_late_or_is_dated_so_is_kept),
		cmocka_unit_test(test_the_latest_date_is_neither_a_wrong_clocks_nor_one_from_the_future),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
