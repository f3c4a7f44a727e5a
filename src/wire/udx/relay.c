/* Streams that are spliced: what comes for one goes on to the other's remote, as it is but for the id. It is kept until the next batch
 * only; past the bound it is lost, as on any path. */
#include "wire/udx/udx_private.h"

#define WAITING_BYTES_MAX (4u << 20)

struct hf_udx_relayed_packet {
	struct hf_udx_relayed_packet *next;
	struct hf_udx_path path;
	size_t length;
	uint8_t data[];
};

/* A bucket that holds what may pass in a second. */
static bool may_pass(struct hf_udx_stream *stream, size_t length)
{
	double most = stream->relay_bytes_per_s;
	if (stream->relay_bytes_per_s == 0)
		return true;
	uint64_t elapsed_us = stream->udx->now_us - stream->relay_tokens_us;
	stream->relay_tokens_us = stream->udx->now_us;
	stream->relay_tokens_bytes += most * (double)elapsed_us / 1e6;
	if (stream->relay_tokens_bytes > most)
		stream->relay_tokens_bytes = most;
	if (stream->relay_tokens_bytes < (double)length)
		return false;
	stream->relay_tokens_bytes -= (double)length;
	return true;
}

static void relay(struct hf_udx_stream *stream, const uint8_t *data, size_t length)
{
	struct hf_udx_stream *to = stream->relay;
	struct hf_udx *udx = to->udx;
	struct hf_udx_relayed_packet *packet = NULL;
	bool has_room = to->is_connected && udx->relayed_bytes + length <= WAITING_BYTES_MAX;
	bool is_allowed = has_room && may_pass(stream, length);
	if (is_allowed)
		packet = malloc(sizeof *packet + length);
	if (!packet) {
		udx->counters.dropped_packets[has_room && !is_allowed ? HF_UDX_DROP_RELAY_RATE : HF_UDX_DROP_RELAY_FULL]++;
		return;
	}
	packet->next = NULL;
	packet->path = to->path;
	packet->length = length;
	memcpy(packet->data, data, length);
	hf_udx_header_set_id(packet->data, to->remote_id);
	*udx->relayed_last = packet;
	udx->relayed_last = &packet->next;
	udx->relayed_bytes += length;
	udx->counters.relayed_packets++;
	stream->relayed_bytes += length;
}

void hf_udx_relay_packet(struct hf_udx_stream *stream, uint8_t *data, size_t length, const struct hf_udx_header *header)
{
	relay(stream, data, length);
	if (header->type & HF_UDX_DESTROY)
		hf_udx_stream_close(stream, HF_ECLOSED);
}

void hf_udx_relays_send(struct hf_udx *udx)
{
	struct hf_udx_relayed_packet *packet;
	while ((packet = udx->relayed_first) && hf_udx_batch_has_room(udx, packet->path.socket)) {
		hf_udx_batch_begin(udx, &packet->path, NULL, (struct hf_udx_built){NULL, 0, HF_UDX_BUILT_OTHER});
		hf_udx_batch_piece(udx, packet->data, packet->length);
		udx->relayed_first = packet->next;
		if (!udx->relayed_first)
			udx->relayed_last = &udx->relayed_first;
		udx->relayed_bytes -= packet->length;
		packet->next = udx->relayed_done;
		udx->relayed_done = packet;
	}
}

static void free_chain(struct hf_udx_relayed_packet **first)
{
	struct hf_udx_relayed_packet *packet;
	while ((packet = *first)) {
		*first = packet->next;
		free(packet);
	}
}

void hf_udx_relays_free(struct hf_udx *udx, bool all)
{
	free_chain(&udx->relayed_done);
	if (!all)
		return;
	free_chain(&udx->relayed_first);
	udx->relayed_last = &udx->relayed_first;
	udx->relayed_bytes = 0;
}

void hf_udx_relays_forget_socket(struct hf_udx *udx, const void *socket)
{
	struct hf_udx_relayed_packet **link = &udx->relayed_first, *packet;
	while ((packet = *link)) {
		if (packet->path.socket != socket) {
			link = &packet->next;
			continue;
		}
		*link = packet->next;
		udx->relayed_bytes -= packet->length;
		free(packet);
	}
	udx->relayed_last = link;
}

static void detach(struct hf_udx_stream *stream)
{
	if (!stream->relay)
		return;
	HF_LIST_REMOVE_BY(stream->relay->relayed, stream, relayed_next, relayed_previous);
	stream->relay = NULL;
}

int hf_udx_stream_relay_to(struct hf_udx_stream *stream, struct hf_udx_stream *to)
{
	if (stream == to)
		return HF_EINVAL;
	if (!hf_udx_is_live(stream) || (to && !hf_udx_is_live(to)))
		return HF_ECLOSED;
	detach(stream);
	if (to) {
		stream->relay = to;
		HF_LIST_PUSH_BY(to->relayed, stream, relayed_next, relayed_previous);
	}
	return HF_OK;
}

void hf_udx_stream_set_relay_rate(struct hf_udx_stream *stream, uint32_t bytes_per_s)
{
	stream->relay_bytes_per_s = bytes_per_s;
	stream->relay_tokens_bytes = bytes_per_s;
	stream->relay_tokens_us = stream->udx->now_us;
}

uint64_t hf_udx_stream_relayed_bytes(const struct hf_udx_stream *stream)
{
	return stream->relayed_bytes;
}

void hf_udx_relays_close(struct hf_udx_stream *stream)
{
	struct hf_udx_stream *other;
	detach(stream);
	while ((other = stream->relayed)) {
		detach(other);
		hf_udx_stream_close(other, HF_ECANCELED);
	}
}
