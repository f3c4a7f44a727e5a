#include "base/metric_table.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

struct sample {
	const struct hf_metric_row *row;
	union {
		struct hf_metric_link link; /* of both */
		struct hf_counter counter;
		struct hf_gauge gauge;
	} metric;
};

/* What one call added: registered metrics stay where they are. */
struct part {
	struct part *next;
	size_t count;
	struct sample samples[];
};

struct hf_metric_table {
	struct hf_metrics *registry;
	struct hf_metrics_hook hook;
	void (*read)(void *context, void *snapshot);
	void *context;
	struct part *parts;
};

static uint64_t value_of(const uint8_t *snapshot, const struct hf_metric_row *row)
{
	uint64_t wide;
	uint32_t narrow;

	switch (row->width) {
	case sizeof(bool):
		return snapshot[row->offset];
	case sizeof narrow:
		memcpy(&narrow, snapshot + row->offset, sizeof narrow);
		return narrow;
	default:
		memcpy(&wide, snapshot + row->offset, sizeof wide);
		return wide;
	}
}

static void copy(void *context)
{
	struct hf_metric_table *table = context;
	_Alignas(max_align_t) uint8_t snapshot[HF_METRIC_SNAPSHOT_BYTES_MAX];

	table->read(table->context, snapshot);
	for (struct part *part = table->parts; part != NULL; part = part->next)
		for (size_t i = 0; i < part->count; i++) {
			struct sample *sample = &part->samples[i];
			if (sample->row->is_gauge)
				hf_gauge_set(&sample->metric.gauge, (int64_t)value_of(snapshot, sample->row));
			else
				hf_counter_set(&sample->metric.counter, value_of(snapshot, sample->row));
		}
}

int hf_metric_table_new(struct hf_metric_table **out, struct hf_metrics *registry, size_t snapshot_bytes,
	void (*read)(void *context, void *snapshot), void *context)
{
	struct hf_metric_table *table = NULL;

	*out = NULL;
	if (snapshot_bytes > HF_METRIC_SNAPSHOT_BYTES_MAX)
		return HF_EINVAL;
	if (registry == NULL)
		return HF_OK;
	table = calloc(1, sizeof *table);
	if (table == NULL)
		return HF_ENOMEM;
	table->registry = registry;
	table->read = read;
	table->context = context;
	table->hook = (struct hf_metrics_hook){.run = copy, .context = table};
	hf_metrics_hook_add(registry, &table->hook);
	*out = table;
	return HF_OK;
}

int hf_metric_table_add(struct hf_metric_table *table, const struct hf_metric_row *rows, size_t count)
{
	struct part *part = table == NULL ? NULL : calloc(1, sizeof *part + count * sizeof *part->samples);

	if (part == NULL)
		return table == NULL ? HF_OK : HF_ENOMEM;
	for (; part->count < count; part->count++) {
		const struct hf_metric_row *row = &rows[part->count];
		struct sample *sample = &part->samples[part->count];
		sample->row = row;
		if (row->is_gauge)
			hf_gauge_register(table->registry, &sample->metric.gauge, row->name, row->labels, row->help);
		else
			hf_counter_register(table->registry, &sample->metric.counter, row->name, row->labels, row->help);
	}
	part->next = table->parts;
	table->parts = part;
	return HF_OK;
}

void hf_metric_table_free(struct hf_metric_table *table)
{
	struct part *part, *next;

	if (table == NULL)
		return;
	hf_metrics_hook_remove(table->registry, &table->hook);
	for (part = table->parts; part != NULL; part = next) {
		next = part->next;
		for (size_t i = 0; i < part->count; i++)
			hf_metric_unregister(table->registry, &part->samples[i].metric.link);
		free(part);
	}
	free(table);
}
