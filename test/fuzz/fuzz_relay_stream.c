/* Streams whose remote is the input: messages of its channel, and acts of ours. Every stream ends once, nobody gets more than the window,
 * nothing is called for a stream that is over.
 *
 * Covers: src/wire/relay_stream.c src/wire/relay_streams.c
 */
#include "fuzz.h"

#include "wire/relay_stream.h"

#define SLOTS 8

struct host;
struct slot {
	struct host *host;
	struct hf_relay_stream *stream;
	size_t given, consumed;
};
struct host {
	struct hf_protomux *mux;
	struct hf_relay_streams *streams;
	struct slot slots[SLOTS];
	uint8_t choice;
	bool is_congested, fails;
};

static int on_send(void *owner, const struct iovec *parts, int count)
{
	return ((struct host *)owner)->fails ? HF_EIO : HF_OK;
}

static bool on_congested(void *owner)
{
	return ((struct host *)owner)->is_congested;
}

static void on_error(void *owner, const struct hf_failure *failure)
{
}

static const struct hf_protomux_events mux_events = {.send = on_send, .is_congested = on_congested, .error = on_error};

static void consume(struct slot *slot, size_t bytes)
{
	slot->consumed += bytes < slot->given - slot->consumed ? bytes : slot->given - slot->consumed;
	hf_relay_stream_consumed(slot->stream, bytes);
}

static void reset(struct slot *slot)
{
	struct hf_relay_stream *stream = slot->stream;

	slot->stream = NULL;
	hf_relay_stream_reset(stream, HF_RELAY_STREAM_CANCELED, HF_SLICE_LITERAL("why"));
}

static void on_head(void *context, struct hf_relay_stream *stream, int status, const struct hf_http_field *fields, size_t count)
{
	FUZZ_CHECK(((struct slot *)context)->stream == stream && status >= 100 && status <= 599 && count <= HF_RELAY_STREAM_FIELDS_MAX);
}

static void on_data(void *context, struct hf_relay_stream *stream, struct hf_slice bytes, bool is_end_of_message)
{
	struct slot *slot = context;

	FUZZ_CHECK(slot->stream == stream);
	slot->given += bytes.length;
	FUZZ_CHECK(slot->given - slot->consumed <= HF_RELAY_STREAM_WINDOW_BYTES);
	if (slot->host->choice & 1)
		consume(slot, bytes.length);
	if (slot->host->choice & 2)
		reset(slot);
}

static void on_writable(void *context, struct hf_relay_stream *stream)
{
	FUZZ_CHECK(((struct slot *)context)->stream == stream && hf_relay_stream_room(stream) > 0);
}

static void on_finished(void *context, struct hf_relay_stream *stream)
{
	struct slot *slot = context;

	FUZZ_CHECK(slot->stream == stream);
	if (slot->host->choice & 4)
		hf_relay_stream_end(stream);
}

static void on_ended(void *context, struct hf_relay_stream *stream, int code, uint32_t reset_code, struct hf_slice reason)
{
	struct slot *slot = context;

	FUZZ_CHECK(slot->stream == stream && reason.length <= HF_RELAY_STREAM_REASON_BYTES_MAX);
	slot->stream = NULL;
}

static const struct hf_relay_stream_events stream_events = {
	.head = on_head, .data = on_data, .writable = on_writable, .finished = on_finished, .ended = on_ended};

static struct slot *free_slot(struct host *h)
{
	for (unsigned i = 0; i < SLOTS; i++)
		if (h->slots[i].stream == NULL) {
			h->slots[i] = (struct slot){.host = h};
			return &h->slots[i];
		}
	return NULL;
}

static void on_stream(void *context, struct hf_relay_streams *streams, struct hf_relay_stream *stream,
	const struct hf_relay_stream_open *open)
{
	struct host *h = context;
	struct slot *slot = free_slot(h);

	for (size_t i = 0; i < open->field_count; i++)
		FUZZ_CHECK(hf_http_field_is_strict(&open->fields[i]));
	if (slot == NULL || h->choice & 8)
		return;
	slot->stream = stream;
	hf_relay_stream_accept(stream, &stream_events, slot);
	if (h->choice & 16)
		hf_relay_stream_send_head(stream, 200, open->fields, open->field_count);
}

