/* Ranges. The iterator holds its way from the root as places in nodes, not the nodes: those are looked up in the cache again at each step,
 * so a step that had to wait, or whose blocks have left the cache, is simply made again. That keys come in order is checked: it is what
 * ends a walk through a cycle. */
#include "data/hyperbee/bee_private.h"

#include <stdlib.h>

struct hf_bee_iterator {
	struct hf_bee_view *view;
	uint64_t version, generation;
	struct hf_buffer bounds, last; /* copies of start and end; the key before */
	struct hf_slice start, end;
	bool has_start, has_end, start_included, end_included;
	bool reverse, has_limit, has_last, is_seeking;
	int status;                    /* what ended it */
	uint64_t limit, hinted_count;  /* hinted_count: entries to come that the hinter was told of */
	struct hf_bee_frame seek;      /* the node that seeking has come to */
	struct hf_bee_frame frames[HF_BEE_DEPTH_MAX];
	unsigned depth;
};

/* ---- Starting ---- */

static int copy_bounds(struct hf_bee_iterator *iterator, const struct hf_bee_range *range)
{
	struct hf_slice low = range->has_gt ? range->gt : range->gte, high = range->has_lt ? range->lt : range->lte;
	bool has_low = range->has_gt || range->has_gte, has_high = range->has_lt || range->has_lte;
	size_t low_length = has_low ? low.length : 0, high_length = has_high ? high.length : 0;

	if (hf_buffer_reserve(&iterator->bounds, low_length + high_length + 1) != HF_OK)
		return HF_ENOMEM;
	uint8_t *copy = iterator->bounds.data;

	if (low_length > 0)
		memcpy(copy, low.data, low_length);
	if (high_length > 0)
		memcpy(copy + low_length, high.data, high_length);
	low = hf_slice(copy, low_length);
	high = hf_slice(copy + low_length, high_length);
	iterator->start = range->reverse ? high : low;
	iterator->end = range->reverse ? low : high;
	iterator->has_start = range->reverse ? has_high : has_low;
	iterator->has_end = range->reverse ? has_low : has_high;
	iterator->start_included = range->reverse ? !range->has_lt : !range->has_gt;
	iterator->end_included = range->reverse ? !range->has_gt : !range->has_lt;
	return HF_OK;
}

int hf_bee_iterate(struct hf_bee_view *view, const struct hf_bee_range *range, struct hf_bee_iterator **out)
{
	struct hf_bee_iterator *iterator = calloc(1, sizeof *iterator);

	if (iterator == NULL || copy_bounds(iterator, range) != HF_OK) {
		free(iterator);
		return HF_ENOMEM;
	}
	hf_bee_view_begin(view);
	iterator->view = view;
	iterator->version = view->version;
	iterator->generation = view->generation;
	iterator->reverse = range->reverse;
	iterator->has_limit = range->has_limit;
	iterator->limit = range->limit;
	iterator->is_seeking = view->version > 1;
	iterator->seek = (struct hf_bee_frame){.seq = view->version - 1, .hint = UINT32_MAX};
	*out = iterator;
	return HF_OK;
}

void hf_bee_iterator_free(struct hf_bee_iterator *iterator)
{
	if (iterator == NULL)
		return;
	hf_buffer_free(&iterator->bounds);
	hf_buffer_free(&iterator->last);
	free(iterator);
}

static int push(struct hf_bee_iterator *iterator, const struct hf_bee_frame *frame, int place)
{
	if (iterator->depth == HF_BEE_DEPTH_MAX)
		return HF_EMALFORMED;
	iterator->frames[iterator->depth] = *frame;
	iterator->frames[iterator->depth++].place = place;
	return HF_OK;
}

static int first_place(const struct hf_bee_iterator *iterator, const struct hf_bee_node *node)
{
	return iterator->reverse ? 2 * node->key_count : 0;
}

/* One node further towards the start; is_seeking becomes false when it is reached. */
static int seek(struct hf_bee_iterator *iterator)
{
	struct hf_bee_frame *at = &iterator->seek;
	const struct hf_bee_node *node;
	struct hf_bee_block *block;
	unsigned index = 0;
	bool is_there = false;
	int place, status = hf_bee_node_at(iterator->view, at->seq, at->level, &at->hint, &block, &node);

	if (status == HF_OK && iterator->has_start)
		status = hf_bee_search(iterator->view, block, node, iterator->start, &index, &is_there);
	if (status != HF_OK)
		return status;
	if (!iterator->has_start)
		place = first_place(iterator, node);
	else if (is_there)
		place = 2 * (int)index + (iterator->start_included ? 1 : iterator->reverse ? 0 : 2);
	else
		place = 2 * (int)index + (iterator->reverse ? -1 : 1);
	iterator->is_seeking = iterator->has_start && !is_there && node->child_count > 0;
	status = push(iterator, at, place);
	if (status == HF_OK && iterator->is_seeking)
		*at = (struct hf_bee_frame){.seq = node->children[index].seq, .level = node->children[index].level,
			.hint = node->children[index].hint};
	return status;
}

