/* limits: how often one address, key or peer may publish and subscribe: token buckets in a table of fixed size.
 *
 * A bucket is one number (the time when it is full again), so that nothing runs while nobody asks. A full table forgets the bucket that is
 * nearest to full among those that share its place, which gives its owner the least. No I/O; the time is handed in.
 */
#ifndef HF_SERVICE_GATEWAY_LIMITS_H
#define HF_SERVICE_GATEWAY_LIMITS_H

#include "base/address.h"
#include "base/bytes.h"
#include "base/error.h"

enum hf_limit_scope { HF_LIMIT_ADDRESS, HF_LIMIT_KEY, HF_LIMIT_PEER, HF_LIMIT_SCOPE_COUNT };
enum hf_limit_act { HF_LIMIT_PUBLISH, HF_LIMIT_SUBSCRIBE, HF_LIMIT_ACT_COUNT };

struct hf_limits_options {
	size_t size;
	uint64_t seed;
	uint32_t per_minute[HF_LIMIT_SCOPE_COUNT][HF_LIMIT_ACT_COUNT]; /* 0: no limit */
	uint64_t burst_us;     /* a full bucket holds what comes in so long, and at least one; 0: 10 s */
	uint32_t bucket_count; /* 0: 65,536; rounded up to a power of two */
};

struct hf_limits;

/* The table is made with the first limit that is asked about: without any, no memory is taken. */
int hf_limits_new(struct hf_limits **out, const struct hf_limits_options *options);
void hf_limits_reconfigure(struct hf_limits *limits, const struct hf_limits_options *options); /* buckets stay */
void hf_limits_free(struct hf_limits *limits); /* NULL is fine */

/* Takes one from the bucket of who. HF_EBUSY: it is empty for *retry_ms (may be NULL) more. When there is no memory for a table nobody is
 * held up. who of addresses: see hf_limits_take_address. */
int hf_limits_take(struct hf_limits *limits, uint64_t now_us, enum hf_limit_scope scope, enum hf_limit_act act, struct hf_slice who,
	uint64_t *retry_ms);
/* An IPv4 address, or the /64 that an IPv6 subscriber has to itself. */
int hf_limits_take_address(struct hf_limits *limits, uint64_t now_us, enum hf_limit_act act, const struct hf_address *address,
	uint64_t *retry_ms);

#endif
