/* setup: opens what a gateway is made of, the ground first, and closes it in the opposite order. */
#include "service/gateway/internal.h"
#include "service/gateway/api.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "crypto/hash.h"
#include "service/action_http.h"
#include "service/audit.h"

static struct hf_log_module log_module = HF_LOG_MODULE("gateway");

#define WORK_COUNT_MAX 65536
#define PUBLIC_BODY_BYTES_MAX 4096 /* no route for clients takes one, */
#define REGISTRATION_BODY_BYTES_MAX (256u << 10) /* but those for registrations */
#define METRICS_CONNECTIONS_MAX 64

/* ---- Routes ---- */

static struct hf_relay *relay_at(struct hf_gateway *g, struct hf_slice path)
{
	for (size_t i = 0; i < g->relay_count; i++)
		if (hf_slice_equal(path, hf_slice_text(hf_relay_path(g->relays[i]))))
			return g->relays[i];
	return NULL;
}

static void handle_relay(void *context, struct hf_http_exchange *exchange)
{
	struct hf_relay *relay = relay_at(context, hf_http_path(exchange));
	if (relay)
		hf_relay_answer(relay, exchange);
	else
		hf_http_respond(exchange, 404, "text/plain", HF_SLICE_LITERAL("not found\n"), NULL);
}

int hf_gateway_make_routes(struct hf_gateway *g)
{
	size_t api_count = g->registrar ? hf_gateway_api_route_count : 0, member_count = g->front ? hf_gateway_member_route_count : 0;
	const struct hf_http_route *secret = hf_gateway_secret_route(g);
	free(g->routes);
	free(g->admin_paths);
	g->admin_paths = NULL;
	g->route_count = 0;
	g->routes = calloc(2 + hf_gateway_admin_http_route_count(g) + g->config->relay_count + api_count + HF_GATEWAY_WORKER_ROUTE_COUNT +
		member_count, sizeof *g->routes);
	if (!g->routes)
		return HF_ENOMEM;
	g->routes[g->route_count++] = (struct hf_http_route)HF_ROUTE("GET", "/health", HF_ACCESS_PUBLIC, hf_gateway_handle_health);
	if (secret)
		g->routes[g->route_count++] = *secret;
	int r = hf_gateway_add_admin_http_routes(g, g->routes, &g->route_count);
	if (r < 0)
		return r;
	for (size_t i = 0; i < g->relay_count; i++)
		g->routes[g->route_count++] = (struct hf_http_route)HF_ROUTE("GET", hf_relay_path(g->relays[i]), HF_ACCESS_PUBLIC, handle_relay);
	for (size_t i = 0; i < api_count; i++)
		g->routes[g->route_count++] = hf_gateway_api_routes[i];
	for (size_t i = 0; g->options->is_worker && i < HF_GATEWAY_WORKER_ROUTE_COUNT; i++)
		g->routes[g->route_count++] = hf_gateway_worker_routes[i];
	for (size_t i = 0; i < member_count; i++)
		g->routes[g->route_count++] = hf_gateway_member_routes[i];
	return HF_OK;
}

static int make_admin_routes(struct hf_gateway *g)
{
	g->admin_routes = calloc(hf_gateway_admin_route_count + hf_gateway_api_admin_route_count, sizeof *g->admin_routes);
	if (!g->admin_routes)
		return HF_ENOMEM;
	for (size_t i = 0; i < hf_gateway_admin_route_count; i++)
		g->admin_routes[g->admin_route_count++] = hf_gateway_admin_routes[i];
	for (size_t i = 0; i < hf_gateway_api_admin_route_count; i++)
		g->admin_routes[g->admin_route_count++] = hf_gateway_api_admin_routes[i];
	return HF_OK;
}

/* ---- Listening ---- */

int hf_gateway_parse_proxies(struct hf_gateway *g, const struct hf_config *config, struct hf_failure *failure)
{
	struct hf_address_range ranges[HF_GATEWAY_PROXY_COUNT_MAX];
	size_t count = 0;
	for (const char *text = config->trusted_proxies; *text;) {
		size_t length = strcspn(text, ", ");
		char one[HF_ADDRESS_TEXT_BYTES] = {0};
		if (length > 0) {
			if (count == HF_GATEWAY_PROXY_COUNT_MAX)
				return hf_fail(failure, HF_ETOOBIG, "gateway.trusted_proxies has more than %d entries.", HF_GATEWAY_PROXY_COUNT_MAX);
			snprintf(one, sizeof one, "%.*s", (int)length, text);
			if (length >= sizeof one || hf_address_range_parse(one, &ranges[count]) < 0)
				return hf_fail(failure, HF_EINVAL, "gateway.trusted_proxies has \"%s\"; write addresses like 10.0.0.0/8 or ::1.", one);
			count++;
		}
		text += length;
		text += strspn(text, ", ");
	}
	if (count > 0)
		memcpy(g->proxies, ranges, count * sizeof *ranges);
	g->proxy_count = count;
	return HF_OK;
}

