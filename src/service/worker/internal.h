/* internal: what the parts of a worker share. (Private to service/worker/.)
 *
 *   node.c       the whole: configuration, timers, life; links come and go
 *   link.c       a connection with a gateway: the channel, its streams, frames
 *   register.c   what a gateway is told of us, and what it answers; telemetry
 *   tokens.c     tokens of users, issued by gateways and kept fresh
 *   session.c    a client of a gateway, by a stream, joined with a relay or a replica; exchange.c an HTTP request of one
 *   replica.c    a gateway's relay, sparsely; reader.c a client who reads it
 *   files.c      drives and avatars; file_answer.c one answer from a drive
 *   hypertuna.c  what Hypertuna's gateways ask for in JSON
 *   local.c      clients of our own listener
 *   discover.c   gateways by what they announce; places.c who of them has a place
 *   tell.c       where our relays are, told to others
 *   join.c       strangers who become members of our relays: challenges.c, join_message.c; members.c who they are
 *   post.c       events that go into our relays from here
 *   publish.c    events on their way to a gateway's relay, over a WebSocket
 */
#ifndef HF_SERVICE_WORKER_INTERNAL_H
#define HF_SERVICE_WORKER_INTERNAL_H

#include <jansson.h>

#include "data/event/subscription.h"
#include "data/hyperdrive/drive.h"
#include "data/relay_bee_query.h"
#include "crypto/schnorr.h"
#include "service/discovery.h"
#include "service/worker/challenges.h"
#include "service/worker/places.h"
#include "service/worker/worker.h"
#include "wire/bee_channel.h"
#include "wire/nostr.h"
#include "wire/relay_channel.h"
#include "wire/relay_stream.h"

#define HF_WORKER_TICK_MS 500u
#define HF_WORKER_IDENTIFIER_BYTES_MAX 256
#define HF_WORKER_ALIAS_COUNT_MAX 8
#define HF_WORKER_URL_BYTES_MAX 256
#define HF_WORKER_READER_REQUEST_COUNT_MAX 64     /* of one client of a replica */
#define HF_WORKER_READER_LIMIT_MAX 500            /* stored events that one filter gives */
#define HF_WORKER_STEP_VISITS_MAX 512             /* rows and events that one turn on the loop looks at */
#define HF_WORKER_QUERY_TIMEOUT_MS 60000u
#define HF_WORKER_FILTER_BYTES_MAX (8u << 20)     /* of one request */
#define HF_WORKER_HYPERTUNA_SESSION_COUNT_MAX 1024u
#define HF_WORKER_HYPERTUNA_IDLE_MS 90000u        /* without a question */
#define HF_WORKER_TRUSTED_COUNT_MAX 64u
#define HF_WORKER_POST_COUNT_MAX 64u              /* events on their way into our own relays */
#define HF_WORKER_REASON_BYTES 160
#define HF_WORKER_MEMBER_TOKEN_BYTES 65
#define HF_WORKER_GUEST_COUNT_MAX 64u             /* peers that are no gateways, who may ask to join */
#define HF_WORKER_GUEST_IDLE_US UINT64_C(60000000)
#define HF_WORKER_PUBLISH_COUNT_MAX 1024u         /* events that wait for a gateway's OK */

/* ---- A client's other end: one of our relays, or a replica ---- */

struct hf_worker_reader;
struct hf_worker_client {
	struct hf_relay_connection *connection; /* one of the two */
	struct hf_worker_reader *reader;
};
void hf_worker_client_message(struct hf_worker_client *client, bool is_text, struct hf_slice message);
void hf_worker_client_read_end(struct hf_worker_client *client);
void hf_worker_client_writable(struct hf_worker_client *client);
void hf_worker_client_closed(struct hf_worker_client *client); /* the last */

/* ---- Relays ---- */

