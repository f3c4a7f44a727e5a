/* start: from the spawn to the first answered HTTP request, after a clean stop and after kill -9 in the middle of
 * publishing. After the kill every event that was answered OK is asked for again. The page cache stays, so this tests
 * the recovery, not the disk. */
#include "run.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define START_COUNT 5u
#define CRASH_EVENT_COUNT 1000u
#define IDS_PER_QUERY 50u
#define REFUSALS_MAX 20u
#define REFUSAL_PAUSE_US 50000

struct recount {
	size_t answer_count;
	size_t refused_count;
	size_t event_count;
};

static void recount_message(struct hf_bench_conn *conn, const struct hf_bench_message *message)
{
	struct recount *recount = conn->hub->context;
	bool refused = message->kind == HF_BENCH_CLOSED;
	recount->event_count += message->kind == HF_BENCH_EVENT;
	recount->refused_count += refused;
	recount->answer_count += refused || message->kind == HF_BENCH_EOSE;
}

static bool ask_for(struct hf_bench_run *run, struct hf_bench_conn *conn, const size_t *indices, size_t count)
{
	struct recount *recount = run->hub.context;
	char request[IDS_PER_QUERY * 68 + 64];
	size_t bytes = (size_t)snprintf(request, sizeof(request), "[\"REQ\",\"q\",{\"ids\":[");
	for (size_t i = 0; i < count; i++)
		bytes += (size_t)snprintf(request + bytes, sizeof(request) - bytes, "%s\"%.64s\"", i ? "," : "",
			hf_bench_event_at(run->events, indices[i]).id);
	snprintf(request + bytes, sizeof(request) - bytes, "]}]");
	hf_bench_conn_string(conn, request);
	hf_bench_conn_flush(conn);
	return hf_bench_await(run, &recount->answer_count, recount->answer_count + 1);
}

/* How many of these events the server has. A relay may answer HTTP before it can query and close subscriptions until
 * then, so a refusal is tried again; false when it never answers, which is not the same as having lost them. */
static bool count_stored(struct hf_bench_run *run, const size_t *indices, size_t count, size_t *stored)
{
	struct recount recount = {0};
	if (!hf_bench_hub_open(&run->hub))
		return false;
	run->hub.context = &recount;
	run->hub.on_message = recount_message;
	struct hf_bench_conn *conn = hf_bench_conn_open(&run->hub, run->server.port, false);
	bool answered = conn != NULL;
	for (size_t first = 0; answered && first < count;) {
		size_t part = count - first < IDS_PER_QUERY ? count - first : IDS_PER_QUERY;
		size_t refused = recount.refused_count;
		answered = ask_for(run, conn, indices + first, part) && recount.refused_count < REFUSALS_MAX;
		if (recount.refused_count == refused)
			first += part;
		else
			usleep(REFUSAL_PAUSE_US);
	}
	hf_bench_conn_close(conn);
	hf_bench_hub_close(&run->hub);
	*stored = recount.event_count;
	return answered;
}

static bool measure_starts(struct hf_bench_run *run, int signal_number, double *median_ms)
{
	double times_ms[START_COUNT];
	for (size_t i = 0; i < START_COUNT; i++) {
		int64_t ready_us;
		size_t indices[CRASH_EVENT_COUNT];
		struct hf_bench_publish publish = {
			.conn_count = 4, .window = 16, .count = CRASH_EVENT_COUNT, .indices = indices};
		bool crash = signal_number == SIGKILL;
		if (crash &&
			(!hf_bench_run_reserve(run, indices, CRASH_EVENT_COUNT) || !hf_bench_publish(run, &publish)))
			return false;
		hf_bench_server_stop(&run->server, signal_number);
		if (!hf_bench_server_start(&run->server, &ready_us))
			return false;
		times_ms[i] = (double)ready_us / 1e3;
		size_t stored = 0;
		if (!crash)
			continue;
		if (!count_stored(run, indices, CRASH_EVENT_COUNT, &stored))
			return false;
		run->values[HF_START_LOST] += (double)publish.accepted_count - (double)stored;
	}
	*median_ms = hf_bench_percentile(times_ms, START_COUNT, 0.5);
	return true;
}

bool hf_bench_row_start(struct hf_bench_run *run)
{
	if (!hf_bench_run_loaded(run, run->event_count))
		return false;
	hf_bench_server_stop(&run->server, SIGTERM);
	run->values[HF_START_DISK] = hf_bench_server_disk_bytes(&run->server) / (double)run->event_count;
	if (!hf_bench_server_start(&run->server, NULL))
		return false;
	run->values[HF_START_LOST] = 0;
	bool measured = measure_starts(run, SIGTERM, &run->values[HF_START_CLEAN]) &&
			measure_starts(run, SIGKILL, &run->values[HF_START_KILLED]);
	if (!measured)
		run->values[HF_START_LOST] = NAN;
	return measured;
}
