/* Operations are encoded into the group's buffer at once; what a later commit of the group may see of them (kills, table
 * values, log lengths, documents) is kept beside it and given up or taken back with the commit. */
#include "store/block_run.h"
#include "store/writer.h"

#include <stdlib.h>

#include "base/array.h"

#define SHARED_BYTES_MIN 4096u /* shorter blocks are copied: a piece of its own costs as much to write */

int hf_tx_init(struct hf_tx *tx, struct hf_store *store)
{
	*tx = (struct hf_tx){.store = store};
	if (hf_array_reserve(&tx->pieces, &tx->piece_capacity, 1, sizeof *tx->pieces) != HF_OK)
		return HF_ENOMEM;
	return hf_tables_init(&tx->staged);
}

void hf_tx_free(struct hf_tx *tx)
{
	hf_snapshot_clear(&tx->snapshot);
	hf_buffer_free(&tx->buffer);
	free(tx->docs);
	free(tx->terms);
	free(tx->outside);
	free(tx->pieces);
	free(tx->kills);
	free(tx->lengths);
	hf_place_free(&tx->kill_map);
	hf_place_free(&tx->length_map);
	hf_tables_free(&tx->staged);
}

static void clear_staged_tables(struct hf_tx *tx)
{
	if (tx->staged.count == 0)
		return;
	hf_tables_free(&tx->staged);
	hf_tables_init(&tx->staged);
}

/* Room for a record whose payload has that many bytes; *payload is where it goes. */
static int add_record(struct hf_tx *tx, uint8_t type, uint32_t stream, size_t payload_bytes, uint8_t **payload, uint64_t *position)
{
	size_t bytes = hf_log_record_bytes(payload_bytes);
	int status = hf_buffer_reserve(&tx->buffer, bytes);

	if (status != HF_OK)
		return tx->error = status;
	uint8_t *data = tx->buffer.data + tx->buffer.length;

	memset(data, 0, HF_LOG_RECORD_HEADER_BYTES);
	memset(data + bytes - 4, 0, 4);
	hf_store_le32(data + 4, (uint32_t)payload_bytes);
	data[8] = type;
	hf_store_le32(data + 12, stream);
	*payload = data + HF_LOG_RECORD_HEADER_BYTES;
	if (position != NULL)
		*position = tx->base + tx->buffer.length;
	tx->last_record = tx->buffer.length;
	tx->buffer.length += bytes;
	return HF_OK;
}

int hf_tx_begin_group(struct hf_tx *tx)
{
	uint8_t *payload;
	int status;

	hf_buffer_clear(&tx->buffer);
	tx->drops = tx->ends_group = false;
	tx->base = hf_log_end(tx->store->log);
	tx->kill_count = tx->commit_kill = tx->length_count = tx->commit_length = 0;
	tx->outside_count = tx->commit_outside = 0;
	hf_place_clear(&tx->kill_map);
	hf_place_clear(&tx->length_map);
	clear_staged_tables(tx);
	hf_snapshot_clear(&tx->snapshot);
	hf_snapshot_init(&tx->snapshot, tx->store, tx->base);
	tx->snapshot.tx = tx;
	tx->error = HF_OK;
	status = add_record(tx, HF_RECORD_GROUP, 0, HF_RECORD_GROUP_BYTES, &payload, NULL);
	if (status != HF_OK)
		return status;
	tx->mark_bytes = tx->buffer.length;
	hf_store_le64(payload, hf_log_synced(tx->store->log));
	hf_log_finish_record(tx->store->log, tx->buffer.data, tx->base,
		&(struct hf_log_record){.type = HF_RECORD_GROUP, .flags = HF_LOG_LAST}, HF_RECORD_GROUP_BYTES, hf_slice(NULL, 0));
	return HF_OK;
}

void hf_tx_begin_commit(struct hf_tx *tx)
{
	tx->commit_start = tx->buffer.length;
	tx->snapshot.position = tx->base + tx->commit_start;
	tx->commit_kill = tx->kill_count;
	tx->commit_length = tx->length_count;
	tx->commit_outside = tx->outside_count;
	tx->doc_count = tx->term_count = 0;
	tx->error = HF_OK;
	tx->drops = tx->ends_group = false;
}

