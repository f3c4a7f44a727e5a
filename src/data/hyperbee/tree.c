/* Loading the writer's tree, and putting. A change first finds and loads all that it will touch, which may have to wait, and then changes
 * it; from then on only memory can fail, and that gives the tree up. */
#include "data/hyperbee/tree.h"

#include <stdlib.h>

#include "base/array.h"

/* ---- Loading ---- */

void hf_bee_tree_drop(struct hf_bee *bee)
{
	struct hf_bee_tree *tree = bee->tree;

	if (tree == NULL)
		return;
	hf_arena_free(&tree->arena);
	hf_arena_free(&tree->values);
	free(tree->pending);
	free(tree->levels);
	free(tree);
	bee->tree = NULL;
}

/* A node as its block has it, with pointers to its children. */
static int load_node(struct hf_bee *bee, uint64_t seq, uint32_t level, struct hf_bee_tree_node **out)
{
	const struct hf_bee_node *from;
	struct hf_bee_block *block;
	struct hf_bee_tree_node *node;
	struct hf_bee_pointer *pointers;
	uint32_t hint = UINT32_MAX;
	int status = hf_bee_node_at(&bee->latest, seq, level, &hint, &block, &from);

	if (status != HF_OK)
		return status;
	node = hf_arena_alloc(&bee->tree->arena, sizeof *node);
	pointers = from->child_count == 0 ? NULL : hf_arena_alloc(&bee->tree->arena, from->child_count * sizeof *pointers);
	if (node == NULL || (from->child_count > 0 && pointers == NULL))
		return HF_ENOMEM;
	node->key_count = from->key_count;
	node->child_count = from->child_count;
	for (unsigned i = 0; i < from->key_count; i++)
		node->keys[i].seq = from->keys[i].seq;
	for (unsigned i = 0; i < from->child_count; i++) {
		pointers[i].seq = from->children[i].seq;
		pointers[i].level = from->children[i].level;
		node->children[i] = &pointers[i];
	}
	*out = node;
	return HF_OK;
}

int hf_bee_tree_load(struct hf_bee *bee, struct hf_bee_pointer *pointer)
{
	struct hf_bee_tree_node *node;
	int status;

	if (pointer->node != NULL)
		return HF_OK;
	status = load_node(bee, pointer->seq, pointer->level, &node);
	if (status != HF_OK)
		return status;
	if (node->key_count == 0)
		return HF_EMALFORMED;
	pointer->node = node;
	return HF_OK;
}

static int load_key(struct hf_bee *bee, struct hf_bee_tree_key *key)
{
	static const uint8_t nothing;
	uint32_t hint = UINT32_MAX;
	struct hf_bee_block *block;
	int status = hf_bee_block_at(&bee->latest, key->seq, &hint, &block);

	if (status != HF_OK)
		return status;
	key->bytes = block->key_length == 0 ? &nothing : hf_arena_copy(&bee->tree->arena, block->key, block->key_length);
	key->length = block->key_length;
	return key->bytes != NULL ? HF_OK : HF_ENOMEM;
}

static int make_tree(struct hf_bee *bee)
{
	struct hf_bee_tree *tree = calloc(1, sizeof *tree);
	int status = HF_OK;

	if (tree == NULL)
		return HF_ENOMEM;
	bee->tree = tree;
	tree->length = hf_core_length(bee->core);
	tree->fork = hf_core_fork(bee->core);
	if (tree->length > 1)
		status = load_node(bee, tree->length - 1, 0, &tree->root);
	else
		tree->root = hf_arena_alloc(&tree->arena, sizeof *tree->root);
	if (status == HF_OK && tree->root == NULL)
		status = HF_ENOMEM;
	if (status != HF_OK)
		hf_bee_tree_drop(bee);
	return status;
}

int hf_bee_tree_begin(struct hf_bee *bee, size_t bytes)
{
	struct hf_bee_tree *tree = bee->tree;
	struct hf_slice header = hf_buffer_slice(&bee->header);
	int status = HF_OK;

	if (!hf_core_is_writable(bee->core))
		return HF_EDENIED;
	hf_bee_view_begin(&bee->latest);
	if (tree != NULL && (tree->length != hf_core_length(bee->core) || tree->fork != hf_core_fork(bee->core))) {
		status = tree->pending_count > 0 ? HF_ECANCELED : HF_OK;
		hf_bee_tree_drop(bee);
	}
	if (status != HF_OK)
		return status;
	if (bytes > HF_BEE_ENTRY_BYTES_MAX)
		return HF_ETOOBIG;
	if (bee->tree != NULL && (bee->tree->pending_count >= HF_BEE_PENDING_COUNT_MAX
		|| bee->tree->pending_bytes + bytes > HF_BEE_PENDING_BYTES_MAX))
		return HF_EBUSY;
	if (hf_core_length(bee->core) == 0)
		status = hf_core_append(bee->core, &header, 1, NULL);
	return status == HF_OK && bee->tree == NULL ? make_tree(bee) : status;
}

