/* A connection is a protocol session on a stream. Callers' calls only queue; a connection ends in `end_connection`,
 * which is reached from the stream's callbacks alone, never from inside a caller's callback, so nothing needs counting.
 *
 * One timer serves in turn: silence (then a ping, then the end), the wait for the other side's close frame, and the end
 * of a connection that was doomed inside a caller's call. Activity only notes the time; the timer looks when it fires.
 */
#include "net/websocket.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdlib.h>

#include "base/list.h"
#include "net/loop_private.h"
#include "net/websocket_message.h"
#include "net/websocket_private.h"
#include "wire/websocket_deflate.h"

#define MESSAGE_BYTES_MAX_DEFAULT (1u << 20)
#define SEND_QUEUE_BYTES_MAX_DEFAULT (4u << 20)
#define PING_INTERVAL_MS_DEFAULT 45000
#define CLOSE_WAIT_MS 5000
/* A kilobyte can inflate to a megabyte. Who sends much of that is read from in small pieces, and with rests several times
 * as long as the work it makes, so that others have most of the loop. */
#define DEFLATE_READ_BYTES_MAX (16u << 10)
#define INFLATED_BYTES_FREE (512u << 10) /* of one read */
#define REST_MS_PER_MIB 16
#define OWN_DEFLATE_BYTES_MIN 32 /* with a window, even an OK gets shorter */
/* Shared frames up to this are copied: cheaper than a reference and an entry of writev. */
#define SHARED_COPY_BYTES_MAX 160

struct hf_websocket {
	struct hf_websocket_session session;
	struct hf_stream *stream;
	const struct hf_websocket_handler *handler;
	void *context;
	struct hf_websocket_counters *counters;
	struct early *early;
	uint32_t send_queue_bytes_max, ping_interval_ms;
	struct hf_websocket_deflate *own_deflate; /* with context takeover; NULL: none */
	uint32_t receive_held; /* bytes of the session that are counted */
	uint32_t active_ms; /* when bytes last came, of the monotonic clock, wrapping */
	struct hf_address client;
	bool is_closing : 1; /* a close frame was queued, or the connection is doomed */
	bool is_doomed : 1;  /* ends as soon as the loop gets to it */
	bool is_pinged : 1;
	bool is_paused : 1;
	bool is_resting : 1;
	bool is_full : 1; /* `writable` is owed */
};

/* Bytes that came with the handshake, to be handed in when the caller has its pointer. */
struct early {
	struct hf_loop_deferred deferred;
	struct hf_websocket *ws;
	struct hf_buffer bytes;
};

static uint32_t now_ms(struct hf_websocket *ws)
{
	return (uint32_t)(hf_loop_now_us(ws->stream->loop) / 1000);
}

static void drop_early(struct hf_websocket *ws)
{
	if (!ws->early)
		return;
	hf_loop_cancel_deferred(ws->stream->loop, &ws->early->deferred);
	hf_buffer_free(&ws->early->bytes);
	free(ws->early);
	ws->early = NULL;
}

static void count_received(struct hf_websocket *ws)
{
	size_t held = ws->receive_held, deflate_bytes = ws->own_deflate ? hf_websocket_deflate_bytes(ws->own_deflate) : 0;
	hf_memory_change(&ws->stream->loop->memory, HF_MEMORY_RECEIVE, &held, ws->session.message.capacity + deflate_bytes);
	ws->receive_held = (uint32_t)held;
}

/* The last thing that happens to a connection. */
static void end_connection(struct hf_websocket *ws, uint16_t code, bool gracefully)
{
	drop_early(ws);
	hf_memory_release(&ws->stream->loop->memory, HF_MEMORY_RECEIVE, ws->receive_held);
	ws->receive_held = 0;
	if (gracefully)
		hf_stream_finish(ws->stream);
	else
		hf_stream_close(ws->stream);
	ws->is_closing = true;
	if (ws->counters)
		hf_gauge_add(&ws->counters->open, -1);
	ws->handler->closed(ws->context, ws, code);
	hf_websocket_session_free(&ws->session);
	hf_websocket_deflate_free(ws->own_deflate);
	free(ws);
}

