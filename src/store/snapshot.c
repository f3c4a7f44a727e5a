/* A snapshot pins log files first and takes index views later, when a collection is first asked for: a later view only
 * lacks documents that died meanwhile, and whatever it still lists was alive when the log files were pinned.
 *
 * Segments know documents by a keyed hash, so a hit is confirmed by reading the record; the record read is kept, so that
 * finding a document and getting it is one read. */
#include "store/writer.h"

#include <stdlib.h>

#define GUESS_BYTES 1024

void hf_snapshot_init(struct hf_snapshot *snapshot, struct hf_store *store, uint64_t position)
{
	memset(snapshot, 0, sizeof *snapshot);
	snapshot->store = store;
	snapshot->position = position;
	snapshot->set = hf_log_pin(store->log);
}

void hf_snapshot_clear(struct hf_snapshot *snapshot)
{
	for (uint32_t i = 0; i < HF_STORE_COLLECTION_COUNT_MAX; i++) {
		if (snapshot->parts[i].collection == NULL)
			continue;
		hf_index_view_release(snapshot->parts[i].view);
		hf_collection_unref(snapshot->parts[i].collection);
		snapshot->parts[i] = (struct hf_snapshot_part){0};
	}
	hf_log_unpin(snapshot->set);
	snapshot->set = NULL;
	hf_buffer_free(&snapshot->scratch);
}

struct hf_snapshot *hf_store_snapshot(struct hf_store *store)
{
	struct hf_snapshot *snapshot = calloc(1, sizeof *snapshot);

	if (snapshot == NULL)
		return NULL;
	snapshot->store = store;
	snapshot->position = hf_kills_open_reader(&store->kills, &snapshot->reader, &store->committed);
	snapshot->set = hf_log_pin(store->log); /* it holds all below the position */
	return snapshot;
}

void hf_snapshot_release(struct hf_snapshot *snapshot)
{
	if (snapshot == NULL)
		return;
	hf_kills_close_reader(&snapshot->store->kills, &snapshot->reader);
	hf_snapshot_clear(snapshot);
	free(snapshot);
}

uint64_t hf_snapshot_position(const struct hf_snapshot *snapshot)
{
	return snapshot->position;
}

uint64_t hf_store_position(const struct hf_store *store)
{
	return atomic_load_explicit(&store->committed, memory_order_acquire);
}

struct hf_index_view *hf_snapshot_view(struct hf_snapshot *snapshot, uint32_t collection, int *status)
{
	*status = HF_OK;
	if (collection >= HF_STORE_COLLECTION_COUNT_MAX)
		return NULL;
	struct hf_snapshot_part *part = &snapshot->parts[collection];

	if (part->collection != NULL)
		return part->view;
	struct hf_collection *found = hf_collection_ref(snapshot->store, collection);

	if (found == NULL)
		return NULL;
	part->view = hf_index_acquire(found->index);
	if (part->view == NULL) {
		hf_collection_unref(found);
		*status = HF_ENOMEM;
		return NULL;
	}
	part->collection = found;
	return part->view;
}

int hf_snapshot_read(struct hf_snapshot *snapshot, uint64_t position, enum hf_read_mode mode, struct hf_buffer *scratch,
	struct hf_log_record *record)
{
	if (snapshot->tx != NULL && position >= snapshot->tx->base)
		return hf_tx_read_staged(snapshot->tx, position, scratch, record);
	return hf_log_read(snapshot->set, position, mode, GUESS_BYTES, scratch, record);
}

/* Of documents that the index lists: it may not say yet that they are dead. */
static bool is_dead(const struct hf_snapshot *snapshot, uint64_t position)
{
	return (snapshot->tx != NULL && hf_tx_is_killed(snapshot->tx, position, false)) ||
		hf_kills_hide(&snapshot->store->kills, position, snapshot->position);
}

/* ---- By id ---- */

struct confirmation {
	struct hf_snapshot *snapshot;
	uint32_t collection;
	const uint8_t *id;
	enum hf_read_mode mode;
	struct hf_buffer *scratch;
	struct hf_log_record *record;
};

