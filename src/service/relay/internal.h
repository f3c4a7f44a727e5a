/* internal: what the parts of a relay share. (Private to service/relay/.)
 *
 *   connection.c   what clients say is decoded here and handed on; the WebSocket that it comes by
 *   policy.c       what is refused before any work is done on it; writers.c: who may publish
 *   ingest.c       an event's way from the socket to the disk and to the publisher's OK
 *   fanout.c       copies for live subscriptions
 *   query.c        stored events for REQ and COUNT; delegate.c has others look them up
 *   bee.c          the events as a Hyperbee; bee_batch.c reads what comes next, bee_open.c opens it
 *   information.c  the NIP-11 document; landing.c the page
 *
 * Everything belongs to the loop but what is said otherwise. A connection is freed when its socket is closed and no
 * request or event of it is under way any more: those hold references.
 */
#ifndef HF_SERVICE_RELAY_INTERNAL_H
#define HF_SERVICE_RELAY_INTERNAL_H

#include <pthread.h>

#include "base/map.h"
#include "crypto/schnorr.h"
#include "data/event/admission.h"
#include "data/event/query.h"
#include "data/event/subscription.h"
#include "net/memory.h"
#include "service/relay/delegate.h"
#include "service/relay/relay.h"
#include "service/relay/writers.h"
#include "wire/nostr.h"

#define HF_RELAY_AUTH_KEY_COUNT_MAX 8
#define HF_RELAY_BATCH_EVENTS_MAX 32
#define HF_RELAY_VERIFY_COUNT_MAX 256
#define HF_RELAY_INLINE_VISITS_MAX 1024   /* documents that one query may look at on the loop */
#define HF_RELAY_READ_VISITS_MAX 4096     /* and all queries of one read together */
#define HF_RELAY_SLICE_VISITS_MAX 4096    /* documents that one turn on a worker may look at */
#define HF_RELAY_SLICE_BYTES_MAX (256u << 10)
#define HF_RELAY_FILTER_BYTES_MAX (16u << 20) /* that the filters of one connection's requests may take */
#define HF_RELAY_IN_FLIGHT_BYTES_MAX (8u << 20)  /* of one connection's events on their way; then it is not read from */
#define HF_RELAY_INGEST_BYTES_MAX (256u << 20)   /* and of all of a relay's */
#define HF_RELAY_HELD_COUNT_MAX 1024      /* live events that wait for one subscription's EOSE */
#define HF_RELAY_HELD_BYTES_MAX (1u << 20)
#define HF_RELAY_ENTRY_BYTES 48           /* of a value that is filed: its entry, its place in the table, its terms */
#define HF_RELAY_URL_BYTES 320

/* The keys that a connection has proved, shared with its requests; never changed, only replaced. */
struct hf_relay_auth {
	uint32_t references;
	uint32_t key_count;
	uint8_t keys[HF_RELAY_AUTH_KEY_COUNT_MAX][32];
};

struct hf_relay_connection {
	struct hf_relay *relay;
	const struct hf_relay_transport *transport;
	void *link;                            /* of the transport: a WebSocket, most often; NULL once closed */
	struct hf_relay_auth *auth;            /* NULL until authenticated */
	struct hf_relay_question *requests;     /* subscriptions and running counts */
	struct hf_relay_question *turn_first, *turn_last; /* wait for the worker; one is there at a time */
	struct hf_relay_question *on_worker;
	struct hf_relay_connection *next_stalled, *next_closed;
	char *host;                            /* the Host header, for NIP-42; with has_url the whole address */
	uint32_t references;
	uint32_t in_flight_count;
	uint32_t request_count;
	size_t in_flight_bytes;
	size_t filter_bytes;                   /* of its requests' filters */
	size_t held_bytes;                     /* for its requests, that are counted */
	uint32_t read_visits;                  /* spent on queries since the last read_end */
	bool paused, stalled, has_url, may_resume, speaks_for_relay;
	uint8_t source;                        /* enum hf_event_source */
	uint8_t challenge[HF_RELAY_CHALLENGE_BYTES];
};

/* A live event that waits for EOSE. */
struct hf_relay_held {
	struct hf_websocket_message *message;
	uint64_t expires_s;                    /* UINT64_MAX: never */
};

/* A REQ or a COUNT. */
struct hf_relay_question {
	struct hf_subscription subscription;   /* filed while live */
	struct hf_work work;
	struct hf_loop_mail mail;
	struct hf_timer late;                  /* armed while the stored part is not over */
	struct hf_relay_connection *connection; /* a reference */
	struct hf_relay_question *next, *previous; /* of the connection; unlinked when canceled */
	struct hf_relay_question *next_turn;
	struct hf_event_query *query;          /* NULL when the stored part is over */
	struct hf_snapshot *snapshot;          /* of the query, with which it ends */
	struct hf_relay_delegated *delegated;  /* NULL: nobody else is asked */
	struct hf_relay_auth *auth;
	struct hf_arena arena;                 /* the filters */
	struct hf_filter *filters;
	uint32_t filter_count;
	struct hf_buffer out;                  /* messages from a worker: le32 length, text */
	size_t out_at;
	struct hf_relay_held *held;
	uint32_t held_count, held_capacity, held_bytes;
	size_t base_bytes;                     /* of its filters, and of filing and planning them */
	size_t turn_bytes;                     /* of the query and its output, as of the last turn */
	size_t counted_bytes;                  /* of the loop's memory */
	size_t counted_held_bytes;             /* and of held messages, for the connection */
	uint64_t started_us;
	int status;                            /* of the last step */
	_Atomic bool canceled;
	bool is_count, is_filed, is_on_worker, is_on_loop, waits_for_room, held_overflow;
	uint32_t id_length;
	uint8_t id[];                          /* raw JSON string body */
};

