/* The front with clients on sockets and workers that the test plays: who is let in, what goes where, and what a client notices when a
 * worker fails. */
#include "front_fixture.h"

#define RELAY "/npub1x/myRelay"
#define TOKEN "?a=b&token=good%2Btoken.1"
#define EVENT "[\"EVENT\",{\"id\":\"00000001%056d\",\"pubkey\":\"x\",\"created_at\":5,\"content\":\"published\"}]"

static uint64_t now_s(struct door *d)
{
	return hf_env_wall_ms(&d->net.env) / 1000;
}

/* ---- The door ---- */

static void test_who_may_not_come_in_hears_why(void **state)
{
	struct door d;
	open_door(&d, 1, (struct hf_front_options){0});
	expect_close(&d, "/", "", 4404, "Invalid relay key");
	expect_close(&d, "/nobodys", "", 4404, "Relay not registered");
	expect_close(&d, RELAY "?token=bad", "", 4403, "Invalid token");
	record.requires_auth = true;
	expect_close(&d, RELAY, "Authorization: Bearer bad\r\n", 4403, "Invalid token");
	go(&d, 0);
	expect_close(&d, RELAY TOKEN, "", 1013, "No peers available");
	assert_int_equal(stream_count, 0);
	struct hf_front_stats stats;
	hf_front_stats(d.front, &stats);
	assert_int_equal(stats.session_count, 0);
	close_door(&d);
}

static void test_without_tokens_a_closed_relay_is_not_configured(void **state)
{
	struct door d;
	open_door(&d, 1, (struct hf_front_options){0});
	hf_front_free(d.front);
	struct hf_front_options options = {.size = sizeof options, .loop = d.net.loop, .workers = (struct hf_workers *)(void *)&d,
		.registry = (struct hf_registry *)(void *)&d};
	assert_int_equal(hf_front_new(&d.front, &options), HF_OK);
	record.requires_auth = true;
	expect_close(&d, RELAY, "", 1011, "Gateway not configured");
	close_door(&d);
}

static void test_a_token_comes_in_three_ways(void **state)
{
	struct door d;
	open_door(&d, 1, (struct hf_front_options){0});
	record.requires_auth = true;
	int fds[3];
	fds[0] = dial_websocket(&d.net, RELAY TOKEN, "");
	fds[1] = dial_websocket(&d.net, RELAY, "Authorization: Bearer good+token.1\r\n");
	fds[2] = dial_websocket(&d.net, RELAY, "");
	assert_int_equal(stream_count, 2);
	say_message(&d, fds[2], "[\"AUTH-TOKEN\",\"good+token.1\"]");
	assert_int_equal(stream_count, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_string_equal(streams[i].auth_token, "workers-own");
		assert_string_equal(streams[i].relay_key, "aabb");
		assert_string_equal(streams[i].path, RELAY);
		close(fds[i]);
	}
	turn(&d.net, 20);
	for (size_t i = 0; i < 3; i++)
		assert_true(streams[i].is_closed);
	close_door(&d);
}

static void test_a_first_message_without_a_token_ends_the_session(void **state)
{
	struct door d;
	open_door(&d, 1, (struct hf_front_options){.token_timeout_ms = 100});
	record.requires_auth = true;
	int fd = dial_websocket(&d.net, RELAY, "");
	say_frame(&d.net, fd, 0x81, "[\"REQ\",\"s\",{}]", 14);
	expect(&d.net, fd, "Token required");
	close(fd);
	fd = dial_websocket(&d.net, RELAY, "");
	say_frame(&d.net, fd, 0x81, "[\"AUTH-TOKEN\",\"bad\"]", 20);
	expect(&d.net, fd, "Invalid token");
	close(fd);
	fd = dial_websocket(&d.net, RELAY, "");
	expect(&d.net, fd, "Token required"); /* in time */
	close(fd);
	assert_int_equal(stream_count, 0);
	close_door(&d);
}

static void test_a_revoked_token_closes_the_sockets_that_hold_it(void **state)
{
	struct door d;
	open_door(&d, 1, (struct hf_front_options){0});
	int fd = dial_websocket(&d.net, RELAY TOKEN, ""), other = dial_websocket(&d.net, RELAY, "");
	struct hf_token_claims claims = {.id = {7}};
	token_events.revoked(token_events.context, &claims, "left", HF_SLICE_LITERAL("[\"TOKEN\",\"REVOKED\",{\"signature\":\"x\"}]"));
	char *heard = hear_for(&d, fd, 50);
	assert_true(strstr(heard, "[\"TOKEN\",\"REVOKED\",{\"signature\":\"x\"}]") < strstr(heard, "Token revoked"));
	free(heard);
	assert_int_equal(streams[0].close_code, HF_RELAY_STREAM_REVOKED);
	assert_false(streams[1].is_closed);
	registry_events.removed(registry_events.context, "aabb");
	expect(&d.net, other, "Relay not registered");
	close(fd);
	close(other);
	close_door(&d);
}

static void test_a_session_ends_with_its_token_unless_it_shows_another(void **state)
{
	struct door d;
	open_door(&d, 1, (struct hf_front_options){0});
	token_expires_ms = hf_env_wall_ms(&d.net.env) + 150;
	int fd = dial_websocket(&d.net, RELAY TOKEN, ""), longer = dial_websocket(&d.net, RELAY TOKEN, "");
	token_expires_ms += 3600000;
	say_message(&d, longer, "[\"AUTH-TOKEN\",\"good+token.1\"]");
	expect(&d.net, fd, "Token expired");
	turn(&d.net, 100);
	assert_false(streams[1].is_closed);
	close(fd);
	close(longer);
	close_door(&d);
}

#define ASK_WHAT_IT_IS "GET " RELAY " HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/nostr+json\r\n\r\n"
#define FROM_THE_RECORD "{\"name\":\"My \\\"Relay\\\"\",\"supported_nips\":[1,11]"

