/* hash: SHA-256 (FIPS 180-4), HMAC-SHA-256 (RFC 2104) and BLAKE2b (RFC 7693).
 *
 * None of them allocates or fails. SHA-256 runs on the processor's own instructions where it has them.
 */
#ifndef HF_CRYPTO_HASH_H
#define HF_CRYPTO_HASH_H

#include "base/bytes.h"

#define HF_SHA256_BYTES 32
#define HF_BLAKE2B_BYTES_MAX 64
#define HF_BLAKE2B_KEY_BYTES_MAX 64
#define HF_BLAKE2B_BLOCK_BYTES 128

/* Chooses the fastest implementations for this processor. Call it once before threads start; more often does
 * no harm. HF_EIO when the system has no random source. */
HF_API int hf_crypto_init(void);

HF_API void hf_sha256(uint8_t out[static HF_SHA256_BYTES], struct hf_slice input);

/* In pieces: init, any number of updates, final. May be copied in between. */
struct hf_sha256 {
	uint64_t opaque[14];
};
HF_API void hf_sha256_init(struct hf_sha256 *hash);
HF_API void hf_sha256_update(struct hf_sha256 *hash, const void *data, size_t length);
HF_API void hf_sha256_final(struct hf_sha256 *hash, uint8_t out[static HF_SHA256_BYTES]);

HF_API void hf_hmac_sha256(uint8_t out[static HF_SHA256_BYTES], struct hf_slice key, struct hf_slice input);

/* out_length is 1 to HF_BLAKE2B_BYTES_MAX and is part of what is hashed; an empty key means unkeyed, a longer
 * one is at most HF_BLAKE2B_KEY_BYTES_MAX. */
HF_API void hf_blake2b(uint8_t *out, size_t out_length, struct hf_slice key, struct hf_slice input);

/* In pieces; may be copied in between. */
struct hf_blake2b {
	uint64_t h[8];
	uint64_t total; /* bytes compressed */
	size_t block_length;
	uint8_t block[HF_BLAKE2B_BLOCK_BYTES];
};
HF_API void hf_blake2b_init(struct hf_blake2b *hash, size_t out_length, struct hf_slice key);
HF_API void hf_blake2b_update(struct hf_blake2b *hash, const void *data, size_t length);
/* Any number that have taken equally many bytes so far take length more, each its own: where the processor has wide vectors, in less time
 * than one after another, and best eight at a time. */
HF_API void hf_blake2b_update_many(struct hf_blake2b *hashes, const uint8_t *const *data, size_t count, size_t length);
/* out_length as in init. */
HF_API void hf_blake2b_final(struct hf_blake2b *hash, uint8_t *out, size_t out_length);

/* The 32-byte digest of length bytes at the start of a block whose rest is zero: one compression and nothing else. */
HF_API void hf_blake2b_256_block(uint8_t out[static 32], const uint8_t block[static HF_BLAKE2B_BLOCK_BYTES], size_t length);

/* In a time that does not depend on where they differ. */
HF_API bool hf_bytes_equal_secret(const void *a, const void *b, size_t length);

#endif
