/* state: what gateways that serve one community share: small values by space and key, with revisions and an end.
 *
 * All of it is in memory, so reading never waits. A change is atomic, may be conditional, and is told of when it is committed: in the
 * gateway's own store, or in a Redis that several gateways share. With Redis, changes of other gateways come by publish and subscribe and
 * are told of in the same way; whatever was missed while Redis was away is read when it is back. Without Redis reading goes on and
 * every change fails with HF_EIO.
 *
 * One loop. What is past its end is gone for readers at once, and is deleted when it is swept.
 */
#ifndef HF_SERVICE_GATEWAY_STATE_H
#define HF_SERVICE_GATEWAY_STATE_H

#include "base/metrics.h"
#include "net/loop.h"
#include "store/store.h"

#define HF_STATE_TABLE 3              /* of the store: key: the space's letter and the key; value: le64 revision, le64 end, the value */
#define HF_STATE_KEY_BYTES_MAX 480
#define HF_STATE_VALUE_BYTES_MAX (128u << 10)
#define HF_STATE_OPS_MAX 4            /* of one change */
#define HF_STATE_ENTRIES_MAX 200000   /* in all; at the bound changes that add one fail with HF_ETOOBIG */
#define HF_STATE_PENDING_MAX 4096     /* changes on their way; more fail with HF_EBUSY */
#define HF_STATE_SWEEP_MS 30000
#define HF_STATE_RETELL_MS 200        /* also between sweeps while there is more to sweep than one takes */

enum hf_state_space {
	HF_STATE_RECORDS = 'r',
	HF_STATE_TOKENS = 't',
	HF_STATE_NONCES = 'n',   /* once seen; not told of, and not to be read */
	HF_STATE_FAILURES = 'f',
	HF_STATE_SEQUENCES = 's', /* numbers; only by hf_state_next */
	HF_STATE_SECRETS = 'k',
};

struct hf_state;

struct hf_state_events {
	/* An entry is new, other or (value.data NULL) gone; also by another gateway. Never inside a call of the user's. HF_ENOMEM: all who
	 * listen hear of it again within HF_STATE_RETELL_MS. */
	int (*changed)(void *context, enum hf_state_space space, struct hf_slice key, struct hf_slice value);
	/* It is being closed: who waits to change something ends that now. May be NULL. */
	void (*closing)(void *context);
	void *context;
};

struct hf_state_options {
	size_t size;
	struct hf_loop *loop;
	struct hf_store *store;
	const char *redis_url;      /* NULL or empty: the store. redis://[:password@]host[:port][/db] or unix:///path[?db=n] */
	const char *redis_prefix;   /* NULL: "holdfast:" */
	struct hf_metrics *metrics; /* may be NULL */
	uint64_t entries_max;       /* 0: HF_STATE_ENTRIES_MAX */
};
/* Waits for the first reading of Redis. HF_EINVAL with the sentence for a URL that is not one, rediss:// included; HF_EADDR when Redis
 * cannot be reached, HF_EDENIED when it does not let us in, HF_ENOTFOUND when its client library is not installed. */
int hf_state_open(struct hf_state **out, const struct hf_state_options *options, struct hf_failure *failure);
/* Runs the loop until what is on its way has come back; each gets its outcome. */
void hf_state_close(struct hf_state *state); /* NULL is fine */
/* Several may listen. HF_ENOMEM. */
int hf_state_listen(struct hf_state *state, const struct hf_state_events *events);

/* ---- Reading ---- */

struct hf_state_entry {
	struct hf_slice key, value; /* borrowed until the next turn of the loop */
	uint64_t revision, end_ms;  /* end_ms 0: none */
};
/* HF_OK or HF_ENOTFOUND. */
int hf_state_get(const struct hf_state *state, enum hf_state_space space, struct hf_slice key, struct hf_state_entry *entry);
/* In no order; *cursor starts at 0. False at the end. No change may come in between. */
bool hf_state_next_entry(const struct hf_state *state, enum hf_state_space space, size_t *cursor, struct hf_state_entry *entry);
uint64_t hf_state_count(const struct hf_state *state, enum hf_state_space space);
bool hf_state_is_shared(const struct hf_state *state);    /* Redis */
bool hf_state_is_connected(const struct hf_state *state); /* Redis answers and its changes come; always true of the store */

/* ---- Changing ---- */

enum hf_state_op_kind {
	HF_STATE_PUT = 1,
	HF_STATE_PUT_NEW,  /* HF_EEXISTS when there is one that has not ended. It is not repeated when a connection to Redis breaks */
	HF_STATE_PUT_IF,   /* HF_EBUSY unless its revision is still that; revision 0: there is none */
	HF_STATE_DELETE,   /* none there is fine */
	HF_STATE_DELETE_IF,
};
struct hf_state_op {
	enum hf_state_op_kind kind;
	enum hf_state_space space;
	struct hf_slice key, value; /* copied by hf_state_commit */
	uint64_t revision;          /* of PUT_IF and DELETE_IF */
	uint64_t end_ms;            /* Unix milliseconds; 0: never */
};
/* All of them or none. done is called later on the loop, once: HF_OK when they are committed (readers see them then), HF_EEXISTS, HF_EBUSY,
 * HF_EIO, HF_ENOSPC, HF_ECLOSED, HF_ENOMEM. An error that is returned at once: HF_EINVAL (sizes), HF_EBUSY, HF_ETOOBIG, HF_ENOMEM;
 * done is not called then. */
int hf_state_commit(struct hf_state *state, const struct hf_state_op *ops, size_t op_count, void (*done)(void *context, int status),
	void *context);
/* The next number of a sequence, from 1: each is given once, to one gateway. Errors as above. */
int hf_state_next(struct hf_state *state, struct hf_slice key, void (*done)(void *context, int status, uint64_t number), void *context);
/* 32 random bytes that all gateways have, made by the first that asks; waits. For the start only. */
int hf_state_secret(struct hf_state *state, const char *name, uint8_t out[static 32], struct hf_failure *failure);

#endif
