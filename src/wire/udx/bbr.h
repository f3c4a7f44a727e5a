/* bbr: how many packets of a stream may be in flight, and how fast they may leave: BBR version 1, on samples of the delivery rate.
 * (draft-cardwell-iccrg-bbr-congestion-control-00, draft-cheng-iccrg-delivery-rate-estimation)
 *
 * One thing differs: a loss alone does not stop the window from growing for a round. Only when a good part of a round is lost, as when a
 * queue overflows, is as much sent as is delivered; links that lose by themselves are not slowed down.
 *
 * It counts packets and microseconds. The owner tells it of each packet that is sent and delivered, and once for each
 * acknowledgement that something was.
 */
#ifndef HF_WIRE_UDX_BBR_H
#define HF_WIRE_UDX_BBR_H

#include <stdbool.h>
#include <stdint.h>

#define HF_UDX_BBR_WINDOW_INITIAL 32u /* as QUIC began at Google; libudx has 10 */
#define HF_UDX_BBR_WINDOW_MIN 4u

/* A minimum over a window of time: a sample that is not above it, or after the window's end, takes its place. */
struct hf_udx_min {
	uint32_t value;
	uint64_t at_us; /* 0: no sample yet */
};
void hf_udx_min_add(struct hf_udx_min *min, uint64_t now_us, uint64_t window_us, uint32_t sample);

/* What is remembered with each packet when it is sent. */
struct hf_udx_rate_stamp {
	uint64_t delivered_us, first_sent_us;
	uint32_t delivered;
	bool is_app_limited;
};
/* What an acknowledgement brought. Zero-initialise; hf_udx_bbr_delivered fills it. */
struct hf_udx_rate_sample {
	uint64_t prior_us, send_interval_us;
	uint32_t prior_delivered, acked_count, lost_count;
	uint32_t rtt_us; /* 0: none */
	bool is_app_limited, is_recovering, is_losing; /* the stream's phase: fast recovery, after a timeout */
};

enum hf_udx_bbr_mode { HF_UDX_STARTUP, HF_UDX_DRAIN, HF_UDX_PROBE_BANDWIDTH, HF_UDX_PROBE_RTT };

struct hf_udx_bbr {
	double bandwidths[3]; /* packets in a microsecond: the best, and what would follow it */
	uint32_t bandwidth_rounds[3];
	double pacing_rate; /* packets in a microsecond */
	double full_bandwidth;
	float pacing_gain, window_gain;
	uint64_t delivered_us, first_sent_us;
	uint64_t cycle_us, probe_rtt_done_us;
	uint64_t aggregate_us; /* since when acknowledgements are counted together */
	struct hf_udx_min rtt_min;
	uint32_t delivered; /* packets, of all time; wraps */
	uint32_t app_limited_until; /* delivered; 0: not limited */
	uint32_t round_count, next_round_delivered, round_begin_delivered, round_lost;
	uint32_t window, prior_window;
	uint32_t aggregate_acked, extra_acked[2], extra_acked_round;
	uint8_t mode, cycle, full_count, extra_acked_index;
	bool is_round_start : 1, is_full : 1, has_rtt : 1, is_conserving : 1, probe_rtt_round_done : 1, was_idle : 1;
	bool was_recovering : 1, was_losing : 1;
};

void hf_udx_bbr_init(struct hf_udx_bbr *bbr, uint64_t now_us);
/* A packet is sent, while so many others are in flight. */
void hf_udx_bbr_sent(struct hf_udx_bbr *bbr, struct hf_udx_rate_stamp *stamp, uint64_t now_us, uint32_t in_flight);
/* A packet, sent at sent_us, is delivered. */
void hf_udx_bbr_delivered(struct hf_udx_bbr *bbr, struct hf_udx_rate_sample *sample, const struct hf_udx_rate_stamp *stamp,
	uint64_t sent_us, uint64_t now_us);
/* All packets of an acknowledgement have been told; in_flight is what is left. */
void hf_udx_bbr_update(struct hf_udx_bbr *bbr, const struct hf_udx_rate_sample *sample, uint64_t now_us, uint32_t in_flight);
/* A retransmission timeout; in_flight is what is left of it after the loss. */
void hf_udx_bbr_timeout(struct hf_udx_bbr *bbr, uint32_t in_flight);
/* There was nothing to send though more might be in flight. */
static inline void hf_udx_bbr_app_limited(struct hf_udx_bbr *bbr, uint32_t in_flight)
{
	uint32_t until = bbr->delivered + in_flight;
	bbr->app_limited_until = until ? until : 1;
}

#endif
