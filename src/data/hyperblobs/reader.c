/* Reading a blob. Where it starts is found by a byte seek, for which a sparse reader guesses the block by the usual size of blocks: once
 * that block is here, its proof has brought the sizes that decide. A thaw cannot be called off, so what stands in its line is a thing of
 * its own that may lose its owner. */
#include "data/hyperblobs/map.h"

#include <stdlib.h>

#include "base/list.h"
#include "data/corestore.h"

#define NOWHERE UINT64_MAX

struct want {
	struct hf_core_waiter core;
	struct hf_blob_reader *reader;
	bool is_armed;
};

struct thaw {
	struct hf_corestore_thaw thaw;
	struct hf_blob_reader *reader; /* NULL: called off */
};

struct hf_blob_reader {
	struct hf_core *core;
	struct hf_blob_id id;
	struct hf_blob_range range;
	struct hf_blob_map *map;   /* NULL: the blocks are the id's own */
	bool is_placed;
	uint64_t at, end;          /* bytes of the content */
	uint64_t total;
	uint64_t next, last;       /* blocks that are left, numbered from the blob's first: [next, last) */
	size_t skip;               /* in block next */
	uint64_t needed;           /* NOWHERE: what was missing is cold, and has no number */
	struct hf_buffer block;
	/* Waiting. */
	void (*ready)(void *context, int status);
	void *context;
	bool is_waiting, goes_ahead;
	struct thaw *thaw;
	struct want wants[HF_BLOB_AHEAD_COUNT + 1];
};

static bool is_sound(const struct hf_blob_id *id)
{
	if (id->block_count > HF_BLOB_NUMBER_MAX || id->block_offset > HF_BLOB_NUMBER_MAX - id->block_count
		|| id->byte_length > HF_BLOB_NUMBER_MAX || id->byte_offset > HF_BLOB_NUMBER_MAX - id->byte_length)
		return false;
	if (id->has_map && id->block_count > HF_BLOB_MAP_BLOCK_COUNT_MAX)
		return false;
	return id->byte_length == 0 || (id->byte_length - 1) / HF_CORE_BLOCK_BYTES_MAX < id->block_count;
}

int hf_blob_read(struct hf_core *core, const struct hf_blob_id *id, const struct hf_blob_range *range, struct hf_blob_reader **out)
{
	struct hf_blob_reader *reader;

	if (!is_sound(id))
		return HF_EMALFORMED;
	reader = calloc(1, sizeof *reader);
	if (reader == NULL)
		return HF_ENOMEM;
	if (id->has_map && (reader->map = calloc(1, sizeof *reader->map)) == NULL) {
		free(reader);
		return HF_ENOMEM;
	}
	reader->core = hf_core_ref(core);
	reader->id = *id;
	reader->range = range != NULL ? *range : (struct hf_blob_range){0, UINT64_MAX};
	*out = reader;
	return HF_OK;
}

/* ---- Where ---- */

static uint64_t core_block(const struct hf_blob_reader *reader, uint64_t number)
{
	return reader->map != NULL ? reader->map->entries[number].block : reader->id.block_offset + number;
}

/* The block of a byte of the content, were all blocks as large as is usual. */
static uint64_t guess(const struct hf_blob_reader *reader, uint64_t byte)
{
	uint64_t count = reader->id.block_count, total = reader->total, size = HF_BLOB_BLOCK_BYTES;

	if (total / size + (total % size > 0) != count)
		size = total / count + (total % count > 0);
	uint64_t number = byte / size;

	return number < count ? number : count - 1;
}

