/* canonical: the one text of a JSON value that is signed. (Gateway specification, section 4.1)
 *
 * It is what JavaScript writes for the value with its members sorted: no white space; of members with the same name the last; names that
 * are array indexes (0 to 4294967294, without leading zeros) first and by number, all others by their UTF-16 units; numbers as a double
 * prints (1.0 is 1, -0 is 0, 1e21 is 1e+21, what passes the largest double is null); strings in the form of codec/json.h. So a
 * signature can be checked over what was parsed, however the sender wrote it.
 *
 * A lone surrogate is refused, where JavaScript writes it as an escape: no name that this project knows has one.
 *
 * The readers below take canonical text only, of which nothing can be wrong any more; slices that they give are parts of it.
 */
#ifndef HF_SERVICE_GATEWAY_CANONICAL_H
#define HF_SERVICE_GATEWAY_CANONICAL_H

#include "codec/json.h"

#define HF_CANONICAL_BYTES_MAX (256u << 10) /* of the text that is read */
#define HF_CANONICAL_MEMBERS_MAX 4096       /* of one object */

/* Appends the canonical text of one JSON value. HF_EMALFORMED, HF_ETOOBIG (bytes, members, HF_JSON_DEPTH_MAX), HF_ENOMEM; on error
 * *out is as it was. */
int hf_canonical(struct hf_slice json, struct hf_buffer *out);
/* Appends the object that has the members of both; where a name is in both, the newer's value. Both are canonical objects. HF_ENOMEM,
 * HF_ETOOBIG. */
int hf_canonical_merge(struct hf_slice older, struct hf_slice newer, struct hf_buffer *out);
/* Appends the object without the members of these names; names ends with NULL. HF_ENOMEM. */
int hf_canonical_without(struct hf_slice object, const char *const *names, struct hf_buffer *out);

/* The value of a member, by its name in ASCII; false when it is not there or object is no object. */
bool hf_canonical_member(struct hf_slice object, const char *name, struct hf_slice *value);
/* Members in order; name as it is written, without quotes. *cursor starts at 0; false at the end, and at once for what is no object. */
bool hf_canonical_next_member(struct hf_slice object, size_t *cursor, struct hf_slice *name, struct hf_slice *value);
/* Items of an array, in the same way. */
bool hf_canonical_next_item(struct hf_slice array, size_t *cursor, struct hf_slice *value);

static inline bool hf_canonical_is_object(struct hf_slice value) { return value.length > 0 && value.data[0] == '{'; }
static inline bool hf_canonical_is_array(struct hf_slice value) { return value.length > 0 && value.data[0] == '['; }
static inline bool hf_canonical_is_string(struct hf_slice value) { return value.length > 0 && value.data[0] == '"'; }

/* A member that is a string, as it is written between its quotes; false when it is missing or something else. */
bool hf_canonical_raw(struct hf_slice object, const char *name, struct hf_slice *raw);
/* A member that is a string with nothing escaped in it, so that raw is the text itself. */
bool hf_canonical_plain(struct hf_slice object, const char *name, struct hf_slice *text);
/* A member that is a whole number from 0 to 2^53. */
bool hf_canonical_u64(struct hf_slice object, const char *name, uint64_t *value);
/* A member that is true or false; otherwise what stands when it is missing or something else. */
bool hf_canonical_bool(struct hf_slice object, const char *name, bool otherwise);
/* A member that is `length` bytes in lower-case hexadecimal. */
bool hf_canonical_hex(struct hf_slice object, const char *name, void *out, size_t length);

#endif
