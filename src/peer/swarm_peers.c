/* What becomes of a peer between two connections: how soon it is tried again, and before whom. */
#include "peer/swarm_private.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/list.h"

/* ---- Peers ---- */

struct hf_swarm_peer *hf_swarm_peer_find(const struct hf_swarm *swarm, const uint8_t public_key[static 32])
{
	return hf_map_get(&swarm->peers, hf_slice(public_key, HF_SIGN_PUBLIC_BYTES));
}

static void try_again(struct hf_timer *timer)
{
	struct hf_swarm_peer *peer = HF_CONTAINER_OF(timer, struct hf_swarm_peer, retry);
	struct hf_swarm *swarm = peer->swarm;
	peer->is_waiting = false;
	if (!swarm->is_suspended && !peer->connection && hf_swarm_peer_is_due(peer)) {
		peer->flush_tick = swarm->flush_tick;
		hf_swarm_queue_add(&swarm->queue, peer);
	}
	hf_swarm_attempt(swarm);
	hf_swarm_peer_settle(peer);
}

struct hf_swarm_peer *hf_swarm_peer_take(struct hf_swarm *swarm, const uint8_t public_key[static 32])
{
	struct hf_swarm_peer *peer = hf_swarm_peer_find(swarm, public_key);
	if (peer || memcmp(public_key, swarm->public_key, HF_SIGN_PUBLIC_BYTES) == 0)
		return peer;
	if (swarm->peers.count >= HF_SWARM_PEER_COUNT_MAX) {
		swarm->stats.peers_not_taken++;
		return NULL;
	}
	peer = calloc(1, sizeof *peer);
	if (!peer)
		return NULL;
	memcpy(peer->public_key, public_key, sizeof peer->public_key);
	peer->swarm = swarm;
	peer->priority = HF_SWARM_PRIORITY_NORMAL;
	peer->retry.fire = try_again;
	if (hf_map_put(&swarm->peers, hf_slice(peer->public_key, sizeof peer->public_key), peer, NULL) < 0) {
		free(peer);
		return NULL;
	}
	return peer;
}

void hf_swarm_peer_settle(struct hf_swarm_peer *peer)
{
	struct hf_swarm *swarm = peer->swarm;
	if (peer->is_banned || peer->is_queued || peer->is_explicit || peer->is_waiting || peer->connection_count > 0)
		return;
	hf_map_remove(&swarm->peers, hf_slice(peer->public_key, sizeof peer->public_key));
	for (size_t i = 0; i < peer->topic_count; i++)
		hf_swarm_topic_release(peer->topics[i]);
	hf_swarm_peer_free(peer);
}

void hf_swarm_peer_free(struct hf_swarm_peer *peer)
{
	hf_udp_timer_cancel(peer->swarm->host, &peer->retry);
	free(peer->topics);
	free(peer);
}

int hf_swarm_peer_add_topic(struct hf_swarm_peer *peer, struct hf_swarm_topic *topic)
{
	for (size_t i = 0; i < peer->topic_count; i++)
		if (peer->topics[i] == topic)
			return HF_OK;
	if (peer->topic_count >= HF_SWARM_PEER_TOPIC_COUNT_MAX)
		return HF_EBUSY;
	int r = hf_array_reserve(&peer->topics, &peer->topic_capacity, peer->topic_count + 1, sizeof(struct hf_swarm_topic *));
	if (r < 0)
		return r;
	peer->topics[peer->topic_count++] = topic;
	topic->peer_references++;
	return HF_OK;
}

bool hf_swarm_peer_has_live_topic(const struct hf_swarm_peer *peer)
{
	for (size_t i = 0; i < peer->topic_count; i++)
		if (peer->topics[i]->is_joined)
			return true;
	return false;
}

void hf_swarm_peer_reset(struct hf_swarm_peer *peer)
{
	peer->is_client = peer->is_proven = false;
	peer->attempts = 0;
}

void hf_swarm_peer_connected(struct hf_swarm_peer *peer, uint64_t now_ms)
{
	peer->is_proven = true;
	peer->connected_ms = now_ms;
}

