/* record: what nodes of HyperDHT keep for others: announces of peers, and mutable values; how they are written and what is signed.
 * (spec: swarm, 3.1; npm hyperdht 6)
 *
 * What was decoded points into the bytes.
 */
#ifndef HF_WIRE_DHT_RECORD_H
#define HF_WIRE_DHT_RECORD_H

#include "crypto/sign.h"
#include "wire/dht/message.h"

#define HF_DHT_RECORD_RELAYS_MAX 3u   /* stored of an announce */
#define HF_DHT_LOOKUP_PEERS_MAX 32u   /* taken of a reply; nodes send at most HF_DHT_K and one */
#define HF_DHT_PEER_BYTES_MAX (HF_SIGN_PUBLIC_BYTES + 1 + HF_DHT_RECORD_RELAYS_MAX * HF_DHT_ADDRESS_BYTES) /* of one that is stored */

/* A peer, and nodes through which it is reached. */
struct hf_dht_peer {
	const uint8_t *public_key; /* HF_SIGN_PUBLIC_BYTES */
	struct hf_slice relays;    /* HF_DHT_ADDRESS_BYTES each: hf_dht_closer_count, hf_dht_closer_at */
	struct hf_slice bytes;     /* its whole encoding, which is what is signed */
};
struct hf_dht_announce { /* and unannounce */
	bool has_peer;
	struct hf_dht_peer peer;
	const uint8_t *refresh;   /* 32 bytes; NULL */
	const uint8_t *signature; /* HF_SIGN_SIGNATURE_BYTES; NULL */
	uint64_t bump;
};
struct hf_dht_lookup_reply {
	size_t count; /* of those kept; what comes after is read and forgotten */
	struct hf_dht_peer peers[HF_DHT_LOOKUP_PEERS_MAX];
	uint64_t bump;
};
struct hf_dht_mutable { /* stored, and given to who asks; with public_key: put */
	const uint8_t *public_key; /* of a put */
	uint64_t seq;
	struct hf_slice value;
	const uint8_t *signature;
};

/* All readers: HF_OK, HF_EMALFORMED, HF_ETOOBIG. */
HF_API int hf_dht_peer_read(struct hf_slice bytes, struct hf_dht_peer *peer);
HF_API int hf_dht_announce_read(struct hf_slice bytes, struct hf_dht_announce *announce);
HF_API int hf_dht_lookup_reply_read(struct hf_slice bytes, struct hf_dht_lookup_reply *reply);
HF_API int hf_dht_mutable_put_read(struct hf_slice bytes, struct hf_dht_mutable *put);
HF_API int hf_dht_mutable_read(struct hf_slice bytes, struct hf_dht_mutable *value);

/* All writers append: HF_OK, HF_EINVAL, HF_ENOMEM. */
HF_API int hf_dht_peer_write(
	const uint8_t public_key[static HF_SIGN_PUBLIC_BYTES], const struct hf_address *relays, size_t relay_count, struct hf_buffer *out);
HF_API int hf_dht_announce_write(const struct hf_dht_announce *announce, struct hf_buffer *out); /* the peer by its bytes */
/* records: encodings of peers, one after another, `count` of them. */
HF_API int hf_dht_lookup_reply_write(struct hf_slice records, size_t count, uint64_t bump, struct hf_buffer *out);
HF_API int hf_dht_mutable_put_write(const struct hf_dht_mutable *put, struct hf_buffer *out);
HF_API int hf_dht_mutable_write(const struct hf_dht_mutable *value, struct hf_buffer *out);

/* ---- Signatures ---- */

#define HF_DHT_SIGNABLE_BYTES 64u

/* What is signed by an announce (HF_DHT_ANNOUNCE) or unannounce (HF_DHT_UNANNOUNCE) to the node `id` that gave `token`. refresh may be
 * NULL. */
HF_API void hf_dht_announce_signable(uint8_t out[static HF_DHT_SIGNABLE_BYTES], enum hf_dht_command command,
	const uint8_t target[static HF_DHT_ID_BYTES], const uint8_t id[static HF_DHT_ID_BYTES], const uint8_t token[static HF_DHT_TOKEN_BYTES],
	struct hf_slice peer_bytes, const uint8_t *refresh);
HF_API void hf_dht_mutable_signable(uint8_t out[static HF_DHT_SIGNABLE_BYTES], uint64_t seq, struct hf_slice value);
/* The namespace of a command: BLAKE2b(BLAKE2b("hyperswarm/dht") || command). */
HF_API void hf_dht_namespace(uint8_t out[static 32], enum hf_dht_command command);

#endif
