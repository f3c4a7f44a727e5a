/* merkle_hash: the hashes of a hypercore's tree and what its signers sign. All are BLAKE2b of 32 bytes and begin with a byte
 * that says what is hashed, so that no leaf can pass for a parent.
 */
#ifndef HF_CRYPTO_MERKLE_HASH_H
#define HF_CRYPTO_MERKLE_HASH_H

#include <sys/uio.h>

#include "crypto/hash.h"

#define HF_MERKLE_HASH_BYTES 32
#define HF_SIGNABLE_BYTES_MAX 112

/* A subtree: how many bytes its blocks have together, and its hash. */
struct hf_merkle_node {
	uint64_t size;
	uint8_t hash[HF_MERKLE_HASH_BYTES];
};

/* A block, given in count pieces. */
HF_API void hf_leaf_hash(uint8_t out[static HF_MERKLE_HASH_BYTES], const struct iovec *pieces, size_t count);
/* Blocks in one piece each; longer ones are hashed side by side, HF_LEAVES_TOGETHER at a time. */
#define HF_LEAVES_TOGETHER 8u
HF_API void hf_leaf_hashes(uint8_t (*out)[HF_MERKLE_HASH_BYTES], const struct hf_slice *blocks, size_t count);
/* left is the child with the smaller index; the sum of the sizes is the parent's. out may be a child's hash. */
HF_API void hf_parent_hash(uint8_t out[static HF_MERKLE_HASH_BYTES], const struct hf_merkle_node *left, const struct hf_merkle_node *right);

/* The hash of a tree over its roots, which are added from left to right; none for an empty core. */
struct hf_tree_hash {
	struct hf_blake2b hash;
};
HF_API void hf_tree_hash_init(struct hf_tree_hash *tree);
HF_API void hf_tree_hash_add(struct hf_tree_hash *tree, uint64_t index, const struct hf_merkle_node *root);
HF_API void hf_tree_hash_final(struct hf_tree_hash *tree, uint8_t out[static HF_MERKLE_HASH_BYTES]);

/* What is signed. context is the core's key for manifests from version 1, the signer's namespace for version 0; NULL for compat
 * cores. Returns the length: 112, or 80. */
HF_API size_t hf_signable(uint8_t out[static HF_SIGNABLE_BYTES_MAX], const uint8_t *context,
	const uint8_t tree_hash[static HF_MERKLE_HASH_BYTES], uint64_t length, uint64_t fork);

#endif
