/* datadir: LOCK is taken before anything else is looked at, so that two that start at once cannot both make the
 * directory. The lock is the kernel's; the text in the file only tells a person who holds it. */
#include "service/datadir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/corestore.h"
#include "data/event/terms.h"

#define FORMAT_BYTES_MAX 64
#define FORMAT_PREFIX "holdfast "

int hf_datadir_path(const struct hf_datadir *directory, const char *name, char out[static HF_PATH_BYTES_MAX])
{
	return hf_path_join(out, directory->path, name);
}

/* What is there and not for us to use is as good as somebody else's. */
static int unusable(int r)
{
	return r == HF_EDENIED ? HF_EEXISTS : r;
}

static int fail_system(const char *what, const char *path, struct hf_failure *failure)
{
	int r = hf_error_from_errno(errno);
	return hf_fail(failure, unusable(r), "%s %s failed: %s.", what, path, strerror(errno));
}

static int make_directory(struct hf_datadir *d, bool create, struct hf_failure *failure)
{
	struct stat status;
	if (stat(d->path, &status) == 0) {
		if (!S_ISDIR(status.st_mode))
			return hf_fail(failure, HF_EEXISTS, "%s is not a directory.", d->path);
		if (status.st_uid == geteuid() && (status.st_mode & 077) && chmod(d->path, 0700) < 0)
			return fail_system("Closing the directory to others:", d->path, failure);
		return HF_OK;
	}
	if (errno != ENOENT)
		return fail_system("Looking at", d->path, failure);
	if (!create)
		return hf_fail(failure, HF_ENOTFOUND, "There is no data directory at %s; `holdfast gateway --data %s` makes one.", d->path, d->path);
	if (mkdir(d->path, 0700) < 0 && errno != EEXIST)
		return fail_system("Making the data directory", d->path, failure);
	return HF_OK;
}

static int fail_locked(const struct hf_datadir *d, int descriptor, struct hf_failure *failure)
{
	char holder[64] = {0};
	ssize_t length = pread(descriptor, holder, sizeof holder - 1, 0);
	holder[length > 0 ? strcspn(holder, "\n") : 0] = '\0';
	return hf_fail(failure, HF_EBUSY, "The data directory %s is in use by %s.", d->path, holder[0] ? holder : "another process");
}

static int take_lock(struct hf_datadir *d, struct hf_failure *failure)
{
	char path[HF_PATH_BYTES_MAX], text[64];
	int r = hf_datadir_path(d, "LOCK", path);
	if (r < 0)
		return hf_fail(failure, r, "The path %s is too long.", d->path);
	int descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (descriptor < 0)
		return fail_system("Opening", path, failure);
	if (flock(descriptor, LOCK_EX | LOCK_NB) < 0) {
		r = errno == EWOULDBLOCK ? fail_locked(d, descriptor, failure) : fail_system("Locking", path, failure);
		close(descriptor);
		return r;
	}
	int length = snprintf(text, sizeof text, "process %ld\n", (long)getpid());
	if (ftruncate(descriptor, 0) < 0 || pwrite(descriptor, text, (size_t)length, 0) != length) {
		r = fail_system("Writing", path, failure);
		close(descriptor);
		return r;
	}
	d->lock_descriptor = descriptor;
	return HF_OK;
}

static int note_stranger(void *context, const char *name)
{
	static const char *const ours[] = {"LOCK", "FORMAT.new", "lost+found"};
	for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
		if (strcmp(name, ours[i]) == 0)
			return HF_OK;
	snprintf(context, HF_PATH_BYTES_MAX, "%s", name);
	return HF_EEXISTS;
}

static int write_format(struct hf_datadir *d, const char *path, bool create, struct hf_failure *failure)
{
	char stranger[HF_PATH_BYTES_MAX] = {0}, text[FORMAT_BYTES_MAX];
	if (!create)
		return hf_fail(failure, HF_ENOTFOUND, "%s is no data directory: it has no FORMAT file.", d->path);
	d->env->fs->list(d->env->fs, d->path, note_stranger, stranger);
	if (stranger[0])
		return hf_fail(failure, HF_EEXISTS, "%s is no data directory and not empty (it has %s); name another one.", d->path, stranger);
	int length = snprintf(text, sizeof text, FORMAT_PREFIX "%d\n", HF_DATADIR_FORMAT_VERSION);
	int r = hf_fs_replace(d->env->fs, path, text, (size_t)length);
	return r < 0 ? hf_fail(failure, r, "Writing %s failed: %s.", path, hf_error_text(r)) : HF_OK;
}

