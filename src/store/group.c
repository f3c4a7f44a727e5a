/* Commits are staged one after another into one buffer, which is written as a group and then takes effect. A group ends early
 * when a memtable is full, when a commit asks that nothing follows it, or when one is refused that was staged. */
#include "store/writer_private.h"

#include <stdlib.h>
#include <time.h>

#define FROZEN_WAITS_MAX 100
#define APPLY_TRIES_MAX 200
#define APPLY_WAIT_NS 10000000 /* between two */
/* As much unsynced is synced beside the writer, which else would wait long for it where a segment ends. */
#define SYNC_AHEAD_BYTES (32u << 20)
#define WRITE_BACK_BYTES (4u << 20)
#define ROOM_TERMS 64 /* a memtable without room for that many is frozen between groups */

/* ---- Staging ---- */

/* Every collection that a document of this commit needs, published so that the commit's snapshot and readers find it. */
static int ensure_collection(struct hf_store *store, uint32_t number)
{
	struct hf_collection *collection = store->collections[number];
	int status;

	if (collection != NULL)
		return HF_OK;
	status = hf_collection_new(&collection, store, number, NULL, 0, NULL);
	if (status == HF_OK)
		hf_collection_publish(store, number, collection);
	return status;
}

static void abort_docs(struct hf_store *store, uint64_t position)
{
	for (uint32_t i = 0; i < HF_STORE_COLLECTION_COUNT_MAX; i++)
		if (store->collections[i] != NULL)
			hf_index_abort(store->collections[i]->index, position);
}

/* Inserts the commit's documents. HF_EBUSY: a memtable is full (*full). Nothing stays inserted on failure. */
static int insert_docs(struct hf_writer *writer, struct hf_collection **full)
{
	struct hf_store *store = writer->store;
	struct hf_tx *tx = &writer->tx;
	int status = HF_OK;

	for (size_t i = 0; i < tx->doc_count && status == HF_OK; i++) {
		const struct hf_tx_doc *doc = &tx->docs[i];
		struct hf_doc_key key = hf_tx_doc_key(tx, doc);

		status = ensure_collection(store, doc->collection);
		if (status != HF_OK)
			break;
		*full = store->collections[doc->collection];
		status = hf_index_insert((*full)->index, &key, doc->position);
		if (status == HF_OK)
			(*full)->memtable_docs++;
	}
	if (status != HF_OK && tx->doc_count > 0)
		abort_docs(store, tx->base + tx->commit_start);
	return status;
}

/* ---- Writing a group ---- */

/* Before the group becomes visible, so that nobody sees both a document and what replaces it. Without memory the mark is made at
 * once: snapshots that are open then see neither. */
static void note_kills(struct hf_store *store, const struct hf_tx *tx)
{
	for (size_t i = 0; i < tx->commit_kill; i++) {
		struct hf_kill kill = {.position = tx->kills[i].position, .at = tx->base, .collection = tx->kills[i].collection,
			.record_bytes = tx->kills[i].record_bytes};

		memcpy(kill.id, tx->kills[i].id, sizeof kill.id);
		if (hf_kills_add(&store->kills, &kill) != HF_OK)
			hf_kills_mark_now(store, &kill);
	}
}

/* What is written has to be seen, so memory that is short for a moment is waited for. A put into a table that fails has changed nothing. */
static int apply_patiently(struct hf_store *store, const struct hf_log_record *record)
{
	int status = hf_store_apply(store, record);
	bool may_wait = record->type == HF_RECORD_TABLE_PUT && !atomic_load(&store->incomplete); /* else the next opening mends this, too */

	for (int i = 0; i < APPLY_TRIES_MAX && status == HF_ENOMEM && may_wait; i++) {
		if (i > 0)
			nanosleep(&(struct timespec){.tv_nsec = APPLY_WAIT_NS}, NULL);
		status = hf_store_apply(store, record);
	}
	return status;
}

/* After the write: see the order in the header. */
static void make_visible(struct hf_writer *writer, size_t length)
{
	struct hf_store *store = writer->store;
	struct hf_tx *tx = &writer->tx;
	struct hf_log_record record;
	uint64_t garbage = 0;

	note_kills(store, tx);
	atomic_store_explicit(&store->committed, tx->base + length, memory_order_release);
	hf_kills_settle(store, false);
	for (size_t at = 0; at < length;) {
		const uint8_t *data = tx->buffer.data + at;
		uint32_t payload_bytes = hf_load_le32(data + 4);

		if (data[8] != HF_RECORD_DOC && data[8] != HF_RECORD_GROUP) {
			record = (struct hf_log_record){
				.position = tx->base + at, .type = data[8], .flags = data[9], .stream = hf_load_le32(data + 12),
				.payload = hf_slice(data + HF_LOG_RECORD_HEADER_BYTES, payload_bytes),
			};
			int status = apply_patiently(store, &record);

			if (status != HF_OK) {
				atomic_store(&store->incomplete, true);
				hf_log_error(&hf_store_module, "a commit could not be applied; the store takes no more changes until it is opened again",
					"position=%llu error=%s", (unsigned long long)record.position, hf_error_name(status));
			}
		}
		if (hf_record_is_garbage(data[8]))
			garbage += hf_log_record_bytes(payload_bytes);
		at += hf_log_record_bytes(payload_bytes);
	}
	hf_log_count_dead(store->log, tx->base, garbage);
	atomic_store_explicit(&store->applied, tx->base + length, memory_order_release);
}

