/* The SSE4.2 instruction where the processor has it, else one table of 256 entries. The remainder of a byte is the
 * exclusive or of its bits' remainders, so the compiler builds the table from eight constants.
 *
 * The instruction begins anew each cycle, but is finished after three: three pieces that follow each other are taken side by side, and the
 * remainders of the first two moved behind the third by a carry-less multiplication. That by x^n is one by x^(n-33) here, since the
 * product of two reflected words stands one bit higher, and its own remainder is taken with 32 bits to come. */
#include "base/crc32c.h"

#include "base/bytes.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

#define PIECE_BYTES 1024u
#define BEHIND_ONE_PIECE 0x170076fau  /* x^(8 * PIECE_BYTES - 33) modulo the polynomial, reflected */
#define BEHIND_TWO_PIECES 0xa51b6135u /* x^(16 * PIECE_BYTES - 33) */

/* The remainders of the bytes 0x01, 0x02, … 0x80 for the reflected polynomial 0x82f63b78. */
#define BIT(n, k, remainder) ((n) >> (k) & 1 ? (remainder) : 0u)
#define R1(n) (BIT(n, 0, 0xf26b8303u) ^ BIT(n, 1, 0xe13b70f7u) ^ BIT(n, 2, 0xc79a971fu) ^ BIT(n, 3, 0x8ad958cfu) ^ \
	       BIT(n, 4, 0x105ec76fu) ^ BIT(n, 5, 0x20bd8edeu) ^ BIT(n, 6, 0x417b1dbcu) ^ BIT(n, 7, 0x82f63b78u))
#define R4(n) R1(n), R1((n) + 1), R1((n) + 2), R1((n) + 3)
#define R16(n) R4(n), R4((n) + 4), R4((n) + 8), R4((n) + 12)
#define R64(n) R16(n), R16((n) + 16), R16((n) + 32), R16((n) + 48)

static const uint32_t remainders[256] = {R64(0u), R64(64u), R64(128u), R64(192u)};

uint32_t hf_crc32c_portable(uint32_t crc, const void *data, size_t length)
{
	const uint8_t *p = data;
	crc = ~crc;
	while (length--)
		crc = crc >> 8 ^ remainders[(crc ^ *p++) & 0xff];
	return ~crc;
}

#ifdef __x86_64__
__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, const uint8_t *p, size_t length)
{
	uint64_t sum = crc;
	for (; length >= 8; length -= 8, p += 8)
		sum = __builtin_ia32_crc32di(sum, hf_load_le64(p));
	crc = (uint32_t)sum;
	while (length--)
		crc = __builtin_ia32_crc32qi(crc, *p++);
	return crc;
}
#endif

#ifdef __x86_64__
__attribute__((target("sse4.2,pclmul"))) static uint64_t moved(uint64_t crc, uint32_t factor)
{
	__m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128((int64_t)crc), _mm_cvtsi64_si128(factor), 0);

	return __builtin_ia32_crc32di(0, (uint64_t)_mm_cvtsi128_si64(product));
}

__attribute__((target("sse4.2,pclmul"))) static uint32_t three_pieces(uint32_t crc, const uint8_t *p)
{
	uint64_t first = crc, second = 0, third = 0;

	for (size_t i = 0; i < PIECE_BYTES; i += 8) {
		first = __builtin_ia32_crc32di(first, hf_load_le64(p + i));
		second = __builtin_ia32_crc32di(second, hf_load_le64(p + PIECE_BYTES + i));
		third = __builtin_ia32_crc32di(third, hf_load_le64(p + 2 * PIECE_BYTES + i));
	}
	return (uint32_t)(moved(first, BEHIND_TWO_PIECES) ^ moved(second, BEHIND_ONE_PIECE) ^ third);
}
#endif

uint32_t hf_crc32c(uint32_t crc, const void *data, size_t length)
{
#ifdef __x86_64__
	if (length >= 3 * PIECE_BYTES && __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul")) {
		const uint8_t *p = data, *end = p + length;

		crc = ~crc;
		for (; (size_t)(end - p) >= 3 * PIECE_BYTES; p += 3 * PIECE_BYTES)
			crc = three_pieces(crc, p);
		return ~by_instruction(crc, p, (size_t)(end - p));
	}
	if (__builtin_cpu_supports("sse4.2"))
		return ~by_instruction(~crc, data, length);
#endif
	return hf_crc32c_portable(crc, data, length);
}
