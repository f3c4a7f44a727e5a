/* folder: a directory of the file system that files are read from and written into by names as a drive has them ("/a/b"), and nothing
 * outside of it, whatever lies in it: no symbolic link is followed, neither at the end of a name nor on the way there.
 *
 * A file is written beside its place, in one whose name says so (hf_folder_is_part), and takes its place by a rename when it is whole; so
 * nobody sees half of it, and what was written when the work was cut off is found again. While it is written it is locked (flock), so
 * that another process neither writes it nor takes it for left behind. Such names are kept for parts: no file can be written by one.
 * Names are checked with hf_drive_name_is_sound before.
 *
 * In what fails, the sentence names the file. HF_EDENIED: permissions, or the file system is read-only; HF_ENOSPC; HF_EIO; HF_EEXISTS:
 * there is a directory where a file is to be, or something else where a directory is to be; HF_ETOOBIG: a part of the name is too long;
 * HF_EBUSY: another process is writing the file.
 */
#ifndef HF_SERVICE_FOLDER_H
#define HF_SERVICE_FOLDER_H

#include <limits.h>

#include "base/bytes.h"
#include "base/error.h"

struct hf_folder {
	int root;                     /* -1: it is not there, and taken for empty */
	char path[PATH_MAX];          /* without links, and without a '/' at its end */
	int directory;                /* the one that was looked at last, -1: none */
	struct hf_buffer directory_name;
	bool syncs;                   /* set by the caller: what is changed is on the disk before it is said to be, and so is its name */
};

/* What becomes of one that is missing: it fails, is made, or is taken for one with nothing in it, where it could be made. */
enum hf_folder_missing { HF_FOLDER_MISSING_FAILS, HF_FOLDER_MISSING_IS_MADE, HF_FOLDER_MISSING_IS_EMPTY };
int hf_folder_open(struct hf_folder *folder, const char *path, enum hf_folder_missing missing, struct hf_failure *failure);
void hf_folder_close(struct hf_folder *folder); /* one that failed to open is fine */

enum hf_folder_type { HF_FOLDER_FILE, HF_FOLDER_LINK, HF_FOLDER_DIRECTORY, HF_FOLDER_OTHER };
struct hf_folder_entry {
	enum hf_folder_type type;
	uint64_t size;
	int64_t modified_ns;
	bool is_executable;
	struct hf_buffer link; /* what a link says; one into the folder begins with '/', as in a drive. Freed by the caller */
};
/* HF_ENOTFOUND. */
int hf_folder_look(struct hf_folder *folder, struct hf_slice name, struct hf_folder_entry *entry, struct hf_failure *failure);
/* Calls each for all there is but parts, in the order of names in each directory. What is in a directory is left out when each returns
 * HF_ENOTFOUND for it; any other negative return ends it. unlisted is told of each directory that cannot be listed, the first excepted,
 * which fails; what it returns is taken as of each. One that is gone by then is passed over. */
struct hf_folder_visitor {
	int (*each)(void *context, struct hf_slice name, enum hf_folder_type type);
	int (*unlisted)(void *context, struct hf_slice name, const struct hf_failure *failure);
	void *context;
};
int hf_folder_walk(struct hf_folder *folder, const struct hf_folder_visitor *visitor, struct hf_failure *failure);

/* For reading; the descriptor is the caller's. HF_ENOTFOUND, HF_EEXISTS: not a file any more. */
int hf_folder_read(struct hf_folder *folder, struct hf_slice name, int *descriptor, struct hf_failure *failure);

/* Whether a name is one that parts have. */
bool hf_folder_is_part(struct hf_slice name);
/* The part of a file, made or found with what is in it already, for reading and writing, at its start. tag: tells contents apart, so that a
 * part of another is not found. Directories on the way are made. */
int hf_folder_write(struct hf_folder *folder, struct hf_slice name, uint64_t tag, int *descriptor, struct hf_failure *failure);
/* Closes the part and puts it in its place; unlinked on failure. */
int hf_folder_write_end(struct hf_folder *folder, struct hf_slice name, uint64_t tag, int descriptor, bool is_executable,
	struct hf_failure *failure);
/* Closes the part; removes it unless it is to be found again. */
void hf_folder_write_abandon(struct hf_folder *folder, struct hf_slice name, uint64_t tag, int descriptor, bool keep);
/* A link in place of what is there; a target that begins with '/' is one in the folder. HF_EINVAL: the target has a NUL byte. */
int hf_folder_link(struct hf_folder *folder, struct hf_slice name, struct hf_slice target, struct hf_failure *failure);
int hf_folder_set_executable(struct hf_folder *folder, struct hf_slice name, bool is_executable, struct hf_failure *failure);
/* A file or link, and the directories that it leaves empty. HF_ENOTFOUND. */
int hf_folder_remove(struct hf_folder *folder, struct hf_slice name, struct hf_failure *failure);
/* Removes parts that were left behind, which nobody is writing. */
int hf_folder_sweep(struct hf_folder *folder, struct hf_failure *failure);

#endif
