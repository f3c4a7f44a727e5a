/* members: relays on members' own machines: what is known of them, who may use them, the workers that have them, and the door to them. Each
 * part knows nothing of the others but by its header; here they are joined. */
#include <jansson.h>
#include <stdlib.h>

#include "codec/hex.h"
#include "service/gateway/dials.h"
#include "service/gateway/internal.h"
#include "service/gateway/front.h"
#include "service/gateway/registrar.h"
#include "service/gateway/workers.h"
#include "service/swarm_node.h"

#define LATENCY_US_OF_MS 1000

/* What the gateway knows of a connected worker, also after it went while answers are under way. */
struct member {
	struct hf_gateway *gateway;
	struct hf_worker *worker; /* NULL: gone */
	uint32_t references;      /* the worker's own, and one for each request */
};

static void member_unref(struct member *member)
{
	if (--member->references == 0)
		free(member);
}

/* A request on the channel that is answered later. */
struct call {
	struct member *member;
	uint64_t number;
};

static void answer_call(struct member *member, uint64_t number, int status, struct hf_slice body)
{
	static const struct hf_http_field type = {HF_SLICE_LITERAL("content-type"), HF_SLICE_LITERAL("application/json")};
	struct hf_relay_response response = {.status = status, .fields = &type, .field_count = 1, .body = body};
	if (member->worker)
		hf_worker_respond(member->worker, number, &response);
}

static void on_answer(void *context, int status, struct hf_slice body)
{
	struct call *call = context;
	answer_call(call->member, call->number, status, body);
	member_unref(call->member);
	free(call);
}

/* ---- Requests of workers ---- */

static const struct desk {
	const char *path;
	enum hf_registrar_token_request token; /* 0: a registration */
} desks[] = {
	{"/gateway/register", 0},
	{"/gateway/relay-tokens/issue", HF_REGISTRAR_ISSUE},
	{"/gateway/relay-tokens/refresh", HF_REGISTRAR_REFRESH},
	{"/gateway/relay-tokens/revoke", HF_REGISTRAR_REVOKE},
};

static const struct desk *find_desk(struct hf_slice path)
{
	for (size_t i = 0; i < sizeof desks / sizeof *desks; i++)
		if (hf_slice_equal(path, hf_slice_text(desks[i].path)))
			return &desks[i];
	return NULL;
}

static void on_request(void *context, struct hf_worker *worker, uint64_t number, const struct hf_relay_request *request)
{
	struct hf_gateway *g = context;
	struct member *member = hf_worker_context(worker);
	const struct desk *desk = find_desk(request->path);
	struct call *call;
	if (!desk) {
		answer_call(member, number, 404, HF_SLICE_LITERAL("{\"error\":\"not-found\"}"));
		return;
	}
	if (!hf_slice_equal(request->method, HF_SLICE_LITERAL("POST"))) {
		answer_call(member, number, 405, HF_SLICE_LITERAL("{\"error\":\"method-not-allowed\"}"));
		return;
	}
	call = g->state ? malloc(sizeof *call) : NULL;
	if (!call) {
		answer_call(member, number, 503, hf_slice_text(g->state ? "{\"error\":\"out-of-memory\"}" : "{\"error\":\"ending\"}"));
		return;
	}
	*call = (struct call){member, number};
	member->references++;
	if (desk->token)
		hf_registrar_token(g->registrar, desk->token, request->body, hf_worker_key(worker), on_answer, call);
	else
		hf_registrar_register(g->registrar, request->body, hf_worker_key(worker), on_answer, call);
}

/* ---- Workers come and go ---- */

static void on_connected(void *context, struct hf_worker *worker)
{
	struct hf_gateway *g = context;
	struct member *member = calloc(1, sizeof *member);
	if (!member || hf_registry_peer_is_reachable(g->registry, hf_worker_key(worker), true) < 0) {
		free(member);
		hf_worker_dismiss(worker, "The gateway is out of memory.");
		return;
	}
	*member = (struct member){.gateway = g, .worker = worker, .references = 1};
	hf_worker_set_context(worker, member);
	hf_front_worker_connected(g->front, hf_worker_key(worker));
}