static void tell_document(struct hf_worker_stream *s, int status, const char *text)
{
	const struct hf_http_field type = {HF_SLICE_LITERAL("content-type"), HF_SLICE_LITERAL("application/nostr+json")};
	s->events.head(s->context, status, &type, 1);
	if (!s->is_closed)
		s->events.data(s->context, hf_slice_text(text), false);
	if (s->is_closed)
		return;
	s->is_closed = true;
	s->events.ended(s->context, HF_OK, 0, "");
}

static int ask_what_it_is(struct door *d)
{
	int fd = dial(&d->net);
	say_text(&d->net, fd, ASK_WHAT_IT_IS);
	turn(&d->net, 10);
	return fd;
}

static void expect_heard(struct door *d, int fd, const char *first, const char *second)
{
	char *heard = hear_for(d, fd, 50);
	assert_non_null(strstr(heard, first));
	assert_non_null(strstr(heard, second));
	free(heard);
	close(fd);
}

static void test_without_a_worker_information_is_the_records(void **state)
{
	struct door d;
	open_door(&d, 1, (struct hf_front_options){0});
	go(&d, 0);
	ask(&d.net, ASK_WHAT_IT_IS, FROM_THE_RECORD);
	ask(&d.net, "GET /nobodys HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", " 404 ");
	assert_int_equal(stream_count, 0);
	close_door(&d);
}

static void test_information_is_the_workers_and_asked_for_once(void **state)
{
	struct door d;
	open_door(&d, 1, (struct hf_front_options){.message_bytes_max = 1000, .subscriptions_max = 5});
	int first = ask_what_it_is(&d), second = ask_what_it_is(&d);
	assert_int_equal(stream_count, 1);
	struct hf_worker_stream *s = last_stream();
	assert_int_equal(s->kind, HF_WORKER_HTTP);
	assert_string_equal(s->relay_key, "aabb");
	assert_string_equal(s->auth_token, "");
	tell_document(s, 200, "{\"name\":\"Its own\",\"hyperbee\":{\"version\":7},"
		"\"limitation\":{\"max_message_length\":5000,\"max_subscriptions\":3}}");
	expect_heard(&d, first, "{\"name\":\"Its own\",\"hyperbee\":{\"version\":7}", "{\"max_message_length\":1000,\"max_subscriptions\":3}");
	expect_heard(&d, second, "Cache-Control: max-age=10\r\n", "Its own");
	ask(&d.net, ASK_WHAT_IT_IS, "Its own");
	assert_int_equal(stream_count, 1);
	close_door(&d);
}

static void test_what_is_no_document_is_not_passed_on(void **state)
{
	static const struct { int status; const char *text; } answers[] = {
		{200, "[1]"}, {200, "{\"name\":"}, {200, ""}, {404, "not found"}, {500, ""}};
	struct door d;
	for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
		open_door(&d, 1, (struct hf_front_options){0});
		int fd = ask_what_it_is(&d);
		tell_document(last_stream(), answers[i].status, answers[i].text);
		expect_heard(&d, fd, FROM_THE_RECORD, "Cache-Control: no-cache\r\n");
		ask(&d.net, ASK_WHAT_IT_IS, FROM_THE_RECORD); /* for a while it is not asked again */
		assert_int_equal(stream_count, 1);
		close_door(&d);
	}
}

static void test_a_document_that_does_not_end_is_left(void **state)
{
	struct door d;
	char piece[30000];
	memset(piece, ' ', sizeof piece);
	open_door(&d, 1, (struct hf_front_options){0});
	int fd = ask_what_it_is(&d);
	struct hf_worker_stream *s = last_stream();
	s->events.head(s->context, 200, NULL, 0);
	for (size_t i = 0; i < 3 && !s->is_closed; i++)
		s->events.data(s->context, hf_slice(piece, sizeof piece), false);
	assert_true(s->is_closed);
	expect_heard(&d, fd, FROM_THE_RECORD, "");
	close_door(&d);
}

static void test_another_worker_is_asked_for_information(void **state)
{
	struct door d;
	open_door(&d, 2, (struct hf_front_options){0});
	int fd = ask_what_it_is(&d);
	struct hf_worker *first = last_stream()->worker;
	go(&d, (size_t)(first - workers));
	assert_int_equal(stream_count, 2);
	assert_ptr_not_equal(last_stream()->worker, first);
	tell_document(last_stream(), 200, "{\"name\":\"The other\"}");
	expect_heard(&d, fd, "The other", "\"max_subscriptions\"");
	close_door(&d);
}

static void test_who_waits_for_information_hears_of_the_end(void **state)
{
	struct door d;
	open_door(&d, 1, (struct hf_front_options){0});
	int fd = ask_what_it_is(&d);
	hf_front_free(d.front);
	d.front = NULL;
	assert_true(last_stream()->is_closed);
	expect_heard(&d, fd, "HTTP/1.1 503 ", "");
	close_door(&d);
}

/* ---- Both ways ---- */

