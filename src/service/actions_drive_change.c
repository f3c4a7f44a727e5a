/* actions_drive_change: files into a drive and out of it. What belongs to a file is committed together: a large one's blocks before, and
 * its entry last. */
#include <stdio.h>
#include <stdlib.h>

#include "crypto/hash.h"
#include "service/actions_private.h"

#define NOTE_NAME HF_SLICE_LITERAL("holdfast/unfinished")
#define NOTE_BYTES_MAX 8192

struct changing {
	struct hf_action_run *run;
	struct hf_drive *drive;
	struct hf_slice data; /* what is left of it */
	bool is_batch;
	enum hf_durability durability;
	json_int_t put, deleted, missing;
};

static enum hf_durability durability_of(const struct hf_action_run *run)
{
	return json_is_true(json_object_get(run->arguments, "disk")) ? HF_DURABLE_DISK : HF_DURABLE_OS;
}

/* The reason may be in the failure already. */
static int fail(struct hf_action_run *run, struct hf_drive *drive, struct hf_slice path, int r)
{
	return r < 0 && !run->call->failure.text[0] ? hf_action_drive_fail(run, drive, path, r) : r;
}

/* ---- Small files, links, deletions ---- */

static int take_content(struct changing *c, const json_t *file, struct hf_slice *content)
{
	json_int_t size = json_integer_value(json_object_get(file, "size"));
	if (size < 0 || (uint64_t)size > c->data.length)
		return hf_fail(&c->run->call->failure, HF_EINVAL, "The sizes of the files do not match the bytes that follow.");
	*content = hf_slice(c->data.data, (size_t)size);
	c->data = hf_slice(c->data.data + size, c->data.length - (size_t)size);
	return HF_OK;
}

static int del(struct changing *c, struct hf_slice path)
{
	int r = hf_drive_del(c->drive, path);
	c->deleted += r == HF_OK;
	c->missing += r == HF_ENOTFOUND;
	return r == HF_ENOTFOUND ? HF_OK : r;
}

/* What is refused is the name, or what is kept with the file. */
static int explain(struct changing *c, const json_t *file, struct hf_slice path, int r)
{
	struct hf_failure *failure = &c->run->call->failure;
	struct hf_buffer name = {0};
	bool is_named = hf_drive_name(path, &name) == HF_OK;
	hf_buffer_free(&name);
	if (r != HF_EINVAL || !is_named || failure->text[0])
		return r;
	if (json_is_string(json_object_get(file, "link")) && hf_action_slice(file, "link").length == 0)
		return hf_fail(failure, r, "What a symbolic link stands for cannot be empty.");
	if (json_is_true(json_object_get(file, "mode")))
		return hf_fail(failure, r, "\"%.*s\" is a symbolic link: it has no mode.", path.length < 120 ? (int)path.length : 120,
			(const char *)path.data);
	return hf_fail(failure, r, "The metadata of \"%.*s\" is not one value of JSON.", path.length < 120 ? (int)path.length : 120,
		(const char *)path.data);
}

static int put(struct changing *c, const json_t *file, struct hf_slice path, struct hf_slice content)
{
	struct hf_drive_properties properties = {.is_executable = json_is_true(json_object_get(file, "executable")),
		.metadata = hf_action_slice(file, "metadata")};
	const json_t *link = json_object_get(file, "link"), *blob = json_object_get(file, "blob");
	struct hf_blob_id id;
	int r;
	if (json_is_true(json_object_get(file, "mode")))
		r = hf_drive_set_executable(c->drive, path, properties.is_executable);
	else if (link)
		r = hf_drive_symlink(c->drive, path, hf_action_slice(file, "link"), properties.metadata);
	else if (!blob)
		r = hf_drive_put(c->drive, path, &properties, content);
	else if ((r = hf_action_read_blob(c->run, blob, &id)) == HF_OK)
		r = hf_drive_put_blob(c->drive, path, &properties, &id);
	c->put += r == HF_OK;
	return r < 0 ? explain(c, file, path, r) : r;
}

static int change_once(struct changing *c, const json_t *file, struct hf_slice path, struct hf_slice content)
{
	int r;
	do
		r = json_is_true(json_object_get(file, "del")) ? del(c, path) : put(c, file, path, content);
	while (hf_action_bee_again(c->run, hf_drive_bee(c->drive), &r));
	return r == HF_OK && !c->is_batch ? hf_bee_flush(hf_drive_bee(c->drive)) : r;
}

static int change_one(struct changing *c, const json_t *file)
{
	struct hf_slice path = hf_action_slice(file, "path"), content = {0};
	int r = take_content(c, file, &content);
	if (r == HF_OK)
		r = change_once(c, file, path, content);
	/* Too much is staged. */
	if (r == HF_EBUSY && !c->is_batch && (r = hf_drive_commit_wait(c->drive, c->durability)) == HF_OK)
		r = change_once(c, file, path, content);
	return fail(c->run, c->drive, path, r);
}

