/* Asking: which request goes to which peer, and what becomes of the answer. (spec 5.5, 5.7) */
#include "peer/replicator_private.h"

#include <stdlib.h>

#define SLOTS_MAX (4 * HF_REPLICATOR_WINDOW_MAX)
#define UNCOMMITTED_BYTES_MAX (4u << 20)  /* more is not asked for while so much waits for the disk */
#define COMMIT_BYTES (1u << 20)           /* staged: a commit is started within an iteration */
#define UNITS_ASKED_AHEAD 8

/* ---- Slots ---- */

static struct hf_peer_request *take_slot(struct hf_core_peer *peer)
{
	struct hf_peer_request *slot;

	if (peer->first_free == HF_PEER_NO_SLOT) {
		uint32_t count = peer->slot_count == 0 ? HF_REPLICATOR_WINDOW_MIN : peer->slot_count * 2;
		struct hf_peer_request *larger = count > SLOTS_MAX ? NULL : realloc(peer->slots, count * sizeof *larger);

		if (larger == NULL)
			return NULL;
		for (uint32_t i = count; i-- > peer->slot_count;) {
			larger[i] = (struct hf_peer_request){.next_free = peer->first_free};
			peer->first_free = i;
		}
		peer->slots = larger;
		peer->slot_count = count;
	}
	slot = &peer->slots[peer->first_free];
	peer->first_free = slot->next_free;
	*slot = (struct hf_peer_request){.is_used = true};
	return slot;
}

static void free_slot(struct hf_core_peer *peer, struct hf_peer_request *slot)
{
	slot->is_used = slot->is_cancelled = false;
	slot->next_free = peer->first_free;
	peer->first_free = (uint32_t)(slot - peer->slots);
}

/* Nothing sent before an answered request can be answered any more. */
static void free_cancelled(struct hf_core_peer *peer, uint64_t order)
{
	if (peer->cancelled_count == 0)
		return;
	for (uint32_t i = 0; i < peer->slot_count; i++) {
		struct hf_peer_request *slot = &peer->slots[i];

		if (!slot->is_cancelled || slot->order > order)
			continue;
		peer->cancelled_count--;
		free_slot(peer, slot);
	}
}

struct hf_peer_request *hf_core_peer_ask(struct hf_core_peer *peer, uint64_t fork, const struct hf_proof_request *proof, bool is_urgent)
{
	struct hf_peer_request *slot = take_slot(peer);
	struct hf_replication_request message = {.fork = fork, .priority = is_urgent, .proof = *proof};

	if (slot == NULL)
		return NULL;
	slot->order = peer->next_order++;
	slot->sent_ms = peer->shared->replicator->now_ms;
	slot->fork = fork;
	slot->proof = *proof;
	message.id = (uint64_t)(slot - peer->slots) + 1;
	peer->used_count++;
	peer->shared->replicator->stats.requests_sent++;
	peer->shared->stats.requests_sent++;
	hf_replication_write_request(hf_core_peer_begin(peer, HF_REPLICATION_REQUEST), &message);
	hf_core_peer_end(peer);
	return peer->is_open ? slot : NULL; /* closed: its requests have been given back */
}

/* What the request stood for may be asked of others again. */
static void give_back(struct hf_core_peer *peer, struct hf_peer_request *slot, bool is_done)
{
	struct hf_shared_core *shared = peer->shared;

	peer->used_count--;
	if (slot->proof.has_upgrade && shared->upgrade_peer == peer && !slot->is_reorg)
		shared->upgrade_peer = NULL;
	if (slot->proof.has_block) {
		hf_u64_map_remove(&shared->in_flight, slot->proof.block.index);
		if (slot->is_wanted && !is_done)
			hf_u64_map_put(&shared->wanted, slot->proof.block.index);
	}
	/* Those that done starts are not asked yet, so that they are passed over. */
	for (struct hf_seek_wait *wait = shared->seeks, *next; wait != NULL && slot->proof.has_seek; wait = next) {
		next = wait->next;
		if (!wait->is_asked || wait->bytes != slot->proof.seek.bytes)
			continue;
		wait->is_asked = false;
		if (!is_done)
			continue;
		hf_seek_wait_cancel(wait);
		wait->done(wait);
		next = shared->seeks;
	}
}

