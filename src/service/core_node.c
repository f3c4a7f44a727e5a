/* core_node: the loop with everything on it. While it runs, what peers ask for never waits for the disk on the loop. Actions that
 * come through admin.sock are run on the loop's thread, which is also the cores'; they do wait, and the peers with them. */
#include "service/core_node.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/list.h"
#include "crypto/hash.h"
#include "service/action_http.h"
#include "service/core_metrics.h"
#include "service/datadir.h"
#include "service/keyring.h"
#include "service/metrics_http.h"

#define COLD_READS_MAX 64 /* jobs for the executor; the corestore has one at a time */
#define REDIAL_MS_MIN 100
#define REDIAL_MS_MAX 5000

struct hf_core_node {
	struct hf_core_node_options options;
	struct hf_env env; /* with executor */
	struct hf_executor *executor; /* reads what is cold */
	struct hf_datadir directory;
	struct hf_keys *keys;
	struct hf_metrics *metrics;
	struct hf_store *store;
	struct hf_loop *loop;
	struct hf_core_host *host;
	struct hf_metric_table *core_metrics;
	struct hf_http_server *admin;
	char admin_path[HF_PATH_BYTES_MAX];
	struct hf_peer_listener *listener;
	struct hf_peer_socket *dialled; /* from connecting on until it is closed */
	char dial_address[256];
	bool dial_initiates, dial_keeps;
	uint32_t redial_ms;
	struct hf_timer redial;
	struct hf_swarm_node *swarm;
};

/* ---- Connections ---- */

/* text gets the address where the socket has one. */
static struct hf_core_node_peer describe(const struct hf_core_node *node, const struct hf_peer_socket *socket,
	char text[static HF_ADDRESS_TEXT_BYTES])
{
	struct hf_core_node_peer peer = {.address = node->dial_address, .is_dialled = socket == node->dialled};
	if (hf_peer_socket_address(socket) && hf_peer_socket_address(socket)->port)
		peer.address = hf_address_text(hf_peer_socket_address(socket), true, text);
	if (hf_peer_socket_mux(socket))
		peer.remote_key = hf_peer_socket_remote_key(socket);
	return peer;
}

static void on_opened(void *context, struct hf_peer_socket *socket)
{
	struct hf_core_node *node = context;
	char text[HF_ADDRESS_TEXT_BYTES];
	struct hf_core_node_peer peer = describe(node, socket, text);
	if (peer.is_dialled)
		node->redial_ms = REDIAL_MS_MIN;
	if (node->options.came)
		node->options.came(node->options.context, &peer);
}

static void on_closed(void *context, struct hf_peer_socket *socket, int code, const char *why)
{
	struct hf_core_node *node = context;
	char text[HF_ADDRESS_TEXT_BYTES];
	struct hf_core_node_peer peer = describe(node, socket, text);
	if (peer.is_dialled)
		node->dialled = NULL;
	if (node->options.left)
		node->options.left(node->options.context, &peer, code, why);
	if (peer.is_dialled && node->dial_keeps) {
		hf_loop_timer_set(node->loop, &node->redial, node->redial_ms);
		node->redial_ms = 2 * node->redial_ms < REDIAL_MS_MAX ? 2 * node->redial_ms : REDIAL_MS_MAX;
	}
}

static struct hf_peer_socket_options socket_options(struct hf_core_node *node)
{
	return (struct hf_peer_socket_options){.size = sizeof(struct hf_peer_socket_options), .loop = node->loop,
		.static_secret = hf_keys_active(node->keys, HF_KEY_SWARM)->secret.data, .events = &hf_core_host_socket_events, .context = node->host};
}

int hf_core_node_listen(struct hf_core_node *node, const char *address, bool initiates, struct hf_address *bound,
	struct hf_failure *failure)
{
	struct hf_peer_socket_options options = socket_options(node);
	options.listener_initiates = initiates;
	return hf_peer_listener_new(&node->listener, &options, address, bound, failure);
}

static int dial(struct hf_core_node *node, struct hf_failure *failure)
{
	struct hf_peer_socket_options options = socket_options(node);
	options.listener_initiates = !node->dial_initiates;
	return hf_peer_socket_connect(&node->dialled, &options, node->dial_address, failure);
}

static void on_redial(struct hf_timer *timer)
{
	struct hf_core_node *node = HF_CONTAINER_OF(timer, struct hf_core_node, redial);
	struct hf_failure failure = {0};
	if (dial(node, &failure) < 0)
		hf_loop_timer_set(node->loop, timer, REDIAL_MS_MAX);
}

