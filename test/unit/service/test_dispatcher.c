/* The dispatcher, its time handed in: who gets jobs, who waits, and what opens and closes a breaker. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "service/gateway/dispatcher.h"
#include "service/gateway/latency.h"

#define SECOND_US UINT64_C(1000000)

enum told_kind { TOLD_ASSIGNED, TOLD_REFUSED, TOLD_REASSIGN, TOLD_LEAVE };

struct told {
	enum told_kind kind;
	uint64_t job;
	int reason;
	uint8_t peer[32];
};

struct fixture {
	struct hf_dispatcher *d;
	uint64_t now_us;
	struct told told[256];
	size_t told_count;
	bool asks_again; /* a reassigned job is scheduled anew from within the callback */
	uint8_t peers[8][32];
};

static void note(struct fixture *f, enum told_kind kind, uint64_t job, int reason, const uint8_t *peer)
{
	assert_true(f->told_count < 256);
	struct told *told = &f->told[f->told_count++];
	*told = (struct told){.kind = kind, .job = job, .reason = reason};
	if (peer)
		memcpy(told->peer, peer, 32);
}

static void on_assigned(void *context, void *owner, uint64_t job, const uint8_t peer[static 32])
{
	note(context, TOLD_ASSIGNED, job, 0, peer);
}
static void on_refused(void *context, void *owner, uint64_t job, enum hf_dispatch_refusal refusal)
{
	note(context, TOLD_REFUSED, job, (int)refusal, NULL);
}
static void on_leave(void *context, const uint8_t peer[static 32], enum hf_dispatch_cause cause)
{
	note(context, TOLD_LEAVE, 0, (int)cause, peer);
}

static int ask(struct fixture *f, size_t peer_count, uint64_t flow, uint64_t *job, uint8_t peer[static 32], enum hf_dispatch_refusal *refusal)
{
	struct hf_dispatch_request request = {.peers = f->peers, .peer_count = peer_count, .flow = flow, .owner = f};
	return hf_dispatcher_schedule(f->d, f->now_us, &request, job, peer, refusal);
}

static void on_reassign(void *context, void *owner, uint64_t job, enum hf_dispatch_cause cause)
{
	struct fixture *f = context;
	uint64_t again;
	uint8_t peer[32];
	enum hf_dispatch_refusal refusal;
	note(f, TOLD_REASSIGN, job, (int)cause, NULL);
	if (f->asks_again)
		assert_int_equal(ask(f, 2, 0, &again, peer, &refusal), HF_OK);
}

static const struct hf_dispatch_events events = {
	.assigned = on_assigned, .refused = on_refused, .reassign = on_reassign, .leave = on_leave};

static struct fixture *open_fixture(size_t peer_count, struct hf_dispatcher_options options)
{
	struct fixture *f = calloc(1, sizeof *f);
	f->now_us = 5 * SECOND_US;
	options.size = sizeof options;
	options.events = &events;
	options.context = f;
	options.seed = 7;
	assert_int_equal(hf_dispatcher_new(&f->d, &options), HF_OK);
	for (size_t i = 0; i < 8; i++)
		f->peers[i][0] = (uint8_t)(i + 1);
	for (size_t i = 0; i < peer_count; i++)
		assert_int_equal(hf_dispatcher_add(f->d, f->now_us, f->peers[i]), HF_OK);
	return f;
}

static void close_fixture(struct fixture *f)
{
	hf_dispatcher_free(f->d);
	free(f);
}

/* Gives a job to somebody, who must take it. */
static uint64_t give(struct fixture *f, size_t peer_count, uint8_t peer[static 32])
{
	uint64_t job = 0;
	enum hf_dispatch_refusal refusal;
	assert_int_equal(ask(f, peer_count, 0, &job, peer, &refusal), HF_OK);
	return job;
}

/* A job that the first peer has for so long. */
static void work(struct fixture *f, size_t peer, uint64_t took_us, enum hf_dispatch_outcome outcome)
{
	struct hf_dispatch_request request = {.peers = &f->peers[peer], .peer_count = 1};
	uint64_t job;
	uint8_t who[32];
	enum hf_dispatch_refusal refusal;
	assert_int_equal(hf_dispatcher_schedule(f->d, f->now_us, &request, &job, who, &refusal), HF_OK);
	f->now_us += took_us;
	hf_dispatcher_outcome(f->d, f->now_us, job, outcome);
}

