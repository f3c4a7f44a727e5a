/* Data messages with large blocks wait for others of the same channel, up to the end of the loop's round, because several blocks are
 * hashed in little more time than one. They wait in a chunk, from which their blocks go to the disk. Nothing that their peer says after
 * them, nor its end, is heard before they are. */
#include "peer/replicator_private.h"

#define BODY_BYTES_MIN 1024u         /* hashing shorter ones together gains nothing */
#define BODY_BYTES_MAX (128u << 10)  /* what all of them may take is bounded so */
#define MORE_BYTES 1024u             /* that the next one's proof may take on top: growing would copy all */

/* Those that can be read. */
static void prepare_blocks(struct hf_replication_data *messages, const int *statuses, size_t count, struct hf_core_chunk *chunk,
	uint8_t (*hashes)[HF_TREE_HASH_BYTES])
{
	struct hf_slice blocks[HF_LEAVES_TOGETHER] = {{NULL, 0}};
	size_t block_count = 0;

	for (size_t i = 0; i < count; i++) {
		if (statuses[i] != HF_OK || !messages[i].proof.has_block)
			continue;
		blocks[block_count] = messages[i].proof.block.value;
		messages[i].proof.block.chunk = chunk;
		messages[i].proof.block.hash = hashes[block_count++];
	}
	hf_leaf_hashes(hashes, blocks, block_count);
}

static void take(struct hf_core_peer *peer, struct hf_core_chunk *chunk, const size_t *lengths, size_t count)
{
	struct hf_replication_data messages[HF_LEAVES_TOGETHER];
	uint8_t hashes[HF_LEAVES_TOGETHER][HF_TREE_HASH_BYTES];
	int statuses[HF_LEAVES_TOGETHER], status = HF_OK;
	const uint8_t *bytes = chunk->bytes.data;
	bool was_open = peer->is_open;

	for (size_t i = 0; i < count; bytes += lengths[i++])
		statuses[i] = hf_replication_read_data(hf_slice(bytes, lengths[i]), &messages[i]);
	prepare_blocks(messages, statuses, count, chunk, hashes);
	for (size_t i = 0; i < count && status == HF_OK && peer->is_open == was_open; i++)
		status = hf_core_peer_on_data(peer, statuses[i], &messages[i]);
	if (status != HF_OK)
		hf_protomux_fail(peer->stream->mux, status, "core replication: what it sent could not be kept");
}

void hf_replicator_take_held(struct hf_replicator *replicator)
{
	struct hf_held_data held = replicator->held;

	replicator->held = (struct hf_held_data){.count = 0};
	if (held.count > 0)
		take(held.peer, held.chunk, held.lengths, held.count);
	hf_core_chunk_unref(held.chunk);
}

void hf_core_peer_drop_held(struct hf_core_peer *peer)
{
	struct hf_held_data *held = &peer->shared->replicator->held;

	if (held->peer != peer)
		return;
	hf_core_chunk_unref(held->chunk);
	*held = (struct hf_held_data){.count = 0};
}

static int keep(struct hf_replicator *replicator, struct hf_slice body)
{
	struct hf_held_data *held = &replicator->held;
	int status = held->chunk != NULL ? HF_OK : hf_core_chunk_new(replicator->cores, &held->chunk);

	if (status == HF_OK && held->count == 0)
		status = hf_buffer_reserve(&held->chunk->bytes, HF_LEAVES_TOGETHER * (body.length + MORE_BYTES)); /* they are often alike */
	if (status == HF_OK)
		status = hf_buffer_append(&held->chunk->bytes, body.data, body.length);
	if (status == HF_OK)
		held->lengths[held->count++] = body.length;
	return status;
}

bool hf_core_peer_hold(struct hf_core_peer *peer, struct hf_slice body)
{
	struct hf_replicator *replicator = peer->shared->replicator;

	if (replicator->held.peer != peer)
		hf_replicator_take_held(replicator);
	if (body.length < BODY_BYTES_MIN || body.length > BODY_BYTES_MAX || keep(replicator, body) != HF_OK)
		return false;
	replicator->held.peer = peer;
	if (replicator->held.count == HF_LEAVES_TOGETHER)
		hf_replicator_take_held(replicator);
	else
		hf_replicator_pend(replicator);
	return true;
}