static void finish(struct hf_core_peer *peer, struct hf_peer_request *slot, bool is_done)
{
	struct hf_peer_request copy = *slot;

	free_slot(peer, slot);
	give_back(peer, &copy, is_done);
}

static void cancel(struct hf_core_peer *peer, struct hf_peer_request *slot)
{
	struct hf_replication_cancel message = {.request = (uint64_t)(slot - peer->slots) + 1};

	slot->is_used = false;
	slot->is_cancelled = true;
	peer->cancelled_count++;
	give_back(peer, slot, false);
	hf_replication_write_cancel(hf_core_peer_begin(peer, HF_REPLICATION_CANCEL), &message);
	hf_core_peer_end(peer);
}

void hf_core_peer_drop_requests(struct hf_core_peer *peer)
{
	if (peer->shared->upgrade_peer == peer)
		peer->shared->upgrade_peer = NULL;
	for (uint32_t i = 0; i < peer->slot_count; i++)
		if (peer->slots[i].is_used)
			finish(peer, &peer->slots[i], false);
}

/* The request for a block that is in flight, and whose it is. */
static struct hf_peer_request *find_request(struct hf_shared_core *shared, uint64_t block, struct hf_core_peer **owner)
{
	uint64_t *place = hf_u64_map_get(&shared->in_flight, block);
	struct hf_core_peer *peer = place == NULL ? NULL : (struct hf_core_peer *)(uintptr_t)*place;

	for (uint32_t i = 0; peer != NULL && i < peer->slot_count; i++) {
		struct hf_peer_request *slot = &peer->slots[i];

		if (slot->is_used && slot->proof.has_block && slot->proof.block.index == block) {
			*owner = peer;
			return slot;
		}
	}
	return NULL;
}

void hf_shared_core_cancel_block(struct hf_shared_core *shared, uint64_t block)
{
	struct hf_core_peer *peer;
	struct hf_peer_request *slot = find_request(shared, block, &peer);

	if (slot == NULL || !slot->is_wanted)
		return;
	slot->is_wanted = false;
	cancel(peer, slot);
}

/* ---- What to ask ---- */

static bool same_fork(const struct hf_core_peer *peer)
{
	return peer->remote_fork == hf_core_fork(peer->shared->core);
}

/* One is asked at a time; another when that one owes the answer for long. */
static bool may_ask_for_upgrade(const struct hf_core_peer *peer)
{
	const struct hf_shared_core *shared = peer->shared;

	return shared->upgrade_peer == NULL ||
		(shared->upgrade_peer != peer && shared->upgrade_asked_ms + HF_PEER_PATIENCE_MS <= shared->replicator->now_ms);
}

static bool should_upgrade(const struct hf_core_peer *peer)
{
	uint64_t length = hf_core_length(peer->shared->core);

	return may_ask_for_upgrade(peer) && peer->remote_can_upgrade && same_fork(peer) && peer->remote_length > length &&
		peer->length_acked == length && hf_shared_core_is_active(peer->shared);
}

static void add_manifest(const struct hf_core_peer *peer, struct hf_proof_request *request)
{
	request->wants_manifest = peer->remote_has_manifest && hf_core_manifest(peer->shared->core) == NULL;
}

static void add_upgrade(struct hf_core_peer *peer, struct hf_proof_request *request)
{
	uint64_t length = hf_core_length(peer->shared->core);

	request->has_upgrade = true;
	request->upgrade.start = length;
	request->upgrade.length = peer->remote_length - length;
}

static bool may_ask(const struct hf_core_peer *peer)
{
	return peer->is_open && peer->remote_synced && peer->remote_uploading && !peer->is_paused && peer->used_count < peer->window &&
		hf_core_uncommitted_bytes(peer->shared->core) < UNCOMMITTED_BYTES_MAX;
}

