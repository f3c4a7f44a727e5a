/* Reading is a binary search in the fences, which are in memory, one in the restarts of a page, and a few items. A page is read by
 * a call and checked once; from then on it is read through a mapping, as index segments are. */
#include "store/block_run.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/crc32c.h"
#include "base/log.h"

#define NO_RESTARTS (HF_BLOCK_PAGE_BYTES) /* a page has fewer items */
#define POSITION_MAX (UINT64_MAX / 4)     /* so that no difference of two passes 64 bits */

static struct hf_log_module module = HF_LOG_MODULE("store");
static const uint8_t magic[7] = {'H', 'F', 'B', 'L', 'K', 0, 0};

int hf_block_run_path(const struct hf_blocks_options *options, uint32_t number, char path[static HF_PATH_BYTES_MAX])
{
	char name[24];

	snprintf(name, sizeof name, "%08x.blk", number);
	return hf_path_join(path, options->directory, name);
}

/* ---- Open ---- */

static int read_fences(struct hf_block_run *run, uint64_t size, uint32_t sum)
{
	uint64_t bytes = run->page_count * HF_BLOCK_FENCE_BYTES;
	uint8_t *raw;
	int status;

	if (run->page_count > size / HF_BLOCK_PAGE_BYTES ||
	    size != run->page_count * HF_BLOCK_PAGE_BYTES + bytes + HF_BLOCK_FOOTER_BYTES)
		return HF_ECORRUPT;
	raw = malloc(bytes + 1);
	run->fences = malloc(run->page_count * sizeof *run->fences + 1);
	status = raw == NULL || run->fences == NULL ? HF_ENOMEM :
		hf_file_read_exact(&run->file, raw, bytes, run->page_count * HF_BLOCK_PAGE_BYTES);
	if (status == HF_OK && hf_crc32c(0, raw, bytes) != sum)
		status = HF_ECORRUPT;
	for (uint64_t i = 0; i < run->page_count && status == HF_OK; i++)
		run->fences[i] = (struct hf_block_fence){hf_load_le64(raw + i * HF_BLOCK_FENCE_BYTES), hf_load_le64(raw + i * HF_BLOCK_FENCE_BYTES + 8)};
	free(raw);
	return status;
}

static int read_footer(struct hf_block_run *run, const struct hf_blocks_options *options)
{
	uint8_t footer[HF_BLOCK_FOOTER_BYTES];
	uint64_t size;
	int status = hf_file_size(&run->file, &size);

	if (status != HF_OK)
		return status;
	if (size < HF_BLOCK_FOOTER_BYTES)
		return HF_ECORRUPT;
	status = hf_file_read_exact(&run->file, footer, sizeof footer, size - HF_BLOCK_FOOTER_BYTES);
	if (status != HF_OK)
		return status;
	if (memcmp(footer, magic, sizeof magic) != 0 || footer[7] == 0 || footer[7] > 2 ||
	    memcmp(footer + 8, options->uuid, HF_LOG_UUID_BYTES) != 0 ||
	    hf_load_le32(footer + 60) != hf_crc32c(0, footer, 60))
		return HF_ECORRUPT;
	run->restart_items = footer[7] == 1 ? NO_RESTARTS : HF_BLOCK_RESTART_ITEMS;
	run->page_count = hf_load_le64(footer + 24);
	run->item_count = hf_load_le64(footer + 32);
	run->file_bytes = size;
	return read_fences(run, size, hf_load_le32(footer + 56));
}

static int map_pages(struct hf_block_run *run)
{
	run->checked = calloc(run->page_count / 64 + 1, sizeof *run->checked);
	if (run->checked == NULL)
		return HF_ENOMEM;
	if (run->page_count > 0 && hf_file_map(&run->file, run->file_bytes, &run->map) != HF_OK)
		run->map = NULL;
	return HF_OK;
}

