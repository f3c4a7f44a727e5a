/* Reading is a binary search in the fences, which are in memory, and one page. */
#include "store/block_run.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/crc32c.h"
#include "base/log.h"

#define FOOTER_BYTES 64
#define FENCE_BYTES 16
#define WRITE_BYTES (256u << 10)
#define ITEM_BYTES_MAX 48
#define FLAG_EXISTS 1
#define FLAG_KEEP 2

static struct hf_log_module module = HF_LOG_MODULE("store");
static const uint8_t magic[8] = {'H', 'F', 'B', 'L', 'K', 0, 0, 1};

int hf_block_run_path(const struct hf_blocks_options *options, uint32_t number, char path[static HF_PATH_BYTES_MAX])
{
	char name[24];

	snprintf(name, sizeof name, "%08x.blk", number);
	return hf_path_join(path, options->directory, name);
}

/* ---- Open ---- */

static int read_fences(struct hf_block_run *run, uint64_t size, uint32_t sum)
{
	uint64_t bytes = run->page_count * FENCE_BYTES;
	uint8_t *raw;
	int status;

	if (run->page_count > size / HF_BLOCK_PAGE_BYTES ||
	    size != run->page_count * HF_BLOCK_PAGE_BYTES + bytes + FOOTER_BYTES)
		return HF_ECORRUPT;
	raw = malloc(bytes + 1);
	run->fences = malloc(run->page_count * sizeof *run->fences + 1);
	status = raw == NULL || run->fences == NULL ? HF_ENOMEM :
		hf_file_read_exact(&run->file, raw, bytes, run->page_count * HF_BLOCK_PAGE_BYTES);
	if (status == HF_OK && hf_crc32c(0, raw, bytes) != sum)
		status = HF_ECORRUPT;
	for (uint64_t i = 0; i < run->page_count && status == HF_OK; i++)
		run->fences[i] = (struct hf_block_fence){hf_load_le64(raw + i * FENCE_BYTES), hf_load_le64(raw + i * FENCE_BYTES + 8)};
	free(raw);
	return status;
}

static int read_footer(struct hf_block_run *run, const struct hf_blocks_options *options)
{
	uint8_t footer[FOOTER_BYTES];
	uint64_t size;
	int status = hf_file_size(&run->file, &size);

	if (status != HF_OK)
		return status;
	if (size < FOOTER_BYTES)
		return HF_ECORRUPT;
	status = hf_file_read_exact(&run->file, footer, sizeof footer, size - FOOTER_BYTES);
	if (status != HF_OK)
		return status;
	if (memcmp(footer, magic, sizeof magic) != 0 || memcmp(footer + 8, options->uuid, HF_LOG_UUID_BYTES) != 0 ||
	    hf_load_le32(footer + 60) != hf_crc32c(0, footer, 60))
		return HF_ECORRUPT;
	run->page_count = hf_load_le64(footer + 24);
	run->item_count = hf_load_le64(footer + 32);
	run->file_bytes = size;
	return read_fences(run, size, hf_load_le32(footer + 56));
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
	hf_file_close(&run->file);
	free(run->fences);
	free(run);
}

/* ---- Pages ---- */

int hf_block_page_load(struct hf_block_page *page, const struct hf_block_run *run, uint64_t number, enum hf_read_mode mode)
{
	struct hf_file *file = (struct hf_file *)&run->file;
	uint64_t offset = number * HF_BLOCK_PAGE_BYTES;
	size_t done = HF_BLOCK_PAGE_BYTES;
	int status = HF_OK;

	if (page->run != run || page->number != number) {
		page->run = NULL;
		if (mode == HF_READ_BLOCKING)
			status = hf_file_read_exact(file, page->data, HF_BLOCK_PAGE_BYTES, offset);
		else
			status = hf_file_read_resident(file, page->data, HF_BLOCK_PAGE_BYTES, offset, &done);
		if (status == HF_OK && done < HF_BLOCK_PAGE_BYTES)
			status = HF_EWAIT;
		if (status != HF_OK)
			return status;
		page->used = hf_load_le16(page->data + 4);
		if (hf_load_le32(page->data) != hf_crc32c(0, page->data + 4, HF_BLOCK_PAGE_BYTES - 4) ||
		    page->used < HF_BLOCK_PAGE_HEADER_BYTES || page->used > HF_BLOCK_PAGE_BYTES) {
			atomic_fetch_add(run->corrupt_count, 1);
			hf_log_error(&module, "stored bytes do not match their checksum", "file=block/%08x.blk offset=%llu what=\"page\"",
				run->number, (unsigned long long)offset);
			return HF_ECORRUPT;
		}
		page->run = run;
		page->number = number;
	}
	page->at = HF_BLOCK_PAGE_HEADER_BYTES;
	page->last = (struct hf_block_item){0};
	return HF_OK;
}

