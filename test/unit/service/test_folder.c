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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_directory_that_cannot_be_listed_is_told_and_the_rest_goes_on, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_path_that_is_too_long_is_told_as_that, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
