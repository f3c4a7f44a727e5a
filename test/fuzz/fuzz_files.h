/* fuzz_files: for targets that read files: a directory in memory of their own, and a read that fails when the input wants it. */
#ifndef TEST_FUZZ_FUZZ_FILES_H
#define TEST_FUZZ_FUZZ_FILES_H

#include "fuzz.h"

#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "support/fail_alloc.h"
#include "store/log.h"

#define FUZZ_PATH_BYTES 128
#define FUZZ_READ_FAILURES 128

static const uint8_t fuzz_uuid[HF_LOG_UUID_BYTES] = "0123456789abcde";
static char fuzz_directory[64];
static const char *const *fuzz_folders; /* NULL at the end */
static struct hf_fs fuzz_fs;
static _Atomic int fuzz_reads_left; /* the read that brings it to 0 fails */

/* 0: nothing fails; up to FUZZ_READ_FAILURES the allocation of that number does, from there on a read. */
static inline void fuzz_fail(uint8_t failing, bool all_threads)
{
	if (failing >= FUZZ_READ_FAILURES)
		atomic_store(&fuzz_reads_left, failing - FUZZ_READ_FAILURES + 1);
	else if (failing > 0)
		fail_alloc_arm(failing, all_threads);
}

static inline void fuzz_fail_no_more(void)
{
	atomic_store(&fuzz_reads_left, 0);
	fail_alloc_disarm();
}

static int fuzz_pread(struct hf_file *file, void *data, size_t length, uint64_t offset, size_t *done)
{
	*done = 0;
	if (atomic_load(&fuzz_reads_left) > 0 && atomic_fetch_sub(&fuzz_reads_left, 1) == 1)
		return HF_EIO;
	return hf_fs_system()->pread(file, data, length, offset, done);
}

static inline void fuzz_path(char path[FUZZ_PATH_BYTES], const char *name)
{
	snprintf(path, FUZZ_PATH_BYTES, "%s/%s", fuzz_directory, name);
}

static inline void fuzz_write_file(const char *name, const void *data, size_t length)
{
	char path[FUZZ_PATH_BYTES];

	fuzz_path(path, name);
	FILE *file = fopen(path, "w");

	FUZZ_CHECK(file != NULL);
	FUZZ_CHECK(fwrite(data, 1, length, file) == length);
	fclose(file);
}

static int fuzz_remove_one(void *folder, const char *name)
{
	char path[2 * FUZZ_PATH_BYTES];

	snprintf(path, sizeof path, "%s/%s", (const char *)folder, name);
	unlink(path);
	return 0;
}

/* All files; the folders stay. */
static inline void fuzz_remove_files(void)
{
	char path[FUZZ_PATH_BYTES];

	for (size_t i = 0; fuzz_folders[i] != NULL; i++) {
		fuzz_path(path, fuzz_folders[i]);
		fuzz_fs.list(&fuzz_fs, path, fuzz_remove_one, path);
	}
	fuzz_fs.list(&fuzz_fs, fuzz_directory, fuzz_remove_one, fuzz_directory);
}

static void fuzz_remove_directory(void)
{
	char path[FUZZ_PATH_BYTES];

	fuzz_remove_files();
	for (size_t i = 0; fuzz_folders[i] != NULL; i++) {
		fuzz_path(path, fuzz_folders[i]);
		rmdir(path);
	}
	rmdir(fuzz_directory);
}

static void fuzz_forget_line(void *context, const char *line, unsigned length)
{
	(void)context;
	(void)line;
	(void)length;
}

/* Once. The directory goes at exit. */
static inline void fuzz_prepare_files(const char *name, const char *const *folders)
{
	char path[FUZZ_PATH_BYTES];

	fuzz_fs = *hf_fs_system();
	fuzz_fs.pread = fuzz_pread;
	fuzz_folders = folders;
	hf_log_set_sink(fuzz_forget_line, NULL);
	snprintf(fuzz_directory, sizeof fuzz_directory, "/dev/shm/hf-fuzz-%s-%d", name, (int)getpid());
	FUZZ_CHECK(fuzz_fs.make_directory(&fuzz_fs, fuzz_directory, 0700) == HF_OK);
	for (size_t i = 0; folders[i] != NULL; i++) {
		fuzz_path(path, folders[i]);
		FUZZ_CHECK(fuzz_fs.make_directory(&fuzz_fs, path, 0700) == HF_OK);
	}
	atexit(fuzz_remove_directory);
}

#endif
