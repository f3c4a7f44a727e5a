/* The pool over TCP on loopback, against workers made of the same channels: ours with streams, and such as have only requests. */
#include "../peer/host_fixture.h"

#include "crypto/hash.h"
#include "service/gateway/workers.h"
#include "wire/bee_channel.h"
#include "wire/relay_stream.h"

/* ---- A worker ---- */

struct worker {
	struct hf_peer_socket *socket;
	struct hf_relay_channel *channel;
	struct hf_relay_streams *streams;
	struct hf_relay_stream *stream;
	struct hf_bee_channel *bee;
	struct hf_secret_stream_pool *pool;
	struct hf_replicator_stream *replication;
	bool has_streams, is_gateway, is_silent, answers_late;
	uint64_t late_call;
	unsigned identified, polls;
	struct hf_buffer log; /* what was asked of it */
	const char *post_reply, *poll_reply;
};

struct gateway {
	struct hf_workers *pool;
	struct hf_worker *worker;
	struct hf_worker_stream *stream;
	unsigned connected, gone, silent, telemetry;
	enum hf_worker_end why;
	struct hf_buffer log; /* what was heard of the stream */
	bool consumes, closes_on_data;
};

static struct peer a, b; /* the gateway's and the worker's loops and stores */
static struct gateway gateway;
static struct worker worker;
static struct hf_peer_listener *listener;

__attribute__((format(printf, 2, 3))) static void note(struct hf_buffer *log, const char *format, ...)
{
	char line[400];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof line, format, arguments);
	va_end(arguments);
	assert_int_equal(hf_buffer_append_text(log, line), HF_OK);
	assert_int_equal(hf_buffer_append_text(log, "\n"), HF_OK);
}

static void expect(struct hf_buffer *log, const char *text)
{
	assert_int_equal(hf_buffer_append(log, "", 1), HF_OK);
	assert_string_equal((char *)log->data, text);
	hf_buffer_clear(log);
}

static bool holds(const struct hf_buffer *log, const char *text)
{
	return log->length > 0 && memmem(log->data, log->length, text, strlen(text)) != NULL;
}

static void answer(uint64_t call, int status, const char *body)
{
	const struct hf_relay_response response = {.status = status, .body = hf_slice_text(body)};

	assert_int_equal(hf_relay_channel_answer(worker.channel, call, &response), HF_OK);
}

static void on_worker_request(void *context, struct hf_relay_channel *channel, uint64_t call, const struct hf_relay_request *request)
{
	struct hf_slice path = request->path;

	if (hf_slice_equal(path, HF_SLICE_LITERAL("/identify-gateway"))) {
		worker.identified++;
		answer(call, 200, "{\"status\":\"identified\"}");
		return;
	}
	if (worker.is_silent)
		return;
	if (path.length > 11 && memcmp(path.data, "/get/relay/", 11) == 0) {
		worker.polls++;
		answer(call, 200, worker.poll_reply);
		return;
	}
	note(&worker.log, "%.*s %.*s %.*s", (int)request->method.length, (const char *)request->method.data, (int)path.length,
		(const char *)path.data, (int)request->body.length, (const char *)request->body.data);
	if (worker.answers_late)
		worker.late_call = call;
	else
		answer(call, 200, worker.post_reply);
}

static void on_worker_frame(void *context, struct hf_relay_channel *channel, struct hf_slice json)
{
	note(&worker.log, "frame %.*s", (int)json.length, (const char *)json.data);
}

static void on_worker_closed(void *context, struct hf_relay_channel *channel, enum hf_channel_end end)
{
	note(&worker.log, "closed");
}

static void on_stream_data(void *context, struct hf_relay_stream *stream, struct hf_slice bytes, bool is_end_of_message)
{
	note(&worker.log, "data %.*s%s", (int)bytes.length, (const char *)bytes.data, is_end_of_message ? "." : "");
	hf_relay_stream_consumed(stream, bytes.length);
}

static void on_stream_finished(void *context, struct hf_relay_stream *stream)
{
	note(&worker.log, "finished");
}

static void on_stream_ended(void *context, struct hf_relay_stream *stream, int code, uint32_t reset_code, struct hf_slice reason)
{
	worker.stream = NULL;
	note(&worker.log, "ended %s %u %.*s", hf_error_name(code), reset_code, (int)reason.length, (const char *)reason.data);
}

