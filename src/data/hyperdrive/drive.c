/* Opening a drive and finding its blobs; reading single entries. */
#include "data/hyperdrive/drive_private.h"

#include <stdlib.h>

#include "base/options.h"
#include "codec/core_key.h"
#include "crypto/hash.h"
#include "data/hypercore/core_private.h"

/* ---- The core of the blobs ---- */

/* The manifest whose hash is the key of the blobs: that of the bee's core, each signer in a namespace of its own. Its signers lie in
 * *signers. */
static int blobs_manifest(const struct hf_manifest *manifest, const uint8_t key[static HF_CORE_KEY_BYTES], struct hf_buffer *signers,
	struct hf_manifest *out)
{
	struct hf_manifest_signer signer;
	uint8_t name_space[HF_NAMESPACE_BYTES];

	*out = (struct hf_manifest){.version = manifest->version, .allow_patch = manifest->allow_patch, .quorum = manifest->quorum,
		.signer_count = manifest->signer_count};
	if (manifest->version < 1)
		return HF_EINVAL;
	for (uint64_t i = 0; hf_manifest_signer(manifest, i, &signer); i++) {
		struct hf_blake2b hash;

		hf_blake2b_init(&hash, sizeof name_space, hf_slice(NULL, 0));
		hf_blake2b_update(&hash, hf_namespaces[HF_NAMESPACE_DRIVE_BLOBS], HF_NAMESPACE_BYTES);
		hf_blake2b_update(&hash, key, HF_CORE_KEY_BYTES);
		hf_blake2b_update(&hash, signer.signer_namespace, HF_NAMESPACE_BYTES);
		hf_blake2b_final(&hash, name_space, sizeof name_space);
		int status = hf_manifest_signer_write(signers, name_space, signer.public_key);

		if (status != HF_OK)
			return status;
	}
	out->signers = hf_buffer_slice(signers);
	return HF_OK;
}

int hf_drive_blobs_key(const struct hf_manifest *manifest, const uint8_t key[static HF_CORE_KEY_BYTES],
	uint8_t blobs_key[static HF_CORE_KEY_BYTES])
{
	struct hf_buffer signers = {0};
	struct hf_manifest derived;
	int status = blobs_manifest(manifest, key, &signers, &derived);

	if (status == HF_OK)
		status = hf_manifest_key(&derived, blobs_key);
	hf_buffer_free(&signers);
	return status;
}

/* Opens it twice when it is ours: the key pair, which follows from the bee's, is not kept with it once more. */
static int open_derived(struct hf_drive *drive)
{
	struct hf_core_options options = {.size = sizeof options, .encryption_key = drive->is_encrypted ? drive->encryption_key : NULL};
	const struct hf_manifest *manifest = hf_core_manifest(drive->db);
	struct hf_buffer signers = {0};
	struct hf_failure ignored = {0};
	struct hf_manifest derived;
	struct hf_core *again;
	int status = manifest == NULL || hf_core_is_compat(drive->db) ? HF_EMALFORMED
		: blobs_manifest(manifest, hf_core_key(drive->db), &signers, &derived);

	options.manifest = &derived;
	if (status == HF_OK)
		status = hf_corestore_get(drive->cores, &options, &drive->blobs, &ignored);
	hf_buffer_free(&signers);
	if (status != HF_OK || !hf_core_is_writable(drive->db))
		return status == HF_EINVAL ? HF_EMALFORMED : status;
	options.manifest = NULL;
	options.key = hf_core_key(drive->blobs);
	options.secret_key = drive->db->secret_key;
	status = hf_corestore_get(drive->cores, &options, &again, &ignored);
	if (status == HF_OK)
		hf_core_unref(again);
	return status;
}

static int open_by_key(struct hf_drive *drive, const uint8_t *key)
{
	struct hf_core_options options = {.size = sizeof options, .key = key,
		.encryption_key = drive->is_encrypted ? drive->encryption_key : NULL};
	struct hf_failure ignored = {0};

	return hf_corestore_get(drive->cores, &options, &drive->blobs, &ignored);
}

/* Of an old core, which has no manifest to derive from: by a name that has the bee's key in it. */
static int open_old(struct hf_drive *drive)
{
	static const char suffix[] = "/blobs";
	char name[HF_CORE_ID_BYTES + sizeof suffix];
	struct hf_core_options options = {.size = sizeof options, .compat = true,
		.name_space = drive->has_name_space ? drive->name_space : NULL,
		.encryption_key = drive->is_encrypted ? drive->encryption_key : NULL};
	struct hf_failure ignored = {0};

	hf_core_key_encode(name, hf_core_key(drive->db));
	strcat(name, suffix);
	options.name = hf_slice_text(name);
	return hf_corestore_get(drive->cores, &options, &drive->blobs, &ignored);
}

