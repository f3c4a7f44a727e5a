/* drive_driver: the commands of core_driver on drives. A drive takes two places: that of its bee's core, and that of its blobs'. */
#include <stdlib.h>
#include <string.h>

#include "core_driver.h"
#include "data/hyperdrive/drive.h"

void close_drive(struct slot *slot)
{
	hf_drive_close(slot->drive);
	slot->drive = NULL;
}

static struct hf_drive *drive_of(struct slot *slot)
{
	if (slot->drive == NULL)
		die("this is no drive");
	return slot->drive;
}

int do_drive_open(struct driver *d, struct slot *slot, const json_t *command, json_t *answer)
{
	size_t name_space_bytes = HF_NAMESPACE_BYTES, encryption_bytes = 32;
	uint8_t *name_space = bytes(command, "namespace", &name_space_bytes), *encryption_key = bytes(command, "encryption_key", &encryption_bytes);
	struct hf_drive_options options = {.size = sizeof options, .cores = d->cores, .name_space = name_space, .encryption_key = encryption_key};
	struct slot *blobs = &d->slots[number(command, "blobs")];

	close_slot(slot);
	close_slot(blobs);
	int status = hf_drive_open(&slot->drive, &options, &d->failure);

	if (status == HF_OK) {
		slot->core = hf_core_ref(hf_drive_core(slot->drive));
		blobs->core = hf_core_ref(hf_drive_blobs(slot->drive));
		set_hex(answer, "key", hf_slice(hf_core_key(slot->core), HF_CORE_KEY_BYTES));
		set_hex(answer, "blobs_key", hf_slice(hf_core_key(blobs->core), HF_CORE_KEY_BYTES));
	}
	free(name_space);
	free(encryption_key);
	return status;
}

/* ---- Changing ---- */

static struct hf_slice text(const json_t *command, const char *name)
{
	const json_t *value = json_object_get(command, name);

	return json_is_string(value) ? hf_slice(json_string_value(value), json_string_length(value)) : hf_slice(NULL, 0);
}

static int do_put(struct driver *d, struct slot *slot, const json_t *command, json_t *answer)
{
	struct hf_drive_properties properties = {.is_executable = json_is_true(json_object_get(command, "executable")),
		.metadata = text(command, "metadata")};
	size_t length = 0;
	uint8_t *content = bytes(command, "content", &length);
	int status = hf_drive_put(drive_of(slot), text(command, "path"), &properties, hf_slice(content, length));

	free(content);
	return status;
}

/* A file in blocks of that size, of which those that the one before it had are not written again. */
static int do_dedup(struct driver *d, struct slot *slot, const json_t *command, json_t *answer)
{
	struct hf_blob_write_options options = {.block_bytes = number(command, "block_bytes"), .dedups = true};
	struct hf_drive *drive = drive_of(slot);
	struct hf_drive_entry before;
	struct hf_blob_writer writer = {.core = NULL};
	struct hf_blob_id id, earlier;
	size_t length = 0;
	uint8_t *content = bytes(command, "content", &length);
	int status = hf_drive_entry(drive, NULL, text(command, "path"), &before);

	if (status == HF_OK && before.has_blob) {
		earlier = before.blob;
		options.earlier = &earlier;
	}
	if (status == HF_OK || status == HF_ENOTFOUND)
		status = hf_blob_writer_start(&writer, hf_drive_blobs(drive), &options);
	if (status == HF_OK)
		status = hf_blob_writer_add(&writer, hf_slice(content, length));
	if (status == HF_OK)
		status = hf_blob_writer_end(&writer, &id);
	if (status == HF_OK)
		status = hf_drive_put_blob(drive, text(command, "path"), NULL, &id);
	hf_blob_writer_free(&writer);
	free(content);
	return status == HF_OK ? hf_bee_flush(hf_drive_bee(drive)) : status;
}

static int do_truncate(struct driver *d, struct slot *slot, const json_t *command, json_t *answer)
{
	int status = hf_drive_truncate(drive_of(slot), number(command, "version"));

	return status == HF_OK ? hf_drive_commit_wait(slot->drive, HF_DURABLE_OS) : status;
}

static int do_link(struct driver *d, struct slot *slot, const json_t *command, json_t *answer)
{
	return hf_drive_symlink(drive_of(slot), text(command, "path"), text(command, "target"), text(command, "metadata"));
}

static int do_del(struct driver *d, struct slot *slot, const json_t *command, json_t *answer)
{
	int status = hf_drive_del(drive_of(slot), text(command, "path"));

	return status == HF_ENOTFOUND ? HF_OK : status;
}

static int do_clear(struct driver *d, struct slot *slot, const json_t *command, json_t *answer)
{
	int status = hf_drive_clear(drive_of(slot), text(command, "path"));

	if (status == HF_OK)
		status = hf_drive_commit_wait(slot->drive, HF_DURABLE_OS);
	return status == HF_ENOTFOUND ? HF_OK : status;
}

static int do_flush(struct driver *d, struct slot *slot, const json_t *command, json_t *answer)
{
	int status = hf_bee_flush(hf_drive_bee(drive_of(slot)));

	return status == HF_OK ? hf_drive_commit_wait(slot->drive, HF_DURABLE_OS) : status;
}

