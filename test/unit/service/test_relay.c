/* The relay over real sockets, with a real store and workers: what its parts promise each other. */
#include "relay_fixture.h"

#include "net/memory.h"

static int set_up(void **state)
{
	*state = fixture_new(NULL);
	return 0;
}

static int tear_down(void **state)
{
	fixture_free(*state);
	return 0;
}

static void test_an_event_is_answered_kept_and_passed_on(void **state)
{
	struct fixture *f = *state;
	struct client *writer = join_relay(f, NULL), *reader = join_relay(f, NULL);
	struct signed_event first = make_note(f, 0, "first"), second = make_note(f, 0, "second");
	publish(writer, &first);
	say(reader, "[\"REQ\",\"s\",{\"kinds\":[1]}]");
	expect(reader, "[\"EVENT\",\"s\",%.200s", first.json);
	expect(reader, "[\"EOSE\",\"s\"]");
	publish(writer, &second);
	expect(reader, "[\"EVENT\",\"s\",%.200s", second.json);
	say(writer, "[\"EVENT\",%s]", first.json);
	expect(writer, "[\"OK\",\"%s\",true,\"duplicate:", first.id);
	say(writer, "[\"COUNT\",\"c\",{\"kinds\":[1]}]");
	expect(writer, "[\"COUNT\",\"c\",{\"count\":2}]");
	say(reader, "[\"CLOSE\",\"s\"]");
	say(reader, "[\"COUNT\",\"c\",{\"kinds\":[7]}]");
	expect(reader, "[\"COUNT\",\"c\",{\"count\":0}]");
}

static void test_forged_copies_in_flight_do_not_hide_the_good_one(void **state)
{
	struct fixture *f = *state;
	struct client *c = join_relay(f, NULL);
	for (int round = 0; round < 20; round++) {
		char content[16];
		snprintf(content, sizeof content, "%d", round);
		struct signed_event good = make_note(f, 0, content), bad = forge(good);
		/* In one iteration: all but the first wait for a verdict. */
		say(c, "[\"EVENT\",%s]", bad.json);
		say(c, "[\"EVENT\",%s]", bad.json);
		say(c, "[\"EVENT\",%s]", good.json);
		say(c, "[\"EVENT\",%s]", bad.json);
		say(c, "[\"EVENT\",%s]", good.json);
		int refused = 0, stored = 0, known = 0;
		for (int i = 0; i < 5; i++) {
			char *answer = take(c);
			refused += strstr(answer, ",false,\"invalid: the signature") != NULL;
			stored += strstr(answer, ",true,\"\"") != NULL;
			known += strstr(answer, ",true,\"duplicate:") != NULL;
			free(answer);
		}
		assert_int_equal(stored, 1);
		/* A forged copy of what is committed by then is a duplicate. */
		assert_in_range(refused, 2, 3);
		assert_int_equal(refused + known, 4);
	}
	say(c, "[\"COUNT\",\"c\",{}]");
	expect(c, "[\"COUNT\",\"c\",{\"count\":20}]");
}

static void test_ephemeral_events_pass_through_and_authentications_do_not(void **state)
{
	struct fixture *f = *state;
	struct client *c = join_relay(f, NULL);
	say(c, "[\"REQ\",\"s\",{}]");
	expect(c, "[\"EOSE\",\"s\"]");
	struct signed_event brief = make_event(f, 0, 20001, hf_env_wall_s(&f->env), "[]", "");
	struct signed_event proof = make_event(f, 0, 22242, hf_env_wall_s(&f->env), "[]", "");
	say(c, "[\"EVENT\",%s]", proof.json);
	expect(c, "[\"OK\",\"%s\",false,\"invalid:", proof.id);
	say(c, "[\"EVENT\",%s]", brief.json);
	expect(c, "[\"OK\",\"%s\",true", brief.id);
	expect(c, "[\"EVENT\",\"s\",%.100s", brief.json);
	say(c, "[\"COUNT\",\"c\",{}]");
	expect(c, "[\"COUNT\",\"c\",{\"count\":0}]");
}

