/* Going over to a higher fork, and finding that a writer has signed two histories. (spec 5.8, 5.9)
 *
 * One search at a time for a core: the first peer that tells of a higher fork is asked for its whole tree; then for the hashes by which
 * the common ancestor is found, all of the same peer. When it goes, or tells of another fork, the search begins anew. */
#include "peer/replicator_private.h"

#include <stdlib.h>

#define CONFLICT_WAIT_MS 5000
#define SEARCH_WAIT_MS 10000

struct hf_fork_search {
	struct hf_core_peer *peer;
	uint64_t fork;
	bool has_tree, is_asked;
	uint64_t asked_ms;    /* or since when it is to be asked */
	uint64_t asked_order; /* of the request whose answer is waited for */
	struct hf_reorg reorg;
	struct hf_buffer signature;
};

void hf_shared_core_drop_search(struct hf_shared_core *shared)
{
	struct hf_fork_search *search = shared->search;

	shared->search = NULL;
	if (search == NULL)
		return;
	hf_reorg_free(&search->reorg);
	hf_buffer_free(&search->signature);
	free(search);
}

static void find_among(struct hf_shared_core *shared, bool is_late)
{
	for (struct hf_core_peer *peer = shared->peers; peer != NULL && shared->search == NULL; peer = peer->next)
		if (peer->is_late == is_late && peer->is_open && peer->remote_synced && peer->remote_fork > hf_core_fork(shared->core))
			hf_core_peer_on_fork(peer);
}

/* A peer that is on a higher fork, for when the one that was asked is gone, or silent: then that one, should there be no other. */
static void find_another(struct hf_shared_core *shared)
{
	find_among(shared, false);
	find_among(shared, true);
}

void hf_core_peer_leave_fork(struct hf_core_peer *peer)
{
	struct hf_shared_core *shared = peer->shared;

	if (shared->search == NULL || shared->search->peer != peer)
		return;
	hf_shared_core_drop_search(shared);
	hf_core_peer_note_late(peer);
	peer->remote_synced = false; /* so that it is not chosen again before it has told anew */
	find_another(shared);
}

void hf_core_peer_on_fork(struct hf_core_peer *peer)
{
	struct hf_shared_core *shared = peer->shared;

	if (!hf_shared_core_is_active(shared) || peer->is_paused || !peer->remote_uploading || peer->remote_length == 0)
		return;
	/* A search that runs is finished first: who tells of ever higher forks must not keep us from the true one. */
	if (shared->search != NULL && (shared->search->peer != peer || shared->search->fork == peer->remote_fork))
		return;
	hf_shared_core_drop_search(shared);
	shared->search = calloc(1, sizeof *shared->search);
	if (shared->search == NULL)
		return;
	shared->search->peer = peer;
	shared->search->fork = peer->remote_fork;
	shared->search->asked_ms = shared->replicator->now_ms;
	hf_shared_core_schedule(shared);
}

/* Ours has become common up to the ancestors; the rest follows as in any core. */
static void adopt(struct hf_shared_core *shared)
{
	struct hf_fork_search *search = shared->search;
	int status = hf_core_adopt(shared->core, &search->reorg, hf_buffer_slice(&search->signature));

	if (status == HF_EWAIT) {
		hf_shared_core_need_thaw(shared);
		return;
	}
	hf_shared_core_drop_search(shared);
	if (status != HF_OK)
		return;
	shared->needs_commit = true;
	find_another(shared);
	hf_shared_core_schedule(shared);
}

void hf_shared_core_check_search(struct hf_shared_core *shared)
{
	struct hf_fork_search *search = shared->search;

	if (search == NULL || search->asked_ms + SEARCH_WAIT_MS > shared->replicator->now_ms)
		return;
	hf_core_peer_note_late(search->peer);
	hf_shared_core_drop_search(shared);
	find_another(shared);
}

void hf_core_peer_ask_fork(struct hf_core_peer *peer)
{
	struct hf_shared_core *shared = peer->shared;
	struct hf_fork_search *search = shared->search;
	struct hf_proof_request request = {.has_upgrade = true, .upgrade = {0, hf_core_peer_askable_length(peer, 0)},
		.wants_manifest = peer->remote_has_manifest && hf_core_manifest(shared->core) == NULL};
	struct hf_tree_reader old = hf_core_nodes(shared->core);
	struct hf_peer_request *slot;

	if (search == NULL || search->peer != peer || search->is_asked)
		return;
	if (search->has_tree) {
		int status = hf_reorg_step(&search->reorg, &old);

		if (status == HF_EWAIT)
			hf_shared_core_need_thaw(shared);
		if (status != HF_OK)
			return;
		if (search->reorg.finished) {
			adopt(shared);
			return;
		}
		hf_reorg_request(&search->reorg, search->reorg.want_start, &request);
	}
	search->is_asked = true;
	search->asked_ms = shared->replicator->now_ms;
	slot = hf_core_peer_ask(peer, search->fork, &request, true);
	if (slot != NULL) {
		slot->is_reorg = true;
		search->asked_order = slot->order;
	} else if (shared->search == search) {
		search->is_asked = false;
	}
}

static int start_search(struct hf_core_peer *peer, const struct hf_proof *proof, struct hf_failure *failure)
{
	struct hf_shared_core *shared = peer->shared;
	struct hf_fork_search *search = shared->search;
	struct hf_proof_check check = {.node_count = 0};
	int status = hf_core_check_fork(shared->core, proof, &check, failure);

	if (status == HF_OK && proof->has_manifest)
		status = hf_core_put_manifest(shared->core, proof->manifest);
	if (status == HF_OK)
		status = hf_reorg_start(&search->reorg, &check, hf_core_length(shared->core));
	if (status == HF_OK)
		status = hf_buffer_append(&search->signature, proof->upgrade.signature.data, proof->upgrade.signature.length);
	if (status == HF_OK)
		search->has_tree = true;
	hf_proof_check_free(&check);
	return status;
}

