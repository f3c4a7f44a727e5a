/* Bytes from the outer channel go through the nested secret stream into the nested mux, and back the same way. The end is told once nothing
 * of ours is under way: `uses` is 0.
 */
#include "wire/bee_channel.h"

#include <stdio.h>
#include <stdlib.h>

#include "crypto/namespace.h"
#include "crypto/secret.h"
#include "wire/relay_json.h"

#define MESSAGE_BYTES 0
#define PARTS_MAX (HF_CHANNEL_PARTS_MAX - 1) /* one is the length */

struct hf_bee_channel {
	struct hf_channel *channel; /* NULL: closed */
	struct hf_bee_channel_options options;
	struct hf_secret_stream *stream; /* from when both sides have opened */
	struct hf_protomux *mux;         /* from when the nested handshake is finished */
	uint8_t bee_key[32], remote_key[32], static_secret[HF_SIGN_SECRET_BYTES];
	struct hf_buffer incoming;
	uint32_t uses;
	int code;
	char why[HF_FAILURE_TEXT_BYTES];
	bool has_bee_key, has_remote_key, has_ended, is_told, is_freed;
};

static uint64_t now_ms(const struct hf_bee_channel *b)
{
	return hf_env_monotonic_ms(b->options.env);
}

/* ---- The end ---- */

static void note_end(struct hf_bee_channel *b, int code, const char *why)
{
	if (b->has_ended)
		return;
	b->has_ended = true;
	b->code = code;
	snprintf(b->why, sizeof b->why, "%s", why);
}

static void leave(struct hf_bee_channel *b)
{
	if (b->uses > 1 || !b->has_ended || b->is_told) {
		b->uses--;
		return;
	}
	b->is_told = true;
	if (b->channel != NULL)
		hf_channel_close(b->channel);
	if (b->mux != NULL)
		hf_protomux_fail(b->mux, HF_ECLOSED, "The channel that carries it has closed.");
	b->uses--;
	if (!b->is_freed)
		b->options.events->closed(b->options.context, b, b->code, b->why);
}

/* ---- Out: what the nested stream has sealed goes into messages ---- */

static bool is_congested(const struct hf_bee_channel *b)
{
	return b->channel == NULL || hf_protomux_is_congested(hf_channel_mux(b->channel));
}

static int send_slices(struct hf_bee_channel *b, const struct hf_secret_stream_slice *slices, size_t count)
{
	uint8_t head[HF_COMPACT_UINT_BYTES_MAX];
	struct iovec parts[HF_CHANNEL_PARTS_MAX];
	size_t length = 0;

	for (size_t i = 0; i < count; i++) {
		parts[i + 1] = (struct iovec){(void *)slices[i].data, slices[i].length};
		length += slices[i].length;
	}
	parts[0] = (struct iovec){head, hf_compact_put_uint(head, length)};
	return hf_channel_send(b->channel, MESSAGE_BYTES, parts, (int)count + 1);
}

static int flush(struct hf_bee_channel *b)
{
	struct hf_secret_stream_slice slices[PARTS_MAX];
	int status = HF_OK;
	size_t count;

	while (status == HF_OK && !is_congested(b) && (count = hf_secret_stream_send(b->stream, slices, PARTS_MAX)) > 0) {
		status = send_slices(b, slices, count);
		for (size_t i = 0; i < count; i++)
			hf_secret_stream_release(slices[i].chunk);
	}
	return status;
}

/* ---- The nested mux ---- */

static int on_nested_send(void *owner, const struct iovec *parts, int count)
{
	struct hf_bee_channel *b = owner;
	int status = b->channel == NULL ? HF_ECLOSED : hf_secret_stream_write(b->stream, now_ms(b), parts, (size_t)count);

	return status == HF_OK ? flush(b) : status;
}

static bool on_nested_is_congested(void *owner)
{
	return is_congested(owner);
}

static void on_nested_error(void *owner, const struct hf_failure *failure)
{
	struct hf_bee_channel *b = owner;

	b->uses++;
	note_end(b, failure->code, failure->text);
	leave(b);
}

static const struct hf_protomux_events nested_mux_events = {
	.send = on_nested_send, .is_congested = on_nested_is_congested, .error = on_nested_error};

