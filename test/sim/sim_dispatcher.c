/* A dispatcher among thousands of peers in virtual time: some slow, some that lie about it, some that fail or stop answering, spikes of
 * latency, and peers that come and go. All follows from a seed; a hash over what was given to whom, and when, shows that two runs were
 * the same. Usage: sim_dispatcher [PEERS [SEED]] */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/timers.h"
#include "base/list.h"
#include "service/gateway/dispatcher.h"

#define SECOND_US UINT64_C(1000000)
#define RUN_US (120 * SECOND_US)
#define WARM_US (20 * SECOND_US)       /* what is counted begins here */
#define IN_FLIGHT_MAX 3
#define CANDIDATES 8                   /* peers that have a relay */
#define FLOWS 500
#define TRIES_MAX 6
#define LATENCIES_MAX 4000000

enum kind { FAST, SLOW, LIAR, FAILING, STALLING, KIND_COUNT };
static const char *const kind_names[] = {"fast", "slow", "liar", "failing", "stalling"};

struct world;

struct sim_peer {
	uint8_t key[32];
	enum kind kind;
	uint64_t base_us, spike_until_us;
	uint32_t busy;
	bool is_here;
};

/* A thing that happens: a job arrives or is answered, or a peer comes, goes, spikes or tells of itself. */
struct happening {
	struct hf_timer timer;
	struct world *world;
	void (*run)(struct happening *h);
	uint64_t job; /* the dispatcher's */
	size_t peer, relay;
	uint64_t begun_us;
	uint64_t flow;
	uint32_t tries;
	struct happening *next, *previous;
};

struct counts {
	uint64_t arrived, answered, refused, waited;
	uint64_t given[KIND_COUNT];
};

struct world {
	struct hf_dispatcher *dispatcher;
	struct hf_timers timers;
	struct happening *happenings;
	uint64_t now_us, random, trace;
	struct sim_peer *peers;
	size_t peer_count, relay_count;
	size_t (*relays)[CANDIDATES];
	struct hf_map by_key;
	uint64_t interval_us;
	struct counts counts;
	uint32_t *latencies; /* of answered jobs, in tens of microseconds */
	size_t latency_count;
	uint64_t *flow_answered;
	uint64_t longest_us;
	uint64_t open_jobs;
};

static uint64_t draw(struct world *w)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return w->random;
}

static void trace(struct world *w, uint64_t a, uint64_t b)
{
	uint64_t values[4] = {w->trace, w->now_us, a, b};
	w->trace = hf_hash64(values, sizeof values, 1);
}

static void fire(struct hf_timer *timer)
{
	struct happening *h = HF_CONTAINER_OF(timer, struct happening, timer);
	h->world->now_us = timer->deadline_us;
	h->run(h);
}

static struct happening *happen(struct world *w, uint64_t delay_us, void (*run)(struct happening *h))
{
	struct happening *h = calloc(1, sizeof *h);
	if (!h)
		abort();
	h->world = w;
	h->run = run;
	h->timer.fire = fire;
	if (hf_timer_set(&w->timers, &h->timer, w->now_us + delay_us) < 0)
		abort();
	HF_LIST_PUSH(w->happenings, h);
	return h;
}

static void is_over(struct happening *h)
{
	hf_timer_cancel(&h->world->timers, &h->timer);
	HF_LIST_REMOVE(h->world->happenings, h);
	free(h);
}

/* ---- Jobs ---- */

static void ask(struct happening *job);

static void finish(struct happening *job)
{
	struct world *w = job->world;
	uint64_t took_us = w->now_us - job->begun_us;
	w->open_jobs--;
	if (job->begun_us >= WARM_US) {
		w->counts.answered++;
		w->flow_answered[job->flow]++;
		if (w->latency_count < LATENCIES_MAX)
			w->latencies[w->latency_count++] = (uint32_t)(took_us / 10);
		if (took_us > w->longest_us)
			w->longest_us = took_us;
	}
	is_over(job);
}

static void give_up(struct happening *job)
{
	struct world *w = job->world;
	w->open_jobs--;
	if (job->begun_us >= WARM_US)
		w->counts.refused++;
	is_over(job);
}