/* A block that a seek has to have, near the guess. */
static int need_for_seek(struct hf_blob_reader *reader, const struct hf_core_place *place, uint64_t byte)
{
	const struct hf_bitfield *held = hf_core_blocks(reader->core);
	uint64_t from = reader->id.block_offset, to = from + reader->id.block_count, wanted = from + guess(reader, byte);

	reader->needed = NOWHERE;
	if (place->from == place->to)
		return HF_EWAIT;
	from = place->from > from ? place->from : from;
	to = place->to < to ? place->to : to;
	if (from >= to)
		return HF_EMALFORMED;
	wanted = wanted < from ? from : wanted >= to ? to - 1 : wanted;
	reader->needed = hf_bitfield_next_clear(held, wanted, to);
	if (reader->needed >= to)
		reader->needed = hf_bitfield_next_clear(held, from, to);
	return reader->needed < to ? HF_EWAIT : HF_EMALFORMED;
}

/* A block past the end: of somebody else's core, of which more may come. */
static int need_beyond(struct hf_blob_reader *reader, uint64_t block)
{
	reader->needed = block;
	return hf_core_is_writable(reader->core) ? HF_EMALFORMED : HF_EWAIT;
}

static int find_start(struct hf_blob_reader *reader)
{
	struct hf_core_place place;
	uint64_t first = reader->id.block_offset;

	reader->next = 0;
	reader->skip = 0;
	if (reader->at == 0)
		return HF_OK;
	int status = hf_core_seek(reader->core, reader->id.byte_offset + reader->at, &place);

	if (status == HF_EWAIT)
		return need_for_seek(reader, &place, reader->at);
	if (status == HF_ENOTFOUND)
		return need_beyond(reader, first + guess(reader, reader->at));
	if (status != HF_OK)
		return status;
	if (place.block < first || place.block - first >= reader->id.block_count)
		return HF_EMALFORMED;
	reader->next = place.block - first;
	reader->skip = (size_t)place.offset;
	return HF_OK;
}

/* How far to look ahead: only a guess, unless what is held of the tree tells. Reading itself ends by bytes. */
static void find_end(struct hf_blob_reader *reader)
{
	struct hf_core_place place;
	uint64_t first = reader->id.block_offset;

	reader->last = reader->id.block_count;
	if (reader->end == reader->total)
		return;
	reader->last = guess(reader, reader->end - 1) + 1;
	if (hf_core_seek(reader->core, reader->id.byte_offset + reader->end - 1, &place) == HF_OK && place.block >= first
		&& place.block - first < reader->id.block_count)
		reader->last = place.block - first + 1;
}

static void find_mapped(struct hf_blob_reader *reader)
{
	const struct hf_blob_map_entry *entries = reader->map->entries;
	uint64_t skip = reader->at, left;

	while (reader->next < reader->map->count && skip >= entries[reader->next].bytes)
		skip -= entries[reader->next++].bytes;
	reader->skip = (size_t)skip;
	left = skip + reader->end - reader->at;
	for (reader->last = reader->next; reader->last < reader->map->count && left > 0; reader->last++)
		left -= entries[reader->last].bytes < left ? entries[reader->last].bytes : left;
}

static void clamp(struct hf_blob_reader *reader, uint64_t total)
{
	reader->total = total;
	reader->at = reader->range.start < total ? reader->range.start : total;
	reader->end = reader->range.length < total - reader->at ? reader->at + reader->range.length : total;
}

static int place(struct hf_blob_reader *reader)
{
	int status = HF_OK;

	if (reader->map != NULL) {
		status = hf_blob_map_read(reader->map, reader->core, &reader->id, &reader->needed);
		if (status != HF_OK)
			return status == HF_ENOTFOUND ? need_beyond(reader, reader->needed) : status;
		clamp(reader, reader->map->content_bytes);
		find_mapped(reader);
	} else {
		clamp(reader, reader->id.byte_length);
		if (reader->at < reader->end)
			status = find_start(reader);
		if (status != HF_OK)
			return status;
		if (reader->at < reader->end)
			find_end(reader);
	}
	reader->is_placed = true;
	return HF_OK;
}

/* ---- Reading ---- */

static void top_up(struct hf_blob_reader *reader);