/* The map again, of what is left of the list. */
static void map_kills(struct hf_tx *tx)
{
	hf_place_clear(&tx->kill_map);
	for (size_t i = 0; i < tx->kill_count; i++)
		hf_place_put(&tx->kill_map, tx->kills[i].position, (uint32_t)i); /* it was larger: there is room */
}

static void map_lengths(struct hf_tx *tx)
{
	hf_place_clear(&tx->length_map);
	for (size_t i = 0; i < tx->length_count; i++)
		hf_place_put(&tx->length_map, tx->lengths[i].log, (uint32_t)i);
}

void hf_tx_drop_commit(struct hf_tx *tx)
{
	tx->buffer.length = tx->commit_start;
	tx->outside_count = tx->commit_outside;
	if (tx->kill_count > tx->commit_kill) {
		tx->kill_count = tx->commit_kill;
		map_kills(tx);
	}
	if (tx->length_count > tx->commit_length) {
		tx->length_count = tx->commit_length;
		map_lengths(tx);
	}
	tx->doc_count = tx->term_count = 0;
}

/* Table changes become visible to the commits that follow. */
static int stage_table(struct hf_tx *tx, const uint8_t *record)
{
	struct hf_slice payload = hf_slice(record + HF_LOG_RECORD_HEADER_BYTES, hf_load_le32(record + 4)), key, value;
	uint32_t table = hf_load_le32(record + 12);
	static const uint8_t gone = 0;

	if (record[8] == HF_RECORD_TABLE_DELETE)
		return hf_tables_put(&tx->staged, table, payload, hf_slice(&gone, 1));
	if (!hf_record_read_table_put(payload, &key, &value))
		return HF_EINVAL;
	uint8_t *present = malloc(value.length + 1);

	if (present == NULL)
		return HF_ENOMEM;
	present[0] = 1;
	memcpy(present + 1, value.data, value.length);
	int status = hf_tables_put(&tx->staged, table, key, hf_slice(present, value.length + 1));

	free(present);
	return status;
}

int hf_tx_finish_commit(struct hf_tx *tx)
{
	size_t next = tx->commit_outside;
	int status = HF_OK;

	for (size_t at = tx->commit_start; at < tx->buffer.length && status == HF_OK;) {
		uint8_t *data = tx->buffer.data + at;
		uint32_t payload_bytes = hf_load_le32(data + 4);
		struct hf_log_record record = {
			.type = data[8], .flags = at == tx->last_record ? HF_LOG_LAST : 0, .stream = hf_load_le32(data + 12),
		};

		bool is_outside = next < tx->outside_count && tx->outside[next].record == at;

		hf_log_finish_record(tx->store->log, data, tx->base + at, &record, payload_bytes,
			is_outside ? tx->outside[next++].bytes : hf_slice(NULL, 0));
		if (record.type == HF_RECORD_TABLE_PUT || record.type == HF_RECORD_TABLE_DELETE)
			status = stage_table(tx, data);
		at += hf_log_record_bytes(payload_bytes);
	}
	return status;
}

const struct iovec *hf_tx_pieces(struct hf_tx *tx, size_t length, int *count)
{
	size_t from = 0;

	*count = 0;
	for (size_t i = 0; i < tx->outside_count && tx->outside[i].record < length; i++) {
		const struct hf_tx_outside *outside = &tx->outside[i];
		uint8_t *record = tx->buffer.data + outside->record;
		size_t end = outside->record + HF_LOG_RECORD_HEADER_BYTES + hf_load_le32(record + 4);

		tx->pieces[(*count)++] = (struct iovec){tx->buffer.data + from, end - outside->bytes.length - from};
		tx->pieces[(*count)++] = (struct iovec){(void *)(uintptr_t)outside->bytes.data, outside->bytes.length};
		from = end;
	}
	if (from < length)
		tx->pieces[(*count)++] = (struct iovec){tx->buffer.data + from, length - from};
	return tx->pieces;
}

/* Those of the commit that is being staged are what is left. */
static void forget_outside(struct hf_tx *tx, size_t length)
{
	size_t written = tx->commit_outside;

	for (size_t i = written; i < tx->outside_count; i++) {
		tx->outside[i - written] = tx->outside[i];
		tx->outside[i - written].record -= length;
	}
	tx->outside_count -= written;
	tx->commit_outside = 0;
}

