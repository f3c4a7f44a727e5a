/* The handshake is a table of tokens a message; both directions walk it.
 *
 * Apart from standard Noise: keys are Ed25519 pairs and their product is the encoded Edwards point, not X25519; hashes are 64 bytes
 * long, HMAC is the generic one (RFC 2104), and the nonce is a 32-bit counter in the middle of twelve bytes. */
#include "crypto/noise.h"

#include <assert.h>
#include <sodium.h>

#include "base/error.h"
#include "crypto/hash.h"
#include "crypto/secret.h"

#define KEY_BYTES 32
#define TAG_BYTES 16
#define HASH_BYTES HF_HANDSHAKE_HASH_BYTES
#define MESSAGE_COUNT_MAX 3
#define TOKEN_COUNT_MAX 4

enum token { END, E, S, EE, ES, SE, SS };

/* The first letter of a pair of keys is the initiator's, whoever sends. */
struct pattern {
	const char *name;
	uint8_t message_count;
	uint8_t messages[MESSAGE_COUNT_MAX][TOKEN_COUNT_MAX + 1];
};
static const struct pattern patterns[] = {
	[HF_NOISE_XX] = {"Noise_XX_Ed25519_ChaChaPoly_BLAKE2b", 3, {{E}, {E, EE, S, ES}, {S, SE}}},
	[HF_NOISE_IK] = {"Noise_IK_Ed25519_ChaChaPoly_BLAKE2b", 2, {{E, ES, S, SS}, {E, EE, SE}}},
};

static const struct hf_slice no_key;

/* ---- Hashes and keys ---- */

static void mix_hash(struct hf_noise *noise, struct hf_slice data)
{
	struct hf_blake2b hash;

	hf_blake2b_init(&hash, HASH_BYTES, no_key);
	hf_blake2b_update(&hash, noise->h, HASH_BYTES);
	hf_blake2b_update(&hash, data.data, data.length);
	hf_blake2b_final(&hash, noise->h, HASH_BYTES);
}

static void hmac(uint8_t out[static HASH_BYTES], const uint8_t key[static HASH_BYTES], struct hf_slice data)
{
	uint8_t block[HF_BLAKE2B_BLOCK_BYTES] = {0};
	struct hf_blake2b hash;

	memcpy(block, key, HASH_BYTES);
	for (size_t i = 0; i < sizeof block; i++)
		block[i] ^= 0x36;
	hf_blake2b_init(&hash, HASH_BYTES, no_key);
	hf_blake2b_update(&hash, block, sizeof block);
	hf_blake2b_update(&hash, data.data, data.length);
	hf_blake2b_final(&hash, out, HASH_BYTES);

	for (size_t i = 0; i < sizeof block; i++)
		block[i] ^= 0x36 ^ 0x5c;
	hf_blake2b_init(&hash, HASH_BYTES, no_key);
	hf_blake2b_update(&hash, block, sizeof block);
	hf_blake2b_update(&hash, out, HASH_BYTES);
	hf_blake2b_final(&hash, out, HASH_BYTES);
	hf_wipe(block, sizeof block);
	hf_wipe(&hash, sizeof hash);
}

/* first may be chaining_key. */
static void hkdf(uint8_t first[static HASH_BYTES], uint8_t second[static HASH_BYTES], const uint8_t chaining_key[static HASH_BYTES],
	struct hf_slice material)
{
	uint8_t key[HASH_BYTES], input[HASH_BYTES + 1];

	hmac(key, chaining_key, material);
	hmac(first, key, HF_SLICE_LITERAL("\x01"));
	memcpy(input, first, HASH_BYTES);
	input[HASH_BYTES] = 2;
	hmac(second, key, hf_slice(input, sizeof input));
	hf_wipe(key, sizeof key);
	hf_wipe(input, sizeof input);
}

static void mix_key(struct hf_noise *noise, const uint8_t shared[static KEY_BYTES])
{
	uint8_t key[HASH_BYTES];

	hkdf(noise->ck, key, noise->ck, hf_slice(shared, KEY_BYTES));
	memcpy(noise->k, key, sizeof noise->k);
	noise->n = 0;
	noise->has_key = true;
	hf_wipe(key, sizeof key);
}

