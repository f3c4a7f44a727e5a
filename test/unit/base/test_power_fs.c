#include "support/power_fs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "support/scratch.h"

#define BLOCK_BYTES 4096

static char root[SCRATCH_PATH_BYTES];
static struct power_fs *power;
static struct hf_fs *fs;

static int set_up(void **state)
{
	scratch_make(root);
	power = power_fs_new();
	fs = power_fs_fs(power);
	return 0;
}

static int tear_down(void **state)
{
	power_fs_free(power);
	scratch_remove(root);
	return 0;
}

static const char *in_root(const char *name)
{
	static char paths[4][HF_PATH_BYTES_MAX];
	static unsigned next;
	char *path = paths[next++ % 4];
	assert_int_equal(hf_path_join(path, root, name), HF_OK);
	return path;
}

static void write_file(const char *name, char fill, size_t length, uint64_t offset, bool sync)
{
	struct hf_file file;
	char data[BLOCK_BYTES];
	memset(data, fill, length);
	assert_int_equal(hf_file_open(fs, &file, in_root(name), HF_FILE_READ | HF_FILE_WRITE | HF_FILE_CREATE), HF_OK);
	assert_int_equal(hf_file_write(&file, data, length, offset), HF_OK);
	if (sync)
		assert_int_equal(hf_file_sync(&file), HF_OK);
	hf_file_close(&file);
}

static struct hf_buffer read_file(const char *name)
{
	struct hf_buffer out = {0};
	assert_int_equal(hf_fs_read_all(hf_fs_system(), in_root(name), 1 << 20, &out), HF_OK);
	return out;
}

/* Every byte of the file is the fill; frees nothing else. */
static void assert_file(const char *name, char fill, size_t length)
{
	struct hf_buffer data = read_file(name);
	assert_int_equal(data.length, length);
	for (size_t i = 0; i < length; i++)
		assert_int_equal(data.data[i], fill);
	hf_buffer_free(&data);
}

static void test_synced_data_survives_and_unsynced_is_dropped(void **state)
{
	write_file("a", 'x', 1000, 0, true);
	assert_int_equal(hf_fs_sync_directory(fs, root), HF_OK);
	write_file("a", 'y', 2000, 500, false);
	assert_int_equal(power_fs_cut(power, 1, POWER_FS_DROP_ALL), HF_OK);
	assert_file("a", 'x', 1000);
}

static void test_keep_all_keeps_what_was_written(void **state)
{
	write_file("a", 'x', 1000, 0, false);
	write_file("a", 'x', 1000, 1000, false);
	assert_int_equal(power_fs_cut(power, 1, POWER_FS_KEEP_ALL), HF_OK);
	assert_file("a", 'x', 2000);
}

static void test_synced_file_without_synced_directory_is_gone(void **state)
{
	write_file("a", 'x', 10, 0, true);
	assert_int_equal(power_fs_cut(power, 1, POWER_FS_DROP_ALL), HF_OK);
	assert_false(hf_fs_exists(fs, in_root("a")));
}

static void test_unlink_and_rename_come_back_in_order(void **state)
{
	write_file("a", 'a', 10, 0, true);
	write_file("b", 'b', 20, 0, true);
	write_file("c", 'c', 30, 0, true);
	assert_int_equal(hf_fs_sync_directory(fs, root), HF_OK);
	assert_int_equal(fs->rename(fs, in_root("a"), in_root("b")), HF_OK);
	assert_int_equal(fs->unlink(fs, in_root("c")), HF_OK);
	assert_int_equal(fs->rename(fs, in_root("b"), in_root("c")), HF_OK);
	assert_file("c", 'a', 10);
	assert_int_equal(power_fs_cut(power, 1, POWER_FS_DROP_ALL), HF_OK);
	assert_file("a", 'a', 10);
	assert_file("b", 'b', 20);
	assert_file("c", 'c', 30);
}

static void test_truncation_is_undone(void **state)
{
	struct hf_file file;
	write_file("a", 'x', 3000, 0, true);
	assert_int_equal(hf_fs_sync_directory(fs, root), HF_OK);
	assert_int_equal(hf_file_open(fs, &file, in_root("a"), HF_FILE_READ | HF_FILE_WRITE), HF_OK);
	assert_int_equal(hf_file_truncate(&file, 10), HF_OK);
	hf_file_close(&file);
	assert_file("a", 'x', 10);
	assert_int_equal(hf_file_open(fs, &file, in_root("a"), HF_FILE_WRITE | HF_FILE_TRUNCATE), HF_OK);
	hf_file_close(&file);
	assert_int_equal(power_fs_cut(power, 1, POWER_FS_DROP_ALL), HF_OK);
	assert_file("a", 'x', 3000);
}