void hf_tx_forget_written(struct hf_tx *tx, size_t length)
{
	size_t own = tx->kill_count - tx->commit_kill;

	forget_outside(tx, length);
	hf_buffer_consume(&tx->buffer, length);
	tx->base += length;
	tx->commit_start -= length;
	tx->last_record -= length;
	tx->mark_bytes = 0;
	if (own > 0)
		memmove(tx->kills, tx->kills + tx->commit_kill, own * sizeof *tx->kills);
	tx->kill_count = own;
	tx->commit_kill = 0;
	map_kills(tx);
	hf_snapshot_clear(&tx->snapshot);
	hf_snapshot_init(&tx->snapshot, tx->store, tx->base + tx->commit_start);
	tx->snapshot.tx = tx;
}

bool hf_tx_is_killed(const struct hf_tx *tx, uint64_t position, bool own)
{
	uint32_t place = hf_place_get(&tx->kill_map, position);

	return place != HF_PLACE_NONE && (own || place < tx->commit_kill);
}

int hf_tx_read_staged(const struct hf_tx *tx, uint64_t position, struct hf_buffer *scratch, struct hf_log_record *record)
{
	size_t at = position - tx->base;

	if (at >= tx->buffer.length)
		return HF_ENOTFOUND;
	const uint8_t *data = tx->buffer.data + at;
	size_t payload_bytes = hf_load_le32(data + 4);

	hf_buffer_clear(scratch);
	int status = hf_buffer_append(scratch, data, HF_LOG_RECORD_HEADER_BYTES + payload_bytes);

	if (status != HF_OK)
		return status;
	*record = (struct hf_log_record){
		.position = position, .type = data[8], .flags = data[9], .stream = hf_load_le32(data + 12),
		.payload = hf_slice(scratch->data + HF_LOG_RECORD_HEADER_BYTES, payload_bytes),
	};
	return HF_OK;
}

struct hf_doc_key hf_tx_doc_key(const struct hf_tx *tx, const struct hf_tx_doc *doc)
{
	struct hf_doc_key key = {.rank = doc->rank, .term_count = doc->term_count};

	if (doc->term_count > 0)
		key.terms = tx->terms + doc->first_term;
	memcpy(key.id, doc->id, sizeof key.id);
	return key;
}

struct hf_store *hf_tx_store(struct hf_tx *tx)
{
	return tx->store;
}

struct hf_snapshot *hf_tx_snapshot(struct hf_tx *tx)
{
	return &tx->snapshot;
}

/* ---- Documents ---- */

static const struct hf_tx_doc *own_doc(const struct hf_tx *tx, uint32_t collection, const uint8_t *id)
{
	uint64_t lead = hf_load_le64(id);

	for (size_t i = 0; i < tx->doc_count; i++)
		if (hf_load_le64(tx->docs[i].id) == lead && tx->docs[i].collection == collection &&
		    memcmp(tx->docs[i].id, id, HF_STORE_ID_BYTES) == 0)
			return &tx->docs[i];
	return NULL;
}

/* The document that lives after everything staged so far, but for this commit's own puts. The index still lists killed
 * ones until the group is written; so that it never lists two of one id, a commit that puts a killed id again ends its group. */
static int find_live(struct hf_tx *tx, uint32_t collection, const uint8_t *id, struct hf_index_hit *hit, struct hf_log_record *record)
{
	bool dead = true;
	int status;

	for (int tries = 0; tries < 2 && dead; tries++) {
		hit->position = 0;
		status = hf_snapshot_find(&tx->snapshot, collection, id, tx->base + tx->commit_start, HF_READ_BLOCKING,
			&tx->snapshot.scratch, hit, record);
		if (status != HF_OK)
			return status;
		/* One that died in an earlier group and whose mark was put off is marked now, for the same reason. */
		dead = hf_kills_hide(&tx->store->kills, hit->position, UINT64_MAX);
		if (dead)
			hf_kills_mark(tx->store, hit->position);
	}
	return dead || hf_tx_is_killed(tx, hit->position, true) ? HF_ENOTFOUND : HF_OK;
}

