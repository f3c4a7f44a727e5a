/* One worker: its channels, its health, and what is asked of it. */
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "codec/hex.h"
#include "crypto/namespace.h"
#include "service/gateway/workers_private.h"

#define BUSY_BYTES 16384u

static struct hf_log_module log_module = HF_LOG_MODULE("workers");

static struct hf_env *env_of(const struct hf_worker *worker)
{
	return hf_loop_env(worker->pool->options.loop);
}

static uint64_t deadline_in(const struct hf_worker *worker, uint32_t timeout_ms)
{
	return hf_loop_now_us(worker->pool->options.loop) + (uint64_t)timeout_ms * 1000;
}

static void log_worker(const struct hf_worker *worker, const char *message, const char *why)
{
	char key[65] = "";
	hf_hex_encode(key, worker->key, 32);
	hf_log_info(&log_module, message, "peer=%s hypertuna=%s%s%s", key, worker->is_hypertuna ? "yes" : "no",
		why[0] ? " reason=" : "", why);
}

/* ---- The bee, for Hypertuna's workers: nested in a channel. Ours replicate it as any core. ---- */

static void on_bee_opened(void *context, struct hf_bee_channel *channel, struct hf_protomux *mux,
	const uint8_t handshake_hash[HF_STATIC HF_HANDSHAKE_HASH_BYTES])
{
	struct hf_worker *worker = context;
	const struct hf_replicator_stream_options options = {
		.mux = mux, .is_initiator = hf_peer_socket_is_initiator(worker->socket), .handshake_hash = handshake_hash};
	int r = hf_replicator_attach(hf_core_host_replicator(worker->pool->options.cores), &options, &worker->replication);
	if (r < 0)
		hf_protomux_fail(mux, r, "The bee cannot be replicated: %s.", hf_error_text(r));
}

static void on_bee_closed(void *context, struct hf_bee_channel *channel, int code, const char *why)
{
	struct hf_worker *worker = context;
	hf_log_debug(&log_module, "a worker's replication of the bee has ended", "reason=\"%s\"", why);
	worker->bee_has_ended = true;
	hf_workers_settle(worker->pool);
}

void hf_worker_end_bee(struct hf_worker *worker)
{
	hf_replicator_detach(worker->replication);
	hf_bee_channel_free(worker->bee);
	worker->replication = NULL;
	worker->bee = NULL;
	worker->bee_has_ended = false;
}

static int open_bee(struct hf_worker *worker)
{
	static const struct hf_bee_channel_events events = {.opened = on_bee_opened, .closed = on_bee_closed};
	struct hf_workers *pool = worker->pool;
	const struct hf_bee_channel_options options = {.is_initiator = hf_peer_socket_is_initiator(worker->socket),
		.is_upload = true,
		.bee_key = pool->options.bee_key,
		.env = env_of(worker),
		.pool = pool->pool,
		.static_secret = pool->secret,
		.events = &events,
		.context = worker};
	return hf_bee_channel_new(hf_peer_socket_mux(worker->socket), &options, &worker->bee);
}

/* ---- The channel ---- */

static void fill_handshake(const struct hf_worker *worker, struct hf_relay_handshake *handshake)
{
	const struct hf_workers_options *o = &worker->pool->options;
	*handshake = (struct hf_relay_handshake){.role = HF_RELAY_ROLE_GATEWAY, .is_server = !hf_peer_socket_is_initiator(worker->socket),
		.capabilities = HF_RELAY_CAPABILITIES | HF_RELAY_STREAM,
		.members = HF_SLICE_LITERAL("\"dispatcherEnabled\":true,\"hyperbeeRelayEnabled\":true")};
	if (!o->bee_key)
		handshake->members = HF_SLICE_LITERAL("\"dispatcherEnabled\":true,\"hyperbeeRelayEnabled\":false");
	if (o->bee_key) {
		handshake->bee.has_key = true;
		memcpy(handshake->bee.key, o->bee_key, 32);
		hf_discovery_key(handshake->bee.discovery_key, o->bee_key);
	}
	if (o->bee_info)
		o->bee_info(o->context, &handshake->bee);
}

static void on_identified(void *context, int result, const struct hf_relay_response *response)
{
	struct hf_worker *worker = context;
	if (result == HF_OK && response->status != 200)
		log_worker(worker, "a worker does not take us for its gateway", "refused");
}

