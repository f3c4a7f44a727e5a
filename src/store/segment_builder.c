/* Two streams write one file: `main` everything in order, `terms` the dictionary, whose exact size is known before
 * the postings that it points to are written behind it. Neither holds more than its buffer. The checksums are taken
 * at the end by reading the file back, block by block, while it is still in memory. */
#include "store/segment_builder.h"

#include <stdlib.h>

#include "base/crc32c.h"

#define TERMS_BUFFER_BYTES (128u << 10)

/* ---- Streams ---- */

static int stream_flush(struct hf_segment_stream *s)
{
	if (!s->used)
		return HF_OK;
	int r = hf_file_write(s->file, s->buffer, s->used, s->offset);
	if (r)
		return r;
	if (s->used == s->capacity)
		s->file->fs->start_writeback(s->file, s->offset, s->used);
	s->offset += s->used;
	s->used = 0;
	return HF_OK;
}

static inline uint64_t stream_at(const struct hf_segment_stream *s)
{
	return s->offset + s->used;
}

static int stream_write(struct hf_segment_stream *s, const void *data, size_t length)
{
	const uint8_t *p = data;
	while (length) {
		size_t room = s->capacity - s->used, part = length < room ? length : room;
		memcpy(s->buffer + s->used, p, part);
		s->used += part;
		p += part;
		length -= part;
		if (s->used == s->capacity) {
			int r = stream_flush(s);
			if (r)
				return r;
		}
	}
	return HF_OK;
}

static int stream_align(struct hf_segment_stream *s, unsigned to)
{
	static const uint8_t zero[8];
	return stream_write(s, zero, (to - stream_at(s) % to) % to);
}

/* ---- Sections ---- */

static int begin_section(struct hf_segment_builder *b, enum hf_segment_section section)
{
	int r = stream_align(&b->main, 8);
	b->section[section] = stream_at(&b->main);
	return r;
}

static void end_section(struct hf_segment_builder *b, enum hf_segment_section section)
{
	b->section_bytes[section] = stream_at(&b->main) - b->section[section];
}

int hf_segment_builder_open(struct hf_segment_builder *b, struct hf_fs *fs, const char *directory, uint32_t number,
	uint32_t collection, uint64_t seed, uint32_t doc_count)
{
	*b = (struct hf_segment_builder){.fs = fs,
		.directory = directory,
		.number = number,
		.collection = collection,
		.seed = seed,
		.doc_count = doc_count,
		.least = {UINT64_MAX, UINT64_MAX}};
	b->file.descriptor = -1;
	b->main.file = b->terms.file = &b->file;
	b->main.capacity = HF_SEGMENT_BUFFER_BYTES;
	b->terms.capacity = TERMS_BUFFER_BYTES;
	b->main.buffer = malloc(b->main.capacity);
	b->terms.buffer = malloc(b->terms.capacity);
	if (!b->main.buffer || !b->terms.buffer)
		return HF_ENOMEM;
	int r = hf_segment_path(b->path, directory, number);
	if (!r)
		r = hf_file_open(
			fs, &b->file, b->path, HF_FILE_READ | HF_FILE_WRITE | HF_FILE_CREATE | HF_FILE_TRUNCATE);
	if (r) {
		b->path[0] = 0;
		return r;
	}
	uint8_t lead[HF_SEGMENT_LEAD_BYTES] = HF_SEGMENT_MAGIC;
	hf_store_le32(lead + 8, HF_SEGMENT_VERSION);
	r = stream_write(&b->main, lead, sizeof lead);
	return r ? r : begin_section(b, HF_SECTION_RANK);
}

/* ---- Columns ---- */

static void pack(uint8_t *out, const uint64_t *values, uint64_t base, uint32_t width)
{
	uint64_t bits = 0;
	uint32_t fill = 0;
	for (uint32_t i = 0; i < HF_SEGMENT_GROUP_DOCS && width; i++) {
		uint64_t value = values[i] - base;
		bits |= value << fill;
		fill += width;
		if (fill >= 64) {
			hf_store_le64(out, bits);
			out += 8;
			fill -= 64;
			bits = fill ? value >> (width - fill) : 0;
		}
	}
}