static int add_doc(struct hf_tx *tx, uint32_t collection, const struct hf_doc_key *key, uint64_t position)
{
	if (hf_array_reserve(&tx->docs, &tx->doc_capacity, tx->doc_count + 1, sizeof *tx->docs) != HF_OK ||
	    hf_array_reserve(&tx->terms, &tx->term_capacity, tx->term_count + key->term_count, sizeof *tx->terms) != HF_OK)
		return tx->error = HF_ENOMEM;
	struct hf_tx_doc *doc = &tx->docs[tx->doc_count++];

	*doc = (struct hf_tx_doc){
		.collection = collection, .term_count = key->term_count, .first_term = tx->term_count, .position = position, .rank = key->rank,
	};
	memcpy(doc->id, key->id, sizeof doc->id);
	if (key->term_count > 0)
		memcpy(tx->terms + tx->term_count, key->terms, key->term_count * sizeof *key->terms);
	tx->term_count += key->term_count;
	return HF_OK;
}

static size_t gather(uint8_t *out, const struct iovec *slices, int count)
{
	size_t length = 0;

	for (int i = 0; i < count; i++) {
		if (out != NULL && slices[i].iov_len > 0)
			memcpy(out + length, slices[i].iov_base, slices[i].iov_len);
		length += slices[i].iov_len;
	}
	return length;
}

int hf_tx_put(struct hf_tx *tx, uint32_t collection, const struct hf_doc_key *key,
	const struct iovec *payload, int payload_count, uint64_t *position)
{
	size_t length = gather(NULL, payload, payload_count);
	struct hf_log_record record;
	struct hf_index_hit hit;
	uint64_t place;
	uint8_t *out;
	int status;

	if (collection >= HF_STORE_COLLECTION_COUNT_MAX || tx->drops)
		return HF_EINVAL;
	if (length > HF_STORE_DOC_BYTES_MAX || key->term_count > HF_STORE_TERM_COUNT_MAX)
		return HF_ETOOBIG;
	if (own_doc(tx, collection, key->id) != NULL)
		return HF_EEXISTS;
	status = find_live(tx, collection, key->id, &hit, &record);
	if (status != HF_ENOTFOUND)
		return status == HF_OK ? HF_EEXISTS : status;
	tx->ends_group |= hit.position != 0;
	status = add_record(tx, HF_RECORD_DOC, collection, length, &out, &place);
	if (status == HF_OK)
		status = add_doc(tx, collection, key, place);
	if (status != HF_OK)
		return status;
	gather(out, payload, payload_count);
	if (position != NULL)
		*position = place;
	return HF_OK;
}

int hf_tx_delete(struct hf_tx *tx, uint32_t collection, const uint8_t id[static HF_STORE_ID_BYTES])
{
	struct hf_log_record victim;
	struct hf_index_hit hit;
	uint64_t bytes;
	uint8_t *out;
	int status;

	if (collection >= HF_STORE_COLLECTION_COUNT_MAX || tx->drops)
		return HF_EINVAL;
	status = find_live(tx, collection, id, &hit, &victim);
	if (status != HF_OK)
		return status;
	if (victim.position == 0)
		status = hf_snapshot_read(&tx->snapshot, hit.position, HF_READ_BLOCKING, &tx->snapshot.scratch, &victim);
	if (status != HF_OK && status != HF_ECORRUPT) /* what cannot be read may go */
		return status;
	bytes = status == HF_OK ? hf_log_record_bytes(victim.payload.length) : 0;
	if (hf_array_reserve(&tx->kills, &tx->kill_capacity, tx->kill_count + 1, sizeof *tx->kills) != HF_OK ||
	    hf_place_put(&tx->kill_map, hit.position, (uint32_t)tx->kill_count) != HF_OK)
		return tx->error = HF_ENOMEM;
	struct hf_tx_kill *kill = &tx->kills[tx->kill_count++];

	*kill = (struct hf_tx_kill){.position = hit.position, .collection = collection, .record_bytes = (uint32_t)bytes};
	memcpy(kill->id, id, sizeof kill->id);
	status = add_record(tx, HF_RECORD_DELETE, collection, HF_RECORD_DELETE_BYTES, &out, NULL);
	if (status != HF_OK)
		return status;
	memcpy(out, id, HF_STORE_ID_BYTES);
	hf_store_le64(out + HF_STORE_ID_BYTES, hit.position);
	hf_store_le32(out + HF_STORE_ID_BYTES + 8, (uint32_t)bytes);
	return HF_OK;
}

