/* Bucket 0 is below 64 us; then four an octave, by the two bits behind the highest one. */
#include "service/gateway/latency.h"

#include <string.h>

#define LOWEST_OCTAVE 6

static unsigned bucket_of(uint64_t sample_us)
{
	if (sample_us < 1u << LOWEST_OCTAVE)
		return 0;
	unsigned octave = 63 - (unsigned)__builtin_clzll(sample_us);
	unsigned bucket = 1 + 4 * (octave - LOWEST_OCTAVE) + (unsigned)(sample_us >> (octave - 2) & 3);
	return bucket < HF_LATENCY_BUCKETS ? bucket : HF_LATENCY_BUCKETS - 1;
}

static uint64_t upper_us(unsigned bucket)
{
	if (bucket == 0)
		return 1u << LOWEST_OCTAVE;
	unsigned octave = LOWEST_OCTAVE + (bucket - 1) / 4;
	return (UINT64_C(1) << octave) + (((bucket - 1) % 4 + UINT64_C(1)) << (octave - 2));
}

static void halve(struct hf_latency *latency, unsigned times)
{
	latency->total = 0;
	for (unsigned i = 0; i < HF_LATENCY_BUCKETS; i++) {
		latency->buckets[i] = (uint16_t)(times < 16 ? latency->buckets[i] >> times : 0);
		latency->total += latency->buckets[i];
	}
}

void hf_latency_fade(struct hf_latency *latency, uint64_t now_us)
{
	uint64_t times = now_us > latency->faded_us ? (now_us - latency->faded_us) / HF_LATENCY_HALF_LIFE_US : 0;
	if (times == 0)
		return;
	latency->faded_us += times * HF_LATENCY_HALF_LIFE_US;
	if (latency->total > 0)
		halve(latency, times < 16 ? (unsigned)times : 16);
}

void hf_latency_record(struct hf_latency *latency, uint64_t now_us, uint64_t sample_us)
{
	hf_latency_fade(latency, now_us);
	unsigned bucket = bucket_of(sample_us);
	if (latency->buckets[bucket] > UINT16_MAX - HF_LATENCY_ONE)
		halve(latency, 1);
	latency->buckets[bucket] = (uint16_t)(latency->buckets[bucket] + HF_LATENCY_ONE);
	latency->total += HF_LATENCY_ONE;
}

uint32_t hf_latency_count(const struct hf_latency *latency)
{
	return (latency->total + HF_LATENCY_ONE - 1) / HF_LATENCY_ONE;
}

uint64_t hf_latency_percentile_us(const struct hf_latency *latency, unsigned percent)
{
	uint64_t wanted = ((uint64_t)latency->total * percent + 99) / 100, seen = 0;
	if (latency->total == 0)
		return 0;
	for (unsigned i = 0; i < HF_LATENCY_BUCKETS; i++) {
		seen += latency->buckets[i];
		if (seen >= wanted && seen > 0)
			return upper_us(i);
	}
	return upper_us(HF_LATENCY_BUCKETS - 1);
}
