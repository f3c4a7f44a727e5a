/* actions_drive_read: entries of a drive, a page at a time, and the bytes of files. */
#include <stdio.h>
#include <stdlib.h>

#include "base/utf8.h"
#include "codec/hex.h"
#include "service/actions_private.h"

typedef unsigned long long ull;

/* What is being read. */
struct reading {
	struct hf_action_run *run;
	struct hf_drive *drive;
	struct hf_bee_view *view;
	struct hf_slice path; /* that a failure is about */
};

static int fail(struct reading *r, int status)
{
	return status < 0 && !r->run->call->failure.text[0] ? hf_action_drive_fail(r->run, r->drive, r->path, status) : status;
}

static bool again(struct reading *r, int *status)
{
	return hf_action_bee_again(r->run, hf_drive_bee(r->drive), status);
}

/* The version that an argument says; the present one when it is not there. */
static int open_view(struct reading *r, const char *name, struct hf_bee_view **out)
{
	struct hf_bee *bee = hf_drive_bee(r->drive);
	uint64_t version;
	int status = hf_action_number(r->run, name, UINT64_MAX, &version);
	if (status < 0)
		return status;
	do
		status = version == UINT64_MAX ? hf_bee_snapshot(bee, out) : hf_bee_checkout(bee, version, out);
	while (again(r, &status));
	if (status == HF_EINVAL)
		return hf_fail(&r->run->call->failure, status, "There is no version %llu: the drive has come to %llu.", (ull)version,
			(ull)hf_bee_version(bee));
	return status;
}

static int open_reading(struct reading *r, struct hf_action_run *run)
{
	*r = (struct reading){.run = run};
	int status = hf_action_open_drive(run, &r->drive);
	if (status < 0)
		return status;
	status = fail(r, open_view(r, "at", &r->view));
	if (status < 0)
		hf_action_close_drive(run, r->drive);
	return status;
}

static void close_reading(struct reading *r)
{
	hf_bee_view_free(r->view);
	hf_action_close_drive(r->run, r->drive);
}

/* ---- Entries ---- */

static json_t *path_text(struct hf_slice name, const char **member)
{
	bool is_text = hf_utf8_valid(name.data, name.length);
	*member = is_text ? "path" : "path_hex";
	return is_text ? json_stringn((const char *)name.data, name.length) : hf_json_hex(name.data, name.length);
}

static json_t *entry_facts(const struct hf_drive_entry *entry)
{
	json_t *facts = json_object();
	const char *member;
	json_t *path = path_text(entry->name, &member);
	json_object_set_new(facts, member, path);
	json_object_set_new(facts, "seq", json_integer((json_int_t)entry->seq));
	if (entry->is_unreadable) {
		json_object_set_new(facts, "unreadable", json_true());
		return facts;
	}
	json_object_set_new(facts, "executable", json_boolean(entry->is_executable));
	json_object_set_new(facts, "link", entry->has_link ? json_stringn((const char *)entry->link.data, entry->link.length) : json_null());
	json_object_set_new(facts, "blob", entry->has_blob ? hf_action_blob(&entry->blob) : json_null());
	json_t *metadata = entry->metadata.length
		? json_loadb((const char *)entry->metadata.data, entry->metadata.length, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL) : NULL;
	json_object_set_new(facts, "metadata", metadata ? metadata : json_null());
	return facts;
}

static int find_entry(struct reading *r, struct hf_drive_entry *entry)
{
	bool follow = json_is_true(json_object_get(r->run->arguments, "follow"));
	int status;
	r->path = hf_action_slice(r->run->arguments, "path");
	do
		status = follow ? hf_drive_follow(r->drive, r->view, r->path, entry) : hf_drive_entry(r->drive, r->view, r->path, entry);
	while (again(r, &status));
	if (status == HF_ECANCELED && !r->run->call->failure.text[0])
		hf_fail(&r->run->call->failure, status, "\"%.*s\" leads through more than %d symbolic links, or in a circle.",
			r->path.length < 120 ? (int)r->path.length : 120, (const char *)r->path.data, HF_DRIVE_LINK_COUNT_MAX);
	return status;
}

