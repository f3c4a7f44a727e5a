/* plan: how one filter is asked of the index. (Private to event/.)
 *
 * Each member of a filter can become a clause: authors and kinds together while their product is small, authors,
 * kinds, and each tag letter. Index counts say which is the rarest; the store drives by it. A further clause stays
 * only where intersecting costs less than reading and matching the payloads it would spare. */
#ifndef HF_DATA_EVENT_PLAN_H
#define HF_DATA_EVENT_PLAN_H

#include "data/event/query.h"

#define HF_PLAN_PRODUCT_COUNT_MAX 2048 /* author+kind terms of one filter */

struct hf_filter_plan {
	enum hf_plan kind;
	uint32_t clause_count;
	struct hf_clause *clauses; /* into memory, with their terms */
	void *memory;
	uint64_t cost;             /* documents to look at, a guess */
};

/* limit is the filter's effective one; UINT64_MAX for a count. HF_ENOMEM. */
int hf_filter_plan_make(struct hf_filter_plan *plan, const struct hf_store *store, struct hf_snapshot *snapshot,
	uint32_t collection, const struct hf_filter *filter, uint64_t limit);
void hf_filter_plan_free(struct hf_filter_plan *plan);

#endif
