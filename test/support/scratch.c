#include "support/scratch.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define OPEN_DIRECTORIES_MAX 16

char *scratch_make(char path[static SCRATCH_PATH_BYTES])
{
	const char *parent = getenv("TMPDIR");
	int length = snprintf(path, SCRATCH_PATH_BYTES, "%s/hf-test-XXXXXX", parent && *parent ? parent : "/tmp");
	if (length >= SCRATCH_PATH_BYTES || !mkdtemp(path)) {
		perror("cannot make a scratch directory");
		abort();
	}
	return path;
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *where)
{
	return remove(path);
}

void scratch_remove(const char *path)
{
	nftw(path, remove_entry, OPEN_DIRECTORIES_MAX, FTW_DEPTH | FTW_PHYS);
}

static _Thread_local size_t entry_count;

static int count_entry(const char *path, const struct stat *status, int kind, struct FTW *where)
{
	entry_count += where->level > 0;
	return 0;
}

size_t scratch_entry_count(const char *path)
{
	entry_count = 0;
	nftw(path, count_entry, OPEN_DIRECTORIES_MAX, FTW_PHYS);
	return entry_count;
}
