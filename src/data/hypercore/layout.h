/* layout: how a core lies in the store. Version 1. (Private to data/)
 *
 * The corestore gives each core a number n, from 1. It has the store's logs 8n to 8n + 3:
 *
 *   8n      blocks: what is at index i is block i with the tree nodes that it completes:
 *             node count u8, then that many nodes from the leaf upwards: the leaf's hash (32); of each parent size varint, hash (32);
 *             then the block as it is in the tree. The count is 1 + trailing ones of i for what we wrote; less where a
 *             parent was not known when the block came. Blocks above HF_LAYOUT_INLINE_BYTES_MAX have count 0: reading a node
 *             should not read a large block.
 *   8n + 1  pages of loose nodes: those that no block's record holds. A page is what a subtree of 6 levels, 63 nodes, is known to
 *             have: bitmap le64 of present nodes by their flat number within the page, then of each in that order size
 *             varint, hash (32). The index of the page at band b (levels 6b to 6b + 5), the k-th from the left, is b << 56 | k.
 *   8n + 2  facts: 0 the head, 1 the manifest (encoded), 2 the secret key if it is not derived (64), 3 user data
 *             head: version u8 = 1, or 2 where flags has more than version 1 knew, so that what knows no more leaves the core alone;
 *             flags u8 (1: there is a shelf; from version 2 on 2: frozen), varints: fork, length, byte length, contiguous length,
 *             length of the signature; the signature
 *             user data: for each entry name and value, compact buffers, in order of names
 *   8n + 3  the shelf: truncated blocks that a snapshot needs (snapshot.h); void when the store is opened
 *
 * The corestore's documents (collections in corestore.h):
 *   of a core:  version u8 = 1, flags u8 (1: has a name), number varint, key (32), [name space (32), name]; its id: the discovery key
 *   of a name:  version u8 = 1, discovery key (32), name space (32), name; its id: BLAKE2b-256 of name space and name
 * Its table HF_LAYOUT_TABLE holds "next": the next core's number, le64.
 *
 * A node is in a page or in the record of the block that completes it, or in both, which are then the same. Nothing at or
 * above the head's length is ever there: a truncation takes it away in its own commit.
 */
#ifndef HF_DATA_HYPERCORE_LAYOUT_H
#define HF_DATA_HYPERCORE_LAYOUT_H

#include "crypto/namespace.h"
#include "data/hypercore/tree.h"

#define HF_LAYOUT_VERSION 1
#define HF_LAYOUT_HEAD_VERSION 2
#define HF_LAYOUT_TABLE 1
#define HF_LAYOUT_INLINE_BYTES_MAX 4096
#define HF_LAYOUT_PAGE_LEVELS 6
#define HF_LAYOUT_PAGE_NODES 63
#define HF_LAYOUT_BAND_SHIFT 56
#define HF_LAYOUT_PAGE_BYTES_MAX (8 + HF_LAYOUT_PAGE_NODES * (10 + 32))
#define HF_LAYOUT_BLOCK_HEAD_BYTES_MAX (1 + HF_TREE_APPEND_NODES_MAX * (10 + 32))

enum { HF_LAYOUT_BLOCKS, HF_LAYOUT_TREE, HF_LAYOUT_FACTS, HF_LAYOUT_SHELF, HF_LAYOUT_LOGS };
enum { HF_LAYOUT_HEAD, HF_LAYOUT_MANIFEST, HF_LAYOUT_SECRET_KEY, HF_LAYOUT_USER_DATA };

static inline uint64_t hf_layout_log(uint64_t core_number, unsigned which) { return core_number * 8 + which; }

/* ---- Pages of loose nodes ---- */

struct hf_layout_page {
	uint64_t number; /* index in its log */
	uint64_t present;
	struct {
		uint64_t size;
		uint8_t hash[HF_TREE_HASH_BYTES];
	} nodes[HF_LAYOUT_PAGE_NODES];
};

static inline uint64_t hf_layout_page_number(unsigned band, uint64_t place) { return (uint64_t)band << HF_LAYOUT_BAND_SHIFT | place; }
/* Blocks under a page of that band. */
static inline unsigned hf_layout_page_shift(unsigned band) { return band * HF_LAYOUT_PAGE_LEVELS + HF_LAYOUT_PAGE_LEVELS - 1; }
/* The page that a node belongs to, and its number within. */
uint64_t hf_layout_page_of(uint64_t node_index, unsigned *within);
/* The node of that number within a page. */
uint64_t hf_layout_page_node(uint64_t page_number, unsigned within);
size_t hf_layout_page_encode(const struct hf_layout_page *page, uint8_t out[static HF_LAYOUT_PAGE_BYTES_MAX]);
/* Sets all but number. HF_ECORRUPT. */
int hf_layout_page_decode(struct hf_layout_page *page, struct hf_slice record);
/* Takes out every node that reaches to or past block `length`. */
void hf_layout_page_cut(struct hf_layout_page *page, uint64_t length);

/* ---- Blocks ---- */

/* The head of a block's record; nodes are those of hf_tree_append, in order. Returns its length. */
size_t hf_layout_block_encode(const struct hf_tree_node *nodes, unsigned count, uint8_t out[static HF_LAYOUT_BLOCK_HEAD_BYTES_MAX]);
/* nodes and count may be NULL. HF_ECORRUPT. */
int hf_layout_block_decode(struct hf_slice record, uint64_t block, struct hf_tree_node nodes[HF_TREE_APPEND_NODES_MAX], unsigned *count,
	struct hf_slice *value);

/* ---- Head and documents ---- */

struct hf_layout_head {
	uint64_t fork, length, byte_length, contiguous;
	bool has_shelf, is_frozen;
	struct hf_slice signature; /* borrowed */
};
int hf_layout_head_encode(const struct hf_layout_head *head, struct hf_buffer *out); /* appends */
int hf_layout_head_decode(struct hf_layout_head *head, struct hf_slice record);      /* HF_ECORRUPT, HF_EVERSION */

struct hf_layout_core {
	uint64_t number;
	const uint8_t *key, *name_space; /* borrowed; name_space NULL: no name */
	struct hf_slice name;
};
int hf_layout_core_encode(const struct hf_layout_core *core, struct hf_buffer *out); /* appends */
int hf_layout_core_decode(struct hf_layout_core *core, struct hf_slice document);    /* HF_ECORRUPT, HF_EVERSION */

struct hf_layout_name {
	const uint8_t *discovery_key, *name_space;
	struct hf_slice name;
};
int hf_layout_name_encode(const struct hf_layout_name *name, struct hf_buffer *out);
int hf_layout_name_decode(struct hf_layout_name *name, struct hf_slice document);
void hf_layout_name_id(uint8_t id[static 32], const uint8_t name_space[static HF_NAMESPACE_BYTES], struct hf_slice name);

#endif