static struct hf_dispatch_facts facts_of(struct fixture *f, size_t peer)
{
	struct hf_dispatch_facts facts;
	for (size_t cursor = 0; hf_dispatcher_next_peer(f->d, f->now_us, &cursor, &facts);)
		if (memcmp(facts.peer, f->peers[peer], 32) == 0)
			return facts;
	fail_msg("peer %zu is not listed", peer);
	return facts;
}

/* ---- Choosing ---- */

static void test_the_faster_peer_gets_the_work(void **state)
{
	struct fixture *f = open_fixture(2, (struct hf_dispatcher_options){0});
	uint8_t peer[32];
	for (int i = 0; i < 10; i++) {
		work(f, 0, 200000, HF_DISPATCH_OK);
		work(f, 1, 5000, HF_DISPATCH_OK);
	}
	for (int i = 0; i < 20; i++) {
		uint64_t job = give(f, 2, peer);
		assert_memory_equal(peer, f->peers[1], 32);
		hf_dispatcher_outcome(f->d, f->now_us += 5000, job, HF_DISPATCH_OK);
	}
	close_fixture(f);
}

static void test_work_under_way_counts_against_a_peer(void **state)
{
	struct fixture *f = open_fixture(2, (struct hf_dispatcher_options){0});
	size_t counts[2] = {0};
	uint8_t peer[32];
	for (int i = 0; i < 20; i++) {
		give(f, 2, peer);
		counts[peer[0] - 1]++;
	}
	assert_int_equal(counts[0], 10);
	assert_int_equal(counts[1], 10);
	close_fixture(f);
}

static void test_a_peer_that_stopped_answering_is_avoided_before_anything_fails(void **state)
{
	struct fixture *f = open_fixture(2, (struct hf_dispatcher_options){0});
	uint8_t peer[32];
	work(f, 0, 1000, HF_DISPATCH_OK);
	work(f, 1, 30000, HF_DISPATCH_OK);
	give(f, 2, peer);
	assert_memory_equal(peer, f->peers[0], 32);
	f->now_us += 2 * SECOND_US; /* no answer */
	give(f, 2, peer);
	assert_memory_equal(peer, f->peers[1], 32);
	close_fixture(f);
}

static void test_claims_count_only_to_a_peers_disadvantage(void **state)
{
	struct fixture *f = open_fixture(2, (struct hf_dispatcher_options){0});
	uint8_t peer[32];
	for (int i = 0; i < 10; i++) {
		work(f, 0, 300000, HF_DISPATCH_OK);
		work(f, 1, 20000, HF_DISPATCH_OK);
	}
	/* The slow one says that it is the best there is. */
	hf_dispatcher_telemetry(f->d, f->now_us, f->peers[0], &(struct hf_dispatch_claims){.latency_us = 1});
	assert_true(facts_of(f, 0).view.latency_p50_us >= 300000);
	give(f, 2, peer);
	assert_memory_equal(peer, f->peers[1], 32);
	/* The fast one says that it is busy; it is believed, for a minute. */
	hf_dispatcher_telemetry(f->d, f->now_us, f->peers[1],
		&(struct hf_dispatch_claims){.latency_us = 900000, .in_flight = 20, .failure_permille = 4000, .lag_blocks = 3});
	struct hf_dispatch_facts facts = facts_of(f, 1);
	assert_int_equal(facts.view.latency_p50_us, 900000);
	assert_int_equal(facts.view.in_flight, 20);
	assert_int_equal(facts.view.failure_permille, 1000);
	assert_int_equal(facts.view.lag_blocks, 3);
	give(f, 2, peer);
	assert_memory_equal(peer, f->peers[0], 32);
	f->now_us += 61 * SECOND_US;
	assert_true(facts_of(f, 1).view.latency_p50_us < 100000);
	close_fixture(f);
}

static void test_a_replica_that_falls_behind_is_left_once(void **state)
{
	struct fixture *f = open_fixture(2, (struct hf_dispatcher_options){0});
	uint8_t peer[32];
	hf_dispatcher_lag(f->d, f->now_us, f->peers[0], 501);
	hf_dispatcher_lag(f->d, f->now_us, f->peers[0], 900);
	assert_int_equal(f->told_count, 1);
	assert_int_equal(f->told[0].kind, TOLD_LEAVE);
	assert_int_equal(f->told[0].reason, HF_DISPATCH_BEHIND);
	give(f, 2, peer);
	assert_memory_equal(peer, f->peers[1], 32);
	/* What it says itself does not bring it nearer. */
	hf_dispatcher_telemetry(f->d, f->now_us, f->peers[0], &(struct hf_dispatch_claims){.lag_blocks = 0});
	assert_int_equal(facts_of(f, 0).view.lag_blocks, 900);
	hf_dispatcher_lag(f->d, f->now_us, f->peers[0], 0);
	hf_dispatcher_lag(f->d, f->now_us, f->peers[0], 501);
	assert_int_equal(f->told_count, 2);
	close_fixture(f);
}

