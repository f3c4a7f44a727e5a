/* Changing a drive. Before a blob is staged all is looked up that its entry needs, so that waiting comes before writing. */
#include "data/hyperdrive/drive_private.h"

#include "base/utf8.h"

static int put_entry(struct hf_drive *drive, const struct hf_drive_entry *entry)
{
	hf_buffer_clear(&drive->value);
	int status = hf_drive_entry_encode(entry, &drive->value);
	struct hf_slice value = hf_buffer_slice(&drive->value);

	return status == HF_OK ? hf_bee_put(drive->bee, hf_buffer_slice(&drive->key), &value, NULL) : status;
}

/* The name, that the drive is ours, and the way to the key in the bee. */
static int prepare(struct hf_drive *drive, struct hf_slice name)
{
	struct hf_bee_entry found;
	int status = hf_drive_key(drive, name);

	if (status != HF_OK)
		return status;
	if (!hf_core_is_writable(drive->db))
		return HF_EDENIED;
	if (hf_bee_pending_count(drive->bee) >= HF_BEE_PENDING_COUNT_MAX)
		return HF_EBUSY;
	status = hf_drive_ready(drive);
	if (status == HF_OK)
		status = hf_bee_get_pending(drive->bee, hf_buffer_slice(&drive->key), &found);
	return status == HF_ENOTFOUND ? HF_OK : status;
}

static struct hf_drive_entry entry_of(const struct hf_drive_properties *properties)
{
	struct hf_drive_entry entry = {.seq = 0};

	if (properties != NULL) {
		entry.is_executable = properties->is_executable;
		entry.metadata = properties->metadata;
	}
	return entry;
}

int hf_drive_put(struct hf_drive *drive, struct hf_slice name, const struct hf_drive_properties *properties, struct hf_slice content)
{
	struct hf_drive_entry entry = entry_of(properties);
	int status = prepare(drive, name);

	/* Metadata that cannot be written is refused before the blob is. */
	hf_buffer_clear(&drive->value);
	if (status == HF_OK)
		status = hf_drive_entry_encode(&entry, &drive->value);
	if (status == HF_OK)
		status = hf_blob_put(drive->blobs, content, &entry.blob);
	entry.has_blob = true;
	return status == HF_OK ? put_entry(drive, &entry) : status;
}

int hf_drive_put_blob(struct hf_drive *drive, struct hf_slice name, const struct hf_drive_properties *properties,
	const struct hf_blob_id *blob)
{
	struct hf_drive_entry entry = entry_of(properties);
	int status = prepare(drive, name);

	if (status != HF_OK)
		return status;
	entry.has_blob = blob != NULL;
	if (blob != NULL)
		entry.blob = *blob;
	return put_entry(drive, &entry);
}

int hf_drive_symlink(struct hf_drive *drive, struct hf_slice name, struct hf_slice target, struct hf_slice metadata)
{
	struct hf_drive_entry entry = {.has_link = true, .link = target, .metadata = metadata};

	if (target.length > HF_DRIVE_NAME_BYTES_MAX)
		return HF_ETOOBIG;
	if (target.length == 0 || memchr(target.data, 0, target.length) != NULL || !hf_utf8_valid(target.data, target.length))
		return HF_EINVAL;
	int status = prepare(drive, name);

	return status == HF_OK ? put_entry(drive, &entry) : status;
}

int hf_drive_set_executable(struct hf_drive *drive, struct hf_slice name, bool is_executable)
{
	struct hf_drive_entry entry;
	int status = prepare(drive, name);

	if (status == HF_OK)
		status = hf_drive_entry(drive, NULL, name, &entry);
	if (status != HF_OK)
		return status;
	if (entry.has_link)
		return HF_EINVAL;
	entry.is_executable = is_executable;
	return put_entry(drive, &entry);
}

int hf_drive_del(struct hf_drive *drive, struct hf_slice name)
{
	int status = hf_drive_key(drive, name);

	if (status == HF_OK && !hf_core_is_writable(drive->db))
		status = HF_EDENIED;
	return status == HF_OK ? hf_bee_del(drive->bee, hf_buffer_slice(&drive->key), NULL) : status;
}

int hf_drive_clear(struct hf_drive *drive, struct hf_slice name)
{
	struct hf_drive_entry entry;
	int status = hf_drive_entry(drive, hf_bee_latest(drive->bee), name, &entry);

	if (status == HF_OK)
		status = entry.has_blob ? hf_drive_ready(drive) : HF_ENOTFOUND;
	return status == HF_OK ? hf_blob_clear(drive->blobs, &entry.blob) : status;
}

/* How many of the blobs' blocks the entries of a view need. */
static int needed_blocks(struct hf_drive *drive, struct hf_bee_view *view, uint64_t *count)
{
	struct hf_drive_list_options options = {.is_shallow = false};
	struct hf_drive_entry entry;
	struct hf_drive_list *list;
	int status = hf_drive_list(drive, view, &options, &list);

	*count = 0;
	if (status != HF_OK)
		return status;
	while ((status = hf_drive_list_next(list, &entry)) == HF_OK) {
		uint64_t end = entry.is_unreadable || !entry.has_blob ? 0 : entry.blob.block_offset + entry.blob.block_count;

		*count = end > *count ? end : *count;
	}
	hf_drive_list_free(list);
	return status == HF_ENOTFOUND ? HF_OK : status;
}

int hf_drive_truncate(struct hf_drive *drive, uint64_t version)
{
	struct hf_bee_view *view;
	uint64_t blocks;
	int status = hf_core_is_writable(drive->db) ? hf_drive_ready(drive) : HF_EDENIED;

	if (status == HF_OK && hf_bee_pending_count(drive->bee) > 0)
		status = HF_EBUSY;
	if (status == HF_OK)
		status = version > 0 ? hf_bee_checkout(drive->bee, version, &view) : HF_EINVAL;
	if (status != HF_OK)
		return status;
	status = needed_blocks(drive, view, &blocks);
	hf_bee_view_free(view);
	if (status != HF_OK)
		return status;
	if (blocks > hf_core_length(drive->blobs))
		return HF_EMALFORMED;
	status = hf_core_truncate(drive->blobs, blocks, HF_CORE_NEXT_FORK);
	return status == HF_OK ? hf_core_truncate(drive->db, version, HF_CORE_NEXT_FORK) : status;
}

int hf_drive_commit(struct hf_drive *drive, enum hf_durability durability, void (*done)(void *context, int status), void *context)
{
	return drive->blobs != NULL ? hf_core_commit_both(drive->blobs, drive->db, durability, done, context)
		: hf_core_commit(drive->db, durability, done, context);
}

int hf_drive_commit_wait(struct hf_drive *drive, enum hf_durability durability)
{
	return drive->blobs != NULL ? hf_core_commit_both_wait(drive->blobs, drive->db, durability)
		: hf_core_commit_wait(drive->db, durability);
}
