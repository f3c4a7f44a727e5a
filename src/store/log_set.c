/* The segments in use are an immutable, reference-counted set, replaced under the lock when a segment is begun or
 * collected; a reader takes the set and needs no lock while it reads. A set orders its segments by base, and each begins
 * where the one before it ends or, when some were removed between, after it. The last segment grows
 * in place: its length is raised after the bytes are written. */
#include "store/log_segment.h"

#include <stdio.h>
#include <stdlib.h>

struct hf_log_set *hf_log_set_new(size_t count)
{
	struct hf_log_set *set = calloc(1, sizeof *set + count * sizeof set->segments[0]);

	if (set != NULL) {
		set->references = 1;
		set->count = count;
	}
	return set;
}

struct hf_log_set *hf_log_pin(struct hf_log *log)
{
	pthread_mutex_lock(&log->lock);
	struct hf_log_set *set = log->set;

	atomic_fetch_add_explicit(&set->references, 1, memory_order_relaxed);
	pthread_mutex_unlock(&log->lock);
	return set;
}

void hf_log_unpin(struct hf_log_set *set)
{
	if (set == NULL || atomic_fetch_sub(&set->references, 1) != 1)
		return;
	for (size_t i = 0; i < set->count; i++)
		hf_log_segment_unref(set->segments[i]);
	free(set);
}

/* A copy of the present set with room for `more` segments. */
static struct hf_log_set *set_copy(const struct hf_log_set *from, size_t more)
{
	struct hf_log_set *set = hf_log_set_new(from->count + more);

	if (set == NULL)
		return NULL;
	for (size_t i = 0; i < from->count; i++) {
		set->segments[i] = from->segments[i];
		atomic_fetch_add(&set->segments[i]->references, 1);
	}
	return set;
}

/* The copy is made under the lock, because the writer may begin a segment at the same time. */
int hf_log_replace_segment(struct hf_log *log, struct hf_log_segment *segment, uint64_t dead_before)
{
	struct hf_log_set *old, *set;
	int status = HF_ENOTFOUND;

	pthread_mutex_lock(&log->lock);
	old = log->set;
	set = set_copy(old, 0);
	if (set == NULL) {
		pthread_mutex_unlock(&log->lock);
		return HF_ENOMEM;
	}
	for (size_t i = 0; i < set->count; i++) {
		if (set->segments[i]->number != segment->number)
			continue;
		uint64_t dead = set->segments[i]->dead_bytes;

		/* What died while the segment was rewritten may have been copied. */
		segment->dead_bytes = dead > dead_before ? dead - dead_before : 0;
		hf_log_segment_unref(set->segments[i]);
		set->segments[i] = segment;
		atomic_fetch_add(&segment->references, 1);
		status = HF_OK;
	}
	log->set = set;
	pthread_mutex_unlock(&log->lock);
	hf_log_unpin(old);
	return status;
}

int hf_log_remove_segment(struct hf_log *log, uint32_t number)
{
	struct hf_log_set *old, *set;

	pthread_mutex_lock(&log->lock);
	old = log->set;
	set = set_copy(old, 0);
	if (set != NULL) {
		set->count = 0;
		for (size_t i = 0; i < old->count; i++) {
			if (old->segments[i]->number == number)
				hf_log_segment_unref(old->segments[i]); /* the copy's reference */
			else
				set->segments[set->count++] = old->segments[i];
		}
		log->set = set;
	}
	pthread_mutex_unlock(&log->lock);
	if (set == NULL)
		return HF_ENOMEM;
	hf_log_unpin(old);
	return HF_OK;
}

int hf_log_add_segment(struct hf_log *log, struct hf_log_segment *segment)
{
	pthread_mutex_lock(&log->lock);
	struct hf_log_set *old = log->set;
	struct hf_log_set *set = set_copy(old, 1);

	if (set != NULL) {
		set->segments[set->count - 1] = segment;
		log->set = set;
		log->last = segment;
	}
	pthread_mutex_unlock(&log->lock);
	if (set == NULL)
		return HF_ENOMEM;
	hf_log_unpin(old);
	return HF_OK;
}

struct hf_log_segment *hf_log_set_find(const struct hf_log_set *set, uint64_t position)
{
	size_t low = 0, high = set->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (set->segments[middle]->base <= position)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0)
		return NULL;
	struct hf_log_segment *segment = set->segments[low - 1];

	return position - segment->base < atomic_load_explicit(&segment->length, memory_order_acquire) ? segment : NULL;
}

/* ---- Accounts ---- */

size_t hf_log_set_count(const struct hf_log_set *set)
{
	return set->count;
}

struct hf_log_segment_info hf_log_set_info(const struct hf_log_set *set, size_t segment)
{
	return hf_log_segment_describe(set->segments[segment]);
}

int hf_log_set_check(const struct hf_log_set *set, size_t segment)
{
	struct hf_log_segment *s = set->segments[segment];

	return s->unreadable ? HF_ECORRUPT : hf_log_segment_check_header(s);
}

void hf_log_set_name(const struct hf_log_set *set, size_t segment, char name[static 32])
{
	char file[32];

	hf_log_file_name(set->segments[segment]->number, set->segments[segment]->generation, file);
	snprintf(name, 32, "log/%.27s", file);
}

void hf_log_count_dead(struct hf_log *log, uint64_t position, uint64_t bytes)
{
	struct hf_log_set *set = hf_log_pin(log);
	struct hf_log_segment *segment = hf_log_set_find(set, position);

	if (segment != NULL)
		atomic_fetch_add(&segment->dead_bytes, bytes);
	hf_log_unpin(set);
}

void hf_log_set_dead(struct hf_log *log, uint32_t number, uint64_t dead_bytes)
{
	struct hf_log_set *set = hf_log_pin(log);

	for (size_t i = 0; i < set->count; i++)
		if (set->segments[i]->number == number)
			set->segments[i]->dead_bytes = dead_bytes;
	hf_log_unpin(set);
}
