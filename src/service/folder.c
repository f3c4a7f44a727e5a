/* folder: everything goes by descriptors of directories, each opened from the one above it without following links. */
#include "service/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"

#define PART_PREFIX ".holdfast-"
#define PART_SUFFIX ".part"
#define TAG_DIGITS 16
#define PART_BYTES (sizeof PART_PREFIX - 1 + TAG_DIGITS + sizeof PART_SUFFIX)
#define TRIES 16 /* while others make, take and remove what is of the same name */
#define DIRECTORY_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define SHOWN_BYTES 160

/* ---- Failing ---- */

static int fail(const struct hf_folder *folder, struct hf_failure *failure, const char *what, struct hf_slice name)
{
	int code, error = errno, shown = name.length < SHOWN_BYTES ? (int)name.length : SHOWN_BYTES;
	switch (error) {
	case ENOENT: code = HF_ENOTFOUND; break;
	case ENOSPC: case EDQUOT: code = HF_ENOSPC; break;
	case EACCES: case EPERM: case EROFS: code = HF_EDENIED; break;
	case ELOOP: case ENOTDIR: case EISDIR: case EEXIST: case ENOTEMPTY: code = HF_EEXISTS; break;
	case ENAMETOOLONG: code = HF_ETOOBIG; break;
	case ENOMEM: code = HF_ENOMEM; break;
	default: code = HF_EIO;
	}
	return hf_fail(failure, code, "%s%.*s cannot be %s: %s.", folder->path, shown, shown ? (const char *)name.data : "", what,
		error == ELOOP || error == ENOTDIR ? "there is a symbolic link in its way, or a file" : strerror(error));
}

/* ---- Directories ---- */

static struct hf_slice directory_of(struct hf_slice name, const char **last)
{
	size_t length = name.length;
	while (length > 0 && name.data[length - 1] != '/')
		length--;
	*last = (const char *)name.data + length;
	return hf_slice(name.data, length > 0 ? length - 1 : 0);
}

/* One part of a name as a string of its own. */
static bool copy_part(char out[static NAME_MAX + 1], const char *part, size_t length)
{
	if (length > NAME_MAX) {
		errno = ENAMETOOLONG;
		return false;
	}
	memcpy(out, part, length);
	out[length] = '\0';
	return true;
}

static void forget_directory(struct hf_folder *folder)
{
	if (folder->directory >= 0 && folder->directory != folder->root)
		close(folder->directory);
	folder->directory = -1;
	hf_buffer_clear(&folder->directory_name);
}

/* A file or directory is on the disk, if that is to be waited for. -1 with errno. */
static int settle(const struct hf_folder *folder, int descriptor)
{
	return folder->syncs ? fsync(descriptor) : 0;
}

static int make_directory(const struct hf_folder *folder, int at, const char *name)
{
	if (mkdirat(at, name, 0777) < 0)
		return errno == EEXIST ? 0 : -1;
	return settle(folder, at);
}

/* From the directory at to one in it; at is closed, unless it is the root. -1 with errno. */
static int descend(const struct hf_folder *folder, int at, const char *part, size_t length, bool create)
{
	char name[NAME_MAX + 1];
	int next = -1;
	if (copy_part(name, part, length)) {
		next = openat(at, name, DIRECTORY_FLAGS);
		if (next < 0 && errno == ENOENT && create && make_directory(folder, at, name) == 0)
			next = openat(at, name, DIRECTORY_FLAGS);
	}
	int error = errno;
	if (at != folder->root)
		close(at);
	errno = error;
	return next;
}

/* The directory of that name ("/a/b"; "": the root), kept open until another is asked for. -1 with errno. */
static int open_directory(struct hf_folder *folder, struct hf_slice name, bool create)
{
	int at = folder->root;
	errno = ENOENT;
	if (at < 0)
		return -1;
	if (folder->directory >= 0 && hf_slice_equal(hf_buffer_slice(&folder->directory_name), name))
		return folder->directory;
	forget_directory(folder);
	for (size_t start = 1; at >= 0 && start <= name.length;) {
		const uint8_t *slash = memchr(name.data + start, '/', name.length - start);
		size_t end = slash ? (size_t)(slash - name.data) : name.length;
		at = descend(folder, at, (const char *)name.data + start, end - start, create);
		start = end + 1;
	}
	if (at >= 0 && (name.length == 0 || hf_buffer_append(&folder->directory_name, name.data, name.length) == HF_OK)) {
		folder->directory = at;
	} else if (at >= 0) {
		if (at != folder->root)
			close(at);
		errno = ENOMEM;
	}
	return folder->directory;
}

