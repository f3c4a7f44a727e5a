/* Secret streams and Noise from bytes, fed whole and cut; both must hear and answer the same. The first byte chooses role, where the
 * session stands (at its beginning, or with the handshake handed in) and the cut; with bit 2, frames are sealed for it first, so
 * that what follows authentication is reached: each further byte is then a message's length, and what is left is raw. With bit 3 an
 * honest peer's bytes come first and the raw ones are laid over them.
 *
 * Covers: src/wire/secret_stream.c src/wire/secret_stream_output.c src/crypto/secretstream.c src/crypto/noise.c
 * src/crypto/datagram_cipher.c
 */
#include "fuzz.h"

#include "crypto/datagram_cipher.h"
#include "crypto/hash.h"
#include "wire/secret_stream.h"

#define MESSAGE_BYTES_MAX 2000u

static struct hf_secret_stream_pool *pool;

struct peer {
	struct hf_env env;
	struct hf_secret_stream *stream;
	struct hf_buffer heard, output;
};

static void give_random(struct hf_env *env, void *out, size_t length)
{
	memset(out, *(const uint8_t *)env->context, length);
}

static void on_message(void *context, uint8_t *data, size_t length)
{
	struct peer *peer = context;
	uint8_t head[4];

	FUZZ_CHECK(length <= MESSAGE_BYTES_MAX);
	hf_store_le32(head, (uint32_t)length);
	hf_buffer_append(&peer->heard, head, 4);
	hf_buffer_append(&peer->heard, data, length);
	struct iovec piece = {data, length};
	FUZZ_CHECK(hf_secret_stream_write(peer->stream, 2, &piece, 1) == HF_OK);
}

static void on_handshake(void *context, const uint8_t remote_key[static 32], const uint8_t hash[static 64])
{
	struct peer *peer = context;
	uint8_t text[] = "hello";
	struct iovec piece = {text, sizeof text};

	hf_buffer_append(&peer->heard, remote_key, 32);
	hf_buffer_append(&peer->heard, hash, 64);
	FUZZ_CHECK(hf_secret_stream_write(peer->stream, 1, &piece, 1) == HF_OK);
}

static const struct hf_secret_stream_events events = {.handshake = on_handshake, .message = on_message};

static void open_peer(struct peer *peer, bool is_initiator, bool is_handed_in)
{
	static uint8_t seeds[2] = {7, 9};
	struct hf_noise_result handshake = {.handshake_hash = {5}};
	uint8_t public_key[32], secret_key[64], seed[32];

	*peer = (struct peer){.env = {.context = &seeds[is_initiator], .random = give_random}};
	memset(seed, 3 + is_initiator, sizeof seed);
	hf_sign_keypair_from_seed(public_key, secret_key, seed);
	handshake.tx[0] = is_initiator;
	handshake.rx[0] = !is_initiator;
	struct hf_secret_stream_options options = {.is_initiator = is_initiator, .static_secret = secret_key,
		.handshake = is_handed_in ? &handshake : NULL, .env = &peer->env, .pool = pool, .message_bytes_max = MESSAGE_BYTES_MAX,
		.keep_alive_ms = is_handed_in ? 0 : 5, .idle_timeout_ms = 1000, .events = &events, .context = peer};
	FUZZ_CHECK(hf_secret_stream_new(&peer->stream, &options, 0) == HF_OK);
}

static void pump(struct peer *peer)
{
	struct hf_secret_stream_slice slice;

	while (hf_secret_stream_send(peer->stream, &slice, 1) == 1) {
		hf_buffer_append(&peer->output, slice.data, slice.length);
		hf_secret_stream_release(slice.chunk);
	}
	FUZZ_CHECK(hf_secret_stream_pending_bytes(peer->stream) == 0);
}

static void close_peer(struct peer *peer)
{
	hf_secret_stream_free(peer->stream);
	hf_buffer_free(&peer->heard);
	hf_buffer_free(&peer->output);
}

