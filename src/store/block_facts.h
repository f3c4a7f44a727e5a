/* block_facts: a sorted list of facts about places of a log, in chunks. (Private to blocks.)
 *
 * A fact has an index, which orders it, and two numbers. To insert or remove anywhere moves no more than a chunk, so the
 * order in which facts come costs little; to append costs least.
 */
#ifndef HF_STORE_BLOCK_FACTS_H
#define HF_STORE_BLOCK_FACTS_H

#include "base/bytes.h"
#include "base/error.h"

/* Packed: there may be hundreds of thousands of them. */
struct __attribute__((packed, aligned(4))) hf_block_fact {
	uint64_t index;
	uint64_t value; /* of a block: its position; of a hole: where it ends */
	uint32_t bytes; /* of a block: its record's */
};

struct hf_block_chunk {
	uint32_t count, capacity;
	struct hf_block_fact facts[];
};

struct hf_block_facts {
	struct hf_block_chunk **chunks; /* none is empty */
	uint32_t chunk_count, chunk_capacity;
};

/* A place between facts: before the one that hf_block_facts_at gives. */
struct hf_block_place {
	uint32_t chunk, at;
};

void hf_block_facts_free(struct hf_block_facts *facts);
/* The place of the first fact at or after index. */
struct hf_block_place hf_block_facts_find(const struct hf_block_facts *facts, uint64_t index);
/* NULL at the end. Good until the list is changed. */
static inline struct hf_block_fact *hf_block_facts_at(const struct hf_block_facts *facts, struct hf_block_place place)
{
	return place.chunk < facts->chunk_count ? &facts->chunks[place.chunk]->facts[place.at] : NULL;
}
static inline void hf_block_facts_next(const struct hf_block_facts *facts, struct hf_block_place *place)
{
	if (++place->at == facts->chunks[place->chunk]->count)
		*place = (struct hf_block_place){place->chunk + 1, 0};
}
/* The last fact at or before index, NULL when there is none. */
struct hf_block_fact *hf_block_facts_floor(const struct hf_block_facts *facts, uint64_t index);
/* At a place that hf_block_facts_find gave for its index. Adds to *memory_bytes what it took. HF_ENOMEM. */
int hf_block_facts_insert(struct hf_block_facts *facts, struct hf_block_place place, const struct hf_block_fact *fact,
	size_t *memory_bytes);
/* Behind all others: its index is higher than theirs. */
int hf_block_facts_append(struct hf_block_facts *facts, uint64_t index, uint64_t value);
/* True when the last fact at or before index, as a hole, covers it. */
bool hf_block_facts_cover(const struct hf_block_facts *holes, uint64_t index);
/* Removes the facts with an index in [from, to), and takes what it gave back from *memory_bytes. */
void hf_block_facts_remove(struct hf_block_facts *facts, uint64_t from, uint64_t to, size_t *memory_bytes);

#endif
