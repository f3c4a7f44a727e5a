/* Which core is meant, and making it when it is not there. */
#include "data/hypercore/core_private.h"

#include <stdlib.h>

#include "base/options.h"

/* What the options come to. Secrets are wiped by who made it. */
struct wanted {
	uint8_t key[HF_CORE_KEY_BYTES], discovery_key[32];
	uint8_t secret_key[HF_SIGN_SECRET_BYTES];
	uint8_t default_manifest[HF_MANIFEST_DEFAULT_BYTES];
	struct hf_manifest manifest;
	bool has_key, has_secret_key, has_manifest, is_compat, is_derived;
	const uint8_t *name_space;
};

static const uint8_t root_name_space[HF_NAMESPACE_BYTES];

/* ---- Which ---- */

static void set_key(struct wanted *wanted, const uint8_t key[static HF_CORE_KEY_BYTES])
{
	memcpy(wanted->key, key, sizeof wanted->key);
	hf_discovery_key(wanted->discovery_key, key);
	wanted->has_key = true;
}

/* The core that belongs to a key pair. */
static int set_pair(struct wanted *wanted, const struct hf_core_options *options)
{
	const uint8_t *public_key = hf_sign_public_key(wanted->secret_key);
	uint8_t key[HF_CORE_KEY_BYTES];
	int status = HF_OK;

	wanted->has_secret_key = true;
	hf_manifest_default(&wanted->manifest, wanted->default_manifest, public_key);
	wanted->has_manifest = true;
	if (options->compat) {
		wanted->is_compat = true;
		set_key(wanted, public_key);
		return HF_OK;
	}
	if (options->manifest_version > 2)
		return HF_EINVAL;
	if (options->manifest_version == 2)
		wanted->manifest.version = 2;
	status = hf_manifest_key(&wanted->manifest, key);
	if (status == HF_OK)
		set_key(wanted, key);
	return status;
}

static void derive(const struct hf_corestore *store, const uint8_t *name_space, struct hf_slice name,
	uint8_t secret_key[static HF_SIGN_SECRET_BYTES])
{
	uint8_t seed[HF_SIGN_SEED_BYTES], public_key[HF_SIGN_PUBLIC_BYTES];

	hf_corestore_seed(seed, store->primary_key.data, name_space, name);
	hf_sign_keypair_from_seed(public_key, secret_key, seed);
	hf_wipe(seed, sizeof seed);
}

/* A name that has been used leads to the core that it made then, whatever would be made of it today. */
static int set_name(struct hf_corestore *store, struct wanted *wanted, const struct hf_core_options *options)
{
	struct hf_buffer bytes = {0};
	struct hf_slice document;
	struct hf_layout_name name;
	uint8_t id[32];
	int status;

	if (options->name.length > HF_CORESTORE_NAME_BYTES_MAX)
		return HF_EINVAL;
	wanted->name_space = options->name_space != NULL ? options->name_space : root_name_space;
	wanted->is_derived = true;
	hf_layout_name_id(id, wanted->name_space, options->name);
	status = hf_corestore_document(store, HF_CORESTORE_NAMES_COLLECTION, id, &bytes, &document);
	if (status == HF_OK)
		status = hf_layout_name_decode(&name, document);
	if (status == HF_OK)
		memcpy(wanted->discovery_key, name.discovery_key, sizeof wanted->discovery_key);
	hf_buffer_free(&bytes);
	if (status != HF_ENOTFOUND)
		return status;
	derive(store, wanted->name_space, options->name, wanted->secret_key);
	return set_pair(wanted, options);
}

static int resolve(struct hf_corestore *store, struct wanted *wanted, const struct hf_core_options *options)
{
	uint8_t key[HF_CORE_KEY_BYTES];
	int status;

	if (options->secret_key != NULL) {
		memcpy(wanted->secret_key, options->secret_key, sizeof wanted->secret_key);
		wanted->has_secret_key = true;
	}
	if (options->discovery_key != NULL) {
		memcpy(wanted->discovery_key, options->discovery_key, sizeof wanted->discovery_key);
		return HF_OK;
	}
	if (options->manifest != NULL) {
		status = hf_manifest_key(options->manifest, key);
		if (status != HF_OK)
			return status;
		wanted->manifest = *options->manifest;
		wanted->has_manifest = true;
		if (options->key != NULL && memcmp(key, options->key, sizeof key) != 0)
			return HF_EINVAL;
		set_key(wanted, key);
		return HF_OK;
	}
	if (options->key != NULL) {
		set_key(wanted, options->key);
		return HF_OK;
	}
	if (options->secret_key != NULL)
		return set_pair(wanted, options);
	return set_name(store, wanted, options);
}

