/* The session: which stream a datagram is for, whose turn it is to send, and whose events wait.
 *
 * Streams that have something to send stand in `ready`, in turn; one whose socket takes nothing stands in `parked` instead. Events that no
 * packet brings are told at the beginning of hf_udx_send, before any packet is built: what a batch points to is not freed while it
 * is being made. */
#include "wire/udx/udx_private.h"

#define SLOT_BYTES 1024u /* the window in packets of this size is how many may be kept */
#define SLOT_COUNT_MIN 64u
#define RECEIVE_BYTES_MAX (64u << 20)

int hf_udx_new(struct hf_udx **out, const struct hf_udx_options *options)
{
	struct hf_udx *udx = calloc(1, sizeof *udx);
	if (!udx)
		return HF_ENOMEM;
	udx->options = *options;
	if (udx->options.receive_bytes_max == 0)
		udx->options.receive_bytes_max = HF_UDX_RECEIVE_BYTES_MAX;
	if (udx->options.receive_bytes_max > RECEIVE_BYTES_MAX)
		udx->options.receive_bytes_max = RECEIVE_BYTES_MAX;
	if (udx->options.kept_bytes_max == 0)
		udx->options.kept_bytes_max = HF_UDX_KEPT_BYTES_MAX;
	if (udx->options.stream_count_max == 0)
		udx->options.stream_count_max = HF_UDX_STREAM_COUNT_MAX;
	if (udx->options.packet_bytes_max == 0 || udx->options.packet_bytes_max > HF_UDX_PACKET_BYTES_MAX)
		udx->options.packet_bytes_max = HF_UDX_PACKET_BYTES_MAX;
	udx->kept_slots_max = SLOT_COUNT_MIN;
	while (udx->kept_slots_max < udx->options.receive_bytes_max / SLOT_BYTES * HF_UDX_EARLY_FACTOR)
		udx->kept_slots_max *= 2;
	udx->options.env->random(udx->options.env, &udx->streams.seed, sizeof udx->streams.seed);
	udx->queued_last = &udx->queued_first;
	udx->relayed_last = &udx->relayed_first;
	*out = udx;
	return HF_OK;
}

static void free_sent_messages(struct hf_udx *udx)
{
	struct hf_udx_queued_message *message;
	while ((message = udx->sent_messages)) {
		udx->sent_messages = message->next;
		free(message);
	}
}

static void free_spares(struct hf_udx *udx)
{
	struct hf_udx_write *write;
	struct hf_udx_kept *kept;
	void *ring;
	while ((write = udx->spare_writes)) {
		udx->spare_writes = write->next;
		free(write);
	}
	while ((ring = udx->spare_rings)) {
		udx->spare_rings = *(void **)ring;
		free(ring);
	}
	while ((kept = udx->spare_kept)) {
		memcpy(&udx->spare_kept, kept->data, sizeof(void *));
		free(kept);
	}
}

void hf_udx_free(struct hf_udx *udx)
{
	if (!udx)
		return;
	assert(udx->stream_count == 0);
	while (udx->partings)
		hf_udx_parting_free(udx, udx->partings);
	hf_udx_relays_free(udx, true);
	free_sent_messages(udx);
	free_spares(udx);
	hf_timers_free(&udx->timers);
	hf_u64_map_free(&udx->streams);
	free(udx);
}

/* ---- Lists ---- */

static void remove_from(struct hf_udx_stream_list *list, struct hf_udx_stream *stream)
{
	if (list->last == stream)
		list->last = stream->previous;
	HF_LIST_REMOVE(list->first, stream);
	stream->next = stream->previous = NULL;
}

static void add_to(struct hf_udx_stream_list *list, struct hf_udx_stream *stream)
{
	stream->next = NULL;
	stream->previous = list->last;
	if (list->last)
		list->last->next = stream;
	else
		list->first = stream;
	list->last = stream;
}

void hf_udx_wake(struct hf_udx *udx)
{
	if (!udx->is_busy && udx->options.wake)
		udx->options.wake(udx->options.context);
}

void hf_udx_make_ready(struct hf_udx_stream *stream)
{
	if (stream->is_ready || stream->is_parked || !hf_udx_is_live(stream) || !stream->is_connected)
		return;
	stream->is_ready = true;
	add_to(&stream->udx->ready, stream);
	hf_udx_wake(stream->udx);
}

void hf_udx_make_told(struct hf_udx_stream *stream)
{
	if (stream->is_told || stream->is_freed)
		return;
	stream->is_told = true;
	HF_LIST_PUSH_BY(stream->udx->tells, stream, told_next, told_previous);
	hf_udx_wake(stream->udx);
}

void hf_udx_unlink_ready(struct hf_udx_stream *stream)
{
	if (stream->is_ready)
		remove_from(&stream->udx->ready, stream);
	if (stream->is_parked)
		remove_from(&stream->udx->parked, stream);
	stream->is_ready = stream->is_parked = false;
}

