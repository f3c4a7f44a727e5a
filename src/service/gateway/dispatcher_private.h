/* dispatcher_private: peers, jobs and the queues between them, as the dispatcher's parts see them. (Private to service/gateway/.)
 *
 * dispatcher.c has jobs: who gets them, who waits, what is told; dispatcher_peer.c has what is known of peers and their breakers;
 * dispatcher_policy.c the policy that is used when none is given.
 */
#ifndef HF_SERVICE_GATEWAY_DISPATCHER_PRIVATE_H
#define HF_SERVICE_GATEWAY_DISPATCHER_PRIVATE_H

#include "base/list.h"
#include "base/map.h"
#include "base/timers.h"
#include "base/u64_map.h"
#include "service/gateway/dispatcher.h"
#include "service/gateway/latency.h"

#define HF_DISPATCH_REMEMBERED_US 600000000u /* what a peer that left is known for */
#define HF_DISPATCH_PROBE_US 2000000u        /* how long a job that tries a peer may take */

struct hf_dispatch_job;
struct hf_dispatch_peer;

/* A job's place in the queue of one peer. */
struct hf_dispatch_wait {
	struct hf_dispatch_job *job;
	struct hf_dispatch_peer *peer; /* NULL: not queued there */
	struct hf_dispatch_wait *next, *previous;
};

struct hf_dispatch_peer {
	uint8_t key[32];
	struct hf_latency latency;
	uint32_t fine, failed; /* of late; in sixteenths, fading */
	uint64_t faded_us;
	uint32_t failures_in_a_row, times_opened;
	enum hf_dispatch_breaker breaker;
	uint64_t retry_us, closed_us;
	uint64_t probe;        /* the job that tries it; 0: none */
	uint32_t in_flight, in_flight_count, session_count;
	struct hf_dispatch_claims claims;
	uint64_t claimed_us;
	uint64_t lag_blocks;   /* measured */
	struct hf_dispatch_job *running, *running_last; /* the oldest first */
	struct hf_dispatch_wait *waiting, *waiting_last;
	uint32_t waiting_count;
	uint64_t assigned_count, failed_count, left_us;
	struct hf_dispatch_peer *next, *previous;           /* among those that left, the oldest first */
	struct hf_dispatch_peer *next_told;
	enum hf_dispatch_cause leave_cause;
	bool is_here, is_drained, is_behind, is_told;
};

enum hf_dispatch_news { HF_DISPATCH_NEWS_NONE, HF_DISPATCH_NEWS_ASSIGNED, HF_DISPATCH_NEWS_REFUSED, HF_DISPATCH_NEWS_REASSIGN };

struct hf_dispatch_job {
	uint64_t number, flow;
	void *owner;
	struct hf_dispatcher *dispatcher;
	struct hf_timer timer;
	uint32_t weight;
	uint64_t started_us;
	struct hf_dispatch_peer *peer; /* who has it; NULL: it waits, or is over */
	struct hf_dispatch_job *next, *previous; /* of the peer */
	struct hf_dispatch_job *next_told;
	enum hf_dispatch_news news;
	int reason;                    /* a refusal or a cause */
	bool is_over, is_told;
	uint32_t wait_count;
	struct hf_dispatch_wait waits[];
};

struct hf_dispatcher {
	struct hf_dispatcher_options options; /* zeros replaced by defaults */
	struct hf_dispatch_weights weights;
	struct hf_dispatch_policy own_policy;
	const struct hf_dispatch_policy *policy;
	struct hf_map peers;
	struct hf_u64_map jobs, flows; /* by number; how many of a flow wait */
	struct hf_timers timers;
	struct hf_dispatch_peer *left, *left_last;
	uint32_t left_count;
	uint64_t now_us, next_number, random;
	uint32_t in_flight_count, waiting_count;
	struct hf_dispatch_job *told, *told_last;
	struct hf_dispatch_peer *told_peers;
	bool is_telling;
	struct hf_counter assigned, outcomes[HF_DISPATCH_OUTCOME_COUNT], refusals[HF_DISPATCH_REFUSAL_COUNT],
		reassigned[HF_DISPATCH_CAUSE_COUNT];
	struct hf_gauge gauges[5];
};

/* ---- dispatcher_policy.c ---- */
void hf_dispatch_weights_default(struct hf_dispatch_weights *weights);
extern const struct hf_dispatch_policy hf_dispatch_policy_weighted; /* its context is struct hf_dispatch_weights */

/* ---- dispatcher_peer.c ---- */
uint64_t hf_dispatch_random(struct hf_dispatcher *d);
struct hf_dispatch_peer *hf_dispatch_find(const struct hf_dispatcher *d, const uint8_t key[static 32]); /* here, or NULL */
void hf_dispatch_look(struct hf_dispatcher *d, struct hf_dispatch_peer *peer, struct hf_dispatch_view *view);
/* The breaker as of now: one whose time is over is half open. */
enum hf_dispatch_breaker hf_dispatch_breaker_of(struct hf_dispatcher *d, struct hf_dispatch_peer *peer);
void hf_dispatch_fine(struct hf_dispatcher *d, struct hf_dispatch_peer *peer, uint64_t job, uint64_t latency_us);
void hf_dispatch_failed(struct hf_dispatcher *d, struct hf_dispatch_peer *peer, uint64_t job);
void hf_dispatch_forget_left(struct hf_dispatcher *d); /* those that left long ago */

/* ---- dispatcher.c ---- */
/* Nobody may wait for it, and what it has goes elsewhere. */
void hf_dispatch_empty(struct hf_dispatcher *d, struct hf_dispatch_peer *peer, enum hf_dispatch_cause cause, bool running_too);
void hf_dispatch_serve(struct hf_dispatcher *d, struct hf_dispatch_peer *peer);
void hf_dispatch_tell_leave(struct hf_dispatcher *d, struct hf_dispatch_peer *peer, enum hf_dispatch_cause cause);
void hf_dispatch_tell(struct hf_dispatcher *d);

#endif
