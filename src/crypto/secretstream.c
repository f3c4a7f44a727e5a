/* Keystream block 0 gives the MAC's key, block 1 hides the tag and block 2 is where the message begins, so the first two are made
 * in a scratch of their own and the message goes straight from the caller's pieces to the output. Short messages are put behind
 * the two blocks instead, up to the end of a block: a call of the cipher, and a block in part, cost more than such a copy. */
#include "crypto/secretstream.h"

#include <openssl/evp.h>
#include <sodium.h>
#include <stdlib.h>

#include "base/error.h"
#include "crypto/secret.h"

#define BLOCK_BYTES 64u
#define HEAD_BYTES (2 * BLOCK_BYTES)
#define MAC_BYTES 16u
#define SHORT_BYTES_MAX 896u
#define UPDATE_BYTES_MAX (1u << 30) /* of one call: OpenSSL counts in int */

struct hf_secretstream_engine {
	EVP_CIPHER *cipher;
	EVP_CIPHER_CTX *chacha;
	EVP_MAC *mac;
	EVP_MAC_CTX *poly;
};

int hf_secretstream_engine_new(struct hf_secretstream_engine **out)
{
	struct hf_secretstream_engine *engine = calloc(1, sizeof *engine);

	*out = NULL;
	if (engine == NULL)
		return HF_ENOMEM;
	engine->cipher = EVP_CIPHER_fetch(NULL, "ChaCha20", NULL);
	engine->chacha = EVP_CIPHER_CTX_new();
	engine->mac = EVP_MAC_fetch(NULL, "POLY1305", NULL);
	engine->poly = engine->mac != NULL ? EVP_MAC_CTX_new(engine->mac) : NULL;
	if (engine->cipher == NULL || engine->chacha == NULL || engine->poly == NULL ||
		EVP_EncryptInit_ex2(engine->chacha, engine->cipher, NULL, NULL, NULL) != 1) {
		hf_secretstream_engine_free(engine);
		return HF_ENOMEM;
	}
	*out = engine;
	return HF_OK;
}

void hf_secretstream_engine_free(struct hf_secretstream_engine *engine)
{
	if (engine == NULL)
		return;
	EVP_MAC_CTX_free(engine->poly);
	EVP_MAC_free(engine->mac);
	EVP_CIPHER_CTX_free(engine->chacha);
	EVP_CIPHER_free(engine->cipher);
	free(engine);
}

void hf_secretstream_init(struct hf_secretstream *stream, const uint8_t key[static HF_SECRETSTREAM_KEY_BYTES],
	const uint8_t header[static HF_SECRETSTREAM_HEADER_BYTES])
{
	crypto_core_hchacha20(stream->key, header, key, NULL);
	hf_store_le32(stream->nonce, 1);
	memcpy(stream->nonce + 4, header + 16, 8);
}

/* ---- Primitives ---- */

static bool cipher_begin(struct hf_secretstream_engine *engine, const struct hf_secretstream *stream)
{
	uint8_t counter_and_nonce[16] = {0};

	memcpy(counter_and_nonce + 4, stream->nonce, sizeof stream->nonce);
	return EVP_EncryptInit_ex2(engine->chacha, NULL, stream->key, counter_and_nonce, NULL) == 1;
}

static bool cipher_apply(struct hf_secretstream_engine *engine, uint8_t *out, const uint8_t *in, size_t length)
{
	int written;

	for (; length > UPDATE_BYTES_MAX; in += UPDATE_BYTES_MAX, out += UPDATE_BYTES_MAX, length -= UPDATE_BYTES_MAX)
		if (EVP_EncryptUpdate(engine->chacha, out, &written, in, (int)UPDATE_BYTES_MAX) != 1)
			return false;
	return length == 0 || EVP_EncryptUpdate(engine->chacha, out, &written, in, (int)length) == 1;
}

/* block is the tag's, encrypted. The padding is by the message's own length, not up to a multiple of 16: so it was released. */
static bool authenticate(struct hf_secretstream_engine *engine, uint8_t mac[static MAC_BYTES], const uint8_t key[static 32],
	const uint8_t block[static BLOCK_BYTES], const uint8_t *sealed, size_t length)
{
	uint8_t tail[16 + 16] = {0};
	size_t padding = length % 16, mac_length;

	hf_store_le64(tail + padding + 8, BLOCK_BYTES + length);
	return EVP_MAC_init(engine->poly, key, 32, NULL) == 1 && EVP_MAC_update(engine->poly, block, BLOCK_BYTES) == 1 &&
		(length == 0 || EVP_MAC_update(engine->poly, sealed, length) == 1) &&
		EVP_MAC_update(engine->poly, tail, padding + 16) == 1 &&
		EVP_MAC_final(engine->poly, mac, &mac_length, MAC_BYTES) == 1;
}

static void rekey(struct hf_secretstream *stream)
{
	uint8_t fresh[32 + 8];

	memcpy(fresh, stream->key, 32);
	memcpy(fresh + 32, stream->nonce + 4, 8);
	crypto_stream_chacha20_ietf_xor(fresh, fresh, sizeof fresh, stream->nonce, stream->key);
	memcpy(stream->key, fresh, 32);
	memcpy(stream->nonce + 4, fresh + 32, 8);
	hf_store_le32(stream->nonce, 1);
	hf_wipe(fresh, sizeof fresh);
}

