/* filter: what a REQ or COUNT asks for. (NIP-01) */
#ifndef HF_DATA_EVENT_FILTER_H
#define HF_DATA_EVENT_FILTER_H

#include "data/event/event.h"
#include "base/arena.h"

/* ids + authors + kinds + tag values that one parse takes at most; *items_left may be lower. */
#define HF_FILTER_ITEMS_MAX 10000
#define HF_FILTER_TAGS_MAX 16 /* distinct #x members */

struct hf_filter_tag {
	char letter;                 /* a-z A-Z */
	uint32_t value_count;
	const struct hf_slice *values; /* decoded and re-escaped canonically: comparable with hf_tag.value; sorted */
};

struct hf_filter {
	const uint8_t (*ids)[32];     /* sorted, distinct; NULL when the member is absent */
	const uint8_t (*authors)[32]; /* the same */
	const uint32_t *kinds;        /* sorted, distinct */
	uint32_t id_count, author_count, kind_count;
	bool has_ids, has_authors, has_kinds; /* present, perhaps empty: an empty list matches nothing */
	uint32_t tag_count;
	struct hf_filter_tag tags[HF_FILTER_TAGS_MAX];
	uint64_t since, until;        /* inclusive; 0 and UINT64_MAX when absent */
	uint64_t limit;               /* UINT64_MAX when absent */
	uint64_t arrived_within_s;    /* not 0: of stored events those alone that came so lately; no member of the object */
	bool matches_nothing;         /* an empty list, or since > until */
};

/* Parses the object at *json; all memory comes from the arena (bounded by its limit). Takes at most *items_left values,
 * repeated ones counted each, and takes them off: the work of a request of many filters is bounded by their sum. Unknown members are
 * refused: a filter that is silently widened floods its client. On error *reason is "invalid: …" or "unsupported: …"
 * (static). */
int hf_filter_parse(struct hf_json *json, struct hf_arena *arena, struct hf_filter *filter, uint32_t *items_left,
	const char **reason);
/* Does the event match, limit and arrival aside? */
bool hf_filter_matches(const struct hf_filter *filter, const struct hf_event *event);
/* The same straight from a stored payload, without unpacking it; a malformed payload does not match. */
bool hf_filter_matches_payload(const struct hf_filter *filter, struct hf_slice payload);

#endif
