/* Changes that the writer makes. Each either stages all of itself or leaves the core as it was. */
#include "data/hypercore/core_private.h"

#include <assert.h>
#include <stdlib.h>

/* ---- Appending ---- */

/* Blocks up to HF_LAYOUT_INLINE_BYTES_MAX take the nodes that they complete with them; larger ones leave them to the pages. */
int hf_core_put_block(struct hf_core *core, struct hf_batch *batch, uint64_t index, const struct hf_tree_node *nodes, unsigned count,
	struct hf_slice value, struct hf_core_chunk *chunk)
{
	uint8_t head[HF_LAYOUT_BLOCK_HEAD_BYTES_MAX];
	bool is_inline = nodes[0].size <= HF_LAYOUT_INLINE_BYTES_MAX;
	struct iovec parts[2] = {{head, hf_layout_block_encode(nodes, is_inline ? count : 0, head)},
		{(void *)(uintptr_t)value.data, value.length}};
	struct hf_batch_op op = {.kind = HF_BATCH_PUT, .log = HF_LAYOUT_BLOCKS, .index = index, .to = index + 1};
	int status = HF_OK;

	for (unsigned i = 0; i < count && !is_inline && status == HF_OK; i++)
		status = hf_core_store_node(core, batch, &nodes[i]);
	if (status != HF_OK)
		return status;
	if (is_inline || chunk == NULL)
		return hf_batch_add(batch, &op, parts, 2);
	uint8_t *record = chunk->bytes.data + (value.data - chunk->bytes.data) - 1;

	assert(parts[0].iov_len == 1 && record >= chunk->bytes.data);
	*record = head[0];
	return hf_batch_add_outside(batch, &op, hf_slice(record, 1 + value.length), chunk);
}

/* As it will be read, onto the tree and into the batch. */
static int append_value(struct hf_core *core, struct hf_batch *batch, struct hf_tree *tree, struct hf_slice value,
	const uint8_t hash[static HF_TREE_HASH_BYTES])
{
	struct hf_tree_node nodes[HF_TREE_APPEND_NODES_MAX];
	uint64_t index = tree->length;
	uint32_t count;
	int status = hf_tree_append(tree, value.length, hash, nodes, &count);

	return status == HF_OK ? hf_core_put_block(core, batch, index, nodes, count, value, NULL) : status;
}

/* Sealed in the store's scratch, now that its place is known. */
static int append_sealed(struct hf_core *core, struct hf_batch *batch, struct hf_tree *tree, struct hf_slice block)
{
	struct hf_buffer *scratch = &core->store->scratch;
	uint8_t hash[1][HF_TREE_HASH_BYTES];
	int status;

	hf_buffer_clear(scratch);
	status = hf_buffer_reserve(scratch, hf_core_padding(core) + block.length);
	if (status != HF_OK)
		return status;
	memset(scratch->data, 0, hf_core_padding(core));
	scratch->length = hf_core_padding(core);
	hf_buffer_append(scratch, block.data, block.length);
	hf_block_encrypt(core->cipher, scratch->data, scratch->length, tree->length, tree->fork);
	struct hf_slice value = hf_buffer_slice(scratch);

	hf_leaf_hashes(hash, &value, 1);
	return append_value(core, batch, tree, value, hash[0]);
}

static int append_blocks(struct hf_core *core, struct hf_batch *batch, struct hf_tree *tree, const struct hf_slice *blocks, size_t count)
{
	uint8_t hashes[HF_LEAVES_TOGETHER][HF_TREE_HASH_BYTES];
	int status = HF_OK;

	for (size_t i = 0; i < count && status == HF_OK; i++) {
		if (hf_core_padding(core) > 0) {
			status = append_sealed(core, batch, tree, blocks[i]);
			continue;
		}
		if (i % HF_LEAVES_TOGETHER == 0)
			hf_leaf_hashes(hashes, blocks + i, count - i < HF_LEAVES_TOGETHER ? count - i : HF_LEAVES_TOGETHER);
		status = append_value(core, batch, tree, blocks[i], hashes[i % HF_LEAVES_TOGETHER]);
	}
	return status;
}

