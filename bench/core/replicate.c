/* replicate: a core going to another process over TCP, as the daemon does it: a core host on a loop. */
#include "bench.h"

#include "base/list.h"
#include "codec/core_key.h"
#include "crypto/sign.h"
#include "peer/core_host.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FILL_BYTES (1u << 20)
#define FILL_COUNT_MAX 1000u
#define REST_MS 3000u /* after which what fetching has set going is over */

struct end {
	struct hf_bench_node node;
	const struct hf_bench_job *job;
	struct hf_loop *loop;
	struct hf_core_host *host;
	struct hf_core *core;
	struct hf_replication *replication;
	struct hf_download download;
	struct hf_bench_clock clock;
	struct hf_timer rest;
	bool is_reader, is_connected;
	struct joined {
		struct hf_core *core;
		struct hf_replication *replication;
	} *others;
	uint8_t secret[HF_SIGN_SECRET_BYTES];
};

static void on_fetched(struct hf_download *download)
{
	struct end *end = HF_CONTAINER_OF(download, struct end, download);

	hf_loop_stop(end->loop);
}

/* The reader has heard how long the core is. */
static void on_heard(void *context)
{
	struct end *end = context;

	if (hf_core_length(end->core) == 0)
		hf_bench_must(HF_ENOTFOUND, "the other side's core");
	end->download = (struct hf_download){.to = hf_core_length(end->core), .done = on_fetched};
	hf_download_start(end->replication, &end->download);
}

static void on_opened(void *context, struct hf_peer_socket *socket)
{
	struct end *end = context;

	(void)socket;
	if (!end->is_connected && !end->is_reader)
		end->clock = hf_bench_clock();
	end->is_connected = true;
	if (end->is_reader)
		hf_bench_must(hf_replication_update(end->replication, on_heard, end), "update");
}

static void on_closed(void *context, struct hf_peer_socket *socket, int code, const char *why)
{
	const struct end *end = context;

	(void)socket;
	if (!end->is_reader)
		return;
	fprintf(stderr, "bench/core: %s\n", why);
	hf_bench_must(code == HF_OK ? HF_ECLOSED : code, "connection");
}

static void open_end(struct end *end, const struct hf_bench_job *job)
{
	uint8_t public_key[HF_SIGN_PUBLIC_BYTES];
	struct hf_failure failure;

	end->job = job;
	hf_bench_open(&end->node, job);
	hf_bench_must(hf_executor_start(&end->node.env.executor, "work", 1, 64), "executor");
	hf_bench_must(hf_loop_new(&end->loop, &end->node.env), "loop");
	hf_sign_keypair_generate(public_key, end->secret, &end->node.env);

	struct hf_core_host_options options = {.size = sizeof options, .loop = end->loop, .store = end->node.store,
		.primary_key = hf_slice(end->node.primary_key, sizeof end->node.primary_key), .opened = on_opened, .closed = on_closed, .context = end};

	hf_bench_must(hf_core_host_new(&end->host, &options, &failure), "host");
}

static void join(struct end *end, const uint8_t *key)
{
	end->core = hf_bench_core(hf_core_host_cores(end->host), key);
	hf_bench_must(hf_replicator_join(hf_core_host_replicator(end->host), end->core, &end->replication), "join");
}

/* The same on both sides, where both join some. */
static void join_others(struct end *end)
{
	uint8_t key[HF_CORE_KEY_BYTES] = {0};

	end->others = calloc(end->job->joined + 1, sizeof *end->others);
	hf_bench_must(end->others == NULL ? HF_ENOMEM : HF_OK, "other cores");
	for (unsigned i = 0; i < end->job->joined; i++) {
		struct hf_core_options options = {.size = sizeof options, .key = key};
		struct joined *other = &end->others[i];

		hf_store_le32(key, i);
		hf_bench_must(hf_corestore_get(hf_core_host_cores(end->host), &options, &other->core, NULL), "core");
		hf_bench_must(hf_replicator_join(hf_core_host_replicator(end->host), other->core, &other->replication), "join");
	}
}

static void leave_others(struct end *end)
{
	for (unsigned i = 0; end->others != NULL && i < end->job->joined; i++) {
		hf_replication_leave(end->others[i].replication);
		hf_core_unref(end->others[i].core);
	}
	free(end->others);
}

