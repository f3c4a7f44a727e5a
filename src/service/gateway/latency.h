/* latency: percentiles of what was measured lately, in a few hundred bytes that never grow.
 *
 * Four buckets an octave from 64 us to over a minute, so a percentile is right to a fifth. What was counted fades by half every 15 s and is
 * gone after two minutes or so.
 */
#ifndef HF_SERVICE_GATEWAY_LATENCY_H
#define HF_SERVICE_GATEWAY_LATENCY_H

#include <stdint.h>

#define HF_LATENCY_BUCKETS 84
#define HF_LATENCY_HALF_LIFE_US 15000000u
#define HF_LATENCY_ONE 16 /* a sample's weight when it is new */

struct hf_latency {
	uint16_t buckets[HF_LATENCY_BUCKETS]; /* in sixteenths of a sample */
	uint32_t total;
	uint64_t faded_us;
};

void hf_latency_record(struct hf_latency *latency, uint64_t now_us, uint64_t sample_us);
void hf_latency_fade(struct hf_latency *latency, uint64_t now_us);
uint32_t hf_latency_count(const struct hf_latency *latency); /* samples, faded ones in part */
/* The upper bound of the bucket in which the percentile lies; 0 without samples. */
uint64_t hf_latency_percentile_us(const struct hf_latency *latency, unsigned percent);

#endif