static bool read_varint(struct hf_block_page *page, uint64_t *value)
{
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

		item->exists = flags & FLAG_EXISTS;
		item->keep = HF_BLOCK_KEEP_ALL;
		return read_varint(page, &item->length) && ((flags & FLAG_KEEP) == 0 || read_varint(page, &item->keep));
	}
	if (item->kind == HF_BLOCK_HOLE)
		return read_varint(page, &item->index) && read_varint(page, &item->count) && item->index <= HF_BLOCK_INDEX_MAX;
	if (!read_varint(page, &item->index) || !read_varint(page, &step) || !read_varint(page, &item->bytes))
		return false;
	if (last->kind == HF_BLOCK_BLOCK && last->log == item->log)
		item->index += last->index;
	item->position = last->position + (uint64_t)((int64_t)(step >> 1) ^ -(int64_t)(step & 1)) * 4;
	item->bytes *= 4;
	return item->index <= HF_BLOCK_INDEX_MAX;
}

int hf_block_page_next(struct hf_block_page *page, struct hf_block_item *item)
{
	uint64_t step;

	if (page->at >= page->used)
		return HF_ENOTFOUND;
	*item = (struct hf_block_item){.kind = page->data[page->at++], .position = page->last.position};
	if (item->kind > HF_BLOCK_BLOCK || !read_varint(page, &step))
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

int hf_block_run_floor(const struct hf_block_run *run, struct hf_block_page *page, uint64_t log, enum hf_block_kind kind,
	uint64_t index, enum hf_read_mode mode, struct hf_block_item *item)
{
	uint64_t rank = hf_block_rank(kind, index), low = 0, high = run->page_count;
	struct hf_block_item next;
	bool found = false;
	int status;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;

		if (fence_after(&run->fences[middle], log, rank))
			high = middle;
		else
			low = middle + 1;
	}
	if (low == 0)
		return HF_ENOTFOUND;
	status = hf_block_page_load(page, run, low - 1, mode);
	while (status == HF_OK && (status = hf_block_page_next(page, &next)) == HF_OK) {
		if (next.log > log || (next.log == log && hf_block_rank(next.kind, next.index) > rank))
			break;
		found = next.log == log && next.kind == kind;
		*item = next;
	}
	if (status != HF_OK && status != HF_ENOTFOUND)
		return status;
	return found ? HF_OK : HF_ENOTFOUND;
}

int hf_block_walk_next(struct hf_block_walk *walk)
{
	int status = walk->page.run == NULL ? HF_ENOTFOUND : hf_block_page_next(&walk->page, &walk->item);

	while (status == HF_ENOTFOUND) {
		if (walk->next_page == walk->run->page_count) {
			walk->ended = true;
			return HF_OK;
		}
		status = hf_block_page_load(&walk->page, walk->run, walk->next_page, HF_READ_BLOCKING);
		if (status != HF_OK)
			return status;
		walk->next_page++;
		status = hf_block_page_next(&walk->page, &walk->item);
	}
	return status;
}

int hf_block_walk_start(struct hf_block_walk *walk, const struct hf_block_run *run)
{
	walk->run = run;
	walk->next_page = 0;
	walk->ended = false;
	walk->page.run = NULL;
	return hf_block_walk_next(walk);
}

/* ---- Writing ---- */

int hf_block_writer_open(struct hf_block_writer *writer, const struct hf_blocks_options *options)
{
	char path[HF_PATH_BYTES_MAX];
	int status;

	memset(writer, 0, sizeof *writer);
	writer->options = options;
	writer->number = atomic_fetch_add(options->next_number, 1);
	writer->file.descriptor = -1;
	writer->used = HF_BLOCK_PAGE_HEADER_BYTES;
	status = hf_block_run_path(options, writer->number, path);
	if (status == HF_OK)
		status = hf_file_open(options->fs, &writer->file, path, HF_FILE_READ | HF_FILE_WRITE | HF_FILE_CREATE | HF_FILE_TRUNCATE);
	return status;
}

static int write_pages(struct hf_block_writer *writer)
{
	int status = writer->pages.length == 0 ? HF_OK :
		hf_file_write(&writer->file, writer->pages.data, writer->pages.length, writer->offset);

	writer->offset += writer->pages.length;
	hf_buffer_clear(&writer->pages);
	return status;
}