/* The peer answers, well or not. */
static void answered(struct happening *job)
{
	struct world *w = job->world;
	struct sim_peer *p = &w->peers[job->peer];
	bool is_bad = p->kind == FAILING && draw(w) % 100 < 70;
	uint64_t number = job->job;
	p->busy--;
	trace(w, number, is_bad);
	job->job = 0;
	hf_dispatcher_outcome(w->dispatcher, w->now_us, number, is_bad ? HF_DISPATCH_FAILED : HF_DISPATCH_OK);
	if (is_bad)
		ask(job);
	else
		finish(job);
}

static uint64_t service_us(struct world *w, struct sim_peer *p)
{
	uint64_t us = p->base_us / 2 + draw(w) % p->base_us + p->busy * p->base_us / 8;
	if (w->now_us < p->spike_until_us)
		us += SECOND_US + draw(w) % SECOND_US;
	return us;
}

static size_t peer_by_key(struct world *w, const uint8_t key[static 32])
{
	struct sim_peer *p = hf_map_get(&w->by_key, hf_slice(key, 32));
	return (size_t)(p - w->peers);
}

static void begin(struct happening *job, size_t peer)
{
	struct world *w = job->world;
	struct sim_peer *p = &w->peers[peer];
	job->peer = peer;
	p->busy++;
	trace(w, job->job, peer);
	if (job->begun_us >= WARM_US)
		w->counts.given[p->kind]++;
	bool is_lost = p->kind == STALLING && draw(w) % 100 < 50;
	job->run = answered;
	if (!is_lost)
		hf_timer_set(&w->timers, &job->timer, w->now_us + service_us(w, p));
}

static void ask(struct happening *job)
{
	struct world *w = job->world;
	uint8_t keys[CANDIDATES][32], peer[32];
	size_t count = 0;
	enum hf_dispatch_refusal refusal;
	for (size_t i = 0; i < CANDIDATES; i++)
		if (w->peers[w->relays[job->relay][i]].is_here)
			memcpy(keys[count++], w->peers[w->relays[job->relay][i]].key, 32);
	struct hf_dispatch_request request = {.peers = keys, .peer_count = count, .flow = job->flow + 1, .owner = job};
	int r = ++job->tries > TRIES_MAX ? HF_EDENIED
		: hf_dispatcher_schedule(w->dispatcher, w->now_us, &request, &job->job, peer, &refusal);
	if (r == HF_OK)
		begin(job, peer_by_key(w, peer));
	else if (r == HF_EWAIT)
		w->counts.waited++;
	else
		give_up(job);
}

static void on_assigned(void *context, void *owner, uint64_t number, const uint8_t peer[static 32])
{
	begin(owner, peer_by_key(context, peer));
}

static void on_refused(void *context, void *owner, uint64_t number, enum hf_dispatch_refusal refusal)
{
	give_up(owner);
}

static void on_reassign(void *context, void *owner, uint64_t number, enum hf_dispatch_cause cause)
{
	struct world *w = context;
	struct happening *job = owner;
	hf_timer_cancel(&w->timers, &job->timer);
	w->peers[job->peer].busy--;
	trace(w, number, cause);
	ask(job);
}

static void on_leave(void *context, const uint8_t peer[static 32], enum hf_dispatch_cause cause)
{
	trace(context, peer_by_key(context, peer), 1000 + cause);
}

static const struct hf_dispatch_events events = {
	.assigned = on_assigned, .refused = on_refused, .reassign = on_reassign, .leave = on_leave};

static void arrive(struct happening *h)
{
	struct world *w = h->world;
	hf_timer_set(&w->timers, &h->timer, w->now_us + 1 + draw(w) % (2 * w->interval_us));
	struct happening *job = happen(w, RUN_US * 2, answered);
	hf_timer_cancel(&w->timers, &job->timer);
	job->relay = draw(w) % w->relay_count;
	/* One flow asks as much as a hundred others. */
	job->flow = draw(w) % 6 == 0 ? 0 : 1 + draw(w) % (FLOWS - 1);
	job->begun_us = w->now_us;
	if (w->now_us >= WARM_US)
		w->counts.arrived++;
	w->open_jobs++;
	ask(job);
}

/* ---- Peers ---- */

static void tell(struct happening *h)
{
	struct world *w = h->world;
	struct sim_peer *p = &w->peers[h->peer];
	/* Telemetry is late, too. */
	hf_timer_set(&w->timers, &h->timer, w->now_us + 10 * SECOND_US + draw(w) % (10 * SECOND_US));
	struct hf_dispatch_claims claims = {.latency_us = p->base_us, .in_flight = p->busy};
	if (p->kind == LIAR)
		claims = (struct hf_dispatch_claims){.latency_us = 1};
	hf_dispatcher_telemetry(w->dispatcher, w->now_us, p->key, &claims);
}