/* ---- Walking ---- */

/* What comes after what is missing: the rest of this node, and of those above it. */
static void want_ahead(struct hf_bee_iterator *iterator)
{
	for (unsigned i = iterator->depth; i > 0 && (!iterator->has_limit || iterator->limit > 1); i--) {
		struct hf_bee_frame *frame = &iterator->frames[i - 1];
		const struct hf_bee_node *node;
		struct hf_bee_block *block;

		if (hf_bee_node_at(iterator->view, frame->seq, frame->level, &frame->hint, &block, &node) == HF_OK)
			hf_bee_want_node(iterator->view, node, frame->place, iterator->reverse);
	}
}

static int go_into_child(struct hf_bee_iterator *iterator, struct hf_bee_frame *frame, struct hf_bee_reference *child)
{
	struct hf_bee_frame next = {.seq = child->seq, .level = child->level};
	const struct hf_bee_node *node;
	struct hf_bee_block *block;
	int status = hf_bee_node_at(iterator->view, child->seq, child->level, &child->hint, &block, &node);

	if (status != HF_OK)
		return status;
	if (node->key_count == 0)
		return HF_EMALFORMED;
	next.hint = child->hint;
	frame->place += iterator->reverse ? -1 : 1;
	return push(iterator, &next, first_place(iterator, node));
}

/* HF_ENOTFOUND: past the end. */
static int take(struct hf_bee_iterator *iterator, struct hf_slice key)
{
	if (iterator->has_end) {
		int order = hf_slice_compare(key, iterator->end);

		if (order == 0 ? !iterator->end_included : iterator->reverse ? order < 0 : order > 0)
			return HF_ENOTFOUND;
	}
	if (iterator->has_last) {
		int order = hf_slice_compare(key, hf_buffer_slice(&iterator->last));

		if (iterator->reverse ? order >= 0 : order <= 0)
			return HF_EMALFORMED;
	}
	if (hf_buffer_reserve(&iterator->last, key.length + 1) != HF_OK)
		return HF_ENOMEM;
	hf_buffer_clear(&iterator->last);
	hf_buffer_append(&iterator->last, key.data, key.length);
	iterator->has_last = true;
	iterator->limit -= iterator->has_limit;
	return HF_OK;
}

/* Up to the next key; HF_EDUPLICATE: not there yet. */
static int step(struct hf_bee_iterator *iterator, struct hf_bee_entry *entry)
{
	struct hf_bee_frame *frame = &iterator->frames[iterator->depth - 1];
	const struct hf_bee_node *node;
	struct hf_bee_block *block;
	int status = hf_bee_node_at(iterator->view, frame->seq, frame->level, &frame->hint, &block, &node);

	if (status != HF_OK)
		return status;
	if (frame->place < 0 || frame->place > 2 * node->key_count) {
		iterator->depth--;
		return HF_EDUPLICATE;
	}
	if (frame->place % 2 == 0) {
		if (node->child_count > 0)
			status = go_into_child(iterator, frame, &node->children[frame->place / 2]);
		else
			frame->place += iterator->reverse ? -1 : 1;
		return status == HF_OK ? HF_EDUPLICATE : status;
	}
	status = hf_bee_entry_at(iterator->view, node->keys[frame->place / 2].seq, entry);
	if (status == HF_OK)
		status = take(iterator, entry->key);
	if (status != HF_OK)
		return status;
	frame->place += iterator->reverse ? -1 : 1;
	return HF_OK;
}

/* ---- Hints ---- */

#define PLACE_NUMBERS 3 /* of a frame in a checkpoint */

/* Frames whose node has been left behind are not told of. */
static size_t list_places(struct hf_bee_iterator *iterator, uint64_t checkpoint[static HF_BEE_DEPTH_MAX * PLACE_NUMBERS])
{
	size_t count = 0;

	for (unsigned i = 0; i < iterator->depth && !iterator->is_seeking; i++) {
		struct hf_bee_frame *frame = &iterator->frames[i];
		const struct hf_bee_node *node;
		struct hf_bee_block *block;

		if (hf_bee_node_at(iterator->view, frame->seq, frame->level, &frame->hint, &block, &node) != HF_OK || frame->place < 0
			|| frame->place > 2 * node->key_count)
			continue;
		checkpoint[count++] = frame->seq;
		checkpoint[count++] = frame->level;
		checkpoint[count++] = (uint64_t)frame->place;
	}
	return count;
}

