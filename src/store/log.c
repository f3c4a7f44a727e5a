/* The segments in use are an immutable, reference-counted set, replaced under the lock when a segment is begun or
 * collected; a reader takes the set and needs no lock while it reads. The last segment grows in place: its length is
 * raised after the bytes are written.
 *
 * Space is taken ahead in steps, and the file's size with it: a sync then changes no size, which halves its price on
 * ext4, and a full disk shows before bytes are written. What is beyond the end reads as zeros.
 */
#include "store/log_segment.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/crc32c.h"
#include "base/log.h"

#define ALLOCATE_STEP_BYTES (4u << 20)
#define FIRST_POSITION 64 /* 0 is no position */

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

/* ---- Segments ---- */

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

/* The map at the end of a squeezed segment (see the header). */
static int load_extents(struct hf_log_segment *segment)
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
	segment->extent_count = count;
	free(map);
	return status;
}

/* ---- Sets ---- */

static struct hf_log_set *set_new(size_t count)
{
	struct hf_log_set *set = calloc(1, sizeof *set + count * sizeof set->segments[0]);

	if (set != NULL) {
		set->references = 1;
		set->count = count;
	}
	return set;
}

struct hf_log_set *hf_log_pin(struct hf_log *log)
{
	pthread_mutex_lock(&log->lock);
	struct hf_log_set *set = log->set;

	atomic_fetch_add_explicit(&set->references, 1, memory_order_relaxed);
	pthread_mutex_unlock(&log->lock);
	return set;
}

void hf_log_unpin(struct hf_log_set *set)
{
	if (set == NULL || atomic_fetch_sub(&set->references, 1) != 1)
		return;
	for (size_t i = 0; i < set->count; i++)
		hf_log_segment_unref(set->segments[i]);
	free(set);
}

/* A copy of the present set with room for `more` segments. */
static struct hf_log_set *set_copy(const struct hf_log_set *from, size_t more)
{
	struct hf_log_set *set = set_new(from->count + more);

	if (set == NULL)
		return NULL;
	for (size_t i = 0; i < from->count; i++) {
		set->segments[i] = from->segments[i];
		atomic_fetch_add(&set->segments[i]->references, 1);
	}
	return set;
}

/* The copy is made under the lock, because the writer may begin a segment at the same time. */
int hf_log_replace_segment(struct hf_log *log, struct hf_log_segment *segment, uint64_t dead_before)
{
	struct hf_log_set *old, *set;
	int status = HF_ENOTFOUND;

	pthread_mutex_lock(&log->lock);
	old = log->set;
	set = set_copy(old, 0);
	if (set == NULL) {
		pthread_mutex_unlock(&log->lock);
		return HF_ENOMEM;
	}
	for (size_t i = 0; i < set->count; i++) {
		if (set->segments[i]->number != segment->number)
			continue;
		uint64_t dead = set->segments[i]->dead_bytes;

		/* What died while the segment was rewritten may have been copied. */
		segment->dead_bytes = dead > dead_before ? dead - dead_before : 0;
		hf_log_segment_unref(set->segments[i]);
		set->segments[i] = segment;
		atomic_fetch_add(&segment->references, 1);
		status = HF_OK;
	}
	log->set = set;
	pthread_mutex_unlock(&log->lock);
	hf_log_unpin(old);
	return status;
}

static int set_add(struct hf_log *log, struct hf_log_segment *segment)
{
	pthread_mutex_lock(&log->lock);
	struct hf_log_set *old = log->set;
	struct hf_log_set *set = set_copy(old, 1);

	if (set != NULL) {
		set->segments[set->count - 1] = segment;
		log->set = set;
		log->last = segment;
	}
	pthread_mutex_unlock(&log->lock);
	if (set == NULL)
		return HF_ENOMEM;
	hf_log_unpin(old);
	return HF_OK;
}

/* ---- Open ---- */

static int check_header(struct hf_log_segment *segment, struct hf_log_segment_info *info)
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

static int open_named(struct hf_log *log, const struct hf_log_segment_info *info, struct hf_log_segment **out,
	struct hf_failure *failure)
{
	int flags = HF_FILE_READ | (log->options.read_only ? 0 : HF_FILE_WRITE);
	struct hf_log_segment_info found;
	char name[32];
	int status = hf_log_segment_new(out, log, info, flags);

