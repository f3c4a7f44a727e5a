#include "base/array.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define CAPACITY_MIN 8

int hf_array_grow(void *items, size_t *capacity, size_t count, size_t item_bytes)
{
	size_t wanted = *capacity < CAPACITY_MIN ? CAPACITY_MIN : *capacity;
	void *old, *larger;

	while (wanted < count)
		wanted *= 2;
	memcpy(&old, items, sizeof old);
	larger = realloc(old, wanted * item_bytes);
	if (larger == NULL)
		return HF_ENOMEM;
	memcpy(items, &larger, sizeof larger);
	*capacity = wanted;
	return HF_OK;
}