static int confirm(void *context, uint64_t position)
{
	struct confirmation *c = context;
	uint8_t id[HF_STORE_ID_BYTES];
	int status = hf_snapshot_read(c->snapshot, position, c->mode, c->scratch, c->record);

	if (status == HF_OK && c->record->type == HF_RECORD_DOC)
		status = hf_store_identify(c->snapshot->store, c->collection, c->record->payload, id);
	if (status == HF_OK && (c->record->type != HF_RECORD_DOC || memcmp(id, c->id, sizeof id) != 0))
		status = HF_ENOTFOUND;
	if (status != HF_OK)
		c->record->position = 0;
	return status;
}

int hf_snapshot_find(struct hf_snapshot *snapshot, uint32_t collection, const uint8_t id[static HF_STORE_ID_BYTES],
	uint64_t before, enum hf_read_mode mode, struct hf_buffer *scratch, struct hf_index_hit *hit, struct hf_log_record *record)
{
	struct confirmation c = {snapshot, collection, id, mode, scratch, record};
	int status;
	struct hf_index_view *view = hf_snapshot_view(snapshot, collection, &status);

	record->position = 0;
	if (view == NULL)
		return status != HF_OK ? status : HF_ENOTFOUND;
	status = hf_index_find(view, id, before, mode, confirm, &c, hit);
	if (status == HF_OK && record->position != hit->position)
		record->position = 0;
	return status;
}

int hf_snapshot_get(struct hf_snapshot *snapshot, uint32_t collection,
	const uint8_t id[static HF_STORE_ID_BYTES], enum hf_read_mode mode, struct hf_buffer *scratch, struct hf_doc *doc)
{
	struct hf_log_record record;
	struct hf_index_hit hit;
	int status = hf_snapshot_find(snapshot, collection, id, snapshot->position, mode, scratch, &hit, &record);

	if (status != HF_OK)
		return status;
	if (is_dead(snapshot, hit.position))
		return HF_ENOTFOUND;
	if (record.position == 0)
		status = hf_snapshot_read(snapshot, hit.position, mode, scratch, &record);
	if (status != HF_OK)
		return status == HF_ENOTFOUND ? HF_ECORRUPT : status;
	*doc = (struct hf_doc){.position = hit.position, .rank = hit.rank, .payload = record.payload};
	return HF_OK;
}

uint64_t hf_snapshot_estimate(struct hf_snapshot *snapshot, uint32_t collection, uint64_t term)
{
	int status;
	struct hf_index_view *view = hf_snapshot_view(snapshot, collection, &status);

	if (status != HF_OK)
		return UINT64_MAX; /* an upper bound: what could not be looked at may be anything */
	return view == NULL ? 0 : hf_index_estimate(view, term);
}

uint64_t hf_snapshot_doc_count(struct hf_snapshot *snapshot, uint32_t collection)
{
	int status;
	struct hf_index_view *view = hf_snapshot_view(snapshot, collection, &status);

	return view == NULL ? 0 : hf_index_doc_count(view, NULL);
}

/* ---- Cursors ---- */

/* Hits are taken from the index some ahead of the records read, so that the memory of several records is asked for at
 * once; the first by itself, then twice as many each time, so that a query that wants few finds few. */
#define AHEAD_MAX 16

struct hf_cursor {
	struct hf_snapshot *snapshot;
	struct hf_index_iterator *iterator; /* NULL: the collection is empty */
	enum hf_read_mode mode;
	uint32_t at, count, next_count;
	int status; /* HF_ECORRUPT that ended the last look ahead: told when its hits are used up */
	struct hf_index_hit ahead[AHEAD_MAX];
};

int hf_cursor_open(struct hf_cursor **out, struct hf_snapshot *snapshot, const struct hf_query *query, enum hf_read_mode mode)
{
	struct hf_cursor *cursor;
	int status;

	if (query->clause_count > HF_QUERY_CLAUSES_MAX)
		return HF_EINVAL;
	struct hf_index_view *view = hf_snapshot_view(snapshot, query->collection, &status);

	if (status != HF_OK)
		return status;
	cursor = calloc(1, sizeof *cursor);
	if (cursor == NULL)
		return HF_ENOMEM;
	cursor->snapshot = snapshot;
	cursor->mode = mode;
	cursor->next_count = 1;
	if (view != NULL)
		status = hf_index_iterate(&cursor->iterator, view, query, snapshot->position, mode);
	if (status != HF_OK) {
		free(cursor);
		return status;
	}
	*out = cursor;
	return HF_OK;
}