/* One block's part of the range; *bytes may be empty, of an empty block. */
static int read_one(struct hf_blob_reader *reader, struct hf_slice *bytes)
{
	uint64_t count = reader->map != NULL ? reader->map->count : reader->id.block_count;

	if (reader->next >= count)
		return HF_EMALFORMED;
	reader->needed = core_block(reader, reader->next);
	hf_buffer_clear(&reader->block);
	int status = hf_core_get(reader->core, reader->needed, &reader->block);

	if (status != HF_OK)
		return status == HF_ENOTFOUND ? need_beyond(reader, reader->needed) : status;
	if (reader->block.length < reader->skip || (reader->map != NULL && reader->block.length != reader->map->entries[reader->next].bytes))
		return HF_EMALFORMED;
	uint64_t left = reader->end - reader->at;
	size_t length = reader->block.length - reader->skip;

	if (length > left && reader->end == reader->total && reader->map == NULL)
		return HF_EMALFORMED;
	if (length > 0)
		*bytes = hf_slice(reader->block.data + reader->skip, length < left ? length : (size_t)left);
	reader->at += bytes->length;
	reader->skip = 0;
	reader->next++;
	return HF_OK;
}

int hf_blob_reader_next(struct hf_blob_reader *reader, struct hf_slice *bytes)
{
	int status = reader->is_placed ? HF_OK : place(reader);

	*bytes = hf_slice(NULL, 0);
	while (status == HF_OK && bytes->length == 0)
		status = reader->at < reader->end ? read_one(reader, bytes) : HF_ENOTFOUND;
	if (status == HF_OK && reader->goes_ahead)
		top_up(reader);
	return status;
}

uint64_t hf_blob_reader_needed(const struct hf_blob_reader *reader)
{
	return reader->needed;
}

/* ---- Waiting ---- */

static void finish(struct hf_blob_reader *reader, int status)
{
	if (!reader->is_waiting)
		return;
	reader->is_waiting = false;
	reader->ready(reader->context, status);
}

static void on_block(struct hf_core_waiter *waiter, int status)
{
	struct want *want = HF_CONTAINER_OF(waiter, struct want, core);

	want->is_armed = false;
	if (waiter->index == want->reader->needed)
		finish(want->reader, status);
}

static void on_thawed(struct hf_corestore_thaw *corestore_thaw)
{
	struct thaw *thaw = (struct thaw *)corestore_thaw;
	struct hf_blob_reader *reader = thaw->reader;

	free(thaw);
	if (reader == NULL)
		return;
	reader->thaw = NULL;
	finish(reader, HF_OK);
}

/* False when there is no place left. */
static bool arm(struct hf_blob_reader *reader, uint64_t block)
{
	struct want *place = NULL;

	for (size_t i = 0; i < sizeof reader->wants / sizeof *reader->wants; i++) {
		if (reader->wants[i].is_armed && reader->wants[i].core.index == block)
			return true;
		if (!reader->wants[i].is_armed && place == NULL)
			place = &reader->wants[i];
	}
	if (place == NULL)
		return false;
	*place = (struct want){.core.ready = on_block, .reader = reader, .is_armed = true};
	hf_core_wait(reader->core, &place->core, block);
	return true;
}

/* Has the blocks after the next one fetched that are not here. */
static void top_up(struct hf_blob_reader *reader)
{
	const struct hf_bitfield *held = hf_core_blocks(reader->core);

	for (uint64_t number = reader->next; number < reader->last && number < reader->next + HF_BLOB_AHEAD_COUNT; number++) {
		uint64_t block = core_block(reader, number);

		if (!hf_bitfield_get(held, block) && block < hf_core_length(reader->core) && !arm(reader, block))
			return;
	}
}

static int start_thaw(struct hf_blob_reader *reader)
{
	struct thaw *thaw = calloc(1, sizeof *thaw);

	if (thaw == NULL)
		return HF_ENOMEM;
	*thaw = (struct thaw){.thaw.done = on_thawed, .reader = reader};
	int status = hf_corestore_thaw(hf_core_store(reader->core), &thaw->thaw);

	if (status != HF_OK) {
		free(thaw);
		return status;
	}
	reader->thaw = thaw;
	return HF_OK;
}