static int check_format(struct hf_datadir *d, bool create, struct hf_failure *failure)
{
	char path[HF_PATH_BYTES_MAX];
	struct hf_buffer text = {0};
	int r = hf_datadir_path(d, "FORMAT", path);
	if (r == HF_OK)
		r = hf_fs_read_all(d->env->fs, path, FORMAT_BYTES_MAX, &text);
	if (r == HF_ENOTFOUND) {
		hf_buffer_free(&text);
		return write_format(d, path, create, failure);
	}
	unsigned version = 0;
	char line[FORMAT_BYTES_MAX + 1] = {0};
	if (r == HF_OK && text.length > 0)
		memcpy(line, text.data, text.length);
	hf_buffer_free(&text);
	if (r < 0)
		return hf_fail(failure, unusable(r), "Reading %s failed: %s.", path, hf_error_text(r));
	if (sscanf(line, FORMAT_PREFIX "%u", &version) != 1)
		return hf_fail(failure, HF_ECORRUPT, "%s does not say which format the data directory has.", path);
	if (version != HF_DATADIR_FORMAT_VERSION)
		return hf_fail(failure, HF_EVERSION, "%s has format %u; this program knows format %d. Use the program that wrote it, or a newer one.",
			d->path, version, HF_DATADIR_FORMAT_VERSION);
	return HF_OK;
}

int hf_datadir_open(struct hf_datadir *d, struct hf_env *env, const char *path, bool create, struct hf_failure *failure)
{
	*d = (struct hf_datadir){.env = env, .lock_descriptor = -1};
	if (strlen(path) >= sizeof d->path || !path[0])
		return hf_fail(failure, HF_EINVAL, "The data directory's path is empty or too long.");
	snprintf(d->path, sizeof d->path, "%s", path);
	int r = make_directory(d, create, failure);
	if (r == HF_OK)
		r = take_lock(d, failure);
	if (r == HF_OK)
		r = check_format(d, create, failure);
	if (r < 0)
		hf_datadir_close(d);
	return r;
}

void hf_datadir_close(struct hf_datadir *d)
{
	if (d->lock_descriptor >= 0)
		close(d->lock_descriptor);
	d->lock_descriptor = -1;
}

/* ---- The store ---- */

static bool is_of_cores(uint32_t collection)
{
	return collection == HF_CORESTORE_COLLECTION || collection == HF_CORESTORE_NAMES_COLLECTION;
}

static int describe(void *context, struct hf_store *store, uint32_t collection, struct hf_slice payload, struct hf_doc_key *key,
	uint64_t *terms)
{
	return (is_of_cores(collection) ? hf_corestore_describe : hf_event_describe)(context, store, collection, payload, key, terms);
}

static int identify(void *context, struct hf_store *store, uint32_t collection, struct hf_slice payload,
	uint8_t id[static HF_STORE_ID_BYTES])
{
	struct hf_doc_key key;
	if (!is_of_cores(collection))
		return hf_event_identify(context, store, collection, payload, id);
	int r = hf_corestore_describe(context, store, collection, payload, &key, NULL);
	if (r == HF_OK)
		memcpy(id, key.id, HF_STORE_ID_BYTES);
	return r;
}

int hf_datadir_open_store(const struct hf_datadir *d, const struct hf_config *config, struct hf_metrics *metrics,
	bool read_only, struct hf_store **store, struct hf_failure *failure)
{
	char path[HF_PATH_BYTES_MAX];
	int r = hf_datadir_path(d, "store", path);
	if (r < 0)
		return hf_fail(failure, r, "The path %s is too long.", d->path);
	struct hf_store_options options = {
		.size = sizeof options, .directory = path, .env = d->env, .metrics = metrics,
		.schema = {.describe = describe, .identify = identify},
		.quota_bytes = config->quota_bytes, .sync_interval_ms = (uint32_t)config->sync_interval_ms,
		.log_segment_bytes = (uint32_t)config->log_segment_bytes, .memtable_docs_max = (uint32_t)config->memtable_docs_max,
		.read_only = read_only,
	};
	return hf_store_open(store, &options, failure);
}
