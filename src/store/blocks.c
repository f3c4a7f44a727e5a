/* Three layers, each hiding what is under it: MEMORY, which the writer changes; FROZEN memory, while a checkpoint writes it to a
 * run; and the runs. The first two are under a read-write lock; runs are an immutable, reference-counted set. A log gets an entry in
 * memory when it is changed, with the state it has below; so a log that nobody touches costs nothing. */
#include "store/blocks.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/map.h"
#include "store/block_run.h"
#include "store/record.h"

#define CHECKPOINT_ENTRIES (1u << 18) /* in memory, before a checkpoint writes them */
#define CHECKPOINT_LOG_BYTES (64u << 20)

struct entry {
	uint64_t index, position;
	uint32_t bytes;
};

struct hole {
	uint64_t from, to;
};

struct block_log {
	uint64_t number, length;
	uint64_t keep; /* blocks below this layer at or above it are void */
	bool exists;
	struct entry *entries; /* by index */
	size_t count, capacity;
	struct hole *holes;    /* disjoint, sorted */
	size_t hole_count, hole_capacity;
};

struct memory {
	struct hf_map logs;
	size_t entry_count;
};

struct run_set {
	_Atomic uint32_t references;
	size_t count;
	struct hf_block_run *runs[HF_BLOCKS_RUNS_MAX * 2]; /* oldest first */
};

struct hf_blocks {
	struct hf_blocks_options options;
	char directory[HF_PATH_BYTES_MAX];
	pthread_rwlock_t lock;
	struct memory memory, frozen;
	struct run_set *set;
	uint64_t opened;          /* records below it are not applied again */
	/* Under the caller's checkpoint lock. */
	uint64_t position;        /* what the runs hold */
	uint64_t frozen_position;
	uint32_t old[HF_BLOCKS_RUNS_MAX * 2];
	size_t old_count;
};

/* ---- Memory ---- */

static struct block_log *memory_get(const struct memory *memory, uint64_t log)
{
	return hf_map_get(&memory->logs, hf_slice(&log, sizeof log));
}

static void memory_free(struct memory *memory)
{
	size_t cursor = 0;
	struct block_log *log;

	while ((log = hf_map_next(&memory->logs, &cursor)) != NULL) {
		free(log->entries);
		free(log->holes);
		free(log);
	}
	hf_map_free(&memory->logs);
	hf_map_init(&memory->logs, 0);
	memory->entry_count = 0;
}

static bool grow(void **items, size_t *capacity, size_t count, size_t item_bytes)
{
	size_t wanted = *capacity == 0 ? 4 : *capacity * 2;

	if (count < *capacity)
		return true;
	void *larger = realloc(*items, wanted * item_bytes);

	if (larger == NULL)
		return false;
	*items = larger;
	*capacity = wanted;
	return true;
}