int hf_core_peer_on_fork_data(struct hf_core_peer *peer, const struct hf_peer_request *request, const struct hf_proof *proof)
{
	struct hf_shared_core *shared = peer->shared;
	struct hf_fork_search *search = shared->search;
	struct hf_failure failure = {.code = HF_OK};
	int status;

	/* An answer to a search that was given up. */
	if (search == NULL || search->peer != peer || search->fork != request->fork || !search->is_asked ||
		search->asked_order != request->order)
		return HF_OK;
	search->is_asked = false;
	if (proof->fork != search->fork) {
		hf_core_peer_leave_fork(peer);
		return HF_OK;
	}
	status = search->has_tree ? hf_reorg_feed(&search->reorg, proof) : start_search(peer, proof, &failure);
	if (status == HF_ENOMEM)
		return status;
	if (status == HF_OK || status == HF_EBUSY || status == HF_EDENIED) {
		hf_shared_core_schedule(shared);
		return HF_OK;
	}
	HF_SHARED_CORE_COUNT(shared, proofs_false, 1);
	return hf_core_peer_fail(peer, status, failure.text[0] != '\0' ? failure.text : "its proof of another fork does not hold");
}

/* ---- Two histories ---- */

void hf_core_peer_ask_conflict(struct hf_core_peer *peer)
{
	uint64_t ours = hf_core_committed_tree(peer->shared->core)->length;
	struct hf_replication_request message = {.fork = peer->remote_fork,
		.proof = {.has_upgrade = true, .upgrade = {0, ours < peer->remote_length ? ours : peer->remote_length}}};

	peer->is_paused = true;
	peer->conflict_asked = true;
	peer->conflict_deadline_ms = peer->shared->replicator->now_ms + CONFLICT_WAIT_MS;
	hf_shared_core_schedule(peer->shared); /* others are asked meanwhile */
	hf_replication_write_request(hf_core_peer_begin(peer, HF_REPLICATION_REQUEST), &message);
	hf_core_peer_end(peer);
}

void hf_core_peer_check_conflict(struct hf_core_peer *peer)
{
	if (peer->is_open && peer->conflict_asked && peer->conflict_deadline_ms <= peer->shared->replicator->now_ms)
		hf_core_peer_fail(peer, HF_EBADSIG, "it sent a proof that does not hold");
}

/* Our own tree, for all others to see. */
static void tell_conflict(struct hf_shared_core *shared)
{
	struct hf_proof_request whole = {.has_upgrade = true, .wants_manifest = true};
	struct hf_buffer *nodes = &shared->replicator->node_scratch;
	const struct hf_tree *tree = hf_core_committed_tree(shared->core);
	struct hf_proof proof;

	whole.upgrade.length = tree->length;
	hf_buffer_clear(nodes);
	if (hf_core_prove(shared->core, tree->fork, &whole, nodes, &proof) != HF_OK)
		return;
	for (struct hf_core_peer *peer = shared->peers; peer != NULL; peer = peer->next)
		if (peer->is_open)
			hf_core_peer_send_data(peer, 0, &proof);
}

/* A node that a proof gave or led to. */
static int checked_node(void *context, uint64_t index, struct hf_tree_node *node)
{
	const struct hf_proof_check *check = context;

	for (size_t i = check->node_count; i-- > 0;) {
		if (check->nodes[i].index != index)
			continue;
		*node = check->nodes[i];
		return HF_OK;
	}
	return HF_ENOTFOUND;
}

/* Whether their signed tree and ours differ in their first `length` blocks. */
static bool differs(struct hf_core *core, struct hf_proof_check *check, uint64_t length)
{
	struct hf_tree_reader reader = {.context = check, .node = checked_node};
	uint8_t our_hash[HF_TREE_HASH_BYTES], their_hash[HF_TREE_HASH_BYTES];
	struct hf_tree ours, theirs;

	if (length > hf_core_length(core) || hf_core_tree_at(core, length, &ours) != HF_OK || hf_tree_at(&check->tree, &reader, length,
		&theirs) != HF_OK)
		return false;
	hf_tree_hash(&ours, our_hash);
	hf_tree_hash(&theirs, their_hash);
	return memcmp(our_hash, their_hash, sizeof our_hash) != 0;
}

int hf_core_peer_on_conflict_data(struct hf_core_peer *peer, const struct hf_proof *proof)
{
	struct hf_shared_core *shared = peer->shared;
	struct hf_proof_check check = {.node_count = 0};
	bool is_proved;

	if (!proof->has_upgrade || proof->upgrade.start != 0 || proof->fork != hf_core_fork(shared->core))
		return HF_OK;
	/* An answer may be cut to the prologue, which is the same in both; what it goes on to is all of their tree. */
	is_proved = hf_core_check_fork(shared->core, proof, &check, NULL) == HF_OK && (differs(shared->core, &check, proof->upgrade.length) ||
		differs(shared->core, &check, check.tree.length));
	hf_proof_check_free(&check);
	if (is_proved) {
		tell_conflict(shared);
		hf_core_freeze(shared->core);
		return HF_OK;
	}
	return peer->conflict_asked ? hf_core_peer_fail(peer, HF_EBADSIG, "it sent a proof that does not hold") : HF_OK;
}