/* ---- Finding ---- */

static int search(struct hf_bee *bee, struct hf_bee_tree_node *node, struct hf_slice key, struct hf_bee_path *path)
{
	unsigned start = 0, end = node->key_count;

	while (start < end) {
		unsigned middle = (start + end) / 2;
		struct hf_bee_tree_key *found = &node->keys[middle];
		int status = found->bytes != NULL ? HF_OK : load_key(bee, found);

		if (status != HF_OK)
			return status;
		int order = hf_slice_compare(key, hf_slice(found->bytes, found->length));

		if (order == 0) {
			path->is_there = true;
			start = middle;
			break;
		}
		if (order < 0)
			end = middle;
		else
			start = middle + 1;
	}
	path->steps[path->count++] = (struct hf_bee_step){node, start};
	return HF_OK;
}

int hf_bee_tree_find(struct hf_bee *bee, struct hf_slice key, struct hf_bee_path *path)
{
	struct hf_bee_tree_node *node = bee->tree->root;
	int status;

	path->count = 0;
	path->is_there = false;
	while ((status = search(bee, node, key, path)) == HF_OK && !path->is_there && node->child_count > 0) {
		struct hf_bee_pointer *child = node->children[path->steps[path->count - 1].index];

		status = path->count < HF_BEE_DEPTH_MAX ? hf_bee_tree_load(bee, child) : HF_EMALFORMED;
		if (status != HF_OK)
			break;
		node = child->node;
	}
	return status;
}

int hf_bee_tree_push(struct hf_bee *bee, struct hf_bee_path *path, unsigned index)
{
	struct hf_bee_step *last = &path->steps[path->count - 1];
	int status;

	if (path->count == HF_BEE_DEPTH_MAX)
		return HF_EMALFORMED;
	status = hf_bee_tree_load(bee, last->node->children[index]);
	if (status != HF_OK)
		return status;
	last->index = index;
	path->steps[path->count++] = (struct hf_bee_step){last->node->children[index]->node, 0};
	return HF_OK;
}

/* The newest put of a key, which may be pending. */
static int entry_at(struct hf_bee *bee, uint64_t seq, struct hf_bee_entry *entry)
{
	const struct hf_bee_tree *tree = bee->tree;

	if (seq >= tree->length) {
		const struct hf_bee_pending *pending = &tree->pending[seq - tree->length];

		*entry = (struct hf_bee_entry){.seq = seq, .key = pending->key, .value = pending->value, .has_value = pending->has_value};
		return HF_OK;
	}
	return hf_bee_entry_at(&bee->latest, seq, entry);
}

/* The block of the core that has a node on the way and the key, 0 when none has. It answers in a view, and so it does here: in a tree that
 * the package has left out of order, the key need not be where the way ends. */
static int find_target(struct hf_bee *bee, const struct hf_bee_path *path, struct hf_slice key, uint64_t *target)
{
	int status = HF_OK;

	*target = 0;
	for (unsigned i = 0; i + 1 < path->count && *target == 0 && status == HF_OK; i++) {
		uint64_t seq = path->steps[i].node->children[path->steps[i].index]->seq;
		uint32_t hint = UINT32_MAX;
		struct hf_bee_block *block;

		if (seq >= bee->tree->length)
			continue;
		status = hf_bee_block_at(&bee->latest, seq, &hint, &block);
		if (status == HF_OK && hf_slice_equal(hf_bee_block_key(block), key))
			*target = seq;
	}
	return status;
}

int hf_bee_get_pending(struct hf_bee *bee, struct hf_slice key, struct hf_bee_entry *entry)
{
	struct hf_bee_path path;
	uint64_t target;
	int status;

	if (hf_bee_pending_count(bee) == 0)
		return hf_bee_get(&bee->latest, key, entry);
	hf_bee_view_begin(&bee->latest);
	status = hf_bee_tree_find(bee, key, &path);
	if (status == HF_OK)
		status = find_target(bee, &path, key, &target);
	if (status != HF_OK)
		return status;
	if (target > 0)
		return hf_bee_target_at(&bee->latest, target, entry);
	const struct hf_bee_step *last = &path.steps[path.count - 1];

	return path.is_there ? entry_at(bee, last->node->keys[last->index].seq, entry) : HF_ENOTFOUND;
}

