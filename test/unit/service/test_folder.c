/* A folder of the file system: what is found in it, and what is told of what cannot be. */
#include "service/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/scratch.h"

struct fixture {
	char path[SCRATCH_PATH_BYTES];
	struct hf_folder folder;
	struct hf_failure failure;
	struct hf_buffer found, unlisted; /* names, a space behind each */
	int unlisted_code;
};

/* ---- The directory that cannot be read ---- */

static ino_t broken;
static int broken_errno;

struct dirent *__real_readdir64(DIR *stream);
struct dirent *__wrap_readdir64(DIR *stream);

struct dirent *__wrap_readdir64(DIR *stream)
{
	struct stat status;
	if (broken == 0 || fstat(dirfd(stream), &status) < 0 || status.st_ino != broken)
		return __real_readdir64(stream);
	errno = broken_errno;
	return NULL;
}

/* ---- What is waited for ---- */

static unsigned synced_files, synced_directories;

int __wrap_fsync(int descriptor);

int __wrap_fsync(int descriptor)
{
	struct stat status;
	assert_int_equal(fstat(descriptor, &status), 0);
	*(S_ISDIR(status.st_mode) ? &synced_directories : &synced_files) += 1;
	return 0;
}

/* ---- In common ---- */

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	scratch_make(f->path);
	assert_int_equal(hf_folder_open(&f->folder, f->path, HF_FOLDER_MISSING_FAILS, &f->failure), HF_OK);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	broken = 0;
	hf_folder_close(&f->folder);
	hf_buffer_free(&f->found);
	hf_buffer_free(&f->unlisted);
	scratch_remove(f->path);
	free(f);
	return 0;
}

static void make(const struct fixture *f, const char *name)
{
	char path[SCRATCH_PATH_BYTES + 64];
	snprintf(path, sizeof path, "%s%s", f->path, name);
	if (name[strlen(name) - 1] == '/') {
		assert_int_equal(mkdir(path, 0777), 0);
		return;
	}
	int descriptor = open(path, O_WRONLY | O_CREAT, 0666);
	assert_int_equal(write(descriptor, "text", 4), 4);
	close(descriptor);
}


static void break_directory(const struct fixture *f, const char *name, int error)
{
	char path[SCRATCH_PATH_BYTES + 64];
	struct stat status;
	snprintf(path, sizeof path, "%s%s", f->path, name);
	assert_int_equal(stat(path, &status), 0);
	broken = status.st_ino;
	broken_errno = error;
}

static int note(struct hf_buffer *out, struct hf_slice name)
{
	return hf_buffer_append(out, name.data, name.length) == HF_OK ? hf_buffer_append(out, " ", 1) : HF_ENOMEM;
}

static int each(void *context, struct hf_slice name, enum hf_folder_type type)
{
	struct fixture *f = context;
	return type == HF_FOLDER_FILE ? note(&f->found, name) : HF_OK;
}

static int unlisted(void *context, struct hf_slice name, const struct hf_failure *failure)
{
	struct fixture *f = context;
	f->unlisted_code = failure->code;
	return note(&f->unlisted, name);
}

static int walk(struct fixture *f)
{
	struct hf_folder_visitor visitor = {.each = each, .unlisted = unlisted, .context = f};
	hf_buffer_clear(&f->found);
	hf_buffer_clear(&f->unlisted);
	return hf_folder_walk(&f->folder, &visitor, &f->failure);
}

static void expect(const struct hf_buffer *found, const char *expected)
{
	if (!hf_slice_equal(hf_buffer_slice(found), hf_slice_text(expected)))
		fail_msg("\"%.*s\" instead of \"%s\"", (int)found->length, (const char *)found->data, expected);
}

/* ---- Walking ---- */

