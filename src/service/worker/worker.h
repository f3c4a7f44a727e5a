/* worker: the part of a process that offers its relays and files to gateways: it waits at the meeting point of gateways and workers, tells
 * those that it is configured for what it has, serves their clients over streams of the peer channel, keeps a sparse replica of their
 * relays and answers for those, too. (Gateway specification, sections 3 and 4.4; docs/worker.md)
 *
 * Who dials is served only if its key is configured (worker.gateways). With compatibility.hypertuna any peer that says it is a gateway is.
 *
 * It all belongs to the loop's thread.
 */
#ifndef HF_SERVICE_WORKER_WORKER_H
#define HF_SERVICE_WORKER_WORKER_H

#include "base/metrics.h"
#include "crypto/secret.h"
#include "net/http_server.h"
#include "peer/core_host.h"
#include "peer/swarm.h"
#include "service/config.h"
#include "service/relay/relay.h"

#define HF_WORKER_GATEWAY_COUNT_MAX 16u
#define HF_WORKER_SESSION_COUNT_MAX 8192u         /* clients of gateways; more are refused */
#define HF_WORKER_QUEUE_BYTES_MAX (4u << 20)      /* that wait for one client; past it its session ends with 1008 */
#define HF_WORKER_QUEUES_BYTES_MAX (128u << 20)   /* and for all */
#define HF_WORKER_REGISTER_INTERVAL_MS 60000u

struct hf_worker_node;

struct hf_worker_node_options {
	size_t size; /* sizeof this struct */
	struct hf_loop *loop;
	struct hf_metrics *metrics;         /* may be NULL */
	const struct hf_config *config;     /* borrowed until free, as what follows */
	const char *directory;              /* of the data, for what it has to remember */
	struct hf_core_host *cores;
	struct hf_swarm *swarm;             /* NULL: gateways come by sockets that are made otherwise */
	struct hf_dht_connector *connector; /* of the swarm; NULL: announcements of gateways are not listened to */
	const uint8_t *static_secret;       /* HF_SIGN_SECRET_BYTES: the worker's own key */
	struct hf_relay *const *relays;     /* in the order of the configuration */
	const struct hf_secret *bee_keys;   /* of each relay, what its bee is signed with; empty: it is registered without a proof */
	const struct hf_secret *identity_keys; /* of each relay, its identity's secret; NULL or empty: nothing is signed with it */
	size_t relay_count;
};
/* HF_EINVAL with the sentence for what is configured wrong; HF_ENOMEM. Opens drives, which waits for the disk. */
int hf_worker_node_new(struct hf_worker_node **out, const struct hf_worker_node_options *options, struct hf_failure *failure);
/* Ends all sessions and lets go of gateways; before the cores' sockets are closed. NULL is fine. */
void hf_worker_node_end(struct hf_worker_node *node);
/* Releases cores; ended, and before the cores' host goes. NULL is fine. */
void hf_worker_node_free(struct hf_worker_node *node);

/* What the configuration of a worker is beyond what is written: its relays have bees, and it is in the swarm. HF_EINVAL with the
 * sentence. */
int hf_worker_config_prepare(struct hf_config *config, struct hf_failure *failure);

/* From the owner of the swarm's sockets: after the replicator was attached, and before it is detached. */
void hf_worker_node_socket_opened(struct hf_worker_node *node, struct hf_peer_socket *socket);
void hf_worker_node_socket_closed(struct hf_worker_node *node, struct hf_peer_socket *socket);

/* Answers local clients: files (/drive/…, /pfp/…), and the replica of a gateway's relay (/gateway, /gateway/NUMBER). */
void hf_worker_node_answer(struct hf_worker_node *node, struct hf_http_exchange *exchange);

/* Appends a JSON object of what there is: gateways, registrations, replicas, sessions. HF_ENOMEM. */
int hf_worker_node_describe(struct hf_worker_node *node, struct hf_buffer *out);

/* Before what failed so many times in a row is tried again: first_ms doubled each time, up to max_ms; without chance. */
uint64_t hf_worker_backoff_ms(uint64_t first_ms, uint64_t max_ms, uint32_t failures);

#endif
