/* HTTP/1.1 sessions: what is read, what is refused, and that it does not matter how the bytes are cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "wire/http.h"

static const struct hf_http_limits limits = {.header_bytes_max = 1024, .body_bytes_max = 4096};

#define HOST "Host: a\r\n"

/* Feeds the text in pieces cut at `cut` and after each `step` bytes; returns the first result that is not MORE. */
static int feed(struct hf_http_session *s, const char *text, size_t length, size_t step, size_t *total)
{
	*total = 0;
	int result = HF_HTTP_MORE;
	while (*total < length && result == HF_HTTP_MORE) {
		size_t consumed, piece = length - *total < step ? length - *total : step;
		char *copy = malloc(piece); /* exact, so that a sanitizer sees reads past it */
		memcpy(copy, text + *total, piece);
		result = hf_http_session_recv(s, hf_slice(copy, piece), &consumed);
		free(copy);
		assert_true(consumed <= piece);
		*total += consumed;
		if (result == HF_HTTP_CONTINUE)
			result = hf_http_session_recv(s, hf_slice(NULL, 0), &consumed);
	}
	return result;
}

static int parse(enum hf_http_role role, const char *text, size_t step, struct hf_http_session **s)
{
	size_t total;
	assert_int_equal(hf_http_session_new(s, role, &limits), HF_OK);
	return feed(*s, text, strlen(text), step, &total);
}

static void assert_slice(struct hf_slice slice, const char *text)
{
	assert_int_equal(slice.length, strlen(text));
	assert_memory_equal(slice.data, text, slice.length);
}

static void test_request_is_read_however_it_is_cut(void **state)
{
	static const char text[] = "POST /a%20b/c?x=1&y HTTP/1.1\r\nHost: example\r\nX-One:  padded "
				   "\t\r\nEmpty:\r\nContent-Length: 5\r\n\r\nhello";
	for (size_t step = 1; step <= sizeof text; step++) {
		struct hf_http_session *s;
		assert_int_equal(parse(HF_HTTP_SERVER, text, step, &s), HF_HTTP_MESSAGE);
		const struct hf_http_message *m = hf_http_session_message(s);
		assert_slice(m->method, "POST");
		assert_slice(m->path, "/a b/c");
		assert_slice(m->query, "x=1&y");
		assert_slice(m->body, "hello");
		assert_slice(hf_http_message_field(m, "x-ONE"), "padded");
		assert_slice(hf_http_message_field(m, "empty"), "");
		assert_null(hf_http_message_field(m, "absent").data);
		assert_true(m->keep_alive);
		assert_false(m->upgrade);
		hf_http_session_free(s);
	}
}

static void test_chunked_body_is_joined_however_it_is_cut(void **state)
{
	static const char text[] = "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: Chunked\r\n\r\n"
				   "5\r\nhello\r\n00a;name=\"v\"\r\n 123456789\r\n0\r\nTrailer: x\r\n\r\n";
	for (size_t step = 1; step <= sizeof text; step++) {
		struct hf_http_session *s;
		assert_int_equal(parse(HF_HTTP_SERVER, text, step, &s), HF_HTTP_MESSAGE);
		assert_slice(hf_http_session_message(s)->body, "hello 123456789");
		hf_http_session_free(s);
	}
}

static void test_pipelined_requests_come_one_by_one(void **state)
{
	static const char text[] =
		"GET /1 HTTP/1.1\r\n" HOST "\r\nPOST /2 HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nab"
		"\r\nGET /3 HTTP/1.0\r\n\r\n";
	static const char *const paths[] = {"/1", "/2", "/3"};
	for (size_t step = 1; step <= sizeof text; step += step < 40 ? 1 : 13) {
		struct hf_http_session *s;
		size_t at = 0;
		assert_int_equal(hf_http_session_new(&s, HF_HTTP_SERVER, &limits), HF_OK);
		for (size_t i = 0; i < 3; i++) {
			size_t eaten;
			assert_int_equal(feed(s, text + at, sizeof text - 1 - at, step, &eaten), HF_HTTP_MESSAGE);
			at += eaten;
			assert_slice(hf_http_session_message(s)->path, paths[i]);
			assert_int_equal(hf_http_session_message(s)->keep_alive, i < 2);
			hf_http_session_next(s);
		}
		assert_int_equal(at, sizeof text - 1);
		assert_int_equal(hf_http_session_end(s), HF_OK);
		hf_http_session_free(s);
	}
}

