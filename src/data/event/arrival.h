/* arrival: where in the order of arrival a time is. (Private to event/.) */
#ifndef HF_DATA_EVENT_ARRIVAL_H
#define HF_DATA_EVENT_ARRIVAL_H

#include "store/store.h"

/* A position from which on all events are that were received at since_ms (Unix time) or later, with few older ones among them. Looks back
 * from the end in steps that double, so that it costs by how far back that is. Where the clock was set back since, it is a place from
 * which on the last of them are. Blocking. HF_ENOMEM, HF_EIO. */
int hf_arrival_position(struct hf_snapshot *snapshot, uint32_t collection, uint64_t since_ms, uint64_t *position);

#endif