int hf_action_drive_entry(struct hf_action_run *run)
{
	struct hf_drive_entry entry;
	struct reading r;
	int status = open_reading(&r, run);
	if (status < 0)
		return status;
	status = fail(&r, find_entry(&r, &entry));
	if (status == HF_OK)
		status = hf_action_append(&run->call->out, entry_facts(&entry));
	close_reading(&r);
	return status;
}

/* ---- Pages of entries ---- */

/* Where a page begins and ends: behind a name, byte by byte, that the one before ended with; "" is the front. */
static int read_after(struct hf_action_run *run, struct hf_buffer *last)
{
	const char *text = hf_action_text(run, "after");
	size_t length = text ? strlen(text) / 2 : 0;
	if (hf_buffer_reserve(last, length + 1) < 0)
		return HF_ENOMEM;
	if (text && (strlen(text) % 2 || !hf_hex_decode(last->data, text, length)))
		return hf_fail(&run->call->failure, HF_EINVAL, "\"after\" is the \"next\" of a page, in hexadecimal.");
	last->length = length;
	return HF_OK;
}

static int end_page(struct hf_action_run *run, bool is_full, const struct hf_buffer *last)
{
	return hf_action_append(&run->call->out, json_pack("{s:o}", "next", is_full ? hf_json_hex(last->data, last->length) : json_null()));
}

/* What does not come behind the page before would lead in a circle. */
static int note_name(struct hf_buffer *last, struct hf_slice name)
{
	if (hf_slice_compare(name, hf_buffer_slice(last)) <= 0)
		return HF_EMALFORMED;
	hf_buffer_clear(last);
	return hf_buffer_append(last, name.data, name.length);
}

static bool is_page_full(const struct hf_action_run *run, size_t count)
{
	return count >= HF_ACTION_PAGE_COUNT_MAX || run->call->out.length >= HF_ACTION_PAGE_BYTES;
}

static int add_listed(struct reading *r, const struct hf_drive_list *list, const struct hf_drive_entry *entry, bool is_shallow)
{
	json_t *facts = entry_facts(entry);
	bool is_folder;
	struct hf_slice child = hf_drive_list_child(list, &is_folder);
	if (is_shallow && hf_utf8_valid(child.data, child.length)) {
		json_object_set_new(facts, "child", json_stringn((const char *)child.data, child.length));
		json_object_set_new(facts, "is_folder", json_boolean(is_folder));
	}
	return hf_action_append(&r->run->call->out, facts);
}

/* *last: behind which it begins, and then with which it ended. */
static int list_page(struct reading *r, const struct hf_drive_list_options *options, uint64_t limit, struct hf_buffer *last)
{
	struct hf_drive_list *list;
	struct hf_drive_entry entry;
	size_t count = 0;
	int status = hf_drive_list(r->drive, r->view, options, &list);
	if (status == HF_EINVAL && last->length > 0)
		return hf_fail(&r->run->call->failure, status, "The folder is no name, or \"after\" is not in it.");
	if (status < 0)
		return status;
	bool is_full = false;
	while (status == HF_OK && count < limit && !is_full) {
		do
			status = hf_drive_list_next(list, &entry);
		while (again(r, &status));
		if (status == HF_OK && (status = note_name(last, entry.name)) == HF_OK)
			status = add_listed(r, list, &entry, options->is_shallow);
		is_full = is_page_full(r->run, ++count);
	}
	hf_drive_list_free(list);
	if (status == HF_OK || status == HF_ENOTFOUND)
		status = end_page(r->run, status == HF_OK, last);
	return status;
}

