/* bitfield: which blocks are held, ours or a peer's.
 *
 * All blocks below `contiguous` are held and cost nothing; beyond it bits stand in pages of 32,768, of which only those with a bit
 * set exist, and full ones cost little. contiguous grows by itself as pages fill up.
 */
#ifndef HF_DATA_HYPERCORE_BITFIELD_H
#define HF_DATA_HYPERCORE_BITFIELD_H

#include "base/bytes.h"
#include "base/u64_map.h"

#define HF_BITFIELD_PAGE_BITS 32768
#define HF_BITFIELD_PAGE_WORDS (HF_BITFIELD_PAGE_BITS / 64)

struct hf_bitfield {
	uint64_t contiguous;
	uint64_t beyond_count;  /* bits set at or above contiguous */
	uint64_t page_count_max; /* 0: none; setting bits past it fails with HF_ETOOBIG: bounds what a peer can make us keep */
	struct hf_u64_map pages; /* page number to struct hf_bitfield_page * */
};

HF_API void hf_bitfield_free(struct hf_bitfield *bits); /* leaves it empty */
HF_API bool hf_bitfield_get_slow(const struct hf_bitfield *bits, uint64_t index);
static inline bool hf_bitfield_get(const struct hf_bitfield *bits, uint64_t index)
{
	return index < bits->contiguous || (bits->beyond_count > 0 && hf_bitfield_get_slow(bits, index));
}
/* HF_ENOMEM, HF_ETOOBIG: part of the range may be set. */
HF_API int hf_bitfield_set(struct hf_bitfield *bits, uint64_t from, uint64_t to);
/* HF_ENOMEM, HF_ETOOBIG: nothing is cleared. */
HF_API int hf_bitfield_clear(struct hf_bitfield *bits, uint64_t from, uint64_t to);
/* All from length on. Cannot fail. */
HF_API void hf_bitfield_truncate(struct hf_bitfield *bits, uint64_t length);
/* The first index in [from, to) that is held, or is not; to when there is none. */
HF_API uint64_t hf_bitfield_next_set(const struct hf_bitfield *bits, uint64_t from, uint64_t to);
HF_API uint64_t hf_bitfield_next_clear(const struct hf_bitfield *bits, uint64_t from, uint64_t to);
static inline uint64_t hf_bitfield_count(const struct hf_bitfield *bits) { return bits->contiguous + bits->beyond_count; }
/* 32 bits from index on, which is a multiple of 32, in the order of the wire. */
HF_API uint32_t hf_bitfield_word(const struct hf_bitfield *bits, uint64_t index);

#endif
