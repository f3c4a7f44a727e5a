/* run: see run.h. The ground under the rows, and the closed-loop publisher that most of them use. */
#include "run.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static bool await(struct hf_bench_run *run, const size_t *progress, size_t goal)
{
	size_t seen = *progress;
	int64_t seen_at_us = hf_bench_now_us();
	while (*progress < goal) {
		hf_bench_hub_poll(&run->hub, 1000000);
		int64_t now_us = hf_bench_now_us();
		if (*progress != seen) {
			seen = *progress;
			seen_at_us = now_us;
		} else if (run->hub.lost_count || now_us - seen_at_us > HF_BENCH_STALL_US) {
			fprintf(stderr, "relay: %zu of %zu answers, then %s\n", seen, goal,
				run->hub.lost_count ? "the server closed a connection" : "nothing for 20 s");
			return false;
		}
	}
	return true;
}

/* Microseconds that all processors together have been at work. */
static double machine_cpu_us(void)
{
	double user, nice, kernel, idle, waiting, interrupts, soft_interrupts;
	FILE *file = fopen("/proc/stat", "re");
	if (!file)
		return 0;
	int found = fscanf(file, "cpu %lf %lf %lf %lf %lf %lf %lf", &user, &nice, &kernel, &idle, &waiting, &interrupts,
		&soft_interrupts);
	fclose(file);
	return found < 7 ? 0
			 : (user + nice + kernel + interrupts + soft_interrupts) * 1e6 / (double)sysconf(_SC_CLK_TCK);
}

static double own_cpu_us(void)
{
	struct timespec cpu;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
	return (double)cpu.tv_sec * 1e6 + (double)cpu.tv_nsec / 1e3;
}

void hf_bench_busy_begin(struct hf_bench_run *run)
{
	struct hf_bench_sample sample;
	hf_bench_server_sample(&run->server, false, &sample);
	run->busy = (struct hf_bench_busy){sample.at_us, own_cpu_us(), sample.cpu_us, machine_cpu_us(), true};
}

void hf_bench_busy_end(struct hf_bench_run *run)
{
	const struct hf_bench_busy *begun = &run->busy;
	struct hf_bench_sample sample;
	hf_bench_server_sample(&run->server, false, &sample);
	double elapsed_us = (double)(sample.at_us - begun->at_us) + 1;
	double own_us = own_cpu_us() - begun->own_us;
	double others_us = machine_cpu_us() - begun->machine_us - own_us - (sample.cpu_us - begun->server_us);
	run->client_busy = own_us / elapsed_us;
	run->others_busy = others_us > 0 ? others_us / elapsed_us : 0;
	run->busy.is_begun = false;
}

