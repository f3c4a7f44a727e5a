/* What keeps memory and runs small: memory that holds much is frozen, written as a run, and given up; runs are merged like the
 * digits of a number, so that a block is rewritten once for each doubling. */
#include "store/blocks_private.h"

#include <stdio.h>
#include <stdlib.h>

#define CHECKPOINT_LOG_BYTES (64u << 20)

static int compare_logs(const void *a, const void *b)
{
	const struct hf_block_log *x = *(struct hf_block_log *const *)a, *y = *(struct hf_block_log *const *)b;

	return x->number < y->number ? -1 : x->number > y->number;
}

static int write_log(struct hf_block_writer *writer, const struct hf_block_log *log)
{
	struct hf_block_item item = {.log = log->number, .kind = HF_BLOCK_STATE, .length = log->length, .exists = log->exists, .keep = log->keep};
	const struct hf_block_fact *fact;
	struct hf_block_place place = {0, 0};
	int status = hf_block_writer_add(writer, &item);

	for (; status == HF_OK && (fact = hf_block_facts_at(&log->holes, place)) != NULL; hf_block_facts_next(&log->holes, &place)) {
		item = (struct hf_block_item){.log = log->number, .kind = HF_BLOCK_HOLE, .index = fact->index, .count = fact->value - fact->index};
		status = hf_block_writer_add(writer, &item);
	}
	place = (struct hf_block_place){0, 0};
	for (; status == HF_OK && (fact = hf_block_facts_at(&log->blocks, place)) != NULL; hf_block_facts_next(&log->blocks, &place)) {
		item = (struct hf_block_item){.log = log->number, .kind = HF_BLOCK_BLOCK, .index = fact->index,
			.position = fact->value, .bytes = fact->bytes};
		status = hf_block_writer_add(writer, &item);
	}
	return status;
}

/* Frozen memory as a run file. */
static int write_frozen(struct hf_blocks *blocks, struct hf_block_run **run)
{
	struct hf_block_log **logs = malloc((blocks->frozen.logs.count + 1) * sizeof(struct hf_block_log *));
	struct hf_block_writer *writer = malloc(sizeof *writer);
	struct hf_block_log *log;
	size_t cursor = 0, count = 0;
	int status = logs == NULL || writer == NULL ? HF_ENOMEM : hf_block_writer_open(writer, &blocks->options);

	while (status == HF_OK && (log = hf_map_next(&blocks->frozen.logs, &cursor)) != NULL)
		logs[count++] = log;
	if (count > 0)
		qsort(logs, count, sizeof(struct hf_block_log *), compare_logs);
	for (size_t i = 0; i < count && status == HF_OK; i++)
		status = write_log(writer, logs[i]);
	if (logs != NULL && writer != NULL)
		status = hf_block_writer_finish(writer, status);
	if (status == HF_OK)
		status = hf_block_run_open(run, &blocks->options, writer->number, NULL);
	free(writer);
	free(logs);
	return status;
}

/* The runs before `first` and then run (whose reference it takes). */
static struct hf_block_runs *runs_with(const struct hf_block_runs *from, size_t first, struct hf_block_run *run)
{
	struct hf_block_runs *runs = calloc(1, sizeof *runs);

	if (runs == NULL)
		return NULL;
	runs->references = 1;
	for (size_t i = 0; i < first; i++) {
		runs->runs[runs->count++] = from->runs[i];
		atomic_fetch_add(&from->runs[i]->references, 1);
	}
	runs->runs[runs->count++] = run;
	return runs;
}

static int publish(struct hf_blocks *blocks, size_t keep, struct hf_block_run *run, bool thaw)
{
	struct hf_block_memory written;
	struct hf_block_runs *old, *runs = runs_with(blocks->runs, keep, run);

	if (runs == NULL)
		return HF_ENOMEM;
	hf_block_memory_init(&written);
	pthread_rwlock_wrlock(&blocks->lock);
	old = blocks->runs;
	blocks->runs = runs;
	if (thaw) {
		written = blocks->frozen;
		hf_block_memory_init(&blocks->frozen);
	}
	pthread_rwlock_unlock(&blocks->lock);
	for (size_t i = keep; i < old->count && blocks->old_count < sizeof blocks->old / sizeof blocks->old[0]; i++)
		blocks->old[blocks->old_count++] = old->runs[i]->number;
	hf_block_runs_unref(old);
	hf_block_memory_free(&written);
	return HF_OK;
}

static int write_out(struct hf_blocks *blocks)
{
	struct hf_block_run *run = NULL;
	int status = blocks->runs->count == sizeof blocks->runs->runs / sizeof blocks->runs->runs[0] ? HF_ETOOBIG : /* none can be merged */
		write_frozen(blocks, &run);

	if (status == HF_OK)
		status = publish(blocks, blocks->runs->count, run, true);
	if (status != HF_OK && run != NULL)
		hf_block_run_unref(run);
	if (status == HF_OK)
		blocks->position = blocks->frozen_position;
	return status;
}

