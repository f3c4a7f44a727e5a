/* mirror_drive: a folder into a drive. Small files are gathered into batches; a large one is written in parts, and its entry put last.
 * Where that was cut off, the parts are found by a note, compared with the file, and gone on from. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/mirror.h"

#define SMALL_BYTES (256u << 10)
#define BATCH_COUNT 512
#define READ_BYTES (1u << 20)
#define TRIES 3 /* of a file, while another writes into the drive */

struct filling {
	struct hf_mirror *mirror;
	json_t *batch;           /* files that are put together */
	json_t *told;            /* {"op", "path", "bytes"} of each: what is to be told when they have been */
	struct hf_buffer bytes;  /* what they hold */
	struct hf_buffer input;
	struct hf_folder_entry entry;
	const char *op;          /* what putting it will have been */
};

/* ---- Batches ---- */

static void tell_batch(const struct filling *f)
{
	const json_t *one;
	size_t i;
	json_array_foreach(f->told, i, one) {
		const json_t *path = json_object_get(one, "path");
		hf_mirror_tell(f->mirror, json_string_value(json_object_get(one, "op")), hf_slice(json_string_value(path), json_string_length(path)),
			(uint64_t)json_integer_value(json_object_get(one, "bytes")));
	}
}

/* A failure is not of the file that is at hand, and those behind the one that failed were not put: it ends the mirror. */
static int flush(struct filling *f, struct hf_failure *failure)
{
	struct hf_mirror *m = f->mirror;
	if (json_array_size(f->batch) == 0)
		return HF_OK;
	json_decref(hf_cli_drive_ask(&m->drive, "drive/change", json_pack("{s:O, s:b}", "files", f->batch, "disk", m->syncs),
		hf_buffer_slice(&f->bytes), failure));
	json_array_clear(f->batch);
	hf_buffer_clear(&f->bytes);
	m->is_over = failure->code < 0;
	if (failure->code == HF_OK)
		tell_batch(f);
	json_array_clear(f->told);
	return failure->code;
}

/* file is taken. */
static int add(struct filling *f, const char *op, uint64_t bytes, json_t *file, struct hf_failure *failure)
{
	if (!file || json_array_append_new(f->batch, file) < 0 || json_array_append_new(f->told,
		json_pack("{s:s, s:O, s:I}", "op", op, "path", json_object_get(file, "path"), "bytes", (json_int_t)bytes)) < 0)
		return failure->code = hf_fail(failure, HF_ENOMEM, "Out of memory.");
	return json_array_size(f->batch) >= BATCH_COUNT || f->bytes.length >= HF_CLI_DRIVE_PART_BYTES ? flush(f, failure) : HF_OK;
}

/* ---- Files ---- */

static int read_some(struct filling *f, int descriptor, struct hf_failure *failure)
{
	ssize_t got;
	hf_buffer_clear(&f->input);
	if (hf_buffer_reserve(&f->input, READ_BYTES) < 0)
		return hf_fail(failure, HF_ENOMEM, "Out of memory.");
	do
		got = read(descriptor, f->input.data, READ_BYTES);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return hf_fail(failure, HF_EIO, "Reading a file in %s failed: %s.", f->mirror->folder.path, strerror(errno));
	f->input.length = (size_t)got;
	return HF_OK;
}

static int put_small(struct filling *f, struct hf_slice name, int descriptor, struct hf_failure *failure)
{
	size_t before = f->bytes.length;
	int r;
	do {
		r = read_some(f, descriptor, failure);
		if (r == HF_OK && f->input.length > 0 && (r = hf_buffer_append(&f->bytes, f->input.data, f->input.length)) < 0)
			hf_fail(failure, r, "Out of memory.");
	} while (r == HF_OK && f->input.length > 0);
	if (r < 0) {
		f->bytes.length = before;
		return failure->code = r;
	}
	return add(f, f->op, f->bytes.length - before, json_pack("{s:s%, s:I, s:b}", "path", (const char *)name.data, name.length, "size",
		(json_int_t)(f->bytes.length - before), "executable", f->entry.is_executable), failure);
}

/* What was written of the file before, if it is still what the file begins with. */
static int find_unfinished(struct filling *f, struct hf_cli_drive_put *put, int descriptor, struct hf_failure *failure)
{
	struct hf_mirror *m = f->mirror;
	json_t *answer = hf_cli_drive_ask(&m->drive, "drive/unfinished", json_pack("{s:s}", "note", put->note), (struct hf_slice){0}, failure);
	json_t *blob = json_object_get(answer, "blob");
	uint64_t length = (uint64_t)json_integer_value(json_object_get(blob, "byteLength"));
	bool is_same = false;
	int r = failure->code;
	if (r == HF_OK && json_is_object(blob) && length > 0 && length <= f->entry.size)
		r = hf_mirror_same_content(m, blob, descriptor, length, &is_same, failure);
	if (r == HF_OK && is_same) {
		put->blob = json_incref(blob);
		hf_mirror_show(m, length);
		if (lseek(descriptor, (off_t)length, SEEK_SET) < 0)
			r = hf_fail(failure, HF_EIO, "Reading a file in %s failed: %s.", m->folder.path, strerror(errno));
	}
	json_decref(answer);
	return r;
}