/* An event on its way. One allocation with its text. */
struct hf_relay_entry {
	struct hf_admission admission;         /* first: the store's callback finds the entry by a cast */
	struct hf_loop_mail mail;
	struct hf_event event;
	struct hf_relay *relay;
	struct hf_relay_connection *connection; /* a reference */
	struct hf_relay_entry *next;           /* in a batch, or among waiters */
	struct hf_relay_entry *waiters;        /* later copies, in order, when this one is in the table */
	struct hf_relay_entry *last_waiter;
	uint64_t received_us, submitted_us;
	int status;
	uint32_t bytes;
	bool is_auth;
	uint8_t text[];
};

enum hf_relay_refusal {
	HF_REFUSED_INVALID, HF_REFUSED_BLOCKED, HF_REFUSED_DUPLICATE, HF_REFUSED_RESTRICTED, HF_REFUSED_AUTH,
	HF_REFUSED_RATE, HF_REFUSED_UNSUPPORTED, HF_REFUSED_ERROR, HF_REFUSED_COUNT,
};
_Static_assert(HF_REFUSED_COUNT == HF_RELAY_REFUSAL_COUNT, "each refusal has a name");
enum hf_relay_delegated_end {
	HF_DELEGATED_TRUE, HF_DELEGATED_UNUSABLE, HF_DELEGATED_FALSE, HF_DELEGATED_FAILED, HF_DELEGATED_COUNT
};
enum hf_relay_stage { HF_STAGE_DECODE, HF_STAGE_VERIFY, HF_STAGE_COMMIT, HF_STAGE_TOTAL, HF_STAGE_COUNT };

struct hf_relay_metrics {
	struct hf_metrics *registry;
	char *labels; /* memory of all label texts */
	struct hf_counter messages[5], binary;
	struct hf_counter stored, duplicates, ephemeral, refused[HF_REFUSED_COUNT];
	struct hf_histogram stages[HF_STAGE_COUNT];
	struct hf_counter plans[HF_PLAN_COUNT], on_loop, on_worker, query_events, delegated[HF_DELEGATED_COUNT];
	struct hf_histogram query_time;
	struct hf_counter delivered, held, held_overflows;
	struct hf_gauge connections, subscriptions, entries, in_flight, in_flight_bytes, stalled, turns;
	struct hf_counter swept;
};

struct hf_relay_policy {
	char public_url[HF_RELAY_URL_BYTES];
	struct hf_nostr_limits limits;
	uint32_t subscriptions_max, in_flight_max, ingest_queue_max;
	uint64_t limit_max, created_at_ahead_s, query_timeout_us, sweep_interval_ms, auth_window_s;
	bool auth, private_reads;
	struct hf_relay_writers *writers;
};

struct hf_relay {
	struct hf_loop *loop;
	struct hf_env *env;
	int64_t opened_ahead_ms;               /* of the wall clock before the monotonic one, when it was opened */
	struct hf_store *store;
	struct hf_executor *verify_executor, *query_executor;
	char instance[HF_CONFIG_NAME_BYTES_MAX + 1];
	char *path;
	const char *listen_url;                /* borrowed; filled in when the server listens */
	uint32_t collection;
	uint8_t identity[32];
	struct hf_relay_policy policy;
	struct hf_buffer members;              /* keys of 32 bytes, sorted, beside those of the policy's writers */
	struct hf_relay_bee *bee;              /* NULL: it is off */
	struct hf_buffer information;          /* the NIP-11 document */
	struct hf_buffer page_head, page_tail; /* the landing page around the address */
	struct hf_subscriptions *subscriptions;
	struct hf_relay_delegate delegate;     /* ask NULL: nobody */
	uint32_t busy_count;                   /* queries that wait for a turn, or have one */
	struct hf_map in_flight;               /* id to entry */
	uint32_t in_flight_count;
	size_t in_flight_bytes;
	uint64_t connection_count, work_count; /* work: batches, slices and sweeps that are away */
	struct hf_relay_connection *stalled, *closed;
	bool is_fanning_out, is_closing;

	struct hf_relay_entry *gathered_first, *gathered_last;
	uint32_t gathered_count;
	struct hf_loop_deferred gather;
	struct hf_snapshot *lookup;            /* for duplicates; of this iteration */