/* ---- From the protocol ---- */

static void on_message(void *context, bool is_text, struct hf_slice message)
{
	struct hf_websocket *ws = context;
	if (ws->counters)
		hf_counter_add(&ws->counters->messages_in, 1);
	ws->handler->message(ws->context, ws, is_text, message);
}

void hf_websocket_doom(struct hf_websocket *ws)
{
	ws->is_closing = ws->is_doomed = true;
	hf_stream_set_timeout(ws->stream, 0);
}

static void on_output(void *context, struct hf_slice frame)
{
	struct hf_websocket *ws = context;
	bool is_close = frame.data[0] == (0x80 | HF_WEBSOCKET_CLOSE);
	size_t pending = hf_stream_pending_bytes(ws->stream);
	if (ws->is_doomed && !is_close)
		return;
	if ((pending > ws->send_queue_bytes_max && !is_close) || hf_stream_send_copy(ws->stream, frame))
		hf_websocket_doom(ws);
}

static void on_mask(void *context, uint8_t mask[static 4])
{
	struct hf_websocket *ws = context;
	struct hf_env *env = hf_loop_env(ws->stream->loop);
	env->random(env, mask, 4);
}

static const struct hf_websocket_events session_events = {.message = on_message, .output = on_output, .mask = on_mask};

/* ---- From the stream ---- */

static void rest(struct hf_websocket *ws)
{
	ws->is_resting = true;
	hf_stream_stop_reading(ws->stream);
	hf_stream_set_timeout(ws->stream, (ws->session.inflated_bytes * REST_MS_PER_MIB >> 20) + 1);
}

static void on_read(void *owner, uint8_t *data, size_t length)
{
	struct hf_websocket *ws = owner;
	if (ws->early) {
		if (hf_buffer_append(&ws->early->bytes, data, length))
			end_connection(ws, HF_WEBSOCKET_CLOSE_ABNORMAL, false);
		return;
	}
	ws->active_ms = now_ms(ws);
	ws->is_pinged = false;
	int result = hf_websocket_session_recv(&ws->session, data, length);
	count_received(ws);
	if (result) {
		end_connection(ws, ws->session.close_code, true);
		return;
	}
	if (ws->handler->read_end && !ws->is_closing)
		ws->handler->read_end(ws->context, ws);
	if (ws->session.inflated_bytes > INFLATED_BYTES_FREE && !ws->is_closing)
		rest(ws);
	ws->session.inflated_bytes = 0;
}

static void on_end(void *owner, int error)
{
	(void)error;
	end_connection(owner, HF_WEBSOCKET_CLOSE_ABNORMAL, false);
}

static void on_timeout(void *owner)
{
	struct hf_websocket *ws = owner;
	if (ws->is_closing) {
		end_connection(ws, HF_WEBSOCKET_CLOSE_ABNORMAL, ws->is_doomed);
		return;
	}
	if (ws->is_resting) {
		ws->is_resting = false;
		if (!ws->is_paused)
			hf_stream_start_reading(ws->stream);
	}
	uint32_t silence_ms = now_ms(ws) - ws->active_ms;
	if (silence_ms < ws->ping_interval_ms) {
		hf_stream_set_timeout(ws->stream, ws->ping_interval_ms - silence_ms);
		return;
	}
	if (ws->own_deflate) {
		hf_websocket_deflate_rest(ws->own_deflate);
		count_received(ws);
	}
	if (ws->is_pinged) {
		if (ws->counters)
			hf_counter_add(&ws->counters->timeouts, 1);
		end_connection(ws, HF_WEBSOCKET_CLOSE_ABNORMAL, false);
		return;
	}
	/* A paused connection is silent because we do not listen. */
	if (!ws->is_paused) {
		ws->is_pinged = true;
		hf_websocket_session_ping(&ws->session);
	}
	hf_stream_set_timeout(ws->stream, ws->ping_interval_ms);
}

