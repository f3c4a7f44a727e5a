/* A nested replication stream whose remote is the input: its handshake and its bytes, before and behind a nested handshake that is
 * honest. It ends once, and nothing comes after.
 *
 * Covers: src/wire/bee_channel.c
 */
#include "fuzz.h"

#include "crypto/sign.h"
#include "wire/bee_channel.h"

struct host {
	struct hf_protomux *mux;         /* outer */
	struct hf_bee_channel *channel;
	struct hf_protomux *nested;
	struct hf_secret_stream *remote; /* the honest other end of the nested stream */
	struct hf_buffer sent;           /* in messages of the channel, not given to it yet */
	bool has_closed, is_congested, fails;
	uint64_t now_us;
};

static uint64_t monotonic_us(struct hf_env *env)
{
	return ((struct host *)env->context)->now_us;
}

static uint64_t wall_ms(struct hf_env *env)
{
	return 1700000000000;
}

static void fill(struct hf_env *env, void *out, size_t length)
{
	memset(out, 7, length);
}

/* Keeps the nested bytes: a message to the channel has its id, type and length in front. */
static int on_send(void *owner, const struct iovec *parts, int count)
{
	struct host *h = owner;
	struct hf_buffer message = {0};

	if (h->fails)
		return HF_EIO;
	for (int i = 0; i < count; i++)
		hf_buffer_append(&message, parts[i].iov_base, parts[i].iov_len);
	if (message.length > 2 && message.data[0] == 1 && message.data[1] == 0) {
		struct hf_compact_reader in = hf_compact_reader(hf_slice(message.data + 2, message.length - 2));
		struct hf_slice bytes = hf_compact_read_buffer(&in);

		hf_buffer_append(&h->sent, bytes.data, bytes.length);
	}
	hf_buffer_free(&message);
	return HF_OK;
}

static bool on_congested(void *owner)
{
	return ((struct host *)owner)->is_congested;
}

static void on_error(void *owner, const struct hf_failure *failure)
{
}

static const struct hf_protomux_events mux_events = {.send = on_send, .is_congested = on_congested, .error = on_error};

static int on_nested_open(struct hf_channel *channel, void *context, struct hf_slice handshake)
{
	return HF_OK;
}

static int on_nested_message(struct hf_channel *channel, void *context, uint32_t type, struct hf_slice body)
{
	struct iovec part = {(void *)body.data, body.length};

	return hf_channel_send(channel, type, &part, 1) == HF_ENOMEM ? HF_ENOMEM : HF_OK;
}

static void on_opened(void *context, struct hf_bee_channel *channel, struct hf_protomux *mux,
	const uint8_t handshake_hash[HF_STATIC HF_HANDSHAKE_HASH_BYTES])
{
	static const struct hf_channel_events nested_events = {.message_types = 1, .open = on_nested_open, .message = on_nested_message};
	const struct hf_channel_options options = {.protocol = HF_SLICE_LITERAL("p"), .events = &nested_events};
	struct host *h = context;
	struct hf_channel *nested;

	FUZZ_CHECK(!h->has_closed && h->nested == NULL);
	h->nested = mux;
	hf_protomux_open(mux, &options, &nested);
}

static void on_closed(void *context, struct hf_bee_channel *channel, int code, const char *why)
{
	struct host *h = context;

	FUZZ_CHECK(!h->has_closed && code != HF_OK && why[0] != 0);
	h->has_closed = true;
}

static const struct hf_bee_channel_events events = {.opened = on_opened, .closed = on_closed};

static void give(struct host *h, const void *data, size_t length)
{
	struct hf_buffer message = {0};
	struct hf_compact_writer out = hf_compact_writer(&message);

	hf_compact_write_fixed(&out, "\1\0", 2);
	hf_compact_write_buffer(&out, hf_slice(data, length));
	hf_protomux_recv(h->mux, hf_buffer_slice(&message));
	hf_buffer_free(&message);
}

/* Both directions, until nothing moves. */
static void exchange(struct host *h)
{
	struct hf_secret_stream_slice slice;
	bool has_moved = true;

	while (has_moved && h->remote != NULL) {
		struct hf_buffer sent = h->sent;

		h->sent = (struct hf_buffer){0};
		has_moved = sent.length > 0;
		if (has_moved && hf_secret_stream_recv(h->remote, h->now_us / 1000, sent.data, sent.length) != HF_OK) {
			hf_secret_stream_free(h->remote);
			h->remote = NULL;
		}
		hf_buffer_free(&sent);
		while (h->remote != NULL && hf_secret_stream_send(h->remote, &slice, 1) == 1) {
			give(h, slice.data, slice.length);
			hf_secret_stream_release(slice.chunk);
			has_moved = true;
		}
	}
}