void hf_gateway_server_options(struct hf_gateway *g, struct hf_http_server_options *options)
{
	const struct hf_config *c = g->config;
	*options = (struct hf_http_server_options){
		.size = sizeof *options, .loop = g->loop, .metrics = g->metrics, .routes = g->routes, .route_count = g->route_count, .context = g,
		.authorize = hf_gateway_authorize,
		.trusted_proxies = g->proxies, .trusted_proxy_count = g->proxy_count,
		.connection_count_max = (uint32_t)c->connections_max, .connections_per_address_max = (uint32_t)c->connections_per_address_max,
		.header_timeout_ms = (uint32_t)c->header_timeout_ms, .idle_timeout_ms = (uint32_t)c->idle_timeout_ms,
		.body_bytes_max = g->registrar ? REGISTRATION_BODY_BYTES_MAX : PUBLIC_BODY_BYTES_MAX,
		.websocket = {.message_bytes_max = (uint32_t)c->message_bytes_max, .send_queue_bytes_max = (uint32_t)c->send_queue_bytes_max,
			.ping_interval_ms = (uint32_t)c->ping_interval_ms, .deflate = c->deflate,
			.deflate_takeover = c->deflate_takeover},
	};
}

/* Says where it listens, and remembers the first address for relays. */
static void announce(struct hf_gateway *g, const struct hf_address *bound, bool is_tls)
{
	char where[HF_ADDRESS_TEXT_BYTES];
	const char *s = is_tls ? "s" : "";
	hf_address_text(bound, true, where);
	if (!g->listen_url[0])
		snprintf(g->listen_url, sizeof g->listen_url, "ws%s://%s", s, where);
	printf("holdfast: relay at ws%s://%s, page at http%s://%s\n", s, where, s, where);
	fflush(stdout);
}

static void announce_metrics(struct hf_gateway *g, const struct hf_address *bound, bool is_tls)
{
	char where[HF_ADDRESS_TEXT_BYTES];
	hf_address_text(bound, true, where);
	printf("holdfast: metrics at http://%s/metrics\n", where);
	fflush(stdout);
}

int hf_gateway_each_address(const char *list, int (*each)(void *context, const char *address, struct hf_failure *failure), void *context,
	struct hf_failure *failure)
{
	while (*list) {
		size_t length = strcspn(list, ", ");
		char one[HF_ADDRESS_TEXT_BYTES];
		snprintf(one, sizeof one, "%.*s", (int)length, list);
		int r = length == 0 ? HF_OK : length >= sizeof one ? hf_fail(failure, HF_EINVAL, "\"%s…\" is no address.", one)
			: each(context, one, failure);
		if (r < 0)
			return r;
		list += length;
		list += strspn(list, ", ");
	}
	return HF_OK;
}

struct listening {
	struct hf_gateway *gateway;
	struct hf_http_server *server;
	struct hf_tls *tls;
	void (*tell)(struct hf_gateway *g, const struct hf_address *bound, bool is_tls);
};

/* "yes" has them all. */
static bool is_in_list(const char *list, const char *text)
{
	if (strcmp(list, "yes") == 0)
		return true;
	for (size_t length; *list; list += length, list += strspn(list, ", ")) {
		length = strcspn(list, ", ");
		if (length == strlen(text) && memcmp(list, text, length) == 0)
			return true;
	}
	return false;
}

static int listen_one(void *context, const char *text, struct hf_failure *failure)
{
	const struct listening *l = context;
	struct hf_address address, bound;
	int r = hf_address_parse(text, &address, failure);
	bool is_proxied = l->server == l->gateway->server && is_in_list(l->gateway->config->proxy_protocol, text);
	if (r == HF_OK)
		r = (is_proxied ? hf_http_server_listen_proxied : hf_http_server_listen)(l->server, &address, l->tls, &bound, failure);
	if (r == HF_OK)
		l->tell(l->gateway, &bound, l->tls != NULL);
	return r;
}

