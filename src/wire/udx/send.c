/* What a stream sends when it is its turn: selective acknowledgements, messages, what was lost, what is new, and a plain
 * acknowledgement when nothing of that has carried it. */
#include "wire/udx/udx_private.h"

#define PACING_BURST_US 500 /* what may leave at once after a pause: less than the queue of a fast link holds */
#define PACING_BURST_PACKETS 10
#define PACING_WAIT_PACKETS 8 /* are let come together, within these bounds: waking up costs, too */
#define PACING_WAIT_US_MIN 250
#define PACING_WAIT_US_LONG 1000
#define PACING_WAIT_US_MAX 100000

static const uint8_t padding_bytes[HF_UDX_DATA_OFFSET_MAX];

size_t hf_udx_capacity(const struct hf_udx_path *path, unsigned packet_bytes)
{
	unsigned overhead = hf_address_is_ipv4(&path->remote) ? HF_UDX_IP4_BYTES : HF_UDX_IP6_BYTES;
	return packet_bytes - overhead - HF_UDX_HEADER_BYTES;
}

static struct hf_udx_header header_of(const struct hf_udx_stream *stream, uint8_t type)
{
	return (struct hf_udx_header){.type = type,
		.id = stream->remote_id,
		.window_bytes = hf_udx_stream_window(stream),
		.seq = stream->next_seq,
		.ack = stream->ack};
}

static bool has_room(const struct hf_udx_stream *stream)
{
	return hf_udx_batch_has_room(stream->udx, stream->path.socket);
}

/* ---- Acknowledgements, heartbeats and messages ---- */

static bool send_ack(struct hf_udx_stream *stream)
{
	struct hf_udx *udx = stream->udx;
	if (!has_room(stream))
		return false;
	struct hf_udx_built built = {stream, 0, HF_UDX_BUILT_ACK};
	if (stream->early_count == 0) {
		struct hf_udx_header header = header_of(stream, 0);
		hf_udx_batch_begin(udx, &stream->path, &header, built);
	} else {
		if (udx->sack_count == HF_UDX_SACK_SCRATCH_COUNT)
			return false;
		uint8_t *blocks = udx->sacks[udx->sack_count++];
		size_t count = hf_udx_stream_blocks(stream, blocks);
		struct hf_udx_header header = header_of(stream, HF_UDX_SACK);
		hf_udx_batch_begin(udx, &stream->path, &header, built);
		hf_udx_batch_piece(udx, blocks, count * HF_UDX_BLOCK_BYTES);
	}
	stream->owes_ack = false;
	return true;
}

static bool send_heartbeat(struct hf_udx_stream *stream)
{
	if (!has_room(stream))
		return false;
	struct hf_udx_header header = header_of(stream, HF_UDX_HEARTBEAT);
	hf_udx_batch_begin(stream->udx, &stream->path, &header, (struct hf_udx_built){stream, 0, HF_UDX_BUILT_HEARTBEAT});
	stream->owes_heartbeat = false;
	return true;
}

static bool send_messages(struct hf_udx_stream *stream)
{
	struct hf_udx *udx = stream->udx;
	struct hf_udx_queued_message *message;
	while ((message = stream->messages)) {
		if (!has_room(stream))
			return false;
		struct hf_udx_header header = header_of(stream, HF_UDX_MESSAGE);
		hf_udx_batch_begin(udx, &stream->path, &header, (struct hf_udx_built){stream, 0, HF_UDX_BUILT_OTHER});
		if (message->length)
			hf_udx_batch_piece(udx, message->data, message->length);
		stream->messages = message->next;
		stream->message_count--;
		message->next = udx->sent_messages;
		udx->sent_messages = message;
	}
	stream->messages_last = &stream->messages;
	return true;
}

/* ---- Data ---- */

static double pacing_rate(const struct hf_udx_stream *stream) /* bytes in a microsecond */
{
	return stream->bbr.pacing_rate * stream->mtu.packet_bytes;
}

static void refill(struct hf_udx_stream *stream)
{
	double rate = pacing_rate(stream);
	double most = rate * PACING_BURST_US + PACING_BURST_PACKETS * (double)stream->mtu.packet_bytes;
	double tokens = stream->tokens_bytes + rate * (double)(stream->udx->now_us - stream->tokens_us);
	stream->tokens_us = stream->udx->now_us;
	stream->tokens_bytes = tokens < most ? tokens : most;
}

