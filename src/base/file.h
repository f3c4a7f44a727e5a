/* file: the only way to the disk.
 *
 * All files of the store go through a struct hf_fs, so that a test can put a layer in between that drops
 * or tears every write not yet synced (test/support/power_fs.h), fills the disk, or flips bits.
 * Calls are thread-safe for distinct files; on one file, concurrent preads and one writer are fine.
 * Errors are hf_error codes (HF_ENOSPC, HF_EIO, HF_ENOTFOUND, HF_EEXISTS, HF_EDENIED, HF_EBUSY).
 */
#ifndef HF_BASE_FILE_H
#define HF_BASE_FILE_H

#include <sys/uio.h>

#include "base/bytes.h"
#include "base/error.h"

#define HF_PATH_BYTES_MAX 1024

enum {
	HF_FILE_READ = 1,
	HF_FILE_WRITE = 2,
	HF_FILE_CREATE = 4,    /* create when missing */
	HF_FILE_EXCLUSIVE = 8, /* with CREATE: HF_EEXISTS when it is there */
	HF_FILE_TRUNCATE = 16,
	HF_FILE_DIRECTORY = 32, /* a directory, for hf_file_sync */
};

struct hf_fs;
struct hf_file {
	struct hf_fs *fs;
	int descriptor;  /* of the real file, -1 when the layer has none */
	void *layer;     /* what a test layer keeps per file */
};

struct hf_fs {
	void *context;
	int (*open)(struct hf_fs *fs, struct hf_file *file, const char *path, int flags);
	void (*close)(struct hf_file *file);
	/* Reads up to length bytes at offset; *done < length only at the end of the file. */
	int (*pread)(struct hf_file *file, void *data, size_t length, uint64_t offset, size_t *done);
	/* The same, but HF_EWAIT instead of waiting for the disk (preadv2 with RWF_NOWAIT). */
	int (*pread_resident)(struct hf_file *file, void *data, size_t length, uint64_t offset, size_t *done);
	/* Writes all slices at offset or fails; a failure may leave a part written. */
	int (*pwritev)(struct hf_file *file, const struct iovec *slices, int count, uint64_t offset);
	int (*sync)(struct hf_file *file); /* fdatasync; on a directory, fsync */
	int (*start_writeback)(struct hf_file *file, uint64_t offset, uint64_t length); /* a hint */
	int (*allocate)(struct hf_file *file, uint64_t offset, uint64_t length); /* keeps the size */
	int (*truncate)(struct hf_file *file, uint64_t length);
	int (*size)(struct hf_file *file, uint64_t *length);
	/* A read-only mapping of the whole file as it is now; unmap with the same arguments. */
	int (*map)(struct hf_file *file, uint64_t length, const uint8_t **data);
	void (*unmap)(struct hf_file *file, const uint8_t *data, uint64_t length);
	int (*rename)(struct hf_fs *fs, const char *from, const char *to);
	int (*unlink)(struct hf_fs *fs, const char *path);
	int (*make_directory)(struct hf_fs *fs, const char *path, unsigned mode); /* HF_EEXISTS */
	/* Calls each(context, name) for every entry but "." and ".."; a non-zero return ends it. */
	int (*list)(struct hf_fs *fs, const char *path, int (*each)(void *context, const char *name), void *context);
	int (*free_bytes)(struct hf_fs *fs, const char *path, uint64_t *bytes);
};

/* The real file system. */
HF_API struct hf_fs *hf_fs_system(void);

/* Thin calls through the table. */
HF_API int hf_file_open(struct hf_fs *fs, struct hf_file *file, const char *path, int flags);
HF_API void hf_file_close(struct hf_file *file); /* a zeroed or closed file is fine */
HF_API int hf_file_read(struct hf_file *file, void *data, size_t length, uint64_t offset, size_t *done);
/* All of length, or HF_ECORRUPT when the file ends before. */
HF_API int hf_file_read_exact(struct hf_file *file, void *data, size_t length, uint64_t offset);
HF_API int hf_file_read_resident(struct hf_file *file, void *data, size_t length, uint64_t offset, size_t *done);
HF_API int hf_file_write(struct hf_file *file, const void *data, size_t length, uint64_t offset);
HF_API int hf_file_writev(struct hf_file *file, const struct iovec *slices, int count, uint64_t offset);
HF_API int hf_file_sync(struct hf_file *file);
HF_API int hf_file_truncate(struct hf_file *file, uint64_t length);
HF_API int hf_file_size(struct hf_file *file, uint64_t *length);
HF_API int hf_file_map(struct hf_file *file, uint64_t length, const uint8_t **data);
HF_API void hf_file_unmap(struct hf_file *file, const uint8_t *data, uint64_t length);

/* Whole files. read_all refuses more than limit_bytes with HF_ETOOBIG. replace writes path + ".new",
 * syncs it, renames it over path and syncs the directory: after a power cut, old or new. */
HF_API int hf_fs_read_all(struct hf_fs *fs, const char *path, size_t limit_bytes, struct hf_buffer *out);
HF_API int hf_fs_replace(struct hf_fs *fs, const char *path, const void *data, size_t length);
HF_API int hf_fs_sync_directory(struct hf_fs *fs, const char *path);
HF_API bool hf_fs_exists(struct hf_fs *fs, const char *path);
HF_API int hf_path_join(char out[static HF_PATH_BYTES_MAX], const char *directory, const char *name);

#endif
