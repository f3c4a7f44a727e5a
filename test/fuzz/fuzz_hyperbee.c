/* fuzz_hyperbee: whatever a core holds, a bee on it answers with entries in order or with an error, within bounded steps; changes to it
 * too. The input is a list of blocks, each with its length in front in one byte; where the length is 255, a block follows that is put or
 * deleted with the bee itself: so hostile nodes come to stand beside honest ones.
 * Covers: src/codec/protobuf.c src/data/hyperbee/bee.c src/data/hyperbee/cache.c src/data/hyperbee/node.c src/data/hyperbee/iterator.c
 * src/data/hyperbee/history.c src/data/hyperbee/diff.c src/data/hyperbee/tree.c src/data/hyperbee/tree_delete.c
 * src/data/hyperbee/flush.c */
#include "fuzz_core.h"

#include "codec/protobuf.h"
#include "data/hyperbee/bee.h"

#define BLOCKS_MAX 200
#define ENTRIES_MAX 5000 /* honest trees of so many blocks have fewer */

static void expect_error(int status)
{
	FUZZ_CHECK(status == HF_OK || status == HF_ENOTFOUND || status == HF_EMALFORMED);
}

/* ---- Reading ---- */

static void walk(struct hf_bee_view *view, const struct hf_bee_range *range)
{
	struct hf_bee_iterator *iterator;
	struct hf_bee_entry entry;
	struct hf_buffer last = {0};
	unsigned count = 0;
	int status;

	FUZZ_CHECK(hf_bee_iterate(view, range, &iterator) == HF_OK);
	while ((status = hf_bee_iterator_next(iterator, &entry)) == HF_OK) {
		int order = hf_slice_compare(entry.key, hf_buffer_slice(&last));

		FUZZ_CHECK(count == 0 || (range->reverse ? order < 0 : order > 0));
		hf_buffer_clear(&last);
		FUZZ_CHECK(hf_buffer_append(&last, entry.key.data, entry.key.length) == HF_OK);
		FUZZ_CHECK(++count <= ENTRIES_MAX);
	}
	expect_error(status);
	FUZZ_CHECK(hf_bee_iterator_next(iterator, &entry) == status);
	hf_bee_iterator_free(iterator);
	hf_buffer_free(&last);
}

static void on_read(void *context, uint64_t seq)
{
	FUZZ_CHECK(seq < *(uint64_t *)context);
}

/* From a place that a peer names, three numbers each. */
static void resume(struct hf_bee_view *view, struct hf_slice places, bool reverse)
{
	struct hf_bee_range all = {.reverse = reverse};
	uint64_t checkpoint[99], version = hf_bee_view_version(view);
	struct hf_bee_iterator *iterator;
	struct hf_bee_entry entry;
	unsigned count = 0;
	int status;

	for (size_t i = 0; i < places.length && i < 99; i++)
		checkpoint[i] = i % 3 == 0 ? version - 1 - places.data[i] % 8 : places.data[i] % 20;
	FUZZ_CHECK(hf_bee_iterate(view, &all, &iterator) == HF_OK);
	hf_bee_view_trace(view, on_read, &version);
	status = hf_bee_iterator_resume(iterator, checkpoint, places.length < 99 ? places.length : 99);
	while (status == HF_OK && (status = hf_bee_iterator_next(iterator, &entry)) == HF_OK)
		FUZZ_CHECK(++count <= ENTRIES_MAX);
	expect_error(status);
	hf_bee_view_trace(view, NULL, NULL);
	hf_bee_iterator_free(iterator);
}

static void history(struct hf_bee_view *view, bool reverse)
{
	struct hf_bee_history_range range = {.reverse = reverse, .gte = -150, .has_lte = true, .lte = -1};
	struct hf_bee_history past;
	struct hf_bee_entry entry;
	struct hf_buffer key = {0};
	int status;

	FUZZ_CHECK(hf_bee_history_start(&past, view, &range) == HF_OK);
	while ((status = hf_bee_history_next(&past, &entry)) == HF_OK) {
		hf_buffer_clear(&key);
		FUZZ_CHECK(hf_buffer_append(&key, entry.key.data, entry.key.length) == HF_OK);
		expect_error(hf_bee_get(view, hf_buffer_slice(&key), &entry));
	}
	expect_error(status);
	hf_buffer_free(&key);
}

