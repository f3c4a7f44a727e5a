/* Two trees are walked side by side, each as a stack of places in nodes. Where both stand at the same node or key, both pass it by unread;
 * else the one whose part ends first, by the key that bounds it from above, goes on. A step of one side is prepared, which may have to
 * wait, before either side moves. The trees of an honest bee are walked in a number of steps that its versions bound. */
#include "data/hyperbee/bee_private.h"

#include <stdlib.h>

#define STEPS_A_BLOCK 24 /* places in a node, and one to enter it */

struct side {
	struct hf_bee_view *view;
	uint64_t version, generation;
	struct hf_bee_frame root;
	struct hf_bee_frame frames[HF_BEE_DEPTH_MAX];
	unsigned depth;
	bool is_begun, is_seeking;
};

/* Where a side stands. */
struct stand {
	bool is_any, is_key;
	unsigned index;
	struct hf_bee_frame *frame;
	struct hf_bee_block *block;
	const struct hf_bee_node *node;
	struct hf_bee_reference *reference; /* the key or child */
};

/* A node to be gone into. */
struct entrance {
	struct hf_bee_frame frame;
	bool is_empty;      /* nothing of it is in the range */
	bool ends_seeking;
};

struct hf_bee_diff {
	struct side left, right;
	struct hf_bee_view *stand_in; /* for the view of another history; NULL: both are of one */
	struct hf_bee_view borrowing; /* it, when it reads from the other view's snapshot */
	struct hf_buffer bounds, last; /* last: the key before */
	struct hf_buffer value;        /* of the left entry, while the right one is read */
	bool has_last;
	struct hf_slice low, high;
	bool has_low, has_high, low_included, high_included;
	bool has_limit;
	uint64_t limit, steps_left;
	int status; /* what ended it */
};

/* ---- Starting ---- */

static void start_side(struct side *side, struct hf_bee_view *view, bool has_low)
{
	hf_bee_view_begin(view);
	side->view = view;
	side->version = view->version;
	side->generation = view->generation;
	side->root = (struct hf_bee_frame){.seq = view->version - 1, .hint = UINT32_MAX};
	side->is_seeking = has_low;
	side->is_begun = view->version < 2;
}

/* The version of one view in the history of another that has more. */
static int stand_in(struct hf_bee_diff *diff, struct hf_bee_view *base, const struct hf_bee_view *view)
{
	uint64_t version = view->version;

	if (base->generation == base->bee->generation)
		return hf_bee_checkout(base->bee, version, &diff->stand_in);
	if (view->snapshot == NULL)
		version = hf_core_snapshot_tree(base->snapshot)->length;
	diff->stand_in = &diff->borrowing;
	diff->borrowing = (struct hf_bee_view){.bee = base->bee, .snapshot = base->snapshot, .version = version, .generation = base->generation,
		.cache.bytes_max = base->cache.bytes_max};
	return HF_OK;
}

/* The core was truncated between the two: then both versions are those of the history that has more. */
static int join_histories(struct hf_bee_diff *diff, struct hf_bee_view **left, struct hf_bee_view **right)
{
	hf_bee_view_begin(*left);
	hf_bee_view_begin(*right);
	if ((*left)->generation == (*right)->generation)
		return HF_OK;
	bool is_left_more = (*left)->version >= (*right)->version;
	int status = is_left_more ? stand_in(diff, *left, *right) : stand_in(diff, *right, *left);

	if (status == HF_OK)
		*(is_left_more ? right : left) = diff->stand_in;
	return status;
}

int hf_bee_diff(struct hf_bee_view *left, struct hf_bee_view *right, const struct hf_bee_range *range, struct hf_bee_diff **out)
{
	struct hf_bee_diff *diff = calloc(1, sizeof *diff);
	struct hf_slice low = range->has_gt ? range->gt : range->gte, high = range->has_lt ? range->lt : range->lte;

	if (diff == NULL)
		return HF_ENOMEM;
	diff->has_low = range->has_gt || range->has_gte;
	diff->has_high = range->has_lt || range->has_lte;
	diff->low_included = !range->has_gt;
	diff->high_included = !range->has_lt;
	diff->has_limit = range->has_limit;
	diff->limit = range->limit;
	if (!diff->has_low)
		low.length = 0;
	if (!diff->has_high)
		high.length = 0;
	if (hf_buffer_reserve(&diff->bounds, low.length + high.length + 1) != HF_OK) {
		free(diff);
		return HF_ENOMEM;
	}
	hf_buffer_append(&diff->bounds, low.data, low.length);
	hf_buffer_append(&diff->bounds, high.data, high.length);
	diff->low = hf_slice(diff->bounds.data, low.length);
	diff->high = hf_slice(diff->bounds.data + low.length, high.length);
	int status = join_histories(diff, &left, &right);

	if (status != HF_OK) {
		hf_bee_diff_free(diff);
		return status;
	}
	start_side(&diff->left, left, diff->has_low);
	start_side(&diff->right, right, diff->has_low);
	diff->steps_left = (diff->left.version + diff->right.version) * STEPS_A_BLOCK;
	*out = diff;
	return HF_OK;
}

