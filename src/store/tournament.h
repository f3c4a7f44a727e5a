/* tournament: a tree of losers that merges up to 64 ascending streams of 58-bit keys. (Private to store/.)
 *
 * A node keeps the loser of the match below it, so replacing the winner costs one comparison a level and no
 * hard-to-guess branch. A key carries its stream in the low 6 bits, which also decides between equal keys.
 */
#ifndef HF_STORE_TOURNAMENT_H
#define HF_STORE_TOURNAMENT_H

#include <stdint.h>

#define HF_TOURNAMENT_STREAMS_MAX 64
#define HF_TOURNAMENT_END UINT64_MAX /* the stream is through */

struct hf_tournament {
	uint32_t size;                              /* streams, rounded up to a power of two */
	uint64_t winner;                            /* HF_TOURNAMENT_END when all are through */
	uint64_t losers[HF_TOURNAMENT_STREAMS_MAX]; /* of the match at node 1 .. size - 1 */
};

static inline uint64_t hf_tournament_key(uint64_t value, uint32_t stream)
{
	return value << 6 | stream;
}
static inline uint64_t hf_tournament_value(uint64_t key)
{
	return key >> 6;
}
static inline uint32_t hf_tournament_stream(uint64_t key)
{
	return (uint32_t)(key & 63);
}

/* keys: the first of each stream, or HF_TOURNAMENT_END. */
static inline void hf_tournament_start(struct hf_tournament *t, const uint64_t *keys, uint32_t count)
{
	uint64_t winners[2 * HF_TOURNAMENT_STREAMS_MAX];
	for (t->size = 1; t->size < count;)
		t->size *= 2;
	for (uint32_t i = 0; i < t->size; i++)
		winners[t->size + i] = i < count ? keys[i] : HF_TOURNAMENT_END;
	for (uint32_t node = t->size - 1; node > 0; node--) {
		uint64_t a = winners[2 * node], b = winners[2 * node + 1];
		winners[node] = a < b ? a : b;
		t->losers[node] = a < b ? b : a;
	}
	t->winner = winners[1];
}

/* The winner's stream has a new key. */
static inline void hf_tournament_replace(struct hf_tournament *t, uint64_t key)
{
	for (uint32_t node = (t->size + hf_tournament_stream(t->winner)) / 2; node > 0; node /= 2) {
		uint64_t loser = t->losers[node];
		t->losers[node] = key < loser ? loser : key;
		key = key < loser ? key : loser;
	}
	t->winner = key;
}

#endif
