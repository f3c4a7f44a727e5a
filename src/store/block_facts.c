/* Chunks are doubled from few facts to CHUNK_FACTS_MAX, then split in halves; one that becomes empty is freed. Appending
 * leaves full chunks behind. */
#include "store/block_facts.h"

#include <stdlib.h>

#define CHUNK_FACTS_FIRST 4 /* most logs have few */
#define CHUNK_FACTS_MAX 256

static size_t chunk_bytes(uint32_t capacity)
{
	return sizeof(struct hf_block_chunk) + capacity * sizeof(struct hf_block_fact);
}

void hf_block_facts_free(struct hf_block_facts *facts)
{
	for (uint32_t i = 0; i < facts->chunk_count; i++)
		free(facts->chunks[i]);
	free(facts->chunks);
	*facts = (struct hf_block_facts){0};
}

/* Whether the chunk at place is the last that begins at or before index. */
static bool is_chunk_of(const struct hf_block_facts *facts, uint32_t place, uint64_t index)
{
	return facts->chunks[place]->facts[0].index <= index
		&& (place + 1 == facts->chunk_count || facts->chunks[place + 1]->facts[0].index > index);
}

/* The last chunk that begins at or before index, or the first. Where indices were appended one by one, chunks are as long as each other,
 * and it is where it is expected. */
static uint32_t chunk_of(const struct hf_block_facts *facts, uint64_t index)
{
	uint32_t low = 0, high = facts->chunk_count;
	uint64_t first = facts->chunks[0]->facts[0].index, expected = index < first ? 0 : (index - first) / CHUNK_FACTS_MAX;

	if (expected >= high)
		expected = high - 1;
	if (is_chunk_of(facts, (uint32_t)expected, index))
		return (uint32_t)expected;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (facts->chunks[middle]->facts[0].index <= index)
			low = middle + 1;
		else
			high = middle;
	}
	return low == 0 ? 0 : low - 1;
}

struct hf_block_place hf_block_facts_find(const struct hf_block_facts *facts, uint64_t index)
{
	struct hf_block_place place = {0, 0};
	uint32_t low = 0, high;

	if (facts->chunk_count == 0)
		return place;
	place.chunk = chunk_of(facts, index);
	const struct hf_block_chunk *chunk = facts->chunks[place.chunk];

	high = chunk->count;
	if (chunk->facts[high - 1].index < index)
		return (struct hf_block_place){place.chunk + 1, 0};
	if (index >= chunk->facts[0].index && chunk->facts[high - 1].index - chunk->facts[0].index == high - 1)
		low = high = (uint32_t)(index - chunk->facts[0].index); /* none is missing */
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (chunk->facts[middle].index < index)
			low = middle + 1;
		else
			high = middle;
	}
	place.at = low;
	return place;
}

struct hf_block_fact *hf_block_facts_floor(const struct hf_block_facts *facts, uint64_t index)
{
	struct hf_block_place place = hf_block_facts_find(facts, index);
	struct hf_block_fact *fact = hf_block_facts_at(facts, place);

	if (fact != NULL && fact->index == index)
		return fact;
	if (place.at > 0)
		return fact - 1;
	return place.chunk > 0 ? &facts->chunks[place.chunk - 1]->facts[facts->chunks[place.chunk - 1]->count - 1] : NULL;
}

/* ---- Changing ---- */

static int add_chunk(struct hf_block_facts *facts, uint32_t place, uint32_t capacity, size_t *memory_bytes)
{
	struct hf_block_chunk *chunk;

	if (facts->chunk_count == facts->chunk_capacity) {
		uint32_t wanted = facts->chunk_capacity == 0 ? 1 : facts->chunk_capacity * 2;
		struct hf_block_chunk **larger = realloc(facts->chunks, wanted * sizeof *larger);

		if (larger == NULL)
			return HF_ENOMEM;
		*memory_bytes += (wanted - facts->chunk_capacity) * sizeof *larger;
		facts->chunks = larger;
		facts->chunk_capacity = wanted;
	}
	chunk = malloc(chunk_bytes(capacity));
	if (chunk == NULL)
		return HF_ENOMEM;
	chunk->count = 0;
	chunk->capacity = capacity;
	*memory_bytes += chunk_bytes(capacity);
	memmove(facts->chunks + place + 1, facts->chunks + place, (facts->chunk_count - place) * sizeof *facts->chunks);
	facts->chunks[place] = chunk;
	facts->chunk_count++;
	return HF_OK;
}