static void on_remote_handshake(void *context, const uint8_t key[static HF_SIGN_PUBLIC_BYTES],
	const uint8_t hash[static HF_HANDSHAKE_HASH_BYTES])
{
}

static void on_remote_message(void *context, uint8_t *data, size_t length)
{
}

static void act(struct host *h, unsigned what, const uint8_t *data, size_t length)
{
	const struct iovec piece = {(void *)data, length};

	switch (what) {
	case 0: give(h, data, length); break;
	case 1:
		if (h->remote != NULL && hf_secret_stream_is_open(h->remote))
			hf_secret_stream_write(h->remote, h->now_us / 1000, &piece, 1);
		exchange(h);
		break;
	case 2: exchange(h); break;
	case 3:
		h->is_congested = !h->is_congested;
		if (!h->is_congested)
			hf_protomux_drained(h->mux);
		break;
	case 4:
		h->now_us += (uint64_t)length * 1000000;
		if (hf_bee_channel_deadline_ms(h->channel) <= h->now_us / 1000)
			hf_bee_channel_tick(h->channel);
		break;
	case 5: h->fails = length == 200; break;
	case 6: hf_protomux_recv(h->mux, HF_SLICE_LITERAL("\0\3\1")); break; /* the remote closes it */
	default: hf_protomux_recv(h->mux, hf_slice(data, length)); break;
	}
}

static void open_remote(struct host *h, const uint8_t *data, size_t length)
{
	static const char head[] = "\0\1\1\x1ehypertuna-hyperbee-replication";
	struct hf_buffer message = {0};
	struct hf_compact_writer out = hf_compact_writer(&message);

	hf_compact_write_fixed(&out, head, sizeof head); /* with its final 0: the empty id */
	hf_compact_write_buffer(&out, hf_slice(data, length));
	hf_protomux_recv(h->mux, hf_buffer_slice(&message));
	hf_buffer_free(&message);
}

/* The first byte: flags; the handshake's length and text; then acts: what, length, bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct hf_secret_stream_events remote_events = {.handshake = on_remote_handshake, .message = on_remote_message};
	static const uint8_t bee_key[32] = {0xab};
	uint8_t seed[HF_SIGN_SEED_BYTES] = {1}, public_key[HF_SIGN_PUBLIC_BYTES], secret[HF_SIGN_SECRET_BYTES];
	struct host h = {0};
	struct hf_env env = {.context = &h, .monotonic_us = monotonic_us, .wall_ms = wall_ms, .random = fill};
	struct hf_secret_stream_pool *pool;
	size_t length = size > 1 ? data[1] : 0, at = 2 + length;

	if (size < at)
		return 0;
	hf_sign_keypair_from_seed(public_key, secret, seed);
	if (hf_secret_stream_pool_new(&pool) != HF_OK || hf_protomux_new(&mux_events, &h, 1, NULL, &h.mux) != HF_OK)
		abort();
	const struct hf_bee_channel_options options = {.is_initiator = data[0] & 1,
		.is_upload = data[0] & 2,
		.bee_key = data[0] & 4 ? bee_key : NULL,
		.env = &env,
		.pool = pool,
		.static_secret = secret,
		.events = &events,
		.context = &h};
	const struct hf_secret_stream_options remote = {.is_initiator = !(data[0] & 1), .static_secret = secret, .env = &env, .pool = pool,
		.events = &remote_events, .context = &h};
	if (hf_bee_channel_new(h.mux, &options, &h.channel) != HF_OK || hf_secret_stream_new(&h.remote, &remote, 0) != HF_OK)
		abort();
	open_remote(&h, data + 2, length);
	while (at + 2 <= size) {
		unsigned what = data[at] & 7;

		length = size - at - 2 < data[at + 1] ? size - at - 2 : data[at + 1];
		act(&h, what, data + at + 2, length);
		at += 2 + length;
	}
	FUZZ_CHECK(hf_bee_channel_remote_key(h.channel) == NULL || size > 2);
	hf_bee_channel_free(h.channel);
	hf_secret_stream_free(h.remote);
	hf_protomux_free(h.mux);
	hf_secret_stream_pool_free(pool);
	hf_buffer_free(&h.sent);
	return 0;
}