static uint64_t first_is_best(const void *context, const struct hf_dispatch_view *view)
{
	return view->in_flight;
}
static bool never(const void *context, const struct hf_dispatch_view *view)
{
	return false;
}
static uint64_t a_second(const void *context, uint32_t times)
{
	return SECOND_US;
}
static bool never_behind(const void *context, uint64_t lag)
{
	return false;
}

static void test_another_policy_decides(void **state)
{
	struct hf_dispatch_policy policy = {.score = first_is_best, .is_broken = never, .open_us = a_second, .is_too_far_behind = never_behind};
	struct fixture *f = open_fixture(1, (struct hf_dispatcher_options){.policy = &policy});
	for (int i = 0; i < 50; i++)
		work(f, 0, 1000, HF_DISPATCH_FAILED);
	hf_dispatcher_lag(f->d, f->now_us, f->peers[0], 1000000);
	assert_int_equal(facts_of(f, 0).breaker, HF_DISPATCH_CLOSED);
	assert_int_equal(f->told_count, 0);
	close_fixture(f);
}

/* ---- Bounds and queues ---- */

static void test_a_full_peer_makes_jobs_wait_in_their_order(void **state)
{
	struct fixture *f = open_fixture(1, (struct hf_dispatcher_options){.in_flight_max = 2});
	uint64_t jobs[5];
	uint8_t peer[32];
	enum hf_dispatch_refusal refusal;
	for (int i = 0; i < 5; i++)
		assert_int_equal(ask(f, 1, 0, &jobs[i], peer, &refusal), i < 2 ? HF_OK : HF_EWAIT);
	assert_int_equal(facts_of(f, 0).waiting_count, 3);
	hf_dispatcher_outcome(f->d, f->now_us, jobs[0], HF_DISPATCH_OK);
	hf_dispatcher_outcome(f->d, f->now_us, jobs[3], HF_DISPATCH_ABANDONED); /* while it waits */
	hf_dispatcher_outcome(f->d, f->now_us, jobs[1], HF_DISPATCH_FAILED);
	assert_int_equal(f->told_count, 2);
	assert_int_equal(f->told[0].job, jobs[2]);
	assert_int_equal(f->told[1].job, jobs[4]);
	hf_dispatcher_outcome(f->d, f->now_us, jobs[0], HF_DISPATCH_OK); /* known no more */
	assert_int_equal(facts_of(f, 0).view.in_flight, 2);
	close_fixture(f);
}

static void test_a_job_that_waits_goes_to_the_first_peer_with_room(void **state)
{
	struct fixture *f = open_fixture(3, (struct hf_dispatcher_options){.in_flight_max = 1});
	uint64_t jobs[3], late;
	uint8_t peers[3][32], peer[32];
	enum hf_dispatch_refusal refusal;
	for (int i = 0; i < 3; i++)
		jobs[i] = give(f, 3, peers[i]);
	assert_int_equal(ask(f, 3, 0, &late, peer, &refusal), HF_EWAIT);
	hf_dispatcher_outcome(f->d, f->now_us, jobs[1], HF_DISPATCH_OK);
	assert_int_equal(f->told_count, 1);
	assert_memory_equal(f->told[0].peer, peers[1], 32);
	for (int i = 0; i < 3; i += 2)
		hf_dispatcher_outcome(f->d, f->now_us, jobs[i], HF_DISPATCH_OK);
	assert_int_equal(f->told_count, 1);
	close_fixture(f);
}

