/* idle: the memory of the server's process for a connection that says nothing. Each variant has a server of its own,
 * started again on the same data, so that memory freed by the one before does not hide in the figure. Kernel memory
 * of the sockets is not in it. */
#include "run.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#define WARM_COUNT 50u

struct idle {
	struct hf_bench_run *run;
	struct hf_bench_conn **conns;
	size_t open_count;
	size_t message_count;
};

static void count_message(struct hf_bench_conn *conn, const struct hf_bench_message *message)
{
	struct idle *idle = conn->hub->context;
	(void)message;
	idle->message_count++;
}

static void pump_for(struct idle *idle, int64_t duration_us)
{
	int64_t end = hf_bench_now_us() + duration_us;
	for (int64_t now; (now = hf_bench_now_us()) < end;)
		hf_bench_hub_poll(&idle->run->hub, end - now);
}

static double memory_of(struct idle *idle)
{
	struct hf_bench_sample sample;
	pump_for(idle, 500000);
	hf_bench_server_sample(&idle->run->server, false, &sample);
	return sample.memory_bytes;
}

/* One REQ deflated as the first message of a connection (RFC 7692, section 7.2.1). */
static size_t deflate_request(char *out, size_t out_bytes)
{
	static const char request[] = "[\"REQ\",\"idle\",{\"kinds\":[1],\"limit\":1}]";
	z_stream stream = {0};
	if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return 0;
	stream.next_in = (Bytef *)(uintptr_t)request;
	stream.avail_in = sizeof(request) - 1;
	stream.next_out = (Bytef *)out;
	stream.avail_out = (uInt)out_bytes;
	deflate(&stream, Z_SYNC_FLUSH);
	size_t count = out_bytes - stream.avail_out;
	deflateEnd(&stream);
	return count > 4 ? count - 4 : 0;
}

/* Every connection asks for one event and so has both directions of its compression in use. */
static bool use_deflate(struct idle *idle)
{
	char request[256];
	size_t bytes = deflate_request(request, sizeof(request));
	size_t goal = idle->message_count + 2 * idle->open_count;
	for (size_t i = 0; i < idle->open_count; i++) {
		hf_bench_conn_deflated(idle->conns[i], request, bytes);
		hf_bench_conn_flush(idle->conns[i]);
		if (i % 64 == 0)
			hf_bench_hub_poll(&idle->run->hub, 0);
	}
	return hf_bench_await(idle->run, &idle->message_count, goal);
}

static bool open_more(struct idle *idle, size_t count, bool deflate)
{
	while (idle->open_count < count) {
		struct hf_bench_conn *conn = hf_bench_conn_open(&idle->run->hub, idle->run->server.port, deflate);
		if (!conn)
			return false;
		idle->conns[idle->open_count++] = conn;
		if (deflate && !conn->deflate) {
			fprintf(stderr, "relay: the server does not agree to permessage-deflate\n");
			return false;
		}
	}
	return true;
}

static bool measure(struct hf_bench_run *run, bool deflate, double *open_bytes, double *used_bytes)
{
	struct idle idle = {.run = run};
	bool done = false;
	hf_bench_server_stop(&run->server, SIGTERM);
	if (!hf_bench_server_start(&run->server, NULL) || !hf_bench_hub_open(&run->hub))
		return false;
	run->hub.context = &idle;
	run->hub.on_message = count_message;
	idle.conns = calloc(run->idle_count + WARM_COUNT, sizeof(struct hf_bench_conn *));
	if (!idle.conns || !open_more(&idle, WARM_COUNT, deflate) || (used_bytes && !use_deflate(&idle)))
		goto out;
	double before = memory_of(&idle);
	if (!open_more(&idle, run->idle_count + WARM_COUNT, deflate))
		goto out;
	*open_bytes = (memory_of(&idle) - before) / (double)run->idle_count;
	done = !used_bytes || use_deflate(&idle);
	if (used_bytes)
		*used_bytes = (memory_of(&idle) - before) / (double)run->idle_count;
out:
	hf_bench_conns_close(idle.conns, idle.open_count);
	free(idle.conns);
	hf_bench_hub_close(&run->hub);
	return done;
}

bool hf_bench_row_idle(struct hf_bench_run *run)
{
	if (!hf_bench_run_loaded(run, run->event_count))
		return false;
	bool plain = measure(run, false, &run->values[HF_IDLE_PLAIN], NULL);
	return measure(run, true, &run->values[HF_IDLE_DEFLATE], &run->values[HF_IDLE_USED]) && plain;
}
