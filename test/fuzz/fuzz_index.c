/* fuzz_index: a good index file and its dead marks, with bytes changed and all checksums made to fit again: answers may
 * be wrong then, memory and time may not. Input: changes of 4 bytes each: place le24 (its highest bit: in the dead
 * marks), new value. Covers: src/store/segment.c src/store/segment_walk.c src/store/segment_check.c
 * src/store/postings.c src/store/index_read.c */
#include "fuzz.h"

#include <stdio.h>

#include "base/crc32c.h"
#include "base/log.h"
#include "store/index.h"
#include "store/segment.h"

#define DOCS 700
#define FILES 4

/* ---- Files in memory ---- */

struct memory_file {
	char name[64];
	struct hf_buffer bytes;
};
static struct memory_file files[FILES];

static struct memory_file *find_file(const char *path, bool create)
{
	for (int i = 0; i < FILES; i++)
		if (strcmp(files[i].name, path) == 0)
			return &files[i];
	for (int i = 0; i < FILES && create; i++) {
		if (!files[i].name[0]) {
			snprintf(files[i].name, sizeof files[i].name, "%s", path);
			return &files[i];
		}
	}
	return NULL;
}

static int memory_open(struct hf_fs *fs, struct hf_file *file, const char *path, int flags)
{
	static struct memory_file directory;
	struct memory_file *found = flags & HF_FILE_DIRECTORY ? &directory : find_file(path, flags & HF_FILE_CREATE);
	if (found == NULL)
		return HF_ENOTFOUND;
	if (flags & HF_FILE_TRUNCATE)
		hf_buffer_clear(&found->bytes);
	*file = (struct hf_file){.fs = fs, .descriptor = -1, .layer = found};
	return HF_OK;
}

static void memory_close(struct hf_file *file)
{
	file->layer = NULL;
}

static int memory_pread(struct hf_file *file, void *data, size_t length, uint64_t offset, size_t *done)
{
	const struct hf_buffer *bytes = &((struct memory_file *)file->layer)->bytes;
	*done = offset >= bytes->length ? 0 : bytes->length - offset < length ? bytes->length - (size_t)offset : length;
	if (*done)
		memcpy(data, bytes->data + offset, *done);
	return HF_OK;
}

static int memory_pwritev(struct hf_file *file, const struct iovec *slices, int count, uint64_t offset)
{
	struct hf_buffer *bytes = &((struct memory_file *)file->layer)->bytes;
	for (int i = 0; i < count; i++) {
		size_t end = (size_t)offset + slices[i].iov_len;
		if (end > bytes->length) {
			if (hf_buffer_reserve(bytes, end - bytes->length))
				return HF_ENOMEM;
			memset(bytes->data + bytes->length, 0, end - bytes->length);
			bytes->length = end;
		}
		memcpy(bytes->data + offset, slices[i].iov_base, slices[i].iov_len);
		offset = end;
	}
	return HF_OK;
}

static int memory_sync(struct hf_file *file)
{
	return HF_OK;
}

static int memory_writeback(struct hf_file *file, uint64_t offset, uint64_t length)
{
	return HF_OK;
}

static int memory_size(struct hf_file *file, uint64_t *length)
{
	*length = ((struct memory_file *)file->layer)->bytes.length;
	return HF_OK;
}

/* A copy, so that a read past the end is seen. */
static int memory_map(struct hf_file *file, uint64_t length, const uint8_t **data)
{
	uint8_t *copy = malloc((size_t)length);
	if (copy == NULL)
		return HF_ENOMEM;
	memcpy(copy, ((struct memory_file *)file->layer)->bytes.data, (size_t)length);
	*data = copy;
	return HF_OK;
}

static void memory_unmap(struct hf_file *file, const uint8_t *data, uint64_t length)
{
	free((void *)data);
}

static int memory_unlink(struct hf_fs *fs, const char *path)
{
	struct memory_file *found = find_file(path, false);
	if (found != NULL) {
		hf_buffer_free(&found->bytes);
		found->name[0] = 0;
	}
	return HF_OK;
}

