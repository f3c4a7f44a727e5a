/* scratch: a directory of a test's own, under $TMPDIR or /tmp. */
#ifndef HF_TEST_SCRATCH_H
#define HF_TEST_SCRATCH_H

#include <stddef.h>

#define SCRATCH_PATH_BYTES 512

/* Makes an empty directory (0700) and writes its path into path; ends the process when it cannot. */
char *scratch_make(char path[static SCRATCH_PATH_BYTES]);
/* Removes the directory with all that is in it. */
void scratch_remove(const char *path);
/* The number of entries below the directory, directories included. */
size_t scratch_entry_count(const char *path);

#endif
