/* What a worker tells relays of its own where memory fails: each allocation of the loop's thread once. It begins or says why not; a round that
 * fails is made again, and then the relay has an event that holds. */
#include "relay_fixture.h"

#include <unistd.h>

#include "service/worker/internal.h"
#include "support/fail_alloc.h"
#include "support/quiet.h"

#define ALLOCATION_COUNT_MAX 1000
#define ROUND_MS 300
#define WHOLE_MS 15000
#define HOUR_US 3600000000u

struct world {
	struct fixture *f;
	struct hf_worker_node node;
	struct hf_worker_relay relay;
	struct hf_worker_gateway gateway;
	struct hf_config_relay settings;
	struct hf_secret identity;
};

struct counts {
	int64_t told, refused;
};

static void note_metric(void *context, const char *name, const char *labels, int64_t value)
{
	struct counts *c = context;
	if (strcmp(name, "holdfast_worker_told_total") == 0)
		*(strcmp(labels, "result=\"ok\"") == 0 ? &c->told : &c->refused) = value;
}

static struct counts counts_of(struct world *w)
{
	struct counts c = {0};
	hf_metrics_each(w->f->metrics, note_metric, &c);
	return c;
}

static void begin(struct world *w)
{
	*w = (struct world){.f = fixture_new(NULL)};
	struct fixture *f = w->f;
	struct hf_relay_options options = fixture_relay_options(f);
	struct hf_failure failure = {0};
	memcpy(options.identity, f->keys[0], sizeof options.identity);
	hf_relay_end(f->relay);
	while (!hf_relay_is_idle(f->relay))
		hf_loop_poll(f->loop, true);
	hf_relay_free(f->relay);
	assert_int_equal(hf_relay_new(&f->relay, &options, &failure), HF_OK);
	assert_int_equal(hf_secret_copy(&w->identity, hf_slice(f->secrets[0], 32)), HF_OK);
	free(f->config->worker_discovery_relays);
	f->config->worker_discovery_relays = strdup(f->url);
	w->settings = *f->config->relays[0];
	w->settings.gateway_path = "club";
	w->settings.token = false;
	w->relay = (struct hf_worker_relay){.relay = f->relay, .settings = &w->settings, .identifier = "npub1abc:club"};
	w->gateway = (struct hf_worker_gateway){.is_registered = true, .base_url = "ws://gate.example.org"};
	w->node = (struct hf_worker_node){.options = {.config = f->config, .metrics = f->metrics, .identity_keys = &w->identity}, .loop = f->loop,
		.env = &f->env, .relays = &w->relay, .relay_count = 1, .gateways = &w->gateway, .gateway_count = 1};
}

static void end(struct world *w)
{
	hf_secret_free(&w->identity);
	fixture_free(w->f);
}

/* Ticks and turns until something was answered. later_us: how much later the teller takes it to be. */
static bool wait_for_answer(struct world *w, struct hf_worker_teller *teller, struct counts before, uint64_t later_us, uint64_t wait_ms)
{
	uint64_t until_ms = hf_env_monotonic_ms(&w->f->env) + wait_ms;
	struct counts now = before;
	while (now.told + now.refused == before.told + before.refused && hf_env_monotonic_ms(&w->f->env) < until_ms) {
		hf_worker_teller_tick(teller, hf_loop_now_us(w->f->loop) + later_us);
		later_us += later_us ? HOUR_US : 0;
		hf_loop_poll(w->f->loop, false);
		usleep(200);
		now = counts_of(w);
	}
	return now.told + now.refused > before.told + before.refused;
}

static void test_each_allocation_of_telling_fails_cleanly(void **state)
{
	struct world w;
	unsigned failed_starts = 0, again = 0;
	bool has_failed = true;
	uint64_t n = 1;
	quiet_log();
	begin(&w);
	for (; has_failed; n++) {
		struct hf_worker_teller *teller;
		struct hf_failure failure = {0};
		assert_true(n < ALLOCATION_COUNT_MAX);
		fail_alloc_arm(n, false);
		int r = hf_worker_teller_new(&teller, &w.node, &failure);
		struct counts before = counts_of(&w);
		bool is_told = r == HF_OK && wait_for_answer(&w, teller, before, 0, ROUND_MS);
		has_failed = fail_alloc_disarm();
		if (r < 0) {
			assert_int_equal(r, HF_ENOMEM);
			assert_true(failure.text[0]);
			failed_starts++;
			continue;
		}
		is_told = is_told || (!has_failed && wait_for_answer(&w, teller, before, 0, WHOLE_MS));
		assert_true(is_told || has_failed);
		if (!is_told) {
			assert_true(wait_for_answer(&w, teller, before, HOUR_US, WHOLE_MS));
			again++;
		}
		assert_int_equal(counts_of(&w).refused, 0); /* what was said holds: no half of an event, no wrong signature */
		hf_worker_teller_free(teller);
		for (int i = 0; i < 50; i++) {
			hf_loop_poll(w.f->loop, false);
			usleep(200);
		}
	}
	print_message("%llu allocations: %u starts refused, %u rounds made again\n", (unsigned long long)n - 2, failed_starts, again);
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_allocation_of_telling_fails_cleanly),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
