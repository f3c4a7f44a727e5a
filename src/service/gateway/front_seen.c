#include "service/gateway/front_seen.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/bytes.h"

void hf_front_seen_free(struct hf_front_seen *seen)
{
	hf_u64_map_free(&seen->known);
	free(seen->events);
	*seen = (struct hf_front_seen){0};
}

size_t hf_front_seen_bytes(const struct hf_front_seen *seen)
{
	return seen->capacity * sizeof *seen->events + seen->known.capacity * (sizeof(struct hf_u64_slot) + 1);
}

void hf_front_seen_trim(struct hf_front_seen *seen, uint64_t since_s)
{
	size_t kept = 0;
	if (!seen->has_forgotten && seen->count <= HF_FRONT_SEEN_ALL_MAX)
		return;
	for (size_t i = 0; i < seen->count; i++)
		if (seen->events[i].created_at_s >= since_s)
			seen->events[kept++] = seen->events[i];
	seen->has_forgotten |= kept < seen->count;
	seen->count = kept;
	if (kept == 0) {
		free(seen->events);
		seen->events = NULL;
		seen->capacity = 0;
	}
}

static void make_room(struct hf_front_seen *seen, uint64_t since_s)
{
	hf_front_seen_trim(seen, since_s);
	if (seen->count < HF_FRONT_SEEN_MAX)
		return;
	seen->has_forgotten = true;
	seen->count /= 2;
	memmove(seen->events, seen->events + HF_FRONT_SEEN_MAX - seen->count, seen->count * sizeof *seen->events);
}

void hf_front_seen_note(struct hf_front_seen *seen, const uint8_t id[static 32], uint64_t created_at_s, uint64_t since_s)
{
	if (seen->count == seen->capacity && seen->count > 0)
		make_room(seen, since_s);
	if (hf_array_reserve(&seen->events, &seen->capacity, seen->count + 1, sizeof *seen->events) < 0) {
		seen->has_forgotten = true;
		return;
	}
	seen->events[seen->count++] = (struct hf_front_seen_event){hf_load_be64(id), created_at_s};
	if (seen->is_checking)
		hf_u64_map_put(&seen->known, hf_load_be64(id));
}

int hf_front_seen_check(struct hf_front_seen *seen, uint64_t seed)
{
	hf_u64_map_free(&seen->known);
	seen->known.seed = seed;
	seen->is_checking = true;
	for (size_t i = 0; i < seen->count; i++)
		if (!hf_u64_map_put(&seen->known, seen->events[i].id))
			return HF_ENOMEM;
	return HF_OK;
}

void hf_front_seen_end_check(struct hf_front_seen *seen)
{
	seen->is_checking = false;
}

bool hf_front_seen_knows(const struct hf_front_seen *seen, const uint8_t id[static 32])
{
	return seen->known.count > 0 && hf_u64_map_get(&seen->known, hf_load_be64(id)) != NULL;
}
