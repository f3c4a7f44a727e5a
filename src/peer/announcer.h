/* announcer: keeps a server findable: announced at the three nodes nearest to the hash of its key, whose ways to us it keeps open, and at
 * others when those are gone. (spec: swarm, 4.5) Private to peer/.
 */
#ifndef HF_PEER_ANNOUNCER_H
#define HF_PEER_ANNOUNCER_H

#include "peer/connector.h"
#include "wire/dht/handshake.h"

#define HF_ANNOUNCER_RELAYS 3u
#define HF_ANNOUNCER_PING_MS 3000u
#define HF_ANNOUNCER_PINGS 100u /* then it announces again, about every five minutes */
#define HF_ANNOUNCER_GENERATIONS 3u /* relays of the last ones may still pass messages on */

struct hf_announcer;

struct hf_announcer_events {
	void (*announced)(void *context, size_t relay_count); /* after each round */
	void (*stopped)(void *context);                       /* after hf_announcer_stop: unannounced, as far as nodes answer */
};

int hf_announcer_new(struct hf_announcer **out, struct hf_dht_node *node, const uint8_t secret_key[static HF_SIGN_SECRET_BYTES],
	const uint8_t target[static HF_DHT_ID_BYTES], const struct hf_announcer_events *events, void *context);
void hf_announcer_free(struct hf_announcer *announcer); /* NULL is fine */
void hf_announcer_refresh(struct hf_announcer *announcer);
void hf_announcer_stop(struct hf_announcer *announcer);   /* unannounces; refresh begins anew */

/* Nodes that it is announced at, and how each sees us. */
size_t hf_announcer_relays(const struct hf_announcer *announcer, struct hf_dht_punch_relay out[static HF_ANNOUNCER_RELAYS]);
/* Whether it was announced there lately. */
bool hf_announcer_is_relay(const struct hf_announcer *announcer, const struct hf_address *node);

#endif
