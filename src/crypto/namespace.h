/* namespace: the constants that keep signatures and hashes of the hypercore packages apart, and what is derived with them:
 * discovery keys, replication capabilities, and the key pairs of a corestore's names.
 */
#ifndef HF_CRYPTO_NAMESPACE_H
#define HF_CRYPTO_NAMESPACE_H

#include "base/bytes.h"

#define HF_NAMESPACE_BYTES 32
#define HF_CORE_KEY_BYTES 32
#define HF_HANDSHAKE_HASH_BYTES 64

enum hf_namespace {
	/* "hypercore" */
	HF_NAMESPACE_TREE,
	HF_NAMESPACE_REPLICATE_INITIATOR,
	HF_NAMESPACE_REPLICATE_RESPONDER,
	HF_NAMESPACE_MANIFEST,
	HF_NAMESPACE_DEFAULT,
	HF_NAMESPACE_DEFAULT_ENCRYPTION,
	/* "hyperswarm/secret-stream" */
	HF_NAMESPACE_STREAM_INITIATOR,
	HF_NAMESPACE_STREAM_RESPONDER,
	HF_NAMESPACE_STREAM_SEND,
	/* "corestore" */
	HF_NAMESPACE_CORESTORE,
	/* "hyperdrive" */
	HF_NAMESPACE_DRIVE_BLOBS,
	HF_NAMESPACE_COUNT,
};
HF_API_DATA const uint8_t hf_namespaces[HF_NAMESPACE_COUNT][HF_NAMESPACE_BYTES];

/* How they came about, for applications' own labels: BLAKE2b(BLAKE2b(label) || index). */
HF_API void hf_namespace_derive(uint8_t out[static HF_NAMESPACE_BYTES], struct hf_slice label, uint8_t index);

/* What a core is looked up and announced by: it tells nothing of the key. */
HF_API void hf_discovery_key(uint8_t out[static 32], const uint8_t core_key[static HF_CORE_KEY_BYTES]);
/* Proves to the other side of one connection that the sender knows the core's key. */
HF_API void hf_replication_capability(uint8_t out[static 32], const uint8_t handshake_hash[static HF_HANDSHAKE_HASH_BYTES],
	bool sender_is_initiator, const uint8_t core_key[static HF_CORE_KEY_BYTES]);

/* A store's root namespace is 32 zero bytes; a name below another gives the next one. out may be parent. */
HF_API void hf_corestore_namespace(uint8_t out[static HF_NAMESPACE_BYTES], const uint8_t parent[static HF_NAMESPACE_BYTES],
	struct hf_slice name);
/* The seed of the key pair of a named core (hf_sign_keypair_from_seed); secret. */
HF_API void hf_corestore_seed(uint8_t out[static 32], const uint8_t primary_key[static 32],
	const uint8_t name_space[static HF_NAMESPACE_BYTES], struct hf_slice name);

#endif