int hf_block_run_open(struct hf_block_run **out, const struct hf_blocks_options *options, uint32_t number, struct hf_failure *failure)
{
	struct hf_block_run *run = calloc(1, sizeof *run);
	char path[HF_PATH_BYTES_MAX];
	int status;

	if (run == NULL)
		return hf_fail(failure, HF_ENOMEM, "out of memory");
	run->references = 1;
	run->number = number;
	run->corrupt_count = options->corrupt_count;
	run->file.descriptor = -1;
	status = hf_block_run_path(options, number, path);
	if (status == HF_OK)
		status = hf_file_open(options->fs, &run->file, path, HF_FILE_READ);
	if (status == HF_OK)
		status = read_footer(run, options);
	if (status == HF_OK)
		status = map_pages(run);
	if (status != HF_OK) {
		hf_block_run_unref(run);
		return hf_fail(failure, status == HF_ENOTFOUND ? HF_ECORRUPT : status,
			"block/%08x.blk cannot be read: its footer does not match its checksum, or it is missing (%s); restore the store from a backup",
			number, hf_error_text(status));
	}
	*out = run;
	return HF_OK;
}

void hf_block_run_unref(struct hf_block_run *run)
{
	if (run == NULL || atomic_fetch_sub(&run->references, 1) != 1)
		return;
	if (run->map != NULL)
		hf_file_unmap(&run->file, run->map, run->file_bytes);
	hf_file_close(&run->file);
	free((void *)run->checked);
	free(run->fences);
	free(run);
}

/* ---- Pages ---- */

static int read_page(struct hf_block_page *page, const struct hf_block_run *run, uint64_t number, enum hf_read_mode mode)
{
	struct hf_file *file = (struct hf_file *)&run->file;
	uint64_t offset = number * HF_BLOCK_PAGE_BYTES;
	size_t used, done = HF_BLOCK_PAGE_BYTES;
	int status;

	if (mode == HF_READ_BLOCKING)
		status = hf_file_read_exact(file, page->buffer, HF_BLOCK_PAGE_BYTES, offset);
	else
		status = hf_file_read_resident(file, page->buffer, HF_BLOCK_PAGE_BYTES, offset, &done);
	if (status == HF_OK && done < HF_BLOCK_PAGE_BYTES)
		status = HF_EWAIT;
	if (status != HF_OK)
		return status;
	used = hf_load_le16(page->buffer + 4);
	if (hf_load_le32(page->buffer) != hf_crc32c(0, page->buffer + 4, HF_BLOCK_PAGE_BYTES - 4) ||
	    used < HF_BLOCK_PAGE_HEADER_BYTES || used > HF_BLOCK_PAGE_BYTES) {
		atomic_fetch_add(run->corrupt_count, 1);
		hf_log_error(&module, "stored bytes do not match their checksum", "file=block/%08x.blk offset=%llu what=\"page\"",
			run->number, (unsigned long long)offset);
		return HF_ECORRUPT;
	}
	page->data = page->buffer;
	if (run->map != NULL)
		atomic_fetch_or_explicit(&run->checked[number / 64], (uint64_t)1 << number % 64, memory_order_release);
	return HF_OK;
}

static void go_to_start(struct hf_block_page *page)
{
	page->at = HF_BLOCK_PAGE_HEADER_BYTES;
	page->item = 0;
	page->last = (struct hf_block_item){0};
}

/* anew: reads and checks it even when that was done before. */
static int load(struct hf_block_page *page, const struct hf_block_run *run, uint64_t number, enum hf_read_mode mode, bool anew)
{
	int status = HF_OK;

	if (anew || page->run != run || page->number != number) {
		page->run = NULL;
		if (!anew && atomic_load_explicit(&run->checked[number / 64], memory_order_acquire) >> number % 64 & 1)
			page->data = run->map + number * HF_BLOCK_PAGE_BYTES;
		else
			status = read_page(page, run, number, mode);
		if (status != HF_OK)
			return status;
		page->used = hf_load_le16(page->data + 4);
		if (page->used > HF_BLOCK_PAGE_BYTES)
			return HF_ECORRUPT;
		page->item_count = hf_load_le16(page->data + 6);
		page->run = run;
		page->number = number;
	}
	go_to_start(page);
	return HF_OK;
}

