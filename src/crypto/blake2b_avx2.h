/* blake2b_avx2: what BLAKE2b mixes with, for vectors of four words. (Private to crypto/) */
#ifndef HF_CRYPTO_BLAKE2B_AVX2_H
#define HF_CRYPTO_BLAKE2B_AVX2_H

#include <immintrin.h>

#define ADD(a, b) _mm256_add_epi64(a, b)
#define XOR(a, b) _mm256_xor_si256(a, b)
#define BYTES(high, low) _mm256_set_epi64x(high, low, high, low)
#define ROTATE_32(x) _mm256_shuffle_epi32(x, 0xb1)
#define ROTATE_24(x) _mm256_shuffle_epi8(x, BYTES(0x0a09080f0e0d0c0b, 0x0201000706050403))
#define ROTATE_16(x) _mm256_shuffle_epi8(x, BYTES(0x09080f0e0d0c0b0a, 0x0100070605040302))
#define ROTATE_63(x) _mm256_or_si256(_mm256_srli_epi64(x, 63), _mm256_add_epi64(x, x))

#endif