/* Where to begin to merge: with the oldest run that is no larger than those after it together, so that a block is
 * rewritten once for each doubling; everything when there are too many. */
static size_t merge_from(const struct hf_block_runs *runs)
{
	uint64_t newer = 0;
	size_t from = runs->count;

	for (size_t i = runs->count; i-- > 0;) {
		if (runs->runs[i]->file_bytes <= newer)
			from = i;
		newer += runs->runs[i]->file_bytes;
	}
	if (runs->count >= HF_BLOCKS_RUNS_MAX && from + 1 >= runs->count)
		return runs->count - 2;
	return from;
}

static int merge(struct hf_blocks *blocks, size_t from)
{
	struct hf_block_run *newest_first[HF_BLOCKS_RUNS_MAX * 2], *run = NULL;
	struct hf_block_writer *writer = malloc(sizeof *writer);
	size_t count = blocks->runs->count - from;
	int status = writer == NULL ? HF_ENOMEM : hf_block_writer_open(writer, &blocks->options);

	for (size_t i = 0; i < count; i++)
		newest_first[i] = blocks->runs->runs[blocks->runs->count - 1 - i];
	if (status == HF_OK)
		status = hf_block_merge(newest_first, count, from == 0, writer);
	if (writer != NULL)
		status = hf_block_writer_finish(writer, status);
	if (status == HF_OK)
		status = hf_block_run_open(&run, &blocks->options, writer->number, NULL);
	if (status == HF_OK)
		status = publish(blocks, from, run, false);
	if (status != HF_OK && run != NULL)
		hf_block_run_unref(run);
	free(writer);
	return status;
}

/* Moves memory aside to be written. True when there is something to write. */
static bool freeze(struct hf_blocks *blocks, bool all, uint64_t applied)
{
	bool frozen, due;

	pthread_rwlock_wrlock(&blocks->lock);
	frozen = blocks->frozen.logs.count > 0;
	due = all || blocks->memory.bytes >= HF_BLOCKS_MEMORY_BYTES || applied > blocks->position + CHECKPOINT_LOG_BYTES;
	if (!frozen && blocks->memory.logs.count == 0) {
		blocks->position = applied;
	} else if (!frozen && due) {
		blocks->frozen = blocks->memory;
		hf_block_memory_init(&blocks->memory);
		blocks->frozen_position = applied;
		frozen = true;
	}
	pthread_rwlock_unlock(&blocks->lock);
	return frozen;
}

int hf_blocks_checkpoint(struct hf_blocks *blocks, bool all, uint64_t applied, uint32_t *runs, size_t max, size_t *count,
	uint64_t *position)
{
	int status = HF_OK;

	if (freeze(blocks, all, applied))
		status = write_out(blocks);
	if (status == HF_OK && merge_from(blocks->runs) + 1 < blocks->runs->count)
		status = merge(blocks, merge_from(blocks->runs));
	*count = blocks->runs->count;
	*position = blocks->position;
	for (size_t i = 0; i < *count && i < max; i++)
		runs[i] = blocks->runs->runs[i]->number;
	return *count > max && status == HF_OK ? HF_ETOOBIG : status;
}

int hf_blocks_merge_all(struct hf_blocks *blocks)
{
	return blocks->runs->count == 0 ? HF_OK : merge(blocks, 0);
}

void hf_blocks_release_old(struct hf_blocks *blocks)
{
	char path[HF_PATH_BYTES_MAX];

	for (size_t i = 0; i < blocks->old_count; i++)
		if (hf_block_run_path(&blocks->options, blocks->old[i], path) == HF_OK)
			blocks->options.fs->unlink(blocks->options.fs, path);
	blocks->old_count = 0;
}

uint64_t hf_blocks_file_bytes(struct hf_blocks *blocks)
{
	uint64_t bytes = 0;
	struct hf_block_runs *runs = hf_block_runs_pin(blocks);

	for (size_t i = 0; i < runs->count; i++)
		bytes += runs->runs[i]->file_bytes;
	hf_block_runs_unref(runs);
	return bytes;
}

int hf_blocks_verify(struct hf_blocks *blocks, void (*report)(void *context, const char *sentence), void *context)
{
	struct hf_block_walk *walk = malloc(sizeof *walk);
	char sentence[128];
	struct hf_block_runs *runs;
	int result = HF_OK;

	if (walk == NULL)
		return HF_ENOMEM;
	runs = hf_block_runs_pin(blocks);
	for (size_t i = 0; i < runs->count; i++) {
		int status = hf_block_walk_start(walk, runs->runs[i]);

		while (status == HF_OK && !walk->ended)
			status = hf_block_walk_next(walk);
		if (status == HF_OK)
			continue;
		result = status;
		snprintf(sentence, sizeof sentence, "block/%08x.blk: the page at offset %llu does not match its checksum",
			runs->runs[i]->number, (unsigned long long)((walk->next_page) * HF_BLOCK_PAGE_BYTES));
		if (report != NULL)
			report(context, sentence);
	}
	hf_block_runs_unref(runs);
	free(walk);
	return result;
}
