/* flat_tree: the numbering of a tree's nodes: leaves are even, each parent stands between its children. (spec: Hypercore,
 * sections 6.1 and 6.2)
 *
 *     3
 *   1   5
 *  0 2 4 6    8
 *
 * Nodes are named by index; block b is leaf 2b. A tree of n blocks is a row of complete subtrees, its full roots. Lengths are at
 * most HF_FLAT_LENGTH_MAX, so that every node has an index below 2^53, which is all that the wire and the packages carry; the
 * functions are defined for indices up to 2^54, and nothing wraps.
 */
#ifndef HF_DATA_HYPERCORE_FLAT_TREE_H
#define HF_DATA_HYPERCORE_FLAT_TREE_H

#include <stdbool.h>
#include <stdint.h>

#define HF_FLAT_LENGTH_MAX ((uint64_t)1 << 52) /* blocks */
#define HF_FLAT_ROOTS_MAX 53

/* Levels above the leaves. */
static inline unsigned hf_flat_depth(uint64_t index) { return (unsigned)__builtin_ctzll(~index); }
/* How many nodes of its depth are to the left of it. */
static inline uint64_t hf_flat_offset(uint64_t index) { return index >> (hf_flat_depth(index) + 1); }
static inline uint64_t hf_flat_index(unsigned depth, uint64_t offset)
{
	return (offset << (depth + 1)) + ((uint64_t)1 << depth) - 1;
}
static inline uint64_t hf_flat_parent(uint64_t index)
{
	uint64_t bit = (index + 1) & ~index;

	return (index | bit) & ~(bit << 1);
}
static inline uint64_t hf_flat_sibling(uint64_t index) { return index ^ (((index + 1) & ~index) << 1); }
static inline bool hf_flat_is_left(uint64_t index) { return (index & (((index + 1) & ~index) << 1)) == 0; }
/* Of inner nodes only. */
static inline uint64_t hf_flat_left_child(uint64_t index) { return index - (((index + 1) & ~index) >> 1); }
static inline uint64_t hf_flat_right_child(uint64_t index) { return index + (((index + 1) & ~index) >> 1); }
/* The outermost leaves under it. */
static inline uint64_t hf_flat_left_span(uint64_t index) { return index + 1 - ((index + 1) & ~index); }
static inline uint64_t hf_flat_right_span(uint64_t index) { return index - 1 + ((index + 1) & ~index); }
static inline uint64_t hf_flat_leaf_count(uint64_t index) { return (index + 1) & ~index; }
static inline uint64_t hf_flat_node_count(uint64_t index) { return 2 * hf_flat_leaf_count(index) - 1; }
/* Whether node is index or below it. */
static inline bool hf_flat_contains(uint64_t index, uint64_t node)
{
	return node >= hf_flat_left_span(index) && node <= hf_flat_right_span(index);
}

/* The full roots of a length, from left to right:
 *     struct hf_flat_roots at = {.end = 2 * length};
 *     while (hf_flat_roots_next(&at, &root)) ...
 */
struct hf_flat_roots {
	uint64_t end, start; /* in indices: all below start has been given */
};
static inline bool hf_flat_roots_next(struct hf_flat_roots *at, uint64_t *root)
{
	if (at->start >= at->end)
		return false;
	uint64_t span = (uint64_t)1 << (63 - __builtin_clzll(at->end - at->start));

	*root = at->start + span / 2 - 1;
	at->start += span;
	return true;
}

#endif
