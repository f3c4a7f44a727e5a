/* Every socket of the swarm is watched: on those that we dialled, the channel is opened at once, on others when the remote opens it.
 * Nothing is torn down inside of a mux: what has ended is noted, and swept at the end of the loop's iteration.
 */
#include "service/gateway/workers.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/options.h"
#include "crypto/hash.h"
#include "crypto/namespace.h"
#include "crypto/secret.h"
#include "service/gateway/workers_private.h"

static struct hf_log_module log_module = HF_LOG_MODULE("workers");

/* ---- Turning ---- */

void hf_workers_settle(struct hf_workers *pool)
{
	hf_loop_defer(pool->options.loop, &pool->sweep);
}

void hf_worker_note_end(struct hf_worker *worker, enum hf_worker_end why)
{
	if (worker->has_ended)
		return;
	worker->has_ended = true;
	worker->why = why;
	hf_workers_settle(worker->pool);
}

static void turn_streams(struct hf_worker *worker)
{
	struct hf_worker_stream *stream = worker->streams, *next;
	while (stream) {
		/* What a turn calls may close others: only the list's first is sure, so it begins anew after each that had something. */
		next = stream->next;
		bool was_due = stream->needs_turn || stream->has_ended;
		if (was_due)
			hf_worker_stream_turn(stream);
		stream = was_due ? worker->streams : next;
	}
}

static void sweep(struct hf_loop_deferred *deferred)
{
	struct hf_workers *pool = HF_CONTAINER_OF(deferred, struct hf_workers, sweep);
	for (struct hf_worker *worker = pool->workers, *next; worker; worker = next) {
		if (worker->bee_has_ended)
			hf_worker_end_bee(worker);
		turn_streams(worker);
		next = worker->next;
		if (worker->has_ended)
			hf_worker_finish(worker);
	}
}

static void on_tick(struct hf_timer *timer)
{
	struct hf_workers *pool = HF_CONTAINER_OF(timer, struct hf_workers, tick);
	uint64_t now_us = hf_loop_now_us(pool->options.loop);
	/* When we slept, answers that came meanwhile are read before anybody is found late. */
	bool is_late = pool->ticked_us > 0 && now_us - pool->ticked_us > 3 * HF_WORKERS_TICK_MS * 1000u;
	for (struct hf_worker *worker = is_late ? NULL : pool->workers, *next; worker; worker = next) {
		next = worker->next;
		hf_worker_tick(worker, now_us);
	}
	pool->ticked_us = pool->workers ? now_us : 0;
	if (pool->workers)
		hf_loop_timer_set(pool->options.loop, &pool->tick, HF_WORKERS_TICK_MS); /* its place was just left: there is memory */
}

/* ---- Sockets ---- */

static struct hf_worker *of_socket(const struct hf_workers *pool, const struct hf_peer_socket *socket)
{
	struct hf_worker *worker = pool->workers;
	while (worker && worker->socket != socket)
		worker = worker->next;
	return worker;
}

/* The remote opens the channel, so it wants to be a worker. */
static int on_notify(void *context, struct hf_protomux *mux, struct hf_slice protocol, struct hf_slice id)
{
	struct hf_worker *worker = context;
	if (!worker->has_ended && !worker->channel && hf_worker_open_channel(worker) == HF_ENOMEM)
		return HF_ENOMEM;
	return HF_OK;
}

static int watch(struct hf_worker *worker)
{
	struct hf_protomux *mux = hf_peer_socket_mux(worker->socket);
	struct hf_workers *pool = worker->pool;
	int r = pool->workers ? HF_OK : hf_loop_timer_set(pool->options.loop, &pool->tick, HF_WORKERS_TICK_MS);
	HF_LIST_PUSH(pool->workers, worker);
	if (r == HF_OK)
		r = hf_protomux_pair(mux, HF_SLICE_LITERAL(HF_RELAY_CHANNEL_PROTOCOL), hf_slice(NULL, 0), on_notify, worker);
	if (r == HF_OK && hf_peer_socket_is_initiator(worker->socket))
		r = hf_worker_open_channel(worker);
	return r;
}

void hf_workers_socket_opened(struct hf_workers *pool, struct hf_peer_socket *socket)
{
	const uint8_t *key = hf_peer_socket_remote_key(socket);
	if (pool->is_closing || of_socket(pool, socket))
		return;
	if (pool->options.swarm && hf_swarm_find(pool->options.swarm, key) != socket)
		return;
	struct hf_worker *worker = calloc(1, sizeof *worker);
	if (!worker) {
		hf_peer_socket_fail(socket, HF_ENOMEM, "There was no memory for a worker.");
		return;
	}
	worker->pool = pool;
	worker->socket = socket;
	memcpy(worker->key, key, sizeof worker->key);
	worker->opened_us = hf_loop_now_us(pool->options.loop);
	if (watch(worker) < 0)
		hf_worker_note_end(worker, HF_WORKER_PROTOCOL);
}