/* Everything that two parsers could take for two things. */
static void test_smuggling_and_nonsense_are_refused(void **state)
{
	static const struct {
		const char *text;
		unsigned status;
	} table[] = {
		{"POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
		{"POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 400},
		{"POST / HTTP/1.1\r\n" HOST "Content-Length: 5, 5\r\n\r\n", 400},
		{"POST / HTTP/1.1\r\n" HOST "Content-Length: +5\r\n\r\n", 400},
		{"POST / HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n", 400},
		{"POST / HTTP/1.1\r\n" HOST "Content-Length: 0x5\r\n\r\n", 400},
		{"POST / HTTP/1.1\r\n" HOST "Content-Length: 5 5\r\n\r\n", 400},
		{"POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n", 400},
		{"POST / HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999999\r\n\r\n", 400},
		{"POST / HTTP/1.1\r\n" HOST "Content-Length: 5000\r\n\r\n", 413},
		{"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
		{"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
		{"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: identity\r\n\r\n", 501},
		{"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n", 501},
		{"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding : chunked\r\n\r\n", 400},
		{"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding\r\n: chunked\r\n\r\n", 400},
		{"POST / HTTP/1.1\r\n" HOST "X: a\r\n Transfer-Encoding: chunked\r\n\r\n", 400},
		{"POST / HTTP/1.1\r\n" HOST "X: a\r\n\tfolded\r\n\r\n", 400},
		{"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
		{"GET / HTTP/1.1\n"
		 "Host: a\n\n",
			400},
		{"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400},
		{"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", 400},
		{"GET / HTTP/1.1\r\nHost: a\x01\r\n\r\n", 400},
		{"GET / HTTP/1.1\r\nHo st: a\r\n\r\n", 400},
		{"GET / HTTP/1.1\r\n: a\r\n\r\n", 400},
		{"GET / HTTP/1.1\r\n\r\n", 400},
		{"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
		{"GET  / HTTP/1.1\r\n" HOST "\r\n", 400},
		{"GET / HTTP/1.1 \r\n" HOST "\r\n", 400},
		{"GET /\t HTTP/1.1\r\n" HOST "\r\n", 400},
		{"GET /a b HTTP/1.1\r\n" HOST "\r\n", 400},
		{" GET / HTTP/1.1\r\n" HOST "\r\n", 400},
		{"GET /\r\n\r\n", 400},
		{"GET / HTTP/2.0\r\n" HOST "\r\n", 505},
		{"GET / HTTP/1.7\r\n" HOST "\r\n", 505},
		{"NONSENSE / HTTP/1.1\r\n" HOST "\r\n", 400},
		{"get / HTTP/1.1\r\n" HOST "\r\n", 400},
		{"CONNECT a:80 HTTP/1.1\r\n" HOST "\r\n", 400},
		{"GET a HTTP/1.1\r\n" HOST "\r\n", 400},
		{"GET /%00 HTTP/1.1\r\n" HOST "\r\n", 400},
		{"GET /%zz HTTP/1.1\r\n" HOST "\r\n", 400},
		{"GET /%4 HTTP/1.1\r\n" HOST "\r\n", 400},
		{"GET /a/../b HTTP/1.1\r\n" HOST "\r\n", 400},
		{"GET /a/%2e%2E HTTP/1.1\r\n" HOST "\r\n", 400},
		{"GET /..%2fetc HTTP/1.1\r\n" HOST "\r\n", 400},
		{"GET /..\\etc HTTP/1.1\r\n" HOST "\r\n", 400},
		{"GET /a#b HTTP/1.1\r\n" HOST "\r\n", 400},
		{"\x16\x03\x01\x02\r\n\r\n", 400},
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		for (size_t step = 1; step < 200; step += 33) {
			struct hf_http_session *s;
			int result = parse(HF_HTTP_SERVER, table[i].text, step, &s);
			if (result >= 0 || hf_http_session_status(s) != table[i].status)
				fail_msg("%s: result %d, status %u", table[i].text, result, hf_http_session_status(s));
			hf_http_session_free(s);
		}
}

static void test_bad_chunks_are_refused(void **state)
{
	static const struct {
		const char *body;
		unsigned status;
	} table[] = {
		{"5\nhello\r\n0\r\n\r\n", 400},
		{"5\r\nhelloX\r\n0\r\n\r\n", 400},
		{"5\r\nhello\n0\r\n\r\n", 400},
		{"5 \r\nhello\r\n0\r\n\r\n", 400},
		{"\r\nhello\r\n", 400},
		{"0x5\r\nhello\r\n", 400},
		{"-5\r\nhello\r\n", 400},
		{"5\rXhello\r\n", 400},
		{";x\r\n", 400},
		{"ffffffffffffffffffff\r\n", 413},
		{"fffffffffffffff\r\n", 413},
		{"1001\r\n", 413},
		{"0\r\nTrailer: a\nb\r\n\r\n", 400},
		{"5;\x01\r\nhello", 400},
		{"0\r\n\rX", 400},
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		for (size_t step = 1; step < 150; step += 37) {
			char text[256];
			struct hf_http_session *s;
			snprintf(text, sizeof text, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n%s",
				table[i].body);
			int result = parse(HF_HTTP_SERVER, text, step, &s);
			if (result >= 0 || hf_http_session_status(s) != table[i].status)
				fail_msg("%s: result %d, status %u", table[i].body, result, hf_http_session_status(s));
			hf_http_session_free(s);
		}
}

static void test_limits_hold(void **state)
{
	struct hf_http_session *s;
	size_t total;
	char *text = malloc(20000);
	int length = sprintf(text, "GET / HTTP/1.1\r\n" HOST "X: ");
	memset(text + length, 'a', 19000);
	hf_http_session_new(&s, HF_HTTP_SERVER, &limits);
	assert_int_equal(feed(s, text, 19000, 100, &total), HF_ETOOBIG);
	assert_int_equal(hf_http_session_status(s), 431);
	assert_true(total <= limits.header_bytes_max);
	hf_http_session_free(s);

	memset(text, 'a', 19000);
	memcpy(text, "GET /", 5);
	hf_http_session_new(&s, HF_HTTP_SERVER, &limits);
	assert_int_equal(feed(s, text, 19000, 4000, &total), HF_ETOOBIG);
	assert_int_equal(hf_http_session_status(s), 414);
	hf_http_session_free(s);

	struct hf_http_limits wide = {.header_bytes_max = 60000, .body_bytes_max = 100};
	length = sprintf(text, "GET / HTTP/1.1\r\n" HOST);
	for (int i = 0; i < HF_HTTP_FIELD_COUNT_MAX; i++)
		length += sprintf(text + length, "A%d: b\r\n", i);
	length += sprintf(text + length, "\r\n");
	hf_http_session_new(&s, HF_HTTP_SERVER, &wide);
	assert_int_equal(feed(s, text, (size_t)length, 4000, &total), HF_ETOOBIG);
	assert_int_equal(hf_http_session_status(s), 431);
	hf_http_session_free(s);

	length = sprintf(text,
		"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n40\r\n%064d\r\n40\r\n%064d\r\n", 0, 0);
	hf_http_session_new(&s, HF_HTTP_SERVER, &wide);
	assert_int_equal(feed(s, text, (size_t)length, 7, &total), HF_ETOOBIG);
	assert_int_equal(hf_http_session_status(s), 413);
	hf_http_session_free(s);

	/* Endless chunk extensions and trailers are bounded like a head. */
	length = sprintf(text, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n1;");
	memset(text + length, 'x', 15000);
	hf_http_session_new(&s, HF_HTTP_SERVER, &limits);
	assert_int_equal(feed(s, text, 15000, 512, &total), HF_ETOOBIG);
	hf_http_session_free(s);
	free(text);
}

static void test_continue_is_asked_for_once_and_only_when_needed(void **state)
{
	static const char head[] = "POST / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n";
	struct hf_http_session *s;
	size_t consumed;
	hf_http_session_new(&s, HF_HTTP_SERVER, &limits);
	assert_int_equal(hf_http_session_recv(s, HF_SLICE_LITERAL(head), &consumed), HF_HTTP_CONTINUE);
	assert_int_equal(hf_http_session_recv(s, HF_SLICE_LITERAL("a"), &consumed), HF_HTTP_MORE);
	assert_int_equal(hf_http_session_recv(s, HF_SLICE_LITERAL("b"), &consumed), HF_HTTP_MESSAGE);
	hf_http_session_next(s);
	char both[sizeof head + 2];
	snprintf(both, sizeof both, "%sab", head);
	assert_int_equal(hf_http_session_recv(s, hf_slice_text(both), &consumed), HF_HTTP_MESSAGE);
	hf_http_session_free(s);
}

static void test_responses_end_where_their_framing_says(void **state)
{
	struct hf_http_session *s;
	assert_int_equal(
		parse(HF_HTTP_CLIENT, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", 5, &s), HF_HTTP_MESSAGE);
	assert_int_equal(hf_http_session_message(s)->status, 200);
	assert_slice(hf_http_session_message(s)->body, "abc");
	hf_http_session_free(s);

	assert_int_equal(parse(HF_HTTP_CLIENT, "HTTP/1.1 200 OK\r\n\r\nuntil the end", 5, &s), HF_HTTP_MORE);
	assert_int_equal(hf_http_session_end(s), HF_HTTP_MESSAGE);
	assert_slice(hf_http_session_message(s)->body, "until the end");
	hf_http_session_free(s);

	assert_int_equal(parse(HF_HTTP_CLIENT, "HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", 5, &s),
		HF_HTTP_MESSAGE);
	hf_http_session_free(s);
	assert_int_equal(parse(HF_HTTP_CLIENT, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", 5, &s), HF_HTTP_MORE);
	assert_int_equal(hf_http_session_end(s), HF_ECLOSED);
	hf_http_session_free(s);
	assert_true(parse(HF_HTTP_CLIENT, "HTTX/1.1 200 OK\r\n\r\n", 5, &s) < 0);
	hf_http_session_free(s);
}

static void test_targets_are_split(void **state)
{
	static const struct {
		const char *target, *path, *query;
	} table[] = {
		{"/", "/", ""},
		{"/a?b?c", "/a", "b?c"},
		{"/%41", "/A", ""},
		{"/...", "/...", ""},
		{"/a..b/..c", "/a..b/..c", ""},
		{"http://host:80/x?y", "/x", "y"},
		{"*", "*", ""},
		{"/%3f", "/?", ""},
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		char text[256];
		struct hf_http_session *s;
		snprintf(text, sizeof text, "%s %s HTTP/1.1\r\n" HOST "\r\n",
			table[i].target[0] == '*' ? "OPTIONS" : "GET", table[i].target);
		assert_int_equal(parse(HF_HTTP_SERVER, text, 1000, &s), HF_HTTP_MESSAGE);
		assert_slice(hf_http_session_message(s)->path, table[i].path);
		assert_slice(hf_http_session_message(s)->query, table[i].query);
		hf_http_session_free(s);
	}
}

/* Random edits of a good request: never a crash, and the verdict does not depend on how the bytes are cut. */
static void test_verdict_does_not_depend_on_the_cut(void **state)
{
	static const char good[] =
		"POST /p%41th?q HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nX: y\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
	unsigned seed = 7;
	for (int round = 0; round < 20000; round++) {
		char text[sizeof good];
		memcpy(text, good, sizeof good);
		for (unsigned i = 0; i < 1 + seed % 3; i++) {
			seed = seed * 1103515245u + 12345u;
			text[(seed >> 8) % (sizeof good - 1)] = "\r\n :;%09aZ\t\x80"[(seed >> 20) % 13];
		}
		int results[2];
		for (int way = 0; way < 2; way++) {
			struct hf_http_session *s;
			size_t total;
			hf_http_session_new(&s, HF_HTTP_SERVER, &limits);
			results[way] = feed(s, text, sizeof good - 1, way ? 1 + seed % 7 : 1000, &total);
			hf_http_session_free(s);
		}
		if (results[0] != results[1])
			fail_msg("%s: %d and %d", text, results[0], results[1]);
		seed = seed * 1103515245u + 12345u;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request_is_read_however_it_is_cut),
		cmocka_unit_test(test_chunked_body_is_joined_however_it_is_cut),
		cmocka_unit_test(test_pipelined_requests_come_one_by_one),
		cmocka_unit_test(test_smuggling_and_nonsense_are_refused),
		cmocka_unit_test(test_bad_chunks_are_refused),
		cmocka_unit_test(test_limits_hold),
		cmocka_unit_test(test_continue_is_asked_for_once_and_only_when_needed),
		cmocka_unit_test(test_responses_end_where_their_framing_says),
		cmocka_unit_test(test_targets_are_split),
		cmocka_unit_test(test_verdict_does_not_depend_on_the_cut),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