static int feed(struct peer *peer, struct hf_slice bytes, size_t step)
{
	int error = HF_OK;

	for (size_t at = 0; at < bytes.length && error == HF_OK; at += step) {
		size_t piece = bytes.length - at < step ? bytes.length - at : step;
		uint8_t *copy = malloc(piece);
		memcpy(copy, bytes.data + at, piece);
		error = hf_secret_stream_recv(peer->stream, 1, copy, piece);
		free(copy);
		if (error != HF_OK)
			FUZZ_CHECK(hf_secret_stream_recv(peer->stream, 1, NULL, 0) == error);
		size_t wanted = error == HF_OK ? hf_secret_stream_wanted_bytes(peer->stream, HF_SECRET_STREAM_FRAME_BYTES_MAX) : 1;
		FUZZ_CHECK(wanted > 0 && wanted <= HF_SECRET_STREAM_FRAME_BYTES_MAX);
		pump(peer);
	}
	return error;
}

static struct hf_slice rest_of(const struct hf_buffer *bytes, size_t at)
{
	return at < bytes->length ? hf_slice(bytes->data + at, bytes->length - at) : hf_slice(NULL, 0);
}

/* What an honest peer says: all of a handshake, and messages of the lengths given. */
static void honest_bytes(struct hf_buffer *out, bool is_initiator, bool is_handed_in, struct hf_slice lengths)
{
	static uint8_t text[256];
	struct peer us, other;

	open_peer(&us, is_initiator, is_handed_in);
	open_peer(&other, !is_initiator, is_handed_in);
	for (size_t i = 0, us_at = 0, other_at = 0; i < 4; i++) {
		pump(&us);
		FUZZ_CHECK(feed(&other, rest_of(&us.output, us_at), SIZE_MAX / 2) == HF_OK);
		us_at = us.output.length;
		pump(&other);
		FUZZ_CHECK(i > 2 || feed(&us, rest_of(&other.output, other_at), SIZE_MAX / 2) == HF_OK);
		other_at = other.output.length;
	}
	for (size_t i = 0; i < lengths.length; i++) {
		struct iovec piece = {text, lengths.data[i]};
		FUZZ_CHECK(hf_secret_stream_write(us.stream, 1, &piece, 1) == HF_OK);
	}
	pump(&us);
	hf_buffer_append(out, us.output.data, us.output.length);
	close_peer(&us);
	close_peer(&other);
}

static int run(struct peer *peer, uint8_t choice, struct hf_slice bytes, size_t step)
{
	open_peer(peer, choice & 1, choice & 2);
	pump(peer);
	int error = feed(peer, bytes, step);
	int ticked = hf_secret_stream_tick(peer->stream, 900);
	FUZZ_CHECK(error == HF_OK || (ticked == error && hf_secret_stream_deadline(peer->stream) == UINT64_MAX));
	FUZZ_CHECK(error == HF_OK ? hf_secret_stream_deadline(peer->stream) <= 1001 : !hf_secret_stream_is_open(peer->stream));
	pump(peer);
	FUZZ_CHECK(hf_secret_stream_tick(peer->stream, 2000) == (error == HF_OK ? HF_ETIMEOUT : error));
	return error;
}

