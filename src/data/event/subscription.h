/* subscription: live filters, indexed so that an event costs by its matches and not by their number.
 *
 * Each filter is filed under one of its members: every id, else every author, else every value of the tag letter that
 * has the fewest, else every kind; filters with none of these are in the list of those that look at everything. An
 * event looks up its id, author, kind and single-letter tags; what is found there is checked against all its filters,
 * once an event. 32 bytes an entry and 8 to 16 a bucket. Not thread-safe: belongs to one loop. */
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

/* seed is random, so that nobody outside can pile keys into one bucket. HF_ENOMEM. */
int hf_subscriptions_new(struct hf_subscriptions **out, uint64_t seed);
void hf_subscriptions_free(struct hf_subscriptions *set); /* not the subscriptions; NULL is fine */
/* HF_ENOMEM leaves the set as it was. */
int hf_subscriptions_add(struct hf_subscriptions *set, struct hf_subscription *subscription);
/* In proportion to the entries of this subscription alone. One that was not added is fine when its entries is NULL. */
void hf_subscriptions_remove(struct hf_subscriptions *set, struct hf_subscription *subscription);
size_t hf_subscriptions_count(const struct hf_subscriptions *set);
size_t hf_subscriptions_entry_count(const struct hf_subscriptions *set);
/* Calls each once for every subscription that matches, limits aside, in no order. each must not add or remove. Returns how
 * many entries were looked at: those of the event's distinct keys, however often its tags repeat them. */
size_t hf_subscriptions_match(struct hf_subscriptions *set, const struct hf_event *event, uint64_t position,
	void (*each)(void *context, struct hf_subscription *subscription), void *context);

#endif