int hf_blob_reader_wait(struct hf_blob_reader *reader, void (*ready)(void *context, int status), void *context)
{
	int status = HF_OK;

	reader->ready = ready;
	reader->context = context;
	if (reader->needed == NOWHERE || hf_bitfield_get(hf_core_blocks(reader->core), reader->needed)) {
		status = start_thaw(reader);
	} else if (!arm(reader, reader->needed)) {
		return HF_EBUSY;
	} else if (reader->is_placed) {
		reader->goes_ahead = true;
		top_up(reader);
	} else if (reader->map != NULL) {
		for (uint64_t i = reader->map->read_blocks; i < reader->id.block_count; i++)
			if (!hf_bitfield_get(hf_core_blocks(reader->core), reader->id.block_offset + i))
				arm(reader, reader->id.block_offset + i);
	}
	reader->is_waiting = status == HF_OK;
	return status;
}

void hf_blob_reader_free(struct hf_blob_reader *reader)
{
	if (reader == NULL)
		return;
	for (size_t i = 0; i < sizeof reader->wants / sizeof *reader->wants; i++)
		if (reader->wants[i].is_armed)
			hf_core_wait_cancel(reader->core, &reader->wants[i].core);
	if (reader->thaw != NULL)
		reader->thaw->reader = NULL;
	hf_blob_map_free(reader->map);
	hf_buffer_free(&reader->block);
	hf_core_unref(reader->core);
	free(reader);
}

/* ---- The whole ---- */

int hf_blob_length(struct hf_core *core, const struct hf_blob_id *id, uint64_t *length, uint64_t *needed)
{
	*length = id->byte_length;
	if (!id->has_map)
		return HF_OK;
	struct hf_blob_map *map = calloc(1, sizeof *map);
	int status = map == NULL ? HF_ENOMEM : hf_blob_map_read(map, core, id, needed);

	if (status == HF_OK)
		*length = map->content_bytes;
	hf_blob_map_free(map);
	return status;
}

/* Calls each for the ranges of blocks that the blob has, its map's first. */
static int each_range(struct hf_core *core, const struct hf_blob_id *id, int (*each)(void *context, struct hf_core *core, uint64_t from,
	uint64_t to), void *context)
{
	struct hf_blob_map *map = NULL;
	uint64_t needed;
	int status = HF_OK;

	if (id->has_map) {
		map = calloc(1, sizeof *map);
		status = map == NULL ? HF_ENOMEM : hf_blob_map_read(map, core, id, &needed);
	}
	for (size_t i = 0; status == HF_OK && map != NULL && i < map->count; i++)
		status = each(context, core, map->entries[i].block, map->entries[i].block + 1);
	if (status == HF_OK)
		status = each(context, core, id->block_offset, id->block_offset + id->block_count);
	hf_blob_map_free(map);
	return status;
}

static int note_held(void *context, struct hf_core *core, uint64_t from, uint64_t to)
{
	bool *is_held = context;

	*is_held = *is_held && to <= hf_core_length(core) && hf_bitfield_next_clear(hf_core_blocks(core), from, to) >= to;
	return HF_OK;
}

int hf_blob_is_held(struct hf_core *core, const struct hf_blob_id *id, bool *is_held)
{
	*is_held = true;
	return each_range(core, id, note_held, is_held);
}

static int clear_range(void *context, struct hf_core *core, uint64_t from, uint64_t to)
{
	uint64_t length = hf_core_length(core);

	(void)context;
	return from < length ? hf_core_clear(core, from, to < length ? to : length) : HF_OK;
}

int hf_blob_clear(struct hf_core *core, const struct hf_blob_id *id)
{
	int status = each_range(core, id, clear_range, NULL);

	/* Without its map, what else it has cannot be known. */
	return status == HF_EWAIT ? clear_range(NULL, core, id->block_offset, id->block_offset + id->block_count) : status;
}
