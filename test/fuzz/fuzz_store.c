/* fuzz_store: what the store reads besides its index, with all checksums made to fit. The first byte chooses: the records of a
 * log, which a store then recovers and verifies; a manifest; a snapshot of tables; the pages of a block run.
 * Covers: src/store/recover.c src/store/log_reader.c src/store/manifest.c src/store/block_run.c */
#include "fuzz.h"

#include <stdio.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/log.h"
#include "store/block_run.h"
#include "store/manifest.h"
#include "store/record.h"
#include "store/table.h"

static char directory[64];
static struct hf_env env;
static struct hf_buffer log_file; /* of an empty store */
static uint8_t uuid[HF_LOG_UUID_BYTES];

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
	terms[0] = payload.length;
	key->terms = terms;
	key->term_count = 1;
	return HF_OK;
}

static void forget_line(void *context, const char *line, unsigned length)
{
	(void)context;
	(void)line;
	(void)length;
}

static struct hf_store *open_store(bool read_only)
{
	struct hf_store_options options = {
		.size = sizeof options, .directory = directory, .env = &env, .schema = {.describe = describe},
		.memtable_docs_max = 64, .read_only = read_only, .no_background = true,
	};
	struct hf_failure failure;
	struct hf_store *store = NULL;

	return hf_store_open(&store, &options, &failure) == HF_OK ? store : NULL;
}

static void path_of(char path[128], const char *name)
{
	snprintf(path, 128, "%s/%s", directory, name);
}

static void write_file(const char *name, const void *data, size_t length)
{
	char path[128];

	path_of(path, name);
	FILE *file = fopen(path, "w");

	FUZZ_CHECK(file != NULL);
	FUZZ_CHECK(fwrite(data, 1, length, file) == length);
	fclose(file);
}

static void prepare(void)
{
	char path[128];

	hf_env_system(&env);
	hf_log_set_sink(forget_line, NULL);
	snprintf(directory, sizeof directory, "/dev/shm/hf-fuzz-store-%d", (int)getpid());
	struct hf_store *store = open_store(false);

	FUZZ_CHECK(store != NULL);
	hf_store_close(store);
	path_of(path, "log/00000001-0.log");
	FUZZ_CHECK(hf_fs_read_all(hf_fs_system(), path, 1 << 20, &log_file) == HF_OK);
	FUZZ_CHECK(log_file.length == HF_LOG_FILE_HEADER_BYTES);
	memcpy(uuid, log_file.data + 8, sizeof uuid);
}

/* Each record of the input: type, flags, stream, length, payload; bit 7 of the type leaves its sum wrong. */
static void fuzz_log(const uint8_t *data, size_t size)
{
	static uint8_t file[1 << 20];
	size_t length = log_file.length;
	uint32_t start = hf_crc32c(0, uuid, sizeof uuid);
	struct hf_store_stats stats;

	memcpy(file, log_file.data, length);
	while (size >= 4 && length < sizeof file - 1024) {
		size_t payload_bytes = data[3] < size - 4 ? data[3] : size - 4;
		uint8_t *record = file + length, place[8];
		size_t bytes = hf_log_record_bytes(payload_bytes);

		memset(record, 0, bytes);
		hf_store_le32(record + 4, (uint32_t)payload_bytes);
		record[8] = data[0] & 15;
		record[9] = data[1];
		record[12] = data[2];
		memcpy(record + HF_LOG_RECORD_HEADER_BYTES, data + 4, payload_bytes);
		hf_store_le64(place, length);
		hf_store_le32(record, hf_crc32c(hf_crc32c(start, place, sizeof place), record + 4, bytes - 4) ^ (data[0] >> 7));
		length += bytes;
		data += 4 + payload_bytes;
		size -= 4 + payload_bytes;
	}
	write_file("log/00000001-0.log", file, length);
	struct hf_store *store = open_store(true);

	if (store == NULL)
		return;
	hf_store_verify(store, NULL, NULL);
	hf_store_stats(store, &stats);
	hf_store_close(store);
}

