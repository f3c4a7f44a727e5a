#include "crypto/datagram_cipher.h"

#include <sodium.h>

#include "base/error.h"
#include "crypto/hash.h"

#define COUNTER_BYTES 8u

static void derive(uint8_t out[static 32], const uint8_t *handshake_hash, bool sender_is_initiator)
{
	enum hf_namespace role = sender_is_initiator ? HF_NAMESPACE_STREAM_INITIATOR : HF_NAMESPACE_STREAM_RESPONDER;
	uint8_t input[2 * HF_NAMESPACE_BYTES];

	memcpy(input, hf_namespaces[role], HF_NAMESPACE_BYTES);
	memcpy(input + HF_NAMESPACE_BYTES, hf_namespaces[HF_NAMESPACE_STREAM_SEND], HF_NAMESPACE_BYTES);
	hf_blake2b(out, 32, hf_slice(handshake_hash, HF_HANDSHAKE_HASH_BYTES), hf_slice(input, sizeof input));
}

void hf_datagram_cipher_init(struct hf_datagram_cipher *cipher, const uint8_t handshake_hash[static HF_HANDSHAKE_HASH_BYTES],
	bool is_initiator, struct hf_env *env)
{
	derive(cipher->tx, handshake_hash, is_initiator);
	derive(cipher->rx, handshake_hash, !is_initiator);
	env->random(env, &cipher->counter_first, sizeof cipher->counter_first);
	cipher->counter = cipher->counter_first;
}

static void nonce_of(uint8_t nonce[static crypto_secretbox_NONCEBYTES], const uint8_t counter[static COUNTER_BYTES])
{
	memset(nonce, 0, crypto_secretbox_NONCEBYTES);
	memcpy(nonce, counter, COUNTER_BYTES);
}

int hf_datagram_seal(struct hf_datagram_cipher *cipher, struct hf_slice plain, uint8_t *out)
{
	uint8_t nonce[crypto_secretbox_NONCEBYTES];

	if (cipher->counter + 1 == cipher->counter_first)
		return HF_ECLOSED;
	hf_store_le64(out, ++cipher->counter);
	nonce_of(nonce, out);
	crypto_secretbox_easy(out + COUNTER_BYTES, plain.data, plain.length, nonce, cipher->tx);
	return HF_OK;
}

int hf_datagram_open(const struct hf_datagram_cipher *cipher, struct hf_slice packet, uint8_t *out)
{
	uint8_t nonce[crypto_secretbox_NONCEBYTES];

	if (packet.length < HF_DATAGRAM_OVERHEAD_BYTES)
		return HF_EMALFORMED;
	nonce_of(nonce, packet.data);
	return crypto_secretbox_open_easy(out, packet.data + COUNTER_BYTES, packet.length - COUNTER_BYTES, nonce, cipher->rx) == 0
		? HF_OK : HF_EBADSIG;
}
