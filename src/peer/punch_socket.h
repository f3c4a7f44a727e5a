/* punch_socket: a datagram socket on a port of its own, through which a hole is punched and over which the stream then runs. It is shared
 * by those who use it and goes with the last of them. Private to peer/.
 */
#ifndef HF_PEER_PUNCH_SOCKET_H
#define HF_PEER_PUNCH_SOCKET_H

#include "peer/connector_private.h"

#define HF_PUNCH_PROBE_TTL 5u /* reaches no peer, but opens our NAT */
#define HF_PUNCH_LINGER_MS 3000u /* of a reusable one without users */

struct hf_punch_socket {
	struct hf_dht_connector *connector;
	struct hf_punch_socket *next, *previous;
	struct hf_udx_socket *udx;
	unsigned references;
	bool is_reusable;
	struct hf_timer linger;
	/* A datagram of one byte has come; NULL: they are ignored. The socket may be let go here. */
	void (*probed)(void *context, struct hf_punch_socket *socket, const struct hf_address *from);
	void *context;
};

/* One reference. HF_EADDR, HF_EBUSY (too many open files), HF_ENOMEM. */
int hf_punch_socket_open(struct hf_punch_socket **out, struct hf_dht_connector *connector);
struct hf_punch_socket *hf_punch_socket_ref(struct hf_punch_socket *socket);
void hf_punch_socket_unref(struct hf_punch_socket *socket); /* NULL is fine */
void hf_punch_socket_close(struct hf_punch_socket *socket); /* whoever uses it, at the end of all */
/* Of a path; NULL: it is one of the node's. */
struct hf_punch_socket *hf_punch_socket_of(struct hf_dht_connector *connector, const void *udx);
void hf_punch_socket_probe(struct hf_punch_socket *socket, const struct hf_address *to, bool far);

#endif