static void fuzz_manifest(const uint8_t *data, size_t size)
{
	struct hf_buffer text = {0}, again = {0};
	struct hf_manifest manifest;
	struct hf_failure failure;

	FUZZ_CHECK(hf_buffer_printf(&text, "holdfast-store 1\nuuid 000102030405060708090a0b0c0d0e0f\nseed 0123456789abcdef\n") == HF_OK);
	FUZZ_CHECK(hf_buffer_append(&text, data, size) == HF_OK);
	FUZZ_CHECK(hf_buffer_printf(&text, "crc %08x\n", hf_crc32c(0, text.data, text.length)) == HF_OK);
	if (hf_manifest_parse(&manifest, hf_buffer_slice(&text), &failure) == HF_OK) {
		FUZZ_CHECK(hf_manifest_print(&manifest, &again) == HF_OK);
		hf_manifest_free(&manifest);
		FUZZ_CHECK(hf_manifest_parse(&manifest, hf_buffer_slice(&again), &failure) == HF_OK);
		hf_manifest_free(&manifest);
	}
	hf_buffer_free(&text);
	hf_buffer_free(&again);
}

static void fuzz_tables(const uint8_t *data, size_t size)
{
	struct hf_buffer file = {0};
	struct hf_tables tables;
	uint8_t sum[4];

	FUZZ_CHECK(hf_tables_init(&tables) == HF_OK);
	FUZZ_CHECK(hf_buffer_append(&file, "HFTBL\0\0\1", 8) == HF_OK && hf_buffer_append(&file, uuid, sizeof uuid) == HF_OK);
	FUZZ_CHECK(hf_buffer_append(&file, data, size) == HF_OK);
	hf_store_le32(sum, hf_crc32c(0, file.data, file.length));
	FUZZ_CHECK(hf_buffer_append(&file, sum, sizeof sum) == HF_OK);
	hf_tables_decode(&tables, uuid, hf_buffer_slice(&file));
	hf_tables_free(&tables);
	hf_buffer_free(&file);
}

static void finish_run(uint8_t *file, size_t pages)
{
	uint8_t *fences = file + pages * HF_BLOCK_PAGE_BYTES, *footer = fences + pages * 16;

	for (size_t i = 0; i < pages; i++) {
		uint8_t *page = file + i * HF_BLOCK_PAGE_BYTES;

		hf_store_le16(page + 4, (uint16_t)(hf_load_le16(page + 4) % (HF_BLOCK_PAGE_BYTES + 2)));
		hf_store_le32(page, hf_crc32c(0, page + 4, HF_BLOCK_PAGE_BYTES - 4));
		hf_store_le64(fences + i * 16, page[8 + i]);
		hf_store_le64(fences + i * 16 + 8, (uint64_t)i << 60);
	}
	memset(footer, 0, 64);
	memcpy(footer, "HFBLK\0\0\1", 8);
	memcpy(footer + 8, uuid, sizeof uuid);
	hf_store_le64(footer + 24, pages);
	hf_store_le32(footer + 56, hf_crc32c(0, fences, pages * 16));
	hf_store_le32(footer + 60, hf_crc32c(0, footer, 60));
}

/* Half of the input is one page, half another. */
static void fuzz_run(const uint8_t *data, size_t size)
{
	static uint8_t file[2 * HF_BLOCK_PAGE_BYTES + 32 + 64];
	static struct hf_block_walk walk;
	char path[128];
	_Atomic uint64_t corrupt = 0;
	struct hf_blocks_options options = {.fs = hf_fs_system(), .directory = path, .corrupt_count = &corrupt};
	struct hf_block_page page = {.run = NULL};
	struct hf_block_item item;
	struct hf_block_run *run;

	memset(file, 0, sizeof file);
	for (size_t i = 0; i < size && i / 2 < HF_BLOCK_PAGE_BYTES - 4; i++)
		file[i % 2 * HF_BLOCK_PAGE_BYTES + 4 + i / 2] = data[i];
	finish_run(file, 2);
	write_file("block/000000ff.blk", file, sizeof file);
	path_of(path, "block");
	memcpy(options.uuid, uuid, sizeof uuid);
	FUZZ_CHECK(hf_block_run_open(&run, &options, 0xff, NULL) == HF_OK);
	int status = hf_block_walk_start(&walk, run);

	while (status == HF_OK && !walk.ended)
		status = hf_block_walk_next(&walk);
	for (uint64_t log = 0; log < 8; log++)
		for (int kind = HF_BLOCK_STATE; kind <= HF_BLOCK_BLOCK; kind++)
			hf_block_run_floor(run, &page, log, (enum hf_block_kind)kind, log * 3, HF_READ_BLOCKING, &item);
	hf_block_run_unref(run);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (directory[0] == '\0')
		prepare();
	if (size == 0)
		return 0;
	switch (data[0] % 4) {
	case 0: fuzz_log(data + 1, size - 1); break;
	case 1: fuzz_manifest(data + 1, size - 1); break;
	case 2: fuzz_tables(data + 1, size - 1); break;
	default: fuzz_run(data + 1, size - 1); break;
	}
	return 0;
}
