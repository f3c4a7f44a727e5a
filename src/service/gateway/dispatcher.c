/* A waiting job stands in the queue of each peer that could do it and leaves all of them with the first that has room, so that a peer's
 * oldest waiting job is always its next. A heavy job at the front is waited for, not passed.
 *
 * What is to be told is put on lists whose links are in jobs and peers, and told last: so nothing here can fail for want of memory but
 * hf_dispatcher_schedule, and a callback finds everything in order. */
#include "service/gateway/dispatcher.h"

#include <stdlib.h>

#include "base/options.h"
#include "service/gateway/dispatcher_private.h"

#define LOOKED_AT_MAX 256 /* of many candidates, until enough are found that are here */

/* ---- Names and metrics ---- */

const char *hf_dispatch_refusal_name(enum hf_dispatch_refusal refusal)
{
	static const char *const names[] = {"no-peers", "peers-broken", "peers-saturated", "flow-saturated", "expired"};
	return refusal < HF_DISPATCH_REFUSAL_COUNT ? names[refusal] : "";
}

const char *hf_dispatch_cause_name(enum hf_dispatch_cause cause)
{
	static const char *const names[] = {"gone", "revoked", "overdue", "breaker-opened", "behind", "drained"};
	return cause < HF_DISPATCH_CAUSE_COUNT ? names[cause] : "";
}

const char *hf_dispatch_breaker_name(enum hf_dispatch_breaker breaker)
{
	static const char *const names[] = {"closed", "open", "half-open"};
	return breaker <= HF_DISPATCH_HALF_OPEN ? names[breaker] : "";
}

static int64_t read_peers(void *context)
{
	struct hf_dispatcher_stats stats;
	hf_dispatcher_stats(context, &stats);
	return (int64_t)stats.peer_count - stats.open_count - stats.half_open_count;
}

static int64_t read_open(void *context)
{
	struct hf_dispatcher_stats stats;
	hf_dispatcher_stats(context, &stats);
	return stats.open_count;
}

static int64_t read_half_open(void *context)
{
	struct hf_dispatcher_stats stats;
	hf_dispatcher_stats(context, &stats);
	return stats.half_open_count;
}

static int64_t read_in_flight(void *context)
{
	return ((struct hf_dispatcher *)context)->in_flight_count;
}

static int64_t read_waiting(void *context)
{
	return ((struct hf_dispatcher *)context)->waiting_count;
}

static void register_gauges(struct hf_dispatcher *d)
{
	static const struct {
		int64_t (*read)(void *context);
		const char *name, *labels, *help;
	} gauges[] = {
		{read_peers, "holdfast_dispatcher_peers", "breaker=\"closed\"", "Peers that jobs can go to, by their breakers"},
		{read_open, "holdfast_dispatcher_peers", "breaker=\"open\"", "Peers that jobs can go to, by their breakers"},
		{read_half_open, "holdfast_dispatcher_peers", "breaker=\"half-open\"", "Peers that jobs can go to, by their breakers"},
		{read_in_flight, "holdfast_dispatcher_jobs", "state=\"in-flight\"", "Jobs under way and waiting"},
		{read_waiting, "holdfast_dispatcher_jobs", "state=\"waiting\"", "Jobs under way and waiting"},
	};
	for (size_t i = 0; i < sizeof gauges / sizeof *gauges; i++) {
		d->gauges[i].read = gauges[i].read;
		d->gauges[i].context = d;
		hf_gauge_register(d->options.metrics, &d->gauges[i], gauges[i].name, gauges[i].labels, gauges[i].help);
	}
}

