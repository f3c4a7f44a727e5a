/* Answers whose bodies come in pieces, seen by plain sockets. */
#include "net_fixture.h"

#define HOST "Host: 127.0.0.1\r\n"

static struct hf_http_exchange *current;
static unsigned writable_count, gone_count;
static uint64_t next_length;
static uint8_t piece[65536];

static void on_writable(void *context, struct hf_http_exchange *x)
{
	writable_count++;
}
static void on_gone(void *context, struct hf_http_exchange *x)
{
	gone_count++;
	current = NULL;
}
static const struct hf_http_pieces pieces = {.writable = on_writable, .gone = on_gone};

static void begin(void *context, struct hf_http_exchange *x)
{
	assert_int_equal(hf_http_begin(x, 200, "text/plain", next_length, "X-Extra: yes\r\n", &pieces, NULL), HF_OK);
	current = x;
}
static void not_modified(void *context, struct hf_http_exchange *x)
{
	assert_int_equal(hf_http_begin(x, 304, NULL, 5, NULL, &pieces, NULL), HF_OK);
	assert_int_equal(hf_http_write(x, HF_SLICE_LITERAL("hello")), HF_OK);
	hf_http_end(x);
}
static void at_once(void *context, struct hf_http_exchange *x)
{
	assert_int_equal(hf_http_begin(x, 200, NULL, HF_HTTP_LENGTH_UNKNOWN, NULL, &pieces, NULL), HF_OK);
	assert_int_equal(hf_http_write(x, HF_SLICE_LITERAL("whole")), HF_OK);
	hf_http_end(x);
}

static const struct hf_http_route routes[] = {
	HF_ROUTE("GET", "/begin", HF_ACCESS_PUBLIC, begin),
	HF_ROUTE("GET", "/304", HF_ACCESS_PUBLIC, not_modified),
	HF_ROUTE("GET", "/at-once", HF_ACCESS_PUBLIC, at_once),
};

static void open_server(struct fixture *f)
{
	f->options.routes = routes;
	f->options.route_count = sizeof routes / sizeof *routes;
	current = NULL;
	writable_count = gone_count = 0;
	next_length = HF_HTTP_LENGTH_UNKNOWN;
	fixture_open(f);
}

static void test_a_body_of_unknown_length_comes_in_chunks(void **state)
{
	struct fixture f = {0};
	open_server(&f);
	int fd = dial(&f);
	say_text(&f, fd, "GET /begin HTTP/1.1\r\n" HOST "\r\nGET /at-once HTTP/1.1\r\n" HOST "\r\n");
	expect(&f, fd, "X-Extra: yes\r\nTransfer-Encoding: chunked\r\n\r\n");
	assert_int_equal(hf_http_write(current, HF_SLICE_LITERAL("hello, ")), HF_OK);
	assert_int_equal(hf_http_write(current, HF_SLICE_LITERAL("")), HF_OK); /* is not the last chunk */
	assert_int_equal(hf_http_write(current, HF_SLICE_LITERAL("world")), HF_OK);
	expect(&f, fd, "7\r\nhello, \r\n5\r\nworld\r\n");
	hf_http_end(current);
	/* The connection goes on with the next request. */
	expect(&f, fd, "0\r\n\r\nHTTP/1.1 200 OK\r\n");
	close(fd);
	fixture_close(&f);
}

static void test_a_body_of_known_length_is_sent_as_it_is(void **state)
{
	struct fixture f = {0};
	open_server(&f);
	next_length = 10;
	int fd = dial(&f);
	say_text(&f, fd, "GET /begin HTTP/1.1\r\n" HOST "\r\n");
	expect(&f, fd, "Content-Length: 10\r\n");
	assert_int_equal(hf_http_write(current, HF_SLICE_LITERAL("01234")), HF_OK);
	assert_int_equal(hf_http_write(current, HF_SLICE_LITERAL("567890")), HF_ETOOBIG);
	assert_int_equal(hf_http_write(current, HF_SLICE_LITERAL("56789")), HF_OK);
	hf_http_end(current);
	expect(&f, fd, "0123456789");
	ask(&f, "GET /at-once HTTP/1.1\r\n" HOST "\r\n", "5\r\nwhole\r\n0\r\n\r\n");
	close(fd);
	fixture_close(&f);
}

static void test_a_body_that_falls_short_ends_the_connection(void **state)
{
	struct fixture f = {0};
	open_server(&f);
	next_length = 10;
	int fd = dial(&f);
	say_text(&f, fd, "GET /begin HTTP/1.1\r\n" HOST "\r\n");
	expect(&f, fd, "\r\n\r\n");
	assert_int_equal(hf_http_write(current, HF_SLICE_LITERAL("0123")), HF_OK);
	hf_http_end(current);
	expect_closed(&f, fd);
	close(fd);
	next_length = HF_HTTP_LENGTH_UNKNOWN;
	fd = dial(&f);
	say_text(&f, fd, "GET /begin HTTP/1.1\r\n" HOST "\r\n");
	expect(&f, fd, "\r\n\r\n");
	hf_http_abort(current);
	expect_closed(&f, fd); /* without a last chunk */
	close(fd);
	assert_int_equal(gone_count, 0);
	fixture_close(&f);
}

static void test_http_1_0_reads_until_the_end(void **state)
{
	struct fixture f = {0};
	open_server(&f);
	int fd = dial(&f);
	struct hf_buffer out = {0};
	bool closed;
	say_text(&f, fd, "GET /at-once HTTP/1.0\r\n" HOST "Connection: keep-alive\r\n\r\n");
	hear(&f, fd, &out, NULL, NULL, 4000, &closed);
	assert_true(closed);
	assert_false(holds(&out, "chunked"));
	assert_memory_equal(out.data + out.length - 9, "\r\n\r\nwhole", 9);
	hf_buffer_free(&out);
	close(fd);
	fixture_close(&f);
}