static struct hf_peer_socket_options socket_options(struct end *end)
{
	return (struct hf_peer_socket_options){.size = sizeof(struct hf_peer_socket_options), .loop = end->loop, .static_secret = end->secret,
		.events = &hf_core_host_socket_events, .context = end->host};
}

static void close_end(struct end *end)
{
	hf_core_host_close_sockets(end->host);
	leave_others(end);
	hf_replication_leave(end->replication);
	hf_core_unref(end->core);
	hf_core_host_free(end->host);
	hf_loop_free(end->loop);
	hf_executor_stop(end->node.env.executor);
	hf_bench_close(&end->node);
}

static void *stop_when_input_ends(void *context)
{
	char byte;

	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	hf_loop_stop(context);
	return NULL;
}

static void print_where(const struct end *end, const struct hf_address *bound)
{
	char id[HF_CORE_ID_BYTES];

	hf_core_key_encode(id, hf_core_key(end->core));
	printf("{\"port\":%u,\"key\":\"%s\"}\n", bound->port, id);
	fflush(stdout);
}

void hf_bench_serve(const struct hf_bench_job *job)
{
	static struct end end;
	unsigned batch = FILL_BYTES / job->block_bytes;
	struct hf_peer_listener *listener;
	struct hf_failure failure;
	struct hf_address bound;
	pthread_t thread;

	open_end(&end, job);
	join(&end, NULL);
	join_others(&end);
	hf_bench_fill(&end.node, end.core, job, batch < 1 ? 1 : batch < FILL_COUNT_MAX ? batch : FILL_COUNT_MAX);

	struct hf_peer_socket_options options = socket_options(&end);

	hf_bench_must(hf_peer_listener_new(&listener, &options, "127.0.0.1:0", &bound, &failure), "listen");
	print_where(&end, &bound);
	hf_bench_must(pthread_create(&thread, NULL, stop_when_input_ends, end.loop) == 0 ? HF_OK : HF_ENOMEM, "thread");
	hf_loop_run(end.loop);
	pthread_join(thread, NULL);
	hf_bench_print(&end.clock, "replicate", "writer", job);
	hf_peer_listener_free(listener);
	close_end(&end);
}

static void on_rested(struct hf_timer *timer)
{
	struct end *end = HF_CONTAINER_OF(timer, struct end, rest);

	hf_loop_stop(end->loop);
}

static void rest(struct end *end, uint64_t ms)
{
	end->rest.fire = on_rested;
	hf_bench_must(hf_loop_timer_set(end->loop, &end->rest, ms), "timer");
	hf_loop_run(end->loop);
}

/* What it costs to be connected and have nothing to do. */
static void measure_idle(struct end *end)
{
	struct hf_replicator_stats stats;

	if (end->job->idle_seconds == 0)
		return;
	rest(end, REST_MS);
	hf_replicator_stats(hf_core_host_replicator(end->host), &stats);

	struct hf_bench_clock clock = hf_bench_clock(), now;

	rest(end, end->job->idle_seconds * 1000u);
	now = hf_bench_clock();
	printf("{\"row\":\"idle\",\"joined\":%u,\"channels\":%llu,\"seconds\":%.4g,\"cpu_ms_per_s\":%.4g}\n", end->job->joined,
		(unsigned long long)stats.channels, (now.wall_us - clock.wall_us) / 1e6, (now.cpu_us - clock.cpu_us) * 1e3 / (now.wall_us - clock.wall_us));
}

void hf_bench_fetch(const struct hf_bench_job *job)
{
	static struct end end = {.is_reader = true};
	struct hf_peer_socket *socket;
	struct hf_failure failure;
	struct hf_bench_job done = *job;
	uint8_t key[HF_CORE_KEY_BYTES];
	char address[32];

	hf_bench_must(hf_core_key_decode(key, hf_slice_text(job->key)), "key");
	open_end(&end, job);
	join(&end, key);
	join_others(&end);
	end.clock = hf_bench_clock();

	struct hf_peer_socket_options options = socket_options(&end);

	snprintf(address, sizeof address, "127.0.0.1:%u", job->port);
	hf_bench_must(hf_peer_socket_connect(&socket, &options, address, &failure), "connect");
	hf_loop_run(end.loop);
	done.blocks = hf_core_length(end.core);
	done.block_bytes = (unsigned)(hf_core_byte_length(end.core) / done.blocks);
	hf_bench_print(&end.clock, "replicate", "reader", &done);
	measure_idle(&end);
	close_end(&end);
}
