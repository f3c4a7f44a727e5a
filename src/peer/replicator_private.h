/* replicator_private: what the parts of the replicator share. (Private to peer/)
 *
 *   replicator     all streams and all shared cores
 *   shared core    one core that is joined or served, with everything about it that is not one peer's (struct hf_shared_core)
 *   core peer      one channel of one stream for one shared core
 *
 * Time and the disk's answers change nothing of a core but what hf_shared_core_needs_tick names, and a core that it is true of is being
 * watched. Whoever brings such a thing about has it watched before the call returns (hf_shared_core_watch; scheduling it does that, too).
 * A tick, and what is done when the disk has answered, visit those that are watched and no other; the tick alone lets go of one, when it is
 * not true of it any more.
 *
 * A block is asked of one peer at a time: shared->in_flight holds those that are. A request lives in a slot of its core peer; the
 * slot's number is the id on the wire.
 *
 * Whatever is sent may end the stream, and close its channels before the call returns. A core peer whose channel has closed is out of
 * all lists but keeps its memory, and its way to the next one, until nothing walks any more (hf_replicator_reap); its channel
 * is NULL then, and what would be sent on it is not.
 */
#ifndef HF_PEER_REPLICATOR_PRIVATE_H
#define HF_PEER_REPLICATOR_PRIVATE_H

#include "base/list.h"
#include "base/map.h"
#include "data/hypercore/chunk.h"
#include "peer/replicator.h"

#define HF_PEER_PATIENCE_MS 3000      /* an idle peer is asked for what another has owed for so long, and has answered nothing */
#define HF_PEER_PATIENCE_MS_MAX 12000 /* or for so long, whatever it has answered and however slow it is */
#define HF_PEER_NO_SLOT UINT32_MAX
#define HF_PEER_WANT_BLOCKS ((uint64_t)1 << 21) /* what one want of ours asks about */

/* A request of ours. */
struct hf_peer_request {
	bool is_used;
	bool is_cancelled; /* an answer may still come; the id is used again once a request was answered that was sent after the cancel */
	bool is_reorg;     /* of the search for another fork */
	bool is_taken;     /* cancelled because another is asked instead: what comes after all is welcome */
	bool is_wanted;    /* somebody waits for its block */
	uint64_t order;    /* in which requests were sent */
	uint64_t order_cancelled; /* of the first that is sent after the cancel */
	uint64_t sent_ms;
	uint64_t fork;
	struct hf_proof_request proof;
	uint32_t next_free;
};

/* A request of theirs that waits: for the disk, for room in the stream, or until it may be refused. */
struct hf_peer_question {
	struct hf_peer_question *next;
	uint64_t refuse_at_ms; /* 0: it is to be answered */
	bool is_cold;          /* not before the disk has been read */
	struct hf_replication_request request;
};

struct hf_peer_want {
	uint64_t start, length;
	bool any;
	bool is_due; /* to be answered when the stream has room */
};

struct hf_core_peer {
	struct hf_core_peer *next, *previous; /* of the shared core */
	struct hf_core_peer *next_of_stream, *previous_of_stream;
	struct hf_core_peer *next_closed;
	struct hf_shared_core *shared;
	struct hf_replicator_stream *stream;
	struct hf_channel *channel; /* NULL: closed */
	struct hf_channel *begun;   /* between hf_core_peer_begin and end */
	bool is_open; /* its capability was verified, and it is not closed */
	bool is_paused;
	bool is_late; /* has kept others waiting, and is not asked again before it stands behind them */

	/* What it said. */
	uint64_t remote_fork, remote_length;
	bool remote_can_upgrade, remote_uploading, remote_downloading, remote_has_manifest, remote_allows_push, remote_synced;
	struct hf_bitfield remote_blocks;
	uint64_t length_acked;
	uint64_t got_length; /* of its tree, by what it sent, whether or not we could use that */
	struct hf_buffer extension_in, extension_out; /* the last names */

	/* What we said. */
	bool can_upgrade, upgrade_is_cold, told_push;
	uint64_t sent_contiguous; /* of our blocks, by a range from 0 */
	uint64_t upgradable_length, upgradable_fork;
	uint64_t given_length, given_fork; /* what it has of our tree by what we sent */

