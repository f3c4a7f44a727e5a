/* bee_private: the feeder of a relay's bee. (Private to bee.c, which runs it, and bee_open.c, which opens what it works on.) */
#ifndef HF_SERVICE_RELAY_BEE_PRIVATE_H
#define HF_SERVICE_RELAY_BEE_PRIVATE_H

#include "data/hyperbee/bee.h"
#include "service/relay/bee.h"
#include "service/relay/bee_batch.h"

/* What the core remembers with the blocks: version u8 = 1, position le64, event count le64. */
#define HF_BEE_NOTES_NAME HF_SLICE_LITERAL("holdfast/relay-bee")
#define HF_BEE_NOTES_VERSION 1
#define HF_BEE_NOTES_BYTES 17
struct hf_bee_notes {
	uint64_t position;    /* of the store, up to which the bee is true */
	uint64_t event_count; /* that are in it */
};

/* What version of the bee had what of the store. */
#define HF_BEE_MARK_COUNT 256
struct hf_bee_mark {
	uint64_t version, position;
};

enum hf_bee_state { HF_BEE_RESTS, HF_BEE_COLLECTS, HF_BEE_PUTS, HF_BEE_COMMITS };

struct hf_relay_bee {
	struct hf_loop *loop;
	struct hf_env *env;
	struct hf_store *store;
	struct hf_executor *executor;
	struct hf_core_host *host;
	uint32_t collection;
	const char *instance;
	uint8_t key[32], secret_key[64];
	struct hf_relay_bee_settings settings;

	struct hf_core *core;
	struct hf_bee *bee;
	struct hf_replication *replication;
	struct hf_bee_waiter waiter;

	enum hf_bee_state state;
	bool is_ending, is_paused, must_reopen, wants_rebuild;
	bool rewrites;                /* what is staged may have part of an event */
	bool skips_event;             /* the rows that come are of an event that is there */
	struct hf_bee_notes committed, notes; /* notes: with the batch that is under way */
	struct hf_bee_mark marks[HF_BEE_MARK_COUNT]; /* the last ones, in a ring */
	size_t mark_count;                    /* so far, of this fork */
	uint64_t mark_fork;
	struct hf_timer timer;

	struct hf_work work;
	struct hf_loop_mail collected_mail, step_mail;
	struct hf_bee_batch batch;    /* the worker's while it is collected */
	int collect_status;
	uint64_t put_us, commit_us;   /* when the batch began to be put, and to be committed */
	size_t removed_at;            /* of the batch's removed ids */
	struct hf_bee_rows old_rows;  /* of the removed event that is in hand */
	struct hf_buffer text;

	uint64_t noted_count, seen_count, fed_count; /* noted by the relay; before the batch; that are in the bee */
	uint64_t backlog_count;       /* beside those: when it has just begun */
	uint64_t since_us, next_since_us; /* the oldest that is not in it came; of those the batch cannot have; 0: there is none */
	uint64_t seen_position;

	struct {
		struct hf_metrics *registry;
		char labels[80];
		struct hf_counter puts, deletes, batches, busy_us;
		struct hf_histogram append_seconds, commit_seconds;
		struct hf_gauge blocks, bytes, lag_events, lag_ms, peers;
	} metrics;
};

/* bee.c: sets it going. */
void hf_bee_feeder_init(struct hf_relay_bee *bee);

/* bee_open.c */
void hf_bee_notes_encode(const struct hf_bee_notes *notes, uint8_t out[static HF_BEE_NOTES_BYTES]);
/* Opens the bee again as it is committed; anew: from nothing. Waits for the disk. */
int hf_bee_feeder_reopen(struct hf_relay_bee *bee, bool anew);

#endif
