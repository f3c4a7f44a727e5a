/* Sessions and files while memory is short: every allocation of every step fails once. The client gets what it asked for, or hears that it
 * does not; nothing comes twice, nothing leaks, and nothing is left behind in any table. */
#include "front_fixture.h"
#include "service/gateway/front_private.h"
#include "support/fail_alloc.h"

#define RELAY "/npub1x/myRelay"
#define TOKEN "?token=good%2Btoken.1"
#define HOST "Host: 127.0.0.1\r\n"
#define EVENT_ID "0000000100000000000000000000000000000000000000000000000000000000"
#define RUNS_MAX 400 /* allocations of one step */
#define TURNS 8      /* of the loop, in which all that is under way is done */

/* One run: in step `armed`, the n-th allocation fails. */
struct run {
	struct door d;
	int fd;
	unsigned step, armed;
	uint64_t n;
	bool has_failed, is_over; /* over: the client's connection has ended */
	char heard[65536];
	size_t heard_length;
};

/* So many turns of the loop; without memory of its own. */
static void listen_for(struct run *run, unsigned turns)
{
	for (unsigned i = 0; i < turns && !run->is_over; i++) {
		hf_loop_poll(run->d.net.loop, false);
		ssize_t got = recv(run->fd, run->heard + run->heard_length, sizeof run->heard - 1 - run->heard_length, MSG_DONTWAIT);
		if (got > 0)
			run->heard_length += (size_t)got;
		else if (got == 0 || errno != EAGAIN)
			run->is_over = true;
	}
	run->heard[run->heard_length] = '\0';
	for (size_t i = 0; i < run->heard_length; i++)
		if (run->heard[i] == '\0')
			run->heard[i] = '.';
}

static void begin_step(struct run *run)
{
	if (run->step++ == run->armed)
		fail_alloc_arm(run->n, false);
}

static struct hf_worker_stream *open_stream(void);

static bool is_going_on(const struct run *run)
{
	const struct hf_front_session *s = run->d.front->sessions;
	return s && s->state != HF_FRONT_CLOSING && !run->is_over;
}

static void end_step(struct run *run)
{
	listen_for(run, TURNS);
	run->has_failed |= fail_alloc_disarm();
	/* A session that could not be given to a worker is so a little later. */
	for (int i = 0; i < 500 && run->has_failed && is_going_on(run) && !open_stream(); i++) {
		poll(NULL, 0, 1);
		listen_for(run, 1);
	}
}

static void open_client(struct run *run)
{
	int at_once = 1;
	run->fd = dial(&run->d.net);
	setsockopt(run->fd, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof at_once);
	turn(&run->d.net, 3); /* it is accepted */
}

/* A step in which the client sends something. */
static void step_sends(struct run *run, const char *text, bool is_frame)
{
	static uint8_t bytes[4096];
	static const uint8_t mask[4] = {1, 2, 3, 4};
	size_t length = strlen(text), head = is_frame ? hf_websocket_frame_header(bytes, HF_WEBSOCKET_TEXT, false, length, mask) : 0;
	memcpy(bytes + head, text, length);
	if (is_frame)
		hf_websocket_mask(bytes + head, length, mask);
	begin_step(run);
	if (!run->is_over && send(run->fd, bytes, head + length, MSG_NOSIGNAL) < 0)
		run->is_over = true;
	end_step(run);
}

/* The stream that is open; NULL: none is. */
static struct hf_worker_stream *open_stream(void)
{
	for (size_t i = stream_count; i-- > 0;)
		if (!streams[i].is_closed)
			return &streams[i];
	return NULL;
}

/* A step in which the worker says something. */
static void step_tells(struct run *run, const char *text)
{
	struct hf_worker_stream *s = open_stream();
	begin_step(run);
	if (s)
		tell(s, text);
	end_step(run);
}

static void step_begins(struct run *run)
{
	struct hf_worker_stream *s = open_stream();
	begin_step(run);
	if (s)
		begin_stream(s);
	end_step(run);
}

