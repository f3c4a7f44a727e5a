/* WebSockets over real sockets: echo, both roles, slow readers, silence, garbage, closing from inside callbacks. */
#include "net_fixture.h"

#include "net/memory.h"
#include "wire/websocket_deflate.h"

struct room {
	struct fixture f;
	struct hf_websocket *members[64];
	unsigned member_count, message_count, read_end_count, writable_count, closed_count, relief_count;
	size_t ended_count;
	uint16_t last_code;
	bool is_text;
};
static struct room *room;

static void on_message(void *context, struct hf_websocket *ws, bool is_text, struct hf_slice message)
{
	struct room *r = context;
	r->message_count++;
	r->is_text = is_text;
	if (hf_slice_equal(message, HF_SLICE_LITERAL("close")))
		hf_websocket_close(ws, 3000, "as asked");
	else if (hf_slice_equal(message, HF_SLICE_LITERAL("pause")))
		hf_websocket_pause(ws);
	else if (hf_slice_equal(message, HF_SLICE_LITERAL("flood")))
		while (hf_websocket_send_text(ws, hf_slice("0123456789", 10)) == HF_OK)
			;
	else if (!hf_slice_equal(message, HF_SLICE_LITERAL("quiet")))
		hf_websocket_send_text(ws, message);
}

static void on_closed(void *context, struct hf_websocket *ws, uint16_t code)
{
	struct room *r = context;
	r->closed_count++;
	r->last_code = code;
	for (unsigned i = 0; i < r->member_count; i++)
		if (r->members[i] == ws)
			r->members[i] = NULL;
	assert_int_equal(hf_websocket_send_text(ws, HF_SLICE_LITERAL("too late")), HF_ECLOSED);
}

static void on_read_end(void *context, struct hf_websocket *ws)
{
	((struct room *)context)->read_end_count++;
}

static void on_writable(void *context, struct hf_websocket *ws)
{
	((struct room *)context)->writable_count++;
}

static const struct hf_websocket_handler handler = {
	.message = on_message,
	.closed = on_closed,
	.read_end = on_read_end,
	.writable = on_writable,
};

static void enter(void *context, struct hf_http_exchange *x)
{
	struct room *r = room;
	if (!hf_http_wants_websocket(x))
		hf_http_respond(x, 200, "text/plain", HF_SLICE_LITERAL("a page"), NULL);
	else if (hf_http_upgrade(x, &handler, r, &r->members[r->member_count % 64]) == HF_OK)
		r->member_count++;
}

static struct hf_http_exchange *parked;
static void enter_later(void *context, struct hf_http_exchange *x)
{
	parked = x;
}

static const struct hf_http_route routes[] = {
	HF_ROUTE("GET", "/", HF_ACCESS_PUBLIC, enter),
	HF_ROUTE("GET", "/later", HF_ACCESS_PUBLIC, enter_later),
};

static void open_room(struct room *r)
{
	room = r;
	r->f.options.routes = routes;
	r->f.options.route_count = 2;
	fixture_open(&r->f);
}

static void close_room(struct room *r)
{
	fixture_close(&r->f);
	assert_int_equal(r->closed_count, r->member_count); /* once for each */
}

static void test_messages_are_echoed(void **state)
{
	struct room r = {0};
	open_room(&r);
	int fd = dial_websocket(&r.f, "/", "");
	say_frame(&r.f, fd, 0x81, "hello", 5);
	expect(&r.f, fd, "\x81\x05hello");
	say_frame(&r.f, fd, 0x01, "in ", 3);
	say_frame(&r.f, fd, 0x89, "are you there", 13);
	say_frame(&r.f, fd, 0x80, "two", 3);
	expect(&r.f, fd,
		"\x8a\x0d"
		"are you there\x81\x06in two");
	say_frame(&r.f, fd, 0x88, "\x03\xe9", 2);
	expect(&r.f, fd, "\x88\x02\x03\xe9");
	expect_closed(&r.f, fd);
	assert_int_equal(r.last_code, 1001);
	close(fd);
	ask(&r.f, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "a page");
	close_room(&r);
}