void hf_workers_socket_closed(struct hf_workers *pool, struct hf_peer_socket *socket)
{
	struct hf_worker *worker = of_socket(pool, socket);
	if (!worker)
		return;
	if (!worker->has_ended)
		worker->why = HF_WORKER_GONE;
	worker->has_ended = true;
	worker->socket = NULL;
	hf_worker_finish(worker);
}

/* ---- Who is wanted, and found ---- */

int hf_workers_want(struct hf_workers *pool, const uint8_t peer_key[static 32])
{
	return pool->options.swarm ? hf_swarm_join_peer(pool->options.swarm, peer_key) : HF_EINVAL;
}

void hf_workers_unwant(struct hf_workers *pool, const uint8_t peer_key[static 32])
{
	if (pool->options.swarm)
		hf_swarm_leave_peer(pool->options.swarm, peer_key);
}

struct hf_worker *hf_workers_find(struct hf_workers *pool, const uint8_t peer_key[static 32])
{
	struct hf_worker *worker = hf_map_get(&pool->by_key, hf_slice(peer_key, 32));
	return worker && !worker->has_ended && !worker->is_ill ? worker : NULL;
}

struct hf_worker *hf_workers_next(struct hf_workers *pool, size_t *cursor)
{
	struct hf_worker *worker;
	while ((worker = hf_map_next(&pool->by_key, cursor)) && worker->has_ended)
		;
	return worker;
}

static uint64_t count_of(const struct hf_counter *counter)
{
	return atomic_load_explicit(&counter->value, memory_order_relaxed);
}

void hf_workers_stats(const struct hf_workers *pool, struct hf_workers_stats *stats)
{
	*stats = (struct hf_workers_stats){.workers = (uint32_t)pool->by_key.count, .connected = count_of(&pool->connected),
		.refused = count_of(&pool->refused), .duplicates = count_of(&pool->replaced), .unhealthy = count_of(&pool->unhealthy),
		.requests = count_of(&pool->requests), .polls = count_of(&pool->polls),
		.telemetry_refused = count_of(&pool->telemetry_refused)};
	for (const struct hf_worker *worker = pool->workers; worker; worker = worker->next) {
		struct hf_relay_channel_stats channel = {0};
		if (worker->channel)
			hf_relay_channel_stats(worker->channel, &channel);
		stats->telemetry_refused += channel.telemetry_refused;
		stats->hypertuna_workers += worker->is_connected && worker->is_hypertuna;
		stats->streams += worker->stream_count;
	}
}

/* ---- Life ---- */

static void register_metrics(struct hf_workers *pool)
{
	struct hf_metrics *m = pool->options.metrics;
	hf_gauge_register(m, &pool->connected_now, "gateway_active_peers", "", "Workers that are connected");
	hf_gauge_register(m, &pool->hypertuna_now, "gateway_hypertuna_peers", "", "Of them, those without streams");
	hf_gauge_register(m, &pool->streams_now, "gateway_worker_streams", "", "WebSockets and HTTP exchanges with workers");
	hf_counter_register(m, &pool->connected, "gateway_workers_connected_total", "", "Workers that have connected");
	hf_counter_register(m, &pool->refused, "gateway_workers_refused_total", "", "Workers that were turned away");
	hf_counter_register(m, &pool->replaced, "gateway_workers_replaced_total", "",
		"Workers whose newer connection took the older's place");
	hf_counter_register(m, &pool->unhealthy, "gateway_workers_unhealthy_total", "", "Workers that failed a health check");
	hf_counter_register(m, &pool->silent, "gateway_workers_silent_total", "", "Times that a worker with sessions said nothing for a while");
	hf_counter_register(m, &pool->requests, "gateway_worker_requests_total", "", "Requests of workers");
	hf_counter_register(m, &pool->polls, "gateway_worker_polls_total", "", "Questions for events to workers that cannot push");
	hf_counter_register(m, &pool->telemetry_refused, "gateway_worker_telemetry_refused_total", "", "Telemetry that was not valid");
}

static void unregister_metrics(struct hf_workers *pool)
{
	struct hf_metric_link *links[] = {&pool->connected_now.link, &pool->hypertuna_now.link, &pool->streams_now.link,
		&pool->connected.link, &pool->refused.link, &pool->replaced.link, &pool->unhealthy.link,
		&pool->requests.link, &pool->polls.link, &pool->telemetry_refused.link, &pool->silent.link};
	for (size_t i = 0; pool->options.metrics && i < sizeof links / sizeof *links; i++)
		hf_metric_unregister(pool->options.metrics, links[i]);
}