int hf_writer_sync(struct hf_writer *writer)
{
	struct hf_store *store = writer->store;
	uint64_t start_us = hf_env_monotonic_us(store->env);
	int status;

	if (hf_log_synced(store->log) >= hf_log_end(store->log)) { /* a checkpoint did it */
		writer->unsynced_since_us = 0;
		return HF_OK;
	}
	status = hf_log_sync(store->log);
	atomic_fetch_add_explicit(&store->sync_count, 1, memory_order_relaxed);
	hf_histogram_record_us(&store->metric.sync_seconds, hf_env_monotonic_us(store->env) - start_us);
	if (status == HF_OK)
		writer->unsynced_since_us = 0;
	else
		hf_log_error(&hf_store_module, "a sync failed; the store takes no more changes until it is opened again",
			"error=%s", hf_error_name(status));
	return status;
}

static int over_quota(const struct hf_store *store, size_t length)
{
	return store->quota_bytes != 0 &&
		atomic_load_explicit(&store->disk_bytes, memory_order_relaxed) + length > store->quota_bytes;
}

/* Writes the first `length` bytes of the buffer and lets their commits end. */
static void write_group(struct hf_writer *writer, size_t length)
{
	struct hf_store *store = writer->store;
	uint64_t start_us = hf_env_monotonic_us(store->env);
	struct hf_tx *tx = &writer->tx;
	bool records = length > tx->mark_bytes;
	int status = HF_OK, count;

	if (records) {
		const struct iovec *pieces = hf_tx_pieces(tx, length, &count);

		status = hf_log_append(store->log, pieces, count);
		if (status == HF_OK && writer->unsynced_since_us == 0)
			writer->unsynced_since_us = start_us;
	}
	if (status == HF_OK && writer->sync)
		status = hf_writer_sync(writer);
	if (status == HF_OK && records) {
		make_visible(writer, length);
		atomic_fetch_add_explicit(&store->written_bytes, length, memory_order_relaxed);
		atomic_fetch_add_explicit(&store->disk_bytes, length, memory_order_relaxed);
		hf_counter_add(&store->metric.written_bytes, length);
		hf_counter_add(&store->metric.groups, 1);
		atomic_fetch_add_explicit(&store->group_count, 1, memory_order_relaxed);
	}
	if (records || status != HF_OK)
		atomic_store_explicit(&store->write_status, status, memory_order_relaxed);
	if (status != HF_OK) {
		abort_docs(store, tx->base);
		hf_counter_add(&store->metric.failed_groups, 1);
		hf_log_error(&hf_store_module, "a group of commits could not be written", "error=%s commits=%zu",
			hf_error_name(status), writer->group_count);
	}
	hf_histogram_record_us(&store->metric.commit_seconds, hf_env_monotonic_us(store->env) - start_us);
	hf_counter_add(&store->metric.commits, writer->group_count);
	atomic_fetch_add_explicit(&store->commit_count, writer->group_count, memory_order_relaxed);
	for (size_t i = 0; i < writer->group_count; i++) {
		struct hf_commit *commit = writer->group[i];

		commit->done(commit, commit->status != HF_OK ? commit->status : status);
	}
	writer->group_count = 0;
	writer->sync = false;
	tx->error = status;
}

void hf_collection_freeze(struct hf_collection *collection)
{
	if (hf_index_freeze(collection->index) == HF_OK)
		collection->memtable_docs = 0;
	collection->freeze_wanted = false;
}

/* A memtable is full in the middle of a group: the commits before this one are written as a group of their own. */
static int split_group(struct hf_writer *writer, struct hf_collection *full)
{
	struct hf_tx *tx = &writer->tx;
	size_t length = tx->commit_start;
	int status;

	if (length == tx->mark_bytes) { /* there is none before it */
		hf_snapshot_clear(&tx->snapshot);
		hf_snapshot_init(&tx->snapshot, writer->store, tx->base + length);
		tx->snapshot.tx = tx;
		hf_collection_freeze(full);
		return HF_OK;
	}
	hf_snapshot_clear(&tx->snapshot);
	write_group(writer, length);
	status = tx->error;
	if (status != HF_OK) {
		/* What this commit saw of the ones before it is undone, so it fails with them. */
		if (hf_tx_begin_group(tx) == HF_OK)
			hf_tx_begin_commit(tx);
		return status;
	}
	hf_tx_forget_written(tx, length);
	hf_collection_freeze(full);
	return HF_OK;
}