static void test_handshakes_are_checked(void **state)
{
	struct room r = {0};
	open_room(&r);
	/* The key and its answer of RFC 6455, 1.3. */
	ask(&r.f, "GET / HTTP/1.1\r\n" UPGRADE_HEAD "\r\n", "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n");
	static const struct {
		const char *request, *answer;
	} table[] = {
		{"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: "
		 "dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 8\r\n\r\n",
			"Sec-WebSocket-Version: 13\r\n"},
		{"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: "
		 "13\r\n\r\n",
			" 400 "},
		{"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: "
		 "dGhlIHNhbXBsZSBub25jZQ=\r\nSec-WebSocket-Version: 13\r\n\r\n",
			" 400 "},
		{"GET / HTTP/1.0\r\n" UPGRADE_HEAD "\r\n", " 426 "},
		{"HEAD / HTTP/1.1\r\n" UPGRADE_HEAD "\r\n", " 426 "},
		{"GET / HTTP/1.1\r\n" UPGRADE_HEAD "Content-Length: 2\r\n\r\nab", " 400 "},
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		ask(&r.f, table[i].request, table[i].answer);
	close_room(&r);
}

static void test_frames_sent_with_the_handshake_are_not_lost(void **state)
{
	struct room r = {0};
	open_room(&r);
	static const char early[] = "GET / HTTP/1.1\r\n" UPGRADE_HEAD "\r\n\x81\x85\0\0\0\0early";
	int fd = dial(&r.f);
	say(&r.f, fd, early, sizeof early - 1);
	expect(&r.f, fd,
		"\x81\x05"
		"early");
	close(fd);
	/* Also when the handler upgrades later, and when the client is closed by then. */
	for (int round = 0; round < 2; round++) {
		static const char later[] =
			"GET /later HTTP/1.1\r\n" UPGRADE_HEAD "\r\n\x81\x85\0\0\0\0early\x81\x83\0\0\0\0two";
		fd = dial(&r.f);
		say(&r.f, fd, later, sizeof later - 1);
		if (round)
			close(fd);
		turn(&r.f, 20);
		int error = hf_http_upgrade(parked, &handler, &r, &r.members[r.member_count]);
		r.member_count += error == HF_OK;
		if (!round) {
			assert_int_equal(error, HF_OK);
			expect(&r.f, fd,
				"\x81\x05"
				"early\x81\x03two");
			close(fd);
		}
		turn(&r.f, 20);
	}
	close_room(&r);
}

static void test_a_callback_may_close_its_connection(void **state)
{
	struct room r = {0};
	open_room(&r);
	int fd = dial_websocket(&r.f, "/", "");
	static const uint8_t batch[] = "\x81\x85\0\0\0\0close\x81\x85\0\0\0\0close\x81\x84\0\0\0\0more";
	say(&r.f, fd, batch, sizeof batch - 1);
	expect(&r.f, fd,
		"\x88\x0a\x0b\xb8"
		"as asked");
	assert_int_equal(r.message_count, 1);
	assert_int_equal(r.closed_count, 0);
	say_frame(&r.f, fd, 0x88, "\x0b\xb8", 2);
	expect_closed(&r.f, fd);
	assert_int_equal(r.last_code, 3000);
	close(fd);
	close_room(&r);
}

static void test_malformed_frames_close_with_their_code(void **state)
{
	struct room r = {0};
	open_room(&r);
	static const struct {
		const char *bytes;
		size_t length;
		const char *close;
	} table[] = {
		{"\x81\x02hi", 4, "\x88\x10\x03\xea"},
		{"\x81\x81\0\0\0\0\xff", 7, "\x88\x13\x03\xef"},
		{"\x81\xff\x7f\0\0\0\0\0\0\0\0\0\0\0", 14, "\x88\x11\x03\xf1"},
		{"\xff\xff\xff\xff", 4, "\x88"},
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		int fd = dial_websocket(&r.f, "/", "");
		say(&r.f, fd, table[i].bytes, table[i].length);
		if (i < 3)
			expect(&r.f, fd, table[i].close);
		else
			shutdown(fd, SHUT_WR);
		expect_closed(&r.f, fd);
		close(fd);
	}
	int good = dial_websocket(&r.f, "/", "");
	for (unsigned seed = 1; seed < 20; seed++) {
		static char garbage[100000];
		unsigned state_ = seed;
		for (size_t i = 0; i < sizeof garbage; i++)
			garbage[i] = (char)((state_ = state_ * 1103515245u + 12345u) >> 16);
		int fd = dial_websocket(&r.f, "/", "");
		say(&r.f, fd, garbage, sizeof garbage);
		shutdown(fd, SHUT_WR);
		expect_closed(&r.f, fd);
		close(fd);
	}
	say_frame(&r.f, good, 0x81, "unharmed", 8);
	expect(&r.f, good, "unharmed");
	close(good);
	close_room(&r);
}

static void test_silence_is_pinged_and_then_closed(void **state)
{
	struct room r = {.f.options.websocket.ping_interval_ms = 100};
	open_room(&r);
	int dead = dial_websocket(&r.f, "/", ""), alive = dial_websocket(&r.f, "/", "");
	for (int i = 0; i < 6; i++) {
		turn(&r.f, 60);
		say_frame(&r.f, alive, 0x8a, "", 0);
	}
	assert_int_equal(r.closed_count, 1);
	assert_int_equal(r.last_code, 1006);
	say_frame(&r.f, alive, 0x81, "here", 4);
	expect(&r.f, alive, "here");
	expect(&r.f, dead, "\x89");
	expect_closed(&r.f, dead);
	close(dead);
	close(alive);
	close_room(&r);
}

static void test_a_slow_reader_is_closed_and_bounded(void **state)
{
	struct room r = {.f.options.websocket.send_queue_bytes_max = 200000};
	open_room(&r);
	int fd = dial_websocket(&r.f, "/", "");
	say_frame(&r.f, fd, 0x81, "flood", 5);
	turn(&r.f, 50);
	assert_int_equal(r.closed_count, 1);
	/* It may still read what was queued, and why it was closed. */
	struct hf_buffer out = {0};
	bool closed;
	hear(&r.f, fd, &out, NULL, NULL, 3000, &closed);
	assert_true(closed);
	assert_true(out.length < 300000);
	assert_true(holds(&out, "\x88\x0d\x03\xf0slow reader"));
	hf_buffer_free(&out);
	close(fd);
	close_room(&r);
}

static void test_senders_that_wait_are_told_when_there_is_room(void **state)
{
	struct room r = {.f.options.websocket.send_queue_bytes_max = 100000};
	open_room(&r);
	int fd = dial_websocket(&r.f, "/", "");
	char block[1000] = {0};
	memset(block, 'x', sizeof block);
	turn(&r.f, 10);
	unsigned sent = 0;
	while (hf_websocket_send_room(r.members[0]) >= sizeof block && sent < 1000)
		sent += hf_websocket_send_text(r.members[0], hf_slice(block, sizeof block)) == HF_OK;
	assert_in_range(sent, 45, 55);
	while (hf_websocket_send_room(r.members[0]))
		hf_websocket_send_text(r.members[0], HF_SLICE_LITERAL("x"));
	struct hf_buffer out = {0};
	bool closed;
	size_t enough = sent * 1000;
	hear(&r.f, fd, &out, has_length, &enough, 2000, &closed);
	turn(&r.f, 10);
	assert_int_equal(r.writable_count, 1);
	assert_int_equal(hf_websocket_send_room(r.members[0]), 50000);
	hf_buffer_free(&out);
	close(fd);
	close_room(&r);
}

static void test_paused_connections_are_not_read(void **state)
{
	struct room r = {.f.options.websocket.ping_interval_ms = 50};
	open_room(&r);
	int fd = dial_websocket(&r.f, "/", "");
	say_frame(&r.f, fd, 0x81, "pause", 5);
	turn(&r.f, 20);
	say_frame(&r.f, fd, 0x81, "later", 5);
	turn(&r.f, 300); /* longer than a ping would wait: the silence is ours */
	assert_int_equal(r.message_count, 1);
	assert_int_equal(r.closed_count, 0);
	hf_websocket_resume(r.members[0]);
	expect(&r.f, fd, "\x81\x05later");
	close(fd);
	close_room(&r);
}

static void test_a_shared_message_reaches_all_and_is_freed(void **state)
{
	struct room r = {.f.options.websocket.deflate = true};
	open_room(&r);
	int fds[40];
	for (size_t i = 0; i < 40; i++)
		fds[i] = dial_websocket(&r.f, "/", i % 2 ? "Sec-WebSocket-Extensions: permessage-deflate\r\n" : "");
	static const size_t lengths[] = {10, 125, 126, 150, 200, 5000, 65535, 65536, 300000};
	for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
		char *text = malloc(lengths[k]);
		memset(text, 'a' + (int)k, lengths[k]);
		struct hf_slice parts[] = {hf_slice(text, 3), hf_slice(NULL, 0), hf_slice(text, lengths[k] - 3)};
		struct hf_websocket_message *message = hf_websocket_message_new(r.f.loop, parts, 3);
		for (size_t i = 0; i < 40; i++)
			assert_int_equal(hf_websocket_send_shared(r.members[i], message), HF_OK);
		hf_websocket_message_unref(message);
		for (size_t i = 0; i < 40; i++) {
			bool closed, is_packed = i % 2 && lengths[k] >= HF_WEBSOCKET_DEFLATE_BYTES_MIN;
			size_t head = lengths[k] < 126     ? 2
				      : lengths[k] < 65536 ? 4
							   : 10,
			       enough = is_packed ? 4 : head + lengths[k];
			struct hf_buffer out = {0};
			hear(&r.f, fds[i], &out, has_length, &enough, 3000, &closed);
			assert_int_equal(out.data[0], is_packed ? 0xc1 : 0x81);
			if (is_packed) {
				turn(&r.f, 1);
				hear(&r.f, fds[i], &out, NULL, NULL, 2, &closed);
				assert_true(out.length < lengths[k] / 4 + 20);
			} else {
				assert_memory_equal(out.data + head, text, lengths[k]);
			}
			hf_buffer_free(&out);
		}
		free(text);
	}
	/* Queued but never sent: closed with the room. */
	struct hf_slice part = hf_slice(r.f.loop, 300);
	struct hf_websocket_message *message = hf_websocket_message_new(r.f.loop, &part, 1);
	hf_websocket_send_shared(r.members[0], message);
	hf_websocket_message_unref(message);
	for (size_t i = 0; i < 40; i++)
		close(fds[i]);
	close_room(&r);
}