static void test_new_directory_vanishes_with_its_files(void **state)
{
	assert_int_equal(fs->make_directory(fs, in_root("d"), 0700), HF_OK);
	assert_int_equal(fs->make_directory(fs, in_root("d"), 0700), HF_EEXISTS);
	write_file("d/a", 'x', 10, 0, true);
	assert_int_equal(hf_fs_sync_directory(fs, in_root("d")), HF_OK);
	assert_int_equal(power_fs_cut(power, 1, POWER_FS_DROP_ALL), HF_OK);
	assert_int_equal(scratch_entry_count(root), 0);
}

static void test_renamed_directory_comes_back(void **state)
{
	assert_int_equal(fs->make_directory(fs, in_root("d"), 0700), HF_OK);
	assert_int_equal(hf_fs_sync_directory(fs, root), HF_OK);
	write_file("d/a", 'x', 10, 0, false);
	assert_int_equal(fs->rename(fs, in_root("d"), in_root("e")), HF_OK);
	write_file("e/b", 'x', 10, 0, false);
	assert_int_equal(power_fs_cut(power, 1, POWER_FS_DROP_ALL), HF_OK);
	assert_true(hf_fs_exists(fs, in_root("d")));
	assert_int_equal(scratch_entry_count(root), 1);
}

static void test_random_cut_tears_at_sectors_and_is_repeatable(void **state)
{
	unsigned kept = 0, dropped = 0, torn = 0;
	for (uint64_t seed = 0; seed < 60; seed++) {
		struct hf_buffer before = {0}, after;
		for (int repeat = 0; repeat < 2; repeat++) {
			write_file("a", 'x', BLOCK_BYTES, 0, true);
			assert_int_equal(hf_fs_sync_directory(fs, root), HF_OK);
			write_file("a", 'y', BLOCK_BYTES, 0, false);
			assert_int_equal(power_fs_cut(power, seed, POWER_FS_RANDOM), HF_OK);
			after = read_file("a");
			if (repeat == 0)
				before = after;
		}
		assert_true(hf_slice_equal(hf_buffer_slice(&before), hf_buffer_slice(&after)));
		assert_int_equal(after.length, BLOCK_BYTES);
		unsigned fresh = 0;
		for (size_t at = 0; at < BLOCK_BYTES; at += POWER_FS_SECTOR_BYTES) {
			assert_true(after.data[at] == 'x' || after.data[at] == 'y');
			for (size_t i = 0; i < POWER_FS_SECTOR_BYTES; i++)
				assert_int_equal(after.data[at + i], after.data[at]);
			fresh += after.data[at] == 'y';
		}
		kept += fresh == BLOCK_BYTES / POWER_FS_SECTOR_BYTES;
		dropped += fresh == 0;
		torn += fresh > 0 && fresh < BLOCK_BYTES / POWER_FS_SECTOR_BYTES;
		hf_buffer_free(&before);
		hf_buffer_free(&after);
	}
	assert_true(kept > 5 && dropped > 5 && torn > 5);
}

static void test_random_cut_keeps_a_prefix_of_names(void **state)
{
	unsigned seen = 0;
	for (uint64_t seed = 0; seed < 40; seed++) {
		for (int i = 0; i < 4; i++)
			write_file((char[]){(char)('a' + i), 0}, 'x', 10, 0, true);
		assert_int_equal(power_fs_cut(power, seed, POWER_FS_RANDOM), HF_OK);
		int there = 0;
		while (there < 4 && hf_fs_exists(fs, in_root((char[]){(char)('a' + there), 0})))
			there++;
		assert_int_equal(scratch_entry_count(root), there);
		seen |= 1u << there;
		for (int i = 0; i < there; i++)
			assert_int_equal(fs->unlink(fs, in_root((char[]){(char)('a' + i), 0})), HF_OK);
		assert_int_equal(hf_fs_sync_directory(fs, root), HF_OK);
	}
	assert_int_equal(seen, 31);
}

static void test_dies_at_the_chosen_sync(void **state)
{
	struct hf_file file;
	size_t done;
	char byte = 'x';
	write_file("a", 'x', 10, 0, true);
	assert_int_equal(hf_fs_sync_directory(fs, root), HF_OK);
	assert_int_equal(power_fs_sync_count(power), 2);
	assert_int_equal(hf_file_open(fs, &file, in_root("a"), HF_FILE_READ | HF_FILE_WRITE), HF_OK);
	power_fs_die_at_sync(power, 2);
	assert_int_equal(hf_file_write(&file, "1", 1, 0), HF_OK);
	assert_int_equal(hf_file_sync(&file), HF_OK);
	assert_int_equal(hf_file_write(&file, "2", 1, 1), HF_OK);
	assert_int_equal(hf_file_sync(&file), HF_EIO);
	assert_true(power_fs_is_dead(power));
	assert_int_equal(hf_file_write(&file, &byte, 1, 0), HF_EIO);
	assert_int_equal(hf_file_read(&file, &byte, 1, 0, &done), HF_EIO);
	assert_int_equal(fs->unlink(fs, in_root("a")), HF_EIO);
	assert_int_equal(power_fs_cut(power, 1, POWER_FS_DROP_ALL), HF_OK);
	assert_false(power_fs_is_dead(power));
	assert_int_equal(hf_file_read(&file, &byte, 1, 0, &done), HF_EIO);
	hf_file_close(&file);
	struct hf_buffer data = read_file("a");
	assert_memory_equal(data.data, "1xxxxxxxxx", 10);
	hf_buffer_free(&data);
}

