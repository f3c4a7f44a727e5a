/* terms: which index entries an event has, and the store's schema for events.
 *
 *   author             the pubkey
 *   kind               le32
 *   author+kind        pubkey, le32
 *   tag x              the letter is part of the term's name space; the value's canonical text. Values of any length.
 *   address            of addressable kinds: pubkey, le32 kind, the d value's canonical text (empty without a d tag)
 *   expiry hour, era   of events with an expiration: its hour, and its era of 4,096 hours, so that a sweep finds what
 *                      expired without scanning (NIP-40)
 * A document's id is the event's id; its rank is created_at. What a term is made of is part of the index format: a
 * change needs a rebuild of every index. */
#ifndef HF_DATA_EVENT_TERMS_H
#define HF_DATA_EVENT_TERMS_H

#include "data/event/event.h"
#include "store/store.h"

#define HF_EXPIRY_ERA_HOURS 4096

/* Distinct terms of the event, in no order; `terms` has room for HF_STORE_TERM_COUNT_MAX. *expiration (may be NULL) is
 * what hf_event_expiration says, at no further cost. HF_ETOOBIG when there are more terms, HF_ENOMEM. */
int hf_event_terms(const struct hf_store *store, const struct hf_event *event, uint64_t *terms, uint32_t *count,
	uint64_t *expiration);
uint64_t hf_term_author(const struct hf_store *store, const uint8_t pubkey[static 32]);
uint64_t hf_term_kind(const struct hf_store *store, uint32_t kind);
uint64_t hf_term_author_kind(const struct hf_store *store, const uint8_t pubkey[static 32], uint32_t kind);
uint64_t hf_term_tag(const struct hf_store *store, char letter, struct hf_slice value);
/* HF_ENOMEM when a long d value cannot be put together. */
int hf_term_address(const struct hf_store *store, const uint8_t pubkey[static 32], uint32_t kind, struct hf_slice d,
	uint64_t *term);
uint64_t hf_term_expiry_hour(const struct hf_store *store, uint64_t hour);
uint64_t hf_term_expiry_era(const struct hf_store *store, uint64_t era); /* hour / HF_EXPIRY_ERA_HOURS */

/* hf_store_schema.describe and .identify for collections of events. */
int hf_event_describe(void *context, struct hf_store *store, uint32_t collection, struct hf_slice payload,
	struct hf_doc_key *key, uint64_t *terms);
int hf_event_identify(void *context, struct hf_store *store, uint32_t collection, struct hf_slice payload,
	uint8_t id[static HF_STORE_ID_BYTES]);

#endif