	/* Asking. */
	struct hf_peer_request *slots;
	uint32_t slot_count, first_free, used_count, cancelled_count; /* used: without cancelled ones */
	uint64_t next_order;
	uint32_t window;
	uint64_t window_answered, window_started_ms; /* for adapting it */
	double window_rate;
	uint64_t block_bytes_average;
	uint64_t answered_ms;      /* the last time */
	uint64_t answer_took_ms;   /* then */
	uint64_t heard_ms;         /* when it last said anything; 0: not yet looked at */
	uint32_t unavailable_count, invalid_count;
	struct hf_u64_map asked_units; /* units that we have sent a want for */
	struct hf_u64_map pushed_early; /* blocks that it pushed before their tree, and is to be asked for: few */
	uint64_t pushed_early_fork;
	bool conflict_asked;
	uint64_t conflict_deadline_ms;

	/* Answering. */
	struct hf_peer_question *questions, **questions_end;
	uint32_t question_count, refused_count;
	struct hf_peer_want *wants;
	uint32_t want_count;
	bool wants_all, has_due_wants;
};

struct hf_shared_core {
	struct hf_shared_core *next, *previous; /* of the replicator */
	struct hf_shared_core *next_due;        /* of those that the next flush looks at; is among them while needs_schedule */
	struct hf_shared_core *next_watched, *previous_watched; /* of those that a tick or a thaw looks at, while is_watched */
	struct hf_replicator *replicator;
	struct hf_core *core;
	struct hf_core_listener listener;
	struct hf_core_peer *peers;
	struct hf_replication *replications;
	uint64_t idle_at_ms;      /* nothing is joined: until then we say that we download */
	bool is_downloading;      /* as last told */
	bool allows_push, is_withheld;
	struct hf_u64_map in_flight; /* block to the core peer that it is asked of */
	struct hf_u64_map wanted;    /* blocks that somebody waits for and that are not in flight */
	struct hf_core_peer *upgrade_peer; /* who was asked to lengthen the tree */
	uint64_t upgrade_asked_ms;
	struct hf_download *downloads;
	struct hf_seek_wait *seeks;
	struct hf_extension *extensions;
	struct hf_updater *updaters, *heard; /* heard: are being called */
	struct hf_fork_search *search;     /* fork.c */
	bool needs_commit, needs_schedule, has_late, is_watched;
	bool is_cold; /* something in it waits for the disk */
	struct hf_replicator_stats stats;
};

struct hf_replication {
	struct hf_replication *next, *previous;
	struct hf_shared_core *shared;
};

struct hf_updater {
	struct hf_updater *next;
	struct hf_replication *replication;
	void (*heard)(void *context);
	void *context;
	uint64_t started_ms; /* 0: not yet looked at */
};

struct hf_replicator_stream {
	struct hf_replicator_stream *next, *previous;
	struct hf_replicator *replicator;
	struct hf_protomux *mux;
	bool is_initiator;
	uint8_t handshake_hash[HF_HANDSHAKE_HASH_BYTES];
	struct hf_core_peer *peers;
	struct hf_pending_open *pending; /* opens of the remote that wait for the disk */
	bool is_corked;                  /* by a flush */
	size_t remote_page_count;        /* of all bitfields of its peers */
	uint32_t question_count;         /* of all its peers */
};

/* Data messages of one channel that have come and are still to be looked at. */
struct hf_held_data {
	struct hf_core_peer *peer;
	struct hf_core_chunk *chunk; /* their bodies, one behind the other; NULL: there are none */
	size_t lengths[HF_LEAVES_TOGETHER], count;
};