static void test_a_heavy_job_is_not_passed_by_light_ones(void **state)
{
	struct fixture *f = open_fixture(1, (struct hf_dispatcher_options){.in_flight_max = 4});
	struct hf_dispatch_request heavy = {.peers = f->peers, .peer_count = 1, .weight = 100};
	uint64_t jobs[3], heavy_job, light;
	uint8_t peer[32];
	enum hf_dispatch_refusal refusal;
	for (int i = 0; i < 3; i++)
		jobs[i] = give(f, 1, peer);
	assert_int_equal(hf_dispatcher_schedule(f->d, f->now_us, &heavy, &heavy_job, peer, &refusal), HF_EWAIT);
	assert_int_equal(ask(f, 1, 0, &light, peer, &refusal), HF_EWAIT);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(f->told_count, 0);
		hf_dispatcher_outcome(f->d, f->now_us, jobs[i], HF_DISPATCH_OK);
	}
	assert_int_equal(f->told_count, 1);
	assert_int_equal(f->told[0].job, heavy_job);
	close_fixture(f);
}

static void test_a_job_that_waits_too_long_is_refused(void **state)
{
	struct fixture *f = open_fixture(1, (struct hf_dispatcher_options){.in_flight_max = 1, .wait_us = SECOND_US});
	uint64_t late;
	uint8_t peer[32];
	enum hf_dispatch_refusal refusal;
	give(f, 1, peer);
	assert_int_equal(ask(f, 1, 9, &late, peer, &refusal), HF_EWAIT);
	assert_int_equal(hf_dispatcher_deadline_us(f->d), f->now_us + SECOND_US);
	hf_dispatcher_tick(f->d, f->now_us + SECOND_US);
	assert_int_equal(f->told_count, 1);
	assert_int_equal(f->told[0].kind, TOLD_REFUSED);
	assert_int_equal(f->told[0].reason, HF_DISPATCH_EXPIRED);
	close_fixture(f);
}

static void test_queues_are_bounded_in_all_and_for_each_flow(void **state)
{
	struct fixture *f = open_fixture(1, (struct hf_dispatcher_options){.in_flight_max = 1, .waiting_max = 4, .waiting_per_flow_max = 2});
	uint64_t job, of_flow[2];
	uint8_t peer[32];
	enum hf_dispatch_refusal refusal;
	uint64_t first = give(f, 1, peer);
	assert_int_equal(ask(f, 1, 5, &of_flow[0], peer, &refusal), HF_EWAIT);
	assert_int_equal(ask(f, 1, 5, &of_flow[1], peer, &refusal), HF_EWAIT);
	assert_int_equal(ask(f, 1, 5, &job, peer, &refusal), HF_EBUSY);
	assert_int_equal(refusal, HF_DISPATCH_FLOW);
	assert_int_equal(ask(f, 1, 6, &job, peer, &refusal), HF_EWAIT);
	assert_int_equal(ask(f, 1, 0, &job, peer, &refusal), HF_EWAIT);
	assert_int_equal(ask(f, 1, 0, &job, peer, &refusal), HF_EBUSY);
	assert_int_equal(refusal, HF_DISPATCH_SATURATED);
	hf_dispatcher_outcome(f->d, f->now_us, first, HF_DISPATCH_OK);
	assert_int_equal(ask(f, 1, 5, &job, peer, &refusal), HF_EWAIT); /* one of the flow has gone through */
	struct hf_dispatcher_stats stats;
	hf_dispatcher_stats(f->d, &stats);
	assert_int_equal(stats.waiting_count, 4);
	assert_int_equal(stats.in_flight_count, 1);
	assert_int_equal(stats.refusals[HF_DISPATCH_FLOW], 1);
	assert_int_equal(stats.refusals[HF_DISPATCH_SATURATED], 1);
	close_fixture(f);
}

static void test_without_peers_there_is_a_name_for_it(void **state)
{
	struct fixture *f = open_fixture(1, (struct hf_dispatcher_options){.peer_count_max = 2});
	uint64_t job;
	uint8_t peer[32];
	enum hf_dispatch_refusal refusal;
	assert_int_equal(ask(f, 0, 0, &job, peer, &refusal), HF_ENOTFOUND);
	hf_dispatcher_remove(f->d, f->now_us, f->peers[0], HF_DISPATCH_GONE);
	assert_int_equal(ask(f, 8, 0, &job, peer, &refusal), HF_ENOTFOUND);
	assert_string_equal(hf_dispatch_refusal_name(refusal), "no-peers");
	assert_int_equal(hf_dispatcher_add(f->d, f->now_us, f->peers[1]), HF_OK);
	assert_int_equal(hf_dispatcher_add(f->d, f->now_us, f->peers[1]), HF_EEXISTS);
	assert_int_equal(hf_dispatcher_add(f->d, f->now_us, f->peers[2]), HF_OK);
	assert_int_equal(hf_dispatcher_add(f->d, f->now_us, f->peers[3]), HF_ETOOBIG);
	close_fixture(f);
}

