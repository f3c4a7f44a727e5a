/* One sum in microseconds: about how long the job would take there, and what the risk of it is worth. */
#include "service/gateway/dispatcher_private.h"

static void put_default(uint64_t *value, uint64_t otherwise)
{
	if (*value == 0)
		*value = otherwise;
}

void hf_dispatch_weights_default(struct hf_dispatch_weights *w)
{
	put_default(&w->prior_latency_us, 20000);
	put_default(&w->in_flight_us, 500);
	put_default(&w->session_us, 50);
	put_default(&w->failure_us, 500000);
	put_default(&w->lag_us, 100);
	put_default(&w->reassign_lag_blocks, 500);
	put_default(&w->open_us, 10000000);
	put_default(&w->open_us_max, 600000000);
	if (w->failures_in_a_row_max == 0)
		w->failures_in_a_row_max = 5;
	if (w->failure_permille_max == 0)
		w->failure_permille_max = 400;
}

static uint64_t score(const void *context, const struct hf_dispatch_view *view)
{
	const struct hf_dispatch_weights *w = context;
	uint64_t latency = view->latency_p50_us + view->latency_p95_us / 4;
	if (view->sample_count == 0 && latency < w->prior_latency_us)
		latency = w->prior_latency_us;
	if (latency < view->waiting_us)
		latency = view->waiting_us; /* a peer that has stopped answering shows in no sample */
	return latency + view->in_flight * w->in_flight_us + view->session_count * w->session_us +
	       w->failure_us * view->failure_permille / 1000 + view->lag_blocks * w->lag_us;
}

static bool is_broken(const void *context, const struct hf_dispatch_view *view)
{
	const struct hf_dispatch_weights *w = context;
	return view->failures_in_a_row >= w->failures_in_a_row_max || view->failure_permille >= w->failure_permille_max;
}

static uint64_t open_us(const void *context, uint32_t times_in_a_row)
{
	const struct hf_dispatch_weights *w = context;
	uint64_t us = w->open_us;
	for (uint32_t i = 1; i < times_in_a_row && us < w->open_us_max; i++)
		us *= 2;
	return us < w->open_us_max ? us : w->open_us_max;
}

static bool is_too_far_behind(const void *context, uint64_t lag_blocks)
{
	const struct hf_dispatch_weights *w = context;
	return lag_blocks > w->reassign_lag_blocks;
}

const struct hf_dispatch_policy hf_dispatch_policy_weighted = {
	.score = score, .is_broken = is_broken, .open_us = open_us, .is_too_far_behind = is_too_far_behind};
