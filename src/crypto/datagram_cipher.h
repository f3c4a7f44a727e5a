/* datagram_cipher: messages of a secret stream's peers that may be lost or come in any order (UDX `send`): each carries its counter and
 * is sealed on its own. Nothing keeps a packet from being played back; what is said this way must bear it.
 */
#ifndef HF_CRYPTO_DATAGRAM_CIPHER_H
#define HF_CRYPTO_DATAGRAM_CIPHER_H

#include "base/env.h"
#include "crypto/namespace.h"

#define HF_DATAGRAM_OVERHEAD_BYTES 24u

/* Secret. */
struct hf_datagram_cipher {
	uint8_t tx[32], rx[32];
	uint64_t counter, counter_first;
};

/* The keys come from the handshake; env gives the 8 random bytes that the counter begins with. */
void hf_datagram_cipher_init(struct hf_datagram_cipher *cipher, const uint8_t handshake_hash[static HF_HANDSHAKE_HASH_BYTES],
	bool is_initiator, struct hf_env *env);
/* out gets plain.length + HF_DATAGRAM_OVERHEAD_BYTES. HF_ECLOSED once all counters were used. */
int hf_datagram_seal(struct hf_datagram_cipher *cipher, struct hf_slice plain, uint8_t *out);
/* out gets packet.length - HF_DATAGRAM_OVERHEAD_BYTES. HF_EMALFORMED when it is too short, HF_EBADSIG when it is not the other side's:
 * such packets are dropped and mean nothing. */
int hf_datagram_open(const struct hf_datagram_cipher *cipher, struct hf_slice packet, uint8_t *out);

#endif
