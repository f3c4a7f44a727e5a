/* The numbering of nodes, the tree as it grows, and byte seeks: against vectors and against counting. */
#include "core_model.h"

#include "data/hypercore/seek.h"
#include "support/vectors.h"

static int set_up(void **state) { return hf_crypto_init(); }

struct patch {
	json_t *expected;
	size_t count;
};

static int take_any(void *context, uint64_t index, struct hf_tree_node *out)
{
	*out = (struct hf_tree_node){.index = index};
	return HF_OK;
}

static int expect_made(void *context, const struct hf_tree_node *nodes, uint32_t count)
{
	struct patch *patch = context;

	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(nodes[i].index, json_integer_value(json_array_get(patch->expected, patch->count++)));
	return HF_OK;
}

/* The nodes that come to be when a tree grows. */
static void expect_patch(const json_t *item)
{
	struct patch patch = {.expected = vectors_get(item, "patch")};
	struct hf_tree_source any = {.take = take_any}, counted = {.context = &patch, .take = take_any, .made = expect_made};
	struct hf_tree tree = {0};

	assert_int_equal(hf_tree_grow(&tree, vectors_uint(item, "from") / 2, &any), HF_OK);
	assert_int_equal(hf_tree_grow(&tree, vectors_uint(item, "to") / 2, &counted), HF_OK);
	assert_int_equal(patch.count, json_array_size(patch.expected));
}

static void test_numbering_is_the_packages(void **state)
{
	json_t *file = vectors_load("hypercore/flat-tree.json"), *item;
	size_t i;

	json_array_foreach(vectors_array(file, "nodes", 33), i, item) {
		uint64_t index = vectors_uint(item, "index");
		unsigned depth = (unsigned)vectors_uint(item, "depth");

		assert_int_equal(hf_flat_depth(index), depth);
		assert_int_equal(hf_flat_offset(index), vectors_uint(item, "offset"));
		assert_int_equal(hf_flat_index(depth, vectors_uint(item, "offset")), index);
		assert_int_equal(hf_flat_parent(index), vectors_uint(item, "parent"));
		assert_int_equal(hf_flat_sibling(index), vectors_uint(item, "sibling"));
		assert_int_equal(hf_flat_is_left(index), hf_flat_sibling(index) > index);
		if (depth > 0) {
			assert_int_equal(hf_flat_left_child(index), vectors_uint(item, "leftChild"));
			assert_int_equal(hf_flat_right_child(index), vectors_uint(item, "rightChild"));
		}
		assert_int_equal(hf_flat_left_span(index), vectors_uint(item, "leftSpan"));
		assert_int_equal(hf_flat_right_span(index), vectors_uint(item, "rightSpan"));
		assert_int_equal(hf_flat_node_count(index), vectors_uint(item, "count"));
		assert_int_equal(hf_flat_leaf_count(index), vectors_uint(item, "countLeaves"));
	}
	json_array_foreach(vectors_array(file, "fullRoots", 18), i, item) {
		struct hf_flat_roots at = {.end = 2 * vectors_uint(item, "length")};
		json_t *roots = vectors_get(item, "roots"), *root;
		uint64_t index;
		size_t j;

		json_array_foreach(roots, j, root) {
			assert_true(hf_flat_roots_next(&at, &index));
			assert_int_equal(index, json_integer_value(root));
		}
		assert_false(hf_flat_roots_next(&at, &index));
	}
	json_array_foreach(vectors_array(file, "patch", 5), i, item)
		expect_patch(item);
	json_decref(file);
}

static void test_numbering_holds_for_the_largest_trees(void **state)
{
	uint64_t last = 2 * (HF_FLAT_LENGTH_MAX - 1), root, node = last;
	struct hf_flat_roots at = {.end = 2 * HF_FLAT_LENGTH_MAX};

	assert_true(hf_flat_roots_next(&at, &root));
	assert_int_equal(root, HF_FLAT_LENGTH_MAX - 1);
	assert_false(hf_flat_roots_next(&at, &root));
	for (unsigned depth = 0; depth < 52; depth++) {
		assert_int_equal(hf_flat_depth(node), depth);
		assert_int_equal(hf_flat_right_span(node), last);
		assert_int_equal(hf_flat_right_child(hf_flat_parent(node)), node);
		node = hf_flat_parent(node);
		assert_true(hf_flat_contains(node, last));
	}
	assert_int_equal(node, HF_FLAT_LENGTH_MAX - 1);
	at = (struct hf_flat_roots){.end = 2 * (HF_FLAT_LENGTH_MAX - 1)};
	for (int i = 0; i < 52; i++)
		assert_true(hf_flat_roots_next(&at, &root));
	assert_false(hf_flat_roots_next(&at, &root));
}

