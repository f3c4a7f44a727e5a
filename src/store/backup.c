/* Under the checkpoint lock a manifest is written and every file it names is opened, with the log as it is at that moment; the copying
 * needs no lock, since files that are meanwhile replaced stay readable through their descriptors. The copy's MANIFEST
 * is written last: a copy that was interrupted does not open. */
#include "store/manifest.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/array.h"

#define CHUNK_BYTES (1u << 20)

struct copy {
	struct hf_file file;
	char name[64];   /* with its folder */
	uint64_t length; /* UINT64_MAX: all */
};

struct backup {
	struct hf_store *store;
	const char *directory;
	struct copy *copies;
	size_t count, capacity;
	struct hf_buffer manifest;
	struct hf_failure *failure;
};

static int add_file(struct backup *b, const char *name, uint64_t length)
{
	char path[HF_PATH_BYTES_MAX];
	int status;

	if (hf_array_reserve(&b->copies, &b->capacity, b->count + 1, sizeof *b->copies) != HF_OK)
		return hf_fail(b->failure, HF_ENOMEM, "out of memory");
	struct copy *copy = &b->copies[b->count];

	*copy = (struct copy){.length = length};
	snprintf(copy->name, sizeof copy->name, "%s", name);
	status = hf_path_join(path, b->store->directory, name);
	if (status == HF_OK)
		status = hf_file_open(b->store->env->fs, &copy->file, path, HF_FILE_READ);
	if (status != HF_OK)
		return hf_fail(b->failure, status, "%s cannot be opened (%s)", name, hf_error_text(status));
	b->count++;
	return HF_OK;
}

static int add_log_files(struct backup *b)
{
	struct hf_log_set *set = hf_log_pin(b->store->log);
	char name[32];
	int status = HF_OK;

	for (size_t i = 0; i < hf_log_set_count(set) && status == HF_OK; i++) {
		hf_log_set_name(set, i, name);
		status = add_file(b, name, hf_log_set_info(set, i).file_bytes);
	}
	hf_log_unpin(set);
	return status;
}

static int add_named_files(struct backup *b, const struct hf_manifest *m)
{
	char name[64];
	int status = HF_OK;

	for (size_t i = 0; i < m->segment_count && status == HF_OK; i++) {
		snprintf(name, sizeof name, "index/%08x.idx", m->segments[i].info.number);
		status = add_file(b, name, UINT64_MAX);
		snprintf(name, sizeof name, "index/%08x.dead-%u", m->segments[i].info.number, m->segments[i].dead_generation);
		if (status == HF_OK && m->segments[i].dead_generation != 0)
			status = add_file(b, name, UINT64_MAX);
	}
	snprintf(name, sizeof name, "table/%08x.tbl", m->table_file);
	if (status == HF_OK && m->table_file != 0)
		status = add_file(b, name, UINT64_MAX);
	for (size_t i = 0; i < m->run_count && status == HF_OK; i++) {
		snprintf(name, sizeof name, "block/%08x.blk", m->runs[i]);
		status = add_file(b, name, UINT64_MAX);
	}
	return status;
}

static int collect_files(struct backup *b)
{
	struct hf_store *store = b->store;
	struct hf_manifest m = {0};
	char path[HF_PATH_BYTES_MAX];
	int status;

	pthread_mutex_lock(&store->checkpoint_lock);
	status = store->read_only ? HF_OK : hf_store_checkpoint_locked(store, false);
	if (status == HF_OK)
		status = hf_path_join(path, store->directory, "MANIFEST");
	if (status == HF_OK)
		status = hf_fs_read_all(store->env->fs, path, HF_MANIFEST_BYTES_MAX, &b->manifest);
	if (status != HF_OK)
		hf_fail(b->failure, status, "the manifest could not be written and read (%s)", hf_error_text(status));
	if (status == HF_OK)
		status = hf_manifest_parse(&m, hf_buffer_slice(&b->manifest), b->failure);
	if (status == HF_OK)
		status = add_named_files(b, &m);
	if (status == HF_OK)
		status = add_log_files(b);
	pthread_mutex_unlock(&store->checkpoint_lock);
	hf_manifest_free(&m);
	return status;
}