static void on_stream(void *context, struct hf_relay_streams *streams, struct hf_relay_stream *stream,
	const struct hf_relay_stream_open *open)
{
	static const struct hf_relay_stream_events events = {
		.data = on_stream_data, .finished = on_stream_finished, .ended = on_stream_ended};

	worker.stream = stream;
	hf_relay_stream_accept(stream, &events, NULL);
	note(&worker.log, "%.*s %.*s", (int)open->method.length, (const char *)open->method.data, (int)open->path.length,
		(const char *)open->path.data);
	for (size_t i = 0; i < open->field_count; i++)
		note(&worker.log, "%.*s: %.*s", (int)open->fields[i].name.length, (const char *)open->fields[i].name.data,
			(int)open->fields[i].value.length, (const char *)open->fields[i].value.data);
	assert_int_equal(hf_relay_stream_send_head(stream, open->kind == HF_RELAY_STREAM_WEBSOCKET ? 101 : 200, NULL, 0), HF_OK);
}

static uint64_t wall_ms(void *context)
{
	return 1;
}

static void on_bee_opened(void *context, struct hf_bee_channel *channel, struct hf_protomux *mux,
	const uint8_t handshake_hash[HF_STATIC HF_HANDSHAKE_HASH_BYTES])
{
	const struct hf_replicator_stream_options options = {
		.mux = mux, .is_initiator = hf_peer_socket_is_initiator(worker.socket), .handshake_hash = handshake_hash};

	assert_int_equal(hf_replicator_attach(hf_core_host_replicator(b.host), &options, &worker.replication), HF_OK);
}

static void on_bee_closed(void *context, struct hf_bee_channel *channel, int code, const char *why)
{
	note(&worker.log, "bee closed %s", hf_error_name(code));
}

/* After the channel's handshake, as the gateway does. */
static void open_bee(void)
{
	static const struct hf_bee_channel_events events = {.opened = on_bee_opened, .closed = on_bee_closed};

	assert_int_equal(hf_secret_stream_pool_new(&worker.pool), HF_OK);
	const struct hf_bee_channel_options options = {.is_initiator = hf_peer_socket_is_initiator(worker.socket), .env = &b.node.env,
		.pool = worker.pool, .static_secret = b.secret, .events = &events};
	assert_int_equal(hf_bee_channel_new(hf_peer_socket_mux(worker.socket), &options, &worker.bee), HF_OK);
}

static int on_worker_opened(void *context, struct hf_relay_channel *channel, const struct hf_relay_handshake *theirs)
{
	static const struct hf_relay_streams_events events = {.stream = on_stream};
	const struct hf_relay_streams_options options = {.is_initiator = hf_peer_socket_is_initiator(worker.socket), .events = &events};

	assert_int_equal(theirs->role, HF_RELAY_ROLE_GATEWAY);
	worker.channel = channel;
	if (b.core != NULL)
		open_bee();
	return worker.has_streams ? hf_relay_streams_new(hf_peer_socket_mux(worker.socket), &options, &worker.streams) : HF_OK;
}

static void on_worker_socket_opened(void *context, struct hf_peer_socket *socket)
{
	static const struct hf_relay_channel_events events = {
		.opened = on_worker_opened, .request = on_worker_request, .frame = on_worker_frame, .closed = on_worker_closed};
	const struct hf_relay_handshake handshake = {.role = worker.is_gateway ? HF_RELAY_ROLE_GATEWAY : HF_RELAY_ROLE_REPLICA,
		.capabilities = HF_RELAY_CAPABILITIES | (worker.has_streams ? HF_RELAY_STREAM : 0)};
	const struct hf_relay_channel_options options = {.handshake = &handshake, .wall_ms = wall_ms, .events = &events};

	worker.socket = socket;
	assert_int_equal(hf_relay_channel_new(hf_peer_socket_mux(socket), &options, &worker.channel), HF_OK);
}

static void on_worker_socket_closed(void *context, struct hf_peer_socket *socket, int code, const char *why)
{
	hf_relay_channel_free(worker.channel);
	hf_relay_streams_free(worker.streams);
	worker.channel = NULL;
	worker.streams = NULL;
	worker.socket = NULL;
}

