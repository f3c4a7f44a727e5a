/* front_private: sessions, files being fetched, and the jobs of both, as the parts of the front see them. (Private to service/gateway/.)
 *
 * front.c has life, refusals, jobs and what is told from outside; front_door.c lets in; front_session.c is a client with a worker;
 * front_item.c what the client has asked; front_fetch.c answers over HTTP; front_information.c says what a relay is;
 * front_auth.c is NIP-42; front_delegate.c has workers look up what the gateway's own relay is asked.
 */
#ifndef HF_SERVICE_GATEWAY_FRONT_PRIVATE_H
#define HF_SERVICE_GATEWAY_FRONT_PRIVATE_H

#include "base/list.h"
#include "base/u64_map.h"
#include "net/loop.h"
#include "net/memory.h"
#include "service/gateway/front.h"
#include "service/gateway/front_seen.h"
#include "service/gateway/registry.h"
#include "service/gateway/tokens.h"
#include "service/gateway/workers.h"
#include "service/relay/relay.h"
#include "wire/nostr_frame.h"
#include "wire/relay_stream.h"

#define HF_FRONT_TRIES_MAX 6               /* workers in a row that fail for one session or file */
#define HF_FRONT_GRACE_US 5000000u         /* how long a session waits for a worker to come back */
#define HF_FRONT_RETRY_MS 200u
#define HF_FRONT_GAP_S 60u                 /* how long a worker may be gone, or a copy on its way, before a session moves: see resume() */
#define HF_FRONT_REQUEST_BYTES_MAX (256u << 10) /* of a session's open REQs and COUNTs together */
#define HF_FRONT_PUBLISH_COUNT_MAX 256u    /* EVENTs of a session without OK; its client is not read meanwhile */
#define HF_FRONT_PUBLISH_BYTES_MAX (2u << 20)
#define HF_FRONT_ANSWER_BYTES_MAX (1u << 20)    /* one message of a worker's */
#define HF_FRONT_REQUEST_WEIGHT 4u         /* of a REQ or COUNT among jobs; an EVENT is 1 */
#define HF_FRONT_TOKEN_BYTES_MAX 4096u
#define HF_FRONT_AUTH_COUNT_MAX 8u         /* keys that a client proves */
#define HF_FRONT_AUTH_BYTES_MAX 8192u
#define HF_FRONT_AUTH_WAIT_MS 3000u        /* for what a new worker says to what the client proved before */
#define HF_FRONT_CHALLENGE_BYTES HF_RELAY_CHALLENGE_BYTES
#define HF_FRONT_DELEGATE_TIMEOUT_MS 3000u /* for all of an answer; then the relay looks itself */
#define HF_FRONT_DELEGATE_LAG_MAX 500u     /* blocks, where the dispatcher has no bound of its own */

enum hf_front_refusal {
	HF_FRONT_NOT_CONFIGURED, HF_FRONT_NO_RELAY, HF_FRONT_TOKEN_REQUIRED, HF_FRONT_TOKEN_INVALID, HF_FRONT_TOKEN_ENDED, HF_FRONT_NO_PEERS,
	HF_FRONT_BUSY, HF_FRONT_RATE, HF_FRONT_FULL, HF_FRONT_MALFORMED, HF_FRONT_WORKER_FAILED, HF_FRONT_REFUSAL_COUNT
};

/* A job of the dispatcher's, found by its number. */
enum hf_front_job_kind { HF_FRONT_OPEN, HF_FRONT_ASK, HF_FRONT_FETCH, HF_FRONT_DELEGATE, HF_FRONT_INFORM };
struct hf_front_job {
	enum hf_front_job_kind kind;
	uint64_t number; /* 0: none */
};

struct hf_front_session;

/* A REQ, COUNT or EVENT that is not over. */
struct hf_front_item {
	struct hf_front_item *next, *previous; /* of the session, in the order in which they came */
	struct hf_front_session *session;
	struct hf_front_job job;
	enum hf_nostr_frame_type type;
	bool is_sent, has_eose;
	uint32_t round;                        /* of the session's, in which it was last given out */
	struct hf_front_seen seen;             /* of a REQ */
	uint64_t since_s;                      /* from when on a REQ which has moved was asked for again; 0: it was not by date alone */
	uint64_t asked_us, left_us;            /* first sent to a worker; left the one that had answered it all, 0: it is not without one */
	uint16_t id_length;                    /* of a subscription's id; an event's is 32 */
	uint32_t message_length;
	uint8_t bytes[];                       /* the id, and the message as it came */
};

