/* What becomes of answers: proofs are stored, windows adapt, refusals lead elsewhere, and who proves falsely is found out. (spec 5.7) */
#include "peer/replicator_private.h"

#define COMMIT_BYTES (1u << 20) /* staged: a commit is started within an iteration */

/* More in flight as long as that brings more per second; less when it brings less. */
static void adapt_window(struct hf_core_peer *peer, uint64_t block_bytes)
{
	uint64_t now_ms = peer->shared->replicator->now_ms, bytes_max;

	peer->block_bytes_average = (peer->block_bytes_average * 15 + block_bytes + 15) / 16;
	if (++peer->window_answered < peer->window || now_ms == peer->window_started_ms)
		return;
	double rate = (double)peer->window_answered / (double)(now_ms - peer->window_started_ms);

	if (rate > peer->window_rate * 0.95)
		peer->window += peer->window / 2;
	else if (rate < peer->window_rate * 0.7)
		peer->window -= peer->window / 4;
	peer->window_rate = rate;
	peer->window_answered = 0;
	peer->window_started_ms = now_ms;
	bytes_max = HF_REPLICATOR_WINDOW_BYTES_MAX / (peer->block_bytes_average + 1);
	if (peer->window > HF_REPLICATOR_WINDOW_MAX)
		peer->window = HF_REPLICATOR_WINDOW_MAX;
	if (peer->window > bytes_max)
		peer->window = (uint32_t)bytes_max;
	if (peer->window < HF_REPLICATOR_WINDOW_MIN)
		peer->window = HF_REPLICATOR_WINDOW_MIN;
}

static bool has_parts(const struct hf_proof *proof)
{
	return proof->has_block || proof->has_hash || proof->has_seek || proof->has_upgrade;
}

/* Of the block, hash, byte, length and fork that were asked for. A manifest may come alone, by who is on another fork. Who may push goes on
 * from what it thinks that we have by now: the packages begin at 0 there. */
static bool is_what_was_asked(const struct hf_peer_request *slot, const struct hf_proof *proof, bool may_push)
{
	const struct hf_proof_request *asked = &slot->proof;

	if (has_parts(proof) && proof->fork != slot->fork)
		return false;
	if (proof->has_block && (!asked->has_block || asked->block.index != proof->block.index))
		return false;
	if (proof->has_hash && (!asked->has_hash || asked->hash.index != proof->hash.index))
		return false;
	if (proof->has_seek && (!asked->has_seek || asked->seek.bytes != proof->seek.bytes))
		return false;
	return !proof->has_upgrade || (asked->has_upgrade && (may_push || asked->upgrade.start == proof->upgrade.start));
}

/* A seek may be left out: the packages do that where its place does not follow from the hash. */
static bool lacks_what_was_asked(const struct hf_proof_request *asked, const struct hf_proof *proof)
{
	if (!asked->has_block && !asked->has_hash && !asked->has_upgrade)
		return asked->wants_manifest && !proof->has_manifest;
	return (asked->has_block && !proof->has_block) || (asked->has_hash && !proof->has_hash) || (asked->has_upgrade && !proof->has_upgrade);
}

/* It may have fewer nodes than it said, or other ones by now: asked elsewhere, and no more here if it happens often. */
static int note_refusal(struct hf_core_peer *peer, struct hf_peer_request *slot, uint64_t reason)
{
	struct hf_shared_core *shared = peer->shared;
	uint32_t *count = reason == HF_REPLICATION_INVALID_REQUEST ? &peer->invalid_count : &peer->unavailable_count;

	HF_SHARED_CORE_COUNT(shared, refused_received, 1);
	/* What was asked of a fork that the peer has left says nothing of the one that it is on. */
	bool is_stale = slot->fork != peer->remote_fork, is_reorg = slot->is_reorg;
	int status = HF_OK;

	if (slot->proof.has_block)
		hf_u64_map_remove(&peer->pushed_early, slot->proof.block.index);
	if (slot->proof.has_block && !is_stale)
		status = hf_core_peer_note_dropped(peer, slot->proof.block.index, slot->proof.block.index + 1);
	/* The block alone may be what it does not have. */
	if (slot->proof.has_upgrade && !slot->proof.has_block && !is_stale)
		peer->length_acked = UINT64_MAX; /* until its next sync */
	hf_core_peer_finish(peer, slot, false);
	if (is_reorg && !is_stale)
		hf_core_peer_leave_fork(peer);
	if (!is_stale && ++*count >= HF_REPLICATOR_REFUSALS_MAX / 2)
		peer->is_paused = true;
	hf_core_peer_note_late(peer);
	return status;
}

