/* At most one call's bytes wait in a stream, those that were over the credit or came while the mux was congested. Whatever cannot be sent
 * half-way ends the mux, so that both sides agree on what was said.
 *
 * Streams that are over stay in the list until no callback is under way: `uses` is 0.
 */
#include "wire/relay_stream.h"

#include <stdlib.h>

#include "base/list.h"
#include "base/map.h"

enum { MESSAGE_OPEN, MESSAGE_HEAD, MESSAGE_DATA, MESSAGE_CREDIT, MESSAGE_END, MESSAGE_RESET, MESSAGE_TYPES };
enum { DATA_ENDS_MESSAGE = 1 };

#define CREDIT_BYTES_MAX (64u << 20)
#define CREDIT_AFTER_BYTES (HF_RELAY_STREAM_WINDOW_BYTES / 2)

struct hf_relay_stream {
	struct hf_relay_stream *next, *previous;
	struct hf_relay_streams *owner;
	uint64_t id;
	enum hf_relay_stream_kind kind;
	const struct hf_relay_stream_events *events; /* NULL: not accepted yet */
	void *context;
	size_t credit, window; /* that we may send, and that the remote may */
	size_t unacknowledged, consumed; /* of what came: given to the owner, and done with but not told the remote */
	struct hf_buffer pending;
	size_t pending_at;
	bool is_ours, has_head, is_pending, pending_ends_message, wants_writable;
	bool is_ending, has_ended, remote_has_ended, is_over;
};

struct hf_relay_streams {
	struct hf_channel *channel; /* NULL: closed */
	struct hf_relay_streams_options options;
	struct hf_relay_stream *streams;
	struct hf_map by_id;
	uint64_t next_id[2];        /* of the remote, of ours */
	uint32_t count[2];
	size_t pending_bytes;
	uint32_t uses;
	bool has_over, is_full, is_freed;
};

static struct hf_slice key_of(const uint64_t *number)
{
	return hf_slice(number, sizeof *number);
}

static void enter(struct hf_relay_streams *s)
{
	s->uses++;
}

static void sweep(struct hf_relay_streams *s)
{
	struct hf_relay_stream *next;

	s->has_over = false;
	for (struct hf_relay_stream *stream = s->streams; stream != NULL; stream = next) {
		next = stream->next;
		if (stream->is_over) {
			HF_LIST_REMOVE(s->streams, stream);
			free(stream);
		}
	}
}

static void leave(struct hf_relay_streams *s)
{
	if (--s->uses > 0)
		return;
	if (s->has_over)
		sweep(s);
	if (!s->is_freed)
		return;
	hf_map_free(&s->by_id);
	free(s);
}

/* Takes it out of everything but the list. */
static void retire(struct hf_relay_stream *stream)
{
	struct hf_relay_streams *s = stream->owner;

	hf_map_remove(&s->by_id, key_of(&stream->id));
	s->count[stream->is_ours]--;
	s->pending_bytes -= stream->pending.length - stream->pending_at;
	hf_buffer_free(&stream->pending);
	stream->pending_at = 0;
	stream->is_over = s->has_over = true;
}

static void finish(struct hf_relay_stream *stream, int code, uint32_t reset_code, struct hf_slice reason)
{
	retire(stream);
	if (stream->events != NULL)
		stream->events->ended(stream->context, stream, code, reset_code, reason);
}

/* ---- Sending ---- */

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
	struct hf_compact_writer *out = begin(stream, MESSAGE_RESET);

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
	begin(stream, MESSAGE_END);
	fail(stream->owner, hf_channel_end(stream->owner->channel));
}

static int put_data(struct hf_relay_stream *stream, struct hf_slice bytes, bool is_end_of_message)
{
	uint8_t head[HF_COMPACT_UINT_BYTES_MAX + 1];
	size_t id_bytes = hf_compact_put_uint(head, stream->id);
	const struct iovec parts[] = {{head, id_bytes + 1}, {(void *)bytes.data, bytes.length}};

	head[id_bytes] = is_end_of_message ? DATA_ENDS_MESSAGE : 0;
	stream->credit -= bytes.length;
	return hf_channel_send(stream->owner->channel, MESSAGE_DATA, parts, 2);
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
static void relieve(struct hf_relay_streams *s)
{
	if (!s->is_full || s->pending_bytes >= HF_RELAY_STREAM_PENDING_BYTES_MAX / 2)
		return;
	s->is_full = false;
	for (struct hf_relay_stream *stream = s->streams; stream != NULL; stream = stream->next)
		tell_writable(stream);
}

/* Sends what waits. */
static void pump(struct hf_relay_stream *stream)
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
			finish(stream, HF_OK, 0, hf_slice(NULL, 0));
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
	enter(s);
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
	leave(s);
	return status;
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
	enter(s);
	out = begin(stream, MESSAGE_HEAD);
	hf_compact_write_uint(out, (uint64_t)status);
	put_fields(out, fields, count);
	result = hf_channel_end(s->channel);
	if (result == HF_OK)
		stream->has_head = true;
	leave(s);
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
	enter(s);
	hf_compact_write_uint(begin(stream, MESSAGE_CREDIT), stream->consumed);
	stream->window += stream->consumed;
	stream->consumed = 0;
	fail(s, hf_channel_end(s->channel));
	leave(s);
}