static struct hf_fs memory_fs = {.open = memory_open,
	.close = memory_close,
	.pread = memory_pread,
	.pread_resident = memory_pread,
	.pwritev = memory_pwritev,
	.sync = memory_sync,
	.start_writeback = memory_writeback,
	.size = memory_size,
	.map = memory_map,
	.unmap = memory_unmap,
	.unlink = memory_unlink};

/* ---- The index ---- */

static struct hf_env env = {.fs = &memory_fs};
static struct hf_buffer segment_template, dead_template;
static struct hf_index_checkpoint saved;

static uint32_t next_number(void *context)
{
	static uint32_t number;
	return number++ % 1000 + 1;
}

static void nothing(void *context) {}

static int no_id(void *context, uint64_t position, uint8_t id[static HF_STORE_ID_BYTES])
{
	return HF_ENOTFOUND;
}

static int confirm(void *context, uint64_t position)
{
	return position % 3 ? HF_ENOTFOUND : HF_OK;
}

static const struct hf_index_options options = {.env = &env,
	.directory = "index",
	.collection = 1,
	.memtable_docs_max = DOCS,
	.seed = 42,
	.next_number = next_number,
	.work_ready = nothing,
	.changed = nothing,
	.read_id = no_id};

static void id_of(uint32_t i, uint8_t id[static HF_STORE_ID_BYTES])
{
	for (int k = 0; k < 4; k++)
		hf_store_le64(id + 8 * k, (i + 1 + (uint64_t)k) * 0x9e3779b97f4a7c15u);
}

static void swallow(void *context, const char *line, unsigned length) {}

static void make_templates(void)
{
	struct hf_index *index;
	struct hf_failure failure;
	size_t count;
	uint64_t position;
	hf_log_set_sink(swallow, NULL);
	FUZZ_CHECK(hf_index_open(&index, &options, NULL, 0, &failure) == HF_OK);
	for (uint32_t i = 0; i < DOCS; i++) {
		uint64_t terms[4] = {1, 10 + i % 3, 100 + i % 40, 1000 + i};
		struct hf_doc_key key = {.rank = 5000 + i / 3, .terms = terms, .term_count = 4};
		id_of(i, key.id);
		FUZZ_CHECK(hf_index_insert(index, &key, 64 + 8ull * i) == HF_OK);
	}
	FUZZ_CHECK(hf_index_freeze(index) == HF_OK && hf_index_work(index, HF_INDEX_SEAL) == 1);
	for (uint32_t i = 0; i < 40; i++) {
		uint8_t id[HF_STORE_ID_BYTES];
		id_of(i * 9, id);
		FUZZ_CHECK(hf_index_kill(index, id, 64 + 72ull * i) == HF_OK);
	}
	FUZZ_CHECK(hf_index_checkpoint(index, &saved, 1, &count, &position) == HF_OK && count == 1);
	hf_index_close(index);
	for (int i = 0; i < FILES; i++) {
		if (strstr(files[i].name, ".idx"))
			segment_template = files[i].bytes;
		else if (files[i].name[0])
			dead_template = files[i].bytes;
		files[i] = (struct memory_file){0};
	}
}

static void sign_segment(uint8_t *bytes, size_t length)
{
	uint8_t *footer = bytes + length - HF_SEGMENT_FOOTER_BYTES;
	size_t blocks = (length - HF_SEGMENT_FOOTER_BYTES + HF_SEGMENT_BLOCK_BYTES - 1) / HF_SEGMENT_BLOCK_BYTES;
	uint8_t *table = footer - blocks * 4;
	size_t data = (size_t)(table - bytes);
	for (size_t b = 0; b < blocks; b++) {
		size_t start = b * HF_SEGMENT_BLOCK_BYTES, left = data - start;
		hf_store_le32(table + b * 4,
			hf_crc32c(0, bytes + start, left < HF_SEGMENT_BLOCK_BYTES ? left : HF_SEGMENT_BLOCK_BYTES));
	}
	hf_store_le32(footer + HF_FOOTER_TABLE_CRC, hf_crc32c(0, table, blocks * 4));
	hf_store_le32(footer + HF_FOOTER_CRC, hf_crc32c(0, footer, HF_FOOTER_CRC));
}

