/* mirror_folder: a drive into a folder. A file is written beside its place and renamed; one that was cut off is compared with the drive as
 * far as it goes, and gone on with. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/map.h"
#include "cli/mirror.h"

struct emptying {
	struct hf_mirror *mirror;
	struct hf_folder_entry entry;
};

/* ---- Files ---- */

struct writing {
	struct hf_mirror *mirror;
	int descriptor;
	uint64_t at;
};

static int write_bytes(void *context, struct hf_slice bytes)
{
	struct writing *w = context;
	while (bytes.length > 0) {
		ssize_t written = pwrite(w->descriptor, bytes.data, bytes.length, (off_t)w->at);
		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return hf_error_from_errno(errno);
		w->at += (uint64_t)written;
		bytes = hf_slice(bytes.data + written, bytes.length - (size_t)written);
	}
	hf_progress_show(&w->mirror->progress, w->mirror->done_bytes + w->at, w->mirror->total_bytes);
	return HF_OK;
}

/* How much of what a part holds is what the file begins with; the rest is cut off. */
static int find_written(struct writing *w, json_t *blob, struct hf_failure *failure)
{
	struct stat status;
	bool is_same = false;
	int r = HF_OK;
	if (fstat(w->descriptor, &status) < 0)
		return hf_fail(failure, HF_EIO, "The part of a file cannot be read: %s.", strerror(errno));
	w->at = (uint64_t)status.st_size / HF_BLOB_BLOCK_BYTES * HF_BLOB_BLOCK_BYTES;
	if (w->at > 0)
		r = hf_mirror_same_content(w->mirror, blob, w->descriptor, w->at, &is_same, failure);
	if (r == HF_OK && !is_same)
		w->at = 0;
	if (r == HF_OK && ftruncate(w->descriptor, (off_t)w->at) < 0)
		r = hf_fail(failure, hf_error_from_errno(errno), "The part of a file cannot be written: %s.", strerror(errno));
	return r;
}

static uint64_t tag_of(struct hf_slice name, const json_t *entry)
{
	char *text = json_dumps(json_object_get(entry, "blob"), JSON_COMPACT | JSON_ENCODE_ANY);
	uint64_t tag = text ? hf_hash64(text, strlen(text), hf_hash64(name.data, name.length, 1)) : 1;
	free(text);
	return tag;
}

static int write_file(struct hf_mirror *m, struct hf_slice name, const json_t *entry, struct hf_failure *failure)
{
	json_t *blob = json_object_get(entry, "blob");
	struct writing w = {.mirror = m};
	uint64_t tag = tag_of(name, entry);
	int r = hf_folder_write(&m->folder, name, tag, &w.descriptor, failure);
	if (r < 0)
		return r;
	r = find_written(&w, blob, failure);
	if (r == HF_OK && json_is_object(blob))
		r = hf_cli_drive_copy(&m->drive, json_pack("{s:O, s:I}", "blob", blob, "start", (json_int_t)w.at), write_bytes, &w, failure);
	if (r == HF_OK)
		return hf_folder_write_end(&m->folder, name, tag, w.descriptor, json_is_true(json_object_get(entry, "executable")), failure);
	/* What a lost connection, say, has left is gone on with the next time. */
	hf_folder_write_abandon(&m->folder, name, tag, w.descriptor, r == HF_ECLOSED || r == HF_ETIMEOUT || r == HF_ECANCELED);
	return r;
}

/* ---- The walk ---- */

static int write_one(struct hf_mirror *m, struct hf_slice name, const json_t *entry, enum hf_mirror_difference difference,
	struct hf_failure *failure)
{
	const json_t *link = json_object_get(entry, "link");
	if (m->is_dry)
		return HF_OK;
	if (json_is_string(link))
		return hf_folder_link(&m->folder, name, hf_slice(json_string_value(link), json_string_length(link)), failure);
	if (difference == HF_MIRROR_MODE)
		return hf_folder_set_executable(&m->folder, name, json_is_true(json_object_get(entry, "executable")), failure);
	return write_file(m, name, entry, failure);
}

