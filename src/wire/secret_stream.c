/* Three phases: the handshake, the other side's header, messages. Ours are not tied to theirs: as soon as Noise is finished our header
 * goes out and messages may follow it.
 *
 * A frame that lies whole in the bytes given is opened there; one that does not is gathered, as its bytes come and never by what
 * its length announces. The buffer for that is kept while frames run from one read into the next, and given back at a read that
 * ends with a frame: an idle session has none. */
#include "wire/secret_stream.h"

#include <assert.h>
#include <stdlib.h>

#include "crypto/hash.h"
#include "crypto/secret.h"
#include "wire/secret_stream_output.h"

#define WHOLE_FRAME_BYTES_MIN 16384u /* copying shorter ones costs less than reading less at a time */
#define LENGTH_BYTES 3u
#define STREAM_ID_BYTES 32u
#define HEADER_BYTES (STREAM_ID_BYTES + HF_SECRETSTREAM_HEADER_BYTES)

enum phase { HANDSHAKE, HEADER, MESSAGES };

struct hf_secret_stream {
	const struct hf_secret_stream_events *events;
	void *context;
	struct hf_env *env;
	int status; /* of what ended the session */
	enum phase phase;
	bool is_initiator, is_receiving, is_freed;
	uint32_t message_bytes_max, output_bytes_max, keep_alive_ms, idle_timeout_ms;
	uint64_t written_ms, received_ms;
	uint64_t sent_bytes, received_bytes;
	struct hf_noise *noise; /* until it is finished */
	struct hf_secretstream tx, rx;
	uint8_t rx_key[HF_SECRETSTREAM_KEY_BYTES]; /* until the other side's header is here */
	uint8_t handshake_hash[HF_HANDSHAKE_HASH_BYTES], remote_key[HF_SIGN_PUBLIC_BYTES];
	struct hf_buffer gathered; /* an unfinished frame */
	size_t frame_bytes;        /* of the last one, its length in front included */
	struct hf_secret_stream_output output;
};

static int end(struct hf_secret_stream *stream, int status)
{
	stream->status = status;
	if (stream->noise != NULL)
		hf_noise_wipe(stream->noise);
	hf_wipe(&stream->tx, sizeof stream->tx);
	hf_wipe(&stream->rx, sizeof stream->rx);
	hf_wipe(stream->rx_key, sizeof stream->rx_key);
	hf_buffer_free(&stream->gathered);
	return status;
}

/* ---- Output ---- */

static void put_length(uint8_t out[static LENGTH_BYTES], size_t length)
{
	hf_store_le16(out, (uint16_t)length);
	out[2] = (uint8_t)(length >> 16);
}

static int send_noise(struct hf_secret_stream *stream)
{
	uint8_t *frame = hf_secret_stream_output_reserve(&stream->output, LENGTH_BYTES + HF_NOISE_OVERHEAD_BYTES_MAX);
	size_t length;

	if (frame == NULL)
		return HF_ENOMEM;
	int error = hf_noise_send(stream->noise, hf_slice(NULL, 0), frame + LENGTH_BYTES, &length);
	if (error != HF_OK)
		return error;
	put_length(frame, length);
	hf_secret_stream_output_commit(&stream->output, LENGTH_BYTES + length);
	return HF_OK;
}

static void stream_id(uint8_t out[static STREAM_ID_BYTES], const struct hf_secret_stream *stream, bool of_initiator)
{
	const uint8_t *name_space = hf_namespaces[of_initiator ? HF_NAMESPACE_STREAM_INITIATOR : HF_NAMESPACE_STREAM_RESPONDER];

	hf_blake2b(out, STREAM_ID_BYTES, hf_slice(stream->handshake_hash, sizeof stream->handshake_hash),
		hf_slice(name_space, HF_NAMESPACE_BYTES));
}

/* Takes over what Noise agreed on and says who we are. */
static int open_stream(struct hf_secret_stream *stream, const struct hf_noise_result *handshake)
{
	uint8_t *frame = hf_secret_stream_output_reserve(&stream->output, LENGTH_BYTES + HEADER_BYTES);

	if (frame == NULL)
		return HF_ENOMEM;
	uint8_t *header = frame + LENGTH_BYTES + STREAM_ID_BYTES;
	memcpy(stream->handshake_hash, handshake->handshake_hash, sizeof stream->handshake_hash);
	memcpy(stream->remote_key, handshake->remote_static, sizeof stream->remote_key);
	memcpy(stream->rx_key, handshake->rx, sizeof stream->rx_key);
	put_length(frame, HEADER_BYTES);
	stream_id(frame + LENGTH_BYTES, stream, stream->is_initiator);
	stream->env->random(stream->env, header, HF_SECRETSTREAM_HEADER_BYTES);
	hf_secretstream_init(&stream->tx, handshake->tx, header);
	hf_secret_stream_output_commit(&stream->output, LENGTH_BYTES + HEADER_BYTES);
	stream->phase = HEADER;
	return HF_OK;
}