static void diff(struct hf_bee_view *left, struct hf_bee_view *right, const struct hf_bee_range *range)
{
	struct hf_bee_difference difference;
	struct hf_bee_diff *found;
	unsigned count = 0;
	int status;

	FUZZ_CHECK(hf_bee_diff(left, right, range, &found) == HF_OK);
	while ((status = hf_bee_diff_next(found, &difference)) == HF_OK && ++count < ENTRIES_MAX)
		FUZZ_CHECK(difference.has_left || difference.has_right);
	if (count < ENTRIES_MAX)
		expect_error(status);
	hf_bee_diff_free(found);
}

static void read_all(struct hf_bee *bee, struct hf_slice key)
{
	struct hf_bee_range all = {0}, back = {.reverse = true}, part = {.has_gt = true, .gt = key, .has_limit = true, .limit = 20},
		part_back = {.reverse = true, .has_lte = true, .lte = key}, from = {.has_gte = true, .gte = key};
	struct hf_bee_view *latest = hf_bee_latest(bee), *early;
	struct hf_bee_header header;
	struct hf_bee_entry entry;

	expect_error(hf_bee_get_header(bee, &header));
	walk(latest, &all);
	walk(latest, &back);
	walk(latest, &part);
	walk(latest, &part_back);
	resume(latest, key, false);
	resume(latest, key, true);
	history(latest, false);
	history(latest, true);
	expect_error(hf_bee_get(latest, key, &entry));
	expect_error(hf_bee_peek(latest, &part, &entry));
	expect_error(hf_bee_get_seq(latest, hf_bee_version(bee) / 2, &entry));
	FUZZ_CHECK(hf_bee_checkout(bee, hf_bee_version(bee) + 1, &early) == HF_EINVAL);
	for (uint64_t version = 0; version < hf_bee_version(bee); version += 1 + hf_bee_version(bee) / 4) {
		FUZZ_CHECK(hf_bee_checkout(bee, version, &early) == HF_OK);
		walk(early, &all);
		diff(latest, early, &all);
		diff(early, latest, &from);
		diff(early, latest, &part_back);
		hf_bee_view_free(early);
	}
}

/* ---- Reading what is not here ---- */

static uint64_t told_count;

static void told_get(struct hf_bee_hinter *hinter, uint64_t version, struct hf_slice key)
{
	(void)hinter;
	(void)key;
	FUZZ_CHECK(version > 1);
	told_count++;
}

static void told_range(struct hf_bee_hinter *hinter, uint64_t version, const struct hf_bee_range *range, const uint64_t *checkpoint,
	size_t checkpoint_count)
{
	(void)hinter;
	(void)range;
	FUZZ_CHECK(version > 1 && checkpoint_count % 3 == 0);
	for (size_t i = 0; i < checkpoint_count; i += 3)
		FUZZ_CHECK(checkpoint[i] > 0 && checkpoint[i] < version);
	told_count++;
}

/* Waits name at least one block, which is not held, and are told once each. */
static void expect_wait(struct hf_bee *bee, int status)
{
	size_t count;
	const uint64_t *wants = hf_bee_wants(bee, &count);

	if (status != HF_EWAIT) {
		expect_error(status);
		return;
	}
	FUZZ_CHECK(count > 0 && !hf_bitfield_get(hf_core_blocks(core), wants[0]));
}

static void read_with_holes(struct hf_slice key, uint64_t from, uint64_t to)
{
	struct hf_bee_hinter hinter = {.get = told_get, .range = told_range};
	struct hf_bee_options options = {.size = sizeof options, .core = core, .hinter = &hinter};
	struct hf_bee_range ranges[] = {{.reverse = false}, {.reverse = true, .has_lt = true, .lt = key}, {.has_gte = true, .gte = key}};
	struct hf_bee_history_range past = {.reverse = true};
	struct hf_bee_iterator *iterator;
	struct hf_bee_history history_of;
	struct hf_bee_entry entry;
	struct hf_bee *bee;
	int status;

	FUZZ_CHECK(hf_core_clear(core, from, to) == HF_OK && hf_bee_open(&bee, &options) == HF_OK);
	told_count = 0;
	for (int i = 0; i < 2; i++)
		expect_wait(bee, hf_bee_get(hf_bee_latest(bee), key, &entry));
	FUZZ_CHECK(told_count <= 1);
	for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
		FUZZ_CHECK(hf_bee_iterate(hf_bee_latest(bee), &ranges[i], &iterator) == HF_OK);
		while ((status = hf_bee_iterator_next(iterator, &entry)) == HF_OK)
			;
		expect_wait(bee, status);
		expect_wait(bee, hf_bee_iterator_next(iterator, &entry));
		hf_bee_iterator_free(iterator);
	}
	FUZZ_CHECK(hf_bee_history_start(&history_of, hf_bee_latest(bee), &past) == HF_OK);
	while ((status = hf_bee_history_next(&history_of, &entry)) == HF_OK)
		;
	expect_wait(bee, status);
	hf_bee_close(bee);
}

