/* relay_bee_query: answers filters from a relay's bee (relay_bee.h), without I/O: from whatever of it is here, wanting the rest.
 *
 * Of each filter the rows of one kind are walked: of its ids; else of the tag with the fewest values, its authors, its kinds, whichever
 * it has first of these with no more than HF_RELAY_BEE_SOURCES_MAX; else of all events by time. Every event found is checked: its id is the
 * hash of what it says, and the whole filter matches. So rows only suggest, and a bee with rows that lead nowhere, or elsewhere, gives
 * nothing false. Signatures are not checked: the bee's owner has, and clients do.
 *
 * A filter's events come newest first, those of one second by lowest id, as of the store's own query (event/query.h); since and until are
 * both inclusive; a limit is of the newest. An event that several filters match is given once. Times of more than ten digits are not found:
 * their rows are not in the order of time.
 *
 * Live events come by hf_relay_bee_follower, from the bee's blocks as it grows.
 */
#ifndef HF_DATA_RELAY_BEE_QUERY_H
#define HF_DATA_RELAY_BEE_QUERY_H

#include "data/event/filter.h"
#include "data/hyperbee/bee.h"

#define HF_RELAY_BEE_SOURCES_MAX 256    /* ranges of the bee that one filter is answered from at a time */
#define HF_RELAY_BEE_SECOND_COUNT_MAX 4096 /* rows of one second and range that are put in order; more come in groups of so many */

struct hf_relay_bee_query;

struct hf_relay_bee_query_options {
	struct hf_bee_view *view;        /* must outlive the query */
	const struct hf_filter *filters; /* borrowed until close */
	uint32_t filter_count;
	uint64_t limit_max;              /* of a filter, when it says nothing or more */
	uint64_t now_s;                  /* for expiry (NIP-40) */
	/* May this reader see it? NULL: everything. */
	bool (*readable)(void *context, const struct hf_event *event);
	/* One event, borrowed. A negative return pauses: step returns it, and the same event is given again at the next step. */
	int (*emit)(void *context, const struct hf_event *event);
	void *context;
};

/* The options are copied. HF_ENOMEM. */
int hf_relay_bee_query_open(struct hf_relay_bee_query **out, const struct hf_relay_bee_query_options *options);
/* Works until done (HF_OK), until `visits_max` rows and events were looked at (HF_EBUSY: call again), until a block is missing (HF_EWAIT:
 * as of the bee; hf_bee_wait), or until emit refuses. HF_EMALFORMED: it is no bee; HF_ENOMEM may be tried again; and what hf_core_get
 * gives. */
int hf_relay_bee_query_step(struct hf_relay_bee_query *query, uint32_t visits_max);
uint64_t hf_relay_bee_query_count(const struct hf_relay_bee_query *query); /* emitted so far */
size_t hf_relay_bee_query_bytes(const struct hf_relay_bee_query *query);   /* of memory, about */
void hf_relay_bee_query_close(struct hf_relay_bee_query *query);           /* NULL is fine */

/* ---- What comes ---- */

/* The events that are put into the bee from a version on. An event's rows follow it, and are not looked at. Zero at first. */
struct hf_relay_bee_follower {
	struct hf_bee *bee;  /* borrowed */
	uint64_t next, fork; /* the block that is looked at next */
	uint64_t jumped_from; /* 0: block by block */
	struct hf_buffer text;
	struct hf_event event;
};
void hf_relay_bee_follow(struct hf_relay_bee_follower *follower, struct hf_bee *bee, uint64_t version);
/* HF_OK: *event is borrowed until the next call; HF_ENOTFOUND: nothing more yet; HF_ECANCELED: the core was truncated: follow it anew;
 * HF_EWAIT, and the rest as hf_bee_get_seq. */
int hf_relay_bee_follower_next(struct hf_relay_bee_follower *follower, const struct hf_event **event);
void hf_relay_bee_follower_free(struct hf_relay_bee_follower *follower);

#endif