/* Tells one of Hypertuna's that this connection is the gateway's. */
static int identify(struct hf_worker *worker)
{
	struct hf_relay_handshake handshake;
	struct hf_buffer body = {0};
	char key[65] = "";
	fill_handshake(worker, &handshake);
	hf_hex_encode(key, worker->pool->public_key, 32);
	int r = hf_buffer_append_text(&body, "{\"status\":\"identified\",\"payload\":");
	if (r == HF_OK)
		r = hf_relay_handshake_write(&handshake, &body);
	if (r == HF_OK)
		r = hf_buffer_printf(&body, ",\"peer\":\"%s\",\"timestamp\":%llu}", key,
			(unsigned long long)hf_env_wall_ms(env_of(worker)));
	if (r == HF_OK) {
		const struct hf_http_field type = {HF_SLICE_LITERAL("content-type"), HF_SLICE_LITERAL("application/json")};
		const struct hf_relay_request request = {.method = HF_SLICE_LITERAL("POST"), .path = HF_SLICE_LITERAL("/identify-gateway"),
			.fields = &type, .field_count = 1, .body = hf_buffer_slice(&body)};
		r = hf_worker_ask(worker, &request, on_identified, worker, NULL);
	}
	hf_buffer_free(&body);
	return r;
}

static void on_streams_closed(void *context, struct hf_relay_streams *streams, enum hf_channel_end end)
{
	hf_worker_note_end(context, HF_WORKER_GONE);
}

/* Workers open none; what they do is refused. */
static void on_stream(void *context, struct hf_relay_streams *streams, struct hf_relay_stream *stream,
	const struct hf_relay_stream_open *open)
{
}

static int open_streams(struct hf_worker *worker)
{
	static const struct hf_relay_streams_events events = {.stream = on_stream, .closed = on_streams_closed};
	struct hf_relay_streams_options options = {.is_initiator = hf_peer_socket_is_initiator(worker->socket),
		.stream_count_max = worker->pool->options.stream_count_max, .events = &events, .context = worker};
	env_of(worker)->random(env_of(worker), &options.seed, sizeof options.seed);
	return hf_relay_streams_new(hf_peer_socket_mux(worker->socket), &options, &worker->relay_streams);
}

/* Whether it may be a worker of ours, told by what it says of itself. */
static const char *why_refused(const struct hf_worker *worker, const struct hf_relay_handshake *theirs)
{
	const struct hf_workers *pool = worker->pool;
	if (theirs->role == HF_RELAY_ROLE_GATEWAY)
		return "a gateway";
	if (!(theirs->capabilities & HF_RELAY_STREAM) && !pool->options.accepts_hypertuna)
		return "it has no streams, and compatibility.hypertuna is off";
	if (pool->by_key.count >= pool->options.worker_count_max && !hf_map_get(&pool->by_key, hf_slice(worker->key, 32)))
		return "there are too many workers";
	return NULL;
}

static int connect_worker(struct hf_worker *worker, const struct hf_relay_handshake *theirs)
{
	const struct hf_workers_options *o = &worker->pool->options;
	bool has_other_bee = theirs->bee.has_key && o->bee_key && memcmp(theirs->bee.key, o->bee_key, 32) != 0;
	int r = HF_OK;
	if (!worker->is_hypertuna)
		r = open_streams(worker);
	else if (o->cores && o->bee_key && theirs->role == HF_RELAY_ROLE_REPLICA && !has_other_bee)
		r = open_bee(worker);
	if (r == HF_OK && worker->is_hypertuna)
		r = identify(worker);
	if (r < 0)
		return r;
	struct hf_worker *older = hf_map_remove(&worker->pool->by_key, hf_slice(worker->key, 32));
	r = hf_map_put(&worker->pool->by_key, hf_slice(worker->key, 32), worker, NULL);
	if (older) {
		hf_counter_add(&worker->pool->replaced, 1);
		hf_worker_note_end(older, HF_WORKER_REPLACED);
	}
	return r;
}

static int on_opened(void *context, struct hf_relay_channel *channel, const struct hf_relay_handshake *theirs)
{
	struct hf_worker *worker = context;
	struct hf_workers *pool = worker->pool;
	const char *refusal = why_refused(worker, theirs);
	worker->channel = channel; /* while hf_relay_channel_new has not returned yet */
	worker->is_hypertuna = !(theirs->capabilities & HF_RELAY_STREAM);
	worker->can_resume = theirs->capabilities & HF_RELAY_RESUME;
	if (refusal) {
		hf_counter_add(&pool->refused, 1);
		log_worker(worker, "a worker is turned away", refusal);
		hf_worker_note_end(worker, HF_WORKER_PROTOCOL);
		return HF_OK;
	}
	int r = connect_worker(worker, theirs);
	if (r < 0)
		return r;
	worker->checked_us = hf_loop_now_us(pool->options.loop);
	worker->connected_at_ms = hf_env_wall_ms(env_of(worker));
	worker->is_connected = true;
	hf_counter_add(&pool->connected, 1);
	hf_gauge_add(&pool->connected_now, 1);
	hf_gauge_add(&pool->hypertuna_now, worker->is_hypertuna);
	log_worker(worker, "a worker is connected", "");
	pool->options.events->connected(pool->options.context, worker);
	return HF_OK;
}

