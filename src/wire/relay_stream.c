/* What goes out in one stream. At most one call's bytes wait in it, those that were over the credit or came while the mux was congested.
 * Whatever cannot be sent half-way ends the mux, so that both sides agree on what was said.
 */
#include "wire/relay_stream_private.h"

#define CREDIT_AFTER_BYTES (HF_RELAY_STREAM_WINDOW_BYTES / 2)

static void fail(struct hf_relay_streams *s, int status)
{
	if (status != HF_OK && status != HF_ECLOSED && s->channel != NULL)
		hf_protomux_fail(hf_channel_mux(s->channel), status, "A stream's message could not be sent: %s.", hf_error_text(status));
}

static struct hf_compact_writer *begin(struct hf_relay_stream *stream, uint32_t type)
{
	struct hf_compact_writer *out = hf_channel_begin(stream->owner->channel, type);

	hf_compact_write_uint(out, stream->id);
	return out;
}

static void put_fields(struct hf_compact_writer *out, const struct hf_http_field *fields, size_t count)
{
	hf_compact_write_uint(out, count);
	for (size_t i = 0; i < count; i++) {
		hf_compact_write_buffer(out, fields[i].name);
		hf_compact_write_buffer(out, fields[i].value);
	}
}

static int check_fields(const struct hf_http_field *fields, size_t count, size_t other_bytes)
{
	size_t bytes = 64 + other_bytes; /* numbers and lengths, at their most */

	if (count > HF_RELAY_STREAM_FIELDS_MAX)
		return HF_ETOOBIG;
	for (size_t i = 0; i < count && bytes <= HF_RELAY_STREAM_HEAD_BYTES_MAX; i++) {
		if (!hf_http_field_is_strict(&fields[i]))
			return HF_EINVAL;
		bytes += fields[i].name.length + fields[i].value.length + 6;
	}
	return bytes <= HF_RELAY_STREAM_HEAD_BYTES_MAX ? HF_OK : HF_ETOOBIG;
}

static void put_reset(struct hf_relay_stream *stream, uint32_t code, struct hf_slice reason)
{
	struct hf_compact_writer *out = begin(stream, HF_RELAY_STREAM_MESSAGE_RESET);

	if (reason.length > HF_RELAY_STREAM_REASON_BYTES_MAX)
		reason.length = HF_RELAY_STREAM_REASON_BYTES_MAX;
	hf_compact_write_uint(out, code);
	hf_compact_write_buffer(out, reason);
	fail(stream->owner, hf_channel_end(stream->owner->channel));
}

static void put_end(struct hf_relay_stream *stream)
{
	stream->is_ending = false;
	stream->has_ended = true;
	begin(stream, HF_RELAY_STREAM_MESSAGE_END);
	fail(stream->owner, hf_channel_end(stream->owner->channel));
}

static int put_data(struct hf_relay_stream *stream, struct hf_slice bytes, bool is_end_of_message)
{
	uint8_t head[HF_COMPACT_UINT_BYTES_MAX + 1];
	size_t id_bytes = hf_compact_put_uint(head, stream->id);
	const struct iovec parts[] = {{head, id_bytes + 1}, {(void *)bytes.data, bytes.length}};

	head[id_bytes] = is_end_of_message ? HF_RELAY_STREAM_ENDS_MESSAGE : 0;
	stream->credit -= bytes.length;
	return hf_channel_send(stream->owner->channel, HF_RELAY_STREAM_MESSAGE_DATA, parts, 2);
}

static bool is_congested(const struct hf_relay_stream *stream)
{
	const struct hf_channel *channel = stream->owner->channel;

	return channel == NULL || hf_protomux_is_congested(hf_channel_mux(channel));
}

static struct hf_slice part(struct hf_slice bytes, size_t from, size_t length)
{
	return bytes.length > 0 ? hf_slice(bytes.data + from, length) : bytes;
}

/* Sends what credit and mux allow; *done is how much. An empty message needs no credit. */
static int put_pieces(struct hf_relay_stream *stream, struct hf_slice bytes, bool is_end_of_message, size_t *done)
{
	int status = HF_OK;

	*done = 0;
	do {
		size_t left = bytes.length - *done, piece = left < stream->credit ? left : stream->credit;

		if (piece > HF_RELAY_STREAM_DATA_BYTES_MAX)
			piece = HF_RELAY_STREAM_DATA_BYTES_MAX;
		if (is_congested(stream) || (piece == 0 && left > 0))
			return HF_EWAIT;
		status = put_data(stream, part(bytes, *done, piece), is_end_of_message && piece == left);
		*done += piece;
	} while (status == HF_OK && *done < bytes.length);
	return status;
}