static int flush_group(struct hf_segment_builder *b, enum hf_segment_section section)
{
	uint8_t bits[HF_SEGMENT_GROUP_DOCS * 8], head[16];
	uint64_t least = UINT64_MAX, most = 0;
	for (uint32_t i = 0; i < b->value_count; i++) {
		least = b->values[i] < least ? b->values[i] : least;
		most = b->values[i] > most ? b->values[i] : most;
	}
	for (uint32_t i = b->value_count; i < HF_SEGMENT_GROUP_DOCS; i++)
		b->values[i] = least;
	int which = section == HF_SECTION_POSITION;
	b->least[which] = least < b->least[which] ? least : b->least[which];
	b->most[which] = most > b->most[which] ? most : b->most[which];
	uint32_t width = most == least ? 0 : (uint32_t)(64 - __builtin_clzll(most - least));
	if (width > 57)
		width = 64;
	hf_store_le64(head, least);
	hf_store_le32(head + 8, (uint32_t)((stream_at(&b->main) - b->section[section]) / 16));
	hf_store_le32(head + 12, width);
	int r = hf_buffer_append(&b->heads, head, sizeof head);
	if (r)
		return r;
	pack(bits, b->values, least, width);
	b->value_count = 0;
	return stream_write(&b->main, bits, (size_t)width * 16);
}

int hf_segment_builder_value(struct hf_segment_builder *b, enum hf_segment_section section, uint64_t value)
{
	b->values[b->value_count++] = value;
	return b->value_count < HF_SEGMENT_GROUP_DOCS ? HF_OK : flush_group(b, section);
}

int hf_segment_builder_end_column(struct hf_segment_builder *b, enum hf_segment_section section)
{
	static const uint8_t zero[8];
	int r = b->value_count ? flush_group(b, section) : HF_OK;
	if (!r)
		r = stream_write(&b->main, zero, sizeof zero);
	end_section(b, section);
	if (!r)
		r = begin_section(b, section + 1);
	if (!r)
		r = stream_write(&b->main, b->heads.data, b->heads.length);
	end_section(b, section + 1);
	hf_buffer_clear(&b->heads);
	return r ? r : begin_section(b, section + 2);
}

int hf_segment_builder_tie(struct hf_segment_builder *b, uint32_t tie)
{
	uint8_t bytes[4];
	hf_store_le32(bytes, tie);
	return stream_write(&b->main, bytes, sizeof bytes);
}

/* ---- Directories ---- */

static int directory_begin(struct hf_segment_builder *b, uint32_t entry_count)
{
	b->directory_bits = hf_segment_directory_bits(entry_count);
	b->directory_next = b->entry_count = 0;
	b->directory_table = malloc((((size_t)1 << b->directory_bits) + 1) * sizeof *b->directory_table);
	return b->directory_table ? HF_OK : HF_ENOMEM;
}

static inline void directory_add(struct hf_segment_builder *b, uint32_t hash)
{
	uint32_t bucket = hash >> (32 - b->directory_bits);
	while (b->directory_next <= bucket)
		b->directory_table[b->directory_next++] = b->entry_count;
	b->entry_count++;
}

static int directory_end(struct hf_segment_builder *b, enum hf_segment_section section)
{
	size_t count = ((size_t)1 << b->directory_bits) + 1;
	while (b->directory_next < count)
		b->directory_table[b->directory_next++] = b->entry_count;
	int r = begin_section(b, section);
	if (!r)
		r = stream_write(&b->main, b->directory_table, count * sizeof *b->directory_table);
	end_section(b, section);
	free(b->directory_table);
	b->directory_table = NULL;
	return r;
}

int hf_segment_builder_id(struct hf_segment_builder *b, uint32_t hash, uint32_t doc)
{
	if (!b->directory_table) {
		end_section(b, HF_SECTION_TIE);
		int r = directory_begin(b, b->doc_count);
		if (!r)
			r = begin_section(b, HF_SECTION_ID);
		if (r)
			return r;
	}
	directory_add(b, hash);
	uint8_t entry[8];
	hf_store_le32(entry, hash);
	hf_store_le32(entry + 4, doc);
	return stream_write(&b->main, entry, sizeof entry);
}

/* ---- Terms and postings ---- */

int hf_segment_builder_begin_terms(struct hf_segment_builder *b, uint32_t term_count)
{
	end_section(b, HF_SECTION_ID);
	int r = directory_end(b, HF_SECTION_ID_DIRECTORY);
	if (!r)
		r = begin_section(b, HF_SECTION_TERM);
	if (!r)
		r = stream_flush(&b->main);
	if (r)
		return r;
	b->term_count = term_count;
	b->terms.offset = b->section[HF_SECTION_TERM];
	b->section_bytes[HF_SECTION_TERM] = (uint64_t)term_count * HF_SEGMENT_TERM_BYTES;
	b->main.offset = (b->terms.offset + b->section_bytes[HF_SECTION_TERM] + 7) / 8 * 8;
	r = directory_begin(b, term_count);
	return r ? r : begin_section(b, HF_SECTION_POSTINGS);
}

