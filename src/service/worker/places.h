/* places: who of the gateways that a worker knows of has one of its few places, and who has to give up its own for another one.
 *
 * Whoever can make keys can be any number of gateways. So places are kept free for those that discovery.trusted names, which also send
 * others away; and among those that nobody named who came first stays: a newer one gets its place only if it never came to a connection, or
 * was away for longer than it was known before.
 *
 * No I/O, no memory, no clock.
 */
#ifndef HF_SERVICE_WORKER_PLACES_H
#define HF_SERVICE_WORKER_PLACES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HF_WORKER_PROBATION_MS 300000u            /* in which one that was only heard of has to be connected */
#define HF_WORKER_KEEP_MS_MAX (30ull * 86400 * 1000) /* that one which is away is kept for having been known for long */

enum hf_worker_rank {
	HF_WORKER_VISITOR,    /* it has connected to us, and says that it is a gateway */
	HF_WORKER_STRANGER,   /* heard of, and taken because any is */
	HF_WORKER_NAMED,      /* in discovery.trusted, or the successor of one that is */
	HF_WORKER_CONFIGURED, /* in worker.gateways */
};

struct hf_worker_place {
	bool is_free;
	enum hf_worker_rank rank;
	bool is_leaving;      /* it was sent away already */
	bool is_connected, was_connected, is_read; /* the last: clients read the copy of its relay */
	uint64_t known_ms;    /* for how long it has been known */
	uint64_t taken_ms;    /* for how long it has had the place in this run */
};

/* The place for one more of that rank; owed_count places are kept for named ones that were not heard of yet. *leaver: it is somebody's who
 * has to leave first. count: there is none. */
size_t hf_worker_place_for(const struct hf_worker_place *places, size_t count, enum hf_worker_rank rank, size_t owed_count, bool *leaver);
/* Whether one that is neither connected nor heard of for away_ms has lost its place. */
bool hf_worker_place_is_lost(enum hf_worker_rank rank, uint64_t known_ms, uint64_t away_ms, uint64_t forget_ms);

#endif
