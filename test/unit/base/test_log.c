/* log and metrics: what an operator reads. */
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/metric_table.h"

#define TIME_BYTES 24

static char last[8192];
static unsigned line_count;

static void keep(void *context, const char *line, unsigned length)
{
	assert_int_equal(line[length - 1], '\n');
	assert_null(memchr(line, '\n', length - 1));
	memcpy(last, line, length - 1);
	last[length - 1] = '\0';
	line_count++;
}

static void test_levels_by_module(void **state)
{
	static struct hf_log_module store = HF_LOG_MODULE("store"), net = HF_LOG_MODULE("net");
	hf_log_set_sink(keep, NULL);
	line_count = 0;
	hf_log_debug(&store, "hidden", NULL);
	assert_int_equal(line_count, 0);
	assert_int_equal(hf_log_configure("warn,store=debug", false, NULL), HF_OK);
	hf_log_debug(&store, "segment sealed", "segment=%d docs=%u", 4, 3u);
	assert_int_equal(line_count, 1);
	assert_string_equal(last + TIME_BYTES, " debug store: segment sealed segment=4 docs=3");
	hf_log_info(&net, "hidden", NULL);
	assert_int_equal(line_count, 1);
	hf_log_warn(&net, "shown", NULL);
	assert_string_equal(last + TIME_BYTES, " warn net: shown");
	const char *bad = NULL;
	assert_int_equal(hf_log_configure("info,store=loud,net=warn", false, &bad), HF_EINVAL);
	assert_int_equal(strncmp(bad, "store=loud", 10), 0);
	assert_true(hf_log_enabled(&store, HF_LOG_DEBUG));
	assert_int_equal(hf_log_configure("info", false, NULL), HF_OK);
	assert_false(hf_log_enabled(&store, HF_LOG_DEBUG));
}

static void test_outside_bytes_stay_on_their_line(void **state)
{
	static struct hf_log_module module = HF_LOG_MODULE("relay");
	hf_log_set_sink(keep, NULL);
	assert_int_equal(hf_log_configure("info", false, NULL), HF_OK);
	hf_log_info(&module, "client", "agent=%s", "a\nb\x1b[2J\xff");
	assert_string_equal(last + TIME_BYTES, " info relay: client agent=a\\x0ab\\x1b[2J\\xff");
	char *huge = memset((char[6000]){0}, 'x', 5999);
	hf_log_info(&module, "client", "agent=%s", huge);
	assert_true(strlen(last) < 4096);
}

static void test_json_lines(void **state)
{
	static struct hf_log_module module = HF_LOG_MODULE("json");
	hf_log_set_sink(keep, NULL);
	assert_int_equal(hf_log_configure("info", true, NULL), HF_OK);
	hf_log_info(&module, "say \"x\"", "n=%d zero=007 path=\"%s\" flag empty=", -5, "a b\\c");
	assert_memory_equal(last, "{\"time\":\"20", 11);
	assert_string_equal(strstr(last, "\"level\""),
			    "\"level\":\"info\",\"module\":\"json\","
			    "\"message\":\"say \\\"x\\\"\",\"n\":-5,\"zero\":\"007\","
			    "\"path\":\"a b\\\\c\",\"flag\":\"\",\"empty\":\"\"}");
	char *huge = memset((char[6000]){0}, '\x01', 5999);
	hf_log_info(&module, "m", "a=1 agent=%s", huge);
	assert_string_equal(strstr(last, "\"message\""), "\"message\":\"m\",\"a\":1}");
	assert_int_equal(hf_log_configure("info", false, NULL), HF_OK);
}

static int64_t forty_two(void *context)
{
	return 42;
}

static void test_metrics_are_grouped_by_name(void **state)
{
	struct hf_metrics *metrics = hf_metrics_new();
	struct hf_counter rate = {0}, other = {0}, size = {0}, unlisted = {0};
	struct hf_gauge depth = {.read = forty_two}, level = {0};
	hf_counter_register(metrics, &rate, "hf_refused_total", "reason=\"rate\"", "Events refused.");
	hf_gauge_register(metrics, &depth, "hf_depth", "", "Depth.");
	hf_counter_register(metrics, &other, "hf_gone_total", "", "Gone.");
	hf_counter_register(metrics, &size, "hf_refused_total", "reason=\"size\"", "Events refused.");
	hf_gauge_register(metrics, &level, "hf_level", NULL, "Level.");
	hf_counter_register(NULL, &unlisted, "hf_unlisted_total", "", "Unlisted.");
	hf_counter_add(&unlisted, 1);
	hf_counter_add(&rate, 3);
	hf_counter_add(&size, 4);
	hf_gauge_add(&level, -2);
	hf_metric_unregister(metrics, &other.link);
	struct hf_buffer out = {0};
	assert_int_equal(hf_metrics_print(metrics, &out), HF_OK);
	assert_int_equal(hf_buffer_append(&out, "", 1), HF_OK);
	assert_string_equal((char *)out.data,
			    "# HELP hf_depth Depth.\n# TYPE hf_depth gauge\nhf_depth 42\n"
			    "# HELP hf_level Level.\n# TYPE hf_level gauge\nhf_level -2\n"
			    "# HELP hf_refused_total Events refused.\n# TYPE hf_refused_total counter\n"
			    "hf_refused_total{reason=\"rate\"} 3\nhf_refused_total{reason=\"size\"} 4\n");
	hf_metric_unregister(metrics, &level.link);
	hf_counter_register(metrics, &other, "hf_gone_total", "", "Gone.");
	hf_buffer_free(&out);
	hf_metrics_free(metrics);
}

