/* bench/store: what the store costs, beside the prototype's figures of the design (docs/decisions).
 *
 *     bench/store [--events N] [--groups 1,8,32,256,1000] [--directory DIR] [--keep]
 *
 * Synthetic events of 570 bytes with 6 or 7 terms, made on the fly. "group" is how many are submitted together and
 * waited for, so each is one write and one sync. CPU is user and system of all threads, the making included. Device bytes are
 * the sectors that the disk under DIR wrote, with whatever else wrote meanwhile. */
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "base/map.h"
#include "store/store.h"

#define PAYLOAD_BYTES 570
#define GROUP_MAX 1000
#define BLOCK_BYTES 100

struct bench {
	struct hf_env env;
	struct hf_store *store;
	char directory[512];
	uint64_t events;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	unsigned waiting;
	int status;
	uint8_t payload[PAYLOAD_BYTES];
};

struct event {
	struct hf_commit commit; /* first */
	struct bench *bench;
	uint64_t number, logs;
};

/* ---- The outside ---- */

static double wall_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static double cpu_us(void)
{
	struct rusage r;

	getrusage(RUSAGE_SELF, &r);
	return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1e6 + (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
}

static double device_bytes(const char *directory)
{
	struct stat st;
	unsigned major_number, minor_number;
	unsigned long long sectors, found = 0;
	char line[512], name[64];
	FILE *file = fopen("/proc/diskstats", "r");

	if (file == NULL || stat(directory, &st) != 0)
		return 0;
	while (fgets(line, sizeof line, file) != NULL)
		if (sscanf(line, "%u %u %63s %*u %*u %*u %*u %*u %*u %llu", &major_number, &minor_number, name, &sectors) == 4 &&
		    major_number == major(st.st_dev) && minor_number == minor(st.st_dev))
			found = sectors;
	fclose(file);
	return (double)found * 512;
}

static double anonymous_mb(void)
{
	char line[256];
	double kb = 0;
	FILE *file = fopen("/proc/self/status", "r");

	while (file != NULL && fgets(line, sizeof line, file) != NULL)
		if (sscanf(line, "RssAnon: %lf", &kb) == 1)
			break;
	if (file != NULL)
		fclose(file);
	return kb / 1024;
}

static void run_command(const char *format, const char *directory)
{
	char command[1024];

	snprintf(command, sizeof command, format, directory);
	if (system(command) != 0)
		fprintf(stderr, "bench/store: %s failed\n", command);
}

/* ---- Events ---- */

static void event_key(uint64_t number, struct hf_doc_key *key, uint64_t terms[8])
{
	for (uint64_t i = 0; i < 4; i++)
		hf_store_le64(key->id + 8 * i, hf_hash64(&number, sizeof number, i + 1));
	key->rank = 1700000000 + number / 20;
	key->terms = terms;
	key->term_count = 6 + number % 2;
	uint64_t author = hf_hash64(&number, sizeof number, 9) % 20000, kind = number % 10 < 7 ? 1 : 7;

	terms[0] = 1000000 + author;
	terms[1] = 2000000 + kind;
	terms[2] = 3000000 + author * 10 + kind;
	terms[3] = ((uint64_t)4 << 32) + hf_hash64(&number, sizeof number, 10) % 500000;
	terms[4] = ((uint64_t)5 << 32) + hf_hash64(&number, sizeof number, 11) % 20000;
	terms[5] = ((uint64_t)6 << 32) + hf_hash64(&number, sizeof number, 12) % 500000;
	terms[6] = ((uint64_t)7 << 32) + hf_hash64(&number, sizeof number, 13) % 5000;
}

static int describe(void *context, struct hf_store *store, uint32_t collection, struct hf_slice payload,
	struct hf_doc_key *key, uint64_t *terms)
{
	(void)context;
	(void)store;
	(void)collection;
	if (payload.length != PAYLOAD_BYTES)
		return HF_EMALFORMED;
	event_key(hf_load_le64(payload.data + 32), key, terms);
	return HF_OK;
}

static int identify(void *context, struct hf_store *store, uint32_t collection, struct hf_slice payload,
	uint8_t id[static HF_STORE_ID_BYTES])
{
	(void)context;
	(void)store;
	(void)collection;
	if (payload.length != PAYLOAD_BYTES)
		return HF_EMALFORMED;
	memcpy(id, payload.data, HF_STORE_ID_BYTES);
	return HF_OK;
}

static int stage_event(struct hf_commit *commit, struct hf_tx *tx)
{
	struct event *event = (struct event *)commit;
	struct hf_doc_key key;
	uint64_t terms[8];
	uint8_t head[40];

	event_key(event->number, &key, terms);
	memcpy(head, key.id, 32);
	hf_store_le64(head + 32, event->number);
	struct iovec slices[2] = {{head, sizeof head}, {event->bench->payload, PAYLOAD_BYTES - sizeof head}};

	return hf_tx_put(tx, 0, &key, slices, 2, NULL);
}

static int stage_block(struct hf_commit *commit, struct hf_tx *tx)
{
	struct event *event = (struct event *)commit;
	struct iovec slice = {event->bench->payload, BLOCK_BYTES};

	return hf_tx_log_append(tx, event->number % event->logs, &slice, 1, NULL);
}

static void event_done(struct hf_commit *commit, int status)
{
	struct bench *bench = ((struct event *)commit)->bench;

	pthread_mutex_lock(&bench->lock);
	if (status != HF_OK)
		bench->status = status;
	if (--bench->waiting == 0)
		pthread_cond_signal(&bench->wake);
	pthread_mutex_unlock(&bench->lock);
}

static void submit_group(struct bench *bench, struct event *events, unsigned count)
{
	bench->waiting = count;
	for (unsigned i = 0; i < count; i++)
		events[i].commit.next = i + 1 < count ? &events[i + 1].commit : NULL;
	hf_store_submit_chain(bench->store, &events[0].commit, &events[count - 1].commit);
	pthread_mutex_lock(&bench->lock);
	while (bench->waiting > 0)
		pthread_cond_wait(&bench->wake, &bench->lock);
	pthread_mutex_unlock(&bench->lock);
}

/* ---- Runs ---- */

static double open_store(struct bench *bench)
{
	struct hf_store_options options = {
		.size = sizeof options, .directory = bench->directory, .env = &bench->env,
		.schema = {.describe = describe, .identify = identify},
	};
	struct hf_failure failure;
	double start = wall_us();

	if (hf_store_open(&bench->store, &options, &failure) != HF_OK) {
		fprintf(stderr, "bench/store: %s\n", failure.text);
		exit(1);
	}
	return (wall_us() - start) / 1000;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void ingest(struct bench *bench, unsigned group, uint64_t count, uint64_t logs)
{
	struct event *events = calloc(group, sizeof *events);
	double *times = malloc((count / group + 1) * sizeof *times);
	struct hf_store_stats stats;
	size_t groups = 0;

	run_command("rm -rf '%s'", bench->directory);
	open_store(bench);
	sync();
	double device = device_bytes(bench->directory), wall = wall_us(), cpu = cpu_us();

	for (uint64_t done = 0; done < count; done += group) {
		unsigned size = count - done < group ? (unsigned)(count - done) : group;
		double start = wall_us();

		for (unsigned i = 0; i < size; i++)
			events[i] = (struct event){.commit = {.stage = logs != 0 ? stage_block : stage_event, .done = event_done,
				.durability = HF_DURABLE_DISK}, .bench = bench, .number = done + i, .logs = logs};
		submit_group(bench, events, size);
		times[groups++] = wall_us() - start;
	}
	wall = wall_us() - wall;
	cpu = cpu_us() - cpu;
	double memory = anonymous_mb();

	if (bench->status != HF_OK)
		fprintf(stderr, "bench/store: a commit failed: %s\n", hf_error_name(bench->status));
	hf_store_close(bench->store);
	sync();
	device = device_bytes(bench->directory) - device;
	open_store(bench);
	hf_store_stats(bench->store, &stats);
	hf_store_close(bench->store);
	qsort(times, groups, sizeof *times, compare);
	double n = (double)count;

	printf("%-8s %8llu %6u %10.0f %8.2f %10.0f %8.0f %8.2f %8.2f %8.1f\n", logs == 0 ? "events" : logs == 1 ? "1 log" : "logs",
		(unsigned long long)count, group, n / wall * 1e6, cpu / n, device / n, (double)stats.disk_bytes / n,
		times[groups / 2] / 1000, times[groups - 1 - groups / 1000] / 1000, memory);
	fflush(stdout);
	free(events);
	free(times);
}

static void time_open(struct bench *bench, const char *what)
{
	struct hf_store_stats stats;

	run_command("sync; find '%s' -type f -exec dd of={} oflag=nocache conv=notrunc,fdatasync count=0 status=none \\;", bench->directory);
	double ms = open_store(bench);

	hf_store_stats(bench->store, &stats);
	printf("open %s, cold: %.1f ms, %llu records replayed in %.1f ms\n", what, ms, (unsigned long long)stats.replayed_records,
		(double)stats.replay_us / 1000);
}

static void read_back(struct bench *bench)
{
	struct hf_buffer scratch = {0};
	struct hf_snapshot *snapshot = hf_store_snapshot(bench->store);
	uint64_t terms[8], found = 0, asked = 100000;
	struct hf_doc_key key;
	struct hf_cursor *cursor;
	struct hf_doc doc;

	for (int round = 0; round < 2; round++) {
		double start = wall_us();

		found = 0;
		for (uint64_t i = 0; i < asked; i++) {
			event_key(hf_hash64(&i, sizeof i, 99) % bench->events, &key, terms);
			found += hf_snapshot_get(snapshot, 0, key.id, HF_READ_RESIDENT, &scratch, &doc) == HF_OK;
		}
		if (round == 1)
			printf("get by id, resident: %.2f us, %llu of %llu\n", (wall_us() - start) / (double)asked, (unsigned long long)found,
				(unsigned long long)asked);
		for (uint64_t i = 0; round == 0 && i < bench->events; i++) { /* everything into memory */
			event_key(i, &key, terms);
			hf_snapshot_get(snapshot, 0, key.id, HF_READ_BLOCKING, &scratch, &doc);
		}
	}
	double start = wall_us();

	found = 0;
	asked = 20000;
	for (uint64_t i = 0; i < asked; i++) {
		struct hf_query query = {.clause_count = 1, .rank_max = UINT64_MAX};
		uint64_t term = 3000000 + (hf_hash64(&i, sizeof i, 98) % 20000) * 10 + 1;

		query.clauses[0] = (struct hf_clause){&term, 1};
		if (hf_cursor_open(&cursor, snapshot, &query, HF_READ_BLOCKING) != HF_OK)
			continue;
		for (int n = 0; n < 20 && hf_cursor_next(cursor, &scratch, &doc) == HF_OK; n++)
			found++;
		hf_cursor_close(cursor);
	}
	printf("author and kind, newest 20: %.2f us, %.1f each\n", (wall_us() - start) / (double)asked, (double)found / (double)asked);
	hf_snapshot_release(snapshot);
	hf_buffer_free(&scratch);
}

static void restarts(struct bench *bench)
{
	struct event *events = calloc(256, sizeof *events);

	time_open(bench, "after a close");
	read_back(bench);
	for (uint64_t done = 0; done < 12000; done += 256) {
		for (unsigned i = 0; i < 256; i++)
			events[i] = (struct event){.commit = {.stage = stage_event, .done = event_done, .durability = HF_DURABLE_DISK},
				.bench = bench, .number = bench->events + done + i};
		submit_group(bench, events, 256);
	}
	hf_store_abandon(bench->store);
	time_open(bench, "after kill -9");
	hf_store_close(bench->store);
	free(events);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"events", required_argument, NULL, 'e'}, {"groups", required_argument, NULL, 'g'},
		{"directory", required_argument, NULL, 'd'}, {"keep", no_argument, NULL, 'k'}, {NULL, 0, NULL, 0},
	};
	static struct bench bench = {.events = 100000, .lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};
	const char *groups = "1,8,32,256,1000";
	bool keep = false;
	int option;

	snprintf(bench.directory, sizeof bench.directory, "/tmp/hf-bench-store-%d", (int)getpid());
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'e': bench.events = strtoull(optarg, NULL, 10); break;
		case 'g': groups = optarg; break;
		case 'd': snprintf(bench.directory, sizeof bench.directory, "%s", optarg); break;
		case 'k': keep = true; break;
		default: return 2;
		}
	}
	hf_env_system(&bench.env);
	for (size_t i = 0; i < sizeof bench.payload; i++)
		bench.payload[i] = (uint8_t)(i * 7);
	printf("prototype at 1M: group 32: 105,649 /s 6.1 us 1,249 B written 766 B kept; 256: 307,100 /s 3.2 us 936 B; 1,000: 393,328 /s 2.9 us 883 B\n"
	       "(for payloads of 696 B); blocks of 100 B, group 256: 1 log 1,137,446 /s 0.42 us 224 B, 1,000 logs 963,723 /s 0.56 us 240 B\n\n");
	printf("%-8s %8s %6s %10s %8s %10s %8s %8s %8s %8s\n", "what", "count", "group", "/s", "CPU us", "written B", "disk B", "p50 ms", "p99.9 ms",
		"anon MB");
	for (const char *at = groups; at != NULL && *at != '\0'; at = strchr(at, ',') != NULL ? strchr(at, ',') + 1 : NULL) {
		unsigned group = (unsigned)strtoul(at, NULL, 10);

		if (group == 0)
			continue;
		uint64_t count = group < 32 && bench.events > 20000 ? 20000 : bench.events;

		if (group == 1)
			count = count > 4000 ? 4000 : count;
		ingest(&bench, group, count, 0);
	}
	restarts(&bench);
	ingest(&bench, 256, 500000, 1);
	ingest(&bench, 256, 500000, 1000);
	if (!keep)
		run_command("rm -rf '%s'", bench.directory);
	return 0;
}
