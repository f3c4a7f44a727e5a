/* blocks_private: what the parts of blocks share. */
#ifndef HF_STORE_BLOCKS_PRIVATE_H
#define HF_STORE_BLOCKS_PRIVATE_H

#include <pthread.h>

#include "store/block_memory.h"
#include "store/block_run.h"

struct hf_block_runs {
	_Atomic uint32_t references;
	size_t count;
	struct hf_block_run *runs[HF_BLOCKS_RUNS_MAX * 2]; /* oldest first */
};

struct hf_blocks {
	struct hf_blocks_options options;
	char directory[HF_PATH_BYTES_MAX];
	pthread_rwlock_t lock;
	struct hf_block_memory memory, frozen;
	struct hf_block_runs *runs;
	uint64_t opened;          /* records below it are not applied again */
	/* Under the caller's checkpoint lock. */
	uint64_t position;        /* what the runs hold */
	uint64_t frozen_position;
	uint32_t old[HF_BLOCKS_RUNS_MAX * 2];
	size_t old_count;
};

/* A reference. The lock is held. */
struct hf_block_runs *hf_block_runs_ref(struct hf_blocks *blocks);
/* The same, taking the lock. */
struct hf_block_runs *hf_block_runs_pin(struct hf_blocks *blocks);
void hf_block_runs_unref(struct hf_block_runs *runs); /* NULL is fine */

#endif
