/* Taking a key out, and bringing nodes that became too small back to size with their siblings. */
#include "data/hyperbee/tree.h"

/* ---- What will be touched ---- */

/* From a child down its one side to the leaf. */
static int go_down(struct hf_bee *bee, struct hf_bee_path *path, unsigned index, bool to_the_right)
{
	int status = hf_bee_tree_push(bee, path, index);

	while (status == HF_OK && path->steps[path->count - 1].node->child_count > 0) {
		const struct hf_bee_tree_node *node = path->steps[path->count - 1].node;

		status = hf_bee_tree_push(bee, path, to_the_right ? node->child_count - 1u : 0);
	}
	return status;
}

/* The key of an inner node is replaced by its neighbour in a leaf: by the one on the right only if that leaf is the larger. */
static int go_to_neighbour(struct hf_bee *bee, struct hf_bee_path *path, bool *is_right)
{
	unsigned count = path->count, index = path->steps[count - 1].index;
	struct hf_bee_path right = *path;
	int status = go_down(bee, path, index, true);

	if (status == HF_OK)
		status = go_down(bee, &right, index + 1, false);
	if (status != HF_OK)
		return status;
	*is_right = path->steps[path->count - 1].node->key_count < right.steps[right.count - 1].node->key_count;
	if (*is_right)
		*path = right;
	return HF_OK;
}

struct siblings {
	struct hf_bee_tree_node *left, *right; /* NULL: none */
};

static int load_sibling(struct hf_bee *bee, const struct hf_bee_step *parent, int index, const struct hf_bee_tree_node *node,
	struct hf_bee_tree_node **out)
{
	*out = NULL;
	if (index < 0 || index >= parent->node->child_count)
		return HF_OK;
	int status = hf_bee_tree_load(bee, parent->node->children[index]);

	if (status != HF_OK)
		return status;
	*out = parent->node->children[index]->node;
	return ((*out)->child_count == 0) == (node->child_count == 0) ? HF_OK : HF_EMALFORMED;
}

static struct siblings siblings_of(const struct hf_bee_step *parent)
{
	const struct hf_bee_tree_node *node = parent->node;
	unsigned index = parent->index;

	return (struct siblings){index > 0 ? node->children[index - 1]->node : NULL,
		index + 1 < node->child_count ? node->children[index + 1]->node : NULL};
}

static bool can_give(const struct hf_bee_tree_node *node)
{
	return node != NULL && node->key_count > HF_BEE_NODE_KEY_COUNT_MIN;
}

/* Loads what rebalancing will look at, by counting keys as it will. */
static int load_siblings(struct hf_bee *bee, const struct hf_bee_path *path)
{
	unsigned key_count = path->steps[path->count - 1].node->key_count - 1u;

	for (unsigned level = path->count - 1; level > 0 && key_count < HF_BEE_NODE_KEY_COUNT_MIN; level--) {
		const struct hf_bee_step *parent = &path->steps[level - 1];
		const struct hf_bee_tree_node *node = path->steps[level].node;
		struct siblings beside;
		int status = load_sibling(bee, parent, (int)parent->index - 1, node, &beside.left);

		if (status == HF_OK)
			status = load_sibling(bee, parent, (int)parent->index + 1, node, &beside.right);
		if (status != HF_OK)
			return status;
		if (can_give(beside.left) || can_give(beside.right))
			break;
		key_count = parent->node->key_count - 1u;
	}
	return HF_OK;
}

/* ---- Changing ---- */

static struct hf_bee_tree_key take_key(struct hf_bee_tree_node *node, unsigned index)
{
	struct hf_bee_tree_key key = node->keys[index];

	node->key_count--;
	memmove(node->keys + index, node->keys + index + 1, (node->key_count - index) * sizeof key);
	return key;
}

static struct hf_bee_pointer *take_child(struct hf_bee_tree_node *node, unsigned index)
{
	struct hf_bee_pointer *child = node->children[index];

	node->child_count--;
	memmove(node->children + index, node->children + index + 1, (node->child_count - index) * sizeof child);
	return child;
}

static void put_key(struct hf_bee_tree_node *node, unsigned index, struct hf_bee_tree_key key)
{
	memmove(node->keys + index + 1, node->keys + index, (node->key_count - index) * sizeof key);
	node->keys[index] = key;
	node->key_count++;
}