struct hf_worker_member {
	uint8_t pubkey[32];
	char token[HF_WORKER_MEMBER_TOKEN_BYTES];
	uint64_t joined_ms;
};
struct hf_worker_relay {
	struct hf_relay *relay;
	const struct hf_config_relay *settings; /* of the worker's configuration */
	const struct hf_secret *bee_key;
	char identifier[HF_WORKER_IDENTIFIER_BYTES_MAX];
	uint8_t key[32];                        /* of its bee */
	struct hf_drive *drive;                 /* NULL: it has none */
	struct hf_worker_member *members;       /* who has joined */
	size_t member_count;
};
/* By key in hexadecimal, identifier (percent-encoded or not, ':' or '/' between), or path. NULL. */
struct hf_worker_relay *hf_worker_find_relay(struct hf_worker_node *node, struct hf_slice name);
/* Whether the token that a gateway passed on lets in: any, where the relay asks for none. */
void hf_worker_relay_token(struct hf_worker_node *node, const struct hf_worker_relay *relay, char out[static 65]); /* which that is */
bool hf_worker_relay_admits(struct hf_worker_node *node, const struct hf_worker_relay *relay, struct hf_slice auth_token);

/* ---- Gateways ---- */

struct hf_worker_gateway {
	uint8_t key[32];
	char url[HF_WORKER_URL_BYTES_MAX];      /* of its relay, ws:// or wss://; empty: not known */
	char told_url[HF_WORKER_URL_BYTES_MAX]; /* as the gateway says itself; for where url is not known */
	bool is_configured, is_hypertuna;
	bool is_free;                           /* given up: the place is for another one */
	bool is_discovered;                     /* it was heard of, and trusted */
	bool is_named;                          /* discovery.trusted has its key, or one that it had before */
	bool is_leaving;                        /* its place is another's: it goes as soon as nothing needs it */
	bool was_connected;                     /* at any time in this run */
	uint64_t taken_us;                      /* when it got its place */
	uint64_t first_ms, heard_ms;            /* when it was heard of first and last, by our clock; 0: never */
	bool is_by_bee;                         /* announced by the first generation: key is none at which it can be dialled */
	bool has_own_url;                       /* url is configured; else it is base_url, and what path the gateway says */
	char base_url[HF_WORKER_URL_BYTES_MAX], name[HF_ANNOUNCEMENT_NAME_BYTES_MAX + 1], region[HF_ANNOUNCEMENT_NAME_BYTES_MAX + 1];
	uint64_t announced_ms, expiry_us;       /* the last announcement's own time; until when it counts */
	uint64_t away_since_us;                 /* neither connected nor announced since then */
	uint8_t predecessors[HF_ANNOUNCEMENT_PREDECESSOR_COUNT_MAX][32]; /* keys it had before, the first first */
	size_t predecessor_count;
	uint64_t succession_ms;                 /* since when it has this key, as an earlier one said; 0: from the beginning */
	bool has_stored_bee;
	uint8_t stored_bee[32];                 /* as it was when the worker ended */
	struct hf_worker_link *link;            /* open, or NULL */
	struct hf_worker_replica *replica;      /* NULL: its bee is not known, or it has none */
	char aliases[HF_WORKER_ALIAS_COUNT_MAX][HF_WORKER_IDENTIFIER_BYTES_MAX]; /* paths of its relay */
	size_t alias_count;
	bool has_signing_key;
	uint8_t signing_key[32];                /* of control frames */
	uint64_t *sequences;                    /* highest of control frames, of each relay */
	uint64_t register_due_us, registered_ms;
	uint32_t register_failures;
	bool is_registering, is_registered;
	struct hf_worker_grant *grants;         /* tokens that it is to issue */
	char refusal[64];                       /* the last that it gave */
	struct hf_worker_publisher *publisher;  /* NULL: nothing was published */
};

/* What an AUTH of its clients has to name, or NULL. What clients say that they came by is not believed: it could be another relay's. */
static inline const char *hf_worker_url(const struct hf_worker_gateway *gateway)
{
	return gateway->url[0] ? gateway->url : gateway->told_url[0] ? gateway->told_url : NULL;
}

/* Requests to join in a minute. */
struct hf_worker_join_rate {
	uint64_t minute_us; /* since when they are counted */
	uint32_t count;
};

/* A connection with a gateway. */
struct hf_worker_link {
	struct hf_worker_link *next, *previous;
	struct hf_worker_node *node;
	struct hf_worker_gateway *gateway;      /* NULL until the peer has said what it is */
	struct hf_peer_socket *socket;          /* NULL: gone */
	struct hf_relay_channel *channel;
	struct hf_relay_streams *streams;       /* NULL: Hypertuna's */
	struct hf_bee_channel *bee_channel;
	struct hf_replicator_stream *bee_stream;
	struct hf_worker_session *sessions;
	struct whole_file *whole_files;         /* hypertuna.c: files on their way into one answer each */
	uint8_t peer[32];
	uint64_t telemetry_due_us;
	uint64_t guest_until_us;                /* of one that is no gateway's */
	struct hf_worker_join_rate join_rate;
	bool is_open, is_guest, is_dead, ends_bee_channel;
};

