/* Opening reads the footer and the checksum table and maps the rest; nothing else is read before it is asked for.
 * Invariant: no byte of the mapping is read before hf_segment_touch allowed it. */
#include "store/segment.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/crc32c.h"
#include "base/log.h"
#include "base/map.h"

static struct hf_log_module index_log = HF_LOG_MODULE("store");

uint64_t hf_segment_seed_check(uint64_t seed)
{
	return hf_hash64("HFSEG seed", 10, seed);
}

uint64_t hf_segment_id_hash(const uint8_t id[static HF_STORE_ID_BYTES], uint64_t seed)
{
	return hf_hash64(id, HF_STORE_ID_BYTES, seed);
}

/* Four to eight entries a bucket. At least one bit, so that shifts stay in range. */
uint32_t hf_segment_directory_bits(uint64_t entry_count)
{
	return entry_count < 16 ? 1 : (uint32_t)(63 - __builtin_clzll(entry_count)) - 2;
}

int hf_segment_path(char out[static HF_PATH_BYTES_MAX], const char *directory, uint32_t number)
{
	char name[16];
	snprintf(name, sizeof name, "%08x.idx", number);
	return hf_path_join(out, directory, name);
}

/* ---- Open and close ---- */

static int read_footer(
	struct hf_segment *s, const uint8_t *f, uint32_t collection, uint64_t seed, struct hf_failure *failure)
{
	if (memcmp(f, HF_SEGMENT_END_MAGIC, 8) != 0 ||
		hf_load_le32(f + HF_FOOTER_CRC) != hf_crc32c(0, f, HF_FOOTER_CRC))
		return hf_fail(failure, HF_ECORRUPT,
			"Index file %08x.idx does not end with a valid footer; rebuild the index.", s->number);
	if (hf_load_le32(f + HF_FOOTER_VERSION) != HF_SEGMENT_VERSION)
		return hf_fail(failure, HF_EVERSION,
			"Index file %08x.idx has format version %u, this program knows %u.", s->number,
			hf_load_le32(f + HF_FOOTER_VERSION), HF_SEGMENT_VERSION);
	if (hf_load_le32(f + HF_FOOTER_NUMBER) != s->number || hf_load_le32(f + HF_FOOTER_COLLECTION) != collection ||
		hf_load_le64(f + HF_FOOTER_SEED_CHECK) != hf_segment_seed_check(seed))
		return hf_fail(
			failure, HF_ECORRUPT, "Index file %08x.idx belongs to another store or collection.", s->number);
	s->doc_count = hf_load_le32(f + HF_FOOTER_DOC_COUNT);
	s->term_count = hf_load_le32(f + HF_FOOTER_TERM_COUNT);
	s->block_count = hf_load_le32(f + HF_FOOTER_BLOCK_COUNT);
	s->rank_max = hf_load_le64(f + HF_FOOTER_RANK_MAX);
	s->rank_min = hf_load_le64(f + HF_FOOTER_RANK_MIN);
	s->position_min = hf_load_le64(f + HF_FOOTER_POSITION_MIN);
	s->position_max = hf_load_le64(f + HF_FOOTER_POSITION_MAX);
	s->id_bits = hf_segment_directory_bits(s->doc_count);
	s->term_bits = hf_segment_directory_bits(s->term_count);
	for (int i = 0; i < HF_SECTION_COUNT; i++) {
		s->section[i] = hf_load_le64(f + HF_FOOTER_SECTIONS + 16 * i);
		s->section_bytes[i] = hf_load_le64(f + HF_FOOTER_SECTIONS + 16 * i + 8);
	}
	return HF_OK;
}

