/* The registry is a list in order of registration under a mutex; printing sorts a copy of it by name, so that
 * every name's samples stand together however its owners were registered. */
#include "base/metrics.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/error.h"

enum { KIND_COUNTER, KIND_GAUGE, KIND_HISTOGRAM };

struct hf_metrics {
	pthread_mutex_t mutex;
	struct hf_metric_link *first, **last_next;
	size_t count;
	struct hf_metrics_hook *hooks;
};

struct hf_metrics *hf_metrics_new(void)
{
	struct hf_metrics *metrics = calloc(1, sizeof *metrics);
	if (!metrics)
		return NULL;
	pthread_mutex_init(&metrics->mutex, NULL);
	metrics->last_next = &metrics->first;
	return metrics;
}

void hf_metrics_free(struct hf_metrics *metrics)
{
	if (!metrics)
		return;
	pthread_mutex_destroy(&metrics->mutex);
	free(metrics);
}

static void enlist(struct hf_metrics *metrics, struct hf_metric_link *link, int kind, const char *name,
		   const char *labels, const char *help)
{
	*link = (struct hf_metric_link){.name = name, .labels = labels ? labels : "", .help = help, .kind = kind};
	if (!metrics)
		return;
	pthread_mutex_lock(&metrics->mutex);
	*metrics->last_next = link;
	metrics->last_next = &link->next;
	metrics->count++;
	pthread_mutex_unlock(&metrics->mutex);
}

void hf_counter_register(struct hf_metrics *m, struct hf_counter *c, const char *name, const char *labels,
			 const char *help)
{
	enlist(m, &c->link, KIND_COUNTER, name, labels, help);
}

void hf_gauge_register(struct hf_metrics *m, struct hf_gauge *g, const char *name, const char *labels, const char *help)
{
	enlist(m, &g->link, KIND_GAUGE, name, labels, help);
}

void hf_histogram_register(struct hf_metrics *m, struct hf_histogram *h, const char *name, const char *labels,
			   const char *help)
{
	enlist(m, &h->link, KIND_HISTOGRAM, name, labels, help);
}

void hf_metric_unregister(struct hf_metrics *m, struct hf_metric_link *link)
{
	if (!m)
		return;
	pthread_mutex_lock(&m->mutex);
	for (struct hf_metric_link **at = &m->first; *at; at = &(*at)->next) {
		if (*at != link)
			continue;
		*at = link->next;
		if (m->last_next == &link->next)
			m->last_next = at;
		m->count--;
		break;
	}
	link->next = NULL;
	pthread_mutex_unlock(&m->mutex);
}

void hf_metrics_hook_add(struct hf_metrics *m, struct hf_metrics_hook *hook)
{
	pthread_mutex_lock(&m->mutex);
	hook->next = m->hooks;
	m->hooks = hook;
	pthread_mutex_unlock(&m->mutex);
}

void hf_metrics_hook_remove(struct hf_metrics *m, struct hf_metrics_hook *hook)
{
	pthread_mutex_lock(&m->mutex);
	for (struct hf_metrics_hook **at = &m->hooks; *at; at = &(*at)->next)
		if (*at == hook) {
			*at = hook->next;
			break;
		}
	pthread_mutex_unlock(&m->mutex);
}

void hf_histogram_record_us(struct hf_histogram *h, uint64_t us)
{
	/* Bucket k holds what is at most 2^k us; the one after the last holds the rest. */
	unsigned bucket = us <= 1 ? 0 : 64 - (unsigned)__builtin_clzll(us - 1);
	if (bucket > HF_HISTOGRAM_BUCKETS)
		bucket = HF_HISTOGRAM_BUCKETS;
	atomic_fetch_add_explicit(&h->buckets[bucket], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&h->sum_us, us, memory_order_relaxed);
}

static uint64_t counted(const struct hf_metric_link *link)
{
	return atomic_load_explicit(&((const struct hf_counter *)link)->value, memory_order_relaxed);
}

static int64_t gauged(const struct hf_metric_link *link)
{
	const struct hf_gauge *gauge = (const struct hf_gauge *)link;
	return gauge->read ? gauge->read(gauge->context) : atomic_load_explicit(&gauge->value, memory_order_relaxed);
}

