/* How long a worker waits after what failed, with the clock and the chance in the test's hands: settings that were changed are what counts,
 * for registrations and tokens, for publishing, for following a gateway's relay, and for acknowledgements that do not come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "crypto/hash.h"
#include "crypto/sign.h"
#include "data/event/terms.h"
#include "service/worker/internal.h"
#include "support/scratch.h"

#define SECOND_US UINT64_C(1000000)

static uint64_t clock_us;
static uint8_t chance; /* what random bytes are */

static uint64_t fake_monotonic(struct hf_env *env) { return clock_us; }
static void fake_random(struct hf_env *env, void *out, size_t length) { memset(out, chance, length); }

/* ---- Instead of the channel, of WebSockets, and of the client who hears what became of his event ---- */

static struct {
	size_t count;
	uint64_t deadline_us;
	char path[64];
	hf_relay_channel_reply *reply;
	void *context;
} asked;

uint64_t __wrap_hf_relay_channel_deadline(const struct hf_relay_channel *channel);
int __wrap_hf_relay_channel_request(struct hf_relay_channel *channel, const struct hf_relay_request *request, uint64_t deadline_us,
	hf_relay_channel_reply *reply, void *context, uint64_t *id);
int __wrap_hf_websocket_connect(struct hf_loop *loop, const char *url, struct hf_tls *tls, const struct hf_websocket_limits *limits,
	const struct hf_websocket_handler *handler, void *context,
	void (*opened)(void *context, struct hf_websocket *ws, int status, const char *detail));
void __wrap_hf_worker_reader_reply_ok(struct hf_worker_reader *reader, const uint8_t id[static 32], bool accepted, const char *reason);

uint64_t __wrap_hf_relay_channel_deadline(const struct hf_relay_channel *channel) { return HF_RELAY_CHANNEL_NEVER; }

int __wrap_hf_relay_channel_request(struct hf_relay_channel *channel, const struct hf_relay_request *request, uint64_t deadline_us,
	hf_relay_channel_reply *reply, void *context, uint64_t *id)
{
	asked.count++;
	asked.deadline_us = deadline_us;
	snprintf(asked.path, sizeof asked.path, "%.*s", (int)request->path.length, (const char *)request->path.data);
	asked.reply = reply;
	asked.context = context;
	return HF_OK;
}

static size_t connect_count;
static char last_reason[128];

int __wrap_hf_websocket_connect(struct hf_loop *loop, const char *url, struct hf_tls *tls, const struct hf_websocket_limits *limits,
	const struct hf_websocket_handler *handler, void *context,
	void (*opened)(void *context, struct hf_websocket *ws, int status, const char *detail))
{
	connect_count++;
	opened(context, NULL, HF_ECLOSED, "nobody there");
	return HF_OK;
}

void __wrap_hf_worker_reader_reply_ok(struct hf_worker_reader *reader, const uint8_t id[static 32], bool accepted, const char *reason)
{
	snprintf(last_reason, sizeof last_reason, "%s", reason);
}

/* ---- A worker with one gateway, of which it has a connection ---- */

struct fixture {
	struct hf_env env;
	char scratch[SCRATCH_PATH_BYTES];
	uint8_t public_key[32], secret[HF_SIGN_SECRET_BYTES];
	struct hf_config *config;
	struct hf_secret no_key;
	struct hf_worker_relay relay;
	struct hf_worker_node node;
	struct hf_worker_gateway gateway;
	struct hf_worker_link link;
};

static void set(struct fixture *f, const char *name, const char *value)
{
	struct hf_failure failure = {0};
	if (hf_config_set_flag(f->config, name, value, &failure) < 0)
		fail_msg("%s", failure.text);
}

static void open_worker(struct fixture *f)
{
	static const uint8_t seed[32] = {7};
	*f = (struct fixture){0};
	asked.count = connect_count = 0;
	clock_us = 1000 * SECOND_US;
	chance = 0;
	hf_crypto_init();
	scratch_make(f->scratch);
	hf_env_system(&f->env);
	f->env.monotonic_us = fake_monotonic;
	f->env.random = fake_random;
	hf_sign_keypair_from_seed(f->public_key, f->secret, seed);
	assert_int_equal(hf_config_new(&f->config), HF_OK);
	assert_int_equal(hf_loop_new(&f->node.loop, &f->env), HF_OK);
	f->node.env = &f->env;
	f->node.options = (struct hf_worker_node_options){.config = f->config, .directory = f->scratch, .static_secret = f->secret};
	f->node.gateways = &f->gateway;
	f->node.gateway_count = 1;
	f->link = (struct hf_worker_link){.node = &f->node, .gateway = &f->gateway, .channel = (struct hf_relay_channel *)(void *)f,
		.telemetry_due_us = UINT64_MAX, .is_open = true};
	snprintf(f->gateway.url, sizeof f->gateway.url, "ws://127.0.0.1:1");
}