/* The sizes that follow from the counts. */
static bool sizes_agree(const struct hf_segment *s)
{
	uint64_t table_end = s->file_bytes - HF_SEGMENT_FOOTER_BYTES;
	if ((uint64_t)s->block_count * 4 > table_end)
		return false;
	uint64_t data_end = table_end - (uint64_t)s->block_count * 4;
	if ((data_end + HF_SEGMENT_BLOCK_BYTES - 1) / HF_SEGMENT_BLOCK_BYTES != s->block_count)
		return false;
	for (int i = 0; i < HF_SECTION_COUNT; i++)
		if (s->section[i] > data_end || s->section_bytes[i] > data_end - s->section[i] || s->section[i] % 8)
			return false;
	uint64_t docs = s->doc_count, groups = (docs + HF_SEGMENT_GROUP_DOCS - 1) / HF_SEGMENT_GROUP_DOCS;
	const uint64_t *bytes = s->section_bytes;
	return docs > 0 && docs <= HF_SEGMENT_DOCS_MAX && s->position_min <= s->position_max &&
	       s->rank_min <= s->rank_max && bytes[HF_SECTION_RANK_HEAD] == groups * 16 &&
	       bytes[HF_SECTION_POSITION_HEAD] == groups * 16 && bytes[HF_SECTION_RANK] >= 8 &&
	       bytes[HF_SECTION_POSITION] >= 8 && bytes[HF_SECTION_TIE] == docs * 4 &&
	       bytes[HF_SECTION_ID] == docs * 8 && bytes[HF_SECTION_ID_DIRECTORY] == ((1u << s->id_bits) + 1) * 4ull &&
	       bytes[HF_SECTION_TERM] == (uint64_t)s->term_count * HF_SEGMENT_TERM_BYTES &&
	       bytes[HF_SECTION_TERM_DIRECTORY] == ((1u << s->term_bits) + 1) * 4ull &&
	       bytes[HF_SECTION_POSTINGS] <= HF_SEGMENT_POSTINGS_BYTES_MAX;
}

static int allocate_marks(struct hf_segment *s)
{
	size_t words = (s->block_count + 63) / 64, dead_words = (s->doc_count + 63) / 64;
	s->checksums = malloc((size_t)s->block_count * 4);
	s->verified = calloc(words, 8);
	s->failed = calloc(words, 8);
	s->dead = calloc(dead_words, 8);
	atomic_init(&s->unverified_count, s->block_count);
	return s->checksums && s->verified && s->failed && s->dead ? HF_OK : HF_ENOMEM;
}

static int load(struct hf_segment *s, uint32_t collection, uint64_t seed, struct hf_failure *failure)
{
	uint64_t size;
	uint8_t footer[HF_SEGMENT_FOOTER_BYTES];
	int r = hf_file_size(&s->file, &size);
	if (r)
		return hf_fail(
			failure, r, "The size of index file %08x.idx cannot be read: %s.", s->number, hf_error_text(r));
	if (!s->file_bytes)
		s->file_bytes = size;
	if (size != s->file_bytes || size < HF_SEGMENT_LEAD_BYTES + HF_SEGMENT_FOOTER_BYTES)
		return hf_fail(failure, HF_ECORRUPT,
			"Index file %08x.idx has %llu bytes instead of %llu; rebuild the index.", s->number,
			(unsigned long long)size, (unsigned long long)s->file_bytes);
	r = hf_file_read_exact(&s->file, footer, sizeof footer, size - sizeof footer);
	if (r)
		return hf_fail(failure, r, "The footer of index file %08x.idx cannot be read: %s.", s->number,
			hf_error_text(r));
	r = read_footer(s, footer, collection, seed, failure);
	if (r)
		return r;
	if (!sizes_agree(s))
		return hf_fail(failure, HF_ECORRUPT,
			"The sections of index file %08x.idx do not fit its size; rebuild the index.", s->number);
	r = allocate_marks(s);
	if (r)
		return hf_fail(failure, r, "Out of memory opening index file %08x.idx.", s->number);
	size_t table_bytes = (size_t)s->block_count * 4;
	r = hf_file_read_exact(&s->file, s->checksums, table_bytes, size - sizeof footer - table_bytes);
	if (!r && hf_crc32c(0, s->checksums, table_bytes) != hf_load_le32(footer + HF_FOOTER_TABLE_CRC))
		r = HF_ECORRUPT;
	if (!r)
		r = hf_file_map(&s->file, size, &s->map);
	if (r)
		return hf_fail(
			failure, r, "The checksum table of index file %08x.idx: %s.", s->number, hf_error_text(r));
	return HF_OK;
}