static const struct hf_peer_socket_events worker_socket_events = {
	.opened = on_worker_socket_opened, .closed = on_worker_socket_closed};

/* ---- The gateway ---- */

static void on_connected(void *context, struct hf_worker *it)
{
	gateway.connected++;
	gateway.worker = it;
}

static void on_gone(void *context, struct hf_worker *it, enum hf_worker_end why)
{
	assert_ptr_equal(it, gateway.worker);
	gateway.gone++;
	gateway.why = why;
	gateway.worker = NULL;
}

static void on_telemetry(void *context, struct hf_worker *it, const struct hf_telemetry *telemetry)
{
	gateway.telemetry = telemetry->queue_depth;
}

static void on_request(void *context, struct hf_worker *it, uint64_t call, const struct hf_relay_request *request)
{
	const struct hf_relay_response response = {.status = 200, .body = request->body};

	assert_int_equal(hf_worker_respond(it, call, &response), HF_OK);
}

static void on_silent(void *context, struct hf_worker *it)
{
	assert_true(hf_worker_is_silent(it));
	gateway.silent++;
}

static const struct hf_workers_events pool_events = {
	.connected = on_connected, .silent = on_silent, .gone = on_gone, .telemetry = on_telemetry, .request = on_request};

static void on_gateway_socket_opened(void *context, struct hf_peer_socket *socket)
{
	hf_workers_socket_opened(gateway.pool, socket);
}

static void on_gateway_socket_closed(void *context, struct hf_peer_socket *socket, int code, const char *why)
{
	if (gateway.pool != NULL)
		hf_workers_socket_closed(gateway.pool, socket);
}

static const struct hf_peer_socket_events gateway_socket_events = {
	.opened = on_gateway_socket_opened, .closed = on_gateway_socket_closed};

static void on_head(void *context, int status, const struct hf_http_field *fields, size_t field_count)
{
	note(&gateway.log, "head %d", status);
}

static void on_data(void *context, struct hf_slice bytes, bool is_end_of_message)
{
	note(&gateway.log, "data %.*s%s", bytes.length < 200 ? (int)bytes.length : 0, (const char *)bytes.data,
		is_end_of_message ? "." : "");
	if (gateway.consumes)
		hf_worker_stream_consumed(gateway.stream, bytes.length);
	if (gateway.closes_on_data)
		hf_worker_stream_close(gateway.stream, 1000, "enough");
}

static void on_writable(void *context)
{
	note(&gateway.log, "writable");
}

static void on_ended(void *context, int code, uint32_t close_code, const char *why)
{
	note(&gateway.log, "ended %s %u %s", hf_error_name(code), close_code, why);
	gateway.stream = NULL;
}

static const struct hf_worker_stream_events stream_events = {
	.head = on_head, .data = on_data, .writable = on_writable, .ended = on_ended};

/* ---- Both ---- */

static void turn(unsigned times)
{
	for (unsigned i = 0; i < times; i++) {
		hf_loop_poll(a.loop, false);
		hf_loop_poll(b.loop, false);
		/* As the hosts do while sockets are attached to them. */
		hf_replicator_tick(hf_core_host_replicator(a.host), hf_env_monotonic_ms(&a.node.env));
		hf_replicator_tick(hf_core_host_replicator(b.host), hf_env_monotonic_ms(&a.node.env));
	}
}

#define UNTIL(condition) \
	do { \
		uint64_t give_up_at_ms = hf_env_monotonic_ms(&a.node.env) + 15000; \
		while (!(condition)) { \
			assert_true(hf_env_monotonic_ms(&a.node.env) < give_up_at_ms); \
			turn(1); \
		} \
	} while (0)

static void connect_peers(void)
{
	struct hf_peer_socket_options worker_side = {.size = sizeof worker_side, .loop = b.loop, .static_secret = b.secret,
		.events = &worker_socket_events};
	struct hf_peer_socket_options gateway_side = {.size = sizeof gateway_side, .loop = a.loop, .static_secret = a.secret,
		.events = &gateway_socket_events};
	struct hf_address address;
	struct hf_peer_socket *socket;
	char text[HF_ADDRESS_TEXT_BYTES];

	assert_int_equal(hf_peer_listener_new(&listener, &worker_side, "127.0.0.1:0", &address, NULL), HF_OK);
	assert_int_equal(hf_peer_socket_connect(&socket, &gateway_side, hf_address_text(&address, true, text), NULL), HF_OK);
}

