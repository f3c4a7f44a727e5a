/* drive_copy: the bytes of files, into a drive and out of it, a part at a time. */
#include <stdio.h>

#include "cli/drive.h"

/* ---- Out ---- */

struct copying {
	int (*take)(void *context, struct hf_slice bytes);
	void *context;
	bool has_head;
	uint64_t size, taken;
	int status;
};

/* Behind a line that says how long the file is come its bytes. */
static int take_out(void *context, struct hf_buffer *out)
{
	struct copying *c = context;
	struct hf_slice bytes = hf_buffer_slice(out);
	json_error_t error;
	if (!c->has_head) {
		const uint8_t *end = bytes.length ? memchr(bytes.data, '\n', bytes.length) : NULL;
		json_t *head = end ? json_loadb((const char *)bytes.data, (size_t)(end - bytes.data), 0, &error) : NULL;
		if (!head)
			return c->status = HF_EMALFORMED;
		c->size = (uint64_t)json_integer_value(json_object_get(head, "size"));
		json_decref(head);
		c->has_head = true;
		bytes = hf_slice(end + 1, bytes.length - (size_t)(end + 1 - bytes.data));
	}
	c->taken += bytes.length;
	if (bytes.length > 0)
		c->status = c->take(c->context, bytes);
	hf_buffer_clear(out);
	return c->status;
}

/* All in one, which is taken away as it comes. */
static int copy_here(struct hf_cli_drive *drive, const json_t *arguments, struct copying *c, struct hf_failure *failure)
{
	struct hf_buffer out = {0};
	drive->target.flush = take_out;
	drive->target.context = c;
	int r = hf_cli_core_run(&drive->target, "drive/get", arguments, (struct hf_slice){0}, &out, failure);
	drive->target.flush = NULL;
	/* An empty file has a head only. */
	if (r == HF_OK && out.length > 0)
		r = take_out(c, &out);
	hf_buffer_free(&out);
	return r;
}

/* Names the blob instead of the file, so that every page is of the same content. */
static int name_blob(struct hf_cli_drive *drive, json_t *arguments, struct hf_failure *failure)
{
	json_t *path = json_object_get(arguments, "path"), *blob;
	if (!path)
		return HF_OK;
	json_t *entry = hf_cli_drive_ask(drive, "drive/entry", json_pack("{s:O, s:b}", "path", path, "follow",
		json_is_true(json_object_get(arguments, "follow"))), (struct hf_slice){0}, failure);
	if ((blob = json_object_get(entry, "blob")) != NULL && json_is_object(blob))
		json_object_set(arguments, "blob", blob);
	json_decref(entry);
	return failure->code;
}

static int copy_pages(struct hf_cli_drive *drive, json_t *arguments, struct copying *c, struct hf_failure *failure)
{
	uint64_t start = (uint64_t)json_integer_value(json_object_get(arguments, "start")), end = UINT64_MAX, before;
	json_t *length = json_object_get(arguments, "length");
	struct hf_buffer out = {0};
	int r = name_blob(drive, arguments, failure);
	if (r < 0)
		return r;
	if (json_is_integer(length) && (uint64_t)json_integer_value(length) < end - start)
		end = start + (uint64_t)json_integer_value(length);
	do {
		before = c->taken;
		c->has_head = false;
		hf_buffer_clear(&out);
		json_object_set_new(arguments, "start", json_integer((json_int_t)(start + c->taken)));
		if (end != UINT64_MAX)
			json_object_set_new(arguments, "length", json_integer((json_int_t)(end - start - c->taken)));
		r = hf_cli_core_run(&drive->target, "drive/get", arguments, (struct hf_slice){0}, &out, failure);
		if (r == HF_OK)
			r = take_out(c, &out);
	} while (r == HF_OK && c->taken > before && start + c->taken < (c->size < end ? c->size : end));
	hf_buffer_free(&out);
	if (r == HF_OK && start + c->taken < (c->size < end ? c->size : end))
		r = hf_fail(failure, HF_EMALFORMED, "The file ended before its length.");
	return r;
}

int hf_cli_drive_copy(struct hf_cli_drive *drive, json_t *more, int (*take)(void *context, struct hf_slice bytes), void *context,
	struct hf_failure *failure)
{
	struct copying c = {.take = take, .context = context};
	json_t *arguments = json_copy(drive->arguments);
	int r = arguments && more && json_object_update(arguments, more) == 0 ? HF_OK : HF_ENOMEM;
	if (r == HF_OK)
		r = hf_cli_target_is_gateway(&drive->target) ? copy_pages(drive, arguments, &c, failure) : copy_here(drive, arguments, &c, failure);
	json_decref(arguments);
	json_decref(more);
	if (c.status < 0)
		return failure->code = hf_fail(failure, c.status, "Writing the file failed: %s.", hf_error_text(c.status));
	return failure->code = r < 0 && !failure->text[0] ? hf_fail(failure, r, "Reading the file failed: %s.", hf_error_text(r)) : r;
}

/* ---- In ---- */

static int change(struct hf_cli_drive_put *put, struct hf_slice data, struct hf_failure *failure)
{
	json_t *answer = hf_cli_drive_ask(put->drive, "drive/change", json_pack("{s:[O], s:b}", "files", put->file, "disk", put->is_synced), data,
		failure);
	json_decref(answer);
	return failure->code;
}

/* A part of a file that is too long for one. */
static int write_part(struct hf_cli_drive_put *put, struct hf_slice bytes, bool is_end, struct hf_failure *failure)
{
	json_t *answer = hf_cli_drive_ask(put->drive, "drive/write", json_pack("{s:O*, s:b, s:s*}", "blob", put->blob, "end", is_end, "note",
		put->blob ? NULL : put->note), bytes, failure);
	if (answer) {
		json_decref(put->blob);
		put->blob = json_incref(json_object_get(answer, "blob"));
	}
	json_decref(answer);
	return failure->code;
}

int hf_cli_drive_put_add(struct hf_cli_drive_put *put, struct hf_slice bytes, struct hf_failure *failure)
{
	int r = HF_OK;
	while (bytes.length > 0 && r == HF_OK) {
		size_t room = HF_CLI_DRIVE_PART_BYTES - put->bytes.length, taken = bytes.length < room ? bytes.length : room;
		/* A full part is written when more follows it, so that the last part is never empty. */
		if (room == 0) {
			r = write_part(put, hf_buffer_slice(&put->bytes), false, failure);
			hf_buffer_clear(&put->bytes);
			continue;
		}
		if (hf_buffer_append(&put->bytes, bytes.data, taken) < 0)
			return failure->code = hf_fail(failure, HF_ENOMEM, "Out of memory.");
		bytes = hf_slice(bytes.data + taken, bytes.length - taken);
	}
	return r;
}

int hf_cli_drive_put_end(struct hf_cli_drive_put *put, struct hf_failure *failure)
{
	if (!put->blob) {
		json_object_set_new(put->file, "size", json_integer((json_int_t)put->bytes.length));
		return change(put, hf_buffer_slice(&put->bytes), failure);
	}
	int r = write_part(put, hf_buffer_slice(&put->bytes), true, failure);
	if (r == HF_OK) {
		json_object_set(put->file, "blob", put->blob);
		r = change(put, (struct hf_slice){0}, failure);
	}
	return r;
}

void hf_cli_drive_put_free(struct hf_cli_drive_put *put)
{
	json_decref(put->blob);
	hf_buffer_free(&put->bytes);
	put->blob = NULL;
}
