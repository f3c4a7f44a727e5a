/* actions_drive: which drive is meant, making one, and telling what it is. */
#include <stdio.h>
#include <stdlib.h>

#include "codec/core_key.h"
#include "crypto/secret.h"
#include "service/actions_private.h"

typedef unsigned long long ull;

/* ---- Failing ---- */

int hf_action_drive_fail(struct hf_action_run *run, struct hf_drive *drive, struct hf_slice path, int status)
{
	struct hf_failure *failure = &run->call->failure;
	int shown = path.length < 120 ? (int)path.length : 120;
	const char *text = path.length ? (const char *)path.data : "";
	switch (status) {
	case HF_ENOTFOUND: return hf_fail(failure, status, "There is no file \"%.*s\" in the drive.", shown, text);
	case HF_EWAIT:
		return hf_fail(failure, status,
			"Blocks of the drive that are needed%s%.*s are not held here; `holdfast drive fetch` brings them from a peer.",
			shown ? " for " : "", shown, text);
	case HF_EINVAL: return hf_drive_name_fail(failure, status, path);
	case HF_EDENIED: return hf_fail(failure, status, "The drive cannot be changed: its secret key is not in this data directory.");
	case HF_EMALFORMED:
		if (shown)
			return hf_fail(failure, status, "The entry of \"%.*s\", or its blob, is not as a drive's are.", shown, text);
		return hf_fail(failure, status, "The drive is malformed: one of its blocks, or what refers to it, is not as a drive's are.");
	case HF_ETOOBIG:
		return hf_fail(failure, status, "A name in a drive has %d bytes at most, a symbolic link's target too, and metadata %u KiB.",
			HF_DRIVE_NAME_BYTES_MAX, HF_DRIVE_METADATA_BYTES_MAX >> 10);
	case HF_ENOSPC: return hf_fail(failure, status, "The files were not stored: the disk, or the quota of store.quota, is full.");
	default: return hf_fail(failure, status, "The drive cannot be read or changed: %s.", hf_error_text(status));
	}
}

/* ---- Arguments ---- */

struct hf_slice hf_action_slice(const json_t *object, const char *name)
{
	const json_t *value = json_object_get(object, name);
	return json_is_string(value) ? hf_slice(json_string_value(value), json_string_length(value)) : (struct hf_slice){0};
}

int hf_action_read_blob(struct hf_action_run *run, const json_t *value, struct hf_blob_id *id)
{
	char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	int r = text ? hf_blob_id_decode(hf_slice_text(text), id) : HF_ENOMEM;
	free(text);
	return r == HF_EMALFORMED ? hf_fail(&run->call->failure, HF_EINVAL, "\"blob\" is no id of a blob.") : r;
}

json_t *hf_action_blob(const struct hf_blob_id *id)
{
	json_t *blob = json_pack("{s:I, s:I, s:I, s:I}", "blockOffset", (json_int_t)id->block_offset, "byteOffset", (json_int_t)id->byte_offset,
		"blockLength", (json_int_t)id->block_count, "byteLength", (json_int_t)id->byte_length);
	if (blob && id->has_map)
		json_object_set_new(blob, "blockMap", json_true());
	return blob;
}

/* A drive of a name is the core "db" of that name's namespace. */
static int name_core(struct hf_action_run *run)
{
	uint8_t name_space[HF_NAMESPACE_BYTES] = {0};
	const char *name = hf_action_text(run, "name");
	bool given;
	int r = hf_action_read_32(run, "namespace", name_space, &given);
	if (r < 0 || (!name && !given))
		return r;
	if (name)
		hf_corestore_namespace(name_space, name_space, hf_slice_text(name));
	json_object_set_new(run->arguments, "namespace", hf_json_hex(name_space, sizeof name_space));
	json_object_set_new(run->arguments, "name", json_string("db"));
	return HF_OK;
}

/* ---- Opening ---- */