void hf_bee_diff_free(struct hf_bee_diff *diff)
{
	if (diff == NULL)
		return;
	if (diff->stand_in == &diff->borrowing)
		hf_bee_cache_clear(&diff->borrowing.cache);
	else
		hf_bee_view_free(diff->stand_in);
	hf_buffer_free(&diff->bounds);
	hf_buffer_free(&diff->last);
	hf_buffer_free(&diff->value);
	free(diff);
}

/* ---- One side ---- */

static bool is_inside(const struct hf_bee_node *node, int place)
{
	return place / 2 < (place % 2 == 1 ? node->key_count : node->child_count);
}

/* The place in a node where the range begins. */
static int find_low(struct hf_bee_diff *diff, struct side *side, const struct hf_bee_block *block, const struct hf_bee_node *node,
	struct entrance *entrance)
{
	bool is_leaf = node->child_count == 0, is_there;
	unsigned index;
	int status = hf_bee_search(side->view, block, node, diff->low, &index, &is_there);

	if (status != HF_OK)
		return status;
	if (is_there)
		entrance->frame.place = (int)(2 * index) + (diff->low_included ? 1 : is_leaf ? 3 : 2);
	else
		entrance->frame.place = (int)(2 * index) + (is_leaf ? 1 : 0);
	entrance->is_empty = !is_inside(node, entrance->frame.place);
	entrance->ends_seeking = is_there || is_leaf || entrance->is_empty;
	return HF_OK;
}

static int prepare_node(struct hf_bee_diff *diff, struct side *side, struct hf_bee_frame frame, struct entrance *entrance)
{
	const struct hf_bee_node *node;
	struct hf_bee_block *block;
	int status = hf_bee_node_at(side->view, frame.seq, frame.level, &frame.hint, &block, &node);

	if (status != HF_OK)
		return status;
	*entrance = (struct entrance){.frame = frame, .is_empty = node->key_count == 0};
	entrance->frame.place = node->child_count == 0;
	return side->is_seeking && !entrance->is_empty ? find_low(diff, side, block, node, entrance) : HF_OK;
}

static int enter(struct side *side, const struct entrance *entrance)
{
	if (entrance->ends_seeking)
		side->is_seeking = false;
	if (entrance->is_empty)
		return HF_OK;
	if (side->depth == HF_BEE_DEPTH_MAX)
		return HF_EMALFORMED;
	side->frames[side->depth++] = entrance->frame;
	return HF_OK;
}

static int begin(struct hf_bee_diff *diff, struct side *side)
{
	struct entrance entrance;
	int status;

	if (side->is_begun)
		return HF_OK;
	status = prepare_node(diff, side, side->root, &entrance);
	if (status == HF_OK) {
		side->is_begun = true;
		status = enter(side, &entrance);
	}
	return status;
}

static int look(struct side *side, struct stand *stand)
{
	*stand = (struct stand){.is_any = side->depth > 0};
	if (!stand->is_any)
		return HF_OK;
	struct hf_bee_frame *frame = stand->frame = &side->frames[side->depth - 1];
	int status = hf_bee_node_at(side->view, frame->seq, frame->level, &frame->hint, &stand->block, &stand->node);

	if (status != HF_OK)
		return status;
	stand->is_key = frame->place % 2 == 1;
	stand->index = (unsigned)frame->place / 2;
	stand->reference = stand->is_key ? &stand->node->keys[stand->index] : &stand->node->children[stand->index];
	return HF_OK;
}

static void advance(struct side *side, const struct stand *stand)
{
	stand->frame->place += stand->node->child_count == 0 ? 2 : 1;
	if (!is_inside(stand->node, stand->frame->place))
		side->depth--;
}

