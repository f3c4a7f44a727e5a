/* run: what one server's turn at the table carries, and the rows of the table.
 *
 * Rows run in a fixed order on two kinds of ground: a fresh server, or one that holds the first `event_count` events
 * of the file. The events after those are the reserve, which live rows publish; each is published once per database,
 * so that none is a duplicate by accident. */
#ifndef HF_BENCH_RUN_H
#define HF_BENCH_RUN_H

#include "client.h"
#include "events.h"
#include "server.h"

#include <stdbool.h>
#include <stddef.h>

/* Events after the first event_count that the live rows may use. */
#define HF_BENCH_RESERVE_EVENTS 40000u
/* No answer for so long ends a row. */
#define HF_BENCH_STALL_US (20ll * 1000000)

enum hf_bench_metric_id {
	HF_INGEST_RATE,
	HF_INGEST_CPU,
	HF_INGEST_WRITTEN,
	HF_INGEST_DIRTIED,
	HF_INGEST_DISK,
	HF_INGEST_MEMORY,
	HF_DUPLICATES_RATE,
	HF_DUPLICATES_CPU,
	HF_SINGLE_P50,
	HF_SINGLE_P99,
	HF_QUERIES_RATE,
	HF_QUERIES_CPU,
	HF_QUERIES_P50,
	HF_QUERIES_EVENTS,
	HF_BYID_RATE,
	HF_BYID_CPU,
	HF_BYID_P50,
	HF_START_CLEAN,
	HF_START_KILLED,
	HF_START_LOST,
	HF_START_DISK,
	HF_WIDE_RATE,
	HF_WIDE_CPU,
	HF_FANOUT_RATE,
	HF_FANOUT_CPU,
	HF_FANOUT_SHARED,
	HF_FANOUT_WRITES,
	HF_PACED_P50,
	HF_PACED_P99,
	HF_PACED_CPU,
	HF_AUTHORS_CPU,
	HF_AUTHORS_DELIVERIES,
	HF_IDLE_PLAIN,
	HF_IDLE_DEFLATE,
	HF_IDLE_USED,
	HF_LARGE_RATE,
	HF_LARGE_CPU,
	HF_LARGE_WRITTEN,
	HF_LARGE_DISK,
	HF_LARGE_START,
	HF_METRIC_COUNT
};

/* CPU time used so far by this program, the server and the whole machine. */
struct hf_bench_busy {
	int64_t at_us;
	double own_us;
	double server_us;
	double machine_us;
	bool is_begun;
};

struct hf_bench_run {
	struct hf_bench_server server;
	struct hf_bench_hub hub;
	const struct hf_bench_events *events;
	size_t event_count;
	size_t large_count; /* 0: no large row */
	size_t query_count;
	size_t idle_count;
	const char *load_command; /* fills {dir} from JSON lines on standard input, server down; may be NULL */
	size_t loaded_count;      /* events of the file's beginning in the database */
	size_t reserve_next;      /* next unused event of the reserve */
	struct hf_bench_busy busy;
	/* Of the last span, in cores: this program's own CPU, and that of everything but it and the server. */
	double client_busy;
	double others_busy;
	double values[HF_METRIC_COUNT]; /* NAN: not measured */
};

/* Makes the ground: a fresh server, or one with the first `count` events in it, loaded untimed if they are not there.
 */
bool hf_bench_run_fresh(struct hf_bench_run *run);
bool hf_bench_run_loaded(struct hf_bench_run *run, size_t count);

/* Takes `count` events of the reserve that every relay keeps and that are notes or reactions; false when it is used up.
 */
bool hf_bench_run_reserve(struct hf_bench_run *run, size_t *indices, size_t count);

struct hf_bench_publish {
	size_t conn_count;
	size_t window; /* in flight per connection */
	size_t first;  /* of the file, when indices is NULL */
	size_t count;
	const size_t *indices;
	double *latencies_us; /* one per event, NULL unless window is 1 */
	size_t accepted_count;
	size_t refused_count;
	int64_t elapsed_us;
};

/* Publishes and waits for every OK; false when the server stalls or drops a connection. */
bool hf_bench_publish(struct hf_bench_run *run, struct hf_bench_publish *publish);

/* Sorts and returns the value below which `fraction` of them lie. */
double hf_bench_percentile(double *values, size_t count, double fraction);

/* The span for which client_busy and others_busy are taken; every wait outside one is a span of its own. */
void hf_bench_busy_begin(struct hf_bench_run *run);
void hf_bench_busy_end(struct hf_bench_run *run);

/* Polls until *progress reaches `goal`; false after HF_BENCH_STALL_US without any, or when a connection was lost. */
bool hf_bench_await(struct hf_bench_run *run, const size_t *progress, size_t goal);

/* The rows. Each fills its values; false when it could not be measured, which it has said on stderr. */
bool hf_bench_row_ingest(struct hf_bench_run *run);
bool hf_bench_row_wide(struct hf_bench_run *run);
bool hf_bench_row_large(struct hf_bench_run *run);
bool hf_bench_row_duplicates(struct hf_bench_run *run);
bool hf_bench_row_single(struct hf_bench_run *run);
bool hf_bench_row_queries(struct hf_bench_run *run);
bool hf_bench_row_byid(struct hf_bench_run *run);
bool hf_bench_row_start(struct hf_bench_run *run);
bool hf_bench_row_fanout(struct hf_bench_run *run);
bool hf_bench_row_paced(struct hf_bench_run *run);
bool hf_bench_row_authors(struct hf_bench_run *run);
bool hf_bench_row_idle(struct hf_bench_run *run);

#endif