static int put_parts(struct filling *f, struct hf_cli_drive_put *put, int descriptor, struct hf_failure *failure)
{
	int r = find_unfinished(f, put, descriptor, failure);
	do {
		if (r == HF_OK)
			r = read_some(f, descriptor, failure);
		if (r == HF_OK)
			r = hf_cli_drive_put_add(put, hf_buffer_slice(&f->input), failure);
		hf_mirror_show(f->mirror, r == HF_OK ? f->input.length : 0);
	} while (r == HF_OK && f->input.length > 0);
	return failure->code = r == HF_OK ? hf_cli_drive_put_end(put, failure) : r;
}

static int put_large(struct filling *f, struct hf_slice name, int descriptor, struct hf_failure *failure)
{
	struct hf_buffer note = {0};
	uint64_t before = f->mirror->done_bytes;
	int r = flush(f, failure);
	if (hf_buffer_printf(&note, "%.*s %llu %lld", (int)name.length, (const char *)name.data, (unsigned long long)f->entry.size,
		(long long)f->entry.modified_ns) < 0)
		r = hf_fail(failure, HF_ENOMEM, "Out of memory.");
	for (int i = 0; r == HF_OK && i < TRIES; i++) {
		struct hf_cli_drive_put put = {.drive = &f->mirror->drive, .note = (const char *)note.data, .is_synced = f->mirror->syncs,
			.file = json_pack("{s:s%, s:b}", "path", (const char *)name.data, name.length, "executable", f->entry.is_executable)};
		*failure = (struct hf_failure){0};
		f->mirror->done_bytes = before;
		r = lseek(descriptor, 0, SEEK_SET) == 0 ? put_parts(f, &put, descriptor, failure) : HF_EIO;
		json_decref(put.file);
		hf_cli_drive_put_free(&put);
		if (r != HF_ECANCELED)
			break;
		r = i + 1 < TRIES ? HF_OK : r;
	}
	f->mirror->done_bytes = before;
	hf_buffer_free(&note);
	if (r == HF_OK)
		hf_mirror_tell(f->mirror, f->op, name, f->entry.size);
	return failure->code = r;
}

static int put_file(struct filling *f, struct hf_slice name, struct hf_failure *failure)
{
	int descriptor, r = hf_folder_read(&f->mirror->folder, name, &descriptor, failure);
	if (r < 0)
		return failure->code = r;
	r = f->entry.size <= SMALL_BYTES ? put_small(f, name, descriptor, failure) : put_large(f, name, descriptor, failure);
	close(descriptor);
	return r;
}

static int put_mode(struct filling *f, struct hf_slice name, struct hf_failure *failure)
{
	return add(f, f->op, 0, json_pack("{s:s%, s:b, s:b}", "path", (const char *)name.data, name.length, "executable",
		f->entry.is_executable, "mode", true), failure);
}

static int put_link(struct filling *f, struct hf_slice name, struct hf_failure *failure)
{
	const struct hf_buffer *link = &f->entry.link;
	json_t *file = json_pack("{s:s%, s:s%}", "path", (const char *)name.data, name.length, "link", (const char *)link->data, link->length);
	if (!file)
		return failure->code = hf_fail(failure, HF_EINVAL, "The link %s%.*s cannot be in a drive: what it says is not UTF-8.",
			f->mirror->folder.path, (int)name.length, (const char *)name.data);
	return add(f, f->op, 0, file, failure);
}

/* ---- The walk ---- */

static int mirror_one(struct filling *f, struct hf_slice name, struct hf_failure *failure)
{
	struct hf_mirror *m = f->mirror;
	enum hf_mirror_difference difference;
	int r = hf_folder_look(&m->folder, name, &f->entry, failure);
	if (r < 0)
		return failure->code = r == HF_ENOTFOUND ? HF_OK : r;
	json_t *in_drive = hf_mirror_find(m, name, failure);
	r = failure->code;
	if (r == HF_OK)
		r = hf_mirror_compare(m, name, in_drive, &f->entry, &difference, failure);
	f->op = in_drive ? "change" : "add";
	if (r == HF_OK && difference != HF_MIRROR_SAME) {
		if (m->is_dry)
			hf_mirror_tell(m, f->op, name, difference == HF_MIRROR_OTHER && f->entry.type == HF_FOLDER_FILE ? f->entry.size : 0);
		else
			r = difference == HF_MIRROR_MODE ? put_mode(f, name, failure)
				: f->entry.type == HF_FOLDER_LINK ? put_link(f, name, failure) : put_file(f, name, failure);
	}
	json_decref(in_drive);
	hf_mirror_show(m, f->entry.type == HF_FOLDER_FILE ? f->entry.size : 0);
	return failure->code = r;
}