/* ---- Peers that go ---- */

static void test_jobs_of_a_peer_that_goes_are_given_away_again(void **state)
{
	struct fixture *f = open_fixture(2, (struct hf_dispatcher_options){.in_flight_max = 8});
	uint8_t peer[32];
	for (int i = 0; i < 6; i++)
		give(f, 2, peer);
	f->asks_again = true;
	hf_dispatcher_remove(f->d, f->now_us, f->peers[0], HF_DISPATCH_REVOKED);
	assert_int_equal(f->told_count, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(f->told[i].kind, TOLD_REASSIGN);
		assert_int_equal(f->told[i].reason, HF_DISPATCH_REVOKED);
	}
	assert_int_equal(facts_of(f, 1).view.in_flight, 6);
	close_fixture(f);
}

static void test_who_waited_for_a_peer_alone_is_refused_when_it_goes(void **state)
{
	struct fixture *f = open_fixture(2, (struct hf_dispatcher_options){.in_flight_max = 1});
	uint64_t alone, both;
	uint8_t peer[32];
	enum hf_dispatch_refusal refusal;
	give(f, 2, peer);
	give(f, 2, peer);
	assert_int_equal(ask(f, 1, 0, &alone, peer, &refusal), HF_EWAIT);
	assert_int_equal(ask(f, 2, 0, &both, peer, &refusal), HF_EWAIT);
	hf_dispatcher_remove(f->d, f->now_us, f->peers[0], HF_DISPATCH_GONE);
	assert_int_equal(f->told_count, 2);
	assert_int_equal(f->told[0].kind, TOLD_REFUSED);
	assert_int_equal(f->told[0].job, alone);
	assert_int_equal(f->told[0].reason, HF_DISPATCH_NO_PEERS);
	assert_int_equal(f->told[1].kind, TOLD_REASSIGN);
	assert_int_equal(facts_of(f, 1).waiting_count, 1);
	close_fixture(f);
}

static void test_a_drained_peer_gets_nothing_new_and_finishes_what_it_has(void **state)
{
	struct fixture *f = open_fixture(2, (struct hf_dispatcher_options){0});
	struct hf_dispatch_request request = {.peers = f->peers, .peer_count = 1};
	uint64_t job;
	uint8_t peer[32];
	enum hf_dispatch_refusal refusal;
	assert_int_equal(hf_dispatcher_schedule(f->d, f->now_us, &request, &job, peer, &refusal), HF_OK);
	hf_dispatcher_drain(f->d, f->now_us, f->peers[0], true);
	assert_int_equal(f->told_count, 1);
	assert_int_equal(f->told[0].kind, TOLD_LEAVE);
	for (int i = 0; i < 5; i++) {
		give(f, 2, peer);
		assert_memory_equal(peer, f->peers[1], 32);
	}
	assert_int_equal(facts_of(f, 0).view.in_flight, 1);
	hf_dispatcher_drain(f->d, f->now_us, f->peers[0], false);
	give(f, 2, peer);
	assert_memory_equal(peer, f->peers[0], 32);
	close_fixture(f);
}

/* ---- Breakers ---- */

static void test_failures_in_a_row_open_the_breaker_and_only_a_success_closes_it(void **state)
{
	struct fixture *f = open_fixture(1, (struct hf_dispatcher_options){0});
	uint64_t job, other;
	uint8_t peer[32];
	enum hf_dispatch_refusal refusal;
	for (int i = 0; i < 5; i++)
		work(f, 0, 1000, HF_DISPATCH_FAILED);
	assert_int_equal(facts_of(f, 0).breaker, HF_DISPATCH_OPEN);
	assert_int_equal(f->told[f->told_count - 1].kind, TOLD_LEAVE);
	assert_int_equal(ask(f, 1, 0, &job, peer, &refusal), HF_EDENIED);
	assert_int_equal(refusal, HF_DISPATCH_BROKEN);
	/* Telemetry does not close it. */
	hf_dispatcher_telemetry(f->d, f->now_us, f->peers[0], &(struct hf_dispatch_claims){0});
	assert_int_equal(facts_of(f, 0).breaker, HF_DISPATCH_OPEN);
	f->now_us = facts_of(f, 0).retry_us;
	assert_int_equal(ask(f, 1, 0, &job, peer, &refusal), HF_OK);
	assert_int_equal(facts_of(f, 0).breaker, HF_DISPATCH_HALF_OPEN);
	assert_int_equal(ask(f, 1, 0, &other, peer, &refusal), HF_EDENIED); /* one at a time */
	hf_dispatcher_outcome(f->d, f->now_us, job, HF_DISPATCH_OK);
	assert_int_equal(facts_of(f, 0).breaker, HF_DISPATCH_CLOSED);
	close_fixture(f);
}