static int find_blobs(struct hf_drive *drive)
{
	struct hf_buffer block = {0};
	struct hf_bee_header header;
	int status = hf_core_get(drive->db, 0, &block);

	if (status == HF_OK) {
		status = hf_bee_header_decode(hf_buffer_slice(&block), &header);
		if (status == HF_OK && header.has_content_feed && header.content_feed.length > 0)
			status = header.content_feed.length >= HF_CORE_KEY_BYTES ? open_by_key(drive, header.content_feed.data) : HF_EMALFORMED;
		else if (status == HF_OK)
			status = open_derived(drive);
	} else if (status == HF_ENOTFOUND && hf_core_is_writable(drive->db)) {
		status = hf_core_is_compat(drive->db) ? open_old(drive) : open_derived(drive);
	}
	hf_buffer_free(&block);
	if (status != HF_OK && drive->blobs != NULL) {
		hf_core_unref(drive->blobs);
		drive->blobs = NULL;
	}
	return status;
}

int hf_drive_ready(struct hf_drive *drive)
{
	struct hf_bee_header header;

	if (drive->blobs != NULL)
		return HF_OK;
	int status = find_blobs(drive);

	/* So that the bee wants its header. */
	return status == HF_EWAIT ? hf_bee_get_header(drive->bee, &header) == HF_EWAIT ? HF_EWAIT : find_blobs(drive) : status;
}

/* ---- Opening ---- */

static int open_db(struct hf_drive *drive, const struct hf_drive_options *options, struct hf_failure *failure)
{
	struct hf_core_options core = {.size = sizeof core, .key = options->key, .secret_key = options->secret_key,
		.manifest_version = options->manifest_version, .compat = options->compat, .must_exist = options->must_exist,
		.encryption_key = options->encryption_key, .name_space = options->name_space};

	if (options->key == NULL && options->secret_key == NULL)
		core.name = options->name.length > 0 ? options->name : HF_SLICE_LITERAL("db");
	return hf_corestore_get(options->cores, &core, &drive->db, failure);
}

static int open_bee(struct hf_drive *drive, size_t cache_bytes_max)
{
	struct hf_bee_header header = {.has_metadata = true};
	struct hf_bee_options options = {.size = sizeof options, .core = drive->db, .header = &header, .cache_bytes_max = cache_bytes_max};

	if (drive->blobs != NULL && hf_core_is_compat(drive->db)) {
		header.has_content_feed = true;
		header.content_feed = hf_slice(hf_core_key(drive->blobs), HF_CORE_KEY_BYTES);
	}
	return hf_bee_open(&drive->bee, &options);
}

int hf_drive_open(struct hf_drive **out, const struct hf_drive_options *given, struct hf_failure *failure)
{
	struct hf_drive_options own, *options = &own;
	struct hf_drive *drive;
	int status = hf_options_take(options, sizeof *options, given);

	if (status != HF_OK)
		return hf_fail(failure, status, "the options cannot be taken: %s", hf_error_text(status));
	drive = calloc(1, sizeof *drive);
	if (drive == NULL)
		return hf_fail(failure, HF_ENOMEM, "out of memory");
	drive->cores = options->cores;
	drive->is_encrypted = options->encryption_key != NULL;
	drive->has_name_space = options->name_space != NULL;
	if (drive->is_encrypted)
		memcpy(drive->encryption_key, options->encryption_key, sizeof drive->encryption_key);
	if (drive->has_name_space)
		memcpy(drive->name_space, options->name_space, sizeof drive->name_space);
	status = open_db(drive, options, failure);
	if (status == HF_OK) {
		status = find_blobs(drive);
		if (status == HF_EWAIT || status == HF_ENOTFOUND)
			status = HF_OK;
		if (status == HF_OK)
			status = open_bee(drive, options->cache_bytes_max);
		if (status != HF_OK)
			hf_fail(failure, status, status == HF_EMALFORMED ? "the core is not that of a drive" : "the drive cannot be opened: %s",
				hf_error_text(status));
	}
	if (status != HF_OK)
		hf_drive_close(drive);
	else
		*out = drive;
	return status;
}

void hf_drive_close(struct hf_drive *drive)
{
	if (drive == NULL)
		return;
	hf_bee_close(drive->bee);
	hf_core_unref(drive->blobs);
	hf_core_unref(drive->db);
	hf_buffer_free(&drive->key);
	hf_buffer_free(&drive->value);
	hf_buffer_free(&drive->scratch);
	hf_buffer_free(&drive->target);
	hf_wipe(drive->encryption_key, sizeof drive->encryption_key);
	free(drive);
}