static int look_ahead(struct hf_cursor *cursor)
{
	struct hf_snapshot *snapshot = cursor->snapshot;
	int status = cursor->status;

	cursor->status = HF_OK;
	cursor->at = cursor->count = 0;
	while (status == HF_OK && cursor->count < cursor->next_count) {
		struct hf_index_hit *hit = &cursor->ahead[cursor->count];

		status = hf_index_next(cursor->iterator, hit);
		if (status != HF_OK || is_dead(snapshot, hit->position))
			continue;
		hf_log_prefetch(snapshot->set, hit->position);
		cursor->count++;
	}
	if (cursor->next_count < AHEAD_MAX)
		cursor->next_count *= 2;
	if (cursor->count == 0)
		return status;
	/* Told once by the index, so it is kept; anything else shows again. */
	cursor->status = status == HF_ECORRUPT ? status : HF_OK;
	return HF_OK;
}

int hf_cursor_next(struct hf_cursor *cursor, struct hf_buffer *scratch, struct hf_doc *doc)
{
	struct hf_log_record record;
	int status;

	if (cursor->iterator == NULL)
		return HF_ENOTFOUND;
	status = cursor->at < cursor->count ? HF_OK : look_ahead(cursor);
	if (status != HF_OK)
		return status;
	const struct hf_index_hit *hit = &cursor->ahead[cursor->at];

	status = hf_snapshot_read(cursor->snapshot, hit->position, cursor->mode, scratch, &record);
	if (status == HF_EWAIT || status == HF_EIO || status == HF_ENOMEM)
		return status;
	cursor->at++;
	if (status != HF_OK || record.type != HF_RECORD_DOC)
		return HF_ECORRUPT;
	*doc = (struct hf_doc){.position = hit->position, .rank = hit->rank, .payload = record.payload};
	return HF_OK;
}

void hf_cursor_set_mode(struct hf_cursor *cursor, enum hf_read_mode mode)
{
	cursor->mode = mode;
	if (cursor->iterator != NULL)
		hf_index_iterator_set_mode(cursor->iterator, mode);
}

size_t hf_cursor_bytes(const struct hf_cursor *cursor)
{
	return sizeof *cursor + (cursor->iterator != NULL ? hf_index_iterator_bytes(cursor->iterator) : 0);
}

void hf_cursor_close(struct hf_cursor *cursor)
{
	if (cursor == NULL)
		return;
	if (cursor->iterator != NULL)
		hf_index_iterator_close(cursor->iterator);
	free(cursor);
}

/* ---- In order of arrival ---- */

#define SCAN_POSITIONS 4096

int hf_snapshot_scan(struct hf_snapshot *snapshot, uint32_t collection, uint64_t from_position,
	int (*each)(void *context, const struct hf_doc *doc), void *context)
{
	int status;
	struct hf_index_view *view = hf_snapshot_view(snapshot, collection, &status);
	uint64_t *positions;
	struct hf_buffer scratch = {0};
	struct hf_log_record record;
	size_t count = SCAN_POSITIONS;

	if (view == NULL)
		return status;
	positions = malloc(SCAN_POSITIONS * sizeof *positions);
	if (positions == NULL)
		return HF_ENOMEM;
	while (status == HF_OK && count == SCAN_POSITIONS) {
		status = hf_index_positions(view, from_position, snapshot->position, positions, SCAN_POSITIONS, &count);
		for (size_t i = 0; i < count && status == HF_OK; i++) {
			from_position = positions[i] + 1;
			if (is_dead(snapshot, positions[i]))
				continue;
			status = hf_snapshot_read(snapshot, positions[i], HF_READ_BLOCKING, &scratch, &record);
			if (status == HF_OK)
				status = each(context, &(struct hf_doc){.position = positions[i], .payload = record.payload});
			else if (status == HF_ECORRUPT)
				status = HF_OK; /* counted and logged by the log; the rest goes on */
		}
	}
	free(positions);
	hf_buffer_free(&scratch);
	return status;
}

/* ---- Tables, as committed now ---- */

int hf_store_table_get(struct hf_store *store, uint32_t table, struct hf_slice key, struct hf_buffer *value)
{
	return hf_tables_get(&store->tables, table, key, value);
}

int hf_store_table_scan(struct hf_store *store, uint32_t table, struct hf_slice from,
	int (*each)(void *context, struct hf_slice key, struct hf_slice value), void *context)
{
	return hf_tables_scan(&store->tables, table, from, each, context);
}
