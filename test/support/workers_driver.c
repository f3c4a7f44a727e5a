/* A gateway's pool of workers in a network of HyperDHT, told what to do by test/interop/lib/workers_driver.mjs: one JSON object a line in,
 * one out. */
#include <jansson.h>

#include "codec/hex.h"
#include "crypto/hash.h"
#include "service/gateway/workers.h"
#include "service/swarm_node.h"
#include "driver.h"

#define STREAMS_MAX 64
#define DATA_BYTES_SHOWN 1000u

struct stream {
	struct hf_worker_stream *stream;
	int number;
	uint64_t received_bytes;
	struct hf_sha256 hash;
};

static struct hf_env env;
static struct hf_loop *loop;
static struct hf_store *store;
static struct hf_core_host *host;
static struct hf_core *bee;
static struct hf_replication *replication;
static struct hf_swarm_node *swarm;
static struct hf_workers *pool;
static struct stream streams[STREAMS_MAX];
static json_t *events;
static uint8_t public_key[HF_SIGN_PUBLIC_BYTES], secret[HF_SIGN_SECRET_BYTES];

static json_t *text_of(struct hf_slice text)
{
	return json_stringn((const char *)text.data, text.length);
}

static json_t *key_text(const uint8_t key[static 32])
{
	char text[64];
	hf_hex_encode(text, key, 32);
	return json_stringn(text, sizeof text);
}

static struct hf_slice slice_of(const json_t *command, const char *name)
{
	const char *text = json_string_value(json_object_get(command, name));
	return hf_slice_text(text ? text : "");
}

static struct hf_worker *worker_of(const json_t *command)
{
	struct hf_slice text = slice_of(command, "worker");
	uint8_t key[32];
	return text.length == 64 && hf_hex_decode(key, text.data, 32) ? hf_workers_find(pool, key) : NULL;
}

static json_t *note(const char *event)
{
	json_t *item = json_object();
	json_object_set_new(item, "event", json_string(event));
	json_array_append_new(events, item);
	return item;
}

/* ---- Events ---- */

static void on_connected(void *context, struct hf_worker *worker)
{
	json_t *item = note("connected");
	json_object_set_new(item, "worker", key_text(hf_worker_key(worker)));
	json_object_set_new(item, "hypertuna", json_boolean(hf_worker_is_hypertuna(worker)));
}

static void on_gone(void *context, struct hf_worker *worker, enum hf_worker_end why)
{
	json_t *item = note("gone");
	json_object_set_new(item, "worker", key_text(hf_worker_key(worker)));
	json_object_set_new(item, "why", json_integer(why));
}

static void on_telemetry(void *context, struct hf_worker *worker, const struct hf_telemetry *telemetry)
{
	json_object_set_new(note("telemetry"), "queue_depth", json_integer(telemetry->queue_depth));
}

/* Answers with what it was told. */
static void on_request(void *context, struct hf_worker *worker, uint64_t call, const struct hf_relay_request *request)
{
	const struct hf_http_field type = {HF_SLICE_LITERAL("content-type"), HF_SLICE_LITERAL("application/json")};
	const struct hf_relay_response response = {.status = 200, .fields = &type, .field_count = 1, .body = request->body};
	json_t *item = note("request");
	json_object_set_new(item, "path", text_of(request->path));
	json_object_set_new(item, "body", text_of(request->body));
	hf_worker_respond(worker, call, &response);
}

static const struct hf_workers_events pool_events = {
	.connected = on_connected, .gone = on_gone, .telemetry = on_telemetry, .request = on_request};

static void on_head(void *context, int status, const struct hf_http_field *fields, size_t field_count)
{
	struct stream *s = context;
	json_t *item = note("head"), *all = json_object();
	json_object_set_new(item, "stream", json_integer(s->number));
	json_object_set_new(item, "status", json_integer(status));
	for (size_t i = 0; i < field_count; i++) {
		char name[64];
		snprintf(name, sizeof name, "%.*s", (int)fields[i].name.length, (const char *)fields[i].name.data);
		json_object_set_new(all, name, text_of(fields[i].value));
	}
	json_object_set_new(item, "fields", all);
}

static void on_data(void *context, struct hf_slice bytes, bool is_end_of_message)
{
	struct stream *s = context;
	s->received_bytes += bytes.length;
	hf_sha256_update(&s->hash, bytes.data, bytes.length);
	if (bytes.length <= DATA_BYTES_SHOWN) {
		json_t *item = note("data");
		json_object_set_new(item, "stream", json_integer(s->number));
		json_object_set_new(item, "text", text_of(bytes));
		json_object_set_new(item, "end", json_boolean(is_end_of_message));
	}
	hf_worker_stream_consumed(s->stream, bytes.length);
}