void hf_relay_stream_end(struct hf_relay_stream *stream)
{
	struct hf_relay_streams *s = stream->owner;

	if (stream->is_over || stream->is_ending || stream->has_ended || s->channel == NULL)
		return;
	enter(s);
	stream->is_ending = true;
	if (!stream->is_pending)
		put_end(stream);
	if (stream->has_ended && stream->remote_has_ended && !stream->is_over)
		finish(stream, HF_OK, 0, hf_slice(NULL, 0));
	leave(s);
}

void hf_relay_stream_reset(struct hf_relay_stream *stream, uint32_t code, struct hf_slice reason)
{
	struct hf_relay_streams *s = stream->owner;

	if (stream->is_over)
		return;
	enter(s);
	retire(stream);
	if (s->channel != NULL)
		put_reset(stream, code, reason);
	relieve(s);
	leave(s);
}

/* ---- Receiving ---- */

static int read_fields(struct hf_compact_reader *in, struct hf_http_field *fields, size_t *count)
{
	*count = hf_compact_read_count(in, HF_RELAY_STREAM_FIELDS_MAX, 2);
	for (size_t i = 0; i < *count && in->status == HF_OK; i++) {
		fields[i].name = hf_compact_read_buffer(in);
		fields[i].value = hf_compact_read_buffer(in);
		if (in->status == HF_OK && !hf_http_field_is_strict(&fields[i]))
			return HF_EMALFORMED;
	}
	return in->status;
}

static struct hf_relay_stream *new_stream(struct hf_relay_streams *s, uint64_t id, bool is_ours, enum hf_relay_stream_kind kind)
{
	struct hf_relay_stream *stream = calloc(1, sizeof *stream);

	if (stream == NULL)
		return NULL;
	stream->owner = s;
	stream->id = id;
	stream->kind = kind;
	stream->is_ours = is_ours;
	stream->credit = stream->window = HF_RELAY_STREAM_WINDOW_BYTES;
	if (hf_map_put(&s->by_id, key_of(&stream->id), stream, NULL) != HF_OK) {
		free(stream);
		return NULL;
	}
	HF_LIST_PUSH(s->streams, stream);
	s->count[is_ours]++;
	s->next_id[is_ours] += 2;
	return stream;
}

static int take_open(struct hf_relay_streams *s, struct hf_slice body)
{
	struct hf_compact_reader in = hf_compact_reader(body);
	struct hf_http_field fields[HF_RELAY_STREAM_FIELDS_MAX];
	struct hf_relay_stream_open open = {.fields = fields};
	uint64_t id = hf_compact_read_uint(&in), kind = hf_compact_read_uint(&in);
	struct hf_relay_stream *stream;

	open.kind = (enum hf_relay_stream_kind)kind;
	open.method = hf_compact_read_buffer(&in);
	open.path = hf_compact_read_buffer(&in);
	int status = read_fields(&in, fields, &open.field_count);
	if (status != HF_OK)
		return status;
	if (id != s->next_id[false] || (kind != HF_RELAY_STREAM_WEBSOCKET && kind != HF_RELAY_STREAM_HTTP) ||
		!hf_http_method_is_strict(open.method) || !hf_http_target_is_strict(open.path))
		return HF_EMALFORMED;
	stream = new_stream(s, id, false, open.kind);
	if (stream == NULL)
		return HF_ENOMEM;
	if (s->count[false] > s->options.stream_count_max) {
		hf_relay_stream_reset(stream, HF_RELAY_STREAM_LIMIT, HF_SLICE_LITERAL("too many streams"));
		return HF_OK;
	}
	s->options.events->stream(s->options.context, s, stream, &open);
	if (!stream->is_over && stream->events == NULL)
		hf_relay_stream_reset(stream, HF_RELAY_STREAM_REFUSED, HF_SLICE_LITERAL("not served here"));
	return HF_OK;
}

