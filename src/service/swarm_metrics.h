/* swarm_metrics: what a process's place in the swarm tells of itself, as metrics: the DHT (holdfast_dht_), UDX (holdfast_udx_), connections
 * to peers (holdfast_peer_), the swarm (holdfast_swarm_) and a blind relay (holdfast_blind_relay_). They are copied from what these
 * parts count whenever the registry is printed, which must be on their loop's thread.
 */
#ifndef HF_SERVICE_SWARM_METRICS_H
#define HF_SERVICE_SWARM_METRICS_H

#include "base/metrics.h"
#include "peer/relay_server.h"
#include "peer/swarm.h"

struct hf_swarm_metrics;

/* Borrowed until the metrics are freed; each but dht may be NULL. */
struct hf_swarm_metrics_sources {
	struct hf_dht_node *dht;
	struct hf_dht_connector *connector;
	struct hf_swarm *swarm;
	struct hf_relay_server *relay;
};
/* HF_ENOMEM. registry NULL: *out is NULL, too. */
int hf_swarm_metrics_new(struct hf_swarm_metrics **out, struct hf_metrics *registry, const struct hf_swarm_metrics_sources *sources);
void hf_swarm_metrics_free(struct hf_swarm_metrics *metrics); /* NULL is fine */

#endif
