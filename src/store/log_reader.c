/* Records of one segment in order, through a window of the file. A squeezed segment is walked extent by extent, because
 * a record's sum needs its position. */
#include "store/log_segment.h"

#include <stdlib.h>

#define WINDOW_BYTES (256u << 10)

static struct hf_log_segment *segment_of(const struct hf_log_reader *reader)
{
	return reader->set->segments[reader->segment];
}

void hf_log_reader_start(struct hf_log_reader *reader, struct hf_log_set *set, size_t segment, uint64_t position)
{
	struct hf_log_segment *in = set->segments[segment];
	uint64_t size;

	*reader = (struct hf_log_reader){.set = set, .segment = segment, .offset = HF_LOG_FILE_HEADER_BYTES};
	reader->end = in->unreadable ? reader->offset : hf_log_segment_end(in);
	/* A file that was cut short has nothing to look for behind its end. */
	if (hf_file_size(&in->file, &size) == HF_OK && size < reader->end)
		reader->end = size < reader->offset ? reader->offset : size;
	if (position <= in->base)
		return;
	if (in->generation == 0) {
		reader->offset += position - in->base;
		if (reader->offset > reader->end)
			reader->offset = reader->end;
		return;
	}
	/* The first record at or after position: inside the extent before it, or the start of the next. */
	uint64_t logical = position - in->base;

	while (reader->extent + 1 < in->extent_count && in->extents[reader->extent + 1].logical <= logical)
		reader->extent++;
	if (in->extent_count == 0)
		return;
	const struct hf_log_extent *extent = &in->extents[reader->extent];
	uint64_t stop = reader->extent + 1 < in->extent_count ? extent[1].offset : in->data_end;

	reader->offset = logical > extent->logical ? extent->offset + (logical - extent->logical) : extent->offset;
	if (reader->offset > stop)
		reader->offset = stop;
}

void hf_log_reader_free(struct hf_log_reader *reader)
{
	hf_buffer_free(&reader->window);
}

/* Moves to the extent that the offset is in. */
static void settle(struct hf_log_reader *reader)
{
	const struct hf_log_segment *in = segment_of(reader);

	while (reader->extent + 1 < in->extent_count && reader->offset >= in->extents[reader->extent + 1].offset)
		reader->extent++;
}

uint64_t hf_log_reader_position(const struct hf_log_reader *reader)
{
	const struct hf_log_segment *in = segment_of(reader);

	if (in->generation == 0 || in->extent_count == 0)
		return in->base + (reader->offset - HF_LOG_FILE_HEADER_BYTES);
	const struct hf_log_extent *extent = &in->extents[reader->extent];

	return in->base + extent->logical + (reader->offset - extent->offset);
}

/* Makes [offset, offset + length) readable at *data; *length shrinks at the end of the segment. */
static int look(struct hf_log_reader *reader, uint64_t offset, size_t *length, const uint8_t **data)
{
	uint64_t in_window = offset - reader->window_offset;
	size_t want = *length > WINDOW_BYTES ? *length : WINDOW_BYTES, done;
	int status;

	if (*length > reader->end - offset)
		*length = reader->end - offset;
	if (offset >= reader->window_offset && in_window + *length <= reader->window.length) {
		*data = reader->window.data + in_window;
		return HF_OK;
	}
	if (want > reader->end - offset)
		want = reader->end - offset;
	hf_buffer_clear(&reader->window);
	reader->window_offset = offset;
	status = hf_buffer_reserve(&reader->window, want);
	if (status == HF_OK)
		status = hf_file_read(&segment_of(reader)->file, reader->window.data, want, offset, &done);
	if (status != HF_OK)
		return status;
	reader->window.length = done;
	if (*length > done)
		*length = done;
	*data = reader->window.data;
	return HF_OK;
}

/* The record at the offset, without moving. */
static int peek(struct hf_log_reader *reader, struct hf_log_record *record, uint64_t *bytes)
{
	size_t length = HF_LOG_RECORD_HEADER_BYTES;
	uint64_t position = hf_log_reader_position(reader);
	const uint8_t *data;
	int status = look(reader, reader->offset, &length, &data);

	if (status != HF_OK)
		return status;
	if (length < HF_LOG_RECORD_HEADER_BYTES)
		return HF_ECORRUPT;
	size_t payload_bytes = hf_load_le32(data + 4), whole = hf_log_record_bytes(payload_bytes);

	if (data[8] == 0 || hf_load_le16(data + 10) != 0 || payload_bytes > HF_LOG_PAYLOAD_BYTES_MAX || whole > reader->end - reader->offset)
		return HF_ECORRUPT;
	length = whole;
	status = look(reader, reader->offset, &length, &data);
	if (status != HF_OK)
		return status;
	if (length < whole || hf_load_le32(data) != hf_log_record_sum(segment_of(reader)->log, data, whole, position))
		return HF_ECORRUPT;
	*record = (struct hf_log_record){
		.position = position, .type = data[8], .flags = data[9], .stream = hf_load_le32(data + 12),
		.payload = hf_slice(data + HF_LOG_RECORD_HEADER_BYTES, payload_bytes),
	};
	*bytes = whole;
	return HF_OK;
}

int hf_log_reader_next(struct hf_log_reader *reader, struct hf_log_record *record)
{
	uint64_t bytes;
	int status;

	settle(reader);
	if (reader->offset >= reader->end)
		return HF_ENOTFOUND;
	status = peek(reader, record, &bytes);
	if (status != HF_OK)
		return status;
	reader->offset += bytes;
	if (reader->offset > reader->end)
		reader->offset = reader->end;
	return HF_OK;
}

int hf_log_reader_resync(struct hf_log_reader *reader)
{
	struct hf_log_record record;
	uint64_t bytes;
	int status;

	for (;;) {
		reader->offset += 4;
		if (reader->offset >= reader->end) {
			reader->offset = reader->end;
			return HF_ENOTFOUND;
		}
		settle(reader);
		status = peek(reader, &record, &bytes);
		if (status != HF_ECORRUPT)
			return status;
	}
}

bool hf_log_reader_only_zeros(struct hf_log_reader *reader)
{
	uint64_t offset = reader->offset;

	while (offset < reader->end) {
		size_t length = 4096;
		const uint8_t *data;

		if (look(reader, offset, &length, &data) != HF_OK)
			return false;
		if (length == 0)
			return true;
		for (size_t i = 0; i < length; i++)
			if (data[i] != 0)
				return false;
		offset += length;
	}
	return true;
}
