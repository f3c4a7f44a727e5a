/* timers: a queue of deadlines for one loop: a binary heap of embedded nodes.
 *
 * The owner asks hf_timers_next_us for the earliest deadline, sleeps, then calls hf_timers_run. Times are
 * monotonic microseconds. Not thread-safe.
 */
#ifndef HF_BASE_TIMERS_H
#define HF_BASE_TIMERS_H

#include <stddef.h>
#include <stdint.h>

#include "base/api.h"

struct hf_timer {
	uint64_t deadline_us;
	size_t place; /* 1-based place in the heap, 0 when idle */
	void (*fire)(struct hf_timer *timer);
};
struct hf_timers {
	struct hf_timer **heap;
	size_t count, capacity;
};

HF_API void hf_timers_free(struct hf_timers *timers);
/* Arms or moves the timer. HF_ENOMEM leaves it as it was. */
HF_API int hf_timer_set(struct hf_timers *timers, struct hf_timer *timer, uint64_t deadline_us);
HF_API void hf_timer_cancel(struct hf_timers *timers, struct hf_timer *timer); /* idle is fine */
HF_API uint64_t hf_timers_next_us(const struct hf_timers *timers);            /* UINT64_MAX when none */
/* Fires all that are due at now_us; a fired timer is idle before its callback and may be set again. */
HF_API void hf_timers_run(struct hf_timers *timers, uint64_t now_us);

#endif
