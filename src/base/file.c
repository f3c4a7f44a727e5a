/* The real files. A directory's descriptor is told from a file's by its layer pointer, since fdatasync need
 * not write a directory's names. Reads and writes are repeated until whole: a signal or a short transfer
 * is never seen above. */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define FILE_MODE 0600

static char directory_mark;

static int failed(void)
{
	return hf_error_from_errno(errno);
}

static int system_open(struct hf_fs *fs, struct hf_file *file, const char *path, int flags)
{
	int os_flags = O_CLOEXEC;
	if (flags & HF_FILE_DIRECTORY)
		os_flags |= O_RDONLY | O_DIRECTORY;
	else if (flags & HF_FILE_WRITE)
		os_flags |= flags & HF_FILE_READ ? O_RDWR : O_WRONLY;
	else
		os_flags |= O_RDONLY;
	if (flags & HF_FILE_CREATE)
		os_flags |= O_CREAT;
	if (flags & HF_FILE_EXCLUSIVE)
		os_flags |= O_EXCL;
	if (flags & HF_FILE_TRUNCATE)
		os_flags |= O_TRUNC;
	int descriptor;
	do
		descriptor = open(path, os_flags, FILE_MODE);
	while (descriptor < 0 && errno == EINTR);
	if (descriptor < 0)
		return failed();
	*file = (struct hf_file){
		.fs = fs, .descriptor = descriptor, .layer = flags & HF_FILE_DIRECTORY ? &directory_mark : NULL};
	return HF_OK;
}

static void system_close(struct hf_file *file)
{
	close(file->descriptor);
}

