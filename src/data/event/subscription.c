/* subscription: a hash table from member to the subscriptions that are filed under it.
 *
 * A bucket chains one entry for each distinct key, the key's first; further entries of the same key hang off that one
 * in a doubly linked list. So a key that thousands wait for (a popular kind) lengthens no other key's chain, and taking
 * an entry out never walks its own key's list. Keys are 32-bit seeded hashes: two keys that share one cost a check
 * of the filter, which is made for every entry anyway.
 *
 * A subscription's entries are one block. Entries know their index in it, so the block leads to the subscription. */
#include "data/event/subscription.h"

#include <assert.h>
#include <stdlib.h>

#include "base/map.h"

#define BUCKET_COUNT_MIN 64
#define DISTINCT_BY_SCAN_COUNT_MAX 24 /* so few keys are compared with each other, more are sorted */

/* Name spaces of keys; tags use their letter's code. */
enum { KEY_EVERYTHING = 1, KEY_ID, KEY_AUTHOR, KEY_KIND };

struct entry {
	struct entry *next, *previous; /* of the same key; the first has no previous */
	struct entry *chain;           /* of a first entry: the next key in the bucket */
	uint32_t hash;
	uint32_t index;                /* in its block */
};

struct block {
	struct hf_subscription *subscription;
	uint32_t entry_count;
	struct entry entries[];
};

struct hf_subscriptions {
	struct entry **buckets;
	size_t bucket_count; /* a power of two */
	size_t key_count, entry_count, count;
	uint64_t seed, visit;
	size_t space_entries[128]; /* entries by name space: what nobody waits for is not looked up */
};

_Static_assert(sizeof(struct entry) == 32, "what the header promises");

static uint32_t key_hash(const struct hf_subscriptions *set, uint32_t space, struct hf_slice value)
{
	return (uint32_t)hf_hash64(value.data, value.length, set->seed + space * 0x9e3779b97f4a7c15u);
}

static struct block *block_of(struct entry *e)
{
	return (struct block *)(void *)((char *)(e - e->index) - offsetof(struct block, entries));
}

/* ---- The table ---- */

/* Where the pointer to the first entry of that key is, or the NULL that ends the bucket. */
static struct entry **find(const struct hf_subscriptions *set, uint32_t hash)
{
	struct entry **at = &set->buckets[hash & (set->bucket_count - 1)];
	while (*at && (*at)->hash != hash)
		at = &(*at)->chain;
	return at;
}

static void insert(struct hf_subscriptions *set, struct entry *e)
{
	struct entry **at = find(set, e->hash);
	struct entry *first = *at;
	e->previous = NULL;
	e->next = first;
	e->chain = first ? first->chain : NULL;
	if (first) {
		first->previous = e;
		first->chain = NULL;
	} else {
		set->key_count++;
	}
	*at = e;
	set->entry_count++;
}

static void take_out(struct hf_subscriptions *set, struct entry *e)
{
	if (e->next)
		e->next->previous = e->previous;
	if (e->previous) {
		e->previous->next = e->next;
	} else {
		struct entry **at = find(set, e->hash);
		assert(*at == e);
		if (e->next) {
			e->next->chain = e->chain;
			*at = e->next;
		} else {
			*at = e->chain;
			set->key_count--;
		}
	}
	set->entry_count--;
}

static int reserve(struct hf_subscriptions *set, size_t more)
{
	size_t wanted = set->bucket_count;
	while (wanted < set->key_count + more)
		wanted *= 2;
	if (wanted == set->bucket_count)
		return HF_OK;
	struct entry **buckets = calloc(wanted, sizeof *buckets);
	if (!buckets)
		return HF_ENOMEM;
	for (size_t i = 0; i < set->bucket_count; i++) {
		struct entry *next;
		for (struct entry *e = set->buckets[i]; e; e = next) {
			next = e->chain;
			struct entry **at = &buckets[e->hash & (wanted - 1)];
			e->chain = *at;
			*at = e;
		}
	}
	free(set->buckets);
	set->buckets = buckets;
	set->bucket_count = wanted;
	return HF_OK;
}

