/* relay: the instance itself: what it is made of, its settings, the sweep of expired events, and its end. */
#include "service/relay/relay.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"
#include "service/relay/internal.h"

#define FILTER_MEMORY_BYTES_MAX (8u << 20) /* of one REQ or COUNT */
#define SWEEP_BATCH_COUNT 512

/* ---- Expired events ---- */

static void arm_sweep(struct hf_relay *relay, uint64_t delay_ms)
{
	hf_loop_timer_set(relay->loop, &relay->sweep_timer, delay_ms);
}

static void run_sweep(struct hf_work *work)
{
	struct hf_relay *relay = HF_CONTAINER_OF(work, struct hf_relay, sweep_work);
	relay->sweep_status = hf_admission_sweep_expired(relay->store, relay->collection, hf_env_wall_s(relay->env), &relay->sweep_hour,
		SWEEP_BATCH_COUNT);
	hf_loop_post(relay->loop, &relay->sweep_mail);
}

static void swept(struct hf_loop_mail *mail)
{
	struct hf_relay *relay = HF_CONTAINER_OF(mail, struct hf_relay, sweep_mail);
	relay->work_count--;
	if (relay->sweep_status > 0)
		hf_counter_add(&relay->metrics.swept, (uint64_t)relay->sweep_status);
	if (relay->bee && relay->sweep_status > 0)
		hf_relay_bee_note(relay->bee);
	if (!relay->is_closing)
		arm_sweep(relay, relay->sweep_status == SWEEP_BATCH_COUNT ? 10 : relay->policy.sweep_interval_ms);
}

static void on_sweep_timer(struct hf_timer *timer)
{
	struct hf_relay *relay = HF_CONTAINER_OF(timer, struct hf_relay, sweep_timer);
	relay->work_count++;
	if (relay->query_executor->submit(relay->query_executor, &relay->sweep_work) < 0) {
		relay->work_count--;
		arm_sweep(relay, relay->policy.sweep_interval_ms);
	}
}

/* ---- Making and changing ---- */

static int build_texts(struct hf_relay *relay, const struct hf_relay_options *options)
{
	struct hf_buffer information = {0}, head = {0}, tail = {0};
	int r = hf_relay_information_build(options->config, options->settings, relay, &information);
	if (r == HF_OK)
		r = hf_relay_landing_build(options->settings, relay, &head, &tail);
	if (r < 0) {
		hf_buffer_free(&information);
		hf_buffer_free(&head);
		hf_buffer_free(&tail);
		return r;
	}
	hf_buffer_free(&relay->information);
	hf_buffer_free(&relay->page_head);
	hf_buffer_free(&relay->page_tail);
	relay->information = information;
	relay->page_head = head;
	relay->page_tail = tail;
	return HF_OK;
}

static int make_verifiers(struct hf_relay *relay)
{
	uint32_t wanted = relay->verify_executor->worker_count ? relay->verify_executor->worker_count : 1;
	if (wanted > HF_RELAY_VERIFY_COUNT_MAX)
		wanted = HF_RELAY_VERIFY_COUNT_MAX;
	for (; relay->verifier_total < wanted; relay->verifier_total++) {
		int r = hf_schnorr_new(&relay->verifiers[relay->verifier_total], relay->env, HF_SCHNORR_CACHE_KEYS);
		if (r < 0)
			return r;
		relay->verifier_count++;
	}
	return HF_OK;
}

static int set_up(struct hf_relay *relay, const struct hf_relay_options *options)
{
	uint64_t seeds[2];
	const struct hf_config_relay *settings = options->settings;
	relay->env->random(relay->env, seeds, sizeof seeds);
	hf_map_init(&relay->in_flight, seeds[0]);
	pthread_mutex_init(&relay->verifier_lock, NULL);
	relay->arena.limit_bytes = FILTER_MEMORY_BYTES_MAX;
	relay->gather.run = hf_relay_ingest_flush;
	relay->sweep_timer.fire = on_sweep_timer;
	relay->sweep_work.run = run_sweep;
	relay->sweep_mail.deliver = swept;
	snprintf(relay->instance, sizeof relay->instance, "%s", settings->instance);
	bool is_main = strcmp(settings->instance, "main") == 0;
	relay->collection = settings->number ? (uint32_t)settings->number : 1;
	relay->listen_url = options->listen_url;
	if (settings->path[0])
		relay->path = strdup(settings->path);
	else if (asprintf(&relay->path, "/%s", is_main ? "" : settings->instance) < 0)
		relay->path = NULL;
	if (!relay->path)
		return HF_ENOMEM;
	int r = hf_subscriptions_new(&relay->subscriptions, seeds[1]);
	if (r == HF_OK)
		r = make_verifiers(relay);
	if (r == HF_OK)
		r = build_texts(relay, options);
	return r == HF_OK ? hf_relay_metrics_register(relay, options->metrics) : r;
}

