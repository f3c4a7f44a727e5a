#include "store/block_memory.h"

#include <stdlib.h>

#define LOG_BYTES (sizeof(struct hf_block_log) + 2 * sizeof(struct hf_map_slot))

void hf_block_memory_init(struct hf_block_memory *memory)
{
	*memory = (struct hf_block_memory){0};
	hf_map_init(&memory->logs, 0);
}

void hf_block_memory_free(struct hf_block_memory *memory)
{
	struct hf_block_log *log;
	size_t cursor = 0;

	while ((log = hf_map_next(&memory->logs, &cursor)) != NULL) {
		hf_block_facts_free(&log->blocks);
		hf_block_facts_free(&log->holes);
		free(log);
	}
	hf_map_free(&memory->logs);
	hf_block_memory_init(memory);
}

struct hf_block_log *hf_block_memory_get(const struct hf_block_memory *memory, uint64_t log)
{
	return memory->logs.count == 0 ? NULL : hf_map_get(&memory->logs, hf_slice(&log, sizeof log));
}

int hf_block_memory_add(struct hf_block_memory *memory, uint64_t number, uint64_t length, bool exists, struct hf_block_log **out)
{
	struct hf_block_log *log = calloc(1, sizeof *log);

	if (log == NULL)
		return HF_ENOMEM;
	*log = (struct hf_block_log){.number = number, .length = length, .exists = exists, .keep = exists ? HF_BLOCK_KEEP_ALL : 0};
	if (hf_map_put(&memory->logs, hf_slice(&log->number, sizeof log->number), log, NULL) != HF_OK) {
		free(log);
		return HF_ENOMEM;
	}
	memory->bytes += LOG_BYTES;
	*out = log;
	return HF_OK;
}

int hf_block_memory_find(const struct hf_block_memory *memory, uint64_t number, uint64_t index, uint64_t *position, uint64_t *bytes)
{
	const struct hf_block_log *log = hf_block_memory_get(memory, number);
	const struct hf_block_fact *fact;

	if (log == NULL)
		return HF_EWAIT;
	fact = hf_block_facts_at(&log->blocks, hf_block_facts_find(&log->blocks, index));
	if (fact != NULL && fact->index == index) {
		*position = fact->value;
		*bytes = fact->bytes;
		return HF_OK;
	}
	if (index >= log->keep)
		return HF_ENOTFOUND;
	return hf_block_facts_cover(&log->holes, index) ? HF_ENOTFOUND : HF_EWAIT;
}

/* ---- Changing ---- */

static void report_dead(const struct hf_blocks_options *options, const struct hf_block_fact *block)
{
	if (options->dead != NULL)
		options->dead(options->context, block->value, block->bytes);
}

int hf_block_log_put(struct hf_block_memory *memory, struct hf_block_log *log, const struct hf_block_fact *block,
	const struct hf_blocks_options *options)
{
	struct hf_block_place place = hf_block_facts_find(&log->blocks, block->index);
	struct hf_block_fact *there = hf_block_facts_at(&log->blocks, place);
	int status = HF_OK;

	if (there == NULL || there->index != block->index) {
		status = hf_block_facts_insert(&log->blocks, place, block, &memory->bytes);
	} else {
		if (there->value != block->value)
			report_dead(options, there);
		*there = *block;
	}
	if (status != HF_OK)
		return status;
	log->exists = true;
	if (log->length <= block->index)
		log->length = block->index + 1;
	return HF_OK;
}

/* Forgets the blocks of [from, to) of this layer. */
static void remove_blocks(struct hf_block_memory *memory, struct hf_block_log *log, uint64_t from, uint64_t to,
	const struct hf_blocks_options *options)
{
	struct hf_block_place place = hf_block_facts_find(&log->blocks, from);
	const struct hf_block_fact *block;

	while ((block = hf_block_facts_at(&log->blocks, place)) != NULL && block->index < to) {
		report_dead(options, block);
		hf_block_facts_next(&log->blocks, &place);
	}
	hf_block_facts_remove(&log->blocks, from, to, &memory->bytes);
}

/* Holes that touch the new one become part of it. */
static int add_hole(struct hf_block_memory *memory, struct hf_block_log *log, uint64_t from, uint64_t to)
{
	struct hf_block_fact *near = hf_block_facts_floor(&log->holes, from);

	if (near != NULL && near->value >= to)
		return HF_OK;
	if (near != NULL && near->value >= from)
		from = near->index;
	near = hf_block_facts_floor(&log->holes, to);
	if (near != NULL && near->value > to)
		to = near->value;
	hf_block_facts_remove(&log->holes, from, to + 1, &memory->bytes);
	return hf_block_facts_insert(&log->holes, hf_block_facts_find(&log->holes, from),
		&(struct hf_block_fact){.index = from, .value = to}, &memory->bytes);
}

int hf_block_log_clear(struct hf_block_memory *memory, struct hf_block_log *log, uint64_t from, uint64_t to,
	const struct hf_blocks_options *options)
{
	remove_blocks(memory, log, from, to, options);
	if (to > log->keep) /* nothing shows through from there on */
		to = log->keep;
	return from < to ? add_hole(memory, log, from, to) : HF_OK;
}

void hf_block_log_truncate(struct hf_block_memory *memory, struct hf_block_log *log, uint64_t length,
	const struct hf_blocks_options *options)
{
	if (length < log->length)
		log->length = length;
	if (length < log->keep)
		log->keep = length;
	remove_blocks(memory, log, length, UINT64_MAX, options);
}

void hf_block_log_drop(struct hf_block_memory *memory, struct hf_block_log *log, const struct hf_blocks_options *options)
{
	hf_block_log_truncate(memory, log, 0, options);
	hf_block_facts_remove(&log->holes, 0, UINT64_MAX, &memory->bytes);
	log->exists = false;
}
