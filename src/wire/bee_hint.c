#include "wire/bee_hint.h"

#include "codec/compact.h"
#include "codec/protobuf.h"

enum part { PART_CACHE = 1, PART_GET, PART_RANGE };
enum cache_field { CACHE_START = 1, CACHE_END, CACHE_BLOCKS };
enum get_field { GET_VERSION = 1, GET_KEY };
enum range_field { RANGE_VERSION = 1, RANGE_GTE, RANGE_GT, RANGE_LTE, RANGE_LT, RANGE_LIMIT, RANGE_REVERSE, RANGE_CHECKPOINT };

/* ---- Decoding ---- */

static int check_packed(struct hf_slice numbers)
{
	struct hf_protobuf_reader in = hf_protobuf_reader(numbers);

	while (in.at < in.end)
		hf_protobuf_read_varint(&in);
	return in.status;
}

static int decode_cache(struct hf_slice bytes, struct hf_bee_hint *hint)
{
	struct hf_protobuf_reader in = hf_protobuf_reader(bytes);
	struct hf_protobuf_field field;

	hint->has_cache = true;
	hint->cache.blocks = (struct hf_slice){0};
	while (hf_protobuf_next(&in, &field))
		if (hf_protobuf_is_bytes(&field, CACHE_BLOCKS))
			hint->cache.blocks = field.bytes;
	return in.status == HF_OK ? check_packed(hint->cache.blocks) : in.status;
}

static int decode_get(struct hf_slice bytes, struct hf_bee_hint *hint)
{
	struct hf_protobuf_reader in = hf_protobuf_reader(bytes);
	struct hf_protobuf_field field;

	hint->has_get = true;
	hint->get.version = 0;
	hint->get.key = (struct hf_slice){0};
	while (hf_protobuf_next(&in, &field)) {
		if (hf_protobuf_is_varint(&field, GET_VERSION))
			hint->get.version = field.value;
		else if (hf_protobuf_is_bytes(&field, GET_KEY))
			hint->get.key = field.bytes;
	}
	return in.status;
}

/* The package takes a bound without bytes for none. */
static void read_bound(const struct hf_protobuf_field *field, bool *has, struct hf_slice *bound)
{
	*has = field->bytes.length > 0;
	*bound = field->bytes;
}

static void read_range_field(const struct hf_protobuf_field *field, struct hf_bee_hint *hint)
{
	struct hf_bee_range *range = &hint->range.range;
	bool is_bytes = field->type == HF_PROTOBUF_BYTES, is_number = field->type == HF_PROTOBUF_VARINT;

	switch (field->number) {
	case RANGE_VERSION: hint->range.version = is_number ? field->value : 0; break;
	case RANGE_GTE: if (is_bytes) read_bound(field, &range->has_gte, &range->gte); break;
	case RANGE_GT: if (is_bytes) read_bound(field, &range->has_gt, &range->gt); break;
	case RANGE_LTE: if (is_bytes) read_bound(field, &range->has_lte, &range->lte); break;
	case RANGE_LT: if (is_bytes) read_bound(field, &range->has_lt, &range->lt); break;
	case RANGE_LIMIT:
		range->limit = is_number ? field->value : 0;
		range->has_limit = range->limit > 0;
		break;
	case RANGE_REVERSE: range->reverse = is_number && field->value != 0; break;
	case RANGE_CHECKPOINT:
		if (is_bytes)
			hint->range.checkpoint = field->bytes;
		break;
	default: break;
	}
}

static int decode_range(struct hf_slice bytes, struct hf_bee_hint *hint)
{
	struct hf_protobuf_reader in = hf_protobuf_reader(bytes);
	struct hf_protobuf_field field;

	hint->has_range = true;
	hint->range.version = 0;
	hint->range.range = (struct hf_bee_range){.reverse = false};
	hint->range.checkpoint = (struct hf_slice){0};
	while (hf_protobuf_next(&in, &field))
		read_range_field(&field, hint);
	return in.status == HF_OK ? check_packed(hint->range.checkpoint) : in.status;
}

