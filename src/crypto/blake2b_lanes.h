/* blake2b_lanes: BLAKE2b in the lanes of vectors of one width. Included for each width by blake2b_lanes.c, which defines before: LANES,
 * WORDS (a vector of a word of each lane), TARGET and NAMED, and for WORDS: SAME, ADD, XOR, ROTATE_32, _24, _16 and _63, and the function
 * NAMED(turn), by which LANES words of each lane, from offset on, become as many vectors. (Private to crypto/) */

TARGET static void NAMED(compress)(WORDS h[static 8], const uint8_t *const at[static LANES], uint64_t total)
{
	WORDS v0 = h[0], v1 = h[1], v2 = h[2], v3 = h[3], v4 = h[4], v5 = h[5], v6 = h[6], v7 = h[7];
	WORDS v8 = SAME(hf_blake2b_iv[0]), v9 = SAME(hf_blake2b_iv[1]), v10 = SAME(hf_blake2b_iv[2]), v11 = SAME(hf_blake2b_iv[3]);
	WORDS v12 = SAME(hf_blake2b_iv[4] ^ total), v13 = SAME(hf_blake2b_iv[5]), v14 = SAME(hf_blake2b_iv[6]), v15 = SAME(hf_blake2b_iv[7]);
	WORDS m[16];

	for (size_t i = 0; i < 16; i += LANES)
		NAMED(turn)(m + i, at, 8 * i);
	HF_BLAKE2B_ALL_ROUNDS(HF_BLAKE2B_ROUND);
	h[0] = XOR(h[0], XOR(v0, v8));
	h[1] = XOR(h[1], XOR(v1, v9));
	h[2] = XOR(h[2], XOR(v2, v10));
	h[3] = XOR(h[3], XOR(v3, v11));
	h[4] = XOR(h[4], XOR(v4, v12));
	h[5] = XOR(h[5], XOR(v5, v13));
	h[6] = XOR(h[6], XOR(v6, v14));
	h[7] = XOR(h[7], XOR(v7, v15));
}

/* The full block that lies in each, and whole blocks of the data, but never its last byte. Gives the bytes of data taken. */
TARGET static size_t NAMED(update)(struct hf_blake2b *const hashes[static LANES], const uint8_t *const data[static LANES], size_t length)
{
	uint64_t total = hashes[0]->total + HF_BLAKE2B_BLOCK_BYTES;
	const uint8_t *at[LANES];
	size_t taken = 0;
	WORDS h[8];

	for (int i = 0; i < LANES; i++)
		at[i] = (const uint8_t *)hashes[i]->h;
	for (size_t i = 0; i < 8; i += LANES)
		NAMED(turn)(h + i, at, 8 * i);
	for (int i = 0; i < LANES; i++)
		at[i] = hashes[i]->block;
	NAMED(compress)(h, at, total);
	for (; length - taken > HF_BLAKE2B_BLOCK_BYTES; taken += HF_BLAKE2B_BLOCK_BYTES) {
		for (int i = 0; i < LANES; i++)
			at[i] = data[i] + taken;
		NAMED(compress)(h, at, total + taken + HF_BLAKE2B_BLOCK_BYTES);
	}
	for (int i = 0; i < LANES; i++) {
		hashes[i]->total = total + taken;
		hashes[i]->block_length = 0;
		for (int j = 0; j < 8; j++)
			hashes[i]->h[j] = (uint64_t)h[j][i];
	}
	return taken;
}

#undef LANES
#undef WORDS
#undef TARGET
#undef NAMED
#undef SAME
#undef ADD
#undef XOR
#undef ROTATE_32
#undef ROTATE_24
#undef ROTATE_16
#undef ROTATE_63
