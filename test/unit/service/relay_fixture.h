/* relay_fixture: a relay on a loop with a real store, a real server and WebSocket clients, all in one thread but the
 * store's and the workers'. Events are signed by a handful of authors. */
#ifndef HF_TEST_RELAY_FIXTURE_H
#define HF_TEST_RELAY_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "codec/hex.h"
#include "crypto/hash.h"
#include "crypto/schnorr.h"
#include "crypto/sign.h"
#include "data/event/terms.h"
#include "net/http_server.h"
#include "net/websocket.h"
#include "service/relay/relay.h"
#include "support/scratch.h"

#define CLIENT_MESSAGE_COUNT_MAX 4096
#define WAIT_MS 5000

struct client {
	struct hf_websocket *ws;
	struct fixture *fixture;
	char *messages[CLIENT_MESSAGE_COUNT_MAX]; /* the oldest is dropped by `take` */
	size_t from, count;
	bool is_closed;
};

struct fixture {
	struct hf_env env;
	char scratch[SCRATCH_PATH_BYTES], store_path[SCRATCH_PATH_BYTES + 8], url[64];
	struct hf_loop *loop;
	struct hf_store *store;
	struct hf_executor *verify, *query;
	struct hf_metrics *metrics;
	struct hf_http_server *server;
	struct hf_config *config;
	struct hf_core_host *host; /* NULL: the relay has no bee */
	uint8_t bee_key[HF_SIGN_SECRET_BYTES];
	struct hf_relay *relay;
	struct hf_schnorr *schnorr;
	uint8_t secrets[4][32], keys[4][32];
	struct client clients[8];
	size_t client_count;
};

static void answer_relay(void *context, struct hf_http_exchange *exchange)
{
	hf_relay_answer(((struct fixture *)context)->relay, exchange);
}

static const struct hf_http_route fixture_routes[] = {HF_ROUTE("GET", "/", HF_ACCESS_PUBLIC, answer_relay)};

static inline struct hf_relay_options fixture_relay_options(struct fixture *f)
{
	return (struct hf_relay_options){.size = sizeof(struct hf_relay_options), .loop = f->loop, .store = f->store, .verify = f->verify,
		.query = f->query, .metrics = f->metrics, .config = f->config, .settings = f->config->relays[0], .listen_url = f->url,
		.host = f->host, .bee_key = hf_slice(f->bee_key, sizeof f->bee_key)};
}

static inline void fixture_open_host(struct fixture *f)
{
	uint8_t seed[32] = {1}, key[32];
	struct hf_failure failure = {0};
	const struct hf_core_host_options options = {.size = sizeof options, .loop = f->loop, .store = f->store,
		.primary_key = hf_slice(seed, sizeof seed)};
	f->env.executor = f->query;
	hf_sign_keypair_from_seed(key, f->bee_key, seed);
	if (hf_core_host_new(&f->host, &options, &failure) < 0)
		fail_msg("%s", failure.text);
}

