/* relay_channel: the channel between a gateway and a worker, without I/O: requests and answers in both directions, health checks,
 * telemetry and frames, all in JSON. (spec: gateway, sections 3.2 to 3.6: Protomux protocol hypertuna-relay-v2)
 *
 * Both sides are the same here; who is gateway and who is worker stands in the handshakes. Bodies travel as arrays of byte values, and
 * come as those, as {"type":"Buffer","data":[…]} or as strings. Health checks are answered in here. Requests of the remote are answered
 * in any order, at once or later, each once. Callbacks may make any call, also free the channel.
 *
 * A message that is not what the protocol says ends the mux. A body above body_bytes_max does not: its request is answered with 413, its
 * response becomes HF_ETOOBIG.
 */
#ifndef HF_WIRE_RELAY_CHANNEL_H
#define HF_WIRE_RELAY_CHANNEL_H

#include "wire/http.h"
#include "wire/protomux.h"
#include "wire/telemetry.h"

#define HF_RELAY_CHANNEL_PROTOCOL "hypertuna-relay-v2"
#define HF_RELAY_CHANNEL_TOPIC "hypertuna-relay-network" /* its unkeyed hash is where gateways find workers */
#define HF_RELAY_CHANNEL_REQUEST_TIMEOUT_MS 30000u
#define HF_RELAY_CHANNEL_HEALTH_TIMEOUT_MS 5000u
#define HF_RELAY_CHANNEL_BODY_BYTES_MAX 4190000u  /* at four characters a byte it is still one message of the stream */
#define HF_RELAY_CHANNEL_REQUESTS_MAX 1024u       /* of ours that wait for an answer, health checks among them */
#define HF_RELAY_CHANNEL_CALLS_MAX 256u           /* of the remote's that we have not answered; more get 503 */
#define HF_RELAY_CHANNEL_FIELDS_MAX 64u
#define HF_RELAY_CHANNEL_METHOD_BYTES_MAX 16u
#define HF_RELAY_CHANNEL_PATH_BYTES_MAX 4096u     /* with its query */
#define HF_RELAY_CHANNEL_FIELD_BYTES_MAX 16384u   /* all names and values of one message */
#define HF_RELAY_CHANNEL_FRAME_BYTES_MAX 65536u
#define HF_RELAY_CHANNEL_NEVER UINT64_MAX

struct hf_relay_channel;

/* ---- The handshake ---- */

enum hf_relay_capability {
	HF_RELAY_HTTP = 1,
	HF_RELAY_WEBSOCKET = 2,
	HF_RELAY_HEALTH = 4,
	HF_RELAY_TELEMETRY = 8,
	HF_RELAY_STREAM = 16, /* ours: wire/relay_stream.h */
	HF_RELAY_RESUME = 32, /* ours, a worker's: its relays know RESUME (wire/nostr.h) */
};
#define HF_RELAY_CAPABILITIES (HF_RELAY_HTTP | HF_RELAY_WEBSOCKET | HF_RELAY_HEALTH | HF_RELAY_TELEMETRY) /* what every side has */

enum hf_relay_role { HF_RELAY_ROLE_OTHER, HF_RELAY_ROLE_GATEWAY, HF_RELAY_ROLE_REPLICA };

/* The bee of the gateway, or a worker's replica of it. */
struct hf_relay_bee_info {
	bool has_key;
	uint8_t key[32], discovery_key[32];
	uint64_t length, contiguous_length, lag, version, updated_at_ms;
};

struct hf_relay_handshake {
	enum hf_relay_role role;
	bool is_server;
	unsigned capabilities;
	struct hf_relay_bee_info bee;
	/* To send: further members, `"peerId":"…","relayCount":3`, or empty. Received: the whole JSON text. */
	struct hf_slice members;
};

/* Appends the JSON text without its length. HF_ENOMEM. */
int hf_relay_handshake_write(const struct hf_relay_handshake *handshake, struct hf_buffer *out);
/* Unknown members are skipped; what has another type than it should counts as absent. HF_EMALFORMED: not a JSON object. */
int hf_relay_handshake_parse(struct hf_slice json, struct hf_relay_handshake *handshake);

/* ---- Requests and answers ---- */

/* All borrowed. Field names come as they were sent, in any case; values are texts, also where they were sent as numbers. */
struct hf_relay_request {
	struct hf_slice method, path; /* the path with its query; segments are percent-encoded or not, as the sender did */
	const struct hf_http_field *fields;
	size_t field_count;
	struct hf_slice body;         /* empty: none */
};
struct hf_relay_response {
	int status; /* 100 to 599 */
	const struct hf_http_field *fields;
	size_t field_count;
	struct hf_slice body;
};