void hf_swarm_peer_disconnected(struct hf_swarm_peer *peer, uint64_t now_ms)
{
	peer->disconnected_ms = now_ms;
	if (peer->connected_ms > 0 && now_ms - peer->connected_ms >= HF_SWARM_PROVEN_MS)
		peer->attempts = 0;
	peer->connected_ms = 0;
	if (peer->attempts < UINT8_MAX)
		peer->attempts++;
}

bool hf_swarm_peer_is_due(struct hf_swarm_peer *peer)
{
	static const uint8_t by_attempts[] = {HF_SWARM_PRIORITY_NORMAL, HF_SWARM_PRIORITY_VERY_HIGH, HF_SWARM_PRIORITY_HIGH,
		HF_SWARM_PRIORITY_LOW};
	_Static_assert(sizeof by_attempts == HF_SWARM_ATTEMPT_COUNT_MAX + 1, "a priority for each count of attempts");
	if (peer->is_explicit && peer->attempts > HF_SWARM_ATTEMPT_COUNT_MAX)
		peer->attempts = HF_SWARM_ATTEMPT_COUNT_MAX;
	if (peer->is_banned || peer->is_queued || peer->attempts > HF_SWARM_ATTEMPT_COUNT_MAX)
		return false;
	peer->priority = by_attempts[peer->attempts];
	return true;
}

uint64_t hf_swarm_peer_retry_ms(const struct hf_swarm_peer *peer, const uint64_t backoff_ms[static 4], uint32_t random)
{
	enum { SHORT, MIDDLE, LONG, VERY_LONG };
	static const uint8_t of_proven[] = {SHORT, SHORT, MIDDLE, LONG}, of_others[] = {SHORT, MIDDLE, LONG, LONG};
	uint64_t base;
	if (peer->is_banned)
		return 0;
	if (peer->attempts <= HF_SWARM_ATTEMPT_COUNT_MAX)
		base = backoff_ms[(peer->is_proven ? of_proven : of_others)[peer->attempts]];
	else if (peer->is_explicit)
		base = backoff_ms[VERY_LONG];
	else
		return 0;
	/* The package wakes its peers in bulk, at the second of ticks that are two thirds of the time apart. */
	return base * 2 / 3 + (uint64_t)random * (base * 2 / 3) / UINT32_MAX;
}

/* ---- The queue ---- */

int hf_swarm_queue_add(struct hf_swarm_queue *queue, struct hf_swarm_peer *peer)
{
	size_t count = queue->levels[peer->priority].count;
	int r = hf_array_reserve(&queue->levels[peer->priority].peers, &queue->levels[peer->priority].capacity, count + 1,
		sizeof(struct hf_swarm_peer *));
	if (r < 0)
		return r;
	queue->levels[peer->priority].peers[count] = peer;
	queue->levels[peer->priority].count++;
	queue->count++;
	peer->queue_place = count;
	peer->is_queued = true;
	return HF_OK;
}

void hf_swarm_queue_remove(struct hf_swarm_queue *queue, struct hf_swarm_peer *peer)
{
	if (!peer->is_queued)
		return;
	struct hf_swarm_peer *last = queue->levels[peer->priority].peers[--queue->levels[peer->priority].count];
	queue->levels[peer->priority].peers[peer->queue_place] = last;
	last->queue_place = peer->queue_place;
	queue->count--;
	peer->is_queued = false;
}

struct hf_swarm_peer *hf_swarm_queue_take(struct hf_swarm_queue *queue, uint32_t random)
{
	for (int level = HF_SWARM_PRIORITY_COUNT - 1; level >= 0; level--) {
		size_t count = queue->levels[level].count;
		if (count == 0)
			continue;
		struct hf_swarm_peer *peer = queue->levels[level].peers[random % count];
		hf_swarm_queue_remove(queue, peer);
		return peer;
	}
	return NULL;
}

void hf_swarm_queue_free(struct hf_swarm_queue *queue)
{
	for (int level = 0; level < HF_SWARM_PRIORITY_COUNT; level++)
		free(queue->levels[level].peers);
	memset(queue, 0, sizeof *queue);
}
