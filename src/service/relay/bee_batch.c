/* The store is the queue: events in order of arrival, and notes of removals. Both are read as of one snapshot: a note below its position
 * whose event is not in it is a removal; one whose event is there again is not; later notes are left for a later batch. */
#include "service/relay/bee_batch.h"

#include "data/event/removals.h"
#include "data/relay_bee.h"
#include "service/relay/internal.h"

#define ROW_HEAD_BYTES 8
#define FULL 1 /* not an error: the batch is */

/* ---- Rows ---- */

int hf_bee_rows_add(void *context, struct hf_slice key, struct hf_slice value)
{
	struct hf_bee_rows *rows = context;
	int r = hf_buffer_reserve(&rows->bytes, ROW_HEAD_BYTES + key.length + value.length);
	if (r < 0)
		return r;
	uint8_t *to = rows->bytes.data + rows->bytes.length;
	hf_store_le32(to, (uint32_t)key.length);
	hf_store_le32(to + 4, (uint32_t)value.length);
	memcpy(to + ROW_HEAD_BYTES, key.data, key.length);
	memcpy(to + ROW_HEAD_BYTES + key.length, value.data, value.length);
	rows->bytes.length += ROW_HEAD_BYTES + key.length + value.length;
	rows->count++;
	return HF_OK;
}

bool hf_bee_rows_next(struct hf_bee_rows *rows, struct hf_slice *key, struct hf_slice *value)
{
	if (rows->at == rows->bytes.length)
		return false;
	const uint8_t *from = rows->bytes.data + rows->at;
	*key = hf_slice(from + ROW_HEAD_BYTES, hf_load_le32(from));
	*value = hf_slice(key->data + key->length, hf_load_le32(from + 4));
	rows->at += ROW_HEAD_BYTES + key->length + value->length;
	return true;
}

void hf_bee_rows_clear(struct hf_bee_rows *rows)
{
	hf_buffer_clear(&rows->bytes);
	rows->at = rows->count = 0;
}

/* ---- What was removed ---- */

static int forget(void *context, struct hf_tx *tx)
{
	const struct hf_bee_batch *b = context;
	return hf_removals_forget(tx, b->collection, hf_buffer_slice(&b->forget));
}

/* Leaves of the ids that were noted those that are gone. */
static int keep_the_gone(struct hf_bee_batch *b, struct hf_snapshot *snapshot)
{
	size_t kept = 0;
	for (size_t i = 0; i < b->removed.length; i += HF_STORE_ID_BYTES) {
		struct hf_doc doc;
		const uint8_t *id = b->removed.data + i;
		int r = hf_snapshot_get(snapshot, b->collection, id, HF_READ_BLOCKING, &b->text, &doc);
		if (r < 0 && r != HF_ENOTFOUND && r != HF_ECORRUPT)
			return r;
		if (r == HF_ENOTFOUND)
			memmove(b->removed.data + HF_STORE_ID_BYTES * kept++, id, HF_STORE_ID_BYTES);
	}
	b->removed.length = HF_STORE_ID_BYTES * kept;
	return HF_OK;
}

/* ---- What came ---- */

static bool is_left_out(const struct hf_bee_batch *b, const struct hf_event *event)
{
	return (b->leaves_out_private && hf_relay_kind_is_private(event->kind)) || hf_event_expiration(event) <= b->now_s;
}

static int collect_one(void *context, const struct hf_doc *doc)
{
	struct hf_bee_batch *b = context;
	struct hf_event event;
	if (b->event_count >= b->event_count_max || b->rows.count >= HF_BEE_BATCH_ROWS_MAX || b->rows.bytes.length >= HF_BEE_BATCH_BYTES_MAX) {
		b->to = doc->position;
		return FULL;
	}
	hf_buffer_clear(&b->text);
	hf_buffer_clear(&b->json);
	int r = hf_event_unpack(doc->payload, &b->text, &event, NULL);
	if (r == HF_ENOMEM)
		return r;
	if (r < 0 || is_left_out(b, &event))
		return HF_OK; /* what cannot be read is not served by the relay either */
	r = hf_event_to_json(&event, &b->json);
	if (r == HF_OK)
		r = hf_relay_bee_rows(&event, hf_buffer_slice(&b->json), hf_bee_rows_add, &b->rows);
	b->event_count += r == HF_OK;
	return r;
}

static int collect(struct hf_bee_batch *b, struct hf_snapshot *snapshot)
{
	bool more;
	b->to = hf_snapshot_position(snapshot);
	b->doc_count = hf_snapshot_doc_count(snapshot, b->collection);
	int r = hf_removals_read(b->store, b->collection, b->to, b->event_count_max, &b->notes, &b->removed, &more);
	if (r == HF_OK)
		r = keep_the_gone(b, snapshot);
	if (r == HF_OK)
		r = hf_snapshot_scan(snapshot, b->collection, b->from, collect_one, b);
	b->is_complete = r == HF_OK && !more;
	return r == FULL ? HF_OK : r;
}

int hf_bee_batch_collect(struct hf_bee_batch *b)
{
	hf_buffer_clear(&b->notes);
	hf_buffer_clear(&b->removed);
	hf_bee_rows_clear(&b->rows);
	b->event_count = 0;
	int r = b->forget.length > 0 ? hf_store_commit_wait(b->store, HF_DURABLE_OS, forget, b) : HF_OK;
	if (r < 0)
		return r;
	hf_buffer_clear(&b->forget);
	struct hf_snapshot *snapshot = hf_store_snapshot(b->store);
	if (!snapshot)
		return HF_ENOMEM;
	r = collect(b, snapshot);
	hf_snapshot_release(snapshot);
	return r;
}

void hf_bee_batch_free(struct hf_bee_batch *b)
{
	struct hf_buffer *buffers[] = {&b->forget, &b->notes, &b->removed, &b->rows.bytes, &b->text, &b->json};
	for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
		hf_buffer_free(buffers[i]);
}