enum hf_front_state {
	HF_FRONT_AWAITS_TOKEN,
	HF_FRONT_OPENING, /* the dispatcher has not given it a worker yet */
	HF_FRONT_OPENED,
	HF_FRONT_LOST,    /* no worker is there; looks again for a while */
	HF_FRONT_IDLE,    /* nor was one found; the next message looks again */
	HF_FRONT_CLOSING,
};

struct hf_front_session {
	struct hf_front_session *next, *previous;
	struct hf_front *front;
	struct hf_websocket *ws;
	uint64_t number;
	enum hf_front_state state;
	char *key;                      /* of the relay's record */
	char *auth_token;               /* the worker's, for the relay; NULL: none */
	bool has_token, has_pubkey;
	uint8_t token_id[HF_TOKEN_ID_BYTES], pubkey[32];
	uint64_t expires_ms;            /* Unix time, of the token */
	struct hf_address client;
	struct hf_front_job job;
	struct hf_worker_stream *stream;
	uint8_t peer[32], avoided[32];  /* of the stream, or of the last one; who failed last */
	bool has_head, has_avoided, is_blocked, is_paused;
	unsigned tries;
	uint64_t lost_us;
	struct hf_front_item *items, *items_last;
	uint32_t request_count, publish_count, round;
	size_t request_bytes, publish_bytes;
	struct hf_buffer outbox;        /* to the worker: le32 length, message */
	struct hf_buffer inbox;         /* from the worker: a message that is not whole */
	size_t unconsumed;              /* bytes of the worker's that the client has not taken */
	size_t held_bytes;              /* that are counted */
	struct hf_timer timer;          /* for a token, for another look, or for the token's end */
	struct hf_front_auths *auths;   /* NULL: the client has proved nothing */
	uint8_t challenge[HF_FRONT_CHALLENGE_BYTES];
	bool has_challenged;            /* the client knows it */
};

struct hf_front_fetch {
	struct hf_front_fetch *next, *previous;
	struct hf_front *front;
	struct hf_http_exchange *exchange; /* NULL: the client went */
	struct hf_front_job job;
	char *key, *auth_token, *path;
	uint64_t flow;
	bool is_private, has_head, is_over, has_avoided;
	uint8_t peer[32], avoided[32];
	unsigned tries;
	struct hf_worker_stream *stream;
	size_t unconsumed;
	struct hf_timer timer;          /* no byte for too long */
};

struct hf_front {
	struct hf_front_options options; /* zeros replaced by defaults */
	struct hf_registry_events record_events;
	struct hf_token_events token_events;
	struct hf_dispatcher *dispatcher;
	struct hf_limits *limits;
	struct hf_env *env;
	struct hf_front_session *sessions;
	struct hf_front_fetch *fetches;
	struct hf_front_question *questions;
	struct hf_front_document *documents;
	uint32_t document_count;
	struct hf_relay *relay;          /* whose REQs workers are asked; NULL: none's */
	char bee_key[65];
	struct hf_u64_map jobs;          /* by number: struct hf_front_job */
	uint64_t last_number;
	struct hf_timer timer;           /* the dispatcher's */
	uint64_t timer_us;
	struct hf_buffer scratch;
	bool is_ending;
	struct hf_front_stats stats;
	struct hf_counter refusals[HF_FRONT_REFUSAL_COUNT], moved, repeated, delivered, published, fetched[2];
	struct hf_gauge sessions_gauge, requests_gauge;
};

/* ---- front.c ---- */
uint64_t hf_front_now_us(const struct hf_front *front);
void hf_front_refuse(struct hf_front *front, enum hf_front_refusal refusal); /* counts it */
/* Asks the dispatcher for one of the relay's peers (only: that one, when given; never avoided, unless there is no other). HF_OK with
 * *peer; HF_EWAIT: the job goes on, or is refused, when the dispatcher says so; else the error of hf_dispatcher_schedule. */
int hf_front_schedule(struct hf_front *front, struct hf_front_job *job, const struct hf_registration *record, const uint8_t *only,
	const uint8_t *avoided, uint32_t weight, uint64_t flow, uint8_t peer[static 32]);
/* The same among the peers given. */
int hf_front_schedule_among(struct hf_front *front, struct hf_front_job *job, const uint8_t (*peers)[32], size_t peer_count,
	uint32_t weight, uint64_t flow, uint8_t peer[static 32]);
void hf_front_job_over(struct hf_front *front, struct hf_front_job *job, enum hf_dispatch_outcome outcome); /* none is fine */
void hf_front_arm(struct hf_front *front);
/* Is one of the relay's workers here, another than avoided (may be NULL)? */
bool hf_front_has_worker(struct hf_front *front, const struct hf_registration *record, const uint8_t *avoided);
const struct hf_registration *hf_front_record(struct hf_front *front, const char *key);