/* ---- Writing ---- */

static void change(struct hf_bee *bee, struct hf_slice bytes)
{
	struct hf_slice key = bytes.length == 0 ? bytes : hf_slice(bytes.data + 1, bytes.length - 1);
	unsigned kind = bytes.length == 0 ? 0 : bytes.data[0];
	struct hf_bee_entry entry;
	int status;

	status = kind % 3 == 0 ? hf_bee_del(bee, key, NULL) : hf_bee_put(bee, key, kind % 3 == 1 ? NULL : &bytes, NULL);
	expect_error(status);
	expect_error(hf_bee_get_pending(bee, key, &entry));
	if (kind % 16 >= 8)
		FUZZ_CHECK(hf_bee_flush(bee) == HF_OK);
}

static void fill(struct hf_bee *bee, const uint8_t *data, size_t size)
{
	while (size > 0 && hf_core_length(core) + hf_bee_pending_count(bee) < BLOCKS_MAX) {
		size_t length = *data++;
		bool changes = length == 255 && size > 1;

		size--;
		if (changes) {
			length = *data++;
			size--;
		}
		if (length > size)
			length = size;
		struct hf_slice block = hf_slice(data, length);

		if (changes) {
			change(bee, block);
		} else {
			FUZZ_CHECK(hf_bee_flush(bee) == HF_OK);
			FUZZ_CHECK(hf_core_append(core, &block, 1, NULL) == HF_OK);
		}
		data += length;
		size -= length;
	}
	FUZZ_CHECK(hf_bee_flush(bee) == HF_OK);
}

/* What decodes as a message is read to its end, and a writer's fields come back. */
static void try_protobuf(struct hf_slice bytes)
{
	struct hf_protobuf_reader in = hf_protobuf_reader(bytes), again;
	struct hf_protobuf_field field, found;
	struct hf_buffer out = {0};
	struct hf_protobuf_writer writer = hf_protobuf_writer(&out);

	while (hf_protobuf_next(&in, &field)) {
		hf_buffer_clear(&out);
		if (hf_protobuf_is_varint(&field, field.number))
			hf_protobuf_write_uint(&writer, field.number, field.value);
		else if (hf_protobuf_is_bytes(&field, field.number))
			hf_protobuf_write_bytes(&writer, field.number, field.bytes);
		else
			hf_protobuf_write_packed(&writer, field.number, &field.value, 1);
		again = hf_protobuf_reader(hf_buffer_slice(&out));
		FUZZ_CHECK(hf_protobuf_next(&again, &found) && found.number == field.number && again.at == again.end);
		FUZZ_CHECK(field.type == HF_PROTOBUF_FIXED32 || field.type == HF_PROTOBUF_FIXED64
			|| (found.value == field.value && hf_slice_equal(found.bytes, field.bytes)));
	}
	FUZZ_CHECK(in.at == in.end);
	hf_buffer_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hf_bee_options options = {.size = sizeof options};
	struct hf_bee *bee;

	if (core == NULL)
		fuzz_prepare_core("hyperbee");
	try_protobuf(hf_slice(data, size));
	if (hf_core_length(core) > 0)
		FUZZ_CHECK(hf_core_truncate(core, 0, HF_CORE_NEXT_FORK) == HF_OK);
	if (hf_core_staged_bytes(core) > 1u << 20)
		FUZZ_CHECK(hf_core_commit_wait(core, HF_DURABLE_OS) == HF_OK);
	options.core = core;
	options.cache_bytes_max = size % 4 == 0 ? 1 : 0;
	FUZZ_CHECK(hf_bee_open(&bee, &options) == HF_OK);
	fill(bee, data, size);
	read_all(bee, hf_slice(data, size < 3 ? size : 3));
	hf_bee_close(bee);
	uint64_t length = hf_core_length(core), from = length > 0 && size > 0 ? data[size - 1] % length : 0;

	if (length > 0)
		read_with_holes(hf_slice(data, size < 3 ? size : 3), from, length - (size % 2 ? 0 : (length - from) / 2));
	return 0;
}
