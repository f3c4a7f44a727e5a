/* Noise handshakes against vectors/hypercore/noise.json: every message and the state after it, of both sides. */
#include "support/vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/error.h"
#include "crypto/hash.h"
#include "crypto/noise.h"

#define MESSAGE_BYTES_MAX 256

struct side {
	struct hf_env env;
	uint8_t ephemeral_seed[32], static_secret[64], public_key[32];
	struct hf_noise noise;
};

static void give_seed(struct hf_env *env, void *out, size_t length)
{
	assert_int_equal(length, 32);
	memcpy(out, env->context, length);
}

static void set_up_side(struct side *side, const json_t *vector, const char *static_key, const char *ephemeral_key)
{
	uint8_t seed[32];

	vectors_bytes(seed, 32, vector, static_key);
	hf_sign_keypair_from_seed(side->public_key, side->static_secret, seed);
	vectors_bytes(side->ephemeral_seed, 32, vector, ephemeral_key);
	side->env = (struct hf_env){.context = side->ephemeral_seed, .random = give_seed};
}

/* [0] is the initiator. */
static void set_up_sides(struct side sides[2], const json_t *vector)
{
	struct hf_buffer prologue = {0};

	set_up_side(&sides[0], vector, "initiatorStaticSeed", "initiatorEphemeralSeed");
	set_up_side(&sides[1], vector, "responderStaticSeed", "responderEphemeralSeed");
	vectors_hex(&prologue, vector, "prologue");
	for (int i = 0; i < 2; i++) {
		struct hf_noise_options options = {
			.pattern = strcmp(vectors_text(vector, "pattern"), "IK") == 0 ? HF_NOISE_IK : HF_NOISE_XX,
			.is_initiator = i == 0,
			.static_secret = sides[i].static_secret,
			.remote_static = i == 0 ? sides[1].public_key : NULL,
			.prologue = hf_buffer_slice(&prologue),
			.env = &sides[i].env,
		};
		hf_noise_init(&sides[i].noise, &options);
	}
	hf_buffer_free(&prologue);
}

static void check_symmetric(const struct hf_noise *noise, const json_t *expected)
{
	vectors_expect(expected, "h", noise->h, 64);
	vectors_expect(expected, "ck", noise->ck, 64);
	assert_int_equal(noise->n, vectors_uint(expected, "n"));
	assert_int_equal(noise->has_key, !json_is_null(vectors_get(expected, "k")));
	if (noise->has_key)
		vectors_expect(expected, "k", noise->k, 32);
}

static void check_state(struct hf_noise *noise, const json_t *expected, const uint8_t *remote_static)
{
	static const struct hf_noise wiped;
	struct hf_noise_result result;

	if (json_object_get(expected, "hash") == NULL) {
		assert_false(hf_noise_is_done(noise));
		check_symmetric(noise, expected);
		return;
	}
	assert_true(hf_noise_is_done(noise));
	hf_noise_split(noise, &result);
	vectors_expect(expected, "hash", result.handshake_hash, 64);
	vectors_expect(expected, "tx", result.tx, 32);
	vectors_expect(expected, "rx", result.rx, 32);
	assert_memory_equal(result.remote_static, remote_static, 32);
	assert_memory_equal(noise->ck, wiped.ck, sizeof wiped.ck);
	assert_memory_equal(noise->static_secret, wiped.static_secret, sizeof wiped.static_secret);
	assert_memory_equal(noise->ephemeral_secret, wiped.ephemeral_secret, sizeof wiped.ephemeral_secret);
}

static size_t send_next(struct side *from, const json_t *message, uint8_t *out)
{
	struct hf_buffer payload = {0};
	size_t length;

	assert_true(hf_noise_is_sending(&from->noise));
	assert_int_equal(hf_noise_send(&from->noise, vectors_hex(&payload, message, "payload"), out, &length), HF_OK);
	vectors_expect(message, "message", out, length);
	hf_buffer_free(&payload);
	return length;
}

static void test_every_handshake_step_by_step(void **state)
{
	json_t *vector, *message;
	size_t i, j, steps = 0;

	json_array_foreach(vectors_array(*state, "handshakes", 3), i, vector) {
		struct side sides[2];
		set_up_sides(sides, vector);
		check_symmetric(&sides[0].noise, vectors_get(vector, "initial"));
		check_symmetric(&sides[1].noise, vectors_get(vector, "initial"));
		json_array_foreach(vectors_get(vector, "messages"), j, message) {
			struct side *from = &sides[j % 2], *to = &sides[1 - j % 2];
			uint8_t bytes[MESSAGE_BYTES_MAX], payload[MESSAGE_BYTES_MAX];
			size_t length = send_next(from, message, bytes), payload_length;
			check_state(&from->noise, vectors_get(message, "senderStateAfter"), to->public_key);
			assert_int_equal(hf_noise_recv(&to->noise, hf_slice(bytes, length), payload, &payload_length), HF_OK);
			vectors_expect(message, "payload", payload, payload_length);
			check_state(&to->noise, vectors_get(message, "receiverStateAfter"), from->public_key);
			steps++;
		}
	}
	assert_int_equal(steps, 8);
}

