/* Records are copied as they are (their sum holds their position, which does not change), through one buffer. */
#include "store/log_segment.h"

#include <stdlib.h>

#include "base/crc32c.h"

#define BUFFER_BYTES (256u << 10)

struct hf_log_rewrite {
	struct hf_log *log;
	struct hf_log_segment *segment;
	struct hf_buffer buffer, map;
	uint64_t offset;  /* of the file: where buffer goes */
	uint64_t next;    /* the position that would go on in the present extent */
	uint64_t dead_before;
	bool finished;
};

int hf_log_rewrite_begin(struct hf_log_rewrite **out, struct hf_log *log, const struct hf_log_segment_info *info)
{
	struct hf_log_rewrite *rewrite = calloc(1, sizeof *rewrite);
	struct hf_log_segment_info next = *info;
	int status;

	if (rewrite == NULL)
		return HF_ENOMEM;
	next.generation++;
	next.dead_bytes = 0;
	rewrite->log = log;
	rewrite->dead_before = info->dead_bytes;
	rewrite->offset = HF_LOG_FILE_HEADER_BYTES;
	status = hf_log_segment_new(&rewrite->segment, log, &next, HF_FILE_READ | HF_FILE_WRITE | HF_FILE_CREATE | HF_FILE_TRUNCATE);
	if (status == HF_OK)
		status = hf_log_segment_write_header(rewrite->segment);
	if (status != HF_OK) {
		hf_log_rewrite_free(rewrite);
		return status;
	}
	*out = rewrite;
	return HF_OK;
}

static int write_buffer(struct hf_log_rewrite *rewrite)
{
	struct hf_file *file = &rewrite->segment->file;
	int status = hf_file_write(file, rewrite->buffer.data, rewrite->buffer.length, rewrite->offset);

	if (status != HF_OK)
		return status;
	file->fs->start_writeback(file, rewrite->offset, rewrite->buffer.length);
	rewrite->offset += rewrite->buffer.length;
	hf_buffer_clear(&rewrite->buffer);
	return HF_OK;
}

int hf_log_rewrite_keep(struct hf_log_rewrite *rewrite, const struct hf_log_record *record)
{
	size_t bytes = hf_log_record_bytes(record->payload.length);
	uint8_t pair[8];
	int status = hf_buffer_reserve(&rewrite->buffer, bytes);

	if (status == HF_OK && record->position != rewrite->next) {
		hf_store_le32(pair, (uint32_t)(record->position - rewrite->segment->base));
		hf_store_le32(pair + 4, (uint32_t)(rewrite->offset + rewrite->buffer.length));
		status = hf_buffer_append(&rewrite->map, pair, sizeof pair);
	}
	if (status != HF_OK)
		return status;
	uint8_t *data = rewrite->buffer.data + rewrite->buffer.length;

	if (record->payload.length > 0)
		memcpy(data + HF_LOG_RECORD_HEADER_BYTES, record->payload.data, record->payload.length);
	hf_log_finish_record(rewrite->log, data, record->position, record, (uint32_t)record->payload.length, hf_slice(NULL, 0));
	rewrite->buffer.length += bytes;
	rewrite->next = record->position + bytes;
	return rewrite->buffer.length >= BUFFER_BYTES ? write_buffer(rewrite) : HF_OK;
}

int hf_log_rewrite_finish(struct hf_log_rewrite *rewrite)
{
	struct hf_log_segment *segment = rewrite->segment;
	uint8_t word[4];
	int status = write_buffer(rewrite);

	segment->data_end = rewrite->offset;
	segment->extent_count = (uint32_t)(rewrite->map.length / 8);
	segment->extents = malloc(rewrite->map.length + sizeof *segment->extents);
	if (status == HF_OK && segment->extents == NULL)
		status = HF_ENOMEM;
	for (uint32_t i = 0; i < segment->extent_count && status == HF_OK; i++)
		segment->extents[i] = (struct hf_log_extent){
			hf_load_le32(rewrite->map.data + 8 * (size_t)i), hf_load_le32(rewrite->map.data + 8 * (size_t)i + 4)};
	hf_store_le32(word, segment->extent_count);
	if (status == HF_OK)
		status = hf_buffer_append(&rewrite->map, word, sizeof word);
	hf_store_le32(word, hf_crc32c(0, rewrite->map.data, rewrite->map.length));
	if (status == HF_OK)
		status = hf_buffer_append(&rewrite->map, word, sizeof word);
	if (status == HF_OK)
		status = hf_file_write(&segment->file, rewrite->map.data, rewrite->map.length, segment->data_end);
	if (status == HF_OK)
		status = hf_file_sync(&segment->file);
	if (status == HF_OK)
		status = hf_fs_sync_directory(rewrite->log->options.fs, rewrite->log->directory);
	rewrite->finished = status == HF_OK;
	return status;
}

int hf_log_rewrite_install(struct hf_log_rewrite *rewrite)
{
	return hf_log_replace_segment(rewrite->log, rewrite->segment, rewrite->dead_before);
}

void hf_log_rewrite_free(struct hf_log_rewrite *rewrite)
{
	if (rewrite == NULL)
		return;
	if (rewrite->segment != NULL && !rewrite->finished)
		hf_log_segment_unlink(rewrite->segment);
	hf_log_segment_unref(rewrite->segment);
	hf_buffer_free(&rewrite->buffer);
	hf_buffer_free(&rewrite->map);
	free(rewrite);
}
