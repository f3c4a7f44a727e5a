/* The batch of packets that one hf_udx_send gives out: headers and vectors lie in the session, payload where it was written. */
#include "wire/udx/udx_private.h"

/* The vectors of one packet: header, padding, pieces. */
#define VECTOR_COUNT_MAX (2 + HF_UDX_PIECE_COUNT_MAX)

bool hf_udx_batch_has_room(const struct hf_udx *udx, const void *socket)
{
	return udx->packet_count < udx->packet_count_max && HF_UDX_IOVEC_COUNT - udx->iovec_count >= VECTOR_COUNT_MAX &&
		(udx->packet_count == 0 || udx->packets[0].socket == socket);
}

void hf_udx_batch_piece(struct hf_udx *udx, const void *data, size_t length)
{
	struct iovec *pieces = hf_udx_batch_pieces(udx);
	pieces[0] = (struct iovec){(void *)(uintptr_t)data, length};
	hf_udx_batch_end(udx, 1);
}

struct iovec *hf_udx_batch_pieces(struct hf_udx *udx)
{
	return udx->iovecs + udx->iovec_count;
}

void hf_udx_batch_end(struct hf_udx *udx, size_t count)
{
	struct hf_udx_packet *packet = &udx->packets[udx->packet_count - 1];
	for (size_t i = 0; i < count; i++)
		udx->counters.sent_bytes += udx->iovecs[udx->iovec_count + i].iov_len;
	packet->piece_count += count;
	udx->iovec_count += count;
}

void hf_udx_batch_begin(
	struct hf_udx *udx, const struct hf_udx_path *path, const struct hf_udx_header *header, struct hf_udx_built built)
{
	size_t at = udx->packet_count++;
	udx->packets[at] = (struct hf_udx_packet){path->socket, path->remote, udx->iovecs + udx->iovec_count, 0};
	udx->built[at] = built;
	udx->counters.sent_packets++;
	if (header) {
		hf_udx_header_encode(header, udx->headers[at]);
		hf_udx_batch_piece(udx, udx->headers[at], HF_UDX_HEADER_BYTES);
	}
	struct hf_udx_stream *stream = built.stream;
	if (!stream)
		return;
	stream->sent_packets++;
	stream->window_was_low = header->window_bytes < udx->options.receive_bytes_max / 2;
	if (stream->keep_alive_ms) {
		hf_udx_deadline_set(stream, HF_UDX_KEEP_ALIVE, udx->now_us + stream->keep_alive_ms * UINT64_C(1000));
		hf_udx_timer_update(stream);
	}
}

static void give_back(const struct hf_udx_built *built)
{
	struct hf_udx_stream *stream = built->stream;
	if (!stream || !hf_udx_is_live(stream))
		return;
	if (built->kind == HF_UDX_BUILT_ACK) {
		stream->owes_ack = true;
	} else if (built->kind == HF_UDX_BUILT_HEARTBEAT) {
		stream->owes_heartbeat = true;
	} else if (built->kind == HF_UDX_BUILT_DATA) {
		struct hf_udx_sent *sent = hf_udx_sent_at(stream, built->seq);
		hf_udx_sent_remove(stream, &stream->flight, built->seq);
		sent->state = HF_UDX_LOST;
		sent->transmissions--;
		if (sent->is_probe)
			stream->mtu.is_probing = false;
		sent->is_probe = false;
		sent->padding = 0;
		hf_udx_sent_add_first(stream, &stream->lost, built->seq);
	}
	hf_udx_make_ready(stream);
}

void hf_udx_refused(struct hf_udx *udx, size_t count)
{
	if (count == 0)
		return;
	void *socket = udx->packets[0].socket;
	if (!hf_udx_is_blocked(udx, socket)) {
		/* So many sockets are not blocked at once; one more loses its packets on the way, as it were. */
		if (udx->blocked_count == HF_UDX_BLOCKED_COUNT_MAX)
			return;
		udx->blocked[udx->blocked_count++] = socket;
	}
	for (size_t i = 0; i < count; i++)
		give_back(&udx->built[udx->packet_count - 1 - i]);
}