static int print_sample(struct hf_buffer *out, const struct hf_metric_link *link)
{
	const char *open = *link->labels ? "{" : "", *close = *link->labels ? "}" : "";
	if (link->kind == KIND_COUNTER)
		return hf_buffer_printf(out, "%s%s%s%s %" PRIu64 "\n", link->name, open, link->labels, close, counted(link));
	return hf_buffer_printf(out, "%s%s%s%s %" PRId64 "\n", link->name, open, link->labels, close, gauged(link));
}

#define US_PER_S 1000000u

static int print_histogram(struct hf_buffer *out, const struct hf_histogram *h)
{
	const struct hf_metric_link *link = &h->link;
	const char *comma = *link->labels ? "," : "";
	uint64_t total = 0;
	int error = HF_OK;
	for (unsigned k = 0; k <= HF_HISTOGRAM_BUCKETS && !error; k++) {
		total += atomic_load_explicit(&h->buckets[k], memory_order_relaxed);
		uint64_t bound_us = UINT64_C(1) << k;
		if (k < HF_HISTOGRAM_BUCKETS)
			error = hf_buffer_printf(out, "%s_bucket{%s%sle=\"%" PRIu64 ".%06" PRIu64 "\"} %" PRIu64 "\n",
						 link->name, link->labels, comma, bound_us / US_PER_S,
						 bound_us % US_PER_S, total);
		else
			error = hf_buffer_printf(out, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", link->name,
						 link->labels, comma, total);
	}
	if (error)
		return error;
	const char *open = *link->labels ? "{" : "", *close = *link->labels ? "}" : "";
	uint64_t sum_us = atomic_load_explicit(&h->sum_us, memory_order_relaxed);
	return hf_buffer_printf(out, "%s_sum%s%s%s %" PRIu64 ".%06" PRIu64 "\n%s_count%s%s%s %" PRIu64 "\n", link->name,
				open, link->labels, close, sum_us / US_PER_S, sum_us % US_PER_S, link->name, open,
				link->labels, close, total);
}

struct entry {
	const struct hf_metric_link *link;
	size_t order;
};

static int by_name(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int names = strcmp(x->link->name, y->link->name);
	return names ? names : (x->order > y->order) - (x->order < y->order);
}

static int print_entries(const struct entry *entries, size_t count, struct hf_buffer *out)
{
	static const char *const types[] = {"counter", "gauge", "histogram"};
	const char *name = "";
	int error = HF_OK;
	for (size_t i = 0; i < count && !error; i++) {
		const struct hf_metric_link *link = entries[i].link;
		if (strcmp(name, link->name) != 0)
			error = hf_buffer_printf(out, "# HELP %s %s\n# TYPE %s %s\n", link->name, link->help,
						 link->name, types[link->kind]);
		name = link->name;
		if (!error)
			error = link->kind == KIND_HISTOGRAM ? print_histogram(out, (const struct hf_histogram *)link)
							     : print_sample(out, link);
	}
	return error;
}

static void run_hooks(struct hf_metrics *metrics)
{
	for (const struct hf_metrics_hook *hook = metrics->hooks; hook; hook = hook->next)
		hook->run(hook->context);
}

void hf_metrics_each(struct hf_metrics *metrics,
	void (*each)(void *context, const char *name, const char *labels, int64_t value), void *context)
{
	pthread_mutex_lock(&metrics->mutex);
	run_hooks(metrics);
	for (const struct hf_metric_link *link = metrics->first; link; link = link->next)
		if (link->kind != KIND_HISTOGRAM)
			each(context, link->name, link->labels, link->kind == KIND_COUNTER ? (int64_t)counted(link) : gauged(link));
	pthread_mutex_unlock(&metrics->mutex);
}

int hf_metrics_print(struct hf_metrics *metrics, struct hf_buffer *out)
{
	pthread_mutex_lock(&metrics->mutex);
	run_hooks(metrics);
	size_t count = 0, length_before = out->length;
	struct entry *entries = calloc(metrics->count + 1, sizeof *entries);
	for (const struct hf_metric_link *link = metrics->first; link && entries; link = link->next, count++)
		entries[count] = (struct entry){link, count};
	int error = HF_ENOMEM;
	if (entries) {
		qsort(entries, count, sizeof *entries, by_name);
		error = print_entries(entries, count, out);
	}
	pthread_mutex_unlock(&metrics->mutex);
	free(entries);
	if (error)
		out->length = length_before;
	return error;
}