static void register_counters(struct hf_dispatcher *d)
{
	static const char *const outcomes[] = {"outcome=\"ok\"", "outcome=\"failed\"", "outcome=\"abandoned\""};
	static const char *const refusals[] = {"reason=\"no-peers\"", "reason=\"peers-broken\"", "reason=\"peers-saturated\"",
		"reason=\"flow-saturated\"", "reason=\"expired\""};
	static const char *const causes[] = {"cause=\"gone\"", "cause=\"revoked\"", "cause=\"overdue\"", "cause=\"breaker-opened\"",
		"cause=\"behind\"", "cause=\"drained\""};
	struct hf_metrics *m = d->options.metrics;
	hf_counter_register(m, &d->assigned, "holdfast_dispatcher_assigned_total", "", "Jobs given to peers");
	for (size_t i = 0; i < HF_DISPATCH_OUTCOME_COUNT; i++)
		hf_counter_register(m, &d->outcomes[i], "holdfast_dispatcher_outcomes_total", outcomes[i], "Jobs that ended at peers");
	for (size_t i = 0; i < HF_DISPATCH_REFUSAL_COUNT; i++)
		hf_counter_register(m, &d->refusals[i], "holdfast_dispatcher_refusals_total", refusals[i], "Jobs that no peer got");
	for (size_t i = 0; i < HF_DISPATCH_CAUSE_COUNT; i++)
		hf_counter_register(m, &d->reassigned[i], "holdfast_dispatcher_reassigned_total", causes[i],
			"Jobs taken from a peer while under way");
}

static void unregister(struct hf_dispatcher *d)
{
	struct hf_metrics *m = d->options.metrics;
	hf_metric_unregister(m, &d->assigned.link);
	for (size_t i = 0; i < HF_DISPATCH_OUTCOME_COUNT; i++)
		hf_metric_unregister(m, &d->outcomes[i].link);
	for (size_t i = 0; i < HF_DISPATCH_REFUSAL_COUNT; i++)
		hf_metric_unregister(m, &d->refusals[i].link);
	for (size_t i = 0; i < HF_DISPATCH_CAUSE_COUNT; i++)
		hf_metric_unregister(m, &d->reassigned[i].link);
	for (size_t i = 0; i < sizeof d->gauges / sizeof *d->gauges; i++)
		hf_metric_unregister(m, &d->gauges[i].link);
}

/* ---- Life ---- */

static int set_options(struct hf_dispatcher *d, const struct hf_dispatcher_options *given)
{
	struct hf_dispatcher_options own, *o = &own;
	int error = hf_options_take(o, sizeof *o, given);
	if (error)
		return error;
	o->peer_count_max = o->peer_count_max ? o->peer_count_max : 16384;
	o->in_flight_max = o->in_flight_max ? o->in_flight_max : 256;
	o->waiting_max = o->waiting_max ? o->waiting_max : 4096;
	o->waiting_per_flow_max = o->waiting_per_flow_max ? o->waiting_per_flow_max : 64;
	o->wait_us = o->wait_us ? o->wait_us : 5000000;
	o->run_us = o->run_us ? o->run_us : 15000000;
	o->claim_us = o->claim_us ? o->claim_us : 60000000;
	hf_dispatch_weights_default(&o->weights);
	d->options = own;
	d->weights = o->weights;
	d->own_policy = hf_dispatch_policy_weighted;
	d->own_policy.context = &d->weights;
	d->policy = o->policy ? o->policy : &d->own_policy;
	return HF_OK;
}

int hf_dispatcher_new(struct hf_dispatcher **out, const struct hf_dispatcher_options *options)
{
	struct hf_dispatcher *d = calloc(1, sizeof *d);
	if (!d)
		return HF_ENOMEM;
	int error = set_options(d, options);
	if (error) {
		free(d);
		return error;
	}
	d->random = d->options.seed;
	hf_map_init(&d->peers, hf_dispatch_random(d));
	d->flows.seed = hf_dispatch_random(d);
	if (d->options.metrics) {
		register_counters(d);
		register_gauges(d);
	}
	*out = d;
	return HF_OK;
}

void hf_dispatcher_reconfigure(struct hf_dispatcher *d, const struct hf_dispatcher_options *options)
{
	struct hf_dispatcher_options old = d->options;
	if (set_options(d, options))
		return;
	d->options.metrics = old.metrics;
	d->options.events = old.events;
	d->options.context = old.context;
}

