/* REQs that others look up for a busy relay: the client gets what the relay's own index would have given it, whatever they answer. */
#include "relay_fixture.h"

#include "service/relay/delegate.h"

#define QUESTION_MAX 16

/* Who is asked: the test answers in his place. */
static struct {
	struct fixture *f;
	struct hf_relay_question *questions[QUESTION_MAX];
	char messages[QUESTION_MAX][512];
	size_t count, canceled, judged[3];
	bool refuses;
} asked;

static int ask(void *context, struct hf_relay_question *question, struct hf_slice message, void **handle)
{
	if (asked.refuses)
		return HF_EBUSY;
	assert_true(asked.count < QUESTION_MAX);
	snprintf(asked.messages[asked.count], sizeof asked.messages[0], "%.*s", (int)message.length, (const char *)message.data);
	asked.questions[asked.count++] = question;
	*handle = &asked;
	return HF_OK;
}

static void cancel(void *context, void *handle)
{
	assert_ptr_equal(handle, &asked);
	asked.canceled++;
}

static void judged(void *context, void *handle, enum hf_relay_verdict verdict)
{
	assert_ptr_equal(handle, &asked);
	asked.judged[verdict]++;
}

static int set_up(void **state)
{
	static const char *const flags[] = {"relay-bee=yes", "relay-bee-interval=5ms", NULL};
	struct fixture *f = fixture_new(flags);
	static const struct hf_relay_delegate delegate = {.ask = ask, .cancel = cancel, .judged = judged};
	memset(&asked, 0, sizeof asked);
	hf_relay_set_delegate(f->relay, &delegate);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	fixture_free(*state);
	return 0;
}

static struct hf_relay_bee_facts bee_of(struct fixture *f)
{
	struct hf_relay_bee_facts facts;
	hf_relay_bee_facts(hf_relay_bee(f->relay), &facts);
	return facts;
}

/* All that was accepted is in the bee. */
static struct hf_relay_bee_facts settled_bee(struct fixture *f)
{
	UNTIL(f, bee_of(f).lag_events == 0 && bee_of(f).version > 0);
	return bee_of(f);
}

static struct hf_relay_question *next_question(struct fixture *f, size_t number)
{
	UNTIL(f, asked.count > number);
	return asked.questions[number];
}

static void give(struct hf_relay_question *question, const struct signed_event *e)
{
	assert_int_equal(hf_relay_delegate_event(question, hf_slice_text(e->json)), HF_OK);
}

static void end(struct hf_relay_question *question, const struct hf_relay_bee_facts *facts)
{
	hf_relay_delegate_answered(question, facts->version, facts->fork, 500);
}

static void expect_event(struct client *c, const struct signed_event *e)
{
	expect(c, "[\"EVENT\",\"s\",{\"id\":\"%s\"", e->id);
}

static struct signed_event note_at(struct fixture *f, uint64_t created_at, const char *content)
{
	return make_event(f, 0, 1, created_at, "[]", content);
}

/* Nothing more comes, and above all no second EOSE. */
static void expect_silence(struct client *c)
{
	say(c, "[\"COUNT\",\"end\",{\"kinds\":[9999]}]");
	expect(c, "[\"COUNT\",\"end\"");
}

static void test_what_others_find_is_given_with_what_came_since_and_once(void **state)
{
	struct fixture *f = *state;
	struct client *c = join_relay(f, NULL), *writer = join_relay(f, NULL);
	uint64_t now = hf_env_wall_s(&f->env);
	struct signed_event a = note_at(f, now - 30, "a"), b = note_at(f, now - 20, "b"), late = note_at(f, now - 25, "late"),
		live = note_at(f, now, "live");
	publish(writer, &a);
	publish(writer, &b);
	struct hf_relay_bee_facts then = settled_bee(f);
	publish(writer, &late); /* the copy does not have it */
	settled_bee(f);
	say(c, "[\"REQ\",\"s\",{\"kinds\":[1]}]");
	struct hf_relay_question *q = next_question(f, 0);
	assert_string_equal(asked.messages[0], "[\"REQ\",\"s\",{\"kinds\":[1]}]");
	publish(writer, &live); /* while it is looked up */
	give(q, &b);
	give(q, &a);
	give(q, &a);
	end(q, &then);
	expect_event(c, &b);
	expect_event(c, &late);
	expect_event(c, &a);
	expect(c, "[\"EOSE\",\"s\"]");
	expect_event(c, &live);
	expect_silence(c);
	assert_int_equal(asked.judged[HF_RELAY_ANSWER_TRUE], 1);
}

static void test_limits_are_of_all_and_the_copy_may_be_newer(void **state)
{
	struct fixture *f = *state;
	struct client *c = join_relay(f, NULL), *writer = join_relay(f, NULL);
	uint64_t now = hf_env_wall_s(&f->env);
	struct signed_event a = note_at(f, now - 30, "a"), b = note_at(f, now - 20, "b"), late = note_at(f, now - 10, "late"),
		newer = note_at(f, now, "newer");
	publish(writer, &a);
	publish(writer, &b);
	struct hf_relay_bee_facts then = settled_bee(f);
	publish(writer, &late);
	settled_bee(f);
	say(c, "[\"REQ\",\"s\",{\"kinds\":[1],\"limit\":2}]");
	struct hf_relay_question *q = next_question(f, 0);
	give(q, &b);
	give(q, &a);
	end(q, &then);
	expect_event(c, &late);
	expect_event(c, &b);
	expect(c, "[\"EOSE\",\"s\"]");
	say(c, "[\"REQ\",\"s\",{\"kinds\":[1]}]");
	q = next_question(f, 1);
	publish(writer, &newer);
	then = settled_bee(f);
	give(q, &newer); /* it comes live, too, and only so */
	give(q, &late);
	give(q, &b);
	give(q, &a);
	end(q, &then);
	expect_event(c, &late);
	expect_event(c, &b);
	expect_event(c, &a);
	expect(c, "[\"EOSE\",\"s\"]");
	expect_event(c, &newer);
	expect_silence(c);
	assert_int_equal(asked.judged[HF_RELAY_ANSWER_TRUE], 2);
}

