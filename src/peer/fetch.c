/* Asking: which request goes to which peer. (spec 5.5) */
#include "peer/replicator_private.h"

#define UNCOMMITTED_BYTES_MAX (2u << 20) /* more is not asked for while so much waits for the disk */
#define UNITS_ASKED_AHEAD 8

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

/* The packages begin, for who allows pushing, where what they gave it ends, unless it asks for no more than that. What they prove
 * leads to the end of their tree in either case. */
uint64_t hf_core_peer_askable_length(const struct hf_core_peer *peer, uint64_t from)
{
	return peer->told_push && peer->got_length > from && peer->got_length < peer->remote_length ? peer->got_length : peer->remote_length;
}

static void add_upgrade(struct hf_core_peer *peer, struct hf_proof_request *request)
{
	uint64_t length = hf_core_length(peer->shared->core);

	request->has_upgrade = true;
	request->upgrade.start = length;
	request->upgrade.length = hf_core_peer_askable_length(peer, length) - length;
}

static bool may_ask(const struct hf_core_peer *peer)
{
	return peer->is_open && peer->remote_synced && peer->remote_uploading && !peer->is_paused && peer->used_count < peer->window &&
		hf_core_uncommitted_bytes(peer->shared->core) < UNCOMMITTED_BYTES_MAX;
}

/* Who may push and is behind us in what it gave us answers with a tree of no use to us. */
static bool will_go_on_from(const struct hf_core_peer *peer, uint64_t length)
{
	return !peer->told_push || peer->got_length >= length;
}

/* To who has less than the prologue the packages prove the tree as far as that goes, whatever is asked. While the manifest is not here
 * there may be one, of any length: the first block is in what they prove in any case. */
static uint64_t provable_length(const struct hf_core_peer *peer, uint64_t from)
{
	const struct hf_core *core = peer->shared->core;

	if (hf_core_manifest(core) == NULL && peer->remote_has_manifest)
		return 1;
	if (from < hf_core_prologue_length(core))
		return hf_core_prologue_length(core);
	return hf_core_peer_askable_length(peer, from);
}

/* None that would not be in what is proved with it: the package ends the stream over it. */
static bool may_ask_with_tree(const struct hf_core_peer *peer, uint64_t block, uint64_t length)
{
	return should_upgrade(peer) && will_go_on_from(peer, length) && block < provable_length(peer, length);
}

/* Whether the peer's tree and ours are such that a proof of the block ties to what we hold. */
static bool can_tie(const struct hf_core_peer *peer, uint64_t block)
{
	uint64_t length = hf_core_length(peer->shared->core);

	if (!same_fork(peer) || block >= peer->remote_length)
		return false;
	if (block >= length)
		return may_ask_with_tree(peer, block, length);
	return peer->remote_length >= length || peer->can_upgrade || (block < peer->upgradable_length &&
		peer->upgradable_fork == peer->remote_fork);
}

void hf_core_peer_note_late(struct hf_core_peer *peer)
{
	peer->is_late = true;
	peer->shared->has_late = true;
	hf_shared_core_schedule(peer->shared);
}

static void note_upgrade(struct hf_core_peer *peer)
{
	if (peer->shared->upgrade_peer != NULL)
		hf_core_peer_note_late(peer->shared->upgrade_peer);
	peer->shared->upgrade_peer = peer;
	peer->shared->upgrade_asked_ms = peer->shared->replicator->now_ms;
}

static bool ask_block(struct hf_core_peer *peer, uint64_t block, bool is_wanted)
{
	struct hf_shared_core *shared = peer->shared;
	struct hf_proof_request request = {.has_block = true, .block.index = block};
	uint64_t length = hf_core_length(shared->core), *place;
	struct hf_peer_request *slot;

	if (!can_tie(peer, block))
		return false;
	if (block < length) {
		int status = hf_core_missing_nodes(shared->core, block, &request.block.nodes);

		if (status == HF_EWAIT)
			hf_shared_core_need_thaw(shared);
		if (status != HF_OK)
			return false;
	}
	if (may_ask_with_tree(peer, block, length))
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

	if (status == HF_ENOTFOUND && should_upgrade(peer)) {
		add_upgrade(peer, &request);
		add_manifest(peer, &request);
	} else if (status == HF_EWAIT && place.from < place.to && same_fork(peer)) { /* else it is cold */
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
		asked = hf_shared_core_find_request(shared, block, &owner);
		if (asked != NULL)
			asked->is_wanted = true; /* it was for a download so far */
		else if (!ask_block(peer, block, true))
			continue;
		/* The map has changed: begin again. */
		hf_u64_map_remove(&shared->wanted, block);
		cursor = 0;
	}
}

