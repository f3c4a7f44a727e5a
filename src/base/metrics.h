/* metrics: counters, gauges and latency histograms, printed in the Prometheus text format 0.0.4.
 *
 * A metric is a struct that lives in its owner; registering it links it into a registry under a name
 * and a fixed label string. Updates are relaxed atomics, from any thread. The registry must outlive what
 * is registered, or the owner unregisters first. Label sets are bounded by construction: labels are
 * given once, at registration.
 */
#ifndef HF_BASE_METRICS_H
#define HF_BASE_METRICS_H

#include "base/bytes.h"

struct hf_metric_link {
	const char *name, *labels, *help; /* borrowed; labels like `reason="rate"` or "" */
	int kind;
	struct hf_metric_link *next;
};

struct hf_counter {
	struct hf_metric_link link;
	HF_ATOMIC(uint64_t) value;
};
struct hf_gauge {
	struct hf_metric_link link;
	HF_ATOMIC(int64_t) value;
	/* When set, read at print time instead of value (on the printing thread). */
	int64_t (*read)(void *context);
	void *context;
};
/* Powers of two from 1 us to 2^24 us (17 s), printed in seconds. */
#define HF_HISTOGRAM_BUCKETS 25
struct hf_histogram {
	struct hf_metric_link link;
	HF_ATOMIC(uint64_t) buckets[HF_HISTOGRAM_BUCKETS + 1];
	HF_ATOMIC(uint64_t) sum_us;
};

struct hf_metrics; /* a registry */
HF_API struct hf_metrics *hf_metrics_new(void);
HF_API void hf_metrics_free(struct hf_metrics *metrics);

/* Run before each printing, on the printing thread: for owners who count in plain numbers on that thread, and copy them here. It must not
 * register anything. */
struct hf_metrics_hook {
	void (*run)(void *context);
	void *context;
	struct hf_metrics_hook *next;
};
HF_API void hf_metrics_hook_add(struct hf_metrics *m, struct hf_metrics_hook *hook);
HF_API void hf_metrics_hook_remove(struct hf_metrics *m, struct hf_metrics_hook *hook);

/* All take a NULL registry as "count, but print nowhere". */
HF_API void hf_counter_register(struct hf_metrics *m, struct hf_counter *c, const char *name, const char *labels,
			   const char *help);
HF_API void hf_gauge_register(struct hf_metrics *m, struct hf_gauge *g, const char *name, const char *labels,
			   const char *help);
HF_API void hf_histogram_register(struct hf_metrics *m, struct hf_histogram *h, const char *name, const char *labels,
			   const char *help);
HF_API void hf_metric_unregister(struct hf_metrics *m, struct hf_metric_link *link);

static inline void hf_counter_add(struct hf_counter *c, uint64_t n)
{
	atomic_fetch_add_explicit(&c->value, n, HF_RELAXED);
}
static inline void hf_counter_set(struct hf_counter *c, uint64_t value) /* by a hook; it never goes back */
{
	atomic_store_explicit(&c->value, value, HF_RELAXED);
}
static inline void hf_gauge_set(struct hf_gauge *g, int64_t v)
{
	atomic_store_explicit(&g->value, v, HF_RELAXED);
}
static inline void hf_gauge_add(struct hf_gauge *g, int64_t n)
{
	atomic_fetch_add_explicit(&g->value, n, HF_RELAXED);
}
HF_API void hf_histogram_record_us(struct hf_histogram *h, uint64_t us);

/* Calls each for every counter and gauge as it is now, in order of registration; it must not register anything. */
HF_API void hf_metrics_each(struct hf_metrics *metrics,
	void (*each)(void *context, const char *name, const char *labels, int64_t value), void *context);

/* Appends the whole registry, grouped by name, HELP and TYPE once each. */
HF_API int hf_metrics_print(struct hf_metrics *metrics, struct hf_buffer *out);

#endif