/* Where a prologue ends within them, it has to be the manifest's: readers take no other, and it cannot be taken back any more. */
static int append_by_prologue(struct hf_core *core, struct hf_batch *batch, struct hf_tree *tree, const struct hf_slice *blocks,
	size_t count)
{
	uint64_t prologue = hf_core_prologue_length(core), missing = prologue > tree->length ? prologue - tree->length : 0;
	uint8_t hash[HF_TREE_HASH_BYTES];
	int status;

	if (missing == 0 || count < missing)
		return append_blocks(core, batch, tree, blocks, count);
	status = append_blocks(core, batch, tree, blocks, missing);
	if (status != HF_OK)
		return status;
	hf_tree_hash(tree, hash);
	if (memcmp(hash, core->manifest.prologue.hash, sizeof hash) != 0)
		return HF_EBADSIG;
	return append_blocks(core, batch, tree, blocks + missing, count - missing);
}

static int check_append(const struct hf_core *core, const struct hf_slice *blocks, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (blocks[i].length > HF_CORE_BLOCK_BYTES_MAX - HF_BLOCK_PADDING_BYTES)
			return HF_ETOOBIG;
	return core->has_manifest ? HF_OK : HF_EDENIED;
}

static int append(struct hf_core *core, const struct hf_slice *blocks, size_t count, struct hf_slice signature, uint64_t *first)
{
	struct hf_tree *tree = &core->check.tree;
	struct hf_batch *batch;
	int status = check_append(core, blocks, count);

	if (status == HF_OK)
		status = hf_core_stage(core, &batch);
	if (status != HF_OK)
		return status;
	struct hf_batch_mark mark = hf_batch_mark(batch);

	hf_tree_copy(tree, &core->tree);
	status = append_by_prologue(core, batch, tree, blocks, count);
	if (status == HF_OK && signature.data != NULL)
		status = hf_signature_verify(&core->manifest, core->key, tree, signature);
	if (status == HF_OK)
		status = hf_buffer_reserve(&core->signature, signature.length);
	if (status == HF_OK)
		status = hf_bitfield_set(&core->blocks, core->tree.length, tree->length);
	if (status != HF_OK) {
		hf_bitfield_truncate(&core->blocks, core->tree.length);
		hf_batch_take_back(core, batch, mark);
		return status;
	}
	if (signature.data != NULL)
		hf_core_use_signature(core, signature);
	if (first != NULL)
		*first = core->tree.length;
	batch->needs_signature = signature.data == NULL;
	batch->head_changed = true;
	hf_tree_copy(&core->tree, tree);
	return HF_OK;
}

/* Room for it has been reserved, so that this cannot fail. */
void hf_core_use_signature(struct hf_core *core, struct hf_slice signature)
{
	hf_buffer_clear(&core->signature);
	hf_buffer_append(&core->signature, signature.data, signature.length);
}

int hf_core_append(struct hf_core *core, const struct hf_slice *blocks, size_t count, uint64_t *first)
{
	if (!hf_core_is_writable(core))
		return HF_EDENIED;
	if (count == 0) {
		if (first != NULL)
			*first = core->tree.length;
		return HF_OK;
	}
	return append(core, blocks, count, hf_slice(NULL, 0), first);
}

int hf_core_append_signed(struct hf_core *core, const struct hf_slice *blocks, size_t count, struct hf_slice signature)
{
	return append(core, blocks, count, signature, NULL);
}

/* ---- Truncating ---- */

/* The page of a band that the cut goes through; those right of it go as a whole. */
static uint64_t page_at_cut(unsigned band, uint64_t length)
{
	return hf_layout_page_number(band, length >> hf_layout_page_shift(band));
}

static bool band_is_used(const struct hf_core *core, unsigned band)
{
	return core->tree.length >> (band * HF_LAYOUT_PAGE_LEVELS) > 0;
}

/* All that may have to wait for the disk, before anything is changed: the pages at the cut, and what snapshots need. */
static int prepare_cut(struct hf_core *core, struct hf_batch *batch, uint64_t length)
{
	int status = HF_OK;

	for (unsigned band = 0; status == HF_OK && band_is_used(core, band); band++)
		hf_core_page_for_change(core, batch, page_at_cut(band, length), &status);
	return status == HF_OK ? hf_core_shelve(core, batch, length, core->tree.length) : status;
}