int hf_bee_hint_decode(struct hf_slice message, struct hf_bee_hint *hint)
{
	struct hf_compact_reader outer = hf_compact_reader(message);
	struct hf_protobuf_reader in = hf_protobuf_reader(hf_compact_read_buffer(&outer));
	struct hf_protobuf_field field;
	int status = outer.status == HF_OK ? HF_OK : HF_EMALFORMED;

	*hint = (struct hf_bee_hint){.has_get = false};
	while (status == HF_OK && hf_protobuf_next(&in, &field)) {
		if (hf_protobuf_is_bytes(&field, PART_CACHE))
			status = decode_cache(field.bytes, hint);
		else if (hf_protobuf_is_bytes(&field, PART_GET))
			status = decode_get(field.bytes, hint);
		else if (hf_protobuf_is_bytes(&field, PART_RANGE))
			status = decode_range(field.bytes, hint);
	}
	return status == HF_OK ? in.status : status;
}

/* ---- Encoding: what has its length in front is written aside first: the part, and the message ---- */

static int finish(struct hf_protobuf_writer *part, uint32_t number, struct hf_buffer *out)
{
	struct hf_buffer bytes = {0};
	struct hf_protobuf_writer message = hf_protobuf_writer(&bytes);
	struct hf_compact_writer outer = hf_compact_writer(out);

	message.status = part->status;
	if (message.status == HF_OK)
		hf_protobuf_write_bytes(&message, number, hf_buffer_slice(part->out));
	if (message.status == HF_OK)
		hf_compact_write_buffer(&outer, hf_buffer_slice(&bytes));
	hf_buffer_free(part->out);
	hf_buffer_free(&bytes);
	return message.status == HF_OK ? outer.status : message.status;
}

int hf_bee_hint_encode_get(uint64_t version, struct hf_slice key, struct hf_buffer *out)
{
	struct hf_buffer bytes = {0};
	struct hf_protobuf_writer part = hf_protobuf_writer(&bytes);

	hf_protobuf_write_uint(&part, GET_VERSION, version);
	hf_protobuf_write_bytes(&part, GET_KEY, key);
	return finish(&part, PART_GET, out);
}

int hf_bee_hint_encode_range(uint64_t version, const struct hf_bee_range *range, const uint64_t *checkpoint, size_t checkpoint_count,
	struct hf_buffer *out)
{
	struct hf_buffer bytes = {0};
	struct hf_protobuf_writer part = hf_protobuf_writer(&bytes);

	hf_protobuf_write_uint(&part, RANGE_VERSION, version);
	if (range->has_gte)
		hf_protobuf_write_bytes(&part, RANGE_GTE, range->gte);
	if (range->has_gt)
		hf_protobuf_write_bytes(&part, RANGE_GT, range->gt);
	if (range->has_lte)
		hf_protobuf_write_bytes(&part, RANGE_LTE, range->lte);
	if (range->has_lt)
		hf_protobuf_write_bytes(&part, RANGE_LT, range->lt);
	hf_protobuf_write_uint(&part, RANGE_LIMIT, range->has_limit ? range->limit : 0);
	hf_protobuf_write_uint(&part, RANGE_REVERSE, range->reverse);
	hf_protobuf_write_packed(&part, RANGE_CHECKPOINT, checkpoint, checkpoint_count);
	return finish(&part, PART_RANGE, out);
}

int hf_bee_hint_encode_cache(const uint64_t *blocks, size_t count, struct hf_buffer *out)
{
	struct hf_buffer bytes = {0};
	struct hf_protobuf_writer part = hf_protobuf_writer(&bytes);
	uint64_t start = count > 0 ? blocks[0] : 0, end = start;

	for (size_t i = 0; i < count; i++) {
		start = blocks[i] < start ? blocks[i] : start;
		end = blocks[i] >= end ? blocks[i] + 1 : end;
	}
	hf_protobuf_write_uint(&part, CACHE_START, start);
	hf_protobuf_write_uint(&part, CACHE_END, end);
	hf_protobuf_write_packed(&part, CACHE_BLOCKS, blocks, count);
	return finish(&part, PART_CACHE, out);
}