size_t hf_bee_pending_count(const struct hf_bee *bee)
{
	return bee->tree == NULL ? 0 : bee->tree->pending_count;
}

int hf_bee_tree_check(struct hf_bee *bee, const struct hf_bee_path *path, const struct hf_bee_change *change,
	const struct hf_bee_entry *next)
{
	const struct hf_bee_step *last = &path->steps[path->count - 1];
	struct hf_bee_entry now;
	int status;

	if (change == NULL || !path->is_there || (change->check == NULL && !change->skip_same))
		return HF_OK;
	status = entry_at(bee, last->node->keys[last->index].seq, &now);
	if (status != HF_OK)
		return status;
	if (change->check != NULL && !change->check(change->context, &now, next))
		return HF_ECANCELED;
	if (change->skip_same && !next->is_deletion && now.has_value == next->has_value && hf_slice_equal(now.value, next->value))
		return HF_EDUPLICATE;
	return HF_OK;
}

/* ---- Recording ---- */

/* Lists changed nodes below one, a parent before its children, and points to where they will be. */
static int list_changed(struct hf_bee_tree *tree, struct hf_bee_tree_node *node, uint64_t seq, size_t start)
{
	int status = HF_OK;

	node->is_changed = false;
	for (unsigned i = 0; i < node->child_count && status == HF_OK; i++) {
		struct hf_bee_pointer *child = node->children[i];

		if (child->node == NULL || !child->node->is_changed)
			continue;
		status = hf_array_reserve(&tree->levels, &tree->level_capacity, tree->level_count + 1, sizeof(struct hf_bee_pointer *));
		if (status != HF_OK)
			break;
		child->seq = seq;
		child->level = (uint32_t)(tree->level_count - start);
		tree->levels[tree->level_count++] = child;
		status = list_changed(tree, child->node, seq, start);
	}
	return status;
}

static int copy_value(struct hf_bee_tree *tree, const struct hf_slice *value, struct hf_slice *copy)
{
	*copy = hf_slice(NULL, 0);
	if (value == NULL || value->length == 0)
		return HF_OK;
	*copy = hf_slice(hf_arena_copy(&tree->values, value->data, value->length), value->length);
	return copy->data != NULL ? HF_OK : HF_ENOMEM;
}

int hf_bee_tree_record(struct hf_bee *bee, struct hf_slice key, const struct hf_slice *value)
{
	struct hf_bee_tree *tree = bee->tree;
	struct hf_bee_pending pending = {.key = key, .has_value = value != NULL, .level_start = tree->level_count};
	int status = copy_value(tree, value, &pending.value);

	if (status == HF_OK)
		status = hf_array_reserve(&tree->pending, &tree->pending_capacity, tree->pending_count + 1, sizeof *tree->pending);
	if (status == HF_OK)
		status = hf_array_reserve(&tree->levels, &tree->level_capacity, tree->level_count + 1, sizeof(struct hf_bee_pointer *));
	if (status == HF_OK) {
		tree->levels[tree->level_count++] = NULL;
		status = list_changed(tree, tree->root, tree->length + tree->pending_count, pending.level_start);
	}
	if (status != HF_OK) {
		hf_bee_tree_drop(bee);
		return status;
	}
	pending.level_count = tree->level_count - pending.level_start;
	tree->pending[tree->pending_count++] = pending;
	tree->pending_bytes += key.length + pending.value.length;
	return HF_OK;
}

/* ---- Putting ---- */

static void insert_key(struct hf_bee_tree_node *node, unsigned index, struct hf_bee_tree_key key)
{
	memmove(node->keys + index + 1, node->keys + index, (node->key_count - index) * sizeof key);
	node->keys[index] = key;
	node->key_count++;
}

static struct hf_bee_pointer *point_to(struct hf_bee_tree *tree, struct hf_bee_tree_node *node)
{
	struct hf_bee_pointer *pointer = hf_arena_alloc(&tree->arena, sizeof *pointer);

	if (pointer != NULL)
		pointer->node = node;
	return pointer;
}