	pthread_mutex_t verifier_lock;
	struct hf_schnorr *verifiers[HF_RELAY_VERIFY_COUNT_MAX]; /* free ones */
	uint32_t verifier_count, verifier_total;

	struct hf_timer sweep_timer;
	struct hf_work sweep_work;
	struct hf_loop_mail sweep_mail;
	uint64_t sweep_hour;
	int sweep_status;

	struct hf_buffer text, reply, payload, json; /* scratch */
	struct hf_arena arena;                 /* scratch for filters; a REQ takes it along */
	struct hf_relay_metrics metrics;
};

/* ---- connection.c ---- */
void hf_relay_connection_ref(struct hf_relay_connection *c);
void hf_relay_connection_unref(struct hf_relay_connection *c);
void hf_relay_connection_accept(struct hf_relay *relay, struct hf_http_exchange *exchange);
/* Closed sockets whose subscriptions could not be taken out while events were handed round. */
void hf_relay_connection_reap(struct hf_relay *relay);
void hf_relay_connection_add_key(struct hf_relay_connection *c, const uint8_t key[static 32]);
/* The address that an AUTH of this connection must name. */
void hf_relay_connection_url(const struct hf_relay_connection *c, char out[static HF_RELAY_URL_BYTES]);
void hf_relay_reply_ok(struct hf_relay_connection *c, const uint8_t id[static 32], bool accepted, const char *reason);
void hf_relay_reply_closed(struct hf_relay_connection *c, struct hf_slice id, const char *reason);
void hf_relay_auth_unref(struct hf_relay_auth *auth); /* NULL is fine */

/* ---- policy.c ---- */
/* Its writers are freed by the caller. */
int hf_relay_policy_set(struct hf_relay_policy *policy, struct hf_env *env, const struct hf_config *config,
	const struct hf_config_relay *settings, struct hf_failure *failure);
/* Why the event is not even checked, or NULL. */
const char *hf_relay_policy_refuses(const struct hf_relay *relay, const struct hf_relay_connection *c, const struct hf_event *event);
static inline bool hf_relay_kind_is_private(uint32_t kind) { return kind == 4 || kind == 1059; }
bool hf_relay_auth_is_involved(const struct hf_relay_auth *auth, const struct hf_event *event);
bool hf_relay_auth_is_involved_payload(const struct hf_relay_auth *auth, const struct hf_event *head, struct hf_slice payload);
/* All filters ask for private kinds and nothing else. */
bool hf_relay_policy_only_private(const struct hf_filter *filters, uint32_t count);

/* ---- ingest.c ---- */
void hf_relay_ingest(struct hf_relay_connection *c, const struct hf_event *event, struct hf_slice text, bool is_auth, uint64_t received_us);
void hf_relay_ingest_flush(struct hf_loop_deferred *deferred);
void hf_relay_refused(struct hf_relay *relay, const char *reason); /* counts by prefix */

/* ---- fanout.c ---- */
void hf_relay_fan_out(struct hf_relay *relay, const struct hf_event *event, uint64_t position);

/* ---- query.c ---- */
void hf_relay_query(struct hf_relay_connection *c, const struct hf_nostr_message *message, struct hf_slice text); /* text: as it came */
void hf_relay_query_close(struct hf_relay_connection *c, struct hf_slice id);
void hf_relay_query_writable(struct hf_relay_connection *c);
void hf_relay_query_cancel_all(struct hf_relay_connection *c);
/* A live event for a subscription: sent, or held until EOSE, and dropped when it expires before. */
void hf_relay_query_deliver(struct hf_relay_question *request, struct hf_websocket_message *message, size_t bytes, uint64_t expires_s);

void hf_relay_query_take_turn(struct hf_relay_question *request);
void hf_relay_query_count_turn(struct hf_relay_question *request);  /* counts its memory */
/* The whole message of an EVENT. */
int hf_relay_query_append_event(const struct hf_relay_question *request, struct hf_slice payload, struct hf_buffer *out);

/* ---- delegate.c ---- */
bool hf_relay_delegate_try(struct hf_relay_question *request, struct hf_slice message); /* whether somebody was asked */
bool hf_relay_delegate_check(struct hf_relay_question *request);   /* on the worker; false: it has no answer */
void hf_relay_delegate_settle(struct hf_relay_question *request);  /* after that, on the loop */
void hf_relay_delegate_cancel(struct hf_relay_question *request);  /* none is fine, also below */
void hf_relay_delegate_free(struct hf_relay_question *request);
size_t hf_relay_delegate_bytes(const struct hf_relay_question *request);

/* ---- metrics.c ---- */
int hf_relay_metrics_register(struct hf_relay *relay, struct hf_metrics *registry);
void hf_relay_metrics_unregister(struct hf_relay_metrics *metrics);

/* ---- information.c, landing.c ---- */
int hf_relay_information_build(const struct hf_config *config, const struct hf_config_relay *settings,
	const struct hf_relay *relay, struct hf_buffer *out);
int hf_relay_landing_build(const struct hf_config_relay *settings, const struct hf_relay *relay,
	struct hf_buffer *head, struct hf_buffer *tail);

#endif
