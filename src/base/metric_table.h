/* metric_table: metrics of a part that counts in plain numbers on its own thread: rows that say where in a snapshot of those numbers each
 * metric stands. The snapshot is taken, and copied, whenever the registry is printed, which must be on that thread.
 *
 *     static const struct hf_metric_row rows[] = {
 *         HF_METRIC_COUNTER("holdfast_x_total", "kind=\"a\"", "What it is", struct hf_x_stats, a_count),
 *         HF_METRIC_GAUGE("holdfast_x", "", "What it is", struct hf_x_stats, now),
 *     };
 *     hf_metric_table_new(&table, registry, sizeof(struct hf_x_stats), read, x);
 *     hf_metric_table_add(table, rows, sizeof rows / sizeof *rows);
 */
#ifndef HF_BASE_METRIC_TABLE_H
#define HF_BASE_METRIC_TABLE_H

#include <stddef.h>

#include "base/metrics.h"

struct hf_metric_row {
	const char *name, *labels, *help;
	bool is_gauge;
	uint8_t width; /* of the number: a bool, 4 or 8 bytes, without a sign */
	uint16_t offset;
};
#define HF_METRIC_ROW(is_gauge_, name_, labels_, help_, snapshot, field) \
	{(name_), (labels_), (help_), (is_gauge_), sizeof(((snapshot *)NULL)->field), offsetof(snapshot, field)}
#define HF_METRIC_COUNTER(name, labels, help, snapshot, field) HF_METRIC_ROW(false, name, labels, help, snapshot, field)
#define HF_METRIC_GAUGE(name, labels, help, snapshot, field) HF_METRIC_ROW(true, name, labels, help, snapshot, field)

struct hf_metric_table;

/* read fills in the whole snapshot, at most HF_METRIC_SNAPSHOT_BYTES_MAX. registry NULL: *out is NULL, which the others take. HF_EINVAL,
 * HF_ENOMEM. */
#define HF_METRIC_SNAPSHOT_BYTES_MAX 4096
int hf_metric_table_new(struct hf_metric_table **out, struct hf_metrics *registry, size_t snapshot_bytes,
	void (*read)(void *context, void *snapshot), void *context);
/* rows are borrowed until the table is freed. HF_ENOMEM. */
int hf_metric_table_add(struct hf_metric_table *table, const struct hf_metric_row *rows, size_t count);
void hf_metric_table_free(struct hf_metric_table *table);

#endif
