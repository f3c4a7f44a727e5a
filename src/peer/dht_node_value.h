/* dht_node_value: small values that nodes keep for two days: immutable ones under their hash, mutable ones under the hash of the key that
 * signed them. (spec: swarm, 3.1 to 3.3)
 *
 * Embedded like a query; see dht_node.h.
 */
#ifndef HF_PEER_DHT_NODE_VALUE_H
#define HF_PEER_DHT_NODE_VALUE_H

#include "crypto/sign.h"
#include "peer/dht_node_query.h"

struct hf_dht_value {
	/* Given before the start. value is borrowed until done. */
	const uint8_t *secret_key;                   /* of a mutable put: HF_SIGN_SECRET_BYTES; borrowed until the start returns */
	uint8_t public_key[HF_SIGN_PUBLIC_BYTES];    /* of a mutable get */
	uint8_t hash[HF_DHT_ID_BYTES];               /* of an immutable get; given back by an immutable put */
	uint64_t seq;                                /* of a mutable put; the least that a mutable get takes */
	bool first;                                  /* a mutable get ends with the first that is good, rather than find the latest */
	bool only_closest;
	const struct hf_dht_contact *start;          /* as in a query */
	size_t start_count;
	struct hf_slice value;                       /* of a put */
	/* HF_OK. Of a put: value_error is what a node refused it with last, if any did; HF_EDENIED: all refused (value_error says why). Of a get:
	 * found and found_seq, which are the struct's own until the next start or hf_dht_value_free; HF_ENOTFOUND. Or as hf_dht_query's. */
	void (*done)(struct hf_dht_value *value, int code);
	/* Results. */
	struct hf_buffer found;
	uint64_t found_seq;
	bool has_found;
	uint64_t value_error;  /* enum hf_dht_error */
	size_t stored_count;   /* of a put: nodes that took it */
	uint8_t signature[HF_SIGN_SIGNATURE_BYTES]; /* of the value put, or found */
	/* Ours. */
	struct hf_dht_query query;
	uint8_t seq_bytes[HF_COMPACT_UINT_BYTES_MAX];
};

/* HF_ETOOBIG (above HF_DHT_VALUE_BYTES_MAX), HF_EINVAL (no key; seq above 2^53-1), and as hf_dht_query_start. */
HF_API int hf_dht_mutable_put(struct hf_dht_node *node, struct hf_dht_value *value);
HF_API int hf_dht_mutable_get(struct hf_dht_node *node, struct hf_dht_value *value);
HF_API int hf_dht_immutable_put(struct hf_dht_node *node, struct hf_dht_value *value);
HF_API int hf_dht_immutable_get(struct hf_dht_node *node, struct hf_dht_value *value);
/* Cancels what is under way and forgets what was found. */
HF_API void hf_dht_value_free(struct hf_dht_value *value);

#endif