/* ---- Opening ---- */

static int take_secret_key(struct hf_core *core, const uint8_t secret_key[static HF_SIGN_SECRET_BYTES])
{
	if (core->secret_key != NULL)
		return HF_OK;
	core->secret_key = hf_corestore_key_slot(core->store);
	if (core->secret_key == NULL)
		return HF_ENOMEM;
	memcpy(core->secret_key, secret_key, HF_SIGN_SECRET_BYTES);
	return HF_OK;
}

static int load_secret_key(struct hf_core *core, const struct hf_layout_core *entry)
{
	uint8_t secret_key[HF_SIGN_SECRET_BYTES];
	struct hf_buffer bytes = {0};
	int status;

	if (entry->name_space != NULL) {
		derive(core->store, entry->name_space, entry->name, secret_key);
		status = take_secret_key(core, secret_key);
		hf_wipe(secret_key, sizeof secret_key);
		return status;
	}
	status = hf_store_log_get(core->store->store, hf_layout_log(core->number, HF_LAYOUT_FACTS), HF_LAYOUT_SECRET_KEY,
		core->store->read_mode, &bytes);
	if (status == HF_OK && bytes.length == HF_SIGN_SECRET_BYTES)
		status = take_secret_key(core, bytes.data);
	if (bytes.length > 0)
		hf_wipe(bytes.data, bytes.length);
	hf_buffer_free(&bytes);
	return status == HF_ENOTFOUND ? HF_OK : hf_core_cold(core, status, HF_LAYOUT_FACTS, HF_LAYOUT_SECRET_KEY);
}

static int load(struct hf_core *core, const struct hf_layout_core *entry)
{
	int status;

	core->number = entry->number;
	memcpy(core->key, entry->key, sizeof core->key);
	hf_discovery_key(core->discovery_key, core->key);
	status = hf_core_load(core, core->store->read_mode);
	if (status == HF_ENOTFOUND)
		status = HF_ECORRUPT;
	if (status == HF_OK)
		status = load_secret_key(core, entry);
	if (status == HF_OK && core->has_shelf && !core->is_frozen)
		status = hf_core_drop_shelf(core);
	return status;
}

/* ---- Making ---- */

static int add_document(struct hf_batch *batch, unsigned collection, const uint8_t id[static 32], struct hf_buffer *document)
{
	struct hf_batch_op op = {.kind = HF_BATCH_DOCUMENT, .log = collection};
	struct iovec parts[2] = {{(void *)(uintptr_t)id, 32}, {document->data, document->length}};
	int status = hf_batch_add(batch, &op, parts, 2);

	hf_buffer_clear(document);
	return status;
}

static int add_documents(struct hf_core *core, struct hf_batch *batch, const struct wanted *wanted, struct hf_slice name)
{
	struct hf_layout_core entry = {.number = core->number, .key = core->key,
		.name_space = wanted->is_derived ? wanted->name_space : NULL, .name = name};
	struct hf_layout_name alias = {.discovery_key = core->discovery_key, .name_space = wanted->name_space, .name = name};
	struct hf_buffer document = {0};
	uint8_t id[32];
	int status = hf_layout_core_encode(&entry, &document);

	if (status == HF_OK)
		status = add_document(batch, HF_CORESTORE_COLLECTION, core->discovery_key, &document);
	if (status == HF_OK && wanted->is_derived) {
		hf_layout_name_id(id, wanted->name_space, name);
		status = hf_layout_name_encode(&alias, &document);
	}
	if (status == HF_OK && wanted->is_derived)
		status = add_document(batch, HF_CORESTORE_NAMES_COLLECTION, id, &document);
	hf_buffer_free(&document);
	return status;
}

static int make(struct hf_core *core, struct wanted *wanted, const struct hf_core_options *options)
{
	struct hf_batch_op secret = {.kind = HF_BATCH_PUT, .log = HF_LAYOUT_FACTS, .index = HF_LAYOUT_SECRET_KEY};
	struct iovec part = {wanted->secret_key, sizeof wanted->secret_key};
	struct hf_buffer manifest = {0};
	struct hf_batch *batch;
	int status = hf_core_stage(core, &batch);

	core->number = core->store->next_number;
	memcpy(core->key, wanted->key, sizeof core->key);
	memcpy(core->discovery_key, wanted->discovery_key, sizeof core->discovery_key);
	if (status == HF_OK && wanted->has_manifest && !wanted->is_compat)
		status = hf_manifest_encode(&wanted->manifest, &manifest);
	if (status == HF_OK && wanted->has_manifest)
		status = hf_core_use_manifest(core, wanted->is_compat ? hf_slice(NULL, 0) : hf_buffer_slice(&manifest));
	if (status == HF_OK)
		status = add_documents(core, batch, wanted, options->name);
	if (status == HF_OK && wanted->has_secret_key && !wanted->is_derived)
		status = hf_batch_add(batch, &secret, &part, 1);
	if (status == HF_OK && wanted->has_secret_key)
		status = take_secret_key(core, wanted->secret_key);
	hf_buffer_free(&manifest);
	if (status != HF_OK)
		return status;
	batch->is_new = batch->head_changed = true;
	batch->manifest_changed = wanted->has_manifest;
	core->store->next_number++;
	return HF_OK;
}