static void on_look(struct hf_timer *timer)
{
	struct hf_workers *pool = HF_CONTAINER_OF(timer, struct hf_workers, look);
	hf_swarm_session_refresh(pool->session, HF_SWARM_CLIENT, 0);
	pool->look_ms = pool->look_ms < HF_WORKERS_LOOK_MS_MAX / 2 ? 2 * pool->look_ms : HF_WORKERS_LOOK_MS_MAX;
	hf_loop_timer_set(pool->options.loop, timer, pool->look_ms);
}

static int join(struct hf_workers *pool)
{
	uint8_t topic[32], own[32];
	if (!pool->options.swarm)
		return HF_OK;
	hf_blake2b(topic, sizeof topic, hf_slice(NULL, 0), HF_SLICE_LITERAL(HF_RELAY_CHANNEL_TOPIC));
	hf_discovery_key(own, pool->public_key);
	int r = hf_swarm_join(pool->options.swarm, topic, HF_SWARM_CLIENT, 0, &pool->session);
	if (r == HF_OK)
		r = hf_swarm_join(pool->options.swarm, own, HF_SWARM_SERVER, 0, &pool->own);
	return r == HF_OK ? hf_loop_timer_set(pool->options.loop, &pool->look, pool->look_ms) : r;
}

static void set_default(uint32_t *value, uint32_t other)
{
	*value = *value > 0 ? *value : other;
}

static void take_options(struct hf_workers *pool)
{
	struct hf_workers_options *o = &pool->options;
	struct hf_env *env = hf_loop_env(o->loop);
	uint8_t seed[HF_SIGN_SEED_BYTES], public_key[HF_SIGN_PUBLIC_BYTES];
	uint64_t map_seed;
	memcpy(pool->public_key, o->public_key, sizeof pool->public_key);
	if (o->bee_key) {
		memcpy(pool->bee_key, o->bee_key, sizeof pool->bee_key);
		o->bee_key = pool->bee_key;
	}
	set_default(&o->worker_count_max, HF_WORKERS_COUNT_MAX);
	set_default(&o->stream_count_max, HF_WORKERS_STREAM_COUNT_MAX);
	set_default(&o->health_interval_ms, HF_WORKERS_HEALTH_INTERVAL_MS);
	set_default(&o->request_timeout_ms, HF_RELAY_CHANNEL_REQUEST_TIMEOUT_MS);
	env->random(env, seed, sizeof seed);
	hf_sign_keypair_from_seed(public_key, pool->secret, seed);
	hf_wipe(seed, sizeof seed);
	env->random(env, &map_seed, sizeof map_seed);
	hf_map_init(&pool->by_key, map_seed);
	pool->tick.fire = on_tick;
	pool->look.fire = on_look;
	pool->look_ms = HF_WORKERS_LOOK_MS_MIN;
	pool->sweep.run = sweep;
}

int hf_workers_new(struct hf_workers **out, const struct hf_workers_options *given, struct hf_failure *failure)
{
	struct hf_workers *pool = calloc(1, sizeof *pool);
	*out = NULL;
	int r = pool ? hf_options_take(&pool->options, sizeof pool->options, given) : HF_ENOMEM;
	if (r < 0) {
		free(pool);
		return hf_fail(failure, r, "The pool of workers cannot start: %s.", hf_error_text(r));
	}
	take_options(pool);
	register_metrics(pool);
	r = hf_secret_stream_pool_new(&pool->pool);
	if (r == HF_OK)
		r = join(pool);
	if (r < 0) {
		hf_workers_free(pool);
		return hf_fail(failure, r, "Workers cannot be looked for: %s.", hf_error_text(r));
	}
	hf_log_info(&log_module, "looking for workers", "hypertuna=%s", pool->options.accepts_hypertuna ? "yes" : "no");
	*out = pool;
	return HF_OK;
}

void hf_workers_free(struct hf_workers *pool)
{
	if (!pool)
		return;
	pool->is_closing = true;
	if (pool->session)
		hf_swarm_leave(pool->session);
	if (pool->own)
		hf_swarm_leave(pool->own);
	hf_loop_timer_cancel(pool->options.loop, &pool->look);
	while (pool->workers) {
		if (!pool->workers->has_ended)
			pool->workers->why = HF_WORKER_DISMISSED;
		pool->workers->has_ended = true;
		hf_worker_finish(pool->workers);
	}
	hf_loop_timer_cancel(pool->options.loop, &pool->tick);
	hf_loop_timer_cancel(pool->options.loop, &pool->pulse);
	hf_loop_cancel_deferred(pool->options.loop, &pool->sweep);
	unregister_metrics(pool);
	hf_map_free(&pool->by_key);
	hf_secret_stream_pool_free(pool->pool);
	hf_wipe(pool->secret, sizeof pool->secret);
	free(pool);
}
