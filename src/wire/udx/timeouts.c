/* A stream has one timer at the earliest of its deadlines. A deadline that moves away leaves the timer where it is: when it fires and
 * nothing is due, it is set anew. So nothing touches the heap for each packet. */
#include "wire/udx/udx_private.h"

#define TIMEOUT_COUNT_MAX 6 /* of one packet; the next one closes the stream */
#define TLP_UNKNOWN_US 1000000u
#define TLP_SLACK_US 2000u /* what the other side may take to answer, and our timers are late */

static uint64_t earliest(const struct hf_udx_stream *stream)
{
	uint64_t at_us = HF_UDX_NEVER;
	for (unsigned i = 0; i < HF_UDX_DEADLINE_COUNT; i++)
		if (stream->deadlines[i] < at_us)
			at_us = stream->deadlines[i];
	return at_us;
}

void hf_udx_timer_update(struct hf_udx_stream *stream)
{
	uint64_t at_us = earliest(stream);
	if (!hf_udx_is_live(stream) || at_us >= stream->timer.deadline_us)
		return;
	/* It is in the heap from the beginning, so that this cannot fail. */
	int code = hf_timer_set(&stream->udx->timers, &stream->timer, at_us);
	assert(code == HF_OK);
	(void)code;
}

void hf_udx_arm_retransmission(struct hf_udx_stream *stream)
{
	bool is_outstanding = stream->flight.count + stream->lost.count > 0;
	hf_udx_deadline_set(stream, HF_UDX_RTO, is_outstanding ? stream->udx->now_us + stream->rtt.timeout_us : HF_UDX_NEVER);
	hf_udx_arm_probe(stream);
}

void hf_udx_arm_probe(struct hf_udx_stream *stream)
{
	hf_udx_deadline_set(stream, HF_UDX_TLP, HF_UDX_NEVER);
	if (stream->flight.count == 0 || stream->phase != HF_UDX_OPEN || stream->delivered_early_count > 0 || !stream->tlp_is_allowed)
		return;
	uint64_t probe_us = stream->rtt.smoothed_us ? 2 * (uint64_t)stream->rtt.smoothed_us + TLP_SLACK_US : TLP_UNKNOWN_US;
	if (stream->udx->now_us + probe_us < stream->deadlines[HF_UDX_RTO])
		hf_udx_deadline_set(stream, HF_UDX_TLP, stream->udx->now_us + probe_us);
}

/* Whether the packet has timed out too often. The oldest one is what the remote waits for: it is sent again first. */
static bool time_out(struct hf_udx_stream *stream, uint32_t seq)
{
	struct hf_udx_sent *sent = hf_udx_sent_at(stream, seq);
	if (sent->is_probe)
		hf_udx_mtu_lost(stream);
	sent->is_probe = false;
	sent->padding = 0;
	hf_udx_sent_lose(stream, seq, seq == stream->una);
	stream->udx->counters.lost_packets++;
	return ++sent->timeouts > TIMEOUT_COUNT_MAX;
}

static void on_rto(struct hf_udx_stream *stream)
{
	uint64_t now_us = stream->udx->now_us;
	bool is_dead = false;
	stream->phase = HF_UDX_LOSS;
	stream->high_seq = stream->next_seq;
	stream->timeouts++;
	stream->udx->counters.timeouts++;
	uint64_t patience_us = (uint64_t)stream->rack.rtt_us + hf_udx_reordering_window(stream);
	if (stream->una != stream->next_seq && hf_udx_sent_at(stream, stream->una)->state == HF_UDX_IN_FLIGHT)
		is_dead = time_out(stream, stream->una);
	while (!is_dead && stream->flight.count > 0) {
		uint32_t seq = stream->flight.first;
		if (hf_udx_sent_at(stream, seq)->sent_us + patience_us > now_us)
			break;
		is_dead = time_out(stream, seq);
	}
	if (is_dead) {
		hf_udx_stream_close(stream, HF_ETIMEOUT);
		return;
	}
	hf_udx_bbr_timeout(&stream->bbr, stream->flight.count);
	hf_udx_deadline_set(stream, HF_UDX_RTO, now_us + 2 * (uint64_t)stream->rtt.timeout_us);
	hf_udx_deadline_set(stream, HF_UDX_TLP, HF_UDX_NEVER);
	hf_udx_deadline_set(stream, HF_UDX_REORDER, HF_UDX_NEVER);
	hf_udx_make_ready(stream);
}

static void on_zero_window(struct hf_udx_stream *stream)
{
	stream->owes_heartbeat = true;
	hf_udx_deadline_set(stream, HF_UDX_ZERO_WINDOW, stream->udx->now_us + 2 * (uint64_t)stream->rtt.timeout_us);
	hf_udx_make_ready(stream);
}

static void on_keep_alive(struct hf_udx_stream *stream)
{
	hf_udx_deadline_set(stream, HF_UDX_KEEP_ALIVE, stream->udx->now_us + stream->keep_alive_ms * UINT64_C(1000));
	if (!stream->is_connected || stream->una != stream->next_seq)
		return;
	stream->owes_heartbeat = true;
	hf_udx_make_ready(stream);
}

static void on_probe(struct hf_udx_stream *stream)
{
	stream->owes_probe = true;
	stream->tlp_is_allowed = false;
	hf_udx_make_ready(stream);
}

static void on_deadline(struct hf_udx_stream *stream, enum hf_udx_deadline which)
{
	switch (which) {
	case HF_UDX_RTO:
		on_rto(stream);
		break;
	case HF_UDX_TLP:
		on_probe(stream);
		break;
	case HF_UDX_REORDER:
		hf_udx_find_lost(stream);
		break;
	case HF_UDX_PACING:
		hf_udx_make_ready(stream);
		break;
	case HF_UDX_ZERO_WINDOW:
		on_zero_window(stream);
		break;
	default:
		on_keep_alive(stream);
	}
}

void hf_udx_timer_fire(struct hf_timer *timer)
{
	struct hf_udx_stream *stream = HF_CONTAINER_OF(timer, struct hf_udx_stream, timer);
	uint64_t now_us = stream->udx->now_us;
	hf_udx_stream_enter(stream);
	for (unsigned i = 0; i < HF_UDX_DEADLINE_COUNT && hf_udx_is_live(stream); i++) {
		if (stream->deadlines[i] > now_us)
			continue;
		hf_udx_deadline_set(stream, i, HF_UDX_NEVER);
		on_deadline(stream, i);
	}
	if (hf_udx_is_live(stream)) {
		int code = hf_timer_set(&stream->udx->timers, &stream->timer, earliest(stream));
		assert(code == HF_OK);
		(void)code;
	}
	hf_udx_stream_leave(stream);
}
