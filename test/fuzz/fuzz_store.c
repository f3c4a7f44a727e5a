/* fuzz_store: what the store reads besides its index and its block runs, with all checksums made to fit. The first byte chooses: the
 * records of a log, which a store then recovers, verifies and, if so chosen, rewrites; a manifest; a snapshot of tables.
 * What was read must be read again after it was written anew.
 * Covers: src/store/recover.c src/store/log_reader.c src/store/log_segment.c src/store/manifest.c src/store/table.c */
#include "fuzz_files.h"

#include "base/crc32c.h"
#include "base/map.h"
#include "store/manifest.h"
#include "store/record.h"
#include "store/table.h"

#define FIRST_POSITION 64
#define SEGMENT_FILE_BYTES (256u << 10)
#define RECORD_COUNT_MAX 512
#define SEGMENT_COUNT_MAX 4
#define COLLECTION_COUNT 4
#define LOG_COUNT 8
#define LOG_BLOCK_COUNT 12
#define MEMTABLE_DOCS 16
#define LOST_FILE 0xeeu

static struct hf_env env;

static void fixed_random(struct hf_env *unused, void *out, size_t length)
{
	(void)unused;
	memset(out, 7, length);
}

/* ---- A log made of the input ---- */

enum { WRITABLE = 1, ALL_NAMED = 2, INDEX_LOST = 4, SYNCED = 8, REPLAY_LATER = 16, TABLES_BEFORE = 32 };

/* Besides the types of record.h: */
enum { RAW_BYTES = 0, NEW_SEGMENT = 11, GAP = 12, ZEROS = 13 };

struct log_maker {
	uint8_t file[SEGMENT_FILE_BYTES];
	size_t length;
	uint64_t position;
	struct hf_log_segment_info segment;
	struct {
		uint32_t logical, offset;
	} extents[64];
	uint32_t extent_count;
	bool gap, extents_wrong;
	bool squeezed; /* there is such a segment; a manifest names it always */
	uint64_t positions[RECORD_COUNT_MAX], sizes[RECORD_COUNT_MAX];
	size_t record_count;
	struct hf_manifest manifest;
};

static void begin_segment(struct log_maker *m, uint32_t generation)
{
	m->segment = (struct hf_log_segment_info){
		.number = m->segment.number + 1, .generation = generation, .base = m->position};
	memset(m->file, 0, HF_LOG_FILE_HEADER_BYTES);
	memcpy(m->file, "HFLOG\0\0\1", 8);
	memcpy(m->file + 8, fuzz_uuid, sizeof fuzz_uuid);
	hf_store_le32(m->file + 24, m->segment.number);
	hf_store_le32(m->file + 28, generation);
	hf_store_le64(m->file + 32, m->position);
	hf_store_le32(m->file + 60, hf_crc32c(0, m->file, 60));
	m->length = HF_LOG_FILE_HEADER_BYTES;
	m->extent_count = 0;
	m->gap = true;
	m->extents_wrong = false;
	m->squeezed |= generation > 0;
}

static void end_segment(struct log_maker *m)
{
	char name[48] = "log/";
	size_t map = m->length;

	if (m->segment.generation > 0) {
		for (uint32_t i = 0; i < m->extent_count; i++, m->length += 8) {
			hf_store_le32(m->file + m->length, m->extents[i].logical);
			hf_store_le32(m->file + m->length + 4, m->extents[i].offset);
		}
		hf_store_le32(m->file + m->length, m->extent_count + m->extents_wrong);
		hf_store_le32(m->file + m->length + 4, hf_crc32c(0, m->file + map, m->length + 4 - map));
		m->length += 8;
	}
	hf_log_file_name(m->segment.number, m->segment.generation, name + 4);
	fuzz_write_file(name, m->file, m->length);
	m->segment.length = m->position - m->segment.base;
	struct hf_log_segment_info *named = hf_manifest_add_log(&m->manifest);

	FUZZ_CHECK(named != NULL);
	*named = m->segment;
}