static void put_files(const uint8_t *data, size_t size)
{
	char name[64];
	for (int i = 0; i < FILES; i++)
		memory_unlink(&memory_fs, files[i].name);
	snprintf(name, sizeof name, "index/%08x.idx", saved.info.number);
	struct hf_buffer *segment = &find_file(name, true)->bytes;
	snprintf(name, sizeof name, "index/%08x.dead-%u", saved.info.number, saved.dead_generation);
	struct hf_buffer *dead = &find_file(name, true)->bytes;
	FUZZ_CHECK(hf_buffer_append(segment, segment_template.data, segment_template.length) == HF_OK);
	FUZZ_CHECK(hf_buffer_append(dead, dead_template.data, dead_template.length) == HF_OK);
	for (; size >= 4; data += 4, size -= 4) {
		uint32_t place = hf_load_le32(data) & 0xffffff;
		if (place & 0x800000)
			dead->data[(place & 0x7fffff) % dead->length] = data[3];
		else
			segment->data[place % segment->length] = data[3];
	}
	sign_segment(segment->data, segment->length);
	hf_store_le32(dead->data + dead->length - 4, hf_crc32c(0, dead->data, dead->length - 4));
}

static void query(struct hf_index_view *view, const struct hf_query *q)
{
	struct hf_index_iterator *it;
	struct hf_index_hit hit;
	uint32_t count = 0;
	FUZZ_CHECK(hf_index_iterate(&it, view, q, 64 + 8 * 500, HF_READ_RESIDENT) == HF_OK);
	for (int r; (r = hf_index_next(it, &hit)) != HF_ENOTFOUND; count++) {
		FUZZ_CHECK(count <= 2 * DOCS);
		if (r == HF_EWAIT)
			hf_index_iterator_set_mode(it, HF_READ_BLOCKING);
	}
	hf_index_iterator_close(it);
}

static void ask(struct hf_index *index)
{
	uint64_t terms[6] = {1, 11, 105, 1001, 12, 139}, positions[50];
	size_t count;
	struct hf_query q = {.rank_max = UINT64_MAX};
	struct hf_index_view *view = hf_index_acquire(index);
	query(view, &q);
	q = (struct hf_query){
		.rank_min = 5010, .rank_max = 5190, .clause_count = 2, .clauses = {{terms, 1}, {terms + 1, 4}}};
	query(view, &q);
	q = (struct hf_query){.rank_max = UINT64_MAX, .clause_count = 2, .clauses = {{terms + 1, 2}, {terms + 2, 4}}};
	query(view, &q);
	for (uint32_t i = 0; i < 20; i++) {
		struct hf_index_hit hit;
		uint8_t id[HF_STORE_ID_BYTES];
		id_of(i * 31, id);
		hf_index_find(view, id, UINT64_MAX, HF_READ_BLOCKING, confirm, NULL, &hit);
		hf_index_kill(index, id, 64 + 8ull * 31 * i);
		hf_index_estimate(view, 1000 + i);
	}
	hf_index_positions(view, 100, 5000, positions, 50, &count);
	hf_index_doc_count(view, NULL);
	hf_index_view_release(view);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hf_index *index;
	struct hf_failure failure = {0};
	if (segment_template.length == 0)
		make_templates();
	put_files(data, size < 400 ? size : 400);
	struct hf_index_options small = options;
	small.memtable_docs_max = 1;
	if (hf_index_open(&index, &small, &saved.info, 1, &failure)) {
		FUZZ_CHECK(failure.text[0]);
		return 0;
	}
	hf_index_load_dead(index, saved.info.number, saved.dead_generation, &failure);
	ask(index);
	hf_index_verify(index, NULL, NULL);
	hf_index_merge_all(index);
	ask(index);
	hf_index_close(index);
	return 0;
}