/* Kept until they are here, or refused: the answer may be of no use, too. */
static void ask_pushed_early(struct hf_core_peer *peer)
{
	struct hf_core *core = peer->shared->core;
	struct hf_u64_slot *slot;
	size_t cursor = 0;

	if (!peer->shared->allows_push || peer->pushed_early_fork != hf_core_fork(core))
		hf_u64_map_clear(&peer->pushed_early);
	while (may_ask(peer) && (slot = hf_u64_map_next(&peer->pushed_early, &cursor)) != NULL) {
		uint64_t block = slot->key;

		if (hf_bitfield_get(hf_core_blocks(core), block)) {
			hf_u64_map_remove(&peer->pushed_early, block);
			cursor = 0;
		} else if (hf_u64_map_get(&peer->shared->in_flight, block) == NULL) {
			ask_block(peer, block, false);
		}
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

static void ask_download(struct hf_core_peer *peer, const struct hf_download *download)
{
	uint64_t from = download->from, end = download->to < peer->remote_length ? download->to : peer->remote_length, middle = from, random;

	if (from >= end)
		return;
	if (download->is_random) {
		peer->shared->replicator->options.env->random(peer->shared->replicator->options.env, &random, sizeof random);
		middle += random % (end - from);
	}
	ask_about_range(peer, hf_bitfield_next_clear(hf_core_blocks(peer->shared->core), from, end), end);
	ask_missing(peer, middle, end);
	if (middle > from)
		ask_missing(peer, from, middle);
}

/* For long, in which its peer has answered nothing; or for so long that it does not matter what else was answered. Whose answers take
 * longer is waited for longer: else two such peers would be asked by turns, and never be heard out. */
static bool is_owed_for_long(const struct hf_core_peer *peer, const struct hf_peer_request *slot)
{
	uint64_t now_ms = peer->shared->replicator->now_ms, patience_ms = 2 * peer->answer_took_ms;

	if (patience_ms < HF_PEER_PATIENCE_MS)
		patience_ms = HF_PEER_PATIENCE_MS;
	return slot->is_used && (slot->sent_ms + HF_PEER_PATIENCE_MS_MAX <= now_ms || (slot->sent_ms + patience_ms <= now_ms &&
		peer->answered_ms + patience_ms <= now_ms));
}

/* Takes over what another peer has owed for long, when there is nothing else to ask. */
static void steal(struct hf_core_peer *peer)
{
	for (struct hf_core_peer *other = peer->shared->peers; other != NULL; other = other->next) {
		for (uint32_t i = 0; other != peer && i < other->slot_count && may_ask(peer); i++) {
			struct hf_peer_request *slot = &other->slots[i];
			bool is_wanted = slot->is_wanted;
			uint64_t block = slot->proof.block.index;

			if (!is_owed_for_long(other, slot))
				continue;
			if (slot->proof.has_seek) {
				slot->is_taken = true;
				hf_core_peer_cancel_request(other, slot);
				hf_core_peer_note_late(other); /* so that it is asked of another by the next schedule */
				continue;
			}
			if (!slot->proof.has_block || !hf_bitfield_get(&peer->remote_blocks, block) ||
				block >= hf_core_length(peer->shared->core) || !can_tie(peer, block))
				continue;
			slot->is_wanted = false;
			slot->is_taken = true;
			hf_core_peer_cancel_request(other, slot);
			hf_core_peer_note_late(other);
			if (!ask_block(peer, block, is_wanted) && is_wanted)
				hf_u64_map_put(&peer->shared->wanted, block);
		}
	}
}

/* In these two what is sent may end the stream, and who is told of that may let the seek or the download go. */
static void ask_seeks(struct hf_core_peer *peer)
{
	struct hf_seek_wait *wait = may_ask(peer) ? peer->shared->seeks : NULL;

	while (wait != NULL) {
		if (!wait->is_asked)
			ask_seek(peer, wait);
		wait = may_ask(peer) ? wait->next : NULL;
	}
}

static void ask_downloads(struct hf_core_peer *peer)
{
	struct hf_download *download = may_ask(peer) ? peer->shared->downloads : NULL;

	while (download != NULL) {
		ask_download(peer, download);
		download = may_ask(peer) ? download->next : NULL;
	}
}

void hf_core_peer_schedule(struct hf_core_peer *peer)
{
	struct hf_shared_core *shared = peer->shared;

	if (!may_ask(peer) || peer->is_late || !hf_shared_core_is_active(shared))
		return;
	hf_protomux_cork(peer->stream->mux);
	ask_manifest(peer);
	ask_seeks(peer);
	ask_wanted(peer);
	ask_pushed_early(peer);
	ask_downloads(peer);
	hf_core_peer_ask_fork(peer);
	if (may_ask(peer))
		ask_upgrade(peer);
	if (may_ask(peer) && peer->next != peer->previous)
		steal(peer);
	hf_protomux_uncork(peer->stream->mux);
}
