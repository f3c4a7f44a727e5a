/* handshake: what two peers say to each other through nodes of HyperDHT to get to know each other: the envelope PEER_HANDSHAKE, and in it
 * a message of Noise IK with a payload. (spec: swarm, 4.1 and 4.2; npm hyperdht 6)
 *
 *     client: hf_dht_handshake_init, hf_dht_noise_encode + hf_noise_send → message 1; hf_noise_recv + hf_dht_noise_decode ← message 2
 *     server: the other way round; then both hf_noise_split, hf_dht_holepunch_secret
 */
#ifndef HF_WIRE_DHT_HANDSHAKE_H
#define HF_WIRE_DHT_HANDSHAKE_H

#include "crypto/noise.h"
#include "wire/dht/address.h"

#define HF_DHT_NOISE_VERSION 1u
#define HF_DHT_PUNCH_RELAYS_MAX 8u    /* kept of a payload's; three is what servers have */
#define HF_DHT_SECRET_BYTES 32u
#define HF_DHT_NOISE_BYTES_MAX 1024u  /* of a message of the handshake that we take */

/* Where a message of a peer is on its way; the same in both envelopes. */
enum hf_dht_hop {
	HF_DHT_FROM_CLIENT,
	HF_DHT_FROM_SERVER,
	HF_DHT_FROM_RELAY,
	HF_DHT_FROM_SECOND_RELAY,
	HF_DHT_REPLY,
};
/* What a peer knows of the NAT that it is behind. */
enum hf_dht_firewall {
	HF_DHT_FIREWALL_UNKNOWN,
	HF_DHT_FIREWALL_OPEN,
	HF_DHT_FIREWALL_CONSISTENT, /* one address for all destinations */
	HF_DHT_FIREWALL_RANDOM,     /* another port for each */
};
enum hf_dht_peer_error {
	HF_DHT_PEER_OK,
	HF_DHT_PEER_ABORTED,
	HF_DHT_PEER_VERSION_MISMATCH,
	HF_DHT_PEER_TRY_LATER,
};

/* ---- The payload ---- */

/* A node that a server is announced at, and the server as that node sees it. */
struct hf_dht_punch_relay {
	struct hf_address relay, peer;
};
struct hf_dht_noise_payload {
	uint64_t version; /* any other than HF_DHT_NOISE_VERSION: nothing else was read */
	uint64_t error, firewall;
	bool has_holepunch, has_udx, has_secret_stream, has_relay_through, has_relay_addresses;
	struct {
		uint64_t id;
		size_t relay_count;
		struct hf_dht_punch_relay relays[HF_DHT_PUNCH_RELAYS_MAX];
	} holepunch;
	struct hf_dht_addresses addresses4, addresses6;
	struct {
		bool reusable_socket;
		uint32_t id; /* of the sender's stream: what the other side writes into its packets */
		uint32_t seq;
	} udx;
	struct {
		uint8_t public_key[HF_SIGN_PUBLIC_BYTES], token[HF_DHT_SECRET_BYTES];
	} relay_through;
	struct hf_dht_addresses relay_addresses;
};
/* Appends. HF_EINVAL (an address that is not IPv4), HF_ENOMEM. */
HF_API int hf_dht_noise_encode(const struct hf_dht_noise_payload *payload, struct hf_buffer *out);
/* HF_EMALFORMED, HF_ETOOBIG (a number). What follows the payload is ignored. */
HF_API int hf_dht_noise_decode(struct hf_slice bytes, struct hf_dht_noise_payload *payload);

/* ---- Noise ---- */

/* remote_key: the server's, NULL on its own side. */
HF_API void hf_dht_handshake_init(struct hf_noise *noise, const uint8_t static_secret[static HF_SIGN_SECRET_BYTES],
	const uint8_t *remote_key, struct hf_env *env);
/* What seals the payloads of PEER_HOLEPUNCH. */
HF_API void hf_dht_holepunch_secret(
	uint8_t out[static HF_DHT_SECRET_BYTES], const uint8_t handshake_hash[static HF_HANDSHAKE_HASH_BYTES]);

/* ---- The envelope ---- */

struct hf_dht_peer_handshake {
	enum hf_dht_hop hop;
	struct hf_slice noise; /* points into what was decoded */
	bool has_peer_address, has_relay_address;
	struct hf_address peer_address, relay_address;
};
HF_API int hf_dht_peer_handshake_encode(const struct hf_dht_peer_handshake *message, struct hf_buffer *out);
/* HF_EMALFORMED (also an unknown hop), HF_ETOOBIG. */
HF_API int hf_dht_peer_handshake_decode(struct hf_slice value, struct hf_dht_peer_handshake *message);

#endif