int hf_secret_stream_write(struct hf_secret_stream *stream, uint64_t now_ms, const struct iovec *pieces, size_t count)
{
	size_t length = 0;

	if (stream->status != HF_OK)
		return stream->status;
	if (stream->phase == HANDSHAKE)
		return HF_EWAIT;
	for (size_t i = 0; i < count; i++) {
		if (pieces[i].iov_len > HF_SECRET_STREAM_MESSAGE_BYTES_MAX - length)
			return HF_ETOOBIG;
		length += pieces[i].iov_len;
	}
	if (stream->output.bytes >= stream->output_bytes_max)
		return HF_EBUSY;
	length += HF_SECRETSTREAM_OVERHEAD_BYTES;
	uint8_t *frame = hf_secret_stream_output_reserve(&stream->output, LENGTH_BYTES + length);
	if (frame == NULL)
		return HF_ENOMEM;
	put_length(frame, length);
	int error = hf_secretstream_push(stream->output.pool->engine, &stream->tx, HF_SECRETSTREAM_MESSAGE, pieces, count, frame + LENGTH_BYTES);
	if (error != HF_OK)
		return error;
	hf_secret_stream_output_commit(&stream->output, LENGTH_BYTES + length);
	stream->sent_bytes += LENGTH_BYTES + length;
	stream->written_ms = now_ms;
	return HF_OK;
}

size_t hf_secret_stream_send(struct hf_secret_stream *stream, struct hf_secret_stream_slice *slices, size_t count_max)
{
	return hf_secret_stream_output_take(&stream->output, slices, count_max);
}

size_t hf_secret_stream_pending_bytes(const struct hf_secret_stream *stream)
{
	return stream->output.bytes;
}

/* ---- Input ---- */

/* Whether a frame of this length may come now. */
static int check_length(const struct hf_secret_stream *stream, size_t length)
{
	switch (stream->phase) {
	case HANDSHAKE: return length <= HF_NOISE_OVERHEAD_BYTES_MAX ? HF_OK : HF_EMALFORMED;
	case HEADER: return length == HEADER_BYTES ? HF_OK : HF_EMALFORMED;
	default: break;
	}
	if (length < HF_SECRETSTREAM_OVERHEAD_BYTES)
		return HF_EMALFORMED;
	return length - HF_SECRETSTREAM_OVERHEAD_BYTES <= stream->message_bytes_max ? HF_OK : HF_ETOOBIG;
}

static int finish_noise(struct hf_secret_stream *stream, uint64_t now_ms)
{
	struct hf_noise_result result;

	hf_noise_split(stream->noise, &result);
	free(stream->noise);
	stream->noise = NULL;
	int error = open_stream(stream, &result);
	hf_wipe(&result, sizeof result);
	if (error != HF_OK)
		return error;
	stream->written_ms = now_ms;
	if (stream->events->handshake != NULL)
		stream->events->handshake(stream->context, stream->remote_key, stream->handshake_hash);
	return HF_OK;
}

static int recv_noise(struct hf_secret_stream *stream, uint64_t now_ms, struct hf_slice message)
{
	int error = hf_noise_recv(stream->noise, message, NULL, NULL);

	if (error == HF_OK && hf_noise_is_sending(stream->noise))
		error = send_noise(stream);
	if (error == HF_OK && hf_noise_is_done(stream->noise))
		error = finish_noise(stream, now_ms);
	return error;
}

static int recv_header(struct hf_secret_stream *stream, const uint8_t header[static HEADER_BYTES])
{
	uint8_t expected[STREAM_ID_BYTES];

	stream_id(expected, stream, !stream->is_initiator);
	if (!hf_bytes_equal_secret(header, expected, sizeof expected))
		return HF_EMALFORMED;
	hf_secretstream_init(&stream->rx, stream->rx_key, header + STREAM_ID_BYTES);
	hf_wipe(stream->rx_key, sizeof stream->rx_key);
	stream->phase = MESSAGES;
	if (stream->events->header != NULL)
		stream->events->header(stream->context);
	return HF_OK;
}