/* Whether the peer's tree and ours are such that a proof of the block ties to what we hold. */
static bool can_tie(const struct hf_core_peer *peer, uint64_t block)
{
	uint64_t length = hf_core_length(peer->shared->core);

	if (!same_fork(peer) || block >= peer->remote_length)
		return false;
	if (block >= length)
		return should_upgrade(peer);
	return peer->remote_length >= length || peer->can_upgrade || (block < peer->upgradable_length &&
		peer->upgradable_fork == peer->remote_fork);
}

static void note_upgrade(struct hf_core_peer *peer)
{
	peer->shared->upgrade_peer = peer;
	peer->shared->upgrade_asked_ms = peer->shared->replicator->now_ms;
}

static bool ask_block(struct hf_core_peer *peer, uint64_t block, bool is_wanted)
{
	struct hf_shared_core *shared = peer->shared;
	struct hf_proof_request request = {.has_block = true, .block.index = block};
	struct hf_peer_request *slot;
	uint64_t *place;

	if (!can_tie(peer, block))
		return false;
	if (block < hf_core_length(shared->core)) {
		int status = hf_core_missing_nodes(shared->core, block, &request.block.nodes);

		if (status == HF_EWAIT)
			hf_replicator_need_thaw(shared->replicator);
		if (status != HF_OK)
			return false;
	}
	if (should_upgrade(peer))
		add_upgrade(peer, &request);
	add_manifest(peer, &request);
	place = hf_u64_map_put(&shared->in_flight, block);
	if (place == NULL)
		return false;
	*place = (uintptr_t)peer;
	slot = hf_core_peer_ask(peer, peer->remote_fork, &request, is_wanted);
	if (slot == NULL) {
		hf_u64_map_remove(&shared->in_flight, block);
		return false;
	}
	slot->is_wanted = is_wanted;
	if (request.has_upgrade)
		note_upgrade(peer);
	return true;
}

static void ask_manifest(struct hf_core_peer *peer)
{
	struct hf_proof_request request = {.has_block = false};

	add_manifest(peer, &request);
	if (!request.wants_manifest || peer->remote_length > 0 || peer->used_count > 0)
		return;
	hf_core_peer_ask(peer, peer->remote_fork, &request, false);
}

static void ask_upgrade(struct hf_core_peer *peer)
{
	struct hf_proof_request request = {.has_block = false};

	if (!should_upgrade(peer))
		return;
	add_upgrade(peer, &request);
	add_manifest(peer, &request);
	if (hf_core_peer_ask(peer, peer->remote_fork, &request, false) != NULL)
		note_upgrade(peer);
}

/* The hash of a block in the span that a seek has come to, with what leads up to it; or the tree beyond ours. */
static void ask_seek(struct hf_core_peer *peer, struct hf_seek_wait *wait)
{
	struct hf_core *core = peer->shared->core;
	struct hf_proof_request request = {.has_seek = true, .seek = {wait->bytes, hf_core_padding(core)}};
	struct hf_core_place place;
	int status = hf_core_seek(core, wait->bytes, &place);

	if (status == HF_EWAIT && place.from == place.to) {
		hf_replicator_need_thaw(peer->shared->replicator);
		return;
	}
	if (status == HF_ENOTFOUND && should_upgrade(peer)) {
		add_upgrade(peer, &request);
		add_manifest(peer, &request);
	} else if (status == HF_EWAIT && same_fork(peer)) {
		uint64_t block = hf_bitfield_next_clear(hf_core_blocks(core), place.from, place.to);

		block = block < place.to ? block : place.from;
		request.has_hash = true;
		request.hash.index = 2 * block;
		request.hash.nodes = hf_flat_depth(place.from + place.to - 1);
		if (block >= peer->remote_length)
			return;
	} else {
		return;
	}
	if (hf_core_peer_ask(peer, peer->remote_fork, &request, true) == NULL)
		return;
	wait->is_asked = true;
	if (request.has_upgrade)
		note_upgrade(peer);
}