/* ---- Memory of all together ---- */

static void relieve(void *context, size_t bytes)
{
	struct room *r = context;
	r->relief_count++;
	r->ended_count += hf_http_server_relieve(r->f.server, bytes);
}

/* A part of a message that goes on: the first, or a further one. Zeroes, which a mask of zeroes leaves as they are. */
static void say_part(struct room *r, int fd, bool is_first, uint32_t length)
{
	uint8_t *frame = calloc(1, 14 + length);
	assert_non_null(frame);
	frame[0] = is_first;
	frame[1] = 0xff;
	for (int i = 0; i < 4; i++)
		frame[6 + i] = (uint8_t)(length >> (24 - 8 * i));
	say(&r->f, fd, frame, 14 + length);
	free(frame);
	turn(&r->f, 20);
}

static void test_when_memory_is_short_those_that_hold_most_go(void **state)
{
	enum { MAX = 1 << 20 };
	struct room r = {.f.options.websocket.message_bytes_max = 4 << 20};
	open_room(&r);
	struct hf_memory *memory = hf_loop_memory(r.f.loop);
	hf_memory_limit(memory, MAX, relieve, &r);
	int large = dial_websocket(&r.f, "/", ""), middle = dial_websocket(&r.f, "/", ""), small = dial_websocket(&r.f, "/", "");
	turn(&r.f, 20);
	assert_int_equal(memory->used_bytes, 0); /* nothing for idle ones */
	say_part(&r, large, true, 400000);
	say_part(&r, small, true, 70000);
	assert_int_equal(r.relief_count, 0);
	assert_in_range(memory->kinds[HF_MEMORY_RECEIVE], 470000, MAX * 7 / 8);
	say_part(&r, middle, true, 250000);
	say_part(&r, small, false, 100000);
	say_part(&r, large, false, 400000);
	assert_true(r.relief_count > 0);
	assert_int_equal(r.ended_count, 1);
	assert_int_equal(r.closed_count, 1);
	assert_int_equal(r.last_code, 1008);
	assert_null(r.members[0]);
	assert_in_range(memory->used_bytes, 420000, MAX * 6 / 8);
	expect(&r.f, large, "\x03\xf0out of memory for this connection");
	/* The others go on. */
	say_frame(&r.f, small, 0x80, "", 0);
	turn(&r.f, 50);
	assert_int_equal(r.message_count, 1);
	int fds[] = {large, middle, small};
	for (size_t i = 0; i < 3; i++)
		close(fds[i]);
	turn(&r.f, 50);
	assert_int_equal(memory->used_bytes, 0);
	close_room(&r);
}

