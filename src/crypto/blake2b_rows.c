/* One BLAKE2b with each row of its state in a vector: the four steps of a half round are one, and what is left is the chain from step
 * to step. That chain goes through the second row, so for the diagonals the three others turn: their turning waits for nothing, and
 * nothing waits for it. Three quarters of the plain code's time, and a second thread on the same core takes less from it. */
#include "crypto/blake2b_rounds.h"

#ifdef __x86_64__
#include "crypto/blake2b_avx2.h"

#define TURN_1(x) _mm256_permute4x64_epi64(x, 0x39) /* the second word comes first */
#define TURN_2(x) _mm256_permute4x64_epi64(x, 0x4e)
#define TURN_3(x) _mm256_permute4x64_epi64(x, 0x93)
#define WORDS(s0, s1, s2, s3) _mm256_set_epi64x((int64_t)m[s3], (int64_t)m[s2], (int64_t)m[s1], (int64_t)m[s0])

/* The diagonals in the order of the second row's words: it is the last one that has the first of them. */
#define ROUND(s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, s14, s15) \
	do { \
		MIX(a, b, c, d, WORDS(s0, s2, s4, s6), WORDS(s1, s3, s5, s7)); \
		a = TURN_3(a); \
		d = TURN_2(d); \
		c = TURN_1(c); \
		MIX(a, b, c, d, WORDS(s14, s8, s10, s12), WORDS(s15, s9, s11, s13)); \
		a = TURN_1(a); \
		d = TURN_2(d); \
		c = TURN_3(c); \
	} while (0)

__attribute__((target("avx2"))) void hf_blake2b_compress_rows(uint64_t h[static 8], const uint8_t block[static HF_BLAKE2B_BLOCK_BYTES],
	uint64_t total, bool is_last)
{
	__m256i h_low = _mm256_loadu_si256((const void *)h), h_high = _mm256_loadu_si256((const void *)(h + 4));
	__m256i a = h_low, b = h_high, c = _mm256_loadu_si256((const void *)hf_blake2b_iv);
	__m256i d = XOR(_mm256_loadu_si256((const void *)(hf_blake2b_iv + 4)), _mm256_set_epi64x(0, is_last ? -1 : 0, 0, (int64_t)total));
	uint64_t m[16];

	memcpy(m, block, sizeof m);
	HF_BLAKE2B_ALL_ROUNDS(ROUND);
	_mm256_storeu_si256((void *)h, XOR(h_low, XOR(a, c)));
	_mm256_storeu_si256((void *)(h + 4), XOR(h_high, XOR(b, d)));
}
#endif