struct hf_bee *hf_drive_bee(struct hf_drive *drive)
{
	return drive->bee;
}

struct hf_core *hf_drive_core(const struct hf_drive *drive)
{
	return drive->db;
}

struct hf_core *hf_drive_blobs(const struct hf_drive *drive)
{
	return drive->blobs;
}

/* ---- Entries ---- */

int hf_drive_key(struct hf_drive *drive, struct hf_slice name)
{
	hf_buffer_clear(&drive->key);
	int status = hf_buffer_append(&drive->key, HF_DRIVE_PREFIX, HF_DRIVE_PREFIX_BYTES);

	return status == HF_OK ? hf_drive_name(name, &drive->key) : status;
}

int hf_drive_range(struct hf_slice folder, struct hf_buffer *bytes, struct hf_bee_range *range)
{
	hf_buffer_clear(bytes);
	*range = (struct hf_bee_range){.has_gt = true, .has_lt = true};
	int status = hf_buffer_append(bytes, HF_DRIVE_PREFIX, HF_DRIVE_PREFIX_BYTES);

	if (status == HF_OK)
		status = hf_drive_folder(folder, bytes);
	size_t length = bytes->length + 1;

	/* '0' comes after '/'. */
	if (status == HF_OK)
		status = hf_buffer_append(bytes, "/", 1);
	if (status == HF_OK)
		status = hf_buffer_reserve(bytes, length);
	if (status != HF_OK)
		return status;
	hf_buffer_append(bytes, bytes->data, length - 1);
	hf_buffer_append(bytes, "0", 1);
	range->gt = hf_slice(bytes->data, length);
	range->lt = hf_slice(bytes->data + length, length);
	return HF_OK;
}

static void name_of(const struct hf_bee_entry *found, struct hf_drive_entry *entry)
{
	size_t skip = found->key.length < HF_DRIVE_PREFIX_BYTES ? found->key.length : HF_DRIVE_PREFIX_BYTES;

	*entry = (struct hf_drive_entry){.seq = found->seq, .name = hf_slice(found->key.data + skip, found->key.length - skip)};
}

int hf_drive_entry_of(const struct hf_bee_entry *found, struct hf_buffer *scratch, struct hf_drive_entry *entry)
{
	name_of(found, entry);
	return found->has_value ? hf_drive_entry_decode(found->value, scratch, entry) : HF_EMALFORMED;
}

int hf_drive_entry_in_list(const struct hf_bee_entry *found, struct hf_buffer *scratch, struct hf_drive_entry *entry)
{
	int status = hf_drive_entry_of(found, scratch, entry);

	if (status != HF_EMALFORMED)
		return status;
	name_of(found, entry);
	entry->is_unreadable = true;
	return HF_OK;
}

int hf_drive_entry(struct hf_drive *drive, struct hf_bee_view *view, struct hf_slice name, struct hf_drive_entry *entry)
{
	struct hf_bee_entry found;
	int status = hf_drive_key(drive, name);

	if (status == HF_OK)
		status = view != NULL ? hf_bee_get(view, hf_buffer_slice(&drive->key), &found)
			: hf_bee_get_pending(drive->bee, hf_buffer_slice(&drive->key), &found);
	return status == HF_OK ? hf_drive_entry_of(&found, &drive->scratch, entry) : status;
}

int hf_drive_follow(struct hf_drive *drive, struct hf_bee_view *view, struct hf_slice name, struct hf_drive_entry *entry)
{
	int status = hf_drive_entry(drive, view, name, entry);

	for (unsigned links = 1; status == HF_OK && entry->has_link; links++) {
		if (links == HF_DRIVE_LINK_COUNT_MAX)
			return HF_ECANCELED;
		hf_buffer_clear(&drive->target);
		status = hf_drive_resolve(entry->name, entry->link, &drive->target);
		if (status == HF_OK)
			status = hf_drive_entry(drive, view, hf_buffer_slice(&drive->target), entry);
	}
	return status;
}

int hf_drive_read(struct hf_drive *drive, const struct hf_drive_entry *entry, const struct hf_blob_range *range,
	struct hf_blob_reader **out)
{
	if (!entry->has_blob)
		return HF_ENOTFOUND;
	int status = hf_drive_ready(drive);

	return status == HF_OK ? hf_blob_read(drive->blobs, &entry->blob, range, out) : status;
}
