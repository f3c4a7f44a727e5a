#include "wire/dht/routing.h"

#include <stdlib.h>

#include "base/array.h"

void hf_dht_table_init(struct hf_dht_table *table, const uint8_t id[static HF_DHT_ID_BYTES])
{
	*table = (struct hf_dht_table){.count = 0};
	memcpy(table->id, id, HF_DHT_ID_BYTES);
}

static void free_rows(struct hf_dht_row **rows, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(rows[i]);
	free(rows);
}

void hf_dht_table_free(struct hf_dht_table *table)
{
	for (struct hf_dht_entry *entry = table->oldest, *newer; entry; entry = newer) {
		newer = entry->newer;
		free(entry);
	}
	free_rows(table->rows, table->row_count);
	*table = (struct hf_dht_table){.count = 0};
}

unsigned hf_dht_table_row_of(const struct hf_dht_table *table, const uint8_t id[static HF_DHT_ID_BYTES])
{
	for (unsigned i = 0; i < HF_DHT_ID_BYTES; i++) {
		unsigned difference = table->id[i] ^ id[i];
		if (difference)
			return 8 * i + (unsigned)__builtin_clz(difference) - 24;
	}
	return HF_DHT_ROW_COUNT - 1;
}

/* ---- Rows ---- */

const struct hf_dht_row *hf_dht_table_row(const struct hf_dht_table *table, const uint8_t id[static HF_DHT_ID_BYTES])
{
	unsigned at = hf_dht_table_row_of(table, id);

	return at < table->row_count ? table->rows[at] : NULL;
}

/* Where an id is in a row, or would be. */
static unsigned place_in(const struct hf_dht_row *row, const uint8_t *id)
{
	unsigned at = 0;

	while (at < row->count && memcmp(row->entries[at]->contact.id, id, HF_DHT_ID_BYTES) < 0)
		at++;
	return at;
}

static bool is_at(const struct hf_dht_row *row, unsigned at, const uint8_t *id)
{
	return at < row->count && memcmp(row->entries[at]->contact.id, id, HF_DHT_ID_BYTES) == 0;
}

struct hf_dht_entry *hf_dht_table_get(const struct hf_dht_table *table, const uint8_t id[static HF_DHT_ID_BYTES])
{
	const struct hf_dht_row *row = hf_dht_table_row(table, id);
	unsigned at = row ? place_in(row, id) : 0;

	return row && is_at(row, at, id) ? row->entries[at] : NULL;
}

static int make_row(struct hf_dht_table *table, unsigned at)
{
	int r = hf_array_reserve(&table->rows, &table->row_capacity, at + 1, sizeof *table->rows);

	if (r < 0)
		return r;
	while (table->row_count <= at)
		table->rows[table->row_count++] = NULL;
	if (!table->rows[at])
		table->rows[at] = calloc(1, sizeof **table->rows);
	return table->rows[at] ? HF_OK : HF_ENOMEM;
}

static int insert(struct hf_dht_table *table, struct hf_dht_entry *entry)
{
	unsigned row_at = hf_dht_table_row_of(table, entry->contact.id);
	int r = make_row(table, row_at);

	if (r < 0)
		return r;
	struct hf_dht_row *row = table->rows[row_at];
	unsigned at = place_in(row, entry->contact.id);
	if (row->count == HF_DHT_K)
		return HF_EBUSY;
	memmove(row->entries + at + 1, row->entries + at, (row->count - at) * sizeof *row->entries);
	row->entries[at] = entry;
	row->count++;
	return HF_OK;
}

/* ---- The order of hearing ---- */

static void unlink_entry(struct hf_dht_table *table, struct hf_dht_entry *entry)
{
	*(entry->older ? &entry->older->newer : &table->oldest) = entry->newer;
	*(entry->newer ? &entry->newer->older : &table->latest) = entry->older;
}

static void link_latest(struct hf_dht_table *table, struct hf_dht_entry *entry)
{
	entry->older = table->latest;
	entry->newer = NULL;
	*(table->latest ? &table->latest->newer : &table->oldest) = entry;
	table->latest = entry;
}

