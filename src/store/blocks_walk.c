/* Memory, frozen memory and each run are layers, the newest first. The next block is the lowest that any layer has; of several
 * with one index the newest counts, and it is left out when a hole of a newer layer covers it. What `keep` of newer layers
 * hides is not read at all. Of memory the facts in question are copied, so that no lock is held while runs are read. */
#include "store/blocks_private.h"

#include <stdlib.h>

#include "base/array.h"

struct layer {
	uint64_t log, to;          /* blocks from `to` on are not asked for */
	struct hf_block_walk *run; /* NULL: memory */
	struct hf_block_fact *facts;
	size_t fact_count, fact_at;
	struct hf_block_facts holes;
	bool has_next;
	struct hf_block_found next;
};

struct hf_blocks_walk {
	struct hf_block_runs *runs;
	size_t count;
	struct layer layers[2 + HF_BLOCKS_RUNS_MAX * 2]; /* newest first */
};

/* ---- Memory ---- */

static int copy_blocks(struct layer *layer, const struct hf_block_facts *blocks, uint64_t from, uint64_t *to, size_t facts_max)
{
	struct hf_block_place place = hf_block_facts_find(blocks, from);
	const struct hf_block_fact *fact;
	size_t capacity = 0;

	for (; (fact = hf_block_facts_at(blocks, place)) != NULL && fact->index < *to; hf_block_facts_next(blocks, &place)) {
		if (layer->fact_count == facts_max) {
			*to = fact->index;
			return HF_OK;
		}
		if (hf_array_reserve(&layer->facts, &capacity, layer->fact_count + 1, sizeof *layer->facts) != HF_OK)
			return HF_ENOMEM;
		layer->facts[layer->fact_count++] = *fact;
	}
	return HF_OK;
}

static int copy_holes(struct layer *layer, const struct hf_block_facts *holes, uint64_t from, uint64_t to)
{
	const struct hf_block_fact *hole = hf_block_facts_floor(holes, from);
	struct hf_block_place place = hf_block_facts_find(holes, hole == NULL ? from : hole->index);
	int status = HF_OK;

	for (; status == HF_OK && (hole = hf_block_facts_at(holes, place)) != NULL && hole->index < to; hf_block_facts_next(holes, &place))
		status = hf_block_facts_append(&layer->holes, hole->index, hole->value);
	return status;
}

/* The lock is held. *hidden: from where on older layers are void. */
static int open_memory(struct hf_blocks_walk *walk, const struct hf_block_memory *memory, uint64_t number, uint64_t from,
	uint64_t *to, uint64_t *hidden, size_t facts_max)
{
	const struct hf_block_log *log = hf_block_memory_get(memory, number);
	struct layer *layer = &walk->layers[walk->count];
	int status;

	if (log == NULL)
		return HF_OK;
	walk->count++;
	layer->log = number;
	layer->to = *to < *hidden ? *to : *hidden;
	status = copy_blocks(layer, &log->blocks, from, to, facts_max);
	if (status == HF_OK)
		status = copy_holes(layer, &log->holes, from, *to);
	if (log->keep < *hidden)
		*hidden = log->keep;
	return status;
}

/* ---- Runs ---- */

static bool stands_at(const struct hf_block_walk *walk, uint64_t log, enum hf_block_kind kind)
{
	return !walk->ended && walk->item.log == log && walk->item.kind == kind;
}

static int read_holes(struct layer *layer, const struct hf_block_run *run, uint64_t from, enum hf_read_mode mode)
{
	struct hf_block_walk *walk = layer->run;
	struct hf_block_item hole;
	int status = hf_block_run_floor(run, &walk->page, layer->log, HF_BLOCK_HOLE, from, mode, &hole);

	if (status != HF_OK && status != HF_ENOTFOUND)
		return status;
	status = hf_block_walk_seek(walk, run, layer->log, HF_BLOCK_HOLE, status == HF_OK ? hole.index : from, mode);
	while (status == HF_OK && stands_at(walk, layer->log, HF_BLOCK_HOLE) && walk->item.index < layer->to) {
		status = hf_block_facts_append(&layer->holes, walk->item.index, walk->item.index + walk->item.count);
		if (status == HF_OK)
			status = hf_block_walk_next(walk);
	}
	return status;
}