/* Into the child where a side stands. */
static int prepare_child(struct hf_bee_diff *diff, struct side *side, const struct stand *stand, struct entrance *entrance)
{
	struct hf_bee_frame frame = {.seq = stand->reference->seq, .level = stand->reference->level, .hint = stand->reference->hint};
	int status;

	frame.bound = stand->index < stand->node->key_count ? stand->node->keys[stand->index].seq : stand->frame->bound;
	status = prepare_node(diff, side, frame, entrance);
	if (status == HF_EWAIT)
		hf_bee_want_node(side->view, stand->node, stand->frame->place, false);
	return status == HF_OK && entrance->is_empty && !entrance->ends_seeking ? HF_EMALFORMED : status;
}

static int go_into(struct hf_bee_diff *diff, struct side *side, const struct stand *stand)
{
	struct entrance entrance;
	int status = prepare_child(diff, side, stand, &entrance);

	if (status != HF_OK)
		return status;
	advance(side, stand);
	return enter(side, &entrance);
}

static int go_into_both(struct hf_bee_diff *diff, const struct stand *left, const struct stand *right)
{
	struct entrance of_left, of_right;
	int status = prepare_child(diff, &diff->left, left, &of_left);

	if (status == HF_OK)
		status = prepare_child(diff, &diff->right, right, &of_right);
	if (status != HF_OK)
		return status;
	advance(&diff->left, left);
	advance(&diff->right, right);
	status = enter(&diff->left, &of_left);
	return status == HF_OK ? enter(&diff->right, &of_right) : status;
}

/* The key that bounds where a side stands from above; data NULL: none. */
static int bound_of(struct side *side, const struct stand *stand, struct hf_slice *key)
{
	uint64_t seq = stand->index < stand->node->key_count ? stand->node->keys[stand->index].seq : stand->frame->bound;
	uint32_t hint = stand->index < stand->node->key_count ? stand->node->keys[stand->index].hint : UINT32_MAX;
	struct hf_bee_block *block;
	int status;

	*key = hf_slice(NULL, 0);
	if (seq == 0)
		return HF_OK;
	status = hf_bee_block_at(side->view, seq, &hint, &block);
	if (status == HF_OK)
		*key = hf_bee_block_key(block);
	return status;
}

/* No bound is above all bounds. */
static int compare(struct hf_bee_diff *diff, const struct stand *left, const struct stand *right, int *order)
{
	struct hf_slice left_key, right_key;
	int status = bound_of(&diff->left, left, &left_key);

	if (status == HF_OK)
		status = bound_of(&diff->right, right, &right_key);
	if (status != HF_OK)
		return status;
	if (left_key.data == NULL || right_key.data == NULL)
		*order = (left_key.data == NULL) - (right_key.data == NULL);
	else
		*order = hf_slice_compare(left_key, right_key);
	return HF_OK;
}

/* ---- Both ---- */

/* A whole entry is good until the next is read, so the left one's value is put aside; the key is the same. */
static int read_both(struct hf_bee_diff *diff, const struct stand *left, const struct stand *right, struct hf_bee_difference *found)
{
	int status = hf_bee_entry_at(diff->left.view, left->reference->seq, &found->left);

	hf_buffer_clear(&diff->value);
	if (status == HF_OK && found->left.value.length > 0)
		status = hf_buffer_append(&diff->value, found->left.value.data, found->left.value.length);
	if (status == HF_OK)
		status = hf_bee_entry_at(diff->right.view, right->reference->seq, &found->right);
	if (status == HF_OK) {
		found->left.key = found->right.key;
		found->left.value = hf_buffer_slice(&diff->value);
	}
	return status;
}

static void pass_key(struct side *side, const struct stand *stand)
{
	advance(side, stand);
	side->is_seeking = false;
}

/* HF_EDUPLICATE, here and below: nothing found yet, go on. */
static int take_keys(struct hf_bee_diff *diff, const struct stand *left, const struct stand *right, struct hf_bee_difference *found)
{
	int status;

	*found = (struct hf_bee_difference){.has_left = left != NULL, .has_right = right != NULL};
	if (left != NULL && right != NULL)
		status = read_both(diff, left, right, found);
	else if (left != NULL)
		status = hf_bee_entry_at(diff->left.view, left->reference->seq, &found->left);
	else
		status = hf_bee_entry_at(diff->right.view, right->reference->seq, &found->right);
	if (status != HF_OK)
		return status;
	if (diff->has_high) {
		int order = hf_slice_compare(left != NULL ? found->left.key : found->right.key, diff->high);

		if (diff->high_included ? order > 0 : order >= 0)
			return HF_ENOTFOUND;
	}
	if (left != NULL)
		pass_key(&diff->left, left);
	if (right != NULL)
		pass_key(&diff->right, right);
	return HF_OK;
}