struct hf_replicator {
	struct hf_replicator_options options;
	struct hf_corestore *cores;
	struct hf_replicator_stream *streams;
	struct hf_shared_core *shared;
	struct hf_shared_core *due, **due_end;
	struct hf_shared_core *watched;
	struct hf_map by_discovery_key;
	struct hf_extension *extensions; /* on every core */
	struct hf_corestore_thaw thaw;
	bool is_thawing, needs_thaw, is_pending;
	struct hf_core_peer *closed;
	uint64_t now_ms;
	struct hf_held_data held;
	struct hf_buffer scratch;
	struct hf_buffer node_scratch;
	struct hf_compact_writer nowhere; /* what messages of closed channels are written to */
	struct hf_replicator_stats stats;
};

/* Adds to what happened with the core, and to the whole. */
#define HF_SHARED_CORE_COUNT(shared, field, more) ((shared)->stats.field += (more), (shared)->replicator->stats.field += (more))

/* replicator.c */
int hf_shared_core_get(struct hf_replicator *replicator, struct hf_core *core, struct hf_shared_core **out);
void hf_shared_core_release(struct hf_shared_core *shared); /* frees it when nobody needs it any more, and no flush is due */
bool hf_shared_core_is_active(const struct hf_shared_core *shared);
void hf_replicator_pend(struct hf_replicator *replicator);
void hf_shared_core_schedule(struct hf_shared_core *shared);    /* for all peers, at the next flush; watches it */
void hf_shared_core_need_thaw(struct hf_shared_core *shared);   /* something in it gave HF_EWAIT for being cold */
void hf_shared_core_watch(struct hf_shared_core *shared);       /* the next tick looks at it */
bool hf_shared_core_needs_tick(const struct hf_shared_core *shared); /* there is something in it that time or the disk ends */
void hf_shared_core_take_waiters(struct hf_shared_core *shared); /* all blocks that somebody waits for are wanted */
void hf_replicator_reap(struct hf_replicator *replicator);

/* core_peer.c */
/* HF_EEXISTS: the stream has a channel for the core. HF_ENOMEM, and what hf_protomux_open gives. */
int hf_core_peer_open(struct hf_replicator_stream *stream, struct hf_shared_core *shared);
void hf_core_peer_sync(struct hf_core_peer *peer);
void hf_core_peer_signal(struct hf_core_peer *peer);
void hf_core_peer_free(struct hf_core_peer *peer);
/* As hf_channel_begin and end; the writer goes nowhere when the channel is closed. */
struct hf_compact_writer *hf_core_peer_begin(struct hf_core_peer *peer, enum hf_replication_type type);
int hf_core_peer_end(struct hf_core_peer *peer);
int hf_core_peer_fail(struct hf_core_peer *peer, int status, const char *sentence); /* the stream ends with it; returns status */

/* availability.c: ranges, bitfields, wants */
int hf_core_peer_note_dropped(struct hf_core_peer *peer, uint64_t from, uint64_t to); /* it does not have these blocks. HF_ENOMEM */
int hf_core_peer_on_range(struct hf_core_peer *peer, struct hf_slice body);
int hf_core_peer_on_bitfield(struct hf_core_peer *peer, struct hf_slice body);
int hf_core_peer_on_want(struct hf_core_peer *peer, struct hf_slice body);
int hf_core_peer_on_unwant(struct hf_core_peer *peer, struct hf_slice body);
void hf_core_peer_send_range(struct hf_core_peer *peer, bool drop, uint64_t start, uint64_t length);
void hf_core_peer_tell_held(struct hf_core_peer *peer, uint64_t from, uint64_t to);
void hf_core_peer_answer_wants(struct hf_core_peer *peer); /* that waited for room in the stream */
void hf_core_peer_ask_about(struct hf_core_peer *peer, uint64_t block);

/* serve.c */
int hf_core_peer_send_data(struct hf_core_peer *peer, uint64_t request, const struct hf_proof *proof);
int hf_core_peer_on_request(struct hf_core_peer *peer, struct hf_slice body);
int hf_core_peer_on_cancel(struct hf_core_peer *peer, struct hf_slice body);
void hf_core_peer_answer(struct hf_core_peer *peer); /* what waits and need not any more */
void hf_core_peer_thawed(struct hf_core_peer *peer); /* what waited for the disk is tried again */
void hf_core_peer_drop_questions(struct hf_core_peer *peer);