static int open_on(struct hf_action_run *run, struct hf_core *core, struct hf_drive **out)
{
	struct hf_drive_options options = {.size = sizeof options, .cores = run->cores, .key = hf_core_key(core), .must_exist = true};
	uint8_t encryption_key[32];
	bool is_encrypted;
	int r = hf_action_read_32(run, "encryption_key", encryption_key, &is_encrypted);
	if (r < 0)
		return r;
	if (is_encrypted)
		options.encryption_key = encryption_key;
	else if (hf_action_core_is_sealed(core))
		return hf_fail(&run->call->failure, HF_EDENIED, "The drive is encrypted; give its --encryption-key.");
	r = hf_drive_open(out, &options, &run->call->failure);
	hf_wipe(encryption_key, sizeof encryption_key);
	if (r == HF_EMALFORMED)
		return hf_fail(&run->call->failure, r, "The core is no drive, or it is encrypted: its first block is not the header of a drive's.");
	return r;
}

int hf_action_open_drive(struct hf_action_run *run, struct hf_drive **out)
{
	struct hf_failure *failure = &run->call->failure;
	const char *name = hf_action_text(run, "name"), *key = hf_action_text(run, "key");
	char *wanted = name ? strdup(name) : NULL;
	struct hf_core *core;
	int r = key ? HF_OK : name_core(run);
	if (r == HF_OK)
		r = hf_action_open_core(run, &core);
	if (r == HF_ENOTFOUND && key)
		hf_fail(failure, r, "There is no drive %.80s here; `holdfast drive fetch` brings one from a peer.", key);
	else if (r == HF_ENOTFOUND)
		hf_fail(failure, r, "There is no drive called \"%.80s\" here; `holdfast drive create --name` makes one.", wanted ? wanted : "");
	else if (r == HF_EINVAL && !key && !name && !hf_action_text(run, "namespace"))
		hf_fail(failure, r, "Name a drive by its key, or with --name.");
	free(wanted);
	if (r < 0)
		return r;
	r = open_on(run, core, out);
	hf_core_unref(core);
	return r;
}

void hf_action_close_drive(struct hf_action_run *run, struct hf_drive *drive)
{
	hf_bee_wait_cancel(&run->waiter);
	hf_drive_close(drive);
}

static void on_ready(void *context, int status)
{
	struct hf_action_run *run = context;
	(void)status;
	run->is_ready = true;
}

bool hf_action_blob_again(struct hf_action_run *run, struct hf_blob_reader *reader, int *status)
{
	struct hf_action_call *call = run->call;
	if (*status != HF_EWAIT || !call->turn)
		return false;
	run->is_ready = false;
	*status = hf_blob_reader_wait(reader, on_ready, run);
	while (*status == HF_OK && !run->is_ready)
		*status = call->turn(call->context, &call->failure);
	return *status == HF_OK;
}

/* ---- Making, telling ---- */

int hf_action_drive_create(struct hf_action_run *run)
{
	int r = name_core(run);
	return r == HF_OK ? hf_action_make_core(run, NULL) : r;
}

static void add_blobs(struct hf_drive *drive, json_t *facts)
{
	struct hf_core *blobs = hf_drive_blobs(drive);
	char id[HF_CORE_ID_BYTES];
	if (!blobs)
		return;
	hf_core_key_encode(id, hf_core_key(blobs));
	json_object_set_new(facts, "blobs_key", json_string(id));
	json_object_set_new(facts, "blobs_discovery_key", hf_json_hex(hf_core_discovery_key(blobs), 32));
	json_object_set_new(facts, "blobs_length", json_integer((json_int_t)hf_core_length(blobs)));
	json_object_set_new(facts, "blobs_blocks_held", json_integer((json_int_t)hf_bitfield_count(hf_core_blocks(blobs))));
	json_object_set_new(facts, "blobs_byte_length", json_integer((json_int_t)hf_core_tree(blobs)->byte_length));
}

int hf_action_drive_info(struct hf_action_run *run)
{
	struct hf_drive *drive;
	int r = hf_action_open_drive(run, &drive);
	if (r < 0)
		return r;
	json_t *facts = hf_action_core_facts(run, hf_drive_core(drive));
	if (facts) {
		json_object_del(facts, "name");
		json_object_set_new(facts, "version", json_integer((json_int_t)hf_bee_version(hf_drive_bee(drive))));
		add_blobs(drive, facts);
	}
	hf_action_close_drive(run, drive);
	return hf_action_append(&run->call->out, facts);
}