static void test_messages_go_both_ways(void **state)
{
	struct door d;
	open_door(&d, 1, (struct hf_front_options){0});
	int fd = dial_websocket(&d.net, RELAY, "");
	struct hf_worker_stream *s = last_stream();
	begin_stream(s);
	say_message(&d, fd, "[\"REQ\",\"s\\u0031\",{\"kinds\":[1]}]");
	assert_true(was_sent(s, "[\"REQ\",\"s\\u0031\",{\"kinds\":[1]}]\n"));
	tell_event(s, "s1", 1, 100);
	tell(s, "[\"EOSE\",\"s1\"]");
	tell_event(s, "s1", 2, 101);
	tell_event(s, "other", 3, 101); /* nobody's */
	tell(s, "[\"TOKEN\",\"REVOKED\",{}]"); /* not a worker's to say */
	s->events.data(s->context, hf_slice_text("[\"NOTICE\",\"in "), false);
	s->events.data(s->context, hf_slice_text("pieces\"]"), true);
	char *heard = hear_for(&d, fd, 50);
	assert_non_null(strstr(heard, "e1."));
	assert_non_null(strstr(heard, "[\"EOSE\",\"s1\"]"));
	assert_non_null(strstr(heard, "e2."));
	assert_null(strstr(heard, "e3."));
	assert_null(strstr(heard, "TOKEN"));
	assert_non_null(strstr(heard, "[\"NOTICE\",\"in pieces\"]"));
	free(heard);
	char event[200];
	snprintf(event, sizeof event, EVENT, 0);
	say_message(&d, fd, event);
	assert_true(was_sent(s, "published"));
	snprintf(event, sizeof event, "[\"OK\",\"00000001%056d\",true,\"\"]", 0);
	tell(s, event);
	tell(s, event);
	heard = hear_for(&d, fd, 50);
	assert_int_equal(count_of(heard, "\"OK\""), 1);
	free(heard);
	say_message(&d, fd, "[\"COUNT\",\"c\",{}]");
	tell(s, "[\"COUNT\",\"c\",{\"count\":4}]");
	expect(&d.net, fd, "[\"COUNT\",\"c\",{\"count\":4}]");
	say_message(&d, fd, "[\"CLOSE\",\"s1\"]");
	assert_true(was_sent(s, "[\"CLOSE\",\"s1\"]"));
	tell_event(s, "s1", 4, 101);
	say_message(&d, fd, "[\"NEG-OPEN\",\"n\"]");
	assert_true(was_sent(s, "NEG-OPEN"));
	heard = hear_for(&d, fd, 30);
	assert_null(strstr(heard, "e4."));
	free(heard);
	struct hf_front_stats stats;
	hf_front_stats(d.front, &stats);
	assert_int_equal(stats.subscription_count, 0);
	assert_int_equal(stats.published_count, 1);
	assert_int_equal(stats.delivered_count, 2);
	struct hf_dispatcher_stats jobs;
	hf_dispatcher_stats(hf_front_dispatcher(d.front), &jobs);
	assert_int_equal(jobs.in_flight_count, 0);
	assert_int_equal(jobs.outcomes[HF_DISPATCH_OK], 4); /* the opening, REQ, EVENT, COUNT */
	close(fd);
	close_door(&d);
}

static void test_nonsense_is_answered(void **state)
{
	struct door d;
	open_door(&d, 1, (struct hf_front_options){.message_bytes_max = 2000});
	int fd = dial_websocket(&d.net, RELAY, "");
	static const char *const said[][2] = {
		{"{", "Invalid message payload"}, {"{}", "Malformed Nostr frame"}, {"[]", "Malformed Nostr frame"}, {"[1]", "Malformed Nostr frame"},
		{"[\"EVENT\",\"x\"]", "Invalid EVENT payload"}, {"[\"EVENT\",{\"id\":\"ZZ\"}]", "Invalid EVENT payload"},
		{"[\"REQ\"]", "REQ frame missing subscription id"}, {"[\"EOSE\",\"x\"]", "Malformed Nostr frame"},
	};
	for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
		say_message(&d, fd, said[i][0]);
		expect(&d.net, fd, said[i][1]);
	}
	static char long_one[3000];
	memset(long_one, ' ', sizeof long_one - 1);
	say_message(&d, fd, long_one);
	expect(&d.net, fd, "Invalid message payload");
	assert_int_equal(last_stream()->sent.length, 0);
	close(fd);
	close_door(&d);
}

static void test_a_worker_that_takes_nothing_stops_the_client(void **state)
{
	struct door d;
	open_door(&d, 1, (struct hf_front_options){0});
	int fd = dial_websocket(&d.net, RELAY, "");
	struct hf_worker_stream *s = last_stream();
	s->is_full = true;
	say_message(&d, fd, "[\"REQ\",\"a\",{}]");
	say_message(&d, fd, "[\"REQ\",\"b\",{}]"); /* lies in the socket */
	assert_int_equal(s->sent.length, 0);
	s->is_full = false;
	s->events.writable(s->context);
	turn(&d.net, 10);
	assert_string_equal((hf_buffer_append(&s->sent, "", 1), (char *)s->sent.data), "[\"REQ\",\"a\",{}]\n[\"REQ\",\"b\",{}]\n");
	close(fd);
	close_door(&d);
}

static void test_a_client_that_does_not_read_gives_no_credit(void **state)
{
	struct door d;
	open_door(&d, 1, (struct hf_front_options){0});
	int fd = dial_websocket(&d.net, RELAY, "");
	struct hf_worker_stream *s = last_stream();
	begin_stream(s);
	static char notice[60000];
	memset(notice, 'n', sizeof notice - 1);
	memcpy(notice, "[\"NOTICE\",\"", 11);
	memcpy(notice + sizeof notice - 3, "\"]", 2);
	size_t told = 0;
	while (told == s->consumed && told < (64u << 20)) {
		tell(s, notice);
		told += sizeof notice - 1;
		turn(&d.net, 1);
	}
	assert_true(told - s->consumed == sizeof notice - 1);
	char *heard = hear_for(&d, fd, 500);
	free(heard);
	assert_int_equal(s->consumed, told);
	close(fd);
	close_door(&d);
}