static void test_histogram_buckets_are_cumulative(void **state)
{
	struct hf_metrics *metrics = hf_metrics_new();
	struct hf_histogram h = {0};
	struct hf_buffer out = {0};
	hf_histogram_register(metrics, &h, "hf_time_seconds", "op=\"x\"", "Time.");
	static const uint64_t times_us[] = {0, 1, 2, 3, 4, 1 << 24, (1 << 24) + 1, UINT64_C(1) << 40};
	for (size_t i = 0; i < sizeof times_us / sizeof *times_us; i++)
		hf_histogram_record_us(&h, times_us[i]);
	assert_int_equal(hf_metrics_print(metrics, &out), HF_OK);
	assert_int_equal(hf_buffer_append(&out, "", 1), HF_OK);
	const char *text = (const char *)out.data;
	assert_non_null(strstr(text, "hf_time_seconds_bucket{op=\"x\",le=\"0.000001\"} 2\n"));
	assert_non_null(strstr(text, "hf_time_seconds_bucket{op=\"x\",le=\"0.000002\"} 3\n"));
	assert_non_null(strstr(text, "hf_time_seconds_bucket{op=\"x\",le=\"0.000004\"} 5\n"));
	assert_non_null(strstr(text, "hf_time_seconds_bucket{op=\"x\",le=\"16.777216\"} 6\n"));
	assert_non_null(strstr(text, "hf_time_seconds_bucket{op=\"x\",le=\"+Inf\"} 8\n"));
	assert_non_null(strstr(text, "hf_time_seconds_count{op=\"x\"} 8\n"));
	assert_non_null(strstr(text, "hf_time_seconds_sum{op=\"x\"} 1099545.182219\n"));
	hf_buffer_free(&out);
	hf_metrics_free(metrics);
}

/* ---- A table over a snapshot ---- */

struct counted {
	uint64_t sent;
	uint32_t open;
	bool is_up;
};

static void read_counted(void *context, void *snapshot)
{
	memcpy(snapshot, context, sizeof(struct counted));
}

static void test_a_table_copies_a_snapshot_at_each_printing(void **state)
{
	static const struct hf_metric_row rows[] = {
		HF_METRIC_COUNTER("sent_total", "way=\"a\"", "Sent", struct counted, sent),
		HF_METRIC_GAUGE("open", "", "Open", struct counted, open),
	}, more[] = {HF_METRIC_GAUGE("up", "", "Up", struct counted, is_up)};
	struct counted counted = {.sent = 5000000000, .open = 7, .is_up = true};
	struct hf_metrics *metrics = hf_metrics_new();
	struct hf_metric_table *table;
	struct hf_buffer out = {0};
	assert_int_equal(hf_metric_table_new(&table, metrics, sizeof counted, read_counted, &counted), HF_OK);
	assert_int_equal(hf_metric_table_add(table, rows, 2), HF_OK);
	assert_int_equal(hf_metric_table_add(table, more, 1), HF_OK);
	assert_int_equal(hf_metrics_print(metrics, &out), HF_OK);
	hf_buffer_append(&out, "", 1);
	assert_non_null(strstr((char *)out.data, "# TYPE sent_total counter\nsent_total{way=\"a\"} 5000000000\n"));
	assert_non_null(strstr((char *)out.data, "# TYPE open gauge\nopen 7\n"));
	assert_non_null(strstr((char *)out.data, "up 1\n"));
	counted.open = 8;
	hf_buffer_clear(&out);
	assert_int_equal(hf_metrics_print(metrics, &out), HF_OK);
	hf_buffer_append(&out, "", 1);
	assert_non_null(strstr((char *)out.data, "open 8\n"));
	hf_metric_table_free(table);
	hf_buffer_clear(&out);
	assert_int_equal(hf_metrics_print(metrics, &out), HF_OK);
	assert_int_equal(out.length, 0);
	hf_buffer_free(&out);
	hf_metrics_free(metrics);

	assert_int_equal(hf_metric_table_new(&table, NULL, sizeof counted, read_counted, &counted), HF_OK);
	assert_null(table);
	assert_int_equal(hf_metric_table_add(table, rows, 2), HF_OK);
	hf_metric_table_free(table);
	assert_int_equal(hf_metric_table_new(&table, NULL, HF_METRIC_SNAPSHOT_BYTES_MAX + 1, read_counted, &counted), HF_EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_levels_by_module),
		cmocka_unit_test(test_outside_bytes_stay_on_their_line),
		cmocka_unit_test(test_json_lines),
		cmocka_unit_test(test_metrics_are_grouped_by_name),
		cmocka_unit_test(test_histogram_buckets_are_cumulative),
		cmocka_unit_test(test_a_table_copies_a_snapshot_at_each_printing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
