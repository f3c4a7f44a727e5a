/* One file of the log: its header, where a position is in it, and the extent map of a squeezed one.
 *
 * A segment is shared by the sets that name it and closed with the last of them. Of a generation-0 segment position and
 * file offset differ by a constant; of a squeezed one by as much as its extent says. Nothing here writes records. */
#include "store/log_segment.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/crc32c.h"
#include "base/log.h"

static struct hf_log_module module = HF_LOG_MODULE("store");
static const uint8_t magic[8] = {'H', 'F', 'L', 'O', 'G', 0, 0, 1};

void hf_log_file_name(uint32_t number, uint32_t generation, char name[static 32])
{
	snprintf(name, 32, "%08x-%x.log", number, generation);
}

static int segment_path(const struct hf_log_segment *segment, char path[static HF_PATH_BYTES_MAX])
{
	char name[32];

	hf_log_file_name(segment->number, segment->generation, name);
	return hf_path_join(path, segment->log->directory, name);
}

void hf_log_segment_unlink(const struct hf_log_segment *segment)
{
	struct hf_fs *fs = segment->log->options.fs;
	char path[HF_PATH_BYTES_MAX];

	if (segment_path(segment, path) == HF_OK)
		fs->unlink(fs, path);
}

int hf_log_segment_new(struct hf_log_segment **out, struct hf_log *log, const struct hf_log_segment_info *info, int flags)
{
	struct hf_log_segment *segment = calloc(1, sizeof *segment);
	char path[HF_PATH_BYTES_MAX];
	int status;

	if (segment == NULL)
		return HF_ENOMEM;
	segment->references = 1;
	segment->number = info->number;
	segment->generation = info->generation;
	segment->base = info->base;
	segment->length = info->length;
	segment->dead_bytes = info->dead_bytes;
	segment->log = log;
	segment->file.descriptor = -1;
	status = segment_path(segment, path);
	if (status == HF_OK)
		status = hf_file_open(log->options.fs, &segment->file, path, flags);
	if (status != HF_OK) {
		free(segment);
		return status;
	}
	*out = segment;
	return HF_OK;
}

void hf_log_segment_unref(struct hf_log_segment *segment)
{
	if (segment == NULL || atomic_fetch_sub(&segment->references, 1) != 1)
		return;
	hf_log_window_close(segment);
	hf_file_close(&segment->file);
	free(segment->extents);
	free(segment);
}

/* ---- The header ---- */

static void make_header(const struct hf_log_segment *segment, uint8_t header[static HF_LOG_FILE_HEADER_BYTES])
{
	memset(header, 0, HF_LOG_FILE_HEADER_BYTES);
	memcpy(header, magic, sizeof magic);
	memcpy(header + 8, segment->log->options.uuid, HF_LOG_UUID_BYTES);
	hf_store_le32(header + 24, segment->number);
	hf_store_le32(header + 28, segment->generation);
	hf_store_le64(header + 32, segment->base);
	hf_store_le32(header + 60, hf_crc32c(0, header, 60));
}

int hf_log_segment_write_header(struct hf_log_segment *segment)
{
	uint8_t header[HF_LOG_FILE_HEADER_BYTES];
	int status;

	make_header(segment, header);
	status = hf_file_write(&segment->file, header, sizeof header, 0);
	if (status == HF_OK)
		status = hf_file_sync(&segment->file);
	if (status == HF_OK)
		status = hf_fs_sync_directory(segment->log->options.fs, segment->log->directory);
	return status;
}

int hf_log_segment_read_header(struct hf_log_segment *segment, struct hf_log_segment_info *info)
{
	uint8_t header[HF_LOG_FILE_HEADER_BYTES];
	int status = hf_file_read_exact(&segment->file, header, sizeof header, 0);

	if (status != HF_OK)
		return status;
	if (memcmp(header, magic, sizeof magic) != 0 || hf_load_le32(header + 60) != hf_crc32c(0, header, 60) ||
	    memcmp(header + 8, segment->log->options.uuid, HF_LOG_UUID_BYTES) != 0)
		return HF_ECORRUPT;
	info->number = hf_load_le32(header + 24);
	info->generation = hf_load_le32(header + 28);
	info->base = hf_load_le64(header + 32);
	return HF_OK;
}

