/* Acknowledgements that come: packets leave the ring, and tell of the path: its delay, its rate, its largest packet, and which of the
 * packets sent before them are lost. (RFC 8985, 6.2; RFC 6298 for the timeout) */
#include "wire/udx/udx_private.h"

#define RTO_US_MIN 1000000u
#define RTO_US_MAX 30000000u
#define RTT_MIN_WINDOW_US 300000000u
#define RTT_OUTLIER_US 5000000u /* a sample above it must be explained by the variation */
#define REORDERING_DUPLICATES 3u

/* What one datagram acknowledged. */
struct pass {
	struct hf_udx_rate_sample sample;
	uint64_t rtt_sent_us; /* when the newest of those was sent that were sent once only; 0: none */
};

void hf_udx_rtt_sample(struct hf_udx_rtt *rtt, uint64_t now_us, uint64_t sample_us)
{
	uint32_t sample = sample_us > RTO_US_MAX ? RTO_US_MAX : sample_us == 0 ? 1 : (uint32_t)sample_us;
	hf_udx_min_add(&rtt->minimum_us, now_us, RTT_MIN_WINDOW_US, sample);
	if (rtt->smoothed_us == 0) {
		rtt->smoothed_us = sample;
		rtt->variation_us = sample / 2;
	} else {
		uint32_t explained = rtt->smoothed_us + 5 * rtt->variation_us;
		if (sample > RTT_OUTLIER_US && sample > explained)
			sample = explained < RTO_US_MAX ? explained : RTO_US_MAX;
		uint32_t off = sample > rtt->smoothed_us ? sample - rtt->smoothed_us : rtt->smoothed_us - sample;
		rtt->variation_us = (uint32_t)((3 * (uint64_t)rtt->variation_us + off) / 4);
		rtt->smoothed_us = (uint32_t)((7 * (uint64_t)rtt->smoothed_us + sample) / 8);
	}
	uint64_t timeout = rtt->smoothed_us + 4 * (uint64_t)rtt->variation_us;
	rtt->timeout_us = timeout < RTO_US_MIN ? RTO_US_MIN : timeout > RTO_US_MAX ? RTO_US_MAX : (uint32_t)timeout;
}

uint32_t hf_udx_reordering_window(const struct hf_udx_stream *stream)
{
	if (!stream->rack.has_reordered && (stream->phase != HF_UDX_OPEN || stream->delivered_early_count >= REORDERING_DUPLICATES))
		return 0;
	uint32_t window = stream->rtt.minimum_us.value / 4;
	return window < stream->rtt.smoothed_us ? window : stream->rtt.smoothed_us;
}

static void update_rack(struct hf_udx_stream *stream, uint32_t seq, const struct hf_udx_sent *sent)
{
	struct hf_udx_rack *rack = &stream->rack;
	uint64_t rtt_us = stream->udx->now_us - sent->sent_us;
	if (hf_udx_seq_distance(seq + 1, rack->delivered_seq) > 0)
		rack->delivered_seq = seq + 1;
	else if (sent->transmissions == 1)
		rack->has_reordered = true;
	/* It may be the first transmission that was delivered after all. */
	if (sent->transmissions > 1 && rtt_us < stream->rtt.minimum_us.value)
		return;
	if (sent->sent_us > rack->sent_us || (sent->sent_us == rack->sent_us && hf_udx_seq_distance(seq + 1, rack->next_seq) > 0)) {
		rack->sent_us = sent->sent_us;
		rack->next_seq = seq + 1;
		rack->rtt_us = (uint32_t)(rtt_us < RTO_US_MAX ? rtt_us : RTO_US_MAX);
	}
}

static void deliver(struct hf_udx_stream *stream, uint32_t seq, struct pass *pass)
{
	struct hf_udx_sent *sent = hf_udx_sent_at(stream, seq);
	hf_udx_sent_remove(stream, sent->state == HF_UDX_LOST ? &stream->lost : &stream->flight, seq);
	hf_udx_bbr_delivered(&stream->bbr, &pass->sample, &sent->stamp, sent->sent_us, stream->udx->now_us);
	if (sent->transmissions == 1 && sent->sent_us > pass->rtt_sent_us)
		pass->rtt_sent_us = sent->sent_us;
	update_rack(stream, seq, sent);
	if (sent->is_probe)
		hf_udx_mtu_delivered(stream);
}

