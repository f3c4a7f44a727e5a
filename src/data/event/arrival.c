/* Positions are not dense: between two events of a relay others may lie. The first event at or above a position is what is asked. */
#include "data/event/arrival.h"

#include "data/event/event.h"

#define STEP_MIN 4096u /* of positions */

struct look {
	uint64_t received_ms;
};

static int take_first(void *context, const struct hf_doc *doc)
{
	struct look *look = context;
	struct hf_event head;
	struct hf_event_meta meta;
	if (hf_event_unpack_head(doc->payload, &head, &meta) < 0)
		return HF_OK; /* the next one tells, too */
	look->received_ms = meta.received_ms;
	return 1;
}

/* 1: the first event from here on came before since_ms; 0: not, or there is none. */
static int is_before(struct hf_snapshot *snapshot, uint32_t collection, uint64_t position, uint64_t since_ms)
{
	struct look look = {.received_ms = UINT64_MAX};
	int r = hf_snapshot_scan(snapshot, collection, position, take_first, &look);
	return r < 0 ? r : look.received_ms < since_ms;
}

int hf_arrival_position(struct hf_snapshot *snapshot, uint32_t collection, uint64_t since_ms, uint64_t *position)
{
	uint64_t end = hf_snapshot_position(snapshot), low = 0, high = end;
	int r = 0;
	for (uint64_t step = STEP_MIN; r == 0 && high > 0; step *= 2) {
		uint64_t at = step < end ? end - step : 0;
		r = is_before(snapshot, collection, at, since_ms);
		*(r == 0 ? &high : &low) = at;
		if (at == 0)
			break;
	}
	while (r >= 0 && high - low > STEP_MIN && high - low > (end - low) / 8) {
		uint64_t middle = low + (high - low) / 2;
		r = is_before(snapshot, collection, middle, since_ms);
		*(r == 0 ? &high : &low) = middle;
	}
	*position = low;
	return r < 0 ? r : HF_OK;
}
