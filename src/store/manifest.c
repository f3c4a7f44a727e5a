/* A line is a word and up to eight numbers; one table says how many each word takes. */
#include "store/manifest.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/crc32c.h"

#define NUMBERS_MAX 8
#define CRC_LINE_BYTES 13 /* "crc xxxxxxxx\n" */

static void *add(void **items, size_t *count, size_t item_bytes)
{
	if ((*count & (*count - 1)) == 0) {
		void *larger = realloc(*items, (*count == 0 ? 1 : *count * 2) * item_bytes);

		if (larger == NULL)
			return NULL;
		*items = larger;
	}
	return memset((uint8_t *)*items + (*count)++ * item_bytes, 0, item_bytes);
}

struct hf_log_segment_info *hf_manifest_add_log(struct hf_manifest *manifest)
{
	return add((void **)&manifest->logs, &manifest->log_count, sizeof *manifest->logs);
}

struct hf_manifest_segment *hf_manifest_add_segment(struct hf_manifest *manifest)
{
	return add((void **)&manifest->segments, &manifest->segment_count, sizeof *manifest->segments);
}

uint32_t *hf_manifest_add_run(struct hf_manifest *manifest)
{
	return add((void **)&manifest->runs, &manifest->run_count, sizeof *manifest->runs);
}

void hf_manifest_free(struct hf_manifest *manifest)
{
	free(manifest->logs);
	free(manifest->segments);
	free(manifest->runs);
	memset(manifest, 0, sizeof *manifest);
}

/* ---- Printing ---- */

int hf_manifest_print(const struct hf_manifest *m, struct hf_buffer *out)
{
	size_t start = out->length;
	int status = hf_buffer_printf(out, "holdfast-store %u\nuuid ", m->format);

	for (int i = 0; i < HF_LOG_UUID_BYTES && status == HF_OK; i++)
		status = hf_buffer_printf(out, "%02x", m->uuid[i]);
	if (status == HF_OK)
		status = hf_buffer_printf(out, "\nseed %016llx\nnext-file %u\nsynced %llu\nreplay %llu\ncounted %llu\n",
			(unsigned long long)m->seed, m->next_file, (unsigned long long)m->synced,
			(unsigned long long)m->replay, (unsigned long long)m->counted);
	for (size_t i = 0; i < m->log_count && status == HF_OK; i++)
		status = hf_buffer_printf(out, "log %u %u %llu %llu %llu\n", m->logs[i].number, m->logs[i].generation,
			(unsigned long long)m->logs[i].base, (unsigned long long)m->logs[i].length, (unsigned long long)m->logs[i].dead_bytes);
	for (uint32_t c = 0; c < HF_STORE_COLLECTION_COUNT_MAX && status == HF_OK; c++) {
		if (!m->collection_present[c])
			continue;
		status = hf_buffer_printf(out, "collection %u %llu\n", c, (unsigned long long)m->collection_position[c]);
		for (size_t i = 0; i < m->segment_count && status == HF_OK; i++) {
			const struct hf_manifest_segment *s = &m->segments[i];

			if (s->collection == c)
				status = hf_buffer_printf(out, "segment %u %u %llu %llu %llu %llu %u\n", s->info.number, s->info.tier,
					(unsigned long long)s->info.doc_count, (unsigned long long)s->info.dead_count,
					(unsigned long long)s->info.file_bytes, (unsigned long long)s->info.position_max, s->dead_generation);
		}
	}
	if (status == HF_OK)
		status = hf_buffer_printf(out, "tables %u %llu\nblock-position %llu\n", m->table_file,
			(unsigned long long)m->table_position, (unsigned long long)m->block_position);
	for (size_t i = 0; i < m->run_count && status == HF_OK; i++)
		status = hf_buffer_printf(out, "blocks %u\n", m->runs[i]);
	if (status == HF_OK)
		status = hf_buffer_printf(out, "crc %08x\n", hf_crc32c(0, out->data + start, out->length - start));
	return status;
}

/* ---- Parsing ---- */

