/* Ids of blobs as JSON. */
#include "data/hyperblobs/blobs.h"

#include "data/hyperblobs/json_name.h"

enum { BLOCK_OFFSET = 1, BYTE_OFFSET = 2, BLOCK_LENGTH = 4, BYTE_LENGTH = 8, ALL = 15 };

static int read_number(struct hf_json *json, uint64_t *out)
{
	struct hf_json_token token;
	int status = hf_json_next(json, &token);

	if (status != HF_OK || token.type != HF_JSON_NUMBER || hf_json_u64(token.raw, out) != HF_OK || *out > HF_BLOB_NUMBER_MAX)
		return HF_EMALFORMED;
	return HF_OK;
}

static int read_member(struct hf_json *json, const struct hf_json_token *name, struct hf_blob_id *id, unsigned *seen)
{
	static const struct {
		const char *name;
		unsigned bit;
		size_t offset;
	} members[] = {
		{"blockOffset", BLOCK_OFFSET, offsetof(struct hf_blob_id, block_offset)},
		{"byteOffset", BYTE_OFFSET, offsetof(struct hf_blob_id, byte_offset)},
		{"blockLength", BLOCK_LENGTH, offsetof(struct hf_blob_id, block_count)},
		{"byteLength", BYTE_LENGTH, offsetof(struct hf_blob_id, byte_length)},
	};
	struct hf_json_token value;

	for (size_t i = 0; i < sizeof members / sizeof *members; i++)
		if (hf_json_name_is(name, members[i].name)) {
			*seen |= members[i].bit;
			return read_number(json, (uint64_t *)(void *)((char *)id + members[i].offset));
		}
	if (!hf_json_name_is(name, "blockMap"))
		return hf_json_skip(json) == HF_OK ? HF_OK : HF_EMALFORMED;
	int status = hf_json_next(json, &value);

	id->has_map = value.type == HF_JSON_TRUE;
	if (status != HF_OK || (value.type != HF_JSON_TRUE && value.type != HF_JSON_FALSE && value.type != HF_JSON_NULL))
		return HF_EMALFORMED;
	return HF_OK;
}

int hf_blob_id_read(struct hf_json *json, struct hf_blob_id *id)
{
	struct hf_json_token token;
	unsigned seen = 0;
	int status = hf_json_next(json, &token);

	*id = (struct hf_blob_id){.block_offset = 0};
	if (status != HF_OK || token.type != HF_JSON_OBJECT)
		return HF_EMALFORMED;
	while ((status = hf_json_next(json, &token)) == HF_OK && token.type != HF_JSON_OBJECT_END)
		if ((status = read_member(json, &token, id, &seen)) != HF_OK)
			return status;
	/* An empty block is nothing that the package writes, but a blob may have one. */
	if (status != HF_OK || seen != ALL || id->block_offset > HF_BLOB_NUMBER_MAX - id->block_count
		|| id->byte_offset > HF_BLOB_NUMBER_MAX - id->byte_length || (id->block_count == 0 && id->byte_length > 0))
		return HF_EMALFORMED;
	return HF_OK;
}

int hf_blob_id_decode(struct hf_slice text, struct hf_blob_id *id)
{
	struct hf_json json;
	struct hf_json_token token;

	hf_json_init(&json, text, HF_JSON_DEPTH_MAX);
	int status = hf_blob_id_read(&json, id);

	return status == HF_OK && hf_json_next(&json, &token) != HF_OK ? HF_EMALFORMED : status;
}

int hf_blob_id_encode(const struct hf_blob_id *id, struct hf_buffer *out)
{
	return hf_buffer_printf(out, "{\"blockOffset\":%llu,\"byteOffset\":%llu,\"blockLength\":%llu,\"byteLength\":%llu%s}",
		(unsigned long long)id->block_offset, (unsigned long long)id->byte_offset, (unsigned long long)id->block_count,
		(unsigned long long)id->byte_length, id->has_map ? ",\"blockMap\":true" : "");
}