static int end_page(struct hf_block_writer *writer)
{
	int status;

	if (writer->page_items == 0)
		return HF_OK;
	memset(writer->page + writer->used, 0, HF_BLOCK_PAGE_BYTES - writer->used);
	hf_store_le16(writer->page + 4, (uint16_t)writer->used);
	hf_store_le16(writer->page + 6, writer->page_items);
	hf_store_le32(writer->page, hf_crc32c(0, writer->page + 4, HF_BLOCK_PAGE_BYTES - 4));
	status = hf_buffer_append(&writer->pages, writer->page, HF_BLOCK_PAGE_BYTES);
	writer->page_count++;
	writer->page_items = 0;
	writer->used = HF_BLOCK_PAGE_HEADER_BYTES;
	writer->last = (struct hf_block_item){0};
	if (status == HF_OK && writer->pages.length >= WRITE_BYTES)
		status = write_pages(writer);
	return status;
}

static size_t encode(const struct hf_block_item *item, const struct hf_block_item *last, uint8_t out[static ITEM_BYTES_MAX])
{
	size_t at = 0;

	out[at++] = (uint8_t)item->kind;
	at += hf_varint_write(out + at, item->log - last->log);
	if (item->kind == HF_BLOCK_STATE) {
		out[at++] = (uint8_t)((item->exists ? FLAG_EXISTS : 0) | (item->keep != HF_BLOCK_KEEP_ALL ? FLAG_KEEP : 0));
		at += hf_varint_write(out + at, item->length);
		if (item->keep != HF_BLOCK_KEEP_ALL)
			at += hf_varint_write(out + at, item->keep);
		return at;
	}
	if (item->kind == HF_BLOCK_HOLE) {
		at += hf_varint_write(out + at, item->index);
		return at + hf_varint_write(out + at, item->count);
	}
	int64_t step = ((int64_t)item->position - (int64_t)last->position) / 4;
	bool follows = last->kind == HF_BLOCK_BLOCK && last->log == item->log;

	at += hf_varint_write(out + at, follows ? item->index - last->index : item->index);
	at += hf_varint_write(out + at, (uint64_t)step << 1 ^ (uint64_t)(step >> 63));
	return at + hf_varint_write(out + at, item->bytes / 4);
}

int hf_block_writer_add(struct hf_block_writer *writer, const struct hf_block_item *item)
{
	uint8_t raw[ITEM_BYTES_MAX], fence[FENCE_BYTES];
	uint64_t position = writer->last.position;
	size_t length = encode(item, &writer->last, raw);
	int status = HF_OK;

	if (writer->used + length > HF_BLOCK_PAGE_BYTES) {
		status = end_page(writer);
		position = 0;
		length = encode(item, &writer->last, raw);
	}
	if (status == HF_OK && writer->page_items == 0) {
		hf_store_le64(fence, item->log);
		hf_store_le64(fence + 8, hf_block_rank(item->kind, item->index));
		status = hf_buffer_append(&writer->fences, fence, sizeof fence);
	}
	if (status != HF_OK)
		return status;
	memcpy(writer->page + writer->used, raw, length);
	writer->used += length;
	writer->page_items++;
	writer->item_count++;
	writer->last = *item;
	if (item->kind != HF_BLOCK_BLOCK)
		writer->last.position = position;
	return HF_OK;
}

static int write_tail(struct hf_block_writer *writer)
{
	uint8_t footer[FOOTER_BYTES] = {0};
	int status = end_page(writer);

	if (status == HF_OK)
		status = write_pages(writer);
	if (status == HF_OK && writer->fences.length > 0)
		status = hf_file_write(&writer->file, writer->fences.data, writer->fences.length, writer->offset);
	memcpy(footer, magic, sizeof magic);
	memcpy(footer + 8, writer->options->uuid, HF_LOG_UUID_BYTES);
	hf_store_le64(footer + 24, writer->page_count);
	hf_store_le64(footer + 32, writer->item_count);
	hf_store_le32(footer + 56, hf_crc32c(0, writer->fences.data, writer->fences.length));
	hf_store_le32(footer + 60, hf_crc32c(0, footer, 60));
	if (status == HF_OK)
		status = hf_file_write(&writer->file, footer, sizeof footer, writer->offset + writer->fences.length);
	if (status == HF_OK)
		status = hf_file_sync(&writer->file);
	if (status == HF_OK)
		status = hf_fs_sync_directory(writer->options->fs, writer->options->directory);
	return status;
}

int hf_block_writer_finish(struct hf_block_writer *writer, int status)
{
	char path[HF_PATH_BYTES_MAX];

	if (status == HF_OK)
		status = write_tail(writer);
	hf_file_close(&writer->file);
	hf_buffer_free(&writer->pages);
	hf_buffer_free(&writer->fences);
	if (status != HF_OK && hf_block_run_path(writer->options, writer->number, path) == HF_OK)
		writer->options->fs->unlink(writer->options->fs, path);
	return status;
}
