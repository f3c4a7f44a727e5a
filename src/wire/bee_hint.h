/* bee_hint: messages of the extension `hyperbee` on a bee's core: a reader tells what it looks for, and a peer that has more of the bee
 * answers with the numbers of the blocks that this will come to, so that they can be fetched at once rather than one after the other. All
 * of it is advice; whoever ignores it loses nothing. Specification, Hypercore, section 8.8.
 */
#ifndef HF_WIRE_BEE_HINT_H
#define HF_WIRE_BEE_HINT_H

#include "data/hyperbee/bee.h"

#define HF_BEE_HINT_NAME "hyperbee"
#define HF_BEE_HINT_BLOCK_COUNT_MAX 128 /* in a message that we send */

/* A message has any of three parts. Slices and bounds point into what was decoded. */
struct hf_bee_hint {
	bool has_get, has_range, has_cache;
	struct {
		uint64_t version;
		struct hf_slice key;
	} get;
	struct {
		uint64_t version;
		struct hf_bee_range range; /* no limit is a limit of 0 on the wire */
		struct hf_slice checkpoint; /* packed numbers, as of hf_bee_hinter; read them with a reader of protobuf.h */
	} range;
	struct {
		struct hf_slice blocks;    /* packed numbers */
	} cache;
};
/* HF_EMALFORMED. */
int hf_bee_hint_decode(struct hf_slice message, struct hf_bee_hint *hint);

/* Append a message of one part. HF_ENOMEM. */
int hf_bee_hint_encode_get(uint64_t version, struct hf_slice key, struct hf_buffer *out);
int hf_bee_hint_encode_range(uint64_t version, const struct hf_bee_range *range, const uint64_t *checkpoint, size_t checkpoint_count,
	struct hf_buffer *out);
int hf_bee_hint_encode_cache(const uint64_t *blocks, size_t count, struct hf_buffer *out);

#endif
