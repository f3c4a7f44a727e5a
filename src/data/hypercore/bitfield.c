/* A page has words only when it must: one whose bits are its first ones, a full one among them, has their count alone. */
#include "data/hypercore/bitfield.h"

#include <assert.h>
#include <stdlib.h>

#include "base/error.h"

struct hf_bitfield_page {
	uint32_t count;  /* bits set */
	uint64_t *words; /* HF_BITFIELD_PAGE_WORDS; NULL: the first count bits are the ones set */
};

/* The bits below `count` in the word-th word. */
static uint64_t first_bits(uint32_t count, size_t word)
{
	if (count <= 64 * word)
		return 0;
	return count - 64 * word >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << (count - 64 * word)) - 1;
}

static uint64_t word_of(const struct hf_bitfield_page *page, uint64_t index)
{
	size_t word = index % HF_BITFIELD_PAGE_BITS / 64;

	return page->words != NULL ? page->words[word] : first_bits(page->count, word);
}

static int give_words(struct hf_bitfield_page *page)
{
	page->words = malloc(HF_BITFIELD_PAGE_WORDS * sizeof *page->words);
	if (page->words == NULL)
		return HF_ENOMEM;
	for (size_t word = 0; word < HF_BITFIELD_PAGE_WORDS; word++)
		page->words[word] = first_bits(page->count, word);
	return HF_OK;
}

static void free_page(struct hf_bitfield_page *page)
{
	if (page != NULL)
		free(page->words);
	free(page);
}

static struct hf_bitfield_page *page_at(const struct hf_bitfield *bits, uint64_t index)
{
	uint64_t *place = hf_u64_map_get(&bits->pages, index / HF_BITFIELD_PAGE_BITS);

	return place == NULL ? NULL : (struct hf_bitfield_page *)(uintptr_t)*place;
}

static struct hf_bitfield_page *make_page(struct hf_bitfield *bits, uint64_t index, int *status)
{
	struct hf_bitfield_page *page = page_at(bits, index);
	uint64_t *place;

	if (page != NULL)
		return page;
	*status = HF_ETOOBIG;
	if (bits->page_count_max > 0 && bits->pages.count >= bits->page_count_max)
		return NULL;
	*status = HF_ENOMEM;
	page = calloc(1, sizeof *page);
	place = page == NULL ? NULL : hf_u64_map_put(&bits->pages, index / HF_BITFIELD_PAGE_BITS);
	if (place == NULL) {
		free(page);
		return NULL;
	}
	*place = (uintptr_t)page;
	*status = HF_OK;
	return page;
}

/* The first index at or after from that lies on a page that exists; to when there is none before it. By probing or by a walk over the
 * pages, whichever is shorter: a peer may claim any length. */
static uint64_t next_on_page(const struct hf_bitfield *bits, uint64_t from, uint64_t to)
{
	uint64_t first = from / HF_BITFIELD_PAGE_BITS, end = (to - 1) / HF_BITFIELD_PAGE_BITS + 1, found = end;
	const struct hf_u64_slot *slot;
	size_t cursor = 0;

	if (from >= to || bits->pages.count == 0)
		return to;
	if (end - first <= bits->pages.count) {
		for (found = first; found < end && hf_u64_map_get(&bits->pages, found) == NULL;)
			found++;
	} else {
		while ((slot = hf_u64_map_next(&bits->pages, &cursor)) != NULL)
			if (slot->key >= first && slot->key < found)
				found = slot->key;
	}
	return found == end ? to : found == first ? from : found * HF_BITFIELD_PAGE_BITS;
}

static void drop_page(struct hf_bitfield *bits, uint64_t index)
{
	free_page(page_at(bits, index));
	hf_u64_map_remove(&bits->pages, index / HF_BITFIELD_PAGE_BITS);
}

void hf_bitfield_free(struct hf_bitfield *bits)
{
	struct hf_u64_slot *slot;
	size_t cursor = 0;

	while ((slot = hf_u64_map_next(&bits->pages, &cursor)) != NULL)
		free_page((struct hf_bitfield_page *)(uintptr_t)slot->value);
	hf_u64_map_free(&bits->pages);
	bits->contiguous = bits->beyond_count = 0;
}

bool hf_bitfield_get_slow(const struct hf_bitfield *bits, uint64_t index)
{
	const struct hf_bitfield_page *page = page_at(bits, index);

	return page != NULL && (word_of(page, index) >> (index % 64) & 1);
}

/* The bits of [from, to) in the word that holds from; to is in the same word or its end. */
static uint64_t mask_of(uint64_t from, uint64_t to)
{
	uint64_t above = to % 64 == 0 ? ~(uint64_t)0 : ((uint64_t)1 << to % 64) - 1;

	return above & ~(uint64_t)0 << from % 64;
}

static uint64_t step_end(uint64_t from, uint64_t to, uint64_t unit)
{
	uint64_t end = (from / unit + 1) * unit;

	return end < to ? end : to;
}

static void change_words(struct hf_bitfield_page *page, uint64_t from, uint64_t to, bool set)
{
	for (uint64_t end; from < to; from = end) {
		uint64_t *word = &page->words[from % HF_BITFIELD_PAGE_BITS / 64], old = *word;

		end = step_end(from, to, 64);
		*word = set ? old | mask_of(from, end) : old & ~mask_of(from, end);
		page->count += (uint32_t)__builtin_popcountll(*word) - (uint32_t)__builtin_popcountll(old);
	}
	if (page->count == HF_BITFIELD_PAGE_BITS) {
		free(page->words);
		page->words = NULL;
	}
}

