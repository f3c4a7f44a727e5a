/* A bucket is the time at which it is full again: taking one moves that on by the time one takes to come in, and is refused where it would
 * come to lie further ahead than a whole bucket takes to fill. (Generic cell rate algorithm, ITU-T I.371)
 *
 * Eight buckets share a place by a seeded hash of scope, act and owner. */
#include "service/gateway/limits.h"

#include <stdlib.h>

#include "base/map.h"
#include "base/options.h"

#define WAYS 8
#define MINUTE_US UINT64_C(60000000)

struct bucket {
	uint64_t owner; /* hash; 0: free */
	uint64_t full_us;
};

struct hf_limits {
	struct hf_limits_options options; /* zeros replaced by defaults */
	struct bucket *buckets;
};

static uint32_t power_of_two(uint32_t at_least)
{
	uint32_t power = WAYS;
	while (power < at_least && power < 1u << 30)
		power *= 2;
	return power;
}

static int set_options(struct hf_limits *limits, const struct hf_limits_options *given)
{
	struct hf_limits_options own;
	int error = hf_options_take(&own, sizeof own, given);
	if (error)
		return error;
	own.burst_us = own.burst_us ? own.burst_us : 10000000;
	own.bucket_count = power_of_two(own.bucket_count ? own.bucket_count : 65536);
	limits->options = own;
	return HF_OK;
}

int hf_limits_new(struct hf_limits **out, const struct hf_limits_options *options)
{
	struct hf_limits *limits = calloc(1, sizeof *limits);
	if (!limits)
		return HF_ENOMEM;
	int error = set_options(limits, options);
	if (error) {
		free(limits);
		return error;
	}
	*out = limits;
	return HF_OK;
}

void hf_limits_reconfigure(struct hf_limits *limits, const struct hf_limits_options *options)
{
	struct hf_limits_options old = limits->options;
	if (set_options(limits, options))
		return;
	limits->options.seed = old.seed;
	limits->options.bucket_count = old.bucket_count;
}

void hf_limits_free(struct hf_limits *limits)
{
	if (!limits)
		return;
	free(limits->buckets);
	free(limits);
}

static uint64_t owner_of(const struct hf_limits *limits, enum hf_limit_scope scope, enum hf_limit_act act, struct hf_slice who)
{
	uint64_t seed = limits->options.seed + (uint64_t)scope * HF_LIMIT_ACT_COUNT + (uint64_t)act;
	uint64_t owner = hf_hash64(who.data, who.length, seed);
	return owner ? owner : 1;
}

/* The owner's bucket, or the one that is nearest to full, made his. */
static struct bucket *find(const struct hf_limits *limits, uint64_t owner)
{
	uint32_t place_count = limits->options.bucket_count / WAYS;
	struct bucket *place = limits->buckets + (size_t)(owner & (place_count - 1)) * WAYS, *fullest = place;
	for (size_t i = 0; i < WAYS; i++) {
		if (place[i].owner == owner)
			return &place[i];
		if (place[i].full_us < fullest->full_us)
			fullest = &place[i];
	}
	*fullest = (struct bucket){.owner = owner};
	return fullest;
}

int hf_limits_take(struct hf_limits *limits, uint64_t now_us, enum hf_limit_scope scope, enum hf_limit_act act, struct hf_slice who,
	uint64_t *retry_ms)
{
	uint32_t per_minute = limits->options.per_minute[scope][act];
	if (per_minute == 0)
		return HF_OK;
	if (!limits->buckets)
		limits->buckets = calloc(limits->options.bucket_count, sizeof *limits->buckets);
	if (!limits->buckets)
		return HF_OK;
	struct bucket *bucket = find(limits, owner_of(limits, scope, act, who));
	uint64_t one_us = MINUTE_US / per_minute, whole_us = limits->options.burst_us > one_us ? limits->options.burst_us : one_us;
	uint64_t full_us = (bucket->full_us > now_us ? bucket->full_us : now_us) + one_us;
	if (full_us > now_us + whole_us) {
		if (retry_ms)
			*retry_ms = (full_us - now_us - whole_us + 999) / 1000;
		return HF_EBUSY;
	}
	bucket->full_us = full_us;
	return HF_OK;
}

int hf_limits_take_address(struct hf_limits *limits, uint64_t now_us, enum hf_limit_act act, const struct hf_address *address,
	uint64_t *retry_ms)
{
	static const struct hf_address_range ipv4 = {{[10] = 0xff, 0xff}, 96};
	size_t length = hf_address_in_range(address, &ipv4) ? sizeof address->ip : 8;
	return hf_limits_take(limits, now_us, HF_LIMIT_ADDRESS, act, hf_slice(address->ip, length), retry_ms);
}
