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
 * Directory `block/`, file "<number in 8 hex digits>.blk", in pages of 4 KiB, each crc32c le32 over the rest of the page,
 * item count le16, used bytes le16, then items, sorted by (log, kind, index); a page starts from zeros:
 *   item     = kind u8 (0 state, 1 hole, 2 block), varint difference of the log number to the item before it,
 *              state: flags u8 (bit 0 exists, bit 1 keep is given), varint length, varint keep when given
 *              hole:  varint from, varint count
 *              block: varint index (difference to the block before it when that is of the same log on this page),
 *                     varint zig-zag of (position - position of the block before it on this page) / 4
 *   last page: "HFBLK\0\0\1", store uuid (16), page count le64, item count le64, position le64, crc32c le32 of the 48
 *              before; then zero. Every block record below position is in this run or an older one.
 */
#ifndef HF_STORE_BLOCKS_H
#define HF_STORE_BLOCKS_H

#include "store/log.h"

#define HF_BLOCKS_RUNS_MAX 8
#define HF_BLOCKS_PAGE_BYTES 4096

struct hf_blocks;
struct hf_blocks_options {
	struct hf_fs *fs;
	const char *directory;
	uint8_t uuid[HF_LOG_UUID_BYTES];
	_Atomic uint64_t *corrupt_count;
	_Atomic uint32_t *next_number; /* of files */
};

int hf_blocks_open(struct hf_blocks **out, const struct hf_blocks_options *options, const uint32_t *runs, size_t run_count,
	uint64_t position, struct hf_failure *failure);
void hf_blocks_close(struct hf_blocks *blocks);
/* Block records below it are known. */
uint64_t hf_blocks_position(struct hf_blocks *blocks);

/* The writer: a committed record of the log. Records below hf_blocks_position are skipped. *dead_position
 * is the block that a put replaced, 0 when none. */
int hf_blocks_apply(struct hf_blocks *blocks, const struct hf_log_record *record, uint64_t *dead_position);
int hf_blocks_length(struct hf_blocks *blocks, uint64_t log, uint64_t *length); /* HF_ENOTFOUND */
/* The position of a block. HF_ENOTFOUND, HF_EWAIT, HF_ECORRUPT, HF_EIO. */
int hf_blocks_find(struct hf_blocks *blocks, uint64_t log, uint64_t index, enum hf_read_mode mode, uint64_t *position);

/* Writes what is in memory as a new run when there is much of it (all: however little), and merges runs when there are many.
 * applied: every block record below it was applied before the call. runs gets up to max file numbers, oldest first,
 * and *position: what the manifest must say from now on. One thread at a time. */
int hf_blocks_checkpoint(struct hf_blocks *blocks, bool all, uint64_t applied, uint32_t *runs, size_t max, size_t *count,
	uint64_t *position);
/* The manifest that names those runs is durable: unlinks older ones. */
void hf_blocks_release_old(struct hf_blocks *blocks);
uint64_t hf_blocks_file_bytes(struct hf_blocks *blocks);
int hf_blocks_verify(struct hf_blocks *blocks, void (*report)(void *context, const char *sentence), void *context);

#endif