static const struct hf_relay_streams_events events = {.stream = on_stream};

static void open_one(struct host *h)
{
	const struct hf_relay_stream_open open = {
		.kind = HF_RELAY_STREAM_HTTP, .method = HF_SLICE_LITERAL("GET"), .path = HF_SLICE_LITERAL("/")};
	struct slot *slot = free_slot(h);

	if (slot != NULL)
		hf_relay_stream_new(h->streams, &open, &stream_events, slot, &slot->stream);
}

static void send_some(struct slot *slot, uint8_t choice)
{
	static uint8_t bytes[HF_RELAY_STREAM_SEND_BYTES_MAX + 1];
	static const size_t lengths[] = {
		0, 1, 1000, 70000, HF_RELAY_STREAM_WINDOW_BYTES, 300000, HF_RELAY_STREAM_SEND_BYTES_MAX, sizeof bytes};
	size_t room = hf_relay_stream_room(slot->stream), length = lengths[choice & 7];
	struct hf_relay_stream *stream = slot->stream;
	int status = hf_relay_stream_send(stream, hf_slice(bytes, length), choice & 8);

	if (status == HF_OK && slot->stream == stream && length > room)
		FUZZ_CHECK(hf_relay_stream_room(stream) == 0);
}

static void act_on(struct slot *slot, unsigned what, uint8_t choice)
{
	switch (what) {
	case 0: send_some(slot, choice >> 4); break;
	case 1: consume(slot, (size_t)choice << 12); break;
	case 2: hf_relay_stream_end(slot->stream); break;
	case 3: reset(slot); break;
	default: hf_relay_stream_send_head(slot->stream, 100 + choice, NULL, 0); break;
	}
}

static void act(struct host *h, unsigned what, uint8_t choice)
{
	struct slot *slot = &h->slots[choice & (SLOTS - 1)];

	switch (what) {
	case 0: case 1: case 2: case 3: case 4:
		if (slot->stream != NULL)
			act_on(slot, what, choice);
		break;
	case 5: open_one(h); break;
	case 6: h->choice = choice; break;
	case 7:
		h->is_congested = !h->is_congested;
		if (!h->is_congested)
			hf_protomux_drained(h->mux);
		break;
	case 8: h->fails = choice == 255; break;
	default:
		FUZZ_CHECK(hf_relay_streams_pending_bytes(h->streams) <=
			   HF_RELAY_STREAM_PENDING_BYTES_MAX + HF_RELAY_STREAM_SEND_BYTES_MAX);
	}
}

static void hear(struct host *h, unsigned type, const uint8_t *data, size_t length)
{
	const uint8_t head[] = {1, (uint8_t)type};
	struct hf_buffer message = {0};

	hf_buffer_append(&message, head, sizeof head);
	hf_buffer_append(&message, data, length);
	hf_protomux_recv(h->mux, hf_buffer_slice(&message));
	hf_buffer_free(&message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct host h = {0};
	const struct hf_relay_streams_options options = {
		.is_initiator = size > 0 && data[0] & 1, .stream_count_max = 6, .events = &events, .context = &h};

	if (hf_protomux_new(&mux_events, &h, 1, NULL, &h.mux) != HF_OK || hf_relay_streams_new(h.mux, &options, &h.streams) != HF_OK)
		abort();
	hf_protomux_recv(h.mux, HF_SLICE_LITERAL("\0\1\1\x15holdfast-relay-stream\0"));
	for (size_t at = 1; at + 2 <= size;) {
		unsigned what = data[at] & 15;
		uint8_t choice = data[at + 1];

		at += 2;
		if (what >= 10) {
			size_t length = size - at < choice ? size - at : choice;

			hear(&h, what - 10, data + at, length);
			at += length;
		} else {
			act(&h, what, choice);
		}
	}
	hf_relay_streams_free(h.streams);
	for (unsigned i = 0; i < SLOTS; i++)
		FUZZ_CHECK(h.slots[i].stream == NULL);
	hf_protomux_free(h.mux);
	return 0;
}
