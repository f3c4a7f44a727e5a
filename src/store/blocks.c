/* Three layers, each hiding what is under it: MEMORY, which the writer changes; FROZEN memory, while a checkpoint writes it to a
 * run; and the runs. The first two are under a read-write lock; runs are an immutable, reference-counted set. A log gets an entry in
 * memory when it is changed, with the state it has below; so a log that nobody touches costs nothing. */
#include "store/blocks_private.h"

#include <stdio.h>
#include <stdlib.h>

#include "store/record.h"

/* ---- Runs ---- */

struct hf_block_runs *hf_block_runs_ref(struct hf_blocks *blocks)
{
	atomic_fetch_add(&blocks->runs->references, 1);
	return blocks->runs;
}

struct hf_block_runs *hf_block_runs_pin(struct hf_blocks *blocks)
{
	pthread_rwlock_rdlock(&blocks->lock);
	struct hf_block_runs *runs = hf_block_runs_ref(blocks);

	pthread_rwlock_unlock(&blocks->lock);
	return runs;
}

void hf_block_runs_unref(struct hf_block_runs *runs)
{
	if (runs == NULL || atomic_fetch_sub(&runs->references, 1) != 1)
		return;
	for (size_t i = 0; i < runs->count; i++)
		hf_block_run_unref(runs->runs[i]);
	free(runs);
}

static int runs_state(const struct hf_block_runs *runs, struct hf_block_page *page, uint64_t log, enum hf_read_mode mode,
	struct hf_block_item *state)
{
	for (size_t i = runs->count; i-- > 0;) {
		int status = hf_block_run_floor(runs->runs[i], page, log, HF_BLOCK_STATE, 0, mode, state);

		if (status != HF_ENOTFOUND)
			return status;
	}
	return HF_ENOTFOUND;
}

static int run_find(const struct hf_block_run *run, struct hf_block_page *page, uint64_t log, uint64_t index,
	enum hf_read_mode mode, uint64_t *position, uint64_t *bytes)
{
	struct hf_block_item item, state;
	int status = hf_block_run_floor(run, page, log, HF_BLOCK_STATE, 0, mode, &state);

	if (status != HF_OK)
		return status == HF_ENOTFOUND ? HF_EBUSY : status; /* not in this run: go on below */
	status = hf_block_run_floor(run, page, log, HF_BLOCK_BLOCK, index, mode, &item);
	if (status == HF_OK && item.index == index) {
		*position = item.position;
		*bytes = item.bytes;
		return HF_OK;
	}
	if (status != HF_OK && status != HF_ENOTFOUND)
		return status;
	if (index >= state.keep)
		return HF_ENOTFOUND;
	status = hf_block_run_floor(run, page, log, HF_BLOCK_HOLE, index, mode, &item);
	if (status == HF_OK)
		return index - item.index < item.count ? HF_ENOTFOUND : HF_EBUSY;
	return status == HF_ENOTFOUND ? HF_EBUSY : status;
}

static int runs_find(const struct hf_block_runs *runs, uint64_t log, uint64_t index, enum hf_read_mode mode, uint64_t *position,
	uint64_t *bytes)
{
	struct hf_block_page page;

	page.run = NULL;
	for (size_t i = runs->count; i-- > 0;) {
		int status = run_find(runs->runs[i], &page, log, index, mode, position, bytes);

		if (status != HF_EBUSY)
			return status;
	}
	return HF_ENOTFOUND;
}

/* ---- Open ---- */

int hf_blocks_open(struct hf_blocks **out, const struct hf_blocks_options *options, const uint32_t *runs, size_t run_count,
	uint64_t position, struct hf_failure *failure)
{
	struct hf_blocks *blocks = calloc(1, sizeof *blocks);
	int status = HF_OK;

	if (blocks == NULL || (blocks->runs = calloc(1, sizeof *blocks->runs)) == NULL) {
		free(blocks);
		return hf_fail(failure, HF_ENOMEM, "out of memory");
	}
	snprintf(blocks->directory, sizeof blocks->directory, "%s", options->directory);
	blocks->options = *options;
	blocks->options.directory = blocks->directory;
	blocks->runs->references = 1;
	blocks->opened = blocks->position = position;
	hf_block_memory_init(&blocks->memory);
	hf_block_memory_init(&blocks->frozen);
	pthread_rwlock_init(&blocks->lock, NULL);
	if (run_count > HF_BLOCKS_RUNS_MAX * 2)
		status = hf_fail(failure, HF_ECORRUPT, "MANIFEST names more block files than there can be");
	for (size_t i = 0; i < run_count && status == HF_OK; i++) {
		status = hf_block_run_open(&blocks->runs->runs[i], &blocks->options, runs[i], failure);
		blocks->runs->count += status == HF_OK;
	}
	if (status != HF_OK) {
		hf_blocks_close(blocks);
		return status;
	}
	*out = blocks;
	return HF_OK;
}

void hf_blocks_close(struct hf_blocks *blocks)
{
	if (blocks == NULL)
		return;
	hf_block_memory_free(&blocks->memory);
	hf_block_memory_free(&blocks->frozen);
	hf_block_runs_unref(blocks->runs);
	pthread_rwlock_destroy(&blocks->lock);
	free(blocks);
}

/* ---- Changing ---- */