/* Appends `count` differences (or first values) as varints. */
static int write_numbers(struct hf_segment_builder *b, uint32_t previous, const uint32_t *docs, uint32_t count)
{
	uint8_t bytes[HF_SEGMENT_GROUP_DOCS * 5 + HF_VARINT_BYTES_MAX];
	size_t length = 0;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t difference = docs[i] - previous;
		previous = docs[i];
		if (difference < 0x80)
			bytes[length++] = (uint8_t)difference;
		else
			length += hf_varint_write(bytes + length, difference);
	}
	return stream_write(&b->main, bytes, length);
}

static int flush_block(struct hf_segment_builder *b, uint32_t count)
{
	if (!b->skips.length) {
		int r = stream_align(&b->main, 2);
		if (r)
			return r;
		b->list_start = stream_at(&b->main);
	}
	uint8_t skip[8];
	hf_store_le32(skip, b->docs[0]);
	hf_store_le32(skip + 4, (uint32_t)(stream_at(&b->main) - b->list_start));
	int r = hf_buffer_append(&b->skips, skip, sizeof skip);
	return r ? r : write_numbers(b, b->docs[0], b->docs + 1, count - 1);
}

int hf_segment_builder_list_add(struct hf_segment_builder *b, uint32_t doc)
{
	if (b->list_count && b->list_count % HF_SEGMENT_GROUP_DOCS == 0) {
		int r = flush_block(b, HF_SEGMENT_GROUP_DOCS);
		if (r)
			return r;
	}
	b->docs[b->list_count++ % HF_SEGMENT_GROUP_DOCS] = doc;
	return HF_OK;
}

static int end_long_list(struct hf_segment_builder *b, uint32_t *value)
{
	int r = flush_block(b, (b->list_count - 1) % HF_SEGMENT_GROUP_DOCS + 1);
	if (!r)
		r = stream_align(&b->main, 2);
	if (r)
		return r;
	*value = (uint32_t)((stream_at(&b->main) - b->section[HF_SECTION_POSTINGS]) / 2);
	uint8_t head[2 * HF_VARINT_BYTES_MAX];
	size_t length = hf_varint_write(head, b->list_count);
	length += hf_varint_write(head + length, stream_at(&b->main) - b->list_start);
	r = stream_write(&b->main, head, length);
	if (!r)
		r = stream_write(&b->main, b->skips.data, b->skips.length);
	hf_buffer_clear(&b->skips);
	return r;
}

static int end_short_list(struct hf_segment_builder *b, uint32_t *value)
{
	int r = stream_align(&b->main, 2);
	*value = (uint32_t)((stream_at(&b->main) - b->section[HF_SECTION_POSTINGS]) / 2);
	uint8_t count = (uint8_t)b->list_count;
	if (!r && count < 0x80) {
		r = stream_write(&b->main, &count, 1);
	} else if (!r) {
		uint8_t head[HF_VARINT_BYTES_MAX];
		r = stream_write(&b->main, head, hf_varint_write(head, count));
	}
	return r ? r : write_numbers(b, 0, b->docs, b->list_count);
}

int hf_segment_builder_end_list(struct hf_segment_builder *b, uint64_t term40)
{
	uint32_t value = HF_SEGMENT_EMPTY;
	int r = HF_OK;
	if (stream_at(&b->main) - b->section[HF_SECTION_POSTINGS] > HF_SEGMENT_POSTINGS_BYTES_MAX)
		return HF_ETOOBIG;
	if (b->entry_count == b->term_count)
		return HF_ECORRUPT; /* more terms than its source had counted */
	if (b->list_count == 1)
		value = HF_SEGMENT_INLINE | b->docs[0];
	else if (b->list_count > HF_SEGMENT_GROUP_DOCS)
		r = end_long_list(b, &value);
	else if (b->list_count)
		r = end_short_list(b, &value);
	b->list_count = 0;
	uint8_t entry[HF_SEGMENT_TERM_BYTES];
	hf_store_le32(entry, (uint32_t)(term40 >> 8));
	entry[4] = (uint8_t)term40;
	hf_store_le32(entry + 5, value);
	directory_add(b, (uint32_t)(term40 >> 8));
	return r ? r : stream_write(&b->terms, entry, sizeof entry);
}

