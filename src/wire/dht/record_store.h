/* record_store: what a persistent node keeps for others, by the rules of spec: swarm, 3.2: peers at topics, routes to announced servers,
 * mutable and immutable values. In memory only, for a while and up to a number.
 *
 * Requests come here decoded but unproved: signatures, hashes and sequence numbers are checked here, tokens are not.
 */
#ifndef HF_WIRE_DHT_RECORD_STORE_H
#define HF_WIRE_DHT_RECORD_STORE_H

#include "base/env.h"
#include "wire/dht/cache.h"
#include "wire/dht/record.h"

#define HF_DHT_RECORD_LIFE_MS (20u * 60u * 1000u)
#define HF_DHT_VALUE_LIFE_MS (48u * 3600u * 1000u)
#define HF_DHT_BUMP_DRIFT_MS 60000u /* a bump may be so far in the future */

struct hf_dht_record_store;

/* count_max: of topic records, of routes, of bumps and of refreshes each; half of it of mutable and of immutable values. HF_ENOMEM. */
int hf_dht_record_store_new(struct hf_dht_record_store **out, size_t count_max, struct hf_env *env);
void hf_dht_record_store_free(struct hf_dht_record_store *store); /* NULL is fine */
void hf_dht_record_store_tick(struct hf_dht_record_store *store); /* every few seconds: what has lived goes */

/* Where an announce came in, and where from. */
struct hf_dht_store_request {
	const uint8_t *target;        /* HF_DHT_ID_BYTES */
	const uint8_t *id;            /* the storing node's own */
	const uint8_t *token;         /* as it was sent */
	const struct hf_address *from;
	struct hf_slice value;
};
/* HF_OK: stored, or taken away. HF_EMALFORMED, HF_EBADSIG, HF_ENOTFOUND (a refresh of nothing), HF_ENOMEM: no reply is due. */
int hf_dht_record_store_announce(struct hf_dht_record_store *store, const struct hf_dht_store_request *request);
int hf_dht_record_store_unannounce(struct hf_dht_record_store *store, const struct hf_dht_store_request *request);
/* The same for our own key, unproved. */
void hf_dht_record_store_remove(
	struct hf_dht_record_store *store, const uint8_t target[static HF_DHT_ID_BYTES], const uint8_t public_key[static HF_SIGN_PUBLIC_BYTES]);
/* Appends the reply to a lookup: up to HF_DHT_K peers by chance, and the announced server itself if there is room. HF_ENOTFOUND: none. */
int hf_dht_record_store_lookup(
	struct hf_dht_record_store *store, const uint8_t target[static HF_DHT_ID_BYTES], struct hf_buffer *out);
/* The peer's record and where its announce came from; data NULL: none. */
struct hf_slice hf_dht_record_store_route(
	struct hf_dht_record_store *store, const uint8_t target[static HF_DHT_ID_BYTES], struct hf_address *relay);
/* *error is for the reply when HF_EDENIED is returned: HF_DHT_SEQ_REUSED, HF_DHT_SEQ_TOO_LOW. HF_OK; HF_EMALFORMED, HF_EBADSIG (also a
 * target that is not the key's, or the value's, hash), HF_ENOMEM: no reply is due. */
int hf_dht_record_store_put_mutable(
	struct hf_dht_record_store *store, const uint8_t target[static HF_DHT_ID_BYTES], struct hf_slice value, uint64_t *error);
int hf_dht_record_store_put_immutable(
	struct hf_dht_record_store *store, const uint8_t target[static HF_DHT_ID_BYTES], struct hf_slice value);
/* data NULL: none, or of a lower sequence number. */
struct hf_slice hf_dht_record_store_get_mutable(
	struct hf_dht_record_store *store, const uint8_t target[static HF_DHT_ID_BYTES], uint64_t seq_min);
struct hf_slice hf_dht_record_store_get_immutable(struct hf_dht_record_store *store, const uint8_t target[static HF_DHT_ID_BYTES]);

struct hf_dht_record_store_figures {
	size_t records, routes, mutables, immutables, bytes;
	uint64_t evicted;
};
void hf_dht_record_store_read_figures(const struct hf_dht_record_store *store, struct hf_dht_record_store_figures *figures);

#endif