static void test_events_that_policy_refuses(void **state)
{
	struct fixture *f = *state;
	struct client *c = join_relay(f, NULL);
	uint64_t now_s = hf_env_wall_s(&f->env);
	char expired[64];
	snprintf(expired, sizeof expired, "[[\"expiration\",\"%llu\"]]", (unsigned long long)now_s - 1);
	struct signed_event future = make_event(f, 0, 1, now_s + 3600, "[]", ""), old = make_event(f, 0, 1, now_s, expired, ""),
		mine = make_event(f, 0, 1, now_s, "[[\"-\"]]", "");
	say(c, "[\"EVENT\",%s]", future.json);
	expect(c, "[\"OK\",\"%s\",false,\"invalid: created_at", future.id);
	say(c, "[\"EVENT\",%s]", old.json);
	expect(c, "[\"OK\",\"%s\",false,\"invalid: the event has expired", old.id);
	say(c, "[\"EVENT\",%s]", mine.json);
	expect(c, "[\"OK\",\"%s\",false,\"auth-required:", mine.id);
}

static void authenticate(struct fixture *f, struct client *c, size_t author, const char *challenge)
{
	char tags[256];
	snprintf(tags, sizeof tags, "[[\"relay\",\"%s\"],[\"challenge\",\"%s\"]]", f->url, challenge);
	struct signed_event proof = make_event(f, author, 22242, hf_env_wall_s(&f->env), tags, ""), forged = forge(proof);
	say(c, "[\"AUTH\",%s]", forged.json);
	expect(c, "[\"OK\",\"%s\",false,\"invalid: the signature", proof.id);
	say(c, "[\"AUTH\",%s]", proof.json);
	expect(c, "[\"OK\",\"%s\",true", proof.id);
}

static void test_private_kinds_reach_only_those_involved(void **state)
{
	struct fixture *f = *state;
	char challenge[3][33] = {{0}}, tags[128], key[65] = {0};
	struct client *from = join_relay(f, challenge[0]), *to = join_relay(f, challenge[1]), *other = join_relay(f, challenge[2]);
	hf_hex_encode(key, f->keys[1], 32);
	snprintf(tags, sizeof tags, "[[\"p\",\"%s\"]]", key);
	say(to, "[\"REQ\",\"s\",{\"kinds\":[4]}]");
	expect(to, "[\"CLOSED\",\"s\",\"auth-required:");
	authenticate(f, to, 1, challenge[1]);
	authenticate(f, other, 2, challenge[2]);
	say(to, "[\"REQ\",\"s\",{}]");
	expect(to, "[\"EOSE\",\"s\"]");
	say(other, "[\"REQ\",\"s\",{}]");
	expect(other, "[\"EOSE\",\"s\"]");
	struct signed_event sealed = make_event(f, 0, 4, hf_env_wall_s(&f->env), tags, "sealed");
	publish(from, &sealed);
	expect(to, "[\"EVENT\",\"s\",%.100s", sealed.json);
	say(other, "[\"COUNT\",\"c\",{}]");
	expect(other, "[\"COUNT\",\"c\",{\"count\":0}]");
	say(from, "[\"COUNT\",\"c\",{}]");
	expect(from, "[\"COUNT\",\"c\",{\"count\":0}]");
	say(to, "[\"COUNT\",\"c\",{}]");
	expect(to, "[\"COUNT\",\"c\",{\"count\":1}]");
}