/* requests.c */
/* Sends a request of that fork; its slot, or NULL when there is no room. */
struct hf_peer_request *hf_core_peer_ask(struct hf_core_peer *peer, uint64_t fork, const struct hf_proof_request *proof, bool is_urgent);
/* The request that an answer is for; NULL when it is for none that still counts. */
struct hf_peer_request *hf_core_peer_answered(struct hf_core_peer *peer, uint64_t id);
void hf_core_peer_finish(struct hf_core_peer *peer, struct hf_peer_request *slot, bool is_done);
void hf_core_peer_cancel_request(struct hf_core_peer *peer, struct hf_peer_request *slot);
/* The request that was taken from it, and that an answer comes for after all; NULL: there is none. */
const struct hf_peer_request *hf_core_peer_taken(const struct hf_core_peer *peer, uint64_t id);
void hf_core_peer_drop_requests(struct hf_core_peer *peer); /* gives back what is in flight */
/* The request for a block that is in flight, and whose it is. */
struct hf_peer_request *hf_shared_core_find_request(struct hf_shared_core *shared, uint64_t block, struct hf_core_peer **owner);
void hf_shared_core_cancel_block(struct hf_shared_core *shared, uint64_t block);

/* fetch.c */
void hf_core_peer_note_late(struct hf_core_peer *peer); /* from the next flush on it is asked after all others */
void hf_core_peer_schedule(struct hf_core_peer *peer);
uint64_t hf_core_peer_askable_length(const struct hf_core_peer *peer, uint64_t from); /* up to which its tree is best asked for */

/* answers.c */
/* read_status: of reading the message. */
int hf_core_peer_on_data(struct hf_core_peer *peer, int read_status, const struct hf_replication_data *message);
int hf_core_peer_on_no_data(struct hf_core_peer *peer, struct hf_slice body);
/* A proof was staged: counts it, and commits. */
void hf_core_peer_took(struct hf_core_peer *peer, const struct hf_proof *proof, bool was_held);

/* held_data.c */
/* Takes a data message, copied, to be looked at by the end of this round. False: it is to be looked at now. */
bool hf_core_peer_hold(struct hf_core_peer *peer, struct hf_slice body);
void hf_core_peer_drop_held(struct hf_core_peer *peer);
void hf_replicator_take_held(struct hf_replicator *replicator); /* looks at what is held; its peer may have closed then */

/* download.c */
void hf_shared_core_check_downloads(struct hf_shared_core *shared);
/* What was asked for seeks to that byte has come, or will not: the next flush ends them or asks again. */
void hf_shared_core_unask_seeks(struct hf_shared_core *shared, uint64_t bytes);
void hf_shared_core_check_seeks(struct hf_shared_core *shared);
void hf_shared_core_check_updaters(struct hf_shared_core *shared);

/* push.c */
uint64_t hf_core_peer_given_length(const struct hf_core_peer *peer); /* of the tree as it is now; 0: none of this fork's */
/* How far up the tree of that length a block's path leads: the most nodes that may be missing there. */
uint64_t hf_path_length(uint64_t block, uint64_t length);
int hf_core_peer_on_pushed_data(struct hf_core_peer *peer, const struct hf_proof *pushed);

/* fork.c */
void hf_core_peer_on_fork(struct hf_core_peer *peer);                 /* it told of a higher one */
void hf_core_peer_ask_fork(struct hf_core_peer *peer);                /* the next request of the search, if it is this peer's turn */
int hf_core_peer_on_fork_data(struct hf_core_peer *peer, const struct hf_peer_request *request, const struct hf_proof *proof);
void hf_core_peer_leave_fork(struct hf_core_peer *peer);
void hf_shared_core_check_search(struct hf_shared_core *shared); /* gives up on a peer that does not answer */
void hf_shared_core_drop_search(struct hf_shared_core *shared);
void hf_core_peer_ask_conflict(struct hf_core_peer *peer);
void hf_core_peer_check_conflict(struct hf_core_peer *peer); /* lets go of one that has not answered that in time */
int hf_core_peer_on_conflict_data(struct hf_core_peer *peer, const struct hf_proof *proof);

#endif