/* ---- Reading ---- */

/* [path, block, what it is] */
static json_t *entry_of(const struct hf_drive_entry *entry)
{
	struct hf_buffer value = {0};

	if (hf_drive_entry_encode(entry, &value) != HF_OK)
		die("an entry cannot be written");
	json_t *list = json_pack("[s%, I, s%]", (const char *)entry->name.data, entry->name.length, (json_int_t)entry->seq,
		(const char *)value.data, value.length);

	hf_buffer_free(&value);
	return list;
}

static int open_view(struct slot *slot, const json_t *command, const char *name, struct hf_bee_view **out)
{
	struct hf_bee *bee = hf_drive_bee(drive_of(slot));

	return json_object_get(command, name) == NULL ? hf_bee_snapshot(bee, out) : hf_bee_checkout(bee, number(command, name), out);
}

static int do_list(struct driver *d, struct slot *slot, const json_t *command, json_t *answer)
{
	struct hf_slice ignore = text(command, "ignore");
	struct hf_drive_list_options options = {.folder = text(command, "folder"), .ignore = &ignore, .ignore_count = ignore.length > 0,
		.is_shallow = json_is_true(json_object_get(command, "shallow"))};
	struct hf_drive_list *found = NULL;
	struct hf_drive_entry entry;
	struct hf_bee_view *view;
	json_t *list = json_array();
	int status = open_view(slot, command, "at", &view);

	if (status != HF_OK)
		return status;
	status = hf_drive_list(slot->drive, view, &options, &found);
	while (status == HF_OK && (status = hf_drive_list_next(found, &entry)) == HF_OK)
		json_array_append_new(list, entry_of(&entry));
	json_object_set_new(answer, "entries", list);
	hf_drive_list_free(found);
	hf_bee_view_free(view);
	return status == HF_ENOTFOUND ? HF_OK : status;
}

static int do_diff(struct driver *d, struct slot *slot, const json_t *command, json_t *answer)
{
	struct hf_drive_difference difference;
	struct hf_drive_diff *diff = NULL;
	struct hf_bee_view *now, *then;
	json_t *list = json_array();
	int status = open_view(slot, command, "from", &then);

	if (status == HF_OK)
		status = open_view(slot, command, "at", &now);
	if (status != HF_OK)
		return status;
	status = hf_drive_diff(slot->drive, now, then, text(command, "folder"), hf_slice(NULL, 0), &diff);
	while (status == HF_OK && (status = hf_drive_diff_next(diff, &difference)) == HF_OK)
		json_array_append_new(list, json_pack("[o, o]", difference.has_left ? entry_of(&difference.left) : json_null(),
			difference.has_right ? entry_of(&difference.right) : json_null()));
	json_object_set_new(answer, "differences", list);
	hf_drive_diff_free(diff);
	hf_bee_view_free(now);
	hf_bee_view_free(then);
	return status == HF_ENOTFOUND ? HF_OK : status;
}

static int read_blob(struct slot *slot, const struct hf_drive_entry *entry, const struct hf_blob_range *range, struct hf_buffer *out)
{
	struct hf_blob_reader *reader;
	struct hf_slice part;
	int status = hf_drive_read(slot->drive, entry, range, &reader);

	if (status != HF_OK)
		return status;
	while ((status = hf_blob_reader_next(reader, &part)) == HF_OK)
		if (hf_buffer_append(out, part.data, part.length) != HF_OK)
			die("no memory");
	hf_blob_reader_free(reader);
	return status == HF_ENOTFOUND ? HF_OK : status;
}

/* What a path leads to, with what is pending, and its bytes; null where there is nothing, and "loop" for links in a circle. */
static int do_get(struct driver *d, struct slot *slot, const json_t *command, json_t *answer)
{
	struct hf_blob_range range = {0, UINT64_MAX};
	struct hf_drive_entry entry;
	struct hf_buffer content = {0};
	int status = hf_drive_follow(drive_of(slot), NULL, text(command, "path"), &entry);

	if (status == HF_ECANCELED || status == HF_EINVAL || status == HF_ENOTFOUND) {
		json_object_set_new(answer, "entry", status == HF_ENOTFOUND ? json_null() : json_string("loop"));
		return HF_OK;
	}
	if (json_object_get(command, "start") != NULL)
		range = (struct hf_blob_range){number(command, "start"), number(command, "length")};
	if (status == HF_OK) {
		json_object_set_new(answer, "entry", entry_of(&entry));
		status = read_blob(slot, &entry, &range, &content);
	}
	if (status == HF_OK)
		set_hex(answer, "content", hf_buffer_slice(&content));
	hf_buffer_free(&content);
	return status == HF_EWAIT ? HF_OK : status;
}

const struct driver_command drive_commands[] = {
	{"drive_open", do_drive_open}, {"drive_put", do_put}, {"drive_link", do_link}, {"drive_del", do_del}, {"drive_clear", do_clear},
	{"drive_dedup", do_dedup}, {"drive_truncate", do_truncate}, {"drive_flush", do_flush}, {"drive_list", do_list}, {"drive_diff", do_diff}, {"drive_get", do_get}, {NULL, NULL},
};