static void test_too_much_at_once_is_refused_by_name(void **state)
{
	struct door d;
	struct hf_front_options options = {.subscriptions_max = 2};
	options.limits.per_minute[HF_LIMIT_ADDRESS][HF_LIMIT_PUBLISH] = 6;
	options.limits.per_minute[HF_LIMIT_KEY][HF_LIMIT_SUBSCRIBE] = 18;
	open_door(&d, 1, options);
	int fd = dial_websocket(&d.net, RELAY TOKEN, "");
	char event[200];
	snprintf(event, sizeof event, EVENT, 0);
	say_message(&d, fd, event);
	event[18] = '2'; /* of the id: another event */
	say_message(&d, fd, event);
	expect(&d.net, fd, "false,\"rate-limited: too much at once; try again in ");
	for (int i = 0; i < 3; i++) {
		char request[40];
		snprintf(request, sizeof request, "[\"REQ\",\"r%d\",{}]", i);
		say_message(&d, fd, request);
	}
	expect(&d.net, fd, "[\"CLOSED\",\"r2\",\"error: too many subscriptions\"]");
	say_message(&d, fd, "[\"REQ\",\"r0\",{}]");
	expect(&d.net, fd, "[\"CLOSED\",\"r0\",\"rate-limited: ");
	close(fd);
	close_door(&d);
}

/* ---- When workers fail ---- */

static void test_a_worker_that_is_to_get_nothing_more_keeps_nobody_waiting(void **state)
{
	struct door d;
	open_door(&d, 1, (struct hf_front_options){0});
	int fd = dial_websocket(&d.net, RELAY, "");
	struct hf_worker_stream *s = last_stream();
	begin_stream(s);
	hf_dispatcher_drain(hf_front_dispatcher(d.front), hf_loop_now_us(d.net.loop), s->worker->key, true);
	say_message(&d, fd, "[\"REQ\",\"late\",{\"kinds\":[1]}]");
	assert_false(was_sent(s, "late"));
	expect(&d.net, fd, "[\"CLOSED\",\"late\",\"error: ");
	close(fd);
	close_door(&d);
}

static void test_what_is_said_to_a_worker_that_is_going_goes_to_the_next(void **state)
{
	struct door d;
	open_door(&d, 2, (struct hf_front_options){0});
	int fd = dial_websocket(&d.net, RELAY, "");
	struct hf_worker_stream *first = last_stream();
	begin_stream(first);
	first->is_going = true;
	say_message(&d, fd, "[\"REQ\",\"s\",{}]");
	assert_int_equal(first->sent.length, 0);
	go(&d, first->worker == &workers[0] ? 0 : 1);
	assert_true(was_sent(last_stream(), "[\"REQ\",\"s\",{}]"));
	close(fd);
	close_door(&d);
}

static void test_a_session_leaves_a_worker_that_has_fallen_silent_if_another_speaks(void **state)
{
	struct door d;
	open_door(&d, 2, (struct hf_front_options){0});
	int fd = dial_websocket(&d.net, RELAY, "");
	struct hf_worker_stream *first = last_stream();
	begin_stream(first);
	say_message(&d, fd, "[\"REQ\",\"live\",{}]");
	struct hf_worker *other = first->worker == &workers[0] ? &workers[1] : &workers[0];
	size_t stream_count_before = stream_count;
	first->worker->is_silent = other->is_silent = true;
	hf_front_worker_silent(d.front, first->worker->key);
	assert_int_equal(stream_count, stream_count_before); /* no better place */
	other->is_silent = false;
	hf_front_worker_silent(d.front, first->worker->key);
	struct hf_worker_stream *second = last_stream();
	assert_ptr_equal(second->worker, other);
	assert_true(first->is_closed);
	begin_stream(second);
	assert_true(was_sent(second, "[\"REQ\",\"live\",{}]"));
	int later = dial_websocket(&d.net, RELAY, "");
	assert_ptr_equal(last_stream()->worker, other);
	close(later);
	close(fd);
	close_door(&d);
}

static void test_a_session_at_a_silent_worker_goes_to_one_that_comes(void **state)
{
	struct door d;
	open_door(&d, 2, (struct hf_front_options){0});
	go(&d, 1);
	int fd = dial_websocket(&d.net, RELAY, "");
	struct hf_worker_stream *first = last_stream();
	begin_stream(first);
	workers[0].is_silent = true;
	hf_front_worker_silent(d.front, workers[0].key);
	assert_ptr_equal(last_stream(), first);
	come(&d, 1);
	assert_ptr_equal(last_stream()->worker, &workers[1]);
	close(fd);
	close_door(&d);
}

static void test_a_session_waits_for_its_only_worker_to_come_back(void **state)
{
	struct door d;
	open_door(&d, 1, (struct hf_front_options){0});
	int fd = dial_websocket(&d.net, RELAY, "");
	begin_stream(last_stream());
	say_message(&d, fd, "[\"REQ\",\"s\",{}]");
	go(&d, 0);
	turn(&d.net, 300);
	assert_int_equal(stream_count, 1);
	come(&d, 0);
	assert_int_equal(stream_count, 2);
	assert_true(was_sent(last_stream(), "[\"REQ\",\"s\",{}]"));
	close(fd);
	close_door(&d);
}

static void test_without_any_worker_subscriptions_are_closed_and_the_socket_stays(void **state)
{
	struct door d;
	open_door(&d, 1, (struct hf_front_options){0});
	int fd = dial_websocket(&d.net, RELAY, "");
	char event[200];
	begin_stream(last_stream());
	say_message(&d, fd, "[\"REQ\",\"s\",{}]");
	snprintf(event, sizeof event, EVENT, 0);
	say_message(&d, fd, event);
	go(&d, 0);
	char *heard = hear_for(&d, fd, 5600);
	assert_non_null(strstr(heard, "[\"CLOSED\",\"s\",\"error: no worker of this relay can be reached\"]"));
	assert_non_null(strstr(heard, "false,\"error: no worker of this relay can be reached\"]"));
	free(heard);
	come(&d, 0);
	assert_int_equal(stream_count, 1); /* nothing is asked */
	say_message(&d, fd, "[\"REQ\",\"t\",{}]");
	assert_int_equal(stream_count, 2);
	assert_true(was_sent(last_stream(), "[\"REQ\",\"t\",{}]"));
	assert_false(was_sent(last_stream(), "published"));
	close(fd);
	close_door(&d);
}