static void put_child(struct hf_bee_tree_node *node, unsigned index, struct hf_bee_pointer *child)
{
	memmove(node->children + index + 1, node->children + index, (node->child_count - index) * sizeof child);
	node->children[index] = child;
	node->child_count++;
}

static void borrow_from_left(struct hf_bee_step *parent, struct hf_bee_tree_node *left, struct hf_bee_tree_node *node)
{
	left->is_changed = true;
	put_key(node, 0, parent->node->keys[parent->index - 1]);
	if (left->child_count > 0)
		put_child(node, 0, take_child(left, left->child_count - 1u));
	parent->node->keys[parent->index - 1] = take_key(left, left->key_count - 1u);
}

static void borrow_from_right(struct hf_bee_step *parent, struct hf_bee_tree_node *node, struct hf_bee_tree_node *right)
{
	right->is_changed = true;
	put_key(node, node->key_count, parent->node->keys[parent->index]);
	if (right->child_count > 0)
		put_child(node, node->child_count, take_child(right, 0));
	parent->node->keys[parent->index] = take_key(right, 0);
}

/* right goes into left, with the parent's key between them, which is at index. */
static void merge(struct hf_bee_tree_node *parent, unsigned index, struct hf_bee_tree_node *left, struct hf_bee_tree_node *right)
{
	left->is_changed = true;
	put_key(left, left->key_count, take_key(parent, index));
	for (unsigned i = 0; i < right->key_count; i++)
		put_key(left, left->key_count, right->keys[i]);
	for (unsigned i = 0; i < right->child_count; i++)
		put_child(left, left->child_count, right->children[i]);
	take_child(parent, index + 1)->seq = 0; /* so that no block keeps it */
}

static void rebalance(struct hf_bee_tree *tree, struct hf_bee_path *path)
{
	struct hf_bee_tree_node *root = tree->root;

	for (unsigned level = path->count - 1; level > 0; level--) {
		struct hf_bee_tree_node *node = path->steps[level].node;
		struct hf_bee_step *parent = &path->steps[level - 1];

		if (node->key_count >= HF_BEE_NODE_KEY_COUNT_MIN)
			return;
		struct siblings beside = siblings_of(parent);

		if (can_give(beside.left)) {
			borrow_from_left(parent, beside.left, node);
			return;
		}
		if (can_give(beside.right)) {
			borrow_from_right(parent, node, beside.right);
			return;
		}
		if (beside.left != NULL)
			merge(parent->node, parent->index - 1, beside.left, node);
		else
			merge(parent->node, parent->index, node, beside.right);
	}
	if (root->key_count == 0 && root->child_count > 0)
		tree->root = root->children[0]->node;
}

/* path ends where the key is. */
static int take_out(struct hf_bee *bee, struct hf_bee_path *path)
{
	struct hf_bee_step *at = &path->steps[path->count - 1];
	struct hf_bee_tree_node *node = at->node, *leaf;
	unsigned index = at->index;
	bool is_inner = node->child_count > 0, is_right = false;
	int status = is_inner ? go_to_neighbour(bee, path, &is_right) : HF_OK;

	if (status == HF_OK)
		status = load_siblings(bee, path);
	if (status != HF_OK)
		return status;
	leaf = path->steps[path->count - 1].node;
	struct hf_bee_tree_key key = take_key(leaf, !is_inner ? index : is_right ? 0 : leaf->key_count - 1u);

	if (is_inner)
		node->keys[index] = key;
	for (unsigned i = 0; i < path->count; i++)
		path->steps[i].node->is_changed = true;
	rebalance(bee->tree, path);
	return HF_OK;
}

int hf_bee_del(struct hf_bee *bee, struct hf_slice key, const struct hf_bee_change *change)
{
	struct hf_bee_path path;
	int status = hf_bee_tree_begin(bee, key.length);

	if (status == HF_OK)
		status = hf_bee_tree_find(bee, key, &path);
	if (status != HF_OK)
		return status;
	if (!path.is_there)
		return HF_ENOTFOUND;
	const struct hf_bee_step *last = &path.steps[path.count - 1];
	struct hf_bee_entry next = {.seq = bee->tree->length + bee->tree->pending_count, .key = key, .is_deletion = true};
	struct hf_slice own = hf_slice(last->node->keys[last->index].bytes, key.length);

	status = hf_bee_tree_check(bee, &path, change, &next);
	if (status == HF_OK)
		status = take_out(bee, &path);
	return status == HF_OK ? hf_bee_tree_record(bee, own, NULL) : status;
}
