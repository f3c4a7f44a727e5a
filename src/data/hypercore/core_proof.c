/* What goes to peers and what comes from them. */
#include "data/hypercore/core_private.h"

/* ---- Giving ---- */

/* The block as it is in the tree, appended to *bytes. */
static int add_value(struct hf_core *core, uint64_t index, struct hf_buffer *bytes)
{
	struct hf_slice record, value;
	int status = hf_core_block_record(core, index, &record);

	if (status == HF_OK)
		status = hf_layout_block_decode(record, index, NULL, NULL, &value);
	return status == HF_OK ? hf_buffer_append(bytes, value.data, value.length) : status;
}

/* Lists and slices point into *bytes, which moves as it grows: they are kept as offsets until all is there. */
static void rebase(struct hf_slice *slice, const uint8_t *from, const uint8_t *to)
{
	if (slice->length > 0)
		slice->data = to + (slice->data - from);
}

static void rebase_lists(struct hf_proof *proof, const uint8_t *from, const uint8_t *to)
{
	rebase(&proof->block.nodes.encoded, from, to);
	rebase(&proof->hash.nodes.encoded, from, to);
	rebase(&proof->seek.nodes.encoded, from, to);
	rebase(&proof->upgrade.nodes.encoded, from, to);
	rebase(&proof->upgrade.additional_nodes.encoded, from, to);
}

int hf_core_prove(struct hf_core *core, uint64_t fork, const struct hf_proof_request *request, struct hf_buffer *bytes,
	struct hf_proof *proof)
{
	struct hf_tree_reader reader = hf_core_nodes(core);
	size_t start = bytes->length, value_at;
	int status;

	/* What is staged above another fork hides what was committed. */
	if (fork != core->committed_tree.fork || fork != core->tree.fork)
		return HF_ENOTFOUND;
	if (request->has_block && !hf_bitfield_get(&core->blocks, request->block.index))
		return HF_ENOTFOUND;
	status = hf_proof_build(&core->committed_tree, &reader, hf_core_prologue_length(core), request, bytes, proof);
	if (status != HF_OK)
		return status;
	const uint8_t *lists = bytes->data;

	proof->fork = fork;
	value_at = bytes->length;
	if (proof->has_block)
		status = add_value(core, request->block.index, bytes);
	if (status != HF_OK) {
		bytes->length = start;
		return status;
	}
	rebase_lists(proof, lists, bytes->data);
	if (bytes->length > value_at)
		proof->block.value = hf_slice(bytes->data + value_at, bytes->length - value_at);
	if (proof->has_upgrade)
		proof->upgrade.signature = hf_buffer_slice(&core->committed_signature);
	if (request->wants_manifest && core->has_manifest && !core->is_compat) {
		proof->has_manifest = true;
		proof->manifest = hf_buffer_slice(&core->manifest_bytes);
	}
	return HF_OK;
}

int hf_core_can_upgrade_from(struct hf_core *core, uint64_t length)
{
	struct hf_flat_roots at = {.end = 2 * length};
	struct hf_tree_node node;
	uint64_t root;
	int status = HF_OK;

	if (core->committed_tree.length < hf_core_prologue_length(core))
		return HF_ENOTFOUND;
	if (length == 0)
		return HF_OK;
	if (length >= core->committed_tree.length || core->tree.fork != core->committed_tree.fork)
		return HF_ENOTFOUND;
	while (status == HF_OK && hf_flat_roots_next(&at, &root))
		status = hf_core_node(core, root, &node);
	return status;
}

int hf_core_missing_nodes(struct hf_core *core, uint64_t index, uint64_t *count)
{
	struct hf_tree_reader reader = hf_core_nodes(core);

	return hf_seek_missing(&core->tree, &reader, 2 * index, count);
}

/* ---- Taking ---- */

int hf_core_put_manifest(struct hf_core *core, struct hf_slice encoded)
{
	struct hf_batch *batch;
	int status;

	if (core->has_manifest)
		return HF_OK;
	status = hf_core_stage(core, &batch);
	if (status == HF_OK)
		status = hf_core_use_manifest(core, encoded);
	if (status == HF_OK)
		batch->manifest_changed = batch->head_changed = true;
	return status;
}

/* The manifest to judge by: ours, or what the proof brings, or a compat core's. */
static int judge_by(struct hf_core *core, const struct hf_proof *proof, struct hf_manifest *manifest,
	uint8_t bytes[HF_MANIFEST_DEFAULT_BYTES],
	struct hf_failure *failure)
{
	int status;

