/* proof: what one peer asks of another's tree, what proves the answer, and whether it does. (spec: Hypercore, sections 6.4, 6.5)
 *
 * Node lists are kept as they are on the wire, so a proof that comes in is read in place and one that goes out is written once.
 */
#ifndef HF_DATA_HYPERCORE_PROOF_H
#define HF_DATA_HYPERCORE_PROOF_H

#include "data/hypercore/manifest.h"
#include "data/hypercore/tree.h"

struct hf_core_chunk;

struct hf_proof_request {
	bool has_block, has_hash, has_seek, has_upgrade, wants_manifest;
	struct { uint64_t index, nodes; } block; /* index: block */
	struct { uint64_t index, nodes; } hash;  /* index: tree node; looked at when no block is asked for */
	struct { uint64_t bytes, padding; } seek;
	struct { uint64_t start, length; } upgrade;
};

struct hf_proof {
	uint64_t fork;
	bool has_block, has_hash, has_seek, has_upgrade, has_manifest;
	struct {
		uint64_t index;
		struct hf_slice value;
		const uint8_t *hash; /* the value's hf_leaf_hash, where whoever verifies has computed it before; else NULL */
		struct hf_core_chunk *chunk; /* that the value lies in, not at its beginning: the byte before is used, too; NULL: in none */
		struct hf_node_list nodes;
	} block;
	struct { uint64_t index; struct hf_node_list nodes; } hash;
	struct { uint64_t bytes; struct hf_node_list nodes; } seek;
	struct {
		uint64_t start, length;
		struct hf_node_list nodes, additional_nodes;
		struct hf_slice signature;
	} upgrade;
	struct hf_slice manifest; /* encoded */
};

/* Writes the node lists that answer request into *nodes (appended; the proof's lists point into it, so they hold until it is
 * changed) and fills proof but for block.value, upgrade.signature and manifest, which the caller knows; has_manifest is false.
 * prologue_length: 0 for none (an upgrade from below it is rewritten, section 6.4; with a block or hash beyond only its start is). An
 * empty tree answers with no parts.
 * HF_EINVAL: the request cannot be answered by any peer of this length; HF_ENOTFOUND: a node is missing here; HF_ENOMEM; and the
 * reader's. On failure *nodes is as it was, and the call can be repeated. */
HF_API int hf_proof_build(const struct hf_tree *tree, const struct hf_tree_reader *reader, uint64_t prologue_length,
	const struct hf_proof_request *request, struct hf_buffer *nodes, struct hf_proof *proof);

/* What a proof that holds leads to. Zero-initialised and reused over calls; hf_proof_check_free at the end. */
struct hf_proof_check {
	struct hf_tree_node *nodes; /* given and computed, to be stored in this order */
	size_t node_count, node_capacity;
	bool has_upgrade;           /* tree is the new one, longer than ours; hf_signature_verify it before anything is stored */
	struct hf_tree tree;
	uint8_t tree_hash[HF_TREE_HASH_BYTES]; /* of tree */
};

/* Judges a proof from `ours` (not changed): hashes, places, counts, prologue (manifest; NULL for none). The signature is not looked
 * at: when check->has_upgrade is set afterwards, nothing in check may be used before hf_signature_verify(manifest, key,
 * &check->tree, proof->upgrade.signature) says HF_OK. An upgrade that is no longer than ours and agrees with our nodes needs no
 * signature and sets no has_upgrade.
 * The caller compares proof->fork with its own first, and starts from an empty tree when it verifies another fork (reorg.h).
 *
 * HF_EBADSIG: a hash does not match what we hold, or a node is out of place. (Was upgrade.start not the length of ours, then the
 * answer may just be late.) HF_ENOTFOUND: the node that would tie it to our tree is not held. HF_ETOOBIG: sizes or lengths add up
 * to more than there can be. HF_ENOMEM; and the reader's: nothing is decided, run it again.
 *
 * Where a proof gives both children of a node, as at the bottom of a hash or seek part, each is bound in its hash but in size only
 * together with the other: a peer can shift bytes between the two. So it is in the packages. Whoever then verifies a block under
 * them puts it right, as computed nodes are always reported. */
HF_API int hf_proof_verify(const struct hf_proof *proof, const struct hf_tree *ours, const struct hf_tree_reader *reader,
	const struct hf_manifest *manifest, struct hf_proof_check *check);

/* A proof that needs no core: manifest, upgrade from 0 and perhaps a block, as in push notifications (section 5.9). Verifies all
 * of it, the signature too, for the core of that discovery key, and gives the core's key. Only manifests of one signer, and of
 * none with a prologue: else HF_EDENIED. HF_EBADSIG: does not hold; HF_EMALFORMED: the manifest. */
HF_API int hf_proof_verify_remote(const struct hf_proof *proof, const uint8_t discovery_key[static 32],
	struct hf_proof_check *check, uint8_t key[static HF_CORE_KEY_BYTES]);
HF_API void hf_proof_check_free(struct hf_proof_check *check);

#endif