/* The log's state as it is in memory; false when only the runs may know of it. The lock is held. */
static bool memory_state(const struct hf_blocks *blocks, uint64_t number, struct hf_block_item *state)
{
	const struct hf_block_log *log = hf_block_memory_get(&blocks->memory, number);

	if (log == NULL)
		log = hf_block_memory_get(&blocks->frozen, number);
	if (log != NULL)
		*state = (struct hf_block_item){.length = log->length, .exists = log->exists};
	return log != NULL;
}

/* The log's state as it is now: with the lock held only while memory is looked at, because the runs may have to be waited for
 * and others read meanwhile. HF_ENOTFOUND. */
static int find_state(struct hf_blocks *blocks, uint64_t number, struct hf_block_item *state)
{
	struct hf_block_page page;
	struct hf_block_runs *runs = NULL;
	int status = HF_OK;

	pthread_rwlock_rdlock(&blocks->lock);
	if (!memory_state(blocks, number, state))
		runs = hf_block_runs_ref(blocks);
	pthread_rwlock_unlock(&blocks->lock);
	if (runs == NULL)
		return HF_OK;
	page.run = NULL;
	status = runs_state(runs, &page, number, HF_READ_BLOCKING, state);
	hf_block_runs_unref(runs);
	return status;
}

static int apply_locked(struct hf_blocks *blocks, struct hf_block_log *log, const struct hf_log_record *record,
	const uint64_t values[static 3])
{
	const struct hf_blocks_options *options = &blocks->options;
	struct hf_block_memory *memory = &blocks->memory;

	switch (record->type) {
	case HF_RECORD_BLOCK:
		return hf_block_log_put(memory, log, &(struct hf_block_fact){values[1], record->position,
			(uint32_t)hf_log_record_bytes(record->payload.length)}, options);
	case HF_RECORD_LOG_CLEAR:
		return hf_block_log_clear(memory, log, values[1], values[2], options);
	case HF_RECORD_LOG_TRUNCATE: hf_block_log_truncate(memory, log, values[1], options); return HF_OK;
	default: hf_block_log_drop(memory, log, options); return HF_OK;
	}
}

/* False when a number is none that an index or a length can be. */
static bool read_values(const struct hf_log_record *record, uint64_t values[static 3])
{
	uint8_t count = record->type == HF_RECORD_LOG_CLEAR ? 3 : record->type == HF_RECORD_LOG_DROP ? 1 : 2;
	uint64_t most = record->type == HF_RECORD_BLOCK ? HF_BLOCK_INDEX_MAX : HF_BLOCK_INDEX_MAX + 1;
	struct hf_slice rest;

	return hf_record_read_varints(record->payload, values, count, &rest) && values[1] <= most && values[2] <= most;
}

int hf_blocks_apply(struct hf_blocks *blocks, const struct hf_log_record *record)
{
	struct hf_block_item state = {0};
	struct hf_block_log *log;
	uint64_t values[3] = {0};
	int status = HF_OK;

	if (record->position < blocks->opened)
		return HF_OK;
	if (!read_values(record, values))
		return HF_ECORRUPT;
	pthread_rwlock_wrlock(&blocks->lock);
	log = hf_block_memory_get(&blocks->memory, values[0]);
	if (log == NULL) {
		/* Only this thread changes it, so it is still so when the lock is taken again. */
		pthread_rwlock_unlock(&blocks->lock);
		status = find_state(blocks, values[0], &state);
		pthread_rwlock_wrlock(&blocks->lock);
		if (status == HF_OK || status == HF_ENOTFOUND)
			status = hf_block_memory_add(&blocks->memory, values[0], state.length, state.exists, &log);
	}
	if (status == HF_OK)
		status = apply_locked(blocks, log, record, values);
	pthread_rwlock_unlock(&blocks->lock);
	return status;
}

size_t hf_blocks_memory_bytes(struct hf_blocks *blocks)
{
	pthread_rwlock_rdlock(&blocks->lock);
	size_t bytes = blocks->memory.bytes;

	pthread_rwlock_unlock(&blocks->lock);
	return bytes;
}

/* ---- Reading ---- */

int hf_blocks_length(struct hf_blocks *blocks, uint64_t number, uint64_t *length)
{
	struct hf_block_item state = {0};
	int status = find_state(blocks, number, &state);

	if (status == HF_OK && !state.exists)
		status = HF_ENOTFOUND;
	if (status == HF_OK)
		*length = state.length;
	return status;
}

int hf_blocks_find(struct hf_blocks *blocks, uint64_t number, uint64_t index, enum hf_read_mode mode, uint64_t *position, uint64_t *bytes)
{
	struct hf_block_runs *runs = NULL;
	int status;

	if (index > HF_BLOCK_INDEX_MAX)
		return HF_ENOTFOUND;
	pthread_rwlock_rdlock(&blocks->lock);
	status = hf_block_memory_find(&blocks->memory, number, index, position, bytes);
	if (status == HF_EWAIT)
		status = hf_block_memory_find(&blocks->frozen, number, index, position, bytes);
	if (status == HF_EWAIT)
		runs = hf_block_runs_ref(blocks);
	pthread_rwlock_unlock(&blocks->lock);
	if (runs != NULL)
		status = runs_find(runs, number, index, mode, position, bytes);
	hf_block_runs_unref(runs);
	return status;
}
