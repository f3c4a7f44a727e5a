/* packet: the header of UDX packets, 20 bytes, and the blocks of a selective acknowledgement.
 *
 *   0 magic 0xff   1 version 1   2 type (bits)   3 data offset   4 id of the receiver's stream   8 window   12 seq   16 ack
 *
 * Numbers are little-endian. Sequence numbers count packets and wrap. Data offset is how many bytes lie between header and
 * payload: a packet that looks for the path's MTU is filled up with them.
 */
#ifndef HF_WIRE_UDX_PACKET_H
#define HF_WIRE_UDX_PACKET_H

#include "base/bytes.h"

#define HF_UDX_HEADER_BYTES 20
#define HF_UDX_DATA_OFFSET_MAX 255
#define HF_UDX_BLOCK_BYTES 8
#define HF_UDX_BLOCK_COUNT_MAX 140 /* of one packet that we send: what fits into the smallest path; libudx sends 50 */

enum hf_udx_packet_type {
	HF_UDX_DATA = 1,
	HF_UDX_END = 2,
	HF_UDX_SACK = 4,
	HF_UDX_MESSAGE = 8,
	HF_UDX_DESTROY = 16,
	HF_UDX_HEARTBEAT = 32,
};

struct hf_udx_header {
	uint8_t type; /* 0: a plain acknowledgement */
	uint8_t data_offset;
	uint32_t id, window_bytes, seq, ack;
};

/* [start, end) */
struct hf_udx_block {
	uint32_t start, end;
};

/* The signed distance from b to a. */
static inline int32_t hf_udx_seq_distance(uint32_t a, uint32_t b) { return (int32_t)(a - b); }

/* Whether it begins as a UDX packet does. */
bool hf_udx_header_decode(struct hf_udx_header *header, struct hf_slice datagram);
void hf_udx_header_encode(const struct hf_udx_header *header, uint8_t out[static HF_UDX_HEADER_BYTES]);
/* What follows header and padding. False: there is less than data offset says. */
bool hf_udx_packet_payload(const struct hf_udx_header *header, struct hf_slice datagram, struct hf_slice *payload);
/* Where the blocks of a packet with SACK lie: data offset says how many bytes they have, 0 or too many: all. A rest of less than a block
 * is ignored. */
struct hf_slice hf_udx_packet_blocks(const struct hf_udx_header *header, struct hf_slice datagram);
struct hf_udx_block hf_udx_block_decode(const uint8_t *data);
void hf_udx_block_encode(struct hf_udx_block block, uint8_t out[static HF_UDX_BLOCK_BYTES]);
/* A stream's number inside a header that is not decoded otherwise. */
void hf_udx_header_set_id(uint8_t *header, uint32_t id);

#endif