int hf_noise_dh(uint8_t shared[static 32], const uint8_t secret[static HF_SIGN_SECRET_BYTES],
	const uint8_t public_key[static HF_SIGN_PUBLIC_BYTES])
{
	uint8_t scalar[crypto_hash_sha512_BYTES];

	crypto_hash_sha512(scalar, secret, HF_SIGN_SEED_BYTES);
	scalar[0] &= 248;
	scalar[31] &= 127;
	scalar[31] |= 64;
	int error = crypto_scalarmult_ed25519_noclamp(shared, scalar, public_key) == 0 ? HF_OK : HF_EMALFORMED;
	hf_wipe(scalar, sizeof scalar);
	return error;
}

/* ---- Encryption, which is none before there is a key ---- */

static void next_nonce(struct hf_noise *noise, uint8_t nonce[static crypto_aead_chacha20poly1305_ietf_NPUBBYTES])
{
	memset(nonce, 0, crypto_aead_chacha20poly1305_ietf_NPUBBYTES);
	hf_store_le32(nonce + 4, noise->n++);
}

static size_t tag_bytes(const struct hf_noise *noise)
{
	return noise->has_key ? TAG_BYTES : 0;
}

static void encrypt_and_hash(struct hf_noise *noise, uint8_t *out, struct hf_slice plain)
{
	uint8_t nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES];
	size_t length = plain.length + tag_bytes(noise);

	if (noise->has_key) {
		next_nonce(noise, nonce);
		crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, plain.data, plain.length, noise->h, HASH_BYTES, NULL, nonce,
			noise->k);
	} else if (plain.length > 0) {
		memcpy(out, plain.data, plain.length);
	}
	mix_hash(noise, hf_slice(out, length));
}

static int decrypt_and_hash(struct hf_noise *noise, uint8_t *out, struct hf_slice sealed)
{
	uint8_t nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES], nothing;

	if (noise->has_key) {
		next_nonce(noise, nonce);
		if (crypto_aead_chacha20poly1305_ietf_decrypt(out != NULL ? out : &nothing, NULL, NULL, sealed.data, sealed.length,
			    noise->h, HASH_BYTES, nonce, noise->k) != 0)
			return HF_EBADSIG;
	} else if (sealed.length > 0) {
		memcpy(out, sealed.data, sealed.length);
	}
	mix_hash(noise, sealed);
	return HF_OK;
}

/* ---- Messages ---- */

void hf_noise_init(struct hf_noise *noise, const struct hf_noise_options *options)
{
	const struct pattern *pattern = &patterns[options->pattern];
	const uint8_t *responder_static;

	*noise = (struct hf_noise){.env = options->env, .pattern = (uint8_t)options->pattern, .is_initiator = options->is_initiator};
	memcpy(noise->static_secret, options->static_secret, sizeof noise->static_secret);
	memcpy(noise->h, pattern->name, strlen(pattern->name));
	memcpy(noise->ck, noise->h, sizeof noise->ck);
	mix_hash(noise, options->prologue);
	if (options->pattern != HF_NOISE_IK)
		return;
	assert(!options->is_initiator || options->remote_static != NULL);
	if (options->is_initiator)
		memcpy(noise->remote_static, options->remote_static, sizeof noise->remote_static);
	responder_static = options->is_initiator ? noise->remote_static : hf_sign_public_key(noise->static_secret);
	mix_hash(noise, hf_slice(responder_static, HF_SIGN_PUBLIC_BYTES));
}

void hf_noise_wipe(struct hf_noise *noise)
{
	int status = noise->status;

	hf_wipe(noise, sizeof *noise);
	noise->status = status != HF_OK ? status : HF_ECLOSED;
}

static int end(struct hf_noise *noise, int status)
{
	noise->status = status;
	hf_noise_wipe(noise);
	return status;
}

bool hf_noise_is_done(const struct hf_noise *noise)
{
	return noise->status == HF_OK && noise->step == patterns[noise->pattern].message_count;
}

bool hf_noise_is_sending(const struct hf_noise *noise)
{
	return noise->status == HF_OK && !hf_noise_is_done(noise) && (noise->step % 2 == 0) == noise->is_initiator;
}

static int mix_dh(struct hf_noise *noise, enum token token)
{
	bool ours_is_static = token == SS || token == (noise->is_initiator ? SE : ES);
	bool theirs_is_static = token == SS || token == (noise->is_initiator ? ES : SE);
	uint8_t shared[KEY_BYTES];
	int error = hf_noise_dh(shared, ours_is_static ? noise->static_secret : noise->ephemeral_secret,
		theirs_is_static ? noise->remote_static : noise->remote_ephemeral);

	if (error == HF_OK)
		mix_key(noise, shared);
	hf_wipe(shared, sizeof shared);
	return error;
}

