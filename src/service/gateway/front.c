/* Jobs are found by their numbers and never by what the dispatcher was told to remember: a session may end in the middle of the news about
 * its own jobs. Every call that can make the dispatcher tell is therefore the last that its caller does, or the caller looks anew. */
#include "service/gateway/front_private.h"

#include <stdlib.h>

#include "base/options.h"

#define PEERS_MAX HF_REGISTRY_PEERS_MAX

/* ---- Metrics ---- */

static const char *const refusal_labels[] = {
	[HF_FRONT_NOT_CONFIGURED] = "reason=\"not-configured\"",
	[HF_FRONT_NO_RELAY] = "reason=\"no-relay\"",
	[HF_FRONT_TOKEN_REQUIRED] = "reason=\"token-required\"",
	[HF_FRONT_TOKEN_INVALID] = "reason=\"token-invalid\"",
	[HF_FRONT_TOKEN_ENDED] = "reason=\"token-ended\"",
	[HF_FRONT_NO_PEERS] = "reason=\"no-peers\"",
	[HF_FRONT_BUSY] = "reason=\"busy\"",
	[HF_FRONT_RATE] = "reason=\"rate\"",
	[HF_FRONT_FULL] = "reason=\"full\"",
	[HF_FRONT_MALFORMED] = "reason=\"malformed\"",
	[HF_FRONT_WORKER_FAILED] = "reason=\"worker-failed\"",
};

static int64_t read_sessions(void *context)
{
	return (int64_t)((struct hf_front *)context)->stats.session_count;
}

static int64_t read_requests(void *context)
{
	return (int64_t)((struct hf_front *)context)->stats.request_count;
}

static void register_metrics(struct hf_front *front, bool add)
{
	struct hf_metrics *m = front->options.metrics;
	struct {
		struct hf_counter *counter;
		const char *name, *labels, *help;
	} list[] = {
		{&front->moved, "holdfast_front_moved_total", "", "Sessions that went to another worker"},
		{&front->repeated, "holdfast_front_repeated_total", "", "Events that another worker sent again, dropped"},
		{&front->delivered, "holdfast_front_delivered_total", "", "Events sent to clients of workers' relays"},
		{&front->published, "holdfast_front_published_total", "", "Events of clients that workers accepted"},
		{&front->fetched[0], "holdfast_front_fetched_total", "kind=\"drive\"", "Answers streamed from workers over HTTP"},
		{&front->fetched[1], "holdfast_front_fetched_total", "kind=\"avatar\"", "Answers streamed from workers over HTTP"},
	};
	for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
		if (add)
			hf_counter_register(m, list[i].counter, list[i].name, list[i].labels, list[i].help);
		else
			hf_metric_unregister(m, &list[i].counter->link);
	}
	for (size_t i = 0; i < HF_FRONT_REFUSAL_COUNT; i++) {
		if (add)
			hf_counter_register(m, &front->refusals[i], "holdfast_front_refusals_total", refusal_labels[i],
				"What clients of workers' relays were refused");
		else
			hf_metric_unregister(m, &front->refusals[i].link);
	}
	if (!add) {
		hf_metric_unregister(m, &front->sessions_gauge.link);
		hf_metric_unregister(m, &front->requests_gauge.link);
		return;
	}
	front->sessions_gauge.read = read_sessions;
	front->requests_gauge.read = read_requests;
	front->sessions_gauge.context = front->requests_gauge.context = front;
	hf_gauge_register(m, &front->sessions_gauge, "holdfast_front_sessions", "", "Clients of workers' relays");
	hf_gauge_register(m, &front->requests_gauge, "holdfast_front_requests", "", "HTTP requests that workers are answering");
}

void hf_front_refuse(struct hf_front *front, enum hf_front_refusal refusal)
{
	hf_counter_add(&front->refusals[refusal], 1);
}

void hf_front_stats(const struct hf_front *front, struct hf_front_stats *stats)
{
	*stats = front->stats;
	stats->moved_count = front->moved.value;
	stats->repeated_count = front->repeated.value;
	stats->delivered_count = front->delivered.value;
	stats->published_count = front->published.value;
}