/* ---- Filing ---- */

/* Calls file for each key of the member that the filter is filed under. */
static void file_filter(const struct hf_filter *f,
	void (*file)(void *context, uint32_t space, struct hf_slice value), void *context)
{
	if (f->matches_nothing)
		return;
	if (f->has_ids) {
		for (uint32_t i = 0; i < f->id_count; i++)
			file(context, KEY_ID, hf_slice(f->ids[i], 32));
	} else if (f->has_authors) {
		for (uint32_t i = 0; i < f->author_count; i++)
			file(context, KEY_AUTHOR, hf_slice(f->authors[i], 32));
	} else if (f->tag_count > 0) {
		const struct hf_filter_tag *least = &f->tags[0];
		for (uint32_t i = 1; i < f->tag_count; i++)
			if (f->tags[i].value_count < least->value_count)
				least = &f->tags[i];
		for (uint32_t i = 0; i < least->value_count; i++)
			file(context, (uint8_t)least->letter, least->values[i]);
	} else if (f->has_kinds) {
		for (uint32_t i = 0; i < f->kind_count; i++)
			file(context, KEY_KIND, hf_slice(&f->kinds[i], sizeof f->kinds[i]));
	} else {
		file(context, KEY_EVERYTHING, hf_slice(NULL, 0));
	}
}

static void count_key(void *context, uint32_t space, struct hf_slice value)
{
	++*(uint32_t *)context;
}

struct filing {
	struct hf_subscriptions *set;
	struct block *block;
};

static void file_key(void *context, uint32_t space, struct hf_slice value)
{
	struct filing *filing = context;
	struct block *block = filing->block;
	struct entry *e = &block->entries[block->entry_count];
	e->hash = key_hash(filing->set, space, value);
	e->index = block->entry_count++;
	insert(filing->set, e);
	filing->set->space_entries[space]++;
}

static void forget_key(void *context, uint32_t space, struct hf_slice value)
{
	struct hf_subscriptions *set = context;
	set->space_entries[space]--;
}

int hf_subscriptions_add(struct hf_subscriptions *set, struct hf_subscription *subscription)
{
	uint32_t entry_count = 0;
	for (uint32_t i = 0; i < subscription->filter_count; i++)
		file_filter(&subscription->filters[i], count_key, &entry_count);
	if (reserve(set, entry_count) < 0)
		return HF_ENOMEM;
	struct block *block = malloc(sizeof *block + entry_count * sizeof block->entries[0]);
	if (!block)
		return HF_ENOMEM;
	block->subscription = subscription;
	block->entry_count = 0;
	subscription->entries = block;
	subscription->visit = 0;
	struct filing filing = {set, block};
	for (uint32_t i = 0; i < subscription->filter_count; i++)
		file_filter(&subscription->filters[i], file_key, &filing);
	set->count++;
	return HF_OK;
}

void hf_subscriptions_remove(struct hf_subscriptions *set, struct hf_subscription *subscription)
{
	struct block *block = subscription->entries;
	if (!block)
		return;
	for (uint32_t i = 0; i < block->entry_count; i++)
		take_out(set, &block->entries[i]);
	for (uint32_t i = 0; i < subscription->filter_count; i++)
		file_filter(&subscription->filters[i], forget_key, set);
	free(block);
	subscription->entries = NULL;
	set->count--;
}

/* ---- Matching ---- */

struct match {
	struct hf_subscriptions *set;
	const struct hf_event *event;
	uint64_t position;
	void (*each)(void *context, struct hf_subscription *subscription);
	void *context;
	size_t entries_seen;
	uint32_t tag_hashes[HF_EVENT_TAG_COUNT_MAX]; /* of tags that somebody waits for */
	uint32_t tag_count;
};