/* Long queries run in turns on the worker while events keep coming: each is on one side of EOSE. */
static void test_nothing_is_missed_or_doubled_across_eose(void **state)
{
	struct fixture *f = *state;
	struct client *writer = join_relay(f, NULL), *reader = join_relay(f, NULL);
	enum { BEFORE = 300, DURING = 100 };
	struct signed_event e;
	uint64_t now_s = hf_env_wall_s(&f->env);
	for (int i = 0; i < BEFORE + DURING; i++) {
		char content[600];
		snprintf(content, sizeof content, "%d%0500d", i, i);
		e = make_event(f, (size_t)i % 4, 1, now_s - (unsigned)i % 7, "[]", content);
		if (i == BEFORE) {
			UNTIL(f, writer->count - writer->from == BEFORE);
			say(reader, "[\"REQ\",\"s\",{\"kinds\":[1]}]");
		}
		say(writer, "[\"EVENT\",%s]", e.json);
	}
	UNTIL(f, writer->count - writer->from == BEFORE + DURING);
	UNTIL(f, reader->count - reader->from == BEFORE + DURING + 1);
	size_t stored = 0, ends = 0;
	for (size_t i = reader->from; i < reader->count; i++) {
		bool is_end = strncmp(reader->messages[i], "[\"EOSE\"", 7) == 0;
		ends += is_end;
		stored += !is_end && ends == 0;
		for (size_t k = reader->from; k < i; k++)
			assert_string_not_equal(reader->messages[i], reader->messages[k]);
	}
	assert_int_equal(ends, 1);
	assert_true(stored >= BEFORE);
}

static void test_close_and_leaving_end_queries_that_wait_for_a_reader(void **state)
{
	static const char *const flags[] = {"websocket-send-queue-max=64k", "relay-in-flight-max=8", NULL};
	struct fixture *f = fixture_new(flags);
	struct client *c = join_relay(f, NULL);
	char content[4000];
	memset(content, 'x', sizeof content - 1);
	content[sizeof content - 1] = '\0';
	for (int i = 0; i < 100; i++) {
		snprintf(content + 3990, 10, "%d", i);
		struct signed_event e = make_note(f, 0, content);
		say(c, "[\"EVENT\",%s]", e.json);
	}
	UNTIL(f, c->count - c->from == 100);
	struct client *deaf = join_relay(f, NULL);
	hf_websocket_pause(deaf->ws);
	for (int i = 0; i < 30; i++)
		say(deaf, "[\"REQ\",\"s%d\",{\"kinds\":[1]}]", i);
	for (int i = 0; i < 15; i++)
		say(deaf, "[\"CLOSE\",\"s%d\"]", i);
	for (int i = 0; i < 50; i++)
		hf_loop_poll(f->loop, false);
	say(c, "[\"COUNT\",\"c\",{}]");
	UNTIL(f, c->count - c->from == 101);
	hf_websocket_resume(deaf->ws);
	fixture_free(f);
}

static void test_subscriptions_are_bounded_and_a_name_is_used_again(void **state)
{
	static const char *const flags[] = {"relay-subscriptions-max=2", NULL};
	struct fixture *f = fixture_new(flags);
	struct client *c = join_relay(f, NULL);
	for (int i = 0; i < 3; i++) {
		say(c, "[\"REQ\",\"a\",{}]");
		expect(c, "[\"EOSE\",\"a\"]");
	}
	say(c, "[\"REQ\",\"b\",{}]");
	expect(c, "[\"EOSE\",\"b\"]");
	say(c, "[\"REQ\",\"c\",{}]");
	expect(c, "[\"CLOSED\",\"c\",\"rate-limited:");
	struct hf_relay_stats stats;
	hf_relay_stats(f->relay, &stats);
	assert_int_equal(stats.subscription_count, 2);
	fixture_free(f);
}

static void test_requests_are_counted_and_refused_when_memory_is_used_up(void **state)
{
	struct fixture *f = *state;
	struct hf_memory *memory = hf_loop_memory(f->loop);
	struct client *c = join_relay(f, NULL);
	UNTIL(f, memory->used_bytes == 0);
	say(c, "[\"REQ\",\"a\",{\"#t\":[\"x\",\"y\"]}]");
	expect(c, "[\"EOSE\",\"a\"]");
	size_t one = memory->kinds[HF_MEMORY_REQUESTS];
	assert_true(one > 0);
	hf_memory_limit(memory, 2 * one, NULL, NULL);
	say(c, "[\"REQ\",\"b\",{\"#t\":[\"x\",\"y\"]}]");
	expect(c, "[\"EOSE\",\"b\"]");
	say(c, "[\"REQ\",\"c\",{\"#t\":[\"x\",\"y\"]}]");
	expect(c, "[\"CLOSED\",\"c\",\"rate-limited:");
	say(c, "[\"COUNT\",\"c\",{}]");
	expect(c, "[\"CLOSED\",\"c\",\"rate-limited:");
	say(c, "[\"CLOSE\",\"a\"]");
	say(c, "[\"CLOSE\",\"b\"]");
	say(c, "[\"COUNT\",\"c\",{}]");
	expect(c, "[\"COUNT\",\"c\",{\"count\":0}]");
	assert_int_equal(memory->kinds[HF_MEMORY_REQUESTS], 0);
	hf_memory_limit(memory, 0, NULL, NULL);
}

