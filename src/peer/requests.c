/* Requests in flight. Each has a slot, whose number is its id on the wire; a cancelled one keeps its slot until no answer can come any
 * more. What a request stood for is free to be asked of others when it is given back. */
#include "peer/replicator_private.h"

#include <stdlib.h>

#define SLOTS_MAX (4 * HF_REPLICATOR_WINDOW_MAX)

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

static void free_cancelled_slot(struct hf_core_peer *peer, struct hf_peer_request *slot)
{
	peer->cancelled_count--;
	free_slot(peer, slot);
}

/* Answers need not come in the order of the requests. But who answers this one has read all cancels that were sent before it. */
static void free_cancelled_before(struct hf_core_peer *peer, uint64_t order)
{
	for (uint32_t i = 0; peer->cancelled_count > 0 && i < peer->slot_count; i++)
		if (peer->slots[i].is_cancelled && peer->slots[i].order_cancelled <= order)
			free_cancelled_slot(peer, &peer->slots[i]);
}

struct hf_peer_request *hf_core_peer_answered(struct hf_core_peer *peer, uint64_t id)
{
	struct hf_peer_request *slot = id == 0 || id > peer->slot_count ? NULL : &peer->slots[id - 1];

	if (slot == NULL || (!slot->is_used && !slot->is_cancelled))
		return NULL;
	peer->answer_took_ms = peer->shared->replicator->now_ms - slot->sent_ms;
	free_cancelled_before(peer, slot->order);
	if (slot->is_used)
		return slot;
	free_cancelled_slot(peer, slot);
	return NULL;
}

const struct hf_peer_request *hf_core_peer_taken(const struct hf_core_peer *peer, uint64_t id)
{
	const struct hf_peer_request *slot = id == 0 || id > peer->slot_count ? NULL : &peer->slots[id - 1];

	return slot != NULL && slot->is_cancelled && slot->is_taken ? slot : NULL;
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
	hf_shared_core_watch(peer->shared);
	HF_SHARED_CORE_COUNT(peer->shared, requests_sent, 1);
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
	if (slot->proof.has_seek)
		hf_shared_core_unask_seeks(shared, slot->proof.seek.bytes);
}

void hf_core_peer_finish(struct hf_core_peer *peer, struct hf_peer_request *slot, bool is_done)
{
	struct hf_peer_request copy = *slot;

	free_slot(peer, slot);
	give_back(peer, &copy, is_done);
}

void hf_core_peer_cancel_request(struct hf_core_peer *peer, struct hf_peer_request *slot)
{
	struct hf_replication_cancel message = {.request = (uint64_t)(slot - peer->slots) + 1};

	slot->is_used = false;
	slot->is_cancelled = true;
	slot->order_cancelled = peer->next_order;
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
			hf_core_peer_finish(peer, &peer->slots[i], false);
}

struct hf_peer_request *hf_shared_core_find_request(struct hf_shared_core *shared, uint64_t block, struct hf_core_peer **owner)
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
	struct hf_peer_request *slot = hf_shared_core_find_request(shared, block, &peer);

	if (slot == NULL || !slot->is_wanted)
		return;
	slot->is_wanted = false;
	hf_core_peer_cancel_request(peer, slot);
}