size_t hf_relay_stream_room(const struct hf_relay_stream *stream)
{
	if (stream->is_over || stream->is_pending || stream->is_ending || stream->has_ended || is_congested(stream))
		return 0;
	return stream->owner->pending_bytes < HF_RELAY_STREAM_PENDING_BYTES_MAX ? stream->credit : 0;
}

static void tell_writable(struct hf_relay_stream *stream)
{
	if (!stream->wants_writable || stream->is_over || hf_relay_stream_room(stream) == 0)
		return;
	stream->wants_writable = false;
	if (stream->events != NULL && stream->events->writable != NULL)
		stream->events->writable(stream->context, stream);
}

/* Where the channel was full, others have waited for what has gone now. */
void hf_relay_streams_relieve(struct hf_relay_streams *s)
{
	if (!s->is_full || s->pending_bytes >= HF_RELAY_STREAM_PENDING_BYTES_MAX / 2)
		return;
	s->is_full = false;
	for (struct hf_relay_stream *stream = s->streams; stream != NULL; stream = stream->next)
		tell_writable(stream);
}

/* Sends what waits. */
void hf_relay_stream_pump(struct hf_relay_stream *stream)
{
	struct hf_relay_streams *s = stream->owner;
	size_t done;

	if (stream->is_over)
		return;
	if (stream->is_pending) {
		struct hf_slice left = part(hf_buffer_slice(&stream->pending), stream->pending_at,
			stream->pending.length - stream->pending_at);
		int status = put_pieces(stream, left, stream->pending_ends_message, &done);

		if (!stream->is_over) {
			stream->pending_at += done;
			s->pending_bytes -= done;
		}
		if (status != HF_OK) {
			fail(s, status == HF_EWAIT ? HF_OK : status);
			return;
		}
		stream->is_pending = false;
		stream->pending_at = 0;
		hf_buffer_free(&stream->pending);
	}
	if (stream->is_ending && s->channel != NULL) {
		put_end(stream);
		if (stream->remote_has_ended && !stream->is_over)
			hf_relay_stream_finish(stream, HF_OK, 0, hf_slice(NULL, 0));
	}
	tell_writable(stream);
}

/* Keeps the rest for later; before anything is sent, so that failing changes nothing. */
static int keep(struct hf_relay_stream *stream, struct hf_slice rest, bool is_end_of_message)
{
	struct hf_relay_streams *s = stream->owner;

	if (s->pending_bytes + rest.length > HF_RELAY_STREAM_PENDING_BYTES_MAX) {
		s->is_full = stream->wants_writable = true;
		return HF_EBUSY;
	}
	if (hf_buffer_append(&stream->pending, rest.data, rest.length) != HF_OK)
		return HF_ENOMEM;
	s->pending_bytes += rest.length;
	stream->is_pending = true;
	stream->pending_ends_message = is_end_of_message;
	return HF_OK;
}

int hf_relay_stream_send(struct hf_relay_stream *stream, struct hf_slice bytes, bool is_end_of_message)
{
	struct hf_relay_streams *s = stream->owner;
	size_t now = bytes.length < stream->credit ? bytes.length : stream->credit, done;
	int status = HF_OK;

	if (stream->is_over || stream->is_ending || stream->has_ended || s->channel == NULL)
		return HF_ECLOSED;
	if (!stream->is_ours && !stream->has_head)
		return HF_EINVAL;
	if (bytes.length > HF_RELAY_STREAM_SEND_BYTES_MAX)
		return HF_ETOOBIG;
	if (stream->is_pending || is_congested(stream) || (now == 0 && bytes.length > 0)) {
		stream->wants_writable = true;
		return HF_EBUSY;
	}
	hf_relay_streams_enter(s);
	if (now < bytes.length)
		status = keep(stream, part(bytes, now, bytes.length - now), is_end_of_message);
	if (status == HF_OK) {
		status = put_pieces(stream, hf_slice(bytes.data, now), is_end_of_message && now == bytes.length, &done);
		/* It became congested half-way: what is left goes in front of what is kept. */
		if (status == HF_EWAIT && !stream->is_over) {
			struct hf_buffer rest = {0};

			status = hf_buffer_append(&rest, part(bytes, done, 0).data, bytes.length - done);
			s->pending_bytes += now - done;
			hf_buffer_free(&stream->pending);
			stream->pending = rest;
			stream->is_pending = true;
			stream->pending_ends_message = is_end_of_message;
		}
		fail(s, status);
		status = s->channel == NULL ? HF_ECLOSED : status;
	}
	hf_relay_streams_leave(s);
	return status;
}

