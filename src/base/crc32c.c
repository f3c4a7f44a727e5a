/* The SSE4.2 instruction where the processor has it, else one table of 256 entries. The remainder of a byte is the
 * exclusive or of its bits' remainders, so the compiler builds the table from eight constants. */
#include "base/crc32c.h"

#include "base/bytes.h"

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

uint32_t hf_crc32c(uint32_t crc, const void *data, size_t length)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("sse4.2"))
		return ~by_instruction(~crc, data, length);
#endif
	return hf_crc32c_portable(crc, data, length);
}