/* The payload as the type wants it: places in the log are told as differences, or mutation would never hit one. */
static size_t make_payload(const struct log_maker *m, uint8_t type, struct hf_slice given, uint8_t *out)
{
	if (type == HF_RECORD_GROUP && given.length == 1) {
		hf_store_le64(out, m->position - 4ull * given.data[0]);
		return HF_RECORD_GROUP_BYTES;
	}
	if (type == HF_RECORD_DELETE && given.length == 2 && m->record_count > 0) {
		size_t victim = given.data[1] % m->record_count;

		memset(out, given.data[0], HF_STORE_ID_BYTES);
		hf_store_le64(out + HF_STORE_ID_BYTES, m->positions[victim]);
		hf_store_le32(out + HF_STORE_ID_BYTES + 8, (uint32_t)m->sizes[victim]);
		return HF_RECORD_DELETE_BYTES;
	}
	if (given.length > 0)
		memcpy(out, given.data, given.length);
	return given.length;
}

/* head: type (bit 7: its sum is wrong), flags, stream. */
static void add_record(struct log_maker *m, const uint8_t *head, struct hf_slice given)
{
	uint8_t *record = m->file + m->length, place[8];

	memset(record, 0, hf_log_record_bytes(256));
	size_t payload_bytes = make_payload(m, head[0] & 15, given, record + HF_LOG_RECORD_HEADER_BYTES);
	size_t bytes = hf_log_record_bytes(payload_bytes);

	hf_store_le32(record + 4, (uint32_t)payload_bytes);
	record[8] = head[0] & 15;
	record[9] = head[1];
	record[12] = head[2];
	hf_store_le64(place, m->position);
	uint32_t sum = hf_crc32c(hf_crc32c(hf_crc32c(0, fuzz_uuid, sizeof fuzz_uuid), place, sizeof place), record + 4, bytes - 4);

	hf_store_le32(record, sum ^ (head[0] >> 7));
	if (m->gap) {
		m->extents[m->extent_count].logical = (uint32_t)(m->position - m->segment.base);
		m->extents[m->extent_count++].offset = (uint32_t)m->length;
		m->gap = false;
	}
	m->positions[m->record_count] = m->position;
	m->sizes[m->record_count++] = bytes;
	m->length += bytes;
	m->position += bytes;
}

static void add_thing(struct log_maker *m, const uint8_t *head, struct hf_slice given)
{
	switch (head[0] & 15) {
	case RAW_BYTES:
		if (given.length > 0)
			memcpy(m->file + m->length, given.data, given.length);
		m->length += (given.length + 3) & ~(size_t)3;
		m->position += (given.length + 3) & ~(size_t)3;
		break;
	case ZEROS:
		memset(m->file + m->length, 0, 4u * head[1]);
		m->length += 4u * head[1];
		m->position += 4u * head[1];
		break;
	case NEW_SEGMENT:
		if (m->segment.number == SEGMENT_COUNT_MAX)
			break;
		end_segment(m);
		begin_segment(m, head[1] & 1);
		m->extents_wrong = head[0] >> 7;
		break;
	case GAP:
		if (m->segment.generation == 0 || m->extent_count == sizeof m->extents / sizeof m->extents[0])
			break;
		m->position += 4u + 4u * head[1];
		m->gap = true;
		break;
	default: add_record(m, head, given); break;
	}
}

/* Each thing of the input: type, flags, stream, length, payload. */
static void make_log(struct log_maker *m, const uint8_t *data, size_t size)
{
	m->position = FIRST_POSITION;
	begin_segment(m, 0);
	while (size >= 4 && m->record_count < RECORD_COUNT_MAX && m->length < sizeof m->file - 4096) {
		size_t given = data[3] < size - 4 ? data[3] : size - 4;

		add_thing(m, data, hf_slice(data + 4, given));
		data += 4 + given;
		size -= 4 + given;
	}
	end_segment(m);
}

static void write_tables_before(struct hf_manifest *manifest, uint64_t position)
{
	struct hf_buffer file = {0};
	struct hf_tables tables;
	uint64_t noted;

	FUZZ_CHECK(hf_tables_init(&tables) == HF_OK);
	FUZZ_CHECK(hf_tables_put(&tables, 1, HF_SLICE_LITERAL("before"), HF_SLICE_LITERAL("x")) == HF_OK);
	tables.position = position;
	FUZZ_CHECK(hf_tables_encode(&tables, fuzz_uuid, &noted, &file) == HF_OK);
	fuzz_write_file("table/000000aa.tbl", file.data, file.length);
	manifest->table_file = 0xaa;
	manifest->table_position = position;
	hf_tables_free(&tables);
	hf_buffer_free(&file);
}