int hf_tx_drop_collection(struct hf_tx *tx, uint32_t collection)
{
	uint8_t *out;

	if (collection >= HF_STORE_COLLECTION_COUNT_MAX)
		return HF_EINVAL;
	tx->drops = tx->ends_group = true;
	return add_record(tx, HF_RECORD_DROP, collection, 0, &out, NULL);
}

/* ---- Tables ---- */

int hf_tx_table_put(struct hf_tx *tx, uint32_t table, struct hf_slice key, struct hf_slice value)
{
	uint8_t *out;
	int status;

	if (key.length > HF_STORE_TABLE_KEY_BYTES_MAX || value.length > HF_STORE_TABLE_VALUE_BYTES_MAX)
		return HF_ETOOBIG;
	status = add_record(tx, HF_RECORD_TABLE_PUT, table, 2 + key.length + value.length, &out, NULL);
	if (status != HF_OK)
		return status;
	hf_store_le16(out, (uint16_t)key.length);
	if (key.length > 0)
		memcpy(out + 2, key.data, key.length);
	if (value.length > 0)
		memcpy(out + 2 + key.length, value.data, value.length);
	return HF_OK;
}

int hf_tx_table_delete(struct hf_tx *tx, uint32_t table, struct hf_slice key)
{
	uint8_t *out;
	int status;

	if (key.length > HF_STORE_TABLE_KEY_BYTES_MAX)
		return HF_ETOOBIG;
	status = add_record(tx, HF_RECORD_TABLE_DELETE, table, key.length, &out, NULL);
	if (status == HF_OK && key.length > 0)
		memcpy(out, key.data, key.length);
	return status;
}

int hf_tx_table_get(struct hf_tx *tx, uint32_t table, struct hf_slice key, struct hf_buffer *value)
{
	size_t start = value->length;
	int status = tx->staged.count == 0 ? HF_ENOTFOUND : hf_tables_get(&tx->staged, table, key, value);

	if (status == HF_ENOTFOUND)
		return hf_tables_get(&tx->store->tables, table, key, value);
	if (status != HF_OK)
		return status;
	if (value->data[start] == 0) {
		value->length = start;
		return HF_ENOTFOUND;
	}
	memmove(value->data + start, value->data + start + 1, value->length - start - 1);
	value->length--;
	return HF_OK;
}

/* ---- Logs ---- */

static int staged_length(struct hf_tx *tx, uint64_t log, struct hf_tx_length *out)
{
	uint32_t place = hf_place_get(&tx->length_map, log);
	int status;

	if (place != HF_PLACE_NONE) {
		*out = tx->lengths[place];
		return HF_OK;
	}
	*out = (struct hf_tx_length){.log = log};
	status = hf_blocks_length(tx->store->blocks, log, &out->length);
	out->exists = status == HF_OK;
	return status == HF_ENOTFOUND ? HF_OK : status;
}

static int stage_length(struct hf_tx *tx, const struct hf_tx_length *length)
{
	uint32_t place = hf_place_get(&tx->length_map, length->log);

	if (place != HF_PLACE_NONE && place >= tx->commit_length) {
		tx->lengths[place] = *length;
		return HF_OK;
	}
	if (hf_array_reserve(&tx->lengths, &tx->length_capacity, tx->length_count + 1, sizeof *tx->lengths) != HF_OK ||
	    hf_place_put(&tx->length_map, length->log, (uint32_t)tx->length_count) != HF_OK)
		return tx->error = HF_ENOMEM;
	tx->lengths[tx->length_count++] = *length;
	return HF_OK;
}

/* A record whose payload is `count` varints, and room for as many bytes more, at *rest. */
static int begin_log_record(struct hf_tx *tx, uint8_t type, const uint64_t *values, int count, size_t rest_bytes, uint8_t **rest)
{
	uint8_t head[3 * HF_VARINT_BYTES_MAX];
	size_t head_bytes = 0;
	uint8_t *out;
	int status;

	for (int i = 0; i < count; i++)
		head_bytes += hf_varint_write(head + head_bytes, values[i]);
	status = add_record(tx, type, 0, head_bytes + rest_bytes, &out, NULL);
	if (status != HF_OK)
		return status;
	memcpy(out, head, head_bytes);
	*rest = out + head_bytes;
	return HF_OK;
}

static int add_log_record(struct hf_tx *tx, uint8_t type, const uint64_t *values, int count)
{
	uint8_t *rest;

	return begin_log_record(tx, type, values, count, 0, &rest);
}

