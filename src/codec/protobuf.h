/* protobuf: the wire format of protocol buffers (proto2), as much of it as the hypercore packages use.
 *
 * A reader walks borrowed bytes field by field and has a status that the first fault sets, as in compact.h:
 *
 *     struct hf_protobuf_reader in = hf_protobuf_reader(message);
 *     while (hf_protobuf_next(&in, &field))
 *             if (hf_protobuf_is_bytes(&field, 1))
 *                     ...
 *     if (in.status != HF_OK) ...
 *
 * Fields that the caller does not know are passed over by not looking at them. Status becomes HF_EMALFORMED when the bytes end early, a
 * number takes more than 64 bits, a field has the number 0, or groups are used. Nothing is allocated and nothing recurses; a nested
 * message is read by a reader of its own over the field's bytes.
 *
 * A writer appends to a buffer and is judged once too: HF_ENOMEM.
 */
#ifndef HF_CODEC_PROTOBUF_H
#define HF_CODEC_PROTOBUF_H

#include "base/bytes.h"
#include "base/error.h"

struct hf_protobuf_reader {
	const uint8_t *at, *end;
	int status;
};

enum hf_protobuf_type {
	/* Numbers as on the wire. */
	HF_PROTOBUF_VARINT = 0,
	HF_PROTOBUF_FIXED64 = 1,
	HF_PROTOBUF_BYTES = 2, /* also strings, nested messages and packed lists */
	HF_PROTOBUF_FIXED32 = 5,
};

struct hf_protobuf_field {
	uint32_t number;
	enum hf_protobuf_type type;
	uint64_t value;        /* of all types but BYTES */
	struct hf_slice bytes; /* of BYTES, borrowed */
};

static inline struct hf_protobuf_reader hf_protobuf_reader(struct hf_slice bytes)
{
	static const uint8_t nothing;
	const uint8_t *data = bytes.data != NULL ? bytes.data : &nothing;

	return (struct hf_protobuf_reader){.at = data, .end = data + bytes.length, .status = HF_OK};
}
/* The next field; false at the end, and when the status was set. */
bool hf_protobuf_next(struct hf_protobuf_reader *in, struct hf_protobuf_field *field);
static inline bool hf_protobuf_is_bytes(const struct hf_protobuf_field *field, uint32_t number)
{
	return field->number == number && field->type == HF_PROTOBUF_BYTES;
}
static inline bool hf_protobuf_is_varint(const struct hf_protobuf_field *field, uint32_t number)
{
	return field->number == number && field->type == HF_PROTOBUF_VARINT;
}

/* One number of a packed list; what a reader over its bytes consists of:  while (in.at < in.end) hf_protobuf_read_varint(&in).
 * 0 when the status was set; the rest is taken away then. */
uint64_t hf_protobuf_read_varint_long(struct hf_protobuf_reader *in); /* any length; what read_varint falls back to */
static inline uint64_t hf_protobuf_read_varint(struct hf_protobuf_reader *in)
{
	if (in->at < in->end && *in->at < 0x80)
		return *in->at++;
	return hf_protobuf_read_varint_long(in);
}

struct hf_protobuf_writer {
	struct hf_buffer *out; /* borrowed */
	int status;
};

static inline struct hf_protobuf_writer hf_protobuf_writer(struct hf_buffer *out)
{
	return (struct hf_protobuf_writer){.out = out, .status = HF_OK};
}
size_t hf_protobuf_varint_bytes(uint64_t value); /* 1 to 10 */
void hf_protobuf_write_varint(struct hf_protobuf_writer *out, uint64_t value); /* bare: in packed lists */
void hf_protobuf_write_tag(struct hf_protobuf_writer *out, uint32_t number, enum hf_protobuf_type type);
void hf_protobuf_write_uint(struct hf_protobuf_writer *out, uint32_t number, uint64_t value);
void hf_protobuf_write_bytes(struct hf_protobuf_writer *out, uint32_t number, struct hf_slice bytes);
/* Nothing for an empty list. */
void hf_protobuf_write_packed(struct hf_protobuf_writer *out, uint32_t number, const uint64_t *values, size_t count);

#endif