static int open_run(struct hf_blocks_walk *walk, const struct hf_block_run *run, uint64_t log, uint64_t from, uint64_t to,
	uint64_t *hidden, enum hf_read_mode mode)
{
	struct layer *layer = &walk->layers[walk->count];
	struct hf_block_item state;
	int status;

	layer->log = log;
	layer->to = to < *hidden ? to : *hidden;
	if (layer->run == NULL && (layer->run = malloc(sizeof *layer->run)) == NULL)
		return HF_ENOMEM;
	layer->run->page.run = NULL;
	status = hf_block_run_floor(run, &layer->run->page, log, HF_BLOCK_STATE, 0, mode, &state);
	if (status != HF_OK)
		return status == HF_ENOTFOUND ? HF_OK : status; /* it does not know the log; the layer is there for the next */
	walk->count++;
	status = read_holes(layer, run, from, mode);
	if (status == HF_OK)
		status = hf_block_walk_seek(layer->run, run, log, HF_BLOCK_BLOCK, from, mode);
	if (state.keep < *hidden)
		*hidden = state.keep;
	return status;
}

/* ---- The whole ---- */

static int advance(struct layer *layer)
{
	layer->has_next = false;
	if (layer->run == NULL) {
		if (layer->fact_at == layer->fact_count || layer->facts[layer->fact_at].index >= layer->to)
			return HF_OK;
		const struct hf_block_fact *fact = &layer->facts[layer->fact_at++];

		layer->next = (struct hf_block_found){fact->index, fact->value, fact->bytes};
		layer->has_next = true;
		return HF_OK;
	}
	const struct hf_block_item *item = &layer->run->item;

	if (!stands_at(layer->run, layer->log, HF_BLOCK_BLOCK) || item->index >= layer->to)
		return HF_OK;
	layer->next = (struct hf_block_found){item->index, item->position, item->bytes};
	layer->has_next = true;
	if (item->index + 1 < layer->to)
		return hf_block_walk_next(layer->run);
	layer->run->ended = true; /* what follows is not asked for, so it need not be read */
	return HF_OK;
}

int hf_blocks_walk_open(struct hf_blocks_walk **out, struct hf_blocks *blocks, uint64_t log, uint64_t from, uint64_t *to,
	size_t facts_max, enum hf_read_mode mode)
{
	struct hf_blocks_walk *walk = calloc(1, sizeof *walk);
	uint64_t hidden = HF_BLOCK_KEEP_ALL;
	int status;

	if (walk == NULL)
		return HF_ENOMEM;
	pthread_rwlock_rdlock(&blocks->lock);
	status = open_memory(walk, &blocks->memory, log, from, to, &hidden, facts_max);
	if (status == HF_OK)
		status = open_memory(walk, &blocks->frozen, log, from, to, &hidden, facts_max);
	walk->runs = hf_block_runs_ref(blocks);
	pthread_rwlock_unlock(&blocks->lock);
	for (size_t i = walk->runs->count; i-- > 0 && status == HF_OK && from < hidden;)
		status = open_run(walk, walk->runs->runs[i], log, from, *to, &hidden, mode);
	for (size_t i = 0; i < walk->count && status == HF_OK; i++) {
		if (walk->layers[i].to > *to)
			walk->layers[i].to = *to;
		status = advance(&walk->layers[i]);
	}
	if (status != HF_OK) {
		hf_blocks_walk_close(walk);
		return status;
	}
	*out = walk;
	return HF_OK;
}

int hf_blocks_walk_next(struct hf_blocks_walk *walk, struct hf_block_found *found)
{
	for (;;) {
		const struct layer *best = NULL;
		bool hidden = false;

		for (size_t i = 0; i < walk->count; i++)
			if (walk->layers[i].has_next && (best == NULL || walk->layers[i].next.index < best->next.index))
				best = &walk->layers[i];
		if (best == NULL)
			return HF_ENOTFOUND;
		*found = best->next;
		for (const struct layer *newer = walk->layers; newer < best && !hidden; newer++)
			hidden = hf_block_facts_cover(&newer->holes, found->index);
		for (size_t i = 0; i < walk->count; i++) {
			int status = walk->layers[i].has_next && walk->layers[i].next.index == found->index ? advance(&walk->layers[i]) : HF_OK;

			if (status != HF_OK)
				return status;
		}
		if (!hidden)
			return HF_OK;
	}
}

void hf_blocks_walk_close(struct hf_blocks_walk *walk)
{
	if (walk == NULL)
		return;
	for (size_t i = 0; i < sizeof walk->layers / sizeof walk->layers[0]; i++) {
		free(walk->layers[i].run);
		free(walk->layers[i].facts);
		hf_block_facts_free(&walk->layers[i].holes);
	}
	hf_block_runs_unref(walk->runs);
	free(walk);
}