static void configure_bee(struct hf_relay *relay, const struct hf_config_relay *settings)
{
	struct hf_relay_bee_settings bee = {.interval_ms = settings->bee_interval_ms, .batch_count = (uint32_t)settings->bee_batch,
		.leaves_out_private = settings->private_reads};
	if (relay->bee)
		hf_relay_bee_configure(relay->bee, &bee);
}

static int open_bee(struct hf_relay *relay, const struct hf_relay_options *options, struct hf_failure *failure)
{
	struct hf_relay_bee_options bee = {.size = sizeof bee, .loop = options->loop, .store = options->store, .executor = options->query,
		.host = options->host, .metrics = options->metrics, .collection = relay->collection, .instance = relay->instance,
		.secret_key = options->bee_key};
	if (!options->settings->bee)
		return hf_relay_bee_forsake(relay->store, relay->collection);
	int r = hf_relay_bee_new(&relay->bee, &bee, failure);
	configure_bee(relay, options->settings);
	return r;
}

int hf_relay_new(struct hf_relay **out, const struct hf_relay_options *options, struct hf_failure *failure)
{
	struct hf_relay *relay = calloc(1, sizeof *relay);
	*out = NULL;
	if (!relay)
		return hf_fail(failure, HF_ENOMEM, "Out of memory while starting relay %s.", options->settings->instance);
	relay->loop = options->loop;
	relay->env = hf_loop_env(options->loop);
	relay->opened_ahead_ms = (int64_t)hf_env_wall_ms(relay->env) - (int64_t)hf_env_monotonic_ms(relay->env);
	relay->store = options->store;
	relay->verify_executor = options->verify;
	relay->query_executor = options->query;
	memcpy(relay->identity, options->identity, sizeof relay->identity);
	int r = hf_relay_policy_set(&relay->policy, relay->env, options->config, options->settings, failure);
	if (r == HF_OK) {
		r = set_up(relay, options);
		if (r < 0)
			hf_fail(failure, r, "Relay %s cannot start: %s.", options->settings->instance, hf_error_text(r));
	}
	if (r == HF_OK)
		r = open_bee(relay, options, failure);
	if (r < 0) {
		hf_relay_free(relay);
		return r;
	}
	arm_sweep(relay, 1000);
	*out = relay;
	return HF_OK;
}

int hf_relay_reconfigure(struct hf_relay *relay, const struct hf_relay_options *options, struct hf_failure *failure)
{
	struct hf_relay_policy old = relay->policy;
	int r = hf_relay_policy_set(&relay->policy, relay->env, options->config, options->settings, failure);
	if (r < 0)
		return r;
	r = build_texts(relay, options);
	if (r < 0) {
		hf_relay_writers_free(relay->policy.writers);
		relay->policy = old;
		return hf_fail(failure, r, "The settings of relay %s cannot be applied: %s.", relay->instance, hf_error_text(r));
	}
	hf_relay_writers_free(old.writers);
	configure_bee(relay, options->settings);
	return HF_OK;
}

bool hf_relay_is_idle(const struct hf_relay *relay)
{
	return relay->connection_count == 0 && relay->in_flight_count == 0 && relay->work_count == 0 &&
		(!relay->bee || hf_relay_bee_is_idle(relay->bee));
}

void hf_relay_end(struct hf_relay *relay)
{
	if (relay->bee)
		hf_relay_bee_end(relay->bee);
}

void hf_relay_release_cores(struct hf_relay *relay)
{
	hf_relay_bee_free(relay->bee);
	relay->bee = NULL;
}

void hf_relay_free(struct hf_relay *relay)
{
	if (!relay)
		return;
	relay->is_closing = true;
	hf_relay_release_cores(relay);
	hf_loop_timer_cancel(relay->loop, &relay->sweep_timer);
	hf_loop_cancel_deferred(relay->loop, &relay->gather);
	hf_relay_metrics_unregister(&relay->metrics);
	free(relay->metrics.labels);
	if (relay->lookup)
		hf_snapshot_release(relay->lookup);
	for (uint32_t i = 0; i < relay->verifier_count; i++)
		hf_schnorr_free(relay->verifiers[i]);
	pthread_mutex_destroy(&relay->verifier_lock);
	hf_relay_writers_free(relay->policy.writers);
	hf_subscriptions_free(relay->subscriptions);
	hf_map_free(&relay->in_flight);
	hf_arena_free(&relay->arena);
	struct hf_buffer *buffers[] = {&relay->text, &relay->reply, &relay->payload, &relay->json, &relay->information, &relay->page_head,
		&relay->page_tail, &relay->members};
	for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
		hf_buffer_free(buffers[i]);
	free(relay->path);
	free(relay);
}

