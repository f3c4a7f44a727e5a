/* Differences are decoded one at a time, straight from the mapping: a walk is 64 bytes and needs no buffer, so that a
 * union of a thousand lists stays small. Long lists jump by their skip table, galloping from where they are. */
#include "store/postings.h"

/* A bounded varint of at most 32 bits; NULL when it is cut off or too long. */
static inline const uint8_t *read_number(const uint8_t *p, const uint8_t *end, uint32_t *value)
{
	if (p < end && *p < 0x80) {
		*value = *p;
		return p + 1;
	}
	uint32_t v = 0;
	for (unsigned shift = 0; shift < 35 && p < end; shift += 7) {
		uint8_t byte = *p++;
		v |= (uint32_t)(byte & 0x7f) << shift;
		if (byte < 0x80) {
			*value = v;
			return p;
		}
	}
	return NULL;
}

/* Finds the head of the list: *p behind the count. */
static int open_head(struct hf_segment *s, uint32_t value, enum hf_read_mode mode, const uint8_t **p, uint32_t *count)
{
	uint64_t offset = (uint64_t)value * 2, bytes = s->section_bytes[HF_SECTION_POSTINGS];
	if (offset >= bytes)
		return HF_ECORRUPT;
	uint64_t most = bytes - offset < 12 ? bytes - offset : 12;
	int r = hf_segment_touch(s, s->section[HF_SECTION_POSTINGS] + offset, most, mode);
	if (r)
		return r;
	const uint8_t *start = hf_segment_at(s, HF_SECTION_POSTINGS) + offset;
	*p = read_number(start, start + most, count);
	return *p && *count && *count <= s->doc_count ? HF_OK : HF_ECORRUPT;
}

int hf_postings_count(struct hf_segment *segment, uint32_t value, enum hf_read_mode mode, uint32_t *count)
{
	const uint8_t *p;
	if (value & HF_SEGMENT_INLINE) {
		*count = value != HF_SEGMENT_EMPTY;
		return HF_OK;
	}
	return open_head(segment, value, mode, &p, count);
}

static int open_short(struct hf_postings *l, const uint8_t *p, uint32_t count, enum hf_read_mode mode)
{
	struct hf_segment *s = l->segment;
	const uint8_t *end = hf_segment_at(s, HF_SECTION_POSTINGS) + s->section_bytes[HF_SECTION_POSTINGS];
	if ((size_t)(end - p) > (size_t)count * 5)
		end = p + (size_t)count * 5;
	int r = hf_segment_touch(s, (uint64_t)(p - s->map), (uint64_t)(end - p), mode);
	if (r)
		return r;
	uint32_t doc;
	p = read_number(p, end, &doc);
	if (!p || doc >= s->doc_count)
		return HF_ECORRUPT;
	l->next = p;
	l->end = end;
	l->left = count - 1;
	l->doc = doc;
	l->block_count = 1;
	return HF_OK;
}

/* Goes to the start of a block of a long list. */
static int enter_block(struct hf_postings *l, uint32_t block, enum hf_read_mode mode)
{
	uint32_t first = hf_load_le32(l->skips + (size_t)block * 8);
	uint32_t start = hf_load_le32(l->skips + (size_t)block * 8 + 4);
	bool last = block + 1 == l->block_count;
	uint32_t end = last ? l->data_bytes : hf_load_le32(l->skips + (size_t)block * 8 + 12);
	if (start > end || end > l->data_bytes || first >= l->segment->doc_count)
		return HF_ECORRUPT;
	int r = hf_segment_touch(l->segment, (uint64_t)(l->data - l->segment->map) + start, end - start, mode);
	if (r)
		return r;
	l->block = block;
	l->doc = first;
	l->next = l->data + start;
	l->end = l->data + end;
	l->left = last ? (l->count - 1) % HF_SEGMENT_GROUP_DOCS : HF_SEGMENT_GROUP_DOCS - 1;
	return HF_OK;
}