/* ---- Jobs ---- */

uint64_t hf_front_now_us(const struct hf_front *front)
{
	return hf_loop_now_us(front->options.loop);
}

/* Sees to it that the dispatcher is asked in time. A timer that is early costs a look. */
void hf_front_arm(struct hf_front *front)
{
	uint64_t deadline_us = hf_dispatcher_deadline_us(front->dispatcher), now_us = hf_front_now_us(front);
	if (deadline_us >= front->timer_us)
		return;
	front->timer_us = deadline_us;
	hf_loop_timer_set(front->options.loop, &front->timer, deadline_us > now_us ? (deadline_us - now_us) / 1000 + 1 : 0);
}

static void on_timer(struct hf_timer *timer)
{
	struct hf_front *front = HF_CONTAINER_OF(timer, struct hf_front, timer);
	front->timer_us = UINT64_MAX;
	hf_dispatcher_tick(front->dispatcher, hf_front_now_us(front));
	hf_front_arm(front);
}

static bool may_go_to(struct hf_front *front, const uint8_t *peer, const uint8_t *avoided)
{
	return hf_workers_find(front->options.workers, peer) && (!avoided || memcmp(peer, avoided, 32) != 0);
}

bool hf_front_has_worker(struct hf_front *front, const struct hf_registration *record, const uint8_t *avoided)
{
	for (size_t i = 0; i < record->peer_count; i++)
		if (may_go_to(front, record->peers[i].key, avoided))
			return true;
	return false;
}

static bool is_heard(struct hf_front *front, const uint8_t *peer)
{
	const struct hf_worker *worker = hf_workers_find(front->options.workers, peer);
	return worker && !hf_worker_is_silent(worker);
}

static bool has_heard(struct hf_front *front, const struct hf_registration *record, const uint8_t *avoided)
{
	for (size_t i = 0; i < record->peer_count; i++)
		if (may_go_to(front, record->peers[i].key, avoided) && is_heard(front, record->peers[i].key))
			return true;
	return false;
}

static size_t list_peers(struct hf_front *front, const struct hf_registration *record, const uint8_t *only, const uint8_t *avoided,
	uint8_t peers[static PEERS_MAX][32])
{
	size_t count = 0;
	bool heeds = avoided && hf_front_has_worker(front, record, avoided);
	bool hears = !only && has_heard(front, record, heeds ? avoided : NULL);
	for (size_t i = 0; i < record->peer_count && count < PEERS_MAX; i++) {
		const uint8_t *key = record->peers[i].key;
		bool is_wanted = only ? memcmp(key, only, 32) == 0 : true;
		if (is_wanted && may_go_to(front, key, heeds ? avoided : NULL) && (!hears || is_heard(front, key)))
			memcpy(peers[count++], key, 32);
	}
	return count;
}

int hf_front_schedule(struct hf_front *front, struct hf_front_job *job, const struct hf_registration *record, const uint8_t *only,
	const uint8_t *avoided, uint32_t weight, uint64_t flow, uint8_t peer[static 32])
{
	uint8_t peers[PEERS_MAX][32];
	size_t count = list_peers(front, record, only, avoided, peers);
	return hf_front_schedule_among(front, job, peers, count, weight, flow, peer);
}

int hf_front_schedule_among(struct hf_front *front, struct hf_front_job *job, const uint8_t (*peers)[32], size_t peer_count,
	uint32_t weight, uint64_t flow, uint8_t peer[static 32])
{
	const struct hf_dispatch_request request = {.peers = peers, .peer_count = peer_count, .weight = weight, .flow = flow};
	enum hf_dispatch_refusal refusal;
	int status = hf_dispatcher_schedule(front->dispatcher, hf_front_now_us(front), &request, &job->number, peer, &refusal);
	if (status != HF_OK && status != HF_EWAIT) {
		job->number = 0;
		return status;
	}
	uint64_t *place = hf_u64_map_put(&front->jobs, job->number);
	if (!place) {
		hf_dispatcher_outcome(front->dispatcher, hf_front_now_us(front), job->number, HF_DISPATCH_ABANDONED);
		job->number = 0;
		return HF_ENOMEM;
	}
	*place = (uintptr_t)job;
	hf_front_arm(front);
	return status;
}