static void unlink_told(struct hf_udx_stream *stream)
{
	if (stream->is_told)
		HF_LIST_REMOVE_BY(stream->udx->tells, stream, told_next, told_previous);
	stream->is_told = false;
}

void hf_udx_unlink(struct hf_udx_stream *stream)
{
	hf_udx_unlink_ready(stream);
	unlink_told(stream);
}

bool hf_udx_is_blocked(const struct hf_udx *udx, const void *socket)
{
	for (uint32_t i = 0; i < udx->blocked_count; i++)
		if (udx->blocked[i] == socket)
			return true;
	return false;
}

static void park(struct hf_udx_stream *stream)
{
	hf_udx_unlink_ready(stream);
	stream->is_parked = true;
	add_to(&stream->udx->parked, stream);
}

void hf_udx_writable(struct hf_udx *udx, void *socket)
{
	for (uint32_t i = 0; i < udx->blocked_count; i++)
		if (udx->blocked[i] == socket)
			udx->blocked[i--] = udx->blocked[--udx->blocked_count];
	struct hf_udx_stream *stream;
	while ((stream = udx->parked.first)) {
		hf_udx_unlink_ready(stream);
		hf_udx_make_ready(stream);
	}
}

/* ---- Datagrams ---- */

bool hf_udx_recv(
	struct hf_udx *udx, uint64_t now_us, void *socket, const struct hf_address *from, uint8_t *data, size_t length)
{
	struct hf_udx_header header;
	if (!hf_udx_header_decode(&header, hf_slice(data, length)))
		return false;
	uint64_t *place = hf_u64_map_get(&udx->streams, header.id);
	if (!place)
		return false;
	udx->now_us = now_us;
	udx->counters.received_packets++;
	udx->counters.received_bytes += length;
	udx->is_busy = true;
	if (hf_udx_is_parting(*place)) {
		hf_udx_parting_recv(udx, hf_udx_to_parting(*place), &header);
	} else {
		struct hf_udx_stream *stream = (struct hf_udx_stream *)(uintptr_t)*place;
		struct hf_udx_path path = {socket, *from};
		hf_udx_stream_enter(stream);
		hf_udx_stream_recv(stream, &path, data, length, &header);
		hf_udx_stream_leave(stream);
	}
	udx->is_busy = false;
	return true;
}

static void tell_all(struct hf_udx *udx)
{
	struct hf_udx_stream *stream;
	while ((stream = udx->tells)) {
		unlink_told(stream);
		hf_udx_stream_tell(stream);
	}
}

static void build(struct hf_udx *udx)
{
	struct hf_udx_stream *stream;
	udx->packet_count = udx->iovec_count = udx->sack_count = 0;
	hf_udx_partings_send(udx);
	hf_udx_relays_send(udx);
	while ((stream = udx->ready.first)) {
		size_t before = udx->packet_count;
		if (hf_udx_is_blocked(udx, stream->path.socket)) {
			park(stream);
			continue;
		}
		bool has_more = hf_udx_stream_send(stream);
		if (has_more && udx->packet_count == before)
			break;
		hf_udx_unlink_ready(stream);
		if (!has_more)
			continue;
		hf_udx_make_ready(stream);
		break;
	}
}

size_t hf_udx_send(struct hf_udx *udx, uint64_t now_us, struct hf_udx_packet *packets, size_t count_max)
{
	udx->now_us = now_us;
	udx->is_busy = true;
	udx->packets = packets;
	udx->packet_count_max = count_max < HF_UDX_SEND_COUNT_MAX ? count_max : HF_UDX_SEND_COUNT_MAX;
	free_sent_messages(udx);
	hf_udx_relays_free(udx, false);
	hf_udx_partings_expire(udx);
	do {
		tell_all(udx);
		build(udx);
	} while (udx->packet_count == 0 && udx->tells);
	udx->is_busy = false;
	return udx->packet_count;
}

uint64_t hf_udx_deadline(const struct hf_udx *udx)
{
	return hf_timers_next_us(&udx->timers);
}

void hf_udx_tick(struct hf_udx *udx, uint64_t now_us)
{
	udx->now_us = now_us;
	udx->is_busy = true;
	hf_timers_run(&udx->timers, now_us);
	udx->is_busy = false;
}

void hf_udx_forget_socket(struct hf_udx *udx, void *socket)
{
	hf_udx_writable(udx, socket);
	hf_udx_partings_forget_socket(udx, socket);
	hf_udx_relays_forget_socket(udx, socket);
	for (struct hf_udx_stream *stream = udx->all, *next; stream; stream = next) {
		next = stream->all_next;
		hf_udx_stream_forget_socket(stream, socket);
	}
}

void hf_udx_read_counters(const struct hf_udx *udx, struct hf_udx_counters *counters)
{
	*counters = udx->counters;
	counters->stream_count = udx->stream_count;
	counters->kept_bytes = udx->kept_bytes;
}