static void on_nested_handshake(void *context, const uint8_t remote_key[static HF_SIGN_PUBLIC_BYTES],
	const uint8_t handshake_hash[static HF_HANDSHAKE_HASH_BYTES])
{
	struct hf_bee_channel *b = context;
	uint64_t seed;

	hf_wipe(b->static_secret, sizeof b->static_secret);
	b->options.env->random(b->options.env, &seed, sizeof seed);
	int status = hf_protomux_new(&nested_mux_events, b, seed, NULL, &b->mux);
	if (status != HF_OK)
		note_end(b, status, "There was no memory for the nested stream.");
	else if (!b->has_ended)
		b->options.events->opened(b->options.context, b, b->mux, handshake_hash);
}

static void on_nested_message(void *context, uint8_t *data, size_t length)
{
	struct hf_bee_channel *b = context;

	if (b->mux != NULL && length > 0 && !b->has_ended)
		hf_protomux_recv(b->mux, hf_slice(data, length));
}

static const struct hf_secret_stream_events nested_stream_events = {.handshake = on_nested_handshake, .message = on_nested_message};

/* ---- In ---- */

static void begin_nested(struct hf_bee_channel *b)
{
	const struct hf_secret_stream_options options = {.is_initiator = b->options.is_initiator, .static_secret = b->static_secret,
		.env = b->options.env, .pool = b->options.pool, .message_bytes_max = HF_BEE_CHANNEL_MESSAGE_BYTES_MAX,
		.output_bytes_max = HF_BEE_CHANNEL_PENDING_BYTES_MAX, .keep_alive_ms = HF_SECRET_STREAM_KEEP_ALIVE_MS,
		.events = &nested_stream_events, .context = b};
	int status = hf_secret_stream_new(&b->stream, &options, now_ms(b));

	if (status == HF_OK)
		status = flush(b);
	if (status != HF_OK)
		note_end(b, status, "The nested stream could not begin.");
}

static const struct hf_relay_json_member members[] = {{"hyperbeeKey", hf_relay_json_key, 0, 0}};

static int read_handshake(struct hf_bee_channel *b, struct hf_slice body)
{
	static const uint8_t no_key[32];
	struct hf_compact_reader in = hf_compact_reader(body);
	struct hf_slice json = hf_compact_read_buffer(&in);
	int status = in.status;

	if (status == HF_OK)
		status = hf_relay_json_read(json, members, 1, false, b->remote_key);
	b->has_remote_key = status == HF_OK && memcmp(b->remote_key, no_key, sizeof no_key) != 0;
	return status;
}

static int on_open(struct hf_channel *channel, void *context, struct hf_slice handshake)
{
	struct hf_bee_channel *b = context;
	int status = read_handshake(b, handshake);

	if (status != HF_OK)
		return status;
	b->channel = channel;
	b->uses++;
	if (b->has_bee_key && b->has_remote_key && memcmp(b->bee_key, b->remote_key, sizeof b->bee_key) != 0)
		note_end(b, HF_EDENIED, "The remote replicates another bee.");
	else
		begin_nested(b);
	leave(b);
	return HF_OK;
}

static int on_message(struct hf_channel *channel, void *context, uint32_t type, struct hf_slice body)
{
	struct hf_bee_channel *b = context;
	struct hf_compact_reader in = hf_compact_reader(body);
	struct hf_slice bytes = hf_compact_read_buffer(&in);
	int status = in.status;

	if (status != HF_OK || b->has_ended || b->stream == NULL)
		return status;
	hf_buffer_clear(&b->incoming);
	if (hf_buffer_append(&b->incoming, bytes.data, bytes.length) != HF_OK)
		return HF_ENOMEM;
	b->uses++;
	status = hf_secret_stream_recv(b->stream, now_ms(b), b->incoming.data, b->incoming.length);
	if (status == HF_OK)
		status = flush(b);
	if (status != HF_OK)
		note_end(b, status, "The nested stream is refused.");
	if (b->incoming.capacity > HF_BEE_CHANNEL_CHUNK_BYTES_MAX)
		hf_buffer_free(&b->incoming);
	leave(b);
	return HF_OK;
}

static void on_drain(struct hf_channel *channel, void *context)
{
	struct hf_bee_channel *b = context;

	if (b->stream == NULL || b->has_ended)
		return;
	b->uses++;
	int status = flush(b);
	if (status != HF_OK)
		note_end(b, status, "The nested stream could not be sent.");
	else if (b->mux != NULL && !is_congested(b))
		hf_protomux_drained(b->mux);
	leave(b);
}