static int take_head(struct hf_relay_stream *stream, struct hf_compact_reader *in)
{
	struct hf_http_field fields[HF_RELAY_STREAM_FIELDS_MAX];
	uint64_t code = hf_compact_read_uint(in);
	size_t count;
	int status = read_fields(in, fields, &count);

	if (status != HF_OK)
		return status;
	if (!stream->is_ours || stream->has_head || stream->remote_has_ended || code < 100 || code > 599)
		return HF_EMALFORMED;
	stream->has_head = true;
	if (stream->events->head != NULL)
		stream->events->head(stream->context, stream, (int)code, fields, count);
	return HF_OK;
}

static int take_data(struct hf_relay_stream *stream, struct hf_compact_reader *in)
{
	uint64_t flags = hf_compact_read_uint_bits(in, 8);
	struct hf_slice bytes = hf_compact_read_raw(in);

	if (in->status != HF_OK)
		return in->status;
	if (stream->remote_has_ended || (stream->is_ours && !stream->has_head))
		return HF_EMALFORMED;
	if (bytes.length > HF_RELAY_STREAM_DATA_BYTES_MAX || bytes.length > stream->window)
		return HF_ETOOBIG;
	stream->window -= bytes.length;
	stream->unacknowledged += bytes.length;
	stream->events->data(stream->context, stream, bytes, (flags & DATA_ENDS_MESSAGE) != 0);
	return HF_OK;
}

static int take_credit(struct hf_relay_stream *stream, struct hf_compact_reader *in)
{
	uint64_t bytes = hf_compact_read_uint(in);

	if (in->status != HF_OK)
		return in->status;
	if (bytes > CREDIT_BYTES_MAX - stream->credit)
		return HF_ETOOBIG;
	stream->credit += bytes;
	pump(stream);
	return HF_OK;
}

static int take_end(struct hf_relay_stream *stream)
{
	if (stream->remote_has_ended)
		return HF_EMALFORMED;
	stream->remote_has_ended = true;
	if (stream->events->finished != NULL)
		stream->events->finished(stream->context, stream);
	if (stream->has_ended && !stream->is_over)
		finish(stream, HF_OK, 0, hf_slice(NULL, 0));
	return HF_OK;
}

static int take_reset(struct hf_relay_stream *stream, struct hf_compact_reader *in)
{
	uint64_t code = hf_compact_read_uint(in);
	struct hf_slice reason = hf_compact_read_buffer(in);

	if (in->status != HF_OK)
		return in->status;
	if (reason.length > HF_RELAY_STREAM_REASON_BYTES_MAX || code > UINT32_MAX)
		return HF_ETOOBIG;
	finish(stream, HF_ECANCELED, (uint32_t)code, reason);
	return HF_OK;
}

static int take(struct hf_relay_streams *s, uint32_t type, struct hf_slice body)
{
	struct hf_compact_reader in = hf_compact_reader(body);
	uint64_t id = hf_compact_read_uint(&in);
	bool is_ours = (id & 1) == (s->next_id[true] & 1);
	struct hf_relay_stream *stream;

	if (in.status != HF_OK)
		return in.status;
	if (type <= MESSAGE_HEAD && body.length > HF_RELAY_STREAM_HEAD_BYTES_MAX)
		return HF_ETOOBIG;
	if (type == MESSAGE_OPEN)
		return take_open(s, body);
	if (id >= s->next_id[is_ours])
		return HF_EMALFORMED;
	stream = hf_map_get(&s->by_id, key_of(&id));
	if (stream == NULL)
		return HF_OK; /* it is over */
	switch (type) {
	case MESSAGE_HEAD: return take_head(stream, &in);
	case MESSAGE_DATA: return take_data(stream, &in);
	case MESSAGE_CREDIT: return take_credit(stream, &in);
	case MESSAGE_END: return take_end(stream);
	default: return take_reset(stream, &in);
	}
}

/* ---- The channel ---- */

static int on_open(struct hf_channel *channel, void *context, struct hf_slice handshake)
{
	struct hf_relay_streams *s = context;

	enter(s);
	if (s->options.events->opened != NULL && !s->is_freed)
		s->options.events->opened(s->options.context, s);
	leave(s);
	return HF_OK;
}

