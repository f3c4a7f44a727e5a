/* block_memory: what changed of the logs since the last checkpoint. (Private to blocks.)
 *
 * A log has an entry here when it was changed; blocks below this layer show through where neither a block, a hole nor `keep`
 * says otherwise. Not thread-safe: blocks.h has the lock.
 */
#ifndef HF_STORE_BLOCK_MEMORY_H
#define HF_STORE_BLOCK_MEMORY_H

#include "base/map.h"
#include "store/block_facts.h"
#include "store/blocks.h"

struct hf_block_log {
	uint64_t number, length;
	uint64_t keep; /* blocks below this layer at or above it are void */
	struct hf_block_facts blocks;
	struct hf_block_facts holes; /* disjoint; none touches another */
	bool exists;
};

struct hf_block_memory {
	struct hf_map logs;
	size_t bytes; /* that it takes, about */
};

void hf_block_memory_init(struct hf_block_memory *memory);
void hf_block_memory_free(struct hf_block_memory *memory);
struct hf_block_log *hf_block_memory_get(const struct hf_block_memory *memory, uint64_t log);
/* Adds the log with the state that it has below. */
int hf_block_memory_add(struct hf_block_memory *memory, uint64_t number, uint64_t length, bool exists, struct hf_block_log **out);
/* HF_OK, HF_ENOTFOUND (this layer says so), or HF_EWAIT: ask the layer below. */
int hf_block_memory_find(const struct hf_block_memory *memory, uint64_t log, uint64_t index, uint64_t *position, uint64_t *bytes);

/* Changes of a log of this memory. What they hide of its own blocks is reported as dead through options. */
int hf_block_log_put(struct hf_block_memory *memory, struct hf_block_log *log, const struct hf_block_fact *block,
	const struct hf_blocks_options *options);
int hf_block_log_clear(struct hf_block_memory *memory, struct hf_block_log *log, uint64_t from, uint64_t to,
	const struct hf_blocks_options *options);
void hf_block_log_truncate(struct hf_block_memory *memory, struct hf_block_log *log, uint64_t length,
	const struct hf_blocks_options *options);
void hf_block_log_drop(struct hf_block_memory *memory, struct hf_block_log *log, const struct hf_blocks_options *options);

#endif
