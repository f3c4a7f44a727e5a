/* Where a node is: in a page of loose nodes (as batches change it, or as stored), or in the record of the block that completes it
 * (which may be in a batch too). Pages come first: they are cached, and a record is read as a whole even when it is a large block
 * that has no nodes with it. What came from the store is cached under the core's tag. */
#include "data/hypercore/core_private.h"

#include <stdlib.h>

int hf_core_cold(struct hf_core *core, int status, unsigned which, uint64_t index)
{
	struct hf_cold cold = {.log = hf_layout_log(core->number, which), .index = index};

	return status == HF_EWAIT ? hf_corestore_cold(core->store, &cold) : status;
}

/* ---- Caches ---- */

static struct hf_node_slot *node_slot(const struct hf_core *core, uint64_t index)
{
	uint64_t mixed = (index ^ core->cache_tag << 40) * 0x9e3779b97f4a7c15u;

	return &core->store->nodes[mixed >> 32 & (HF_CORE_NODE_CACHE_COUNT - 1)];
}

void hf_core_cache_node(struct hf_core *core, const struct hf_tree_node *node)
{
	struct hf_node_slot *slot = node_slot(core, node->index);

	slot->tag = core->cache_tag;
	slot->index = node->index;
	slot->size = node->size;
	memcpy(slot->hash, node->hash, sizeof slot->hash);
}

static struct hf_page_slot *page_slot(const struct hf_core *core, uint64_t number)
{
	uint64_t mixed = (number ^ core->cache_tag << 40) * 0x9e3779b97f4a7c15u;

	return &core->store->pages[mixed >> 32 & (HF_CORE_PAGE_CACHE_COUNT - 1)];
}

void hf_core_cache_page(struct hf_core *core, const struct hf_layout_page *page)
{
	struct hf_page_slot *slot = page_slot(core, page->number);

	slot->tag = core->cache_tag;
	slot->page = *page;
}

void hf_core_forget_cached(struct hf_core *core)
{
	core->cache_tag = core->store->next_tag++;
}

/* ---- Blocks ---- */

static bool record_in(const struct hf_batch *batch, uint64_t index, struct hf_slice *record)
{
	const uint64_t *op = hf_u64_map_get(&batch->block_ops, index);

	if (op == NULL)
		return false;
	*record = hf_batch_bytes(batch, &batch->ops[*op - 1]);
	return true;
}

/* The newest batch in flight that has it. A block that a later one cut off has no bit, or is in that one again. */
static bool record_in_flight(const struct hf_core *core, uint64_t index, struct hf_slice *record)
{
	bool found = false;

	for (const struct hf_batch *batch = core->in_flight; batch != NULL; batch = batch->next)
		found |= record_in(batch, index, record);
	return found;
}

int hf_core_block_record(struct hf_core *core, uint64_t index, struct hf_slice *record)
{
	int status;

	if (!hf_bitfield_get(&core->blocks, index))
		return HF_ENOTFOUND;
	if (core->staged != NULL && record_in(core->staged, index, record))
		return HF_OK;
	if (core->in_flight != NULL && record_in_flight(core, index, record))
		return HF_OK;
	hf_buffer_clear(&core->store->scratch);
	status = hf_store_log_get(core->store->store, hf_layout_log(core->number, HF_LAYOUT_BLOCKS), index, core->store->read_mode,
		&core->store->scratch);
	*record = hf_buffer_slice(&core->store->scratch);
	return hf_core_cold(core, status, HF_LAYOUT_BLOCKS, index);
}

/* ---- Pages ---- */

static struct hf_layout_page *page_in(const struct hf_batch *batch, uint64_t number)
{
	uint64_t *place = batch == NULL ? NULL : hf_u64_map_get(&batch->pages, number);

	return place == NULL ? NULL : (struct hf_layout_page *)(uintptr_t)*place;
}

/* The lowest length that batches above the one whose page is used have cut to. */
static const struct hf_layout_page *page_in_batches(const struct hf_core *core, uint64_t number, uint64_t *cut)
{
	const struct hf_layout_page *page = page_in(core->staged, number);

	*cut = HF_CORE_NO_CUT;
	if (page != NULL)
		return page;
	for (const struct hf_batch *batch = core->in_flight; batch != NULL; batch = batch->next) {
		const struct hf_layout_page *found = page_in(batch, number);

		if (found != NULL) {
			page = found;
			*cut = HF_CORE_NO_CUT;
		} else if (batch->cut < *cut) {
			*cut = batch->cut;
		}
	}
	if (core->staged != NULL && core->staged->cut < *cut)
		*cut = core->staged->cut;
	return page;
}