/* Nobody is told of the job any more. */
static void forget_job(struct hf_front *front, struct hf_front_job *job)
{
	hf_u64_map_remove(&front->jobs, job->number);
	job->number = 0;
}

void hf_front_job_over(struct hf_front *front, struct hf_front_job *job, enum hf_dispatch_outcome outcome)
{
	uint64_t number = job->number;
	if (number == 0)
		return;
	forget_job(front, job);
	hf_dispatcher_outcome(front->dispatcher, hf_front_now_us(front), number, outcome);
	hf_front_arm(front);
}

static struct hf_front_job *find_job(struct hf_front *front, uint64_t number)
{
	uint64_t *place = hf_u64_map_get(&front->jobs, number);
	return place ? (struct hf_front_job *)(uintptr_t)*place : NULL;
}

static void on_assigned(void *context, void *owner, uint64_t number, const uint8_t peer[static 32])
{
	struct hf_front_job *job = find_job(context, number);
	if (!job)
		return;
	if (job->kind == HF_FRONT_OPEN)
		hf_front_session_open(HF_CONTAINER_OF(job, struct hf_front_session, job), peer);
	else if (job->kind == HF_FRONT_ASK)
		hf_front_item_send(HF_CONTAINER_OF(job, struct hf_front_item, job));
	else if (job->kind == HF_FRONT_FETCH) /* the others do not wait */
		hf_front_fetch_open(HF_CONTAINER_OF(job, struct hf_front_fetch, job), peer);
}

static void on_refused(void *context, void *owner, uint64_t number, enum hf_dispatch_refusal refusal)
{
	struct hf_front_job *job = find_job(context, number);
	if (!job)
		return;
	forget_job(context, job);
	if (job->kind == HF_FRONT_OPEN)
		hf_front_session_lose(HF_CONTAINER_OF(job, struct hf_front_session, job));
	else if (job->kind == HF_FRONT_ASK)
		hf_front_item_refuse(HF_CONTAINER_OF(job, struct hf_front_item, job), HF_FRONT_BUSY, "error: the relay's workers are busy");
	else if (job->kind == HF_FRONT_FETCH)
		hf_front_fetch_refuse(HF_CONTAINER_OF(job, struct hf_front_fetch, job), 503, "the relay's workers are busy\n", HF_FRONT_BUSY);
}

static void on_reassign(void *context, void *owner, uint64_t number, enum hf_dispatch_cause cause)
{
	struct hf_front_job *job = find_job(context, number);
	if (!job)
		return;
	forget_job(context, job);
	if (job->kind == HF_FRONT_DELEGATE) {
		hf_front_question_reassign(job);
		return;
	}
	if (job->kind == HF_FRONT_INFORM) {
		hf_front_document_reassign(job);
		return;
	}
	if (job->kind == HF_FRONT_FETCH) {
		hf_front_fetch_fail(HF_CONTAINER_OF(job, struct hf_front_fetch, job));
		return;
	}
	struct hf_front_session *s = job->kind == HF_FRONT_OPEN ? HF_CONTAINER_OF(job, struct hf_front_session, job)
								: HF_CONTAINER_OF(job, struct hf_front_item, job)->session;
	const struct hf_registration *record = hf_front_record(context, s->key);
	/* Something slow is still better than nothing, unless it has not even begun. */
	if (job->kind == HF_FRONT_OPEN || (record && hf_front_has_worker(context, record, s->peer)))
		hf_front_session_move(s, false);
}