static int on_message(struct hf_channel *channel, void *context, uint32_t type, struct hf_slice body)
{
	struct hf_relay_streams *s = context;
	int status;

	enter(s);
	status = take(s, type, body);
	relieve(s);
	leave(s);
	return status;
}

static void on_drain(struct hf_channel *channel, void *context)
{
	struct hf_relay_streams *s = context;

	enter(s);
	for (struct hf_relay_stream *stream = s->streams; stream != NULL && s->channel != NULL; stream = stream->next)
		pump(stream);
	relieve(s);
	leave(s);
}

static void on_close(struct hf_channel *channel, void *context, enum hf_channel_end end)
{
	struct hf_relay_streams *s = context;

	enter(s);
	s->channel = NULL;
	for (struct hf_relay_stream *stream = s->streams; stream != NULL; stream = stream->next)
		if (!stream->is_over)
			finish(stream, HF_ECLOSED, 0, hf_slice(NULL, 0));
	if (s->options.events->closed != NULL && !s->is_freed)
		s->options.events->closed(s->options.context, s, end);
	leave(s);
}

static const struct hf_channel_events channel_events = {
	.message_types = MESSAGE_TYPES, .open = on_open, .message = on_message, .close = on_close, .drain = on_drain};

int hf_relay_streams_new(struct hf_protomux *mux, const struct hf_relay_streams_options *options, struct hf_relay_streams **out)
{
	struct hf_relay_streams *s = calloc(1, sizeof *s);
	const struct hf_channel_options channel = {
		.protocol = HF_SLICE_LITERAL(HF_RELAY_STREAM_PROTOCOL), .events = &channel_events, .context = s};
	int status;

	*out = s;
	if (s == NULL)
		return HF_ENOMEM;
	s->options = *options;
	if (s->options.stream_count_max == 0)
		s->options.stream_count_max = HF_RELAY_STREAM_COUNT_MAX;
	s->next_id[options->is_initiator ? false : true] = 1;
	hf_map_init(&s->by_id, options->seed);
	s->uses = 1;
	status = hf_protomux_open(mux, &channel, &s->channel);
	if (status != HF_OK)
		s->is_freed = true;
	if (status != HF_OK && status != HF_ECANCELED)
		*out = NULL;
	leave(s);
	return status;
}

void hf_relay_streams_free(struct hf_relay_streams *s)
{
	if (s == NULL || s->is_freed)
		return;
	s->is_freed = true;
	enter(s);
	if (s->channel != NULL)
		hf_channel_close(s->channel);
	leave(s);
}

bool hf_relay_streams_is_open(const struct hf_relay_streams *s)
{
	return s->channel != NULL && hf_channel_is_open(s->channel);
}

uint32_t hf_relay_streams_count(const struct hf_relay_streams *s)
{
	return s->count[0] + s->count[1];
}

size_t hf_relay_streams_pending_bytes(const struct hf_relay_streams *s)
{
	return s->pending_bytes;
}

int hf_relay_stream_new(struct hf_relay_streams *s, const struct hf_relay_stream_open *open, const struct hf_relay_stream_events *events,
	void *context, struct hf_relay_stream **out)
{
	struct hf_relay_stream *stream;
	struct hf_compact_writer *writer;
	int status = check_fields(open->fields, open->field_count, open->method.length + open->path.length);

	*out = NULL;
	if (s->channel == NULL)
		return HF_ECLOSED;
	if (status == HF_OK && (!hf_http_method_is_strict(open->method) || !hf_http_target_is_strict(open->path)))
		status = HF_EINVAL;
	if (status == HF_OK && s->count[true] >= s->options.stream_count_max)
		status = HF_EBUSY;
	if (status != HF_OK)
		return status;
	stream = new_stream(s, s->next_id[true], true, open->kind);
	if (stream == NULL)
		return HF_ENOMEM;
	enter(s);
	writer = begin(stream, MESSAGE_OPEN);
	hf_compact_write_uint(writer, open->kind);
	hf_compact_write_buffer(writer, open->method);
	hf_compact_write_buffer(writer, open->path);
	put_fields(writer, open->fields, open->field_count);
	status = hf_channel_end(s->channel);
	if (status != HF_OK && !stream->is_over) {
		retire(stream);
		s->next_id[true] -= 2;
	}
	if (status == HF_OK) {
		stream->events = events;
		stream->context = context;
		*out = stream;
	}
	leave(s);
	return status;
}

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
