/* sub: databases within a bee, by a prefix of their keys, and what keys and values may be encoded as.
 *
 * A sub's keys are parent's prefix, its name, a separator, and the key. There are two ways of listing it, of the packages hyperbee (a
 * sub) and sub-encoder (which hyperdrives use); they differ in whether the empty key is listed. Specification, Hypercore, section 8.8.
 */
#ifndef HF_DATA_HYPERBEE_SUB_H
#define HF_DATA_HYPERBEE_SUB_H

#include "data/hyperbee/bee.h"

enum hf_bee_sub_kind {
	HF_BEE_SUB,         /* lists from after prefix 00 to before the prefix with its last byte plus 1 */
	HF_BEE_SUB_ENCODER, /* lists from the prefix on, to the same end */
};

struct hf_bee_sub {
	enum hf_bee_sub_kind kind;
	struct hf_buffer prefix;
};

/* parent may be NULL; separator is one byte, 0 by custom, of which 0xff has no end. HF_EINVAL, HF_ENOMEM. */
HF_API int hf_bee_sub_init(struct hf_bee_sub *sub, enum hf_bee_sub_kind kind, const struct hf_bee_sub *parent, struct hf_slice name,
	uint8_t separator);
HF_API void hf_bee_sub_free(struct hf_bee_sub *sub);
/* Appends the key as the bee has it. HF_ENOMEM. */
HF_API int hf_bee_sub_key(const struct hf_bee_sub *sub, struct hf_slice key, struct hf_buffer *out);
/* The key as the sub has it; HF_EINVAL: it is not of this sub. */
HF_API int hf_bee_sub_strip(const struct hf_bee_sub *sub, struct hf_slice key, struct hf_slice *out);
/* A range of the sub's keys as the bee has them. Its bounds point into *bytes, which is cleared first. HF_ENOMEM. */
HF_API int hf_bee_sub_range(const struct hf_bee_sub *sub, const struct hf_bee_range *range, struct hf_buffer *bytes,
	struct hf_bee_range *out);

/* ---- Encodings ---- */

/* A bee does not say how its keys and values are encoded: its users know. */
enum hf_bee_encoding {
	HF_BEE_BINARY,
	HF_BEE_UTF8,
	HF_BEE_JSON,        /* one JSON value as text */
	HF_BEE_COMPACT_ANY, /* one value of compact_any.h */
};
/* HF_EMALFORMED: the bytes are not of that encoding. */
HF_API int hf_bee_encoding_check(enum hf_bee_encoding encoding, struct hf_slice bytes);

#endif