static int listen_all(struct hf_gateway *g, struct hf_http_server *server, const char *list, struct hf_tls *tls,
	void (*tell)(struct hf_gateway *g, const struct hf_address *bound, bool is_tls), struct hf_failure *failure)
{
	struct listening listening = {g, server, tls, tell};
	return hf_gateway_each_address(list, listen_one, &listening, failure);
}

static void relieve(void *context, size_t bytes)
{
	struct hf_gateway *g = context;
	size_t ended = hf_http_server_relieve(g->server, bytes);
	if (ended > 0)
		hf_log_warn(&log_module, "memory is short; connections that held most were ended", "connections=%zu memory_max=%llu", ended,
			(unsigned long long)g->config->memory_bytes_max);
}

void hf_gateway_limit_memory(struct hf_gateway *g)
{
	hf_memory_limit(hf_loop_memory(g->loop), g->config->memory_bytes_max, relieve, g);
}

/* The server for clients, and two for who operates the gateway: on admin.sock, and for metrics. */
static int make_servers(struct hf_gateway *g)
{
	struct hf_http_server_options options;
	int r = hf_gateway_make_routes(g);
	if (r == HF_OK)
		r = make_admin_routes(g);
	if (r < 0)
		return r;
	hf_gateway_server_options(g, &options);
	r = hf_http_server_new(&g->server, &options);
	options.metrics = NULL;
	options.routes = g->admin_routes;
	options.route_count = g->admin_route_count;
	options.body_bytes_max = HF_ACTION_HTTP_BODY_BYTES_MAX;
	if (r == HF_OK)
		r = hf_http_server_new(&g->admin_server, &options);
	options.routes = &hf_gateway_metrics_route;
	options.route_count = 1;
	options.body_bytes_max = PUBLIC_BODY_BYTES_MAX;
	options.connection_count_max = METRICS_CONNECTIONS_MAX;
	return r == HF_OK ? hf_http_server_new(&g->metrics_server, &options) : r;
}

static int open_servers(struct hf_gateway *g, struct hf_failure *failure)
{
	int r = make_servers(g);
	if (r < 0)
		return hf_fail(failure, r, "The HTTP server cannot start: %s.", hf_error_text(r));
	hf_memory_register(hf_loop_memory(g->loop), g->metrics);
	hf_gateway_limit_memory(g);
	r = hf_datadir_path(&g->directory, "admin.sock", g->admin_path);
	if (r == HF_OK) {
		unlink(g->admin_path);
		r = hf_http_server_listen_unix(g->admin_server, g->admin_path, 0600, failure);
	}
	if (r == HF_OK)
		r = listen_all(g, g->metrics_server, g->config->metrics_listen, NULL, announce_metrics, failure);
	if (r == HF_OK)
		r = listen_all(g, g->server, g->config->listen, NULL, announce, failure);
	if (r == HF_OK && g->tls)
		r = listen_all(g, g->server, g->config->tls_listen, g->tls, announce, failure);
	return r;
}

/* ---- Relays ---- */

struct hf_relay_options hf_gateway_relay_options(struct hf_gateway *g, const struct hf_config *config, size_t index)
{
	struct hf_relay_options options = {
		.size = sizeof options, .loop = g->loop, .store = g->store, .verify = g->verify, .query = g->query, .metrics = g->metrics,
		.config = config, .settings = config->relays[index], .listen_url = g->listen_url,
	};
	options.host = config->relays[index]->bee ? g->cores : NULL;
	options.bee_key = hf_secret_slice(&g->bee_keys[index]);
	memcpy(options.identity, g->identities[index], sizeof options.identity);
	return options;
}

/* A bee that is new is signed by the key that also signs what the gateway says of the relay. */
static int load_bee_key(struct hf_gateway *g, size_t index, struct hf_keys *keys, const char *folder, struct hf_failure *failure)
{
	int r = hf_keyring_ensure(keys, &g->directory, folder, HF_KEY_GATEWAY_SIGNING, failure);
	if (r < 0)
		return r;
	r = hf_secret_copy(&g->bee_keys[index], hf_secret_slice(&hf_keys_active(keys, HF_KEY_GATEWAY_SIGNING)->secret));
	return r < 0 ? hf_fail(failure, r, "Out of memory while loading keys.") : r;
}