static void start(const struct hf_workers_options *more)
{
	struct hf_workers_options options = *more;
	static const uint8_t public_key[32] = {1};

	gateway = (struct gateway){.consumes = true};
	options.size = sizeof options;
	options.loop = a.loop;
	options.public_key = public_key;
	options.events = &pool_events;
	assert_int_equal(hf_workers_new(&gateway.pool, &options, NULL), HF_OK);
	connect_peers();
}

static int set_up(void **state)
{
	assert_int_equal(hf_crypto_init(), HF_OK);
	worker = (struct worker){.post_reply = "", .poll_reply = "[]"};
	open_peer(&a, 1);
	open_peer(&b, 2);
	return 0;
}

static int tear_down(void **state)
{
	hf_replicator_detach(worker.replication);
	hf_bee_channel_free(worker.bee);
	hf_workers_free(gateway.pool);
	gateway.pool = NULL;
	hf_peer_listener_free(listener);
	hf_relay_channel_free(worker.channel);
	hf_relay_streams_free(worker.streams);
	hf_peer_socket_free(worker.socket);
	hf_secret_stream_pool_free(worker.pool);
	hf_buffer_free(&worker.log);
	hf_buffer_free(&gateway.log);
	close_peer(&a);
	close_peer(&b);
	return 0;
}

static void open_stream(enum hf_worker_stream_kind kind, const char *method, const char *path, const char *body)
{
	const struct hf_http_field fields[] = {{HF_SLICE_LITERAL("x-relay-key"), HF_SLICE_LITERAL("forged")},
		{HF_SLICE_LITERAL("accept"), HF_SLICE_LITERAL("*/*")}};
	const struct hf_worker_request request = {.kind = kind,
		.method = hf_slice_text(method),
		.path = hf_slice_text(path),
		.relay_key = HF_SLICE_LITERAL("relay"),
		.auth_token = HF_SLICE_LITERAL("secret"),
		.body = hf_slice_text(body),
		.fields = fields,
		.field_count = 2};

	assert_int_equal(hf_worker_open(gateway.worker, &request, &stream_events, NULL, &gateway.stream), HF_OK);
}

static void test_a_worker_of_ours_has_streams(void **state)
{
	struct hf_workers_stats stats;

	worker.has_streams = true;
	start(&(struct hf_workers_options){0});
	UNTIL(gateway.connected == 1);
	assert_false(hf_worker_is_hypertuna(gateway.worker));
	assert_ptr_equal(hf_workers_find(gateway.pool, hf_worker_key(gateway.worker)), gateway.worker);
	open_stream(HF_WORKER_WEBSOCKET, "GET", "/r", "");
	assert_int_equal(hf_worker_stream_send(gateway.stream, HF_SLICE_LITERAL("hello"), true), HF_OK);
	UNTIL(holds(&worker.log, "data hello.") && gateway.log.length > 0);
	expect(&worker.log, "GET /r\naccept: */*\nx-relay-key: relay\nx-auth-token: secret\ndata hello.\n");
	expect(&gateway.log, "head 101\n");
	assert_int_equal(hf_relay_stream_send(worker.stream, HF_SLICE_LITERAL("back"), true), HF_OK);
	UNTIL(gateway.log.length > 0);
	expect(&gateway.log, "data back.\n");
	hf_relay_stream_reset(worker.stream, 4403, HF_SLICE_LITERAL("Token revoked"));
	UNTIL(gateway.log.length > 0);
	expect(&gateway.log, "ended HF_ECANCELED 4403 Token revoked\n");
	hf_workers_stats(gateway.pool, &stats);
	assert_true(stats.workers == 1 && stats.hypertuna_workers == 0 && stats.streams == 0);
	assert_int_equal(worker.identified, 0);
}

