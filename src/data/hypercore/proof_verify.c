/* A proof is a chain of sibling nodes for each part. What is given and what is computed goes into the check; in the end one node per
 * chain is left, which must be one that the upgrade asks for (then the signature vouches for it) or one that we hold. */
#include "data/hypercore/proof.h"

#include <stdlib.h>

#include "base/array.h"
#include "data/hypercore/signature.h"

struct verify {
	struct hf_proof_check *check;
	bool has_top;                /* a chain's end that nothing vouches for yet */
	struct hf_tree_node top;
	bool took_top;               /* the upgrade's last node was it */
	struct hf_compact_reader at; /* of the upgrade's nodes */
};

static int keep(struct hf_proof_check *check, const struct hf_tree_node *node)
{
	int status = hf_array_reserve(&check->nodes, &check->node_capacity, check->node_count + 1, sizeof *check->nodes);

	if (status == HF_OK)
		check->nodes[check->node_count++] = *node;
	return status;
}

static int keep_parent(struct hf_proof_check *check, struct hf_tree_node *at, const struct hf_tree_node *sibling)
{
	struct hf_tree_node parent;
	bool is_left = hf_flat_is_left(at->index);
	int status = hf_tree_parent(&parent, is_left ? at : sibling, is_left ? sibling : at);

	if (status != HF_OK)
		return status;
	*at = parent;
	return keep(check, at);
}

/* Up from start by all of rest, and by the top of an earlier chain where it is the sibling; then ours is the new top. */
static int climb(struct verify *verify, struct hf_tree_node start, struct hf_compact_reader rest)
{
	struct hf_tree_node sibling;
	int status = keep(verify->check, &start);

	while (status == HF_OK && (verify->has_top || hf_compact_left(&rest) > 0)) {
		uint64_t index = hf_flat_sibling(start.index);

		if (verify->has_top && verify->top.index == index) {
			sibling = verify->top;
			verify->has_top = false;
		} else if (!hf_node_list_next(&rest, &sibling) || sibling.index != index) {
			return HF_EBADSIG;
		} else {
			status = keep(verify->check, &sibling);
		}
		if (status == HF_OK)
			status = keep_parent(verify->check, &start, &sibling);
	}
	verify->top = start;
	verify->has_top = true;
	return status;
}

static void leaf_of(struct hf_tree_node *out, const struct hf_proof *proof)
{
	if (proof->block.hash == NULL) {
		hf_tree_leaf(out, proof->block.index, proof->block.value);
		return;
	}
	out->index = 2 * proof->block.index;
	out->size = proof->block.value.length;
	memcpy(out->hash, proof->block.hash, sizeof out->hash);
}

static int verify_parts(struct verify *verify, const struct hf_proof *proof)
{
	struct hf_compact_reader at = hf_compact_reader(proof->seek.nodes.encoded);
	struct hf_tree_node start;
	int status = HF_OK;

	if (proof->has_seek && hf_node_list_next(&at, &start))
		status = climb(verify, start, at);
	if (status != HF_OK)
		return status;
	if (proof->has_block) {
		if (proof->block.index >= HF_TREE_LENGTH_MAX || proof->block.value.length > HF_TREE_BYTES_MAX)
			return HF_ETOOBIG;
		leaf_of(&start, proof);
		return climb(verify, start, hf_compact_reader(proof->block.nodes.encoded));
	}
	if (proof->has_hash) {
		at = hf_compact_reader(proof->hash.nodes.encoded);
		if (!hf_node_list_next(&at, &start) || start.index != proof->hash.index)
			return HF_EBADSIG;
		return climb(verify, start, at);
	}
	return HF_OK;
}

static int take_node(void *context, uint64_t index, struct hf_tree_node *out)
{
	struct verify *verify = context;

	verify->took_top = verify->has_top && verify->top.index == index;
	if (verify->took_top) {
		*out = verify->top;
		verify->has_top = false;
		return HF_OK;
	}
	return hf_node_list_next(&verify->at, out) && out->index == index ? HF_OK : HF_EBADSIG;
}

static int made_nodes(void *context, const struct hf_tree_node *nodes, uint32_t node_count)
{
	struct verify *verify = context;
	int status = HF_OK;

	for (uint32_t i = verify->took_top ? 1 : 0; i < node_count && status == HF_OK; i++)
		status = keep(verify->check, &nodes[i]);
	return status;
}

/* The nodes from the length that was asked for to the end: each is the next root, or below it on the left edge. */
static int add_more(struct verify *verify, struct hf_compact_reader at)
{
	struct hf_tree *tree = &verify->check->tree;
	struct hf_tree_node node, nodes[HF_TREE_APPEND_NODES_MAX];
	uint32_t count;
	int status = HF_OK;

	verify->took_top = false;
	while (status == HF_OK && hf_node_list_next(&at, &node)) {
		if (tree->root_count == 0)
			return HF_EBADSIG;
		uint64_t index = hf_flat_sibling(tree->roots[tree->root_count - 1].index);

		while (index != node.index && hf_flat_depth(index) > 0)
			index = hf_flat_left_child(index);
		if (index != node.index)
			return HF_EBADSIG;
		status = hf_tree_push(tree, &node, nodes, &count);
		if (status == HF_OK)
			status = made_nodes(verify, nodes, count);
	}
	return status;
}

