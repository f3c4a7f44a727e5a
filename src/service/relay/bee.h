/* bee: a relay's events as a signed Hyperbee that anybody can follow. (data/relay_bee.h has its rows)
 *
 * The relay's store is the queue. The bee remembers, in its core's own notes and in the commit of the blocks themselves, the position
 * of the store up to which it is true; so it goes on after any end where it was, and an accepted event is in it once. What was deleted,
 * replaced or has expired is taken out by the notes that the removing commit left (data/event/removals.h).
 *
 * Batches are collected on a worker and put into the bee on the loop, in slices of a few milliseconds. A batch is one commit, which is
 * synced before peers hear of it: a writer that lost what it had told would sign a second history.
 *
 * A core is signed with the key that it began with. Everything belongs to the loop's thread.
 */
#ifndef HF_SERVICE_RELAY_BEE_H
#define HF_SERVICE_RELAY_BEE_H

#include "base/metrics.h"
#include "peer/core_host.h"

#define HF_RELAY_BEE_SLICE_US 2000
#define HF_RELAY_BEE_FLUSH_ROWS 1024
#define HF_RELAY_BEE_PART_BYTES (8u << 20) /* of removals in one commit */
#define HF_RELAY_BEE_IDLE_MS 1000   /* between looks whether something came by another way than the relay: an import */

struct hf_relay_bee;

struct hf_relay_bee_options {
	size_t size;
	struct hf_loop *loop;
	struct hf_store *store;
	struct hf_executor *executor;  /* for batches */
	struct hf_core_host *host;
	struct hf_metrics *metrics;    /* may be NULL */
	uint32_t collection;
	const char *instance;          /* of the relay; borrowed until free */
	struct hf_slice secret_key;    /* HF_SIGN_SECRET_BYTES; of a bee that is new */
};
/* Opens the bee, or makes it. Waits for the disk. A bee that was off for a while is made anew, as by rebuild. */
int hf_relay_bee_new(struct hf_relay_bee **out, const struct hf_relay_bee_options *options, struct hf_failure *failure);
/* Begins no further batch. */
void hf_relay_bee_end(struct hf_relay_bee *bee);
/* Nothing is under way. */
bool hf_relay_bee_is_idle(const struct hf_relay_bee *bee);
void hf_relay_bee_free(struct hf_relay_bee *bee); /* idle; NULL is fine */

struct hf_relay_bee_settings {
	uint64_t interval_ms;          /* between an event and the batch that has it, at most */
	uint32_t batch_count;          /* events that are a batch at once */
	bool leaves_out_private;       /* events that the relay gives only to those involved */
};
void hf_relay_bee_configure(struct hf_relay_bee *bee, const struct hf_relay_bee_settings *settings);

/* The relay has taken an event, or may have removed some. */
void hf_relay_bee_note(struct hf_relay_bee *bee);
/* Makes the rows anew from the relay, in the same core: it is truncated to its header, on the next fork, and filled again. */
void hf_relay_bee_rebuild(struct hf_relay_bee *bee);

/* Gives it to no peer, until it is told otherwise; it goes on growing. */
void hf_relay_bee_pause(struct hf_relay_bee *bee, bool is_paused);

struct hf_relay_bee_facts {
	uint8_t key[32], discovery_key[32];
	uint64_t version, fork, byte_length;
	uint64_t event_count;          /* that are in it */
	uint64_t position;             /* of the store, up to which it is true */
	uint64_t lag_events, lag_ms;   /* that it is behind: accepted events, and the age of the oldest of them */
	uint64_t put_count, delete_count, batch_count, busy_us; /* since the start */
	uint32_t peer_count;
	bool is_paused;
};
void hf_relay_bee_facts(const struct hf_relay_bee *bee, struct hf_relay_bee_facts *facts);

/* The store's position up to which the bee was true at a version of late. HF_ENOTFOUND: too long ago, not yet, or of another fork. */
int hf_relay_bee_position_at(const struct hf_relay_bee *bee, uint64_t version, uint64_t fork, uint64_t *position);

/* For tools, on a data directory that no gateway uses: what the bee of a relay is, and the same as rebuild, so that the gateway fills it
 * when it starts. Cores are blocking. HF_ENOTFOUND: the relay has none. */
int hf_relay_bee_look(struct hf_corestore *cores, struct hf_store *store, uint32_t collection, struct hf_relay_bee_facts *facts,
	struct hf_failure *failure);
int hf_relay_bee_reset(struct hf_corestore *cores, struct hf_store *store, uint32_t collection, struct hf_failure *failure);

/* For a relay whose bee is off: removals are not noted any more. Waits. */
int hf_relay_bee_forsake(struct hf_store *store, uint32_t collection);

#endif
