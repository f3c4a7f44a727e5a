/* ordered: keys in order, for lists that go on behind a key. A treap whose node lies in the value: nothing is allocated and nothing can
 * fail. Its shape follows a seeded hash of the keys, so who chooses keys does not choose how deep it gets. Not thread-safe.
 */
#ifndef HF_BASE_ORDERED_H
#define HF_BASE_ORDERED_H

#include "base/bytes.h"

struct hf_ordered_node {
	struct hf_slice key; /* borrowed while the node is in the set; it normally lies in the value, too */
	uint64_t rank;
	struct hf_ordered_node *low, *high;
};
struct hf_ordered {
	struct hf_ordered_node *root;
	uint64_t seed;
};

/* The key must not be in the set. */
void hf_ordered_put(struct hf_ordered *set, struct hf_ordered_node *node, struct hf_slice key);
void hf_ordered_remove(struct hf_ordered *set, struct hf_ordered_node *node); /* one that is in it */
struct hf_ordered_node *hf_ordered_get(const struct hf_ordered *set, struct hf_slice key); /* NULL */
/* The first whose key comes behind this one, which need not be there; the empty key is before all others. NULL at the end. */
struct hf_ordered_node *hf_ordered_after(const struct hf_ordered *set, struct hf_slice key);

#endif
