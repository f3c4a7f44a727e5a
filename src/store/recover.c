/* The log is read from the manifest's replay position to its end, and every record is applied to what does not know it yet.
 *
 * Whole batches only: records wait until LAST was seen. Where there is no whole record, the question is whether the place was
 * synced once. It was, if the manifest, a later segment or the GROUP record of a later group says so: then it is
 * corruption, which is counted and stepped over. If nothing says so it is the tail that a crash tore, and the log is
 * cut off at the batch it belongs to. */
#include "store/manifest.h"
#include "store/writer.h"

#include <stdlib.h>

struct recovery {
	struct hf_store *store;
	struct hf_log_set *set;
	uint64_t *terms;
	uint64_t synced;  /* known to have been on the disk */
	uint64_t counted; /* garbage of delete records below is counted already */
	uint64_t batch;   /* where the batch that is not complete begins; 0: none */
	size_t batch_segment;
	uint64_t end;     /* up to here the log is good */
	int status;
};

/* ---- Applying ---- */

static int note_table_record(struct hf_store *store, const struct hf_log_record *record)
{
	struct hf_slice key, value;
	int status = HF_OK;

	if (record->position < store->tables.position)
		return HF_OK;
	if (record->type == HF_RECORD_TABLE_DELETE)
		hf_tables_delete(&store->tables, record->stream, record->payload);
	else if (hf_record_read_table_put(record->payload, &key, &value))
		status = hf_tables_put(&store->tables, record->stream, key, value);
	else
		status = HF_ECORRUPT;
	if (status == HF_ENOMEM)
		return status; /* a snapshot of the tables does not hold it */
	pthread_rwlock_wrlock(&store->tables.lock);
	store->tables.position = record->position + 1;
	pthread_rwlock_unlock(&store->tables.lock);
	return status;
}

static int drop_collection(struct hf_store *store, const struct hf_log_record *record)
{
	struct hf_collection *collection;
	int status;

	if (record->stream >= HF_STORE_COLLECTION_COUNT_MAX)
		return HF_ECORRUPT;
	if (store->collections[record->stream] == NULL)
		return HF_OK;
	status = hf_collection_new(&collection, store, record->stream, NULL, 0, NULL);
	return status != HF_OK ? status : hf_collection_replace(store, record->stream, collection);
}

int hf_store_apply(struct hf_store *store, const struct hf_log_record *record)
{
	switch (record->type) {
	case HF_RECORD_TABLE_PUT:
	case HF_RECORD_TABLE_DELETE: return note_table_record(store, record);
	case HF_RECORD_DROP: return drop_collection(store, record);
	case HF_RECORD_BLOCK:
	case HF_RECORD_LOG_TRUNCATE:
	case HF_RECORD_LOG_CLEAR:
	case HF_RECORD_LOG_DROP: return hf_blocks_apply(store->blocks, record);
	default: return HF_OK;
	}
}

static int replay_doc(struct recovery *r, const struct hf_log_record *record)
{
	struct hf_store *store = r->store;
	struct hf_collection *collection;
	int status;

	if (record->stream >= HF_STORE_COLLECTION_COUNT_MAX)
		return HF_ECORRUPT;
	if (store->collections[record->stream] == NULL) {
		status = hf_collection_new(&collection, store, record->stream, NULL, 0, NULL);
		if (status != HF_OK)
			return status;
		hf_collection_publish(store, record->stream, collection);
	}
	collection = store->collections[record->stream];
	return record->position < collection->position ? HF_OK : hf_collection_insert(collection, record, r->terms);
}

static int replay_delete(struct recovery *r, const struct hf_log_record *record)
{
	struct hf_store *store = r->store;
	struct hf_record_delete gone;
	int status;

	if (record->stream >= HF_STORE_COLLECTION_COUNT_MAX || !hf_record_read_delete(record->payload, &gone))
		return HF_ECORRUPT;
	if (record->position >= r->counted)
		hf_log_count_dead(store->log, gone.position, gone.record_bytes);
	if (store->collections[record->stream] == NULL)
		return HF_OK;
	status = hf_index_kill(store->collections[record->stream]->index, gone.id, gone.position);
	return status == HF_ENOTFOUND ? HF_OK : status;
}