static void test_failed_sync_leaves_data_at_risk(void **state)
{
	struct hf_file file;
	write_file("a", 'x', 10, 0, true);
	assert_int_equal(hf_fs_sync_directory(fs, root), HF_OK);
	assert_int_equal(hf_file_open(fs, &file, in_root("a"), HF_FILE_READ | HF_FILE_WRITE), HF_OK);
	assert_int_equal(hf_file_write(&file, "1", 1, 0), HF_OK);
	power_fs_fail_sync(power, 1);
	assert_int_equal(hf_file_sync(&file), HF_EIO);
	assert_int_equal(hf_file_write(&file, "2", 1, 1), HF_OK);
	assert_int_equal(hf_file_sync(&file), HF_OK);
	hf_file_close(&file);
	assert_int_equal(power_fs_cut(power, 1, POWER_FS_DROP_ALL), HF_OK);
	struct hf_buffer data = read_file("a");
	assert_memory_equal(data.data, "x2xxxxxxxx", 10);
	hf_buffer_free(&data);
}

static void test_faults(void **state)
{
	struct hf_file file;
	uint64_t bytes;
	const uint8_t *mapping;
	assert_int_equal(hf_file_open(fs, &file, in_root("a"), HF_FILE_READ | HF_FILE_WRITE | HF_FILE_CREATE), HF_OK);
	power_fs_limit_bytes(power, 6);
	assert_int_equal(hf_file_write(&file, "abcd", 4, 0), HF_OK);
	assert_int_equal(hf_file_write(&file, "efgh", 4, 4), HF_ENOSPC);
	assert_int_equal(fs->free_bytes(fs, root, &bytes), HF_OK);
	assert_int_equal(bytes, 0);
	assert_int_equal(fs->allocate(&file, 0, 100), HF_ENOSPC);
	power_fs_limit_bytes(power, UINT64_MAX);
	assert_int_equal(fs->allocate(&file, 0, 100), HF_OK);
	assert_int_equal(hf_file_size(&file, &bytes), HF_OK);
	assert_int_equal(bytes, 6);
	power_fs_fail_write(power, 2);
	assert_int_equal(hf_file_write(&file, "efgh", 4, 4), HF_OK);
	assert_int_equal(hf_file_write(&file, "EFGH", 4, 4), HF_EIO);
	assert_int_equal(hf_file_map(&file, 8, &mapping), HF_OK);
	assert_memory_equal(mapping, "abcdefgh", 8);
	assert_int_equal(hf_file_write(&file, "ABCD", 4, 0), HF_OK);
	assert_memory_equal(mapping, "ABCDefgh", 8);
	assert_int_equal(power_fs_flip_bit(power, in_root("a"), 1, 5), HF_OK);
	assert_memory_equal(mapping, "AbCDefgh", 8);
	assert_int_equal(power_fs_flip_bit(power, in_root("a"), 8, 0), HF_EINVAL);
	hf_file_unmap(&file, mapping, 8);
	hf_file_close(&file);
}

static void test_replace_is_old_or_new_at_every_sync(void **state)
{
	for (uint64_t n = 1; n <= 2; n++) {
		for (uint64_t seed = 0; seed < 20; seed++) {
			assert_int_equal(hf_fs_replace(fs, in_root("f"), "old", 3), HF_OK);
			power_fs_die_at_sync(power, n);
			assert_int_equal(hf_fs_replace(fs, in_root("f"), "new", 3), HF_EIO);
			assert_int_equal(power_fs_cut(power, seed, POWER_FS_GARBAGE), HF_OK);
			struct hf_buffer data = read_file("f");
			assert_int_equal(data.length, 3);
			assert_true(memcmp(data.data, "old", 3) == 0 || (n == 2 && memcmp(data.data, "new", 3) == 0));
			hf_buffer_free(&data);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_synced_data_survives_and_unsynced_is_dropped, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_keep_all_keeps_what_was_written, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_synced_file_without_synced_directory_is_gone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unlink_and_rename_come_back_in_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_truncation_is_undone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_new_directory_vanishes_with_its_files, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_renamed_directory_comes_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_random_cut_tears_at_sectors_and_is_repeatable, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_random_cut_keeps_a_prefix_of_names, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_dies_at_the_chosen_sync, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_failed_sync_leaves_data_at_risk, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_faults, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_replace_is_old_or_new_at_every_sync, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
