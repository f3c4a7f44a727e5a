/* One record by its position, in any order: through the segment's window when its pages were read before, else by as many
 * calls as the guess was short. A record is served only when its sum is right, and the sum holds its position. */
#include "store/log_segment.h"

static int read_some(struct hf_log_segment *segment, enum hf_read_mode mode, uint8_t *data, size_t length, uint64_t offset)
{
	size_t done;
	int status;

	if (length < HF_LOG_CALL_BYTES_MIN && hf_log_window_read(segment, data, length, offset))
		return HF_OK;
	if (mode == HF_READ_BLOCKING) {
		status = hf_file_read_exact(&segment->file, data, length, offset);
	} else {
		status = hf_file_read_resident(&segment->file, data, length, offset, &done);
		if (status == HF_OK && done < length)
			status = HF_EWAIT;
	}
	if (status == HF_OK)
		hf_log_window_note(segment, offset, length);
	return status;
}

int hf_log_read(struct hf_log_set *set, uint64_t position, enum hf_read_mode mode, size_t guess_bytes,
	struct hf_buffer *scratch, struct hf_log_record *record)
{
	struct hf_log_segment *segment = hf_log_set_find(set, position);
	uint64_t offset, end;
	int status;

	if (segment == NULL)
		return HF_ENOTFOUND;
	status = hf_log_segment_locate(segment, position, &offset, &end);
	if (status != HF_OK)
		return status;
	size_t length = guess_bytes < HF_LOG_CALL_BYTES_MIN ? hf_log_window_record_bytes(segment, offset) : 0;

	if (length == 0)
		length = guess_bytes != 0 ? guess_bytes : 1024;

	if (length > end - offset)
		length = end - offset;
	if (length < HF_LOG_RECORD_HEADER_BYTES)
		goto damaged;
	hf_buffer_clear(scratch);
	status = hf_buffer_reserve(scratch, length);
	if (status == HF_OK)
		status = read_some(segment, mode, scratch->data, length, offset);
	if (status == HF_ECORRUPT && length > HF_LOG_RECORD_HEADER_BYTES) {
		length = HF_LOG_RECORD_HEADER_BYTES; /* the file was cut short within the guess, perhaps behind the record */
		status = read_some(segment, mode, scratch->data, length, offset);
	}
	if (status == HF_ECORRUPT)
		goto damaged;
	if (status != HF_OK)
		return status;
	uint64_t payload_bytes = hf_load_le32(scratch->data + 4), whole = hf_log_record_bytes(payload_bytes);

	if (whole > end - offset || payload_bytes > HF_LOG_PAYLOAD_BYTES_MAX)
		goto damaged;
	if (whole > length) {
		scratch->length = length;
		status = hf_buffer_reserve(scratch, whole - length);
		if (status == HF_OK)
			status = read_some(segment, mode, scratch->data + length, whole - length, offset + length);
		if (status == HF_ECORRUPT)
			goto damaged;
		if (status != HF_OK)
			return status;
	}
	if (hf_load_le32(scratch->data) != hf_log_record_sum(segment->log, scratch->data, whole, position))
		goto damaged;
	scratch->length = whole;
	*record = (struct hf_log_record){
		.position = position, .type = scratch->data[8], .flags = scratch->data[9], .stream = hf_load_le32(scratch->data + 12),
		.payload = hf_slice(scratch->data + HF_LOG_RECORD_HEADER_BYTES, payload_bytes),
	};
	return HF_OK;
damaged:
	hf_log_count_corrupt(segment, offset, "record");
	return HF_ECORRUPT;
}

void hf_log_prefetch(struct hf_log_set *set, uint64_t position)
{
	struct hf_log_segment *segment = hf_log_set_find(set, position);
	uint64_t offset, end;

	if (segment != NULL && hf_log_segment_locate(segment, position, &offset, &end) == HF_OK)
		hf_log_window_prefetch(segment, offset);
}

void hf_log_read_ahead(struct hf_log_set *set, uint64_t position, uint64_t bytes, enum hf_read_mode mode, struct hf_buffer *scratch)
{
	struct hf_log_segment *segment = hf_log_set_find(set, position);
	uint64_t offset, end;

	if (segment == NULL || hf_log_segment_locate(segment, position, &offset, &end) != HF_OK)
		return;
	if (bytes > end - offset)
		bytes = end - offset;
	hf_buffer_clear(scratch);
	if (!hf_log_window_has(segment, offset, bytes) && hf_buffer_reserve(scratch, bytes) == HF_OK)
		read_some(segment, mode, scratch->data, bytes, offset);
}

int hf_log_record_size(struct hf_log_set *set, uint64_t position, uint64_t *bytes)
{
	struct hf_log_segment *segment = hf_log_set_find(set, position);
	uint8_t header[HF_LOG_RECORD_HEADER_BYTES];
	uint64_t offset, end;
	int status;

	if (segment == NULL)
		return HF_ENOTFOUND;
	status = hf_log_segment_locate(segment, position, &offset, &end);
	if (status == HF_OK)
		status = hf_file_read_exact(&segment->file, header, sizeof header, offset);
	if (status == HF_OK)
		*bytes = hf_log_record_bytes(hf_load_le32(header + 4));
	return status;
}
