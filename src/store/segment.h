/* segment: an immutable index file and its reader. (Private to store/.)
 *
 * A segment holds what the index knows of up to HF_SEGMENT_DOCS_MAX documents of one collection. Documents are numbered
 * from 0, newest first: rank descending, then id ascending. All integers are little-endian.
 *
 *   file     = lead, sections, zero up to a multiple of 8, checksum table, footer
 *   lead     = "HFSEG\0\0\0" (8), format version le32, zero le32
 *   checksum table = for each 64 KiB of what is before it (the last one may be shorter) its crc32c le32
 *   footer   = 512 bytes, the last of the file (offsets in enum below): magic "HFSEGEND", format version, number,
 * collection, document count, term count, block count, seed check (a hash of the store's seed), highest and lowest
 * rank, lowest and highest position, crc32c of the checksum table, then offset le64 and length le64 of each section,
 *              and in its last 4 bytes the crc32c of the 508 before
 *
 * Sections begin at multiples of 8, in this order:
 *
 *   RANK, POSITION   a packed column each: for each 128 documents 128 * width bits, value minus base, lowest bit first.
 *                    The last group is padded to 128 values and each section to 8 bytes more, so that any value can be
 *                    fetched with one 8-byte load. Widths of 58 to 63 are written as 64.
 *   RANK_HEAD, POSITION_HEAD   for each group: base le64 (the least value), offset le32 in units of 16 bytes, width
 * le32. Ranks descend, so bases descend and a rank is found by binary search in the heads. TIE              for each
 * document the first four bytes of its id as a big-endian number, stored le32 ID               for each document,
 * ascending: hash le32 (the high half of the keyed hash of the id), number le32 ID_DIRECTORY     2^b + 1 le32: at k the
 * index of the first ID entry whose hash has high b bits >= k, with b = hf_segment_directory_bits(document count). A
 * look-up is one load here and one cache line there. TERM             for each distinct 40-bit term, ascending: its
 * high 32 bits le32, its low 8 bits u8, value le32: bit 31 set: the list is the one document in the low 31 bits, or
 * empty when they are all ones; else the list begins at POSTINGS + 2 * value. 9 bytes an entry, not aligned. POSTINGS
 * lists of ascending document numbers. Up to 128 entries: count varint, then the first number and the differences as
 * varints. Longer ones are written data first, and the value points behind it: data     = for each block of 128: 127
 * (or fewer at the end) differences as varints; one zero byte when the length would be odd pointed at: count varint,
 * length of the data varint, then for each block its first document le32 and the offset of its differences in the data
 * le32. The data ends where the value points. TERM_DIRECTORY   as ID_DIRECTORY, over the high 32 bits of TERM
 *
 * Terms are 64-bit keyed hashes; hf_segment_term40 keeps 40 bits, so that distinct terms may share a list: a hit is
 * matched against the document by whoever asked.
 *
 * Reading. The file is mapped. The first touch of a 64 KiB block checks it: in blocking mode it is read with pread (so
 * that a failing disk is HF_EIO and not a signal), in resident mode HF_EWAIT is returned. A block that does not match
 * is HF_ECORRUPT from then on, logged once with file and offset, and counted. When all are checked one flag says so and
 * costs one load. After its checksum a block is still not trusted with memory: offsets, widths and numbers are bounded.
 *
 * Threads: everything here may be called from any thread; marks are atomic.
 */
#ifndef HF_STORE_SEGMENT_H
#define HF_STORE_SEGMENT_H

#include "store/store.h"

#define HF_SEGMENT_DOCS_MAX (1u << 28)
#define HF_SEGMENT_BLOCK_BYTES (64u << 10)
#define HF_SEGMENT_GROUP_DOCS 128u
#define HF_SEGMENT_FOOTER_BYTES 512
#define HF_SEGMENT_LEAD_BYTES 16
#define HF_SEGMENT_TERM_BYTES 9
#define HF_SEGMENT_VERSION 1
#define HF_SEGMENT_POSTINGS_BYTES_MAX ((uint64_t)0xfffffffeu)
#define HF_SEGMENT_INLINE (1u << 31)
#define HF_SEGMENT_EMPTY UINT32_MAX
#define HF_SEGMENT_MAGIC "HFSEG\0\0"
#define HF_SEGMENT_END_MAGIC "HFSEGEND"