void hf_dispatcher_free(struct hf_dispatcher *d)
{
	struct hf_dispatch_peer *peer;
	const struct hf_u64_slot *slot;
	if (!d)
		return;
	if (d->options.metrics)
		unregister(d);
	hf_timers_free(&d->timers); /* it looks at those that are set, which are in jobs */
	for (size_t cursor = 0; (slot = hf_u64_map_next(&d->jobs, &cursor));)
		free((void *)(uintptr_t)slot->value);
	while (d->told) {
		struct hf_dispatch_job *job = d->told;
		d->told = job->next_told;
		if (job->is_over)
			free(job);
	}
	for (size_t cursor = 0; (peer = hf_map_next(&d->peers, &cursor));)
		free(peer);
	hf_map_free(&d->peers);
	hf_u64_map_free(&d->jobs);
	hf_u64_map_free(&d->flows);
	free(d);
}

/* ---- Telling ---- */

static void tell_later(struct hf_dispatcher *d, struct hf_dispatch_job *job, enum hf_dispatch_news news, int reason)
{
	job->news = news;
	job->reason = reason;
	if (job->is_told)
		return;
	job->is_told = true;
	job->next_told = NULL;
	if (d->told)
		d->told_last->next_told = job;
	else
		d->told = job;
	d->told_last = job;
}

void hf_dispatch_tell_leave(struct hf_dispatcher *d, struct hf_dispatch_peer *peer, enum hf_dispatch_cause cause)
{
	peer->leave_cause = cause;
	if (peer->is_told)
		return;
	peer->is_told = true;
	peer->next_told = d->told_peers;
	d->told_peers = peer;
}

static void tell_of_job(struct hf_dispatcher *d, struct hf_dispatch_job *job)
{
	const struct hf_dispatch_events *events = d->options.events;
	void *context = d->options.context, *owner = job->owner;
	enum hf_dispatch_news news = job->news;
	uint64_t number = job->number;
	int reason = job->reason;
	uint8_t key[32] = {0};
	if (job->peer)
		memcpy(key, job->peer->key, sizeof key);
	job->is_told = false;
	if (job->is_over)
		free(job);
	if (news == HF_DISPATCH_NEWS_ASSIGNED)
		events->assigned(context, owner, number, key);
	else if (news == HF_DISPATCH_NEWS_REFUSED)
		events->refused(context, owner, number, (enum hf_dispatch_refusal)reason);
	else if (news == HF_DISPATCH_NEWS_REASSIGN)
		events->reassign(context, owner, number, (enum hf_dispatch_cause)reason);
}

/* A call from within a callback finds is_telling set, and leaves what it has to tell to the loop here. */
void hf_dispatch_tell(struct hf_dispatcher *d)
{
	if (d->is_telling)
		return;
	d->is_telling = true;
	while (d->told || d->told_peers) {
		struct hf_dispatch_job *job = d->told;
		struct hf_dispatch_peer *peer = d->told_peers;
		if (job) {
			d->told = job->next_told;
			tell_of_job(d, job);
			continue;
		}
		d->told_peers = peer->next_told;
		peer->is_told = false;
		uint8_t key[32];
		memcpy(key, peer->key, sizeof key);
		if (peer->is_here)
			d->options.events->leave(d->options.context, key, peer->leave_cause);
	}
	d->is_telling = false;
}

/* ---- Queues ---- */

static void leave_queue(struct hf_dispatch_wait *wait)
{
	struct hf_dispatch_peer *peer = wait->peer;
	if (!peer)
		return;
	if (wait == peer->waiting_last)
		peer->waiting_last = wait->previous;
	HF_LIST_REMOVE(peer->waiting, wait);
	peer->waiting_count--;
	wait->peer = NULL;
}

static void join_queue(struct hf_dispatch_job *job, struct hf_dispatch_peer *peer)
{
	struct hf_dispatch_wait *wait = &job->waits[job->wait_count++];
	*wait = (struct hf_dispatch_wait){.job = job, .peer = peer, .previous = peer->waiting_last};
	if (peer->waiting_last)
		peer->waiting_last->next = wait;
	else
		peer->waiting = wait;
	peer->waiting_last = wait;
	peer->waiting_count++;
}

/* Out of all queues; the job is then assigned or over. */
static void stop_waiting(struct hf_dispatcher *d, struct hf_dispatch_job *job)
{
	for (uint32_t i = 0; i < job->wait_count; i++)
		leave_queue(&job->waits[i]);
	d->waiting_count--;
	uint64_t *of_flow = job->flow ? hf_u64_map_get(&d->flows, job->flow) : NULL;
	if (of_flow && --*of_flow == 0)
		hf_u64_map_remove(&d->flows, job->flow);
}

