/* reorg: how much of what we hold is also in another fork. (spec: Hypercore, section 5.8)
 *
 * A peer on a higher fork sent an upgrade from nothing, which was verified as a whole tree, signature included. From there:
 *
 *     hf_reorg_start(&reorg, &check, old_length);
 *     while ((status = hf_reorg_step(&reorg, old_nodes)) == HF_OK && !reorg.finished) {
 *             request hash {hf_reorg_request}, fork reorg.tree.fork, for any block in [want_start, want_end) that a peer has
 *             status = hf_reorg_feed(&reorg, proof)
 *     }
 *     // truncate to reorg.ancestors, store reorg.nodes, adopt reorg.tree
 */
#ifndef HF_DATA_HYPERCORE_REORG_H
#define HF_DATA_HYPERCORE_REORG_H

#include "data/hypercore/proof.h"

/* Zero-initialised; hf_reorg_free at the end. */
struct hf_reorg {
	struct hf_tree tree;           /* the new one */
	uint64_t old_length;           /* of ours, blocks */
	uint64_t ancestors;            /* blocks that both have, as far as is known; final once finished */
	bool has_diff, finished;
	uint64_t want_start, want_end; /* not finished: the difference begins in these blocks */
	uint64_t want_nodes;           /* levels */
	struct hf_tree_node diff;      /* the new node that covers them */
	struct hf_proof_check check;   /* the answer that is being judged */
	struct hf_tree_node *nodes;    /* of the new tree, sorted by index, each once */
	size_t node_count, node_capacity;
};

/* Takes over (copies) what hf_proof_verify and hf_signature_verify found. HF_ENOMEM. */
HF_API int hf_reorg_start(struct hf_reorg *reorg, const struct hf_proof_check *check, uint64_t old_length);
/* Goes on as far as the known nodes lead. old gives our nodes, roots included. HF_OK: finished, or something is wanted; the
 * reader's errors: repeat. */
HF_API int hf_reorg_step(struct hf_reorg *reorg, const struct hf_tree_reader *old);
/* The request for one of the wanted blocks. */
HF_API void hf_reorg_request(const struct hf_reorg *reorg, uint64_t block, struct hf_proof_request *out);
/* The answer: a hash part of the new fork that leads up to the wanted node. HF_EBADSIG: it does not; HF_ENOMEM. */
HF_API int hf_reorg_feed(struct hf_reorg *reorg, const struct hf_proof *proof);
HF_API void hf_reorg_free(struct hf_reorg *reorg);

#endif