static void test_what_a_relay_decides_is_passed_on(void **state)
{
	struct door d;
	open_door(&d, 2, (struct hf_front_options){0});
	int fd = dial_websocket(&d.net, RELAY, "");
	struct hf_worker_stream *s = last_stream();
	begin_stream(s);
	s->is_closed = true;
	s->events.ended(s->context, HF_ECANCELED, 1001, "going away"); /* the worker's affair */
	assert_int_equal(stream_count, 2);
	s = last_stream();
	begin_stream(s);
	s->is_closed = true;
	s->events.ended(s->context, HF_ECANCELED, 4403, "Authentication failed");
	expect(&d.net, fd, "Authentication failed");
	assert_int_equal(stream_count, 2);
	close(fd);
	close_door(&d);
}

static void test_a_worker_that_refuses_is_avoided(void **state)
{
	struct door d;
	open_door(&d, 2, (struct hf_front_options){0});
	workers[0].refuses = true;
	for (int i = 0; i < 12; i++) {
		int fd = dial_websocket(&d.net, RELAY, "");
		assert_ptr_equal(last_stream()->worker, &workers[1]);
		begin_stream(last_stream());
		close(fd);
		turn(&d.net, 5);
	}
	assert_int_equal(stream_count, 12);
	close_door(&d);
}

static void test_a_peer_taken_off_the_record_is_left(void **state)
{
	struct door d;
	open_door(&d, 2, (struct hf_front_options){0});
	int fd = dial_websocket(&d.net, RELAY, "");
	struct hf_worker_stream *first = last_stream();
	begin_stream(first);
	if (first->worker == &workers[0])
		memcpy(record_peers[0].key, workers[1].key, 32);
	record.peer_count = 1;
	registry_events.changed(registry_events.context, &record);
	assert_true(first->is_closed);
	assert_int_equal(first->close_code, HF_RELAY_STREAM_REASSIGNED);
	assert_int_equal(stream_count, 2);
	close(fd);
	close_door(&d);
}

/* ---- Files ---- */

static void answer_file(struct hf_worker_stream *s, int status, const char *length, const char *etag)
{
	struct hf_http_field fields[] = {
		{HF_SLICE_LITERAL("content-type"), HF_SLICE_LITERAL("image/png")},
		{HF_SLICE_LITERAL("content-length"), hf_slice_text(length)},
		{HF_SLICE_LITERAL("etag"), hf_slice_text(etag)},
		{HF_SLICE_LITERAL("set-cookie"), HF_SLICE_LITERAL("a=b")},
		{HF_SLICE_LITERAL("x-evil"), HF_SLICE_LITERAL("a\r\nB: c")},
	};
	s->events.head(s->context, status, fields, sizeof fields / sizeof *fields);
}

#define HOST "Host: 127.0.0.1\r\n"

static void test_a_file_is_streamed(void **state)
{
	struct door d;
	open_door(&d, 1, (struct hf_front_options){0});
	int fd = dial(&d.net);
	say_text(&d.net, fd, "GET /drive/npub1x:myRelay/a/b%20c.png HTTP/1.1\r\n" HOST "Range: bytes=0-4\r\n\r\n");
	turn(&d.net, 10);
	struct hf_worker_stream *s = last_stream();
	assert_int_equal(s->kind, HF_WORKER_HTTP);
	assert_string_equal(s->path, "/drive/npub1x:myRelay/a/b%20c.png");
	assert_string_equal(s->range, "bytes=0-4");
	answer_file(s, 206, "10", "\"x\"");
	s->events.data(s->context, HF_SLICE_LITERAL("01234"), false);
	s->events.data(s->context, HF_SLICE_LITERAL("56789"), false);
	s->is_closed = true;
	s->events.ended(s->context, HF_OK, 0, "");
	char *heard = hear_for(&d, fd, 50);
	assert_non_null(strstr(heard, "HTTP/1.1 206 "));
	assert_non_null(strstr(heard, "Content-Type: image/png\r\n"));
	assert_non_null(strstr(heard, "ETag: \"x\"\r\n"));
	assert_non_null(strstr(heard, "Cache-Control: public, max-age=300\r\n"));
	assert_non_null(strstr(heard, "Content-Security-Policy: sandbox"));
	assert_non_null(strstr(heard, "\r\n\r\n0123456789"));
	assert_null(strstr(heard, "ookie"));
	assert_null(strstr(heard, "B: c"));
	assert_int_equal(s->consumed, 10);
	free(heard);
	close(fd);
	close_door(&d);
}

static void test_private_files_need_a_token(void **state)
{
	struct door d;
	open_door(&d, 1, (struct hf_front_options){0});
	record.is_public = false;
	ask(&d.net, "GET /drive/npub1x/myRelay/f HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1 401 ");
	ask(&d.net, "GET /drive/npub1x/myRelay/f?token=bad HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1 403 ");
	ask(&d.net, "GET /pfp/f?relay=npub1x%2FmyRelay HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1 401 ");
	ask(&d.net, "GET /pfp/f HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1 404 ");
	assert_int_equal(stream_count, 0);
	int fd = dial(&d.net);
	say_text(&d.net, fd, "GET /drive/npub1x/myRelay/f" TOKEN " HTTP/1.1\r\n" HOST "\r\n");
	turn(&d.net, 10);
	assert_string_equal(last_stream()->auth_token, "workers-own");
	answer_file(last_stream(), 200, "0", "\"x\"");
	expect(&d.net, fd, "Cache-Control: private, no-cache\r\n");
	close(fd);
	close_door(&d);
}