static void on_ended(void *context, int code, uint32_t close_code, const char *why)
{
	struct stream *s = context;
	uint8_t hash[32];
	json_t *item = note("ended");
	hf_sha256_final(&s->hash, hash);
	json_object_set_new(item, "stream", json_integer(s->number));
	json_object_set_new(item, "code", json_string(hf_error_name(code)));
	json_object_set_new(item, "close_code", json_integer(close_code));
	json_object_set_new(item, "why", json_string(why));
	json_object_set_new(item, "received", json_integer((json_int_t)s->received_bytes));
	json_object_set_new(item, "hash", key_text(hash));
	s->stream = NULL;
}

static const struct hf_worker_stream_events stream_events = {.head = on_head, .data = on_data, .ended = on_ended};

static void on_socket_opened(void *context, struct hf_peer_socket *socket)
{
	if (pool)
		hf_workers_socket_opened(pool, socket);
}

static void on_socket_closed(void *context, struct hf_peer_socket *socket, int code, const char *why)
{
	if (pool)
		hf_workers_socket_closed(pool, socket);
}

/* ---- Commands ---- */

static int open_bee(const json_t *command)
{
	struct hf_core_options options = {.size = sizeof options, .name = HF_SLICE_LITERAL("bee")};
	int r = hf_corestore_get(hf_core_host_cores(host), &options, &bee, NULL);
	for (json_int_t i = 0; r == HF_OK && i < json_integer_value(json_object_get(command, "blocks")); i++) {
		char text[32];
		snprintf(text, sizeof text, "block %lld", (long long)i);
		struct hf_slice block = hf_slice_text(text);
		r = hf_core_append(bee, &block, 1, NULL);
	}
	if (r == HF_OK)
		r = hf_core_commit_wait(bee, HF_DURABLE_OS);
	return r == HF_OK ? hf_replicator_join(hf_core_host_replicator(host), bee, &replication) : r;
}

static int open_host(const json_t *command)
{
	static const uint8_t primary_key[32] = {7};
	const char *data = json_string_value(json_object_get(command, "data"));
	struct hf_store_options options = {
		.size = sizeof options, .env = &env, .schema = {.describe = hf_corestore_describe}, .directory = data};
	struct hf_core_host_options with = {.size = sizeof with, .loop = loop, .primary_key = hf_slice(primary_key, 32),
		.opened = on_socket_opened, .closed = on_socket_closed};
	struct hf_failure failure = {0};
	env.executor = hf_executor_inline();
	int r = hf_store_open(&store, &options, &failure);
	with.store = store;
	return r == HF_OK ? hf_core_host_new(&host, &with, &failure) : r;
}

static int join_swarm(const json_t *command)
{
	struct hf_swarm_bootstrap bootstrap = {0};
	struct hf_failure failure = {0};
	hf_sign_keypair_generate(public_key, secret, &env);
	int r = hf_swarm_bootstrap_add(&bootstrap, json_string_value(json_object_get(command, "bootstrap")), &failure);
	struct hf_peer_socket_options socket = {.size = sizeof socket, .loop = loop, .static_secret = secret,
		.events = &hf_core_host_socket_events, .context = host};
	struct hf_swarm_node_options options = {.size = sizeof options, .loop = loop, .static_secret = secret, .bootstrap = &bootstrap,
		.socket = &socket};
	hf_address_parse("127.0.0.1:0", &options.bind, NULL);
	return r == HF_OK ? hf_swarm_node_new(&swarm, &options, &failure) : r;
}

static int do_start(const json_t *command, json_t *answer)
{
	struct hf_failure failure = {0};
	int r = open_host(command);
	if (r == HF_OK)
		r = open_bee(command);
	if (r == HF_OK)
		r = join_swarm(command);
	if (r < 0)
		return r;
	const struct hf_workers_options options = {.size = sizeof options, .loop = loop, .swarm = hf_swarm_node_swarm(swarm),
		.public_key = public_key, .cores = host, .bee_key = hf_core_key(bee),
		.accepts_hypertuna = json_is_true(json_object_get(command, "hypertuna")),
		.health_interval_ms = (uint32_t)json_integer_value(json_object_get(command, "health_ms")),
		.request_timeout_ms = (uint32_t)json_integer_value(json_object_get(command, "request_ms")), .events = &pool_events};
	r = hf_workers_new(&pool, &options, &failure);
	json_object_set_new(answer, "key", key_text(public_key));
	json_object_set_new(answer, "bee", key_text(hf_core_key(bee)));
	return r;
}