static void test_settings_change_while_running_or_stay(void **state)
{
	struct fixture *f = *state;
	struct hf_failure failure = {0};
	struct client *c = join_relay(f, NULL);
	struct signed_event e = make_note(f, 0, "x");
	char key[65] = {0};
	hf_hex_encode(key, f->keys[1], 32);
	assert_int_equal(hf_config_set_flag(f->config, "relay-writers", "nonsense", &failure), HF_OK);
	struct hf_relay_options options = fixture_relay_options(f);
	assert_int_equal(hf_relay_reconfigure(f->relay, &options, &failure), HF_EINVAL);
	publish(c, &e);
	assert_int_equal(hf_config_set_flag(f->config, "relay-writers", key, &failure), HF_OK);
	assert_int_equal(hf_relay_reconfigure(f->relay, &options, &failure), HF_OK);
	e = make_note(f, 0, "y");
	say(c, "[\"EVENT\",%s]", e.json);
	expect(c, "[\"OK\",\"%s\",false,\"restricted:", e.id);
	e = make_note(f, 1, "z");
	publish(c, &e);
}

/* ---- Another transport ---- */

struct pipe_end {
	struct client client; /* what came, as of a socket */
	size_t room;
	unsigned closed;
};

static int pipe_send_text(void *link, struct hf_slice text)
{
	struct pipe_end *p = link;
	client_message(&p->client, NULL, true, text);
	p->room -= text.length < p->room ? text.length : p->room;
	return HF_OK;
}

static int pipe_send_shared(void *link, struct hf_websocket_message *message)
{
	return pipe_send_text(link, hf_websocket_message_payload(message));
}

static size_t pipe_room(void *link)
{
	return ((struct pipe_end *)link)->room;
}

static void pipe_nothing(void *link)
{
}

static void pipe_close(void *link, uint16_t code, const char *reason)
{
	((struct pipe_end *)link)->closed++;
}

static const struct hf_relay_transport pipe_transport = {.send_shared = pipe_send_shared, .send_text = pipe_send_text, .room = pipe_room,
	.pause = pipe_nothing, .resume = pipe_nothing, .close = pipe_close};

static void say_by_pipe(struct hf_relay_connection *c, const char *text)
{
	hf_relay_connection_message(c, true, hf_slice_text(text));
	hf_relay_connection_read_end(c);
}

