#include "codec/compact.h"

/* ---- Reading ---- */

void hf_compact_fail(struct hf_compact_reader *in, int status)
{
	if (in->status == HF_OK)
		in->status = status;
	in->at = in->end;
}

const uint8_t *hf_compact_read_fixed(struct hf_compact_reader *in, size_t length)
{
	const uint8_t *at = in->at;

	if (in->status != HF_OK || hf_compact_left(in) < length) {
		hf_compact_fail(in, HF_EMALFORMED);
		return NULL;
	}
	in->at += length;
	return at;
}

/* bytes is at most 8. */
static uint64_t read_le(struct hf_compact_reader *in, size_t bytes)
{
	const uint8_t *at = hf_compact_read_fixed(in, bytes);
	uint64_t value = 0;

	if (at != NULL)
		memcpy(&value, at, bytes);
	return value;
}

static uint64_t bounded(struct hf_compact_reader *in, uint64_t value)
{
	if (value <= HF_COMPACT_UINT_MAX)
		return value;
	hf_compact_fail(in, HF_ETOOBIG);
	return 0;
}

uint64_t hf_compact_read_uint_long(struct hf_compact_reader *in)
{
	uint64_t first = read_le(in, 1);

	switch (first) {
	case 0xfd: return read_le(in, 2);
	case 0xfe: return read_le(in, 4);
	case 0xff: return bounded(in, read_le(in, 8));
	default: return first;
	}
}