static int mirror_one(struct emptying *e, const json_t *entry, struct hf_failure *failure)
{
	struct hf_mirror *m = e->mirror;
	const json_t *path = json_object_get(entry, "path");
	struct hf_slice name = hf_slice(json_string_value(path), json_string_length(path));
	enum hf_mirror_difference difference = HF_MIRROR_OTHER;
	m->files++;
	if (!path || !hf_drive_name_is_sound(name))
		return hf_fail(failure, HF_EINVAL, "A file in the drive has a name that cannot be in a folder: \"%.120s\".",
			json_string_value(path ? path : json_object_get(entry, "path_hex")));
	if (hf_folder_is_part(name))
		return hf_fail(failure, HF_EINVAL, "The file \"%.120s\" cannot be in a folder: so are those called that are being written.",
			json_string_value(path));
	if (json_is_true(json_object_get(entry, "unreadable")))
		return hf_fail(failure, HF_EMALFORMED, "The entry of \"%.120s\" is not as a drive's are.", json_string_value(path));
	int r = hf_folder_look(&m->folder, name, &e->entry, failure);
	bool is_there = r == HF_OK;
	if (r == HF_OK && e->entry.type == HF_FOLDER_DIRECTORY)
		r = hf_fail(failure, HF_EEXISTS, "%s%.*s is a folder there, and a file in the drive.", m->folder.path, (int)name.length, name.data);
	else if (r == HF_OK)
		r = hf_mirror_compare(m, name, entry, &e->entry, &difference, failure);
	if ((r == HF_OK || r == HF_ENOTFOUND) && difference != HF_MIRROR_SAME) {
		r = write_one(m, name, entry, difference, failure);
		if (r == HF_OK)
			hf_mirror_tell(m, is_there ? "change" : "add", name, difference == HF_MIRROR_OTHER ? hf_mirror_size(entry) : 0);
	}
	hf_mirror_show(m, hf_mirror_size(entry));
	return r;
}

static int walk(struct emptying *e, int (*visit)(struct emptying *e, const json_t *entry, struct hf_failure *failure))
{
	struct hf_failure failure = {0};
	struct hf_cli_drive_walk walk = {.drive = &e->mirror->drive, .action = "drive/list",
		.more = json_pack("{s:s, s:O}", "folder", "/", "ignore", e->mirror->ignored)};
	json_t *entry;
	int r = HF_OK;
	while (r == HF_OK && (entry = hf_cli_drive_walk_next(&walk, &failure)) != NULL) {
		failure.code = visit(e, entry, &failure);
		json_decref(entry);
		if (failure.code < 0)
			r = hf_mirror_fail(e->mirror, &failure);
		failure = (struct hf_failure){0};
	}
	hf_cli_drive_walk_free(&walk);
	if (r == HF_OK && failure.code < 0) {
		e->mirror->failure = failure;
		r = failure.code;
	}
	return r;
}

static int count(struct emptying *e, const json_t *entry, struct hf_failure *failure)
{
	(void)failure;
	e->mirror->total_bytes += hf_mirror_size(entry);
	return HF_OK;
}

/* What the folder has and the drive has not. */
static int prune_one(struct hf_mirror *m, struct hf_slice name, struct hf_failure *failure)
{
	json_t *in_drive = hf_drive_name_is_sound(name) ? hf_mirror_find(m, name, failure) : NULL;
	bool is_there = in_drive != NULL;
	json_decref(in_drive);
	if (failure->code < 0 || is_there)
		return failure->code;
	int r = m->is_dry ? HF_OK : hf_folder_remove(&m->folder, name, failure);
	if (r == HF_OK)
		hf_mirror_tell(m, "remove", name, 0);
	return r;
}

static int prune(void *context, struct hf_slice name, enum hf_folder_type type)
{
	struct emptying *e = context;
	struct hf_failure failure = {0};
	if (hf_mirror_is_ignored(e->mirror, name))
		return HF_ENOTFOUND;
	if (type == HF_FOLDER_DIRECTORY || type == HF_FOLDER_OTHER)
		return HF_OK;
	failure.code = prune_one(e->mirror, name, &failure);
	return failure.code < 0 ? hf_mirror_fail(e->mirror, &failure) : HF_OK;
}

static int fail_unlisted(void *context, struct hf_slice name, const struct hf_failure *failure)
{
	struct emptying *e = context;
	(void)name;
	return hf_mirror_fail(e->mirror, failure);
}

int hf_mirror_into_folder(struct hf_mirror *m)
{
	struct emptying e = {.mirror = m};
	struct hf_folder_visitor pruning = {.each = prune, .unlisted = fail_unlisted, .context = &e};
	int r = walk(&e, count); /* all of the list can be read, before anything is removed */
	if (r == HF_OK && !m->keeps)
		r = hf_folder_walk(&m->folder, &pruning, &m->failure);
	if (r == HF_OK)
		r = walk(&e, mirror_one);
	if (r == HF_OK && !m->is_dry)
		r = hf_folder_sweep(&m->folder, &m->failure);
	hf_buffer_free(&e.entry.link);
	return r;
}