static int step_one(struct hf_bee_diff *diff, struct side *side, const struct stand *stand, struct hf_bee_difference *found)
{
	int status;

	if (stand->is_key)
		return side == &diff->left ? take_keys(diff, stand, NULL, found) : take_keys(diff, NULL, stand, found);
	status = go_into(diff, side, stand);
	return status == HF_OK ? HF_EDUPLICATE : status;
}

static bool are_same(const struct stand *left, const struct stand *right)
{
	return left->is_key == right->is_key && left->reference->seq == right->reference->seq
		&& left->reference->level == right->reference->level;
}

static int step_both(struct hf_bee_diff *diff, const struct stand *left, const struct stand *right, struct hf_bee_difference *found)
{
	int order, status;

	if (are_same(left, right)) {
		advance(&diff->left, left);
		advance(&diff->right, right);
		return HF_EDUPLICATE;
	}
	if (left->is_key && !right->is_key)
		return step_one(diff, &diff->right, right, found);
	if (!left->is_key && right->is_key)
		return step_one(diff, &diff->left, left, found);
	status = compare(diff, left, right, &order);
	if (status != HF_OK)
		return status;
	if (order < 0)
		return left->is_key ? take_keys(diff, left, NULL, found) : step_one(diff, &diff->right, right, found);
	if (order > 0)
		return left->is_key ? take_keys(diff, NULL, right, found) : step_one(diff, &diff->left, left, found);
	if (left->is_key)
		return take_keys(diff, left, right, found);
	status = go_into_both(diff, left, right);
	return status == HF_OK ? HF_EDUPLICATE : status;
}

static int step(struct hf_bee_diff *diff, struct hf_bee_difference *found)
{
	struct stand left, right;
	int status = look(&diff->left, &left);

	if (diff->steps_left == 0)
		return HF_EMALFORMED;
	diff->steps_left--;
	if (status == HF_OK)
		status = look(&diff->right, &right);
	if (status != HF_OK)
		return status;
	if (!left.is_any && !right.is_any)
		return HF_ENOTFOUND;
	if (!left.is_any)
		return step_one(diff, &diff->right, &right, found);
	if (!right.is_any)
		return step_one(diff, &diff->left, &left, found);
	return step_both(diff, &left, &right, found);
}

/* Keys that do not ascend are of a tree that nobody honest wrote. */
static int check_order(struct hf_bee_diff *diff, const struct hf_bee_difference *difference)
{
	struct hf_slice key = difference->has_left ? difference->left.key : difference->right.key;

	if (diff->has_last && hf_slice_compare(key, hf_buffer_slice(&diff->last)) <= 0)
		return HF_EMALFORMED;
	if (hf_buffer_reserve(&diff->last, key.length + 1) != HF_OK)
		return HF_ENOMEM;
	hf_buffer_clear(&diff->last);
	hf_buffer_append(&diff->last, key.data, key.length);
	diff->has_last = true;
	return HF_OK;
}

static bool is_stale(const struct side *side)
{
	return side->view->snapshot == NULL && side->generation != side->view->generation;
}

int hf_bee_diff_next(struct hf_bee_diff *diff, struct hf_bee_difference *difference)
{
	int status;

	if (diff->status != HF_OK)
		return diff->status;
	if (diff->has_limit && diff->limit == 0)
		return HF_ENOTFOUND;
	hf_bee_view_begin(diff->left.view);
	hf_bee_view_begin(diff->right.view);
	if (is_stale(&diff->left) || is_stale(&diff->right))
		return diff->status = HF_ECANCELED;
	status = begin(diff, &diff->left);
	if (status == HF_OK)
		status = begin(diff, &diff->right);
	if (status == HF_OK)
		do
			status = step(diff, difference);
		while (status == HF_EDUPLICATE);
	if (status == HF_OK)
		status = diff->status = check_order(diff, difference);
	if (status == HF_OK)
		diff->limit -= diff->has_limit;
	else if (status == HF_ENOTFOUND || status == HF_EMALFORMED)
		diff->status = status;
	return status;
}
