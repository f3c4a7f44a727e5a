/* The gains and lengths are those of the draft. Bandwidth is a windowed maximum over rounds, kept as three candidates: the best of the
 * window, the best since, and the best since that (the filter of Kathleen Nichols in Linux' win_minmax). */
#include "wire/udx/bbr.h"

#include <string.h>

#define HIGH_GAIN 2.88539f /* 2/ln 2 */
#define WINDOW_GAIN 2.0f
#define PACING_MARGIN 0.99
#define BANDWIDTH_ROUNDS 10
#define RTT_WINDOW_US 10000000u
#define PROBE_RTT_US 200000u
#define FULL_GROWTH 1.25
#define FULL_ROUNDS 3
#define CYCLE_COUNT 8
#define CYCLE_FIRST 4
#define EXTRA_ACKED_ROUNDS 5
#define EXTRA_ACKED_US_MAX 100000.0
#define INITIAL_RTT_US 1000.0
/* Packets that may leave in one go, and that a window therefore needs beyond the path's own. */
#define BURST_US 1000.0
#define BURST_MIN 2u
#define BURST_MAX 64u
#define WINDOW_MAX 65536u
#define CONSERVE_LOSS 0.15 /* of a round */
#define CONSERVE_COUNT_MIN 8u

static const float cycle_gains[CYCLE_COUNT] = {1.25f, 0.75f, 1, 1, 1, 1, 1, 1};

void hf_udx_min_add(struct hf_udx_min *min, uint64_t now_us, uint64_t window_us, uint32_t sample)
{
	if (min->at_us == 0 || sample <= min->value || now_us - min->at_us > window_us) {
		min->value = sample;
		min->at_us = now_us ? now_us : 1;
	}
}