/* ---- The end ---- */

static int checksum_blocks(struct hf_segment_builder *b, uint64_t data_end, struct hf_buffer *table)
{
	for (uint64_t at = 0; at < data_end; at += HF_SEGMENT_BLOCK_BYTES) {
		uint64_t in_buffer = at % HF_SEGMENT_BUFFER_BYTES, left = data_end - at;
		if (!in_buffer) {
			int r = hf_file_read_exact(&b->file, b->main.buffer,
				left < HF_SEGMENT_BUFFER_BYTES ? (size_t)left : HF_SEGMENT_BUFFER_BYTES, at);
			if (r)
				return r;
		}
		uint8_t crc[4];
		hf_store_le32(crc, hf_crc32c(0, b->main.buffer + in_buffer,
					   left < HF_SEGMENT_BLOCK_BYTES ? (size_t)left : HF_SEGMENT_BLOCK_BYTES));
		int r = hf_buffer_append(table, crc, sizeof crc);
		if (r)
			return r;
	}
	return HF_OK;
}

static int write_footer(struct hf_segment_builder *b, struct hf_buffer *table)
{
	uint8_t f[HF_SEGMENT_FOOTER_BYTES] = {0};
	memcpy(f, HF_SEGMENT_END_MAGIC, 8);
	hf_store_le32(f + HF_FOOTER_VERSION, HF_SEGMENT_VERSION);
	hf_store_le32(f + HF_FOOTER_NUMBER, b->number);
	hf_store_le32(f + HF_FOOTER_COLLECTION, b->collection);
	hf_store_le32(f + HF_FOOTER_DOC_COUNT, b->doc_count);
	hf_store_le32(f + HF_FOOTER_TERM_COUNT, b->term_count);
	hf_store_le32(f + HF_FOOTER_BLOCK_COUNT, (uint32_t)(table->length / 4));
	hf_store_le64(f + HF_FOOTER_SEED_CHECK, hf_segment_seed_check(b->seed));
	hf_store_le64(f + HF_FOOTER_RANK_MAX, b->most[0]);
	hf_store_le64(f + HF_FOOTER_RANK_MIN, b->least[0]);
	hf_store_le64(f + HF_FOOTER_POSITION_MIN, b->least[1]);
	hf_store_le64(f + HF_FOOTER_POSITION_MAX, b->most[1]);
	hf_store_le32(f + HF_FOOTER_TABLE_CRC, hf_crc32c(0, table->data, table->length));
	for (int i = 0; i < HF_SECTION_COUNT; i++) {
		hf_store_le64(f + HF_FOOTER_SECTIONS + 16 * i, b->section[i]);
		hf_store_le64(f + HF_FOOTER_SECTIONS + 16 * i + 8, b->section_bytes[i]);
	}
	hf_store_le32(f + HF_FOOTER_CRC, hf_crc32c(0, f, HF_FOOTER_CRC));
	int r = hf_buffer_append(table, f, sizeof f);
	return r ? r : hf_file_write(&b->file, table->data, table->length, b->main.offset);
}

int hf_segment_builder_finish(struct hf_segment_builder *b, uint64_t *file_bytes)
{
	struct hf_buffer table = {0};
	end_section(b, HF_SECTION_POSTINGS);
	if (b->section_bytes[HF_SECTION_POSTINGS] > HF_SEGMENT_POSTINGS_BYTES_MAX)
		return HF_ETOOBIG;
	if (b->entry_count != b->term_count)
		return HF_ECORRUPT;
	int r = directory_end(b, HF_SECTION_TERM_DIRECTORY);
	if (!r)
		r = stream_align(&b->main, 8);
	if (!r)
		r = stream_flush(&b->main);
	if (!r)
		r = stream_flush(&b->terms);
	if (!r)
		r = checksum_blocks(b, b->main.offset, &table);
	if (!r)
		r = write_footer(b, &table);
	if (!r)
		r = hf_file_sync(&b->file);
	if (!r)
		r = hf_fs_sync_directory(b->fs, b->directory);
	*file_bytes = b->main.offset + table.length;
	hf_buffer_free(&table);
	return r;
}

void hf_segment_builder_close(struct hf_segment_builder *b, bool remove)
{
	hf_file_close(&b->file);
	if (remove && b->path[0])
		b->fs->unlink(b->fs, b->path);
	free(b->main.buffer);
	free(b->terms.buffer);
	free(b->directory_table);
	hf_buffer_free(&b->heads);
	hf_buffer_free(&b->skips);
}