int hf_segment_open(struct hf_segment **out, struct hf_fs *fs, const char *directory, uint32_t number, uint32_t tier,
	uint32_t collection, uint64_t file_bytes, uint64_t seed, struct hf_failure *failure)
{
	char path[HF_PATH_BYTES_MAX];
	struct hf_segment *s = calloc(1, sizeof *s);
	if (!s)
		return hf_fail(failure, HF_ENOMEM, "Out of memory opening index file %08x.idx.", number);
	atomic_init(&s->references, 1);
	s->number = number;
	s->tier = tier;
	s->collection = collection;
	s->file_bytes = file_bytes;
	s->file.descriptor = -1;
	int r = hf_segment_path(path, directory, number);
	if (!r)
		r = hf_file_open(fs, &s->file, path, HF_FILE_READ);
	if (r) {
		free(s);
		return hf_fail(failure, r, "Index file %08x.idx in %s cannot be opened: %s.", number, directory,
			hf_error_text(r));
	}
	r = load(s, collection, seed, failure);
	if (r) {
		hf_segment_unref(s);
		return r;
	}
	*out = s;
	return HF_OK;
}

struct hf_segment *hf_segment_ref(struct hf_segment *segment)
{
	atomic_fetch_add_explicit(&segment->references, 1, memory_order_relaxed);
	return segment;
}

void hf_segment_unref(struct hf_segment *segment)
{
	if (!segment || atomic_fetch_sub_explicit(&segment->references, 1, memory_order_acq_rel) != 1)
		return;
	if (segment->map)
		hf_file_unmap(&segment->file, segment->map, segment->file_bytes);
	hf_file_close(&segment->file);
	free(segment->checksums);
	free((void *)segment->verified);
	free((void *)segment->failed);
	free((void *)segment->dead);
	free(segment);
}

/* ---- Checksums ---- */

static bool bit_get(const _Atomic uint64_t *bits, uint64_t at)
{
	return atomic_load_explicit(&bits[at / 64], memory_order_acquire) >> (at % 64) & 1;
}

/* True when this call set it. */
static bool bit_set(_Atomic uint64_t *bits, uint64_t at)
{
	uint64_t bit = (uint64_t)1 << (at % 64);
	return !(atomic_fetch_or_explicit(&bits[at / 64], bit, memory_order_acq_rel) & bit);
}

void hf_segment_trust(struct hf_segment *segment)
{
	for (uint32_t i = 0; i < segment->block_count; i++)
		bit_set(segment->verified, i);
	atomic_store(&segment->unverified_count, 0);
	atomic_store_explicit(&segment->all_verified, true, memory_order_release);
}

static size_t block_bytes(const struct hf_segment *s, uint32_t block)
{
	uint64_t data_end = s->file_bytes - HF_SEGMENT_FOOTER_BYTES - (uint64_t)s->block_count * 4;
	uint64_t start = (uint64_t)block * HF_SEGMENT_BLOCK_BYTES;
	return data_end - start < HF_SEGMENT_BLOCK_BYTES ? (size_t)(data_end - start) : HF_SEGMENT_BLOCK_BYTES;
}

static int check_block(struct hf_segment *s, uint32_t block, uint8_t *scratch)
{
	uint64_t offset = (uint64_t)block * HF_SEGMENT_BLOCK_BYTES;
	size_t length = block_bytes(s, block);
	int r = hf_file_read_exact(&s->file, scratch, length, offset);
	if (r == HF_ECORRUPT || (!r && hf_crc32c(0, scratch, length) != s->checksums[block])) {
		if (bit_set(s->failed, block)) {
			hf_log_error(&index_log, "index block does not match its checksum", "file=%08x.idx offset=%llu",
				s->number, (unsigned long long)offset);
			if (s->corrupt_count)
				atomic_fetch_add(s->corrupt_count, 1);
		}
		return HF_ECORRUPT;
	}
	if (r)
		return r;
	if (bit_set(s->verified, block) && atomic_fetch_sub(&s->unverified_count, 1) == 1)
		atomic_store_explicit(&s->all_verified, true, memory_order_release);
	return HF_OK;
}

