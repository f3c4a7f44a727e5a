/* dispatcher: which worker does the next job. No I/O and no clock: the caller hands the time in (monotonic, not going back), asks when to
 * come again, and is told what changed for jobs that wait or are under way.
 *
 * A job is one thing that a worker is asked and answers soon: the opening of a stream, a REQ until its EOSE, an EVENT until its OK, an
 * HTTP request until its head. Its number is the dispatcher's own. What lasts longer (an open session, the body of an answer) is counted
 * at the worker beside its jobs.
 *
 * Latency, jobs under way and failures are measured here. What a peer says about itself counts only where it makes the peer look worse:
 * it cannot talk itself into work, nor close its own breaker. Latencies are rolling percentiles that fade within minutes, so that who was
 * slow is asked again.
 *
 * At the bounds: a peer with in_flight_max gets nothing more; a job all of whose peers are full waits, first come first served at each
 * peer, until its deadline; at waiting_max, or waiting_per_flow_max of one flow, it is refused. Of many candidates a sample is looked at,
 * so that a job costs the same among three peers as among thousands. After failures in a row, or too many among the last, the breaker of
 * a peer opens; when its time is over one job at a time tries the peer, and only a success closes it.
 */
#ifndef HF_SERVICE_GATEWAY_DISPATCHER_H
#define HF_SERVICE_GATEWAY_DISPATCHER_H

#include "base/bytes.h"
#include "base/error.h"
#include "base/metrics.h"

#define HF_DISPATCH_CANDIDATE_COUNT_MAX 16 /* looked at for one job */

struct hf_dispatcher;

/* ---- Policy ---- */

/* A peer as a policy sees it: what was measured, and what the peer claims where that is worse. */
struct hf_dispatch_view {
	uint64_t latency_p50_us, latency_p95_us; /* 0 without samples */
	uint32_t sample_count;                   /* behind the percentiles, faded */
	uint64_t waiting_us;                     /* how long the oldest job under way has been so */
	uint32_t in_flight, in_flight_max;       /* weights */
	uint32_t session_count;
	uint32_t failure_permille;               /* of late */
	uint32_t failures_in_a_row;
	uint64_t lag_blocks;
};

struct hf_dispatch_policy {
	uint64_t (*score)(const void *context, const struct hf_dispatch_view *view);  /* the lowest gets the job */
	bool (*is_broken)(const void *context, const struct hf_dispatch_view *view);  /* after a failure: open the breaker? */
	uint64_t (*open_us)(const void *context, uint32_t times_in_a_row);            /* for how long; 1 is the first time */
	bool (*is_too_far_behind)(const void *context, uint64_t lag_blocks);          /* its sessions should go elsewhere */
	const void *context; /* borrowed */
};

/* Weights of the policy that is used when none is given: latency, work under way, failures and lag in one sum. 0: what is in brackets. */
struct hf_dispatch_weights {
	uint64_t prior_latency_us;     /* what a peer without samples is taken for [20 ms] */
	uint64_t in_flight_us;         /* for each unit under way [500 us] */
	uint64_t session_us;           /* for each open session [50 us] */
	uint64_t failure_us;           /* at a failure rate of one, in proportion below [500 ms] */
	uint64_t lag_us;               /* for each block behind [100 us] */
	uint64_t reassign_lag_blocks;  /* so far behind, sessions go elsewhere [500] */
	uint32_t failures_in_a_row_max; /* the breaker opens [5] */
	uint32_t failure_permille_max; /* or at this rate [400], when there are samples enough */
	uint64_t open_us, open_us_max; /* doubled each time in a row up to the maximum [10 s, 10 min] */
};

/* ---- Life ---- */

enum hf_dispatch_refusal {
	HF_DISPATCH_NO_PEERS,  /* none of the peers is here */
	HF_DISPATCH_BROKEN,    /* the breakers of all are open */
	HF_DISPATCH_SATURATED, /* all are full, and so is the queue */
	HF_DISPATCH_FLOW,      /* this flow has too much waiting already */
	HF_DISPATCH_EXPIRED,   /* it waited until its deadline */
	HF_DISPATCH_REFUSAL_COUNT
};

