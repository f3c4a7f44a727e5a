/* noise: the Noise handshakes of the hypercore stack, XX and IK over Ed25519, ChaCha20-Poly1305 and BLAKE2b, without I/O. (The Noise
 * Protocol Framework, revision 34; where the stack departs from it, noise.c says so.)
 *
 *     hf_noise_init(&noise, &options);
 *     until hf_noise_is_done: hf_noise_send when hf_noise_is_sending, else hf_noise_recv with what came
 *     hf_noise_split(&noise, &result);
 *
 * Messages in XX: → 32 bytes, ← 96, → 64; in IK: → 96, ← 48; each and its payload, which travels in clear while there is no key
 * yet. A failure ends the handshake: secrets are wiped and every later call says the same again.
 */
#ifndef HF_CRYPTO_NOISE_H
#define HF_CRYPTO_NOISE_H

#include "base/env.h"
#include "crypto/namespace.h"
#include "crypto/sign.h"

#define HF_NOISE_MESSAGE_BYTES_MAX 65535u
#define HF_NOISE_OVERHEAD_BYTES_MAX 96u /* of a message over its payload */

enum hf_noise_pattern { HF_NOISE_XX, HF_NOISE_IK };

struct hf_noise_options {
	enum hf_noise_pattern pattern;
	bool is_initiator;
	const uint8_t *static_secret; /* hf_sign_keypair_from_seed's, 64 bytes; copied */
	const uint8_t *remote_static; /* IK's initiator knows it beforehand; else NULL */
	struct hf_slice prologue;     /* what both sides must agree on; may be empty */
	struct hf_env *env;           /* the ephemeral key's seed: 32 random bytes at the first message that is sent */
};

struct hf_noise {
	struct hf_env *env;
	int status; /* of the first failure */
	uint8_t pattern, step;
	bool is_initiator, has_key;
	uint32_t n; /* of the next nonce under k */
	uint8_t h[HF_HANDSHAKE_HASH_BYTES], ck[64], k[32];
	uint8_t static_secret[HF_SIGN_SECRET_BYTES], ephemeral_secret[HF_SIGN_SECRET_BYTES];
	uint8_t remote_static[HF_SIGN_PUBLIC_BYTES], remote_ephemeral[HF_SIGN_PUBLIC_BYTES];
};

struct hf_noise_result {
	uint8_t tx[32], rx[32]; /* keys to send and to receive with; secret */
	uint8_t handshake_hash[HF_HANDSHAKE_HASH_BYTES];
	uint8_t remote_static[HF_SIGN_PUBLIC_BYTES];
};

HF_API void hf_noise_init(struct hf_noise *noise, const struct hf_noise_options *options);
HF_API void hf_noise_wipe(struct hf_noise *noise);

HF_API bool hf_noise_is_done(const struct hf_noise *noise);
HF_API bool hf_noise_is_sending(const struct hf_noise *noise); /* the next message is ours */

/* Writes the next message; out has room for payload.length + HF_NOISE_OVERHEAD_BYTES_MAX and does not overlap the payload. HF_EINVAL
 * when it is not our turn, HF_ETOOBIG past HF_NOISE_MESSAGE_BYTES_MAX (neither ends the handshake), HF_EMALFORMED when the other
 * side's key cannot be used. */
HF_API int hf_noise_send(struct hf_noise *noise, struct hf_slice payload, uint8_t *out, size_t *out_length);
/* Reads the next message; payload has room for message.length and does not overlap it; it may be NULL when payload_length is, too:
 * then it must be empty. HF_EINVAL when it is not the other side's turn; HF_EMALFORMED: a length or a key that cannot be; HF_EBADSIG:
 * not from who it should be. */
HF_API int hf_noise_recv(struct hf_noise *noise, struct hf_slice message, uint8_t *payload, size_t *payload_length);

/* The outcome; wipes the handshake. Call it once hf_noise_is_done. The keys are the caller's to wipe. remote_static was proved to be
 * the other side's; whether it is who the caller wants is the caller's affair. */
HF_API void hf_noise_split(struct hf_noise *noise, struct hf_noise_result *result);

/* The shared point of an Ed25519 secret and a public key. HF_EMALFORMED when that is not a point of the group. */
HF_API int hf_noise_dh(uint8_t shared[static 32], const uint8_t secret[static HF_SIGN_SECRET_BYTES],
	const uint8_t public_key[static HF_SIGN_PUBLIC_BYTES]);

#endif