static void on_leave(void *context, const uint8_t peer[static 32], enum hf_dispatch_cause cause)
{
	struct hf_front *front = context;
	for (struct hf_front_session *s = front->sessions, *next; s; s = next) {
		next = s->next;
		const struct hf_registration *record = hf_front_record(front, s->key);
		bool is_there = s->stream && memcmp(s->peer, peer, 32) == 0;
		if (is_there && record && hf_front_has_worker(front, record, peer))
			hf_front_session_move(s, false);
	}
}

static const struct hf_dispatch_events dispatch_events = {
	.assigned = on_assigned, .refused = on_refused, .reassign = on_reassign, .leave = on_leave};

struct hf_dispatcher *hf_front_dispatcher(struct hf_front *front)
{
	return front->dispatcher;
}

/* ---- What is told from outside ---- */

const struct hf_registration *hf_front_record(struct hf_front *front, const char *key)
{
	return hf_registry_find(front->options.registry, hf_slice_text(key));
}

/* Those that are at the silent peer, or at any when it is NULL, go where somebody speaks. */
static void leave_silent(struct hf_front *front, const uint8_t *peer)
{
	for (struct hf_front_session *s = front->sessions, *next; s; s = next) {
		next = s->next;
		const struct hf_registration *record = hf_front_record(front, s->key);
		bool is_there = s->stream && (peer ? memcmp(s->peer, peer, 32) == 0 : !is_heard(front, s->peer));
		if (is_there && record && has_heard(front, record, s->peer))
			hf_front_session_move(s, false);
	}
}

void hf_front_worker_silent(struct hf_front *front, const uint8_t peer[static 32])
{
	leave_silent(front, peer);
}

void hf_front_worker_connected(struct hf_front *front, const uint8_t peer[static 32])
{
	hf_dispatcher_add(front->dispatcher, hf_front_now_us(front), peer);
	for (struct hf_front_session *s = front->sessions, *next; s; s = next) {
		next = s->next;
		if (s->state == HF_FRONT_LOST)
			hf_front_session_seek(s);
	}
	leave_silent(front, NULL);
}

void hf_front_worker_gone(struct hf_front *front, const uint8_t peer[static 32], bool is_revoked)
{
	hf_dispatcher_remove(front->dispatcher, hf_front_now_us(front), peer, is_revoked ? HF_DISPATCH_REVOKED : HF_DISPATCH_GONE);
	hf_front_arm(front);
}

void hf_front_worker_telemetry(struct hf_front *front, const uint8_t peer[static 32], const struct hf_dispatch_claims *claims)
{
	hf_dispatcher_telemetry(front->dispatcher, hf_front_now_us(front), peer, claims);
	hf_front_arm(front);
}

static void on_token_revoked(void *context, const struct hf_token_claims *claims, const char *reason, struct hf_slice frame)
{
	struct hf_front *front = context;
	for (struct hf_front_session *s = front->sessions, *next; s; s = next) {
		next = s->next;
		if (!s->has_token || s->state == HF_FRONT_CLOSING || memcmp(s->token_id, claims->id, sizeof s->token_id) != 0)
			continue;
		hf_websocket_send_text(s->ws, frame);
		hf_front_refuse(front, HF_FRONT_TOKEN_ENDED);
		hf_front_session_close(s, 4403, "Token revoked");
	}
}

static bool has_peer(const struct hf_registration *record, const uint8_t peer[static 32])
{
	for (size_t i = 0; i < record->peer_count; i++)
		if (memcmp(record->peers[i].key, peer, 32) == 0)
			return true;
	return false;
}

/* A worker that may not serve the relay any more is left. */
static void on_record_changed(void *context, const struct hf_registration *record)
{
	struct hf_front *front = context;
	for (struct hf_front_session *s = front->sessions, *next; s; s = next) {
		next = s->next;
		if (s->stream && strcmp(s->key, record->key) == 0 && !has_peer(record, s->peer))
			hf_front_session_move(s, false);
	}
}

static void on_record_removed(void *context, const char *key)
{
	struct hf_front *front = context;
	for (struct hf_front_session *s = front->sessions, *next; s; s = next) {
		next = s->next;
		if (strcmp(s->key, key) == 0 && s->state != HF_FRONT_CLOSING)
			hf_front_session_close(s, 4404, "Relay not registered");
	}
}