/* ---- HTTP ---- */

/* The address that the page shows: what the browser itself came by, unless one is configured. */
static int append_address(struct hf_relay *relay, struct hf_http_exchange *exchange, struct hf_buffer *out)
{
	struct hf_slice host = hf_http_header(exchange, "Host");
	if (relay->policy.public_url[0])
		return hf_buffer_append_text(out, relay->policy.public_url);
	for (size_t i = 0; i < host.length; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]", host.data[i]))
			host.length = 0;
	if (host.length == 0 || host.length > 255)
		return hf_buffer_printf(out, "%s%s", relay->listen_url, relay->path);
	return hf_buffer_printf(out, "ws://%.*s%s", (int)host.length, (const char *)host.data, relay->path[1] ? relay->path : "");
}

static void answer_page(struct hf_relay *relay, struct hf_http_exchange *exchange)
{
	struct hf_buffer page = {0};
	int r = hf_buffer_append(&page, relay->page_head.data, relay->page_head.length);
	if (r == HF_OK)
		r = append_address(relay, exchange, &page);
	if (r == HF_OK)
		r = hf_buffer_append(&page, relay->page_tail.data, relay->page_tail.length);
	if (r == HF_OK)
		hf_http_respond(exchange, 200, "text/html; charset=utf-8", hf_buffer_slice(&page),
			"Vary: Accept\r\nCache-Control: no-cache\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n"
			"Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
			"img-src data: https:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n");
	else
		hf_http_respond(exchange, 503, "text/plain", HF_SLICE_LITERAL("out of memory\n"), NULL);
	hf_buffer_free(&page);
}

static void answer_information(struct hf_relay *relay, struct hf_http_exchange *exchange)
{
	struct hf_buffer text = {0};
	if (hf_relay_information_append(relay, true, &text) == HF_OK) {
		hf_http_allow_origin(exchange, "*");
		hf_http_respond(exchange, 200, "application/nostr+json", hf_buffer_slice(&text), "Vary: Accept\r\n");
	} else {
		hf_http_respond(exchange, 503, "text/plain", HF_SLICE_LITERAL("out of memory\n"), NULL);
	}
	hf_buffer_free(&text);
}

void hf_relay_answer(struct hf_relay *relay, struct hf_http_exchange *exchange)
{
	struct hf_slice accept = hf_http_header(exchange, "Accept");
	if (hf_http_wants_websocket(exchange)) {
		hf_relay_connection_accept(relay, exchange);
	} else if (accept.length > 0 && memmem(accept.data, accept.length, "application/nostr+json", 22)) {
		answer_information(relay, exchange);
	} else {
		answer_page(relay, exchange);
	}
}

/* ---- Asking ---- */

const char *hf_relay_instance(const struct hf_relay *relay)
{
	return relay->instance;
}

const char *hf_relay_path(const struct hf_relay *relay)
{
	return relay->path;
}

const uint8_t *hf_relay_identity(const struct hf_relay *relay)
{
	return relay->identity;
}

struct hf_relay_bee *hf_relay_bee(const struct hf_relay *relay)
{
	return relay->bee;
}

static uint64_t value(const struct hf_counter *counter)
{
	return atomic_load_explicit(&counter->value, memory_order_relaxed);
}

void hf_relay_stats(const struct hf_relay *relay, struct hf_relay_stats *stats)
{
	const struct hf_relay_metrics *m = &relay->metrics;
	*stats = (struct hf_relay_stats){
		.connection_count = relay->connection_count,
		.subscription_count = hf_subscriptions_count(relay->subscriptions),
		.in_flight_count = relay->in_flight_count,
		.stored_count = value(&m->stored),
		.duplicate_count = value(&m->duplicates),
		.ephemeral_count = value(&m->ephemeral),
		.delivered_count = value(&m->delivered),
		.query_count = value(&m->on_loop) + value(&m->on_worker),
	};
	for (size_t i = 0; i < HF_REFUSED_COUNT; i++)
		stats->refused_count += stats->refused[i] = value(&m->refused[i]);
}
