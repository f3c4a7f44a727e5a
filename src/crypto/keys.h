/* keys: the key ring: every key of a node with its purpose, state and dates.
 *
 * A key goes from next over active and retiring to revoked. One key of a purpose is active and signs; verifiers accept
 * every key that is not revoked, so old and new overlap for as long as the operator lets a retiring key be. A
 * revoked key keeps its record, without its secret, so that it stays refused.
 *
 * The ring knows no disk: its owner keeps one record a key in a file of its own (hf_key_file_name, mode 0600, under
 * keys/), loads them all at the start, and after a change writes those that hf_keys_next_unsaved names, in
 * its order: a crash between two writes of a rotation is made good by the next load. Not thread-safe.
 *
 * A record, all numbers little-endian:
 *
 *     0   8  "hfkeyrec"
 *     8   2  version, 1; another one is refused
 *    10   1  purpose
 *    11   1  state
 *    12  16  id
 *    28  32  made, activated, retired, revoked: Unix milliseconds, 0 for not yet
 *    60   2  length of the public key
 *    62   2  length of the secret
 *    64   2  length of the extension: fields of later versions, kept as they are
 *    66      public key, secret, extension
 *        16  BLAKE2b of all before
 */
#ifndef HF_CRYPTO_KEYS_H
#define HF_CRYPTO_KEYS_H

#include "crypto/secret.h"

#define HF_KEY_ID_BYTES 16
#define HF_KEY_PUBLIC_BYTES_MAX 64
#define HF_KEY_SECRET_BYTES_MAX 16384
#define HF_KEY_EXTENSION_BYTES_MAX 4096
#define HF_KEY_RECORD_BYTES_MAX \
	(66 + HF_KEY_PUBLIC_BYTES_MAX + HF_KEY_SECRET_BYTES_MAX + HF_KEY_EXTENSION_BYTES_MAX + 16)
#define HF_KEYS_COUNT_MAX 256 /* of a ring, the revoked ones included */
#define HF_KEY_FILE_NAME_BYTES 64

/* What a key is for, and its material. */
enum hf_key_purpose {
	HF_KEY_SWARM = 1,       /* Ed25519: public 32, secret 64 */
	HF_KEY_STORE_PRIMARY,   /* secret 32, no public: cores' keys are derived from it */
	HF_KEY_GATEWAY_SIGNING, /* Ed25519 */
	HF_KEY_RELAY_IDENTITY,  /* secp256k1, BIP-340: public 32 (x only), secret 32 */
	HF_KEY_TLS,             /* the secret is the private key in PEM, made elsewhere; no public */
	HF_KEY_CORE_SIGNER,     /* Ed25519; any number of them, each for the cores whose manifests name it */
	HF_KEY_PURPOSE_END,
};
enum hf_key_state { HF_KEY_NEXT = 1, HF_KEY_ACTIVE, HF_KEY_RETIRING, HF_KEY_REVOKED, HF_KEY_STATE_END };

struct hf_key {
	enum hf_key_purpose purpose;
	enum hf_key_state state;
	uint8_t id[HF_KEY_ID_BYTES];
	uint64_t made_ms, activated_ms, retired_ms, revoked_ms;
	size_t public_length;
	uint8_t public_key[HF_KEY_PUBLIC_BYTES_MAX];
	struct hf_secret secret;    /* empty once revoked */
	struct hf_secret extension; /* of the record, as it was read */
	bool unsaved;
};

/* "swarm", "store-primary", "gateway-signing", "relay-identity", "tls", "core-signer"; "next" …; NULL for another number. */
const char *hf_key_purpose_name(enum hf_key_purpose purpose);
const char *hf_key_state_name(enum hf_key_state state);
/* "<purpose>-<id in hex>.key" */
void hf_key_file_name(const struct hf_key *key, char out[static HF_KEY_FILE_NAME_BYTES]);

struct hf_keys;
int hf_keys_new(struct hf_keys **out); /* HF_ENOMEM */
void hf_keys_free(struct hf_keys *keys); /* wipes the secrets; NULL is fine */

/* Makes a key in state next. Keys that it returns live as long as the ring. HF_EINVAL for HF_KEY_TLS,
 * HF_ETOOBIG when the ring is full, HF_ENOMEM. *out may be NULL. */
int hf_keys_generate(struct hf_keys *keys, struct hf_env *env, enum hf_key_purpose purpose, struct hf_key **out);
/* The same with material from outside. HF_EINVAL when it does not have the lengths of its purpose. */
int hf_keys_add(struct hf_keys *keys, struct hf_env *env, enum hf_key_purpose purpose, struct hf_slice public_key,
		struct hf_slice secret, struct hf_key **out);

/* The oldest next key becomes active and what was active retiring. HF_ENOTFOUND without a next key. */
int hf_keys_rotate(struct hf_keys *keys, enum hf_key_purpose purpose, uint64_t now_ms);
/* Ends a key at once and wipes its secret; a purpose may be left without an active key. HF_ENOTFOUND. */
int hf_keys_revoke(struct hf_keys *keys, const uint8_t id[static HF_KEY_ID_BYTES], uint64_t now_ms);
/* Revokes keys that have been retiring for overlap_ms; returns how many. */
size_t hf_keys_revoke_retired(struct hf_keys *keys, uint64_t now_ms, uint64_t overlap_ms);

/* The key that signs; NULL when there is none. */
const struct hf_key *hf_keys_active(const struct hf_keys *keys, enum hf_key_purpose purpose);
const struct hf_key *hf_keys_find(const struct hf_keys *keys, const uint8_t id[static HF_KEY_ID_BYTES]);
/* What a verifier accepts: every key of the purpose that is not revoked. *cursor starts at 0; NULL at the end. */
const struct hf_key *hf_keys_next_accepted(const struct hf_keys *keys, enum hf_key_purpose purpose, size_t *cursor);
/* All keys, for listing. */
const struct hf_key *hf_keys_next(const struct hf_keys *keys, size_t *cursor);

/* The key to write next: active ones first, so that a crash never leaves a purpose without a signer. NULL when all
 * are saved. hf_key_saved once its file is durable. */
struct hf_key *hf_keys_next_unsaved(struct hf_keys *keys);
void hf_key_saved(struct hf_key *key);
/* The record, in memory fit for a secret; the caller frees it. HF_ENOMEM. */
int hf_key_encode(const struct hf_key *key, struct hf_secret *record);
/* Takes a record into the ring. Of two active keys of a purpose the one activated first becomes retiring.
 * HF_EMALFORMED, HF_ECORRUPT (checksum), HF_EVERSION, HF_EEXISTS (id), HF_ETOOBIG, HF_ENOMEM. */
int hf_keys_load(struct hf_keys *keys, struct hf_slice record);

#endif
