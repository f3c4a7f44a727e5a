/* fuzz_hyperblobs: any text is the id of a blob that goes around or an error; reading such a blob from a core that holds what it may,
 * a map too, ends; what is written reads back. The input is an id up to a zero byte, then blocks of the core with their length in front, in
 * one byte.
 * Covers: src/data/hyperblobs/id.c src/data/hyperblobs/map.c src/data/hyperblobs/writer.c */
#include "fuzz_core.h"

#include "data/hyperblobs/blobs.h"

#define BLOCKS_MAX 100
#define READS_MAX 10000

static void read_range(const struct hf_blob_id *id, struct hf_blob_range range)
{
	struct hf_blob_reader *reader;
	struct hf_slice bytes;
	uint64_t given = 0;
	int status = hf_blob_read(core, id, &range, &reader);

	FUZZ_CHECK(status == HF_OK || status == HF_EMALFORMED);
	if (status != HF_OK)
		return;
	for (unsigned i = 0; i < READS_MAX && (status = hf_blob_reader_next(reader, &bytes)) == HF_OK; i++)
		given += bytes.length;
	FUZZ_CHECK(status == HF_OK || status == HF_ENOTFOUND || status == HF_EMALFORMED || status == HF_EVERSION || status == HF_ETOOBIG);
	FUZZ_CHECK(given <= range.length);
	hf_blob_reader_free(reader);
}

static void read_blob(const struct hf_blob_id *id)
{
	uint64_t length = 0, needed;
	bool is_held;

	read_range(id, (struct hf_blob_range){0, UINT64_MAX});
	read_range(id, (struct hf_blob_range){1, 5});
	read_range(id, (struct hf_blob_range){id->byte_length / 2, id->byte_length});
	if (id->block_count < BLOCKS_MAX && hf_blob_length(core, id, &length, &needed) == HF_OK)
		FUZZ_CHECK(id->has_map || length == id->byte_length);
	if (id->block_count < BLOCKS_MAX)
		hf_blob_is_held(core, id, &is_held);
}

static void try_id(struct hf_slice text)
{
	struct hf_blob_id id, again;
	struct hf_buffer out = {0};
	int status = hf_blob_id_decode(text, &id);

	FUZZ_CHECK(status == HF_OK || status == HF_EMALFORMED);
	if (status == HF_OK) {
		FUZZ_CHECK(hf_blob_id_encode(&id, &out) == HF_OK);
		FUZZ_CHECK(hf_blob_id_decode(hf_buffer_slice(&out), &again) == HF_OK);
		FUZZ_CHECK(memcmp(&id, &again, sizeof id) == 0);
		read_blob(&id);
	}
	hf_buffer_free(&out);
}

static void fill(const uint8_t *data, size_t size)
{
	while (size > 0 && hf_core_length(core) < BLOCKS_MAX) {
		size_t length = *data++;

		size--;
		if (length > size)
			length = size;
		struct hf_slice block = hf_slice(data, length);

		FUZZ_CHECK(hf_core_append(core, &block, 1, NULL) == HF_OK);
		data += length;
		size -= length;
	}
}

static struct hf_blob_id write_and_read(struct hf_slice bytes, const struct hf_blob_write_options *options)
{
	struct hf_blob_writer writer;
	struct hf_blob_reader *reader;
	struct hf_blob_id id;
	struct hf_slice part;
	size_t at = 0, half = bytes.length / 2;

	FUZZ_CHECK(hf_blob_writer_start(&writer, core, options) == HF_OK);
	FUZZ_CHECK(hf_blob_writer_add(&writer, hf_slice(bytes.data, half)) == HF_OK);
	FUZZ_CHECK(hf_blob_writer_add(&writer, hf_slice(bytes.data + half, bytes.length - half)) == HF_OK);
	FUZZ_CHECK(hf_blob_writer_end(&writer, &id) == HF_OK);
	FUZZ_CHECK(hf_blob_read(core, &id, NULL, &reader) == HF_OK);
	while (hf_blob_reader_next(reader, &part) == HF_OK) {
		FUZZ_CHECK(part.length <= bytes.length - at && memcmp(part.data, bytes.data + at, part.length) == 0);
		at += part.length;
	}
	FUZZ_CHECK(at == bytes.length);
	hf_blob_reader_free(reader);
	return id;
}

static void write_all(struct hf_slice bytes)
{
	struct hf_blob_write_options tens = {.block_bytes = 10}, map = {.block_bytes = 7, .has_map = true}, dedup = {.block_bytes = 3, .dedups = true};
	struct hf_blob_writer writer;
	struct hf_blob_id id, earlier;
	int status;

	write_and_read(bytes, NULL);
	earlier = write_and_read(bytes, &tens);
	write_and_read(bytes, &map);
	dedup.earlier = &earlier;
	earlier = write_and_read(bytes, &dedup);
	write_and_read(bytes, &dedup);
	FUZZ_CHECK(hf_blob_put(core, bytes, &id) == HF_OK);
	status = hf_blob_writer_resume(&writer, core, bytes.length % 7, 0);
	FUZZ_CHECK(status == HF_OK || status == HF_EINVAL);
	hf_blob_writer_free(&writer);
	FUZZ_CHECK(hf_blob_clear(core, &id) == HF_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (core == NULL)
		fuzz_prepare_core("hyperblobs");
	if (hf_core_length(core) > 0)
		FUZZ_CHECK(hf_core_truncate(core, 0, HF_CORE_NEXT_FORK) == HF_OK);
	if (hf_core_staged_bytes(core) > 1u << 20)
		FUZZ_CHECK(hf_core_commit_wait(core, HF_DURABLE_OS) == HF_OK);
	const uint8_t *zero = size > 0 ? memchr(data, 0, size) : NULL;
	size_t length = zero != NULL ? (size_t)(zero - data) : size;

	if (zero != NULL)
		fill(zero + 1, size - length - 1);
	try_id(hf_slice(data, length));
	if (size < 1000)
		write_all(hf_slice(data, size));
	return 0;
}
