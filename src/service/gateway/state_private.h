/* state_private: what the memory of the state and the two places behind it share. (Private to service/gateway/) */
#ifndef HF_SERVICE_GATEWAY_STATE_PRIVATE_H
#define HF_SERVICE_GATEWAY_STATE_PRIVATE_H

#include "base/map.h"
#include "base/ordered.h"
#include "service/gateway/state.h"

#define HF_STATE_SPACE_COUNT 6
#define HF_STATE_LISTENERS_MAX 8
#define HF_STATE_SWEEP_OPS 256 /* of one deletion of what has ended */

#define HF_STATE_END_KEY_BYTES 16

struct hf_state_memory {
	uint64_t revision, end_ms;
	struct hf_ordered_node end; /* in the order of ends, where it has one: by be64 end_ms and its own address */
	uint8_t end_key[HF_STATE_END_KEY_BYTES];
	enum hf_state_space space;
	bool is_untold;             /* a listener had no memory for it */
	size_t key_length, value_length;
	uint8_t bytes[]; /* key, value */
};

/* A change on its way. Belongs to the place behind from hf_state_place.submit until it is posted back. */
struct hf_state_change {
	struct hf_loop_mail mail;
	union {
		struct hf_commit commit;
		struct hf_work work;
	};
	struct hf_state *state;
	bool is_next, is_sweep;
	uint64_t now_ms;
	size_t op_count;
	struct hf_state_op ops[HF_STATE_OPS_MAX];
	struct hf_state_memory *memory[HF_STATE_OPS_MAX]; /* of each op, which what was committed needs no more of */
	int status;
	uint64_t revision, number;
	void (*done)(void *context, int status);
	void (*next_done)(void *context, int status, uint64_t number);
	void *context;
};

/* Where the state is kept. */
struct hf_state_place {
	void (*submit)(struct hf_state *state, struct hf_state_change *change); /* posted back, whatever becomes of it */
	int (*secret)(struct hf_state *state, const char *name, uint8_t out[static 32], struct hf_failure *failure);
	void (*close)(struct hf_state *state);
};

struct hf_state {
	struct hf_loop *loop;
	struct hf_env *env;
	struct hf_store *store;
	struct hf_metrics *metrics;
	const struct hf_state_place *place;
	void *place_data;
	struct hf_map spaces[HF_STATE_SPACE_COUNT];
	struct hf_ordered ends;
	uint64_t untold_count; /* at most; they are told again */
	struct hf_state_events listeners[HF_STATE_LISTENERS_MAX];
	size_t listener_count;
	uint64_t entry_count, entries_max;
	uint32_t pending_count, sweep_count; /* the latter: of them, deletions of what has ended */
	bool is_shared, is_connected, is_closing;
	struct hf_timer sweep_timer;
	struct hf_gauge entries_gauge, pending_gauge, connected_gauge;
	struct hf_counter failed;
};

int hf_state_store_open(struct hf_state *state, struct hf_failure *failure);
int hf_state_redis_open(struct hf_state *state, const char *url, const char *prefix, struct hf_failure *failure);

int hf_state_space_index(enum hf_state_space space); /* negative: there is no such space */
/* What was committed comes to memory, and listeners hear of it; data NULL: deleted. Older revisions than what is there do nothing.
 * HF_ENOMEM. */
int hf_state_apply(struct hf_state *state, enum hf_state_space space, struct hf_slice key, struct hf_slice value, uint64_t revision,
	uint64_t end_ms);
/* A change whose status is set comes back: on any thread. */
void hf_state_return(struct hf_state_change *change);

#endif
