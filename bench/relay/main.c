/* relay: drives any Nostr relay over WebSocket and prints what it costs; see bench/README.md.
 *
 * With a rival both are measured row by row in turn, so that what else the machine does falls on both alike. */
#include "report.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#define SERVER_COUNT_MAX 2u

struct row {
	const char *name;
	bool (*measure)(struct hf_bench_run *run);
};

/* Those on the first loaded database come together, before the next fresh one. */
static const struct row rows[] = {
	{"ingest", hf_bench_row_ingest},
	{"duplicates", hf_bench_row_duplicates},
	{"single", hf_bench_row_single},
	{"queries", hf_bench_row_queries},
	{"byid", hf_bench_row_byid},
	{"start", hf_bench_row_start},
	{"wide", hf_bench_row_wide},
	{"fanout", hf_bench_row_fanout},
	{"paced", hf_bench_row_paced},
	{"authors", hf_bench_row_authors},
	{"idle", hf_bench_row_idle},
	{"large", hf_bench_row_large},
};

struct options {
	const char *commands[SERVER_COUNT_MAX];
	const char *loads[SERVER_COUNT_MAX];
	const char *only;
	const char *work;
	const char *baseline;
	const char *limits;
	size_t event_count;
	size_t large_count;
	size_t query_count;
	size_t idle_count;
	bool json;
};

static void usage(FILE *out)
{
	fputs("usage: relay --server 'COMMAND {dir} {port}' [options]\n"
	      "Starts a Nostr relay that serves ws://127.0.0.1:{port} from {dir}, drives it and prints what it costs.\n"
	      "\n"
	      "  --rival 'COMMAND'    a second relay, measured in turn; ratios are printed\n"
	      "  --baseline FILE      take the rival's figures from an earlier --json output instead\n"
	      "  --only ROW,...       ingest duplicates single queries byid start wide fanout paced authors idle "
	      "large\n"
	      "  --events N           events in the database (100000)\n"
	      "  --large N            also ingest the last tenth of N events into a database of the first nine (off)\n"
	      "  --load 'COMMAND'     fills {dir} from JSON lines on standard input, for untimed loading; "
	      "--rival-load\n"
	      "  --queries N          mixed queries; three times as many by id (20000)\n"
	      "  --idle N             idle connections (5000)\n"
	      "  --work DIR           databases, logs and the cached events, on the disk to be measured "
	      "(/var/tmp/holdfast-bench)\n"
	      "  --limits FILE        output of `limits --json`; prints the fraction reached\n"
	      "  --json               figures as JSON on standard output, the table on standard error\n",
		out);
}

struct entry {
	const char *name;
	const char **text;
	size_t *number;
};

static bool parse_entry(const struct entry *entry, const char *value)
{
	char *end = NULL;
	if (entry->text)
		*entry->text = value;
	else
		*entry->number = strtoul(value, &end, 10);
	return entry->text || (*value && !*end);
}

static bool parse(int argc, char **argv, struct options *options)
{
	*options = (struct options){
		.work = "/var/tmp/holdfast-bench", .event_count = 100000, .query_count = 20000, .idle_count = 5000};
	const struct entry entries[] = {
		{"--server", .text = &options->commands[0]},
		{"--rival", .text = &options->commands[1]},
		{"--load", .text = &options->loads[0]},
		{"--rival-load", .text = &options->loads[1]},
		{"--baseline", .text = &options->baseline},
		{"--only", .text = &options->only},
		{"--work", .text = &options->work},
		{"--limits", .text = &options->limits},
		{"--events", .number = &options->event_count},
		{"--large", .number = &options->large_count},
		{"--queries", .number = &options->query_count},
		{"--idle", .number = &options->idle_count},
	};
	for (int i = 1; i < argc; i++) {
		size_t k = 0, count = sizeof(entries) / sizeof(*entries);
		if (!strcmp(argv[i], "--help")) {
			usage(stdout);
			exit(0);
		}
		if (!strcmp(argv[i], "--json")) {
			options->json = true;
			continue;
		}
		while (k < count && strcmp(argv[i], entries[k].name))
			k++;
		if (k == count || i + 1 == argc || !parse_entry(&entries[k], argv[++i])) {
			fprintf(stderr, "relay: what is meant by %s? See --help\n", argv[i]);
			return false;
		}
	}
	bool complete = options->commands[0] && options->event_count && options->query_count && options->idle_count;
	if (!complete)
		usage(stderr);
	return complete;
}

/* Whether `name` stands in the comma-separated list; a NULL list has all. */
static bool listed(const char *list, const char *name)
{
	size_t bytes = strlen(name);
	for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
		if (!strncmp(at, name, bytes) && (at[bytes] == ',' || !at[bytes]))
			return true;
	return !list;
}

static bool check_names(const char *list)
{
	for (const char *at = list; at && *at;) {
		size_t bytes = strcspn(at, ","), known = 0;
		for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
			known += strlen(rows[i].name) == bytes && !strncmp(rows[i].name, at, bytes);
		if (!known) {
			fprintf(stderr, "relay: no row is called %.*s; see --help\n", (int)bytes, at);
			return false;
		}
		at += bytes + (at[bytes] == ',');
	}
	return true;
}