/* main's identity is in keys/; every other relay has a ring of its own under it. */
static int load_identity(struct hf_gateway *g, size_t index, struct hf_failure *failure)
{
	char folder[HF_CONFIG_NAME_BYTES_MAX + 8];
	struct hf_keys *keys = g->keys;
	snprintf(folder, sizeof folder, index == 0 ? "keys" : "keys/%s", g->config->relays[index]->instance);
	int r = index == 0 ? HF_OK : hf_keyring_open(&keys, &g->directory, folder, failure);
	if (r == HF_OK)
		r = hf_keyring_ensure(keys, &g->directory, folder, HF_KEY_RELAY_IDENTITY, failure);
	if (r == HF_OK)
		memcpy(g->identities[index], hf_keys_active(keys, HF_KEY_RELAY_IDENTITY)->public_key, 32);
	if (r == HF_OK && g->options->is_worker && (g->config->worker_discovery_relays[0] || g->config->relays[index]->join[0]))
		r = hf_secret_copy(&g->identity_keys[index], hf_secret_slice(&hf_keys_active(keys, HF_KEY_RELAY_IDENTITY)->secret));
	if (r == HF_OK && g->config->relays[index]->bee)
		r = load_bee_key(g, index, keys, folder, failure);
	if (index > 0)
		hf_keys_free(keys);
	return r;
}

static int open_relays(struct hf_gateway *g, struct hf_failure *failure)
{
	for (size_t i = 0; i < g->config->relay_count; i++) {
		int r = load_identity(g, i, failure);
		if (r < 0)
			return r;
		struct hf_relay_options options = hf_gateway_relay_options(g, g->config, i);
		r = hf_relay_new(&g->relays[i], &options, failure);
		if (!g->options->is_worker)
			hf_secret_free(&g->bee_keys[i]);
		if (r < 0)
			return r;
		g->relay_count++;
	}
	return HF_OK;
}

/* ---- The whole ---- */

static int open_executors(struct hf_gateway *g, struct hf_failure *failure)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned verifiers = g->config->verify_threads ? (unsigned)g->config->verify_threads : cores > 0 ? (unsigned)cores : 1;
	int r = hf_executor_start(&g->verify, "verify", verifiers < 256 ? verifiers : 256, WORK_COUNT_MAX);
	if (r == HF_OK)
		r = hf_executor_start(&g->query, "query", (unsigned)g->config->query_threads, WORK_COUNT_MAX);
	if (r == HF_OK)
		r = hf_executor_start(&g->admin, "admin", 1, 64);
	return r < 0 ? hf_fail(failure, r, "Starting worker threads failed: %s.", hf_error_text(r)) : HF_OK;
}

static int open_ground(struct hf_gateway *g, struct hf_failure *failure)
{
	hf_env_system(&g->env);
	g->started_us = hf_env_monotonic_us(&g->env);
	int r = hf_crypto_init();
	if (r < 0)
		return hf_fail(failure, r, "The system has no random source.");
	r = hf_datadir_open(&g->directory, &g->env, g->config->data, true, failure);
	if (r == HF_OK)
		r = hf_keyring_open(&g->keys, &g->directory, "keys", failure);
	if (r == HF_OK)
		r = hf_keyring_ensure(g->keys, &g->directory, "keys", HF_KEY_STORE_PRIMARY, failure);
	if (r == HF_OK && !(g->metrics = hf_metrics_new()))
		r = hf_fail(failure, HF_ENOMEM, "Out of memory while starting.");
	if (r == HF_OK)
		r = hf_datadir_open_store(&g->directory, g->config, g->metrics, false, &g->store, failure);
	if (r == HF_OK && (r = hf_audit_open(&g->audit, g->store, &g->env, g->metrics)) < 0)
		hf_fail(failure, r, "The audit log cannot be opened: %s.", hf_error_text(r));
	return r;
}