static int replay(struct recovery *r, const struct hf_log_record *record)
{
	int status;

	r->store->replayed_records++;
	if (record->position >= r->counted && hf_record_is_garbage(record->type))
		hf_log_count_dead(r->store->log, record->position, hf_log_record_bytes(record->payload.length));
	if (record->type == HF_RECORD_DOC)
		status = replay_doc(r, record);
	else if (record->type == HF_RECORD_DELETE)
		status = replay_delete(r, record);
	else
		status = hf_store_apply(r->store, record);
	if (status == HF_ECORRUPT) {
		atomic_fetch_add(&r->store->corrupt_count, 1);
		hf_log_error(&hf_store_module, "a record cannot be applied; it is left out", "position=%llu type=%u",
			(unsigned long long)record->position, record->type);
		status = HF_OK;
	}
	return status;
}

/* A batch of several records, now that it is complete (or what is left of it). */
static int replay_range(struct recovery *r, size_t segment, uint64_t from, uint64_t to)
{
	struct hf_log_reader reader;
	struct hf_log_record record;
	int status = HF_OK;

	hf_log_reader_start(&reader, r->set, segment, from);
	while (status == HF_OK && hf_log_reader_position(&reader) < to) {
		status = hf_log_reader_next(&reader, &record);
		if (status == HF_OK)
			status = replay(r, &record);
	}
	hf_log_reader_free(&reader);
	return status == HF_ENOTFOUND || status == HF_ECORRUPT ? HF_OK : status;
}

/* ---- Reading ---- */

/* What a GROUP record says was synced before it; 0 for other records. */
static uint64_t synced_before(const struct hf_log_record *record)
{
	if (record->type != HF_RECORD_GROUP || record->payload.length != HF_RECORD_GROUP_BYTES)
		return 0;
	uint64_t synced = hf_load_le64(record->payload.data);

	return synced <= record->position ? synced : 0;
}

/* The highest synced position that any group behind the damaged place tells of. */
static uint64_t synced_behind(struct recovery *r, const struct hf_log_reader *at)
{
	struct hf_log_reader reader;
	struct hf_log_record record;
	uint64_t synced = r->synced;
	int status;

	hf_log_reader_start(&reader, at->set, at->segment, hf_log_reader_position(at));
	status = hf_log_reader_resync(&reader);
	while (status == HF_OK) {
		status = hf_log_reader_next(&reader, &record);
		if (status == HF_OK && synced_before(&record) > synced)
			synced = synced_before(&record);
		if (status == HF_ECORRUPT)
			status = hf_log_reader_resync(&reader);
	}
	hf_log_reader_free(&reader);
	return synced;
}

static void take_record(struct recovery *r, size_t segment, const struct hf_log_record *record, uint64_t next)
{
	if (synced_before(record) > r->synced)
		r->synced = synced_before(record);
	if (r->batch == 0) {
		r->batch = record->position;
		r->batch_segment = segment;
	}
	if ((record->flags & HF_LOG_LAST) == 0)
		return;
	if (r->batch == record->position)
		r->status = replay(r, record);
	else
		r->status = replay_range(r, segment, r->batch, next);
	r->batch = 0;
	r->end = next;
}

