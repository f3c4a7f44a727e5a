/* The life of a stream: it is in the session's map from hf_udx_stream_new until it closes, and in memory until its owner frees it and the
 * last of its events has returned. */
#include "wire/udx/udx_private.h"

#define RTO_US_INITIAL 1000000u

_Static_assert(sizeof(struct hf_udx_stream) <= 1280, "an idle stream is small");

static uint64_t to_place(const struct hf_udx_stream *stream)
{
	return (uint64_t)(uintptr_t)stream;
}

/* Puts the stream into the map. */
static int register_id(struct hf_udx_stream *stream, uint32_t id)
{
	struct hf_udx *udx = stream->udx;
	bool is_random = id == 0;
	uint64_t *place;
	for (;;) {
		if (is_random)
			udx->options.env->random(udx->options.env, &id, sizeof id);
		if (id == 0)
			continue;
		place = hf_u64_map_get(&udx->streams, id);
		if (!place)
			break;
		if (is_random)
			continue;
		if (!hf_udx_is_parting(*place))
			return HF_EEXISTS;
		hf_udx_parting_free(udx, hf_udx_to_parting(*place));
	}
	place = hf_u64_map_put(&udx->streams, id);
	if (!place)
		return HF_ENOMEM;
	*place = to_place(stream);
	stream->id = id;
	return HF_OK;
}

int hf_udx_stream_new(struct hf_udx_stream **out, struct hf_udx *udx, uint32_t id, const struct hf_udx_events *events, void *context)
{
	if (udx->stream_count >= udx->options.stream_count_max)
		return HF_EBUSY;
	struct hf_udx_stream *stream = calloc(1, sizeof *stream);
	if (!stream)
		return HF_ENOMEM;
	stream->udx = udx;
	stream->events = events;
	stream->context = context;
	stream->timer.fire = hf_udx_timer_fire;
	int code = hf_timer_set(&udx->timers, &stream->timer, HF_UDX_NEVER);
	if (!code)
		code = register_id(stream, id);
	if (code) {
		hf_timer_cancel(&udx->timers, &stream->timer);
		free(stream);
		return code;
	}
	for (unsigned i = 0; i < HF_UDX_DEADLINE_COUNT; i++)
		stream->deadlines[i] = HF_UDX_NEVER;
	stream->remote_window = HF_UDX_INITIAL_WINDOW_BYTES;
	stream->messages_last = &stream->messages;
	stream->rtt.timeout_us = RTO_US_INITIAL;
	stream->tlp_is_allowed = true;
	hf_udx_bbr_init(&stream->bbr, 0);
	hf_udx_mtu_init(stream);
	HF_LIST_PUSH_BY(udx->all, stream, all_next, all_previous);
	udx->stream_count++;
	*out = stream;
	return HF_OK;
}

static void drop_messages(struct hf_udx_stream *stream)
{
	struct hf_udx_queued_message *message;
	while ((message = stream->messages)) {
		stream->messages = message->next;
		free(message);
	}
	stream->messages_last = &stream->messages;
	stream->message_count = 0;
}

static void drop_old_paths(struct hf_udx_stream *stream)
{
	struct hf_udx_old_path *old;
	while ((old = stream->old_paths)) {
		stream->old_paths = old->next;
		free(old);
	}
}

void hf_udx_stream_close(struct hf_udx_stream *stream, int code)
{
	struct hf_udx *udx = stream->udx;
	if (stream->is_closed)
		return;
	stream->is_closed = true;
	stream->close_code = (int16_t)code;
	uint64_t *place = hf_u64_map_get(&udx->streams, stream->id);
	if (place && *place == to_place(stream))
		hf_u64_map_remove(&udx->streams, stream->id);
	hf_timer_cancel(&udx->timers, &stream->timer);
	hf_udx_unlink(stream);
	hf_udx_stream_free_kept(stream);
	hf_udx_flight_free(stream);
	hf_udx_writes_free(udx, &stream->writes);
	drop_messages(stream);
	drop_old_paths(stream);
	hf_udx_relays_close(stream);
	stream->tells_closed = true;
	hf_udx_make_told(stream);
}

void hf_udx_stream_finish(struct hf_udx_stream *stream)
{
	if (!stream->end_is_acked || !stream->remote_has_ended || stream->is_closed)
		return;
	hf_udx_part(stream, 0);
	hf_udx_stream_close(stream, HF_OK);
}