enum hf_dispatch_cause {
	HF_DISPATCH_GONE,    /* the peer is not connected any more */
	HF_DISPATCH_REVOKED, /* it may not work here any more */
	HF_DISPATCH_OVERDUE, /* no answer in time; counted as a failure */
	HF_DISPATCH_OPENED,  /* its breaker opened */
	HF_DISPATCH_BEHIND,  /* its replica is too far behind */
	HF_DISPATCH_DRAINED, /* the operator takes it out */
	HF_DISPATCH_CAUSE_COUNT
};

/* Called from within the calls below, last thing before they return; any call but _free may be made from them. */
struct hf_dispatch_events {
	/* A job that waited goes to the peer, or nowhere and is over. */
	void (*assigned)(void *context, void *owner, uint64_t job, const uint8_t peer[static 32]);
	void (*refused)(void *context, void *owner, uint64_t job, enum hf_dispatch_refusal refusal);
	/* A job under way is over for this peer: ask another. */
	void (*reassign)(void *context, void *owner, uint64_t job, enum hf_dispatch_cause cause);
	/* Sessions with this peer should go to another. Not for peers that are removed: their owner knows. */
	void (*leave)(void *context, const uint8_t peer[static 32], enum hf_dispatch_cause cause);
};

struct hf_dispatcher_options {
	size_t size;
	const struct hf_dispatch_events *events; /* borrowed, as its context and what follows */
	void *context;
	struct hf_metrics *metrics;               /* may be NULL */
	const struct hf_dispatch_policy *policy;  /* NULL: the one below */
	struct hf_dispatch_weights weights;       /* for the policy when none is given */
	uint64_t seed;                            /* decides between equals, and about samples */
	uint32_t peer_count_max;                  /* 0: 16,384 */
	uint32_t in_flight_max;                   /* weight under way at one peer; 0: 256 */
	uint32_t waiting_max;                     /* jobs; 0: 4,096 */
	uint32_t waiting_per_flow_max;            /* 0: 64 */
	uint64_t wait_us;                         /* how long a job may wait; 0: 5 s */
	uint64_t run_us;                          /* how long it may be under way; 0: 15 s */
	uint64_t claim_us;                        /* how long a peer's claims count; 0: 60 s */
};

int hf_dispatcher_new(struct hf_dispatcher **out, const struct hf_dispatcher_options *options);
void hf_dispatcher_free(struct hf_dispatcher *dispatcher); /* NULL is fine; jobs are forgotten without a word */
/* Takes new weights and bounds; jobs that wait or are under way keep their deadlines. */
void hf_dispatcher_reconfigure(struct hf_dispatcher *dispatcher, const struct hf_dispatcher_options *options);

/* ---- Peers ---- */

/* HF_EEXISTS, HF_ETOOBIG at peer_count_max, HF_ENOMEM. A peer that was here within ten minutes finds its failures and breaker again. */
int hf_dispatcher_add(struct hf_dispatcher *dispatcher, uint64_t now_us, const uint8_t peer[static 32]);
/* Its jobs get `reassign` with the cause; unknown is fine. */
void hf_dispatcher_remove(struct hf_dispatcher *dispatcher, uint64_t now_us, const uint8_t peer[static 32], enum hf_dispatch_cause cause);
/* Gets no new jobs until `drained` is false again; sessions are asked to leave. */
void hf_dispatcher_drain(struct hf_dispatcher *dispatcher, uint64_t now_us, const uint8_t peer[static 32], bool drained);

struct hf_dispatch_claims {
	uint64_t latency_us;
	uint32_t in_flight;
	uint32_t failure_permille;
	uint64_t lag_blocks;
};
/* What a peer says of itself. Replaces what it said before. */
void hf_dispatcher_telemetry(struct hf_dispatcher *dispatcher, uint64_t now_us, const uint8_t peer[static 32],
	const struct hf_dispatch_claims *claims);