/* The log is to reach to the block, at least. */
static int cover(struct hf_tx *tx, uint64_t log, uint64_t index, size_t block_bytes)
{
	struct hf_tx_length length;
	int status = staged_length(tx, log, &length);

	if (status != HF_OK)
		return status;
	if (index > HF_BLOCK_INDEX_MAX || block_bytes > HF_STORE_BLOCK_BYTES_MAX)
		return HF_ETOOBIG;
	length.exists = true;
	if (length.length <= index)
		length.length = index + 1;
	return stage_length(tx, &length);
}

int hf_tx_log_put(struct hf_tx *tx, uint64_t log, uint64_t index, const struct iovec *block, int block_count)
{
	size_t bytes = gather(NULL, block, block_count);
	uint8_t *out;
	int status = cover(tx, log, index, bytes);

	if (status == HF_OK)
		status = begin_log_record(tx, HF_RECORD_BLOCK, (uint64_t[]){log, index}, 2, bytes, &out);
	if (status == HF_OK)
		gather(out, block, block_count);
	return status;
}

int hf_tx_log_put_shared(struct hf_tx *tx, uint64_t log, uint64_t index, struct hf_slice block)
{
	struct iovec copied = {(void *)(uintptr_t)block.data, block.length};
	size_t record = tx->buffer.length;
	uint8_t *out;
	int status;

	if (block.length < SHARED_BYTES_MIN)
		return hf_tx_log_put(tx, log, index, &copied, 1);
	status = cover(tx, log, index, block.length);
	if (status != HF_OK)
		return status;
	if (hf_array_reserve(&tx->outside, &tx->outside_capacity, tx->outside_count + 1, sizeof *tx->outside) != HF_OK ||
	    hf_array_reserve(&tx->pieces, &tx->piece_capacity, 2 * tx->outside_count + 3, sizeof *tx->pieces) != HF_OK)
		return tx->error = HF_ENOMEM;
	status = begin_log_record(tx, HF_RECORD_BLOCK, (uint64_t[]){log, index}, 2, block.length, &out);
	if (status == HF_OK)
		tx->outside[tx->outside_count++] = (struct hf_tx_outside){record, block};
	return status;
}

int hf_tx_log_append(struct hf_tx *tx, uint64_t log, const struct iovec *block, int block_count, uint64_t *index)
{
	struct hf_tx_length length;
	int status = staged_length(tx, log, &length);

	if (status == HF_OK)
		status = hf_tx_log_put(tx, log, length.length, block, block_count);
	if (status == HF_OK && index != NULL)
		*index = length.length;
	return status;
}

/* Of a log that is there: HF_ENOTFOUND. */
static int existing_length(struct hf_tx *tx, uint64_t log, struct hf_tx_length *out)
{
	int status = staged_length(tx, log, out);

	return status == HF_OK && !out->exists ? HF_ENOTFOUND : status;
}

int hf_tx_log_truncate(struct hf_tx *tx, uint64_t log, uint64_t new_length)
{
	struct hf_tx_length length;
	int status = existing_length(tx, log, &length);

	if (status != HF_OK)
		return status;
	if (new_length >= length.length)
		return HF_OK;
	length.length = new_length;
	status = stage_length(tx, &length);
	return status != HF_OK ? status : add_log_record(tx, HF_RECORD_LOG_TRUNCATE, (uint64_t[]){log, new_length}, 2);
}

int hf_tx_log_clear(struct hf_tx *tx, uint64_t log, uint64_t from, uint64_t to)
{
	struct hf_tx_length length;
	int status = existing_length(tx, log, &length);

	if (status != HF_OK)
		return status;
	if (to > length.length)
		to = length.length;
	return from >= to ? HF_OK : add_log_record(tx, HF_RECORD_LOG_CLEAR, (uint64_t[]){log, from, to}, 3);
}

int hf_tx_log_drop(struct hf_tx *tx, uint64_t log)
{
	struct hf_tx_length length;
	int status = existing_length(tx, log, &length);

	if (status != HF_OK)
		return status;
	length = (struct hf_tx_length){.log = log};
	status = stage_length(tx, &length);
	return status != HF_OK ? status : add_log_record(tx, HF_RECORD_LOG_DROP, &log, 1);
}