static void on_request(void *context, struct hf_relay_channel *channel, uint64_t call, const struct hf_relay_request *request)
{
	struct hf_worker *worker = context;
	if (worker->has_ended || !worker->is_connected)
		return;
	hf_counter_add(&worker->pool->requests, 1);
	worker->pool->options.events->request(worker->pool->options.context, worker, call, request);
}

static void on_telemetry(void *context, struct hf_relay_channel *channel, const struct hf_telemetry *telemetry)
{
	struct hf_worker *worker = context;
	const struct hf_workers_options *o = &worker->pool->options;
	worker->telemetry = *telemetry;
	worker->has_telemetry = true;
	if (!worker->has_ended && worker->is_connected && o->events->telemetry)
		o->events->telemetry(o->context, worker, telemetry);
}

static void on_channel_closed(void *context, struct hf_relay_channel *channel, enum hf_channel_end end)
{
	struct hf_worker *worker = context;
	hf_worker_note_end(worker, end == HF_CHANNEL_DESTROYED || worker->is_connected ? HF_WORKER_GONE : HF_WORKER_PROTOCOL);
}

static uint64_t wall_ms(void *context)
{
	return hf_env_wall_ms(env_of(context));
}

int hf_worker_open_channel(struct hf_worker *worker)
{
	static const struct hf_relay_channel_events events = {
		.opened = on_opened, .request = on_request, .telemetry = on_telemetry, .closed = on_channel_closed};
	struct hf_relay_handshake handshake;
	struct hf_relay_channel *channel;
	const struct hf_relay_channel_options options = {.handshake = &handshake, .body_bytes_max = worker->pool->options.body_bytes_max,
		.wall_ms = wall_ms, .events = &events, .context = worker};
	fill_handshake(worker, &handshake);
	int r = hf_relay_channel_new(hf_peer_socket_mux(worker->socket), &options, &channel);
	worker->channel = r == HF_OK ? channel : NULL;
	return r;
}

/* ---- Health ---- */

static uint64_t received_bytes(const struct hf_worker *worker)
{
	return worker->socket ? hf_peer_socket_received_bytes(worker->socket) : 0;
}

int hf_worker_check(struct hf_worker *worker, hf_relay_channel_reply *answered)
{
	uint64_t before = received_bytes(worker);
	int r = hf_relay_channel_check_health(worker->channel, deadline_in(worker, HF_RELAY_CHANNEL_HEALTH_TIMEOUT_MS), answered, worker);
	if (r == HF_OK && worker->checks_out++ == 0)
		worker->checked_bytes = before;
	return r;
}

static void note_health(struct hf_worker *worker, bool is_healthy)
{
	const struct hf_workers_options *o = &worker->pool->options;
	bool is_news = worker->is_ill == is_healthy;
	worker->is_ill = !is_healthy;
	if (is_news && worker->is_connected && !worker->has_ended && o->events->health)
		o->events->health(o->context, worker, is_healthy);
}

void hf_worker_checked(struct hf_worker *worker, int result)
{
	/* One whose answer waits behind much else that comes of it is there; signs of life of its connection are not much. */
	bool is_busy = received_bytes(worker) - worker->checked_bytes >= BUSY_BYTES;
	worker->checks_out--;
	if (result == HF_ETIMEOUT && !is_busy) {
		hf_counter_add(&worker->pool->unhealthy, 1);
		log_worker(worker, "a worker does not answer", "health-check-failed");
		hf_worker_note_end(worker, HF_WORKER_UNHEALTHY);
	} else if (result != HF_ECLOSED && result != HF_ETIMEOUT) {
		note_health(worker, result == HF_OK);
	}
}

static void on_health(void *context, int result, const struct hf_relay_response *response)
{
	hf_worker_checked(context, result);
}

static void check_health(struct hf_worker *worker, uint64_t now_us)
{
	if (now_us - worker->checked_us < (uint64_t)worker->pool->options.health_interval_ms * 1000)
		return;
	worker->checked_us = now_us;
	hf_worker_check(worker, on_health);
}

void hf_worker_tick(struct hf_worker *worker, uint64_t now_us)
{
	if (worker->has_ended || !worker->channel)
		return;
	if (hf_relay_channel_deadline(worker->channel) <= now_us)
		hf_relay_channel_tick(worker->channel, now_us);
	if (!worker->has_ended && !worker->is_connected && now_us - worker->opened_us > (uint64_t)HF_WORKERS_OPEN_TIMEOUT_MS * 1000)
		hf_worker_note_end(worker, HF_WORKER_PROTOCOL);
	if (worker->has_ended || !worker->is_connected)
		return;
	check_health(worker, now_us);
	if (worker->bee && !worker->bee_has_ended && hf_bee_channel_deadline_ms(worker->bee) <= now_us / 1000)
		hf_bee_channel_tick(worker->bee);
	for (struct hf_worker_stream *stream = worker->streams, *next; stream && worker->is_hypertuna; stream = next) {
		next = stream->next;
		hf_worker_hypertuna_poll(stream);
	}
}

