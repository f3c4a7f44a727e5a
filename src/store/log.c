/* The end of the log: where it is found at open, and how records get there and to the disk. Reading is elsewhere (log_find.c
 * by position, log_reader.c in order) and needs nothing of this but the set of segments (log_set.c).
 *
 * Only the last segment is written, and only past its length. A sync makes all of the log durable, because a segment is
 * synced whole before the next is begun.
 *
 * Space is taken ahead in steps, and the file's size with it: a sync then changes no size, which halves its price on
 * ext4, and a full disk shows before bytes are written. What is beyond the end reads as zeros. The steps are large, because taking
 * space waits for syncs that are under way.
 */
#include "store/log_segment.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/crc32c.h"

#define ALLOCATE_STEP_BYTES (16u << 20)
#define WRITE_BACK_STEP_BYTES 65536u
#define FIRST_POSITION 64 /* 0 is no position */

/* ---- Open ---- */

static int open_named(struct hf_log *log, const struct hf_log_segment_info *info, struct hf_log_segment **out,
	struct hf_failure *failure)
{
	int flags = HF_FILE_READ | (log->options.read_only ? 0 : HF_FILE_WRITE);
	char name[32];
	int status = hf_log_segment_new(out, log, info, flags);

	hf_log_file_name(info->number, info->generation, name);
	if (status != HF_OK)
		return hf_fail(failure, status == HF_ENOTFOUND ? HF_ECORRUPT : status,
			"log/%s cannot be opened (%s); restore the store from a backup", name, hf_error_text(status));
	status = hf_log_segment_check_header(*out);
	if (status == HF_ECORRUPT) {
		hf_log_count_corrupt(*out, 0, "file header");
		status = HF_OK;
	}
	if (status == HF_OK && info->generation > 0) {
		status = hf_log_segment_load_extents(*out);
		if (status == HF_ECORRUPT) {
			hf_log_count_corrupt(*out, (*out)->data_end, "extent map");
			(*out)->unreadable = true;
			status = HF_OK;
		}
	}
	if (status != HF_OK) {
		hf_log_segment_unref(*out);
		*out = NULL;
		return hf_fail(failure, status, "log/%s cannot be read (%s)", name, hf_error_text(status));
	}
	return HF_OK;
}

/* A file that was being created when the power went: nothing after its header. */
static bool is_unborn(struct hf_log_segment *segment)
{
	uint8_t bytes[4096];
	uint64_t offset = HF_LOG_FILE_HEADER_BYTES;
	size_t done;

	for (;; offset += done) {
		if (hf_file_read(&segment->file, bytes, sizeof bytes, offset, &done) != HF_OK)
			return false;
		if (done == 0)
			return true;
		for (size_t i = 0; i < done; i++)
			if (bytes[i] != 0)
				return false;
	}
}

/* Adds the segment after the last when its file is there. HF_ENOTFOUND: there is none. */
static int open_next(struct hf_log *log, struct hf_failure *failure)
{
	struct hf_log_segment *last = log->last, *segment;
	struct hf_log_segment_info info = {.number = last->number + 1}, found;
	char name[32];
	int status = hf_log_segment_new(&segment, log, &info, HF_FILE_READ | (log->options.read_only ? 0 : HF_FILE_WRITE));

	if (status != HF_OK)
		return status;
	status = hf_log_segment_read_header(segment, &found);
	if (status == HF_ECORRUPT && is_unborn(segment)) {
		if (!log->options.read_only)
			hf_log_segment_unlink(segment);
		hf_log_segment_unref(segment);
		return HF_ENOTFOUND;
	}
	hf_log_file_name(info.number, 0, name);
	if (status == HF_OK && (found.number != info.number || found.base < last->base + last->length))
		status = HF_ECORRUPT;
	if (status == HF_OK) {
		segment->base = found.base;
		status = hf_log_add_segment(log, segment);
	}
	if (status != HF_OK) {
		hf_log_segment_unref(segment);
		return hf_fail(failure, status, "log/%s: the file header at offset 0 cannot be read (%s); restore the store from a backup",
			name, hf_error_text(status));
	}
	last->length = found.base - last->base;
	return HF_OK;
}

static int open_segments(struct hf_log *log, const struct hf_log_segment_info *segments, size_t count, struct hf_failure *failure)
{
	struct hf_log_segment *last;
	uint64_t size;
	int status = HF_OK;

	for (size_t i = 0; i < count; i++) {
		struct hf_log_segment *segment;

		status = open_named(log, &segments[i], &segment, failure);
		if (status != HF_OK)
			return status;
		status = hf_log_add_segment(log, segment);
		if (status != HF_OK) {
			hf_log_segment_unref(segment);
			return hf_fail(failure, status, "out of memory");
		}
	}
	do
		status = open_next(log, failure);
	while (status == HF_OK);
	if (status != HF_ENOTFOUND)
		return status;
	last = log->last;
	if (last->generation > 0)
		return hf_fail(failure, HF_ECORRUPT, "log/%08x-%x.log was collected, but no segment follows it; restore the store from a backup",
			last->number, last->generation);
	status = hf_file_size(&last->file, &size);
	if (status != HF_OK)
		return hf_fail(failure, status, "the size of the last log segment cannot be read");
	if (size < HF_LOG_FILE_HEADER_BYTES)
		size = HF_LOG_FILE_HEADER_BYTES;
	last->allocated = size;
	if (size - HF_LOG_FILE_HEADER_BYTES > last->length)
		last->length = size - HF_LOG_FILE_HEADER_BYTES;
	log->end = last->base + last->length;
	return HF_OK;
}