enum word { NEXT_FILE, SYNCED, REPLAY, COUNTED, LOG, COLLECTION, SEGMENT, TABLES, BLOCK_POSITION, BLOCKS, WORD_COUNT };
static const struct {
	const char *text;
	int numbers;
} words[WORD_COUNT] = {
	[NEXT_FILE] = {"next-file", 1}, [SYNCED] = {"synced", 1}, [REPLAY] = {"replay", 1}, [COUNTED] = {"counted", 1},
	[LOG] = {"log", 5}, [COLLECTION] = {"collection", 2}, [SEGMENT] = {"segment", 7}, [TABLES] = {"tables", 2},
	[BLOCK_POSITION] = {"block-position", 1}, [BLOCKS] = {"blocks", 1},
};

struct line {
	struct hf_slice word;
	uint64_t numbers[NUMBERS_MAX];
	int count;
};

static bool next_line(struct hf_slice *text, struct hf_slice *line)
{
	const uint8_t *end = text->length == 0 ? NULL : memchr(text->data, '\n', text->length);

	if (end == NULL)
		return false;
	*line = hf_slice(text->data, (size_t)(end - text->data));
	*text = hf_slice(end + 1, text->length - line->length - 1);
	return true;
}

static bool split_line(struct hf_slice text, struct line *line)
{
	size_t at = 0;

	while (at < text.length && text.data[at] != ' ')
		at++;
	line->word = hf_slice(text.data, at);
	for (line->count = 0; at < text.length; line->count++) {
		uint64_t value = 0;
		size_t first = ++at;

		if (line->count == NUMBERS_MAX)
			return false;
		for (; at < text.length && text.data[at] != ' '; at++) {
			unsigned digit = (unsigned)text.data[at] - '0';

			if (digit > 9 || value > (UINT64_MAX - digit) / 10)
				return false;
			value = value * 10 + digit;
		}
		if (at == first)
			return false;
		line->numbers[line->count] = value;
	}
	return true;
}

static bool parse_hex(struct hf_slice line, const char *word, uint8_t *out, size_t out_bytes)
{
	size_t lead = strlen(word);

	if (line.length != lead + out_bytes * 2 || memcmp(line.data, word, lead) != 0)
		return false;
	for (size_t i = 0; i < out_bytes * 2; i++) {
		uint8_t c = line.data[lead + i];
		int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;

		if (digit < 0)
			return false;
		out[i / 2] = (uint8_t)(i % 2 == 0 ? digit << 4 : out[i / 2] | digit);
	}
	return true;
}

/* The numbers of a log line, behind that segment. */
static bool follows(const struct hf_log_segment_info *last, const uint64_t *n)
{
	uint64_t end = last->base + last->length;

	return n[0] == last->number + 1ull ? n[2] == end : n[0] > last->number && n[2] >= end;
}

static int take_line(struct hf_manifest *m, enum word word, const uint64_t *n, uint32_t *collection)
{
	struct hf_log_segment_info *log;
	struct hf_manifest_segment *segment;
	uint32_t *run;

	switch (word) {
	case NEXT_FILE: m->next_file = (uint32_t)n[0]; break;
	case SYNCED: m->synced = n[0]; break;
	case REPLAY: m->replay = n[0]; break;
	case COUNTED: m->counted = n[0]; break;
	case LOG:
		if (m->log_count > 0 && !follows(&m->logs[m->log_count - 1], n))
			return HF_ECORRUPT;
		log = hf_manifest_add_log(m);
		if (log == NULL)
			return HF_ENOMEM;
		*log = (struct hf_log_segment_info){
			.number = (uint32_t)n[0], .generation = (uint32_t)n[1], .base = n[2], .length = n[3], .dead_bytes = n[4]};
		break;
	case COLLECTION:
		if (n[0] >= HF_STORE_COLLECTION_COUNT_MAX)
			return HF_ECORRUPT;
		*collection = (uint32_t)n[0];
		m->collection_present[n[0]] = true;
		m->collection_position[n[0]] = n[1];
		break;
	case SEGMENT:
		if (*collection == UINT32_MAX)
			return HF_ECORRUPT;
		segment = hf_manifest_add_segment(m);
		if (segment == NULL)
			return HF_ENOMEM;
		*segment = (struct hf_manifest_segment){
			.collection = *collection, .dead_generation = (uint32_t)n[6],
			.info = {.number = (uint32_t)n[0], .tier = (uint32_t)n[1], .doc_count = n[2], .dead_count = n[3],
				.file_bytes = n[4], .position_max = n[5]},
		};
		break;
	case TABLES:
		m->table_file = (uint32_t)n[0];
		m->table_position = n[1];
		break;
	case BLOCK_POSITION: m->block_position = n[0]; break;
	case BLOCKS:
		run = hf_manifest_add_run(m);
		if (run == NULL)
			return HF_ENOMEM;
		*run = (uint32_t)n[0];
		break;
	case WORD_COUNT: return HF_ECORRUPT;
	}
	return HF_OK;
}