bool hf_bench_await(struct hf_bench_run *run, const size_t *progress, size_t goal)
{
	bool within = run->busy.is_begun;
	if (!within)
		hf_bench_busy_begin(run);
	bool reached = await(run, progress, goal);
	if (!within)
		hf_bench_busy_end(run);
	return reached;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

double hf_bench_percentile(double *values, size_t count, double fraction)
{
	if (!count)
		return 0;
	qsort(values, count, sizeof(*values), compare_doubles);
	size_t index = (size_t)(fraction * (double)count);
	return values[index < count ? index : count - 1];
}

/* One publisher's state while hf_bench_publish runs. */
struct pump {
	struct hf_bench_run *run;
	struct hf_bench_publish *publish;
	size_t sent;
	size_t answered;
};

static void pump_fill(struct hf_bench_conn *conn)
{
	struct pump *pump = conn->hub->context;
	struct hf_bench_publish *publish = pump->publish;
	bool added = false;
	while (conn->in_flight < publish->window && pump->sent < publish->count) {
		size_t index = publish->indices ? publish->indices[pump->sent] : publish->first + pump->sent;
		struct hf_bench_event event = hf_bench_event_at(pump->run->events, index);
		hf_bench_conn_text(conn, "[\"EVENT\",", 9, event.json, event.json_bytes, "]", 1);
		pump->sent++;
		conn->in_flight++;
		added = true;
	}
	if (!added)
		return;
	conn->sent_at_us = hf_bench_now_us();
	hf_bench_conn_flush(conn);
}

static void pump_message(struct hf_bench_conn *conn, const struct hf_bench_message *message)
{
	struct pump *pump = conn->hub->context;
	struct hf_bench_publish *publish = pump->publish;
	if (message->kind == HF_BENCH_NOTICE)
		fprintf(stderr, "relay: %.*s\n", (int)(message->head_bytes < 200 ? message->head_bytes : 200),
			message->head);
	if (message->kind != HF_BENCH_OK || !conn->in_flight)
		return;
	/* ["OK","<64 hex digits>",true,… */
	size_t after = message->head_bytes > 72 ? 72 : message->head_bytes;
	const char *answer = memmem(message->head + after, message->head_bytes - after, "true", 4);
	if (answer && answer < message->head + after + 4)
		publish->accepted_count++;
	else if (publish->refused_count++ == 0)
		fprintf(stderr, "relay: first refusal: %.*s\n", (int)message->head_bytes, message->head);
	if (publish->latencies_us)
		publish->latencies_us[pump->answered] = (double)(hf_bench_now_us() - conn->sent_at_us);
	pump->answered++;
	conn->in_flight--;
}

bool hf_bench_publish(struct hf_bench_run *run, struct hf_bench_publish *publish)
{
	struct hf_bench_conn *conns[64];
	struct pump pump = {.run = run, .publish = publish};
	if (publish->conn_count > 64 || !hf_bench_hub_open(&run->hub))
		return false;
	run->hub.context = &pump;
	run->hub.on_message = pump_message;
	run->hub.on_round = pump_fill;
	publish->accepted_count = publish->refused_count = 0;
	bool done = hf_bench_conns_open(&run->hub, conns, publish->conn_count, run->server.port, false);
	if (done) {
		int64_t begin = hf_bench_now_us();
		for (size_t i = 0; i < publish->conn_count; i++)
			pump_fill(conns[i]);
		done = hf_bench_await(run, &pump.answered, publish->count);
		publish->elapsed_us = hf_bench_now_us() - begin;
		hf_bench_conns_close(conns, publish->conn_count);
	}
	hf_bench_hub_close(&run->hub);
	return done;
}

bool hf_bench_run_fresh(struct hf_bench_run *run)
{
	hf_bench_server_stop(&run->server, SIGTERM);
	run->loaded_count = 0;
	run->reserve_next = run->event_count;
	return hf_bench_server_clear(&run->server) && hf_bench_server_start(&run->server, NULL);
}

static bool load_by_command(struct hf_bench_run *run, size_t count)
{
	struct hf_bench_server loader = run->server;
	char command[4096];
	size_t used = 0;
	for (const char *from = run->load_command; *from && used + sizeof(loader.dir) < sizeof(command);) {
		if (!strncmp(from, "{dir}", 5)) {
			used += (size_t)snprintf(command + used, sizeof(command) - used, "%s", loader.dir);
			from += 5;
		} else {
			command[used++] = *from++;
		}
	}
	snprintf(command + used, sizeof(command) - used, " >>%s 2>&1", loader.log_path);
	FILE *pipe = popen(command, "w");
	if (!pipe)
		return false;
	size_t bytes = (size_t)run->events->offsets[count];
	bool written = fwrite(run->events->text, 1, bytes, pipe) == bytes;
	return pclose(pipe) == 0 && written;
}

bool hf_bench_run_loaded(struct hf_bench_run *run, size_t count)
{
	if (run->server.pid && run->loaded_count == count)
		return true;
	if (!hf_bench_run_fresh(run))
		return false;
	if (run->load_command) {
		hf_bench_server_stop(&run->server, SIGTERM);
		if (!load_by_command(run, count)) {
			fprintf(stderr, "relay: the load command failed, see %s\n", run->server.log_path);
			return false;
		}
		if (!hf_bench_server_start(&run->server, NULL))
			return false;
	} else {
		struct hf_bench_publish publish = {.conn_count = 8, .window = 64, .count = count};
		if (!hf_bench_publish(run, &publish))
			return false;
	}
	hf_bench_server_settle(&run->server, 20000000);
	run->loaded_count = count;
	return true;
}

bool hf_bench_run_reserve(struct hf_bench_run *run, size_t *indices, size_t count)
{
	size_t taken = 0;
	while (taken < count && run->reserve_next < run->events->count) {
		struct hf_bench_event event = hf_bench_event_at(run->events, run->reserve_next);
		if (event.kind == 1 || event.kind == 7)
			indices[taken++] = run->reserve_next;
		run->reserve_next++;
	}
	if (taken < count)
		fprintf(stderr, "relay: the reserve of events is used up\n");
	return taken == count;
}
