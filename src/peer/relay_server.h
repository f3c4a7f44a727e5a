/* relay_server: a blind relay: joins the streams of peers who cannot reach each other, and sees of what passes only how much it is. Whoever
 * knows its key may use it, within limits. (spec: swarm, 6; npm blind-relay 1)
 */
#ifndef HF_PEER_RELAY_SERVER_H
#define HF_PEER_RELAY_SERVER_H

#include "peer/connector.h"
#include "wire/blind_relay.h"

#define HF_RELAY_BYTES_PER_S (4u << 20)

struct hf_relay_server;

struct hf_relay_server_options {
	size_t size; /* sizeof this struct */
	const uint8_t *secret_key; /* HF_SIGN_SECRET_BYTES: what it listens as; copied */
	struct hf_blind_relay_limits limits; /* zeroes: the defaults */
	uint32_t bytes_per_s;                /* of each stream, in each direction; what comes above is dropped. 0: HF_RELAY_BYTES_PER_S */
	/* As of a server: true refuses who connects. May be NULL. */
	bool (*firewall)(void *context, struct hf_relay_server *server, const uint8_t remote_key[static HF_SIGN_PUBLIC_BYTES],
		const struct hf_address *from);
	/* It is announced. May be NULL. */
	void (*listening)(void *context, struct hf_relay_server *server, size_t relay_count);
	void *context;
};
/* Errors as of hf_dht_server_listen. */
HF_API int hf_relay_server_new(struct hf_relay_server **out, struct hf_dht_connector *connector,
	const struct hf_relay_server_options *options, struct hf_failure *failure);
/* Ends all that it relays. NULL is fine. */
HF_API void hf_relay_server_free(struct hf_relay_server *server);
HF_API const uint8_t *hf_relay_server_public_key(const struct hf_relay_server *server);
HF_API void hf_relay_server_read_stats(const struct hf_relay_server *server, struct hf_blind_relay_stats *stats);
HF_API uint64_t hf_relay_server_relayed_bytes(const struct hf_relay_server *server); /* so far, both directions */

#endif
