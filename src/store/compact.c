/* Everything that the background does in time, done now and to the end. */
#include "store/collect.h"
#include "store/writer.h"

/* On the writer thread: memory is frozen and the last log segment ended, so that both can be worked on. */
static int freeze_all(struct hf_store *store, void *context)
{
	(void)context;
	for (uint32_t i = 0; i < HF_STORE_COLLECTION_COUNT_MAX; i++)
		if (store->collections[i] != NULL && store->collections[i]->memtable_docs > 0)
			hf_collection_freeze(store->collections[i]);
	return hf_log_roll(store->log);
}

static int merge_collection(struct hf_collection *collection)
{
	int status = HF_OK;

	while (status >= 0 && hf_index_frozen_count(collection->index) > 0) {
		status = hf_index_work(collection->index, HF_INDEX_SEAL);
		if (status == 0) /* the background thread is at it */
			hf_background_wait_sealed(collection->store);
	}
	return status < 0 ? status : hf_index_merge_all(collection->index);
}

static int merge_blocks(struct hf_store *store)
{
	int status;

	pthread_mutex_lock(&store->checkpoint_lock);
	status = hf_store_checkpoint_locked(store, true);
	if (status == HF_OK)
		status = hf_blocks_merge_all(store->blocks);
	if (status == HF_OK)
		status = hf_store_checkpoint_locked(store, true);
	pthread_mutex_unlock(&store->checkpoint_lock);
	return status;
}

int hf_store_compact(struct hf_store *store, struct hf_failure *failure)
{
	int status;

	if (store->read_only)
		return hf_fail(failure, HF_EDENIED, "the store is open for reading only");
	status = hf_writer_run(store, freeze_all, NULL);
	for (uint32_t i = 0; i < HF_STORE_COLLECTION_COUNT_MAX && status == HF_OK; i++) {
		struct hf_collection *collection = hf_collection_ref(store, i);

		if (collection == NULL)
			continue;
		status = merge_collection(collection);
		hf_collection_unref(collection);
	}
	if (status == HF_OK)
		status = merge_blocks(store);
	if (status == HF_OK)
		while ((status = hf_collect_one(store, 100, true)) == 1)
			;
	return status == HF_OK ? HF_OK : hf_fail(failure, status, "the store could not be compacted (%s)", hf_error_text(status));
}