/* As committed, through the cache: an absent one is an empty page. */
static int stored_page(struct hf_core *core, uint64_t number, const struct hf_layout_page **page)
{
	struct hf_page_slot *slot = page_slot(core, number);
	struct hf_buffer record = {0};
	int status;

	*page = &slot->page;
	if (slot->tag == core->cache_tag && slot->page.number == number)
		return HF_OK;
	status = hf_store_log_get(core->store->store, hf_layout_log(core->number, HF_LAYOUT_TREE), number, core->store->read_mode, &record);
	slot->tag = 0;
	slot->page.number = number;
	slot->page.present = 0;
	if (status == HF_OK)
		status = hf_layout_page_decode(&slot->page, hf_buffer_slice(&record));
	else if (status == HF_ENOTFOUND)
		status = HF_OK;
	hf_buffer_free(&record);
	if (status == HF_OK)
		slot->tag = core->cache_tag;
	return hf_core_cold(core, status, HF_LAYOUT_TREE, number);
}

struct hf_layout_page *hf_core_page_for_change(struct hf_core *core, struct hf_batch *batch, uint64_t number, int *status)
{
	struct hf_layout_page *page = page_in(batch, number);
	const struct hf_layout_page *below;
	uint64_t cut, *place;

	if (page != NULL)
		return page;
	below = page_in_batches(core, number, &cut);
	*status = below != NULL ? HF_OK : stored_page(core, number, &below);
	if (*status != HF_OK)
		return NULL;
	*status = HF_ENOMEM;
	page = malloc(sizeof *page);
	place = page == NULL ? NULL : hf_u64_map_put(&batch->pages, number);
	if (place == NULL) {
		free(page);
		return NULL;
	}
	*page = *below;
	if (cut != HF_CORE_NO_CUT)
		hf_layout_page_cut(page, cut);
	*place = (uintptr_t)page;
	*status = HF_OK;
	return page;
}

int hf_core_store_node(struct hf_core *core, struct hf_batch *batch, const struct hf_tree_node *node)
{
	unsigned within;
	uint64_t number = hf_layout_page_of(node->index, &within);
	int status = HF_OK;
	struct hf_layout_page *page = hf_core_page_for_change(core, batch, number, &status);

	if (page == NULL)
		return status;
	page->present |= (uint64_t)1 << within;
	page->nodes[within].size = node->size;
	memcpy(page->nodes[within].hash, node->hash, sizeof node->hash);
	return HF_OK;
}

/* ---- Nodes ---- */

static int node_of_page(const struct hf_layout_page *page, unsigned within, struct hf_tree_node *node)
{
	if (!(page->present >> within & 1))
		return HF_ENOTFOUND;
	node->size = page->nodes[within].size;
	memcpy(node->hash, page->nodes[within].hash, sizeof node->hash);
	return HF_OK;
}

/* In the record of the block that completes it. */
static int node_of_block(struct hf_core *core, uint64_t index, struct hf_tree_node *node)
{
	struct hf_tree_node nodes[HF_TREE_APPEND_NODES_MAX];
	unsigned depth = hf_flat_depth(index), count;
	uint64_t block = hf_flat_right_span(index) / 2;
	struct hf_slice record, value;
	int status = hf_core_block_record(core, block, &record);

	if (status == HF_OK)
		status = hf_layout_block_decode(record, block, nodes, &count, &value);
	if (status != HF_OK)
		return status;
	for (unsigned i = 0; i < count; i++)
		hf_core_cache_node(core, &nodes[i]);
	if (depth >= count)
		return HF_ENOTFOUND;
	*node = nodes[depth];
	return HF_OK;
}

int hf_core_node(struct hf_core *core, uint64_t index, struct hf_tree_node *node)
{
	const struct hf_node_slot *slot = node_slot(core, index);
	const struct hf_tree_node *root = hf_tree_root(&core->tree, index);
	const struct hf_layout_page *page;
	uint64_t number, cut;
	unsigned within;
	int status;

	if (root != NULL) {
		*node = *root;
		return HF_OK;
	}
	if (hf_flat_right_span(index) / 2 >= core->tree.length)
		return HF_ENOTFOUND;
	node->index = index;
	if (slot->tag == core->cache_tag && slot->index == index) {
		node->size = slot->size;
		memcpy(node->hash, slot->hash, sizeof node->hash);
		return HF_OK;
	}
	/* Pages first: most are cached, be it as empty ones, while a block's record may be as large as the block. */
	number = hf_layout_page_of(index, &within);
	page = page_in_batches(core, number, &cut);
	if (page == NULL && (status = stored_page(core, number, &page)) != HF_OK)
		return status;
	status = HF_ENOTFOUND;
	if (cut == HF_CORE_NO_CUT || hf_flat_right_span(index) / 2 < cut)
		status = node_of_page(page, within, node);
	return status == HF_ENOTFOUND ? node_of_block(core, index, node) : status;
}

static int read_node(void *context, uint64_t index, struct hf_tree_node *node)
{
	return hf_core_node(context, index, node);
}

struct hf_tree_reader hf_core_nodes(struct hf_core *core)
{
	return (struct hf_tree_reader){.context = core, .node = read_node};
}
