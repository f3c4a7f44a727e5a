/* BLAKE2b. (RFC 7693)
 *
 * A plain compression with its sixteen words in registers takes from a half to nine tenths of the time of libsodium 1.0.18's vector
 * code, by the processor, and less than OpenSSL's, which besides has no 32-byte digests and no keys. With AVX2, rows take less still.
 *
 * What has come lies in block until more comes, because the last block, full or not, is compressed with a mark. */
#include "crypto/blake2b_rounds.h"

#include <assert.h>

#include "crypto/secret.h"

#define PARAMETERS_SEQUENTIAL 0x01010000u /* fanout 1, depth 1; key and digest length below */

#define ADD(a, b) ((a) + (b))
#define XOR(a, b) ((a) ^ (b))
#define ROTATE_32(x) rotate_right(x, 32)
#define ROTATE_24(x) rotate_right(x, 24)
#define ROTATE_16(x) rotate_right(x, 16)
#define ROTATE_63(x) rotate_right(x, 63)

static inline uint64_t rotate_right(uint64_t word, unsigned bits)
{
	return word >> bits | word << (64 - bits);
}

void hf_blake2b_compress_words(uint64_t h[static 8], const uint8_t block[static HF_BLAKE2B_BLOCK_BYTES], uint64_t total, bool is_last)
{
	uint64_t m[16];
	uint64_t v0 = h[0], v1 = h[1], v2 = h[2], v3 = h[3], v4 = h[4], v5 = h[5], v6 = h[6], v7 = h[7];
	uint64_t v8 = hf_blake2b_iv[0], v9 = hf_blake2b_iv[1], v10 = hf_blake2b_iv[2], v11 = hf_blake2b_iv[3];
	uint64_t v12 = hf_blake2b_iv[4] ^ total, v13 = hf_blake2b_iv[5];
	uint64_t v14 = is_last ? ~hf_blake2b_iv[6] : hf_blake2b_iv[6], v15 = hf_blake2b_iv[7];

	memcpy(m, block, sizeof m);
	HF_BLAKE2B_ALL_ROUNDS(HF_BLAKE2B_ROUND);
	h[0] ^= v0 ^ v8;
	h[1] ^= v1 ^ v9;
	h[2] ^= v2 ^ v10;
	h[3] ^= v3 ^ v11;
	h[4] ^= v4 ^ v12;
	h[5] ^= v5 ^ v13;
	h[6] ^= v6 ^ v14;
	h[7] ^= v7 ^ v15;
}

static inline void compress(uint64_t h[static 8], const uint8_t block[static HF_BLAKE2B_BLOCK_BYTES], uint64_t total, bool is_last)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("avx2")) {
		hf_blake2b_compress_rows(h, block, total, is_last);
		return;
	}
#endif
	hf_blake2b_compress_words(h, block, total, is_last);
}

void hf_blake2b_init(struct hf_blake2b *hash, size_t out_length, struct hf_slice key)
{
	assert(out_length >= 1 && out_length <= HF_BLAKE2B_BYTES_MAX && key.length <= HF_BLAKE2B_KEY_BYTES_MAX);
	memcpy(hash->h, hf_blake2b_iv, sizeof hash->h);
	hash->h[0] ^= PARAMETERS_SEQUENTIAL | key.length << 8 | out_length;
	hash->total = 0;
	hash->block_length = 0;
	if (key.length > 0) {
		memcpy(hash->block, key.data, key.length);
		memset(hash->block + key.length, 0, sizeof hash->block - key.length);
		hash->block_length = sizeof hash->block;
	}
}

void hf_blake2b_update(struct hf_blake2b *hash, const void *data, size_t length)
{
	const uint8_t *at = data;
	size_t room = sizeof hash->block - hash->block_length;

	if (length > room) {
		if (hash->block_length > 0) {
			memcpy(hash->block + hash->block_length, at, room);
			at += room;
			length -= room;
			hash->total += sizeof hash->block;
			compress(hash->h, hash->block, hash->total, false);
			hash->block_length = 0;
		}
		for (; length > sizeof hash->block; at += sizeof hash->block, length -= sizeof hash->block) {
			hash->total += sizeof hash->block;
			compress(hash->h, at, hash->total, false);
		}
	}
	if (length > 0)
		memcpy(hash->block + hash->block_length, at, length);
	hash->block_length += length;
}

void hf_blake2b_final(struct hf_blake2b *hash, uint8_t *out, size_t out_length)
{
	memset(hash->block + hash->block_length, 0, sizeof hash->block - hash->block_length);
	compress(hash->h, hash->block, hash->total + hash->block_length, true);
	memcpy(out, hash->h, out_length);
}

void hf_blake2b(uint8_t *out, size_t out_length, struct hf_slice key, struct hf_slice input)
{
	struct hf_blake2b hash;

	hf_blake2b_init(&hash, out_length, key);
	hf_blake2b_update(&hash, input.data, input.length);
	hf_blake2b_final(&hash, out, out_length);
	if (key.length > 0)
		hf_wipe(&hash, sizeof hash);
}

void hf_blake2b_256_block(uint8_t out[static 32], const uint8_t block[static HF_BLAKE2B_BLOCK_BYTES], size_t length)
{
	uint64_t h[8];

	memcpy(h, hf_blake2b_iv, sizeof h);
	h[0] ^= PARAMETERS_SEQUENTIAL | 32;
	compress(h, block, length, true);
	memcpy(out, h, 32);
}