/* The folders and files of "ignore", normalised: they lie one after the other in *bytes. */
static int read_ignored(struct hf_action_run *run, struct hf_buffer *bytes, struct hf_slice ignore[static HF_DRIVE_IGNORE_COUNT_MAX],
	size_t *count)
{
	json_t *list = json_object_get(run->arguments, "ignore"), *value;
	size_t i, starts[HF_DRIVE_IGNORE_COUNT_MAX + 1] = {0};
	*count = 0;
	if (json_array_size(list) > HF_DRIVE_IGNORE_COUNT_MAX)
		return hf_fail(&run->call->failure, HF_ETOOBIG, "At most %d names can be left out.", HF_DRIVE_IGNORE_COUNT_MAX);
	json_array_foreach(list, i, value) {
		struct hf_slice name = hf_slice(json_string_value(value), json_string_length(value));
		int r = hf_drive_name(name, bytes);
		if (r < 0)
			return hf_drive_name_fail(&run->call->failure, r, name);
		starts[++*count] = bytes->length;
	}
	for (i = 0; i < *count; i++)
		ignore[i] = hf_slice(bytes->data + starts[i], starts[i + 1] - starts[i]);
	return HF_OK;
}

int hf_action_drive_list(struct hf_action_run *run)
{
	struct hf_slice ignore[HF_DRIVE_IGNORE_COUNT_MAX];
	struct hf_buffer ignored = {0}, last = {0};
	struct hf_drive_list_options options = {.folder = hf_action_slice(run->arguments, "folder"), .ignore = ignore,
		.is_shallow = json_is_true(json_object_get(run->arguments, "shallow"))};
	struct reading r;
	uint64_t limit;
	int status = hf_action_number(run, "limit", UINT64_MAX, &limit);
	if (status == HF_OK && limit == 0)
		status = hf_fail(&run->call->failure, HF_EINVAL, "\"limit\" is 1 at least.");
	if (status == HF_OK)
		status = read_after(run, &last);
	if (status == HF_OK)
		status = read_ignored(run, &ignored, ignore, &options.ignore_count);
	if (status == HF_OK && (status = open_reading(&r, run)) == HF_OK) {
		options.after = hf_buffer_slice(&last);
		status = list_page(&r, &options, limit, &last);
		r.path = options.folder;
		status = fail(&r, status);
		close_reading(&r);
	}
	hf_buffer_free(&ignored);
	hf_buffer_free(&last);
	return status;
}

static json_t *side(bool is_there, const struct hf_drive_entry *entry)
{
	return is_there ? entry_facts(entry) : json_null();
}

static int diff_page(struct reading *r, struct hf_bee_view *from, struct hf_buffer *last)
{
	struct hf_slice folder = hf_action_slice(r->run->arguments, "folder");
	struct hf_drive_difference found;
	struct hf_drive_diff *diff;
	size_t count = 0;
	int status = hf_drive_diff(r->drive, r->view, from, folder, hf_buffer_slice(last), &diff);
	if (status == HF_EINVAL)
		return hf_fail(&r->run->call->failure, status,
			"The drive was truncated between the two versions, the folder is no name, or \"after\" is not in it.");
	if (status < 0)
		return status;
	while (status == HF_OK && !is_page_full(r->run, count)) {
		do
			status = hf_drive_diff_next(diff, &found);
		while (again(r, &status));
		if (status == HF_OK && (status = note_name(last, found.has_left ? found.left.name : found.right.name)) == HF_OK)
			status = hf_action_append(&r->run->call->out, json_pack("{s:o, s:o}", "before", side(found.has_right, &found.right), "after",
				side(found.has_left, &found.left)));
		count++;
	}
	hf_drive_diff_free(diff);
	if (status == HF_OK || status == HF_ENOTFOUND)
		status = end_page(r->run, status == HF_OK, last);
	return status;
}

int hf_action_drive_diff(struct hf_action_run *run)
{
	struct hf_bee_view *from;
	struct hf_buffer last = {0};
	struct reading r;
	int status = open_reading(&r, run);
	if (status < 0)
		return status;
	status = read_after(run, &last);
	if (status == HF_OK)
		status = open_view(&r, "from", &from);
	if (status == HF_OK) {
		status = diff_page(&r, from, &last);
		hf_bee_view_free(from);
	}
	status = fail(&r, status);
	hf_buffer_free(&last);
	close_reading(&r);
	return status;
}

