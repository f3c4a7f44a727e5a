/* postings: walks a posting list of a segment, and unions of lists. (Private to store/; format in segment.h.)
 *
 * Every call either does its work or returns an error (HF_EWAIT among them) with the walk in a state from which the
 * same call can be made again.
 */
#ifndef HF_STORE_POSTINGS_H
#define HF_STORE_POSTINGS_H

#include "store/segment.h"

#define HF_POSTINGS_END UINT32_MAX /* the document number behind the last */

struct hf_postings {
	struct hf_segment *segment;
	const uint8_t *next, *end; /* differences of the present block */
	const uint8_t *skips;      /* NULL for a list of at most one block */
	const uint8_t *data;
	uint32_t data_bytes;
	uint32_t count; /* of the whole list */
	uint32_t doc;   /* where it is; HF_POSTINGS_END at the end */
	uint32_t left;  /* differences left in the block */
	uint32_t block, block_count;
};

/* The list behind a TERM value, at its first document. An empty list is at its end. */
int hf_postings_open(struct hf_postings *postings, struct hf_segment *segment, uint32_t value, enum hf_read_mode mode);
/* The count alone. */
int hf_postings_count(struct hf_segment *segment, uint32_t value, enum hf_read_mode mode, uint32_t *count);
int hf_postings_advance(struct hf_postings *postings, uint32_t doc, enum hf_read_mode mode);
/* Moves forward to the first document >= doc. */
static inline int hf_postings_seek(struct hf_postings *postings, uint32_t doc, enum hf_read_mode mode)
{
	if (postings->doc >= doc)
		return HF_OK;
	/* Mostly the next one, and one byte away. */
	if (postings->left && postings->next < postings->end) {
		uint32_t difference = *postings->next;
		if (difference < 0x80 && difference && difference < postings->segment->doc_count - postings->doc) {
			postings->next++;
			postings->left--;
			postings->doc += difference;
			if (postings->doc >= doc)
				return HF_OK;
		}
	}
	return hf_postings_advance(postings, doc, mode);
}

/* A union of lists, each document once. The lists and `heap` (room for count pointers) belong to the caller. */
struct hf_union {
	struct hf_postings *lists;
	struct hf_postings **heap;
	uint32_t count;
};
void hf_union_start(struct hf_union *u); /* after all lists were opened */
static inline uint32_t hf_union_doc(const struct hf_union *u)
{
	return u->heap[0]->doc;
}
int hf_union_seek(struct hf_union *u, uint32_t doc, enum hf_read_mode mode);

#endif