	hf_log_file_name(info->number, info->generation, name);
	if (status != HF_OK)
		return hf_fail(failure, status == HF_ENOTFOUND ? HF_ECORRUPT : status,
			"log/%s cannot be opened (%s); restore the store from a backup", name, hf_error_text(status));
	status = check_header(*out, &found);
	if (status == HF_OK && (found.number != info->number || found.generation != info->generation || found.base != info->base))
		status = HF_ECORRUPT;
	if (status == HF_ECORRUPT) {
		hf_log_count_corrupt(*out, 0, "file header");
		status = HF_OK;
	}
	if (status == HF_OK && info->generation > 0) {
		status = load_extents(*out);
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
	char name[32], path[HF_PATH_BYTES_MAX];
	int status = hf_log_segment_new(&segment, log, &info, HF_FILE_READ | (log->options.read_only ? 0 : HF_FILE_WRITE));

	if (status != HF_OK)
		return status;
	status = check_header(segment, &found);
	if (status == HF_ECORRUPT && is_unborn(segment)) {
		if (!log->options.read_only && segment_path(segment, path) == HF_OK)
			log->options.fs->unlink(log->options.fs, path);
		hf_log_segment_unref(segment);
		return HF_ENOTFOUND;
	}
	hf_log_file_name(info.number, 0, name);
	if (status == HF_OK && (found.number != info.number || found.base < last->base + last->length))
		status = HF_ECORRUPT;
	if (status == HF_OK) {
		segment->base = found.base;
		status = set_add(log, segment);
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
		if (status == HF_OK)
			status = set_add(log, segment);
		if (status != HF_OK)
			return status;
	}
	do
		status = open_next(log, failure);
	while (status == HF_OK);
	if (status != HF_ENOTFOUND)
		return status;
	last = log->last;
	status = hf_file_size(&last->file, &size);
	if (status != HF_OK)
		return hf_fail(failure, status, "the size of the last log segment cannot be read");
	if (size < HF_LOG_FILE_HEADER_BYTES)
		size = HF_LOG_FILE_HEADER_BYTES;
	last->allocated = size;
	if (last->generation == 0 && size - HF_LOG_FILE_HEADER_BYTES > last->length)
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
			status = set_add(log, segment);
		if (status != HF_OK)
			hf_log_segment_unref(segment);
	}
	if (status != HF_OK)
		return hf_fail(failure, status, "the first log segment cannot be created in %s (%s)", log->directory, hf_error_text(status));
	log->end = log->synced = FIRST_POSITION;
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
	log->set = set_new(0);
	if (log->set == NULL) {
		free(log);
		return hf_fail(failure, HF_ENOMEM, "out of memory");
	}
	pthread_mutex_init(&log->lock, NULL);
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
	uint32_t payload_bytes)
{
	uint64_t length = HF_LOG_RECORD_HEADER_BYTES + (uint64_t)payload_bytes;

	hf_store_le32(data + 4, payload_bytes);
	data[8] = record->type;
	data[9] = record->flags;
	hf_store_le16(data + 10, 0);
	hf_store_le32(data + 12, record->stream);
	memset(data + length, 0, hf_log_record_bytes(payload_bytes) - length);
	hf_store_le32(data, hf_log_record_sum(log, data, hf_log_record_bytes(payload_bytes), position));
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
	char path[HF_PATH_BYTES_MAX];
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
		status = set_add(log, segment);
	if (status != HF_OK) {
		if (segment_path(segment, path) == HF_OK)
			log->options.fs->unlink(log->options.fs, path);
		hf_log_segment_unref(segment);
	}
	return status;
}

int hf_log_roll(struct hf_log *log)
{
	return log->last->length == 0 ? HF_OK : roll(log);
}

int hf_log_append(struct hf_log *log, const uint8_t *data, size_t length)
{
	struct hf_log_segment *last = log->last;
	uint64_t written = last->length;
	int status = HF_OK;

	if (atomic_load(&log->failed))
		return HF_EIO;
	if (last->generation > 0 || (written > 0 && written + length > log->options.segment_bytes_max)) {
		status = roll(log);
		last = log->last;
		written = last->length;
	}
	if (status == HF_OK)
		status = make_room(log, last, length);
	if (status != HF_OK)
		return status;
	status = hf_file_write(&last->file, data, length, HF_LOG_FILE_HEADER_BYTES + written);
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

int hf_log_sync(struct hf_log *log)
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
	while (synced < end && !atomic_compare_exchange_weak(&log->synced, &synced, end))
		;
	return HF_OK;
}

int hf_log_cut(struct hf_log *log, uint64_t position)
{
	struct hf_log_segment *last = log->last;
	int status = HF_OK;

	if (last->generation == 0) {
		last->length = position - last->base;
		if (!log->options.read_only) {
			status = hf_file_truncate(&last->file, hf_log_segment_end(last));
			last->allocated = hf_log_segment_end(last);
			if (status == HF_OK)
				status = hf_file_sync(&last->file);
		}
	}
	log->end = log->synced = position;
	return status;
}