/* Whether a change leaves a page's bits the first ones. */
static bool stays_plain(const struct hf_bitfield_page *page, uint32_t from, uint32_t to, bool set)
{
	return set ? from <= page->count : to >= page->count;
}

/* Sets or clears [from, to) of one page; the page's share of beyond_count follows. HF_ENOMEM, with nothing changed. */
static int change_page(struct hf_bitfield *bits, struct hf_bitfield_page *page, uint64_t from, uint64_t to, bool set)
{
	uint32_t before = page->count, first = from % HF_BITFIELD_PAGE_BITS, end = first + (uint32_t)(to - from);

	if (page->words == NULL && stays_plain(page, first, end, set)) {
		if (set ? end > before : first < before)
			page->count = set ? end : first;
	} else {
		if (page->words == NULL && give_words(page) != HF_OK)
			return HF_ENOMEM;
		change_words(page, from, to, set);
	}
	bits->beyond_count += page->count;
	bits->beyond_count -= before;
	return HF_OK;
}

/* Gives words to the one page that needs them when [from, to) is cleared: that which to lies in, where bits follow. */
static int prepare_unset(struct hf_bitfield *bits, uint64_t to)
{
	struct hf_bitfield_page *page = page_at(bits, to);

	return page != NULL && page->words == NULL && to % HF_BITFIELD_PAGE_BITS > 0 && page->count > to % HF_BITFIELD_PAGE_BITS
		? give_words(page) : HF_OK;
}

static void unset(struct hf_bitfield *bits, uint64_t from, uint64_t to)
{
	for (uint64_t end; (from = next_on_page(bits, from, to)) < to; from = end) {
		struct hf_bitfield_page *page = page_at(bits, from);

		end = step_end(from, to, HF_BITFIELD_PAGE_BITS);
		int status = change_page(bits, page, from, end, false);

		assert(status == HF_OK);
		(void)status;
		if (page->count == 0)
			drop_page(bits, from);
	}
}

/* contiguous has reached its place: what the pages held below it is implied now, and it runs on over what follows. */
static void settle(struct hf_bitfield *bits, uint64_t old)
{
	if (bits->beyond_count > 0)
		bits->contiguous = hf_bitfield_next_clear(bits, bits->contiguous, UINT64_MAX);
	unset(bits, old, bits->contiguous);
}

int hf_bitfield_set(struct hf_bitfield *bits, uint64_t from, uint64_t to)
{
	uint64_t old = bits->contiguous;
	int status = HF_OK;

	if (from <= old) {
		if (to > old) {
			bits->contiguous = to;
			settle(bits, old);
		}
		return HF_OK;
	}
	for (uint64_t end; from < to; from = end) {
		struct hf_bitfield_page *page = make_page(bits, from, &status);

		if (page == NULL)
			return status;
		end = step_end(from, to, HF_BITFIELD_PAGE_BITS);
		status = change_page(bits, page, from, end, true);
		if (page->count == 0)
			drop_page(bits, from);
		if (status != HF_OK)
			return status;
	}
	return HF_OK;
}

int hf_bitfield_clear(struct hf_bitfield *bits, uint64_t from, uint64_t to)
{
	uint64_t old = bits->contiguous;
	int status = from < to ? prepare_unset(bits, to) : HF_OK;

	if (status != HF_OK)
		return status;
	if (from < old) {
		bits->contiguous = from;
		if (to < old && (status = hf_bitfield_set(bits, to, old)) != HF_OK) {
			unset(bits, to, old);
			bits->contiguous = old;
			return status;
		}
		from = old;
	}
	unset(bits, from, to);
	return HF_OK;
}

void hf_bitfield_truncate(struct hf_bitfield *bits, uint64_t length)
{
	if (bits->contiguous > length)
		bits->contiguous = length;
	unset(bits, length, UINT64_MAX);
}

/* The first index in [from, to) whose bit is `set`, beyond contiguous. */
static uint64_t next_beyond(const struct hf_bitfield *bits, uint64_t from, uint64_t to, bool set)
{
	while (from < to) {
		const struct hf_bitfield_page *page = page_at(bits, from);
		uint64_t page_end = step_end(from, to, HF_BITFIELD_PAGE_BITS);

		if (page == NULL && !set)
			return from;
		if (page == NULL) {
			from = next_on_page(bits, page_end, to);
			continue;
		}
		for (uint64_t end; from < page_end; from = end) {
			uint64_t word = word_of(page, from);

			end = step_end(from, page_end, 64);
			word = (set ? word : ~word) & mask_of(from, end);
			if (word != 0)
				return (from & ~(uint64_t)63) + (uint64_t)__builtin_ctzll(word);
		}
	}
	return to;
}

uint64_t hf_bitfield_next_set(const struct hf_bitfield *bits, uint64_t from, uint64_t to)
{
	if (from < bits->contiguous && from < to)
		return from;
	return bits->beyond_count == 0 ? to : next_beyond(bits, from, to, true);
}

uint64_t hf_bitfield_next_clear(const struct hf_bitfield *bits, uint64_t from, uint64_t to)
{
	if (from < bits->contiguous)
		from = bits->contiguous;
	if (from >= to)
		return to;
	return bits->beyond_count == 0 ? from : next_beyond(bits, from, to, false);
}

uint32_t hf_bitfield_word(const struct hf_bitfield *bits, uint64_t index)
{
	const struct hf_bitfield_page *page = page_at(bits, index);
	uint64_t word = page == NULL ? 0 : word_of(page, index) >> (index % 64);

	if (bits->contiguous >= index + 32)
		return UINT32_MAX;
	if (bits->contiguous > index)
		word |= ((uint64_t)1 << (bits->contiguous - index)) - 1;
	return (uint32_t)word;
}
