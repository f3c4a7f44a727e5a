/* query: runs a REQ's or COUNT's filters against a snapshot, a piece at a time.
 *
 * Each filter is planned from index counts (plan.h): by ids; by the rarest combination of author+kind,
 * tag, author or kind lists, further lists as intersecting clauses; else by time. Every hit is matched against the
 * real filter. Filters run one after the other, each newest first, ties by lowest id. A filter's limit counts events
 * that were emitted; an event that several filters match is emitted once. Expired events (NIP-40) are not emitted.
 * Documents that cannot be read are skipped; the store counts them.
 *
 * A filter for what arrived within the last seconds has its events in any order and is cut by its own limit alone: few candidates are
 * looked at by the index, else what arrived since is read in the order in which it did.
 *
 * A count (NIP-45) is of distinct events over all filters, exact; limits do not apply to it. */
#ifndef HF_DATA_EVENT_QUERY_H
#define HF_DATA_EVENT_QUERY_H

#include "data/event/filter.h"
#include "store/store.h"

enum hf_plan {
	HF_PLAN_IDS,
	HF_PLAN_AUTHOR_KIND,
	HF_PLAN_TAG,
	HF_PLAN_AUTHOR,
	HF_PLAN_KIND,
	HF_PLAN_TIME,
	HF_PLAN_ARRIVAL,
	HF_PLAN_NOTHING,
	HF_PLAN_COUNT
};
const char *hf_plan_name(enum hf_plan plan);

struct hf_event_query_options {
	uint32_t collection;
	const struct hf_filter *filters; /* borrowed until close */
	uint32_t filter_count;
	uint64_t limit_max;              /* a filter's limit when absent or higher; not for counts */
	uint64_t now_s;                  /* for expiry */
	uint64_t arrival_now_ms;         /* that arrived_within_s of filters counts back from */
	bool count_only;
	/* May this reader see it? NULL: everything. Called with a head-only event and the payload. */
	bool (*readable)(void *context, const struct hf_event *head, struct hf_slice payload);
	/* One event, newest first within its filter. A negative return pauses: step returns it, and the same
	 * event is given again at the next step. */
	int (*emit)(void *context, const struct hf_doc *doc);
	void *context;
};

struct hf_event_query;
/* Takes the snapshot (released at close, also when open fails). The options are copied. HF_ENOMEM. */
int hf_event_query_open(struct hf_event_query **out, struct hf_store *store, struct hf_snapshot *snapshot,
	const struct hf_event_query_options *options);
/* Works until done (HF_OK), until `visits_max` documents were looked at (HF_EBUSY: call again), until a page
 * is not resident in resident mode (HF_EWAIT: call again in blocking mode), or until emit refuses. Steps may run on
 * different threads, one at a time. HF_ENOMEM may be tried again; HF_EIO. */
int hf_event_query_step(struct hf_event_query *query, enum hf_read_mode mode, uint32_t visits_max);
/* Between steps: what has expired by now_s is left out from here on. */
void hf_event_query_set_now(struct hf_event_query *query, uint64_t now_s);
uint64_t hf_event_query_count(const struct hf_event_query *query); /* emitted or counted so far */
enum hf_plan hf_event_query_plan(const struct hf_event_query *query); /* of the current filter, at the end the last */
/* A guess of documents to visit, from index counts: small ones run on the loop at once. */
uint64_t hf_event_query_cost(const struct hf_event_query *query);
/* Between steps: the memory that it takes, about, beside its filters. */
size_t hf_event_query_bytes(const struct hf_event_query *query);
void hf_event_query_close(struct hf_event_query *query); /* NULL is fine */

#endif
