#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "support/scratch.h"

static char root[SCRATCH_PATH_BYTES];
static char path[HF_PATH_BYTES_MAX];
static struct hf_fs *fs;

static int set_up(void **state)
{
	fs = hf_fs_system();
	scratch_make(root);
	return hf_path_join(path, root, "file");
}

static int tear_down(void **state)
{
	scratch_remove(root);
	return 0;
}

static void test_flags_of_open(void **state)
{
	struct hf_file file;
	assert_int_equal(hf_file_open(fs, &file, path, HF_FILE_READ), HF_ENOTFOUND);
	hf_file_close(&file);
	assert_int_equal(hf_file_open(fs, &file, path, HF_FILE_WRITE | HF_FILE_CREATE | HF_FILE_EXCLUSIVE), HF_OK);
	assert_int_equal(hf_file_write(&file, "12345", 5, 0), HF_OK);
	hf_file_close(&file);
	hf_file_close(&file);
	struct stat status;
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	assert_int_equal(hf_file_open(fs, &file, path, HF_FILE_WRITE | HF_FILE_CREATE | HF_FILE_EXCLUSIVE), HF_EEXISTS);
	uint64_t size;
	assert_int_equal(hf_file_open(fs, &file, path, HF_FILE_READ | HF_FILE_WRITE | HF_FILE_TRUNCATE), HF_OK);
	assert_int_equal(hf_file_size(&file, &size), HF_OK);
	assert_int_equal(size, 0);
	hf_file_close(&file);
	assert_int_equal(hf_file_open(fs, &file, root, HF_FILE_DIRECTORY), HF_OK);
	assert_int_equal(hf_file_sync(&file), HF_OK);
	hf_file_close(&file);
}

static void test_reads_and_writes_at_offsets(void **state)
{
	enum { SLICE_COUNT = 3000 };
	static struct iovec slices[SLICE_COUNT];
	static char text[SLICE_COUNT * 3], back[SLICE_COUNT * 3 + 10];
	struct hf_file file;
	size_t done, length = 0;
	for (int i = 0; i < SLICE_COUNT; i++) {
		/* Empty slices among them, and more than one system call takes. */
		slices[i] = (struct iovec){text + length, (size_t)i % 4};
		for (int j = 0; j < i % 4 && length < sizeof text; j++)
			text[length++] = (char)('a' + i % 26);
	}
	slices[SLICE_COUNT - 1].iov_len = length - (size_t)((char *)slices[SLICE_COUNT - 1].iov_base - text);
	assert_int_equal(hf_file_open(fs, &file, path, HF_FILE_READ | HF_FILE_WRITE | HF_FILE_CREATE), HF_OK);
	assert_int_equal(hf_file_writev(&file, slices, SLICE_COUNT, 10), HF_OK);
	assert_int_equal(hf_file_sync(&file), HF_OK);
	assert_int_equal(hf_file_read(&file, back, sizeof back, 10, &done), HF_OK);
	assert_int_equal(done, length);
	assert_memory_equal(back, text, length);
	assert_int_equal(hf_file_read_resident(&file, back, 100, 10, &done), HF_OK);
	assert_int_equal(done, 100);
	assert_int_equal(hf_file_read_resident(&file, back, 100, length, &done), HF_OK);
	assert_int_equal(done, 10);
	assert_int_equal(hf_file_read_exact(&file, back, 10, length), HF_OK);
	assert_int_equal(hf_file_read_exact(&file, back, 11, length), HF_ECORRUPT);
	assert_int_equal(hf_file_truncate(&file, 12), HF_OK);
	assert_int_equal(fs->allocate(&file, 0, 1 << 16), HF_OK);
	assert_int_equal(fs->start_writeback(&file, 0, 12), HF_OK);
	uint64_t size;
	assert_int_equal(hf_file_size(&file, &size), HF_OK);
	assert_int_equal(size, 12);
	const uint8_t *mapping;
	assert_int_equal(hf_file_map(&file, 0, &mapping), HF_OK);
	hf_file_unmap(&file, mapping, 0);
	assert_int_equal(hf_file_map(&file, 12, &mapping), HF_OK);
	assert_memory_equal(mapping + 10, text, 2);
	hf_file_unmap(&file, mapping, 12);
	hf_file_close(&file);
}

static void test_replace_and_read_all(void **state)
{
	struct hf_buffer out = {0};
	assert_false(hf_fs_exists(fs, path));
	assert_int_equal(hf_fs_replace(fs, path, "first", 5), HF_OK);
	assert_int_equal(hf_fs_replace(fs, path, "2nd", 3), HF_OK);
	assert_true(hf_fs_exists(fs, path));
	assert_int_equal(hf_fs_read_all(fs, path, 2, &out), HF_ETOOBIG);
	assert_int_equal(hf_fs_read_all(fs, path, 3, &out), HF_OK);
	assert_true(hf_slice_equal(hf_buffer_slice(&out), HF_SLICE_LITERAL("2nd")));
	assert_int_equal(scratch_entry_count(root), 1);
	assert_int_equal(hf_fs_replace(fs, "/nonexistent/file", "x", 1), HF_ENOTFOUND);
	hf_buffer_free(&out);
}

static int count_until_two(void *context, const char *name)
{
	return ++*(int *)context == 2 ? HF_ECANCELED : HF_OK;
}

static void test_directories(void **state)
{
	char inner[HF_PATH_BYTES_MAX], other[HF_PATH_BYTES_MAX];
	int seen = 0;
	uint64_t bytes;
	assert_int_equal(hf_path_join(inner, root, "directory"), HF_OK);
	assert_int_equal(fs->make_directory(fs, inner, 0700), HF_OK);
	assert_int_equal(fs->make_directory(fs, inner, 0700), HF_EEXISTS);
	assert_int_equal(hf_fs_replace(fs, path, "x", 1), HF_OK);
	assert_int_equal(hf_path_join(other, inner, "moved"), HF_OK);
	assert_int_equal(fs->list(fs, root, count_until_two, &seen), HF_ECANCELED);
	assert_int_equal(fs->rename(fs, path, other), HF_OK);
	seen = 0;
	assert_int_equal(fs->list(fs, root, count_until_two, &seen), HF_OK);
	assert_int_equal(seen, 1);
	assert_int_equal(hf_fs_sync_directory(fs, inner), HF_OK);
	assert_int_equal(fs->unlink(fs, other), HF_OK);
	assert_int_equal(fs->unlink(fs, other), HF_ENOTFOUND);
	assert_int_equal(fs->free_bytes(fs, root, &bytes), HF_OK);
	assert_true(bytes > 0);
	assert_int_equal(hf_path_join(other, "a/", "b"), HF_OK);
	assert_string_equal(other, "a/b");
	char *name = malloc(HF_PATH_BYTES_MAX + 1);
	memset(name, 'x', HF_PATH_BYTES_MAX);
	name[HF_PATH_BYTES_MAX] = '\0';
	assert_int_equal(hf_path_join(other, "a", name), HF_EINVAL);
	free(name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_flags_of_open, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_reads_and_writes_at_offsets, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_replace_and_read_all, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_directories, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