/* What gives back more than it takes is let in past the quota: else a full store could not be emptied. */
static bool frees_space(const struct hf_tx *tx)
{
	uint64_t freed = 0;

	for (size_t i = tx->commit_kill; i < tx->kill_count; i++)
		freed += tx->kills[i].record_bytes;
	if (freed > tx->buffer.length - tx->commit_start)
		return true;
	for (size_t at = tx->commit_start; at < tx->buffer.length;) {
		const uint8_t *data = tx->buffer.data + at;

		if (data[8] == HF_RECORD_DOC || data[8] == HF_RECORD_BLOCK || data[8] == HF_RECORD_TABLE_PUT)
			return false;
		at += hf_log_record_bytes(hf_load_le32(data + 4));
	}
	return true;
}

static void stage_one(struct hf_writer *writer, struct hf_commit *commit)
{
	struct hf_tx *tx = &writer->tx;
	struct hf_collection *full = NULL;
	bool was_staged;
	int status;

	hf_tx_begin_commit(tx);
	status = atomic_load(&writer->store->incomplete) ? HF_ENOMEM : commit->stage(commit, tx);
	was_staged = status == HF_OK;
	if (status == HF_OK)
		status = tx->error;
	if (status == HF_OK && over_quota(writer->store, tx->buffer.length) && !frees_space(tx)) {
		status = HF_ENOSPC;
		atomic_store_explicit(&writer->store->write_status, status, memory_order_relaxed);
	}
	if (status == HF_OK)
		status = hf_tx_finish_commit(tx);
	if (status == HF_OK)
		status = insert_docs(writer, &full);
	for (int tries = 0; full != NULL && status == HF_EBUSY && tries < 2; tries++) {
		status = split_group(writer, full);
		if (status == HF_OK)
			status = insert_docs(writer, &full);
	}
	if (full != NULL && status == HF_EBUSY)
		status = HF_ETOOBIG; /* more documents than a memtable holds */
	if (status != HF_OK) {
		/* Who submitted it does not know yet, and commits that build on it may follow; its table changes may be staged, too. */
		tx->ends_group |= was_staged;
		hf_tx_drop_commit(tx);
	}
	commit->status = status;
	writer->group[writer->group_count++] = commit;
	if (status == HF_OK && commit->durability == HF_DURABLE_DISK)
		writer->sync = true;
}

/* Between groups: memtables that are nearly full, or that hold back the start of a replay, are frozen. */
void hf_writer_freeze_full(struct hf_writer *writer)
{
	struct hf_store *store = writer->store;

	for (uint32_t i = 0; i < HF_STORE_COLLECTION_COUNT_MAX; i++) {
		struct hf_collection *collection = store->collections[i];
		size_t expected = writer->pending_count < HF_STORE_GROUP_COMMITS_MAX ? writer->pending_count : HF_STORE_GROUP_COMMITS_MAX;

		if (collection == NULL || collection->memtable_docs == 0)
			continue;
		if (atomic_load(&collection->freeze_wanted) || !hf_index_has_room(collection->index, ROOM_TERMS) ||
		    (collection->memtable_docs + expected > store->memtable_docs_max &&
		     collection->memtable_docs > store->memtable_docs_max / 2))
			hf_collection_freeze(collection);
		/* Not for ever: when sealing fails, the disk is full and refuses the next group anyway. */
		for (int waits = 0; waits < FROZEN_WAITS_MAX && !store->no_background &&
		     hf_index_frozen_count(collection->index) > HF_STORE_FROZEN_MAX; waits++)
			hf_background_wait_sealed(store);
	}
}

/* So much lies behind that position by now that the background is to deal with it. */
static void want_if(struct hf_store *store, _Atomic bool *wanted, uint64_t position, uint64_t bytes)
{
	if (hf_log_end(store->log) - position >= bytes && !atomic_exchange(wanted, true))
		hf_background_wake(store);
}

void hf_writer_run_group(struct hf_writer *writer)
{
	struct hf_tx *tx = &writer->tx;

	hf_writer_freeze_full(writer);
	if (hf_tx_begin_group(tx) != HF_OK) {
		struct hf_commit *commit = writer->pending;

		writer->pending = commit->next;
		writer->pending_count--;
		commit->done(commit, HF_ENOMEM);
		return;
	}
	while (writer->pending != NULL && writer->group_count < HF_STORE_GROUP_COMMITS_MAX &&
	       tx->buffer.length < HF_STORE_GROUP_BYTES_MAX && !tx->ends_group) {
		struct hf_commit *commit = writer->pending;

		writer->pending = commit->next;
		writer->pending_count--;
		stage_one(writer, commit);
	}
	hf_snapshot_clear(&tx->snapshot);
	tx->commit_kill = tx->kill_count;
	write_group(writer, tx->buffer.length);
	want_if(writer->store, &writer->store->write_back_wanted, hf_log_written_back(writer->store->log), WRITE_BACK_BYTES);
	want_if(writer->store, &writer->store->sync_wanted, hf_log_synced(writer->store->log), SYNC_AHEAD_BYTES);
	if (hf_blocks_memory_bytes(writer->store->blocks) >= HF_BLOCKS_MEMORY_BYTES &&
	    !atomic_exchange(&writer->store->manifest_wanted, true))
		hf_background_wake(writer->store);
	if (writer->store->no_background)
		hf_background_run(writer->store);
}