static void ask_wanted(struct hf_core_peer *peer)
{
	struct hf_shared_core *shared = peer->shared;
	struct hf_peer_request *asked;
	struct hf_core_peer *owner;
	struct hf_u64_slot *slot;
	size_t cursor = 0;

	while (may_ask(peer) && (slot = hf_u64_map_next(&shared->wanted, &cursor)) != NULL) {
		uint64_t block = slot->key;

		if (!hf_bitfield_get(&peer->remote_blocks, block)) {
			if (block < peer->remote_length)
				hf_core_peer_ask_about(peer, block);
			continue;
		}
		asked = find_request(shared, block, &owner);
		if (asked != NULL)
			asked->is_wanted = true; /* it was for a download so far */
		else if (!ask_block(peer, block, true))
			continue;
		/* The map has changed: begin again. */
		hf_u64_map_remove(&shared->wanted, block);
		cursor = 0;
	}
}

/* ---- Downloads ---- */

/* Where the peer's blocks are not known yet, it is asked about them; a little ahead. */
static void ask_about_range(struct hf_core_peer *peer, uint64_t from, uint64_t to)
{
	if (from < peer->remote_blocks.contiguous)
		from = peer->remote_blocks.contiguous;
	for (int i = 0; i < UNITS_ASKED_AHEAD && from < to; i++, from = (from / HF_PEER_WANT_BLOCKS + 1) * HF_PEER_WANT_BLOCKS)
		hf_core_peer_ask_about(peer, from);
}

/* Asks for what is missing in [from, to), in order, while there is room. */
static void ask_missing(struct hf_core_peer *peer, uint64_t from, uint64_t to)
{
	struct hf_shared_core *shared = peer->shared;

	while (may_ask(peer)) {
		uint64_t missing = hf_bitfield_next_clear(hf_core_blocks(shared->core), from, to);

		if (missing >= to)
			return;
		from = hf_bitfield_next_set(&peer->remote_blocks, missing, to);
		if (from >= to)
			return;
		if (from > missing)
			continue;
		if (hf_u64_map_get(&shared->in_flight, from) == NULL && !ask_block(peer, from, false))
			return;
		from++;
	}
}

static void ask_download(struct hf_core_peer *peer, struct hf_download *download)
{
	uint64_t end = download->to < peer->remote_length ? download->to : peer->remote_length, middle = download->from, random;

	if (download->from >= end)
		return;
	ask_about_range(peer, hf_bitfield_next_clear(hf_core_blocks(peer->shared->core), download->from, end), end);
	if (download->is_random) {
		peer->shared->replicator->options.env->random(peer->shared->replicator->options.env, &random, sizeof random);
		middle += random % (end - download->from);
	}
	ask_missing(peer, middle, end);
	if (middle > download->from)
		ask_missing(peer, download->from, middle);
}

/* Takes over blocks that another peer has owed for long, in which it has answered nothing, when there is nothing else to ask. */
static void steal(struct hf_core_peer *peer)
{
	uint64_t now_ms = peer->shared->replicator->now_ms;

	for (struct hf_core_peer *other = peer->shared->peers; other != NULL; other = other->next) {
		for (uint32_t i = 0; other != peer && i < other->slot_count && may_ask(peer); i++) {
			struct hf_peer_request *slot = &other->slots[i];
			bool is_wanted = slot->is_wanted;
			uint64_t block = slot->proof.block.index;

			if (!slot->is_used || slot->sent_ms + HF_PEER_PATIENCE_MS > now_ms || other->answered_ms + HF_PEER_PATIENCE_MS > now_ms)
				continue;
			if (slot->proof.has_seek) {
				cancel(other, slot); /* asked of another by the next schedule */
				hf_shared_core_schedule(peer->shared);
				continue;
			}
			if (!slot->proof.has_block || !hf_bitfield_get(&peer->remote_blocks, block) ||
				block >= hf_core_length(peer->shared->core) || !can_tie(peer, block))
				continue;
			slot->is_wanted = false;
			cancel(other, slot);
			if (!ask_block(peer, block, is_wanted) && is_wanted)
				hf_u64_map_put(&peer->shared->wanted, block);
		}
	}
}