static void write_manifest(struct log_maker *m, uint8_t choices, uint8_t place)
{
	struct hf_manifest *manifest = &m->manifest;
	uint64_t there = m->record_count > 0 ? m->positions[place % m->record_count] : FIRST_POSITION;
	struct hf_buffer text = {0};

	memcpy(manifest->uuid, fuzz_uuid, sizeof fuzz_uuid);
	manifest->format = HF_STORE_FORMAT_VERSION;
	manifest->seed = 1;
	manifest->next_file = 0x1000;
	manifest->synced = choices & SYNCED ? there + 4ull * place : FIRST_POSITION;
	manifest->replay = choices & REPLAY_LATER ? there : FIRST_POSITION;
	manifest->counted = manifest->replay;
	if ((choices & ALL_NAMED) == 0 && !m->squeezed)
		manifest->log_count = 1;
	if (choices & TABLES_BEFORE)
		write_tables_before(manifest, there);
	for (uint32_t i = 0; i < COLLECTION_COUNT && choices & INDEX_LOST; i++) {
		struct hf_manifest_segment *lost = hf_manifest_add_segment(manifest);

		FUZZ_CHECK(lost != NULL);
		*lost = (struct hf_manifest_segment){.collection = i, .info = {.number = LOST_FILE + i, .doc_count = 1, .file_bytes = 4096}};
		manifest->collection_present[i] = true;
		manifest->collection_position[i] = there;
	}
	FUZZ_CHECK(hf_manifest_print(manifest, &text) == HF_OK);
	fuzz_write_file("MANIFEST", text.data, text.length);
	hf_buffer_free(&text);
	hf_manifest_free(manifest);
}

/* ---- The store over it ---- */

static int describe(void *context, struct hf_store *store, uint32_t collection, struct hf_slice payload,
	struct hf_doc_key *key, uint64_t *terms)
{
	(void)context;
	(void)store;
	(void)collection;
	if (payload.length < 2)
		return HF_EMALFORMED;
	memset(key->id, payload.data[0], sizeof key->id);
	key->rank = payload.data[1];
	key->terms = terms;
	for (key->term_count = 0; key->term_count < payload.length % 4; key->term_count++)
		terms[key->term_count] = key->term_count + payload.data[0] % 8;
	return HF_OK;
}

static int identify(void *context, struct hf_store *store, uint32_t collection, struct hf_slice payload,
	uint8_t id[static HF_STORE_ID_BYTES])
{
	(void)context;
	(void)store;
	(void)collection;
	if (payload.length < 2)
		return HF_EMALFORMED;
	memset(id, payload.data[0], HF_STORE_ID_BYTES);
	return HF_OK;
}

static struct hf_store *open_store(bool read_only)
{
	struct hf_store_options options = {
		.size = sizeof options, .directory = fuzz_directory, .env = &env, .schema = {.describe = describe, .identify = identify},
		.log_segment_bytes = SEGMENT_FILE_BYTES, .memtable_docs_max = MEMTABLE_DOCS, .read_only = read_only, .no_background = true,
	};
	struct hf_failure failure;
	struct hf_store *store = NULL;

	if (hf_store_open(&store, &options, &failure) == HF_OK)
		return store;
	FUZZ_CHECK(failure.text[0] != '\0');
	return NULL;
}

/* What a store holds, as digests. */
struct held {
	uint64_t docs, tables, blocks;
};

static int digest_doc(void *context, const struct hf_doc *doc)
{
	struct held *held = context;

	held->docs = hf_hash64(doc->payload.data, doc->payload.length, held->docs + doc->position);
	return 0;
}

static int digest_row(void *context, struct hf_slice key, struct hf_slice value)
{
	struct held *held = context;

	held->tables = hf_hash64(value.data, value.length, hf_hash64(key.data, key.length, held->tables));
	return 0;
}

