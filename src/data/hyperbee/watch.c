/* A watch holds the version that it last compared and compares it with the newest, by a diff that ends at the first difference. */
#include "data/hyperbee/bee_private.h"

#include <stdlib.h>

#include "base/list.h"

struct hf_bee_watch {
	struct hf_bee *bee;
	struct hf_bee_watch *next, *previous;
	void (*grew)(void *context);
	void *context;
	struct hf_bee_range range; /* into bounds */
	struct hf_buffer bounds;
	struct hf_bee_view *before, *now;
	struct hf_bee_diff *diff;  /* NULL: none has begun */
};

static int copy_bound(struct hf_bee_watch *watch, struct hf_slice bound, struct hf_slice *copy)
{
	size_t start = watch->bounds.length;

	if (bound.length > 0)
		hf_buffer_append(&watch->bounds, bound.data, bound.length);
	*copy = hf_slice(watch->bounds.data + start, bound.length);
	return HF_OK;
}

static int copy_range(struct hf_bee_watch *watch, const struct hf_bee_range *range)
{
	static const struct hf_slice none;
	size_t length = range->gt.length + range->gte.length + range->lt.length + range->lte.length;

	if (hf_buffer_reserve(&watch->bounds, length + 1) != HF_OK)
		return HF_ENOMEM;
	watch->range = *range;
	watch->range.has_limit = true;
	watch->range.limit = 1;
	copy_bound(watch, range->has_gt ? range->gt : none, &watch->range.gt);
	copy_bound(watch, range->has_gte ? range->gte : none, &watch->range.gte);
	copy_bound(watch, range->has_lt ? range->lt : none, &watch->range.lt);
	copy_bound(watch, range->has_lte ? range->lte : none, &watch->range.lte);
	return HF_OK;
}

int hf_bee_watch(struct hf_bee *bee, const struct hf_bee_range *range, void (*grew)(void *context), void *context,
	struct hf_bee_watch **out)
{
	struct hf_bee_watch *watch = calloc(1, sizeof *watch);
	int status = watch == NULL ? HF_ENOMEM : copy_range(watch, range);

	if (status == HF_OK)
		status = hf_bee_snapshot(bee, &watch->now);
	if (status != HF_OK) {
		if (watch != NULL)
			hf_buffer_free(&watch->bounds);
		free(watch);
		return status;
	}
	watch->bee = bee;
	watch->grew = grew;
	watch->context = context;
	HF_LIST_PUSH(bee->watches, watch);
	*out = watch;
	return HF_OK;
}

void hf_bee_watch_free(struct hf_bee_watch *watch)
{
	if (watch == NULL)
		return;
	struct hf_bee *bee = watch->bee;

	if (bee->next_watch == watch)
		bee->next_watch = watch->next;
	HF_LIST_REMOVE(bee->watches, watch);
	hf_bee_diff_free(watch->diff);
	hf_bee_view_free(watch->before);
	hf_bee_view_free(watch->now);
	hf_buffer_free(&watch->bounds);
	free(watch);
}

void hf_bee_tell_watches(struct hf_bee *bee)
{
	struct hf_bee_watch *watch;

	bee->next_watch = bee->watches;
	while ((watch = bee->next_watch) != NULL) {
		bee->next_watch = watch->next;
		watch->grew(watch->context);
	}
}

static int begin(struct hf_bee_watch *watch)
{
	struct hf_bee_view *newest;
	int status = hf_bee_snapshot(watch->bee, &newest);

	if (status != HF_OK)
		return status;
	if (newest->version == watch->now->version && newest->generation == watch->now->generation) {
		hf_bee_view_free(newest);
		return HF_ENOTFOUND;
	}
	hf_bee_view_free(watch->before);
	watch->before = watch->now;
	watch->now = newest;
	if (watch->before->generation != newest->generation)
		return HF_OK;
	status = hf_bee_diff(watch->now, watch->before, &watch->range, &watch->diff);
	if (status != HF_OK) {
		watch->now = watch->before;
		watch->before = NULL;
		hf_bee_view_free(newest);
	}
	return status;
}

int hf_bee_watch_next(struct hf_bee_watch *watch, struct hf_bee_view **before, struct hf_bee_view **now)
{
	struct hf_bee_difference difference;
	int status = watch->diff != NULL ? HF_OK : begin(watch);

	if (status == HF_OK && watch->diff != NULL) {
		status = hf_bee_diff_next(watch->diff, &difference);
		if (status != HF_EWAIT) {
			hf_bee_diff_free(watch->diff);
			watch->diff = NULL;
		}
	}
	*before = watch->before;
	*now = watch->now;
	return status;
}