struct hf_worker_stats {
	struct hf_counter sessions_opened, sessions_refused, sessions_slow, registrations, registration_failures, files, file_failures, file_bytes;
	struct hf_counter queries, query_events, query_failures, delivered, published, publish_failures, replays, foreign;
	struct hf_counter gateways_followed, gateways_dropped, bees_moved;
	struct hf_counter joins, joins_pending, joins_refused;
	struct hf_gauge sessions, queued_bytes, gateways, readers;
};

struct hf_worker_node {
	struct hf_worker_node_options options;
	struct hf_loop *loop;
	struct hf_env *env;
	bool is_compatible, is_ending;
	uint8_t public_key[32], bee_secret[HF_SIGN_SECRET_BYTES]; /* the latter: of nested handshakes, drawn at the start */
	struct hf_worker_relay *relays;
	size_t relay_count;
	struct hf_drive *avatars;               /* NULL: none */
	struct hf_worker_gateway *gateways;     /* HF_WORKER_GATEWAY_COUNT_MAX */
	size_t gateway_count;
	struct hf_worker_link *links;
	struct hf_worker_replica *replicas;
	struct hf_worker_hypertuna *hypertuna;  /* sessions of those that poll */
	bool must_save_tokens;                  /* some have changed since their file was written */
	struct hf_worker_join_rate join_rate;   /* of all guests */
	bool takes_members;                     /* one of the relays does; else the next three are NULL */
	struct hf_challenges *challenges;
	struct hf_schnorr *schnorr;
	struct json_t *other_members;           /* of relays that are not here */
	struct hf_worker_joining *joinings;
	struct hf_worker_joined *joined;
	struct hf_worker_post *posts;
	uint32_t post_count, guest_count;
	struct hf_swarm_session *topic;
	struct hf_worker_teller *teller;        /* NULL: nobody is told */
	struct hf_discovery *discovery;         /* NULL: nobody is listened to */
	uint8_t trusted[HF_WORKER_TRUSTED_COUNT_MAX][32]; /* keys of gateways that are taken when they are heard of */
	size_t trusted_count;
	bool trusts_any, was_told_full; /* the latter: the log has that there is no place */
	uint64_t sweep_due_us;
	struct hf_secret_stream_pool *pool;     /* of nested streams */
	struct hf_timer tick;
	struct hf_loop_deferred reap;           /* frees dead links and sessions */
	struct hf_worker_session *dead_sessions;
	uint32_t session_count;
	size_t queued_bytes;
	uint64_t started_us;
	struct hf_buffer text, json, reply;     /* scratch */
	struct hf_arena arena;
	struct hf_worker_stats stats;
};

/* A delay with chance in it: ms, a fifth more or less. */
uint64_t hf_worker_jitter(struct hf_worker_node *node, uint64_t ms);
/* Before the next attempt, after so many failures in a row: of a registration or a token. */
uint64_t hf_worker_retry_ms(struct hf_worker_node *node, uint32_t failures);

/* ---- node.c ---- */
struct hf_worker_gateway *hf_worker_find_gateway(struct hf_worker_node *node, const uint8_t key[static 32]);
/* NULL: too many, or none of those that are there has to leave for it; a named one gets its place later then, when one has left. */
struct hf_worker_gateway *hf_worker_add_gateway(struct hf_worker_node *node, const uint8_t key[static 32], enum hf_worker_rank rank);
void hf_worker_reap(struct hf_worker_node *node); /* later */
void hf_worker_save_sequences(struct hf_worker_node *node);
/* Notes the sequence of a control frame. False: it is not above the highest; the frame is to be dropped. */
bool hf_worker_take_sequence(struct hf_worker_node *node, struct hf_worker_gateway *gateway, struct hf_slice relay_key, uint64_t sequence);

/* Texts of requests: a path without its query; appended with %XX made bytes; a field of an open, or nothing. HF_ENOMEM. */
struct hf_slice hf_worker_without_query(struct hf_slice path);
int hf_worker_append_decoded(struct hf_buffer *out, struct hf_slice text);
struct hf_slice hf_worker_field(const struct hf_relay_stream_open *open, const char *name);

