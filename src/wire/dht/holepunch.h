/* holepunch: what two peers behind NATs tell each other through a node that both reach, before and while they punch: the envelope
 * PEER_HOLEPUNCH and the sealed payload in it. (spec: swarm, 4.7 and 4.8; npm hyperdht 6)
 */
#ifndef HF_WIRE_DHT_HOLEPUNCH_H
#define HF_WIRE_DHT_HOLEPUNCH_H

#include "crypto/box.h"
#include "wire/dht/handshake.h"

#define HF_DHT_PUNCH_OVERHEAD_BYTES (HF_BOX_NONCE_BYTES + HF_BOX_OVERHEAD_BYTES) /* of a sealed payload */
#define HF_DHT_PUNCH_BYTES_MAX 1024u                                            /* of one that we take */

/* ---- The payload ---- */

struct hf_dht_punch {
	uint64_t error, firewall, round; /* enum hf_dht_peer_error, enum hf_dht_firewall */
	bool is_connected, is_punching;
	bool has_addresses, has_remote_address, has_token, has_remote_token;
	struct hf_dht_addresses addresses; /* the sender's, as others see it */
	struct hf_address remote_address;  /* where the sender has opened a session to */
	uint8_t token[HF_DHT_SECRET_BYTES], remote_token[HF_DHT_SECRET_BYTES];
};
/* Append, read: HF_EINVAL, HF_ENOMEM; HF_EMALFORMED, HF_ETOOBIG. */
HF_API int hf_dht_punch_encode(const struct hf_dht_punch *punch, struct hf_buffer *out);
HF_API int hf_dht_punch_decode(struct hf_slice bytes, struct hf_dht_punch *punch);

/* Encodes and seals with hf_dht_holepunch_secret; the nonce is random and never the same twice. Appends. HF_EINVAL, HF_ENOMEM. */
HF_API int hf_dht_punch_seal(const struct hf_dht_punch *punch, const uint8_t nonce[static HF_BOX_NONCE_BYTES],
	const uint8_t secret[static HF_DHT_SECRET_BYTES], struct hf_buffer *out);
/* HF_EMALFORMED, HF_ETOOBIG, HF_EBADSIG when the other side of the handshake has not sealed it. */
HF_API int hf_dht_punch_open(
	struct hf_slice sealed, const uint8_t secret[static HF_DHT_SECRET_BYTES], struct hf_dht_punch *punch);

/* Whoever gives it back has heard us at this host. The secret is random, one for each connection. */
HF_API void hf_dht_punch_token(uint8_t out[static HF_DHT_SECRET_BYTES], const struct hf_address *host,
	const uint8_t secret[static HF_DHT_SECRET_BYTES]);

/* ---- The envelope ---- */

struct hf_dht_peer_holepunch {
	enum hf_dht_hop hop;
	uint64_t id;             /* what the server calls the connection: hf_dht_noise_payload.holepunch.id */
	struct hf_slice payload; /* sealed; points into what was decoded */
	bool has_peer_address;
	struct hf_address peer_address;
};
HF_API int hf_dht_peer_holepunch_encode(const struct hf_dht_peer_holepunch *message, struct hf_buffer *out);
/* HF_EMALFORMED (also an unknown hop), HF_ETOOBIG. */
HF_API int hf_dht_peer_holepunch_decode(struct hf_slice value, struct hf_dht_peer_holepunch *message);

#endif