static int add_cut(struct hf_core *core, struct hf_batch *batch, uint64_t length)
{
	struct hf_batch_op op = {.kind = HF_BATCH_TRUNCATE, .log = HF_LAYOUT_BLOCKS, .index = length};
	int status = hf_batch_add(batch, &op, NULL, 0);

	for (unsigned band = 0; status == HF_OK && band_is_used(core, band); band++) {
		op = (struct hf_batch_op){.kind = HF_BATCH_CLEAR, .log = HF_LAYOUT_TREE, .index = page_at_cut(band, length) + 1,
			.to = hf_layout_page_number(band + 1, 0)};
		status = hf_batch_add(batch, &op, NULL, 0);
	}
	return status;
}

static void cut_batch(struct hf_batch *batch, uint64_t length)
{
	struct hf_u64_slot *slot;
	size_t cursor = 0;

	while ((slot = hf_u64_map_next(&batch->pages, &cursor)) != NULL)
		hf_layout_page_cut((struct hf_layout_page *)(uintptr_t)slot->value, length);
	for (size_t i = 0; i < batch->op_count; i++)
		if (batch->ops[i].kind == HF_BATCH_PUT && batch->ops[i].log == HF_LAYOUT_BLOCKS && batch->ops[i].index >= length)
			hf_u64_map_remove(&batch->block_ops, batch->ops[i].index);
}

int hf_core_cut(struct hf_core *core, struct hf_batch *batch, const struct hf_tree *tree)
{
	struct hf_batch_mark mark = hf_batch_mark(batch);
	size_t shelf_count = core->shelf_count;
	uint64_t old_length = core->tree.length;
	int status = prepare_cut(core, batch, tree->length);

	if (status == HF_OK)
		status = add_cut(core, batch, tree->length);
	if (status != HF_OK) {
		core->shelf_count = shelf_count;
		hf_batch_take_back(core, batch, mark);
		return status;
	}
	cut_batch(batch, tree->length);
	if (batch->cut == HF_CORE_NO_CUT)
		batch->old_length = core->in_flight == NULL ? core->committed_tree.length : old_length;
	if (tree->length < batch->cut)
		batch->cut = tree->length;
	hf_bitfield_truncate(&core->blocks, tree->length);
	hf_tree_copy(&core->tree, tree);
	hf_core_forget_cached(core);
	batch->head_changed = true;
	return HF_OK;
}

int hf_core_truncate(struct hf_core *core, uint64_t length, uint64_t fork)
{
	struct hf_tree_reader reader = hf_core_nodes(core);
	struct hf_tree *tree = &core->check.tree;
	struct hf_batch *batch;
	int status;

	if (!hf_core_is_writable(core))
		return HF_EDENIED;
	if (fork == HF_CORE_NEXT_FORK)
		fork = core->tree.fork + 1;
	if (length > core->tree.length || fork <= core->tree.fork || fork > HF_COMPACT_UINT_MAX)
		return HF_EINVAL;
	if (length < hf_core_prologue_length(core) && core->tree.length >= hf_core_prologue_length(core))
		return HF_EDENIED;
	status = hf_tree_at(&core->tree, &reader, length, tree);
	if (status == HF_OK)
		status = hf_core_stage(core, &batch);
	if (status != HF_OK)
		return status;
	tree->fork = fork;
	status = hf_core_cut(core, batch, tree);
	if (status == HF_OK)
		batch->needs_signature = true;
	return status;
}

/* ---- Clearing and notes ---- */

#define CLEAR_STEP_BLOCKS 1024
#define CLEAR_PAGES_MAX 2048 /* of nodes, changed and not committed yet; about 5 MiB */
#define CLEAR_RUNS_MAX 65536 /* of blocks, in one batch */

static size_t uncommitted_pages(const struct hf_core *core)
{
	size_t count = core->staged->pages.count;

	for (const struct hf_batch *batch = core->in_flight; batch != NULL; batch = batch->next)
		count += batch->pages.count;
	return count;
}

/* Goes on with the run before it, where it is of the same call. */
static int add_clear(struct hf_batch *batch, size_t first_op, uint64_t from, uint64_t to)
{
	struct hf_batch_op op = {.kind = HF_BATCH_CLEAR, .log = HF_LAYOUT_BLOCKS, .index = from, .to = to};

	if (batch->op_count > first_op && batch->ops[batch->op_count - 1].to == from) {
		batch->ops[batch->op_count - 1].to = to;
		return HF_OK;
	}
	return hf_batch_add(batch, &op, NULL, 0);
}

