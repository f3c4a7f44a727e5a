/* What is known of a peer stays for a while when it leaves, so that leaving and coming back does not close a breaker. */
#include <stdlib.h>

#include "service/gateway/dispatcher_private.h"

/* Half of what is counted is gone after this long. */
#define FADE_US HF_LATENCY_HALF_LIFE_US
#define COUNT_MAX 65536u
/* As many successes are taken for granted, so that one failure is not a rate. */
#define GRANTED_COUNT 8u

uint64_t hf_dispatch_random(struct hf_dispatcher *d)
{
	d->random += UINT64_C(0x9e3779b97f4a7c15);
	uint64_t z = d->random;
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static struct hf_dispatch_peer *find_any(const struct hf_dispatcher *d, const uint8_t key[static 32])
{
	return hf_map_get(&d->peers, hf_slice(key, 32));
}

struct hf_dispatch_peer *hf_dispatch_find(const struct hf_dispatcher *d, const uint8_t key[static 32])
{
	struct hf_dispatch_peer *peer = find_any(d, key);
	return peer && peer->is_here ? peer : NULL;
}

/* ---- What was measured, and what is claimed ---- */

static void fade(struct hf_dispatcher *d, struct hf_dispatch_peer *peer)
{
	hf_latency_fade(&peer->latency, d->now_us);
	uint64_t times = d->now_us > peer->faded_us ? (d->now_us - peer->faded_us) / FADE_US : 0;
	peer->faded_us += times * FADE_US;
	peer->fine = times < 32 ? peer->fine >> times : 0;
	peer->failed = times < 32 ? peer->failed >> times : 0;
}

static uint32_t larger_u32(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static uint64_t larger_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

void hf_dispatch_look(struct hf_dispatcher *d, struct hf_dispatch_peer *peer, struct hf_dispatch_view *view)
{
	fade(d, peer);
	*view = (struct hf_dispatch_view){
		.latency_p50_us = hf_latency_percentile_us(&peer->latency, 50),
		.latency_p95_us = hf_latency_percentile_us(&peer->latency, 95),
		.sample_count = hf_latency_count(&peer->latency),
		.waiting_us = peer->running ? d->now_us - peer->running->started_us : 0,
		.in_flight = peer->in_flight,
		.in_flight_max = d->options.in_flight_max,
		.session_count = peer->session_count,
		.failure_permille = (uint32_t)((uint64_t)peer->failed * 1000 / (peer->failed + peer->fine + GRANTED_COUNT * HF_LATENCY_ONE)),
		.failures_in_a_row = peer->failures_in_a_row,
		.lag_blocks = peer->lag_blocks,
	};
	if (peer->claimed_us == 0 || d->now_us - peer->claimed_us > d->options.claim_us)
		return;
	const struct hf_dispatch_claims *c = &peer->claims;
	view->latency_p50_us = larger_u64(view->latency_p50_us, c->latency_us);
	view->latency_p95_us = larger_u64(view->latency_p95_us, view->latency_p50_us);
	view->in_flight = larger_u32(view->in_flight, c->in_flight);
	view->failure_permille = larger_u32(view->failure_permille, c->failure_permille);
	view->lag_blocks = larger_u64(view->lag_blocks, c->lag_blocks);
}

static void look_at_lag(struct hf_dispatcher *d, struct hf_dispatch_peer *peer)
{
	struct hf_dispatch_view view;
	hf_dispatch_look(d, peer, &view);
	bool was_behind = peer->is_behind;
	peer->is_behind = d->policy->is_too_far_behind(d->policy->context, view.lag_blocks);
	if (peer->is_behind && !was_behind)
		hf_dispatch_tell_leave(d, peer, HF_DISPATCH_BEHIND);
}

void hf_dispatcher_telemetry(struct hf_dispatcher *d, uint64_t now_us, const uint8_t key[static 32],
	const struct hf_dispatch_claims *claims)
{
	struct hf_dispatch_peer *peer = hf_dispatch_find(d, key);
	d->now_us = now_us;
	if (!peer)
		return;
	peer->claims = *claims;
	if (peer->claims.failure_permille > 1000)
		peer->claims.failure_permille = 1000;
	peer->claimed_us = now_us > 0 ? now_us : 1;
	look_at_lag(d, peer);
	hf_dispatch_tell(d);
}

void hf_dispatcher_lag(struct hf_dispatcher *d, uint64_t now_us, const uint8_t key[static 32], uint64_t lag_blocks)
{
	struct hf_dispatch_peer *peer = hf_dispatch_find(d, key);
	d->now_us = now_us;
	if (!peer)
		return;
	peer->lag_blocks = lag_blocks;
	look_at_lag(d, peer);
	hf_dispatch_tell(d);
}

void hf_dispatcher_session(struct hf_dispatcher *d, const uint8_t key[static 32], int change)
{
	struct hf_dispatch_peer *peer = hf_dispatch_find(d, key);
	if (!peer)
		return;
	if (change > 0)
		peer->session_count++;
	else if (peer->session_count > 0)
		peer->session_count--;
}

/* ---- Breakers ---- */

enum hf_dispatch_breaker hf_dispatch_breaker_of(struct hf_dispatcher *d, struct hf_dispatch_peer *peer)
{
	if (peer->breaker == HF_DISPATCH_OPEN && d->now_us >= peer->retry_us)
		peer->breaker = HF_DISPATCH_HALF_OPEN;
	return peer->breaker;
}

static void open_breaker(struct hf_dispatcher *d, struct hf_dispatch_peer *peer)
{
	bool is_again = peer->closed_us == 0 || d->now_us - peer->closed_us < d->weights.open_us_max;
	peer->times_opened = is_again ? peer->times_opened + 1 : 1;
	uint64_t open_us = d->policy->open_us(d->policy->context, peer->times_opened);
	/* An eighth to both sides, so that who broke together is not tried together. */
	peer->retry_us = d->now_us + open_us - open_us / 8 + hf_dispatch_random(d) % (open_us / 4 + 1);
	peer->breaker = HF_DISPATCH_OPEN;
	peer->probe = 0;
	hf_dispatch_empty(d, peer, HF_DISPATCH_OPENED, true);
	hf_dispatch_tell_leave(d, peer, HF_DISPATCH_OPENED);
}

void hf_dispatch_fine(struct hf_dispatcher *d, struct hf_dispatch_peer *peer, uint64_t job, uint64_t latency_us)
{
	fade(d, peer);
	hf_latency_record(&peer->latency, d->now_us, latency_us);
	if (peer->fine < COUNT_MAX)
		peer->fine += HF_LATENCY_ONE;
	if (hf_dispatch_breaker_of(d, peer) == HF_DISPATCH_HALF_OPEN && peer->probe == job) {
		peer->breaker = HF_DISPATCH_CLOSED;
		peer->closed_us = d->now_us;
		peer->probe = 0;
		peer->fine = peer->failed = 0;
	}
	if (peer->breaker == HF_DISPATCH_CLOSED)
		peer->failures_in_a_row = 0;
}

void hf_dispatch_failed(struct hf_dispatcher *d, struct hf_dispatch_peer *peer, uint64_t job)
{
	struct hf_dispatch_view view;
	enum hf_dispatch_breaker breaker = hf_dispatch_breaker_of(d, peer);
	peer->failed_count++;
	if (breaker == HF_DISPATCH_OPEN)
		return;
	fade(d, peer);
	if (peer->failed < COUNT_MAX)
		peer->failed += HF_LATENCY_ONE;
	if (peer->failures_in_a_row < UINT32_MAX)
		peer->failures_in_a_row++;
	hf_dispatch_look(d, peer, &view);
	bool was_probe = breaker == HF_DISPATCH_HALF_OPEN && job != 0 && peer->probe == job;
	if (was_probe || (breaker == HF_DISPATCH_CLOSED && d->policy->is_broken(d->policy->context, &view)))
		open_breaker(d, peer);
}

void hf_dispatcher_blame(struct hf_dispatcher *d, uint64_t now_us, const uint8_t key[static 32])
{
	struct hf_dispatch_peer *peer = hf_dispatch_find(d, key);
	d->now_us = now_us;
	if (!peer)
		return;
	hf_dispatch_failed(d, peer, 0);
	hf_dispatch_tell(d);
}

/* ---- Coming and going ---- */

static void forget(struct hf_dispatcher *d, struct hf_dispatch_peer *peer)
{
	if (peer == d->left_last)
		d->left_last = peer->previous;
	HF_LIST_REMOVE(d->left, peer);
	d->left_count--;
	hf_map_remove(&d->peers, hf_slice(peer->key, 32));
	free(peer);
}

void hf_dispatch_forget_left(struct hf_dispatcher *d)
{
	while (d->left && d->now_us - d->left->left_us > HF_DISPATCH_REMEMBERED_US)
		forget(d, d->left);
}

static void remember(struct hf_dispatcher *d, struct hf_dispatch_peer *peer)
{
	peer->left_us = d->now_us;
	peer->next = NULL;
	peer->previous = d->left_last;
	if (d->left_last)
		d->left_last->next = peer;
	else
		d->left = peer;
	d->left_last = peer;
	d->left_count++;
}

static void come_back(struct hf_dispatcher *d, struct hf_dispatch_peer *peer)
{
	if (peer == d->left_last)
		d->left_last = peer->previous;
	HF_LIST_REMOVE(d->left, peer);
	d->left_count--;
	peer->is_here = true;
	peer->is_drained = peer->is_behind = false;
	peer->lag_blocks = peer->claimed_us = 0;
}

int hf_dispatcher_add(struct hf_dispatcher *d, uint64_t now_us, const uint8_t key[static 32])
{
	struct hf_dispatch_peer *peer = find_any(d, key);
	d->now_us = now_us;
	if (peer && peer->is_here)
		return HF_EEXISTS;
	if (d->peers.count - d->left_count >= d->options.peer_count_max)
		return HF_ETOOBIG;
	if (peer) {
		come_back(d, peer);
		return HF_OK;
	}
	if (d->peers.count >= d->options.peer_count_max && d->left)
		forget(d, d->left);
	peer = calloc(1, sizeof *peer);
	if (!peer)
		return HF_ENOMEM;
	memcpy(peer->key, key, sizeof peer->key);
	peer->is_here = true;
	peer->faded_us = peer->latency.faded_us = now_us;
	int error = hf_map_put(&d->peers, hf_slice(peer->key, 32), peer, NULL);
	if (error)
		free(peer);
	return error;
}

void hf_dispatcher_remove(struct hf_dispatcher *d, uint64_t now_us, const uint8_t key[static 32], enum hf_dispatch_cause cause)
{
	struct hf_dispatch_peer *peer = hf_dispatch_find(d, key);
	d->now_us = now_us;
	if (!peer)
		return;
	peer->is_here = false;
	hf_dispatch_empty(d, peer, cause, true);
	peer->probe = 0;
	peer->session_count = 0;
	remember(d, peer);
	hf_dispatch_tell(d);
}

void hf_dispatcher_drain(struct hf_dispatcher *d, uint64_t now_us, const uint8_t key[static 32], bool drained)
{
	struct hf_dispatch_peer *peer = hf_dispatch_find(d, key);
	d->now_us = now_us;
	if (!peer || peer->is_drained == drained)
		return;
	peer->is_drained = drained;
	if (drained) {
		hf_dispatch_empty(d, peer, HF_DISPATCH_DRAINED, false);
		hf_dispatch_tell_leave(d, peer, HF_DISPATCH_DRAINED);
	}
	hf_dispatch_tell(d);
}

/* ---- What is told of them ---- */

bool hf_dispatcher_next_peer(struct hf_dispatcher *d, uint64_t now_us, size_t *cursor, struct hf_dispatch_facts *facts)
{
	struct hf_dispatch_peer *peer;
	d->now_us = now_us;
	do {
		peer = hf_map_next(&d->peers, cursor);
	} while (peer && !peer->is_here);
	if (!peer)
		return false;
	*facts = (struct hf_dispatch_facts){
		.breaker = hf_dispatch_breaker_of(d, peer),
		.retry_us = peer->breaker == HF_DISPATCH_OPEN ? peer->retry_us : 0,
		.waiting_count = peer->waiting_count,
		.assigned_count = peer->assigned_count,
		.failed_count = peer->failed_count,
		.is_drained = peer->is_drained,
	};
	memcpy(facts->peer, peer->key, sizeof facts->peer);
	hf_dispatch_look(d, peer, &facts->view);
	facts->score = d->policy->score(d->policy->context, &facts->view);
	return true;
}

void hf_dispatcher_stats(const struct hf_dispatcher *d, struct hf_dispatcher_stats *stats)
{
	const struct hf_dispatch_peer *peer;
	*stats = (struct hf_dispatcher_stats){.peer_count = (uint32_t)d->peers.count - d->left_count, .in_flight_count = d->in_flight_count,
		.waiting_count = d->waiting_count, .assigned_count = d->assigned.value};
	for (size_t cursor = 0; (peer = hf_map_next(&d->peers, &cursor));) {
		bool is_over = d->now_us >= peer->retry_us;
		stats->open_count += peer->is_here && peer->breaker == HF_DISPATCH_OPEN && !is_over;
		stats->half_open_count += peer->is_here &&
					  (peer->breaker == HF_DISPATCH_HALF_OPEN || (peer->breaker == HF_DISPATCH_OPEN && is_over));
	}
	for (size_t i = 0; i < HF_DISPATCH_OUTCOME_COUNT; i++)
		stats->outcomes[i] = d->outcomes[i].value;
	for (size_t i = 0; i < HF_DISPATCH_REFUSAL_COUNT; i++)
		stats->refusals[i] = d->refusals[i].value;
	for (size_t i = 0; i < HF_DISPATCH_CAUSE_COUNT; i++)
		stats->reassigned[i] = d->reassigned[i].value;
}