/* How far behind the gateway sees the peer's replica, itself. */
void hf_dispatcher_lag(struct hf_dispatcher *dispatcher, uint64_t now_us, const uint8_t peer[static 32], uint64_t lag_blocks);
/* A session or body with the peer began (1) or ended (-1). */
void hf_dispatcher_session(struct hf_dispatcher *dispatcher, const uint8_t peer[static 32], int change);
/* Something that is no job failed at the peer: a stream that broke. */
void hf_dispatcher_blame(struct hf_dispatcher *dispatcher, uint64_t now_us, const uint8_t peer[static 32]);

/* ---- Jobs ---- */

struct hf_dispatch_request {
	const uint8_t (*peers)[32]; /* who could do it; those that are not here are passed over */
	size_t peer_count;
	uint32_t weight;            /* 0: 1; more than in_flight_max counts as that */
	uint64_t flow;              /* whose it is: one flow does not crowd out others; 0: nobody's */
	void *owner;                /* for the events */
};

/* HF_OK: the peer has it. HF_EWAIT: it waits, and an event tells. HF_ENOTFOUND, HF_EDENIED, HF_EBUSY: *refusal says why and there is no
 * job; HF_ENOMEM. */
int hf_dispatcher_schedule(struct hf_dispatcher *dispatcher, uint64_t now_us, const struct hf_dispatch_request *request, uint64_t *job,
	uint8_t peer[static 32], enum hf_dispatch_refusal *refusal);

enum hf_dispatch_outcome {
	HF_DISPATCH_OK,
	HF_DISPATCH_FAILED,   /* the peer's fault */
	HF_DISPATCH_ABANDONED, /* nobody's fault: the client went; takes a waiting job out, too */
	HF_DISPATCH_OUTCOME_COUNT
};
/* The job is over. Its time is measured from when the peer got it; of an abandoned job it counts as at least so much. A number that is
 * not known any more is fine. */
void hf_dispatcher_outcome(struct hf_dispatcher *dispatcher, uint64_t now_us, uint64_t job, enum hf_dispatch_outcome outcome);

uint64_t hf_dispatcher_deadline_us(const struct hf_dispatcher *dispatcher); /* UINT64_MAX: none */
void hf_dispatcher_tick(struct hf_dispatcher *dispatcher, uint64_t now_us);

/* ---- Administration ---- */

enum hf_dispatch_breaker { HF_DISPATCH_CLOSED, HF_DISPATCH_OPEN, HF_DISPATCH_HALF_OPEN };
const char *hf_dispatch_refusal_name(enum hf_dispatch_refusal refusal); /* "no-peers" */
const char *hf_dispatch_cause_name(enum hf_dispatch_cause cause);       /* "gone" */
const char *hf_dispatch_breaker_name(enum hf_dispatch_breaker breaker); /* "half-open" */

struct hf_dispatcher_stats {
	uint32_t peer_count, open_count, half_open_count;
	uint32_t in_flight_count, waiting_count; /* jobs */
	uint64_t assigned_count;                 /* those that waited among them */
	uint64_t outcomes[HF_DISPATCH_OUTCOME_COUNT], refusals[HF_DISPATCH_REFUSAL_COUNT], reassigned[HF_DISPATCH_CAUSE_COUNT];
};
void hf_dispatcher_stats(const struct hf_dispatcher *dispatcher, struct hf_dispatcher_stats *stats);

struct hf_dispatch_facts {
	uint8_t peer[32];
	struct hf_dispatch_view view;
	uint64_t score;
	enum hf_dispatch_breaker breaker;
	uint64_t retry_us;      /* when the breaker lets somebody try; monotonic */
	uint32_t waiting_count; /* jobs that could go to it */
	uint64_t assigned_count, failed_count;
	bool is_drained;
};
/* Every peer in no order: *cursor starts at 0; false at the end. Peers that come or go meanwhile may be missed. */
bool hf_dispatcher_next_peer(struct hf_dispatcher *dispatcher, uint64_t now_us, size_t *cursor, struct hf_dispatch_facts *facts);

#endif