int hf_log_segment_check_header(struct hf_log_segment *segment)
{
	struct hf_log_segment_info found;
	int status = hf_log_segment_read_header(segment, &found);

	if (status == HF_OK && (found.number != segment->number || found.generation != segment->generation || found.base != segment->base))
		status = HF_ECORRUPT;
	return status;
}

/* ---- Places ---- */

uint64_t hf_log_segment_end(const struct hf_log_segment *segment)
{
	if (segment->generation > 0)
		return segment->data_end;
	return HF_LOG_FILE_HEADER_BYTES + atomic_load_explicit(&segment->length, memory_order_acquire);
}

int hf_log_segment_locate(const struct hf_log_segment *segment, uint64_t position, uint64_t *offset, uint64_t *end)
{
	uint64_t logical = position - segment->base;

	if (segment->unreadable)
		return HF_ECORRUPT;
	if (segment->generation == 0) {
		*offset = HF_LOG_FILE_HEADER_BYTES + logical;
		*end = hf_log_segment_end(segment);
		return HF_OK;
	}
	uint32_t low = 0, high = segment->extent_count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (segment->extents[middle].logical <= logical)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0)
		return HF_ENOTFOUND;
	const struct hf_log_extent *extent = &segment->extents[low - 1];

	*offset = extent->offset + (logical - extent->logical);
	*end = low < segment->extent_count ? extent[1].offset : segment->data_end;
	return *offset < *end ? HF_OK : HF_ENOTFOUND;
}

int hf_log_segment_load_extents(struct hf_log_segment *segment)
{
	uint64_t size;
	uint8_t tail[8];
	int status = hf_file_size(&segment->file, &size);

	if (status != HF_OK)
		return status;
	if (size < HF_LOG_FILE_HEADER_BYTES + sizeof tail)
		return HF_ECORRUPT;
	status = hf_file_read_exact(&segment->file, tail, sizeof tail, size - sizeof tail);
	if (status != HF_OK)
		return status;
	uint32_t count = hf_load_le32(tail);
	uint64_t map_bytes = (uint64_t)count * 8;

	if (map_bytes > size - HF_LOG_FILE_HEADER_BYTES - sizeof tail)
		return HF_ECORRUPT;
	uint8_t *map = malloc(map_bytes + sizeof tail);

	if (map == NULL)
		return HF_ENOMEM;
	segment->data_end = size - sizeof tail - map_bytes;
	status = hf_file_read_exact(&segment->file, map, map_bytes + sizeof tail, segment->data_end);
	if (status == HF_OK && hf_crc32c(0, map, map_bytes + 4) != hf_load_le32(map + map_bytes + 4))
		status = HF_ECORRUPT;
	if (status == HF_OK)
		segment->extents = malloc(map_bytes + sizeof *segment->extents);
	if (status == HF_OK && segment->extents == NULL)
		status = HF_ENOMEM;
	for (uint32_t i = 0; status == HF_OK && i < count; i++) {
		struct hf_log_extent *extent = &segment->extents[i];

		extent->logical = hf_load_le32(map + 8 * (size_t)i);
		extent->offset = hf_load_le32(map + 8 * (size_t)i + 4);
		if (extent->offset < HF_LOG_FILE_HEADER_BYTES || extent->offset >= segment->data_end ||
		    (i > 0 && (extent->logical <= extent[-1].logical || extent->offset <= extent[-1].offset)))
			status = HF_ECORRUPT;
	}
	free(map);
	if (status != HF_OK) {
		free(segment->extents);
		segment->extents = NULL;
		return status;
	}
	segment->extent_count = count;
	return HF_OK;
}

/* ---- Accounts ---- */

struct hf_log_segment_info hf_log_segment_describe(const struct hf_log_segment *segment)
{
	struct hf_log_segment_info info = {
		.number = segment->number, .generation = segment->generation, .base = segment->base,
		.length = segment->length, .dead_bytes = segment->dead_bytes,
	};

	info.file_bytes = hf_log_segment_end(segment) + (segment->generation > 0 ? 8 * (uint64_t)segment->extent_count + 8 : 0);
	return info;
}

void hf_log_count_corrupt(const struct hf_log_segment *segment, uint64_t offset, const char *what)
{
	char name[32];

	hf_log_file_name(segment->number, segment->generation, name);
	atomic_fetch_add(segment->log->options.corrupt_count, 1);
	hf_log_error(&module, "stored bytes do not match their checksum", "file=log/%s offset=%llu what=\"%s\"",
		name, (unsigned long long)offset, what);
}