static bool is_left(const struct door *d)
{
	struct hf_front_stats stats;
	struct hf_dispatcher_stats jobs;
	hf_front_stats(d->front, &stats);
	hf_dispatcher_stats(hf_front_dispatcher(d->front), &jobs);
	return stats.session_count || stats.subscription_count || stats.request_count || d->front->sessions || d->front->fetches ||
		d->front->jobs.count || jobs.in_flight_count || jobs.waiting_count || hf_loop_memory(d->net.loop)->kinds[HF_MEMORY_REQUESTS] ||
		open_stream();
}

static void end_run(struct run *run)
{
	struct linger hard = {1, 0};
	setsockopt(run->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	begin_step(run);
	close(run->fd);
	for (int i = 0; i < 200 && is_left(&run->d); i++)
		turn(&run->d.net, 1);
	run->has_failed |= fail_alloc_disarm();
	assert_false(is_left(&run->d));
	close_door(&run->d);
}

/* Runs it with each allocation of each step failing, and once without any. */
static void run_each(void (*run_one)(struct run *run), unsigned step_count)
{
	static struct run run;
	unsigned failures = 0;
	for (unsigned armed = 0; armed < step_count; armed++) {
		bool has_failed = true;
		for (uint64_t n = 1; has_failed; n++) {
			assert_in_range(n, 1, RUNS_MAX);
			run = (struct run){.armed = armed, .n = n};
			run_one(&run);
			assert_int_equal(run.step, step_count);
			has_failed = run.has_failed;
			failures += has_failed;
		}
	}
	assert_true(failures > step_count);
}

static void expect_count(struct run *run, const char *text, size_t count_min, size_t count_max)
{
	size_t count = count_of(run->heard, text);
	if (count < count_min || count > count_max)
		fail_msg("\"%s\" %zu times with allocation %llu of step %u failing: %s", text, count, (unsigned long long)run->n, run->armed,
			run->heard);
}

/* ---- A session ---- */

#define AUTH_ID "0000000200000000000000000000000000000000000000000000000000000000"
#define EVENT_OF(number) "[\"EVENT\",\"s\",{\"id\":\"00000" number "00000000000000000000000000000000000000000000000000000000\",\"created_at\":7," \
	"\"content\":\"e" number ".\"}]"

static void run_session(struct run *run)
{
	open_door(&run->d, 2, (struct hf_front_options){0});
	open_client(run);
	step_sends(run, "GET " RELAY TOKEN " HTTP/1.1\r\n" UPGRADE_HEAD "\r\n", false);
	step_begins(run);
	step_sends(run, "[\"AUTH\",{\"id\":\"" AUTH_ID "\",\"kind\":22242}]", true);
	step_tells(run, "[\"OK\",\"" AUTH_ID "\",true,\"\"]");
	step_sends(run, "[\"REQ\",\"s\",{\"kinds\":[1],\"limit\":5}]", true);
	step_tells(run, EVENT_OF("101"));
	step_tells(run, "[\"EOSE\",\"s\"]");
	step_sends(run, "[\"EVENT\",{\"id\":\"" EVENT_ID "\",\"created_at\":5,\"content\":\"published\"}]", true);
	struct hf_worker_stream *first = open_stream();
	begin_step(run);
	if (first)
		go(&run->d, (size_t)(first->worker - workers)); /* the other one gets all of it */
	end_step(run);
	step_begins(run);
	step_tells(run, "[\"OK\",\"" AUTH_ID "\",true,\"\"]");
	step_tells(run, EVENT_OF("101"));
	step_tells(run, EVENT_OF("102"));
	step_tells(run, "[\"EOSE\",\"s\"]");
	step_tells(run, "[\"OK\",\"" EVENT_ID "\",true,\"\"]");
	for (int i = 0; i < 500 && run->has_failed && is_going_on(run) && !strstr(run->heard, "[\"OK\",\"" EVENT_ID); i++) {
		poll(NULL, 0, 1);
		listen_for(run, 1); /* a connection that is given up ends a little later */
	}
	/* Who is still there has got everything, or was told what not. */
	bool is_here = !run->is_over && strstr(run->heard, " 101 ") && !strstr(run->heard, "Internal error");
	bool was_closed = strstr(run->heard, "[\"CLOSED\",\"s\",\"error: ");
	expect_count(run, "e101.", is_here && !was_closed, 1);
	expect_count(run, "e102.", is_here && !was_closed, 1);
	expect_count(run, "[\"EOSE\",\"s\"]", is_here && !was_closed, 1);
	expect_count(run, "[\"OK\",\"" EVENT_ID "\",", is_here, 1);
	if (!is_here && !run->is_over && !strstr(run->heard, "Internal error") && !strstr(run->heard, " 503 "))
		fail_msg("allocation %llu of step %u: %s", (unsigned long long)run->n, run->armed, run->heard);
	step_sends(run, "[\"CLOSE\",\"s\"]", true);
	end_run(run);
}

static void test_a_session_survives_each_failed_allocation(void **state)
{
	run_each(run_session, 17);
}

/* ---- A file ---- */

static void step_gives_head(struct run *run)
{
	const struct hf_http_field fields[] = {
		{HF_SLICE_LITERAL("content-type"), HF_SLICE_LITERAL("text/plain")}, {HF_SLICE_LITERAL("content-length"), HF_SLICE_LITERAL("10")}};
	struct hf_worker_stream *s = open_stream();
	begin_step(run);
	if (s)
		s->events.head(s->context, 200, fields, 2);
	end_step(run);
}

static void step_gives_body(struct run *run)
{
	struct hf_worker_stream *s = open_stream();
	begin_step(run);
	if (s)
		s->events.data(s->context, HF_SLICE_LITERAL("0123456789"), false);
	end_step(run);
	begin_step(run);
	if ((s = open_stream())) {
		s->is_closed = true;
		s->events.ended(s->context, HF_OK, 0, "");
	}
	end_step(run);
}

static void run_file(struct run *run)
{
	open_door(&run->d, 2, (struct hf_front_options){0});
	record.requires_auth = true;
	open_client(run);
	step_sends(run, "GET /drive/npub1x:myRelay/a%20b.txt" TOKEN " HTTP/1.1\r\n" HOST "Range: bytes=0-9\r\n\r\n", false);
	step_gives_head(run);
	step_gives_body(run);
	bool is_whole = strstr(run->heard, "HTTP/1.1 200 ") && strstr(run->heard, "\r\n\r\n0123456789");
	bool is_refused = strstr(run->heard, "HTTP/1.1 503 ") && strstr(run->heard, "out of memory");
	if (!is_whole && !is_refused && !run->is_over) /* else the connection ended before the body was whole, which a client sees */
		fail_msg("allocation %llu of step %u: %s", (unsigned long long)run->n, run->armed, run->heard);
	expect_count(run, "HTTP/1.1 ", 0, 1);
	end_run(run);
}

static void test_a_file_survives_each_failed_allocation(void **state)
{
	run_each(run_file, 5);
}

/* ---- The front itself ---- */

static void test_without_memory_there_is_no_front(void **state)
{
	struct door d;
	open_door(&d, 1, (struct hf_front_options){0});
	struct hf_front_options options = {.size = sizeof options, .loop = d.net.loop, .workers = (struct hf_workers *)(void *)&d,
		.registry = (struct hf_registry *)(void *)&d};
	bool has_failed = true;
	for (uint64_t n = 1; has_failed; n++) {
		struct hf_front *front = NULL;
		fail_alloc_arm(n, false);
		int r = hf_front_new(&front, &options);
		has_failed = fail_alloc_disarm();
		assert_int_equal(r, has_failed ? HF_ENOMEM : HF_OK);
		hf_front_free(front);
	}
	close_door(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_session_survives_each_failed_allocation),
		cmocka_unit_test(test_a_file_survives_each_failed_allocation),
		cmocka_unit_test(test_without_memory_there_is_no_front),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
