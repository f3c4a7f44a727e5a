/* Log by log: the states and holes of all runs that know the log come first and are kept in memory; then its blocks are merged
 * by index, the newest run winning, and those are left out that a newer run's holes or keep hide. */
#include "store/block_facts.h"
#include "store/block_run.h"

#include <stdlib.h>

struct source {
	struct hf_block_walk walk;
	bool here;      /* it knows the log at hand */
	uint64_t hidden_from; /* keep of the newer runs together */
	struct hf_block_facts holes;
	struct hf_block_place next_hole; /* to be written */
};

struct merge {
	struct source *sources; /* newest first */
	size_t count;
	bool whole;
	struct hf_block_writer *writer;
};

static bool at_log(const struct source *source, uint64_t log, enum hf_block_kind kind)
{
	return !source->walk.ended && source->walk.item.log == log && source->walk.item.kind == kind;
}

static bool lowest_log(const struct merge *merge, uint64_t *log)
{
	bool found = false;

	for (size_t i = 0; i < merge->count; i++) {
		const struct hf_block_walk *walk = &merge->sources[i].walk;

		if (!walk->ended && (!found || walk->item.log < *log)) {
			*log = walk->item.log;
			found = true;
		}
	}
	return found;
}

/* States and holes of one log. *state is what the output says. */
static int take_heads(struct merge *merge, uint64_t log, struct hf_block_item *state)
{
	uint64_t keep = HF_BLOCK_KEEP_ALL;
	bool first = true;
	int status = HF_OK;

	for (size_t i = 0; i < merge->count && status == HF_OK; i++) {
		struct source *source = &merge->sources[i];

		source->here = at_log(source, log, HF_BLOCK_STATE);
		hf_block_facts_free(&source->holes);
		source->next_hole = (struct hf_block_place){0, 0};
		source->hidden_from = keep;
		if (!source->here)
			continue;
		if (first)
			*state = source->walk.item;
		first = false;
		if (source->walk.item.keep < keep)
			keep = source->walk.item.keep;
		status = hf_block_walk_next(&source->walk);
		while (status == HF_OK && at_log(source, log, HF_BLOCK_HOLE)) {
			status = hf_block_facts_append(&source->holes, source->walk.item.index, source->walk.item.index + source->walk.item.count);
			if (status == HF_OK)
				status = hf_block_walk_next(&source->walk);
		}
	}
	state->keep = keep;
	return first && status == HF_OK ? HF_ECORRUPT : status;
}

/* The lowest hole that is not taken yet, of all sources. */
static const struct hf_block_fact *take_hole(struct merge *merge)
{
	const struct hf_block_fact *lowest = NULL;
	struct source *from = NULL;

	for (size_t i = 0; i < merge->count; i++) {
		const struct hf_block_fact *hole = hf_block_facts_at(&merge->sources[i].holes, merge->sources[i].next_hole);

		if (hole == NULL || (lowest != NULL && hole->index >= lowest->index))
			continue;
		lowest = hole;
		from = &merge->sources[i];
	}
	if (from != NULL)
		hf_block_facts_next(&from->holes, &from->next_hole);
	return lowest;
}

/* The union of all holes of the log. */
static int write_holes(struct merge *merge, uint64_t log)
{
	const struct hf_block_fact *hole = take_hole(merge);
	int status = HF_OK;

	while (hole != NULL && status == HF_OK) {
		uint64_t from = hole->index, to = hole->value;

		while ((hole = take_hole(merge)) != NULL && hole->index <= to)
			to = hole->value > to ? hole->value : to;
		status = hf_block_writer_add(merge->writer,
			&(struct hf_block_item){.log = log, .kind = HF_BLOCK_HOLE, .index = from, .count = to - from});
	}
	return status;
}

static bool is_hidden(const struct merge *merge, size_t source, uint64_t index)
{
	if (index >= merge->sources[source].hidden_from)
		return true;
	for (size_t i = 0; i < source; i++)
		if (hf_block_facts_cover(&merge->sources[i].holes, index))
			return true;
	return false;
}

static int take_blocks(struct merge *merge, uint64_t log)
{
	const struct hf_blocks_options *options = merge->writer->options;
	int status = HF_OK;

	while (status == HF_OK) {
		size_t best = merge->count;

		for (size_t i = 0; i < merge->count; i++)
			if (at_log(&merge->sources[i], log, HF_BLOCK_BLOCK) &&
			    (best == merge->count || merge->sources[i].walk.item.index < merge->sources[best].walk.item.index))
				best = i;
		if (best == merge->count)
			return HF_OK;
		struct hf_block_item item = merge->sources[best].walk.item;
		bool kept = !is_hidden(merge, best, item.index);

		if (kept)
			status = hf_block_writer_add(merge->writer, &item);
		for (size_t i = best; i < merge->count && status == HF_OK; i++) {
			struct hf_block_walk *walk = &merge->sources[i].walk;

			if (!at_log(&merge->sources[i], log, HF_BLOCK_BLOCK) || walk->item.index != item.index)
				continue;
			if ((!kept || walk->item.position != item.position) && options->dead != NULL)
				options->dead(options->context, walk->item.position, walk->item.bytes);
			status = hf_block_walk_next(walk);
		}
	}
	return status;
}

static int merge_log(struct merge *merge, uint64_t log)
{
	struct hf_block_item state = {0};
	int status = take_heads(merge, log, &state);

	if (status != HF_OK)
		return status;
	if (merge->whole)
		state.keep = HF_BLOCK_KEEP_ALL;
	if (!merge->whole || state.exists)
		status = hf_block_writer_add(merge->writer, &state);
	if (status == HF_OK && !merge->whole)
		status = write_holes(merge, log);
	return status == HF_OK ? take_blocks(merge, log) : status;
}

int hf_block_merge(struct hf_block_run *const *runs, size_t count, bool whole, struct hf_block_writer *writer)
{
	struct merge merge = {.count = count, .whole = whole, .writer = writer};
	uint64_t log = 0;
	int status = HF_OK;

	merge.sources = calloc(count, sizeof *merge.sources);
	if (merge.sources == NULL)
		return HF_ENOMEM;
	for (size_t i = 0; i < count && status == HF_OK; i++)
		status = hf_block_walk_start(&merge.sources[i].walk, runs[i]);
	while (status == HF_OK && lowest_log(&merge, &log))
		status = merge_log(&merge, log);
	for (size_t i = 0; i < count; i++)
		hf_block_facts_free(&merge.sources[i].holes);
	free(merge.sources);
	return status;
}