int hf_gateway_open(struct hf_gateway *g, struct hf_failure *failure)
{
	int r = open_ground(g, failure);
	if (r == HF_OK)
		r = open_executors(g, failure);
	if (r == HF_OK && hf_loop_new(&g->loop, &g->env) < 0)
		r = hf_fail(failure, HF_ENOMEM, "The event loop cannot start.");
	if (r == HF_OK)
		r = hf_gateway_parse_proxies(g, g->config, failure);
	if (r == HF_OK && g->config->tls_key[0])
		r = hf_tls_server_new(&g->tls, g->config->tls_certificate, g->config->tls_key, failure);
	if (r == HF_OK && g->tls && g->config->tls_client_ca[0])
		r = hf_tls_ask_clients(g->tls, g->config->tls_client_ca, g->config->tls_client_crl[0] ? g->config->tls_client_crl : NULL,
			strcmp(g->config->tls_client, "require") == 0, failure);
	if (r == HF_OK)
		r = hf_gateway_open_cores(g, failure);
	if (r == HF_OK)
		r = open_relays(g, failure);
	if (r == HF_OK)
		r = hf_gateway_join_swarm(g, failure);
	if (r == HF_OK)
		r = hf_gateway_open_members(g, failure);
	if (r == HF_OK && (r = hf_gateway_open_events(g)) < 0)
		hf_fail(failure, r, "Out of memory while starting.");
	if (r == HF_OK)
		r = hf_gateway_configure_guard(g, g->config, failure);
	/* Before anybody is told where we are: who started us may end us at once. */
	if (r == HF_OK)
		r = hf_gateway_watch_signals(g, failure);
	if (r == HF_OK)
		r = open_servers(g, failure);
	if (r == HF_OK)
		r = hf_gateway_listen_cores(g, failure);
	if (r == HF_OK)
		r = hf_gateway_start_announcing(g, failure);
	if (r == HF_OK && ((r = hf_gateway_start_tally(g)) < 0 || (r = hf_gateway_open_vitals(g)) < 0))
		hf_fail(failure, r, "The event loop cannot start.");
	return r == HF_OK ? hf_gateway_open_worker(g, failure) : r;
}

static bool is_idle(const struct hf_gateway *g)
{
	bool idle = g->admin_job_count == 0 && hf_gateway_events_are_idle(g);
	for (size_t i = 0; i < g->relay_count; i++)
		idle = idle && hf_relay_is_idle(g->relays[i]);
	return idle;
}

void hf_gateway_close(struct hf_gateway *g)
{
	hf_gateway_close_vitals(g);
	if (g->loop) {
		hf_memory_limit(hf_loop_memory(g->loop), 0, NULL, NULL);
		hf_memory_unregister(hf_loop_memory(g->loop));
	}
	hf_gateway_hush_events(g);
	hf_gateway_settle_members(g);
	if (g->server)
		hf_http_server_free(g->server);
	hf_gateway_close_members(g);
	hf_gateway_close_peers(g);
	for (size_t i = 0; i < g->relay_count; i++)
		hf_relay_end(g->relays[i]);
	/* What workers and the writer still have comes back as mail; it is answered to nobody, but freed. */
	while (g->loop && !is_idle(g))
		hf_loop_poll(g->loop, true);
	if (g->admin_server)
		hf_http_server_free(g->admin_server);
	if (g->metrics_server)
		hf_http_server_free(g->metrics_server);
	hf_gateway_close_events(g);
	hf_gateway_tally(g);
	hf_admin_guard_free(g->guard);
	if (g->loop)
		hf_loop_timer_cancel(g->loop, &g->tally.timer);
	hf_gateway_close_cores(g);
	if (g->admin_path[0] && g->directory.lock_descriptor >= 0)
		unlink(g->admin_path);
	if (g->admin)
		hf_executor_stop(g->admin);
	if (g->query)
		hf_executor_stop(g->query);
	if (g->verify)
		hf_executor_stop(g->verify);
	for (size_t i = 0; i < g->relay_count; i++)
		hf_relay_free(g->relays[i]);
	for (size_t i = 0; i < HF_CONFIG_RELAY_COUNT_MAX; i++)
		hf_secret_free(&g->bee_keys[i]);
	for (size_t i = 0; i < HF_CONFIG_RELAY_COUNT_MAX; i++)
		hf_secret_free(&g->identity_keys[i]);
	hf_audit_close(g->audit);
	if (g->store)
		hf_store_close(g->store);
	if (g->loop)
		hf_loop_free(g->loop);
	hf_tls_free(g->tls);
	hf_metrics_free(g->metrics);
	hf_keys_free(g->keys);
	free(g->routes);
	free(g->admin_paths);
	free(g->admin_routes);
	hf_datadir_close(&g->directory);
	if (g->config != g->first_config)
		hf_config_free(g->config);
	hf_config_free(g->first_config);
}