/* A file that was unfinished has come to its end, or has been given up. */
static int drop_note(struct hf_drive *drive)
{
	struct hf_core *blobs = hf_drive_blobs(drive);
	struct hf_buffer note = {0};
	bool is_noted = blobs && hf_core_get_user_data(blobs, NOTE_NAME, &note) == HF_OK;
	hf_buffer_free(&note);
	return is_noted ? hf_core_set_user_data(blobs, NOTE_NAME, (struct hf_slice){0}) : HF_OK;
}

int hf_action_drive_change(struct hf_action_run *run)
{
	struct changing c = {.run = run, .data = run->data, .durability = durability_of(run),
		.is_batch = json_is_true(json_object_get(run->arguments, "batch"))};
	json_t *file;
	size_t i;
	int r = hf_action_open_drive(run, &c.drive);
	if (r < 0)
		return r;
	json_array_foreach(json_object_get(run->arguments, "files"), i, file)
		if ((r = change_one(&c, file)) < 0)
			break;
	if (r == HF_OK && c.is_batch)
		r = hf_bee_flush(hf_drive_bee(c.drive));
	if (r == HF_OK && c.put > 0)
		r = drop_note(c.drive);
	/* What came before the one that failed is kept, unless it was one batch. */
	if (r < 0)
		hf_bee_abandon(hf_drive_bee(c.drive));
	int committed = hf_drive_commit_wait(c.drive, c.durability);
	r = fail(run, c.drive, (struct hf_slice){0}, r == HF_OK ? committed : r);
	if (r == HF_OK)
		r = hf_action_append(&run->call->out, json_pack("{s:I, s:I, s:I, s:I}", "put", c.put, "deleted", c.deleted, "missing", c.missing,
			"version", (json_int_t)hf_bee_version(hf_drive_bee(c.drive))));
	hf_action_close_drive(run, c.drive);
	return r;
}

/* ---- Large files ---- */

/* What is noted: where the blob begins, and the text by which it is found. */
static int set_note(struct hf_core *blobs, const struct hf_blob_id *id, struct hf_slice text)
{
	struct hf_buffer note = {0};
	int r = hf_buffer_printf(&note, "%llu %llu ", (unsigned long long)id->block_offset, (unsigned long long)id->byte_offset);
	if (r == HF_OK)
		r = hf_buffer_append(&note, text.data, text.length);
	if (r == HF_OK)
		r = hf_core_set_user_data(blobs, NOTE_NAME, hf_buffer_slice(&note));
	hf_buffer_free(&note);
	return r;
}

static int start_writer(struct hf_action_run *run, struct hf_core *blobs, struct hf_blob_writer *writer)
{
	const json_t *blob = json_object_get(run->arguments, "blob");
	struct hf_slice note = hf_action_slice(run->arguments, "note");
	struct hf_blob_id id;
	int r;
	if (note.length > NOTE_BYTES_MAX)
		return hf_fail(&run->call->failure, HF_ETOOBIG, "A note has %d bytes at most.", NOTE_BYTES_MAX);
	if (json_is_object(blob)) {
		r = hf_action_read_blob(run, blob, &id);
		if (r == HF_OK)
			r = hf_blob_writer_resume(writer, blobs, id.block_offset, id.byte_offset);
		if (r == HF_EINVAL || (r == HF_OK && (writer->id.block_count != id.block_count || writer->id.byte_length != id.byte_length)))
			r = hf_fail(&run->call->failure, HF_ECANCELED, "Something else was written into the drive meanwhile: begin the file again.");
		return r;
	}
	r = hf_blob_writer_start(writer, blobs, NULL);
	return r == HF_OK && note.length > 0 ? set_note(blobs, &writer->id, note) : r;
}

static int write_blob(struct hf_action_run *run, struct hf_drive *drive, struct hf_blob_id *id)
{
	struct hf_blob_writer writer = {.core = NULL};
	bool is_end = json_is_true(json_object_get(run->arguments, "end"));
	int r;
	if (!is_end && run->data.length % HF_BLOB_BLOCK_BYTES != 0)
		return hf_fail(&run->call->failure, HF_EINVAL, "All parts of a file but the last are multiples of %d bytes.", HF_BLOB_BLOCK_BYTES);
	do
		r = hf_drive_ready(drive);
	while (hf_action_bee_again(run, hf_drive_bee(drive), &r));
	if (r == HF_OK && !hf_core_is_writable(hf_drive_core(drive)))
		r = HF_EDENIED;
	if (r == HF_OK)
		r = start_writer(run, hf_drive_blobs(drive), &writer);
	if (r == HF_OK)
		r = hf_blob_writer_add(&writer, run->data);
	if (r == HF_OK && is_end)
		r = hf_blob_writer_end(&writer, id);
	else if (r == HF_OK)
		*id = writer.id;
	hf_blob_writer_free(&writer);
	return r == HF_OK ? hf_core_commit_wait(hf_drive_blobs(drive), durability_of(run)) : r;
}