static int open_core(struct hf_corestore *store, struct wanted *wanted, const struct hf_core_options *options, struct hf_core **out)
{
	struct hf_buffer bytes = {0};
	struct hf_layout_core entry;
	struct hf_slice document;
	struct hf_core *core;
	int status;

	if (store->open.count >= HF_CORESTORE_OPEN_COUNT_MAX)
		return HF_EBUSY;
	status = hf_core_new(store, &core);
	if (status != HF_OK)
		return status;
	status = hf_corestore_document(store, HF_CORESTORE_COLLECTION, wanted->discovery_key, &bytes, &document);
	if (status == HF_OK)
		status = hf_layout_core_decode(&entry, document);
	if (status == HF_OK)
		status = load(core, &entry);
	else if (status == HF_ENOTFOUND && wanted->has_key && !options->must_exist)
		status = make(core, wanted, options);
	hf_buffer_free(&bytes);
	if (status == HF_OK)
		status = hf_map_put(&store->open, hf_slice(core->discovery_key, sizeof core->discovery_key), core, NULL);
	if (status != HF_OK) {
		hf_core_free(core);
		return status;
	}
	*out = core;
	return HF_OK;
}

/* What the caller brings to a core that may be open for others already. */
static int bring(struct hf_core *core, const struct wanted *wanted, const struct hf_core_options *options)
{
	int status = HF_OK;

	if (wanted->has_manifest && !core->has_manifest && !wanted->is_compat) {
		struct hf_buffer manifest = {0};

		status = hf_manifest_encode(&wanted->manifest, &manifest);
		if (status == HF_OK)
			status = hf_core_put_manifest(core, hf_buffer_slice(&manifest));
		hf_buffer_free(&manifest);
	}
	if (status == HF_OK && wanted->is_compat && !core->has_manifest)
		status = hf_core_put_manifest(core, hf_slice(NULL, 0));
	if (status == HF_OK && wanted->has_secret_key)
		status = take_secret_key(core, wanted->secret_key);
	if (status == HF_OK && options->encryption_key != NULL)
		status = hf_core_set_encryption_key(core, options->encryption_key, options->encryption_key_is_block_key);
	return status;
}

int hf_corestore_get(struct hf_corestore *store, const struct hf_core_options *given, struct hf_core **out, struct hf_failure *failure)
{
	struct hf_core_options own, *options = &own;
	struct wanted wanted = {.has_key = false};
	struct hf_core *core = NULL;
	int status = hf_options_take(options, sizeof *options, given);

	if (status == HF_OK)
		status = resolve(store, &wanted, options);
	if (status == HF_OK) {
		core = hf_corestore_find_open(store, wanted.discovery_key);
		if (core != NULL)
			hf_core_ref(core);
		else
			status = open_core(store, &wanted, options, &core);
	}
	if (status == HF_OK)
		status = bring(core, &wanted, options);
	hf_wipe(wanted.secret_key, sizeof wanted.secret_key);
	if (status == HF_OK) {
		*out = core;
		return HF_OK;
	}
	hf_core_unref(core);
	switch (status) {
	case HF_ENOTFOUND: return hf_fail(failure, status, "the store has no such core");
	case HF_EEXISTS: return hf_fail(failure, status, "the core is open with another encryption key");
	case HF_EBUSY: return hf_fail(failure, status, "%u cores are open; close some", HF_CORESTORE_OPEN_COUNT_MAX);
	default: return hf_fail(failure, status, "the core cannot be opened: %s", hf_error_text(status));
	}
}

struct hf_core *hf_corestore_find_open(struct hf_corestore *store, const uint8_t discovery_key[static 32])
{
	return hf_map_get(&store->open, hf_slice(discovery_key, 32));
}

struct hf_core *hf_corestore_next_open(struct hf_corestore *store, size_t *cursor)
{
	return hf_map_next(&store->open, cursor);
}