int hf_core_node_dial(struct hf_core_node *node, const char *address, bool initiates, bool keeps, struct hf_failure *failure)
{
	if (snprintf(node->dial_address, sizeof node->dial_address, "%s", address) >= (int)sizeof node->dial_address)
		return hf_fail(failure, HF_EADDR, "The address is too long.");
	node->dial_initiates = initiates;
	node->dial_keeps = keeps;
	return dial(node, failure);
}

int hf_core_node_swarm(struct hf_core_node *node, const struct hf_swarm_bootstrap *bootstrap, const uint8_t *relay,
	struct hf_failure *failure)
{
	struct hf_peer_socket_options socket = socket_options(node);
	struct hf_swarm_node_options options = {.size = sizeof options, .loop = node->loop, .static_secret = socket.static_secret,
		.bootstrap = bootstrap, .socket = &socket, .metrics = node->metrics, .relay = relay};
	return hf_swarm_node_new(&node->swarm, &options, failure);
}

int hf_core_node_join(struct hf_core_node *node, const uint8_t discovery_key[static 32], unsigned roles, struct hf_failure *failure)
{
	struct hf_swarm_session *session;
	int r = hf_swarm_join(hf_swarm_node_swarm(node->swarm), discovery_key, roles, 0, &session);
	return r < 0 ? hf_fail(failure, r, "The swarm cannot be joined: %s.", hf_error_text(r)) : HF_OK;
}

struct hf_swarm *hf_core_node_peers(struct hf_core_node *node)
{
	return node->swarm ? hf_swarm_node_swarm(node->swarm) : NULL;
}

/* ---- Administration ---- */

static void handle_action(void *context, struct hf_http_exchange *exchange)
{
	struct hf_core_node *node = context;
	char name[HF_ACTION_NAME_BYTES];
	struct hf_action_call call = {.env = node->options.env, .store = node->store, .config = node->options.config,
		.cores = hf_core_node_cores(node), .input = hf_http_body(exchange)};
	hf_action_http_name(exchange, name);
	bool was_blocking = hf_corestore_set_blocking(call.cores, true);
	int status = hf_action_run(name, &call);
	hf_corestore_set_blocking(call.cores, was_blocking);
	hf_action_http_answer(exchange, &call, status);
}

static void handle_metrics(void *context, struct hf_http_exchange *exchange)
{
	hf_metrics_http_answer(((struct hf_core_node *)context)->metrics, exchange);
}

static void handle_other(void *context, struct hf_http_exchange *exchange)
{
	struct hf_failure failure = {.code = HF_EBUSY};
	snprintf(failure.text, sizeof failure.text,
		"The data directory is in use by a process that serves cores and does nothing else; end it first.");
	hf_action_http_fail(exchange, &failure);
}

static const struct hf_http_route routes[] = {
	HF_ROUTE("GET", "/admin/metrics", HF_ACCESS_ADMIN, handle_metrics),
	HF_ROUTE("POST", "/admin/core/*", HF_ACCESS_ADMIN, handle_action),
	HF_ROUTE("POST", "/admin/bee/*", HF_ACCESS_ADMIN, handle_action),
	HF_ROUTE("POST", "/admin/drive/*", HF_ACCESS_ADMIN, handle_action),
	HF_ROUTE("POST", "/admin/*", HF_ACCESS_ADMIN, handle_other),
};

static int open_admin(struct hf_core_node *node, struct hf_failure *failure)
{
	struct hf_http_server_options options = {.size = sizeof options, .loop = node->loop, .routes = routes,
		.route_count = sizeof routes / sizeof *routes, .context = node, .body_bytes_max = HF_ACTION_HTTP_BODY_BYTES_MAX};
	int r = hf_datadir_path(&node->directory, "admin.sock", node->admin_path);
	if (r == HF_OK)
		r = hf_http_server_new(&node->admin, &options);
	if (r < 0)
		return hf_fail(failure, r, "The administration cannot start: %s.", hf_error_text(r));
	unlink(node->admin_path);
	return hf_http_server_listen_unix(node->admin, node->admin_path, 0600, failure);
}

/* ---- The whole ---- */

static bool may_serve(void *context, const uint8_t discovery_key[static 32])
{
	const struct hf_core_node *node = context;
	return !node->options.may_serve || node->options.may_serve(node->options.context, discovery_key);
}

