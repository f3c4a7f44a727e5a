/* Gateways that announce themselves and those who listen, on a simulated network, where memory fails: each allocation of a round once. It
 * begins or says why not; what was heard holds; and the next round hears the gateway again. */
#include "../peer/dht_fixture.h"

#include "net/loop_private.h"
#include "peer/connector.h"
#include "service/discovery.h"
#include "service/gateway/advertise.h"
#include "support/fail_alloc.h"
#include "support/quiet.h"

#define NETWORK 3 /* nodes of the DHT; two more are the gateway's and the listener's */
#define STEP (SECOND / 100)
#define ROUND_S 60u
#define WAIT_S 1200u /* announcing is done again within ten minutes */
#define WALL_MS 1700000000000u
#define TTL_S 300u
#define NAME "a gateway"

struct place {
	unsigned at;
	struct hf_dht_connector *connector;
};

struct world {
	struct dht_fixture f;
	struct hf_env env;
	struct hf_loop *loop; /* its timers run in virtual time */
	struct place gateway, listener;
	uint8_t secret[HF_SIGN_SECRET_BYTES], key[HF_SIGN_PUBLIC_BYTES];
	unsigned heard, refused, looked;
};

static uint64_t monotonic_us(struct hf_env *env)
{
	return sim_net_now_us(((struct world *)env->context)->f.net);
}

static uint64_t wall_ms(struct hf_env *env)
{
	return WALL_MS + monotonic_us(env) / 1000;
}

static void describe(void *context, struct hf_announcement *a, uint64_t *refresh_ms)
{
	strcpy(a->display_name, NAME);
	strcpy(a->public_url, "https://gateway.example.org");
	strcpy(a->ws_url, "wss://gateway.example.org");
	a->ttl_s = TTL_S;
	*refresh_ms = 120000;
}

static bool on_heard(void *context, const struct hf_announcement *a, const uint8_t advertiser[static 32])
{
	struct world *w = context;
	assert_string_equal(a->display_name, NAME);
	assert_memory_equal(a->gateway_key, w->key, sizeof w->key);
	assert_int_equal(a->ttl_s, TTL_S);
	w->heard++;
	return true;
}

static void on_refused(void *context, enum hf_announcement_refusal refusal, const struct hf_announcement *a,
	const uint8_t advertiser[static 32])
{
	assert_true(refusal == HF_ANNOUNCEMENT_UNCHECKED || refusal == HF_ANNOUNCEMENT_MALFORMED); /* the latter: nothing was said */
	((struct world *)context)->refused++;
}

static void on_looked(void *context, int code)
{
	((struct world *)context)->looked++;
}

static const struct hf_discovery_events events = {.heard = on_heard, .refused = on_refused, .looked = on_looked};

/* Until *count has reached `until`; false: it has not within so many seconds. */
static bool run_until(struct world *w, const unsigned *count, unsigned until, unsigned seconds)
{
	uint64_t end_us = w->f.now_us + seconds * SECOND;
	while (*count < until && w->f.now_us < end_us) {
		run_for(&w->f, STEP);
		hf_loop_poll(w->loop, false);
		hf_timers_run(&w->loop->timers, w->f.now_us);
	}
	return *count >= until;
}

static void begin_place(struct world *w, struct place *place)
{
	struct hf_address local = {{0}};
	char text[32];
	place->at = add_node(&w->f, HF_DHT_PERSISTENT);
	run_for(&w->f, SECOND);
	snprintf(text, sizeof text, "20.0.0.%u:0", place->at + 1);
	assert_int_equal(hf_address_parse(text, &local, NULL), HF_OK);
	struct hf_dht_connector_options options = {.size = sizeof options, .node = w->f.nodes[place->at], .loop = w->loop,
		.local_addresses = &local, .local_address_count = 1};
	assert_int_equal(hf_dht_connector_new(&place->connector, &options, NULL), HF_OK);
}

