/* event: a Nostr event as parsed, checked and ready to be kept. (NIP-01)
 *
 * Parsing makes the canonical text [0,"<pubkey>",<created_at>,<kind>,<tags>,"<content>"] in one pass; tags
 * and content are slices of it, so hashing, storing, matching and serving all use the same bytes. */
#ifndef HF_DATA_EVENT_EVENT_H
#define HF_DATA_EVENT_EVENT_H

#include "codec/json.h"

#define HF_EVENT_BYTES_MAX (512u << 10) /* hard limit of the canonical text; the configured limit is lower */
#define HF_EVENT_TAG_COUNT_MAX 2000
#define HF_EVENT_KIND_MAX 65535
#define HF_EVENT_TIME_S_MAX ((UINT64_C(1) << 53) - 1) /* created_at; what a JSON number holds exactly */

struct hf_event {
	uint8_t id[32], pubkey[32], sig[64];
	uint64_t created_at; /* Unix seconds */
	uint32_t kind;
	struct hf_slice tags;    /* JSON text of the tags array, canonical: no white space */
	struct hf_slice content; /* JSON text of the content without its quotes */
};

/* Where a stored event came from. Kept in its record; fields unknown to this version are kept too. */
enum hf_event_source { HF_SOURCE_LOCAL, HF_SOURCE_LOOPBACK, HF_SOURCE_PRIVATE, HF_SOURCE_PUBLIC, HF_SOURCE_IMPORT };
/* meta.flags: it has an expiration tag; hf_event_pack sets it, readers look at the tags only then. */
#define HF_EVENT_HAS_EXPIRATION 0x01
#define HF_EVENT_EXTENSION_BYTES_MAX 1024
struct hf_event_meta {
	uint64_t received_ms;       /* Unix milliseconds, below 2^48 */
	uint8_t source;             /* enum hf_event_source */
	uint8_t flags;              /* HF_EVENT_HAS_…; unknown ones are kept */
	struct hf_slice extensions; /* fields: type varint, length varint, bytes; unknown types are kept; often empty */
};

/* Parses the JSON object at *json (the scanner stands before it; after success, behind it). The canonical text is
 * appended to *text, whose memory event->tags and ->content point into (valid until the buffer
 * changes). Checks form, sizes, lower-case hex, kinds, and that id is the hash; not the signature.
 * On error *reason is a machine-readable sentence like "invalid: kind is above 65535" (static). */
int hf_event_parse(struct hf_json *json, struct hf_buffer *text, size_t limit_bytes, struct hf_event *event,
	const char **reason);
/* When parsing failed, a client still wants its OK: the id if the object has a well-formed one, scanned leniently. */
bool hf_event_peek_id(struct hf_slice object, uint8_t id[static 32]);

/* ---- Classes of kinds (NIP-01) ---- */
static inline bool hf_kind_is_ephemeral(uint32_t kind) { return kind >= 20000 && kind < 30000; }
static inline bool hf_kind_is_replaceable(uint32_t kind)
{
	return kind == 0 || kind == 3 || (kind >= 10000 && kind < 20000);
}
static inline bool hf_kind_is_addressable(uint32_t kind) { return kind >= 30000 && kind < 40000; }

/* ---- Tags: walking the canonical text; it was checked when parsed, so this cannot fail ---- */
struct hf_tag {
	struct hf_slice raw;      /* the array's text */
	struct hf_slice name;     /* element 0, raw JSON string body */
	struct hf_slice value;    /* element 1, raw JSON string body; length 0 when missing or empty */
	uint32_t element_count;   /* a tag of one element has no value, not an empty one: no filter matches it */
	char letter;              /* the name when it is one ASCII letter, else 0 */
};
/* *cursor starts at 0. False at the end. */
bool hf_event_next_tag(const struct hf_event *event, size_t *cursor, struct hf_tag *tag);
/* The raw value of the first tag of that name ("d", "expiration"); false when there is none. */
bool hf_event_find_tag(const struct hf_event *event, const char *name, struct hf_slice *value);
/* NIP-40: the expiration tag's time, or UINT64_MAX. */
uint64_t hf_event_expiration(const struct hf_event *event);
/* NIP-70: it has a ["-"] tag. */
bool hf_event_is_protected(const struct hf_event *event);

/* ---- Stored form: header, then the event with hex runs packed to binary; told in packed.h ---- */

/* Appends the stored form; event came from hf_event_parse or hf_event_unpack. HF_ENOMEM; HF_EINVAL when meta does
 * not fit its fields. */
int hf_event_pack(const struct hf_event *event, const struct hf_event_meta *meta, struct hf_buffer *out);
/* Reads a stored payload and checks all of it. The text of tags and content is appended to *text (event points
 * into it); meta (may be NULL) borrows from payload. HF_EMALFORMED, HF_EVERSION, HF_ETOOBIG, HF_ENOMEM; on error
 * *text is as it was. */
int hf_event_unpack(struct hf_slice payload, struct hf_buffer *text, struct hf_event *event,
	struct hf_event_meta *meta);
/* The fixed fields only (id, pubkey, sig, created_at, kind); tags and content are left empty. Cheap. meta may be
 * NULL. */
int hf_event_unpack_head(struct hf_slice payload, struct hf_event *event, struct hf_event_meta *meta);
/* Appends the JSON object straight from the stored form: the hot path of every query. Lengths are checked, the
 * text is trusted: the store has verified its checksum. HF_EMALFORMED, HF_EVERSION, HF_ENOMEM. */
int hf_event_payload_to_json(struct hf_slice payload, struct hf_buffer *out);
/* NIP-40 from the stored form: the expiration tag's time, or UINT64_MAX. */
uint64_t hf_event_payload_expiration(struct hf_slice payload);
/* Has it a tag of this letter whose second element is value (canonical text)? */
bool hf_event_payload_has_tag(struct hf_slice payload, char letter, struct hf_slice value);
/* Appends the JSON object of a parsed event. */
int hf_event_to_json(const struct hf_event *event, struct hf_buffer *out);

#endif
