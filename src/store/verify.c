/* Two readings of the log: the first checks every record and notes what was deleted, the second looks every document up by its id.
 * What is found nowhere and was not deleted, also not meanwhile, is a fault of the index. */
#include "store/manifest.h"
#include "store/place_map.h"
#include "store/state.h"

#include <stdarg.h>
#include <stdio.h>

struct verify {
	struct hf_store *store;
	void (*report)(void *context, const char *sentence);
	void *context;
	struct hf_log_set *set;
	struct hf_snapshot *snapshot;
	uint64_t from, until;   /* of the reading of deletions */
	struct hf_place_map deleted;
	uint64_t dropped[HF_STORE_COLLECTION_COUNT_MAX]; /* documents below it went with their collection */
	struct hf_place_map suspects;
	uint64_t *terms;
	bool faults;
	int (*each)(struct verify *v, const struct hf_log_record *record);
};

static void fault(struct verify *v, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void fault(struct verify *v, const char *format, ...)
{
	char sentence[256];
	va_list arguments;

	v->faults = true;
	if (v->report == NULL)
		return;
	va_start(arguments, format);
	vsnprintf(sentence, sizeof sentence, format, arguments);
	va_end(arguments);
	v->report(v->context, sentence);
}

static int note_deletion(struct verify *v, const struct hf_log_record *record)
{
	struct hf_record_delete gone;

	if (record->stream >= HF_STORE_COLLECTION_COUNT_MAX)
		return HF_OK;
	if (record->type == HF_RECORD_DROP)
		v->dropped[record->stream] = record->position;
	if (record->type != HF_RECORD_DELETE)
		return HF_OK;
	if (!hf_record_read_delete(record->payload, &gone)) {
		fault(v, "the deletion at position %llu does not follow its format", (unsigned long long)record->position);
		return HF_OK;
	}
	return hf_place_put(&v->deleted, gone.position, record->stream);
}

/* By a deletion of its own collection: one of another is a program's error, and no index heeds it. */
static bool is_deleted(const struct verify *v, uint64_t position, uint32_t collection)
{
	return hf_place_get(&v->deleted, position) == collection;
}

static int look_up(struct verify *v, const struct hf_log_record *record)
{
	struct hf_buffer scratch = {0};
	struct hf_doc_key key;
	struct hf_doc doc;
	int status;

	if (record->type != HF_RECORD_DOC || record->stream >= HF_STORE_COLLECTION_COUNT_MAX)
		return HF_OK;
	if (hf_store_describe(v->store, record->stream, record->payload, &key, v->terms) != HF_OK) {
		fault(v, "the document at position %llu cannot be understood", (unsigned long long)record->position);
		return HF_OK;
	}
	status = hf_snapshot_get(v->snapshot, record->stream, key.id, HF_READ_BLOCKING, &scratch, &doc);
	hf_buffer_free(&scratch);
	if (status == HF_OK && doc.position == record->position)
		return HF_OK;
	if (status != HF_OK && status != HF_ENOTFOUND && status != HF_ECORRUPT)
		return status;
	if (record->position < v->dropped[record->stream] || is_deleted(v, record->position, record->stream))
		return HF_OK;
	return hf_place_put(&v->suspects, record->position, record->stream);
}

/* Calls v->each for every whole record of [from, until). Faults are reported in the first reading only. */
static int read_segment(struct verify *v, size_t segment, bool report)
{
	struct hf_log_reader reader;
	struct hf_log_record record;
	char name[32];
	int status;

	hf_log_set_name(v->set, segment, name);
	if (report && hf_log_set_check(v->set, segment) != HF_OK)
		fault(v, "%s: its header or its extent map does not match its checksum", name);
	hf_log_reader_start(&reader, v->set, segment, v->from);
	for (;;) {
		status = hf_log_reader_next(&reader, &record);
		if (status == HF_OK && record.position >= v->until)
			break;
		if (status == HF_OK)
			status = v->each(v, &record);
		if (status == HF_ECORRUPT) {
			if (report)
				fault(v, "%s: the record at offset %llu does not match its checksum", name, (unsigned long long)reader.offset);
			status = hf_log_reader_resync(&reader);
		}
		if (status != HF_OK)
			break;
	}
	struct hf_log_segment_info info = hf_log_set_info(v->set, segment);

	if (report && status == HF_ENOTFOUND && info.generation == 0 && reader.end < HF_LOG_FILE_HEADER_BYTES + info.length)
		fault(v, "%s: the file ends at offset %llu, before the last of its records", name, (unsigned long long)reader.end);
	hf_log_reader_free(&reader);
	return status == HF_ENOTFOUND ? HF_OK : status;
}

static int read_log(struct verify *v, int (*each)(struct verify *v, const struct hf_log_record *record), bool report)
{
	int status = HF_OK;

	v->each = each;
	for (size_t i = 0; i < hf_log_set_count(v->set) && status == HF_OK; i++) {
		struct hf_log_segment_info info = hf_log_set_info(v->set, i);

		if (info.base + info.length > v->from && info.base < v->until)
			status = read_segment(v, i, report);
	}
	return status;
}

/* Deletions since the snapshot clear suspects. */
static int settle_suspects(struct verify *v)
{
	int status;

	hf_log_unpin(v->set);
	v->set = hf_log_pin(v->store->log);
	v->from = v->until;
	v->until = UINT64_MAX;
	status = read_log(v, note_deletion, false);
	for (size_t i = 0; i < v->suspects.capacity && status == HF_OK; i++) {
		const struct hf_place_slot *slot = &v->suspects.slots[i];

		if (slot->place == 0 || is_deleted(v, slot->key, slot->place - 1) || slot->key < v->dropped[slot->place - 1])
			continue;
		fault(v, "the document at position %llu of collection %u is in the log but not in the index; rebuild the index",
			(unsigned long long)slot->key, slot->place - 1);
	}
	return status;
}

static int check_doc(void *context, const struct hf_doc *doc)
{
	(void)doc;
	++*(uint64_t *)context;
	return 0;
}

static int verify_indexes(struct verify *v)
{
	uint64_t listed = 0, before = atomic_load(&v->store->corrupt_count);
	int status = HF_OK;

	for (uint32_t i = 0; i < HF_STORE_COLLECTION_COUNT_MAX && (status == HF_OK || status == HF_ECORRUPT); i++) {
		struct hf_collection *collection = hf_collection_ref(v->store, i);

		if (collection == NULL)
			continue;
		status = hf_index_verify(collection->index, v->report, v->context);
		v->faults |= status == HF_ECORRUPT;
		hf_collection_unref(collection);
		if (status == HF_OK)
			status = hf_snapshot_scan(v->snapshot, i, 0, check_doc, &listed);
		v->faults |= status == HF_ECORRUPT;
	}
	if (atomic_load(&v->store->corrupt_count) != before)
		fault(v, "the index lists documents that cannot be read");
	return status == HF_ECORRUPT ? HF_OK : status;
}

static int verify_table_file(struct verify *v)
{
	struct hf_store *store = v->store;
	char name[24], path[HF_PATH_BYTES_MAX];
	struct hf_tables tables;
	struct hf_buffer file = {0};
	int status = HF_OK;

	pthread_mutex_lock(&store->checkpoint_lock);
	if (store->table_file != 0) {
		snprintf(name, sizeof name, "%08x.tbl", store->table_file);
		status = hf_path_join(path, store->table_directory, name);
		if (status == HF_OK)
			status = hf_fs_read_all(store->env->fs, path, SIZE_MAX / 2, &file);
		if (status == HF_OK)
			status = hf_tables_init(&tables);
		if (status == HF_OK) {
			status = hf_tables_decode(&tables, store->uuid, hf_buffer_slice(&file));
			hf_tables_free(&tables);
		}
		if (status == HF_ECORRUPT || status == HF_ENOTFOUND)
			fault(v, "table/%s does not match its checksum, or is missing", name);
	}
	pthread_mutex_unlock(&store->checkpoint_lock);
	hf_buffer_free(&file);
	return status == HF_ECORRUPT || status == HF_ENOTFOUND ? HF_OK : status;
}

static int verify_manifest(struct verify *v, const char *name)
{
	struct hf_store *store = v->store;
	struct hf_failure failure = {0};
	struct hf_buffer text = {0};
	struct hf_manifest m;
	char path[HF_PATH_BYTES_MAX];
	int status = hf_path_join(path, store->directory, name);

	pthread_mutex_lock(&store->checkpoint_lock);
	if (status == HF_OK)
		status = hf_fs_read_all(store->env->fs, path, HF_MANIFEST_BYTES_MAX, &text);
	pthread_mutex_unlock(&store->checkpoint_lock);
	if (status == HF_OK) {
		status = hf_manifest_parse(&m, hf_buffer_slice(&text), &failure);
		if (status == HF_OK)
			hf_manifest_free(&m);
		else if (status != HF_ENOMEM)
			fault(v, "%s is damaged: %s", name, failure.text);
	}
	hf_buffer_free(&text);
	return status == HF_ENOMEM ? status : HF_OK;
}

static int verify_all(struct verify *v)
{
	int status = read_log(v, note_deletion, true);

	if (status == HF_OK)
		status = read_log(v, look_up, false);
	if (status == HF_OK)
		status = settle_suspects(v);
	if (status == HF_OK)
		status = verify_indexes(v);
	if (status == HF_OK)
		status = verify_table_file(v);
	if (status == HF_OK)
		status = verify_manifest(v, "MANIFEST");
	if (status == HF_OK)
		status = verify_manifest(v, "MANIFEST.copy"); /* may be missing in a store that was only just made */
	if (status != HF_OK)
		return status;
	status = hf_blocks_verify(v->store->blocks, v->report, v->context);
	v->faults |= status == HF_ECORRUPT;
	return status == HF_ECORRUPT ? HF_OK : status;
}

int hf_store_verify(struct hf_store *store, void (*report)(void *context, const char *sentence), void *context)
{
	struct verify v = {.store = store, .report = report, .context = context};
	int status = HF_ENOMEM;

	v.terms = malloc(HF_STORE_TERM_COUNT_MAX * sizeof *v.terms);
	v.snapshot = hf_store_snapshot(store);
	if (v.terms != NULL && v.snapshot != NULL) {
		v.until = v.snapshot->position;
		v.set = hf_log_pin(store->log);
		status = verify_all(&v);
	}
	hf_log_unpin(v.set);
	hf_snapshot_release(v.snapshot);
	hf_place_free(&v.deleted);
	hf_place_free(&v.suspects);
	free(v.terms);
	return status != HF_OK ? status : v.faults ? HF_ECORRUPT : HF_OK;
}
