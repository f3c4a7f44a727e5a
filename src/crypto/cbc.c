/* One cipher with the place of a byte in the state as its parameter: byte 4c+r of a block is row r, column c in AES; in Hypertuna's it is
 * row c, column r. Round keys are added byte by byte in both. The S-box is computed, inversion and all, since a table would show in the
 * cache which bytes were looked up; this is slow, for a few blocks a minute. */
#include "crypto/cbc.h"

#include <string.h>

#include "crypto/secret.h"

#define ROUND_COUNT 14
#define SCHEDULE_BYTES ((ROUND_COUNT + 1) * HF_CBC_BLOCK_BYTES)

/* Twice a, in the field. */
static uint8_t twice(uint8_t a)
{
	return (uint8_t)(a << 1 ^ (0x1b & -(a >> 7)));
}

static uint8_t multiply(uint8_t a, uint8_t b)
{
	uint8_t product = 0;
	for (unsigned i = 0; i < 8; i++) {
		product ^= (uint8_t)(a & -(b >> i & 1));
		a = twice(a);
	}
	return product;
}

static uint8_t rotate(uint8_t a, unsigned by)
{
	return (uint8_t)(a << by | a >> (8 - by));
}

/* The inverse is the 254th power: 2, 3, 12, 15, 240, 252, 254. */
static uint8_t substitute(uint8_t a)
{
	uint8_t square = multiply(a, a), third = multiply(square, a);
	uint8_t sixth = multiply(third, third), twelfth = multiply(sixth, sixth), fifteenth = multiply(twelfth, third);
	uint8_t power = fifteenth;
	for (unsigned i = 0; i < 4; i++)
		power = multiply(power, power);
	uint8_t inverse = multiply(multiply(power, twelfth), square);
	return inverse ^ rotate(inverse, 1) ^ rotate(inverse, 2) ^ rotate(inverse, 3) ^ rotate(inverse, 4) ^ 0x63;
}

static void expand(uint8_t schedule[static SCHEDULE_BYTES], const uint8_t key[static HF_CBC_KEY_BYTES])
{
	uint8_t constant = 1;
	memcpy(schedule, key, HF_CBC_KEY_BYTES);
	for (unsigned at = HF_CBC_KEY_BYTES; at < SCHEDULE_BYTES; at += 4) {
		uint8_t word[4];
		bool is_first = at % 32 == 0;
		for (unsigned i = 0; i < 4; i++)
			word[i] = schedule[at - 4 + (is_first ? (i + 1) % 4 : i)];
		for (unsigned i = 0; i < 4 && at % 16 == 0; i++)
			word[i] = substitute(word[i]);
		if (is_first) {
			word[0] ^= constant;
			constant = twice(constant);
		}
		for (unsigned i = 0; i < 4; i++)
			schedule[at + i] = schedule[at - 32 + i] ^ word[i];
		hf_wipe(word, sizeof word);
	}
}

static unsigned place(enum hf_cbc_cipher cipher, unsigned row, unsigned column)
{
	return cipher == HF_CBC_AES_256 ? 4 * column + row : 4 * row + column;
}

static void add(uint8_t block[static HF_CBC_BLOCK_BYTES], const uint8_t *other)
{
	for (unsigned i = 0; i < HF_CBC_BLOCK_BYTES; i++)
		block[i] ^= other[i];
}

static void mix_column(enum hf_cbc_cipher cipher, uint8_t state[static HF_CBC_BLOCK_BYTES], unsigned column)
{
	uint8_t in[4], all = 0;
	for (unsigned row = 0; row < 4; row++)
		all ^= in[row] = state[place(cipher, row, column)];
	for (unsigned row = 0; row < 4; row++)
		state[place(cipher, row, column)] = in[row] ^ all ^ twice(in[row] ^ in[(row + 1) % 4]);
}

static void encrypt_block(enum hf_cbc_cipher cipher, const uint8_t schedule[static SCHEDULE_BYTES],
	uint8_t block[static HF_CBC_BLOCK_BYTES])
{
	uint8_t shifted[HF_CBC_BLOCK_BYTES];
	add(block, schedule);
	for (unsigned round = 1; round <= ROUND_COUNT; round++) {
		for (unsigned row = 0; row < 4; row++)
			for (unsigned column = 0; column < 4; column++)
				shifted[place(cipher, row, column)] = substitute(block[place(cipher, row, (column + row) % 4)]);
		for (unsigned column = 0; column < 4 && round < ROUND_COUNT; column++)
			mix_column(cipher, shifted, column);
		memcpy(block, shifted, sizeof shifted);
		add(block, schedule + round * HF_CBC_BLOCK_BYTES);
	}
	hf_wipe(shifted, sizeof shifted);
}

void hf_cbc_encrypt(uint8_t *out, enum hf_cbc_cipher cipher, const uint8_t key[static HF_CBC_KEY_BYTES],
	const uint8_t iv[static HF_CBC_BLOCK_BYTES], struct hf_slice input)
{
	uint8_t schedule[SCHEDULE_BYTES];
	size_t length = HF_CBC_ENCRYPTED_BYTES(input.length);
	expand(schedule, key);
	if (input.length > 0)
		memcpy(out, input.data, input.length);
	memset(out + input.length, (int)(length - input.length), length - input.length);
	for (size_t at = 0; at < length; at += HF_CBC_BLOCK_BYTES) {
		add(out + at, at == 0 ? iv : out + at - HF_CBC_BLOCK_BYTES);
		encrypt_block(cipher, schedule, out + at);
	}
	hf_wipe(schedule, sizeof schedule);
}