void hf_udx_stream_destroy(struct hf_udx_stream *stream)
{
	if (!hf_udx_is_live(stream))
		return;
	if (stream->is_connected && !stream->relay)
		hf_udx_part(stream, HF_UDX_DESTROY);
	hf_udx_stream_close(stream, HF_ECANCELED);
}

void hf_udx_stream_enter(struct hf_udx_stream *stream)
{
	stream->calls++;
}

static void release(struct hf_udx_stream *stream)
{
	struct hf_udx *udx = stream->udx;
	HF_LIST_REMOVE_BY(udx->all, stream, all_next, all_previous);
	udx->stream_count--;
	free(stream);
}

bool hf_udx_stream_leave(struct hf_udx_stream *stream)
{
	bool is_live = hf_udx_is_live(stream);
	if (--stream->calls == 0 && stream->is_freed)
		release(stream);
	return is_live;
}

void hf_udx_stream_free(struct hf_udx_stream *stream)
{
	if (!stream || stream->is_freed)
		return;
	hf_udx_stream_destroy(stream);
	stream->is_freed = true;
	hf_udx_unlink(stream);
	if (stream->calls == 0)
		release(stream);
}

void hf_udx_stream_tell(struct hf_udx_stream *stream)
{
	const struct hf_udx_events *events;
	hf_udx_stream_enter(stream);
	if (stream->tells_changed && hf_udx_is_live(stream) && (events = stream->events)->remote_changed) {
		stream->tells_changed = false;
		events->remote_changed(stream->context, stream);
	}
	if (hf_udx_is_live(stream))
		hf_udx_stream_hand_over(stream);
	if (stream->tells_drained && hf_udx_is_live(stream) && (events = stream->events)->drained) {
		stream->tells_drained = false;
		if (stream->writes.unsent_bytes <= HF_UDX_LOW_BYTES)
			events->drained(stream->context, stream);
	}
	if (stream->tells_closed && !stream->is_freed) {
		stream->tells_closed = false;
		if (stream->events->closed)
			stream->events->closed(stream->context, stream, stream->close_code);
	}
	hf_udx_stream_leave(stream);
}

/* ---- Calls of the owner ---- */

void hf_udx_stream_set_events(struct hf_udx_stream *stream, const struct hf_udx_events *events, void *context)
{
	stream->events = events;
	stream->context = context;
}

void *hf_udx_stream_context(const struct hf_udx_stream *stream)
{
	return stream->context;
}

struct hf_udx *hf_udx_stream_session(const struct hf_udx_stream *stream)
{
	return stream->udx;
}

uint32_t hf_udx_stream_id(const struct hf_udx_stream *stream)
{
	return stream->id;
}

uint32_t hf_udx_stream_remote_id(const struct hf_udx_stream *stream)
{
	return stream->remote_id;
}

int hf_udx_stream_connect(struct hf_udx_stream *stream, const struct hf_udx_path *path, uint32_t remote_id)
{
	if (!hf_udx_is_live(stream))
		return HF_ECLOSED;
	if (stream->is_connected)
		return HF_EEXISTS;
	stream->path = *path;
	stream->remote_id = remote_id;
	stream->is_connected = true;
	if (stream->keep_alive_ms)
		hf_udx_stream_set_keep_alive(stream, stream->keep_alive_ms);
	hf_udx_make_ready(stream);
	if (stream->taken_seq != stream->ack)
		hf_udx_make_told(stream);
	return HF_OK;
}

bool hf_udx_stream_is_connected(const struct hf_udx_stream *stream)
{
	return stream->is_connected && !stream->is_closed;
}

const struct hf_udx_path *hf_udx_stream_path(const struct hf_udx_stream *stream)
{
	return stream->is_connected ? &stream->path : NULL;
}

int hf_udx_stream_change_remote(struct hf_udx_stream *stream, const struct hf_udx_path *path, uint32_t remote_id)
{
	if (!hf_udx_is_live(stream))
		return HF_ECLOSED;
	if (!stream->is_connected)
		return HF_EINVAL;
	bool has_outstanding = stream->una != stream->next_seq;
	if (has_outstanding) {
		struct hf_udx_old_path *old = malloc(sizeof *old), **last = &stream->old_paths;
		if (!old)
			return HF_ENOMEM;
		*old = (struct hf_udx_old_path){NULL, stream->path, stream->remote_id, stream->next_seq};
		while (*last)
			last = &(*last)->next;
		*last = old;
	}
	stream->path = *path;
	stream->remote_id = remote_id;
	hf_udx_mtu_init(stream);
	stream->mtu.is_held = has_outstanding;
	if (stream->is_parked || stream->is_ready)
		hf_udx_unlink_ready(stream);
	hf_udx_make_ready(stream);
	if (!has_outstanding) {
		stream->tells_changed = true;
		hf_udx_make_told(stream);
	}
	return HF_OK;
}

