/* Several BLAKE2b side by side, one in each lane of a vector: a single one leaves most of the processor idle, because every step waits for
 * the one before it. Four take half the time of one after another, eight with AVX-512 a quarter. */
#include "crypto/blake2b_rounds.h"

#include <assert.h>

#ifdef __x86_64__
#include "crypto/blake2b_avx2.h"

#define LANES_MAX 8
#define COUNT_MIN 2u   /* one alone takes less than a round of all lanes, two take more */
#define BYTES_MIN 512u /* less is not worth turning states and words */

/* ---- AVX2 ---- */

#define LANES 4
#define WORDS __m256i
#define TARGET __attribute__((target("avx2")))
#define NAMED(name) name##_4
#define SAME(word) _mm256_set1_epi64x((int64_t)(word))

TARGET static inline void turn_4(__m256i out[static 4], const uint8_t *const lanes[static 4], size_t offset)
{
	__m256i a = _mm256_loadu_si256((const void *)(lanes[0] + offset)), b = _mm256_loadu_si256((const void *)(lanes[1] + offset));
	__m256i c = _mm256_loadu_si256((const void *)(lanes[2] + offset)), d = _mm256_loadu_si256((const void *)(lanes[3] + offset));
	__m256i ab_even = _mm256_unpacklo_epi64(a, b), ab_odd = _mm256_unpackhi_epi64(a, b);
	__m256i cd_even = _mm256_unpacklo_epi64(c, d), cd_odd = _mm256_unpackhi_epi64(c, d);

	out[0] = _mm256_permute2x128_si256(ab_even, cd_even, 0x20);
	out[1] = _mm256_permute2x128_si256(ab_odd, cd_odd, 0x20);
	out[2] = _mm256_permute2x128_si256(ab_even, cd_even, 0x31);
	out[3] = _mm256_permute2x128_si256(ab_odd, cd_odd, 0x31);
}

#include "crypto/blake2b_lanes.h"

/* ---- AVX-512 ---- */

#define LANES 8
#define WORDS __m512i
#define TARGET __attribute__((target("avx512f")))
#define NAMED(name) name##_8
#define SAME(word) _mm512_set1_epi64((int64_t)(word))
#define ADD(a, b) _mm512_add_epi64(a, b)
#define XOR(a, b) _mm512_xor_si512(a, b)
#define ROTATE_32(x) _mm512_ror_epi64(x, 32)
#define ROTATE_24(x) _mm512_ror_epi64(x, 24)
#define ROTATE_16(x) _mm512_ror_epi64(x, 16)
#define ROTATE_63(x) _mm512_ror_epi64(x, 63)

#define EVEN_QUARTERS 0x88 /* of a vector, and of another behind them */
#define ODD_QUARTERS 0xdd

/* By words, then by pairs of lanes, then by fours. */
TARGET static inline void turn_8(__m512i out[static 8], const uint8_t *const lanes[static 8], size_t offset)
{
	__m512i words[8], pairs[8];

	for (int i = 0; i < 8; i += 2) {
		__m512i a = _mm512_loadu_si512(lanes[i] + offset), b = _mm512_loadu_si512(lanes[i + 1] + offset);

		words[i] = _mm512_unpacklo_epi64(a, b);
		words[i + 1] = _mm512_unpackhi_epi64(a, b);
	}
	for (int i = 0; i < 8; i += 4)
		for (int j = 0; j < 2; j++) {
			pairs[i + j] = _mm512_shuffle_i64x2(words[i + j], words[i + j + 2], EVEN_QUARTERS);
			pairs[i + j + 2] = _mm512_shuffle_i64x2(words[i + j], words[i + j + 2], ODD_QUARTERS);
		}
	for (int i = 0; i < 4; i++) {
		out[i] = _mm512_shuffle_i64x2(pairs[i], pairs[i + 4], EVEN_QUARTERS);
		out[i + 4] = _mm512_shuffle_i64x2(pairs[i], pairs[i + 4], ODD_QUARTERS);
	}
}

#include "crypto/blake2b_lanes.h"

/* ---- Choosing ---- */

/* How many lanes to use for so many; 1: none. Eight take as long as four. */
static size_t lanes_for(size_t count)
{
	if (count > 4 && __builtin_cpu_supports("avx512f"))
		return 8;
	return count >= COUNT_MIN && __builtin_cpu_supports("avx2") ? 4 : 1;
}

/* count is at most `lanes`; lanes that are left over do the first one's work again. */
static void update_lanes(struct hf_blake2b *hashes, const uint8_t *const *data, size_t count, size_t length, size_t lanes)
{
	uint64_t before = hashes[0].total + hashes[0].block_length;
	size_t room = HF_BLAKE2B_BLOCK_BYTES - hashes[0].block_length;
	struct hf_blake2b spare, *each[LANES_MAX];
	const uint8_t *rest[LANES_MAX];

	for (size_t i = 0; i < count; i++) {
		assert(hashes[i].total + hashes[i].block_length == before);
		hf_blake2b_update(&hashes[i], data[i], room);
		each[i] = &hashes[i];
		rest[i] = data[i] + room;
	}
	spare = hashes[0];
	for (size_t i = count; i < lanes; i++) {
		each[i] = &spare;
		rest[i] = rest[0];
	}
	size_t taken = lanes == 8 ? update_8(each, rest, length - room) : update_4(each, rest, length - room);

	for (size_t i = 0; i < count; i++)
		hf_blake2b_update(&hashes[i], rest[i] + taken, length - room - taken);
}
#endif

void hf_blake2b_update_many(struct hf_blake2b *hashes, const uint8_t *const *data, size_t count, size_t length)
{
	size_t done = 0;

#ifdef __x86_64__
	for (size_t lanes; length >= BYTES_MIN && (lanes = lanes_for(count - done)) > 1;) {
		size_t together = count - done < lanes ? count - done : lanes;

		update_lanes(hashes + done, data + done, together, length, lanes);
		done += together;
	}
#endif
	for (; done < count; done++)
		hf_blake2b_update(&hashes[done], data[done], length);
}
