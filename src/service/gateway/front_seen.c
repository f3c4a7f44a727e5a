#include "service/gateway/front_seen.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/bytes.h"
#include "base/error.h"

#define TICK_US 15625u
#define UNSORTED_COUNT_MAX 256

void hf_front_seen_free(struct hf_front_seen *seen)
{
	free(seen->events);
	free(seen->known);
	*seen = (struct hf_front_seen){0};
}

size_t hf_front_seen_bytes(const struct hf_front_seen *seen)
{
	return seen->capacity * sizeof *seen->events + seen->known_capacity * sizeof *seen->known;
}

uint64_t hf_front_seen_latest_s(const struct hf_front_seen *seen, uint64_t now_s)
{
	return seen->newest_s > 0 && seen->newest_s < now_s ? seen->newest_s : now_s;
}

/* ---- What is kept ---- */

static bool is_kept(const struct hf_front_seen_event *event, uint64_t now_us, uint64_t since_s)
{
	return event->created_at_s >= since_s || (uint32_t)(now_us / TICK_US) - event->given <= HF_FRONT_SEEN_KEPT_S * (1000000u / TICK_US);
}

void hf_front_seen_trim(struct hf_front_seen *seen, uint64_t now_us, uint64_t since_s)
{
	size_t kept = 0;
	for (size_t i = 0; i < seen->count; i++)
		if (i + HF_FRONT_SEEN_ALL_MAX >= seen->count || is_kept(&seen->events[i], now_us, since_s))
			seen->events[kept++] = seen->events[i];
	seen->has_forgotten |= kept < seen->count;
	seen->count = kept;
}

static void halve(struct hf_front_seen *seen)
{
	size_t left = HF_FRONT_SEEN_MAX / 2;
	memmove(seen->events, seen->events + seen->count - left, left * sizeof *seen->events);
	seen->count = left;
	seen->has_forgotten = true;
}

static int make_room(struct hf_front_seen *seen, uint64_t now_us, uint64_t since_s)
{
	hf_front_seen_trim(seen, now_us, since_s);
	if (seen->count > HF_FRONT_SEEN_MAX - HF_FRONT_SEEN_MAX / 8)
		halve(seen);
	/* A list that is trimmed for each event would cost too much. */
	size_t wanted = seen->count + (seen->count < 4 ? 1 : seen->count / 4);
	return hf_array_reserve(&seen->events, &seen->capacity, wanted < HF_FRONT_SEEN_MAX ? wanted : HF_FRONT_SEEN_MAX, sizeof *seen->events);
}

/* ---- What is known ---- */

static int compare_ids(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

static void sort_known(struct hf_front_seen *seen)
{
	if (seen->known_count > 1)
		qsort(seen->known, seen->known_count, sizeof *seen->known, compare_ids);
	seen->sorted_count = seen->known_count;
}

static void add_known(struct hf_front_seen *seen, uint64_t id)
{
	if (seen->known_count >= HF_FRONT_SEEN_MAX ||
		hf_array_reserve(&seen->known, &seen->known_capacity, seen->known_count + 1, sizeof *seen->known) < 0)
		return;
	seen->known[seen->known_count++] = id;
	if (seen->known_count - seen->sorted_count > UNSORTED_COUNT_MAX)
		sort_known(seen);
}

int hf_front_seen_note(struct hf_front_seen *seen, const uint8_t id[static 32], uint64_t created_at_s, uint64_t now_us, uint64_t since_s)
{
	uint64_t number = hf_load_be64(id);
	if (seen->count == seen->capacity && make_room(seen, now_us, since_s) < 0)
		return HF_ENOMEM;
	seen->newest_s = created_at_s > seen->newest_s ? created_at_s : seen->newest_s;
	if (seen->is_checking)
		add_known(seen, number);
	seen->events[seen->count++] = (struct hf_front_seen_event){
		.id = number, .given = (uint32_t)(now_us / TICK_US), .created_at_s = created_at_s < UINT32_MAX ? (uint32_t)created_at_s : UINT32_MAX};
	return HF_OK;
}

void hf_front_seen_check(struct hf_front_seen *seen)
{
	free(seen->known);
	seen->known = NULL;
	seen->known_count = seen->known_capacity = seen->sorted_count = 0;
	seen->is_checking = seen->was_checked = true;
	if (seen->count == 0)
		return;
	if (hf_array_reserve(&seen->known, &seen->known_capacity, seen->count, sizeof *seen->known) < 0)
		return;
	for (size_t i = 0; i < seen->count; i++)
		seen->known[i] = seen->events[i].id;
	seen->known_count = seen->count;
	sort_known(seen);
}

void hf_front_seen_end_check(struct hf_front_seen *seen)
{
	seen->is_checking = false;
}

bool hf_front_seen_knows(const struct hf_front_seen *seen, const uint8_t id[static 32])
{
	uint64_t number = hf_load_be64(id);
	bool has_list = seen->known_count > 0;
	for (size_t i = 0; seen->was_checked && !has_list && i < seen->count; i++)
		if (seen->events[i].id == number)
			return true;
	for (size_t i = seen->sorted_count; i < seen->known_count; i++)
		if (seen->known[i] == number)
			return true;
	return seen->sorted_count > 0 && bsearch(&number, seen->known, seen->sorted_count, sizeof number, compare_ids) != NULL;
}