static void close_worker(struct fixture *f)
{
	hf_worker_publisher_free(f->gateway.publisher);
	hf_worker_grants_free(&f->gateway);
	hf_loop_free(f->node.loop);
	hf_config_free(f->config);
	scratch_remove(f->scratch);
}

/* What the loop's timer does twice a second. */
static void tick_at(struct fixture *f, uint64_t at_us)
{
	clock_us = at_us;
	hf_loop_poll(f->node.loop, false); /* which reads the clock */
	hf_worker_link_tick(&f->link, clock_us);
}

/* The next question comes after so many milliseconds, and not sooner. */
static void expect_question_after(struct fixture *f, uint64_t wait_ms)
{
	uint64_t from_us = clock_us;
	size_t before = asked.count;
	tick_at(f, from_us + wait_ms * 1000 - 1);
	assert_int_equal(asked.count, before);
	tick_at(f, from_us + wait_ms * 1000);
	assert_int_equal(asked.count, before + 1);
}

static void refuse(void)
{
	const struct hf_relay_response response = {.status = 403, .body = HF_SLICE_LITERAL("{\"error\":\"not-allowed\"}")};
	asked.reply(asked.context, HF_OK, &response);
}

/* What is asked fails again and again: first, twice that, and so on up to the maximum, each times numerator / 5. */
static void expect_backoff(struct fixture *f, uint64_t first_ms, uint64_t max_ms, unsigned fifths)
{
	uint64_t wait_ms = first_ms;
	for (int i = 0; i < 6; i++) {
		refuse();
		expect_question_after(f, wait_ms * fifths / 5);
		wait_ms = 2 * wait_ms < max_ms ? 2 * wait_ms : max_ms;
	}
}

/* ---- The tests ---- */

