/* A snapshot is a tree; its blocks are the core's until a truncation takes them. Then, while any snapshot reaches that far, they are put
 * on the core's shelf in the same commit. The shelf goes when the last snapshot does, and is void when the store is opened. */
#include "data/hypercore/core_private.h"

#include <stdlib.h>

#define SHELVES_MAX 4096 /* truncations that one core's snapshots may outlive; then HF_EBUSY */

struct hf_core_snapshot {
	struct hf_core *core;
	struct hf_core_snapshot *next, *previous;
	size_t first_shelf; /* truncations before it are none of its */
	bool is_void;       /* what it was taken of was never committed */
	struct hf_tree tree;
};

static int make(struct hf_core *core, struct hf_core_snapshot **out)
{
	struct hf_core_snapshot *snapshot = calloc(1, sizeof *snapshot);

	if (snapshot == NULL)
		return HF_ENOMEM;
	snapshot->core = hf_core_ref(core);
	snapshot->first_shelf = core->shelf_count;
	HF_LIST_PUSH(core->snapshots, snapshot);
	*out = snapshot;
	return HF_OK;
}

int hf_core_snapshot(struct hf_core *core, struct hf_core_snapshot **out)
{
	int status = make(core, out);

	if (status == HF_OK)
		hf_tree_copy(&(*out)->tree, &core->tree);
	return status;
}

int hf_core_checkout(struct hf_core *core, uint64_t length, struct hf_core_snapshot **out)
{
	int status = make(core, out);

	if (status != HF_OK)
		return status;
	status = hf_core_tree_at(core, length, &(*out)->tree);
	if (status != HF_OK)
		hf_core_snapshot_free(*out);
	return status;
}

int hf_core_drop_shelf(struct hf_core *core)
{
	struct hf_batch_op op = {.kind = HF_BATCH_DROP, .log = HF_LAYOUT_SHELF};
	struct hf_batch *batch;
	int status = hf_core_stage(core, &batch);

	if (status == HF_OK)
		status = hf_batch_add(batch, &op, NULL, 0);
	if (status != HF_OK)
		return status;
	core->has_shelf = false;
	core->shelf_count = 0; /* shelf_next goes on: what is in flight still has the old numbers */
	batch->head_changed = true;
	return HF_OK;
}

/* Truncations that were not committed have taken nothing; and who was taken of what was not committed has nothing to read. Within a fork
 * cores only grow, so that the tree tells. */
void hf_core_recover_shelf(struct hf_core *core)
{
	const struct hf_tree *tree = &core->committed_tree;

	while (core->shelf_count > 0 && core->shelves[core->shelf_count - 1].base >= core->shelf_committed)
		core->shelf_count--;
	for (struct hf_core_snapshot *snapshot = core->snapshots; snapshot != NULL; snapshot = snapshot->next) {
		if (snapshot->first_shelf > core->shelf_count)
			snapshot->first_shelf = core->shelf_count;
		snapshot->is_void |= snapshot->tree.fork > tree->fork || (snapshot->tree.fork == tree->fork && snapshot->tree.length > tree->length);
	}
}

void hf_core_snapshot_free(struct hf_core_snapshot *snapshot)
{
	if (snapshot == NULL)
		return;
	struct hf_core *core = snapshot->core;

	HF_LIST_REMOVE(core->snapshots, snapshot);
	/* Should it not work now, the shelf goes when the store is opened again. */
	if (core->snapshots == NULL && core->has_shelf)
		hf_core_drop_shelf(core);
	hf_core_unref(core);
	free(snapshot);
}

const struct hf_tree *hf_core_snapshot_tree(const struct hf_core_snapshot *snapshot)
{
	return &snapshot->tree;
}

/* ---- The shelf ---- */

static int add_shelf(struct hf_core *core, const struct hf_core_shelf *shelf)
{
	int status = hf_array_reserve(&core->shelves, &core->shelf_capacity, core->shelf_count + 1, sizeof *core->shelves);

	if (status == HF_OK)
		core->shelves[core->shelf_count++] = *shelf;
	return status;
}