/* The directory that a name is in, and the rest of the name. */
static int open_place(struct hf_folder *folder, struct hf_slice name, bool create, char last[static NAME_MAX + 1])
{
	const char *rest;
	struct hf_slice directory = directory_of(name, &rest);
	if (!copy_part(last, rest, name.length - (size_t)(rest - (const char *)name.data)))
		return -1;
	return open_directory(folder, directory, create);
}

/* Whether there is nothing of that path, in a directory where there could be. */
static bool could_be_made(const char *path)
{
	char parent[PATH_MAX];
	struct stat status;
	size_t length = strlen(path);
	while (length > 1 && path[length - 1] == '/')
		length--;
	if (length >= sizeof parent || lstat(path, &status) == 0 || errno != ENOENT)
		return false;
	while (length > 0 && path[length - 1] != '/')
		length--;
	snprintf(parent, sizeof parent, "%.*s.", (int)length, path);
	return access(parent, W_OK | X_OK) == 0;
}

int hf_folder_open(struct hf_folder *folder, const char *path, enum hf_folder_missing missing, struct hf_failure *failure)
{
	*folder = (struct hf_folder){.root = -1, .directory = -1};
	if (missing == HF_FOLDER_MISSING_IS_MADE && mkdir(path, 0777) < 0 && errno != EEXIST)
		return hf_fail(failure, hf_error_from_errno(errno), "The folder %s cannot be made: %s.", path, strerror(errno));
	if (missing == HF_FOLDER_MISSING_IS_EMPTY && could_be_made(path)) {
		snprintf(folder->path, sizeof folder->path, "%s", path);
		return HF_OK;
	}
	folder->root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder->root < 0 || !realpath(path, folder->path)) {
		int error = errno;
		hf_folder_close(folder);
		return hf_fail(failure, hf_error_from_errno(error), "The folder %s cannot be opened: %s.", path, strerror(error));
	}
	if (strcmp(folder->path, "/") == 0)
		folder->path[0] = '\0';
	return HF_OK;
}

void hf_folder_close(struct hf_folder *folder)
{
	forget_directory(folder);
	hf_buffer_free(&folder->directory_name);
	if (folder->root >= 0)
		close(folder->root);
	folder->root = -1;
}

/* ---- Looking ---- */

static int read_link(struct hf_folder *folder, int directory, const char *last, struct hf_buffer *out)
{
	size_t root = strlen(folder->path);
	hf_buffer_clear(out);
	if (hf_buffer_reserve(out, PATH_MAX) < 0) {
		errno = ENOMEM;
		return -1;
	}
	ssize_t length = readlinkat(directory, last, (char *)out->data, PATH_MAX);
	if (length < 0)
		return -1;
	out->length = (size_t)length;
	/* One into the folder by its whole path is one from the drive's root. */
	if (root > 0 && out->length > root && memcmp(out->data, folder->path, root) == 0 && out->data[root] == '/')
		hf_buffer_consume(out, root);
	return 0;
}

static enum hf_folder_type type_of(mode_t mode)
{
	return S_ISREG(mode) ? HF_FOLDER_FILE : S_ISLNK(mode) ? HF_FOLDER_LINK : S_ISDIR(mode) ? HF_FOLDER_DIRECTORY : HF_FOLDER_OTHER;
}

