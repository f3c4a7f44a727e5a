/* The channel: which streams there are, and what comes for them. Streams that are over stay in the list until no callback is under way:
 * `uses` is 0.
 */
#include "wire/relay_stream_private.h"

#include <stdlib.h>

#define CREDIT_BYTES_MAX (64u << 20)

static struct hf_slice key_of(const uint64_t *number)
{
	return hf_slice(number, sizeof *number);
}

void hf_relay_streams_enter(struct hf_relay_streams *s)
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

void hf_relay_streams_leave(struct hf_relay_streams *s)
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
void hf_relay_stream_retire(struct hf_relay_stream *stream)
{
	struct hf_relay_streams *s = stream->owner;

	hf_map_remove(&s->by_id, key_of(&stream->id));
	s->count[stream->is_ours]--;
	s->pending_bytes -= stream->pending.length - stream->pending_at;
	hf_buffer_free(&stream->pending);
	stream->pending_at = 0;
	stream->is_over = s->has_over = true;
}

void hf_relay_stream_finish(struct hf_relay_stream *stream, int code, uint32_t reset_code, struct hf_slice reason)
{
	hf_relay_stream_retire(stream);
	if (stream->events != NULL)
		stream->events->ended(stream->context, stream, code, reset_code, reason);
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
	stream->events->data(stream->context, stream, bytes, (flags & HF_RELAY_STREAM_ENDS_MESSAGE) != 0);
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
	hf_relay_stream_pump(stream);
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
		hf_relay_stream_finish(stream, HF_OK, 0, hf_slice(NULL, 0));
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
	hf_relay_stream_finish(stream, HF_ECANCELED, (uint32_t)code, reason);
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
	if (type <= HF_RELAY_STREAM_MESSAGE_HEAD && body.length > HF_RELAY_STREAM_HEAD_BYTES_MAX)
		return HF_ETOOBIG;
	if (type == HF_RELAY_STREAM_MESSAGE_OPEN)
		return take_open(s, body);
	if (id >= s->next_id[is_ours])
		return HF_EMALFORMED;
	stream = hf_map_get(&s->by_id, key_of(&id));
	if (stream == NULL)
		return HF_OK; /* it is over */
	switch (type) {
	case HF_RELAY_STREAM_MESSAGE_HEAD: return take_head(stream, &in);
	case HF_RELAY_STREAM_MESSAGE_DATA: return take_data(stream, &in);
	case HF_RELAY_STREAM_MESSAGE_CREDIT: return take_credit(stream, &in);
	case HF_RELAY_STREAM_MESSAGE_END: return take_end(stream);
	default: return take_reset(stream, &in);
	}
}

/* ---- The channel ---- */

static int on_open(struct hf_channel *channel, void *context, struct hf_slice handshake)
{
	struct hf_relay_streams *s = context;

	hf_relay_streams_enter(s);
	if (s->options.events->opened != NULL && !s->is_freed)
		s->options.events->opened(s->options.context, s);
	hf_relay_streams_leave(s);
	return HF_OK;
}

static int on_message(struct hf_channel *channel, void *context, uint32_t type, struct hf_slice body)
{
	struct hf_relay_streams *s = context;
	int status;

	hf_relay_streams_enter(s);
	status = take(s, type, body);
	hf_relay_streams_relieve(s);
	hf_relay_streams_leave(s);
	return status;
}

static void on_drain(struct hf_channel *channel, void *context)
{
	struct hf_relay_streams *s = context;

	hf_relay_streams_enter(s);
	for (struct hf_relay_stream *stream = s->streams; stream != NULL && s->channel != NULL; stream = stream->next)
		hf_relay_stream_pump(stream);
	hf_relay_streams_relieve(s);
	hf_relay_streams_leave(s);
}

static void on_close(struct hf_channel *channel, void *context, enum hf_channel_end end)
{
	struct hf_relay_streams *s = context;

	hf_relay_streams_enter(s);
	s->channel = NULL;
	for (struct hf_relay_stream *stream = s->streams; stream != NULL; stream = stream->next)
		if (!stream->is_over)
			hf_relay_stream_finish(stream, HF_ECLOSED, 0, hf_slice(NULL, 0));
	if (s->options.events->closed != NULL && !s->is_freed)
		s->options.events->closed(s->options.context, s, end);
	hf_relay_streams_leave(s);
}

static const struct hf_channel_events channel_events = {
	.message_types = HF_RELAY_STREAM_MESSAGE_TYPES, .open = on_open, .message = on_message, .close = on_close, .drain = on_drain};

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
	hf_relay_streams_leave(s);
	return status;
}

void hf_relay_streams_free(struct hf_relay_streams *s)
{
	if (s == NULL || s->is_freed)
		return;
	s->is_freed = true;
	hf_relay_streams_enter(s);
	if (s->channel != NULL)
		hf_channel_close(s->channel);
	hf_relay_streams_leave(s);
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
	int status = hf_relay_stream_check_open(open);

	*out = NULL;
	if (s->channel == NULL)
		return HF_ECLOSED;
	if (status == HF_OK && s->count[true] >= s->options.stream_count_max)
		status = HF_EBUSY;
	if (status != HF_OK)
		return status;
	stream = new_stream(s, s->next_id[true], true, open->kind);
	if (stream == NULL)
		return HF_ENOMEM;
	hf_relay_streams_enter(s);
	status = hf_relay_stream_send_open(stream, open);
	if (status != HF_OK && !stream->is_over) {
		hf_relay_stream_retire(stream);
		s->next_id[true] -= 2;
	}
	if (status == HF_OK) {
		stream->events = events;
		stream->context = context;
		*out = stream;
	}
	hf_relay_streams_leave(s);
	return status;
}
