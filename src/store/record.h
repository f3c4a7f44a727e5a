/* record: the types of log records and what their payloads hold. (Private to store/.)
 *
 * Numbers in payloads are little-endian; varints are LEB128. "stream" is the field of the record header (log.h). A
 * decoder takes a payload whose checksum was right, but still checks every length: a program error or another program may
 * have written it.
 */
#ifndef HF_STORE_RECORD_H
#define HF_STORE_RECORD_H

#include "store/log.h"

enum hf_record_type {
	HF_RECORD_GROUP = 1,        /* starts a group: le64 position below which all was synced when it was written */
	HF_RECORD_DOC = 2,          /* stream: collection; payload: the document's bytes and nothing else */
	HF_RECORD_DELETE = 3,       /* stream: collection; id (32), position le64, record bytes le32 of the victim */
	HF_RECORD_DROP = 4,         /* stream: collection; empty: every document before it is gone */
	HF_RECORD_TABLE_PUT = 5,    /* stream: table; key length le16, key, value */
	HF_RECORD_TABLE_DELETE = 6, /* stream: table; key */
	HF_RECORD_BLOCK = 7,        /* varint log, varint index, block */
	HF_RECORD_LOG_TRUNCATE = 8, /* varint log, varint length */
	HF_RECORD_LOG_CLEAR = 9,    /* varint log, varint from, varint to */
	HF_RECORD_LOG_DROP = 10,    /* varint log */
};

#define HF_RECORD_GROUP_BYTES 8
#define HF_RECORD_DELETE_BYTES (HF_STORE_ID_BYTES + 12)

/* True for records that nothing needs any more once a checkpoint has passed them (collect.h has the exceptions). */
static inline bool hf_record_is_garbage(uint8_t type)
{
	return type != HF_RECORD_DOC && type != HF_RECORD_BLOCK && type != HF_RECORD_DROP;
}

struct hf_record_delete {
	const uint8_t *id;
	uint64_t position;
	uint32_t record_bytes;
};

/* All return false when the payload does not follow its format. */
static inline bool hf_record_read_delete(struct hf_slice payload, struct hf_record_delete *out)
{
	if (payload.length != HF_RECORD_DELETE_BYTES)
		return false;
	out->id = payload.data;
	out->position = hf_load_le64(payload.data + HF_STORE_ID_BYTES);
	out->record_bytes = hf_load_le32(payload.data + HF_STORE_ID_BYTES + 8);
	return true;
}

static inline bool hf_record_read_table_put(struct hf_slice payload, struct hf_slice *key, struct hf_slice *value)
{
	if (payload.length < 2)
		return false;
	size_t key_bytes = hf_load_le16(payload.data);
	if (key_bytes > HF_STORE_TABLE_KEY_BYTES_MAX || payload.length - 2 < key_bytes)
		return false;
	*key = hf_slice(payload.data + 2, key_bytes);
	*value = hf_slice(payload.data + 2 + key_bytes, payload.length - 2 - key_bytes);
	return value->length <= HF_STORE_TABLE_VALUE_BYTES_MAX;
}

/* `count` varints from the front; *rest is what follows them. */
static inline bool hf_record_read_varints(struct hf_slice payload, uint64_t *values, int count, struct hf_slice *rest)
{
	for (int i = 0; i < count; i++) {
		size_t used = hf_varint_read(payload.data, payload.length, &values[i]);
		if (used == 0)
			return false;
		payload = hf_slice(payload.data + used, payload.length - used);
	}
	*rest = payload;
	return true;
}

#endif
