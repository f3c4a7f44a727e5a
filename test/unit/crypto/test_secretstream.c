/* The stream cipher against its vectors and against libsodium, and sealed datagrams. */
#include "support/vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <sodium.h>

#include "base/error.h"
#include "crypto/datagram_cipher.h"
#include "crypto/hash.h"
#include "crypto/secretstream.h"

#define OVERHEAD HF_SECRETSTREAM_OVERHEAD_BYTES

static struct hf_secretstream_engine *engine;

static int set_up(void **state)
{
	*state = vectors_load("hypercore/secret-stream.json");
	return hf_crypto_init() != HF_OK || hf_secretstream_engine_new(&engine) != HF_OK;
}

static int tear_down(void **state)
{
	json_decref(*state);
	hf_secretstream_engine_free(engine);
	return 0;
}

static void push(struct hf_secretstream *stream, uint8_t tag, struct hf_slice plain, uint8_t *out)
{
	struct iovec pieces[3] = {
		{(void *)(uintptr_t)plain.data, plain.length / 3},
		{NULL, 0},
		{(void *)(uintptr_t)(plain.data + plain.length / 3), plain.length - plain.length / 3},
	};

	assert_int_equal(hf_secretstream_push(engine, stream, tag, pieces, 3, out), HF_OK);
}

static void check_state(const json_t *message, const struct hf_secretstream *stream)
{
	uint8_t state[52] = {0};

	memcpy(state, stream->key, 32);
	memcpy(state + 32, stream->nonce, 12);
	vectors_expect(message, "stateAfter", state, sizeof state);
}

static void test_vectors_both_ways_with_the_state_after_each(void **state)
{
	json_t *vector = vectors_get(*state, "secretstream"), *message;
	struct hf_secretstream tx, rx;
	uint8_t key[32], header[24], tag;
	struct hf_buffer plain = {0};
	size_t i;

	vectors_bytes(key, 32, vector, "key");
	vectors_bytes(header, 24, vector, "header");
	hf_secretstream_init(&tx, key, header);
	rx = tx;
	json_array_foreach(vectors_array(vector, "messages", 5), i, message) {
		uint8_t sealed[2048];
		struct hf_slice text = vectors_hex(&plain, message, "plaintext");
		assert_true(text.length + OVERHEAD <= sizeof sealed);
		push(&tx, HF_SECRETSTREAM_MESSAGE, text, sealed);
		vectors_expect(message, "ciphertext", sealed, text.length + OVERHEAD);
		check_state(message, &tx);
		assert_int_equal(hf_secretstream_pull(engine, &rx, &tag, sealed, text.length + OVERHEAD), HF_OK);
		assert_int_equal(tag, HF_SECRETSTREAM_MESSAGE);
		assert_memory_equal(sealed + 1, text.data, text.length);
		check_state(message, &rx);
	}
	hf_buffer_free(&plain);
}

struct peer {
	crypto_secretstream_xchacha20poly1305_state theirs;
	struct hf_secretstream ours;
};

static void check_same_state(const struct peer *peer)
{
	assert_memory_equal(peer->theirs.k, peer->ours.key, 32);
	assert_memory_equal(peer->theirs.nonce, peer->ours.nonce, 12);
}

static void exchange(struct peer *peer, uint8_t tag, struct hf_slice plain)
{
	static uint8_t theirs[70000], ours[70000];
	struct hf_secretstream before = peer->ours;
	uint8_t pulled;

	assert_int_equal(crypto_secretstream_xchacha20poly1305_push(&peer->theirs, theirs, NULL, plain.data, plain.length, NULL, 0, tag), 0);
	push(&peer->ours, tag, plain, ours);
	assert_memory_equal(ours, theirs, plain.length + OVERHEAD);
	check_same_state(peer);
	assert_int_equal(hf_secretstream_pull(engine, &before, &pulled, ours, plain.length + OVERHEAD), HF_OK);
	assert_int_equal(pulled, tag);
	assert_memory_equal(ours + 1, plain.data, plain.length);
	assert_memory_equal(&before, &peer->ours, sizeof before);
}

static void test_agrees_with_libsodium_at_every_length_over_rekeys(void **state)
{
	static uint8_t text[66000];
	uint8_t key[32], header[24];
	struct peer peer;

	for (size_t i = 0; i < sizeof text; i++)
		text[i] = (uint8_t)(i * 13 + i / 256);
	memset(key, 7, sizeof key);
	memset(header, 9, sizeof header);
	assert_int_equal(crypto_secretstream_xchacha20poly1305_init_pull(&peer.theirs, header, key), 0);
	hf_secretstream_init(&peer.ours, key, header);
	for (size_t length = 0; length <= 1100; length++)
		exchange(&peer, length % 50 == 3 ? HF_SECRETSTREAM_REKEY : length % 50 == 9 ? HF_SECRETSTREAM_FINAL : length % 2,
			hf_slice(text, length));
	exchange(&peer, HF_SECRETSTREAM_MESSAGE, hf_slice(text, sizeof text));
	memset(peer.theirs.nonce, 0xff, 4);
	memset(peer.ours.nonce, 0xff, 4);
	exchange(&peer, HF_SECRETSTREAM_MESSAGE, hf_slice(text, 50));
	assert_int_equal(hf_load_le32(peer.ours.nonce), 1);
	exchange(&peer, HF_SECRETSTREAM_MESSAGE, hf_slice(text, 51));
}

