/* Each allocation between the arrival of an event and its copy for a subscriber fails once, on whichever thread makes it:
 * the loop, a worker or the store's writer. The publisher hears a verdict or is disconnected; a verdict is true; a
 * subscriber gets what was accepted or is disconnected; and the relay goes on. That nothing leaks is for the sanitizer.
 */
#include "relay_fixture.h"

#include "support/fail_alloc.h"

#define ALLOCATION_COUNT_MAX 2000
#define QUIET_ROUNDS 5 /* other threads allocate too: one round without a failure may be luck */

struct round {
	struct client *publisher, *subscriber;
	struct signed_event event;
	bool accepted, refused, failed;
	char reason[256];
};

static void forget_clients(struct fixture *f)
{
	bool open = true;
	for (size_t i = 0; i < f->client_count; i++)
		if (!f->clients[i].is_closed)
			hf_websocket_close(f->clients[i].ws, 1000, "");
	while (open) {
		open = !hf_relay_is_idle(f->relay);
		for (size_t i = 0; i < f->client_count; i++)
			open |= !f->clients[i].is_closed;
		if (open)
			hf_loop_poll(f->loop, true);
	}
	for (size_t i = 0; i < f->client_count; i++) {
		for (size_t k = f->clients[i].from; k < f->clients[i].count; k++)
			free(f->clients[i].messages[k]);
		f->clients[i] = (struct client){0};
	}
	f->client_count = 0;
}

static bool has_news(const struct client *c)
{
	return c->is_closed || c->from < c->count;
}

static void read_verdict(struct fixture *f, struct round *r)
{
	char id[65], verdict[8];
	if (r->publisher->from == r->publisher->count)
		return;
	char *text = take(r->publisher);
	if (sscanf(text, "[\"OK\",\"%64[0-9a-f]\",%7[a-z],\"%255[^\"]", id, verdict, r->reason) < 2)
		fail_msg("no verdict: %s", text);
	free(text);
	assert_string_equal(id, r->event.id);
	r->accepted = strcmp(verdict, "true") == 0;
	r->refused = !r->accepted;
}

/* The event is sent, and the n-th allocation from then on fails. */
static struct round publish_failing(struct fixture *f, uint64_t n, const char *tags)
{
	struct round r = {.subscriber = join_relay(f, NULL), .publisher = join_relay(f, NULL)};
	char content[32];
	snprintf(content, sizeof content, "allocation %llu", (unsigned long long)n);
	r.event = make_event(f, n % 4, 1, hf_env_wall_s(&f->env), tags, content);
	say(r.subscriber, "[\"REQ\",\"live\",{\"kinds\":[1],\"limit\":0}]");
	expect(r.subscriber, "[\"EOSE\",\"live\"]");
	say(r.publisher, "[\"EVENT\",%s]", r.event.json);
	fail_alloc_arm(n, true);
	UNTIL(f, has_news(r.publisher));
	read_verdict(f, &r);
	if (r.accepted)
		UNTIL(f, has_news(r.subscriber));
	r.failed = fail_alloc_disarm();
	return r;
}

static void check_round(struct fixture *f, struct round *r)
{
	struct client *reader = join_relay(f, NULL);
	if (r->refused && strncmp(r->reason, "error: ", 7) != 0)
		fail_msg("refused with %s", r->reason);
	if (r->accepted && r->subscriber->from < r->subscriber->count)
		expect(r->subscriber, "[\"EVENT\",\"live\",{\"id\":\"%s\"", r->event.id);
	say(reader, "[\"REQ\",\"stored\",{\"ids\":[\"%s\"]}]", r->event.id);
	if (r->accepted) {
		expect(reader, "[\"EVENT\",\"stored\",{\"id\":\"%s\"", r->event.id);
		expect(reader, "[\"EOSE\"");
	}
	if (r->refused)
		expect(reader, "[\"EOSE\"");
	forget_clients(f);
	/* The refused one is taken the second time; and it was not left among those in flight. */
	struct client *again = join_relay(f, NULL);
	say(again, "[\"EVENT\",%s]", r->event.json);
	expect(again, "[\"OK\",\"%s\",true", r->event.id);
	forget_clients(f);
}

/* cold: a new relay for each failure, whose buffers have never grown. */
static void fail_each(const char *tags, bool cold)
{
	struct fixture *f = fixture_new(NULL);
	unsigned quiet = 0, refused = 0, closed = 0;
	uint64_t n = 1;
	for (; quiet < QUIET_ROUNDS; n++) {
		assert_true(n < ALLOCATION_COUNT_MAX);
		struct round r = publish_failing(f, n, tags);
		quiet = r.failed ? 0 : quiet + 1;
		refused += r.refused;
		closed += r.publisher->is_closed;
		if (!r.failed)
			assert_true(r.accepted);
		check_round(f, &r);
		if (cold) {
			fixture_free(f);
			f = fixture_new(NULL);
		}
	}
	print_message("%llu allocations failed: %u events refused, %u publishers disconnected\n", (unsigned long long)n - QUIET_ROUNDS - 1, refused, closed);
	fixture_free(f);
}

static void test_each_allocation_of_a_small_event_fails_cleanly(void **state)
{
	fail_each("[]", false);
}

static void test_each_allocation_of_a_first_event_fails_cleanly(void **state)
{
	fail_each("[]", true);
}

static void test_each_allocation_of_an_event_with_many_tags_fails_cleanly(void **state)
{
	char tags[4096] = "[[\"d\",\"x\"]";
	for (int i = 0; i < 40; i++)
		snprintf(tags + strlen(tags), sizeof tags - strlen(tags), ",[\"t\",\"topic %d\"],[\"p\",\"%064x\"]", i, i);
	strcat(tags, "]");
	fail_each(tags, false);
	fail_each(tags, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_allocation_of_a_small_event_fails_cleanly),
		cmocka_unit_test(test_each_allocation_of_a_first_event_fails_cleanly),
		cmocka_unit_test(test_each_allocation_of_an_event_with_many_tags_fails_cleanly),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
