/* report: see report.h. */
#include "report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LOWER false
#define HIGHER true
#define LARGE_SHARE 0.9 /* of our own rate into an empty database */

const struct hf_bench_metric hf_bench_metrics[HF_METRIC_COUNT] = {
	[HF_INGEST_RATE] = {"ingest.rate", "ingest, 8 x 64 in flight", "/s", HIGHER, 5800, 25000,
		"schnorr_check_per_s"},
	[HF_INGEST_CPU] = {"ingest.cpu", "  CPU per event", "us", LOWER, 278, 62, "schnorr_check_us"},
	[HF_INGEST_WRITTEN] = {"ingest.written", "  written to the device per event", "B", LOWER, 24000, 1500, NULL},
	[HF_INGEST_DIRTIED] = {"ingest.dirtied", "  written by the process, whole pages", "B", LOWER, NAN, NAN, NULL},
	[HF_INGEST_DISK] = {"ingest.disk", "  disk in use per event, running", "B", LOWER, 1800, NAN, NULL},
	[HF_INGEST_MEMORY] = {"ingest.memory", "  anonymous memory after it", "MB", LOWER, NAN, NAN, NULL},
	[HF_DUPLICATES_RATE] = {"duplicates.rate", "duplicates, 8 x 64", "/s", HIGHER, 10500, 60000, NULL},
	[HF_DUPLICATES_CPU] = {"duplicates.cpu", "  CPU per event", "us", LOWER, NAN, NAN, NULL},
	[HF_SINGLE_P50] = {"single.p50", "one event alone, p50", "ms", LOWER, 1.8, 0.6, "sync_and_echo_ms"},
	[HF_SINGLE_P99] = {"single.p99", "  p99", "ms", LOWER, NAN, NAN, NULL},
	[HF_QUERIES_RATE] = {"queries.rate", "mixed queries, 8 connections", "/s", HIGHER, 3700, 15000, NULL},
	[HF_QUERIES_CPU] = {"queries.cpu", "  CPU per query", "us", LOWER, 395, 65, NULL},
	[HF_QUERIES_P50] = {"queries.p50", "  p50", "ms", LOWER, NAN, NAN, NULL},
	[HF_QUERIES_EVENTS] = {"queries.events", "  events per query", "", LOWER, 37, NAN, NULL},
	[HF_BYID_RATE] = {"byid.rate", "by id, 8 connections", "/s", HIGHER, 18100, 60000, "echo_per_s"},
	[HF_BYID_CPU] = {"byid.cpu", "  CPU per query", "us", LOWER, 85, NAN, "echo_cpu_us"},
	[HF_BYID_P50] = {"byid.p50", "  p50", "ms", LOWER, NAN, 0.15, "echo_ms"},
	[HF_START_CLEAN] = {"start.clean", "start after a clean stop", "ms", LOWER, 38, 50, NULL},
	[HF_START_KILLED] = {"start.killed", "  after kill -9", "ms", LOWER, NAN, 100, NULL},
	[HF_START_LOST] = {"start.lost", "  events answered OK and lost", "", LOWER, NAN, 0, NULL},
	[HF_START_DISK] = {"start.disk", "disk in use per event, stopped", "B", LOWER, 1800, 650, NULL},
	[HF_WIDE_RATE] = {"wide.rate", "ingest, 16 x 256 in flight", "/s", HIGHER, 9200, 28000, "schnorr_check_per_s"},
	[HF_WIDE_CPU] = {"wide.cpu", "  CPU per event", "us", LOWER, NAN, 62, "schnorr_check_us"},
	[HF_FANOUT_RATE] = {"fanout.rate", "fan-out to 1,000, deliveries", "/s", HIGHER, 177000, 230000, NULL},
	[HF_FANOUT_CPU] = {"fanout.cpu", "  CPU per delivery", "us", LOWER, 5.4, 2, "send_shared_700_us"},
	[HF_FANOUT_SHARED] = {"fanout.shared", "  deliveries per TCP segment", "", HIGHER, NAN, NAN, NULL},
	[HF_FANOUT_WRITES] = {"fanout.writes", "  TCP segments", "/s", LOWER, NAN, NAN, NULL},
	[HF_PACED_P50] = {"paced.p50", "100 subscribers x 200 events/s, p50", "ms", LOWER, NAN, NAN, NULL},
	[HF_PACED_P99] = {"paced.p99", "  p99", "ms", LOWER, 120, 10, NULL},
	[HF_PACED_CPU] = {"paced.cpu", "  CPU per delivery", "us", LOWER, NAN, NAN, NULL},
	[HF_AUTHORS_CPU] = {"authors.cpu", "1,000 x 10 authors, CPU per event", "us", LOWER, 532, 120, NULL},
	[HF_AUTHORS_DELIVERIES] = {"authors.deliveries", "  deliveries per event", "", LOWER, NAN, NAN, NULL},
	[HF_IDLE_PLAIN] = {"idle.plain", "idle connection", "B", LOWER, 82000, 1024, NULL},
	[HF_IDLE_DEFLATE] = {"idle.deflate", "  deflate negotiated", "B", LOWER, NAN, NAN, NULL},
	[HF_IDLE_USED] = {"idle.used", "  deflate in use", "B", LOWER, NAN, 8192, NULL},
	[HF_LARGE_RATE] = {"large.rate", "ingest into the large database, 8 x 64", "/s", HIGHER, 2600, NAN,
		"schnorr_check_per_s"},
	[HF_LARGE_CPU] = {"large.cpu", "  CPU per event", "us", LOWER, NAN, 62, "schnorr_check_us"},
	[HF_LARGE_WRITTEN] = {"large.written", "  written to the device per event", "B", LOWER, NAN, 1500, NULL},
	[HF_LARGE_DISK] = {"large.disk", "  disk in use per event, stopped", "B", LOWER, NAN, 650, NULL},
	[HF_LARGE_START] = {"large.start", "  start after a clean stop", "ms", LOWER, 38, 50, NULL},
};