/* What it was is told of when there is something to tell, and freed then. */
static void end_job(struct hf_dispatcher *d, struct hf_dispatch_job *job, enum hf_dispatch_news news, int reason)
{
	hf_timer_cancel(&d->timers, &job->timer);
	hf_u64_map_remove(&d->jobs, job->number);
	job->is_over = true;
	job->peer = NULL;
	if (news != HF_DISPATCH_NEWS_NONE || job->is_told)
		tell_later(d, job, news, reason);
	else
		free(job);
}

static void refuse_waiting(struct hf_dispatcher *d, struct hf_dispatch_job *job, enum hf_dispatch_refusal refusal)
{
	stop_waiting(d, job);
	hf_counter_add(&d->refusals[refusal], 1);
	end_job(d, job, HF_DISPATCH_NEWS_REFUSED, refusal);
}

/* ---- Under way ---- */

static void take_from_peer(struct hf_dispatcher *d, struct hf_dispatch_job *job)
{
	struct hf_dispatch_peer *peer = job->peer;
	if (job == peer->running_last)
		peer->running_last = job->previous;
	HF_LIST_REMOVE(peer->running, job);
	peer->in_flight -= job->weight;
	peer->in_flight_count--;
	d->in_flight_count--;
}

static void assign(struct hf_dispatcher *d, struct hf_dispatch_job *job, struct hf_dispatch_peer *peer)
{
	bool is_probe = hf_dispatch_breaker_of(d, peer) == HF_DISPATCH_HALF_OPEN;
	job->peer = peer;
	job->started_us = d->now_us;
	job->next = NULL;
	job->previous = peer->running_last;
	if (peer->running_last)
		peer->running_last->next = job;
	else
		peer->running = job;
	peer->running_last = job;
	peer->in_flight += job->weight;
	peer->in_flight_count++;
	peer->assigned_count++;
	d->in_flight_count++;
	hf_counter_add(&d->assigned, 1);
	if (is_probe)
		peer->probe = job->number;
	uint64_t run_us = is_probe && d->options.run_us > HF_DISPATCH_PROBE_US ? HF_DISPATCH_PROBE_US : d->options.run_us;
	hf_timer_set(&d->timers, &job->timer, d->now_us + run_us);
}

static bool has_room(struct hf_dispatcher *d, const struct hf_dispatch_peer *peer, uint32_t weight)
{
	return peer->in_flight + weight <= d->options.in_flight_max || peer->in_flight == 0;
}

void hf_dispatch_serve(struct hf_dispatcher *d, struct hf_dispatch_peer *peer)
{
	while (peer->waiting && peer->is_here && !peer->is_drained) {
		struct hf_dispatch_job *job = peer->waiting->job;
		enum hf_dispatch_breaker breaker = hf_dispatch_breaker_of(d, peer);
		bool is_open = breaker == HF_DISPATCH_OPEN || (breaker == HF_DISPATCH_HALF_OPEN && peer->probe);
		if (is_open || !has_room(d, peer, job->weight))
			return;
		stop_waiting(d, job);
		assign(d, job, peer);
		tell_later(d, job, HF_DISPATCH_NEWS_ASSIGNED, 0);
	}
}

void hf_dispatch_empty(struct hf_dispatcher *d, struct hf_dispatch_peer *peer, enum hf_dispatch_cause cause, bool running_too)
{
	while (peer->waiting) {
		struct hf_dispatch_job *job = peer->waiting->job;
		bool waits_elsewhere = false;
		leave_queue(peer->waiting);
		for (uint32_t i = 0; i < job->wait_count; i++)
			waits_elsewhere |= job->waits[i].peer != NULL;
		if (!waits_elsewhere)
			refuse_waiting(d, job, cause == HF_DISPATCH_OPENED ? HF_DISPATCH_BROKEN : HF_DISPATCH_NO_PEERS);
	}
	while (running_too && peer->running) {
		struct hf_dispatch_job *job = peer->running;
		take_from_peer(d, job);
		hf_counter_add(&d->reassigned[cause], 1);
		end_job(d, job, HF_DISPATCH_NEWS_REASSIGN, cause);
	}
}