static void test_an_exchange_over_a_stream_is_whole(void **state)
{
	worker.has_streams = true;
	start(&(struct hf_workers_options){0});
	UNTIL(gateway.connected == 1);
	open_stream(HF_WORKER_HTTP, "POST", "/post/join/x", "body");
	assert_int_equal(hf_worker_stream_send(gateway.stream, HF_SLICE_LITERAL("x"), true), HF_EINVAL);
	UNTIL(holds(&worker.log, "finished"));
	assert_int_equal(hf_relay_stream_send(worker.stream, HF_SLICE_LITERAL("answer"), true), HF_OK);
	hf_relay_stream_end(worker.stream);
	UNTIL(gateway.stream == NULL);
	expect(&gateway.log, "head 200\ndata answer.\nended HF_OK 0 \n");
	assert_int_equal(hf_worker_stream_count(gateway.worker), 0);
}

static void test_streams_end_before_their_worker_is_gone(void **state)
{
	worker.has_streams = true;
	start(&(struct hf_workers_options){0});
	UNTIL(gateway.connected == 1);
	open_stream(HF_WORKER_WEBSOCKET, "GET", "/r", "");
	UNTIL(gateway.log.length > 0);
	hf_buffer_clear(&gateway.log);
	hf_peer_socket_close(worker.socket);
	UNTIL(gateway.gone == 1);
	expect(&gateway.log, "ended HF_ECLOSED 0 The worker has gone.\n");
	assert_int_equal(gateway.why, HF_WORKER_GONE);
}

static void test_who_closes_its_channel_is_gone(void **state)
{
	worker.has_streams = true;
	start(&(struct hf_workers_options){0});
	UNTIL(gateway.connected == 1);
	hf_relay_channel_free(worker.channel);
	worker.channel = NULL;
	UNTIL(gateway.gone == 1);
	assert_int_equal(gateway.why, HF_WORKER_GONE);
}

static void test_the_channel_carries_requests_telemetry_and_frames(void **state)
{
	static const uint8_t peer[32];
	struct hf_telemetry telemetry = {.queue_depth = 7};
	struct hf_buffer text = {0};

	worker.has_streams = true;
	start(&(struct hf_workers_options){0});
	UNTIL(gateway.connected == 1);
	assert_null(hf_worker_telemetry(gateway.worker));
	assert_int_equal(hf_telemetry_write(&telemetry, peer, &text), HF_OK);
	assert_int_equal(hf_relay_channel_send_telemetry(worker.channel, hf_buffer_slice(&text)), HF_OK);
	assert_int_equal(hf_worker_send_frame(gateway.worker, HF_SLICE_LITERAL("[\"TOKEN\"]")), HF_OK);
	UNTIL(gateway.telemetry == 7 && worker.log.length > 0);
	expect(&worker.log, "frame [\"TOKEN\"]\n");
	assert_int_equal(hf_worker_telemetry(gateway.worker)->queue_depth, 7);
	hf_worker_dismiss(gateway.worker, "a test");
	UNTIL(gateway.gone == 1 && holds(&worker.log, "closed"));
	assert_int_equal(gateway.why, HF_WORKER_DISMISSED);
	hf_buffer_free(&text);
}

static void test_hypertuna_s_workers_are_taken_only_when_that_is_wanted(void **state)
{
	struct hf_workers_stats stats;

	start(&(struct hf_workers_options){0});
	UNTIL(holds(&worker.log, "closed"));
	hf_workers_stats(gateway.pool, &stats);
	assert_true(gateway.connected == 0 && stats.refused == 1 && stats.workers == 0);
}

static void test_another_gateway_is_no_worker(void **state)
{
	worker.is_gateway = worker.has_streams = true;
	start(&(struct hf_workers_options){.accepts_hypertuna = true});
	UNTIL(holds(&worker.log, "closed"));
	assert_int_equal(gateway.connected, 0);
}

