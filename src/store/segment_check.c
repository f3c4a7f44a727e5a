/* Verification: every block from the disk against its checksum, then the structure against itself. Faults are counted
 * and told; checking goes on as far as what is left can be read. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/crc32c.h"
#include "store/postings.h"

#define FAULTS_TOLD_MAX 20 /* per segment; more of them would say nothing new */

struct check {
	struct hf_segment *segment;
	void (*report)(void *context, const char *sentence);
	void *context;
	uint64_t fault_count;
};

__attribute__((format(printf, 2, 3))) static void fault(struct check *c, const char *format, ...)
{
	char sentence[200];
	int length = snprintf(sentence, sizeof sentence, "Index file %08x.idx: ", c->segment->number);
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(sentence + length, sizeof sentence - (size_t)length, format, arguments);
	va_end(arguments);
	if (c->fault_count++ < FAULTS_TOLD_MAX && c->report)
		c->report(c->context, sentence);
}

static int check_blocks(struct check *c)
{
	struct hf_segment *s = c->segment;
	uint64_t data_end = s->file_bytes - HF_SEGMENT_FOOTER_BYTES - (uint64_t)s->block_count * 4;
	uint8_t *block = malloc(HF_SEGMENT_BLOCK_BYTES);
	if (!block)
		return HF_ENOMEM;
	for (uint32_t b = 0; b < s->block_count; b++) {
		uint64_t offset = (uint64_t)b * HF_SEGMENT_BLOCK_BYTES, left = data_end - offset;
		size_t length = left < HF_SEGMENT_BLOCK_BYTES ? (size_t)left : HF_SEGMENT_BLOCK_BYTES;
		int r = hf_file_read_exact(&s->file, block, length, offset);
		if (r)
			fault(c, "the block at offset %llu cannot be read: %s.", (unsigned long long)offset,
				hf_error_text(r));
		else if (hf_crc32c(0, block, length) != s->checksums[b])
			fault(c, "the block at offset %llu does not match its checksum.", (unsigned long long)offset);
	}
	free(block);
	return HF_OK;
}

static void check_columns(struct check *c)
{
	struct hf_segment *s = c->segment;
	uint64_t above = UINT64_MAX, rank, position;
	uint32_t above_tie = 0, tie;
	for (uint32_t doc = 0; doc < s->doc_count; doc++) {
		if (hf_segment_value(s, HF_SECTION_RANK, doc, HF_READ_BLOCKING, &rank) ||
			hf_segment_value(s, HF_SECTION_POSITION, doc, HF_READ_BLOCKING, &position) ||
			hf_segment_tie(s, doc, HF_READ_BLOCKING, &tie)) {
			fault(c, "document %u cannot be read.", doc);
			return;
		}
		if (rank > s->rank_max || rank < s->rank_min || rank > above ||
			(doc && rank == above && tie < above_tie))
			fault(c, "document %u is out of order.", doc);
		if (position < s->position_min || position > s->position_max)
			fault(c, "document %u has a position outside the file's range.", doc);
		above = rank;
		above_tie = tie;
	}
}

static int check_ids(struct check *c)
{
	struct hf_segment *s = c->segment;
	uint8_t *seen = calloc(1, (size_t)s->doc_count);
	if (!seen)
		return HF_ENOMEM;
	uint32_t before = 0;
	for (uint32_t i = 0; i < s->doc_count; i++) {
		if (hf_segment_touch(s, s->section[HF_SECTION_ID] + (uint64_t)i * 8, 8, HF_READ_BLOCKING)) {
			fault(c, "id entry %u cannot be read.", i);
			break;
		}
		uint32_t hash = hf_load_le32(hf_segment_at(s, HF_SECTION_ID) + (size_t)i * 8),
			 doc = hf_segment_id_doc(s, i);
		uint32_t first, end;
		if (hash < before || doc >= s->doc_count || seen[doc]++)
			fault(c, "id entry %u is out of order or names a document twice.", i);
		else if (hf_segment_find_id(s, (uint64_t)hash << 32, HF_READ_BLOCKING, &first, &end) || i < first ||
			 i >= end)
			fault(c, "id entry %u is not found by its directory.", i);
		before = hash;
	}
	free(seen);
	return HF_OK;
}

static void check_list(struct check *c, uint32_t entry, uint32_t value)
{
	struct hf_postings list;
	uint32_t n = 0, doc = 0;
	int r = hf_postings_open(&list, c->segment, value, HF_READ_BLOCKING);
	for (; !r && list.doc != HF_POSTINGS_END; n++) {
		doc = list.doc;
		r = hf_postings_seek(&list, doc + 1, HF_READ_BLOCKING);
	}
	if (r || n != list.count)
		fault(c, "the list of term entry %u cannot be read after %u documents.", entry, n);
}

static void check_terms(struct check *c)
{
	struct hf_segment *s = c->segment;
	uint64_t before = 0;
	for (uint32_t i = 0; i < s->term_count; i++) {
		uint32_t value, found;
		if (hf_segment_touch(s, s->section[HF_SECTION_TERM] + (uint64_t)i * HF_SEGMENT_TERM_BYTES,
			    HF_SEGMENT_TERM_BYTES, HF_READ_BLOCKING)) {
			fault(c, "term entry %u cannot be read.", i);
			return;
		}
		uint64_t term = hf_segment_term_at(s, i, &value);
		if (i && term <= before)
			fault(c, "term entry %u is out of order.", i);
		else if (hf_segment_find_term(s, term, HF_READ_BLOCKING, &found) || found != value)
			fault(c, "term entry %u is not found by its directory.", i);
		else
			check_list(c, i, value);
		before = term;
	}
}

int hf_segment_check(struct hf_segment *segment, void (*report)(void *context, const char *sentence), void *context,
	uint64_t *fault_count)
{
	struct check c = {.segment = segment, .report = report, .context = context};
	int r = check_blocks(&c);
	if (!r)
		check_columns(&c);
	if (!r)
		r = check_ids(&c);
	if (!r)
		check_terms(&c);
	*fault_count += c.fault_count;
	return r;
}