static void on_progress(void *owner)
{
	struct hf_websocket *ws = owner;
	if (!ws->is_full || ws->is_closing || hf_stream_pending_bytes(ws->stream) >= ws->send_queue_bytes_max / 2)
		return;
	ws->is_full = false;
	if (ws->handler->writable)
		ws->handler->writable(ws->context, ws);
}

static void on_drain(void *owner)
{
	hf_websocket_close(owner, HF_WEBSOCKET_CLOSE_GOING_AWAY, "going away");
}

static size_t held(const void *owner)
{
	const struct hf_websocket *ws = owner;
	return hf_stream_pending_bytes(ws->stream) + ws->receive_held + (ws->handler->held ? ws->handler->held(ws->context) : 0);
}

/* What is queued goes, too: who lets it grow does not read it. */
static void evict(void *owner)
{
	struct hf_websocket *ws = owner;
	bool hears = hf_stream_pending_bytes(ws->stream) == 0;
	hf_websocket_session_close(&ws->session, HF_WEBSOCKET_CLOSE_POLICY, "out of memory for this connection");
	end_connection(ws, HF_WEBSOCKET_CLOSE_POLICY, hears);
}

static const struct hf_stream_events stream_events = {
	.read = on_read,
	.end = on_end,
	.timeout = on_timeout,
	.progress = on_progress,
	.drain = on_drain,
	.held = held,
	.evict = evict,
};

static void hand_in_early(struct hf_loop_deferred *deferred)
{
	struct early *early = HF_CONTAINER_OF(deferred, struct early, deferred);
	struct hf_websocket *ws = early->ws;
	ws->early = NULL;
	on_read(ws, early->bytes.data, early->bytes.length);
	hf_buffer_free(&early->bytes);
	free(early);
}

/* ---- Making ---- */

void hf_websocket_accept_key(struct hf_slice key, char out[static HF_WEBSOCKET_ACCEPT_BYTES])
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455, 1.3 */
	uint8_t text[HF_WEBSOCKET_KEY_BYTES - 1 + sizeof guid - 1], digest[SHA_DIGEST_LENGTH];
	memcpy(text, key.data, HF_WEBSOCKET_KEY_BYTES - 1);
	memcpy(text + HF_WEBSOCKET_KEY_BYTES - 1, guid, sizeof guid - 1);
	SHA1(text, sizeof text, digest);
	EVP_EncodeBlock((unsigned char *)out, digest, sizeof digest);
}

struct hf_websocket_deflate *hf_websocket_loop_deflate(struct hf_loop *loop)
{
	if (!loop->deflate && hf_websocket_deflate_new(&loop->deflate))
		loop->deflate = NULL;
	return loop->deflate;
}

static int keep_early(struct hf_websocket *ws, struct hf_slice bytes)
{
	struct early *early = calloc(1, sizeof *early);
	if (!early || hf_buffer_append(&early->bytes, bytes.data, bytes.length)) {
		free(early);
		return HF_ENOMEM;
	}
	early->ws = ws;
	early->deferred.run = hand_in_early;
	ws->early = early;
	hf_loop_defer(ws->stream->loop, &early->deferred);
	return HF_OK;
}

/* One that remembers is the connection's own; else it is the loop's. */
static int choose_deflate(struct hf_websocket *ws, const struct hf_websocket_deflate_terms *terms)
{
	if (!terms->server_takeover && !terms->client_takeover) {
		ws->session.deflate = hf_websocket_loop_deflate(ws->stream->loop);
		return ws->session.deflate ? HF_OK : HF_ENOMEM;
	}
	int error = hf_websocket_deflate_new_own(&ws->own_deflate, terms);
	ws->session.deflate = ws->own_deflate;
	return error;
}

