/* Blocks one after the other. */
#include "data/hyperbee/bee_private.h"

static uint64_t resolve(int64_t block, uint64_t version)
{
	if (block >= 0)
		return (uint64_t)block;
	return (uint64_t)-(block + 1) + 1 > version ? 0 : version - ((uint64_t)-(block + 1) + 1);
}

static uint64_t first_of(const struct hf_bee_history_range *range, uint64_t version)
{
	uint64_t first = range->gt != 0 ? resolve(range->gt, version) + 1 : range->gte != 0 ? resolve(range->gte, version) : 1;

	return first > 0 ? first : 1;
}

static uint64_t end_of(const struct hf_bee_history_range *range, uint64_t version)
{
	uint64_t end = version;

	if ((range->has_lte && range->lte == 0) || (range->has_lt && range->lt == 0))
		return 0;
	if (range->has_lte)
		end = resolve(range->lte, version) + 1;
	else if (range->has_lt)
		end = resolve(range->lt, version);
	return end < version ? end : version;
}

int hf_bee_history_start(struct hf_bee_history *history, struct hf_bee_view *view, const struct hf_bee_history_range *range)
{
	if (range->live && (range->reverse || range->has_lt || range->has_lte))
		return HF_EINVAL;
	hf_bee_view_begin(view);
	*history = (struct hf_bee_history){.view = view, .generation = view->generation, .reverse = range->reverse, .live = range->live,
		.has_limit = range->has_limit, .limit = range->limit, .from = first_of(range, view->version), .to = end_of(range, view->version)};
	return HF_OK;
}

static void want_ahead(const struct hf_bee_history *history)
{
	uint64_t left = history->to - history->from, count = left < HF_BEE_WANT_COUNT_MAX ? left : HF_BEE_WANT_COUNT_MAX;

	if (history->has_limit && history->limit < count)
		count = history->limit;
	for (uint64_t i = 0; i < count; i++)
		hf_bee_want(history->view, history->reverse ? history->to - 1 - i : history->from + i);
}

int hf_bee_history_next(struct hf_bee_history *history, struct hf_bee_entry *entry)
{
	int status;

	hf_bee_view_begin(history->view);
	if (history->view->snapshot == NULL && history->generation != history->view->generation)
		return HF_ECANCELED;
	if (history->live)
		history->to = history->view->version;
	if (history->from >= history->to || (history->has_limit && history->limit == 0))
		return HF_ENOTFOUND;
	status = hf_bee_change_at(history->view, history->reverse ? history->to - 1 : history->from, entry);
	if (status == HF_EWAIT)
		want_ahead(history);
	if (status != HF_OK)
		return status;
	if (history->reverse)
		history->to--;
	else
		history->from++;
	history->limit -= history->has_limit;
	return HF_OK;
}