static void begin(struct world *w)
{
	uint8_t seed[HF_SIGN_SEED_BYTES] = {9};
	*w = (struct world){0};
	begin_network(&w->f, NETWORK);
	hf_env_system(&w->env);
	w->env.context = w;
	w->env.monotonic_us = monotonic_us;
	w->env.wall_ms = wall_ms;
	assert_int_equal(hf_loop_new(&w->loop, &w->env), HF_OK);
	hf_sign_keypair_from_seed(w->key, w->secret, seed);
	begin_place(w, &w->gateway);
	begin_place(w, &w->listener);
}

static void end(struct world *w)
{
	hf_dht_connector_free(w->listener.connector);
	hf_dht_connector_free(w->gateway.connector);
	end_network(&w->f);
	hf_loop_free(w->loop);
}

static int begin_advertiser(struct world *w, struct hf_advertiser **out, struct hf_failure *failure)
{
	struct hf_advertiser_options options = {.size = sizeof options, .loop = w->loop, .connector = w->gateway.connector,
		.secret_key = w->secret, .describe = describe};
	return hf_advertiser_new(out, &options, failure);
}

static int begin_discovery(struct world *w, struct hf_discovery **out, struct hf_failure *failure)
{
	struct hf_discovery_options options = {.size = sizeof options, .loop = w->loop, .connector = w->listener.connector,
		.interval_ms = ROUND_S * 1000, .events = &events, .context = w};
	return hf_discovery_new(out, &options, failure);
}

/* One allocation fails from when `arms_advertiser` the advertiser, otherwise the listener begins, until a round is over. */
static bool run_with_failure(struct world *w, uint64_t n, bool arms_advertiser, unsigned *refused_starts)
{
	struct hf_advertiser *advertiser = NULL;
	struct hf_discovery *discovery = NULL;
	struct hf_failure failure = {0};
	unsigned heard = w->heard, looked = w->looked;
	if (arms_advertiser)
		fail_alloc_arm(n, false);
	int r = begin_advertiser(w, &advertiser, &failure);
	if (r == HF_OK && !arms_advertiser) {
		unsigned never = 0;
		run_until(w, &never, 1, 5);
		fail_alloc_arm(n, false);
	}
	if (r == HF_OK)
		r = begin_discovery(w, &discovery, &failure);
	if (r == HF_OK) {
		hf_discovery_look(discovery);
		assert_true(run_until(w, &w->looked, looked + 1, ROUND_S));
	}
	bool has_failed = fail_alloc_disarm();
	if (r < 0) {
		assert_int_equal(r, HF_ENOMEM);
		assert_true(has_failed && failure.text[0]);
		++*refused_starts;
	} else {
		assert_true(run_until(w, &w->heard, heard + 1, has_failed ? WAIT_S : 0));
		looked = w->looked;
		heard = w->heard;
		assert_true(run_until(w, &w->looked, looked + 2, 4 * ROUND_S)); /* and so on */
		assert_true(w->heard > heard);
	}
	hf_discovery_free(discovery);
	hf_advertiser_free(advertiser);
	return has_failed;
}

static void run_all(bool arms_advertiser)
{
	struct world w;
	unsigned refused_starts = 0;
	uint64_t n = 1;
	quiet_log();
	begin(&w);
	while (run_with_failure(&w, n, arms_advertiser, &refused_starts))
		n++;
	print_message("%llu allocations: %u starts refused, %u announcements not believed\n", (unsigned long long)n - 1, refused_starts, w.refused);
	assert_true(n > 50 && refused_starts > 0);
	end(&w);
}

static void test_each_allocation_of_announcing_fails_cleanly(void **state)
{
	run_all(true);
}

static void test_each_allocation_of_listening_fails_cleanly(void **state)
{
	run_all(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_allocation_of_announcing_fails_cleanly),
		cmocka_unit_test(test_each_allocation_of_listening_fails_cleanly),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