void hf_dht_table_heard(struct hf_dht_table *table, struct hf_dht_entry *entry)
{
	unlink_entry(table, entry);
	link_latest(table, entry);
}

/* ---- Changing ---- */

int hf_dht_table_add(struct hf_dht_table *table, const struct hf_dht_contact *contact, uint32_t tick, struct hf_dht_entry **out)
{
	const struct hf_dht_row *row = hf_dht_table_row(table, contact->id);

	if (memcmp(table->id, contact->id, HF_DHT_ID_BYTES) == 0 || hf_dht_table_get(table, contact->id))
		return HF_EEXISTS;
	if (row && row->count == HF_DHT_K)
		return HF_EBUSY;
	struct hf_dht_entry *entry = calloc(1, sizeof *entry);
	if (!entry)
		return HF_ENOMEM;
	entry->contact = *contact;
	entry->added_tick = entry->pinged_tick = entry->seen_tick = tick;
	int r = insert(table, entry);
	if (r < 0) {
		free(entry);
		return r;
	}
	link_latest(table, entry);
	table->count++;
	if (out)
		*out = entry;
	return HF_OK;
}

void hf_dht_table_remove(struct hf_dht_table *table, struct hf_dht_entry *entry)
{
	struct hf_dht_row *row = table->rows[hf_dht_table_row_of(table, entry->contact.id)];
	unsigned at = place_in(row, entry->contact.id);

	row->count--;
	memmove(row->entries + at, row->entries + at + 1, (row->count - at) * sizeof *row->entries);
	unlink_entry(table, entry);
	table->count--;
	free(entry);
}

int hf_dht_table_rekey(struct hf_dht_table *table, const uint8_t id[static HF_DHT_ID_BYTES])
{
	struct hf_dht_table next;
	int r = HF_OK;

	hf_dht_table_init(&next, id);
	for (struct hf_dht_entry *entry = table->oldest; entry && r != HF_ENOMEM; entry = entry->newer)
		r = memcmp(entry->contact.id, id, HF_DHT_ID_BYTES) == 0 ? HF_EEXISTS : insert(&next, entry);
	if (r == HF_ENOMEM) {
		free_rows(next.rows, next.row_count);
		return r;
	}
	for (struct hf_dht_entry *entry = table->oldest, *newer; entry; entry = newer) {
		newer = entry->newer;
		if (hf_dht_table_get(&next, entry->contact.id) != entry) {
			unlink_entry(table, entry);
			table->count--;
			free(entry);
		}
	}
	free_rows(table->rows, table->row_count);
	next.count = table->count;
	next.oldest = table->oldest;
	next.latest = table->latest;
	*table = next;
	return HF_OK;
}

/* ---- Finding ---- */

static size_t take_row(const struct hf_dht_table *table, size_t at, const struct hf_dht_entry **out, size_t count, size_t count_max)
{
	const struct hf_dht_row *row = at < table->row_count ? table->rows[at] : NULL;

	for (unsigned i = 0; row && i < row->count && count < count_max; i++)
		out[count++] = row->entries[i];
	return count;
}

size_t hf_dht_table_closest(const struct hf_dht_table *table, const uint8_t target[static HF_DHT_ID_BYTES],
	const struct hf_dht_entry **out, size_t count_max)
{
	size_t own = hf_dht_table_row_of(table, target), count = 0;

	for (size_t at = own + 1; at-- > 0 && count < count_max;)
		count = take_row(table, at, out, count, count_max);
	for (size_t at = own + 1; at < table->row_count && count < count_max; at++)
		count = take_row(table, at, out, count, count_max);
	return count;
}

struct hf_dht_entry *hf_dht_table_pick(const struct hf_dht_table *table, uint64_t random)
{
	size_t at = table->count > 0 ? random % table->count : 0;

	for (size_t i = 0; i < table->row_count && table->count > 0; i++) {
		const struct hf_dht_row *row = table->rows[i];
		if (row && at < row->count)
			return row->entries[at];
		at -= row ? row->count : 0;
	}
	return NULL;
}