static void on_deadline(struct hf_timer *timer)
{
	struct hf_dispatch_job *job = HF_CONTAINER_OF(timer, struct hf_dispatch_job, timer);
	struct hf_dispatcher *d = job->dispatcher;
	struct hf_dispatch_peer *peer = job->peer;
	if (!peer) {
		refuse_waiting(d, job, HF_DISPATCH_EXPIRED);
		return;
	}
	uint64_t number = job->number;
	take_from_peer(d, job);
	hf_counter_add(&d->reassigned[HF_DISPATCH_OVERDUE], 1);
	end_job(d, job, HF_DISPATCH_NEWS_REASSIGN, HF_DISPATCH_OVERDUE);
	hf_dispatch_failed(d, peer, number);
	hf_dispatch_serve(d, peer);
}

uint64_t hf_dispatcher_deadline_us(const struct hf_dispatcher *d)
{
	return hf_timers_next_us(&d->timers);
}

void hf_dispatcher_tick(struct hf_dispatcher *d, uint64_t now_us)
{
	d->now_us = now_us;
	hf_timers_run(&d->timers, now_us);
	hf_dispatch_forget_left(d);
	hf_dispatch_tell(d);
}

/* ---- Scheduling ---- */

/* What was found among the candidates of one job. */
struct choice {
	struct hf_dispatch_peer *best;
	uint64_t score;
	bool best_is_probe;
	struct hf_dispatch_peer *full[HF_DISPATCH_CANDIDATE_COUNT_MAX];
	size_t full_count, here_count;
};

static void consider(struct hf_dispatcher *d, struct hf_dispatch_peer *peer, uint32_t weight, struct choice *choice)
{
	struct hf_dispatch_view view;
	enum hf_dispatch_breaker breaker = hf_dispatch_breaker_of(d, peer);
	for (size_t i = 0; i < choice->full_count; i++)
		if (choice->full[i] == peer)
			return; /* named twice */
	choice->here_count++;
	if (breaker == HF_DISPATCH_OPEN || (breaker == HF_DISPATCH_HALF_OPEN && peer->probe))
		return;
	if (peer->waiting || !has_room(d, peer, weight)) {
		choice->full[choice->full_count++] = peer;
		return;
	}
	bool is_probe = breaker == HF_DISPATCH_HALF_OPEN;
	if (choice->best_is_probe && !is_probe)
		return;
	hf_dispatch_look(d, peer, &view);
	uint64_t score = d->policy->score(d->policy->context, &view);
	if (!choice->best || is_probe > choice->best_is_probe || score < choice->score) {
		choice->best = peer;
		choice->score = score;
		choice->best_is_probe = is_probe;
	}
}

/* From a random place on, so that equals take turns and of many candidates another part is looked at each time. */
static void look_around(struct hf_dispatcher *d, const struct hf_dispatch_request *request, uint32_t weight, struct choice *choice)
{
	size_t count = request->peer_count < LOOKED_AT_MAX ? request->peer_count : LOOKED_AT_MAX;
	size_t from = request->peer_count ? hf_dispatch_random(d) % request->peer_count : 0;
	for (size_t i = 0; i < count && choice->here_count < HF_DISPATCH_CANDIDATE_COUNT_MAX; i++) {
		struct hf_dispatch_peer *peer = hf_dispatch_find(d, request->peers[(from + i) % request->peer_count]);
		if (peer && !peer->is_drained)
			consider(d, peer, weight, choice);
	}
}

/* HF_OK: it may wait. */
static int check_queue(struct hf_dispatcher *d, const struct hf_dispatch_request *request, const struct choice *choice,
	enum hf_dispatch_refusal *refusal)
{
	const uint64_t *of_flow = request->flow ? hf_u64_map_get(&d->flows, request->flow) : NULL;
	if (choice->here_count == 0) {
		*refusal = HF_DISPATCH_NO_PEERS;
		return HF_ENOTFOUND;
	}
	if (choice->full_count == 0) {
		*refusal = HF_DISPATCH_BROKEN;
		return HF_EDENIED;
	}
	if (of_flow && *of_flow >= d->options.waiting_per_flow_max) {
		*refusal = HF_DISPATCH_FLOW;
		return HF_EBUSY;
	}
	*refusal = HF_DISPATCH_SATURATED;
	return d->waiting_count < d->options.waiting_max ? HF_OK : HF_EBUSY;
}

