/* blocks: where the blocks of the numbered logs are. (Private to store/.)
 *
 * A block is a record of the append log (record.h); this module knows its position. What changed since the last checkpoint
 * is in memory, for the logs that were touched since then and no others; everything older is in immutable run files.
 *
 * A RUN is a set of facts about logs, newer runs before older ones:
 *   - the log's state: its length, whether it exists, and KEEP: blocks of older runs at or above that index are void
 *     (lowest length it was truncated to; 0 when it was dropped);
 *   - holes: ranges that were cleared, which hide blocks of older runs;
 *   - blocks: index and position.
 * A block of the same run comes before a hole of it. Runs are merged when there are HF_BLOCKS_RUNS_MAX of them.
 *
 * Run files are told in block_run.h.
 *
 * Threads: apply: the writer; checkpoint and what belongs to it: one thread at a time; the rest: any.
 */
#ifndef HF_STORE_BLOCKS_H
#define HF_STORE_BLOCKS_H

#include "store/log.h"

#define HF_BLOCKS_RUNS_MAX 8
#define HF_BLOCKS_MEMORY_BYTES (16u << 20) /* before a checkpoint writes it: 220,000 logs of one block, or 800,000 blocks of one */
#define HF_BLOCK_INDEX_MAX (((uint64_t)1 << 62) - 1)
#define HF_BLOCK_KEEP_ALL UINT64_MAX

struct hf_blocks;
struct hf_blocks_options {
	struct hf_fs *fs;
	const char *directory;
	uint8_t uuid[HF_LOG_UUID_BYTES];
	_Atomic uint64_t *corrupt_count;
	_Atomic uint32_t *next_number; /* of files */
	/* A block's record is garbage now. From apply and checkpoint. */
	void (*dead)(void *context, uint64_t position, uint64_t record_bytes);
	void *context;
};

int hf_blocks_open(struct hf_blocks **out, const struct hf_blocks_options *options, const uint32_t *runs, size_t run_count,
	uint64_t position, struct hf_failure *failure);
void hf_blocks_close(struct hf_blocks *blocks);

/* The writer: a committed record of the log. Records below the position given at open are skipped. HF_ECORRUPT, HF_ENOMEM, HF_EIO. */
int hf_blocks_apply(struct hf_blocks *blocks, const struct hf_log_record *record);

size_t hf_blocks_memory_bytes(struct hf_blocks *blocks);

int hf_blocks_length(struct hf_blocks *blocks, uint64_t log, uint64_t *length); /* HF_ENOTFOUND */
/* The position of a block, and what its record takes. HF_ENOTFOUND, HF_EWAIT, HF_ECORRUPT, HF_EIO. */
int hf_blocks_find(struct hf_blocks *blocks, uint64_t log, uint64_t index, enum hf_read_mode mode, uint64_t *position, uint64_t *bytes);

/* The blocks of a log that are present in [from, to), ascending, as committed at open. facts_max: how many blocks may be
 * copied out of memory; when there are more, the walk ends early, and *to says where. After a failure it can only be closed. */
struct hf_blocks_walk;
struct hf_block_found {
	uint64_t index, position, bytes;
};
int hf_blocks_walk_open(struct hf_blocks_walk **out, struct hf_blocks *blocks, uint64_t log, uint64_t from, uint64_t *to,
	size_t facts_max, enum hf_read_mode mode);
int hf_blocks_walk_next(struct hf_blocks_walk *walk, struct hf_block_found *found); /* HF_ENOTFOUND at the end */
void hf_blocks_walk_close(struct hf_blocks_walk *walk); /* NULL is fine */

/* Writes what is in memory as a new run when there is much of it (all: however little), and merges runs when there are many.
 * applied: every block record below it was applied before the call. runs gets up to max file numbers, oldest first,
 * and *position: what the manifest must say from now on. One thread at a time. */
int hf_blocks_checkpoint(struct hf_blocks *blocks, bool all, uint64_t applied, uint32_t *runs, size_t max, size_t *count,
	uint64_t *position);
/* Merges all runs into one, so that every hidden block is known to be garbage. As part of a checkpoint. */
int hf_blocks_merge_all(struct hf_blocks *blocks);
/* The manifest that names those runs is durable: unlinks older ones. */
void hf_blocks_release_old(struct hf_blocks *blocks);
uint64_t hf_blocks_file_bytes(struct hf_blocks *blocks);
int hf_blocks_verify(struct hf_blocks *blocks, void (*report)(void *context, const char *sentence), void *context);

#endif
