/* node: the blocks of a Hyperbee: the header in block 0, and in every other block one put or del with the nodes of the tree that it wrote.
 *
 * What is kept of a block is its key, which every search needs, and what it holds of the tree, its levels, once a node of it was asked
 * for: most blocks are read for their key alone. Values are not kept. Specification, Hypercore, section 8.
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

/* What is in a block, as it lies in its bytes. */
struct hf_bee_content {
	struct hf_slice key, value, index;
	bool has_value; /* false: a del, or a put of nothing */
};
HF_API int hf_bee_content_decode(struct hf_slice bytes, struct hf_bee_content *content); /* HF_EMALFORMED */

/* What is kept of it. */
struct hf_bee_block {
	uint64_t seq;
	struct hf_bee_node *levels; /* NULL until hf_bee_block_inflate */
	uint32_t level_count;
	uint32_t bytes;             /* memory that it takes */
	uint32_t key_length;
	bool was_used;              /* the cache's */
	uint8_t key[];
};
static inline struct hf_slice hf_bee_block_key(const struct hf_bee_block *block)
{
	return (struct hf_slice){block->key, block->key_length};
}
HF_API int hf_bee_block_new(struct hf_slice key, uint64_t seq, struct hf_bee_block **out); /* HF_ENOMEM */
/* Decodes the levels, once. HF_EMALFORMED, also for more than HF_BEE_LEVEL_COUNT_MAX levels; HF_ENOMEM. */
HF_API int hf_bee_block_inflate(struct hf_bee_block *block, struct hf_slice index);
HF_API void hf_bee_block_free(struct hf_bee_block *block); /* NULL is fine */
/* Whether one of its nodes has its own key. A block without a value that has none is a del. Its levels are decoded. */
HF_API bool hf_bee_block_has_own_key(const struct hf_bee_block *block);

/* Appends a block whose index was written with the next; value NULL: none. HF_ENOMEM. */
HF_API int hf_bee_block_encode(struct hf_slice index, struct hf_slice key, const struct hf_slice *value, struct hf_buffer *out);
/* Appends one level to an index. children: pairs of seq and level. HF_ENOMEM. */
HF_API int hf_bee_level_encode(const uint64_t *keys, size_t key_count, const uint64_t *children, size_t child_count,
	struct hf_buffer *index);

#endif