static void test_a_client_by_another_transport_is_served_as_its_room_allows(void **state)
{
	struct fixture *f = *state;
	struct client *writer = join_relay(f, NULL);
	struct pipe_end p = {.client.fixture = f, .room = 1 << 20};
	struct hf_relay_client client = {.transport = &pipe_transport, .link = &p, .url = "wss://gate.example/club", .source = HF_SOURCE_PUBLIC};
	struct hf_relay_connection *c;
	struct signed_event first = make_note(f, 0, "first"), second = make_note(f, 0, "second"), live = make_note(f, 0, "live");
	char text[8300];
	publish(writer, &first);
	assert_int_equal(hf_relay_connect(f->relay, &client, &c), HF_OK);
	expect(&p.client, "[\"AUTH\",");
	snprintf(text, sizeof text, "[\"EVENT\",%s]", second.json);
	say_by_pipe(c, text);
	expect(&p.client, "[\"OK\",\"%s\",true,\"\"]", second.id);
	p.room = 1;
	say_by_pipe(c, "[\"REQ\",\"s\",{\"kinds\":[1]}]");
	expect(&p.client, "[\"EVENT\",\"s\",");
	publish(writer, &live); /* held: the stored part waits for room */
	assert_int_equal(p.client.count - p.client.from, 0);
	p.room = 1 << 20;
	hf_relay_connection_writable(c);
	expect(&p.client, "[\"EVENT\",\"s\",");
	expect(&p.client, "[\"EOSE\",\"s\"]");
	expect(&p.client, "[\"EVENT\",\"s\",%.200s", live.json);
	hf_relay_connection_message(c, false, hf_slice_text("x"));
	expect(&p.client, "[\"NOTICE\",\"invalid:");
	assert_true(hf_relay_connection_held(c) > 0);
	hf_relay_connection_closed(c);
	struct signed_event unheard = make_note(f, 0, "unheard");
	publish(writer, &unheard);
	assert_int_equal(p.client.count - p.client.from, 0);
	assert_int_equal(p.closed, 0);
}

/* A gateway's session takes a subscription over from another worker: what came in the meantime is given whatever its date. */
static void test_a_gateway_resumes_with_what_arrived_lately(void **state)
{
	struct fixture *f = *state;
	struct client *writer = join_relay(f, NULL);
	struct pipe_end p = {.client.fixture = f, .room = 1 << 20};
	struct hf_relay_client client = {.transport = &pipe_transport, .link = &p, .source = HF_SOURCE_PUBLIC, .may_resume = true};
	struct hf_relay_connection *c;
	struct signed_event old = make_event(f, 0, 1, 1000, "[]", "dated long ago"), live = make_event(f, 0, 1, 999, "[]", "still older");
	struct signed_event newer = make_event(f, 0, 1, 2000, "[]", "newer"), private = make_event(f, 0, 4, 1500, "[]", "not theirs");
	publish(writer, &old);
	publish(writer, &newer);
	publish(writer, &private);
	assert_int_equal(hf_relay_connect(f->relay, &client, &c), HF_OK);
	expect(&p.client, "[\"AUTH\",");
	say_by_pipe(c, "[\"RESUME\",\"s\",{\"limit\":1},60,{}]");
	expect(&p.client, "[\"EVENT\",\"s\",%.200s", newer.json); /* by date, and not again by arrival */
	expect(&p.client, "[\"EVENT\",\"s\",%.200s", old.json);
	expect(&p.client, "[\"EOSE\",\"s\"]");
	publish(writer, &live);
	expect(&p.client, "[\"EVENT\",\"s\",%.200s", live.json);
	say_by_pipe(c, "[\"RESUME\",\"t\",1,{\"since\":1500}]");
	expect(&p.client, "[\"EVENT\",\"t\",%.200s", newer.json);
	expect(&p.client, "[\"EOSE\",\"t\"]");
	say(writer, "[\"RESUME\",\"s\",60,{}]"); /* who is no gateway */
	expect(writer, "[\"NOTICE\",\"unsupported:");
	hf_relay_connection_closed(c);
}

/* ---- Members ---- */

static void configure_policy(struct fixture *f, const char *policy)
{
	struct hf_failure failure = {0};
	struct hf_relay_options options = fixture_relay_options(f);
	assert_int_equal(hf_config_set_flag(f->config, "relay-policy", policy, &failure), HF_OK);
	assert_int_equal(hf_relay_reconfigure(f->relay, &options, &failure), HF_OK);
}

