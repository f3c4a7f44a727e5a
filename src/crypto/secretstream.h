/* secretstream: libsodium's construction for a stream of messages (crypto_secretstream_xchacha20poly1305), byte for byte, over
 * OpenSSL's ChaCha20 and Poly1305, which take a third of the time of libsodium 1.0.18's.
 *
 * A message is one encrypted tag byte, the ciphertext and a 16-byte MAC. Both directions of a connection are a stream of their own; the
 * states of both ends of one are the same.
 */
#ifndef HF_CRYPTO_SECRETSTREAM_H
#define HF_CRYPTO_SECRETSTREAM_H

#include <sys/uio.h>

#include "base/bytes.h"

#define HF_SECRETSTREAM_KEY_BYTES 32
#define HF_SECRETSTREAM_HEADER_BYTES 24
#define HF_SECRETSTREAM_OVERHEAD_BYTES 17u

enum hf_secretstream_tag {
	HF_SECRETSTREAM_MESSAGE = 0,
	HF_SECRETSTREAM_PUSH = 1,
	HF_SECRETSTREAM_REKEY = 2, /* this bit changes the key after the message */
	HF_SECRETSTREAM_FINAL = 3,
};

/* OpenSSL's contexts, which say nothing of a stream between two calls: one serves all streams of a thread. */
struct hf_secretstream_engine;
HF_API int hf_secretstream_engine_new(struct hf_secretstream_engine **out); /* HF_ENOMEM */
HF_API void hf_secretstream_engine_free(struct hf_secretstream_engine *engine); /* NULL is fine */

/* Secret. */
struct hf_secretstream {
	uint8_t key[32];
	uint8_t nonce[12]; /* a 32-bit counter, and 8 bytes that take in every MAC */
};

/* header is random, made by the sender and sent in clear. */
HF_API void hf_secretstream_init(struct hf_secretstream *stream, const uint8_t key[static HF_SECRETSTREAM_KEY_BYTES],
	const uint8_t header[static HF_SECRETSTREAM_HEADER_BYTES]);

/* Seals a message given in count pieces; out gets their length and HF_SECRETSTREAM_OVERHEAD_BYTES and overlaps none of them. HF_ENOMEM:
 * nothing was changed. */
HF_API int hf_secretstream_push(struct hf_secretstream_engine *engine, struct hf_secretstream *stream, uint8_t tag,
	const struct iovec *pieces, size_t count, uint8_t *out);
/* Opens a message in place: the plaintext of length - HF_SECRETSTREAM_OVERHEAD_BYTES bytes is then at sealed + 1. *tag is the
 * sender's. HF_EMALFORMED when it is too short, HF_EBADSIG when it is not the next of this stream (the bytes are unchanged), HF_ENOMEM;
 * the state is unchanged then. */
HF_API int hf_secretstream_pull(struct hf_secretstream_engine *engine, struct hf_secretstream *stream, uint8_t *tag, uint8_t *sealed,
	size_t length);

#endif