static void test_a_probe_that_fails_opens_the_breaker_for_longer(void **state)
{
	struct fixture *f = open_fixture(1, (struct hf_dispatcher_options){0});
	uint64_t spans[4];
	for (int i = 0; i < 5; i++)
		work(f, 0, 1000, HF_DISPATCH_FAILED);
	for (int i = 0; i < 4; i++) {
		spans[i] = facts_of(f, 0).retry_us - f->now_us;
		f->now_us = facts_of(f, 0).retry_us;
		work(f, 0, 0, HF_DISPATCH_FAILED);
	}
	for (int i = 0; i < 4; i++) {
		uint64_t middle = (10 * SECOND_US) << i;
		assert_in_range(spans[i], middle - middle / 8, middle + middle / 8);
	}
	close_fixture(f);
}

static void test_a_probe_goes_before_better_peers_and_is_short(void **state)
{
	struct fixture *f = open_fixture(2, (struct hf_dispatcher_options){0});
	uint8_t peer[32];
	for (int i = 0; i < 5; i++)
		work(f, 0, 1000, HF_DISPATCH_FAILED);
	work(f, 1, 1000, HF_DISPATCH_OK);
	f->now_us = facts_of(f, 0).retry_us;
	size_t before = f->told_count;
	give(f, 2, peer);
	assert_memory_equal(peer, f->peers[0], 32);
	give(f, 2, peer);
	assert_memory_equal(peer, f->peers[1], 32);
	assert_int_equal(hf_dispatcher_deadline_us(f->d), f->now_us + 2 * SECOND_US);
	hf_dispatcher_tick(f->d, f->now_us += 2 * SECOND_US);
	assert_int_equal(f->told[before].kind, TOLD_REASSIGN);
	assert_int_equal(f->told[before].reason, HF_DISPATCH_OVERDUE);
	assert_int_equal(facts_of(f, 0).breaker, HF_DISPATCH_OPEN);
	close_fixture(f);
}

static void test_a_high_rate_of_failures_opens_the_breaker_too(void **state)
{
	struct fixture *f = open_fixture(1, (struct hf_dispatcher_options){0});
	for (int i = 0; i < 40 && facts_of(f, 0).breaker == HF_DISPATCH_CLOSED; i++)
		work(f, 0, 1000, i % 4 == 3 ? HF_DISPATCH_OK : HF_DISPATCH_FAILED);
	assert_int_equal(facts_of(f, 0).breaker, HF_DISPATCH_OPEN);
	close_fixture(f);
}

static void test_an_opening_breaker_gives_away_what_is_under_way(void **state)
{
	struct fixture *f = open_fixture(1, (struct hf_dispatcher_options){.run_us = SECOND_US});
	uint8_t peer[32];
	for (int i = 0; i < 5; i++)
		give(f, 1, peer);
	f->now_us += SECOND_US / 2;
	for (int i = 0; i < 3; i++)
		give(f, 1, peer);
	hf_dispatcher_tick(f->d, f->now_us += SECOND_US / 2);
	size_t overdue = 0, opened = 0;
	for (size_t i = 0; i < f->told_count; i++) {
		overdue += f->told[i].kind == TOLD_REASSIGN && f->told[i].reason == HF_DISPATCH_OVERDUE;
		opened += f->told[i].kind == TOLD_REASSIGN && f->told[i].reason == HF_DISPATCH_OPENED;
	}
	assert_int_equal(overdue, 5);
	assert_int_equal(opened, 3);
	assert_int_equal(facts_of(f, 0).view.in_flight, 0);
	close_fixture(f);
}