static void on_gone(void *context, struct hf_worker *worker, enum hf_worker_end why)
{
	struct hf_gateway *g = context;
	struct member *member = hf_worker_context(worker);
	bool was_known = member != NULL;
	if (member) {
		member->worker = NULL;
		member_unref(member);
	}
	/* Its next connection may be here before this one has gone. Without a front all of it is ending. */
	if (why == HF_WORKER_REPLACED || !g->front || hf_workers_find(g->workers, hf_worker_key(worker)))
		return;
	hf_registry_peer_is_reachable(g->registry, hf_worker_key(worker), false);
	if (was_known)
		hf_front_worker_gone(g->front, hf_worker_key(worker), why == HF_WORKER_DISMISSED);
}

static void on_health(void *context, struct hf_worker *worker, bool is_healthy)
{
	struct hf_gateway *g = context;
	hf_registry_peer_is_reachable(g->registry, hf_worker_key(worker), is_healthy); /* it is known there while it is here */
}

static void on_telemetry(void *context, struct hf_worker *worker, const struct hf_telemetry *t)
{
	struct hf_gateway *g = context;
	struct hf_dispatch_claims claims = {.latency_us = (uint64_t)t->latency_ms * LATENCY_US_OF_MS, .in_flight = t->in_flight_jobs,
		.failure_permille = (uint32_t)(t->failure_rate * 1000), .lag_blocks = t->bee_lag};
	hf_front_worker_telemetry(g->front, hf_worker_key(worker), &claims);
}

static void on_silent(void *context, struct hf_worker *worker)
{
	struct hf_gateway *g = context;
	hf_front_worker_silent(g->front, hf_worker_key(worker));
}

static const struct hf_workers_events worker_events = {
	.connected = on_connected, .silent = on_silent, .health = on_health, .gone = on_gone, .telemetry = on_telemetry, .request = on_request};

/* ---- Records, tokens ---- */

static bool knows(void *context, const struct hf_registration *record)
{
	return hf_registrar_knows(((struct hf_gateway *)context)->registrar, record);
}

static bool is_here(void *context, const uint8_t peer[static 32])
{
	return hf_workers_find(((struct hf_gateway *)context)->workers, peer) != NULL;
}

static int want(void *context, const uint8_t peer[static 32])
{
	return hf_workers_want(((struct hf_gateway *)context)->workers, peer);
}

static void unwant(void *context, const uint8_t peer[static 32])
{
	hf_workers_unwant(((struct hf_gateway *)context)->workers, peer);
}

/* Who is named in a record is called: it may have registered over HTTP. */
static int open_dials(struct hf_gateway *g)
{
	struct hf_dials_options options = {.size = sizeof options, .metrics = g->metrics, .knows = knows, .is_here = is_here, .want = want,
		.unwant = unwant, .context = g};
	g->env.random(&g->env, &options.seed, sizeof options.seed);
	int r = hf_dials_new(&g->dials, &options);
	return r == HF_OK ? hf_dials_follow(g->dials, g->registry) : r;
}

static void tell_workers(struct hf_gateway *g, const char *relay_key, struct hf_slice frame)
{
	const struct hf_registration *record = hf_registry_find(g->registry, hf_slice_text(relay_key));
	for (size_t i = 0; record && i < record->peer_count; i++) {
		struct hf_worker *worker = hf_workers_find(g->workers, record->peers[i].key);
		if (worker)
			hf_worker_send_frame(worker, frame);
	}
}

void hf_gateway_dismiss_worker(struct hf_gateway *g, const uint8_t peer[static 32], const char *why)
{
	struct hf_worker *worker = g->workers ? hf_workers_find(g->workers, peer) : NULL;
	if (!worker)
		return;
	hf_front_worker_gone(g->front, peer, true);
	hf_worker_dismiss(worker, why);
}

/* The front has its sockets closed by itself. */
static void on_revoked(void *context, const struct hf_token_claims *claims, const char *reason, struct hf_slice frame)
{
	tell_workers(context, claims->relay_key, frame);
}

/* ---- What registrations are answered with ---- */