static void take_cumulative(struct hf_udx_stream *stream, uint32_t ack, struct pass *pass)
{
	size_t length = 0;
	for (; stream->una != ack; stream->una++) {
		struct hf_udx_sent *sent = hf_udx_sent_at(stream, stream->una);
		if (sent->state == HF_UDX_DELIVERED)
			stream->delivered_early_count--;
		else
			deliver(stream, stream->una, pass);
		if (sent->type & HF_UDX_END)
			stream->end_is_acked = true;
		length += sent->length;
	}
	hf_udx_writes_release(stream->udx, &stream->writes, length);
}

static bool is_valid_block(const struct hf_udx_stream *stream, struct hf_udx_block block)
{
	return hf_udx_seq_distance(block.end, stream->next_seq) <= 0 && hf_udx_seq_distance(block.end, block.start) > 0 &&
		hf_udx_seq_distance(block.start, stream->next_seq) < 0 && hf_udx_seq_distance(block.start, stream->una) >= 0;
}

/* Acknowledgements repeat their blocks: what was looked at before is left out. */
static uint32_t skip_seen(const struct hf_udx_stream *stream, struct hf_udx_block block)
{
	for (unsigned i = 0; i < HF_UDX_SEEN_BLOCK_COUNT; i++) {
		const struct hf_udx_block *seen = &stream->seen_blocks[i];
		if (hf_udx_seq_distance(block.start, seen->start) >= 0 && hf_udx_seq_distance(seen->end, block.start) > 0)
			return hf_udx_seq_distance(seen->end, block.end) < 0 ? seen->end : block.end;
	}
	return block.start;
}

static void take_blocks(struct hf_udx_stream *stream, struct hf_slice blocks, struct pass *pass)
{
	struct hf_udx_block last[HF_UDX_SEEN_BLOCK_COUNT] = {{0, 0}};
	unsigned count = 0;
	for (size_t at = 0; at < blocks.length; at += HF_UDX_BLOCK_BYTES) {
		struct hf_udx_block block = hf_udx_block_decode(blocks.data + at);
		if (!is_valid_block(stream, block))
			continue;
		for (uint32_t seq = skip_seen(stream, block); seq != block.end; seq++) {
			struct hf_udx_sent *sent = hf_udx_sent_at(stream, seq);
			if (sent->state == HF_UDX_DELIVERED)
				continue;
			deliver(stream, seq, pass);
			sent->state = HF_UDX_DELIVERED;
			stream->delivered_early_count++;
		}
		last[count++ % HF_UDX_SEEN_BLOCK_COUNT] = block;
	}
	memcpy(stream->seen_blocks, last, sizeof last);
}

static bool was_sent_before(const struct hf_udx_sent *sent, uint32_t seq, const struct hf_udx_rack *rack)
{
	return sent->sent_us < rack->sent_us ||
		(sent->sent_us == rack->sent_us && hf_udx_seq_distance(seq, rack->next_seq) < 0);
}

static uint32_t lose_overdue(struct hf_udx_stream *stream)
{
	uint32_t lost_count = 0;
	uint64_t patience_us = (uint64_t)stream->rack.rtt_us + hf_udx_reordering_window(stream);
	hf_udx_deadline_set(stream, HF_UDX_REORDER, HF_UDX_NEVER);
	while (stream->flight.count > 0) {
		uint32_t seq = stream->flight.first;
		struct hf_udx_sent *sent = hf_udx_sent_at(stream, seq);
		if (!was_sent_before(sent, seq, &stream->rack))
			break;
		if (sent->sent_us + patience_us > stream->udx->now_us) {
			hf_udx_deadline_set(stream, HF_UDX_REORDER, sent->sent_us + patience_us);
			break;
		}
		/* A probe that is too large for the path says nothing about how busy the path is. */
		if (sent->is_probe)
			hf_udx_mtu_lost(stream);
		else
			lost_count++;
		sent->is_probe = false;
		sent->padding = 0;
		hf_udx_sent_lose(stream, seq, false);
		stream->udx->counters.lost_packets++;
	}
	if (lost_count && stream->phase == HF_UDX_OPEN) {
		stream->phase = HF_UDX_RECOVERY;
		stream->high_seq = stream->next_seq;
	}
	return lost_count;
}