/* ---- link.c ---- */
void hf_worker_link_open(struct hf_worker_node *node, struct hf_peer_socket *socket);
void hf_worker_link_free(struct hf_worker_link *link);
void hf_worker_link_reap(struct hf_worker_link *link); /* frees what of it is over */
/* The gateway has told which bee its relay is. */
void hf_worker_learn_bee(struct hf_worker_link *link, const uint8_t key[static 32]);
/* The same of a gateway that need not be here. */
void hf_worker_gateway_learn_bee(struct hf_worker_node *node, struct hf_worker_gateway *gateway, const uint8_t key[static 32]);
void hf_worker_link_tick(struct hf_worker_link *link, uint64_t now_us);

/* ---- register.c ---- */
int hf_worker_handshake_members(struct hf_worker_node *node, struct hf_buffer *out);
void hf_worker_bee_info(const struct hf_worker_gateway *gateway, struct hf_relay_bee_info *info);
void hf_worker_register(struct hf_worker_link *link);
void hf_worker_send_telemetry(struct hf_worker_link *link);
void hf_worker_take_frame(struct hf_worker_link *link, struct hf_slice json); /* a control frame, verified here */

/* ---- discover.c ---- */
int hf_worker_discover_configure(struct hf_worker_node *node, struct hf_failure *failure);
/* What was heard before; after the gateways that are configured. */
int hf_worker_discover_load(struct hf_worker_node *node, struct hf_failure *failure);
int hf_worker_discover_start(struct hf_worker_node *node, struct hf_failure *failure);
void hf_worker_discover_end(struct hf_worker_node *node);
void hf_worker_discover_tick(struct hf_worker_node *node, uint64_t now_us);
void hf_worker_give_up(struct hf_worker_node *node, struct hf_worker_gateway *gateway); /* it is not connected, and nobody reads its copy */
enum hf_worker_rank hf_worker_rank_of(const struct hf_worker_gateway *gateway);
/* Named gateways that have no place yet. */
size_t hf_worker_owed_count(const struct hf_worker_node *node);
void hf_worker_discover_aliases(struct hf_worker_gateway *gateway); /* the gateway has told the path of its relay */
struct hf_worker_gateway *hf_worker_find_by_bee(struct hf_worker_node *node, const struct hf_relay_bee_info *bee);

/* ---- tell.c ---- */
struct hf_worker_teller;
/* NULL where nobody is to be told. HF_EINVAL with the sentence. */
int hf_worker_teller_new(struct hf_worker_teller **out, struct hf_worker_node *node, struct hf_failure *failure);
void hf_worker_teller_tick(struct hf_worker_teller *teller, uint64_t now_us); /* NULL is fine, here and below */
void hf_worker_teller_free(struct hf_worker_teller *teller);

/* Where clients reach the relay at the gateway: HF_ETOOBIG, HF_ENOTFOUND (its address is not known). */
int hf_worker_address(const struct hf_worker_gateway *gateway, const struct hf_worker_relay *relay,
	char out[static 2 * HF_WORKER_URL_BYTES_MAX]);

/* ---- tokens.c ---- */
int hf_worker_grants_new(struct hf_worker_node *node, struct hf_worker_gateway *gateway, struct hf_failure *failure);
void hf_worker_grants_free(struct hf_worker_gateway *gateway);
/* One more user, unless he is there. */
int hf_worker_grant_add(struct hf_worker_node *node, struct hf_worker_gateway *gateway, const struct hf_worker_relay *relay,
	const uint8_t user[static 32]);
/* The gateway's token for him; NULL: none, and *is_coming is set where it is being asked for. */
const char *hf_worker_grant_token(const struct hf_worker_gateway *gateway, const struct hf_worker_relay *relay,
	const uint8_t user[static 32], bool *is_coming);
void hf_worker_tokens_tick(struct hf_worker_link *link, uint64_t now_us);
/* Writes the file of tokens, where they have changed: it is written once for all that come together. */
void hf_worker_tokens_save(struct hf_worker_node *node);
void hf_worker_tokens_revoked(struct hf_worker_node *node, struct hf_worker_gateway *gateway, struct hf_slice relay_key, uint64_t sequence,
	const char *reason);

