/* The search for the largest packet that the path takes: up from 1200 in steps, one probe at a time. A probe is an ordinary packet of
 * data that is filled up to the size in question. Three lost probes of one size end the search. (RFC 8899) */
#include "wire/udx/udx_private.h"

#define STEP_BYTES 32u
#define FAILURE_COUNT_MAX 3

static unsigned maximum(const struct hf_udx_stream *stream)
{
	return stream->udx->options.packet_bytes_max;
}

void hf_udx_mtu_init(struct hf_udx_stream *stream)
{
	/* A probe of an earlier path says nothing about this one. */
	for (uint32_t seq = stream->una; seq != stream->next_seq; seq++)
		hf_udx_sent_at(stream, seq)->is_probe = false;
	stream->mtu = (struct hf_udx_mtu){.packet_bytes = HF_UDX_PACKET_BYTES_BASE};
}

void hf_udx_mtu_start(struct hf_udx_stream *stream)
{
	struct hf_udx_mtu *mtu = &stream->mtu;
	if (mtu->probe_bytes != 0 || maximum(stream) <= HF_UDX_PACKET_BYTES_BASE)
		return;
	mtu->is_searching = true;
	mtu->probe_bytes = HF_UDX_PACKET_BYTES_BASE;
}

bool hf_udx_mtu_probe(struct hf_udx_stream *stream, size_t payload_length, uint8_t *padding)
{
	struct hf_udx_mtu *mtu = &stream->mtu;
	if (!mtu->is_searching || mtu->is_probing || mtu->is_held || stream->phase != HF_UDX_OPEN)
		return false;
	size_t capacity = hf_udx_capacity(&stream->path, mtu->probe_bytes);
	if (payload_length > capacity || capacity - payload_length > HF_UDX_DATA_OFFSET_MAX)
		return false;
	*padding = (uint8_t)(capacity - payload_length);
	mtu->is_probing = true;
	return true;
}

void hf_udx_mtu_delivered(struct hf_udx_stream *stream)
{
	struct hf_udx_mtu *mtu = &stream->mtu;
	mtu->is_probing = false;
	mtu->failures = 0;
	mtu->packet_bytes = mtu->probe_bytes;
	if (mtu->packet_bytes >= maximum(stream)) {
		mtu->is_searching = false;
		return;
	}
	unsigned next = mtu->probe_bytes + STEP_BYTES;
	mtu->probe_bytes = (uint16_t)(next < maximum(stream) ? next : maximum(stream));
}

void hf_udx_mtu_lost(struct hf_udx_stream *stream)
{
	struct hf_udx_mtu *mtu = &stream->mtu;
	mtu->is_probing = false;
	if (++mtu->failures >= FAILURE_COUNT_MAX)
		mtu->is_searching = false;
}