/* The place of the first entry at or after index. */
static size_t entry_place(const struct block_log *log, uint64_t index)
{
	size_t low = 0, high = log->count;

	if (high > 0 && log->entries[high - 1].index < index)
		return high;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (log->entries[middle].index < index)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool in_holes(const struct block_log *log, uint64_t index)
{
	for (size_t i = 0; i < log->hole_count; i++)
		if (index >= log->holes[i].from && index < log->holes[i].to)
			return true;
	return false;
}

/* HF_OK, HF_ENOTFOUND (this layer says so), or HF_EWAIT: ask the layer below. */
static int memory_find(const struct memory *memory, uint64_t number, uint64_t index, uint64_t *position)
{
	const struct block_log *log = memory_get(memory, number);
	size_t place;

	if (log == NULL)
		return HF_EWAIT;
	place = entry_place(log, index);
	if (place < log->count && log->entries[place].index == index) {
		*position = log->entries[place].position;
		return HF_OK;
	}
	return index >= log->keep || in_holes(log, index) ? HF_ENOTFOUND : HF_EWAIT;
}

/* ---- Run sets ---- */

static struct run_set *set_ref(struct hf_blocks *blocks)
{
	atomic_fetch_add(&blocks->set->references, 1);
	return blocks->set;
}

static void set_unref(struct run_set *set)
{
	if (set == NULL || atomic_fetch_sub(&set->references, 1) != 1)
		return;
	for (size_t i = 0; i < set->count; i++)
		hf_block_run_unref(set->runs[i]);
	free(set);
}

/* The runs before `first` and then run (whose reference it takes). */
static struct run_set *set_with(const struct run_set *from, size_t first, struct hf_block_run *run)
{
	struct run_set *set = calloc(1, sizeof *set);

	if (set == NULL)
		return NULL;
	set->references = 1;
	for (size_t i = 0; i < first; i++) {
		set->runs[set->count++] = from->runs[i];
		atomic_fetch_add(&from->runs[i]->references, 1);
	}
	set->runs[set->count++] = run;
	return set;
}

static int runs_state(const struct run_set *set, struct hf_block_page *page, uint64_t log, enum hf_read_mode mode,
	struct hf_block_item *state)
{
	for (size_t i = set->count; i-- > 0;) {
		int status = hf_block_run_floor(set->runs[i], page, log, HF_BLOCK_STATE, 0, mode, state);

		if (status != HF_ENOTFOUND)
			return status;
	}
	return HF_ENOTFOUND;
}

static int run_find(const struct hf_block_run *run, struct hf_block_page *page, uint64_t log, uint64_t index,
	enum hf_read_mode mode, uint64_t *position)
{
	struct hf_block_item item, state;
	int status = hf_block_run_floor(run, page, log, HF_BLOCK_STATE, 0, mode, &state);

	if (status != HF_OK)
		return status == HF_ENOTFOUND ? HF_EBUSY : status; /* not in this run: go on below */
	status = hf_block_run_floor(run, page, log, HF_BLOCK_BLOCK, index, mode, &item);
	if (status == HF_OK && item.index == index) {
		*position = item.position;
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

static int runs_find(const struct run_set *set, uint64_t log, uint64_t index, enum hf_read_mode mode, uint64_t *position)
{
	struct hf_block_page page = {.run = NULL};

	for (size_t i = set->count; i-- > 0;) {
		int status = run_find(set->runs[i], &page, log, index, mode, position);

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

	if (blocks == NULL || (blocks->set = calloc(1, sizeof *blocks->set)) == NULL) {
		free(blocks);
		return hf_fail(failure, HF_ENOMEM, "out of memory");
	}
	snprintf(blocks->directory, sizeof blocks->directory, "%s", options->directory);
	blocks->options = *options;
	blocks->options.directory = blocks->directory;
	blocks->set->references = 1;
	blocks->opened = blocks->position = position;
	hf_map_init(&blocks->memory.logs, 0);
	hf_map_init(&blocks->frozen.logs, 0);
	pthread_rwlock_init(&blocks->lock, NULL);
	if (run_count > HF_BLOCKS_RUNS_MAX * 2)
		status = hf_fail(failure, HF_ECORRUPT, "MANIFEST names more block files than there can be");
	for (size_t i = 0; i < run_count && status == HF_OK; i++) {
		status = hf_block_run_open(&blocks->set->runs[i], &blocks->options, runs[i], failure);
		blocks->set->count += status == HF_OK;
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
	memory_free(&blocks->memory);
	memory_free(&blocks->frozen);
	set_unref(blocks->set);
	pthread_rwlock_destroy(&blocks->lock);
	free(blocks);
}

/* ---- Changing ---- */

static void report_dead(const struct hf_blocks *blocks, const struct entry *entry)
{
	if (blocks->options.dead != NULL)
		blocks->options.dead(blocks->options.context, entry->position, entry->bytes);
}

/* The log's state as it is now: with the lock held for reading only while memory is looked at, because the runs may have to
 * be waited for and others read meanwhile. HF_ENOTFOUND. */
static int find_state(struct hf_blocks *blocks, uint64_t number, struct hf_block_item *state)
{
	struct hf_block_page page = {.run = NULL};
	struct run_set *set = NULL;
	int status = HF_OK;

	pthread_rwlock_rdlock(&blocks->lock);
	const struct block_log *log = memory_get(&blocks->memory, number);

	if (log == NULL)
		log = memory_get(&blocks->frozen, number);
	if (log != NULL)
		*state = (struct hf_block_item){.length = log->length, .exists = log->exists};
	else
		set = set_ref(blocks);
	pthread_rwlock_unlock(&blocks->lock);
	if (set != NULL)
		status = runs_state(set, &page, number, HF_READ_BLOCKING, state);
	set_unref(set);
	return status;
}

/* The log's entry in memory, made with the state it had below. The lock is held for writing. */
static int touch(struct hf_blocks *blocks, uint64_t number, const struct hf_block_item *state_below, struct block_log **out)
{
	struct hf_block_item state = *state_below;
	struct block_log *log = memory_get(&blocks->memory, number);

	*out = log;
	if (log != NULL)
		return HF_OK;
	log = calloc(1, sizeof *log);
	if (log == NULL)
		return HF_ENOMEM;
	*log = (struct block_log){.number = number, .length = state.length, .exists = state.exists, .keep = HF_BLOCK_KEEP_ALL};
	if (hf_map_put(&blocks->memory.logs, hf_slice(&log->number, sizeof log->number), log, NULL) != HF_OK) {
		free(log);
		return HF_ENOMEM;
	}
	*out = log;
	return HF_OK;
}

static int put(struct hf_blocks *blocks, struct block_log *log, const struct entry *entry)
{
	size_t place = entry_place(log, entry->index);

	if (place < log->count && log->entries[place].index == entry->index) {
		if (log->entries[place].position != entry->position)
			report_dead(blocks, &log->entries[place]);
		log->entries[place] = *entry;
	} else {
		if (!grow((void **)&log->entries, &log->capacity, log->count, sizeof *log->entries))
			return HF_ENOMEM;
		memmove(log->entries + place + 1, log->entries + place, (log->count - place) * sizeof *log->entries);
		log->entries[place] = *entry;
		log->count++;
		blocks->memory.entry_count++;
	}
	log->exists = true;
	if (log->length <= entry->index)
		log->length = entry->index + 1;
	return HF_OK;
}

/* Forgets the entries of [from, to) of this layer. */
static void remove_entries(struct hf_blocks *blocks, struct block_log *log, uint64_t from, uint64_t to)
{
	size_t first = entry_place(log, from), end = entry_place(log, to);

	for (size_t i = first; i < end; i++)
		report_dead(blocks, &log->entries[i]);
	if (end > first)
		memmove(log->entries + first, log->entries + end, (log->count - end) * sizeof *log->entries);
	log->count -= end - first;
	blocks->memory.entry_count -= end - first;
}

static int clear(struct hf_blocks *blocks, struct block_log *log, uint64_t from, uint64_t to)
{
	struct hole hole = {from, to};
	size_t kept = 0;

	if (from >= to)
		return HF_OK;
	if (!grow((void **)&log->holes, &log->hole_capacity, log->hole_count, sizeof *log->holes))
		return HF_ENOMEM;
	remove_entries(blocks, log, from, to);
	/* Holes that touch the new one become part of it. */
	for (size_t i = 0; i < log->hole_count; i++) {
		struct hole old = log->holes[i];

		if (old.to < hole.from || old.from > hole.to) {
			log->holes[kept++] = old;
			continue;
		}
		hole.from = old.from < hole.from ? old.from : hole.from;
		hole.to = old.to > hole.to ? old.to : hole.to;
	}
	size_t place = kept;

	while (place > 0 && log->holes[place - 1].from > hole.from) {
		log->holes[place] = log->holes[place - 1];
		place--;
	}
	log->holes[place] = hole;
	log->hole_count = kept + 1;
	return HF_OK;
}

static void truncate(struct hf_blocks *blocks, struct block_log *log, uint64_t length)
{
	if (length < log->length)
		log->length = length;
	if (length < log->keep)
		log->keep = length;
	remove_entries(blocks, log, length, UINT64_MAX);
}

static int apply_locked(struct hf_blocks *blocks, const struct hf_log_record *record, const uint64_t values[static 3],
	const struct hf_block_item *state)
{
	struct block_log *log;
	int status = touch(blocks, values[0], state, &log);

	if (status != HF_OK)
		return status;
	switch (record->type) {
	case HF_RECORD_BLOCK:
		return put(blocks, log, &(struct entry){values[1], record->position, (uint32_t)hf_log_record_bytes(record->payload.length)});
	case HF_RECORD_LOG_CLEAR: return clear(blocks, log, values[1], values[2] > HF_BLOCK_INDEX_MAX ? HF_BLOCK_INDEX_MAX : values[2]);
	case HF_RECORD_LOG_TRUNCATE: truncate(blocks, log, values[1]); return HF_OK;
	default:
		truncate(blocks, log, 0);
		log->exists = false;
		log->hole_count = 0;
		return HF_OK;
	}
}

int hf_blocks_apply(struct hf_blocks *blocks, const struct hf_log_record *record)
{
	uint8_t count = record->type == HF_RECORD_LOG_CLEAR ? 3 : record->type == HF_RECORD_LOG_DROP ? 1 : 2;
	struct hf_block_item state = {0};
	uint64_t values[3] = {0};
	struct hf_slice rest;
	int status;

	if (record->position < blocks->opened)
		return HF_OK;
	if (!hf_record_read_varints(record->payload, values, count, &rest) || values[1] > HF_BLOCK_INDEX_MAX)
		return HF_ECORRUPT;
	/* Only this thread changes it, so it is still so under the lock. */
	status = find_state(blocks, values[0], &state);
	if (status != HF_OK && status != HF_ENOTFOUND)
		return status;
	pthread_rwlock_wrlock(&blocks->lock);
	status = apply_locked(blocks, record, values, &state);
	pthread_rwlock_unlock(&blocks->lock);
	return status;
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

int hf_blocks_find(struct hf_blocks *blocks, uint64_t number, uint64_t index, enum hf_read_mode mode, uint64_t *position)
{
	struct run_set *set = NULL;
	int status;

	if (index > HF_BLOCK_INDEX_MAX)
		return HF_ENOTFOUND;
	pthread_rwlock_rdlock(&blocks->lock);
	status = memory_find(&blocks->memory, number, index, position);
	if (status == HF_EWAIT)
		status = memory_find(&blocks->frozen, number, index, position);
	if (status == HF_EWAIT)
		set = set_ref(blocks);
	pthread_rwlock_unlock(&blocks->lock);
	if (set != NULL)
		status = runs_find(set, number, index, mode, position);
	set_unref(set);
	return status;
}

/* ---- Checkpoint ---- */

static int compare_logs(const void *a, const void *b)
{
	const struct block_log *x = *(struct block_log *const *)a, *y = *(struct block_log *const *)b;

	return x->number < y->number ? -1 : x->number > y->number;
}

static int write_log(struct hf_block_writer *writer, const struct block_log *log)
{
	struct hf_block_item item = {.log = log->number, .kind = HF_BLOCK_STATE, .length = log->length, .exists = log->exists, .keep = log->keep};
	int status = hf_block_writer_add(writer, &item);

	for (size_t i = 0; i < log->hole_count && status == HF_OK; i++) {
		item = (struct hf_block_item){.log = log->number, .kind = HF_BLOCK_HOLE, .index = log->holes[i].from,
			.count = log->holes[i].to - log->holes[i].from};
		status = hf_block_writer_add(writer, &item);
	}
	for (size_t i = 0; i < log->count && status == HF_OK; i++) {
		item = (struct hf_block_item){.log = log->number, .kind = HF_BLOCK_BLOCK, .index = log->entries[i].index,
			.position = log->entries[i].position, .bytes = log->entries[i].bytes};
		status = hf_block_writer_add(writer, &item);
	}
	return status;
}

/* Frozen memory as a run file. */
static int write_frozen(struct hf_blocks *blocks, struct hf_block_run **run)
{
	struct block_log **logs = malloc((blocks->frozen.logs.count + 1) * sizeof(struct block_log *));
	struct hf_block_writer *writer = malloc(sizeof *writer);
	struct block_log *log;
	size_t cursor = 0, count = 0;
	int status = logs == NULL || writer == NULL ? HF_ENOMEM : hf_block_writer_open(writer, &blocks->options);

	while (status == HF_OK && (log = hf_map_next(&blocks->frozen.logs, &cursor)) != NULL)
		logs[count++] = log;
	if (count > 0)
		qsort(logs, count, sizeof(struct block_log *), compare_logs);
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

static int publish(struct hf_blocks *blocks, size_t keep, struct hf_block_run *run, bool thaw)
{
	struct memory written = {0};
	struct run_set *old, *set = set_with(blocks->set, keep, run);

	if (set == NULL)
		return HF_ENOMEM;
	pthread_rwlock_wrlock(&blocks->lock);
	old = blocks->set;
	blocks->set = set;
	if (thaw) {
		written = blocks->frozen;
		blocks->frozen = (struct memory){0};
		hf_map_init(&blocks->frozen.logs, 0);
	}
	pthread_rwlock_unlock(&blocks->lock);
	for (size_t i = keep; i < old->count && blocks->old_count < sizeof blocks->old / sizeof blocks->old[0]; i++)
		blocks->old[blocks->old_count++] = old->runs[i]->number;
	set_unref(old);
	if (thaw)
		memory_free(&written);
	return HF_OK;
}

static int write_out(struct hf_blocks *blocks)
{
	struct hf_block_run *run = NULL;
	int status = write_frozen(blocks, &run);

	if (status == HF_OK)
		status = publish(blocks, blocks->set->count, run, true);
	if (status != HF_OK && run != NULL)
		hf_block_run_unref(run);
	if (status == HF_OK)
		blocks->position = blocks->frozen_position;
	return status;
}

/* Where to begin to merge: with the oldest run that is no larger than those after it together, so that a block is
 * rewritten once for each doubling; everything when there are too many. */
static size_t merge_from(const struct run_set *set)
{
	uint64_t newer = 0;
	size_t from = set->count;

	for (size_t i = set->count; i-- > 0;) {
		if (set->runs[i]->file_bytes <= newer)
			from = i;
		newer += set->runs[i]->file_bytes;
	}
	if (set->count >= HF_BLOCKS_RUNS_MAX && from + 1 >= set->count)
		return set->count - 2;
	return from;
}

static int merge(struct hf_blocks *blocks, size_t from)
{
	struct hf_block_run *newest_first[HF_BLOCKS_RUNS_MAX * 2], *run = NULL;
	struct hf_block_writer *writer = malloc(sizeof *writer);
	size_t count = blocks->set->count - from;
	int status = writer == NULL ? HF_ENOMEM : hf_block_writer_open(writer, &blocks->options);

	for (size_t i = 0; i < count; i++)
		newest_first[i] = blocks->set->runs[blocks->set->count - 1 - i];
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
	due = all || blocks->memory.entry_count >= CHECKPOINT_ENTRIES || applied > blocks->position + CHECKPOINT_LOG_BYTES;
	if (!frozen && blocks->memory.logs.count == 0) {
		blocks->position = applied;
	} else if (!frozen && due) {
		blocks->frozen = blocks->memory;
		blocks->memory = (struct memory){0};
		hf_map_init(&blocks->memory.logs, 0);
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
	if (status == HF_OK && merge_from(blocks->set) + 1 < blocks->set->count)
		status = merge(blocks, merge_from(blocks->set));
	*count = blocks->set->count;
	*position = blocks->position;
	for (size_t i = 0; i < *count && i < max; i++)
		runs[i] = blocks->set->runs[i]->number;
	return *count > max && status == HF_OK ? HF_ETOOBIG : status;
}

int hf_blocks_merge_all(struct hf_blocks *blocks)
{
	return blocks->set->count == 0 ? HF_OK : merge(blocks, 0);
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
	struct run_set *set;

	pthread_rwlock_rdlock(&blocks->lock);
	set = set_ref(blocks);
	pthread_rwlock_unlock(&blocks->lock);
	for (size_t i = 0; i < set->count; i++)
		bytes += set->runs[i]->file_bytes;
	set_unref(set);
	return bytes;
}

int hf_blocks_verify(struct hf_blocks *blocks, void (*report)(void *context, const char *sentence), void *context)
{
	struct hf_block_walk *walk = malloc(sizeof *walk);
	char sentence[128];
	struct run_set *set;
	int result = HF_OK;

	if (walk == NULL)
		return HF_ENOMEM;
	pthread_rwlock_rdlock(&blocks->lock);
	set = set_ref(blocks);
	pthread_rwlock_unlock(&blocks->lock);
	for (size_t i = 0; i < set->count; i++) {
		int status = hf_block_walk_start(walk, set->runs[i]);

		while (status == HF_OK && !walk->ended)
			status = hf_block_walk_next(walk);
		if (status == HF_OK)
			continue;
		result = status;
		snprintf(sentence, sizeof sentence, "block/%08x.blk: the page at offset %llu does not match its checksum",
			set->runs[i]->number, (unsigned long long)((walk->next_page) * HF_BLOCK_PAGE_BYTES));
		if (report != NULL)
			report(context, sentence);
	}
	set_unref(set);
	free(walk);
	return result;
}