static int copy_bytes(struct copy *copy, struct hf_file *out, uint8_t *chunk)
{
	uint64_t offset = 0;
	int status = HF_OK;

	while (status == HF_OK && offset < copy->length) {
		size_t done, want = copy->length - offset < CHUNK_BYTES ? (size_t)(copy->length - offset) : CHUNK_BYTES;

		status = hf_file_read(&copy->file, chunk, want, offset, &done);
		if (status == HF_OK && done == 0)
			break;
		if (status == HF_OK)
			status = hf_file_write(out, chunk, done, offset);
		offset += done;
	}
	return status;
}

static int copy_file(struct backup *b, struct copy *copy, uint8_t *chunk)
{
	char path[HF_PATH_BYTES_MAX];
	struct hf_file out;
	int status = hf_path_join(path, b->directory, copy->name);

	if (status == HF_OK)
		status = hf_file_open(b->store->env->fs, &out, path, HF_FILE_READ | HF_FILE_WRITE | HF_FILE_CREATE | HF_FILE_TRUNCATE);
	if (status == HF_OK) {
		status = copy_bytes(copy, &out, chunk);
		if (status == HF_OK)
			status = hf_file_sync(&out);
		hf_file_close(&out);
	}
	return status == HF_OK ? HF_OK : hf_fail(b->failure, status, "%s/%s cannot be written (%s)", b->directory, copy->name,
		hf_error_text(status));
}

static int make_folders(struct backup *b)
{
	static const char *const folders[] = {"", "log", "index", "table", "block"};
	struct hf_fs *fs = b->store->env->fs;
	char path[HF_PATH_BYTES_MAX];

	if (hf_path_join(path, b->directory, "MANIFEST") == HF_OK && hf_fs_exists(fs, path))
		return hf_fail(b->failure, HF_EEXISTS, "%s holds a store already; name a new directory", b->directory);
	for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
		int status = hf_path_join(path, b->directory, folders[i]);

		if (status == HF_OK)
			status = fs->make_directory(fs, i == 0 ? b->directory : path, 0700);
		if (status != HF_OK && status != HF_EEXISTS)
			return hf_fail(b->failure, status, "%s cannot be created (%s)", path, hf_error_text(status));
	}
	return HF_OK;
}

static int sync_folders(struct backup *b)
{
	static const char *const folders[] = {"log", "index", "table", "block"};
	char path[HF_PATH_BYTES_MAX];
	int status = HF_OK;

	for (size_t i = 0; i < sizeof folders / sizeof folders[0] && status == HF_OK; i++) {
		status = hf_path_join(path, b->directory, folders[i]);
		if (status == HF_OK)
			status = hf_fs_sync_directory(b->store->env->fs, path);
	}
	if (status == HF_OK)
		status = hf_path_join(path, b->directory, "MANIFEST");
	if (status == HF_OK)
		status = hf_fs_replace(b->store->env->fs, path, b->manifest.data, b->manifest.length);
	return status == HF_OK ? HF_OK : hf_fail(b->failure, status, "%s cannot be synced (%s)", b->directory, hf_error_text(status));
}

int hf_store_backup(struct hf_store *store, const char *directory, struct hf_failure *failure)
{
	struct backup b = {.store = store, .directory = directory, .failure = failure};
	uint8_t *chunk = malloc(CHUNK_BYTES);
	int status = chunk == NULL ? hf_fail(failure, HF_ENOMEM, "out of memory") : make_folders(&b);

	if (status == HF_OK)
		status = collect_files(&b);
	for (size_t i = 0; i < b.count && status == HF_OK; i++)
		status = copy_file(&b, &b.copies[i], chunk);
	if (status == HF_OK)
		status = sync_folders(&b);
	for (size_t i = 0; i < b.count; i++)
		hf_file_close(&b.copies[i].file);
	free(b.copies);
	hf_buffer_free(&b.manifest);
	free(chunk);
	return status;
}