int hf_segment_touch_blocks(struct hf_segment *segment, uint64_t offset, uint64_t length, enum hf_read_mode mode)
{
	if (!length)
		return HF_OK;
	uint32_t last = (uint32_t)((offset + length - 1) / HF_SEGMENT_BLOCK_BYTES);
	uint8_t *scratch = NULL;
	int r = HF_OK;
	for (uint32_t b = (uint32_t)(offset / HF_SEGMENT_BLOCK_BYTES); b <= last && !r; b++) {
		if (b >= segment->block_count || bit_get(segment->failed, b))
			r = HF_ECORRUPT;
		else if (bit_get(segment->verified, b))
			continue;
		else if (mode == HF_READ_RESIDENT)
			r = HF_EWAIT;
		else if (!scratch && !(scratch = malloc(HF_SEGMENT_BLOCK_BYTES)))
			r = HF_ENOMEM;
		else
			r = check_block(segment, b, scratch);
	}
	free(scratch);
	return r;
}

int hf_segment_warm(struct hf_segment *segment)
{
	int first = HF_OK;
	for (uint32_t b = 0; b < segment->block_count && !atomic_load(&segment->all_verified); b++) {
		int r = hf_segment_touch_blocks(segment, (uint64_t)b * HF_SEGMENT_BLOCK_BYTES, 1, HF_READ_BLOCKING);
		if (r == HF_ENOMEM)
			return r;
		if (!first)
			first = r;
	}
	return first;
}

/* ---- Columns ---- */

/* The head and the packed bits of a group, both checked. */
static inline int group_bits(struct hf_segment *s, enum hf_segment_section section, uint32_t group,
	enum hf_read_mode mode, uint64_t *base, uint32_t *width, const uint8_t **bits)
{
	uint64_t head = s->section[section + 1] + (uint64_t)group * 16;
	int r = hf_segment_touch(s, head, 16, mode);
	if (r)
		return r;
	const uint8_t *p = s->map + head;
	uint64_t offset = (uint64_t)hf_load_le32(p + 8) * 16;
	*base = hf_load_le64(p);
	*width = hf_load_le32(p + 12);
	if (*width > 64 || offset + *width * 16 + 8 > s->section_bytes[section])
		return HF_ECORRUPT;
	r = hf_segment_touch(s, s->section[section] + offset, *width * 16 + 8, mode);
	*bits = s->map + s->section[section] + offset;
	return r;
}

static inline uint64_t unpack(const uint8_t *bits, uint32_t width, uint32_t at)
{
	if (width == 64)
		return hf_load_le64(bits + (size_t)at * 8);
	uint32_t bit = at * width;
	return hf_load_le64(bits + bit / 8) >> (bit % 8) & (((uint64_t)1 << width) - 1);
}

int hf_segment_value(struct hf_segment *segment, enum hf_segment_section section, uint32_t doc, enum hf_read_mode mode,
	uint64_t *value)
{
	uint64_t base;
	uint32_t width;
	const uint8_t *bits;
	int r = group_bits(segment, section, doc / HF_SEGMENT_GROUP_DOCS, mode, &base, &width, &bits);
	if (!r)
		*value = base + unpack(bits, width, doc % HF_SEGMENT_GROUP_DOCS);
	return r;
}

int hf_segment_group(struct hf_segment *segment, enum hf_segment_section section, uint32_t group,
	enum hf_read_mode mode, uint64_t values[static HF_SEGMENT_GROUP_DOCS])
{
	uint64_t base;
	uint32_t width;
	const uint8_t *bits;
	int r = group_bits(segment, section, group, mode, &base, &width, &bits);
	if (r)
		return r;
	for (uint32_t i = 0; i < HF_SEGMENT_GROUP_DOCS; i++)
		values[i] = base + unpack(bits, width, i);
	return HF_OK;
}

int hf_segment_tie(struct hf_segment *segment, uint32_t doc, enum hf_read_mode mode, uint32_t *tie)
{
	uint64_t offset = segment->section[HF_SECTION_TIE] + (uint64_t)doc * 4;
	int r = hf_segment_touch(segment, offset, 4, mode);
	if (!r)
		*tie = hf_load_le32(segment->map + offset);
	return r;
}