/* flags: "name=value" of the configuration, NULL at the end; may be NULL. */
static inline struct fixture *fixture_new(const char *const *flags)
{
	struct fixture *f = calloc(1, sizeof *f);
	struct hf_failure failure = {0};
	hf_crypto_init();
	hf_env_system(&f->env);
	scratch_make(f->scratch);
	snprintf(f->store_path, sizeof f->store_path, "%s/store", f->scratch);
	assert_int_equal(hf_config_new(&f->config), HF_OK);
	for (; flags && *flags; flags++) {
		char name[64];
		const char *equals = strchr(*flags, '=');
		snprintf(name, sizeof name, "%.*s", (int)(equals - *flags), *flags);
		assert_int_equal(hf_config_set_flag(f->config, name, equals + 1, &failure), HF_OK);
	}
	struct hf_store_options store = {.size = sizeof store, .directory = f->store_path, .env = &f->env,
		.schema = {.describe = hf_event_describe}};
	assert_int_equal(hf_store_open(&f->store, &store, &failure), HF_OK);
	assert_int_equal(hf_loop_new(&f->loop, &f->env), HF_OK);
	assert_int_equal(hf_executor_start(&f->verify, "verify", 2, 1024), HF_OK);
	assert_int_equal(hf_executor_start(&f->query, "query", 1, 1024), HF_OK);
	f->metrics = hf_metrics_new();
	if (f->config->relays[0]->bee)
		fixture_open_host(f);
	struct hf_relay_options options = fixture_relay_options(f);
	assert_int_equal(hf_relay_new(&f->relay, &options, &failure), HF_OK);
	struct hf_http_server_options server = {.size = sizeof server, .loop = f->loop, .routes = fixture_routes, .route_count = 1, .context = f,
		.websocket = {.send_queue_bytes_max = (uint32_t)f->config->send_queue_bytes_max}};
	assert_int_equal(hf_http_server_new(&f->server, &server), HF_OK);
	struct hf_address address, bound;
	char text[HF_ADDRESS_TEXT_BYTES];
	assert_int_equal(hf_address_parse("127.0.0.1:0", &address, &failure), HF_OK);
	assert_int_equal(hf_http_server_listen(f->server, &address, NULL, &bound, &failure), HF_OK);
	snprintf(f->url, sizeof f->url, "ws://%.50s", hf_address_text(&bound, true, text));
	assert_int_equal(hf_schnorr_new(&f->schnorr, &f->env, 0), HF_OK);
	for (size_t i = 0; i < 4; i++)
		hf_schnorr_generate(f->schnorr, f->secrets[i], f->keys[i]);
	return f;
}

static inline void fixture_free(struct fixture *f)
{
	for (size_t i = 0; i < f->client_count; i++)
		if (f->clients[i].ws && !f->clients[i].is_closed)
			hf_websocket_close(f->clients[i].ws, 1000, "");
	bool open = true;
	hf_relay_end(f->relay);
	for (int i = 0; open && i < 10000; i++) {
		open = !hf_relay_is_idle(f->relay);
		for (size_t k = 0; k < f->client_count; k++)
			open |= f->clients[k].ws && !f->clients[k].is_closed;
		if (open)
			hf_loop_poll(f->loop, true);
	}
	assert_true(hf_relay_is_idle(f->relay));
	hf_http_server_free(f->server);
	hf_relay_release_cores(f->relay);
	hf_core_host_free(f->host);
	hf_executor_stop(f->query);
	hf_executor_stop(f->verify);
	hf_relay_free(f->relay);
	hf_store_close(f->store);
	hf_loop_free(f->loop);
	hf_metrics_free(f->metrics);
	hf_schnorr_free(f->schnorr);
	hf_config_free(f->config);
	for (size_t i = 0; i < f->client_count; i++)
		for (size_t k = f->clients[i].from; k < f->clients[i].count; k++)
			free(f->clients[i].messages[k]);
	scratch_remove(f->scratch);
	free(f);
}

/* ---- Clients ---- */

static void client_message(void *context, struct hf_websocket *ws, bool is_text, struct hf_slice message)
{
	struct client *c = context;
	assert_true(c->count < CLIENT_MESSAGE_COUNT_MAX);
	c->messages[c->count++] = strndup((const char *)message.data, message.length);
}

static void client_closed(void *context, struct hf_websocket *ws, uint16_t code)
{
	((struct client *)context)->is_closed = true;
}

static void client_opened(void *context, struct hf_websocket *ws, int status, const char *detail)
{
	assert_int_equal(status, HF_OK);
	((struct client *)context)->ws = ws;
}

static const struct hf_websocket_handler client_handler = {.message = client_message, .closed = client_closed};

static void on_time_out(struct hf_timer *timer)
{
	fail_msg("nothing came within %d ms", WAIT_MS);
}

