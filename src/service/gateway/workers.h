/* workers: the gateway's connections with the peers that own relays. (spec: gateway, sections 3.1 and 3.7)
 *
 * The pool looks for workers at the topic of hypertuna-relay-network, and dials those that it is told of. A worker of ours has streams
 * (wire/relay_stream.h); Hypertuna's, taken only where options.accepts_hypertuna says so, gets the same face: a WebSocket's messages become
 * POST /post/relay, what comes back is asked for with GET /get/relay every HF_WORKERS_POLL_MS while there are subscriptions, and an HTTP
 * exchange is one request, its answer given in one piece. Which relays a worker has is the registry's to say.
 *
 * It all belongs to the loop's thread. Callbacks come from the loop, but hf_worker_stream_events.ended also from within hf_workers_free.
 */
#ifndef HF_SERVICE_GATEWAY_WORKERS_H
#define HF_SERVICE_GATEWAY_WORKERS_H

#include "peer/core_host.h"
#include "peer/swarm.h"
#include "wire/relay_channel.h"

#define HF_WORKERS_COUNT_MAX 256u             /* where options say 0 */
#define HF_WORKERS_STREAM_COUNT_MAX 4096u     /* of one worker */
#define HF_WORKERS_HEALTH_INTERVAL_MS 30000u
#define HF_WORKERS_LOOK_MS_MIN 1000u          /* between looks for workers that came to the topic meanwhile, doubled each time up to */
#define HF_WORKERS_LOOK_MS_MAX 20000u
#define HF_WORKERS_OPEN_TIMEOUT_MS 15000u     /* from a connection to the open channel */
#define HF_WORKERS_POLL_MS 1000u              /* Hypertuna's workers cannot push */
#define HF_WORKERS_HYPERTUNA_QUEUE_BYTES_MAX (1u << 20) /* a client's messages that wait for such a worker, and one message put together */

struct hf_workers;
struct hf_worker;
struct hf_worker_stream;

/* ---- The pool ---- */

enum hf_worker_end {
	HF_WORKER_GONE,            /* the connection has ended, or the worker has closed its channel */
	HF_WORKER_UNHEALTHY,       /* a health check failed */
	HF_WORKER_REPLACED,        /* a newer connection took its place: the worker is not unreachable */
	HF_WORKER_DISMISSED,       /* hf_worker_dismiss, or the pool was freed */
	HF_WORKER_PROTOCOL,        /* it did not open the channel, or is not taken */
};

struct hf_workers_events {
	/* The channel is open, and the worker is healthy as far as is known. */
	void (*connected)(void *context, struct hf_worker *worker);
	/* It has streams, and nothing has come of it for longer than usual: not gone yet, but another one may be better. May be NULL. */
	void (*silent)(void *context, struct hf_worker *worker);
	/* It answers health checks, but says that it is not well; or that it is well again. May be NULL. */
	void (*health)(void *context, struct hf_worker *worker, bool is_healthy);
	/* The last of it, after `ended` of its streams. */
	void (*gone)(void *context, struct hf_worker *worker, enum hf_worker_end why);
	void (*telemetry)(void *context, struct hf_worker *worker, const struct hf_telemetry *telemetry); /* may be NULL */
	/* A request of the worker's: hf_worker_respond, now or later, while the worker is there. All borrowed. */
	void (*request)(void *context, struct hf_worker *worker, uint64_t call, const struct hf_relay_request *request);
};

struct hf_workers_options {
	size_t size; /* sizeof this struct */
	struct hf_loop *loop;
	/* With the gateway's stable key; the owner of its sockets passes them on: hf_workers_socket_opened. NULL: nobody is looked for, and
	 * every socket that is passed on may become a worker's. */
	struct hf_swarm *swarm;
	const uint8_t *public_key;      /* 32 bytes, of that key; copied */
	struct hf_core_host *cores;     /* the gateway's bee is replicated from here; NULL: no bee */
	const uint8_t *bee_key;         /* 32 bytes, copied; NULL: no bee */
	/* Fills in how long the bee is now, for handshakes and registration. May be NULL. */
	void (*bee_info)(void *context, struct hf_relay_bee_info *info);
	struct hf_metrics *metrics;     /* may be NULL */
	bool accepts_hypertuna;         /* compatibility.hypertuna: workers without the capability "stream" */
	uint32_t worker_count_max;      /* further ones are turned away; 0: the default, also below */
	uint32_t stream_count_max;
	uint32_t health_interval_ms, request_timeout_ms;
	uint32_t body_bytes_max;        /* of answers in JSON */
	const struct hf_workers_events *events;
	void *context;
};
/* Joins the topic, and lets itself be found by its key: a worker that knows it need not wait to be found. HF_ENOMEM, HF_EINVAL. */
int hf_workers_new(struct hf_workers **out, const struct hf_workers_options *options, struct hf_failure *failure);
/* Leaves the topic; streams end with HF_ECLOSED, workers are told `gone`. NULL is fine. */
void hf_workers_free(struct hf_workers *workers);

/* From the owner of the swarm's sockets: after the replicator was attached, and before it is detached. */
void hf_workers_socket_opened(struct hf_workers *workers, struct hf_peer_socket *socket);
void hf_workers_socket_closed(struct hf_workers *workers, struct hf_peer_socket *socket);