static int recv_message(struct hf_secret_stream *stream, uint8_t *sealed, size_t length)
{
	uint8_t tag;
	int error = hf_secretstream_pull(stream->output.pool->engine, &stream->rx, &tag, sealed, length);

	if (error != HF_OK)
		return error;
	stream->received_bytes += LENGTH_BYTES + length;
	length -= HF_SECRETSTREAM_OVERHEAD_BYTES;
	/* An empty one keeps the connection alive and means no more to a side that does so itself. */
	if (length > 0 || stream->keep_alive_ms == 0)
		stream->events->message(stream->context, sealed + 1, length);
	return HF_OK;
}

static int recv_frame(struct hf_secret_stream *stream, uint64_t now_ms, uint8_t *frame, size_t length)
{
	switch (stream->phase) {
	case HANDSHAKE: return recv_noise(stream, now_ms, hf_slice(frame, length));
	case HEADER: return recv_header(stream, frame);
	default: return recv_message(stream, frame, length);
	}
}

static size_t load_length(const uint8_t data[static LENGTH_BYTES])
{
	return hf_load_le16(data) | (size_t)data[2] << 16;
}

/* Appends up to `wanted` bytes in all to the unfinished frame; whether they are there now. */
static int gather(struct hf_secret_stream *stream, size_t wanted, uint8_t **data, size_t *length)
{
	size_t missing = wanted - stream->gathered.length, taken = *length < missing ? *length : missing;
	int error = hf_buffer_append(&stream->gathered, *data, taken);

	if (error != HF_OK)
		return error;
	*data += taken;
	*length -= taken;
	return taken == missing ? HF_OK : HF_EWAIT;
}

/* Goes on with an unfinished frame. HF_EWAIT when it still is. */
static int recv_gathered(struct hf_secret_stream *stream, uint64_t now_ms, uint8_t **data, size_t *length)
{
	int error = stream->gathered.length < LENGTH_BYTES ? gather(stream, LENGTH_BYTES, data, length) : HF_OK;

	if (error != HF_OK)
		return error;
	size_t frame_length = load_length(stream->gathered.data);
	error = check_length(stream, frame_length);
	if (error == HF_OK)
		error = gather(stream, LENGTH_BYTES + frame_length, data, length);
	if (error != HF_OK)
		return error;
	stream->frame_bytes = LENGTH_BYTES + frame_length;
	error = recv_frame(stream, now_ms, stream->gathered.data + LENGTH_BYTES, frame_length);
	hf_buffer_clear(&stream->gathered);
	return error;
}

/* The next frame, where it lies if it is whole. */
static int recv_next(struct hf_secret_stream *stream, uint64_t now_ms, uint8_t **data, size_t *length)
{
	if (stream->gathered.length > 0 || *length < LENGTH_BYTES)
		return recv_gathered(stream, now_ms, data, length);
	size_t frame_length = load_length(*data);
	int error = check_length(stream, frame_length);
	if (error != HF_OK)
		return error;
	if (*length - LENGTH_BYTES < frame_length)
		return recv_gathered(stream, now_ms, data, length);
	uint8_t *frame = *data + LENGTH_BYTES;
	stream->frame_bytes = LENGTH_BYTES + frame_length;
	*data = frame + frame_length;
	*length -= LENGTH_BYTES + frame_length;
	return recv_frame(stream, now_ms, frame, frame_length);
}

int hf_secret_stream_recv(struct hf_secret_stream *stream, uint64_t now_ms, uint8_t *data, size_t length)
{
	int error = HF_OK;

	assert(!stream->is_receiving);
	if (stream->status != HF_OK)
		return stream->status;
	stream->received_ms = now_ms;
	stream->is_receiving = true;
	while (length > 0 && error == HF_OK && !stream->is_freed)
		error = recv_next(stream, now_ms, &data, &length);
	stream->is_receiving = false;
	if (stream->is_freed) {
		hf_secret_stream_free(stream);
		return HF_ECLOSED;
	}
	if (stream->gathered.length == 0)
		hf_buffer_free(&stream->gathered);
	return error == HF_OK || error == HF_EWAIT ? HF_OK : end(stream, error);
}

size_t hf_secret_stream_wanted_bytes(const struct hf_secret_stream *stream, size_t room)
{
	size_t begun = stream->gathered.length, frame = stream->frame_bytes, missing;

	if (frame < WHOLE_FRAME_BYTES_MIN)
		return room;
	missing = begun >= LENGTH_BYTES ? LENGTH_BYTES + load_length(stream->gathered.data) - begun : begun > 0 ? frame - begun : 0;
	return missing + frame > room ? room : missing + (room - missing) / frame * frame;
}

uint64_t hf_secret_stream_received_bytes(const struct hf_secret_stream *stream)
{
	return stream->received_bytes;
}