/* Runs the loop until the condition holds. */
#define UNTIL(f, condition)                                                                        \
	do {                                                                                       \
		struct hf_timer time_out = {.fire = on_time_out};                                  \
		hf_loop_timer_set((f)->loop, &time_out, WAIT_MS);                                  \
		while (!(condition))                                                               \
			hf_loop_poll((f)->loop, true);                                             \
		hf_loop_timer_cancel((f)->loop, &time_out);                                        \
	} while (0)

/* The next message; the caller frees it. */
static inline char *take(struct client *c)
{
	UNTIL(c->fixture, c->from < c->count);
	return c->messages[c->from++];
}

/* The next message begins so. */
static inline void expect(struct client *c, const char *format, ...)
{
	char wanted[512];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(wanted, sizeof wanted, format, arguments);
	va_end(arguments);
	char *got = take(c);
	if (strncmp(got, wanted, strlen(wanted)) != 0)
		fail_msg("wanted %s, got %s", wanted, got);
	free(got);
}

static inline void say(struct client *c, const char *format, ...)
{
	static char text[1 << 16];
	va_list arguments;
	va_start(arguments, format);
	int length = vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	assert_in_range(length, 0, sizeof text - 1);
	assert_int_equal(hf_websocket_send_text(c->ws, hf_slice(text, (size_t)length)), HF_OK);
}

/* A connected client that has got its challenge; challenge (33 bytes) may be NULL. */
static inline struct client *join_relay(struct fixture *f, char *challenge)
{
	struct client *c = &f->clients[f->client_count++];
	c->fixture = f;
	struct hf_websocket_limits limits = {0};
	assert_int_equal(hf_websocket_connect(f->loop, f->url, NULL, &limits, &client_handler, c, client_opened), HF_OK);
	UNTIL(f, c->ws);
	char *first = take(c), ignored[33];
	assert_int_equal(sscanf(first, "[\"AUTH\",\"%32[0-9a-f]\"]", challenge ? challenge : ignored), 1);
	free(first);
	return c;
}

/* ---- Events ---- */

struct signed_event {
	char id[65];
	char json[8192];
};

/* tags: JSON text. */
static inline struct signed_event make_event(struct fixture *f, size_t author, unsigned kind, uint64_t created_at, const char *tags,
	const char *content)
{
	struct signed_event e = {0};
	uint8_t id[32], signature[64];
	char key[65] = {0}, hex[129] = {0}, text[8192];
	hf_hex_encode(key, f->keys[author], 32);
	int length = snprintf(text, sizeof text, "[0,\"%s\",%llu,%u,%s,\"%s\"]", key, (unsigned long long)created_at, kind, tags, content);
	hf_sha256(id, hf_slice(text, (size_t)length));
	assert_int_equal(hf_schnorr_sign(f->schnorr, signature, id, f->secrets[author]), HF_OK);
	hf_hex_encode(e.id, id, 32);
	hf_hex_encode(hex, signature, 64);
	snprintf(e.json, sizeof e.json, "{\"id\":\"%s\",\"pubkey\":\"%s\",\"created_at\":%llu,\"kind\":%u,\"tags\":%s,\"content\":\"%s\",\"sig\":\"%s\"}",
		e.id, key, (unsigned long long)created_at, kind, tags, content, hex);
	return e;
}

static inline struct signed_event make_note(struct fixture *f, size_t author, const char *content)
{
	return make_event(f, author, 1, hf_env_wall_s(&f->env), "[]", content);
}

/* The same event with a signature that does not fit. */
static inline struct signed_event forge(struct signed_event e)
{
	char *signature = strstr(e.json, "\"sig\":\"") + 7;
	*signature = *signature == '0' ? '1' : '0';
	return e;
}

static inline void publish(struct client *c, const struct signed_event *e)
{
	say(c, "[\"EVENT\",%s]", e->json);
	expect(c, "[\"OK\",\"%s\",true,\"\"]", e->id);
}

#endif