static void check_ik(struct hf_slice bytes)
{
	static uint8_t seed_byte = 4;
	struct hf_env env = {.context = &seed_byte, .random = give_random};
	uint8_t public_key[32], secret_key[64], seed[32] = {1}, *payload = malloc(bytes.length + 1);
	struct hf_noise_options options = {.pattern = HF_NOISE_IK, .static_secret = secret_key, .env = &env};
	struct hf_noise responder, initiator;
	size_t length, answer_length;
	uint8_t message[256], answer[256];

	hf_sign_keypair_from_seed(public_key, secret_key, seed);
	hf_noise_init(&responder, &options);
	hf_noise_recv(&responder, bytes, payload, &length);
	hf_noise_init(&responder, &options);
	options.is_initiator = true;
	options.remote_static = public_key;
	hf_noise_init(&initiator, &options);
	struct hf_slice text = hf_slice(bytes.data, bytes.length < 100 ? bytes.length : 100);
	FUZZ_CHECK(hf_noise_send(&initiator, text, message, &length) == HF_OK);
	FUZZ_CHECK(hf_noise_recv(&responder, hf_slice(message, length), answer, &answer_length) == HF_OK);
	FUZZ_CHECK(hf_slice_equal(hf_slice(answer, answer_length), text));
	FUZZ_CHECK(hf_noise_send(&responder, text, answer, &answer_length) == HF_OK);
	for (size_t i = 0; i < text.length && i < answer_length; i++)
		answer[i] ^= text.data[i];
	hf_noise_recv(&initiator, hf_slice(answer, answer_length), payload != NULL ? message : NULL, &length);
	free(payload);
}

/* Raw bytes are no datagram; sealed ones are, until one of them changes or is missing. */
static void check_datagrams(struct hf_slice bytes)
{
	static uint8_t counter_byte = 200;
	static const uint8_t hash[64] = {6};
	struct hf_env env = {.context = &counter_byte, .random = give_random};
	struct hf_datagram_cipher from, to;
	size_t length = bytes.length + HF_DATAGRAM_OVERHEAD_BYTES;
	uint8_t *sealed = malloc(length), *opened = malloc(length);

	hf_datagram_cipher_init(&from, hash, true, &env);
	hf_datagram_cipher_init(&to, hash, false, &env);
	FUZZ_CHECK(hf_datagram_open(&to, bytes, opened) != HF_OK);
	FUZZ_CHECK(hf_datagram_seal(&from, bytes, sealed) == HF_OK);
	FUZZ_CHECK(hf_datagram_open(&to, hf_slice(sealed, length), opened) == HF_OK);
	FUZZ_CHECK(hf_slice_equal(hf_slice(opened, bytes.length), bytes));
	FUZZ_CHECK(hf_datagram_open(&to, hf_slice(sealed, length - 1), opened) != HF_OK);
	sealed[bytes.length > 0 ? bytes.data[0] % length : 0] ^= 1;
	FUZZ_CHECK(hf_datagram_open(&to, hf_slice(sealed, length), opened) == HF_EBADSIG);
	free(sealed);
	free(opened);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hf_buffer bytes = {0};
	struct peer whole, cut;

	if (size < 2 || (pool == NULL && (hf_crypto_init() != HF_OK || hf_secret_stream_pool_new(&pool) != HF_OK)))
		return 0;
	uint8_t choice = data[0], length_count = choice & 4 ? data[1] % 4 : 0;
	if (size < 2u + length_count)
		return 0;
	struct hf_slice lengths = hf_slice(data + 2, length_count), raw = hf_slice(data + 2 + length_count, size - 2 - length_count);
	if ((choice & 12) != 0)
		honest_bytes(&bytes, !(choice & 1), choice & 2, lengths);
	if (choice & 8)
		for (size_t i = 0; i < raw.length && i < bytes.length; i++)
			bytes.data[bytes.length - 1 - i] ^= raw.data[i];
	else
		hf_buffer_append(&bytes, raw.data, raw.length);
	check_datagrams(raw);
	int first = run(&whole, choice, hf_buffer_slice(&bytes), SIZE_MAX / 2);
	int second = run(&cut, choice, hf_buffer_slice(&bytes), 1 + choice / 16);
	FUZZ_CHECK(first == second);
	FUZZ_CHECK(hf_slice_equal(hf_buffer_slice(&whole.heard), hf_buffer_slice(&cut.heard)));
	FUZZ_CHECK(hf_slice_equal(hf_buffer_slice(&whole.output), hf_buffer_slice(&cut.output)));
	close_peer(&whole);
	close_peer(&cut);
	hf_buffer_free(&bytes);
	if (choice == 0)
		check_ik(raw);
	return 0;
}
