/* What outlives the process besides segments: marks of dead documents, and which files may go.
 *
 *   dead file = "HFDEAD\0\0" (8), segment number le32, document count le32, mark count le32, form le32, marks, crc32c
 * le32 marks     = form 0: ascending document numbers le32; form 1: a bitmap of le64 words
 *
 * A dead file is written under a name never used before and synced; the manifest names it afterwards. A file is
 * unlinked only when a manifest that does not name it is durable. */
#include <stdio.h>
#include <stdlib.h>

#include "base/crc32c.h"
#include "store/index_private.h"

#define DEAD_HEADER_BYTES 24
#define DEAD_MAGIC "HFDEAD\0"
enum { FORM_LIST, FORM_BITMAP };

static void dead_name(char out[static 32], uint32_t number, uint32_t generation)
{
	snprintf(out, 32, "%08x.dead-%u", number, generation);
}

bool hf_index_file_name(const char *name, uint32_t *number, uint32_t *generation)
{
	char again[32];
	unsigned n, g = 0;
	if (strlen(name) >= sizeof again)
		return false;
	if (sscanf(name, "%8x.dead-%u", &n, &g) == 2)
		dead_name(again, n, g);
	else if (sscanf(name, "%8x.idx", &n) == 1)
		snprintf(again, sizeof again, "%08x.idx", n);
	else
		return false;
	*number = n;
	*generation = g;
	return strcmp(again, name) == 0;
}

void hf_index_retire_file(struct hf_index *index, const char *name)
{
	struct hf_index_old_file *file = calloc(1, sizeof *file);
	if (!file)
		return;
	snprintf(file->name, sizeof file->name, "%s", name);
	file->next = index->old_files;
	index->old_files = file;
}

/* ---- Dead files ---- */

/* The marks as they are now. */
static int encode_dead(const struct hf_segment *s, struct hf_buffer *out, uint32_t *mark_count)
{
	uint32_t words = (s->doc_count + 63) / 64;
	uint64_t *marks = malloc((size_t)words * 8);
	if (!marks)
		return HF_ENOMEM;
	*mark_count = 0;
	for (uint32_t i = 0; i < words; i++) {
		marks[i] = atomic_load_explicit(&s->dead[i], memory_order_relaxed);
		*mark_count += (uint32_t)__builtin_popcountll(marks[i]);
	}
	uint32_t form = *mark_count / 2 < words ? FORM_LIST : FORM_BITMAP;
	size_t bytes = form == FORM_LIST ? (size_t)*mark_count * 4 : (size_t)words * 8;
	int r = hf_buffer_reserve(out, DEAD_HEADER_BYTES + bytes + 4);
	if (!r) {
		uint8_t *p = out->data;
		memcpy(p, DEAD_MAGIC, 8);
		hf_store_le32(p + 8, s->number);
		hf_store_le32(p + 12, s->doc_count);
		hf_store_le32(p + 16, *mark_count);
		hf_store_le32(p + 20, form);
		p += DEAD_HEADER_BYTES;
		if (form == FORM_BITMAP)
			memcpy(p, marks, bytes);
		for (uint32_t i = 0; form == FORM_LIST && i < words; i++)
			for (uint64_t bits = marks[i]; bits; bits &= bits - 1, p += 4)
				hf_store_le32(p, i * 64 + (uint32_t)__builtin_ctzll(bits));
		out->length = DEAD_HEADER_BYTES + bytes;
		hf_store_le32(out->data + out->length, hf_crc32c(0, out->data, out->length));
		out->length += 4;
	}
	free(marks);
	return r;
}

static int write_synced(struct hf_index *index, const char *name, struct hf_slice bytes)
{
	char path[HF_PATH_BYTES_MAX];
	struct hf_file file = {.descriptor = -1};
	int r = hf_path_join(path, index->directory, name);
	if (!r)
		r = hf_file_open(
			index->options.env->fs, &file, path, HF_FILE_WRITE | HF_FILE_CREATE | HF_FILE_TRUNCATE);
	if (r)
		return r;
	r = hf_file_write(&file, bytes.data, bytes.length, 0);
	if (!r)
		r = hf_file_sync(&file);
	hf_file_close(&file);
	return r;
}

/* Writes the marks of a segment when they changed; *written tells. */
static int save_dead(struct hf_index *index, struct hf_segment *s, bool *written)
{
	if (atomic_load(&s->dead_count) == s->dead_saved_count)
		return HF_OK;
	char name[32], old_name[32];
	struct hf_buffer bytes = {0};
	uint32_t mark_count, old = s->dead_generation, generation = old + 1;
	int r = encode_dead(s, &bytes, &mark_count);
	dead_name(name, s->number, generation);
	dead_name(old_name, s->number, old);
	if (!r)
		r = write_synced(index, name, hf_buffer_slice(&bytes));
	hf_buffer_free(&bytes);
	if (r)
		return r;
	*written = true;
	pthread_mutex_lock(&index->lock);
	/* When the segment was retired meanwhile, its old file was retired with it. */
	if (s->retired)
		hf_index_retire_file(index, name);
	else if (old)
		hf_index_retire_file(index, old_name);
	s->dead_generation = generation;
	s->dead_saved_count = mark_count;
	pthread_mutex_unlock(&index->lock);
	return HF_OK;
}