static void tell_hinter(struct hf_bee_iterator *iterator)
{
	struct hf_bee_hinter *hinter = iterator->view->bee->hinter;
	struct hf_bee_range range = {.reverse = iterator->reverse, .has_limit = iterator->has_limit, .limit = iterator->limit};
	uint64_t checkpoint[HF_BEE_DEPTH_MAX * PLACE_NUMBERS];

	if (hinter == NULL || iterator->hinted_count > 0)
		return;
	size_t count = list_places(iterator, checkpoint);
	bool has_low = iterator->reverse ? iterator->has_end : iterator->has_start;
	bool has_high = iterator->reverse ? iterator->has_start : iterator->has_end;
	bool with_low = iterator->reverse ? iterator->end_included : iterator->start_included;
	bool with_high = iterator->reverse ? iterator->start_included : iterator->end_included;

	range.has_gte = has_low && with_low;
	range.has_gt = has_low && !with_low;
	range.has_lte = has_high && with_high;
	range.has_lt = has_high && !with_high;
	range.gt = range.gte = iterator->reverse ? iterator->end : iterator->start;
	range.lt = range.lte = iterator->reverse ? iterator->start : iterator->end;
	iterator->hinted_count = HF_BEE_HINT_ENTRY_COUNT;
	hinter->range(hinter, iterator->version, &range, checkpoint, count);
}

int hf_bee_iterator_resume(struct hf_bee_iterator *iterator, const uint64_t *checkpoint, size_t checkpoint_count)
{
	if (checkpoint_count % PLACE_NUMBERS != 0 || checkpoint_count / PLACE_NUMBERS > HF_BEE_DEPTH_MAX)
		return HF_EMALFORMED;
	iterator->is_seeking = iterator->is_seeking && checkpoint_count == 0;
	for (size_t i = 0; i < checkpoint_count; i += PLACE_NUMBERS) {
		struct hf_bee_frame frame = {.seq = checkpoint[i], .level = (uint32_t)checkpoint[i + 1], .hint = UINT32_MAX};

		if (checkpoint[i] == 0 || checkpoint[i] >= iterator->version || checkpoint[i + 1] > UINT32_MAX ||
			checkpoint[i + 2] > 2 * HF_BEE_NODE_KEY_COUNT_MAX + 1)
			return HF_EMALFORMED;
		push(iterator, &frame, (int)checkpoint[i + 2]);
	}
	return HF_OK;
}

/* ---- Next ---- */

static int walk(struct hf_bee_iterator *iterator, struct hf_bee_entry *entry)
{
	int status = HF_OK;

	if (iterator->has_limit && iterator->limit == 0)
		return HF_ENOTFOUND;
	while (iterator->is_seeking && status == HF_OK)
		status = seek(iterator);
	if (status != HF_OK)
		return status;
	do
		status = iterator->depth == 0 ? HF_ENOTFOUND : step(iterator, entry);
	while (status == HF_EDUPLICATE);
	if (status == HF_EWAIT)
		want_ahead(iterator);
	return status;
}

int hf_bee_iterator_next(struct hf_bee_iterator *iterator, struct hf_bee_entry *entry)
{
	int status;

	if (iterator->status != HF_OK)
		return iterator->status;
	hf_bee_view_begin(iterator->view);
	if (iterator->view->snapshot == NULL && iterator->generation != iterator->view->generation)
		return iterator->status = HF_ECANCELED;
	status = walk(iterator, entry);
	if (status == HF_EWAIT)
		tell_hinter(iterator);
	if (status == HF_OK && iterator->hinted_count > 0)
		iterator->hinted_count--;
	if (status == HF_ENOTFOUND || status == HF_EMALFORMED)
		iterator->status = status;
	return status;
}

int hf_bee_peek(struct hf_bee_view *view, const struct hf_bee_range *range, struct hf_bee_entry *entry)
{
	struct hf_bee_range first = *range;
	struct hf_bee_iterator *iterator;
	int status;

	if (!range->has_limit || range->limit > 1) {
		first.has_limit = true;
		first.limit = 1;
	}
	status = hf_bee_iterate(view, &first, &iterator);
	if (status != HF_OK)
		return status;
	status = hf_bee_iterator_next(iterator, entry);
	hf_bee_iterator_free(iterator);
	return status;
}