static void test_dh_is_the_same_from_both_sides(void **state)
{
	json_t *vector;
	size_t i;

	json_array_foreach(vectors_array(*state, "dh", 3), i, vector) {
		uint8_t seed[32], public_a[32], secret_a[64], public_b[32], secret_b[64], shared[32];
		vectors_bytes(seed, 32, vector, "seedA");
		hf_sign_keypair_from_seed(public_a, secret_a, seed);
		vectors_bytes(seed, 32, vector, "seedB");
		hf_sign_keypair_from_seed(public_b, secret_b, seed);
		assert_int_equal(hf_noise_dh(shared, secret_a, public_b), HF_OK);
		vectors_expect(vector, "shared", shared, 32);
		assert_int_equal(hf_noise_dh(shared, secret_b, public_a), HF_OK);
		vectors_expect(vector, "shared", shared, 32);
	}
}

/* Runs a handshake up to message `broken`, hands over that one cut to `length` or with one bit turned, and expects the failure to
 * stay. */
static int recv_broken(const json_t *vector, size_t broken, size_t length, size_t flipped)
{
	uint8_t bytes[MESSAGE_BYTES_MAX], payload[MESSAGE_BYTES_MAX];
	struct side sides[2];
	size_t sent, payload_length;

	set_up_sides(sides, vector);
	for (size_t i = 0;; i++) {
		struct side *to = &sides[1 - i % 2];
		sent = send_next(&sides[i % 2], json_array_get(vectors_get(vector, "messages"), i), bytes);
		if (i == broken) {
			bytes[flipped] ^= flipped < sent ? 1 : 0;
			struct hf_slice message = hf_slice(bytes, length < sent ? length : sent);
			int error = hf_noise_recv(&to->noise, message, payload, &payload_length);
			if (error != HF_OK)
				assert_int_equal(hf_noise_recv(&to->noise, message, payload, &payload_length), error);
			return error;
		}
		assert_int_equal(hf_noise_recv(&to->noise, hf_slice(bytes, sent), payload, &payload_length), HF_OK);
	}
}

static void test_broken_messages_end_the_handshake(void **state)
{
	static const size_t keys_in_clear = 32;
	json_t *vector, *message;
	size_t i, j;

	json_array_foreach(vectors_get(*state, "handshakes"), i, vector)
		json_array_foreach(vectors_get(vector, "messages"), j, message) {
			size_t length = strlen(vectors_text(message, "message")) / 2;
			bool is_clear = i < 2 && j == 0;
			for (size_t cut = 0; cut < length; cut++)
				assert_true(recv_broken(vector, j, cut, MESSAGE_BYTES_MAX - 1) != HF_OK || (is_clear && cut >= keys_in_clear));
			for (size_t flipped = 0; flipped < length; flipped++)
				assert_true(is_clear || recv_broken(vector, j, length, flipped) != HF_OK);
		}
}

static void test_calls_out_of_turn_are_refused_and_change_nothing(void **state)
{
	json_t *vector = json_array_get(vectors_get(*state, "handshakes"), 0);
	json_t *first = json_array_get(vectors_get(vector, "messages"), 0);
	static uint8_t long_payload[HF_NOISE_MESSAGE_BYTES_MAX];
	uint8_t bytes[MESSAGE_BYTES_MAX];
	struct side sides[2];
	size_t length;

	set_up_sides(sides, vector);
	assert_int_equal(hf_noise_send(&sides[1].noise, hf_slice(NULL, 0), bytes, &length), HF_EINVAL);
	assert_int_equal(hf_noise_recv(&sides[0].noise, hf_slice(bytes, 32), NULL, NULL), HF_EINVAL);
	assert_int_equal(hf_noise_send(&sides[0].noise, hf_slice(long_payload, sizeof long_payload), bytes, &length), HF_ETOOBIG);
	length = send_next(&sides[0], first, bytes);
	assert_int_equal(hf_noise_recv(&sides[1].noise, hf_slice(bytes, length), NULL, NULL), HF_OK);
}

static void test_points_outside_the_group_are_refused(void **state)
{
	json_t *vector = json_array_get(vectors_get(*state, "handshakes"), 0);
	uint8_t bytes[MESSAGE_BYTES_MAX], small_order[32] = {1};
	struct side sides[2];
	size_t length;

	set_up_sides(sides, vector);
	assert_int_equal(hf_noise_recv(&sides[1].noise, hf_slice(small_order, 32), NULL, NULL), HF_OK);
	assert_int_equal(hf_noise_send(&sides[1].noise, hf_slice(NULL, 0), bytes, &length), HF_EMALFORMED);
	assert_int_equal(length, 0);
	assert_int_equal(hf_noise_send(&sides[1].noise, hf_slice(NULL, 0), bytes, &length), HF_EMALFORMED);
	memset(small_order, 0xff, 32);
	assert_int_equal(hf_noise_dh(bytes, sides[0].static_secret, small_order), HF_EMALFORMED);
}

static int set_up(void **state)
{
	*state = vectors_load("hypercore/noise.json");
	return hf_crypto_init();
}

static int tear_down(void **state)
{
	json_decref(*state);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_handshake_step_by_step),
		cmocka_unit_test(test_dh_is_the_same_from_both_sides),
		cmocka_unit_test(test_broken_messages_end_the_handshake),
		cmocka_unit_test(test_calls_out_of_turn_are_refused_and_change_nothing),
		cmocka_unit_test(test_points_outside_the_group_are_refused),
	};
	return cmocka_run_group_tests_name("noise", tests, set_up, tear_down);
}
