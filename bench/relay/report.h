/* report: the table to reach, and how near a run came. */
#ifndef HF_BENCH_REPORT_H
#define HF_BENCH_REPORT_H

#include "run.h"

#include <stdio.h>

struct hf_bench_metric {
	const char *key; /* row.figure, as in the JSON output */
	const char *label;
	const char *unit;
	bool higher_is_better;
	double strfry;         /* strfry on the machine of the issue; NAN: not told */
	double target;         /* NAN: none */
	const char *limit_key; /* of bench/limits; NULL: none applies */
};

extern const struct hf_bench_metric hf_bench_metrics[HF_METRIC_COUNT];

/* One flat JSON object: "key": number for every measured figure, "prefix.key" when a prefix is given. */
void hf_bench_report_json(FILE *out, const char *server_command, const double *values, const char *rival_command,
	const double *rival_values);

/* The table; rival_values and limits_path may be NULL. */
void hf_bench_report_table(FILE *out, const double *values, const double *rival_values, const char *limits_path);

/* Reads a report written by hf_bench_report_json; false when the file cannot be read. */
bool hf_bench_report_read(const char *path, double *values);

#endif