static void test_whoever_does_not_read_goes_with_what_waits_for_him(void **state)
{
	enum { COUNT = 12, MAX = 16 << 20 };
	struct room r = {0};
	open_room(&r);
	struct hf_memory *memory = hf_loop_memory(r.f.loop);
	hf_memory_limit(memory, MAX, relieve, &r);
	int fds[COUNT];
	for (size_t i = 0; i < COUNT; i++)
		fds[i] = dial_websocket(&r.f, "/", "");
	char *text = calloc(1, 1 << 16);
	memset(text, 'x', 1 << 16);
	size_t most = 0;
	for (int k = 0; k < 200; k++) {
		for (size_t i = 0; i < COUNT; i++)
			if (r.members[i] && (i > 0 || k == 0) && hf_websocket_send_room(r.members[i]) > 0)
				assert_int_equal(hf_websocket_send_text(r.members[i], hf_slice(text, 1 << 16)), HF_OK);
		most = memory->used_bytes > most ? memory->used_bytes : most;
		turn(&r.f, 1);
	}
	/* A shared message is one message, however many wait for it. */
	size_t before = memory->used_bytes;
	struct hf_slice part = hf_slice(text, 1 << 16);
	struct hf_websocket_message *message = hf_websocket_message_new(r.f.loop, &part, 1);
	for (size_t i = 0; i < COUNT; i++)
		if (r.members[i])
			hf_websocket_send_shared(r.members[i], message);
	hf_websocket_message_unref(message);
	assert_in_range(memory->used_bytes - before, 1 << 16, (1 << 16) + COUNT * 2048);
	free(text);
	assert_true(r.ended_count > 0);
	assert_true(most <= MAX);
	assert_non_null(r.members[0]); /* who holds little stays */
	for (size_t i = 0; i < COUNT; i++)
		close(fds[i]);
	turn(&r.f, 100);
	assert_int_equal(memory->used_bytes, 0);
	close_room(&r);
}