/* Opens the cached events; makes them with gen, which lies beside this program, when there are none or too few. */
static bool open_events(const struct options *options, struct hf_bench_events *events)
{
	size_t count = options->event_count + HF_BENCH_RESERVE_EVENTS;
	if (count < options->large_count)
		count = options->large_count;
	char path[512], self[512], command[1200];
	snprintf(path, sizeof(path), "%s/events-%zu.jsonl", options->work, count);
	if (access(path, R_OK)) {
		ssize_t bytes = readlink("/proc/self/exe", self, sizeof(self) - 1);
		self[bytes > 0 ? bytes : 0] = 0;
		char *slash = strrchr(self, '/');
		if (slash)
			*slash = 0;
		snprintf(command, sizeof(command), "%s/gen --events %zu --out %s >&2", self, count, path);
		int status = system(command);
		if (status) {
			fprintf(stderr, "relay: %s failed\n", command);
			return false;
		}
	}
	return hf_bench_events_open(events, path, count);
}

static void print_settings(const struct options *options, const struct hf_bench_run *runs, size_t run_count)
{
	struct utsname system_name;
	uname(&system_name);
	fprintf(stderr, "%s %s, %ld cores; %zu events, %zu queries, %zu idle connections; data in %s\n",
		system_name.sysname, system_name.release, sysconf(_SC_NPROCESSORS_ONLN), options->event_count,
		options->query_count, options->idle_count, options->work);
	for (size_t i = 0; i < run_count; i++) {
		const struct hf_bench_server *server = &runs[i].server;
		fprintf(stderr, "%s: %s\n  log %s\n", i ? "rival" : "server", server->command, server->log_path);
		if (server->information[0])
			fprintf(stderr, "  NIP-11 %s\n", server->information);
	}
}

static bool run_init(
	struct hf_bench_run *run, const struct options *options, size_t number, const struct hf_bench_events *events)
{
	*run = (struct hf_bench_run){
		.server = {.command = options->commands[number]},
		.events = events,
		.event_count = options->event_count,
		.large_count = options->large_count,
		.query_count = options->query_count,
		.idle_count = options->idle_count,
		.load_command = options->loads[number],
		.reserve_next = options->event_count,
	};
	for (size_t i = 0; i < HF_METRIC_COUNT; i++)
		run->values[i] = NAN;
	const char *name = number ? "rival" : "server";
	snprintf(run->server.dir, sizeof(run->server.dir), "%s/%s", options->work, name);
	snprintf(run->server.log_path, sizeof(run->server.log_path), "%s/%s.log", options->work, name);
	unlink(run->server.log_path);
	return hf_bench_server_clear(&run->server) && hf_bench_server_start(&run->server, NULL);
}

static size_t run_rows(const struct options *options, struct hf_bench_run *runs, size_t run_count)
{
	size_t failed = 0;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		bool absent = rows[i].measure == hf_bench_row_large && !options->large_count;
		if (absent || !listed(options->only, rows[i].name))
			continue;
		for (size_t k = 0; k < run_count; k++) {
			fprintf(stderr, "%s: %s\n", rows[i].name, k ? "rival" : "server");
			runs[k].client_busy = NAN;
			if (rows[i].measure(&runs[k])) {
				if (!isnan(runs[k].client_busy))
					fprintf(stderr, "  cores busy with this program: %.2f, with others: %.2f\n",
						runs[k].client_busy, runs[k].others_busy);
				continue;
			}
			fprintf(stderr, "relay: %s could not be measured on the %s\n", rows[i].name,
				k ? "rival" : "server");
			failed++;
			hf_bench_server_stop(&runs[k].server, SIGKILL);
			runs[k].loaded_count = 0;
		}
	}
	return failed;
}

static bool make_directory(const char *path)
{
	if (!mkdir(path, 0700) || errno == EEXIST)
		return true;
	fprintf(stderr, "relay: %s: %s\n", path, strerror(errno));
	return false;
}

int main(int argc, char **argv)
{
	struct options options;
	struct hf_bench_events events;
	static struct hf_bench_run runs[SERVER_COUNT_MAX];
	double baseline[HF_METRIC_COUNT];
	struct rlimit files;
	if (!parse(argc, argv, &options) || !check_names(options.only))
		return 2;
	if (options.baseline && !hf_bench_report_read(options.baseline, baseline))
		return 2;
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	if (!make_directory(options.work) || !open_events(&options, &events))
		return 1;

	size_t run_count = options.commands[1] ? 2 : 1;
	for (size_t i = 0; i < run_count; i++)
		if (!run_init(&runs[i], &options, i, &events))
			return 1;
	print_settings(&options, runs, run_count);
	size_t failed = run_rows(&options, runs, run_count);
	for (size_t i = 0; i < run_count; i++)
		hf_bench_server_stop(&runs[i].server, SIGTERM);

	const double *rival = run_count > 1 ? runs[1].values : options.baseline ? baseline : NULL;
	hf_bench_report_table(options.json ? stderr : stdout, runs[0].values, rival, options.limits);
	if (options.json)
		hf_bench_report_json(stdout, options.commands[0], runs[0].values,
			run_count > 1      ? options.commands[1]
			: options.baseline ? options.baseline
					   : "",
			rival);
	hf_bench_events_close(&events);
	return failed ? 1 : 0;
}