void hf_core_peer_schedule(struct hf_core_peer *peer)
{
	struct hf_shared_core *shared = peer->shared;

	if (!may_ask(peer) || !hf_shared_core_is_active(shared))
		return;
	hf_protomux_cork(peer->stream->mux);
	ask_manifest(peer);
	for (struct hf_seek_wait *wait = shared->seeks; wait != NULL && may_ask(peer); wait = wait->next)
		if (!wait->is_asked)
			ask_seek(peer, wait);
	ask_wanted(peer);
	for (struct hf_download *download = shared->downloads; download != NULL && may_ask(peer); download = download->next)
		ask_download(peer, download);
	hf_core_peer_ask_fork(peer);
	if (may_ask(peer))
		ask_upgrade(peer);
	if (may_ask(peer) && peer->next != peer->previous)
		steal(peer);
	hf_protomux_uncork(peer->stream->mux);
}

/* ---- Answers ---- */

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

static bool is_what_was_asked(const struct hf_proof_request *asked, const struct hf_proof *proof)
{
	if (proof->has_block && (!asked->has_block || asked->block.index != proof->block.index))
		return false;
	if (proof->has_hash && (!asked->has_hash || asked->hash.index != proof->hash.index))
		return false;
	if (proof->has_seek && (!asked->has_seek || asked->seek.bytes != proof->seek.bytes))
		return false;
	return !proof->has_upgrade || asked->has_upgrade;
}

/* It may have fewer nodes than it said, or other ones by now: asked elsewhere, and no more here if it happens often. */
static int note_refusal(struct hf_core_peer *peer, struct hf_peer_request *slot, uint64_t reason)
{
	struct hf_shared_core *shared = peer->shared;
	uint32_t *count = reason == HF_REPLICATION_INVALID_REQUEST ? &peer->invalid_count : &peer->unavailable_count;

	shared->replicator->stats.refused_received++;
	shared->stats.refused_received++;
	/* What was asked of a fork that the peer has left says nothing of the one that it is on. */
	bool is_stale = slot->fork != peer->remote_fork, is_reorg = slot->is_reorg;

	if (slot->proof.has_block && !is_stale)
		hf_bitfield_clear(&peer->remote_blocks, slot->proof.block.index, slot->proof.block.index + 1);
	if (slot->proof.has_upgrade && !is_stale)
		peer->length_acked = UINT64_MAX; /* until its next sync */
	finish(peer, slot, false);
	if (is_reorg && !is_stale)
		hf_core_peer_leave_fork(peer);
	if (!is_stale && ++*count >= HF_REPLICATOR_REFUSALS_MAX / 2)
		peer->is_paused = true;
	hf_shared_core_schedule(shared);
	return HF_OK;
}

int hf_core_peer_took(struct hf_core_peer *peer, const struct hf_proof *proof, bool was_held)
{
	struct hf_shared_core *shared = peer->shared;

	if (proof->has_block && !was_held) {
		shared->replicator->stats.blocks_received++;
		shared->replicator->stats.bytes_received += proof->block.value.length;
		shared->stats.blocks_received++;
		shared->stats.bytes_received += proof->block.value.length;
	}
	shared->needs_commit = true;
	if (hf_core_uncommitted_bytes(shared->core) > COMMIT_BYTES && hf_core_staged_bytes(shared->core) > COMMIT_BYTES) {
		shared->needs_commit = false;
		hf_core_commit(shared->core, HF_DURABLE_OS, NULL, NULL);
	}
	hf_shared_core_schedule(shared);
	return HF_OK;
}

/* A proof that does not hold: either the peer lies, or the writer has signed two histories. The latter it can prove. */
static int on_false_proof(struct hf_core_peer *peer, struct hf_peer_request *slot, const struct hf_failure *failure)
{
	struct hf_shared_core *shared = peer->shared;

	shared->replicator->stats.proofs_false++;
	shared->stats.proofs_false++;
	finish(peer, slot, false);
	if (peer->remote_length > 0 && hf_core_length(shared->core) > 0 && !peer->conflict_asked) {
		hf_core_peer_ask_conflict(peer);
		return HF_OK;
	}
	return hf_core_peer_fail(peer, HF_EBADSIG, failure->text[0] != '\0' ? failure->text : "it sent a proof that does not hold");
}

