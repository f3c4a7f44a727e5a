/* The ring of packets that were sent, by sequence number, from the oldest that is not acknowledged. It grows with what is in flight; when
 * nothing is and nothing waits, it goes, one of the smallest size back to the session, so that an idle stream has none. */
#include "wire/udx/udx_private.h"

#define RING_COUNT_MIN 16u
#define SPARE_COUNT_MAX 64u

static struct hf_udx_sent *take_ring(struct hf_udx *udx, uint32_t capacity)
{
	if (capacity != RING_COUNT_MIN || !udx->spare_rings)
		return malloc(capacity * sizeof(struct hf_udx_sent));
	void **ring = udx->spare_rings;
	udx->spare_rings = *ring;
	udx->spare_ring_count--;
	return (struct hf_udx_sent *)(void *)ring;
}

static void give_ring(struct hf_udx *udx, struct hf_udx_sent *ring, uint32_t capacity)
{
	if (capacity != RING_COUNT_MIN || udx->spare_ring_count >= SPARE_COUNT_MAX) {
		free(ring);
		return;
	}
	*(void **)(void *)ring = udx->spare_rings;
	udx->spare_rings = ring;
	udx->spare_ring_count++;
}

static bool grow(struct hf_udx_stream *stream)
{
	uint32_t capacity = stream->sent_capacity ? stream->sent_capacity * 2 : RING_COUNT_MIN;
	struct hf_udx_sent *ring = take_ring(stream->udx, capacity);
	if (!ring)
		return false;
	for (uint32_t seq = stream->una; seq != stream->next_seq; seq++)
		ring[seq & (capacity - 1)] = *hf_udx_sent_at(stream, seq);
	if (stream->sent)
		give_ring(stream->udx, stream->sent, stream->sent_capacity);
	stream->sent = ring;
	stream->sent_capacity = capacity;
	return true;
}

struct hf_udx_sent *hf_udx_sent_new(struct hf_udx_stream *stream)
{
	if (stream->next_seq - stream->una == stream->sent_capacity && !grow(stream))
		return NULL;
	struct hf_udx_sent *sent = hf_udx_sent_at(stream, stream->next_seq++);
	*sent = (struct hf_udx_sent){0};
	return sent;
}

void hf_udx_sent_add(struct hf_udx_stream *stream, struct hf_udx_sent_list *list, uint32_t seq)
{
	struct hf_udx_sent *sent = hf_udx_sent_at(stream, seq);
	if (list->count++ == 0) {
		list->first = list->last = seq;
		return;
	}
	sent->older = list->last;
	hf_udx_sent_at(stream, list->last)->newer = seq;
	list->last = seq;
}

void hf_udx_sent_add_first(struct hf_udx_stream *stream, struct hf_udx_sent_list *list, uint32_t seq)
{
	struct hf_udx_sent *sent = hf_udx_sent_at(stream, seq);
	if (list->count++ == 0) {
		list->first = list->last = seq;
		return;
	}
	sent->newer = list->first;
	hf_udx_sent_at(stream, list->first)->older = seq;
	list->first = seq;
}

void hf_udx_sent_remove(struct hf_udx_stream *stream, struct hf_udx_sent_list *list, uint32_t seq)
{
	struct hf_udx_sent *sent = hf_udx_sent_at(stream, seq);
	if (--list->count == 0)
		return;
	if (list->first == seq)
		list->first = sent->newer;
	else if (list->last == seq)
		list->last = sent->older;
	else {
		hf_udx_sent_at(stream, sent->older)->newer = sent->newer;
		hf_udx_sent_at(stream, sent->newer)->older = sent->older;
	}
}

void hf_udx_sent_lose(struct hf_udx_stream *stream, uint32_t seq, bool is_urgent)
{
	struct hf_udx_sent *sent = hf_udx_sent_at(stream, seq);
	hf_udx_sent_remove(stream, &stream->flight, seq);
	sent->state = HF_UDX_LOST;
	(is_urgent ? hf_udx_sent_add_first : hf_udx_sent_add)(stream, &stream->lost, seq);
}

void hf_udx_flight_free(struct hf_udx_stream *stream)
{
	if (stream->sent)
		give_ring(stream->udx, stream->sent, stream->sent_capacity);
	stream->sent = NULL;
	stream->sent_capacity = 0;
	stream->flight = stream->lost = (struct hf_udx_sent_list){0};
}

void hf_udx_flight_rest(struct hf_udx_stream *stream)
{
	if (stream->una == stream->next_seq && stream->writes.pending_bytes == 0 && stream->sent)
		hf_udx_flight_free(stream);
}