/* ---- front_door.c ---- */
/* The token that a request shows, percent-decoded into out; empty: none. */
struct hf_slice hf_front_shown_token(struct hf_http_exchange *exchange, uint8_t out[static HF_FRONT_TOKEN_BYTES_MAX]);
/* A value of the query, in the same way. */
struct hf_slice hf_front_query(struct hf_http_exchange *exchange, const char *name, uint8_t out[static HF_FRONT_TOKEN_BYTES_MAX]);
/* Takes the session in, refuses it, or waits for its token. */
void hf_front_admit(struct hf_front_session *s, struct hf_slice token);

/* ---- front_session.c ---- */
extern const struct hf_websocket_handler hf_front_session_handler;
void hf_front_session_begin(struct hf_front_session *s); /* it is let in */
void hf_front_session_close(struct hf_front_session *s, uint16_t code, const char *reason);
void hf_front_session_free(struct hf_front_session *s);
void hf_front_session_seek(struct hf_front_session *s);  /* looks for a worker */
void hf_front_session_open(struct hf_front_session *s, const uint8_t peer[static 32]);
void hf_front_session_lose(struct hf_front_session *s);  /* no worker can be had now */
/* Leaves its worker for another; blames: it is the worker's fault. */
void hf_front_session_move(struct hf_front_session *s, bool blames);
void hf_front_session_post(struct hf_front_session *s, struct hf_slice message);
/* Sends front->scratch to the client, and empties it; status: of writing it. What cannot be said ends the session: nobody waits in vain. */
void hf_front_session_say(struct hf_front_session *s, int status);
void hf_front_session_count(struct hf_front_session *s);
void hf_front_session_read_or_pause(struct hf_front_session *s);
void hf_front_session_wake(struct hf_front_session *s, uint64_t delay_ms); /* sets its timer; 0: to what is next */
void hf_front_session_timer(struct hf_timer *timer);

/* ---- front_item.c ---- */
void hf_front_take_message(struct hf_front_session *s, struct hf_slice message);   /* of the client */
void hf_front_take_answer(struct hf_front_session *s, struct hf_slice message);    /* of the worker */
void hf_front_item_dispatch(struct hf_front_item *item);
void hf_front_item_send(struct hf_front_item *item);
void hf_front_item_refuse(struct hf_front_item *item, enum hf_front_refusal refusal, const char *reason); /* and ends it */
void hf_front_items_dispatch(struct hf_front_session *s);                          /* all that were not sent */
void hf_front_items_moved(struct hf_front_session *s);                             /* none is at a worker any more */
void hf_front_items_refuse(struct hf_front_session *s, enum hf_front_refusal refusal, const char *reason);
void hf_front_items_free(struct hf_front_session *s);

/* ---- front_auth.c ---- */
void hf_front_auth_take(struct hf_front_session *s, const struct hf_nostr_frame *frame, struct hf_slice message); /* of the client */
void hf_front_auth_challenged(struct hf_front_session *s, struct hf_slice message);                              /* by the worker */
/* An OK of the worker's; false: it is about no AUTH. */
bool hf_front_auth_answered(struct hf_front_session *s, const struct hf_nostr_frame *frame, struct hf_slice message);
void hf_front_auth_repeat(struct hf_front_session *s);      /* to a worker that is new */
bool hf_front_auth_holds(const struct hf_front_session *s); /* until that one knows the client, nothing else is said to it */
size_t hf_front_auth_bytes(const struct hf_front_session *s);
void hf_front_auth_free(struct hf_front_session *s);

/* ---- front_fetch.c ---- */
void hf_front_fetch_open(struct hf_front_fetch *f, const uint8_t peer[static 32]);
void hf_front_fetch_fail(struct hf_front_fetch *f); /* this worker did not; another, or a refusal */
void hf_front_fetch_refuse(struct hf_front_fetch *f, int status, const char *text, enum hf_front_refusal refusal);
void hf_front_fetch_free(struct hf_front_fetch *f);

/* ---- front_information.c ---- */
/* Answers what the relay is, now or when a worker has said so. */
void hf_front_inform(struct hf_front *front, struct hf_http_exchange *exchange, const struct hf_registration *record);
void hf_front_document_reassign(struct hf_front_job *job); /* the worker that has it does not do it */
void hf_front_documents_free(struct hf_front *front);

/* ---- front_delegate.c ---- */
void hf_front_question_reassign(struct hf_front_job *job); /* the worker that has it does not do it */
void hf_front_questions_free(struct hf_front *front);

#endif