static struct hf_dispatch_job *new_job(struct hf_dispatcher *d, const struct hf_dispatch_request *request, uint32_t weight,
	size_t wait_count)
{
	struct hf_dispatch_job *job = calloc(1, sizeof *job + wait_count * sizeof job->waits[0]);
	if (!job)
		return NULL;
	job->dispatcher = d;
	job->number = d->next_number + 1;
	job->flow = request->flow;
	job->owner = request->owner;
	job->weight = weight;
	job->timer.fire = on_deadline;
	/* Takes its place in the heap now, as moving it later cannot fail. */
	if (hf_timer_set(&d->timers, &job->timer, d->now_us + d->options.wait_us) < 0) {
		free(job);
		return NULL;
	}
	uint64_t *place = hf_u64_map_put(&d->jobs, job->number);
	if (!place) {
		hf_timer_cancel(&d->timers, &job->timer);
		free(job);
		return NULL;
	}
	*place = (uintptr_t)job;
	d->next_number++;
	return job;
}

static int wait_for(struct hf_dispatcher *d, struct hf_dispatch_job *job, const struct choice *choice)
{
	uint64_t *of_flow = job->flow ? hf_u64_map_put(&d->flows, job->flow) : NULL;
	if (job->flow && !of_flow) {
		end_job(d, job, HF_DISPATCH_NEWS_NONE, 0);
		return HF_ENOMEM;
	}
	if (of_flow)
		++*of_flow;
	d->waiting_count++;
	for (size_t i = 0; i < choice->full_count; i++)
		join_queue(job, choice->full[i]);
	return HF_EWAIT;
}

int hf_dispatcher_schedule(struct hf_dispatcher *d, uint64_t now_us, const struct hf_dispatch_request *request, uint64_t *number,
	uint8_t peer[static 32], enum hf_dispatch_refusal *refusal)
{
	struct choice choice = {0};
	uint32_t weight = request->weight ? request->weight : 1;
	d->now_us = now_us;
	if (weight > d->options.in_flight_max)
		weight = d->options.in_flight_max;
	look_around(d, request, weight, &choice);
	int error = choice.best ? HF_OK : check_queue(d, request, &choice, refusal);
	if (error) {
		hf_counter_add(&d->refusals[*refusal], 1);
		return error;
	}
	struct hf_dispatch_job *job = new_job(d, request, weight, choice.best ? 0 : choice.full_count);
	if (!job)
		return HF_ENOMEM;
	*number = job->number;
	if (!choice.best)
		return wait_for(d, job, &choice);
	assign(d, job, choice.best);
	memcpy(peer, choice.best->key, 32);
	return HF_OK;
}

void hf_dispatcher_outcome(struct hf_dispatcher *d, uint64_t now_us, uint64_t number, enum hf_dispatch_outcome outcome)
{
	uint64_t *place = hf_u64_map_get(&d->jobs, number);
	d->now_us = now_us;
	if (!place)
		return;
	struct hf_dispatch_job *job = (void *)(uintptr_t)*place;
	struct hf_dispatch_peer *peer = job->peer;
	uint64_t took_us = now_us - job->started_us;
	hf_counter_add(&d->outcomes[outcome], 1);
	if (!peer) {
		stop_waiting(d, job);
		end_job(d, job, HF_DISPATCH_NEWS_NONE, 0);
		return;
	}
	take_from_peer(d, job);
	end_job(d, job, HF_DISPATCH_NEWS_NONE, 0);
	if (outcome == HF_DISPATCH_OK)
		hf_dispatch_fine(d, peer, number, took_us);
	else if (outcome == HF_DISPATCH_FAILED)
		hf_dispatch_failed(d, peer, number);
	else if (took_us > hf_latency_percentile_us(&peer->latency, 50))
		hf_latency_record(&peer->latency, now_us, took_us);
	if (peer->probe == number)
		peer->probe = 0;
	hf_dispatch_serve(d, peer);
	hf_dispatch_tell(d);
}