static void test_changed_messages_are_refused_and_change_nothing(void **state)
{
	static const size_t lengths[] = {0, 1, 100, 896, 897, 1000};
	uint8_t key[32] = {1}, header[24] = {2}, text[1000] = {3}, sealed[1000 + OVERHEAD], copy[1000 + OVERHEAD], tag;
	struct hf_secretstream tx, rx, before;

	hf_secretstream_init(&tx, key, header);
	rx = tx;
	for (size_t i = 0; i < 6; i++) {
		size_t length = lengths[i] + OVERHEAD;
		push(&tx, HF_SECRETSTREAM_MESSAGE, hf_slice(text, lengths[i]), sealed);
		before = rx;
		for (size_t at = 0; at < length; at++) {
			sealed[at] ^= 0x40;
			memcpy(copy, sealed, length);
			assert_int_equal(hf_secretstream_pull(engine, &rx, &tag, sealed, length), HF_EBADSIG);
			assert_memory_equal(sealed, copy, length);
			assert_memory_equal(&rx, &before, sizeof rx);
			sealed[at] ^= 0x40;
		}
		assert_int_equal(hf_secretstream_pull(engine, &rx, &tag, sealed, OVERHEAD - 1), HF_EMALFORMED);
		assert_int_equal(hf_secretstream_pull(engine, &rx, &tag, sealed, length), HF_OK);
	}
}

static void give_counter(struct hf_env *env, void *out, size_t length)
{
	assert_int_equal(length, 8);
	memcpy(out, env->context, length);
}

static void test_datagrams_of_the_session(void **state)
{
	json_t *session = vectors_get(*state, "session"), *keys = vectors_get(session, "sendKeys"), *packet;
	uint8_t hash[64], counter[8];
	struct hf_env env = {.context = counter, .random = give_counter};
	struct hf_datagram_cipher sides[2];
	struct hf_buffer bytes = {0};
	size_t i, count = 0;

	vectors_bytes(hash, 64, session, "handshakeHash");
	vectors_bytes(counter, 8, keys, "initialCounter");
	hf_datagram_cipher_init(&sides[0], hash, true, &env);
	hf_datagram_cipher_init(&sides[1], hash, false, &env);
	vectors_expect(keys, "initiatorEncrypt", sides[0].tx, 32);
	vectors_expect(keys, "responderEncrypt", sides[1].tx, 32);
	json_array_foreach(vectors_get(session, "wire"), i, packet) {
		uint8_t plain[256], sealed[256];
		if (strcmp(vectors_text(packet, "kind"), "datagram") != 0)
			continue;
		size_t from = strcmp(vectors_text(packet, "from"), "responder") == 0;
		struct hf_slice message = vectors_hex(&bytes, packet, "hex");
		size_t length = message.length - HF_DATAGRAM_OVERHEAD_BYTES;
		assert_int_equal(hf_datagram_open(&sides[1 - from], message, plain), HF_OK);
		assert_int_equal(hf_datagram_seal(&sides[from], hf_slice(plain, length), sealed), HF_OK);
		vectors_expect(packet, "hex", sealed, message.length);
		sealed[10] ^= 1;
		assert_int_equal(hf_datagram_open(&sides[1 - from], hf_slice(sealed, message.length), plain), HF_EBADSIG);
		assert_int_equal(hf_datagram_open(&sides[1 - from], hf_slice(sealed, HF_DATAGRAM_OVERHEAD_BYTES - 1), plain), HF_EMALFORMED);
		count++;
	}
	assert_int_equal(count, 3);
	hf_buffer_free(&bytes);
}

static void test_datagram_counters_are_not_used_twice(void **state)
{
	uint8_t hash[64] = {1}, counter[8] = {0}, out[32];
	struct hf_env env = {.context = counter, .random = give_counter};
	struct hf_datagram_cipher cipher;

	hf_datagram_cipher_init(&cipher, hash, true, &env);
	cipher.counter = UINT64_MAX - 1;
	assert_int_equal(hf_datagram_seal(&cipher, HF_SLICE_LITERAL("x"), out), HF_OK);
	assert_int_equal(hf_datagram_seal(&cipher, HF_SLICE_LITERAL("x"), out), HF_ECLOSED);
	assert_int_equal(hf_datagram_seal(&cipher, HF_SLICE_LITERAL("x"), out), HF_ECLOSED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors_both_ways_with_the_state_after_each),
		cmocka_unit_test(test_agrees_with_libsodium_at_every_length_over_rekeys),
		cmocka_unit_test(test_changed_messages_are_refused_and_change_nothing),
		cmocka_unit_test(test_datagrams_of_the_session),
		cmocka_unit_test(test_datagram_counters_are_not_used_twice),
	};
	return cmocka_run_group_tests_name("secretstream", tests, set_up, tear_down);
}