static void visit(const struct match *m, struct hf_subscription *s)
{
	if (s->visit == m->set->visit || m->position < s->from_position)
		return;
	s->visit = m->set->visit;
	for (uint32_t i = 0; i < s->filter_count; i++) {
		if (hf_filter_matches(&s->filters[i], m->event)) {
			m->each(m->context, s);
			return;
		}
	}
}

static void walk(struct match *m, uint32_t hash)
{
	for (struct entry *e = *find(m->set, hash); e; e = e->next) {
		m->entries_seen++;
		visit(m, block_of(e)->subscription);
	}
}

static void look_up(struct match *m, uint32_t space, struct hf_slice value)
{
	if (m->set->space_entries[space] > 0)
		walk(m, key_hash(m->set, space, value));
}

static int compare_hashes(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

static bool is_noted(const struct match *m, uint32_t hash)
{
	for (uint32_t i = 0; i < m->tag_count && i < DISTINCT_BY_SCAN_COUNT_MAX; i++)
		if (m->tag_hashes[i] == hash)
			return true;
	return false;
}

/* An event may say the same tag a thousand times: each key that somebody waits for is walked once. */
static void look_up_tags(struct match *m)
{
	struct hf_tag tag;
	size_t cursor = 0;
	while (hf_event_next_tag(m->event, &cursor, &tag)) {
		if (!tag.letter || m->set->space_entries[(uint8_t)tag.letter] == 0)
			continue;
		uint32_t hash = key_hash(m->set, (uint8_t)tag.letter, tag.value);
		if (m->tag_count < HF_EVENT_TAG_COUNT_MAX && !is_noted(m, hash) && *find(m->set, hash))
			m->tag_hashes[m->tag_count++] = hash;
	}
	if (m->tag_count > DISTINCT_BY_SCAN_COUNT_MAX)
		qsort(m->tag_hashes, m->tag_count, sizeof m->tag_hashes[0], compare_hashes);
	for (uint32_t i = 0; i < m->tag_count; i++)
		if (i == 0 || m->tag_hashes[i] != m->tag_hashes[i - 1])
			walk(m, m->tag_hashes[i]);
}

size_t hf_subscriptions_match(struct hf_subscriptions *set, const struct hf_event *event, uint64_t position,
	void (*each)(void *context, struct hf_subscription *subscription), void *context)
{
	if (set->count == 0)
		return 0;
	set->visit++;
	struct match m;
	m.set = set;
	m.event = event;
	m.position = position;
	m.each = each;
	m.context = context;
	m.entries_seen = m.tag_count = 0;
	look_up(&m, KEY_ID, hf_slice(event->id, 32));
	look_up(&m, KEY_AUTHOR, hf_slice(event->pubkey, 32));
	look_up(&m, KEY_KIND, hf_slice(&event->kind, sizeof event->kind));
	look_up(&m, KEY_EVERYTHING, hf_slice(NULL, 0));
	look_up_tags(&m);
	return m.entries_seen;
}

/* ---- The set ---- */

int hf_subscriptions_new(struct hf_subscriptions **out, uint64_t seed)
{
	struct hf_subscriptions *set = calloc(1, sizeof *set);
	*out = set;
	if (!set)
		return HF_ENOMEM;
	set->seed = seed;
	set->bucket_count = BUCKET_COUNT_MIN;
	set->buckets = calloc(set->bucket_count, sizeof *set->buckets);
	if (!set->buckets) {
		free(set);
		*out = NULL;
		return HF_ENOMEM;
	}
	return HF_OK;
}

void hf_subscriptions_free(struct hf_subscriptions *set)
{
	if (!set)
		return;
	free(set->buckets);
	free(set);
}

size_t hf_subscriptions_count(const struct hf_subscriptions *set)
{
	return set->count;
}

size_t hf_subscriptions_entry_count(const struct hf_subscriptions *set)
{
	return set->entry_count;
}
