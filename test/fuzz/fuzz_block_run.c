/* fuzz_block_run: a run file written from items, with bytes changed and all checksums made to fit again. What is still read can be
 * written, read again and merged; answers may be wrong then, memory and time may not.
 *
 * Input: choices, what fails, the number of items, items of 6 bytes (kind, log, index, number le16, small number), then
 * changes of 3 bytes: place in the file le16, new value.
 *
 * Covers: src/store/block_run.c src/store/block_run_write.c src/store/block_merge.c */
#include "fuzz_files.h"

#include "base/crc32c.h"
#include "store/block_run.h"

#define FILE_BYTES_MAX (64u << 10)
#define FENCE_BYTES 16
#define FOOTER_BYTES 64
#define ITEM_BYTES 6
#define CHANGE_BYTES 3
#define REPEATS 8  /* several pages */
#define COPIES 200 /* more than the writer holds back */
#define LOG_COUNT 8
#define RUN_NUMBER 0xffu

enum { WRONG_MAGIC = 1, WRONG_FENCES = 2, WRONG_COUNT = 4, CUT_SHORT = 8, RESIDENT = 16, REPEATED = 32, WRONG_PAGE = 64, COPIED = 128 };

static _Atomic uint64_t corrupt_count;
static _Atomic uint32_t next_number;

static void note_dead(void *context, uint64_t position, uint64_t record_bytes)
{
	(void)position;
	*(uint64_t *)context += record_bytes;
}

/* ---- The file ---- */

static struct hf_block_item make_item(const uint8_t *data, int repeat)
{
	struct hf_block_item item = {.kind = data[0] % 3, .log = data[1] + 256u * (unsigned)repeat};
	uint64_t number = hf_load_le16(data + 3);

	if (item.kind == HF_BLOCK_STATE) {
		item.exists = data[0] < 128;
		item.length = number;
		item.keep = data[5] == 255 ? HF_BLOCK_KEEP_ALL : data[5];
	} else if (item.kind == HF_BLOCK_HOLE) {
		item.index = data[2];
		item.count = number;
	} else {
		item.index = data[2];
		item.position = 64 + 4 * number;
		item.bytes = 4u * data[5];
	}
	return item;
}

static int write_items(const struct hf_blocks_options *options, const uint8_t *items, size_t count, int repeats)
{
	static struct hf_block_writer writer;
	int status = hf_block_writer_open(&writer, options);

	for (int repeat = 0; repeat < repeats; repeat++)
		for (size_t i = 0; i < count && status == HF_OK; i++) {
			struct hf_block_item item = make_item(items + i * ITEM_BYTES, repeat);

			status = hf_block_writer_add(&writer, &item);
		}
	return hf_block_writer_finish(&writer, status);
}

/* Makes all sums fit, but those that are to be wrong. */
static void fix_sums(uint8_t *file, size_t length, uint8_t choices)
{
	size_t pages = (length - FOOTER_BYTES) / (HF_BLOCK_PAGE_BYTES + FENCE_BYTES);
	uint8_t *fences = file + pages * HF_BLOCK_PAGE_BYTES, *footer = fences + pages * FENCE_BYTES;

	for (size_t i = 0; i < pages; i++) {
		uint8_t *page = file + i * HF_BLOCK_PAGE_BYTES;

		hf_store_le32(page, hf_crc32c(0, page + 4, HF_BLOCK_PAGE_BYTES - 4) ^ (choices & WRONG_PAGE && i + 1 == pages));
	}
	footer[7] ^= choices & WRONG_MAGIC ? 128 : 0;
	if (choices & WRONG_COUNT)
		hf_store_le64(footer + 24, UINT64_MAX / HF_BLOCK_PAGE_BYTES);
	hf_store_le32(footer + 56, hf_crc32c(0, fences, pages * FENCE_BYTES) ^ (choices & WRONG_FENCES));
	hf_store_le32(footer + 60, hf_crc32c(0, footer, 60));
}

static void make_file(const struct hf_blocks_options *options, const uint8_t *data, size_t size, uint8_t choices)
{
	static struct hf_buffer file;
	char path[HF_PATH_BYTES_MAX], name[32];
	size_t count = data[0] <= (size - 1) / ITEM_BYTES ? data[0] : (size - 1) / ITEM_BYTES;

	next_number = RUN_NUMBER;
	FUZZ_CHECK(write_items(options, data + 1, count, choices & REPEATED ? REPEATS : 1) == HF_OK);
	FUZZ_CHECK(hf_block_run_path(options, RUN_NUMBER, path) == HF_OK);
	hf_buffer_clear(&file);
	FUZZ_CHECK(hf_fs_read_all(&fuzz_fs, path, FILE_BYTES_MAX, &file) == HF_OK);
	for (size_t at = 1 + count * ITEM_BYTES; at + CHANGE_BYTES <= size; at += CHANGE_BYTES)
		file.data[hf_load_le16(data + at) % file.length] = data[at + 2];
	fix_sums(file.data, file.length, choices);
	snprintf(name, sizeof name, "block/%08x.blk", RUN_NUMBER);
	fuzz_write_file(name, file.data, choices & CUT_SHORT ? FOOTER_BYTES / 2 : file.length);
}

/* ---- What is done with it ---- */

