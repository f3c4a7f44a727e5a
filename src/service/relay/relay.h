/* relay: one Nostr relay: a collection of the store, a policy, an identity, and who is connected to it.
 *
 * Several may live in one process and share loop, store and executors; nothing is global. All calls are made
 * on the loop's thread.
 *
 * An event answered OK is on the disk and in every REQ that arrives later; across EOSE none is missed and none is
 * sent twice. docs/relay.md says what clients can rely on.
 */
#ifndef HF_SERVICE_RELAY_RELAY_H
#define HF_SERVICE_RELAY_RELAY_H

#include "base/metrics.h"
#include "data/event/event.h"
#include "net/http_server.h"
#include "service/config.h"
#include "service/relay/bee.h"
#include "store/store.h"

struct hf_relay;

struct hf_relay_options {
	size_t size;
	struct hf_loop *loop;
	struct hf_store *store;
	struct hf_executor *verify;   /* signature checks */
	struct hf_executor *query;    /* long scans; not the same one, so that scans do not hold up publishers */
	struct hf_metrics *metrics;   /* may be NULL */
	const struct hf_config *config;
	const struct hf_config_relay *settings; /* of this instance */
	uint8_t identity[32];         /* public key of the relay itself */
	struct hf_core_host *host;    /* with settings' bee; else NULL */
	struct hf_slice bee_key;      /* HF_SIGN_SECRET_BYTES: what a new bee is signed with */
	const char *listen_url;       /* ws:// address without a path, for when no public_url is set; borrowed until free */
};

/* Borrows loop, store, executors and metrics until free; the configuration for the call only. */
int hf_relay_new(struct hf_relay **out, const struct hf_relay_options *options, struct hf_failure *failure);
/* Applies what may change while running; on error the old settings stay. */
int hf_relay_reconfigure(struct hf_relay *relay, const struct hf_relay_options *options, struct hf_failure *failure);
/* The relay is about to end: its bee gets no further batch. */
void hf_relay_end(struct hf_relay *relay);
/* Nobody is connected and nothing is under way any more: it can be freed. */
bool hf_relay_is_idle(const struct hf_relay *relay);
/* Releases the cores; before free, where their host goes first. */
void hf_relay_release_cores(struct hf_relay *relay);
void hf_relay_free(struct hf_relay *relay); /* NULL is fine */

/* Answers a request for the relay's path: a WebSocket, the NIP-11 document, or the landing page. */
void hf_relay_answer(struct hf_relay *relay, struct hf_http_exchange *exchange);

/* ---- Clients that come otherwise than by a WebSocket of this process ---- */

/* How messages leave. link is the caller's own. As with WebSockets, calls only queue: none calls the relay from inside, and after close
 * comes hf_relay_connection_closed, later. */
#define HF_RELAY_CHALLENGE_BYTES 16
struct hf_relay_transport {
	int (*send_shared)(void *link, struct hf_websocket_message *message); /* takes its own reference; both: HF_ECLOSED, HF_EBUSY, … */
	int (*send_text)(void *link, struct hf_slice text);                   /* copies */
	size_t (*room)(void *link); /* bytes that may wait still; after 0 hf_relay_connection_writable says that there is room again */
	void (*pause)(void *link);  /* no further messages, but those that are on their way */
	void (*resume)(void *link);
	void (*close)(void *link, uint16_t code, const char *reason);
};
/* What WebSockets are spoken to by; link is the struct hf_websocket. */
extern const struct hf_relay_transport hf_relay_websocket_transport;
struct hf_relay_connection;
struct hf_relay_client {
	const struct hf_relay_transport *transport;
	void *link;                  /* not NULL */
	const char *url;             /* that it came by, which an AUTH must name where no public_url is set; NULL: the listener's */
	enum hf_event_source source;
	bool may_resume;             /* it is a gateway's, which asks for what arrived lately when it takes a subscription over (wire/nostr.h) */
	bool speaks_for_relay;       /* it is ours: what relay.policy says of authors is not asked */
	const uint8_t *challenge;    /* HF_RELAY_CHALLENGE_BYTES that an AUTH must answer, from who keeps the client's session; NULL: drawn */
};
/* HF_ENOMEM. */
int hf_relay_connect(struct hf_relay *relay, const struct hf_relay_client *client, struct hf_relay_connection **out);
void hf_relay_connection_message(struct hf_relay_connection *connection, bool is_text, struct hf_slice message);
void hf_relay_connection_read_end(struct hf_relay_connection *connection); /* all that was read at once was handed in */
void hf_relay_connection_writable(struct hf_relay_connection *connection);
size_t hf_relay_connection_held(const struct hf_relay_connection *connection); /* bytes of memory, beside what the transport holds */
void hf_relay_connection_closed(struct hf_relay_connection *connection);   /* the last; nothing is sent any more */

/* ---- Members that are no part of the configuration ---- */

#define HF_RELAY_MEMBER_COUNT_MAX 1024u
/* Under the policy members, this author may publish, too. HF_OK also for one who is a member already; HF_ETOOBIG, HF_ENOMEM. */
int hf_relay_add_member(struct hf_relay *relay, const uint8_t key[static 32]);
/* Whether the configuration's lists name the author; where everybody may publish, there are none. */
bool hf_relay_lists(const struct hf_relay *relay, const uint8_t key[static 32]);

/* ---- Asking ---- */

const char *hf_relay_instance(const struct hf_relay *relay);
const uint8_t *hf_relay_identity(const struct hf_relay *relay); /* 32 bytes */
const char *hf_relay_path(const struct hf_relay *relay);
struct hf_relay_bee *hf_relay_bee(const struct hf_relay *relay); /* NULL: it is off */

/* Appends the NIP-11 document as it is now, with what the bee is, which changes all the time, or without. HF_ENOMEM. */
int hf_relay_information_append(const struct hf_relay *relay, bool with_bee, struct hf_buffer *out);

#define HF_RELAY_REFUSAL_COUNT 8
const char *hf_relay_refusal_name(size_t index); /* "invalid", "blocked" …: the prefixes of reasons */

struct hf_relay_stats {
	uint64_t connection_count, subscription_count, in_flight_count;
	uint64_t stored_count, duplicate_count, ephemeral_count, refused_count, delivered_count, query_count;
	uint64_t refused[HF_RELAY_REFUSAL_COUNT]; /* refused_count by its reasons */
};
void hf_relay_stats(const struct hf_relay *relay, struct hf_relay_stats *stats);

#endif
