/* The HTTP server from the outside: plain sockets on a loopback port. */
#include "net_fixture.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "net/http_client.h"

static struct hf_http_exchange *parked;
static char big[8 << 20];

static void hello(void *context, struct hf_http_exchange *x)
{
	hf_http_respond(x, 200, "text/plain", HF_SLICE_LITERAL("hello"), "X-Extra: yes\r\n");
}
static void echo(void *context, struct hf_http_exchange *x)
{
	hf_http_respond(x, 200, "text/plain", hf_http_body(x), NULL);
}
static void show(void *context, struct hf_http_exchange *x)
{
	char text[HF_ADDRESS_TEXT_BYTES], line[400];
	struct hf_slice path = hf_http_path(x), query = hf_http_query(x);
	int length = snprintf(line, sizeof line, "[%.*s][%.*s][%s]", (int)path.length, (const char *)path.data,
		(int)query.length, (const char *)query.data, hf_address_text(hf_http_client(x), false, text));
	hf_http_respond(x, 200, "text/plain", hf_slice(line, (size_t)length), NULL);
}
static void base(void *context, struct hf_http_exchange *x)
{
	static const char *const kinds[] = {"none", "forwarded", "local", "claimed"};
	char url[HF_HTTP_BASE_URL_BYTES], line[400];
	enum hf_http_base kind = hf_http_base_url(x, url);
	int length = snprintf(line, sizeof line, "[%s][%s]", kinds[kind], url);
	hf_http_respond(x, 200, "text/plain", hf_slice(line, (size_t)length), NULL);
}
static void park(void *context, struct hf_http_exchange *x)
{
	parked = x;
}
static void large(void *context, struct hf_http_exchange *x)
{
	hf_http_respond_static(x, "application/octet-stream", hf_slice(big, sizeof big), "no-cache");
}
static void fixed(void *context, struct hf_http_exchange *x)
{
	hf_http_allow_origin(x, "*");
	hf_http_respond_static(x, "text/css", HF_SLICE_LITERAL("0123456789"), "public");
}
static char directory[] = "/tmp/hf-net-XXXXXX";
static void file(void *context, struct hf_http_exchange *x)
{
	struct hf_slice path = hf_http_path(x);
	hf_http_respond_file(x, directory, hf_slice(path.data + 7, path.length - 7));
}
static const struct hf_http_route routes[] = {
	HF_ROUTE("GET", "/", HF_ACCESS_PUBLIC, hello),
	HF_ROUTE("POST", "/echo", HF_ACCESS_PUBLIC, echo),
	HF_ROUTE("GET", "/show/*", HF_ACCESS_PUBLIC, show),
	HF_ROUTE("GET", "/park", HF_ACCESS_PUBLIC, park),
	HF_ROUTE("GET", "/fixed", HF_ACCESS_PUBLIC, fixed),
	HF_ROUTE("GET", "/large", HF_ACCESS_PUBLIC, large),
	HF_ROUTE("GET", "/local", HF_ACCESS_LOCAL, hello),
	HF_ROUTE("GET", "/admin", HF_ACCESS_ADMIN, hello),
	HF_ROUTE("GET", "/socket", HF_ACCESS_SOCKET, hello),
	HF_ROUTE("GET", "/base", HF_ACCESS_PUBLIC, base),
	HF_ROUTE("GET", "/files/*", HF_ACCESS_PUBLIC, file),
	HF_ROUTE("PUT", "/echo", HF_ACCESS_PUBLIC, echo),
};

static void open_server(struct fixture *f)
{
	f->options.routes = routes;
	f->options.route_count = sizeof routes / sizeof *routes;
	fixture_open(f);
}

#define HOST "Host: 127.0.0.1\r\n"

