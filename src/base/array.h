/* array: room in a growing array of anything, for code that keeps items, count and capacity itself. */
#ifndef HF_BASE_ARRAY_H
#define HF_BASE_ARRAY_H

#include <stddef.h>

int hf_array_grow(void *items, size_t *capacity, size_t count, size_t item_bytes); /* when reserve finds too little */
/* Makes room for `count` items of item_bytes in all, doubling from 8; items points to the pointer to them. HF_ENOMEM changes nothing. */
static inline int hf_array_reserve(void *items, size_t *capacity, size_t count, size_t item_bytes)
{
	return count <= *capacity ? 0 : hf_array_grow(items, capacity, count, item_bytes);
}

#endif