/* There is no whole record where the reader is. True when reading goes on behind it. */
static bool pass_damage(struct recovery *r, struct hf_log_reader *reader, bool last)
{
	uint64_t position = hf_log_reader_position(reader);
	char name[32];

	if (last && position >= r->synced && hf_log_reader_only_zeros(reader))
		return false;
	if (last && position >= r->synced)
		r->synced = synced_behind(r, reader);
	hf_log_set_name(r->set, reader->segment, name);
	if (last && position >= r->synced) {
		hf_log_warn(&hf_store_module, "the last group of the log is not whole and is cut off; a crash tears it so",
			"file=%s offset=%llu position=%llu", name, (unsigned long long)reader->offset, (unsigned long long)position);
		return false;
	}
	atomic_fetch_add(&r->store->corrupt_count, 1);
	hf_log_error(&hf_store_module, "stored bytes do not match their checksum; the record is left out",
		"file=%s offset=%llu position=%llu", name, (unsigned long long)reader->offset, (unsigned long long)position);
	if (r->batch != 0)
		r->status = replay_range(r, r->batch_segment, r->batch, position);
	r->batch = 0;
	hf_log_reader_resync(reader);
	r->end = hf_log_reader_position(reader);
	return true;
}

static void read_segment(struct recovery *r, size_t segment, uint64_t from)
{
	bool last = segment + 1 == hf_log_set_count(r->set), more = true;
	struct hf_log_reader reader;
	struct hf_log_record record;

	hf_log_reader_start(&reader, r->set, segment, from);
	r->end = hf_log_reader_position(&reader);
	while (more && r->status == HF_OK) {
		int status = hf_log_reader_next(&reader, &record);

		if (status == HF_OK)
			take_record(r, segment, &record, hf_log_reader_position(&reader));
		else if (status == HF_ECORRUPT)
			more = pass_damage(r, &reader, last);
		else if (status == HF_ENOTFOUND)
			more = false;
		else
			r->status = status;
	}
	/* A batch never spans segments; one that was synced and lacks its end lost it to damage. */
	if (r->status == HF_OK && r->batch != 0 && (!last || r->batch < r->synced)) {
		r->status = replay_range(r, segment, r->batch, hf_log_reader_position(&reader));
		r->end = hf_log_reader_position(&reader);
	}
	r->batch = 0;
	hf_log_reader_free(&reader);
}

static int finish(struct recovery *r, struct hf_failure *failure)
{
	struct hf_store *store = r->store;
	uint64_t file_end = hf_log_end(store->log);
	int status;

	if (r->end < r->synced) {
		atomic_fetch_add(&store->corrupt_count, 1);
		hf_log_error(&hf_store_module, "the log ends before a place that was synced; records are missing",
			"end=%llu synced=%llu", (unsigned long long)r->end, (unsigned long long)r->synced);
		r->end = r->synced; /* positions are never given twice */
	}
	status = r->end == file_end && store->read_only ? HF_OK : hf_log_cut(store->log, r->end);
	if (status != HF_OK)
		return hf_fail(failure, status, "the torn end of the log cannot be cut off (%s)", hf_error_text(status));
	store->committed = store->applied = r->end;
	return HF_OK;
}

int hf_store_recover(struct hf_store *store, uint64_t from, uint64_t synced, uint64_t counted, struct hf_failure *failure)
{
	uint64_t start_us = hf_env_monotonic_us(store->env);
	struct recovery r = {.store = store, .synced = synced, .counted = counted, .end = from};
	int status;

	r.terms = malloc(HF_STORE_TERM_COUNT_MAX * sizeof *r.terms);
	if (r.terms == NULL)
		return hf_fail(failure, HF_ENOMEM, "out of memory");
	r.set = hf_log_pin(store->log);
	for (size_t i = 0; i < hf_log_set_count(r.set) && r.status == HF_OK; i++) {
		struct hf_log_segment_info info = hf_log_set_info(r.set, i);
		bool last = i + 1 == hf_log_set_count(r.set);

		if (last || info.base + info.length > from)
			read_segment(&r, i, from);
		if (!last && info.base + info.length > r.synced)
			r.synced = info.base + info.length;
	}
	hf_log_unpin(r.set);
	free(r.terms);
	if (r.status != HF_OK)
		return hf_fail(failure, r.status, "the log could not be read to its end (%s)", hf_error_text(r.status));
	status = finish(&r, failure);
	store->replay_us = hf_env_monotonic_us(store->env) - start_us;
	return status;
}