int hf_block_page_load(struct hf_block_page *page, const struct hf_block_run *run, uint64_t number, enum hf_read_mode mode)
{
	return load(page, run, number, mode, false);
}

static bool read_varint(struct hf_block_page *page, uint64_t *value)
{
	if (page->at < page->used && page->data[page->at] < 0x80) {
		*value = page->data[page->at++];
		return true;
	}
	size_t used = hf_varint_read(page->data + page->at, page->used - page->at, value);

	page->at += used;
	return used != 0;
}

static bool read_fields(struct hf_block_page *page, struct hf_block_item *item)
{
	const struct hf_block_item *last = &page->last;
	uint64_t step;

	if (item->kind == HF_BLOCK_STATE) {
		if (page->at >= page->used)
			return false;
		uint8_t flags = page->data[page->at++];

		item->exists = flags & HF_BLOCK_FLAG_EXISTS;
		item->keep = HF_BLOCK_KEEP_ALL;
		return read_varint(page, &item->length) && ((flags & HF_BLOCK_FLAG_KEEP) == 0 || read_varint(page, &item->keep));
	}
	if (item->kind == HF_BLOCK_HOLE)
		return read_varint(page, &item->index) && read_varint(page, &item->count) && item->index <= HF_BLOCK_INDEX_MAX &&
			item->count <= HF_BLOCK_INDEX_MAX + 1 - item->index;
	if (!read_varint(page, &item->index) || !read_varint(page, &step) || !read_varint(page, &item->bytes))
		return false;
	if (item->index > HF_BLOCK_INDEX_MAX || step > POSITION_MAX || item->bytes > POSITION_MAX / 4)
		return false;
	if (last->kind == HF_BLOCK_BLOCK && last->log == item->log)
		item->index += last->index;
	item->position = last->position + (uint64_t)((int64_t)(step >> 1) ^ -(int64_t)(step & 1)) * 4;
	item->bytes *= 4;
	return item->index <= HF_BLOCK_INDEX_MAX && item->position <= POSITION_MAX;
}

int hf_block_page_next(struct hf_block_page *page, struct hf_block_item *item)
{
	uint64_t step;

	if (page->at >= page->used)
		return HF_ENOTFOUND;
	if (page->item++ % page->run->restart_items == 0)
		page->last = (struct hf_block_item){0};
	*item = (struct hf_block_item){.kind = page->data[page->at++], .position = page->last.position};
	if (item->kind > HF_BLOCK_BLOCK || !read_varint(page, &step) || step > UINT64_MAX - page->last.log)
		return HF_ECORRUPT;
	item->log = page->last.log + step;
	if (!read_fields(page, item))
		return HF_ECORRUPT;
	page->last = *item;
	return HF_OK;
}

static bool fence_after(const struct hf_block_fence *fence, uint64_t log, uint64_t rank)
{
	return fence->log != log ? fence->log > log : fence->rank > rank;
}

static bool item_after(const struct hf_block_item *item, uint64_t log, uint64_t rank)
{
	return item->log != log ? item->log > log : hf_block_rank(item->kind, item->index) > rank;
}

/* The page that the last item at or before that is on; page_count when it is before all. */
static uint64_t page_of(const struct hf_block_run *run, uint64_t log, uint64_t rank)
{
	uint64_t low = 0, high = run->page_count;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;

		if (fence_after(&run->fences[middle], log, rank))
			high = middle;
		else
			low = middle + 1;
	}
	return low == 0 ? run->page_count : low - 1;
}

static int go_to_restart(struct hf_block_page *page, uint32_t restart)
{
	size_t at = restart == 0 ? HF_BLOCK_PAGE_HEADER_BYTES : hf_load_le16(page->data + HF_BLOCK_PAGE_BYTES - 2 * (size_t)restart);

	if (at < HF_BLOCK_PAGE_HEADER_BYTES || at >= page->used)
		return HF_ECORRUPT;
	page->at = at;
	page->item = restart * page->run->restart_items;
	return HF_OK;
}