static int64_t zig_zag(uint64_t value)
{
	return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

int64_t hf_compact_read_int(struct hf_compact_reader *in)
{
	return zig_zag(hf_compact_read_uint(in));
}

uint64_t hf_compact_read_uint_bits(struct hf_compact_reader *in, unsigned bits)
{
	return bounded(in, read_le(in, bits / 8));
}

int64_t hf_compact_read_int_bits(struct hf_compact_reader *in, unsigned bits)
{
	return zig_zag(hf_compact_read_uint_bits(in, bits));
}

uint64_t hf_compact_read_uint_be_bits(struct hf_compact_reader *in, unsigned bits)
{
	uint64_t value = read_le(in, bits / 8);

	return bounded(in, __builtin_bswap64(value) >> (64 - bits));
}

uint64_t hf_compact_read_lexint(struct hf_compact_reader *in)
{
	uint64_t first = read_le(in, 1), bytes = first - 250, value = 0;

	if (first < 251)
		return first;
	if (first == 255) {
		hf_compact_fail(in, HF_ETOOBIG);
		return 0;
	}
	for (uint64_t i = 0; i < bytes; i++)
		value = value << 8 | read_le(in, 1);
	return in->status == HF_OK ? value + 251 : 0;
}

double hf_compact_read_float32(struct hf_compact_reader *in)
{
	uint32_t bits = (uint32_t)read_le(in, 4);
	float value;

	memcpy(&value, &bits, sizeof value);
	return (double)value;
}

double hf_compact_read_float64(struct hf_compact_reader *in)
{
	uint64_t bits = read_le(in, 8);
	double value;

	memcpy(&value, &bits, sizeof value);
	return value;
}

bool hf_compact_read_bool(struct hf_compact_reader *in)
{
	return read_le(in, 1) == 1;
}

struct hf_slice hf_compact_read_buffer(struct hf_compact_reader *in)
{
	uint64_t length = hf_compact_read_uint(in);
	const uint8_t *data = hf_compact_read_fixed(in, length);

	return hf_slice(data, data == NULL ? 0 : length);
}

size_t hf_compact_read_count(struct hf_compact_reader *in, size_t count_max, size_t item_bytes_min)
{
	uint64_t count = hf_compact_read_uint(in);

	if (count > count_max)
		hf_compact_fail(in, HF_ETOOBIG);
	else if (item_bytes_min > 0 && count > hf_compact_left(in) / item_bytes_min)
		hf_compact_fail(in, HF_EMALFORMED);
	return in->status == HF_OK ? count : 0;
}

struct hf_slice hf_compact_read_uint32_array(struct hf_compact_reader *in, size_t *count)
{
	*count = hf_compact_read_count(in, SIZE_MAX, 4);
	return hf_slice(hf_compact_read_fixed(in, *count * 4), *count * 4);
}

struct hf_slice hf_compact_read_bit_array(struct hf_compact_reader *in, uint64_t *bit_count)
{
	uint64_t bits = hf_compact_read_uint(in), bytes = (bits + 7) / 8;
	const uint8_t *data = hf_compact_read_fixed(in, bytes);

	*bit_count = data == NULL ? 0 : bits;
	return hf_slice(data, data == NULL ? 0 : bytes);
}

struct hf_compact_reader hf_compact_read_frame(struct hf_compact_reader *in)
{
	struct hf_compact_reader frame = hf_compact_reader(hf_compact_read_buffer(in));

	frame.status = in->status;
	return frame;
}

struct hf_slice hf_compact_read_raw(struct hf_compact_reader *in)
{
	struct hf_slice rest = hf_slice(in->at, hf_compact_left(in));

	in->at = in->end;
	return rest;
}

/* ---- Writing ---- */

size_t hf_compact_uint_bytes(uint64_t value)
{
	return value <= 0xfc ? 1 : value <= 0xffff ? 3 : value <= 0xffffffff ? 5 : 9;
}

size_t hf_compact_put_uint(uint8_t *at, uint64_t value)
{
	if (value <= 0xfc) {
		at[0] = (uint8_t)value;
		return 1;
	}
	if (value <= 0xffff) {
		at[0] = 0xfd;
		hf_store_le16(at + 1, (uint16_t)value);
		return 3;
	}
	if (value <= 0xffffffff) {
		at[0] = 0xfe;
		hf_store_le32(at + 1, (uint32_t)value);
		return 5;
	}
	at[0] = 0xff;
	hf_store_le64(at + 1, value);
	return 9;
}

void hf_compact_write_fixed(struct hf_compact_writer *out, const void *data, size_t length)
{
	if (out->status == HF_OK)
		out->status = hf_buffer_append(out->out, data, length);
}

static void refuse(struct hf_compact_writer *out)
{
	if (out->status == HF_OK)
		out->status = HF_EINVAL;
}

void hf_compact_write_uint(struct hf_compact_writer *out, uint64_t value)
{
	uint8_t bytes[HF_COMPACT_UINT_BYTES_MAX];

	if (value > HF_COMPACT_UINT_MAX)
		refuse(out);
	else
		hf_compact_write_fixed(out, bytes, hf_compact_put_uint(bytes, value));
}

static uint64_t zag_zig(int64_t value)
{
	return (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
}

void hf_compact_write_int(struct hf_compact_writer *out, int64_t value)
{
	hf_compact_write_uint(out, zag_zig(value));
}

void hf_compact_write_uint_bits(struct hf_compact_writer *out, uint64_t value, unsigned bits)
{
	if (value > HF_COMPACT_UINT_MAX || (bits < 64 && value >> bits != 0))
		refuse(out);
	else
		hf_compact_write_fixed(out, &value, bits / 8);
}

void hf_compact_write_int_bits(struct hf_compact_writer *out, int64_t value, unsigned bits)
{
	hf_compact_write_uint_bits(out, zag_zig(value), bits);
}

void hf_compact_write_uint_be_bits(struct hf_compact_writer *out, uint64_t value, unsigned bits)
{
	uint64_t swapped = __builtin_bswap64(value << (64 - bits));

	if (value > HF_COMPACT_UINT_MAX || (bits < 64 && value >> bits != 0))
		refuse(out);
	else
		hf_compact_write_fixed(out, &swapped, bits / 8);
}

void hf_compact_write_lexint(struct hf_compact_writer *out, uint64_t value)
{
	uint64_t rest = value - 251;
	uint8_t bytes[5];

	if (value < 251) {
		bytes[0] = (uint8_t)value;
		hf_compact_write_fixed(out, bytes, 1);
	} else if (value < 256) {
		bytes[0] = 251;
		bytes[1] = (uint8_t)rest;
		hf_compact_write_fixed(out, bytes, 2);
	} else if (value < 1 << 16) {
		bytes[0] = 252;
		hf_store_be16(bytes + 1, (uint16_t)rest);
		hf_compact_write_fixed(out, bytes, 3);
	} else if (value < 1 << 24) {
		hf_store_be32(bytes, (uint32_t)rest);
		bytes[0] = 253;
		hf_compact_write_fixed(out, bytes, 4);
	} else if (value <= UINT32_MAX) {
		bytes[0] = 254;
		hf_store_be32(bytes + 1, (uint32_t)rest);
		hf_compact_write_fixed(out, bytes, 5);
	} else {
		refuse(out);
	}
}

void hf_compact_write_float32(struct hf_compact_writer *out, double value)
{
	float narrow = (float)value;

	hf_compact_write_fixed(out, &narrow, sizeof narrow);
}

void hf_compact_write_float64(struct hf_compact_writer *out, double value)
{
	hf_compact_write_fixed(out, &value, sizeof value);
}

void hf_compact_write_bool(struct hf_compact_writer *out, bool value)
{
	uint8_t byte = value;

	hf_compact_write_fixed(out, &byte, 1);
}

void hf_compact_write_buffer(struct hf_compact_writer *out, struct hf_slice bytes)
{
	hf_compact_write_uint(out, bytes.length);
	hf_compact_write_fixed(out, bytes.data, bytes.length);
}

void hf_compact_write_uint32_array(struct hf_compact_writer *out, const uint32_t *words, size_t count)
{
	hf_compact_write_uint(out, count);
	hf_compact_write_fixed(out, words, count * sizeof *words);
}

void hf_compact_write_bit_array(struct hf_compact_writer *out, const uint8_t *bits, uint64_t bit_count)
{
	hf_compact_write_uint(out, bit_count);
	hf_compact_write_fixed(out, bits, (bit_count + 7) / 8);
}

size_t hf_compact_frame_begin(struct hf_compact_writer *out)
{
	static const uint8_t room;

	hf_compact_write_fixed(out, &room, 1);
	return out->out->length;
}

/* The length takes one byte for all but long messages; those are moved. */
void hf_compact_frame_end(struct hf_compact_writer *out, size_t begun)
{
	uint8_t prefix[HF_COMPACT_UINT_BYTES_MAX];
	struct hf_buffer *buffer = out->out;

	if (out->status != HF_OK)
		return;
	size_t length = buffer->length - begun, prefix_bytes = hf_compact_put_uint(prefix, length);

	out->status = hf_buffer_reserve(buffer, prefix_bytes - 1);
	if (out->status != HF_OK)
		return;
	if (prefix_bytes > 1)
		memmove(buffer->data + begun + prefix_bytes - 1, buffer->data + begun, length);
	memcpy(buffer->data + begun - 1, prefix, prefix_bytes);
	buffer->length += prefix_bytes - 1;
}