int hf_websocket_new(struct hf_websocket **out, struct hf_stream *stream, enum hf_websocket_role role,
	const struct hf_websocket_deflate_terms *deflate, const struct hf_websocket_limits *limits,
	const struct hf_websocket_handler *handler, void *context, const struct hf_address *client,
	struct hf_slice early, struct hf_websocket_counters *counters)
{
	struct hf_websocket *ws = calloc(1, sizeof *ws);
	if (!ws)
		return HF_ENOMEM;
	uint32_t message_bytes_max = limits->message_bytes_max ? limits->message_bytes_max : MESSAGE_BYTES_MAX_DEFAULT;
	hf_websocket_session_init(&ws->session, role, message_bytes_max, &session_events, ws);
	ws->stream = stream;
	ws->handler = handler;
	ws->context = context;
	ws->counters = counters;
	ws->client = *client;
	ws->send_queue_bytes_max =
		limits->send_queue_bytes_max ? limits->send_queue_bytes_max : SEND_QUEUE_BYTES_MAX_DEFAULT;
	ws->ping_interval_ms = limits->ping_interval_ms ? limits->ping_interval_ms : PING_INTERVAL_MS_DEFAULT;
	ws->active_ms = now_ms(ws);
	if ((deflate && choose_deflate(ws, deflate)) || (early.length && keep_early(ws, early))) {
		hf_websocket_deflate_free(ws->own_deflate);
		free(ws);
		return HF_ENOMEM;
	}
	count_received(ws);
	stream->read_bytes_max = deflate ? DEFLATE_READ_BYTES_MAX : 0;
	if (counters)
		hf_gauge_add(&counters->open, 1);
	hf_stream_own(stream, &stream_events, ws);
	hf_stream_set_timeout(stream, ws->ping_interval_ms);
	*out = ws;
	return HF_OK;
}

/* ---- Sending ---- */

static int check_queue(struct hf_websocket *ws, size_t length)
{
	if (ws->is_closing)
		return HF_ECLOSED;
	if (hf_stream_pending_bytes(ws->stream) + length <= ws->send_queue_bytes_max)
		return HF_OK;
	if (ws->counters)
		hf_counter_add(&ws->counters->slow_readers, 1);
	hf_websocket_session_close(&ws->session, HF_WEBSOCKET_CLOSE_POLICY, "slow reader");
	hf_websocket_doom(ws);
	return HF_EBUSY;
}

static int sent(struct hf_websocket *ws, int error)
{
	if (error)
		hf_websocket_doom(ws);
	else if (ws->counters)
		hf_counter_add(&ws->counters->messages_out, 1);
	return error;
}

static void release_message(void *owner)
{
	hf_websocket_message_unref(owner);
}

/* A client masks, so it cannot share. */
static int send_masked(struct hf_websocket *ws, struct hf_slice text)
{
	uint8_t header[HF_WEBSOCKET_HEADER_BYTES_MAX], mask[4];
	on_mask(ws, mask);
	size_t header_length = hf_websocket_frame_header(header, HF_WEBSOCKET_TEXT, false, text.length, mask);
	struct hf_shared *frame = hf_shared_new(header_length + text.length);
	if (!frame)
		return HF_ENOMEM;
	memcpy(frame->data, header, header_length);
	if (text.length)
		memcpy(frame->data + header_length, text.data, text.length);
	hf_websocket_mask(frame->data + header_length, text.length, mask);
	int error = hf_stream_send_copy(ws->stream, hf_slice(frame->data, frame->length));
	hf_shared_unref(frame);
	return error;
}

/* HF_ENOTFOUND when the text is better sent as it is. */
static int send_compressed(struct hf_websocket *ws, struct hf_slice text)
{
	struct hf_shared *frame = hf_websocket_compressed_frame(ws->session.deflate, text);
	struct hf_websocket_deflate *deflate = ws->session.deflate;
	if (!frame) /* what is remembered, if there is, was not sent: then there is no way on */
		return hf_websocket_deflate_has_output(deflate) && hf_websocket_deflate_keeps_output(deflate) ? HF_ENOMEM : HF_ENOTFOUND;
	int error = hf_stream_send_copy(ws->stream, hf_slice(frame->data, frame->length));
	hf_shared_unref(frame);
	return error;
}

/* Where memory is short a window is not begun: what is sent as it is needs none. */
static bool may_compress(struct hf_websocket *ws)
{
	const struct hf_memory *memory = &ws->stream->loop->memory;
	return hf_websocket_deflate_has_output(ws->own_deflate) || !hf_memory_lacks(memory, memory->max_bytes / 4);
}

