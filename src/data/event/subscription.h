/* subscription: live filters, indexed so that an event costs by its matches and not by their number.
 *
 * Each filter is filed under the rarest of its members: every id, else every author (with kinds as a check), else every
 * tag value of one letter, else every kind; filters with none of these are in the list of those
 * that look at everything. Not thread-safe: belongs to one loop. */
#ifndef HF_DATA_EVENT_SUBSCRIPTION_H
#define HF_DATA_EVENT_SUBSCRIPTION_H

#include "data/event/filter.h"

struct hf_subscriptions;

/* Embedded in the owner's subscription. The owner keeps filters and their memory alive until removed. */
struct hf_subscription {
	const struct hf_filter *filters;
	uint32_t filter_count;
	uint64_t from_position;  /* only events at or above it are matched */
	void *entries;           /* the index's own */
	uint64_t visit;          /* the index's own */
};

int hf_subscriptions_new(struct hf_subscriptions **out, uint64_t seed);
void hf_subscriptions_free(struct hf_subscriptions *set);
int hf_subscriptions_add(struct hf_subscriptions *set, struct hf_subscription *subscription);
void hf_subscriptions_remove(struct hf_subscriptions *set, struct hf_subscription *subscription);
size_t hf_subscriptions_count(const struct hf_subscriptions *set);
/* Calls each once for every subscription that matches. each must not add or remove. */
void hf_subscriptions_match(struct hf_subscriptions *set, const struct hf_event *event, uint64_t position,
	void (*each)(void *context, struct hf_subscription *subscription), void *context);

#endif