static int check_prologue(const struct hf_manifest *manifest, struct hf_proof_check *check, bool grown)
{
	if (manifest == NULL || manifest->version == 0 || !manifest->has_prologue || !grown)
		return HF_OK;
	if (check->tree.length != manifest->prologue.length)
		return HF_OK;
	hf_tree_hash(&check->tree, check->tree_hash);
	return memcmp(check->tree_hash, manifest->prologue.hash, sizeof check->tree_hash) == 0 ? HF_OK : HF_EBADSIG;
}

static bool respects_prologue(const struct hf_manifest *manifest, uint64_t start, uint64_t length)
{
	if (manifest == NULL || manifest->version == 0 || !manifest->has_prologue || start >= manifest->prologue.length)
		return true;
	return start == 0 && length >= manifest->prologue.length;
}

static int verify_upgrade(struct verify *verify, const struct hf_proof *proof, const struct hf_tree *ours,
	const struct hf_manifest *manifest)
{
	struct hf_proof_check *check = verify->check;
	struct hf_tree_source source = {.context = verify, .take = take_node, .made = made_nodes};
	uint64_t start = proof->upgrade.start, length = proof->upgrade.length;
	int status;

	if (start > HF_TREE_LENGTH_MAX || length > HF_TREE_LENGTH_MAX - start)
		return HF_ETOOBIG;
	if (!respects_prologue(manifest, start, length))
		return HF_EBADSIG;
	hf_tree_copy(&check->tree, ours);
	check->tree.fork = proof->fork;
	verify->at = hf_compact_reader(proof->upgrade.nodes.encoded);
	status = hf_tree_grow(&check->tree, start + length, &source);
	if (status == HF_OK)
		status = check_prologue(manifest, check, check->tree.length > ours->length);
	if (status == HF_OK)
		status = add_more(verify, hf_compact_reader(proof->upgrade.additional_nodes.encoded));
	if (status != HF_OK)
		return status;
	check->has_upgrade = check->tree.length > ours->length;
	if (check->has_upgrade)
		hf_tree_hash(&check->tree, check->tree_hash);
	return HF_OK;
}

/* A top that the upgrade did not take must be held. One that was given, not computed, adds nothing to what we hold, and its size
 * is vouched for by nobody. */
static int verify_top(struct verify *verify, const struct hf_tree *ours, const struct hf_tree_reader *reader, bool computed)
{
	struct hf_tree_node held;
	int status;

	if (!verify->has_top)
		return HF_OK;
	status = hf_tree_node(ours, reader, verify->top.index, &held);
	if (status != HF_OK)
		return status;
	if (memcmp(held.hash, verify->top.hash, sizeof held.hash) != 0)
		return HF_EBADSIG;
	if (!computed)
		verify->check->nodes[0] = held;
	return HF_OK;
}

int hf_proof_verify(const struct hf_proof *proof, const struct hf_tree *ours, const struct hf_tree_reader *reader,
	const struct hf_manifest *manifest, struct hf_proof_check *check)
{
	struct verify verify = {.check = check};
	bool computed;
	int status;

	check->node_count = 0;
	check->has_upgrade = false;
	status = verify_parts(&verify, proof);
	computed = proof->has_block || check->node_count > 1;
	if (status == HF_OK && proof->has_upgrade)
		status = verify_upgrade(&verify, proof, ours, manifest);
	if (status == HF_OK)
		status = verify_top(&verify, ours, reader, computed);
	if (status == HF_OK)
		return HF_OK;
	check->node_count = 0;
	check->has_upgrade = false;
	return status;
}

static int hold_nothing(void *context, uint64_t index, struct hf_tree_node *out)
{
	return HF_ENOTFOUND;
}

int hf_proof_verify_remote(const struct hf_proof *proof, const uint8_t discovery_key[static 32],
	struct hf_proof_check *check, uint8_t key[static HF_CORE_KEY_BYTES])
{
	struct hf_tree nothing = {.fork = proof->fork};
	struct hf_tree_reader reader = {.node = hold_nothing};
	struct hf_manifest manifest;
	uint8_t discovered[32];
	int status;

	if (!proof->has_manifest || !proof->has_upgrade || proof->upgrade.start != 0)
		return HF_EBADSIG;
	status = hf_manifest_decode(&manifest, proof->manifest);
	if (status == HF_OK)
		status = hf_manifest_key(&manifest, key);
	if (status != HF_OK)
		return status;
	hf_discovery_key(discovered, key);
	if (memcmp(discovered, discovery_key, sizeof discovered) != 0)
		return HF_EBADSIG;
	if (manifest.signer_count > 1)
		return HF_EDENIED;
	status = hf_proof_verify(proof, &nothing, &reader, &manifest, check);
	if (status == HF_OK)
		status = check->has_upgrade ? hf_signature_verify(&manifest, key, &check->tree, proof->upgrade.signature) : HF_EBADSIG;
	if (status == HF_OK)
		return HF_OK;
	check->node_count = 0;
	check->has_upgrade = false;
	return status == HF_ENOTFOUND ? HF_EBADSIG : status;
}

void hf_proof_check_free(struct hf_proof_check *check)
{
	free(check->nodes);
	*check = (struct hf_proof_check){.nodes = NULL};
}