/* A frame of this connection alone. */
static int send_own(struct hf_websocket *ws, struct hf_slice text)
{
	uint8_t header[HF_WEBSOCKET_HEADER_BYTES_MAX];
	int error = text.length < OWN_DEFLATE_BYTES_MIN || !may_compress(ws) ? HF_ENOTFOUND : send_compressed(ws, text);
	count_received(ws);
	if (error != HF_ENOTFOUND)
		return error;
	size_t header_length = hf_websocket_frame_header(header, HF_WEBSOCKET_TEXT, false, text.length, NULL);
	error = hf_stream_send_copy(ws->stream, hf_slice(header, header_length));
	return error ? error : hf_stream_send_copy(ws->stream, text);
}

int hf_websocket_send_shared(struct hf_websocket *ws, struct hf_websocket_message *message)
{
	int error = check_queue(ws, message->frame_length);
	if (error)
		return error;
	if (ws->session.is_client)
		return sent(ws, send_masked(ws, hf_websocket_message_payload(message)));
	if (ws->own_deflate)
		return sent(ws, send_own(ws, hf_websocket_message_payload(message)));
	struct hf_slice frame = hf_websocket_message_frame(message, ws->session.deflate);
	if (frame.length <= SHARED_COPY_BYTES_MAX)
		return sent(ws, hf_stream_send_copy(ws->stream, frame));
	error = hf_stream_send_shared(ws->stream, frame, message, release_message);
	if (!error)
		hf_websocket_message_ref(message);
	return sent(ws, error);
}

int hf_websocket_send_text(struct hf_websocket *ws, struct hf_slice text)
{
	int error = check_queue(ws, text.length + HF_WEBSOCKET_HEADER_BYTES_MAX);
	if (error)
		return error;
	if (ws->session.is_client)
		return sent(ws, send_masked(ws, text));
	if (ws->own_deflate)
		return sent(ws, send_own(ws, text));
	if (ws->session.deflate && text.length >= HF_WEBSOCKET_DEFLATE_BYTES_MIN) {
		error = send_compressed(ws, text);
		if (error != HF_ENOTFOUND)
			return sent(ws, error);
	}
	uint8_t header[HF_WEBSOCKET_HEADER_BYTES_MAX];
	size_t header_length = hf_websocket_frame_header(header, HF_WEBSOCKET_TEXT, false, text.length, NULL);
	error = hf_stream_send_copy(ws->stream, hf_slice(header, header_length));
	if (!error)
		error = hf_stream_send_copy(ws->stream, text);
	return sent(ws, error);
}

size_t hf_websocket_send_room(struct hf_websocket *ws)
{
	size_t pending = hf_stream_pending_bytes(ws->stream), half = ws->send_queue_bytes_max / 2;
	if (ws->is_closing)
		return 0;
	bool is_short = pending > 0 && hf_memory_lacks(&ws->stream->loop->memory, 0);
	if (pending < half && !is_short)
		return half - pending;
	ws->is_full = true;
	return 0;
}

/* ---- The rest ---- */

void hf_websocket_pause(struct hf_websocket *ws)
{
	ws->is_paused = true;
	hf_stream_stop_reading(ws->stream);
}

void hf_websocket_resume(struct hf_websocket *ws)
{
	if (!ws->is_paused)
		return;
	ws->is_paused = false;
	ws->active_ms = now_ms(ws);
	if (!ws->is_resting)
		hf_stream_start_reading(ws->stream);
}

void hf_websocket_close(struct hf_websocket *ws, uint16_t code, const char *reason)
{
	if (ws->is_closing)
		return;
	hf_websocket_session_close(&ws->session, code, reason);
	if (ws->is_closing)
		return;
	ws->is_closing = true;
	ws->is_resting = false;
	ws->is_paused = false;
	hf_stream_start_reading(ws->stream);
	hf_stream_set_timeout(ws->stream, CLOSE_WAIT_MS);
}

const struct hf_address *hf_websocket_client(struct hf_websocket *ws)
{
	return &ws->client;
}

void *hf_websocket_context(struct hf_websocket *ws)
{
	return ws->context;
}