static int shelve_block(struct hf_core *core, struct hf_batch *batch, uint64_t block, uint64_t index)
{
	struct hf_batch_op op = {.kind = HF_BATCH_PUT, .log = HF_LAYOUT_SHELF, .index = index, .to = index + 1};
	struct hf_slice record, value;
	int status = hf_core_block_record(core, block, &record);

	if (status == HF_OK)
		status = hf_layout_block_decode(record, block, NULL, NULL, &value);
	if (status != HF_OK)
		return status;
	/* The record may lie in the batch, which grows. */
	hf_buffer_clear(&core->shelf_scratch);
	status = hf_buffer_append(&core->shelf_scratch, value.data, value.length);
	if (status == HF_OK) {
		struct iovec part = {core->shelf_scratch.data, core->shelf_scratch.length};

		status = hf_batch_add(batch, &op, &part, 1);
	}
	return status;
}

int hf_core_shelve(struct hf_core *core, struct hf_batch *batch, uint64_t from, uint64_t to)
{
	uint64_t reach = 0;
	size_t op_count = batch->op_count;
	int status = HF_OK;

	for (const struct hf_core_snapshot *snapshot = core->snapshots; snapshot != NULL; snapshot = snapshot->next)
		if (snapshot->tree.length > reach)
			reach = snapshot->tree.length;
	if (to > reach)
		to = reach;
	if (from >= to)
		return HF_OK;
	if (core->shelf_count >= SHELVES_MAX)
		return HF_EBUSY;
	for (uint64_t block = from; status == HF_OK; block++) {
		block = hf_bitfield_next_set(&core->blocks, block, to);
		if (block >= to)
			break;
		status = shelve_block(core, batch, block, core->shelf_next + (block - from));
	}
	if (status == HF_OK)
		status = add_shelf(core, &(struct hf_core_shelf){from, to, core->shelf_next});
	if (status != HF_OK) {
		batch->op_count = op_count;
		return status;
	}
	core->shelf_next += to - from;
	core->has_shelf = true;
	return HF_OK;
}

/* In a batch that is not committed yet: rare, so all operations are looked through. */
static bool in_batch(const struct hf_batch *batch, uint64_t index, struct hf_slice *value)
{
	for (size_t i = 0; batch != NULL && i < batch->op_count; i++) {
		const struct hf_batch_op *op = &batch->ops[i];

		if (op->kind != HF_BATCH_PUT || op->log != HF_LAYOUT_SHELF || op->index != index)
			continue;
		*value = hf_batch_bytes(batch, op);
		return true;
	}
	return false;
}

static int get_shelved(struct hf_core *core, const struct hf_core_shelf *shelf, uint64_t block, struct hf_buffer *out)
{
	uint64_t index = shelf->base + (block - shelf->from);
	struct hf_slice value;
	int status;

	if (in_batch(core->staged, index, &value))
		return hf_buffer_append(out, value.data, value.length);
	for (const struct hf_batch *batch = core->in_flight; batch != NULL; batch = batch->next)
		if (in_batch(batch, index, &value))
			return hf_buffer_append(out, value.data, value.length);
	status = hf_store_log_get(core->store->store, hf_layout_log(core->number, HF_LAYOUT_SHELF), index, core->store->read_mode, out);
	/* It was not held when it was truncated, and no peer has it any more. */
	return status == HF_ENOTFOUND ? HF_ECANCELED : hf_core_cold(core, status, HF_LAYOUT_SHELF, index);
}

int hf_core_snapshot_get(struct hf_core_snapshot *snapshot, uint64_t index, struct hf_buffer *block)
{
	struct hf_core *core = snapshot->core;
	size_t start = block->length;
	int status;

	if (index >= snapshot->tree.length)
		return HF_ENOTFOUND;
	if (snapshot->is_void)
		return HF_ECANCELED;
	for (size_t i = snapshot->first_shelf; i < core->shelf_count; i++) {
		const struct hf_core_shelf *shelf = &core->shelves[i];

		if (index < shelf->from || index >= shelf->to)
			continue;
		status = get_shelved(core, shelf, index, block);
		return status == HF_OK ? hf_core_decrypt(core, index, block, start) : status;
	}
	return hf_core_get(core, index, block);
}