int hf_action_drive_write(struct hf_action_run *run)
{
	struct hf_drive *drive;
	struct hf_blob_id id;
	int r = hf_action_open_drive(run, &drive);
	if (r < 0)
		return r;
	r = fail(run, drive, (struct hf_slice){0}, write_blob(run, drive, &id));
	if (r == HF_OK)
		r = hf_action_append(&run->call->out, json_pack("{s:o}", "blob", hf_action_blob(&id)));
	hf_action_close_drive(run, drive);
	return r;
}

/* Whether the note is of that text, and what follows it in the core can be gone on with. */
static bool find_unfinished(struct hf_action_run *run, struct hf_core *blobs, struct hf_blob_id *id)
{
	struct hf_slice text = hf_action_slice(run->arguments, "note");
	struct hf_blob_writer writer = {.core = NULL};
	struct hf_buffer note = {0};
	unsigned long long block_offset, byte_offset;
	int used = 0;
	bool found = hf_core_get_user_data(blobs, NOTE_NAME, &note) == HF_OK && hf_buffer_append(&note, "", 1) == HF_OK &&
		sscanf((const char *)note.data, "%llu %llu %n", &block_offset, &byte_offset, &used) == 2 && used > 0;
	if (found)
		found = hf_slice_equal(hf_slice(note.data + used, note.length - 1 - (size_t)used), text) &&
			hf_blob_writer_resume(&writer, blobs, block_offset, byte_offset) == HF_OK;
	*id = writer.id;
	hf_blob_writer_free(&writer);
	hf_buffer_free(&note);
	return found;
}

int hf_action_drive_unfinished(struct hf_action_run *run)
{
	struct hf_drive *drive;
	struct hf_blob_id id;
	int r = hf_action_open_drive(run, &drive);
	if (r < 0)
		return r;
	bool found = hf_drive_blobs(drive) && find_unfinished(run, hf_drive_blobs(drive), &id);
	hf_action_close_drive(run, drive);
	return hf_action_append(&run->call->out, json_pack("{s:o}", "blob", found ? hf_action_blob(&id) : json_null()));
}

/* ---- Forgetting ---- */

int hf_action_drive_clear(struct hf_action_run *run)
{
	struct hf_slice path = {0};
	struct hf_drive *drive;
	json_t *value;
	json_int_t cleared = 0;
	size_t i;
	int r = hf_action_open_drive(run, &drive);
	if (r < 0)
		return r;
	json_array_foreach(json_object_get(run->arguments, "paths"), i, value) {
		path = hf_slice(json_string_value(value), json_string_length(value));
		if ((r = hf_drive_clear(drive, path)) < 0)
			break;
		cleared++;
	}
	if (r == HF_OK)
		r = hf_drive_commit_wait(drive, HF_DURABLE_OS);
	r = fail(run, drive, path, r);
	hf_action_close_drive(run, drive);
	return r < 0 ? r : hf_action_append(&run->call->out, json_pack("{s:I}", "cleared", cleared));
}

/* ---- Going back ---- */

static int truncate_to(struct hf_action_run *run, struct hf_drive *drive, uint64_t version)
{
	struct hf_bee *bee = hf_drive_bee(drive);
	int r;
	do
		r = hf_drive_truncate(drive, version);
	while (hf_action_bee_again(run, bee, &r));
	if (r == HF_EINVAL)
		return hf_fail(&run->call->failure, r, "There is no version %llu to go back to: the drive is at %llu%s.", (unsigned long long)version,
			(unsigned long long)hf_bee_version(bee), version > 0 && version < hf_bee_version(bee) ? ", and it lies in the middle of a batch" : "");
	return r == HF_OK ? hf_drive_commit_wait(drive, HF_DURABLE_DISK) : r;
}

int hf_action_drive_truncate(struct hf_action_run *run)
{
	struct hf_drive *drive;
	uint64_t version;
	int r = hf_action_number(run, "version", 0, &version);
	if (r == HF_OK)
		r = hf_action_open_drive(run, &drive);
	if (r < 0)
		return r;
	r = fail(run, drive, (struct hf_slice){0}, truncate_to(run, drive, version));
	if (r == HF_OK)
		r = hf_action_append(&run->call->out, json_pack("{s:I, s:I, s:I}", "version", (json_int_t)hf_bee_version(hf_drive_bee(drive)), "fork",
			(json_int_t)hf_core_fork(hf_drive_core(drive)), "blobs_length", (json_int_t)hf_core_length(hf_drive_blobs(drive))));
	hf_action_close_drive(run, drive);
	return r;
}