static void test_what_may_have_no_body_gets_none(void **state)
{
	struct fixture f = {0};
	open_server(&f);
	int fd = dial(&f);
	say_text(&f, fd, "HEAD /at-once HTTP/1.1\r\n" HOST "\r\nGET /304 HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
	struct hf_buffer out = {0};
	bool closed;
	hear(&f, fd, &out, NULL, NULL, 4000, &closed);
	assert_true(closed);
	assert_true(holds(&out, "HTTP/1.1 304 "));
	assert_false(holds(&out, "whole") || holds(&out, "hello") || holds(&out, "0\r\n\r\n"));
	hf_buffer_free(&out);
	close(fd);
	fixture_close(&f);
}

/* Writes until there is no room; returns how much that was. */
static size_t fill(struct fixture *f)
{
	size_t written = 0;
	for (int i = 0; i < 1000 && hf_http_room(current) > 0; i++) {
		assert_int_equal(hf_http_write(current, hf_slice(piece, sizeof piece)), HF_OK);
		written += sizeof piece;
		turn(f, 1);
	}
	assert_int_equal(hf_http_room(current), 0);
	return written;
}

static void test_who_does_not_read_is_waited_for_and_then_let_go(void **state)
{
	struct fixture f = {0};
	f.options.idle_timeout_ms = 2000;
	open_server(&f);
	int fd = dial(&f), little = 65536;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &little, sizeof little);
	say_text(&f, fd, "GET /begin HTTP/1.1\r\n" HOST "\r\n");
	turn(&f, 20);
	size_t written = fill(&f), read_bytes = 0;
	assert_int_equal(writable_count, 0);
	/* Past the bound nothing is taken. */
	int status = HF_OK;
	while (status == HF_OK)
		status = hf_http_write(current, hf_slice(piece, sizeof piece));
	assert_int_equal(status, HF_EBUSY);
	/* It reads again: there is room, once. */
	static uint8_t sink[65536];
	for (uint64_t until = hf_env_monotonic_ms(&f.env) + 5000; hf_env_monotonic_ms(&f.env) < until && writable_count == 0;) {
		ssize_t got = recv(fd, sink, sizeof sink, 0);
		read_bytes += got > 0 ? (size_t)got : 0;
		hf_loop_poll(f.loop, false);
	}
	assert_int_equal(writable_count, 1);
	assert_true(read_bytes > 0 && written > 0);
	assert_true(hf_http_room(current) >= HF_HTTP_PIECES_BYTES_SOFT / 2);
	fill(&f);
	for (int i = 0; i < 100 && gone_count == 0; i++)
		turn(&f, 100);
	assert_int_equal(gone_count, 1); /* no progress for longer than is allowed */
	close(fd);
	fixture_close(&f);
}

static void test_a_writer_may_take_its_time(void **state)
{
	struct fixture f = {0};
	f.options.idle_timeout_ms = 100;
	open_server(&f);
	int fd = dial(&f);
	say_text(&f, fd, "GET /begin HTTP/1.1\r\n" HOST "\r\n");
	expect(&f, fd, "\r\n\r\n");
	turn(&f, 400);
	assert_int_equal(gone_count, 0);
	assert_int_equal(hf_http_write(current, HF_SLICE_LITERAL("late")), HF_OK);
	hf_http_end(current);
	expect(&f, fd, "late");
	close(fd);
	fixture_close(&f);
}

static void test_a_client_that_goes_is_told_of_once(void **state)
{
	struct fixture f = {0};
	open_server(&f);
	int fd = dial(&f);
	say_text(&f, fd, "GET /begin HTTP/1.1\r\n" HOST "\r\n");
	expect(&f, fd, "\r\n\r\n");
	struct linger hard = {1, 0};
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	close(fd);
	turn(&f, 50);
	assert_int_equal(gone_count, 1);
	/* And when the server ends. */
	fd = dial(&f);
	say_text(&f, fd, "GET /begin HTTP/1.1\r\n" HOST "\r\n");
	expect(&f, fd, "\r\n\r\n");
	fixture_close(&f);
	assert_int_equal(gone_count, 2);
	close(fd);
}

static void test_who_only_stopped_asking_gets_the_rest(void **state)
{
	struct fixture f = {0};
	open_server(&f);
	int fd = dial(&f);
	say_text(&f, fd, "GET /begin HTTP/1.1\r\n" HOST "\r\n");
	expect(&f, fd, "\r\n\r\n");
	shutdown(fd, SHUT_WR);
	turn(&f, 20);
	assert_int_equal(hf_http_write(current, HF_SLICE_LITERAL("still here")), HF_OK);
	hf_http_end(current);
	expect(&f, fd, "still here\r\n0\r\n\r\n");
	close(fd);
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_body_of_unknown_length_comes_in_chunks),
		cmocka_unit_test(test_a_body_of_known_length_is_sent_as_it_is),
		cmocka_unit_test(test_a_body_that_falls_short_ends_the_connection),
		cmocka_unit_test(test_http_1_0_reads_until_the_end),
		cmocka_unit_test(test_what_may_have_no_body_gets_none),
		cmocka_unit_test(test_who_does_not_read_is_waited_for_and_then_let_go),
		cmocka_unit_test(test_a_writer_may_take_its_time),
		cmocka_unit_test(test_a_client_that_goes_is_told_of_once),
		cmocka_unit_test(test_who_only_stopped_asking_gets_the_rest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