/* Keeps a connection with a worker known by its key, for as long as it is wanted. HF_EINVAL: our own key; HF_ENOMEM. */
int hf_workers_want(struct hf_workers *workers, const uint8_t peer_key[static 32]);
void hf_workers_unwant(struct hf_workers *workers, const uint8_t peer_key[static 32]);

struct hf_worker *hf_workers_find(struct hf_workers *workers, const uint8_t peer_key[static 32]); /* connected and healthy, or NULL */
/* All that are connected. *cursor starts at 0; NULL at the end. No worker may come or go meanwhile. */
struct hf_worker *hf_workers_next(struct hf_workers *workers, size_t *cursor);

struct hf_workers_stats {
	uint32_t workers, hypertuna_workers, streams; /* now */
	uint64_t connected, refused, duplicates, unhealthy, requests, polls, telemetry_refused;
};
void hf_workers_stats(const struct hf_workers *workers, struct hf_workers_stats *stats);

/* ---- A worker: from `connected` to the end of `gone` ---- */

const uint8_t *hf_worker_key(const struct hf_worker *worker);
bool hf_worker_is_hypertuna(const struct hf_worker *worker);
bool hf_worker_can_resume(const struct hf_worker *worker); /* its relays know RESUME (wire/nostr.h) */
bool hf_worker_is_silent(const struct hf_worker *worker); /* from `silent` until something comes of it */
bool hf_worker_is_healthy(const struct hf_worker *worker);
const struct hf_telemetry *hf_worker_telemetry(const struct hf_worker *worker); /* the last; NULL: none yet */
uint64_t hf_worker_connected_at_ms(const struct hf_worker *worker);             /* Unix time */
uint32_t hf_worker_stream_count(const struct hf_worker *worker);
void *hf_worker_context(const struct hf_worker *worker); /* the owner's */
void hf_worker_set_context(struct hf_worker *worker, void *context);

/* A request on the channel, with the timeout of the options. Errors and reply as of hf_relay_channel_request. */
int hf_worker_ask(struct hf_worker *worker, const struct hf_relay_request *request, hf_relay_channel_reply *reply, void *context,
	uint64_t *id);
void hf_worker_cancel(struct hf_worker *worker, uint64_t id);
int hf_worker_respond(struct hf_worker *worker, uint64_t call, const struct hf_relay_response *response); /* as hf_relay_channel_answer */
/* A control frame, any JSON (message type 2); Hypertuna's workers do not look at them. */
int hf_worker_send_frame(struct hf_worker *worker, struct hf_slice json);
/* Ends the connection; `gone` comes from the loop. */
void hf_worker_dismiss(struct hf_worker *worker, const char *why);

/* ---- Streams ---- */

enum hf_worker_stream_kind { HF_WORKER_WEBSOCKET = 1, HF_WORKER_HTTP = 2 };

struct hf_worker_request {
	enum hf_worker_stream_kind kind;
	struct hf_slice method, path;
	struct hf_slice relay_key;  /* or identifier, by which the worker knows the relay; of WebSockets */
	struct hf_slice auth_token; /* the relay's own, out of the client's token; may be empty */
	struct hf_slice body;       /* HTTP */
	const struct hf_http_field *fields; /* further ones */
	size_t field_count;
};

struct hf_worker_stream_events {
	/* HTTP: the answer's head; a WebSocket: 101. */
	void (*head)(void *context, int status, const struct hf_http_field *fields, size_t field_count);
	/* Borrowed; hf_worker_stream_consumed gives credit for more. */
	void (*data)(void *context, struct hf_slice bytes, bool is_end_of_message);
	void (*writable)(void *context); /* after HF_EBUSY; may be NULL */
	/* The last; the stream is gone. HF_OK: whole; HF_ECLOSED: the worker went; HF_ETIMEOUT; HF_ECANCELED: the worker has ended it, with
	 * a close code (0: none) and a reason; HF_ETOOBIG. why: one sentence or the reason, never NULL. */
	void (*ended)(void *context, int code, uint32_t close_code, const char *why);
};

/* HF_EBUSY: stream_count_max; HF_ECLOSED, HF_ETOOBIG, HF_EINVAL, HF_ENOMEM: no event comes then. */
int hf_worker_open(struct hf_worker *worker, const struct hf_worker_request *request, const struct hf_worker_stream_events *events,
	void *context, struct hf_worker_stream **out);
/* Of a WebSocket. All is taken or nothing: HF_EBUSY while something of before waits: `writable` comes; HF_ETOOBIG: more than
 * HF_RELAY_STREAM_SEND_BYTES_MAX, or for Hypertuna's HYPERTUNA_QUEUE_BYTES_MAX; HF_ENOMEM. */
int hf_worker_stream_send(struct hf_worker_stream *stream, struct hf_slice bytes, bool is_end_of_message);
size_t hf_worker_stream_room(const struct hf_worker_stream *stream); /* 0: send would say HF_EBUSY */
void hf_worker_stream_consumed(struct hf_worker_stream *stream, size_t bytes);
/* Over at once, no event comes any more. code: of WebSocket's close frames, or enum hf_relay_stream_code. */
void hf_worker_stream_close(struct hf_worker_stream *stream, uint32_t code, const char *reason);
struct hf_worker *hf_worker_stream_worker(const struct hf_worker_stream *stream);

#endif