/* ---- Both roles ---- */

struct guest {
	struct hf_websocket *ws;
	int status;
	char detail[160];
	struct hf_buffer heard;
	uint16_t code;
	bool is_opened, is_closed;
};

static void guest_message(void *context, struct hf_websocket *ws, bool is_text, struct hf_slice message)
{
	hf_buffer_append(&((struct guest *)context)->heard, message.data, message.length);
}

static void guest_closed(void *context, struct hf_websocket *ws, uint16_t code)
{
	((struct guest *)context)->is_closed = true;
	((struct guest *)context)->code = code;
}

static const struct hf_websocket_handler guest_handler = {.message = guest_message, .closed = guest_closed};

static void guest_opened(void *context, struct hf_websocket *ws, int status, const char *detail)
{
	struct guest *g = context;
	g->is_opened = true;
	g->ws = ws;
	g->status = status;
	snprintf(g->detail, sizeof g->detail, "%s", detail ? detail : "");
}

static void visit(struct room *r, struct guest *g, const char *path, bool deflate)
{
	char url[128];
	struct hf_websocket_limits limits = {.deflate = deflate};
	snprintf(url, sizeof url, "ws://127.0.0.1:%u%s", r->f.address.port, path);
	assert_int_equal(hf_websocket_connect(r->f.loop, url, NULL, &limits, &guest_handler, g, guest_opened), HF_OK);
	while (!g->is_opened)
		hf_loop_poll(r->f.loop, true);
}

