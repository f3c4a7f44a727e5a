/* live: events to those who wait for them. Subscribers take what matches from connections of their own; one publisher
 * keeps a few events in flight. Published are notes and reactions out of the reserve, all of which match. */
#include "run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SUBSCRIBERS_MAX 1000u
#define FANOUT_EVENT_COUNT 1000u
#define FANOUT_WINDOW 256u
#define PACED_SUBSCRIBER_COUNT 100u
#define PACED_EVENT_COUNT 2000u
#define PACED_INTERVAL_US 5000
#define AUTHORS_CONN_COUNT 100u
#define AUTHORS_SUBSCRIPTIONS_EACH 10u
#define AUTHORS_EACH 10u
#define AUTHORS_EVENT_COUNT 10000u
#define AUTHORS_WINDOW 64u

struct live {
	struct hf_bench_run *run;
	struct hf_bench_conn *subscribers[SUBSCRIBERS_MAX];
	size_t subscriber_count;
	struct hf_bench_conn *publisher;
	size_t *indices;
	size_t event_count;
	size_t sent;
	size_t window;
	size_t answered; /* OKs */
	size_t ready;    /* EOSEs */
	size_t delivered;
	bool live; /* from now on EVENTs are counted */
	int64_t *sent_at_us;
	double *latencies_us; /* NULL unless deliveries are matched with their sending */
	size_t *order;        /* of the events by id, for that */
};

static void publish_one(struct live *live)
{
	struct hf_bench_event event = hf_bench_event_at(live->run->events, live->indices[live->sent++]);
	hf_bench_conn_text(live->publisher, "[\"EVENT\",", 9, event.json, event.json_bytes, "]", 1);
}

/* Events that have been sent and have not yet reached all subscribers stay within the window. */
static void publish_more(struct live *live, size_t completed)
{
	size_t before = live->sent;
	while (live->sent < live->event_count && live->sent < completed + live->window)
		publish_one(live);
	if (live->sent != before)
		hf_bench_conn_flush(live->publisher);
}