int hf_relay_stream_check_open(const struct hf_relay_stream_open *open)
{
	int status = check_fields(open->fields, open->field_count, open->method.length + open->path.length);

	if (status == HF_OK && (!hf_http_method_is_strict(open->method) || !hf_http_target_is_strict(open->path)))
		status = HF_EINVAL;
	return status;
}

int hf_relay_stream_send_open(struct hf_relay_stream *stream, const struct hf_relay_stream_open *open)
{
	struct hf_compact_writer *out = begin(stream, HF_RELAY_STREAM_MESSAGE_OPEN);

	hf_compact_write_uint(out, open->kind);
	hf_compact_write_buffer(out, open->method);
	hf_compact_write_buffer(out, open->path);
	put_fields(out, open->fields, open->field_count);
	return hf_channel_end(stream->owner->channel);
}

int hf_relay_stream_send_head(struct hf_relay_stream *stream, int status, const struct hf_http_field *fields, size_t count)
{
	struct hf_relay_streams *s = stream->owner;
	struct hf_compact_writer *out;
	int result = check_fields(fields, count, 0);

	if (stream->is_over || stream->is_ending || stream->has_ended || s->channel == NULL)
		return HF_ECLOSED;
	if (stream->is_ours || stream->has_head || status < 100 || status > 599)
		return HF_EINVAL;
	if (result != HF_OK)
		return result;
	hf_relay_streams_enter(s);
	out = begin(stream, HF_RELAY_STREAM_MESSAGE_HEAD);
	hf_compact_write_uint(out, (uint64_t)status);
	put_fields(out, fields, count);
	result = hf_channel_end(s->channel);
	if (result == HF_OK)
		stream->has_head = true;
	hf_relay_streams_leave(s);
	return result;
}

void hf_relay_stream_consumed(struct hf_relay_stream *stream, size_t bytes)
{
	struct hf_relay_streams *s = stream->owner;

	if (stream->is_over || s->channel == NULL)
		return;
	bytes = bytes < stream->unacknowledged ? bytes : stream->unacknowledged;
	stream->unacknowledged -= bytes;
	stream->consumed += bytes;
	if (stream->consumed < CREDIT_AFTER_BYTES || stream->remote_has_ended)
		return;
	hf_relay_streams_enter(s);
	hf_compact_write_uint(begin(stream, HF_RELAY_STREAM_MESSAGE_CREDIT), stream->consumed);
	stream->window += stream->consumed;
	stream->consumed = 0;
	fail(s, hf_channel_end(s->channel));
	hf_relay_streams_leave(s);
}

void hf_relay_stream_end(struct hf_relay_stream *stream)
{
	struct hf_relay_streams *s = stream->owner;

	if (stream->is_over || stream->is_ending || stream->has_ended || s->channel == NULL)
		return;
	hf_relay_streams_enter(s);
	stream->is_ending = true;
	if (!stream->is_pending)
		put_end(stream);
	if (stream->has_ended && stream->remote_has_ended && !stream->is_over)
		hf_relay_stream_finish(stream, HF_OK, 0, hf_slice(NULL, 0));
	hf_relay_streams_leave(s);
}

void hf_relay_stream_reset(struct hf_relay_stream *stream, uint32_t code, struct hf_slice reason)
{
	struct hf_relay_streams *s = stream->owner;

	if (stream->is_over)
		return;
	hf_relay_streams_enter(s);
	hf_relay_stream_retire(stream);
	if (s->channel != NULL)
		put_reset(stream, code, reason);
	hf_relay_streams_relieve(s);
	hf_relay_streams_leave(s);
}

/* ---- What it is ---- */

void hf_relay_stream_accept(struct hf_relay_stream *stream, const struct hf_relay_stream_events *events, void *context)
{
	stream->events = events;
	stream->context = context;
}

uint64_t hf_relay_stream_id(const struct hf_relay_stream *stream)
{
	return stream->id;
}

enum hf_relay_stream_kind hf_relay_stream_kind(const struct hf_relay_stream *stream)
{
	return stream->kind;
}

struct hf_relay_streams *hf_relay_stream_channel(const struct hf_relay_stream *stream)
{
	return stream->owner;
}