static void test_another_worker_is_asked_for_a_file_until_one_begins(void **state)
{
	struct door d;
	open_door(&d, 2, (struct hf_front_options){0});
	int fd = dial(&d.net);
	say_text(&d.net, fd, "GET /pfp/owner/f HTTP/1.1\r\n" HOST "\r\n");
	turn(&d.net, 10);
	assert_string_equal(last_stream()->path, "/pfp/owner/f");
	answer_file(last_stream(), 500, "0", "");
	assert_int_equal(stream_count, 2);
	assert_true(streams[0].is_closed);
	answer_file(last_stream(), 200, "5", "\"y\"");
	expect(&d.net, fd, "ETag: \"y\"");
	/* From then on it is this one's: cut short. */
	last_stream()->events.data(last_stream()->context, HF_SLICE_LITERAL("ab"), false);
	go(&d, last_stream()->worker == &workers[0] ? 0 : 1);
	expect_closed(&d.net, fd);
	close(fd);
	assert_int_equal(stream_count, 2);
	close_door(&d);
}

static void test_when_no_worker_has_an_answer_the_refusal_says_so(void **state)
{
	struct door d;
	open_door(&d, 1, (struct hf_front_options){0});
	int fd = dial(&d.net);
	say_text(&d.net, fd, "GET /drive/aabb/f HTTP/1.1\r\n" HOST "\r\n");
	turn(&d.net, 10);
	answer_file(last_stream(), 502, "0", "");
	expect(&d.net, fd, "HTTP/1.1 502 ");
	close(fd);
	go(&d, 0);
	ask(&d.net, "GET /drive/aabb/f HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1 503 ");
	ask(&d.net, "GET /drive/nobodys/f HTTP/1.1\r\n" HOST "\r\n", "Relay not registered with gateway");
	ask(&d.net, "GET /drive/aabb HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1 404 ");
	close_door(&d);
}

static void test_a_reader_of_a_file_that_stops_gives_no_credit_and_may_go(void **state)
{
	struct door d;
	open_door(&d, 1, (struct hf_front_options){0});
	int fd = dial(&d.net);
	say_text(&d.net, fd, "GET /drive/aabb/f HTTP/1.1\r\n" HOST "\r\n");
	turn(&d.net, 10);
	struct hf_worker_stream *s = last_stream();
	s->events.head(s->context, 200, NULL, 0); /* without a length */
	static uint8_t piece[60000];
	size_t told = 0;
	while (told == s->consumed && told < (64u << 20)) {
		s->events.data(s->context, hf_slice(piece, sizeof piece), false);
		told += sizeof piece;
		turn(&d.net, 1);
	}
	assert_true(told - s->consumed == sizeof piece);
	char *heard = hear_for(&d, fd, 300);
	free(heard);
	assert_int_equal(s->consumed, told);
	struct linger hard = {1, 0};
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	close(fd);
	turn(&d.net, 50);
	assert_true(s->is_closed);
	struct hf_front_stats stats;
	hf_front_stats(d.front, &stats);
	assert_int_equal(stats.request_count, 0);
	close_door(&d);
}

/* ---- Authentication (NIP-42) ---- */

#define AUTH "[\"AUTH\",{\"id\":\"%08x%056d\",\"kind\":22242}]"
#define AUTH_OK "[\"OK\",\"%08x%056d\",%s,\"%s\"]"

static void challenge_by(struct hf_worker_stream *s)
{
	char text[60];
	assert_int_equal(strlen(s->challenge), 32);
	snprintf(text, sizeof text, "[\"AUTH\",\"%s\"]", s->challenge);
	begin_stream(s);
	tell(s, text);
}

/* A session that has proved a key at its first worker, has a subscription, and moves. */
static struct hf_worker_stream *move_proved_session(struct door *d, int *fd)
{
	char text[200];
	open_door(d, 2, (struct hf_front_options){0});
	*fd = dial_websocket(&d->net, RELAY, "");
	struct hf_worker_stream *first = last_stream();
	challenge_by(first);
	snprintf(text, sizeof text, AUTH, 7, 0);
	say_message(d, *fd, text);
	assert_true(was_sent(first, text));
	snprintf(text, sizeof text, AUTH_OK, 7, 0, "true", "");
	tell(first, text);
	say_message(d, *fd, "[\"REQ\",\"p\",{\"kinds\":[4]}]");
	tell(first, "[\"EOSE\",\"p\"]");
	char *heard = hear_for(d, *fd, 30);
	assert_int_equal(count_of(heard, first->challenge), 1);
	assert_int_equal(count_of(heard, "\"OK\""), 1); /* the client hears what became of its proof */
	free(heard);
	go(d, first->worker == &workers[0] ? 0 : 1);
	struct hf_worker_stream *second = last_stream();
	assert_ptr_not_equal(first->worker, second->worker);
	assert_string_equal(first->challenge, second->challenge);
	challenge_by(second);
	return second;
}

static void test_what_a_client_proved_is_said_to_the_next_worker_first(void **state)
{
	struct door d;
	int fd;
	char text[200];
	struct hf_worker_stream *second = move_proved_session(&d, &fd);
	snprintf(text, sizeof text, AUTH, 7, 0);
	assert_true(was_sent(second, text));
	assert_false(was_sent(second, "RESUME")); /* it would be refused */
	say_message(&d, fd, "[\"REQ\",\"q\",{}]");
	assert_false(was_sent(second, "REQ"));
	snprintf(text, sizeof text, AUTH_OK, 7, 0, "true", "");
	tell(second, text);
	assert_true(was_sent(second, "[\"RESUME\",\"p\"") && was_sent(second, "[\"REQ\",\"q\""));
	tell_event(second, "p", 9, now_s(&d));
	char *heard = hear_for(&d, fd, 30);
	assert_int_equal(count_of(heard, "AUTH"), 0); /* it is not asked again */
	assert_int_equal(count_of(heard, "\"OK\""), 0);
	assert_int_equal(count_of(heard, "e9."), 1);
	free(heard);
	close(fd);
	close_door(&d);
}