enum hf_segment_section {
	HF_SECTION_RANK,
	HF_SECTION_RANK_HEAD,
	HF_SECTION_POSITION,
	HF_SECTION_POSITION_HEAD,
	HF_SECTION_TIE,
	HF_SECTION_ID,
	HF_SECTION_ID_DIRECTORY,
	HF_SECTION_TERM,
	HF_SECTION_POSTINGS,
	HF_SECTION_TERM_DIRECTORY,
	HF_SECTION_COUNT,
};

/* Offsets in the footer. */
enum {
	HF_FOOTER_VERSION = 8,
	HF_FOOTER_NUMBER = 12,
	HF_FOOTER_COLLECTION = 16,
	HF_FOOTER_DOC_COUNT = 20,
	HF_FOOTER_TERM_COUNT = 24,
	HF_FOOTER_BLOCK_COUNT = 28,
	HF_FOOTER_SEED_CHECK = 32,
	HF_FOOTER_RANK_MAX = 40,
	HF_FOOTER_RANK_MIN = 48,
	HF_FOOTER_POSITION_MIN = 56,
	HF_FOOTER_POSITION_MAX = 64,
	HF_FOOTER_TABLE_CRC = 72,
	HF_FOOTER_SECTIONS = 80,
	HF_FOOTER_CRC = 508,
};

struct hf_segment {
	_Atomic uint32_t references;
	uint32_t number, tier, collection;
	uint32_t doc_count, term_count;
	uint32_t id_bits, term_bits; /* of the directories */
	uint64_t rank_max, rank_min, position_min, position_max;
	uint64_t file_bytes;
	struct hf_file file;
	const uint8_t *map;
	uint64_t section[HF_SECTION_COUNT], section_bytes[HF_SECTION_COUNT];

	uint32_t block_count;
	uint32_t *checksums;
	_Atomic uint64_t *verified, *failed; /* a bit a block */
	_Atomic uint32_t unverified_count;
	_Atomic bool all_verified;
	_Atomic uint64_t *corrupt_count; /* of the index; may be NULL */

	_Atomic uint64_t *dead; /* a bit a document */
	_Atomic uint64_t dead_count;

	/* The index's own, under its lock. */
	bool retired; /* replaced by a merge: marks are of no use here any more */
	bool damaged; /* could not be merged */
	uint32_t dead_generation;
	uint64_t dead_saved_count;
};

/* Of a store's seed, so that a segment of another store is refused. */
uint64_t hf_segment_seed_check(uint64_t seed);
uint32_t hf_segment_directory_bits(uint64_t entry_count);
int hf_segment_path(char out[static HF_PATH_BYTES_MAX], const char *directory, uint32_t number);

/* Spreads a term over 64 bits, one to one; its high 40 bits name the term in a segment. */
static inline uint64_t hf_segment_mix(uint64_t term)
{
	term = (term ^ (term >> 32)) * 0xd6e8feb86659fd93u;
	term = (term ^ (term >> 32)) * 0xd6e8feb86659fd93u;
	return term ^ (term >> 32);
}
static inline uint64_t hf_segment_term40(uint64_t term)
{
	return hf_segment_mix(term) >> 24;
}
/* The hash of an id under the seed; the high half is stored. */
uint64_t hf_segment_id_hash(const uint8_t id[static HF_STORE_ID_BYTES], uint64_t seed);

/* One reference. HF_ENOTFOUND, HF_EVERSION, HF_ECORRUPT (footer, checksum table or sizes; the sentence names
 * the file), HF_EIO, HF_ENOMEM. file_bytes: what the manifest says, or 0 to take the file's size. */
int hf_segment_open(struct hf_segment **out, struct hf_fs *fs, const char *directory, uint32_t number, uint32_t tier,
	uint32_t collection, uint64_t file_bytes, uint64_t seed, struct hf_failure *failure);
struct hf_segment *hf_segment_ref(struct hf_segment *segment);
void hf_segment_unref(struct hf_segment *segment); /* NULL is fine; the last one closes */

/* The writer of this very file has just checked it: nothing is left to verify. */
void hf_segment_trust(struct hf_segment *segment);
/* Checks every block that is not checked yet. Blocking. The first error, after all were tried. */
int hf_segment_warm(struct hf_segment *segment);
int hf_segment_touch_blocks(struct hf_segment *segment, uint64_t offset, uint64_t length, enum hf_read_mode mode);
/* To be called before reading [offset, offset + length) of the file through the mapping: 0, HF_EWAIT, HF_ECORRUPT,
 * HF_EIO, HF_ENOMEM. */