/* ---- Bytes ---- */

/* The blob that is meant, and the drive's blobs ready. */
static int find_blob(struct reading *r, struct hf_drive_entry *entry)
{
	const json_t *blob = json_object_get(r->run->arguments, "blob");
	int status;
	*entry = (struct hf_drive_entry){.has_blob = true};
	status = json_is_object(blob) ? hf_action_read_blob(r->run, blob, &entry->blob) : find_entry(r, entry);
	if (status < 0)
		return status;
	if (entry->has_link && !entry->has_blob)
		return hf_fail(&r->run->call->failure, HF_EINVAL, "\"%.*s\" is a symbolic link.", r->path.length < 120 ? (int)r->path.length : 120,
			(const char *)r->path.data);
	do
		status = hf_drive_ready(r->drive);
	while (again(r, &status));
	return status;
}

static int give(struct hf_action_run *run, struct hf_slice bytes)
{
	struct hf_action_call *call = run->call;
	int status = hf_buffer_append(&call->out, bytes.data, bytes.length);
	return status == HF_OK && call->flush ? call->flush(call->context, &call->out) : status;
}

/* The whole range where there is somebody to take it, else a page. */
static int give_all(struct reading *r, struct hf_blob_reader *reader)
{
	struct hf_slice bytes;
	size_t given = 0;
	int status = HF_OK;
	while (status == HF_OK && (r->run->call->flush || given < HF_ACTION_PAGE_BYTES)) {
		do
			status = hf_blob_reader_next(reader, &bytes);
		while (hf_action_blob_again(r->run, reader, &status));
		if (status == HF_OK)
			status = give(r->run, bytes);
		given += bytes.length;
	}
	return status == HF_ENOTFOUND ? HF_OK : status;
}

static int content_size(struct reading *r, const struct hf_drive_entry *entry, uint64_t *size)
{
	struct hf_blob_range nothing = {0, 0};
	struct hf_blob_reader *reader;
	struct hf_slice bytes;
	uint64_t needed;
	*size = 0;
	if (!entry->has_blob)
		return HF_OK;
	/* A reader of nothing waits for a map, if there is one. */
	int status = hf_drive_read(r->drive, entry, &nothing, &reader);
	if (status < 0)
		return status;
	do
		status = hf_blob_reader_next(reader, &bytes);
	while (hf_action_blob_again(r->run, reader, &status));
	hf_blob_reader_free(reader);
	return status == HF_ENOTFOUND ? hf_blob_length(hf_drive_blobs(r->drive), &entry->blob, size, &needed) : status;
}

static int get(struct reading *r)
{
	struct hf_drive_entry entry;
	struct hf_blob_range range;
	struct hf_blob_reader *reader;
	uint64_t size;
	int status = hf_action_number(r->run, "start", 0, &range.start);
	if (status == HF_OK)
		status = hf_action_number(r->run, "length", UINT64_MAX, &range.length);
	if (status == HF_OK)
		status = find_blob(r, &entry);
	if (status == HF_OK)
		status = content_size(r, &entry, &size);
	if (status == HF_OK)
		status = hf_action_append(&r->run->call->out, json_pack("{s:I, s:I}", "size", (json_int_t)size, "start", (json_int_t)range.start));
	if (status < 0 || !entry.has_blob)
		return status;
	status = hf_drive_read(r->drive, &entry, &range, &reader);
	if (status < 0)
		return status;
	status = give_all(r, reader);
	hf_blob_reader_free(reader);
	return status;
}

int hf_action_drive_get(struct hf_action_run *run)
{
	struct reading r;
	int status = open_reading(&r, run);
	if (status < 0)
		return status;
	status = fail(&r, get(&r));
	close_reading(&r);
	return status;
}
