#include "data/hypercore/reorg.h"

#include <stdlib.h>

#include "base/array.h"

static size_t place_of(const struct hf_reorg *reorg, uint64_t index)
{
	size_t low = 0, high = reorg->node_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (reorg->nodes[middle].index < index)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static const struct hf_tree_node *find(const struct hf_reorg *reorg, uint64_t index)
{
	size_t place = place_of(reorg, index);

	return place < reorg->node_count && reorg->nodes[place].index == index ? &reorg->nodes[place] : NULL;
}

static int add(struct hf_reorg *reorg, const struct hf_proof_check *check)
{
	size_t count = reorg->node_count + check->node_count;
	int status = hf_array_reserve(&reorg->nodes, &reorg->node_capacity, count, sizeof *reorg->nodes);

	if (status != HF_OK)
		return status;
	for (size_t i = 0; i < check->node_count; i++) {
		size_t place = place_of(reorg, check->nodes[i].index);
		struct hf_tree_node *at = &reorg->nodes[place];

		if (place == reorg->node_count || at->index != check->nodes[i].index) {
			memmove(at + 1, at, (reorg->node_count - place) * sizeof *at);
			reorg->node_count++;
		}
		*at = check->nodes[i];
	}
	return HF_OK;
}

int hf_reorg_start(struct hf_reorg *reorg, const struct hf_proof_check *check, uint64_t old_length)
{
	hf_tree_copy(&reorg->tree, &check->tree);
	reorg->old_length = old_length;
	reorg->ancestors = 0;
	reorg->finished = false;
	reorg->has_diff = false;
	reorg->node_count = 0;
	return add(reorg, check);
}

/* Whether ours is the same; not held is not the same. */
static int compare(const struct hf_tree_reader *old, const struct hf_tree_node *node, bool *same)
{
	struct hf_tree_node held;
	int status = old->node(old->context, node->index, &held);

	*same = status == HF_OK && memcmp(held.hash, node->hash, sizeof held.hash) == 0;
	return status == HF_ENOTFOUND ? HF_OK : status;
}

static int find_root(struct hf_reorg *reorg, const struct hf_tree_reader *old)
{
	for (uint32_t i = 0; i < reorg->tree.root_count; i++) {
		bool same;
		int status = compare(old, &reorg->tree.roots[i], &same);

		if (status != HF_OK)
			return status;
		if (same)
			continue;
		reorg->diff = reorg->tree.roots[i];
		reorg->has_diff = true;
		return HF_OK;
	}
	reorg->ancestors = reorg->tree.length;
	reorg->finished = true;
	return HF_OK;
}

int hf_reorg_step(struct hf_reorg *reorg, const struct hf_tree_reader *old)
{
	int status = HF_OK;

	if (!reorg->has_diff && !reorg->finished)
		status = find_root(reorg, old);
	while (status == HF_OK && !reorg->finished) {
		const struct hf_tree_node *left, *right;
		bool same;

		reorg->ancestors = hf_flat_left_span(reorg->diff.index) / 2;
		reorg->finished = hf_flat_depth(reorg->diff.index) == 0 || reorg->ancestors >= reorg->old_length;
		if (reorg->finished)
			break;
		left = find(reorg, hf_flat_left_child(reorg->diff.index));
		right = find(reorg, hf_flat_right_child(reorg->diff.index));
		if (left == NULL || right == NULL) {
			reorg->want_start = reorg->ancestors;
			reorg->want_end = hf_flat_right_span(reorg->diff.index) / 2 + 1;
			reorg->want_nodes = hf_flat_depth(reorg->diff.index);
			break;
		}
		status = compare(old, left, &same);
		if (status == HF_OK)
			reorg->diff = same ? *right : *left;
	}
	return status;
}

void hf_reorg_request(const struct hf_reorg *reorg, uint64_t block, struct hf_proof_request *out)
{
	*out = (struct hf_proof_request){.has_hash = true, .hash = {.index = 2 * block, .nodes = reorg->want_nodes}};
}

static int read_diff(void *context, uint64_t index, struct hf_tree_node *out)
{
	const struct hf_reorg *reorg = context;

	if (index != reorg->diff.index)
		return HF_ENOTFOUND;
	*out = reorg->diff;
	return HF_OK;
}

int hf_reorg_feed(struct hf_reorg *reorg, const struct hf_proof *proof)
{
	static const struct hf_tree nothing;
	struct hf_tree_reader reader = {.context = reorg, .node = read_diff};
	int status;

	if (reorg->finished || !reorg->has_diff || proof->fork != reorg->tree.fork || !proof->has_hash || proof->has_upgrade)
		return HF_EBADSIG;
	status = hf_proof_verify(proof, &nothing, &reader, NULL, &reorg->check);
	if (status != HF_OK)
		return status == HF_ENOMEM ? status : HF_EBADSIG;
	if (reorg->check.node_count == 1) /* the wanted node alone leads no further */
		return HF_EBADSIG;
	return add(reorg, &reorg->check);
}

void hf_reorg_free(struct hf_reorg *reorg)
{
	hf_proof_check_free(&reorg->check);
	free(reorg->nodes);
	*reorg = (struct hf_reorg){.nodes = NULL};
}
