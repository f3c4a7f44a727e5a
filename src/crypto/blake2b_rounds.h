/* blake2b_rounds: what the ways of computing it share: one word at a time, a row of four at a time (blake2b_rows.c), several hashes at a
 * time (blake2b_lanes.c). (Private to crypto/; RFC 7693, sections 2.6, 2.7 and 3.1) */
#ifndef HF_CRYPTO_BLAKE2B_ROUNDS_H
#define HF_CRYPTO_BLAKE2B_ROUNDS_H

#include "crypto/hash.h"

static const uint64_t hf_blake2b_iv[8] = {
	0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
	0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
};

/* Takes a block into the state h. total counts all bytes up to the block's end. */
void hf_blake2b_compress_words(uint64_t h[static 8], const uint8_t block[static HF_BLAKE2B_BLOCK_BYTES], uint64_t total, bool is_last);
#ifdef __x86_64__
/* The same for processors with AVX2. */
void hf_blake2b_compress_rows(uint64_t h[static 8], const uint8_t block[static HF_BLAKE2B_BLOCK_BYTES], uint64_t total, bool is_last);
#endif

/* What is mixed is the user's: ADD, XOR and ROTATE_32, _24, _16 and _63 are for it. The message words are added first, because b is what
 * comes last. */
#define MIX(a, b, c, d, x, y) \
	do { \
		a = ADD(ADD(a, x), b); \
		d = ROTATE_32(XOR(d, a)); \
		c = ADD(c, d); \
		b = ROTATE_24(XOR(b, c)); \
		a = ADD(ADD(a, y), b); \
		d = ROTATE_16(XOR(d, a)); \
		c = ADD(c, d); \
		b = ROTATE_63(XOR(b, c)); \
	} while (0)

/* Columns, then diagonals; a ROUND of v0 to v15, of what is mixed, and m. */
#define HF_BLAKE2B_ROUND(s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, s14, s15) \
	do { \
		MIX(v0, v4, v8, v12, m[s0], m[s1]); \
		MIX(v1, v5, v9, v13, m[s2], m[s3]); \
		MIX(v2, v6, v10, v14, m[s4], m[s5]); \
		MIX(v3, v7, v11, v15, m[s6], m[s7]); \
		MIX(v0, v5, v10, v15, m[s8], m[s9]); \
		MIX(v1, v6, v11, v12, m[s10], m[s11]); \
		MIX(v2, v7, v8, v13, m[s12], m[s13]); \
		MIX(v3, v4, v9, v14, m[s14], m[s15]); \
	} while (0)

/* ROUND takes the numbers of the message words in the round's order. */
#define HF_BLAKE2B_ALL_ROUNDS(ROUND) \
	do { \
		ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15); \
		ROUND(14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3); \
		ROUND(11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4); \
		ROUND(7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8); \
		ROUND(9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13); \
		ROUND(2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9); \
		ROUND(12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11); \
		ROUND(13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10); \
		ROUND(6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5); \
		ROUND(10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0); \
		ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15); \
		ROUND(14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3); \
	} while (0)

#endif