static int create_first(struct hf_log *log, struct hf_failure *failure)
{
	struct hf_log_segment_info info = {.number = 1, .base = FIRST_POSITION};
	struct hf_log_segment *segment;
	int status = hf_log_segment_new(&segment, log, &info, HF_FILE_READ | HF_FILE_WRITE | HF_FILE_CREATE | HF_FILE_TRUNCATE);

	if (status == HF_OK) {
		segment->allocated = HF_LOG_FILE_HEADER_BYTES;
		status = hf_log_segment_write_header(segment);
		if (status == HF_OK)
			status = hf_log_add_segment(log, segment);
		if (status != HF_OK)
			hf_log_segment_unref(segment);
	}
	if (status != HF_OK)
		return hf_fail(failure, status, "the first log segment cannot be created in %s (%s)", log->directory, hf_error_text(status));
	log->end = log->synced = log->written_back = FIRST_POSITION;
	return HF_OK;
}

int hf_log_open(struct hf_log **out, const struct hf_log_options *options, const struct hf_log_segment_info *segments,
	size_t segment_count, struct hf_failure *failure)
{
	struct hf_log *log = calloc(1, sizeof *log);
	int status;

	if (log == NULL)
		return hf_fail(failure, HF_ENOMEM, "out of memory");
	log->options = *options;
	log->sum_start = hf_crc32c(0, options->uuid, sizeof options->uuid);
	snprintf(log->directory, sizeof log->directory, "%s", options->directory);
	log->set = hf_log_set_new(0);
	if (log->set == NULL) {
		free(log);
		return hf_fail(failure, HF_ENOMEM, "out of memory");
	}
	pthread_mutex_init(&log->lock, NULL);
	pthread_mutex_init(&log->sync_lock, NULL);
	if (segment_count > 0)
		status = open_segments(log, segments, segment_count, failure);
	else
		status = create_first(log, failure);
	if (status != HF_OK) {
		hf_log_close(log);
		return status;
	}
	*out = log;
	return HF_OK;
}

void hf_log_close(struct hf_log *log)
{
	if (log == NULL)
		return;
	hf_log_unpin(log->set);
	pthread_mutex_destroy(&log->lock);
	pthread_mutex_destroy(&log->sync_lock);
	free(log);
}

/* ---- Append ---- */

uint64_t hf_log_end(const struct hf_log *log)
{
	return atomic_load_explicit(&log->end, memory_order_acquire);
}

uint64_t hf_log_synced(const struct hf_log *log)
{
	return atomic_load_explicit(&log->synced, memory_order_acquire);
}

uint32_t hf_log_record_sum(const struct hf_log *log, const uint8_t *data, size_t length, uint64_t position)
{
	uint8_t place[8];

	hf_store_le64(place, position);
	return hf_crc32c(hf_crc32c(log->sum_start, place, sizeof place), data + 4, length - 4);
}

void hf_log_finish_record(const struct hf_log *log, uint8_t *data, uint64_t position, const struct hf_log_record *record,
	uint32_t payload_bytes, struct hf_slice outside)
{
	uint64_t length = HF_LOG_RECORD_HEADER_BYTES + (uint64_t)payload_bytes, gap = hf_log_record_bytes(payload_bytes) - length;

	hf_store_le32(data + 4, payload_bytes);
	data[8] = record->type;
	data[9] = record->flags;
	hf_store_le16(data + 10, 0);
	hf_store_le32(data + 12, record->stream);
	memset(data + length, 0, gap);
	if (outside.length == 0) {
		hf_store_le32(data, hf_log_record_sum(log, data, length + gap, position));
		return;
	}
	uint32_t sum = hf_log_record_sum(log, data, length - outside.length, position);

	sum = hf_crc32c(sum, outside.data, outside.length);
	hf_store_le32(data, hf_crc32c(sum, data + length, gap));
}

/* Space for `length` more bytes, with the size of the file raised over it. */
static int make_room(struct hf_log *log, struct hf_log_segment *segment, uint64_t length)
{
	uint64_t need = hf_log_segment_end(segment) + length;
	uint64_t step = ALLOCATE_STEP_BYTES;
	int status;

	if (need <= segment->allocated)
		return HF_OK;
	if (step > log->options.segment_bytes_max)
		step = log->options.segment_bytes_max;
	uint64_t target = need + step;

	status = segment->file.fs->allocate(&segment->file, segment->allocated, target - segment->allocated);
	if (status == HF_ENOSPC) {
		target = need;
		status = segment->file.fs->allocate(&segment->file, segment->allocated, target - segment->allocated);
	}
	if (status == HF_ENOSPC || status == HF_EIO)
		return status;
	status = hf_file_truncate(&segment->file, target);
	if (status == HF_OK)
		segment->allocated = target;
	return status;
}

