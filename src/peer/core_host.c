#include "peer/core_host.h"

#include <stdlib.h>

struct hf_core_host {
	struct hf_loop *loop;
	struct hf_corestore *cores;
	struct hf_replicator *replicator;
	struct hf_loop_mail mail;
	_Atomic bool is_posted;
	struct hf_loop_deferred flush;
	struct hf_timer tick;
	bool is_freed; /* the mail that is on its way frees it */
	bool (*may_serve)(void *context, const uint8_t discovery_key[static 32]);
	void *context;
};

static struct hf_core_host *host_of_mail(struct hf_loop_mail *mail)
{
	return (struct hf_core_host *)((char *)mail - offsetof(struct hf_core_host, mail));
}

static uint64_t now_ms(struct hf_core_host *host)
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
	struct hf_core_host *host = host_of_mail(mail);

	if (host->is_freed) {
		free(host);
		return;
	}
	atomic_store(&host->is_posted, false);
	hf_corestore_poll(host->cores);
}

static void flush(struct hf_loop_deferred *deferred)
{
	struct hf_core_host *host = (struct hf_core_host *)((char *)deferred - offsetof(struct hf_core_host, flush));

	hf_replicator_flush(host->replicator, now_ms(host));
}

static void on_pending(void *context)
{
	struct hf_core_host *host = context;

	hf_loop_defer(host->loop, &host->flush);
}

static bool may_serve(void *context, const uint8_t discovery_key[static 32])
{
	const struct hf_core_host *host = context;

	return host->may_serve == NULL || host->may_serve(host->context, discovery_key);
}

static void on_tick(struct hf_timer *timer)
{
	struct hf_core_host *host = (struct hf_core_host *)((char *)timer - offsetof(struct hf_core_host, tick));
	struct hf_replicator_stats stats;

	hf_replicator_tick(host->replicator, now_ms(host));
	hf_replicator_stats(host->replicator, &stats);
	if (stats.streams > 0)
		hf_loop_timer_set(host->loop, &host->tick, HF_REPLICATOR_TICK_MS);
}

int hf_core_host_new(struct hf_core_host **out, const struct hf_core_host_options *options, struct hf_failure *failure)
{
	struct hf_core_host *host = calloc(1, sizeof *host);
	struct hf_corestore_options cores = {.size = sizeof cores, .store = options->store, .env = hf_loop_env(options->loop),
		.primary_key = options->primary_key, .wake = wake, .context = host};
	struct hf_replicator_options replicator = {.size = sizeof replicator, .env = cores.env, .may_serve = may_serve,
		.on_pending = on_pending, .context = host};
	int status;

	if (host == NULL)
		return hf_fail(failure, HF_ENOMEM, "out of memory");
	host->loop = options->loop;
	host->mail.deliver = deliver;
	host->flush.run = flush;
	host->tick.fire = on_tick;
	host->may_serve = options->may_serve;
	host->context = options->context;
	status = hf_corestore_open(&host->cores, &cores, failure);
	if (status == HF_OK) {
		replicator.cores = host->cores;
		status = hf_replicator_new(&host->replicator, &replicator);
	}
	if (status != HF_OK) {
		hf_core_host_free(host);
		return status;
	}
	*out = host;
	return HF_OK;
}

void hf_core_host_free(struct hf_core_host *host)
{
	if (host == NULL)
		return;
	hf_replicator_free(host->replicator);
	hf_corestore_close(host->cores);
	hf_loop_timer_cancel(host->loop, &host->tick);
	hf_loop_cancel_deferred(host->loop, &host->flush);
	host->is_freed = true;
	if (!atomic_exchange(&host->is_posted, true))
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

int hf_core_host_attach(struct hf_core_host *host, struct hf_peer_socket *socket, struct hf_replicator_stream **stream)
{
	struct hf_replicator_stream_options options = {.mux = hf_peer_socket_mux(socket), .is_initiator = hf_peer_socket_is_initiator(socket),
		.handshake_hash = hf_peer_socket_handshake_hash(socket)};
	int status = hf_replicator_attach(host->replicator, &options, stream);

	if (status == HF_OK)
		status = hf_loop_timer_set(host->loop, &host->tick, HF_REPLICATOR_TICK_MS);
	return status;
}
