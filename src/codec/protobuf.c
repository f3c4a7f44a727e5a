#include "codec/protobuf.h"

/* ---- Reading ---- */

static void fail(struct hf_protobuf_reader *in)
{
	if (in->status == HF_OK)
		in->status = HF_EMALFORMED;
	in->at = in->end;
}

uint64_t hf_protobuf_read_varint_long(struct hf_protobuf_reader *in)
{
	uint64_t value = 0;
	size_t length = hf_varint_read(in->at, (size_t)(in->end - in->at), &value);

	if (length == 0) {
		fail(in);
		return 0;
	}
	in->at += length;
	return value;
}

static struct hf_slice read_bytes(struct hf_protobuf_reader *in, uint64_t length)
{
	struct hf_slice bytes = {in->at, length};

	if (in->status != HF_OK || length > (uint64_t)(in->end - in->at)) {
		fail(in);
		return hf_slice(NULL, 0);
	}
	in->at += length;
	return bytes;
}

bool hf_protobuf_next(struct hf_protobuf_reader *in, struct hf_protobuf_field *field)
{
	uint64_t tag;

	if (in->at == in->end)
		return false;
	tag = hf_protobuf_read_varint(in);
	*field = (struct hf_protobuf_field){.number = (uint32_t)(tag >> 3), .type = (enum hf_protobuf_type)(tag & 7)};
	if (tag >> 3 == 0 || tag > UINT32_MAX)
		fail(in);
	switch (field->type) {
	case HF_PROTOBUF_VARINT:
		field->value = hf_protobuf_read_varint(in);
		break;
	case HF_PROTOBUF_FIXED64:
		field->bytes = read_bytes(in, 8);
		field->value = field->bytes.data == NULL ? 0 : hf_load_le64(field->bytes.data);
		break;
	case HF_PROTOBUF_BYTES:
		field->bytes = read_bytes(in, hf_protobuf_read_varint(in));
		break;
	case HF_PROTOBUF_FIXED32:
		field->bytes = read_bytes(in, 4);
		field->value = field->bytes.data == NULL ? 0 : hf_load_le32(field->bytes.data);
		break;
	default:
		fail(in);
	}
	return in->status == HF_OK;
}

/* ---- Writing ---- */

size_t hf_protobuf_varint_bytes(uint64_t value)
{
	unsigned bits = 64 - (unsigned)__builtin_clzll(value | 1);

	return (bits + 6) / 7;
}

static void write(struct hf_protobuf_writer *out, const void *data, size_t length)
{
	if (out->status == HF_OK && length > 0)
		out->status = hf_buffer_append(out->out, data, length);
}

void hf_protobuf_write_varint(struct hf_protobuf_writer *out, uint64_t value)
{
	uint8_t bytes[HF_VARINT_BYTES_MAX];

	write(out, bytes, hf_varint_write(bytes, value));
}

void hf_protobuf_write_tag(struct hf_protobuf_writer *out, uint32_t number, enum hf_protobuf_type type)
{
	hf_protobuf_write_varint(out, (uint64_t)number << 3 | type);
}

void hf_protobuf_write_uint(struct hf_protobuf_writer *out, uint32_t number, uint64_t value)
{
	hf_protobuf_write_tag(out, number, HF_PROTOBUF_VARINT);
	hf_protobuf_write_varint(out, value);
}

void hf_protobuf_write_bytes(struct hf_protobuf_writer *out, uint32_t number, struct hf_slice bytes)
{
	hf_protobuf_write_tag(out, number, HF_PROTOBUF_BYTES);
	hf_protobuf_write_varint(out, bytes.length);
	write(out, bytes.data, bytes.length);
}

void hf_protobuf_write_packed(struct hf_protobuf_writer *out, uint32_t number, const uint64_t *values, size_t count)
{
	uint64_t length = 0;

	if (count == 0)
		return;
	for (size_t i = 0; i < count; i++)
		length += hf_protobuf_varint_bytes(values[i]);
	hf_protobuf_write_tag(out, number, HF_PROTOBUF_BYTES);
	hf_protobuf_write_varint(out, length);
	for (size_t i = 0; i < count; i++)
		hf_protobuf_write_varint(out, values[i]);
}