static enum word find_word(const struct line *line)
{
	for (int i = 0; i < WORD_COUNT; i++)
		if (hf_slice_equal(line->word, hf_slice_text(words[i].text)) && line->count == words[i].numbers)
			return (enum word)i;
	return WORD_COUNT;
}

int hf_manifest_parse(struct hf_manifest *manifest, struct hf_slice text, struct hf_failure *failure)
{
	struct hf_slice rest = text, raw;
	uint32_t collection = UINT32_MAX;
	uint8_t seed[8];
	struct line line;
	int status = HF_OK;

	memset(manifest, 0, sizeof *manifest);
	if (!next_line(&rest, &raw) || !split_line(raw, &line) || line.count != 1 ||
	    !hf_slice_equal(line.word, HF_SLICE_LITERAL("holdfast-store")))
		return hf_fail(failure, HF_ECORRUPT, "MANIFEST does not begin with the format line at offset 0; restore the store from a backup");
	if (line.numbers[0] == 0 || line.numbers[0] > HF_STORE_FORMAT_VERSION)
		return hf_fail(failure, HF_EVERSION, "MANIFEST names format %llu; this program knows formats 1 to %d. Use a newer program.",
			(unsigned long long)line.numbers[0], HF_STORE_FORMAT_VERSION);
	manifest->format = (uint32_t)line.numbers[0];
	char sum[16];

	if (text.length < CRC_LINE_BYTES)
		return hf_fail(failure, HF_ECORRUPT, "MANIFEST is cut off; restore the store from a backup");
	snprintf(sum, sizeof sum, "crc %08x\n", hf_crc32c(0, text.data, text.length - CRC_LINE_BYTES));
	if (memcmp(sum, text.data + text.length - CRC_LINE_BYTES, CRC_LINE_BYTES) != 0)
		return hf_fail(failure, HF_ECORRUPT, "MANIFEST does not match its checksum at offset %zu; restore the store from a backup",
			text.length - CRC_LINE_BYTES);
	rest.length -= CRC_LINE_BYTES;
	if (!next_line(&rest, &raw) || !parse_hex(raw, "uuid ", manifest->uuid, sizeof manifest->uuid) ||
	    !next_line(&rest, &raw) || !parse_hex(raw, "seed ", seed, sizeof seed))
		return hf_fail(failure, HF_ECORRUPT, "MANIFEST lacks uuid or seed; restore the store from a backup");
	manifest->seed = hf_load_be64(seed);
	while (status == HF_OK && next_line(&rest, &raw)) {
		enum word word = split_line(raw, &line) ? find_word(&line) : WORD_COUNT;

		status = take_line(manifest, word, line.numbers, &collection);
	}
	if (status == HF_OK && (manifest->log_count == 0 || rest.length != 0))
		status = HF_ECORRUPT;
	if (status != HF_OK) {
		hf_manifest_free(manifest);
		return hf_fail(failure, status, status == HF_ENOMEM ? "out of memory" :
			"MANIFEST has a line that cannot be read; restore the store from a backup");
	}
	return HF_OK;
}