static void test_a_websocket_of_hypertuna_s_is_posted_and_polled(void **state)
{
	worker.poll_reply = "[[\"EVENT\",\"s\",{}],[\"EOSE\",\"s\"]]";
	worker.post_reply = "[\"NOTICE\",\"registered\"]\n[\"ACK\",\"s\",\"registered\"]\n";
	start(&(struct hf_workers_options){.accepts_hypertuna = true});
	UNTIL(gateway.connected == 1 && worker.identified == 1);
	assert_true(hf_worker_is_hypertuna(gateway.worker));
	open_stream(HF_WORKER_WEBSOCKET, "GET", "/r", "");
	assert_int_equal(hf_worker_stream_send(gateway.stream, HF_SLICE_LITERAL("[\"REQ\","), false), HF_OK);
	assert_int_equal(hf_worker_stream_send(gateway.stream, HF_SLICE_LITERAL("\"s\",{}]"), true), HF_OK);
	UNTIL(worker.polls == 2 && holds(&gateway.log, "EOSE"));
	turn(50);
	assert_true(holds(&worker.log, "POST /post/relay/relay {\"message\":\"[\\\"REQ\\\",\\\"s\\\",{}]\",\"connectionKey\":\""));
	expect(&gateway.log, "head 101\ndata [\"NOTICE\",\"registered\"].\ndata [\"EVENT\",\"s\",{}].\ndata [\"EOSE\",\"s\"].\n"
		"data [\"EVENT\",\"s\",{}].\n");
	worker.post_reply = "[[\"NOTICE\",\"closed\"]]";
	assert_int_equal(hf_worker_stream_send(gateway.stream, HF_SLICE_LITERAL("[\"CLOSE\",\"s\"]"), true), HF_OK);
	UNTIL(holds(&gateway.log, "closed"));
	unsigned polls = worker.polls;
	uint64_t until_ms = hf_env_monotonic_ms(&a.node.env) + 1500;
	UNTIL(hf_env_monotonic_ms(&a.node.env) > until_ms);
	assert_int_equal(worker.polls, polls);
	hf_worker_stream_close(gateway.stream, 1000, "");
	assert_int_equal(hf_worker_stream_count(gateway.worker), 0);
}

static void test_an_exchange_with_hypertuna_s_is_given_as_it_is_taken(void **state)
{
	static char large[400001];

	memset(large, 'x', sizeof large - 1);
	worker.post_reply = large;
	start(&(struct hf_workers_options){.accepts_hypertuna = true});
	gateway.consumes = false;
	UNTIL(gateway.connected == 1);
	open_stream(HF_WORKER_HTTP, "GET", "/drive/x/y", "");
	UNTIL(holds(&gateway.log, "data"));
	turn(50);
	expect(&gateway.log, "head 200\ndata \ndata \ndata \ndata \n"); /* the window */
	hf_worker_stream_consumed(gateway.stream, 300000);
	UNTIL(gateway.stream == NULL);
	expect(&gateway.log, "data \ndata \ndata .\nended HF_OK 0 \n");
}

static void test_a_worker_that_does_not_answer_ends_the_stream(void **state)
{
	worker.is_silent = true;
	start(&(struct hf_workers_options){.accepts_hypertuna = true, .request_timeout_ms = 200});
	UNTIL(gateway.connected == 1);
	open_stream(HF_WORKER_WEBSOCKET, "GET", "/r", "");
	assert_int_equal(hf_worker_stream_send(gateway.stream, HF_SLICE_LITERAL("[\"EVENT\",{}]"), true), HF_OK);
	UNTIL(gateway.stream == NULL);
	expect(&gateway.log, "head 101\nended HF_ETIMEOUT 0 The worker did not answer in time.\n");
}

static void test_a_slow_worker_of_hypertuna_s_holds_its_client_back(void **state)
{
	static char large[100000];
	unsigned taken = 0;

	worker.answers_late = true;
	memset(large, ' ', sizeof large);
	large[0] = '[';
	large[sizeof large - 1] = ']';
	start(&(struct hf_workers_options){.accepts_hypertuna = true});
	UNTIL(gateway.connected == 1);
	open_stream(HF_WORKER_WEBSOCKET, "GET", "/r", "");
	while (hf_worker_stream_send(gateway.stream, hf_slice(large, sizeof large), true) == HF_OK && ++taken < 100)
		turn(20);
	assert_int_equal(taken, 2); /* one that is posted, one that waits */
	assert_int_equal(hf_worker_stream_room(gateway.stream), 0);
	UNTIL(worker.log.length > 0);
	hf_buffer_clear(&worker.log);
	answer(worker.late_call, 200, "");
	UNTIL(holds(&gateway.log, "writable") && worker.log.length > 0);
	gateway.closes_on_data = true;
	answer(worker.late_call, 200, "[\"NOTICE\",\"a\"]\n[\"NOTICE\",\"b\"]");
	UNTIL(holds(&gateway.log, "\"a\""));
	turn(20);
	assert_false(holds(&gateway.log, "\"b\"")); /* it was closed at the first */
}