/* A node with a key too many: its last half goes to a new node on the right, and the key between them comes out. */
static struct hf_bee_pointer *split(struct hf_bee_tree *tree, struct hf_bee_tree_node *node, struct hf_bee_tree_key *median)
{
	struct hf_bee_tree_node *right = hf_arena_alloc(&tree->arena, sizeof *right);
	struct hf_bee_pointer *pointer = right == NULL ? NULL : point_to(tree, right);
	unsigned half = HF_BEE_NODE_KEY_COUNT_MAX / 2;

	if (pointer == NULL)
		return NULL;
	memcpy(right->keys, node->keys + half + 1, half * sizeof *right->keys);
	right->key_count = (uint8_t)half;
	if (node->child_count > 0) {
		memcpy(right->children, node->children + half + 1, (half + 1) * sizeof *right->children);
		right->child_count = node->child_count = (uint8_t)(half + 1);
	}
	right->is_changed = true;
	*median = node->keys[half];
	node->key_count = (uint8_t)half;
	return pointer;
}

static int split_root(struct hf_bee_tree *tree, struct hf_bee_pointer *right, struct hf_bee_tree_key median)
{
	struct hf_bee_tree_node *root = hf_arena_alloc(&tree->arena, sizeof *root);
	struct hf_bee_pointer *left = point_to(tree, tree->root);

	if (root == NULL || left == NULL)
		return HF_ENOMEM;
	insert_key(root, 0, median);
	root->children[0] = left;
	root->children[1] = right;
	root->child_count = 2;
	tree->root = root;
	return HF_OK;
}

static int insert(struct hf_bee_tree *tree, const struct hf_bee_path *path, struct hf_bee_tree_key key)
{
	unsigned level = path->count - 1;
	struct hf_bee_pointer *right;

	insert_key(path->steps[level].node, path->steps[level].index, key);
	for (;; level--) {
		struct hf_bee_tree_node *node = path->steps[level].node;

		if (node->key_count <= HF_BEE_NODE_KEY_COUNT_MAX)
			return HF_OK;
		right = split(tree, node, &key);
		if (right == NULL)
			return HF_ENOMEM;
		if (level == 0)
			return split_root(tree, right, key);
		struct hf_bee_tree_node *parent = path->steps[level - 1].node;
		unsigned index = path->steps[level - 1].index;

		insert_key(parent, index, key);
		memmove(parent->children + index + 2, parent->children + index + 1,
			(parent->child_count - index - 1u) * sizeof *parent->children);
		parent->children[index + 1] = right;
		parent->child_count++;
	}
}

/* The package marks inner nodes on its way down, and leaves it so when the change is refused: they are written with the batch's next. */
static void mark(struct hf_bee_tree *tree, const struct hf_bee_path *path, bool is_refused)
{
	for (unsigned i = 0; i < path->count; i++)
		if (!is_refused || path->steps[i].node->child_count > 0)
			path->steps[i].node->is_changed = true;
	tree->has_stray_marks |= is_refused;
}

int hf_bee_put(struct hf_bee *bee, struct hf_slice key, const struct hf_slice *value, const struct hf_bee_change *change)
{
	struct hf_slice content = value != NULL ? *value : hf_slice(NULL, 0);
	struct hf_bee_path path;
	int status = hf_bee_tree_begin(bee, key.length + content.length);

	if (status == HF_OK)
		status = hf_bee_tree_find(bee, key, &path);
	if (status != HF_OK)
		return status;
	struct hf_bee_tree *tree = bee->tree;
	uint64_t seq = tree->length + tree->pending_count;
	struct hf_bee_entry next = {.seq = seq, .key = key, .value = content, .has_value = value != NULL};
	struct hf_bee_step *last = &path.steps[path.count - 1];

	status = hf_bee_tree_check(bee, &path, change, &next);
	if (status == HF_ECANCELED || status == HF_EDUPLICATE)
		mark(tree, &path, true);
	if (status != HF_OK)
		return status;
	mark(tree, &path, false);
	if (path.is_there) {
		last->node->keys[last->index].seq = seq;
		key.data = last->node->keys[last->index].bytes;
		return hf_bee_tree_record(bee, key, value);
	}
	key.data = hf_arena_copy(&tree->arena, key.data, key.length);
	status = key.data == NULL ? HF_ENOMEM : insert(tree, &path, (struct hf_bee_tree_key){seq, key.data, key.length});
	if (status == HF_OK)
		return hf_bee_tree_record(bee, key, value);
	hf_bee_tree_drop(bee);
	return status;
}
