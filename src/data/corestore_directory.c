/* The directory of cores: its documents, what they are found by, and what can be done with a core that is not open. */
#include "data/hypercore/core_private.h"

int hf_corestore_document(struct hf_corestore *store, uint32_t collection, const uint8_t id[static 32], struct hf_buffer *bytes,
	struct hf_slice *document)
{
	struct hf_snapshot *snapshot = hf_store_snapshot(store->store);
	struct hf_cold cold = {.kind = HF_COLD_DOCUMENT, .log = collection};
	struct hf_doc doc;
	int status;

	if (snapshot == NULL)
		return HF_ENOMEM;
	status = hf_snapshot_get(snapshot, collection, id, store->read_mode, bytes, &doc);
	hf_snapshot_release(snapshot);
	if (status == HF_OK)
		*document = doc.payload;
	memcpy(cold.id, id, sizeof cold.id);
	return status == HF_EWAIT ? hf_corestore_cold(store, &cold) : status;
}

int hf_corestore_describe(void *context, struct hf_store *store, uint32_t collection, struct hf_slice payload, struct hf_doc_key *key,
	uint64_t *terms)
{
	struct hf_layout_core core;
	struct hf_layout_name name;
	int status;

	(void)context;
	(void)store;
	*key = (struct hf_doc_key){.terms = terms};
	if (collection == HF_CORESTORE_COLLECTION) {
		status = hf_layout_core_decode(&core, payload);
		if (status == HF_OK)
			hf_discovery_key(key->id, core.key);
		if (status == HF_OK)
			key->rank = core.number;
		return status;
	}
	status = hf_layout_name_decode(&name, payload);
	if (status == HF_OK)
		hf_layout_name_id(key->id, name.name_space, name.name);
	return status;
}

struct listing {
	struct hf_corestore *store;
	int (*each)(void *context, const struct hf_core_entry *entry);
	void *context;
};

/* The name is borrowed from the document. */
static int describe_core(struct hf_corestore *store, struct hf_slice document, struct hf_core_entry *entry)
{
	struct hf_buffer bytes = {0};
	struct hf_layout_core core;
	struct hf_layout_head head;
	int status = hf_layout_core_decode(&core, document);

	if (status == HF_OK)
		status = hf_store_log_get(store->store, hf_layout_log(core.number, HF_LAYOUT_FACTS), HF_LAYOUT_HEAD, HF_READ_BLOCKING, &bytes);
	if (status == HF_OK)
		status = hf_layout_head_decode(&head, hf_buffer_slice(&bytes));
	hf_buffer_free(&bytes);
	if (status != HF_OK)
		return status;
	*entry = (struct hf_core_entry){.length = head.length, .byte_length = head.byte_length, .fork = head.fork,
		.contiguous_length = head.contiguous};
	memcpy(entry->key, core.key, sizeof entry->key);
	hf_discovery_key(entry->discovery_key, core.key);
	if (core.name_space != NULL) {
		memcpy(entry->name_space, core.name_space, sizeof entry->name_space);
		entry->name = core.name;
	}
	return HF_OK;
}

static int list_one(void *context, const struct hf_doc *doc)
{
	struct listing *listing = context;
	struct hf_core_entry entry;
	int status = describe_core(listing->store, doc->payload, &entry);

	return status == HF_OK ? listing->each(listing->context, &entry) : status;
}

int hf_corestore_entry(struct hf_corestore *store, const uint8_t discovery_key[static 32], struct hf_buffer *bytes,
	struct hf_core_entry *entry)
{
	struct hf_slice document;
	int status = hf_corestore_document(store, HF_CORESTORE_COLLECTION, discovery_key, bytes, &document);

	return status == HF_OK ? describe_core(store, document, entry) : status;
}

int hf_corestore_list(struct hf_corestore *store, int (*each)(void *context, const struct hf_core_entry *entry), void *context)
{
	struct listing listing = {store, each, context};
	struct hf_snapshot *snapshot = hf_store_snapshot(store->store);
	int status;

	if (snapshot == NULL)
		return HF_ENOMEM;
	status = hf_snapshot_scan(snapshot, HF_CORESTORE_COLLECTION, 0, list_one, &listing);
	hf_snapshot_release(snapshot);
	return status;
}

struct drop {
	const uint8_t *discovery_key;
	uint64_t number;
	bool has_name;
	uint8_t name_id[32];
};

static int stage_drop(void *context, struct hf_tx *tx)
{
	const struct drop *drop = context;
	int status = hf_tx_delete(tx, HF_CORESTORE_COLLECTION, drop->discovery_key);

	if (status == HF_OK && drop->has_name)
		status = hf_tx_delete(tx, HF_CORESTORE_NAMES_COLLECTION, drop->name_id);
	/* Not every core has every log. */
	for (unsigned log = 0; log < HF_LAYOUT_LOGS && status == HF_OK; log++) {
		status = hf_tx_log_drop(tx, hf_layout_log(drop->number, log));
		status = status == HF_ENOTFOUND ? HF_OK : status;
	}
	return status;
}

int hf_corestore_drop(struct hf_corestore *store, const uint8_t discovery_key[static 32])
{
	struct drop drop = {.discovery_key = discovery_key};
	struct hf_buffer bytes = {0};
	struct hf_layout_core core;
	struct hf_slice document;
	int status;

	if (hf_corestore_find_open(store, discovery_key) != NULL)
		return HF_EBUSY;
	status = hf_corestore_document(store, HF_CORESTORE_COLLECTION, discovery_key, &bytes, &document);
	if (status == HF_OK)
		status = hf_layout_core_decode(&core, document);
	if (status == HF_OK) {
		drop.number = core.number;
		drop.has_name = core.name_space != NULL;
		if (drop.has_name)
			hf_layout_name_id(drop.name_id, core.name_space, core.name);
		status = hf_store_commit_wait(store->store, HF_DURABLE_OS, stage_drop, &drop);
	}
	hf_buffer_free(&bytes);
	return status;
}