/* ---- session.c, exchange.c ---- */
void hf_worker_session_open(struct hf_worker_link *link, struct hf_relay_stream *stream, const struct hf_relay_stream_open *open);
void hf_worker_exchange_open(struct hf_worker_link *link, struct hf_relay_stream *stream, const struct hf_relay_stream_open *open);
void hf_worker_session_free_dead(struct hf_worker_node *node);
/* The channel is gone: all its sessions are over. */
void hf_worker_sessions_end(struct hf_worker_link *link);

/* ---- replica.c ---- */
struct hf_worker_replica {
	struct hf_worker_replica *next, *previous;
	struct hf_worker_node *node;
	struct hf_worker_gateway *gateway;
	uint8_t key[32];
	struct hf_core *core;
	struct hf_replication *replication;
	struct hf_bee_asker *asker;
	struct hf_bee *bee;
	struct hf_bee_watch *watch;
	struct hf_swarm_session *session;
	struct hf_worker_reader *readers;
	struct hf_worker_request *waiting;      /* that look something up */
	struct hf_subscriptions *subscriptions; /* those that are live */
	struct hf_relay_bee_follower follower;
	struct hf_bee_waiter follow_waiter;
	struct hf_timer turn;                   /* the follower has more to do */
	bool is_following, has_remote_length;
	uint64_t updated_ms, remote_length;     /* as far as the gateway told */
	uint64_t served, served_events, fallbacks, errors;
	uint64_t last_served_ms, last_fallback_ms;
	uint64_t latency_us;                    /* of the last queries, a moving average */
	uint32_t query_count;                   /* under way */
};
int hf_worker_replica_new(struct hf_worker_gateway *gateway, struct hf_worker_node *node, const uint8_t key[static 32]);
/* It is of another bee from now on; what is asked of it ends with a reason. An error leaves it as it was. */
int hf_worker_replica_move(struct hf_worker_replica *replica, const uint8_t key[static 32]);
void hf_worker_replica_leave(struct hf_worker_replica *replica); /* nobody is looked for any more */
void hf_worker_replica_free(struct hf_worker_replica *replica); /* its readers are gone; NULL is fine */
void hf_worker_replica_follow(struct hf_worker_replica *replica); /* somebody is live now */
uint64_t hf_worker_replica_lag(const struct hf_worker_replica *replica);
/* By the bee's key, and the names that the gateway gave its relay. */
struct hf_worker_replica *hf_worker_find_replica(struct hf_worker_node *node, struct hf_slice name);

/* ---- reader.c ---- */
struct hf_worker_reader_options {
	const struct hf_relay_transport *transport;
	void *link;
	bool may_publish;                       /* its events are passed on to the gateway */
	bool tells_version;                     /* says which version it looked into, before EOSE: ["SNAPSHOT", id, {}] */
};
int hf_worker_reader_new(struct hf_worker_replica *replica, const struct hf_worker_reader_options *options, struct hf_worker_reader **out);
void hf_worker_reader_attach(struct hf_worker_reader *reader, void *link); /* where it was not known before */
void hf_worker_reader_message(struct hf_worker_reader *reader, bool is_text, struct hf_slice message);
void hf_worker_reader_writable(struct hf_worker_reader *reader);
void hf_worker_reader_closed(struct hf_worker_reader *reader);
/* Ends what it asks for, with a reason: the replica begins anew or ends. */
void hf_worker_reader_cancel_all(struct hf_worker_reader *reader, const char *reason);
void hf_worker_reader_reply_ok(struct hf_worker_reader *reader, const uint8_t id[static 32], bool accepted, const char *reason);
/* An event that came, for those that are live. */
void hf_worker_deliver(struct hf_worker_replica *replica, const struct hf_event *event, uint64_t block);
struct hf_worker_reader *hf_worker_reader_next(struct hf_worker_reader *reader);

/* ---- publish.c ---- */
/* The reader gets its OK, later. */
void hf_worker_publish(struct hf_worker_reader *reader, struct hf_worker_node *node, struct hf_worker_gateway *gateway,
	const struct hf_event *event, struct hf_slice text); /* text: the client's message */
void hf_worker_publish_forget(struct hf_worker_gateway *gateway, const struct hf_worker_reader *reader);
void hf_worker_publisher_free(struct hf_worker_publisher *publisher); /* NULL is fine */

/* ---- files.c, file_answer.c ---- */