void hf_core_peer_took(struct hf_core_peer *peer, const struct hf_proof *proof, bool was_held)
{
	struct hf_shared_core *shared = peer->shared;

	shared->needs_commit = hf_core_staged_bytes(shared->core) <= COMMIT_BYTES;
	if (!shared->needs_commit)
		hf_core_commit(shared->core, HF_DURABLE_OS, NULL, NULL);
	if (proof->has_block && !was_held) {
		HF_SHARED_CORE_COUNT(shared, blocks_received, 1);
		HF_SHARED_CORE_COUNT(shared, bytes_received, proof->block.value.length);
	}
	hf_shared_core_schedule(shared);
}

/* A proof that does not hold: either the peer lies, or the writer has signed two histories. The latter it can prove. */
static int on_false_proof(struct hf_core_peer *peer, const struct hf_failure *failure)
{
	struct hf_shared_core *shared = peer->shared;

	HF_SHARED_CORE_COUNT(shared, proofs_false, 1);
	if (peer->remote_length > 0 && hf_core_length(shared->core) > 0) {
		/* Of another history all is false that was in flight; it is the answer to this that counts. */
		if (!peer->conflict_asked)
			hf_core_peer_ask_conflict(peer);
		return HF_OK;
	}
	return hf_core_peer_fail(peer, HF_EBADSIG, failure->text[0] != '\0' ? failure->text : "it sent a proof that does not hold");
}

/* A proof that was not stored, and why. */
static int not_taken(struct hf_core_peer *peer, int status, const struct hf_failure *failure)
{
	switch (status) {
	case HF_EWAIT:
		/* Asked for again once what it must be compared with has been read. */
		hf_shared_core_need_thaw(peer->shared);
		return HF_OK;
	case HF_EBADSIG:
	case HF_EMALFORMED:
	case HF_ETOOBIG:
	case HF_EVERSION:
		return on_false_proof(peer, failure);
	case HF_ENOTFOUND:
	case HF_EBUSY:
	case HF_EDENIED:
		return HF_OK;
	default: return status;
	}
}

/* What another peer was asked for meanwhile. Were it not taken, what needs longer than we are patient would never come. */
static int take_late(struct hf_core_peer *peer, const struct hf_peer_request *asked, const struct hf_proof *proof)
{
	struct hf_shared_core *shared = peer->shared;
	struct hf_failure failure = {.code = HF_OK};
	struct hf_core_peer *owner;
	struct hf_peer_request *slot;
	bool grew;
	int status;

	if (proof->has_upgrade || proof->fork != hf_core_fork(shared->core) || !is_what_was_asked(asked, proof, false) ||
		lacks_what_was_asked(&asked->proof, proof) || (proof->has_block && hf_bitfield_get(hf_core_blocks(shared->core), proof->block.index)))
		return HF_OK;
	status = hf_core_put_proof(shared->core, proof, &grew, &failure);
	if (status != HF_OK)
		return not_taken(peer, status, &failure);
	peer->answered_ms = shared->replicator->now_ms;
	hf_core_peer_took(peer, proof, false);
	if (asked->proof.has_seek) {
		hf_shared_core_unask_seeks(shared, asked->proof.seek.bytes);
		return HF_OK;
	}
	slot = hf_shared_core_find_request(shared, proof->block.index, &owner);
	if (slot == NULL)
		return HF_OK;
	slot->is_wanted = false;
	hf_core_peer_cancel_request(owner, slot);
	return HF_OK;
}

/* We are further than when it was asked. */
static bool are_further(const struct hf_core_peer *peer, const struct hf_peer_request *slot)
{
	const struct hf_core *core = peer->shared->core;

	return slot->fork != hf_core_fork(core) || (slot->proof.has_upgrade && slot->proof.upgrade.start != hf_core_length(core));
}

/* The tree beyond what it had given us until now is given anew by who may push, from wherever it thinks best. */
static bool may_begin_elsewhere(const struct hf_core_peer *peer, const struct hf_peer_request *slot, uint64_t got_length)
{
	return peer->told_push && slot->proof.upgrade.start + slot->proof.upgrade.length > got_length;
}

/* Of the tree that the proof, or what was asked for, leads to: the least that it does. */
static void note_got(struct hf_core_peer *peer, bool has_upgrade, uint64_t start, uint64_t length)
{
	if (has_upgrade && start + length > peer->got_length)
		peer->got_length = start + length;
}