static void find_items(const struct hf_block_run *run, enum hf_read_mode mode)
{
	static struct hf_block_page page;
	struct hf_block_item item;

	page.run = NULL;
	for (uint64_t log = 0; log < LOG_COUNT; log++)
		for (int kind = HF_BLOCK_STATE; kind <= HF_BLOCK_BLOCK; kind++)
			if (hf_block_run_floor(run, &page, log, (enum hf_block_kind)kind, log * 3, mode, &item) == HF_OK)
				FUZZ_CHECK(item.log == log && (int)item.kind == kind);
}

/* What the reader promises of an item, whatever the file says. */
static void check_item(const struct hf_block_item *item)
{
	FUZZ_CHECK(item->index <= HF_BLOCK_INDEX_MAX && item->position <= INT64_MAX && item->position % 4 == 0);
	FUZZ_CHECK(item->kind != HF_BLOCK_HOLE || item->count <= HF_BLOCK_INDEX_MAX + 1 - item->index);
}

/* Writes the items of a run as another, `times` over; NULL when that fails. */
static struct hf_block_run *copy_run(const struct hf_block_run *run, const struct hf_blocks_options *options, int times)
{
	static struct hf_block_writer writer;
	static struct hf_block_walk walk;
	struct hf_block_run *copy = NULL;
	int status = hf_block_writer_open(&writer, options);

	for (int i = 0; i < times && status == HF_OK; i++) {
		status = hf_block_walk_start(&walk, run);
		while (status == HF_OK && !walk.ended) {
			check_item(&walk.item);
			status = hf_block_writer_add(&writer, &walk.item);
			if (status == HF_OK)
				status = hf_block_walk_next(&walk);
		}
	}
	status = hf_block_writer_finish(&writer, status);
	if (status == HF_OK)
		status = hf_block_run_open(&copy, options, writer.number, NULL);
	FUZZ_CHECK(status == HF_OK || status == HF_ECORRUPT || status == HF_ENOMEM || status == HF_EIO);
	return copy;
}

static void check_equal(const struct hf_block_run *run, const struct hf_block_run *copy)
{
	static struct hf_block_walk a, b;

	FUZZ_CHECK(hf_block_walk_start(&a, run) == HF_OK && hf_block_walk_start(&b, copy) == HF_OK);
	while (!a.ended) {
		const struct hf_block_item *x = &a.item, *y = &b.item;

		FUZZ_CHECK(!b.ended && x->log == y->log && x->index == y->index && x->kind == y->kind && x->exists == y->exists);
		FUZZ_CHECK(x->length == y->length && x->keep == y->keep && x->count == y->count && x->bytes == y->bytes);
		FUZZ_CHECK(x->kind != HF_BLOCK_BLOCK || x->position == y->position);
		FUZZ_CHECK(hf_block_walk_next(&a) == HF_OK && hf_block_walk_next(&b) == HF_OK);
	}
	FUZZ_CHECK(b.ended);
}

static void merge_runs(struct hf_block_run *newer, struct hf_block_run *older, const struct hf_blocks_options *options)
{
	static struct hf_block_writer writer;
	struct hf_block_run *runs[] = {newer, older};

	for (int whole = 0; whole < 2; whole++) {
		int status = hf_block_writer_open(&writer, options);

		if (status == HF_OK)
			status = hf_block_merge(runs, 2, whole, &writer);
		hf_block_writer_finish(&writer, status);
	}
}

/* base: the items before bytes were changed. */
static void use_run(struct hf_block_run *run, struct hf_block_run *base, const struct hf_blocks_options *options, uint8_t choices,
	bool failing)
{
	find_items(run, choices & RESIDENT ? HF_READ_RESIDENT : HF_READ_BLOCKING);
	struct hf_block_run *copy = copy_run(run, options, choices & COPIED ? COPIES : 1);

	if (copy != NULL && !failing && (choices & COPIED) == 0)
		check_equal(run, copy);
	merge_runs(run, base, options);
	merge_runs(base, run, options);
	hf_block_run_unref(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const folders[] = {"block", NULL};
	static char path[FUZZ_PATH_BYTES];
	uint64_t dead_bytes = 0;
	struct hf_blocks_options options = {.fs = &fuzz_fs, .directory = path, .corrupt_count = &corrupt_count,
		.next_number = &next_number, .dead = note_dead, .context = &dead_bytes};
	struct hf_block_run *run, *base;
	struct hf_failure failure = {0};

	if (path[0] == '\0') {
		fuzz_prepare_files("block-run", folders);
		fuzz_path(path, "block");
	}
	if (size < 3)
		return 0;
	memcpy(options.uuid, fuzz_uuid, sizeof fuzz_uuid);
	make_file(&options, data + 2, size - 2, data[0]);
	next_number = 1;
	FUZZ_CHECK(write_items(&options, data + 3, (size - 3) / ITEM_BYTES / 2, 1) == HF_OK);
	FUZZ_CHECK(hf_block_run_open(&base, &options, 1, &failure) == HF_OK);
	fuzz_fail(data[1], false);
	if (hf_block_run_open(&run, &options, RUN_NUMBER, &failure) == HF_OK) {
		use_run(run, base, &options, data[0], data[1] != 0);
		hf_block_run_unref(run);
	} else {
		FUZZ_CHECK(failure.text[0] != '\0');
	}
	fuzz_fail_no_more();
	hf_block_run_unref(base);
	FUZZ_CHECK(hf_block_run_open(&run, &options, RUN_NUMBER + 1000, &failure) == HF_ECORRUPT);
	fuzz_remove_files();
	return 0;
}