static int system_pread(struct hf_file *file, void *data, size_t length, uint64_t offset, size_t *done)
{
	*done = 0;
	while (*done < length) {
		ssize_t n = pread(file->descriptor, (uint8_t *)data + *done, length - *done, (off_t)(offset + *done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return failed();
		if (n == 0)
			break;
		*done += (size_t)n;
	}
	return HF_OK;
}

static int system_pread_resident(struct hf_file *file, void *data, size_t length, uint64_t offset, size_t *done)
{
	*done = 0;
	while (*done < length) {
		struct iovec slice = {(uint8_t *)data + *done, length - *done};
		ssize_t n = preadv2(file->descriptor, &slice, 1, (off_t)(offset + *done), RWF_NOWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EOPNOTSUPP || errno == ENOSYS))
			return system_pread(file, data, length, offset, done);
		if (n < 0)
			return failed();
		if (n == 0)
			break;
		*done += (size_t)n;
	}
	return HF_OK;
}

static int write_all(int descriptor, const uint8_t *data, size_t length, uint64_t offset)
{
	while (length > 0) {
		ssize_t n = pwrite(descriptor, data, length, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return failed();
		if (n == 0)
			return HF_EIO;
		data += n;
		offset += (uint64_t)n;
		length -= (size_t)n;
	}
	return HF_OK;
}

static int system_pwritev(struct hf_file *file, const struct iovec *slices, int count, uint64_t offset)
{
	while (count > 0) {
		ssize_t n = pwritev(file->descriptor, slices, count < IOV_MAX ? count : IOV_MAX, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return failed();
		size_t written = (size_t)n;
		offset += written;
		while (count > 0 && written >= slices->iov_len) {
			written -= slices->iov_len;
			slices++;
			count--;
		}
		if (count == 0)
			break;
		/* A slice was cut, or the call stopped before this one: finish it alone. */
		size_t rest = slices->iov_len - written;
		int error = write_all(file->descriptor, (const uint8_t *)slices->iov_base + written, rest, offset);
		if (error)
			return error;
		offset += rest;
		slices++;
		count--;
	}
	return HF_OK;
}

static int system_sync(struct hf_file *file)
{
	int status = file->layer == &directory_mark ? fsync(file->descriptor) : fdatasync(file->descriptor);
	return status < 0 ? failed() : HF_OK;
}

static int system_start_writeback(struct hf_file *file, uint64_t offset, uint64_t length)
{
	if (sync_file_range(file->descriptor, (off_t)offset, (off_t)length, SYNC_FILE_RANGE_WRITE) < 0 &&
	    errno != ENOSYS && errno != ESPIPE && errno != EOPNOTSUPP)
		return failed();
	return HF_OK;
}

static int system_allocate(struct hf_file *file, uint64_t offset, uint64_t length)
{
	int status;
	do
		status = fallocate(file->descriptor, FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)length);
	while (status < 0 && errno == EINTR);
	if (status < 0 && errno != EOPNOTSUPP && errno != ENOSYS)
		return failed();
	return HF_OK;
}

static int system_truncate(struct hf_file *file, uint64_t length)
{
	int status;
	do
		status = ftruncate(file->descriptor, (off_t)length);
	while (status < 0 && errno == EINTR);
	return status < 0 ? failed() : HF_OK;
}

static int system_size(struct hf_file *file, uint64_t *length)
{
	struct stat status;
	if (fstat(file->descriptor, &status) < 0)
		return failed();
	*length = (uint64_t)status.st_size;
	return HF_OK;
}

static int system_map(struct hf_file *file, uint64_t length, const uint8_t **data)
{
	*data = NULL;
	if (length == 0)
		return HF_OK;
	void *mapping = mmap(NULL, length, PROT_READ, MAP_SHARED, file->descriptor, 0);
	if (mapping == MAP_FAILED)
		return failed();
	*data = mapping;
	return HF_OK;
}

static void system_unmap(struct hf_file *file, const uint8_t *data, uint64_t length)
{
	if (data)
		munmap((void *)(uintptr_t)data, length);
}

static int system_rename(struct hf_fs *fs, const char *from, const char *to)
{
	return rename(from, to) < 0 ? failed() : HF_OK;
}

static int system_unlink(struct hf_fs *fs, const char *path)
{
	return unlink(path) < 0 ? failed() : HF_OK;
}

static int system_make_directory(struct hf_fs *fs, const char *path, unsigned mode)
{
	return mkdir(path, mode) < 0 ? failed() : HF_OK;
}

static int system_list(struct hf_fs *fs, const char *path, int (*each)(void *context, const char *name), void *context)
{
	DIR *directory = opendir(path);
	if (!directory)
		return failed();
	int result = HF_OK;
	for (;;) {
		errno = 0;
		struct dirent *entry = readdir(directory);
		if (!entry) {
			result = errno ? failed() : HF_OK;
			break;
		}
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		result = each(context, entry->d_name);
		if (result)
			break;
	}
	closedir(directory);
	return result;
}

static int system_free_bytes(struct hf_fs *fs, const char *path, uint64_t *bytes)
{
	struct statvfs status;
	if (statvfs(path, &status) < 0)
		return failed();
	*bytes = (uint64_t)status.f_bavail * status.f_frsize;
	return HF_OK;
}

struct hf_fs *hf_fs_system(void)
{
	static struct hf_fs fs = {
		.open = system_open,
		.close = system_close,
		.pread = system_pread,
		.pread_resident = system_pread_resident,
		.pwritev = system_pwritev,
		.sync = system_sync,
		.start_writeback = system_start_writeback,
		.allocate = system_allocate,
		.truncate = system_truncate,
		.size = system_size,
		.map = system_map,
		.unmap = system_unmap,
		.rename = system_rename,
		.unlink = system_unlink,
		.make_directory = system_make_directory,
		.list = system_list,
		.free_bytes = system_free_bytes,
	};
	return &fs;
}

int hf_file_open(struct hf_fs *fs, struct hf_file *file, const char *path, int flags)
{
	*file = (struct hf_file){.descriptor = -1};
	return fs->open(fs, file, path, flags);
}

void hf_file_close(struct hf_file *file)
{
	if (file->fs)
		file->fs->close(file);
	*file = (struct hf_file){.descriptor = -1};
}

int hf_file_read(struct hf_file *file, void *data, size_t length, uint64_t offset, size_t *done)
{
	return file->fs->pread(file, data, length, offset, done);
}

int hf_file_read_exact(struct hf_file *file, void *data, size_t length, uint64_t offset)
{
	size_t done;
	int error = file->fs->pread(file, data, length, offset, &done);
	return error ? error : done == length ? HF_OK : HF_ECORRUPT;
}

int hf_file_read_resident(struct hf_file *file, void *data, size_t length, uint64_t offset, size_t *done)
{
	return file->fs->pread_resident(file, data, length, offset, done);
}

int hf_file_write(struct hf_file *file, const void *data, size_t length, uint64_t offset)
{
	struct iovec slice = {(void *)(uintptr_t)data, length};
	return file->fs->pwritev(file, &slice, 1, offset);
}

int hf_file_writev(struct hf_file *file, const struct iovec *slices, int count, uint64_t offset)
{
	return file->fs->pwritev(file, slices, count, offset);
}

int hf_file_sync(struct hf_file *file)
{
	return file->fs->sync(file);
}

int hf_file_truncate(struct hf_file *file, uint64_t length)
{
	return file->fs->truncate(file, length);
}

int hf_file_size(struct hf_file *file, uint64_t *length)
{
	return file->fs->size(file, length);
}

int hf_file_map(struct hf_file *file, uint64_t length, const uint8_t **data)
{
	return file->fs->map(file, length, data);
}

void hf_file_unmap(struct hf_file *file, const uint8_t *data, uint64_t length)
{
	file->fs->unmap(file, data, length);
}

int hf_fs_read_all(struct hf_fs *fs, const char *path, size_t limit_bytes, struct hf_buffer *out)
{
	struct hf_file file;
	int error = hf_file_open(fs, &file, path, HF_FILE_READ);
	if (error)
		return error;
	uint64_t length;
	error = hf_file_size(&file, &length);
	if (!error && length > limit_bytes)
		error = HF_ETOOBIG;
	if (!error)
		error = hf_buffer_reserve(out, length);
	if (!error && length)
		error = hf_file_read_exact(&file, out->data + out->length, length, 0);
	if (!error)
		out->length += length;
	hf_file_close(&file);
	return error;
}

/* The directory that holds the path. */
static int parent_of(char out[static HF_PATH_BYTES_MAX], const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *from = slash ? path : ".";
	size_t length = slash == path || !slash ? 1 : (size_t)(slash - path);
	if (length >= HF_PATH_BYTES_MAX)
		return HF_EINVAL;
	memcpy(out, from, length);
	out[length] = '\0';
	return HF_OK;
}

static int write_new_file(struct hf_fs *fs, const char *path, const void *data, size_t length)
{
	struct hf_file file;
	int error = hf_file_open(fs, &file, path, HF_FILE_WRITE | HF_FILE_CREATE | HF_FILE_TRUNCATE);
	if (error)
		return error;
	if (length)
		error = hf_file_write(&file, data, length, 0);
	if (!error)
		error = hf_file_sync(&file);
	hf_file_close(&file);
	return error;
}

int hf_fs_replace(struct hf_fs *fs, const char *path, const void *data, size_t length)
{
	char fresh[HF_PATH_BYTES_MAX], parent[HF_PATH_BYTES_MAX];
	if (snprintf(fresh, sizeof fresh, "%s.new", path) >= (int)sizeof fresh)
		return HF_EINVAL;
	int error = parent_of(parent, path);
	if (error)
		return error;
	error = write_new_file(fs, fresh, data, length);
	if (!error)
		error = fs->rename(fs, fresh, path);
	if (error) {
		fs->unlink(fs, fresh);
		return error;
	}
	return hf_fs_sync_directory(fs, parent);
}

int hf_fs_sync_directory(struct hf_fs *fs, const char *path)
{
	struct hf_file directory;
	int error = hf_file_open(fs, &directory, path, HF_FILE_DIRECTORY);
	if (error)
		return error;
	error = hf_file_sync(&directory);
	hf_file_close(&directory);
	return error;
}

bool hf_fs_exists(struct hf_fs *fs, const char *path)
{
	struct hf_file file;
	if (hf_file_open(fs, &file, path, HF_FILE_READ) != HF_OK)
		return false;
	hf_file_close(&file);
	return true;
}

int hf_path_join(char out[static HF_PATH_BYTES_MAX], const char *directory, const char *name)
{
	size_t length = strlen(directory);
	const char *between = length > 0 && directory[length - 1] != '/' ? "/" : "";
	int written = snprintf(out, HF_PATH_BYTES_MAX, "%s%s%s", directory, between, name);
	return written < HF_PATH_BYTES_MAX ? HF_OK : HF_EINVAL;
}
