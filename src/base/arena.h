/* arena: memory that is freed all at once. Allocation is a pointer bump in chunks of 1 KiB and up. */
#ifndef HF_BASE_ARENA_H
#define HF_BASE_ARENA_H

#include <stddef.h>

struct hf_arena_chunk;
struct hf_arena {
	struct hf_arena_chunk *chunk;
	size_t used_bytes; /* handed out in total */
	size_t limit_bytes; /* 0: none; allocations past it fail */
};

void *hf_arena_alloc(struct hf_arena *arena, size_t length); /* 16-aligned, zeroed; NULL on failure */
void *hf_arena_copy(struct hf_arena *arena, const void *data, size_t length);
void hf_arena_reset(struct hf_arena *arena); /* keeps one chunk */
void hf_arena_free(struct hf_arena *arena);

#endif