static void test_our_client_talks_to_our_server(void **state)
{
	for (int deflate = 0; deflate < 2; deflate++) {
		struct room r = {.f.options.websocket.deflate = true};
		struct guest g = {0};
		open_room(&r);
		visit(&r, &g, "/?query", deflate);
		assert_int_equal(g.status, HF_OK);
		size_t total = 0;
		for (size_t length = 0; length < 200000; length = length * 3 + 1) {
			char *text = malloc(length + 1);
			memset(text, 'z', length);
			assert_int_equal(hf_websocket_send_text(g.ws, hf_slice(text, length)), HF_OK);
			free(text);
			total += length;
		}
		while (g.heard.length < total)
			hf_loop_poll(r.f.loop, true);
		hf_websocket_close(g.ws, 1000, "bye");
		while (!g.is_closed)
			hf_loop_poll(r.f.loop, true);
		assert_int_equal(g.code, 1000);
		assert_int_equal(r.last_code, 1000);
		hf_buffer_free(&g.heard);
		close_room(&r);
	}
}

static void test_failed_connects_are_reported(void **state)
{
	struct room r = {0};
	struct guest g = {0};
	open_room(&r);
	visit(&r, &g, "/nowhere", false);
	assert_int_equal(g.status, HF_EMALFORMED);
	assert_string_equal(g.detail, "the server does not upgrade to WebSocket (HTTP status 404)");
	g = (struct guest){0};
	struct hf_websocket_limits limits = {0};
	assert_int_equal(
		hf_websocket_connect(r.f.loop, "http://a/", NULL, &limits, &guest_handler, &g, guest_opened), HF_EADDR);
	assert_int_equal(
		hf_websocket_connect(r.f.loop, "ws://127.0.0.1:1/", NULL, &limits, &guest_handler, &g, guest_opened),
		HF_OK);
	while (!g.is_opened)
		hf_loop_poll(r.f.loop, true);
	assert_int_equal(g.status, HF_EADDR);
	/* One that is under way when the loop is freed is told so. */
	g = (struct guest){0};
	char url[64];
	snprintf(url, sizeof url, "ws://127.0.0.1:%u/", r.f.address.port);
	assert_int_equal(hf_websocket_connect(r.f.loop, url, NULL, &limits, &guest_handler, &g, guest_opened), HF_OK);
	close_room(&r);
	assert_true(g.is_opened);
	assert_null(g.ws);
}

static bool is_drained;
static void on_drained(void *context)
{
	is_drained = true;
}

