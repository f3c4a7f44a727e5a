/* Publication: the fields of a document and its nodes are plain stores that precede the release store of a chain head,
 * an id slot or the document count; readers load those with acquire. What a reader may look at beyond that (the
 * documents below its snapshot's position) was complete before the position was raised. */
#include "store/memtable.h"

#include <sys/mman.h>

#include <stdlib.h>

#include "store/segment.h"

static uint32_t bits_for(uint64_t count)
{
	uint32_t bits = 1;
	while (((uint64_t)1 << bits) < count)
		bits++;
	return bits;
}

/* Takes the next part of the mapping. */
static void *carve(uint8_t **at, size_t bytes)
{
	uint8_t *part = *at;
	*at += (bytes + 63) / 64 * 64;
	return part;
}

/* Lays the arrays out from base, and returns what they need. */
static size_t lay_out(struct hf_memtable *t, uint8_t *base)
{
	size_t docs = t->docs_max;
	uint8_t *at = base;
	t->ids = carve(&at, docs * sizeof *t->ids);
	t->ranks = carve(&at, docs * sizeof *t->ranks);
	t->positions = carve(&at, docs * sizeof *t->positions);
	t->rank_most = carve(&at, docs * sizeof *t->rank_most);
	t->first_node = carve(&at, docs * sizeof *t->first_node);
	t->term_counts = carve(&at, docs * sizeof *t->term_counts);
	t->dead = carve(&at, (docs + 63) / 64 * 8);
	t->next = carve(&at, (docs + 1) * HF_MEMTABLE_LEVELS * sizeof *t->next);
	t->nodes = carve(&at, ((size_t)t->nodes_max + 1) * sizeof *t->nodes);
	t->slots = carve(&at, ((size_t)1 << t->slot_bits) * sizeof *t->slots);
	t->id_slots = carve(&at, ((size_t)1 << t->id_bits) * sizeof *t->id_slots);
	return (size_t)(at - base);
}

void hf_memtable_pool_init(struct hf_memtable_pool *pool)
{
	pool->spare = NULL;
	pthread_mutex_init(&pool->lock, NULL);
}

static void destroy(struct hf_memtable *t)
{
	munmap(t->ids, t->mapping_bytes);
	free(t);
}

void hf_memtable_pool_free(struct hf_memtable_pool *pool)
{
	if (pool->spare)
		destroy(pool->spare);
	pool->spare = NULL;
	pthread_mutex_destroy(&pool->lock);
}

/* Puts *kept in the pool's place and returns what was there. */
static struct hf_memtable *pool_swap(struct hf_memtable_pool *pool, struct hf_memtable *kept)
{
	pthread_mutex_lock(&pool->lock);
	struct hf_memtable *spare = pool->spare;
	pool->spare = kept;
	pthread_mutex_unlock(&pool->lock);
	return spare;
}

/* The other arrays are only read below the counts. */
static void clear(struct hf_memtable *t)
{
	memset((void *)t->dead, 0, ((size_t)t->docs_max + 63) / 64 * 8);
	memset((void *)t->slots, 0, ((size_t)1 << t->slot_bits) * sizeof *t->slots);
	memset((void *)t->id_slots, 0, ((size_t)1 << t->id_bits) * sizeof *t->id_slots);
	for (uint32_t level = 0; level < HF_MEMTABLE_LEVELS; level++)
		atomic_init(&t->next[(size_t)level * (t->docs_max + 1) + t->docs_max], 0);
	atomic_init(&t->references, 1);
	atomic_init(&t->doc_count, 0);
	atomic_init(&t->dead_count, 0);
	t->node_count = 1;
	t->slot_count = 0;
	t->retired = false;
}