/* How an answer leaves. link is the caller's. */
struct hf_worker_sink {
	/* Once, first. length: of the body; of a HEAD's that is not sent, too. */
	void (*head)(void *link, int status, const char *content_type, uint64_t length, const struct hf_http_field *fields, size_t field_count);
	int (*body)(void *link, struct hf_slice bytes); /* HF_EBUSY: not taken; hf_worker_answer_writable comes. Other errors end it */
	void (*end)(void *link, int status);            /* the last; HF_OK: it is whole. The answer is gone */
};
struct hf_worker_question {
	bool is_head;
	struct hf_slice path;                           /* without the query; percent-encoded or not */
	struct hf_slice range, if_none_match;           /* as in the request's fields */
	struct hf_slice auth_token;
};
struct hf_worker_answer;
/* May be over before it returns; then *out is NULL. */
void hf_worker_answer(struct hf_worker_node *node, const struct hf_worker_question *question, const struct hf_worker_sink *sink, void *link,
	struct hf_worker_answer **out);
void hf_worker_answer_writable(struct hf_worker_answer *answer);
void hf_worker_answer_cancel(struct hf_worker_answer *answer); /* end is not called; NULL is fine */
int hf_worker_open_drives(struct hf_worker_node *node, struct hf_failure *failure);
void hf_worker_close_drives(struct hf_worker_node *node);

/* ---- join.c ---- */
int hf_worker_join_open(struct hf_worker_node *node, struct hf_failure *failure);
void hf_worker_join_request(struct hf_worker_link *link, uint64_t call, struct hf_slice name, struct hf_slice body);
void hf_worker_join_verify(struct hf_worker_link *link, uint64_t call, struct hf_slice body);
void hf_worker_join_tick(struct hf_worker_node *node, uint64_t now_us);
void hf_worker_join_forget(struct hf_worker_link *link); /* what it has asked is not answered any more */
void hf_worker_join_free(struct hf_worker_node *node);

/* ---- members.c ---- */
int hf_worker_members_load(struct hf_worker_node *node, struct hf_failure *failure); /* errors with the sentence */
void hf_worker_members_free(struct hf_worker_node *node);
/* Makes one, with a new token if he is one already; on the disk when it returns. HF_ETOOBIG, HF_ENOMEM, HF_EIO, HF_ENOSPC. */
int hf_worker_admit(struct hf_worker_node *node, struct hf_worker_relay *relay, const uint8_t pubkey[static 32],
	const struct hf_worker_member **out);
struct hf_worker_member *hf_worker_find_member(struct hf_worker_relay *relay, const uint8_t pubkey[static 32]); /* or NULL */
bool hf_worker_is_member_token(const struct hf_worker_relay *relay, struct hf_slice token);

/* ---- post.c ---- */
/* HF_OK; HF_EDUPLICATE: the relay had it; HF_EMALFORMED: the signature or something else is wrong; HF_EDENIED, HF_EBUSY, HF_ECLOSED. With
 * what the relay says. */
typedef void hf_worker_posted(void *context, int status, const char *reason);
/* event: its JSON. done comes later, unless an error is returned: HF_EBUSY, HF_ECLOSED, HF_ENOMEM. */
int hf_worker_post(struct hf_worker_node *node, struct hf_worker_relay *relay, struct hf_slice event, hf_worker_posted *done,
	void *context);
void hf_worker_posts_end(struct hf_worker_node *node); /* each is told HF_ECLOSED */
struct hf_worker_draft {
	unsigned kind;
	struct hf_slice tags;                   /* canonical JSON */
};
/* Appends the JSON of an event without content, signed now by the relay's own key. HF_ENOMEM, HF_EINVAL. */
int hf_worker_sign_event(struct hf_worker_node *node, struct hf_schnorr *schnorr, size_t relay, const struct hf_worker_draft *draft,
	struct hf_buffer *out);

/* ---- hypertuna.c ---- */
void hf_worker_request(struct hf_worker_link *link, uint64_t call, const struct hf_relay_request *request);
/* Takes the value; NULL: there was no memory for it, which is said then. */
void hf_worker_respond_json(struct hf_worker_link *link, uint64_t call, int status, json_t *value);
void hf_worker_hypertuna_forget(struct hf_worker_link *link);   /* its calls are not answered any more */
void hf_worker_whole_files_forget(struct hf_worker_link *link);
void hf_worker_hypertuna_tick(struct hf_worker_node *node, uint64_t now_us);
void hf_worker_hypertuna_free(struct hf_worker_node *node);

#endif