static void test_a_proof_that_the_next_worker_refuses_is_asked_for_again(void **state)
{
	struct door d;
	int fd;
	char text[200];
	struct hf_worker_stream *second = move_proved_session(&d, &fd);
	snprintf(text, sizeof text, AUTH_OK, 7, 0, "false", "invalid: too old");
	tell(second, text);
	assert_true(was_sent(second, "[\"RESUME\",\"p\"")); /* it is the worker's to refuse */
	tell(second, "[\"CLOSED\",\"p\",\"auth-required: who are you?\"]");
	char *heard = hear_for(&d, fd, 30);
	assert_int_equal(count_of(heard, second->challenge), 1);
	assert_int_equal(count_of(heard, "\"OK\""), 0);
	assert_int_equal(count_of(heard, "auth-required"), 1);
	free(heard);
	snprintf(text, sizeof text, AUTH, 8, 0);
	say_message(&d, fd, text);
	assert_true(was_sent(second, text));
	snprintf(text, sizeof text, AUTH_OK, 8, 0, "true", "");
	tell(second, text);
	expect(&d.net, fd, "00000008");
	close(fd);
	close_door(&d);
}

static void test_a_worker_with_a_challenge_of_its_own_has_it_passed_on(void **state)
{
	struct door d;
	int fd;
	struct hf_worker_stream *second = move_proved_session(&d, &fd);
	tell(second, "[\"AUTH\",\"another\"]");
	expect(&d.net, fd, "[\"AUTH\",\"another\"]");
	close(fd);
	close_door(&d);
}

/* ---- The gateway's own relay, looked up by workers ---- */

static uint8_t own;
#define own_relay ((struct hf_relay *)(void *)&own)

static void open_delegation(struct door *d)
{
	static const uint8_t bee_key[32] = {0xbe, 0xe0};
	open_door(d, 3, (struct hf_front_options){0});
	for (size_t i = 0; i < 3; i++) {
		workers[i].has_telemetry = true;
		workers[i].telemetry = (struct hf_telemetry){.bee_length = 100, .bee_lag = 3};
	}
	hf_front_delegate(d->front, own_relay, &(struct hf_front_delegation){.bee_key = bee_key, .queue_min = 7});
	assert_int_equal(delegate.queue_min, 7);
}

/* The question's stream; NULL: nobody was asked. */
static struct hf_worker_stream *ask_workers(struct hf_relay_question *question, void **handle)
{
	size_t before = stream_count;
	int r = delegate.ask(delegate.context, question, HF_SLICE_LITERAL("[\"REQ\",\"q\",{\"kinds\":[1]}]"), handle);
	assert_int_equal(r == HF_OK, stream_count > before && !streams[stream_count - 1].is_closed);
	return r == HF_OK ? last_stream() : NULL;
}

static uint64_t failures_of(struct door *d, const struct hf_worker *worker)
{
	struct hf_dispatch_facts facts;
	size_t cursor = 0;
	while (hf_dispatcher_next_peer(hf_front_dispatcher(d->front), hf_loop_now_us(d->net.loop), &cursor, &facts))
		if (memcmp(facts.peer, worker->key, 32) == 0)
			return facts.failed_count;
	return UINT64_MAX;
}

static void test_workers_look_up_what_the_own_relay_is_asked(void **state)
{
	struct door d;
	struct hf_relay_question question = {0};
	void *handle;
	open_delegation(&d);
	struct hf_worker_stream *s = ask_workers(&question, &handle);
	assert_non_null(s);
	assert_int_equal(strncmp(s->relay_key, "bee00000", 8), 0);
	assert_true(was_sent(s, "[\"REQ\",\"q\",{\"kinds\":[1]}]"));
	begin_stream(s);
	tell_event(s, "q", 1, 5);
	tell(s, "[\"SNAPSHOT\",\"q\",{\"version\":40,\"fork\":2,\"limit\":500}]");
	assert_int_equal(question.answered_count, 0);
	tell(s, "[\"EOSE\",\"q\"]");
	assert_true(s->is_closed);
	assert_int_equal(question.event_count, 1);
	assert_string_equal(question.events,
		"{\"id\":\"0000000100000000000000000000000000000000000000000000000000000000\",\"created_at\":5,\"content\":\"e1.\"};");
	assert_true(question.answered_count == 1 && question.version == 40 && question.fork == 2 && question.limit == 500);
	delegate.judged(delegate.context, handle, HF_RELAY_ANSWER_TRUE);
	assert_int_equal(failures_of(&d, s->worker), 0);
	close_door(&d);
}

static void test_of_three_workers_one_dies_and_one_lies(void **state)
{
	struct door d;
	struct hf_relay_question questions[3] = {{.limit = 0}};
	struct hf_worker_stream *s[3];
	void *handles[3];
	open_delegation(&d);
	for (size_t i = 0; i < 3; i++) {
		assert_non_null(s[i] = ask_workers(&questions[i], &handles[i]));
		begin_stream(s[i]);
		tell_event(s[i], "q", 1, 5);
	}
	assert_true(s[0]->worker != s[1]->worker && s[1]->worker != s[2]->worker && s[0]->worker != s[2]->worker);
	go(&d, (size_t)(s[0]->worker - workers)); /* in the middle of its answer */
	assert_int_equal(questions[0].failed_count, 1);
	assert_int_equal(questions[0].answered_count, 0);
	for (size_t i = 1; i < 3; i++) {
		tell(s[i], "[\"SNAPSHOT\",\"q\",{\"version\":40,\"fork\":0,\"limit\":500}]");
		tell(s[i], "[\"EOSE\",\"q\"]");
		assert_int_equal(questions[i].answered_count, 1);
	}
	delegate.judged(delegate.context, handles[1], HF_RELAY_ANSWER_FALSE);
	delegate.judged(delegate.context, handles[2], HF_RELAY_ANSWER_TRUE);
	assert_int_equal(failures_of(&d, s[1]->worker), 1);
	assert_int_equal(failures_of(&d, s[2]->worker), 0);
	close_door(&d);
}