static int decode_dead(struct hf_segment *s, struct hf_slice bytes)
{
	const uint8_t *p = bytes.data;
	if (bytes.length < DEAD_HEADER_BYTES + 4 || memcmp(p, DEAD_MAGIC, 8) != 0 ||
		hf_load_le32(p + bytes.length - 4) != hf_crc32c(0, p, bytes.length - 4) ||
		hf_load_le32(p + 8) != s->number || hf_load_le32(p + 12) != s->doc_count)
		return HF_ECORRUPT;
	uint32_t count = hf_load_le32(p + 16), form = hf_load_le32(p + 20), words = (s->doc_count + 63) / 64;
	size_t length = bytes.length - DEAD_HEADER_BYTES - 4;
	p += DEAD_HEADER_BYTES;
	if (form > FORM_BITMAP || length != (form == FORM_LIST ? (size_t)count * 4 : (size_t)words * 8))
		return HF_ECORRUPT;
	for (uint32_t i = 0; form == FORM_LIST && i < count; i++) {
		if (hf_load_le32(p + (size_t)i * 4) >= s->doc_count)
			return HF_ECORRUPT;
		hf_segment_mark_dead(s, hf_load_le32(p + (size_t)i * 4));
	}
	for (uint32_t i = 0; form == FORM_BITMAP && i < words; i++) {
		uint64_t bits = hf_load_le64(p + (size_t)i * 8);
		for (; bits; bits &= bits - 1) {
			uint32_t doc = i * 64 + (uint32_t)__builtin_ctzll(bits);
			if (doc >= s->doc_count)
				return HF_ECORRUPT;
			hf_segment_mark_dead(s, doc);
		}
	}
	return HF_OK;
}

int hf_index_load_dead(struct hf_index *index, uint32_t number, uint32_t generation, struct hf_failure *failure)
{
	char name[32], path[HF_PATH_BYTES_MAX];
	struct hf_buffer bytes = {0};
	struct hf_segment *s = NULL;
	for (uint32_t i = 0; i < index->view->segment_count; i++)
		if (index->view->segments[i]->number == number)
			s = index->view->segments[i];
	if (!s)
		return hf_fail(failure, HF_EINVAL,
			"The manifest names dead marks of index file %08x.idx but not the file.", number);
	dead_name(name, number, generation);
	int r = hf_path_join(path, index->directory, name);
	if (!r)
		r = hf_fs_read_all(
			index->options.env->fs, path, DEAD_HEADER_BYTES + (size_t)s->doc_count / 8 * 9 + 64, &bytes);
	if (r == HF_ETOOBIG)
		r = HF_ECORRUPT;
	if (!r)
		r = decode_dead(s, hf_buffer_slice(&bytes));
	hf_buffer_free(&bytes);
	if (r)
		return hf_fail(failure, r, "The dead marks in %s cannot be used: %s; rebuild the index.", path,
			hf_error_text(r));
	s->dead_generation = generation;
	s->dead_saved_count = atomic_load(&s->dead_count);
	return HF_OK;
}

/* ---- Checkpoints ---- */

static bool is_named(const char *name, const struct hf_index_checkpoint *segments, size_t count)
{
	uint32_t number, generation;
	if (!hf_index_file_name(name, &number, &generation))
		return true;
	for (size_t i = 0; i < count; i++)
		if (segments[i].info.number == number && (!generation || segments[i].dead_generation == generation))
			return true;
	return false;
}

static int describe(struct hf_index *index, struct hf_index_view *view, struct hf_index_checkpoint *out)
{
	bool written = false;
	int r = HF_OK;
	for (uint32_t i = 0; i < view->segment_count && !r; i++) {
		struct hf_segment *s = view->segments[i];
		r = save_dead(index, s, &written);
		out[i] = (struct hf_index_checkpoint){.info = {.number = s->number,
							      .tier = s->tier,
							      .doc_count = s->doc_count,
							      .dead_count = s->dead_saved_count,
							      .file_bytes = s->file_bytes,
							      .position_max = s->position_max},
			.dead_generation = s->dead_generation};
	}
	index->names_unsynced |= written;
	if (!r && index->names_unsynced)
		r = hf_fs_sync_directory(index->options.env->fs, index->directory);
	if (!r)
		index->names_unsynced = false;
	return r;
}

int hf_index_checkpoint(
	struct hf_index *index, struct hf_index_checkpoint *segments, size_t max, size_t *count, uint64_t *position)
{
	pthread_mutex_lock(&index->checkpoint_lock);
	struct hf_index_view *view = hf_index_acquire(index);
	*count = view->segment_count;
	*position = UINT64_MAX;
	for (uint32_t i = 0; i < view->memtable_count; i++) {
		uint64_t least = hf_memtable_position_min(view->memtables[i]);
		*position = least < *position ? least : *position;
	}
	int r = view->segment_count > max ? HF_ETOOBIG : describe(index, view, segments);
	if (!r) {
		pthread_mutex_lock(&index->lock);
		for (struct hf_index_old_file *file = index->old_files; file; file = file->next)
			file->superseded = !is_named(file->name, segments, *count);
		pthread_mutex_unlock(&index->lock);
	}
	hf_index_view_release(view);
	pthread_mutex_unlock(&index->checkpoint_lock);
	return r;
}

void hf_index_release_old(struct hf_index *index)
{
	struct hf_index_old_file *gone = NULL;
	pthread_mutex_lock(&index->lock);
	for (struct hf_index_old_file **link = &index->old_files, *file; (file = *link) != NULL;) {
		if (file->superseded) {
			*link = file->next;
			file->next = gone;
			gone = file;
		} else {
			link = &file->next;
		}
	}
	pthread_mutex_unlock(&index->lock);
	while (gone) {
		struct hf_index_old_file *file = gone;
		char path[HF_PATH_BYTES_MAX];
		gone = file->next;
		if (!hf_path_join(path, index->directory, file->name))
			index->options.env->fs->unlink(index->options.env->fs, path);
		free(file);
	}
}