static double clamp(double value, double least, double most)
{
	return value < least ? least : value > most ? most : value;
}

static bool may_pace(struct hf_udx_stream *stream)
{
	if (stream->tokens_bytes > 0)
		return true;
	double rate = pacing_rate(stream), wait_us = PACING_WAIT_US_MAX;
	if (rate > 0) {
		double together_us = PACING_WAIT_PACKETS * (double)stream->mtu.packet_bytes / rate;
		wait_us = clamp(-stream->tokens_bytes / rate, clamp(together_us, PACING_WAIT_US_MIN, PACING_WAIT_US_LONG), PACING_WAIT_US_MAX);
	}
	hf_udx_deadline_set(stream, HF_UDX_PACING, stream->udx->now_us + (uint64_t)wait_us);
	return false;
}

static const struct hf_udx_old_path *old_path_of(const struct hf_udx_stream *stream, uint32_t seq)
{
	const struct hf_udx_old_path *old = stream->old_paths;
	while (old && hf_udx_seq_distance(seq, old->until) >= 0)
		old = old->next;
	return old;
}

/* Puts a packet that is in no list in flight, and in the batch. */
static void transmit(struct hf_udx_stream *stream, uint32_t seq)
{
	struct hf_udx *udx = stream->udx;
	struct hf_udx_sent *sent = hf_udx_sent_at(stream, seq);
	const struct hf_udx_old_path *old = old_path_of(stream, seq);
	struct hf_udx_header header = header_of(stream, sent->type);
	header.seq = seq;
	header.data_offset = sent->padding;
	if (old)
		header.id = old->remote_id;
	hf_udx_batch_begin(udx, old ? &old->path : &stream->path, &header, (struct hf_udx_built){stream, seq, HF_UDX_BUILT_DATA});
	if (sent->padding)
		hf_udx_batch_piece(udx, padding_bytes, sent->padding);
	if (sent->length)
		hf_udx_batch_end(udx, hf_udx_writes_pieces(sent->write, sent->offset, sent->length, hf_udx_batch_pieces(udx)));
	hf_udx_bbr_sent(&stream->bbr, &sent->stamp, udx->now_us, stream->flight.count);
	sent->sent_us = udx->now_us;
	sent->state = HF_UDX_IN_FLIGHT;
	if (sent->transmissions < UINT8_MAX)
		sent->transmissions++;
	hf_udx_sent_add(stream, &stream->flight, seq);
	stream->tokens_bytes -= HF_UDX_HEADER_BYTES + sent->padding + sent->length;
	if (sent->transmissions > 1) {
		stream->retransmitted_packets++;
		udx->counters.retransmitted_packets++;
	}
	if (stream->deadlines[HF_UDX_RTO] == HF_UDX_NEVER)
		hf_udx_deadline_set(stream, HF_UDX_RTO, udx->now_us + stream->rtt.timeout_us);
	/* The packet has told all that a plain acknowledgement would, but for blocks. */
	if (stream->early_count == 0 && !old)
		stream->owes_ack = false;
}

static bool has_room_for(const struct hf_udx_stream *stream, uint32_t seq)
{
	const struct hf_udx_old_path *old = old_path_of(stream, seq);
	return hf_udx_batch_has_room(stream->udx, old ? old->path.socket : stream->path.socket);
}

static bool send_lost(struct hf_udx_stream *stream)
{
	while (stream->lost.count > 0 && stream->flight.count < stream->bbr.window && may_pace(stream)) {
		uint32_t seq = stream->lost.first;
		const struct hf_udx_old_path *old = old_path_of(stream, seq);
		/* Only the old socket takes nothing: the next timeout tries again, and the others need not wait. */
		if (old && hf_udx_is_blocked(stream->udx, old->path.socket))
			return true;
		if (!has_room_for(stream, seq))
			return false;
		hf_udx_sent_remove(stream, &stream->lost, seq);
		transmit(stream, seq);
	}
	return true;
}

static bool has_new(const struct hf_udx_stream *stream)
{
	return stream->writes.unsent_bytes > 0 || (stream->is_ending && !stream->end_is_sent);
}