static json_t *describe_dispatcher(const struct hf_config *c)
{
	return json_pack("{s:I, s:I, s:I}", "maxConcurrentJobsPerPeer", (json_int_t)c->dispatcher_in_flight_max,
		"reassignOnLagBlocks", (json_int_t)c->dispatcher_reassign_lag, "circuitBreakerThreshold", (json_int_t)c->dispatcher_failures_max);
}

static json_t *describe_bee(const struct hf_gateway *g)
{
	const struct hf_relay *relay = g->relays[0];
	struct hf_relay_bee_facts facts;
	char key[65] = {0}, discovery_key[65] = {0};
	const char *path = hf_relay_path(relay);
	if (!hf_relay_bee(relay))
		return json_null();
	hf_relay_bee_facts(hf_relay_bee(relay), &facts);
	hf_hex_encode(key, facts.key, 32);
	hf_hex_encode(discovery_key, facts.discovery_key, 32);
	return json_pack("{s:s, s:s, s:s, s:I, s:I, s:o, s:s, s:[]}", "hyperbeeKey", key, "discoveryKey", discovery_key,
		"replicationTopic", discovery_key, "defaultTokenTtl", (json_int_t)(g->config->token_ttl_ms / 1000),
		"tokenRefreshWindowSeconds", (json_int_t)(g->config->token_refresh_window_ms / 1000), "dispatcher", describe_dispatcher(g->config),
		"gatewayPath", path[0] == '/' ? path + 1 : path, "pathAliases");
}