static struct held hold(struct hf_store *store)
{
	struct hf_snapshot *snapshot = hf_store_snapshot(store);
	struct hf_buffer block = {0};
	struct held held = {0};
	uint64_t length;

	for (uint32_t i = 0; i < COLLECTION_COUNT && snapshot != NULL; i++)
		hf_snapshot_scan(snapshot, i, 0, digest_doc, &held);
	hf_snapshot_release(snapshot);
	for (uint32_t i = 0; i < 256; i++)
		hf_store_table_scan(store, i, HF_SLICE_LITERAL(""), digest_row, &held);
	for (uint64_t log = 0; log < LOG_COUNT; log++) {
		if (hf_store_log_length(store, log, &length) == HF_OK)
			held.blocks = hf_hash64(&length, sizeof length, held.blocks + log);
		for (uint64_t index = 0; index < LOG_BLOCK_COUNT; index++) {
			hf_buffer_clear(&block);
			if (hf_store_log_get(store, log, index, HF_READ_BLOCKING, &block) == HF_OK)
				held.blocks = hf_hash64(block.data, block.length, held.blocks + index);
		}
	}
	hf_buffer_free(&block);
	return held;
}

static void check_same(const struct held *a, const struct held *b)
{
	FUZZ_CHECK(a->docs == b->docs);
	FUZZ_CHECK(a->tables == b->tables);
	FUZZ_CHECK(a->blocks == b->blocks);
}

/* False when it cannot be opened. *sound: nothing in it is damaged. */
static bool look(struct held *held, bool *sound)
{
	struct hf_store *store = open_store(true);
	struct hf_store_stats stats;

	*sound = false;
	if (store == NULL)
		return false;
	*held = hold(store);
	*sound = hf_store_verify(store, NULL, NULL) == HF_OK;
	hf_store_stats(store, &stats);
	*sound &= stats.corrupt_count == 0;
	hf_store_close(store);
	return true;
}

/* Nothing is changed, but everything is written anew. */
static void rewrite(struct hf_store *store)
{
	for (uint32_t i = 0; i < COLLECTION_COUNT; i++)
		hf_store_rebuild_index(store, i, NULL, NULL);
	FUZZ_CHECK(hf_store_rebuild_index(store, HF_STORE_COLLECTION_COUNT_MAX, NULL, NULL) == HF_EINVAL);
	hf_store_compact(store, NULL);
}

static void check_store(uint8_t choices)
{
	struct held before, now, after;
	bool sound, sound_after;
	bool opened = look(&before, &sound);

	if ((choices & WRITABLE) == 0)
		return;
	struct hf_store *store = open_store(false);

	FUZZ_CHECK(opened == (store != NULL));
	if (store == NULL)
		return;
	now = hold(store);
	check_same(&before, &now);
	rewrite(store);
	if (!sound)
		before = hold(store);
	now = hold(store);
	check_same(&before, &now);
	hf_store_close(store);
	FUZZ_CHECK(look(&after, &sound_after));
	check_same(&before, &after);
	FUZZ_CHECK(sound_after || !sound);
}

/* Whatever fails, nothing is lost that should be freed, and nothing waits for ever. */
static void check_failing(uint8_t choices, uint8_t failing)
{
	struct held held;
	bool sound;

	fuzz_fail(failing, true);
	look(&held, &sound);
	if (choices & WRITABLE) {
		struct hf_store *store = open_store(false);

		if (store != NULL)
			rewrite(store);
		hf_store_close(store);
	}
	fuzz_fail_no_more();
}

/* data: choices, what fails (0: nothing), a place, the things of the log. */
static void fuzz_log(const uint8_t *data, size_t size)
{
	static struct log_maker maker;

	if (size < 3)
		return;
	memset(&maker, 0, sizeof maker);
	make_log(&maker, data + 3, size - 3);
	write_manifest(&maker, data[0], data[2]);
	if (data[1] == 0)
		check_store(data[0]);
	else
		check_failing(data[0], data[1]);
	fuzz_remove_files();
}

/* ---- The rest ---- */