/* ---- Life ---- */

static int set_options(struct hf_front *front, const struct hf_front_options *given)
{
	struct hf_front_options own, *o = &own;
	int error = hf_options_take(o, sizeof *o, given);
	if (error)
		return error;
	o->session_count_max = o->session_count_max ? o->session_count_max : 20000;
	o->subscriptions_max = o->subscriptions_max ? o->subscriptions_max : 32;
	o->message_bytes_max = o->message_bytes_max ? o->message_bytes_max : 512u << 10;
	o->overlap_s = o->overlap_s ? o->overlap_s : 300;
	o->token_timeout_ms = o->token_timeout_ms ? o->token_timeout_ms : 10000;
	o->request_timeout_ms = o->request_timeout_ms ? o->request_timeout_ms : 15000;
	o->cache_max_age_s = o->cache_max_age_s ? o->cache_max_age_s : 300;
	o->dispatcher.size = sizeof o->dispatcher;
	o->dispatcher.events = &dispatch_events;
	o->dispatcher.context = front;
	o->dispatcher.metrics = o->metrics;
	o->limits.size = sizeof o->limits;
	front->options = own;
	return HF_OK;
}

static int listen_to_others(struct hf_front *front)
{
	front->record_events = (struct hf_registry_events){.changed = on_record_changed, .removed = on_record_removed, .context = front};
	front->token_events = (struct hf_token_events){.revoked = on_token_revoked, .context = front};
	int error = hf_registry_listen(front->options.registry, &front->record_events);
	return error || !front->options.tokens ? error : hf_tokens_listen(front->options.tokens, &front->token_events);
}

int hf_front_new(struct hf_front **out, const struct hf_front_options *options)
{
	struct hf_front *front = calloc(1, sizeof *front);
	if (!front)
		return HF_ENOMEM;
	int error = set_options(front, options);
	front->timer.fire = on_timer;
	front->timer_us = UINT64_MAX;
	if (!error) {
		front->env = hf_loop_env(front->options.loop);
		front->env->random(front->env, &front->options.dispatcher.seed, sizeof front->options.dispatcher.seed);
		front->env->random(front->env, &front->options.limits.seed, sizeof front->options.limits.seed);
		error = hf_dispatcher_new(&front->dispatcher, &front->options.dispatcher);
	}
	if (!error)
		error = hf_limits_new(&front->limits, &front->options.limits);
	if (!error && front->options.metrics)
		register_metrics(front, true);
	if (!error)
		error = listen_to_others(front);
	if (error) {
		hf_front_free(front);
		return error;
	}
	*out = front;
	return HF_OK;
}

void hf_front_reconfigure(struct hf_front *front, const struct hf_front_options *options)
{
	struct hf_front_options old = front->options;
	if (set_options(front, options))
		return;
	front->options.loop = old.loop;
	front->options.metrics = old.metrics;
	front->options.workers = old.workers;
	front->options.registry = old.registry;
	front->options.tokens = old.tokens;
	hf_dispatcher_reconfigure(front->dispatcher, &front->options.dispatcher);
	hf_limits_reconfigure(front->limits, &front->options.limits);
}

void hf_front_free(struct hf_front *front)
{
	if (!front)
		return;
	front->is_ending = true;
	while (front->sessions)
		hf_front_session_free(front->sessions);
	while (front->fetches)
		hf_front_fetch_free(front->fetches);
	hf_front_documents_free(front);
	hf_front_questions_free(front);
	if (front->options.loop)
		hf_loop_timer_cancel(front->options.loop, &front->timer);
	if (front->sessions_gauge.context)
		register_metrics(front, false);
	hf_dispatcher_free(front->dispatcher);
	hf_limits_free(front->limits);
	hf_u64_map_free(&front->jobs);
	hf_buffer_free(&front->scratch);
	free(front);
}
