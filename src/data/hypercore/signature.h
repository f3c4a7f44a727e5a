/* signature: what the signers of a core sign, and how their signatures travel together. (spec: Hypercore, sections 2.3 and 2.5)
 *
 * key is the core's key throughout: it tells compat cores, and is part of what is signed.
 */
#ifndef HF_DATA_HYPERCORE_SIGNATURE_H
#define HF_DATA_HYPERCORE_SIGNATURE_H

#include "crypto/merkle_hash.h"
#include "crypto/sign.h"
#include "data/hypercore/manifest.h"
#include "data/hypercore/tree.h"

#define HF_SIGNATURE_PARTS_MAX HF_MANIFEST_SIGNERS_MAX
#define HF_SIGNATURE_NODES_MAX 512       /* of all patches */
#define HF_SIGNATURE_SINGLE_BYTES_MAX 68 /* of one signer without a patch, all encodings */

/* What signer number `signer` signs for that tree: 112 or 80 bytes, returned; 0 when there is no such signer. */
HF_API size_t hf_signature_signable(uint8_t out[static HF_SIGNABLE_BYTES_MAX], const struct hf_manifest *manifest,
	const uint8_t key[static HF_CORE_KEY_BYTES], uint64_t signer, const uint8_t tree_hash[static HF_TREE_HASH_BYTES],
	uint64_t length, uint64_t fork);

/* HF_OK or HF_EBADSIG. Below and at the prologue's length the hash counts, and on fork 0, where the prologue is by the manifest itself,
 * signature may be anything. On others it must be signed, or anybody could lead readers away to a fork that was never made. */
HF_API int hf_signature_verify(const struct hf_manifest *manifest, const uint8_t key[static HF_CORE_KEY_BYTES], const struct hf_tree *tree,
	struct hf_slice signature);

/* One signer's part. With a patch it signed a tree that is `patch` blocks longer, and nodes lead there: the nodes of an upgrade
 * from the signed length by patch, as hf_proof_build makes them. */
struct hf_signature_part {
	uint64_t signer;
	const uint8_t *signature; /* 64 bytes */
	uint64_t patch;           /* blocks; 0: none */
	struct hf_node_list nodes;
};
/* Appends the signature that the parts make together, in the manifest's encoding. The parts are not verified. HF_EINVAL: more than
 * one part, or a patch, where the encoding has no place for it; no part at all. */
HF_API int hf_signature_assemble(const struct hf_manifest *manifest, const uint8_t key[static HF_CORE_KEY_BYTES],
	const struct hf_signature_part *parts, size_t part_count, struct hf_buffer *out);
/* Takes one apart; *part_count is the room in parts and becomes their number. nodes is the list that all patches share (each part's
 * nodes too). HF_EMALFORMED; HF_ETOOBIG: more than there is room for. */
HF_API int hf_signature_parts(const struct hf_manifest *manifest, const uint8_t key[static HF_CORE_KEY_BYTES], struct hf_slice signature,
	struct hf_signature_part *parts, size_t *part_count, struct hf_node_list *nodes);

/* The length that quorum signers can vouch for: the quorum-th largest of the lengths they signed; 0 when they are too few.
 * Sorts lengths. */
HF_API uint64_t hf_signature_length(uint64_t *lengths, size_t count, uint64_t quorum);

#endif