/* Begins the next segment. The present one is synced whole before. */
static int roll(struct hf_log *log)
{
	struct hf_log_segment *last = log->last, *segment;
	struct hf_log_segment_info info = {.number = last->number + 1, .base = last->base + last->length};
	int status = hf_log_sync(log);

	if (status == HF_OK)
		status = hf_file_truncate(&last->file, hf_log_segment_end(last));
	if (status != HF_OK)
		return status;
	last->allocated = hf_log_segment_end(last);
	status = hf_log_segment_new(&segment, log, &info, HF_FILE_READ | HF_FILE_WRITE | HF_FILE_CREATE | HF_FILE_TRUNCATE);
	if (status != HF_OK)
		return status;
	segment->allocated = HF_LOG_FILE_HEADER_BYTES;
	status = hf_log_segment_write_header(segment);
	if (status == HF_OK)
		status = hf_log_add_segment(log, segment);
	if (status != HF_OK) {
		hf_log_segment_unlink(segment);
		hf_log_segment_unref(segment);
	}
	return status;
}

int hf_log_roll(struct hf_log *log)
{
	return log->last->length == 0 ? HF_OK : roll(log);
}

int hf_log_append(struct hf_log *log, const struct iovec *pieces, int count)
{
	struct hf_log_segment *last = log->last;
	uint64_t written = last->length, length = 0;
	int status = HF_OK;

	for (int i = 0; i < count; i++)
		length += pieces[i].iov_len;
	if (atomic_load(&log->failed))
		return HF_EIO;
	if (written > 0 && written + length > log->options.segment_bytes_max) {
		status = roll(log);
		last = log->last;
		written = last->length;
	}
	if (status == HF_OK)
		status = make_room(log, last, length);
	if (status != HF_OK)
		return status;
	status = hf_file_writev(&last->file, pieces, count, HF_LOG_FILE_HEADER_BYTES + written);
	if (status != HF_OK) {
		/* Part of it may be there; records of it must not come to life at the next open. */
		if (hf_file_truncate(&last->file, HF_LOG_FILE_HEADER_BYTES + written) != HF_OK)
			atomic_store(&log->failed, true);
		last->allocated = HF_LOG_FILE_HEADER_BYTES + written;
		return status;
	}
	atomic_store_explicit(&last->length, written + length, memory_order_release);
	atomic_store_explicit(&log->end, last->base + written + length, memory_order_release);
	return HF_OK;
}

uint64_t hf_log_written_back(const struct hf_log *log)
{
	return atomic_load_explicit(&log->written_back, memory_order_relaxed);
}

/* But for the last pages, which the next append would wait for. */
void hf_log_write_back(struct hf_log *log)
{
	uint64_t end = hf_log_end(log), from = hf_log_written_back(log);
	struct hf_log_set *set = hf_log_pin(log);
	struct hf_log_segment *last = set->segments[set->count - 1];

	/* Those before were synced, and so is all up to the end if another was begun since that was read. */
	if (from < last->base)
		from = last->base;
	uint64_t offset = HF_LOG_FILE_HEADER_BYTES + from - last->base;
	uint64_t to = end <= from ? 0 : (HF_LOG_FILE_HEADER_BYTES + end - last->base) / WRITE_BACK_STEP_BYTES * WRITE_BACK_STEP_BYTES;

	if (to > offset) {
		last->file.fs->start_writeback(&last->file, offset, to - offset);
		atomic_store_explicit(&log->written_back, from + to - offset, memory_order_relaxed);
	}
	hf_log_unpin(set);
}

static int sync_locked(struct hf_log *log)
{
	uint64_t end = hf_log_end(log), synced = hf_log_synced(log);
	struct hf_log_set *set;
	int status;

	if (atomic_load(&log->failed))
		return HF_EIO;
	if (synced >= end)
		return HF_OK;
	/* The set is taken after the end: if a segment was begun between, everything up to the end is synced already. */
	set = hf_log_pin(log);
	status = hf_file_sync(&set->segments[set->count - 1]->file);
	hf_log_unpin(set);
	if (status != HF_OK) {
		atomic_store(&log->failed, true);
		return status;
	}
	atomic_store_explicit(&log->synced, end, memory_order_release);
	return HF_OK;
}

int hf_log_sync(struct hf_log *log)
{
	pthread_mutex_lock(&log->sync_lock);
	int status = sync_locked(log);

	pthread_mutex_unlock(&log->sync_lock);
	return status;
}

int hf_log_cut(struct hf_log *log, uint64_t position)
{
	struct hf_log_segment *last = log->last;
	int status = HF_OK;

	last->length = position - last->base;
	if (!log->options.read_only) {
		status = hf_file_truncate(&last->file, hf_log_segment_end(last));
		last->allocated = hf_log_segment_end(last);
		if (status == HF_OK)
			status = hf_file_sync(&last->file);
	}
	log->end = log->synced = log->written_back = position;
	return status;
}