static int describe(void *context, struct hf_buffer *out)
{
	const struct hf_gateway *g = context;
	const char *url = g->config->relays[0]->public_url;
	json_t *bee = describe_bee(g), *address = json_string(url[0] ? url : g->listen_url);
	char *text = bee ? json_dumps(bee, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
	char *address_text = address ? json_dumps(address, JSON_ENCODE_ANY) : NULL;
	int r = text && address_text ? hf_buffer_printf(out, ",\"hyperbee\":%s,\"url\":%s", text, address_text) : HF_ENOMEM;
	free(address_text);
	json_decref(address);
	free(text);
	json_decref(bee);
	return r;
}

static void bee_info(void *context, struct hf_relay_bee_info *info)
{
	const struct hf_gateway *g = context;
	struct hf_relay_bee_facts facts;
	*info = (struct hf_relay_bee_info){0};
	if (!hf_relay_bee(g->relays[0]))
		return;
	hf_relay_bee_facts(hf_relay_bee(g->relays[0]), &facts);
	info->has_key = true;
	memcpy(info->key, facts.key, 32);
	memcpy(info->discovery_key, facts.discovery_key, 32);
	info->length = info->contiguous_length = info->version = facts.version;
	info->updated_at_ms = hf_env_wall_ms((struct hf_env *)&g->env);
}

/* ---- Life ---- */

static struct hf_tokens_options token_options(struct hf_gateway *g, const struct hf_config *c)
{
	return (struct hf_tokens_options){.size = sizeof(struct hf_tokens_options), .loop = g->loop, .state = g->state, .registry = g->registry,
		.signing_key = hf_keys_active(g->keys, HF_KEY_GATEWAY_SIGNING)->secret.data, .metrics = g->metrics, .ttl_ms = c->token_ttl_ms,
		.refresh_window_ms = c->token_refresh_window_ms, .refresh_failures_max = c->token_failures_max,
		.quarantine_ms = c->token_quarantine_ms};
}

static struct hf_registrar_options registrar_options(struct hf_gateway *g, const struct hf_config *c)
{
	return (struct hf_registrar_options){.size = sizeof(struct hf_registrar_options), .loop = g->loop, .state = g->state,
		.registry = g->registry, .tokens = g->tokens, .audit = g->audit, .metrics = g->metrics, .secret = c->registration_secret,
		.allow = c->registration_allow, .is_open = c->registration_open, .is_compatible = c->hypertuna,
		.gateway_key = hf_keys_active(g->keys, HF_KEY_SWARM)->public_key, .describe = describe, .context = g};
}

static struct hf_front_options front_options(struct hf_gateway *g, const struct hf_config *c)
{
	struct hf_front_options options = {.size = sizeof options, .loop = g->loop, .metrics = g->metrics, .workers = g->workers,
		.registry = g->registry, .tokens = g->tokens, .session_count_max = (uint32_t)c->front_sessions_max,
		.subscriptions_max = (uint32_t)c->front_subscriptions_max, .overlap_s = (uint32_t)(c->front_overlap_ms / 1000),
		.request_timeout_ms = (uint32_t)c->front_answer_timeout_ms, .cache_max_age_s = (uint32_t)(c->front_cache_max_age_ms / 1000)};
	uint32_t(*per_minute)[HF_LIMIT_ACT_COUNT] = options.limits.per_minute;
	options.limits.size = sizeof options.limits;
	per_minute[HF_LIMIT_ADDRESS][HF_LIMIT_PUBLISH] = (uint32_t)c->front_publish_address_max;
	per_minute[HF_LIMIT_KEY][HF_LIMIT_PUBLISH] = (uint32_t)c->front_publish_key_max;
	per_minute[HF_LIMIT_PEER][HF_LIMIT_PUBLISH] = (uint32_t)c->front_publish_peer_max;
	per_minute[HF_LIMIT_ADDRESS][HF_LIMIT_SUBSCRIBE] = (uint32_t)c->front_subscribe_address_max;
	per_minute[HF_LIMIT_KEY][HF_LIMIT_SUBSCRIBE] = (uint32_t)c->front_subscribe_key_max;
	per_minute[HF_LIMIT_PEER][HF_LIMIT_SUBSCRIBE] = (uint32_t)c->front_subscribe_peer_max;
	g->env.random(&g->env, &options.limits.seed, sizeof options.limits.seed);
	options.dispatcher = (struct hf_dispatcher_options){.size = sizeof options.dispatcher, .metrics = g->metrics,
		.in_flight_max = (uint32_t)c->dispatcher_in_flight_max, .waiting_max = (uint32_t)c->dispatcher_waiting_max,
		.wait_us = c->dispatcher_wait_ms * 1000, .run_us = c->front_answer_timeout_ms * 1000,
		.weights = {.failures_in_a_row_max = (uint32_t)c->dispatcher_failures_max, .open_us = c->dispatcher_open_ms * 1000,
			.reassign_lag_blocks = c->dispatcher_reassign_lag}};
	g->env.random(&g->env, &options.dispatcher.seed, sizeof options.dispatcher.seed);
	return options;
}

static int open_records(struct hf_gateway *g, struct hf_failure *failure)
{
	const struct hf_config *c = g->config;
	struct hf_state_options state = {.size = sizeof state, .loop = g->loop, .store = g->store, .redis_url = c->registration_redis,
		.redis_prefix = c->registration_redis_prefix, .metrics = g->metrics};
	int r = hf_state_open(&g->state, &state, failure);
	if (r < 0)
		return r;
	struct hf_registry_options registry = {.size = sizeof registry, .loop = g->loop, .state = g->state, .metrics = g->metrics,
		.record_age_ms = c->registration_age_ms};
	r = hf_registry_new(&g->registry, &registry);
	if (r < 0)
		return hf_fail(failure, r, "The registrations cannot be read: %s.", hf_error_text(r));
	struct hf_tokens_options tokens = token_options(g, c);
	r = c->tokens ? hf_tokens_new(&g->tokens, &tokens, failure) : HF_OK;
	struct hf_registrar_options registrar = registrar_options(g, c);
	return r == HF_OK ? hf_registrar_new(&g->registrar, &registrar, failure) : r;
}

static int open_workers(struct hf_gateway *g, struct hf_failure *failure)
{
	const struct hf_config *c = g->config;
	struct hf_relay_bee_facts facts;
	bool has_bee = hf_relay_bee(g->relays[0]) != NULL;
	if (has_bee)
		hf_relay_bee_facts(hf_relay_bee(g->relays[0]), &facts);
	struct hf_workers_options workers = {.size = sizeof workers, .loop = g->loop, .swarm = hf_swarm_node_swarm(g->swarm),
		.public_key = hf_keys_active(g->keys, HF_KEY_SWARM)->public_key, .cores = g->cores, .bee_key = has_bee ? facts.key : NULL,
		.bee_info = bee_info, .metrics = g->metrics, .accepts_hypertuna = c->hypertuna, .worker_count_max = (uint32_t)c->workers_max,
		.stream_count_max = (uint32_t)c->worker_streams_max, .health_interval_ms = (uint32_t)c->worker_health_interval_ms,
		.request_timeout_ms = (uint32_t)c->worker_request_timeout_ms, .events = &worker_events, .context = g};
	return hf_workers_new(&g->workers, &workers, failure);
}

/* Whether workers look up what the gateway's own relay is asked. */
static void set_delegation(struct hf_gateway *g, const struct hf_config *c)
{
	struct hf_relay_bee_facts facts;
	bool delegates = c->dispatcher_delegate && hf_relay_bee(g->relays[0]);
	if (delegates)
		hf_relay_bee_facts(hf_relay_bee(g->relays[0]), &facts);
	const struct hf_front_delegation delegation = {.bee_key = facts.key, .queue_min = (uint32_t)c->dispatcher_delegate_queue};
	hf_front_delegate(g->front, delegates ? g->relays[0] : NULL, &delegation);
}

int hf_gateway_open_members(struct hf_gateway *g, struct hf_failure *failure)
{
	if (!g->config->workers)
		return HF_OK;
	int r = hf_keyring_ensure(g->keys, &g->directory, "keys", HF_KEY_GATEWAY_SIGNING, failure);
	if (r == HF_OK)
		r = open_records(g, failure);
	if (r == HF_OK)
		r = open_workers(g, failure);
	if (r < 0)
		return r;
	struct hf_front_options front = front_options(g, g->config);
	r = hf_front_new(&g->front, &front);
	if (r == HF_OK)
		set_delegation(g, g->config);
	if (r == HF_OK)
		r = open_dials(g);
	if (r == HF_OK && g->tokens)
		r = hf_tokens_listen(g->tokens, &(struct hf_token_events){.revoked = on_revoked, .context = g});
	return r < 0 ? hf_fail(failure, r, "The front door cannot be opened: %s.", hf_error_text(r)) : r;
}

int hf_gateway_reconfigure_members(struct hf_gateway *g, const struct hf_config *config, struct hf_failure *failure)
{
	if (!g->front)
		return HF_OK;
	struct hf_registrar_options registrar = registrar_options(g, config);
	int r = hf_registrar_reconfigure(g->registrar, &registrar, failure);
	if (r < 0)
		return r;
	struct hf_tokens_options tokens = token_options(g, config);
	struct hf_front_options front = front_options(g, config);
	if (g->tokens)
		hf_tokens_reconfigure(g->tokens, &tokens);
	hf_front_reconfigure(g->front, &front);
	set_delegation(g, config);
	return HF_OK;
}

void hf_gateway_settle_members(struct hf_gateway *g)
{
	hf_state_close(g->state);
	g->state = NULL;
}

void hf_gateway_close_members(struct hf_gateway *g)
{
	hf_front_free(g->front);
	g->front = NULL;
	hf_workers_free(g->workers);
	hf_registrar_free(g->registrar);
	hf_tokens_free(g->tokens);
	hf_registry_free(g->registry);
	hf_dials_free(g->dials);
	g->workers = NULL;
	g->dials = NULL;
	g->registrar = NULL;
	g->tokens = NULL;
	g->registry = NULL;
}

/* ---- Routes ---- */

static void handle_relay(void *context, struct hf_http_exchange *exchange)
{
	hf_front_answer(((struct hf_gateway *)context)->front, exchange);
}

static void handle_drive(void *context, struct hf_http_exchange *exchange)
{
	hf_front_answer_drive(((struct hf_gateway *)context)->front, exchange);
}

static void handle_avatar(void *context, struct hf_http_exchange *exchange)
{
	hf_front_answer_avatar(((struct hf_gateway *)context)->front, exchange);
}

const struct hf_http_route hf_gateway_member_routes[] = {
	HF_ROUTE("GET", "/drive/*", HF_ACCESS_PUBLIC, handle_drive),
	HF_ROUTE("GET", "/pfp/*", HF_ACCESS_PUBLIC, handle_avatar),
	HF_ROUTE("GET", "/*", HF_ACCESS_PUBLIC, handle_relay),
};
const size_t hf_gateway_member_route_count = sizeof hf_gateway_member_routes / sizeof *hf_gateway_member_routes;
