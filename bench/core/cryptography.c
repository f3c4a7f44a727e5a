/* cryptography: how fast blocks would go from one core to another if nothing were done but what makes them safe: one thread seals, as a
 * writer does, another opens and hashes, as a reader does. Both at once and by the wall clock, so that what else goes on in the machine
 * takes from it what it takes from the replication that it stands beside. */
#include "bench.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "crypto/merkle_hash.h"
#include "crypto/secretstream.h"

#define BLOCK_BYTES (64u << 10)
#define SEALED_BYTES (BLOCK_BYTES + HF_SECRETSTREAM_OVERHEAD_BYTES)
#define LASTS_US 300000

struct half {
	pthread_t thread;
	atomic_bool *is_over;
	unsigned together;
	double mb;
};

/* The state before the first message; the same on both sides. */
static void begin(struct hf_secretstream_engine **engine, struct hf_secretstream *stream, const uint8_t *seed)
{
	hf_bench_must(hf_secretstream_engine_new(engine), "secretstream");
	hf_secretstream_init(stream, seed, seed);
}

static void seal_one(struct hf_secretstream_engine *engine, struct hf_secretstream *stream, uint8_t *plain, uint8_t *sealed)
{
	struct iovec piece = {plain, BLOCK_BYTES};

	hf_bench_must(hf_secretstream_push(engine, stream, 0, &piece, 1, sealed), "sealing");
}

static void *seal(void *context)
{
	static uint8_t plain[BLOCK_BYTES], sealed[SEALED_BYTES];
	struct half *half = context;
	struct hf_secretstream_engine *engine;
	struct hf_secretstream stream;

	begin(&engine, &stream, plain);
	for (; !atomic_load(half->is_over); half->mb += BLOCK_BYTES / 1e6)
		seal_one(engine, &stream, plain, sealed);
	hf_secretstream_engine_free(engine);
	return NULL;
}

static void *open_and_hash(void *context)
{
	static uint8_t plain[BLOCK_BYTES], sealed[SEALED_BYTES], copies[HF_LEAVES_TOGETHER][SEALED_BYTES];
	uint8_t hashes[HF_LEAVES_TOGETHER][HF_MERKLE_HASH_BYTES], tag;
	struct hf_slice blocks[HF_LEAVES_TOGETHER];
	struct half *half = context;
	struct hf_secretstream_engine *engine;
	struct hf_secretstream begun, stream;

	begin(&engine, &begun, plain);
	stream = begun;
	seal_one(engine, &stream, plain, sealed);
	for (; !atomic_load(half->is_over); half->mb += half->together * BLOCK_BYTES / 1e6) {
		for (unsigned i = 0; i < half->together; i++) {
			stream = begun;
			memcpy(copies[i], sealed, SEALED_BYTES);
			hf_bench_must(hf_secretstream_pull(engine, &stream, &tag, copies[i], SEALED_BYTES), "opening");
			blocks[i] = hf_slice(copies[i], BLOCK_BYTES);
		}
		hf_leaf_hashes(hashes, blocks, half->together);
	}
	hf_secretstream_engine_free(engine);
	return NULL;
}

double hf_bench_cryptography_mb_per_s(unsigned together)
{
	atomic_bool is_over = false;
	struct half sealing = {.is_over = &is_over}, opening = {.is_over = &is_over, .together = together};
	double begun_us = hf_measure_wall_us(), mb;

	if (pthread_create(&sealing.thread, NULL, seal, &sealing) != 0 || pthread_create(&opening.thread, NULL, open_and_hash, &opening) != 0)
		hf_bench_must(HF_ENOMEM, "thread");
	hf_measure_sleep_until(begun_us + LASTS_US);
	atomic_store(&is_over, true);
	pthread_join(sealing.thread, NULL);
	pthread_join(opening.thread, NULL);
	mb = sealing.mb < opening.mb ? sealing.mb : opening.mb;
	return mb / (hf_measure_wall_us() - begun_us) * 1e6;
}