static char *read_text(const char *path)
{
	FILE *file = fopen(path, "re");
	char *text = file ? calloc(1, 65536) : NULL;
	if (text && fread(text, 1, 65535, file) == 0) {
		free(text);
		text = NULL;
	}
	if (file)
		fclose(file);
	if (!text)
		fprintf(stderr, "relay: cannot read %s\n", path);
	return text;
}

/* The number after "key": in a flat JSON object; NAN when there is none. */
static double number_of(const char *text, const char *key)
{
	char quoted[64];
	snprintf(quoted, sizeof(quoted), "\"%s\":", key);
	const char *found = text ? strstr(text, quoted) : NULL;
	return found ? strtod(found + strlen(quoted), NULL) : NAN;
}

bool hf_bench_report_read(const char *path, double *values)
{
	char *text = read_text(path);
	for (size_t i = 0; i < HF_METRIC_COUNT; i++)
		values[i] = number_of(text, hf_bench_metrics[i].key);
	free(text);
	return text != NULL;
}

static void write_string(FILE *out, const char *key, const char *value)
{
	fprintf(out, "  \"%s\": \"", key);
	for (; *value; value++) {
		if (*value == '"' || *value == '\\')
			fputc('\\', out);
		fputc((unsigned char)*value < 32 ? ' ' : *value, out);
	}
	fputs("\"", out);
}

static void write_values(FILE *out, const char *prefix, const double *values)
{
	for (size_t i = 0; i < HF_METRIC_COUNT; i++)
		if (!isnan(values[i]))
			fprintf(out, ",\n  \"%s%s\": %.6g", prefix, hf_bench_metrics[i].key, values[i]);
}

void hf_bench_report_json(FILE *out, const char *server_command, const double *values, const char *rival_command,
	const double *rival_values)
{
	fputs("{\n", out);
	write_string(out, "command", server_command);
	write_values(out, "", values);
	if (rival_values) {
		fputs(",\n", out);
		write_string(out, "rival.command", rival_command);
		write_values(out, "rival.", rival_values);
	}
	fputs("\n}\n", out);
}

static const char *figure(char *text, size_t bytes, double value)
{
	double size = fabs(value);
	if (isnan(value))
		snprintf(text, bytes, "-");
	else
		snprintf(text, bytes, "%.*f", size >= 100 || value == floor(value) ? 0 : size >= 10 ? 1 : 2, value);
	return text;
}

/* How many times better than `other`; below 1 when worse. */
static double times_better(const struct hf_bench_metric *metric, double value, double other)
{
	return metric->higher_is_better ? value / other : other / value;
}

static double target_of(size_t index, const double *values)
{
	return index == HF_LARGE_RATE ? LARGE_SHARE * values[HF_INGEST_RATE] : hf_bench_metrics[index].target;
}

static const char *verdict(const struct hf_bench_metric *metric, double value, double target)
{
	if (isnan(target))
		return "";
	return (metric->higher_is_better ? value >= target : value <= target) ? "yes" : "NO";
}

void hf_bench_report_table(FILE *out, const double *values, const double *rival_values, const char *limits_path)
{
	char *limits = limits_path ? read_text(limits_path) : NULL;
	fprintf(out, "%-40s %-3s %11s %11s %7s %11s %9s %4s %6s\n", "measure", "", "server", "rival", "ratio",
		"issue's", "target", "met", "limit");
	for (size_t i = 0; i < HF_METRIC_COUNT; i++) {
		const struct hf_bench_metric *metric = &hf_bench_metrics[i];
		double value = values[i], rival = rival_values ? rival_values[i] : NAN, target = target_of(i, values);
		if (isnan(value))
			continue;
		char a[32], b[32], c[32], d[32], e[32], f[32] = "";
		double limit = metric->limit_key ? number_of(limits, metric->limit_key) : NAN;
		double fraction = metric->higher_is_better ? value / limit : limit / value;
		if (!isnan(fraction))
			snprintf(f, sizeof(f), "%.0f%%", 100 * fraction);
		double ratio = isnan(rival) || (value == 0 && rival == 0) ? NAN : times_better(metric, value, rival);
		fprintf(out, "%-40s %-3s %11s %11s %7s %11s %9s %4s %6s\n", metric->label, metric->unit,
			figure(a, sizeof(a), value), figure(b, sizeof(b), rival), figure(c, sizeof(c), ratio),
			figure(d, sizeof(d), metric->strfry), figure(e, sizeof(e), target),
			verdict(metric, value, target), f);
	}
	fputs("ratio: how many times better the server is than the rival. limit: the fraction of what bench/limits "
	      "found possible.\n",
		out);
	free(limits);
	if (rival_values && fabs(values[HF_QUERIES_EVENTS] / rival_values[HF_QUERIES_EVENTS] - 1) > 0.005)
		fputs("The two did not answer the mixed queries alike: see events per query.\n", out);
}