static int open_ground(struct hf_core_node *node, struct hf_failure *failure)
{
	const struct hf_core_node_options *o = &node->options;
	int r = hf_crypto_init();
	if (r < 0)
		return hf_fail(failure, r, "The system has no random source.");
	r = hf_datadir_open(&node->directory, o->env, o->config->data, o->create, failure);
	if (r == HF_OK)
		r = hf_keyring_open(&node->keys, &node->directory, "keys", failure);
	if (r == HF_OK)
		r = hf_keyring_ensure(node->keys, &node->directory, "keys", HF_KEY_STORE_PRIMARY, failure);
	if (r == HF_OK)
		r = hf_keyring_ensure(node->keys, &node->directory, "keys", HF_KEY_SWARM, failure);
	if (r == HF_OK && !(node->metrics = hf_metrics_new()))
		r = hf_fail(failure, HF_ENOMEM, "Out of memory while starting.");
	if (r == HF_OK)
		r = hf_datadir_open_store(&node->directory, o->config, node->metrics, false, &node->store, failure);
	return r;
}

int hf_core_node_open(struct hf_core_node **out, const struct hf_core_node_options *options, struct hf_failure *failure)
{
	struct hf_core_node *node = calloc(1, sizeof *node);
	*out = NULL;
	if (!node)
		return hf_fail(failure, HF_ENOMEM, "Out of memory while starting.");
	node->options = *options;
	node->env = *options->env;
	node->directory.lock_descriptor = -1;
	node->redial.fire = on_redial;
	node->redial_ms = REDIAL_MS_MIN;
	int r = open_ground(node, failure);
	if (r == HF_OK && hf_executor_start(&node->executor, "disk", 1, COLD_READS_MAX) < 0)
		r = hf_fail(failure, HF_ENOMEM, "Starting a thread failed.");
	node->env.executor = node->executor;
	if (r == HF_OK && hf_loop_new(&node->loop, &node->env) < 0)
		r = hf_fail(failure, HF_ENOMEM, "The event loop cannot start.");
	if (r == HF_OK) {
		struct hf_core_host_options host = {.size = sizeof host, .loop = node->loop, .store = node->store, .blocking = true,
			.primary_key = hf_secret_slice(&hf_keys_active(node->keys, HF_KEY_STORE_PRIMARY)->secret), .may_serve = may_serve,
			.opened = on_opened, .closed = on_closed, .context = node};
		r = hf_core_host_new(&node->host, &host, failure);
	}
	if (r == HF_OK && hf_core_metrics_new(&node->core_metrics, node->metrics, node->host) < 0)
		r = hf_fail(failure, HF_ENOMEM, "Out of memory while starting.");
	if (r == HF_OK)
		r = open_admin(node, failure);
	if (r < 0)
		hf_core_node_close(node);
	else
		*out = node;
	return r;
}

static void close_peers(struct hf_core_node *node)
{
	hf_peer_listener_free(node->listener);
	if (node->dialled && !hf_peer_socket_mux(node->dialled))
		hf_peer_socket_free(node->dialled);
	if (node->host)
		hf_core_host_close_sockets(node->host);
}

void hf_core_node_close(struct hf_core_node *node)
{
	if (!node)
		return;
	if (node->loop)
		hf_loop_timer_cancel(node->loop, &node->redial);
	if (node->admin)
		hf_http_server_free(node->admin);
	if (node->admin_path[0])
		unlink(node->admin_path);
	hf_swarm_node_leave(node->swarm);
	close_peers(node);
	hf_swarm_node_free(node->swarm);
	hf_metric_table_free(node->core_metrics);
	hf_core_host_free(node->host);
	if (node->executor)
		hf_executor_stop(node->executor);
	if (node->store)
		hf_store_close(node->store);
	hf_metrics_free(node->metrics);
	if (node->loop)
		hf_loop_free(node->loop);
	hf_keys_free(node->keys);
	hf_datadir_close(&node->directory);
	free(node);
}

struct hf_loop *hf_core_node_loop(struct hf_core_node *node)
{
	return node->loop;
}

struct hf_corestore *hf_core_node_cores(struct hf_core_node *node)
{
	return hf_core_host_cores(node->host);
}

struct hf_replicator *hf_core_node_replicator(struct hf_core_node *node)
{
	return hf_core_host_replicator(node->host);
}

struct hf_bee_hints *hf_core_node_bee_hints(struct hf_core_node *node)
{
	return hf_core_host_bee_hints(node->host);
}

static void on_signal(void *context, int signal_number)
{
	hf_core_node_stop(context);
}

void hf_core_node_stop(struct hf_core_node *node)
{
	hf_loop_stop(node->loop);
}

int hf_core_node_run(struct hf_core_node *node)
{
	hf_corestore_set_blocking(hf_core_node_cores(node), false);
	int r = hf_loop_on_signal(node->loop, SIGTERM, on_signal, node);
	if (r == HF_OK)
		r = hf_loop_on_signal(node->loop, SIGINT, on_signal, node);
	return r == HF_OK ? hf_loop_run(node->loop) : r;
}