	if (core->has_manifest) {
		*manifest = core->manifest;
		return HF_OK;
	}
	status = hf_manifest_of_key(manifest, core->key, proof->has_manifest ? proof->manifest : hf_slice(NULL, 0), bytes);
	return status == HF_OK ? HF_OK : hf_fail(failure, status, "the manifest does not belong to the core's key");
}

static int fail_proof(struct hf_failure *failure, int status)
{
	switch (status) {
	case HF_EBADSIG: return hf_fail(failure, status, "a hash of the proof does not match the tree");
	case HF_ENOTFOUND: return hf_fail(failure, status, "the proof does not reach what is held of the tree");
	case HF_ETOOBIG: return hf_fail(failure, status, "the proof tells of more than a core can hold");
	default: return hf_fail(failure, status, "the proof could not be judged: %s", hf_error_text(status));
	}
}

static int check(struct hf_core *core, const struct hf_proof *proof, const struct hf_tree *ours, const struct hf_manifest *manifest,
	struct hf_proof_check *checked, struct hf_failure *failure)
{
	struct hf_tree_reader reader = hf_core_nodes(core);
	int status = hf_proof_verify(proof, ours, &reader, hf_manifest_is_compat(manifest, core->key) ? NULL : manifest, checked);

	if (status != HF_OK)
		return fail_proof(failure, status);
	if (!checked->has_upgrade)
		return HF_OK;
	status = hf_signature_verify(manifest, core->key, &checked->tree, proof->upgrade.signature);
	return status == HF_OK ? HF_OK : hf_fail(failure, status, "the signature over length %llu is not the writer's",
		(unsigned long long)checked->tree.length);
}

/* The nodes that go into the block's own record: those of the path upwards that it completes and that the proof
 * gave. Where it gave one twice, the later was computed from the block. */
static unsigned own_nodes(const struct hf_proof_check *checked, uint64_t block, struct hf_tree_node own[static HF_TREE_APPEND_NODES_MAX])
{
	uint64_t wanted = 2 * block;
	unsigned count = 0;

	for (bool found = true; found && hf_flat_right_span(wanted) == 2 * block; wanted = hf_flat_parent(wanted)) {
		found = false;
		for (size_t i = checked->node_count; i-- > 0 && !found;) {
			if (checked->nodes[i].index != wanted)
				continue;
			own[count++] = checked->nodes[i];
			found = true;
		}
		if (count == HF_TREE_APPEND_NODES_MAX)
			break;
	}
	return count;
}

static int store_block(struct hf_core *core, struct hf_batch *batch, const struct hf_proof *proof,
	struct hf_tree_node own[static HF_TREE_APPEND_NODES_MAX],
	unsigned *own_count)
{
	uint64_t block = proof->block.index;

	*own_count = 0;
	if (!proof->has_block || hf_bitfield_get(&core->blocks, block))
		return HF_OK;
	if (proof->block.value.length <= HF_LAYOUT_INLINE_BYTES_MAX)
		*own_count = own_nodes(&core->check, block, own);
	else
		own[0].size = proof->block.value.length;
	return hf_core_put_block(core, batch, block, own, *own_count, proof->block.value, proof->block.chunk);
}

/* All others are loose. */
static int store_nodes(struct hf_core *core, struct hf_batch *batch, const struct hf_tree_node *own, unsigned own_count)
{
	const struct hf_proof_check *checked = &core->check;
	int status = HF_OK;

	for (size_t i = 0; i < checked->node_count && status == HF_OK; i++) {
		bool is_own = false;

		for (unsigned j = 0; j < own_count; j++)
			is_own |= own[j].index == checked->nodes[i].index;
		if (!is_own)
			status = hf_core_store_node(core, batch, &checked->nodes[i]);
	}
	return status;
}

/* Loads every page that these nodes will change, so that storing them cannot stop halfway. */
static int load_pages(struct hf_core *core, struct hf_batch *batch, const struct hf_tree_node *nodes, size_t count)
{
	int status = HF_OK;

	for (size_t i = 0; i < count && status == HF_OK; i++) {
		unsigned within;

		hf_core_page_for_change(core, batch, hf_layout_page_of(nodes[i].index, &within), &status);
	}
	return status;
}