/* Makes one packet of what was written, and sends it. False: out of memory; the timer tries again. */
static bool send_new_packet(struct hf_udx_stream *stream)
{
	size_t capacity = hf_udx_capacity(&stream->path, stream->mtu.packet_bytes);
	uint32_t seq = stream->next_seq;
	struct hf_udx_write_queue *writes = &stream->writes;
	struct hf_udx_sent *sent = hf_udx_sent_new(stream);
	if (!sent) {
		hf_udx_deadline_set(stream, HF_UDX_PACING, stream->udx->now_us + 1000);
		return false;
	}
	sent->length = (uint16_t)hf_udx_writes_take(writes, capacity, &sent->write, &sent->offset);
	sent->type = sent->length ? HF_UDX_DATA : 0;
	stream->sent_bytes += sent->length;
	if (stream->is_ending && writes->unsent_bytes == 0) {
		sent->type |= HF_UDX_END;
		stream->end_is_sent = true;
	}
	sent->is_probe = hf_udx_mtu_probe(stream, sent->length, &sent->padding);
	transmit(stream, seq);
	if (stream->is_above_low && writes->unsent_bytes <= HF_UDX_LOW_BYTES) {
		stream->is_above_low = false;
		stream->tells_drained = true;
		hf_udx_make_told(stream);
	}
	return true;
}

static bool is_in_window(struct hf_udx_stream *stream)
{
	uint32_t outstanding = stream->flight.count + stream->lost.count;
	uint32_t remote = stream->remote_window / (uint32_t)hf_udx_capacity(&stream->path, stream->mtu.packet_bytes);
	if (stream->remote_window == 0) {
		if (outstanding == 0 && stream->deadlines[HF_UDX_ZERO_WINDOW] == HF_UDX_NEVER)
			hf_udx_deadline_set(stream, HF_UDX_ZERO_WINDOW, stream->udx->now_us + stream->rtt.timeout_us);
		return false;
	}
	return outstanding < stream->bbr.window && outstanding < (remote ? remote : 1) &&
		stream->next_seq - stream->una < HF_UDX_FLIGHT_COUNT_MAX;
}

static bool send_new(struct hf_udx_stream *stream)
{
	bool is_first = true;
	while (has_new(stream) && is_in_window(stream) && may_pace(stream)) {
		if (!has_room(stream))
			return false;
		if (!send_new_packet(stream))
			return true;
		is_first = false;
	}
	if (!has_new(stream) && stream->lost.count == 0 && stream->flight.count < stream->bbr.window)
		hf_udx_bbr_app_limited(&stream->bbr, stream->flight.count);
	if (!is_first)
		hf_udx_arm_probe(stream);
	return true;
}

/* The tail loss probe: something new, or the last packet again, whatever the windows say. (RFC 8985, 7.3) */
static bool send_probe(struct hf_udx_stream *stream)
{
	uint32_t seq = stream->next_seq;
	if (stream->una == stream->next_seq || stream->phase != HF_UDX_OPEN) {
		stream->owes_probe = false;
		return true;
	}
	if (has_new(stream) && stream->next_seq - stream->una < HF_UDX_FLIGHT_COUNT_MAX) {
		if (!has_room(stream))
			return false;
		stream->owes_probe = false;
		send_new_packet(stream);
		return true;
	}
	while (seq != stream->una && hf_udx_sent_at(stream, seq - 1)->state == HF_UDX_DELIVERED)
		seq--;
	if (seq != stream->una && hf_udx_sent_at(stream, seq - 1)->state == HF_UDX_IN_FLIGHT) {
		if (!has_room_for(stream, seq - 1))
			return false;
		struct hf_udx_sent *sent = hf_udx_sent_at(stream, seq - 1);
		if (sent->is_probe)
			hf_udx_mtu_lost(stream);
		sent->is_probe = false;
		sent->padding = 0;
		hf_udx_sent_remove(stream, &stream->flight, seq - 1);
		transmit(stream, seq - 1);
	}
	stream->owes_probe = false;
	return true;
}

bool hf_udx_stream_send(struct hf_udx_stream *stream)
{
	if (!stream->is_connected)
		return false;
	refill(stream);
	bool is_done = (!stream->owes_ack || stream->early_count == 0 || send_ack(stream)) && send_messages(stream) &&
		(!stream->owes_probe || send_probe(stream)) && send_lost(stream) && (stream->lost.count > 0 || send_new(stream)) &&
		(!stream->owes_ack || send_ack(stream)) && (!stream->owes_heartbeat || send_heartbeat(stream));
	hf_udx_timer_update(stream);
	if (is_done && !stream->owes_ack)
		hf_udx_stream_finish(stream);
	return !is_done;
}