static void update_rate(struct hf_udx_stream *stream, struct hf_udx_rate_sample *sample)
{
	sample->is_recovering = stream->phase == HF_UDX_RECOVERY;
	sample->is_losing = stream->phase == HF_UDX_LOSS;
	hf_udx_bbr_update(&stream->bbr, sample, stream->udx->now_us, stream->flight.count);
}

void hf_udx_find_lost(struct hf_udx_stream *stream)
{
	struct hf_udx_rate_sample sample = {.lost_count = lose_overdue(stream)};
	if (sample.lost_count)
		update_rate(stream, &sample);
	if (stream->lost.count)
		hf_udx_make_ready(stream);
}

static void update_window(struct hf_udx_stream *stream, const struct hf_udx_header *header)
{
	int32_t newer = hf_udx_seq_distance(header->seq, stream->window_seq);
	if (hf_udx_seq_distance(header->ack, stream->una) < 0 ||
		!(newer > 0 || (newer == 0 && hf_udx_seq_distance(header->ack, stream->window_ack) >= 0)))
		return;
	bool has_grown = header->window_bytes > stream->remote_window;
	stream->remote_window = header->window_bytes;
	stream->window_seq = header->seq;
	stream->window_ack = header->ack;
	if (!has_grown)
		return;
	hf_udx_deadline_set(stream, HF_UDX_ZERO_WINDOW, HF_UDX_NEVER);
	hf_udx_make_ready(stream);
}

static void drop_old_paths(struct hf_udx_stream *stream)
{
	struct hf_udx_old_path *old;
	while ((old = stream->old_paths) && hf_udx_seq_distance(stream->una, old->until) >= 0) {
		stream->old_paths = old->next;
		free(old);
		if (stream->old_paths)
			continue;
		stream->mtu.is_held = false;
		stream->tells_changed = true;
		hf_udx_make_told(stream);
	}
}

static void judge(struct hf_udx_stream *stream, struct pass *pass)
{
	uint64_t now_us = stream->udx->now_us;
	if (pass->rtt_sent_us) {
		uint64_t rtt_us = now_us - pass->rtt_sent_us;
		hf_udx_rtt_sample(&stream->rtt, now_us, rtt_us);
		pass->sample.rtt_us = rtt_us > UINT32_MAX ? UINT32_MAX : rtt_us ? (uint32_t)rtt_us : 1;
		stream->tlp_is_allowed = true;
	}
	if (stream->phase != HF_UDX_OPEN && hf_udx_seq_distance(stream->una, stream->high_seq) >= 0)
		stream->phase = HF_UDX_OPEN;
	hf_udx_mtu_start(stream);
	pass->sample.lost_count = lose_overdue(stream);
	update_rate(stream, &pass->sample);
	hf_udx_arm_retransmission(stream);
	drop_old_paths(stream);
	hf_udx_flight_rest(stream);
	hf_udx_make_ready(stream);
}

void hf_udx_stream_acked(struct hf_udx_stream *stream, const struct hf_udx_header *header, struct hf_slice datagram)
{
	struct pass pass = {0};
	uint32_t before = stream->una;
	update_window(stream, header);
	if (stream->una == stream->next_seq)
		return;
	if (hf_udx_seq_distance(header->ack, stream->una) > 0)
		take_cumulative(stream, header->ack, &pass);
	if (header->type & HF_UDX_SACK)
		take_blocks(stream, hf_udx_packet_blocks(header, datagram), &pass);
	if (pass.sample.acked_count > 0 || stream->una != before)
		judge(stream, &pass);
	hf_udx_timer_update(stream);
}