static void advance(struct hf_secretstream *stream, uint8_t tag, const uint8_t mac[static MAC_BYTES])
{
	uint32_t counter = hf_load_le32(stream->nonce) + 1;

	for (size_t i = 0; i < 8; i++)
		stream->nonce[4 + i] ^= mac[i];
	hf_store_le32(stream->nonce, counter);
	if (counter == 0 || (tag & HF_SECRETSTREAM_REKEY) != 0)
		rekey(stream);
}

/* ---- Messages ---- */

/* Applies the cipher to the first two blocks and a short message behind them. */
static bool cipher_apply_short(struct hf_secretstream_engine *engine, uint8_t scratch[static HEAD_BYTES + SHORT_BYTES_MAX],
	size_t length)
{
	size_t unused = -length % BLOCK_BYTES;

	memset(scratch + HEAD_BYTES + length, 0, unused);
	return cipher_apply(engine, scratch, scratch, HEAD_BYTES + length + unused);
}

static bool encrypt_short(struct hf_secretstream_engine *engine, uint8_t scratch[static HEAD_BYTES + SHORT_BYTES_MAX],
	const struct iovec *pieces, size_t count, uint8_t *out)
{
	size_t length = 0;

	for (size_t i = 0; i < count; length += pieces[i++].iov_len)
		if (pieces[i].iov_len > 0)
			memcpy(scratch + HEAD_BYTES + length, pieces[i].iov_base, pieces[i].iov_len);
	if (!cipher_apply_short(engine, scratch, length))
		return false;
	memcpy(out, scratch + HEAD_BYTES, length);
	return true;
}

static bool encrypt_long(struct hf_secretstream_engine *engine, uint8_t head[static HEAD_BYTES], const struct iovec *pieces,
	size_t count, uint8_t *out)
{
	bool is_ok = cipher_apply(engine, head, head, HEAD_BYTES);

	for (size_t i = 0; i < count && is_ok; out += pieces[i++].iov_len)
		is_ok = cipher_apply(engine, out, pieces[i].iov_base, pieces[i].iov_len);
	return is_ok;
}

int hf_secretstream_push(struct hf_secretstream_engine *engine, struct hf_secretstream *stream, uint8_t tag,
	const struct iovec *pieces, size_t count, uint8_t *out)
{
	uint8_t scratch[HEAD_BYTES + SHORT_BYTES_MAX];
	size_t length = 0;

	for (size_t i = 0; i < count; i++)
		length += pieces[i].iov_len;
	memset(scratch, 0, HEAD_BYTES);
	scratch[BLOCK_BYTES] = tag;
	bool is_ok = cipher_begin(engine, stream) && (length <= SHORT_BYTES_MAX ? encrypt_short(engine, scratch, pieces, count, out + 1)
		: encrypt_long(engine, scratch, pieces, count, out + 1)) &&
		authenticate(engine, out + 1 + length, scratch, scratch + BLOCK_BYTES, out + 1, length);
	out[0] = scratch[BLOCK_BYTES];
	hf_wipe(scratch, HEAD_BYTES);
	if (!is_ok)
		return HF_ENOMEM;
	advance(stream, tag, out + 1 + length);
	return HF_OK;
}

/* The keystream's first two blocks, and behind them the plaintext of a short message. */
static bool decrypt_head(struct hf_secretstream_engine *engine, uint8_t scratch[static HEAD_BYTES + SHORT_BYTES_MAX],
	const uint8_t *sealed, size_t length)
{
	size_t short_length = length <= SHORT_BYTES_MAX ? length : 0;

	memset(scratch, 0, HEAD_BYTES);
	memcpy(scratch + HEAD_BYTES, sealed, short_length);
	return cipher_apply_short(engine, scratch, short_length);
}

static bool decrypt_rest(struct hf_secretstream_engine *engine, const uint8_t *scratch, uint8_t *sealed, size_t length)
{
	if (length > SHORT_BYTES_MAX)
		return cipher_apply(engine, sealed, sealed, length);
	memcpy(sealed, scratch + HEAD_BYTES, length);
	return true;
}

int hf_secretstream_pull(struct hf_secretstream_engine *engine, struct hf_secretstream *stream, uint8_t *tag, uint8_t *sealed,
	size_t length)
{
	uint8_t scratch[HEAD_BYTES + SHORT_BYTES_MAX], mac[MAC_BYTES];
	int error = HF_OK;

	if (length < HF_SECRETSTREAM_OVERHEAD_BYTES)
		return HF_EMALFORMED;
	length -= HF_SECRETSTREAM_OVERHEAD_BYTES;
	bool is_ok = cipher_begin(engine, stream) && decrypt_head(engine, scratch, sealed + 1, length);
	*tag = sealed[0] ^ scratch[BLOCK_BYTES];
	scratch[BLOCK_BYTES] = sealed[0];
	is_ok = is_ok && authenticate(engine, mac, scratch, scratch + BLOCK_BYTES, sealed + 1, length);
	if (is_ok && sodium_memcmp(mac, sealed + 1 + length, MAC_BYTES) != 0)
		error = HF_EBADSIG;
	else if (!is_ok || !decrypt_rest(engine, scratch, sealed + 1, length))
		error = HF_ENOMEM;
	hf_wipe(scratch, HEAD_BYTES);
	if (error != HF_OK)
		return error;
	advance(stream, *tag, mac);
	return HF_OK;
}