static int grow_chunk(struct hf_block_facts *facts, uint32_t place, size_t *memory_bytes)
{
	struct hf_block_chunk *chunk = facts->chunks[place];
	uint32_t capacity = chunk->capacity;
	struct hf_block_chunk *larger = realloc(chunk, chunk_bytes(capacity * 2));

	if (larger == NULL)
		return HF_ENOMEM;
	larger->capacity = capacity * 2;
	facts->chunks[place] = larger;
	*memory_bytes += chunk_bytes(capacity * 2) - chunk_bytes(capacity);
	return HF_OK;
}

/* Moves the upper half of a full chunk to a new one behind it, and place with it. */
static int split_chunk(struct hf_block_facts *facts, struct hf_block_place *place, size_t *memory_bytes)
{
	int status = add_chunk(facts, place->chunk + 1, CHUNK_FACTS_MAX, memory_bytes);

	if (status != HF_OK)
		return status;
	struct hf_block_chunk *lower = facts->chunks[place->chunk], *upper = facts->chunks[place->chunk + 1];
	uint32_t half = lower->count / 2;

	upper->count = lower->count - half;
	memcpy(upper->facts, lower->facts + half, upper->count * sizeof *upper->facts);
	lower->count = half;
	if (place->at > half)
		*place = (struct hf_block_place){place->chunk + 1, place->at - half};
	return HF_OK;
}

/* Makes room for one fact at the place, which becomes one inside a chunk. */
static int make_room(struct hf_block_facts *facts, struct hf_block_place *place, size_t *memory_bytes)
{
	if (place->at == 0 && place->chunk > 0 &&
	    (place->chunk == facts->chunk_count || facts->chunks[place->chunk - 1]->count < CHUNK_FACTS_MAX))
		*place = (struct hf_block_place){place->chunk - 1, facts->chunks[place->chunk - 1]->count};
	if (place->chunk == facts->chunk_count)
		return add_chunk(facts, place->chunk, CHUNK_FACTS_FIRST, memory_bytes);
	const struct hf_block_chunk *chunk = facts->chunks[place->chunk];

	if (chunk->count < chunk->capacity)
		return HF_OK;
	if (chunk->capacity < CHUNK_FACTS_MAX)
		return grow_chunk(facts, place->chunk, memory_bytes);
	if (place->at == chunk->count && place->chunk + 1 == facts->chunk_count) {
		*place = (struct hf_block_place){place->chunk + 1, 0};
		return add_chunk(facts, place->chunk, CHUNK_FACTS_MAX, memory_bytes);
	}
	return split_chunk(facts, place, memory_bytes);
}

int hf_block_facts_insert(struct hf_block_facts *facts, struct hf_block_place place, const struct hf_block_fact *fact,
	size_t *memory_bytes)
{
	int status = make_room(facts, &place, memory_bytes);

	if (status != HF_OK)
		return status;
	struct hf_block_chunk *chunk = facts->chunks[place.chunk];

	memmove(chunk->facts + place.at + 1, chunk->facts + place.at, (chunk->count - place.at) * sizeof *chunk->facts);
	chunk->facts[place.at] = *fact;
	chunk->count++;
	return HF_OK;
}

int hf_block_facts_append(struct hf_block_facts *facts, uint64_t index, uint64_t value)
{
	size_t bytes = 0;

	return hf_block_facts_insert(facts, (struct hf_block_place){facts->chunk_count, 0},
		&(struct hf_block_fact){.index = index, .value = value}, &bytes);
}

bool hf_block_facts_cover(const struct hf_block_facts *holes, uint64_t index)
{
	const struct hf_block_fact *hole = holes->chunk_count == 0 ? NULL : hf_block_facts_floor(holes, index);

	return hole != NULL && index < hole->value;
}

void hf_block_facts_remove(struct hf_block_facts *facts, uint64_t from, uint64_t to, size_t *memory_bytes)
{
	struct hf_block_place first = hf_block_facts_find(facts, from), end = hf_block_facts_find(facts, to);
	uint32_t kept = first.chunk, i = first.chunk;

	if (first.chunk == end.chunk && first.at == end.at)
		return;
	for (; i < facts->chunk_count && i <= end.chunk; i++) {
		struct hf_block_chunk *chunk = facts->chunks[i];
		uint32_t low = i == first.chunk ? first.at : 0, high = i == end.chunk ? end.at : chunk->count;

		memmove(chunk->facts + low, chunk->facts + high, (chunk->count - high) * sizeof *chunk->facts);
		chunk->count -= high - low;
		if (chunk->count > 0) {
			facts->chunks[kept++] = chunk;
			continue;
		}
		*memory_bytes -= chunk_bytes(chunk->capacity);
		free(chunk);
	}
	memmove(facts->chunks + kept, facts->chunks + i, (facts->chunk_count - i) * sizeof *facts->chunks);
	facts->chunk_count -= i - kept;
}