static void test_a_directory_that_cannot_be_listed_is_told_and_the_rest_goes_on(void **state)
{
	struct fixture *f = *state;
	static const char *const names[] = {"/a", "/b/", "/b/x", "/c/", "/c/y", "/d"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		make(f, names[i]);
	break_directory(f, "/b", EACCES);
	assert_int_equal(walk(f), HF_OK);
	expect(&f->found, "/a /c/y /d ");
	expect(&f->unlisted, "/b ");
	assert_int_equal(f->unlisted_code, HF_EDENIED);
	break_directory(f, "/c", EIO);
	assert_int_equal(walk(f), HF_OK);
	expect(&f->found, "/a /b/x /d ");
	assert_int_equal(f->unlisted_code, HF_EIO);
	broken_errno = ENOMEM;
	assert_int_equal(walk(f), HF_ENOMEM);
	break_directory(f, "/", EIO);
	assert_int_equal(walk(f), HF_EIO);
	expect(&f->unlisted, "");
	broken = 0;
	assert_int_equal(walk(f), HF_OK);
	expect(&f->found, "/a /b/x /c/y /d ");
}

/* Deeper than a path can name, by way of the directory that is open. */
static void make_deep(const struct fixture *f, char part[static 200], unsigned depth)
{
	int at = open(f->path, O_RDONLY | O_DIRECTORY);
	memset(part, 'd', 199);
	part[199] = '\0';
	for (unsigned i = 0; i < depth; i++) {
		assert_int_equal(mkdirat(at, part, 0777), 0);
		int next = openat(at, part, O_RDONLY | O_DIRECTORY);
		close(at);
		at = next;
	}
	close(at);
}

static void remove_deep(const struct fixture *f, const char *part, unsigned depth)
{
	for (; depth > 0; depth--) {
		int at = open(f->path, O_RDONLY | O_DIRECTORY);
		for (unsigned i = 1; i < depth; i++) {
			int next = openat(at, part, O_RDONLY | O_DIRECTORY);
			close(at);
			at = next;
		}
		assert_int_equal(unlinkat(at, part, AT_REMOVEDIR), 0);
		close(at);
	}
}

static void test_a_path_that_is_too_long_is_told_as_that(void **state)
{
	struct fixture *f = *state;
	char part[200];
	unsigned depth = PATH_MAX / 200 + 2;
	make_deep(f, part, depth);
	make(f, "/z");
	errno = EIO;
	assert_int_equal(walk(f), HF_OK);
	assert_int_equal(f->unlisted_code, HF_ETOOBIG);
	expect(&f->found, "/z ");
	remove_deep(f, part, depth);
}

/* ---- Parts ---- */

static bool exists(const struct fixture *f, const char *name)
{
	char path[SCRATCH_PATH_BYTES + 64];
	struct stat status;
	snprintf(path, sizeof path, "%s%s", f->path, name);
	return lstat(path, &status) == 0;
}

static void test_a_part_that_is_written_is_neither_swept_nor_written_by_another(void **state)
{
	struct fixture *f = *state;
	struct hf_folder other;
	struct hf_slice name = hf_slice_text("/d/file");
	int descriptor, second;
	make(f, "/.holdfast-00000000000000aa.part");
	make(f, "/.holdfast-00000000000000AA.part"); /* no part's name */
	assert_int_equal(hf_folder_open(&other, f->path, HF_FOLDER_MISSING_FAILS, &f->failure), HF_OK);
	assert_int_equal(hf_folder_write(&f->folder, name, 0x1f, &descriptor, &f->failure), HF_OK);
	assert_int_equal(hf_folder_sweep(&other, &f->failure), HF_OK);
	assert_false(exists(f, "/.holdfast-00000000000000aa.part"));
	assert_true(exists(f, "/.holdfast-00000000000000AA.part"));
	assert_true(exists(f, "/d/.holdfast-000000000000001f.part"));
	assert_int_equal(hf_folder_write(&other, name, 0x1f, &second, &f->failure), HF_EBUSY);
	assert_non_null(strstr(f->failure.text, "another process"));
	assert_int_equal(hf_folder_write_end(&f->folder, name, 0x1f, descriptor, false, &f->failure), HF_OK);
	assert_true(exists(f, "/d/file"));
	assert_int_equal(hf_folder_write(&other, name, 0x1f, &second, &f->failure), HF_OK);
	hf_folder_write_abandon(&other, name, 0x1f, second, true); /* left behind */
	assert_int_equal(hf_folder_sweep(&f->folder, &f->failure), HF_OK);
	assert_false(exists(f, "/d/.holdfast-000000000000001f.part"));
	hf_folder_close(&other);
}

static void test_links_are_made_beside_what_others_left(void **state)
{
	struct fixture *f = *state;
	char path[SCRATCH_PATH_BYTES + 64], target[16];
	for (unsigned i = 0; i < 3; i++) {
		snprintf(path, sizeof path, "/.holdfast-%016llx.part", (unsigned long long)getpid() * 16 + i);
		make(f, path);
	}
	assert_int_equal(hf_folder_link(&f->folder, hf_slice_text("/link"), hf_slice_text("a"), &f->failure), HF_OK);
	assert_int_equal(hf_folder_link(&f->folder, hf_slice_text("/link"), hf_slice_text("b"), &f->failure), HF_OK);
	snprintf(path, sizeof path, "%s/link", f->path);
	assert_int_equal(readlink(path, target, sizeof target), 1);
	assert_int_equal(target[0], 'b');
	assert_int_equal(hf_folder_link(&f->folder, hf_slice_text("/x"), hf_slice("a\0b", 3), &f->failure), HF_EINVAL);
	assert_false(exists(f, "/x"));
}

static void test_only_names_that_parts_have_are_kept_for_them(void **state)
{
	(void)state;
	assert_true(hf_folder_is_part(hf_slice_text("/a/.holdfast-0123456789abcdef.part")));
	static const char *const others[] = {"/", "/a", "/.holdfast-0123456789abcdef.part/a", "/.holdfast-0123456789abcde.part",
		"/.holdfast-0123456789abcdeg.part", "/x.holdfast-0123456789abcdef.part", "/.holdfast-0123456789abcdef.parts"};
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		assert_false(hf_folder_is_part(hf_slice_text(others[i])));
}

/* ---- On the disk ---- */

static void expect_synced(unsigned files, unsigned directories)
{
	assert_int_equal(synced_files, files);
	assert_int_equal(synced_directories, directories);
	synced_files = synced_directories = 0;
}

static void change(struct fixture *f)
{
	struct hf_slice name = hf_slice_text("/a/b/file");
	int descriptor;
	assert_int_equal(hf_folder_write(&f->folder, name, 1, &descriptor, &f->failure), HF_OK);
	assert_int_equal(hf_folder_write_end(&f->folder, name, 1, descriptor, false, &f->failure), HF_OK);
}

static void test_names_are_on_the_disk_with_what_they_are_of(void **state)
{
	struct fixture *f = *state;
	struct hf_slice name = hf_slice_text("/a/b/file");
	change(f);
	assert_int_equal(hf_folder_remove(&f->folder, name, &f->failure), HF_OK);
	expect_synced(0, 0);
	f->folder.syncs = true;
	change(f);
	expect_synced(1, 3); /* the two directories above it are new: in the root, in /a; and the file in /a/b */
	change(f);
	expect_synced(1, 1);
	assert_int_equal(hf_folder_set_executable(&f->folder, name, true, &f->failure), HF_OK);
	expect_synced(1, 0);
	assert_int_equal(hf_folder_link(&f->folder, hf_slice_text("/a/link"), hf_slice_text("b"), &f->failure), HF_OK);
	expect_synced(0, 1);
	assert_int_equal(hf_folder_remove(&f->folder, name, &f->failure), HF_OK);
	expect_synced(0, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_directory_that_cannot_be_listed_is_told_and_the_rest_goes_on, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_path_that_is_too_long_is_told_as_that, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_part_that_is_written_is_neither_swept_nor_written_by_another, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_links_are_made_beside_what_others_left, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_names_are_on_the_disk_with_what_they_are_of, set_up, tear_down),
		cmocka_unit_test(test_only_names_that_parts_have_are_kept_for_them),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
