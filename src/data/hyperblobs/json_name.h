/* json_name: what the readers of ids and entries share: the names of members of small JSON objects, and an id within another object.
 * (Private to them.) */
#ifndef HF_DATA_HYPERBLOBS_JSON_NAME_H
#define HF_DATA_HYPERBLOBS_JSON_NAME_H

#include "codec/json.h"
#include "data/hyperblobs/blobs.h"

#define HF_JSON_NAME_BYTES_MAX 96 /* of one with escapes that is compared; a known name written in escapes alone has 66 */

static inline bool hf_json_name_is(const struct hf_json_token *token, const char *name)
{
	uint8_t decoded[HF_JSON_NAME_BYTES_MAX];

	if ((token->features & HF_JSON_ESCAPES) == 0)
		return hf_slice_equal(token->raw, hf_slice_text(name));
	return token->raw.length <= sizeof decoded
		&& hf_slice_equal(hf_slice(decoded, hf_json_unescape(token->raw, decoded)), hf_slice_text(name));
}

/* The object that comes next; as hf_blob_id_decode. */
int hf_blob_id_read(struct hf_json *json, struct hf_blob_id *id);

#endif