/* ---- The end ---- */

static void leave_pool(struct hf_worker *worker)
{
	struct hf_workers *pool = worker->pool;
	HF_LIST_REMOVE(pool->workers, worker);
	if (!worker->is_connected)
		return;
	if (hf_map_get(&pool->by_key, hf_slice(worker->key, 32)) == worker)
		hf_map_remove(&pool->by_key, hf_slice(worker->key, 32));
	hf_gauge_add(&pool->connected_now, -1);
	hf_gauge_add(&pool->hypertuna_now, -(int64_t)worker->is_hypertuna);
}

void hf_worker_finish(struct hf_worker *worker)
{
	static const char *const whys[] = {[HF_WORKER_GONE] = "gone",
		[HF_WORKER_UNHEALTHY] = "health-check-failed",
		[HF_WORKER_REPLACED] = "duplicate-replacement",
		[HF_WORKER_DISMISSED] = "manual-destroy",
		[HF_WORKER_PROTOCOL] = "protocol"};
	struct hf_workers *pool = worker->pool;
	leave_pool(worker);
	hf_relay_streams_free(worker->relay_streams);
	while (worker->streams)
		hf_worker_stream_abandon(worker->streams);
	hf_worker_end_bee(worker);
	hf_relay_channel_free(worker->channel);
	worker->channel = NULL;
	if (worker->socket)
		hf_protomux_unpair(hf_peer_socket_mux(worker->socket), HF_SLICE_LITERAL(HF_RELAY_CHANNEL_PROTOCOL), hf_slice(NULL, 0));
	if (worker->is_connected) {
		log_worker(worker, "a worker is gone", whys[worker->why]);
		pool->options.events->gone(pool->options.context, worker, worker->why);
	}
	if (worker->socket && (worker->why == HF_WORKER_UNHEALTHY || worker->why == HF_WORKER_DISMISSED))
		hf_peer_socket_fail(worker->socket, HF_EDENIED, whys[worker->why]);
	free(worker);
}

/* ---- For the owner ---- */

const uint8_t *hf_worker_key(const struct hf_worker *worker)
{
	return worker->key;
}

bool hf_worker_is_hypertuna(const struct hf_worker *worker)
{
	return worker->is_hypertuna;
}

bool hf_worker_can_resume(const struct hf_worker *worker)
{
	return worker->can_resume;
}

bool hf_worker_is_healthy(const struct hf_worker *worker)
{
	return !worker->has_ended && !worker->is_ill;
}

const struct hf_telemetry *hf_worker_telemetry(const struct hf_worker *worker)
{
	return worker->has_telemetry ? &worker->telemetry : NULL;
}

uint64_t hf_worker_connected_at_ms(const struct hf_worker *worker)
{
	return worker->connected_at_ms;
}

uint32_t hf_worker_stream_count(const struct hf_worker *worker)
{
	return worker->stream_count;
}

void *hf_worker_context(const struct hf_worker *worker)
{
	return worker->context;
}

void hf_worker_set_context(struct hf_worker *worker, void *context)
{
	worker->context = context;
}

int hf_worker_ask(struct hf_worker *worker, const struct hf_relay_request *request, hf_relay_channel_reply *reply, void *context,
	uint64_t *id)
{
	if (worker->has_ended || !worker->channel)
		return HF_ECLOSED;
	return hf_relay_channel_request(
		worker->channel, request, deadline_in(worker, worker->pool->options.request_timeout_ms), reply, context, id);
}

void hf_worker_cancel(struct hf_worker *worker, uint64_t id)
{
	if (worker->channel)
		hf_relay_channel_cancel(worker->channel, id);
}

int hf_worker_respond(struct hf_worker *worker, uint64_t call, const struct hf_relay_response *response)
{
	return worker->has_ended || !worker->channel ? HF_ECLOSED : hf_relay_channel_answer(worker->channel, call, response);
}

int hf_worker_send_frame(struct hf_worker *worker, struct hf_slice json)
{
	return worker->has_ended || !worker->channel ? HF_ECLOSED : hf_relay_channel_send_frame(worker->channel, json);
}

void hf_worker_dismiss(struct hf_worker *worker, const char *why)
{
	log_worker(worker, "a worker is dismissed", why);
	hf_worker_note_end(worker, HF_WORKER_DISMISSED);
}