static void test_a_member_who_is_added_may_publish_where_members_may(void **state)
{
	struct fixture *f = *state;
	struct hf_failure failure = {0};
	struct client *c = join_relay(f, NULL);
	char key[65] = {0};
	hf_hex_encode(key, f->keys[0], 32);
	assert_false(hf_relay_lists(f->relay, f->keys[0])); /* everybody may publish, nobody is listed */
	assert_int_equal(hf_config_set_flag(f->config, "relay-admins", key, &failure), HF_OK);
	configure_policy(f, "members");
	assert_true(hf_relay_lists(f->relay, f->keys[0]));
	assert_int_equal(hf_relay_add_member(f->relay, f->keys[1]), HF_OK);
	assert_int_equal(hf_relay_add_member(f->relay, f->keys[1]), HF_OK);
	assert_false(hf_relay_lists(f->relay, f->keys[1]));
	struct signed_event member = make_note(f, 1, "member"), stranger = make_note(f, 2, "stranger");
	publish(c, &member);
	say(c, "[\"EVENT\",%s]", stranger.json);
	expect(c, "[\"OK\",\"%s\",false,\"restricted:", stranger.id);
	configure_policy(f, "members"); /* members outlive a change */
	member = make_note(f, 1, "still a member");
	publish(c, &member);
	configure_policy(f, "admin");
	member = make_note(f, 1, "not an admin");
	say(c, "[\"EVENT\",%s]", member.json);
	expect(c, "[\"OK\",\"%s\",false,\"restricted:", member.id);
}

static void test_members_are_bounded(void **state)
{
	struct fixture *f = *state;
	uint8_t key[32] = {0};
	for (uint32_t i = 0; i < HF_RELAY_MEMBER_COUNT_MAX; i++) {
		uint32_t scattered = i * 2654435761u;
		memcpy(key, &scattered, sizeof scattered);
		assert_int_equal(hf_relay_add_member(f->relay, key), HF_OK);
	}
	assert_int_equal(hf_relay_add_member(f->relay, key), HF_OK);
	assert_int_equal(hf_relay_add_member(f->relay, f->keys[0]), HF_ETOOBIG);
}

static void test_who_speaks_for_the_relay_is_not_asked_for_a_policy_but_for_a_signature(void **state)
{
	struct fixture *f = *state;
	struct hf_failure failure = {0};
	struct pipe_end p = {.client.fixture = f, .room = 1 << 20};
	struct hf_relay_client client = {.transport = &pipe_transport, .link = &p, .source = HF_SOURCE_PUBLIC, .speaks_for_relay = true};
	struct hf_relay_connection *c;
	struct signed_event request = make_event(f, 1, 9021, hf_env_wall_s(&f->env), "[[\"h\",\"x\"]]", ""), forged = forge(request);
	char key[65] = {0}, text[8300];
	hf_hex_encode(key, f->keys[0], 32);
	assert_int_equal(hf_config_set_flag(f->config, "relay-admins", key, &failure), HF_OK);
	configure_policy(f, "admin");
	assert_int_equal(hf_relay_connect(f->relay, &client, &c), HF_OK);
	snprintf(text, sizeof text, "[\"EVENT\",%s]", forged.json);
	say_by_pipe(c, text);
	expect(&p.client, "[\"AUTH\",");
	expect(&p.client, "[\"OK\",\"%s\",false,\"invalid: the signature", request.id);
	snprintf(text, sizeof text, "[\"EVENT\",%s]", request.json);
	say_by_pipe(c, text);
	expect(&p.client, "[\"OK\",\"%s\",true,\"\"]", request.id);
	hf_relay_connection_closed(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_an_event_is_answered_kept_and_passed_on, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_forged_copies_in_flight_do_not_hide_the_good_one, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_ephemeral_events_pass_through_and_authentications_do_not, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_events_that_policy_refuses, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_private_kinds_reach_only_those_involved, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_nothing_is_missed_or_doubled_across_eose, set_up, tear_down),
		cmocka_unit_test(test_close_and_leaving_end_queries_that_wait_for_a_reader),
		cmocka_unit_test(test_subscriptions_are_bounded_and_a_name_is_used_again),
		cmocka_unit_test_setup_teardown(test_requests_are_counted_and_refused_when_memory_is_used_up, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_client_by_another_transport_is_served_as_its_room_allows, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_gateway_resumes_with_what_arrived_lately, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_member_who_is_added_may_publish_where_members_may, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_members_are_bounded, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_who_speaks_for_the_relay_is_not_asked_for_a_policy_but_for_a_signature, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_settings_change_while_running_or_stay, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
