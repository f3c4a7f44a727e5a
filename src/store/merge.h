/* merge: makes a segment out of a memtable or out of several segments. (Private to store/.)
 *
 * Dead documents are left out. Marks may be set in the inputs while the work runs: it sees them as they were at its
 * start, and the map from old to new numbers lets the index carry later ones over when it switches (hf_*_carry, once
 * before and once under the index lock).
 */
#ifndef HF_STORE_MERGE_H
#define HF_STORE_MERGE_H

#include "store/memtable.h"
#include "store/segment.h"

#define HF_MERGE_INPUTS_MAX 64
#define HF_MERGE_DROPPED UINT32_MAX /* in a map: has no new number */

struct hf_merge_target {
	struct hf_fs *fs;
	const char *directory;
	uint32_t number, tier, collection;
	uint64_t seed;
	int (*read_id)(void *context, uint64_t position, uint8_t id[static HF_STORE_ID_BYTES]);
	void *context;
};

/* Seals a frozen table. *out: the segment, its blocks verified, or NULL when no document lives. *map (docs of the
 * table, to free) is set in both cases. Errors leave nothing behind. */
int hf_seal(
	const struct hf_merge_target *target, const struct hf_memtable *table, struct hf_segment **out, uint32_t **map);
void hf_seal_carry(const struct hf_memtable *table, const uint32_t *map, struct hf_segment *out);

struct hf_merge_input {
	struct hf_segment *segment; /* its blocks verified (hf_segment_warm) */
	uint64_t *dead;             /* marks as of the start, then as of the last carry */
	uint32_t *map;
};
/* Merges up to HF_MERGE_INPUTS_MAX segments; inputs[].segment is set by the caller, who calls hf_merge_release in the
 * end. *out is NULL when no document lives. HF_ETOOBIG when the result would pass a limit of the format. */
int hf_merge(
	const struct hf_merge_target *target, struct hf_merge_input *inputs, uint32_t count, struct hf_segment **out);
void hf_merge_carry(struct hf_merge_input *inputs, uint32_t count, struct hf_segment *out);
void hf_merge_release(struct hf_merge_input *inputs, uint32_t count);

#endif