int hf_core_put_proof(struct hf_core *core, const struct hf_proof *proof, bool *grew, struct hf_failure *failure)
{
	struct hf_tree_node own[HF_TREE_APPEND_NODES_MAX];
	uint8_t bytes[HF_MANIFEST_DEFAULT_BYTES];
	struct hf_manifest manifest;
	struct hf_batch_mark mark;
	struct hf_batch *batch;
	unsigned own_count;
	int status = hf_core_stage(core, &batch);

	*grew = false;
	if (status != HF_OK)
		return status;
	if (proof->fork != core->tree.fork)
		return hf_fail(failure, HF_ENOTFOUND, "the proof is of fork %llu", (unsigned long long)proof->fork);
	if (proof->has_block && proof->block.value.length > HF_CORE_BLOCK_BYTES_MAX)
		return hf_fail(failure, HF_ETOOBIG, "block %llu is larger than %u bytes", (unsigned long long)proof->block.index,
			HF_CORE_BLOCK_BYTES_MAX);
	status = judge_by(core, proof, &manifest, bytes, failure);
	if (status == HF_OK)
		status = check(core, proof, &core->tree, &manifest, &core->check, failure);
	if (status == HF_OK)
		status = load_pages(core, batch, core->check.nodes, core->check.node_count);
	if (status == HF_OK && !core->has_manifest && (core->check.has_upgrade || proof->has_manifest))
		status = hf_core_put_manifest(core, proof->has_manifest ? proof->manifest : hf_slice(NULL, 0));
	if (status == HF_OK && core->check.has_upgrade)
		status = hf_buffer_reserve(&core->signature, proof->upgrade.signature.length);
	if (status != HF_OK)
		return status;
	mark = hf_batch_mark(batch);
	status = store_block(core, batch, proof, own, &own_count);
	if (status == HF_OK)
		status = store_nodes(core, batch, own, own_count);
	if (status == HF_OK && proof->has_block)
		status = hf_bitfield_set(&core->blocks, proof->block.index, proof->block.index + 1);
	if (status != HF_OK) {
		hf_batch_take_back(core, batch, mark);
		return status;
	}
	if (core->check.has_upgrade) {
		hf_core_use_signature(core, proof->upgrade.signature);
		hf_tree_copy(&core->tree, &core->check.tree);
		batch->needs_signature = false;
		*grew = true;
	}
	batch->head_changed |= core->check.has_upgrade || proof->has_block;
	return HF_OK;
}

/* ---- Another fork ---- */

int hf_core_check_fork(struct hf_core *core, const struct hf_proof *proof, struct hf_proof_check *checked, struct hf_failure *failure)
{
	const struct hf_tree nothing = {.fork = proof->fork};
	uint8_t bytes[HF_MANIFEST_DEFAULT_BYTES];
	struct hf_manifest manifest;
	int status;

	/* It would be tied to nodes that we hold, which are of our fork. */
	if (proof->has_block || proof->has_hash || proof->has_seek)
		return hf_fail(failure, HF_EMALFORMED, "a proof of another fork came with more than its tree");
	status = judge_by(core, proof, &manifest, bytes, failure);

	if (status == HF_OK)
		status = check(core, proof, &nothing, &manifest, checked, failure);
	if (status == HF_OK && !checked->has_upgrade)
		return hf_fail(failure, HF_EMALFORMED, "a proof of another fork came without its tree");
	return status;
}

int hf_core_adopt(struct hf_core *core, const struct hf_reorg *reorg, struct hf_slice signature)
{
	struct hf_tree_reader reader = hf_core_nodes(core);
	struct hf_tree *common = &core->check.tree;
	struct hf_batch *batch;
	int status = hf_core_stage(core, &batch);

	if (status == HF_OK && reorg->tree.fork <= core->tree.fork)
		status = HF_EINVAL;
	if (status == HF_OK)
		status = hf_tree_at(&core->tree, &reader, reorg->ancestors, common);
	if (status == HF_OK)
		status = load_pages(core, batch, reorg->nodes, reorg->node_count);
	if (status == HF_OK)
		status = hf_buffer_reserve(&core->signature, signature.length);
	if (status == HF_OK)
		status = hf_core_cut(core, batch, common);
	if (status != HF_OK)
		return status;
	for (size_t i = 0; i < reorg->node_count; i++)
		hf_core_store_node(core, batch, &reorg->nodes[i]); /* into a page that is loaded */
	hf_core_use_signature(core, signature);
	hf_tree_copy(&core->tree, &reorg->tree);
	batch->needs_signature = false;
	batch->head_changed = true;
	return HF_OK;
}
