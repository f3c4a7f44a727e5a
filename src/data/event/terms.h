/* terms: which index entries an event has, and the store's schema for events.
 *
 *   author             the pubkey
 *   kind               le32
 *   author+kind        pubkey, le32
 *   tag x              the letter is part of the term's kind; the value's canonical text. Values of any length.
 *   expiry bucket      hour of the expiration, so that a sweep finds what expired without scanning (NIP-40)
 * A document's id is the event's id; its rank is created_at. */
#ifndef HF_DATA_EVENT_TERMS_H
#define HF_DATA_EVENT_TERMS_H

#include "data/event/event.h"
#include "store/store.h"

/* Distinct terms of the event; at most HF_STORE_TERM_COUNT_MAX (further tags are HF_ETOOBIG). */
int hf_event_terms(const struct hf_store *store, const struct hf_event *event, uint64_t *terms, uint32_t *count);
uint64_t hf_term_author(const struct hf_store *store, const uint8_t pubkey[static 32]);
uint64_t hf_term_kind(const struct hf_store *store, uint32_t kind);
uint64_t hf_term_author_kind(const struct hf_store *store, const uint8_t pubkey[static 32], uint32_t kind);
uint64_t hf_term_tag(const struct hf_store *store, char letter, struct hf_slice value);
uint64_t hf_term_expiry_hour(const struct hf_store *store, uint64_t hour);

/* hf_store_schema.describe for collections of events. */
int hf_event_describe(void *context, struct hf_store *store, uint32_t collection, struct hf_slice payload,
	struct hf_doc_key *key, uint64_t *terms);

#endif
