/* node: the blocks of a Hyperbee: the header in block 0, and in every other block one put or del with the nodes of the tree that it wrote.
 *
 * A decoded block is one allocation that owns a copy of the block's bytes. What it holds of the tree, its levels, is decoded when it is
 * asked for: most blocks are read for their key alone. Specification, Hypercore, section 8.
 */
#ifndef HF_DATA_HYPERBEE_NODE_H
#define HF_DATA_HYPERBEE_NODE_H

#include "base/bytes.h"
#include "base/error.h"

#define HF_BEE_NODE_KEY_COUNT_MIN 4 /* of a node that is not the root */
#define HF_BEE_NODE_KEY_COUNT_MAX 8
#define HF_BEE_DEPTH_MAX 32         /* levels from root to leaf; 2^53 keys need 24 */
#define HF_BEE_LEVEL_COUNT_MAX 65536 /* nodes in one block; a change seldom writes more than three for each of its depth */

/* ---- The header ---- */

struct hf_bee_header {
	bool has_metadata;                     /* hyperdrives have it, else empty */
	bool has_content_feed, has_user_data;
	struct hf_slice content_feed;          /* borrowed; of hyperdrive 10: a key of 32 bytes */
	struct hf_slice user_data;             /* borrowed */
};
/* HF_EMALFORMED: not the header of a bee. Slices point into bytes. */
HF_API int hf_bee_header_decode(struct hf_slice bytes, struct hf_bee_header *header);
HF_API int hf_bee_header_encode(const struct hf_bee_header *header, struct hf_buffer *out); /* appends; HF_ENOMEM */

/* ---- Other blocks ---- */

/* Where a key or a child is. hint is the reader's own: see cache.h. */
struct hf_bee_reference {
	uint64_t seq;
	uint32_t level; /* of a child: which of the levels of block seq */
	uint32_t hint;
};

/* One node of the tree. A node with another count of children than 0 or key_count + 1, with too many keys, or with references to block
 * 0 or to later blocks is not sound: the package leaves such in a block as remains that nothing points to. */
struct hf_bee_node {
	uint8_t key_count, child_count;
	bool is_sound;
	struct hf_bee_reference *keys, *children; /* owned by the block */
};

struct hf_bee_block {
	uint64_t seq;
	struct hf_slice key, value, index; /* into the block's own bytes */
	bool has_value;                    /* false: a del, or a put of nothing */
	bool was_used;                     /* the cache's */
	uint32_t level_count;
	struct hf_bee_node *levels;        /* NULL until hf_bee_block_inflate */
	size_t bytes;                      /* memory that it takes */
};

/* Decodes all but the levels. HF_EMALFORMED, HF_ENOMEM. */
HF_API int hf_bee_block_decode(struct hf_slice bytes, uint64_t seq, struct hf_bee_block **out);
/* Decodes the levels, once. HF_EMALFORMED, also for more than HF_BEE_LEVEL_COUNT_MAX levels; HF_ENOMEM. */
HF_API int hf_bee_block_inflate(struct hf_bee_block *block);
HF_API void hf_bee_block_free(struct hf_bee_block *block); /* NULL is fine */
/* Whether it is a del: no value, and none of its nodes has its key. Inflates it. */
HF_API int hf_bee_block_is_deletion(struct hf_bee_block *block, bool *is_deletion);

/* Appends a block whose index was written with the next; value NULL: none. HF_ENOMEM. */
HF_API int hf_bee_block_encode(struct hf_slice index, struct hf_slice key, const struct hf_slice *value, struct hf_buffer *out);
/* Appends one level to an index. children: pairs of seq and level. HF_ENOMEM. */
HF_API int hf_bee_level_encode(const uint64_t *keys, size_t key_count, const uint64_t *children, size_t child_count,
	struct hf_buffer *index);

#endif
