/* Blocks that were not asked for, where both sides agree. (spec 5.9) */
#include "peer/replicator_private.h"

#define PUSHED_EARLY_MAX 64 /* of one peer; more of them are not asked for */

void hf_replication_allow_push(struct hf_replication *replication, bool allowed)
{
	struct hf_shared_core *shared = replication->shared;

	if (shared->allows_push == allowed)
		return;
	shared->allows_push = allowed;
	for (struct hf_core_peer *peer = shared->peers; peer != NULL; peer = peer->next)
		if (peer->is_open)
			hf_core_peer_signal(peer);
}

uint64_t hf_core_peer_given_length(const struct hf_core_peer *peer)
{
	return peer->given_fork == hf_core_committed_tree(peer->shared->core)->fork ? peer->given_length : 0;
}

uint64_t hf_path_length(uint64_t block, uint64_t length)
{
	uint64_t node = 2 * block, count = 0;

	while (!hf_flat_contains(node, 2 * length)) {
		node = hf_flat_parent(node);
		count++;
	}
	return count > 0 ? count - 1 : 0;
}

static void push_to(struct hf_core_peer *peer, uint64_t block)
{
	struct hf_shared_core *shared = peer->shared;
	const struct hf_tree *tree = hf_core_committed_tree(shared->core);
	uint64_t given = hf_core_peer_given_length(peer), known = peer->remote_length > given ? peer->remote_length : given;
	struct hf_proof_request request = {.has_block = true, .block.index = block, .wants_manifest = peer->remote_length == 0};
	struct hf_buffer *nodes = &shared->replicator->node_scratch;
	struct hf_proof proof;

	if (!peer->remote_allows_push || !peer->remote_downloading || tree->fork != peer->remote_fork ||
		hf_bitfield_get(&peer->remote_blocks, block))
		return;
	if (block < known) {
		request.block.nodes = hf_path_length(block, known);
	} else {
		request.has_upgrade = true;
		request.upgrade.start = known;
		request.upgrade.length = tree->length - known;
	}
	hf_buffer_clear(nodes);
	if (hf_core_prove(shared->core, tree->fork, &request, nodes, &proof) == HF_OK)
		hf_core_peer_send_data(peer, 0, &proof);
}

void hf_replication_push(struct hf_replication *replication, uint64_t block)
{
	struct hf_shared_core *shared = replication->shared;

	if (block >= hf_core_committed_tree(shared->core)->length)
		return;
	for (struct hf_core_peer *peer = shared->peers; peer != NULL; peer = peer->next)
		if (peer->is_open)
			push_to(peer, block);
}

/* What the block would be tied to is not here: the tree that it is of is still to come, or was in an answer that was of no use any more, or
 * is being read. Then it is asked for, as the peer does not send it again; of that peer alone, so that who pushes what is not there is no
 * burden to others. */
static void note_pushed_early(struct hf_core_peer *peer, uint64_t block)
{
	uint64_t fork = hf_core_fork(peer->shared->core);

	if (peer->pushed_early_fork != fork)
		hf_u64_map_clear(&peer->pushed_early);
	peer->pushed_early_fork = fork;
	if (peer->pushed_early.count >= PUSHED_EARLY_MAX || block >= HF_TREE_LENGTH_MAX)
		return;
	hf_u64_map_put(&peer->pushed_early, block);
	hf_shared_core_schedule(peer->shared);
}

/* It may have been overtaken by what was asked for: the block is taken all the same where it ties to the tree that we have by now. What
 * is false is dropped, as it may be a matter of time, too. */
int hf_core_peer_on_pushed_data(struct hf_core_peer *peer, const struct hf_proof *pushed)
{
	struct hf_shared_core *shared = peer->shared;
	struct hf_core *core = shared->core;
	struct hf_proof proof = *pushed;
	bool was_held, grew;
	int status;

	if (!shared->allows_push || proof.fork != hf_core_fork(core))
		return HF_OK;
	proof.has_upgrade = proof.has_upgrade && proof.upgrade.start == hf_core_length(core);
	was_held = proof.has_block && hf_bitfield_get(hf_core_blocks(core), proof.block.index);
	status = hf_core_put_proof(core, &proof, &grew, NULL);
	if (status == HF_OK)
		hf_core_peer_took(peer, &proof, was_held);
	else if (proof.has_block && !was_held && (status == HF_ENOTFOUND || status == HF_EWAIT))
		note_pushed_early(peer, proof.block.index);
	return HF_OK;
}
