/* Allocation failures: each n-th allocation fails while a client asks, upgrades, talks and leaves; nothing leaks,
 * nothing crashes, and the server serves the next one. */
#include "net_fixture.h"

#include "support/fail_alloc.h"

static struct hf_loop *memory_loop; /* of the test that runs */

static void on_message(void *context, struct hf_websocket *ws, bool is_text, struct hf_slice message)
{
	struct hf_slice parts[] = {HF_SLICE_LITERAL("shared "), message};
	struct hf_websocket_message *shared = hf_websocket_message_new(memory_loop, parts, 2);
	if (shared)
		hf_websocket_send_shared(ws, shared);
	hf_websocket_message_unref(shared);
	hf_websocket_send_text(ws, message);
}

static unsigned open_count;
static void on_closed(void *context, struct hf_websocket *ws, uint16_t code)
{
	open_count--;
}
static const struct hf_websocket_handler handler = {.message = on_message, .closed = on_closed};

static void on_page(void *context, struct hf_http_exchange *x)
{
	hf_http_respond_static(x, "text/plain", HF_SLICE_LITERAL("page"), NULL);
}
static void on_upgrade(void *context, struct hf_http_exchange *x)
{
	struct hf_websocket *ws;
	if (hf_http_upgrade(x, &handler, NULL, &ws) == HF_OK)
		open_count++;
}
static const struct hf_http_route routes[] = {
	HF_ROUTE("GET", "/", HF_ACCESS_PUBLIC, on_page),
	HF_ROUTE("GET", "/ws", HF_ACCESS_PUBLIC, on_upgrade),
};

/* Writes what a client would say in one go, in two parts, and reads until the end. */
static void converse(struct fixture *f)
{
	static const char requests[] =
		"POST /none HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /?a "
		"HTTP/1.1\r\nHost: a\r\n\r\n"
		"GET /ws HTTP/1.1\r\n" UPGRADE_HEAD
		"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n\x81\x85\0\0\0\0hello\x01\xfe\1\0\0\0\0\0";
	static char fragment[256 + 6 + 8];
	memset(fragment, 'x', sizeof fragment);
	memcpy(fragment + 256, "\x80\x80\0\0\0\0\x88\x82\0\0\0\0\x03\xe8", 14);
	memory_loop = f->loop;
	int fd = dial(f);
	say(f, fd, requests, sizeof requests - 1);
	for (int i = 0; i < 3; i++)
		hf_loop_poll(f->loop, false);
	say(f, fd, fragment, 100);
	for (int i = 0; i < 3; i++)
		hf_loop_poll(f->loop, false);
	say(f, fd, fragment + 100, 256 + 14 - 100);
	for (int i = 0; i < 6; i++)
		hf_loop_poll(f->loop, false);
	shutdown(fd, SHUT_WR);
	for (int i = 0; i < 6; i++)
		hf_loop_poll(f->loop, false);
	close(fd);
	for (int i = 0; i < 6; i++)
		hf_loop_poll(f->loop, false);
}

static void test_each_failing_allocation_is_survived(void **state)
{
	uint64_t n = 1;
	for (bool failed = true; failed; n++) {
		struct fixture f = {.options = {.routes = routes, .route_count = 2, .websocket.deflate = true}};
		fixture_open(&f);
		fail_alloc_arm(n, false);
		converse(&f);
		failed = fail_alloc_disarm();
		ask(&f, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "page");
		fixture_close(&f);
		assert_int_equal(open_count, 0);
	}
	assert_in_range(n, 15, 500);
}

static void test_a_server_that_cannot_be_made_leaks_nothing(void **state)
{
	struct hf_env env;
	hf_env_system(&env);
	for (uint64_t n = 1;; n++) {
		struct hf_loop *loop;
		struct hf_http_server *server = NULL;
		struct hf_address address;
		hf_address_parse("127.0.0.1:0", &address, NULL);
		fail_alloc_arm(n, false);
		int error = hf_loop_new(&loop, &env);
		if (!error) {
			struct hf_http_server_options options = {.size = sizeof options, .loop = loop};
			error = hf_http_server_new(&server, &options);
			if (!error)
				error = hf_http_server_listen(server, &address, NULL, NULL, NULL);
			hf_http_server_free(server);
			hf_loop_free(loop);
		}
		if (!fail_alloc_disarm()) {
			assert_int_equal(error, HF_OK);
			break;
		}
		assert_int_equal(error, HF_ENOMEM);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_failing_allocation_is_survived),
		cmocka_unit_test(test_a_server_that_cannot_be_made_leaks_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
