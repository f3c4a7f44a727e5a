/* relay_use: our end of a connection through a blind relay: dials the relay, and asks it to join our stream with the other peer's. (spec:
 * swarm, 4.12 and 6) Private to peer/.
 */
#ifndef HF_PEER_RELAY_USE_H
#define HF_PEER_RELAY_USE_H

#include "peer/path.h"

struct hf_relay_use;

struct hf_relay_use_events {
	/* The relay is ready at this path and knows our stream as relay_id's. */
	void (*paired)(void *context, const struct hf_udx_path *relay, uint32_t relay_id);
	/* It cannot be used, or not any more: hf_relay_use_free is still due. */
	void (*failed)(void *context);
};

/* Dials at once. HF_EBUSY, HF_ENOMEM. */
int hf_relay_use_new(struct hf_relay_use **out, struct hf_dht_connector *connector,
	const uint8_t relay_key[static HF_SIGN_PUBLIC_BYTES], const uint8_t secret_key[static HF_SIGN_SECRET_BYTES], bool is_initiator,
	const uint8_t token[static 32], uint32_t stream_id, const struct hf_relay_use_events *events, void *context);
/* Ends the connection to the relay, with what waits sent or dropped. NULL is fine. */
void hf_relay_use_close(struct hf_relay_use *use);
void hf_relay_use_free(struct hf_relay_use *use);

#endif