uint64_t hf_secret_stream_sent_bytes(const struct hf_secret_stream *stream)
{
	return stream->sent_bytes;
}

size_t hf_secret_stream_gathered_bytes(const struct hf_secret_stream *stream)
{
	return stream->gathered.capacity;
}

/* ---- Time ---- */

uint64_t hf_secret_stream_deadline(const struct hf_secret_stream *stream)
{
	uint64_t deadline = UINT64_MAX;

	if (stream->status != HF_OK)
		return deadline;
	if (stream->keep_alive_ms > 0 && stream->phase != HANDSHAKE)
		deadline = stream->written_ms + stream->keep_alive_ms;
	if (stream->idle_timeout_ms > 0 && stream->received_ms + stream->idle_timeout_ms < deadline)
		deadline = stream->received_ms + stream->idle_timeout_ms;
	return deadline;
}

int hf_secret_stream_tick(struct hf_secret_stream *stream, uint64_t now_ms)
{
	assert(!stream->is_receiving);
	if (stream->status != HF_OK)
		return stream->status;
	if (stream->idle_timeout_ms > 0 && now_ms >= stream->received_ms + stream->idle_timeout_ms)
		return end(stream, HF_ETIMEOUT);
	if (stream->keep_alive_ms == 0 || stream->phase == HANDSHAKE || now_ms < stream->written_ms + stream->keep_alive_ms)
		return HF_OK;
	/* What still waits to be sent says as much. */
	if (stream->output.bytes > 0) {
		stream->written_ms = now_ms;
		return HF_OK;
	}
	int error = hf_secret_stream_write(stream, now_ms, NULL, 0);
	return error == HF_OK ? HF_OK : end(stream, error);
}

/* ---- Beginning and end ---- */

bool hf_secret_stream_is_open(const struct hf_secret_stream *stream)
{
	return stream->status == HF_OK && stream->phase != HANDSHAKE;
}

const uint8_t *hf_secret_stream_remote_key(const struct hf_secret_stream *stream)
{
	return stream->remote_key;
}

const uint8_t *hf_secret_stream_handshake_hash(const struct hf_secret_stream *stream)
{
	return stream->handshake_hash;
}

static int begin_noise(struct hf_secret_stream *stream, const struct hf_secret_stream_options *options)
{
	struct hf_noise_options noise = {
		.pattern = HF_NOISE_XX,
		.is_initiator = options->is_initiator,
		.static_secret = options->static_secret,
		.env = options->env,
	};

	stream->noise = malloc(sizeof *stream->noise);
	if (stream->noise == NULL)
		return HF_ENOMEM;
	hf_noise_init(stream->noise, &noise);
	return options->is_initiator ? send_noise(stream) : HF_OK;
}

int hf_secret_stream_new(struct hf_secret_stream **out, const struct hf_secret_stream_options *options, uint64_t now_ms)
{
	struct hf_secret_stream *stream = calloc(1, sizeof *stream);

	*out = NULL;
	if (stream == NULL)
		return HF_ENOMEM;
	stream->events = options->events;
	stream->context = options->context;
	stream->env = options->env;
	stream->output.pool = options->pool;
	stream->is_initiator = options->is_initiator;
	stream->message_bytes_max = options->message_bytes_max > 0 && options->message_bytes_max < HF_SECRET_STREAM_MESSAGE_BYTES_MAX
		? options->message_bytes_max : HF_SECRET_STREAM_MESSAGE_BYTES_MAX;
	stream->output_bytes_max = options->output_bytes_max > 0 ? options->output_bytes_max : HF_SECRET_STREAM_OUTPUT_BYTES_MAX;
	stream->keep_alive_ms = options->keep_alive_ms;
	stream->idle_timeout_ms = options->idle_timeout_ms;
	stream->written_ms = stream->received_ms = now_ms;
	int error = options->handshake != NULL ? open_stream(stream, options->handshake) : begin_noise(stream, options);
	if (error != HF_OK) {
		hf_secret_stream_free(stream);
		return error;
	}
	*out = stream;
	return HF_OK;
}

void hf_secret_stream_free(struct hf_secret_stream *stream)
{
	if (stream == NULL)
		return;
	if (stream->is_receiving) {
		stream->is_freed = true;
		stream->status = HF_ECLOSED;
		return;
	}
	if (stream->noise != NULL)
		hf_noise_wipe(stream->noise);
	free(stream->noise);
	hf_buffer_free(&stream->gathered);
	hf_secret_stream_output_free(&stream->output);
	hf_wipe(stream, sizeof *stream);
	free(stream);
}
