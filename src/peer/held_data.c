/* Data messages with large blocks wait for others of the same channel, up to the end of the loop's round, because several blocks are hashed
 * in little more time than one. Nothing that their peer says after them, nor its end, is heard before they are. */
#include "peer/replicator_private.h"

#define BODY_BYTES_MIN 1024u         /* hashing shorter ones together gains nothing */
#define BODY_BYTES_MAX (128u << 10)  /* what all of them may take is bounded so */

/* The hashes of those blocks that can be read. */
static void hash_blocks(struct hf_replication_data *messages, const int *statuses, size_t count, uint8_t (*hashes)[HF_TREE_HASH_BYTES])
{
	struct hf_slice blocks[HF_LEAVES_TOGETHER] = {{NULL, 0}};
	size_t block_count = 0;

	for (size_t i = 0; i < count; i++) {
		if (statuses[i] != HF_OK || !messages[i].proof.has_block)
			continue;
		blocks[block_count] = messages[i].proof.block.value;
		messages[i].proof.block.hash = hashes[block_count++];
	}
	hf_leaf_hashes(hashes, blocks, block_count);
}

static void take(struct hf_core_peer *peer, const uint8_t *bytes, const size_t *lengths, size_t count)
{
	struct hf_replication_data messages[HF_LEAVES_TOGETHER];
	uint8_t hashes[HF_LEAVES_TOGETHER][HF_TREE_HASH_BYTES];
	int statuses[HF_LEAVES_TOGETHER], status = HF_OK;
	bool was_open = peer->is_open;

	for (size_t i = 0; i < count; bytes += lengths[i++])
		statuses[i] = hf_replication_read_data(hf_slice(bytes, lengths[i]), &messages[i]);
	hash_blocks(messages, statuses, count, hashes);
	for (size_t i = 0; i < count && status == HF_OK && peer->is_open == was_open; i++)
		status = hf_core_peer_on_data(peer, statuses[i], &messages[i]);
	if (status != HF_OK)
		hf_protomux_fail(peer->stream->mux, status, "core replication: what it sent could not be kept");
}

void hf_replicator_take_held(struct hf_replicator *replicator)
{
	struct hf_held_data held = replicator->held;

	if (held.count == 0)
		return;
	replicator->held = (struct hf_held_data){.count = 0};
	take(held.peer, held.bytes.data, held.lengths, held.count);
	if (replicator->held.bytes.data != NULL) {
		hf_buffer_free(&held.bytes);
		return;
	}
	replicator->held.bytes = held.bytes;
	hf_buffer_clear(&replicator->held.bytes);
}

void hf_core_peer_drop_held(struct hf_core_peer *peer)
{
	struct hf_held_data *held = &peer->shared->replicator->held;

	if (held->peer != peer)
		return;
	held->peer = NULL;
	held->count = 0;
	hf_buffer_clear(&held->bytes);
}

bool hf_core_peer_hold(struct hf_core_peer *peer, struct hf_slice body)
{
	struct hf_replicator *replicator = peer->shared->replicator;
	struct hf_held_data *held = &replicator->held;

	if (held->peer != peer)
		hf_replicator_take_held(replicator);
	if (body.length < BODY_BYTES_MIN || body.length > BODY_BYTES_MAX || hf_buffer_append(&held->bytes, body.data, body.length) != HF_OK)
		return false;
	held->peer = peer;
	held->lengths[held->count++] = body.length;
	if (held->count == HF_LEAVES_TOGETHER)
		hf_replicator_take_held(replicator);
	else
		hf_replicator_pend(replicator);
	return true;
}
