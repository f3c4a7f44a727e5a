/* One mail serves all wakes: it is posted when none is under way. The timer runs while sockets are attached. */
#include "peer/core_host.h"

#include <stdlib.h>

#include "base/list.h"
#include "base/options.h"

struct connection {
	struct hf_core_host *host;
	struct connection *previous, *next;
	struct hf_peer_socket *socket;
	struct hf_replicator_stream *stream;
};

struct hf_core_host {
	struct hf_loop *loop;
	struct hf_corestore *cores;
	struct hf_replicator *replicator;
	struct hf_bee_hints *bee_hints;
	struct hf_core_host_options options;
	struct connection *connections;
	struct hf_loop_deferred flush;
	struct hf_timer tick;
	struct hf_loop_mail mail;
	_Atomic bool is_posted;
};

/* ---- Turning ---- */

static uint64_t now_ms(const struct hf_core_host *host)
{
	return hf_loop_now_us(host->loop) / 1000;
}

/* Any thread. */
static void wake(void *context)
{
	struct hf_core_host *host = context;

	if (!atomic_exchange(&host->is_posted, true))
		hf_loop_post(host->loop, &host->mail);
}

static void deliver(struct hf_loop_mail *mail)
{
	struct hf_core_host *host = HF_CONTAINER_OF(mail, struct hf_core_host, mail);

	atomic_store(&host->is_posted, false);
	if (host->cores != NULL)
		hf_corestore_poll(host->cores);
}

static void on_pending(void *context)
{
	struct hf_core_host *host = context;

	hf_loop_defer(host->loop, &host->flush);
}

static void flush(struct hf_loop_deferred *deferred)
{
	struct hf_core_host *host = HF_CONTAINER_OF(deferred, struct hf_core_host, flush);

	hf_replicator_flush(host->replicator, now_ms(host));
}

static void on_tick(struct hf_timer *timer)
{
	struct hf_core_host *host = HF_CONTAINER_OF(timer, struct hf_core_host, tick);

	hf_replicator_tick(host->replicator, now_ms(host));
	hf_bee_hints_tick(host->bee_hints);
	if (host->connections != NULL)
		hf_loop_timer_set(host->loop, &host->tick, HF_REPLICATOR_TICK_MS); /* its place was just left: there is memory */
}

static bool may_serve(void *context, const uint8_t discovery_key[static 32])
{
	const struct hf_core_host *host = context;

	return host->options.may_serve == NULL || host->options.may_serve(host->options.context, discovery_key);
}

/* ---- Sockets ---- */

static void detach(struct connection *connection)
{
	hf_replicator_detach(connection->stream);
	HF_LIST_REMOVE(connection->host->connections, connection);
	free(connection);
}

static int attach(struct hf_core_host *host, struct hf_peer_socket *socket)
{
	struct hf_replicator_stream_options options = {.mux = hf_peer_socket_mux(socket), .is_initiator = hf_peer_socket_is_initiator(socket),
		.handshake_hash = hf_peer_socket_handshake_hash(socket)};
	struct connection *connection = calloc(1, sizeof *connection);
	int status;

	if (connection == NULL)
		return HF_ENOMEM;
	status = host->connections == NULL ? hf_loop_timer_set(host->loop, &host->tick, HF_REPLICATOR_TICK_MS) : HF_OK;
	if (status == HF_OK)
		status = hf_replicator_attach(host->replicator, &options, &connection->stream);
	if (status != HF_OK) {
		free(connection);
		return status;
	}
	connection->host = host;
	connection->socket = socket;
	HF_LIST_PUSH(host->connections, connection);
	hf_peer_socket_set_context(socket, connection);
	return HF_OK;
}

static void tell_closed(struct hf_core_host *host, struct hf_peer_socket *socket, int code, const char *why)
{
	if (host->options.closed != NULL)
		host->options.closed(host->options.context, socket, code, why);
}

static void on_opened(void *context, struct hf_peer_socket *socket)
{
	struct hf_core_host *host = context;

	if (attach(host, socket) != HF_OK) {
		tell_closed(host, socket, HF_ENOMEM, "There was no memory for the connection.");
		hf_peer_socket_free(socket);
		return;
	}
	if (host->options.opened != NULL)
		host->options.opened(host->options.context, socket);
}

/* Has a mux once it was opened, and is attached then. One that has not shaken hands properly is no stream of the replicator. */
static void on_closed(void *context, struct hf_peer_socket *socket, int code, const char *why)
{
	struct hf_core_host *host = context;

	if (hf_peer_socket_mux(socket) != NULL) {
		struct connection *connection = context;

		host = connection->host;
		detach(connection);
	} else {
		hf_replicator_count_end(host->replicator, code);
	}
	tell_closed(host, socket, code, why);
}

const struct hf_peer_socket_events hf_core_host_socket_events = {.opened = on_opened, .closed = on_closed};

/* ---- Life ---- */

int hf_core_host_new(struct hf_core_host **out, const struct hf_core_host_options *given, struct hf_failure *failure)
{
	struct hf_core_host_options own, *options = &own;
	int status = hf_options_take(options, sizeof *options, given);

	if (status != HF_OK)
		return hf_fail(failure, status, "the options of the core host: %s", hf_error_text(status));
	struct hf_core_host *host = calloc(1, sizeof *host);
	struct hf_corestore_options cores = {.size = sizeof cores, .store = options->store, .env = hf_loop_env(options->loop),
		.primary_key = options->primary_key, .blocking = options->blocking, .wake = wake, .context = host};
	struct hf_replicator_options replicator = {.size = sizeof replicator, .env = cores.env, .may_serve = may_serve,
		.on_pending = on_pending, .context = host};

	if (host == NULL)
		return hf_fail(failure, HF_ENOMEM, "out of memory");
	host->loop = options->loop;
	host->options = *options;
	host->mail.deliver = deliver;
	host->flush.run = flush;
	host->tick.fire = on_tick;
	status = hf_corestore_open(&host->cores, &cores, failure);
	if (status == HF_OK) {
		replicator.cores = host->cores;
		status = hf_replicator_new(&host->replicator, &replicator);
	}
	if (status == HF_OK)
		status = hf_bee_hints_new(&host->bee_hints, host->replicator);
	if (status != HF_OK) {
		hf_core_host_free(host);
		return status;
	}
	*out = host;
	return HF_OK;
}

void hf_core_host_close_sockets(struct hf_core_host *host)
{
	while (host->connections != NULL) {
		struct hf_peer_socket *socket = host->connections->socket;

		detach(host->connections);
		hf_peer_socket_free(socket);
	}
}

void hf_core_host_free(struct hf_core_host *host)
{
	if (host == NULL)
		return;
	hf_core_host_close_sockets(host);
	hf_bee_hints_free(host->bee_hints);
	hf_replicator_free(host->replicator);
	hf_corestore_close(host->cores);
	host->cores = NULL;
	hf_loop_cancel_deferred(host->loop, &host->flush);
	hf_loop_timer_cancel(host->loop, &host->tick);
	while (atomic_load(&host->is_posted))
		hf_loop_poll(host->loop, true);
	free(host);
}

struct hf_corestore *hf_core_host_cores(struct hf_core_host *host)
{
	return host->cores;
}

struct hf_replicator *hf_core_host_replicator(struct hf_core_host *host)
{
	return host->replicator;
}

struct hf_bee_hints *hf_core_host_bee_hints(struct hf_core_host *host)
{
	return host->bee_hints;
}