/* *to becomes where it had to end. */
static int add_clears(struct hf_core *core, struct hf_batch *batch, uint64_t from, uint64_t *to)
{
	size_t first_op = batch->op_count;
	uint64_t end;
	int status = HF_OK;

	for (; status == HF_OK && (from = hf_bitfield_next_set(&core->blocks, from, *to)) < *to; from = end) {
		if (uncommitted_pages(core) >= CLEAR_PAGES_MAX || batch->op_count >= CLEAR_RUNS_MAX) {
			*to = from;
			break;
		}
		end = hf_bitfield_next_clear(&core->blocks, from, *to - from > CLEAR_STEP_BLOCKS ? from + CLEAR_STEP_BLOCKS : *to);
		status = hf_core_keep_nodes(core, batch, from, end);
		if (status == HF_OK)
			status = add_clear(batch, first_op, from, end);
	}
	return status;
}

int hf_core_clear(struct hf_core *core, uint64_t from, uint64_t to)
{
	struct hf_batch_mark mark;
	struct hf_batch *batch;
	uint64_t end;
	int status;

	if (to > core->tree.length)
		to = core->tree.length;
	if (from >= to)
		return from > to ? HF_EINVAL : HF_OK;
	status = hf_core_stage(core, &batch);
	if (status != HF_OK)
		return status;
	mark = hf_batch_mark(batch);
	end = to;
	status = add_clears(core, batch, from, &end);
	if (status == HF_OK)
		status = hf_bitfield_clear(&core->blocks, from, end);
	if (status != HF_OK) {
		hf_batch_take_back(core, batch, mark);
		return status;
	}
	for (size_t i = mark.op_count; i < batch->op_count; i++)
		for (uint64_t index = batch->ops[i].index; batch->block_ops.count > 0 && index < batch->ops[i].to; index++)
			hf_u64_map_remove(&batch->block_ops, index);
	batch->head_changed = true;
	return end < to ? HF_EBUSY : HF_OK;
}

/* The tree outlives its blocks: what their records hold of it goes to the loose nodes. */
int hf_core_keep_nodes(struct hf_core *core, struct hf_batch *batch, uint64_t from, uint64_t to)
{
	struct hf_tree_node nodes[HF_TREE_APPEND_NODES_MAX];
	struct hf_slice record, value;
	unsigned count = 0;
	int status = HF_OK;

	for (uint64_t block = from; block < to && status == HF_OK; block++) {
		status = hf_core_block_record(core, block, &record);
		if (status == HF_OK)
			status = hf_layout_block_decode(record, block, nodes, &count, &value);
		for (unsigned i = 0; i < count && status == HF_OK; i++)
			status = hf_core_store_node(core, batch, &nodes[i]);
	}
	return status;
}

int hf_core_set_user_data(struct hf_core *core, struct hf_slice name, struct hf_slice value)
{
	struct hf_compact_reader in = hf_compact_reader(hf_buffer_slice(&core->user_data));
	struct hf_buffer changed = {0};
	struct hf_compact_writer out = hf_compact_writer(&changed);
	bool written = value.length == 0;
	struct hf_batch *batch;

	while (hf_compact_left(&in) > 0) {
		struct hf_slice old_name = hf_compact_read_buffer(&in), old_value = hf_compact_read_buffer(&in);
		int order = hf_slice_compare(old_name, name);

		if (order >= 0 && !written) {
			hf_compact_write_buffer(&out, name);
			hf_compact_write_buffer(&out, value);
			written = true;
		}
		if (order == 0)
			continue;
		hf_compact_write_buffer(&out, old_name);
		hf_compact_write_buffer(&out, old_value);
	}
	if (!written) {
		hf_compact_write_buffer(&out, name);
		hf_compact_write_buffer(&out, value);
	}
	if (out.status == HF_OK && changed.length > HF_CORE_USER_DATA_BYTES_MAX)
		out.status = HF_ETOOBIG;
	if (out.status == HF_OK)
		out.status = hf_core_stage(core, &batch);
	if (out.status != HF_OK) {
		hf_buffer_free(&changed);
		return out.status;
	}
	hf_buffer_free(&core->user_data);
	core->user_data = changed;
	batch->user_data_changed = true;
	return HF_OK;
}