static size_t find_event(const struct live *live, const char *id)
{
	size_t low = 0, high = live->event_count;
	while (low < high) {
		size_t middle = (low + high) / 2;
		struct hf_bench_event event = hf_bench_event_at(live->run->events, live->indices[live->order[middle]]);
		int order = memcmp(event.id, id, 64);
		if (order == 0)
			return live->order[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return live->event_count;
}

static void note_latency(struct live *live, const struct hf_bench_message *message)
{
	const char *id = memmem(message->head, message->head_bytes, "\"id\":\"", 6);
	size_t index =
		id && id + 70 <= message->head + message->head_bytes ? find_event(live, id + 6) : live->event_count;
	if (index < live->event_count)
		live->latencies_us[live->delivered] = (double)(hf_bench_now_us() - live->sent_at_us[index]);
}

static void take_live(struct hf_bench_conn *conn, const struct hf_bench_message *message)
{
	struct live *live = conn->hub->context;
	if (message->kind == HF_BENCH_EVENT && live->live) {
		if (live->latencies_us && live->delivered < live->event_count * live->subscriber_count)
			note_latency(live, message);
		live->delivered++;
	} else if (message->kind == HF_BENCH_OK) {
		live->answered++;
	} else if (message->kind == HF_BENCH_EOSE) {
		live->ready++;
	} else if (message->kind == HF_BENCH_CLOSED || message->kind == HF_BENCH_NOTICE) {
		fprintf(stderr, "relay: %.*s\n", (int)(message->head_bytes < 200 ? message->head_bytes : 200),
			message->head);
	}
}

static void fanout_round(struct hf_bench_conn *conn)
{
	struct live *live = conn->hub->context;
	if (live->live)
		publish_more(live, live->delivered / live->subscriber_count);
}

static void authors_round(struct hf_bench_conn *conn)
{
	struct live *live = conn->hub->context;
	if (live->live && conn == live->publisher)
		publish_more(live, live->answered);
}

static bool live_open(struct live *live, struct hf_bench_run *run, size_t subscriber_count, size_t event_count)
{
	*live = (struct live){.run = run, .event_count = event_count};
	live->indices = calloc(event_count, sizeof(*live->indices));
	if (!hf_bench_hub_open(&run->hub) || !live->indices || !hf_bench_run_reserve(run, live->indices, event_count))
		return false;
	run->hub.context = live;
	run->hub.on_message = take_live;
	live->publisher = hf_bench_conn_open(&run->hub, run->server.port, false);
	if (live->publisher &&
		hf_bench_conns_open(&run->hub, live->subscribers, subscriber_count, run->server.port, false))
		live->subscriber_count = subscriber_count;
	return live->subscriber_count == subscriber_count;
}

static void live_close(struct live *live)
{
	hf_bench_conns_close(live->subscribers, live->subscriber_count);
	hf_bench_conn_close(live->publisher);
	hf_bench_hub_close(&live->run->hub);
	free(live->indices);
	free(live->sent_at_us);
	free(live->latencies_us);
	free(live->order);
}

/* Every subscriber asks for all notes and reactions; waits until all are answered. */
static bool subscribe_all(struct live *live)
{
	for (size_t i = 0; i < live->subscriber_count; i++) {
		hf_bench_conn_string(live->subscribers[i], "[\"REQ\",\"live\",{\"kinds\":[1,7],\"limit\":1}]");
		hf_bench_conn_flush(live->subscribers[i]);
	}
	return hf_bench_await(live->run, &live->ready, live->subscriber_count);
}

static uint64_t count_segments(const struct live *live)
{
	uint64_t segments = 0;
	for (size_t i = 0; i < live->subscriber_count; i++)
		segments += hf_bench_conn_segments(live->subscribers[i]);
	return segments;
}

bool hf_bench_row_fanout(struct hf_bench_run *run)
{
	struct live live;
	struct hf_bench_sample before, after;
	size_t goal = FANOUT_EVENT_COUNT * SUBSCRIBERS_MAX;
	bool done = false;
	if (!hf_bench_run_loaded(run, run->event_count))
		return false;
	if (!live_open(&live, run, SUBSCRIBERS_MAX, FANOUT_EVENT_COUNT) || !subscribe_all(&live))
		goto out;
	hf_bench_server_settle(&run->server, 3000000);
	run->hub.on_round = fanout_round;
	live.window = FANOUT_WINDOW;
	live.live = true;
	uint64_t segments = count_segments(&live);
	hf_bench_server_sample(&run->server, false, &before);
	publish_more(&live, 0);
	done = hf_bench_await(run, &live.delivered, goal);
	hf_bench_server_sample(&run->server, false, &after);
	if (!done)
		goto out;
	segments = count_segments(&live) - segments;
	double elapsed_s = (double)(after.at_us - before.at_us) / 1e6;
	run->values[HF_FANOUT_RATE] = (double)goal / elapsed_s;
	run->values[HF_FANOUT_CPU] = (after.cpu_us - before.cpu_us) / (double)goal;
	run->values[HF_FANOUT_WRITES] = (double)segments / elapsed_s;
	run->values[HF_FANOUT_SHARED] = segments ? (double)goal / (double)segments : 0;
out:
	live_close(&live);
	return done;
}

static const struct live *sorting;

static int compare_ids(const void *a, const void *b)
{
	const struct hf_bench_events *events = sorting->run->events;
	struct hf_bench_event x = hf_bench_event_at(events, sorting->indices[*(const size_t *)a]);
	struct hf_bench_event y = hf_bench_event_at(events, sorting->indices[*(const size_t *)b]);
	return memcmp(x.id, y.id, 64);
}

static bool prepare_latencies(struct live *live)
{
	live->sent_at_us = calloc(live->event_count, sizeof(*live->sent_at_us));
	live->latencies_us = calloc(live->event_count * live->subscriber_count, sizeof(*live->latencies_us));
	live->order = calloc(live->event_count, sizeof(*live->order));
	if (!live->sent_at_us || !live->latencies_us || !live->order)
		return false;
	for (size_t i = 0; i < live->event_count; i++)
		live->order[i] = i;
	sorting = live;
	qsort(live->order, live->event_count, sizeof(*live->order), compare_ids);
	return true;
}

/* Sends at fixed times, whether or not the server keeps up: latency counts from when an event was due. */
static void publish_paced(struct live *live)
{
	int64_t begin = hf_bench_now_us();
	while (live->sent < live->event_count) {
		int64_t due = begin + (int64_t)live->sent * PACED_INTERVAL_US, now = hf_bench_now_us();
		if (now < due) {
			hf_bench_hub_poll(&live->run->hub, due - now);
			continue;
		}
		live->sent_at_us[live->sent] = due;
		publish_one(live);
		hf_bench_conn_flush(live->publisher);
	}
}

bool hf_bench_row_paced(struct hf_bench_run *run)
{
	struct live live;
	struct hf_bench_sample before, after;
	size_t goal = PACED_EVENT_COUNT * PACED_SUBSCRIBER_COUNT;
	bool done = false;
	if (!hf_bench_run_loaded(run, run->event_count))
		return false;
	if (!live_open(&live, run, PACED_SUBSCRIBER_COUNT, PACED_EVENT_COUNT) || !prepare_latencies(&live) ||
		!subscribe_all(&live))
		goto out;
	hf_bench_server_settle(&run->server, 3000000);
	live.live = true;
	hf_bench_server_sample(&run->server, false, &before);
	hf_bench_busy_begin(run);
	publish_paced(&live);
	done = hf_bench_await(run, &live.delivered, goal);
	hf_bench_busy_end(run);
	hf_bench_server_sample(&run->server, false, &after);
	if (!done)
		goto out;
	run->values[HF_PACED_P50] = hf_bench_percentile(live.latencies_us, goal, 0.5) / 1e3;
	run->values[HF_PACED_P99] = hf_bench_percentile(live.latencies_us, goal, 0.99) / 1e3;
	run->values[HF_PACED_CPU] = (after.cpu_us - before.cpu_us) / (double)goal;
out:
	live_close(&live);
	return done;
}

/* 1,000 subscriptions on 100 connections, each to ten authors taken from all events alike. */
static bool subscribe_authors(struct live *live)
{
	uint64_t random = 11;
	for (size_t i = 0; i < live->subscriber_count * AUTHORS_SUBSCRIPTIONS_EACH; i++) {
		struct hf_bench_conn *conn = live->subscribers[i % live->subscriber_count];
		char request[1024];
		int bytes = snprintf(request, sizeof(request), "[\"REQ\",\"s%zu\",{\"limit\":1,\"authors\":[", i);
		for (size_t k = 0; k < AUTHORS_EACH; k++) {
			random = random * 6364136223846793005ull + 1442695040888963407ull;
			struct hf_bench_event event =
				hf_bench_event_at(live->run->events, (size_t)(random >> 33) % live->run->event_count);
			bytes += snprintf(request + bytes, sizeof(request) - (size_t)bytes, "%s\"%.64s\"", k ? "," : "",
				event.pubkey);
		}
		snprintf(request + bytes, sizeof(request) - (size_t)bytes, "]}]");
		hf_bench_conn_string(conn, request);
		hf_bench_conn_flush(conn);
	}
	return hf_bench_await(live->run, &live->ready, live->subscriber_count * AUTHORS_SUBSCRIPTIONS_EACH);
}

bool hf_bench_row_authors(struct hf_bench_run *run)
{
	struct live live;
	struct hf_bench_sample before, after;
	bool done = false;
	if (!hf_bench_run_loaded(run, run->event_count))
		return false;
	if (!live_open(&live, run, AUTHORS_CONN_COUNT, AUTHORS_EVENT_COUNT) || !subscribe_authors(&live))
		goto out;
	hf_bench_server_settle(&run->server, 3000000);
	run->hub.on_round = authors_round;
	live.window = AUTHORS_WINDOW;
	live.live = true;
	hf_bench_server_sample(&run->server, false, &before);
	publish_more(&live, 0);
	done = hf_bench_await(run, &live.answered, AUTHORS_EVENT_COUNT);
	for (size_t seen = SIZE_MAX; done && seen != live.delivered;) {
		seen = live.delivered;
		hf_bench_hub_poll(&run->hub, 200000);
	}
	hf_bench_server_sample(&run->server, false, &after);
	if (!done)
		goto out;
	run->values[HF_AUTHORS_CPU] = (after.cpu_us - before.cpu_us) / AUTHORS_EVENT_COUNT;
	run->values[HF_AUTHORS_DELIVERIES] = (double)live.delivered / AUTHORS_EVENT_COUNT;
out:
	live_close(&live);
	return done;
}