static void on_close(struct hf_channel *channel, void *context, enum hf_channel_end end)
{
	struct hf_bee_channel *b = context;

	b->channel = NULL;
	b->uses++;
	note_end(b, HF_ECLOSED, end == HF_CHANNEL_REMOTE ? "The remote has closed it." : "The connection has ended.");
	leave(b);
}

static const struct hf_channel_events channel_events = {
	.message_types = 1, .open = on_open, .message = on_message, .close = on_close, .drain = on_drain};

/* ---- Life ---- */

static int put_keys(const struct hf_bee_channel *b, struct hf_buffer *out)
{
	uint8_t discovery_key[32];
	int status = hf_relay_json_put_hex(out, "hyperbeeKey", b->bee_key, 32);

	hf_discovery_key(discovery_key, b->bee_key);
	return status == HF_OK ? hf_relay_json_put_hex(out, "discoveryKey", discovery_key, 32) : status;
}

static int write_handshake(const struct hf_bee_channel *b, struct hf_buffer *out)
{
	struct hf_compact_writer writer = hf_compact_writer(out);
	size_t begun = hf_compact_frame_begin(&writer);
	int status = writer.status == HF_OK ? hf_buffer_append_text(out, "{\"version\":1") : writer.status;

	if (status == HF_OK && b->has_bee_key)
		status = put_keys(b, out);
	if (status == HF_OK)
		status = hf_relay_json_put_bool(out, "isInitiator", b->options.is_initiator);
	if (status == HF_OK)
		status = hf_relay_json_put_text(out, "replicationMode", hf_slice_text(b->options.is_upload ? "upload" : "download"));
	if (status == HF_OK)
		status = hf_relay_json_put_text(out, "role", hf_slice_text(b->options.is_upload ? "gateway" : "replica"));
	if (status == HF_OK)
		status = hf_relay_json_put_u64(out, "openedAt", hf_env_wall_ms(b->options.env));
	if (status == HF_OK)
		status = hf_buffer_append_text(out, "}");
	writer.status = status;
	hf_compact_frame_end(&writer, begun);
	return writer.status;
}

static void destroy(struct hf_bee_channel *b)
{
	hf_protomux_free(b->mux);
	hf_secret_stream_free(b->stream);
	hf_buffer_free(&b->incoming);
	hf_wipe(b->static_secret, sizeof b->static_secret);
	free(b);
}

int hf_bee_channel_new(struct hf_protomux *mux, const struct hf_bee_channel_options *options, struct hf_bee_channel **out)
{
	struct hf_bee_channel *b = calloc(1, sizeof *b);
	struct hf_buffer handshake = {0};

	*out = b;
	if (b == NULL)
		return HF_ENOMEM;
	b->options = *options;
	memcpy(b->static_secret, options->static_secret, sizeof b->static_secret);
	b->has_bee_key = options->bee_key != NULL;
	if (b->has_bee_key)
		memcpy(b->bee_key, options->bee_key, sizeof b->bee_key);
	int status = write_handshake(b, &handshake);
	if (status == HF_OK) {
		const struct hf_channel_options channel = {.protocol = HF_SLICE_LITERAL(HF_BEE_CHANNEL_PROTOCOL),
			.handshake = hf_buffer_slice(&handshake), .events = &channel_events, .context = b};

		status = hf_protomux_open(mux, &channel, &b->channel);
	}
	hf_buffer_free(&handshake);
	if (status == HF_OK || status == HF_ECANCELED)
		return HF_OK; /* `closed` was called, and the owner frees it */
	*out = NULL;
	destroy(b);
	return status;
}

void hf_bee_channel_free(struct hf_bee_channel *b)
{
	if (b == NULL)
		return;
	b->is_freed = true;
	if (b->channel != NULL)
		hf_channel_close(b->channel);
	destroy(b);
}

const uint8_t *hf_bee_channel_remote_key(const struct hf_bee_channel *b)
{
	return b->has_remote_key ? b->remote_key : NULL;
}

uint64_t hf_bee_channel_deadline_ms(const struct hf_bee_channel *b)
{
	return b->stream != NULL && !b->has_ended ? hf_secret_stream_deadline(b->stream) : UINT64_MAX;
}

void hf_bee_channel_tick(struct hf_bee_channel *b)
{
	if (b->stream == NULL || b->has_ended)
		return;
	b->uses++;
	int status = hf_secret_stream_tick(b->stream, now_ms(b));
	if (status == HF_OK)
		status = flush(b);
	if (status != HF_OK)
		note_end(b, status, "The nested stream ended.");
	leave(b);
}
