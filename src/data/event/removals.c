/* Notes are small and few: they are gone a moment after they came, as long as somebody follows. */
#include "data/event/removals.h"

#define MARK_KEY_BYTES 4
#define NOTE_KEY_BYTES 12

/* Big-endian, so that notes lie in the order of their positions. */
static void write_number(uint8_t *out, uint64_t number, int bytes)
{
	for (int i = bytes; i-- > 0; number >>= 8)
		out[i] = (uint8_t)number;
}

static uint64_t read_number(const uint8_t *bytes, int count)
{
	uint64_t number = 0;
	for (int i = 0; i < count; i++)
		number = number << 8 | bytes[i];
	return number;
}

static struct hf_slice note_key(uint8_t key[static NOTE_KEY_BYTES], uint32_t collection, uint64_t position)
{
	write_number(key, collection, MARK_KEY_BYTES);
	write_number(key + MARK_KEY_BYTES, position, 8);
	return hf_slice(key, NOTE_KEY_BYTES);
}

static struct hf_slice mark_key(uint8_t key[static MARK_KEY_BYTES], uint32_t collection)
{
	write_number(key, collection, MARK_KEY_BYTES);
	return hf_slice(key, MARK_KEY_BYTES);
}

static int put_mark(struct hf_tx *tx, uint32_t collection, bool is_kept, struct hf_slice mark)
{
	uint8_t key[MARK_KEY_BYTES];
	struct hf_buffer value = {0};
	int r = hf_buffer_append(&value, is_kept ? "\1" : "\0", 1);
	if (r == HF_OK)
		r = hf_buffer_append(&value, mark.data, mark.length);
	if (r == HF_OK)
		r = hf_tx_table_put(tx, HF_REMOVALS_TABLE, mark_key(key, collection), hf_buffer_slice(&value));
	hf_buffer_free(&value);
	return r;
}

int hf_removals_keep(struct hf_tx *tx, uint32_t collection, struct hf_slice mark)
{
	return put_mark(tx, collection, true, mark);
}

int hf_removals_end(struct hf_tx *tx, uint32_t collection)
{
	uint8_t key[MARK_KEY_BYTES];
	struct hf_buffer value = {0};
	int r = hf_tx_table_get(tx, HF_REMOVALS_TABLE, mark_key(key, collection), &value);
	if (r == HF_OK && value.length > 0)
		r = put_mark(tx, collection, false, hf_slice(value.data + 1, value.length - 1));
	hf_buffer_free(&value);
	return r == HF_ENOTFOUND ? HF_OK : r;
}

int hf_removals_mark(struct hf_store *store, uint32_t collection, bool *is_kept, struct hf_buffer *mark)
{
	uint8_t key[MARK_KEY_BYTES];
	struct hf_buffer value = {0};
	int r = hf_store_table_get(store, HF_REMOVALS_TABLE, mark_key(key, collection), &value);
	if (r == HF_OK && value.length == 0)
		r = HF_ECORRUPT;
	*is_kept = r == HF_OK && value.data[0] == 1;
	if (r == HF_OK)
		r = hf_buffer_append(mark, value.data + 1, value.length - 1);
	hf_buffer_free(&value);
	return r;
}

int hf_removals_note(struct hf_tx *tx, uint32_t collection, struct hf_slice ids)
{
	uint8_t key[NOTE_KEY_BYTES];
	struct hf_buffer mark = {0};
	if (ids.length == 0)
		return HF_OK;
	int r = hf_tx_table_get(tx, HF_REMOVALS_TABLE, mark_key(key, collection), &mark);
	bool is_kept = r == HF_OK && mark.length > 0 && mark.data[0] == 1;
	hf_buffer_free(&mark);
	if (!is_kept)
		return r == HF_ENOTFOUND ? HF_OK : r;
	uint64_t position = hf_snapshot_position(hf_tx_snapshot(tx));
	return hf_tx_table_put(tx, HF_REMOVALS_TABLE, note_key(key, collection, position), ids);
}

/* ---- Reading ---- */

struct reading {
	uint32_t collection;
	uint64_t below;
	size_t id_bytes_max;
	struct hf_buffer *positions, *ids;
	size_t ids_before;
	bool more;
};

#define STOP 1 /* not an error: there is nothing more to see */

static int read_one(void *context, struct hf_slice key, struct hf_slice value)
{
	struct reading *r = context;
	uint8_t position[8];
	uint64_t at = key.length == NOTE_KEY_BYTES ? read_number(key.data + MARK_KEY_BYTES, 8) : UINT64_MAX;
	if (at >= r->below || read_number(key.data, MARK_KEY_BYTES) != r->collection)
		return STOP;
	if (r->ids->length - r->ids_before >= r->id_bytes_max) {
		r->more = true;
		return STOP;
	}
	hf_store_le64(position, at);
	int status = hf_buffer_append(r->positions, position, sizeof position);
	return status == HF_OK ? hf_buffer_append(r->ids, value.data, value.length) : status;
}

int hf_removals_read(struct hf_store *store, uint32_t collection, uint64_t below, size_t id_count_max, struct hf_buffer *positions,
	struct hf_buffer *ids, bool *more)
{
	struct reading reading = {collection, below, id_count_max * HF_STORE_ID_BYTES, positions, ids, ids->length, false};
	uint8_t from[NOTE_KEY_BYTES];
	int r = hf_store_table_scan(store, HF_REMOVALS_TABLE, note_key(from, collection, 0), read_one, &reading);
	*more = reading.more;
	return r == STOP ? HF_OK : r;
}

int hf_removals_forget(struct hf_tx *tx, uint32_t collection, struct hf_slice positions)
{
	uint8_t key[NOTE_KEY_BYTES];
	int r = HF_OK;
	for (size_t i = 0; r == HF_OK && i + 8 <= positions.length; i += 8) {
		r = hf_tx_table_delete(tx, HF_REMOVALS_TABLE, note_key(key, collection, hf_load_le64(positions.data + i)));
		r = r == HF_ENOTFOUND ? HF_OK : r;
	}
	return r;
}
