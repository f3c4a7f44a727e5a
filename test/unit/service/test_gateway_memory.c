/* What the parts of the front door do when there is no memory: they say so or do without, and lose and leak nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "service/gateway/dials.h"
#include "service/gateway/dispatcher.h"
#include "service/gateway/front_seen.h"
#include "service/gateway/limits.h"
#include "support/fail_alloc.h"

/* ---- The dispatcher ---- */

static size_t assigned_count, refused_count, reassigned_count;

static void on_assigned(void *context, void *owner, uint64_t job, const uint8_t peer[static 32]) { assigned_count++; }
static void on_refused(void *context, void *owner, uint64_t job, enum hf_dispatch_refusal refusal) { refused_count++; }
static void on_reassign(void *context, void *owner, uint64_t job, enum hf_dispatch_cause cause) { reassigned_count++; }
static void on_leave(void *context, const uint8_t peer[static 32], enum hf_dispatch_cause cause) {}

static const struct hf_dispatch_events events = {
	.assigned = on_assigned, .refused = on_refused, .reassign = on_reassign, .leave = on_leave};

/* Two peers with room for one job each, three jobs, an outcome, and a peer that goes. */
static int dispatch(struct hf_dispatcher **out)
{
	const struct hf_dispatcher_options options = {.size = sizeof options, .events = &events, .in_flight_max = 1, .seed = 1};
	uint8_t peers[2][32] = {{1}, {2}}, peer[32];
	uint64_t jobs[3] = {0};
	enum hf_dispatch_refusal refusal;
	int r = hf_dispatcher_new(out, &options);
	for (size_t i = 0; r == HF_OK && i < 2; i++)
		r = hf_dispatcher_add(*out, 1000, peers[i]);
	for (size_t i = 0; r >= HF_OK && i < 3; i++) {
		const struct hf_dispatch_request request = {.peers = peers, .peer_count = 2, .flow = 7};
		r = hf_dispatcher_schedule(*out, 2000, &request, &jobs[i], peer, &refusal);
		r = r == HF_EWAIT ? HF_OK : r;
	}
	if (r == HF_OK) {
		hf_dispatcher_outcome(*out, 3000, jobs[0], HF_DISPATCH_OK);
		hf_dispatcher_remove(*out, 4000, peers[1], HF_DISPATCH_GONE);
	}
	return r;
}

static void test_a_dispatcher_without_memory_refuses_and_goes_on(void **state)
{
	for (uint64_t n = 1;; n++) {
		struct hf_dispatcher *dispatcher = NULL;
		struct hf_dispatcher_stats stats;
		assigned_count = refused_count = reassigned_count = 0;
		fail_alloc_arm(n, false);
		int r = dispatch(&dispatcher);
		bool has_failed = fail_alloc_disarm();
		assert_true(r == HF_OK || r == HF_ENOMEM);
		if (dispatcher) {
			hf_dispatcher_stats(dispatcher, &stats);
			assert_true(stats.in_flight_count <= 2 && stats.waiting_count <= 1);
		}
		hf_dispatcher_free(dispatcher);
		if (!has_failed) {
			assert_int_equal(r, HF_OK);
			assert_int_equal(assigned_count, 1);
			break;
		}
	}
}

/* ---- Calls to peers ---- */

static size_t wanted_count;
static bool knows(void *context, const struct hf_registration *record) { return true; }
static bool is_here(void *context, const uint8_t peer[static 32]) { return false; }
static int want(void *context, const uint8_t peer[static 32]) { return (int)(wanted_count++ * 0); }
static void unwant(void *context, const uint8_t peer[static 32]) { wanted_count--; }

static void test_calls_that_there_was_no_memory_for_are_made_with_the_next_change(void **state)
{
	const struct hf_dials_options options = {.size = sizeof options, .knows = knows, .is_here = is_here, .want = want, .unwant = unwant};
	struct hf_registration_peer peers[3] = {{.key = {1}}, {.key = {2}}, {.key = {3}}};
	const struct hf_registration record = {.key = "relay", .principal = "secret", .peers = peers, .peer_count = 3};
	bool has_failed = true;
	for (uint64_t n = 1; has_failed; n++) {
		struct hf_dials *dials;
		wanted_count = 0;
		fail_alloc_arm(n, false);
		int r = hf_dials_new(&dials, &options);
		if (r == HF_OK)
			hf_dials_take(dials, &record);
		has_failed = fail_alloc_disarm();
		if (r < 0) {
			assert_int_equal(r, HF_ENOMEM);
			continue;
		}
		assert_true(wanted_count < 3 || !has_failed);
		hf_dials_take(dials, &record);
		assert_int_equal(wanted_count, 3);
		hf_dials_drop(dials, "relay");
		assert_int_equal(wanted_count, 0);
		hf_dials_free(dials);
	}
}

/* ---- What was delivered ---- */

static void test_what_cannot_be_noted_is_said_so_and_the_rest_is_known(void **state)
{
	uint8_t id[32] = {0};
	bool has_failed = true;
	for (uint64_t n = 1; has_failed; n++) {
		struct hf_front_seen seen = {0};
		size_t noted_count = 0;
		fail_alloc_arm(n, false);
		for (uint8_t i = 1; i <= 30; i++) {
			id[0] = i;
			int r = hf_front_seen_note(&seen, id, i, 1000000, 0);
			assert_true(r == HF_OK || r == HF_ENOMEM);
			noted_count += r == HF_OK;
		}
		has_failed = fail_alloc_disarm();
		assert_int_equal(noted_count, has_failed ? 29 : 30);
		assert_int_equal(seen.count, noted_count);
		assert_false(seen.has_forgotten);
		fail_alloc_arm(n % 2, false); /* without memory for the copy it is looked for in the list */
		hf_front_seen_check(&seen);
		fail_alloc_disarm();
		assert_true(hf_front_seen_knows(&seen, id));
		hf_front_seen_free(&seen);
	}
}

/* ---- Limits ---- */

static void test_nobody_is_held_up_where_there_is_no_memory_to_count(void **state)
{
	struct hf_limits_options options = {.size = sizeof options, .seed = 1};
	struct hf_limits *limits;
	options.per_minute[HF_LIMIT_KEY][HF_LIMIT_PUBLISH] = 1;
	assert_int_equal(hf_limits_new(&limits, &options), HF_OK);
	fail_alloc_arm_from(1, false);
	for (int i = 0; i < 3; i++)
		assert_int_equal(hf_limits_take(limits, 1000, HF_LIMIT_KEY, HF_LIMIT_PUBLISH, HF_SLICE_LITERAL("who"), NULL), HF_OK);
	assert_true(fail_alloc_disarm());
	hf_limits_free(limits);
	fail_alloc_arm(1, false);
	assert_int_equal(hf_limits_new(&limits, &options), HF_ENOMEM);
	fail_alloc_disarm();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_dispatcher_without_memory_refuses_and_goes_on),
		cmocka_unit_test(test_calls_that_there_was_no_memory_for_are_made_with_the_next_change),
		cmocka_unit_test(test_what_cannot_be_noted_is_said_so_and_the_rest_is_known),
		cmocka_unit_test(test_nobody_is_held_up_where_there_is_no_memory_to_count),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
