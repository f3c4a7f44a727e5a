/* front: the door to the relays and files of workers.
 *
 *   ws(s)://host/<relay path>      a Nostr session with the relay, by way of one of its workers
 *   GET /<relay path>              what the relay is (NIP-11), from one of its workers or its record
 *   GET /drive/:identifier/:file   a file of the relay's drive; GET /pfp/:file and /pfp/:owner/:file an avatar
 *
 * A relay is found by path, alias, identifier or key in the registry, one of its workers by the dispatcher. Who must show a token does
 * so in the query ("token=…"), as "Authorization: Bearer …", or, on a WebSocket, in the first message ["AUTH-TOKEN", "…"]; a worker's
 * own token for the relay goes to the worker and never to the client. (Gateway specification, section 4.4, for order and close codes.)
 *
 * Both ways are pushed and bounded: who does not read is not read for. When a worker fails, the session goes to another one: its
 * subscriptions are asked for again, what was delivered is not delivered twice, EVENTs without an OK are sent again. Only when none
 * is left are subscriptions closed and publishers refused; the socket then stays.
 *
 * Belongs to the loop's thread.
 */
#ifndef HF_SERVICE_GATEWAY_FRONT_H
#define HF_SERVICE_GATEWAY_FRONT_H

#include "net/http_server.h"
#include "service/gateway/dispatcher.h"
#include "service/gateway/limits.h"

struct hf_front;
struct hf_workers;
struct hf_registry;
struct hf_tokens;

struct hf_front_options {
	size_t size;
	struct hf_loop *loop;
	struct hf_metrics *metrics;      /* may be NULL */
	struct hf_workers *workers;      /* borrowed, as what follows */
	struct hf_registry *registry;
	struct hf_tokens *tokens;        /* NULL: relays that ask for a token are closed to all */
	struct hf_dispatcher_options dispatcher; /* events and context are set by the front */
	struct hf_limits_options limits;
	uint32_t session_count_max;      /* 0: 20,000 */
	uint32_t subscriptions_max;      /* of a session; 0: 32 */
	uint32_t message_bytes_max;      /* to a worker; 0: 512 KiB */
	uint32_t overlap_s;              /* how far back a moved subscription is asked for; 0: 60 */
	uint32_t token_timeout_ms;       /* how long a token may be awaited; 0: 10 s */
	uint32_t request_timeout_ms;     /* until the head of a worker's answer; 0: 15 s */
	uint32_t cache_max_age_s;        /* of files that everybody may read; 0: 300 */
};

/* HF_ENOMEM. Listens to registry and tokens until free, which closes all sessions. */
int hf_front_new(struct hf_front **out, const struct hf_front_options *options);
/* Rates, bounds and weights; for what begins from now on. */
void hf_front_reconfigure(struct hf_front *front, const struct hf_front_options *options);
/* Ends all sessions; the HTTP server is freed before, or has drained. */
void hf_front_free(struct hf_front *front); /* NULL is fine */

/* ---- Routes: each answers the exchange, now or later ---- */

void hf_front_answer(struct hf_front *front, struct hf_http_exchange *exchange);        /* GET of any other path */
void hf_front_answer_drive(struct hf_front *front, struct hf_http_exchange *exchange);  /* GET /drive/… */
void hf_front_answer_avatar(struct hf_front *front, struct hf_http_exchange *exchange); /* GET /pfp/… */

/* ---- What the owner of the workers tells ---- */

void hf_front_worker_connected(struct hf_front *front, const uint8_t peer[static 32]);
/* Its sessions go to others that have the relay, where there are any that speak. */
void hf_front_worker_silent(struct hf_front *front, const uint8_t peer[static 32]);
void hf_front_worker_gone(struct hf_front *front, const uint8_t peer[static 32], bool is_revoked);
void hf_front_worker_telemetry(struct hf_front *front, const uint8_t peer[static 32], const struct hf_dispatch_claims *claims);

/* ---- The gateway's own relay ---- */

struct hf_relay;
struct hf_front_delegation {
	const uint8_t *bee_key; /* 32 bytes: what workers know the relay by */
	uint32_t queue_min;     /* queries of the relay under way or waiting, from which on workers are asked */
};
/* Workers whose copy of the relay's bee is near look up REQs while the relay is busy (service/relay/delegate.h). relay NULL: none does any
 * more. The relay outlives the front, or is taken away before. */
void hf_front_delegate(struct hf_front *front, struct hf_relay *relay, const struct hf_front_delegation *delegation);

/* ---- Administration ---- */

struct hf_dispatcher *hf_front_dispatcher(struct hf_front *front);

struct hf_front_stats {
	uint64_t session_count, subscription_count, request_count; /* open */
	uint64_t moved_count;      /* sessions that went to another worker */
	uint64_t repeated_count;   /* events that a worker sent again and the client did not get */
	uint64_t delivered_count, published_count;
};
void hf_front_stats(const struct hf_front *front, struct hf_front_stats *stats);

#endif