static void expect_tree(const json_t *step, const struct hf_tree *tree)
{
	uint8_t hash[32];

	assert_int_equal(tree->length, vectors_uint(step, "length"));
	assert_int_equal(tree->fork, vectors_uint(step, "fork"));
	hf_tree_hash(tree, hash);
	vectors_expect(step, "treeHash", hash, 32);
}

static void expect_signature(const json_t *step, const json_t *core, const struct hf_tree *tree)
{
	struct hf_buffer encoded = {0}, signature = {0};
	struct hf_manifest manifest;
	uint8_t key[32], hash[32], signable[HF_SIGNABLE_BYTES_MAX];
	size_t length;

	vectors_bytes(key, 32, core, "key");
	assert_int_equal(hf_manifest_decode(&manifest, vectors_hex(&encoded, core, "manifest")), HF_OK);
	vectors_hex(&signature, step, "signature");
	assert_int_equal(hf_signature_verify(&manifest, key, tree, hf_buffer_slice(&signature)), HF_OK);
	hf_tree_hash(tree, hash);
	length = hf_signature_signable(signable, &manifest, key, 0, hash, tree->length, tree->fork);
	if (json_object_get(step, "signable") != NULL)
		vectors_expect(step, "signable", signable, length);
	for (size_t i = 0; i < 8 * signature.length; i += 37) {
		signature.data[i / 8] ^= (uint8_t)(1 << i % 8);
		/* a signer's signature says nothing of patches when the manifest allows none */
		if (i / 8 < 66)
			assert_int_equal(hf_signature_verify(&manifest, key, tree, hf_buffer_slice(&signature)), HF_EBADSIG);
		signature.data[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	hf_buffer_free(&encoded);
	hf_buffer_free(&signature);
}

static void run_core(const json_t *vector)
{
	struct core *core = core_new();
	struct hf_buffer block = {0};
	json_t *step, *truncated = vectors_get(vector, "truncateTo5");
	size_t i;

	json_array_foreach(vectors_array(vector, "steps", 6), i, step) {
		json_t *roots = vectors_get(step, "roots"), *root;
		size_t j;

		core_append_numbered(core, vectors_uint(step, "length"));
		expect_tree(step, &core->tree);
		expect_signature(step, vector, &core->tree);
		assert_int_equal(core->tree.byte_length, vectors_uint(step, "byteLength"));
		assert_int_equal(core->tree.root_count, json_array_size(roots));
		json_array_foreach(roots, j, root) {
			assert_int_equal(core->tree.roots[j].index, vectors_uint(root, "index"));
			assert_int_equal(core->tree.roots[j].size, vectors_uint(root, "size"));
			vectors_expect(root, "hash", core->tree.roots[j].hash, 32);
			assert_ptr_equal(hf_tree_root(&core->tree, core->tree.roots[j].index), &core->tree.roots[j]);
		}
	}
	core_truncate(core, 5, 1);
	expect_tree(vectors_get(truncated, "afterTruncate"), &core->tree);
	expect_signature(vectors_get(truncated, "afterTruncate"), vector, &core->tree);
	core_append(core, vectors_hex(&block, truncated, "appended"));
	expect_tree(vectors_get(truncated, "afterAppend"), &core->tree);
	expect_signature(vectors_get(truncated, "afterAppend"), vector, &core->tree);
	hf_buffer_free(&block);
	free(core);
}

static void test_cores_grow_and_are_cut_like_the_packages(void **state)
{
	json_t *file = vectors_load("hypercore/merkle.json"), *item;
	struct core *core = core_new();
	struct hf_tree_reader reader = core_reader(core);
	size_t i;

	core_append_numbered(core, 8);
	json_array_foreach(vectors_array(file, "nodesOfLength8", 15), i, item) {
		struct hf_tree_node node;

		assert_int_equal(hf_tree_node(&core->tree, &reader, vectors_uint(item, "index"), &node), HF_OK);
		assert_int_equal(node.size, vectors_uint(item, "size"));
		vectors_expect(item, "hash", node.hash, 32);
	}
	json_array_foreach(vectors_array(file, "seeksOfLength8", 14), i, item) {
		struct hf_seek seek;

		assert_int_equal(hf_seek(&core->tree, &reader, vectors_uint(item, "bytes"), 0, &seek), HF_OK);
		assert_false(seek.needs_network);
		assert_int_equal(seek.block, vectors_uint(item, "block"));
		assert_int_equal(seek.offset, vectors_uint(item, "relativeOffset"));
	}
	core_append_numbered(core, 100);
	json_array_foreach(vectors_array(file, "blocks", 100), i, item) {
		struct hf_buffer block = {0};

		assert_true(hf_slice_equal(vectors_from_hex(&block, json_string_value(item)), core_block(core, i)));
		hf_buffer_free(&block);
	}
	json_array_foreach(vectors_array(file, "cores", 3), i, item)
		run_core(item);
	free(core);
	json_decref(file);
}

static void test_growing_stops_at_the_largest_length_and_size(void **state)
{
	struct hf_tree_node nodes[HF_TREE_APPEND_NODES_MAX], half = {.index = HF_TREE_LENGTH_MAX / 2 - 1, .size = 5};
	struct hf_tree_node other = {.index = hf_flat_sibling(half.index), .size = HF_TREE_BYTES_MAX - 5};
	struct hf_tree tree = {0}, shorter;
	struct hf_tree_source none = {0};
	uint8_t hash[32] = {0};
	uint32_t count;

	assert_int_equal(hf_tree_append(&tree, HF_TREE_BYTES_MAX + 1, hash, nodes, &count), HF_ETOOBIG);
	assert_int_equal(hf_tree_push(&tree, &other, nodes, &count), HF_EINVAL);
	assert_int_equal(hf_tree_push(&tree, &half, nodes, &count), HF_OK);
	assert_int_equal(tree.length, HF_TREE_LENGTH_MAX / 2);
	other.size++;
	assert_int_equal(hf_tree_push(&tree, &other, nodes, &count), HF_ETOOBIG);
	assert_int_equal(tree.length, HF_TREE_LENGTH_MAX / 2);
	other.size--;
	assert_int_equal(hf_tree_push(&tree, &other, nodes, &count), HF_OK);
	assert_int_equal(count, 2);
	assert_int_equal(tree.root_count, 1);
	assert_int_equal(tree.byte_length, HF_TREE_BYTES_MAX);
	assert_int_equal(hf_tree_append(&tree, 0, hash, nodes, &count), HF_ETOOBIG);
	assert_int_equal(hf_tree_grow(&tree, HF_TREE_LENGTH_MAX + 1, &none), HF_ETOOBIG);
	assert_int_equal(hf_tree_at(&tree, NULL, HF_TREE_LENGTH_MAX + 1, &shorter), HF_EINVAL);
	half.size = HF_TREE_BYTES_MAX;
	assert_int_equal(hf_tree_parent(&nodes[0], &half, &other), HF_ETOOBIG);
}

static void test_earlier_lengths_are_read_back(void **state)
{
	struct core *core = core_new();
	struct hf_tree_reader reader = core_reader(core);
	struct hf_tree steps[65], back;

	for (uint64_t length = 0; length <= 64; length++) {
		core_append_numbered(core, length);
		steps[length] = core->tree;
	}
	for (uint64_t length = 0; length <= 64; length++) {
		assert_int_equal(hf_tree_at(&core->tree, &reader, length, &back), HF_OK);
		assert_int_equal(back.byte_length, steps[length].byte_length);
		assert_int_equal(back.root_count, steps[length].root_count);
		assert_memory_equal(back.roots, steps[length].roots, back.root_count * sizeof back.roots[0]);
	}
	core->held[0] = false;
	assert_int_equal(hf_tree_at(&core->tree, &reader, 1, &back), HF_ENOTFOUND);
	core->nodes[1].size = HF_TREE_BYTES_MAX;
	assert_int_equal(hf_tree_at(&core->tree, &reader, 3, &back), HF_ECORRUPT);
	free(core);
}

static void check_seeks(struct core *core, uint64_t padding)
{
	struct hf_tree_reader reader = core_reader(core);
	uint64_t at = 0, offset;
	struct hf_seek seek;

	for (uint64_t block = 0; block < core->tree.length; block++) {
		assert_int_equal(hf_seek_offset(&core->tree, &reader, 2 * block, padding, &offset), HF_OK);
		assert_int_equal(offset, at);
		for (uint64_t byte = 0; byte < core->block_bytes[block] - padding; byte++, at++) {
			assert_int_equal(hf_seek(&core->tree, &reader, at, padding, &seek), HF_OK);
			assert_false(seek.needs_network);
			assert_int_equal(seek.block, block);
			assert_int_equal(seek.offset, byte);
		}
	}
	assert_int_equal(hf_seek(&core->tree, &reader, at, padding, &seek), HF_OK);
	assert_int_equal(seek.block, core->tree.length);
	assert_int_equal(hf_seek(&core->tree, &reader, at + 1, padding, &seek), HF_ENOTFOUND);
	assert_int_equal(hf_seek_offset(&core->tree, &reader, 2 * core->tree.length, padding, &offset), HF_OK);
	assert_int_equal(offset, at);
	assert_int_equal(hf_seek_offset(&core->tree, &reader, 2 * core->tree.length + 2, padding, &offset), HF_EINVAL);
}

static void test_every_byte_is_found_and_every_offset(void **state)
{
	struct core *core = core_new();

	for (uint64_t length = 0; length <= 21; length++) {
		core_append_numbered(core, length);
		check_seeks(core, 0);
		check_seeks(core, 5);
	}
	free(core);
}

static void test_a_seek_without_nodes_names_the_blocks_to_ask_for(void **state)
{
	struct core *core = core_new();
	struct hf_tree_reader reader = core_reader(core);
	struct hf_seek seek;
	uint64_t bytes, count;

	core_append_numbered(core, 8);
	core->held[1] = core->held[0] = core->held[2] = false;
	assert_int_equal(hf_seek(&core->tree, &reader, 10, 0, &seek), HF_OK);
	assert_true(seek.needs_network);
	assert_int_equal(seek.start, 0);
	assert_int_equal(seek.end, 4);
	assert_int_equal(hf_seek(&core->tree, &reader, 75, 0, &seek), HF_OK);
	assert_false(seek.needs_network);
	assert_int_equal(hf_seek_offset(&core->tree, &reader, 4, 0, &bytes), HF_ENOTFOUND);
	assert_int_equal(hf_seek_offset(&core->tree, &reader, 8, 0, &bytes), HF_OK);
	assert_int_equal(hf_seek_missing(&core->tree, &reader, 2, &count), HF_OK);
	assert_int_equal(count, 2);
	assert_int_equal(hf_seek_missing(&core->tree, &reader, 8, &count), HF_OK);
	assert_int_equal(count, 0);
	assert_int_equal(hf_seek_missing(&core->tree, &reader, 16, &count), HF_OK);
	assert_int_equal(count, 0);
	core->wait_percent = 100;
	assert_int_equal(hf_seek(&core->tree, &reader, 10, 0, &seek), HF_EWAIT);
	assert_int_equal(hf_seek_offset(&core->tree, &reader, 8, 0, &bytes), HF_EWAIT);
	assert_int_equal(hf_seek_missing(&core->tree, &reader, 2, &count), HF_EWAIT);
	free(core);
}

static void test_sizes_that_cannot_be_are_corrupt(void **state)
{
	struct core *core = core_new();
	struct hf_tree_reader reader = core_reader(core);
	struct hf_seek seek;
	uint64_t bytes;

	core_append_numbered(core, 8);
	assert_int_equal(hf_seek(&core->tree, &reader, 10, 1000, &seek), HF_ECORRUPT);
	assert_int_equal(hf_seek(&core->tree, &reader, 10, UINT64_MAX, &seek), HF_ECORRUPT);
	assert_int_equal(hf_seek_offset(&core->tree, &reader, 8, UINT64_MAX, &bytes), HF_ECORRUPT);
	core->nodes[3].size = 1000;
	assert_int_equal(hf_seek(&core->tree, &reader, 10, 0, &seek), HF_ECORRUPT);
	core->nodes[3].size = HF_TREE_BYTES_MAX;
	core->nodes[9].size = 1;
	assert_int_equal(hf_seek_offset(&core->tree, &reader, 12, 0, &bytes), HF_ECORRUPT);
	free(core);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbering_is_the_packages),
		cmocka_unit_test(test_numbering_holds_for_the_largest_trees),
		cmocka_unit_test(test_cores_grow_and_are_cut_like_the_packages),
		cmocka_unit_test(test_growing_stops_at_the_largest_length_and_size),
		cmocka_unit_test(test_earlier_lengths_are_read_back),
		cmocka_unit_test(test_every_byte_is_found_and_every_offset),
		cmocka_unit_test(test_a_seek_without_nodes_names_the_blocks_to_ask_for),
		cmocka_unit_test(test_sizes_that_cannot_be_are_corrupt),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
