/* Items are packed into a page until one does not fit; pages go out many at a time. */
#include "store/block_run.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/crc32c.h"

#define WRITE_BYTES (256u << 10)
#define ITEM_BYTES_MAX 48

static const uint8_t magic[8] = {'H', 'F', 'B', 'L', 'K', 0, 0, 2};

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
	memset(writer->page + writer->used, 0, HF_BLOCK_PAGE_BYTES - writer->used - writer->restarts_bytes);
	hf_store_le16(writer->page + 4, (uint16_t)writer->used);
	hf_store_le16(writer->page + 6, writer->page_items);
	hf_store_le32(writer->page, hf_crc32c(0, writer->page + 4, HF_BLOCK_PAGE_BYTES - 4));
	status = hf_buffer_append(&writer->pages, writer->page, HF_BLOCK_PAGE_BYTES);
	writer->page_count++;
	writer->page_items = 0;
	writer->restarts_bytes = 0;
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
		out[at++] = (uint8_t)((item->exists ? HF_BLOCK_FLAG_EXISTS : 0) | (item->keep != HF_BLOCK_KEEP_ALL ? HF_BLOCK_FLAG_KEEP : 0));
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

static bool at_restart(const struct hf_block_writer *writer)
{
	return writer->page_items % HF_BLOCK_RESTART_ITEMS == 0;
}

static int begin_page(struct hf_block_writer *writer, const struct hf_block_item *item)
{
	uint8_t fence[HF_BLOCK_FENCE_BYTES];

	hf_store_le64(fence, item->log);
	hf_store_le64(fence + 8, hf_block_rank(item->kind, item->index));
	return hf_buffer_append(&writer->fences, fence, sizeof fence);
}

static void add_restart(struct hf_block_writer *writer)
{
	writer->restarts_bytes += 2;
	hf_store_le16(writer->page + HF_BLOCK_PAGE_BYTES - writer->restarts_bytes, (uint16_t)writer->used);
}

int hf_block_writer_add(struct hf_block_writer *writer, const struct hf_block_item *item)
{
	uint8_t raw[ITEM_BYTES_MAX];
	size_t length;
	int status = HF_OK;

	if (at_restart(writer))
		writer->last = (struct hf_block_item){0};
	length = encode(item, &writer->last, raw);
	if (writer->used + length + writer->restarts_bytes + (at_restart(writer) ? 2 : 0) > HF_BLOCK_PAGE_BYTES) {
		status = end_page(writer);
		length = encode(item, &writer->last, raw);
	}
	if (status == HF_OK && writer->page_items == 0)
		status = begin_page(writer, item);
	else if (status == HF_OK && at_restart(writer))
		add_restart(writer);
	if (status != HF_OK)
		return status;
	memcpy(writer->page + writer->used, raw, length);
	writer->used += length;
	writer->page_items++;
	writer->item_count++;
	uint64_t position = writer->last.position;

	writer->last = *item;
	if (item->kind != HF_BLOCK_BLOCK)
		writer->last.position = position;
	return HF_OK;
}

static int write_tail(struct hf_block_writer *writer)
{
	uint8_t footer[HF_BLOCK_FOOTER_BYTES] = {0};
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