static void test_drain_says_going_away(void **state)
{
	struct room r = {0};
	open_room(&r);
	int polite = dial_websocket(&r.f, "/", ""), deaf = dial_websocket(&r.f, "/", "");
	is_drained = false;
	hf_http_server_drain(r.f.server, 300, on_drained, NULL);
	expect(&r.f, polite, "\x88\x0c\x03\xe9going away");
	say_frame(&r.f, polite, 0x88, "\x03\xe9", 2);
	expect_closed(&r.f, polite);
	assert_int_equal(r.closed_count, 1);
	assert_int_equal(r.last_code, 1001);
	close(polite);
	turn(&r.f, 400);
	assert_true(is_drained);
	assert_int_equal(r.closed_count, 2);
	assert_int_equal(r.last_code, 1006);
	close(deaf);
	close_room(&r);
}

static void test_half_open_and_reset_connections_end(void **state)
{
	struct room r = {0};
	open_room(&r);
	for (int i = 0; i < 20; i++) {
		int fd = dial_websocket(&r.f, "/", "");
		say(&r.f, fd, "\x81\xfe\xff", 3); /* the beginning of a frame */
		if (i % 2) {
			struct linger hard = {1, 0};
			setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
		}
		if (i % 3)
			shutdown(fd, SHUT_WR);
		close(fd);
	}
	turn(&r.f, 30);
	assert_int_equal(r.closed_count, 20);
	assert_int_equal(r.last_code, 1006);
	close_room(&r);
}

static void test_replies_of_one_read_go_out_together(void **state)
{
	struct hf_metrics *metrics = hf_metrics_new();
	struct room r = {.f.options.metrics = metrics};
	open_room(&r);
	int fd = dial_websocket(&r.f, "/", "");
	struct hf_buffer batch = {0}, text = {0}, out = {0};
	for (int i = 0; i < 200; i++)
		hf_buffer_append(&batch, "\x81\x85\0\0\0\0hello", 11);
	say(&r.f, fd, batch.data, batch.length);
	size_t enough = 200 * 7;
	bool closed;
	hear(&r.f, fd, &out, has_length, &enough, 2000, &closed);
	assert_int_equal(out.length, enough);
	assert_int_equal(r.message_count, 200);
	assert_int_equal(r.read_end_count, 1);
	hf_metrics_print(metrics, &text);
	assert_true(holds(&text, "holdfast_socket_writes_total 2\n")); /* the handshake and the replies */
	hf_buffer_free(&batch);
	hf_buffer_free(&text);
	hf_buffer_free(&out);
	close(fd);
	close_room(&r);
	hf_metrics_free(metrics);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages_are_echoed),
		cmocka_unit_test(test_handshakes_are_checked),
		cmocka_unit_test(test_frames_sent_with_the_handshake_are_not_lost),
		cmocka_unit_test(test_a_callback_may_close_its_connection),
		cmocka_unit_test(test_malformed_frames_close_with_their_code),
		cmocka_unit_test(test_silence_is_pinged_and_then_closed),
		cmocka_unit_test(test_a_slow_reader_is_closed_and_bounded),
		cmocka_unit_test(test_senders_that_wait_are_told_when_there_is_room),
		cmocka_unit_test(test_paused_connections_are_not_read),
		cmocka_unit_test(test_a_shared_message_reaches_all_and_is_freed),
		cmocka_unit_test(test_when_memory_is_short_those_that_hold_most_go),
		cmocka_unit_test(test_whoever_does_not_read_goes_with_what_waits_for_him),
		cmocka_unit_test(test_our_client_talks_to_our_server),
		cmocka_unit_test(test_failed_connects_are_reported),
		cmocka_unit_test(test_drain_says_going_away),
		cmocka_unit_test(test_half_open_and_reset_connections_end),
		cmocka_unit_test(test_replies_of_one_read_go_out_together),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
