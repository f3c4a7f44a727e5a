/* A binary heap in an array, least deadline first; a timer's place is its index + 1, so that moving or
 * cancelling one is a sift from where it is. */
#include "base/timers.h"

#include <stdlib.h>

#include "base/error.h"

#define TIMERS_CAPACITY_MIN 16

void hf_timers_free(struct hf_timers *timers)
{
	for (size_t i = 0; i < timers->count; i++)
		timers->heap[i]->place = 0;
	free(timers->heap);
	*timers = (struct hf_timers){0};
}

static void put(struct hf_timers *timers, size_t index, struct hf_timer *timer)
{
	timers->heap[index] = timer;
	timer->place = index + 1;
}

static void sift_up(struct hf_timers *timers, size_t index)
{
	struct hf_timer *timer = timers->heap[index];
	while (index > 0) {
		size_t parent = (index - 1) / 2;
		if (timers->heap[parent]->deadline_us <= timer->deadline_us)
			break;
		put(timers, index, timers->heap[parent]);
		index = parent;
	}
	put(timers, index, timer);
}

static void sift_down(struct hf_timers *timers, size_t index)
{
	struct hf_timer *timer = timers->heap[index];
	for (;;) {
		size_t child = 2 * index + 1;
		if (child >= timers->count)
			break;
		if (child + 1 < timers->count &&
		    timers->heap[child + 1]->deadline_us < timers->heap[child]->deadline_us)
			child++;
		if (timer->deadline_us <= timers->heap[child]->deadline_us)
			break;
		put(timers, index, timers->heap[child]);
		index = child;
	}
	put(timers, index, timer);
}

int hf_timer_set(struct hf_timers *timers, struct hf_timer *timer, uint64_t deadline_us)
{
	if (timer->place) {
		timer->deadline_us = deadline_us;
		sift_up(timers, timer->place - 1);
		sift_down(timers, timer->place - 1);
		return HF_OK;
	}
	if (timers->count == timers->capacity) {
		size_t capacity = timers->capacity ? timers->capacity * 2 : TIMERS_CAPACITY_MIN;
		struct hf_timer **heap = realloc(timers->heap, capacity * sizeof *heap);
		if (!heap)
			return HF_ENOMEM;
		timers->heap = heap;
		timers->capacity = capacity;
	}
	timer->deadline_us = deadline_us;
	put(timers, timers->count++, timer);
	sift_up(timers, timers->count - 1);
	return HF_OK;
}

void hf_timer_cancel(struct hf_timers *timers, struct hf_timer *timer)
{
	if (!timer->place)
		return;
	size_t index = timer->place - 1;
	timer->place = 0;
	struct hf_timer *last = timers->heap[--timers->count];
	if (last == timer)
		return;
	put(timers, index, last);
	sift_up(timers, index);
	sift_down(timers, last->place - 1);
}

uint64_t hf_timers_next_us(const struct hf_timers *timers)
{
	return timers->count ? timers->heap[0]->deadline_us : UINT64_MAX;
}

void hf_timers_run(struct hf_timers *timers, uint64_t now_us)
{
	/* As many as were armed at the start: one that sets itself for now cannot hold the loop. */
	for (size_t left = timers->count; left > 0 && hf_timers_next_us(timers) <= now_us && timers->count; left--) {
		struct hf_timer *timer = timers->heap[0];
		hf_timer_cancel(timers, timer);
		timer->fire(timer);
	}
}