static int open_long(struct hf_postings *l, const uint8_t *p, uint32_t value, enum hf_read_mode mode)
{
	struct hf_segment *s = l->segment;
	const uint8_t *section = hf_segment_at(s, HF_SECTION_POSTINGS);
	const uint8_t *end = section + s->section_bytes[HF_SECTION_POSTINGS];
	p = read_number(p, end, &l->data_bytes);
	if (!p || l->data_bytes > (uint64_t)value * 2)
		return HF_ECORRUPT;
	l->block_count = (l->count + HF_SEGMENT_GROUP_DOCS - 1) / HF_SEGMENT_GROUP_DOCS;
	if ((size_t)(end - p) < (size_t)l->block_count * 8)
		return HF_ECORRUPT;
	int r = hf_segment_touch(s, (uint64_t)(p - s->map), (uint64_t)l->block_count * 8, mode);
	if (r)
		return r;
	l->skips = p;
	l->data = section + (uint64_t)value * 2 - l->data_bytes;
	return enter_block(l, 0, mode);
}

int hf_postings_open(struct hf_postings *postings, struct hf_segment *segment, uint32_t value, enum hf_read_mode mode)
{
	*postings = (struct hf_postings){.segment = segment, .doc = HF_POSTINGS_END};
	if (value == HF_SEGMENT_EMPTY)
		return HF_OK;
	if (value & HF_SEGMENT_INLINE) {
		postings->doc = value & ~HF_SEGMENT_INLINE;
		postings->count = postings->block_count = 1;
		return postings->doc < segment->doc_count ? HF_OK : HF_ECORRUPT;
	}
	const uint8_t *p;
	int r = open_head(segment, value, mode, &p, &postings->count);
	if (r)
		return r;
	if (postings->count <= HF_SEGMENT_GROUP_DOCS)
		return open_short(postings, p, postings->count, mode);
	return open_long(postings, p, value, mode);
}

static inline uint32_t block_first(const struct hf_postings *l, uint32_t block)
{
	return hf_load_le32(l->skips + (size_t)block * 8);
}

/* The last block from l->block on that begins at or before doc. */
static uint32_t find_block(const struct hf_postings *l, uint32_t doc)
{
	uint32_t low = l->block, step = 1;
	while (low + step < l->block_count && block_first(l, low + step) <= doc) {
		low += step;
		step *= 2;
	}
	uint32_t high = low + step < l->block_count ? low + step : l->block_count;
	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;
		if (block_first(l, middle) <= doc)
			low = middle;
		else
			high = middle;
	}
	return low;
}

int hf_postings_advance(struct hf_postings *postings, uint32_t doc, enum hf_read_mode mode)
{
	struct hf_postings *l = postings;
	if (l->block + 1 < l->block_count && block_first(l, l->block + 1) <= doc) {
		int r = enter_block(l, find_block(l, doc), mode);
		if (r)
			return r;
	}
	const uint8_t *next = l->next, *end = l->end;
	uint32_t at = l->doc, left = l->left, doc_count = l->segment->doc_count;
	while (at < doc && left) {
		uint32_t difference;
		next = read_number(next, end, &difference);
		if (!next || !difference || difference >= doc_count - at)
			return HF_ECORRUPT;
		at += difference;
		left--;
	}
	l->next = next;
	l->doc = at;
	l->left = left;
	if (at >= doc)
		return HF_OK;
	if (l->block + 1 == l->block_count) {
		l->doc = HF_POSTINGS_END;
		return HF_OK;
	}
	int r = enter_block(l, l->block + 1, mode);
	return r || l->doc >= doc ? r : HF_ECORRUPT;
}

static void sift_down(struct hf_postings **heap, uint32_t count, uint32_t at)
{
	struct hf_postings *moved = heap[at];
	for (;;) {
		uint32_t child = 2 * at + 1;
		if (child >= count)
			break;
		if (child + 1 < count && heap[child + 1]->doc < heap[child]->doc)
			child++;
		if (heap[child]->doc >= moved->doc)
			break;
		heap[at] = heap[child];
		at = child;
	}
	heap[at] = moved;
}

void hf_union_start(struct hf_union *u)
{
	for (uint32_t i = 0; i < u->count; i++)
		u->heap[i] = &u->lists[i];
	for (uint32_t i = u->count / 2; i-- > 0;)
		sift_down(u->heap, u->count, i);
}

int hf_union_seek(struct hf_union *u, uint32_t doc, enum hf_read_mode mode)
{
	while (u->heap[0]->doc < doc) {
		int r = hf_postings_seek(u->heap[0], doc, mode);
		if (r)
			return r;
		if (u->count > 1)
			sift_down(u->heap, u->count, 0);
	}
	return HF_OK;
}