int hf_folder_look(struct hf_folder *folder, struct hf_slice name, struct hf_folder_entry *entry, struct hf_failure *failure)
{
	char last[NAME_MAX + 1];
	struct stat status;
	int directory = open_place(folder, name, false, last);
	if (directory < 0 && (errno == ENOTDIR || errno == ELOOP || errno == ENOENT))
		return HF_ENOTFOUND;
	if (directory < 0 || fstatat(directory, last, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return directory >= 0 && errno == ENOENT ? HF_ENOTFOUND : fail(folder, failure, "looked at", name);
	entry->type = type_of(status.st_mode);
	entry->size = (uint64_t)status.st_size;
	entry->modified_ns = (int64_t)status.st_mtim.tv_sec * 1000000000 + status.st_mtim.tv_nsec;
	entry->is_executable = (status.st_mode & S_IXUSR) != 0;
	if (entry->type == HF_FOLDER_LINK && read_link(folder, directory, last, &entry->link) < 0)
		return errno == ENOENT ? HF_ENOTFOUND : fail(folder, failure, "looked at", name);
	return HF_OK;
}

/* ---- Walking ---- */

struct walk {
	struct hf_folder *folder;
	const struct hf_folder_visitor *visitor;
	struct hf_failure *failure;
	bool parts;            /* calls each for parts, and for nothing else */
	struct hf_buffer name; /* of what it has come to */
};

struct found {
	char *name;
	enum hf_folder_type type;
};

static bool is_part(const char *name)
{
	size_t prefix = sizeof PART_PREFIX - 1;
	return strncmp(name, PART_PREFIX, prefix) == 0 && strspn(name + prefix, "0123456789abcdef") == TAG_DIGITS &&
		strcmp(name + prefix + TAG_DIGITS, PART_SUFFIX) == 0;
}

bool hf_folder_is_part(struct hf_slice name)
{
	const char *rest;
	char last[PART_BYTES] = {0};
	directory_of(name, &rest);
	size_t length = name.length - (size_t)(rest - (const char *)name.data);
	if (length != PART_BYTES - 1)
		return false;
	memcpy(last, rest, length);
	return is_part(last);
}

static int compare_found(const void *a, const void *b)
{
	return strcmp(((const struct found *)a)->name, ((const struct found *)b)->name);
}

static enum hf_folder_type type_in(int directory, const struct dirent *entry)
{
	struct stat status;
	switch (entry->d_type) {
	case DT_REG: return HF_FOLDER_FILE;
	case DT_LNK: return HF_FOLDER_LINK;
	case DT_DIR: return HF_FOLDER_DIRECTORY;
	case DT_UNKNOWN: break;
	default: return HF_FOLDER_OTHER;
	}
	return fstatat(directory, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 ? type_of(status.st_mode) : HF_FOLDER_OTHER;
}

static void free_found(struct found *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(list[i].name);
	free(list);
}

static int read_entries(DIR *stream, int directory, struct found **list, size_t *count)
{
	size_t capacity = 0;
	const struct dirent *entry;
	while (errno = 0, (entry = readdir(stream)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		char *name = strdup(entry->d_name);
		if (!name || hf_array_reserve(list, &capacity, *count + 1, sizeof **list) < 0) {
			free(name);
			errno = ENOMEM;
			return -1;
		}
		(*list)[(*count)++] = (struct found){name, type_in(directory, entry)};
	}
	return errno == 0 ? 0 : -1;
}

/* What a directory holds, sorted. -1 with errno when it cannot be read, all of it. */
static int read_directory(int directory, struct found **list, size_t *count)
{
	/* A descriptor of its own: the stream takes it over. */
	int descriptor = openat(directory, ".", DIRECTORY_FLAGS);
	DIR *stream = descriptor >= 0 ? fdopendir(descriptor) : NULL;
	int error = errno;
	*list = NULL;
	*count = 0;
	if (!stream && descriptor >= 0)
		close(descriptor);
	errno = error;
	if (!stream)
		return -1;
	int r = read_entries(stream, directory, list, count);
	error = errno;
	closedir(stream);
	if (r < 0)
		free_found(*list, *count);
	else if (*count > 0)
		qsort(*list, *count, sizeof **list, compare_found);
	errno = error;
	return r;
}

static int walk_directory(struct walk *walk);

static int walk_one(struct walk *walk, const struct found *found)
{
	size_t before = walk->name.length;
	bool is_directory = found->type == HF_FOLDER_DIRECTORY;
	if (!is_directory && is_part(found->name) != walk->parts)
		return HF_OK;
	if (hf_buffer_append(&walk->name, "/", 1) < 0 || hf_buffer_append_text(&walk->name, found->name) < 0)
		return hf_fail(walk->failure, HF_ENOMEM, "Out of memory.");
	int r = is_directory && walk->parts ? HF_OK : walk->visitor->each(walk->visitor->context, hf_buffer_slice(&walk->name), found->type);
	if (is_directory && r == HF_OK)
		r = walk_directory(walk);
	walk->name.length = before;
	return r == HF_ENOTFOUND ? HF_OK : r;
}

/* Memory that is missing is of no directory. */
static int fail_listing(struct walk *walk)
{
	struct hf_failure failure = {0};
	int r = fail(walk->folder, &failure, "listed", hf_buffer_slice(&walk->name));
	if (walk->name.length > 0 && r == HF_ENOTFOUND)
		return HF_OK;
	if (walk->name.length > 0 && r != HF_ENOMEM)
		return walk->visitor->unlisted(walk->visitor->context, hf_buffer_slice(&walk->name), &failure);
	*walk->failure = failure;
	return r;
}

static int walk_directory(struct walk *walk)
{
	struct found *list;
	size_t count;
	int directory = -1, r = HF_OK;
	if (walk->name.length < PATH_MAX)
		directory = open_directory(walk->folder, hf_buffer_slice(&walk->name), false);
	else
		errno = ENAMETOOLONG;
	if (directory < 0 || read_directory(directory, &list, &count) < 0)
		return fail_listing(walk);
	for (size_t i = 0; i < count && r == HF_OK; i++)
		r = walk_one(walk, &list[i]);
	free_found(list, count);
	return r;
}

static int walk_all(struct walk *walk)
{
	int r = walk->folder->root >= 0 ? walk_directory(walk) : HF_OK;
	hf_buffer_free(&walk->name);
	return r;
}

int hf_folder_walk(struct hf_folder *folder, const struct hf_folder_visitor *visitor, struct hf_failure *failure)
{
	struct walk walk = {.folder = folder, .visitor = visitor, .failure = failure};
	return walk_all(&walk);
}

/* Opens a part and locks it, unless another has; whether it is what has the name, still. -1 with errno, EWOULDBLOCK: another has. */
static int open_part(int directory, const char *part, int flags)
{
	struct stat status, named;
	for (int i = 0; i < TRIES; i++) {
		int descriptor = openat(directory, part, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | flags, 0666);
		if (descriptor < 0)
			return -1;
		/* Where a file system has no locks, there are none. */
		bool is_taken = flock(descriptor, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
		if (!is_taken && fstat(descriptor, &status) == 0 && fstatat(directory, part, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
			status.st_ino == named.st_ino && status.st_dev == named.st_dev)
			return descriptor;
		close(descriptor);
		if (is_taken)
			break;
	}
	errno = EWOULDBLOCK;
	return -1;
}

static int remove_part(void *context, struct hf_slice name, enum hf_folder_type type)
{
	struct hf_folder *folder = context;
	struct hf_failure ignored = {0};
	char last[NAME_MAX + 1];
	int directory = open_place(folder, name, false, last), descriptor = -1;
	bool is_left = type == HF_FOLDER_LINK;
	if (type == HF_FOLDER_FILE && directory >= 0)
		is_left = (descriptor = open_part(directory, last, 0)) >= 0;
	if (is_left)
		hf_folder_remove(folder, name, &ignored);
	if (descriptor >= 0)
		close(descriptor);
	return HF_OK;
}

static int pass_over(void *context, struct hf_slice name, const struct hf_failure *failure)
{
	(void)context;
	(void)name;
	(void)failure;
	return HF_OK;
}

int hf_folder_sweep(struct hf_folder *folder, struct hf_failure *failure)
{
	struct hf_folder_visitor visitor = {.each = remove_part, .unlisted = pass_over, .context = folder};
	struct walk walk = {.folder = folder, .visitor = &visitor, .failure = failure, .parts = true};
	return walk_all(&walk);
}

/* ---- Reading, writing ---- */

int hf_folder_read(struct hf_folder *folder, struct hf_slice name, int *descriptor, struct hf_failure *failure)
{
	char last[NAME_MAX + 1];
	struct stat status;
	int directory = open_place(folder, name, false, last);
	/* Not blocking, should it be a pipe by now. */
	*descriptor = directory < 0 ? -1 : openat(directory, last, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (*descriptor < 0)
		return fail(folder, failure, "read", name);
	if (fstat(*descriptor, &status) == 0 && S_ISREG(status.st_mode))
		return HF_OK;
	close(*descriptor);
	errno = ENOTDIR;
	return fail(folder, failure, "read", name);
}

static void part_name(char out[static PART_BYTES], uint64_t tag)
{
	snprintf(out, PART_BYTES, PART_PREFIX "%016llx" PART_SUFFIX, (unsigned long long)tag);
}

int hf_folder_write(struct hf_folder *folder, struct hf_slice name, uint64_t tag, int *descriptor, struct hf_failure *failure)
{
	char last[NAME_MAX + 1], part[PART_BYTES];
	struct stat status;
	int directory = open_place(folder, name, true, last);
	part_name(part, tag);
	*descriptor = directory < 0 ? -1 : open_part(directory, part, O_CREAT);
	if (*descriptor < 0 && directory >= 0 && errno == EWOULDBLOCK)
		return hf_fail(failure, HF_EBUSY, "%s%.*s is being written by another process.", folder->path,
			name.length < SHOWN_BYTES ? (int)name.length : SHOWN_BYTES, (const char *)name.data);
	if (*descriptor < 0)
		return fail(folder, failure, "written", name);
	if (fstat(*descriptor, &status) == 0 && S_ISREG(status.st_mode) && status.st_nlink == 1)
		return HF_OK;
	close(*descriptor);
	errno = EEXIST;
	return fail(folder, failure, "written", name);
}

static int set_mode(int descriptor, bool is_executable)
{
	struct stat status;
	if (fstat(descriptor, &status) < 0)
		return -1;
	mode_t read = status.st_mode & 0444, mode = is_executable ? status.st_mode | (read >> 2) : status.st_mode & ~(mode_t)0111;
	return mode == status.st_mode ? 0 : fchmod(descriptor, mode & 07777);
}

int hf_folder_write_end(struct hf_folder *folder, struct hf_slice name, uint64_t tag, int descriptor, bool is_executable,
	struct hf_failure *failure)
{
	char last[NAME_MAX + 1], part[PART_BYTES];
	int directory = open_place(folder, name, false, last);
	part_name(part, tag);
	bool ok = directory >= 0 && set_mode(descriptor, is_executable) == 0 && settle(folder, descriptor) == 0;
	ok = ok && renameat(directory, part, directory, last) == 0 && settle(folder, directory) == 0;
	int r = ok ? HF_OK : fail(folder, failure, "written", name);
	if (close(descriptor) < 0 && r == HF_OK)
		r = fail(folder, failure, "written", name);
	if (r < 0 && directory >= 0)
		unlinkat(directory, part, 0);
	return r;
}

void hf_folder_write_abandon(struct hf_folder *folder, struct hf_slice name, uint64_t tag, int descriptor, bool keep)
{
	char last[NAME_MAX + 1], part[PART_BYTES];
	int directory = open_place(folder, name, false, last);
	close(descriptor);
	part_name(part, tag);
	if (!keep && directory >= 0)
		unlinkat(directory, part, 0);
}

/* By way of one under a name that nobody has; another process may take it for left behind before it is in its place. */
static int put_link(int directory, const char *target, const char *last)
{
	char part[PART_BYTES];
	for (int i = 0; i < TRIES; i++) {
		part_name(part, (uint64_t)getpid() * TRIES + (unsigned)i);
		if (symlinkat(target, directory, part) < 0) {
			if (errno != EEXIST)
				return -1;
			continue;
		}
		if (renameat(directory, part, directory, last) == 0)
			return 0;
		int error = errno;
		unlinkat(directory, part, 0);
		errno = error;
		if (error != ENOENT)
			return -1;
	}
	return -1;
}

int hf_folder_link(struct hf_folder *folder, struct hf_slice name, struct hf_slice target, struct hf_failure *failure)
{
	char last[NAME_MAX + 1];
	struct hf_buffer text = {0};
	bool is_inner = target.length > 0 && target.data[0] == '/';
	if (target.length > 0 && memchr(target.data, 0, target.length))
		return hf_fail(failure, HF_EINVAL, "%s%.*s cannot be made: the symbolic link has a NUL byte in what it says.", folder->path,
			name.length < SHOWN_BYTES ? (int)name.length : SHOWN_BYTES, (const char *)name.data);
	int directory = open_place(folder, name, true, last);
	int r = is_inner ? hf_buffer_append_text(&text, folder->path) : HF_OK;
	if (r == HF_OK)
		r = hf_buffer_append(&text, target.data, target.length);
	if (r == HF_OK)
		r = hf_buffer_append(&text, "", 1);
	if (r < 0)
		errno = ENOMEM;
	if (r < 0 || directory < 0 || put_link(directory, (const char *)text.data, last) < 0 || settle(folder, directory) < 0)
		r = fail(folder, failure, "made", name);
	hf_buffer_free(&text);
	return r;
}

int hf_folder_set_executable(struct hf_folder *folder, struct hf_slice name, bool is_executable, struct hf_failure *failure)
{
	int descriptor, r = hf_folder_read(folder, name, &descriptor, failure);
	if (r < 0)
		return r;
	if (set_mode(descriptor, is_executable) < 0 || settle(folder, descriptor) < 0)
		r = fail(folder, failure, "changed", name);
	close(descriptor);
	return r;
}

/* The directories above a name, as long as they are empty. */
static void remove_empty(struct hf_folder *folder, struct hf_slice name)
{
	const char *rest;
	char last[NAME_MAX + 1];
	for (struct hf_slice at = directory_of(name, &rest); at.length > 0; at = directory_of(at, &rest)) {
		forget_directory(folder);
		int parent = open_place(folder, at, false, last);
		if (parent < 0 || unlinkat(parent, last, AT_REMOVEDIR) < 0)
			return;
	}
}

int hf_folder_remove(struct hf_folder *folder, struct hf_slice name, struct hf_failure *failure)
{
	char last[NAME_MAX + 1];
	int directory = open_place(folder, name, false, last);
	if (directory < 0 || unlinkat(directory, last, 0) < 0 || settle(folder, directory) < 0)
		return fail(folder, failure, "removed", name);
	remove_empty(folder, name);
	return HF_OK;
}