static void test_leaving_and_coming_back_does_not_close_a_breaker(void **state)
{
	struct fixture *f = open_fixture(1, (struct hf_dispatcher_options){0});
	for (int i = 0; i < 5; i++)
		hf_dispatcher_blame(f->d, f->now_us, f->peers[0]);
	hf_dispatcher_remove(f->d, f->now_us, f->peers[0], HF_DISPATCH_GONE);
	assert_int_equal(hf_dispatcher_add(f->d, f->now_us, f->peers[0]), HF_OK);
	assert_int_equal(facts_of(f, 0).breaker, HF_DISPATCH_OPEN);
	/* After ten minutes it is a stranger. */
	hf_dispatcher_remove(f->d, f->now_us, f->peers[0], HF_DISPATCH_GONE);
	hf_dispatcher_tick(f->d, f->now_us += 601 * SECOND_US);
	assert_int_equal(hf_dispatcher_add(f->d, f->now_us, f->peers[0]), HF_OK);
	assert_int_equal(facts_of(f, 0).breaker, HF_DISPATCH_CLOSED);
	close_fixture(f);
}

/* ---- Percentiles ---- */

static void test_percentiles_are_right_to_a_fifth_and_fade(void **state)
{
	struct hf_latency latency = {0};
	for (uint64_t i = 1; i <= 1000; i++)
		hf_latency_record(&latency, 0, i * 100);
	assert_int_equal(hf_latency_count(&latency), 1000);
	assert_in_range(hf_latency_percentile_us(&latency, 50), 50000, 60000);
	assert_in_range(hf_latency_percentile_us(&latency, 95), 95000, 114000);
	/* Fast ones that come now outweigh slow ones of a minute ago. */
	for (int i = 0; i < 100; i++)
		hf_latency_record(&latency, 60 * SECOND_US, 1000);
	assert_in_range(hf_latency_percentile_us(&latency, 50), 1000, 1250);
	hf_latency_fade(&latency, 400 * SECOND_US);
	assert_int_equal(hf_latency_count(&latency), 0);
	assert_int_equal(hf_latency_percentile_us(&latency, 50), 0);
	hf_latency_record(&latency, 400 * SECOND_US, UINT64_MAX);
	hf_latency_record(&latency, 400 * SECOND_US, 0);
	assert_int_equal(hf_latency_percentile_us(&latency, 1), 64);
	assert_true(hf_latency_percentile_us(&latency, 99) > 60 * SECOND_US);
	for (int i = 0; i < 100000; i++)
		hf_latency_record(&latency, 400 * SECOND_US, 500); /* does not overflow */
	assert_in_range(hf_latency_percentile_us(&latency, 50), 500, 512);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_faster_peer_gets_the_work),
		cmocka_unit_test(test_work_under_way_counts_against_a_peer),
		cmocka_unit_test(test_a_peer_that_stopped_answering_is_avoided_before_anything_fails),
		cmocka_unit_test(test_claims_count_only_to_a_peers_disadvantage),
		cmocka_unit_test(test_a_replica_that_falls_behind_is_left_once),
		cmocka_unit_test(test_another_policy_decides),
		cmocka_unit_test(test_a_full_peer_makes_jobs_wait_in_their_order),
		cmocka_unit_test(test_a_job_that_waits_goes_to_the_first_peer_with_room),
		cmocka_unit_test(test_a_heavy_job_is_not_passed_by_light_ones),
		cmocka_unit_test(test_a_job_that_waits_too_long_is_refused),
		cmocka_unit_test(test_queues_are_bounded_in_all_and_for_each_flow),
		cmocka_unit_test(test_without_peers_there_is_a_name_for_it),
		cmocka_unit_test(test_jobs_of_a_peer_that_goes_are_given_away_again),
		cmocka_unit_test(test_who_waited_for_a_peer_alone_is_refused_when_it_goes),
		cmocka_unit_test(test_a_drained_peer_gets_nothing_new_and_finishes_what_it_has),
		cmocka_unit_test(test_failures_in_a_row_open_the_breaker_and_only_a_success_closes_it),
		cmocka_unit_test(test_a_probe_that_fails_opens_the_breaker_for_longer),
		cmocka_unit_test(test_a_probe_goes_before_better_peers_and_is_short),
		cmocka_unit_test(test_a_high_rate_of_failures_opens_the_breaker_too),
		cmocka_unit_test(test_an_opening_breaker_gives_away_what_is_under_way),
		cmocka_unit_test(test_leaving_and_coming_back_does_not_close_a_breaker),
		cmocka_unit_test(test_percentiles_are_right_to_a_fifth_and_fade),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