static int do_events(const json_t *command, json_t *answer)
{
	json_object_set_new(answer, "events", events);
	events = json_array();
	return HF_OK;
}

static int do_open(const json_t *command, json_t *answer)
{
	struct hf_worker *worker = worker_of(command);
	struct stream *s = streams;
	const struct hf_worker_request request = {
		.kind = json_is_true(json_object_get(command, "http")) ? HF_WORKER_HTTP : HF_WORKER_WEBSOCKET,
		.method = slice_of(command, "method"),
		.path = slice_of(command, "path"),
		.relay_key = slice_of(command, "relay"),
		.auth_token = slice_of(command, "token"),
		.body = slice_of(command, "body")};
	while (s < streams + STREAMS_MAX && s->stream)
		s++;
	if (!worker || s == streams + STREAMS_MAX)
		return HF_ENOTFOUND;
	s->number = (int)(s - streams);
	s->received_bytes = 0;
	hf_sha256_init(&s->hash);
	json_object_set_new(answer, "stream", json_integer(s->number));
	return hf_worker_open(worker, &request, &stream_events, s, &s->stream);
}

static struct stream *stream_of(const json_t *command)
{
	return &streams[json_integer_value(json_object_get(command, "stream")) % STREAMS_MAX];
}

static int do_send(const json_t *command, json_t *answer)
{
	struct stream *s = stream_of(command);
	return s->stream ? hf_worker_stream_send(s->stream, slice_of(command, "text"), true) : HF_ENOTFOUND;
}

static int do_close(const json_t *command, json_t *answer)
{
	struct stream *s = stream_of(command);
	if (!s->stream)
		return HF_ENOTFOUND;
	hf_worker_stream_close(s->stream, 1000, "done");
	s->stream = NULL;
	return HF_OK;
}

static int do_dismiss(const json_t *command, json_t *answer)
{
	struct hf_worker *worker = worker_of(command);
	if (!worker)
		return HF_ENOTFOUND;
	hf_worker_dismiss(worker, "told to");
	return HF_OK;
}

static void on_reply(void *context, int result, const struct hf_relay_response *response)
{
	json_t *item = note("reply");
	json_object_set_new(item, "code", json_string(hf_error_name(result)));
	if (response)
		json_object_set_new(item, "status", json_integer(response->status));
	if (response)
		json_object_set_new(item, "body", text_of(response->body));
}

static int do_ask(const json_t *command, json_t *answer)
{
	struct hf_worker *worker = worker_of(command);
	const struct hf_relay_request request = {
		.method = slice_of(command, "method"), .path = slice_of(command, "path"), .body = slice_of(command, "body")};
	return worker ? hf_worker_ask(worker, &request, on_reply, NULL, NULL) : HF_ENOTFOUND;
}

static int do_frame(const json_t *command, json_t *answer)
{
	struct hf_worker *worker = worker_of(command);
	return worker ? hf_worker_send_frame(worker, slice_of(command, "text")) : HF_ENOTFOUND;
}

static const struct {
	const char *name;
	int (*run)(const json_t *command, json_t *answer);
} commands[] = {{"start", do_start}, {"events", do_events}, {"open", do_open}, {"send", do_send}, {"close", do_close},
	{"dismiss", do_dismiss}, {"ask", do_ask}, {"frame", do_frame}};

/* ---- Lines ---- */

static int perform(const char *name, const json_t *command, json_t *answer)
{
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
		if (strcmp(commands[i].name, name) == 0)
			return commands[i].run(command, answer);
	return HF_ENOTFOUND;
}

int main(void)
{
	hf_env_system(&env);
	events = json_array();
	if (hf_crypto_init() || hf_loop_new(&loop, &env))
		driver_die("cannot start");
	driver_run(loop, perform);
	hf_workers_free(pool);
	pool = NULL;
	hf_swarm_node_leave(swarm);
	if (host)
		hf_core_host_close_sockets(host);
	hf_swarm_node_free(swarm);
	hf_replication_leave(replication);
	hf_core_unref(bee);
	hf_core_host_free(host);
	if (store)
		hf_store_close(store);
	json_decref(events);
	hf_loop_free(loop);
	return 0;
}
