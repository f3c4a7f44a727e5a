/* terms: an event's index entries.
 *
 * Every name space of terms has a number of its own; single-letter tags use the letter's code, so the others stay
 * below 'A'. The store seeds the hash, so values that collide cannot be made outside. */
#include "data/event/terms.h"

#include <stdlib.h>

enum {
	TERM_AUTHOR = 1,
	TERM_KIND,
	TERM_AUTHOR_KIND,
	TERM_ADDRESS,
	TERM_EXPIRY_HOUR,
	TERM_EXPIRY_ERA,
};

/* author, kind, author+kind, address, hour, era; the rest come from tags */
_Static_assert(HF_EVENT_TAG_COUNT_MAX + 6 <= HF_STORE_TERM_COUNT_MAX, "every event that parses can be indexed");

#define DISTINCT_BY_SCAN_COUNT_MAX 24
#define ADDRESS_ON_STACK_BYTES_MAX 256

uint64_t hf_term_author(const struct hf_store *store, const uint8_t pubkey[static 32])
{
	return hf_store_term(store, TERM_AUTHOR, hf_slice(pubkey, 32));
}

uint64_t hf_term_kind(const struct hf_store *store, uint32_t kind)
{
	uint8_t bytes[4];
	hf_store_le32(bytes, kind);
	return hf_store_term(store, TERM_KIND, hf_slice(bytes, sizeof bytes));
}

uint64_t hf_term_author_kind(const struct hf_store *store, const uint8_t pubkey[static 32], uint32_t kind)
{
	uint8_t bytes[36];
	memcpy(bytes, pubkey, 32);
	hf_store_le32(bytes + 32, kind);
	return hf_store_term(store, TERM_AUTHOR_KIND, hf_slice(bytes, sizeof bytes));
}

uint64_t hf_term_tag(const struct hf_store *store, char letter, struct hf_slice value)
{
	return hf_store_term(store, (uint8_t)letter, value);
}

int hf_term_address(const struct hf_store *store, const uint8_t pubkey[static 32], uint32_t kind, struct hf_slice d,
	uint64_t *term)
{
	uint8_t small[36 + ADDRESS_ON_STACK_BYTES_MAX];
	uint8_t *bytes = d.length <= ADDRESS_ON_STACK_BYTES_MAX ? small : malloc(36 + d.length);
	if (!bytes)
		return HF_ENOMEM;
	memcpy(bytes, pubkey, 32);
	hf_store_le32(bytes + 32, kind);
	if (d.length)
		memcpy(bytes + 36, d.data, d.length);
	*term = hf_store_term(store, TERM_ADDRESS, hf_slice(bytes, 36 + d.length));
	if (bytes != small)
		free(bytes);
	return HF_OK;
}

static uint64_t term_of_u64(const struct hf_store *store, uint32_t space, uint64_t value)
{
	uint8_t bytes[8];
	hf_store_le64(bytes, value);
	return hf_store_term(store, space, hf_slice(bytes, sizeof bytes));
}

uint64_t hf_term_expiry_hour(const struct hf_store *store, uint64_t hour)
{
	return term_of_u64(store, TERM_EXPIRY_HOUR, hour);
}

uint64_t hf_term_expiry_era(const struct hf_store *store, uint64_t era)
{
	return term_of_u64(store, TERM_EXPIRY_ERA, era);
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

static uint32_t distinct(uint64_t *terms, uint32_t count)
{
	uint32_t kept = 0;
	if (count <= DISTINCT_BY_SCAN_COUNT_MAX) {
		for (uint32_t i = 0; i < count; i++) {
			uint32_t j = 0;
			while (j < kept && terms[j] != terms[i])
				j++;
			if (j == kept)
				terms[kept++] = terms[i];
		}
		return kept;
	}
	qsort(terms, count, sizeof *terms, compare_u64);
	for (uint32_t i = 0; i < count; i++)
		if (kept == 0 || terms[kept - 1] != terms[i])
			terms[kept++] = terms[i];
	return kept;
}

int hf_event_terms(const struct hf_store *store, const struct hf_event *event, uint64_t *terms, uint32_t *count,
	uint64_t *expiration)
{
	struct hf_slice d = {NULL, 0};
	bool has_d = false, expires = false;
	uint32_t n = 0;
	terms[n++] = hf_term_author(store, event->pubkey);
	terms[n++] = hf_term_kind(store, event->kind);
	terms[n++] = hf_term_author_kind(store, event->pubkey, event->kind);

	struct hf_tag tag;
	size_t cursor = 0;
	while (hf_event_next_tag(event, &cursor, &tag)) {
		if (!tag.letter) {
			expires = expires || hf_slice_equal(tag.name, HF_SLICE_LITERAL("expiration"));
			continue;
		}
		if (tag.letter == 'd' && !has_d) {
			d = tag.value;
			has_d = true;
		}
		if (n == HF_STORE_TERM_COUNT_MAX - 3)
			return HF_ETOOBIG;
		terms[n++] = hf_term_tag(store, tag.letter, tag.value);
	}
	if (hf_kind_is_addressable(event->kind)) {
		int r = hf_term_address(store, event->pubkey, event->kind, d, &terms[n++]);
		if (r < 0)
			return r;
	}
	uint64_t until = expires ? hf_event_expiration(event) : UINT64_MAX;
	if (until != UINT64_MAX) {
		terms[n++] = hf_term_expiry_hour(store, until / 3600);
		terms[n++] = hf_term_expiry_era(store, until / 3600 / HF_EXPIRY_ERA_HOURS);
	}
	if (expiration)
		*expiration = until;
	*count = distinct(terms, n);
	return HF_OK;
}

int hf_event_describe(void *context, struct hf_store *store, uint32_t collection, struct hf_slice payload,
	struct hf_doc_key *key, uint64_t *terms)
{
	struct hf_buffer text = {0};
	struct hf_event event;
	struct hf_event_meta meta;
	int r = hf_event_unpack(payload, &text, &event, &meta);
	if (r == HF_OK)
		r = hf_event_terms(store, &event, terms, &key->term_count, NULL);
	if (r == HF_OK) {
		memcpy(key->id, event.id, sizeof key->id);
		key->rank = event.created_at;
		key->terms = terms;
	}
	hf_buffer_free(&text);
	return r;
}

int hf_event_identify(void *context, struct hf_store *store, uint32_t collection, struct hf_slice payload,
	uint8_t id[static HF_STORE_ID_BYTES])
{
	struct hf_event head;
	int r = hf_event_unpack_head(payload, &head, NULL);
	if (r == HF_OK)
		memcpy(id, head.id, HF_STORE_ID_BYTES);
	return r;
}
