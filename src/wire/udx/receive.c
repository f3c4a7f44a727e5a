/* Packets that come. What is next in order is handed over where it lies; the rest is kept in a ring of slots by sequence number,
 * [taken_seq, kept_end): up to `ack` it waits for its reader, beyond it came early.
 *
 * Bounds: kept bytes, of a stream and of all, and the distance from the first slot to the last. Past them a packet is dropped as if it
 * had been lost. */
#include "wire/udx/udx_private.h"

#define SLOT_COUNT_MIN 16u
#define SPARE_BYTES 1536u /* packets of the usual sizes share spare blocks */
#define SPARE_PAYLOAD_BYTES_MIN 1024u
#define SPARE_PAYLOAD_BYTES_MAX (SPARE_BYTES - (uint32_t)sizeof(struct hf_udx_kept))
#define SPARE_COUNT_MAX 512u

static struct hf_udx_kept **slot_at(const struct hf_udx_stream *stream, uint32_t seq)
{
	return &stream->kept[seq & (stream->kept_capacity - 1)];
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static bool has_all(const struct hf_udx_stream *stream)
{
	return stream->is_connected && stream->udx->kept_bytes < stream->udx->options.kept_bytes_max;
}

static uint32_t limit(const struct hf_udx_stream *stream)
{
	uint32_t max = stream->udx->options.receive_bytes_max * HF_UDX_EARLY_FACTOR;
	return has_all(stream) ? max : smaller(max, HF_UDX_UNCONNECTED_BYTES_MAX);
}

/* A paused stream asks for no more than it may fill up with, less what it has; what is on its way by then is kept, too. One that is read
 * asks for as much at any time, whatever waits behind a hole: more in flight only fills the queues of the path. */
uint32_t hf_udx_stream_window(const struct hf_udx_stream *stream)
{
	uint32_t max = stream->udx->options.receive_bytes_max, room = max * HF_UDX_EARLY_FACTOR;
	if (stream->is_paused)
		room = has_all(stream) ? max : smaller(max, HF_UDX_UNCONNECTED_BYTES_MAX);
	return stream->kept_bytes < room ? smaller(room - stream->kept_bytes, max) : 0;
}

static void count_kept(struct hf_udx_stream *stream, int64_t change)
{
	stream->kept_bytes += (uint32_t)change;
	stream->udx->kept_bytes += (uint64_t)change;
}

static struct hf_udx_kept *new_kept(struct hf_udx *udx, uint32_t length)
{
	if (length < SPARE_PAYLOAD_BYTES_MIN || length > SPARE_PAYLOAD_BYTES_MAX)
		return malloc(sizeof(struct hf_udx_kept) + length);
	struct hf_udx_kept *kept = udx->spare_kept;
	if (!kept)
		return malloc(SPARE_BYTES);
	memcpy(&udx->spare_kept, kept->data, sizeof(void *));
	udx->spare_kept_count--;
	return kept;
}

static void free_kept(struct hf_udx *udx, struct hf_udx_kept *kept)
{
	if (kept->length < SPARE_PAYLOAD_BYTES_MIN || kept->length > SPARE_PAYLOAD_BYTES_MAX || udx->spare_kept_count >= SPARE_COUNT_MAX) {
		free(kept);
		return;
	}
	memcpy(kept->data, &udx->spare_kept, sizeof(void *));
	udx->spare_kept = kept;
	udx->spare_kept_count++;
}

/* Makes the ring reach to seq. */
static bool reach(struct hf_udx_stream *stream, uint32_t seq)
{
	uint32_t needed = seq - stream->taken_seq + 1;
	if (needed > stream->udx->kept_slots_max)
		return false;
	if (needed <= stream->kept_capacity)
		return true;
	uint32_t capacity = SLOT_COUNT_MIN;
	while (capacity < needed)
		capacity *= 2;
	struct hf_udx_kept **slots = calloc(capacity, sizeof *slots);
	if (!slots)
		return false;
	for (uint32_t at = stream->taken_seq; stream->kept && at != stream->kept_end; at++)
		slots[at & (capacity - 1)] = *slot_at(stream, at);
	free(stream->kept);
	stream->kept = slots;
	stream->kept_capacity = capacity;
	return true;
}

static bool keep(struct hf_udx_stream *stream, uint32_t seq, uint8_t type, struct hf_slice payload)
{
	if (stream->kept_bytes >= limit(stream) || !reach(stream, seq))
		return false;
	struct hf_udx_kept *kept = new_kept(stream->udx, (uint32_t)payload.length);
	if (!kept)
		return false;
	kept->length = (uint16_t)payload.length;
	kept->type = type;
	if (payload.length)
		memcpy(kept->data, payload.data, payload.length);
	*slot_at(stream, seq) = kept;
	if (stream->kept_count++ == 0 || hf_udx_seq_distance(seq, stream->kept_end) >= 0)
		stream->kept_end = seq + 1;
	count_kept(stream, kept->length);
	return true;
}

static struct hf_udx_kept *kept_at(const struct hf_udx_stream *stream, uint32_t seq)
{
	if (stream->kept_count == 0 || hf_udx_seq_distance(seq, stream->kept_end) >= 0)
		return NULL;
	return *slot_at(stream, seq);
}

void hf_udx_stream_free_kept(struct hf_udx_stream *stream)
{
	for (uint32_t seq = stream->taken_seq; stream->kept_count > 0; seq++) {
		struct hf_udx_kept *kept = *slot_at(stream, seq);
		if (!kept)
			continue;
		free_kept(stream->udx, kept);
		stream->kept_count--;
	}
	free(stream->kept);
	stream->kept = NULL;
	stream->kept_capacity = stream->early_count = 0;
	count_kept(stream, -(int64_t)stream->kept_bytes);
}

/* One packet to the reader; false: the stream is no more. */
static bool hand_over(struct hf_udx_stream *stream, uint8_t type, uint8_t *data, size_t length)
{
	stream->taken_seq++;
	stream->received_bytes += length;
	hf_udx_stream_enter(stream);
	if (type & HF_UDX_DATA && length > 0 && stream->events->data)
		stream->events->data(stream->context, stream, data, length);
	if (type & HF_UDX_END && hf_udx_is_live(stream)) {
		stream->remote_has_ended = true;
		hf_udx_make_ready(stream);
		if (stream->events->end)
			stream->events->end(stream->context, stream);
	}
	return hf_udx_stream_leave(stream);
}

void hf_udx_stream_hand_over(struct hf_udx_stream *stream)
{
	while (stream->is_connected && !stream->is_paused && stream->taken_seq != stream->ack) {
		struct hf_udx_kept **slot = slot_at(stream, stream->taken_seq), *kept = *slot;
		*slot = NULL;
		stream->kept_count--;
		count_kept(stream, -(int64_t)kept->length);
		struct hf_udx *udx = stream->udx;
		bool is_live = hand_over(stream, kept->type, kept->data, kept->length);
		free_kept(udx, kept);
		if (!is_live)
			return;
	}
	if (stream->kept_count == 0 && stream->kept) {
		free(stream->kept);
		stream->kept = NULL;
		stream->kept_capacity = 0;
	}
	if (stream->window_was_low && hf_udx_stream_window(stream) >= stream->udx->options.receive_bytes_max / 2) {
		stream->owes_ack = true;
		hf_udx_make_ready(stream);
	}
}

/* A packet with DATA or END that was not here before. False: the stream is no more. */
static bool take(struct hf_udx_stream *stream, const struct hf_udx_header *header, struct hf_slice payload)
{
	uint8_t type = header->type & (HF_UDX_DATA | HF_UDX_END);
	if (stream->remote_end_is_known && hf_udx_seq_distance(header->seq, stream->remote_end_seq) > 0)
		return true;
	if (!(type & HF_UDX_DATA))
		payload.length = 0;
	bool is_next = header->seq == stream->ack;
	bool in_place = is_next && stream->is_connected && !stream->is_paused && stream->taken_seq == stream->ack;
	if (!in_place && !keep(stream, header->seq, type, payload)) {
		stream->udx->counters.dropped_packets[HF_UDX_DROP_FULL]++;
		return true;
	}
	if (type & HF_UDX_END && !stream->remote_end_is_known) {
		stream->remote_end_is_known = true;
		stream->remote_end_seq = header->seq;
	}
	if (!is_next) {
		stream->early_count++;
		return true;
	}
	stream->ack++;
	while (kept_at(stream, stream->ack)) {
		stream->ack++;
		stream->early_count--;
	}
	if (in_place) {
		/* What is kept stays where it is while the one in front of it is read. */
		if (!hand_over(stream, type, (uint8_t *)(uintptr_t)payload.data, payload.length))
			return false;
	}
	if (stream->kept_count)
		hf_udx_stream_hand_over(stream);
	return hf_udx_is_live(stream);
}

static bool is_admitted(struct hf_udx_stream *stream, const struct hf_udx_path *from)
{
	if (stream->is_connected && from->socket == stream->path.socket)
		return true;
	if (!stream->events->firewall)
		return false;
	hf_udx_stream_enter(stream);
	bool is_welcome = stream->events->firewall(stream->context, stream, from);
	return hf_udx_stream_leave(stream) && is_welcome;
}

static bool tell_message(struct hf_udx_stream *stream, struct hf_slice payload)
{
	if (!stream->events->message)
		return true;
	hf_udx_stream_enter(stream);
	stream->events->message(stream->context, stream, (uint8_t *)(uintptr_t)payload.data, payload.length);
	return hf_udx_stream_leave(stream);
}

static void owe_ack(struct hf_udx_stream *stream)
{
	stream->owes_ack = true;
	hf_udx_make_ready(stream);
}

void hf_udx_stream_recv(struct hf_udx_stream *stream, const struct hf_udx_path *from, uint8_t *data, size_t length,
	const struct hf_udx_header *header)
{
	struct hf_slice datagram = hf_slice(data, length), payload;
	if (!is_admitted(stream, from)) {
		stream->udx->counters.dropped_packets[HF_UDX_DROP_FIREWALL]++;
		return;
	}
	stream->received_packets++;
	if (stream->relay) {
		hf_udx_relay_packet(stream, data, length, header);
		return;
	}
	if (header->type & HF_UDX_HEARTBEAT) {
		owe_ack(stream);
		return;
	}
	if (!hf_udx_packet_payload(header, datagram, &payload)) {
		stream->udx->counters.dropped_packets[HF_UDX_DROP_MALFORMED]++;
		return;
	}
	if (hf_udx_seq_distance(header->seq, stream->ack) >= 0) {
		if (header->type & (HF_UDX_DATA | HF_UDX_END) && !kept_at(stream, header->seq) && !take(stream, header, payload))
			return;
		if (header->type & HF_UDX_DESTROY) {
			hf_udx_stream_close(stream, HF_ECLOSED);
			return;
		}
	}
	if (header->type & HF_UDX_MESSAGE && !tell_message(stream, payload))
		return;
	if (hf_udx_seq_distance(header->ack, stream->next_seq) > 0)
		return;
	hf_udx_stream_acked(stream, header, datagram);
	if (hf_udx_is_live(stream) && header->type & (HF_UDX_DATA | HF_UDX_END))
		owe_ack(stream);
}

/* More blocks than fit are told in turn: what no acknowledgement names, the sender takes for lost. */
size_t hf_udx_stream_blocks(struct hf_udx_stream *stream, uint8_t *out)
{
	size_t count = 0;
	uint32_t seq = stream->ack;
	if (hf_udx_seq_distance(stream->next_block, seq) > 0 && hf_udx_seq_distance(stream->next_block, stream->kept_end) < 0)
		seq = stream->next_block;
	stream->next_block = stream->ack;
	while (hf_udx_seq_distance(seq, stream->kept_end) < 0) {
		if (!*slot_at(stream, seq)) {
			seq++;
			continue;
		}
		if (count == HF_UDX_BLOCK_COUNT_MAX) {
			stream->next_block = seq;
			break;
		}
		struct hf_udx_block block = {seq, seq};
		while (hf_udx_seq_distance(block.end, stream->kept_end) < 0 && *slot_at(stream, block.end))
			block.end++;
		hf_udx_block_encode(block, out + HF_UDX_BLOCK_BYTES * count++);
		seq = block.end;
	}
	return count;
}