/* Each of these answers is thrown away, and the relay looks itself. */
static void test_what_does_not_hold_is_dropped_and_the_relay_looks_itself(void **state)
{
	struct fixture *f = *state;
	struct client *c = join_relay(f, NULL), *writer = join_relay(f, NULL);
	uint64_t now = hf_env_wall_s(&f->env);
	struct signed_event a = note_at(f, now - 30, "a"), b = note_at(f, now - 20, "b"), other = make_event(f, 0, 7, now, "[]", "other"),
		forged = forge(b), foreign = note_at(f, now - 5, "never published"), forged_foreign = forge(foreign), broken = b;
	strstr(broken.json, "\"content\":\"b\"")[11] = 'x'; /* its id is another's now */
	publish(writer, &a);
	publish(writer, &b);
	publish(writer, &other);
	struct hf_relay_bee_facts then = settled_bee(f);
	const struct signed_event *const lies[] = {&forged, &other, &forged_foreign, &broken, &foreign};
	for (size_t i = 0; i < 5; i++) {
		say(c, "[\"REQ\",\"s\",{\"kinds\":[1]}]");
		struct hf_relay_question *q = next_question(f, i);
		give(q, &a);
		give(q, lies[i]);
		end(q, &then);
		expect_event(c, &b);
		expect_event(c, &a);
		expect(c, "[\"EOSE\",\"s\"]");
		assert_int_equal(asked.judged[HF_RELAY_ANSWER_FALSE], i < 4 ? i + 1 : 4);
	}
	assert_int_equal(asked.judged[HF_RELAY_ANSWER_UNUSABLE], 1); /* signed by somebody, but not here: it could have been deleted */
	expect_silence(c);
}

static void test_nobody_who_dies_or_is_too_far_behind_keeps_a_client_waiting(void **state)
{
	struct fixture *f = *state;
	struct client *c = join_relay(f, NULL), *writer = join_relay(f, NULL);
	struct signed_event a = note_at(f, hf_env_wall_s(&f->env) - 30, "a");
	publish(writer, &a);
	struct hf_relay_bee_facts then = settled_bee(f), wrong = then;
	for (size_t i = 0; i < 4; i++) {
		say(c, "[\"REQ\",\"s\",{\"kinds\":[1]}]");
		struct hf_relay_question *q = next_question(f, i);
		give(q, &a);
		wrong = then;
		wrong.version += i == 1;
		wrong.fork += i == 2;
		if (i == 0)
			hf_relay_delegate_failed(q); /* in the middle */
		else
			hf_relay_delegate_answered(q, wrong.version, wrong.fork, i == 3 ? 10 : 500); /* the last: it gives less than was asked */
		expect_event(c, &a);
		expect(c, "[\"EOSE\",\"s\"]");
	}
	assert_int_equal(asked.judged[HF_RELAY_ANSWER_UNUSABLE], 3);
	expect_silence(c);
}

static void test_who_is_gone_is_not_looked_up_for(void **state)
{
	struct fixture *f = *state;
	struct client *c = join_relay(f, NULL), *leaving = join_relay(f, NULL);
	say(c, "[\"REQ\",\"s\",{\"kinds\":[1]}]");
	say(leaving, "[\"REQ\",\"s\",{\"kinds\":[1]}]");
	next_question(f, 1);
	say(c, "[\"CLOSE\",\"s\"]");
	hf_websocket_close(leaving->ws, 1000, "");
	UNTIL(f, asked.canceled == 2);
	expect_silence(c);
}

static void test_others_are_asked_only_where_they_can_know_and_there_is_much_to_do(void **state)
{
	struct fixture *f = *state;
	struct client *c = join_relay(f, NULL);
	say(c, "[\"REQ\",\"p\",{\"kinds\":[4]}]"); /* private kinds are in no answer of a copy's */
	expect(c, "[\"CLOSED\",\"p\"");
	say(c, "[\"COUNT\",\"n\",{\"kinds\":[1]}]");
	expect(c, "[\"COUNT\",\"n\"");
	asked.refuses = true;
	say(c, "[\"REQ\",\"s\",{\"kinds\":[1]}]");
	expect(c, "[\"EOSE\",\"s\"]");
	asked.refuses = false;
	static const struct hf_relay_delegate when_busy = {.queue_min = 1, .ask = ask, .cancel = cancel, .judged = judged};
	hf_relay_set_delegate(f->relay, &when_busy);
	say(c, "[\"REQ\",\"s\",{\"kinds\":[1]}]");
	expect(c, "[\"EOSE\",\"s\"]");
	hf_relay_set_delegate(f->relay, NULL);
	say(c, "[\"REQ\",\"s\",{\"kinds\":[1]}]");
	expect(c, "[\"EOSE\",\"s\"]");
	assert_int_equal(asked.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_what_others_find_is_given_with_what_came_since_and_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_limits_are_of_all_and_the_copy_may_be_newer, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_what_does_not_hold_is_dropped_and_the_relay_looks_itself, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_nobody_who_dies_or_is_too_far_behind_keeps_a_client_waiting, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_who_is_gone_is_not_looked_up_for, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_others_are_asked_only_where_they_can_know_and_there_is_much_to_do, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