static uint32_t larger(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static void set_candidate(struct hf_udx_bbr *bbr, int from, double value)
{
	for (int i = from; i < 3; i++) {
		bbr->bandwidths[i] = value;
		bbr->bandwidth_rounds[i] = bbr->round_count;
	}
}

static void drop_best(struct hf_udx_bbr *bbr, double value)
{
	bbr->bandwidths[0] = bbr->bandwidths[1];
	bbr->bandwidth_rounds[0] = bbr->bandwidth_rounds[1];
	bbr->bandwidths[1] = bbr->bandwidths[2];
	bbr->bandwidth_rounds[1] = bbr->bandwidth_rounds[2];
	set_candidate(bbr, 2, value);
}

static void add_bandwidth(struct hf_udx_bbr *bbr, double value)
{
	uint32_t now = bbr->round_count;
	if (value >= bbr->bandwidths[0] || now - bbr->bandwidth_rounds[2] > BANDWIDTH_ROUNDS) {
		set_candidate(bbr, 0, value);
		return;
	}
	if (value >= bbr->bandwidths[1])
		set_candidate(bbr, 1, value);
	else if (value >= bbr->bandwidths[2])
		set_candidate(bbr, 2, value);
	uint32_t age = now - bbr->bandwidth_rounds[0];
	if (age > BANDWIDTH_ROUNDS) {
		drop_best(bbr, value);
		if (now - bbr->bandwidth_rounds[0] > BANDWIDTH_ROUNDS)
			drop_best(bbr, value);
	} else if (bbr->bandwidth_rounds[1] == bbr->bandwidth_rounds[0] && age > BANDWIDTH_ROUNDS / 4) {
		set_candidate(bbr, 1, value);
	} else if (bbr->bandwidth_rounds[2] == bbr->bandwidth_rounds[1] && age > BANDWIDTH_ROUNDS / 2) {
		set_candidate(bbr, 2, value);
	}
}

static double bandwidth(const struct hf_udx_bbr *bbr)
{
	return bbr->bandwidths[0];
}

static uint32_t burst(const struct hf_udx_bbr *bbr)
{
	double packets = bbr->pacing_rate * BURST_US;
	return packets >= BURST_MAX ? BURST_MAX : larger(BURST_MIN, (uint32_t)packets);
}

static uint32_t to_count(double packets)
{
	return packets >= WINDOW_MAX ? WINDOW_MAX : (uint32_t)packets;
}

/* What fills the path `gain` times. */
static uint32_t bandwidth_delay(const struct hf_udx_bbr *bbr, double gain)
{
	if (bbr->rtt_min.at_us == 0)
		return HF_UDX_BBR_WINDOW_INITIAL;
	return to_count(bandwidth(bbr) * bbr->rtt_min.value * gain + 0.999);
}

static uint32_t in_flight_target(const struct hf_udx_bbr *bbr, double gain)
{
	uint32_t target = bandwidth_delay(bbr, gain) + 3 * burst(bbr);
	if (bbr->mode == HF_UDX_PROBE_BANDWIDTH && bbr->cycle == 0)
		target += 2;
	return target;
}

static void set_pacing_rate(struct hf_udx_bbr *bbr)
{
	double rate = bandwidth(bbr) * bbr->pacing_gain * PACING_MARGIN;
	if (!bbr->has_rtt && bbr->rtt_min.at_us != 0) {
		bbr->has_rtt = true;
		bbr->pacing_rate = HIGH_GAIN * bbr->window / (double)larger(bbr->rtt_min.value, 1);
	}
	if (rate > 0 && (bbr->is_full || rate > bbr->pacing_rate))
		bbr->pacing_rate = rate;
}

void hf_udx_bbr_init(struct hf_udx_bbr *bbr, uint64_t now_us)
{
	memset(bbr, 0, sizeof *bbr);
	bbr->window = HF_UDX_BBR_WINDOW_INITIAL;
	bbr->pacing_gain = bbr->window_gain = HIGH_GAIN;
	bbr->pacing_rate = HIGH_GAIN * HF_UDX_BBR_WINDOW_INITIAL / INITIAL_RTT_US;
	bbr->delivered_us = bbr->first_sent_us = bbr->aggregate_us = now_us;
}

void hf_udx_bbr_sent(struct hf_udx_bbr *bbr, struct hf_udx_rate_stamp *stamp, uint64_t now_us, uint32_t in_flight)
{
	if (in_flight == 0) {
		bbr->first_sent_us = bbr->delivered_us = now_us;
		if (bbr->app_limited_until) {
			bbr->was_idle = true;
			bbr->aggregate_us = now_us;
			bbr->aggregate_acked = 0;
			/* After a pause the rate is what was measured before it. */
			if (bbr->mode == HF_UDX_PROBE_BANDWIDTH)
				bbr->pacing_rate = bandwidth(bbr) * PACING_MARGIN;
		}
	}
	stamp->delivered = bbr->delivered;
	stamp->delivered_us = bbr->delivered_us;
	stamp->first_sent_us = bbr->first_sent_us;
	stamp->is_app_limited = bbr->app_limited_until != 0;
}

void hf_udx_bbr_delivered(struct hf_udx_bbr *bbr, struct hf_udx_rate_sample *sample, const struct hf_udx_rate_stamp *stamp,
	uint64_t sent_us, uint64_t now_us)
{
	bbr->delivered++;
	bbr->delivered_us = now_us;
	sample->acked_count++;
	/* The packet that was sent last tells most. */
	if (sample->acked_count > 1 && (int32_t)(stamp->delivered - sample->prior_delivered) < 0)
		return;
	sample->prior_delivered = stamp->delivered;
	sample->prior_us = stamp->delivered_us;
	sample->is_app_limited = stamp->is_app_limited;
	sample->send_interval_us = sent_us - stamp->first_sent_us;
	bbr->first_sent_us = sent_us;
}

static void update_bandwidth(struct hf_udx_bbr *bbr, const struct hf_udx_rate_sample *sample, uint64_t now_us)
{
	bbr->is_round_start = false;
	if ((int32_t)(sample->prior_delivered - bbr->next_round_delivered) >= 0) {
		bbr->next_round_delivered = bbr->round_begin_delivered = bbr->delivered;
		bbr->round_lost = 0;
		bbr->round_count++;
		bbr->is_round_start = true;
		bbr->is_conserving = false;
	}
	uint64_t ack_interval_us = now_us - sample->prior_us;
	uint64_t interval_us = sample->send_interval_us > ack_interval_us ? sample->send_interval_us : ack_interval_us;
	if (interval_us == 0 || (bbr->rtt_min.at_us && interval_us < bbr->rtt_min.value))
		return;
	double value = (double)(bbr->delivered - sample->prior_delivered) / (double)interval_us;
	if (!sample->is_app_limited || value >= bandwidth(bbr))
		add_bandwidth(bbr, value);
}

/* How much more was acknowledged together than the bandwidth explains: links and hosts that collect acknowledgements. */
static void update_aggregation(struct hf_udx_bbr *bbr, uint32_t acked, uint64_t now_us)
{
	if (bbr->is_round_start && ++bbr->extra_acked_round >= EXTRA_ACKED_ROUNDS) {
		bbr->extra_acked_round = 0;
		bbr->extra_acked_index ^= 1;
		bbr->extra_acked[bbr->extra_acked_index] = 0;
	}
	uint32_t expected = to_count(bandwidth(bbr) * (double)(now_us - bbr->aggregate_us));
	if (bbr->aggregate_acked <= expected || bbr->aggregate_acked + acked > WINDOW_MAX) {
		bbr->aggregate_acked = 0;
		bbr->aggregate_us = now_us;
		expected = 0;
	}
	bbr->aggregate_acked += acked;
	uint32_t extra = smaller(bbr->aggregate_acked - smaller(expected, bbr->aggregate_acked), bbr->window);
	bbr->extra_acked[bbr->extra_acked_index] = larger(bbr->extra_acked[bbr->extra_acked_index], extra);
}

static void begin_cycle(struct hf_udx_bbr *bbr, unsigned cycle, uint64_t now_us)
{
	bbr->mode = HF_UDX_PROBE_BANDWIDTH;
	bbr->cycle = (uint8_t)(cycle % CYCLE_COUNT);
	bbr->cycle_us = now_us;
	bbr->pacing_gain = cycle_gains[bbr->cycle];
	bbr->window_gain = WINDOW_GAIN;
}

static void update_cycle(struct hf_udx_bbr *bbr, const struct hf_udx_rate_sample *sample, uint64_t now_us, uint32_t in_flight)
{
	bool is_long = now_us - bbr->cycle_us > bbr->rtt_min.value;
	uint32_t before = in_flight + sample->acked_count + sample->lost_count;
	bool is_over = is_long;
	if (bbr->pacing_gain > 1)
		is_over = is_long && (sample->lost_count > 0 || before >= in_flight_target(bbr, bbr->pacing_gain));
	else if (bbr->pacing_gain < 1)
		is_over = is_long || before <= in_flight_target(bbr, 1);
	if (is_over)
		begin_cycle(bbr, bbr->cycle + 1u, now_us);
}

static void update_mode(struct hf_udx_bbr *bbr, const struct hf_udx_rate_sample *sample, uint64_t now_us, uint32_t in_flight)
{
	if (bbr->mode == HF_UDX_PROBE_BANDWIDTH)
		update_cycle(bbr, sample, now_us, in_flight);
	if (!bbr->is_full && bbr->is_round_start && !sample->is_app_limited) {
		if (bandwidth(bbr) >= bbr->full_bandwidth * FULL_GROWTH) {
			bbr->full_bandwidth = bandwidth(bbr);
			bbr->full_count = 0;
		} else {
			bbr->is_full = ++bbr->full_count >= FULL_ROUNDS;
		}
	}
	if (bbr->mode == HF_UDX_STARTUP && bbr->is_full) {
		bbr->mode = HF_UDX_DRAIN;
		bbr->pacing_gain = 1 / HIGH_GAIN;
		bbr->window_gain = HIGH_GAIN;
	}
	if (bbr->mode == HF_UDX_DRAIN && in_flight <= in_flight_target(bbr, 1))
		begin_cycle(bbr, CYCLE_FIRST, now_us);
}

static void leave_probe_rtt(struct hf_udx_bbr *bbr, uint64_t now_us)
{
	bbr->rtt_min.at_us = now_us;
	bbr->window = larger(bbr->window, bbr->prior_window);
	if (bbr->is_full) {
		begin_cycle(bbr, CYCLE_FIRST, now_us);
		return;
	}
	bbr->mode = HF_UDX_STARTUP;
	bbr->pacing_gain = bbr->window_gain = HIGH_GAIN;
}

static void update_rtt(struct hf_udx_bbr *bbr, uint32_t rtt_us, uint64_t now_us, uint32_t in_flight)
{
	bool is_expired = bbr->rtt_min.at_us && now_us - bbr->rtt_min.at_us > RTT_WINDOW_US;
	if (rtt_us)
		hf_udx_min_add(&bbr->rtt_min, now_us, RTT_WINDOW_US, rtt_us);
	if (is_expired && !bbr->was_idle && bbr->mode != HF_UDX_PROBE_RTT) {
		bbr->mode = HF_UDX_PROBE_RTT;
		bbr->pacing_gain = bbr->window_gain = 1;
		bbr->prior_window = bbr->window;
		bbr->probe_rtt_done_us = 0;
	}
	if (bbr->mode == HF_UDX_PROBE_RTT) {
		hf_udx_bbr_app_limited(bbr, in_flight);
		if (bbr->probe_rtt_done_us == 0 && in_flight <= HF_UDX_BBR_WINDOW_MIN) {
			bbr->probe_rtt_done_us = now_us + PROBE_RTT_US;
			bbr->probe_rtt_round_done = false;
			bbr->next_round_delivered = bbr->delivered;
		} else if (bbr->probe_rtt_done_us) {
			if (bbr->is_round_start)
				bbr->probe_rtt_round_done = true;
			if (bbr->probe_rtt_round_done && now_us >= bbr->probe_rtt_done_us)
				leave_probe_rtt(bbr, now_us);
		}
	}
	bbr->was_idle = false;
}

/* For a round after so much was lost, as much is sent as is delivered. */
static bool is_overflowing(const struct hf_udx_bbr *bbr)
{
	double all = (double)bbr->round_lost + (double)(bbr->delivered - bbr->round_begin_delivered);
	return bbr->round_lost >= CONSERVE_COUNT_MIN && (double)bbr->round_lost > all * CONSERVE_LOSS;
}

/* Returns whether the window is what conservation says. */
static bool conserve(struct hf_udx_bbr *bbr, const struct hf_udx_rate_sample *sample, uint32_t in_flight)
{
	bool was_repairing = bbr->was_recovering || bbr->was_losing, is_repairing = sample->is_recovering || sample->is_losing;
	bbr->round_lost += sample->lost_count;
	if (is_repairing && !was_repairing)
		bbr->prior_window = larger(bbr->window, bbr->mode == HF_UDX_PROBE_RTT ? bbr->prior_window : 0);
	if (sample->lost_count && sample->is_recovering && !bbr->is_conserving && is_overflowing(bbr)) {
		bbr->is_conserving = true;
		bbr->next_round_delivered = bbr->delivered;
		bbr->window = in_flight + sample->acked_count;
	} else if (was_repairing && !is_repairing) {
		bbr->window = larger(bbr->window, bbr->prior_window);
		bbr->is_conserving = false;
	}
	bbr->was_recovering = sample->is_recovering;
	bbr->was_losing = sample->is_losing;
	if (bbr->is_conserving)
		bbr->window = larger(bbr->window, in_flight + sample->acked_count);
	return bbr->is_conserving;
}

static void set_window(struct hf_udx_bbr *bbr, const struct hf_udx_rate_sample *sample, uint32_t in_flight)
{
	if (!conserve(bbr, sample, in_flight)) {
		uint32_t target = in_flight_target(bbr, bbr->window_gain);
		if (bbr->is_full) {
			uint32_t extra = larger(bbr->extra_acked[0], bbr->extra_acked[1]);
			target += smaller(extra, to_count(bandwidth(bbr) * EXTRA_ACKED_US_MAX));
			bbr->window = smaller(bbr->window + sample->acked_count, target);
		} else if (bbr->window < target || bbr->delivered < HF_UDX_BBR_WINDOW_INITIAL) {
			bbr->window += sample->acked_count;
		}
		bbr->window = larger(bbr->window, HF_UDX_BBR_WINDOW_MIN);
	}
	bbr->window = smaller(bbr->window, WINDOW_MAX);
	if (bbr->mode == HF_UDX_PROBE_RTT)
		bbr->window = smaller(bbr->window, HF_UDX_BBR_WINDOW_MIN);
}

void hf_udx_bbr_update(struct hf_udx_bbr *bbr, const struct hf_udx_rate_sample *sample, uint64_t now_us, uint32_t in_flight)
{
	if (bbr->app_limited_until && (int32_t)(bbr->delivered - bbr->app_limited_until) > 0)
		bbr->app_limited_until = 0;
	if (sample->acked_count) {
		update_bandwidth(bbr, sample, now_us);
		update_aggregation(bbr, sample->acked_count, now_us);
	} else {
		bbr->is_round_start = false;
	}
	update_mode(bbr, sample, now_us, in_flight);
	update_rtt(bbr, sample->rtt_us, now_us, in_flight);
	set_pacing_rate(bbr);
	set_window(bbr, sample, in_flight);
}

void hf_udx_bbr_timeout(struct hf_udx_bbr *bbr, uint32_t in_flight)
{
	if (!bbr->was_losing && !bbr->was_recovering)
		bbr->prior_window = larger(bbr->window, bbr->mode == HF_UDX_PROBE_RTT ? bbr->prior_window : 0);
	bbr->was_losing = true;
	bbr->was_recovering = false;
	bbr->is_conserving = false;
	bbr->full_bandwidth = 0;
	bbr->full_count = 0;
	bbr->window = in_flight + 1;
}
