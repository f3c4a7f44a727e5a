/* A search tree by key and at the same time a heap by rank: a node's rank is not below those under it. */
#include "base/ordered.h"

#include "base/map.h"

void hf_ordered_put(struct hf_ordered *set, struct hf_ordered_node *node, struct hf_slice key)
{
	struct hf_ordered_node **at = &set->root, **low = &node->low, **high = &node->high;
	node->key = key;
	node->rank = hf_hash64(key.data, key.length, set->seed);
	while (*at && (*at)->rank >= node->rank)
		at = hf_slice_compare(key, (*at)->key) < 0 ? &(*at)->low : &(*at)->high;
	/* What was in its place is divided between its two sides. */
	for (struct hf_ordered_node *rest = *at; rest;) {
		if (hf_slice_compare(rest->key, key) < 0) {
			*low = rest;
			low = &rest->high;
			rest = rest->high;
		} else {
			*high = rest;
			high = &rest->low;
			rest = rest->low;
		}
	}
	*low = *high = NULL;
	*at = node;
}

void hf_ordered_remove(struct hf_ordered *set, struct hf_ordered_node *node)
{
	struct hf_ordered_node **at = &set->root, *low = node->low, *high = node->high;
	while (*at != node)
		at = hf_slice_compare(node->key, (*at)->key) < 0 ? &(*at)->low : &(*at)->high;
	while (low && high) {
		if (low->rank >= high->rank) {
			*at = low;
			at = &low->high;
			low = low->high;
		} else {
			*at = high;
			at = &high->low;
			high = high->low;
		}
	}
	*at = low ? low : high;
}

struct hf_ordered_node *hf_ordered_get(const struct hf_ordered *set, struct hf_slice key)
{
	struct hf_ordered_node *node = set->root;
	for (int order; node && (order = hf_slice_compare(key, node->key)) != 0;)
		node = order < 0 ? node->low : node->high;
	return node;
}

struct hf_ordered_node *hf_ordered_after(const struct hf_ordered *set, struct hf_slice key)
{
	struct hf_ordered_node *found = NULL;
	for (struct hf_ordered_node *node = set->root; node;) {
		bool is_behind = hf_slice_compare(key, node->key) < 0;
		found = is_behind ? node : found;
		node = is_behind ? node->low : node->high;
	}
	return found;
}
