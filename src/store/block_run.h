/* block_run: an immutable file of facts about logs. (Private to blocks.)
 *
 * Directory `block/`, file "<number in 8 hex digits>.blk":
 *   file     = pages of 4 KiB, fences, footer
 *   page     = crc32c le32 over the rest of the page, used bytes le16 (with this header), item count le16, items, zero, restarts
 *   restarts = of every 16th item but the first, from the end of the page downwards: its offset in the page le16. At a restart,
 *              and at the start of a page, "the one before" is all zero, so that reading may begin there
 *   item     = kind u8, varint log number less that of the item before it, then
 *              STATE  flags u8 (bit 0: the log exists, bit 1: keep is given), varint length, varint keep when given
 *              HOLE   varint from, varint count
 *              BLOCK  varint index (less that of the item before it when that is a block of the same log),
 *                     varint zig-zag of (position - that of the last block, or 0) / 4, varint record bytes / 4
 *              in ascending order of (log, kind, index); a log that has any item has a STATE
 *   fences   = for each page, of its first item: log le64, kind << 62 | index le64
 *   footer   = "HFBLK\0\0\2" (8), store uuid (16), page count le64, item count le64, zero (16), crc32c of the fences le32,
 *              crc32c of the 60 bytes before le32
 *
 * Format 1 ("HFBLK\0\0\1") had no restarts; upgrade.c writes such files anew.
 */
#ifndef HF_STORE_BLOCK_RUN_H
#define HF_STORE_BLOCK_RUN_H

#include "store/blocks.h"

#define HF_BLOCK_PAGE_BYTES 4096
#define HF_BLOCK_PAGE_HEADER_BYTES 8
#define HF_BLOCK_RESTART_ITEMS 16
#define HF_BLOCK_FOOTER_BYTES 64
#define HF_BLOCK_FENCE_BYTES 16
#define HF_BLOCK_FLAG_EXISTS 1 /* of a STATE */
#define HF_BLOCK_FLAG_KEEP 2

enum hf_block_kind { HF_BLOCK_STATE, HF_BLOCK_HOLE, HF_BLOCK_BLOCK };

struct hf_block_item {
	uint64_t log, index; /* index 0 for a state; from for a hole */
	enum hf_block_kind kind;
	bool exists;         /* state */
	uint64_t length, keep;
	uint64_t count;      /* hole */
	uint64_t position;   /* block */
	uint64_t bytes;
};

struct hf_block_fence {
	uint64_t log, rank; /* kind << 62 | index */
};

struct hf_block_run {
	_Atomic uint32_t references;
	uint32_t number;
	uint64_t page_count, item_count, file_bytes;
	uint32_t restart_items;    /* a restart after so many items */
	struct hf_block_fence *fences;
	struct hf_file file;
	const uint8_t *map;        /* of the pages; NULL: they are read by calls */
	_Atomic uint64_t *checked; /* a bit a page: it was read and its sum was right */
	_Atomic uint64_t *corrupt_count;
};

static inline uint64_t hf_block_rank(enum hf_block_kind kind, uint64_t index)
{
	return (uint64_t)kind << 62 | index;
}

int hf_block_run_open(struct hf_block_run **out, const struct hf_blocks_options *options, uint32_t number, struct hf_failure *failure);
void hf_block_run_unref(struct hf_block_run *run);
int hf_block_run_path(const struct hf_blocks_options *options, uint32_t number, char path[static HF_PATH_BYTES_MAX]);

/* One page, checked when it is first read since open, and where in it the next item is. */
struct hf_block_page {
	const struct hf_block_run *run; /* NULL: nothing loaded */
	uint64_t number;
	size_t at, used;
	uint32_t item, item_count;      /* the next one's number */
	struct hf_block_item last;      /* zeroed at the start of a page and at restarts */
	const uint8_t *data;            /* buffer, or the run's mapping */
	uint8_t buffer[HF_BLOCK_PAGE_BYTES];
};
/* Goes to the first item of a page. */
int hf_block_page_load(struct hf_block_page *page, const struct hf_block_run *run, uint64_t number, enum hf_read_mode mode);
/* HF_ENOTFOUND at the end of the page. */
int hf_block_page_next(struct hf_block_page *page, struct hf_block_item *item);
/* The last item of that log and kind at or before index. HF_ENOTFOUND. The page is a cache over calls, and stands behind
 * the item, or behind the last one before where it would be. */
int hf_block_run_floor(const struct hf_block_run *run, struct hf_block_page *page, uint64_t log, enum hf_block_kind kind,
	uint64_t index, enum hf_read_mode mode, struct hf_block_item *item);

/* All items in order, of bytes that are read and checked now. */
struct hf_block_walk {
	const struct hf_block_run *run;
	struct hf_block_page page;
	uint64_t next_page;
	struct hf_block_item item; /* the present one */
	bool ended;
	bool anew;                 /* reads and checks every page again */
	enum hf_read_mode mode;
};
int hf_block_walk_start(struct hf_block_walk *walk, const struct hf_block_run *run);
/* Goes to the first item at or after that of the log, kind and index. */
int hf_block_walk_seek(struct hf_block_walk *walk, const struct hf_block_run *run, uint64_t log, enum hf_block_kind kind,
	uint64_t index, enum hf_read_mode mode);
int hf_block_walk_next(struct hf_block_walk *walk);

/* Writes a run: add items in order, finish syncs file and directory. */
struct hf_block_writer {
	const struct hf_blocks_options *options;
	uint32_t number;
	struct hf_file file;
	uint64_t offset, page_count, item_count;
	struct hf_buffer pages, fences;
	struct hf_block_item last;
	uint8_t page[HF_BLOCK_PAGE_BYTES];
	size_t used, restarts_bytes;
	uint16_t page_items;
};
int hf_block_writer_open(struct hf_block_writer *writer, const struct hf_blocks_options *options);
int hf_block_writer_add(struct hf_block_writer *writer, const struct hf_block_item *item);
/* Closes and, when status is not HF_OK or finishing fails, removes the file. */
int hf_block_writer_finish(struct hf_block_writer *writer, int status);

/* Merges runs (newest first) into what the writer writes. whole: no older run remains, so nothing has to be hidden. Block
 * records that are left out are reported as dead. */
int hf_block_merge(struct hf_block_run *const *runs, size_t count, bool whole, struct hf_block_writer *writer);

#endif