static int ask_from_here(struct hf_core_peer *peer, struct hf_peer_request *slot, uint64_t got_length)
{
	/* Now it has given that much, whatever it says: the same cannot be said for ever. */
	note_got(peer, slot->proof.has_upgrade, slot->proof.upgrade.start, slot->proof.upgrade.length);
	if (!are_further(peer, slot) && !may_begin_elsewhere(peer, slot, got_length) &&
		++peer->unavailable_count >= HF_REPLICATOR_REFUSALS_MAX / 2)
		peer->is_paused = true;
	hf_core_peer_finish(peer, slot, false);
	hf_shared_core_schedule(peer->shared);
	return HF_OK;
}

int hf_core_peer_on_data(struct hf_core_peer *peer, int read_status, const struct hf_replication_data *message)
{
	struct hf_shared_core *shared = peer->shared;
	struct hf_failure failure = {.code = HF_OK};
	struct hf_peer_request *slot;
	uint64_t got_length = peer->got_length;
	bool grew, was_held;
	int status;

	if (read_status != HF_OK)
		return hf_core_peer_fail(peer, read_status, "its data message is malformed");
	note_got(peer, message->proof.has_upgrade, message->proof.upgrade.start, message->proof.upgrade.length);
	if (message->request == 0 && message->proof.has_upgrade && message->proof.upgrade.start == 0 && !message->proof.has_block &&
		hf_core_length(shared->core) > 0)
		return hf_core_peer_on_conflict_data(peer, &message->proof);
	if (message->request == 0)
		return hf_core_peer_on_pushed_data(peer, &message->proof);
	const struct hf_peer_request *taken = hf_core_peer_taken(peer, message->request);
	struct hf_peer_request late = taken != NULL ? *taken : (struct hf_peer_request){0};

	slot = hf_core_peer_answered(peer, message->request);
	if (slot == NULL)
		return late.is_taken ? take_late(peer, &late, &message->proof) : HF_OK;
	if (slot->is_reorg) {
		struct hf_peer_request asked = *slot;

		hf_core_peer_finish(peer, slot, true);
		return hf_core_peer_on_fork_data(peer, &asked, &message->proof);
	}
	if (!is_what_was_asked(slot, &message->proof, peer->told_push)) {
		hf_core_peer_finish(peer, slot, false);
		return hf_core_peer_fail(peer, HF_EMALFORMED, "it answered with what was not asked for");
	}
	if (!has_parts(&message->proof) && message->proof.fork != hf_core_fork(shared->core))
		return note_refusal(peer, slot, HF_REPLICATION_NOT_AVAILABLE);
	if (message->proof.fork != hf_core_fork(shared->core) ||
		(message->proof.has_upgrade && message->proof.upgrade.start != hf_core_length(shared->core)))
		return ask_from_here(peer, slot, got_length);
	peer->answered_ms = shared->replicator->now_ms;
	was_held = message->proof.has_block && hf_bitfield_get(hf_core_blocks(shared->core), message->proof.block.index);
	status = hf_core_put_proof(shared->core, &message->proof, &grew, &failure);
	/* A block that was beyond the tree, and is within what was pushed meanwhile: it was not asked for with what it needs there. */
	if (status == HF_ENOTFOUND && are_further(peer, slot))
		return ask_from_here(peer, slot, got_length);
	if (status == HF_ENOTFOUND)
		return note_refusal(peer, slot, HF_REPLICATION_INVALID_REQUEST);
	if (status != HF_OK) {
		hf_core_peer_finish(peer, slot, false);
		return not_taken(peer, status, &failure);
	}
	hf_core_peer_took(peer, &message->proof, was_held);
	/* An answer without what was asked for is no answer; nor is a tree that is no longer than ours. */
	if (lacks_what_was_asked(&slot->proof, &message->proof) || (slot->proof.has_upgrade && !grew))
		return note_refusal(peer, slot, HF_REPLICATION_NOT_AVAILABLE);
	hf_core_peer_finish(peer, slot, true);
	peer->unavailable_count = peer->invalid_count = 0;
	adapt_window(peer, message->proof.block.value.length);
	return HF_OK;
}

int hf_core_peer_on_no_data(struct hf_core_peer *peer, struct hf_slice body)
{
	struct hf_replication_no_data message;
	struct hf_peer_request *slot;
	int status = hf_replication_read_no_data(body, &message);

	if (status != HF_OK)
		return hf_core_peer_fail(peer, status, "its noData message is malformed");
	slot = hf_core_peer_answered(peer, message.request);
	return slot != NULL ? note_refusal(peer, slot, message.reason) : HF_OK;
}