struct hf_memtable *hf_memtable_new(struct hf_memtable_pool *pool, uint32_t docs_max)
{
	struct hf_memtable *t = pool_swap(pool, NULL);
	if (t) {
		clear(t);
		return t;
	}
	t = calloc(1, sizeof *t);
	if (!t)
		return NULL;
	atomic_init(&t->references, 1);
	t->pool = pool;
	t->docs_max = docs_max < 1 ? 1 : docs_max < HF_MEMTABLE_DOCS_MAX ? docs_max : HF_MEMTABLE_DOCS_MAX;
	/* At least one document with as many terms as are allowed fits. */
	t->nodes_max = t->docs_max * HF_MEMTABLE_NODES_PER_DOC + HF_STORE_TERM_COUNT_MAX;
	t->slot_bits = bits_for((uint64_t)t->docs_max * 8 + 2 * HF_STORE_TERM_COUNT_MAX);
	t->id_bits = bits_for((uint64_t)t->docs_max * 2);
	t->node_count = 1;
	/* Any base that is not NULL gives the size. */
	t->mapping_bytes = lay_out(t, (uint8_t *)64);
	void *mapping = mmap(NULL, t->mapping_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mapping == MAP_FAILED) {
		free(t);
		return NULL;
	}
	lay_out(t, mapping);
	return t;
}

struct hf_memtable *hf_memtable_ref(struct hf_memtable *table)
{
	atomic_fetch_add_explicit(&table->references, 1, memory_order_relaxed);
	return table;
}

void hf_memtable_unref(struct hf_memtable *table)
{
	if (!table || atomic_fetch_sub_explicit(&table->references, 1, memory_order_acq_rel) != 1)
		return;
	struct hf_memtable *other = pool_swap(table->pool, table);
	if (other)
		destroy(other);
}

/* ---- The writer ---- */

bool hf_memtable_has_room(const struct hf_memtable *table, uint32_t term_count)
{
	uint32_t slots_max = (uint32_t)(((uint64_t)3 << table->slot_bits) / 4);
	return atomic_load_explicit(&table->doc_count, memory_order_relaxed) < table->docs_max &&
	       term_count <= table->nodes_max && table->node_count - 1 <= table->nodes_max - term_count &&
	       term_count <= slots_max && table->slot_count <= slots_max - term_count;
}

static uint32_t probe(const struct hf_memtable *t, uint64_t term, bool *found)
{
	uint32_t mask = ((uint32_t)1 << t->slot_bits) - 1, at = (uint32_t)(term >> (64 - t->slot_bits));
	for (;; at = (at + 1) & mask) {
		uint64_t seen = atomic_load_explicit(&t->slots[at].term, memory_order_acquire);
		if (seen == term || !seen) {
			*found = seen != 0;
			return at;
		}
	}
}

static void link_term(struct hf_memtable *t, uint32_t doc, uint64_t term)
{
	bool found;
	uint64_t mixed = hf_segment_mix(term);
	mixed += !mixed;
	uint32_t at = probe(t, mixed, &found), node = t->node_count++;
	struct hf_memtable_slot *slot = &t->slots[at];
	t->nodes[node] = (struct hf_memtable_node){
		.next = atomic_load_explicit(&slot->head, memory_order_relaxed), .doc = doc, .slot = at};
	atomic_store_explicit(
		&slot->count, atomic_load_explicit(&slot->count, memory_order_relaxed) + 1, memory_order_relaxed);
	atomic_store_explicit(&slot->head, node, memory_order_release);
	if (!found) {
		t->slot_count++;
		atomic_store_explicit(&slot->term, mixed, memory_order_release);
	}
}

static inline _Atomic uint32_t *link_at(const struct hf_memtable *t, uint32_t level, uint32_t doc)
{
	return &t->next[(size_t)level * (t->docs_max + 1) + doc];
}

static void link_ordered(struct hf_memtable *t, uint32_t doc, uint32_t random)
{
	uint32_t before[HF_MEMTABLE_LEVELS], at = t->docs_max;
	for (uint32_t level = HF_MEMTABLE_LEVELS; level-- > 0;) {
		uint32_t next;
		while ((next = atomic_load_explicit(link_at(t, level, at), memory_order_relaxed)) != 0 &&
			hf_memtable_compare(t, next - 1, doc) < 0)
			at = next - 1;
		before[level] = at;
	}
	uint32_t levels = 1 + (uint32_t)__builtin_ctz(random | 1u << (2 * HF_MEMTABLE_LEVELS - 2)) / 2;
	for (uint32_t level = 0; level < levels; level++) {
		_Atomic uint32_t *link = link_at(t, level, before[level]);
		atomic_store_explicit(
			link_at(t, level, doc), atomic_load_explicit(link, memory_order_relaxed), memory_order_relaxed);
		atomic_store_explicit(link, doc + 1, memory_order_release);
	}
}