int hf_segment_seek_rank(struct hf_segment *segment, uint64_t rank, enum hf_read_mode mode, uint32_t *doc)
{
	struct hf_segment *s = segment;
	if (rank >= s->rank_max) {
		*doc = 0;
		return HF_OK;
	}
	*doc = s->doc_count;
	if (rank < s->rank_min)
		return HF_OK;
	/* The first group whose least rank is <= rank holds the answer. */
	uint32_t low = 0, high = (s->doc_count + HF_SEGMENT_GROUP_DOCS - 1) / HF_SEGMENT_GROUP_DOCS;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		uint64_t head = s->section[HF_SECTION_RANK_HEAD] + (uint64_t)middle * 16;
		int r = hf_segment_touch(s, head, 16, mode);
		if (r)
			return r;
		if (hf_load_le64(s->map + head) <= rank)
			high = middle;
		else
			low = middle + 1;
	}
	uint64_t end = (uint64_t)(low + 1) * HF_SEGMENT_GROUP_DOCS, at = (uint64_t)low * HF_SEGMENT_GROUP_DOCS;
	if (end > s->doc_count)
		end = s->doc_count;
	while (at < end) {
		uint64_t middle = at + (end - at) / 2, value;
		int r = hf_segment_value(s, HF_SECTION_RANK, (uint32_t)middle, mode, &value);
		if (r)
			return r;
		if (value <= rank)
			end = middle;
		else
			at = middle + 1;
	}
	*doc = at < s->doc_count ? (uint32_t)at : s->doc_count;
	return HF_OK;
}

/* ---- Look-ups ---- */

static int directory_range(struct hf_segment *s, enum hf_segment_section section, uint32_t bits, uint32_t hash,
	uint32_t count, enum hf_read_mode mode, uint32_t *first, uint32_t *end)
{
	uint64_t at = s->section[section] + (uint64_t)(hash >> (32 - bits)) * 4;
	int r = hf_segment_touch(s, at, 8, mode);
	if (r)
		return r;
	*first = hf_load_le32(s->map + at);
	*end = hf_load_le32(s->map + at + 4);
	return *first <= *end && *end <= count ? HF_OK : HF_ECORRUPT;
}

int hf_segment_find_id(
	struct hf_segment *segment, uint64_t hash, enum hf_read_mode mode, uint32_t *first, uint32_t *end)
{
	uint32_t wanted = (uint32_t)(hash >> 32), low, high;
	int r = directory_range(
		segment, HF_SECTION_ID_DIRECTORY, segment->id_bits, wanted, segment->doc_count, mode, &low, &high);
	if (!r)
		r = hf_segment_touch(
			segment, segment->section[HF_SECTION_ID] + (uint64_t)low * 8, (uint64_t)(high - low) * 8, mode);
	if (r)
		return r;
	const uint8_t *entries = hf_segment_at(segment, HF_SECTION_ID);
	while (low < high && hf_load_le32(entries + (size_t)low * 8) < wanted)
		low++;
	*first = low;
	while (low < high && hf_load_le32(entries + (size_t)low * 8) == wanted) {
		if (hf_segment_id_doc(segment, low) >= segment->doc_count)
			return HF_ECORRUPT;
		low++;
	}
	*end = low;
	return *first < *end ? HF_OK : HF_ENOTFOUND;
}

int hf_segment_find_term(struct hf_segment *segment, uint64_t term40, enum hf_read_mode mode, uint32_t *value)
{
	uint32_t low, high;
	int r = directory_range(segment, HF_SECTION_TERM_DIRECTORY, segment->term_bits, (uint32_t)(term40 >> 8),
		segment->term_count, mode, &low, &high);
	if (!r)
		r = hf_segment_touch(segment, segment->section[HF_SECTION_TERM] + (uint64_t)low * HF_SEGMENT_TERM_BYTES,
			(uint64_t)(high - low) * HF_SEGMENT_TERM_BYTES, mode);
	if (r)
		return r;
	for (; low < high; low++) {
		uint64_t term = hf_segment_term_at(segment, low, value);
		if (term >= term40)
			return term == term40 ? HF_OK : HF_ENOTFOUND;
	}
	return HF_ENOTFOUND;
}

bool hf_segment_mark_dead(struct hf_segment *segment, uint32_t doc)
{
	if (!bit_set(segment->dead, doc))
		return false;
	atomic_fetch_add_explicit(&segment->dead_count, 1, memory_order_relaxed);
	return true;
}
