/* A collection is its index and what the user's schema says of its payloads. It is reference-counted: a dropped or rebuilt one
 * lives on while snapshots hold it. */
#include "store/writer.h"

#include <stdlib.h>

static uint32_t next_number(void *context)
{
	struct hf_collection *collection = context;

	return atomic_fetch_add(&collection->store->next_file_number, 1);
}

static void work_ready(void *context)
{
	struct hf_collection *collection = context;

	hf_background_wake(collection->store);
}

static void changed(void *context)
{
	struct hf_collection *collection = context;

	atomic_store(&collection->store->manifest_wanted, true);
}

static int read_id(void *context, uint64_t position, uint8_t id[static HF_STORE_ID_BYTES])
{
	struct hf_collection *collection = context;
	struct hf_log_set *set = hf_log_pin(collection->store->log);
	struct hf_buffer scratch = {0};
	struct hf_log_record record;
	int status = hf_log_read(set, position, HF_READ_BLOCKING, 0, &scratch, &record);

	if (status == HF_OK)
		status = record.type != HF_RECORD_DOC ? HF_ECORRUPT :
			hf_store_identify(collection->store, collection->number, record.payload, id);
	hf_buffer_free(&scratch);
	hf_log_unpin(set);
	return status;
}

int hf_collection_new(struct hf_collection **out, struct hf_store *store, uint32_t number,
	const struct hf_index_segment_info *segments, size_t segment_count, struct hf_failure *failure)
{
	struct hf_collection *collection = calloc(1, sizeof *collection);
	int status;

	if (collection == NULL)
		return hf_fail(failure, HF_ENOMEM, "out of memory");
	collection->references = 1;
	collection->number = number;
	collection->store = store;
	struct hf_index_options options = {
		.env = store->env, .directory = store->index_directory, .collection = number,
		.memtable_docs_max = store->memtable_docs_max, .seed = store->seed, .next_number = next_number,
		.work_ready = work_ready, .changed = changed, .context = collection, .read_id = read_id,
	};

	status = hf_index_open(&collection->index, &options, segments, segment_count, failure);
	if (status != HF_OK) {
		free(collection);
		return status;
	}
	*out = collection;
	return HF_OK;
}

struct hf_collection *hf_collection_ref(struct hf_store *store, uint32_t number)
{
	pthread_mutex_lock(&store->lock);
	struct hf_collection *collection = store->collections[number];

	if (collection != NULL)
		atomic_fetch_add(&collection->references, 1);
	pthread_mutex_unlock(&store->lock);
	return collection;
}

void hf_collection_unref(struct hf_collection *collection)
{
	if (collection == NULL || atomic_fetch_sub(&collection->references, 1) != 1)
		return;
	hf_index_close(collection->index);
	free(collection);
}

void hf_collection_publish(struct hf_store *store, uint32_t number, struct hf_collection *collection)
{
	pthread_mutex_lock(&store->lock);
	struct hf_collection *old = store->collections[number];

	store->collections[number] = collection;
	pthread_mutex_unlock(&store->lock);
	hf_collection_unref(old);
}

/* ---- What the user knows ---- */

uint64_t hf_store_term(const struct hf_store *store, uint32_t kind, struct hf_slice value)
{
	return hf_hash64(value.data, value.length, store->seed ^ (0x9e3779b97f4a7c15u * (kind + 1ull)));
}

int hf_store_describe(struct hf_store *store, uint32_t collection, struct hf_slice payload, struct hf_doc_key *key, uint64_t *terms)
{
	int status = store->schema.describe(store->schema.context, store, collection, payload, key, terms);

	return status < 0 ? status : key->term_count > HF_STORE_TERM_COUNT_MAX ? HF_ETOOBIG : HF_OK;
}

int hf_store_identify(struct hf_store *store, uint32_t collection, struct hf_slice payload, uint8_t id[static HF_STORE_ID_BYTES])
{
	struct hf_doc_key key;
	uint64_t *terms;
	int status;

	if (store->schema.identify != NULL)
		return store->schema.identify(store->schema.context, store, collection, payload, id);
	terms = malloc(HF_STORE_TERM_COUNT_MAX * sizeof *terms);
	if (terms == NULL)
		return HF_ENOMEM;
	status = hf_store_describe(store, collection, payload, &key, terms);
	if (status == HF_OK)
		memcpy(id, key.id, HF_STORE_ID_BYTES);
	free(terms);
	return status;
}

/* ---- From the log ---- */

int hf_collection_insert(struct hf_collection *collection, const struct hf_log_record *record, uint64_t *terms)
{
	struct hf_store *store = collection->store;
	struct hf_doc_key key;
	int status = hf_store_describe(store, record->stream, record->payload, &key, terms);

	if (status != HF_OK) {
		atomic_fetch_add(&store->corrupt_count, 1);
		hf_log_error(&hf_store_module, "a document cannot be read; it is not indexed", "collection=%u position=%llu error=%s",
			record->stream, (unsigned long long)record->position, hf_error_name(status));
		return HF_OK;
	}
	status = hf_index_insert(collection->index, &key, record->position);
	if (status == HF_EBUSY) {
		status = hf_index_freeze(collection->index);
		if (status == HF_OK && !store->read_only)
			while (hf_index_frozen_count(collection->index) > 1 && hf_index_work(collection->index, HF_INDEX_SEAL) == 1)
				;
		collection->memtable_docs = 0;
		if (status == HF_OK)
			status = hf_index_insert(collection->index, &key, record->position);
	}
	collection->memtable_docs++;
	return status;
}

/* Puts the new index of a collection in the old one's place. First it is published, so that no checkpoint from then on names the
 * old files; only then may they go. */
int hf_collection_replace(struct hf_store *store, uint32_t number, struct hf_collection *collection)
{
	struct hf_collection *old = hf_collection_ref(store, number);
	int status = HF_OK;

	hf_collection_publish(store, number, collection);
	if (old != NULL)
		status = hf_store_forget_files(store, old);
	hf_collection_unref(old);
	atomic_store(&store->manifest_wanted, true);
	return status;
}
