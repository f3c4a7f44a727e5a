/* Reading the numbered logs, as they are committed now. Where a block is comes from the block index; the log is pinned after
 * the look-up, so that it holds the place. When that was collected between, the block was cleared or put anew meanwhile, and
 * the next look-up says so. */
#include "store/writer.h"

#include <stdlib.h>

#define BATCH_BLOCKS 256
#define SPAN_BYTES (256u << 10) /* read ahead with one call */
#define SPAN_GAP_BYTES 4096     /* of other records between two blocks, that are worth reading too */

int hf_store_log_length(struct hf_store *store, uint64_t log, uint64_t *length)
{
	return hf_blocks_length(store->blocks, log, length);
}

/* The block as the record holds it. */
static int take_block(const struct hf_log_record *record, uint64_t log, uint64_t index, struct hf_slice *block)
{
	uint64_t values[2];

	if (record->type != HF_RECORD_BLOCK || !hf_record_read_varints(record->payload, values, 2, block) ||
	    values[0] != log || values[1] != index)
		return HF_ECORRUPT;
	return HF_OK;
}

int hf_store_log_get(struct hf_store *store, uint64_t log, uint64_t index, enum hf_read_mode mode, struct hf_buffer *block)
{
	struct hf_log_record record;
	struct hf_slice found;
	uint64_t position = 0, bytes, before;
	int status;

	do {
		before = position;
		status = hf_blocks_find(store->blocks, log, index, mode, &position, &bytes);
		if (status != HF_OK)
			return status;
		struct hf_log_set *set = hf_log_pin(store->log);

		status = hf_log_read(set, position, mode, bytes, block, &record);
		hf_log_unpin(set);
	} while (status == HF_ENOTFOUND && position != before);
	if (status == HF_OK)
		status = take_block(&record, log, index, &found);
	if (status != HF_OK)
		return status;
	memmove(block->data, found.data, found.length);
	block->length = found.length;
	return HF_OK;
}

int hf_store_log_runs(struct hf_store *store, uint64_t log, uint64_t from, uint64_t to, enum hf_read_mode mode,
	int (*each)(void *context, uint64_t from, uint64_t to), void *context)
{
	struct hf_blocks_walk *walk;
	struct hf_block_found found;
	uint64_t first = 0, end = 0; /* the range at hand; empty: none */
	int status = hf_blocks_walk_open(&walk, store->blocks, log, from, &to, SIZE_MAX, mode);

	if (status != HF_OK)
		return status;
	while ((status = hf_blocks_walk_next(walk, &found)) == HF_OK) {
		if (found.index != end && end > first && (status = each(context, first, end)) != 0)
			break;
		if (found.index != end || end == first)
			first = found.index;
		end = found.index + 1;
	}
	hf_blocks_walk_close(walk);
	if (status != HF_ENOTFOUND)
		return status;
	return end > first ? each(context, first, end) : HF_OK;
}

/* ---- Many blocks ---- */

struct batch {
	struct hf_store *store;
	uint64_t log;
	enum hf_read_mode mode;
	struct hf_buffer block, ahead;
	struct hf_block_found found[BATCH_BLOCKS];
	size_t count;
};

/* Fills the batch from `from` on; *to is lowered to where it ends. */
static int find_batch(struct batch *batch, uint64_t from, uint64_t *to)
{
	struct hf_blocks_walk *walk;
	int status = hf_blocks_walk_open(&walk, batch->store->blocks, batch->log, from, to, BATCH_BLOCKS, batch->mode);

	batch->count = 0;
	if (status != HF_OK)
		return status;
	while (batch->count < BATCH_BLOCKS && (status = hf_blocks_walk_next(walk, &batch->found[batch->count])) == HF_OK)
		batch->count++;
	hf_blocks_walk_close(walk);
	if (status == HF_OK)
		*to = batch->found[batch->count - 1].index + 1;
	/* What was found before the walk had to stop is good. */
	if (status == HF_EWAIT && batch->count > 0) {
		*to = batch->found[batch->count - 1].index + 1;
		status = HF_OK;
	}
	return status == HF_ENOTFOUND ? HF_OK : status;
}

/* How far the records from the first on lie close together, which is how a log is written as a rule. Gives the place behind them. Large
 * ones are read one by one. */
static size_t span_of(const struct batch *batch, size_t first, uint64_t *bytes)
{
	const struct hf_block_found *found = batch->found;
	uint64_t end = found[first].position + found[first].bytes;
	size_t i = first + 1;

	for (; i < batch->count && found[first].bytes < HF_LOG_CALL_BYTES_MIN; i++) {
		if (found[i].bytes >= HF_LOG_CALL_BYTES_MIN || found[i].position < end || found[i].position - end > SPAN_GAP_BYTES ||
		    found[i].position + found[i].bytes - found[first].position > SPAN_BYTES)
			break;
		end = found[i].position + found[i].bytes;
	}
	*bytes = end - found[first].position;
	return i;
}

static int give_batch(struct batch *batch, struct hf_log_set *set, uint64_t *from,
	int (*each)(void *context, uint64_t index, struct hf_slice block), void *context)
{
	struct hf_log_record record;
	struct hf_slice block;
	size_t warm = 0;
	uint64_t bytes;
	int status = HF_OK;

	for (size_t i = 0; i < batch->count && status == HF_OK; i++) {
		const struct hf_block_found *found = &batch->found[i];

		*from = found->index;
		if (i == warm) {
			warm = span_of(batch, i, &bytes);
			if (warm > i + 1)
				hf_log_read_ahead(set, found->position, bytes, batch->mode, &batch->ahead);
		}
		status = hf_log_read(set, found->position, batch->mode, found->bytes, &batch->block, &record);
		if (status == HF_OK)
			status = take_block(&record, batch->log, found->index, &block);
		if (status == HF_ENOTFOUND) { /* it was changed since it was found */
			status = hf_store_log_get(batch->store, batch->log, found->index, batch->mode, &batch->block);
			block = hf_buffer_slice(&batch->block);
			if (status == HF_ENOTFOUND) {
				status = HF_OK;
				continue;
			}
		}
		if (status == HF_OK) {
			*from = found->index + 1;
			status = each(context, found->index, block);
		}
	}
	return status;
}

int hf_store_log_read(struct hf_store *store, uint64_t log, uint64_t *from, uint64_t to, enum hf_read_mode mode,
	int (*each)(void *context, uint64_t index, struct hf_slice block), void *context)
{
	struct batch *batch = malloc(sizeof *batch);
	int status = HF_OK;

	if (batch == NULL)
		return HF_ENOMEM;
	*batch = (struct batch){.store = store, .log = log, .mode = mode};
	while (status == HF_OK && *from < to) {
		uint64_t end = to;

		status = find_batch(batch, *from, &end);
		if (status != HF_OK)
			break;
		struct hf_log_set *set = hf_log_pin(store->log);

		status = give_batch(batch, set, from, each, context);
		hf_log_unpin(set);
		if (status == HF_OK)
			*from = end;
	}
	hf_buffer_free(&batch->block);
	hf_buffer_free(&batch->ahead);
	free(batch);
	return status;
}
