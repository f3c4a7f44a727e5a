#include "wire/udx/packet.h"

#define MAGIC 0xff
#define VERSION 1

bool hf_udx_header_decode(struct hf_udx_header *header, struct hf_slice datagram)
{
	const uint8_t *data = datagram.data;
	if (datagram.length < HF_UDX_HEADER_BYTES || data[0] != MAGIC || data[1] != VERSION)
		return false;
	header->type = data[2];
	header->data_offset = data[3];
	header->id = hf_load_le32(data + 4);
	header->window_bytes = hf_load_le32(data + 8);
	header->seq = hf_load_le32(data + 12);
	header->ack = hf_load_le32(data + 16);
	return true;
}

void hf_udx_header_encode(const struct hf_udx_header *header, uint8_t out[static HF_UDX_HEADER_BYTES])
{
	out[0] = MAGIC;
	out[1] = VERSION;
	out[2] = header->type;
	out[3] = header->data_offset;
	hf_store_le32(out + 4, header->id);
	hf_store_le32(out + 8, header->window_bytes);
	hf_store_le32(out + 12, header->seq);
	hf_store_le32(out + 16, header->ack);
}

bool hf_udx_packet_payload(const struct hf_udx_header *header, struct hf_slice datagram, struct hf_slice *payload)
{
	size_t start = HF_UDX_HEADER_BYTES + (size_t)header->data_offset;
	if (start > datagram.length)
		return false;
	*payload = hf_slice(datagram.data + start, datagram.length - start);
	return true;
}

struct hf_slice hf_udx_packet_blocks(const struct hf_udx_header *header, struct hf_slice datagram)
{
	size_t length = datagram.length - HF_UDX_HEADER_BYTES;
	if (header->data_offset > 0 && header->data_offset < length)
		length = header->data_offset;
	return hf_slice(datagram.data + HF_UDX_HEADER_BYTES, length - length % HF_UDX_BLOCK_BYTES);
}

struct hf_udx_block hf_udx_block_decode(const uint8_t *data)
{
	return (struct hf_udx_block){hf_load_le32(data), hf_load_le32(data + 4)};
}

void hf_udx_block_encode(struct hf_udx_block block, uint8_t out[static HF_UDX_BLOCK_BYTES])
{
	hf_store_le32(out, block.start);
	hf_store_le32(out + 4, block.end);
}

void hf_udx_header_set_id(uint8_t *header, uint32_t id)
{
	hf_store_le32(header + 4, id);
}