/* ---- Accounts ---- */

static struct hf_log_segment_info info_of(const struct hf_log_segment *segment)
{
	struct hf_log_segment_info info = {
		.number = segment->number, .generation = segment->generation, .base = segment->base,
		.length = segment->length, .dead_bytes = segment->dead_bytes,
	};

	info.file_bytes = hf_log_segment_end(segment) + (segment->generation > 0 ? 8 * (uint64_t)segment->extent_count + 8 : 0);
	return info;
}

size_t hf_log_segments(struct hf_log *log, struct hf_log_segment_info *segments, size_t max)
{
	struct hf_log_set *set = hf_log_pin(log);
	size_t count = set->count;

	for (size_t i = 0; i < count && i < max; i++)
		segments[i] = info_of(set->segments[i]);
	hf_log_unpin(set);
	return count;
}

uint64_t hf_log_file_bytes(struct hf_log *log)
{
	struct hf_log_set *set = hf_log_pin(log);
	uint64_t bytes = 0;

	for (size_t i = 0; i < set->count; i++)
		bytes += info_of(set->segments[i]).file_bytes;
	hf_log_unpin(set);
	return bytes;
}

size_t hf_log_set_count(const struct hf_log_set *set)
{
	return set->count;
}

struct hf_log_segment_info hf_log_set_info(const struct hf_log_set *set, size_t segment)
{
	return info_of(set->segments[segment]);
}

int hf_log_set_check(const struct hf_log_set *set, size_t segment)
{
	struct hf_log_segment *s = set->segments[segment];
	struct hf_log_segment_info info = info_of(s), found;
	int status = s->unreadable ? HF_ECORRUPT : check_header(s, &found);

	if (status == HF_OK && (found.number != info.number || found.generation != info.generation || found.base != info.base))
		status = HF_ECORRUPT;
	return status;
}

void hf_log_set_name(const struct hf_log_set *set, size_t segment, char name[static 32])
{
	char file[32];

	hf_log_file_name(set->segments[segment]->number, set->segments[segment]->generation, file);
	snprintf(name, 32, "log/%.27s", file);
}

static struct hf_log_segment *find(const struct hf_log_set *set, uint64_t position)
{
	size_t low = 0, high = set->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (set->segments[middle]->base <= position)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0)
		return NULL;
	struct hf_log_segment *segment = set->segments[low - 1];

	return position - segment->base < atomic_load_explicit(&segment->length, memory_order_acquire) ? segment : NULL;
}

void hf_log_count_dead(struct hf_log *log, uint64_t position, uint64_t bytes)
{
	struct hf_log_set *set = hf_log_pin(log);
	struct hf_log_segment *segment = find(set, position);

	if (segment != NULL)
		atomic_fetch_add(&segment->dead_bytes, bytes);
	hf_log_unpin(set);
}

void hf_log_set_dead(struct hf_log *log, uint32_t number, uint64_t dead_bytes)
{
	struct hf_log_set *set = hf_log_pin(log);

	for (size_t i = 0; i < set->count; i++)
		if (set->segments[i]->number == number)
			set->segments[i]->dead_bytes = dead_bytes;
	hf_log_unpin(set);
}

void hf_log_count_corrupt(const struct hf_log_segment *segment, uint64_t offset, const char *what)
{
	char name[32];

	hf_log_file_name(segment->number, segment->generation, name);
	atomic_fetch_add(segment->log->options.corrupt_count, 1);
	hf_log_error(&module, "stored bytes do not match their checksum", "file=log/%s offset=%llu what=\"%s\"",
		name, (unsigned long long)offset, what);
}

/* ---- Reading ---- */

static int read_some(struct hf_log_segment *segment, enum hf_read_mode mode, uint8_t *data, size_t length, uint64_t offset)
{
	size_t done;
	int status;

	if (hf_log_window_read(segment, data, length, offset))
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
	struct hf_log_segment *segment = find(set, position);
	uint64_t offset, end;
	int status;

	if (segment == NULL)
		return HF_ENOTFOUND;
	status = hf_log_segment_locate(segment, position, &offset, &end);
	if (status != HF_OK)
		return status;
	size_t length = hf_log_window_record_bytes(segment, offset);

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
	struct hf_log_segment *segment = find(set, position);
	uint64_t offset, end;

	if (segment != NULL && hf_log_segment_locate(segment, position, &offset, &end) == HF_OK)
		hf_log_window_prefetch(segment, offset);
}

int hf_log_record_size(struct hf_log_set *set, uint64_t position, uint64_t *bytes)
{
	struct hf_log_segment *segment = find(set, position);
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