int hf_core_peer_on_data(struct hf_core_peer *peer, struct hf_slice body)
{
	struct hf_shared_core *shared = peer->shared;
	struct hf_failure failure = {.code = HF_OK};
	struct hf_replication_data message;
	struct hf_peer_request *slot;
	bool grew, was_held;
	int status = hf_replication_read_data(body, &message);

	if (status != HF_OK)
		return hf_core_peer_fail(peer, status, "its data message is malformed");
	if (message.request == 0 && message.proof.has_upgrade && message.proof.upgrade.start == 0 && hf_core_length(shared->core) > 0)
		return hf_core_peer_on_conflict_data(peer, &message.proof);
	if (message.request == 0)
		return hf_core_peer_on_pushed_data(peer, &message.proof);
	if (message.request > peer->slot_count)
		return HF_OK;
	slot = &peer->slots[message.request - 1];
	if (slot->is_used || slot->is_cancelled)
		free_cancelled(peer, slot->is_cancelled ? slot->order : slot->order - 1);
	if (!slot->is_used)
		return HF_OK;
	if (slot->is_reorg) {
		struct hf_peer_request asked = *slot;

		finish(peer, slot, true);
		return hf_core_peer_on_fork_data(peer, &asked, &message.proof);
	}
	if (!is_what_was_asked(&slot->proof, &message.proof) || message.proof.fork != hf_core_fork(shared->core) ||
		(message.proof.has_upgrade && message.proof.upgrade.start != hf_core_length(shared->core))) {
		finish(peer, slot, false);
		hf_shared_core_schedule(shared);
		return HF_OK;
	}
	peer->answered_ms = shared->replicator->now_ms;
	was_held = message.proof.has_block && hf_bitfield_get(hf_core_blocks(shared->core), message.proof.block.index);
	status = hf_core_put_proof(shared->core, &message.proof, &grew, &failure);
	switch (status) {
	case HF_OK:
		shared->needs_commit = true;
		/* An answer without the block that was asked for is no answer. */
		if (slot->proof.has_block && !message.proof.has_block)
			return note_refusal(peer, slot, HF_REPLICATION_NOT_AVAILABLE);
		finish(peer, slot, true);
		peer->unavailable_count = peer->invalid_count = 0;
		adapt_window(peer, message.proof.block.value.length);
		return hf_core_peer_took(peer, &message.proof, was_held);
	case HF_EWAIT:
		/* Asked for again once what it must be compared with has been read. */
		hf_replicator_need_thaw(shared->replicator);
		finish(peer, slot, false);
		return HF_OK;
	case HF_EBADSIG:
	case HF_EMALFORMED:
	case HF_ETOOBIG:
	case HF_EVERSION:
		return on_false_proof(peer, slot, &failure);
	case HF_ENOTFOUND: return note_refusal(peer, slot, HF_REPLICATION_INVALID_REQUEST);
	case HF_EBUSY:
	case HF_EDENIED:
		finish(peer, slot, false);
		return HF_OK;
	default: return status;
	}
}

int hf_core_peer_on_no_data(struct hf_core_peer *peer, struct hf_slice body)
{
	struct hf_replication_no_data message;
	struct hf_peer_request *slot;
	int status = hf_replication_read_no_data(body, &message);

	if (status != HF_OK)
		return hf_core_peer_fail(peer, status, "its noData message is malformed");
	if (message.request == 0 || message.request > peer->slot_count)
		return HF_OK;
	slot = &peer->slots[message.request - 1];
	if (slot->is_used || slot->is_cancelled)
		free_cancelled(peer, slot->is_cancelled ? slot->order : slot->order - 1);
	return slot->is_used ? note_refusal(peer, slot, message.reason) : HF_OK;
}