static uint8_t *send_ephemeral(struct hf_noise *noise, uint8_t *at)
{
	hf_sign_keypair_generate(at, noise->ephemeral_secret, noise->env);
	mix_hash(noise, hf_slice(at, KEY_BYTES));
	return at + KEY_BYTES;
}

static uint8_t *send_static(struct hf_noise *noise, uint8_t *at)
{
	size_t length = KEY_BYTES + tag_bytes(noise);

	encrypt_and_hash(noise, at, hf_slice(hf_sign_public_key(noise->static_secret), KEY_BYTES));
	return at + length;
}

int hf_noise_send(struct hf_noise *noise, struct hf_slice payload, uint8_t *out, size_t *out_length)
{
	uint8_t *at = out;

	*out_length = 0;
	if (noise->status != HF_OK)
		return noise->status;
	if (!hf_noise_is_sending(noise))
		return HF_EINVAL;
	if (payload.length > HF_NOISE_MESSAGE_BYTES_MAX - HF_NOISE_OVERHEAD_BYTES_MAX)
		return HF_ETOOBIG;
	for (const uint8_t *token = patterns[noise->pattern].messages[noise->step]; *token != END; token++) {
		int error = HF_OK;
		switch (*token) {
		case E: at = send_ephemeral(noise, at); break;
		case S: at = send_static(noise, at); break;
		default: error = mix_dh(noise, *token);
		}
		if (error != HF_OK)
			return end(noise, error);
	}
	size_t sealed_length = payload.length + tag_bytes(noise);
	encrypt_and_hash(noise, at, payload);
	noise->step++;
	*out_length = (size_t)(at - out) + sealed_length;
	return HF_OK;
}

static bool take(struct hf_slice *message, size_t length, struct hf_slice *taken)
{
	if (message->length < length)
		return false;
	*taken = hf_slice(message->data, length);
	message->data += length;
	message->length -= length;
	return true;
}

static int recv_token(struct hf_noise *noise, enum token token, struct hf_slice *message)
{
	struct hf_slice key;

	if (token != E && token != S)
		return mix_dh(noise, token);
	if (!take(message, token == E ? KEY_BYTES : KEY_BYTES + tag_bytes(noise), &key))
		return HF_EMALFORMED;
	if (token == S)
		return decrypt_and_hash(noise, noise->remote_static, key);
	memcpy(noise->remote_ephemeral, key.data, KEY_BYTES);
	mix_hash(noise, key);
	return HF_OK;
}

int hf_noise_recv(struct hf_noise *noise, struct hf_slice message, uint8_t *payload, size_t *payload_length)
{
	if (payload_length != NULL)
		*payload_length = 0;
	if (noise->status != HF_OK)
		return noise->status;
	if (hf_noise_is_done(noise) || hf_noise_is_sending(noise))
		return HF_EINVAL;
	if (message.length > HF_NOISE_MESSAGE_BYTES_MAX)
		return end(noise, HF_EMALFORMED);
	for (const uint8_t *token = patterns[noise->pattern].messages[noise->step]; *token != END; token++) {
		int error = recv_token(noise, *token, &message);
		if (error != HF_OK)
			return end(noise, error);
	}
	size_t tag = tag_bytes(noise);
	if (message.length < tag || (payload_length == NULL && message.length > tag))
		return end(noise, HF_EMALFORMED);
	int error = decrypt_and_hash(noise, payload, message);
	if (error != HF_OK)
		return end(noise, error);
	noise->step++;
	if (payload_length != NULL)
		*payload_length = message.length - tag;
	return HF_OK;
}

void hf_noise_split(struct hf_noise *noise, struct hf_noise_result *result)
{
	uint8_t first[HASH_BYTES], second[HASH_BYTES];

	assert(hf_noise_is_done(noise));
	hkdf(first, second, noise->ck, hf_slice(NULL, 0));
	memcpy(result->tx, noise->is_initiator ? first : second, sizeof result->tx);
	memcpy(result->rx, noise->is_initiator ? second : first, sizeof result->rx);
	memcpy(result->handshake_hash, noise->h, sizeof result->handshake_hash);
	memcpy(result->remote_static, noise->remote_static, sizeof result->remote_static);
	hf_wipe(first, sizeof first);
	hf_wipe(second, sizeof second);
	hf_noise_wipe(noise);
}