static void test_who_is_far_behind_or_has_no_copy_is_not_asked(void **state)
{
	struct door d;
	struct hf_relay_question question = {0};
	void *handle;
	open_delegation(&d);
	workers[0].telemetry.bee_lag = 501;
	workers[1].telemetry.bee_length = 0;
	workers[2].has_telemetry = false;
	assert_null(ask_workers(&question, &handle));
	workers[2].has_telemetry = true;
	struct hf_worker_stream *s = ask_workers(&question, &handle);
	assert_ptr_equal(s->worker, &workers[2]);
	tell(s, "[\"CLOSED\",\"q\",\"error: no\"]");
	assert_int_equal(question.failed_count, 1);
	s = ask_workers(&question, &handle);
	begin_stream(s);
	tell(s, "[\"EOSE\",\"q\"]"); /* it does not say what it looked into */
	assert_int_equal(question.failed_count, 2);
	assert_int_equal(question.answered_count, 0);
	close_door(&d);
}

static void test_a_client_that_goes_and_a_front_that_ends_leave_nothing_behind(void **state)
{
	struct door d;
	struct hf_relay_question questions[3] = {{.limit = 0}};
	struct hf_worker_stream *s;
	void *handles[3];
	open_delegation(&d);
	s = ask_workers(&questions[0], &handles[0]);
	delegate.cancel(delegate.context, handles[0]);
	assert_true(s->is_closed);
	ask_workers(&questions[1], &handles[1]);
	s = ask_workers(&questions[2], &handles[2]);
	tell(s, "[\"SNAPSHOT\",\"q\",{\"version\":40,\"fork\":0,\"limit\":500}]");
	tell(s, "[\"EOSE\",\"q\"]");
	struct hf_relay_delegate before = delegate;
	close_door(&d);
	assert_null(delegate.ask);
	assert_int_equal(questions[1].failed_count, 1);
	assert_int_equal(questions[2].failed_count, 0);
	before.judged(NULL, handles[2], HF_RELAY_ANSWER_TRUE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_may_not_come_in_hears_why),
		cmocka_unit_test(test_without_tokens_a_closed_relay_is_not_configured),
		cmocka_unit_test(test_a_token_comes_in_three_ways),
		cmocka_unit_test(test_a_first_message_without_a_token_ends_the_session),
		cmocka_unit_test(test_a_revoked_token_closes_the_sockets_that_hold_it),
		cmocka_unit_test(test_a_session_ends_with_its_token_unless_it_shows_another),
		cmocka_unit_test(test_without_a_worker_information_is_the_records),
		cmocka_unit_test(test_information_is_the_workers_and_asked_for_once),
		cmocka_unit_test(test_what_is_no_document_is_not_passed_on),
		cmocka_unit_test(test_a_document_that_does_not_end_is_left),
		cmocka_unit_test(test_another_worker_is_asked_for_information),
		cmocka_unit_test(test_who_waits_for_information_hears_of_the_end),
		cmocka_unit_test(test_messages_go_both_ways),
		cmocka_unit_test(test_nonsense_is_answered),
		cmocka_unit_test(test_a_worker_that_takes_nothing_stops_the_client),
		cmocka_unit_test(test_a_client_that_does_not_read_gives_no_credit),
		cmocka_unit_test(test_too_much_at_once_is_refused_by_name),
		cmocka_unit_test(test_a_worker_that_is_to_get_nothing_more_keeps_nobody_waiting),
		cmocka_unit_test(test_what_is_said_to_a_worker_that_is_going_goes_to_the_next),
		cmocka_unit_test(test_a_session_leaves_a_worker_that_has_fallen_silent_if_another_speaks),
		cmocka_unit_test(test_a_session_at_a_silent_worker_goes_to_one_that_comes),
		cmocka_unit_test(test_a_session_waits_for_its_only_worker_to_come_back),
		cmocka_unit_test(test_without_any_worker_subscriptions_are_closed_and_the_socket_stays),
		cmocka_unit_test(test_what_a_relay_decides_is_passed_on),
		cmocka_unit_test(test_a_worker_that_refuses_is_avoided),
		cmocka_unit_test(test_a_peer_taken_off_the_record_is_left),
		cmocka_unit_test(test_a_file_is_streamed),
		cmocka_unit_test(test_private_files_need_a_token),
		cmocka_unit_test(test_another_worker_is_asked_for_a_file_until_one_begins),
		cmocka_unit_test(test_when_no_worker_has_an_answer_the_refusal_says_so),
		cmocka_unit_test(test_a_reader_of_a_file_that_stops_gives_no_credit_and_may_go),
		cmocka_unit_test(test_what_a_client_proved_is_said_to_the_next_worker_first),
		cmocka_unit_test(test_a_proof_that_the_next_worker_refuses_is_asked_for_again),
		cmocka_unit_test(test_a_worker_with_a_challenge_of_its_own_has_it_passed_on),
		cmocka_unit_test(test_workers_look_up_what_the_own_relay_is_asked),
		cmocka_unit_test(test_of_three_workers_one_dies_and_one_lies),
		cmocka_unit_test(test_who_is_far_behind_or_has_no_copy_is_not_asked),
		cmocka_unit_test(test_a_client_that_goes_and_a_front_that_ends_leave_nothing_behind),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
