/* swarm_node: a process's place in the swarm: UDX on the loop's sockets, a node of the DHT, a connector and Hyperswarm on it.
 *
 * It comes back by itself: when the machine has other addresses than before, when others see it at another one, when somebody answers
 * again after nobody did, and when the machine slept, connections show whether they live, the network is told where we are now, and topics
 * and peers are looked for anew.
 */
#ifndef HF_SERVICE_SWARM_NODE_H
#define HF_SERVICE_SWARM_NODE_H

#include "base/metrics.h"
#include "peer/swarm.h"
#include "service/swarm_config.h"

#define HF_SWARM_NODE_GOODBYE_MS 3000u /* that closing waits at most for the network to be told */

struct hf_swarm_node;

struct hf_swarm_node_options {
	size_t size; /* sizeof this struct */
	struct hf_loop *loop;
	struct hf_udp_host *host;           /* instead of the loop's, with loop NULL: a simulated network's. Then without hf_swarm_node_leave. */
	const uint8_t *static_secret;       /* HF_SIGN_SECRET_BYTES; copied */
	const struct hf_swarm_bootstrap *bootstrap; /* none in it: nobody is asked, others may come */
	struct hf_address bind;             /* all zero: any address, a port of the DHT's if one is free */
	const struct hf_peer_socket_options *socket; /* of each connection; see hf_swarm_options */
	size_t (*interfaces)(struct hf_address *out, size_t count_max); /* of the machine; NULL: hf_interfaces_ipv4 */
	struct hf_metrics *metrics; /* may be NULL */
	const uint8_t *relay; /* the key of a blind relay for where no direct way can be found; copied; NULL: none */
};
/* HF_EADDR: it cannot be bound; HF_ENOMEM. */
int hf_swarm_node_new(struct hf_swarm_node **out, const struct hf_swarm_node_options *options, struct hf_failure *failure);
/* Ends all connections and says goodbye to the network, turning the loop meanwhile. Not from within the loop; once. NULL is fine. */
void hf_swarm_node_leave(struct hf_swarm_node *node);
/* Sockets that are open were freed before. NULL is fine. */
void hf_swarm_node_free(struct hf_swarm_node *node);
struct hf_swarm *hf_swarm_node_swarm(struct hf_swarm_node *node);
struct hf_dht_node *hf_swarm_node_dht(struct hf_swarm_node *node);
struct hf_dht_connector *hf_swarm_node_connector(struct hf_swarm_node *node);

#endif