int hf_memtable_insert(struct hf_memtable *table, const struct hf_doc_key *key, uint64_t position, uint64_t id_hash)
{
	struct hf_memtable *t = table;
	if (!hf_memtable_has_room(t, key->term_count))
		return HF_EBUSY;
	uint32_t doc = atomic_load_explicit(&t->doc_count, memory_order_relaxed);
	for (uint32_t i = 0; i < key->term_count; i++)
		__builtin_prefetch(&t->slots[hf_segment_mix(key->terms[i]) >> (64 - t->slot_bits)], 1);
	memcpy(t->ids[doc], key->id, HF_STORE_ID_BYTES);
	t->ranks[doc] = key->rank;
	t->positions[doc] = position;
	t->rank_most[doc] = doc && t->rank_most[doc - 1] > key->rank ? t->rank_most[doc - 1] : key->rank;
	t->first_node[doc] = t->node_count;
	t->term_counts[doc] = key->term_count;
	for (uint32_t i = 0; i < key->term_count; i++)
		link_term(t, doc, key->terms[i]);
	link_ordered(t, doc, (uint32_t)id_hash);
	uint32_t mask = ((uint32_t)1 << t->id_bits) - 1, at = (uint32_t)(id_hash >> 32) & mask;
	while (atomic_load_explicit(&t->id_slots[at], memory_order_relaxed))
		at = (at + 1) & mask;
	atomic_store_explicit(&t->id_slots[at], (id_hash >> 32 << 32) | (doc + 1), memory_order_release);
	atomic_store_explicit(&t->doc_count, doc + 1, memory_order_release);
	return HF_OK;
}

bool hf_memtable_mark_dead(struct hf_memtable *table, uint32_t doc)
{
	uint64_t bit = (uint64_t)1 << (doc % 64);
	if (atomic_fetch_or_explicit(&table->dead[doc / 64], bit, memory_order_acq_rel) & bit)
		return false;
	atomic_fetch_add_explicit(&table->dead_count, 1, memory_order_relaxed);
	return true;
}

void hf_memtable_abort(struct hf_memtable *table, uint64_t position)
{
	uint32_t doc = atomic_load_explicit(&table->doc_count, memory_order_relaxed);
	while (doc > 0 && table->positions[doc - 1] >= position)
		hf_memtable_mark_dead(table, --doc);
}

/* ---- Readers ---- */

uint32_t hf_memtable_find(
	const struct hf_memtable *table, const uint8_t id[static HF_STORE_ID_BYTES], uint64_t id_hash, uint64_t from, uint64_t before)
{
	uint32_t mask = ((uint32_t)1 << table->id_bits) - 1, at = (uint32_t)(id_hash >> 32) & mask;
	for (;; at = (at + 1) & mask) {
		uint64_t slot = atomic_load_explicit(&table->id_slots[at], memory_order_acquire);
		if (!slot)
			return HF_MEMTABLE_NONE;
		uint32_t doc = (uint32_t)slot - 1;
		if (slot >> 32 == id_hash >> 32 && memcmp(table->ids[doc], id, HF_STORE_ID_BYTES) == 0 &&
			table->positions[doc] >= from && table->positions[doc] < before && !hf_memtable_is_dead(table, doc))
			return doc;
	}
}

uint32_t hf_memtable_slot(const struct hf_memtable *table, uint64_t term)
{
	bool found;
	uint64_t mixed = hf_segment_mix(term);
	uint32_t at = probe(table, mixed + !mixed, &found);
	return found ? at : HF_MEMTABLE_NONE;
}

uint32_t hf_memtable_first(const struct hf_memtable *table, uint64_t rank)
{
	uint32_t at = table->docs_max, next = 0;
	for (uint32_t level = HF_MEMTABLE_LEVELS; level-- > 0;)
		while ((next = atomic_load_explicit(link_at(table, level, at), memory_order_acquire)) != 0 &&
			table->ranks[next - 1] > rank)
			at = next - 1;
	return next - 1;
}

uint64_t hf_memtable_position_min(const struct hf_memtable *table)
{
	uint32_t count = atomic_load_explicit(&table->doc_count, memory_order_acquire);
	uint64_t least = UINT64_MAX;
	for (uint32_t doc = 0; doc < count; doc++)
		if (!hf_memtable_is_dead(table, doc) && table->positions[doc] < least)
			least = table->positions[doc];
	return least;
}