static void spike(struct happening *h)
{
	struct world *w = h->world;
	w->peers[draw(w) % w->peer_count].spike_until_us = w->now_us + 5 * SECOND_US;
	hf_timer_set(&w->timers, &h->timer, w->now_us + 1 + draw(w) % (200 * SECOND_US / w->peer_count));
}

/* Every peer goes once in five minutes or so, for a while. */
static void come_or_go(struct happening *h)
{
	struct world *w = h->world;
	struct sim_peer *p = &w->peers[h->peer];
	p->is_here = !p->is_here;
	hf_timer_set(&w->timers, &h->timer, w->now_us + (p->is_here ? draw(w) % (600 * SECOND_US) : draw(w) % (20 * SECOND_US)));
	if (p->is_here)
		hf_dispatcher_add(w->dispatcher, w->now_us, p->key);
	else
		hf_dispatcher_remove(w->dispatcher, w->now_us, p->key, HF_DISPATCH_GONE);
}

static void make_peer(struct world *w, size_t index)
{
	struct sim_peer *p = &w->peers[index];
	for (size_t i = 0; i < 32; i++)
		p->key[i] = (uint8_t)draw(w);
	unsigned lot = (unsigned)(draw(w) % 100);
	p->kind = lot < 60 ? FAST : lot < 75 ? SLOW : lot < 85 ? LIAR : lot < 93 ? FAILING : STALLING;
	p->base_us = p->kind == SLOW || p->kind == LIAR ? 300000 + draw(w) % 300000 : 5000 + draw(w) % 20000;
	p->is_here = true;
	hf_map_put(&w->by_key, hf_slice(p->key, 32), p, NULL);
	hf_dispatcher_add(w->dispatcher, 0, p->key);
	happen(w, draw(w) % (20 * SECOND_US), tell)->peer = index;
	happen(w, draw(w) % (600 * SECOND_US), come_or_go)->peer = index;
}

static void make_world(struct world *w, size_t peer_count, uint64_t seed)
{
	*w = (struct world){.random = seed * UINT64_C(0x9e3779b97f4a7c15) | 1, .peer_count = peer_count, .relay_count = peer_count};
	struct hf_dispatcher_options options = {.size = sizeof options, .events = &events, .context = w, .seed = seed,
		.peer_count_max = (uint32_t)peer_count, .in_flight_max = IN_FLIGHT_MAX};
	w->interval_us = SECOND_US / 10 / peer_count + 1; /* ten jobs a second for each peer */
	w->peers = calloc(peer_count, sizeof *w->peers);
	w->relays = calloc(w->relay_count, sizeof *w->relays);
	w->latencies = malloc(LATENCIES_MAX * sizeof *w->latencies);
	w->flow_answered = calloc(FLOWS, sizeof *w->flow_answered);
	if (!w->peers || !w->relays || !w->latencies || !w->flow_answered || hf_dispatcher_new(&w->dispatcher, &options) < 0)
		abort();
	hf_map_init(&w->by_key, 1);
	for (size_t i = 0; i < peer_count; i++)
		make_peer(w, i);
	for (size_t i = 0; i < w->relay_count; i++)
		for (size_t k = 0; k < CANDIDATES; k++)
			w->relays[i][k] = draw(w) % peer_count;
	happen(w, 1, arrive);
	happen(w, 1, spike);
}

static void run(struct world *w)
{
	while (w->now_us < RUN_US) {
		uint64_t mine = hf_timers_next_us(&w->timers), theirs = hf_dispatcher_deadline_us(w->dispatcher);
		if (theirs < mine) {
			w->now_us = theirs;
			hf_dispatcher_tick(w->dispatcher, theirs);
		} else {
			hf_timers_run(&w->timers, mine);
		}
	}
}

static void free_world(struct world *w)
{
	while (w->happenings)
		is_over(w->happenings);
	hf_dispatcher_free(w->dispatcher);
	hf_map_free(&w->by_key);
	hf_timers_free(&w->timers);
	free(w->peers);
	free(w->relays);
	free(w->latencies);
	free(w->flow_answered);
}

/* ---- What must hold ---- */

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