/* Packets for an old path go nowhere any more: they take the new one. */
void hf_udx_stream_forget_socket(struct hf_udx_stream *stream, const void *socket)
{
	if (!hf_udx_is_live(stream) || !stream->is_connected)
		return;
	for (struct hf_udx_old_path *old = stream->old_paths; old; old = old->next) {
		if (old->path.socket == socket) {
			old->path = stream->path;
			old->remote_id = stream->remote_id;
		}
	}
	if (stream->path.socket == socket)
		hf_udx_stream_close(stream, HF_ECLOSED);
}

void hf_udx_stream_end(struct hf_udx_stream *stream)
{
	if (!hf_udx_is_live(stream) || stream->is_ending)
		return;
	stream->is_ending = true;
	hf_udx_make_ready(stream);
}

size_t hf_udx_stream_message_bytes_max(const struct hf_udx_stream *stream)
{
	return stream->is_connected ? hf_udx_capacity(&stream->path, stream->mtu.packet_bytes) : 0;
}

int hf_udx_stream_send_message(struct hf_udx_stream *stream, struct hf_slice bytes)
{
	if (!hf_udx_is_live(stream))
		return HF_ECLOSED;
	if (!stream->is_connected)
		return HF_EINVAL;
	if (bytes.length > hf_udx_stream_message_bytes_max(stream))
		return HF_ETOOBIG;
	struct hf_udx_queued_message *message = malloc(sizeof *message + bytes.length);
	if (!message)
		return HF_ENOMEM;
	message->next = NULL;
	message->length = bytes.length;
	if (bytes.length)
		memcpy(message->data, bytes.data, bytes.length);
	*stream->messages_last = message;
	stream->messages_last = &message->next;
	if (++stream->message_count > HF_UDX_MESSAGE_COUNT_MAX) {
		struct hf_udx_queued_message *oldest = stream->messages;
		stream->messages = oldest->next;
		stream->message_count--;
		free(oldest);
	}
	hf_udx_make_ready(stream);
	return HF_OK;
}

void hf_udx_stream_pause(struct hf_udx_stream *stream)
{
	stream->is_paused = true;
}

void hf_udx_stream_resume(struct hf_udx_stream *stream)
{
	stream->is_paused = false;
	if (hf_udx_is_live(stream) && stream->taken_seq != stream->ack)
		hf_udx_make_told(stream);
}

void hf_udx_stream_set_keep_alive(struct hf_udx_stream *stream, uint32_t interval_ms)
{
	struct hf_udx *udx = stream->udx;
	if (!hf_udx_is_live(stream))
		return;
	stream->keep_alive_ms = interval_ms;
	uint64_t now_us = hf_env_monotonic_us(udx->options.env);
	hf_udx_deadline_set(stream, HF_UDX_KEEP_ALIVE, interval_ms ? now_us + interval_ms * UINT64_C(1000) : HF_UDX_NEVER);
	hf_udx_timer_update(stream);
	hf_udx_wake(udx);
}

void hf_udx_stream_read_stats(const struct hf_udx_stream *stream, struct hf_udx_stats *stats)
{
	*stats = (struct hf_udx_stats){
		.sent_bytes = stream->sent_bytes,
		.received_bytes = stream->received_bytes,
		.sent_packets = stream->sent_packets,
		.received_packets = stream->received_packets,
		.retransmitted_packets = stream->retransmitted_packets,
		.timeouts = stream->timeouts,
		.rtt_us = stream->rtt.smoothed_us,
		.rtt_min_us = stream->rtt.minimum_us.value,
		.rtt_variation_us = stream->rtt.variation_us,
		.window_packets = stream->bbr.window,
		.in_flight_packets = stream->flight.count,
		.rate_bytes_per_s = (uint64_t)(stream->bbr.pacing_rate * stream->mtu.packet_bytes * 1e6),
		.remote_window_bytes = stream->remote_window,
		.kept_bytes = stream->kept_bytes,
		.packet_bytes = stream->mtu.packet_bytes,
	};
}