static void test_routes_are_found_by_path_and_method(void **state)
{
	struct fixture f = {0};
	open_server(&f);
	ask(&f, "GET / HTTP/1.1\r\n" HOST "\r\n", "X-Extra: yes\r\n\r\nhello");
	ask(&f, "GET /nowhere HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1 404 Not Found\r\n");
	ask(&f, "DELETE /echo HTTP/1.1\r\n" HOST "\r\n", "Allow: POST, PUT\r\n");
	ask(&f, "DELETE /echo HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1 405 ");
	ask(&f, "OPTIONS / HTTP/1.1\r\n" HOST "\r\n", "Allow: GET, HEAD\r\n");
	ask(&f, "GET /show/a%20b?q=1 HTTP/1.1\r\n" HOST "\r\n", "[/show/a b][q=1][127.0.0.1]");
	ask(&f, "GET /showx HTTP/1.1\r\n" HOST "\r\n", " 404 ");
	ask(&f, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 4\r\n\r\nabcd", "\r\n\r\nabcd");
	ask(&f, "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n",
		"\r\n\r\nabcd");
	fixture_close(&f);
}

static void test_head_has_the_length_and_no_body(void **state)
{
	struct fixture f = {0};
	open_server(&f);
	int fd = dial(&f);
	say_text(&f, fd, "HEAD / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
	struct hf_buffer out = {0};
	bool closed;
	hear(&f, fd, &out, NULL, NULL, 3000, &closed);
	assert_true(closed);
	assert_true(holds(&out, "Content-Length: 5\r\n"));
	assert_memory_equal(out.data + out.length - 4, "\r\n\r\n", 4);
	hf_buffer_free(&out);
	close(fd);
	fixture_close(&f);
}

static void test_pipelined_answers_keep_their_order(void **state)
{
	struct fixture f = {0};
	open_server(&f);
	int fd = dial(&f);
	say_text(&f, fd,
		"GET /park HTTP/1.1\r\n" HOST "\r\nGET /show/2 HTTP/1.1\r\n" HOST "\r\nGET /show/3 HTTP/1.1\r\n" HOST
		"\r\n");
	turn(&f, 30);
	assert_non_null(parked);
	hf_http_respond(parked, 200, NULL, HF_SLICE_LITERAL("[first]"), NULL);
	struct hf_buffer out = {0};
	bool closed;
	hear(&f, fd, &out, holds, "[/show/3]", 3000, &closed);
	char *first = memmem(out.data, out.length, "[first]", 7),
	     *second = memmem(out.data, out.length, "[/show/2]", 9),
	     *third = memmem(out.data, out.length, "[/show/3]", 9);
	assert_true(first && second && third && first < second && second < third);
	hf_buffer_free(&out);
	close(fd);
	fixture_close(&f);
}

static void test_a_handler_may_answer_when_the_client_is_gone(void **state)
{
	struct fixture f = {0};
	open_server(&f);
	int fd = dial(&f);
	parked = NULL;
	say_text(&f, fd, "GET /park HTTP/1.1\r\n" HOST "\r\n");
	turn(&f, 20);
	struct linger hard = {1, 0};
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	close(fd);
	turn(&f, 20);
	hf_http_respond(parked, 200, NULL, HF_SLICE_LITERAL("too late"), NULL);
	/* A client that only stopped sending still gets its answer. */
	fd = dial(&f);
	parked = NULL;
	say_text(&f, fd, "GET /park HTTP/1.1\r\n" HOST "\r\n");
	shutdown(fd, SHUT_WR);
	turn(&f, 20);
	hf_http_respond(parked, 200, NULL, HF_SLICE_LITERAL("in time"), NULL);
	expect(&f, fd, "in time");
	expect_closed(&f, fd);
	close(fd);
	/* And one that is still being answered when the server goes away. */
	fd = dial(&f);
	say_text(&f, fd, "GET /park HTTP/1.1\r\n" HOST "\r\n");
	turn(&f, 20);
	struct hf_http_exchange *x = parked;
	hf_http_server_free(f.server);
	hf_http_respond(x, 200, NULL, HF_SLICE_LITERAL("too late"), NULL);
	hf_loop_free(f.loop);
	close(fd);
}

static void test_expect_continue_is_answered(void **state)
{
	struct fixture f = {0};
	open_server(&f);
	int fd = dial(&f);
	say_text(&f, fd, "POST /echo HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
	expect(&f, fd, "HTTP/1.1 100 Continue\r\n\r\n");
	say_text(&f, fd, "ab");
	expect(&f, fd, "\r\n\r\nab");
	close(fd);
	fixture_close(&f);
}

static void test_refused_requests_are_answered_and_end_the_connection(void **state)
{
	struct fixture f = {.options = {.header_bytes_max = 2000, .body_bytes_max = 1000}};
	open_server(&f);
	static const struct {
		const char *request, *answer;
	} table[] = {
		{"POST /echo HTTP/1.1\r\n" HOST
		 "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n",
			" 400 "},
		{"POST /echo HTTP/1.1\r\n" HOST "Content-Length: 1001\r\n\r\n", " 413 "},
		{"GET /../etc/passwd HTTP/1.1\r\n" HOST "\r\n", " 400 "},
		{"GET / HTTP/3.0\r\n" HOST "\r\n", " 505 "},
		{"\x16\x03\x01\r\n\r\n", " 400 "},
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		int fd = dial(&f);
		struct hf_buffer out = {0};
		bool closed;
		say_text(&f, fd, table[i].request);
		hear(&f, fd, &out, NULL, NULL, 3000, &closed);
		assert_true(closed);
		assert_true(holds(&out, table[i].answer));
		assert_true(holds(&out, "Connection: close\r\n"));
		assert_false(holds(&out, "hello")); /* what was smuggled is not answered */
		hf_buffer_free(&out);
		close(fd);
	}
	char garbage[100000];
	for (size_t i = 0; i < sizeof garbage; i++)
		garbage[i] = (char)(i * 2654435761u >> 13);
	int fd = dial(&f);
	say(&f, fd, garbage, sizeof garbage);
	expect_closed(&f, fd);
	close(fd);
	ask(&f, "GET / HTTP/1.1\r\n" HOST "\r\n", "hello");
	fixture_close(&f);
}

static void test_slow_and_idle_clients_are_closed(void **state)
{
	struct fixture f = {.options = {.header_timeout_ms = 150, .body_timeout_ms = 150, .idle_timeout_ms = 150}};
	open_server(&f);
	/* One byte each 20 ms does not extend the time for a head. */
	int fd = dial(&f);
	struct hf_buffer out = {0};
	bool closed = false;
	uint64_t start = hf_env_monotonic_ms(&f.env);
	for (const char *c = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
		*c && !closed; c++) {
		say(&f, fd, c, 1);
		hear(&f, fd, &out, NULL, NULL, 20, &closed);
	}
	assert_true(closed);
	assert_true(holds(&out, " 408 "));
	assert_true(hf_env_monotonic_ms(&f.env) - start < 1000);
	close(fd);
	/* A silent one, one stuck in its body, and one idle after an answer. */
	static const char *const beginnings[] = {
		"", "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 9\r\n\r\nabc", "GET / HTTP/1.1\r\n" HOST "\r\n"};
	for (size_t i = 0; i < 3; i++) {
		fd = dial(&f);
		say_text(&f, fd, beginnings[i]);
		start = hf_env_monotonic_ms(&f.env);
		expect_closed(&f, fd);
		assert_true(hf_env_monotonic_ms(&f.env) - start >= 100);
		assert_true(hf_env_monotonic_ms(&f.env) - start < 1000);
		close(fd);
	}
	/* One that asks for 8 MiB and does not read. */
	fd = dial(&f);
	say_text(&f, fd, "GET /large HTTP/1.1\r\n" HOST "\r\n");
	turn(&f, 800);
	out.length = 0;
	hear(&f, fd, &out, NULL, NULL, 2000, &closed);
	assert_true(closed);
	assert_true(out.length < sizeof big);
	close(fd);
	hf_buffer_free(&out);
	fixture_close(&f);
}

static void test_a_client_that_asks_and_does_not_read_is_bounded(void **state)
{
	struct fixture f = {0};
	struct hf_buffer out = {0};
	static const char request[] = "GET /show/x HTTP/1.1\r\n" HOST "\r\n";
	enum { REQUEST_COUNT = 60000 };
	bool closed;
	open_server(&f);
	int fd = dial(&f);
	char *all = malloc(REQUEST_COUNT * (sizeof request - 1));
	for (size_t i = 0; i < REQUEST_COUNT; i++)
		memcpy(all + i * (sizeof request - 1), request, sizeof request - 1);
	/* The server stops reading, so the sockets fill up; then everything is answered after all. */
	size_t sent = 0, length = REQUEST_COUNT * (sizeof request - 1), stuck = 0;
	while (sent < length && stuck < 100) {
		ssize_t n = send(fd, all + sent, length - sent, MSG_NOSIGNAL);
		stuck = n > 0 ? 0 : stuck + 1;
		sent += n > 0 ? (size_t)n : 0;
		hf_loop_poll(f.loop, false);
	}
	while (sent < length) {
		ssize_t n = send(fd, all + sent, length - sent, MSG_NOSIGNAL);
		sent += n > 0 ? (size_t)n : 0;
		hear(&f, fd, &out, NULL, NULL, 2, &closed);
	}
	shutdown(fd, SHUT_WR);
	hear(&f, fd, &out, NULL, NULL, 20000, &closed);
	size_t answers = 0;
	for (uint8_t *at = out.data; (at = memmem(at, (size_t)(out.data + out.length - at), "[/show/x]", 9)); at += 9)
		answers++;
	assert_true(closed);
	assert_int_equal(answers, REQUEST_COUNT);
	hf_buffer_free(&out);
	free(all);
	close(fd);
	fixture_close(&f);
}

static void test_large_answers_arrive_whole(void **state)
{
	struct fixture f = {0};
	open_server(&f);
	for (size_t i = 0; i < sizeof big; i++)
		big[i] = (char)(i * 2654435761u >> 11);
	int fd = dial(&f);
	struct hf_buffer out = {0};
	bool closed;
	say_text(&f, fd, "GET /large HTTP/1.0\r\n\r\n");
	hear(&f, fd, &out, NULL, NULL, 5000, &closed);
	assert_true(closed);
	assert_true(out.length > sizeof big);
	assert_memory_equal(out.data + out.length - sizeof big, big, sizeof big);
	hf_buffer_free(&out);
	close(fd);
	fixture_close(&f);
}

static void test_static_content_has_tags_and_ranges(void **state)
{
	struct fixture f = {0};
	open_server(&f);
	static const char tag[] = "\"84d89877f0d4041efb6bf91a16f0248f\"";
	ask(&f, "GET /fixed HTTP/1.1\r\n" HOST "\r\n", "Access-Control-Allow-Origin: *\r\n");
	ask(&f, "GET /fixed HTTP/1.1\r\n" HOST "\r\n", tag);
	char request[256];
	snprintf(request, sizeof request, "GET /fixed HTTP/1.1\r\n" HOST "If-None-Match: W/\"x\", %s\r\n\r\n", tag);
	ask(&f, request, "HTTP/1.1 304 ");
	static const struct {
		const char *range, *answer;
	} table[] = {
		{"bytes=2-4", "Content-Range: bytes 2-4/10\r\n"},
		{"bytes=2-4", "\r\n\r\n234"},
		{"bytes=7-", "\r\n\r\n789"},
		{"bytes=-3", "\r\n\r\n789"},
		{"bytes=-30", "\r\n\r\n0123456789"},
		{"bytes=8-100", "bytes 8-9/10"},
		{"bytes=10-", " 416 "},
		{"bytes=-0", " 416 "},
		{"bytes=4-2", " 200 "},
		{"bytes=1-2,4-5", " 200 "},
		{"lines=1-2", " 200 "},
		{"bytes=99999999999999999999999-", " 416 "},
		{"bytes=--1", " 200 "},
		{"bytes=-", " 200 "},
		{"bytes=1-2-3", " 200 "},
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		snprintf(request, sizeof request, "GET /fixed HTTP/1.1\r\n" HOST "Range: %s\r\n\r\n", table[i].range);
		ask(&f, request, table[i].answer);
	}
	fixture_close(&f);
}

static void write_file(const char *name, const char *text)
{
	char path[256];
	snprintf(path, sizeof path, "%s/%s", directory, name);
	FILE *stream = fopen(path, "w");
	assert_non_null(stream);
	fputs(text, stream);
	fclose(stream);
}

static void test_files_stay_below_their_directory(void **state)
{
	struct fixture f = {0};
	char path[256];
	open_server(&f);
	assert_non_null(mkdtemp(directory));
	write_file("page.html", "<p>page</p>");
	write_file(".hidden", "secret");
	snprintf(path, sizeof path, "%s/sub", directory);
	mkdir(path, 0700);
	write_file("sub/a.css", "a{}");
	snprintf(path, sizeof path, "%s/link", directory);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	ask(&f, "GET /files/page.html HTTP/1.1\r\n" HOST "\r\n", "Content-Type: text/html; charset=utf-8\r\n");
	ask(&f, "GET /files/page.html HTTP/1.1\r\n" HOST "\r\n", "<p>page</p>");
	ask(&f, "GET /files/sub/a.css HTTP/1.1\r\n" HOST "\r\n", "a{}");
	static const char *const absent[] = {"/files/.hidden", "/files/link", "/files/sub", "/files/", "/files/sub/",
		"/files/%2fetc%2fpasswd", "/files//etc/passwd", "/files/no"};
	for (size_t i = 0; i < sizeof absent / sizeof *absent; i++) {
		snprintf(path, sizeof path, "GET %s HTTP/1.1\r\n" HOST "\r\n", absent[i]);
		ask(&f, path, " 404 ");
	}
	snprintf(path, sizeof path, "rm -r %s", directory);
	assert_int_equal(system(path), 0);
	fixture_close(&f);
}

static bool let_in(void *context, struct hf_http_exchange *x)
{
	if (hf_slice_equal(hf_http_header(x, "Authorization"), HF_SLICE_LITERAL("Bearer right")))
		return true;
	hf_http_respond(x, 401, "text/plain", HF_SLICE_LITERAL("no"), NULL);
	return false;
}

static void test_access_classes_hold(void **state)
{
	struct fixture f = {0};
	open_server(&f);
	ask(&f, "GET /local HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n", "hello");
	ask(&f, "GET /local HTTP/1.1\r\nHost: localhost\r\n\r\n", "hello");
	ask(&f, "GET /local HTTP/1.1\r\nHost: [::1]:7777\r\n\r\n", "hello");
	ask(&f, "GET /local HTTP/1.1\r\nHost: evil.example\r\n\r\n", " 403 ");
	ask(&f, "GET /local HTTP/1.1\r\nHost: \r\n\r\n", " 403 ");
	ask(&f, "GET /local HTTP/1.1\r\n" HOST "X-Forwarded-For: 10.0.0.1\r\n\r\n", " 403 ");
	ask(&f, "GET /admin HTTP/1.1\r\n" HOST "\r\n", " 403 ");
	f.options.authorize = let_in;
	hf_http_server_reconfigure(f.server, &f.options);
	ask(&f, "GET /admin HTTP/1.1\r\n" HOST "\r\n", " 401 ");
	ask(&f, "GET /admin HTTP/1.1\r\n" HOST "Authorization: Bearer wrong\r\n\r\n", " 401 ");
	ask(&f, "GET /admin HTTP/1.1\r\n" HOST "Authorization: Bearer right\r\n\r\n", "hello");
	ask(&f, "GET /socket HTTP/1.1\r\n" HOST "Authorization: Bearer right\r\n\r\n", " 403 ");
	fixture_close(&f);
}

static bool let_in_by_name(void *context, struct hf_http_exchange *x)
{
	struct hf_slice name = hf_http_header(x, "Authorization");
	char who[32];
	snprintf(who, sizeof who, "%.*s", (int)name.length, (const char *)name.data);
	return hf_http_set_who(x, who) == HF_OK;
}

/* Whom a request was let in for is told by that request, whoever came since. */
static void test_each_exchange_knows_whom_it_was_let_in_for(void **state)
{
	static const struct hf_http_route guarded[] = {
		HF_ROUTE("GET", "/park", HF_ACCESS_ADMIN, park), HF_ROUTE("GET", "/", HF_ACCESS_PUBLIC, park)};
	struct fixture f = {.options = {.routes = guarded, .route_count = 2, .authorize = let_in_by_name}};
	struct hf_http_exchange *first;
	fixture_open(&f);
	int fds[] = {dial(&f), dial(&f)};
	say_text(&f, fds[0], "GET /park HTTP/1.1\r\n" HOST "Authorization: ann\r\n\r\n");
	turn(&f, 10);
	first = parked;
	say_text(&f, fds[1], "GET /park HTTP/1.1\r\n" HOST "Authorization: bob\r\n\r\n");
	turn(&f, 10);
	assert_string_equal(hf_http_who(first), "ann");
	assert_string_equal(hf_http_who(parked), "bob");
	hf_http_respond(first, 200, "text/plain", HF_SLICE_LITERAL("one"), NULL);
	hf_http_respond(parked, 200, "text/plain", HF_SLICE_LITERAL("two"), NULL);
	expect(&f, fds[0], "one");
	say_text(&f, fds[0], "GET / HTTP/1.1\r\n" HOST "\r\n"); /* the same connection, and nobody asked */
	turn(&f, 10);
	assert_null(hf_http_who(parked));
	hf_http_respond(parked, 200, "text/plain", HF_SLICE_LITERAL("three"), NULL);
	expect(&f, fds[0], "three");
	close(fds[0]);
	close(fds[1]);
	fixture_close(&f);
}

static void test_where_a_client_came_is_told_by_proxies_and_not_by_itself(void **state)
{
	static const char more[] = "X-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.example, relay.example\r\n\r\n";
	struct hf_address_range trusted;
	char request[400];
	assert_int_equal(hf_address_range_parse("127.0.0.0/8", &trusted), HF_OK);
	struct fixture f = {0};
	open_server(&f);
	ask(&f, "GET /base HTTP/1.1\r\nHost: 127.0.0.1:77\r\n\r\n", "[local][http://127.0.0.1:77]");
	ask(&f, "GET /base HTTP/1.1\r\nHost: localhost\r\n\r\n", "[local][http://localhost]");
	ask(&f, "GET /base HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "[local][http://[::1]:80]");
	ask(&f, "GET /base HTTP/1.1\r\nHost: 6.6.6.6:77\r\n\r\n", "[claimed][http://6.6.6.6:77]");
	ask(&f, "GET /base HTTP/1.1\r\nHost: evil.example\r\n\r\n", "[claimed][http://evil.example]");
	ask(&f, "GET /base HTTP/1.1\r\nHost: evil/path\r\n\r\n", "[none][]");
	snprintf(request, sizeof request, "GET /base HTTP/1.1\r\nHost: 127.0.0.1\r\n%s", more);
	ask(&f, request, "[local][http://127.0.0.1]");
	f.options.trusted_proxies = &trusted;
	f.options.trusted_proxy_count = 1;
	hf_http_server_reconfigure(f.server, &f.options);
	ask(&f, request, "[forwarded][https://relay.example]");
	ask(&f, "GET /base HTTP/1.1\r\nHost: relay.example\r\nX-Forwarded-Proto: http\r\n\r\n", "[forwarded][http://relay.example]");
	ask(&f, "GET /base HTTP/1.1\r\nHost: relay.example:8\r\n\r\n", "[forwarded][http://relay.example:8]");
	fixture_close(&f);
}

static void test_forwarded_addresses_are_believed_from_trusted_proxies_only(void **state)
{
	struct hf_address_range trusted[2];
	assert_int_equal(hf_address_range_parse("127.0.0.0/8", &trusted[0]), HF_OK);
	assert_int_equal(hf_address_range_parse("10.1.0.0/16", &trusted[1]), HF_OK);
	struct fixture f = {0};
	open_server(&f);
	ask(&f, "GET /show/ HTTP/1.1\r\n" HOST "X-Forwarded-For: 9.9.9.9\r\n\r\n", "[127.0.0.1]");
	f.options.trusted_proxies = trusted;
	f.options.trusted_proxy_count = 2;
	hf_http_server_reconfigure(f.server, &f.options);
	ask(&f, "GET /show/ HTTP/1.1\r\n" HOST "X-Forwarded-For: 9.9.9.9\r\n\r\n", "[9.9.9.9]");
	ask(&f, "GET /show/ HTTP/1.1\r\n" HOST "X-Forwarded-For: 1.1.1.1, 9.9.9.9, 10.1.2.3\r\n\r\n", "[9.9.9.9]");
	ask(&f, "GET /show/ HTTP/1.1\r\n" HOST "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 9.9.9.9\r\n\r\n",
		"[9.9.9.9]");
	ask(&f, "GET /show/ HTTP/1.1\r\n" HOST "X-Forwarded-For: 1.1.1.1, nonsense\r\n\r\n", "[127.0.0.1]");
	ask(&f, "GET /show/ HTTP/1.1\r\n" HOST "X-Forwarded-For: [2001:db8::1]:99\r\n\r\n", "[2001:db8::1]");
	fixture_close(&f);
}

static void test_too_many_connections_are_refused(void **state)
{
	struct fixture f = {.options = {.connection_count_max = 3}};
	open_server(&f);
	int held[3];
	for (size_t i = 0; i < 3; i++)
		held[i] = dial(&f);
	turn(&f, 20);
	ask(&f, "", "503 Service Unavailable");
	close(held[0]);
	turn(&f, 20);
	ask(&f, "GET / HTTP/1.1\r\n" HOST "\r\n", "hello");
	close(held[1]);
	close(held[2]);
	f.options.connection_count_max = 0;
	f.options.connections_per_address_max = 2;
	hf_http_server_reconfigure(f.server, &f.options);
	turn(&f, 50);
	held[0] = dial(&f);
	held[1] = dial(&f);
	turn(&f, 20);
	ask(&f, "", "503 Service Unavailable");
	close(held[0]);
	close(held[1]);
	turn(&f, 20);
	ask(&f, "GET / HTTP/1.1\r\n" HOST "\r\n", "hello");
	fixture_close(&f);
}

static void test_running_out_of_descriptors_is_survived(void **state)
{
	struct fixture f = {0};
	struct rlimit before, tight;
	open_server(&f);
	int fds[10], probe = -1;
	for (size_t i = 0; i < 10; i++)
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	probe = dup(0);
	close(probe);
	getrlimit(RLIMIT_NOFILE, &before);
	tight = before;
	tight.rlim_cur = (rlim_t)probe; /* no new descriptor from here on */
	setrlimit(RLIMIT_NOFILE, &tight);
	struct sockaddr_storage name;
	socklen_t length = hf_address_to_sockaddr(&f.address, &name);
	for (size_t i = 0; i < 10; i++) {
		assert_int_equal(connect(fds[i], (struct sockaddr *)&name, length), 0);
		fcntl(fds[i], F_SETFL, O_NONBLOCK);
	}
	double start = (double)clock() / CLOCKS_PER_SEC;
	turn(&f, 200);
	assert_true((double)clock() / CLOCKS_PER_SEC - start < 0.1); /* it does not spin */
	setrlimit(RLIMIT_NOFILE, &before);
	for (size_t i = 0; i < 10; i++) {
		expect_closed(&f, fds[i]);
		close(fds[i]);
	}
	ask(&f, "GET / HTTP/1.1\r\n" HOST "\r\n", "hello");
	fixture_close(&f);
}

static void test_listening_in_vain_says_why(void **state)
{
	struct fixture f = {0};
	struct hf_failure failure = {0};
	open_server(&f);
	assert_int_equal(hf_http_server_listen(f.server, &f.address, NULL, NULL, &failure), HF_EADDR);
	assert_non_null(strstr(failure.text, "cannot listen on 127.0.0.1:"));
	assert_non_null(strstr(failure.text, "address already in use"));
	struct hf_address elsewhere;
	hf_address_parse("192.0.2.1:80", &elsewhere, NULL);
	assert_int_equal(hf_http_server_listen(f.server, &elsewhere, NULL, NULL, &failure), HF_EADDR);
	assert_non_null(strstr(failure.text, "this machine does not have that address"));
	fixture_close(&f);
}

struct answer {
	bool is_done;
	int error;
	unsigned status;
	char body[64], detail[160];
};

static void on_answer(void *context, const struct hf_http_client_answer *answer)
{
	struct answer *a = context;
	a->is_done = true;
	a->error = answer->error;
	a->status = answer->status;
	snprintf(a->body, sizeof a->body, "%.*s", (int)answer->body.length, (const char *)answer->body.data);
	snprintf(a->detail, sizeof a->detail, "%s", answer->detail ? answer->detail : "");
}

static struct answer fetch(struct fixture *f, struct hf_http_client_request request)
{
	struct answer a = {0};
	struct hf_http_client *client;
	struct hf_failure failure = {0};
	request.size = sizeof request;
	assert_int_equal(hf_http_client_start(&client, f->loop, &request, on_answer, &a, &failure), HF_OK);
	while (!a.is_done)
		hf_loop_poll(f->loop, true);
	return a;
}

static void test_client_gets_answers_over_tcp_and_unix_sockets(void **state)
{
	struct fixture f = {0};
	struct hf_failure failure = {0};
	char url[128];
	open_server(&f);
	snprintf(url, sizeof url, "http://127.0.0.1:%u/echo", f.address.port);
	struct answer a = fetch(
		&f, (struct hf_http_client_request){.url = url, .method = "POST", .body = HF_SLICE_LITERAL("ping")});
	assert_int_equal(a.error, HF_OK);
	assert_int_equal(a.status, 200);
	assert_string_equal(a.body, "ping");
	const char *path = "/tmp/hf-net-test.sock";
	assert_int_equal(hf_http_server_listen_unix(f.server, path, 0600, &failure), HF_OK);
	struct stat status;
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	a = fetch(&f, (struct hf_http_client_request){.url = "http://localhost/admin", .unix_path = path});
	assert_int_equal(a.status, 200);
	assert_string_equal(a.body, "hello");
	/* A stale socket is in nobody's way. */
	assert_int_equal(hf_http_server_listen_unix(f.server, path, 0600, &failure), HF_OK);
	a = fetch(&f, (struct hf_http_client_request){
			      .url = url, .method = "POST", .body = HF_SLICE_LITERAL("ping"), .body_bytes_max = 2});
	assert_int_equal(a.error, HF_ETOOBIG);
	snprintf(url, sizeof url, "http://127.0.0.1:%u/park", f.address.port);
	parked = NULL;
	a = fetch(&f, (struct hf_http_client_request){.url = url, .timeout_ms = 100});
	assert_int_equal(a.error, HF_ETIMEOUT);
	hf_http_respond(parked, 200, NULL, HF_SLICE_LITERAL(""), NULL);
	a = fetch(&f, (struct hf_http_client_request){.url = "http://127.0.0.1:1/"});
	assert_int_equal(a.error, HF_EADDR);
	assert_string_equal(a.detail, "cannot connect: connection refused");
	a = fetch(&f,
		(struct hf_http_client_request){.url = "http://localhost/", .unix_path = "/tmp/hf-net-nothing.sock"});
	assert_int_equal(a.error, HF_EADDR);
	struct hf_http_client *client;
	static const char *const bad[] = {"nonsense", "http://", "http://a:0/", "http://a:99999/", "http://[::1/",
		"http://a b/", "http://a/b c", "http://a/\r\nX: y"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct hf_http_client_request request = {.size = sizeof request, .url = bad[i]};
		assert_int_equal(hf_http_client_start(&client, f.loop, &request, on_answer, &a, &failure), HF_EADDR);
		assert_true(failure.text[0]);
	}
	unlink(path);
	fixture_close(&f);
}

static bool is_drained;
static void on_drained(void *context)
{
	is_drained = true;
}

static void test_drain_finishes_what_was_begun(void **state)
{
	struct fixture f = {0};
	open_server(&f);
	int idle = dial(&f), busy = dial(&f);
	parked = NULL;
	say_text(&f, busy, "GET /park HTTP/1.1\r\n" HOST "\r\n");
	turn(&f, 20);
	is_drained = false;
	hf_http_server_drain(f.server, 5000, on_drained, NULL);
	expect_closed(&f, idle);
	close(idle);
	assert_false(is_drained);
	struct sockaddr_storage name;
	socklen_t length = hf_address_to_sockaddr(&f.address, &name);
	int late = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(late, (struct sockaddr *)&name, length), -1);
	close(late);
	hf_http_respond(parked, 200, NULL, HF_SLICE_LITERAL("last"), NULL);
	expect(&f, busy, "Connection: close\r\n\r\nlast");
	expect_closed(&f, busy);
	close(busy);
	turn(&f, 20);
	assert_true(is_drained);
	fixture_close(&f);
}

static void test_drain_ends_at_its_time(void **state)
{
	struct fixture f = {0};
	open_server(&f);
	int fd = dial(&f);
	parked = NULL;
	say_text(&f, fd, "GET /park HTTP/1.1\r\n" HOST "\r\n");
	turn(&f, 20);
	is_drained = false;
	hf_http_server_drain(f.server, 100, on_drained, NULL);
	turn(&f, 200);
	assert_true(is_drained);
	hf_http_respond(parked, 200, NULL, HF_SLICE_LITERAL("nobody hears"), NULL);
	close(fd);
	fixture_close(&f);
}

static void test_metrics_are_counted_and_taken_back(void **state)
{
	struct hf_metrics *metrics = hf_metrics_new();
	struct fixture f = {.options = {.metrics = metrics}};
	struct hf_buffer text = {0};
	open_server(&f);
	ask(&f, "GET / HTTP/1.1\r\n" HOST "\r\n", "hello");
	ask(&f, "GET /no HTTP/1.1\r\n" HOST "\r\n", "404");
	assert_int_equal(hf_metrics_print(metrics, &text), HF_OK);
	assert_true(holds(&text, "holdfast_http_requests_total{class=\"2xx\"} 1\n"));
	assert_true(holds(&text, "holdfast_http_requests_total{class=\"4xx\"} 1\n"));
	assert_true(holds(&text, "holdfast_sockets_accepted_total 2\n"));
	fixture_close(&f);
	text.length = 0;
	hf_metrics_print(metrics, &text);
	assert_int_equal(text.length, 0);
	hf_buffer_free(&text);
	hf_metrics_free(metrics);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_routes_are_found_by_path_and_method),
		cmocka_unit_test(test_head_has_the_length_and_no_body),
		cmocka_unit_test(test_pipelined_answers_keep_their_order),
		cmocka_unit_test(test_a_handler_may_answer_when_the_client_is_gone),
		cmocka_unit_test(test_expect_continue_is_answered),
		cmocka_unit_test(test_refused_requests_are_answered_and_end_the_connection),
		cmocka_unit_test(test_slow_and_idle_clients_are_closed),
		cmocka_unit_test(test_a_client_that_asks_and_does_not_read_is_bounded),
		cmocka_unit_test(test_large_answers_arrive_whole),
		cmocka_unit_test(test_static_content_has_tags_and_ranges),
		cmocka_unit_test(test_files_stay_below_their_directory),
		cmocka_unit_test(test_access_classes_hold),
		cmocka_unit_test(test_each_exchange_knows_whom_it_was_let_in_for),
		cmocka_unit_test(test_where_a_client_came_is_told_by_proxies_and_not_by_itself),
		cmocka_unit_test(test_forwarded_addresses_are_believed_from_trusted_proxies_only),
		cmocka_unit_test(test_too_many_connections_are_refused),
		cmocka_unit_test(test_running_out_of_descriptors_is_survived),
		cmocka_unit_test(test_listening_in_vain_says_why),
		cmocka_unit_test(test_client_gets_answers_over_tcp_and_unix_sockets),
		cmocka_unit_test(test_drain_finishes_what_was_begun),
		cmocka_unit_test(test_drain_ends_at_its_time),
		cmocka_unit_test(test_metrics_are_counted_and_taken_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