static double percentile_ms(struct world *w, double part)
{
	return w->latency_count ? w->latencies[(size_t)(part * (double)(w->latency_count - 1))] / 100.0 : 0;
}

static bool check(bool holds, const char *what, double value, double bound)
{
	printf("  %-58s %10.4g (bound %g)%s\n", what, value, bound, holds ? "" : "  FAILS");
	return holds;
}

static bool report(struct world *w)
{
	const struct counts *c = &w->counts;
	size_t population[KIND_COUNT] = {0};
	uint64_t given = 0, least = UINT64_MAX;
	for (size_t i = 0; i < w->peer_count; i++)
		population[w->peers[i].kind]++;
	for (size_t i = 0; i < KIND_COUNT; i++)
		given += c->given[i];
	for (size_t i = 1; i < FLOWS; i++)
		least = w->flow_answered[i] < least ? w->flow_answered[i] : least;
	for (size_t i = 0; i < KIND_COUNT; i++)
		printf("  %-10s %6zu peers, %6.2f %% of the work\n", kind_names[i], population[i], 100.0 * (double)c->given[i] / (double)given);
	qsort(w->latencies, w->latency_count, sizeof *w->latencies, compare);
	printf("  jobs %" PRIu64 ", waited %" PRIu64 ", refused %" PRIu64 ", p50 %.1f ms, p99 %.1f ms, longest %.1f ms\n", c->arrived, c->waited,
		c->refused, percentile_ms(w, 0.5), percentile_ms(w, 0.99), (double)w->longest_us / 1000.0);
	double share_slow = (double)c->given[SLOW] / (double)given, share_liar = (double)c->given[LIAR] / (double)given;
	double share_bad = (double)(c->given[FAILING] + c->given[STALLING]) / (double)given;
	double mean = (double)(c->answered - w->flow_answered[0]) / (FLOWS - 1);
	bool ok = check(share_slow < 0.01, "slow peers (15 %) get little of the work", share_slow, 0.01);
	ok &= check(share_liar < 0.01, "slow peers that claim to be fast (10 %) get no more", share_liar, 0.01);
	ok &= check(share_bad < 0.01, "failing and stalling peers (15 %) get little", share_bad, 0.01);
	ok &= check(c->given[SLOW] > 0 && c->given[LIAR] > 0, "but slow ones are tried again", (double)c->given[SLOW], 1);
	ok &= check((double)c->refused < 0.001 * (double)c->arrived, "refused of all", (double)c->refused / (double)c->arrived, 0.001);
	ok &= check((double)least > 0.75 * mean, "the flow that got least, of the mean", (double)least / mean, 0.75);
	ok &= check(percentile_ms(w, 0.5) < 30, "p50, ms", percentile_ms(w, 0.5), 30);
	ok &= check(percentile_ms(w, 0.99) < 100, "p99, ms", percentile_ms(w, 0.99), 100);
	/* Nothing is forgotten: a job ends within its tries, each of which ends by a deadline. */
	ok &= check(w->longest_us < TRIES_MAX * 20 * SECOND_US, "longest, s", (double)w->longest_us / 1e6, TRIES_MAX * 20);
	struct hf_dispatcher_stats stats;
	hf_dispatcher_stats(w->dispatcher, &stats);
	uint64_t known = stats.in_flight_count + stats.waiting_count;
	ok &= check(known == w->open_jobs, "jobs that the dispatcher knows of those open", (double)known, (double)w->open_jobs);
	return ok;
}

int main(int argc, char **argv)
{
	size_t peer_count = argc > 1 ? (size_t)atoi(argv[1]) : 2000;
	uint64_t seed = argc > 2 ? (uint64_t)atoll(argv[2]) : 1, traces[2];
	bool ok = true;
	for (int i = 0; i < 2; i++) {
		struct world w;
		make_world(&w, peer_count, seed);
		run(&w);
		traces[i] = w.trace;
		if (i == 0) {
			printf("%zu peers, %d s, seed %" PRIu64 ", trace %016" PRIx64 "\n", peer_count, (int)(RUN_US / SECOND_US), seed, w.trace);
			ok = report(&w);
		}
		free_world(&w);
	}
	if (traces[0] != traces[1]) {
		printf("  the same seed gave another run: %016" PRIx64 "\n", traces[1]);
		ok = false;
	}
	return ok ? 0 : 1;
}
