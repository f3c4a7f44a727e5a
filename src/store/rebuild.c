/* A new index of a collection is made from the log beside the writer, in passes: each reads what was committed since the one
 * before it began. When little is left, the writer reads the rest and switches over between two groups. Nothing is collected
 * meanwhile: a deletion must not leave the log between two passes, of which the first has seen its document. */
#include "store/writer.h"

#include <stdlib.h>

#define PASSES_MAX 8
#define REST_BYTES (1u << 20) /* of log, that the writer may read */

struct rebuild {
	struct hf_store *store;
	struct hf_log_set *set;
	uint64_t *terms;
	uint32_t number;
	uint64_t from; /* the next pass begins here */
	struct hf_collection *target;
	void (*progress)(void *context, uint64_t done, uint64_t total);
	void *context;
};

static int take_record(struct rebuild *b, const struct hf_log_record *record)
{
	struct hf_record_delete gone;
	int status = HF_OK;

	if (record->stream != b->number)
		return HF_OK;
	if (record->type == HF_RECORD_DOC)
		return hf_collection_insert(b->target, record, b->terms);
	if (record->type == HF_RECORD_DELETE && hf_record_read_delete(record->payload, &gone)) {
		status = hf_index_kill(b->target->index, gone.id, gone.position);
	} else if (record->type == HF_RECORD_DROP) {
		hf_collection_unref(b->target);
		b->target = NULL;
		status = hf_collection_new(&b->target, b->store, b->number, NULL, 0, NULL);
	}
	return status == HF_ENOTFOUND ? HF_OK : status;
}

static int take_segment(struct rebuild *b, size_t segment, uint64_t until)
{
	struct hf_log_reader reader;
	struct hf_log_record record;
	int status = HF_OK;

	hf_log_reader_start(&reader, b->set, segment, b->from);
	while (status == HF_OK) {
		status = hf_log_reader_next(&reader, &record);
		if (status == HF_OK && record.position >= until)
			break;
		if (status == HF_OK)
			status = take_record(b, &record);
		else if (status == HF_ECORRUPT)
			status = hf_log_reader_resync(&reader);
	}
	hf_log_reader_free(&reader);
	return status == HF_ENOTFOUND ? HF_OK : status;
}

/* Reads what was committed since the pass before. */
static int pass(struct rebuild *b)
{
	uint64_t until = hf_store_position(b->store);
	size_t count;
	int status = HF_OK;

	b->set = hf_log_pin(b->store->log);
	count = hf_log_set_count(b->set);
	for (size_t i = 0; i < count && status == HF_OK; i++) {
		struct hf_log_segment_info info = hf_log_set_info(b->set, i);

		if (info.base + info.length > b->from)
			status = take_segment(b, i, until);
		if (b->progress != NULL)
			b->progress(b->context, i + 1, count);
	}
	hf_log_unpin(b->set);
	b->from = until;
	return status;
}

/* The writer: the rest, and the switch. */
static int finish(struct hf_store *store, void *context)
{
	struct rebuild *b = context;
	int status;

	b->progress = NULL; /* it was told all that takes time */
	status = pass(b);
	if (status == HF_OK) {
		status = hf_collection_replace(store, b->number, b->target);
		b->target = NULL;
	}
	return status;
}

static int begin(struct rebuild *b)
{
	b->terms = malloc(HF_STORE_TERM_COUNT_MAX * sizeof *b->terms);
	return b->terms == NULL ? HF_ENOMEM : hf_collection_new(&b->target, b->store, b->number, NULL, 0, NULL);
}

static void end(struct rebuild *b)
{
	hf_collection_unref(b->target);
	free(b->terms);
}

int hf_store_rebuild_at_open(struct hf_store *store, uint32_t collection)
{
	struct rebuild b = {.store = store, .number = collection};
	int status = begin(&b);

	if (status == HF_OK)
		status = finish(store, &b);
	end(&b);
	return status;
}

int hf_store_rebuild_index(struct hf_store *store, uint32_t collection,
	void (*progress)(void *context, uint64_t done, uint64_t total), void *context)
{
	struct rebuild b = {.store = store, .number = collection, .progress = progress, .context = context};
	int status;

	if (collection >= HF_STORE_COLLECTION_COUNT_MAX)
		return HF_EINVAL;
	if (store->read_only)
		return HF_ECLOSED;
	pthread_mutex_lock(&store->collect_lock);
	status = begin(&b);
	for (int passes = 0; status == HF_OK && passes < PASSES_MAX && hf_store_position(store) > b.from + REST_BYTES; passes++)
		status = pass(&b);
	if (status == HF_OK)
		status = hf_writer_run(store, finish, &b);
	end(&b);
	pthread_mutex_unlock(&store->collect_lock);
	return status == HF_OK ? hf_store_checkpoint(store, false) : status;
}