static void test_who_is_silent_at_a_health_check_is_let_go(void **state)
{
	worker.has_streams = true;
	start(&(struct hf_workers_options){.health_interval_ms = 500});
	UNTIL(gateway.connected == 1);
	uint64_t until_ms = hf_env_monotonic_ms(&a.node.env) + 2500;
	UNTIL(hf_env_monotonic_ms(&a.node.env) > until_ms);
	assert_int_equal(gateway.gone, 0);
	uint64_t give_up_ms = hf_env_monotonic_ms(&a.node.env) + 15000;
	while (gateway.gone == 0) { /* the worker's loop stands still */
		assert_true(hf_env_monotonic_ms(&a.node.env) < give_up_ms);
		hf_loop_poll(a.loop, true);
	}
	assert_int_equal(gateway.why, HF_WORKER_UNHEALTHY);
}

static void test_a_worker_with_a_stream_that_stands_still_is_silent_until_it_speaks(void **state)
{
	worker.has_streams = true;
	start(&(struct hf_workers_options){0});
	UNTIL(gateway.connected == 1);
	open_stream(HF_WORKER_WEBSOCKET, "GET", "/r", "");
	uint64_t until_ms = hf_env_monotonic_ms(&a.node.env) + 1000;
	UNTIL(hf_env_monotonic_ms(&a.node.env) > until_ms);
	assert_int_equal(gateway.silent, 0);
	uint64_t began_ms = hf_env_monotonic_ms(&a.node.env);
	while (gateway.silent == 0) { /* long before a health check fails */
		assert_true(hf_env_monotonic_ms(&a.node.env) - began_ms < 4000);
		hf_loop_poll(a.loop, true);
	}
	assert_int_equal(gateway.gone, 0);
	UNTIL(!hf_worker_is_silent(gateway.worker));
	assert_int_equal(gateway.gone, 0);
}

static bool has_bee(uint64_t length)
{
	return hf_core_length(b.core) == length && hf_bitfield_next_clear(hf_core_blocks(b.core), 0, length) == length;
}

static void test_the_bee_goes_to_hypertuna_s_through_a_channel_of_its_own(void **state)
{
	static struct hf_download download;

	download = (struct hf_download){.to = UINT64_MAX};
	join(&a, NULL);
	core_fill(a.core, 20);
	core_commit(a.core);
	join(&b, hf_core_key(a.core));
	hf_download_start(b.replication, &download);
	start(&(struct hf_workers_options){.accepts_hypertuna = true, .cores = a.host, .bee_key = hf_core_key(a.core)});
	UNTIL(gateway.connected == 1);
	UNTIL(has_bee(20));
	core_assert_filled(b.core, 0, 20, 0);
	core_fill(a.core, 20);
	core_commit(a.core);
	UNTIL(has_bee(40));
	hf_worker_dismiss(gateway.worker, "a test");
	UNTIL(holds(&worker.log, "bee closed"));
	assert_int_equal(gateway.gone, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_worker_of_ours_has_streams, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_an_exchange_over_a_stream_is_whole, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_streams_end_before_their_worker_is_gone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_who_closes_its_channel_is_gone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_channel_carries_requests_telemetry_and_frames, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_hypertuna_s_workers_are_taken_only_when_that_is_wanted, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_another_gateway_is_no_worker, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_websocket_of_hypertuna_s_is_posted_and_polled, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_an_exchange_with_hypertuna_s_is_given_as_it_is_taken, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_worker_that_does_not_answer_ends_the_stream, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_slow_worker_of_hypertuna_s_holds_its_client_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_worker_with_a_stream_that_stands_still_is_silent_until_it_speaks, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_who_is_silent_at_a_health_check_is_let_go, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_bee_goes_to_hypertuna_s_through_a_channel_of_its_own, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