/* data: how the frame is spoiled, then lines. */
static void fuzz_manifest(const uint8_t *data, size_t size)
{
	struct hf_buffer text = {0}, again = {0};
	struct hf_manifest manifest;
	struct hf_failure failure;
	uint8_t spoiled = size > 0 ? data[0] : 0;

	FUZZ_CHECK(hf_buffer_printf(&text, "holdfast-store %d\n%s", spoiled == 1 ? 2 : 1,
		spoiled == 2 ? "" : "uuid 000102030405060708090a0b0c0d0e0f\nseed 0123456789abcdef\n") == HF_OK);
	if (spoiled == 3)
		hf_buffer_clear(&text);
	FUZZ_CHECK(hf_buffer_append(&text, data + (size > 0), size - (size > 0)) == HF_OK);
	if (spoiled != 4)
		FUZZ_CHECK(hf_buffer_printf(&text, "crc %08x\n", hf_crc32c(0, text.data, text.length)) == HF_OK);
	if (spoiled >= FUZZ_READ_FAILURES)
		fuzz_fail(spoiled - FUZZ_READ_FAILURES + 1, false);
	int status = hf_manifest_parse(&manifest, hf_buffer_slice(&text), &failure);

	fuzz_fail_no_more();
	if (status == HF_OK) {
		FUZZ_CHECK(hf_manifest_print(&manifest, &again) == HF_OK);
		hf_manifest_free(&manifest);
		FUZZ_CHECK(hf_manifest_parse(&manifest, hf_buffer_slice(&again), &failure) == HF_OK);
		hf_manifest_free(&manifest);
	} else {
		FUZZ_CHECK(failure.text[0] != '\0');
	}
	hf_buffer_free(&text);
	hf_buffer_free(&again);
}

static int find_row(void *context, uint32_t table, struct hf_slice key, struct hf_slice value)
{
	struct hf_buffer found = {0};

	FUZZ_CHECK(hf_tables_get(context, table, key, &found) == HF_OK);
	FUZZ_CHECK(hf_slice_equal(hf_buffer_slice(&found), value));
	hf_buffer_free(&found);
	return 0;
}

static void fuzz_tables(const uint8_t *data, size_t size)
{
	struct hf_buffer file = {0}, again = {0};
	struct hf_tables tables, copy;
	uint64_t position;
	uint8_t sum[4];

	FUZZ_CHECK(hf_tables_init(&tables) == HF_OK && hf_tables_init(&copy) == HF_OK);
	FUZZ_CHECK(hf_buffer_append(&file, "HFTBL\0\0\1", 8) == HF_OK && hf_buffer_append(&file, fuzz_uuid, sizeof fuzz_uuid) == HF_OK);
	FUZZ_CHECK(hf_buffer_append(&file, data, size) == HF_OK);
	hf_store_le32(sum, hf_crc32c(0, file.data, file.length));
	FUZZ_CHECK(hf_buffer_append(&file, sum, sizeof sum) == HF_OK);
	if (hf_tables_decode(&tables, fuzz_uuid, hf_buffer_slice(&file)) == HF_OK) {
		FUZZ_CHECK(hf_tables_encode(&tables, fuzz_uuid, &position, &again) == HF_OK);
		FUZZ_CHECK(hf_tables_decode(&copy, fuzz_uuid, hf_buffer_slice(&again)) == HF_OK);
		FUZZ_CHECK(copy.count == tables.count && copy.position == position);
		hf_tables_each(&tables, find_row, &copy);
	}
	hf_tables_free(&tables);
	hf_tables_free(&copy);
	hf_buffer_free(&file);
	hf_buffer_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const folders[] = {"log", "index", "table", "block", NULL};

	if (env.fs == NULL) {
		fuzz_prepare_files("store", folders);
		hf_env_system(&env);
		env.fs = &fuzz_fs;
		env.random = fixed_random;
	}
	if (size == 0)
		return 0;
	switch (data[0] % 3) {
	case 0: fuzz_log(data + 1, size - 1); break;
	case 1: fuzz_manifest(data + 1, size - 1); break;
	default: fuzz_tables(data + 1, size - 1); break;
	}
	return 0;
}