/* Goes to the last restart whose item is at or before that. */
static int seek_in_page(struct hf_block_page *page, uint64_t log, uint64_t rank)
{
	uint32_t low = 0, high = page->item_count == 0 ? 0 : (page->item_count - 1) / page->run->restart_items;
	struct hf_block_item item;

	while (low < high) {
		uint32_t middle = high - (high - low) / 2;
		int status = 2 * (size_t)middle > HF_BLOCK_PAGE_BYTES - page->used ? HF_ECORRUPT : go_to_restart(page, middle);

		if (status == HF_OK)
			status = hf_block_page_next(page, &item);
		if (status != HF_OK)
			return HF_ECORRUPT;
		if (item_after(&item, log, rank))
			high = middle - 1;
		else
			low = middle;
	}
	return go_to_restart(page, low);
}

int hf_block_run_floor(const struct hf_block_run *run, struct hf_block_page *page, uint64_t log, enum hf_block_kind kind,
	uint64_t index, enum hf_read_mode mode, struct hf_block_item *item)
{
	uint64_t rank = hf_block_rank(kind, index), number = page_of(run, log, rank);
	struct hf_block_item next;
	bool found = false;
	int status;

	if (number == run->page_count)
		return HF_ENOTFOUND;
	status = hf_block_page_load(page, run, number, mode);
	if (status == HF_OK)
		status = seek_in_page(page, log, rank);
	while (status == HF_OK && (status = hf_block_page_next(page, &next)) == HF_OK) {
		if (item_after(&next, log, rank))
			break;
		found = next.log == log && next.kind == kind;
		*item = next;
	}
	if (status != HF_OK && status != HF_ENOTFOUND)
		return status;
	return found ? HF_OK : HF_ENOTFOUND;
}

/* ---- In order ---- */

static int load_next(struct hf_block_walk *walk)
{
	int status = load(&walk->page, walk->run, walk->next_page, walk->mode, walk->anew);

	if (status == HF_OK)
		walk->next_page++;
	return status;
}

int hf_block_walk_next(struct hf_block_walk *walk)
{
	int status = walk->page.run == NULL ? HF_ENOTFOUND : hf_block_page_next(&walk->page, &walk->item);

	while (status == HF_ENOTFOUND) {
		if (walk->next_page == walk->run->page_count) {
			walk->ended = true;
			return HF_OK;
		}
		status = load_next(walk);
		if (status != HF_OK)
			return status;
		status = hf_block_page_next(&walk->page, &walk->item);
	}
	return status;
}

int hf_block_walk_start(struct hf_block_walk *walk, const struct hf_block_run *run)
{
	walk->run = run;
	walk->next_page = 0;
	walk->ended = false;
	walk->anew = true;
	walk->mode = HF_READ_BLOCKING;
	walk->page.run = NULL;
	return hf_block_walk_next(walk);
}

int hf_block_walk_seek(struct hf_block_walk *walk, const struct hf_block_run *run, uint64_t log, enum hf_block_kind kind,
	uint64_t index, enum hf_read_mode mode)
{
	uint64_t rank = hf_block_rank(kind, index), number = page_of(run, log, rank);
	int status = HF_OK;

	walk->run = run;
	walk->next_page = number == run->page_count ? 0 : number;
	walk->ended = walk->anew = false;
	walk->mode = mode;
	walk->page.run = NULL;
	if (number < run->page_count) {
		status = load_next(walk);
		if (status == HF_OK)
			status = seek_in_page(&walk->page, log, rank);
	}
	do
		status = status == HF_OK ? hf_block_walk_next(walk) : status;
	while (status == HF_OK && !walk->ended && !item_after(&walk->item, log, rank) &&
	       (walk->item.log != log || hf_block_rank(walk->item.kind, walk->item.index) != rank));
	return status;
}