/* How a request of ours ended, once. HF_OK: answered, with response; else response is NULL: HF_ETIMEOUT, HF_ECLOSED, HF_ETOOBIG. */
typedef void hf_relay_channel_reply(void *context, int result, const struct hf_relay_response *response);

struct hf_relay_channel_events {
	/* Both sides have opened. An error ends the mux. */
	int (*opened)(void *context, struct hf_relay_channel *channel, const struct hf_relay_handshake *theirs);
	/* To be answered with hf_relay_channel_answer. */
	void (*request)(void *context, struct hf_relay_channel *channel, uint64_t call, const struct hf_relay_request *request);
	/* May be NULL. What hf_telemetry_parse refuses is counted and dropped. */
	void (*telemetry)(void *context, struct hf_relay_channel *channel, const struct hf_telemetry *telemetry);
	/* Message type 2: any JSON. May be NULL. */
	void (*frame)(void *context, struct hf_relay_channel *channel, struct hf_slice json);
	/* The last, after the replies of what was outstanding; not after hf_relay_channel_free. May be NULL. */
	void (*closed)(void *context, struct hf_relay_channel *channel, enum hf_channel_end end);
};

struct hf_relay_channel_options {
	const struct hf_relay_handshake *handshake; /* ours; copied */
	uint32_t body_bytes_max;                    /* to receive; 0: HF_RELAY_CHANNEL_BODY_BYTES_MAX, which is the most */
	uint64_t (*wall_ms)(void *context);         /* for the timestamps in health checks */
	const struct hf_relay_channel_events *events;
	void *context;
};

/* As hf_protomux_open, also in its errors; with one, there is no channel. It stays until it is freed, also when it has closed. *out is set
 * before the first callback. */
int hf_relay_channel_new(struct hf_protomux *mux, const struct hf_relay_channel_options *options, struct hf_relay_channel **out);
/* Closes it if it is not: outstanding requests end with HF_ECLOSED in this call. NULL is fine. */
void hf_relay_channel_free(struct hf_relay_channel *channel);
bool hf_relay_channel_is_open(const struct hf_relay_channel *channel);

/* Sends a request. deadline_us: monotonic, or HF_RELAY_CHANNEL_NEVER. *id (may be NULL) is for cancelling. HF_EBUSY: too many are
 * outstanding; HF_EINVAL: a method, path or field is not UTF-8; HF_ETOOBIG, HF_ECLOSED, HF_ENOMEM. Unless HF_OK, reply is not called. */
int hf_relay_channel_request(struct hf_relay_channel *channel, const struct hf_relay_request *request, uint64_t deadline_us,
	hf_relay_channel_reply *reply, void *context, uint64_t *id);
/* Forgets it: reply is not called any more. The remote is not told, for want of a message that says so. */
void hf_relay_channel_cancel(struct hf_relay_channel *channel, uint64_t id);
/* HF_ENOTFOUND: answered before; HF_EINVAL (a status or field); HF_ECLOSED, HF_ETOOBIG, HF_ENOMEM. With ETOOBIG and ENOMEM it may be
 * answered again. */
int hf_relay_channel_answer(struct hf_relay_channel *channel, uint64_t call, const struct hf_relay_response *response);

/* A health check; reply as above, its response NULL also with HF_OK. HF_EDENIED: the remote answered that it is not healthy. */
int hf_relay_channel_check_health(struct hf_relay_channel *channel, uint64_t deadline_us, hf_relay_channel_reply *reply,
	void *context);
/* json: what hf_telemetry_write wrote. HF_ECLOSED, HF_ETOOBIG, HF_ENOMEM. */
int hf_relay_channel_send_telemetry(struct hf_relay_channel *channel, struct hf_slice json);
int hf_relay_channel_send_frame(struct hf_relay_channel *channel, struct hf_slice json);

/* When tick is due: the earliest deadline, or HF_RELAY_CHANNEL_NEVER. tick ends the requests whose deadline has come. */
uint64_t hf_relay_channel_deadline(const struct hf_relay_channel *channel);
void hf_relay_channel_tick(struct hf_relay_channel *channel, uint64_t now_us);

struct hf_relay_channel_stats {
	uint64_t requests_sent, requests_received;
	uint64_t timeouts, calls_refused, bodies_refused, telemetry_refused;
	uint32_t outstanding, calls; /* now */
};
void hf_relay_channel_stats(const struct hf_relay_channel *channel, struct hf_relay_channel_stats *stats);

#endif