static void test_a_registration_is_tried_again_as_configured(void **state)
{
	static const struct {
		const char *first, *max;
		uint64_t first_ms, max_ms;
	} cases[] = {{NULL, NULL, 2000, 120000}, {"500ms", "3s", 500, 3000}, {"10s", "15s", 10000, 15000}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		for (unsigned high = 0; high < 2; high++) {
			struct fixture f;
			open_worker(&f);
			chance = high ? 0xff : 0; /* a fifth more, a fifth less */
			if (cases[i].first) {
				set(&f, "worker-retry", cases[i].first);
				set(&f, "worker-retry-max", cases[i].max);
			}
			tick_at(&f, clock_us);
			assert_string_equal(asked.path, "/gateway/register");
			expect_backoff(&f, cases[i].first_ms, cases[i].max_ms, high ? 6 : 4);
			close_worker(&f);
		}
}

static void test_a_token_is_asked_for_again_as_configured(void **state)
{
	struct fixture f;
	struct hf_failure failure = {0};
	open_worker(&f);
	set(&f, "worker-retry", "1s");
	set(&f, "worker-retry-max", "5s");
	set(&f, "relay-token", "yes");
	set(&f, "relay-token-users", "0101010101010101010101010101010101010101010101010101010101010101");
	f.relay = (struct hf_worker_relay){.settings = f.config->relays[0], .bee_key = &f.no_key};
	f.node.relays = &f.relay;
	f.node.relay_count = 1;
	f.gateway.is_registered = true;
	f.gateway.register_due_us = UINT64_MAX;
	assert_int_equal(hf_worker_grants_new(&f.node, &f.gateway, &failure), HF_OK);
	tick_at(&f, clock_us);
	assert_string_equal(asked.path, "/gateway/relay-tokens/issue");
	expect_backoff(&f, 1000, 5000, 4);
	close_worker(&f);
}

static void test_an_acknowledgement_is_awaited_as_long_as_configured(void **state)
{
	struct fixture f;
	open_worker(&f);
	tick_at(&f, clock_us);
	assert_int_equal(asked.deadline_us - clock_us, 30 * SECOND_US);
	close_worker(&f);
	open_worker(&f);
	set(&f, "worker-answer-timeout", "700ms");
	set(&f, "worker-retry", "4s");
	tick_at(&f, clock_us);
	assert_int_equal(asked.deadline_us - clock_us, 700000);
	clock_us = asked.deadline_us;
	tick_at(&f, clock_us); /* while it waits, nothing is asked */
	assert_int_equal(asked.count, 1);
	asked.reply(asked.context, HF_ETIMEOUT, NULL);
	expect_question_after(&f, 4000 * 4 / 5);
	close_worker(&f);
}

static void publish(struct fixture *f)
{
	static const struct hf_event event = {.kind = 1};
	last_reason[0] = '\0';
	hf_worker_publish(NULL, &f->node, &f->gateway, &event, HF_SLICE_LITERAL("[\"EVENT\",{}]"));
}

static void test_the_way_to_a_gateways_relay_is_tried_again_as_configured(void **state)
{
	static const struct {
		const char *first, *max;
		uint64_t first_ms, max_ms;
	} cases[] = {{NULL, NULL, 2000, 120000}, {"300ms", "1s", 300, 1000}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct fixture f;
		uint64_t wait_ms = cases[i].first_ms;
		open_worker(&f);
		chance = 0xff;
		if (cases[i].first) {
			set(&f, "worker-publish-retry", cases[i].first);
			set(&f, "worker-publish-retry-max", cases[i].max);
		}
		publish(&f);
		assert_int_equal(connect_count, 1);
		for (size_t attempt = 1; attempt < 5; attempt++) {
			uint64_t from_us = clock_us;
			tick_at(&f, from_us + wait_ms * 1200 - 1);
			publish(&f); /* is told at once, and nobody is called */
			assert_int_equal(connect_count, attempt);
			assert_string_equal(last_reason, "error: the gateway cannot be reached; try again later");
			tick_at(&f, from_us + wait_ms * 1200);
			publish(&f);
			assert_int_equal(connect_count, attempt + 1);
			wait_ms = 2 * wait_ms < cases[i].max_ms ? 2 * wait_ms : cases[i].max_ms;
		}
		close_worker(&f);
	}
}

static void test_a_gateways_relay_is_followed_again_as_configured(void **state)
{
	static const struct {
		const char *retry;
		uint64_t retry_ms;
	} cases[] = {{NULL, 2000}, {"150ms", 150}, {"20s", 20000}};
	static const uint8_t key[32] = {9}, seed[32] = {3};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct fixture f;
		struct hf_store *store;
		struct hf_failure failure = {0};
		char path[SCRATCH_PATH_BYTES + 8];
		open_worker(&f);
		f.env.executor = hf_executor_inline();
		snprintf(path, sizeof path, "%s/store", f.scratch);
		struct hf_store_options options = {.size = sizeof options, .directory = path, .env = &f.env, .no_background = true,
			.schema = {.describe = hf_event_describe}};
		if (hf_store_open(&store, &options, &failure) < 0)
			fail_msg("%s", failure.text);
		struct hf_core_host_options host = {.size = sizeof host, .loop = f.node.loop, .store = store, .primary_key = hf_slice(seed, 32)};
		assert_int_equal(hf_core_host_new(&f.node.options.cores, &host, &failure), HF_OK);
		if (cases[i].retry)
			set(&f, "worker-replication-retry", cases[i].retry);
		assert_int_equal(hf_worker_replica_new(&f.gateway, &f.node, key), HF_OK);
		struct hf_worker_replica *replica = f.gateway.replica;
		tick_at(&f, clock_us + SECOND_US);
		replica->follow_waiter.ready(&replica->follow_waiter, HF_EIO);
		assert_true(replica->turn.place > 0);
		assert_int_equal(replica->turn.deadline_us - clock_us, cases[i].retry_ms * 1000);
		hf_worker_replica_free(replica);
		hf_core_host_free(f.node.options.cores);
		hf_store_close(store);
		close_worker(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_registration_is_tried_again_as_configured),
		cmocka_unit_test(test_a_token_is_asked_for_again_as_configured),
		cmocka_unit_test(test_an_acknowledgement_is_awaited_as_long_as_configured),
		cmocka_unit_test(test_the_way_to_a_gateways_relay_is_tried_again_as_configured),
		cmocka_unit_test(test_a_gateways_relay_is_followed_again_as_configured),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