static int each(void *context, struct hf_slice name, enum hf_folder_type type)
{
	struct filling *f = context;
	struct hf_failure failure = {0};
	if (hf_mirror_is_ignored(f->mirror, name))
		return HF_ENOTFOUND;
	if (type == HF_FOLDER_DIRECTORY || type == HF_FOLDER_OTHER)
		return HF_OK;
	f->mirror->files++;
	if (!hf_drive_name_is_sound(name))
		failure.code = hf_fail(&failure, HF_EINVAL, "The file %s%.*s cannot be in a drive: names are UTF-8 there, without a backslash, and "
			"have %d bytes at most.", f->mirror->folder.path, (int)name.length, (const char *)name.data, HF_DRIVE_NAME_BYTES_MAX);
	else
		mirror_one(f, name, &failure);
	return failure.code < 0 ? hf_mirror_fail(f->mirror, &failure) : HF_OK;
}

static int count(void *context, struct hf_slice name, enum hf_folder_type type)
{
	struct filling *f = context;
	struct hf_failure ignored = {0};
	if (hf_mirror_is_ignored(f->mirror, name))
		return HF_ENOTFOUND;
	if (type == HF_FOLDER_FILE && hf_folder_look(&f->mirror->folder, name, &f->entry, &ignored) == HF_OK)
		f->mirror->total_bytes += f->entry.size;
	return HF_OK;
}

/* It is told when it is come to for the second time. */
static int count_unlisted(void *context, struct hf_slice name, const struct hf_failure *failure)
{
	(void)context;
	(void)name;
	(void)failure;
	return HF_OK;
}

static int fail_unlisted(void *context, struct hf_slice name, const struct hf_failure *failure)
{
	struct filling *f = context;
	(void)name;
	return hf_mirror_fail(f->mirror, failure);
}

/* What the drive has and the folder has not. */
static int prune_one(struct filling *f, const json_t *in_drive, struct hf_failure *failure)
{
	struct hf_mirror *m = f->mirror;
	const json_t *path = json_object_get(in_drive, "path");
	struct hf_slice name = hf_slice(json_string_value(path), json_string_length(path));
	if (!path || !hf_drive_name_is_sound(name)) /* by another name, a deletion would find another file */
		return failure->code = hf_fail(failure, HF_EINVAL,
			"A file in the drive has a name that no command can say; it is left there: \"%.120s\".",
			json_string_value(path ? path : json_object_get(in_drive, "path_hex")));
	if (hf_folder_is_part(name))
		return failure->code = hf_fail(failure, HF_EINVAL, "The file \"%.120s\" of the drive cannot be in a folder; it is left there.",
			json_string_value(path));
	int r = hf_folder_look(&m->folder, name, &f->entry, failure);
	if (r < 0 && r != HF_ENOTFOUND)
		return failure->code = r;
	if (r == HF_OK && (f->entry.type == HF_FOLDER_FILE || f->entry.type == HF_FOLDER_LINK))
		return HF_OK;
	uint64_t size = hf_mirror_size(in_drive);
	if (!m->is_dry)
		return add(f, "remove", size, json_pack("{s:s%, s:b}", "path", (const char *)name.data, name.length, "del", true), failure);
	hf_mirror_tell(m, "remove", name, size);
	return HF_OK;
}

static int prune(struct filling *f)
{
	struct hf_failure failure = {0};
	struct hf_cli_drive_walk walk = {.drive = &f->mirror->drive, .action = "drive/list",
		.more = json_pack("{s:s, s:O}", "folder", "/", "ignore", f->mirror->ignored)};
	json_t *in_drive;
	int r = HF_OK;
	while (r == HF_OK && (in_drive = hf_cli_drive_walk_next(&walk, &failure)) != NULL) {
		prune_one(f, in_drive, &failure);
		json_decref(in_drive);
		if (failure.code < 0)
			r = hf_mirror_fail(f->mirror, &failure);
		failure = (struct hf_failure){0};
	}
	hf_cli_drive_walk_free(&walk);
	if (r == HF_OK && failure.code == HF_OK)
		flush(f, &failure);
	if (r == HF_OK && failure.code < 0) {
		f->mirror->failure = failure;
		r = failure.code;
	}
	return r;
}

int hf_mirror_into_drive(struct hf_mirror *m)
{
	struct filling f = {.mirror = m, .batch = json_array(), .told = json_array()};
	struct hf_folder_visitor counting = {.each = count, .unlisted = count_unlisted, .context = &f};
	struct hf_folder_visitor putting = {.each = each, .unlisted = fail_unlisted, .context = &f};
	int r = m->keeps ? HF_OK : prune(&f);
	if (r == HF_OK)
		r = hf_folder_walk(&m->folder, &counting, &m->failure);
	if (r == HF_OK)
		r = hf_folder_walk(&m->folder, &putting, &m->failure);
	if (r == HF_OK)
		r = flush(&f, &m->failure);
	json_decref(f.batch);
	json_decref(f.told);
	hf_buffer_free(&f.bytes);
	hf_buffer_free(&f.input);
	hf_buffer_free(&f.entry.link);
	return r;
}
