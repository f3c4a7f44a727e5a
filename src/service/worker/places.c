/* A place is given to the one of higher rank; within a rank the least settled leaves. */
#include "service/worker/places.h"

static bool has_to_leave_for(const struct hf_worker_place *p, enum hf_worker_rank rank)
{
	if (p->is_free || p->is_leaving)
		return false;
	if (rank >= HF_WORKER_NAMED)
		return p->rank < HF_WORKER_NAMED;
	if (p->rank > rank || p->is_connected || p->is_read)
		return false;
	return p->rank == HF_WORKER_VISITOR || (!p->was_connected && p->taken_ms >= HF_WORKER_PROBATION_MS);
}

/* What makes a place worth keeping, the most important first. */
static int compare(const struct hf_worker_place *a, const struct hf_worker_place *b)
{
	const uint64_t worth[][2] = {{a->rank, b->rank}, {a->is_connected, b->is_connected}, {a->was_connected, b->was_connected},
		{a->is_read, b->is_read}, {a->known_ms, b->known_ms}, {a->taken_ms, b->taken_ms}};
	for (size_t i = 0; i < sizeof worth / sizeof *worth; i++)
		if (worth[i][0] != worth[i][1])
			return worth[i][0] < worth[i][1] ? -1 : 1;
	return 0;
}

size_t hf_worker_place_for(const struct hf_worker_place *places, size_t count, enum hf_worker_rank rank, size_t owed_count, bool *leaver)
{
	size_t free_count = 0, first_free = count, least = count;
	*leaver = false;
	for (size_t i = 0; i < count; i++) {
		if (places[i].is_free && free_count++ == 0)
			first_free = i;
		if (has_to_leave_for(&places[i], rank) && (least == count || compare(&places[i], &places[least]) < 0))
			least = i;
	}
	if (free_count > (rank >= HF_WORKER_NAMED ? 0 : owed_count))
		return first_free;
	*leaver = least < count;
	return least;
}

bool hf_worker_place_is_lost(enum hf_worker_rank rank, uint64_t known_ms, uint64_t away_ms, uint64_t forget_ms)
{
	uint64_t kept_ms = rank == HF_WORKER_VISITOR ? 0 : known_ms < HF_WORKER_KEEP_MS_MAX ? known_ms : HF_WORKER_KEEP_MS_MAX;
	return rank < HF_WORKER_CONFIGURED && away_ms >= forget_ms + kept_ms;
}