static inline int hf_segment_touch(struct hf_segment *segment, uint64_t offset, uint64_t length, enum hf_read_mode mode)
{
	if (__builtin_expect(atomic_load_explicit(&segment->all_verified, memory_order_acquire), 1))
		return HF_OK;
	return hf_segment_touch_blocks(segment, offset, length, mode);
}
static inline const uint8_t *hf_segment_at(const struct hf_segment *segment, enum hf_segment_section section)
{
	return segment->map + segment->section[section];
}

/* One value of a packed column: section is HF_SECTION_RANK or HF_SECTION_POSITION. */
int hf_segment_value(struct hf_segment *segment, enum hf_segment_section section, uint32_t doc, enum hf_read_mode mode,
	uint64_t *value);
/* A group of 128 at once; values past the last document are undefined. */
int hf_segment_group(struct hf_segment *segment, enum hf_segment_section section, uint32_t group,
	enum hf_read_mode mode, uint64_t values[static HF_SEGMENT_GROUP_DOCS]);
int hf_segment_tie(struct hf_segment *segment, uint32_t doc, enum hf_read_mode mode, uint32_t *tie);
/* The first document whose rank is <= rank (doc_count when none). */
int hf_segment_seek_rank(struct hf_segment *segment, uint64_t rank, enum hf_read_mode mode, uint32_t *doc);
/* Candidates for an id hash: entries [*first, *end) of ID all have its high half. HF_ENOTFOUND. */
int hf_segment_find_id(
	struct hf_segment *segment, uint64_t hash, enum hf_read_mode mode, uint32_t *first, uint32_t *end);
static inline uint32_t hf_segment_id_doc(const struct hf_segment *segment, uint32_t entry)
{
	return hf_load_le32(hf_segment_at(segment, HF_SECTION_ID) + (size_t)entry * 8 + 4);
}
/* Look-ups in many segments ask for their memory first, so that they wait for it once: for each segment the directory,
 * then for each what the directory points at. */
static inline void hf_segment_prefetch_directory(
	const struct hf_segment *segment, enum hf_segment_section directory, uint32_t bits, uint32_t hash)
{
	if (atomic_load_explicit(&segment->all_verified, memory_order_acquire))
		__builtin_prefetch(hf_segment_at(segment, directory) + (size_t)(hash >> (32 - bits)) * 4);
}
static inline void hf_segment_prefetch_entries(const struct hf_segment *segment, enum hf_segment_section directory,
	uint32_t bits, uint32_t hash, enum hf_segment_section entries, size_t entry_bytes)
{
	if (atomic_load_explicit(&segment->all_verified, memory_order_acquire))
		__builtin_prefetch(hf_segment_at(segment, entries) +
				   hf_load_le32(hf_segment_at(segment, directory) + (size_t)(hash >> (32 - bits)) * 4) *
					   entry_bytes);
}
/* The TERM value of a 40-bit term. HF_ENOTFOUND. */
int hf_segment_find_term(struct hf_segment *segment, uint64_t term40, enum hf_read_mode mode, uint32_t *value);
static inline uint64_t hf_segment_term_at(const struct hf_segment *segment, uint32_t entry, uint32_t *value)
{
	const uint8_t *p = hf_segment_at(segment, HF_SECTION_TERM) + (size_t)entry * HF_SEGMENT_TERM_BYTES;
	*value = hf_load_le32(p + 5);
	return (uint64_t)hf_load_le32(p) << 8 | p[4];
}

static inline bool hf_segment_is_dead(const struct hf_segment *segment, uint32_t doc)
{
	return atomic_load_explicit(&segment->dead[doc / 64], memory_order_relaxed) >> (doc % 64) & 1;
}
/* False when it was dead already. */
bool hf_segment_mark_dead(struct hf_segment *segment, uint32_t doc);

/* Reads every block again and checks the structure against itself. Calls report (may be NULL) for each fault;
 * *fault_count is raised. HF_OK also when there were faults; HF_ENOMEM. */
int hf_segment_check(struct hf_segment *segment, void (*report)(void *context, const char *sentence), void *context,
	uint64_t *fault_count);

#endif
